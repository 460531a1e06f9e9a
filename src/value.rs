//! A value: what a feature reads as, what a request's context carries, what an expression computes.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::schema::Vocabulary;

/// Microseconds of one second.
pub const SECOND: i64 = 1_000_000;

/// A point in time: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

/// A value. [`Value::Missing`] and [`Value::Error`] are *no answer*: everything strict on them has none either.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// The customer has no such feature, the request no such field.
    Missing,
    /// No answer, for this reason: overflow, division by zero, a text that is no number.
    Error(&'static str),
    /// `null`: an offer attribute that is not given.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number; decimals are numbers too.
    Double(f64),
    /// A text, the name of an enum's value included.
    Text(Cow<'a, str>),
    /// A point in time.
    Time(Time),
    /// A stretch of time in microseconds.
    Duration(i64),
    /// Some of the words of a closed vocabulary, one bit each.
    Set(u64, &'a Vocabulary),
    /// A list of constants.
    List(Arc<[Value<'a>]>),
}

impl Time {
    /// From whole seconds since 1970.
    pub fn from_seconds(seconds: i64) -> Time {
        Time(seconds.saturating_mul(SECOND))
    }

    /// Whole seconds since 1970, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(SECOND)
    }

    /// Reads RFC 3339, or a day (its beginning in UTC).
    ///
    /// ```
    /// use usher::value::Time;
    /// assert_eq!(Time::parse("1970-01-02"), Time::parse("1970-01-02T08:00:00+08:00"));
    /// assert_eq!(Time::parse("soon"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Time> {
        if let Ok(day) = text.parse::<jiff::civil::Date>()
            && text.len() == 10
        {
            let midnight = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
            return Some(Time(midnight.timestamp().as_microsecond()));
        }
        let at: jiff::Timestamp = text.parse().ok()?;
        Some(Time(at.as_microsecond()))
    }
}

impl fmt::Display for Time {
    /// RFC 3339 in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(at) => at.fmt(f),
            Err(_) => write!(f, "{} s", self.seconds()),
        }
    }
}

impl Value<'_> {
    /// Whether this is an answer: neither missing nor an error.
    pub fn is_answer(&self) -> bool {
        !matches!(self, Value::Missing | Value::Error(_))
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Int(i) => Some(*i as f64),
            Value::Double(x) => Some(*x),
            _ => None,
        }
    }

    /// The same value, its text borrowed: no allocation.
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
            Value::Double(x) => Value::Double(x),
            Value::Text(text) => Value::Text(text.into_owned().into()),
            Value::Time(time) => Value::Time(time),
            Value::Duration(d) => Value::Duration(d),
            Value::Set(bits, words) => {
                Value::List(words.of_bits(bits).map(|w| Value::Text(w.to_owned().into())).collect())
            }
            Value::List(items) => Value::List(items.iter().cloned().map(Value::into_owned).collect()),
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
            Value::Double(x) => write!(f, "{x}"),
            Value::Text(text) => write!(f, "'{text}'"),
            Value::Time(time) => write!(f, "{time}"),
            Value::Duration(d) => write!(f, "{} s", *d as f64 / SECOND as f64),
            Value::Set(bits, words) => {
                f.write_str("[")?;
                for (i, word) in words.of_bits(*bits).enumerate() {
                    write!(f, "{}'{word}'", if i > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
            Value::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
        }
    }
}
