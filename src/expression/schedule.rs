//! Schedules: the days, hours and week days on which an offer may be shown, in a time zone.
//!
//! Hours that run over midnight are a night, and a night belongs to the day on which it begins: on week days,
//! and on the first and the last day too. What comes after midnight is of the day before by the calendar.

mod read;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;

use super::keys::Keys;
use super::term::{WEEK_MINUTES, int_key, week_minute};
use crate::schema::edges;
use crate::schema::value::Time;

/// How far ahead to search for when a schedule opens next, in microseconds. It is more than two weeks,
/// because a weekly hour may fall into the hour that clocks skip in spring.
const SEARCHED: Time = Time(15 * 24 * 3_600 * 1_000_000);
const DAY_MINUTES: u64 = 24 * 60;

/// When an offer may be shown.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// It is open in each of these.
    stretches: Vec<Stretch>,
    /// It is open within one of these; at any time if there are none.
    hours: Vec<Hours>,
    /// The days of the week on which it is open; bit 0 is Monday.
    days: u8,
    zone: TimeZone,
    /// What was written, in one line for people.
    text: Box<str>,
}

/// A stretch of time, and the minutes of the week on which the schedule is open in it. The first day has no
/// night of the day before, and the day after the last has nothing but that night.
#[derive(Debug, Clone)]
pub(crate) struct Stretch {
    /// The times, as keys of `now`.
    pub(crate) times: Keys,
    /// The minutes, from Monday 00:00 in the schedule's zone; `None` if it is open on all.
    pub(crate) minutes: Option<Keys>,
}

/// Where a schedule begins or ends.
#[derive(Debug, Clone, Copy)]
enum Edge {
    /// A day of its zone, with the night that begins on it.
    Day(Date),
    At(Time),
}

/// A range of minutes since midnight, without its end. If the end is not after the start, the range crosses
/// midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hours {
    start: u16,
    end: u16,
}

const ALL_DAYS: u8 = 0b111_1111;
const WHOLE_DAY: [Hours; 1] = [Hours { start: 0, end: DAY_MINUTES as u16 }];

impl Schedule {
    fn new(
        from: Option<Edge>,
        until: Option<Edge>,
        hours: Vec<Hours>,
        days: u8,
        zone: TimeZone,
        text: Box<str>,
    ) -> Schedule {
        let mut schedule = Schedule { stretches: Vec::new(), hours, days, zone, text };
        schedule.stretches = schedule.stretches_between(from, until);
        schedule
    }

    fn stretches_between(&self, from: Option<Edge>, until: Option<Edge>) -> Vec<Stretch> {
        let (own, carried) = (self.own(), self.carried());
        let (both, all) = (own.union(&carried), Keys::range(0, u64::MAX));
        let since = match from {
            Some(Edge::Day(day)) => self.onward(Some(day)),
            Some(Edge::At(time)) => Keys::range(int_key(time.0), u64::MAX),
            None => all.clone(),
        };
        let before = match until {
            Some(Edge::Day(day)) => self.before(day.tomorrow().ok()),
            Some(Edge::At(time)) => Keys::range(0, int_key(time.0).saturating_sub(1)),
            None => all.clone(),
        };
        let mut stretches = Vec::new();
        let mut whole = since.intersection(&before);
        if !carried.is_empty() {
            if let Some(Edge::Day(day)) = from {
                let first = whole.intersection(&self.before(day.tomorrow().ok()));
                stretches.push(Stretch { times: first, minutes: Some(own) });
                whole = whole.intersection(&self.onward(day.tomorrow().ok()));
            }
            if let Some(Edge::Day(day)) = until {
                stretches.push(Stretch {
                    times: since.intersection(&self.night_after(day)),
                    minutes: Some(carried),
                });
            }
        }
        let all_week = both.others(WEEK_MINUTES - 1).is_empty();
        stretches.push(Stretch { times: whole, minutes: (!all_week).then_some(both) });
        stretches.retain(|stretch| !stretch.times.is_empty());
        stretches
    }

    /// The times whose local date is this day or later; none if there is no such day.
    fn onward(&self, day: Option<Date>) -> Keys {
        day.map_or(Keys::nothing(), |day| {
            Keys::of(edges(&self.zone, day).chunks(2).map(|turn| {
                let last = turn.get(1).map_or(u64::MAX, |end| int_key(end.0) - 1);
                (int_key(turn[0].0), last)
            }))
        })
    }

    /// The times whose local date is earlier than this day; all if there is no such day.
    fn before(&self, day: Option<Date>) -> Keys {
        self.onward(day).others(u64::MAX)
    }

