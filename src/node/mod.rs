//! A running node: the engine in force, the customers, and the one road for writes.
//!
//! ```text
//! write  ────────────────────────────► writer: journal, sync once, apply in order, acknowledge
//! define ─► compiler: check, compile ────►│ ─► swap one Arc<Live>
//! ```
//!
//! Reading takes no part in this: [`Node::live`] is one load, [`Node::customers`] the store's read side.

pub(crate) mod clock;
pub(crate) mod compiler;
pub mod leases;
pub mod snapshotter;
pub mod startup;
pub(crate) mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use arc_swap::Guard;
use tokio::sync::oneshot;

use self::leases::Leases;
use self::snapshotter::{SnapshotSchedule, SnapshotStatus, Snapshotter};
use self::writer::{Shared, Submissions};
use crate::customer::outcome::BudgetUse;
use crate::customer::outcome::OutcomeKind;
use crate::customer::update::{Change, Update};
use crate::decide::Budgets;
use crate::engine::Engine;
use crate::input::problem::Problems;
use crate::insight::analysis::Warnings;
use crate::insight::decided::Decided;
use crate::insight::stats::Tallied;
use crate::rules::rule_set::RuleSet;
use crate::schema::value::Time;
use crate::schema::{FeatureId, MAX_FEATURES};
use crate::state::MAX_FATES;
use crate::state::definitions::Definitions;
use crate::state::ledger::Figures;
use crate::state::record::{MAX_FIELDS_PER_UPDATE, MAX_UPDATES_PER_RECORD, Record};
use crate::state::store;
use crate::state::store::Customers;
use crate::state::{Fates, State};
use crate::storage::data_dir::Opened;
use crate::storage::durability::{Durability, Recovery, SnapshotError, SnapshotInfo, SyncPolicy};
use crate::storage::journal::append::JournalStatus;
use crate::storage::journal::{Journal, Volatile};

/// What must agree with each other, swapped as one value: definitions and the engine compiled from them.
pub struct Live {
    /// Schema and rule sets.
    pub definitions: Definitions,
    /// Compiled from them; its schema has the same content as theirs.
    pub engine: Engine,
    /// Where decisions of that engine are counted; engines before it counted there too.
    pub decided: Arc<Decided>,
}

/// A running node; shared by all request threads.
pub struct Node {
    shared: Arc<Shared>,
    leases: Leases,
    submissions: Submissions,
    changes: SyncSender<compiler::Message>,
    kept: Option<OnDisk>,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    compiler: JoinHandle<()>,
    writer: JoinHandle<()>,
    snapshotter: Option<JoinHandle<()>>,
}

/// What a node over a data directory has beside.
struct OnDisk {
    sync: SyncPolicy,
    journal: Arc<JournalStatus>,
    snapshots: Arc<SnapshotStatus>,
    requests: SyncSender<snapshotter::Message>,
    recovery: Recovery,
}

