//! Statistics: how often offers were decided on, seen, followed, sent away and taken, by offer, placement, channel, variant and
//! day, with what can be said of the rates.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::catalogue::{ArmNumber, Catalogue, OfferNumber, PlaceNumber};
use crate::contact::OutcomeKind;
use crate::decided::Chosen;

/// Rows of one answer at most.
pub const MAX_ROWS: usize = 10_000;
/// The day of all outcomes that are too old to be counted day by day.
pub const EARLIER: u32 = 0;

/// What rows are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// What was proposed.
    Offer,
    /// Where.
    Placement,
    /// On which channel.
    Channel,
    /// Under which variant of an experiment.
    Variant,
    /// When.
    Day,
}

/// What came of an offer, as it was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tallied {
    /// The offer.
    pub offer: OfferNumber,
    /// Placement and channel.
    pub place: PlaceNumber,
    /// Of one arm; none: of all, under whatever arm or none.
    pub arm: Option<ArmNumber>,
    /// Days since 1970 in UTC, or [`EARLIER`].
    pub day: u32,
    /// How often, by [`OutcomeKind::index`].
    pub counts: [u64; 4],
    /// What it was worth, in thousandths.
    pub value: i64,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// What rows are told apart by; none: one row of all.
    pub by: Vec<Dimension>,
    /// Of this offer only.
    pub offer: Option<OfferNumber>,
    /// Of the placement with this number only.
    pub placement: Option<u16>,
    /// Of the channel with this number only.
    pub channel: Option<u16>,
    /// Of customers in this variant only.
    pub variant: Option<ArmNumber>,
    /// From this day on, in days since 1970 in UTC.
    pub from: Option<u32>,
    /// Up to the end of this day.
    pub to: Option<u32>,
}

/// What there is to answer with.
#[derive(Debug)]
pub struct Counted<C, T, B> {
    /// What was decided since the process began.
    pub chosen: C,
    /// What came of it and of earlier decisions.
    pub tallied: T,
    /// What had come of it when the process began.
    pub tallied_before: B,
}

/// The answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// Those with the most impressions first, then by name.
    pub rows: Vec<Row>,
    /// Rows beyond [`MAX_ROWS`].
    pub omitted: usize,
    /// All of what was asked for together.
    pub total: Figures,
}

/// Figures of one group.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which.
    pub group: Group,
    /// What is known of it.
    pub figures: Figures,
}

/// What a row is about: what was asked for is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Group {
    /// The offer.
    pub offer: Option<OfferNumber>,
    /// The placement's number.
    pub placement: Option<u16>,
    /// The channel's number.
    pub channel: Option<u16>,
    /// The variant.
    pub variant: Option<ArmNumber>,
    /// Days since 1970 in UTC, or [`EARLIER`].
    pub day: Option<u32>,
}

/// How often, and what can be concluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// How often an offer was decided on since the process began, and how often of these as a fallback. None where days are
    /// asked for: decisions are not counted by day.
    pub decisions: Option<(u64, u64)>,
    /// By [`OutcomeKind::index`].
    pub counts: [u64; 4],
    /// What it was worth, in thousandths.
    pub value: i64,
    /// Impressions before the process began.
    before: u64,
}

/// A proportion with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// The proportion.
    pub rate: f64,
    /// The interval's lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// How customers were split.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// The experiment.
    pub name: String,
    /// Its variants in the order written.
    pub variants: Vec<Variant>,
    /// How often chance alone would split customers so unlike what was meant; none while there are too few.
    pub p_value: Option<f64>,
    /// Whether that is so seldom that something must be wrong.
    pub mismatch: bool,
}

/// A variant of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// The share of customers that is to be in it, 0 to 1.
    pub share: f64,
    /// About how many different customers were decided for in it since the process began.
    pub customers: u64,
}

impl Dimension {
    /// All of them, in the order in which rows name them.
    pub const ALL: [Dimension; 5] =
        [Dimension::Offer, Dimension::Placement, Dimension::Channel, Dimension::Variant, Dimension::Day];

