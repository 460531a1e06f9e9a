//! The writer: the one thread that changes a node's state.
//!
//! It takes the waiting submissions, encodes and appends them, syncs once for all, applies them in order, and
//! then acknowledges. So an acknowledged write is journalled, and the next decision sees it.
//!
//! After one failure it stops for good, because the contents of the journal are unknown then. All waiting
//! and later writes get [`Unavailable::Stopped`]. A full disk, or a file that cannot be made for now, is
//! not such a failure: only that batch is refused.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::oneshot;

use super::live::Live;
use super::node_state::NodeState;
use super::unavailable::Unavailable;
use crate::customer::event::Event;
use crate::customer::id::CustomerId;
use crate::customer::outcome::Outcome;
use crate::customer::update::{Change, Erasure, SALT_BYTES, Update};
use crate::engine::Engine;
use crate::insight::decided::Decided;
use crate::rules::catalogue::OfferEntry;
use crate::schema::FeatureId;
use crate::state::record::Record;
use crate::state::store::Growth;
use crate::state::{Fates, FrozenState, State};
use crate::storage::codec;
use crate::storage::disk;
use crate::storage::journal::{Journal, JournalError, lacking};

/// The most submissions that may wait. One more is refused as [`Unavailable::Overloaded`].
pub(crate) const MAX_WAITING: usize = 1_024;
/// The most submissions that share one sync.
pub(crate) const MAX_BATCH: usize = 1_024;
/// Once a batch has this many encoded bytes, no more submissions join it.
pub(crate) const MAX_BATCH_BYTES: usize = 8 << 20;

/// Records that are acknowledged together. No other submission comes between them.
pub(crate) struct Submission {
    pub(crate) records: Vec<Record>,
    /// For records that define: the engine compiled from the result, and the counters of its decisions.
    pub(crate) engine: Option<Box<(Engine, Arc<Decided>)>>,
    /// Its share of `waiting_bytes`; 0 for the compiler, which has only one submission at a time.
    bytes: usize,
    pub(crate) done: oneshot::Sender<Result<Applied, Unavailable>>,
}

/// The result of a submission that was applied.
pub(crate) struct Applied {
    /// The sequence of its last record.
    pub(crate) sequence: u64,
    /// Events that changed nothing, by index among all updates of the submission.
    pub(crate) fates: Fates,
    /// The value that was swapped out. The receiver drops it where that delays nobody.
    pub(crate) replaced: Option<Arc<Live>>,
}

/// What other threads ask of the writer.
pub(crate) enum WriterMessage {
    Write(Submission),
    /// For a snapshot: begin a new segment and freeze the state. The answer carries the last record's
    /// checksum.
    Freeze(SyncSender<Result<(FrozenState, u64), FreezeError>>),
    Stop,
}

/// Why the state was not frozen. Except after `Stopped`, everything is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FreezeError {
    /// The disk or the system refused a new segment, for this reason that may pass.
    Refused(Unavailable),
    /// Another snapshot holds the state frozen already.
    Frozen,
    /// The journal failed, or the node is stopping.
    Stopped,
}

/// The sending side of the writer's queue.
#[derive(Clone)]
pub(crate) struct Submissions {
    queue: SyncSender<WriterMessage>,
    shared: Arc<NodeState>,
}

type Reply = oneshot::Receiver<Result<Applied, Unavailable>>;

impl Submissions {
    /// Submits records from a request thread. Never waits.
    pub(crate) fn offer(&self, records: Vec<Record>) -> Result<Reply, Unavailable> {
        let bytes = records.iter().map(bytes_in_memory).sum();
        if !self.shared.admit(bytes) {
            return Err(Unavailable::Overloaded);
        }
        let (done, reply) = oneshot::channel();
        let refused = match self.queue.try_send(WriterMessage::Write(Submission {
            records,
            engine: None,
            bytes,
            done,
        })) {
            Ok(()) => return Ok(reply),
            Err(TrySendError::Full(_)) => Unavailable::Overloaded,
            Err(TrySendError::Disconnected(_)) => Unavailable::Stopped,
        };
        self.shared.release(bytes);
        Err(refused)
    }

    /// Submits records with the engine compiled from them, and waits until they are applied. For the compiler
    /// only.
    pub(crate) fn submit(
        &self,
        records: Vec<Record>,
        engine: Engine,
        decided: Arc<Decided>,
    ) -> Result<Applied, Unavailable> {
        let (done, reply) = oneshot::channel();
        let engine = Some(Box::new((engine, decided)));
        let message = WriterMessage::Write(Submission { records, engine, bytes: 0, done });
        self.queue.send(message).map_err(|_| Unavailable::Stopped)?;
        reply.blocking_recv().unwrap_or(Err(Unavailable::Stopped))
    }

