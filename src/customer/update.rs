//! A change to one customer, as data. It is checked against the schema when it is made, so applying it cannot
//! fail.

use super::event::Event;
use super::id::CustomerId;
use super::row;
use super::row::Row;
use crate::input::cursor::Cursor;
use crate::input::problem::{Problem, Problems};
use crate::schema::{FeatureId, Schema};

/// A change and the customer that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The id of the customer who changes.
    pub customer: CustomerId,
    /// What happens to this customer.
    pub change: Change,
}

/// What happens to a customer. Values are codes as the schema packs them; code 0 clears a feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// They have these stored features and no others. Contacts, and what was computed from events, stay. An
    /// unknown customer is created.
    Replace(Vec<(FeatureId, u64)>),
    /// These features change, all others stay. An unknown customer is created.
    Merge(Vec<(FeatureId, u64)>),
    /// Something happened to them. An unknown customer is created.
    Event(Box<Event>),
    /// Everything about them is forgotten, and what was said to them before is void.
    Erase(Erasure),
}

/// The bytes of a salt for the hashes of erased customers.
pub const SALT_BYTES: usize = 16;

/// When a customer is erased. By default it has no time: the node that writes it gives it one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Erasure {
    /// The time in seconds since 1970; 0 as long as it has none, and in records of earlier releases.
    pub at: u32,
    /// Random bytes. They salt what is remembered of erased customers, if nobody is remembered yet.
    pub salt: [u8; SALT_BYTES],
}

impl Change {
    /// Makes the row what it is after this change. `row` holds what was there before, nothing for an unknown
    /// customer. `Erase` leaves an empty row. An event changes nothing here, because it concerns more than
    /// the row: [`State::apply`](crate::state::State::apply).
    pub fn apply(&self, schema: &Schema, row: &mut Row) {
        let (Change::Replace(fields) | Change::Merge(fields)) = self else {
            if matches!(self, Change::Erase(_)) {
                row.clear();
            }
            return;
        };
        row::open(row, schema.row_words());
        if matches!(self, Change::Replace(_)) {
            for field in schema.features().iter().filter_map(|feature| feature.field) {
                field.write(row, 0);
            }
        }
        for (feature, code) in fields {
            if let Some(field) =
                schema.features().get(usize::from(feature.0)).and_then(|feature| feature.field)
            {
                field.write(row, *code);
            }
        }
    }
}

/// Reads the map here as features with their codes; `null` is code 0, which clears. `besides` is a key that
/// is no feature.
///
/// After [`MAX_PROBLEMS`](crate::input::problem::MAX_PROBLEMS) problems reading stops, because hints cost
/// time.
pub(crate) fn read_fields(
    root: &Cursor<'_, '_>,
    schema: &Schema,
    besides: Option<&str>,
    problems: &mut Problems,
) -> Vec<(FeatureId, u64)> {
    let entries = root.entries(problems).unwrap_or_default();
    let mut fields = Vec::with_capacity(entries.len());
    for (name, at) in entries {
        if problems.omitted > 0 {
            break;
        }
        if Some(name) != besides {
            match read_field(name, &at, schema) {
                Ok(field) => fields.push(field),
                Err(problem) => problems.push(problem),
            }
        }
    }
    fields
}

fn read_field(name: &str, at: &Cursor<'_, '_>, schema: &Schema) -> Result<(FeatureId, u64), Problem> {
    let id = schema.find_feature(name).map_err(|problem| at.key_placed(problem))?;
    let feature = schema.feature(id);
    if feature.field.is_none() {
        return Err(at.key_problem(format!("`{name}` is computed from events and cannot be set")));
    }
    if at.is_null() {
        return Ok((id, 0));
    }
    match feature.kind.read(&at.input.value, schema.zone()) {
        Ok(value) => Ok((id, feature.kind.encode(&value))),
        Err(why) => Err(at.problem(format!("`{name}`: {why}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::document::Input;
    use crate::input::problem::MAX_PROBLEMS;

    #[test]
    fn what_is_wrong_with_features_is_said_up_to_the_bound() {
        let text = "schema: s\nfeatures: {age: {kind: int, min: 0, max: 120}}\n";
        let schema = Schema::parse("s", text).unwrap();
        let keys: Vec<_> = (0..5000).map(|i| format!("\"k{i}\": 1")).collect();
        let json = format!("{{\"age\": null, {}}}", keys.join(","));
        let input = Input::from_json(json.as_bytes()).unwrap();
        let mut problems = Problems::new();
        let fields = read_fields(&Cursor::root(&input, None), &schema, None, &mut problems);
        assert_eq!(fields, [(FeatureId(0), 0)]);
        assert_eq!((problems.iter().count(), problems.omitted), (MAX_PROBLEMS, 1));
    }
}
