//! A node's state, and the one function that changes it: a deterministic fold of records.
//!
//! Live writes, a replay and a replica all go through [`State::apply`], so the same records make the
//! same state on any machine. There is no clock here, no file and no thread.

pub mod definitions;
pub mod digest;
pub mod idle;
pub mod ledger;
mod places;
pub mod record;
pub mod store;

use std::fmt;
use std::sync::Arc;

use self::definitions::Definitions;
use self::idle::{IdleRule, Idleness};
use self::ledger::{BudgetSet, Content, Figures, Ledger};
use self::record::Record;
use self::store::{Customers, CustomersWriter, Growth, KnownSlot, RowNeed};
use crate::customer::contact::Contact;
use crate::customer::event::{Event, Fate, MAX_AHEAD_S};
use crate::customer::id::CustomerId;
use crate::customer::outcome::{BudgetUse, Outcome, OutcomeKind};
use crate::customer::row;
use crate::customer::row::{Past, Row};
use crate::customer::update::{Change, Update};
use crate::input::problem::Problems;
use crate::rules::catalogue::Catalogue;
use crate::schema::{FeatureId, Moment, Schema};

/// The shortest time that contacts are kept, in seconds, whatever caps are in force: a cap that is
/// published tomorrow may look back.
pub const MIN_KEPT_S: u32 = 30 * crate::schema::value::DAY_SECONDS;

/// The most refused events of one submission that are reported one by one; further ones are only counted.
pub const MAX_FATES: usize = 1 << 16;

/// How many updates are looked up ahead. What they bring near still fits the second-level cache.
const AHEAD: usize = 64;

/// Definitions, customers and ledger: everything that records make.
pub struct State {
    definitions: Definitions,
    customers: CustomersWriter,
    ledger: Ledger,
    sequence: u64,
    erased: u64,
    dated: u32,
    expired: u64,
    row: Row,              // used again from update to update
    found: Vec<KnownSlot>, // as `row`, from one stretch of updates to the next
}

/// A state as it was at [`State::freeze`], while the state itself goes on.
pub struct FrozenState {
    /// The sequence of the last record applied.
    pub sequence: u64,
    /// The sequence of the last record that erased a customer, as [`State::erased`].
    pub erased: u64,
    /// The schema and the rule sets with their versions.
    pub definitions: Definitions,
    /// The customers, to be read once, part by part.
    pub customers: store::FrozenCustomers,
    /// What belongs to no single customer.
    pub ledger: Content,
}

/// What became of the events of a record, or of several.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fates {
    /// The events that changed nothing, or less than they asked for, by their place among all updates;
    /// at most [`MAX_FATES`].
    pub refused: Vec<(usize, Fate)>,
    /// How many more such events there were.
    pub omitted: usize,
}

/// Why a record could not be applied. The state no longer follows the records then, so nothing more may
/// be applied to it.
#[derive(Debug)]
pub enum ApplyError {
    /// The record is not the next one.
    OutOfOrder {
        /// The sequence that was due.
        due: u64,
        /// The sequence that the record has.
        found: u64,
    },
    /// There is no room for another customer or a longer row.
    Full(store::Full),
    /// What it defines does not parse, or does not fit what is there. A server never makes such a
    /// record.
    Definitions(Problems),
}

impl State {
    /// The state before the first record.
    pub fn new() -> State {
        let (customers, _) = store::customers();
        State::restore(0, 0, Definitions::new(), customers, Content::default())
    }

    /// The state that was frozen with this sequence, last erasure, definitions, customers and ledger.
    pub fn restore(
        sequence: u64,
        erased: u64,
        definitions: Definitions,
        customers: CustomersWriter,
        ledger: Content,
    ) -> State {
        let (ledger, row, found) = (Ledger::restore(ledger), Row::new(), Vec::new());
        State { definitions, customers, ledger, sequence, erased, dated: 0, expired: 0, row, found }
    }

