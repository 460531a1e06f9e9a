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

/// The pace of one answer, or of several that wait together.
#[derive(Default)]
pub(super) struct Pace {
    /// When the client first kept us waiting.
    since: Option<Instant>,
    /// Bytes that it took since then.
    taken: u64,
    deadline: Deadline,
}

impl Pace {
    /// Notes that the client took some of what waits.
    pub(super) fn took(&mut self, bytes: usize) {
        self.taken += bytes as u64;
    }

    /// Notes that all answers so far were taken.
    pub(super) fn clear(&mut self) {
        if self.since.is_some() {
            *self = Pace::default();
        }
    }

    /// Called when the client takes nothing. Ready when it has been too slow: it has `grace`, and as much
    /// time again as the bytes it took need at the least rate.
    pub(super) fn poll_too_slow(&mut self, grace: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        if self.since.is_none() {
            (self.since, self.taken) = (Some(now), 0);
        }
        let since = self.since.unwrap_or(now);
        let end = since + grace + allowed(self.taken);
        loop {
            if self.deadline.poll(end.saturating_duration_since(now), cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= end {
                return Poll::Ready(());
            }
            self.deadline.clear(); // it was set when the client had taken less
        }
    }
}

/// How long a client may take for this many bytes.
fn allowed(bytes: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / LEAST_WRITE_RATE as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many milliseconds a client is borne with that takes `step` bytes every 10 ms.
    fn borne(step: usize) -> Option<u64> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (mut pace, begin) = (Pace::default(), Instant::now());
            for _ in 0..100 {
                let slow = std::future::poll_fn(|cx| pace.poll_too_slow(Duration::from_millis(50), cx));
                if tokio::time::timeout(Duration::from_millis(10), slow).await.is_ok() {
                    return Some(begin.elapsed().as_millis() as u64);
                }
                pace.took(step);
            }
            None
        })
    }

    #[test]
    fn whoever_is_below_the_least_rate_is_given_up_and_whoever_is_above_is_not() {
        let per_step = LEAST_WRITE_RATE as usize / 100;
        assert!(borne(0).is_some_and(|ms| (45..400).contains(&ms)));
        assert!(borne(per_step / 4).is_some_and(|ms| (55..700).contains(&ms)));
        assert_eq!(borne(per_step * 4), None);
    }
}
