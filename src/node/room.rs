//! Room for customers: how many a node may know, and how much memory it may take. What does not fit is
//! refused before it is journalled, so a replay never meets it.
//!
//! Customers who are known are served to the end: new ones are refused at a mark below the most memory.
//! What is between the two is kept for rows that grow, for snapshots, and for a start, which needs no
//! more than the process before it had.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::memory;
use super::memory::{Held, Meter};
use super::unavailable::Unavailable;
use crate::state::store;
use crate::state::store::Customers;

/// The share of all memory that is kept back: one in this many bytes.
const KEPT_SHARE: u64 = 7;
/// The least memory that is kept back. Old rows that a snapshot needs take 48 MiB, its buffers some more.
const LEAST_KEPT_BYTES: u64 = 96 << 20;
/// Roughly what a new customer with a contact or two takes, in bytes: row, id, and their share of tables.
const NEW_CUSTOMER_BYTES: u64 = 512;
/// How far below the mark there is room again: one in this many bytes.
const AGAIN_SHARE: u64 = 64;
/// How many bytes of addresses are kept back where they are bounded: rows are made for 65,536 customers
/// at once.
const KEPT_ADDRESSES: u64 = 64 << 20;
/// How old a look at the memory of the process may be at the door. Where memory has a bound, the writer
/// looks anew for each batch.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a node may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeBounds {
    /// The most customers.
    pub customers: usize,
    /// The most memory of the process, in bytes; `None` for no bound.
    pub memory: Option<u64>,
    /// What an event of a customer who is not known does.
    pub unknown: UnknownCustomers,
    /// How long a customer stays of whom only events are known, once nothing of them counts any more; `None`
    /// for ever. Nobody goes where events make no customers.
    pub unknown_life: Option<Duration>,
}

/// What an event of a customer who is not known does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownCustomers {
    /// It makes the customer.
    #[default]
    Create,
    /// It is rejected. Customers come by `PUT`, `PATCH` and bulk loads.
    Refuse,
}

impl Default for NodeBounds {
    fn default() -> Self {
        let unknown = UnknownCustomers::default();
        NodeBounds { customers: store::MAX_CUSTOMERS, memory: None, unknown, unknown_life: None }
    }
}

/// The room that is left.
pub(crate) struct Room {
    pub(crate) bounds: NodeBounds,
    began: Instant,
    meter: Meter,
    /// The bytes of the process at the last look that succeeded, and when the last look was, in milliseconds
    /// since `began`.
    resident: AtomicU64,
    looked_ms: AtomicU64,
    /// The bound of `ulimit -v`, and whether the process came near it.
    most_addresses: Option<u64>,
    cramped: AtomicBool,
    /// Whether new customers were refused the last time that somebody asked.
    full: AtomicBool,
}

impl Room {
    pub(crate) fn new(bounds: NodeBounds) -> Room {
        let room = Room {
            bounds,
            began: Instant::now(),
            meter: Meter::of_process(),
            resident: AtomicU64::new(0),
            looked_ms: AtomicU64::new(0),
            most_addresses: memory::most_addresses(),
            cramped: AtomicBool::new(false),
            full: AtomicBool::new(false),
        };
        room.look();
        room
    }

    /// The bytes of the process, as they are now. If the look fails, what the last one saw still holds.
    fn look(&self) -> u64 {
        if let Some(Held { resident, addresses }) = self.meter.held() {
            let cramped = self.most_addresses.is_some_and(|most| addresses + KEPT_ADDRESSES > most);
            self.cramped.store(cramped, Ordering::Relaxed);
            self.resident.store(resident, Ordering::Relaxed);
        }
        self.looked_ms.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
        self.resident.load(Ordering::Relaxed)
    }

    /// The bytes of the process, as they are now, for [`admit`](Room::admit). Without a bound of memory
    /// nobody asks for them, so they are those of the last look.
    pub(crate) fn for_a_batch(&self) -> u64 {
        if self.bounds.memory.is_some() { self.look() } else { self.resident.load(Ordering::Relaxed) }
    }