    /// This state as it is now, for a snapshot, while it goes on. `None` while another such view lives.
    ///
    /// [`CustomersWriter::freeze`] and [`Ledger::content`] say what it costs, and when it is given up.
    pub fn freeze(&mut self) -> Option<FrozenState> {
        let customers = self.customers.freeze()?;
        let (sequence, erased, definitions) = (self.sequence, self.erased, self.definitions.clone());
        Some(FrozenState { sequence, erased, definitions, customers, ledger: self.ledger.content() })
    }

    /// The schema and the rule sets with their versions.
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// The customers, for readers of any thread.
    pub fn customers(&self) -> &Arc<Customers> {
        self.customers.shared()
    }

    /// Budgets, lessons and tallies, for readers of any thread.
    pub fn figures(&self) -> &Arc<Figures> {
        self.ledger.figures()
    }

    /// The sequence of the last record applied; 0 before the first.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The sequence of the last record that erased a customer, known or not, or that tells of one who was
    /// erased; 0 before the first.
    pub fn erased(&self) -> u64 {
        self.erased
    }

    /// How many customers went since this state was made, because nothing of them counted any more.
    pub fn expired(&self) -> u64 {
        self.expired
    }

    /// When the last record was written that says so, in seconds since 1970; 0 if none was applied.
    pub fn dated(&self) -> u32 {
        self.dated
    }

