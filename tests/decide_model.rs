//! Deciding against a naive model. Conditions, guardrails, offers and customers are random. Each is written
//! once as CEL for the engine, and evaluated once more here over plain options, without any of the engine's
//! code.

#![allow(clippy::unwrap_used)] // a helper that cannot go on fails its test

#[path = "../src/testing.rs"]
mod testing;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use testing::rounds;
use usher::decide::{Context, Request, decide};
use usher::engine::Engine;
use usher::insight::analysis::AnalysisScope;
use usher::rules::rule_set::RuleSet;
use usher::schema::Schema;
use usher::schema::value::Time;
use usher::schema::vector::FeatureVector;

const SCHEMA: &str = "
schema: model
features:
  a: {kind: int, min: -5, max: 5}
  b: {kind: int, min: -5, max: 5}
  f: {kind: bool}
  g: {kind: bool}
  t: {kind: enum, values: [v0, v1, v2, v3], ordered: true}
  s: {kind: set, values: [w0, w1, w2]}
offer_attributes:
  level: {kind: enum, values: [v0, v1, v2, v3], ordered: true}
";

/// A customer as plain options.
#[derive(Debug, Clone, Default)]
struct Customer {
    ints: [Option<i64>; 2],
    bools: [Option<bool>; 2],
    tier: Option<usize>,
    set: Option<[bool; 3]>,
}

/// A condition as a tree of its own.
#[derive(Debug, Clone)]
enum Condition {
    Constant(bool),
    Flag(usize),
    Int(usize, &'static str, i64),
    Ints(&'static str),
    SumOver(i64),
    OneOf(usize, Vec<i64>),
    Tier(&'static str, usize),
    /// `offer.level == null || offer.level <= t`
    LevelFits,
    InSet(usize),
    Has(usize),
    Tag(usize),
    Not(Box<Condition>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
    If(Box<[Condition; 3]>),
}

const INTS: [&str; 2] = ["a", "b"];
const BOOLS: [&str; 2] = ["f", "g"];

impl Condition {
    fn text(&self) -> String {
        let join = |all: &[Condition], with: &str| {
            let texts: Vec<String> = all.iter().map(Condition::text).collect();
            format!("({})", texts.join(with))
        };
        match self {
            Condition::Constant(b) => b.to_string(),
            Condition::Flag(i) => BOOLS[*i].into(),
            Condition::Int(i, op, n) => format!("{} {op} {n}", INTS[*i]),
            Condition::Ints(op) => format!("a {op} b"),
            Condition::SumOver(n) => format!("a * 2 + b > {n}"),
            Condition::OneOf(i, list) => format!("{} in {list:?}", INTS[*i]),
            Condition::Tier(op, v) => format!("t {op} 'v{v}'"),
            Condition::LevelFits => "(offer.level == null || offer.level <= t)".into(),
            Condition::InSet(w) => format!("'w{w}' in s"),
            Condition::Has(i) => format!("has(customer.{})", INTS[*i]),
            Condition::Tag(i) => format!("tag.tag{i}"),
            Condition::Not(inner) => format!("!({})", inner.text()),
            Condition::And(all) => join(all, " && "),
            Condition::Or(all) => join(all, " || "),
            Condition::If(three) => {
                format!("({} ? {} : {})", three[0].text(), three[1].text(), three[2].text())
            }
        }
    }

    /// True, false, or no answer.
    fn answer(&self, c: &Customer, level: Option<usize>, tags: &[Condition]) -> Option<bool> {
        let again = |condition: &Condition| condition.answer(c, level, tags);
        match self {
            Condition::Constant(b) => Some(*b),
            Condition::Flag(i) => c.bools[*i],
            Condition::Int(i, op, n) => Some(holds(c.ints[*i]?, op, *n)),
            Condition::Ints(op) => Some(holds(c.ints[0]?, op, c.ints[1]?)),
            Condition::SumOver(n) => Some(c.ints[0]? * 2 + c.ints[1]? > *n),
            Condition::OneOf(i, list) => Some(list.contains(&c.ints[*i]?)),
            Condition::Tier(op, v) => Some(holds(c.tier? as i64, op, *v as i64)),
            Condition::LevelFits => match level {
                None => Some(true),
                Some(level) => Some(level <= c.tier?),
            },
            Condition::InSet(w) => Some(c.set?[*w]),
            Condition::Has(i) => Some(c.ints[*i].is_some()),
            Condition::Tag(i) => tags[*i].answer(c, level, &tags[..*i]),
            Condition::Not(inner) => again(inner).map(|b| !b),
            Condition::And(all) => {
                let answers: Vec<_> = all.iter().map(again).collect();
                if answers.contains(&Some(false)) {
                    Some(false)
                } else if answers.contains(&None) {
                    None
                } else {
                    Some(true)
                }
            }
            Condition::Or(all) => {
                let answers: Vec<_> = all.iter().map(again).collect();
                if answers.contains(&Some(true)) {
                    Some(true)
                } else if answers.contains(&None) {
                    None
                } else {
                    Some(false)
                }
            }
            Condition::If(three) => again(&three[if again(&three[0])? { 1 } else { 2 }]),
        }
    }
}

fn holds(left: i64, op: &str, right: i64) -> bool {
    match op {
        "==" => left == right,
        "!=" => left != right,
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        _ => left >= right,
    }
}

fn condition(tags: usize, offer: bool) -> impl Strategy<Value = Condition> {
    let op = || prop_oneof![Just("=="), Just("!="), Just("<"), Just("<="), Just(">"), Just(">=")];
    let mut leaves = vec![
        any::<bool>().prop_map(Condition::Constant).boxed(),
        (0_usize..2).prop_map(Condition::Flag).boxed(),
        (0_usize..2, op(), -6_i64..=6).prop_map(|(i, op, n)| Condition::Int(i, op, n)).boxed(),
        op().prop_map(Condition::Ints).boxed(),
        (-12_i64..12).prop_map(Condition::SumOver).boxed(),
        (0_usize..2, proptest::collection::vec(-6_i64..=6, 0..4))
            .prop_map(|(i, l)| Condition::OneOf(i, l))
            .boxed(),
        (op(), 0_usize..4).prop_map(|(op, v)| Condition::Tier(op, v)).boxed(),
        (0_usize..3).prop_map(Condition::InSet).boxed(),
        (0_usize..2).prop_map(Condition::Has).boxed(),
    ];
    if tags > 0 {
        leaves.push((0..tags).prop_map(Condition::Tag).boxed());
    }
    if offer {
        leaves.push(Just(Condition::LevelFits).boxed());
    }
    proptest::strategy::Union::new(leaves).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|c| Condition::Not(Box::new(c))),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Condition::And),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Condition::Or),
            [inner.clone(), inner.clone(), inner].prop_map(|three| Condition::If(Box::new(three))),
        ]
    })
}