    /// The times after this day that the night which began on it may reach.
    fn night_after(&self, day: Date) -> Keys {
        let (next, end) = (
            day.tomorrow().ok(),
            self.hours.iter().filter(|hours| hours.is_night()).map(|hours| hours.end).max(),
        );
        let (Some(next), Some(end), true) = (next, end, self.on(day.weekday())) else {
            return Keys::nothing();
        };
        let morning = self.onward(Some(next)).intersection(&self.before(next.tomorrow().ok()));
        let last = next.at((end / 60) as i8, (end % 60) as i8, 0, 0);
        match self.zone.to_ambiguous_timestamp(last).later() {
            Ok(last) => morning.intersection(&Keys::range(0, int_key(last.as_microsecond()) - 1)),
            Err(_) => morning,
        }
    }

    /// The minutes of the week on which it is open because of hours that began on the same day.
    fn own(&self) -> Keys {
        let hours = if self.hours.is_empty() { &WHOLE_DAY[..] } else { &self.hours };
        let days = (0..7).filter(|day| self.days >> day & 1 == 1);
        Keys::of(days.flat_map(|day| {
            hours.iter().map(move |hours| {
                let end = if hours.is_night() { DAY_MINUTES } else { u64::from(hours.end) };
                (day * DAY_MINUTES + u64::from(hours.start), day * DAY_MINUTES + end - 1)
            })
        }))
    }

    /// The minutes of the week on which it is open because of a night that began on the day before.
    fn carried(&self) -> Keys {
        let nights = self.hours.iter().filter(|hours| hours.is_night() && hours.end > 0);
        Keys::of(nights.flat_map(|night| {
            let days = (0..7).filter(|day| self.days >> day & 1 == 1);
            days.map(|day| {
                let next = (day + 1) % 7 * DAY_MINUTES;
                (next, next + u64::from(night.end) - 1)
            })
        }))
    }

    /// Whether it is open at this time.
    pub fn is_open(&self, now: Time) -> bool {
        self.stretches.iter().any(|stretch| {
            stretch.times.contains(Some(int_key(now.0)))
                && stretch.minutes.as_ref().is_none_or(|open| {
                    week_minute(&self.zone, now).is_some_and(|minute| open.contains(Some(minute)))
                })
        })
    }

    /// The next time at which it is open, `now` included. `None` if it never opens again, or not within about
    /// two weeks.
    pub fn next_open(&self, now: Time) -> Option<Time> {
        let (from, until) = self.window();
        let at = from.map_or(now, |from| from.max(now));
        if self.is_open(at) {
            return Some(at);
        }
        let end = at.0.saturating_add(SEARCHED.0);
        if until.is_some_and(|until| until <= at) {
            return None;
        }
        let instant = jiff::Timestamp::from_microsecond(at.0).ok()?;
        let today = self.zone.to_datetime(instant).date();
        let hours = if self.hours.is_empty() { &WHOLE_DAY[..] } else { &self.hours };
        // It starts with yesterday, because a clock put back at midnight reaches yesterday's end again. It
        // goes past the last day, because that day has begun already.
        let first = today.yesterday().unwrap_or(today);
        let days = std::iter::successors(Some(first), |day| day.tomorrow().ok()).take(18);
        let starts = days.filter(|day| self.on(day.weekday())).flat_map(|day| {
            hours.iter().flat_map(move |hours| {
                let start = day.at((hours.start / 60) as i8, (hours.start % 60) as i8, 0, 0);
                // An hour that comes twice has two starts.
                let start = self.zone.to_ambiguous_timestamp(start);
                [start.earlier(), start.later()].into_iter().flatten()
            })
        });
        // A clock put forward or back may land within hours whose start it skipped.
        let jumps = self.zone.following(instant).map(|jump| jump.timestamp());
        let jumps = jumps.take_while(|jump| jump.as_microsecond() < end);
        let starts = starts.chain(jumps).map(|start| Time(start.as_microsecond()));
        starts.filter(|start| *start >= at && self.is_open(*start)).min()
    }

    /// Whether it is certain that it is closed from `now` on. That is known only if its end is near enough to
    /// search all the time until then.
    pub(crate) fn is_never_open(&self, now: Time) -> bool {
        let (from, until) = self.window();
        let at = from.map_or(now, |from| from.max(now));
        until.is_some_and(|until| until.0 <= at.0.saturating_add(SEARCHED.0)) && self.next_open(now).is_none()
    }

