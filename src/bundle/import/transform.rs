//! An expression that makes a column's value out of its text: `int(value) / 12`.

use std::sync::Arc;

use crate::expression::{Expression, Facts, Scope, Syntax, TagMemo};
use crate::input::cursor::Cursor;
use crate::input::origin::Origin;
use crate::input::problem::{Problems, quoted};
use crate::schema::context::Context;
use crate::schema::value::{Time, Value};
use crate::schema::vector::FeatureVector;
use crate::schema::{ChannelId, Schema};

use super::cell;

/// The variable that is the text of the column's own cell.
const CELL: &str = "value";
/// The variable that is a map of all columns of the row to their texts.
const ROW: &str = "row";

/// A checked transform.
#[derive(Debug)]
pub(super) struct Transform {
    expression: Expression,
    /// Features are no variables here: the row is not a customer yet.
    schema: Schema,
}

/// A row for transforms: a map of the names of its columns to their texts.
pub(super) type Cells<'r> = &'r dyn Fn() -> Value<'r>;

impl Transform {
    pub(super) fn read(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Option<Transform> {
        let text = cursor.text(problems)?;
        let schema = Schema::empty();
        let entry = (Value::Text("".into()), Value::Text("".into()));
        let variables =
            [(CELL.to_owned(), Value::Text("".into())), (ROW.to_owned(), Value::Map(Arc::from([entry])))];
        let checked = Syntax::parse(text, Origin::default())
            .and_then(|syntax| Scope { variables: &variables, ..Scope::of(&schema) }.any(&syntax));
        match checked {
            Ok(expression) => Some(Transform { expression, schema }),
            Err(found) => {
                let why = found.iter().next().map(|problem| problem.detail.clone()).unwrap_or_default();
                let problem = cursor.problem(format!("`transform`: {why}"));
                problems.push(problem.hint(
                    "`value` is the text of the cell, `row['COLUMN']` that of another: int(value) / 12, value.substring(0, 4)",
                ));
                None
            }
        }
    }

    /// The cell that the text becomes. `now` is the time of the load.
    ///
    /// # Errors
    /// The expression has no answer, or one that no cell can have.
    pub(super) fn apply(&self, text: &str, row: Cells<'_>, now: Time) -> Result<String, String> {
        let variables = [Value::Text(text.into()), row()];
        let facts = Facts {
            schema: &self.schema,
            vector: FeatureVector::new(&[]),
            customer: None,
            context: &Context::default(),
            channel: ChannelId(0),
            now,
            tags: &[],
            memo: &TagMemo::new(0),
            variables: &variables,
        };
        let found = self.expression.evaluate(&facts);
        cell::of_result(&found)
            .map_err(|why| format!("`{}` of {}: {why}", self.expression.text, quoted(text)))
    }
}
