//! A segment: one file of the journal, named by its first sequence. It begins with a head of 64 bytes.
//! Records follow without a gap.
//!
//! ```text
//! offset  bytes
//!      0  8   magic "USHERJNL"
//!      8  4   version, 1
//!     12  4   zero
//!     16  16  id of the directory
//!     32  8   sequence of the first record
//!     40  8   checksum of the record before it; 0 before the first of all
//!     48  8   zero
//!     56  8   checksum of the 56 bytes above
//! ```

use std::io;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::storage::disk;
use crate::storage::disk::{Disk, File, u32_at, u64_at};
use crate::storage::identity::Identity;

const MAGIC: &[u8; 8] = b"USHERJNL";
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEAD_BYTES: usize = 64;
const SUFFIX: &str = ".journal";

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    /// The sequence of its first record.
    pub(crate) first: u64,
    /// The checksum of the record before that; 0 if there is none.
    pub(crate) previous: u64,
}

/// What is wrong with the head of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadHead {
    /// It is not whole, or was altered.
    Damaged,
    /// It belongs to another data directory.
    Foreign,
    /// A later release wrote it; this is its version.
    Version(u32),
}

/// The file name of the segment that begins with this sequence.
pub(crate) fn name(first: u64) -> String {
    format!("{first:020}{SUFFIX}")
}

/// The sequence in the file name of a segment; `None` if it is another file.
pub(crate) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    digits.parse().ok().filter(|first| (1..u64::MAX).contains(first) && self::name(*first) == name)
}

/// The first sequences of all segments, in order.
pub(crate) fn list(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    let mut all: Vec<u64> = disk.list()?.iter().filter_map(|name| first_of(name)).collect();
    all.sort_unstable();
    Ok(all)
}

/// Makes a segment. It is durable, its name included, before anything is written to it. Without room,
/// descriptors or memory for it nothing is left of it, durably: a segment that came back after a crash
/// would stand in the way of later ones.
pub(crate) fn create(disk: &dyn Disk, identity: &Identity, head: SegmentHead) -> io::Result<Box<dyn File>> {
    let name = name(head.first);
    let file = disk.create(&name)?;
    match disk::write_all_at(&*file, 0, &head.bytes(identity)) {
        Err(e) if disk::is_passing(&e) => {
            drop(file);
            disk.remove(&name).map_err(lasting)?;
            disk.sync().map_err(lasting)?;
            return Err(e);
        }
        written => written?,
    }
    file.sync().map_err(lasting)?;
    disk.sync().map_err(lasting)?;
    Ok(file)
}

/// An error after which nobody knows what the disk has. More room or descriptors do not mend it, whatever
/// the error says.
fn lasting(e: io::Error) -> io::Error {
    io::Error::other(e)
}

impl SegmentHead {
    pub(crate) fn bytes(&self, identity: &Identity) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&identity.id);
        bytes[32..40].copy_from_slice(&self.first.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.previous.to_le_bytes());
        let checksum = xxh3_64_with_seed(&bytes[..56], identity.salt());
        bytes[56..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn read(bytes: &[u8], identity: &Identity) -> Result<SegmentHead, BadHead> {
        let bytes = bytes.first_chunk::<HEAD_BYTES>().ok_or(BadHead::Damaged)?;
        if bytes[..8] != *MAGIC {
            return Err(BadHead::Damaged);
        }
        let id = bytes[16..32].first_chunk::<16>().copied().unwrap_or_default();
        let writer = Identity { id };
        if u64_at(bytes, 56) != xxh3_64_with_seed(&bytes[..56], writer.salt()) {
            return Err(BadHead::Damaged);
        }
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Err(BadHead::Version(version));
        }
        if id != identity.id {
            return Err(BadHead::Foreign);
        }
        Ok(SegmentHead { first: u64_at(bytes, 32), previous: u64_at(bytes, 40) })
    }
}

impl std::fmt::Display for BadHead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BadHead::Damaged => f.write_str("the head of the segment is damaged"),
            BadHead::Foreign => f.write_str("the segment belongs to another data directory"),
            BadHead::Version(version) => write!(
                f,
                "the segment was written by a later release (version {version}, this release knows {VERSION})"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sequences_and_nothing_else() {
        assert_eq!(name(42), "00000000000000000042.journal");
        for (name, first) in [
            ("00000000000000000042.journal", Some(42)),
            ("18446744073709551614.journal", Some(u64::MAX - 1)),
            ("18446744073709551615.journal", None),
            ("00000000000000000000.journal", None),
            ("42.journal", None),
            ("00000000000000000042.journal.cut", None),
            ("+0000000000000000042.journal", None),
            ("mark", None),
        ] {
            assert_eq!(first_of(name), first, "{name}");
        }
    }

    #[test]
    fn every_flipped_bit_of_a_head_is_noticed() {
        let (identity, other) = (Identity { id: [3; 16] }, Identity { id: [4; 16] });
        let head = SegmentHead { first: 42, previous: 7 };
        let mut bytes = head.bytes(&identity);
        assert_eq!(SegmentHead::read(&bytes, &identity), Ok(head));
        assert_eq!(SegmentHead::read(&bytes, &other), Err(BadHead::Foreign));
        assert_eq!(SegmentHead::read(&bytes[..63], &identity), Err(BadHead::Damaged));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHead::read(&bytes, &identity).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
