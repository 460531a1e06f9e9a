//! Thompson's rule: choose each offer with the probability that it is the best one (Thompson 1933).

use super::curve::Curve;
use super::{Posterior, draw};

/// The most candidates that are compared: those with the best expected scores. The others get only their
/// share of the floor.
pub const MAX_LEARNED: usize = 64;

/// When a range of scores is cut. What is *at stake* in a range is the probability that the best score lies
/// there, minus the part of the candidate with the largest share of it. With `LITTLE` at stake or less, the
/// range is not cut; with `MUCH` at stake it always is. With `SOME` at stake it is cut if most (`STEEP`) of
/// one candidate's distribution lies there, since its middle would go unseen.
const LITTLE: f64 = 5e-4;
const SOME: f64 = 0.002;
const MUCH: f64 = 0.1;
const STEEP: f64 = 0.3;
/// A range is cut no further if its halves add up to the whole within this, for every candidate.
const CHANGE: f64 = 5e-4;
/// How often a range may be cut in half, and the most ranges that are looked at.
const MAX_DEPTH: usize = 40;
const MAX_RANGES: usize = 512;
/// The two Gauss-Legendre points of the range from 0 to 1.
const POINTS: [f64; 2] = [0.211_324_865_405_187_1, 0.788_675_134_594_812_9];

/// An offer that may be chosen, by what is known of its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Candidate {
    /// A fixed score: nothing needs to be learned. A negative number or NaN counts as 0.
    Known(f64),
    /// A chance that is still being learned, times a weight.
    Learned {
        /// The belief about the chance.
        posterior: Posterior,
        /// Value × boost. A negative number or NaN counts as 0.
        weight: f64,
    },
}

/// Computes the probability that each of several candidates is the best, and keeps its memory for the next
/// call.
///
/// The distribution of the best score is integrated numerically. The axis of scores is cut where candidates
/// compete; within a range, every distribution function counts as a linear function of every other. Compared
/// with an accurate integration (see the test), a probability is off by 0.0001 on average and by 0.005 at
/// worst. This affects how closely Thompson's rule is followed. It does not affect the logged propensity,
/// because the draw uses these same probabilities.
#[derive(Debug, Default)]
pub struct Thompson {
    probabilities: Vec<f64>,
    /// Indices of the candidates that are compared.
    chosen: Vec<u32>,
    arms: Vec<Contender>,
    /// Rows with one number for each contender: distribution functions at a score, or shares in a range of
    /// scores.
    rows: Vec<f64>,
    /// Ranges looked at so far.
    ranges: usize,
}

/// A range of scores on a logarithmic axis, and where its rows begin.
struct Range {
    start: f64,
    end: f64,
    left: usize,
    right: usize,
    shares: usize,
}

/// A candidate that may turn out to be the best.
#[derive(Debug)]
struct Contender {
    candidate: u32,
    weight: f64,
    /// One over `weight`, computed once.
    per_weight: f64,
    curve: Curve,
}

impl Candidate {
    /// The expected score, at least 0.
    pub fn mean(self) -> f64 {
        match self {
            Candidate::Known(score) => sound(score),
            Candidate::Learned { posterior, weight } => sound(posterior.mean() * sound(weight)),
        }
    }
}

impl Thompson {
    /// The probability of choosing each candidate; they sum to 1. With `floor` f (0 to 1) and K candidates,
    /// each has at least f/K: p = (1 − f) × P(it is the best) + f/K.
    ///
    /// Candidates that are best together share: equal known scores, and candidates whose weights are all 0.
    pub fn probabilities(&mut self, candidates: &[Candidate], floor: f64) -> &[f64] {
        self.probabilities.clear();
        self.probabilities.resize(candidates.len(), 0.0);
        self.look_at_the_best(candidates);
        let known = self.best_known(candidates);
        self.enter(candidates, known);
        self.share(candidates, known);
        let sum: f64 = self.probabilities.iter().sum();
        let floor = if floor > 0.0 { floor.min(1.0) } else { 0.0 };
        let least = floor / candidates.len().max(1) as f64;
        for probability in &mut self.probabilities {
            *probability = (1.0 - floor) * *probability / sum + least;
        }
        &self.probabilities
    }

