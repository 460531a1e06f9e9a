//! Which of two values is less, and whether they are equal. Numbers of all types are compared by what they
//! are; all other values only within their type.

use std::cmp::Ordering;

use super::NO_OVERLOAD;
use crate::expression::Comparison;
use crate::schema::value::Value;

const INT_END: f64 = 9_223_372_036_854_775_808.0; // 2^63
const UINT_END: f64 = 18_446_744_073_709_551_616.0; // 2^64

pub(in crate::expression) fn compare<'a>(
    comparison: Comparison,
    left: &Value<'a>,
    right: &Value<'a>,
) -> Value<'a> {
    if !left.is_answer() {
        return left.clone();
    }
    if !right.is_answer() {
        return right.clone();
    }
    let order = match comparison {
        Comparison::Equal => return Value::Bool(equal(left, right)),
        Comparison::NotEqual => return Value::Bool(!equal(left, right)),
        _ => match (left, right) {
            (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
            (Value::Double(a), Value::Int(b)) => int_and_double(*b, *a).map(Ordering::reverse),
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Time(a), Value::Time(b)) => Some(a.cmp(b)),
            (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
            (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
            (a, b) if is_number(a) && is_number(b) => numbers(a, b),
            _ => return NO_OVERLOAD,
        },
    };
    // Nothing is less or greater than NaN.
    Value::Bool(order.is_some_and(|order| fits(comparison, order)))
}

pub(super) fn fits(comparison: Comparison, order: Ordering) -> bool {
    match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

/// Whether two values are equal. Values of different types are not, except numbers.
pub(super) fn equal(left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| equal(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            let same = |(key, value): &(Value<'_>, Value<'_>)| {
                b.iter().any(|(other, found)| equal(key, other) && equal(value, found))
            };
            a.len() == b.len() && a.iter().all(same)
        }
        (Value::Set(a, words), Value::Set(b, others)) => words.of_bits(*a).eq(others.of_bits(*b)),
        (a, b) if is_number(a) && is_number(b) => numbers(a, b) == Some(Ordering::Equal),
        _ => left == right,
    }
}

fn is_number(value: &Value<'_>) -> bool {
    matches!(value, Value::Int(_) | Value::UInt(_) | Value::Double(_))
}

/// The order of two numbers, whatever their types; `None` with NaN.
pub(super) fn numbers(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::UInt(a), Value::UInt(b)) => Some(a.cmp(b)),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::UInt(b)) => Some(int_and_uint(*a, *b)),
        (Value::UInt(a), Value::Int(b)) => Some(int_and_uint(*b, *a).reverse()),
        (Value::Int(a), Value::Double(b)) => int_and_double(*a, *b),
        (Value::Double(a), Value::Int(b)) => int_and_double(*b, *a).map(Ordering::reverse),
        (Value::UInt(a), Value::Double(b)) => uint_and_double(*a, *b),
        (Value::Double(a), Value::UInt(b)) => uint_and_double(*b, *a).map(Ordering::reverse),
        _ => None,
    }
}

fn int_and_uint(i: i64, u: u64) -> Ordering {
    u64::try_from(i).map_or(Ordering::Less, |i| i.cmp(&u))
}

/// Compares exactly. An int beyond 2^53 has no double of its own, so neither side may be converted to the
/// other's type.
fn int_and_double(i: i64, x: f64) -> Option<Ordering> {
    if x.is_nan() {
        None
    } else if x >= INT_END {
        Some(Ordering::Less)
    } else if x < -INT_END {
        Some(Ordering::Greater)
    } else {
        let whole = i.cmp(&(x.trunc() as i64));
        Some(whole.then(0.0_f64.total_cmp(&(x.fract() + 0.0))))
    }
}

fn uint_and_double(u: u64, x: f64) -> Option<Ordering> {
    if x.is_nan() {
        None
    } else if x >= UINT_END {
        Some(Ordering::Less)
    } else if x < 0.0 {
        Some(Ordering::Greater)
    } else {
        let whole = u.cmp(&(x.trunc() as u64));
        Some(whole.then(0.0_f64.total_cmp(&(x.fract() + 0.0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_kinds_compare_exactly() {
        for (i, x, expected) in [
            (1, 1.0, Some(Ordering::Equal)),
            (1, 1.5, Some(Ordering::Less)),
            (-1, -1.5, Some(Ordering::Greater)),
            (0, -0.0, Some(Ordering::Equal)),
            (i64::MAX, 9_223_372_036_854_775_807.0, Some(Ordering::Less)),
            (9_007_199_254_740_993, 9_007_199_254_740_992.0, Some(Ordering::Greater)),
            (i64::MIN, f64::NEG_INFINITY, Some(Ordering::Greater)),
            (0, f64::NAN, None),
        ] {
            assert_eq!(numbers(&Value::Int(i), &Value::Double(x)), expected, "{i} {x}");
        }
        for (u, x, expected) in [
            (u64::MAX, 18_446_744_073_709_551_615.0, Some(Ordering::Less)),
            (0, -0.5, Some(Ordering::Greater)),
            (0, -0.0, Some(Ordering::Equal)),
            (3, 3.25, Some(Ordering::Less)),
        ] {
            assert_eq!(numbers(&Value::UInt(u), &Value::Double(x)), expected, "{u} {x}");
        }
        assert_eq!(numbers(&Value::Int(-1), &Value::UInt(u64::MAX)), Some(Ordering::Less));
        assert_eq!(numbers(&Value::UInt(1 << 63), &Value::Int(i64::MAX)), Some(Ordering::Greater));
    }
}
