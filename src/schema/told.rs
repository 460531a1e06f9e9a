//! What programs write into data: pandas, Excel, Java, databases. A text that has just one meaning is taken,
//! and one that has two is refused with what would tell. `docs/reference/data.md` has the table.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::calendar;
use super::value::Time;
use super::written::{FAR, FORM, MAX_OFFSET, YEARS, date, local, moment};

/// Words for truth values, in small letters.
const TRUE: [&str; 5] = ["true", "t", "yes", "y", "on"];
const FALSE: [&str; 5] = ["false", "f", "no", "n", "off"];
/// What programs write where nothing is known, in small letters. Only the first two of them can mean nothing
/// else.
const NOTHING: [&str; 11] =
    ["null", r"\n", "nan", "na", "n/a", "#n/a", "<na>", "none", "nat", "nil", "(null)"];

/// The widest exponent of a number: that of a double, and its digits.
const MAX_EXPONENT: i32 = 400;

const NO_OFFSET: &str = "a time needs its offset from UTC: write 2026-11-01T10:00:00+08:00, or Z for UTC; \
                         a mapping can say its `zone`";
const NUMBER: &str =
    "a number may be a day, or count seconds or milliseconds; a mapping can say its `format`";
const ORDER: &str = "which of the numbers is the day, and which the month? A mapping can say the `format`";
const TWO_ZONES: &str = "the offset is not that of the zone behind it";

/// Whether the text of a cell says that the value is not known: `null` in any case, or the `\N` of databases.
pub fn clears(text: &str) -> bool {
    NOTHING[..2].iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether programs write the text where nothing is known. It may be a word of its own in a column, too.
pub fn may_clear(text: &str) -> bool {
    NOTHING.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// What would tell the meaning of a text that is none of the expected, to follow the message; empty if
/// nothing is known to help.
pub(super) fn advice(text: &str) -> &'static str {
    if may_clear(text.trim()) {
        "; if it means that nothing is known, a mapping can list it under `missing`"
    } else if text.contains(',') && text.bytes().any(|byte| byte.is_ascii_digit()) {
        "; a mapping can say whether the comma is `decimal` or parts `thousands`"
    } else {
        ""
    }
}

/// The truth value that a word or a number means.
pub fn truth(text: &str) -> Option<bool> {
    let text = text.trim();
    let is = |word: &&str| text.eq_ignore_ascii_case(word);
    match scaled(text, 0) {
        Some(1) => Some(true),
        Some(0) => Some(false),
        Some(_) => None,
        None if TRUE.iter().any(is) => Some(true),
        None if FALSE.iter().any(is) => Some(false),
        None => None,
    }
}

/// Reads a decimal number such as `-12.50`, `.5` or `1.2E+06` as a whole number of its smallest units: -1250
/// for the first, if `scale` is 2. It is exact, because it does not go through a double. `None` if it is no
/// such number, has more decimals, or does not fit 64 bits.
pub fn scaled(text: &str, scale: u8) -> Option<i64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let mut found: i128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if !byte.is_ascii_digit() {
            return None;
        }
        found = found.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
    }
    let shift = i32::from(scale) + exponent - i32::try_from(fraction.len()).ok()?;
    let power = 10_i128.checked_pow(shift.unsigned_abs());
    let found = match (found, power) {
        (0, _) => 0,
        (_, None) => return None,
        (found, Some(power)) if shift >= 0 => found.checked_mul(power)?,
        (found, Some(power)) if found % power == 0 => found / power,
        _ => return None,
    };
    i64::try_from(if negative { -found } else { found }).ok()
}

fn exponent_of(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let good = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let exponent: i32 = if good { text.parse().ok()? } else { return None };
    (-MAX_EXPONENT..=MAX_EXPONENT).contains(&exponent).then_some(exponent)
}

/// Reads a day or a time. A day is its first moment in the zone. A time without an offset is one of the zone
/// `clock`, if that is known.
///
/// # Errors
/// What is wrong with it, or what it may mean.
pub fn time(text: &str, zone: &TimeZone, clock: Option<&TimeZone>) -> Result<Time, &'static str> {
    let mut rest = Rest(text.trim());
    let Some(day) = rest.day() else { return Err(unclear(rest.0)) };
    let day = date(day)?;
    if rest.0.is_empty() {
        let begins = calendar::begins(zone, day);
        return Time::in_range(begins.0).ok_or(YEARS);
    }
    rest.one_of(&['T', 't', ' ']).ok_or(FORM)?;
    let (of_day, micros) = rest.clock().ok_or(FORM)?;
    let local = local(day, of_day)?;
    if let Some(clock) = clock.filter(|_| rest.0.is_empty()) {
        return on_the_clock(local, micros, clock);
    }
    let offset = rest.offset()?;
    let time = moment(local, micros, offset)?;
    match rest.0.strip_prefix('[').and_then(|zone| zone.strip_suffix(']')) {
        Some(named) => {
            let zone = TimeZone::get(named).map_err(|_| FORM)?;
            let at = jiff::Timestamp::from_microsecond(time.0).map_err(|_| FORM)?;
            if i64::from(zone.to_offset(at).seconds()) == offset { Ok(time) } else { Err(TWO_ZONES) }
        }
        None if rest.0.is_empty() => Ok(time),
        None => Err(FORM),
    }
}

