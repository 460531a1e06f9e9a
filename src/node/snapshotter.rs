//! The snapshotter: the one thread that takes snapshots and removes files that are no longer needed.
//!
//! A cycle has four steps. The writer begins a new segment and freezes the state between two submissions. The
//! frozen state is written while writes and decisions go on. The file is read back. Only then are older files
//! removed. The newest [`KEPT`] snapshots stay, with every record after the older one, so a start has two
//! ways.
//!
//! Files may hold an erased customer until [`KEPT`] snapshots were taken after the erasure. In that case a
//! cycle takes as many snapshots as it needs.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::node_state::NodeState;
use super::unavailable::Unavailable;
use super::writer::{FreezeError, Submissions};
use crate::state::record::Record;
use crate::storage::data_dir;
use crate::storage::data_dir::repair::CUT;
use crate::storage::disk;
use crate::storage::disk::Disk;
use crate::storage::durability::{SnapshotError, SnapshotInfo};
use crate::storage::identity::Identity;
use crate::storage::journal::append::JournalStatus;
use crate::storage::journal::lacking;
use crate::storage::journal::segment;
use crate::storage::snapshot;
use crate::storage::snapshot::KEPT;
use crate::storage::snapshot::LoadError;
use crate::storage::snapshot::WriteError;

/// The most requests for a snapshot that may wait.
pub(crate) const MAX_WAITING: usize = 16;
/// How often to check whether a snapshot is due.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The shortest time between a failed snapshot and the next try.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// When snapshots are taken without a request. Nothing is taken while nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotSchedule {
    /// The time from one snapshot to the next. Files hold erased customers no longer than this.
    pub every: Duration,
    /// Take a snapshot earlier when the journal holds this many bytes that are in no snapshot.
    pub journal_bytes: u64,
    /// Whether to compress snapshots: smaller, but slower.
    pub compress: bool,
}

impl Default for SnapshotSchedule {
    fn default() -> Self {
        SnapshotSchedule { every: Duration::from_secs(3600), journal_bytes: 1 << 30, compress: false }
    }
}

/// The snapshotter's state, as other threads may read it.
#[derive(Debug, Default)]
pub(crate) struct SnapshotStatus {
    kept: Mutex<Vec<SnapshotInfo>>,
    /// Whether all unneeded snapshots and segments have been removed from the directory.
    pruned: AtomicBool,
    /// Set to abandon a snapshot that is being written, because a last one follows.
    pub(crate) stopping: AtomicBool,
    pub(crate) failures: AtomicU64,
    failure: Mutex<Option<String>>,
}

impl SnapshotStatus {
    /// The snapshots that are kept and known to be undamaged, newest first.
    pub(crate) fn kept(&self) -> MutexGuard<'_, Vec<SnapshotInfo>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the last try failed; `None` if it succeeded.
    pub(crate) fn failure(&self) -> MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether files may hold customers that were erased by record `erased` or earlier.
    pub(crate) fn holds_erased(&self, erased: u64, journal: &JournalStatus) -> bool {
        let in_journal = journal.segments().keys().next().is_some_and(|first| *first <= erased);
        if erased == 0 || in_journal {
            return in_journal;
        }
        let kept = self.kept();
        let old = kept.len() < KEPT || kept.iter().any(|snapshot| snapshot.sequence < erased);
        old || !self.pruned.load(Ordering::Acquire)
    }
}

/// What other threads ask of the snapshotter.
pub(crate) enum SnapshotRequest {
    Take(oneshot::Sender<Result<SnapshotInfo, SnapshotError>>),
    /// Take a last snapshot if anything changed, then end.
    Stop,
}

/// What the snapshotter's thread works with.
pub(crate) struct Snapshotter {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) identity: Identity,
    pub(crate) shared: Arc<NodeState>,
    pub(crate) submissions: Submissions,
    pub(crate) journal: Arc<JournalStatus>,
    pub(crate) facts: Arc<SnapshotStatus>,
    pub(crate) schedule: SnapshotSchedule,
    /// When a snapshot was last taken or tried, also by an earlier process.
    tried: Instant,
    failed: bool,
}

