//! A node's state, and the one function that changes it: a deterministic fold of records. Live writes, a replay and a
//! replica all go through [`State::apply`], so the same records make the same state on any machine. No clock, no files,
//! no threads.

pub mod definitions;
pub mod ledger;
pub mod record;
pub mod store;

use std::fmt;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use self::definitions::Definitions;
use self::ledger::{BudgetSet, Content, Figures, Ledger};
use self::record::Record;
use self::store::{Customers, CustomersWriter, Found};
use crate::customer::contact::Contact;
use crate::customer::event::{Event, Fate};
use crate::customer::id::CustomerId;
use crate::customer::outcome::Outcome;
use crate::customer::row;
use crate::customer::row::Row;
use crate::customer::update::{Change, Update};
use crate::input::problem::Problems;
use crate::rules::catalogue::{Additions, Catalogue, OfferEntry};
use crate::schema::Schema;

/// Contacts are kept for so long at least, in seconds, whatever caps are in force: what is published tomorrow may look back.
pub const MIN_KEPT_S: u32 = 30 * crate::schema::value::DAY_SECONDS;

/// Events of one submission whose fates are told apart at most.
pub const MAX_FATES: usize = 1 << 16;

/// Updates that are looked ahead at: few enough that what they bring near stays in the second cache.
const AHEAD: usize = 64;

/// Everything that records make.
pub struct State {
    definitions: Definitions,
    customers: CustomersWriter,
    ledger: Ledger,
    sequence: u64,
    erased: u64,
    row: Row,          // used again from update to update
    found: Vec<Found>, // from updates to updates
}

/// A state as it was at [`State::freeze`], while the state itself goes on.
pub struct Frozen {
    /// Of the last record applied.
    pub sequence: u64,
    /// As [`State::erased`].
    pub erased: u64,
    /// Schema and rule sets.
    pub definitions: Definitions,
    /// The customers, to be taken once.
    pub customers: store::Frozen,
    /// What is of no customer.
    pub ledger: Content,
}

/// What became of the events of a record, or of several.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fates {
    /// Those that changed nothing, by their place among all updates; at most [`MAX_FATES`].
    pub refused: Vec<(usize, Fate)>,
    /// How many more there were.
    pub omitted: usize,
}

/// Why a record could not be applied. The state no longer follows the records then: nothing more may be applied to it.
#[derive(Debug)]
pub enum ApplyError {
    /// The record is not the next one.
    OutOfOrder {
        /// The sequence that was due.
        due: u64,
        /// The record's.
        found: u64,
    },
    /// There is no room for another customer or a longer row.
    Full(store::Full),
    /// What it defines does not parse or does not fit; a server never makes such a record.
    Definitions(Problems),
}

impl State {
    /// The state before the first record.
    pub fn new() -> State {
        let (customers, _) = store::customers();
        State::restore(0, 0, Definitions::new(), customers, Content::default())
    }

    /// The state that was frozen with this sequence, erasure and definitions, with these customers and this ledger.
    pub fn restore(
        sequence: u64,
        erased: u64,
        definitions: Definitions,
        customers: CustomersWriter,
        ledger: Content,
    ) -> State {
        let ledger = Ledger::restore(ledger);
        State { definitions, customers, ledger, sequence, erased, row: Row::new(), found: Vec::new() }
    }

    /// This state as it is now, for a snapshot, while it goes on; `None` while another such view lives. What it costs
    /// and when it is given up: [`CustomersWriter::freeze`] and [`Ledger::content`].
    pub fn freeze(&mut self) -> Option<Frozen> {
        let customers = self.customers.freeze()?;
        let (sequence, erased, definitions) = (self.sequence, self.erased, self.definitions.clone());
        Some(Frozen { sequence, erased, definitions, customers, ledger: self.ledger.content() })
    }

    /// Schema and rule sets.
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// The read side of the customers.
    pub fn customers(&self) -> &Arc<Customers> {
        self.customers.shared()
    }

    /// The read side of what is of no customer.
    pub fn figures(&self) -> &Arc<Figures> {
        self.ledger.figures()
    }

