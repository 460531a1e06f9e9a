//! What is left of a text when parts of it are known already: it is read alone, and its places are those in
//! the whole text.

use granit_parser::{Marker, Span};

use crate::input::problem::Place;

/// A part of a text that is not read. It must begin and end where entries of the same map begin, so that the
/// rest means what it means in the whole text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The first byte that is left out.
    pub start: usize,
    /// The first byte that is read again.
    pub end: usize,
    /// How many lines begin in it.
    pub lines: u32,
}

/// A text without its gaps.
#[derive(Debug, Default)]
pub struct Rest {
    pub(super) text: String,
    /// Where something was left out of it: its bytes and lines.
    cuts: Vec<(u32, u32, u32)>,
    /// An upper bound of the values that were left out.
    pub(super) values: usize,
}

impl Rest {
    /// The text without these gaps, which stand in order. They have at most so many values.
    pub fn new(text: &str, gaps: &[Gap], values: usize) -> Rest {
        let (mut rest, mut at) = (Rest { values, ..Rest::default() }, 0);
        for Gap { start, end, lines } in gaps {
            rest.text.push_str(text.get(at..*start).unwrap_or_default());
            rest.cuts.push((rest.text.len() as u32, (end - start) as u32, *lines));
            at = *end;
        }
        rest.text.push_str(text.get(at..).unwrap_or_default());
        rest
    }

    /// The place of a span in the whole text.
    pub(super) fn place_of(&self, span: Span) -> Place {
        let start = self.place_at(span.start);
        let end = offset(span.end);
        // What ends where something was left out ends before it.
        let before = self.cuts.iter().filter(|(at, ..)| *at < end);
        let end = end + before.map(|(_, bytes, _)| bytes).sum::<u32>();
        Place { length: end.saturating_sub(start.offset), ..start }
    }

    pub(super) fn place_at(&self, at: Marker) -> Place {
        let place = place_at(at);
        let before = self.cuts.iter().filter(|(at, ..)| *at <= place.offset);
        let (bytes, lines) = before.fold((0, 0), |sum, (_, bytes, lines)| (sum.0 + bytes, sum.1 + lines));
        Place { line: place.line + lines, offset: place.offset + bytes, ..place }
    }
}

/// The place of a span in a text without gaps.
pub(super) fn place_of(span: Span) -> Place {
    let (start, end) = (offset(span.start), offset(span.end));
    Place { length: end.saturating_sub(start), ..place_at(span.start) }
}

pub(super) fn place_at(at: Marker) -> Place {
    Place { line: at.line() as u32, column: at.col() as u32 + 1, offset: offset(at), length: 0 }
}

fn offset(at: Marker) -> u32 {
    at.byte_offset().unwrap_or(0) as u32
}
