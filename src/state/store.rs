//! The customers in memory: a map from id to a slot in an arena of rows.
//!
//! One thread writes, through the only [`CustomersWriter`]. Any number of threads read, through
//! [`Customers`]. A reader takes its shard's read lock and copies the whole row, so no guard leaves
//! this module and no row is seen half written.
//!
//! # Why a reader never sees another customer's row
//! Slots are used again. But a reader copies while it holds the read lock under which it found the
//! slot. The writer frees a slot only after it removed the map entry. That takes the same shard's write
//! lock, so it waits for every such reader. A later reader no longer finds the entry.
//!
//! The writer overwrites a known row without a lock: the row's own sequence guards it. So a reader that
//! waits for the writer inside the read lock holds nothing that the writer needs.

mod arena;
mod frozen;
mod growth;
mod loader;
mod scan;

use std::borrow::Cow;
use std::fmt;
use std::hash::BuildHasher;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use dashmap::DashMap;
use foldhash::fast::{FixedState, RandomState};
use smallvec::SmallVec;

use self::arena::Arena;
use self::frozen::Preserved;
pub use self::frozen::{FrozenCustomers, FrozenPart, GivenUp};
pub use self::growth::{Growth, RowNeed};
pub use self::loader::{Loader, LoaderError};
pub use self::scan::{BATCH_ROWS, Batch};
use crate::customer::id::CustomerId;
use crate::customer::row::Row;

/// The most customers that one store can hold.
pub const MAX_CUSTOMERS: usize = arena::MAX_SLOTS;

/// How many shards the map has. A full shard is rehashed in one go under its write lock: 10,000 entries
/// of 10 million. `DashMap`'s own choice, four shards per core, would rehash over a million of them at
/// once on two cores. The locks fit the L2 cache.
const SHARDS: usize = 1024;

/// Into how many parts [`Customers::ids`] has all customers.
pub const PARTS: usize = SHARDS;

/// For how many customers at once [`CustomersWriter::find_all`] needs no allocation.
const FOUND_AT_ONCE: usize = 64;

/// How many words a new row has until `set_row_words` is called: a header and 64 mixed features.
const DEFAULT_ROW_WORDS: usize = 13;

/// An empty store: its one writer, and what all readers share.
///
/// ```
/// use usher::customer::id::CustomerId;
/// use usher::customer::row::Row;
/// use usher::state::store;
/// let (mut writer, customers) = store::customers();
/// writer.put(&CustomerId::new("c-1001").unwrap(), &[7, 8, 0]).unwrap();
/// let mut row = Row::new();
/// assert!(customers.read("c-1001", &mut row));
/// assert_eq!(row[..], [7, 8]);
/// ```
pub fn customers() -> (CustomersWriter, Arc<Customers>) {
    with_room_for(0)
}

/// An empty store with room in its map for `expected` customers; more may come. Use it where the number
/// is known: a map that grows leaves its outgrown tables to the allocator, which keeps them for a
/// while.
pub fn with_room_for(expected: usize) -> (CustomersWriter, Arc<Customers>) {
    let writer = CustomersWriter::new(Customers::new(RandomState::default().hash_one(0), expected));
    let shared = writer.shared.clone();
    (writer, shared)
}

/// The customers, for readers of any thread.
pub struct Customers {
    slots: DashMap<CustomerId, u32, FixedState>,
    seed: u64,
    arena: Arena,
    // The writer counts, so that no reader has to ask 1,024 shards.
    customers: AtomicUsize,
    id_bytes: AtomicUsize,
    free_bytes: AtomicUsize,
}

/// The customers, for the one thread that writes. There is one writer for each store, so writes need no
/// lock among themselves.
pub struct CustomersWriter {
    shared: Arc<Customers>,
    row_words: usize,
    /// The first slot that was never used, and so were none after it.
    opened: u32,
    /// Slots below `opened` that no customer owns.
    free: Vec<u32>,
    /// What a view frozen earlier still needs, while it is held.
    frozen: Option<Weak<Preserved>>,
}

/// The slot in which a customer was found, if they were. It holds until a customer is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KnownSlot(Option<u32>);

/// There is no room for another customer or a longer row: there are [`MAX_CUSTOMERS`], or the system
/// has no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// How many customers the store holds, and how much memory it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// How many customers are known.
    pub customers: usize,
    /// Bytes of the map's tables, of ids too long for them, of rows in pages that were touched, and of
    /// the fixed tables. What the allocator loses between blocks is left out. After many erasures the
    /// map may take a little more.
    pub bytes: usize,
}

