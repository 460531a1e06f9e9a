//! Checking everything in a data directory. Nothing is changed.

use std::path::Path;

use super::{lock, missing, open_mark, refused_snapshot, renamed_snapshot, replay_into, snapshots};
use crate::state::State;
use crate::storage::disk::Disk;
use crate::storage::durability::BytesRead;
use crate::storage::durability::SnapshotInfo;
use crate::storage::identity;
use crate::storage::identity::{Identity, IdentityFile};
use crate::storage::journal::append::Last;
use crate::storage::journal::{mark, replay, segment};
use crate::storage::refused::{Refused, RefusedKind};
use crate::storage::snapshot;
use crate::storage::snapshot::KEPT;
use crate::storage::snapshot::{LoadError, LoadedSnapshot};
use crate::storage::token_keys;

/// What a data directory holds.
#[derive(Debug, Default)]
pub struct Report {
    /// Snapshots that are whole, newest first.
    pub snapshots: Vec<SnapshotInfo>,
    /// The journal, if it can be read.
    pub journal: Option<JournalReport>,
    /// The state that a start would reach, if it would succeed.
    pub state: Option<StateReport>,
    /// How many keys of tokens the directory keeps; `None` if it has no file of them, or a damaged one.
    pub token_keys: Option<u64>,
    /// What is damaged, one refusal each.
    pub problems: Vec<Refused>,
}

/// The journal as it is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalReport {
    /// The sequence of the first record that is kept.
    pub first: u64,
    /// The sequence of the last record of a whole submission.
    pub last: u64,
    /// How many files the journal has.
    pub segments: u64,
    /// How many bytes these files have, without zeros at the end.
    pub bytes: u64,
    /// How many bytes at the end a start would cut. They were never acknowledged.
    pub torn: u64,
    /// The sequence up to which the mark says that records are durable.
    pub marked: u64,
}

/// The state that a start would reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateReport {
    /// The sequence of the last record.
    pub sequence: u64,
    /// How many customers are known.
    pub customers: u64,
    /// The digest of the state.
    pub digest: u64,
    /// How many features the schema has.
    pub features: u64,
    /// For each rule set its name, how many versions are kept, and the active one.
    pub rule_sets: Vec<(String, u64, Option<u32>)>,
}

/// Checks the directory at `path`: every byte of every snapshot and segment, and whether they belong
/// together.
///
/// # Errors
/// [`Refused`] when it cannot be checked: it is in use, no data directory, of a later release, or
/// unreadable.
pub fn verify(path: &Path, progress: &(dyn Fn(BytesRead) + Sync)) -> Result<Report, Refused> {
    verify_disk(&*lock(path)?, progress)
}

pub(crate) fn verify_disk(disk: &dyn Disk, progress: &(dyn Fn(BytesRead) + Sync)) -> Result<Report, Refused> {
    let Some(known) = identity::inspect(disk)? else {
        return Err(missing(disk));
    };
    let identity = known.identity;
    let mut report = Report::default();
    report.check_small_files(disk, &known)?;
    let (joints, is_stopped) = report.check_snapshots(disk, &identity)?;
    let start = Last { sequence: 0, checksum: 0 };
    let marked = report.check_mark(disk, &identity).unwrap_or(start);
    // First all records that one of the snapshots needs, then those of the state.
    let oldest = joints.last().copied().unwrap_or(start);
    match replay::replay(disk, &identity, oldest, marked, &mut |_, _| Ok(()), &mut |_| {}) {
        Ok(found) => {
            let first = segment::list(disk).map_err(|e| Refused::io("the data directory", e))?;
            report.journal = Some(JournalReport {
                first: first.first().copied().unwrap_or(0),
                last: found.last.sequence,
                segments: found.segments.len() as u64,
                bytes: found.segments.values().sum::<u64>() + found.torn,
                torn: found.torn,
                marked: marked.sequence,
            });
        }
        Err(problem) => report.problems.push(problem),
    }
    let newest = joints.first().copied().unwrap_or(start);
    let is_mark_gone = |problem: &Refused| !problem.is_spare() && problem.file.as_deref() == Some(mark::NAME);
    let has_mark = !report.problems.iter().any(is_mark_gone);
    match state(disk, &identity, newest, marked, progress) {
        Ok(state) => {
            report.state = Some(state);
            // A start would begin with this too, so the other damage is not in its way.
            if has_mark && !is_stopped {
                report.problems.iter_mut().for_each(Refused::spare);
            }
        }
        Err(problem) if !report.problems.contains(&problem) => report.problems.push(problem),
        Err(_) => {}
    }
    Ok(report)
}

