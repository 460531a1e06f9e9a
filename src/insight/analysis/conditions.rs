//! Conditions that never or always hold, and parts of them that change nothing.

use super::{Analysis, Draft, WarningKind};
use crate::engine::{Guardrail, OfferId};
use crate::expression::Expression;
use crate::expression::faults::{Conflict, Fault, FaultKind, Finder};
use crate::expression::term::TermId;

/// What a condition belongs to.
#[derive(Clone, Copy)]
enum ConditionOwner<'o> {
    Offer(OfferId),
    Tag(&'o str),
    Guardrail(&'o str),
}

impl<'a> Analysis<'a> {
    pub(super) fn conditions(&mut self) {
        let engine = self.engine;
        for (tags, all) in engine.tags.iter().enumerate() {
            for (tag, [_, form]) in all.iter().zip(&engine.tag_forms[tags]) {
                let faults = self.finder(tags).of_tag(&tag.condition, form);
                self.tell(ConditionOwner::Tag(&tag.name), tags, &tag.condition, faults);
            }
        }
        for (i, offer) in engine.offers().iter().enumerate() {
            let Some(when) = &offer.when else { continue };
            let faults = self.finder(offer.tags).of_condition(when, &offer.when_form);
            self.tell(ConditionOwner::Offer(OfferId(i as u32)), offer.tags, when, faults);
            if offer.when_form.is_never() {
                self.told[i] = true;
            }
        }
        for guardrail in &engine.guardrails {
            if self.is_the_same_for_all(guardrail) {
                let faults = self.finder(guardrail.tags).of_condition(&guardrail.condition, &guardrail.form);
                if faults.iter().any(Fault::is_of_all) {
                    self.told_guardrails.push((guardrail.tags, &guardrail.name));
                }
                self.tell(
                    ConditionOwner::Guardrail(&guardrail.name),
                    guardrail.tags,
                    &guardrail.condition,
                    faults,
                );
            }
        }
    }

    fn finder(&mut self, tags: usize) -> Finder<'_, 'a> {
        Finder::new(&mut self.normaliser, &self.engine.schema, tags, &mut self.work)
    }

    /// Whether a guardrail means the same condition for all offers.
    pub(super) fn is_the_same_for_all(&self, guardrail: &Guardrail) -> bool {
        let rules = &self.sets[guardrail.tags].guardrails;
        rules.iter().any(|rule| rule.name.name == guardrail.name && rule.reads.is_empty())
    }

    fn tell(&mut self, owner: ConditionOwner<'_>, set: usize, condition: &Expression, faults: Vec<Fault>) {
        for fault in faults {
            // A condition of `true` is intended. What an offer says about itself is folded away, and
            // rightly so.
            let meant = *condition.text == *"true" || condition.text.contains("offer.");
            if fault.kind == FaultKind::Always && meant {
                continue;
            }
            if !self.is_wanted(fault.kind.warning(), set, None) {
                continue; // before its place is looked up
            }
            let engine = self.engine;
            let (offer, path) = match owner {
                ConditionOwner::Offer(id) => {
                    (Some(engine.offer(id)), vec!["offers", &*engine.offer(id).name, "when"])
                }
                ConditionOwner::Tag(name) => (None, vec!["tags", name]),
                ConditionOwner::Guardrail(name) => (None, vec!["guardrails", name]),
            };
            let part = self.texts[set].part(&path, &fault.way);
            let shown = part.as_ref().map_or(&*condition.text, |part| &part.detail);
            let draft = self.draft(owner, set, &fault, shown);
            self.warn_wanted(Draft { offer, ..draft }, &path, |_| part);
        }
    }

    fn draft(&self, owner: ConditionOwner<'_>, set: usize, fault: &Fault, shown: &str) -> Draft<'static> {
        let never = if fault.wanted { "is never true" } else { "is never false" };
        let so = match owner {
            ConditionOwner::Offer(id) if self.engine.offer(id).when_form.is_never() => {
                format!(", so offer `{}` is never shown", self.engine.offer(id).name)
            }
            _ => String::new(),
        };
        let new = |detail: String| Draft::new(fault.kind.warning(), set, detail);
        match &fault.kind {
            FaultKind::Never(Some(conflict)) => {
                let why = self.contradiction(conflict);
                new(format!("`{shown}` {never}{so}: {why}"))
            }
            FaultKind::Never(None) => new(format!("`{shown}` {never}{so}"))
                .hint("compare it with the bounds and words in the schema"),
            FaultKind::Known(terms) => {
                new(self.holds_if_known(terms, shown)).hint("if that is what you want, write `… != null`")
            }
            FaultKind::Always => new(format!("`{shown}` holds for every customer"))
                .hint("leave it out, or write the condition that you meant"),
            FaultKind::Implied => {
                let detail =
                    format!("`{shown}` can be left out: the rest of the condition already requires it");
                new(detail)
            }
            FaultKind::Covered => {
                let detail =
                    format!("`{shown}` changes nothing: the other alternatives let the same customers pass");
                new(detail)
            }
        }
    }

    fn holds_if_known(&self, terms: &[TermId], shown: &str) -> String {
        let words = self.words();
        let names: Vec<String> = terms.iter().map(|term| format!("`{}`", words.term(*term))).collect();
        let (names, are) = (names.join(" and "), if terms.len() == 1 { "is" } else { "are" });
        format!("`{shown}` holds for every customer whose {names} {are} known")
    }

    pub(super) fn contradiction(&self, conflict: &Conflict) -> String {
        let words = self.words();
        let needs = |keys| words.needs(conflict.term, keys);
        format!(
            "`{}` would have to be {} and {} at once",
            words.term(conflict.term),
            needs(&conflict.one),
            needs(&conflict.other)
        )
    }
}

impl FaultKind {
    /// The kind of the warning about it.
    fn warning(&self) -> WarningKind {
        match self {
            FaultKind::Never(_) => WarningKind::NeverTrue,
            FaultKind::Known(_) | FaultKind::Always => WarningKind::AlwaysTrue,
            FaultKind::Implied | FaultKind::Covered => WarningKind::Redundant,
        }
    }
}

impl Fault {
    /// Whether the whole condition never or always holds.
    fn is_of_all(&self) -> bool {
        self.way.is_empty() && matches!(self.kind, FaultKind::Never(_) | FaultKind::Always)
    }
}
