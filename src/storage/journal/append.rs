//! Appending to the journal in files.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::frame;
use super::mark::Mark;
use super::segment;
use super::settings::JournalSettings;
use super::{Journal, JournalError, KEPT_BATCH_BYTES, MARK_AFTER, SLOW_SYNC};
use crate::storage::disk;
use crate::storage::disk::{Disk, File};
use crate::storage::durability::SyncPolicy;
use crate::storage::identity::Identity;

/// The journal of a data directory, open at its end.
pub(crate) struct Segments {
    disk: Arc<dyn Disk>,
    identity: Identity,
    settings: JournalSettings,
    file: Box<dyn File>,
    /// The first sequence of the segment that is written.
    first: u64,
    /// Bytes of the segment that hold records. What comes next is written here.
    length: u64,
    /// Bytes of the segment's file: behind the records it has zeros.
    grown: u64,
    last: Last,
    /// The sequence of the last record that was synced.
    durable: u64,
    mark: Mark,
    batch: Vec<u8>,
    /// The last record of the batch, or of the journal if the batch is empty.
    batched: Last,
    last_commit: Instant,
    last_sync: Instant,
    facts: Arc<JournalStatus>,
}

/// A record, as the next record refers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) sequence: u64,
    pub(crate) checksum: u64,
}

/// Where appending to a journal goes on.
pub(crate) struct JournalEnd {
    pub(crate) file: Box<dyn File>,
    /// The first sequence of the segment that is written.
    pub(crate) first: u64,
    pub(crate) length: u64,
    /// The last record. It is durable, as is everything before it.
    pub(crate) last: Last,
}

/// What other threads may read of the journal while it is written.
#[derive(Debug, Default)]
pub(crate) struct JournalStatus {
    pub(crate) durable: AtomicU64,
    pub(crate) syncs: AtomicU64,
    sync_ns: AtomicU64,
    longest_sync_ns: AtomicU64,
    /// Bytes of each segment, by its first sequence.
    segments: Mutex<BTreeMap<u64, u64>>,
}

impl JournalStatus {
    pub(crate) fn segments(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sync_time(&self) -> Duration {
        Duration::from_nanos(self.sync_ns.load(Ordering::Relaxed))
    }

    pub(crate) fn longest_sync(&self) -> Duration {
        Duration::from_nanos(self.longest_sync_ns.load(Ordering::Relaxed))
    }

    fn synced(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_ns.fetch_add(ns, Ordering::Relaxed);
        self.longest_sync_ns.fetch_max(ns, Ordering::Relaxed);
        if took > SLOW_SYNC {
            tracing::warn!(
                took_ms = took.as_millis() as u64,
                "the disk took long to sync the journal, and writes waited"
            );
        }
    }
}

impl Segments {
    /// The journal of `disk`, to go on at `end`. `segments` has the bytes of every segment, by its
    /// first sequence.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        identity: Identity,
        settings: JournalSettings,
        end: JournalEnd,
        mark: Mark,
        segments: BTreeMap<u64, u64>,
    ) -> Segments {
        let now = Instant::now();
        let facts = JournalStatus { segments: Mutex::new(segments), ..JournalStatus::default() };
        facts.durable.store(end.last.sequence, Ordering::Relaxed);
        Segments {
            disk,
            identity,
            settings,
            file: end.file,
            first: end.first,
            length: end.length,
            grown: end.length,
            last: end.last,
            durable: end.last.sequence,
            mark,
            batch: Vec::new(),
            batched: end.last,
            last_commit: now,
            last_sync: now,
            facts: Arc::new(facts),
        }
    }

    pub(crate) fn facts(&self) -> &Arc<JournalStatus> {
        &self.facts
    }

    pub(crate) fn policy(&self) -> SyncPolicy {
        self.settings.sync
    }

    /// Writes the batch behind the records. Without room or memory for it, the file is as it was.
    fn write(&mut self) -> Result<(), JournalError> {
        let end = self.length + self.batch.len() as u64;
        match disk::write_all_at(&*self.file, self.length, &self.batch) {
            Ok(()) if end > self.grown => self.grow_ahead(end),
            Ok(()) => Ok(()),
            Err(e) if disk::is_passing(&e) => {
                // The batch is refused, and the next one gets its sequences. What was written of it
                // must not come back after a crash.
                self.cut(self.length)?;
                self.sync()?;
                Err(JournalError::Refused(e))
            }
            Err(e) => Err(JournalError::Failed(e)),
        }
    }

