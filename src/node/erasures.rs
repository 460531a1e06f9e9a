//! The erasures of this moment. Tokens say when they were decided in whole seconds, and so do erasures. This
//! keeps what was decided before an erasure apart from what is decided after it within the same second.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::FixedState;

use crate::customer::event::MAX_AHEAD_S;
use crate::customer::id::CustomerId;
use crate::schema::value::Time;

/// The most erasures of one second that are told apart. Of further ones, tokens that are decided in the
/// second of the erasure are void.
const MAX_RECENT: usize = 1 << 16;

/// Which customers were erased in this second, or are being erased.
pub(crate) struct RecentErasures {
    /// The latest of their times; [`u32::MAX`] while one is being written. A decision of a later second looks
    /// no further.
    newest: AtomicU32,
    by_customer: Mutex<HashMap<CustomerId, RecentErasure, FixedState>>,
}

#[derive(Clone, Copy)]
struct RecentErasure {
    /// Its time, in seconds since 1970.
    at: u32,
    /// Whether it is applied: the next decision knows nothing of the customer.
    applied: bool,
}

impl RecentErasure {
    /// Whether it is applied and later than any time may be at this second: a clock that was ahead dated it.
    fn is_ahead(&self, now: u32) -> bool {
        self.applied && self.at > now.saturating_add(MAX_AHEAD_S)
    }
}

impl RecentErasures {
    pub(crate) fn new() -> RecentErasures {
        RecentErasures { newest: AtomicU32::new(0), by_customer: Mutex::default() }
    }

    /// Notes that this customer is about to be erased. Returns the time of the erasure: now, or after what
    /// was decided since they were erased last.
    pub(crate) fn begin(&self, customer: &CustomerId, now: Time) -> u32 {
        let now = now.stored_seconds();
        let mut recent = self.lock();
        recent.retain(|_, erasure| !erasure.applied || erasure.at >= now && !erasure.is_ahead(now));
        let at = recent.get(customer).map_or(now, |earlier| now.max(earlier.at.saturating_add(1)));
        if recent.len() < MAX_RECENT || recent.contains_key(customer) {
            recent.insert(customer.clone(), RecentErasure { at, applied: false });
            self.newest.store(u32::MAX, Ordering::SeqCst);
        }
        at
    }

    /// Notes that the erasures of these customers are applied.
    pub(crate) fn applied<'c>(&self, customers: impl Iterator<Item = &'c CustomerId>) {
        if self.newest.load(Ordering::Relaxed) != u32::MAX {
            return; // none is being written
        }
        let mut recent = self.lock();
        for customer in customers {
            if let Some(erasure) = recent.get_mut(customer) {
                erasure.applied = true;
            }
        }
        self.settle(&recent);
    }

    /// Notes that no erasure is being written any more: the disk is full, or the journal failed.
    pub(crate) fn given_up(&self) {
        let mut recent = self.lock();
        recent.values_mut().for_each(|erasure| erasure.applied = true);
        self.settle(&recent);
    }

    fn settle(&self, recent: &HashMap<CustomerId, RecentErasure, FixedState>) {
        let time = |erasure: &RecentErasure| if erasure.applied { erasure.at } else { u32::MAX };
        self.newest.store(recent.values().map(time).max().unwrap_or_default(), Ordering::SeqCst);
    }

    /// The time at which something is decided for this customer now. It is not later than an erasure that is
    /// being written, and later than one that was applied. Read it before the customer's row.
    #[inline]
    pub(crate) fn decision_time(&self, customer: &str, now: Time) -> Time {
        if self.newest.load(Ordering::SeqCst) < now.stored_seconds() {
            return now;
        }
        self.beside_erasure(customer, now)
    }

    #[cold]
    fn beside_erasure(&self, customer: &str, now: Time) -> Time {
        let mut recent = self.lock();
        let (newest, second) = (self.newest.load(Ordering::SeqCst), now.stored_seconds());
        if newest != u32::MAX && newest > second.saturating_add(MAX_AHEAD_S) {
            recent.retain(|_, erasure| !erasure.is_ahead(second));
            self.settle(&recent);
        }
        match recent.get(customer).filter(|erasure| !erasure.is_ahead(second)) {
            Some(RecentErasure { at, applied: false }) => now.min(Time::from_seconds((*at).into())),
            Some(RecentErasure { at, applied: true }) => {
                now.max(Time::from_seconds(i64::from(at.saturating_add(1))))
            }
            None => now,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CustomerId, RecentErasure, FixedState>> {
        self.by_customer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_800_000_000;

    #[test]
    fn what_is_decided_before_an_erasure_and_after_it_is_told_apart_within_a_second() {
        let recent = RecentErasures::new();
        let (ada, now) = (CustomerId::new("ada").unwrap(), |after| Time::from_seconds(T + after));
        let decided = |who, after| recent.decision_time(who, now(after)).stored_seconds() as i64 - T;
        assert_eq!(decided("ada", 0), 0);
        assert_eq!(recent.begin(&ada, now(0)) as i64, T);
        assert_eq!((decided("ada", 0), decided("ada", 3), decided("bob", 3)), (0, 0, 3), "being written");
        recent.applied([&ada].into_iter());
        assert_eq!((decided("ada", 0), decided("bob", 0), decided("ada", 1)), (1, 0, 1), "applied");
        assert_eq!(recent.begin(&ada, now(0)) as i64, T + 1, "after what was decided meanwhile");
        assert_eq!(decided("ada", 0), 0);
        recent.given_up();
        assert_eq!((decided("ada", 0), decided("ada", 2), decided("ada", 9)), (2, 2, 9));
        recent.begin(&CustomerId::new("bob").unwrap(), now(5));
        assert_eq!(recent.lock().len(), 1, "earlier ones are forgotten");
    }

    #[test]
    fn an_erasure_that_was_dated_ahead_dates_no_decision() {
        const AHEAD: i64 = 8 * 86_400;
        let (ada, bob) = (CustomerId::new("ada").unwrap(), CustomerId::new("bob").unwrap());
        let now = |after| Time::from_seconds(T + after);
        let recent = RecentErasures::new();
        let decided = |who, after| recent.decision_time(who, now(after)).stored_seconds() as i64 - T;
        recent.begin(&ada, now(AHEAD));
        recent.applied([&ada].into_iter());
        assert_eq!((decided("ada", AHEAD), decided("ada", AHEAD - 300)), (AHEAD + 1, AHEAD + 1));
        assert_eq!((decided("ada", 0), decided("bob", 0)), (0, 0));
        assert_eq!(recent.newest.load(Ordering::SeqCst), 0, "the next decision looks no further");

        recent.begin(&ada, now(AHEAD));
        recent.applied([&ada].into_iter());
        recent.begin(&bob, now(1));
        assert_eq!((decided("ada", 3), decided("bob", 3)), (3, 1), "while another is written, too");
        recent.applied([&bob].into_iter());
        assert_eq!((recent.begin(&ada, now(1)) as i64, decided("ada", 0)), (T + 1, 0));
    }
}
