//! Test support: schemas, updates and events to make states of, and a plain model to compare them with.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::customer::id::CustomerId;
use crate::customer::numbers::{ArmNumber, OfferNumber, PlaceNumber};
use crate::customer::outcome::OutcomeKind;
use crate::customer::outcome::{BudgetUse, Lesson};
use crate::customer::update::Erasure;
use crate::schema::FeatureId;

/// Five features of 2, 7, 4, 32 and 64 bits.
pub(crate) const SCHEMA: &str = "schema: s
features:
  consent: {kind: bool}
  age: {kind: int, min: 0, max: 120}
  tier: {kind: enum, values: [gold, silver]}
  seen: {kind: time}
  score: {kind: float, precision: double}
";
/// [`SCHEMA`] and one more feature.
pub(crate) fn grown_schema() -> String {
    format!("{SCHEMA}  visits: {{kind: int, min: 0, max: 1000}}\n")
}

/// [`SCHEMA`] and two features that need words of their own.
pub(crate) fn wider_schema() -> String {
    let double = "{kind: float, precision: double}";
    format!("{SCHEMA}  wide: {double}\n  wider: {double}\n")
}

pub(crate) fn id(number: impl fmt::Display) -> CustomerId {
    CustomerId::new(&format!("c-{number}")).unwrap()
}

pub(crate) fn merge(who: impl fmt::Display, fields: &[(u16, u64)]) -> Update {
    let fields = fields.iter().map(|(feature, code)| (FeatureId(*feature), *code)).collect();
    Update { customer: id(who), change: Change::Merge(fields) }
}

/// The state that these journalled records make.
pub(crate) fn replayed(records: &[(u64, Vec<u8>)]) -> State {
    let mut state = State::new();
    for (sequence, bytes) in records {
        state.apply(*sequence, &crate::storage::codec::decode(bytes).unwrap()).unwrap();
    }
    state
}

/// Updates of few customers, with codes that fit every feature of [`SCHEMA`].
pub(crate) fn updates() -> impl Strategy<Value = Vec<Update>> {
    let fields = || prop::collection::vec(((0..5_u16).prop_map(FeatureId), 0..4_u64), 0..6);
    let change = prop_oneof![
        4 => fields().prop_map(Change::Merge),
        2 => fields().prop_map(Change::Replace),
        1 => prop_oneof![Just(0), BEGIN..BEGIN + 9]
            .prop_map(|at| Change::Erase(Erasure { at, salt: [7; 16] })),
    ];
    let update = (0..8_u8, change).prop_map(|(who, change)| Update { customer: id(who), change });
    prop::collection::vec(update, 0..12)
}

/// The first second of the times of [`events`].
pub(crate) const BEGIN: u32 = 1_750_000_000;

/// Events of few customers, offers, ids, propositions and budgets, over so few days that nothing is
/// forgotten.
pub(crate) fn events() -> impl Strategy<Value = Vec<Update>> {
    let budget = (1..4_u64, prop_oneof![Just(0), 20_000..20_008_u32], 0..4_u32, any::<bool>())
        .prop_map(|(key, day, max, once)| BudgetUse { key, day, max, once });
    let arms = prop::collection::vec((0..3_u16).prop_map(ArmNumber), 0..3);
    let lesson = Lesson { segment: 1, window_s: 600, half_life_s: 0 };
    let outcome = (
        (0..4_usize, 0..3_u32, 0..2_u16, arms),
        (0..20_u64, -5..5_i64, prop::collection::vec(budget, 0..3), any::<bool>()),
    );
    let outcome = outcome.prop_map(move |((kind, offer, place, arms), (nonce, value, budgets, learn))| {
        let (kind, offer) = (OutcomeKind::ALL[kind], OfferNumber(offer));
        let lesson = learn.then_some(lesson);
        Outcome {
            kind,
            offer,
            place: PlaceNumber(place),
            arms,
            nonce,
            decided: BEGIN,
            value,
            budgets,
            lesson,
        }
    });
    let late = prop_oneof![3 => 0..100_u32, 1 => 0..95 * 86_400_u32];
    let event = (0..35 * 86_400_u32, late, 0..40_u64, prop::option::weighted(0.8, outcome));
    let event = event.prop_map(|(received, late, id, outcome)| {
        let received = BEGIN + received;
        let outcome = outcome.map(Box::new);
        Event { at: received - late, received, id, facts: vec![], outcome }
    });
    let update = (0..6_u8, event)
        .prop_map(|(who, event)| Update { customer: id(who), change: Change::Event(Box::new(event)) });
    prop::collection::vec(update, 0..12)
}

impl Outcome {
    /// An outcome without a token, of one offer on one place.
    pub(crate) fn of(kind: OutcomeKind) -> Outcome {
        Outcome {
            kind,
            offer: OfferNumber(1),
            place: PlaceNumber(2),
            arms: vec![],
            nonce: 0,
            decided: BEGIN,
            value: 0,
            budgets: vec![],
            lesson: None,
        }
    }
}

/// An outcome that happens now.
pub(crate) fn happens(who: u32, received: u32, outcome: Outcome) -> Update {
    let event = Event { at: received, received, outcome: Some(Box::new(outcome)), ..Event::default() };
    Update { customer: id(who), change: Change::Event(Box::new(event)) }
}

/// An event with something for every part of the ledger.
pub(crate) fn happening(number: u64) -> Update {
    let outcome = Outcome {
        kind: OutcomeKind::Click,
        offer: OfferNumber(0),
        place: PlaceNumber(0),
        arms: vec![ArmNumber(0)],
        nonce: number,
        decided: BEGIN,
        value: 250,
        budgets: vec![BudgetUse { key: 5, day: 0, max: 100, once: false }],
        lesson: Some(Lesson { segment: 2, window_s: 60, half_life_s: 0 }),
    };
    let outcome = Some(Box::new(outcome));
    let event = Event { at: BEGIN, received: BEGIN + 1, id: number << 50, facts: vec![], outcome };
    Update { customer: id(number), change: Change::Event(Box::new(event)) }
}

/// What updates mean, told plainly: the codes of every known customer that are not missing.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Model(BTreeMap<CustomerId, BTreeMap<u16, u64>>);

impl Model {
    pub(crate) fn apply(&mut self, update: &Update) {
        let id = update.customer.clone();
        let fields = match &update.change {
            Change::Event(_) => return, // other tests cover events
            Change::Erase(_) => return drop(self.0.remove(&id)),
            Change::Replace(fields) => {
                self.0.remove(&id);
                fields
            }
            Change::Merge(fields) => fields,
        };
        let codes = self.0.entry(id).or_default();
        for (feature, code) in fields {
            codes.insert(feature.0, *code);
        }
        codes.retain(|_, code| *code != 0);
    }

    /// Notes a customer who became known by an event.
    pub(crate) fn known(&mut self, id: &CustomerId) {
        self.0.entry(id.clone()).or_default();
    }

    pub(crate) fn of(definitions: &Definitions, customers: &Customers) -> Model {
        let mut model = Model::default();
        customers.for_each(|id, row| {
            let code = |(at, feature): (usize, &crate::schema::Feature)| {
                Some((at as u16, feature.field?.read(row))).filter(|(_, code)| *code != 0)
            };
            let codes = definitions.schema.features().iter().enumerate().filter_map(code);
            model.0.insert(id.clone(), codes.collect());
        });
        model
    }
}
