//! Guardrails that stop nobody, or everybody, or of which no golden decision shows what they stop.

use std::collections::HashMap;

use super::{Analysis, Draft, WarningKind};
use crate::engine::GuardrailId;
use crate::insight::guardrails::{Narrowed, narrowed};

/// Whom a guardrail stops on the offers that it may stop.
enum Stopped {
    /// Nobody, whoever the customer is.
    NobodyEver,
    /// Nobody of this many customers.
    NobodyOf(u64),
    /// Everybody, whoever the customer is.
    EverybodyEver,
    /// Every one of this many customers.
    EverybodyOf(u64),
    Partly,
}

impl<'a> Analysis<'a> {
    pub(super) fn stopping(&mut self) {
        self.empty_guardrails();
        self.twin_guardrails();
        let offers = self.engine.placements().iter().any(|placement| !placement.offers.is_empty());
        if self.known.alone || !offers {
            return; // there is nothing here that they could stop
        }
        let sets = self.sets.clone();
        for guardrail in narrowed(self.engine, &sets) {
            let stopped = self.stopped_by(&guardrail);
            let told = self.told_guardrails.contains(&(guardrail.set, &guardrail.rule.name.name));
            if !told {
                self.tell_stopped(&guardrail, &stopped);
            }
            let golden = self.known.guardrails.golden.map(|stops| guardrail.golden(stops));
            if golden == Some(0) && !matches!(stopped, Stopped::NobodyEver) {
                self.untested(&guardrail);
            }
        }
    }

    fn stopped_by(&self, guardrail: &Narrowed<'_>) -> Stopped {
        let form = |id: GuardrailId| &self.engine.guardrails[id.0 as usize].form;
        if guardrail.forms.iter().all(|narrowed| form(narrowed.id).is_always()) {
            return Stopped::NobodyEver;
        }
        if guardrail.forms.iter().all(|narrowed| form(narrowed.id).is_never()) {
            return Stopped::EverybodyEver;
        }
        let Some(reach) = self.known.guardrails.reach.filter(|reach| reach.sampled > 0) else {
            return Stopped::Partly;
        };
        let mut reached = guardrail.forms.iter().filter_map(|form| reach.guardrails.get(form.id.0 as usize));
        if reached.clone().all(|found| found.passing >= reach.sampled && !found.depends_on_request) {
            Stopped::NobodyOf(reach.sampled)
        } else if reached.all(|found| found.passing == 0) {
            Stopped::EverybodyOf(reach.sampled)
        } else {
            Stopped::Partly
        }
    }

    fn tell_stopped(&mut self, guardrail: &Narrowed<'_>, stopped: &Stopped) {
        let (name, offers) = (&guardrail.rule.name.name, guardrail.offers());
        let on = match offers {
            1 => "the only offer that it may stop".to_owned(),
            _ => format!("each of the {offers} offers that it may stop"),
        };
        let (kind, detail) = match stopped {
            Stopped::NobodyEver => (
                WarningKind::StopsNobody,
                format!("guardrail `{name}` stops nobody: every offer passes it, whoever the customer is"),
            ),
            Stopped::NobodyOf(customers) => (
                WarningKind::StopsNobody,
                format!("guardrail `{name}` stops nobody: all {customers} customers looked at pass it"),
            ),
            Stopped::EverybodyEver => (
                WarningKind::StopsEverybody,
                format!("guardrail `{name}` stops everybody, whoever the customer is, on {on}"),
            ),
            Stopped::EverybodyOf(customers) => (
                WarningKind::StopsEverybody,
                format!("guardrail `{name}` stops all {customers} customers looked at, on {on}"),
            ),
            Stopped::Partly => return,
        };
        let draft = Draft::new(kind, guardrail.set, detail).hint(self.why(guardrail));
        self.warn_at(draft, &["guardrails", name]);
    }

    /// What a reader should look at: an attribute that no offer gives, or else how it was understood.
    fn why(&self, guardrail: &Narrowed<'_>) -> String {
        let given = |name: &str| {
            ["id", "priority", "value"].contains(&name)
                || self.sets.iter().flat_map(|set| &set.offers).any(|offer| !offer.attributes.is_null(name))
        };
        match guardrail.rule.reads.iter().find(|name| !given(name)) {
            Some(name) => format!("no offer gives `offer.{name}`, so it is null for all of them"),
            None => "`usher check` shows how it was understood; is that what you meant?".to_owned(),
        }
    }

    fn untested(&mut self, guardrail: &Narrowed<'_>) {
        let name = &guardrail.rule.name.name;
        let detail = format!("no golden decision shows that guardrail `{name}` stops an offer");
        let draft = Draft::new(WarningKind::Untested, guardrail.set, detail).hint(
            "add one for a customer who would be shown the offer without this guardrail, and passes all others",
        );
        self.warn_at(draft, &["guardrails", name]);
    }

    /// Warns about a section for guardrails in which there is none.
    fn empty_guardrails(&mut self) {
        for set in 0..self.sets.len() {
            if self.sets[set].guardrails.is_empty() && self.texts[set].has("guardrails") {
                let detail = "there is no guardrail under `guardrails`, so nothing is stopped";
                let draft = Draft::new(WarningKind::StopsNobody, set, detail);
                self.warn_at(draft.hint("write one, or leave the section out"), &["guardrails"]);
            }
        }
    }

    /// Warns about guardrails of the same name in two rule sets. Both hold, but an explanation names only one
    /// of them.
    fn twin_guardrails(&mut self) {
        let mut owners: HashMap<&'a str, usize> = HashMap::new();
        for (set, rules) in self.sets.clone().into_iter().enumerate() {
            for rule in &rules.guardrails {
                let name = &*rule.name.name;
                let Some(by) = owners.insert(name, set) else { continue };
                let owner = &self.sets[by].name;
                let detail = format!("guardrail `{name}` is also in rule set `{owner}`; both hold");
                let draft = Draft::new(WarningKind::Duplicate, set, detail).by(by);
                let draft =
                    draft.hint("give one of them another name, so that an explanation tells which it was");
                self.warn_at(draft, &["guardrails", name]);
            }
        }
    }
}