impl Customers {
    /// `seed` decides in which shard a customer is. It should be hard to guess from outside.
    fn new(seed: u64, expected: usize) -> Customers {
        // Shards fill unevenly. With three standard deviations more, almost none has to grow.
        let expected = expected.min(MAX_CUSTOMERS);
        let capacity = expected + 3 * (expected * SHARDS).isqrt();
        let hasher = FixedState::with_seed(seed);
        Customers {
            slots: DashMap::with_capacity_and_hasher_and_shard_amount(capacity, hasher, SHARDS),
            seed,
            arena: Arena::new(),
            customers: AtomicUsize::new(0),
            id_bytes: AtomicUsize::new(0),
            free_bytes: AtomicUsize::new(0),
        }
    }

    /// Copies the words of `customer` into `row`, in place of what it held. False if there is no such
    /// customer; `row` is empty then.
    ///
    /// Zero words at the end are left out, so the result depends on what was put and not on how it is
    /// kept.
    pub fn read(&self, customer: &str, row: &mut Row) -> bool {
        let known = self.slots.view(customer, |_, slot| self.arena.read(*slot, row)).is_some();
        if !known {
            row.clear();
        }
        known
    }

    /// Whether there is a customer with this id.
    pub fn contains(&self, customer: &str) -> bool {
        self.slots.contains_key(customer)
    }

    /// How many customers are known.
    pub fn len(&self) -> usize {
        self.customers.load(Ordering::Relaxed)
    }

    /// How many slots were used before and are free now: as many customers may come without new rows.
    pub fn free_slots(&self) -> usize {
        self.arena.slots().saturating_sub(self.len())
    }

    /// Whether no customer is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How much memory the store takes now. Asks every shard for its size, so it is for metrics and not
    /// for every request.
    pub fn memory(&self) -> Memory {
        let tables = map_bytes(self.slots.capacity()) + SHARDS * SHARD_BYTES;
        let counted = [&self.id_bytes, &self.free_bytes].map(|bytes| bytes.load(Ordering::Relaxed));
        Memory { customers: self.len(), bytes: tables + self.arena.bytes() + counted.iter().sum::<usize>() }
    }

    /// Calls `each` with every customer and their words, as [`read`](Customers::read) gives them. There
    /// is no order, and no single point in time: a customer who comes or goes meanwhile may be seen or
    /// not.
    ///
    /// Adding and erasing customers of a shard waits until `each` is done with that shard. So `each`
    /// must be short, and must neither call this store nor wait for its writer.
    pub fn for_each(&self, mut each: impl FnMut(&CustomerId, &[u64])) {
        let mut row = Row::new();
        for entry in &self.slots {
            self.arena.read(*entry.value(), &mut row);
            each(entry.key(), &row);
        }
    }
}

impl Customers {
    /// The ids in one of [`PARTS`] parts, in no order. Who comes or goes meanwhile may be in it or not.
    /// Adding and erasing customers of the part waits while the ids are copied.
    pub fn ids(&self, part: usize) -> Vec<CustomerId> {
        let Some(shard) = self.slots.shards().get(part) else { return Vec::new() };
        let listed = shard.read().clone();
        listed.into_iter().map(|(id, _)| id).collect()
    }
}

impl CustomersWriter {
    fn new(shared: Customers) -> CustomersWriter {
        let shared = Arc::new(shared);
        CustomersWriter { shared, row_words: DEFAULT_ROW_WORDS, opened: 0, free: Vec::new(), frozen: None }
    }

