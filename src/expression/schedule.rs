//! Schedules: the days, hours and week days on which an offer may be shown, in a time zone.

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;

use crate::input::cursor::{Cursor, Object};
use crate::input::document::InputValue;
use crate::input::problem::{Problems, quoted};
use crate::schema::read_zone;
use crate::schema::value::Time;

/// The most ranges of hours in one schedule.
const MAX_HOURS: usize = 24;

/// How far ahead to search for when a schedule opens next, in microseconds. It is more than two weeks,
/// because a weekly hour may fall into the hour that clocks skip in spring.
const SEARCHED: Time = Time(15 * 24 * 3_600 * 1_000_000);

/// When an offer may be shown.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The first time at which it is open, if there is one.
    from: Option<Time>,
    /// The first time at which it is closed for good, if there is one.
    until: Option<Time>,
    /// It is open within one of these; at any time if there are none.
    hours: Vec<Hours>,
    /// The days of the week on which it is open; bit 0 is Monday.
    days: u8,
    zone: TimeZone,
    /// What was written, in one line for people.
    text: Box<str>,
}

/// A range of minutes since midnight, without its end. If the end is not after the start, the range crosses
/// midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hours {
    start: u16,
    end: u16,
}

const ALL_DAYS: u8 = 0b111_1111;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Schedule {
    /// Whether it is open at this time.
    pub fn is_open(&self, now: Time) -> bool {
        if self.from.is_some_and(|from| now < from) || self.until.is_some_and(|until| now >= until) {
            return false;
        }
        if self.hours.is_empty() && self.days == ALL_DAYS {
            return true;
        }
        let Ok(instant) = jiff::Timestamp::from_microsecond(now.0) else { return false };
        let local = self.zone.to_datetime(instant);
        if self.hours.is_empty() {
            return self.on(local.weekday());
        }
        self.hours.iter().any(|hours| self.within(*hours, local))
    }

    /// The next time at which it is open, `now` included. `None` if it never opens again, or not within about
    /// two weeks.
    pub fn next_open(&self, now: Time) -> Option<Time> {
        let at = self.from.map_or(now, |from| from.max(now));
        if self.is_open(at) {
            return Some(at);
        }
        let end = at.0.saturating_add(SEARCHED.0);
        if self.until.is_some_and(|until| until <= at) {
            return None;
        }
        let instant = jiff::Timestamp::from_microsecond(at.0).ok()?;
        let today = self.zone.to_datetime(instant).date();
        let midnight = [Hours { start: 0, end: 24 * 60 }];
        let hours = if self.hours.is_empty() { &midnight[..] } else { &self.hours };
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
        let at = self.from.map_or(now, |from| from.max(now));
        self.until.is_some_and(|until| until.0 <= at.0.saturating_add(SEARCHED.0))
            && self.next_open(now).is_none()
    }

    /// The first time at which it is open, and the first at which it is closed for good, if it has them.
    pub(crate) fn window(&self) -> (Option<Time>, Option<Time>) {
        (self.from, self.until)
    }

    /// The minutes of the week on which it is open, as ranges with both ends included. Minute 0 is Monday
    /// 00:00 in its zone. `None` if it is open on all.
    pub(crate) fn week(&self) -> Option<(&TimeZone, Vec<(u64, u64)>)> {
        const DAY: u64 = 24 * 60;
        if self.hours.is_empty() && self.days == ALL_DAYS {
            return None;
        }
        let whole = [Hours { start: 0, end: DAY as u16 }];
        let hours = if self.hours.is_empty() { &whole[..] } else { &self.hours };
        let mut open = Vec::new();
        for day in (0..7).filter(|day| self.days >> day & 1 == 1) {
            for Hours { start, end } in hours {
                let (midnight, start, end) = (day * DAY, u64::from(*start), u64::from(*end));
                if start < end {
                    open.push((midnight + start, midnight + end - 1));
                    continue;
                }
                open.push((midnight + start, midnight + DAY - 1));
                if end > 0 {
                    let next = (day + 1) % 7 * DAY;
                    open.push((next, next + end - 1));
                }
            }
        }
        Some((&self.zone, open))
    }

    /// What was written, in one line for people.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn on(&self, day: Weekday) -> bool {
        self.days >> day.to_monday_zero_offset() & 1 == 1
    }

    fn within(&self, hours: Hours, local: DateTime) -> bool {
        let minute = local.hour() as u16 * 60 + local.minute() as u16;
        if hours.start < hours.end {
            return (hours.start..hours.end).contains(&minute) && self.on(local.weekday());
        }
        // The hours after midnight belong to the day on which the range began.
        (minute >= hours.start && self.on(local.weekday()))
            || (minute < hours.end && self.on(local.weekday().previous()))
    }

    /// Reads a schedule; everything that is wrong with it becomes a problem.
    pub(crate) fn read(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Option<Schedule> {
        let object = cursor.object(&["from", "until", "hours", "days", "timezone"], problems)?;
        object.refuse_blanks(problems);
        let zone = match object.get("timezone") {
            Some(cursor) => read_zone(cursor, problems)?,
            None => TimeZone::UTC,
        };
        let mut edge = |name: &str, end: bool| match object.get(name) {
            Some(cursor) => read_edge(cursor, &zone, end, problems).map(Some),
            None => Some(None),
        };
        let (from, until) = (edge("from", false), edge("until", true));
        let hours = match object.get("hours") {
            Some(cursor) => read_hours(cursor, problems)?,
            None => Vec::new(),
        };
        let days = match object.get("days") {
            Some(cursor) => read_days(cursor, problems)?,
            None => ALL_DAYS,
        };
        let (from, until) = (from?, until?);
        if let (Some(from), Some(until)) = (from, until)
            && from >= until
        {
            problems.push(cursor.problem("`from` is not before `until`: the schedule is never open"));
        }
        let text = describe(&object);
        Some(Schedule { from, until, hours, days, zone, text })
    }
}

