//! The ledger: the part of the state that is not of one customer. What was taken already, how much of budgets is used,
//! what became of offers, and what was learned of them.
//!
//! No customer is in it: ids of events are hashes, everything else is counts. So erasing a customer changes nothing here,
//! and what the customer did stays counted.
//!
//! # Once, and never twice
//! An event with an id that is remembered changes nothing. Nor does an outcome of a proposition (by its token) whose like is
//! remembered; and one that is not remembered is refused if it was decided before something was forgotten, since it may have
//! been counted. So one token's outcomes count once each, always. The two have separate memories, so that no flood of page
//! views makes the ledger forget outcomes.

mod content;
mod lessons;
mod budgets;
mod remembered;
mod shared;
mod tallies;

use crate::learning::lesson::LessonKey;
use crate::schema::value::DAY_SECONDS;
use std::hint::black_box;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use self::budgets::{BUDGET_DAYS, BudgetUsed, MAX_BUDGETS_COUNTED};
pub use self::content::{Content, MAX_PIECE_ROWS, MAX_PIECES, Piece, Totals};
pub use self::lessons::MAX_LESSONS;
pub use self::remembered::{CHUNK_HASHES, Chunk, MAX_CHUNKS, MAX_REMEMBERED, REMEMBERED_DAYS, RememberedIds};
pub use self::tallies::{EARLIER, MAX_TALLIES, TALLY_DAYS, Tallies, Tally, TallyKey, TallyRow};

use self::budgets::BudgetCounts;
use self::lessons::Lessons;
use self::remembered::Remembered;
use crate::customer::contact::Contact;
use crate::customer::event::{Event, Fate};
use crate::customer::outcome::OutcomeKind;
use crate::customer::outcome::{MAX_BUDGETS_PER_OUTCOME, Outcome};
use crate::learning::{Learned, Pace};

/// All of it; the one thread that folds owns it.
pub struct Ledger {
    ids: Remembered,
    outcomes: Remembered,
    figures: Arc<Figures>,
}

/// What others than the fold may read of it. Decisions read budgets and lessons without a lock.
pub struct Figures {
    budgets: BudgetCounts,
    lessons: Lessons,
    // For statistics alone. Who reads holds it for as long as it takes to count a reference per day.
    tallies: Mutex<Tallies>,
}

/// Which of an outcome's budgets it uses up: a bit each, by their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetSet(u16);

const _: () = assert!(MAX_BUDGETS_PER_OUTCOME <= u16::BITS as usize);

impl BudgetSet {
    /// None of them.
    pub const NONE: BudgetSet = BudgetSet(0);

    /// How many they are.
    pub fn count(self) -> usize {
        self.0.count_ones() as usize
    }
}

impl Ledger {
    /// Nothing happened yet.
    pub fn new() -> Ledger {
        Ledger::restore(Content::default())
    }

    /// The ledger with this content.
    pub fn restore(content: Content) -> Ledger {
        let Content { ids, outcomes, budgets, tallies, lessons } = content;
        let figures = Figures {
            budgets: BudgetCounts::new(&budgets),
            lessons: Lessons::new(&lessons),
            tallies: Mutex::new(tallies),
        };
        Ledger { ids: Remembered::new(ids), outcomes: Remembered::new(outcomes), figures: Arc::new(figures) }
    }

    /// What it holds now. Chunks and days are shared, budgets and lessons are copied: some 5 ms where all bounds are
    /// reached, a few microseconds as a rule. Each chunk or day that is shared is copied when it changes first.
    pub fn content(&self) -> Content {
        Content {
            ids: self.ids.kept().clone(),
            outcomes: self.outcomes.kept().clone(),
            budgets: self.figures.budgets.all(),
            tallies: self.figures.tallies(),
            lessons: self.figures.lessons.all(),
        }
    }

    /// The read side.
    pub fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    /// Why this event is not to be taken, if it was taken already or may have been.
    pub fn refusal(&self, event: &Event) -> Option<Fate> {
        if event.id != 0 && self.ids.contains(event.id) {
            return Some(Fate::Duplicate);
        }
        let outcome = event.outcome.as_deref().filter(|outcome| outcome.nonce != 0)?;
        if self.outcomes.contains(of_proposition(outcome.nonce, outcome.kind as u64)) {
            return Some(Fate::Duplicate);
        }
        let until = self.outcomes.kept().forgotten_until;
        (until > 0 && outcome.decided <= until).then_some(Fate::Forgotten)
    }

