//! The index of the next version. Mostly a few offers of thousands changed, so blocks of conjunctions that
//! are the same are copied from the index before. Where a changed condition cuts the keys of a term
//! otherwise, the buckets of that term get other numbers in the copies.

use std::collections::HashMap;
use std::ops::Range;

use super::wants::{Wants, shown};
use super::{AtomCheck, BLOCK, Block, Buckets, Column, Index, Placed, Placing};
use crate::engine::{Offer, OfferId, Placement};
use crate::expression::alternatives::Conjunction;
use crate::expression::term::TermId;

/// The engine before, for the index of the next.
pub(crate) struct Earlier<'e> {
    pub(crate) index: &'e Index,
    pub(crate) placements: &'e [Placement],
    pub(crate) offers: &'e [Offer],
    /// For each offer of the next engine: the offer before that asks for the same.
    pub(crate) same: Vec<Option<OfferId>>,
}

/// The blocks of one placement in the index before, and how they find their conjunctions again.
pub(super) struct Known<'e> {
    pub(super) placed: &'e Placed,
    /// For each conjunction of the next index: the number of the same one before, or [`NONE`].
    before: Vec<u32>,
    /// The buckets before, by term.
    buckets: &'e [Buckets],
    /// New numbers of buckets, by term, where they changed.
    moved: &'e HashMap<u32, Moved>,
}

/// No conjunction.
const NONE: u32 = u32::MAX;

/// New numbers of a term's buckets: for each bucket before, the one in which it begins; and how many there
/// are now.
pub(super) struct Moved(Vec<u32>);

/// Some conjunctions of the next index, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// They are this block of the index before.
    Kept(usize, Range<usize>),
    New(Range<usize>),
}

impl Earlier<'_> {
    /// For each of `count` terms, whether other offers look at it than before.
    pub(super) fn touched(
        &self,
        asked: &Wants<'_>,
        placements: &[Placement],
        offers: &[Offer],
        count: usize,
    ) -> Vec<bool> {
        let shown_before = shown(self.placements, self.offers.len());
        let mut gone: Vec<bool> = shown_before.iter().map(|placements| *placements > 0).collect();
        let mut touched: Vec<bool> = (0..count).map(|term| term >= self.index.buckets.len()).collect();
        let mut touch = |offer: &Offer| {
            asked.terms_of(offer).for_each(|term| touched[term.0 as usize] = true);
        };
        let shown_now = shown(placements, offers.len());
        for ((offer, same), _) in offers.iter().zip(&self.same).zip(shown_now).filter(|(_, now)| *now > 0) {
            match same.filter(|before| shown_before[before.0 as usize] > 0) {
                Some(before) => gone[before.0 as usize] = false,
                None => touch(offer),
            }
        }
        self.offers.iter().zip(gone).filter(|(_, gone)| *gone).for_each(|(offer, _)| touch(offer));
        touched
    }

    /// The terms whose buckets have other numbers now.
    pub(super) fn moved(&self, buckets: &[Buckets]) -> HashMap<u32, Moved> {
        let both = (0..).zip(self.index.buckets.iter().zip(buckets));
        let changed = both.filter(|(_, (before, now))| before.cuts() != now.cuts());
        changed.map(|(term, (before, now))| (term, Moved::new(before, now))).collect()
    }

    /// What is known of a placement; `all` are its conjunctions now, each with its place among `offers`.
    pub(super) fn of_placement<'k>(
        &'k self,
        placement: &Placement,
        all: &[(u32, &Conjunction)],
        moved: &'k HashMap<u32, Moved>,
    ) -> Option<Known<'k>> {
        let nth = self.placements.iter().position(|before| before.name == placement.name)?;
        let (before, placed) = (&self.placements[nth], self.index.placements.get(nth)?);
        let mut firsts = vec![NONE; self.offers.len()]; // the first conjunction of each offer
        for (number, placing) in (0..).zip(&placed.conjunctions) {
            if let Some(id) = before.offers.get(placing.place as usize) {
                let first = &mut firsts[id.0 as usize];
                *first = number.min(*first);
            }
        }
        let mut last = None;
        let conjunctions = all.iter().map(|(place, _)| {
            let nth = last.filter(|(last, _)| last == place).map_or(0, |(_, nth)| nth + 1);
            last = Some((*place, nth));
            let same = self.same[placement.offers[*place as usize].0 as usize];
            let first = same.map_or(NONE, |before| firsts[before.0 as usize]);
            if first == NONE { NONE } else { first + nth }
        });
        let before = conjunctions.collect();
        Some(Known { placed, before, buckets: &self.index.buckets, moved })
    }
}

