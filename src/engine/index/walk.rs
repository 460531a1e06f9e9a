//! Walking the index: from one customer's and request's buckets to the offers that they leave, best first.

use std::ops::ControlFlow;

use super::readers::Tables;
use super::{AtomCheck, BLOCK, Column, Index, Placed, Placing, WORDS};
use crate::engine::PlacementId;
use crate::expression::Facts;
use crate::expression::term::{TermId, Terms};

/// The buckets of one decision, each found when first asked for. The next decision uses the memory again
/// and allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// For each term: the decision for which it was found, and its bucket.
    found: Vec<(u32, u32)>,
    decision: u32,
    /// For the placement being walked: the bucket of each term that has columns.
    columns: Vec<u32>,
}

/// What a decision looks terms up with.
pub(crate) struct Lookup<'k, 'f, F> {
    index: &'f Index,
    terms: &'f Terms,
    row: &'k [u64],
    facts: F,
    known: &'k mut Known,
}

impl Known {
    /// Forgets what the last decision found.
    fn begin(&mut self, terms: usize) {
        if self.found.len() < terms {
            self.found.resize(terms, (0, 0));
        }
        self.decision = self.decision.wrapping_add(1);
        if self.decision == 0 {
            self.found.fill((0, 0)); // the count has wrapped: no old entry may look new
            self.decision = 1;
        }
    }
}

impl Index {
    /// Looks terms up for one customer and request. `facts` gives what the conditions of a rule set see.
    pub(crate) fn lookup<'k, 'f, F: Fn(usize) -> Facts<'f>>(
        &'f self,
        terms: &'f Terms,
        row: &'k [u64],
        facts: F,
        known: &'k mut Known,
    ) -> Lookup<'k, 'f, F> {
        known.begin(self.buckets.len());
        Lookup { index: self, terms, row, facts, known }
    }
}

impl<'f, F: Fn(usize) -> Facts<'f>> Lookup<'_, 'f, F> {
    /// Calls `found` with each offer of the placement that may be shown, as its place in the placement's
    /// order, rising, until `found` has enough. If `overdue` ends the walk early, returns how many offers
    /// were looked at.
    pub(crate) fn walk(
        &mut self,
        placement: PlacementId,
        overdue: impl Fn() -> bool,
        found: impl FnMut(u32) -> ControlFlow<()>,
    ) -> Option<usize> {
        let placed = &self.index.placements[placement.0 as usize];
        let buckets = self.buckets(placed);
        let found = self.through_blocks(placed, &buckets, overdue, found);
        self.known.columns = buckets;
        found
    }

    /// The bucket of each term that has columns, all found in one go, because nearly every block needs
    /// nearly all of them.
    fn buckets(&mut self, placed: &Placed) -> Vec<u32> {
        let mut buckets = std::mem::take(&mut self.known.columns);
        buckets.clear();
        let Placed { terms, small, wide, .. } = placed;
        let (Tables { small: codes, cells }, row) = (self.index.readers.tables(), self.row);
        let (codes, cells) = (&codes[..], &cells[..]);
        buckets.extend(small.iter().map(|small| small.bucket(row, codes)));
        let terms = &terms[small.len()..];
        buckets.extend(
            wide.iter()
                .zip(terms)
                .map(|(wide, term)| wide.bucket(row, cells).unwrap_or_else(|| self.bucket(*term))),
        );
        buckets.extend(terms[wide.len()..].iter().map(|term| self.bucket(*term)));
        buckets
    }

    #[inline]
    fn through_blocks(
        &mut self,
        placed: &Placed,
        buckets: &[u32],
        overdue: impl Fn() -> bool,
        mut found: impl FnMut(u32) -> ControlFlow<()>,
    ) -> Option<usize> {
        let mut previous = None;
        for block in &placed.blocks {
            if overdue() {
                let place = placed.conjunctions[block.first as usize].place;
                // An offer whose alternatives straddle two blocks may have been found already.
                return Some(place as usize + usize::from(previous == Some(place)));
            }
            let mut left = block.all;
            for column in &placed.columns[block.columns.start as usize..block.columns.end as usize] {
                let row = placed.row(column, buckets[column.term as usize]);
                for (left, row) in left.iter_mut().zip(row) {
                    *left &= row;
                }
            }
            for (word, mut bits) in left.into_iter().enumerate() {
                while bits != 0 {
                    let conjunction = block.first as usize + word * 64 + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    let Placing { place, checks } = placed.conjunctions[conjunction];
                    let end = placed.conjunctions[conjunction + 1].checks;
                    // Several alternatives of one offer may hold; they stand next to each other.
                    if previous == Some(place)
                        || !self.passes(placed, &placed.checks[checks as usize..end as usize])
                    {
                        continue;
                    }
                    previous = Some(place);
                    if found(place).is_break() {
                        return None;
                    }
                }
            }
        }
        None
    }

    #[inline]
    fn passes(&mut self, placed: &Placed, checks: &[AtomCheck]) -> bool {
        checks.iter().all(|check| placed.has(check, self.bucket(check.term)))
    }

    #[inline]
    fn bucket(&mut self, term: u32) -> u32 {
        let (decision, bucket) = self.known.found[term as usize];
        if decision == self.known.decision { bucket } else { self.find(term) }
    }

    #[inline]
    fn find(&mut self, term: u32) -> u32 {
        let buckets = &self.index.buckets[term as usize];
        let bucket = buckets.of_row(self.row).unwrap_or_else(|| self.evaluate(term));
        self.known.found[term as usize] = (self.known.decision, bucket);
        bucket
    }

    #[cold]
    fn evaluate(&self, term: u32) -> u32 {
        let key = self.terms.get(TermId(term)).key(&self.facts, self.row);
        self.index.buckets[term as usize].of(key)
    }
}

impl Placed {
    #[inline]
    fn row(&self, column: &Column, bucket: u32) -> &[u64; WORDS] {
        const { assert!(BLOCK == WORDS * 64) };
        let nth = if column.stretch_count == 0 {
            bucket
        } else {
            let from = column.stretches as usize;
            let stretches = &self.stretches[from..from + column.stretch_count as usize];
            stretches.partition_point(|first| *first <= bucket) as u32 - 1 // the first begins at bucket 0
        };
        let number = self.row_numbers[(column.row_numbers + nth) as usize];
        &self.rows[column.rows as usize + usize::from(number)]
    }

    #[inline]
    fn has(&self, check: &AtomCheck, bucket: u32) -> bool {
        if check.first <= check.last {
            return (check.first..=check.last).contains(&bucket);
        }
        let (from, count) = (check.last as usize, (u32::MAX - check.first) as usize);
        let spans = &self.spans[from..from + count];
        let after = spans.partition_point(|(first, _)| *first <= bucket);
        after > 0 && bucket <= spans[after - 1].1
    }
}
