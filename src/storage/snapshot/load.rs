//! Reading: threads take turns to read the next block, then check and take it apart side by side.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use xxhash_rust::xxh3::Xxh3;

use super::block::{Block, END_BYTES, HEADER_BYTES, Kind, PREAMBLE_BYTES, checksum, number, version};
use super::{SnapshotHead, VERSION};
use crate::customer::id::CustomerId;
use crate::rules::catalogue::{Additions, Catalogue};
use crate::state::definitions::{Definitions, History};
use crate::state::ledger::{Content, MAX_PIECES, Piece};
use crate::state::store;
use crate::state::store::Loader;
use crate::state::{Digest, State};
use crate::storage::codec;
use crate::storage::codec::DecodeError;
use crate::storage::disk::{Disk, File, read_exact_at};
use crate::storage::durability::SnapshotInfo;

/// Threads that load at most; more would wait for memory and for their turns.
const MAX_THREADS: usize = 4;

/// Bytes of the file that one customer takes at least, give or take compression: more are not prepared for.
const MIN_BYTES_PER_CUSTOMER: u64 = 4;

/// A state that was loaded.
pub struct Loaded {
    /// It.
    pub state: State,
    /// What the snapshot is of.
    pub head: SnapshotHead,
    /// The state's digest.
    pub digest: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// A snapshot that was read and found right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What it is of.
    pub head: SnapshotHead,
    /// The digest of the state in it.
    pub digest: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

impl Checked {
    /// What is told of it.
    pub fn info(&self) -> SnapshotInfo {
        let SnapshotHead { sequence, customers, taken_at_s, .. } = self.head;
        SnapshotInfo { sequence, customers, bytes: self.bytes, digest: self.digest, taken_at_s }
    }
}

/// Why a snapshot cannot be loaded. The file was not touched.
#[derive(Debug)]
pub enum LoadError {
    /// The disk refused.
    Disk {
        /// The file.
        file: String,
        /// What it said.
        error: io::Error,
    },
    /// A newer program wrote it.
    Newer {
        /// The file.
        file: String,
        /// The version of its format.
        version: u32,
    },
    /// It is not as it was written, or not from this data directory.
    Damaged {
        /// The file.
        file: String,
        /// Where in it, in bytes.
        offset: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// There is no memory for its customers.
    Full(store::Full),
}

/// Loads the state in this file. `progress` is called after each block with the bytes done and those of the file, from
/// any of the threads.
///
/// # Errors
/// [`LoadError`].
pub fn load(
    disk: &dyn Disk,
    salt: u64,
    name: &str,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Loaded, LoadError> {
    let mut input = Input::open(disk, salt, name)?;
    let (head, definitions, ledger) = input.all_but_customers()?;
    let (customers, room) = (head.customers as usize, (input.length / MIN_BYTES_PER_CUSTOMER) as usize);
    let row_words = definitions.schema.row_words();
    let too_many = |_| LoadError::Full(store::Full);
    let loader = Loader::new(head.seed, customers, room, row_words).map_err(too_many)?;
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get().min(MAX_THREADS));
    let checked = read_customers(input, head, &definitions, &ledger, threads, progress, |slot, id, row| {
        loader.put(slot, id, row)
    })?;
    let damaged = |error: store::LoadError| LoadError::Damaged {
        file: name.to_owned(),
        offset: 0,
        expected: format!("{customers} customers"),
        found: error.to_string(),
    };
    let customers = loader.finish().map_err(damaged)?;
    let state = State::restore(head.sequence, head.erased, definitions, customers, ledger);
    Ok(Loaded { state, head, digest: checked.digest, bytes: checked.bytes })
}

/// Reads this file and checks all of it, but that no customer is in it twice, which takes memory to tell.
///
/// # Errors
/// [`LoadError`].
pub fn verify(disk: &dyn Disk, salt: u64, name: &str) -> Result<Checked, LoadError> {
    let mut input = Input::open(disk, salt, name)?;
    let (head, definitions, ledger) = input.all_but_customers()?;
    read_customers(input, head, &definitions, &ledger, 1, &|_, _| {}, |_, _, _| Ok(()))
}

/// Reads on to the end, and calls `put` with slot, id and row of every customer.
fn read_customers(
    input: Input,
    head: SnapshotHead,
    definitions: &Definitions,
    ledger: &Content,
    threads: usize,
    progress: &(dyn Fn(u64, u64) + Sync),
    put: impl Fn(u32, CustomerId, &[u64]) -> Result<(), store::LoadError> + Sync,
) -> Result<Checked, LoadError> {
    let (bytes, file, salt) = (input.length, input.file.clone(), input.salt);
    let input = Mutex::new(Some(input));
    let one = || {
        let digest = Worker::new(&file, salt).work(&input, progress, &put);
        if digest.is_err() {
            // Whoever is next finds that there is nothing more to do.
            *input.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        digest
    };
    let digests = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(one)).collect();
        let mut digests = vec![one()];
        digests.extend(others.into_iter().map(|other| {
            let panicked = |_| Err(disk_error(&file, io::Error::other("a thread that loads panicked")));
            other.join().unwrap_or_else(panicked)
        }));
        digests
    });
    let mut digest = Digest::default();
    for one in digests {
        digest.merge(one?);
    }
    let digest = digest.of_state(definitions, ledger);
    let input = input.into_inner().unwrap_or_else(PoisonError::into_inner);
    let wrong = |what, expected: u64, found: u64| LoadError::Damaged {
        file: file.to_string(),
        offset: bytes - (HEADER_BYTES + END_BYTES) as u64,
        expected: format!("{what} {expected:#x}"),
        found: format!("{found:#x}"),
    };
    let Some(end) = input.and_then(|input| input.end) else {
        return Err(wrong("an end at", bytes, 0));
    };
    if end.customers != head.customers {
        return Err(wrong("customers", head.customers, end.customers));
    }
    if end.digest != digest {
        return Err(wrong("the digest", end.digest, digest));
    }
    Ok(Checked { head, digest, bytes })
}

