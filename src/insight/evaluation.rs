//! What another policy would have brought, estimated from a log of decisions with their propensities.

/// 97.5 % of a standard normal distribution lie below this value.
const QUANTILE: f64 = 1.959_963_984_540_054;

/// The least probability other than 0. With a smaller one, the square of a weight would leave the range of
/// numbers, and an estimate would be no number.
pub const LEAST_PROBABILITY: f64 = 1e-50;
/// The most that a reward may be, and minus the least, for the same reason.
pub const MOST_REWARD: f64 = 1e50;
const A_REWARD: &str = "expected a number from -1e50 to 1e50";

/// One logged decision: how it was chosen, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Logged {
    /// What the choice brought, in any unit.
    pub reward: f64,
    /// The probability with which it was chosen; more than 0.
    pub propensity: f64,
    /// The probability with which the new policy would have chosen it.
    pub target: f64,
    /// The reward that a model expects, for the doubly robust estimate.
    pub model: Option<ExpectedReward>,
}

/// A reward as a model expects it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpectedReward {
    /// The expected reward of the choice that was made.
    pub logged: f64,
    /// The expected reward of the new policy: over all choices, weighted by its probabilities.
    pub target: f64,
}

/// Takes in a log decision by decision, in constant memory.
#[derive(Debug, Clone, Default)]
pub struct Evaluation {
    count: u64,
    modelled: u64,
    largest: f64,
    largest_at: u64,
    reward: Moments,
    weight: Moments,
    weighted: Moments,
    /// The sum of the products of the deviations of weight and weighted reward.
    product: f64,
    robust: Moments,
}

/// A mean reward with its uncertainty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The expected reward of one decision.
    pub value: f64,
    /// The standard error of `value`.
    pub error: f64,
}

/// What a log says about the new policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimates {
    /// The number of decisions in the log.
    pub count: u64,
    /// What the logged policy brought.
    pub logged: Estimate,
    /// Inverse propensity score: the mean of weight × reward.
    pub ips: Estimate,
    /// The same divided by the mean weight (self-normalised): a little bias for much less variance.
    pub snips: Estimate,
    /// Doubly robust: the model's expectation plus the weighted mean of its errors. `None` unless every
    /// decision has a model's expectation.
    pub dr: Option<Estimate>,
    /// The mean weight; its expectation is 1.
    pub weight: Estimate,
    /// How many decisions of the new policy the log is worth (Kish: sum² / sum of squares of the weights).
    pub effective: f64,
    /// The largest weight of any decision.
    pub largest: f64,
    /// The position of the first decision with that weight, as given to [`Evaluation::add`].
    pub largest_at: u64,
}

/// Mean and sum of squared deviations, updated by Welford's method.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    mean: f64,
    squares: f64,
}

impl Logged {
    /// Checks the decision.
    ///
    /// # Errors
    /// The part that is wrong, and what it must be: a propensity from [`LEAST_PROBABILITY`] to 1, a target of
    /// 0 or within the same bounds, and rewards up to [`MOST_REWARD`].
    pub fn check(&self) -> Result<(), (LoggedPart, &'static str)> {
        let Logged { reward, propensity, target, model } = *self;
        if !is_reward(reward) {
            return Err((LoggedPart::Reward, A_REWARD));
        }
        if propensity == 0.0 {
            return Err((
                LoggedPart::Propensity,
                "expected more than 0: what is never chosen is never logged",
            ));
        }
        if !(LEAST_PROBABILITY..=1.0).contains(&propensity) {
            return Err((LoggedPart::Propensity, "expected a probability from 1e-50 to 1"));
        }
        if target != 0.0 && !(LEAST_PROBABILITY..=1.0).contains(&target) {
            return Err((LoggedPart::Target, "expected a probability: 0, or from 1e-50 to 1"));
        }
        match model {
            Some(model) if !is_reward(model.logged) => Err((LoggedPart::Expected, A_REWARD)),
            Some(model) if !is_reward(model.target) => Err((LoggedPart::ExpectedTarget, A_REWARD)),
            _ => Ok(()),
        }
    }
}

/// Whether a reward, or the expectation of one, is within its bounds.
fn is_reward(reward: f64) -> bool {
    reward.abs() <= MOST_REWARD // which no NaN is
}

/// A part of a logged decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoggedPart {
    /// The field [`Logged::reward`] is wrong.
    Reward,
    /// The field [`Logged::propensity`] is wrong.
    Propensity,
    /// The field [`Logged::target`] is wrong.
    Target,
    /// The field [`ExpectedReward::logged`] is wrong.
    Expected,
    /// The field [`ExpectedReward::target`] is wrong.
    ExpectedTarget,
}

