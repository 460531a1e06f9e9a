//! A running node: the engine in force, the customers, and the one path that every write takes.
//!
//! ```text
//! write  ────────────────────────────► writer: journal, sync once, apply in order, acknowledge
//! define ─► compiler: check, compile ────►│ ─► swap one Arc<Live>
//! ```
//!
//! Reads bypass this path: [`Node::live`] is one atomic load, [`Node::customers`] reads the store.

pub(crate) mod clock;
pub(crate) mod erasures;
pub(crate) mod expiry;
pub(crate) mod handed;
pub mod unavailable;
pub mod live;
pub mod define;
pub mod leases;
pub mod memory;
pub(crate) mod node_state;
pub mod room;
pub(crate) mod writer;
pub(crate) mod compiler;
pub mod snapshotter;
pub mod start_error;
pub mod startup;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use arc_swap::Guard;
use tokio::sync::oneshot;

use self::clock::ClockWatch;
use self::define::{Define, DefineError, Defined, Tried};
use self::expiry::Expiry;
use self::leases::Leases;
use self::live::Live;
use self::node_state::NodeState;
use self::room::{NodeBounds, Room};
use self::snapshotter::{SnapshotSchedule, SnapshotStatus, Snapshotter};
use self::start_error::StartError;
use self::unavailable::Unavailable;
use self::writer::Submissions;
use crate::customer::event::Fate;
use crate::customer::id::CustomerId;
use crate::customer::numbers::ArmNumber;
use crate::customer::outcome::BudgetUse;
use crate::customer::outcome::OutcomeKind;
use crate::customer::update::{Change, Update};
use crate::decide::Budgets;
use crate::engine::Engine;
use crate::insight::stats::Tallied;
use crate::schema::value::Time;
use crate::schema::{FeatureId, MAX_FEATURES};
use crate::state::MAX_FATES;
use crate::state::ledger::Figures;
use crate::state::record::{MAX_FIELDS_PER_UPDATE, MAX_UPDATES_PER_RECORD, Record};
use crate::state::store::Customers;
use crate::state::{Fates, State};
use crate::storage::data_dir::Opened;
use crate::storage::durability::{Durability, Recovery, SnapshotError, SnapshotInfo, SyncPolicy};
use crate::storage::journal::append::JournalStatus;
use crate::storage::journal::{Journal, Volatile};

/// A running node, which all request threads share.
pub struct Node {
    shared: Arc<NodeState>,
    leases: Leases,
    submissions: Submissions,
    changes: SyncSender<compiler::CompileRequest>,
    kept: Option<OnDisk>,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    expiry: Option<expiry::Running>,
    compiler: JoinHandle<()>,
    writer: JoinHandle<()>,
    snapshotter: Option<JoinHandle<()>>,
}

/// What a node has in addition when it keeps its state in a data directory.
struct OnDisk {
    sync: SyncPolicy,
    journal: Arc<JournalStatus>,
    snapshots: Arc<SnapshotStatus>,
    requests: SyncSender<snapshotter::SnapshotRequest>,
    recovery: Recovery,
}

/// How a node over a data directory works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeSettings {
    /// When snapshots are taken.
    pub snapshots: SnapshotSchedule,
    /// What the node may take.
    pub bounds: NodeBounds,
    /// Whether a clock that is before the newest record is believed at once.
    pub trust_clock: bool,
}

impl From<SnapshotSchedule> for NodeSettings {
    fn from(snapshots: SnapshotSchedule) -> NodeSettings {
        NodeSettings { snapshots, ..NodeSettings::default() }
    }
}

/// The result of writing updates among which there may be events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenIn {
    /// The sequence of the last record.
    pub sequence: u64,
    /// Events that changed nothing, by index in the list of updates.
    pub fates: Fates,
}

