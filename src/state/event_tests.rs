//! The fold of events against a model that keeps lists.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::ledger::{BUDGET_DAYS, TALLY_DAYS, Tally, TallyKey};
use super::testing::*;
use super::*;
use crate::customer::contact::{FIRST_SECOND, MAX_CONTACTS};
use crate::customer::numbers::{ArmNumber, OfferNumber, PlaceNumber};
use crate::customer::outcome::OutcomeKind;
use crate::customer::outcome::{BudgetUse, Lesson};
use crate::customer::update::Erasure;
use crate::decide::Lessons;
use crate::learning::lesson::LessonKey;
use crate::learning::{LearnedCounts, Pace};
use crate::rules::catalogue::Additions;
use crate::storage::codec;

const DAY: u32 = 86_400;

/// A contact: time, kind, place, offer.
type Told = (u32, usize, u16, u32);

/// What events mean, told plainly.
#[derive(Debug, Default, PartialEq)]
struct Naive {
    contacts: BTreeMap<CustomerId, Vec<Told>>,
    /// Who was erased, and when; 0 until that is known.
    erased: Vec<(CustomerId, u32)>,
    /// Who has a place in a budget of customers, and on which day.
    places: BTreeSet<(CustomerId, u64, u32)>,
    ids: BTreeSet<u64>,
    propositions: BTreeSet<(u64, usize)>,
    used: BTreeMap<(u64, u32), u32>,
    newest_day: u32,
    tallies: BTreeMap<(u16, TallyKey), ([u64; 4], i64)>,
}

impl Naive {
    fn date_erasures(&mut self, now: u32) {
        self.erased.iter_mut().filter(|(_, at)| *at == 0).for_each(|(_, at)| *at = now);
    }

    fn apply(&mut self, Update { customer, change }: &Update, keep_s: [u32; 4]) -> Fate {
        let event = match change {
            Change::Erase(Erasure { at, .. }) => {
                self.contacts.remove(customer);
                self.date_erasures(*at);
                self.erased.push((customer.clone(), *at));
                self.places.retain(|(who, ..)| who != customer);
                return Fate::Accepted;
            }
            Change::Event(event) => event,
            _ => {
                self.contacts.entry(customer.clone()).or_default();
                return Fate::Accepted;
            }
        };
        let proposition = event.outcome.as_ref().map(|outcome| (outcome.nonce, outcome.kind.index()));
        let proposition = proposition.filter(|(nonce, _)| *nonce != 0);
        self.date_erasures(event.received);
        let dated = (event.at < event.received).then_some(event.at);
        let of = event.outcome.as_ref().filter(|it| it.nonce != 0).map_or(dated, |it| Some(it.decided));
        if self.erased.iter().any(|(who, at)| who == customer && of.is_some_and(|of| of <= *at)) {
            return Fate::Erased;
        }
        if self.ids.contains(&event.id) || proposition.is_some_and(|it| self.propositions.contains(&it)) {
            return Fate::Duplicate;
        }
        let mut fate = Fate::Accepted;
        self.rewind(customer, event);
        if let Some(outcome) = &event.outcome {
            match self.outcome(customer, event, outcome, keep_s) {
                None => fate = Fate::UsedUp,
                Some(counted) if counted < outcome.budgets.len() => fate = Fate::Again,
                Some(_) => {}
            }
        }
        self.contacts.entry(customer.clone()).or_default();
        self.ids.extend(Some(event.id).filter(|id| *id != 0));
        self.propositions.extend(proposition);
        fate
    }

    /// Dates anew what was dated ahead of this event.
    fn rewind(&mut self, customer: &CustomerId, Event { received, outcome, .. }: &Event) {
        let contacts = self.contacts.entry(customer.clone()).or_default();
        contacts.iter_mut().filter(|told| told.0 > received + 300).for_each(|told| told.0 = *received);
        contacts.sort_unstable();
        let today = (received / DAY) as u16;
        for ((day, key), (outcomes, value)) in std::mem::take(&mut self.tallies) {
            let day = if outcome.is_some() && day > today + 1 { today } else { day };
            let tally = self.tallies.entry((day, key)).or_default();
            tally.0.iter_mut().zip(outcomes).for_each(|(all, more)| *all += more);
            tally.1 += value;
        }
    }

