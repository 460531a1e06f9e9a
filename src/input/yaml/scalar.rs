//! What an unquoted scalar means: nothing, a truth value, a number or a text.

/// The meaning of an unquoted scalar.
#[derive(Debug, PartialEq)]
pub(super) enum Meaning {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text,
    /// Programs disagree about it, or no number is meant by it. Why, to follow the scalar.
    Nothing(&'static str),
}

/// Reads a scalar. Numbers are decimal (`12`, `-3.50`, `.5`, `1e3`), with single underscores between the
/// digits of a whole one (`1_000`), or whole with a base (`0x10`, `0o17`, `0b11`). What has a leading zero is
/// octal to some programs and decimal to others.
pub(super) fn meaning(text: &str) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Null,
        "true" | "True" | "TRUE" => return Meaning::Bool(true),
        "false" | "False" | "FALSE" => return Meaning::Bool(false),
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return Meaning::Nothing("is not a number that can be used");
    }
    let first = unsigned.trim_start_matches('.').as_bytes().first();
    if !first.is_some_and(u8::is_ascii_digit) {
        return Meaning::Text;
    }
    number(unsigned, text.starts_with('-'))
}

fn number(unsigned: &str, negative: bool) -> Meaning {
    if let Some(magnitude) = based(unsigned) {
        return match magnitude.and_then(|magnitude| whole(magnitude, negative)) {
            Some(i) => Meaning::Int(i),
            None => Meaning::Nothing("is a number beyond 64 bits"),
        };
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (before, after) = match mantissa.split_once('.') {
        Some((before, after)) => (before, Some(after)),
        None => (mantissa, None),
    };
    let groups = after.is_none() && exponent.is_none() && before.split('_').all(digits);
    let decimal = (before.is_empty() || digits(before)) && after.is_none_or(|a| a.is_empty() || digits(a));
    let has_digits = mantissa.len() > usize::from(after.is_some());
    let number = groups || (decimal && exponent.is_none_or(digits) && has_digits);
    if !number {
        return Meaning::Text;
    }
    if before.len() > 1 && before.starts_with('0') {
        return Meaning::Nothing("has a leading zero, which programs read in different ways");
    }
    let plain = unsigned.replace('_', "");
    if after.is_none()
        && exponent.is_none()
        && let Some(i) = plain.parse().ok().and_then(|magnitude| whole(magnitude, negative))
    {
        return Meaning::Int(i);
    }
    match plain.parse::<f64>() {
        Ok(x) if x.is_finite() => Meaning::Float(if negative { -x } else { x }),
        _ => Meaning::Nothing("is a number out of range"),
    }
}

/// The digits after `0x`, `0o` or `0b` as a number: `None` without such a beginning or with other digits,
/// `Some(None)` if there are too many.
fn based(unsigned: &str) -> Option<Option<u64>> {
    let base = match unsigned.get(..2)? {
        "0x" | "0X" => 16,
        "0o" | "0O" => 8,
        "0b" | "0B" => 2,
        _ => return None,
    };
    let digits = &unsigned[2..];
    let good = |group: &str| !group.is_empty() && group.chars().all(|c| c.is_digit(base));
    digits.split('_').all(good).then(|| u64::from_str_radix(&digits.replace('_', ""), base).ok())
}

fn whole(magnitude: u64, negative: bool) -> Option<i64> {
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

#[cfg(test)]
mod tests {
    use super::Meaning::{Bool, Float, Int, Null, Text};
    use super::*;

    #[test]
    fn a_scalar_has_one_meaning() {
        for (text, expected) in [
            ("", Null),
            ("~", Null),
            ("null", Null),
            ("true", Bool(true)),
            ("False", Bool(false)),
            ("yes", Text),
            ("on", Text),
            ("no", Text),
            ("0", Int(0)),
            ("-0", Int(0)),
            ("+5", Int(5)),
            ("1_000", Int(1000)),
            ("2026_11", Int(202_611)),
            ("0x10", Int(16)),
            ("-0xff", Int(-255)),
            ("0o17", Int(15)),
            ("0b1_1", Int(3)),
            ("9223372036854775807", Int(i64::MAX)),
            ("-9223372036854775808", Int(i64::MIN)),
            ("9223372036854775808", Float(9_223_372_036_854_775_808.0)),
            ("1e3", Float(1000.0)),
            ("1.50", Float(1.5)),
            (".5", Float(0.5)),
            ("-.5", Float(-0.5)),
            ("5.", Float(5.0)),
            ("0.1", Float(0.1)),
            ("1E-2", Float(0.01)),
            ("1_000.5", Text),
            ("1__0", Text),
            ("1_", Text),
            ("1:30", Text),
            ("2026-11-01", Text),
            ("1.2.3", Text),
            ("1e", Text),
            ("e3", Text),
            (".", Text),
            ("..", Text),
            ("-", Text),
            ("+", Text),
            ("0x", Text),
            ("0xg", Text),
            ("0b2", Text),
            ("inf", Text),
            ("NaN", Text),
            ("12 months", Text),
            ("１２", Text),
        ] {
            assert_eq!(meaning(text), expected, "{text}");
        }
        for text in
            ["007", "-01", "00", "01.5", "0_1", "1e999", ".inf", "-.INF", ".nan", "0xffffffffffffffff"]
        {
            assert!(matches!(meaning(text), Meaning::Nothing(_)), "{text}");
        }
    }
}
