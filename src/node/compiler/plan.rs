//! A requested change as the records that make it, checked as far as that goes without compiling.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::input::problem::{Problem, Problems};
use crate::intake::computed::read_schema;
use crate::node::define::{Define, DefineError, RuleSetVersion};
use crate::rules::rule_set::RuleSet;
use crate::schema::Schema;
use crate::state::definitions::{Definitions, History};
use crate::state::record::{MAX_TEXT_BYTES, Record};

/// Parsed rule sets by name and version.
pub(crate) type Sets = BTreeMap<(Arc<str>, u32), Arc<RuleSet>>;

/// A change as records, after all checks that need no compiling.
pub(crate) struct ChangePlan {
    pub(crate) records: Vec<Record>,
    /// Rule sets parsed from the change's texts.
    pub(crate) parsed: Sets,
    pub(crate) version: u32,
    pub(crate) active: bool,
    /// For a bundle: the state of its rule sets after the change.
    pub(crate) rule_sets: Vec<RuleSetVersion>,
}

pub(crate) fn plan(change: Define, definitions: &Definitions) -> Result<ChangePlan, DefineError> {
    match change {
        Define::Schema { text } => plan_schema(text, definitions),
        Define::Publish { name, text, activate, if_active } => {
            check_active(definitions.history(&name), if_active)?;
            plan_publish(name, text, activate, definitions)
        }
        Define::Activate { name, version, if_active } => {
            let history = history_of(&name, definitions)?;
            check_active(Some(history), if_active)?;
            if history.text(version).is_none() {
                return Err(DefineError::NotFound(format!("rule set `{name}` has no version {version}")));
            }
            Ok(ChangePlan::of(Record::Activate { name, version }, version, true))
        }
        Define::Rollback { name, if_active } => {
            let history = history_of(&name, definitions)?;
            check_active(Some(history), if_active)?;
            let Some(version) = history.previous() else {
                return Err(DefineError::NotFound(format!(
                    "rule set `{name}` has no earlier version to go back to"
                )));
            };
            Ok(ChangePlan::of(Record::Rollback { name }, version, true))
        }
        Define::Retire { name, if_active } => {
            let history = history_of(&name, definitions)?;
            check_active(Some(history), if_active)?;
            if history.active().is_none() {
                return Err(DefineError::NotFound(format!("rule set `{name}` has no active version")));
            }
            Ok(ChangePlan::of(Record::Retire { name }, 0, false))
        }
        Define::Bundle { schema, rule_sets, activate } => {
            plan_bundle(schema, rule_sets, activate, definitions)
        }
    }
}

impl ChangePlan {
    fn of(record: Record, version: u32, active: bool) -> ChangePlan {
        ChangePlan { records: vec![record], parsed: Sets::new(), version, active, rule_sets: Vec::new() }
    }
}

fn history_of<'d>(name: &str, definitions: &'d Definitions) -> Result<&'d History, DefineError> {
    definitions.history(name).ok_or_else(|| DefineError::NotFound(format!("there is no rule set `{name}`")))
}

fn check_active(history: Option<&History>, if_active: Option<u32>) -> Result<(), DefineError> {
    let active = history.and_then(History::active);
    match if_active {
        Some(version) if version != active.unwrap_or(0) => Err(DefineError::OtherActive(active)),
        _ => Ok(()),
    }
}

fn check_length(file: &str, text: &str) -> Result<(), Problems> {
    if text.len() <= MAX_TEXT_BYTES {
        return Ok(());
    }
    Err(Problems::one(format!("`{file}` has {} bytes; at most {MAX_TEXT_BYTES} are allowed", text.len())))
}

/// The schema grown to `text`. For the same text this is the very same value.
fn grown(file: &str, text: &str, current: &Arc<Schema>) -> Result<Arc<Schema>, DefineError> {
    if *text == *current.text {
        return Ok(current.clone());
    }
    check_length(file, text).map_err(DefineError::Invalid)?;
    let newer = read_schema(file, text).map_err(DefineError::Invalid)?;
    Ok(Arc::new(current.grow(&newer).map_err(DefineError::Conflict)?))
}

