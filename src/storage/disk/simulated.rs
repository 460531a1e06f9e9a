//! A disk in memory that does the worst a disk may do within what is [assumed](super) of one: it loses, reorders and tears
//! what was not synced, forgets names, fails at a given call, and runs full.
//!
//! Weaker than any file system we know on purpose: syncing a file does not keep its name, syncing names keeps no content,
//! and every unsynced sector and every unsynced name is kept or lost by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use fastrand::Rng;

use super::{Disk, File};

/// What a disk writes whole, mostly.
pub(crate) const SECTOR: usize = 512;
/// Versions of one unsynced sector remembered besides the first and the last.
const MAX_VERSIONS: usize = 8;

/// A simulated disk. Cloning gives another handle to the same disk; [`kill`](Simulated::kill) gives another disk.
#[derive(Clone, Default)]
pub(crate) struct Simulated(Arc<Mutex<Inner>>);

/// What fails, see [`Simulated::fail_at`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Any call gives `EIO`. A write may have written nothing, a part, or all; a sync leaves unsynced what it should sync.
    Eio,
    /// Whatever needs room gives `ENOSPC` and does nothing.
    NoSpace,
    /// A write writes a part, the call that goes on with the rest gives `EIO`.
    ShortThenEio,
    /// A write writes a part, the write that goes on with the rest gives `ENOSPC`.
    ShortThenFull,
    /// A read or write gives `EINTR` and does nothing.
    Interrupted,
    /// A sync gives `EIO`, and what was unsynced never reaches the disk though it is still read, as on Linux.
    SyncLoses,
    /// The same with `ENOSPC`, as where space is allocated late.
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
    /// Bytes there is room for, in whole sectors.
    capacity: Option<u64>,
    planned: Option<Planned>,
    struck: u64,
    counts: BTreeMap<Call, u64>,
    bytes_read: u64,
    /// Calls that change something, as text for whoever debugs.
    log: Vec<String>,
    /// The contents after each changing call, if they are kept.
    moments: Option<Vec<Contents>>,
}

struct Planned {
    fault: Fault,
    /// Calls it applies to until it strikes; 1 for the next.
    countdown: u64,
    lasting: Lasting,
}

/// What is on the disk and in the page cache. Images are shared, so cloning is cheap.
#[derive(Clone, Default)]
struct Contents {
    nodes: BTreeMap<u64, Node>,
    names: Names,
    durable_names: Names,
    /// What leads from `durable_names` to `names`.
    pending: Vec<Entry>,
}

type Names = BTreeMap<String, u64>;

/// A change of names.
#[derive(Debug, Clone)]
enum Entry {
    Create(String, u64),
    Rename(String, String),
    Remove(String),
}

/// A file, whatever its name.
#[derive(Clone, Default)]
struct Node {
    /// The name it was created with, for the log.
    label: String,
    durable: Arc<Vec<u8>>,
    current: Arc<Vec<u8>>,
    /// Sectors written since the last sync, each with what it held in between.
    dirty: BTreeMap<usize, Vec<Sector>>,
    /// Sectors that a failed sync lost: `current` differs from `durable`, and no sync will change that.
    lost: BTreeSet<usize>,
    /// The shortest and longest it was since the last sync.
    lengths: (usize, usize),
    /// Sectors that take room; the others are holes.
    allocated: BTreeSet<usize>,
}

type Sector = [u8; SECTOR];

