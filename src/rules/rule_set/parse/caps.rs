//! `caps` and `budgets` of a rule set, and the `caps`, `suppress` and `budgets` of its offers.

use super::{RuleSetReader, key_reference};
use crate::input::cursor::{Cursor, Object};
use crate::rules::rule_set::caps;
use crate::rules::rule_set::caps::{
    BudgetRule, CapLevel, CapRule, MAX_BUDGETS, MAX_BUDGETS_PER_OFFER, MAX_CAPS_PER_OFFER, OfferCaps,
};
use crate::rules::rule_set::{Reference, Spot};
use crate::schema::{check_thing_key, name_of_thing};

impl RuleSetReader<'_> {
    pub(super) fn caps(&mut self, object: &Object<'_, '_>) -> Vec<CapRule> {
        let mut rules = Vec::new();
        for (name, cursor) in self.section(object, "caps", MAX_CAPS_PER_OFFER) {
            check_thing_key(name, &cursor, &mut self.problems);
            rules.extend(caps::read_cap(&cursor, Some(name), CapLevel::RuleSet, &mut self.problems));
        }
        rules
    }

    pub(super) fn caps_of(&mut self, fields: &Object<'_, '_>, level: CapLevel) -> Vec<CapRule> {
        fields.get("caps").map_or_else(Vec::new, |c| caps::read_caps(c, level, &mut self.problems))
    }

    pub(super) fn budgets(&mut self, object: &Object<'_, '_>) -> Vec<BudgetRule> {
        let mut rules = Vec::new();
        for (name, cursor) in self.section(object, "budgets", MAX_BUDGETS) {
            check_thing_key(name, &cursor, &mut self.problems);
            match caps::read_budget(key_reference(name, &cursor), &cursor, &mut self.problems) {
                Some(rule) => rules.push(rule),
                None => self.wrong.push(format!("budget {name}")),
            }
        }
        rules
    }

    /// Reads how often an offer is shown. An offer that is only a fallback is always shown, so it may say
    /// nothing here.
    pub(super) fn offer_caps(&mut self, name: &str, fields: &Object<'_, '_>, grouped: bool) -> OfferCaps {
        let problems = &mut self.problems;
        let listed = fields.get("caps").map(|c| caps::read_caps(c, CapLevel::Offer { grouped }, problems));
        let suppress = fields.get("suppress").map(|c| caps::read_suppress(c, problems));
        let mut found = OfferCaps {
            caps: listed.unwrap_or_default(),
            suppress: suppress.unwrap_or_default(),
            budgets: Vec::new(),
        };
        if let Some(cursor) = fields.get("budgets") {
            found.budgets = self.offer_budgets(cursor);
        }
        let given = ["caps", "suppress", "budgets"].into_iter().find_map(|field| fields.get(field));
        if let (Some(cursor), None) = (given, fields.get("placements")) {
            let detail = format!("offer `{name}` is only a fallback, which is shown whatever caps say");
            let problem = cursor.key_problem(detail);
            self.problems.push(problem.hint("leave it out, or give the offer `placements`"));
        }
        found
    }

    fn offer_budgets(&mut self, cursor: &Cursor<'_, '_>) -> Vec<Reference> {
        let mut found: Vec<Reference> = Vec::new();
        let Some(items) = cursor.items(&mut self.problems) else { return found };
        if items.len() > MAX_BUDGETS_PER_OFFER {
            let detail =
                format!("an offer has at most {MAX_BUDGETS_PER_OFFER} budgets; this one has {}", items.len());
            self.problems.push(cursor.problem(detail));
            return found;
        }
        for item in items {
            let Some(name) = name_of_thing(&item, &mut self.problems) else { continue };
            let names = || self.budgets.iter().map(|budget| &*budget.name.name);
            if found.iter().any(|budget| &*budget.name == name) {
                self.problems.push(item.problem(format!("budget `{name}` is listed twice")));
            } else if names().any(|known| known == name) {
                found.push(Reference { name: name.into(), spot: Spot::of(&item) });
            } else if !self.wrong.contains(&format!("budget {name}")) {
                let problem = item.problem(format!("this rule set has no budget `{name}`"));
                let problem = problem.nearest(name, names());
                self.problems.push(match problem.hint {
                    Some(_) => problem,
                    None => problem.hint("define it at the top of the rule set under `budgets`"),
                });
            }
        }
        found
    }
}