    /// Puts a whole row; words beyond it read as zero, that is missing. A customer who is not known yet
    /// is added.
    ///
    /// # Errors
    /// [`Full`]; nothing was changed then.
    pub fn put(&mut self, customer: &CustomerId, row: &[u64]) -> Result<(), Full> {
        if self.frozen.is_some() {
            self.preserve(customer);
        }
        let row = trimmed(row);
        if let Some(slot) = self.shared.slots.view(customer, |_, slot| *slot) {
            return self.overwrite(slot, row);
        }
        let slot = self.free.last().copied().unwrap_or(self.opened);
        let arena = &self.shared.arena;
        arena.open(slot, row.len().max(self.row_words))?;
        arena.fit(slot, row.len())?;
        arena.write(slot, row);
        if self.free.pop().is_none() {
            self.opened += 1;
        }
        let id = customer.clone();
        self.shared.id_bytes.fetch_add(id.heap_bytes(), Ordering::Relaxed);
        self.shared.slots.insert(id, slot);
        self.shared.customers.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Gets the memory for the rows of up to `added` new customers, so that they can be put later. Memory
    /// that is not used costs nothing but addresses.
    ///
    /// # Errors
    /// [`Full`]; what is there stays.
    pub fn make_room(&self, added: usize) -> Result<(), Full> {
        let new = added.saturating_sub(self.free.len());
        if new == 0 {
            return Ok(());
        }
        let last = self.opened as usize + new - 1;
        let chunks = self.opened as usize / arena::ROWS_PER_CHUNK..=last / arena::ROWS_PER_CHUNK;
        for chunk in chunks {
            let slot = u32::try_from(chunk * arena::ROWS_PER_CHUNK).map_err(|_| Full)?;
            self.shared.arena.reserve(slot, self.row_words)?;
        }
        Ok(())
    }

    /// Looks customers up and brings their rows into the cache before they are changed. First all their
    /// shards are locked: a lock waits for every look into memory before it, so between look-ups it would
    /// make each of them wait. Then all entries come from memory side by side, and then all rows.
    ///
    /// A shard may be locked twice. That is no deadlock: only this writer ever locks one to change it.
    pub fn find_all<'c>(&self, customers: impl Iterator<Item = &'c CustomerId>, found: &mut Vec<KnownSlot>) {
        let map = &self.shared.slots;
        let locked: SmallVec<[_; FOUND_AT_ONCE]> = customers
            .map(|customer| {
                let hash = map.hasher().hash_one(customer);
                (customer, hash, map.shards()[map.determine_shard(hash as usize)].read())
            })
            .collect();
        found.clear();
        found.extend(locked.iter().map(|(customer, hash, shard)| {
            KnownSlot(shard.get(*hash, |(id, _)| id == *customer).map(|(_, slot)| *slot.get()))
        }));
        drop(locked);
        let slots = || found.iter().filter_map(|found| found.0);
        let arena = &self.shared.arena;
        black_box(slots().fold(0, |all, slot| all ^ arena.touch(slot)));
        black_box(slots().fold(0, |all, slot| all ^ arena.touch_further(slot)));
    }

    /// Reads the row of `customer` into `row` (empty if there is no such customer), lets `change`
    /// change it, and puts it if `change` returns true. It looks into the map once, or not at all if
    /// `found` says where the row is.
    ///
    /// # Errors
    /// As [`put`](CustomersWriter::put).
    pub fn change(
        &mut self,
        customer: &CustomerId,
        found: KnownSlot,
        row: &mut Row,
        change: impl FnOnce(&mut Row) -> bool,
    ) -> Result<(), Full> {
        let slot = found.0.or_else(|| self.shared.slots.view(customer, |_, slot| *slot));
        match slot {
            Some(slot) => self.shared.arena.read(slot, row),
            None => row.clear(),
        }
        if !change(row) {
            return Ok(());
        }
        match slot.filter(|_| self.frozen.is_none()) {
            Some(slot) => self.overwrite(slot, row),
            None => self.put(customer, row),
        }
    }

    fn overwrite(&mut self, slot: u32, row: &[u64]) -> Result<(), Full> {
        let row = trimmed(row);
        self.shared.arena.fit(slot, row.len())?;
        self.shared.arena.write(slot, row);
        Ok(())
    }