/// The point in time at which clocks of the zone show `local`, and `micros` more.
///
/// # Errors
/// They show it never or twice, because clocks are changed; or it is outside the years 1 to 9999.
pub fn on_the_clock(local: DateTime, micros: i64, zone: &TimeZone) -> Result<Time, &'static str> {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => moment(local, micros, i64::from(offset.seconds())),
        AmbiguousOffset::Gap { .. } => Err("clocks of the zone leave this time out"),
        AmbiguousOffset::Fold { .. } => Err("clocks of the zone show this time twice: it needs its offset"),
    }
}

/// What stands between the brackets around a text: `{a,b}`, `[a]`, `(a)`. `None` if there are none.
pub fn within_brackets(text: &str) -> Option<&str> {
    let brackets = [('{', '}'), ('[', ']'), ('(', ')')].into_iter();
    let mut inner = brackets.filter_map(|(open, close)| text.trim().strip_prefix(open)?.strip_suffix(close));
    inner.next()
}

/// The items of a list as databases and programs write it into a cell: `{a,b}`, `['a', 'b']`, `["a", "b"]`.
/// `None` if it is no such list, or has a quote within an item.
pub fn items(text: &str) -> Option<Vec<&str>> {
    let mut rest = within_brackets(text)?.trim();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (item, after) = match quote {
            Some(quote) => rest[1..].split_once(quote)?,
            None => rest.split_at(rest.find(',').unwrap_or(rest.len())),
        };
        if item.contains(['\\', '{', '[']) || (quote.is_none() && item.contains(['"', '\''])) {
            return None;
        }
        found.push(if quote.is_some() { item } else { item.trim() });
        let after = after.trim();
        rest = match after.strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(found)
}

/// Why a text that does not begin with a year, a month and a day is no time.
fn unclear(text: &str) -> &'static str {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let parts = text.split(['/', '-', '.', ' ']).filter(|part| part.parse::<u16>().is_ok()).count();
    if scaled(text, 0).is_some() {
        NUMBER
    } else if parts >= 3 && digits >= 4 && Rest(text).digits(4, 4).is_none() {
        ORDER
    } else {
        FORM
    }
}

/// What is still to be read of a text. A reader that fails leaves it as it is.
struct Rest<'t>(&'t str);

