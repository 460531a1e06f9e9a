//! Reading the journal back: every record after a snapshot, in order, and the place where appending
//! goes on.
//!
//! # Torn or rotten
//! Where a record is due and not found, the journal either ends or is damaged. It ends if power was cut
//! before the record was durable; it was never acknowledged then. It is damaged, and refused, if any of these
//! says that the record was durable once:
//! - The mark names it or a later record.
//! - A later record says that it was durable when that one was written.
//! - A later segment begins after it: a segment is synced before the next one is made.
//!
//! Otherwise all from the bad place on was never acknowledged. It is cut, back to the end of a whole
//! submission. Zeros up to the end of the file are room that was made ahead; the same is asked of them.
//! Records of one batch reach the disk in any order, so a whole record behind a bad one proves nothing
//! by itself.

mod span;

use std::collections::BTreeMap;

pub(crate) use self::span::{RecordSpan, end, is_durable, locate};

use super::append::Last;
use super::frame;
use super::frame::ALIGNMENT;
use super::segment;
use super::window::FileWindow;
use crate::storage::disk;
use crate::storage::disk::{Disk, File};
use crate::storage::identity::Identity;
use crate::storage::refused::{Refused, RefusedKind};

/// What a journal held, and where it ends. Nothing was changed.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// The last record of the last whole submission.
    pub(crate) last: Last,
    /// The first sequence of the segment where appending goes on.
    pub(crate) first: u64,
    /// Bytes of that segment up to there.
    pub(crate) length: u64,
    /// Bytes behind that, of records that were never acknowledged, without the zeros behind them.
    pub(crate) torn: u64,
    /// The byte of that segment from which on the mark does not call records durable.
    pub(crate) unmarked: u64,
    /// The first sequence of a segment that was being made when the process ended. It is to be removed.
    pub(crate) leftover: Option<u64>,
    /// Bytes of each segment by its first sequence, as appending will find them.
    pub(crate) segments: BTreeMap<u64, u64>,
    /// How many records were given to `each`.
    pub(crate) replayed: u64,
}

/// Takes the records: sequence and bytes. An error refuses the journal.
pub(crate) type Each<'e> = dyn FnMut(u64, &[u8]) -> Result<(), (RefusedKind, String)> + 'e;

/// Gives every record after `from` to `each`. `from` is the last record of a snapshot, or zeros for all
/// records. `read` is called with the number of bytes of each frame that was read.
///
/// # Errors
/// What is damaged, missing, too new, or cannot be read.
pub(crate) fn replay(
    disk: &dyn Disk,
    identity: &Identity,
    from: Last,
    mark: Last,
    each: &mut Each<'_>,
    read: &mut dyn FnMut(u64),
) -> Result<Replayed, Refused> {
    let firsts = segment::list(disk).map_err(|e| Refused::io("the data directory", e))?;
    let due = from.sequence + 1;
    let Some(start) = firsts.iter().rposition(|first| *first <= due) else {
        return Err(missing(due, firsts.first().copied().unwrap_or(due)));
    };
    let mut replay = Replay {
        disk,
        identity,
        from,
        mark,
        each,
        read,
        last: from,
        pending: Vec::new(),
        replayed: 0,
        cut_at: u64::MAX,
    };
    let mut segments: BTreeMap<u64, u64> = BTreeMap::new();
    for first in &firsts[..start] {
        segments.insert(
            *first,
            replay.open(*first)?.length().map_err(|e| Refused::io(&segment::name(*first), e))?,
        );
    }
    let mut found = replay.all(&firsts[start..])?;
    found.segments.append(&mut segments);
    Ok(found)
}

struct Replay<'r> {
    disk: &'r dyn Disk,
    identity: &'r Identity,
    from: Last,
    mark: Last,
    each: &'r mut Each<'r>,
    read: &'r mut dyn FnMut(u64),
    /// The last record that was whole.
    last: Last,
    /// Records of a submission whose end was not read yet. They take as much memory as when the
    /// submission was made.
    pending: Vec<(u64, Vec<u8>)>,
    replayed: u64,
    /// Reading ends before the record of this sequence.
    cut_at: u64,
}

