//! Types: which values an expression may have, as far as that is known before it is evaluated.

use std::sync::Arc;

use crate::schema::value::Value;
use crate::schema::{Kind, Vocabulary};

/// The type of an expression's values.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// Known only when it is evaluated: an item of a mixed list, or what `dyn()` gives.
    Any,
    /// The type of `null`, which has only this value.
    Null,
    /// A truth value, `true` or `false`.
    Bool,
    /// A whole number of 64 signed bits.
    Int,
    /// A whole number of 64 bits without a sign.
    UInt,
    /// A number of double precision; decimals are such numbers too.
    Double,
    /// Free text of any length.
    Text,
    /// Bytes, which need not be UTF-8.
    Bytes,
    /// A word of a closed vocabulary.
    Word(Arc<Vocabulary>),
    /// A point in time, to the microsecond.
    Time,
    /// A duration, to the microsecond.
    Duration,
    /// Some words of a closed vocabulary.
    Set(Arc<Vocabulary>),
    /// A list of items of this type.
    List(Box<Type>),
    /// A map with keys and values of these types.
    Map(Box<(Type, Type)>),
    /// A type itself, such as `int` or what `type()` gives.
    Type,
}

impl Type {
    /// The type of the values of a schema's kind.
    pub fn of(kind: &Kind) -> Type {
        match kind {
            Kind::Bool => Type::Bool,
            Kind::Int { .. } => Type::Int,
            Kind::Float { .. } | Kind::Decimal { .. } => Type::Double,
            Kind::Enum(words) => Type::Word(Arc::clone(words)),
            Kind::Set(words) => Type::Set(Arc::clone(words)),
            Kind::Time => Type::Time,
            Kind::Text => Type::Text,
            Kind::Computed(computed) => Type::of(&computed.result),
        }
    }

    pub(super) fn of_value(value: &Value<'_>) -> Type {
        match value {
            Value::Missing | Value::Error(_) => Type::Any,
            Value::Null => Type::Null,
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::UInt(_) => Type::UInt,
            Value::Double(_) => Type::Double,
            Value::Text(_) => Type::Text,
            Value::Bytes(_) => Type::Bytes,
            Value::Time(_) => Type::Time,
            Value::Duration(_) => Type::Duration,
            Value::Set(_, words) => Type::Set(Arc::new((*words).clone())),
            Value::List(items) => Type::list(common(items.iter().map(Type::of_value))),
            Value::Map(entries) => Type::map(
                common(entries.iter().map(|(key, _)| Type::of_value(key))),
                common(entries.iter().map(|(_, value)| Type::of_value(value))),
            ),
            Value::Type(_) => Type::Type,
        }
    }

    pub(super) fn list(items: Type) -> Type {
        Type::List(Box::new(items))
    }

    pub(super) fn map(keys: Type, values: Type) -> Type {
        Type::Map(Box::new((keys, values)))
    }

    pub(super) fn describe(&self) -> &'static str {
        match self {
            Type::Any => "a value",
            Type::Null => "null",
            Type::Bool => "true or false",
            Type::Int => "an int",
            Type::UInt => "a uint",
            Type::Double => "a double",
            Type::Text => "a text",
            Type::Bytes => "bytes",
            Type::Word(_) => "an enum",
            Type::Time => "a timestamp",
            Type::Duration => "a duration",
            Type::Set(_) => "a set",
            Type::List(_) => "a list",
            Type::Map(_) => "a map",
            Type::Type => "a type",
        }
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Type::Int | Type::UInt | Type::Double)
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self, Type::Text | Type::Word(_))
    }

    /// Whether a value of one type may equal a value of the other. Enums are compared by their words.
    pub(super) fn may_equal(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::Any, _) | (_, Type::Any) => true,
            (Type::List(a), Type::List(b)) => a.may_equal(b),
            (Type::Map(a), Type::Map(b)) => a.0.may_equal(&b.0) && a.1.may_equal(&b.1),
            (a, b) => a == b || (a.is_number() && b.is_number()) || (a.is_text() && b.is_text()),
        }
    }
}

/// The type that holds all of these; [`Type::Any`] if there is no other.
pub(super) fn common(types: impl Iterator<Item = Type>) -> Type {
    let mut all: Option<Type> = None;
    for kind in types {
        all = Some(match all {
            None => kind,
            Some(first) => joined(first, kind),
        });
    }
    all.unwrap_or(Type::Any)
}

fn joined(a: Type, b: Type) -> Type {
    match (a, b) {
        (a, b) if a == b => a,
        (a, b) if a.is_text() && b.is_text() => Type::Text,
        (Type::List(a), Type::List(b)) => Type::list(joined(*a, *b)),
        (Type::Map(a), Type::Map(b)) => Type::map(joined(a.0, b.0), joined(a.1, b.1)),
        _ => Type::Any,
    }
}