    /// How many budgets counted it; `None` if one of them is used up.
    fn outcome(
        &mut self,
        customer: &CustomerId,
        event: &Event,
        outcome: &Outcome,
        keep_s: [u32; 4],
    ) -> Option<usize> {
        let known = self.contacts.get(customer).cloned().unwrap_or_default();
        let kind = outcome.kind.index();
        // Of budgets that are named twice, the first counts.
        let counted: BTreeMap<_, _> = outcome
            .budgets
            .iter()
            .rev()
            .map(|budget| ((budget.key, budget.day), (budget.max, budget.once)))
            .collect();
        let is_over = |day: u32| day != 0 && day + BUDGET_DAYS < self.newest_day;
        let has_place =
            |(key, day): (u64, u32)| self.places.contains(&(customer.clone(), key, day)) && !is_over(day);
        let counted: Vec<_> =
            counted.into_iter().filter(|(of, (_, once))| !(*once && has_place(*of))).collect();
        let has_room = |((key, day), (max, _)): &((u64, u32), (u32, bool))| {
            let used = self.used.get(&(*key, *day)).copied().unwrap_or_default();
            used < *max && !is_over(*day)
        };
        let fits = counted.iter().all(has_room);
        for (key, (_, once)) in counted.iter().filter(|_| fits) {
            *self.used.entry(*key).or_default() += 1;
            self.newest_day = self.newest_day.max(key.1);
            if *once {
                self.places.insert((customer.clone(), key.0, key.1));
            }
        }
        self.used.retain(|(_, day), _| *day == 0 || day + BUDGET_DAYS >= self.newest_day);
        let mut contacts = known;
        contacts.push((event.at, kind, outcome.place.0, outcome.offer.0));
        contacts.sort_unstable();
        contacts.retain(|told| {
            let kept = keep_s[told.1].max(MIN_KEPT_S);
            kept == u32::MAX || told.0 + kept >= event.received
        });
        self.contacts.insert(customer.clone(), contacts);
        for arm in std::iter::once(None).chain(outcome.arms.iter().copied().map(Some)) {
            let key = ((event.at / DAY) as u16, TallyKey::new(outcome.offer, outcome.place, arm));
            let tally = self.tallies.entry(key).or_default();
            tally.0[kind] += 1;
            tally.1 += outcome.value;
            self.put_days_together();
        }
        fits.then_some(counted.len())
    }

    fn put_days_together(&mut self) {
        let newest = self.tallies.keys().next_back().map_or(0, |(day, _)| *day);
        for ((day, key), (outcomes, value)) in std::mem::take(&mut self.tallies) {
            let day = if day + TALLY_DAYS < newest { 0 } else { day };
            let tally = self.tallies.entry((day, key)).or_default();
            tally.0.iter_mut().zip(outcomes).for_each(|(all, more)| *all += more);
            tally.1 += value;
        }
    }

    fn check(&self, state: &State) {
        let mut contacts = BTreeMap::new();
        state.customers().for_each(|id, row| {
            let told = |word: &u64| {
                let contact = Contact::of_word(*word);
                (contact.at(), contact.kind().index(), contact.place().0, contact.offer().0)
            };
            contacts.insert(id.clone(), row::contacts(row).iter().map(told).collect::<Vec<_>>());
        });
        assert_eq!(contacts, self.contacts);
        for ((key, day), used) in &self.used {
            assert_eq!(state.figures().used(*key, *day), *used, "of {key} on {day}");
        }
        let rows = state.figures().tallies();
        let rows = rows.rows().map(|(day, key, Tally { outcomes, value })| ((day, key), (outcomes, value)));
        assert_eq!(rows.collect::<BTreeMap<_, _>>(), self.tallies);
    }
}

