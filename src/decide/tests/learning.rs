//! Offers whose propensity is learned: the choice is drawn, the propensity is that of the draw, and the
//! same seed draws the same.

use std::sync::Arc;

use super::*;
use crate::learning::lesson::LessonKey;
use crate::learning::{Learned, Pace};

const RULES: &str = "rule_set: r
placements: {slot: {channels: [app], count: 1}}
tags: {old: age >= 60}
offers:
  a: {placements: [slot], propensity: {learned: thompson, floor: 0.1, by: [tag.old]}, treatments: [{placement: slot, content: {}}]}
  b: {placements: [slot], propensity: {learned: thompson, prior: {yes: 1, no: 9}}, treatments: [{placement: slot, content: {}}]}
  c: {placements: [slot], propensity: 0.08, treatments: [{placement: slot, content: {}}]}
  d: {placements: [slot], propensity: 0.02, treatments: [{placement: slot, content: {}}]}
  e: {placements: [slot], when: age > 200, propensity: {learned: thompson}, treatments: [{placement: slot, content: {}}]}
  f: {placements: [slot], priority: 9, treatments: [{placement: slot, content: {}}]}
";

/// This many impressions and clicks of `a`, for old customers only.
struct Taught(u32, u32);

impl Lessons for Taught {
    fn learned(&self, key: LessonKey) -> Option<Arc<Learned>> {
        let pace = Pace { window_s: 3_600, half_life_s: 0 };
        let mut learned = Learned::default();
        for shown in 0..self.0 {
            learned.shown(1_000, 1_000, pace);
            if shown < self.1 {
                learned.clicked(1_000, 1_000, pace);
            }
        }
        (key.offer.0 == 0 && key.segment == 1).then(|| Arc::new(learned))
    }
}

fn decided(
    age: u64,
    lessons: &dyn Lessons,
    seed: u64,
    count: usize,
    explain: bool,
) -> Vec<(String, f64, u8)> {
    static ENGINE: std::sync::LazyLock<Engine> = std::sync::LazyLock::new(|| compile(&[RULES]).unwrap());
    let engine = &*ENGINE;
    let mut row = vec![0; engine.schema.row_words()];
    let id = engine.schema.feature_id("age").unwrap();
    engine.schema.feature(id).field.unwrap().write(&mut row, age + 1);
    let placements = &[(engine.placement_id("slot").unwrap(), count)];
    let request = Request { lessons, seed, explain, ..asked(engine, placements) };
    let now = Time::from_seconds(100_000);
    let decision = decide(engine, FeatureVector::new(&row), &request, now);
    let shown = &decision.placements[0];
    if explain {
        let ranks = shown.explanations.iter().filter_map(|e| Some((e.rank?, e.offer.name.to_string())));
        let offers = shown.propositions.iter().map(|p| (p.rank, p.offer.name.to_string()));
        assert_eq!(ranks.collect::<Vec<_>>(), offers.collect::<Vec<_>>());
    }
    shown.propositions.iter().map(|p| (p.offer.name.to_string(), p.propensity, p.segment)).collect()
}

/// How many decisions frequencies are counted over.
fn seeds() -> u64 {
    crate::testing::rounds(1_000, 4_000)
}

/// How often each offer comes first over many seeds, and the propensities that are logged.
fn frequencies(age: u64, lessons: &dyn Lessons) -> std::collections::BTreeMap<String, (f64, f64)> {
    let mut found = std::collections::BTreeMap::<String, (f64, f64)>::new();
    let seeds = seeds();
    for seed in 0..seeds {
        let (offer, propensity, _) = decided(age, lessons, seed, 1, false).remove(0);
        let entry = found.entry(offer).or_insert((0.0, propensity));
        entry.0 += 1.0 / seeds as f64;
        assert!((entry.1 - propensity).abs() < 1e-12, "the same facts, the same propensity");
    }
    found
}

#[test]
fn each_offer_is_chosen_as_often_as_its_propensity_says() {
    for (age, lessons) in [(30, &NoLessons as &dyn Lessons), (70, &Taught(50, 1)), (70, &Taught(50, 40))] {
        let found = frequencies(age, lessons);
        let sum: f64 = found.values().map(|(_, propensity)| propensity).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{found:?}");
        for (offer, (share, propensity)) in &found {
            let error = (propensity * (1.0 - propensity) / seeds() as f64).sqrt();
            assert!((share - propensity).abs() < 4.5 * error, "{offer}: {share} of {propensity}");
            assert!(*propensity >= 0.1 / 3.0 - 1e-9, "{offer} has its part of the floor: {propensity}");
        }
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(names, ["a", "b", "c"], "the best known offer competes, those behind it wait");
    }
}

#[test]
fn what_was_taught_counts_for_its_segment() {
    let of_a = |age, lessons: &dyn Lessons| frequencies(age, lessons)["a"].1;
    assert!(of_a(70, &Taught(50, 40)) > 0.9);
    assert!(of_a(70, &Taught(50, 1)) < 0.2);
    assert_eq!(of_a(30, &Taught(50, 40)), of_a(30, &NoLessons), "another segment");
    assert_eq!(decided(70, &Taught(50, 40), 1, 1, false)[0].2, 1, "the segment is told");
}

#[test]
fn the_same_seed_decides_the_same_explained_or_not() {
    for seed in 0..200 {
        let shown = decided(70, &Taught(20, 3), seed, 5, false);
        assert_eq!(shown, decided(70, &Taught(20, 3), seed, 5, true));
        let mut names: Vec<&str> = shown.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names.pop(), Some("f"), "the last tier is the last");
        let place = |name| names.iter().position(|shown| *shown == name).unwrap();
        assert!(place("c") < place("d"), "known offers keep their order");
        names.sort_unstable();
        assert_eq!(names, ["a", "b", "c", "d"]);
    }
}

/// No budget has a place left, or others hold all places.
struct NothingLeft;

impl Budgets for NothingLeft {
    fn take(&self, _: &str, _: &crate::customer::outcome::BudgetUse, _: u32, _: Time) -> bool {
        false
    }
}

#[test]
fn what_has_no_place_in_its_budget_takes_no_part_in_the_draw() {
    let text = RULES.replace("  b: {placements: [slot],", "  b: {placements: [slot], budgets: [few],");
    let engine =
        compile(&[&text.replace("tags:", "budgets: {few: {max: 9, on: impression}}\ntags:")]).unwrap();
    let placement = engine.placement_id("slot").unwrap();
    for seed in 0..300 {
        let placements = &[(placement, 2)];
        let request =
            Request { budgets: &NothingLeft, seed, explain: seed % 2 == 0, ..asked(&engine, placements) };
        let decision = decide(&engine, FeatureVector::unknown(), &request, Time::from_seconds(100_000));
        let [first, second] = &decision.placements[0].propositions[..] else { panic!("two") };
        let names = [&*first.offer.name, &*second.offer.name];
        assert!(["a", "c"].contains(&names[0]) && !names.contains(&"b"), "{names:?}");
        assert!(first.propensity < 1.0);
        // Behind `a`, the known offers are left, and the best of them is certain. Behind `c`, the next
        // known one competes.
        assert_eq!(second.propensity == 1.0, names[0] == "a", "{names:?}: {}", second.propensity);
    }
}