impl Known<'_> {
    /// The pieces that the next index is made of. `None` if they would come to many more blocks than there
    /// must be, which every decision would pay for.
    pub(super) fn pieces(&self) -> Option<Vec<Piece>> {
        let (count, mut pieces) = (self.before.len(), Vec::new());
        let (mut at, mut new) = (0, 0);
        while at < count {
            let Some((block, length)) = self.block_at(at) else {
                at += 1;
                continue;
            };
            pieces.extend(evenly(new..at));
            pieces.push(Piece::Kept(block, at..at + length));
            at += length;
            new = at;
        }
        pieces.extend(evenly(new..count));
        let fewest = count.div_ceil(BLOCK);
        (pieces.len() <= fewest + fewest / 4 + 1).then_some(pieces)
    }

    /// The block before whose conjunctions are those from `at` on, and their number.
    fn block_at(&self, at: usize) -> Option<(usize, usize)> {
        let first = self.before[at];
        let block = self.placed.blocks.binary_search_by_key(&first, |block| block.first).ok()?;
        let length = self.placed.conjunctions_of(block).len();
        let now = self.before.get(at..at + length)?;
        let same = length > 0 && now.iter().zip(first..).all(|(now, before)| *now == before);
        same.then_some((block, length))
    }
}

/// New blocks of about the same size, so that the next offer between them finds room.
fn evenly(range: Range<usize>) -> impl Iterator<Item = Piece> {
    let blocks = range.len().div_ceil(BLOCK);
    let end = move |nth: usize| range.start + range.len() * nth / blocks.max(1);
    (0..blocks).map(move |nth| Piece::New(end(nth)..end(nth + 1)))
}

impl Moved {
    fn new(before: &Buckets, now: &Buckets) -> Moved {
        let begins = |key: u64| now.of(Some(key));
        let firsts = [0, begins(0)].into_iter().chain(before.cuts().iter().map(|cut| begins(*cut)));
        Moved(firsts.chain([now.count() as u32]).collect())
    }

    /// How many buckets there are now.
    fn count(&self) -> usize {
        self.0.last().map_or(0, |count| *count as usize)
    }

    /// The bucket in which a bucket begins.
    fn first(&self, bucket: u32) -> u32 {
        self.0[bucket as usize]
    }

    /// The bucket in which a bucket ends.
    fn last(&self, bucket: u32) -> u32 {
        self.0[bucket as usize + 1] - 1
    }
}

impl Placed {
    /// The numbers of a block's conjunctions.
    fn conjunctions_of(&self, block: usize) -> Range<usize> {
        let all = self.conjunctions.len().saturating_sub(1); // the last one is none
        let end = self.blocks.get(block + 1).map_or(all, |next| next.first as usize);
        self.blocks[block].first as usize..end
    }

    /// Adds a block of the index before, whose conjunctions are these now.
    pub(super) fn copy(
        &mut self,
        known: &Known<'_>,
        block: usize,
        conjunctions: &[(u32, &Conjunction)],
        local: &mut HashMap<TermId, u32>,
    ) {
        let from = known.placed;
        let Block { all, columns, .. } = &from.blocks[block];
        let (first, start) = (self.conjunctions.len() as u32, self.columns.len() as u32);
        let columns = columns.start as usize..columns.end as usize;
        let rows = from.columns.get(columns.start).map_or(0, |column| column.rows);
        let rows_end = from.columns.get(columns.end).map_or(from.rows.len(), |next| next.rows as usize);
        let rows_moved = self.rows.len() as u32;
        if !columns.is_empty() {
            self.rows.extend_from_slice(&from.rows[rows as usize..rows_end]);
        }
        for nth in columns {
            let column = &from.columns[nth];
            let term = from.terms[column.term as usize];
            let next = local.len() as u32;
            let place = *local.entry(TermId(term)).or_insert(next);
            if place as usize == self.terms.len() {
                self.terms.push(term);
            }
            let rows = column.rows - rows + rows_moved;
            match known.moved.get(&term) {
                None => self.copy_column(from, nth, place, rows),
                Some(moved) => {
                    let stretches = from.stretches_of(column, known.buckets[term as usize].count());
                    let stretches: Vec<(u32, u16)> =
                        stretches.into_iter().map(|(first, row)| (moved.first(first), row)).collect();
                    self.add_column(place, rows, moved.count(), &stretches);
                }
            }
        }
        for (before, (place, _)) in from.conjunctions_of(block).zip(conjunctions) {
            self.conjunctions.push(Placing { place: *place, checks: self.checks.len() as u32 });
            let checks = from.conjunctions[before].checks..from.conjunctions[before + 1].checks;
            for check in &from.checks[checks.start as usize..checks.end as usize] {
                self.copy_check(from, check, known.moved.get(&check.term));
            }
        }
        self.blocks.push(Block { all: *all, first, columns: start..self.columns.len() as u32 });
    }