fn keeping(keep_s: [u32; 4]) -> Record {
    Record::Catalogue(Box::new(Additions { keep_s: Some(keep_s), ..Additions::default() }))
}

/// A state as a snapshot brings it back: rows, definitions and ledger alone.
fn brought_back(state: &mut State) -> State {
    let mut frozen = state.freeze().unwrap();
    let loader = store::Loader::new(7, frozen.customers.customers(), 0, 3).unwrap();
    let (mut part, mut slot) = (store::FrozenPart::default(), 0);
    while frozen.customers.next_part(&mut part).unwrap() {
        for (id, row) in part.iter() {
            loader.put(slot, id.clone(), row).unwrap();
            slot += 1;
        }
    }
    let mut ledger = Content::default();
    for piece in frozen.ledger.pieces() {
        let bytes = codec::encode_piece(&piece).unwrap();
        ledger.take_in(codec::decode_piece(&bytes).unwrap()).unwrap();
    }
    State::restore(frozen.sequence, frozen.erased, frozen.definitions, loader.finish().unwrap(), ledger)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::testing::rounds(32, 128)))]
    #[test]
    fn the_fold_of_events_does_what_lists_do(
        writes in prop::collection::vec(prop_oneof![3 => events(), 1 => updates()], 1..16),
        keep_days in prop::array::uniform4(prop_oneof![Just(0), 1..100_u32, Just(u32::MAX / DAY + 1)]),
        wider_at in 0..16_usize,
        snapshot_at in 0..16_usize,
    ) {
        let keep_s = keep_days.map(|days| days.saturating_mul(DAY));
        let mut records = vec![Record::Schema { text: SCHEMA.into() }, keeping(keep_s)];
        records.extend(writes.into_iter().map(Record::Customers));
        let wider_at = (2 + wider_at).min(records.len());
        records.insert(wider_at, Record::Schema { text: wider_schema() });
        let (mut live, mut replayed, mut restored) = (State::new(), State::new(), None::<State>);
        let (mut naive, mut model) = (Naive::default(), Model::default());
        for (sequence, record) in (1..).zip(&records) {
            let fates = live.apply(sequence, record).unwrap();
            let decoded = codec::decode(&codec::encode(record).unwrap()).unwrap();
            prop_assert_eq!(&decoded, record);
            prop_assert_eq!(&replayed.apply(sequence, &decoded).unwrap(), &fates);
            if let Some(restored) = &mut restored {
                prop_assert_eq!(&restored.apply(sequence, record).unwrap(), &fates);
            }
            if let Record::Customers(updates) = record {
                let all: Vec<Fate> = updates.iter().map(|update| naive.apply(update, keep_s)).collect();
                let refused = all.into_iter().enumerate().filter(|(_, fate)| *fate != Fate::Accepted);
                prop_assert_eq!(refused.collect::<Vec<_>>(), fates.refused);
                updates.iter().for_each(|update| model.apply(update));
            }
            if sequence == snapshot_at as u64 {
                restored = Some(brought_back(&mut live));
            }
        }
        naive.check(&live);
        for who in naive.contacts.keys() {
            model.known(who);
        }
        prop_assert_eq!(Model::of(live.definitions(), live.customers()), model);
        prop_assert_eq!(replayed.digest(), live.digest());
        if let Some(restored) = restored {
            naive.check(&restored);
            prop_assert_eq!(restored.digest(), live.digest());
        }
    }
}

fn outcome(kind: OutcomeKind, nonce: u64) -> Outcome {
    Outcome { nonce, ..Outcome::of(kind) }
}

/// The state after these updates, and what became of each of them.
fn after(updates: Vec<Update>) -> (State, Vec<Option<Fate>>) {
    let mut state = State::new();
    let count = updates.len();
    let fates = state.apply(1, &Record::Customers(updates)).unwrap();
    let mut all = vec![None; count];
    fates.refused.iter().for_each(|(at, fate)| all[*at] = Some(*fate));
    (state, all)
}