/// How far a segment could be read.
struct SegmentRead {
    /// Where the last whole submission ends, and its last record.
    whole: (u64, Last),
    unmarked: u64,
    /// Bytes of the segment, without the zeros at its end.
    length: u64,
    /// At which byte reading ended before the end of the segment, and why.
    wrong: Option<(u64, String)>,
}

impl SegmentRead {
    /// Whether the segment ends with `last`, the record right before the segment `next`.
    fn goes_on(&self, last: Last, next: u64) -> bool {
        self.whole.1 == last && last.sequence + 1 == next
    }
}

impl<'r> Replay<'r> {
    /// Reads records and gives them to nobody.
    fn of_heads(
        disk: &'r dyn Disk,
        identity: &'r Identity,
        each: &'r mut Each<'r>,
        read: &'r mut dyn FnMut(u64),
    ) -> Replay<'r> {
        let nobody = Last { sequence: 0, checksum: 0 };
        let from = Last { sequence: u64::MAX, checksum: 0 };
        let (pending, replayed) = (Vec::new(), 0);
        Replay {
            disk,
            identity,
            from,
            mark: nobody,
            each,
            read,
            last: nobody,
            pending,
            replayed,
            cut_at: u64::MAX,
        }
    }
}

impl Replay<'_> {
    fn all(&mut self, firsts: &[u64]) -> Result<Replayed, Refused> {
        let mut segments = BTreeMap::new();
        let mut at = 0;
        loop {
            let first = firsts[at];
            let reached = self.segment(first, at == 0)?;
            segments.insert(first, reached.whole.0);
            match firsts.get(at + 1) {
                None => return self.end(first, &reached, None, segments),
                Some(next) if reached.goes_on(self.last, *next) && self.follows(*next, &reached)? => at += 1,
                // It was being made when there was no room for it, or when the process ended. Nothing
                // is in it.
                Some(next)
                    if at + 2 == firsts.len()
                        && self.last.sequence + 1 >= *next
                        && self.is_empty(*next)? =>
                {
                    return self.end(first, &reached, Some(*next), segments);
                }
                Some(next) => return Err(self.damaged_before(first, &reached, *next)),
            }
        }
    }

    /// Whether the segment goes on where `reached` ends. If it does, what lies behind the last record
    /// there does not matter: the head says that nothing was kept in between. A segment that cannot be
    /// read does not follow if nothing is in it.
    fn follows(&self, first: u64, reached: &SegmentRead) -> Result<bool, Refused> {
        let file = self.open(first)?;
        let mut head = [0; segment::HEAD_BYTES];
        let whole =
            disk::read_exact_at(&*file, 0, &mut head).map_err(|e| Refused::io(&segment::name(first), e))?;
        match segment::SegmentHead::read(&head, self.identity) {
            Ok(head) if whole && reached.wrong.is_some() => Ok(head.previous == self.last.checksum),
            Err(segment::BadHead::Damaged) => Ok(reached.wrong.is_none() && !self.is_empty(first)?),
            _ if !whole => Ok(reached.wrong.is_none() && !self.is_empty(first)?),
            _ => Ok(reached.wrong.is_none()),
        }
    }

    /// The journal, if it ends in this segment.
    fn end(
        &self,
        first: u64,
        reached: &SegmentRead,
        leftover: Option<u64>,
        segments: BTreeMap<u64, u64>,
    ) -> Result<Replayed, Refused> {
        let name = segment::name(first);
        let (length, last) = reached.whole;
        let due = self.last.sequence + 1;
        let (bad, why) = match &reached.wrong {
            Some((offset, why)) => (*offset, why.as_str()),
            None => (reached.length, "the journal ends here"),
        };
        if self.mark.sequence >= due {
            let what = format!("{why}; but record {} was durable once", self.mark.sequence);
            return Err(Refused::damaged(&name, bad, due, what));
        }
        if let Some(later) = self.durable_later(first, bad, due)? {
            let what = format!("{why}; but record {later} behind it says that it was durable");
            return Err(Refused::damaged(&name, bad, due, what));
        }
        if self.mark.sequence > last.sequence {
            let what = "the submission that begins here is not whole, but was durable once".to_owned();
            return Err(Refused::damaged(&name, length, last.sequence + 1, what));
        }
        if last.sequence < self.from.sequence {
            return Err(older_than_snapshot(&name, last.sequence, self.from.sequence));
        }
        Ok(Replayed {
            last,
            first,
            length,
            torn: reached.length - length,
            unmarked: reached.unmarked.min(length),
            leftover,
            segments,
            replayed: self.replayed,
        })
    }

    /// Why the journal cannot go on in the segment `next`.
    fn damaged_before(&self, first: u64, reached: &SegmentRead, next: u64) -> Refused {
        let due = self.last.sequence + 1;
        let name = segment::name(first);
        match &reached.wrong {
            Some((offset, why)) => Refused::damaged(
                &name,
                *offset,
                due,
                format!("{why}; but the next segment begins with record {next}"),
            ),
            None if next > due => missing(due, next),
            None => {
                let what = format!(
                    "its first record is {next}, but `{name}` goes up to record {}",
                    self.last.sequence
                );
                Refused::damaged(&segment::name(next), 0, next, what)
            }
        }
    }

    fn segment(&mut self, first: u64, is_first: bool) -> Result<SegmentRead, Refused> {
        let name = segment::name(first);
        let file = self.open(first)?;
        let length = file.length().map_err(|e| Refused::io(&name, e))?;
        let mut window = FileWindow::new(&*file, length);
        let head = segment::SegmentHead::read(
            window.at(0, segment::HEAD_BYTES).map_err(|e| Refused::io(&name, e))?,
            self.identity,
        );
        let head = head.map_err(|wrong| refused_head(&name, first, wrong))?;
        if head.first != first {
            let what = format!("its head says that it begins with record {}: it was renamed", head.first);
            return Err(Refused::damaged(&name, 0, first, what));
        }
        if is_first {
            self.last = Last { sequence: first - 1, checksum: head.previous };
            self.check_joints(&name, 0)?;
        } else if head.previous != self.last.checksum {
            let what = "it does not continue the segment before".to_owned();
            return Err(Refused::damaged(&name, 0, first, what));
        }
        self.records(&name, window)
    }

    /// Reads the records of one segment, until its end or the first record that is wrong.
    fn records(&mut self, name: &str, mut window: FileWindow<'_>) -> Result<SegmentRead, Refused> {
        let mut offset = segment::HEAD_BYTES as u64;
        let mut reached =
            SegmentRead { whole: (offset, self.last), unmarked: offset, length: window.length, wrong: None };
        while offset < window.length && self.last.sequence + 1 < self.cut_at {
            let bytes = window.frame(offset, self.identity.salt()).map_err(|e| Refused::io(name, e))?;
            let (head, payload, checksum) = match frame::read(bytes, self.identity.salt()) {
                Ok(frame) => frame,
                Err(frame::BadFrame::Version(version)) => {
                    return Err(Refused::newer(name, u32::from(version), u32::from(frame::VERSION)));
                }
                Err(wrong) => {
                    let written = window.written_end(offset).map_err(|e| Refused::io(name, e))?;
                    reached.length = written;
                    reached.wrong = (written > offset).then(|| (offset, wrong.to_string()));
                    break;
                }
            };
            if (head.sequence, head.previous) != (self.last.sequence + 1, self.last.checksum) {
                reached.length = window.written_end(offset).map_err(|e| Refused::io(name, e))?;
                reached.wrong = Some((
                    offset,
                    format!("record {} lies here, or a record of another journal", head.sequence),
                ));
                break;
            }
            let frame_bytes = frame::frame_bytes(head.length) as u64;
            self.last = Last { sequence: head.sequence, checksum };
            self.check_joints(name, offset)?;
            self.take(name, offset, head.more, payload)?;
            offset += frame_bytes;
            if !head.more {
                reached.whole = (offset, self.last);
            }
            if self.last.sequence <= self.mark.sequence {
                reached.unmarked = offset;
            }
            (self.read)(frame_bytes);
        }
        self.pending.clear();
        Ok(reached)
    }

    /// Snapshot and mark name records by their checksums. This journal must hold the same records.
    fn check_joints(&self, name: &str, offset: u64) -> Result<(), Refused> {
        for (who, joint) in [("snapshot", self.from), ("mark", self.mark)] {
            let is_here = joint.sequence == self.last.sequence && joint.sequence > 0;
            if is_here && joint.checksum != self.last.checksum {
                let what = format!("the {who} belongs to another journal: record {} differs", joint.sequence);
                return Err(Refused::damaged(name, offset, joint.sequence, what));
            }
        }
        Ok(())
    }

    fn take(&mut self, name: &str, offset: u64, more: bool, payload: &[u8]) -> Result<(), Refused> {
        let sequence = self.last.sequence;
        if sequence <= self.from.sequence {
            return Ok(());
        }
        if more {
            self.pending.push((sequence, payload.to_vec()));
            return Ok(());
        }
        let rejected =
            |sequence, (kind, why)| Refused { kind, ..Refused::damaged(name, offset, sequence, why) };
        for (sequence, payload) in self.pending.drain(..) {
            (self.each)(sequence, &payload).map_err(|why| rejected(sequence, why))?;
            self.replayed += 1;
        }
        (self.each)(sequence, payload).map_err(|why| rejected(sequence, why))?;
        self.replayed += 1;
        Ok(())
    }

    /// The sequence of a whole record, from `offset` on, that says that `due` was durable when it was
    /// written.
    fn durable_later(&self, first: u64, offset: u64, due: u64) -> Result<Option<u64>, Refused> {
        self.search(first, offset, |head| head.durable >= due)
    }

    fn is_empty(&self, first: u64) -> Result<bool, Refused> {
        Ok(self.search(first, 0, |_| true)?.is_none())
    }

    /// The sequence of the first whole record that is `wanted`, from `offset` on, at whatever byte it
    /// begins.
    fn search(
        &self,
        first: u64,
        offset: u64,
        wanted: impl Fn(&frame::RecordHead) -> bool,
    ) -> Result<Option<u64>, Refused> {
        let file = self.open(first)?;
        let name = segment::name(first);
        let length = file.length().map_err(|e| Refused::io(&name, e))?;
        let mut window = FileWindow::new(&*file, length);
        let mut offset = offset.next_multiple_of(ALIGNMENT as u64);
        while offset < length {
            let bytes = window.frame(offset, self.identity.salt()).map_err(|e| Refused::io(&name, e))?;
            match frame::read(bytes, self.identity.salt()) {
                Ok((head, ..)) if wanted(&head) => return Ok(Some(head.sequence)),
                _ => offset += ALIGNMENT as u64,
            }
        }
        Ok(None)
    }

    fn open(&self, first: u64) -> Result<Box<dyn File>, Refused> {
        let name = segment::name(first);
        self.disk.open(&name).map_err(|e| Refused::io(&name, e))
    }
}

fn missing(due: u64, next: u64) -> Refused {
    let what = match next - due {
        0 => "there is no segment of the journal".to_owned(),
        _ => format!("records {due} to {} are missing: the file that held them is gone", next - 1),
    };
    Refused { kind: RefusedKind::Damaged, file: None, offset: None, sequence: Some(due), what }
}

fn older_than_snapshot(name: &str, last: u64, snapshot: u64) -> Refused {
    let what = format!("the journal ends with record {last}, but a snapshot holds record {snapshot}");
    Refused {
        kind: RefusedKind::Damaged,
        file: Some(name.to_owned()),
        offset: None,
        sequence: Some(last + 1),
        what,
    }
}

fn refused_head(name: &str, first: u64, wrong: segment::BadHead) -> Refused {
    match wrong {
        segment::BadHead::Version(version) => Refused::newer(name, version, segment::VERSION),
        wrong => Refused::damaged(name, 0, first, wrong.to_string()),
    }
}
