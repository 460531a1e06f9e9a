//! A test of one stored feature on whole columns of words: loops without branches, which the compiler turns
//! into vector instructions.

use crate::expression::keys::Keys;
use crate::expression::term::Order;
use crate::schema::Field;
use crate::state::store::{BATCH_ROWS, Batch};

/// One lane for each row of a batch: all bits set if the customer passes, else 0.
pub(super) type Rows = [u32; BATCH_ROWS];

/// The most ranges that whole columns are compared with. With more, every row that is left is looked up.
const MAX_COMPARED: usize = 8;

/// The test that the bits of a feature must pass.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Filter {
    /// The index of the feature's word among the batch's columns.
    column: usize,
    shift: u8,
    /// The bits of the code that matter, and those of them that are inverted.
    mask: u64,
    flip: u64,
    /// First and last allowed value of these bits, in order.
    ranges: Vec<(u64, u64)>,
}

impl Filter {
    /// Passes customers whose feature has one of these codes.
    pub(super) fn codes(column: usize, field: Field, codes: &Keys) -> Filter {
        let (_, shift, bits) = field.place();
        Filter { column, shift, mask: 0, flip: 0, ranges: Vec::new() }
            .looking_at(u64::MAX >> (64 - bits), codes)
    }

    /// Passes customers whose feature has one of these keys.
    pub(super) fn feature(column: usize, field: Field, order: Order, keys: &Keys) -> Filter {
        let (flip, codes) = order.stored(keys);
        Filter { flip, ..Filter::codes(column, field, &codes) }
    }

    /// Passes customers whose set has (key 1) or lacks (key 0) one of these words.
    pub(super) fn bits(column: usize, field: Field, words: u64, keys: &Keys) -> Filter {
        // The lowest bit of a set is 1 unless the set is missing. So 0 means missing and 1 means none of
        // the words.
        let cases = [(None, (0, 0)), (Some(0), (1, 1)), (Some(1), (2, u64::MAX))];
        let found = cases.into_iter().filter(|(key, _)| keys.contains(*key)).map(|(_, codes)| codes);
        Filter::codes(column, field, &Keys::nothing()).looking_at(words << 1 | 1, &Keys::of(found))
    }

    fn looking_at(self, mask: u64, codes: &Keys) -> Filter {
        let within = codes.ranges().iter().filter(|(first, _)| *first <= mask);
        Filter { mask, ranges: within.map(|(first, last)| (*first, *last.min(&mask))).collect(), ..self }
    }

    /// The share of all codes that passes: the filter with the smallest share should come first.
    pub(super) fn share(&self) -> f64 {
        let passing = self.ranges.iter().map(|(first, last)| (last - first) as f64 + 1.0);
        passing.sum::<f64>() / (self.mask as f64 + 1.0)
    }

    /// Removes from `rows` the customers who do not pass.
    pub(super) fn narrow(&self, batch: &Batch, rows: &mut Rows) {
        let column = batch.column(self.column);
        let Filter { shift, mask, flip, .. } = *self;
        if self.ranges.len() > MAX_COMPARED {
            return self.look_up(column, rows);
        }
        match u32::try_from(mask) {
            // Half as wide, so twice as many at once.
            Ok(mask) => self.compare(column, rows, |word, first, span| {
                (((word >> shift) as u32 & mask) ^ flip as u32).wrapping_sub(first as u32) <= span as u32
            }),
            Err(_) => self.compare(column, rows, |word, first, span| {
                (((word >> shift) & mask) ^ flip).wrapping_sub(first) <= span
            }),
        }
    }

    #[inline]
    fn compare(&self, column: &[u64; BATCH_ROWS], rows: &mut Rows, is: impl Fn(u64, u64, u64) -> bool) {
        if let [(first, last)] = self.ranges[..] {
            for (row, word) in rows.iter_mut().zip(column) {
                *row &= lane(is(*word, first, last - first));
            }
            return;
        }
        let mut found = [0; BATCH_ROWS];
        for (first, last) in &self.ranges {
            for (found, word) in found.iter_mut().zip(column) {
                *found |= lane(is(*word, *first, last - first));
            }
        }
        rows.iter_mut().zip(found).for_each(|(row, found)| *row &= found);
    }

    fn look_up(&self, column: &[u64; BATCH_ROWS], rows: &mut Rows) {
        for (row, word) in rows.iter_mut().zip(column).filter(|(row, _)| **row != 0) {
            let code = (word >> self.shift & self.mask) ^ self.flip;
            let after = self.ranges.partition_point(|(first, _)| *first <= code);
            *row = lane(after > 0 && code <= self.ranges[after - 1].1);
        }
    }
}

#[inline]
fn lane(is: bool) -> u32 {
    if is { u32::MAX } else { 0 }
}