/// What becomes of an unsynced sector when power is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Old,
    New,
    /// What it held before the last change, as when that one did not reach the disk.
    Before,
    /// Something it held in between, or one of these.
    Any,
    /// One version up to some byte, another one from there.
    Torn,
    /// Noise in the bytes that were to change.
    Noise,
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

    /// A disk as it may look after power was cut now: any of the cases that the syncs so far leave open.
    pub(crate) fn crash(&self, rng: &mut Rng) -> Simulated {
        Simulated::of(self.lock().contents.crash(rng))
    }

    /// A disk as the next process finds it when this one is killed now. What is unsynced stays so: power may still be
    /// cut.
    pub(crate) fn kill(&self) -> Simulated {
        Simulated::of(self.lock().contents.clone())
    }

    /// Forgets what failed syncs lost, as when the page cache needs room: from now on reads give what is on the disk.
    pub(crate) fn evict(&self) {
        self.lock().contents.nodes.values_mut().for_each(Node::evict);
    }

    /// Whether there is only one way in which it can look after a crash.
    pub(crate) fn is_settled(&self) -> bool {
        let inner = self.lock();
        inner.contents.pending.is_empty() && inner.contents.nodes.values().all(Node::is_settled)
    }

    /// Lets the `nth` call from now (1 for the next) of those that `fault` applies to fail.
    pub(crate) fn fail_at(&self, nth: u64, fault: Fault, lasting: Lasting) {
        self.lock().planned = Some(Planned { fault, countdown: nth, lasting });
    }

    /// How often a fault struck.
    pub(crate) fn struck(&self) -> u64 {
        self.lock().struck
    }

    /// Lets nothing fail from now on.
    pub(crate) fn heal(&self) {
        self.lock().planned = None;
    }

    /// Lets no more than this be allocated; `None` for no bound.
    pub(crate) fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// Bytes that are allocated.
    pub(crate) fn used(&self) -> u64 {
        self.lock().contents.used()
    }

    /// Calls so far that `fault` applies to.
    pub(crate) fn calls(&self, fault: Fault) -> u64 {
        self.lock().counts.iter().filter(|(call, _)| fault.applies_to(**call)).map(|(_, count)| count).sum()
    }

    /// Calls of one kind so far.
    pub(crate) fn count(&self, call: Call) -> u64 {
        self.lock().counts.get(&call).copied().unwrap_or(0)
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.lock().bytes_read
    }

    /// Calls so far that change something.
    pub(crate) fn changes(&self) -> usize {
        self.lock().log.len()
    }

    /// Those calls, as text.
    pub(crate) fn log(&self) -> Vec<String> {
        self.lock().log.clone()
    }

    /// Keeps what is there now and after each changing call, for [`moments`](Simulated::moments).
    pub(crate) fn keep_moments(&self) {
        let mut inner = self.lock();
        inner.log.clear();
        inner.moments = Some(vec![inner.contents.clone()]);
    }

    /// The disk as it was before all calls, and after each changing one: at `n` after `n` [`changes`](Simulated::changes)
    /// since [`keep_moments`](Simulated::keep_moments). A crash within a call looks like one just before or after it, or
    /// like one of the ways in which the call's unsynced part may be lost.
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

    /// What follows is done by no program but to the disk: at once durable, not counted, never failing.
    ///
    /// Replaces or makes a file.
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

    /// Counts a call; the fault that strikes it, if one does.
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

    /// A changing call is over.
    fn changed(&mut self, what: String) {
        self.log.push(what);
        if let Some(moments) = &mut self.moments {
            moments.push(self.contents.clone());
        }
    }

    /// Writes as much of `bytes` as there is room for.
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
            Fault::ShortThenEio | Fault::ShortThenFull => call == Call::Write,
            Fault::Interrupted => matches!(call, Call::Read | Call::Write),
            Fault::SyncLoses | Fault::SyncFull => matches!(call, Call::Sync | Call::SyncNames),
        }
    }

    fn error(self) -> io::Error {
        match self {
            Fault::Eio | Fault::ShortThenEio | Fault::SyncLoses => io::Error::from_raw_os_error(5),
            Fault::NoSpace | Fault::ShortThenFull | Fault::SyncFull => io::ErrorKind::StorageFull.into(),
            Fault::Interrupted => io::ErrorKind::Interrupted.into(),
        }
    }
}

impl Contents {
    fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    fn find(&self, name: &str) -> io::Result<u64> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn used(&self) -> u64 {
        self.names.values().map(|node| (self.nodes[node].allocated.len() * SECTOR) as u64).sum()
    }

