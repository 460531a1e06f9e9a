//! What a rule set's text probably says otherwise than it was meant: comments that belong to a text, numbers
//! in content that were meant as texts, content that is empty.

use super::{Analysis, Draft, WarningKind};
use crate::input::cursor::Cursor;
use crate::input::document::InputValue;
use crate::input::problem::{Problem, Problems};
use crate::input::yaml::doubts;

impl Analysis<'_> {
    pub(super) fn texts(&mut self) {
        for (set, rules) in self.sets.clone().into_iter().enumerate() {
            if !self.is_about(set) {
                continue; // before its text is read
            }
            let mut found = doubts(&rules.source);
            found.extend(self.texts[set].root(&contents).unwrap_or_default());
            for problem in found {
                let draft = Draft::new(WarningKind::Text, set, &*problem.detail);
                let draft = Draft { hint: problem.hint.clone(), ..draft };
                self.warn(draft, &[], |_| Some(problem));
            }
        }
    }
}

/// What is odd in the contents of all treatments of a rule set.
fn contents(root: &Cursor<'_, '_>) -> Vec<Problem> {
    let (mut found, mut ignored) = (Vec::new(), Problems::new());
    let Some(offers) = root.entry("offers") else { return found };
    for (_, offer) in offers.entries(&mut ignored).into_iter().flatten() {
        let Some(treatments) = offer.entry("treatments") else { continue };
        for treatment in treatments.items(&mut ignored).into_iter().flatten() {
            let Some(content) = treatment.entry("content") else { continue };
            match &content.input.value {
                InputValue::Map(entries) if entries.is_empty() => {
                    let problem =
                        content.key_problem("the content is empty: the channel gets nothing to show");
                    found.push(problem.hint("write what the channel shows, or `content: {show: nothing}`"));
                }
                _ => numbers(&content, &mut found),
            }
        }
    }
    found
}

/// Decimals that lose a zero when they are sent: `1.10` may be a version.
fn numbers(cursor: &Cursor<'_, '_>, found: &mut Vec<Problem>) {
    match &cursor.input.value {
        InputValue::Float(x) => {
            let Some(written) = cursor.written() else { return };
            if written.contains('.') && !written.contains(['e', 'E']) && written != format!("{x:?}") {
                let problem = cursor.problem(format!("{written} is a number, and is sent as {x:?}"));
                found.push(problem.hint(format!("if a text is meant, write it in quotes: \"{written}\"")));
            }
        }
        InputValue::List(_) => {
            for item in cursor.items(&mut Problems::new()).into_iter().flatten() {
                numbers(&item, found);
            }
        }
        InputValue::Map(_) => {
            for (_, entry) in cursor.entries(&mut Problems::new()).into_iter().flatten() {
                numbers(&entry, found);
            }
        }
        InputValue::Null | InputValue::Bool(_) | InputValue::Int(_) | InputValue::Text(_) => {}
    }
}
