//! Reading a schedule as a data team writes it.

use jiff::tz::TimeZone;

use super::{ALL_DAYS, Edge, Hours, Schedule};
use crate::input::cursor::{Cursor, Object};
use crate::input::document::InputValue;
use crate::input::problem::{Problems, quoted};
use crate::schema::value::Time;
use crate::schema::{DAY, begins, day, read_zone};

/// The most ranges of hours in one schedule.
const MAX_HOURS: usize = 24;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Schedule {
    /// Reads a schedule; everything that is wrong with it becomes a problem. Its days and hours are those of
    /// `zone`, which is the schema's, unless it names its own.
    pub(crate) fn read(
        cursor: &Cursor<'_, '_>,
        zone: &TimeZone,
        problems: &mut Problems,
    ) -> Option<Schedule> {
        let object = cursor.object(&["from", "until", "hours", "days", "timezone"], problems)?;
        object.refuse_blanks(problems);
        let zone = match object.get("timezone") {
            Some(cursor) => read_zone(cursor, problems)?,
            None => zone.clone(),
        };
        let mut edge = |name: &str| match object.get(name) {
            Some(cursor) => read_edge(cursor, problems).map(Some),
            None => Some(None),
        };
        let (from, until) = (edge("from"), edge("until"));
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
            && first_of(from, &zone) >= end_of(until, &zone)
        {
            problems.push(cursor.problem("`from` is not before `until`: the schedule is never open"));
        }
        Some(Schedule::new(from, until, hours, days, zone, describe(&object)))
    }
}

/// The first moment of an edge.
fn first_of(edge: Edge, zone: &TimeZone) -> Time {
    match edge {
        Edge::Day(day) => begins(zone, day),
        Edge::At(time) => time,
    }
}

/// The first moment after an edge; a day as the end is included as a whole.
fn end_of(edge: Edge, zone: &TimeZone) -> Time {
    match edge {
        Edge::Day(day) => day.tomorrow().map_or(Time::LAST, |next| begins(zone, next)),
        Edge::At(time) => time,
    }
}

/// Reads a day, or a time of RFC 3339.
fn read_edge(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Option<Edge> {
    let text = cursor.text(problems)?;
    let edge = match text.len() {
        DAY => day(text).map(Edge::Day),
        _ => Time::read(text, &TimeZone::UTC).map(Edge::At),
    };
    edge.map_err(|why| {
        problems.push(cursor.problem(format!("expected a day or a time, found {}: {why}", quoted(text))));
    })
    .ok()
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
    let two_digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !two_digits(hour) || !two_digits(minute) {
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
