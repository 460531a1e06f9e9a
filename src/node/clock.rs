//! The clock. The core never reads it. The shell reads it once for each request, write or analysis, and
//! passes the time on. Ages that only people look at, as in metrics, are taken where they are shown.
//!
//! A running node has one time for all that it does: that of its [`ClockWatch`].

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::schema::value::{DAY_SECONDS, Time};

/// A clock that moves by more than this beside the time that passed has jumped.
pub(crate) const MAX_JUMP: Duration = Duration::from_secs(300);
/// How long a clock that jumped must go on evenly before it is believed.
pub(crate) const BELIEVED_AFTER: Duration = Duration::from_secs(600);
/// A start says how long ago the newest record was written if that is longer ago than this.
const LONG_AGO_S: i64 = DAY_SECONDS as i64;

/// How long a clock that was found even is believed without another look, in microseconds, and how far it may
/// meanwhile go back.
const EVEN_FOR_US: i64 = 1_000_000;
const EVEN_BEFORE_US: i64 = 100_000;
/// In place of a time: every reading is looked at.
const NOT_EVEN: i64 = i64::MAX;

/// The time by the system's clock.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// The time that a node believes. Decisions, budgets, caps, the ages of tokens and the journal all go by it.
///
/// **A jump is not believed at once.** Until the clock has gone on evenly for [`BELIEVED_AFTER`], the time
/// goes on as it passed since before. So a moment in which the clock is days ahead dates nothing in the
/// future.
///
/// **At a start** the newest record is all that is known of the time before. A clock that is ahead of it is
/// believed: the node was off. A clock that is behind it is not, for as long as after a jump: dates that go
/// back would let budgets and caps be used twice. The newest record's time goes on instead. The clock is
/// believed at once when it is set so that it is after that record; a clock that is not set by then was
/// right, and the record was dated ahead.
///
/// **Soon after a start** a clock that is set back, and still is not before the newest record, is believed at
/// once as well: it was ahead when the machine started.
pub(crate) struct ClockWatch {
    /// The earliest reading that needs no look, in microseconds since 1970, or [`NOT_EVEN`].
    even_from: AtomicI64,
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
    newest: Option<NewestRecord>,
}

/// What the newest record says of the time, until the clock has proved itself.
#[derive(Clone, Copy)]
struct NewestRecord {
    /// When it was written.
    at: Time,
    /// When the node started, as time since the machine did.
    started: Duration,
    /// Whether its time goes on in place of the clock's.
    goes_on: bool,
}

impl NewestRecord {
    /// Whether the start is so long ago that a clock that is set back is no longer believed for it.
    fn is_past(&self, uptime: Duration) -> bool {
        uptime.saturating_sub(self.started) >= BELIEVED_AFTER
    }
}

impl ClockWatch {
    /// A watch that believes the clock.
    pub(crate) fn new() -> ClockWatch {
        ClockWatch::at(now(), uptime())
    }

    /// The watch of a node that starts with records, the newest of which was written at `dated`, or with the
    /// snapshot of `taken_s`; both in seconds since 1970, and 0 where there is none. If the clock is
    /// `trusted` it is believed at once.
    pub(crate) fn of_start(dated: u32, taken_s: u64, trusted: bool) -> ClockWatch {
        let newest_s = if dated > 0 { dated.into() } else { taken_s.cast_signed() };
        if trusted || newest_s == 0 {
            return ClockWatch::new();
        }
        ClockWatch::starting(Time::from_seconds(newest_s), now(), uptime())
    }

    fn at(wall: Time, uptime: Duration) -> ClockWatch {
        let believed = Mutex::new(Believed { wall, uptime, jumped: None, newest: None });
        let even_from = AtomicI64::new(NOT_EVEN);
        ClockWatch { even_from, believed, jumps: AtomicU64::new(0), off_s: AtomicI64::new(0) }
    }

    fn starting(newest: Time, wall: Time, uptime: Duration) -> ClockWatch {
        let ahead_s = wall.0.saturating_sub(newest.0) / 1_000_000;
        let goes_on = ahead_s < -(MAX_JUMP.as_secs() as i64);
        let watch = ClockWatch::at(if goes_on { newest } else { wall }, uptime);
        let record = NewestRecord { at: newest, started: uptime, goes_on };
        watch.believed.lock().unwrap_or_else(PoisonError::into_inner).newest = Some(record);
        if goes_on {
            watch.judge(wall, uptime); // so that the first look at its health finds it
        } else if ahead_s > LONG_AGO_S {
            tracing::warn!(
                ahead_s,
                "the newest record is long ago: if this server was not off for so long, set the clock right"
            );
        }
        watch
    }

