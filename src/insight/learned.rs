//! What outcomes taught about the offers in force: for each placement and segment, with what may change yet.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::customer::numbers::OfferNumber;
use crate::engine::{Engine, Offer};
use crate::learning::lesson::LessonKey;
use crate::learning::{Learned, LearnedCounts};
use crate::rules::rule_set::LearnedRule;

/// What was learned of an offer, on a placement and in a segment.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnedRow<'e> {
    /// The offer.
    pub offer: &'e str,
    /// The placement's number in the catalogue.
    pub placement: u16,
    /// The conditions of `by` that hold for customers of the segment. The others do not.
    pub segment: Vec<&'e str>,
    /// The outcomes that were counted.
    pub counts: LearnedCounts,
    /// The chance that is expected after them, 0 to 1: with the prior.
    pub chance: f64,
}

/// How much was learned of the offers in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LearnedTotals {
    /// How many rows [`learned`] has.
    pub rows: usize,
    /// The sum of their [`pending`](LearnedCounts::pending) impressions.
    pub pending: u64,
}

/// The sums of what [`learned`] tells row by row. A scrape asks for them again and again, on a thread that
/// also decides: nothing is named or sorted.
pub fn totals(
    engine: &Engine,
    lessons: impl IntoIterator<Item = (LessonKey, Learned)>,
    now_s: u32,
) -> LearnedTotals {
    let known = of_learners(engine, lessons);
    known.fold(LearnedTotals::default(), |all, (_, rule, _, learned)| LearnedTotals {
        rows: all.rows + 1,
        pending: all.pending + learned.counts(now_s, rule.pace).pending,
    })
}

/// What `lessons` say at `now_s` about offers that learn, by offer, placement and segment. Lessons of other
/// offers are left out: no decision asks for them.
pub fn learned<'e>(
    engine: &'e Engine,
    lessons: impl IntoIterator<Item = (LessonKey, Learned)>,
    now_s: u32,
) -> Vec<LearnedRow<'e>> {
    let row = |(offer, rule, key, learned): (&'e Offer, &'e LearnedRule, LessonKey, Learned)| {
        let conditions = rule.by.iter().enumerate();
        let segment = conditions.filter(|(bit, _)| key.segment & 1 << bit != 0).map(|(_, by)| &*by.text);
        let counts = learned.counts(now_s, rule.pace);
        let chance = counts.after(rule.prior).mean();
        let (offer, placement) = (&*offer.name, key.placement);
        LearnedRow { offer, placement, segment: segment.collect(), counts, chance }
    };
    let mut rows: Vec<LearnedRow<'_>> = of_learners(engine, lessons).map(row).collect();
    rows.sort_by(|a, b| (a.offer, a.placement, &a.segment).cmp(&(b.offer, b.placement, &b.segment)));
    rows
}

/// The lessons of offers that learn, each with its offer and how that learns.
fn of_learners(
    engine: &Engine,
    lessons: impl IntoIterator<Item = (LessonKey, Learned)>,
) -> impl Iterator<Item = (&Offer, &LearnedRule, LessonKey, Learned)> {
    let offers = engine.offers().iter();
    let offers: HashMap<OfferNumber, (&Offer, &LearnedRule), FixedState> =
        offers.filter_map(|offer| Some((offer.number, (offer, offer.learned.as_deref()?)))).collect();
    lessons.into_iter().filter_map(move |(key, learned)| {
        let (offer, rule) = *offers.get(&key.offer)?;
        Some((offer, rule, key, learned))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::learning::Pace;
    use crate::rules::rule_set::RuleSet;
    use crate::schema::Schema;

    const RULES: &str = "rule_set: r
placements: {slot: {channels: [app]}}
offers:
  a:
    placements: [slot]
    propensity: {learned: thompson, prior: {yes: 1, no: 9}, window: 1m, half_life: never, by: [age > 60, age < 30]}
    treatments: [{placement: slot, content: {}}]
  b: {placements: [slot], propensity: 0.1, treatments: [{placement: slot, content: {}}]}
";

    #[test]
    fn rows_are_of_offers_that_learn_and_name_their_segment() {
        let schema = "schema: s\nchannels: [app]\nfeatures:\n  age: {kind: int, min: 0, max: 120}\n";
        let schema = Arc::new(Schema::parse("schema.yaml", schema).unwrap());
        let set = Arc::new(RuleSet::parse("r", RULES, &schema).unwrap_or_else(|e| panic!("{e}")));
        let engine = Engine::compile(&schema, &[(set, 1)]).unwrap();
        let number = |name: &str| engine.offers().iter().find(|offer| &*offer.name == name).unwrap().number;
        let pace = Pace { window_s: 60, half_life_s: 0 };
        let mut taught = Learned::default();
        (0..4).for_each(|_| taught.shown(1_000, 1_000, pace));
        taught.clicked(1_000, 1_010, pace);
        let key = |offer, segment| LessonKey { offer, placement: 3, segment };
        let lessons = [
            (key(number("a"), 2), taught.clone()),
            (key(number("a"), 0), Learned::default()),
            (key(number("b"), 0), taught.clone()),
            (key(OfferNumber(77), 0), taught),
        ];
        let found = |now_s| -> Vec<(Vec<&str>, LearnedCounts, f64)> {
            let rows = learned(&engine, lessons.clone(), now_s).into_iter();
            rows.map(|row| (row.segment, row.counts, row.chance)).collect()
        };
        let none = (vec![], LearnedCounts::default(), 0.1);
        let counts = |pending| LearnedCounts { yes: 1.0, no: 3.0, pending };
        assert_eq!(found(1_020), [none.clone(), (vec!["age < 30"], counts(3), 2.0 / 14.0)]);
        for (now_s, pending) in [(1_020, 3), (9_999, 0)] {
            assert_eq!(totals(&engine, lessons.clone(), now_s), LearnedTotals { rows: 2, pending });
        }
        assert_eq!(found(9_999), [none, (vec!["age < 30"], counts(0), 2.0 / 14.0)]);
    }
}
