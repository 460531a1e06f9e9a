//! Sample ratio mismatch: whether an experiment's arms saw customers in the proportions of its split.
//!
//! If they did not, something loses the customers of one arm: a page that fails, or a client that does not
//! report. Then no difference between the arms can be believed. The test is Pearson's chi-square test.

use statrs::function::gamma::checked_gamma_ur;

/// A split with a p-value below this is called a mismatch. With a threshold this strict, chance seldom
/// causes an alarm even if people look every day (Fabijan et al., *Diagnosing Sample Ratio Mismatch in
/// Online Controlled Experiments*, KDD 2019).
pub const MISMATCH: f64 = 0.001;

/// The fewest customers that each arm with a share must be expected to have; by the usual rule, the test is
/// valid then.
const LEAST_EXPECTED: f64 = 5.0;

/// How well observed counts fit the shares of a split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleRatio {
    /// Pearson's chi-square statistic, at least 0.
    pub statistic: f64,
    /// The probability that chance alone leads to counts at least this far from the shares.
    pub p_value: f64,
}

impl SampleRatio {
    /// Whether customers are not split as intended.
    pub fn is_mismatch(&self) -> bool {
        self.p_value < MISMATCH
    }
}

/// How far counts lie from the shares of a split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Deviation {
    /// Pearson's chi-square statistic, at least 0.
    pub statistic: f64,
    /// Its degrees of freedom, at least 1.
    pub freedom: usize,
}

/// Deviations of independent counts, each from shares of its own: the sum of chi-square statistics is one,
/// with the sum of their degrees of freedom.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RatioSum {
    statistic: f64,
    freedom: usize,
    stretches: usize,
}

impl RatioSum {
    /// The sum with one more; unchanged without a deviation, where nothing could be said.
    #[must_use]
    pub fn and(self, deviation: Option<Deviation>) -> RatioSum {
        let Some(Deviation { statistic, freedom }) = deviation else { return self };
        RatioSum {
            statistic: self.statistic + statistic,
            freedom: self.freedom + freedom,
            stretches: self.stretches + 1,
        }
    }

    /// How many deviations it is of.
    pub fn stretches(&self) -> usize {
        self.stretches
    }

    /// The test of all together; `None` if there are none.
    pub fn ratio(&self) -> Option<SampleRatio> {
        let RatioSum { statistic, freedom, stretches } = *self;
        (stretches > 0).then(|| SampleRatio { statistic, p_value: chance_beyond(freedom, statistic) })
    }
}

/// Tests counts of distinct customers, one for each arm, against the arms' shares in any unit.
///
/// It returns `None` where nothing can be said: the lists differ in length, a share is negative or not a
/// number, fewer than two arms have a share, or one of these is expected to have fewer than five customers.
///
/// ```
/// use usher::insight::sample_ratio::sample_ratio;
/// assert!(!sample_ratio(&[5_021, 4_979], &[50.0, 50.0]).unwrap().is_mismatch());
/// assert!(sample_ratio(&[5_210, 4_790], &[50.0, 50.0]).unwrap().is_mismatch());
/// ```
pub fn sample_ratio(observed: &[u64], shares: &[f64]) -> Option<SampleRatio> {
    RatioSum::default().and(deviation(observed, shares)).ratio()
}

/// How far counts lie from shares in any unit; `None` where [`sample_ratio`] says nothing.
pub fn deviation(observed: &[u64], shares: &[f64]) -> Option<Deviation> {
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
                statistic = f64::INFINITY; // nobody can be there
            }
        } else if expected < LEAST_EXPECTED {
            return None;
        } else {
            statistic += (*count as f64 - expected).powi(2) / expected;
        }
    }
    let freedom = arms.checked_sub(1).filter(|freedom| *freedom > 0)?;
    Some(Deviation { statistic, freedom })
}

