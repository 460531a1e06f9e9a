//! `accept` of a rule set: warnings that its team knows and wants to hear no more, each with a reason.

use super::RuleSetReader;
use crate::input::cursor::{Cursor, Object};
use crate::input::problem::quoted;
use crate::rules::rule_set::{AcceptRule, MAX_ACCEPTED, Spot};

/// The most bytes of a reason.
const MAX_REASON_BYTES: usize = 500;

impl RuleSetReader<'_> {
    pub(super) fn accepted(&mut self, object: &Object<'_, '_>) -> Vec<AcceptRule> {
        let Some(cursor) = object.get("accept") else { return Vec::new() };
        let mut rules = Vec::new();
        for (nth, item) in cursor.items(&mut self.problems).into_iter().flatten().enumerate() {
            if nth == MAX_ACCEPTED {
                let detail = format!("a rule set accepts at most {MAX_ACCEPTED} warnings");
                self.problems.push(item.problem(detail));
                break;
            }
            rules.extend(self.accept(&item));
        }
        rules
    }

    fn accept(&mut self, cursor: &Cursor<'_, '_>) -> Option<AcceptRule> {
        let fields = cursor.object(&["warning", "at", "because"], &mut self.problems)?;
        fields.refuse_blanks(&mut self.problems);
        let warning =
            fields.required("warning", &mut self.problems).and_then(|at| at.text(&mut self.problems));
        let place = fields.required("at", &mut self.problems).and_then(|at| at.text(&mut self.problems));
        let because = fields.required("because", &mut self.problems).copied();
        let because = because.and_then(|at| {
            let text = at.text(&mut self.problems)?.trim();
            if text.is_empty() || text.len() > MAX_REASON_BYTES {
                let detail =
                    format!("expected a reason of 1 to {MAX_REASON_BYTES} bytes, found {}", quoted(text));
                self.problems.push(at.problem(detail).hint("say why the warning is right as it is"));
                return None;
            }
            Some(text)
        });
        because?;
        Some(AcceptRule { warning: warning?.into(), at: place?.into(), spot: Spot::of(cursor) })
    }
}