#[derive(Debug, Clone)]
struct Offer {
    when: Option<Condition>,
    level: Option<usize>,
    priority: u8,
    value: u32,
    boost: u32,
    group: Option<usize>,
    placements: [bool; 2],
}

fn offer(tags: usize) -> impl Strategy<Value = Offer> {
    (
        proptest::option::of(condition(tags, true)),
        proptest::option::of(0_usize..4),
        1_u8..=3,
        0_u32..4,
        0_u32..3,
        proptest::option::of(0_usize..2),
        [any::<bool>(), any::<bool>()],
    )
        .prop_map(|(when, level, priority, value, boost, group, placements)| Offer {
            when,
            level,
            priority,
            value,
            boost,
            group,
            placements,
        })
}

#[derive(Debug, Clone)]
struct World {
    tags: Vec<Condition>,
    guardrails: Vec<Condition>,
    offers: Vec<Offer>,
    group_max: Option<usize>,
}

fn world() -> impl Strategy<Value = World> {
    (
        (condition(0, false), condition(1, false)),
        proptest::collection::vec(condition(0, true), 0..3),
        proptest::collection::vec(offer(2), 0..12),
        proptest::option::of(1_usize..3),
    )
        .prop_map(|((first, second), guardrails, offers, group_max)| World {
            tags: vec![first, second],
            guardrails,
            offers,
            group_max,
        })
}

fn customer() -> impl Strategy<Value = Customer> {
    let int = || proptest::option::of(-5_i64..=5);
    let flag = || proptest::option::of(any::<bool>());
    (int(), int(), flag(), flag(), proptest::option::of(0_usize..4), proptest::option::of(any::<[bool; 3]>()))
        .prop_map(|(a, b, f, g, tier, set)| Customer { ints: [a, b], bools: [f, g], tier, set })
}

