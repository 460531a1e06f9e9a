//! A node's state, and the one function that changes it: a deterministic fold of records. Live writes, a replay and a
//! replica all go through [`State::apply`], so the same records make the same state on any machine. No clock, no files,
//! no threads.

use std::fmt;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::definitions::Definitions;
use crate::problem::Problems;
use crate::record::Record;
use crate::store::{self, Customers, CustomersWriter, Row};
use crate::update::{Change, Update};

/// Everything that records make.
pub struct State {
    definitions: Definitions,
    customers: CustomersWriter,
    sequence: u64,
    erased: u64,
    row: Row, // used again from update to update
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
        State::restore(0, 0, Definitions::new(), customers)
    }

    /// The state that was frozen with this sequence, erasure and definitions, and with these customers.
    pub fn restore(
        sequence: u64,
        erased: u64,
        definitions: Definitions,
        customers: CustomersWriter,
    ) -> State {
        State { definitions, customers, sequence, erased, row: Row::new() }
    }

    /// This state as it is now, for a snapshot, while it goes on; `None` while another such view lives. What it costs
    /// and when it is given up: [`CustomersWriter::freeze`].
    pub fn freeze(&mut self) -> Option<Frozen> {
        let customers = self.customers.freeze()?;
        let (sequence, erased, definitions) = (self.sequence, self.erased, self.definitions.clone());
        Some(Frozen { sequence, erased, definitions, customers })
    }

    /// Schema and rule sets.
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// The read side of the customers.
    pub fn customers(&self) -> &Arc<Customers> {
        self.customers.shared()
    }

    /// The sequence of the last record applied; 0 before the first.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The sequence of the last record that erased somebody, known or not; 0 before the first.
    pub fn erased(&self) -> u64 {
        self.erased
    }

    /// Applies the record of this sequence, which must be the next one.
    ///
    /// # Errors
    /// [`ApplyError`]. Of a record about customers the updates before the failing one are applied.
    pub fn apply(&mut self, sequence: u64, record: &Record) -> Result<(), ApplyError> {
        let due = self.sequence + 1;
        if sequence != due {
            return Err(ApplyError::OutOfOrder { due, found: sequence });
        }
        match record {
            Record::Customers(updates) => {
                updates.iter().try_for_each(|update| self.update(update)).map_err(ApplyError::Full)?;
                if updates.iter().any(|update| update.change == Change::Erase) {
                    self.erased = sequence;
                }
            }
            definition => {
                self.definitions.apply(definition).map_err(ApplyError::Definitions)?;
                self.customers.set_row_words(self.definitions.schema.row_words());
            }
        }
        self.sequence = sequence;
        Ok(())
    }

    fn update(&mut self, Update { customer, change }: &Update) -> Result<(), store::Full> {
        if *change == Change::Erase {
            self.customers.erase(customer.as_str());
            return Ok(());
        }
        self.customers.read(customer.as_str(), &mut self.row);
        change.apply(&self.definitions.schema, &mut self.row);
        self.customers.put(customer, &self.row)
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
        digest(&self.definitions, self.customers.shared())
    }
}

impl Default for State {
    fn default() -> Self {
        State::new()
    }
}

/// A number that is the same for the same definitions and customers, however they are kept in memory and on whatever
/// machine. It tells that two states differ by accident, not by intent: it is no cryptographic hash. Only meaningful
/// while nothing is written.
pub fn digest(definitions: &Definitions, customers: &Customers) -> u64 {
    let mut digest = Digest::default();
    customers.for_each(|id, row| digest.add(id.as_str(), row));
    digest.of_state(definitions)
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

    /// The digest of these customers with these definitions.
    pub fn of_state(self, definitions: &Definitions) -> u64 {
        let mut hash = Fnv::new();
        hash.text(&definitions.schema.text);
        for feature in definitions.schema.features() {
            hash.text(&feature.name);
            hash.text(&format!("{:?}", feature.field));
        }
        for (name, history) in definitions.rule_sets() {
            hash.text(name);
            hash.text(&format!("{history:?}"));
        }
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
pub(crate) mod testing {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::customer::CustomerId;
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
            state.apply(*sequence, &crate::codec::decode(bytes).unwrap()).unwrap();
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
    use crate::codec;

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
        assert_eq!((digest.of_state(&frozen.definitions), frozen.sequence), (before, 2));
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
