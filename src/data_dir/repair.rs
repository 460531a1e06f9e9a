//! Giving up the end of a journal knowingly. The only thing that discards what was acknowledged; what it cuts is kept
//! beside, under names that end in `.cut-N`.

use std::io;
use std::path::Path;

use super::{Refused, identity, lock, snapshots};
use crate::disk::{self, Disk};
use crate::journal::mark::{self, Mark};
use crate::journal::replay::{self, Place};
use crate::journal::segment;
use crate::snapshot;

/// What stands in the name of a file that holds what was cut, before a number.
pub const CUT: &str = ".cut-";
/// Copies of the same cut at most.
const MAX_COPIES: u32 = 1_000;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// The last record that is left. Less than was asked for if that would have left part of a submission.
    pub last: u64,
    /// The files that hold what was cut.
    pub kept: Vec<String>,
}

/// Discards record `cut_at` and everything after it, snapshots that hold it included.
///
/// # Errors
/// When a record before it is damaged too, or nothing is left to start from; nothing was changed then. When the system
/// refuses: running it again goes on.
pub fn repair(path: &Path, cut_at: u64) -> Result<Repaired, Refused> {
    repair_disk(&*lock(path)?, cut_at)
}

pub(crate) fn repair_disk(disk: &dyn Disk, cut_at: u64) -> Result<Repaired, Refused> {
    let Some(identity) = identity::read(disk)? else {
        return Err(Refused::no_identity("the rest"));
    };
    let place = replay::locate(disk, &identity, cut_at)?;
    let later: Vec<u64> = snapshots(disk)?.into_iter().filter(|sequence| *sequence >= cut_at).collect();
    check_basis(disk, &identity, cut_at)?;
    cut(disk, &identity, &place, &later).map_err(|e| Refused::io("the data directory", e))
}

/// There must be something to start from before the cut: a whole snapshot with all records after it, or all records.
fn check_basis(disk: &dyn Disk, identity: &identity::Identity, cut_at: u64) -> Result<(), Refused> {
    let oldest = segment::list(disk).ok().and_then(|firsts| firsts.first().copied()).unwrap_or(u64::MAX);
    let whole = |sequence: &u64| {
        *sequence < cut_at
            && *sequence + 1 >= oldest
            && snapshot::verify(disk, identity.salt(), &snapshot::name(*sequence)).is_ok()
    };
    if oldest == 1 || snapshots(disk)?.iter().any(whole) {
        return Ok(());
    }
    let what = format!(
        "nothing would be left to start from: no whole snapshot before record {cut_at}, and no first record"
    );
    Err(Refused { kind: super::Kind::Damaged, file: None, offset: None, sequence: None, what })
}

fn cut(
    disk: &dyn Disk,
    identity: &identity::Identity,
    place: &Place,
    snapshots: &[u64],
) -> io::Result<Repaired> {
    let mut kept = vec![];
    let name = segment::name(place.first);
    let file = disk.open(&name)?;
    if file.length()? > place.length {
        kept.push(copy(disk, &name)?);
    }
    let segments = segment::list(disk)?.into_iter().filter(|first| *first > place.first).map(segment::name);
    for name in segments.chain(snapshots.iter().map(|sequence| snapshot::name(*sequence))) {
        let aside = unused(disk, &name)?;
        disk.rename(&name, &aside)?;
        kept.push(aside);
    }
    disk.sync()?;
    // First the mark: a start between the two finds records that it does not need, and they are whole or cut.
    let mut mark = match Mark::open(disk, identity.salt()) {
        Ok(Some(mark)) => mark,
        Ok(None) => {
            disk.remove(mark::NAME)?;
            Mark::create(disk, identity.salt())?
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Mark::create(disk, identity.salt())?,
        Err(e) => return Err(e),
    };
    mark.write(place.last.sequence, place.last.checksum)?;
    disk.sync()?;
    file.set_length(place.length)?;
    file.sync()?;
    Ok(Repaired { last: place.last.sequence, kept })
}

/// A durable copy of a file; its name.
fn copy(disk: &dyn Disk, name: &str) -> io::Result<String> {
    const STEP_BYTES: usize = 1 << 20;
    let aside = unused(disk, name)?;
    let (from, to) = (disk.open(name)?, disk.create(&aside)?);
    let length = from.length()?;
    let mut bytes = vec![0; STEP_BYTES];
    let mut offset = 0;
    while offset < length {
        let step = &mut bytes[..STEP_BYTES.min((length - offset) as usize)];
        disk::read_exact_at(&*from, offset, step)?;
        disk::write_all_at(&*to, offset, step)?;
        offset += step.len() as u64;
    }
    to.sync()?;
    disk.sync()?;
    Ok(aside)
}

/// A name for what is cut from this file.
fn unused(disk: &dyn Disk, name: &str) -> io::Result<String> {
    let names = disk.list()?;
    let free = (1..=MAX_COPIES).map(|n| format!("{name}{CUT}{n}")).find(|free| !names.contains(free));
    free.ok_or_else(|| {
        io::Error::other(format!("there are {MAX_COPIES} copies of `{name}` already; remove some"))
    })
}
