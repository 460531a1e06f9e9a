//! `experiments`, `holdout` and `parameters` of a rule set, and the `variant` of offers and treatments.

use std::sync::Arc;

use super::{RuleSetReader, key_reference};
use crate::expression::arm::SLOTS;
use crate::expression::experiment::{
    Experiment, HOLDOUT, Holdout, InVariant, MAX_EXPERIMENTS, MAX_PARAMETERS, MAX_VARIANTS, Variant,
};
use crate::expression::{Parameter, Parameters};
use crate::input::cursor::{Cursor, Object};
use crate::input::document::InputValue;
use crate::input::problem::{Problem, Problems, quoted};
use crate::rules::rule_set::Spot;
use crate::rules::rule_set::{ExperimentRule, HoldoutRule, TreatmentRule, shown_share};
use crate::schema::value::Value;
use crate::schema::{MAX_NAME_BYTES, is_name, name_of_thing};

impl RuleSetReader<'_> {
    pub(super) fn read_experiments(&mut self, object: &Object<'_, '_>) {
        for (name, cursor) in self.section(object, "experiments", MAX_EXPERIMENTS) {
            check_name(name, "an experiment", &cursor, &mut self.problems);
            if name == HOLDOUT {
                let problem = cursor.key_problem(format!("an experiment cannot be called `{HOLDOUT}`"));
                self.problems.push(problem.hint("that name belongs to the holdout's arms"));
            }
            match self.experiment(name, &cursor) {
                Some(rule) => self.experiments.push(rule),
                None => self.wrong.push(format!("experiment {name}")),
            }
        }
    }

    fn experiment(&mut self, name: &str, cursor: &Cursor<'_, '_>) -> Option<ExperimentRule> {
        let known = ["variants", "salt", "exclusion", "from", "description"];
        let fields = cursor.object(&known, &mut self.problems)?;
        fields.refuse_blanks(&mut self.problems);
        let exclusion = fields.get("exclusion").and_then(|at| name_of_thing(at, &mut self.problems));
        let salt = fields.get("salt").and_then(|at| salt(at, &mut self.problems));
        if let (Some(at), Some(group)) = (fields.get("salt"), exclusion) {
            let detail = format!("experiments of an exclusion group use its name, `{group}`, as their salt");
            self.problems.push(at.problem(detail).hint("leave `salt` out"));
        }
        let from = fields.get("from").and_then(|at| percent(at, 0, &mut self.problems)).unwrap_or(0);
        if let (Some(at), None) = (fields.get("from"), fields.get("exclusion")) {
            let problem = at.problem("`from` is for experiments that share an exclusion group");
            self.problems.push(problem.hint("add `exclusion: NAME`, or leave `from` out"));
        }
        let variants = fields.required("variants", &mut self.problems).copied()?;
        let variants = self.variants(&variants, from)?;
        let salt = exclusion.map(Box::from).or(salt).unwrap_or_else(|| name.into());
        let place = self.experiments.len();
        let experiment = Arc::new(Experiment { name: name.into(), salt, variants, place });
        Some(ExperimentRule {
            name: key_reference(name, cursor),
            experiment,
            exclusion: exclusion.map(Box::from),
        })
    }

    /// Variants with their shares. They take slots in the order in which they are written.
    fn variants(&mut self, cursor: &Cursor<'_, '_>, from: u16) -> Option<Vec<Variant>> {
        let entries = cursor.entries(&mut self.problems)?;
        if entries.is_empty() || entries.len() > MAX_VARIANTS {
            let detail =
                format!("an experiment has 1 to {MAX_VARIANTS} variants; this one has {}", entries.len());
            self.problems.push(cursor.problem(detail));
            return None;
        }
        let mut variants: Vec<Variant> = Vec::with_capacity(entries.len());
        let mut start = from;
        for (name, at) in entries {
            check_name(name, "a variant", &at, &mut self.problems);
            let share = percent(&at, 0, &mut self.problems)?;
            let end = start + share; // cannot overflow: both are at most 10,000
            if end > SLOTS {
                let (end, from) = (shown_share(end), shown_share(from));
                let detail = match from.as_str() {
                    "0" => format!("with this one, the variants add up to {end} %, more than 100 %"),
                    _ => format!("with this one, the variants from {from} % on end at {end} %, beyond 100 %"),
                };
                self.problems.push(at.problem(detail));
                return None;
            }
            variants.push(Variant { name: name.into(), slots: start..end });
            start = end;
        }
        Some(variants)
    }

    pub(super) fn holdout(&mut self, object: &Object<'_, '_>) -> Option<HoldoutRule> {
        let cursor = object.get("holdout")?;
        let fields = cursor.object(&["percent", "salt", "description"], &mut self.problems)?;
        fields.refuse_blanks(&mut self.problems);
        let share = fields.required("percent", &mut self.problems).copied();
        let share = share.and_then(|at| percent(&at, 1, &mut self.problems));
        // There is no default: a salt used before would hold out the same customers again.
        let salt_at = fields.required("salt", &mut self.problems).copied();
        let salt = salt_at.and_then(|at| salt(&at, &mut self.problems));
        Some(HoldoutRule { spot: Spot::of(cursor), holdout: Holdout { salt: salt?, share: share? } })
    }

    pub(super) fn read_parameters(&mut self, object: &Object<'_, '_>) -> Parameters {
        let mut parameters = Parameters::default();
        for (name, cursor) in self.section(object, "parameters", MAX_PARAMETERS) {
            check_name(name, "a parameter", &cursor, &mut self.problems);
            if let Some(parameter) = self.parameter(&cursor) {
                parameters.0.insert(name.into(), parameter);
            }
        }
        parameters
    }

    fn parameter(&mut self, cursor: &Cursor<'_, '_>) -> Option<Parameter> {
        let entries = cursor.entries(&mut self.problems)?;
        let Some((_, default)) = entries.iter().find(|(name, _)| *name == "default") else {
            self.problems.push(
                cursor.problem("`default` is missing").hint("give the value for customers in no variant"),
            );
            return None;
        };
        let mut parameter =
            Parameter { default: self.value(default)?, experiment: None, variants: Vec::new() };
        for (name, at) in entries.iter().filter(|(name, _)| !["default", "description"].contains(name)) {
            let found = self.find_variant(name);
            let found = found.map_err(|problem| self.push_if(problem.map(|problem| at.key_placed(problem))));
            let (Ok(InVariant { experiment, variant }), Some(value)) = (found, self.value(at)) else {
                continue;
            };
            match &parameter.experiment {
                Some(other) if other.name != experiment.name => {
                    let detail = format!("experiment `{}` already changes this parameter", other.name);
                    let problem = at.key_problem(detail);
                    self.problems.push(problem.hint("let each experiment have parameters of its own"));
                    continue;
                }
                _ => parameter.experiment = Some(experiment),
            }
            parameter.variants.push((variant, value));
        }
        self.of_one_type(&mut parameter, cursor)?;
        Some(parameter)
    }

    fn value(&mut self, cursor: &Cursor<'_, '_>) -> Option<Value<'static>> {
        Some(match &cursor.input.value {
            InputValue::Bool(b) => Value::Bool(*b),
            InputValue::Int(i) => Value::Int(*i),
            InputValue::Float(x) if x.is_finite() => Value::Double(*x),
            InputValue::Text(text) => Value::Text(text.to_string().into()),
            other => {
                let detail = format!("expected a number, a text, true or false, found {}", other.describe());
                self.problems.push(cursor.problem(detail));
                return None;
            }
        })
    }

    /// Turns a mix of ints and doubles into doubles. Everything else must be of one type.
    fn of_one_type(&mut self, parameter: &mut Parameter, cursor: &Cursor<'_, '_>) -> Option<()> {
        let mut values: Vec<&mut Value<'static>> =
            parameter.variants.iter_mut().map(|(_, value)| value).collect();
        values.push(&mut parameter.default);
        if values.iter().all(|value| matches!(value, Value::Int(_) | Value::Double(_)))
            && values.iter().any(|value| matches!(value, Value::Double(_)))
        {
            for value in values {
                *value = value.number().map_or(Value::Missing, Value::Double);
            }
            return Some(());
        }
        let first = std::mem::discriminant(&*values[0]);
        if values.iter().any(|value| std::mem::discriminant(&**value) != first) {
            self.problems.push(cursor.problem("all values of a parameter must be of one type"));
            return None;
        }
        Some(())
    }

    /// The variant that the field `variant` names.
    pub(super) fn variant_of(&mut self, fields: &Object<'_, '_>) -> Option<InVariant> {
        let cursor = fields.get("variant")?;
        let name = cursor.text(&mut self.problems)?;
        let found = self.find_variant(name);
        found.map_err(|problem| self.push_if(problem.map(|problem| cursor.placed(problem)))).ok()
    }

    /// The variant of a treatment; `Some(None)` if it names none. A variant that the offer's own rules out
    /// is a problem.
    pub(super) fn treatment_variant(
        &mut self,
        fields: &Object<'_, '_>,
        offer: Option<&InVariant>,
    ) -> Option<Option<InVariant>> {
        let Some(cursor) = fields.get("variant") else { return Some(None) };
        let variant = self.variant_of(fields)?;
        if let Some(offer) =
            offer.filter(|offer| offer.experiment == variant.experiment && **offer != variant)
        {
            let detail = format!("this treatment is never chosen: the offer is for `{}` only", offer.name());
            self.problems.push(cursor.problem(detail));
        }
        Some(Some(variant))
    }

    fn push_if(&mut self, problem: Option<Problem>) {
        if let Some(problem) = problem {
            self.problems.push(problem);
        }
    }

    /// Finds `EXPERIMENT.VARIANT` in this rule set. Where the experiment itself is wrong there is no second
    /// problem.
    fn find_variant(&self, text: &str) -> Result<InVariant, Option<Problem>> {
        let wrong = |detail: String| Err(Some(Problem::new(detail)));
        let Some((experiment, name)) = text.split_once('.') else {
            return wrong(format!("expected EXPERIMENT.VARIANT, found {}", quoted(text)));
        };
        let Some(rule) = self.experiments.iter().find(|rule| *rule.name.name == *experiment) else {
            if self.wrong.contains(&format!("experiment {experiment}")) {
                return Err(None);
            }
            let names = self.experiments.iter().map(|rule| &*rule.name.name);
            let detail = format!("this rule set has no experiment {}", quoted(experiment));
            return Err(Some(Problem::new(detail).nearest(experiment, names)));
        };
        let Some(variant) = rule.experiment.variant(name) else {
            let names = rule.experiment.variants.iter().map(|variant| &*variant.name);
            let detail = format!("experiment `{experiment}` has no variant {}", quoted(name));
            return Err(Some(Problem::new(detail).nearest(name, names)));
        };
        Ok(InVariant { experiment: Arc::clone(&rule.experiment), variant })
    }
}

