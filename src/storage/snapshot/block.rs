//! Blocks: what a snapshot's file is made of. The layout is in the head of [`snapshot`](super).

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::VERSION;
use crate::customer::id::MAX_ID_BYTES;
use crate::customer::row::MAX_WORDS;
use crate::storage::codec::{MAX_PIECE_BYTES, MAX_STORED_DEFINITION_BYTES};

pub(super) const PREAMBLE_BYTES: usize = 20;
pub(super) const HEADER_BYTES: usize = 40;
pub(super) const END_BYTES: usize = 40;

/// With this many bytes of customers, a block ends at the end of a shard.
pub(super) const ENOUGH_BYTES: usize = 1 << 19;
/// The most bytes of customers in a block.
pub(super) const MAX_CUSTOMERS_BYTES: usize = 1 << 21;
/// The most bytes of one customer.
pub(super) const MAX_CUSTOMER_BYTES: usize = 1 + 2 + MAX_ID_BYTES + 8 * MAX_WORDS;

const MAGIC: &[u8; 8] = b"ushersnp";

/// What sort of payload a block has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockKind {
    Head,
    Schema,
    RuleSet,
    Catalogue,
    Ledger,
    Customers,
    End,
}

/// The header of a block, without its own checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) kind: BlockKind,
    pub(super) index: u32,
    pub(super) first: u32,
    pub(super) count: u32,
    pub(super) unpacked: u32,
    pub(super) packed: u32,
    pub(super) checksum: u64,
}

impl BlockKind {
    pub(super) const ALL: [BlockKind; 7] = [
        BlockKind::Head,
        BlockKind::Schema,
        BlockKind::RuleSet,
        BlockKind::Catalogue,
        BlockKind::Ledger,
        BlockKind::Customers,
        BlockKind::End,
    ];

    fn tag(self) -> &'static [u8; 4] {
        match self {
            BlockKind::Head => b"head",
            BlockKind::Schema => b"schm",
            BlockKind::RuleSet => b"rule",
            BlockKind::Catalogue => b"ctlg",
            BlockKind::Ledger => b"ldgr",
            BlockKind::Customers => b"cust",
            BlockKind::End => b"end.",
        }
    }

    /// The name of this kind in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            BlockKind::Head => "head",
            BlockKind::Schema => "schema",
            BlockKind::RuleSet => "rule set",
            BlockKind::Catalogue => "catalogue",
            BlockKind::Ledger => "ledger",
            BlockKind::Customers => "customers",
            BlockKind::End => "end",
        }
    }

    /// The most bytes that a payload of this kind may have unpacked.
    pub(super) fn max_bytes(self) -> usize {
        match self {
            BlockKind::Head => 1024,
            BlockKind::Schema | BlockKind::RuleSet | BlockKind::Catalogue => MAX_STORED_DEFINITION_BYTES,
            BlockKind::Ledger => MAX_PIECE_BYTES,
            BlockKind::Customers => MAX_CUSTOMERS_BYTES,
            BlockKind::End => END_BYTES,
        }
    }
}

impl Block {
    pub(super) fn to_bytes(self, salt: u64) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(self.kind.tag());
        let numbers = [self.index, self.first, self.count, self.unpacked, self.packed];
        for (place, number) in bytes[4..24].chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes[24..32].copy_from_slice(&self.checksum.to_le_bytes());
        let checksum = checksum(&bytes[..32], salt);
        bytes[32..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header in these bytes, if its checksum is right and its lengths are within bounds.
    pub(super) fn from_bytes(bytes: &[u8; HEADER_BYTES], salt: u64) -> Option<Block> {
        if checksum(&bytes[..32], salt) != number(&bytes[32..]) {
            return None;
        }
        let kind = BlockKind::ALL.into_iter().find(|kind| bytes[..4] == *kind.tag())?;
        let at = |at: usize| number(&bytes[at..at + 4]) as u32;
        let [index, first, count, unpacked, packed] = [at(4), at(8), at(12), at(16), at(20)];
        let block = Block { kind, index, first, count, unpacked, packed, checksum: number(&bytes[24..32]) };
        (unpacked as usize <= kind.max_bytes() && packed <= unpacked).then_some(block)
    }
}

/// The first bytes of a snapshot's file.
pub(super) fn preamble(salt: u64) -> [u8; PREAMBLE_BYTES] {
    let mut bytes = [0; PREAMBLE_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let checksum = checksum(&bytes[..12], salt);
    bytes[12..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The version in a preamble, if it is one. Preambles are alike in all versions of the format.
pub(super) fn version(bytes: &[u8; PREAMBLE_BYTES], salt: u64) -> Option<u32> {
    let right = bytes[..8] == *MAGIC && checksum(&bytes[..12], salt) == number(&bytes[12..]);
    right.then(|| number(&bytes[8..12]) as u32)
}

pub(super) fn checksum(bytes: &[u8], salt: u64) -> u64 {
    xxh3_64_with_seed(bytes, salt)
}

/// A little-endian number of at most 8 bytes.
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