    /// One candidate, drawn by chance `u` (0 ≤ `u` < 1), and the probability that it had. `None` if there
    /// are none.
    pub fn choose(&mut self, candidates: &[Candidate], floor: f64, u: f64) -> Option<(usize, f64)> {
        let probabilities = self.probabilities(candidates, floor);
        let chosen = draw(probabilities, u);
        probabilities.get(chosen).map(|probability| (chosen, *probability))
    }

    fn look_at_the_best(&mut self, candidates: &[Candidate]) {
        self.chosen.clear();
        self.chosen.extend(0..candidates.len() as u32);
        if candidates.len() > MAX_LEARNED {
            let mean = |i: u32| candidates[i as usize].mean();
            let order = |a: &u32, b: &u32| mean(*b).total_cmp(&mean(*a)).then(a.cmp(b));
            self.chosen.select_nth_unstable_by(MAX_LEARNED, order);
            self.chosen.truncate(MAX_LEARNED);
            self.chosen.sort_unstable();
        }
    }

    /// The best known score. A chance with weight 0 has a known score too: 0.
    fn best_known(&self, candidates: &[Candidate]) -> Option<f64> {
        let known = self.chosen.iter().filter_map(|i| known_score(candidates[*i as usize]));
        known.fold(None, |best, score| Some(best.map_or(score, |best: f64| best.max(score))))
    }

    /// Gathers the contenders: candidates still being learned that may beat the best known score.
    fn enter(&mut self, candidates: &[Candidate], known: Option<f64>) {
        self.arms.clear();
        let mut least = known.unwrap_or(0.0);
        for candidate in &self.chosen {
            let Candidate::Learned { posterior, weight } = candidates[*candidate as usize] else { continue };
            let weight = sound(weight);
            let curve = Curve::new(posterior);
            if weight * curve.ends().1 > least {
                least = least.max(weight * curve.ends().0);
                self.arms.push(Contender {
                    candidate: *candidate,
                    weight,
                    per_weight: weight.recip(),
                    curve,
                });
            }
        }
        self.arms.retain(|arm| arm.weight * arm.curve.ends().1 > least);
    }

    /// Shares out the probability of being the best. What lies below the best known score goes to that one.
    fn share(&mut self, candidates: &[Candidate], known: Option<f64>) {
        let rest = match (known, &mut self.arms[..]) {
            (None, [only]) => {
                self.probabilities[only.candidate as usize] = 1.0;
                return;
            }
            (_, arms) => {
                arms.iter_mut().for_each(|arm| arm.curve.tabulate());
                known.map_or(0.0, |score| arms.iter().map(|arm| arm.below(score)).product())
            }
        };
        let is_best = |i: &&u32| known.is_some() && known_score(candidates[**i as usize]) == known;
        let ties = self.chosen.iter().filter(is_best).count() as f64;
        for i in self.chosen.iter().filter(is_best) {
            self.probabilities[*i as usize] = rest / ties;
        }
        let end = |end: fn((f64, f64)) -> f64| {
            self.arms.iter().map(move |arm| arm.weight * end(arm.curve.ends())).fold(0.0, f64::max)
        };
        let from = end(|(low, _)| low).max(known.unwrap_or(0.0)).max(f64::MIN_POSITIVE);
        let to = end(|(_, high)| high);
        if to > from && !self.arms.is_empty() {
            self.integrate(from, to);
        }
    }

    /// Adds for each contender the probability that its score is the best and above `from`.
    fn integrate(&mut self, from: f64, to: f64) {
        self.rows.clear();
        let left = self.push_row(from);
        let right = self.rows.len();
        self.rows.resize(right + self.arms.len(), 1.0); // what lies beyond the end is counted with the last range
        let range = Range { start: from.ln(), end: to.ln(), left, right, shares: self.rows.len() };
        self.push_shares(left, right);
        self.ranges = 0;
        self.refine(&range, 0);
    }

