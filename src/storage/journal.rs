//! Where records are kept before they are applied.
//!
//! [`Journal`] is the seam, and [`append::Segments`] keeps records in files. `frame` describes the
//! bytes of a record, `segment` those of a file. `mark` says how far everything is durable. `replay`
//! reads it all back, and tells a torn end, which is cut, from rot, which is refused.
//! [`disk`] says what is assumed of disks.

pub(crate) mod append;
pub(crate) mod frame;
pub(crate) mod mark;
pub(crate) mod replay;
pub(crate) mod segment;
pub mod settings;
mod window;

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crate::storage::disk;

/// A segment with this many bytes is followed by a new one.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// By how many zeros a segment grows ahead of its records. Syncing what only overwrites spares the file
/// system a write of its own journal. On ext4 a sync of 128 bytes took 12 % less time, one of 4 to 64
/// KiB 35 to 45 % less. Only the last segment ends in zeros.
pub const AHEAD_BYTES: u64 = 1 << 20;
/// How many bytes of memory a batch keeps when it is done; the rest is given back.
pub const KEPT_BATCH_BYTES: usize = 1 << 20;
/// How long after the last batch the mark is written, if nothing else comes.
pub const MARK_AFTER: Duration = Duration::from_millis(20);
/// A sync that takes longer is worth a warning.
pub const SLOW_SYNC: Duration = Duration::from_secs(1);

/// A place for records, in the order of their sequences. The writer thread owns it. After
/// [`JournalError::Failed`] it is never called again, because nobody knows what it holds.
pub trait Journal: Send {
    /// Takes one encoded record into the batch. With `more` the next record belongs to the same
    /// submission: after a crash both are there, or neither.
    fn append(&mut self, sequence: u64, record: &[u8], more: bool);

    /// Returns when the batch is as durable as this journal makes it before an acknowledgement.
    ///
    /// # Errors
    /// [`JournalError`]; nothing of the batch may be acknowledged or applied.
    fn commit(&mut self) -> Result<(), JournalError>;

    /// Makes everything durable and lets the next record begin a new file. So older files can go once a
    /// snapshot holds what is in them. Returns the checksum of the last record.
    ///
    /// # Errors
    /// [`JournalError`]; after `Refused` everything is as it was.
    fn rotate(&mut self) -> Result<u64, JournalError>;

    /// When to call [`settle`](Journal::settle) if nothing else comes first; `None` for never.
    fn due(&self) -> Option<Instant>;

    /// Does what was postponed: syncs, or writes the mark.
    ///
    /// # Errors
    /// [`JournalError::Failed`].
    fn settle(&mut self) -> Result<(), JournalError>;

    /// Makes everything durable. This is the last call.
    ///
    /// # Errors
    /// [`JournalError::Failed`].
    fn close(&mut self) -> Result<(), JournalError>;
}

/// Why a batch of records was not kept.
#[derive(Debug)]
pub enum JournalError {
    /// The disk is full, or the system lacked descriptors or memory. Nothing of the batch is kept; the next
    /// batch may be tried.
    Refused(io::Error),
    /// Nobody knows what the journal holds. It must not be used any more.
    Failed(io::Error),
}

/// What was lacking when the disk refused something that may succeed later.
pub(crate) fn lacking(error: &io::Error) -> &'static str {
    if disk::is_full(error) { "the disk is full" } else { "the system gave no file, no memory or no thread" }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalError::Refused(e) => write!(f, "{}: {e}", lacking(e)),
            JournalError::Failed(e) => write!(f, "the journal cannot be written: {e}"),
        }
    }
}

impl std::error::Error for JournalError {}

/// Keeps nothing: **what is acknowledged over it is lost with the process**. It is for tests, for
/// demonstrations, and for nodes that are filled from elsewhere at every start.
#[derive(Debug, Default)]
pub struct Volatile;

impl Journal for Volatile {
    fn append(&mut self, _sequence: u64, _record: &[u8], _more: bool) {}

    fn commit(&mut self) -> Result<(), JournalError> {
        Ok(())
    }

    fn rotate(&mut self) -> Result<u64, JournalError> {
        Ok(0)
    }

    fn due(&self) -> Option<Instant> {
        None
    }

    fn settle(&mut self) -> Result<(), JournalError> {
        Ok(())
    }

    fn close(&mut self) -> Result<(), JournalError> {
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};

    use super::*;

    /// For journals that put nothing off and rotate nothing.
    macro_rules! rests {
        () => {
            fn rotate(&mut self) -> Result<u64, JournalError> {
                Ok(0)
            }
            fn due(&self) -> Option<Instant> {
                None
            }
            fn settle(&mut self) -> Result<(), JournalError> {
                Ok(())
            }
            fn close(&mut self) -> Result<(), JournalError> {
                Ok(())
            }
        };
    }

    /// The sequence and the bytes of each record.
    pub(crate) type Records = Vec<(u64, Vec<u8>)>;

    /// Keeps the bytes, for a replay.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Kept(Arc<Mutex<Records>>);

    impl Kept {
        pub(crate) fn records(&self) -> Records {
            self.0.lock().unwrap().clone()
        }
    }

    impl Journal for Kept {
        fn append(&mut self, sequence: u64, record: &[u8], _more: bool) {
            self.0.lock().unwrap().push((sequence, record.to_vec()));
        }
        fn commit(&mut self) -> Result<(), JournalError> {
            Ok(())
        }
        rests!();
    }

    /// Fails at the commit of this number, counted from 1, and counts all commits.
    #[derive(Debug, Clone)]
    pub(crate) struct FailsAt {
        pub(crate) call: u64,
        pub(crate) full: bool,
        pub(crate) calls: Arc<AtomicU64>,
    }

    impl FailsAt {
        pub(crate) fn new(call: u64) -> FailsAt {
            FailsAt { call, full: false, calls: Arc::default() }
        }
        /// As [`new`](FailsAt::new), but only because there is no room.
        pub(crate) fn full_at(call: u64) -> FailsAt {
            FailsAt { call, full: true, calls: Arc::default() }
        }
    }

    impl Journal for FailsAt {
        fn append(&mut self, _sequence: u64, _record: &[u8], _more: bool) {}
        fn commit(&mut self) -> Result<(), JournalError> {
            let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
            match (call == self.call, self.full) {
                (false, _) => Ok(()),
                (true, true) => Err(JournalError::Refused(io::ErrorKind::StorageFull.into())),
                (true, false) => Err(JournalError::Failed(io::Error::other("on purpose"))),
            }
        }
        rests!();
    }

    /// Says when a commit begins, and ends it when the [`Gate`] lets go: well or badly.
    pub(crate) struct Gated {
        good: bool,
        began: Sender<()>,
        let_go: Receiver<()>,
    }

    /// The other side of [`Gated`]. When it is dropped, every commit ends.
    pub(crate) struct Gate {
        pub(crate) began: Receiver<()>,
        _let_go: Sender<()>,
    }

    pub(crate) fn gated(good: bool) -> (Gated, Gate) {
        let ((began, begins), (go, let_go)) = (channel(), channel());
        (Gated { good, began, let_go }, Gate { began: begins, _let_go: go })
    }

    impl Journal for Gated {
        fn append(&mut self, _sequence: u64, _record: &[u8], _more: bool) {}
        fn commit(&mut self) -> Result<(), JournalError> {
            let _ = self.began.send(());
            let _ = self.let_go.recv();
            if self.good { Ok(()) } else { Err(JournalError::Failed(io::Error::other("the disk is gone"))) }
        }
        rests!();
    }
}
