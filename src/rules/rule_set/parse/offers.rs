//! `offers` of a rule set.

use std::sync::Arc;

use super::experiments::leaves_out;
use super::{RuleSetReader, key_reference};
use crate::expression::Expression;
use crate::expression::experiment::InVariant;
use crate::input::cursor::{Cursor, Object};
use crate::input::document::InputValue;
use crate::rules::rule_set::{
    Attributes, LearnedRule, Locale, Localized, MAX_OFFERS, MAX_SEGMENT_CONDITIONS, OfferRule, Reference,
    Schedule, Spot, TreatmentRule,
};
use crate::schema::value::Value;
use crate::schema::{check_thing_key, name_of_thing};

/// The most placements that one offer may name.
const MAX_OFFER_PLACEMENTS: usize = 100;

impl RuleSetReader<'_> {
    pub(super) fn offers(&mut self, object: &Object<'_, '_>) -> Vec<OfferRule> {
        let entries = self.section(object, "offers", MAX_OFFERS);
        entries.iter().filter_map(|(name, cursor)| self.offer(name, cursor)).collect()
    }

    fn offer(&mut self, name: &str, cursor: &Cursor<'_, '_>) -> Option<OfferRule> {
        check_thing_key(name, cursor, &mut self.problems);
        let known = [
            "placements",
            "attributes",
            "when",
            "variant",
            "schedule",
            "priority",
            "propensity",
            "boost",
            "reason",
            "treatments",
            "caps",
            "suppress",
            "budgets",
            "description",
        ];
        let fields = cursor.object(&known, &mut self.problems)?;
        fields.refuse_blanks(&mut self.problems);
        let attributes = self.attributes(name, &fields);
        let when = fields.get("when").copied().and_then(|cursor| self.condition(&cursor, Some(&attributes)));
        let variant = self.variant_of(&fields);
        let schedule = fields
            .get("schedule")
            .and_then(|cursor| Schedule::read(cursor, self.schema.zone(), &mut self.problems));
        let placements = self.offer_placements(&fields);
        let before = self.problems.count();
        let treatments = self.treatments(&fields, variant.as_ref());
        // A treatment that is wrong, or of an experiment that is, is not missing as well.
        if self.problems.count() == before && self.wrong.is_empty() {
            self.check_treated(name, cursor, &placements, &treatments, variant.as_ref());
        }
        let learned = self.learned(&fields, &attributes);
        Some(OfferRule {
            name: key_reference(name, cursor),
            propensity: match learned {
                Some(_) => Expression::of_constant(Value::Missing),
                None => self.number(fields.get("propensity"), &attributes, 0.0, 1.0),
            },
            learned,
            boost: self.number(fields.get("boost"), &attributes, 0.0, f64::INFINITY),
            reason: self.reason(&fields),
            caps: self.offer_caps(name, &fields, attributes.group.is_some()),
            placements,
            attributes,
            when,
            variant,
            schedule,
            treatments,
        })
    }

    /// Refuses an offer if some of its customers have no treatment on one of its placements.
    fn check_treated(
        &mut self,
        name: &str,
        cursor: &Cursor<'_, '_>,
        placements: &[Reference],
        treatments: &[TreatmentRule],
        variant: Option<&InVariant>,
    ) {
        for placement in placements.iter().map(|placement| &*placement.name) {
            if !leaves_out(treatments, placement, variant) {
                continue;
            }
            let some = treatments.iter().any(|treatment| &*treatment.placement.name == placement);
            let whom = if some { " that serves customers in every variant" } else { "" };
            let problem = cursor
                .key_problem(format!("offer `{name}` has no treatment for placement `{placement}`{whom}"));
            let hint = format!("add one to `treatments`: {{placement: {placement}, content: …}}");
            self.problems.push(problem.hint(hint));
        }
    }

    fn learned(&mut self, fields: &Object<'_, '_>, attributes: &Attributes) -> Option<Arc<LearnedRule>> {
        let cursor = fields.get("propensity")?;
        if !matches!(cursor.input.value, InputValue::Map(_)) {
            return None;
        }
        let mut rule = LearnedRule::read(cursor, &mut self.problems)?;
        let by = cursor.entry("by");
        let conditions = by.as_ref().and_then(|by| by.items(&mut self.problems)).into_iter().flatten();
        for (nth, condition) in conditions.enumerate() {
            if nth == MAX_SEGMENT_CONDITIONS {
                let most = format!("`by` has at most {MAX_SEGMENT_CONDITIONS} conditions");
                self.problems.push(condition.problem(most));
                break;
            }
            rule.by.extend(self.condition(&condition, Some(attributes)));
        }
        Some(Arc::new(rule))
    }

    fn offer_placements(&mut self, fields: &Object<'_, '_>) -> Vec<Reference> {
        let Some(cursor) = fields.get("placements") else { return Vec::new() };
        let mut placements: Vec<Reference> = Vec::new();
        for item in cursor.items(&mut self.problems).into_iter().flatten() {
            let Some(name) = name_of_thing(&item, &mut self.problems) else { continue };
            if placements.iter().any(|placement| &*placement.name == name) {
                self.problems.push(item.problem(format!("placement `{name}` is listed twice")));
            } else if placements.len() == MAX_OFFER_PLACEMENTS {
                self.problems
                    .push(item.problem(format!("an offer has at most {MAX_OFFER_PLACEMENTS} placements")));
                break;
            } else {
                placements.push(Reference { name: name.into(), spot: Spot::of(&item) });
            }
        }
        placements
    }

    fn reason(&mut self, fields: &Object<'_, '_>) -> Localized<Box<str>> {
        let Some(cursor) = fields.get("reason") else { return Localized::new(Vec::new()) };
        if let InputValue::Text(text) = &cursor.input.value {
            return Localized::new(vec![(None, text.as_ref().into())]);
        }
        let mut reasons = Vec::new();
        for (name, cursor) in cursor.entries(&mut self.problems).unwrap_or_default() {
            let locale = if name == "default" {
                None
            } else {
                match Locale::new(name) {
                    Ok(locale) => Some(locale),
                    Err(why) => {
                        self.problems.push(cursor.key_problem(why));
                        continue;
                    }
                }
            };
            if let Some(text) = cursor.text(&mut self.problems) {
                reasons.push((locale, text.into()));
            }
        }
        Localized::new(reasons)
    }
}
