//! The number of different customers, estimated in fixed memory. Each level is linear counting (Whang,
//! Vander-Zanden, Taylor, *A linear-time probabilistic counting algorithm*, ACM TODS 1990). Sampling levels
//! of several sizes follows the multiresolution bitmaps of Estan, Varghese, Fisk (*Bitmap algorithms for
//! counting active flows*, IMC 2003).
//!
//! Each customer sets the bit that their hash names. The share of bits that are still zero tells how many
//! customers there were. A bitmap tells little once it is nearly full. So there are several: each takes a
//! quarter of the customers of the one before.

use std::sync::atomic::{AtomicU64, Ordering};

use bytemuck::allocation::zeroed_slice_box;
use xxhash_rust::xxh3::xxh3_64;

/// The number of bits in one bitmap.
const BITS: usize = 1 << 17;
const WORDS: usize = BITS / 64;
/// The number of bitmaps. With about 500,000,000 customers, the last one has as many customers as bits.
const LEVELS: usize = 7;
/// Bits of the hash that pick the customers of the next level: two bits, so one customer in four.
const QUARTER: u32 = 2;

/// Counts different customers without a lock. The standard error is 0.3 % up to 131,072 customers and 0.6 %
/// beyond.
#[derive(Debug)]
pub(super) struct Distinct {
    /// The bitmaps, level after level. Untouched levels take no memory.
    words: Box<[AtomicU64]>,
}

/// The bits of a customer, the same in every [`Distinct`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    bit: usize,
    /// The last level that they are sampled for.
    deepest: usize,
}

/// The estimate that one level gives.
#[derive(Debug, Clone, Copy)]
struct SampleLevel {
    /// Estimated customers in the sample.
    customers: f64,
    /// The variance of that estimate, by Whang et al., theorem 2.
    variance: f64,
}

impl Mark {
    /// The bits of the customer with this id.
    pub(super) fn of(customer: &str) -> Mark {
        let hash = xxh3_64(customer.as_bytes());
        let deepest = ((hash >> BITS.trailing_zeros()).trailing_zeros() / QUARTER) as usize;
        Mark { bit: hash as usize % BITS, deepest: deepest.min(LEVELS - 1) }
    }
}

impl Default for Distinct {
    fn default() -> Distinct {
        Distinct { words: zeroed_slice_box(LEVELS * WORDS) }
    }
}

impl Distinct {
    /// Counts a customer; counting them again changes nothing.
    pub(super) fn add(&self, customer: Mark) {
        self.add_unless(customer, None);
    }

    /// Counts a customer, unless their bit is `taken` already. That is found out level by level.
    pub(super) fn add_unless(&self, Mark { bit, deepest }: Mark, taken: Option<&Distinct>) {
        let mask = 1 << (bit % 64);
        for level in 0..=deepest {
            let at = level * WORDS + bit / 64;
            // Most customers come back, and reading does not take the cache line from other cores.
            let has = |of: &Distinct| of.words[at].load(Ordering::Relaxed) & mask != 0;
            if !has(self) && !taken.is_some_and(has) {
                self.words[at].fetch_or(mask, Ordering::Relaxed);
            }
        }
    }

    /// Another one that has counted the same customers.
    pub(super) fn copy(&self) -> Distinct {
        let copy = Distinct::default();
        for (to, from) in copy.words.iter().zip(&self.words) {
            let bits = from.load(Ordering::Relaxed);
            if bits != 0 {
                to.store(bits, Ordering::Relaxed); // memory of untouched levels stays untouched
            }
        }
        copy
    }

    /// About how many different customers there were.
    pub(super) fn estimate(&self) -> u64 {
        let level = self.finest();
        let scale = (1_u64 << (level as u32 * QUARTER)) as f64;
        (self.level(level, BITS).customers * scale).round() as u64
    }

    /// The first level that is not too full to tell well: it has at most as many customers as bits.
    fn finest(&self) -> usize {
        (0..LEVELS - 1).find(|level| self.level(*level, BITS).customers <= BITS as f64).unwrap_or(LEVELS - 1)
    }

    /// The customers who set bits at this level, of so many bits that could be set.
    fn level(&self, level: usize, bits: usize) -> SampleLevel {
        let zeros = bits.saturating_sub(self.ones(level)).max(1) as f64; // beyond about 12 a bit, none is left
        let load = (bits.max(1) as f64 / zeros).ln().max(0.0);
        SampleLevel {
            customers: load * bits as f64,
            variance: bits as f64 * (load.exp() - load - 1.0).max(0.0),
        }
    }

    fn ones(&self, level: usize) -> usize {
        let words = &self.words[level * WORDS..(level + 1) * WORDS];
        words.iter().map(|word| word.load(Ordering::Relaxed).count_ones() as usize).sum()
    }
}

