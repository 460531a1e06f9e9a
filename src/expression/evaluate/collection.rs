//! Lists, maps and sets: how many items they have, which ones, and whether one is in them.

use smallvec::SmallVec;

use super::order::equal;
use super::{NO_OVERLOAD, OUT_OF_RANGE, strict};
use crate::schema::value::Value;

const NO_KEY: Value<'static> = Value::Error("no such key");

pub(super) fn size(args: &[Value<'_>]) -> Value<'static> {
    let count = match args.first() {
        Some(Value::Text(text)) => text.chars().count(),
        Some(Value::Bytes(bytes)) => bytes.len(),
        Some(Value::List(items)) => items.len(),
        Some(Value::Map(entries)) => entries.len(),
        Some(Value::Set(bits, _)) => bits.count_ones() as usize,
        _ => return NO_OVERLOAD,
    };
    Value::Int(count as i64)
}

/// The operator `in`: whether a value is an item of a list or set, or a key of a map.
pub(super) fn contained<'a>(item: &Value<'a>, list: &Value<'a>) -> Value<'a> {
    if !item.is_answer() {
        return item.clone();
    }
    match list {
        Value::List(items) => Value::Bool(items.iter().any(|other| equal(item, other))),
        Value::Map(entries) => Value::Bool(entries.iter().any(|(key, _)| equal(item, key))),
        Value::Set(bits, words) => match item {
            Value::Text(word) => Value::Bool(words.code(word).is_some_and(|code| bits >> code & 1 == 1)),
            _ => Value::Bool(false),
        },
        other => strict(other),
    }
}

/// An item of a list by its place from 0, or a value of a map by its key.
pub(super) fn element<'a>(list: &Value<'a>, index: &Value<'a>) -> Value<'a> {
    if !list.is_answer() {
        return list.clone();
    }
    match (list, index) {
        (_, index) if !index.is_answer() => index.clone(),
        (Value::List(items), index) => match place(index) {
            Some(place) => place.and_then(|i| items.get(i)).cloned().unwrap_or(OUT_OF_RANGE),
            None => NO_OVERLOAD,
        },
        (Value::Map(_), key) => field(list, key),
        _ => NO_OVERLOAD,
    }
}

/// The place that a number stands for: `None` if it is not a number, `Some(None)` if it is not a place.
fn place(index: &Value<'_>) -> Option<Option<usize>> {
    match index {
        Value::Int(i) => Some(usize::try_from(*i).ok()),
        Value::UInt(u) => Some(usize::try_from(*u).ok()),
        Value::Double(x) => Some((*x >= 0.0 && *x < 1e9 && x.fract() == 0.0).then_some(*x as usize)),
        _ => None,
    }
}

/// The value of a map for a key.
pub(super) fn field<'a>(map: &Value<'a>, key: &Value<'a>) -> Value<'a> {
    match map {
        Value::Map(entries) => {
            let found = entries.iter().find(|(other, _)| equal(key, other));
            found.map_or(NO_KEY, |(_, value)| value.clone())
        }
        other => strict(other),
    }
}

/// A map of these values, in which keys and values take turns.
pub(super) fn map(items: SmallVec<[Value<'_>; 4]>) -> Value<'_> {
    let mut entries: Vec<(Value<'_>, Value<'_>)> = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        if !matches!(key, Value::Bool(_) | Value::Int(_) | Value::UInt(_) | Value::Text(_)) {
            return Value::Error("a map's keys are texts, ints, uints and bools");
        }
        if entries.iter().any(|(other, _)| equal(&key, other)) {
            return Value::Error("a map has a key twice");
        }
        entries.push((key, value));
    }
    Value::Map(entries.into())
}
