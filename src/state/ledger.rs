//! The ledger: the part of the state that belongs to no single customer. It says which events were
//! taken already, how much of each budget is used, what became of offers, and what was learned of them.
//!
//! No customer is in it: ids of events and of erased customers are hashes, everything else is counts. So
//! erasing a customer takes nothing away here, and what the customer did stays counted.
//!
//! # Once, and never twice
//! An event whose id is remembered changes nothing. Nor does an outcome of a proposition (by its token)
//! that is remembered. An outcome that is not remembered may have been counted and forgotten: if it was
//! decided before something was forgotten, it is refused. So each outcome of a token counts once,
//! always. Ids and outcomes have separate memories, so no flood of page views makes the ledger forget
//! outcomes.

mod budgets;
mod content;
mod erased;
mod hash_table;
mod lessons;
mod remembered;
mod shared;
mod tallies;

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::xxh3_64_with_seed;

pub(super) use self::budgets::is_over;
pub use self::budgets::{BUDGET_DAYS, BudgetUsed, MAX_BUDGETS_COUNTED};
pub use self::content::{Content, MAX_PIECE_ROWS, MAX_PIECES, Piece, Totals};
pub use self::erased::{ERASED_KEPT_S, ErasedIds, MAX_ERASED};
pub use self::lessons::MAX_LESSONS;
pub use self::remembered::{
    CHUNK_HASHES, HashChunk, MAX_CHUNKS, MAX_REMEMBERED, REMEMBERED_DAYS, RememberedIds,
};
pub use self::tallies::{EARLIER, MAX_TALLIES, TALLY_DAYS, Tallies, Tally, TallyKey, TallyRow};

use self::budgets::BudgetCounts;
use self::erased::Erased;
use self::lessons::LearnedLessons;
use self::remembered::Remembered;
use crate::customer::budget_place::{BudgetPlace, MAX_BUDGET_PLACES};
use crate::customer::event::{Event, Fate};
use crate::customer::id::CustomerId;
use crate::customer::outcome::{BudgetUse, MAX_BUDGETS_PER_OUTCOME, Outcome, OutcomeKind};
use crate::customer::update::Erasure;
use crate::learning::lesson::LessonKey;
use crate::learning::{Learned, Pace};
use crate::rules::catalogue::Returns;
use crate::schema::value::DAY_SECONDS;

/// The ledger of the one thread that folds.
pub struct Ledger {
    ids: Remembered,
    outcomes: Remembered,
    erased: Erased,
    figures: Arc<Figures>,
}

/// What other threads may read of a ledger. Decisions read budgets and lessons without a lock.
pub struct Figures {
    budgets: BudgetCounts,
    lessons: LearnedLessons,
    // For statistics alone. A reader holds the lock while it counts one reference for each day.
    tallies: Mutex<Tallies>,
    erasures: AtomicUsize,
}

/// Which of its budgets an outcome uses up: a bit each, by their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetSet(u16);

const _: () = assert!(MAX_BUDGETS_PER_OUTCOME <= u16::BITS as usize);

impl BudgetSet {
    /// The set without any budget.
    pub const NONE: BudgetSet = BudgetSet(0);

    /// How many budgets are in it.
    pub fn count(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Those among the budgets of an outcome that are in it.
    pub fn of(self, outcome: &Outcome) -> impl Iterator<Item = &BudgetUse> {
        let budgets = outcome.budgets.iter().take(MAX_BUDGETS_PER_OUTCOME).enumerate();
        budgets.filter(move |(at, _)| self.0 & 1 << at != 0).map(|(_, budget)| budget)
    }
}

impl Ledger {
    /// The ledger before the first event.
    pub fn new() -> Ledger {
        Ledger::restore(Content::default())
    }

    /// The ledger with this content.
    pub fn restore(content: Content) -> Ledger {
        let Content { ids, outcomes, erased, budgets, tallies, lessons } = content;
        let figures = Figures {
            budgets: BudgetCounts::new(&budgets),
            lessons: LearnedLessons::new(&lessons),
            tallies: Mutex::new(tallies),
            erasures: AtomicUsize::new(erased.hashes.len()),
        };
        let (ids, outcomes) = (Remembered::new(ids), Remembered::new(outcomes));
        Ledger { ids, outcomes, erased: Erased::new(erased), figures: Arc::new(figures) }
    }

    /// What the ledger holds now. Chunks and days are shared, budgets and lessons are copied. That
    /// takes a few microseconds as a rule, and 5 ms where all bounds are reached. A chunk or day that
    /// is shared is copied when it changes.
    pub fn content(&self) -> Content {
        Content {
            ids: self.ids.kept().clone(),
            outcomes: self.outcomes.kept().clone(),
            erased: self.erased.kept().clone(),
            budgets: self.figures.budgets.all(),
            tallies: self.figures.tallies(),
            lessons: self.figures.lessons.all(),
        }
    }

