//! What only the request knows.

use super::ContextId;
use super::value::Value;

/// The context's values; a field that was not given is missing.
#[derive(Debug, Clone, Default)]
pub struct Context<'a> {
    values: Vec<(ContextId, Value<'a>)>,
}

impl<'a> Context<'a> {
    /// Gives a field its value.
    pub fn set(&mut self, field: ContextId, value: Value<'a>) {
        self.values.push((field, value));
    }

    /// The field's value.
    pub fn get(&self, field: ContextId) -> &Value<'a> {
        // A handful of fields at most: a scan beats a table.
        self.values.iter().find(|(id, _)| *id == field).map_or(&Value::Missing, |(_, value)| value)
    }
}
