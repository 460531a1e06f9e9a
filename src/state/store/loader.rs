//! Filling an empty store from several threads.

use std::fmt;
use std::sync::atomic::Ordering;

use super::{Customers, CustomersWriter, Full, MAX_CUSTOMERS, trimmed};
use crate::customer::id::CustomerId;

/// Puts customers into slots that the caller counts out: each of `0..customers` once, in any order and
/// from any thread. It is fast where customers in neighbouring slots are in few shards, as a frozen
/// store gives them.
pub struct Loader {
    shared: Customers,
    row_words: usize,
    customers: usize,
}

/// Why a customer cannot be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoaderError {
    /// There is no memory for the customer.
    Full(Full),
    /// The id was loaded before.
    Twice,
    /// The slot is not among those announced, or fewer customers came.
    Count,
}

impl Loader {
    /// A loader for `customers` customers, whose rows have room for `row_words` words. The map has room
    /// for `room_for` of them at once. Where the number of customers comes from outside, that bounds
    /// what is allocated.
    ///
    /// # Errors
    /// [`LoaderError::Full`] for more than [`MAX_CUSTOMERS`].
    pub fn new(
        seed: u64,
        customers: usize,
        room_for: usize,
        row_words: usize,
    ) -> Result<Loader, LoaderError> {
        if customers > MAX_CUSTOMERS {
            return Err(LoaderError::Full(Full));
        }
        Ok(Loader { shared: Customers::new(seed, customers.min(room_for)), row_words, customers })
    }

    /// Puts a customer into their slot.
    ///
    /// # Errors
    /// [`LoaderError`]; the store is of no use then.
    pub fn put(&self, slot: u32, customer: CustomerId, row: &[u64]) -> Result<(), LoaderError> {
        if slot as usize >= self.customers {
            return Err(LoaderError::Count);
        }
        let row = trimmed(row);
        self.shared.arena.place(slot, row.len().max(self.row_words), row).map_err(LoaderError::Full)?;
        let heap = customer.heap_bytes();
        if heap > 0 {
            self.shared.id_bytes.fetch_add(heap, Ordering::Relaxed);
        }
        match self.shared.slots.insert(customer, slot) {
            None => Ok(()),
            Some(_) => Err(LoaderError::Twice),
        }
    }

    /// The store with all customers in it.
    ///
    /// # Errors
    /// [`LoaderError::Count`] if some are missing.
    pub fn finish(self) -> Result<CustomersWriter, LoaderError> {
        if self.shared.slots.len() != self.customers {
            return Err(LoaderError::Count);
        }
        self.shared.arena.opened(self.customers);
        self.shared.customers.store(self.customers, Ordering::Relaxed);
        let mut writer = CustomersWriter::new(self.shared);
        writer.opened = self.customers as u32; // at most MAX_CUSTOMERS
        writer.row_words = self.row_words;
        Ok(writer)
    }
}

impl fmt::Display for LoaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoaderError::Full(full) => full.fmt(f),
            LoaderError::Twice => f.write_str("a customer occurs twice"),
            LoaderError::Count => f.write_str("there are more or fewer customers than announced"),
        }
    }
}

impl std::error::Error for LoaderError {}

#[cfg(test)]
mod tests {
    use super::super::CustomersWriter;
    use super::*;
    use crate::customer::row::Row;

    fn id(number: usize) -> CustomerId {
        CustomerId::new(&format!("c-{number:0width$}", width = number % 40)).unwrap()
    }

    /// Rows of many lengths, so that threads lengthen the same chunk at once.
    fn row(number: usize) -> Vec<u64> {
        vec![number as u64 + 1; number % 50]
    }

    #[test]
    fn threads_fill_a_store_as_a_writer_would() {
        const CUSTOMERS: usize = 70_000; // more than one chunk
        let loader = Loader::new(7, CUSTOMERS, CUSTOMERS, 12).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let loader = &loader;
                scope.spawn(move || {
                    for number in (thread..CUSTOMERS).step_by(3) {
                        loader.put(number as u32, id(number), &row(number)).unwrap();
                    }
                });
            }
        });
        let mut writer = loader.finish().unwrap();
        let mut plain = CustomersWriter::new(Customers::new(7, CUSTOMERS));
        (0..CUSTOMERS).for_each(|number| plain.put(&id(number), &row(number)).unwrap());
        let count = |writer: &CustomersWriter| {
            (writer.shared.len(), writer.shared.id_bytes.load(Ordering::Relaxed), writer.opened)
        };
        assert_eq!(count(&writer), count(&plain));
        let mut found = Row::new();
        for number in 0..CUSTOMERS {
            assert!(writer.read(id(number).as_str(), &mut found));
            assert_eq!(found[..], row(number));
        }
        let mut scanned = 0;
        writer.shared.scan(&[0], 1, |batch| {
            scanned += batch.customers().iter().filter(|lane| **lane != 0).count();
            std::ops::ControlFlow::Continue(())
        });
        assert_eq!(scanned, CUSTOMERS, "customers without features are customers too");
        let before = writer.shared.memory();
        writer.erase(id(5).as_str());
        writer.put(&CustomerId::new("new").unwrap(), &[1]).unwrap();
        assert_eq!((writer.opened as usize, writer.shared.memory().customers), (CUSTOMERS, before.customers));
    }

    #[test]
    fn what_is_loaded_must_be_what_was_announced() {
        let loader = Loader::new(7, 3, 0, 1).unwrap();
        assert_eq!(loader.put(0, id(0), &[1]), Ok(()));
        assert_eq!(loader.put(3, id(3), &[1]), Err(LoaderError::Count));
        assert_eq!(loader.put(1, id(0), &[1]), Err(LoaderError::Twice));
        assert_eq!(loader.put(2, id(2), &[1; 70]), Ok(()));
        assert_eq!(loader.finish().map(drop), Err(LoaderError::Count));
        assert!(matches!(Loader::new(7, MAX_CUSTOMERS + 1, 0, 1), Err(LoaderError::Full(Full))));
        let loader = Loader::new(7, 1, 0, usize::MAX / 32).unwrap();
        assert_eq!(loader.put(0, id(0), &[1]), Err(LoaderError::Full(Full)));
    }
}
