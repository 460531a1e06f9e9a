//! A disk in memory that does the worst a disk may do within what is [assumed](super) of one. It loses,
//! reorders and tears what was not synced, forgets names, fails at a given call, and runs full.
//!
//! It is weaker on purpose than any file system we know. Syncing a file does not keep its name, syncing
//! names keeps no content, and every unsynced sector and name is kept or lost by itself.

mod contents;
mod node;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use fastrand::Rng;

use self::contents::{Contents, Entry};
use self::node::Node;
use super::{Disk, File};

/// Bytes that a disk writes whole, as a rule.
pub(crate) const SECTOR: usize = 512;

/// A simulated disk. A clone is another handle to the same disk; [`kill`](Simulated::kill) gives
/// another disk.
#[derive(Clone, Default)]
pub(crate) struct Simulated(Arc<Mutex<Inner>>);

/// What goes wrong at [`Simulated::fail_at`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Any call gives `EIO`. A write may have written nothing, a part, or all. A sync leaves unsynced
    /// what it should sync.
    Eio,
    /// Whatever needs room gives `ENOSPC` and does nothing.
    NoSpace,
    /// Whatever needs a descriptor gives `EMFILE` and does nothing.
    NoDescriptor,
    /// Whatever needs memory for a file or its pages gives `ENOMEM` and does nothing.
    NoMemory,
    /// A write writes a part, and the call that goes on with the rest gives `EIO`.
    ShortThenEio,
    /// A write writes a part, and the write that goes on with the rest gives `ENOSPC`.
    ShortThenFull,
    /// A read or write gives `EINTR` and does nothing.
    Interrupted,
    /// A sync gives `EIO`. What was unsynced never reaches the disk but is still read, as on Linux.
    SyncLoses,
    /// As `SyncLoses` with `ENOSPC`, as where space is allocated late.
    SyncFull,
}

/// How long a fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lasting {
    Once,
    FromThenOn,
}

/// The calls of [`Disk`] and [`File`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    List,
    Create,
    Open,
    Rename,
    Remove,
    SyncNames,
    Length,
    Read,
    Write,
    SetLength,
    Sync,
}

#[derive(Default)]
struct Inner {
    contents: Contents,
    /// How many bytes there is room for, in whole sectors; `None` for no bound.
    capacity: Option<u64>,
    planned: Option<Planned>,
    struck: u64,
    counts: BTreeMap<Call, u64>,
    bytes_read: u64,
    /// The calls that change something, as text for debugging.
    log: Vec<String>,
    /// The contents after each changing call, if they are kept.
    moments: Option<Vec<Contents>>,
}

struct Planned {
    fault: Fault,
    /// At which of the calls it applies to it strikes; 1 for the next.
    countdown: u64,
    lasting: Lasting,
}

impl Simulated {
    pub(crate) fn new() -> Simulated {
        Simulated::default()
    }

