//! A data directory: what a node keeps on disk, and how it is found again.
//!
//! ```text
//! usher.id                            who this directory is; its presence says that it was initialised
//! mark                                how far the journal is known to be durable
//! 00000000000000000001.journal        records from that sequence on
//! 00000000000000000900.snapshot       the state after the record of that sequence
//! token.keys                          by which proposition tokens are signed, of no concern here (`token_keys.rs`)
//! ```
//! A start loads the newest snapshot that is whole, replays the records after it, and only then takes part. A directory
//! that was initialised never starts empty: whatever is missing or damaged is refused with the file, the place, the
//! record, and the command that goes on without it knowingly.

pub(crate) mod identity;
pub mod refused;
pub mod repair;
pub mod verify;

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

pub(crate) use self::identity::Identity;
pub use self::refused::{Kind, Refused};

use super::codec;
use super::disk;
use super::disk::{Disk, Folder};
use super::durability::BytesRead;
use super::durability::{Recovery, SnapshotInfo};
use super::journal::append::{End, Last, Segments};
use super::journal::mark;
use super::journal::mark::Mark;
use super::journal::replay;
use super::journal::replay::Found;
use super::journal::segment;
use super::journal::settings::JournalSettings;
use super::snapshot;
use super::snapshot::{Checked, LoadError, Loaded};
use crate::state::{ApplyError, State};

/// An open data directory: the state in it, and the journal to go on with.
pub struct Opened {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) identity: Identity,
    pub(crate) state: State,
    pub(crate) journal: Segments,
    /// The snapshot the start began with, if there was one.
    pub(crate) snapshot: Option<SnapshotInfo>,
    pub(crate) recovery: Recovery,
}

impl Opened {
    /// What was found.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }
}

/// A directory that nobody else has; locked until it, or the node that gets it, is gone.
pub struct Claimed {
    disk: Arc<dyn Disk>,
}

/// Takes the directory at `path`, which is made if it is not there; nobody but its owner may look into it then.
///
/// # Errors
/// [`Refused`]: in use, or the system has something against it.
pub fn claim(path: &Path) -> Result<Claimed, Refused> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    let synced = made.and_then(|()| sync_parents(path));
    synced.map_err(|e| Refused::io(&path.display().to_string(), e))?;
    Ok(Claimed { disk: lock(path)? })
}

impl Claimed {
    /// Loads what is in it, or makes it a data directory if nothing is.
    ///
    /// # Errors
    /// [`Refused`]: nothing was changed then.
    pub fn open(
        self,
        settings: JournalSettings,
        progress: &(dyn Fn(BytesRead) + Sync),
    ) -> Result<Opened, Refused> {
        open_disk(self.disk, settings, progress)
    }
}

