//! The index: which offers of a placement may be shown to a customer, without looking at one after the other.
//!
//! Everything that an offer asks for (`when`, guardrails, schedule) is in [normal form](crate::expression::normalise): a few
//! conjunctions of atoms, an atom being a term with the keys that let it hold. Over all offers, the constants cut the keys of
//! a term into *buckets* within which nothing changes. The conjunctions of a placement stand in rank order, 512 to a block;
//! for a term of a block each bucket leads to a *row*: one bit for each conjunction that the bucket does not rule out. A
//! decision finds the bucket of each term once, and the AND of one row per term leaves what may be shown, best first.
//!
//! Rows are kept for the terms that rule out most; what they leave is checked atom by atom (`build.rs` weighs the two
//! against each other). So thousands of offers that each ask for another segment cost one row and a handful of checks.
//!
//! From the literature: a bitmap per range of values (O'Neil and Quass, *Improved Query Performance with Variant Indexes*,
//! SIGMOD 1997; Chan and Ioannidis, *Bitmap Index Design and Evaluation*, SIGMOD 1998); conjunctions looked up by their
//! predicates, the most selective as the way in (Whang et al., *Indexing Boolean Expressions*, VLDB 2009, the k-index;
//! Sadoghi and Jacobsen, *BE-Tree*, SIGMOD 2011); predicates shared over all expressions and each evaluated once (Ji and
//! Jacobsen, *A-Tree*, Middleware 2021).

mod buckets;
mod build;
mod walk;

use self::buckets::Buckets;
pub(crate) use self::walk::{Known, Lookup};

/// Conjunctions of one block: a row of them is a cache line.
const BLOCK: usize = 512;
/// Words of a row.
const WORDS: usize = BLOCK / 64;

/// Ranges of keys in the atoms of all indices of one engine at most. What offers beyond that ask for is evaluated one by one:
/// right all the same, and slower. A range costs two rows of 64 bytes at most, and a column up to 2 KB of row numbers.
pub(crate) const MAX_ATOMS: usize = 1_000_000;

/// All placements' offers by what they ask for.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// How the keys of each term fall into buckets, by [`TermId`](crate::expression::term::TermId).
    buckets: Vec<Buckets>,
    /// By [`PlacementId`](super::PlacementId).
    placements: Vec<Placed>,
}

/// The offers of one placement.
#[derive(Debug, Default)]
struct Placed {
    blocks: Vec<Block>,
    columns: Vec<Column>,
    /// Of each column: by bucket, or by stretch of buckets, the number of its row.
    row_numbers: Vec<u16>,
    /// Of columns with many buckets: where each stretch of buckets begins that has the same row.
    stretches: Vec<u32>,
    rows: Vec<[u64; WORDS]>,
    /// Terms that have columns.
    terms: Vec<u32>,
    /// In rank order, and one more that only says where the checks end.
    conjunctions: Vec<Placing>,
    checks: Vec<Check>,
    /// Stretches of buckets (first, last) of checks that have several.
    spans: Vec<(u32, u32)>,
}

/// Up to 512 conjunctions that follow each other in rank.
#[derive(Debug)]
struct Block {
    /// Those there are.
    all: [u64; WORDS],
    /// The number of its first conjunction.
    first: u32,
    /// Its columns, most selective first.
    columns: std::ops::Range<u32>,
}

/// Where a conjunction belongs.
#[derive(Debug, Clone, Copy)]
struct Placing {
    /// Its offer's place in the placement's order.
    place: u32,
    /// Where its checks begin; they end where those of the next conjunction begin.
    checks: u32,
}

/// A term in a block: a row for each of its buckets.
#[derive(Debug)]
struct Column {
    /// Which of the placement's terms.
    term: u32,
    /// Where its rows, its row numbers and its stretches begin.
    rows: u32,
    row_numbers: u32,
    stretches: u32,
    /// How many stretches there are; none: every bucket has a row number.
    stretch_count: u32,
}

/// An atom of a conjunction that no column of its block stands for: the term's bucket must be one of these.
#[derive(Debug, Clone, Copy)]
struct Check {
    term: u32,
    /// From `first` to `last`; with `last` below `first` it is the number of spans from `last` on, [`u32::MAX`] less `first`.
    first: u32,
    last: u32,
}

/// What the index consists of, for people who look after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexSize {
    /// Different things that conditions look at.
    pub terms: usize,
    /// Conjunctions, over all placements.
    pub conjunctions: usize,
    /// Bytes.
    pub bytes: usize,
}

impl Index {
    /// What it consists of.
    pub(crate) fn size(&self) -> IndexSize {
        IndexSize {
            terms: self.buckets.len(),
            conjunctions: self.placements.iter().map(|placed| placed.conjunctions.len() - 1).sum(),
            bytes: self.buckets.iter().map(Buckets::bytes).sum::<usize>()
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
            + size_of_val(&*self.conjunctions)
            + size_of_val(&*self.checks)
            + size_of_val(&*self.spans)
    }
}
