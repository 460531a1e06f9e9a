//! The text of a cell in a file of Usher's own.

use crate::input::document::InputValue;
use crate::schema::value::Value;

/// The cell that clears its feature.
pub(crate) const CLEARS: &str = "null";
/// A set without words: an empty cell would say nothing.
pub(super) const EMPTY_SET: &str = "|";

/// A value of JSON or YAML as a cell. A number keeps its bits.
///
/// # Errors
/// It is a map.
pub(crate) fn of_input(value: &InputValue<'_>) -> Result<String, String> {
    Ok(match value {
        InputValue::Text(text) => text.to_string(),
        InputValue::Float(x) => x.to_string(),
        InputValue::List(items) if items.is_empty() => EMPTY_SET.to_owned(),
        InputValue::List(items) => {
            items.iter().map(|item| of_input(&item.value)).collect::<Result<Vec<_>, _>>()?.join("|")
        }
        InputValue::Map(_) => return Err("a feature cannot be a map".into()),
        other => other.describe(),
    })
}

/// What an expression found as a cell.
///
/// # Errors
/// It found nothing, or what no cell can say.
pub(super) fn of_result(value: &Value<'_>) -> Result<String, String> {
    Ok(match value {
        Value::Missing => return Err("no answer: a value is missing".into()),
        Value::Error(why) => return Err(format!("no answer: {why}")),
        Value::Null => CLEARS.to_owned(),
        Value::Text(text) => text.to_string(),
        Value::Time(time) => time.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::UInt(u) => u.to_string(),
        Value::Double(x) => x.to_string(),
        Value::List(items) if items.is_empty() => EMPTY_SET.to_owned(),
        Value::List(items) => items.iter().map(of_result).collect::<Result<Vec<_>, _>>()?.join("|"),
        other => return Err(format!("{other} is nothing that a feature can be")),
    })
}