    /// What other threads may read of it.
    pub fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    /// Forgets the figures and lessons of numbers that are given back.
    pub fn give_back(&mut self, returns: &Returns) {
        let gone = returns.gone();
        if !gone.is_empty() {
            self.figures.lock().forget(&gone);
            self.figures.lessons.forget(&gone);
        }
    }

    /// Remembers that a customer was erased.
    pub fn erase(&mut self, customer: &CustomerId, erasure: &Erasure) {
        self.erased.add(customer, erasure);
        self.figures.erasures.store(self.erased.kept().hashes.len(), Ordering::Relaxed);
    }

    /// Why this event of a customer is void, because they were erased. `None` if it is not.
    pub fn voided(&mut self, customer: &CustomerId, event: &Event) -> Option<Fate> {
        self.ids.pass(event.received);
        self.outcomes.pass(event.received);
        let fate = self.erased.refusal(customer, event);
        self.figures.erasures.store(self.erased.kept().hashes.len(), Ordering::Relaxed);
        fate
    }

    /// Why this event is not taken: it was taken already, or may have been. `None` if it is to be
    /// taken.
    pub fn refusal(&self, event: &Event) -> Option<Fate> {
        if event.id != 0 && self.ids.contains(event.id) {
            return Some(Fate::Duplicate);
        }
        let outcome = event.outcome.as_deref().filter(|outcome| outcome.nonce != 0)?;
        if self.outcomes.contains(of_proposition(outcome.nonce, Taken::Outcome(outcome.kind))) {
            return Some(Fate::Duplicate);
        }
        let until = self.outcomes.kept().forgotten_until;
        (until > 0 && outcome.decided <= until).then_some(Fate::Forgotten)
    }

    /// Brings into the cache what these events will look at when they are looked up, and when others
    /// are forgotten for them. Side by side the loads wait once for memory; one by one each would wait.
    pub fn touch<'e>(&self, events: impl Iterator<Item = &'e Event>) {
        let (mut touched, mut ids, mut outcomes) = (0, 0, 0);
        for event in events {
            if event.id != 0 {
                touched ^= self.ids.touch(event.id);
                ids += 1;
            }
            if let Some(outcome) = event.outcome.as_deref().filter(|outcome| outcome.nonce != 0) {
                let hash = of_proposition(outcome.nonce, Taken::Outcome(outcome.kind));
                touched ^= self.outcomes.touch(hash);
                outcomes += 1;
            }
        }
        black_box(touched ^ self.ids.touch_oldest(ids) ^ self.outcomes.touch_oldest(outcomes));
    }

    /// Which budgets an outcome of a customer with these places uses up, that is received now; `None` if one
    /// of them has nothing left, or if the customer has no room for a place in it.
    pub fn budgets(&self, outcome: &Outcome, received: u32, places: &[u64]) -> Option<BudgetSet> {
        self.figures.budgets.pass(received);
        let (mut counted, mut new_places) = (0, 0);
        let budgets = outcome.budgets.iter().take(MAX_BUDGETS_PER_OUTCOME);
        for (at, budget) in budgets.enumerate() {
            let before = &outcome.budgets[..at];
            let repeated = before.iter().any(|other| (other.key, other.day) == (budget.key, budget.day));
            let has_place = |place: BudgetPlace| place.is_in(places) && !self.is_over(place);
            if repeated || budget.place().is_some_and(has_place) {
                continue;
            }
            if !self.figures.budgets.has_room(budget) {
                return None;
            }
            counted |= 1 << at;
            new_places += usize::from(budget.once);
        }
        let has_room = || {
            let kept = BudgetPlace::all(places).filter(|place| !self.is_over(*place)).count();
            kept + new_places <= MAX_BUDGET_PLACES
        };
        (new_places == 0 || has_room()).then_some(BudgetSet(counted))
    }

    /// Whether a place is of a day for which nothing is counted any more.
    pub fn is_over(&self, place: BudgetPlace) -> bool {
        self.figures.budgets.is_over(place.day)
    }

    /// Takes in an event that is not refused: remembers it and counts its outcome. The outcome uses up
    /// `budgets` and was on the placement of this number.
    pub fn take(&mut self, event: &Event, budgets: BudgetSet, placement: u16) {
        if event.id != 0 {
            self.ids.add(event.id, event.received, event.received);
        }
        let Some(outcome) = &event.outcome else { return };
        if outcome.nonce != 0 {
            self.remember(of_proposition(outcome.nonce, Taken::Outcome(outcome.kind)), event, outcome);
        }
        budgets.of(outcome).for_each(|budget| self.figures.budgets.count(budget));
        self.figures.tally(event, outcome);
        self.learn(event, outcome, placement);
    }