/// Whether some customers who may be shown the offer on a placement have no treatment there, whatever their
/// language.
pub(super) fn leaves_out(treatments: &[TreatmentRule], placement: &str, offer: Option<&InVariant>) -> bool {
    let here = || treatments.iter().filter(|treatment| *treatment.placement.name == *placement);
    let variants = || here().filter_map(|treatment| treatment.variant.as_ref());
    let covers = |experiment: &Experiment| {
        let given =
            |place: usize| variants().any(|v| v.experiment.name == experiment.name && v.variant == place);
        experiment.is_for_all() && (0..experiment.variants.len()).all(given)
    };
    !here().any(|treatment| treatment.variant.is_none())
        && !variants().any(|variant| Some(variant) == offer || covers(&variant.experiment))
}

fn check_name(name: &str, what: &str, cursor: &Cursor<'_, '_>, problems: &mut Problems) {
    if !is_name(name, false) {
        let rule = "lower case letters, digits and `_`, beginning with a letter";
        problems.push(cursor.key_problem(format!("{} is not a name for {what}: {rule}", quoted(name))));
    }
}

/// Reads a percentage with up to two decimals, as slots.
fn percent(cursor: &Cursor<'_, '_>, least: u16, problems: &mut Problems) -> Option<u16> {
    let percent = cursor.number(problems)?;
    let slots = (percent * 100.0).round();
    let exact = (percent * 100.0 - slots).abs() < 1e-6;
    if exact && (f64::from(least)..=f64::from(SLOTS)).contains(&slots) {
        return Some(slots as u16);
    }
    let least = shown_share(least);
    let detail =
        format!("expected a percentage from {least} to 100 with at most two decimals, found {percent}");
    problems.push(cursor.problem(detail));
    None
}

/// Reads a salt: characters that every tool writes alike. A whole number such as a year will do, if it is
/// written as it would be printed.
fn salt(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Option<Box<str>> {
    let text = match &cursor.input.value {
        InputValue::Int(i) if cursor.written().is_none_or(|written| written == i.to_string()) => {
            i.to_string()
        }
        InputValue::Text(text) => text.to_string(),
        _ => {
            problems.push(cursor.not_text("a text or a whole number in plain digits"));
            return None;
        }
    };
    let good = (1..=MAX_NAME_BYTES).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    if !good {
        let detail = format!("{} is not a salt: letters, digits, `_`, `-`, `.`", quoted(&text));
        problems.push(cursor.problem(detail));
    }
    good.then(|| text.into())
}
