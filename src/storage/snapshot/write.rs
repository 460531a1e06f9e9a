//! Writing a snapshot: one thread reads the frozen customers, one encodes and writes them, one syncs on
//! the way.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread;

use xxhash_rust::xxh3::Xxh3;

use super::block::{
    Block, BlockKind, ENOUGH_BYTES, HEADER_BYTES, MAX_CUSTOMER_BYTES, MAX_CUSTOMERS_BYTES, PREAMBLE_BYTES,
    checksum, preamble,
};
use super::{UNFINISHED, name};
use crate::customer::id::CustomerId;
use crate::customer::row::MAX_WORDS;
use crate::rules::catalogue::Additions;
use crate::state;
use crate::state::definitions::Definitions;
use crate::state::digest::Digest;
use crate::state::ledger::Piece;
use crate::state::store;
use crate::state::store::{FrozenPart, GivenUp, bytes_of};
use crate::storage::codec;
use crate::storage::codec::SnapshotHead;
use crate::storage::disk::{Disk, File, remove_if_there, write_all_at};

/// The most parts that wait to be written, besides the one being read and the one being written. A part
/// is a thousandth of the store.
const MAX_WAITING: usize = 2;

/// After how many bytes the file is synced on the way. So the disk works while rows are read, and the journal
/// never waits for much more than this: ext4 makes a file's data durable before the names of all files.
const SYNC_BYTES: u64 = 16 << 20;

/// The fastest of zstd's ordinary levels.
const COMPRESSION_LEVEL: i32 = 1;

/// A snapshot that was written and is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenSnapshot {
    /// The name of its file.
    pub name: String,
    /// How many bytes the file has.
    pub bytes: u64,
    /// Its head: what the snapshot is of.
    pub head: SnapshotHead,
    /// The digest of the state in it.
    pub digest: u64,
}

/// Why no snapshot was written. Nothing of it is left, if the disk still lets us remove a file.
#[derive(Debug)]
pub enum WriteError {
    /// The disk refused to do something.
    Disk {
        /// What was being done, such as "writing".
        what: &'static str,
        /// What the system said of it.
        error: io::Error,
    },
    /// Too much was written to the state meanwhile, see [`GivenUp`].
    GivenUp,
    /// It was told to stop, or another of its threads failed.
    Stopped,
    /// Something in the state breaks a bound, so that it could not be read back.
    TooLong,
}

/// Writes a snapshot of `frozen`. Returns when it is durable under its [`name`], in place of a file
/// that had that name. `chain` is [`SnapshotHead::chain`]. It ends soon after `stop` is set.
///
/// # Errors
/// [`WriteError`].
pub fn write(
    disk: &dyn Disk,
    salt: u64,
    frozen: state::FrozenState,
    chain: u64,
    taken_at_s: u64,
    compress: bool,
    stop: &AtomicBool,
) -> Result<WrittenSnapshot, WriteError> {
    let (catalogue, ledger) = (frozen.definitions.catalogue.whole(), frozen.ledger.pieces());
    let head = SnapshotHead {
        sequence: frozen.sequence,
        chain,
        erased: frozen.erased,
        customers: frozen.customers.customers() as u64,
        taken_at_s,
        seed: frozen.customers.seed(),
        rule_sets: frozen.definitions.rule_sets().count() as u32,
        catalogue_blocks: catalogue.len() as u32,
        ledger_blocks: ledger.len() as u32,
    };
    let name = name(head.sequence);
    let temporary = format!("{name}{UNFINISHED}");
    remove_if_there(disk, &temporary).map_err(|error| failed("removing", error))?;
    let pieces = (&catalogue[..], &ledger[..]);
    let file = disk.create(&temporary).map_err(|error| failed("creating", error));
    let written = file
        .and_then(|file| write_file(&*file, salt, head, frozen, pieces, compress, stop))
        .and_then(|written| {
            disk.rename(&temporary, &name).map_err(|error| failed("renaming", error))?;
            disk.sync().map_err(|error| failed("syncing the directory", error))?;
            Ok(written)
        });
    match written {
        Ok((bytes, digest)) => Ok(WrittenSnapshot { name, bytes, head, digest }),
        Err(error) => {
            let _ = disk.remove(&temporary); // the next attempt removes what is left
            Err(error)
        }
    }
}