    /// The time now. While the clock goes evenly this is one look at it.
    #[inline]
    pub(crate) fn now(&self) -> Time {
        let wall = now();
        let beyond = wall.0.wrapping_sub(self.even_from.load(Ordering::Relaxed));
        if (0..EVEN_BEFORE_US + EVEN_FOR_US).contains(&beyond) { wall } else { self.judge(wall, uptime()) }
    }

    /// How often the clock jumped.
    pub(crate) fn jumps(&self) -> u64 {
        self.jumps.load(Ordering::Relaxed)
    }

    /// By how many seconds the clock is ahead of the time that is believed, or behind it if below 0.
    pub(crate) fn off_s(&self) -> i64 {
        self.now(); // nobody else may have looked since it jumped
        self.off_s.load(Ordering::Relaxed)
    }

    /// Whether the clock is known to be right as far as one can know: it is believed, and it has gone on for
    /// [`BELIEVED_AFTER`] since a start with records. Before that it may still be set back. What cannot be
    /// taken back waits for this.
    pub(crate) fn is_proved(&self) -> bool {
        self.off_s() == 0 && self.has_outlasted_the_start(uptime())
    }

    fn has_outlasted_the_start(&self, uptime: Duration) -> bool {
        let believed = self.believed.lock().unwrap_or_else(PoisonError::into_inner);
        believed.newest.is_none_or(|newest| newest.is_past(uptime))
    }

    #[cold]
    fn judge(&self, wall: Time, uptime: Duration) -> Time {
        let mut believed = self.believed.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = uptime.saturating_sub(believed.uptime);
        let expected =
            Time(believed.wall.0.saturating_add(i64::try_from(passed.as_micros()).unwrap_or(i64::MAX)));
        let off_s = wall.0.saturating_sub(expected.0) / 1_000_000;
        let is_even = |to_s: i64| off_s.abs_diff(to_s) <= MAX_JUMP.as_secs();
        let since = believed.jumped.filter(|(jump_s, _)| is_even(*jump_s)).map(|(_, since)| since);
        let waited = since.is_some_and(|since| uptime.saturating_sub(since) >= BELIEVED_AFTER);
        if is_even(0) || waited || believed.is_set_right(wall, expected, uptime) {
            if self.off_s.swap(0, Ordering::Relaxed) != 0 {
                tracing::warn!(off_s, "the clock is believed again");
            } else if !is_even(0) {
                tracing::warn!(off_s, "the clock was set soon after the start: it is believed");
            }
            let goes_on = false;
            let newest = if waited { None } else { believed.newest };
            let newest = newest.map(|newest| NewestRecord { goes_on, ..newest });
            *believed = Believed { wall, uptime, jumped: None, newest };
            self.even_from.store(wall.0.saturating_sub(EVEN_BEFORE_US), Ordering::Relaxed);
            return wall;
        }
        if since.is_none() {
            self.even_from.store(NOT_EVEN, Ordering::Relaxed);
            self.jumps.fetch_add(1, Ordering::Relaxed);
            self.off_s.store(off_s, Ordering::Relaxed);
            believed.jumped = Some((off_s, uptime));
            believed.tell(off_s);
        }
        expected
    }
}

