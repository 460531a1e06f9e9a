//! Crashes, faults and rot: a data directory on a [simulated disk](crate::storage::disk::simulated),
//! used as the writer uses it.
//!
//! A [`World`] knows every submission that may be on the disk, in order, and the state after each.
//! Whatever happened to the disk, a start must come to one of these states. It must hold everything
//! acknowledged, and nothing but whole submissions.

mod backup;
mod crash;
mod faults;
mod repair;
mod rot;
mod segments;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;

use super::{Opened, open_disk, snapshots};
use crate::customer::update::{Change, Erasure, Update};
use crate::schema::FeatureId;
use crate::state::record::Record;
use crate::state::testing::id;
use crate::state::{FrozenState, State};
use crate::storage::codec;
use crate::storage::disk::simulated::Simulated;
use crate::storage::durability::SyncPolicy;
use crate::storage::journal::settings::JournalSettings;
use crate::storage::journal::{Journal, JournalError, segment};
use crate::storage::refused::Refused;
use crate::storage::snapshot;
use crate::storage::snapshot::KEPT;

/// Small, so that there are many segments.
const SETTINGS: JournalSettings =
    JournalSettings { sync: SyncPolicy::Always, segment_bytes: 3_000, ahead_bytes: 600 };
/// Few features, so that a start takes little time.
const SCHEMA: &str = "schema: s\nfeatures:\n  a: {kind: int, min: 0, max: 9}\n";
const GROWN_SCHEMA: &str = "schema: s\nfeatures:\n  a: {kind: int, min: 0, max: 9}\n  b: {kind: bool}\n";
/// The longest text of a rule set. So there are records longer than a segment.
const MAX_TEXT: usize = 4_000;

/// What may be on the disk, and what must be.
struct World {
    rng: Rng,
    /// The submissions that may be there, in order.
    submissions: Vec<Vec<Record>>,
    /// The state after each number of submissions, from none on.
    ends: Vec<End>,
    /// The state after all submissions.
    state: State,
    /// How many submissions must be there, whatever happens.
    durable: usize,
    /// How many must be there as long as the system does not crash.
    written: usize,
    /// What must and may be there after each change of the disk.
    promises: Vec<Promise>,
    /// The state that a snapshot is to be taken of, and the checksum of its last record.
    frozen: Option<(FrozenState, u64)>,
    /// Snapshots that were taken.
    snapshots: usize,
    /// Batches that were refused because the disk was full or files were scarce.
    refused: usize,
}

/// A state: its sequence tells it from the others, its digest stands for what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    sequence: u64,
    digest: u64,
}

/// How many submissions must and may be there, from this change of the disk on.
#[derive(Debug, Clone, Copy)]
struct Promise {
    changes: usize,
    durable: usize,
    written: usize,
    submitted: usize,
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// This many submissions come in one batch.
    Commit(usize),
    /// Nothing else comes for a while.
    Settle,
    /// A snapshot begins.
    Freeze,
    /// A snapshot is written, and what is no longer needed is removed.
    Snapshot,
    Close,
}

/// The journal failed, and the node ends.
#[derive(Debug)]
struct Ended;

impl World {
    fn new(seed: u64) -> World {
        fastrand::seed(seed); // the directory's id is drawn from the thread's own generator
        let state = State::new();
        World {
            rng: Rng::with_seed(seed),
            submissions: vec![],
            ends: vec![End::of(&state)],
            state,
            durable: 0,
            written: 0,
            promises: vec![],
            frozen: None,
            snapshots: 0,
            refused: 0,
        }
    }

    /// Makes a submission that may follow the others.
    fn submit(&mut self) -> Vec<Record> {
        let records = match (self.submissions.len(), self.rng.u8(0..16)) {
            (0, _) => vec![Record::Schema { text: SCHEMA.into() }],
            (_, 0..8) => vec![self.customers()],
            (_, 8..11) => (0..self.rng.usize(2..5)).map(|_| self.customers()).collect(),
            (_, 11..14) => vec![self.publish(), self.customers()],
            (_, 14) => vec![Record::Rollback { name: "a".into() }],
            _ => vec![Record::Schema { text: GROWN_SCHEMA.into() }],
        };
        for record in &records {
            self.state.apply(self.state.sequence() + 1, record).unwrap();
        }
        self.ends.push(End::of(&self.state));
        self.submissions.push(records.clone());
        records
    }

