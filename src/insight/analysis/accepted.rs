//! Warnings that a rule set accepts: they are left out and counted. What accepts nothing any more is told.

use std::sync::Arc;

use super::{Analysis, Draft, WarningKind, Warnings};
use crate::input::problem::{Problem, nearest};
use crate::rules::rule_set::{AcceptRule, RuleSet};

impl Analysis<'_> {
    /// Whether a rule set accepts any warning of a kind.
    pub(super) fn accepts(&self, kind: WarningKind, set: usize) -> bool {
        self.sets[set].accepted.iter().any(|rule| !rule.is_aside() && *rule.warning == *kind.name())
    }

    /// Counts a warning that its rule set accepts; `false` if it does not.
    pub(super) fn accept(&mut self, kind: WarningKind, set: usize, pointer: &str) -> bool {
        let covers = |rule: &AcceptRule| {
            let is_itself = rule.spot.pointer == pointer;
            !rule.is_aside() && !is_itself && *rule.warning == *kind.name() && rule.covers(pointer)
        };
        let Some(rule) = self.sets[set].accepted.iter().position(covers) else { return false };
        self.used[set][rule] = true;
        self.warnings.accepted += 1;
        true
    }

    /// Tells the entries of `accept` that had no warning. It comes last, when all others are known.
    pub(super) fn stale(&mut self) {
        // What was not looked at cannot be matched, so nothing can be said to be stale.
        let all_known = self.to_look_up > 0 && self.known.about.is_none();
        for (set, rules) in self.sets.clone().into_iter().enumerate() {
            for (i, rule) in rules.accepted.iter().enumerate() {
                if !rule.is_aside() && !self.used[set][i] {
                    self.tell_stale(set, rules, rule, all_known);
                }
            }
        }
    }

    fn tell_stale(&mut self, set: usize, rules: &RuleSet, rule: &AcceptRule, all_known: bool) {
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
                Draft::new(WarningKind::Accept, set, rule.stale()).hint(TAKE_OUT)
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
            let problem = rules.problem(&rule.spot, rule.stale()).hint(TAKE_OUT);
            warnings.add(WarningKind::Accept, [problem]);
        }
    }
}

/// What to do about an entry that had no warning.
const TAKE_OUT: &str = "take the entry out of `accept`";

impl AcceptRule {
    /// That there is no warning for it.
    fn stale(&self) -> String {
        format!("there is no warning `{}` at `{}` to accept", self.warning, self.at)
    }

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
