//! Writing: one thread captures and encodes, another checksums and writes.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use xxhash_rust::xxh3::Xxh3;

use super::block::{
    Block, ENOUGH_BYTES, HEADER_BYTES, Kind, MAX_CUSTOMER_BYTES, MAX_CUSTOMERS_BYTES, PREAMBLE_BYTES,
    checksum, preamble,
};
use super::{Head, UNFINISHED, name};
use crate::codec;
use crate::customer::CustomerId;
use crate::disk::{Disk, File, write_all_at};
use crate::schema::MAX_ROW_WORDS;
use crate::state::{self, Digest};
use crate::store::{GivenUp, bytes_of};

/// Blocks that wait to be written at most, besides the one being filled and the one being written.
const MAX_WAITING: usize = 4;

/// Bytes after which the file is synced on the way. The disk works while rows are captured, and the journal beside it never
/// waits for more than this to become durable first (ext4 writes a file's data before the names of all).
const SYNC_BYTES: u64 = 16 << 20;

/// Of zstd: the fastest of its ordinary levels.
const COMPRESSION_LEVEL: i32 = 1;

/// A snapshot that was written and is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its file.
    pub name: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// What it is of.
    pub head: Head,
    /// The digest of the state in it.
    pub digest: u64,
}

/// Why no snapshot was written. Nothing of it is left, if the disk still lets us remove a file.
#[derive(Debug)]
pub enum WriteError {
    /// The disk refused.
    Disk {
        /// What was tried.
        what: &'static str,
        /// What it said.
        error: io::Error,
    },
    /// More was written meanwhile than may be kept aside.
    GivenUp,
    /// It was told to stop.
    Stopped,
    /// The state has something that does not keep to the bounds, so that it could not be read back.
    TooLong,
}

/// Writes a snapshot of `frozen` and returns when it is durable under its [`name`], in place of one that was there.
/// `chain` is [`Head::chain`]. It ends soon after `stop` is set.
///
/// # Errors
/// [`WriteError`].
pub fn write(
    disk: &dyn Disk,
    salt: u64,
    frozen: state::Frozen,
    chain: u64,
    taken_at_s: u64,
    compress: bool,
    stop: &AtomicBool,
) -> Result<Written, WriteError> {
    let head = Head {
        sequence: frozen.sequence,
        chain,
        erased: frozen.erased,
        customers: frozen.customers.customers() as u64,
        taken_at_s,
        seed: frozen.customers.seed(),
        rule_sets: frozen.definitions.rule_sets().count() as u32,
    };
    let name = name(head.sequence);
    let temporary = format!("{name}{UNFINISHED}");
    match disk.remove(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("removing", error)),
        _ => {}
    }
    let written = write_file(disk, &temporary, salt, head, frozen, compress, stop).and_then(|written| {
        disk.rename(&temporary, &name).map_err(|error| failed("renaming", error))?;
        disk.sync().map_err(|error| failed("syncing the directory", error))?;
        Ok(written)
    });
    match written {
        Ok((bytes, digest)) => Ok(Written { name, bytes, head, digest }),
        Err(error) => {
            let _ = disk.remove(&temporary); // as well as we can; the next attempt removes it otherwise
            Err(error)
        }
    }
}

fn failed(what: &'static str, error: io::Error) -> WriteError {
    WriteError::Disk { what, error }
}

/// Writes and syncs the whole file; its length and the digest of what is in it.
fn write_file(
    disk: &dyn Disk,
    file: &str,
    salt: u64,
    head: Head,
    frozen: state::Frozen,
    compress: bool,
    stop: &AtomicBool,
) -> Result<(u64, u64), WriteError> {
    let mut output = Output::create(disk, file, salt, compress)?;
    let (filled, to_write) = sync_channel(MAX_WAITING);
    let (emptied, to_fill) = channel();
    let (output, digest) = thread::scope(|scope| {
        let writing = thread::Builder::new().name("snapshot".into()).spawn_scoped(scope, move || {
            output.write_all(&to_write, &emptied)?;
            Ok(output)
        });
        let writing = writing.map_err(|error| failed("starting a thread", error))?;
        let digest = Capture::new(filled, to_fill, stop).capture(head, frozen);
        // The channel is closed now. What the disk said explains why capturing could not go on.
        match writing.join() {
            Ok(Err(error)) => Err(error),
            Ok(Ok(output)) => Ok((output, digest?)),
            Err(_) => Err(failed("writing", io::Error::other("the thread that writes panicked"))),
        }
    })?;
    Ok((output.finish(digest)?, digest))
}