    /// Adds zeros behind `end`, up to which the file was written. If the disk has no room for them, it goes
    /// on without. A batch that is not small compared with them grows the file by itself.
    fn grow_ahead(&mut self, end: u64) -> Result<(), JournalError> {
        self.grown = end;
        let ahead = self.settings.ahead_bytes.min(self.settings.segment_bytes.saturating_sub(end));
        if self.batch.len() as u64 > ahead / 4 {
            return Ok(());
        }
        match disk::write_all_at(&*self.file, end, &vec![0; ahead as usize]) {
            Ok(()) => self.grown = end + ahead,
            Err(e) if disk::is_passing(&e) => self.cut(end)?,
            Err(e) => return Err(JournalError::Failed(e)),
        }
        Ok(())
    }

    fn cut(&mut self, length: u64) -> Result<(), JournalError> {
        self.file.set_length(length).map_err(JournalError::Failed)?;
        self.grown = length;
        Ok(())
    }

    /// Makes durable all that was written to this segment.
    fn sync(&mut self) -> Result<(), JournalError> {
        let begin = Instant::now();
        self.file.sync().map_err(JournalError::Failed)?;
        self.last_sync = Instant::now();
        self.facts.synced(self.last_sync - begin);
        self.durable = self.last.sequence;
        self.facts.durable.store(self.durable, Ordering::Relaxed);
        Ok(())
    }

    fn write_mark(&mut self) -> Result<(), JournalError> {
        if self.mark.sequence == self.last.sequence {
            return Ok(());
        }
        self.mark.write(self.last.sequence, self.last.checksum).map_err(JournalError::Failed)
    }

    fn sync_all(&mut self) -> Result<(), JournalError> {
        if self.durable < self.last.sequence {
            self.sync()?;
        }
        self.write_mark()
    }

    /// Cuts off the zeros behind the records. Whether the cut is durable does not matter.
    fn trim(&mut self) -> Result<(), JournalError> {
        if self.grown > self.length { self.cut(self.length) } else { Ok(()) }
    }

    /// Goes on in a new segment.
    fn begin_segment(&mut self) -> Result<(), JournalError> {
        self.trim()?;
        self.sync_all()?;
        let head = segment::SegmentHead { first: self.last.sequence + 1, previous: self.last.checksum };
        self.file = segment::create(&*self.disk, &self.identity, head).map_err(refused)?;
        (self.first, self.length) = (head.first, segment::HEAD_BYTES as u64);
        self.grown = self.length;
        self.facts.segments().insert(self.first, self.length);
        Ok(())
    }

    fn try_commit(&mut self) -> Result<(), JournalError> {
        let holds_records = self.first <= self.last.sequence;
        if holds_records && self.length + self.batch.len() as u64 > self.settings.segment_bytes {
            self.begin_segment()?;
        }
        self.write()?;
        self.length += self.batch.len() as u64;
        self.last = self.batched;
        self.last_commit = Instant::now();
        self.facts.segments().insert(self.first, self.length);
        match self.settings.sync {
            SyncPolicy::Always => self.sync(),
            SyncPolicy::Interval(interval) if self.last_sync.elapsed() >= interval => self.sync_all(),
            SyncPolicy::Interval(_) | SyncPolicy::Never => Ok(()),
        }
    }
}

/// Why a file could not be made. The reason is one that passes only if nothing of the file is left.
fn refused(e: io::Error) -> JournalError {
    if disk::is_passing(&e) { JournalError::Refused(e) } else { JournalError::Failed(e) }
}

impl Journal for Segments {
    fn append(&mut self, sequence: u64, record: &[u8], more: bool) {
        debug_assert_eq!(sequence, self.batched.sequence + 1);
        let previous = self.batched.checksum;
        let head =
            frame::RecordHead { sequence, durable: self.durable, previous, more, length: record.len() };
        let checksum = frame::write(&head, record, self.identity.salt(), &mut self.batch);
        self.batched = Last { sequence, checksum };
    }

    fn commit(&mut self) -> Result<(), JournalError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let committed = self.try_commit();
        self.batched = self.last;
        self.batch.clear();
        self.batch.shrink_to(KEPT_BATCH_BYTES);
        committed
    }

    fn rotate(&mut self) -> Result<u64, JournalError> {
        if self.first <= self.last.sequence {
            self.begin_segment()?;
        }
        Ok(self.last.checksum)
    }

    fn due(&self) -> Option<Instant> {
        match self.settings.sync {
            SyncPolicy::Always => {
                (self.mark.sequence < self.last.sequence).then(|| self.last_commit + MARK_AFTER)
            }
            SyncPolicy::Interval(interval) => {
                (self.durable < self.last.sequence).then(|| self.last_sync + interval)
            }
            SyncPolicy::Never => None,
        }
    }

    fn settle(&mut self) -> Result<(), JournalError> {
        self.sync_all()
    }

    fn close(&mut self) -> Result<(), JournalError> {
        self.trim()?;
        self.sync_all()
    }
}
