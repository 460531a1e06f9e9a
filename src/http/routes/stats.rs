//! `/v1/stats`: how often offers were chosen, and with what outcomes.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;

use crate::customer::numbers::{ArmNumber, PlaceNumber};
use crate::customer::outcome::OutcomeKind;
use crate::expression::arm::{Arm, SLOTS};
use crate::http::call::Call;
use crate::http::wire::answer::Answer;
use crate::http::wire::encode::Encode;
use crate::http::wire::media::Format;
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::http::wire::{answer, query};
use crate::input::problem::{Problem, Problems, quoted};
use crate::insight::decided::{PlaceCounts, Split, SplitArm};
use crate::insight::learned::{LearnedRow, learned};
use crate::insight::stats::{
    Dimension, EARLIER, ExperimentSplit, MAX_ROWS, OutcomeFigures, Query, Rate, Stats, StatsRow,
    StatsSources, Tallied, VariantSplit,
};
use crate::learning::lesson::LessonKey;
use crate::node::Node;
use crate::node::live::Live;
use crate::rules::catalogue::{Catalogue, Names};
use crate::schema::value::{DAY_SECONDS, Time};

const PARAMETERS: [&str; 7] = ["by", "offer", "placement", "channel", "variant", "from", "to"];

/// `GET /v1/stats`. Joining many counts takes a while, so it runs off the threads that decide, one request at
/// a time.
pub(crate) async fn get(call: &Call<'_>) -> Result<Answer, Refusal> {
    let given = query::known(call.head.target.query(), PARAMETERS)?;
    let query = asked(&given, &call.node.live().definitions.catalogue)?;
    let turn = call.worker.shared.stats.turn().await?;
    let (node, format) = (Arc::clone(call.node), call.format);
    let work = tokio::task::spawn_blocking(move || {
        let document = document(&node, &query, format);
        drop(turn);
        document
    });
    let document = work.await.map_err(|_| {
        call.worker.counters().panics.add(1);
        Refusal::new(ProblemKind::Internal, "computing the statistics failed")
    })?;
    Ok(answer::with(StatusCode::OK, format.content_type(), document))
}

/// How the customers with decisions are split over the arms of the experiments in force.
fn experiments(live: &Live) -> Vec<ExperimentSplit> {
    let Live { engine, decided, .. } = live;
    let of_one = |((_, arms), split): ((&str, &[Arm]), &Arc<Split>)| {
        let name = arms.first().map_or_else(String::new, |arm| arm.experiment.to_string());
        let variant = |(arm, counted): (&Arm, &SplitArm)| {
            let variant = arm.name.split_once('.').map_or(&*arm.name, |(_, variant)| variant);
            VariantSplit {
                name: variant.to_owned(),
                share: f64::from(arm.share) / f64::from(SLOTS),
                customers: counted.customers(),
                exposed: engine.is_shown(&name, variant).then(|| counted.exposed()),
            }
        };
        let variants = arms.iter().zip(split.arms()).map(variant).collect();
        let sum = split.ratio();
        ExperimentSplit {
            variants,
            name,
            stretches: sum.stretches(),
            p_value: sum.ratio().map(|ratio| ratio.p_value),
            mismatch: sum.ratio().is_some_and(|ratio| ratio.is_mismatch()),
        }
    };
    engine.experiments().filter(|(_, arms)| !arms.is_empty()).zip(decided.splits()).map(of_one).collect()
}

fn document(node: &Node, query: &Query, format: Format) -> Bytes {
    let sequence = node.sequence();
    let tallies = node.figures().tallies();
    let tallied = tallies.rows().map(Tallied::from);
    let tallied_before = node.tallied_before();
    let live = node.live();
    let catalogue = &*live.definitions.catalogue;
    let counted = StatsSources {
        chosen: live.decided.chosen(),
        tallied,
        tallied_before: tallied_before.iter().copied(),
    };
    let document = Document {
        since: live.decided.since(),
        sequence,
        query,
        catalogue,
        stats: query.answer(catalogue, counted),
        places: places(&live, query),
        experiments: experiments(&live),
        learned: lessons(node, &live, query),
        left_out: (live.decided.left_out() as u64, tallies.uncounted()),
    };
    answer::render(format, |out| document.write(out))
}