/// A change of definitions that is asked for.
#[derive(Debug)]
pub enum Define {
    /// The schema grows to this text.
    Schema {
        /// Whole text.
        text: String,
    },
    /// A new version of a rule set; with `if_active` only if that version is the active one (0: if none is).
    Publish {
        /// The rule set.
        name: String,
        /// Whole text, YAML or JSON.
        text: String,
        /// Whether it decides from now on.
        activate: bool,
        /// The version that must be active for this to happen.
        if_active: Option<u32>,
    },
    /// A version becomes the active one.
    Activate {
        /// The rule set.
        name: String,
        /// The version.
        version: u32,
        /// The version that must be active for this to happen.
        if_active: Option<u32>,
    },
    /// Back to the version that was active before.
    Rollback {
        /// The rule set.
        name: String,
        /// The version that must be active for this to happen.
        if_active: Option<u32>,
    },
    /// No version is active any more.
    Retire {
        /// The rule set.
        name: String,
        /// The version that must be active for this to happen.
        if_active: Option<u32>,
    },
    /// Everything of a bundle at once: schema and rule sets, compiled together. The schema grows in any case.
    Bundle {
        /// Schema text.
        schema: String,
        /// File name and text of each rule set.
        rule_sets: Vec<(String, String)>,
        /// Whether the rule sets decide from now on; else they are compiled as if they did.
        activate: bool,
    },
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Defined {
    /// The record's sequence; of several the last one's.
    pub sequence: u64,
    /// The rule set's version that was published or activated; 0 for a schema or bundle or retirement.
    pub version: u32,
    /// Whether that version is the active one now.
    pub active: bool,
    /// How long parsing and compiling took.
    pub compiled_in_us: u64,
    /// Of a bundle: its rule sets, those that stayed as they were included.
    pub rule_sets: Vec<RuleSetVersion>,
    /// What is hardly meant in the rule sets that were brought.
    pub warnings: Warnings,
}

/// A rule set that was tried out: compiled with those that are active, without changing anything.
#[derive(Debug)]
pub struct Tried {
    /// What is wrong with it, or with how it fits the others.
    pub errors: Problems,
    /// If nothing is wrong: the engine there would be, and the rule sets it was compiled from.
    pub engine: Option<(Engine, Vec<Arc<RuleSet>>)>,
    /// Its offers with what becomes of each, against the active version.
    pub offers: Vec<(String, OfferChange)>,
    /// How long parsing and compiling took.
    pub compiled_in_us: u64,
}

/// What becomes of an offer when a version takes the place of the active one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferChange {
    /// It is new.
    Added,
    /// It says something else.
    Changed,
    /// It stays as it is; the tags it uses may have changed.
    Unchanged,
    /// It goes.
    Removed,
}

impl OfferChange {
    /// Its name in answers.
    pub fn name(self) -> &'static str {
        match self {
            OfferChange::Added => "added",
            OfferChange::Changed => "changed",
            OfferChange::Unchanged => "unchanged",
            OfferChange::Removed => "removed",
        }
    }
}

/// A rule set of a bundle, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSetVersion {
    /// The rule set.
    pub name: String,
    /// The version with the bundle's text.
    pub version: u32,
    /// Whether it is the active one.
    pub active: bool,
}

/// Why nothing was changed.
#[derive(Debug)]
pub enum DefineError {
    /// The text is wrong: every problem found.
    Invalid(Problems),
    /// It is right by itself but does not fit what is there.
    Conflict(Problems),
    /// Another version is active than the caller thought.
    OtherActive(Option<u32>),
    /// There is no such rule set, version, or earlier version.
    NotFound(String),
    /// A fault of the compiler itself, as text.
    Internal(String),
    /// Not possible now.
    Unavailable(Unavailable),
}

/// What came of updates among which there are events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenIn {
    /// The sequence of the last record.
    pub sequence: u64,
    /// Events that changed nothing, by their places among the updates.
    pub fates: Fates,
}

/// Why a write cannot be taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// Too many writes are waiting: try again shortly.
    Overloaded,
    /// The journal failed or the node is stopping.
    Stopped,
    /// There is no room for more customers.
    Full,
    /// The disk is full: nothing was changed, try again when there is room.
    DiskFull,
}

/// Why a node does not start over a data directory that is whole.
#[derive(Debug)]
pub enum StartError {
    /// Rule sets that are active there do not compile: this release understands them differently.
    RuleSets(Problems),
    /// The system has no threads to give.
    Io(io::Error),
}

