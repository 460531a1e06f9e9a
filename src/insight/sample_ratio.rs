//! Sample ratio mismatch: whether the arms of an experiment were seen in the proportions in which customers are split. If not,
//! something loses customers of one arm (a page that fails, a client that does not report), and no difference between the arms
//! can be believed.
//!
//! Pearson's chi-square test. Its p-value is the regularised incomplete gamma function Q(df / 2, statistic / 2), by the series
//! of NIST's Digital Library of Mathematical Functions 8.7.1 and the continued fraction 8.9.2, the latter by Lentz's method (Press
//! et al., *Numerical Recipes*, §5.2 and §6.2).

/// Below this p-value a split is called a mismatch: with a threshold as strict as this, one that is looked at every day is
/// seldom called so by chance (Fabijan et al., *Diagnosing Sample Ratio Mismatch in Online Controlled Experiments*, KDD 2019).
pub const MISMATCH: f64 = 0.001;

/// Observations that each arm with a share must lead to expect, so that the test is valid; the usual rule.
const LEAST_EXPECTED: f64 = 5.0;

/// Terms of the series and of the continued fraction at most. Both need about the square root of the larger of their
/// arguments, and there are few arms.
const MAX_TERMS: usize = 1_000;

/// How well observed counts go with the shares of a split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleRatio {
    /// Pearson's chi-square.
    pub statistic: f64,
    /// How often chance alone would lead to counts at least so far from the shares.
    pub p_value: f64,
}

impl SampleRatio {
    /// Whether the split is not the one that was meant.
    pub fn is_mismatch(&self) -> bool {
        self.p_value < MISMATCH
    }
}

/// Tests counts of distinct customers, one for each arm, against the arms' shares in any unit.
///
/// `None` where nothing can be said: lists that do not go together, a share that is no number or negative, fewer than two arms
/// with a share, or so few observations that fewer than five are expected in one of these.
///
/// ```
/// use usher::insight::sample_ratio;
/// assert!(!sample_ratio(&[5_021, 4_979], &[50.0, 50.0]).unwrap().is_mismatch());
/// assert!(sample_ratio(&[5_210, 4_790], &[50.0, 50.0]).unwrap().is_mismatch());
/// ```
pub fn sample_ratio(observed: &[u64], shares: &[f64]) -> Option<SampleRatio> {
    let usable = |share: &f64| share.is_finite() && *share >= 0.0;
    if observed.len() != shares.len() || !shares.iter().all(usable) {
        return None;
    }
    let arms = shares.iter().filter(|share| **share > 0.0).count();
    let total: f64 = observed.iter().map(|count| *count as f64).sum();
    let whole: f64 = shares.iter().sum();
    let mut statistic = 0.0;
    for (count, share) in observed.iter().zip(shares) {
        let expected = total * share / whole;
        if *share == 0.0 {
            if *count > 0 {
                statistic = f64::INFINITY; // nobody could be there
            }
        } else if expected < LEAST_EXPECTED {
            return None;
        } else {
            statistic += (*count as f64 - expected).powi(2) / expected;
        }
    }
    let freedom = arms.checked_sub(1).filter(|freedom| *freedom > 0)?;
    Some(SampleRatio { statistic, p_value: upper_gamma(freedom, statistic / 2.0) })
}

/// Q(`halves` / 2, `x`): the share of the gamma function's integral that lies beyond `x`.
fn upper_gamma(halves: usize, x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    if x == f64::INFINITY {
        return 0.0;
    }
    let a = halves as f64 / 2.0;
    let scale = (a * x.ln() - x - ln_gamma(halves)).exp();
    let q = if x < a + 1.0 { 1.0 - scale * series(a, x) } else { scale * fraction(a, x) };
    q.clamp(0.0, 1.0)
}

/// The logarithm of Γ(`halves` / 2), from Γ(1) = 1 or Γ(1/2) = √π by Γ(a + 1) = a Γ(a).
fn ln_gamma(halves: usize) -> f64 {
    let start = if halves.is_multiple_of(2) { 0.0 } else { std::f64::consts::PI.ln() / 2.0 };
    let first = 2 - halves % 2;
    (first..halves).step_by(2).fold(start, |sum, twice| sum + (twice as f64 / 2.0).ln())
}

/// Σ xⁿ / (a (a + 1) … (a + n)), which times the scale is 1 − Q; converges fast below a + 1.
fn series(a: f64, x: f64) -> f64 {
    let (mut term, mut sum) = (1.0 / a, 1.0 / a);
    for n in 1..MAX_TERMS {
        term *= x / (a + n as f64);
        sum += term;
        if term < sum * f64::EPSILON {
            break;
        }
    }
    sum
}