impl Node {
    /// Starts an empty node, with its writer and compiler threads, over a journal that keeps nothing.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start() -> io::Result<Arc<Node>> {
        Node::start_within(NodeBounds::default())
    }

    /// As [`start`](Node::start), within these bounds.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start_within(bounds: NodeBounds) -> io::Result<Arc<Node>> {
        Node::start_empty(Box::new(Volatile), bounds)
    }

    /// Starts an empty node over an empty `journal`.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start_with(journal: Box<dyn Journal>) -> io::Result<Arc<Node>> {
        Node::start_empty(journal, NodeBounds::default())
    }

    fn start_empty(journal: Box<dyn Journal>, bounds: NodeBounds) -> io::Result<Arc<Node>> {
        let state = State::new();
        let engine = Engine::empty(&state.definitions().schema);
        Node::start_over(state, engine, journal, bounds)
    }

    /// Starts a node over the contents of a data directory. Compiles its rule sets, and takes snapshots.
    ///
    /// # Errors
    /// [`StartError`]; the directory is left as it was.
    pub fn open(opened: Opened, settings: impl Into<NodeSettings>) -> Result<Arc<Node>, StartError> {
        let NodeSettings { snapshots: schedule, bounds, trust_clock } = settings.into();
        let Opened { disk, identity, state, journal, snapshot, recovery } = opened;
        let engine = compiler::compile_active(state.definitions()).map_err(StartError::RuleSets)?;
        let (sync, facts) = (journal.policy(), journal.facts().clone());
        let taken_s = snapshot.as_ref().map_or(0, |snapshot| snapshot.taken_at_s);
        let clock = ClockWatch::of_start(state.dated(), taken_s, trust_clock);
        let shared = Arc::new(NodeState::new(&state, engine, bounds, clock));
        let (submissions, writer) = writer::start(state, Box::new(journal), shared.clone())?;
        let (changes, compiler) = compiler::start(shared.clone(), submissions.clone())?;
        let keeper = Snapshotter::new(
            disk,
            identity,
            shared.clone(),
            submissions.clone(),
            facts.clone(),
            snapshot,
            schedule,
        );
        let expiry = Expiry::start(&shared, &submissions)?;
        let snapshots = keeper.facts.clone();
        let (requests, snapshotter) = keeper.start()?;
        let kept = Some(OnDisk { sync, journal: facts, snapshots, requests, recovery });
        let threads = Mutex::new(Some(Threads { expiry, compiler, writer, snapshotter: Some(snapshotter) }));
        Ok(Arc::new(Node { shared, leases: Leases::new(), submissions, changes, kept, threads }))
    }

    /// Starts a node over `state`, without a data directory. `engine` must be compiled from `state`.
    fn start_over(
        state: State,
        engine: Engine,
        journal: Box<dyn Journal>,
        bounds: NodeBounds,
    ) -> io::Result<Arc<Node>> {
        let shared = Arc::new(NodeState::new(&state, engine, bounds, ClockWatch::new()));
        let (submissions, writer) = writer::start(state, journal, shared.clone())?;
        let (changes, compiler) = compiler::start(shared.clone(), submissions.clone())?;
        let expiry = Expiry::start(&shared, &submissions)?;
        let threads = Mutex::new(Some(Threads { expiry, compiler, writer, snapshotter: None }));
        Ok(Arc::new(Node { shared, leases: Leases::new(), submissions, changes, kept: None, threads }))
    }

    /// The time now, as all that this node does goes by it.
    #[inline]
    pub fn now(&self) -> Time {
        self.shared.clock.now()
    }

    /// What watches the clock.
    pub(crate) fn clock(&self) -> &ClockWatch {
        &self.shared.clock
    }

    /// How many customers have expired since the start.
    pub(crate) fn expired(&self) -> u64 {
        self.shared.expired.load(Ordering::Relaxed)
    }

    /// The room that is left for customers.
    pub(crate) fn room(&self) -> &Room {
        &self.shared.room
    }

    /// Engine and definitions in force. Hold the guard for one request only.
    pub fn live(&self) -> Guard<Arc<Live>> {
        self.shared.live.load()
    }

    /// The read side of the customer store.
    pub fn customers(&self) -> &Customers {
        &self.shared.customers
    }

    /// The time at which something is decided for this customer, if it is `now` by the clock. Ask before the
    /// customer's row is read: it keeps apart what was said to them before they were erased and after.
    #[inline]
    pub fn decision_time(&self, customer: &str, now: Time) -> Time {
        self.shared.erasures.decision_time(customer, now)
    }

    /// State that belongs to no single customer: budgets, counts, lessons.
    pub fn figures(&self) -> &Arc<Figures> {
        &self.shared.figures
    }

    /// Outcomes of all offers up to the start of this process, summed over days.
    pub fn tallied_before(&self) -> Arc<Vec<Tallied>> {
        self.shared.tallied_before.load_full()
    }

    /// Notes that a token names these arms. Before it is given to anybody.
    #[inline]
    pub fn hand_out(&self, arms: &[u16]) {
        arms.iter().for_each(|arm| self.shared.handed.mark(ArmNumber(*arm)));
    }

    /// Writes changes to customers, in order. Completes when they are journalled and applied, so the next
    /// decision sees them. Returns the sequence of the last record.
    ///
    /// The updates must have been made against a schema of this node; they stay valid when the schema grows
    /// meanwhile. Up to [`MAX_UPDATES_PER_RECORD`] updates become one record, which a crash keeps whole or
    /// loses whole. More updates become several records in a row. An empty list changes nothing. Dropping the
    /// future does not undo the write.
    ///
    /// # Errors
    /// [`Unavailable`]. After `Overloaded`, `Full`, `DiskFull` and `NoFile` nothing was changed. After
    /// `Stopped` the write may reappear when the node starts again, as after a crash.
    pub async fn write(&self, updates: Vec<Update>) -> Result<u64, Unavailable> {
        self.take_in(updates).await.map(|taken| taken.sequence)
    }

    /// As [`write`](Node::write). Also returns which events changed nothing: duplicates, possible duplicates,
    /// and events whose budget is used up.
    ///
    /// # Errors
    /// As [`write`](Node::write).
    pub async fn take_in(&self, updates: Vec<Update>) -> Result<TakenIn, Unavailable> {
        if updates.is_empty() {
            return Ok(TakenIn { sequence: self.sequence(), fates: Fates::default() });
        }
        let places = held_places(&updates);
        let erased = updates.iter().filter(|update| matches!(update.change, Change::Erase(_))).count();
        let reply = self.submissions.offer(records_of(updates))?;
        let applied = reply.await.unwrap_or(Err(Unavailable::Stopped))?;
        if erased > 0 {
            tracing::info!(customers = erased, sequence = applied.sequence, "customers were erased");
        }
        // These are counted as used by now. If the caller left early, the lease expires by itself.
        let refused = &applied.fates.refused;
        let counted = |at: usize| match refused.binary_search_by_key(&at, |(at, _)| *at) {
            Ok(found) => refused[found].1 == Fate::Again, // the customer has a place, or has one now
            Err(_) => true,
        };
        for HeldPlace { at, customer, budget, decided_s } in places.iter().filter(|held| counted(held.at)) {
            debug_assert!(*at < MAX_FATES, "beyond it fates are only counted");
            self.leases.settle(customer.as_str(), budget, *decided_s);
        }
        Ok(TakenIn { sequence: applied.sequence, fates: applied.fates })
    }

    /// Remaining budgets, as decisions ask for them. Without `holds` nobody is shown the decision: it sees
    /// what is left, and holds no place.
    pub fn budgets(&self, holds: bool) -> impl Budgets + '_ {
        NodeBudgets { figures: self.figures(), leases: &self.leases, holds }
    }

    /// Changes definitions: checks, compiles, journals, swaps. Completes when decisions use the change.
    /// Changes are made one at a time, in the order they arrive. Dropping the future does not undo the
    /// change.
    ///
    /// - A version that is published without being activated must still compile with the active rule sets.
    /// - What is in force already makes no record: an equal schema, the text of the active version, a bundle
    ///   of such. The text of the latest version makes no new version either: that one is activated.
    ///
    /// # Errors
    /// [`DefineError`]; then nothing was changed.
    pub async fn define(&self, change: Define) -> Result<Defined, DefineError> {
        let (done, reply) = oneshot::channel();
        self.changes.try_send(compiler::CompileRequest::Define(change, done)).map_err(refused)?;
        reply.await.unwrap_or(Err(DefineError::Unavailable(Unavailable::Stopped)))
    }

    /// Compiles a rule set with the active ones as if it were published, and changes nothing. Waits its turn
    /// among the changes of definitions.
    ///
    /// # Errors
    /// [`DefineError`], but never for errors in the text: those are the answer.
    pub async fn try_out(&self, name: String, text: String) -> Result<Tried, DefineError> {
        let (done, reply) = oneshot::channel();
        self.changes.try_send(compiler::CompileRequest::Try { name, text, done }).map_err(refused)?;
        reply.await.unwrap_or(Err(DefineError::Unavailable(Unavailable::Stopped)))
    }

    /// The sequence of the last applied record.
    pub fn sequence(&self) -> u64 {
        self.shared.sequence.load(Ordering::Acquire)
    }

    /// Whether the journal failed or a record could not be applied. Decisions go on; writes are refused until
    /// restart.
    pub fn journal_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Acquire)
    }

    /// Takes a snapshot now and describes it. If files still hold erased customers, takes as many snapshots
    /// as it needs to get rid of them.
    ///
    /// # Errors
    /// [`SnapshotError`]; everything else is as it was.
    pub async fn snapshot(&self) -> Result<SnapshotInfo, SnapshotError> {
        let Some(kept) = &self.kept else { return Err(SnapshotError::InMemory) };
        let (done, reply) = oneshot::channel();
        kept.requests.try_send(snapshotter::SnapshotRequest::Take(done)).map_err(
            |refused| match refused {
                TrySendError::Full(_) => {
                    SnapshotError::Failed("too many requests for a snapshot are waiting".into())
                }
                TrySendError::Disconnected(_) => SnapshotError::Stopped,
            },
        )?;
        reply.await.unwrap_or(Err(SnapshotError::Stopped))
    }

    /// How durable the state is at this moment.
    pub fn durability(&self) -> Durability {
        let journal_failure = self.shared.failure().map(str::to_owned);
        let refusal = self.shared.refusal.load().as_ref().map(|why| why.to_string());
        let Some(OnDisk { sync, journal, snapshots, recovery, .. }) = &self.kept else {
            return Durability { journal_failure, refusal, ..Durability::default() };
        };
        let erased = self.shared.erased.load(Ordering::Acquire);
        // Each lock is released before the next is taken.
        let segments = journal.segments().clone();
        let kept = snapshots.kept().clone();
        let erasure_pending = snapshots.holds_erased(erased, journal);
        Durability {
            sync: Some(*sync),
            durable_sequence: journal.durable.load(Ordering::Relaxed),
            journal_segments: segments.len() as u64,
            journal_bytes: segments.values().sum(),
            syncs: journal.syncs.load(Ordering::Relaxed),
            sync_time: journal.sync_time(),
            longest_sync: journal.longest_sync(),
            journal_failure,
            refusal,
            snapshots: kept,
            snapshot_failures: snapshots.failures.load(Ordering::Relaxed),
            snapshot_failure: snapshots.failure().clone(),
            erasure_pending,
            recovery: *recovery,
        }
    }

    /// Finishes the waiting writes, then stops the threads. Blocks until they have ended. Later writes are
    /// refused, and decisions go on. A second call does nothing.
    pub fn stop(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Threads { expiry, compiler, writer, snapshotter }) = threads.take() else { return };
        if let Some(expiry) = expiry {
            expiry.stop();
        }
        // The compiler first, because its work ends at the writer. An error means that the thread has ended
        // already.
        let _ = self.changes.send(compiler::CompileRequest::Stop);
        let _ = compiler.join();
        // Then the last snapshot, which still needs the writer.
        if let (Some(kept), Some(snapshotter)) = (&self.kept, snapshotter) {
            kept.snapshots.stopping.store(true, Ordering::Release);
            let _ = kept.requests.send(snapshotter::SnapshotRequest::Stop);
            let _ = snapshotter.join();
        }
        self.submissions.stop();
        let _ = writer.join();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Why a message did not get into the compiler's queue.
