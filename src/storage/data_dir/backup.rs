//! Copies of a data directory, also of one that a server is writing to: backups, and what is restored from
//! them. A copy is a data directory itself.
//!
//! Snapshots never change, and a journal only grows. So a copy is the newest whole snapshot, the records
//! after it up to the last one that is durable, and a mark of its own. It takes no lock of the directory it
//! reads. The identity comes last: what has none is not whole. A copy that was broken off goes on where it
//! was.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{make_folder, missing, open_mark, refused_snapshot, renamed_snapshot, snapshots};
use crate::storage::disk;
use crate::storage::disk::{Disk, Folder};
use crate::storage::durability::BytesRead;
use crate::storage::identity;
use crate::storage::identity::{Identity, IdentityFile};
use crate::storage::journal::append::Last;
use crate::storage::journal::mark;
use crate::storage::journal::mark::Mark;
use crate::storage::journal::replay;
use crate::storage::journal::replay::RecordSpan;
use crate::storage::journal::segment;
use crate::storage::refused::{Refused, RefusedKind};
use crate::storage::snapshot;
use crate::storage::snapshot::LoadError;
use crate::storage::token_keys;

/// Says which directory is being copied here, until the copy is whole.
pub(crate) const UNFINISHED: &str = "copy.unfinished";
const UNFINISHED_TEMPORARY: &str = "copy.unfinished.tmp";
/// How often a copy begins anew because files went meanwhile, or what is here of an earlier try is wrong.
const MAX_TRIES: usize = 10;
/// How long to wait until the last record is known to be durable. Where syncs come seldom or never, it is
/// enough that the record still stands then: what a full disk refused is cut at once.
const STAND_WAIT: Duration = Duration::from_secs(2);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);
/// How many bytes are copied at once; then progress is told.
const STEP_BYTES: u64 = 1 << 20;

/// What a copy holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// The last record in it.
    pub sequence: u64,
    /// The record of its snapshot; 0 if it has all records and no snapshot.
    pub snapshot: u64,
    /// How many bytes its snapshot and journal have.
    pub bytes: u64,
    /// How many of them an earlier try had copied.
    pub kept: u64,
    /// How many newer snapshots were damaged, so that an older one was taken.
    pub damaged_snapshots: u64,
}

/// Why a try ended.
enum Broken {
    /// Files went meanwhile, or what is here of an earlier try does not fit: the next try may succeed.
    Anew(Refused),
    Refused(Refused),
}

/// Copies the data directory `from`, which a server may be using, to the directory `to`, and checks every
/// byte of the copy. `to` must be missing or empty, or hold what an earlier try left.
///
/// # Errors
/// [`Refused`]: `from` is damaged or no data directory, `to` holds something else, or the system refuses.
/// Running it again goes on.
pub fn copy(from: &Path, to: &Path, progress: &(dyn Fn(BytesRead) + Sync)) -> Result<Copied, Refused> {
    let of = |path: &Path| Some(path.display().to_string());
    let source = Folder::open_to_read(from).map_err(|e| Refused::io(&from.display().to_string(), e))?;
    let missing = || Refused { file: of(from), ..missing(&source) };
    let known = identity::inspect(&source)?.ok_or_else(missing)?;
    make_folder(to)?;
    let target = super::lock(to)?;
    begin(&*target, &known.identity).map_err(|refused| Refused { file: of(to), ..refused })?;
    copy_disk(&source, &*target, &known, progress)
}

pub(super) fn copy_disk(
    source: &dyn Disk,
    target: &dyn Disk,
    known: &IdentityFile,
    progress: &(dyn Fn(BytesRead) + Sync),
) -> Result<Copied, Refused> {
    let mut why = None;
    for _ in 0..MAX_TRIES {
        match (Copy { source, target, known, progress }).run() {
            Ok(copied) => return Ok(copied),
            Err(Broken::Refused(refused)) => return Err(refused),
            Err(Broken::Anew(refused)) => why = Some(refused),
        }
    }
    Err(why.unwrap_or_else(|| Refused::of_all(RefusedKind::Io, "no copy could be made".to_owned())))
}