    fn copy_column(&mut self, from: &Placed, nth: usize, term: u32, rows: u32) {
        let (column, next) = (&from.columns[nth], from.columns.get(nth + 1));
        let numbers_end = next.map_or(from.row_numbers.len(), |next| next.row_numbers as usize);
        let stretches = column.stretches as usize..(column.stretches + column.stretch_count) as usize;
        self.columns.push(Column {
            term,
            rows,
            row_numbers: self.row_numbers.len() as u32,
            stretches: self.stretches.len() as u32,
            stretch_count: column.stretch_count,
        });
        self.row_numbers.extend_from_slice(&from.row_numbers[column.row_numbers as usize..numbers_end]);
        self.stretches.extend_from_slice(&from.stretches[stretches]);
    }

    /// Where the stretches of a column begin, each with its row number. `count` is the number of its buckets.
    fn stretches_of(&self, column: &Column, count: usize) -> Vec<(u32, u16)> {
        let from = column.row_numbers as usize;
        if column.stretch_count > 0 {
            let (first, count) = (column.stretches as usize, column.stretch_count as usize);
            let firsts = self.stretches[first..first + count].iter().copied();
            return firsts.zip(self.row_numbers[from..from + count].iter().copied()).collect();
        }
        let mut stretches: Vec<(u32, u16)> = Vec::new();
        for (bucket, row) in (0..).zip(&self.row_numbers[from..from + count]) {
            if stretches.last().is_none_or(|(_, last)| last != row) {
                stretches.push((bucket, *row));
            }
        }
        stretches
    }

    fn copy_check(&mut self, from: &Placed, check: &AtomCheck, moved: Option<&Moved>) {
        let now = |(first, last): (u32, u32)| match moved {
            Some(moved) => (moved.first(first), moved.last(last)),
            None => (first, last),
        };
        let AtomCheck { term, first, last } = *check;
        if first <= last {
            let (first, last) = now((first, last));
            self.checks.push(AtomCheck { term, first, last });
            return;
        }
        let (start, count) = (last as usize, (u32::MAX - first) as usize);
        self.checks.push(AtomCheck { term, first, last: self.spans.len() as u32 });
        self.spans.extend(from.spans[start..start + count].iter().map(|span| now(*span)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of blocks of these lengths, if these conjunctions come now.
    fn pieces(lengths: &[usize], before: Vec<u32>) -> Option<Vec<Piece>> {
        let mut placed = Placed::default();
        let all = lengths.iter().sum::<usize>() as u32;
        for length in lengths {
            let first = placed.conjunctions.len() as u32;
            placed.blocks.push(Block { all: [0; super::super::WORDS], first, columns: 0..0 });
            let placing = |place| Placing { place, checks: 0 };
            placed.conjunctions.extend((first..first + *length as u32).map(placing));
        }
        placed.conjunctions.push(Placing { place: all, checks: 0 });
        let moved = HashMap::new();
        Known { placed: &placed, before, buckets: &[], moved: &moved }.pieces()
    }

    #[test]
    fn blocks_are_kept_around_what_changed() {
        use Piece::{Kept, New};
        let blocks = [512, 512, 512, 512, 100];
        let all = || (0..2_148).collect::<Vec<u32>>();
        let kept = |nth: usize, from: usize| Kept(nth, from..from + blocks[nth]);
        let with = |change: &dyn Fn(&mut Vec<u32>)| {
            let mut all = all();
            change(&mut all);
            all
        };
        let same = (0..5).map(|nth| kept(nth, 512 * nth)).collect();
        for (before, expected) in [
            (all(), same),
            (
                with(&|all| all[600] = NONE),
                vec![kept(0, 0), New(512..1_024), kept(2, 1_024), kept(3, 1_536), kept(4, 2_048)],
            ),
            (
                with(&|all| all.retain(|number| *number != 600)),
                vec![kept(0, 0), New(512..1_023), kept(2, 1_023), kept(3, 1_535), kept(4, 2_047)],
            ),
            (
                with(&|all| all.insert(600, NONE)),
                vec![
                    kept(0, 0),
                    New(512..768),
                    New(768..1_025),
                    kept(2, 1_025),
                    kept(3, 1_537),
                    kept(4, 2_049),
                ],
            ),
            (
                with(&|all| all.swap(5, 2_147)),
                vec![New(0..512), kept(1, 512), kept(2, 1_024), kept(3, 1_536), New(2_048..2_148)],
            ),
        ] {
            assert_eq!(pieces(&blocks, before), Some(expected));
        }
    }

    #[test]
    fn an_index_of_many_small_blocks_is_built_anew() {
        let all = |length: u32| (0..length).collect::<Vec<u32>>();
        assert!(pieces(&[512, 256, 256], all(1_024)).is_some());
        assert_eq!(pieces(&[256; 4], all(1_024)), None);
        assert_eq!(pieces(&[], Vec::new()), Some(Vec::new()));
    }
}
