//! The writer: the one thread that changes a node's state.
//!
//! It takes what waits, encodes and appends it, syncs once for all of it, then applies it in order and acknowledges. So
//! what is acknowledged was journalled, and the next decision sees it. After one failure it stops for good: what the
//! journal holds is unknown then, and whatever waits or comes later is answered [`Unavailable::Stopped`]. A full disk is
//! no such failure: the batch is refused and the next one tried.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use super::clock;
use super::compiler;
use super::{Live, Unavailable};
use crate::customer::event::Event;
use crate::customer::outcome::Outcome;
use crate::customer::update::{Change, Update};
use crate::engine::Engine;
use crate::insight::decided::Decided;
use crate::insight::stats;
use crate::insight::stats::Tallied;
use crate::rules::catalogue::OfferEntry;
use crate::schema::FeatureId;
use crate::state::ledger::Figures;
use crate::state::record::Record;
use crate::state::store::Customers;
use crate::state::{Fates, FrozenState, State};
use crate::storage::codec;
use crate::storage::journal::{Journal, JournalError};

/// Submissions that wait at most; one more is refused as [`Unavailable::Overloaded`].
pub(crate) const MAX_WAITING: usize = 1_024;
/// Bytes in memory that submissions from request threads may hold while they wait, all together. A single larger one is
/// taken when nothing else waits.
pub(crate) const MAX_WAITING_BYTES: usize = 64 << 20;
/// Submissions that share one sync at most.
pub(crate) const MAX_BATCH: usize = 1_024;
/// Encoded bytes after which no more submissions join a batch.
pub(crate) const MAX_BATCH_BYTES: usize = 8 << 20;

/// What request threads, the compiler and the writer share.
pub(crate) struct Shared {
    pub(crate) live: ArcSwap<Live>,
    pub(crate) customers: Arc<Customers>,
    pub(crate) figures: Arc<Figures>,
    /// What had become of offers when the process began.
    pub(crate) tallied_before: Vec<Tallied>,
    /// Of the last record applied.
    pub(crate) sequence: AtomicU64,
    /// Of the last record applied that erased a customer; 0 for none.
    pub(crate) erased: AtomicU64,
    /// The journal failed, or a record could not be applied: no more writes until restart.
    pub(crate) failed: AtomicBool,
    /// Why.
    failure: OnceLock<String>,
    waiting_bytes: AtomicUsize,
}

/// Records that are acknowledged together, in order and with none of another submission between them.
pub(crate) struct Submission {
    pub(crate) records: Vec<Record>,
    /// With records that define: compiled from what is defined after them, and where its decisions are counted.
    pub(crate) engine: Option<Box<(Engine, Arc<Decided>)>>,
    /// Counted in `waiting_bytes`; 0 for the compiler, of which there is one.
    bytes: usize,
    pub(crate) done: oneshot::Sender<Result<Applied, Unavailable>>,
}

/// What became of a submission.
pub(crate) struct Applied {
    /// Of the last record applied.
    pub(crate) sequence: u64,
    /// What became of events, by their places among all updates of the submission.
    pub(crate) fates: Fates,
    /// What was swapped out, to be dropped where it stops nobody.
    pub(crate) replaced: Option<Arc<Live>>,
}

/// What the writer is sent.
pub(crate) enum Message {
    Write(Submission),
    /// For a snapshot: begin a new segment and freeze the state, with the checksum of the last record.
    Freeze(SyncSender<Result<(FrozenState, u64), FreezeError>>),
    Stop,
}

/// Why the state was not frozen; everything is as it was, but for `Stopped`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FreezeError {
    /// The disk has no room for a new segment.
    Full,
    /// It is frozen already.
    Frozen,
    /// The journal failed, or the node is stopping.
    Stopped,
}

