//! How fast a client must take what waits for it. A client that takes three bytes a second would otherwise
//! keep an answer, its buffers and its connection for as long as it likes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::http::bounds::LEAST_WRITE_RATE;

/// A timer that costs nothing until something must wait.
#[derive(Default)]
pub(super) struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    /// Starts on the first call. Ready once `after` has passed since then.
    pub(super) fn poll(&mut self, after: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + after)));
        sleep.as_mut().poll(cx)
    }

    pub(super) fn clear(&mut self) {
        self.0 = None;
    }
}

/// What a client owes: the time for which it kept answers waiting, less the time that the bytes it took
/// need at the least rate. So a client that takes a little now and then, just before it would be given up,
/// is given up.
#[derive(Default)]
pub(super) struct Pace {
    debt: Duration,
    /// Since when answers have been waiting for the client, if they do.
    waiting: Option<Instant>,
    /// Since when none has, if there is a debt. That time pays it off too.
    resting: Option<Instant>,
    deadline: Deadline,
}

impl Pace {
    /// Notes that the client took some of what waits.
    pub(super) fn took(&mut self, bytes: usize) {
        if self.waiting.is_none() && self.debt.is_zero() {
            return; // it has kept nobody waiting
        }
        let now = Instant::now();
        if let Some(since) = self.waiting.replace(now) {
            self.debt += now - since;
        }
        self.debt = self.debt.saturating_sub(allowed(bytes as u64));
        self.deadline.clear();
    }

    /// Notes that all answers so far were taken. Returns since when, if one had to wait.
    pub(super) fn rest(&mut self) -> Option<Instant> {
        let since = self.waiting.take()?;
        let now = Instant::now();
        self.debt += now - since;
        self.resting = Some(now);
        self.deadline.clear();
        self.resting
    }

    /// Called when the client takes nothing. Ready when it owes more than `grace`.
    pub(super) fn poll_too_slow(&mut self, grace: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        if let Some(since) = self.resting.take() {
            self.debt = self.debt.saturating_sub(now - since);
        }
        let since = *self.waiting.get_or_insert(now);
        let end = since + grace.saturating_sub(self.debt);
        self.deadline.poll(end.saturating_duration_since(now), cx)
    }
}

/// How long a client may take for this many bytes.
fn allowed(bytes: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / LEAST_WRITE_RATE as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many milliseconds a client is borne with that takes `step` bytes every 10 ms; `None` for a
    /// second and more. With `gaps` nothing waits for it after each step, for a moment.
    fn borne(step: usize, gaps: bool) -> Option<u64> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (mut pace, begin) = (Pace::default(), Instant::now());
            for _ in 0..100 {
                let slow = std::future::poll_fn(|cx| pace.poll_too_slow(Duration::from_millis(50), cx));
                if tokio::time::timeout(Duration::from_millis(10), slow).await.is_ok() {
                    return Some(begin.elapsed().as_millis() as u64);
                }
                pace.took(step);
                if gaps {
                    pace.rest();
                }
            }
            None
        })
    }

    #[test]
    fn whoever_is_below_the_least_rate_is_given_up_and_whoever_is_above_is_not() {
        let per_step = LEAST_WRITE_RATE as usize / 100;
        for gaps in [false, true] {
            assert!(borne(0, gaps).is_some_and(|ms| (45..400).contains(&ms)));
            assert!(borne(per_step / 4, gaps).is_some_and(|ms| (55..700).contains(&ms)));
            assert_eq!(borne(per_step * 4, gaps), None);
        }
    }
}
