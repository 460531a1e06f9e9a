//! Values: what a feature reads as, what a request's context carries, what an expression computes.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{Vocabulary, told, written};

/// One second, in microseconds as times and durations count.
pub const SECOND: i64 = 1_000_000;
/// One day, in seconds. Days of the calendar may be an hour shorter or longer.
pub const DAY_SECONDS: u32 = 86_400;

/// The longest duration in microseconds, about 292 years: what 64 bits of nanoseconds hold, as elsewhere in
/// CEL.
pub const MAX_DURATION: i64 = i64::MAX / 1_000;

/// A point in time: microseconds since 1970-01-01T00:00:00Z. Finer parts of a written time are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

/// Keys and values of a map, in the order written; no two keys are equal.
pub type Entries<'a> = Arc<[(Value<'a>, Value<'a>)]>;

/// A value. [`Value::Missing`] and [`Value::Error`] are *no answer*: every strict operation on them has no
/// answer either.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// The customer has no such feature, or the request no such field.
    Missing,
    /// No answer, for this reason: an overflow, a division by zero, a text that is not a number.
    Error(&'static str),
    /// `null`, such as an offer attribute that is not given.
    Null,
    /// A truth value, `true` or `false`.
    Bool(bool),
    /// A whole number of 64 signed bits.
    Int(i64),
    /// A whole number of 64 bits without a sign.
    UInt(u64),
    /// A number of double precision. Decimals are such numbers too.
    Double(f64),
    /// A text, or the name of an enum's value.
    Text(Cow<'a, str>),
    /// Bytes, which need not be UTF-8.
    Bytes(Arc<[u8]>),
    /// A point in time, to the microsecond.
    Time(Time),
    /// A duration in microseconds, at most [`MAX_DURATION`] either way.
    Duration(i64),
    /// Some of the words of a closed vocabulary, one bit for each word.
    Set(u64, &'a Vocabulary),
    /// A list of values, which may be of different types.
    List(Arc<[Value<'a>]>),
    /// A map. Its keys are bools, ints, uints or texts.
    Map(Entries<'a>),
    /// A type, by its name in CEL.
    Type(&'static str),
}

impl Time {
    /// The beginning of the year 1, the first that CEL knows.
    pub const FIRST: Time = Time(-62_135_596_800 * SECOND);
    /// The end of the year 9999, the last that CEL knows.
    pub const LAST: Time = Time(253_402_300_800 * SECOND - 1);

    /// The time of this many microseconds since 1970, if it is within the years 1 to 9999.
    pub fn in_range(micros: i64) -> Option<Time> {
        (Time::FIRST..=Time::LAST).contains(&Time(micros)).then_some(Time(micros))
    }

    /// The time of this many whole seconds since 1970.
    pub fn from_seconds(seconds: i64) -> Time {
        Time(seconds.saturating_mul(SECOND))
    }

    /// Whole seconds since 1970, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(SECOND)
    }

    /// Whole seconds since 1970 as the fold, tokens and rows keep them. A time before 1970 counts as 1970,
    /// one after 2106 as the last second of 32 bits.
    pub fn stored_seconds(self) -> u32 {
        self.seconds().clamp(0, i64::from(u32::MAX)) as u32
    }

    /// Reads a time of RFC 3339, or a day, which is its first moment in the zone: what rules may have.
    ///
    /// # Errors
    /// What is wrong with the text, and how to write it.
    pub fn read(text: &str, zone: &TimeZone) -> Result<Time, &'static str> {
        written::time(text, zone)
    }

    /// Reads a day or a time as programs write it into data: all that [`Time::read`] takes, and whatever else
    /// has just one meaning.
    ///
    /// # Errors
    /// What is wrong with the text, and how to write it.
    ///
    /// ```
    /// use jiff::tz::TimeZone;
    /// use usher::schema::value::Time;
    /// assert_eq!(Time::told("1970-01-02 08:00+08", &TimeZone::UTC).ok(), Time::parse("1970-01-02"));
    /// ```
    pub fn told(text: &str, zone: &TimeZone) -> Result<Time, &'static str> {
        told::time(text, zone, None)
    }

    /// As [`Time::read`], with days of UTC.
    ///
    /// ```
    /// use usher::schema::value::Time;
    /// assert_eq!(Time::parse("1970-01-02"), Time::parse("1970-01-02T08:00:00+08:00"));
    /// assert_eq!(Time::parse("soon"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Time> {
        Time::read(text, &TimeZone::UTC).ok()
    }

    /// Date and time of day where clocks are `offset` seconds ahead of UTC; `None` outside jiff's years.
    pub(crate) fn civil(self, offset: i32) -> Option<DateTime> {
        let micros = self.0.checked_add(i64::from(offset) * SECOND)?;
        EPOCH.checked_add(SignedDuration::from_micros(micros)).ok()
    }
}

/// The point in time from which times count.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

impl fmt::Display for Time {
    /// Writes RFC 3339 in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.civil(0) {
            Some(at) => write!(f, "{at}Z"),
            None => write!(f, "{} s", self.seconds()),
        }
    }
}