    /// Applies the record of this sequence, which must be the next one. Returns what became of its
    /// events.
    ///
    /// # Errors
    /// [`ApplyError`]. Of a record about customers, the updates before the failing one are applied.
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
                // A void event names an erased customer, too.
                let void = |(_, fate): &(usize, Fate)| *fate == Fate::Erased;
                self.dated = updates.iter().rev().find_map(written).unwrap_or(self.dated);
                if updates.iter().any(erases) || fates.refused.iter().any(void) {
                    self.erased = sequence;
                }
            }
            Record::Idle { at, life_s, customers } => {
                self.dated = *at;
                self.idle(*at, *life_s, customers).map_err(ApplyError::Full)?;
            }
            definition => {
                if let Record::Catalogue(additions) = definition {
                    self.ledger.give_back(&additions.returns);
                }
                if let Record::Note { note, .. } = definition {
                    self.dated = note.at;
                }
                self.definitions.apply(definition).map_err(ApplyError::Definitions)?;
                self.grow_rows().map_err(ApplyError::Full)?;
            }
        }
        self.sequence = sequence;
        Ok(fates)
    }

    /// Gives rows room for the schema in force. Where features come to need more words, the contacts
    /// behind them move. That is one walk through all customers: a second for 10 million, and some 0.3
    /// µs more for each who has contacts.
    fn grow_rows(&mut self) -> Result<(), store::Full> {
        let words = self.definitions.schema.row_words();
        if words == self.customers.row_words() {
            return Ok(());
        }
        self.customers.set_row_words(words);
        self.customers.change_all_with_header(|row| {
            let moves = row::idle_since(row).is_none(); // behind those who are marked nothing stands
            if moves {
                row::open(row, words);
            }
            moves
        })
    }

    /// Marks or forgets those customers of whom nothing counts any more, as [`IdleRule`] says.
    fn idle(&mut self, at: u32, life_s: u32, idle: &[CustomerId]) -> Result<(), store::Full> {
        let State { definitions, customers, row, expired, .. } = self;
        let rule = IdleRule::new(definitions, at, life_s);
        for customer in idle {
            if !customers.read(customer.as_str(), row) {
                continue;
            }
            match rule.judge(row) {
                Idleness::Stays => {}
                Idleness::Noticed => customers.put(customer, row)?,
                Idleness::Over => *expired += u64::from(customers.erase(customer.as_str())),
            }
        }
        Ok(())
    }

    /// Applies some updates, of which the first is at place `first`. What they need is brought near for
    /// all of them first: most of an update's time is waiting for memory.
    fn updates(&mut self, first: usize, updates: &[Update], fates: &mut Fates) -> Result<(), store::Full> {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        // A slot may change hands when a customer is erased on the way.
        if updates.len() > 1 && !updates.iter().any(erases) {
            self.customers.find_all(updates.iter().map(|update| &update.customer), &mut found);
            self.ledger.touch(updates.iter().filter_map(|update| match &update.change {
                Change::Event(event) => Some(&**event),
                _ => None,
            }));
        }
        found.resize(updates.len(), KnownSlot::default());
        for (at, (update, found)) in updates.iter().zip(&found).enumerate() {
            fates.add(first + at, self.update(update, *found)?);
        }
        self.found = found;
        Ok(())
    }

    fn update(
        &mut self,
        Update { customer, change }: &Update,
        found: KnownSlot,
    ) -> Result<Fate, store::Full> {
        let State { definitions, customers, ledger, row, .. } = self;
        match change {
            Change::Erase(erasure) => {
                customers.erase(customer.as_str());
                ledger.erase(customer, erasure);
            }
            Change::Event(event) => return self.event(customer, found, event),
            stored => customers.change(customer, found, row, |row| {
                stored.apply(&definitions.schema, row);
                true
            })?,
        }
        Ok(Fate::Accepted)
    }

    fn event(&mut self, customer: &CustomerId, found: KnownSlot, event: &Event) -> Result<Fate, store::Full> {
        let State { definitions: Definitions { schema, catalogue, .. }, customers, ledger, row, .. } = self;
        if let Some(refusal) = ledger.voided(customer, event).or_else(|| ledger.refusal(event)) {
            return Ok(refusal);
        }
        let (mut budgets, mut fate) = (BudgetSet::NONE, Fate::Accepted);
        customers.change(customer, found, row, |row| {
            if let Some(outcome) = event.outcome.as_deref() {
                (budgets, fate) = match ledger.budgets(outcome, event.received, Past::of(row).budget_places) {
                    Some(counted) if counted.count() < outcome.budgets.len() => (counted, Fate::Again),
                    Some(counted) => (counted, Fate::Accepted),
                    None => (BudgetSet::NONE, Fate::UsedUp),
                };
            }
            row::open(row, schema.row_words());
            row::rewind(row, event.received.saturating_add(MAX_AHEAD_S), event.received);
            facts(schema, row, event);
            if let Some(outcome) = &event.outcome {
                contact(catalogue, row, event, outcome);
                let mut places = budgets.of(outcome).filter_map(BudgetUse::place).peekable();
                if places.peek().is_some() {
                    row::take_places(row, places, |place| ledger.is_over(place));
                }
            }
            true
        })?;
        let place = event.outcome.as_ref().and_then(|outcome| catalogue.place(outcome.place));
        ledger.take(event, budgets, place.map_or(0, |place| place.placement));
        Ok(fate)
    }

    /// As [`CustomersWriter::make_room`].
    ///
    /// # Errors
    /// [`store::Full`].
    pub fn make_room(&self, added: usize) -> Result<(), store::Full> {
        self.customers.make_room(added)
    }

    /// Gets the memory for the rows that `updates` make longer, after those that `growth` has of the same
    /// batch. The other arguments are those of [`CustomersWriter::make_room_to_grow`].
    ///
    /// # Errors
    /// [`store::Full`].
    pub fn make_room_to_grow(
        &self,
        updates: &[Update],
        added: usize,
        growth: &mut Growth,
        may_take: impl Fn(usize) -> bool,
    ) -> Result<(), store::Full> {
        let schema = &self.definitions.schema;
        let written = |features: &[(FeatureId, u64)]| {
            let set = features.iter().filter(|(_, code)| *code != 0);
            let words = set.map(|(feature, _)| schema.words_up_to(*feature));
            RowNeed { words: words.max().unwrap_or_default(), further: 0 }
        };
        for Update { customer, change } in updates {
            let need = match change {
                Change::Replace(fields) | Change::Merge(fields) => written(fields),
                Change::Event(event) => match &event.outcome {
                    Some(outcome) => RowNeed { words: schema.row_words(), further: outcome_words(outcome) },
                    None => written(&event.facts),
                },
                Change::Erase(_) => {
                    self.customers.make_room_after(customer, growth);
                    continue;
                }
            };
            self.customers.make_room_to_grow(customer, need, added, growth, &may_take)?;
        }
        Ok(())
    }

    /// The most customers that `updates` would add: a customer named twice counts twice.
    pub fn added_by(&self, updates: &[Update]) -> usize {
        let customers = self.customers.shared();
        let adds = |update: &&Update| !erases(update) && !customers.contains(update.customer.as_str());
        updates.iter().filter(adds).count()
    }

    /// The [digest] of this state. Reads every customer.
    pub fn digest(&self) -> u64 {
        digest::of(&self.definitions, self.customers.shared(), &self.ledger.content())
    }
}