    /// Calls `change` with every row that has something in its first word, and puts the row if `change`
    /// returns true. That takes about a second for 10 million customers, and more for rows that are
    /// put. Other rows are passed over at the speed of memory.
    ///
    /// # Errors
    /// As [`put`](CustomersWriter::put); the rows before it are changed.
    pub fn change_all_with_header(&mut self, mut change: impl FnMut(&mut Row) -> bool) -> Result<(), Full> {
        let mut any = false;
        self.shared.scan(&[0], 1, |batch| {
            any |=
                batch.column(0).iter().zip(batch.customers()).any(|(word, owned)| *word != 0 && *owned != 0);
            if any { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let (mut row, mut customers) = (Row::new(), Vec::new());
        for shard in 0..if any { SHARDS } else { 0 } {
            customers.clear();
            let shared = self.shared.clone();
            // The guard lives to the end of the statement, so nothing is locked when rows are written.
            customers.extend(shared.slots.shards()[shard].read().clone());
            for (customer, slot) in &customers {
                shared.arena.read(*slot.get(), &mut row);
                if row.first().is_some_and(|header| *header != 0) && change(&mut row) {
                    self.put(customer, &row)?;
                }
            }
        }
        Ok(())
    }

    /// Forgets a customer and zeroes the row. False if there is no such customer.
    pub fn erase(&mut self, customer: &str) -> bool {
        if self.frozen.is_some()
            && let Some(id) = self.shared.slots.view(customer, |id, _| id.clone())
        {
            self.preserve(&id);
        }
        // The entry is removed first. That waits for the readers of the row; only then may another
        // customer have the slot.
        let Some((id, slot)) = self.shared.slots.remove(customer) else { return false };
        self.shared.arena.clear(slot);
        self.free.push(slot);
        self.shared.customers.fetch_sub(1, Ordering::Relaxed);
        self.shared.id_bytes.fetch_sub(id.heap_bytes(), Ordering::Relaxed);
        self.shared.free_bytes.store(self.free.capacity() * size_of::<u32>(), Ordering::Relaxed);
        true
    }

    /// As [`Customers::read`]: the writer reads, changes, and puts.
    pub fn read(&self, customer: &str, row: &mut Row) -> bool {
        self.shared.read(customer, row)
    }

    /// Sets for how many words new rows have room. Rows may still be put longer or shorter. Call it
    /// when the schema grows: a row that outgrows its room goes on elsewhere, and costs one cache line
    /// more to read.
    pub fn set_row_words(&mut self, words: usize) {
        self.row_words = words;
    }

    /// For how many words new rows have room.
    pub fn row_words(&self) -> usize {
        self.row_words
    }

    /// What the writer shares with all readers.
    pub fn shared(&self) -> &Arc<Customers> {
        &self.shared
    }
}

/// A row without the zero words at its end.
fn trimmed(row: &[u64]) -> &[u64] {
    &row[..row.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1)]
}

/// The words as little-endian bytes. Most machines keep them so, and nothing is copied there.
pub(crate) fn bytes_of(row: &[u64]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::Borrowed(bytemuck::cast_slice(row))
    } else {
        Cow::Owned(row.iter().flat_map(|word| word.to_le_bytes()).collect())
    }
}

impl Memory {
    /// Bytes for each customer on average; 0 without customers.
    pub fn bytes_per_customer(&self) -> f64 {
        if self.customers == 0 { 0.0 } else { self.bytes as f64 / self.customers as f64 }
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "there is no room for another customer or a longer row: memory is used up, or {MAX_CUSTOMERS} customers are known"
        )
    }
}

impl std::error::Error for Full {}

/// Bytes of a shard of `DashMap`: its lock and its table's head, padded to two cache lines.
const SHARD_BYTES: usize = 128;