    fn of(contents: Contents) -> Simulated {
        Simulated(Arc::new(Mutex::new(Inner { contents, ..Inner::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// A disk as it may look if power is cut now: one of the cases that the syncs so far leave open.
    pub(crate) fn crash(&self, rng: &mut Rng) -> Simulated {
        Simulated::of(self.lock().contents.crash(rng))
    }

    /// A disk as the next process finds it if this one is killed now. What is unsynced stays unsynced:
    /// power may still be cut.
    pub(crate) fn kill(&self) -> Simulated {
        Simulated::of(self.lock().contents.clone())
    }

    /// Forgets what failed syncs lost, as when the page cache needs room. From now on reads give what
    /// is on the disk.
    pub(crate) fn evict(&self) {
        self.lock().contents.nodes.values_mut().for_each(Node::evict);
    }

    /// Whether there is only one way in which it can look after a crash.
    pub(crate) fn is_settled(&self) -> bool {
        let inner = self.lock();
        inner.contents.pending.is_empty() && inner.contents.nodes.values().all(Node::is_settled)
    }

    /// Makes the `nth` call from now (1 for the next) fail, of those that `fault` applies to.
    pub(crate) fn fail_at(&self, nth: u64, fault: Fault, lasting: Lasting) {
        self.lock().planned = Some(Planned { fault, countdown: nth, lasting });
    }

    /// How often a fault has struck.
    pub(crate) fn struck(&self) -> u64 {
        self.lock().struck
    }

    /// Makes nothing fail from now on.
    pub(crate) fn heal(&self) {
        self.lock().planned = None;
    }

    /// Sets how many bytes may be allocated; `None` for no bound.
    pub(crate) fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// How many bytes are allocated.
    pub(crate) fn used(&self) -> u64 {
        self.lock().contents.used()
    }

    /// How many calls so far `fault` applies to.
    pub(crate) fn calls(&self, fault: Fault) -> u64 {
        self.lock().counts.iter().filter(|(call, _)| fault.applies_to(**call)).map(|(_, count)| count).sum()
    }

    /// How many calls of one kind there were so far.
    pub(crate) fn count(&self, call: Call) -> u64 {
        self.lock().counts.get(&call).copied().unwrap_or(0)
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.lock().bytes_read
    }

    /// How many calls so far changed something.
    pub(crate) fn changes(&self) -> usize {
        self.lock().log.len()
    }

    /// The calls that changed something, as text.
    pub(crate) fn log(&self) -> Vec<String> {
        self.lock().log.clone()
    }

    /// Keeps the contents now and after each changing call, for [`moments`](Simulated::moments).
    pub(crate) fn keep_moments(&self) {
        let mut inner = self.lock();
        inner.log.clear();
        inner.moments = Some(vec![inner.contents.clone()]);
    }

    /// The disk before all calls, and after each changing one: at `n` after `n`
    /// [`changes`](Simulated::changes) since [`keep_moments`](Simulated::keep_moments). A crash within
    /// a call looks as just before it or just after it, or as one of the ways to lose the call's
    /// unsynced part.
    pub(crate) fn moments(&self) -> Vec<Simulated> {
        self.lock().moments.iter().flatten().cloned().map(Simulated::of).collect()
    }

    /// All files as they are read now.
    pub(crate) fn image(&self) -> BTreeMap<String, Vec<u8>> {
        let inner = self.lock();
        let bytes = |node: &u64| inner.contents.nodes[node].current.to_vec();
        inner.contents.names.iter().map(|(name, node)| (name.clone(), bytes(node))).collect()
    }

    /// A disk that holds these files, all synced.
    pub(crate) fn from_image(image: &BTreeMap<String, Vec<u8>>) -> Simulated {
        let disk = Simulated::new();
        image.iter().for_each(|(name, bytes)| disk.put(name, bytes.clone()));
        disk
    }

    /// Replaces or makes a file.
    ///
    /// This and what follows is done to the disk by no program. It is durable at once, is not counted,
    /// and never fails.
    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        self.lock().contents.put(name, Node::of(name, bytes));
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.image().remove(name).unwrap_or_else(|| panic!("no file {name}"))
    }

    pub(crate) fn flip_bit(&self, name: &str, bit: usize) {
        let mut inner = self.lock();
        let node = inner.contents.find(name).unwrap();
        let node = inner.contents.node(node);
        Arc::make_mut(&mut node.current)[bit / 8] ^= 1 << (bit % 8);
        node.durable = node.current.clone();
    }

    pub(crate) fn truncate(&self, name: &str, length: usize) {
        let mut bytes = self.bytes(name);
        bytes.truncate(length);
        self.put(name, bytes);
    }

    pub(crate) fn swap(&self, one: &str, other: &str) {
        let (first, second) = (self.bytes(one), self.bytes(other));
        self.put(one, second);
        self.put(other, first);
    }

    pub(crate) fn duplicate(&self, from: &str, to: &str) {
        self.put(to, self.bytes(from));
    }

    pub(crate) fn lose(&self, name: &str) {
        let mut inner = self.lock();
        inner.contents.names.remove(name);
        inner.contents.durable_names.remove(name);
    }

    /// Counts a call. Returns the fault that strikes it, if one does.
    fn begin(&self, call: Call) -> (MutexGuard<'_, Inner>, Option<Fault>) {
        let mut inner = self.lock();
        *inner.counts.entry(call).or_default() += 1;
        let fault = inner.strike(call);
        (inner, fault)
    }
}

impl Inner {
    fn strike(&mut self, call: Call) -> Option<Fault> {
        let planned = self.planned.as_mut().filter(|planned| planned.fault.applies_to(call))?;
        planned.countdown -= 1;
        if planned.countdown > 0 {
            return None;
        }
        self.struck += 1;
        let Planned { fault, lasting, .. } = *planned;
        self.planned = match (fault, lasting) {
            (Fault::ShortThenEio, _) => Some(Planned { fault: Fault::Eio, countdown: 1, lasting }),
            (Fault::ShortThenFull, _) => Some(Planned { fault: Fault::NoSpace, countdown: 1, lasting }),
            (_, Lasting::FromThenOn) => Some(Planned { fault, countdown: 1, lasting }),
            (_, Lasting::Once) => None,
        };
        Some(fault)
    }

    /// Notes that a changing call is over.
    fn changed(&mut self, what: String) {
        self.log.push(what);
        if let Some(moments) = &mut self.moments {
            moments.push(self.contents.clone());
        }
    }

    /// Writes as much of `bytes` as there is room for. Returns how many bytes that is.
    fn write(&mut self, node: u64, offset: usize, bytes: &[u8]) -> usize {
        let free =
            self.capacity.map(|capacity| capacity.saturating_sub(self.contents.used()) / SECTOR as u64);
        let node = self.contents.node(node);
        let fits = node.fits(offset, bytes.len(), free);
        node.write(offset, &bytes[..fits]);
        fits
    }
}

impl Fault {
    fn applies_to(self, call: Call) -> bool {
        match self {
            Fault::Eio => true,
            Fault::NoSpace => matches!(call, Call::Create | Call::Rename | Call::Write | Call::SetLength),
            Fault::NoDescriptor => matches!(call, Call::Create | Call::Open | Call::List),
            Fault::NoMemory => {
                matches!(call, Call::Create | Call::Open | Call::List | Call::Rename | Call::Write)
            }
            Fault::ShortThenEio | Fault::ShortThenFull => call == Call::Write,
            Fault::Interrupted => matches!(call, Call::Read | Call::Write),
            Fault::SyncLoses | Fault::SyncFull => matches!(call, Call::Sync | Call::SyncNames),
        }
    }

    fn error(self) -> io::Error {
        match self {
            Fault::Eio | Fault::ShortThenEio | Fault::SyncLoses => io::Error::from_raw_os_error(5),
            Fault::NoDescriptor => rustix::io::Errno::MFILE.into(),
            Fault::NoMemory => rustix::io::Errno::NOMEM.into(),
            Fault::NoSpace | Fault::ShortThenFull | Fault::SyncFull => io::ErrorKind::StorageFull.into(),
            Fault::Interrupted => io::ErrorKind::Interrupted.into(),
        }
    }
}

impl Disk for Simulated {
    fn list(&self) -> io::Result<Vec<String>> {
        match self.begin(Call::List) {
            (_, Some(fault)) => Err(fault.error()),
            (inner, None) => Ok(inner.contents.names.keys().cloned().collect()),
        }
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let (mut inner, fault) = self.begin(Call::Create);
        fail(fault)?;
        if inner.contents.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = inner.contents.add(Node::of(name, Vec::new()));
        inner.contents.enter(Entry::Create(name.into(), node));
        inner.changed(format!("create {name}"));
        Ok(Box::new(Open { disk: self.clone(), node }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let (inner, fault) = self.begin(Call::Open);
        fail(fault)?;
        let node = inner.contents.find(name)?;
        Ok(Box::new(Open { disk: self.clone(), node }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (mut inner, fault) = self.begin(Call::Rename);
        fail(fault)?;
        inner.contents.find(from)?;
        inner.contents.enter(Entry::Rename(from.into(), to.into()));
        inner.changed(format!("rename {from} to {to}"));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let (mut inner, fault) = self.begin(Call::Remove);
        fail(fault)?;
        inner.contents.find(name)?;
        inner.contents.enter(Entry::Remove(name.into()));
        inner.changed(format!("remove {name}"));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let (mut inner, fault) = self.begin(Call::SyncNames);
        fail(fault)?;
        inner.contents.pending.clear();
        inner.contents.durable_names = inner.contents.names.clone();
        inner.changed("sync names".into());
        Ok(())
    }
}

fn fail(fault: Option<Fault>) -> io::Result<()> {
    fault.map_or(Ok(()), |fault| Err(fault.error()))
}

struct Open {
    disk: Simulated,
    node: u64,
}

impl File for Open {
    fn length(&self) -> io::Result<u64> {
        let (mut inner, fault) = self.disk.begin(Call::Length);
        fail(fault)?;
        Ok(inner.contents.node(self.node).current.len() as u64)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let (mut inner, fault) = self.disk.begin(Call::Read);
        fail(fault)?;
        let current = &inner.contents.node(self.node).current;
        let start = current.len().min(offset as usize);
        let read = bytes.len().min(current.len() - start);
        bytes[..read].copy_from_slice(&current[start..start + read]);
        inner.bytes_read += read as u64;
        Ok(read)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let (mut inner, fault) = self.disk.begin(Call::Write);
        let part = match fault {
            None => bytes.len(),
            Some(Fault::Eio) => bytes.len() * (inner.counts[&Call::Write] % 3) as usize / 2,
            Some(Fault::ShortThenEio | Fault::ShortThenFull) => bytes.len() / 2,
            Some(_) => 0,
        };
        let written = inner.write(self.node, offset as usize, &bytes[..part]);
        let label = &inner.contents.node(self.node).label;
        let what = format!("write {label} at {offset}: {written} of {}, {fault:?}", bytes.len());
        inner.changed(what);
        match fault {
            Some(Fault::ShortThenEio | Fault::ShortThenFull) if written > 0 => Ok(written),
            Some(fault) => Err(fault.error()),
            None if written == 0 && !bytes.is_empty() => Err(io::ErrorKind::StorageFull.into()),
            None => Ok(written),
        }
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let (mut inner, fault) = self.disk.begin(Call::SetLength);
        fail(fault)?;
        let node = inner.contents.node(self.node);
        node.set_length(length as usize);
        let what = format!("set length of {} to {length}", node.label);
        inner.changed(what);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let (mut inner, fault) = self.disk.begin(Call::Sync);
        let node = inner.contents.node(self.node);
        match fault {
            None => node.sync(),
            Some(Fault::SyncLoses | Fault::SyncFull) => node.lose_unsynced(),
            Some(_) => {}
        }
        let what = format!("sync {}, {fault:?}", node.label);
        inner.changed(what);
        fail(fault)
    }
}