    /// The first time at which it may be open, and the first at which it is closed for good, if it has them.
    pub(crate) fn window(&self) -> (Option<Time>, Option<Time>) {
        let times = || self.stretches.iter().flat_map(|stretch| stretch.times.ranges());
        let from = times().map(|(first, _)| *first).min().filter(|first| *first > 0);
        let until = times().map(|(_, last)| *last).max().filter(|last| *last < u64::MAX);
        (from.map(time_of), until.map(|last| time_of(last + 1)))
    }

    /// When it is open, in stretches of time that may overlap; and the zone of their minutes.
    pub(crate) fn stretches(&self) -> (&TimeZone, &[Stretch]) {
        (&self.zone, &self.stretches)
    }

    /// What was written, in one line for people.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn on(&self, day: Weekday) -> bool {
        self.days >> day.to_monday_zero_offset() & 1 == 1
    }
}

/// The time of a key of `now`.
fn time_of(key: u64) -> Time {
    Time((key ^ 1 << 63) as i64)
}

impl Hours {
    /// Whether it runs over midnight, or up to it.
    fn is_night(self) -> bool {
        self.end <= self.start
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::input::cursor::Cursor;
    use crate::input::document::Input;
    use crate::input::problem::{Problems, Source};

    fn schedule(yaml: &str) -> Result<Schedule, Problems> {
        let source = Arc::new(Source { name: "t".into(), text: yaml.into() });
        let input = Input::from_yaml(&source)?;
        let mut problems = Problems::new();
        let schedule = Schedule::read(&Cursor::root(&input, Some(&source)), &TimeZone::UTC, &mut problems);
        match schedule {
            Some(schedule) => problems.or(schedule),
            None => Err(problems),
        }
    }

    fn check(yaml: &str, open: &[&str], closed: &[&str]) {
        let schedule = schedule(yaml).unwrap();
        for (times, expected) in [(open, true), (closed, false)] {
            for time in times {
                let time = Time::parse(time).unwrap();
                assert_eq!(schedule.is_open(time), expected, "{yaml} at {time}");
            }
        }
    }

    #[test]
    fn days_are_included_whole_in_their_time_zone() {
        check(
            "{from: 2026-11-01, until: 2026-12-31, timezone: Asia/Shanghai}",
            &["2026-10-31T16:00:00Z", "2026-12-31T15:59:59Z"],
            &["2026-10-31T15:59:59Z", "2026-12-31T16:00:00Z"],
        );
        check(
            "{from: '2026-11-01T08:00:00+08:00', until: '2026-11-01T09:00:00+08:00'}",
            &["2026-11-01T00:00:00Z"],
            &["2026-11-01T01:00:00Z", "2026-10-31T23:59:59Z"],
        );
    }

    #[test]
    fn hours_run_over_midnight_and_belong_to_the_day_they_begin_on() {
        // 2026-11-20 is a Friday.
        check(
            "{hours: '22:00-06:00', days: [fri]}",
            &["2026-11-20T22:00:00Z", "2026-11-21T05:59:00Z"],
            &["2026-11-20T05:59:00Z", "2026-11-21T22:00:00Z", "2026-11-21T06:00:00Z"],
        );
        check(
            "{hours: ['08:00-12:00', '13:00-24:00']}",
            &["2026-11-20T08:00:00Z", "2026-11-20T23:59:59Z"],
            &["2026-11-20T12:00:00Z", "2026-11-20T00:00:00Z"],
        );
    }

    #[test]
    fn the_night_of_the_last_day_is_whole_and_the_one_before_the_first_day_is_none() {
        check(
            "{from: 2026-12-30, until: 2026-12-31, hours: '22:00-06:00', timezone: Europe/Berlin}",
            &[
                "2026-12-30T22:00:00+01:00",
                "2026-12-31T05:59:59+01:00",
                "2026-12-31T22:00:00+01:00",
                "2027-01-01T02:00:00+01:00",
                "2027-01-01T05:59:59+01:00",
            ],
            &[
                "2026-12-29T23:00:00+01:00",
                "2026-12-30T02:00:00+01:00",
                "2026-12-30T21:59:59+01:00",
                "2026-12-31T06:00:00+01:00",
                "2027-01-01T06:00:00+01:00",
                "2027-01-01T22:00:00+01:00",
            ],
        );
        // One day; other hours on it; the last day not among the week days; 2026-12-31 is a Thursday.
        check(
            "{from: 2026-12-31, until: 2026-12-31, hours: ['22:00-02:00', '08:00-09:00']}",
            &["2026-12-31T08:30:00Z", "2027-01-01T01:59:00Z"],
            &["2026-12-31T01:00:00Z", "2027-01-01T08:30:00Z", "2027-01-01T02:00:00Z"],
        );
        check(
            "{from: 2026-12-30, until: 2026-12-31, days: [wed], hours: '22:00-02:00'}",
            &["2026-12-30T23:00:00Z", "2026-12-31T01:00:00Z"],
            &["2026-12-31T23:00:00Z", "2027-01-01T01:00:00Z", "2026-12-30T01:00:00Z"],
        );
        // A time cuts the night where it says.
        check(
            "{from: '2026-12-30T01:00:00Z', until: '2027-01-01T01:00:00Z', hours: '22:00-06:00'}",
            &["2026-12-30T01:00:00Z", "2026-12-30T05:00:00Z", "2027-01-01T00:59:59Z"],
            &["2026-12-30T00:59:59Z", "2027-01-01T01:00:00Z"],
        );
        check(
            "{from: 2026-12-30, until: 9999-12-31}",
            &["2026-12-30T00:00:00Z", "9999-12-01T00:00:00Z"],
            &[],
        );
    }

    #[test]
    fn it_opens_next_where_its_nights_begin() {
        for (now, next) in [
            ("2026-12-29T23:00:00Z", Some("2026-12-30T22:00:00Z")),
            ("2026-12-30T02:00:00Z", Some("2026-12-30T22:00:00Z")),
            ("2026-12-31T10:00:00Z", Some("2026-12-31T22:00:00Z")),
            ("2027-01-01T02:00:00Z", Some("2027-01-01T02:00:00Z")),
            ("2027-01-01T06:00:00Z", None),
        ] {
            let schedule = schedule("{from: 2026-12-30, until: 2026-12-31, hours: '22:00-06:00'}").unwrap();
            let found = schedule.next_open(Time::parse(now).unwrap());
            assert_eq!(found, next.map(|next| Time::parse(next).unwrap()), "{now}");
            let window = (Time::parse("2026-12-30").unwrap(), Time::parse("2027-01-01T06:00:00Z").unwrap());
            assert_eq!(schedule.window(), (Some(window.0), Some(window.1)));
        }
    }

    #[test]
    fn it_opens_next_at_the_first_minute_that_is_open() {
        const MINUTE: i64 = 60_000_000;
        let mut rng = fastrand::Rng::with_seed(17);
        // Moments near which the zone's clocks are changed.
        let places = [
            ("Europe/Berlin", "2026-10-24T12:00:00Z"),
            ("Europe/Berlin", "2027-03-27T12:00:00Z"),
            ("Australia/Lord_Howe", "2026-10-03T12:00:00Z"),
            ("America/St_Johns", "2010-11-06T12:00:00Z"),
            ("America/Sao_Paulo", "2018-11-03T12:00:00Z"),
            ("Pacific/Apia", "2011-12-29T12:00:00Z"),
        ];
        for _ in 0..crate::testing::rounds(30, 2_000) {
            let (zone, near) = places[rng.usize(0..places.len())];
            let near = Time::parse(near).unwrap();
            let day = |days: i64| Time(near.0 + days * 1_440 * MINUTE).to_string()[..10].to_owned();
            let mut parts = vec![format!("timezone: {zone}")];
            if rng.bool() {
                parts.push(format!("from: {}", day(rng.i64(-3..2))));
            }
            if rng.bool() {
                parts.push(format!("until: {}", day(rng.i64(2..6))));
            }
            if rng.bool() {
                let days: Vec<&str> =
                    ["mon", "wed", "thu", "fri", "sat", "sun"].into_iter().filter(|_| rng.bool()).collect();
                parts.push(format!("days: [tue, {}]", days.join(", ")));
            }
            if rng.u8(0..4) > 0 {
                let (start, end) = (rng.u32(0..1_440), rng.u32(0..1_440));
                if start != end {
                    let text = |at: u32| format!("{:02}:{:02}", at / 60, at % 60);
                    parts.push(format!("hours: '{}-{}'", text(start), text(end)));
                }
            }
            let text = format!("{{{}}}", parts.join(", "));
            let schedule = schedule(&text.replace(", ]", "]")).unwrap();
            let now = Time(near.0 + rng.i64(-2_000..4_000) * MINUTE);
            let first =
                (0..14 * 1_440).map(|after| Time(now.0 + after * MINUTE)).find(|at| schedule.is_open(*at));
            let found = schedule.next_open(now).filter(|at| at.0 < now.0 + 14 * 1_440 * MINUTE);
            assert_eq!(found, first, "{text} at {now}");
        }
    }

    #[test]
    fn summer_time_moves_the_hours() {
        check(
            "{hours: '08:00-09:00', timezone: Europe/Berlin}",
            &["2026-07-01T06:30:00Z", "2026-12-01T07:30:00Z"],
            &["2026-07-01T07:30:00Z", "2026-12-01T06:30:00Z"],
        );
    }

    #[test]
    fn it_says_when_it_is_open_next() {
        // 2026-11-20 is a Friday.
        for (yaml, now, next) in [
            ("{from: 2026-12-01}", "2026-11-20T10:00:00Z", Some("2026-12-01T00:00:00Z")),
            ("{from: 2026-12-01}", "2026-12-20T10:00:00Z", Some("2026-12-20T10:00:00Z")),
            ("{until: 2026-11-19}", "2026-11-20T10:00:00Z", None),
            ("{hours: ['08:00-12:00', '13:00-22:00']}", "2026-11-20T12:30:00Z", Some("2026-11-20T13:00:00Z")),
            ("{hours: '08:00-12:00', days: [fri]}", "2026-11-20T12:30:00Z", Some("2026-11-27T08:00:00Z")),
            ("{days: [mon]}", "2026-11-20T12:30:00Z", Some("2026-11-23T00:00:00Z")),
            ("{days: [mon], until: 2026-11-22}", "2026-11-20T12:30:00Z", None),
            (
                "{hours: '08:00-09:00', timezone: Asia/Shanghai}",
                "2026-11-20T12:30:00Z",
                Some("2026-11-21T00:00:00Z"),
            ),
            // In Berlin 02:00 to 03:00 is left out on 2027-03-28 and comes twice on 2026-10-25, both Sundays.
            (
                "{days: [sun], hours: '02:15-02:45', timezone: Europe/Berlin}",
                "2027-03-21T12:00:00Z",
                Some("2027-04-04T00:15:00Z"),
            ),
            (
                "{days: [sun], hours: '02:15-04:00', timezone: Europe/Berlin}",
                "2027-03-21T12:00:00Z",
                Some("2027-03-28T01:00:00Z"),
            ),
            (
                "{hours: '02:15-02:45', timezone: Europe/Berlin}",
                "2026-10-25T00:50:00Z",
                Some("2026-10-25T01:15:00Z"),
            ),
            (
                "{hours: '01:00-02:30', timezone: Europe/Berlin}",
                "2026-10-25T00:50:00Z",
                Some("2026-10-25T01:00:00Z"),
            ),
            // 00:01 becomes 23:01 of the Saturday.
            (
                "{days: [sat], hours: '23:30-23:50', timezone: America/St_Johns}",
                "2010-11-07T02:30:30Z",
                Some("2010-11-07T03:00:00Z"),
            ),
        ] {
            let found = schedule(yaml).unwrap().next_open(Time::parse(now).unwrap());
            assert_eq!(found, next.map(|next| Time::parse(next).unwrap()), "{yaml}");
        }
    }

    #[test]
    fn that_it_is_never_open_is_said_only_if_all_time_until_its_end_was_searched() {
        let sunday =
            "from: '2027-03-21T12:00:00Z', days: [sun], hours: '02:15-02:45', timezone: Europe/Berlin";
        for (until, never) in [
            ("", false),
            (", until: '2027-04-04T00:15:00Z'", true),
            (", until: '2027-04-04T00:16:00Z'", false),
            (", until: '2027-06-01'", false),
        ] {
            let schedule = schedule(&format!("{{{sunday}{until}}}")).unwrap();
            assert_eq!(
                schedule.is_never_open(Time::parse("2026-11-20T10:00:00Z").unwrap()),
                never,
                "{until}"
            );
        }
    }

    #[test]
    fn what_is_never_open_or_not_readable_is_a_problem() {
        for yaml in [
            "{from: 2026-12-01, until: 2026-11-01}",
            "{days: []}",
            "{days: [monday]}",
            "{hours: '8-22'}",
            "{hours: '08:00-08:00'}",
            "{hours: '25:00-26:00'}",
            "{hours: '+8:00-22:00'}",
            "{from: 2026-02-30}",
            "{until: '2026-11-01T10:00:00+25:00'}",
            "{until: '2016-12-31T23:59:60Z'}",
            "{until: 2026-11-01T10}",
            "{timezone: Shanghai}",
            "{from: soon}",
            "{form: 2026-12-01}",
        ] {
            assert!(schedule(yaml).is_err(), "{yaml}");
        }
    }
}
