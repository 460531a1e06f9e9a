//! Seeded rule sets and customers of any size, for the benches and for the comparison in `peers/`. Every
//! answer is worked out a second time without the engine. There are 64 features: 20 bool, 16 enum, 16 int, 12
//! float.
#![allow(dead_code)] // each user needs another part of it

pub(crate) mod condition;
pub(crate) mod customer;
mod distribution;

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::sync::Arc;

use usher::decide::{Context, Request};
use usher::engine::{Engine, OfferId, PlacementId};
use usher::rules::rule_set::RuleSet;
use usher::schema::{ChannelId, Schema};

use condition::Condition;
use customer::Customer;
pub(crate) use distribution::Distribution;

pub(crate) const FLAGS: usize = 20;
pub(crate) const ENUMS: usize = 16;
pub(crate) const INTS: usize = 16;
pub(crate) const FLOATS: usize = 12;
/// Words of an ordinary enum: `w0`, `w1` and so on.
pub(crate) const WORDS: usize = 8;
/// The enum with many words: the branch that a customer belongs to.
pub(crate) const BRANCH: usize = ENUMS - 1;
pub(crate) const BRANCHES: usize = 100;
/// The largest value of the first half of the ints, and of the second: few different bounds, and many.
pub(crate) const INT_MAX: [i64; 2] = [255, 10_000];
/// Floats are multiples of one over this, from 0 to below 1. Every engine's own arithmetic is exact for them.
pub(crate) const FLOAT_STEPS: u32 = 1_024;
/// How many propositions a decision asks for.
pub(crate) const COUNT: usize = 3;

/// What decides between the offers of one tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ranked {
    /// Nine tiers and a constant value: the order is known before any customer is.
    Statically,
    /// One tier and a score that depends on the customer.
    ByScore,
}

/// A rule set of some size, and everything that is needed to check answers.
pub(crate) struct Synthetic {
    pub(crate) schema: Arc<Schema>,
    pub(crate) text: String,
    pub(crate) rule_set: Arc<RuleSet>,
    pub(crate) engine: Engine,
    pub(crate) offers: Vec<Offer>,
}

/// An offer as plain data. Its number is its index; its name is `o00000` and so on.
pub(crate) struct Offer {
    pub(crate) condition: Condition,
    tier: u8,
    value: u32,
    /// The int that its propensity grows with, and the float that its boost grows with.
    score: Option<(usize, usize)>,
}

impl Synthetic {
    pub(crate) fn new(distribution: Distribution, offers: usize, ranked: Ranked) -> Synthetic {
        let mut rng = fastrand::Rng::with_seed(2026);
        let schema = Arc::new(Schema::parse("schema.yaml", &schema_text()).expect("the schema is right"));
        let offers: Vec<Offer> = (0..offers)
            .map(|i| Offer {
                condition: distribution.condition(&mut rng),
                tier: if ranked == Ranked::Statically { (1 + i * 9 / offers) as u8 } else { 1 },
                value: rng.u32(1..=100),
                score: (ranked == Ranked::ByScore).then(|| (rng.usize(0..INTS), rng.usize(0..FLOATS))),
            })
            .collect();
        let text = rule_set_text(&offers, |i| format!("[{{placement: slot, content: {{n: {i}}}}}]"));
        let rule_set =
            Arc::new(RuleSet::parse("synthetic.yaml", &text, &schema).expect("the rule set is right"));
        let engine = Engine::compile(&schema, &[(Arc::clone(&rule_set), 1)]).expect("it compiles");
        Synthetic { schema, text, rule_set, engine, offers }
    }

    /// The text of the rule set with other treatments: `treatments` gives the YAML for an offer's number.
    pub(crate) fn text_with(&self, treatments: impl Fn(usize) -> String) -> String {
        rule_set_text(&self.offers, treatments)
    }

    /// The numbers of all offers that fit the customer, worked out without the engine.
    pub(crate) fn fitting(&self, customer: &Customer) -> Vec<usize> {
        (0..self.offers.len()).filter(|i| self.offers[*i].condition.fits(customer)).collect()
    }