fn disk_error(file: &str, error: io::Error) -> LoadError {
    LoadError::Disk { file: file.to_owned(), error }
}

/// The file, read from front to end, one block at a time.
struct Input {
    file: Arc<str>,
    open: Box<dyn File>,
    salt: u64,
    length: u64,
    offset: u64,
    index: u32,
    customers: u32,
    headers: Xxh3,
    /// What the end says, once it was read.
    end: Option<End>,
}

#[derive(Clone, Copy)]
struct End {
    customers: u64,
    digest: u64,
}

impl Input {
    fn open(disk: &dyn Disk, salt: u64, name: &str) -> Result<Input, LoadError> {
        let open = disk.open(name).map_err(|error| disk_error(name, error))?;
        let length = open.length().map_err(|error| disk_error(name, error))?;
        let headers = Xxh3::with_seed(salt);
        let file = Arc::from(name);
        let mut input =
            Input { file, open, salt, length, offset: 0, index: 0, customers: 0, headers, end: None };
        let mut preamble = [0; PREAMBLE_BYTES];
        input.read(&mut preamble, "a preamble")?;
        match version(&preamble, salt) {
            None => return Err(damaged(name, 0, "a snapshot of this data directory", "something else")),
            Some(VERSION) => {}
            Some(version) if version > VERSION => {
                return Err(LoadError::Newer { file: name.to_owned(), version });
            }
            Some(version) => {
                let expected = format!("version {VERSION} of the format");
                return Err(damaged(name, 8, expected, format!("version {version}")));
            }
        }
        input.headers.update(&preamble);
        Ok(input)
    }

