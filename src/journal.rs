//! Where records are kept before they are applied.

use std::io;

/// A place for records, in the order of their sequences. The writer thread owns it; after one error it is never called
/// again, because what it holds is unknown from then on.
pub trait Journal: Send {
    /// Adds one encoded record. It need not be durable before [`sync`](Journal::sync).
    ///
    /// # Errors
    /// Whatever keeps the record from being kept.
    fn append(&mut self, sequence: u64, record: &[u8]) -> io::Result<()>;

    /// Returns when everything appended is as durable as this journal makes it.
    ///
    /// # Errors
    /// Whatever keeps it from being so.
    fn sync(&mut self) -> io::Result<()>;
}

/// Keeps nothing: **what is acknowledged over it is lost with the process**. For tests, demonstrations, and nodes that
/// are filled again from elsewhere at every start.
#[derive(Debug, Default)]
pub struct Volatile {
    records: u64,
    bytes: u64,
}

impl Volatile {
    /// A journal that keeps nothing.
    pub fn new() -> Volatile {
        Volatile::default()
    }

    /// Records that went through it.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Bytes that went through it.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Journal for Volatile {
    fn append(&mut self, _sequence: u64, record: &[u8]) -> io::Result<()> {
        self.records += 1;
        self.bytes += record.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};

    use super::*;

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
        fn append(&mut self, sequence: u64, record: &[u8]) -> io::Result<()> {
            self.0.lock().unwrap().push((sequence, record.to_vec()));
            Ok(())
        }
        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Fails at the call (append or sync) of this number, from 1, and counts the calls.
    #[derive(Debug, Clone)]
    pub(crate) struct FailsAt {
        pub(crate) call: u64,
        pub(crate) calls: Arc<AtomicU64>,
    }

    impl FailsAt {
        pub(crate) fn new(call: u64) -> FailsAt {
            FailsAt { call, calls: Arc::default() }
        }
        fn step(&mut self) -> io::Result<()> {
            let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
            if call == self.call { Err(io::Error::other("no space left on device")) } else { Ok(()) }
        }
    }

    impl Journal for FailsAt {
        fn append(&mut self, _sequence: u64, _record: &[u8]) -> io::Result<()> {
            self.step()
        }
        fn sync(&mut self) -> io::Result<()> {
            self.step()
        }
    }

    /// Tells when a sync begins, and ends it only when it is let.
    pub(crate) struct Gated {
        began: Sender<()>,
        let_go: Receiver<()>,
    }

    /// The other side of [`Gated`]; dropped, it lets everything go.
    pub(crate) struct Gate {
        pub(crate) began: Receiver<()>,
        _let_go: Sender<()>,
    }

    pub(crate) fn gated() -> (Gated, Gate) {
        let ((began, begins), (go, let_go)) = (channel(), channel());
        (Gated { began, let_go }, Gate { began: begins, _let_go: go })
    }

    impl Journal for Gated {
        fn append(&mut self, _sequence: u64, _record: &[u8]) -> io::Result<()> {
            Ok(())
        }
        fn sync(&mut self) -> io::Result<()> {
            let _ = self.began.send(());
            let _ = self.let_go.recv();
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_volatile_journal_counts_what_it_does_not_keep() {
        let mut journal = Volatile::new();
        journal.append(1, b"abc").unwrap();
        journal.append(2, b"").unwrap();
        journal.sync().unwrap();
        assert_eq!((journal.records(), journal.bytes()), (2, 3));
    }
}