/// A block to be written.
struct Filled {
    kind: Kind,
    count: u32,
    payload: Vec<u8>,
}

/// The side that reads the state.
struct Capture<'s> {
    filled: SyncSender<Filled>,
    to_fill: Receiver<Vec<u8>>,
    stop: &'s AtomicBool,
    payload: Vec<u8>,
    count: u32,
}

impl Capture<'_> {
    fn new(filled: SyncSender<Filled>, to_fill: Receiver<Vec<u8>>, stop: &AtomicBool) -> Capture<'_> {
        Capture { filled, to_fill, stop, payload: Vec::new(), count: 0 }
    }

    /// Hands over everything; the digest of it.
    fn capture(mut self, head: Head, mut frozen: state::Frozen) -> Result<u64, WriteError> {
        self.send(Kind::Head, codec::encode_head(&head)?)?;
        self.send(Kind::Schema, codec::encode_schema(&frozen.definitions.schema)?)?;
        for (name, history) in frozen.definitions.rule_sets() {
            self.send(Kind::RuleSet, codec::encode_rule_set(name, history)?)?;
        }
        let mut digest = Digest::default();
        while let Some(part) = frozen.customers.next_part()? {
            for (id, row) in part.iter() {
                digest.add(id.as_str(), row);
                self.customer(id, row)?;
            }
            if self.payload.len() >= ENOUGH_BYTES {
                self.customers()?;
            }
        }
        if self.count > 0 {
            self.customers()?;
        }
        Ok(digest.of_state(&frozen.definitions))
    }

    fn customer(&mut self, id: &CustomerId, row: &[u64]) -> Result<(), WriteError> {
        if row.len() > MAX_ROW_WORDS {
            return Err(WriteError::TooLong);
        }
        if self.payload.len() + MAX_CUSTOMER_BYTES > MAX_CUSTOMERS_BYTES {
            self.customers()?;
        }
        self.payload.push(id.as_str().len() as u8); // MAX_ID_BYTES fits
        self.payload.extend_from_slice(&(row.len() as u16).to_le_bytes());
        self.payload.extend_from_slice(id.as_str().as_bytes());
        self.payload.extend_from_slice(&bytes_of(row));
        self.count += 1;
        Ok(())
    }

    /// Hands over the customers so far, and goes on in a buffer that was written, if there is one.
    fn customers(&mut self) -> Result<(), WriteError> {
        let mut next = self.to_fill.try_recv().unwrap_or_default();
        next.clear();
        let payload = std::mem::replace(&mut self.payload, next);
        let count = std::mem::take(&mut self.count);
        self.send_block(Filled { kind: Kind::Customers, count, payload })
    }

    fn send(&self, kind: Kind, payload: Vec<u8>) -> Result<(), WriteError> {
        self.send_block(Filled { kind, count: 0, payload })
    }

    fn send_block(&self, block: Filled) -> Result<(), WriteError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(WriteError::Stopped);
        }
        self.filled.send(block).map_err(|_| WriteError::Stopped) // the other thread says why
    }
}

/// The side that writes the file.
struct Output {
    file: Box<dyn File>,
    salt: u64,
    offset: u64,
    synced: u64,
    index: u32,
    customers: u32,
    headers: Xxh3,
    packer: Option<zstd::bulk::Compressor<'static>>,
    packed: Vec<u8>,
}

