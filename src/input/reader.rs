//! How serde reads a document of JSON or MessagePack: one visitor for the values of both.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::document::{Input, InputValue, Key, MAX_DEPTH, MAX_VALUES};

/// Reads a value inside lists and maps. Values have no places; their depth and number are bounded here.
#[derive(Clone, Copy)]
pub(super) struct Plain<'l> {
    /// Lists and maps around the value.
    depth: usize,
    /// How many more values the document may have.
    left: &'l Cell<usize>,
}

impl<'l> Plain<'l> {
    /// Reads a document of at most [`MAX_VALUES`] values.
    pub(super) fn document<'de, D: Deserializer<'de>>(reader: D) -> Result<Input<'de>, D::Error> {
        Plain { depth: 0, left: &Cell::new(MAX_VALUES) }.value(reader)
    }

    fn value<'de, D: Deserializer<'de>>(self, reader: D) -> Result<Input<'de>, D::Error> {
        if self.depth > MAX_DEPTH {
            return Err(D::Error::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        let Some(left) = self.left.get().checked_sub(1) else {
            return Err(D::Error::custom(format_args!("a document has at most {MAX_VALUES} values")));
        };
        self.left.set(left);
        let value = reader.deserialize_any(Values(Plain { depth: self.depth + 1, ..self }))?;
        Ok(Input { value, place: None })
    }

    fn key<'de, D: Deserializer<'de>>(self, reader: D) -> Result<Key<'de>, D::Error> {
        Ok(Key { text: reader.deserialize_str(KeyText)?, place: None })
    }
}

/// The visitor: takes one value, and reads what is inside it as the format says.
struct Values<'l>(Plain<'l>);

impl<'de> Visitor<'de> for Values<'_> {
    type Value = InputValue<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, a boolean, a number, a string, a list or a map")
    }
    fn visit_bool<E>(self, v: bool) -> Result<InputValue<'de>, E> {
        Ok(InputValue::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<InputValue<'de>, E> {
        Ok(InputValue::Int(v))
    }
    fn visit_u64<E>(self, v: u64) -> Result<InputValue<'de>, E> {
        Ok(i64::try_from(v).map_or(InputValue::Float(v as f64), InputValue::Int))
    }
    fn visit_f64<E>(self, v: f64) -> Result<InputValue<'de>, E> {
        Ok(InputValue::Float(v))
    }
    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<InputValue<'de>, E> {
        Ok(InputValue::Text(v.into()))
    }
    fn visit_str<E>(self, v: &str) -> Result<InputValue<'de>, E> {
        Ok(InputValue::Text(v.to_owned().into()))
    }
    fn visit_unit<E>(self) -> Result<InputValue<'de>, E> {
        Ok(InputValue::Null)
    }
    fn visit_none<E>(self) -> Result<InputValue<'de>, E> {
        Ok(InputValue::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, reader: D) -> Result<InputValue<'de>, D::Error> {
        reader.deserialize_any(self)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<InputValue<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(ValueSeed(self.0))? {
            list.push(item);
        }
        Ok(InputValue::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<InputValue<'de>, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key_seed(KeySeed(self.0))? {
            map.push((key, entries.next_value_seed(ValueSeed(self.0))?));
        }
        Ok(InputValue::Map(map))
    }
}

struct ValueSeed<'l>(Plain<'l>);

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Input<'de>;
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Input<'de>, D::Error> {
        self.0.value(reader)
    }
}

struct KeySeed<'l>(Plain<'l>);

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Key<'de>;
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Key<'de>, D::Error> {
        self.0.key(reader)
    }
}

struct KeyText;

impl<'de> Visitor<'de> for KeyText {
    type Value = Cow<'de, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string as key")
    }
    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(v.into())
    }
    fn visit_str<E>(self, v: &str) -> Result<Cow<'de, str>, E> {
        Ok(v.to_owned().into())
    }
}