impl Value<'_> {
    /// Whether this is an answer: neither missing nor an error.
    pub fn is_answer(&self) -> bool {
        !matches!(self, Value::Missing | Value::Error(_))
    }

    /// The number as a double, if it is a number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Int(i) => Some(*i as f64),
            Value::UInt(u) => Some(*u as f64),
            Value::Double(x) => Some(*x),
            _ => None,
        }
    }

    /// Whether nothing can tell two values apart. Equality takes 0.0 for -0.0, but dividing by them tells.
    pub(crate) fn is_same(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Double(one), Value::Double(other)) => one.to_bits() == other.to_bits(),
            (Value::List(ones), Value::List(others)) => {
                ones.len() == others.len()
                    && ones.iter().zip(&**others).all(|(one, other)| one.is_same(other))
            }
            (Value::Map(ones), Value::Map(others)) => {
                let mut both = ones.iter().zip(&**others);
                ones.len() == others.len()
                    && both.all(|(one, other)| one.0.is_same(&other.0) && one.1.is_same(&other.1))
            }
            (one, other) => one == other,
        }
    }

    /// The same value with its text borrowed, without an allocation.
    pub fn borrowed(&self) -> Value<'_> {
        match self {
            Value::Text(text) => Value::Text(Cow::Borrowed(text)),
            other => other.clone(),
        }
    }

    /// The same value without borrowed text. A set becomes the list of its words.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Missing => Value::Missing,
            Value::Error(why) => Value::Error(why),
            Value::Null => Value::Null,
            Value::Bool(b) => Value::Bool(b),
            Value::Int(i) => Value::Int(i),
            Value::UInt(u) => Value::UInt(u),
            Value::Double(x) => Value::Double(x),
            Value::Text(text) => Value::Text(text.into_owned().into()),
            Value::Bytes(bytes) => Value::Bytes(bytes),
            Value::Time(time) => Value::Time(time),
            Value::Duration(d) => Value::Duration(d),
            Value::Set(bits, words) => {
                Value::List(words.of_bits(bits).map(|w| Value::Text(w.to_owned().into())).collect())
            }
            Value::List(items) => Value::List(items.iter().cloned().map(Value::into_owned).collect()),
            Value::Map(entries) => {
                let owned = |(key, value): &(Value<'_>, Value<'_>)| {
                    (key.clone().into_owned(), value.clone().into_owned())
                };
                Value::Map(entries.iter().map(owned).collect())
            }
            Value::Type(name) => Value::Type(name),
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Missing => f.write_str("missing"),
            Value::Error(why) => write!(f, "no answer ({why})"),
            Value::Null => f.write_str("null"),
            Value::Bool(b) => write!(f, "{b}"),
            Value::Int(i) => write!(f, "{i}"),
            Value::UInt(u) => write!(f, "{u}u"),
            Value::Double(x) => write!(f, "{x}"),
            Value::Text(text) => write!(f, "'{text}'"),
            Value::Bytes(bytes) => write!(f, "b'{}'", bytes.escape_ascii()),
            Value::Time(time) => write!(f, "{time}"),
            Value::Duration(d) => write!(f, "{} s", *d as f64 / SECOND as f64),
            Value::Set(bits, words) => {
                enclosed(f, ["[", "]"], words.of_bits(*bits), |f, word| write!(f, "'{word}'"))
            }
            Value::List(items) => enclosed(f, ["[", "]"], items.iter(), |f, item| write!(f, "{item}")),
            Value::Map(entries) => {
                enclosed(f, ["{", "}"], entries.iter(), |f, (key, value)| write!(f, "{key}: {value}"))
            }
            Value::Type(name) => f.write_str(name),
        }
    }
}

/// A duration as CEL writes it: seconds, with as many decimals as needed.
///
/// ```
/// assert_eq!(usher::schema::value::duration_text(-1_500_000), "-1.5s");
/// ```
pub fn duration_text(micros: i64) -> String {
    let (sign, micros) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
    let (seconds, rest) = (micros / SECOND as u64, micros % SECOND as u64);
    let decimals = if rest == 0 { String::new() } else { format!(".{rest:06}") };
    format!("{sign}{seconds}{}s", decimals.trim_end_matches('0'))
}

/// Writes items with commas between them, inside brackets.
fn enclosed<T>(
    f: &mut fmt::Formatter<'_>,
    [open, close]: [&str; 2],
    items: impl Iterator<Item = T>,
    write: impl Fn(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    f.write_str(open)?;
    for (i, item) in items.enumerate() {
        f.write_str(if i > 0 { ", " } else { "" })?;
        write(f, item)?;
    }
    f.write_str(close)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_from_the_first_to_the_last() {
        for text in ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "2026-11-21T08:00:00.5Z"] {
            assert_eq!(Time::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Time::parse("9999-12-31T23:59:59.999999999Z"), Some(Time::LAST));
        assert_eq!(Time::parse("0001-01-01T07:00:00+07:00"), Some(Time::FIRST));
        assert_eq!(Time::LAST.to_string(), "9999-12-31T23:59:59.999999Z");
        for text in ["2026-11-21T08:00:00", "2026-02-30T00:00:00Z", "10000-01-01T00:00:00Z", "2026-11-21Z"] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }

    #[test]
    fn values_stay_small() {
        assert_eq!(
            size_of::<Value<'_>>(),
            24,
            "reading a feature returns one; what is bigger goes behind an Arc"
        );
    }
}
