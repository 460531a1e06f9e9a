//! What outcomes taught about one offer on one placement: fading counts of yes and no, and impressions
//! still waiting for a click.

use super::Posterior;
use crate::customer::event::MAX_AHEAD_S;

/// The length of a [`Learned`] in 64-bit words, as the state keeps it.
pub const LEARNED_WORDS: usize = 3 + BUCKETS;

/// The number of equal buckets that count the impressions whose window is still open.
const BUCKETS: usize = 16;
/// The most buckets that a window may span. The bucket that has just begun and the one about to end come on
/// top.
const BUCKETS_OF_A_WINDOW: u32 = BUCKETS as u32 - 2;

/// How fast learning and forgetting go. Every call passes it, because the rule set sets it and may change
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Seconds that an impression waits for a click, counted from its decision.
    pub window_s: u32,
    /// Seconds after which a yes or a no counts half; 0 if they never fade.
    pub half_life_s: u32,
}

/// Counts of yes and no, some of which may change yet.
///
/// Times are the fold's, in seconds. An impression is counted in a bucket by the time of its decision. A
/// bucket is a fourteenth of the window long, rounded up to a second. It is settled once the window of its
/// last second is over: at the end of an impression's window or up to one bucket later. From then on what it
/// counted fades, and a click is not counted any more.
///
/// # What is not settled yet
/// An impression counts as a no at once, and its click turns it into a yes. So there is one trial for each
/// impression, from its first second on. The belief is never too high: of the yeses only those are missing
/// that are still to come. It is too low by their share, which ends with the window.
///
/// To count yeses at once and noes only when their window is over would be simpler, and wrong: the yeses
/// would lack their trials, and every offer would look better the more it was shown of late. To weigh a no
/// by the chance that its click would have come by now (Vernade, Cappé and Perchet, *Stochastic bandit models
/// for delayed conversions*, UAI 2017) takes the distribution of delays. Where that is guessed too slow, it
/// errs in the same direction. `tests/learning.rs` compares these on simulated clicks.
///
/// A click that overtakes its impression, or whose impression was lost, still counts as a yes.
///
/// The content depends only on what was reported and when, to the last bit and on every machine: only
/// operations that IEEE 754 defines exactly are used.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Learned {
    /// Settled yeses and noes, with their weight as of `at_s`.
    yes: f64,
    no: f64,
    /// The latest time that any call has named.
    at_s: u32,
    /// Seconds in a bucket; 0 before anything was counted.
    bucket_s: u32,
    /// Bucket number n begins at n × `bucket_s` and stands at n modulo 16. Settled buckets are empty.
    buckets: [Bucket; BUCKETS],
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Bucket {
    shown: u32,
    clicked: u32,
}

/// Yeses and noes without the prior's.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LearnedCounts {
    /// Impressions that were clicked, less what faded.
    pub yes: f64,
    /// Impressions that were not, less what faded.
    pub no: f64,
    /// How many of the noes may become a yes yet: their window is open.
    pub pending: u64,
}

impl LearnedCounts {
    /// The belief after these outcomes.
    pub fn after(self, prior: Posterior) -> Posterior {
        Posterior { yes: prior.yes + self.yes, no: prior.no + self.no }
    }
}

impl Pace {
    fn bucket_s(self) -> u32 {
        self.window_s.div_ceil(BUCKETS_OF_A_WINDOW).max(1)
    }
}

impl Learned {
    /// Counts an impression of an offer that was decided at `decided_s`.
    pub fn shown(&mut self, decided_s: u32, now_s: u32, pace: Pace) {
        self.settle(now_s, pace);
        if let Some(bucket) = self.open(decided_s, pace) {
            bucket.shown = bucket.shown.saturating_add(1);
        }
    }

    /// Counts a click on an offer that was decided at `decided_s`. The caller must pass on only the first
    /// click of each impression.
    pub fn clicked(&mut self, decided_s: u32, now_s: u32, pace: Pace) {
        self.settle(now_s, pace);
        if let Some(bucket) = self.open(decided_s, pace) {
            bucket.clicked = bucket.clicked.saturating_add(1);
        }
    }

    /// Turns what is due at `now_s` into yeses and noes, and lets them fade. A time that is a little earlier
    /// than the latest counts as the latest, because calls of one moment come in any order. If it is much
    /// earlier, a clock was ahead, and time begins anew.
    pub fn settle(&mut self, now_s: u32, pace: Pace) {
        self.cut_anew(pace.bucket_s());
        if now_s.saturating_add(MAX_AHEAD_S) < self.at_s {
            self.rewind(now_s);
        }
        let now_s = now_s.max(self.at_s);
        let kept = half(now_s - self.at_s, pace.half_life_s);
        self.yes *= kept;
        self.no *= kept;
        // In the order of time, because the sum's last bits depend on the order.
        let oldest = self.oldest();
        for number in oldest..oldest + BUCKETS as u64 {
            let due_s = (number + 1) * u64::from(self.bucket_s) + u64::from(pace.window_s);
            let bucket = &mut self.buckets[number as usize % BUCKETS];
            if due_s > u64::from(now_s) || *bucket == Bucket::default() {
                continue;
            }
            let kept = half(now_s - due_s as u32, pace.half_life_s);
            self.yes += kept * f64::from(bucket.clicked);
            self.no += kept * f64::from(bucket.shown.saturating_sub(bucket.clicked));
            *bucket = Bucket::default();
        }
        self.at_s = now_s;
    }