    /// Adds for each contender the probability that the best score is its own and in this range. The range
    /// is cut in half on the logarithmic axis. Unless the halves say nearly what the whole said, each half
    /// is refined in turn.
    fn refine(&mut self, range: &Range, depth: usize) {
        let arms = self.arms.len();
        self.ranges += 1;
        let whole = range.shares..range.shares + arms;
        let stake = at_stake(&self.rows[whole.clone()]);
        if stake <= LITTLE || depth >= MAX_DEPTH || self.ranges > MAX_RANGES {
            for (arm, share) in self.arms.iter().zip(&self.rows[whole]) {
                self.probabilities[arm.candidate as usize] += share;
            }
            return;
        }
        let cut = range.start + (range.end - range.start) / 2.0;
        let middle = self.push_row(cut.exp());
        let lower = Range { end: cut, right: middle, shares: self.rows.len(), ..*range };
        self.push_shares(lower.left, lower.right);
        let upper = Range { start: cut, left: middle, shares: self.rows.len(), ..*range };
        self.push_shares(upper.left, upper.right);
        let halves = |i: usize| self.rows[lower.shares + i] + self.rows[upper.shares + i];
        let differ = |i: usize| (halves(i) - self.rows[range.shares + i]).abs();
        let rises = |i: usize| self.rows[range.right + i] - self.rows[range.left + i];
        let told = stake <= SOME || (stake <= MUCH && (0..arms).all(|i| rises(i) <= STEEP));
        if told && (0..arms).all(|i| differ(i) <= CHANGE) {
            for (i, arm) in self.arms.iter().enumerate() {
                // The error is of second order in a range's length: a third of the difference removes most
                // of it.
                let share = halves(i) + (halves(i) - self.rows[range.shares + i]) / 3.0;
                self.probabilities[arm.candidate as usize] += share.max(0.0);
            }
        } else {
            self.refine(&lower, depth + 1);
            self.refine(&upper, depth + 1);
        }
        self.rows.truncate(middle);
    }

    /// Appends the distribution functions of all contenders at a score.
    fn push_row(&mut self, score: f64) -> usize {
        let row = self.rows.len();
        self.rows.extend(self.arms.iter().map(|arm| arm.below(score)));
        row
    }

    /// Appends for each contender the probability that the best score is its own and lies in a range.
    /// `left` and `right` are the rows of distribution functions at the range's ends; between them they
    /// count as straight lines.
    fn push_shares(&mut self, left: usize, right: usize) {
        let arms = self.arms.len();
        let shares = self.rows.len();
        self.rows.resize(shares + arms, 0.0);
        let (edges, shares) = self.rows.split_at_mut(shares);
        let edges = || edges[left..left + arms].iter().zip(&edges[right..right + arms]);
        for t in POINTS {
            let all: f64 = edges().map(|(left, right)| left + t * (right - left)).product();
            if all > 0.0 {
                for (share, (left, right)) in shares.iter_mut().zip(edges()) {
                    *share += 0.5 * (right - left) * all / (left + t * (right - left));
                }
            }
        }
    }
}

impl Contender {
    /// The probability that this contender's score is at most `score`.
    fn below(&self, score: f64) -> f64 {
        self.curve.below(score * self.per_weight)
    }
}

/// The sum of the shares without the largest one.
fn at_stake(shares: &[f64]) -> f64 {
    let (sum, most) =
        shares.iter().fold((0.0, 0.0_f64), |(sum, most), share| (sum + share, most.max(*share)));
    sum - most
}

fn known_score(candidate: Candidate) -> Option<f64> {
    match candidate {
        Candidate::Known(score) => Some(sound(score)),
        Candidate::Learned { weight, .. } => (sound(weight) == 0.0).then_some(0.0),
    }
}

