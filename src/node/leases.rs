//! Leases: places in a budget that a decision holds until its impression arrives. Many threads give a budget
//! away at once, yet used and held places together never exceed it.
//!
//! Why that holds: a thread first adds its own place to those held, and only then reads how many are used. An
//! impression is first counted as used, and only then is its place given back. So a place on its way from
//! held to used is seen as one or the other, or as both, but never as neither. When two threads want the last
//! place, the one that added its place later sees the other's.
//!
//! In a budget of customers each customer holds one place, however many decisions they ask for. So those
//! places are held by customer, under a lock. It is taken before it is read how many are used, so the same
//! holds.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use foldhash::fast::{FixedState, RandomState};

use crate::customer::event::MAX_AHEAD_S;
use crate::customer::outcome::BudgetUse;
use crate::rules::rule_set::MAX_HOLD_S;

/// The most budgets of which places may be held; each day of a daily budget counts as one. A further budget
/// gets no place.
pub const MAX_LEASED: usize = 10_000;

/// Seconds that a place is held beyond its time: an impression that came in time may still be on its way to
/// be counted.
const GRACE_S: u32 = 30;

/// The width of a bucket in seconds. Places expire by whole buckets, so one may be held this much longer.
const BUCKET_S: u32 = 16;
/// Enough buckets for the longest hold; the next line checks it.
const BUCKETS: usize = 256;
const _: () = assert!(BUCKETS as u32 * BUCKET_S > MAX_HOLD_S + GRACE_S + 2 * BUCKET_S);
const _: () = assert!(BUCKETS as u32 * BUCKET_S > MAX_AHEAD_S + BUCKET_S);

/// The most customers who may hold a place of one budget of customers at once. A further customer gets no
/// place.
pub const MAX_HOLDERS: usize = 1 << 20;

/// A budget, by key and day.
type BudgetName = (u64, u32);

/// The places held of all budgets. A budget that comes to count customers, or no longer does, begins to hold
/// places anew.
#[derive(Debug, Default)]
pub struct Leases {
    rings: RwLock<HashMap<BudgetName, Arc<Ring>>>,
    /// Of budgets of customers.
    holders: RwLock<HashMap<BudgetName, Arc<Holders>>>,
    /// Tells customers apart without keeping their ids.
    seed: RandomState,
}

/// The customers who hold a place of one budget of customers.
#[derive(Debug, Default)]
struct Holders(Mutex<HeldUntil>);

#[derive(Debug, Default)]
struct HeldUntil {
    /// Hashes of customers, each with the first second at which the place is no longer held.
    until: HashMap<u64, u32, FixedState>,
    /// The second at which expired places were last removed.
    swept_s: u32,
}

/// The places held of one budget, in buckets by the time of the decision.
#[derive(Debug)]
struct Ring {
    /// All held places. For moments it also counts attempts that are about to find the budget used up.
    held: AtomicU32,
    /// The longest time that any of these places is held, in seconds.
    hold_s: AtomicU32,
    /// Bucket number of the time at which expired places were last removed.
    swept: AtomicU32,
    /// Upper half: the bucket's number since 1970. Lower half: the places held in it.
    buckets: [AtomicU64; BUCKETS],
}

impl Leases {
    /// No budget has a held place.
    pub fn new() -> Leases {
        Leases::default()
    }

    /// Takes a place for a customer and holds it for `hold_s` seconds (at most [`MAX_HOLD_S`]). With `hold_s`
    /// 0 it holds none and only checks that one is free. `used` returns how many places are used up; it is
    /// called after this place was added. In a budget of customers, someone who holds a place holds it longer
    /// and takes no other.
    pub fn take(
        &self,
        customer: &str,
        budget: &BudgetUse,
        used: impl Fn() -> u32,
        hold_s: u32,
        now_s: u32,
    ) -> bool {
        if budget.once {
            return match self.holders(budget, hold_s, now_s) {
                Known::One(holders) => {
                    holders.take(self.seed.hash_one(customer), budget.max, used, hold_s, now_s)
                }
                Known::None => used() < budget.max,
                Known::TooMany => false,
            };
        }
        if hold_s == 0 {
            let held = self.held_now(budget, now_s);
            return u64::from(held) + u64::from(used()) < u64::from(budget.max);
        }
        match self.ring(budget, now_s) {
            Some(ring) => ring.take(budget.max, &used, hold_s.min(MAX_HOLD_S), now_s),
            None => false,
        }
    }

