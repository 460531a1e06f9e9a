//! A file of a simulated disk: what of it is durable, what is not, and what becomes of that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fastrand::Rng;

use super::SECTOR;

/// How many versions of one unsynced sector are remembered besides the first and the last.
const MAX_VERSIONS: usize = 8;

/// A file, whatever its name is now.
#[derive(Clone, Default)]
pub(super) struct Node {
    /// The name it was created with, for the log.
    pub(super) label: String,
    pub(super) durable: Arc<Vec<u8>>,
    pub(super) current: Arc<Vec<u8>>,
    /// Sectors written since the last sync, each with what it held in between.
    pub(super) dirty: BTreeMap<usize, Vec<Sector>>,
    /// Sectors that a failed sync lost: `current` differs from `durable`, and no sync will change that.
    pub(super) lost: BTreeSet<usize>,
    /// The shortest and the longest it was since the last sync.
    pub(super) lengths: (usize, usize),
    /// Sectors that take room; the others are holes.
    pub(super) allocated: BTreeSet<usize>,
}

pub(super) type Sector = [u8; SECTOR];

/// What becomes of an unsynced sector when power is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SectorFate {
    Old,
    New,
    /// What it held before the last change, as if that one did not reach the disk.
    Before,
    /// One of all the versions, the old and the new included.
    Any,
    /// The new version up to some byte, another version from there.
    Torn,
    /// Noise in the bytes that were to change.
    Noise,
}

impl Node {
    /// A file with this content, all of it synced.
    pub(super) fn of(label: &str, bytes: Vec<u8>) -> Node {
        let lengths = (bytes.len(), bytes.len());
        let allocated = (0..bytes.len().div_ceil(SECTOR)).collect();
        let durable = Arc::new(bytes);
        Node { label: label.into(), current: durable.clone(), durable, lengths, allocated, ..Node::default() }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.dirty.is_empty() && self.lengths == (self.durable.len(), self.durable.len())
    }

    /// How many bytes of a write fit into `free` more sectors and those that the file has.
    pub(super) fn fits(&self, offset: usize, length: usize, free: Option<u64>) -> usize {
        let Some(free) = free else { return length };
        let missing = sectors(offset, length).filter(|sector| !self.allocated.contains(sector));
        let end = missing.skip(free as usize).map(|sector| sector * SECTOR).next();
        end.map_or(length, |end| length.min(end.saturating_sub(offset)))
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
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

    pub(super) fn set_length(&mut self, length: usize) {
        let old = self.current.len();
        sectors(length, old.saturating_sub(length)).for_each(|sector| self.touch(sector));
        Arc::make_mut(&mut self.current).resize(length, 0);
        self.allocated.split_off(&length.div_ceil(SECTOR));
        self.lengths = (self.lengths.0.min(length), self.lengths.1.max(length));
    }

    /// Notes that a sector is about to change.
    pub(super) fn touch(&mut self, sector: usize) {
        self.lost.remove(&sector);
        match self.dirty.get_mut(&sector) {
            Some(versions) if versions.len() < MAX_VERSIONS => {
                versions.push(read_sector(&self.current, sector));
            }
            Some(_) => {}
            None => drop(self.dirty.insert(sector, Vec::new())),
        }
    }

    pub(super) fn sync(&mut self) {
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

    pub(super) fn lose_unsynced(&mut self) {
        self.lost.extend(std::mem::take(&mut self.dirty).into_keys());
    }

    pub(super) fn evict(&mut self) {
        let current = Arc::make_mut(&mut self.current);
        for sector in std::mem::take(&mut self.lost) {
            write_sector(current, sector, &read_sector(&self.durable, sector));
        }
    }

    pub(super) fn crash(&self, fates: &[SectorFate], rng: &mut Rng) -> Node {
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

impl SectorFate {
    pub(super) fn decide(self, versions: &[Sector], rng: &mut Rng) -> Sector {
        let (old, new) = (versions[0], versions[versions.len() - 1]);
        match self {
            SectorFate::Old => old,
            SectorFate::New => new,
            SectorFate::Before => versions[versions.len() - 2],
            SectorFate::Any => versions[rng.usize(0..versions.len())],
            SectorFate::Torn => {
                let mut torn = versions[rng.usize(0..versions.len())];
                let at = rng.usize(0..=SECTOR);
                torn[..at].copy_from_slice(&new[..at]);
                torn
            }
            SectorFate::Noise => std::array::from_fn(|at| {
                let changes = versions.iter().any(|version| version[at] != old[at]);
                if changes { rng.u8(..) } else { old[at] }
            }),
        }
    }
}

/// The sectors that a write touches.
pub(super) fn sectors(offset: usize, length: usize) -> std::ops::Range<usize> {
    if length == 0 { 0..0 } else { offset / SECTOR..(offset + length).div_ceil(SECTOR) }
}

/// A sector, with zeros after the end.
pub(super) fn read_sector(bytes: &[u8], sector: usize) -> Sector {
    let mut read = [0; SECTOR];
    let start = bytes.len().min(sector * SECTOR);
    let end = bytes.len().min(start + SECTOR);
    read[..end - start].copy_from_slice(&bytes[start..end]);
    read
}

/// Writes as much of a sector as lies before the end.
pub(super) fn write_sector(bytes: &mut [u8], sector: usize, from: &Sector) {
    let start = bytes.len().min(sector * SECTOR);
    let end = bytes.len().min(start + SECTOR);
    bytes[start..end].copy_from_slice(&from[..end - start]);
}
