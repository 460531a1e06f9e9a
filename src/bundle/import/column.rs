//! One column of a foreign file: what it becomes, and what its texts mean.

use std::borrow::Cow;
use std::collections::HashMap;

use jiff::tz::TimeZone;

use super::cell::CLEARS;
use super::notation::{Notation, Usual};
use super::target::{Rows, Target};
use super::transform::{Cells, Transform};
use super::{cell, read_texts};
use crate::input::cursor::{Cursor, Object};
use crate::input::problem::{Problems, quoted};
use crate::schema::value::Time;

/// What one foreign column becomes, with its values translated.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: Box<str>,
    /// What a file of Usher's own calls it.
    pub(super) target: Box<str>,
    values: HashMap<Box<str>, String>,
    missing: Vec<Box<str>>,
    empty: Empty,
    trim: bool,
    notation: Notation,
    transform: Option<Transform>,
}

/// What a mapping says for all of its columns that do not say otherwise.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    empty: Empty,
    /// Whether blanks around a text are taken off before anything else looks at it.
    pub(super) trim: bool,
    notation: Usual,
}

/// What an empty cell means for a customer who is known already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Empty {
    /// The file does not say: the feature stays as it is.
    #[default]
    Keep,
    /// The feature is not known: it becomes missing.
    Clear,
}

impl Defaults {
    pub(super) fn read(object: &Object<'_, '_>, problems: &mut Problems) -> Defaults {
        Defaults {
            empty: read_empty(object, problems).unwrap_or_default(),
            trim: object.get("trim").and_then(|at| at.boolean(problems)).unwrap_or(false),
            notation: Usual::read(object, problems),
        }
    }
}

impl Column {
    pub(super) fn read(
        name: &str,
        cursor: &Cursor<'_, '_>,
        (defaults, rows, zone): (&Defaults, Rows<'_>, &TimeZone),
        problems: &mut Problems,
    ) -> Option<Column> {
        let own = ["values", "missing", "trim", "transform"];
        let known = rows.fields().iter().copied().chain(rows.is_of_customers().then_some("empty"));
        let known: Vec<&'static str> = known.chain(own).chain(Notation::FIELDS).collect();
        let object = cursor.object(&known, problems)?;
        let Target { name: target, kind } = rows.target(&object, problems)?;
        let mut values = HashMap::new();
        if let Some(cursor) = object.get("values") {
            for (text, cursor) in cursor.entries(problems).unwrap_or_default() {
                let value = &cursor.input.value;
                match kind.read(value, zone).and_then(|_| cell::of_input(value)) {
                    Ok(cell) => values.insert(text.into(), cell),
                    Err(why) => {
                        problems.push(cursor.problem(why));
                        None
                    }
                };
            }
        }
        let missing = object.get("missing").map(|c| read_texts(c, problems)).unwrap_or_default();
        for text in missing.iter().filter(|text| values.contains_key(*text)) {
            problems.push(cursor.problem(format!("{} is both a value and missing", quoted(text))));
        }
        let said = missing.iter().any(|text| text.is_empty()) || values.contains_key("");
        if let Some(at) = object.get("empty").filter(|_| said) {
            problems.push(at.problem("`values` or `missing` already says what an empty cell means"));
        }
        let notation = Notation::read(&object, kind, &defaults.notation, zone, problems);
        let transform = object.get("transform").and_then(|at| Transform::read(at, problems));
        if transform.is_some() {
            for at in Notation::FIELDS.iter().filter_map(|field| object.get(field)) {
                problems.push(
                    at.key_problem(
                        "a column with a `transform` has no format: the expression reads the text",
                    ),
                );
            }
        }
        Some(Column {
            name: name.into(),
            target,
            values,
            missing,
            empty: read_empty(&object, problems).unwrap_or(defaults.empty),
            trim: object.get("trim").and_then(|at| at.boolean(problems)).unwrap_or(defaults.trim),
            notation,
            transform,
        })
    }

    /// The cell that a text becomes; `row` gives the other texts of its row.
    ///
    /// # Errors
    /// Why it becomes none.
    pub(super) fn translate<'a>(
        &'a self,
        text: &'a str,
        row: Cells<'_>,
        now: Time,
    ) -> Result<Cow<'a, str>, String> {
        let text = if self.trim { text.trim() } else { text };
        if self.missing.iter().any(|missing| **missing == *text) {
            return Ok(Cow::Borrowed(CLEARS));
        }
        match (self.values.get(text), &self.transform) {
            (Some(value), _) => Ok(Cow::Borrowed(value)),
            (None, _) if text.is_empty() => Ok(Cow::Borrowed(match self.empty {
                Empty::Clear => CLEARS,
                Empty::Keep => "",
            })),
            (None, _) if crate::schema::told::clears(text) => Ok(Cow::Borrowed(text)),
            (None, Some(transform)) => transform.apply(text, row, now).map(Cow::Owned),
            (None, None) => self.notation.cell(text, |word| self.values.get(word).map(String::as_str)),
        }
    }
}

/// What the file says of empty cells here.
fn read_empty(object: &Object<'_, '_>, problems: &mut Problems) -> Option<Empty> {
    let cursor = object.get("empty")?;
    match cursor.text(problems)? {
        "keep" => Some(Empty::Keep),
        "clear" => Some(Empty::Clear),
        other => {
            problems.push(cursor.problem(format!("expected `keep` or `clear`, found {}", quoted(other))));
            None
        }
    }
}
