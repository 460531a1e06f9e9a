//! Scanning all customers: some words of each row, as columns.

use std::ops::ControlFlow;

use super::{Customers, MAX_CUSTOMERS};

/// How many rows are handed out together. This many rows of 104 bytes fit the first-level cache while
/// their words are read one after the other.
pub const BATCH_ROWS: usize = 256;

/// Some words of up to [`BATCH_ROWS`] rows. The words of one row belong together: the row had all of
/// them at one moment.
pub struct Batch {
    pub(super) owned: [u32; BATCH_ROWS],
    pub(super) columns: Vec<[u64; BATCH_ROWS]>,
    /// Has no meaning: what looking into memory came to, so that it is not optimised away.
    pub(super) touched: u64,
}

impl Batch {
    fn new(columns: usize) -> Batch {
        Batch { owned: [0; BATCH_ROWS], columns: vec![[0; BATCH_ROWS]; columns], touched: 0 }
    }

    /// For each row: all bits set if it has a customer, else 0.
    pub fn customers(&self) -> &[u32; BATCH_ROWS] {
        &self.owned
    }

    /// The word asked for at this place, of each row. It means nothing where there is no customer.
    pub fn column(&self, place: usize) -> &[u64; BATCH_ROWS] {
        &self.columns[place]
    }
}

impl Customers {
    /// Calls `each` with `words` of all customers, of every `nth` batch only. There is no order, and no
    /// single point in time: a customer who comes or goes meanwhile may be seen or not. Each row is
    /// seen as it was at some moment, with the zero words at its end.
    ///
    /// It takes no lock: the writer never waits for it, and `each` may take its time.
    pub fn scan(&self, words: &[usize], nth: usize, mut each: impl FnMut(&Batch) -> ControlFlow<()>) {
        let mut batch = Batch::new(words.len());
        for first in (0..MAX_CUSTOMERS).step_by(BATCH_ROWS * nth.max(1)) {
            if !self.arena.gather(first, words, &mut batch) {
                // Slots are opened in order, so there are no customers after a batch that was never
                // opened.
                return;
            }
            if each(&batch).is_break() {
                return;
            }
        }
    }

    /// How many slots customers were ever in: what a scan reads.
    pub(crate) fn slots(&self) -> usize {
        self.arena.slots()
    }
}
