//! Days and times as rules have them: a day such as `2026-11-01`, which is its beginning in a time zone, or a
//! time of RFC 3339 such as `2026-11-01T08:00:00.5+08:00`. Nothing else is taken, and nothing is bent: 24:00,
//! a leap second or a 30th of February is no time. What data may have besides is in `told.rs`.

use jiff::civil::{Date, DateTime, Time as Clock};
use jiff::tz::TimeZone;

use super::calendar;
use super::value::{SECOND, Time};

/// The largest offset from UTC, in minutes: 18 hours, as in XML Schema and Java. The largest that any zone
/// ever had is below 16 hours.
pub(super) const MAX_OFFSET: u32 = 18 * 60;

pub(super) const FORM: &str = "not a day such as 2026-11-01 or a time such as 2026-11-01T10:00:00Z";
const NO_OFFSET: &str = "a time needs its offset from UTC: write 2026-11-01T10:00:00+08:00, or Z for UTC";
pub(super) const NO_DAY: &str = "there is no such day";
pub(super) const NO_CLOCK: &str = "there is no such time of day: hours go to 23, minutes and seconds to 59";
pub(super) const FAR: &str = "an offset from UTC is at most 18:00";
pub(super) const YEARS: &str = "times are from the year 0001 to 9999";

/// Reads a day or a time; a day is its first moment in the zone.
///
/// # Errors
/// What is wrong with it.
pub(super) fn time(text: &str, zone: &TimeZone) -> Result<Time, &'static str> {
    if text.len() == DAY {
        let begins = calendar::begins(zone, day(text)?);
        return Time::in_range(begins.0).ok_or(YEARS);
    }
    let (date, rest) = text.split_at_checked(DAY).ok_or(FORM)?;
    let rest = rest.strip_prefix('T').ok_or(FORM)?;
    let date = day(date)?;
    let (clock, mut rest) = rest.split_at_checked(8).ok_or(FORM)?;
    let [hour, minute, second] =
        numbers(clock, [(0, 2), (3, 5), (6, 8)], [(2, b':'), (5, b':')]).ok_or(FORM)?;
    let mut micros = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || digits > 9 {
            return Err(FORM);
        }
        // Finer parts than microseconds are cut off.
        let six = fraction.bytes().take(digits).chain(std::iter::repeat(b'0')).take(6);
        micros = six.fold(0, |all, digit| all * 10 + i64::from(digit - b'0'));
        rest = &fraction[digits..];
    }
    let local = local(date, [hour, minute, second])?;
    moment(local, micros, offset(rest)?)
}

/// The date and time of day on a clock without an offset.
///
/// # Errors
/// There is no such time of day.
pub(super) fn local(date: Date, [hour, minute, second]: [u32; 3]) -> Result<DateTime, &'static str> {
    let clock = Clock::new(hour as i8, minute as i8, second as i8, 0).map_err(|_| NO_CLOCK)?;
    Ok(DateTime::from_parts(date, clock))
}

/// The point in time where a clock that is `offset` seconds ahead of UTC shows `local`, and `micros` more.
///
/// # Errors
/// It is outside the years 1 to 9999.
pub(super) fn moment(local: DateTime, micros: i64, offset: i64) -> Result<Time, &'static str> {
    let since = local.duration_since(EPOCH).as_secs() - offset;
    Time::in_range(since.saturating_mul(SECOND) + micros).ok_or(YEARS)
}

/// The point in time from which times count.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
/// How many bytes a written day has.
pub(crate) const DAY: usize = 10;

/// Reads a day such as `2026-11-01`.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn day(text: &str) -> Result<Date, &'static str> {
    let parts = if text.len() == DAY {
        numbers(text, [(0, 4), (5, 7), (8, 10)], [(4, b'-'), (7, b'-')])
    } else {
        None
    };
    let [year, month, day] = parts.ok_or(FORM)?;
    date([year, month, day])
}

/// The day of this year, month and day.
///
/// # Errors
/// There is no such day.
pub(super) fn date([year, month, day]: [u32; 3]) -> Result<Date, &'static str> {
    if year == 0 {
        return Err(YEARS);
    }
    Date::new(year as i16, month as i8, day as i8).map_err(|_| NO_DAY)
}

