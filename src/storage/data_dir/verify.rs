//! Everything in a data directory checked, and nothing changed.

use std::path::Path;

use super::{Refused, identity, lock, open_mark, refused_snapshot, replay_into, snapshots};
use crate::state::State;
use crate::storage::disk::Disk;
use crate::storage::durability::BytesRead;
use crate::storage::durability::SnapshotInfo;
use crate::storage::journal::append::Last;
use crate::storage::journal::{mark, replay, segment};
use crate::storage::snapshot;
use crate::storage::snapshot::KEPT;
use crate::storage::snapshot::Loaded;

/// What is there.
#[derive(Debug, Default)]
pub struct Report {
    /// Snapshots that are whole, newest first.
    pub snapshots: Vec<SnapshotInfo>,
    /// The journal, if it can be read.
    pub journal: Option<JournalReport>,
    /// What a start would come to, if it would.
    pub state: Option<StateReport>,
    /// What is damaged.
    pub problems: Vec<Refused>,
}

/// The journal as it is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalReport {
    /// The first record that is kept.
    pub first: u64,
    /// The last record of a whole submission.
    pub last: u64,
    /// Files.
    pub segments: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes at the end that a start would cut: they were never acknowledged.
    pub torn: u64,
    /// Everything up to this record is marked as durable.
    pub marked: u64,
}

/// The state that a start would come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateReport {
    /// Of the last record.
    pub sequence: u64,
    /// Customers.
    pub customers: u64,
    /// Its digest.
    pub digest: u64,
    /// Features of the schema.
    pub features: u64,
    /// Each rule set's name, versions that are kept, and the active one.
    pub rule_sets: Vec<(String, u64, Option<u32>)>,
}

/// Checks the directory at `path`: every byte of every snapshot and segment, and whether they belong together.
///
/// # Errors
/// When it cannot be looked at: in use, not a data directory, of a later release, unreadable.
pub fn verify(path: &Path, progress: &(dyn Fn(BytesRead) + Sync)) -> Result<Report, Refused> {
    verify_disk(&*lock(path)?, progress)
}

pub(crate) fn verify_disk(disk: &dyn Disk, progress: &(dyn Fn(BytesRead) + Sync)) -> Result<Report, Refused> {
    let Some(identity) = identity::read(disk)? else {
        return Err(Refused::not_a_data_directory());
    };
    let mut report = Report::default();
    let mut joints = vec![];
    let mut all = snapshots(disk)?;
    all.truncate(KEPT); // older ones are only not removed yet
    for sequence in all {
        let name = snapshot::name(sequence);
        match snapshot::verify(disk, identity.salt(), &name) {
            Ok(checked) => {
                joints.push(Last { sequence: checked.head.sequence, checksum: checked.head.chain });
                report.snapshots.push(checked.info());
            }
            Err(error) => report.problems.push(refused_snapshot(&name, &error)),
        }
    }
    let marked = match open_mark(disk, &identity) {
        Ok(mark) => Last { sequence: mark.sequence, checksum: mark.checksum },
        Err(problem) => {
            report.problems.push(problem);
            Last { sequence: 0, checksum: 0 }
        }
    };
    let start = Last { sequence: 0, checksum: 0 };
    // Every record that is kept for one of the snapshots, then those of the state.
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
    let has_mark = !report.problems.iter().any(|problem| problem.file.as_deref() == Some(mark::NAME));
    match state(disk, &identity, newest, marked, progress) {
        Ok(state) => {
            report.state = Some(state);
            // A start would begin so too: what is damaged besides is not in its way.
            if has_mark {
                report.problems.iter_mut().for_each(Refused::spare);
            }
        }
        Err(problem) if !report.problems.contains(&problem) => report.problems.push(problem),
        Err(_) => {}
    }
    Ok(report)
}

fn state(
    disk: &dyn Disk,
    identity: &identity::Identity,
    newest: Last,
    mark: Last,
    progress: &(dyn Fn(BytesRead) + Sync),
) -> Result<StateReport, Refused> {
    let mut state = State::new();
    if newest.sequence > 0 {
        let name = snapshot::name(newest.sequence);
        let report = |done, total| progress(BytesRead { done, total });
        let loaded = snapshot::load(disk, identity.salt(), &name, &report);
        let Loaded { state: loaded, .. } = loaded.map_err(|error| refused_snapshot(&name, &error))?;
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
