//! How long requests wait for their thread, and whether decisions are refused because of it.
//!
//! Nobody tells when a request arrived in its socket. So now and then a request wakes a task, which the
//! runtime puts behind everything that is ready. The time until it runs is how long the queue is.
//!
//! A queue that is long for a moment refuses nothing: every wait must have been too long for [`PERSISTENT`]
//! (compare CoDel: K. Nichols, V. Jacobson, "Controlling Queue Delay", ACM Queue 2012). From then on one
//! wait is measured after the other, and decisions are refused while it is longer than [`CLEAR_WAIT`].
//!
//! A refusal costs about half of an answer, and some clients come again at once. So refusals leave one by
//! one, and all of them take a small part of the thread's time.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How long a request may wait for its thread.
const MOST_WAIT: Duration = Duration::from_millis(2);
/// A queue of fewer requests is not long, however long they take.
const SHORT_QUEUE: u32 = 128;
/// While there is too much to do: how long a decision may wait behind [`CLEAR_QUEUE`] others.
const CLEAR_WAIT: Duration = Duration::from_millis(1);
const CLEAR_QUEUE: u32 = 16;
/// One request in this many has its wait measured, a power of two.
const SAMPLE_EVERY: u32 = 64;
/// For how long every wait must have been too long before anything is refused.
const PERSISTENT: Duration = Duration::from_millis(100);
/// The fewest waits in that time. One long pause is none of the queue's making.
const LEAST_WAITS: u32 = 3;
/// After this time without a wait that was too long, or in which nothing was refused, waits must be too long
/// again for [`PERSISTENT`]. A slow server has few waits that are measured, so it is not short.
const CALM: Duration = Duration::from_secs(1);
/// One refusal may leave in the time that this many requests take.
const REQUESTS_PER_REFUSAL: u32 = 8;
/// The longest time between two refusals.
const MOST_BETWEEN: Duration = Duration::from_millis(1);
/// The longest time for which a refusal waits for its turn.
const MOST_TURN: Duration = Duration::from_millis(500);

/// The queue of one thread. Only that thread writes here.
pub(crate) struct QueueTime {
    /// How many requests were read so far. It wraps around.
    read: AtomicU32,
    /// Whether there is too much to do.
    overloaded: AtomicBool,
    /// Wakes the task that measures.
    begun: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The wait that is being measured: since when, and how many requests had been read then.
    sample: Option<(Instant, u32)>,
    /// When the last wait ended, if it was too long.
    long_until: Option<Instant>,
    /// How long one request takes, averaged.
    each: Duration,
    /// While all waits are too long.
    long: Option<LongWaits>,
    /// When a decision was refused last, or there came to be too much to do.
    last: Option<Instant>,
    /// How many were refused since then.
    refused: u64,
    /// When the next refusal may leave.
    turn: Option<Instant>,
}

/// Waits that were too long, one after the other.
#[derive(Clone, Copy)]
struct LongWaits {
    since: Instant,
    until: Instant,
    count: u32,
}