    /// Freezes the state between two submissions, and waits for it. For the snapshotter only.
    pub(crate) fn freeze(&self) -> Result<(FrozenState, u64), FreezeError> {
        let (done, reply) = sync_channel(1);
        self.queue.send(WriterMessage::Freeze(done)).map_err(|_| FreezeError::Stopped)?;
        reply.recv().unwrap_or(Err(FreezeError::Stopped))
    }

    /// Lets the writer finish the submissions so far, then end.
    pub(crate) fn stop(&self) {
        let _ = self.queue.send(WriterMessage::Stop); // fails if the writer has ended already
    }
}

/// Memory of an event without its facts, counted in facts.
const EVENT_WORDS: usize =
    (size_of::<Event>() + size_of::<Outcome>()).div_ceil(size_of::<(FeatureId, u64)>()) + 4;

/// Roughly how much memory a record holds, in bytes.
fn bytes_in_memory(record: &Record) -> usize {
    let of_update = |update: &Update| {
        let fields = match &update.change {
            Change::Replace(fields) | Change::Merge(fields) => fields.len(),
            Change::Event(event) => event.facts.len() + EVENT_WORDS,
            Change::Erase(_) => 0,
        };
        size_of::<Update>() + update.customer.heap_bytes() + fields * size_of::<(FeatureId, u64)>()
    };
    match record {
        Record::Customers(updates) => updates.iter().map(of_update).sum(),
        Record::Idle { customers, .. } => {
            customers.iter().map(|customer| size_of::<CustomerId>() + customer.heap_bytes()).sum()
        }
        Record::Schema { text } | Record::Publish { text, .. } => text.len(),
        Record::Note { note, .. } => note.author.len() + note.message.len(),
        Record::Catalogue(additions) => additions.offers.len() * size_of::<OfferEntry>(),
        Record::Activate { .. } | Record::Rollback { .. } | Record::Retire { .. } => 0,
    }
}

/// Starts the writer over `state`.
///
/// # Errors
/// When the system cannot start a thread.
pub(crate) fn start(
    state: State,
    journal: Box<dyn Journal>,
    shared: Arc<NodeState>,
) -> io::Result<(Submissions, JoinHandle<()>)> {
    let (queue, messages) = sync_channel(MAX_WAITING);
    let submissions = Submissions { queue, shared: shared.clone() };
    let mut writer = Writer {
        expired_before: state.expired(),
        state,
        journal,
        shared: shared.clone(),
        bytes: Vec::new(),
        ends: Vec::new(),
        salt: salt(),
    };
    let thread = std::thread::Builder::new().name("writer".into()).spawn(move || {
        // A panic may have left the state half changed, so it ends writing just as a failed journal does. The
        // queue goes with the closure: senders find it closed, and submissions still in it are answered
        // `Stopped`.
        let ended = catch_unwind(AssertUnwindSafe(move || writer.run(&messages)));
        if !matches!(ended, Ok(Ok(()))) {
            shared.failed.store(true, Ordering::Release);
        }
    })?;
    Ok((submissions, thread))
}

/// Random bytes. The standard library takes its hash keys from the system's random source.
fn salt() -> [u8; SALT_BYTES] {
    let word = |part: &str| u128::from(RandomState::new().hash_one(part));
    (word("first") | word("second") << 64).to_le_bytes()
}

/// The writer's thread must end.
struct Ended;

struct Writer {
    state: State,
    /// How many customers had expired in the records that the start read again.
    expired_before: u64,
    journal: Box<dyn Journal>,
    shared: Arc<NodeState>,
    /// The encoded records of one submission, and where each ends. The buffers are reused.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Random bytes, which salt what is remembered of erased customers.
    salt: [u8; SALT_BYTES],
}

/// Submissions that share one sync.
struct Batch {
    /// The sequence that the next record gets.
    next: u64,
    /// Each submission with the sequence of its first record.
    appended: Vec<(u64, Submission)>,
    /// Encoded bytes of all records so far.
    bytes: usize,
    /// Upper bound of the customers that the batch adds.
    added: usize,
    /// What rows come to need, where addresses are bounded.
    growth: Growth,
    /// The bytes of the process when the batch began.
    resident: u64,
}

impl Writer {
    fn run(&mut self, messages: &Receiver<WriterMessage>) -> Result<(), Ended> {
        let mut next = None;
        loop {
            match next.take().map_or_else(|| self.wait(messages), Ok) {
                Ok(WriterMessage::Write(first)) => next = self.batch(first, messages)?,
                Ok(WriterMessage::Freeze(done)) => self.freeze(&done)?,
                Err(RecvTimeoutError::Timeout) => self.journal.settle().map_err(|error| self.fail(&error))?,
                Ok(WriterMessage::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    return self.journal.close().map_err(|error| self.fail(&error));
                }
            }
        }
    }