/// Customers of each arm, for a ratio test that takes its counts for exact. The arms have no bit that is
/// `taken`. All arms use the same sampling level: the one that tells most. The counts are scaled down by the
/// share of the variance that comes from estimating, so that the test is no surer than the estimates are.
pub(super) fn comparable(arms: &[&Distinct], taken: Option<&Distinct>) -> Vec<u64> {
    let at = |level: usize| -> Vec<f64> {
        let bits = BITS - taken.map_or(0, |taken| taken.ones(level));
        let counts: Vec<SampleLevel> = arms.iter().map(|arm| arm.level(level, bits)).collect();
        let exact = |count: &SampleLevel| match count.customers > 0.0 {
            true => count.customers / (count.customers + count.variance),
            false => 1.0,
        };
        let weight = counts.iter().map(exact).fold(1.0, f64::min);
        counts.iter().map(|count| count.customers * weight).collect()
    };
    let all = |counts: &Vec<f64>| counts.iter().sum::<f64>();
    let best = (0..LEVELS).map(at).max_by(|a, b| all(a).total_cmp(&all(b))).unwrap_or_default();
    best.into_iter().map(|count| count.round() as u64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(customers: impl Iterator<Item = u32>) -> Distinct {
        let distinct = Distinct::default();
        customers.for_each(|customer| distinct.add(Mark::of(&format!("c-{customer}"))));
        distinct
    }

    #[test]
    fn estimates_are_near_what_there_was() {
        for (customers, within) in [
            (0, 0.0),
            (1, 0.0),
            (100, 0.02),
            (10_000, 0.01),
            (130_000, 0.01),
            (500_000, 0.02),
            (1_000_000, 0.02),
        ] {
            let found = of(0..customers).estimate() as f64;
            let exact = f64::from(customers);
            assert!((found - exact).abs() <= exact * within, "{customers}: {found}");
        }
    }

    #[test]
    fn a_customer_who_comes_back_counts_once() {
        let all = of((0..50_000).map(|i| i % 500));
        assert_eq!(all.estimate(), of(0..500).estimate());
    }

    #[test]
    fn threads_lose_nobody() {
        let together = Distinct::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let together = &together;
                scope.spawn(move || {
                    (thread..40_000).step_by(4).for_each(|i| together.add(Mark::of(&format!("c-{i}"))));
                });
            }
        });
        assert_eq!(together.estimate(), of(0..40_000).estimate());
    }

    /// Pearson's statistic for two arms with the same share.
    fn chi_square(counts: &[u64]) -> f64 {
        let [a, b] = [counts[0] as f64, counts[1] as f64];
        (a - b).powi(2) / (a + b)
    }

    #[test]
    fn estimating_alone_does_not_look_like_a_mismatch() {
        // Both arms have exactly the same number, so any difference comes from estimating. By chance, one
        // test in a thousand with one degree of freedom is beyond 10.83.
        for (customers, rounds) in [(3_000, 20), (60_000, 4), (250_000, 2)] {
            for round in 0..rounds {
                let first = round * 2 * customers;
                let arms = [of(first..first + customers), of(first + customers..first + 2 * customers)];
                let counts = comparable(&[&arms[0], &arms[1]], None);
                assert!(chi_square(&counts) < 10.83, "{customers} {round}: {counts:?}");
            }
        }
    }

    #[test]
    fn a_real_mismatch_still_shows() {
        for (a, b) in [(10_000, 11_000), (100_000, 104_000), (400_000, 440_000), (400_000, 60_000)] {
            let arms = [of(0..a), of(a..a + b)];
            let counts = comparable(&[&arms[0], &arms[1]], None);
            assert!(chi_square(&counts) > 10.83, "{a} {b}: {counts:?}");
        }
    }

    #[test]
    fn of_those_whose_bits_are_taken_nobody_is_counted_and_of_the_others_each_arm_as_many() {
        for (earlier, new) in [(0, 20_000), (5_000, 20_000), (200_000, 50_000), (2_000_000, 400_000)] {
            let taken = of(0..earlier);
            let arms = [Distinct::default(), Distinct::default()];
            for customer in 0..earlier + new {
                let id = format!("c-{customer}");
                arms[(customer % 2) as usize].add_unless(Mark::of(&id), Some(&taken));
            }
            let counts = comparable(&[&arms[0], &arms[1]], Some(&taken));
            let all: u64 = counts.iter().sum();
            assert!(
                all <= u64::from(new) + u64::from(new) / 50 && all > 1_000,
                "{earlier} {new}: {counts:?}"
            );
            assert!(chi_square(&counts) < 10.83, "{earlier} {new}: {counts:?}");
        }
        let copy = of(0..300).copy();
        copy.add(Mark::of("another"));
        assert_eq!(copy.estimate(), 301);
    }
}