/// The requested placements by channel, busiest first. Their counts know no offer, variant or day, so filters
/// on these do not narrow them.
fn places(live: &Live, query: &Query) -> Vec<(PlaceNumber, PlaceCounts)> {
    let catalogue = &live.definitions.catalogue;
    let is_asked = |place: &PlaceNumber| {
        catalogue.place(*place).is_some_and(|at| {
            query.placement.is_none_or(|placement| placement == at.placement)
                && query.channel.is_none_or(|channel| channel == at.channel)
        })
    };
    let mut places: Vec<_> = live.decided.asked().filter(|(place, _)| is_asked(place)).collect();
    places.sort_by_key(|(place, asked)| (std::cmp::Reverse(asked.asked), *place));
    places.truncate(MAX_ROWS);
    places
}

/// What was learned of the offers in force, on the requested placement. It knows no channel, variant or day.
fn lessons<'l>(node: &Node, live: &'l Live, query: &Query) -> Vec<LearnedRow<'l>> {
    let is_asked = |key: &LessonKey| {
        query.offer.is_none_or(|offer| offer == key.offer)
            && query.placement.is_none_or(|placement| placement == key.placement)
    };
    let lessons = node.figures().lessons().into_iter().filter(|(key, _)| is_asked(key));
    learned(&live.engine, lessons, node.now().stored_seconds())
}

/// Reads the parameters; names must be in the catalogue.
fn asked(given: &[Option<Cow<'_, str>>; 7], catalogue: &Catalogue) -> Result<Query, Refusal> {
    let mut problems = Problems::new();
    let [by, offer, placement, channel, variant, from, to] = given.each_ref().map(Option::as_deref);
    let by = by.map_or_else(|| vec![Dimension::Offer], |text| dimensions(text, &mut problems));
    let offers = || catalogue.offers().iter().map(|offer| &*offer.name).filter(|name| !name.is_empty());
    let mut in_names = |name, text: Option<&str>, names: &Names| {
        let all = || names.iter().map(|(_, name)| name);
        known(name, text, |text| names.number(text), all, &mut problems)
    };
    let (placement, channel) = (
        in_names("placement", placement, &catalogue.placements),
        in_names("channel", channel, &catalogue.channels),
    );
    let variant = in_names("variant", variant, &catalogue.arms).map(ArmNumber);
    let offer = known("offer", offer, |text| catalogue.offer_number(text), offers, &mut problems);
    let (from, to) = (day("from", from, &mut problems), day("to", to, &mut problems));
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        problems.push(query::problem("from", "`from` is after `to`"));
    }
    Ok(problems.or(Query { by, offer, placement, channel, variant, from, to })?)
}

fn dimensions(text: &str, problems: &mut Problems) -> Vec<Dimension> {
    let names = || Dimension::ALL.iter().map(|dimension| dimension.name());
    let mut by = Vec::new();
    for name in text.split(',').filter(|_| !text.is_empty()) {
        match Dimension::ALL.into_iter().find(|dimension| dimension.name() == name) {
            Some(dimension) if by.contains(&dimension) => {
                problems.push(query::problem("by", format!("`{name}` is given twice")));
            }
            Some(dimension) => by.push(dimension),
            None => {
                let problem = query::problem("by", format!("unknown dimension {}", quoted(name)));
                let problem = problem.nearest(name, names());
                let listed = || format!("known here: {}", names().collect::<Vec<_>>().join(", "));
                let hint = problem.hint.clone().unwrap_or_else(listed);
                problems.push(problem.hint(hint));
            }
        }
    }
    by
}