fn failed(what: &'static str, error: io::Error) -> WriteError {
    WriteError::Disk { what, error }
}

/// Writes and syncs the whole file. Returns its length and the digest of what is in it.
fn write_file(
    file: &dyn File,
    salt: u64,
    head: SnapshotHead,
    frozen: state::FrozenState,
    (catalogue, ledger): (&[Additions], &[Piece]),
    compress: bool,
    stop: &AtomicBool,
) -> Result<(u64, u64), WriteError> {
    let state::FrozenState { definitions, customers, ledger: content, .. } = frozen;
    let mut output = Output::new(file, salt, compress)?;
    output.head_and_definitions(&head, &definitions, catalogue)?;
    ledger.iter().try_for_each(|piece| output.block(BlockKind::Ledger, 0, &codec::encode_piece(piece)?))?;
    let (filled, to_write) = sync_channel(MAX_WAITING);
    let (emptied, to_fill) = channel();
    let (wanted, to_sync) = sync_channel(1);
    let output = thread::scope(|scope| {
        let syncing = start(scope, "snapshot-sync", move || sync_on_the_way(file, &to_sync))?;
        let writing = start(scope, "snapshot-write", move || {
            output.parts(&to_write, &emptied, &wanted)?;
            Ok(output)
        })?;
        let read = read_parts(customers, &filled, &to_fill, stop);
        drop(filled);
        // A fault of the disk stops the other threads, so it is the reason to report.
        let (written, synced) = (joined(writing), joined(syncing));
        synced?;
        let output = written?;
        read?;
        Ok::<_, WriteError>(output)
    })?;
    let digest = output.digest.of_state(&definitions, &content);
    Ok((output.finish(digest)?, digest))
}

type Running<'s, T> = thread::ScopedJoinHandle<'s, Result<T, WriteError>>;

fn start<'s, T: Send + 's>(
    scope: &'s thread::Scope<'s, '_>,
    name: &str,
    run: impl FnOnce() -> Result<T, WriteError> + Send + 's,
) -> Result<Running<'s, T>, WriteError> {
    let builder = thread::Builder::new().name(name.into());
    builder.spawn_scoped(scope, run).map_err(|error| failed("starting a thread for", error))
}

fn joined<T>(running: Running<'_, T>) -> Result<T, WriteError> {
    let panicked = |_| Err(failed("writing", io::Error::other("a thread panicked")));
    running.join().unwrap_or_else(panicked)
}

/// Hands over the customers part by part, in buffers that come back.
fn read_parts(
    mut customers: store::FrozenCustomers,
    filled: &SyncSender<FrozenPart>,
    to_fill: &Receiver<FrozenPart>,
    stop: &AtomicBool,
) -> Result<(), WriteError> {
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(WriteError::Stopped);
        }
        let mut part = to_fill.try_recv().unwrap_or_default();
        if !customers.next_part(&mut part)? {
            return Ok(());
        }
        if filled.send(part).is_err() {
            return Err(WriteError::Stopped); // the writing thread says why
        }
    }
}

/// Syncs whenever it is asked to. After a failure it ends, and so does the thread that asks.
fn sync_on_the_way(file: &dyn File, wanted: &Receiver<()>) -> Result<(), WriteError> {
    wanted.iter().try_for_each(|()| file.sync().map_err(|error| failed("syncing", error)))
}

/// The file being written, with what its end block will need.
struct Output<'f> {
    file: &'f dyn File,
    salt: u64,
    offset: u64,
    synced: u64,
    index: u32,
    customers: u32,
    digest: Digest,
    headers: Xxh3,
    payload: Vec<u8>,
    count: u32,
    packer: Option<zstd::bulk::Compressor<'static>>,
    packed: Vec<u8>,
}

