//! Names and files of a simulated disk, and what is left of them after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use fastrand::Rng;

use super::SECTOR;
use super::node::{Node, SectorFate};

/// What is on the disk and in the page cache. Images are shared, so cloning is cheap.
#[derive(Clone, Default)]
pub(super) struct Contents {
    pub(super) nodes: BTreeMap<u64, Node>,
    pub(super) names: Names,
    pub(super) durable_names: Names,
    /// The changes that lead from `durable_names` to `names`.
    pub(super) pending: Vec<Entry>,
}

pub(super) type Names = BTreeMap<String, u64>;

/// A change of names that is not durable yet.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    Create(String, u64),
    Rename(String, String),
    Remove(String),
}

impl Contents {
    pub(super) fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    pub(super) fn find(&self, name: &str) -> io::Result<u64> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn used(&self) -> u64 {
        self.names.values().map(|node| (self.nodes[node].allocated.len() * SECTOR) as u64).sum()
    }

    pub(super) fn add(&mut self, node: Node) -> u64 {
        let id = self.nodes.keys().next_back().map_or(1, |last| last + 1);
        self.nodes.insert(id, node);
        id
    }

    pub(super) fn put(&mut self, name: &str, node: Node) {
        let id = self.add(node);
        self.names.insert(name.into(), id);
        self.durable_names.insert(name.into(), id);
    }

    pub(super) fn enter(&mut self, entry: Entry) {
        entry.apply(&mut self.names);
        self.pending.push(entry);
    }

    pub(super) fn crash(&self, rng: &mut Rng) -> Contents {
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

    /// Any subset of the pending changes, except that a change needs the earlier ones of the same
    /// names.
    pub(super) fn names_after_crash(&self, rng: &mut Rng) -> Names {
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

/// What becomes of `count` unsynced sectors. The cases that bugs are made of come often.
pub(super) fn fates(count: usize, rng: &mut Rng) -> Vec<SectorFate> {
    let of = |new: bool| if new { SectorFate::New } else { SectorFate::Old };
    let some = rng.usize(0..count.max(1));
    let mut fates: Vec<_> = match rng.usize(0..9) {
        0 => vec![SectorFate::Old; count],
        1 => vec![SectorFate::New; count],
        2 => (0..count).map(|at| of(at + 1 == count)).collect(),
        3 => (0..count).map(|at| of(at == 0)).collect(),
        4 => (0..count).map(|at| of(at < some)).collect(),
        5 => (0..count).map(|at| of(at != some)).collect(),
        6 => (0..count).map(|_| of(rng.bool())).collect(),
        7 => vec![SectorFate::Before; count],
        _ => vec![SectorFate::Any; count],
    };
    if count > 0 {
        match rng.usize(0..6) {
            0 | 1 => fates[rng.usize(0..count)] = SectorFate::Torn,
            2 => fates[rng.usize(0..count)] = SectorFate::Noise,
            _ => {}
        }
    }
    fates
}

impl Entry {
    pub(super) fn apply(&self, names: &mut Names) {
        match self {
            Entry::Create(name, node) => drop(names.insert(name.clone(), *node)),
            Entry::Rename(from, to) => {
                let node = names.remove(from).unwrap();
                names.insert(to.clone(), node);
            }
            Entry::Remove(name) => drop(names.remove(name)),
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        match self {
            Entry::Create(name, _) | Entry::Remove(name) => [Some(name), None],
            Entry::Rename(from, to) => [Some(from), Some(to)],
        }
        .into_iter()
        .flatten()
    }
}
