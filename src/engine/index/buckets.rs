//! Buckets: the constants that a term is compared with cut its keys into stretches within which no
//! condition changes.

use smallvec::SmallVec;

use crate::expression::keys::Keys;
use crate::expression::term::{Order, Term, bits_key};
use crate::schema::Field;

/// The largest number of keys for which a bucket is looked up by key directly.
pub(super) const MAX_DIRECT: u64 = 1 << 12;
/// The most cells in the coarse table over the cuts of a term with more keys.
const MAX_CELLS: usize = 1 << 12;

/// How a term's keys fall into buckets. Bucket 0 means *no answer*; the others follow the order of the
/// keys.
#[derive(Debug, Clone)]
pub(super) struct Buckets {
    /// The first key of each bucket from the third on. Bucket 1 begins at key 0.
    cuts: Box<[u64]>,
    table: Table,
    /// The largest key that the term can have.
    last: u64,
    source: Source,
}

/// Where the term's key comes from.
#[derive(Debug, Clone)]
enum Source {
    Feature(Field, Order),
    /// Whether the set has one of these bits.
    Bits(Field, u64),
    /// The term must be evaluated.
    Evaluated,
}

#[derive(Debug, Clone)]
enum Table {
    /// The bucket of every key, with *no answer* in front. For ordered codes, the bucket of every code.
    Direct(Box<[u16]>),
    /// Cells of `1 << shift` keys from the first cut on, with the number of cuts before each.
    Cells { shift: u32, before: Box<[u32]> },
}

impl Buckets {
    /// The buckets of a term with keys up to `last`. `cuts` are the keys at which a condition changes, in
    /// any order.
    pub(super) fn new(term: &Term, last: u64, mut cuts: Vec<u64>) -> Buckets {
        cuts.sort_unstable();
        cuts.dedup();
        cuts.retain(|cut| (1..=last).contains(cut));
        let table = match (cuts.first(), cuts.last()) {
            _ if last < MAX_DIRECT => Table::direct(last, &cuts),
            (Some(first), Some(final_cut)) => Table::cells(*first, *final_cut, &cuts),
            _ => Table::Cells { shift: 63, before: Box::default() },
        };
        let source = match term {
            Term::Feature(_, field, order) => Source::Feature(*field, *order),
            Term::Bits(_, field, mask) => Source::Bits(*field, *mask),
            _ => Source::Evaluated,
        };
        Buckets { cuts: cuts.into(), table, last, source }
    }

    /// The bucket of a customer, if the row tells; otherwise the term must be evaluated.
    #[inline]
    pub(super) fn of_row(&self, row: &[u64]) -> Option<u32> {
        let bucket = match (&self.source, &self.table) {
            // Codes beyond the last come from a schema that has grown since.
            (Source::Feature(field, Order::Plain), Table::Direct(buckets)) => {
                u32::from(buckets[(field.read(row) as usize).min(buckets.len() - 1)])
            }
            (Source::Feature(field, order), _) => self.of(order.key(field.read(row))),
            (Source::Bits(field, mask), _) => self.of(bits_key(field.read(row), *mask)),
            (Source::Evaluated, _) => return None,
        };
        Some(bucket)
    }

    /// The first key of each bucket from the third on.
    pub(super) fn cuts(&self) -> &[u64] {
        &self.cuts
    }

    /// The number of buckets, *no answer* included.
    pub(super) fn count(&self) -> usize {
        self.cuts.len() + 2
    }

    pub(super) fn bytes(&self) -> usize {
        let table = match &self.table {
            Table::Direct(buckets) => size_of_val(&**buckets),
            Table::Cells { before, .. } => size_of_val(&**before),
        };
        size_of::<Buckets>() + size_of_val(&*self.cuts) + table
    }

    /// The bucket that a key falls into.
    #[inline]
    pub(super) fn of(&self, key: Option<u64>) -> u32 {
        let Some(key) = key else { return 0 };
        match &self.table {
            Table::Direct(buckets) => u32::from(buckets[key.min(self.last) as usize + 1]),
            Table::Cells { shift, before } => {
                let Some(first) = self.cuts.first() else { return 1 };
                let Some(beyond) = key.checked_sub(*first) else { return 1 };
                let cell = ((beyond >> shift) as usize).min(before.len() - 2);
                let (from, to) = (before[cell] as usize, before[cell + 1] as usize);
                let within = &self.cuts[from..to];
                // Most cells have one cut or none; counting them avoids the branches of a search.
                let passed = if within.len() <= 4 {
                    within.iter().filter(|cut| **cut <= key).count()
                } else {
                    within.partition_point(|cut| *cut <= key)
                };
                (from + passed) as u32 + 1
            }
        }
    }