/// The number of this name. An unknown name is reported with the nearest known one.
fn known<'n, T, N: Iterator<Item = &'n str>>(
    name: &str,
    text: Option<&str>,
    find: impl Fn(&str) -> Option<T>,
    all: impl Fn() -> N,
    problems: &mut Problems,
) -> Option<T> {
    let text = text?;
    let found = find(text);
    if found.is_none() {
        let problem = query::problem(name, format!("unknown {name} {}", quoted(text))).nearest(text, all());
        problems.push(match all().next() {
            None => problem.hint(format!("no published rule set has ever had a {name}")),
            Some(_) => problem,
        });
    }
    found
}

/// A day, as days since 1970.
fn day(name: &str, text: Option<&str>, problems: &mut Problems) -> Option<u32> {
    let text = text?;
    let found: Option<Problem> = match Time::parse(text).filter(|_| text.len() == 10) {
        Some(time) => match u32::try_from(time.seconds() / i64::from(DAY_SECONDS)) {
            Ok(day) if time.seconds() >= 0 => return Some(day),
            _ => Some(query::problem(name, format!("{text} is before 1970"))),
        },
        None => None,
    };
    problems.push(found.unwrap_or_else(|| {
        query::problem(name, format!("expected a day such as 2026-11-01, found {}", quoted(text)))
    }));
    None
}

fn day_text(day: u32) -> String {
    if day == EARLIER {
        return "earlier".into();
    }
    let text = Time::from_seconds(i64::from(day) * i64::from(DAY_SECONDS)).to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}

/// The parts of the answer.
struct Document<'d> {
    since: Time,
    sequence: u64,
    query: &'d Query,
    catalogue: &'d Catalogue,
    stats: Stats,
    places: Vec<(PlaceNumber, PlaceCounts)>,
    experiments: Vec<ExperimentSplit>,
    learned: Vec<LearnedRow<'d>>,
    /// How many combinations have uncounted decisions, and how many outcomes were not counted.
    left_out: (u64, u64),
}

impl Document<'_> {
    fn write(&self, out: &mut dyn Encode) {
        out.map();
        out.key("since");
        out.text(&self.since.to_string());
        out.key("sequence");
        out.unsigned(self.sequence);
        out.key("by");
        out.list();
        self.query.by.iter().for_each(|dimension| out.text(dimension.name()));
        out.end_list();
        out.key("rows");
        out.list();
        self.stats.rows.iter().for_each(|row| self.write_row(out, row));
        out.end_list();
        out.key("omitted");
        out.unsigned(self.stats.omitted as u64);
        out.key("funnel");
        out.map();
        write_figures(out, &self.stats.total);
        out.end_map();
        out.key("places");
        out.list();
        self.places.iter().for_each(|(place, asked)| self.write_place(out, *place, asked));
        out.end_list();
        out.key("experiments");
        out.list();
        self.experiments.iter().for_each(|experiment| write_experiment(out, experiment));
        out.end_list();
        out.key("learned");
        out.list();
        self.learned.iter().take(MAX_ROWS).for_each(|row| self.write_learned(out, row));
        out.end_list();
        out.key("learned_omitted");
        out.unsigned(self.learned.len().saturating_sub(MAX_ROWS) as u64);
        out.key("uncounted");
        out.map();
        out.key("combinations");
        out.unsigned(self.left_out.0);
        out.key("outcomes");
        out.unsigned(self.left_out.1);
        out.end_map();
        out.end_map();
    }

    fn write_row(&self, out: &mut dyn Encode, StatsRow { group, figures }: &StatsRow) {
        let catalogue = self.catalogue;
        out.map();
        let labels = [
            (
                "offer",
                group.offer.and_then(|number| catalogue.offer(number)).map(|offer| Cow::from(&*offer.name)),
            ),
            (
                "placement",
                group.placement.and_then(|number| catalogue.placements.name(number)).map(Cow::from),
            ),
            ("channel", group.channel.and_then(|number| catalogue.channels.name(number)).map(Cow::from)),
            ("variant", group.variant.and_then(|arm| catalogue.arms.name(arm.0)).map(Cow::from)),
            ("day", group.day.map(|day| Cow::from(day_text(day)))),
        ];
        for (dimension, (key, label)) in Dimension::ALL.iter().zip(labels) {
            if self.query.by.contains(dimension) {
                out.key(key);
                match label {
                    Some(label) => out.text(&label),
                    None => out.null(),
                }
            }
        }
        write_figures(out, figures);
        out.end_map();
    }

    fn write_learned(&self, out: &mut dyn Encode, row: &LearnedRow<'_>) {
        let LearnedRow { offer, placement, segment, counts, chance } = row;
        out.map();
        out.key("offer");
        out.text(offer);
        out.key("placement");
        out.text(self.catalogue.placements.name(*placement).unwrap_or_default());
        out.key("segment");
        out.list();
        segment.iter().for_each(|condition| out.text(condition));
        out.end_list();
        out.key("yes");
        out.number(counts.yes);
        out.key("no");
        out.number(counts.no);
        out.key("pending");
        out.unsigned(counts.pending);
        out.key("chance");
        out.number(*chance);
        out.end_map();
    }

    fn write_place(&self, out: &mut dyn Encode, place: PlaceNumber, asked: &PlaceCounts) {
        let at = self.catalogue.place(place);
        let name = |number: Option<u16>, names: &Names| {
            number.and_then(|number| names.name(number)).unwrap_or_default().to_owned()
        };
        out.map();
        out.key("placement");
        out.text(&name(at.map(|at| at.placement), &self.catalogue.placements));
        out.key("channel");
        out.text(&name(at.map(|at| at.channel), &self.catalogue.channels));
        let PlaceCounts { asked, fallbacks, empty, degraded } = *asked;
        for (key, count) in
            [("asked", asked), ("fallbacks", fallbacks), ("empty", empty), ("degraded", degraded)]
        {
            out.key(key);
            out.unsigned(count);
        }
        out.end_map();
    }
}