    /// Gives back the place of a decision made for this customer in this second. Call it once for each
    /// impression that used up a place, after that impression was counted.
    pub fn settle(&self, customer: &str, budget: &BudgetUse, decided_s: u32) {
        let name = (budget.key, budget.day);
        if budget.once {
            let holders = self.holders.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(holders) = holders.get(&name) {
                holders.lock().until.remove(&self.seed.hash_one(customer));
            }
            return;
        }
        let rings = self.rings.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(ring) = rings.get(&name) {
            ring.give_back(decided_s / BUCKET_S);
        }
    }

    /// Those who hold places of a budget of customers. Nobody is looked for where nothing is to be held.
    fn holders(&self, budget: &BudgetUse, hold_s: u32, now_s: u32) -> Known {
        let name = (budget.key, budget.day);
        if let Some(holders) = self.holders.read().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return Known::One(Arc::clone(holders));
        }
        if hold_s == 0 {
            return Known::None;
        }
        let mut all = self.holders.write().unwrap_or_else(PoisonError::into_inner);
        // As for rings: drop those that hold nothing and that only the map refers to.
        all.retain(|_, holders| {
            Arc::strong_count(holders) > 1 || {
                let mut held = holders.lock();
                held.sweep(now_s);
                !held.until.is_empty()
            }
        });
        let full = all.len() >= MAX_LEASED;
        let found =
            if full { all.get(&name).cloned() } else { Some(Arc::clone(all.entry(name).or_default())) };
        found.map_or(Known::TooMany, Known::One)
    }

    /// Places of a budget that are held and have not expired.
    fn held_now(&self, budget: &BudgetUse, now_s: u32) -> u32 {
        let rings = self.rings.read().unwrap_or_else(PoisonError::into_inner);
        rings.get(&(budget.key, budget.day)).map_or(0, |ring| {
            ring.sweep(now_s);
            ring.held.load(Ordering::SeqCst)
        })
    }

    /// Places of a budget that are held, including expired ones.
    #[cfg(test)]
    fn held(&self, key: u64, day: u32) -> u32 {
        let rings = self.rings.read().unwrap_or_else(PoisonError::into_inner);
        rings.get(&(key, day)).map_or(0, |ring| ring.held.load(Ordering::SeqCst))
    }

    fn ring(&self, budget: &BudgetUse, now_s: u32) -> Option<Arc<Ring>> {
        let name = (budget.key, budget.day);
        if let Some(ring) = self.rings.read().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return Some(Arc::clone(ring));
        }
        let mut rings = self.rings.write().unwrap_or_else(PoisonError::into_inner);
        // A new day or a new budget: drop the rings that hold nothing. A ring that only the map refers to
        // cannot get a new place meanwhile.
        rings.retain(|_, ring| {
            ring.sweep(now_s);
            ring.held.load(Ordering::SeqCst) > 0 || Arc::strong_count(ring) > 1
        });
        let full = rings.len() >= MAX_LEASED;
        if full { rings.get(&name).cloned() } else { Some(Arc::clone(rings.entry(name).or_default())) }
    }
}

/// What is known of those who hold places of one budget.
enum Known {
    /// Nobody ever held one.
    None,
    One(Arc<Holders>),
    /// Places of [`MAX_LEASED`] other budgets are held.
    TooMany,
}