impl Snapshotter {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        identity: Identity,
        shared: Arc<NodeState>,
        submissions: Submissions,
        journal: Arc<JournalStatus>,
        snapshot: Option<SnapshotInfo>,
        schedule: SnapshotSchedule,
    ) -> Snapshotter {
        let age = snapshot.as_ref().map_or(schedule.every, |newest| {
            let since_s = now_s(&shared).saturating_sub(newest.taken_at_s);
            Duration::from_secs(since_s).min(schedule.every)
        });
        let tried = Instant::now().checked_sub(age).unwrap_or_else(Instant::now);
        let facts = Arc::new(SnapshotStatus {
            kept: Mutex::new(snapshot.into_iter().collect()),
            ..SnapshotStatus::default()
        });
        Snapshotter { disk, identity, shared, submissions, journal, facts, schedule, tried, failed: false }
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub(crate) fn start(mut self) -> io::Result<(SyncSender<SnapshotRequest>, JoinHandle<()>)> {
        let (queue, messages) = sync_channel(MAX_WAITING);
        let thread = std::thread::Builder::new().name("snapshotter".into());
        Ok((queue, thread.spawn(move || self.run(&messages))?))
    }

    fn run(&mut self, messages: &Receiver<SnapshotRequest>) {
        self.check_older();
        // Removes what a killed process left behind. A damaged snapshot stays until a newer one exists.
        let newest = data_dir::snapshots(&*self.disk).ok().and_then(|all| all.first().copied());
        let is_kept = newest == self.facts.kept().first().map(|newest| newest.sequence);
        if let Some(Err(e)) = is_kept.then(|| self.prune()) {
            tracing::error!(why = %e, "files that are no longer needed could not be removed");
        }
        loop {
            match messages.recv_timeout(LOOK_EVERY) {
                Ok(SnapshotRequest::Take(done)) => drop(done.send(self.cycle())), // the caller may have left
                Ok(SnapshotRequest::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.facts.stopping.store(false, Ordering::Release);
                    if self.has_news() {
                        let _ = self.cycle(); // logs its own failure
                    }
                    return;
                }
                Err(RecvTimeoutError::Timeout) if self.is_due() => drop(self.cycle()),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Checks the snapshots before the newest, which the start did not read. Runs while the node works, so
    /// nobody waits.
    fn check_older(&self) {
        let newest = self.facts.kept().first().map_or(0, |newest| newest.sequence);
        let older = data_dir::snapshots(&*self.disk).unwrap_or_default().into_iter();
        for sequence in older.filter(|sequence| *sequence < newest).take(KEPT - 1) {
            let name = snapshot::name(sequence);
            match snapshot::verify(&*self.disk, self.identity.salt(), &name) {
                Ok(checked) => self.facts.kept().push(checked.info()),
                Err(error) => tracing::error!(snapshot = %name, why = %error, "an older snapshot is damaged"),
            }
        }
    }

    fn sequence(&self) -> u64 {
        self.shared.sequence.load(Ordering::Acquire)
    }

    /// Whether anything changed since the newest snapshot, or files hold erased customers.
    fn has_news(&self) -> bool {
        let newest = self.facts.kept().first().map_or(0, |newest| newest.sequence);
        self.sequence() > newest || self.holds_erased()
    }

    fn holds_erased(&self) -> bool {
        self.facts.holds_erased(self.shared.erased.load(Ordering::Acquire), &self.journal)
    }

    fn is_due(&self) -> bool {
        let waited = self.tried.elapsed();
        if self.failed && waited < TRY_AGAIN_AFTER.min(self.schedule.every) {
            return false;
        }
        let newest = self.facts.kept().first().map_or(0, |newest| newest.sequence);
        let segments = self.journal.segments();
        let bytes: u64 = segments.iter().filter(|(first, _)| **first > newest).map(|(_, bytes)| bytes).sum();
        drop(segments);
        (waited >= self.schedule.every || bytes >= self.schedule.journal_bytes) && self.has_news()
    }

    /// Takes a snapshot, or as many as it takes until no file holds an erased customer. Returns the newest,
    /// which may be an existing one if nothing changed since.
    fn cycle(&mut self) -> Result<SnapshotInfo, SnapshotError> {
        self.tried = Instant::now();
        let taken = catch_unwind(AssertUnwindSafe(|| self.try_cycle()));
        let taken = taken.unwrap_or_else(|_| {
            Err(SnapshotError::Failed("the server had a fault; its log says which".into()))
        });
        self.failed = taken.is_err();
        if let Err(error) = &taken {
            let why = format!("{error}");
            tracing::error!(%why, "no snapshot could be taken; the journal grows until one succeeds");
            self.facts.failures.fetch_add(1, Ordering::Relaxed);
            *self.facts.failure() = Some(why);
        } else {
            *self.facts.failure() = None;
        }
        taken
    }

    fn try_cycle(&mut self) -> Result<SnapshotInfo, SnapshotError> {
        if !self.facts.pruned.load(Ordering::Acquire) {
            self.prune().map_err(not_removed)?;
        }
        let newest = self.facts.kept().first().filter(|newest| newest.sequence == self.sequence()).cloned();
        let mut taken = match newest {
            Some(newest) => newest,
            None => self.take()?,
        };
        for _ in 0..KEPT {
            if !self.holds_erased() {
                break;
            }
            self.move_on()?;
            taken = self.take()?;
        }
        Ok(taken)
    }

    /// Writes an empty record. The next snapshot then has a new sequence, and so a new file name.
    fn move_on(&self) -> Result<(), SnapshotError> {
        let reply = self.submissions.offer(vec![Record::Customers(vec![])]).map_err(unavailable)?;
        reply.blocking_recv().unwrap_or(Err(Unavailable::Stopped)).map(drop).map_err(unavailable)
    }

    fn take(&mut self) -> Result<SnapshotInfo, SnapshotError> {
        let begin = Instant::now();
        let (frozen, chain) = self.submissions.freeze().map_err(|refused| match refused {
            FreezeError::Refused(why) => unavailable(why),
            FreezeError::Frozen => SnapshotError::Failed("another snapshot is being taken".into()),
            FreezeError::Stopped => SnapshotError::Stopped,
        })?;
        let salt = self.identity.salt();
        let written = snapshot::write(
            &*self.disk,
            salt,
            frozen,
            chain,
            now_s(&self.shared),
            self.schedule.compress,
            &self.facts.stopping,
        )
        .map_err(write_failed)?;
        let failed = |why: String| SnapshotError::Failed(why);
        let checked = snapshot::verify(&*self.disk, salt, &written.name).map_err(|e| match e {
            LoadError::Disk { error, .. } if disk::is_scarce(&error) => no_file(&error),
            e => failed(format!("`{}` reads back wrong: {e}", written.name)),
        })?;
        if checked.digest != written.digest {
            return Err(failed(format!("`{}` reads back with another digest", written.name)));
        }
        let info = checked.info();
        tracing::info!(
            sequence = info.sequence,
            customers = info.customers,
            bytes = info.bytes,
            took_ms = begin.elapsed().as_millis() as u64,
            "snapshot taken"
        );
        self.keep(info.clone());
        self.prune().map_err(not_removed)?;
        Ok(info)
    }

    fn keep(&self, info: SnapshotInfo) {
        self.facts.pruned.store(false, Ordering::Release);
        let mut kept = self.facts.kept();
        kept.insert(0, info);
        kept.truncate(KEPT);
    }

    /// Removes snapshots that are not kept, damaged ones included, and segments that no kept snapshot needs.
    /// With fewer than [`KEPT`] snapshots the whole journal stays, as the other way to start.
    fn prune(&self) -> io::Result<()> {
        let kept: Vec<u64> = self.facts.kept().iter().map(|snapshot| snapshot.sequence).collect();
        let snapshots = data_dir::snapshots(&*self.disk).map_err(io::Error::other)?;
        for sequence in snapshots.into_iter().filter(|sequence| !kept.contains(sequence)) {
            self.disk.remove(&snapshot::name(sequence))?;
        }
        for name in self.disk.list()? {
            if is_unfinished(&name) {
                self.disk.remove(&name)?;
            } else if name.contains(CUT) && self.shared.erased.load(Ordering::Acquire) > 0 {
                tracing::warn!(file = %name, "a repair kept this file, and it may hold erased customers: remove it when \
                     you no longer need it");
            }
        }
        if let (true, Some(oldest)) = (kept.len() >= KEPT, kept.last()) {
            let firsts: Vec<u64> = self.journal.segments().keys().copied().collect();
            for pair in firsts.windows(2).filter(|pair| pair[1] <= oldest + 1) {
                self.disk.remove(&segment::name(pair[0]))?;
                self.journal.segments().remove(&pair[0]);
            }
        }
        self.disk.sync()?;
        self.facts.pruned.store(true, Ordering::Release);
        Ok(())
    }
}

fn no_file(error: &io::Error) -> SnapshotError {
    SnapshotError::NoFile(format!("{}: {error}", lacking(error)))
}

#[expect(clippy::needless_pass_by_value)] // `map_err` passes it by value
fn not_removed(e: io::Error) -> SnapshotError {
    if disk::is_scarce(&e) {
        return no_file(&e);
    }
    SnapshotError::Failed(format!("older files could not be removed: {e}"))
}

/// The time now, in seconds since 1970.
fn now_s(shared: &NodeState) -> u64 {
    shared.clock.now().stored_seconds().into()
}

/// Whether this is a snapshot that an earlier process did not finish.
fn is_unfinished(name: &str) -> bool {
    name.strip_suffix(snapshot::UNFINISHED).is_some_and(|name| snapshot::sequence_of(name).is_some())
}

fn unavailable(why: Unavailable) -> SnapshotError {
    match why {
        Unavailable::DiskFull => SnapshotError::DiskFull("the journal has no room".into()),
        Unavailable::NoFile => {
            SnapshotError::NoFile("the system gave no file or no memory for the journal".into())
        }
        Unavailable::Stopped => SnapshotError::Stopped,
        Unavailable::Overloaded | Unavailable::Full | Unavailable::Memory => {
            SnapshotError::Failed("too many writes are waiting".into())
        }
    }
}

fn write_failed(error: WriteError) -> SnapshotError {
    match error {
        WriteError::Disk { error, .. } if disk::is_full(&error) => SnapshotError::DiskFull(error.to_string()),
        WriteError::Disk { error, .. } if disk::is_scarce(&error) => no_file(&error),
        WriteError::Stopped => SnapshotError::Stopped,
        other => SnapshotError::Failed(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Node;
    use super::super::define::Define;
    use super::*;
    use crate::customer::update::{Change, Erasure, Update};
    use crate::state::testing::{SCHEMA, id, merge};
    use crate::storage::data_dir::open_disk;
    use crate::storage::disk::simulated::Simulated;
    use crate::storage::journal::settings::JournalSettings;

    const CANARY: &str = "who-is-to-be-forgotten";

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn node(disk: &Simulated) -> Arc<Node> {
        let opened = open_disk(Arc::new(disk.clone()), JournalSettings::default(), &|_| {}).unwrap();
        Node::open(opened, SnapshotSchedule::default()).unwrap()
    }

    fn is_in_a_file(disk: &Simulated) -> bool {
        let holds = |bytes: &Vec<u8>| bytes.windows(CANARY.len()).any(|bytes| bytes == CANARY.as_bytes());
        disk.image().values().any(holds)
    }

    #[test]
    fn wherever_a_compaction_is_killed_the_next_one_finishes_it() {
        let disk = Simulated::new();
        let running = node(&disk);
        block_on(running.define(Define::Schema { text: SCHEMA.into(), rename: false, if_text: None }))
            .unwrap();
        block_on(running.write(vec![merge(CANARY, &[(1, 7)]), merge("other", &[(1, 8)])])).unwrap();
        block_on(running.snapshot()).unwrap();
        block_on(running.write(vec![merge("other", &[(1, 9)])])).unwrap();
        block_on(running.snapshot()).unwrap();
        let erase = Update { customer: id(CANARY), change: Change::Erase(Erasure::default()) };
        block_on(running.write(vec![erase])).unwrap();
        assert!(running.durability().erasure_pending && is_in_a_file(&disk));
        disk.keep_moments();
        block_on(running.snapshot()).unwrap();
        assert!(!running.durability().erasure_pending && !is_in_a_file(&disk));

        let moments = disk.moments();
        assert!(moments.len() > 10);
        for (at, left) in moments.into_iter().enumerate() {
            let node = node(&left);
            let pending = node.durability().erasure_pending;
            assert!(
                pending || !is_in_a_file(&left),
                "killed at change {at}: nobody says that it is not done"
            );
            block_on(node.snapshot()).unwrap();
            assert!(!node.durability().erasure_pending && !is_in_a_file(&left), "killed at change {at}");
            assert_eq!(node.customers().len(), 1);
        }
    }
}
