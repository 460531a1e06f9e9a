//! Snapshots: the whole state in one file, written while writing and deciding go on, and read back fast.
//!
//! # The file
//! Numbers are little-endian. Checksums are XXH3-64, seeded with the salt of the data directory, so that no file of
//! another directory, and no bytes that somebody had stored as a value, are ever taken for ours.
//!
//! ```text
//! file       preamble, blocks: head, schema, rule set (one each, by name), catalogue and ledger (as many pieces as the
//!            head says), customers (as many as it takes), end
//! preamble   magic "ushersnp", version 4 bytes, checksum of those 12 bytes, 8 bytes
//! block      kind         4 bytes  "head", "schm", "rule", "ctlg", "ldgr", "cust", "end."
//!            index        4 bytes  0, 1, 2, ...
//!            first slot   4 bytes  customers in the blocks before
//!            count        4 bytes  customers in this block
//!            unpacked     4 bytes  length of the payload unpacked
//!            packed       4 bytes  length of the payload that follows; if shorter than unpacked, it is a zstd frame
//!            checksum     8 bytes  of the payload as it follows
//!            checksum     8 bytes  of the 32 bytes before
//!            payload
//! head, schema, rule set, catalogue, ledger   as codec.rs says
//! customer   id length 1 byte, words 2 bytes, id, the words as they are in memory (row.rs), the last one not zero
//! end        blocks before, customers, bytes before this block, digest of the state, checksum of the preamble and of the
//!            headers of all blocks before, 8 bytes each
//! ```
//!
//! Every byte is covered: the preamble and each header by its own checksum, each payload by its header, the order of
//! blocks by their indices and the last checksum, and nothing may follow the end.
//!
//! The customers of a block are of few shards of the map, because shards are written one after the other. Whoever loads
//! them into a map with the same seed works in few shards too, which fit a cache, and the rows of neighbours lie
//! together.

mod block;
mod load;
#[cfg(test)]
mod tests;
mod write;

pub use self::load::{Checked, LoadError, Loaded, load, verify};
pub use self::write::{WriteError, Written, write};

/// Snapshots that stay.
pub const KEPT: usize = 2;
/// The version of the format that this program writes; it reads no other.
pub const VERSION: u32 = 2;

const SUFFIX: &str = ".snapshot";
/// What a snapshot's name ends in while it is written.
pub(crate) const UNFINISHED: &str = ".tmp";
const DIGITS: usize = 20;

/// What a snapshot is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotHead {
    /// The sequence of the last record in it.
    pub sequence: u64,
    /// The checksum of the journal's record of that sequence, which tells one journal from another.
    pub chain: u64,
    /// The sequence of the last record that erased somebody; 0 for none.
    pub erased: u64,
    /// Customers in it.
    pub customers: u64,
    /// When it was taken, in seconds since 1970.
    pub taken_at_s: u64,
    /// What decides in which shard of the map a customer is.
    pub seed: u64,
    /// Rule sets in it, retired ones included.
    pub rule_sets: u32,
    /// Blocks of the catalogue.
    pub catalogue_blocks: u32,
    /// Blocks of the ledger; the last one has its totals.
    pub ledger_blocks: u32,
}

/// The file name of the snapshot of this sequence: names sort as sequences do.
pub fn name(sequence: u64) -> String {
    format!("{sequence:0DIGITS$}{SUFFIX}")
}

/// The sequence of the snapshot of this file name; `None` if it is none.
pub fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let all_digits = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { digits.parse().ok() } else { None }
}