impl Output {
    fn create(disk: &dyn Disk, name: &str, salt: u64, compress: bool) -> Result<Output, WriteError> {
        let file = disk.create(name).map_err(|error| failed("creating", error))?;
        let packer = compress.then(|| zstd::bulk::Compressor::new(COMPRESSION_LEVEL)).transpose();
        let packer = packer.map_err(|error| failed("preparing to compress", error))?;
        let mut headers = Xxh3::with_seed(salt);
        let preamble = preamble(salt);
        headers.update(&preamble);
        write_all_at(&*file, 0, &preamble).map_err(|error| failed("writing", error))?;
        let offset = PREAMBLE_BYTES as u64;
        Ok(Output {
            file,
            salt,
            offset,
            synced: 0,
            index: 0,
            customers: 0,
            headers,
            packer,
            packed: Vec::new(),
        })
    }

    fn write_all(&mut self, blocks: &Receiver<Filled>, emptied: &Sender<Vec<u8>>) -> Result<(), WriteError> {
        for Filled { kind, count, payload } in blocks {
            self.block(kind, count, &payload)?;
            if kind == Kind::Customers {
                let _ = emptied.send(payload); // nobody takes the last ones
            }
            if self.offset - self.synced >= SYNC_BYTES {
                self.file.sync().map_err(|error| failed("syncing", error))?;
                self.synced = self.offset;
            }
        }
        Ok(())
    }

    fn block(&mut self, kind: Kind, count: u32, payload: &[u8]) -> Result<(), WriteError> {
        if payload.len() > kind.max_bytes() {
            return Err(WriteError::TooLong);
        }
        let packed = pack(self.packer.as_mut().filter(|_| kind != Kind::End), payload, &mut self.packed);
        let block = Block {
            kind,
            index: self.index,
            first: self.customers,
            count,
            unpacked: payload.len() as u32,
            packed: packed.len() as u32,
            checksum: checksum(packed, self.salt),
        };
        let header = block.to_bytes(self.salt);
        self.headers.update(&header);
        let wrong = |error| failed("writing", error);
        write_all_at(&*self.file, self.offset, &header).map_err(wrong)?;
        write_all_at(&*self.file, self.offset + HEADER_BYTES as u64, packed).map_err(wrong)?;
        self.offset += (HEADER_BYTES + packed.len()) as u64;
        self.index += 1;
        self.customers += count;
        Ok(())
    }

    /// Writes the end and syncs; the file's length.
    fn finish(mut self, digest: u64) -> Result<u64, WriteError> {
        let (blocks, customers) = (u64::from(self.index), u64::from(self.customers));
        let totals = [blocks, customers, self.offset, digest, self.headers.digest()];
        self.block(Kind::End, 0, &bytes_of(&totals))?;
        self.file.sync().map_err(|error| failed("syncing", error))?;
        Ok(self.offset)
    }
}

/// The payload packed into `room`, or as it is where that is not shorter.
fn pack<'p>(
    packer: Option<&mut zstd::bulk::Compressor<'static>>,
    payload: &'p [u8],
    room: &'p mut Vec<u8>,
) -> &'p [u8] {
    let Some(packer) = packer else { return payload };
    room.clear();
    room.reserve(zstd::zstd_safe::compress_bound(payload.len()));
    match packer.compress_to_buffer(payload, room) {
        Ok(length) if length < payload.len() => &room[..length],
        _ => payload,
    }
}

impl From<GivenUp> for WriteError {
    fn from(_: GivenUp) -> WriteError {
        WriteError::GivenUp
    }
}

impl From<codec::TooLong> for WriteError {
    fn from(_: codec::TooLong) -> WriteError {
        WriteError::TooLong
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Disk { what, error } => write!(f, "{what} the snapshot: {error}"),
            WriteError::GivenUp => GivenUp.fmt(f),
            WriteError::Stopped => f.write_str("stopped"),
            WriteError::TooLong => f.write_str("something in the state is longer than a snapshot can hold"),
        }
    }
}

impl std::error::Error for WriteError {}
