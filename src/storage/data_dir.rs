//! A data directory: what a node keeps on disk, and how a start finds it again.
//!
//! ```text
//! usher.id                        which directory this is; it also says that the directory was initialised
//! mark                            how far the journal is known to be durable
//! 00000000000000000001.journal    records from that sequence on
//! 00000000000000000900.snapshot   the state after the record of that sequence
//! token.keys                      the keys that sign proposition tokens (`token_keys.rs`)
//! ```
//!
//! A start loads the newest snapshot that is whole and replays the records after it. A directory that
//! was initialised never starts empty. Whatever is missing or damaged is refused, with the file, the
//! place, the record, and the command that goes on without it.

pub mod backup;
pub mod repair;
pub mod verify;

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::codec;
use super::disk;
use super::disk::{Disk, Folder};
use super::durability::BytesRead;
use super::durability::{Recovery, SnapshotInfo};
use super::identity;
use super::identity::{Identity, IdentityFile};
use super::journal::append::{JournalEnd, Last, Segments};
use super::journal::mark;
use super::journal::mark::Mark;
use super::journal::replay;
use super::journal::replay::Replayed;
use super::journal::segment;
use super::journal::settings::JournalSettings;
use super::refused::{Refused, RefusedKind};
use super::snapshot;
use super::snapshot::{CheckedSnapshot, LoadError, LoadedSnapshot};
use super::token_keys::TokenKeys;
use crate::state::{ApplyError, State};

/// How long to wait for another process to give up a directory.
pub const LOCK_WAIT: Duration = Duration::from_secs(3);
/// How long to wait before the lock is tried again.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// An open data directory: the state in it, and the journal to go on with.
pub struct Opened {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) identity: Identity,
    pub(crate) state: State,
    pub(crate) journal: Segments,
    /// The snapshot that the start began with, if there was one.
    pub(crate) snapshot: Option<SnapshotInfo>,
    pub(crate) recovery: Recovery,
}

impl Opened {
    /// What the start found and did.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }
}

/// A directory that no other process uses. It is locked until this, or the node that gets it, is gone.
pub struct Claimed {
    disk: Arc<dyn Disk>,
}

/// Takes the directory at `path` for this process. If there is none it is made, and only its owner may
/// look into it.
///
/// # Errors
/// [`Refused`]: it is in use, or the system refuses.
pub fn claim(path: &Path) -> Result<Claimed, Refused> {
    make_folder(path)?;
    Ok(Claimed { disk: lock(path)? })
}

/// Makes the directory at `path` if there is none. Only its owner may look into it.
fn make_folder(path: &Path) -> Result<(), Refused> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    let synced = made.and_then(|()| sync_parents(path));
    synced.map_err(|e| Refused::io(&path.display().to_string(), e))
}

impl Claimed {
    /// The keys of tokens in the directory, or new ones if it never had any; [`TokenKeys::keep`] writes them.
    ///
    /// # Errors
    /// [`Refused`]: they are damaged, or gone although the directory had some; or the system refuses.
    pub fn token_keys(&self) -> Result<TokenKeys, Refused> {
        TokenKeys::of_disk(&self.disk)
    }

    /// Loads what is in the directory, or makes it a data directory if it is empty.
    ///
    /// # Errors
    /// [`Refused`]; nothing was changed then.
    pub fn open(
        self,
        settings: JournalSettings,
        progress: &(dyn Fn(BytesRead) + Sync),
    ) -> Result<Opened, Refused> {
        open_disk(self.disk, settings, progress)
    }
}