    fn all_but_customers(&mut self) -> Result<(SnapshotHead, Definitions, Content), LoadError> {
        let head = self.definition(Kind::Head, codec::decode_head)?;
        let schema = self.definition(Kind::Schema, codec::decode_schema)?;
        let mut rule_sets: Vec<(Arc<str>, History)> = Vec::new();
        for _ in 0..head.rule_sets {
            let at = self.offset;
            let rule_set = self.definition(Kind::RuleSet, codec::decode_rule_set)?;
            if rule_sets.last().is_some_and(|(last, _)| *last >= rule_set.0) {
                return Err(damaged(&self.file, at, "rule sets in order", format!("{:?}", rule_set.0)));
            }
            rule_sets.push(rule_set);
        }
        let mut catalogue = Catalogue::new();
        for _ in 0..head.catalogue_blocks {
            let additions: Additions = self.definition(Kind::Catalogue, codec::decode_additions)?;
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
            let piece = self.definition(Kind::Ledger, codec::decode_piece)?;
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
        kind: Kind,
        decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
    ) -> Result<T, LoadError> {
        let (file, at) = (self.file.clone(), self.offset);
        let mut worker = Worker::new(&file, self.salt);
        let block = self.next(&mut worker.packed)?;
        let wrong = |found: String| damaged(&file, at, format!("a {kind:?} block"), found);
        if block.kind != kind {
            return Err(wrong(format!("a {:?} block", block.kind)));
        }
        decode(worker.unpack(&block, at)?).map_err(|error| wrong(error.to_string()))
    }

    /// Reads the next header and its payload, which is not checked yet.
    fn next(&mut self, payload: &mut Vec<u8>) -> Result<Block, LoadError> {
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
        let customers = self.customers.checked_add(block.count).filter(|_| block.kind == Kind::Customers);
        if block.count > 0 && customers.is_none() {
            return Err(wrong("customers in their own blocks".into(), &format!("{block:?}")));
        }
        let before = self.headers.digest();
        self.headers.update(&header);
        let payload = room_of(payload, block.packed as usize);
        self.read(payload, "a payload")?;
        if block.kind == Kind::End {
            self.end = Some(self.check_end(&block, at, before, payload)?);
        }
        self.index += 1;
        self.customers += block.count;
        Ok(block)
    }

    fn check_end(&self, block: &Block, at: u64, headers: u64, payload: &[u8]) -> Result<End, LoadError> {
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
        Ok(End { customers: totals[1], digest: totals[3] })
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

fn damaged(file: &str, offset: u64, expected: impl Into<String>, found: impl Into<String>) -> LoadError {
    LoadError::Damaged { file: file.to_owned(), offset, expected: expected.into(), found: found.into() }
}

/// The first bytes of `buffer`, which only ever gets longer.
fn room_of(buffer: &mut Vec<u8>, length: usize) -> &mut [u8] {
    if buffer.len() < length {
        *buffer = vec![0; length];
    }
    &mut buffer[..length]
}

/// One thread that reads, with its buffers.
struct Worker<'f> {
    file: &'f str,
    salt: u64,
    packed: Vec<u8>,
    unpacked: Vec<u8>,
    row: Vec<u64>,
}

impl Worker<'_> {
    fn new(file: &str, salt: u64) -> Worker<'_> {
        Worker { file, salt, packed: Vec::new(), unpacked: Vec::new(), row: Vec::new() }
    }

    /// Takes blocks until there are no more; the digest of its customers.
    fn work(
        &mut self,
        input: &Mutex<Option<Input>>,
        progress: &(dyn Fn(u64, u64) + Sync),
        put: &(impl Fn(u32, CustomerId, &[u64]) -> Result<(), store::LoadError> + Sync),
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
                Kind::Customers => self.customers(&block, at, &mut digest, put)?,
                Kind::End => {}
                other => return Err(damaged(self.file, at, "customers", format!("a {other:?} block"))),
            }
            progress(done, bytes);
        }
    }

    fn customers(
        &mut self,
        block: &Block,
        at: u64,
        digest: &mut Digest,
        put: &impl Fn(u32, CustomerId, &[u64]) -> Result<(), store::LoadError>,
    ) -> Result<(), LoadError> {
        let (file, mut row) = (self.file, std::mem::take(&mut self.row));
        let mut rest = self.unpack(block, at)?;
        let taken = (block.first..block.first + block.count).try_for_each(|slot| {
            let wrong = |why: String| damaged(file, at, "customers", format!("{why}, in slot {slot}"));
            let id = take_customer(&mut rest, &mut row).map_err(wrong)?;
            digest.add(id.as_str(), &row);
            put(slot, id, &row).map_err(|error| match error {
                store::LoadError::Full(full) => LoadError::Full(full),
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

    /// The payload, checked.
    fn unpack(&mut self, block: &Block, at: u64) -> Result<&[u8], LoadError> {
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
        // The header's checksum was right, and it keeps to the bound of its kind.
        let unpacked = room_of(&mut self.unpacked, block.unpacked as usize);
        match zstd::bulk::decompress_to_buffer(packed, unpacked) {
            Ok(length) if length == unpacked.len() => Ok(unpacked),
            Ok(length) => wrong(&format!("{} bytes unpacked", block.unpacked), format!("{length}")),
            Err(error) => wrong("a packed payload", error.to_string()),
        }
    }
}

/// Takes one customer off the front of `rest`: the id, and the words into `row`.
fn take_customer(rest: &mut &[u8], row: &mut Vec<u64>) -> Result<CustomerId, String> {
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
    CustomerId::new(str::from_utf8(id).map_err(|error| error.to_string())?)
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Disk { file, error } => write!(f, "{file}: {error}"),
            LoadError::Newer { file, version } => write!(
                f,
                "{file}: written by a newer usher in version {version} of the format, this one knows {VERSION}"
            ),
            LoadError::Damaged { file, offset, expected, found } => {
                write!(f, "{file}: at byte {offset}: expected {expected}, found {found}")
            }
            LoadError::Full(full) => full.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {}
