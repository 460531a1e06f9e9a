//! Customers of whom only events are known, once nothing of that counts any more: no feature that is sent is
//! set, and no contact or place in a budget counts. They go when they have been left alone for a time, so
//! that ids which somebody made up do not stay for ever. What was computed of their events goes with them.
//!
//! The shell looks for them, and writes a record that names them
//! ([`Record::Idle`](super::record::Record::Idle)). The fold judges each again, because something may have
//! happened to them meanwhile. Whom it finds for the first time it marks in their row; what happens to them,
//! and what is written of them, takes the mark away. Whom it finds again, a time after the mark, it forgets.

use super::definitions::Definitions;
use super::kept;
use super::ledger::is_over;
use crate::customer::budget_place::BudgetPlace;
use crate::customer::contact::Contact;
use crate::customer::earlier::EarlierContacts;
use crate::customer::event::MAX_AHEAD_S;
use crate::customer::row;
use crate::customer::row::{Past, Row};
use crate::schema::value::DAY_SECONDS;
use crate::schema::{Kind, Schema};

/// What becomes of a customer whom a record names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idleness {
    /// They stay as they are.
    Stays,
    /// Nothing of them counts any more, and the mark in their row says since when.
    Noticed,
    /// That was so for long enough: they go.
    Over,
}

/// Judges rows at one moment.
pub struct IdleRule<'s> {
    definitions: &'s Definitions,
    at: u32,
    /// How long a customer stays whom nothing happens to, in seconds.
    life_s: u32,
}

impl<'s> IdleRule<'s> {
    /// The rule at this second since 1970. A customer stays for `life_s` seconds, and for as long as the
    /// longest window of a computed feature looks back.
    pub fn new(definitions: &'s Definitions, at: u32, life_s: u32) -> IdleRule<'s> {
        let life_s = life_s.max(longest_window(&definitions.schema));
        IdleRule { definitions, at, life_s }
    }

    /// What becomes of the customer with this row. The row becomes what it is then.
    pub fn judge(&self, row: &mut Row) -> Idleness {
        let told = self.definitions.schema.features().iter().filter_map(|feature| feature.field);
        if told.into_iter().any(|field| field.read(row) != 0) || self.counts(row) {
            return Idleness::Stays;
        }
        match row::idle_since(row) {
            Some(since) if since > self.at.saturating_add(MAX_AHEAD_S) => {} // by a clock that was ahead
            Some(since) if self.at.saturating_sub(since) >= self.life_s => return Idleness::Over,
            Some(_) => return Idleness::Stays,
            None => {}
        }
        row::mark_idle(row, self.at);
        Idleness::Noticed
    }

    /// Whether a contact or a place in a budget still counts.
    fn counts(&self, row: &Row) -> bool {
        let Past { contacts, earlier, budget_places } = Past::of(row);
        let kept = kept(&self.definitions.catalogue, self.at);
        contacts.iter().any(|word| kept.stays(Contact::of_word(*word)))
            || EarlierContacts::all(earlier).any(|one| kept.is_needed(one.latest))
            || BudgetPlace::all(budget_places).any(|place| !is_over(place.day, self.at / DAY_SECONDS))
    }
}

/// How far back the computed features of a schema look, in seconds.
fn longest_window(schema: &Schema) -> u32 {
    let windows = schema.features().iter().filter_map(|feature| match &feature.kind {
        Kind::Computed(computed) => computed.window_seconds,
        _ => None,
    });
    windows.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BEGIN, SCHEMA, happens, id, merge, replayed};
    use crate::customer::event::Event;
    use crate::customer::id::CustomerId;
    use crate::customer::outcome::{BudgetUse, Outcome, OutcomeKind};
    use crate::customer::update::{Change, Update};
    use crate::state::record::Record;
    use crate::state::{MIN_KEPT_S, State};
    use crate::storage::codec;

    const LIFE: u32 = 1_000;

    /// A state, and the bytes of its records.
    struct Told(State, Vec<(u64, Vec<u8>)>);

    impl Told {
        fn new(updates: Vec<Update>) -> Told {
            let mut told = Told(State::new(), Vec::new());
            told.apply(&Record::Schema {
                text: format!(
                    "{SCHEMA}  views: {{kind: count, event: v, window: 10m}}\nevents: {{v: {{}}}}\n"
                ),
            });
            told.apply(&Record::Customers(updates));
            told
        }

