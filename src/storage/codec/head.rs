//! The head of a snapshot, and its bytes.
//!
//! ```text
//! head         sequence, chain, erased, customers, taken at, seed, rule sets, blocks of the catalogue,
//!              blocks of the ledger
//! ```

use bincode::de::{BorrowDecode, BorrowDecoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError as Wrong, EncodeError as Failed};

use super::bytes::{Decoded, Stored};

/// What a snapshot is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotHead {
    /// The sequence of the last record in it.
    pub sequence: u64,
    /// The checksum of the journal's record of that sequence, which tells one journal from another.
    pub chain: u64,
    /// The sequence of the last record that erased a customer; 0 for none.
    pub erased: u64,
    /// How many customers are in it.
    pub customers: u64,
    /// When it was taken, in seconds since 1970.
    pub taken_at_s: u64,
    /// Decides in which shard of the map a customer is.
    pub seed: u64,
    /// How many rule sets are in it, retired ones included.
    pub rule_sets: u32,
    /// How many blocks the catalogue takes.
    pub catalogue_blocks: u32,
    /// How many blocks the ledger takes; the last one has its totals.
    pub ledger_blocks: u32,
}

impl Encode for Stored<'_, SnapshotHead> {
    fn encode<E: Encoder>(&self, out: &mut E) -> Result<(), Failed> {
        let SnapshotHead {
            sequence,
            chain,
            erased,
            customers,
            taken_at_s,
            seed,
            rule_sets,
            catalogue_blocks,
            ledger_blocks,
        } = *self.0;
        (sequence, chain, erased, customers, taken_at_s, seed).encode(out)?;
        (rule_sets, catalogue_blocks, ledger_blocks).encode(out)
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<SnapshotHead> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (sequence, chain, erased, customers, taken_at_s, seed) = BorrowDecode::borrow_decode(input)?;
        let (rule_sets, catalogue_blocks, ledger_blocks) = BorrowDecode::borrow_decode(input)?;
        Ok(Decoded(SnapshotHead {
            sequence,
            chain,
            erased,
            customers,
            taken_at_s,
            seed,
            rule_sets,
            catalogue_blocks,
            ledger_blocks,
        }))
    }
}
