//! Taking blocks apart, in several threads at once.

use std::sync::{Mutex, PoisonError};

use super::block::{Block, BlockKind, checksum, number};
use super::input::{SnapshotInput, damaged, room_of};
use super::load::LoadError;
use crate::customer::id::CustomerId;
use crate::state::digest::Digest;
use crate::state::store;

/// What one reading thread needs: its buffers, and how to name the file in errors.
pub(super) struct BlockWorker<'f> {
    file: &'f str,
    salt: u64,
    pub(super) packed: Vec<u8>,
    unpacked: Vec<u8>,
    row: Vec<u64>,
}

impl BlockWorker<'_> {
    pub(super) fn new(file: &str, salt: u64) -> BlockWorker<'_> {
        BlockWorker { file, salt, packed: Vec::new(), unpacked: Vec::new(), row: Vec::new() }
    }

    /// Takes blocks until there are no more. Returns the digest of the customers in them.
    pub(super) fn work(
        &mut self,
        input: &Mutex<Option<SnapshotInput>>,
        progress: &(dyn Fn(u64, u64) + Sync),
        put: &(impl Fn(u32, CustomerId, &[u64]) -> Result<(), store::LoaderError> + Sync),
    ) -> Result<Digest, LoadError> {
        let mut digest = Digest::default();
        loop {
            let (block, at, done, bytes) = {
                let mut input = input.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(input) = input.as_mut().filter(|input| input.end.is_none()) else {
                    return Ok(digest);
                };
                let at = input.offset;
                (input.next(&mut self.packed)?, at, input.offset, input.length)
            };
            match block.kind {
                BlockKind::Customers => self.customers(&block, at, &mut digest, put)?,
                BlockKind::End => {}
                other => {
                    return Err(damaged(self.file, at, "customers", format!("a {} block", other.name())));
                }
            }
            progress(done, bytes);
        }
    }

    fn customers(
        &mut self,
        block: &Block,
        at: u64,
        digest: &mut Digest,
        put: &impl Fn(u32, CustomerId, &[u64]) -> Result<(), store::LoaderError>,
    ) -> Result<(), LoadError> {
        let (file, mut row) = (self.file, std::mem::take(&mut self.row));
        let mut rest = self.unpack(block, at)?;
        let taken = (block.first..block.first + block.count).try_for_each(|slot| {
            let wrong = |why: String| damaged(file, at, "customers", format!("{why}, in slot {slot}"));
            let id = take_customer(&mut rest, &mut row).map_err(wrong)?;
            digest.add(id.as_str(), &row);
            put(slot, id, &row).map_err(|error| match error {
                store::LoaderError::Full(full) => LoadError::Full(full),
                other => wrong(other.to_string()),
            })
        });
        let left = rest.len();
        self.row = row;
        taken?;
        if left > 0 {
            let expected = format!("{} customers", block.count);
            return Err(damaged(self.file, at, expected, format!("{left} bytes more")));
        }
        Ok(())
    }

    /// The payload of a block, checked and unpacked.
    pub(super) fn unpack(&mut self, block: &Block, at: u64) -> Result<&[u8], LoadError> {
        let wrong = |expected: &str, found: String| Err(damaged(self.file, at, expected, found));
        let packed = &self.packed[..block.packed as usize];
        let found = checksum(packed, self.salt);
        if found != block.checksum {
            return wrong(
                &format!("a payload with the checksum {:#x}", block.checksum),
                format!("{found:#x}"),
            );
        }
        if block.packed == block.unpacked {
            return Ok(packed);
        }
        // The header's checksum was right, so this is within the bound of the block's kind.
        let unpacked = room_of(&mut self.unpacked, block.unpacked as usize);
        match zstd::bulk::decompress_to_buffer(packed, unpacked) {
            Ok(length) if length == unpacked.len() => Ok(unpacked),
            Ok(length) => wrong(&format!("{} bytes unpacked", block.unpacked), format!("{length}")),
            Err(error) => wrong("a packed payload", error.to_string()),
        }
    }
}

/// Takes one customer off the front of `rest`: returns the id, and puts the words into `row`.
pub(super) fn take_customer(rest: &mut &[u8], row: &mut Vec<u64>) -> Result<CustomerId, String> {
    let short = || String::from("the payload ends too early");
    let (lengths, after) = rest.split_at_checked(3).ok_or_else(short)?;
    let (id, words) = (usize::from(lengths[0]), number(&lengths[1..]) as usize);
    let (id, after) = after.split_at_checked(id).ok_or_else(short)?;
    let (words, after) = after.split_at_checked(words * 8).ok_or_else(short)?;
    row.clear();
    row.extend(words.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)));
    if row.last() == Some(&0) {
        return Err("a row ends in a zero word".into());
    }
    *rest = after;
    CustomerId::known(str::from_utf8(id).map_err(|error| error.to_string())?)
}
