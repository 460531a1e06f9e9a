//! Memory for rows that grow, taken before what makes them grow is journalled. It matters where addresses are
//! bounded: there memory that nothing touches is not free, and what was journalled must find it.

use std::collections::{BTreeSet, HashMap};

use foldhash::fast::FixedState;

use super::arena::ROWS_PER_CHUNK;
use super::{CustomersWriter, Full};
use crate::customer::id::CustomerId;
use crate::customer::row::MAX_WORDS;

/// How long the rows become of customers whom a batch changes that is not applied yet.
#[derive(Debug, Default)]
pub struct Growth {
    /// By how many words rows grow behind their features, at most.
    further: HashMap<CustomerId, usize, FixedState>,
    /// The chunks that new customers may come into.
    chunks: BTreeSet<usize>,
    /// How many new customers those are enough for.
    added: usize,
    /// For how many words the rows of all these chunks have room.
    fitted: usize,
    /// Whether someone is erased. Whoever comes then may get that slot.
    erases: bool,
}

/// For how many words a row must have room.
#[derive(Debug, Clone, Copy)]
pub struct RowNeed {
    /// At least these, from the first on. Rows that have more have room for them.
    pub words: usize,
    /// By how many it grows then.
    pub further: usize,
}

impl Growth {
    /// By how many words the row of a customer grows, with these more.
    fn of(&mut self, customer: &CustomerId, further: usize) -> usize {
        if further == 0 {
            return 0; // what made it grow before has made room for all its features
        }
        let sum = self.further.entry(customer.clone()).or_default();
        *sum += further;
        *sum
    }

    fn note(&mut self, chunk: usize) {
        if self.chunks.insert(chunk) {
            self.fitted = 0;
        }
    }
}

impl CustomersWriter {
    /// Gets the memory for what the row of a customer needs, after what `growth` has of the same batch. A
    /// customer who is not known is one of up to `added` new ones. `may_take` says whether so many bytes may
    /// be taken from the system.
    ///
    /// # Errors
    /// [`Full`]; what is there stays.
    pub fn make_room_to_grow(
        &self,
        customer: &CustomerId,
        need: RowNeed,
        added: usize,
        growth: &mut Growth,
        may_take: impl Fn(usize) -> bool,
    ) -> Result<(), Full> {
        let arena = &self.shared.arena;
        let further = growth.of(customer, need.further);
        let fit = |slot: u32, length: usize| {
            let words = (length.max(need.words) + further).min(MAX_WORDS);
            let bytes = arena.missing_bytes(slot, words);
            if bytes == 0 {
                return Ok(());
            }
            if may_take(bytes) { arena.fit(slot, words) } else { Err(Full) }
        };
        if let Some(slot) = self.shared.slots.view(customer, |_, slot| *slot) {
            fit(slot, arena.length(slot))?;
            if !growth.erases {
                return Ok(());
            }
        }
        self.find_new(added, growth);
        if growth.fitted < need.words + further {
            growth.chunks.iter().try_for_each(|chunk| fit((chunk * ROWS_PER_CHUNK) as u32, 0))?;
            growth.fitted = need.words + further;
        }
        Ok(())
    }

    /// Notes that a customer is erased: from then on their slot is free.
    pub fn make_room_after(&self, erased: &CustomerId, growth: &mut Growth) {
        if let Some(slot) = self.shared.slots.view(erased, |_, slot| *slot) {
            growth.erases = true;
            growth.note(slot as usize / ROWS_PER_CHUNK);
        }
    }

