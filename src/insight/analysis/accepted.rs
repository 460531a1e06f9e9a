//! Warnings that a rule set accepts: they are left out and counted. What accepts nothing any more is told.

use std::sync::Arc;

use super::{Analysis, Draft, WarningKind, Warnings};
use crate::input::problem::{Problem, nearest};
use crate::rules::rule_set::{AcceptRule, RuleSet};

impl Analysis<'_> {
    /// Leaves out the warnings that their rule sets accept. It comes last, when all others are known.
    pub(super) fn accept(&mut self) {
        // What was not kept cannot be matched, so nothing can be said to be stale.
        let all_known = self.warnings.omitted == 0 && self.known.about.is_none();
        for (set, rules) in self.sets.clone().into_iter().enumerate() {
            for rule in &rules.accepted {
                if rule.is_aside() {
                    continue;
                }
                let before = self.warnings.list.len();
                self.warnings.list.retain(|warning| {
                    *warning.rule_set != *rules.name
                        || warning.kind.name() != &*rule.warning
                        || !rule.covers(&warning.problem.pointer)
                });
                let left_out = before - self.warnings.list.len();
                self.warnings.accepted += left_out;
                if left_out == 0 {
                    self.stale(set, rules, rule, all_known);
                }
            }
        }
    }

    fn stale(&mut self, set: usize, rules: &RuleSet, rule: &AcceptRule, all_known: bool) {
        let kind = WarningKind::ALL.into_iter().find(|kind| kind.name() == &*rule.warning);
        let draft = match kind {
            None => {
                let detail = format!("there is no kind of warning `{}`", rule.warning);
                let names = WarningKind::ALL.into_iter().map(WarningKind::name);
                let near = nearest(&rule.warning, names).map(|near| format!("did you mean `{near}`?"));
                Draft::new(WarningKind::Accept, set, detail)
                    .hint(near.unwrap_or_else(|| "each warning ends with its kind in brackets".into()))
            }
            Some(kind) if all_known && self.can_find(kind) => {
                let detail = format!("there is no warning `{}` at `{}` to accept", rule.warning, rule.at);
                Draft::new(WarningKind::Accept, set, detail).hint("take the entry out of `accept`")
            }
            Some(_) => return,
        };
        let found = rules.problem(&rule.spot, "");
        self.warn(draft, &[], |_| Some(Problem { detail: String::new(), ..found }));
    }

    /// Whether this analysis knows enough to find warnings of a kind.
    fn can_find(&self, kind: WarningKind) -> bool {
        match kind {
            WarningKind::Feature => self.known.filled.is_some(),
            WarningKind::StopsNobody | WarningKind::StopsEverybody => self.known.guardrails.reach.is_some(),
            WarningKind::Untested => self.known.guardrails.golden.is_some(),
            WarningKind::Numbers | WarningKind::File => false,
            _ => !self.known.alone,
        }
    }
}

/// Leaves out the warnings about the other files of a bundle that its rule sets accept, such as
/// `at: schema.channels`.
pub fn accept_aside(warnings: &mut Warnings, rule_sets: &[Arc<RuleSet>]) {
    let accepted = rule_sets.iter().flat_map(|rules| rules.accepted.iter().map(move |rule| (rules, rule)));
    for (rules, rule) in accepted.filter(|(_, rule)| rule.is_aside()) {
        let before = warnings.list.len();
        warnings.list.retain(|warning| {
            let file = warning.problem.source.as_ref().map_or("", |source| &source.name);
            let stem = file.rsplit(['/', '\\']).next().and_then(|name| name.split('.').next());
            let pointer = format!("/{}{}", stem.unwrap_or_default(), warning.problem.pointer);
            !warning.rule_set.is_empty() || warning.kind.name() != &*rule.warning || !rule.covers(&pointer)
        });
        warnings.accepted += before - warnings.list.len();
        if before == warnings.list.len() && warnings.omitted == 0 {
            let detail = format!("there is no warning `{}` at `{}` to accept", rule.warning, rule.at);
            let problem = rules.problem(&rule.spot, detail).hint("take the entry out of `accept`");
            warnings.add(WarningKind::Accept, [problem]);
        }
    }
}

impl AcceptRule {
    /// Whether it is about another file of the bundle than a rule set.
    fn is_aside(&self) -> bool {
        let first = self.at.split(['.', '/']).find(|part| !part.is_empty());
        matches!(first, Some("schema" | "golden" | "population"))
    }

    /// Whether a warning at this pointer is meant: the place itself, or something inside it.
    fn covers(&self, pointer: &str) -> bool {
        let mut there = pointer.split('/').skip(1);
        let mut wanted = self.at.split(['.', '/']).filter(|part| !part.is_empty());
        wanted.all(|part| there.next() == Some(part))
    }
}
