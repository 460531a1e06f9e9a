//! All customers as they were at one moment, while the writer goes on.
//!
//! A *part* is the customers of one shard of the map. Before the writer changes a customer for the
//! first time since the freeze, it preserves the old row, or that there was none. It need not once the
//! part has been taken. [`FrozenCustomers`] takes a part in four steps:
//!
//! 1. Under the shard's read lock, copy who is in it and in which slot.
//! 2. Without a lock, read those rows.
//! 3. Under the lock of what is preserved, take what is preserved of the part, and mark the part as
//!    taken.
//! 4. For preserved customers, give the old row, or nothing, whatever was read. For all others, give
//!    what was read.
//!
//! # Why that is the state at the freeze
//! A customer who changes between the freeze and step 3 was preserved before the change. Step 4 does
//! not use what was read of them, which may be torn between two customers of one slot.
//!
//! A customer who was not preserved before step 3 changes only after the writer found the part taken.
//! That is after steps 1 and 2, which saw the customer as at the freeze. The lock of step 3 puts the
//! two in order.

use std::collections::HashMap;
use std::fmt;
use std::hint::black_box;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use foldhash::fast::FixedState;

use super::{Customers, CustomersWriter, SHARDS};
use crate::customer::id::CustomerId;
use crate::customer::row::Row;

/// How many bytes may be preserved at least, even if the share below is smaller.
const MIN_PRESERVED_BYTES: usize = 48 << 20;
/// How many bytes may be preserved: one in this many of the store's bytes. Together with the buffers of the
/// view's reader, that is less than a twentieth.
const PRESERVED_SHARE: usize = 32;

/// Bytes that a preserved customer takes besides their words and a long id: an entry in a table that is
/// half full, and what the allocator adds.
const ENTRY_BYTES: usize = 2 * size_of::<(CustomerId, Option<Box<[u64]>>)>() + 16;

/// How many rows are fetched from memory at once. All of them stay in the first-level cache.
const ROWS_AHEAD: usize = 128;

/// All customers as they were at [`CustomersWriter::freeze`]. Dropping it ends the freeze and frees
/// everything.
pub struct FrozenCustomers {
    shared: Arc<Customers>,
    preserved: Arc<Preserved>,
    customers: usize,
    next: usize,
    slots: Vec<u32>, // of the part being read
}

/// The customers of one shard, as they were at the freeze.
#[derive(Default)]
pub struct FrozenPart {
    ids: Vec<CustomerId>,
    ends: Vec<usize>,
    words: Vec<u64>,
}

/// More was written during the freeze than may be preserved, so the view is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenUp;

/// The old rows of customers that changed since the freeze.
pub(super) struct Preserved(Mutex<Old>);

/// The old rows of one part; `None` for a customer who was not known.
type OldRows = HashMap<CustomerId, Option<Box<[u64]>>, FixedState>;

struct Old {
    /// Parts below this one were taken. Their old rows are needed no more.
    taken: usize,
    parts: Vec<OldRows>,
    bytes: usize,
    most: usize,
    given_up: bool,
}

impl CustomersWriter {
    /// A view of all customers as they are now; `None` while another one lives. Writing goes on at
    /// once, and first preserves each row that it changes. It preserves up to 48 MiB or 1/32 of the
    /// store's bytes, whichever is more. Beyond that the view is given up; the writer never waits for
    /// it.
    pub fn freeze(&mut self) -> Option<FrozenCustomers> {
        if self.frozen.as_ref().is_some_and(|frozen| frozen.strong_count() > 0) {
            return None;
        }
        let memory = self.shared.memory();
        let most = MIN_PRESERVED_BYTES.max(memory.bytes / PRESERVED_SHARE);
        Some(self.freeze_keeping(most))
    }

    fn freeze_keeping(&mut self, most: usize) -> FrozenCustomers {
        let parts = (0..SHARDS).map(|_| HashMap::default()).collect();
        let old = Old { taken: 0, parts, bytes: 0, most, given_up: false };
        let preserved = Arc::new(Preserved(Mutex::new(old)));
        self.frozen = Some(Arc::downgrade(&preserved));
        let (shared, customers) = (self.shared.clone(), self.shared.len());
        FrozenCustomers { shared, preserved, customers, next: 0, slots: Vec::new() }
    }

    /// Preserves `customer` as they are now, if this is their first change since the freeze.
    #[cold]
    pub(super) fn preserve(&mut self, customer: &CustomerId) {
        let Some(preserved) = self.frozen.as_ref().and_then(Weak::upgrade) else {
            self.frozen = None;
            return;
        };
        let part = self.shared.slots.determine_map(customer.as_str());
        preserved.keep(part, customer, || {
            let mut row = Row::new();
            self.shared.read(customer.as_str(), &mut row).then(|| Box::from(&row[..]))
        });
    }
}

