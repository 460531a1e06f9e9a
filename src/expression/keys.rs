//! A set of keys of a term: ranges in order, and whether *no answer* belongs to it.

use smallvec::{SmallVec, smallvec};

/// Some of the keys that a [`Term`](super::term::Term) may have. A term without an answer has the key `None`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Keys {
    none: bool,
    /// The first and last key of each range, in order. Ranges neither overlap nor touch.
    ranges: SmallVec<[(u64, u64); 2]>,
}

impl Keys {
    /// The set without any key.
    pub(crate) fn nothing() -> Keys {
        Keys::default()
    }

    /// The set of *no answer* alone.
    pub(crate) fn none() -> Keys {
        Keys { none: true, ranges: SmallVec::new() }
    }

    /// The keys from `first` to `last`, both included; nothing if `first` is greater.
    pub(crate) fn range(first: u64, last: u64) -> Keys {
        Keys { none: false, ranges: if first <= last { smallvec![(first, last)] } else { SmallVec::new() } }
    }

    /// The set of one key.
    pub(crate) fn one(key: u64) -> Keys {
        Keys::range(key, key)
    }

    /// The keys in any of these ranges, which may be in any order.
    pub(crate) fn of(ranges: impl IntoIterator<Item = (u64, u64)>) -> Keys {
        let mut sorted: SmallVec<[(u64, u64); 2]> = ranges.into_iter().filter(|(a, b)| a <= b).collect();
        sorted.sort_unstable();
        let mut keys = Keys::nothing();
        for (first, last) in sorted {
            match keys.ranges.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => keys.ranges.push((first, last)),
            }
        }
        keys
    }

    /// Whether the set has this key; `None` is *no answer*.
    pub(crate) fn contains(&self, key: Option<u64>) -> bool {
        let Some(key) = key else { return self.none };
        let after = self.ranges.partition_point(|(first, _)| *first <= key);
        after > 0 && key <= self.ranges[after - 1].1
    }

    /// Whether the set has *no answer*.
    pub(crate) fn has_none(&self) -> bool {
        self.none
    }

    /// The ranges in order, first and last included.
    pub(crate) fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// Whether the set has no key, not even *no answer*.
    pub(crate) fn is_empty(&self) -> bool {
        !self.none && self.ranges.is_empty()
    }

    /// The keys that are in both sets.
    pub(crate) fn intersection(&self, other: &Keys) -> Keys {
        let mut ranges = SmallVec::new();
        let (mut a, mut b) = (0, 0);
        while let (Some(left), Some(right)) = (self.ranges.get(a), other.ranges.get(b)) {
            let (first, last) = (left.0.max(right.0), left.1.min(right.1));
            if first <= last {
                ranges.push((first, last));
            }
            if left.1 < right.1 { a += 1 } else { b += 1 }
        }
        Keys { none: self.none && other.none, ranges }
    }

    /// Whether no key is in both sets.
    pub(crate) fn is_disjoint(&self, other: &Keys) -> bool {
        !(self.none && other.none)
            && self.ranges.iter().all(|(first, last)| {
                let after = other.ranges.partition_point(|(_, end)| end < first);
                other.ranges.get(after).is_none_or(|(start, _)| start > last)
            })
    }

    /// The keys that are in one of the sets, or in both.
    pub(crate) fn union(&self, other: &Keys) -> Keys {
        let all = self.ranges.iter().chain(&other.ranges).copied();
        Keys { none: self.none || other.none, ..Keys::of(all) }
    }

    /// The keys from 0 to `last` that are not in the set. *No answer* is never among them.
    pub(crate) fn others(&self, last: u64) -> Keys {
        let mut ranges = SmallVec::new();
        let mut next = Some(0);
        for (first, end) in &self.ranges {
            if let Some(from) = next
                && from < *first
            {
                ranges.push((from, first - 1));
            }
            next = end.checked_add(1);
        }
        if let Some(from) = next
            && from <= last
        {
            ranges.push((from, last));
        }
        Keys { none: false, ranges }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The keys of 0 to 15, and none, that are in it.
    fn listed(keys: &Keys) -> Vec<Option<u64>> {
        (0..16).map(Some).chain([None]).filter(|key| keys.contains(*key)).collect()
    }

    fn keys() -> impl Strategy<Value = Keys> {
        let ranges = proptest::collection::vec((0_u64..16, 0_u64..16), 0..5);
        (ranges, any::<bool>()).prop_map(|(ranges, none)| Keys { none, ..Keys::of(ranges) })
    }

    proptest! {
        #[test]
        fn sets_of_keys_are_sets(a in keys(), b in keys()) {
            let both = listed(&a).into_iter().filter(|key| b.contains(*key)).collect::<Vec<_>>();
            prop_assert_eq!(a.is_disjoint(&b), both.is_empty());
            prop_assert_eq!(listed(&a.intersection(&b)), both);
            for key in (0..16).map(Some).chain([None]) {
                prop_assert_eq!(a.union(&b).contains(key), a.contains(key) || b.contains(key));
                prop_assert_eq!(a.others(15).contains(key), key.is_some() && !a.contains(key));
            }
            for pair in a.union(&b).ranges().windows(2) {
                prop_assert!(pair[0].1 + 1 < pair[1].0, "ranges that touch are one");
            }
        }
    }

    #[test]
    fn the_largest_key_has_no_successor() {
        assert_eq!(Keys::range(5, u64::MAX).others(u64::MAX), Keys::range(0, 4));
        assert_eq!(Keys::of([(3, u64::MAX), (0, 2)]), Keys::range(0, u64::MAX));
        assert!(Keys::range(0, u64::MAX).others(u64::MAX).is_empty());
    }
}
