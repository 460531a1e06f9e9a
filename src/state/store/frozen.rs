//! All customers as they were at one moment, while the writer goes on.
//!
//! A *part* is the customers of one shard of the map. Before the writer changes a customer for the first time since the
//! freeze, it preserves the old row, or that there was none, unless the part has been taken. [`Frozen`] takes a part so:
//!
//! 1. under the shard's read lock, copy who is in it and in which slot;
//! 2. without a lock, read those rows;
//! 3. under the lock of what is preserved, take what is preserved of the part and mark the part as taken;
//! 4. of customers preserved, give the old row, or nothing, whatever was read; of all others what was read.
//!
//! Why that is the state at the freeze: whoever changes between the freeze and (3) was preserved before the change, so
//! (4) does not use what was read, which may be torn between two customers of one slot. Whoever was not preserved
//! before (3) is changed only after the writer found the part taken, hence after (1) and (2), which saw it as it was at
//! the freeze. The lock of (3) orders the two.

use std::collections::HashMap;
use std::fmt;
use std::hint::black_box;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use foldhash::fast::FixedState;

use super::{Customers, CustomersWriter, SHARDS};
use crate::customer::id::CustomerId;
use crate::customer::row::Row;

/// Bytes preserved at most, if that is more than the share of the store below.
const MIN_PRESERVED_BYTES: usize = 48 << 20;
/// Of the store's bytes, one in so many: with the buffers of whoever takes the view, less than a twentieth.
const PRESERVED_SHARE: usize = 32;

/// What a preserved customer takes besides its words and a long id: its entry in a table that is half full, and what
/// the allocator adds.
const ENTRY_BYTES: usize = 2 * size_of::<(CustomerId, Option<Box<[u64]>>)>() + 16;

/// Rows that are fetched from memory at once: few enough that all stay in the first cache.
const ROWS_AHEAD: usize = 128;

/// All customers as they were at [`CustomersWriter::freeze`]. Dropping it ends the freeze and frees everything.
pub struct Frozen {
    shared: Arc<Customers>,
    preserved: Arc<Preserved>,
    customers: usize,
    next: usize,
    slots: Vec<u32>, // of the part being read
}

/// The customers of one shard, at the freeze. Customers of later parts are in other shards.
#[derive(Default)]
pub struct Part {
    ids: Vec<CustomerId>,
    ends: Vec<usize>,
    words: Vec<u64>,
}

/// More was written during the freeze than may be preserved, so the view is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenUp;

/// The old rows of customers that changed since the freeze.
pub(super) struct Preserved(Mutex<Old>);

/// Old rows of one part, or that there was none.
type OldRows = HashMap<CustomerId, Option<Box<[u64]>>, FixedState>;

struct Old {
    /// Parts below were taken; nobody needs their old rows any more.
    taken: usize,
    parts: Vec<OldRows>,
    bytes: usize,
    most: usize,
    given_up: bool,
}

impl CustomersWriter {
    /// A view of all customers as they are now; `None` while another one lives. Writing goes on at once: it preserves
    /// each row that it changes first, up to the larger of 48 MiB and 1/32 of the store's bytes. When there is
    /// more to preserve, the view is given up; the writer never waits for it.
    pub fn freeze(&mut self) -> Option<Frozen> {
        if self.frozen.as_ref().is_some_and(|frozen| frozen.strong_count() > 0) {
            return None;
        }
        let memory = self.shared.memory();
        let most = MIN_PRESERVED_BYTES.max(memory.bytes / PRESERVED_SHARE);
        Some(self.freeze_keeping(most))
    }

    fn freeze_keeping(&mut self, most: usize) -> Frozen {
        let parts = (0..SHARDS).map(|_| HashMap::default()).collect();
        let old = Old { taken: 0, parts, bytes: 0, most, given_up: false };
        let preserved = Arc::new(Preserved(Mutex::new(old)));
        self.frozen = Some(Arc::downgrade(&preserved));
        let (shared, customers) = (self.shared.clone(), self.shared.len());
        Frozen { shared, preserved, customers, next: 0, slots: Vec::new() }
    }

    /// Preserves `customer` as it is now, if it is its first change since the freeze.
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
    /// Keeps the row of `customer`, of this part, unless it is kept or the part is taken.
    fn keep(&self, part: usize, customer: &CustomerId, row: impl FnOnce() -> Option<Box<[u64]>>) {
        let mut old = self.lock();
        if part < old.taken || old.given_up || old.parts[part].contains_key(customer) {
            return;
        }
        let row = row();
        old.bytes += entry_bytes(customer, row.as_deref());
        old.parts[part].insert(customer.clone(), row);
        // What is kept goes with the view, in a thread that has the time to free it.
        old.given_up = old.bytes > old.most;
    }

    fn lock(&self) -> MutexGuard<'_, Old> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry_bytes(customer: &CustomerId, row: Option<&[u64]>) -> usize {
    ENTRY_BYTES + customer.heap_bytes() + row.map_or(0, size_of_val)
}

impl Frozen {
    /// How many customers there are in all parts.
    pub fn customers(&self) -> usize {
        self.customers
    }

    /// What decides in which part a customer is, for [`Loader::new`](super::Loader::new).
    pub fn seed(&self) -> u64 {
        self.shared.seed
    }

    /// Puts the next part that is not empty into `part`, whatever that held; false after the last.
    ///
    /// # Errors
    /// [`GivenUp`]: what came before is of no use without the rest.
    pub fn next_part(&mut self, part: &mut Part) -> Result<bool, GivenUp> {
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

    fn read_part(&mut self, part: &mut Part) {
        // The guard lives to the end of the statement: only the writer adding or erasing in this shard waits, no reader.
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

/// What was read, with what was preserved in place of it.
fn overlaid(read: &Part, mut preserved: OldRows) -> Part {
    let mut part = Part::default();
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

impl Part {
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
        f.write_str("more was written meanwhile than may be kept aside; the next attempt may fare better")
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

    /// A writer, and plainly what it should hold.
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

    /// Adds up to `parts` parts of `frozen` to `seen`; whether there may be more.
    fn drain(frozen: &mut Frozen, parts: usize, seen: &mut Model) -> bool {
        let mut part = Part::default();
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
            let mut view: Option<(Frozen, Model, Model)> = None;
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

    /// Not zero at its end, and growing past the first band and back.
    fn row(who: usize, version: usize) -> Vec<u64> {
        (0..3 + version % 30).map(|at| (who << 32 | version << 8 | at | 1) as u64).collect()
    }

    #[test]
    fn a_view_drained_while_the_writer_writes_at_full_speed_is_the_state_at_the_freeze() {
        const CUSTOMERS: usize = 20_000;
        let views_drained = crate::testing::rounds(2, 8);
        let mut pair = Pair::new();
        (0..CUSTOMERS).for_each(|who| pair.put(who, row(who, 0)));
        let (to_drain, views) = sync_channel::<(Frozen, Model)>(0);
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
        assert_eq!(frozen.next_part(&mut Part::default()), Err(GivenUp));
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