impl From<io::Error> for StartError {
    fn from(e: io::Error) -> StartError {
        StartError::Io(e)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::RuleSets(problems) => problems.fmt(f),
            StartError::Io(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

impl Node {
    /// Starts an empty node over a journal that keeps nothing: its writer and compiler threads.
    ///
    /// # Errors
    /// When the system has no threads to give.
    pub fn start() -> io::Result<Arc<Node>> {
        Node::start_with(Box::new(Volatile))
    }

    /// Starts an empty node over an empty `journal`.
    ///
    /// # Errors
    /// When the system has no threads to give.
    pub fn start_with(journal: Box<dyn Journal>) -> io::Result<Arc<Node>> {
        let state = State::new();
        let engine = Engine::empty(&state.definitions().schema);
        Node::start_over(state, engine, journal, store::MAX_CUSTOMERS)
    }

    /// Starts a node over what a data directory holds: compiles its rule sets, and takes snapshots by `schedule`.
    ///
    /// # Errors
    /// [`StartError`]; the directory is as it was.
    pub fn open(opened: Opened, schedule: SnapshotSchedule) -> Result<Arc<Node>, StartError> {
        let Opened { disk, identity, state, journal, snapshot, recovery } = opened;
        let engine = compiler::compile_active(state.definitions()).map_err(StartError::RuleSets)?;
        let (sync, facts) = (journal.policy(), journal.facts().clone());
        let shared = Arc::new(Shared::new(&state, engine));
        let room = store::MAX_CUSTOMERS;
        let (submissions, writer) = writer::start(state, Box::new(journal), shared.clone(), room)?;
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
        let snapshots = keeper.facts.clone();
        let (requests, snapshotter) = keeper.start()?;
        let kept = Some(OnDisk { sync, journal: facts, snapshots, requests, recovery });
        let threads = Mutex::new(Some(Threads { compiler, writer, snapshotter: Some(snapshotter) }));
        Ok(Arc::new(Node { shared, leases: Leases::new(), submissions, changes, kept, threads }))
    }

    /// Starts a node over what is there already and kept nowhere; `engine` is compiled from it.
    fn start_over(
        state: State,
        engine: Engine,
        journal: Box<dyn Journal>,
        room: usize,
    ) -> io::Result<Arc<Node>> {
        let shared = Arc::new(Shared::new(&state, engine));
        let (submissions, writer) = writer::start(state, journal, shared.clone(), room)?;
        let (changes, compiler) = compiler::start(shared.clone(), submissions.clone())?;
        let threads = Mutex::new(Some(Threads { compiler, writer, snapshotter: None }));
        Ok(Arc::new(Node { shared, leases: Leases::new(), submissions, changes, kept: None, threads }))
    }

    /// Engine and definitions in force. Keep for one request only.
    pub fn live(&self) -> Guard<Arc<Live>> {
        self.shared.live.load()
    }

    /// The customers.
    pub fn customers(&self) -> &Customers {
        &self.shared.customers
    }

    /// What of the state is of no customer: budgets, counts, what was learned.
    pub fn figures(&self) -> &Arc<Figures> {
        &self.shared.figures
    }

    /// What had become of offers when the process began, without days.
    pub fn tallied_before(&self) -> &[Tallied] {
        &self.shared.tallied_before
    }

    /// Writes changes to customers, in order; done when they are journalled and applied, so that the next decision sees
    /// them. Returns the sequence of the last record. Made against a schema of this node: a schema that grew meanwhile
    /// changes nothing for them.
    ///
    /// Up to [`MAX_UPDATES_PER_RECORD`] updates are one record, which a crash leaves whole or not at all; more become
    /// several, one after the other. An empty list changes nothing. Whoever drops the future does not undo the write.
    ///
    /// # Errors
    /// [`Unavailable`]. `Overloaded` and `Full`: nothing was changed. `Stopped`: it may come back when the node starts
    /// again, as after a crash.
    pub async fn write(&self, updates: Vec<Update>) -> Result<u64, Unavailable> {
        self.take_in(updates).await.map(|taken| taken.sequence)
    }

    /// As [`write`](Node::write), and tells which events changed nothing: those that were taken before, or may have been,
    /// and those whose budget is used up.
    ///
    /// # Errors
    /// As [`write`](Node::write).
    pub async fn take_in(&self, updates: Vec<Update>) -> Result<TakenIn, Unavailable> {
        if updates.is_empty() {
            return Ok(TakenIn { sequence: self.sequence(), fates: Fates::default() });
        }
        let places = held_places(&updates);
        let reply = self.submissions.offer(records_of(updates))?;
        let applied = reply.await.unwrap_or(Err(Unavailable::Stopped))?;
        // Counted as used by now; whoever left before holds the place until its time is over.
        let refused = |at: usize| applied.fates.refused.binary_search_by_key(&at, |(at, _)| *at).is_ok();
        for (at, budget, decided) in places.iter().filter(|(at, ..)| !refused(*at)) {
            debug_assert!(*at < MAX_FATES, "beyond it fates are only counted");
            self.leases.settle(budget.key, budget.day, *decided);
        }
        Ok(TakenIn { sequence: applied.sequence, fates: applied.fates })
    }

    /// What is left of budgets, for decisions.
    pub fn budgets(&self) -> impl Budgets + '_ {
        NodeBudgets { figures: self.figures(), leases: &self.leases }
    }

    /// Changes definitions: checks, compiles, journals, swaps; done when decisions use it. Changes are made one at a
    /// time, in the order they come. Whoever drops the future does not undo the change.
    ///
    /// - A version that is published without being activated must compile with the active rule sets too.
    /// - A schema equal to the one in force, or a bundle of which every part is in force, makes no record; any other
    ///   publishing makes a new version.
    ///
    /// # Errors
    /// [`DefineError`]; nothing was changed then.
    pub async fn define(&self, change: Define) -> Result<Defined, DefineError> {
        let (done, reply) = oneshot::channel();
        self.changes.try_send(compiler::Message::Define(change, done)).map_err(refused)?;
        reply.await.unwrap_or(Err(DefineError::Unavailable(Unavailable::Stopped)))
    }

    /// Tries a rule set out: compiles it with those that are active as if it were published, and changes nothing. Waits its
    /// turn among the changes of definitions.
    ///
    /// # Errors
    /// [`DefineError`], but never for what is wrong with the text: that is what was asked for.
    pub async fn try_out(&self, name: String, text: String) -> Result<Tried, DefineError> {
        let (done, reply) = oneshot::channel();
        self.changes.try_send(compiler::Message::Try { name, text, done }).map_err(refused)?;
        reply.await.unwrap_or(Err(DefineError::Unavailable(Unavailable::Stopped)))
    }

    /// The sequence of the last record applied.
    pub fn sequence(&self) -> u64 {
        self.shared.sequence.load(Ordering::Acquire)
    }

    /// Whether the journal failed (or a record could not be applied): decisions go on, writes are refused until restart.
    pub fn journal_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Acquire)
    }