/// The names on the way to `path` are durable, so that what is kept there is not lost with one of them.
fn sync_parents(path: &Path) -> io::Result<()> {
    let path = path.canonicalize()?;
    for parent in path.ancestors().skip(1) {
        // Where we may not look we made nothing.
        match std::fs::File::open(parent) {
            Ok(directory) => directory.sync_all()?,
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The directory at `path`, which nobody else has.
pub(crate) fn lock(path: &Path) -> Result<Arc<dyn Disk>, Refused> {
    let refused = |e| Refused::io(&path.display().to_string(), e);
    let folder = Folder::open(path).map_err(refused)?;
    if !folder.lock().map_err(refused)? {
        return Err(Refused::in_use(path));
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
    let identity = match identity::read(&*disk)? {
        Some(identity) => identity,
        None => initialise(&*disk)?,
    };
    let Begun { mut state, from, snapshot, damaged } = begin_with_snapshot(&*disk, &identity, progress)?;
    let mut mark = open_mark(&*disk, &identity)?;
    let marked = Last { sequence: mark.sequence, checksum: mark.checksum };
    let found = replay_into(&mut state, &*disk, &identity, from, marked, progress)?;
    mend(&*disk, &found, &mut mark).map_err(|e| Refused::io("the end of the journal", e))?;
    let file = segment::name(found.first);
    let file = disk.open(&file).map_err(|e| Refused::io(&file, e))?;
    let end = End { file, first: found.first, length: found.length, last: found.last };
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

/// Makes an empty directory one of ours. The identity comes last: without it nothing was ever kept.
fn initialise(disk: &dyn Disk) -> Result<Identity, Refused> {
    remove_unfinished(disk)?;
    let identity = Identity::random();
    let make = || -> io::Result<()> {
        drop(segment::create(disk, &identity, segment::SegmentHead { first: 1, previous: 0 })?);
        drop(Mark::create(disk, identity.salt())?);
        disk.sync()?;
        identity::write(disk, &identity)
    };
    make().map_err(|e| Refused::io("the new data directory", e))?;
    Ok(identity)
}

/// What a start left that ended before the identity was there. Anything else is somebody's data.
fn remove_unfinished(disk: &dyn Disk) -> Result<(), Refused> {
    let refused = |e| Refused::io("the data directory", e);
    let first = segment::name(1);
    let names = disk.list().map_err(refused)?;
    for name in &names {
        let ours = name == mark::NAME || *name == first || name == identity::TEMPORARY;
        let length = disk.open(name).and_then(|file| file.length()).map_err(refused)?;
        let holds_records = *name == first && length > segment::HEAD_BYTES as u64
            || name == mark::NAME && mark::speaks_of_records(disk).map_err(refused)?;
        if !ours || holds_records || length > mark::FILE_BYTES {
            return Err(Refused::no_identity(name));
        }
    }
    names.iter().try_for_each(|name| disk.remove(name)).map_err(refused)
}

/// The state of the newest whole snapshot.
struct Begun {
    state: State,
    /// The record up to which it goes.
    from: Last,
    snapshot: Option<SnapshotInfo>,
    /// Snapshots that were newer but damaged.
    damaged: u64,
}

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
            Ok(Loaded { head, .. }) if head.sequence != sequence => {
                let what = format!("it is the snapshot of record {}: it was renamed", head.sequence);
                return Err(Refused::damaged(&name, 0, 0, what));
            }
            Ok(Loaded { state, head, digest, bytes }) => {
                let from = Last { sequence: head.sequence, checksum: head.chain };
                let snapshot = Checked { head, digest, bytes }.info();
                return Ok(Begun { state, from, snapshot: Some(snapshot), damaged });
            }
            // Nothing of this says that it is damaged: the one before must not take its place.
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
    // Without a snapshot the journal must go back to its beginning; where it does not, this is why.
    match why {
        Some(why) if segment::list(disk).ok().and_then(|firsts| firsts.first().copied()) != Some(1) => {
            Err(why)
        }
        _ => Ok(Begun {
            state: State::new(),
            from: Last { sequence: 0, checksum: 0 },
            snapshot: None,
            damaged,
        }),
    }
}

pub(crate) fn refused_snapshot(name: &str, error: &LoadError) -> Refused {
    let of_it = |what| Refused { file: Some(name.to_owned()), ..Refused::of_all(Kind::Io, what) };
    match error {
        LoadError::Newer { version, .. } => Refused::newer(name, *version, snapshot::VERSION),
        LoadError::Damaged { offset, expected, found, .. } => {
            Refused::damaged(name, *offset, 0, format!("expected {expected}, found {found}"))
        }
        LoadError::Disk { error, .. } => of_it(error.to_string()),
        LoadError::Full(full) => of_it(full.to_string()),
    }
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
    let what = format!(
        "{what}; if everything else is whole, `usher verify DIR` shows the last record N, and `usher repair DIR --cut-at N+1` \
         makes a new mark and gives up nothing"
    );
    Refused::damaged(mark::NAME, 0, 0, what)
}

/// Applies every record after `from` to `state`, as live writes are applied.
pub(crate) fn replay_into(
    state: &mut State,
    disk: &dyn Disk,
    identity: &Identity,
    from: Last,
    mark: Last,
    progress: &(dyn Fn(BytesRead) + Sync),
) -> Result<Found, Refused> {
    let total = journal_bytes(disk, from.sequence)?;
    let mut done = 0;
    let mut each = |sequence, bytes: &[u8]| {
        // Its checksum was right, so it is as somebody wrote it: what cannot be read is of another release.
        let record =
            codec::decode(bytes).map_err(|e| (Kind::Newer, format!("{e}; this release does not know it")))?;
        state.apply(sequence, &record).map(drop).map_err(|e| match e {
            ApplyError::Full(_) => (Kind::Io, e.to_string()),
            ApplyError::Definitions(_) => {
                (Kind::Newer, format!("{e}; this release understands it otherwise"))
            }
            ApplyError::OutOfOrder { .. } => (Kind::Damaged, e.to_string()),
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

/// Makes the end of the journal one to go on from: what was torn is cut, and what the mark does not say is durable is
/// written once more. After a failed sync the system may show bytes that the disk does not have; written again they are
/// synced for certain.
fn mend(disk: &dyn Disk, found: &Found, mark: &mut Mark) -> io::Result<()> {
    if let Some(leftover) = found.leftover {
        disk.remove(&segment::name(leftover))?;
    }
    disk.sync()?; // a name that is there may not be durable yet
    let file = disk.open(&segment::name(found.first))?;
    if found.torn > 0 {
        tracing::warn!(
            bytes = found.torn,
            "the journal's end was torn: bytes cut that were never acknowledged"
        );
    }
    if file.length()? > found.length {
        file.set_length(found.length)?;
    }
    let is_new = found.length == segment::HEAD_BYTES as u64;
    let unmarked = if is_new { 0 } else { found.unmarked };
    disk::copy(&*file, &*file, unmarked..found.length)?;
    // In any case: a start that was killed may have cut it and not come as far as here. The mark for the same reason: what
    // the system shows of it may never have reached the disk. Twice, so that both slots are whole.
    file.sync()?;
    mark.write_both(found.last.sequence, found.last.checksum)
}

#[cfg(test)]
mod tests;
