//! The file of a snapshot, read block by block.

use std::io;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::block::{Block, BlockKind, END_BYTES, HEADER_BYTES, PREAMBLE_BYTES, checksum, number, version};
use super::load::LoadError;
use super::worker::BlockWorker;
use super::{OLDEST_VERSION, VERSION};
use crate::rules::catalogue::{Additions, Catalogue};
use crate::state::definitions::{Definitions, History};
use crate::state::ledger::{Content, MAX_PIECES, Piece};
use crate::storage::codec;
use crate::storage::codec::{DecodeError, SnapshotHead};
use crate::storage::disk::{Disk, File, read_exact_at};

/// The file of a snapshot, read from front to end, one block at a time.
pub(super) struct SnapshotInput {
    pub(super) file: Arc<str>,
    open: Box<dyn File>,
    pub(super) salt: u64,
    /// The version of its format.
    pub(super) version: u32,
    pub(super) length: u64,
    pub(super) offset: u64,
    index: u32,
    customers: u32,
    headers: Xxh3,
    /// What the end block says, once it was read.
    pub(super) end: Option<SnapshotEnd>,
}

#[derive(Clone, Copy)]
pub(super) struct SnapshotEnd {
    pub(super) customers: u64,
    pub(super) digest: u64,
}

impl SnapshotInput {
    pub(super) fn open(disk: &dyn Disk, salt: u64, name: &str) -> Result<SnapshotInput, LoadError> {
        let open = disk.open(name).map_err(|error| disk_error(name, error))?;
        let length = open.length().map_err(|error| disk_error(name, error))?;
        let mut input = SnapshotInput {
            file: Arc::from(name),
            open,
            salt,
            version: VERSION,
            length,
            offset: 0,
            index: 0,
            customers: 0,
            headers: Xxh3::with_seed(salt),
            end: None,
        };
        let mut preamble = [0; PREAMBLE_BYTES];
        input.read(&mut preamble, "a preamble")?;
        input.version = match version(&preamble, salt) {
            None => return Err(damaged(name, 0, "a snapshot of this data directory", "something else")),
            Some(version @ OLDEST_VERSION..=VERSION) => version,
            Some(version) if version > VERSION => {
                return Err(LoadError::Newer { file: name.to_owned(), version });
            }
            Some(version) => {
                let expected = format!("version {OLDEST_VERSION} to {VERSION} of the format");
                return Err(damaged(name, 8, expected, format!("version {version}")));
            }
        };
        input.headers.update(&preamble);
        Ok(input)
    }

    pub(super) fn all_but_customers(&mut self) -> Result<(SnapshotHead, Definitions, Content), LoadError> {
        let head = self.definition(BlockKind::Head, codec::decode_head)?;
        let schema = self.definition(BlockKind::Schema, codec::decode_schema)?;
        let mut rule_sets: Vec<(Arc<str>, History)> = Vec::new();
        for _ in 0..head.rule_sets {
            let at = self.offset;
            let rule_set = self.definition(BlockKind::RuleSet, codec::decode_rule_set)?;
            if rule_sets.last().is_some_and(|(last, _)| *last >= rule_set.0) {
                return Err(damaged(&self.file, at, "rule sets in order", format!("{:?}", rule_set.0)));
            }
            rule_sets.push(rule_set);
        }
        let mut catalogue = Catalogue::new();
        for _ in 0..head.catalogue_blocks {
            let additions: Additions = self.definition(BlockKind::Catalogue, codec::decode_additions)?;
            catalogue.extend(&additions);
        }
        let ledger = self.ledger(&head)?;
        let definitions = Definitions::restore(schema, catalogue, rule_sets);
        let definitions = definitions.map_err(|problems| {
            damaged(&self.file, self.offset, "a schema that compiles", problems.to_string())
        })?;
        Ok((head, definitions, ledger))
    }

    fn ledger(&mut self, head: &SnapshotHead) -> Result<Content, LoadError> {
        let (at, blocks) = (self.offset, head.ledger_blocks);
        if blocks as usize > MAX_PIECES {
            let expected = format!("at most {MAX_PIECES} blocks of the ledger");
            return Err(damaged(&self.file, at, expected, format!("{blocks}")));
        }
        let mut ledger = Content::default();
        for block in 1..=blocks {
            let at = self.offset;
            let piece = self.definition(BlockKind::Ledger, codec::decode_piece)?;
            let wrong = |found: String| damaged(&self.file, at, "a ledger that keeps to its bounds", found);
            if (block == blocks) != matches!(piece, Piece::Totals(_)) {
                return Err(wrong("totals that are not the last of it".into()));
            }
            ledger.take_in(piece).map_err(wrong)?;
        }
        Ok(ledger)
    }