    /// The belief at `now_s`, starting from the prior.
    pub fn posterior(&self, prior: Posterior, now_s: u32, pace: Pace) -> Posterior {
        self.counts(now_s, pace).after(prior)
    }

    /// What is counted at `now_s`, settled or not.
    pub fn counts(&self, now_s: u32, pace: Pace) -> LearnedCounts {
        let mut settled = self.clone();
        settled.settle(now_s, pace);
        let (mut clicked, mut pending) = (0, 0);
        for bucket in &settled.buckets {
            clicked += u64::from(bucket.clicked);
            pending += u64::from(bucket.shown.saturating_sub(bucket.clicked));
        }
        LearnedCounts { yes: settled.yes + clicked as f64, no: settled.no + pending as f64, pending }
    }

    /// Whether everything is settled.
    fn is_settled(&self) -> bool {
        self.buckets.iter().all(|bucket| *bucket == Bucket::default())
    }

    /// The content as words, for snapshot and digest.
    pub fn words(&self) -> [u64; LEARNED_WORDS] {
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let mut words = [0; LEARNED_WORDS];
        words[0] = self.yes.to_bits();
        words[1] = self.no.to_bits();
        words[2] = pair(self.at_s, self.bucket_s);
        for (word, bucket) in words[3..].iter_mut().zip(&self.buckets) {
            *word = pair(bucket.shown, bucket.clicked);
        }
        words
    }

    /// The reverse of [`words`](Self::words); `None` if no `Learned` can have these words.
    pub fn from_words(words: &[u64; LEARNED_WORDS]) -> Option<Learned> {
        let (low, high) = (|word: u64| word as u32, |word: u64| (word >> 32) as u32);
        let (yes, no) = (f64::from_bits(words[0]), f64::from_bits(words[1]));
        let buckets =
            std::array::from_fn(|i| Bucket { shown: low(words[3 + i]), clicked: high(words[3 + i]) });
        let learned = Learned { yes, no, at_s: low(words[2]), bucket_s: high(words[2]), buckets };
        let counts = |count: f64| count.is_finite() && count.is_sign_positive();
        let cut = learned.bucket_s > 0 || learned.is_settled();
        (counts(yes) && counts(no) && cut).then_some(learned)
    }

    /// The bucket of a decision; `None` if it is settled. A decision in the future counts as made now.
    fn open(&mut self, decided_s: u32, pace: Pace) -> Option<&mut Bucket> {
        let number = decided_s.min(self.at_s) / self.bucket_s;
        let due_s = (u64::from(number) + 1) * u64::from(self.bucket_s) + u64::from(pace.window_s);
        (due_s > u64::from(self.at_s)).then(|| &mut self.buckets[number as usize % BUCKETS])
    }

    /// The lowest number that an unsettled bucket can have.
    fn oldest(&self) -> u64 {
        (u64::from(self.at_s / self.bucket_s) + 1).saturating_sub(BUCKETS as u64)
    }

    /// Makes `now_s` the latest time, which is earlier than it was. What waits for a click waits from now on.
    fn rewind(&mut self, now_s: u32) {
        let mut open = Bucket::default();
        for from in std::mem::take(&mut self.buckets) {
            open.shown = open.shown.saturating_add(from.shown);
            open.clicked = open.clicked.saturating_add(from.clicked);
        }
        self.at_s = now_s;
        self.buckets[(now_s / self.bucket_s) as usize % BUCKETS] = open;
    }

    /// Changes the length of buckets. What a bucket holds goes into the new bucket that its last second
    /// falls into. A decision made just before such a change may miss its impression, which then counts as
    /// one no too many.
    fn cut_anew(&mut self, bucket_s: u32) {
        if self.bucket_s == bucket_s {
            return;
        }
        if !self.is_settled() {
            let old = self.clone();
            self.buckets = [Bucket::default(); BUCKETS];
            let last = self.at_s / bucket_s;
            let first = last.saturating_sub(BUCKETS as u32 - 1);
            for number in old.oldest()..old.oldest() + BUCKETS as u64 {
                let from = old.buckets[number as usize % BUCKETS];
                let end_s = (number + 1) * u64::from(old.bucket_s) - 1;
                let number = (end_s / u64::from(bucket_s)).clamp(first.into(), last.into());
                let to = &mut self.buckets[number as usize % BUCKETS];
                to.shown = to.shown.saturating_add(from.shown);
                to.clicked = to.clicked.saturating_add(from.clicked);
            }
        }
        self.bucket_s = bucket_s;
    }
}

