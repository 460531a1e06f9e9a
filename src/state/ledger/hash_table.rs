//! A set of hashes. As a rule, finding a hash, adding it and removing it all touch the same cache line. Who
//! fetches that line ahead has fetched all there is.
//!
//! It is a table with linear probing (D. E. Knuth, *The Art of Computer Programming*, volume 3, section 6.4,
//! algorithms L and R). Removing moves later hashes up, so there are no marks that would slow down searches.

/// Stands where no hash is.
const NONE: u64 = 0;

/// How many places a new table has.
const FIRST_PLACES: usize = 16;

/// Hashes, each once. The number 0 is the same as 1 here: of good hashes, hardly any is either.
pub(super) struct HashTable {
    places: Box<[u64]>, // a power of two of them
    len: usize,
}

impl HashTable {
    pub(super) fn new() -> HashTable {
        HashTable { places: [NONE; FIRST_PLACES].into(), len: 0 }
    }

    pub(super) fn contains(&self, hash: u64) -> bool {
        self.places[self.find(stored(hash))] != NONE
    }

    /// Looks where the search for a hash begins, to bring that into the cache. No branch waits for it, so
    /// looks at many hashes go to memory side by side.
    pub(super) fn touch(&self, hash: u64) -> u64 {
        self.places[self.home(hash)]
    }

    /// Adds a hash, if it is not there yet.
    pub(super) fn insert(&mut self, hash: u64) {
        let hash = stored(hash);
        let mut at = self.find(hash);
        if self.places[at] == hash {
            return;
        }
        // With more than three quarters in use, searches would touch ever more lines.
        if (self.len + 1) * 4 > self.places.len() * 3 {
            self.grow();
            at = self.find(hash);
        }
        self.places[at] = hash;
        self.len += 1;
    }

    /// Removes a hash, if it is there.
    pub(super) fn remove(&mut self, hash: u64) {
        let mut hole = self.find(stored(hash));
        if self.places[hole] == NONE {
            return;
        }
        self.len -= 1;
        let mut at = hole;
        loop {
            at = self.after(at);
            let other = self.places[at];
            if other == NONE {
                break;
            }
            // A search for it begins at its home and must not meet the hole before it meets the hash.
            if self.distance(self.home(other), at) >= self.distance(hole, at) {
                self.places[hole] = other;
                hole = at;
            }
        }
        self.places[hole] = NONE;
    }

    /// Where a hash is, or the free place where it would be. There always is a free place.
    fn find(&self, hash: u64) -> usize {
        let mut at = self.home(hash);
        while self.places[at] != hash && self.places[at] != NONE {
            at = self.after(at);
        }
        at
    }

    /// Where the search for a hash begins. All its bits count, because tables are chosen by some of them.
    fn home(&self, hash: u64) -> usize {
        let product = u128::from(hash) * 0x9e37_79b9_7f4a_7c15;
        (product as u64 ^ (product >> 64) as u64) as usize & (self.places.len() - 1)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.places.len() - 1)
    }

    /// How many places a search goes on from one to get to another.
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.places.len() - 1)
    }

    #[cold]
    fn grow(&mut self) {
        let doubled = vec![NONE; self.places.len() * 2].into();
        let before = std::mem::replace(&mut self.places, doubled);
        for hash in before.into_iter().filter(|hash| *hash != NONE) {
            let at = self.find(hash);
            self.places[at] = hash;
        }
    }
}

/// The number that stands for a hash.
fn stored(hash: u64) -> u64 {
    if hash == NONE { 1 } else { hash }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(crate::testing::rounds(256, 2048)))]
        #[test]
        fn it_holds_what_a_set_holds(steps in prop::collection::vec((0..3_u8, 1..80_u64), 0..400)) {
            let (mut table, mut model) = (HashTable::new(), HashSet::new());
            for (step, hash) in steps {
                if step == 0 {
                    table.remove(hash);
                    model.remove(&hash);
                } else {
                    table.insert(hash);
                    model.insert(hash);
                }
                prop_assert_eq!(table.len, model.len());
                prop_assert!((1..80).all(|hash| table.contains(hash) == model.contains(&hash)));
            }
        }
    }

    #[test]
    fn it_grows_before_searches_get_long_and_takes_zero_for_one() {
        let mut table = HashTable::new();
        (1..=10_000).for_each(|hash| table.insert(hash << 40));
        assert_eq!((table.len, table.places.len()), (10_000, 16_384));
        assert!((1..=10_000).all(|hash| table.contains(hash << 40) && !table.contains(hash << 40 | 1)));
        (1..=10_000).for_each(|hash| table.remove(hash << 40));
        assert!(table.len == 0 && table.places.iter().all(|place| *place == NONE));
        table.insert(0);
        assert!(table.contains(0) && table.contains(1));
    }
}