/// Reads `Z`, `+08:00` or `-03:30`, in seconds.
fn offset(text: &str) -> Result<i64, &'static str> {
    if text == "Z" {
        return Ok(0);
    }
    let sign = match text.bytes().next() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        None => return Err(NO_OFFSET),
        Some(_) => return Err(FORM),
    };
    let [hours, minutes] =
        if text.len() == 6 { numbers(text, [(1, 3), (4, 6)], [(3, b':')]) } else { None }.ok_or(FORM)?;
    if minutes > 59 || hours * 60 + minutes > MAX_OFFSET {
        return Err(FAR);
    }
    Ok(sign * i64::from(hours * 3_600 + minutes * 60))
}

/// The numbers of digits at these places, if these signs stand between them.
fn numbers<const N: usize, const S: usize>(
    text: &str,
    places: [(usize, usize); N],
    signs: [(usize, u8); S],
) -> Option<[u32; N]> {
    let bytes = text.as_bytes();
    if signs.iter().any(|(at, sign)| bytes.get(*at) != Some(sign)) {
        return None;
    }
    let mut found = [0; N];
    for (number, (start, end)) in found.iter_mut().zip(places) {
        for byte in bytes.get(start..end)? {
            *number = *number * 10 + u32::from(byte.is_ascii_digit().then(|| byte - b'0')?);
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_its_beginning_in_the_zone() {
        for (zone, text, expected) in [
            ("UTC", "2026-11-01", "2026-11-01T00:00:00Z"),
            ("Asia/Shanghai", "2026-11-01", "2026-10-31T16:00:00Z"),
            ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"),
            ("Asia/Shanghai", "2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z"),
            ("Asia/Shanghai", "2026-11-01T00:00:00-18:00", "2026-11-01T18:00:00Z"),
            ("UTC", "2024-02-29T23:59:59.1234567+05:45", "2024-02-29T18:14:59.123456Z"),
            ("UTC", "0001-01-01", "0001-01-01T00:00:00Z"),
            ("UTC", "9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999Z"),
        ] {
            let found = time(text, &TimeZone::get(zone).unwrap()).unwrap();
            assert_eq!(found.to_string(), expected, "{zone} {text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_by_name() {
        for (text, expected) in [
            ("2026-11-01T10:00:00+25:00", FAR),
            ("2026-11-01T10:00:00+18:01", FAR),
            ("2026-11-01T10:00:00-19:00", FAR),
            ("2026-11-01T10:00:00+00:60", FAR),
            ("2016-12-31T23:59:60Z", NO_CLOCK),
            ("2026-11-01T24:00:00Z", NO_CLOCK),
            ("2026-11-01T10:60:00Z", NO_CLOCK),
            ("2026-02-30", NO_DAY),
            ("2025-02-29T10:00:00Z", NO_DAY),
            ("2026-13-01", NO_DAY),
            ("2026-00-10", NO_DAY),
            ("2026-11-00", NO_DAY),
            ("0000-01-01", YEARS),
            ("0001-01-01T00:00:00+08:00", YEARS),
            ("0000-12-31T23:00:00-08:00", YEARS),
            ("9999-12-31T23:00:00-08:00", YEARS),
            ("10000-01-01T00:00:00Z", FORM),
            ("+2026-11-01T10:00:00Z", FORM),
            ("-002026-11-01", FORM),
            ("2026-11-01T10:00:00", NO_OFFSET),
            ("2026-11-01T10:00:00.5", NO_OFFSET),
            ("2026-11-01T10", FORM),
            ("2026-11-01T10Z", FORM),
            ("2026-11-01T10:00Z", FORM),
            ("20261101", FORM),
            ("20261101T100000Z", FORM),
            ("2026-11-01t10:00:00Z", FORM),
            ("2026-11-01T10:00:00z", FORM),
            ("2026-11-01 10:00:00Z", FORM),
            ("2026-11-01T10:00:00,5Z", FORM),
            ("2026-11-01T10:00:00.Z", FORM),
            ("2026-11-01T10:00:00.1234567890Z", FORM),
            ("2026-11-01T10:00:00+08", FORM),
            ("2026-11-01T10:00:00+0800", FORM),
            ("2026-11-01T10:00:00+08:00[Asia/Shanghai]", FORM),
            ("2026-11-01Z", FORM),
            ("2026-W45-1", FORM),
            ("2026-1-1", FORM),
            (" 2026-11-01", FORM),
            ("2026-11-0１", FORM),
            ("soon", FORM),
            ("", FORM),
        ] {
            assert_eq!(time(text, &TimeZone::UTC), Err(expected), "{text}");
        }
    }
}