fn rates(figures: &OutcomeFigures) -> [(&'static str, Option<Rate>); 4] {
    [
        ("shown", figures.shown()),
        ("click_through", figures.click_through()),
        ("conversion", figures.conversion()),
        ("click_conversion", figures.click_conversion()),
    ]
}

fn write_figures(out: &mut dyn Encode, figures: &OutcomeFigures) {
    if let Some((decisions, fallbacks)) = figures.decisions {
        out.key("decisions");
        out.unsigned(decisions);
        out.key("fallbacks");
        out.unsigned(fallbacks);
    }
    for (key, kind) in [
        ("impressions", OutcomeKind::Impression),
        ("clicks", OutcomeKind::Click),
        ("dismissals", OutcomeKind::Dismiss),
        ("conversions", OutcomeKind::Convert),
    ] {
        out.key(key);
        out.unsigned(figures.count(kind));
    }
    out.key("value");
    out.number(figures.value as f64 / 1_000.0);
    for (key, rate) in rates(figures) {
        let Some(Rate { rate, low, high }) = rate else { continue };
        out.key(key);
        out.map();
        for (key, number) in [("rate", rate), ("low", low), ("high", high)] {
            out.key(key);
            out.number(number);
        }
        out.end_map();
    }
}

fn write_experiment(out: &mut dyn Encode, experiment: &ExperimentSplit) {
    out.map();
    out.key("name");
    out.text(&experiment.name);
    out.key("variants");
    out.list();
    for variant in &experiment.variants {
        out.map();
        out.key("variant");
        out.text(&variant.name);
        out.key("share");
        out.number(variant.share);
        out.key("customers");
        out.unsigned(variant.customers);
        out.key("exposed");
        match variant.exposed {
            Some(exposed) => out.unsigned(exposed),
            None => out.null(),
        }
        out.end_map();
    }
    out.end_list();
    out.key("stretches");
    out.unsigned(experiment.stretches as u64);
    out.key("p_value");
    match experiment.p_value {
        Some(p_value) => out.number(p_value),
        None => out.null(),
    }
    out.key("mismatch");
    out.boolean(experiment.mismatch);
    out.end_map();
}
