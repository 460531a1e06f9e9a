//! Going through all customers, some words of each row, as columns.

use std::ops::ControlFlow;

use super::{Customers, MAX_CUSTOMERS};

/// Rows that are handed out together. So many rows of 104 bytes fit the first cache while their words are read one after
/// the other.
pub const BATCH_ROWS: usize = 256;

/// Some words of up to [`BATCH_ROWS`] rows. The words of one row belong together: the row had all of them at one moment.
pub struct Batch {
    pub(super) owned: [u32; BATCH_ROWS],
    pub(super) columns: Vec<[u64; BATCH_ROWS]>,
    /// Of no meaning: what came of looking into memory.
    pub(super) touched: u64,
}

impl Batch {
    fn new(columns: usize) -> Batch {
        Batch { owned: [0; BATCH_ROWS], columns: vec![[0; BATCH_ROWS]; columns], touched: 0 }
    }

    /// All bits set where there is a customer, 0 where there is none.
    pub fn customers(&self) -> &[u32; BATCH_ROWS] {
        &self.owned
    }

    /// The word asked for at this place. Means nothing where there is no customer.
    pub fn column(&self, place: usize) -> &[u64; BATCH_ROWS] {
        &self.columns[place]
    }
}

impl Customers {
    /// Calls `each` with `words` of all customers, of every `nth` batch only, in no order and not as of one point in time:
    /// who comes or goes meanwhile may be seen or not. A row is seen as it was at some moment, its zero words at the end
    /// included. Takes no lock: the writer never waits for it, and `each` may take its time.
    pub fn scan(&self, words: &[usize], nth: usize, mut each: impl FnMut(&Batch) -> ControlFlow<()>) {
        let mut batch = Batch::new(words.len());
        for first in (0..MAX_CUSTOMERS).step_by(BATCH_ROWS * nth.max(1)) {
            if !self.arena.gather(first, words, &mut batch) {
                // Slots are opened in order, so nobody is beyond a batch that was never opened.
                return;
            }
            if each(&batch).is_break() {
                return;
            }
        }
    }

    /// Slots that customers ever were in, at most: what a scan goes through.
    pub(crate) fn slots(&self) -> usize {
        self.arena.slots()
    }
}