    /// Brings near what looking these events up, and forgetting others for them, will look at: side by side, while one by one
    /// each would wait for memory.
    pub fn touch<'e>(&self, events: impl Iterator<Item = &'e Event>) {
        let (mut known, mut ids, mut outcomes) = (0, 0, 0);
        for event in events {
            known += usize::from(event.id != 0 && self.ids.contains(event.id));
            ids += usize::from(event.id != 0);
            if let Some(outcome) = event.outcome.as_deref().filter(|outcome| outcome.nonce != 0) {
                let hash = of_proposition(outcome.nonce, outcome.kind as u64);
                known += usize::from(self.outcomes.contains(hash));
                outcomes += 1;
            }
        }
        black_box(known + self.ids.touch_oldest(ids) + self.outcomes.touch_oldest(outcomes));
    }

    /// Which budgets this outcome of a customer with these contacts uses up; `None` if one of them is used up already.
    pub fn budgets(&self, outcome: &Outcome, contacts: &[u64]) -> Option<BudgetSet> {
        let alike = |word: &u64| {
            let contact = Contact::of_word(*word);
            contact.offer() == outcome.offer && contact.kind() == outcome.kind
        };
        let mut counted = 0;
        let budgets = outcome.budgets.iter().take(MAX_BUDGETS_PER_OUTCOME);
        for (at, budget) in budgets.enumerate() {
            let before = &outcome.budgets[..at];
            let repeated = before.iter().any(|other| (other.key, other.day) == (budget.key, budget.day));
            if repeated || budget.once && contacts.iter().any(alike) {
                continue;
            }
            if !self.figures.budgets.has_room(budget) {
                return None;
            }
            counted |= 1 << at;
        }
        Some(BudgetSet(counted))
    }

    /// Takes an event in that is not refused: remembers it, and counts its outcome, which uses up `budgets` and was on a
    /// placement of this number.
    pub fn take(&mut self, event: &Event, budgets: BudgetSet, placement: u16) {
        if event.id != 0 {
            self.ids.add(event.id, event.received, event.received);
        }
        let Some(outcome) = &event.outcome else { return };
        if outcome.nonce != 0 {
            self.remember(of_proposition(outcome.nonce, outcome.kind as u64), event, outcome);
        }
        for (at, budget) in outcome.budgets.iter().enumerate().take(MAX_BUDGETS_PER_OUTCOME) {
            if budgets.0 & 1 << at != 0 {
                self.figures.budgets.count(budget);
            }
        }
        self.figures.tally(event, outcome);
        self.learn(event, outcome, placement);
    }

    /// Dated by the later of two clocks: another node's may be ahead of ours, and what was decided after everything that was
    /// forgotten was dated must not be among it.
    fn remember(&mut self, hash: u64, event: &Event, outcome: &Outcome) {
        self.outcomes.add(hash, event.received, event.received.max(outcome.decided));
    }

    /// An impression is one that may become a yes; the first click or conversion of its proposition makes it one.
    fn learn(&mut self, event: &Event, outcome: &Outcome, placement: u16) {
        let Some(lesson) = outcome.lesson else { return };
        let key = LessonKey { offer: outcome.offer, placement, segment: lesson.segment };
        let (decided, now, pace) = (outcome.decided, event.received, Pace::from(lesson));
        match outcome.kind {
            OutcomeKind::Impression => {
                self.figures.lessons.teach(key, |learned| learned.shown(decided, now, pace));
            }
            OutcomeKind::Click | OutcomeKind::Convert => {
                let yes = of_proposition(outcome.nonce, YES);
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
    /// How much of this budget is used; of `day` 0 for one that is not by the day.
    pub fn used(&self, key: u64, day: u32) -> u32 {
        self.budgets.used(key, day)
    }

    /// What became of offers until now: a copy that stays as it is.
    pub fn tallies(&self) -> Tallies {
        self.lock().clone()
    }

    fn tally(&self, event: &Event, outcome: &Outcome) {
        let Outcome { kind, offer, place, value, .. } = *outcome;
        let day = (event.at / DAY_SECONDS) as u16; // the last of them is day 49,710
        let mut tallies = self.lock();
        tallies.count(day, TallyKey::new(offer, place, None), kind, value);
        for arm in &outcome.arms {
            tallies.count(day, TallyKey::new(offer, place, Some(*arm)), kind, value);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tallies> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Beside the kinds of outcomes: that there was a yes.
const YES: u64 = 4;

/// What an outcome of a proposition is remembered by.
fn of_proposition(nonce: u64, what: u64) -> u64 {
    xxh3_64_with_seed(&nonce.to_le_bytes(), what + 1)
}