impl Report {
    /// Checks the keys of tokens, and both copies of the identity and of the mark.
    fn check_small_files(&mut self, disk: &dyn Disk, known: &IdentityFile) -> Result<(), Refused> {
        match token_keys::read_own(disk, known.keeps_keys) {
            Ok(keys) => self.token_keys = keys.map(|keys| keys.count() as u64),
            Err(problem) if problem.kind == RefusedKind::TokenKeys => self.problems.push(problem),
            Err(problem) => return Err(problem),
        }
        // Where no slot is whole, `check_mark` says more.
        let slots = mark::damaged_slots(disk, known.identity.salt()).unwrap_or_default();
        let slots = slots.iter().filter(|_| slots.len() == 1).map(|at| (mark::NAME, *at));
        let copies = known.damaged.iter().map(|at| (identity::NAME, *at));
        self.problems.extend(copies.chain(slots).map(|(file, at)| Refused {
            kind: RefusedKind::SpareCopy,
            ..Refused::damaged(file, at, 0, "one of its two copies is damaged".to_owned())
        }));
        Ok(())
    }

    /// Checks the snapshots that are kept. Returns the last record of each that is whole, newest first, and
    /// whether a start stops at one before it comes to them.
    fn check_snapshots(
        &mut self,
        disk: &dyn Disk,
        identity: &Identity,
    ) -> Result<(Vec<Last>, bool), Refused> {
        let (mut joints, mut is_stopped) = (vec![], false);
        let mut all = snapshots(disk)?;
        all.truncate(KEPT); // older ones were only not removed yet
        for sequence in all {
            let name = snapshot::name(sequence);
            match snapshot::verify(disk, identity.salt(), &name) {
                Ok(checked) if checked.head.sequence != sequence => {
                    is_stopped |= joints.is_empty();
                    self.problems.push(renamed_snapshot(&name, checked.head.sequence));
                }
                Ok(checked) => {
                    joints.push(Last { sequence: checked.head.sequence, checksum: checked.head.chain });
                    self.snapshots.push(checked.info());
                }
                Err(error) => {
                    is_stopped |= joints.is_empty() && !matches!(error, LoadError::Damaged { .. });
                    self.problems.push(refused_snapshot(&name, &error));
                }
            }
        }
        Ok((joints, is_stopped))
    }

    /// The record up to which the mark calls the journal durable; `None` if the mark is damaged.
    fn check_mark(&mut self, disk: &dyn Disk, identity: &Identity) -> Option<Last> {
        match open_mark(disk, identity) {
            Ok(mark) => Some(Last { sequence: mark.sequence, checksum: mark.checksum }),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }
}

/// The state that a start would reach from this snapshot.
fn state(
    disk: &dyn Disk,
    identity: &Identity,
    newest: Last,
    mark: Last,
    progress: &(dyn Fn(BytesRead) + Sync),
) -> Result<StateReport, Refused> {
    let mut state = State::new();
    if newest.sequence > 0 {
        let name = snapshot::name(newest.sequence);
        let report = |done, total| progress(BytesRead { done, total });
        let loaded = snapshot::load(disk, identity.salt(), &name, &report);
        let LoadedSnapshot { state: loaded, .. } = loaded.map_err(|error| refused_snapshot(&name, &error))?;
        state = loaded;
    }
    replay_into(&mut state, disk, identity, newest, mark, progress)?;
    let rule_sets = state.definitions().rule_sets();
    Ok(StateReport {
        sequence: state.sequence(),
        customers: state.customers().len() as u64,
        digest: state.digest(),
        features: state.definitions().schema.features().len() as u64,
        rule_sets: rule_sets
            .map(|(name, history)| (name.to_string(), history.versions().count() as u64, history.active()))
            .collect(),
    })
}