    /// The sequence of the last record applied; 0 before the first.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The sequence of the last record that erased somebody, known or not; 0 before the first.
    pub fn erased(&self) -> u64 {
        self.erased
    }

    /// Applies the record of this sequence, which must be the next one. Says what became of its events.
    ///
    /// # Errors
    /// [`ApplyError`]. Of a record about customers the updates before the failing one are applied.
    pub fn apply(&mut self, sequence: u64, record: &Record) -> Result<Fates, ApplyError> {
        let due = self.sequence + 1;
        if sequence != due {
            return Err(ApplyError::OutOfOrder { due, found: sequence });
        }
        let mut fates = Fates::default();
        match record {
            Record::Customers(updates) => {
                for (at, ahead) in (0..).step_by(AHEAD).zip(updates.chunks(AHEAD)) {
                    self.updates(at, ahead, &mut fates).map_err(ApplyError::Full)?;
                }
                if updates.iter().any(|update| update.change == Change::Erase) {
                    self.erased = sequence;
                }
            }
            definition => {
                self.definitions.apply(definition).map_err(ApplyError::Definitions)?;
                self.grow_rows().map_err(ApplyError::Full)?;
            }
        }
        self.sequence = sequence;
        Ok(fates)
    }

    /// Rows get room for the schema in force. Where features come to need more words, the contacts behind them move: one
    /// walk through all customers, a second for 10 million, and some 0.3 µs for each who has contacts.
    fn grow_rows(&mut self) -> Result<(), store::Full> {
        let words = self.definitions.schema.row_words();
        if words == self.customers.row_words() {
            return Ok(());
        }
        self.customers.set_row_words(words);
        self.customers.change_all_with_header(|row| {
            row::open(row, words);
            true
        })
    }

    /// Some updates, of which the first is at `first`. What they need is brought near for all of them before the first is
    /// applied: most of an update's time is waiting for memory.
    fn updates(&mut self, first: usize, updates: &[Update], fates: &mut Fates) -> Result<(), store::Full> {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        // Who is erased on the way may not be where he was found.
        if updates.len() > 1 && updates.iter().all(|update| update.change != Change::Erase) {
            self.customers.find_all(updates.iter().map(|update| &update.customer), &mut found);
            self.ledger.touch(updates.iter().filter_map(|update| match &update.change {
                Change::Event(event) => Some(&**event),
                _ => None,
            }));
        }
        found.resize(updates.len(), Found::default());
        for (at, (update, found)) in updates.iter().zip(&found).enumerate() {
            fates.add(first + at, self.update(update, *found)?);
        }
        self.found = found;
        Ok(())
    }

    fn update(&mut self, Update { customer, change }: &Update, found: Found) -> Result<Fate, store::Full> {
        let State { definitions, customers, row, .. } = self;
        match change {
            Change::Erase => drop(customers.erase(customer.as_str())),
            Change::Event(event) => return self.event(customer, found, event),
            stored => customers.change(customer, found, row, |row| {
                stored.apply(&definitions.schema, row);
                true
            })?,
        }
        Ok(Fate::Accepted)
    }

    fn event(&mut self, customer: &CustomerId, found: Found, event: &Event) -> Result<Fate, store::Full> {
        let State { definitions: Definitions { schema, catalogue, .. }, customers, ledger, row, .. } = self;
        if let Some(refusal) = ledger.refusal(event) {
            return Ok(refusal);
        }
        let (mut budgets, mut fate) = (BudgetSet::NONE, Fate::Accepted);
        customers.change(customer, found, row, |row| {
            if let Some(outcome) = event.outcome.as_deref() {
                (budgets, fate) = match ledger.budgets(outcome, row::contacts(row)) {
                    Some(counted) if counted.count() < outcome.budgets.len() => (counted, Fate::Again),
                    Some(counted) => (counted, Fate::Accepted),
                    None => (BudgetSet::NONE, Fate::UsedUp),
                };
            }
            row::open(row, schema.row_words());
            facts(schema, row, event);
            if let Some(outcome) = &event.outcome {
                contact(catalogue, row, event, outcome);
            }
            true
        })?;
        let place = event.outcome.as_ref().and_then(|outcome| catalogue.place(outcome.place));
        ledger.take(event, budgets, place.map_or(0, |place| place.placement));
        Ok(fate)
    }