impl World {
    /// The world as two rule sets: the offers, and the guardrails that another team owns.
    fn texts(&self) -> [String; 2] {
        let mut offers = String::from("rule_set: offers\ntags:\n");
        for (i, tag) in self.tags.iter().enumerate() {
            writeln!(offers, "  tag{i}: \"{}\"", tag.text()).unwrap();
        }
        offers.push_str("placements:\n  p0: {channels: [app], fallback: brand}\n  p1: {channels: [app]}\n");
        if let Some(max) = self.group_max {
            writeln!(offers, "groups: {{g0: {{max: {max}}}}}").unwrap();
        }
        offers.push_str(
            "offers:\n  brand: {treatments: [{placement: p0, content: 1}], attributes: {level: v0}}\n",
        );
        for (i, offer) in self.offers.iter().enumerate() {
            let listed: Vec<usize> = (0..2).filter(|p| offer.placements[*p]).collect();
            let names: Vec<String> = listed.iter().map(|p| format!("p{p}")).collect();
            let treatments: Vec<String> =
                names.iter().map(|p| format!("{{placement: {p}, content: {i}}}")).collect();
            writeln!(offers, "  o{i:02}:\n    priority: {}\n    boost: {}.0", offer.priority, offer.boost)
                .unwrap();
            writeln!(
                offers,
                "    placements: [{}]\n    treatments: [{}]",
                names.join(", "),
                treatments.join(", ")
            )
            .unwrap();
            let mut attributes = format!("value: {}", offer.value);
            if let Some(level) = offer.level {
                write!(attributes, ", level: v{level}").unwrap();
            }
            if let Some(group) = offer.group {
                write!(attributes, ", group: g{group}").unwrap();
            }
            writeln!(offers, "    attributes: {{{attributes}}}").unwrap();
            if let Some(when) = &offer.when {
                writeln!(offers, "    when: \"{}\"", when.text()).unwrap();
            }
        }
        let mut guardrails = String::from("rule_set: law\nguardrails:\n  none: 'true'\n");
        for (i, guardrail) in self.guardrails.iter().enumerate() {
            // The fallback is exempt by name, so that it stays a fallback.
            writeln!(guardrails, "  law{i}: \"offer.id == 'brand' || {}\"", guardrail.text()).unwrap();
        }
        [offers, guardrails]
    }

    /// What must be shown on both placements, in their order.
    fn expected(&self, c: &Customer, counts: [usize; 2]) -> Vec<Vec<String>> {
        let mut taken: Vec<usize> = Vec::new();
        let mut in_group: HashMap<usize, usize> = HashMap::new();
        let mut shown = Vec::new();
        for (placement, count) in counts.iter().enumerate() {
            let passes = |offer: &Offer| {
                let law = |g: &Condition| g.answer(c, offer.level, &[]) == Some(true);
                let when =
                    offer.when.as_ref().is_none_or(|w| w.answer(c, offer.level, &self.tags) == Some(true));
                offer.placements[placement] && when && self.guardrails.iter().all(law)
            };
            let mut ranked: Vec<usize> =
                (0..self.offers.len()).filter(|i| passes(&self.offers[*i])).collect();
            ranked.sort_by_key(|i| {
                let offer = &self.offers[*i];
                (offer.priority, std::cmp::Reverse(offer.value * offer.boost), *i)
            });
            let mut here = Vec::new();
            for i in ranked {
                let group = self.offers[i].group;
                let max = if group == Some(0) { self.group_max.unwrap_or(1) } else { 1 };
                let full = group.is_some_and(|g| in_group.get(&g).copied().unwrap_or(0) >= max);
                if here.len() < *count && !taken.contains(&i) && !full {
                    taken.push(i);
                    *in_group.entry(group.unwrap_or(9)).or_default() += 1;
                    here.push(format!("o{i:02}"));
                }
            }
            if here.is_empty() && placement == 0 {
                here.push("brand".into());
            }
            shown.push(here);
        }
        shown
    }
}