    /// A few updates of few customers, now and then an erasure.
    fn customers(&mut self) -> Record {
        let rng = &mut self.rng;
        let count = rng.usize(0..4);
        let update = |_| {
            let fields = (0..rng.usize(0..3)).map(|_| (FeatureId(rng.u16(0..2)), rng.u64(0..3))).collect();
            let change = match rng.u8(0..6) {
                0 => Change::Erase(Erasure::default()),
                1 => Change::Replace(fields),
                _ => Change::Merge(fields),
            };
            Update { customer: id(rng.u8(0..12)), change }
        };
        Record::Customers((0..count).map(update).collect())
    }

    fn publish(&mut self) -> Record {
        let name = ["a", "b"][self.rng.usize(0..2)];
        let version = self.state.definitions().next_version(name);
        let length = [20, 400, MAX_TEXT][self.rng.usize(0..3)];
        let text = (0..self.rng.usize(0..length)).map(|_| self.rng.alphanumeric()).collect();
        Record::Publish { name: name.into(), version, text, activate: self.rng.bool() }
    }

    /// Keeps only the first `count` submissions: no others are, or may be, there.
    fn cut(&mut self, count: usize) {
        self.ends.truncate(count + 1);
        if self.submissions.len() > count {
            self.submissions.truncate(count);
            self.state = State::new();
            for record in self.submissions.iter().flatten() {
                self.state.apply(self.state.sequence() + 1, record).unwrap();
            }
        }
        self.durable = self.durable.min(count);
        self.written = self.written.min(count);
    }

    /// Notes that a start found `count` submissions, and somebody saw it.
    fn seen(&mut self, count: usize) {
        self.cut(count);
        (self.durable, self.written) = (count, count);
    }

    /// Notes what holds from now on.
    fn promise(&mut self, disk: &Simulated) {
        let World { durable, written, .. } = *self;
        let submitted = self.submissions.len();
        self.promises.push(Promise { changes: disk.changes(), durable, written, submitted });
    }

    /// What must and may be there after this many changes of the disk.
    fn promised(&self, changes: usize) -> Promise {
        *self.promises.iter().rfind(|promise| promise.changes <= changes).unwrap()
    }

    /// Makes a node on `disk` do something, as the writer does it.
    fn step(&mut self, step: Step, node: &mut Opened, disk: &Simulated) -> Result<(), Ended> {
        let done = match step {
            Step::Commit(submissions) => return self.commit(submissions, node, disk),
            Step::Settle => node.journal.settle(),
            Step::Freeze => self.freeze(node),
            Step::Snapshot => self.snapshot(node),
            Step::Close => node.journal.close(),
        };
        if let Err(JournalError::Failed(_)) = done {
            return Err(Ended);
        }
        self.note_durable(node);
        self.promise(disk);
        Ok(())
    }

    /// Notes that what the journal calls durable must be there from now on.
    fn note_durable(&mut self, node: &Opened) {
        let durable = node.journal.facts().durable.load(Ordering::Relaxed);
        let ends = self.ends.iter().skip(1);
        self.durable = self.durable.max(ends.filter(|end| end.sequence <= durable).count().min(self.written));
    }

    fn freeze(&mut self, node: &mut Opened) -> Result<(), JournalError> {
        self.frozen = None;
        let checksum = node.journal.rotate()?;
        self.frozen = node.state.freeze().map(|frozen| (frozen, checksum));
        Ok(())
    }

    /// Takes a snapshot as the snapshotter does. If it fails there is none, and everything else goes
    /// on.
    fn snapshot(&mut self, node: &mut Opened) -> Result<(), JournalError> {
        if self.frozen.is_none() {
            self.freeze(node)?;
        }
        let Some((frozen, checksum)) = self.frozen.take() else { return Ok(()) };
        let (disk, salt) = (&*node.disk, node.identity.salt());
        let is_whole = |name: &str| snapshot::verify(disk, salt, name).is_ok();
        let written = snapshot::write(disk, salt, frozen, checksum, 0, false, &AtomicBool::new(false));
        let Some(written) = written.ok().filter(|written| is_whole(&written.name)) else { return Ok(()) };
        self.snapshots += 1;
        let older = snapshots(disk).unwrap_or_default().into_iter();
        let older = older.filter(|older| *older < written.head.sequence && is_whole(&snapshot::name(*older)));
        let kept: Vec<u64> = [written.head.sequence].into_iter().chain(older).take(KEPT).collect();
        let _ = prune(node, &kept); // tried again after the next snapshot
        Ok(())
    }

