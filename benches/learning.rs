//! What learning costs: the probabilities of a choice between 2, 5 and 20 offers, of which more or less is
//! known, and counting an outcome. Each is checked before it is timed: against draws from the posteriors
//! themselves, and against what was counted.
#![allow(missing_docs, clippy::expect_used)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use usher::learning::{Candidate, LEARNED_WORDS, Learned, Pace, Posterior, Thompson, uniform};

/// Sets of candidates used in turn, so that no branch is learned by heart.
const SETS: u32 = 64;
/// Draws from every posterior for the check.
const DRAWS: u32 = 20_000;

/// An offer that was shown 100 to 10,000 times and clicked once in 20 to 100 times; all are worth about the
/// same.
fn offer(set: u32, rank: u32) -> Candidate {
    let chance = |of: u32| uniform(7, set, rank * 4 + of);
    let (rate, shown) = (0.01 + 0.04 * chance(0), 10_f64.powf(2.0 + 2.0 * chance(1)));
    let posterior =
        Posterior { yes: 1.0 + (rate * shown).floor(), no: 19.0 + ((1.0 - rate) * shown).floor() };
    Candidate::Learned { posterior, weight: 0.8 + 0.4 * chance(2) }
}

/// A draw from a posterior with many noes: a ratio of Gammas, drawn by the method of Marsaglia and Tsang.
fn draw(candidate: Candidate, next: &mut impl FnMut() -> f64) -> f64 {
    let Candidate::Learned { posterior, weight } = candidate else { return 0.0 };
    let mut gamma = |shape: f64| {
        let d = shape - 1.0 / 3.0;
        loop {
            let normal = (-2.0 * (1.0 - next()).ln()).sqrt() * (std::f64::consts::TAU * next()).cos();
            let v = (1.0 + normal / (9.0 * d).sqrt()).powi(3);
            if v > 0.0 && (1.0 - next()).ln() < 0.5 * normal * normal + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    };
    let (yes, no) = (gamma(posterior.yes), gamma(posterior.no));
    weight * yes / (yes + no)
}

/// Each probability must be within four standard deviations of its frequency, plus the error of the method.
fn check(candidates: &[Candidate], probabilities: &[f64]) {
    let mut best = vec![0.0; candidates.len()];
    let mut count = 0;
    let mut next = || {
        count += 1;
        uniform(11, 0, count)
    };
    for _ in 0..DRAWS {
        let scores: Vec<f64> = candidates.iter().map(|candidate| draw(*candidate, &mut next)).collect();
        let most =
            (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).expect("there are some");
        best[most] += 1.0 / f64::from(DRAWS);
    }
    for (found, drawn) in probabilities.iter().zip(&best) {
        let deviation = (found * (1.0 - found) / f64::from(DRAWS)).sqrt();
        assert!((found - drawn).abs() < 4.0 * deviation + 0.005, "{found} {drawn} of {candidates:?}");
    }
}

fn probabilities(criterion: &mut Criterion) {
    for count in [2, 5, 20] {
        let sets: Vec<Vec<Candidate>> =
            (0..SETS).map(|set| (0..count).map(|rank| offer(set, rank)).collect()).collect();
        let mut thompson = Thompson::default();
        for candidates in &sets[..4] {
            check(candidates, thompson.probabilities(candidates, 0.0));
        }
        let mut next = 0;
        criterion.bench_function(&format!("learning/probabilities of {count}"), |bencher| {
            bencher.iter(|| {
                next = (next + 1) % sets.len();
                thompson.probabilities(black_box(&sets[next]), 0.05)[0]
            });
        });
    }
}

fn outcomes(criterion: &mut Criterion) {
    let pace = Pace { window_s: 86_400, half_life_s: 30 * 86_400 };
    let prior = Posterior { yes: 1.0, no: 19.0 };
    let mut learned = Learned::default();
    for second in 0..10_000 {
        learned.shown(second, second, pace);
        if second % 20 == 0 {
            learned.clicked(second, second + 1, pace);
        }
    }
    let posterior = learned.posterior(prior, 100_000, pace);
    assert!((posterior.yes - 1.0) / 500.0 > 0.99 && (posterior.no - 19.0) / 9_500.0 > 0.99, "{posterior:?}");
    assert_eq!(Learned::from_words(&learned.words()).map(|l| l.words().len()), Some(LEARNED_WORDS));
    let mut second = 10_000;
    criterion.bench_function("learning/an impression is counted", |bencher| {
        bencher.iter(|| {
            second += 1;
            learned.shown(black_box(second), second, pace);
        });
    });
    criterion.bench_function("learning/a posterior is read", |bencher| {
        bencher.iter(|| black_box(&learned).posterior(prior, second, pace));
    });
}

criterion_group!(benches, probabilities, outcomes);
criterion_main!(benches);