impl Holders {
    fn take(&self, customer: u64, max: u32, used: impl Fn() -> u32, hold_s: u32, now_s: u32) -> bool {
        let mut held = self.lock();
        let holds = held.until.get(&customer).is_some_and(|until| is_held(*until, now_s));
        let fits = |held: &HeldUntil| {
            held.until.len() < MAX_HOLDERS && held.until.len() as u64 + u64::from(used()) < u64::from(max)
        };
        if !holds {
            held.until.remove(&customer); // it is over
            if !fits(&held) {
                held.sweep(now_s);
                if !fits(&held) {
                    return false;
                }
            }
        }
        if hold_s > 0 {
            let until = now_s.saturating_add(hold_s.min(MAX_HOLD_S) + GRACE_S);
            let known = held.until.entry(customer).or_default();
            *known = until.max(*known);
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, HeldUntil> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a place that is held until then is held now. One that is held for longer than any is was dated by
/// a clock that was ahead.
fn is_held(until: u32, now_s: u32) -> bool {
    until > now_s && until - now_s <= MAX_HOLD_S + GRACE_S + MAX_AHEAD_S
}

impl HeldUntil {
    /// Removes expired places, at most once a second.
    fn sweep(&mut self, now_s: u32) {
        if std::mem::replace(&mut self.swept_s, now_s) != now_s {
            self.until.retain(|_, until| is_held(*until, now_s));
        }
    }
}

impl Default for Ring {
    fn default() -> Ring {
        Ring {
            held: AtomicU32::new(0),
            hold_s: AtomicU32::new(0),
            swept: AtomicU32::new(0),
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }
}

impl Ring {
    fn take(&self, max: u32, used: &impl Fn() -> u32, hold_s: u32, now_s: u32) -> bool {
        self.hold_s.fetch_max(hold_s, Ordering::SeqCst);
        let mut taken = self.hold(max, used);
        if !taken && self.sweep(now_s) {
            taken = self.hold(max, used);
        }
        if taken {
            self.put(now_s / BUCKET_S);
        }
        taken
    }

    fn hold(&self, max: u32, used: &impl Fn() -> u32) -> bool {
        let others = self.held.fetch_add(1, Ordering::SeqCst);
        let fits = u64::from(others) + u64::from(used()) < u64::from(max);
        if !fits {
            self.held.fetch_sub(1, Ordering::SeqCst);
        }
        fits
    }

    /// Records in its bucket that a place was taken.
    fn put(&self, stretch: u32) {
        let bucket = &self.buckets[stretch as usize % BUCKETS];
        let mut old = bucket.load(Ordering::SeqCst);
        loop {
            let (of, count) = parts(old);
            // Places of another time are over: of the last round, or dated by a clock that was ahead. Two
            // times of one bucket are a round apart, which is more than clocks may differ.
            let (next, given_up) = if of == stretch { (old + 1, 0) } else { (word(stretch, 1), count) };
            match bucket.compare_exchange_weak(old, next, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => {
                    self.held.fetch_sub(given_up, Ordering::SeqCst);
                    return;
                }
                Err(now) => old = now,
            }
        }
    }

    fn give_back(&self, stretch: u32) {
        let bucket = &self.buckets[stretch as usize % BUCKETS];
        let given = bucket.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |old| match parts(old) {
            (of, 1..) if of == stretch => Some(old - 1),
            _ => None,
        });
        if given.is_ok() {
            self.held.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Removes expired places. Returns whether there were any.
    fn sweep(&self, now_s: u32) -> bool {
        let now = now_s / BUCKET_S;
        if self.swept.swap(now, Ordering::SeqCst) == now {
            return false;
        }
        let hold_s = self.hold_s.load(Ordering::SeqCst) + GRACE_S;
        // What was taken after now was dated by a clock that was ahead.
        let is_over = |stretch: u32| {
            u64::from(stretch + 1) * u64::from(BUCKET_S) + u64::from(hold_s) <= u64::from(now_s)
                || u64::from(stretch) * u64::from(BUCKET_S) > u64::from(now_s) + u64::from(MAX_AHEAD_S)
        };
        let mut found = false;
        for bucket in &self.buckets {
            let swept = bucket.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |old| match parts(old) {
                (of, 1..) if is_over(of) => Some(word(of, 0)),
                _ => None,
            });
            if let Ok(old) = swept {
                self.held.fetch_sub(parts(old).1, Ordering::SeqCst);
                found = true;
            }
        }
        found
    }
}

fn word(stretch: u32, count: u32) -> u64 {
    u64::from(stretch) << 32 | u64::from(count)
}

fn parts(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u32 = 1_800_000_000;

    fn budget(max: u32) -> BudgetUse {
        BudgetUse { key: 7, day: 0, max, once: false }
    }

    #[test]
    fn places_are_held_until_they_are_used_or_their_time_is_over() {
        let leases = Leases::new();
        let take = |used: u32, now_s: u32| leases.take("c", &budget(3), || used, 600, now_s);
        assert!(take(0, NOW) && take(0, NOW + 20) && take(0, NOW + 40));
        assert!(!take(0, NOW + 41), "three are held");
        leases.settle("c", &budget(3), NOW + 20);
        assert_eq!(leases.held(7, 0), 2);
        assert!(!take(1, NOW + 100), "one used, two held");
        leases.settle("c", &budget(3), NOW + 20);
        leases.settle("c", &BudgetUse { day: 1, ..budget(3) }, NOW);
        leases.settle("c", &BudgetUse { key: 8, ..budget(3) }, NOW);
        assert_eq!(leases.held(7, 0), 2, "there was no such place");
        assert!(!take(1, NOW + 599));
        assert!(take(1, NOW + 600 + BUCKET_S + GRACE_S), "the first one's time is over");
        assert!(!take(1, NOW + 600 + BUCKET_S + GRACE_S));
        assert!(take(1, NOW + 10_000) && take(1, NOW + 10_000));
        assert_eq!(leases.held(7, 0), 2);
    }

    #[test]
    fn places_that_a_clock_held_ahead_are_free_once_it_is_back() {
        let (leases, ahead) = (Leases::new(), NOW + 8 * 86_400);
        for once in [false, true] {
            let budget = BudgetUse { once, key: 70 + u64::from(once), ..budget(1) };
            let take = |who: &str, now_s: u32| leases.take(who, &budget, || 0, 600, now_s);
            assert!(take("a", ahead) && !take("b", ahead) && !take("b", ahead - MAX_AHEAD_S));
            assert!(take("b", NOW) && !take("a", NOW), "{once}");
        }
    }

    #[test]
    fn a_place_does_not_go_with_those_of_its_bucket_that_were_held_ahead() {
        let (leases, round) = (Leases::new(), BUCKETS as u32 * BUCKET_S);
        let take = |now_s: u32| leases.take("c", &budget(2), || 0, 600, now_s);
        assert!(take(NOW + 3 * round) && take(NOW));
        assert_eq!(leases.held(7, 0), 1, "the place that was held ahead is free");
        assert_eq!([take(NOW + 1), take(NOW + 2), take(NOW + 20)], [true, false, false]);
    }

    #[test]
    fn with_nothing_to_hold_it_is_only_looked_at() {
        let leases = Leases::new();
        assert!(leases.take("c", &budget(1), || 0, 0, NOW) && leases.take("c", &budget(1), || 0, 0, NOW));
        assert!(!leases.take("c", &budget(1), || 1, 0, NOW));
        assert_eq!(leases.held(7, 0), 0);
    }

    #[test]
    fn in_a_budget_of_customers_each_holds_one_place_however_often_they_ask() {
        let leases = Leases::new();
        let budget = BudgetUse { once: true, ..budget(2) };
        let take = |who: &str, used: u32, now_s: u32| leases.take(who, &budget, || used, 600, now_s);
        let look = |who: &str, used: u32, now_s: u32| leases.take(who, &budget, || used, 0, now_s);
        assert!(look("a", 1, NOW) && !look("a", 2, NOW), "nobody holds a place");
        assert!(take("a", 0, NOW) && take("a", 0, NOW + 1) && take("b", 0, NOW + 2) && take("a", 0, NOW + 3));
        assert!(!take("c", 0, NOW + 4) && !look("c", 0, NOW + 4), "two hold the two places");
        assert!(look("a", 0, NOW + 4) && look("b", 1, NOW + 4), "they have what they hold");
        leases.settle("b", &budget, NOW + 2);
        assert!(!take("c", 1, NOW + 5), "one is used and one is held");
        leases.settle("c", &budget, NOW);
        assert!(!take("c", 1, NOW + 6) && take("a", 1, NOW + 100));
        assert!(!take("c", 1, NOW + 100 + 600 + GRACE_S - 1), "the last time counts");
        assert!(take("c", 1, NOW + 100 + 600 + GRACE_S) && !take("a", 1, NOW + 100 + 600 + GRACE_S));
    }

    #[test]
    fn customers_who_ask_at_once_never_hold_more_than_there_is() {
        let (leases, given) = (Leases::new(), AtomicU32::new(0));
        let budget = BudgetUse { once: true, ..budget(300) };
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (leases, given, budget) = (&leases, &given, &budget);
                scope.spawn(move || {
                    let asks = |nth: u32| leases.take(&format!("c-{thread}-{nth}"), budget, || 100, 600, NOW);
                    let took = (0..2_000).filter(|nth| asks(*nth)).count();
                    given.fetch_add(took as u32, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(given.into_inner(), 200);
    }

    #[test]
    fn a_ring_that_comes_round_gives_up_what_is_left_of_the_last_time() {
        let leases = Leases::new();
        let round = BUCKETS as u32 * BUCKET_S;
        for i in 0..5 {
            assert!(leases.take("c", &budget(100), || 0, MAX_HOLD_S, NOW + i * round));
            assert_eq!(leases.held(7, 0), 1);
        }
    }

    #[test]
    fn days_that_are_over_are_forgotten() {
        let leases = Leases::new();
        for day in 0..3 * MAX_LEASED as u32 {
            let budget = BudgetUse { day, ..budget(1) };
            assert!(leases.take("c", &budget, || 0, 600, NOW + day * 86_400 / 64));
        }
        assert!(leases.rings.read().unwrap().len() < 10);
    }

    /// Threads take places, confirm some of them, and let the rest expire. The ledger is one number.
    #[test]
    fn what_is_used_and_held_never_exceeds_the_budget() {
        const MAX: u32 = 500;
        for round in 0..20 {
            let (leases, used, seen) = (Leases::new(), AtomicU32::new(0), Mutex::new(0));
            let clock = AtomicU32::new(NOW + round * 7);
            let shown = |thread: u32| {
                let mut rng = fastrand::Rng::with_seed(u64::from(thread + 10 * round));
                let mut count = 0;
                for _ in 0..2_000 {
                    let now_s = clock.load(Ordering::SeqCst);
                    if leases.take("c", &budget(MAX), || used.load(Ordering::SeqCst), 600, now_s) {
                        count += 1;
                        // The fold counts one at a time; each of these had a place, so there is room.
                        let before = used.fetch_add(1, Ordering::SeqCst);
                        assert!(before < MAX, "{before} were used");
                        if rng.bool() {
                            std::thread::yield_now();
                        }
                        leases.settle("c", &budget(MAX), now_s);
                    } else if rng.u8(0..50) == 0 {
                        clock.fetch_add(1, Ordering::SeqCst);
                    }
                }
                *seen.lock().unwrap() += count;
            };
            std::thread::scope(|scope| (0..4).for_each(|thread| drop(scope.spawn(move || shown(thread)))));
            assert_eq!(*seen.lock().unwrap(), MAX, "all of it is given out, none twice");
            assert_eq!(leases.held(7, 0), 0);
        }
    }

    #[test]
    fn of_places_that_nobody_uses_no_more_are_held_than_there_are() {
        let (leases, given) = (Leases::new(), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let took =
                        (0..2_000).filter(|_| leases.take("c", &budget(500), || 100, 600, NOW)).count();
                    given.fetch_add(took as u32, Ordering::SeqCst);
                });
            }
        });
        assert_eq!((given.into_inner(), leases.held(7, 0)), (400, 400));
    }
}