    /// The bytes of the process, as they were a moment ago.
    pub(crate) fn resident(&self) -> u64 {
        let looked = Duration::from_millis(self.looked_ms.load(Ordering::Relaxed));
        if self.began.elapsed().saturating_sub(looked) < LOOK_EVERY {
            return self.resident.load(Ordering::Relaxed);
        }
        self.look()
    }

    /// The memory from which on new customers are refused.
    pub(crate) fn mark(&self) -> Option<u64> {
        self.bounds.memory.map(|most| most - (most / KEPT_SHARE).max(LEAST_KEPT_BYTES).min(most / 2))
    }

    /// How many new customers there is room for, at most `wanted`, if the process has `resident()` bytes.
    fn fits(&self, customers: &Customers, resident: impl FnOnce() -> u64, wanted: usize) -> usize {
        let by_number = self.bounds.customers.saturating_sub(customers.len()).min(wanted);
        let Some(mark) = self.mark() else { return by_number };
        let resident = resident();
        // Once it is full there is room again a little below the mark, so that it does not go to and fro.
        let mark = if self.full.load(Ordering::Relaxed) { mark - mark / AGAIN_SHARE } else { mark };
        let is_cramped = self.cramped.load(Ordering::Relaxed);
        let by_memory = if is_cramped { 0 } else { mark.saturating_sub(resident) / NEW_CUSTOMER_BYTES };
        if by_memory >= by_number as u64 {
            return by_number;
        }
        // Whoever was erased left a slot that takes no new memory.
        by_number.min(by_memory as usize + customers.free_slots())
    }

    /// How many of `wanted` new customers a request may bring. The writer decides in the end.
    pub(crate) fn at_the_door(&self, customers: &Customers, wanted: usize) -> usize {
        let fits = self.fits(customers, || self.resident(), wanted);
        self.tell(fits == 0 && wanted > 0, customers.len());
        fits
    }