    fn add(&mut self, node: Node) -> u64 {
        let id = self.nodes.keys().next_back().map_or(1, |last| last + 1);
        self.nodes.insert(id, node);
        id
    }

    fn put(&mut self, name: &str, node: Node) {
        let id = self.add(node);
        self.names.insert(name.into(), id);
        self.durable_names.insert(name.into(), id);
    }

    fn enter(&mut self, entry: Entry) {
        entry.apply(&mut self.names);
        self.pending.push(entry);
    }

    fn crash(&self, rng: &mut Rng) -> Contents {
        let names = self.names_after_crash(rng);
        let dirty: usize = self.nodes.values().map(|node| node.dirty.len()).sum();
        let mut fates = fates(dirty, rng).into_iter();
        let mut after = Contents::default();
        for (id, node) in &self.nodes {
            let fates: Vec<_> = fates.by_ref().take(node.dirty.len()).collect();
            if names.values().any(|named| named == id) {
                after.nodes.insert(*id, node.crash(&fates, rng));
            }
        }
        after.durable_names = names.clone();
        after.names = names;
        after
    }

    /// Any subset of the pending changes, except that a change needs the earlier ones of the same names.
    fn names_after_crash(&self, rng: &mut Rng) -> Names {
        let mut names = self.durable_names.clone();
        let chance = [0.0, 0.5, 0.8, 1.0][rng.usize(0..4)];
        let mut untouched = BTreeSet::new();
        for entry in &self.pending {
            if rng.f64() < chance && entry.names().all(|name| !untouched.contains(name)) {
                entry.apply(&mut names);
            } else {
                untouched.extend(entry.names());
            }
        }
        names
    }
}

/// What becomes of `count` unsynced sectors: weighted so that the cases come often that bugs are made of.
fn fates(count: usize, rng: &mut Rng) -> Vec<Fate> {
    let of = |new: bool| if new { Fate::New } else { Fate::Old };
    let some = rng.usize(0..count.max(1));
    let mut fates: Vec<_> = match rng.usize(0..9) {
        0 => vec![Fate::Old; count],
        1 => vec![Fate::New; count],
        2 => (0..count).map(|at| of(at + 1 == count)).collect(),
        3 => (0..count).map(|at| of(at == 0)).collect(),
        4 => (0..count).map(|at| of(at < some)).collect(),
        5 => (0..count).map(|at| of(at != some)).collect(),
        6 => (0..count).map(|_| of(rng.bool())).collect(),
        7 => vec![Fate::Before; count],
        _ => vec![Fate::Any; count],
    };
    if count > 0 {
        match rng.usize(0..6) {
            0 | 1 => fates[rng.usize(0..count)] = Fate::Torn,
            2 => fates[rng.usize(0..count)] = Fate::Noise,
            _ => {}
        }
    }
    fates
}

impl Entry {
    fn apply(&self, names: &mut Names) {
        match self {
            Entry::Create(name, node) => drop(names.insert(name.clone(), *node)),
            Entry::Rename(from, to) => {
                let node = names.remove(from).unwrap();
                names.insert(to.clone(), node);
            }
            Entry::Remove(name) => drop(names.remove(name)),
        }
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        match self {
            Entry::Create(name, _) | Entry::Remove(name) => [Some(name), None],
            Entry::Rename(from, to) => [Some(from), Some(to)],
        }
        .into_iter()
        .flatten()
    }
}

impl Node {
    /// A synced file.
    fn of(label: &str, bytes: Vec<u8>) -> Node {
        let lengths = (bytes.len(), bytes.len());
        let allocated = (0..bytes.len().div_ceil(SECTOR)).collect();
        let durable = Arc::new(bytes);
        Node { label: label.into(), current: durable.clone(), durable, lengths, allocated, ..Node::default() }
    }

    fn is_settled(&self) -> bool {
        self.dirty.is_empty() && self.lengths == (self.durable.len(), self.durable.len())
    }