/// How many words an outcome adds to a row at most: a contact, two for one that becomes an earlier contact,
/// and two for each place in a budget.
fn outcome_words(outcome: &Outcome) -> usize {
    3 + 2 * outcome.budgets.len()
}

fn erases(update: &Update) -> bool {
    matches!(update.change, Change::Erase(_))
}

/// When this update was written, if it says so.
fn written(update: &Update) -> Option<u32> {
    match &update.change {
        Change::Event(event) => Some(event.received),
        Change::Erase(erasure) => Some(erasure.at).filter(|at| *at > 0),
        Change::Replace(_) | Change::Merge(_) => None,
    }
}

/// Gives computed features what they take from an event; `row` has room for them.
fn facts(schema: &Schema, row: &mut [u64], event: &Event) {
    let when = Moment { at: event.at, received: event.received };
    for (feature, code) in &event.facts {
        schema.take(*feature, row, when, *code);
    }
}

/// Adds an outcome to the contacts, and removes those that no cap looks back to any more. What has no room
/// among the contacts, though a window in force may reach it, becomes an earlier contact.
fn contact(catalogue: &Catalogue, row: &mut Row, event: &Event, outcome: &Outcome) {
    row::add(row, Contact::new(outcome.offer, outcome.place, outcome.kind, event.at));
    let kept = kept(catalogue, event.received);
    row::prune(row, |contact| kept.stays(contact), |contact| kept.is_needed(contact));
}

/// Which contacts are kept at a moment.
struct KeptContacts {
    keep_s: [u32; OutcomeKind::COUNT],
    now: u32,
}

/// Which contacts are kept at this second since 1970.
fn kept(catalogue: &Catalogue, now: u32) -> KeptContacts {
    KeptContacts { keep_s: catalogue.keep_s(), now }
}

impl KeptContacts {
    /// Whether a contact is kept one by one.
    fn stays(&self, contact: Contact) -> bool {
        self.is_within(contact, MIN_KEPT_S)
    }

    /// Whether a window in force may reach a contact.
    fn is_needed(&self, contact: Contact) -> bool {
        self.keep_s[contact.kind().index()] > 0 && self.is_within(contact, 0)
    }

    fn is_within(&self, contact: Contact, least_s: u32) -> bool {
        let keep_s = self.keep_s[contact.kind().index()].max(least_s);
        keep_s == u32::MAX || contact.at().saturating_add(keep_s) >= self.now
    }
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

    /// Adds the fates of a later record, before which there were `before` updates.
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
pub(crate) mod testing;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::digest::Digest;
    use super::testing::*;
    use super::*;
    use crate::customer::update::Erasure;
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
        let erase = |who: u32| {
            Record::Customers(vec![Update { customer: id(who), change: Change::Erase(Erasure::default()) }])
        };
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
        let (mut digest, mut part) = (Digest::default(), store::FrozenPart::default());
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
        let erase = Update { customer: id(3), change: Change::Erase(Erasure::default()) };
        let updates = [merge(1, &[]), merge(2, &[]), merge(2, &[]), erase];
        assert_eq!(state.added_by(&updates), 2);
    }
}
