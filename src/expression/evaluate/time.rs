//! Times and durations: adding them, and their parts in a time zone.

use jiff::tz::{Offset, TimeZone};

use super::{NO_OVERLOAD, OVERFLOW, strict};
use crate::expression::{Operator, TimePart};
use crate::schema::value::{MAX_DURATION, SECOND, Time, Value};

pub(super) fn arithmetic<'a>(operator: Operator, left: &Value<'a>, right: &Value<'a>) -> Value<'a> {
    let (a, b) = match (left, right) {
        (Value::Time(Time(a)) | Value::Duration(a), Value::Time(Time(b)) | Value::Duration(b)) => (*a, *b),
        _ => return NO_OVERLOAD,
    };
    // Both are far from the ends of 64 bits.
    match (operator, left, right) {
        (Operator::Add, Value::Time(_), Value::Duration(_))
        | (Operator::Add, Value::Duration(_), Value::Time(_)) => {
            Time::in_range(a.saturating_add(b)).map_or(OVERFLOW, Value::Time)
        }
        (Operator::Subtract, Value::Time(_), Value::Duration(_)) => {
            Time::in_range(a.saturating_sub(b)).map_or(OVERFLOW, Value::Time)
        }
        (Operator::Add, Value::Duration(_), Value::Duration(_)) => in_range(a.saturating_add(b)),
        (Operator::Subtract, Value::Duration(_), Value::Duration(_))
        | (Operator::Subtract, Value::Time(_), Value::Time(_)) => in_range(a.saturating_sub(b)),
        _ => NO_OVERLOAD,
    }
}

fn in_range(micros: i64) -> Value<'static> {
    if micros.abs() <= MAX_DURATION { Value::Duration(micros) } else { OVERFLOW }
}

/// The largest offset from UTC in seconds, as in written times.
const MAX_OFFSET: i32 = 18 * 3_600;

/// A time zone by its IANA name, or an offset such as `+07:00`.
pub(in super::super) fn zone(name: &str) -> Option<TimeZone> {
    let (sign, digits) = match name.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, name.strip_prefix('+').unwrap_or(name)),
    };
    let Some((hours, minutes)) = digits.split_once(':') else { return TimeZone::get(name).ok() };
    // `parse` alone would accept a second sign.
    let number =
        |digits: &str| digits.parse::<u8>().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let seconds = i32::from(hours) * 3_600 + i32::from(minutes) * 60;
    if minutes > 59 || seconds > MAX_OFFSET {
        return None;
    }
    Offset::from_seconds(sign * seconds).ok().map(TimeZone::fixed)
}

/// A part of a duration, or of a time in a zone that is known only when this is evaluated.
pub(super) fn part_in<'a>(part: TimePart, args: &[Value<'a>]) -> Value<'a> {
    match args {
        [value] => self::part(part, value, &TimeZone::UTC),
        [value @ Value::Time(_), Value::Text(name)] => match zone(name) {
            Some(zone) => self::part(part, value, &zone),
            None => Value::Error("no such time zone"),
        },
        _ => NO_OVERLOAD,
    }
}

pub(super) fn part<'a>(part: TimePart, value: &Value<'a>, zone: &TimeZone) -> Value<'a> {
    match value {
        Value::Time(time) => of_time(part, *time, zone),
        Value::Duration(micros) => of_duration(part, *micros),
        other => strict(other),
    }
}

fn of_time(part: TimePart, time: Time, zone: &TimeZone) -> Value<'static> {
    // The zone's rules are asked for the nearest time that jiff knows; its last time is two days before
    // CEL's.
    let known = jiff::Timestamp::from_microsecond(time.0).unwrap_or(jiff::Timestamp::MAX);
    let Some(at) = time.civil(zone.to_offset(known).seconds()) else { return OVERFLOW };
    Value::Int(match part {
        TimePart::FullYear => i64::from(at.year()),
        TimePart::Month => i64::from(at.month()) - 1,
        TimePart::Date => i64::from(at.day()),
        TimePart::DayOfMonth => i64::from(at.day()) - 1,
        TimePart::DayOfWeek => i64::from(at.weekday().to_sunday_zero_offset()),
        TimePart::DayOfYear => i64::from(at.date().day_of_year()) - 1,
        TimePart::Hours => i64::from(at.hour()),
        TimePart::Minutes => i64::from(at.minute()),
        TimePart::Seconds => i64::from(at.second()),
        TimePart::Milliseconds => i64::from(at.millisecond()),
    })
}

/// A whole duration in hours, minutes or seconds; or its milliseconds beyond the seconds.
fn of_duration(part: TimePart, micros: i64) -> Value<'static> {
    Value::Int(match part {
        TimePart::Hours => micros / (3_600 * SECOND),
        TimePart::Minutes => micros / (60 * SECOND),
        TimePart::Seconds => micros / SECOND,
        TimePart::Milliseconds => micros % SECOND / 1_000,
        _ => return NO_OVERLOAD,
    })
}

/// Reads `1h30m`, `-1.5s` or `250ms` in microseconds, with finer parts cut off. Units are h, m, s, ms, us and
/// ns.
pub(super) fn duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos = 0_i128;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let units = [
            ("ms", 1_000_000),
            ("us", 1_000),
            ("µs", 1_000),
            ("ns", 1),
            ("h", 3_600_000_000_000),
            ("m", 60_000_000_000),
            ("s", 1_000_000_000),
        ];
        let (unit, worth) = units.into_iter().find(|(unit, _)| rest[digits..].starts_with(unit))?;
        nanos = nanos.checked_add(count_of(&rest[..digits], worth)?)?;
        rest = &rest[digits + unit.len()..];
    }
    let micros = i64::try_from(nanos / 1_000).ok()?;
    (micros <= MAX_DURATION).then_some(sign * micros)
}

/// A number with decimals, times the worth of its unit.
fn count_of(number: &str, worth: i128) -> Option<i128> {
    const MAX_DIGITS: usize = 18;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() > MAX_DIGITS || decimals.len() > MAX_DIGITS || whole.len() + decimals.len() == 0 {
        return None;
    }
    let read = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<i128>().ok() };
    let parts = read(decimals)?.checked_mul(worth)? / 10_i128.pow(decimals.len() as u32);
    Some(read(whole)?.checked_mul(worth)? + parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_cel_writes_them() {
        for (text, expected) in [
            ("1h30m", Some(5_400 * SECOND)),
            ("-1.5s", Some(-1_500_000)),
            ("250ms", Some(250_000)),
            ("1.0000019s", Some(1_000_001)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("9223372036s", Some(9_223_372_036 * SECOND)),
            ("9223372037s", None),
            ("7d", None),
            ("", None),
            ("-", None),
            ("h", None),
            (".s", None),
            ("1", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }

    #[test]
    fn zones_are_names_or_offsets() {
        for (name, known) in [
            ("Asia/Ho_Chi_Minh", true),
            ("UTC", true),
            ("+07:00", true),
            ("02:00", true),
            ("-09:30", true),
            ("+18:00", true),
            ("+18:01", false),
            ("-19:00", false),
            ("+24:00", false),
            ("Mars/Olympus", false),
            ("", false),
        ] {
            assert_eq!(zone(name).is_some(), known, "{name}");
        }
    }
}
