//! Asks the engine inside this process.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use usher::decide;
use usher::decide::{Request, decide};
use usher::engine::{Engine, PlacementId};
use usher::rules::rule_set::{Languages, RuleSet};
use usher::schema::context::Context;
use usher::schema::value::Time;
use usher::schema::vector::FeatureVector;
use usher::schema::{ChannelId, Schema};

use super::customers::Customer;
use super::naive::{Asked, Proposition, Shown};

/// Compiles the schema and rule sets of a bundle's folder.
pub(crate) fn compile(bundle: &Path) -> Engine {
    let schema = Schema::parse("schema.yaml", &fs::read_to_string(bundle.join("schema.yaml")).unwrap());
    let schema = Arc::new(schema.unwrap_or_else(|problems| panic!("{problems}")));
    let files = fs::read_dir(bundle.join("rule-sets")).unwrap();
    let rule_sets: Vec<(Arc<RuleSet>, u32)> = files
        .map(|file| {
            let path = file.unwrap().path();
            let parsed =
                RuleSet::parse(&path.to_string_lossy(), &fs::read_to_string(&path).unwrap(), &schema);
            (Arc::new(parsed.unwrap_or_else(|problems| panic!("{problems}"))), 1)
        })
        .collect();
    Engine::compile(&schema, &rule_sets).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Packs the customer into `row` as the schema says. What `row` held before is lost.
pub(crate) fn pack(customer: &Customer<'_>, schema: &Schema, row: &mut Vec<u64>) {
    row.clear();
    row.resize(schema.row_words(), 0);
    for (name, text) in texts(customer) {
        let feature = schema.feature(schema.feature_id(name).unwrap());
        if let (Some(field), Some(text)) = (feature.field, text) {
            let value =
                feature.kind.read_text(&text, schema.zone()).unwrap_or_else(|why| panic!("{name}: {why}"));
            field.write(row, feature.kind.encode(&value));
        }
    }
}

/// The features by name, each as text; `None` is missing.
fn texts(c: &Customer<'_>) -> [(&'static str, Option<String>); 15] {
    let number = |value: Option<i64>| value.map(|value| value.to_string());
    let yes_no = |value: Option<bool>| value.map(|value| value.to_string());
    let word = |value: Option<&str>| value.map(str::to_owned);
    [
        ("age", number(c.age)),
        ("job", word(c.job)),
        ("marital", word(c.marital)),
        ("education", word(c.education)),
        ("in_default", yes_no(c.in_default)),
        ("balance", number(c.balance)),
        ("housing_loan", yes_no(c.housing_loan)),
        ("personal_loan", yes_no(c.personal_loan)),
        ("contact_type", word(c.contact_type)),
        ("contact_day", number(c.contact_day)),
        ("contact_month", word(c.contact_month)),
        ("campaign_contacts", number(c.campaign_contacts)),
        ("days_since_contact", number(c.days_since_contact)),
        ("previous_contacts", number(c.previous_contacts)),
        ("last_outcome", word(c.last_outcome)),
    ]
}

/// A request with its names resolved once, used for all customers.
pub(crate) struct Prepared<'e> {
    engine: &'e Engine,
    channel: ChannelId,
    placements: Vec<(PlacementId, usize)>,
    locale: Option<Languages>,
    context: Context<'static>,
}

impl<'e> Prepared<'e> {
    pub(crate) fn new(engine: &'e Engine, asked: &Asked<'static>) -> Prepared<'e> {
        let placements = asked.placements.iter().map(|(name, count)| {
            let id = engine.placement_id(name).unwrap();
            (id, count.unwrap_or(engine.placement(id).count))
        });
        let mut context = Context::default();
        for (name, text) in asked.context {
            let id = engine.schema.context_id(name).unwrap();
            context.set(
                id,
                engine.schema.context()[usize::from(id.0)]
                    .kind
                    .read_text(text, engine.schema.zone())
                    .unwrap(),
            );
        }
        Prepared {
            engine,
            channel: engine.schema.channel_id(asked.channel).unwrap(),
            placements: placements.collect(),
            locale: asked.locale.map(Languages::read),
            context,
        }
    }

    /// The engine's answer in the types of the naive evaluation.
    pub(crate) fn decide(&self, row: &[u64], now: Time) -> Vec<Shown<'e>> {
        let request = Request {
            customer: "c",
            channel: self.channel,
            placements: &self.placements,
            locale: self.locale.as_ref(),
            context: self.context.clone(),
            past: usher::customer::row::Past::default(),
            budgets: &decide::NoBudgets,
            lessons: &decide::NoLessons,
            seed: 0,
            explain: false,
            overdue: None,
        };
        let decision = decide(self.engine, FeatureVector::new(row), &request, now);
        assert!(!decision.degraded, "there was no deadline");
        decision.placements.iter().map(shown).collect()
    }
}

fn shown<'e>(shown: &decide::Shown<'e>) -> Shown<'e> {
    let ranks: Vec<u32> = shown.propositions.iter().map(|proposition| proposition.rank).collect();
    assert!(ranks.iter().copied().eq(1..=ranks.len() as u32), "ranks count from 1: {ranks:?}");
    let propositions = shown.propositions.iter().map(|proposition| Proposition {
        offer: &proposition.offer.name,
        treatment: &proposition.treatment.name,
        score: proposition.score,
    });
    Shown { placement: &shown.placement.name, fallback: shown.fallback, propositions: propositions.collect() }
}
