//! Arithmetic and the functions of `math`. Ints and uints never wrap around: a result that does not fit has
//! no answer.

use std::cmp::Ordering;

use super::order::numbers;
use super::{NO_OVERLOAD, OVERFLOW};
use crate::expression::{Function, Operator};
use crate::schema::value::Value;

const BY_ZERO: Value<'static> = Value::Error("division by zero");

pub(super) fn arithmetic(operator: Operator, left: &Value<'_>, right: &Value<'_>) -> Value<'static> {
    use Operator::{Add, Divide, Modulo, Multiply, Subtract};
    match (operator, left, right) {
        (Divide | Modulo, Value::Int(_), Value::Int(0))
        | (Divide | Modulo, Value::UInt(_), Value::UInt(0)) => BY_ZERO,
        (operator, Value::Int(a), Value::Int(b)) => {
            let result = match operator {
                Add => a.checked_add(*b),
                Subtract => a.checked_sub(*b),
                Multiply => a.checked_mul(*b),
                Divide => a.checked_div(*b),
                Modulo => a.checked_rem(*b),
            };
            result.map_or(OVERFLOW, Value::Int)
        }
        (operator, Value::UInt(a), Value::UInt(b)) => {
            let result = match operator {
                Add => a.checked_add(*b),
                Subtract => a.checked_sub(*b),
                Multiply => a.checked_mul(*b),
                Divide => a.checked_div(*b),
                Modulo => a.checked_rem(*b),
            };
            result.map_or(OVERFLOW, Value::UInt)
        }
        (operator, Value::Double(a), Value::Double(b)) => doubles(operator, *a, *b),
        _ => NO_OVERLOAD,
    }
}

#[inline]
pub(super) fn doubles(operator: Operator, a: f64, b: f64) -> Value<'static> {
    match operator {
        Operator::Add => Value::Double(a + b),
        Operator::Subtract => Value::Double(a - b),
        Operator::Multiply => Value::Double(a * b),
        Operator::Divide => Value::Double(a / b),
        Operator::Modulo => NO_OVERLOAD,
    }
}

pub(super) fn call<'a>(function: Function, args: &[Value<'a>]) -> Value<'a> {
    use Function as F;
    match (function, args) {
        (F::Greatest, args) => most(args, Ordering::Greater),
        (F::Least, args) => most(args, Ordering::Less),
        (F::Abs, [Value::Int(i)]) => i.checked_abs().map_or(OVERFLOW, Value::Int),
        (F::Sign, [Value::Int(i)]) => Value::Int(i.signum()),
        (F::Abs, [Value::UInt(u)]) => Value::UInt(*u),
        (F::Sign, [Value::UInt(u)]) => Value::UInt((*u).min(1)),
        (F::BitNot, [Value::Int(i)]) => Value::Int(!i),
        (F::BitNot, [Value::UInt(u)]) => Value::UInt(!u),
        (function, [Value::Double(x)]) => of_double(function, *x),
        (function, [Value::Int(a), Value::Int(b)]) => {
            bits(function, *a as u64, *b).map_or_else(|none| none, |bits| Value::Int(bits as i64))
        }
        (function, [Value::UInt(a), Value::Int(b)]) if is_shift(function) => {
            bits(function, *a, *b).map_or_else(|none| none, Value::UInt)
        }
        (function, [Value::UInt(a), Value::UInt(b)]) if !is_shift(function) => {
            bits(function, *a, *b as i64).map_or_else(|none| none, Value::UInt)
        }
        _ => NO_OVERLOAD,
    }
}

fn is_shift(function: Function) -> bool {
    matches!(function, Function::BitShiftLeft | Function::BitShiftRight)
}

/// Works on the 64 bits of an int or uint; shifts fill with zeros.
fn bits(function: Function, a: u64, b: i64) -> Result<u64, Value<'static>> {
    let shift = |shifted: fn(u64, u32) -> Option<u64>| match u32::try_from(b) {
        Ok(by) => Ok(shifted(a, by).unwrap_or(0)),
        Err(_) if b > 0 => Ok(0),
        Err(_) => Err(Value::Error("a negative shift")),
    };
    match function {
        Function::BitAnd => Ok(a & b as u64),
        Function::BitOr => Ok(a | b as u64),
        Function::BitXor => Ok(a ^ b as u64),
        Function::BitShiftLeft => shift(u64::checked_shl),
        Function::BitShiftRight => shift(u64::checked_shr),
        _ => Err(NO_OVERLOAD),
    }
}

fn of_double(function: Function, x: f64) -> Value<'static> {
    Value::Double(match function {
        Function::Abs => x.abs(),
        Function::Ceil => x.ceil(),
        Function::Floor => x.floor(),
        Function::Round => x.round(),
        Function::Trunc => x.trunc(),
        Function::Sign if x == 0.0 || x.is_nan() => x,
        Function::Sign => x.signum(),
        Function::IsFinite => return Value::Bool(x.is_finite()),
        Function::IsInf => return Value::Bool(x.is_infinite()),
        Function::IsNan => return Value::Bool(x.is_nan()),
        _ => return NO_OVERLOAD,
    })
}

/// The greatest or least of some numbers, or of a list of numbers. Of equal numbers it is the first.
fn most<'a>(args: &[Value<'a>], wanted: Ordering) -> Value<'a> {
    let args = match args {
        [Value::List(items)] => items,
        args => args,
    };
    let Some((mut best, rest)) = args.split_first() else {
        return Value::Error("there is no number in the list");
    };
    if best.number().is_none() {
        return NO_OVERLOAD;
    }
    for value in rest {
        if value.number().is_none() {
            return NO_OVERLOAD;
        }
        if numbers(value, best) == Some(wanted) {
            best = value;
        }
    }
    best.clone()
}
