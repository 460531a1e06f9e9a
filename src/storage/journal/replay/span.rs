//! The part of a journal up to one of its records: for a cut, and for a copy of a journal that is written to.

use std::collections::BTreeMap;

use super::{Replay, missing};
use crate::storage::disk::Disk;
use crate::storage::identity::Identity;
use crate::storage::journal::append::Last;
use crate::storage::journal::segment;
use crate::storage::refused::Refused;

/// The part of a journal before a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordSpan {
    /// The first sequence of the segment that is cut.
    pub(crate) first: u64,
    /// How many bytes of that segment stay.
    pub(crate) length: u64,
    /// The last record that stays.
    pub(crate) last: Last,
}

/// The end of the submission that holds the record before `cut_at`, or of the submission before that one if
/// the cut would leave only part of it. `None` if no file holds that record any more.
///
/// # Errors
/// A record before it in the same segment is damaged.
pub(crate) fn locate(
    disk: &dyn Disk,
    identity: &Identity,
    cut_at: u64,
) -> Result<Option<RecordSpan>, Refused> {
    let firsts = segment::list(disk).map_err(|e| Refused::io("the data directory", e))?;
    let Some(first) = firsts.iter().rfind(|first| **first < cut_at).copied() else { return Ok(None) };
    let (mut each, mut read) = (|_: u64, _: &[u8]| Ok(()), |_: u64| {});
    let mut replay = Replay::of_heads(disk, identity, &mut each, &mut read);
    replay.cut_at = cut_at;
    let reached = replay.segment(first, true)?;
    if replay.last.sequence + 1 >= cut_at {
        let (length, last) = reached.whole;
        return Ok(Some(RecordSpan { first, length, last }));
    }
    let due = replay.last.sequence + 1;
    let (offset, why) = reached.wrong.unwrap_or((reached.length, "the journal ends here".to_owned()));
    Err(Refused::damaged(
        &segment::name(first),
        offset,
        due,
        format!("{why}; the journal can only be cut before that"),
    ))
}

/// The end of a journal that may be written to meanwhile. `mark` was read before. What lies before the last
/// segment is not read.
///
/// # Errors
/// A record that was durable once is not found.
pub(crate) fn end(disk: &dyn Disk, identity: &Identity, mark: Last) -> Result<RecordSpan, Refused> {
    let firsts = segment::list(disk).map_err(|e| Refused::io("the data directory", e))?;
    let mut refused = missing(1, 1);
    // A segment that is being made may have no head yet.
    for first in firsts.iter().rev().take(2) {
        let (mut each, mut read) = (|_: u64, _: &[u8]| Ok(()), |_: u64| {});
        let mut replay = Replay::of_heads(disk, identity, &mut each, &mut read);
        replay.mark = mark;
        match replay.segment(*first, true) {
            Ok(reached) => {
                replay.from.sequence = 0;
                let (length, last) = reached.whole;
                let due = replay.last.sequence + 1;
                let ends = replay.end(*first, &reached, None, BTreeMap::new()).map(drop);
                ends.or_else(|wrong| {
                    came_meanwhile(disk, identity, *first, due)?.then_some(()).ok_or(wrong)
                })?;
                return Ok(RecordSpan { first: *first, length, last });
            }
            Err(wrong) if replay.is_empty(*first)? => refused = wrong,
            Err(wrong) => return Err(wrong),
        }
    }
    Err(refused)
}

/// Whether a record that was due is there now: it was written after the place where it lies was read, and
/// before a later one was found.
fn came_meanwhile(disk: &dyn Disk, identity: &Identity, first: u64, due: u64) -> Result<bool, Refused> {
    let (mut each, mut read) = (|_: u64, _: &[u8]| Ok(()), |_: u64| {});
    let mut replay = Replay::of_heads(disk, identity, &mut each, &mut read);
    replay.segment(first, true)?;
    Ok(replay.last.sequence >= due)
}

/// Whether the journal itself says that all up to `end` is durable.
pub(crate) fn is_durable(disk: &dyn Disk, identity: &Identity, end: &RecordSpan) -> Result<bool, Refused> {
    let firsts = segment::list(disk).map_err(|e| Refused::io("the data directory", e))?;
    if firsts.iter().any(|first| *first > end.first) {
        return Ok(true);
    }
    let (mut each, mut read) = (|_: u64, _: &[u8]| Ok(()), |_: u64| {});
    let replay = Replay::of_heads(disk, identity, &mut each, &mut read);
    Ok(replay.durable_later(end.first, end.length, end.last.sequence)?.is_some())
}