    /// The best of `fitting`: by tier, then score, then name.
    pub(crate) fn top(&self, customer: &Customer, fitting: &[usize]) -> Vec<usize> {
        let mut best: Vec<(u8, f64, usize)> =
            fitting.iter().map(|i| (self.offers[*i].tier, self.offers[*i].score(customer), *i)).collect();
        best.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(&b.2)));
        best.iter().take(COUNT).map(|(_, _, i)| *i).collect()
    }

    /// All offers, best first. Only for offers whose order does not depend on the customer.
    pub(crate) fn ranking(&self) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.offers.len()).collect();
        all.sort_by_key(|i| (self.offers[*i].tier, Reverse(self.offers[*i].value), *i));
        all
    }

    pub(crate) fn channel(&self) -> ChannelId {
        self.schema.channel_id("app").expect("a usual channel")
    }

    pub(crate) fn placement(&self) -> PlacementId {
        self.engine.placement_id("slot").expect("it is defined")
    }

    pub(crate) fn request<'r>(&self, placements: &'r [(PlacementId, usize)]) -> Request<'r> {
        Request {
            customer: "c",
            channel: self.channel(),
            placements,
            locale: None,
            context: Context::default(),
            past: usher::customer::row::Past::default(),
            budgets: &usher::decide::NoBudgets,
            lessons: &usher::decide::NoLessons,
            seed: 0,
            explain: false,
            overdue: None,
        }
    }

    /// The numbers of these offers, sorted.
    pub(crate) fn numbers(&self, offers: &[OfferId]) -> Vec<usize> {
        let mut numbers: Vec<usize> =
            offers.iter().map(|id| number_of(&self.engine.offer(*id).name)).collect();
        numbers.sort_unstable();
        numbers
    }
}

impl Offer {
    /// Propensity × value × boost, as [`usher::decide`] has it. An unknown propensity counts as 0, an unknown
    /// boost as 1.
    fn score(&self, customer: &Customer) -> f64 {
        let value = f64::from(self.value);
        let Some((int, float)) = self.score else { return value };
        let propensity = customer.ints[int].map_or(0.0, |x| (x as f64 / int_max(int) as f64).clamp(0.0, 1.0));
        let boost = customer.floats[float].map_or(1.0, |steps| 1.0 + float_of(steps));
        propensity * value * boost
    }
}

/// The number in an offer's name.
pub(crate) fn number_of(name: &str) -> usize {
    name[1..].parse().expect("`o` and a number")
}

/// The float of this many steps.
pub(crate) fn float_of(steps: u32) -> f64 {
    f64::from(steps) / f64::from(FLOAT_STEPS)
}

pub(crate) fn int_max(int: usize) -> i64 {
    INT_MAX[int * 2 / INTS]
}

pub(crate) fn schema_text() -> String {
    let mut text = String::from("schema: synthetic\nfeatures:\n");
    let mut line =
        |name: String, kind: &str| writeln!(text, "  {name}: {{{kind}}}").expect("a string takes it");
    let words = |count: usize| (0..count).map(|word| format!("w{word}")).collect::<Vec<_>>().join(", ");
    for i in 0..FLAGS {
        line(format!("b{i}"), "kind: bool");
    }
    for i in 0..ENUMS {
        let count = if i == BRANCH { BRANCHES } else { WORDS };
        line(format!("e{i}"), &format!("kind: enum, values: [{}]", words(count)));
    }
    for i in 0..INTS {
        line(format!("i{i}"), &format!("kind: int, min: 0, max: {}", int_max(i)));
    }
    for i in 0..FLOATS {
        line(format!("f{i}"), "kind: float");
    }
    text
}

fn rule_set_text(offers: &[Offer], treatments: impl Fn(usize) -> String) -> String {
    let mut text =
        format!("rule_set: synthetic\nplacements: {{slot: {{channels: [app], count: {COUNT}}}}}\noffers:\n");
    for (i, offer) in offers.iter().enumerate() {
        let (tier, value, when) = (offer.tier, offer.value, offer.condition.cel());
        let score = offer.score.map_or_else(String::new, |(int, float)| {
            let max = int_max(int);
            format!("    propensity: double(i{int}) / {max}.0\n    boost: 1.0 + f{float}\n")
        });
        write!(
            text,
            "  o{i:05}:\n    placements: [slot]\n    priority: {tier}\n    attributes: {{value: {value}}}\n    \
             when: \"{when}\"\n{score}    treatments: {}\n",
            treatments(i)
        )
        .expect("a string takes it");
    }
    text
}
