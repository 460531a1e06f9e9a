//! Learning on simulated customers whose true chances are known. How much is lost against the best fixed
//! policy? Are the logged propensities true? Can they evaluate other policies? Everything is seeded.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may fail loudly")]

#[path = "../src/testing.rs"]
mod testing;

use testing::rounds;
use usher::insight::evaluation::{Evaluation, Logged};
use usher::learning::{Candidate, Learned, Pace, Posterior, Thompson, uniform};

const PRIOR: Posterior = Posterior { yes: 1.0, no: 19.0 };
const FLOOR: f64 = 0.02;
/// Seconds from one customer to the next.
const EVERY_S: u32 = 30;
const PACE: Pace = Pace { window_s: 1_800, half_life_s: 0 };
/// Separate sources of chance, so that customers and decisions never share a random number.
const CHOICE: u32 = 1;
const CUSTOMER: u32 = 2;
const CLICK: u32 = 3;
const DELAY: u32 = 4;

/// Offers that are learned about, separately in each segment.
struct Policy {
    seed: u64,
    pace: Pace,
    learned: Vec<Vec<Learned>>,
    thompson: Thompson,
    candidates: Vec<Candidate>,
}

impl Policy {
    fn new(seed: u64, segments: usize, offers: usize, pace: Pace) -> Policy {
        let learned = vec![vec![Learned::default(); offers]; segments];
        Policy { seed, pace, learned, thompson: Thompson::default(), candidates: Vec::new() }
    }

    /// What customer `n` of a segment is shown, and with what probability.
    fn choose(&mut self, n: u32, segment: usize) -> (usize, f64) {
        self.candidates.clear();
        self.candidates.extend(self.learned[segment].iter().map(|learned| Candidate::Learned {
            posterior: learned.posterior(PRIOR, n * EVERY_S, self.pace),
            weight: 1.0,
        }));
        let u = uniform(self.seed.wrapping_add(u64::from(n)), CHOICE, 1);
        self.thompson.choose(&self.candidates, FLOOR, u).unwrap()
    }

    /// Counts an impression and, a minute later, the click if there was one.
    fn learn(&mut self, n: u32, segment: usize, offer: usize, clicked: bool) {
        let (learned, at) = (&mut self.learned[segment][offer], n * EVERY_S);
        learned.shown(at, at, self.pace);
        if clicked {
            learned.clicked(at, at + 20, self.pace);
        }
    }
}

/// The expected clicks that were lost because customers were not shown their best offer.
struct Regret {
    learned: f64,
    uniform: f64,
    /// The loss of the best single offer, shown to everybody all the time.
    fixed: f64,
    /// The loss of the learned policy in the last tenth of all decisions.
    late: f64,
}

/// Customers of random segments; `rates` gives the true chances of a segment at a customer's number.
fn simulate(
    seed: u64,
    customers: u32,
    pace: Pace,
    segments: usize,
    rates: impl Fn(u32, usize) -> Vec<f64>,
) -> Regret {
    let offers = rates(0, 0).len();
    let mut policy = Policy::new(seed, segments, offers, pace);
    let (mut learned, mut uniformly, mut late, mut fixed) = (0.0, 0.0, 0.0, vec![0.0; offers]);
    for n in 0..customers {
        let segment = (uniform(seed, CUSTOMER, n) * segments as f64) as usize;
        let chances = rates(n, segment);
        let best = chances.iter().copied().fold(0.0, f64::max);
        let (offer, _) = policy.choose(n, segment);
        policy.learn(n, segment, offer, uniform(seed, CLICK, n) < chances[offer]);
        learned += best - chances[offer];
        uniformly += best - chances.iter().sum::<f64>() / offers as f64;
        fixed.iter_mut().zip(&chances).for_each(|(sum, chance)| *sum += best - chance);
        if n >= customers / 10 * 9 {
            late += best - chances[offer];
        }
    }
    let fixed = fixed.into_iter().fold(f64::MAX, f64::min);
    Regret { learned, uniform: uniformly, fixed, late }
}

fn print(what: &str, customers: u32, regret: &Regret) {
    println!(
        "{what}, {customers} customers: regret {:.0} clicks learned (last tenth {:.1}), {:.0} best fixed, {:.0} uniform",
        regret.learned, regret.late, regret.fixed, regret.uniform
    );
}

#[test]
fn the_best_offer_is_found() {
    let rates = vec![0.02, 0.03, 0.05, 0.025, 0.01];
    for seed in [1, 2] {
        let regret = simulate(seed, 12_000, PACE, 1, |_, _| rates.clone());
        print("one segment", 12_000, &regret);
        assert!(regret.learned < 0.3 * regret.uniform, "it loses less than a third of what chance loses");
        // The floor alone costs 2 % of what choosing by chance loses.
        assert!(regret.late < 0.1 * regret.uniform / 10.0, "in the end it loses hardly anything");
    }
}