#[allow(clippy::needless_pass_by_value)] // `map_err` passes it by value
fn refused<T>(refused: TrySendError<T>) -> DefineError {
    DefineError::Unavailable(match refused {
        TrySendError::Full(_) => Unavailable::Overloaded,
        TrySendError::Disconnected(_) => Unavailable::Stopped,
    })
}

/// Budgets as the fold counts them, less the places that decisions hold.
struct NodeBudgets<'n> {
    figures: &'n Figures,
    leases: &'n Leases,
    holds: bool,
}

impl Budgets for NodeBudgets<'_> {
    fn take(&self, customer: &str, budget: &BudgetUse, hold_s: u32, now: Time) -> bool {
        let used = || self.figures.used(budget.key, budget.day);
        let hold_s = if self.holds { hold_s } else { 0 };
        self.leases.take(customer, budget, used, hold_s, now.stored_seconds())
    }
}

/// A place that an impression returns once it is counted.
struct HeldPlace {
    /// The index of the impression among all updates.
    at: usize,
    customer: CustomerId,
    budget: BudgetUse,
    /// The second of the decision.
    decided_s: u32,
}

/// The held places that the impressions in `updates` return.
fn held_places(updates: &[Update]) -> Vec<HeldPlace> {
    let mut places = Vec::new();
    for (at, update) in updates.iter().enumerate() {
        let Change::Event(event) = &update.change else { continue };
        let Some(outcome) = &event.outcome else { continue };
        if outcome.kind == OutcomeKind::Impression {
            // Without a token nobody knows which decision held the place, only whose it is.
            let known = outcome.budgets.iter().filter(|budget| outcome.nonce != 0 || budget.once);
            let (customer, decided_s) = (&update.customer, outcome.decided);
            places.extend(known.map(|budget| HeldPlace {
                at,
                customer: customer.clone(),
                budget: *budget,
                decided_s,
            }));
        }
    }
    places
}