impl Preserved {
    /// Keeps the row of `customer`, who is in this part, unless it is kept or the part was taken.
    fn keep(&self, part: usize, customer: &CustomerId, row: impl FnOnce() -> Option<Box<[u64]>>) {
        let mut old = self.lock();
        if part < old.taken || old.given_up || old.parts[part].contains_key(customer) {
            return;
        }
        let row = row();
        old.bytes += entry_bytes(customer, row.as_deref());
        old.parts[part].insert(customer.clone(), row);
        // What is kept is freed together with the view, by a thread that has time for it.
        old.given_up = old.bytes > old.most;
    }

    fn lock(&self) -> MutexGuard<'_, Old> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry_bytes(customer: &CustomerId, row: Option<&[u64]>) -> usize {
    ENTRY_BYTES + customer.heap_bytes() + row.map_or(0, size_of_val)
}

impl FrozenCustomers {
    /// How many customers there are in all parts.
    pub fn customers(&self) -> usize {
        self.customers
    }

    /// The seed that decides in which part a customer is, for [`Loader::new`](super::Loader::new).
    pub fn seed(&self) -> u64 {
        self.shared.seed
    }

    /// Puts the next part that is not empty into `part`, in place of what it held. False after the last
    /// part.
    ///
    /// # Errors
    /// [`GivenUp`]; the parts before are of no use without the rest.
    pub fn next_part(&mut self, part: &mut FrozenPart) -> Result<bool, GivenUp> {
        part.clear();
        while part.ids.is_empty() && self.next < SHARDS {
            self.read_part(part);
            let preserved = self.take_preserved()?;
            self.next += 1;
            if !preserved.is_empty() {
                *part = overlaid(part, preserved);
            }
        }
        Ok(!part.ids.is_empty())
    }

    fn read_part(&mut self, part: &mut FrozenPart) {
        // The guard lives to the end of the statement. Only adding and erasing in this shard waits, and
        // no reader does.
        let listed = self.shared.slots.shards()[self.next].read().clone();
        part.clear();
        self.slots.clear();
        for (id, slot) in listed {
            part.ids.push(id);
            self.slots.push(slot.into_inner());
        }
        let arena = &self.shared.arena;
        for slots in self.slots.chunks(ROWS_AHEAD) {
            black_box(slots.iter().fold(0, |all, slot| all ^ arena.touch(*slot)));
            for slot in slots {
                arena.append(*slot, &mut part.words);
                part.ends.push(part.words.len());
            }
        }
    }

    fn take_preserved(&self) -> Result<OldRows, GivenUp> {
        let mut old = self.preserved.lock();
        if old.given_up {
            return Err(GivenUp);
        }
        let part = std::mem::take(&mut old.parts[self.next]);
        old.bytes -= part.iter().map(|(id, row)| entry_bytes(id, row.as_deref())).sum::<usize>();
        old.taken = self.next + 1;
        Ok(part)
    }
}

/// The part that was read, with what was preserved in place of what was read.
fn overlaid(read: &FrozenPart, mut preserved: OldRows) -> FrozenPart {
    let mut part = FrozenPart::default();
    for (id, row) in read.iter() {
        match preserved.remove(id) {
            None => part.push(id.clone(), row),
            Some(Some(old)) => part.push(id.clone(), &old),
            Some(None) => {} // added since
        }
    }
    for (id, row) in preserved {
        if let Some(row) = row {
            part.push(id, &row); // erased since
        }
    }
    part
}

impl FrozenPart {
    /// The customers with their words, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&CustomerId, &[u64])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        self.ids.iter().zip(starts.zip(&self.ends)).map(|(id, (start, end))| (id, &self.words[start..*end]))
    }

    fn push(&mut self, id: CustomerId, row: &[u64]) {
        self.ids.push(id);
        self.words.extend_from_slice(row);
        self.ends.push(self.words.len());
    }

    fn clear(&mut self) {
        self.ids.clear();
        self.ends.clear();
        self.words.clear();
    }
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too much was written while the snapshot was taken; the next attempt may succeed")
    }
}

