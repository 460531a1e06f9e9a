//! Rows of a foreign file on their way through a mapping.

use super::objects::fields;
use super::rejects::without_reason;
use super::rows::{Content, FileRows};
use crate::bundle::import::{Mapping, Translation, cell};
use crate::input::problem::{Problems, quoted};

/// The column that is wrong, if it is one, and why.
pub(super) type Wrong = (Option<String>, String);

/// A mapping, bound to the columns of a file.
///
/// # Errors
/// All columns that do not match.
pub(super) fn bound<'m>(mapping: &'m Mapping, rows: &FileRows) -> Result<Translation<'m>, Problems> {
    match rows.header() {
        Some(header) => mapping.bind(header),
        None => mapping.bind(mapping.columns()),
    }
}

/// Hands the cells of a row to `each`, in the order of the mapping's columns.
///
/// # Errors
/// The row cannot be read, or `each` finds something wrong.
pub(super) fn with_cells<T>(
    content: Content<'_>,
    translation: &Translation<'_>,
    each: impl FnOnce(&[&str]) -> Result<T, Wrong>,
) -> Result<T, Wrong> {
    match content {
        Content::Wrong(why) => Err((None, why)),
        Content::Cells(cells) => each(&cells.iter().collect::<Vec<_>>()),
        Content::Object(text) => {
            let cells = cells_of(&without_reason(text), translation)?;
            each(&cells.iter().map(String::as_str).collect::<Vec<_>>())
        }
    }
}

/// The cells of an object. A field that is left out is an empty cell.
fn cells_of(text: &[u8], translation: &Translation<'_>) -> Result<Vec<String>, Wrong> {
    let mut cells = vec![String::new(); translation.names().len()];
    for (key, value) in fields(text).map_err(|why| (None, why))? {
        let Some(place) = translation.names().iter().position(|name| **name == *key.text) else {
            if translation.ignores(&key.text) {
                continue;
            }
            return Err((None, format!("field {} is neither mapped nor ignored", quoted(&key.text))));
        };
        cells[place] = cell::of_input(&value.value).map_err(|why| (Some(key.text.to_string()), why))?;
    }
    Ok(cells)
}

/// The first column that is wrong, with the number of the others.
pub(super) fn first_of(wrong: Vec<(&str, String)>) -> Wrong {
    let more = match wrong.len() {
        0 | 1 => String::new(),
        2 => "; 1 more column is wrong".to_owned(),
        count => format!("; {} more columns are wrong", count - 1),
    };
    let (column, why) = wrong.into_iter().next().unwrap_or_default();
    (Some(column.to_owned()), why + &more)
}
