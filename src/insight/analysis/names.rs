//! Names that only one side names: a group without limits of its own, a placement on which nothing is shown,
//! a budget that nobody uses. Mostly one of two names is mistyped.

use std::collections::{BTreeMap, BTreeSet};

use super::{Analysis, Draft, WarningKind};
use crate::input::problem::nearest;
use crate::rules::rule_set::{Locale, RuleSet};

/// Where each name stands first: the number of the rule set, and the name of the offer there.
type Uses<'a> = BTreeMap<&'a str, (usize, &'a str)>;

impl<'a> Analysis<'a> {
    /// Finds names that only one side names, over all rule sets.
    pub(super) fn one_sided(&mut self) {
        if !self.known.alone {
            self.groups();
            self.idle_placements();
            self.compared_names();
        }
        self.budgets();
        self.locales();
        self.own_names();
    }

    /// Finds conditions of offers that ask for the offer's own name or group. It is the same for everybody.
    fn own_names(&mut self) {
        for (set, rules) in self.sets.clone().into_iter().enumerate() {
            if !self.is_about(set) {
                continue; // before its text is read
            }
            for offer in &rules.offers {
                let (name, Some(when)) = (&*offer.name.name, &offer.when) else { continue };
                for field in ["id", "group"] {
                    let asked = format!("offer.{field}");
                    if !when.text.contains(&asked) {
                        continue;
                    }
                    let path = ["offers", name, "when"];
                    if !self.texts[set].offer_fields(&path).iter().any(|read| **read == *field) {
                        continue; // it stands in a text
                    }
                    let at = self.texts[set].name(&path, &asked);
                    let value = offer.attributes.value(field);
                    let detail = format!("`{asked}` is {value} for everybody whom offer `{name}` asks about");
                    let draft = Draft::new(WarningKind::Redundant, set, detail)
                        .hint("leave it out; a condition over all offers is a guardrail");
                    self.warn(draft, &path, |_| at);
                }
            }
        }
    }

    fn groups(&mut self) {
        let sets = self.sets.clone();
        let mut used: Uses<'a> = BTreeMap::new();
        for (set, rules) in sets.iter().enumerate() {
            for offer in &rules.offers {
                let Some(group) = &offer.attributes.group else { continue };
                used.entry(&group.name).or_insert((set, &offer.name.name));
            }
        }
        let defined: BTreeSet<&str> =
            sets.iter().flat_map(|set| &set.groups).map(|group| &*group.name.name).collect();
        for (group, (set, offer)) in used.iter().filter(|(group, _)| !defined.contains(**group)) {
            let detail = format!(
                "no rule set defines the group `{group}` of offer `{offer}`: one decision shows one of its offers, and no cap of a group binds them"
            );
            let hint = match nearest(group, defined.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("if that is what you want, say so under `groups`: {{{group}: {{max: 1}}}}"),
            };
            let draft = Draft::new(WarningKind::OneSided, *set, detail).hint(hint);
            self.warn_at(draft, &["offers", offer, "attributes"]);
        }
        for (set, rules) in sets.iter().enumerate() {
            for group in rules.groups.iter().map(|group| &*group.name.name) {
                if used.contains_key(group) {
                    continue;
                }
                let others = used.keys().copied().filter(|other| !defined.contains(other));
                let draft =
                    Draft::new(WarningKind::OneSided, set, format!("no offer is in the group `{group}`"));
                self.warn_at(meant(draft, group, others), &["groups", group]);
            }
        }
    }

    fn idle_placements(&mut self) {
        let sets = self.sets.clone();
        for (set, rules) in sets.iter().enumerate() {
            for rule in &rules.placements {
                let name = &*rule.name.name;
                let Some(id) = self.engine.placement_id(name) else { continue };
                let placement = self.engine.placement(id);
                if !placement.offers.is_empty() {
                    continue;
                }
                let detail = match &rule.fallback {
                    Some(fallback) => format!(
                        "no offer lists placement `{name}`, so it shows its fallback `{}` to everybody",
                        fallback.name
                    ),
                    None => format!("no offer lists placement `{name}`, so it is always empty"),
                };
                let draft = Draft::new(WarningKind::OneSided, set, detail);
                self.warn_at(draft.hint("let an offer list it, or leave it out"), &["placements", name]);
            }
        }
    }

    fn budgets(&mut self) {
        for (set, rules) in self.sets.clone().into_iter().enumerate() {
            let used: BTreeSet<&str> = rules
                .offers
                .iter()
                .flat_map(|offer| &offer.caps.budgets)
                .map(|budget| &*budget.name)
                .collect();
            for name in rules.budgets.iter().map(|budget| &*budget.name.name) {
                if !used.contains(name) {
                    let detail = format!("no offer uses budget `{name}`");
                    let draft = Draft::new(WarningKind::OneSided, set, detail);
                    self.warn_at(draft.hint("name it under `budgets` of an offer"), &["budgets", name]);
                }
            }
        }
    }

    /// Looks at the texts with which guardrails compare an offer's name or group. Nothing else tells that a
    /// guardrail for one offer has its name wrong.
    fn compared_names(&mut self) {
        let sets = self.sets.clone();
        let offers = || sets.iter().flat_map(|set| &set.offers);
        let names: BTreeSet<&str> = offers().map(|offer| &*offer.name.name).collect();
        let groups: BTreeSet<&str> =
            offers().filter_map(|offer| offer.attributes.group.as_ref()).map(|group| &*group.name).collect();
        for (set, rules) in sets.iter().enumerate() {
            for rule in &rules.guardrails {
                for (field, what, known) in [("id", "offer", &names), ("group", "group", &groups)] {
                    let texts = rule.syntax.texts_compared_with("offer", field).into_iter();
                    for text in texts.filter(|text| !known.contains(text)) {
                        let name = &rule.name.name;
                        let detail = format!(
                            "guardrail `{name}` compares `offer.{field}` with '{text}', and there is no such {what}"
                        );
                        let draft = Draft::new(WarningKind::OneSided, set, detail);
                        let draft = meant(draft, text, known.iter().copied());
                        self.warn(draft, &["guardrails", name], |at| at.name(&["guardrails", name], text));
                    }
                }
            }
        }
    }

    /// Finds locales that no request will ask for, such as `english`.
    fn locales(&mut self) {
        for (set, rules) in self.sets.clone().into_iter().enumerate() {
            for (offer, part, locale) in locales_of(rules) {
                let Some(hint) = locale.oddity() else { continue };
                let detail = format!(
                    "`{}` of offer `{offer}` is not a language as requests name them: hardly any will ask for it",
                    locale.as_str()
                );
                let draft = Draft::new(WarningKind::Locale, set, detail).hint(hint);
                self.warn_at(draft, &["offers", offer, part]);
            }
        }
    }
}

/// The locales of a rule set, each once for an offer's treatments and once for its reasons.
fn locales_of(rules: &RuleSet) -> Vec<(&str, &'static str, &Locale)> {
    let mut found: Vec<(&str, &'static str, &Locale)> = Vec::new();
    for offer in &rules.offers {
        let first = found.len();
        let treatments = offer.treatments.iter().filter_map(|treatment| treatment.locale.as_ref());
        let treatments = treatments.map(|locale| ("treatments", locale));
        for (part, locale) in treatments.chain(offer.reason.locales().map(|locale| ("reason", locale))) {
            if !found[first..].iter().any(|(_, known, other)| *known == part && *other == locale) {
                found.push((&offer.name.name, part, locale));
            }
        }
    }
    found
}

/// Adds the nearest of some names as a hint, if one is near.
fn meant<'d, 'n>(draft: Draft<'d>, found: &str, names: impl IntoIterator<Item = &'n str>) -> Draft<'d> {
    match nearest(found, names) {
        Some(name) => draft.hint(format!("did you mean `{name}`?")),
        None => draft,
    }
}