impl std::error::Error for GivenUp {}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use proptest::prelude::*;

    use super::super::{customers, with_room_for};
    use super::*;

    type Model = HashMap<CustomerId, Vec<u64>>;

    fn id(number: impl fmt::Display) -> CustomerId {
        CustomerId::new(&format!("c-{number}")).unwrap()
    }

    /// A writer, and a plain map of what it should hold.
    struct Pair {
        writer: CustomersWriter,
        model: Model,
    }

    impl Pair {
        fn new() -> Pair {
            Pair { writer: customers().0, model: Model::new() }
        }
        fn put(&mut self, who: usize, row: Vec<u64>) {
            self.writer.put(&id(who), &row).unwrap();
            self.model.insert(id(who), row);
        }
        fn erase(&mut self, who: usize) {
            let known = self.model.remove(&id(who)).is_some();
            assert_eq!(self.writer.erase(id(who).as_str()), known);
        }
    }

    /// Adds up to `parts` parts of `frozen` to `seen`. Returns whether there may be more.
    fn drain(frozen: &mut FrozenCustomers, parts: usize, seen: &mut Model) -> bool {
        let mut part = FrozenPart::default();
        for _ in 0..parts {
            if !frozen.next_part(&mut part).unwrap() {
                return false;
            }
            for (id, row) in part.iter() {
                assert_eq!(seen.insert(id.clone(), row.to_vec()), None, "{id} is there twice");
            }
        }
        true
    }

    #[derive(Debug, Clone)]
    enum Step {
        Put(usize, Vec<u64>),
        Erase(usize),
        Freeze,
        Drain(usize),
        Thaw,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let row = prop::collection::vec(1..u64::MAX, 0..20);
        let step = prop_oneof![
            12 => (0..40_usize, row).prop_map(|(who, row)| Step::Put(who, row)),
            6 => (0..40_usize).prop_map(Step::Erase),
            2 => Just(Step::Freeze),
            4 => (1..8_usize).prop_map(Step::Drain),
            1 => Just(Step::Thaw),
        ];
        prop::collection::vec(step, 0..120)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(crate::testing::rounds(64, 256)))]
        #[test]
        fn a_frozen_view_is_the_state_at_the_freeze(steps in steps()) {
            let mut pair = Pair::new();
            let mut view: Option<(FrozenCustomers, Model, Model)> = None;
            for step in steps.into_iter().chain([Step::Drain(SHARDS)]) {
                match step {
                    Step::Put(who, row) => pair.put(who, row),
                    Step::Erase(who) => pair.erase(who),
                    Step::Freeze => {
                        let frozen = pair.writer.freeze();
                        prop_assert_eq!(frozen.is_some(), view.is_none());
                        let new = frozen.map(|frozen| (frozen, pair.model.clone(), Model::new()));
                        view = view.or(new);
                    }
                    Step::Drain(parts) => {
                        if let Some((frozen, expected, seen)) = &mut view && !drain(frozen, parts, seen) {
                            prop_assert_eq!(frozen.customers(), expected.len());
                            prop_assert_eq!(&*seen, &*expected);
                            view = None;
                        }
                    }
                    Step::Thaw => view = None,
                }
            }
        }
    }

    /// A row without zeros at its end, of one band or two.
    fn row(who: usize, version: usize) -> Vec<u64> {
        (0..3 + version % 30).map(|at| (who << 32 | version << 8 | at | 1) as u64).collect()
    }

    #[test]
    fn a_view_drained_while_the_writer_writes_at_full_speed_is_the_state_at_the_freeze() {
        const CUSTOMERS: usize = 20_000;
        let views_drained = crate::testing::rounds(2, 8);
        let mut pair = Pair::new();
        (0..CUSTOMERS).for_each(|who| pair.put(who, row(who, 0)));
        let (to_drain, views) = sync_channel::<(FrozenCustomers, Model)>(0);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for (mut frozen, expected) in views.iter().take(views_drained) {
                    let mut seen = Model::new();
                    drain(&mut frozen, SHARDS, &mut seen);
                    assert!(seen == expected, "{} customers, expected {}", seen.len(), expected.len());
                }
            });
            let mut random = fastrand::Rng::with_seed(7);
            for version in 1.. {
                match (random.usize(..CUSTOMERS * 2), random.u8(..4)) {
                    (who, 0) => pair.erase(who),
                    (who, _) => pair.put(who, row(who, version)),
                }
                if version % 1000 == 0
                    && let Some(frozen) = pair.writer.freeze()
                    && to_drain.send((frozen, pair.model.clone())).is_err()
                {
                    break; // the other thread has seen enough
                }
            }
        });
    }

    #[test]
    fn too_much_to_preserve_ends_the_view_and_not_the_writing() {
        let (mut writer, shared) = with_room_for(0);
        (0..1000).for_each(|who| writer.put(&id(who), &[1; 12]).unwrap());
        let mut frozen = writer.freeze_keeping(10_000);
        assert!(writer.freeze().is_none());
        (0..1000).for_each(|who| writer.put(&id(who), &[2; 12]).unwrap());
        assert_eq!(frozen.next_part(&mut FrozenPart::default()), Err(GivenUp));
        drop(frozen);
        let mut frozen = writer.freeze_keeping(10_000);
        let mut seen = Model::new();
        (0..10).for_each(|who| writer.put(&id(who), &[3; 12]).unwrap());
        assert!(!drain(&mut frozen, SHARDS, &mut seen), "few changes are kept");
        assert!(seen.len() == 1000 && seen.values().all(|row| **row == [2; 12]));
        assert_eq!(frozen.preserved.lock().bytes, 0);
        (0..1000).for_each(|who| writer.put(&id(who), &[4; 12]).unwrap());
        assert_eq!(frozen.preserved.lock().bytes, 0, "what was taken is not kept again");
        drop(frozen);
        writer.erase("c-1");
        assert!(writer.frozen.is_none() && shared.len() == 999);
    }
}