/// Makes the names on the way to `path` durable, so that the directory is not lost with one of them.
fn sync_parents(path: &Path) -> io::Result<()> {
    let path = path.canonicalize()?;
    for parent in path.ancestors().skip(1) {
        // Where we may not look, we made nothing.
        match std::fs::File::open(parent) {
            Ok(directory) => directory.sync_all()?,
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The directory at `path`, locked for this process. A process that was killed a moment ago may still hold
/// the lock while the system takes its memory back, so it waits up to [`LOCK_WAIT`].
pub(crate) fn lock(path: &Path) -> Result<Arc<dyn Disk>, Refused> {
    let refused = |e| Refused::io(&path.display().to_string(), e);
    let folder = Folder::open(path).map_err(refused)?;
    let begin = Instant::now();
    while !folder.lock().map_err(refused)? {
        if begin.elapsed() >= LOCK_WAIT {
            return Err(Refused::in_use(path));
        }
        std::thread::sleep(LOOK_AGAIN_AFTER);
    }
    if let Some(warning) = folder.warning() {
        tracing::warn!(directory = %path.display(), "{warning}");
    }
    Ok(Arc::new(folder))
}

/// As [`Claimed::open`], over any disk.
pub(crate) fn open_disk(
    disk: Arc<dyn Disk>,
    settings: JournalSettings,
    progress: &(dyn Fn(BytesRead) + Sync),
) -> Result<Opened, Refused> {
    let begin = Instant::now();
    let known = identity::inspect(&*disk)?;
    let identity = match &known {
        Some(known) => known.identity,
        None => initialise(&*disk)?,
    };
    let Begun { mut state, from, snapshot, damaged } = begin_with_snapshot(&*disk, &identity, progress)?;
    let mut mark = open_mark(&*disk, &identity)?;
    let marked = Last { sequence: mark.sequence, checksum: mark.checksum };
    let found = replay_into(&mut state, &*disk, &identity, from, marked, progress)?;
    mend(&*disk, &found, &mut mark).map_err(|e| Refused::io("the end of the journal", e))?;
    if let Some(known) = known.filter(|known| !known.damaged.is_empty()) {
        mend_identity(&*disk, &known);
    }
    // The directory is whole, so the copy that made it is over.
    if disk.list().is_ok_and(|names| backup::is_unfinished(&names)) {
        disk.remove(backup::UNFINISHED).map_err(|e| Refused::io(backup::UNFINISHED, e))?;
    }
    let file = segment::name(found.first);
    let file = disk.open(&file).map_err(|e| Refused::io(&file, e))?;
    let end = JournalEnd { file, first: found.first, length: found.length, last: found.last };
    let recovery = Recovery {
        snapshot_sequence: from.sequence,
        damaged_snapshots: damaged,
        replayed: found.replayed,
        cut_bytes: found.torn,
        took: begin.elapsed(),
    };
    let journal = Segments::new(disk.clone(), identity, settings, end, mark, found.segments);
    Ok(Opened { disk, identity, state, journal, snapshot, recovery })
}

/// Makes an empty directory a data directory. The identity comes last: without it nothing was ever
/// kept.
fn initialise(disk: &dyn Disk) -> Result<Identity, Refused> {
    remove_unfinished(disk)?;
    let identity = Identity::random();
    let make = || -> io::Result<()> {
        drop(segment::create(disk, &identity, segment::SegmentHead { first: 1, previous: 0 })?);
        drop(Mark::create(disk, identity.salt())?);
        disk.sync()?;
        identity::write(disk, &identity, false)
    };
    make().map_err(|e| Refused::io("the new data directory", e))?;
    Ok(identity)
}

/// Removes what is left of a start that ended before the identity was there. Anything else is
/// somebody's data, and is refused.
fn remove_unfinished(disk: &dyn Disk) -> Result<(), Refused> {
    let refused = |e| Refused::io("the data directory", e);
    let first = segment::name(1);
    let names = disk.list().map_err(refused)?;
    if backup::is_unfinished(&names) {
        return Err(missing(disk));
    }
    for name in &names {
        let ours = name == mark::NAME || *name == first || name == identity::TEMPORARY;
        let length = disk.open(name).and_then(|file| file.length()).map_err(refused)?;
        let holds_records = *name == first && length > segment::HEAD_BYTES as u64
            || name == mark::NAME && mark::speaks_of_records(disk).map_err(refused)?;
        if !ours || holds_records || length > mark::FILE_BYTES {
            return Err(identity::missing_beside(name));
        }
    }
    names.iter().try_for_each(|name| disk.remove(name)).map_err(refused)
}

/// Why a directory without an identity is not a data directory.
fn missing(disk: &dyn Disk) -> Refused {
    if disk.list().is_ok_and(|names| backup::is_unfinished(&names)) {
        let what =
            "a backup or restore into this directory did not end: run the same command again, and it goes on";
        return Refused::of_all(RefusedKind::Io, what.to_owned());
    }
    identity::missing()
}

/// Where a start begins: the state of the newest whole snapshot, or an empty one.
struct Begun {
    state: State,
    /// The last record in that state.
    from: Last,
    snapshot: Option<SnapshotInfo>,
    /// How many newer snapshots were damaged.
    damaged: u64,
}

/// Loads the newest snapshot that is whole. Without any, a start begins with an empty state.
fn begin_with_snapshot(
    disk: &dyn Disk,
    identity: &Identity,
    progress: &(dyn Fn(BytesRead) + Sync),
) -> Result<Begun, Refused> {
    let report = |done, total| progress(BytesRead { done, total });
    let mut damaged = 0;
    let mut why = None;
    for sequence in snapshots(disk)? {
        let name = snapshot::name(sequence);
        match snapshot::load(disk, identity.salt(), &name, &report) {
            Ok(LoadedSnapshot { head, .. }) if head.sequence != sequence => {
                return Err(renamed_snapshot(&name, head.sequence));
            }
            Ok(LoadedSnapshot { state, head, digest, bytes }) => {
                let from = Last { sequence: head.sequence, checksum: head.chain };
                let snapshot = CheckedSnapshot { head, digest, bytes }.info();
                return Ok(Begun { state, from, snapshot: Some(snapshot), damaged });
            }
            // These errors do not say that the snapshot is damaged, so the one before must not take its
            // place.
            Err(error @ (LoadError::Newer { .. } | LoadError::Disk { .. } | LoadError::Full(_))) => {
                return Err(refused_snapshot(&name, &error));
            }
            Err(error) => {
                tracing::error!(snapshot = %name, why = %error, "a snapshot is damaged; trying the one before");
                damaged += 1;
                why.get_or_insert(refused_snapshot(&name, &error));
            }
        }
    }
    // Without a snapshot the journal must have its first record. Where it does not, the damage to the
    // snapshot is the reason.
    match why {
        Some(why) if segment::list(disk).ok().and_then(|firsts| firsts.first().copied()) != Some(1) => {
            Err(why)
        }
        _ => {
            let from = Last { sequence: 0, checksum: 0 };
            Ok(Begun { state: State::new(), from, snapshot: None, damaged })
        }
    }
}

/// The refusal of a snapshot that cannot be loaded.
pub(crate) fn refused_snapshot(name: &str, error: &LoadError) -> Refused {
    let of_it = |what| Refused { file: Some(name.to_owned()), ..Refused::of_all(RefusedKind::Io, what) };
    match error {
        LoadError::Newer { version, .. } => Refused::newer(name, *version, snapshot::VERSION),
        LoadError::Damaged { offset, expected, found, .. } => {
            Refused::damaged(name, *offset, 0, format!("expected {expected}, found {found}"))
        }
        LoadError::Disk { error, .. } => of_it(error.to_string()),
        LoadError::Full(full) => of_it(full.to_string()),
    }
}

/// The refusal of a snapshot with the name of another: it is that of record `of`.
pub(crate) fn renamed_snapshot(name: &str, of: u64) -> Refused {
    Refused::damaged(name, 0, 0, format!("it is the snapshot of record {of}: it was renamed"))
}

/// The sequences of all snapshots, newest first.
pub(crate) fn snapshots(disk: &dyn Disk) -> Result<Vec<u64>, Refused> {
    let names = disk.list().map_err(|e| Refused::io("the data directory", e))?;
    let mut all: Vec<u64> = names.iter().filter_map(|name| snapshot::sequence_of(name)).collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    Ok(all)
}

pub(crate) fn open_mark(disk: &dyn Disk, identity: &Identity) -> Result<Mark, Refused> {
    match Mark::open(disk, identity.salt()) {
        Ok(Some(mark)) => Ok(mark),
        Ok(None) => Err(no_mark("neither of its two slots is whole")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(no_mark("it is gone")),
        Err(e) => Err(Refused::io(mark::NAME, e)),
    }
}

fn no_mark(what: &str) -> Refused {
    Refused::damaged(mark::NAME, 0, 0, what.to_owned())
}

/// Applies every record after `from` to `state`, as live writes are applied.
pub(crate) fn replay_into(
    state: &mut State,
    disk: &dyn Disk,
    identity: &Identity,
    from: Last,
    mark: Last,
    progress: &(dyn Fn(BytesRead) + Sync),
) -> Result<Replayed, Refused> {
    let total = journal_bytes(disk, from.sequence)?;
    let mut done = 0;
    let mut each = |sequence, bytes: &[u8]| {
        // Its checksum was right, so it is as it was written. If it cannot be read, another release
        // wrote it.
        let record = codec::decode(bytes)
            .map_err(|e| (RefusedKind::Newer, format!("{e}; another release wrote it")))?;
        state.apply(sequence, &record).map(drop).map_err(|e| match e {
            ApplyError::Full(_) => (RefusedKind::Io, e.to_string()),
            ApplyError::Definitions(_) => {
                (RefusedKind::Newer, format!("{e}; the release that wrote it understood it otherwise"))
            }
            ApplyError::OutOfOrder { .. } => (RefusedKind::Damaged, e.to_string()),
        })
    };
    let mut read = |bytes| {
        done += bytes;
        progress(BytesRead { done, total });
    };
    replay::replay(disk, identity, from, mark, &mut each, &mut read)
}

/// Bytes of the segments that hold records after `sequence`.
fn journal_bytes(disk: &dyn Disk, sequence: u64) -> Result<u64, Refused> {
    let firsts = segment::list(disk).map_err(|e| Refused::io("the data directory", e))?;
    let start = firsts.iter().rposition(|first| *first <= sequence + 1).unwrap_or(0);
    let length = |first: &u64| disk.open(&segment::name(*first)).and_then(|file| file.length());
    firsts[start..].iter().map(length).sum::<io::Result<u64>>().map_err(|e| Refused::io("the journal", e))
}

/// Prepares the end of the journal for appending. A torn end is cut. Records that the mark does not
/// call durable are written once more: after a failed sync the system may show bytes that the disk does
/// not have, and only what is written again is synced for certain.
fn mend(disk: &dyn Disk, found: &Replayed, mark: &mut Mark) -> io::Result<()> {
    if let Some(leftover) = found.leftover {
        disk.remove(&segment::name(leftover))?;
    }
    disk.sync()?; // a name may not be durable yet
    let file = disk.open(&segment::name(found.first))?;
    if found.torn > 0 {
        tracing::warn!(
            bytes = found.torn,
            "the end of the journal was torn: bytes are cut that were never acknowledged"
        );
    }
    if file.length()? > found.length {
        file.set_length(found.length)?;
    }
    let is_new = found.length == segment::HEAD_BYTES as u64;
    let unmarked = if is_new { 0 } else { found.unmarked };
    disk::copy(&*file, &*file, unmarked..found.length)?;
    // Synced in any case: a start that was killed may have cut the file and gone no further. The mark
    // is written for the same reason: what the system shows of it may never have reached the disk. It
    // is written twice, so that both slots are whole.
    file.sync()?;
    mark.write_both(found.last.sequence, found.last.checksum)
}

/// Writes both copies of the identity anew, of which one is damaged. The other one will do if that fails.
fn mend_identity(disk: &dyn Disk, known: &IdentityFile) {
    match identity::write(disk, &known.identity, known.keeps_keys) {
        Ok(()) => {
            tracing::warn!(file = identity::NAME, "one of its two copies was damaged; both are whole now");
        }
        Err(e) => tracing::error!(file = identity::NAME, why = %e, "one of its two copies is damaged"),
    }
}

#[cfg(test)]
mod tests;