    /// Its name in questions and answers.
    pub fn name(self) -> &'static str {
        match self {
            Dimension::Offer => "offer",
            Dimension::Placement => "placement",
            Dimension::Channel => "channel",
            Dimension::Variant => "variant",
            Dimension::Day => "day",
        }
    }
}

impl Query {
    /// Answers from what was counted. Numbers that the catalogue does not have are passed over.
    pub fn answer<C, T, B>(&self, catalogue: &Catalogue, counted: Counted<C, T, B>) -> Stats
    where
        C: IntoIterator<Item = Chosen>,
        T: IntoIterator<Item = Tallied>,
        B: IntoIterator<Item = Tallied>,
    {
        let with_decisions = self.from.is_none() && self.to.is_none() && !self.by.contains(&Dimension::Day);
        let empty = Figures { decisions: with_decisions.then_some((0, 0)), ..Figures::default() };
        let mut sums = Sums { query: self, catalogue, empty, rows: HashMap::default(), total: empty };
        if with_decisions {
            for Chosen { offer, place, arm, decisions, fallbacks } in counted.chosen {
                let figures = Figures { decisions: Some((decisions, fallbacks)), ..Figures::default() };
                sums.add((offer, place, arm), None, &figures);
            }
        }
        for Tallied { offer, place, arm, day, counts, value } in counted.tallied {
            sums.add((offer, place, arm), Some(day), &Figures { counts, value, ..Figures::default() });
        }
        if with_decisions {
            for Tallied { offer, place, arm, day, counts, .. } in counted.tallied_before {
                let before = counts[OutcomeKind::Impression.index()];
                sums.add((offer, place, arm), Some(day), &Figures { before, ..Figures::default() });
            }
        }
        sums.finish()
    }

    /// Whether the day is among those asked for.
    fn takes_day(&self, day: u32) -> bool {
        self.from.is_none_or(|from| day >= from) && self.to.is_none_or(|to| day <= to)
    }
}

/// Rows in the making.
struct Sums<'q> {
    query: &'q Query,
    catalogue: &'q Catalogue,
    empty: Figures,
    rows: HashMap<Group, Figures, FixedState>,
    total: Figures,
}

impl Sums<'_> {
    fn add(
        &mut self,
        (offer, place, arm): (OfferNumber, PlaceNumber, Option<ArmNumber>),
        day: Option<u32>,
        figures: &Figures,
    ) {
        let Query { by, offer: of, placement, channel, variant, .. } = self.query;
        let Some(at) = self.catalogue.place(place) else { return };
        let asked = of.is_none_or(|of| of == offer)
            && placement.is_none_or(|placement| placement == at.placement)
            && channel.is_none_or(|channel| channel == at.channel)
            && day.is_none_or(|day| self.query.takes_day(day));
        if !asked {
            return;
        }
        // A customer may be in variants of several experiments, so their sum is not what there is in all.
        if arm == *variant {
            self.total.add(figures);
        }
        let is_by = |dimension| by.contains(&dimension);
        let wanted =
            if is_by(Dimension::Variant) && variant.is_none() { arm.is_some() } else { arm == *variant };
        if wanted {
            let group = Group {
                offer: Some(offer).filter(|_| is_by(Dimension::Offer)),
                placement: Some(at.placement).filter(|_| is_by(Dimension::Placement)),
                channel: Some(at.channel).filter(|_| is_by(Dimension::Channel)),
                variant: arm.filter(|_| is_by(Dimension::Variant)),
                day: day.filter(|_| is_by(Dimension::Day)),
            };
            self.rows.entry(group).or_insert(self.empty).add(figures);
        }
    }

    fn finish(self) -> Stats {
        let mut rows: Vec<Row> =
            self.rows.into_iter().map(|(group, figures)| Row { group, figures }).collect();
        let catalogue = self.catalogue;
        let order = |a: &Row, b: &Row| in_order(catalogue, a, b);
        let omitted = rows.len().saturating_sub(MAX_ROWS);
        if omitted > 0 {
            rows.select_nth_unstable_by(MAX_ROWS, order);
            rows.truncate(MAX_ROWS);
        }
        rows.sort_unstable_by(order);
        Stats { rows, omitted, total: self.total }
    }
}