/// Bytes of hash tables with room for `capacity` entries. They keep one bucket in eight free, and one
/// control byte for each bucket.
fn map_bytes(capacity: usize) -> usize {
    let buckets = capacity * 8 / 7;
    buckets * (size_of::<(CustomerId, u32)>() + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicBool, AtomicU64};
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn id(number: impl fmt::Display) -> CustomerId {
        CustomerId::new(&format!("c-{number}")).unwrap()
    }

    fn read(customers: &Customers, customer: &CustomerId) -> Option<Vec<u64>> {
        let mut row = Row::from_slice(&[99]);
        let known = customers.read(customer.as_str(), &mut row);
        assert!(known || row.is_empty(), "a row of an unknown customer is empty");
        known.then(|| row.to_vec())
    }

    #[test]
    fn what_was_put_is_read_without_zeros_at_its_end() {
        let (mut writer, customers) = customers();
        for (put, expected) in [
            (&[1, 2, 3][..], &[1, 2, 3][..]),
            (&[4], &[4]),
            (&[0, 5, 0, 0], &[0, 5]),
            (&[], &[]),
            (&[6; 70], &[6; 70]),
            (&[0; 70], &[]),
        ] {
            writer.put(&id(1), put).unwrap();
            assert_eq!(read(&customers, &id(1)).unwrap(), expected);
        }
        assert_eq!(customers.len(), 1);
        assert_eq!(read(&customers, &id(2)), None);
    }

    #[test]
    fn an_erased_customer_is_gone_and_the_next_one_in_the_slot_starts_empty() {
        let (mut writer, customers) = customers();
        writer.put(&id(1), &[1; 40]).unwrap();
        assert!(writer.erase("c-1"));
        assert!(!writer.erase("c-1"));
        assert!(!customers.contains("c-1") && customers.is_empty());
        writer.put(&id(2), &[2]).unwrap();
        assert_eq!(writer.opened, 1, "the slot is used again");
        assert_eq!(read(&customers, &id(2)).unwrap(), [2]);
    }

    #[test]
    fn a_row_too_long_for_memory_is_refused_and_changes_nothing() {
        let (mut writer, customers) = customers();
        writer.put(&id(1), &[1]).unwrap();
        writer.set_row_words(usize::MAX / 32);
        for number in 2..=1 << 16 {
            writer.put(&id(number), &[1]).unwrap(); // into the chunk that is there
        }
        let before = customers.memory();
        assert_eq!(writer.put(&id("new"), &[1]), Err(Full));
        assert_eq!((writer.make_room(0), writer.make_room(1)), (Ok(()), Err(Full)));
        assert_eq!((customers.memory(), read(&customers, &id("new"))), (before, None));
        assert!(writer.erase("c-7"));
        assert_eq!((writer.make_room(1), writer.make_room(2)), (Ok(()), Err(Full)));
        assert_eq!(writer.put(&id("new"), &[1]), Ok(()), "a freed slot needs no memory");
    }

    #[test]
    fn a_row_is_changed_where_it_is_also_while_it_is_frozen() {
        let (mut writer, customers) = customers();
        let mut row = Row::new();
        let mut change = |writer: &mut CustomersWriter, add: Option<u64>| {
            let change = |row: &mut Row| {
                row.extend(add);
                add.is_some()
            };
            writer.change(&id(1), KnownSlot::default(), &mut row, change).unwrap();
        };
        change(&mut writer, None);
        assert_eq!(read(&customers, &id(1)), None, "nobody was added");
        change(&mut writer, Some(5));
        change(&mut writer, Some(6));
        let mut frozen = writer.freeze().unwrap();
        change(&mut writer, Some(7));
        let mut part = FrozenPart::default();
        assert!(frozen.next_part(&mut part).unwrap());
        assert_eq!(part.iter().next().unwrap().1, [5, 6]);
        assert_eq!(read(&customers, &id(1)).unwrap(), [5, 6, 7]);
    }

    #[test]
    fn rows_with_a_header_are_changed_and_no_others() {
        let (mut writer, customers) = customers();
        (0..3000).for_each(|number| writer.put(&id(number), &[number % 3, number + 1]).unwrap());
        let mut seen = 0;
        let change = |row: &mut Row| {
            seen += 1;
            row.push(9);
            row[0] == 1
        };
        writer.change_all_with_header(change).unwrap();
        assert_eq!(seen, 2000);
        for number in 0..3000 {
            let expected =
                if number % 3 == 1 { vec![1, number + 1, 9] } else { vec![number % 3, number + 1] };
            assert_eq!(read(&customers, &id(number)).unwrap(), expected);
        }
    }

    #[test]
    fn room_made_ahead_is_enough() {
        const EXPECTED: usize = 50_000;
        let (mut writer, customers) = with_room_for(EXPECTED);
        let before = customers.slots.capacity();
        (0..EXPECTED).for_each(|number| writer.put(&id(number), &[1]).unwrap());
        let grown = customers.slots.capacity() - before;
        assert!(grown * 100 <= before, "at most a shard or two had to grow, not {grown} of {before}");
    }

    #[test]
    fn long_ids_and_freed_slots_count_as_memory() {
        let (mut writer, customers) = customers();
        let empty = customers.memory();
        assert_eq!((empty.customers, empty.bytes_per_customer()), (0, 0.0));
        let long = id("x".repeat(40));
        writer.put(&long, &[1]).unwrap();
        let one = customers.memory();
        assert!(one.customers == 1 && one.bytes >= empty.bytes + 40 + 4096);
        writer.erase(long.as_str());
        assert_eq!(customers.id_bytes.load(Ordering::Relaxed), 0);
        assert!(customers.free_bytes.load(Ordering::Relaxed) >= 4);
    }

    /// What a writer may do to the store.
    #[derive(Debug, Clone)]
    enum Step {
        Put(u8, Vec<u64>),
        Erase(u8),
        RowWords(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let word = prop_oneof![Just(0), any::<u64>()];
        let step = prop_oneof![
            6 => (0..20_u8, prop::collection::vec(word, 0..40)).prop_map(|(who, row)| Step::Put(who, row)),
            2 => (0..20_u8).prop_map(Step::Erase),
            1 => (0..40_usize).prop_map(Step::RowWords),
        ];
        prop::collection::vec(step, 0..80)
    }

    /// The same step on a plain map.
    fn model(model: &mut HashMap<String, Vec<u64>>, step: &Step) {
        match step {
            Step::Put(who, row) => {
                let words = row.len() - row.iter().rev().take_while(|word| **word == 0).count();
                model.insert(id(who).to_string(), row[..words].to_vec());
            }
            Step::Erase(who) => drop(model.remove(id(who).as_str())),
            Step::RowWords(_) => {}
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(crate::testing::rounds(32, 128)))]
        #[test]
        fn the_store_does_what_a_plain_map_does(steps in steps()) {
            let (mut writer, customers) = customers();
            let mut expected = HashMap::new();
            for step in &steps {
                let known = expected.len();
                model(&mut expected, step);
                match step {
                    Step::Put(who, row) => writer.put(&id(who), row).unwrap(),
                    Step::Erase(who) => prop_assert_eq!(writer.erase(id(who).as_str()), expected.len() < known),
                    Step::RowWords(words) => writer.set_row_words(*words),
                }
                prop_assert_eq!(customers.len(), expected.len());
            }
            for who in 0..20 {
                prop_assert_eq!(read(&customers, &id(who)), expected.get(id(who).as_str()).cloned());
            }
            let mut all = HashMap::new();
            customers.for_each(|id, row| drop(all.insert(id.to_string(), row.to_vec())));
            prop_assert_eq!(all, expected);
            let mut scanned = 0;
            customers.scan(&[], 1, |batch| {
                scanned += batch.customers().iter().filter(|lane| **lane != 0).count();
                ControlFlow::Continue(())
            });
            prop_assert_eq!(scanned, customers.len());
            prop_assert!(writer.opened <= 20, "slots are used again");
        }
    }

    /// A row that shows whose it is, and whether all of it comes from one write.
    fn pattern(who: u64, version: u64) -> Vec<u64> {
        let length = 3 + version % 30; // longer than the first band, and shorter again
        let mix = |at: u64| (who << 32 ^ version).wrapping_add(at).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        [who, version].into_iter().chain((2..length).map(mix)).collect()
    }

    #[test]
    fn readers_see_whole_rows_of_the_right_customer_while_the_writer_writes() {
        const STAY: u64 = 4; // customers who are overwritten all the time
        const COME_AND_GO: u64 = 16; // customers who are erased and added again, half of them known at any time
        let (mut writer, customers) = customers();
        let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for reader in 0..3 {
                let (customers, stop, reads) = (&customers, &stop, &reads);
                scope.spawn(move || {
                    let ids: Vec<_> = (1..=STAY + COME_AND_GO).map(|who| (who, id(who))).collect();
                    let mut row = Row::new();
                    for (who, id) in ids.iter().cycle().skip(reader) {
                        if customers.read(id.as_str(), &mut row) {
                            assert_eq!(row[..], pattern(*who, row[1]), "customer {who}");
                            reads.fetch_add(1, Ordering::Relaxed);
                        }
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                    }
                });
            }
            let until = Instant::now() + Duration::from_millis(1200);
            for version in 1.. {
                for who in 1..=STAY {
                    writer.put(&id(who), &pattern(who, version)).unwrap();
                }
                let guest = |number: u64| STAY + 1 + number % COME_AND_GO;
                writer.put(&id(guest(version)), &pattern(guest(version), version)).unwrap();
                writer.erase(id(guest(version + COME_AND_GO / 2)).as_str());
                if Instant::now() > until {
                    break;
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert!(reads.load(Ordering::Relaxed) > 1000);
        assert!(u64::from(writer.opened) <= STAY + COME_AND_GO, "slots were used again");
    }
}