impl Evaluation {
    /// Takes in a decision that passed [`Logged::check`]. `at` is its position, for
    /// [`Estimates::largest_at`].
    pub fn add(&mut self, logged: &Logged, at: u64) {
        let weight = logged.target / logged.propensity;
        self.count += 1;
        if weight > self.largest || self.count == 1 {
            (self.largest, self.largest_at) = (weight, at);
        }
        let before = weight - self.weight.mean;
        self.reward.add(logged.reward, self.count);
        self.weight.add(weight, self.count);
        self.weighted.add(weight * logged.reward, self.count);
        self.product += before * (weight * logged.reward - self.weighted.mean);
        if let Some(model) = logged.model {
            self.modelled += 1;
            self.robust.add(model.target + weight * (logged.reward - model.logged), self.modelled);
        }
    }

    /// What the log says. `None` with fewer than two decisions, or if the new policy would have made none
    /// of the choices in the log.
    ///
    /// Standard errors are those of a mean of independent decisions. The self-normalised estimate is a
    /// quotient of means; its error is of first order (delta method).
    pub fn estimates(&self) -> Option<Estimates> {
        let n = self.count as f64;
        if self.count < 2 || self.weight.mean <= 0.0 {
            return None;
        }
        let estimate = |moments: &Moments| Estimate { value: moments.mean, error: moments.error(n) };
        let snips = self.weighted.mean / self.weight.mean;
        let squares =
            self.weighted.squares - 2.0 * snips * self.product + snips * snips * self.weight.squares;
        let residual = Moments { mean: 0.0, squares: squares.max(0.0) };
        let mean_square = self.weight.squares / n + self.weight.mean * self.weight.mean;
        Some(Estimates {
            count: self.count,
            logged: estimate(&self.reward),
            ips: estimate(&self.weighted),
            snips: Estimate { value: snips, error: residual.error(n) / self.weight.mean },
            dr: (self.modelled == self.count).then(|| estimate(&self.robust)),
            weight: estimate(&self.weight),
            effective: n * self.weight.mean * self.weight.mean / mean_square,
            largest: self.largest,
            largest_at: self.largest_at,
        })
    }
}

impl Estimate {
    /// The interval that covers the true value for 95 of 100 logs, by the normal approximation.
    pub fn interval(&self) -> (f64, f64) {
        (self.value - QUANTILE * self.error, self.value + QUANTILE * self.error)
    }
}

impl Moments {
    /// Adds a value; `count` is how many there are with it.
    fn add(&mut self, value: f64, count: u64) {
        let before = value - self.mean;
        self.mean += before / count as f64;
        self.squares += before * (value - self.mean);
    }

    /// The standard error of the mean of `n` values.
    fn error(&self, n: f64) -> f64 {
        (self.squares / (n - 1.0) / n).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(reward: f64, propensity: f64, target: f64) -> Logged {
        Logged { reward, propensity, target, model: None }
    }

    #[track_caller]
    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{found}, expected {expected}");
    }

    #[test]
    fn estimates_are_their_definitions() {
        let log = [(1.0, 0.5, 0.25), (0.0, 0.25, 0.75), (1.0, 0.2, 0.4), (3.0, 0.4, 0.1), (0.5, 1.0, 0.0)];
        let model = [(0.5, 0.7), (0.1, 0.6), (0.9, 0.5), (2.0, 0.4), (0.5, 0.3)];
        let mut evaluation = Evaluation::default();
        for (i, ((r, p, t), (q, e))) in log.iter().zip(model).enumerate() {
            let model = Some(ExpectedReward { logged: q, target: e });
            evaluation.add(&Logged { model, ..logged(*r, *p, *t) }, 1 + i as u64);
        }
        let found = evaluation.estimates().unwrap();
        let weights: Vec<f64> = log.iter().map(|(_, p, t)| t / p).collect(); // 0.5, 3, 2, 0.25, 0
        let mean = |values: &[f64]| values.iter().sum::<f64>() / 5.0;
        let deviation = |values: &[f64]| {
            let squares: Vec<f64> = values.iter().map(|value| (value - mean(values)).powi(2)).collect();
            (squares.iter().sum::<f64>() / 4.0 / 5.0).sqrt()
        };
        let weighted: Vec<f64> = log.iter().zip(&weights).map(|((r, _, _), w)| r * w).collect();
        near(found.logged.value, 5.5 / 5.0);
        near(found.ips.value, mean(&weighted));
        near(found.ips.error, deviation(&weighted));
        let snips = mean(&weighted) / mean(&weights);
        near(found.snips.value, snips);
        let residuals: Vec<f64> = log.iter().zip(&weights).map(|((r, _, _), w)| w * (r - snips)).collect();
        near(found.snips.error, deviation(&residuals) / mean(&weights));
        let robust: Vec<f64> = (0..5).map(|i| model[i].1 + weights[i] * (log[i].0 - model[i].0)).collect();
        near(found.dr.unwrap().value, mean(&robust));
        near(found.dr.unwrap().error, deviation(&robust));
        near(found.effective, 5.75 * 5.75 / (0.25 + 9.0 + 4.0 + 0.0625));
        assert_eq!((found.largest, found.largest_at, found.count), (3.0, 2, 5));
        let (low, high) = found.ips.interval();
        near(high - low, 2.0 * 1.959_963_984_540_054 * found.ips.error);
    }