/// Impressions falling, then names; days that are otherwise alike newest first.
fn in_order(catalogue: &Catalogue, a: &Row, b: &Row) -> Ordering {
    let impressions = |row: &Row| Reverse(row.figures.count(OutcomeKind::Impression));
    let offer =
        |row: &Row| row.group.offer.and_then(|offer| catalogue.offer(offer)).map(|offer| &*offer.name);
    let placement = |row: &Row| row.group.placement.and_then(|number| catalogue.placements.name(number));
    let channel = |row: &Row| row.group.channel.and_then(|number| catalogue.channels.name(number));
    let variant = |row: &Row| row.group.variant.and_then(|arm| catalogue.arms.name(arm.0));
    impressions(a)
        .cmp(&impressions(b))
        .then_with(|| offer(a).cmp(&offer(b)))
        .then_with(|| placement(a).cmp(&placement(b)))
        .then_with(|| channel(a).cmp(&channel(b)))
        .then_with(|| variant(a).cmp(&variant(b)))
        .then_with(|| b.group.day.cmp(&a.group.day))
}

impl Figures {
    /// How often this became of it.
    pub fn count(&self, kind: OutcomeKind) -> u64 {
        self.counts[kind.index()]
    }

    /// Of what was decided since the process began, how much was reported as seen.
    pub fn shown(&self) -> Option<Rate> {
        let (decisions, _) = self.decisions?;
        wilson(self.count(OutcomeKind::Impression).saturating_sub(self.before), decisions)
    }

    /// Of what was seen, how much was followed.
    pub fn click_through(&self) -> Option<Rate> {
        wilson(self.count(OutcomeKind::Click), self.count(OutcomeKind::Impression))
    }

    /// Of what was seen, how much was taken.
    pub fn conversion(&self) -> Option<Rate> {
        wilson(self.count(OutcomeKind::Convert), self.count(OutcomeKind::Impression))
    }

    /// Of what was followed, how much was taken.
    pub fn click_conversion(&self) -> Option<Rate> {
        wilson(self.count(OutcomeKind::Convert), self.count(OutcomeKind::Click))
    }

    fn add(&mut self, more: &Figures) {
        if let (Some((decisions, fallbacks)), Some(more)) = (&mut self.decisions, more.decisions) {
            *decisions = decisions.saturating_add(more.0);
            *fallbacks = fallbacks.saturating_add(more.1);
        }
        for (count, more) in self.counts.iter_mut().zip(more.counts) {
            *count = count.saturating_add(more);
        }
        self.value = self.value.saturating_add(more.value);
        self.before = self.before.saturating_add(more.before);
    }
}

/// The score interval (Wilson, *Probable inference, the law of succession, and statistical inference*, JASA 1927): right
/// for few trials and for rates near 0 and 1 too. None without trials, or with more successes than trials, which is no proportion
/// (a client that reports clicks but no impressions).
///
/// ```
/// let rate = usher::stats::wilson(10, 100).unwrap();
/// assert_eq!(format!("{:.4} {:.4} {:.4}", rate.rate, rate.low, rate.high), "0.1000 0.0552 0.1744");
/// assert_eq!(usher::stats::wilson(0, 0), None);
/// ```
pub fn wilson(successes: u64, trials: u64) -> Option<Rate> {
    /// The standard normal distribution's quantile of 97.5 %.
    const Z: f64 = 1.959_963_984_540_054;
    if trials == 0 || successes > trials {
        return None;
    }
    let n = trials as f64;
    let rate = successes as f64 / n;
    let square = Z * Z;
    let centre = (rate + square / (2.0 * n)) / (1.0 + square / n);
    let half = Z / (1.0 + square / n) * (rate * (1.0 - rate) / n + square / (4.0 * n * n)).sqrt();
    // At the ends rounding would leave a trace of what is exactly 0 and 1.
    let low = if successes == 0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if successes == trials { 1.0 } else { (centre + half).min(1.0) };
    Some(Rate { rate, low, high })
}
