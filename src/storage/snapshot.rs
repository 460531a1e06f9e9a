//! Snapshots: the whole state in one file, written while writing and deciding go on, and read back
//! fast.
//!
//! # The file
//! Numbers are little-endian. Checksums are XXH3-64, seeded with the salt of the data directory. So
//! neither a file of another directory nor bytes that somebody stored as a value are ever taken for
//! ours.
//!
//! ```text
//! file       preamble, then blocks: head, schema, rule set (one each, by name), catalogue and ledger (as
//!            many pieces as the head says), customers (as many as it takes), end
//! preamble   magic "ushersnp", version 4 bytes, checksum of those 12 bytes, 8 bytes
//! block      kind         4 bytes  "head", "schm", "rule", "ctlg", "ldgr", "cust", "end."
//!            index        4 bytes  0, 1, 2, ...
//!            first slot   4 bytes  customers in the blocks before
//!            count        4 bytes  customers in this block
//!            unpacked     4 bytes  length of the payload unpacked
//!            packed       4 bytes  length of the payload that follows; a zstd frame if shorter than unpacked
//!            checksum     8 bytes  of the payload as it follows
//!            checksum     8 bytes  of the 32 bytes before
//!            payload
//! head, schema, rule set, catalogue, ledger   as the parts of `codec` say
//! customer   id length 1 byte, words 2 bytes, id, the words as they are in memory (row.rs), the last one
//!            not zero
//! end        blocks before, customers, bytes before this block, digest of the state, checksum of the
//!            preamble and of the headers of all blocks before, 8 bytes each
//! ```
//!
//! Every byte is covered. The preamble and each header have a checksum of their own, and each header
//! has that of its payload. The indices and the last checksum cover the order of blocks. Nothing may
//! follow the end.
//!
//! The customers of a block are in few shards of the map, because shards are written one after the
//! other. A start that loads them into a map with the same seed works in few shards too, which fit a
//! cache. So the rows of neighbours lie together.
//!
//! # Versions
//! What a snapshot of version 2 can hold has the same bytes in version 3, and the same digest. Version 3 may
//! hold more. A program that knows version 2 alone refuses version 3 as of a later release; this one reads
//! both.
//!
//! - Rows of version 3 have earlier contacts, and places in budgets of customers. When version 2 is loaded,
//!   places are found as [`State::find_places`](crate::state::State::find_places) says.

mod block;
mod input;
mod load;
#[cfg(test)]
mod tests;
mod worker;
mod write;

pub use self::load::{CheckedSnapshot, LoadError, LoadedSnapshot, load, verify};
pub use self::write::{WriteError, WrittenSnapshot, write};

/// How many snapshots are kept.
pub const KEPT: usize = 2;
/// The version of the format that this program writes.
pub const VERSION: u32 = 3;
/// The oldest version of the format that this program reads.
pub const OLDEST_VERSION: u32 = 2;

const SUFFIX: &str = ".snapshot";
/// How the name of a snapshot ends while it is written.
pub(crate) const UNFINISHED: &str = ".tmp";
const DIGITS: usize = 20;

/// The file name of the snapshot of this sequence. Names sort as sequences do.
pub fn name(sequence: u64) -> String {
    format!("{sequence:0DIGITS$}{SUFFIX}")
}

/// The sequence of the snapshot with this file name; `None` if it is another file.
pub fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let all_digits = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { digits.parse().ok() } else { None }
}