    #[test]
    fn what_cannot_be_estimated_is_not() {
        let estimates = |log: &[Logged]| {
            let mut evaluation = Evaluation::default();
            log.iter().for_each(|logged| evaluation.add(logged, 0));
            evaluation.estimates()
        };
        assert_eq!(estimates(&[]), None);
        assert_eq!(estimates(&[logged(1.0, 0.5, 0.5)]), None);
        assert_eq!(estimates(&[logged(1.0, 0.5, 0.0), logged(0.0, 0.5, 0.0)]), None);
        let model = Some(ExpectedReward { logged: 0.1, target: 0.1 });
        let half = [Logged { model, ..logged(1.0, 0.5, 0.5) }, logged(1.0, 0.5, 0.5)];
        assert_eq!(estimates(&half).unwrap().dr, None);
        // The same reward everywhere: after normalising nothing is uncertain, whatever the weights.
        let same: Vec<Logged> = (1..100).map(|i| logged(1e6, f64::from(i) / 100.0, 0.3)).collect();
        let found = estimates(&same).unwrap().snips;
        assert!((found.value - 1e6).abs() < 1e-6 && found.error < 1.0, "{found:?}");
    }

    #[test]
    fn a_part_that_cannot_be_is_named() {
        let check = |logged: Logged| logged.check().err().map(|(part, _)| part);
        assert_eq!(check(logged(1.0, 1.0, 0.0)), None);
        for reward in [f64::NAN, f64::INFINITY, 1e308, -1.1e50] {
            assert_eq!(check(logged(reward, 0.5, 0.5)), Some(LoggedPart::Reward));
        }
        for propensity in [0.0, -0.1, 1.1, 1e-310, 9e-51, f64::NAN] {
            assert_eq!(check(logged(1.0, propensity, 0.5)), Some(LoggedPart::Propensity));
        }
        for target in [-0.1, 1.1, 1e-310, f64::NAN] {
            assert_eq!(check(logged(1.0, 0.5, target)), Some(LoggedPart::Target));
        }
        let model = |logged, target| Some(ExpectedReward { logged, target });
        let with = |model| check(Logged { model, ..logged(1.0, 0.5, 0.5) });
        assert_eq!(with(model(f64::INFINITY, 0.0)), Some(LoggedPart::Expected));
        assert_eq!(with(model(1e51, 0.0)), Some(LoggedPart::Expected));
        assert_eq!(with(model(0.0, f64::NAN)), Some(LoggedPart::ExpectedTarget));
    }

    #[test]
    fn what_is_accepted_gives_numbers() {
        let (rewards, probabilities) = ([-1e50, 0.0, 1.0, 1e50], [1e-50, 0.3, 1.0]);
        let models = [None, Some((-1e50, 1e50)), Some((1e50, -1e50))];
        let mut extremes = Vec::new();
        for reward in rewards {
            for propensity in probabilities {
                for target in probabilities.into_iter().chain([0.0]) {
                    for model in models {
                        let model = model.map(|(logged, target)| ExpectedReward { logged, target });
                        extremes.push(Logged { model, ..logged(reward, propensity, target) });
                    }
                }
            }
        }
        for (at, first) in extremes.iter().enumerate() {
            for second in &extremes[at..] {
                let mut evaluation = Evaluation::default();
                for (at, logged) in [first, second, first].into_iter().enumerate() {
                    assert_eq!(logged.check(), Ok(()), "{logged:?}");
                    evaluation.add(logged, at as u64);
                }
                let Some(found) = evaluation.estimates() else { continue };
                let all = [found.logged, found.ips, found.snips, found.weight].into_iter().chain(found.dr);
                let numbers = all.flat_map(|Estimate { value, error }| [value, error]);
                let numbers: Vec<f64> = numbers.chain([found.effective, found.largest]).collect();
                assert!(numbers.iter().all(|number| number.is_finite()), "{first:?} {second:?}: {found:?}");
            }
        }
    }
}
