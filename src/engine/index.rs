//! The index: finds which offers of a placement may be shown to a customer, without looking at every offer.
//!
//! Everything that an offer asks for (`when`, guardrails, schedule) is in [normal
//! form](crate::expression::normalise): a few conjunctions of atoms. An atom is a term with the keys for
//! which it holds. Over all offers, the constants cut a term's keys into *buckets* within which nothing
//! changes. A placement's conjunctions stand in rank order, 512 to a block. For a term of a block, each
//! bucket leads to a *row*: one bit for each conjunction that the bucket does not rule out. A decision
//! finds each term's bucket once. Then the AND of one row per term leaves what may be shown, best first.
//!
//! Rows are kept for the terms that rule out most. What these leave is checked atom by atom; `build.rs`
//! weighs the costs of both. So thousands of offers that each ask for a different segment cost one row and
//! a handful of checks.
//!
//! The ideas come from the literature. Bitmaps for ranges of values: O'Neil and Quass, *Improved Query
//! Performance with Variant Indexes*, SIGMOD 1997; Chan and Ioannidis, *Bitmap Index Design and
//! Evaluation*, SIGMOD 1998. Conjunctions found by their most selective predicate: Whang et al., *Indexing
//! Boolean Expressions*, VLDB 2009 (the k-index); Sadoghi and Jacobsen, *BE-Tree*, SIGMOD 2011. Predicates
//! shared by all expressions and evaluated once: Ji and Jacobsen, *A-Tree*, Middleware 2021.

mod again;
mod buckets;
mod build;
mod readers;
mod walk;
mod wants;

pub(crate) use self::again::Earlier;
use self::buckets::Buckets;
use self::readers::{Readers, Small, Wide};
pub(crate) use self::walk::{Known, Lookup};

/// Conjunctions in one block: a row of them fills a cache line.
const BLOCK: usize = 512;
/// 64-bit words in one row.
const WORDS: usize = BLOCK / 64;

/// The most ranges of keys in the atoms of one engine's indices. What offers ask for beyond that is
/// evaluated one by one: as right, but slower. A range costs up to two rows of 64 bytes, and a column up to
/// 2 KB of row numbers.
pub(crate) const MAX_ATOMS: usize = 1_000_000;

/// All placements' offers, found by what they ask for.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// How the keys of each term fall into buckets, by [`TermId`](crate::expression::term::TermId).
    buckets: Vec<Buckets>,
    readers: Readers,
    /// One entry per placement, by [`PlacementId`](super::PlacementId).
    placements: Vec<Placed>,
    /// Whether it has all conditions atom by atom.
    is_whole: bool,
}

/// The offers of one placement, as conjunctions in blocks.
#[derive(Debug, Default)]
struct Placed {
    blocks: Vec<Block>,
    columns: Vec<Column>,
    /// The row number for each bucket, or for each stretch of buckets, of each column.
    row_numbers: Vec<u16>,
    /// Where stretches of buckets with the same row begin, for columns with many buckets.
    stretches: Vec<u32>,
    rows: Vec<[u64; WORDS]>,
    /// The terms that have columns in this placement: first those with small readers, then those with wide
    /// ones.
    terms: Vec<u32>,
    small: Vec<Small>,
    wide: Vec<Wide>,
    /// In rank order, and one more that only marks where the checks end.
    conjunctions: Vec<Placing>,
    checks: Vec<AtomCheck>,
    /// Stretches of buckets (first, last), for checks that have several.
    spans: Vec<(u32, u32)>,
}

/// Up to 512 conjunctions that follow each other in rank. Blocks are full, but for the last one, until
/// versions follow each other: what was copied from the one before stays as it is.
#[derive(Debug)]
struct Block {
    /// A set bit for each conjunction that exists.
    all: [u64; WORDS],
    /// The placement's number of its first conjunction.
    first: u32,
    /// Its columns, the most selective first.
    columns: std::ops::Range<u32>,
}

/// The offer that a conjunction belongs to, and its checks.
#[derive(Debug, Clone, Copy)]
struct Placing {
    /// The offer's place in the placement's order.
    place: u32,
    /// Where its checks begin. They end where the next conjunction's begin.
    checks: u32,
}

/// A term in a block: one row for each of its buckets.
#[derive(Debug)]
struct Column {
    /// An index into the placement's terms.
    term: u32,
    /// Where its rows, its row numbers and its stretches begin.
    rows: u32,
    row_numbers: u32,
    stretches: u32,
    /// The number of its stretches; 0 if every bucket has a row number.
    stretch_count: u32,
}

/// An atom of a conjunction that no column of its block stands for. It holds if the term's bucket is one of
/// these.
#[derive(Debug, Clone, Copy)]
struct AtomCheck {
    term: u32,
    /// From `first` to `last`. If `last` is below `first`, there are several spans: they begin at `last`,
    /// and [`u32::MAX`] less `first` is their number.
    first: u32,
    last: u32,
}

/// The size of the index, for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexSize {
    /// Different terms that conditions look at.
    pub terms: usize,
    /// Conjunctions of all placements together.
    pub conjunctions: usize,
    /// Memory that the index takes, in bytes.
    pub bytes: usize,
}

impl Index {
    /// The numbers of all terms that it looks at; some come several times.
    pub(super) fn terms(&self) -> impl Iterator<Item = u32> + '_ {
        let placements = self.placements.iter();
        placements.flat_map(|placed| {
            placed.terms.iter().copied().chain(placed.checks.iter().map(|check| check.term))
        })
    }

    /// Whether a block has room in front of another one, which only copying leaves.
    #[cfg(test)]
    pub(crate) fn has_uneven_blocks(&self) -> bool {
        let blocks = self.placements.iter().flat_map(|placed| placed.blocks.windows(2));
        blocks.into_iter().any(|pair| pair[1].first - pair[0].first < BLOCK as u32)
    }

    /// The size of all its parts.
    pub(crate) fn size(&self) -> IndexSize {
        IndexSize {
            terms: self.buckets.len(),
            conjunctions: self.placements.iter().map(|placed| placed.conjunctions.len() - 1).sum(),
            bytes: self.buckets.iter().map(Buckets::bytes).sum::<usize>()
                + self.readers.bytes()
                + self.placements.iter().map(Placed::bytes).sum::<usize>(),
        }
    }
}

impl Placed {
    fn bytes(&self) -> usize {
        size_of_val(&*self.blocks)
            + size_of_val(&*self.columns)
            + size_of_val(&*self.row_numbers)
            + size_of_val(&*self.stretches)
            + size_of_val(&*self.rows)
            + size_of_val(&*self.terms)
            + size_of_val(&*self.small)
            + size_of_val(&*self.wide)
            + size_of_val(&*self.conjunctions)
            + size_of_val(&*self.checks)
            + size_of_val(&*self.spans)
    }
}