#[test]
fn a_budget_of_three_is_used_three_times_whoever_comes() {
    let limited = |once| {
        let budgets = vec![BudgetUse { key: 9, day: 0, max: 3, once }];
        Outcome { budgets, ..outcome(OutcomeKind::Impression, 0) }
    };
    let whos = [1, 1, 2, 3, 1, 4];
    let (used_up, again, taken) = (Some(Fate::UsedUp), Some(Fate::Again), None);
    for (once, fates) in [
        (false, [taken, taken, taken, used_up, used_up, used_up]),
        (true, [taken, again, taken, taken, again, used_up]),
    ] {
        let updates = whos.map(|who| happens(who, BEGIN, limited(once))).to_vec();
        let (state, found) = after(updates);
        assert_eq!((found, state.figures().used(9, 0)), (fates.to_vec(), 3));
        assert_eq!(state.customers().len(), 4, "what happened is known of everybody");
    }
}

#[test]
fn what_a_clock_dated_ahead_comes_back_with_the_next_event() {
    let daily = |at: u32| {
        let budgets = vec![BudgetUse { key: 9, day: at / DAY, max: 2, once: false }];
        happens(1, at, Outcome { budgets, ..outcome(OutcomeKind::Impression, 0) })
    };
    let (ahead, now) = (BEGIN + 8 * DAY, BEGIN + 60);
    let (state, fates) =
        after(vec![daily(BEGIN), daily(ahead), daily(now), daily(now + 1), daily(ahead + DAY)]);
    assert_eq!(fates, [None, None, None, Some(Fate::UsedUp), None]);
    assert_eq!([BEGIN, ahead, ahead + DAY].map(|at| state.figures().used(9, at / DAY)), [2, 1, 1]);
    assert_eq!(state.dated(), ahead + DAY);
    let mut row = Row::new();
    assert!(state.customers().read(id(1).as_str(), &mut row));
    let dates: Vec<_> = row::contacts(&row).iter().map(|word| Contact::of_word(*word).at()).collect();
    assert_eq!(dates, [BEGIN, now, now, now + 1, ahead + DAY]);
}

#[test]
fn a_proposition_counts_once_even_when_it_was_forgotten() {
    let click = |nonce, decided| Outcome { decided, ..outcome(OutcomeKind::Click, nonce) };
    let mut state = State::new();
    let mut apply = |update: Update| {
        let fates = state.apply(state.sequence() + 1, &Record::Customers(vec![update])).unwrap();
        fates.refused.first().map(|(_, fate)| *fate)
    };
    assert_eq!(apply(happens(1, BEGIN, click(1, BEGIN))), None);
    assert_eq!(apply(happens(1, BEGIN, click(1, BEGIN))), Some(Fate::Duplicate));
    let other_kind = Outcome { kind: OutcomeKind::Convert, ..click(1, BEGIN) };
    assert_eq!(apply(happens(1, BEGIN, other_kind)), None);
    // 42 days later, something new arrives and the first ones are forgotten.
    let later = BEGIN + 42 * DAY;
    assert_eq!(apply(happens(1, later, click(2, later))), None);
    for (nonce, decided, fate) in [
        (1, BEGIN, Some(Fate::Forgotten)),
        (3, BEGIN, Some(Fate::Forgotten)),
        (3, BEGIN + 1, None),
        (0, BEGIN, None),
    ] {
        assert_eq!(apply(happens(1, later, click(nonce, decided))), fate, "{nonce} {decided}");
    }
}

#[test]
fn a_clock_ahead_of_ours_does_not_make_a_proposition_count_twice() {
    let ahead = Outcome { decided: BEGIN + 100, ..outcome(OutcomeKind::Click, 1) };
    let later = BEGIN + 42 * DAY;
    let updates = vec![
        happens(1, BEGIN, ahead.clone()),
        happens(1, later, Outcome { decided: later, ..outcome(OutcomeKind::Click, 2) }),
        happens(1, later, ahead),
    ];
    assert_eq!(after(updates).1, [None, None, Some(Fate::Forgotten)]);
}

