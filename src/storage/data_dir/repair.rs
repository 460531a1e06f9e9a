//! Giving up the end of a journal. Nothing else discards what was acknowledged. What is cut is kept in the
//! same directory, under names that end in `.cut-N`.

use std::io;
use std::path::Path;

use super::verify::verify_disk;
use super::{lock, missing, refused_snapshot, snapshots};
use crate::storage::disk;
use crate::storage::disk::Disk;
use crate::storage::identity;
use crate::storage::identity::Identity;
use crate::storage::journal::append::Last;
use crate::storage::journal::mark;
use crate::storage::journal::mark::Mark;
use crate::storage::journal::replay;
use crate::storage::journal::replay::RecordSpan;
use crate::storage::journal::segment;
use crate::storage::refused::{Refused, RefusedKind};
use crate::storage::snapshot;

/// Stands in the name of a file that holds what was cut, before a number.
pub const CUT: &str = ".cut-";
/// The most copies of the same cut.
const MAX_COPIES: u32 = 1_000;

/// What a repair left, and where it put the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// The sequence of the last record that is left. It is less than asked for if that would have left
    /// part of a submission.
    pub last: u64,
    /// The names of the files that hold what was cut.
    pub kept: Vec<String>,
}

/// Discards the record `cut_at` and everything after it, with the snapshots that hold it.
///
/// # Errors
/// [`Refused`] when a start would succeed as it is, when a record before is damaged too, or when
/// nothing would be left to start from. Nothing was changed then. When the system refuses half-way,
/// running it again goes on.
pub fn repair(path: &Path, cut_at: u64) -> Result<Repaired, Refused> {
    repair_disk(&*lock(path)?, cut_at)
}

pub(crate) fn repair_disk(disk: &dyn Disk, cut_at: u64) -> Result<Repaired, Refused> {
    let Some(identity) = identity::read(disk)? else {
        return Err(missing(disk));
    };
    // No record is given up for keys of tokens.
    let needs_no_cut = |problem: &Refused| problem.is_spare() || problem.kind == RefusedKind::TokenKeys;
    if verify_disk(disk, &|_| {})?.problems.iter().all(needs_no_cut) {
        let what = "a start needs nothing that is damaged: there is nothing to give up".to_owned();
        return Err(Refused::of_all(RefusedKind::Io, what));
    }
    let cut = match replay::locate(disk, &identity, cut_at)? {
        Some(place) => Cut { place, is_new: false },
        None => begin_at(disk, &identity, cut_at)?,
    };
    check_basis(disk, &identity, cut_at)?;
    let kept = cut.snapshots(disk).and_then(|later| cut.make(disk, &identity, &later));
    let kept = kept.map_err(|e| Refused::io("the data directory", e))?;
    Ok(Repaired { last: cut.place.last.sequence, kept })
}

/// Where the journal will end.
struct Cut {
    place: RecordSpan,
    /// Whether that is in a segment that is still to be made, because the one before is gone.
    is_new: bool,
}

/// Where the journal ends if the segment before is gone: behind a snapshot of the record before, or at
/// the very beginning.
fn begin_at(disk: &dyn Disk, identity: &Identity, cut_at: u64) -> Result<Cut, Refused> {
    let sequence = cut_at - 1;
    let checksum = if sequence == 0 {
        0
    } else {
        let name = snapshot::name(sequence);
        let checked = snapshot::verify(disk, identity.salt(), &name);
        checked.map_err(|error| refused_snapshot(&name, &error))?.head.chain
    };
    let place =
        RecordSpan { first: cut_at, length: segment::HEAD_BYTES as u64, last: Last { sequence, checksum } };
    Ok(Cut { place, is_new: true })
}

/// Makes sure that there is something to start from before the cut: a whole snapshot with all records
/// after it, or all records.
fn check_basis(disk: &dyn Disk, identity: &Identity, cut_at: u64) -> Result<(), Refused> {
    let oldest = segment::list(disk).ok().and_then(|firsts| firsts.first().copied()).unwrap_or(u64::MAX);
    let whole = |sequence: &u64| {
        *sequence < cut_at
            && (*sequence + 1 >= oldest || *sequence + 1 == cut_at)
            && snapshot::verify(disk, identity.salt(), &snapshot::name(*sequence)).is_ok()
    };
    if oldest == 1 || cut_at == 1 || snapshots(disk)?.iter().any(whole) {
        return Ok(());
    }
    let what = format!(
        "nothing would be left to start from: no whole snapshot before record {cut_at}, and the first records are gone"
    );
    Err(Refused::of_all(RefusedKind::Damaged, what))
}

impl Cut {
    /// The sequences of the snapshots that are given up.
    fn snapshots(&self, disk: &dyn Disk) -> io::Result<Vec<u64>> {
        let mut all = snapshots(disk).map_err(io::Error::other)?;
        all.retain(|sequence| *sequence > self.place.last.sequence);
        Ok(all)
    }

    /// Puts aside what is given up, then cuts. Returns the names of the files that hold it.
    fn make(&self, disk: &dyn Disk, identity: &Identity, snapshots: &[u64]) -> io::Result<Vec<String>> {
        let Cut { place, is_new } = self;
        let mut kept = vec![];
        let name = segment::name(place.first);
        if !is_new && disk.open(&name)?.length()? > place.length {
            kept.push(copy(disk, &name)?);
        }
        let is_later = |first: &u64| *first > place.first || *is_new && *first == place.first;
        let segments = segment::list(disk)?.into_iter().filter(is_later).map(segment::name);
        for name in segments.chain(snapshots.iter().map(|sequence| snapshot::name(*sequence))) {
            let aside = unused(disk, &name)?;
            disk.rename(&name, &aside)?;
            kept.push(aside);
        }
        disk.sync()?;
        if *is_new {
            let head = segment::SegmentHead { first: place.first, previous: place.last.checksum };
            drop(segment::create(disk, identity, head)?);
        }
        // First the mark, which names what is given up; then what it names.
        let mut mark = make_mark(disk, identity)?;
        mark.write_both(place.last.sequence, place.last.checksum)?;
        disk.sync()?;
        let file = disk.open(&name)?;
        file.set_length(place.length)?;
        file.sync()?;
        Ok(kept)
    }
}

/// The mark, or a new one in place of one that is gone or damaged.
fn make_mark(disk: &dyn Disk, identity: &Identity) -> io::Result<Mark> {
    match Mark::open(disk, identity.salt()) {
        Ok(Some(mark)) => Ok(mark),
        Ok(None) => {
            disk.remove(mark::NAME)?;
            Mark::create(disk, identity.salt())
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Mark::create(disk, identity.salt()),
        Err(e) => Err(e),
    }
}

/// Makes a durable copy of a file. Returns the name of the copy.
fn copy(disk: &dyn Disk, name: &str) -> io::Result<String> {
    let aside = unused(disk, name)?;
    let (from, to) = (disk.open(name)?, disk.create(&aside)?);
    disk::copy(&*from, &*to, 0..from.length()?)?;
    to.sync()?;
    disk.sync()?;
    Ok(aside)
}

/// A free name for what is cut from this file.
fn unused(disk: &dyn Disk, name: &str) -> io::Result<String> {
    let names = disk.list()?;
    let free = (1..=MAX_COPIES).map(|n| format!("{name}{CUT}{n}")).find(|free| !names.contains(free));
    free.ok_or_else(|| {
        io::Error::other(format!("there are {MAX_COPIES} copies of `{name}` already; remove some"))
    })
}