    /// Takes a snapshot now, and says what is in it. If files hold customers who were erased, so many are taken that none
    /// does any more.
    ///
    /// # Errors
    /// [`SnapshotError`]; everything else is as it was.
    pub async fn snapshot(&self) -> Result<SnapshotInfo, SnapshotError> {
        let Some(kept) = &self.kept else { return Err(SnapshotError::InMemory) };
        let (done, reply) = oneshot::channel();
        kept.requests.try_send(snapshotter::Message::Take(done)).map_err(|refused| match refused {
            TrySendError::Full(_) => {
                SnapshotError::Failed("too many requests for a snapshot are waiting".into())
            }
            TrySendError::Disconnected(_) => SnapshotError::Stopped,
        })?;
        reply.await.unwrap_or(Err(SnapshotError::Stopped))
    }

    /// How durable it is now.
    pub fn durability(&self) -> Durability {
        let journal_failure = self.shared.failure().map(str::to_owned);
        let Some(OnDisk { sync, journal, snapshots, recovery, .. }) = &self.kept else {
            return Durability { journal_failure, ..Durability::default() };
        };
        let erased = self.shared.erased.load(Ordering::Acquire);
        // One lock at a time.
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
            snapshots: kept,
            snapshot_failures: snapshots.failures.load(Ordering::Relaxed),
            snapshot_failure: snapshots.failure().clone(),
            erasure_pending,
            recovery: *recovery,
        }
    }

    /// Finishes what waits, then stops the threads. Writes after this are refused, decisions go on. Blocks until the
    /// threads have ended; doing it again does nothing.
    pub fn stop(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Threads { compiler, writer, snapshotter }) = threads.take() else { return };
        // The compiler first: what it does ends at the writer. An error means that the thread has ended already.
        let _ = self.changes.send(compiler::Message::Stop);
        let _ = compiler.join();
        // Then the last snapshot, which needs the writer.
        if let (Some(kept), Some(snapshotter)) = (&self.kept, snapshotter) {
            kept.snapshots.stopping.store(true, Ordering::Release);
            let _ = kept.requests.send(snapshotter::Message::Stop);
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

/// Why the compiler did not take a message.
#[allow(clippy::needless_pass_by_value)] // made for `map_err`
fn refused<T>(refused: TrySendError<T>) -> DefineError {
    DefineError::Unavailable(match refused {
        TrySendError::Full(_) => Unavailable::Overloaded,
        TrySendError::Disconnected(_) => Unavailable::Stopped,
    })
}

/// Budgets as the fold counts them, and places in them that decisions hold.
struct NodeBudgets<'n> {
    figures: &'n Figures,
    leases: &'n Leases,
}

