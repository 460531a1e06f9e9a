//! Which features the generated rules ask for.

use super::condition::{Ask, Condition};
use super::{BRANCH, BRANCHES, ENUMS, FLAGS, FLOAT_STEPS, FLOATS, INTS, WORDS, int_max};

/// Which features rules ask for, and how many customers fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distribution {
    /// All features are equally likely; about 3 of 100 offers fit a customer.
    Uniform,
    /// By Zipf's law: a few features are in most rules.
    Skewed,
    /// Every rule asks for a branch first; about 8 of 10,000 offers fit a customer.
    Segmented,
}

/// Features that rules choose from: all except the branch.
const FEATURES: usize = FLAGS + ENUMS - 1 + INTS + FLOATS;

impl Distribution {
    pub(crate) const ALL: [Distribution; 3] =
        [Distribution::Uniform, Distribution::Skewed, Distribution::Segmented];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Distribution::Uniform => "uniform",
            Distribution::Skewed => "skewed",
            Distribution::Segmented => "segmented",
        }
    }

    /// A condition of four to six predicates.
    pub(crate) fn condition(self, rng: &mut fastrand::Rng) -> Condition {
        let branch = (self == Distribution::Segmented)
            .then(|| Ask::Word { word_of: BRANCH, word: rng.usize(0..BRANCHES) });
        let count = rng.usize(4..=6) - branch.iter().len();
        let mut asks: Vec<Condition> = self.asks(rng, count).into_iter().map(Condition::Is).collect();
        let rest = match rng.u32(0..100) {
            0..70 => Condition::All(asks),
            70..95 => {
                let two = asks.split_off(count - 2);
                asks.push(Condition::Any(two));
                Condition::All(asks)
            }
            _ => {
                let others = asks.split_off(count / 2);
                Condition::Any(vec![Condition::All(asks), Condition::All(others)])
            }
        };
        match (branch, rest) {
            (None, rest) => rest,
            (Some(branch), Condition::All(mut parts)) => {
                parts.insert(0, Condition::Is(branch));
                Condition::All(parts)
            }
            (Some(branch), rest) => Condition::All(vec![Condition::Is(branch), rest]),
        }
    }

    /// Predicates over `count` different features.
    fn asks(self, rng: &mut fastrand::Rng, count: usize) -> Vec<Ask> {
        let mut features = Vec::new();
        while features.len() < count {
            let feature = self.feature(rng);
            if !features.contains(&feature) {
                features.push(feature);
            }
        }
        features.into_iter().map(|feature| ask(rng, feature)).collect()
    }

    fn feature(self, rng: &mut fastrand::Rng) -> usize {
        if self != Distribution::Skewed {
            return rng.usize(0..FEATURES);
        }
        let weight = |rank: usize| 1.0 / (rank + 1) as f64;
        let mut left = rng.f64() * (0..FEATURES).map(weight).sum::<f64>();
        let rank = (0..FEATURES).position(|rank| {
            left -= weight(rank);
            left < 0.0
        });
        // The factor has no divisor in common with the number of features, so all kinds are among the first
        // ones.
        rank.unwrap_or(0) * 25 % FEATURES
    }
}

/// A predicate that fits about two of five customers.
fn ask(rng: &mut fastrand::Rng, feature: usize) -> Ask {
    let mut feature = feature;
    if feature < FLAGS {
        return Ask::Flag { flag: feature, is: rng.u32(0..3) > 0 };
    }
    feature -= FLAGS;
    if feature < ENUMS - 1 {
        if rng.u32(0..4) == 0 {
            return Ask::Word { word_of: feature, word: rng.usize(0..WORDS) };
        }
        let mut words: Vec<usize> = (0..WORDS).collect();
        rng.shuffle(&mut words);
        words.truncate(rng.usize(2..=4));
        words.sort_unstable();
        return Ask::Words { word_of: feature, words };
    }
    feature -= ENUMS - 1;
    if feature < INTS {
        let max = int_max(feature);
        let part = |rng: &mut fastrand::Rng| rng.i64(max / 5..=max * 3 / 5);
        return match rng.u32(0..4) {
            0 => Ask::AtLeast { int: feature, low: max - part(rng) },
            1 => Ask::Below { int: feature, high: part(rng) },
            _ => {
                let width = part(rng);
                let low = rng.i64(0..=max - width);
                Ask::Between { int: feature, low, high: low + width }
            }
        };
    }
    let float = feature - INTS;
    let part = rng.u32(FLOAT_STEPS / 5..=FLOAT_STEPS * 3 / 5);
    match rng.bool() {
        true => Ask::FloatAbove { float, low: FLOAT_STEPS - part },
        false => Ask::FloatAtMost { float, high: part },
    }
}
