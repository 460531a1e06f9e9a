//! Reading a snapshot. Threads take turns to read the next block; then they check it and take it apart
//! side by side.

use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::VERSION;
use super::block::{END_BYTES, HEADER_BYTES};
use super::input::{SnapshotInput, disk_error};
use super::worker::BlockWorker;
use crate::customer::id::CustomerId;
use crate::state::State;
use crate::state::definitions::Definitions;
use crate::state::digest::Digest;
use crate::state::ledger::Content;
use crate::state::store;
use crate::state::store::Loader;
use crate::storage::codec::SnapshotHead;
use crate::storage::disk::Disk;
use crate::storage::durability::SnapshotInfo;

/// The version of the format since which rows say which places customers have in budgets.
const PLACES_SINCE: u32 = 3;

/// The most threads that load. More would wait for memory and for their turns.
const MAX_THREADS: usize = 4;

/// The fewest bytes of the file that one customer takes, allowing for compression. Memory is prepared
/// for no more customers.
const MIN_BYTES_PER_CUSTOMER: u64 = 4;

/// A snapshot that was loaded into memory.
pub struct LoadedSnapshot {
    /// The state that was in it.
    pub state: State,
    /// Its head: what the snapshot is of.
    pub head: SnapshotHead,
    /// The digest of the state in the file. That state may have been completed since, if an earlier version
    /// of the format does not say all.
    pub digest: u64,
    /// How many bytes the file has.
    pub bytes: u64,
}

/// A snapshot that was read and found right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedSnapshot {
    /// Its head: what the snapshot is of.
    pub head: SnapshotHead,
    /// The digest of the state in it.
    pub digest: u64,
    /// How many bytes the file has.
    pub bytes: u64,
}

impl CheckedSnapshot {
    /// What `usher verify`, `/metrics` and `/v1/snapshots` report about it.
    pub fn info(&self) -> SnapshotInfo {
        let SnapshotHead { sequence, customers, taken_at_s, .. } = self.head;
        SnapshotInfo { sequence, customers, bytes: self.bytes, digest: self.digest, taken_at_s }
    }
}

/// Why a snapshot cannot be loaded. The file was not touched.
#[derive(Debug)]
pub enum LoadError {
    /// The disk refused to read.
    Disk {
        /// The name of the file.
        file: String,
        /// What the system said of it.
        error: io::Error,
    },
    /// A later release wrote it.
    Newer {
        /// The name of the file.
        file: String,
        /// The version of its format.
        version: u32,
    },
    /// It is not as it was written, or belongs to another data directory.
    Damaged {
        /// The name of the file.
        file: String,
        /// At which byte of the file.
        offset: u64,
        /// What is expected at that byte.
        expected: String,
        /// What was found in its place.
        found: String,
    },
    /// There is no memory for its customers.
    Full(store::Full),
}

/// Loads the state in this file. After each block `progress` is called with the bytes read and the
/// bytes of the file. Any of the threads may call it.
///
/// # Errors
/// [`LoadError`].
pub fn load(
    disk: &dyn Disk,
    salt: u64,
    name: &str,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<LoadedSnapshot, LoadError> {
    let mut input = SnapshotInput::open(disk, salt, name)?;
    let version = input.version;
    let (head, definitions, ledger) = input.all_but_customers()?;
    let (customers, room) = (head.customers as usize, (input.length / MIN_BYTES_PER_CUSTOMER) as usize);
    let row_words = definitions.schema.row_words();
    let too_many = |_| LoadError::Full(store::Full);
    let loader = Loader::new(head.seed, customers, room, row_words).map_err(too_many)?;
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get().min(MAX_THREADS));
    let checked = read_customers(input, head, &definitions, &ledger, threads, progress, |slot, id, row| {
        loader.put(slot, id, row)
    })?;
    let damaged = |error: store::LoaderError| LoadError::Damaged {
        file: name.to_owned(),
        offset: 0,
        expected: format!("{customers} customers"),
        found: error.to_string(),
    };
    let customers = loader.finish().map_err(damaged)?;
    let mut state = State::restore(head.sequence, head.erased, definitions, customers, ledger);
    if version < PLACES_SINCE {
        state.find_places().map_err(LoadError::Full)?;
    }
    Ok(LoadedSnapshot { state, head, digest: checked.digest, bytes: checked.bytes })
}

/// Reads this file and checks all of it, except that no customer is in it twice: that would take
/// memory.
///
/// # Errors
/// [`LoadError`].
pub fn verify(disk: &dyn Disk, salt: u64, name: &str) -> Result<CheckedSnapshot, LoadError> {
    let mut input = SnapshotInput::open(disk, salt, name)?;
    let (head, definitions, ledger) = input.all_but_customers()?;
    read_customers(input, head, &definitions, &ledger, 1, &|_, _| {}, |_, _, _| Ok(()))
}

/// Reads on to the end, and calls `put` with the slot, id and row of every customer.
fn read_customers(
    input: SnapshotInput,
    head: SnapshotHead,
    definitions: &Definitions,
    ledger: &Content,
    threads: usize,
    progress: &(dyn Fn(u64, u64) + Sync),
    put: impl Fn(u32, CustomerId, &[u64]) -> Result<(), store::LoaderError> + Sync,
) -> Result<CheckedSnapshot, LoadError> {
    let (bytes, file, salt) = (input.length, input.file.clone(), input.salt);
    let input = Mutex::new(Some(input));
    let one = || {
        let digest = BlockWorker::new(&file, salt).work(&input, progress, &put);
        if digest.is_err() {
            // The next thread finds that there is nothing more to do.
            *input.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        digest
    };
    let digests = thread::scope(|scope| {
        // Where the system gives fewer threads, those that there are do the work.
        let others = (1..threads).map_while(|_| thread::Builder::new().spawn_scoped(scope, one).ok());
        let others: Vec<_> = others.collect();
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
    Ok(CheckedSnapshot { head, digest, bytes })
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Disk { file, error } => write!(f, "{file}: {error}"),
            LoadError::Newer { file, version } => write!(
                f,
                "{file}: it was written by a later release (version {version}, this release knows {VERSION})"
            ),
            LoadError::Damaged { file, offset, expected, found } => {
                write!(f, "{file}: at byte {offset}: expected {expected}, found {found}")
            }
            LoadError::Full(full) => full.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {}