    /// How many customers `updates` would add at most: a customer named twice counts twice.
    pub fn added_by(&self, updates: &[Update]) -> usize {
        let customers = self.customers.shared();
        let adds = |update: &&Update| {
            update.change != Change::Erase && !customers.contains(update.customer.as_str())
        };
        updates.iter().filter(adds).count()
    }

    /// [`digest`] of this state.
    pub fn digest(&self) -> u64 {
        digest(&self.definitions, self.customers.shared(), &self.ledger.content())
    }
}

/// What computed features take from an event; `row` has room for them.
fn facts(schema: &Schema, row: &mut [u64], event: &Event) {
    for (feature, code) in &event.facts {
        schema.take(*feature, row, event.at, *code);
    }
}

/// Adds an outcome to the contacts, and lets go those that nothing looks back to any more.
fn contact(catalogue: &Catalogue, row: &mut Row, event: &Event, outcome: &Outcome) {
    row::add(row, Contact::new(outcome.offer, outcome.place, outcome.kind, event.at));
    let keep_s = catalogue.keep_s().map(|keep_s| keep_s.max(MIN_KEPT_S));
    row::prune(row, |contact| {
        let keep_s = keep_s[contact.kind().index()];
        keep_s == u32::MAX || contact.at().saturating_add(keep_s) >= event.received
    });
}

impl Fates {
    fn add(&mut self, at: usize, fate: Fate) {
        if fate == Fate::Accepted {
            return;
        }
        if self.refused.len() < MAX_FATES {
            self.refused.push((at, fate));
        } else {
            self.omitted += 1;
        }
    }

    /// Adds those of a later record, before which there were `before` updates.
    pub fn extend(&mut self, before: usize, later: Fates) {
        later.refused.into_iter().for_each(|(at, fate)| self.add(before + at, fate));
        self.omitted += later.omitted;
    }
}

impl Default for State {
    fn default() -> Self {
        State::new()
    }
}

/// A number that is the same for the same definitions, customers and ledger, however they are kept in memory and on whatever
/// machine. It tells that two states differ by accident, not by intent: it is no cryptographic hash. Only meaningful
/// while nothing is written.
pub fn digest(definitions: &Definitions, customers: &Customers, ledger: &Content) -> u64 {
    let mut digest = Digest::default();
    customers.for_each(|id, row| digest.add(id.as_str(), row));
    digest.of_state(definitions, ledger)
}

/// The customers' share of a [`digest`], counted customer by customer: whoever sees them all once comes to the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest {
    // A sum, because the store gives its customers in no order.
    sum: u64,
}

impl Digest {
    /// Counts a customer, whose row has no zero words at its end.
    pub fn add(&mut self, id: &str, row: &[u64]) {
        let id = xxh3_64_with_seed(id.as_bytes(), 0);
        self.sum = self.sum.wrapping_add(xxh3_64_with_seed(&store::bytes_of(row), id));
    }