    /// Remembers an outcome under the later of two dates. The clock of the node that decided may be
    /// ahead of ours: what was decided after all that is forgotten must not itself be among what is
    /// forgotten.
    fn remember(&mut self, hash: u64, event: &Event, outcome: &Outcome) {
        self.outcomes.add(hash, event.received, event.received.max(outcome.decided));
    }

    /// Learns what an outcome says about its offer. An impression may become a yes; the first click or
    /// conversion of its proposition makes it one.
    fn learn(&mut self, event: &Event, outcome: &Outcome, placement: u16) {
        let Some(lesson) = outcome.lesson else { return };
        let key = LessonKey { offer: outcome.offer, placement, segment: lesson.segment };
        let (decided, now, pace) = (outcome.decided, event.received, Pace::from(lesson));
        match outcome.kind {
            OutcomeKind::Impression => {
                self.figures.lessons.teach(key, |learned| learned.shown(decided, now, pace));
            }
            OutcomeKind::Click | OutcomeKind::Convert => {
                let yes = of_proposition(outcome.nonce, Taken::Yes);
                if outcome.nonce != 0 && self.outcomes.contains(yes) {
                    return;
                }
                if outcome.nonce != 0 {
                    self.remember(yes, event, outcome);
                }
                self.figures.lessons.teach(key, |learned| learned.clicked(decided, now, pace));
            }
            OutcomeKind::Dismiss => {}
        }
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Ledger::new()
    }
}

impl crate::decide::Lessons for Figures {
    fn learned(&self, key: LessonKey) -> Option<Arc<Learned>> {
        self.lessons.learned(&key)
    }
}

impl Figures {
    /// How much of this budget is used on `day`, in days since 1970; day 0 for a budget that is not by
    /// the day.
    pub fn used(&self, key: u64, day: u32) -> u32 {
        self.budgets.used(key, day)
    }

    /// All that was learned until now, in no order.
    pub fn lessons(&self) -> Vec<(LessonKey, Learned)> {
        self.lessons.all()
    }

    /// How many erasures of customers are remembered.
    pub fn erasures(&self) -> usize {
        self.erasures.load(Ordering::Relaxed)
    }

    /// What has become of offers until now: a copy that no longer changes.
    pub fn tallies(&self) -> Tallies {
        self.lock().clone()
    }

    fn tally(&self, event: &Event, outcome: &Outcome) {
        let Outcome { kind, offer, place, value, .. } = *outcome;
        let [day, today] = [event.at, event.received].map(|at| (at / DAY_SECONDS) as u16); // u32 seconds end on day 49,710
        let mut tallies = self.lock();
        tallies.rewind(today);
        let arms = [None].into_iter().chain(outcome.arms.iter().copied().map(Some));
        tallies.count(day, arms.map(|arm| TallyKey::new(offer, place, arm)), kind, value);
    }

    fn lock(&self) -> MutexGuard<'_, Tallies> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was taken of a proposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// An outcome of this kind.
    Outcome(OutcomeKind),
    /// A yes, by the first click or conversion: it teaches once.
    Yes,
}

impl Taken {
    /// Tells this from all else that may be taken of the same proposition. Snapshots hold hashes of
    /// these numbers, so they stay. Something new gets a number that none of them has.
    fn number(self) -> u64 {
        match self {
            Taken::Outcome(OutcomeKind::Impression) => 1,
            Taken::Outcome(OutcomeKind::Click) => 2,
            Taken::Outcome(OutcomeKind::Dismiss) => 3,
            Taken::Outcome(OutcomeKind::Convert) => 4,
            Taken::Yes => 5,
        }
    }
}

/// The hash by which it is remembered that this was taken of the proposition with this nonce.
fn of_proposition(nonce: u64, taken: Taken) -> u64 {
    xxh3_64_with_seed(&nonce.to_le_bytes(), taken.number())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn all_that_is_taken_of_a_proposition_is_told_apart_by_the_hashes_it_always_had() {
        let all = OutcomeKind::ALL.map(Taken::Outcome).into_iter().chain([Taken::Yes]);
        let numbers: HashSet<u64> = all.map(Taken::number).collect();
        assert_eq!(numbers.len(), OutcomeKind::COUNT + 1);
        for kind in OutcomeKind::ALL {
            let before = xxh3_64_with_seed(&7_u64.to_le_bytes(), kind as u64 + 1);
            assert_eq!(of_proposition(7, Taken::Outcome(kind)), before);
        }
        assert_eq!(of_proposition(7, Taken::Yes), xxh3_64_with_seed(&7_u64.to_le_bytes(), 5));
    }
}