impl Output<'_> {
    fn new(file: &dyn File, salt: u64, compress: bool) -> Result<Output<'_>, WriteError> {
        let packer = compress.then(|| zstd::bulk::Compressor::new(COMPRESSION_LEVEL)).transpose();
        let packer = packer.map_err(|error| failed("preparing to compress", error))?;
        let mut headers = Xxh3::with_seed(salt);
        let preamble = preamble(salt);
        headers.update(&preamble);
        write_all_at(file, 0, &preamble).map_err(|error| failed("writing", error))?;
        Ok(Output {
            file,
            salt,
            offset: PREAMBLE_BYTES as u64,
            synced: 0,
            index: 0,
            customers: 0,
            digest: Digest::default(),
            headers,
            payload: Vec::with_capacity(MAX_CUSTOMERS_BYTES),
            count: 0,
            packer,
            packed: Vec::new(),
        })
    }

    fn head_and_definitions(
        &mut self,
        head: &SnapshotHead,
        definitions: &Definitions,
        catalogue: &[Additions],
    ) -> Result<(), WriteError> {
        self.block(BlockKind::Head, 0, &codec::encode_head(head)?)?;
        self.block(BlockKind::Schema, 0, &codec::encode_schema(&definitions.schema)?)?;
        definitions.rule_sets().try_for_each(|(name, history)| {
            self.block(BlockKind::RuleSet, 0, &codec::encode_rule_set(name, history)?)
        })?;
        catalogue.iter().try_for_each(|additions| {
            self.block(BlockKind::Catalogue, 0, &codec::encode_additions(additions)?)
        })
    }

    /// Writes the parts that come, and gives their buffers back.
    fn parts(
        &mut self,
        parts: &Receiver<FrozenPart>,
        emptied: &Sender<FrozenPart>,
        sync: &SyncSender<()>,
    ) -> Result<(), WriteError> {
        for part in parts {
            part.iter().try_for_each(|(id, row)| self.customer(id, row))?;
            let _ = emptied.send(part); // nobody takes the last ones
            if self.payload.len() >= ENOUGH_BYTES {
                self.customers()?;
            }
            if self.offset - self.synced >= SYNC_BYTES {
                self.synced = self.offset;
                if let Err(TrySendError::Disconnected(())) = sync.try_send(()) {
                    return Err(WriteError::Stopped); // the syncing thread says why
                }
            }
        }
        self.customers()
    }

    fn customer(&mut self, id: &CustomerId, row: &[u64]) -> Result<(), WriteError> {
        if row.len() > MAX_WORDS {
            return Err(WriteError::TooLong);
        }
        if self.payload.len() + MAX_CUSTOMER_BYTES > MAX_CUSTOMERS_BYTES {
            self.customers()?;
        }
        self.digest.add(id.as_str(), row);
        self.payload.push(id.as_str().len() as u8); // MAX_ID_BYTES fits
        self.payload.extend_from_slice(&(row.len() as u16).to_le_bytes());
        self.payload.extend_from_slice(id.as_str().as_bytes());
        self.payload.extend_from_slice(&bytes_of(row));
        self.count += 1;
        Ok(())
    }

    /// Writes a block of the customers so far, if there are any.
    fn customers(&mut self) -> Result<(), WriteError> {
        if self.count == 0 {
            return Ok(());
        }
        let mut payload = std::mem::take(&mut self.payload);
        let count = std::mem::take(&mut self.count);
        self.block(BlockKind::Customers, count, &payload)?;
        payload.clear();
        self.payload = payload;
        Ok(())
    }

    fn block(&mut self, kind: BlockKind, count: u32, payload: &[u8]) -> Result<(), WriteError> {
        if payload.len() > kind.max_bytes() {
            return Err(WriteError::TooLong);
        }
        let packed = pack(self.packer.as_mut().filter(|_| kind != BlockKind::End), payload, &mut self.packed);
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
        write_all_at(self.file, self.offset, &header).map_err(wrong)?;
        write_all_at(self.file, self.offset + HEADER_BYTES as u64, packed).map_err(wrong)?;
        self.offset += (HEADER_BYTES + packed.len()) as u64;
        self.index += 1;
        self.customers += count;
        Ok(())
    }

    /// Writes the end and syncs. Returns the length of the file.
    fn finish(mut self, digest: u64) -> Result<u64, WriteError> {
        let (blocks, customers) = (u64::from(self.index), u64::from(self.customers));
        let totals = [blocks, customers, self.offset, digest, self.headers.digest()];
        self.block(BlockKind::End, 0, &bytes_of(&totals))?;
        self.file.sync().map_err(|error| failed("syncing", error))?;
        Ok(self.offset)
    }
}

/// The payload packed into `room`, or unpacked if that is no longer.
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
            WriteError::Stopped => f.write_str("the snapshot was stopped"),
            WriteError::TooLong => f.write_str("something in the state is longer than a snapshot can hold"),
        }
    }
}

impl std::error::Error for WriteError {}
