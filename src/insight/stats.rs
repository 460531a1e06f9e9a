//! Statistics: how often offers were decided on, seen, clicked, dismissed and taken. Rows are split by
//! offer, placement, channel, variant and day, and rates come with intervals.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::decided::Chosen;
use crate::customer::numbers::{ArmNumber, OfferNumber, PlaceNumber};
use crate::customer::outcome::OutcomeKind;
use crate::rules::catalogue::Catalogue;
use crate::state::ledger;
use crate::state::ledger::{TallyKey, TallyRow};

/// The most rows that one answer may have.
pub const MAX_ROWS: usize = 10_000;
/// The day that stands for all outcomes too old to be counted by day.
pub const EARLIER: u32 = ledger::EARLIER as u32;

/// What rows are split by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// A row for each offer.
    Offer,
    /// A row for each placement.
    Placement,
    /// A row for each channel.
    Channel,
    /// A row for each variant of an experiment.
    Variant,
    /// A row for each day in UTC.
    Day,
}

/// The outcomes of an offer, as they were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tallied {
    /// The offer that the outcomes belong to.
    pub offer: OfferNumber,
    /// The placement and channel where it was shown.
    pub place: PlaceNumber,
    /// The arm of the customers counted; `None` counts all customers, in any arm or none.
    pub arm: Option<ArmNumber>,
    /// Days since 1970 in UTC, or [`EARLIER`].
    pub day: u32,
    /// The number of outcomes of each kind, by [`OutcomeKind::index`].
    pub counts: [u64; OutcomeKind::COUNT],
    /// What the outcomes were worth, in thousandths.
    pub value: i64,
}

impl From<TallyRow> for Tallied {
    fn from((day, key, tally): TallyRow) -> Tallied {
        let TallyKey { offer, place, .. } = key;
        Tallied { offer, place, arm: key.arm(), day: day.into(), counts: tally.outcomes, value: tally.value }
    }
}

/// The same without days: one row for each offer, place and arm. This is how the state before a process
/// began is kept.
pub fn without_days(rows: impl IntoIterator<Item = Tallied>) -> Vec<Tallied> {
    let mut sums: HashMap<(OfferNumber, PlaceNumber, Option<ArmNumber>), Tallied, FixedState> =
        HashMap::default();
    for row in rows {
        let empty = Tallied { day: EARLIER, counts: [0; OutcomeKind::COUNT], value: 0, ..row };
        let sum = sums.entry((row.offer, row.place, row.arm)).or_insert(empty);
        for (count, more) in sum.counts.iter_mut().zip(row.counts) {
            *count = count.saturating_add(more);
        }
        sum.value = sum.value.saturating_add(row.value);
    }
    sums.into_values().collect()
}

/// The question that statistics answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// What rows are split by; if empty, there is one row.
    pub by: Vec<Dimension>,
    /// Counts only outcomes of this offer.
    pub offer: Option<OfferNumber>,
    /// Counts only the placement with this number.
    pub placement: Option<u16>,
    /// Counts only the channel with this number.
    pub channel: Option<u16>,
    /// Counts only customers in this variant.
    pub variant: Option<ArmNumber>,
    /// The first day that counts, in days since 1970 in UTC.
    pub from: Option<u32>,
    /// The last day that counts, included.
    pub to: Option<u32>,
}

/// The counts that an answer is made from.
#[derive(Debug)]
pub struct StatsSources<C, T, B> {
    /// What was decided since the process began.
    pub chosen: C,
    /// The outcomes of these and of earlier decisions.
    pub tallied: T,
    /// The outcomes that had been counted when the process began.
    pub tallied_before: B,
}

/// The answer to a [`Query`].
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// The rows, those with the most impressions first, then by name.
    pub rows: Vec<StatsRow>,
    /// The number of rows left out, beyond [`MAX_ROWS`].
    pub omitted: usize,
    /// The sum over everything that was asked for.
    pub total: OutcomeFigures,
}

/// One row of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct StatsRow {
    /// What the row is about.
    pub group: RowKey,
    /// What was counted for it.
    pub figures: OutcomeFigures,
}