impl Shared {
    /// What is shared over `state`, before the writer takes it.
    pub(crate) fn new(state: &State, engine: Engine) -> Shared {
        let decided = compiler::counted(&Decided::new(clock::now()), &engine);
        let definitions = state.definitions().clone();
        let tallied_before = stats::without_days(state.figures().tallies().rows().map(Tallied::from));
        Shared {
            live: ArcSwap::from_pointee(Live { definitions, engine, decided }),
            customers: state.customers().clone(),
            figures: state.figures().clone(),
            tallied_before,
            sequence: AtomicU64::new(state.sequence()),
            erased: AtomicU64::new(state.erased()),
            failed: AtomicBool::new(false),
            failure: OnceLock::new(),
            waiting_bytes: AtomicUsize::new(0),
        }
    }

    /// Why no more writes are taken, if a journal or a record failed.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Counts `bytes` as waiting, if there is room for them.
    fn admit(&self, bytes: usize) -> bool {
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before == 0 || before + bytes <= MAX_WAITING_BYTES;
        if !fits {
            self.release(bytes);
        }
        fits
    }

    fn release(&self, bytes: usize) {
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The sending side of the writer's queue.
#[derive(Clone)]
pub(crate) struct Submissions {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
}

type Reply = oneshot::Receiver<Result<Applied, Unavailable>>;

impl Submissions {
    /// Submits records from a request thread; never waits.
    pub(crate) fn offer(&self, records: Vec<Record>) -> Result<Reply, Unavailable> {
        let bytes = records.iter().map(bytes_in_memory).sum();
        if !self.shared.admit(bytes) {
            return Err(Unavailable::Overloaded);
        }
        let (done, reply) = oneshot::channel();
        let refused =
            match self.queue.try_send(Message::Write(Submission { records, engine: None, bytes, done })) {
                Ok(()) => return Ok(reply),
                Err(TrySendError::Full(_)) => Unavailable::Overloaded,
                Err(TrySendError::Disconnected(_)) => Unavailable::Stopped,
            };
        self.shared.release(bytes);
        Err(refused)
    }

    /// Submits records with the engine compiled from them, and waits until they are applied; for the compiler thread.
    pub(crate) fn submit(
        &self,
        records: Vec<Record>,
        engine: Engine,
        decided: Arc<Decided>,
    ) -> Result<Applied, Unavailable> {
        let (done, reply) = oneshot::channel();
        let engine = Some(Box::new((engine, decided)));
        let message = Message::Write(Submission { records, engine, bytes: 0, done });
        self.queue.send(message).map_err(|_| Unavailable::Stopped)?;
        reply.blocking_recv().unwrap_or(Err(Unavailable::Stopped))
    }

    /// Freezes the state between two submissions, and waits for it; for the snapshotter, of which there is one.
    pub(crate) fn freeze(&self) -> Result<(FrozenState, u64), FreezeError> {
        let (done, reply) = sync_channel(1);
        self.queue.send(Message::Freeze(done)).map_err(|_| FreezeError::Stopped)?;
        reply.recv().unwrap_or(Err(FreezeError::Stopped))
    }

    /// Lets the writer finish what was submitted so far, then end.
    pub(crate) fn stop(&self) {
        let _ = self.queue.send(Message::Stop); // it has ended already
    }
}

/// What an event takes beside its facts, in the size of one.
const EVENT_WORDS: usize =
    (size_of::<Event>() + size_of::<Outcome>()).div_ceil(size_of::<(FeatureId, u64)>()) + 4;

/// A rough size, to bound what waits.
fn bytes_in_memory(record: &Record) -> usize {
    let of_update = |update: &Update| {
        let fields = match &update.change {
            Change::Replace(fields) | Change::Merge(fields) => fields.len(),
            Change::Event(event) => event.facts.len() + EVENT_WORDS,
            Change::Erase => 0,
        };
        size_of::<Update>() + update.customer.heap_bytes() + fields * size_of::<(FeatureId, u64)>()
    };
    match record {
        Record::Customers(updates) => updates.iter().map(of_update).sum(),
        Record::Schema { text } | Record::Publish { text, .. } => text.len(),
        Record::Catalogue(additions) => additions.offers.len() * size_of::<OfferEntry>(),
        Record::Activate { .. } | Record::Rollback { .. } | Record::Retire { .. } => 0,
    }
}

/// Starts the writer over `state`, which may hold up to `room` customers.
///
/// # Errors
/// When the system has no thread to give.
pub(crate) fn start(
    state: State,
    journal: Box<dyn Journal>,
    shared: Arc<Shared>,
    room: usize,
) -> io::Result<(Submissions, JoinHandle<()>)> {
    let (queue, messages) = sync_channel(MAX_WAITING);
    let submissions = Submissions { queue, shared: shared.clone() };
    let mut writer =
        Writer { state, journal, shared: shared.clone(), bytes: Vec::new(), ends: Vec::new(), room };
    let thread = std::thread::Builder::new().name("writer".into()).spawn(move || {
        // A panic may have left the state half changed, so it ends writing like a journal's failure does. The queue
        // goes with the closure: its senders see that nobody listens, who waits in it is answered `Stopped`.
        let ended = catch_unwind(AssertUnwindSafe(move || writer.run(&messages)));
        if !matches!(ended, Ok(Ok(()))) {
            shared.failed.store(true, Ordering::Release);
        }
    })?;
    Ok((submissions, thread))
}

/// The writer's thread will not go on.
struct Ended;

struct Writer {
    state: State,
    journal: Box<dyn Journal>,
    shared: Arc<Shared>,
    /// The encoded records of one submission, and where each ends; used again from one to the next.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Customers there may be.
    room: usize,
}

/// What shares one sync.
struct Batch {
    /// The sequence of the next record.
    next: u64,
    /// Each with the sequence of its first record.
    appended: Vec<(u64, Submission)>,
    /// Encoded.
    bytes: usize,
    /// Customers that will have been added, at most.
    added: usize,
}

impl Writer {
    fn run(&mut self, messages: &Receiver<Message>) -> Result<(), Ended> {
        let mut next = None;
        loop {
            match next.take().map_or_else(|| self.wait(messages), Ok) {
                Ok(Message::Write(first)) => next = self.batch(first, messages)?,
                Ok(Message::Freeze(done)) => self.freeze(&done)?,
                Err(RecvTimeoutError::Timeout) => self.journal.settle().map_err(|error| self.fail(&error))?,
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    return self.journal.close().map_err(|error| self.fail(&error));
                }
            }
        }
    }

    /// The next message, or a time-out when the journal wants to do what it put off.
    fn wait(&self, messages: &Receiver<Message>) -> Result<Message, RecvTimeoutError> {
        match self.journal.due() {
            Some(due) => messages.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Writes `first` and what waits behind it. Returns what came in between that is no write.
    fn batch(&mut self, first: Submission, messages: &Receiver<Message>) -> Result<Option<Message>, Ended> {
        let mut batch = Batch { next: self.state.sequence() + 1, appended: Vec::new(), bytes: 0, added: 0 };
        self.append(first, &mut batch);
        let mut other = None;
        while batch.appended.len() < MAX_BATCH && batch.bytes < MAX_BATCH_BYTES {
            match messages.try_recv() {
                Ok(Message::Write(submission)) => self.append(submission, &mut batch),
                Ok(message) => {
                    other = Some(message);
                    break;
                }
                Err(_) => break,
            }
        }
        match self.journal.commit() {
            Ok(()) => batch
                .appended
                .into_iter()
                .try_for_each(|(first, submission)| self.apply(first, submission))?,
            Err(JournalError::Full(error)) => refuse(batch, &error),
            Err(error) => return Err(self.fail(&error)),
        }
        Ok(other)
    }

    /// Freezes the state for a snapshot. The journal goes on in a new segment, so that the older ones can go.
    fn freeze(&mut self, done: &SyncSender<Result<(FrozenState, u64), FreezeError>>) -> Result<(), Ended> {
        let frozen = match self.journal.rotate() {
            Ok(checksum) => self.state.freeze().map(|frozen| (frozen, checksum)).ok_or(FreezeError::Frozen),
            Err(JournalError::Full(_)) => Err(FreezeError::Full),
            Err(error) => return Err(self.fail(&error)),
        };
        let _ = done.send(frozen); // a snapshotter that left drops it
        Ok(())
    }

    /// Appends the records of one submission, or refuses it as a whole before anything of it is journalled.
    fn append(&mut self, submission: Submission, batch: &mut Batch) {
        self.shared.release(submission.bytes);
        let taken = self.shared.customers.len() + batch.added;
        let added = self.added_by(&submission.records, taken);
        if added > 0 && taken + added > self.room {
            let _ = submission.done.send(Err(Unavailable::Full));
            return;
        }
        if self.encode(&submission.records).is_err() {
            let _ = submission.done.send(Err(Unavailable::Full)); // nobody makes such records: they could not be read back
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

    /// Customers that `records` add, at most. Looked up one by one only when not all of them may be new.
    fn added_by(&self, records: &[Record], taken: usize) -> usize {
        let updates = || {
            records.iter().filter_map(|record| match record {
                Record::Customers(updates) => Some(updates),
                _ => None,
            })
        };
        let most: usize = updates().map(Vec::len).sum();
        if taken + most <= self.room {
            return most;
        }
        updates().map(|updates| self.state.added_by(updates)).sum()
    }

    fn apply(&mut self, first: u64, submission: Submission) -> Result<(), Ended> {
        let (mut fates, mut before) = (Fates::default(), 0);
        for (sequence, record) in (first..).zip(&submission.records) {
            // Journalled but not applied: the state does not follow the journal any more.
            let of_record = self.state.apply(sequence, record).map_err(|error| self.fail(&error))?;
            fates.extend(before, of_record);
            if let Record::Customers(updates) = record {
                before += updates.len();
            }
        }
        // First the swap, then the sequence: who has seen the sequence sees what it defined.
        let replaced = submission.engine.map(|compiled| {
            let (engine, decided) = *compiled;
            let definitions = self.state.definitions().clone();
            self.shared.live.swap(Arc::new(Live { definitions, engine, decided }))
        });
        let sequence = self.state.sequence();
        self.shared.erased.store(self.state.erased(), Ordering::Release);
        self.shared.sequence.store(sequence, Ordering::Release);
        let _ = submission.done.send(Ok(Applied { sequence, fates, replaced })); // a caller that left does not undo it
        Ok(())
    }

    /// Says so before anybody is answered.
    fn fail(&self, why: &dyn std::error::Error) -> Ended {
        tracing::error!(why = %why, "no more writes until restart");
        let _ = self.shared.failure.set(why.to_string()); // the first reason is the one
        self.shared.failed.store(true, Ordering::Release);
        Ended
    }
}

/// Nothing of the batch was kept, and the journal goes on.
fn refuse(batch: Batch, error: &io::Error) {
    tracing::error!(why = %error, writes = batch.appended.len(), "the disk is full: writes refused");
    for (_, submission) in batch.appended {
        let _ = submission.done.send(Err(Unavailable::DiskFull));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_bytes_are_bounded_but_one_large_submission_gets_through() {
        let state = State::new();
        let shared = Shared::new(&state, Engine::empty(&state.definitions().schema));
        assert!(shared.admit(MAX_WAITING_BYTES - 10));
        assert!(shared.admit(10));
        assert!(!shared.admit(1));
        shared.release(10);
        assert!(shared.admit(10));
        shared.release(MAX_WAITING_BYTES);
        assert!(shared.admit(2 * MAX_WAITING_BYTES), "alone it may be larger");
        assert!(!shared.admit(1));
        shared.release(2 * MAX_WAITING_BYTES);
        assert_eq!(shared.waiting_bytes.load(Ordering::Relaxed), 0);
    }
}
