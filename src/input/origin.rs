//! Where an expression stands in the document it is written in.

use std::sync::Arc;

use super::cursor::Cursor;
use super::problem::{Place, Problem, Source};

/// Where an expression's text stands in its document.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    source: Option<Arc<Source>>,
    place: Option<Place>,
    pointer: String,
}

impl Origin {
    /// The place of the text that `cursor` stands on.
    pub fn of(cursor: &Cursor<'_, '_>) -> Origin {
        Origin { source: cursor.source().cloned(), place: cursor.input.place, pointer: cursor.pointer() }
    }

    /// The whole of a source, for an expression that stands there alone.
    pub fn whole(source: Arc<Source>) -> Origin {
        let place = Some(Place { line: 1, column: 1, ..Place::default() });
        Origin { source: Some(source), place, pointer: String::new() }
    }

    /// The line on which the expression begins, from 1; 0 if it is not known.
    pub fn line(&self) -> u32 {
        self.place.map_or(0, |place| place.line)
    }

    /// Whether YAML joined lines of what was written to get `text`, as it does without quotes, in quotes and
    /// after `>`. Then what was the end of a line is none any more.
    pub(crate) fn joins_lines(&self, text: &str) -> bool {
        let (Some(source), Some(place)) = (&self.source, self.place) else { return false };
        let from = place.offset as usize;
        let written = source.text.get(from..from + place.length as usize).unwrap_or_default();
        written.trim_end().matches('\n').count() > text.trim_end().matches('\n').count()
    }

    /// A problem with the bytes `start..end` of the expression `text`. Where the document is not known, the
    /// place is within the expression.
    pub(crate) fn problem(&self, text: &str, start: usize, end: usize, detail: impl Into<String>) -> Problem {
        let place = match (&self.source, self.place) {
            (Some(source), Some(place)) => Some(within(source, place, text, start, end)),
            _ => Some(Place {
                line: 1,
                column: text[..floor(text, start)].chars().count() as u32 + 1,
                offset: start as u32,
                length: end.saturating_sub(start) as u32,
            }),
        };
        Problem { place, source: self.source.clone(), pointer: self.pointer.clone(), ..Problem::new(detail) }
    }
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

/// Where bytes `start..end` of a scalar's value stand in the document. What was written may have quotes,
/// folded lines and indentation that the value does not have, so the two are aligned. With escapes or an
/// alias that cannot be done: then the place is the whole scalar.
fn within(source: &Source, place: Place, value: &str, start: usize, end: usize) -> Place {
    let from = place.offset as usize;
    let to = if place.length > 0 { from + place.length as usize } else { source.text.len() };
    let written = source.text.get(from..to).unwrap_or("");
    if written.starts_with(['*', '&']) || (written.starts_with('"') && written.contains('\\')) {
        return place;
    }
    let last = floor(value, end).max(1) - 1;
    let (Some(from), Some(to)) =
        (aligned(written, value, floor(value, start)), aligned(written, value, last))
    else {
        return place;
    };
    let before = &written[..floor(written, from)];
    let lines = before.matches('\n').count() as u32;
    let column = match before.rfind('\n') {
        Some(newline) => before[newline + 1..].chars().count() as u32 + 1,
        None => place.column + before.chars().count() as u32,
    };
    let offset = place.offset + from as u32;
    Place { line: place.line + lines, column, offset, length: (to + 1).saturating_sub(from).max(1) as u32 }
}

/// The byte of `written` that became the byte `target` of `value`. Each character of the value is searched
/// for after the one before it.
fn aligned(written: &str, value: &str, target: usize) -> Option<usize> {
    let mut at = 0;
    for (i, wanted) in value.char_indices() {
        let same = |c: char| c == wanted || (c.is_whitespace() && wanted.is_whitespace());
        at += written[at..].find(same)?;
        if i >= target {
            return Some(at);
        }
        at += written[at..].chars().next().map_or(0, char::len_utf8);
    }
    Some(at)
}