    /// The buckets of these keys: first and last of each stretch, in order. The ends of the keys' ranges
    /// must be cuts.
    pub(super) fn stretches(&self, keys: &Keys) -> SmallVec<[(u32, u32); 2]> {
        let mut stretches: SmallVec<[(u32, u32); 2]> = SmallVec::new();
        let none = keys.has_none().then_some((0, 0));
        let of = |key: u64| self.of(Some(key.min(self.last)));
        let ranges = keys.ranges().iter().filter(|range| range.0 <= self.last);
        for (first, last) in none.into_iter().chain(ranges.map(|(first, last)| (of(*first), of(*last)))) {
            match stretches.last_mut() {
                Some(before) if before.1 + 1 >= first => before.1 = last,
                _ => stretches.push((first, last)),
            }
        }
        stretches
    }

    /// The estimated share of customers in these buckets, 0 to 1. Small domains are taken to spread evenly
    /// over their keys, large ones over the buckets. Few customers are taken to have no answer.
    pub(super) fn share(&self, stretches: &[(u32, u32)]) -> f64 {
        const NONE: f64 = 0.02;
        let keys_from = |bucket: u32| match bucket {
            0 | 1 => 0.0,
            bucket => self.cuts.get(bucket as usize - 2).map_or(self.last as f64 + 1.0, |cut| *cut as f64),
        };
        let share = |(first, last): &(u32, u32)| {
            let none = if *first == 0 { NONE } else { 0.0 };
            let (first, last) = (*first.max(&1), *last);
            if last < first {
                return none;
            }
            let part = if self.last < MAX_DIRECT {
                (keys_from(last + 1) - keys_from(first)) / (self.last as f64 + 1.0)
            } else {
                f64::from(last + 1 - first) / (self.cuts.len() + 1) as f64
            };
            none + part * (1.0 - NONE)
        };
        stretches.iter().map(share).sum::<f64>().min(1.0)
    }
}

impl Table {
    fn direct(last: u64, cuts: &[u64]) -> Table {
        let mut passed = 0;
        let bucket = |key| {
            passed += usize::from(cuts.get(passed) == Some(&key));
            passed as u16 + 1
        };
        Table::Direct([0].into_iter().chain((0..=last).map(bucket)).collect())
    }

    /// Twice as many cells as cuts, so that most cells have one cut or none.
    fn cells(first: u64, last: u64, cuts: &[u64]) -> Table {
        let wanted = (cuts.len() * 2).next_power_of_two().min(MAX_CELLS) as u64;
        let width = last - first;
        let shift = (0..64).find(|shift| width >> shift < wanted).unwrap_or(63);
        let cells = (width >> shift) + 1;
        let before = |cell: u64| {
            let start = u128::from(first) + (u128::from(cell) << shift);
            cuts.partition_point(|cut| u128::from(*cut) < start) as u32
        };
        Table::Cells { shift, before: (0..=cells).map(before).collect() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_is_the_number_of_cuts_up_to_the_key(
            last in prop_oneof![0_u64..40, 4_090_u64..4_100, Just(u64::MAX), Just(u64::from(u32::MAX))],
            cuts in proptest::collection::vec(prop_oneof![0_u64..50, any::<u64>(), 4_000_u64..5_000], 0..40),
            keys in proptest::collection::vec(prop_oneof![0_u64..60, any::<u64>(), 4_000_u64..5_000], 0..40),
        ) {
            let minute = Term::WeekMinute(jiff::tz::TimeZone::UTC);
            let buckets = Buckets::new(&minute, last, cuts.clone());
            let mut distinct: Vec<u64> = cuts.into_iter().filter(|cut| (1..=last).contains(cut)).collect();
            distinct.sort_unstable();
            distinct.dedup();
            let edges = distinct.iter().flat_map(|cut| [*cut, cut - 1, cut.saturating_add(1)]);
            for key in keys.into_iter().chain(edges).chain([0, last]).filter(|key| *key <= last) {
                let expected = distinct.iter().filter(|cut| **cut <= key).count() as u32 + 1;
                prop_assert_eq!(buckets.of(Some(key)), expected, "key {}", key);
            }
            prop_assert_eq!(buckets.of(None), 0);
            prop_assert_eq!(buckets.count(), distinct.len() + 2);
        }
    }

    #[test]
    fn shares_of_all_buckets_are_everybody() {
        let minute = Term::WeekMinute(jiff::tz::TimeZone::UTC);
        for last in [1, 7, 100_000] {
            let buckets = Buckets::new(&minute, last, vec![1, 3, 5, 700]);
            let all = buckets.share(&[(0, buckets.count() as u32 - 1)]);
            assert!((all - 1.0).abs() < 1e-9, "{last}: {all}");
        }
    }
}