fn plan_schema(text: String, definitions: &Definitions) -> Result<ChangePlan, DefineError> {
    let schema = grown("schema", &text, &definitions.schema)?;
    let mut plan = ChangePlan::of(Record::Schema { text }, 0, true);
    if Arc::ptr_eq(&schema, &definitions.schema) {
        plan.records.clear();
    }
    Ok(plan)
}

pub(crate) fn plan_publish(
    name: String,
    text: String,
    activate: bool,
    definitions: &Definitions,
) -> Result<ChangePlan, DefineError> {
    let set = check_length(&name, &text).and_then(|()| RuleSet::parse(&name, &text, &definitions.schema));
    let set = set.map_err(DefineError::Invalid)?;
    if *set.name != *name {
        let problem =
            Problem::new(format!("the text says `rule_set: {}`, but it is published as `{name}`", set.name));
        let mut problems = Problems::new();
        problems.push(problem.hint("use the same name in both places"));
        return Err(DefineError::Invalid(problems));
    }
    let version = definitions.next_version(&name);
    let parsed = Sets::from([((name.as_str().into(), version), Arc::new(set))]);
    let records = vec![Record::Publish { name, version, text, activate }];
    Ok(ChangePlan { records, parsed, version, active: activate, rule_sets: Vec::new() })
}

fn plan_bundle(
    schema: String,
    rule_sets: Vec<(String, String)>,
    activate: bool,
    definitions: &Definitions,
) -> Result<ChangePlan, DefineError> {
    let grown = grown("schema.yaml", &schema, &definitions.schema)?;
    let mut sets = parse_all(rule_sets, &grown).map_err(DefineError::Invalid)?;
    // Half of these may be journalled when a node dies. In this order the half fits together, as far as
    // possible.
    sets.sort_by_key(|(set, _)| (!set.carries_guardrails(), !set.defines_placements()));
    let mut plan = ChangePlan {
        records: Vec::new(),
        parsed: Sets::new(),
        version: 0,
        active: true,
        rule_sets: Vec::new(),
    };
    if !Arc::ptr_eq(&grown, &definitions.schema) {
        plan.records.push(Record::Schema { text: schema });
    }
    for (set, text) in sets {
        let name = set.name.to_string();
        let unchanged = active_with_text(&name, &text, definitions);
        let version = unchanged.unwrap_or_else(|| definitions.next_version(&name));
        let active = unchanged.is_some() || activate;
        plan.parsed.insert((name.as_str().into(), version), set);
        plan.rule_sets.push(RuleSetVersion { name: name.clone(), version, active });
        if unchanged.is_none() {
            plan.records.push(Record::Publish { name, version, text, activate });
        }
    }
    Ok(plan)
}

/// The active version of this rule set, if its text is exactly `text`.
fn active_with_text(name: &str, text: &str, definitions: &Definitions) -> Option<u32> {
    let history = definitions.history(name)?;
    history.active().filter(|version| history.text(*version).is_some_and(|known| **known == *text))
}

/// Parses every rule set (file name and text) and pairs it with its text, or returns the errors of all.
fn parse_all(files: Vec<(String, String)>, schema: &Schema) -> Result<Vec<(Arc<RuleSet>, String)>, Problems> {
    let mut problems = Problems::new();
    let mut sets: Vec<(Arc<RuleSet>, String)> = Vec::new();
    for (file, text) in files {
        match check_length(&file, &text).and_then(|()| RuleSet::parse(&file, &text, schema)) {
            Ok(set) if sets.iter().any(|(other, _)| other.name == set.name) => {
                let what =
                    format!("`{file}`: another file of the bundle has the rule set `{}` already", set.name);
                problems.push(Problem { source: Some(set.source.clone()), ..Problem::new(what) });
            }
            Ok(set) => sets.push((Arc::new(set), text)),
            Err(found) => problems.extend(found),
        }
    }
    problems.or(sets)
}