    /// The bytes of a write that fit into `free` sectors and those it has already.
    fn fits(&self, offset: usize, length: usize, free: Option<u64>) -> usize {
        let Some(free) = free else { return length };
        let missing = sectors(offset, length).filter(|sector| !self.allocated.contains(sector));
        let end = missing.skip(free as usize).map(|sector| sector * SECTOR).next();
        end.map_or(length, |end| length.min(end.saturating_sub(offset)))
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        for sector in sectors(offset, bytes.len()) {
            self.touch(sector);
            self.allocated.insert(sector);
        }
        if !bytes.is_empty() {
            let current = Arc::make_mut(&mut self.current);
            current.resize(current.len().max(offset + bytes.len()), 0);
            current[offset..offset + bytes.len()].copy_from_slice(bytes);
            self.lengths.1 = self.lengths.1.max(current.len());
        }
    }

    fn set_length(&mut self, length: usize) {
        let old = self.current.len();
        sectors(length, old.saturating_sub(length)).for_each(|sector| self.touch(sector));
        Arc::make_mut(&mut self.current).resize(length, 0);
        self.allocated.split_off(&length.div_ceil(SECTOR));
        self.lengths = (self.lengths.0.min(length), self.lengths.1.max(length));
    }

    /// A sector is about to change.
    fn touch(&mut self, sector: usize) {
        self.lost.remove(&sector);
        match self.dirty.get_mut(&sector) {
            Some(versions) if versions.len() < MAX_VERSIONS => {
                versions.push(read_sector(&self.current, sector));
            }
            Some(_) => {}
            None => drop(self.dirty.insert(sector, Vec::new())),
        }
    }

    fn sync(&mut self) {
        if self.lost.is_empty() {
            self.durable = self.current.clone();
        } else {
            let durable = Arc::make_mut(&mut self.durable);
            durable.resize(self.current.len(), 0);
            for sector in self.dirty.keys() {
                write_sector(durable, *sector, &read_sector(&self.current, *sector));
            }
        }
        self.dirty.clear();
        self.lengths = (self.durable.len(), self.durable.len());
    }

    fn lose_unsynced(&mut self) {
        self.lost.extend(std::mem::take(&mut self.dirty).into_keys());
    }

    fn evict(&mut self) {
        let current = Arc::make_mut(&mut self.current);
        for sector in std::mem::take(&mut self.lost) {
            write_sector(current, sector, &read_sector(&self.durable, sector));
        }
    }

    fn crash(&self, fates: &[Fate], rng: &mut Rng) -> Node {
        if self.is_settled() {
            let current = self.durable.clone();
            return Node { current, lost: BTreeSet::new(), ..self.clone() };
        }
        let (shortest, longest) = self.lengths;
        let mut bytes = self.durable.to_vec();
        bytes.resize(longest.max(bytes.len()), 0);
        for ((sector, between), fate) in self.dirty.iter().zip(fates) {
            let mut versions = vec![read_sector(&self.durable, *sector)];
            versions.extend(between);
            versions.push(read_sector(&self.current, *sector));
            write_sector(&mut bytes, *sector, &fate.decide(&versions, rng));
        }
        let length = match rng.usize(0..5) {
            0 => self.durable.len(),
            1 | 2 => self.current.len(),
            3 => longest,
            _ => rng.usize(shortest..=longest),
        };
        bytes.truncate(length);
        Node::of(&self.label, bytes)
    }
}

impl Fate {
    fn decide(self, versions: &[Sector], rng: &mut Rng) -> Sector {
        let (old, new) = (versions[0], versions[versions.len() - 1]);
        match self {
            Fate::Old => old,
            Fate::New => new,
            Fate::Before => versions[versions.len() - 2],
            Fate::Any => versions[rng.usize(0..versions.len())],
            Fate::Torn => {
                let mut torn = versions[rng.usize(0..versions.len())];
                let at = rng.usize(0..=SECTOR);
                torn[..at].copy_from_slice(&new[..at]);
                torn
            }
            Fate::Noise => std::array::from_fn(|at| {
                let changes = versions.iter().any(|version| version[at] != old[at]);
                if changes { rng.u8(..) } else { old[at] }
            }),
        }
    }
}