    /// Counts the customers that `other` counted.
    pub fn merge(&mut self, other: Digest) {
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// The digest of these customers with these definitions and this ledger.
    pub fn of_state(self, definitions: &Definitions, ledger: &Content) -> u64 {
        let mut hash = Fnv::new();
        hash.text(&definitions.schema.text);
        for feature in definitions.schema.features() {
            hash.text(&feature.name);
            hash.text(&format!("{:?}", feature.place()));
        }
        for (name, history) in definitions.rule_sets() {
            hash.text(name);
            hash.text(&format!("{history:?}"));
        }
        for additions in definitions.catalogue.whole() {
            hash.additions(&additions);
        }
        hash.number(ledger.digest());
        hash.number(self.sum);
        hash.finish()
    }
}

/// FNV-1a over words of 8 bytes, with the last step of MurmurHash3 so that sums of hashes spread.
pub(crate) struct Fnv(u64);

impl Fnv {
    pub(crate) fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
    fn number(&mut self, number: u64) {
        number.to_le_bytes().into_iter().for_each(|byte| self.byte(byte));
    }
    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    pub(crate) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        text.bytes().for_each(|byte| self.byte(byte));
    }
    fn additions(&mut self, Additions { names, places, offers, keep_s }: &Additions) {
        for names in names {
            self.number(names.len() as u64);
            names.iter().for_each(|name| self.text(name));
        }
        places
            .iter()
            .for_each(|place| self.number(u64::from(place.placement) << 16 | u64::from(place.channel)));
        for (number, OfferEntry { name, rule_set, group, treatments }) in offers {
            self.number(number.0.into());
            self.text(name);
            self.number(u64::from(*rule_set) << 32 | group.map_or(0, |group| u64::from(group) + 1));
            treatments.iter().for_each(|name| self.text(name));
        }
        keep_s.iter().flatten().for_each(|keep_s| self.number(u64::from(*keep_s)));
    }
    pub(crate) fn finish(&self) -> u64 {
        let mut x = self.0;
        x = (x ^ x >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        x = (x ^ x >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        x ^ x >> 33
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApplyError::OutOfOrder { due, found } => write!(f, "record {due} is due, found {found}"),
            ApplyError::Full(full) => full.fmt(f),
            ApplyError::Definitions(problems) => problems.fmt(f),
        }
    }
}

impl std::error::Error for ApplyError {}

#[cfg(test)]
mod event_tests;

#[cfg(test)]
pub(crate) mod testing {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::customer::id::CustomerId;
    use crate::customer::numbers::{ArmNumber, OfferNumber, PlaceNumber};
    use crate::customer::outcome::OutcomeKind;
    use crate::customer::outcome::{BudgetUse, Lesson};
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
    /// The same and one more.
    pub(crate) fn grown_schema() -> String {
        format!("{SCHEMA}  visits: {{kind: int, min: 0, max: 1000}}\n")
    }

