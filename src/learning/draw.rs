//! Drawing with given probabilities, in a way that anyone can repeat.

/// The index that chance `u` chooses, where 0 ≤ `u` < 1: index i with probability `probabilities[i]`. An
/// index without probability is never chosen. An empty list gives 0.
pub fn draw(probabilities: &[f64], u: f64) -> usize {
    let mut below = 0.0;
    let mut chosen = 0;
    for (i, probability) in probabilities.iter().enumerate().filter(|(_, probability)| **probability > 0.0) {
        chosen = i;
        below += probability;
        if u < below {
            break;
        }
    }
    chosen // the last one, should rounding leave the sum a little under 1
}

/// An evenly spread number x, 0 ≤ x < 1, that belongs to a decision's seed, a placement and a rank on it.
///
/// It is the output of SplitMix64 (Steele, Lea and Flood 2014), the upper 53 bits over 2⁵³, for the state
/// `mix(seed) + (placement × 2³² + rank)`. `mix(seed)` is SplitMix64's output for the state `seed`.
/// In Python:
///
/// ```text
/// def splitmix(x):
///     x = (x + 0x9E3779B97F4A7C15) % 2**64
///     x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
///     x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
///     return x ^ x >> 31
/// uniform = (splitmix((splitmix(seed) + placement * 2**32 + rank) % 2**64) >> 11) / 2**53
/// ```
pub fn uniform(seed: u64, placement: u32, rank: u32) -> f64 {
    let place = u64::from(placement) << 32 | u64::from(rank);
    let bits = splitmix(splitmix(seed).wrapping_add(place));
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

fn splitmix(state: u64) -> u64 {
    let mut x = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_drawn_for_its_share_of_chance() {
        let shares = [0.0, 0.25, 0.0, 0.5, 0.25, 0.0];
        for (u, chosen) in [(0.0, 1), (0.249, 1), (0.25, 3), (0.749, 3), (0.75, 4), (0.999_999, 4)] {
            assert_eq!(draw(&shares, u), chosen, "{u}");
        }
        assert_eq!(draw(&[0.1, 0.2, 0.0], 0.999), 1, "a sum under 1 is no reason to choose the impossible");
        assert_eq!((draw(&[], 0.5), draw(&[0.0], 0.5)), (0, 0));
    }

    #[test]
    fn chance_can_be_repeated() {
        // SplitMix64's published outputs for the seed 1234567.
        assert_eq!(splitmix(1_234_567), 6_457_827_717_110_365_317);
        let second = 1_234_567_u64.wrapping_add(0x9E37_79B9_7F4A_7C15);
        assert_eq!(splitmix(second), 3_203_168_211_198_807_973);
        assert_eq!(uniform(7, 3, 1), uniform(7, 3, 1));
        assert_ne!(uniform(7, 3, 1), uniform(7, 3, 2));
        assert_ne!(uniform(7, 3, 1), uniform(7, 4, 1));
        assert_ne!(uniform(7, 3, 1), uniform(8, 3, 1));
    }

    #[test]
    fn chance_is_even_over_seeds_placements_and_ranks() {
        // 100 cells, 100,000 numbers each way. Chi-square with 99 degrees of freedom exceeds 149 once in
        // 1,000 times.
        let even = |number: &dyn Fn(u32) -> f64| {
            let mut cells = [0_u32; 100];
            (0..100_000).for_each(|i| cells[(number(i) * 100.0) as usize] += 1);
            let chi: f64 = cells.iter().map(|n| (f64::from(*n) - 1_000.0).powi(2) / 1_000.0).sum();
            assert!(chi < 149.0, "{chi}");
        };
        even(&|i| uniform(u64::from(i), 0, 1));
        even(&|i| uniform(u64::from(i) << 32, 0, 1));
        even(&|i| uniform(1, i, 1));
        even(&|i| uniform(1, 1, i));
    }
}