/// The weight left after a time: 2^(−elapsed / half-life).
fn half(elapsed_s: u32, half_life_s: u32) -> f64 {
    if half_life_s == 0 {
        return 1.0;
    }
    let whole = elapsed_s / half_life_s;
    if whole > 1_000 {
        return 0.0;
    }
    let part = f64::from(elapsed_s % half_life_s) / f64::from(half_life_s);
    // exp by its series: the platform's differs in the last bit, and every node must fold to the same
    // state.
    let x = -part * std::f64::consts::LN_2;
    let series = (1..=18).rev().fold(1.0, |sum, k| 1.0 + sum * x / f64::from(k));
    series * f64::from_bits(u64::from(1_023 - whole) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: u32 = 86_400;
    const PRIOR: Posterior = Posterior { yes: 1.0, no: 9.0 };

    #[test]
    fn an_impression_is_a_no_until_it_is_clicked_within_its_window() {
        let pace = Pace { window_s: 1_400, half_life_s: 0 };
        let mut learned = Learned::default();
        learned.shown(10_000, 10_000, pace);
        learned.shown(10_050, 10_060, pace);
        learned.clicked(10_050, 10_300, pace);
        for (now, pending) in [(10_300, 1), (11_499, 1), (11_500, 0), (99_999, 0)] {
            let counts = learned.counts(now, pace);
            assert_eq!(counts, LearnedCounts { yes: 1.0, no: 1.0, pending }, "at {now}");
            assert_eq!(counts.after(PRIOR), learned.posterior(PRIOR, now, pace));
        }
        // Too late: it is a no already.
        learned.clicked(10_000, 11_500, pace);
        assert_eq!(learned.posterior(PRIOR, 99_999, pace), Posterior { yes: 2.0, no: 10.0 });
        // The click overtook the impression.
        learned.clicked(12_000, 12_001, pace);
        assert_eq!(learned.posterior(PRIOR, 12_001, pace), Posterior { yes: 3.0, no: 10.0 });
        learned.shown(12_000, 12_002, pace);
        assert_eq!(learned.counts(12_002, pace), LearnedCounts { yes: 2.0, no: 1.0, pending: 0 });
        assert_eq!(learned.posterior(PRIOR, 99_999, pace), Posterior { yes: 3.0, no: 10.0 });
    }

    #[test]
    fn after_a_clock_that_was_ahead_outcomes_count_again() {
        let pace = Pace { window_s: 1_400, half_life_s: 0 };
        let (now, ahead) = (100 * DAY, 108 * DAY);
        let mut learned = Learned::default();
        learned.shown(now, now, pace);
        learned.shown(ahead, ahead, pace);
        learned.shown(now + 60, now + 60, pace);
        assert_eq!(learned.counts(now + 60, pace), LearnedCounts { yes: 0.0, no: 3.0, pending: 2 });
        learned.clicked(now + 60, now + 90, pace);
        assert_eq!(learned.counts(now + 90, pace), LearnedCounts { yes: 1.0, no: 2.0, pending: 1 });
        assert_eq!(learned.counts(now + 9_000, pace), LearnedCounts { yes: 1.0, no: 2.0, pending: 0 });
        learned.shown(now + 9_000, now + 9_000 - 300, pace);
        assert_eq!(learned.counts(now + 9_000, pace).pending, 1, "a little earlier is the same moment");
    }

    #[test]
    fn counts_fade_by_half() {
        let pace = Pace { window_s: 60, half_life_s: 7 * DAY };
        let mut learned = Learned::default();
        (0..8).for_each(|_| learned.shown(0, 0, pace));
        learned.clicked(0, 9, pace);
        let due = 5 + 60; // the first bucket is 60/14 s long, rounded up
        assert_eq!(learned.posterior(PRIOR, 30, pace), Posterior { yes: 2.0, no: 16.0 }, "before it is due");
        for (weeks, yes, no) in [(0, 1.0, 7.0), (1, 0.5, 3.5), (3, 0.125, 0.875)] {
            let Posterior { yes: y, no: n } = learned.posterior(PRIOR, due + weeks * 7 * DAY, pace);
            assert_eq!((y - 1.0, n - 9.0), (yes, no));
        }
    }

    #[test]
    fn fading_is_a_power_of_two_to_the_last_digits() {
        for (elapsed, half_life) in
            [(1, 3), (1_000, 1_001), (5, 7), (86_399, 86_400), (123_456, 1_000), (9, 9)]
        {
            let expected = (-f64::from(elapsed) / f64::from(half_life)).exp2();
            assert!((half(elapsed, half_life) / expected - 1.0).abs() < 1e-14, "{elapsed} {half_life}");
        }
        assert_eq!((half(u32::MAX, 1), half(u32::MAX, 0), half(0, 5)), (0.0, 1.0, 1.0));
    }

    #[test]
    fn words_that_nothing_has_are_refused() {
        let mut learned = Learned::default();
        learned.shown(5, 6, Pace { window_s: 9, half_life_s: 1 });
        let words = learned.words();
        assert_eq!(Learned::from_words(&words), Some(learned));
        for (i, word) in [(0, f64::NAN.to_bits()), (1, (-1.0_f64).to_bits()), (2, 0)] {
            let mut wrong = words;
            wrong[i] = word;
            assert_eq!(Learned::from_words(&wrong), None, "word {i}");
        }
    }

    #[test]
    fn another_window_loses_nothing() {
        let (long, short) =
            (Pace { window_s: 30 * DAY, half_life_s: 0 }, Pace { window_s: DAY, half_life_s: 0 });
        let mut learned = Learned::default();
        for day in 0..20 {
            learned.shown(day * DAY, day * DAY, long);
        }
        learned.clicked(DAY, 19 * DAY, long);
        learned.settle(19 * DAY, short);
        assert_eq!(learned.posterior(PRIOR, 60 * DAY, short), Posterior { yes: 2.0, no: 28.0 });
        learned.settle(19 * DAY, long);
        assert_eq!(learned.posterior(PRIOR, 90 * DAY, long), Posterior { yes: 2.0, no: 28.0 });
    }

    /// Keeps everything that happened in one list.
    #[derive(Default)]
    struct Naive {
        /// The time of the decision, and whether the entry is a click.
        happened: Vec<(u32, bool)>,
        now_s: u32,
    }

    impl Naive {
        fn due(decided_s: u32, pace: Pace) -> u64 {
            let bucket = pace.window_s.div_ceil(14).max(1);
            (u64::from(decided_s / bucket) + 1) * u64::from(bucket) + u64::from(pace.window_s)
        }

        fn tell(&mut self, decided_s: u32, now_s: u32, click: bool, pace: Pace) {
            self.now_s = self.now_s.max(now_s);
            let decided_s = decided_s.min(self.now_s);
            if Naive::due(decided_s, pace) > u64::from(self.now_s) {
                self.happened.push((decided_s, click));
            }
        }

        fn counts(&self, now_s: u32, pace: Pace) -> (f64, f64) {
            let now_s = u64::from(self.now_s.max(now_s));
            let mut buckets: std::collections::BTreeMap<u64, (i64, i64)> = std::collections::BTreeMap::new();
            for (decided_s, click) in &self.happened {
                let (shown, clicked) = buckets.entry(Naive::due(*decided_s, pace)).or_default();
                *(if *click { clicked } else { shown }) += 1;
            }
            let (mut yes, mut no) = (0.0, 0.0);
            for (due, (shown, clicked)) in buckets {
                let age = now_s.saturating_sub(due) as f64; // what is not due has not begun to fade
                let kept =
                    if pace.half_life_s == 0 { 1.0 } else { (-age / f64::from(pace.half_life_s)).exp2() };
                yes += kept * clicked as f64;
                no += kept * (shown - clicked).max(0) as f64;
            }
            (yes, no)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn it_counts_as_a_list_of_everything_would(
            window_s in prop_oneof![0..40_u32, 100..5_000_u32],
            half_life_s in prop_oneof![Just(0), 1..500_u32],
            events in prop::collection::vec((0..400_u32, -20..600_i64, any::<bool>(), any::<bool>()), 0..120),
        ) {
            let pace = Pace { window_s, half_life_s };
            let (mut learned, mut naive, mut clock) = (Learned::default(), Naive::default(), 1_000_000_u32);
            for (passed, delay, click, reload) in events {
                clock = clock + passed - 10; // a clock may be set back a little
                let decided = (i64::from(clock) - delay) as u32;
                match click {
                    true => learned.clicked(decided, clock, pace),
                    false => learned.shown(decided, clock, pace),
                }
                naive.tell(decided, clock, click, pace);
                if reload {
                    learned = Learned::from_words(&learned.words()).unwrap();
                }
                for later in [0, window_s / 2, window_s + 400] {
                    let posterior = learned.posterior(PRIOR, clock + later, pace);
                    let (yes, no) = naive.counts(clock + later, pace);
                    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.max(1.0);
                    prop_assert!(near(posterior.yes - 1.0, yes), "{posterior:?} {yes}");
                    prop_assert!(near(posterior.no - 9.0, no), "{posterior:?} {no}");
                }
            }
        }
    }
}