fn describe(object: &Object<'_, '_>) -> Box<str> {
    let mut text = String::new();
    for field in ["from", "until", "hours", "days", "timezone"] {
        let Some(cursor) = object.get(field) else { continue };
        let value = match &cursor.input.value {
            InputValue::Text(value) => value.to_string(),
            InputValue::List(items) => {
                let texts = items.iter().map(|item| match &item.value {
                    InputValue::Text(text) => text.to_string(),
                    other => other.describe(),
                });
                texts.collect::<Vec<_>>().join(", ")
            }
            other => other.describe(),
        };
        text.push_str(&format!("{}{field} {value}", if text.is_empty() { "" } else { ", " }));
    }
    text.into()
}

/// Reads a day in the zone, or an RFC 3339 time. A day as the end is included as a whole.
fn read_edge(cursor: &Cursor<'_, '_>, zone: &TimeZone, end: bool, problems: &mut Problems) -> Option<Time> {
    let text = cursor.text(problems)?;
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(Time(instant.as_microsecond()));
    }
    let day = text.parse::<Date>().ok().filter(|_| text.len() == 10);
    let day = day.and_then(|day| if end { day.tomorrow().ok() } else { Some(day) });
    match day.and_then(|day| day.to_zoned(zone.clone()).ok()) {
        Some(midnight) => Some(Time(midnight.timestamp().as_microsecond())),
        None => {
            let expected = "expected a day such as 2026-11-01 or a time such as 2026-11-01T08:00:00+08:00";
            problems.push(cursor.problem(format!("{expected}, found {}", quoted(text))));
            None
        }
    }
}

fn read_hours(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Option<Vec<Hours>> {
    let read = |cursor: &Cursor<'_, '_>, problems: &mut Problems| {
        let text = cursor.text(problems)?;
        let hours = text.split_once('-').and_then(|(start, end)| {
            let hours = Hours { start: minutes(start)?, end: minutes(end)? };
            (hours.start != hours.end && hours.start < 24 * 60).then_some(hours)
        });
        if hours.is_none() {
            problems.push(
                cursor.problem(format!("expected hours such as '08:00-22:00', found {}", quoted(text))),
            );
        }
        hours
    };
    if !matches!(cursor.input.value, InputValue::List(_)) {
        return Some(vec![read(cursor, problems)?]);
    }
    let items: Vec<Cursor<'_, '_>> = cursor.items(problems)?.collect();
    if items.is_empty() || items.len() > MAX_HOURS {
        problems.push(
            cursor.problem(format!("expected 1 to {MAX_HOURS} ranges of hours, found {}", items.len())),
        );
        return None;
    }
    items.iter().map(|item| read(item, problems)).collect()
}

/// Reads `08:30` as minutes since midnight; `24:00` is the end of the day.
fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    if hour.len() != 2 || minute.len() != 2 {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let total = hour * 60 + minute;
    (minute < 60 && total <= 24 * 60).then_some(total)
}

fn read_days(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Option<u8> {
    let mut days = 0;
    for item in cursor.items(problems)? {
        let Some(name) = item.text(problems) else { continue };
        match DAYS.iter().position(|day| *day == name) {
            Some(day) => days |= 1 << day,
            None => problems.push(item.problem(format!(
                "expected one of {}, found {}",
                DAYS.join(", "),
                quoted(name)
            ))),
        }
    }
    if days == 0 {
        problems.push(cursor.problem("no day is listed: the schedule is never open"));
    }
    Some(days)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::input::document::Input;
    use crate::input::problem::Source;

    fn schedule(yaml: &str) -> Result<Schedule, Problems> {
        let source = Arc::new(Source { name: "t".into(), text: yaml.into() });
        let input = Input::from_yaml(&source)?;
        let mut problems = Problems::new();
        let schedule = Schedule::read(&Cursor::root(&input, Some(&source)), &mut problems);
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
            "{timezone: Shanghai}",
            "{from: soon}",
            "{form: 2026-12-01}",
        ] {
            assert!(schedule(yaml).is_err(), "{yaml}");
        }
    }
}