/// Whether a copy into the directory with these files did not end.
pub(super) fn is_unfinished(names: &[String]) -> bool {
    names.iter().any(|name| name == UNFINISHED)
}

/// Makes sure that the target is empty, or holds an earlier try of the same copy, and notes which it is.
pub(super) fn begin(target: &dyn Disk, identity: &Identity) -> Result<(), Refused> {
    let refused = |e| Refused::io(UNFINISHED, e);
    let note: String = identity.id.iter().map(|byte| format!("{byte:02x}")).collect();
    let names = target.list().map_err(|e| Refused::io("the new directory", e))?;
    let of_all = |what: &str| Err(Refused::of_all(RefusedKind::Io, what.to_owned()));
    if is_unfinished(&names) {
        let file = target.open(UNFINISHED).map_err(refused)?;
        let mut found = vec![0; note.len()];
        if !disk::read_exact_at(&*file, 0, &mut found).map_err(refused)? || found != note.as_bytes() {
            return of_all("a copy of another directory was begun here: name a new or empty directory");
        }
        // Until it is whole again, no server may take it for whole.
        return disk::remove_if_there(target, identity::NAME).and_then(|()| target.sync()).map_err(refused);
    }
    if names.iter().any(|name| name == identity::NAME) {
        return of_all("this is a data directory already: name a new or empty directory");
    }
    if names.iter().any(|name| name != UNFINISHED_TEMPORARY) {
        return of_all("this directory is not empty, and no copy was begun here: name a new or empty one");
    }
    disk::replace(target, UNFINISHED_TEMPORARY, UNFINISHED, note.as_bytes()).map_err(refused)
}

/// One try.
struct Copy<'c> {
    source: &'c dyn Disk,
    target: &'c dyn Disk,
    known: &'c IdentityFile,
    progress: &'c (dyn Fn(BytesRead) + Sync),
}

/// The files of a copy, each with its bytes.
struct Plan {
    snapshot: Option<u64>,
    damaged_snapshots: u64,
    end: RecordSpan,
    files: Vec<(String, u64)>,
}

