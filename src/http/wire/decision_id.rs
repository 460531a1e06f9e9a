//! Ids of decisions, made without a lock and without anything shared between threads.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use xxhash_rust::xxh3::xxh3_64;

/// Hexadecimal digits of an id: 128 random bits of the thread, then the thread's count.
const DIGITS: usize = 48;

/// An id that no other decision has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DecisionId([u8; DIGITS]);

thread_local! {
    static PREFIX: [u8; 32] = prefix();
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

impl DecisionId {
    /// The next id of this thread.
    pub(crate) fn next() -> DecisionId {
        let mut id = [0; DIGITS];
        PREFIX.with(|prefix| id[..32].copy_from_slice(prefix));
        let count = COUNT.get();
        COUNT.set(count + 1);
        hex(count, &mut id[32..]);
        DecisionId(id)
    }

    /// Its digits, in ASCII.
    pub(crate) fn digits(&self) -> &[u8] {
        &self.0
    }

    /// The seed of the decision's random choices. With the id, anyone can repeat them.
    pub(crate) fn seed(&self) -> u64 {
        xxh3_64(&self.0)
    }
}

/// 128 random bits. The standard library takes its hash keys from the system's random source.
fn prefix() -> [u8; 32] {
    let mut digits = [0; 32];
    hex(RandomState::new().hash_one("usher"), &mut digits[..16]);
    hex(RandomState::new().hash_one(std::process::id()), &mut digits[16..]);
    digits
}

/// Writes the last digits of `number`.
pub(super) fn hex(number: u64, digits: &mut [u8]) {
    for (i, digit) in digits.iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (4 * i) & 15) as usize];
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_differ_within_and_between_threads() {
        let ids = || (0..100).map(|_| DecisionId::next().digits().to_vec()).collect::<Vec<_>>();
        let mut all: HashSet<Vec<u8>> = ids().into_iter().collect();
        all.extend(std::thread::spawn(ids).join().unwrap());
        assert_eq!(all.len(), 200);
        assert!(all.iter().all(|id| id.len() == DIGITS && id.iter().all(|b| b.is_ascii_hexdigit())));
    }
}