/// What a row is about. A field is set if rows are split by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RowKey {
    /// The offer, if rows are split by it.
    pub offer: Option<OfferNumber>,
    /// The placement's number, if rows are split by it.
    pub placement: Option<u16>,
    /// The channel's number, if rows are split by it.
    pub channel: Option<u16>,
    /// The variant, if rows are split by it.
    pub variant: Option<ArmNumber>,
    /// Days since 1970 in UTC, or [`EARLIER`].
    pub day: Option<u32>,
}

/// What was counted, and the rates that follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutcomeFigures {
    /// How often offers were decided on since the process began, and how often of these as a fallback.
    /// `None` where days are asked for, because decisions are not counted by day.
    pub decisions: Option<(u64, u64)>,
    /// The number of outcomes of each kind, by [`OutcomeKind::index`].
    pub counts: [u64; OutcomeKind::COUNT],
    /// What the outcomes were worth, in thousandths.
    pub value: i64,
    /// Impressions counted before the process began.
    before: u64,
}

/// A proportion with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// The proportion that was observed, 0 to 1.
    pub rate: f64,
    /// The interval's lower end, 0 to 1.
    pub low: f64,
    /// The interval's upper end, 0 to 1.
    pub high: f64,
}

/// How customers were split between an experiment's variants.
#[derive(Debug, Clone, PartialEq)]
pub struct ExperimentSplit {
    /// The name of the experiment.
    pub name: String,
    /// Its variants, in the order written.
    pub variants: Vec<VariantSplit>,
    /// How many stretches of equal shares the test is of.
    pub stretches: usize,
    /// The probability that chance alone splits customers at least this far from the shares of each stretch;
    /// `None` while there are too few.
    pub p_value: Option<f64>,
    /// Whether that is so improbable that something must be wrong.
    pub mismatch: bool,
}

/// One variant and its customers.
#[derive(Debug, Clone, PartialEq)]
pub struct VariantSplit {
    /// The name of the variant.
    pub name: String,
    /// The intended share of customers, 0 to 1.
    pub share: f64,
    /// About how many different customers were decided for in it since the process began or the salt changed.
    pub customers: u64,
    /// About how many of them were given a proposition that the variant chose; `None` if it chooses none.
    pub exposed: Option<u64>,
}

impl Dimension {
    /// All dimensions, in the order in which rows name them.
    pub const ALL: [Dimension; 5] =
        [Dimension::Offer, Dimension::Placement, Dimension::Channel, Dimension::Variant, Dimension::Day];

    /// The dimension's name in questions and answers.
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
    /// Answers from what was counted. Numbers that the catalogue does not have are skipped.
    pub fn answer<C, T, B>(&self, catalogue: &Catalogue, counted: StatsSources<C, T, B>) -> Stats
    where
        C: IntoIterator<Item = Chosen>,
        T: IntoIterator<Item = Tallied>,
        B: IntoIterator<Item = Tallied>,
    {
        let with_decisions = self.from.is_none() && self.to.is_none() && !self.by.contains(&Dimension::Day);
        let empty =
            OutcomeFigures { decisions: with_decisions.then_some((0, 0)), ..OutcomeFigures::default() };
        let mut sums = Sums { query: self, catalogue, empty, rows: HashMap::default(), total: empty };
        if with_decisions {
            for Chosen { offer, place, arm, decisions, fallbacks } in counted.chosen {
                let figures =
                    OutcomeFigures { decisions: Some((decisions, fallbacks)), ..OutcomeFigures::default() };
                sums.add((offer, place, arm), None, &figures);
            }
        }
        for Tallied { offer, place, arm, day, counts, value } in counted.tallied {
            sums.add(
                (offer, place, arm),
                Some(day),
                &OutcomeFigures { counts, value, ..OutcomeFigures::default() },
            );
        }
        if with_decisions {
            for Tallied { offer, place, arm, day, counts, .. } in counted.tallied_before {
                let before = counts[OutcomeKind::Impression.index()];
                sums.add(
                    (offer, place, arm),
                    Some(day),
                    &OutcomeFigures { before, ..OutcomeFigures::default() },
                );
            }
        }
        sums.finish()
    }