    /// Whether a submission that adds up to `added` customers, `exactly()` many, may be written after
    /// those of the same batch, which add `before`. When the batch began, the process had `resident` bytes.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn admit(
        &self,
        customers: &Customers,
        resident: u64,
        before: usize,
        added: usize,
        exactly: impl FnOnce() -> usize,
    ) -> Result<usize, Unavailable> {
        if self.bounds.memory.is_some_and(|most| resident >= most) {
            return Err(Unavailable::Memory);
        }
        let all_fit = |wanted| self.fits(customers, || resident, wanted) == wanted;
        if all_fit(before + added) {
            return Ok(added);
        }
        let added = exactly();
        if added == 0 || all_fit(before + added) {
            return Ok(added);
        }
        let is_number = before + added + customers.len() > self.bounds.customers;
        Err(if is_number { Unavailable::Full } else { Unavailable::Memory })
    }

    /// Whether addresses are bounded, so that memory which nothing touches is not free.
    pub(crate) fn bounds_addresses(&self) -> bool {
        self.most_addresses.is_some()
    }

    /// Whether `bytes` more of addresses leave those that are kept back.
    pub(crate) fn has_addresses(&self, bytes: usize) -> bool {
        let Some(most) = self.most_addresses else { return true };
        // If the look fails, nothing more is taken.
        self.meter.held().is_some_and(|held| held.addresses + bytes as u64 + KEPT_ADDRESSES <= most)
    }

    /// Notes whether new customers are refused, and logs it when that changes.
    fn tell(&self, full: bool, customers: usize) {
        if self.full.swap(full, Ordering::Relaxed) == full {
            return;
        }
        let resident_bytes = self.resident();
        if full {
            tracing::warn!(
                customers,
                resident_bytes,
                max_customers = self.bounds.customers,
                max_memory_bytes = self.bounds.memory,
                "no room for new customers: they are refused; customers who are known are served"
            );
        } else {
            tracing::info!(customers, resident_bytes, "there is room for new customers again");
        }
    }

    /// Whether new customers are taken.
    pub(crate) fn takes_new(&self, customers: &Customers) -> bool {
        self.at_the_door(customers, 1) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::testing::id;

    fn room(customers: usize, memory: Option<u64>) -> Room {
        Room::new(NodeBounds { customers, memory, ..NodeBounds::default() })
    }

    #[test]
    fn new_customers_fit_up_to_the_number_and_the_mark_and_into_free_slots() {
        let (mut writer, customers) = store::customers();
        for number in 0..10 {
            writer.put(&id(number), &[1]).unwrap();
        }
        let gib = 1 << 30;
        let mark = gib - gib / KEPT_SHARE;
        for (most, memory, resident, fits) in [
            (100, None, u64::MAX, 90),
            (100, Some(gib), 0, 90),
            (12, Some(gib), 0, 2),
            (10, Some(gib), 0, 0),
            (5, None, 0, 0),
            (1000, Some(gib), mark - 3 * NEW_CUSTOMER_BYTES, 3),
            (1000, Some(gib), gib, 0),
        ] {
            assert_eq!(
                room(most, memory).fits(&customers, || resident, 90),
                fits,
                "{most}, {memory:?}, {resident}"
            );
        }
        writer.erase(id(3).as_str());
        writer.erase(id(4).as_str());
        let fits = room(1000, Some(gib)).fits(&customers, || gib, 90);
        assert_eq!(fits, 2, "slots that are free take no memory");
    }

    #[test]
    fn what_is_kept_back_is_enough_for_a_snapshot_and_never_all() {
        for (most_mib, mark_mib) in [(128, 64), (512, 416), (1536, 1316), (65_536, 56_173)] {
            let room = room(1, Some(most_mib << 20));
            assert_eq!(room.mark().map(|mark| mark >> 20), Some(mark_mib));
        }
        assert_eq!(room(1, None).mark(), None);
    }

    #[test]
    fn at_the_most_memory_nothing_that_grows_is_written() {
        let (_, customers) = store::customers();
        let admit = |memory| {
            let room = room(10, memory);
            room.admit(&customers, room.for_a_batch(), 0, 1, || 1)
        };
        assert_eq!((admit(None), admit(Some(1 << 50))), (Ok(1), Ok(1)));
        assert_eq!(admit(Some(1 << 20)), Err(Unavailable::Memory), "this process has more");
        assert_eq!(room(10, None).admit(&customers, 0, 5, 6, || 6), Err(Unavailable::Full));
        assert_eq!(room(10, None).admit(&customers, 0, 5, 600, || 5), Ok(5), "most of them are known");
    }

    #[test]
    fn a_look_that_fails_leaves_what_the_last_one_saw() {
        let (_, customers) = store::customers();
        let check = |memory: u64, resident: u64, fits: usize, admitted: Result<usize, Unavailable>| {
            let mut room = room(10, Some(memory));
            room.meter = Meter::broken();
            room.resident.store(resident, Ordering::Relaxed);
            room.began -= LOOK_EVERY; // so that the door looks anew
            assert_eq!(room.at_the_door(&customers, 1), fits, "{resident} of {memory}");
            assert_eq!(room.for_a_batch(), resident);
            assert_eq!(room.resident(), resident, "the metric");
            assert_eq!(room.admit(&customers, resident, 0, 1, || 1), admitted, "{resident} of {memory}");
        };
        let gib = 1 << 30;
        check(gib, gib / 2, 1, Ok(1));
        check(gib, gib - 1, 0, Err(Unavailable::Memory));
        check(gib, gib, 0, Err(Unavailable::Memory));
    }

    #[test]
    fn without_a_bound_of_memory_nobody_looks_before_a_write() {
        let (_, customers) = store::customers();
        let check = |memory: Option<u64>, looks: bool| {
            let mut room = room(10, memory);
            room.resident.store(7, Ordering::Relaxed);
            room.began -= LOOK_EVERY; // so that who asks looks anew
            room.at_the_door(&customers, 1);
            assert_eq!(room.resident.load(Ordering::Relaxed) != 7, looks, "at the door: {memory:?}");
            room.resident.store(7, Ordering::Relaxed);
            assert_eq!(room.for_a_batch() != 7, looks, "for a batch: {memory:?}");
            assert_ne!(room.resident(), 7, "the metric");
        };
        check(None, false);
        check(Some(1 << 50), true);
    }
}
