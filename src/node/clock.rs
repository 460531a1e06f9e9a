//! The clock. The core never reads it. The shell reads it once for each request, write or analysis, and
//! passes the time on. Ages that only people look at, as in metrics, are taken where they are shown.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::schema::value::Time;

/// A clock that moves by more than this from one event to the next, beside the time that passed, has jumped.
pub(crate) const MAX_JUMP: Duration = Duration::from_secs(300);
/// How long a clock that jumped must go on evenly before it is believed.
pub(crate) const BELIEVED_AFTER: Duration = Duration::from_secs(600);

/// The time by the system's clock.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Watches the clock by which events are received. A jump is not believed at once: until the clock has
/// gone on evenly for [`BELIEVED_AFTER`], events are received by the time that passed since before. So a
/// moment in which it is days ahead dates nothing in the future. It watches from the start of the process
/// on.
pub(crate) struct ClockWatch {
    believed: Mutex<Believed>,
    jumps: AtomicU64,
    /// By how many seconds the clock is ahead of what is believed; 0 while it is believed.
    off_s: AtomicI64,
}

/// The clock when it was last believed.
struct Believed {
    wall: Time,
    /// The time since the machine started, which nobody sets.
    uptime: Duration,
    /// By how many seconds the clock jumped, and when.
    jumped: Option<(i64, Duration)>,
}

impl ClockWatch {
    pub(crate) fn new() -> ClockWatch {
        ClockWatch::at(now(), uptime())
    }

    fn at(wall: Time, uptime: Duration) -> ClockWatch {
        let believed = Mutex::new(Believed { wall, uptime, jumped: None });
        ClockWatch { believed, jumps: AtomicU64::new(0), off_s: AtomicI64::new(0) }
    }

    /// The time at which an event is received now.
    pub(crate) fn received(&self) -> Time {
        self.judge(now(), uptime())
    }

    /// How often the clock jumped.
    pub(crate) fn jumps(&self) -> u64 {
        self.jumps.load(Ordering::Relaxed)
    }

    /// By how many seconds the clock is ahead of the time that is believed, or behind it if below 0.
    pub(crate) fn off_s(&self) -> i64 {
        self.off_s.load(Ordering::Relaxed)
    }

    fn judge(&self, wall: Time, uptime: Duration) -> Time {
        let mut believed = self.believed.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = uptime.saturating_sub(believed.uptime);
        let expected =
            Time(believed.wall.0.saturating_add(i64::try_from(passed.as_micros()).unwrap_or(i64::MAX)));
        let off_s = wall.0.saturating_sub(expected.0) / 1_000_000;
        let is_even = |to_s: i64| off_s.abs_diff(to_s) <= MAX_JUMP.as_secs();
        let since = believed.jumped.filter(|(jump_s, _)| is_even(*jump_s)).map(|(_, since)| since);
        if is_even(0) || since.is_some_and(|since| uptime.saturating_sub(since) >= BELIEVED_AFTER) {
            if self.off_s.swap(0, Ordering::Relaxed) != 0 {
                tracing::warn!(off_s, "the clock is believed again");
            }
            *believed = Believed { wall, uptime, jumped: None };
            return wall;
        }
        if since.is_none() {
            self.jumps.fetch_add(1, Ordering::Relaxed);
            self.off_s.store(off_s, Ordering::Relaxed);
            believed.jumped = Some((off_s, uptime));
            let believed_after_s = BELIEVED_AFTER.as_secs();
            tracing::error!(
                off_s,
                believed_after_s,
                "the clock jumped: events are received by the time before, until it has gone on evenly"
            );
        }
        expected
    }
}

/// The time since the machine started. Sleep counts, and no setting of the clock changes it.
fn uptime() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_800_000_000;
    const DAY: i64 = 86_400;

    #[test]
    fn a_jump_is_believed_once_the_clock_has_gone_on_evenly() {
        let watch = ClockWatch::at(Time::from_seconds(T), Duration::from_secs(100));
        for (passed, wall, received, jumps) in [
            (10, 10, 10, 0),
            (20, 20 + 299, 20 + 299, 0),
            (30, 8 * DAY, 329, 1),
            (40, 8 * DAY + 10, 339, 1),
            (50, 340, 340, 1),
            (60, -DAY, 350, 2),
            (659, -DAY + 599, 949, 2),
            (660, -DAY + 600, -DAY + 600, 2),
            (700, -DAY + 640, -DAY + 640, 2),
            (710, 9 * DAY, -DAY + 650, 3),
            (720, 5 * DAY, -DAY + 660, 4),
        ] {
            let found = watch.judge(Time::from_seconds(T + wall), Duration::from_secs(100 + passed));
            assert_eq!((found.seconds() - T, watch.jumps()), (received, jumps), "after {passed} s");
            assert_eq!(watch.off_s() != 0, found.seconds() - T != wall, "after {passed} s");
        }
    }
}