    /// The same and two that need words of their own.
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
            1 => Just(Change::Erase),
        ];
        let update = (0..8_u8, change).prop_map(|(who, change)| Update { customer: id(who), change });
        prop::collection::vec(update, 0..12)
    }

    /// The first second of the times of [`events`].
    pub(crate) const BEGIN: u32 = 1_750_000_000;

    /// Events of few customers, offers, ids, propositions and budgets, so many days that nothing is forgotten.
    pub(crate) fn events() -> impl Strategy<Value = Vec<Update>> {
        let budget = (1..4_u64, prop_oneof![Just(0), 20_000..20_008_u32], 0..4_u32, any::<bool>())
            .prop_map(|(key, day, max, once)| BudgetUse { key, day, max, once });
        let arms = prop::collection::vec((0..3_u16).prop_map(ArmNumber), 0..3);
        let lesson = Lesson { segment: 1, window_s: 600, half_life_s: 0 };
        let outcome = (
            (0..4_usize, 0..3_u32, 0..2_u16, arms),
            (0..20_u64, -5..5_i64, prop::collection::vec(budget, 0..3), any::<bool>()),
        );
        let outcome =
            outcome.prop_map(move |((kind, offer, place, arms), (nonce, value, budgets, learn))| {
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
                Change::Event(_) => return, // not of these tests
                Change::Erase => return drop(self.0.remove(&id)),
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

        /// Of a customer who came by an event.
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
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::*;
    use super::*;
    use crate::storage::codec;

    fn folded<'r>(records: impl IntoIterator<Item = &'r Record>) -> State {
        let mut state = State::new();
        for (at, record) in records.into_iter().enumerate() {
            state.apply(at as u64 + 1, record).unwrap();
        }
        state
    }

    fn schema() -> Record {
        Record::Schema { text: SCHEMA.into() }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(crate::testing::rounds(64, 256)))]
        #[test]
        fn the_fold_does_what_a_plain_map_does_and_a_replay_makes_the_same(
            before in prop::collection::vec(updates(), 0..6),
            after in prop::collection::vec(updates(), 0..6),
        ) {
            let mut records = vec![schema()];
            records.extend(before.into_iter().map(Record::Customers));
            records.push(Record::Schema { text: grown_schema() });
            records.extend(after.into_iter().map(Record::Customers));
            let live = folded(&records);
            let mut model = Model::default();
            for record in &records {
                if let Record::Customers(updates) = record {
                    updates.iter().for_each(|update| model.apply(update));
                }
            }
            prop_assert_eq!(Model::of(live.definitions(), live.customers()), model);

            let bytes = records.iter().map(|record| codec::encode(record).unwrap());
            let replayed = replayed(&(1..).zip(bytes).collect::<Vec<_>>());
            prop_assert_eq!(replayed.digest(), live.digest());
            prop_assert_eq!(replayed.sequence(), live.sequence());
        }
    }

    #[test]
    fn the_digest_tells_content_and_nothing_else() {
        let one = Record::Customers(vec![merge(1, &[(1, 5)]), merge(2, &[(1, 6)])]);
        let other_order = Record::Customers(vec![merge(2, &[(1, 6)]), merge(1, &[(1, 5)])]);
        let swapped = Record::Customers(vec![merge(1, &[(1, 6)]), merge(2, &[(1, 5)])]);
        let retire = Record::Retire { name: "nothing".into() };
        let digest = |record: &Record| folded([&schema(), record]).digest();
        assert_eq!(digest(&one), digest(&other_order));
        assert_eq!(digest(&one), folded([&schema(), &retire, &one]).digest(), "more records, same content");
        assert_ne!(digest(&one), digest(&swapped));
        assert_ne!(digest(&one), folded([&Record::Schema { text: grown_schema() }, &one]).digest());
        let publish = |text: &str, activate| {
            let (name, text) = ("wealth".into(), text.into());
            digest(&Record::Publish { name, version: 1, text, activate })
        };
        assert_ne!(publish("a", true), publish("b", true));
        assert_ne!(publish("a", true), publish("a", false));
    }

    #[test]
    fn a_record_out_of_order_or_altered_is_refused() {
        let mut state = State::new();
        assert!(matches!(state.apply(2, &schema()), Err(ApplyError::OutOfOrder { due: 1, found: 2 })));
        state.apply(1, &schema()).unwrap();
        let smaller = Record::Schema { text: "schema: s\n".into() };
        assert!(matches!(state.apply(2, &smaller), Err(ApplyError::Definitions(_))));
        assert_eq!(state.sequence(), 1);
    }

    #[test]
    fn the_last_record_that_erased_is_known() {
        let erase = |who: u32| Record::Customers(vec![Update { customer: id(who), change: Change::Erase }]);
        let put = || Record::Customers(vec![merge(1, &[(1, 5)])]);
        assert_eq!(folded([&schema(), &put()]).erased(), 0);
        assert_eq!(folded([&schema(), &put(), &erase(1), &put()]).erased(), 3);
        assert_eq!(folded([&schema(), &put(), &erase(9)]).erased(), 3, "whether known or not");
    }

    #[test]
    fn a_frozen_state_stays_as_it_was() {
        let mut state = folded([&schema(), &Record::Customers(vec![merge(1, &[(1, 5)]), merge(2, &[])])]);
        let before = state.digest();
        let mut frozen = state.freeze().unwrap();
        state.apply(3, &Record::Customers(vec![merge(1, &[(1, 6)]), merge(3, &[])])).unwrap();
        state.apply(4, &Record::Schema { text: grown_schema() }).unwrap();
        let (mut digest, mut part) = (Digest::default(), store::Part::default());
        while frozen.customers.next_part(&mut part).unwrap() {
            let mut of_part = Digest::default();
            part.iter().for_each(|(id, row)| of_part.add(id.as_str(), row));
            digest.merge(of_part);
        }
        assert_eq!((digest.of_state(&frozen.definitions, &frozen.ledger), frozen.sequence), (before, 2));
        assert_ne!(state.digest(), before);
    }

    #[test]
    fn customers_that_would_be_added_are_counted_at_most() {
        let state = folded([&schema(), &Record::Customers(vec![merge(1, &[])])]);
        let erase = Update { customer: id(3), change: Change::Erase };
        let updates = [merge(1, &[]), merge(2, &[]), merge(2, &[]), erase];
        assert_eq!(state.added_by(&updates), 2);
    }
}
