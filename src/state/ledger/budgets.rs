//! How much of each budget is used up.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::shared::SharedMap;
use crate::customer::event::MAX_AHEAD_S;
use crate::customer::outcome::BudgetUse;
use crate::rules::rule_set::DAILY_PLACES;
use crate::schema::value::DAY_SECONDS;

/// The most budgets that are counted, each day of a daily one by itself. A budget beyond these is
/// refused as if it were used up, because a budget that is not counted could be exceeded.
pub const MAX_BUDGETS_COUNTED: usize = 65_536;
/// How many days before the newest a daily budget is still counted for. An outcome of an earlier day is
/// refused.
pub const BUDGET_DAYS: u32 = 2;
/// How many days before the newest it is known what was used. A clock that was ahead by fewer days has not
/// made the day forgotten to which it comes back.
const KEPT_DAYS: u32 = 40;
// Rule sets are held to as many places as customers may have.
const _: () = assert!(BUDGET_DAYS as usize + 1 == DAILY_PLACES);

/// How much of each budget is used. One thread writes it, any thread reads it without a lock.
///
/// A day that is ahead of the time at which outcomes are received was dated by a clock that was ahead. It
/// does not count as the newest, so it is in the way of no other. What it has used is kept until it comes: on
/// no day is more used than the budget has.
pub(super) struct BudgetCounts {
    used: SharedMap<(u64, u32), AtomicU32>,
    /// The newest day that is not ahead.
    newest: AtomicU32,
    /// The next day after it that is; [`u32::MAX`] if none is.
    ahead: AtomicU32,
    count: AtomicUsize,
    /// The newest day when there was no room, and nothing to make room with.
    full: AtomicU32,
}

/// Whether nothing is counted for this day any more, if `newest` is the newest.
pub(in crate::state) fn is_over(day: u32, newest: u32) -> bool {
    day != 0 && day.saturating_add(BUDGET_DAYS) < newest
}

/// How much of a budget is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BudgetUsed {
    /// Which budget it is, as [`BudgetUse::key`].
    pub key: u64,
    /// The day it is of, as [`BudgetUse::day`].
    pub day: u32,
    /// How many outcomes were counted in it.
    pub used: u32,
}

impl BudgetCounts {
    pub(super) fn new(all: &[BudgetUsed]) -> BudgetCounts {
        let used = SharedMap::new(all.iter().map(|one| ((one.key, one.day), AtomicU32::new(one.used))));
        let newest = all.iter().map(|one| one.day).max().unwrap_or_default();
        let count = AtomicUsize::new(used.len());
        let (newest, ahead) = (AtomicU32::new(newest), AtomicU32::new(u32::MAX));
        BudgetCounts { used, newest, ahead, count, full: AtomicU32::new(u32::MAX) }
    }

    pub(super) fn used(&self, key: u64, day: u32) -> u32 {
        self.find(key, day).unwrap_or_default()
    }

    fn find(&self, key: u64, day: u32) -> Option<u32> {
        self.used.with(&(key, day), |used| used.load(Ordering::Relaxed))
    }

    /// Notes that outcomes are received at this second from now on, for [`has_room`](Self::has_room) and
    /// [`count`](Self::count).
    pub(super) fn pass(&self, received: u32) {
        // In some time zones it is a day later, and a token may be decided a little ahead.
        let latest = received.saturating_add(MAX_AHEAD_S) / DAY_SECONDS + 1;
        let (newest, ahead) = (self.newest.load(Ordering::Relaxed), self.ahead.load(Ordering::Relaxed));
        if newest <= latest && ahead > latest {
            return;
        }
        let (mut newest, mut ahead) = (0, u32::MAX);
        for BudgetUsed { day, .. } in self.all() {
            if day <= latest {
                newest = newest.max(day);
            } else {
                ahead = ahead.min(day);
            }
        }
        self.newest.store(newest, Ordering::Relaxed);
        self.ahead.store(ahead, Ordering::Relaxed);
    }

    /// Whether the budget has room for one more outcome.
    pub(super) fn has_room(&self, budget: &BudgetUse) -> bool {
        let used = self.find(budget.key, budget.day);
        let newest = self.newest.load(Ordering::Relaxed).max(budget.day);
        let counted = used.is_some() || self.make_room(newest);
        !self.is_over(budget.day) && counted && used.unwrap_or_default() < budget.max
    }

    /// Whether nothing is counted for this day any more, because later days have begun. Day 0 is never over.
    pub(super) fn is_over(&self, day: u32) -> bool {
        is_over(day, self.newest.load(Ordering::Relaxed))
    }

    /// Makes room for one more budget where `newest` is the newest day, if it must. Days go that are over
    /// then, and days that are ahead.
    fn make_room(&self, newest: u32) -> bool {
        let is_full = || self.count.load(Ordering::Relaxed) >= MAX_BUDGETS_COUNTED;
        if is_full() && self.full.load(Ordering::Relaxed) != newest {
            self.used.retain(|(_, day)| !is_over(*day, newest) && *day <= newest);
            self.count.store(self.used.len(), Ordering::Relaxed);
            self.ahead.store(u32::MAX, Ordering::Relaxed);
            self.full.store(if is_full() { newest } else { u32::MAX }, Ordering::Relaxed);
        }
        !is_full()
    }