#[test]
fn each_segment_gets_its_own_best() {
    let rates = [vec![0.05, 0.02, 0.02], vec![0.015, 0.02, 0.06]];
    let regret = simulate(7, 12_000, PACE, 2, |_, segment| rates[segment].clone());
    print("two segments", 12_000, &regret);
    assert!(regret.learned < 0.5 * regret.fixed, "better than the best offer for everybody");
    assert!(regret.learned < 0.3 * regret.uniform);
}

#[test]
fn what_fades_follows_what_changes() {
    // The best offer becomes the worst after half of the time.
    let rates = |n: u32, _| if n < 6_000 { vec![0.06, 0.02] } else { vec![0.02, 0.06] };
    let fading = Pace { half_life_s: 1_000 * EVERY_S, ..PACE };
    let (fading, lasting) = (simulate(5, 12_000, fading, 1, rates), simulate(5, 12_000, PACE, 1, rates));
    print("best and worst change places, with a half-life", 12_000, &fading);
    print("best and worst change places, without", 12_000, &lasting);
    assert!(fading.learned < 0.7 * fading.fixed && fading.learned < 0.7 * fading.uniform);
    assert!(fading.late < 0.5 * fading.uniform / 10.0);
    assert!(fading.learned < lasting.learned, "what never fades learns anew too late");
}

/// Beliefs about one offer that is shown every second, while most windows are open.
#[derive(Default)]
struct Beliefs {
    /// Ours: an impression is a no until it is clicked.
    ours: f64,
    /// A click is a yes at once, and the rest are noes when their window is over.
    eager: f64,
    /// An unclicked impression is a no in proportion to the part of its window that is over.
    weighed: f64,
    /// Nothing counts before its window is over. `None` while there is nothing.
    settled: Option<f64>,
}

/// The means of these beliefs over many logs, `shown_s` seconds after the first impression, over the true
/// chance of a click within the window. Clicks come after `delay_s` on average, with exponential delays.
fn early(shown_s: u32, delay_s: f64, logs: u32) -> Beliefs {
    const CHANCE: f64 = 0.05;
    const SECONDS: u32 = 3_600;
    let pace = Pace { window_s: SECONDS, half_life_s: 0 };
    let nothing = Posterior { yes: 0.0, no: 0.0 };
    let mut sums = Beliefs { settled: Some(0.0), ..Beliefs::default() };
    for log in 0..logs {
        let seed = u64::from(log) << 32 | u64::from(shown_s);
        // When each was told, when it was decided, and whether it is a click.
        let mut events: Vec<(u32, u32, bool)> = (0..shown_s).map(|at| (at, at, false)).collect();
        let (mut yes, mut settled_yes, mut over, mut weight) = (0.0, 0.0, 0.0, 0.0);
        for at in 0..shown_s {
            let delay = -delay_s * (1.0 - uniform(seed, DELAY, at)).ln();
            let clicked = uniform(seed, CLICK, at) < CHANCE && delay < f64::from(SECONDS);
            let is_seen = clicked && f64::from(at) + delay <= f64::from(shown_s);
            let is_over = f64::from(u8::from(shown_s - at >= SECONDS));
            if is_seen {
                events.push((at + delay as u32, at, true));
                yes += 1.0;
                settled_yes += is_over;
            } else {
                over += is_over;
                weight += (f64::from(shown_s - at) / f64::from(SECONDS)).min(1.0);
            }
        }
        events.sort_unstable();
        let mut learned = Learned::default();
        for (at, decided, is_click) in events {
            match is_click {
                true => learned.clicked(decided, at, pace),
                false => learned.shown(decided, at, pace),
            }
        }
        sums.ours += learned.posterior(nothing, shown_s, pace).mean();
        sums.eager += yes / (yes + over);
        sums.weighed += yes / (yes + weight);
        sums.settled = sums.settled.map(|sum| sum + settled_yes / (settled_yes + over));
    }
    let truth = CHANCE * (1.0 - (-f64::from(SECONDS) / delay_s).exp()) * f64::from(logs);
    Beliefs {
        ours: sums.ours / truth,
        eager: sums.eager / truth,
        weighed: sums.weighed / truth,
        settled: sums.settled.map(|sum| sum / truth).filter(|mean| mean.is_finite()),
    }
}

#[test]
fn what_is_not_settled_yet_makes_no_offer_look_better_than_it_is() {
    let impressions = rounds(200_000, 2_000_000);
    // The least that the belief may be, as a share of the truth: the clicks that have come by then.
    for (shown_s, delay_s, least, eager, weighed) in [
        (600, 20.0, 0.93, 10.0, 3.0),
        (600, 300.0, 0.53, 10.0, 2.0),
        (1_800, 20.0, 0.95, 10.0, 2.0),
        (1_800, 300.0, 0.80, 10.0, 1.5),
        (14_400, 20.0, 0.96, 1.2, 1.05),
        (14_400, 300.0, 0.94, 1.2, 1.05),
    ] {
        let found = early(shown_s, delay_s, impressions / shown_s);
        println!(
            "after {shown_s} s, clicks after {delay_s} s: {:.3} of the truth; yeses first {:.2}, weighed evenly {:.2}, only \
             what is settled {:.3?}",
            found.ours, found.eager, found.weighed, found.settled
        );
        assert!((least..1.04).contains(&found.ours), "{}", found.ours);
        assert!(found.eager > eager && found.weighed > weighed, "{} {}", found.eager, found.weighed);
        assert_eq!(found.settled.is_some(), shown_s > 3_600);
    }
}