fn row(schema: &Schema, c: &Customer) -> Vec<u64> {
    let mut row = vec![0; schema.row_words()];
    let mut set = |name: &str, text: Option<String>| {
        let feature = schema.feature(schema.feature_id(name).unwrap());
        if let Some(text) = text {
            let value = feature.kind.read_text(&text, schema.zone()).unwrap();
            feature.field.unwrap().write(&mut row, feature.kind.encode(&value));
        }
    };
    for i in 0..2 {
        set(INTS[i], c.ints[i].map(|n| n.to_string()));
        set(BOOLS[i], c.bools[i].map(|b| b.to_string()));
    }
    set("t", c.tier.map(|v| format!("v{v}")));
    set(
        "s",
        c.set.map(|bits| (0..3).filter(|w| bits[*w]).map(|w| format!("w{w}")).collect::<Vec<_>>().join("|")),
    );
    row
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(rounds(40, 4_000)))]

    #[test]
    fn the_engine_decides_as_the_naive_model_does(
        world in world(),
        customers in proptest::collection::vec(customer(), 1..12),
        counts in [1_usize..4, 1_usize..4],
    ) {
        let schema = Arc::new(Schema::parse("schema.yaml", SCHEMA).unwrap());
        let mut sets = Vec::new();
        for text in world.texts() {
            let set = RuleSet::parse("r.yaml", &text, &schema);
            prop_assert!(set.is_ok(), "{}\n{}", set.unwrap_err(), text);
            sets.push((Arc::new(set.unwrap()), 1));
        }
        let engine = Engine::compile(&schema, &sets);
        prop_assert!(engine.is_ok(), "{}", engine.unwrap_err());
        let engine = engine.unwrap();
        let placements = [(engine.placement_id("p0").unwrap(), counts[0]), (engine.placement_id("p1").unwrap(), counts[1])];
        for customer in &customers {
            let words = row(&schema, customer);
            for explain in [false, true] {
                let request = Request {
                    customer: "c",
                    channel: schema.channel_id("app").unwrap(),
                    placements: &placements,
                    locale: None,
                    context: Context::default(),
                    past: usher::customer::row::Past::default(),
                    budgets: &usher::decide::NoBudgets,
                    lessons: &usher::decide::NoLessons,
                    seed: 0,
                    explain,
                    overdue: None,
                };
                let decision = decide(&engine, FeatureVector::new(&words), &request, Time(0));
                let names = |shown: &usher::decide::Shown<'_>| -> Vec<String> {
                    shown.propositions.iter().map(|p| p.offer.name.to_string()).collect()
                };
                let found: Vec<Vec<String>> = decision.placements.iter().map(names).collect();
                prop_assert_eq!(&found, &world.expected(customer, counts), "{:?}\n{}", customer, world.texts()[0]);
                for shown in decision.placements.iter().filter(|_| explain) {
                    prop_assert_eq!(shown.explanations.len(), shown.placement.offers.len());
                    let ranked = shown.explanations.iter().filter(|e| e.rank.is_some()).count();
                    prop_assert_eq!(ranked, if shown.fallback { 0 } else { shown.propositions.len() });
                    prop_assert!(shown.explanations.iter().all(|e| e.rank.is_some() == e.stopped_by.is_none()));
                }
            }
        }
    }
}

/// The offers that a warning says are never shown or never win.
fn said_never(engine: &Engine, sets: &[Arc<RuleSet>]) -> Vec<String> {
    let warnings = usher::insight::analysis::analyse(engine, sets, &AnalysisScope::at(Time(0)));
    let never = |detail: &str| detail.contains("never shown") || detail.contains("never wins");
    let found = warnings.iter().filter(|warning| never(&warning.problem.detail));
    found.filter_map(|warning| warning.offer.as_ref().map(|offer| offer.to_string())).collect()
}

#[test]
fn what_is_said_never_to_be_shown_is_never_shown() {
    let schema = Arc::new(Schema::parse("schema.yaml", SCHEMA).unwrap());
    let mut runner = TestRunner::deterministic();
    let (mut said, mut shown) = (0, 0);
    let worlds = rounds(60, 6_000);
    for _ in 0..worlds {
        let world = world().new_tree(&mut runner).unwrap().current();
        let read = |text: &String| Arc::new(RuleSet::parse("r.yaml", text, &schema).unwrap());
        let sets: Vec<Arc<RuleSet>> = world.texts().iter().map(read).collect();
        let versions: Vec<_> = sets.iter().map(|set| (Arc::clone(set), 1)).collect();
        let engine = Engine::compile(&schema, &versions).unwrap();
        let never = said_never(&engine, &sets);
        said += never.len();
        let [p0, p1] = ["p0", "p1"].map(|name| (engine.placement_id(name).unwrap(), 1));
        for customer in proptest::collection::vec(customer(), 30).new_tree(&mut runner).unwrap().current() {
            let words = row(&schema, &customer);
            for placements in [&[p0, p1][..], &[p1, p0], &[p0], &[p1]] {
                let request = Request {
                    customer: "c",
                    channel: schema.channel_id("app").unwrap(),
                    placements,
                    locale: None,
                    context: Context::default(),
                    past: usher::customer::row::Past::default(),
                    budgets: &usher::decide::NoBudgets,
                    lessons: &usher::decide::NoLessons,
                    seed: 0,
                    explain: false,
                    overdue: None,
                };
                let decision = decide(&engine, FeatureVector::new(&words), &request, Time(0));
                for offer in decision.placements.iter().flat_map(|p| &p.propositions).map(|p| &p.offer.name) {
                    assert!(
                        !never.contains(&offer.to_string()),
                        "{offer}: {customer:?}\n{}",
                        world.texts()[0]
                    );
                    shown += 1;
                }
            }
        }
    }
    assert!(
        said > worlds / 3 && shown > 4 * worlds,
        "{said} offers were said never to be shown, {shown} were"
    );
}