/// Packs `updates` into records within the bounds of [`record`](crate::state::record).
fn records_of(mut updates: Vec<Update>) -> Vec<Record> {
    for update in &mut updates {
        if let Change::Replace(fields) | Change::Merge(fields) = &mut update.change
            && fields.len() > MAX_FIELDS_PER_UPDATE
        {
            *fields = without_repetition(fields);
        }
    }
    if updates.len() <= MAX_UPDATES_PER_RECORD {
        return vec![Record::Customers(updates)];
    }
    let parts = updates.len().div_ceil(MAX_UPDATES_PER_RECORD);
    let mut updates = updates.into_iter();
    let part = || Record::Customers(updates.by_ref().take(MAX_UPDATES_PER_RECORD).collect());
    std::iter::repeat_with(part).take(parts).collect()
}

/// The last code of each feature: the only one that would stay. The result has at most as many entries as
/// features.
fn without_repetition(fields: &[(FeatureId, u64)]) -> Vec<(FeatureId, u64)> {
    let last: BTreeMap<FeatureId, u64> = fields.iter().copied().collect();
    last.into_iter().filter(|(feature, _)| usize::from(feature.0) < MAX_FEATURES).collect()
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use proptest::prelude::*;

    use super::writer::MAX_WAITING;
    use super::*;
    use crate::customer::row::Row;
    use crate::schema::value::{Time, Value};
    use crate::schema::vector::FeatureVector;
    use crate::state;
    use crate::state::ledger;
    use crate::state::store;
    use crate::state::testing::{Model, SCHEMA, happening, id, merge, replayed, updates};
    use crate::storage::codec;
    use crate::storage::journal::testing::{FailsAt, Kept, gated};

    const AGE: u16 = 1;

    /// A node that has a schema. The schema is record 1, which `journal` does not see.
    fn node_with(journal: impl Journal + 'static, room: usize) -> Arc<Node> {
        let mut state = State::new();
        state.apply(1, &Record::Schema { text: SCHEMA.into() }).unwrap();
        let engine = Engine::empty(&state.definitions().schema);
        let bounds = NodeBounds { customers: room, ..NodeBounds::default() };
        Node::start_over(state, engine, Box::new(journal), bounds).unwrap()
    }

    fn node(journal: impl Journal + 'static) -> Arc<Node> {
        node_with(journal, store::MAX_CUSTOMERS)
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    /// The age as a decision sees it.
    fn age(node: &Node, who: impl fmt::Display) -> Option<i64> {
        let mut row = Row::new();
        node.customers().read(id(who).as_str(), &mut row);
        match FeatureVector::new(&row).get(&node.live().engine.schema, FeatureId(AGE), Time(0)) {
            Value::Int(age) => Some(age),
            _ => None,
        }
    }

    /// An update that sets the age. Codes begin at 1.
    fn aged(who: impl fmt::Display, age: u64) -> Update {
        merge(who, &[(AGE, age + 1)])
    }

    /// The state that a replay of the schema and the journal's records produces.
    fn replay(journal: &Kept) -> State {
        let schema = codec::encode(&Record::Schema { text: SCHEMA.into() }).unwrap();
        replayed(&[vec![(1, schema)], journal.records()].concat())
    }

    fn digest(node: &Node) -> u64 {
        state::digest::of(&node.live().definitions, node.customers(), &ledger::Content::default())
    }

    #[test]
    fn an_acknowledged_write_is_seen_by_the_next_read() {
        let node = node(Volatile);
        for round in 0..100 {
            assert_eq!(block_on(node.write(vec![aged(1, round), aged(2, 7)])), Ok(2 + round));
            assert_eq!((age(&node, 1), age(&node, 2)), (Some(round as i64), Some(7)));
            assert_eq!(node.sequence(), 2 + round);
        }
        assert_eq!(block_on(node.write(Vec::new())), Ok(101), "nothing to write");
    }

    #[test]
    fn a_long_write_becomes_several_records_in_order() {
        let journal = Kept::default();
        let node = node(journal.clone());
        let many = 2 * MAX_UPDATES_PER_RECORD + 1;
        let updates = (0..many).map(|at| aged(at % 3, at as u64 % 100)).collect();
        assert_eq!(block_on(node.write(updates)), Ok(4));
        assert_eq!(journal.records().len(), 3);
        for last in many - 3..many {
            assert_eq!(age(&node, last % 3), Some(last as i64 % 100));
        }
        assert_eq!(replay(&journal).digest(), digest(&node));
    }

    #[test]
    fn fates_are_told_by_place_in_the_whole_submission() {
        let journal = Kept::default();
        let node = node(journal.clone());
        let count = MAX_UPDATES_PER_RECORD as u64 + 10;
        let updates: Vec<_> = (1..=count).map(happening).collect();
        let TakenIn { sequence, fates } = block_on(node.take_in(updates)).unwrap();
        // A hundred fit the budget.
        let used_up: Vec<_> = (100..count as usize).map(|at| (at, Fate::UsedUp)).collect();
        assert_eq!((sequence, fates.refused, fates.omitted), (3, used_up, 0));
        let taken = block_on(node.take_in(vec![aged(1, 1), happening(1)])).unwrap();
        assert_eq!(taken.fates.refused, [(1, Fate::Duplicate)]);
        assert_eq!(node.figures().used(5, 0), 100);
        assert_eq!(replay(&journal).figures().tallies(), node.figures().tallies());
        assert_eq!(block_on(node.take_in(vec![])).unwrap(), TakenIn { sequence: 4, fates: Fates::default() });
    }

    #[test]
    fn features_repeated_beyond_the_bound_are_written_once_with_their_last_code() {
        let node = node(Volatile);
        let mut fields = vec![(AGE, 1); MAX_FIELDS_PER_UPDATE];
        fields.extend([(AGE, 43), (u16::MAX, 1)]);
        assert_eq!(block_on(node.write(vec![merge(1, &fields)])), Ok(2));
        assert_eq!(age(&node, 1), Some(42));
    }

    #[test]
    fn a_full_queue_sheds_at_once_and_what_waits_is_written_in_order() {
        let (journal, gate) = gated(true);
        let node = node(journal);
        let offer = |age| node.submissions.offer(records_of(vec![aged(1, age)]));
        let first = offer(0).unwrap();
        gate.began.recv().unwrap(); // the writer waits inside the first sync
        let waiting: Vec<_> = (1..=MAX_WAITING as u64).map(|at| offer(at % 100).unwrap()).collect();
        assert_eq!(offer(1).err(), Some(Unavailable::Overloaded));
        assert_eq!(block_on(node.write(vec![aged(1, 1)])), Err(Unavailable::Overloaded));
        assert_eq!((node.sequence(), age(&node, 1)), (1, None), "nothing is seen before it is synced");
        drop(gate);
        for (sequence, reply) in (2..).zip(std::iter::once(first).chain(waiting)) {
            assert_eq!(reply.blocking_recv().unwrap().unwrap().sequence, sequence);
        }
        assert_eq!(age(&node, 1), Some(MAX_WAITING as i64 % 100));
        assert!(offer(1).is_ok(), "there is room again");
    }

    #[test]
    fn after_a_failure_of_the_journal_nothing_more_is_written() {
        for call in 1..=3 {
            let journal = FailsAt::new(call);
            let node = node(journal.clone());
            let good = call - 1;
            for write in 0..good {
                assert_eq!(block_on(node.write(vec![aged(1, write)])), Ok(2 + write));
            }
            assert!(!node.journal_failed());
            for _ in 0..3 {
                assert_eq!(block_on(node.write(vec![aged(1, 99), aged(2, 1)])), Err(Unavailable::Stopped));
                assert!(node.journal_failed());
            }
            let retire = Define::Retire { name: "cards".into(), if_active: None };
            let refused = block_on(node.define(retire)).unwrap_err();
            assert!(matches!(refused, DefineError::Unavailable(Unavailable::Stopped)), "{refused:?}");
            assert_eq!(node.sequence(), 1 + good);
            assert_eq!((age(&node, 1), age(&node, 2)), (good.checked_sub(1).map(|age| age as i64), None));
            assert_eq!(
                journal.calls.load(Ordering::Relaxed),
                call,
                "a journal that failed is not called again"
            );
        }
    }

    #[test]
    fn a_full_disk_refuses_a_batch_and_no_more() {
        let node = node(FailsAt::full_at(2));
        assert_eq!(block_on(node.write(vec![aged(1, 1)])), Ok(2));
        assert_eq!(block_on(node.write(vec![aged(1, 2), aged(2, 2)])), Err(Unavailable::DiskFull));
        assert_eq!((age(&node, 1), age(&node, 2), node.journal_failed()), (Some(1), None, false));
        assert_eq!(block_on(node.write(vec![aged(1, 3)])), Ok(3), "the sequence was not used up");
    }

    #[test]
    fn whoever_waits_when_the_journal_fails_is_told_so() {
        let (journal, gate) = gated(false);
        let node = node(journal);
        let offer = || node.submissions.offer(records_of(vec![aged(1, 1)])).unwrap();
        let first = offer();
        gate.began.recv().unwrap();
        let waiting: Vec<_> = (0..10).map(|_| offer()).collect();
        drop(gate);
        for reply in std::iter::once(first).chain(waiting) {
            let stopped = reply.blocking_recv().map_or(true, |told| told.err() == Some(Unavailable::Stopped));
            assert!(stopped);
        }
        assert_eq!((node.sequence(), age(&node, 1)), (1, None));
    }

    #[test]
    fn a_write_that_finds_no_room_is_refused_as_a_whole() {
        let journal = Kept::default();
        let node = node_with(journal.clone(), 2);
        assert!(block_on(node.write(vec![aged(1, 1)])).is_ok());
        assert_eq!(block_on(node.write(vec![aged(1, 2), aged(2, 2), aged(3, 2)])), Err(Unavailable::Full));
        assert_eq!((age(&node, 1), age(&node, 2)), (Some(1), None));
        assert!(block_on(node.write(vec![aged(1, 3), aged(2, 3)])).is_ok());
        assert!(block_on(node.write(vec![aged(1, 4), aged(2, 4)])).is_ok(), "known customers need no room");
        assert_eq!(journal.records().len(), 3, "what is refused is not journalled");
    }

    #[test]
    fn stopping_finishes_what_waits_and_refuses_the_rest() {
        let (journal, gate) = gated(true);
        let node = node(journal);
        let first = node.submissions.offer(records_of(vec![aged(1, 1)])).unwrap();
        gate.began.recv().unwrap();
        let second = node.submissions.offer(records_of(vec![aged(1, 2)])).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| node.stop());
            drop(gate);
        });
        node.stop();
        assert_eq!(first.blocking_recv().unwrap().unwrap().sequence, 2);
        assert_eq!(second.blocking_recv().unwrap().unwrap().sequence, 3);
        assert_eq!(block_on(node.write(vec![aged(1, 3)])), Err(Unavailable::Stopped));
        let refused =
            block_on(node.define(Define::Schema { text: SCHEMA.into(), rename: false, if_text: None }))
                .unwrap_err();
        assert!(matches!(refused, DefineError::Unavailable(Unavailable::Stopped)), "{refused:?}");
        assert_eq!(age(&node, 1), Some(2), "decisions go on");
        assert!(!node.journal_failed());
    }

    #[test]
    fn a_caller_that_leaves_does_not_undo_its_write() {
        let node = node(Volatile);
        drop(node.submissions.offer(records_of(vec![aged(1, 5)])).unwrap());
        assert_eq!(block_on(node.write(vec![aged(2, 5)])), Ok(3));
        assert_eq!(age(&node, 1), Some(5));
    }

    #[test]
    fn writers_see_their_own_writes_and_readers_see_them_in_order() {
        const WRITERS: u64 = 4;
        const WRITES: u64 = 121; // as many as there are ages
        let journal = Kept::default();
        let node = node(journal.clone());
        std::thread::scope(|scope| {
            for who in 0..WRITERS {
                let node = &node;
                scope.spawn(move || {
                    let mut before = 0;
                    for write in 0..WRITES {
                        let sequence = block_on(node.write(vec![aged(who, write)])).unwrap();
                        assert!(sequence > before && node.sequence() >= sequence);
                        assert_eq!(age(node, who), Some(write as i64));
                        before = sequence;
                    }
                });
                scope.spawn(move || {
                    let mut last = None;
                    while node.sequence() < WRITERS * WRITES + 1 {
                        let now = age(node, who);
                        assert!(now >= last, "{last:?}, then {now:?}");
                        last = now;
                    }
                });
            }
        });
        let sequences: Vec<u64> = journal.records().iter().map(|(sequence, _)| *sequence).collect();
        assert_eq!(sequences, (2..=WRITERS * WRITES + 1).collect::<Vec<_>>());
        assert_eq!(replay(&journal).digest(), digest(&node));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_replay_of_the_journal_makes_the_state_of_the_node(writes in prop::collection::vec(updates(), 0..8)) {
            let journal = Kept::default();
            let node = node(journal.clone());
            let mut model = Model::default();
            for updates in writes {
                updates.iter().for_each(|update| model.apply(update));
                block_on(node.write(updates)).unwrap();
            }
            prop_assert_eq!(Model::of(&node.live().definitions, node.customers()), model);
            let replayed = replay(&journal);
            let (definitions, customers) = (replayed.definitions(), replayed.customers());
            let replayed = state::digest::of(definitions, customers, &ledger::Content::default());
            prop_assert_eq!(replayed, digest(&node));
        }
    }
}
