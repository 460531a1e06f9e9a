//! What YAML reads in one way and somebody may have meant in another: a comment that was to be part of the
//! text, a list item that became part of the line above.

use std::sync::Arc;

use granit_parser::{Event, ScalarStyle};

use super::events;
use super::rest::place_of;
use crate::input::problem::{MAX_PROBLEMS, Place, Problem, Source, quoted};

/// Operators with which no remark begins.
const OPERATORS: [&str; 8] = ["&&", "||", "==", "!=", ">=", "<=", "?", "%"];

impl Source {
    /// The places in which unquoted texts may say less than they were meant to, at most [`MAX_PROBLEMS`].
    /// Only what is valid YAML is looked at.
    pub fn doubts(&self) -> Vec<Problem> {
        let source = Arc::new(Source { name: self.name.clone(), text: self.text.clone() });
        doubts(&source)
    }
}

/// As [`Source::doubts`], of a text that is shared already.
pub fn doubts(source: &Arc<Source>) -> Vec<Problem> {
    let mut found = Vec::new();
    for next in events(&source.text) {
        let Ok((event, span)) = next else { break };
        let Event::Scalar(text, ScalarStyle::Plain, ..) = event else { continue };
        if text.is_empty() || found.len() == MAX_PROBLEMS {
            continue;
        }
        let place = place_of(span);
        found.extend(swallowed(source, place).into_iter().chain(joined(source, place)));
    }
    found
}

/// A comment behind an unquoted text that looks like a part of it: `#1`, or one that begins with an operator.
fn swallowed(source: &Arc<Source>, place: Place) -> Option<Problem> {
    let end = (place.offset + place.length) as usize;
    let rest = source.text.get(end..)?.lines().next()?;
    let before = source.text.get(..end)?;
    let (blanks, comment) = rest.split_once('#').filter(|(blanks, _)| blanks.trim().is_empty())?;
    let glued = comment.chars().next().is_some_and(|c| !c.is_whitespace() && c != '#');
    let goes_on = OPERATORS.iter().any(|operator| comment.trim_start().starts_with(operator));
    if !glued && !goes_on {
        return None;
    }
    let lines = before.matches('\n').count() as u32;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + blanks.chars().count();
    let place = Place {
        line: lines + 1,
        column: column as u32 + 1,
        offset: (end + blanks.len()) as u32,
        length: comment.trim_end().len() as u32 + 1,
    };
    let problem = Problem::new(format!(
        "{} is a comment, not part of the text",
        quoted(&format!("#{}", comment.trim_end()))
    ));
    let hint = "if it belongs to the text, put the text in quotes; if not, write `# ` with a space";
    Some(Problem { place: Some(place), source: Some(Arc::clone(source)), ..problem.hint(hint) })
}

/// A line that looks like a list item but goes on with the unquoted text above it.
fn joined(source: &Arc<Source>, place: Place) -> Option<Problem> {
    let from = place.offset as usize;
    let written = source.text.get(from..from + place.length as usize)?;
    let (at, line) = written
        .split_inclusive('\n')
        .scan(0, |at, line| {
            let start = *at;
            *at += line.len();
            Some((start, line))
        })
        .skip(1)
        .find(|(_, line)| line.trim_start().starts_with("- "))?;
    let indent = line.len() - line.trim_start().len();
    let lines = written[..at].matches('\n').count() as u32;
    let place = Place {
        line: place.line + lines,
        column: indent as u32 + 1,
        offset: (from + at + indent) as u32,
        length: line.trim().len() as u32,
    };
    let problem = Problem::new("this line goes on with the text above it; it is no item of a list");
    let hint = "an item of a list begins in the same column as the one before; a `-` for minus belongs at the end of a line";
    Some(Problem { place: Some(place), source: Some(Arc::clone(source)), ..problem.hint(hint) })
}