    /// The next message, or a time-out when the journal has postponed work to do.
    fn wait(&self, messages: &Receiver<WriterMessage>) -> Result<WriterMessage, RecvTimeoutError> {
        match self.journal.due() {
            Some(due) => messages.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Writes `first` and the submissions waiting behind it. Returns the message that ended the batch, unless
    /// it is a write.
    fn batch(
        &mut self,
        first: Submission,
        messages: &Receiver<WriterMessage>,
    ) -> Result<Option<WriterMessage>, Ended> {
        let mut batch = Batch {
            next: self.state.sequence() + 1,
            appended: Vec::new(),
            bytes: 0,
            added: 0,
            growth: Growth::default(),
            resident: self.shared.room.for_a_batch(),
        };
        self.append(first, &mut batch);
        let mut other = None;
        // What comes after a definition is judged once that is in force.
        let defines = |batch: &Batch| batch.appended.last().is_some_and(|(_, last)| last.engine.is_some());
        while batch.appended.len() < MAX_BATCH && batch.bytes < MAX_BATCH_BYTES && !defines(&batch) {
            match messages.try_recv() {
                Ok(WriterMessage::Write(submission)) => self.append(submission, &mut batch),
                Ok(message) => {
                    other = Some(message);
                    break;
                }
                Err(_) => break,
            }
        }
        match self.journal.commit() {
            Ok(()) => {
                self.taken();
                let mut appended = batch.appended.into_iter();
                appended.try_for_each(|(first, submission)| self.apply(first, submission))?;
            }
            Err(JournalError::Refused(error)) => {
                self.shared.erasures.given_up();
                let why = self.refused(&error, batch.appended.len());
                for (_, submission) in batch.appended {
                    let _ = submission.done.send(Err(why));
                }
            }
            Err(error) => return Err(self.fail(&error)),
        }
        Ok(other)
    }

    /// Freezes the state for a snapshot. The journal goes on in a new segment, so that older segments can be
    /// removed.
    fn freeze(&mut self, done: &SyncSender<Result<(FrozenState, u64), FreezeError>>) -> Result<(), Ended> {
        let frozen = match self.journal.rotate() {
            Ok(checksum) => {
                self.taken();
                self.state.freeze().map(|frozen| (frozen, checksum)).ok_or(FreezeError::Frozen)
            }
            Err(JournalError::Refused(error)) => Err(FreezeError::Refused(self.refused(&error, 0))),
            Err(error) => return Err(self.fail(&error)),
        };
        let _ = done.send(frozen); // dropped if the snapshotter has left
        Ok(())
    }

    /// Gives erasures that have no time the time at which they are written.
    fn date(&self, records: &mut [Record]) {
        let updates = records.iter_mut().filter_map(|record| match record {
            Record::Customers(updates) => Some(updates),
            _ => None,
        });
        for Update { customer, change } in updates.flatten() {
            if let Change::Erase(erasure) = change
                && erasure.at == 0
            {
                *erasure = Erasure {
                    at: self.shared.erasures.begin(customer, self.shared.clock.now()),
                    salt: self.salt,
                };
            }
        }
    }

    /// Appends the records of one submission, or refuses all of it before any byte is journalled.
    fn append(&mut self, mut submission: Submission, batch: &mut Batch) {
        self.shared.release(submission.bytes);
        let admitted = self.admit(&submission, batch);
        let admitted = admitted.and_then(|added| self.admit_growth(&submission, added, batch));
        let added = match admitted {
            Ok(added) => added,
            Err(why) => return drop(submission.done.send(Err(why))),
        };
        self.date(&mut submission.records);
        if self.encode(&submission.records).is_err() {
            let _ = submission.done.send(Err(Unavailable::Full)); // such a record could not be read back; no code makes one
            return;
        }
        let first = batch.next;
        let mut start = 0;
        for end in &self.ends {
            let more = *end < self.bytes.len();
            self.journal.append(batch.next, &self.bytes[start..*end], more);
            start = *end;
            batch.next += 1;
        }
        batch.added += added;
        batch.bytes += self.bytes.len();
        batch.appended.push((first, submission));
    }

    fn encode(&mut self, records: &[Record]) -> Result<(), codec::TooLong> {
        self.bytes.clear();
        self.ends.clear();
        for record in records {
            codec::encode_into(record, &mut self.bytes)?;
            self.ends.push(self.bytes.len());
        }
        Ok(())
    }

    /// How many customers a submission adds at most, if there is room for them. Looks them up one by one only
    /// when the bound would not fit. Definitions and erasures are always taken.
    fn admit(&self, submission: &Submission, batch: &Batch) -> Result<usize, Unavailable> {
        let before = batch.added;
        let updates = || updates(&submission.records);
        let grows = |update: &Update| !matches!(update.change, Change::Erase(_));
        let most = updates().flatten().filter(|update| grows(update)).count();
        if most == 0 {
            return Ok(0);
        }
        let exactly = || updates().map(|updates| self.state.added_by(updates)).sum::<usize>();
        let added = self.shared.room.admit(&self.shared.customers, batch.resident, before, most, exactly)?;
        // What is journalled must find memory when it is applied.
        if self.state.make_room(before + added).is_ok() {
            return Ok(added);
        }
        match exactly() {
            0 => Ok(0),
            added => self.state.make_room(before + added).map(|()| added).map_err(|_| Unavailable::Memory),
        }
    }

    /// Where addresses are bounded: gets the memory for rows that grow, or refuses. Elsewhere memory that
    /// nothing touches is free, and the mark of `--max-memory` bounds the rest.
    fn admit_growth(
        &self,
        submission: &Submission,
        added: usize,
        batch: &mut Batch,
    ) -> Result<usize, Unavailable> {
        let room = &self.shared.room;
        if room.bounds_addresses() {
            for record in &submission.records {
                let Record::Customers(updates) = record else { continue };
                let may_take = |bytes| room.has_addresses(bytes);
                let added = batch.added + added;
                let made = self.state.make_room_to_grow(updates, added, &mut batch.growth, may_take);
                made.map_err(|_| Unavailable::Memory)?;
            }
        }
        Ok(added)
    }

    fn apply(&mut self, first: u64, submission: Submission) -> Result<(), Ended> {
        let (mut fates, mut before) = (Fates::default(), 0);
        for (sequence, record) in (first..).zip(&submission.records) {
            // From here on the record is journalled. If it is not applied, the state no longer follows the
            // journal.
            let of_record = self.state.apply(sequence, record).map_err(|error| self.fail(&error))?;
            fates.extend(before, of_record);
            if let Record::Customers(updates) = record {
                before += updates.len();
            }
        }
        // First the swap, then the sequence: a thread that sees the sequence also sees what it defined.
        let replaced = submission.engine.map(|compiled| {
            let (engine, decided) = *compiled;
            let definitions = self.state.definitions().clone();
            self.shared.live.swap(Arc::new(Live { definitions, engine, decided }))
        });
        self.shared.erasures.applied(erased(&submission.records));
        let sequence = self.state.sequence();
        self.shared.erased.store(self.state.erased(), Ordering::Release);
        self.shared.expired.store(self.state.expired() - self.expired_before, Ordering::Relaxed);
        self.shared.sequence.store(sequence, Ordering::Release);
        let _ = submission.done.send(Ok(Applied { sequence, fates, replaced })); // a caller that left does not undo it
        Ok(())
    }

    /// Notes that the journal took something, after it may have refused something before.
    fn taken(&self) {
        if self.shared.refusal.load().is_some() {
            self.shared.refusal.store(None);
            tracing::info!("the journal takes writes again");
        }
    }

    /// Logs and notes why the journal refused something that it may take later. Returns the answer for the
    /// `writes` that were refused.
    fn refused(&self, error: &io::Error, writes: usize) -> Unavailable {
        let why = lacking(error);
        tracing::error!(why = %error, writes, "{why}: refused");
        self.shared.refusal.store(Some(Arc::new(format!("{why}: {error}"))));
        if disk::is_full(error) { Unavailable::DiskFull } else { Unavailable::NoFile }
    }

    /// Logs the failure and marks the node as failed before any submission is answered.
    fn fail(&self, why: &dyn std::error::Error) -> Ended {
        tracing::error!(why = %why, "no more writes until restart");
        self.shared.erasures.given_up();
        let _ = self.shared.failure.set(why.to_string()); // keeps the first reason
        self.shared.failed.store(true, Ordering::Release);
        Ended
    }
}

/// The updates in these records.
fn updates(records: &[Record]) -> impl Iterator<Item = &Vec<Update>> {
    records.iter().filter_map(|record| match record {
        Record::Customers(updates) => Some(updates),
        _ => None,
    })
}

/// Who is erased by these records.
fn erased(records: &[Record]) -> impl Iterator<Item = &CustomerId> {
    let erases = |update: &&Update| matches!(update.change, Change::Erase(_));
    updates(records).flatten().filter(erases).map(|update| &update.customer)
}