/// 1 / (x + 1 − a − 1 (1 − a) / (x + 3 − a − …)), which times the scale is Q; converges fast above a + 1.
fn fraction(a: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300; // in the place of a denominator that is 0
    let apart = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1.0 / TINY, 1.0 / apart(b));
    let mut value = d;
    for n in 1..MAX_TERMS {
        let numerator = -(n as f64) * (n as f64 - a);
        b += 2.0;
        d = 1.0 / apart(numerator * d + b);
        c = apart(b + numerator / c);
        value *= c * d;
        if (c * d - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_are_those_of_the_tables() {
        // Critical values of chi-square, NIST/SEMATECH e-Handbook 1.3.6.7.4, to the three digits given there.
        for (freedom, [p10, p05, p01, p001]) in [
            (1, [2.706, 3.841, 6.635, 10.828]),
            (2, [4.605, 5.991, 9.210, 13.816]),
            (3, [6.251, 7.815, 11.345, 16.266]),
            (9, [14.684, 16.919, 21.666, 27.877]),
            (15, [22.307, 24.996, 30.578, 37.697]),
        ] {
            for (statistic, p) in [(p10, 0.1), (p05, 0.05), (p01, 0.01), (p001, 0.001)] {
                let found = upper_gamma(freedom, statistic / 2.0);
                assert!((found / p - 1.0).abs() < 1e-3, "{freedom} {statistic}: {found}");
            }
        }
    }

    #[test]
    fn with_two_degrees_of_freedom_it_is_the_exponential_function() {
        for tenths in 1..2_000 {
            let x = f64::from(tenths) / 10.0;
            let (found, exact) = (upper_gamma(2, x), (-x).exp());
            assert!((found - exact).abs() <= exact * 1e-11, "{x}: {found} {exact}");
        }
    }

    #[test]
    fn both_ways_to_reckon_agree_where_they_meet() {
        for halves in 1..40 {
            let a = halves as f64 / 2.0;
            for x in [a + 0.5, a + 1.0, a + 1.5] {
                let scale = (a * x.ln() - x - ln_gamma(halves)).exp();
                let (one, other) = (1.0 - scale * series(a, x), scale * fraction(a, x));
                assert!((one - other).abs() < 1e-12, "{halves} {x}: {one} {other}");
            }
        }
    }

    #[test]
    fn a_mismatch_is_told_from_chance() {
        // The first is the example of Fabijan et al.: 821,588 against 815,482 visitors of an even split.
        for (observed, shares, mismatch) in [
            (&[821_588, 815_482][..], &[50.0, 50.0][..], Some(true)),
            (&[500, 500], &[1.0, 1.0], Some(false)),
            (&[520, 480], &[1.0, 1.0], Some(false)),
            (&[560, 440], &[1.0, 1.0], Some(true)),
            (&[250, 250, 501], &[25.0, 25.0, 50.0], Some(false)),
            (&[250, 251, 380], &[25.0, 25.0, 50.0], Some(true)),
            (&[100, 100, 1], &[50.0, 50.0, 0.0], Some(true)),
            (&[100, 100, 0], &[50.0, 50.0, 0.0], Some(false)),
            (&[4, 4], &[50.0, 50.0], None),
            (&[0, 0], &[50.0, 50.0], None),
            (&[100], &[50.0], None),
            (&[100, 100], &[100.0, 0.0], None),
            (&[100, 100], &[50.0], None),
            (&[100, 100], &[f64::NAN, 50.0], None),
            (&[100, 100], &[-1.0, 50.0], None),
            (&[], &[], None),
            (&[u64::MAX, u64::MAX], &[1.0, 1.0], Some(false)),
        ] {
            let found = sample_ratio(observed, shares);
            assert_eq!(found.map(|found| found.is_mismatch()), mismatch, "{observed:?} {shares:?} {found:?}");
        }
    }

    #[test]
    fn chance_is_called_a_mismatch_as_seldom_as_said() {
        // Salts are experiments with an even split of 2,000 customers: at 1 %, about 5 of 500 are beyond.
        let beyond = (0..500).filter(|salt| {
            let salt = salt.to_string();
            let ones = (0..2_000)
                .filter(|i| crate::expression::arm::slot(&salt, &format!("c-{i}")) < 5_000)
                .count() as u64;
            sample_ratio(&[ones, 2_000 - ones], &[1.0, 1.0]).unwrap().p_value < 0.01
        });
        let beyond = beyond.count();
        assert!((0..=14).contains(&beyond), "{beyond}");
    }
}
