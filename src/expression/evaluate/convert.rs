//! Conversions between types of values, and the name of each type.

use jiff::tz::TimeZone;

use super::time::duration;
use super::{NO_OVERLOAD, OVERFLOW};
use crate::expression::Function;
use crate::schema::value::{Time, Value, duration_text};

/// Converts a value: `bool()`, `int()`, `uint()`, `double()`, `bytes()`, `timestamp()` and `duration()`. A
/// day is its beginning in the zone.
pub(super) fn to(function: Function, value: &Value<'_>, zone: &TimeZone) -> Value<'static> {
    match function {
        Function::ToBool => to_bool(value),
        Function::ToInt => to_int(value),
        Function::ToUInt => to_uint(value),
        Function::ToDouble => to_double(value),
        Function::ToBytes => to_bytes(value),
        Function::ToTime => to_time(value, zone),
        Function::ToDuration => to_duration(value),
        _ => NO_OVERLOAD,
    }
}

/// The name of a value's type in CEL.
pub(super) fn type_of(value: &Value<'_>) -> &'static str {
    match value {
        Value::Missing | Value::Error(_) | Value::Null => "null_type",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::UInt(_) => "uint",
        Value::Double(_) => "double",
        Value::Text(_) => "string",
        Value::Bytes(_) => "bytes",
        Value::Time(_) => "google.protobuf.Timestamp",
        Value::Duration(_) => "google.protobuf.Duration",
        Value::Set(..) | Value::List(_) => "list",
        Value::Map(_) => "map",
        Value::Type(_) => "type",
    }
}

fn to_bool(value: &Value<'_>) -> Value<'static> {
    match value {
        Value::Bool(b) => Value::Bool(*b),
        Value::Text(text) => match &**text {
            "1" | "t" | "true" | "TRUE" | "True" => Value::Bool(true),
            "0" | "f" | "false" | "FALSE" | "False" => Value::Bool(false),
            _ => Value::Error("neither true nor false"),
        },
        _ => NO_OVERLOAD,
    }
}

fn to_double(value: &Value<'_>) -> Value<'static> {
    match value {
        Value::Double(x) => Value::Double(*x),
        Value::Int(i) => Value::Double(*i as f64),
        Value::UInt(u) => Value::Double(*u as f64),
        Value::Text(text) => text.parse().map_or(Value::Error("not a number"), Value::Double),
        _ => NO_OVERLOAD,
    }
}

fn to_int(value: &Value<'_>) -> Value<'static> {
    const END: f64 = 9_223_372_036_854_775_808.0; // 2^63
    match value {
        Value::Int(i) => Value::Int(*i),
        Value::UInt(u) => i64::try_from(*u).map_or(OVERFLOW, Value::Int),
        Value::Double(x) if *x > -END && *x < END => Value::Int(*x as i64),
        Value::Double(_) => OVERFLOW,
        Value::Text(text) => text.parse().map_or(Value::Error("not a whole number"), Value::Int),
        Value::Time(time) => Value::Int(time.seconds()),
        _ => NO_OVERLOAD,
    }
}

fn to_uint(value: &Value<'_>) -> Value<'static> {
    const END: f64 = 18_446_744_073_709_551_616.0; // 2^64
    match value {
        Value::UInt(u) => Value::UInt(*u),
        Value::Int(i) => u64::try_from(*i).map_or(OVERFLOW, Value::UInt),
        Value::Double(x) if *x >= 0.0 && *x < END => Value::UInt(*x as u64),
        Value::Double(_) => OVERFLOW,
        Value::Text(text) => {
            text.parse().map_or(Value::Error("not a whole number without a sign"), Value::UInt)
        }
        _ => NO_OVERLOAD,
    }
}

fn to_bytes(value: &Value<'_>) -> Value<'static> {
    match value {
        Value::Bytes(bytes) => Value::Bytes(bytes.clone()),
        Value::Text(text) => Value::Bytes(text.as_bytes().into()),
        _ => NO_OVERLOAD,
    }
}

fn to_time(value: &Value<'_>, zone: &TimeZone) -> Value<'static> {
    match value {
        Value::Time(time) => Value::Time(*time),
        Value::Int(seconds) => Time::in_range(Time::from_seconds(*seconds).0).map_or(OVERFLOW, Value::Time),
        Value::Text(text) => Time::read(text, zone).map_or_else(Value::Error, Value::Time),
        _ => NO_OVERLOAD,
    }
}

fn to_duration(value: &Value<'_>) -> Value<'static> {
    match value {
        Value::Duration(d) => Value::Duration(*d),
        Value::Text(text) => duration(text).map_or(Value::Error("not a duration"), Value::Duration),
        _ => NO_OVERLOAD,
    }
}

pub(super) fn to_text(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Text(text) => Value::Text(text),
        Value::Int(i) => Value::Text(i.to_string().into()),
        Value::UInt(u) => Value::Text(u.to_string().into()),
        Value::Double(x) => Value::Text(double_text(x).into()),
        Value::Bool(b) => Value::Text(b.to_string().into()),
        Value::Bytes(bytes) => match String::from_utf8(bytes.to_vec()) {
            Ok(text) => Value::Text(text.into()),
            Err(_) => Value::Error("not UTF-8"),
        },
        Value::Time(time) => Value::Text(time.to_string().into()),
        Value::Duration(d) => Value::Text(duration_text(d).into()),
        _ => NO_OVERLOAD,
    }
}

/// The shortest text that reads as the same double. Very large and very small numbers have an exponent, as
/// Go's `%g` writes it.
fn double_text(x: f64) -> String {
    if x.is_nan() {
        return "NaN".into();
    }
    if x.is_infinite() {
        return if x > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    if x == 0.0 || (1e-4..1e21).contains(&x.abs()) {
        return x.to_string();
    }
    let text = format!("{x:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_short() {
        for (x, expected) in [
            (0.0, "0"),
            (-4.5e-3, "-0.0045"),
            (1e21, "1e+21"),
            (-1.5e-7, "-1.5e-07"),
            (1.7e308, "1.7e+308"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(double_text(x), expected);
        }
    }
}