impl Rest<'_> {
    /// A number of so many digits.
    fn digits(&mut self, least: usize, most: usize) -> Option<u32> {
        let length = self.0.bytes().take_while(u8::is_ascii_digit).count();
        if !(least..=most).contains(&length) {
            return None;
        }
        let (number, rest) = self.0.split_at(length);
        self.0 = rest;
        number.parse().ok()
    }

    fn one_of(&mut self, signs: &[char]) -> Option<char> {
        let found = self.0.chars().next().filter(|c| signs.contains(c))?;
        self.0 = &self.0[found.len_utf8()..];
        Some(found)
    }

    /// `2026-11-01`, `2026/11/1`: the year comes first, so that there is no doubt about the month.
    fn day(&mut self) -> Option<[u32; 3]> {
        let mut rest = Rest(self.0);
        let year = rest.digits(4, 4)?;
        let sign = rest.one_of(&['-', '/'])?;
        let month = rest.digits(1, 2)?;
        rest.one_of(&[sign])?;
        let day = rest.digits(1, 2)?;
        self.0 = rest.0;
        Some([year, month, day])
    }

    /// `10:00`, `10:00:00`, `10:00:00.123456789`: with the microseconds. Finer parts are cut off.
    fn clock(&mut self) -> Option<([u32; 3], i64)> {
        let hour = self.digits(1, 2)?;
        self.one_of(&[':'])?;
        let minute = self.digits(2, 2)?;
        if self.one_of(&[':']).is_none() {
            return Some(([hour, minute, 0], 0));
        }
        let second = self.digits(2, 2)?;
        let mut micros = 0;
        if self.one_of(&['.', ',']).is_some() {
            let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
            if !(1..=9).contains(&digits) {
                return None;
            }
            let (fraction, rest) = self.0.split_at(digits);
            let six = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
            micros = six.fold(0, |all, digit| all * 10 + i64::from(digit - b'0'));
            self.0 = rest;
        }
        Some(([hour, minute, second], micros))
    }

    /// `Z`, `UTC`, `+08:00`, `+0800` or `+08`, in seconds.
    fn offset(&mut self) -> Result<i64, &'static str> {
        self.0 = self.0.trim_start();
        for utc in ["UTC", "GMT", "Z", "z"] {
            if let Some(rest) = self.0.strip_prefix(utc) {
                self.0 = rest;
                return Ok(0);
            }
        }
        let sign = match self.one_of(&['+', '-']) {
            Some(sign) => sign,
            None if self.0.is_empty() || self.0.starts_with('[') => return Err(NO_OFFSET),
            None => return Err(FORM),
        };
        let (hours, minutes) = match self.digits(4, 4) {
            Some(both) => (both / 100, both % 100),
            None => {
                let hours = self.digits(1, 2).ok_or(FORM)?;
                let more = self.one_of(&[':']).is_some();
                (hours, if more { self.digits(2, 2).ok_or(FORM)? } else { 0 })
            }
        };
        if minutes > 59 || hours * 60 + minutes > MAX_OFFSET {
            return Err(FAR);
        }
        let seconds = i64::from(hours * 3_600 + minutes * 60);
        Ok(if sign == '-' { -seconds } else { seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::super::written::{NO_CLOCK, NO_DAY, YEARS};
    use super::*;

    #[test]
    fn a_time_of_one_meaning_is_taken() {
        for (text, expected) in [
            // RFC 3339, and what it leaves open
            ("2026-11-01T10:00:00Z", "2026-11-01T10:00:00Z"),
            ("2026-11-01t10:00:00z", "2026-11-01T10:00:00Z"),
            // pandas with a zone, SQL Server, Python's strftime, Ruby and BigQuery
            ("2026-11-01 10:00:00+08:00", "2026-11-01T02:00:00Z"),
            ("2026-11-01 10:00:00.0000000 +08:00", "2026-11-01T02:00:00Z"),
            ("2026-11-01 10:00:00.123456789+00:00", "2026-11-01T10:00:00.123456Z"),
            ("2026-11-01 10:00:00 +0800", "2026-11-01T02:00:00Z"),
            ("2026-11-01 10:00:00 UTC", "2026-11-01T10:00:00Z"),
            ("2026-11-01 10:00:00 GMT", "2026-11-01T10:00:00Z"),
            // PostgreSQL
            ("2026-11-01 10:00:00+08", "2026-11-01T02:00:00Z"),
            ("2026-11-01 10:00:00.5-03:30", "2026-11-01T13:30:00.5Z"),
            // Java's OffsetDateTime, ZonedDateTime and logs
            ("2026-11-01T10:00+08:00", "2026-11-01T02:00:00Z"),
            ("2026-11-01T10:00Z", "2026-11-01T10:00:00Z"),
            ("2026-11-01T10:00:00+08:00[Asia/Shanghai]", "2026-11-01T02:00:00Z"),
            ("2026-11-01T10:00Z[UTC]", "2026-11-01T10:00:00Z"),
            ("2026-11-01T10:00:00,5Z", "2026-11-01T10:00:00.5Z"),
            // Days, also Excel's where the year comes first; here they are of Shanghai
            ("2026-11-01", "2026-10-31T16:00:00Z"),
            (" 2026-11-01 ", "2026-10-31T16:00:00Z"),
            ("2026/11/1", "2026-10-31T16:00:00Z"),
            ("2026-1-2", "2026-01-01T16:00:00Z"),
            ("2026/11/1 9:05Z", "2026-11-01T09:05:00Z"),
        ] {
            let found = time(text, &TimeZone::get("Asia/Shanghai").unwrap(), None);
            assert_eq!(found.map(|time| time.to_string()).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_time_of_two_meanings_or_none_is_refused_with_what_would_tell() {
        for (text, expected) in [
            ("2026-11-01 10:00:00", NO_OFFSET),
            ("2026-11-01T10:00", NO_OFFSET),
            ("2026-11-01T10:00:00[Asia/Shanghai]", NO_OFFSET),
            ("2026-11-01T10:00:00+09:00[Asia/Shanghai]", TWO_ZONES),
            ("2026-11-01T10:00:00+08:00[Mars/Base]", FORM),
            ("01/11/2026", ORDER),
            ("1.11.2026 10:00", ORDER),
            ("11-01-26", ORDER),
            ("20261101", NUMBER),
            ("1793491200", NUMBER),
            ("1793491200000", NUMBER),
            ("1.7934912E+09", NUMBER),
            ("46327.5", FORM),
            ("01-NOV-26", FORM),
            ("2026-11-01T10:00:00+25:00", FAR),
            ("2026-11-01T10:00:00+1860", FAR),
            ("2016-12-31T23:59:60Z", NO_CLOCK),
            ("2026-11-01T24:00:00Z", NO_CLOCK),
            ("2026-02-30", NO_DAY),
            ("2026-00-10", NO_DAY),
            ("0000-01-01", YEARS),
            ("9999-12-31T23:00:00-08:00", YEARS),
            ("10000-01-01T00:00:00Z", FORM),
            ("2026-11/01", FORM),
            ("2026-11-01T10Z", FORM),
            ("2026-11-01T10:0:00Z", FORM),
            ("2026-11-01T10:00:00.Z", FORM),
            ("2026-11-01T10:00:00.1234567890Z", FORM),
            ("2026-11-01T10:00:00Zulu", FORM),
            ("2026-11-01Z", FORM),
            ("2026-W45-1", FORM),
            ("2026-11-0１", NO_DAY),
            ("soon", FORM),
            ("", FORM),
        ] {
            assert_eq!(time(text, &TimeZone::UTC, None), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_time_without_an_offset_is_one_of_the_clocks_that_are_named() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for (text, expected) in [
            ("2026-07-01 10:00:00", Ok("2026-07-01T08:00:00Z")),
            ("2026-11-01T10:00:00.5", Ok("2026-11-01T09:00:00.5Z")),
            ("2026-11-01 10:00:00+08", Ok("2026-11-01T02:00:00Z")),
            ("2026-11-01", Ok("2026-11-01T00:00:00Z")),
            ("2026-03-29 02:30", Err("clocks of the zone leave this time out")),
            ("2026-10-25 02:30", Err("clocks of the zone show this time twice: it needs its offset")),
            ("2026-11-01 24:00", Err(NO_CLOCK)),
        ] {
            let found = time(text, &TimeZone::UTC, Some(&berlin)).map(|time| time.to_string());
            assert_eq!(found.as_deref().map_err(|why| *why), expected, "{text}");
        }
    }

    #[test]
    fn lists_are_read_as_programs_write_them() {
        for (text, expected) in [
            ("{funds,travel}", Some(&["funds", "travel"][..])),
            ("['funds', 'travel']", Some(&["funds", "travel"])),
            ("[\"a,b\", \"c\"]", Some(&["a,b", "c"])),
            ("{\"two words\",x}", Some(&["two words", "x"])),
            ("('a',)", Some(&["a"])),
            ("{}", Some(&[])),
            ("[ ]", Some(&[])),
            ("[a b]", Some(&["a b"])),
            ("[\"it\\\"s\"]", None),
            ("{{a},{b}}", None),
            ("['a' 'b']", None),
            ("['a", None),
            ("{a", None),
            ("a,b", None),
            ("", None),
        ] {
            assert_eq!(items(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn decimal_numbers_are_exact_in_every_form() {
        for (text, scale, expected) in [
            ("12", 0, Some(12)),
            ("12.0", 0, Some(12)),
            ("12.", 0, Some(12)),
            ("1e3", 0, Some(1_000)),
            ("1E+03", 0, Some(1_000)),
            ("1.5e3", 0, Some(1_500)),
            ("1500e-2", 0, Some(15)),
            ("007", 0, Some(7)),
            ("+7", 0, Some(7)),
            ("-0", 0, Some(0)),
            ("0e-400", 0, Some(0)),
            (".5", 2, Some(50)),
            ("-.5", 2, Some(-50)),
            ("1.10000", 2, Some(110)),
            ("6.0E5", 2, Some(60_000_000)),
            ("9223372036854775807", 0, Some(i64::MAX)),
            ("9.223372036854775807e18", 0, Some(i64::MAX)),
            ("9223372036854775808", 0, None),
            ("12.5", 0, None),
            ("1e-1", 0, None),
            ("1.001", 2, None),
            ("1e400", 0, None),
            ("1e401", 0, None),
            ("1e", 0, None),
            ("1e+-3", 0, None),
            ("e3", 0, None),
            (".", 0, None),
            ("", 0, None),
            ("--1", 0, None),
            ("1,000", 0, None),
            ("1_000", 0, None),
            ("0x10", 0, None),
            ("NaN", 0, None),
            ("１", 0, None),
        ] {
            assert_eq!(scaled(text, scale), expected, "{text}");
        }
    }

    #[test]
    fn truth_is_told_by_words_and_numbers() {
        for (text, expected) in [
            ("true", Some(true)),
            ("True", Some(true)),
            ("TRUE", Some(true)),
            ("t", Some(true)),
            ("Y", Some(true)),
            ("yes", Some(true)),
            ("on", Some(true)),
            ("1", Some(true)),
            ("1.0", Some(true)),
            (" 0 ", Some(false)),
            ("0.0", Some(false)),
            ("F", Some(false)),
            ("No", Some(false)),
            ("off", Some(false)),
            ("2", None),
            ("-1", None),
            ("", None),
            ("maybe", None),
        ] {
            assert_eq!(truth(text), expected, "{text}");
        }
    }
}