impl QueueTime {
    pub(crate) fn new() -> QueueTime {
        QueueTime {
            read: AtomicU32::new(0),
            overloaded: AtomicBool::new(false),
            begun: Notify::new(),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a request was read. Returns whether a decision is refused now.
    pub(crate) fn note(&self) -> bool {
        let read = self.read.load(Ordering::Relaxed).wrapping_add(1);
        self.read.store(read, Ordering::Relaxed);
        if self.overloaded.load(Ordering::Relaxed) {
            let now = Instant::now();
            self.begin(now, read);
            return self.state().is_long(now, read);
        }
        if read.is_multiple_of(SAMPLE_EVERY) {
            self.begin(Instant::now(), read);
        }
        false
    }

    fn begin(&self, now: Instant, read: u32) {
        let mut state = self.state();
        if state.sample.is_none() {
            state.sample = Some((now, read));
            self.begun.notify_one();
        }
    }

    /// Measures one wait after the other, for as long as the thread's runtime lives.
    pub(crate) async fn measure(&self) {
        loop {
            self.begun.notified().await;
            self.end(Instant::now());
        }
    }

    /// Ends the measurement of a wait.
    fn end(&self, now: Instant) {
        let mut state = self.state();
        let Some((begin, read_then)) = state.sample.take() else { return };
        let read = self.read.load(Ordering::Relaxed).wrapping_sub(read_then);
        let was_long = state.long_until.is_some();
        state.long_until = (now - begin > CLEAR_WAIT && read >= CLEAR_QUEUE).then_some(now);
        if self.overloaded.load(Ordering::Relaxed) {
            if state.last.is_some_and(|last| now - last > CALM) {
                tracing::info!(refused = state.refused, "decisions wait no longer than they may");
                (state.long, state.refused) = (None, 0);
                self.overloaded.store(false, Ordering::Relaxed);
            }
            if was_long {
                return; // some were refused, which takes less time
            }
        } else if state.is_overload(begin, now, read) {
            tracing::warn!("decisions wait longer than {MOST_WAIT:?}: some are refused with 503");
            state.last = Some(now);
            self.overloaded.store(true, Ordering::Relaxed);
        }
        if read > 0 {
            state.each = (state.each * 7 + (now - begin) / read) / 8;
        }
    }

    /// How long to wait before a decision is refused, so that refusals leave one by one.
    pub(crate) fn turn(&self, now: Instant) -> Duration {
        let mut state = self.state();
        (state.last, state.refused) = (Some(now), state.refused + 1);
        let turn = state.turn.map_or(now, |turn| turn.clamp(now, now + MOST_TURN));
        state.turn = Some(turn + (state.each * REQUESTS_PER_REFUSAL).min(MOST_BETWEEN));
        turn - now
    }
}

impl State {
    /// Whether the wait under way is too long, or the one that has just ended was. What is read now stood
    /// behind it.
    fn is_long(&self, now: Instant, read: u32) -> bool {
        let is_long = |(begin, read_then): (Instant, u32)| {
            now - begin > CLEAR_WAIT && read.wrapping_sub(read_then) >= CLEAR_QUEUE
        };
        self.sample.is_some_and(is_long) || self.long_until.is_some_and(|end| now - end <= CLEAR_WAIT)
    }

    /// Takes a wait in which this many requests were read. Returns whether waits have been too long for a
    /// while. Those before a time in which nothing had to wait do not count.
    fn is_overload(&mut self, begin: Instant, now: Instant, read: u32) -> bool {
        if now - begin <= MOST_WAIT || read < SHORT_QUEUE {
            self.long = None;
            return false;
        }
        let earlier = self.long.filter(|long| begin - long.until <= CALM);
        let LongWaits { since, count, .. } =
            earlier.unwrap_or(LongWaits { since: begin, until: now, count: 0 });
        self.long = Some(LongWaits { since, until: now, count: count + 1 });
        now - since >= PERSISTENT && count + 1 >= LEAST_WAITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue with a clock of its own.
    struct Clocked {
        queue: QueueTime,
        now: Instant,
    }

    impl Clocked {
        fn new() -> Clocked {
            Clocked { queue: QueueTime::new(), now: Instant::now() }
        }

        /// Waits of this length, in each of which so many requests are read, one after the other for `ms`.
        /// Returns at how many of their ends decisions are refused. One each is, then.
        fn waits(&mut self, ms: u64, wait_us: u64, requests: u32) -> u32 {
            let end = self.now + Duration::from_millis(ms);
            let mut refusing = 0;
            while self.now < end {
                self.queue.begin(self.now, self.queue.read.load(Ordering::Relaxed));
                self.queue.read.fetch_add(requests, Ordering::Relaxed);
                self.now += Duration::from_micros(wait_us);
                self.queue.end(self.now);
                let overloaded = self.queue.overloaded.load(Ordering::Relaxed);
                let read = self.queue.read.load(Ordering::Relaxed);
                if overloaded && self.queue.state().is_long(self.now, read) {
                    refusing += 1;
                    self.queue.turn(self.now);
                }
            }
            refusing
        }
    }

    #[test]
    fn decisions_are_refused_once_all_waits_have_been_too_long_for_a_while() {
        let mut clocked = Clocked::new();
        for (ms, wait_us, requests, refusing, why) in [
            (1_000, 1_900, 1_000, 0, "short waits"),
            (95, 5_000, 200, 0, "not for long enough"),
            (5, 100, 10, 0, "a short one between them"),
            (95, 5_000, 200, 0, "it began anew"),
            (500, 5_000, 200, 100, "for long enough"),
            (900, 900, 200, 0, "while waits are short nothing is refused"),
            (10, 1_250, 15, 0, "a few slow requests are no queue"),
            (10, 1_250, 16, 8, "it has not been calm for long enough"),
            (1_100, 900, 200, 0, "calm"),
            (95, 5_000, 200, 0, "it begins anew"),
        ] {
            assert_eq!(clocked.waits(ms, wait_us, requests), refusing, "{why}");
        }
    }

    #[test]
    fn a_wait_under_way_counts_for_as_long_as_it_takes() {
        let mut clocked = Clocked::new();
        clocked.waits(200, 5_000, 200);
        clocked.waits(10, 500, 20);
        let mut state = clocked.queue.state();
        assert!(!state.is_long(clocked.now, 0));
        state.sample = Some((clocked.now, 0));
        for (wait_us, read, expected) in [(1_000, 99, false), (1_001, 16, true), (9_999, 15, false)] {
            let found = state.is_long(clocked.now + Duration::from_micros(wait_us), read);
            assert_eq!(found, expected, "{wait_us} us, {read} requests");
        }
    }

    #[test]
    fn a_wait_that_ended_a_while_ago_refuses_nothing() {
        let mut clocked = Clocked::new();
        clocked.waits(200, 5_000, 200);
        let state = clocked.queue.state();
        assert!(state.is_long(clocked.now, 0));
        assert!(!state.is_long(clocked.now + CLEAR_WAIT * 2, 0));
    }

    #[test]
    fn one_long_pause_and_few_slow_requests_refuse_nothing() {
        let mut clocked = Clocked::new();
        for (ms, wait_us, requests) in
            [(300, 300_000, 5_000), (100, 100, 1), (200, 100_000, 5_000), (100, 100, 1), (2_000, 50_000, 127)]
        {
            assert_eq!(clocked.waits(ms, wait_us, requests), 0, "{ms} ms of {wait_us} us");
        }
    }

    #[test]
    fn bursts_far_apart_are_no_overload() {
        for (gap_ms, expected) in [(1_000, 1), (1_001, 0), (60_000, 0)] {
            let mut clocked = Clocked::new();
            let mut refusing = 0;
            for _ in 0..3 {
                clocked.now += Duration::from_millis(gap_ms);
                refusing += clocked.waits(5, 5_000, 200);
            }
            assert_eq!(refusing, expected, "{gap_ms} ms between them");
        }
    }

    #[test]
    fn one_request_in_many_begins_a_measurement() {
        let queue = QueueTime::new();
        for n in 1..=3 * SAMPLE_EVERY {
            assert!(!queue.note());
            assert_eq!(queue.state().sample.is_some(), n % SAMPLE_EVERY == 0, "{n}");
            queue.end(Instant::now());
        }
    }

    #[test]
    fn refusals_leave_one_by_one_and_none_waits_too_long() {
        let queue = QueueTime::new();
        queue.state().each = Duration::from_micros(10);
        let now = Instant::now();
        let turns: Vec<_> = (0..20_000).map(|_| queue.turn(now)).collect();
        let step = Duration::from_micros(80);
        assert_eq!(turns[..3], [Duration::ZERO, step, 2 * step]);
        assert_eq!(turns.last(), Some(&MOST_TURN));
        assert_eq!(queue.turn(now + Duration::from_secs(9)), Duration::ZERO);
    }
}
