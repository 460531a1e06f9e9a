//! How much of each budget is used up.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::shared::SharedMap;
use crate::customer::outcome::BudgetUse;
use crate::rules::rule_set::DAILY_PLACES;

/// The most budgets that are counted, each day of a daily one by itself. A budget beyond these is
/// refused as if it were used up, because a budget that is not counted could be exceeded.
pub const MAX_BUDGETS_COUNTED: usize = 65_536;
/// How many days before the newest a daily budget is still counted for. An outcome of an earlier day is
/// refused.
pub const BUDGET_DAYS: u32 = 2;
// Rule sets are held to as many places as customers may have.
const _: () = assert!(BUDGET_DAYS as usize + 1 == DAILY_PLACES);

/// How much of each budget is used. One thread writes it, any thread reads it without a lock.
pub(super) struct BudgetCounts {
    used: SharedMap<(u64, u32), AtomicU32>,
    newest: AtomicU32,
    count: AtomicUsize,
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
        BudgetCounts { used, newest: AtomicU32::new(newest), count }
    }

    pub(super) fn used(&self, key: u64, day: u32) -> u32 {
        self.find(key, day).unwrap_or_default()
    }

    fn find(&self, key: u64, day: u32) -> Option<u32> {
        self.used.with(&(key, day), |used| used.load(Ordering::Relaxed))
    }

    /// Whether the budget has room for one more outcome.
    pub(super) fn has_room(&self, budget: &BudgetUse) -> bool {
        let newest = self.newest.load(Ordering::Relaxed);
        let used = self.find(budget.key, budget.day);
        let counted =
            used.is_some() || self.count.load(Ordering::Relaxed) < MAX_BUDGETS_COUNTED || budget.day > newest;
        !self.is_over(budget.day) && counted && used.unwrap_or_default() < budget.max
    }

    /// Whether nothing is counted for this day any more, because later days have begun. Day 0 is never over.
    pub(super) fn is_over(&self, day: u32) -> bool {
        day != 0 && day.saturating_add(BUDGET_DAYS) < self.newest.load(Ordering::Relaxed)
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
            self.used.retain(|(_, day)| *day == 0 || day.saturating_add(BUDGET_DAYS) >= budget.day);
        }
        if self.used.len() >= MAX_BUDGETS_COUNTED {
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

    #[test]
    fn days_that_are_over_go_and_take_no_more() {
        let budgets = BudgetCounts::new(&[]);
        for day in [0, 100, 101, 102] {
            assert!(take(&budgets, &budget(1, day, 5)));
        }
        assert!(take(&budgets, &budget(1, 100, 5)));
        assert!(take(&budgets, &budget(2, 103, 5)));
        let mut left = budgets.all();
        left.sort_unstable();
        let days: Vec<_> = left.iter().map(|used| (used.key, used.day)).collect();
        assert_eq!(days, [(1, 0), (1, 101), (1, 102), (2, 103)]);
        assert!(!take(&budgets, &budget(1, 100, 5)), "it was forgotten how much is left");
        let restored = BudgetCounts::new(&left);
        assert!(!take(&restored, &budget(1, 100, 5)) && take(&restored, &budget(1, 101, 5)));
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
    }
}