    fn definition<T>(
        &mut self,
        kind: BlockKind,
        decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
    ) -> Result<T, LoadError> {
        let (file, at) = (self.file.clone(), self.offset);
        let mut worker = BlockWorker::new(&file, self.salt);
        let block = self.next(&mut worker.packed)?;
        let wrong = |found: String| damaged(&file, at, format!("a {} block", kind.name()), found);
        if block.kind != kind {
            return Err(wrong(format!("a {} block", block.kind.name())));
        }
        decode(worker.unpack(&block, at)?).map_err(|error| wrong(error.to_string()))
    }

    /// Reads the next header and its payload. The payload is not checked yet.
    pub(super) fn next(&mut self, payload: &mut Vec<u8>) -> Result<Block, LoadError> {
        let at = self.offset;
        let mut header = [0; HEADER_BYTES];
        self.read(&mut header, "a block")?;
        let wrong = |expected: String, found: &str| damaged(&self.file, at, expected, found);
        let block = Block::from_bytes(&header, self.salt)
            .ok_or_else(|| wrong("the header of a block".into(), "bytes whose checksum differs"))?;
        if (block.index, block.first) != (self.index, self.customers) {
            let expected = format!("block {} from slot {}", self.index, self.customers);
            return Err(wrong(expected, &format!("block {} from slot {}", block.index, block.first)));
        }
        let customers =
            self.customers.checked_add(block.count).filter(|_| block.kind == BlockKind::Customers);
        if block.count > 0 && customers.is_none() {
            let found = format!("{} customers in a {} block", block.count, block.kind.name());
            return Err(wrong("customers in their own blocks".into(), &found));
        }
        let before = self.headers.digest();
        self.headers.update(&header);
        let payload = room_of(payload, block.packed as usize);
        self.read(payload, "a payload")?;
        if block.kind == BlockKind::End {
            self.end = Some(self.check_end(&block, at, before, payload)?);
        }
        self.index += 1;
        self.customers += block.count;
        Ok(block)
    }

    fn check_end(
        &self,
        block: &Block,
        at: u64,
        headers: u64,
        payload: &[u8],
    ) -> Result<SnapshotEnd, LoadError> {
        let wrong = |expected: String, found: String| damaged(&self.file, at, expected, found);
        if payload.len() != END_BYTES || checksum(payload, self.salt) != block.checksum {
            return Err(wrong("the totals of a snapshot".into(), "bytes whose checksum differs".into()));
        }
        let totals: Vec<u64> = payload.chunks_exact(8).map(number).collect();
        let expected = [u64::from(self.index), u64::from(self.customers), at, totals[3], headers];
        if totals != expected {
            return Err(wrong(format!("totals {expected:?}"), format!("{totals:?}")));
        }
        if self.offset != self.length {
            return Err(wrong(format!("a file of {} bytes", self.offset), format!("{} bytes", self.length)));
        }
        Ok(SnapshotEnd { customers: totals[1], digest: totals[3] })
    }

    fn read(&mut self, bytes: &mut [u8], what: &str) -> Result<(), LoadError> {
        let whole = self.offset + bytes.len() as u64 <= self.length
            && read_exact_at(&*self.open, self.offset, bytes)
                .map_err(|error| disk_error(&self.file, error))?;
        if !whole {
            let found = format!("the end of the file after {} bytes", self.length);
            return Err(damaged(&self.file, self.offset, format!("{what} of {} bytes", bytes.len()), found));
        }
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

pub(super) fn damaged(
    file: &str,
    offset: u64,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> LoadError {
    LoadError::Damaged { file: file.to_owned(), offset, expected: expected.into(), found: found.into() }
}

/// The first bytes of `buffer`, which only ever grows.
pub(super) fn room_of(buffer: &mut Vec<u8>, length: usize) -> &mut [u8] {
    if buffer.len() < length {
        *buffer = vec![0; length];
    }
    &mut buffer[..length]
}

/// The error of a disk that refused to read this file.
pub(super) fn disk_error(file: &str, error: io::Error) -> LoadError {
    LoadError::Disk { file: file.to_owned(), error }
}
