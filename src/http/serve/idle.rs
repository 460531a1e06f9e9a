//! How long a connection may wait for its next request.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// The time since the last answer, and a timer for it. Requests only note the time: the timer runs on beside
/// them, and when it ends it is set to what is left. So a busy connection sets one timer in all that time,
/// and not one for each request.
pub(super) struct Idle {
    most: Duration,
    since: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Idle {
    /// Waits from now on, and for at most this long.
    pub(super) fn new(most: Duration) -> Idle {
        Idle { most, since: Instant::now(), timer: None }
    }

    /// Waits from this moment on, if it is later than what was noted before.
    pub(super) fn note(&mut self, since: Instant) {
        self.since = self.since.max(since);
    }

    /// Ready once the wait has been too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let end = self.since + self.most;
        match &mut self.timer {
            None => self.timer = Some(Box::pin(tokio::time::sleep_until(end.into()))),
            // It was polled before, so it wakes this task.
            Some(timer) if !timer.is_elapsed() => return Poll::Pending,
            Some(_) if end <= Instant::now() => return Poll::Ready(()),
            Some(timer) => timer.as_mut().reset(end.into()),
        }
        self.timer.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_counted_from_what_was_noted_last() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (most, begun) = (Duration::from_millis(60), Instant::now());
            let mut idle = Idle::new(most);
            for _ in 0..3 {
                let waited = std::future::poll_fn(|cx| idle.poll(cx));
                assert!(tokio::time::timeout(most / 2, waited).await.is_err());
                idle.note(Instant::now());
            }
            idle.note(begun); // earlier than what was noted
            std::future::poll_fn(|cx| idle.poll(cx)).await;
            let took = begun.elapsed();
            assert!(took >= most * 5 / 2 && took < most * 8, "{took:?}");
        });
    }
}
