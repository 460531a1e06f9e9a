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

/// Writes the last digits of `number`, up to 16.
#[inline]
pub(super) fn hex(number: u64, digits: &mut [u8]) {
    let all = [eight_digits((number >> 32) as u32), eight_digits(number as u32)];
    digits.copy_from_slice(&all.as_flattened()[16 - digits.len()..]);
}

/// All digits of a number at once: each of its halves of bytes comes to stand in a byte of its own.
fn eight_digits(number: u32) -> [u8; 8] {
    const ONES: u64 = u64::MAX / 255;
    let number = u64::from(number);
    let number = (number << 16 | number) & 0x0000_ffff_0000_ffff;
    let number = (number << 8 | number) & 0x00ff_00ff_00ff_00ff;
    let number = (number << 4 | number) & (ONES * 0xf);
    let is_letter = (number + ONES * 6) >> 4 & ONES; // 10 and more
    (number + ONES * u64::from(b'0') + is_letter * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn digits_are_those_of_the_number() {
        for number in [0, 9, 10, 0xff, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX] {
            let mut digits = [0; 16];
            hex(number, &mut digits);
            assert_eq!(std::str::from_utf8(&digits).unwrap(), format!("{number:016x}"));
            let mut last = [0; 5];
            hex(number, &mut last);
            assert_eq!(last, digits[11..]);
        }
    }

    #[test]
    fn ids_differ_within_and_between_threads() {
        let ids = || (0..100).map(|_| DecisionId::next().digits().to_vec()).collect::<Vec<_>>();
        let mut all: HashSet<Vec<u8>> = ids().into_iter().collect();
        all.extend(std::thread::spawn(ids).join().unwrap());
        assert_eq!(all.len(), 200);
        assert!(all.iter().all(|id| id.len() == DIGITS && id.iter().all(|b| b.is_ascii_hexdigit())));
    }
}
