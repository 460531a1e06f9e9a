//! Where records are kept before they are applied.
//!
//! [`Journal`] is the seam; [`append::Segments`] keeps records in files. A record's bytes are described in `frame`, a
//! file's in `segment`; `mark` says how far everything is durable, `replay` reads it all back and tells a torn end (cut)
//! from rot (refused). What is assumed of disks is said in [`disk`](super::disk).

pub(crate) mod append;
pub(crate) mod frame;
pub(crate) mod mark;
pub(crate) mod replay;
pub(crate) mod segment;
pub mod settings;

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

/// A segment that has this many bytes is followed by a new one.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// A segment grows by so many zeros ahead of its records: syncing what only overwrites spares the file system a write of
/// its own journal. On ext4 a sync of 128 bytes took 12 % less, one of 4 to 64 KiB 35 to 45 % less. Only the last segment
/// ends in zeros.
pub const AHEAD_BYTES: u64 = 1 << 20;
/// Bytes a batch takes in memory when it is done; more is given back.
pub const KEPT_BATCH_BYTES: usize = 1 << 20;
/// How long the journal rests before the mark is written.
pub const MARK_AFTER: Duration = Duration::from_millis(20);
/// A sync that takes longer is worth a warning.
pub const SLOW_SYNC: Duration = Duration::from_secs(1);

/// A place for records, in the order of their sequences. The writer thread owns it; after [`JournalError::Failed`] it is
/// never called again, because what it holds is unknown from then on.
pub trait Journal: Send {
    /// Takes one encoded record into the batch. `more`: the next record belongs to the same submission, and a crash
    /// leaves both or none.
    fn append(&mut self, sequence: u64, record: &[u8], more: bool);

    /// Returns when the batch is as durable as this journal makes it before an acknowledgement.
    ///
    /// # Errors
    /// [`JournalError`]; nothing of the batch may be acknowledged or applied.
    fn commit(&mut self) -> Result<(), JournalError>;

    /// Makes everything durable and lets the next record begin a new file, so that the older ones can go once a snapshot
    /// holds what is in them. Returns the checksum of the last record.
    ///
    /// # Errors
    /// [`JournalError`]; after `Full` everything is as it was.
    fn rotate(&mut self) -> Result<u64, JournalError>;

    /// When [`settle`](Journal::settle) wants to be called if nothing else comes.
    fn due(&self) -> Option<Instant>;

    /// Does what was put off.
    ///
    /// # Errors
    /// [`JournalError::Failed`].
    fn settle(&mut self) -> Result<(), JournalError>;

    /// The last call: everything is made durable.
    ///
    /// # Errors
    /// [`JournalError::Failed`].
    fn close(&mut self) -> Result<(), JournalError>;
}

/// Why records were not kept.
#[derive(Debug)]
pub enum JournalError {
    /// The disk is full. Nothing of the batch is kept; the next batch may be tried.
    Full(io::Error),
    /// What the journal holds is unknown: it must not be used any more.
    Failed(io::Error),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalError::Full(e) => write!(f, "the disk is full: {e}"),
            JournalError::Failed(e) => write!(f, "the journal cannot be written: {e}"),
        }
    }
}

impl std::error::Error for JournalError {}

/// Keeps nothing: **what is acknowledged over it is lost with the process**. For tests, demonstrations, and nodes that
/// are filled again from elsewhere at every start.
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

    /// Nothing is ever put off, nothing rotated.
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

    /// Sequence and bytes of each record.
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

    /// Fails at the commit of this number, from 1, and counts them.
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
        /// The same, for want of room only.
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
                (true, true) => Err(JournalError::Full(io::ErrorKind::StorageFull.into())),
                (true, false) => Err(JournalError::Failed(io::Error::other("on purpose"))),
            }
        }
        rests!();
    }

    /// Tells when a commit begins, and ends it only when it is let; then it is good or not.
    pub(crate) struct Gated {
        good: bool,
        began: Sender<()>,
        let_go: Receiver<()>,
    }

    /// The other side of [`Gated`]; dropped, it lets everything go.
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