#[test]
fn the_better_offer_is_found_before_any_window_is_over() {
    let pace = Pace { window_s: 24 * 3_600, half_life_s: 0 };
    let mut shown = 0.0;
    let seeds = rounds(3, 10);
    for seed in 0..seeds {
        let mut policy = Policy::new(1_000_000 * seed, 1, 2, pace);
        for n in 0..1_500 {
            let (offer, _) = policy.choose(n, 0);
            policy.learn(n, 0, offer, uniform(seed, CLICK, n) < [0.04, 0.12][offer]);
            if n >= 1_000 {
                shown += f64::from(u8::from(offer == 1)) / 500.0 / seeds as f64;
            }
        }
    }
    println!("within half of the first window, the better offer is shown {:.1} % of the time", 100.0 * shown);
    assert!(shown > 0.85, "{shown}");
}

#[test]
fn a_logged_propensity_is_the_frequency_of_the_choice() {
    let learned = |yes, no, weight| Candidate::Learned { posterior: Posterior { yes, no }, weight };
    let candidates = [
        learned(30.0, 900.0, 1.0),
        learned(12.0, 300.0, 1.0),
        learned(2.0, 60.0, 0.8),
        learned(1.0, 19.0, 0.5),
        Candidate::Known(0.03),
    ];
    let mut thompson = Thompson::default();
    let probabilities = thompson.probabilities(&candidates, FLOOR).to_vec();
    let decisions: u32 = rounds(10_000, 100_000);
    let mut chosen = vec![0.0; candidates.len()];
    for seed in 0..decisions {
        let (choice, propensity) =
            thompson.choose(&candidates, FLOOR, uniform(u64::from(seed), CHOICE, 1)).unwrap();
        assert_eq!(propensity, probabilities[choice]);
        chosen[choice] += 1.0;
    }
    let expected = probabilities.iter().map(|p| p * f64::from(decisions));
    let chi: f64 = chosen.iter().zip(expected).map(|(n, e)| (n - e) * (n - e) / e).sum();
    println!(
        "propensities {probabilities:.4?}, chosen {chosen:?} of {decisions}: chi-square {chi:.2}, 4 degrees"
    );
    // 18.47 is the 99.9 % point of chi-square with 4 degrees of freedom.
    assert!(chi < 18.47, "more than once in a thousand: {chi}");
}

/// Estimates what each fixed policy would have brought, from logs of the learned policy. Over many logs the
/// mean of the estimates is the truth, and most of the 95 % intervals cover it.
#[test]
fn logs_tell_what_another_policy_would_have_brought() {
    const CUSTOMERS: u32 = 1_500;
    let logs: u64 = rounds(20, 60);
    // The chances are close together and high, so that a small log already means something.
    let rates = [0.30, 0.35, 0.25];
    let mut estimates = vec![Vec::new(); rates.len()];
    for log in 1..=logs {
        for (estimates, evaluation) in estimates.iter_mut().zip(log_of(1_000_000 * log, CUSTOMERS, &rates)) {
            estimates.push(evaluation.estimates().unwrap().ips);
        }
    }
    for (offer, (estimates, rate)) in estimates.iter().zip(rates).enumerate() {
        let covers = |(low, high): (f64, f64)| (low..=high).contains(&rate);
        let covered = estimates.iter().filter(|estimate| covers(estimate.interval())).count();
        let mean = estimates.iter().map(|estimate| estimate.value).sum::<f64>() / logs as f64;
        let squares: f64 = estimates.iter().map(|estimate| (estimate.value - mean).powi(2)).sum();
        let error = (squares / (logs - 1) as f64 / logs as f64).sqrt();
        println!(
            "offer {offer}, truly {rate}: IPS {mean:.4} ± {error:.4} over {logs} logs, {covered} cover it"
        );
        assert!((mean - rate).abs() < 3.0 * error, "biased");
        // With a small log, intervals are a little too narrow for offers that it seldom shows.
        assert!(covered as f64 >= 0.8 * logs as f64, "{covered} of {logs}");
    }
}

/// For each offer, the evaluation of always showing it, from a log of the learned policy.
fn log_of(seed: u64, customers: u32, rates: &[f64]) -> Vec<Evaluation> {
    let mut policy = Policy::new(seed, 1, rates.len(), PACE);
    let mut evaluations = vec![Evaluation::default(); rates.len()];
    for n in 0..customers {
        let (offer, propensity) = policy.choose(n, 0);
        let clicked = uniform(seed, CLICK, n) < rates[offer];
        policy.learn(n, 0, offer, clicked);
        for (target, evaluation) in evaluations.iter_mut().enumerate() {
            let target = if offer == target { 1.0 } else { 0.0 };
            let logged = Logged { reward: f64::from(u8::from(clicked)), propensity, target, model: None };
            assert_eq!(logged.check(), Ok(()));
            evaluation.add(&logged, u64::from(n));
        }
    }
    evaluations
}