impl Believed {
    /// Whether a clock that is not even was set right since the start. That it is not before the newest
    /// record speaks for it.
    fn is_set_right(&self, wall: Time, expected: Time, uptime: Duration) -> bool {
        self.newest.is_some_and(|newest| {
            let NewestRecord { at, started, goes_on } = newest;
            let since = uptime.saturating_sub(started);
            let least = at.0.saturating_add(i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
            let least = least.saturating_sub(i64::try_from(MAX_JUMP.as_micros()).unwrap_or(i64::MAX));
            !newest.is_past(uptime) && wall.0 >= least && (goes_on || wall < expected)
        })
    }

    fn tell(&self, off_s: i64) {
        let believed_after_s = BELIEVED_AFTER.as_secs();
        if self.newest.is_some_and(|newest| newest.goes_on) {
            tracing::error!(
                off_s,
                believed_after_s,
                "the clock is before the newest record: time goes on from that record, until the clock is set or \
                 has gone on evenly. If the clock is right, start with --trust-clock"
            );
        } else {
            tracing::error!(
                off_s,
                believed_after_s,
                "the clock jumped: time goes on as before, until the clock has gone on evenly"
            );
        }
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

    /// What the watch makes of the clock, at seconds after its start: (passed, clock, believed, jumps).
    fn check(watch: &ClockWatch, looks: &[(u64, i64, i64, u64)]) {
        for (passed, wall, time, jumps) in looks.iter().copied() {
            let found = watch.judge(Time::from_seconds(T + wall), Duration::from_secs(100 + passed));
            assert_eq!((found.seconds() - T, watch.jumps()), (time, jumps), "after {passed} s");
            let off_s = watch.off_s.load(Ordering::Relaxed);
            assert_eq!(off_s != 0, time != wall, "after {passed} s: {off_s}");
            let even = watch.even_from.load(Ordering::Relaxed) != NOT_EVEN;
            assert_eq!(even, time == wall, "after {passed} s");
        }
    }

    /// A watch that starts when the clock is `wall` and the newest record is of [`T`].
    fn started(wall: i64) -> ClockWatch {
        ClockWatch::starting(Time::from_seconds(T), Time::from_seconds(T + wall), Duration::from_secs(100))
    }

    #[test]
    fn a_jump_is_believed_once_the_clock_has_gone_on_evenly() {
        check(
            &ClockWatch::at(Time::from_seconds(T), Duration::from_secs(100)),
            &[
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
            ],
        );
    }

    #[test]
    fn a_start_before_the_newest_record_goes_on_from_it_until_the_clock_is_set() {
        check(&started(-299), &[(1, -298, -298, 0)]);
        check(&started(-8 * DAY), &[(0, -8 * DAY, 0, 1), (30, -8 * DAY + 30, 30, 1), (40, 5000, 5000, 1)]);
        // Who is set to a time that is not after the record is not believed for that.
        check(&started(-8 * DAY), &[(30, -DAY, 30, 2), (40, -100, -100, 2), (50, -90, -90, 2)]);
        // The record was dated ahead.
        check(
            &started(-8 * DAY),
            &[
                (599, -8 * DAY + 599, 599, 1),
                (600, -8 * DAY + 600, -8 * DAY + 600, 1),
                (700, 0, -8 * DAY + 700, 2),
            ],
        );
    }

    #[test]
    fn a_start_after_the_newest_record_is_believed_and_may_soon_be_set_back() {
        let day_ahead = |after: u64| (after, DAY + after as i64, DAY + after as i64, 0);
        check(&started(DAY), &[day_ahead(0), day_ahead(20), (30, 500, 500, 0), (40, 510, 510, 0)]);
        // Not to before the record, not far ahead, and not for ever.
        check(&started(DAY), &[day_ahead(20), (330, 0, DAY + 330, 1)]);
        check(&started(DAY), &[day_ahead(20), (30, 9 * DAY, DAY + 30, 1)]);
        check(&started(DAY), &[day_ahead(300), day_ahead(599), (600, 1000, DAY + 600, 1)]);
    }

    #[test]
    fn a_clock_is_proved_when_it_has_outlasted_the_start() {
        /// Whether a watch is proved so many seconds after its start.
        fn proved(watch: &ClockWatch, passed: u64, wall: i64) -> bool {
            watch.judge(Time::from_seconds(T + wall), Duration::from_secs(100 + passed));
            watch.off_s.load(Ordering::Relaxed) == 0
                && watch.has_outlasted_the_start(Duration::from_secs(100 + passed))
        }
        let first = ClockWatch::at(Time::from_seconds(T), Duration::from_secs(100));
        assert_eq!(
            [(1, 1), (2, DAY), (3, 3)].map(|(passed, wall)| proved(&first, passed, wall)),
            [true, false, true]
        );
        let ahead = started(DAY);
        let looks = [(5, DAY + 5), (30, 500), (599, 1069), (600, 1070), (700, 0), (701, 1171)];
        assert_eq!(
            looks.map(|(passed, wall)| proved(&ahead, passed, wall)),
            [false, false, false, true, false, true]
        );
        let behind = started(-8 * DAY);
        let looks = [(5, 5 - 8 * DAY), (599, 599 - 8 * DAY), (600, 600 - 8 * DAY)];
        assert_eq!(looks.map(|(passed, wall)| proved(&behind, passed, wall)), [false, false, true]);
        assert!(ClockWatch::new().is_proved() && ClockWatch::of_start(0, 0, false).is_proved());
        let long_ago = T as u32 - 1_000_000_000;
        assert!(
            ClockWatch::of_start(long_ago, 0, true).is_proved()
                && !ClockWatch::of_start(long_ago, 0, false).is_proved()
        );
    }

    #[test]
    fn an_even_clock_is_looked_at_once_a_second() {
        let watch = ClockWatch::new();
        let first = watch.now();
        let even_from = watch.even_from.load(Ordering::Relaxed);
        assert!(first.0 - even_from < EVEN_BEFORE_US + EVEN_FOR_US);
        while watch.even_from.load(Ordering::Relaxed) == even_from {
            assert!(watch.now().0 < first.0 + 60_000_000);
        }
        assert_eq!((watch.jumps(), watch.off_s()), (0, 0));
    }
}
