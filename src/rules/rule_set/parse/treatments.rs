//! `treatments` of an offer: how it looks on a placement, in a language, in a variant.

use std::collections::HashSet;
use std::sync::Arc;

use super::RuleSetReader;
use crate::expression::experiment::InVariant;
use crate::input::cursor::{Cursor, Object};
use crate::input::document::InputValue;
use crate::input::problem::Problems;
use crate::input::problem::quoted;
use crate::rules::rule_set::{
    Locale, MAX_CONTENT_BYTES, MAX_TREATMENT_NAME_BYTES, MAX_TREATMENTS, Reference, Spot, TreatmentRule,
};
use crate::schema::name_of_thing;

/// The content as JSON and as MessagePack.
type Written = (Arc<[u8]>, Arc<[u8]>);

impl RuleSetReader<'_> {
    pub(super) fn treatments(
        &mut self,
        fields: &Object<'_, '_>,
        offer: Option<&InVariant>,
    ) -> Vec<TreatmentRule> {
        let mut treatments: Vec<TreatmentRule> = Vec::new();
        let Some(cursor) = fields.required("treatments", &mut self.problems) else { return treatments };
        let mut names: HashSet<Box<str>> = HashSet::new();
        for (i, item) in cursor.items(&mut self.problems).into_iter().flatten().enumerate() {
            if i == MAX_TREATMENTS {
                self.problems.push(item.problem(format!("an offer has at most {MAX_TREATMENTS} treatments")));
                break;
            }
            let Some(treatment) = self.treatment(&item, offer) else { continue };
            let same = |other: &TreatmentRule| {
                other.placement.name == treatment.placement.name
                    && (&other.locale, &other.variant) == (&treatment.locale, &treatment.variant)
            };
            if treatments.iter().any(same) {
                let locale = treatment.locale.as_ref().map_or("no locale", |locale| locale.as_str());
                let variant =
                    treatment.variant.map_or(String::new(), |variant| format!(" in `{}`", variant.name()));
                let detail = format!(
                    "a second treatment for placement `{}` and {locale}{variant}",
                    treatment.placement.name
                );
                self.problems.push(item.problem(detail));
            } else if !names.insert(treatment.name.clone()) {
                self.problems
                    .push(item.problem(format!("a second treatment with the id `{}`", treatment.name)));
            } else {
                treatments.push(treatment);
            }
        }
        treatments
    }

    fn treatment(&mut self, cursor: &Cursor<'_, '_>, offer: Option<&InVariant>) -> Option<TreatmentRule> {
        let known = ["placement", "locale", "variant", "id", "content"];
        let fields = cursor.object(&known, &mut self.problems)?;
        fields.refuse_blanks(&mut self.problems);
        let placement = fields.required("placement", &mut self.problems).copied();
        let content = fields.required("content", &mut self.problems).copied();
        let locale = match fields.get("locale") {
            Some(cursor) => {
                let text = cursor.text(&mut self.problems)?;
                Some(Locale::new(text).map_err(|why| self.problems.push(cursor.problem(why))).ok()?)
            }
            None => None,
        };
        let variant = self.treatment_variant(&fields, offer)?;
        let (placement, content) = (placement?, content?);
        let placement_name = name_of_thing(&placement, &mut self.problems)?;
        let name: Box<str> = match fields.get("id") {
            Some(at) => name_of_treatment(at, &mut self.problems)?.into(),
            None => {
                let locale = locale.as_ref().map(Locale::as_str);
                let variant = variant.as_ref().map(InVariant::variant_name);
                let parts: Vec<&str> =
                    [Some(placement_name), locale, variant].into_iter().flatten().collect();
                parts.join(".").into()
            }
        };
        if name.len() > MAX_TREATMENT_NAME_BYTES {
            let detail = format!("the name {} of this treatment is too long", quoted(&name));
            self.problems.push(cursor.problem(detail).hint("give it an `id`"));
            return None;
        }
        let (json, msgpack) = self.content(&content)?;
        let placement = Reference { name: placement_name.into(), spot: Spot::of(&placement) };
        Some(TreatmentRule { name, placement, locale, variant, json, msgpack })
    }

    /// Refuses numbers in content that a channel would get in another form than they were written in, such as
    /// `+49` and `0x10`: mostly a text was meant.
    fn check_numbers(&mut self, cursor: &Cursor<'_, '_>) {
        match &cursor.input.value {
            InputValue::Int(_) | InputValue::Float(_) => {
                let Some(written) = cursor.written().filter(|written| !is_json_number(written)) else {
                    return;
                };
                let problem =
                    cursor.problem(format!("{written} is a number, and would be sent in other digits"));
                self.problems
                    .push(problem.hint(format!("if a text is meant, write it in quotes: \"{written}\"")));
            }
            InputValue::List(_) => {
                for item in cursor.items(&mut Problems::new()).into_iter().flatten() {
                    self.check_numbers(&item);
                }
            }
            InputValue::Map(_) => {
                for (_, entry) in cursor.entries(&mut Problems::new()).into_iter().flatten() {
                    self.check_numbers(&entry);
                }
            }
            InputValue::Null | InputValue::Bool(_) | InputValue::Text(_) => {}
        }
    }

    /// Writes the content once in both formats, so that answers only copy it.
    fn content(&mut self, cursor: &Cursor<'_, '_>) -> Option<Written> {
        self.check_numbers(cursor);
        match (serde_json::to_vec(cursor.input), rmp_serde::to_vec_named(cursor.input)) {
            (Ok(json), Ok(_)) if json.len() > MAX_CONTENT_BYTES => {
                let detail = format!(
                    "a treatment's content has at most {MAX_CONTENT_BYTES} bytes; this one has {}",
                    json.len()
                );
                self.problems.push(cursor.problem(detail));
                None
            }
            (Ok(json), Ok(msgpack)) => Some((json.into(), msgpack.into())),
            _ => {
                self.problems.push(cursor.problem("this content cannot be written as JSON"));
                None
            }
        }
    }
}

/// Whether JSON would read these digits as a number, and a whole number loses none of them.
fn is_json_number(written: &str) -> bool {
    let decimal = serde_json::from_str::<f64>(written).is_ok();
    let whole = !written.contains(['.', 'e', 'E']);
    decimal && (!whole || written.parse::<i64>().is_ok())
}

fn name_of_treatment<'n>(cursor: &Cursor<'_, 'n>, problems: &mut Problems) -> Option<&'n str> {
    let name = cursor.text(problems)?;
    let good = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    if !good {
        problems.push(
            cursor
                .problem(format!("{} is not a treatment's id: letters, digits, `_`, `-`, `.`", quoted(name))),
        );
    }
    good.then_some(name)
}