    /// Finds out where so many new customers come: into the slots that were freed last, then into new ones.
    /// Each of them is looked at once in a batch.
    fn find_new(&self, added: usize, growth: &mut Growth) {
        if added <= growth.added {
            return;
        }
        let free = self.free.iter().rev().take(added).skip(growth.added);
        free.for_each(|slot| growth.note(*slot as usize / ROWS_PER_CHUNK));
        if let Some(new) = added.checked_sub(self.free.len() + 1) {
            let first = self.opened as usize;
            (first / ROWS_PER_CHUNK..=(first + new) / ROWS_PER_CHUNK).for_each(|chunk| growth.note(chunk));
        }
        growth.added = added;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::customers;
    use super::*;
    use crate::state::testing::id;

    const ROW: usize = 300;

    /// Whether there is room, and how many bytes were taken for it, which may be `most` at once.
    fn room(
        writer: &CustomersWriter,
        who: u32,
        need: (usize, usize),
        added: usize,
        growth: &mut Growth,
        most: usize,
    ) -> (bool, usize) {
        let (taken, need) = (Cell::new(0), RowNeed { words: need.0, further: need.1 });
        let may_take = |bytes| {
            taken.set(taken.get() + bytes);
            bytes <= most
        };
        (writer.make_room_to_grow(&id(who), need, added, growth, may_take).is_ok(), taken.get())
    }

    /// Customers 0 to 9 with rows of few words, who may come to have [`ROW`], and 3 and 4 are gone.
    fn narrow() -> CustomersWriter {
        let (mut writer, _) = customers();
        writer.set_row_words(2);
        (0..10).for_each(|who| writer.put(&id(who), &[1, 2]).unwrap());
        writer.set_row_words(ROW);
        assert!(writer.erase(id(3).as_str()) && writer.erase(id(4).as_str()));
        writer
    }

    #[test]
    fn rows_from_before_a_schema_grew_get_room_or_are_refused() {
        let bytes = |words: usize| words * 8 * ROWS_PER_CHUNK;
        for (who, added, need, taken) in [
            (1, 0, (2, 0), 0),
            (1, 0, (ROW, 0), bytes(ROW - 2)),
            (1, 0, (2, 9), bytes(9)),
            (3, 1, (ROW, 0), bytes(ROW - 2)),
            (3, 2, (ROW, 3), bytes(ROW + 1)),
            (77, 3, (0, 3), bytes(6)),
        ] {
            let mut writer = narrow();
            let refused = room(&writer, who, need, added, &mut Growth::default(), 0);
            assert_eq!(refused, (taken == 0, taken), "{who} {need:?}");
            let mut growth = Growth::default();
            assert_eq!(room(&writer, who, need, added, &mut growth, taken), (true, taken), "{who} {need:?}");
            assert_eq!(room(&writer, who, (need.0, 0), added, &mut growth, 0), (true, 0), "{who} {need:?}");
            assert_eq!(writer.shared.arena.missing_bytes(0, need.0 + need.1), 0);
            writer.put(&id(who), &vec![7; need.0 + need.1]).unwrap();
        }
    }

    #[test]
    fn what_grows_twice_in_a_batch_needs_the_sum() {
        let (writer, mut growth) = (narrow(), Growth::default());
        let taken = [1, 1, 1, 3, 3].map(|who| room(&writer, who, (2, 3), 2, &mut growth, usize::MAX).1);
        let word = 8 * ROWS_PER_CHUNK;
        assert_eq!(taken, [6 * word, 0, 6 * word, 0, 0]);
    }

    #[test]
    fn who_is_erased_leaves_a_slot_to_whoever_comes_next() {
        let (mut writer, mut growth) = (narrow(), Growth::default());
        for who in 100..70_000 {
            writer.put(&id(who), &[1]).unwrap(); // the second chunk has room for whole rows
        }
        let last = 69_999;
        assert_eq!(room(&writer, last, (ROW, 0), 0, &mut growth, 0), (true, 0));
        assert_eq!(room(&writer, 70_000, (ROW, 0), 1, &mut growth, 0), (true, 0));
        writer.make_room_after(&id(1), &mut growth);
        writer.make_room_after(&id("nobody"), &mut growth);
        assert!(!room(&writer, 70_000, (ROW, 0), 1, &mut growth, 0).0);
        assert!(!room(&writer, last, (ROW, 0), 1, &mut growth, 0).0, "who was erased comes anew");
        assert!(room(&writer, 70_000, (ROW, 0), 1, &mut growth, usize::MAX).0);
        assert_eq!(room(&writer, last, (ROW, 0), 1, &mut growth, 0), (true, 0));
    }

    #[test]
    fn slots_are_looked_at_once_in_a_batch_however_many_customers_come() {
        const MANY: u32 = 60_000;
        let (mut writer, mut growth) = (narrow(), Growth::default());
        (100..100 + MANY).for_each(|who| writer.put(&id(who), &[1]).unwrap());
        (100..100 + MANY).for_each(|who| assert!(writer.erase(id(who).as_str())));
        for who in 100..100 + MANY {
            assert!(room(&writer, who, (2, 7 + who as usize % 9), MANY as usize, &mut growth, usize::MAX).0);
        }
        assert_eq!((growth.added, growth.chunks.len()), (MANY as usize, 1));
    }
}