    /// Counts one outcome in the budget.
    pub(super) fn count(&self, budget: &BudgetUse) {
        let key = (budget.key, budget.day);
        if self.used.with(&key, |used| used.fetch_add(1, Ordering::Relaxed)).is_some() {
            return;
        }
        let newest = self.newest.load(Ordering::Relaxed);
        if self.is_over(budget.day) {
            return; // another budget of the same outcome has begun a later day
        }
        if budget.day > newest {
            self.newest.store(budget.day, Ordering::Relaxed);
            self.used.retain(|(_, day)| *day == 0 || day.saturating_add(KEPT_DAYS) >= budget.day);
            self.count.store(self.used.len(), Ordering::Relaxed);
        }
        if !self.make_room(newest.max(budget.day)) {
            return; // other budgets of the same outcome took the last room
        }
        self.used.insert(key, AtomicU32::new(1));
        self.count.store(self.used.len(), Ordering::Relaxed);
    }

    pub(super) fn all(&self) -> Vec<BudgetUsed> {
        self.used.all(|(key, day), used| BudgetUsed { key, day, used: used.load(Ordering::Relaxed) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(key: u64, day: u32, max: u32) -> BudgetUse {
        BudgetUse { key, day, max, once: false }
    }

    /// Takes one if it fits.
    fn take(budgets: &BudgetCounts, budget: &BudgetUse) -> bool {
        let fits = budgets.has_room(budget);
        if fits {
            budgets.count(budget);
        }
        fits
    }

    #[test]
    fn no_more_is_used_than_there_is() {
        let budgets = BudgetCounts::new(&[BudgetUsed { key: 2, day: 0, used: 4 }]);
        for (budget, times) in
            [(budget(1, 0, 3), 3), (budget(1, 9, 3), 3), (budget(2, 0, 6), 2), (budget(3, 0, 0), 0)]
        {
            assert_eq!((0..10).filter(|_| take(&budgets, &budget)).count(), times);
        }
        assert_eq!(
            [budgets.used(1, 0), budgets.used(1, 9), budgets.used(2, 0), budgets.used(3, 0)],
            [3, 3, 6, 0]
        );
        assert!(take(&budgets, &budget(1, 0, 4)), "a budget may be raised");
    }

    fn days(budgets: &BudgetCounts) -> Vec<(u64, u32)> {
        let mut left = budgets.all();
        left.sort_unstable();
        left.iter().map(|used| (used.key, used.day)).collect()
    }

    #[test]
    fn days_that_are_over_take_no_more_and_go_long_after() {
        let budgets = BudgetCounts::new(&[]);
        for day in [0, 100, 101, 102] {
            assert!(take(&budgets, &budget(1, day, 5)));
        }
        assert!(take(&budgets, &budget(1, 100, 5)));
        assert!(take(&budgets, &budget(2, 103, 5)));
        assert!(!take(&budgets, &budget(1, 100, 5)), "it is over");
        let restored = BudgetCounts::new(&budgets.all());
        assert!(!take(&restored, &budget(1, 100, 5)) && take(&restored, &budget(1, 101, 5)));
        assert!(take(&budgets, &budget(2, 101 + KEPT_DAYS, 5)));
        assert_eq!(days(&budgets), [(1, 0), (1, 101), (1, 102), (2, 103), (2, 101 + KEPT_DAYS)]);
    }

    #[test]
    fn a_clock_that_was_ahead_uses_up_its_own_days_and_no_others() {
        let budgets = BudgetCounts::new(&[]);
        let on = |day: u32, at: u32| {
            let received = at * DAY_SECONDS;
            budgets.pass(received);
            let restored = BudgetCounts::new(&budgets.all());
            restored.pass(received);
            assert_eq!(restored.has_room(&budget(1, day, 2)), budgets.has_room(&budget(1, day, 2)));
            take(&budgets, &budget(1, day, 2))
        };
        assert!(on(100, 100) && on(100, 100) && !on(100, 100));
        assert!(on(108, 108), "the clock is ahead");
        assert!(!on(100, 100), "this day is used up as it was");
        assert!(on(101, 101) && on(101, 101) && !on(101, 101), "and the next has what it should have");
        assert!(on(108, 107) && !on(108, 108), "a day that was begun goes on when it comes");
        assert!(!on(104, 108) && on(106, 108), "which ends the days before");
    }

    #[test]
    fn budgets_beyond_the_bound_are_refused_until_a_day_is_over() {
        let all = |day: u32| {
            (0..MAX_BUDGETS_COUNTED as u64).map(move |key| BudgetUsed { key: key + 1, day, used: 1 })
        };
        let budgets = BudgetCounts::new(&all(0).collect::<Vec<_>>());
        assert!(take(&budgets, &budget(1, 0, 9)) && !take(&budgets, &budget(u64::MAX, 0, 9)));
        let budgets = BudgetCounts::new(&all(50).collect::<Vec<_>>());
        assert!(!take(&budgets, &budget(u64::MAX, 0, 9)));
        assert!(take(&budgets, &budget(1, 53, 9)) && take(&budgets, &budget(u64::MAX, 0, 9)));
        let budgets = BudgetCounts::new(&all(50).collect::<Vec<_>>());
        budgets.pass(40 * DAY_SECONDS);
        assert!(take(&budgets, &budget(u64::MAX, 40, 9)), "days that are ahead make room");
    }
}