/// The number itself, or 0 for a negative number or NaN.
fn sound(x: f64) -> f64 {
    if x > 0.0 { x.min(1e100) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::curve::tests::{incomplete_beta, ln_gamma};
    use super::*;

    fn learned(yes: f64, no: f64, weight: f64) -> Candidate {
        Candidate::Learned { posterior: Posterior { yes, no }, weight }
    }

    #[track_caller]
    fn check(candidates: &[Candidate], expected: &[f64], tolerance: f64) {
        let mut thompson = Thompson::default();
        let found = thompson.probabilities(candidates, 0.0);
        let sum: f64 = found.iter().sum();
        assert!(found.is_empty() || (sum - 1.0).abs() < 1e-12, "{found:?}");
        let near = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() <= tolerance);
        assert!(near && found.len() == expected.len(), "{candidates:?}: {found:?}, expected {expected:?}");
    }

    #[test]
    fn what_needs_no_integral_is_exact() {
        use Candidate::Known;
        check(&[], &[], 0.0);
        check(&[learned(1.0, 9.0, 2.0)], &[1.0], 0.0);
        check(&[Known(0.0)], &[1.0], 0.0);
        check(&[Known(1.0), Known(3.0), Known(2.0)], &[0.0, 1.0, 0.0], 0.0);
        check(&[Known(3.0), Known(3.0), Known(2.0)], &[0.5, 0.5, 0.0], 0.0);
        check(&[Known(f64::NAN), Known(-1.0), learned(3.0, 4.0, 0.0)], &[1.0 / 3.0; 3], 1e-15);
        check(&[learned(3.0, 4.0, 0.0), learned(1.0, 90.0, 1.0)], &[0.0, 1.0], 0.0);
        check(&[learned(3.0, 4.0, f64::NAN), learned(1.0, 90.0, -2.0)], &[0.5, 0.5], 0.0);
        check(&[learned(1.0, 1.0, 1.0), Known(1.0)], &[0.0, 1.0], 0.0);
        check(&[learned(1.0, 1.0, 1.0), Known(0.0)], &[1.0, 0.0], 0.0);
    }

    #[test]
    fn equals_share_equally() {
        for (yes, no) in
            [(0.05, 0.05), (0.5, 0.5), (1.0, 1.0), (1.0, 99.0), (50.0, 3.0), (1e6, 1e8), (1e15, 1e15)]
        {
            for n in [2, 3, 20, MAX_LEARNED] {
                check(&vec![learned(yes, no, 7.0); n], &vec![1.0 / n as f64; n], 1e-12);
            }
        }
    }

    #[test]
    fn closed_forms_come_out() {
        // A uniform chance over a known score; two uniform chances, one worth twice the other.
        check(&[learned(1.0, 1.0, 1.0), Candidate::Known(0.7)], &[0.3, 0.7], 1e-4);
        check(&[learned(1.0, 1.0, 1.0), learned(1.0, 1.0, 2.0)], &[0.25, 0.75], 1e-3);
        // x^a against x^b: a / (a + b).
        check(&[learned(3.0, 1.0, 1.0), learned(1.0, 1.0, 1.0)], &[0.75, 0.25], 1e-3);
        // Counts that leave no doubt, and counts beyond all bounds.
        check(&[learned(1e5, 1e7, 1.0), learned(1.1e5, 1e7, 1.0)], &[0.0, 1.0], 1e-6);
        check(&[learned(1e17, 1e19, 1.0), learned(1.1e17, 1e19, 1.0)], &[0.0, 1.0], 1e-6);
        // One chance known well against one unknown: P(uniform > 0.01) = 0.99.
        check(&[learned(1e6, 99e6, 1.0), learned(1.0, 1.0, 1.0)], &[0.01, 0.99], 1e-3);
    }

    #[test]
    fn the_floor_is_everyones_and_beyond_the_bound_its_all_there_is() {
        let mut thompson = Thompson::default();
        let sure = [Candidate::Known(1.0), Candidate::Known(0.0)];
        assert_eq!(thompson.probabilities(&sure, 0.25), [0.875, 0.125]);
        assert_eq!(thompson.probabilities(&sure, 7.0), [0.5, 0.5]);
        let mut many: Vec<Candidate> = (0..100).map(|i| learned(2.0 + f64::from(i), 98.0, 1.0)).collect();
        many.rotate_left(50); // the best stand in the middle
        let found = thompson.probabilities(&many, 0.2);
        assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        for (i, probability) in found.iter().enumerate() {
            let outside = (i + 50) % 100 < 100 - MAX_LEARNED;
            assert!(
                *probability >= 0.002 - 1e-15 && (!outside || *probability == 0.002),
                "{i} {probability}"
            );
        }
    }

    #[test]
    fn a_choice_has_the_probability_that_is_said() {
        let candidates = [learned(3.0, 40.0, 1.0), learned(2.0, 30.0, 1.5), Candidate::Known(0.08)];
        let mut thompson = Thompson::default();
        let expected = thompson.probabilities(&candidates, 0.05).to_vec();
        let mut counts = [0.0; 3];
        for seed in 0..20_000 {
            let (chosen, probability) =
                thompson.choose(&candidates, 0.05, super::super::uniform(seed, 1, 1)).unwrap();
            assert_eq!(probability, expected[chosen]);
            counts[chosen] += 1.0 / 20_000.0;
        }
        for (count, expected) in counts.iter().zip(&expected) {
            assert!((count - expected).abs() < 0.01, "{counts:?} {expected:?}");
        }
        assert_eq!(thompson.choose(&[], 0.1, 0.5), None);
    }

    /// The same probabilities by brute force: accurate densities and distribution functions on 4,000 points
    /// of a logit axis.
    fn reference(candidates: &[(f64, f64, f64)]) -> Vec<f64> {
        const STEPS: usize = 4_000;
        let mut probabilities = Vec::new();
        for (i, (yes, no, weight)) in candidates.iter().enumerate() {
            let middle = (yes / no).ln();
            let reach = |a: f64| 16.0 / a + 8.0 * (1.0 / yes + 1.0 / no).sqrt();
            let (from, to) = (middle - reach(*yes), (middle + reach(*no)).min(36.0));
            let step = (to - from) / STEPS as f64;
            let ln_beta = ln_gamma(*yes) + ln_gamma(*no) - ln_gamma(yes + no);
            let sum: f64 = (0..STEPS)
                .map(|k| {
                    let y = from + (k as f64 + 0.5) * step;
                    let x = 1.0 / (1.0 + (-y).exp());
                    let density = (yes * y - (yes + no) * y.exp().ln_1p() - ln_beta).exp();
                    let others = candidates.iter().enumerate().filter(|(j, _)| *j != i);
                    let best = others.map(|(_, (a, b, w))| incomplete_beta(*a, *b, x * weight / w));
                    density * step * best.product::<f64>()
                })
                .sum();
            probabilities.push(sum);
        }
        let sum: f64 = probabilities.iter().sum();
        assert!((sum - 1.0).abs() < 2e-5, "the reference sums to {sum}: {candidates:?}");
        probabilities
    }

    /// Random candidates: how many, how much is known of each, and how close they are varies.
    fn random_case(case: u64) -> Vec<(f64, f64, f64)> {
        let mut rank = 0;
        let mut next = || {
            rank += 1;
            super::super::uniform(case, 99, rank)
        };
        let n = 2 + (next() * 6.0) as usize;
        let (base, nearness) = (10_f64.powf(-3.0 * next()) * 0.6, next() * 2.0);
        let most = next() * 5.0;
        (0..n)
            .map(|_| {
                let rate = (base * (nearness * (next() - 0.5)).exp()).min(0.9);
                let count = 10_f64.powf(most * next());
                let weight = if case.is_multiple_of(2) { 1.0 } else { 10_f64.powf(next() - 0.5) };
                let prior = if case.is_multiple_of(3) { 0.5 } else { 1.0 };
                (prior + count * rate, prior + count * (1.0 - rate), weight)
            })
            .collect()
    }

    #[test]
    fn probabilities_are_those_of_an_accurate_integration() {
        let cases = crate::testing::rounds(10, 2_000);
        let mut thompson = Thompson::default();
        let (mut worst, mut sum, mut count) = ((0.0, Vec::new()), 0.0, 0.0);
        for case in 0..cases {
            let given = random_case(case);
            let expected = reference(&given);
            let candidates: Vec<Candidate> = given.iter().map(|(a, b, w)| learned(*a, *b, *w)).collect();
            let found = thompson.probabilities(&candidates, 0.0);
            for (found, expected) in found.iter().zip(&expected) {
                let error = (found - expected).abs();
                (sum, count) = (sum + error, count + 1.0);
                if error > worst.0 {
                    worst = (error, given.clone());
                }
            }
        }
        println!("{cases} cases: mean error {:.1e}, largest {:.1e} of {:?}", sum / count, worst.0, worst.1);
        assert!(worst.0 < 0.005, "{worst:?}");
    }
}
