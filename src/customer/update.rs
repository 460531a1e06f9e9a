//! A change to one customer, as data: checked against the schema when it is made, so that applying it cannot fail.

use super::event::Event;
use super::id::CustomerId;
use super::row;
use super::row::Row;
use crate::input::cursor::Cursor;
use crate::input::problem::{Problem, Problems};
use crate::schema::{FeatureId, Schema};

/// What happens to which customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Who.
    pub customer: CustomerId,
    /// What.
    pub change: Change,
}

/// What happens to a customer. Values are codes as the schema packs them; code 0 clears a feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// These stored features and no others; what was computed from events, and contacts, stay. An unknown customer is
    /// created.
    Replace(Vec<(FeatureId, u64)>),
    /// These features, all others as they are; an unknown customer is created.
    Merge(Vec<(FeatureId, u64)>),
    /// Something happened to the customer; an unknown one is created.
    Event(Box<Event>),
    /// The customer is forgotten.
    Erase,
}

impl Change {
    /// The row after this change: `row` holds what was there before (empty for an unknown customer). `Erase` leaves an
    /// empty row. Events are more than a row's business: [`State::apply`](crate::state::State::apply).
    pub fn apply(&self, schema: &Schema, row: &mut Row) {
        let (Change::Replace(fields) | Change::Merge(fields)) = self else {
            if *self == Change::Erase {
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

/// The features in the map here with their codes; 0 for `null`, which clears. `besides` is a key that is no
/// feature. What is wrong is said up to [`MAX_PROBLEMS`](crate::input::problem::MAX_PROBLEMS), then reading ends: hints
/// cost time.
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
    match feature.kind.read(&at.input.value) {
        Ok(value) => Ok((id, feature.kind.encode(&value))),
        Err(why) => Err(at.problem(format!("`{name}`: {why}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::cursor::Input;
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
