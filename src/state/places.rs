//! Places in budgets of customers, found for a state that was kept before places were.
//!
//! Snapshots of version 2 say how many places of a budget are used, and not by whom. An outcome that a
//! budget counted is a contact, and so is one that came when nothing was left. A budget counts as they
//! come, so those with the earliest contacts have the places: as many as are used. Contacts of before the
//! budget began are among them, as they were then.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::State;
use super::store;
use crate::customer::budget_place::{BudgetPlace, MAX_BUDGET_PLACES};
use crate::customer::contact::Contact;
use crate::customer::numbers::OfferNumber;
use crate::customer::outcome::OutcomeKind;
use crate::customer::row;
use crate::customer::row::Past;
use crate::engine::customer_budgets;
use crate::rules::rule_set::RuleSet;

/// The place that an outcome of an offer takes in each budget of customers.
type PlacesOf = HashMap<(OfferNumber, OutcomeKind), Vec<BudgetPlace>, FixedState>;

impl State {
    /// Gives customers the places that they seem to have in the budgets of all rule sets, retired ones
    /// included. Walks through all customers twice. A rule set that does not parse any more has no budgets.
    ///
    /// # Errors
    /// [`Full`](store::Full): there is no memory for longer rows.
    pub fn find_places(&mut self) -> Result<(), store::Full> {
        let of = self.places_of_outcomes();
        if of.is_empty() {
            return Ok(());
        }
        let mut times: HashMap<u64, Vec<u32>, FixedState> = HashMap::default();
        self.customers().for_each(|_, row| {
            for (place, at) in taken(&of, row) {
                times.entry(place.key).or_default().push(at);
            }
        });
        let figures = self.figures().clone();
        let latest_of = |(key, mut times): (u64, Vec<u32>)| {
            times.sort_unstable();
            let used = figures.used(key, 0) as usize;
            let latest = used.checked_sub(1).and_then(|last| times.get(last.min(times.len() - 1)).copied());
            latest.map(|latest| (key, latest))
        };
        let latest: HashMap<u64, u32, FixedState> = times.into_iter().filter_map(latest_of).collect();
        self.customers.change_all_with_header(|row| {
            let mut found: Vec<BudgetPlace> = Vec::new();
            for (place, at) in taken(&of, row) {
                if latest.get(&place.key).is_some_and(|latest| at <= *latest) {
                    found.push(place);
                }
            }
            found.truncate(MAX_BUDGET_PLACES);
            if !found.is_empty() {
                row::take_places(row, found.iter().copied(), |_| false);
            }
            !found.is_empty()
        })
    }

    fn places_of_outcomes(&self) -> PlacesOf {
        let mut of = PlacesOf::default();
        let definitions = self.definitions();
        for (name, history) in definitions.rule_sets() {
            let version = history.active().or(history.previous());
            let Some(text) = version.and_then(|version| history.text(version)) else { continue };
            let Ok(set) = RuleSet::parse(name, text, &definitions.schema) else { continue };
            for (offer, on, place) in customer_budgets(&set) {
                if let Some(number) = definitions.catalogue.offer_number(offer) {
                    of.entry((number, on)).or_default().push(place);
                }
            }
        }
        of
    }
}

/// The places that a customer took at the time of these contacts, each once, with the earliest time.
fn taken(of: &PlacesOf, row: &[u64]) -> Vec<(BudgetPlace, u32)> {
    let mut taken: Vec<(BudgetPlace, u32)> = Vec::new();
    for contact in Past::of(row).contacts.iter().map(|word| Contact::of_word(*word)) {
        for place in of.get(&(contact.offer(), contact.kind())).into_iter().flatten() {
            if !taken.iter().any(|(known, _)| known == place) {
                taken.push((*place, contact.at()));
            }
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::customer::outcome::{BudgetUse, Outcome};
    use crate::engine::Engine;
    use crate::schema::value::Time;
    use crate::state::record::Record;
    use crate::state::testing::{BEGIN, happens, id};
    use std::sync::Arc;

    const RULES: &str = "rule_set: r
placements: {slot: {channels: [app]}}
budgets: {gift: {max: 2, on: convert, customers: true}, plain: {max: 2, on: click}}
offers:
  a: {placements: [slot], budgets: [gift], treatments: [{placement: slot, content: 1}]}
  b: {placements: [slot], budgets: [gift, plain], treatments: [{placement: slot, content: 1}]}
";

    /// The state after these conversions (customer, offer and seconds), without any places; and the budget.
    fn without_places(conversions: &[(u32, &str, u32)]) -> (State, BudgetUse) {
        let mut state = State::new();
        let mut apply = |record: Record| drop(state.apply(state.sequence() + 1, &record).unwrap());
        apply(Record::Schema { text: "schema: s\n".into() });
        let schema = Arc::new(crate::schema::Schema::parse("s", "schema: s\n").unwrap());
        let set = Arc::new(RuleSet::parse("r", RULES, &schema).unwrap());
        let (engine, additions) = Engine::compile_with(&schema, &[(set, 1)], &Arc::default()).unwrap();
        additions.into_iter().for_each(|additions| apply(Record::Catalogue(Box::new(additions))));
        apply(Record::Publish { name: "r".into(), version: 1, text: RULES.into(), activate: true });
        let number = |name: &str| engine.catalogue.offer_number(name).unwrap();
        let [gift] = engine.budget_uses(number("a"), OutcomeKind::Convert, Time(0), Time(0))[..] else {
            panic!("one budget")
        };
        let outcome = |name| Outcome {
            offer: number(name),
            budgets: vec![BudgetUse { once: false, ..gift }],
            ..Outcome::of(OutcomeKind::Convert)
        };
        let happened = conversions.iter().map(|(who, name, at)| happens(*who, BEGIN + at, outcome(name)));
        apply(Record::Customers(happened.collect()));
        (state, gift)
    }

    #[track_caller]
    fn check_found(conversions: &[(u32, &str, u32)], who: &[u32]) {
        let (mut state, gift) = without_places(conversions);
        state.find_places().unwrap();
        let mut row = row::Row::new();
        let mut has = |who: u32| {
            state.customers().read(id(who).as_str(), &mut row);
            gift.place().unwrap().is_in(Past::of(&row).budget_places)
        };
        let found: Vec<u32> = (1..=9).filter(|who| has(*who)).collect();
        assert_eq!(found, who, "{conversions:?}");
    }

    #[test]
    fn the_earliest_have_the_places_as_many_as_are_used() {
        check_found(&[], &[]);
        check_found(&[(3, "a", 5)], &[3]);
        check_found(&[(1, "a", 5), (2, "b", 4)], &[1, 2]);
        check_found(&[(1, "a", 1), (2, "b", 2), (3, "a", 3)], &[1, 2]);
        check_found(&[(4, "a", 1), (4, "b", 2), (3, "b", 3), (2, "b", 4)], &[3, 4]);
    }

    #[test]
    fn a_rule_set_that_was_retired_has_its_places_and_others_leave_the_state_as_it_is() {
        let (mut state, gift) = without_places(&[(1, "a", 1)]);
        state.apply(state.sequence() + 1, &Record::Retire { name: "r".into() }).unwrap();
        let before = state.digest();
        state.find_places().unwrap();
        assert_ne!(state.digest(), before);
        let mut row = row::Row::new();
        assert!(state.customers().read(id(1).as_str(), &mut row));
        assert!(gift.place().unwrap().is_in(Past::of(&row).budget_places));
        let mut plain = State::new();
        let before = plain.digest();
        plain.find_places().unwrap();
        assert_eq!(plain.digest(), before);
    }
}