    /// Whether the day is among those asked for.
    fn takes_day(&self, day: u32) -> bool {
        self.from.is_none_or(|from| day >= from) && self.to.is_none_or(|to| day <= to)
    }
}

/// The rows while they are summed up.
struct Sums<'q> {
    query: &'q Query,
    catalogue: &'q Catalogue,
    empty: OutcomeFigures,
    rows: HashMap<RowKey, OutcomeFigures, FixedState>,
    total: OutcomeFigures,
}

impl Sums<'_> {
    fn add(
        &mut self,
        (offer, place, arm): (OfferNumber, PlaceNumber, Option<ArmNumber>),
        day: Option<u32>,
        figures: &OutcomeFigures,
    ) {
        let Query { by, offer: of, placement, channel, variant, .. } = self.query;
        let (Some(at), Some(_)) = (self.catalogue.place(place), self.catalogue.offer(offer)) else { return };
        let asked = of.is_none_or(|of| of == offer)
            && placement.is_none_or(|placement| placement == at.placement)
            && channel.is_none_or(|channel| channel == at.channel)
            && day.is_none_or(|day| self.query.takes_day(day));
        if !asked {
            return;
        }
        // A customer may be in variants of several experiments, so the variants do not add up to the total.
        if arm == *variant {
            self.total.add(figures);
        }
        let is_by = |dimension| by.contains(&dimension);
        let wanted =
            if is_by(Dimension::Variant) && variant.is_none() { arm.is_some() } else { arm == *variant };
        if wanted {
            let group = RowKey {
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
        let mut rows: Vec<StatsRow> =
            self.rows.into_iter().map(|(group, figures)| StatsRow { group, figures }).collect();
        let catalogue = self.catalogue;
        let order = |a: &StatsRow, b: &StatsRow| in_order(catalogue, a, b);
        let omitted = rows.len().saturating_sub(MAX_ROWS);
        if omitted > 0 {
            rows.select_nth_unstable_by(MAX_ROWS, order);
            rows.truncate(MAX_ROWS);
        }
        rows.sort_unstable_by(order);
        Stats { rows, omitted, total: self.total }
    }
}

/// By impressions, falling; then by names; then by day, the newest first.
fn in_order(catalogue: &Catalogue, a: &StatsRow, b: &StatsRow) -> Ordering {
    let impressions = |row: &StatsRow| Reverse(row.figures.count(OutcomeKind::Impression));
    let offer =
        |row: &StatsRow| row.group.offer.and_then(|offer| catalogue.offer(offer)).map(|offer| &*offer.name);
    let placement = |row: &StatsRow| row.group.placement.and_then(|number| catalogue.placements.name(number));
    let channel = |row: &StatsRow| row.group.channel.and_then(|number| catalogue.channels.name(number));
    let variant = |row: &StatsRow| row.group.variant.and_then(|arm| catalogue.arms.name(arm.0));
    impressions(a)
        .cmp(&impressions(b))
        .then_with(|| offer(a).cmp(&offer(b)))
        .then_with(|| placement(a).cmp(&placement(b)))
        .then_with(|| channel(a).cmp(&channel(b)))
        .then_with(|| variant(a).cmp(&variant(b)))
        .then_with(|| b.group.day.cmp(&a.group.day))
}

impl OutcomeFigures {
    /// The number of outcomes of this kind.
    pub fn count(&self, kind: OutcomeKind) -> u64 {
        self.counts[kind.index()]
    }

    /// Of the decisions since the process began, the share that was reported as seen.
    pub fn shown(&self) -> Option<Rate> {
        let (decisions, _) = self.decisions?;
        wilson(self.count(OutcomeKind::Impression).saturating_sub(self.before), decisions)
    }

    /// Of the impressions, the share that was clicked.
    pub fn click_through(&self) -> Option<Rate> {
        wilson(self.count(OutcomeKind::Click), self.count(OutcomeKind::Impression))
    }

    /// Of the impressions, the share that was taken.
    pub fn conversion(&self) -> Option<Rate> {
        wilson(self.count(OutcomeKind::Convert), self.count(OutcomeKind::Impression))
    }

    /// Of the clicks, the share that was taken.
    pub fn click_conversion(&self) -> Option<Rate> {
        wilson(self.count(OutcomeKind::Convert), self.count(OutcomeKind::Click))
    }

    fn add(&mut self, more: &OutcomeFigures) {
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

/// The score interval (Wilson, *Probable inference, the law of succession, and statistical inference*, JASA
/// 1927). It is also right for few trials and for rates near 0 and 1. The result is `None` without trials,
/// or with more successes than trials: a client that reports clicks but no impressions gives no proportion.
///
/// ```
/// let rate = usher::insight::stats::wilson(10, 100).unwrap();
/// assert_eq!(format!("{:.4} {:.4} {:.4}", rate.rate, rate.low, rate.high), "0.1000 0.0552 0.1744");
/// assert_eq!(usher::insight::stats::wilson(0, 0), None);
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
    // At the ends, rounding would leave a trace of what is exactly 0 or 1.
    let low = if successes == 0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if successes == trials { 1.0 } else { (centre + half).min(1.0) };
    Some(Rate { rate, low, high })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::rules::catalogue::Additions;
    use crate::rules::catalogue::{OfferEntry, PlaceEntry};

    const IMPRESSION: [u64; OutcomeKind::COUNT] = [1, 0, 0, 0];

    /// Offers `zinc`, `gold` and many more; placements `home` and `chat` on `app` and `web`; two arms.
    fn catalogue(offers: u32) -> Catalogue {
        let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect::<Vec<Box<str>>>();
        let name = |at| match at {
            0 => "zinc".into(),
            1 => "gold".into(),
            at => format!("offer-{at:05}"),
        };
        let offer = |at| (OfferNumber(at), OfferEntry { name: name(at).into(), ..OfferEntry::default() });
        let place = |placement, channel| PlaceEntry { placement, channel };
        Catalogue::new().with(&[Additions {
            names: [
                names(&["r"]),
                names(&[]),
                names(&["home", "chat"]),
                names(&["app", "web"]),
                names(&["e.a", "e.b"]),
            ],
            places: vec![place(0, 0), place(0, 1), place(1, 1)],
            offers: (0..offers).map(offer).collect(),
            ..Additions::default()
        }])
    }

    fn tallied(
        offer: u32,
        place: u16,
        arm: Option<u16>,
        day: u32,
        counts: [u64; OutcomeKind::COUNT],
    ) -> Tallied {
        let (offer, place) = (OfferNumber(offer), PlaceNumber(place));
        Tallied { offer, place, arm: arm.map(ArmNumber), day, counts, value: counts[3] as i64 * 1_500 }
    }

    fn chosen(offer: u32, place: u16, arm: Option<u16>, decisions: u64, fallbacks: u64) -> Chosen {
        let (offer, place) = (OfferNumber(offer), PlaceNumber(place));
        Chosen { offer, place, arm: arm.map(ArmNumber), decisions, fallbacks }
    }

    fn answer(query: &Query) -> Stats {
        let chosen = [
            chosen(0, 0, None, 100, 0),
            chosen(0, 0, Some(0), 60, 0),
            chosen(0, 0, Some(1), 40, 0),
            chosen(1, 2, None, 9, 9),
            chosen(77, 0, None, 1, 0),
            chosen(0, 9, None, 1, 0),
        ];
        let tallied = [
            tallied(0, 0, None, EARLIER, [5, 0, 0, 0]),
            tallied(0, 0, None, 20_000, [40, 8, 1, 2]),
            tallied(0, 0, Some(0), 20_000, [25, 5, 0, 2]),
            tallied(0, 0, Some(1), 20_000, [15, 3, 1, 0]),
            tallied(0, 1, None, 20_001, [10, 1, 0, 0]),
            tallied(1, 2, None, 20_001, [55, 60, 0, 1]),
            tallied(1, 9, None, 20_001, [1, 1, 1, 1]),
        ];
        let tallied_before = tallied[..1].to_vec();
        query.answer(&catalogue(2), StatsSources { chosen, tallied, tallied_before })
    }

    /// Compares rows, written as `names: decisions/fallbacks counts value`.
    fn check(query: &Query, expected: &[&str], total: &str) {
        let catalogue = catalogue(2);
        let figures = |figures: &OutcomeFigures| {
            let decisions =
                figures.decisions.map_or("-".into(), |(all, fallbacks)| format!("{all}/{fallbacks}"));
            let [seen, clicks, dismissed, taken] = figures.counts;
            format!("{decisions} {seen} {clicks} {dismissed} {taken} {}", figures.value)
        };
        let row = |StatsRow { group, figures: of }: &StatsRow| {
            let names = [
                group.offer.map(|offer| catalogue.offer(offer).unwrap().name.to_string()),
                group.placement.map(|number| catalogue.placements.name(number).unwrap().to_owned()),
                group.channel.map(|number| catalogue.channels.name(number).unwrap().to_owned()),
                group.variant.map(|arm| catalogue.arms.name(arm.0).unwrap().to_owned()),
                group.day.map(|day| day.to_string()),
            ];
            format!("{}: {}", names.into_iter().flatten().collect::<Vec<_>>().join(" "), figures(of))
        };
        let found = answer(query);
        assert_eq!(found.rows.iter().map(row).collect::<Vec<_>>(), expected, "{query:?}");
        assert_eq!((figures(&found.total), found.omitted), (total.to_owned(), 0), "{query:?}");
    }

    #[test]
    fn rows_are_grouped_by_what_is_asked_for() {
        use Dimension::{Channel, Day, Offer, Placement, Variant};
        const ALL: &str = "109/9 110 69 1 3 4500";
        let by = |by: &[Dimension]| Query { by: by.to_vec(), ..Query::default() };
        check(&by(&[]), &[": 109/9 110 69 1 3 4500"], ALL);
        // As many impressions, so by name.
        check(&by(&[Offer]), &["gold: 9/9 55 60 0 1 1500", "zinc: 100/0 55 9 1 2 3000"], ALL);
        check(&by(&[Channel]), &["web: 9/9 65 61 0 1 1500", "app: 100/0 45 8 1 2 3000"], ALL);
        check(
            &by(&[Channel, Placement]),
            &["chat web: 9/9 55 60 0 1 1500", "home app: 100/0 45 8 1 2 3000", "home web: 0/0 10 1 0 0 0"],
            ALL,
        );
        check(&by(&[Variant]), &["e.a: 60/0 25 5 0 2 3000", "e.b: 40/0 15 3 1 0 0"], ALL);
        let total = "- 110 69 1 3 4500";
        check(&by(&[Day]), &["20001: - 65 61 0 1 1500", "20000: - 40 8 1 2 3000", "0: - 5 0 0 0 0"], total);
    }

    #[test]
    fn only_what_is_asked_for_is_counted() {
        use Dimension::{Offer, Variant};
        let by = |by: &[Dimension]| Query { by: by.to_vec(), ..Query::default() };
        let zinc = Some(OfferNumber(0));
        check(&Query { offer: zinc, ..by(&[Offer]) }, &["zinc: 100/0 55 9 1 2 3000"], "100/0 55 9 1 2 3000");
        let web = Query { channel: Some(1), placement: Some(0), ..by(&[Offer]) };
        check(&web, &["zinc: 0/0 10 1 0 0 0"], "0/0 10 1 0 0 0");
        for dimensions in [&[Variant][..], &[]] {
            let name = if dimensions.is_empty() { "" } else { "e.b" };
            let variant = Query { variant: Some(ArmNumber(1)), ..by(dimensions) };
            check(&variant, &[&format!("{name}: 40/0 15 3 1 0 0")], "40/0 15 3 1 0 0");
        }
        let later = Query { from: Some(1), to: Some(20_000), ..by(&[Offer]) };
        check(&later, &["zinc: - 40 8 1 2 3000"], "- 40 8 1 2 3000");
        let until = Query { to: Some(20_000), ..by(&[]) };
        check(&until, &[": - 45 8 1 2 3000"], "- 45 8 1 2 3000");
        check(&Query { from: Some(30_000), ..by(&[Offer]) }, &[], "- 0 0 0 0 0");
    }

    #[test]
    fn what_was_there_before_is_told_without_days() {
        let rows = [
            tallied(0, 0, None, 20_000, [1, 2, 3, 4]),
            tallied(0, 0, None, EARLIER, [10, 0, 0, 0]),
            tallied(0, 0, Some(1), 20_000, [5, 0, 0, 0]),
        ];
        let mut found = without_days(rows);
        found.sort_by_key(|row| row.arm);
        let all = Tallied { value: 6_000, ..tallied(0, 0, None, EARLIER, [11, 2, 3, 4]) };
        assert_eq!(found, [all, tallied(0, 0, Some(1), EARLIER, [5, 0, 0, 0])]);
    }

    #[test]
    fn rates_are_of_what_there_is_to_divide_by() {
        let found = answer(&Query { by: vec![Dimension::Offer], ..Query::default() });
        let [gold, zinc] = &found.rows[..] else { panic!("{found:?}") };
        let rate = |rate: Option<Rate>| rate.map(|rate| rate.rate);
        assert_eq!(
            rate(zinc.figures.shown()),
            Some(0.5),
            "55 impressions, 5 of them before, of 100 decisions"
        );
        assert_eq!(rate(zinc.figures.click_through()), Some(9.0 / 55.0));
        assert_eq!(rate(zinc.figures.conversion()), Some(2.0 / 55.0));
        assert_eq!(rate(zinc.figures.click_conversion()), Some(2.0 / 9.0));
        assert_eq!(gold.figures.click_through(), None, "more clicks than impressions");
        assert_eq!(gold.figures.shown(), None, "more impressions than decisions");
        assert_eq!(OutcomeFigures::default().conversion(), None);
    }

    #[test]
    fn intervals_are_those_of_wilson() {
        // The first four are from Newcombe, Two-sided confidence intervals for the single proportion,
        // Statistics in Medicine 1998.
        for (successes, trials, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
            (5, 10, 0.2366, 0.7634),
            (10, 10, 0.7225, 1.0),
            (1, 1, 0.2065, 1.0),
            (500_000, 1_000_000, 0.4990, 0.5010),
        ] {
            let found = wilson(successes, trials).unwrap();
            let near = |a: f64, b: f64| (a - b).abs() < 6e-5;
            assert!(near(found.low, low) && near(found.high, high), "{successes}/{trials}: {found:?}");
            assert!(found.low <= found.rate && found.rate <= found.high, "{found:?}");
        }
        assert_eq!((wilson(0, 0), wilson(2, 1)), (None, None));
        let most = wilson(u64::MAX, u64::MAX).unwrap();
        assert_eq!((most.rate, most.high), (1.0, 1.0));
    }

    #[test]
    fn rows_are_bounded_and_those_left_out_are_counted_in_the_total() {
        let offers = MAX_ROWS as u32 + 500;
        let catalogue = Arc::new(catalogue(offers));
        let tallied: Vec<Tallied> = (0..offers)
            .map(|at| Tallied {
                counts: if at % 7 == 0 { [9, 0, 0, 0] } else { IMPRESSION },
                ..tallied(at, 0, None, 1, IMPRESSION)
            })
            .collect();
        let query = Query { by: vec![Dimension::Offer], ..Query::default() };
        let found = query
            .answer(&catalogue, StatsSources { chosen: [], tallied: tallied.clone(), tallied_before: [] });
        assert_eq!((found.rows.len(), found.omitted), (MAX_ROWS, 500));
        assert_eq!(found.total.counts[0], tallied.iter().map(|row| row.counts[0]).sum::<u64>());
        let seen: Vec<u64> = found.rows.iter().map(|row| row.figures.counts[0]).collect();
        assert!(seen.is_sorted_by(|a, b| a >= b));
        assert_eq!(seen.iter().filter(|seen| **seen == 9).count(), offers.div_ceil(7) as usize);
        let last = found.rows.last().unwrap().group.offer.unwrap();
        let shown: Vec<OfferNumber> = found.rows.iter().filter_map(|row| row.group.offer).collect();
        let name = |offer: OfferNumber| &catalogue.offer(offer).unwrap().name;
        assert!(
            (0..offers).map(OfferNumber).filter(|at| !shown.contains(at)).all(|at| name(at) > name(last))
        );
    }
}