        fn apply(&mut self, record: &Record) {
            let sequence = self.0.sequence() + 1;
            self.1.push((sequence, codec::encode(record).unwrap()));
            self.0.apply(sequence, record).unwrap();
        }

        /// Names all customers in a record of this time. Returns who is left.
        fn look(&mut self, at: u32) -> Vec<u32> {
            let customers: Vec<CustomerId> = (0..10).map(id).collect();
            self.apply(&Record::Idle { at, life_s: LIFE, customers });
            assert_eq!(replayed(&self.1).digest(), self.0.digest());
            assert_eq!(self.0.dated(), at);
            (0..10).filter(|who| self.0.customers().contains(id(*who).as_str())).collect()
        }
    }

    fn view(who: u32, at: u32) -> Update {
        let event = Event { at, received: at, ..Event::default() };
        Update { customer: id(who), change: Change::Event(Box::new(event)) }
    }

    #[test]
    fn who_is_left_alone_goes_a_life_after_nothing_of_them_counts() {
        let shown = Outcome::of(OutcomeKind::Impression);
        let mut told =
            Told::new(vec![view(1, BEGIN), happens(2, BEGIN, shown), merge(3, &[(1, 5)]), view(3, BEGIN)]);
        assert_eq!(told.look(BEGIN), [1, 2, 3]);
        assert_eq!(told.look(BEGIN + LIFE - 1), [1, 2, 3]);
        assert_eq!(told.look(BEGIN + LIFE), [2, 3], "a contact counts for its time");
        let over = BEGIN + MIN_KEPT_S + 1;
        assert_eq!(told.look(over), [2, 3]);
        assert_eq!(told.look(over + LIFE), [3], "features stay whatever happens");
        assert_eq!((told.0.expired(), told.0.erased()), (2, 0));
        told.apply(&Record::Customers(vec![merge(3, &[(1, 0)])]));
        assert_eq!((told.look(over + 9_000), told.look(over + 9_000 + LIFE)), (vec![3], vec![]));
    }

    #[test]
    fn whatever_happens_to_them_they_stay_a_life_longer() {
        let mut told = Told::new(vec![view(1, BEGIN), view(2, BEGIN), view(3, BEGIN)]);
        told.look(BEGIN);
        told.apply(&Record::Customers(vec![view(1, BEGIN + 500), merge(2, &[])]));
        assert_eq!(told.look(BEGIN + LIFE), [1, 2]);
        told.apply(&Record::Schema { text: format!("{SCHEMA}  views: {{kind: count, event: v, window: 10m}}\n  wide: {{kind: float, precision: double}}\nevents: {{v: {{}}}}\n") });
        assert_eq!(told.look(BEGIN + 2 * LIFE - 1), [1, 2]);
        assert_eq!(
            told.look(BEGIN + 2 * LIFE),
            [] as [u32; 0],
            "a schema that grows is nothing that happens to them"
        );
    }

    #[test]
    fn a_place_in_a_budget_of_customers_stays_and_one_of_a_day_that_is_over_does_not() {
        let placed = |who: u32, day: u32, at: u32| {
            let budgets = vec![BudgetUse { key: 9, day, max: 9, once: true }];
            happens(who, at, Outcome { budgets, ..Outcome::of(OutcomeKind::Impression) })
        };
        let late = BEGIN + 2 * MIN_KEPT_S;
        let day = |at: u32| at / 86_400;
        let mut told =
            Told::new(vec![placed(1, 0, BEGIN), placed(2, day(BEGIN), BEGIN), placed(3, day(late), late)]);
        told.look(late);
        assert_eq!(told.look(late + LIFE), [1, 3]);
    }

    #[test]
    fn a_mark_of_a_clock_that_was_ahead_is_made_anew() {
        let mut told = Told::new(vec![view(1, BEGIN)]);
        told.look(BEGIN + 9_000_000);
        assert_eq!((told.look(BEGIN), told.look(BEGIN + LIFE - 1)), (vec![1], vec![1]));
        assert_eq!(told.look(BEGIN + LIFE), [] as [u32; 0]);
    }
}
