//! Offers that a guardrail never lets pass.

use std::collections::HashMap;

use super::{Analysis, Draft, WarningKind};
use crate::engine::{Engine, Guardrail, GuardrailId, Offer};
use crate::expression::faults::Conflict;

/// The most different lists of guardrails that are searched for contradictions.
const MAX_LISTS: usize = 1_000;

type Pair<'e> = Option<(&'e Guardrail, &'e Guardrail)>;

impl Analysis<'_> {
    pub(super) fn guardrails(&mut self) {
        let engine = self.engine;
        let mut pairs: HashMap<&[GuardrailId], Pair<'_>> = HashMap::new();
        for (i, offer) in engine.offers().iter().enumerate() {
            if self.told[i] {
                continue;
            }
            let mut all = offer.guardrails.iter().map(|id| &engine.guardrails[id.0 as usize]);
            if let Some(guardrail) = all.find(|guardrail| guardrail.form.excludes(&offer.when_form)) {
                self.told[i] = true;
                // A guardrail that stops everyone has a warning already.
                if !(guardrail.form.is_never() && self.is_the_same_for_all(guardrail)) {
                    self.stopped(offer, guardrail);
                }
                continue;
            }
            let known = pairs.get(&offer.guardrails[..]).copied();
            let room = pairs.len() < MAX_LISTS;
            let pair = known.or_else(|| room.then(|| contradicting(engine, &offer.guardrails))).flatten();
            pairs.entry(&offer.guardrails).or_insert(pair);
            if let Some((one, other)) = pair {
                self.told[i] = true;
                self.caught_between(offer, one, other);
            }
        }
    }

    fn caught_between(&mut self, offer: &Offer, one: &Guardrail, other: &Guardrail) {
        let detail = format!(
            "offer `{}` is never shown: guardrails `{}` and `{}` never hold together",
            offer.name, one.name, other.name
        );
        let draft = Draft::of(WarningKind::Guardrail, offer, detail).by(one.tags);
        self.warn_at(draft, &["offers", &offer.name]);
    }

    fn stopped(&mut self, offer: &Offer, guardrail: &Guardrail) {
        let why = match Conflict::between(&offer.when_form, &guardrail.form) {
            _ if guardrail.form.is_never() => "with the offer's attributes, no customer passes it".to_owned(),
            Some(conflict) => self.contradiction(&conflict),
            None => "it contradicts the offer's own condition".to_owned(),
        };
        let (name, text) = (&guardrail.name, &guardrail.condition.text);
        let detail = format!("offer `{}` is never shown: guardrail `{name}` stops it, {why}", offer.name);
        let draft = Draft::of(WarningKind::Guardrail, offer, detail)
            .by(guardrail.tags)
            .hint(format!("`{name}`, line {}: {text}", guardrail.condition.line));
        let path = ["offers", &*offer.name, "when"];
        self.warn(draft, &path[..2], |text| text.part(&path, &Vec::new()));
    }
}

/// Two of these guardrails that no customer passes together.
fn contradicting<'e>(engine: &'e Engine, guardrails: &[GuardrailId]) -> Pair<'e> {
    let all = || guardrails.iter().map(|id| &engine.guardrails[id.0 as usize]);
    let mut pairs = all().enumerate().flat_map(|(n, one)| all().skip(n + 1).map(move |other| (one, other)));
    pairs.find(|(one, other)| one.form.excludes(&other.form))
}
