//! A map that one thread changes and many read without a lock.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use arc_swap::ArcSwap;
use foldhash::fast::FixedState;

/// How many shards there are. A new key copies its shard, which takes some 20 µs where there are 65,536
/// keys.
const SHARDS: usize = 64;

type Shard<K, V> = HashMap<K, Arc<V>, FixedState>;

/// Keys with values that change in place. Only the one writer may call what adds or removes keys.
pub(super) struct SharedMap<K, V> {
    shards: Box<[ArcSwap<Shard<K, V>>]>,
}

impl<K: Copy + Eq + Hash, V> SharedMap<K, V> {
    pub(super) fn new(all: impl IntoIterator<Item = (K, V)>) -> SharedMap<K, V> {
        let mut shards: Vec<Shard<K, V>> = (0..SHARDS).map(|_| HashMap::default()).collect();
        for (key, value) in all {
            shards[place(&key)].insert(key, Arc::new(value));
        }
        SharedMap { shards: shards.into_iter().map(ArcSwap::from_pointee).collect() }
    }

    pub(super) fn with<T>(&self, key: &K, look: impl FnOnce(&V) -> T) -> Option<T> {
        self.shards[place(key)].load().get(key).map(|value| look(value))
    }

    pub(super) fn insert(&self, key: K, value: V) {
        let shard = &self.shards[place(&key)];
        let mut next = Shard::clone(&shard.load());
        next.insert(key, Arc::new(value));
        shard.store(Arc::new(next));
    }

    /// Removes all keys that need not stay; walks all of them.
    pub(super) fn retain(&self, stays: impl Fn(&K) -> bool) {
        for shard in &self.shards {
            let now = shard.load();
            if !now.keys().all(&stays) {
                let kept = now.iter().filter(|(key, _)| stays(key));
                shard.store(Arc::new(kept.map(|(key, value)| (*key, value.clone())).collect()));
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.load().len()).sum()
    }

    pub(super) fn all<T>(&self, each: impl Fn(K, &V) -> T) -> Vec<T> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(shard.load().iter().map(|(key, value)| each(*key, value)));
        }
        all
    }
}

fn place(key: &impl Hash) -> usize {
    FixedState::default().hash_one(key) as usize % SHARDS
}