#[test]
fn a_click_and_a_conversion_of_one_proposition_are_one_yes() {
    let lesson = Some(Lesson { segment: 3, window_s: 60, half_life_s: 0 });
    let taught = |kind, nonce| happens(1, BEGIN, Outcome { lesson, ..outcome(kind, nonce) });
    let (state, fates) = after(vec![
        taught(OutcomeKind::Impression, 1),
        taught(OutcomeKind::Impression, 2),
        taught(OutcomeKind::Click, 1),
        taught(OutcomeKind::Convert, 1),
        taught(OutcomeKind::Dismiss, 2),
    ]);
    assert_eq!(fates, [None; 5]);
    let key = LessonKey { offer: OfferNumber(1), placement: 0, segment: 3 };
    let counts = state.figures().learned(key).unwrap().counts(BEGIN, Pace { window_s: 60, half_life_s: 0 });
    assert_eq!(counts, LearnedCounts { yes: 1.0, no: 1.0, pending: 1 });
}

#[test]
fn an_erased_customer_leaves_counts_and_no_contacts() {
    let erase = Update { customer: id(1), change: Change::Erase(Erasure::default()) };
    let click = || outcome(OutcomeKind::Click, 0);
    let (state, _) = after(vec![happens(1, BEGIN, click()), erase, happens(1, BEGIN + 5, click())]);
    let mut row = Row::new();
    assert!(state.customers().read(id(1).as_str(), &mut row));
    assert_eq!(row::contacts(&row).len(), 1);
    let key = TallyKey::new(OfferNumber(1), PlaceNumber(2), None);
    let rows: Vec<_> =
        state.figures().tallies().rows().map(|(_, key, tally)| (key, tally.outcomes)).collect();
    assert_eq!(rows, [(key, [0, 2, 0, 0])]);
}

#[test]
fn a_replace_load_leaves_contacts_and_the_longest_history_is_bounded() {
    let mut state = State::new();
    state.apply(1, &Record::Schema { text: SCHEMA.into() }).unwrap();
    let seen = |at: u32| happens(1, FIRST_SECOND + at, outcome(OutcomeKind::Impression, 0));
    let events = (0..300).map(seen).collect();
    state.apply(2, &Record::Customers(events)).unwrap();
    let replace = Change::Replace(vec![(FeatureId(1), 7)]);
    let updates = vec![merge(1, &[(0, 1)]), Update { customer: id(1), change: replace }];
    state.apply(3, &Record::Customers(updates)).unwrap();
    let mut row = Row::new();
    assert!(state.customers().read(id(1).as_str(), &mut row));
    let oldest = Contact::of_word(row::contacts(&row)[0]).at() - FIRST_SECOND;
    assert_eq!((row::contacts(&row).len(), oldest), (MAX_CONTACTS, 300 - MAX_CONTACTS as u32));
    let codes = state.definitions().schema.features().iter().map(|feature| feature.field.unwrap().read(&row));
    assert_eq!(codes.collect::<Vec<_>>(), [0, 7, 0, 0, 0]);
}

#[test]
fn arms_are_counted_beside_the_total() {
    let arms = vec![ArmNumber(0), ArmNumber(7)];
    let shown = Outcome { arms, value: 2_500, ..outcome(OutcomeKind::Convert, 0) };
    let (state, _) = after(vec![happens(1, BEGIN, shown)]);
    let rows = state.figures().tallies();
    let mut rows: Vec<_> =
        rows.rows().map(|(day, key, tally)| (day, key.arm, tally.outcomes[3], tally.value)).collect();
    rows.sort_unstable();
    let day = (BEGIN / DAY) as u16;
    assert_eq!(rows, [(day, 0, 1, 2_500), (day, 1, 1, 2_500), (day, 8, 1, 2_500)]);
}