/// The probability that a chi-square variable with this many degrees of freedom (at least 1) exceeds
/// `statistic`.
fn chance_beyond(freedom: usize, statistic: f64) -> f64 {
    if statistic <= 0.0 {
        return 1.0;
    }
    // It refuses only infinity, which means that a customer is in an arm without a share.
    checked_gamma_ur(freedom as f64 / 2.0, statistic / 2.0).map_or(0.0, |chance| chance.clamp(0.0, 1.0))
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
                let found = chance_beyond(freedom, statistic);
                assert!((found / p - 1.0).abs() < 1e-3, "{freedom} {statistic}: {found}");
            }
        }
    }

    #[test]
    fn with_two_degrees_of_freedom_it_is_the_exponential_function() {
        for tenths in 1..2_000 {
            let x = f64::from(tenths) / 10.0;
            let (found, exact) = (chance_beyond(2, 2.0 * x), (-x).exp());
            assert!((found - exact).abs() <= exact * 1e-11, "{x}: {found} {exact}");
        }
    }

    #[test]
    fn it_agrees_with_closed_forms_for_every_number_of_arms() {
        // For whole n, Q(n, x) is the chance of fewer than n events of a Poisson process: e^-x Σ x^k / k!.
        for n in 1..20_usize {
            for tenths in 1..1_000 {
                let x = f64::from(tenths) / 10.0;
                let (mut term, mut exact) = ((-x).exp(), 0.0);
                for k in 1..=n {
                    exact += term;
                    term *= x / k as f64;
                }
                let found = chance_beyond(2 * n, 2.0 * x);
                assert!((found - exact).abs() <= 1e-9 * exact, "{n} {x}: {found} {exact}");
            }
        }
    }

    #[test]
    fn p_values_are_those_of_the_earlier_computation() {
        // Results of the series of DLMF 8.7.1 and the continued fraction 8.9.2, which were used before, on
        // both sides of where they met.
        for (freedom, statistic, before) in [
            (1, 0.1, 0.7518296340458492),
            (1, 2.0, 0.15729920705028488),
            (1, 4.0, 0.045500263896358355),
            (1, 4.0, 0.045500263896358355),
            (2, 0.2, 0.9048374180359595),
            (2, 3.0, 0.22313016014843),
            (2, 5.0, 0.0820849986238988),
            (2, 8.0, 0.018315638888734182),
            (3, 0.3, 0.9600284803068776),
            (3, 4.0, 0.2614641299491105),
            (3, 6.0, 0.11161022509471284),
            (3, 12.0, 0.00738316050535977),
            (5, 0.5, 0.9921232932326296),
            (5, 6.0, 0.3062189184132783),
            (5, 8.0, 0.1562356275777225),
            (5, 20.0, 0.0012497305630313775),
            (9, 0.9, 0.9996354706042818),
            (9, 10.0, 0.35048521232336194),
            (9, 12.0, 0.21330930508341642),
            (9, 36.0, 3.964658798042842e-05),
            (15, 1.5, 0.9999957366655355),
            (15, 16.0, 0.3820516615028645),
            (15, 18.0, 0.2626655606723222),
            (15, 60.0, 2.522085078696141e-07),
            (39, 3.9, 0.9999999999998684),
            (39, 40.0, 0.4255594016439398),
            (39, 42.0, 0.342205863116086),
            (39, 156.0, 6.328871943413678e-16),
        ] {
            let found = chance_beyond(freedom, statistic);
            assert!((found - before).abs() < 1e-9, "{freedom} {statistic}: {found} {before}");
        }
    }

    #[test]
    fn a_mismatch_is_told_from_chance() {
        // The first is the example of Fabijan et al.: 821,588 against 815,482 visitors with an even split.
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
        // Each salt is an experiment with an even split of 2,000 customers. At 1 %, about 5 of 500 are
        // beyond.
        let (salts, most) = crate::testing::rounds((200, 8), (500, 14));
        let beyond = (0..salts).filter(|salt| {
            let salt = salt.to_string();
            let ones = (0..2_000)
                .filter(|i| crate::expression::arm::slot(&salt, &format!("c-{i}")) < 5_000)
                .count() as u64;
            sample_ratio(&[ones, 2_000 - ones], &[1.0, 1.0]).unwrap().p_value < 0.01
        });
        let beyond = beyond.count();
        assert!(beyond <= most, "{beyond}");
    }
}