    /// Appends a batch, and applies and acknowledges it when it is durable.
    fn commit(&mut self, submissions: usize, node: &mut Opened, disk: &Simulated) -> Result<(), Ended> {
        let batch: Vec<_> = (0..submissions).map(|_| self.submit()).collect();
        self.promise(disk);
        let mut sequence = node.state.sequence();
        for records in &batch {
            for (at, record) in records.iter().enumerate() {
                sequence += 1;
                let bytes = codec::encode(record).unwrap();
                node.journal.append(sequence, &bytes, at + 1 < records.len());
            }
        }
        match node.journal.commit() {
            Ok(()) => self.written = self.submissions.len(),
            Err(JournalError::Refused(_)) => {
                self.cut(self.written);
                self.refused += 1;
            }
            Err(JournalError::Failed(_)) => return Err(Ended),
        }
        self.note_durable(node);
        self.promise(disk);
        let applied = node.state.sequence() as usize;
        let new = self.submissions.iter().flatten().skip(applied).zip(applied as u64 + 1..);
        new.for_each(|(record, sequence)| drop(node.state.apply(sequence, record).unwrap()));
        assert_eq!(node.state.sequence(), self.ends[self.written].sequence);
        Ok(())
    }

    /// The number of submissions in `state`. It must be a state that may be there, and hold what must
    /// be there.
    #[track_caller]
    fn find(&self, state: &State, promised: Promise, case: &dyn Fn() -> String) -> usize {
        let Promise { durable, submitted, .. } = promised;
        let found = self.ends.iter().position(|end| end.sequence == state.sequence());
        let Some(found) = found.filter(|found| (durable..=submitted).contains(found)) else {
            let (least, most) = (self.ends[durable], self.ends[submitted]);
            panic!("record {} is the last one, not from {least:?} to {most:?}: {}", state.sequence(), case());
        };
        assert_eq!(End::of(state), self.ends[found], "{}", case());
        found
    }
}

/// Removes what the snapshotter removes when it keeps these snapshots.
fn prune(node: &Opened, kept: &[u64]) -> io::Result<()> {
    for sequence in snapshots(&*node.disk).map_err(io::Error::other)? {
        if !kept.contains(&sequence) {
            node.disk.remove(&snapshot::name(sequence))?;
        }
    }
    if kept.len() == KEPT {
        let mut segments = node.journal.facts().segments();
        let firsts: Vec<u64> = segments.keys().copied().collect();
        for pair in firsts.windows(2).filter(|pair| pair[1] <= kept[KEPT - 1] + 1) {
            node.disk.remove(&segment::name(pair[0]))?;
            segments.remove(&pair[0]);
        }
    }
    node.disk.sync()
}

impl Promise {
    /// What must be there when the process was killed, or else the system crashed.
    fn after(self, is_kill: bool) -> Promise {
        Promise { durable: if is_kill { self.written } else { self.durable }, ..self }
    }
}

impl End {
    fn of(state: &State) -> End {
        End { sequence: state.sequence(), digest: state.digest() }
    }
}

/// A directory that was closed, with at least `bytes` bytes of journal and no snapshot.
fn closed(seed: u64, bytes: usize, settings: JournalSettings) -> (World, Simulated) {
    let (mut world, disk) = (World::new(seed), Simulated::new());
    let mut node = start_with(&disk, settings).unwrap();
    while journal_bytes(&disk) < bytes {
        world.step(Step::Commit(1), &mut node, &disk).unwrap();
    }
    world.step(Step::Close, &mut node, &disk).unwrap();
    (world, disk)
}

fn journal_bytes(disk: &Simulated) -> usize {
    disk.image()
        .iter()
        .filter(|(name, _)| segment::first_of(name).is_some())
        .map(|(_, bytes)| bytes.len())
        .sum()
}

/// Starts a node on `disk`.
fn start(disk: &Simulated) -> Result<Opened, Refused> {
    start_with(disk, SETTINGS)
}

fn start_with(disk: &Simulated, settings: JournalSettings) -> Result<Opened, Refused> {
    open_disk(Arc::new(disk.clone()), settings, &|_| {})
}

/// Calls `check` for each case, on all cores.
fn each_in_parallel<T: Sync>(cases: &[T], check: impl Fn(&T) + Sync) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let check = &check;
            scope.spawn(move || cases.iter().skip(thread).step_by(threads).for_each(check));
        }
    });
}