/// The sectors that a write touches.
fn sectors(offset: usize, length: usize) -> std::ops::Range<usize> {
    if length == 0 { 0..0 } else { offset / SECTOR..(offset + length).div_ceil(SECTOR) }
}

/// A sector, with zeros after the end.
fn read_sector(bytes: &[u8], sector: usize) -> Sector {
    let mut read = [0; SECTOR];
    let start = bytes.len().min(sector * SECTOR);
    let end = bytes.len().min(start + SECTOR);
    read[..end - start].copy_from_slice(&bytes[start..end]);
    read
}

/// Writes as much of a sector as lies before the end.
fn write_sector(bytes: &mut [u8], sector: usize, from: &Sector) {
    let start = bytes.len().min(sector * SECTOR);
    let end = bytes.len().min(start + SECTOR);
    bytes[start..end].copy_from_slice(&from[..end - start]);
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

#[cfg(test)]
mod tests {
    use super::super::{is_full, read_all, write_all_at};
    use super::*;

    const MANY: u64 = 400;

    /// What a file may hold after a crash; `None` if it is not there.
    fn after_crashes(disk: &Simulated, name: &str) -> BTreeSet<Option<Vec<u8>>> {
        (0..MANY).map(|seed| disk.crash(&mut Rng::with_seed(seed)).image().remove(name)).collect()
    }

    /// A disk with one synced file.
    fn disk_with(name: &str, bytes: &[u8]) -> (Simulated, Box<dyn File>) {
        let disk = Simulated::new();
        disk.put(name, bytes.to_vec());
        let file = disk.open(name).unwrap();
        (disk, file)
    }

    /// Appends the record of this number, from 0, to a toy journal.
    fn append(file: &dyn File, number: u8) {
        write_all_at(file, u64::from(number) * 4, &[3, number, number, number]).unwrap();
    }

    /// The records of a toy journal up to the first one that is not whole.
    fn records(bytes: &[u8]) -> Vec<u8> {
        let whole = |record: &&[u8]| record.len() == 4 && record[1..].iter().all(|byte| *byte == record[1]);
        bytes.chunks(4).take_while(|record| record[0] == 3 && whole(record)).map(|record| record[1]).collect()
    }

    #[test]
    fn a_journal_keeps_what_it_synced_and_may_lose_the_rest() {
        let disk = Simulated::new();
        let file = disk.create("journal").unwrap();
        (0..150).for_each(|number| append(&*file, number));
        file.sync().unwrap();
        disk.sync().unwrap();
        (150..200).for_each(|number| append(&*file, number));
        let kept: BTreeSet<_> =
            after_crashes(&disk, "journal").into_iter().map(|bytes| records(&bytes.unwrap()).len()).collect();
        assert!(kept.first() == Some(&150) && kept.last() == Some(&200) && kept.len() > 10, "{kept:?}");
        assert_eq!(records(&disk.kill().bytes("journal")).len(), 200);
        file.sync().unwrap();
        assert!(disk.is_settled());
        assert_eq!(after_crashes(&disk, "journal").len(), 1);
    }

    #[test]
    fn a_synced_file_has_no_durable_name_and_a_durable_name_no_content() {
        let disk = Simulated::new();
        let file = disk.create("a").unwrap();
        write_all_at(&*file, 0, b"abc").unwrap();
        file.sync().unwrap();
        assert_eq!(after_crashes(&disk, "a"), BTreeSet::from([None, Some(b"abc".to_vec())]));

        let disk = Simulated::new();
        let file = disk.create("a").unwrap();
        write_all_at(&*file, 0, b"abc").unwrap();
        disk.sync().unwrap();
        let kept = after_crashes(&disk, "a");
        assert!(kept.contains(&Some(b"".to_vec())) && kept.contains(&Some(b"abc".to_vec())));
        assert!(kept.contains(&Some(b"\0\0\0".to_vec())) && !kept.contains(&None));
    }

    #[test]
    fn a_rename_happened_or_not() {
        let (disk, _) = disk_with("a", b"new");
        disk.put("b", b"old".to_vec());
        disk.put("c", b"other".to_vec());
        disk.rename("a", "b").unwrap();
        disk.remove("c").unwrap();
        let images: BTreeSet<_> =
            (0..MANY).map(|seed| disk.crash(&mut Rng::with_seed(seed)).image()).collect();
        let names: BTreeSet<_> = images.iter().map(|image| image.keys().collect::<Vec<_>>()).collect();
        assert_eq!(names.len(), 4, "{names:?}");
        for image in &images {
            let content = if image.contains_key("a") { b"old" } else { b"new" };
            assert_eq!(image["b"], content);
        }
        disk.sync().unwrap();
        assert_eq!(after_crashes(&disk, "c"), BTreeSet::from([None]));
    }

    #[test]
    fn bytes_overwritten_with_what_they_were_stay() {
        let (disk, file) = disk_with("a", &[7; 1024]);
        let mut bytes = [7; 1024];
        bytes[100..200].fill(9);
        write_all_at(&*file, 0, &bytes).unwrap();
        let kept = after_crashes(&disk, "a");
        assert!(kept.len() > 20);
        for bytes in kept.into_iter().flatten() {
            assert!(bytes.len() == 1024 && bytes[..100] == [7; 100] && bytes[200..] == [7; 824]);
        }
    }

    #[test]
    fn what_was_overwritten_before_a_sync_may_be_what_is_left() {
        let (disk, file) = disk_with("a", &[1]);
        for byte in [2, 3, 4] {
            write_all_at(&*file, 0, &[byte]).unwrap();
        }
        let kept = after_crashes(&disk, "a");
        assert!((1..=4).all(|byte| kept.contains(&Some(vec![byte]))));
    }

    #[test]
    fn a_cut_may_be_lost_and_what_was_cut_may_come_back_as_zeros() {
        let (disk, file) = disk_with("a", &[1; 2000]);
        file.set_length(700).unwrap();
        let lengths: BTreeSet<_> =
            after_crashes(&disk, "a").into_iter().map(|bytes| bytes.unwrap().len()).collect();
        assert!(lengths.contains(&700) && lengths.contains(&2000) && lengths.len() > 2);
        file.set_length(1500).unwrap();
        assert_eq!(disk.bytes("a"), [vec![1; 700], vec![0; 800]].concat());
        file.sync().unwrap();
        assert_eq!(after_crashes(&disk, "a"), BTreeSet::from([Some(disk.bytes("a"))]));
    }

    #[test]
    fn after_a_failed_sync_another_one_says_nothing() {
        for fault in [Fault::SyncLoses, Fault::SyncFull] {
            let (disk, file) = disk_with("a", b"old");
            write_all_at(&*file, 0, b"new").unwrap();
            disk.fail_at(1, fault, Lasting::Once);
            assert_eq!(is_full(&file.sync().unwrap_err()), fault == Fault::SyncFull);
            file.sync().unwrap();
            assert_eq!(disk.bytes("a"), b"new");
            assert_eq!(after_crashes(&disk, "a"), BTreeSet::from([Some(b"old".to_vec())]));
            let after_kill = disk.kill();
            after_kill.evict();
            assert_eq!(after_kill.bytes("a"), b"old");
        }
    }

    #[test]
    fn a_fault_strikes_at_its_call_once_or_from_then_on() {
        let (disk, file) = disk_with("a", b"");
        let write = || file.write_at(0, b"abcd");
        disk.fail_at(2, Fault::NoSpace, Lasting::Once);
        assert!(write().is_ok() && is_full(&write().unwrap_err()) && write().is_ok());
        disk.fail_at(1, Fault::NoSpace, Lasting::FromThenOn);
        assert!(write().is_err() && write().is_err() && file.length().is_ok());
        disk.fail_at(1, Fault::ShortThenEio, Lasting::Once);
        assert_eq!(write().unwrap(), 2);
        assert!(!is_full(&write().unwrap_err()) && write().is_ok());
        disk.fail_at(1, Fault::ShortThenFull, Lasting::FromThenOn);
        assert!(is_full(&write_all_at(&*file, 0, b"abcd").unwrap_err()) && write().is_err());
        disk.fail_at(1, Fault::Interrupted, Lasting::Once);
        write_all_at(&*file, 0, b"abcd").unwrap();
        disk.fail_at(1, Fault::Eio, Lasting::FromThenOn);
        assert!(disk.list().is_err() && disk.open("a").is_err() && file.sync().is_err());
        disk.heal();
        assert!(file.sync().is_ok());
        assert_eq!(disk.calls(Fault::SyncLoses), 2);
        assert_eq!(disk.count(Call::Open), 2);
    }

    #[test]
    fn a_full_disk_takes_what_fits_and_holes_take_no_room() {
        let disk = Simulated::new();
        disk.set_capacity(Some(3 * SECTOR as u64));
        let file = disk.create("a").unwrap();
        file.set_length(100_000).unwrap();
        assert_eq!(file.write_at(600, &[1; 3000]).unwrap(), 4 * SECTOR - 600);
        assert!(is_full(&file.write_at(0, &[1]).unwrap_err()));
        assert_eq!(file.write_at(700, &[2; 10]).unwrap(), 10, "no more room is needed");
        assert_eq!(disk.used(), 3 * SECTOR as u64);
        file.set_length(1000).unwrap();
        assert_eq!(file.write_at(0, &[1; 400]).unwrap(), 400);
        disk.set_capacity(None);
        write_all_at(&*file, 0, &[1; 9000]).unwrap();
    }

    #[test]
    fn the_disk_after_each_change_is_kept() {
        let disk = Simulated::new();
        disk.put("a", b"1".to_vec());
        disk.keep_moments();
        let file = disk.open("a").unwrap();
        write_all_at(&*file, 0, b"2").unwrap();
        file.sync().unwrap();
        disk.rename("a", "b").unwrap();
        let moments = disk.moments();
        assert_eq!(moments.len(), disk.changes() + 1, "{:?}", disk.log());
        let of = |name: &str, bytes: &[u8]| BTreeMap::from([(name.to_owned(), bytes.to_vec())]);
        assert_eq!(moments[0].image(), of("a", b"1"));
        assert_eq!(moments[1].image(), of("a", b"2"));
        assert!(!moments[1].is_settled() && moments[2].is_settled() && !moments[3].is_settled());
        assert_eq!(moments[3].image(), of("b", b"2"));
    }

    #[test]
    fn files_can_be_damaged() {
        let disk = Simulated::from_image(&BTreeMap::from([("a".into(), b"abc".to_vec())]));
        disk.flip_bit("a", 8);
        assert_eq!(disk.bytes("a"), b"acc");
        disk.duplicate("a", "b");
        disk.truncate("b", 1);
        disk.swap("a", "b");
        assert_eq!((disk.bytes("a"), disk.bytes("b")), (b"a".to_vec(), b"acc".to_vec()));
        disk.lose("a");
        assert_eq!(disk.list().unwrap(), ["b"]);
        assert_eq!(read_all(&disk, "b", 9).unwrap(), b"acc");
        assert_eq!(disk.bytes_read(), 3);
        assert_eq!(after_crashes(&disk, "a"), BTreeSet::from([None]));
    }

    #[test]
    fn threads_share_a_disk() {
        let disk = Simulated::new();
        std::thread::scope(|scope| {
            for name in ["a", "b"] {
                let disk = &disk;
                scope.spawn(move || {
                    let file = disk.create(name).unwrap();
                    (0..100).for_each(|at| write_all_at(&*file, at, b"x").unwrap());
                    file.sync().unwrap();
                });
            }
        });
        disk.sync().unwrap();
        assert_eq!(disk.crash(&mut Rng::with_seed(1)).bytes("b"), [b'x'; 100]);
    }
}
