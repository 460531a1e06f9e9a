//! What only the request knows: the values of the context fields.

use super::ContextId;
use super::value::Value;

/// The values of one request's context fields. A field that was not given is missing.
#[derive(Debug, Clone, Default)]
pub struct Context<'a> {
    values: Vec<(ContextId, Value<'a>)>,
}

impl<'a> Context<'a> {
    /// Gives a field its value. The first value given to a field counts.
    pub fn set(&mut self, field: ContextId, value: Value<'a>) {
        self.values.push((field, value));
    }

    /// The value of the field; missing if it was not given.
    pub fn get(&self, field: ContextId) -> &Value<'a> {
        // There are only a handful of fields, so a scan beats a table.
        self.values.iter().find(|(id, _)| *id == field).map_or(&Value::Missing, |(_, value)| value)
    }
}
