//! A document as it was written: a tree of values that nothing has checked yet. Values read from YAML know
//! their place in the text; those read from JSON and MessagePack do not.

use std::borrow::Cow;

use super::problem::{Place, quoted};

/// The most lists and maps inside each other, in every format. A document with more is refused.
pub const MAX_DEPTH: usize = 64;
/// The most values one document may have. A short YAML text with aliases can stand for a huge number of
/// values, so the bound is on values, not bytes. A rule set of 10,000 offers has about 400,000.
pub const MAX_VALUES: usize = 1_000_000;

/// One value of a document, with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Input<'a> {
    /// The value itself, with all that is inside it.
    pub value: InputValue<'a>,
    /// Where it stands in the text; `None` for JSON and MessagePack.
    pub place: Option<Place>,
}

/// A value as it was written, not yet checked against anything.
#[derive(Debug, Clone, PartialEq)]
pub enum InputValue<'a> {
    /// `null`, or a key without a value in YAML.
    Null,
    /// `true` or `false`, in YAML only these two words.
    Bool(bool),
    /// A whole number that fits 64 signed bits.
    Int(i64),
    /// Any other number, also a whole one beyond 64 signed bits.
    Float(f64),
    /// A string, borrowed from the input where the format allows it.
    Text(Cow<'a, str>),
    /// A list, its items in order.
    List(Vec<Input<'a>>),
    /// A map: its entries in the order written, duplicates included.
    Map(Vec<(Key<'a>, Input<'a>)>),
}

/// The key of a map entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Key<'a> {
    /// The key's text; keys that are not strings are refused.
    pub text: Cow<'a, str>,
    /// Where the key stands in the text; `None` for JSON and MessagePack.
    pub place: Option<Place>,
}

impl Input<'_> {
    /// How many values there are, this one and all inside it.
    pub fn count(&self) -> usize {
        1 + match &self.value {
            InputValue::List(items) => items.iter().map(Input::count).sum(),
            InputValue::Map(entries) => entries.iter().map(|(_, value)| value.count()).sum::<usize>(),
            _ => 0,
        }
    }
}

impl InputValue<'_> {
    /// The value in a few words, to follow "found". Long texts are cut.
    pub fn describe(&self) -> String {
        match self {
            InputValue::Null => "null".into(),
            InputValue::Bool(b) => b.to_string(),
            InputValue::Int(i) => i.to_string(),
            InputValue::Float(x) => format!("{x:?}"), // 5.0 is not the 5 that was expected
            InputValue::Text(t) => format!("the text {}", quoted(t)),
            InputValue::List(items) => format!("a list of {}", items.len()),
            InputValue::Map(_) => "a map".into(),
        }
    }
}

impl serde::Serialize for Input<'_> {
    fn serialize<S: serde::Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            InputValue::Null => writer.serialize_unit(),
            InputValue::Bool(b) => writer.serialize_bool(*b),
            InputValue::Int(i) => writer.serialize_i64(*i),
            InputValue::Float(x) => writer.serialize_f64(*x),
            InputValue::Text(text) => writer.serialize_str(text),
            InputValue::List(items) => writer.collect_seq(items),
            InputValue::Map(entries) => {
                writer.collect_map(entries.iter().map(|(key, value)| (&key.text, value)))
            }
        }
    }
}