impl Budgets for NodeBudgets<'_> {
    fn take(&self, budget: &BudgetUse, hold_s: u32, now: Time) -> bool {
        let used = || self.figures.used(budget.key, budget.day);
        self.leases.take(budget, used, hold_s, now.stored_seconds())
    }
}

/// The places in budgets that the impressions among these updates give back once they are counted: which update, which
/// budget, when it was decided.
fn held_places(updates: &[Update]) -> Vec<(usize, BudgetUse, u32)> {
    let mut places = Vec::new();
    for (at, update) in updates.iter().enumerate() {
        let Change::Event(event) = &update.change else { continue };
        let Some(outcome) = &event.outcome else { continue };
        if outcome.kind == OutcomeKind::Impression && outcome.nonce != 0 {
            places.extend(outcome.budgets.iter().map(|budget| (at, *budget, outcome.decided)));
        }
    }
    places
}

/// `updates` as records that keep the bounds of [`record`](crate::state::record).
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

/// The last code of each feature, which is the one that stays: no more than a schema has features.
fn without_repetition(fields: &[(FeatureId, u64)]) -> Vec<(FeatureId, u64)> {
    let last: BTreeMap<FeatureId, u64> = fields.iter().copied().collect();
    last.into_iter().filter(|(feature, _)| usize::from(feature.0) < MAX_FEATURES).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::writer::MAX_WAITING;
    use super::*;
    use crate::customer::event::Fate;
    use crate::customer::row::Row;
    use crate::schema::value::{Time, Value};
    use crate::schema::vector::FeatureVector;
    use crate::state;
    use crate::state::ledger;
    use crate::state::testing::{Model, SCHEMA, happening, id, merge, replayed, updates};
    use crate::storage::codec;
    use crate::storage::journal::testing::{FailsAt, Kept, gated};

    const AGE: u16 = 1;

    /// A node that has a schema, by record 1, which `journal` is not told.
    fn node_with(journal: impl Journal + 'static, room: usize) -> Arc<Node> {
        let mut state = State::new();
        state.apply(1, &Record::Schema { text: SCHEMA.into() }).unwrap();
        let engine = Engine::empty(&state.definitions().schema);
        Node::start_over(state, engine, Box::new(journal), room).unwrap()
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

    /// An update that sets the age; codes begin at 1.
    fn aged(who: impl fmt::Display, age: u64) -> Update {
        merge(who, &[(AGE, age + 1)])
    }

    /// The state that the journal's records make after the schema.
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
        let refused = block_on(node.define(Define::Schema { text: SCHEMA.into() })).unwrap_err();
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
            prop_assert_eq!(replay(&journal).digest(), digest(&node));
        }
    }
}