impl Copy<'_> {
    fn run(&self) -> Result<Copied, Broken> {
        // The keys first, for without them nothing is worth copying.
        let keys = token_keys::read_own(self.source, self.known.keeps_keys).map_err(Broken::Refused)?;
        let plan = self.plan()?;
        self.clear(&plan)?;
        let kept = self.copy_files(&plan)?;
        self.check(&plan).inspect_err(|_| self.remove_all())?;
        let finish = || -> io::Result<()> {
            if let Some(keys) = &keys {
                token_keys::write_own(self.target, keys)?;
            }
            identity::write(self.target, &self.known.identity, keys.is_some())?;
            self.target.remove(UNFINISHED)?;
            self.target.sync()
        };
        finish().map_err(|e| of_copy("the new directory", &e))?;
        let bytes = plan.files.iter().map(|(_, bytes)| bytes).sum();
        let Plan { snapshot, damaged_snapshots, end, .. } = plan;
        let (sequence, snapshot) = (end.last.sequence, snapshot.unwrap_or(0));
        Ok(Copied { sequence, snapshot, bytes, kept, damaged_snapshots })
    }

    /// What is to be copied. The snapshot is chosen first, so that the journal holds what follows it.
    fn plan(&self) -> Result<Plan, Broken> {
        let (snapshot, damaged_snapshots) = self.newest_snapshot()?;
        let end = self.durable_end()?;
        let due = snapshot.unwrap_or(0) + 1;
        let firsts = segment::list(self.source).map_err(|e| read("the data directory", e))?;
        let start = firsts.iter().rposition(|first| *first <= due);
        let firsts = start.map_or(&[][..], |start| &firsts[start..]);
        let mut files = vec![];
        if let Some(sequence) = snapshot {
            let name = snapshot::name(sequence);
            files.push((name.clone(), self.length(&name)?));
        }
        for first in firsts.iter().filter(|first| **first <= end.first) {
            let name = segment::name(*first);
            let bytes = if *first == end.first { end.length } else { self.length(&name)? };
            files.push((name, bytes));
        }
        if !firsts.contains(&end.first) {
            let what = "the journal does not go on after the newest snapshot".to_owned();
            return Err(Broken::Anew(Refused::of_all(RefusedKind::Damaged, what)));
        }
        Ok(Plan { snapshot, damaged_snapshots, end, files })
    }

    /// The newest snapshot, or the one before if that is damaged, and how many are. `None` if there is none.
    fn newest_snapshot(&self) -> Result<(Option<u64>, u64), Broken> {
        let (mut damaged, mut why) = (0, None);
        for sequence in snapshots(self.source).map_err(Broken::Refused)? {
            let name = snapshot::name(sequence);
            match snapshot::verify(self.source, self.known.identity.salt(), &name) {
                Ok(checked) if checked.head.sequence != sequence => {
                    return Err(Broken::Refused(renamed_snapshot(&name, checked.head.sequence)));
                }
                Ok(_) => return Ok((Some(sequence), damaged)),
                // As at a start: these do not say that the snapshot is damaged.
                Err(LoadError::Disk { error, .. }) => return Err(read(&name, error)),
                Err(error @ (LoadError::Newer { .. } | LoadError::Full(_))) => {
                    return Err(Broken::Refused(refused_snapshot(&name, &error)));
                }
                Err(error @ LoadError::Damaged { .. }) => why = Some(refused_snapshot(&name, &error)),
            }
            damaged += 1;
        }
        match why {
            Some(why) => Err(Broken::Anew(why)),
            None => Ok((None, 0)),
        }
    }

    /// The end of the journal, of which everything is durable.
    fn durable_end(&self) -> Result<RecordSpan, Broken> {
        let identity = &self.known.identity;
        // The mark first: the journal holds what it names.
        let mark = open_mark(self.source, identity).map_err(Broken::Anew)?;
        let mark = Last { sequence: mark.sequence, checksum: mark.checksum };
        let end = replay::end(self.source, identity, mark).map_err(Broken::Anew)?;
        let begin = Instant::now();
        while begin.elapsed() < STAND_WAIT {
            let marked = open_mark(self.source, identity).map_or(0, |mark| mark.sequence);
            if marked >= end.last.sequence
                || replay::is_durable(self.source, identity, &end).map_err(Broken::Anew)?
            {
                return Ok(end);
            }
            std::thread::sleep(LOOK_AGAIN_AFTER);
        }
        match replay::locate(self.source, identity, end.last.sequence + 1).map_err(Broken::Anew)? {
            Some(stands) if stands.last == end.last => Ok(end),
            _ => Err(Broken::Anew(Refused::of_all(
                RefusedKind::Io,
                "the last records of the journal went meanwhile".to_owned(),
            ))),
        }
    }

    fn length(&self, name: &str) -> Result<u64, Broken> {
        self.source.open(name).and_then(|file| file.length()).map_err(|e| read(name, e))
    }

    /// Removes what an earlier try copied and this one does not need.
    fn clear(&self, plan: &Plan) -> Result<(), Broken> {
        let stale = |name: &&String| {
            let ours = snapshot::sequence_of(name).is_some() || segment::first_of(name).is_some();
            ours && !plan.files.iter().any(|(wanted, _)| wanted == *name) || *name == mark::NAME
        };
        let names = self.target.list().map_err(|e| of_copy("the new directory", &e))?;
        names
            .iter()
            .filter(stale)
            .try_for_each(|name| self.target.remove(name).map_err(|e| of_copy(name, &e)))
    }

    /// Copies the files, and makes the mark. Returns how many bytes were here already.
    fn copy_files(&self, plan: &Plan) -> Result<u64, Broken> {
        let total = plan.files.iter().map(|(_, bytes)| bytes).sum();
        let (mut done, mut kept) = (0, 0);
        let mut step = vec![0; STEP_BYTES.min(total) as usize];
        for (name, bytes) in &plan.files {
            let from = self.source.open(name).map_err(|e| read(name, e))?;
            let to = match self.target.open(name) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => self.target.create(name),
                opened => opened,
            };
            let to = to.map_err(|e| of_copy(name, &e))?;
            let mut at = to.length().map_err(|e| of_copy(name, &e))?;
            if at > *bytes {
                to.set_length(*bytes).map_err(|e| of_copy(name, &e))?;
                at = *bytes;
            }
            kept += at;
            while at < *bytes {
                let step = &mut step[..STEP_BYTES.min(bytes - at) as usize];
                if !disk::read_exact_at(&*from, at, step).map_err(|e| read(name, e))? {
                    return Err(read(name, io::ErrorKind::UnexpectedEof.into()));
                }
                disk::write_all_at(&*to, at, step).map_err(|e| of_copy(name, &e))?;
                at += step.len() as u64;
                (self.progress)(BytesRead { done: done + at, total });
            }
            to.sync().map_err(|e| of_copy(name, &e))?;
            done += bytes;
        }
        let last = plan.end.last;
        let make = || -> io::Result<()> {
            let mut mark = Mark::create(self.target, self.known.identity.salt())?;
            mark.write_both(last.sequence, last.checksum)?;
            self.target.sync()
        };
        make().map_err(|e| of_copy(mark::NAME, &e))?;
        Ok(kept)
    }

    /// Reads every byte of the copy.
    fn check(&self, plan: &Plan) -> Result<(), Broken> {
        let identity = &self.known.identity;
        let mut from = Last { sequence: 0, checksum: 0 };
        if let Some(sequence) = plan.snapshot {
            let name = snapshot::name(sequence);
            let checked = snapshot::verify(self.target, identity.salt(), &name);
            let checked = checked.map_err(|error| Broken::Anew(refused_snapshot(&name, &error)))?;
            from = Last { sequence: checked.head.sequence, checksum: checked.head.chain };
        }
        let end = plan.end.last;
        let found = replay::replay(self.target, identity, from, end, &mut |_, _| Ok(()), &mut |_| {});
        match found.map_err(Broken::Anew)? {
            found if found.last == end && found.torn == 0 => Ok(()),
            found => {
                let what = format!("it goes up to record {}, not {}", found.last.sequence, end.sequence);
                Err(Broken::Anew(Refused::damaged(&segment::name(plan.end.first), 0, 0, what)))
            }
        }
    }

    /// Removes what was copied, so that the next try copies it anew.
    fn remove_all(&self) {
        for name in self.target.list().unwrap_or_default() {
            if name != UNFINISHED {
                let _ = self.target.remove(&name); // what stays is checked again
            }
        }
    }
}

/// The source could not be read. A file that is gone was no longer needed there, and others took its place.
fn read(name: &str, e: io::Error) -> Broken {
    let is_gone = e.kind() == io::ErrorKind::NotFound;
    let refused = Refused::io(name, e);
    if is_gone { Broken::Anew(refused) } else { Broken::Refused(refused) }
}

/// The copy could not be written.
fn of_copy(name: &str, e: &io::Error) -> Broken {
    let hint = if disk::is_full(e) { "; make room and run it again: it goes on" } else { "" };
    let what = format!("the copy: {e}{hint}");
    Broken::Refused(Refused { file: Some(name.to_owned()), ..Refused::of_all(RefusedKind::Io, what) })
}
