//! A requested change as the records that make it, checked as far as that goes without compiling.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::input::problem::{Problem, Problems, Source, nearest};
use crate::intake::computed::read_schema;
use crate::node::define::{Define, DefineError, RuleSetVersion, check_length, parse_rule_sets};
use crate::rules::rule_set::RuleSet;
use crate::schema::Schema;
use crate::schema::value::Time;
use crate::state::definitions::{Definitions, History};
use crate::state::record::{Note, Record};

/// Parsed rule sets by name and version.
pub(crate) type Sets = BTreeMap<(Arc<str>, u32), Arc<RuleSet>>;

/// A change as records, after all checks that need no compiling.
pub(crate) struct ChangePlan {
    pub(crate) records: Vec<Record>,
    /// Rule sets parsed from the change's texts.
    pub(crate) parsed: Sets,
    pub(crate) version: u32,
    pub(crate) active: bool,
    /// Whether the version is made by this change.
    pub(crate) is_new: bool,
    /// For a bundle: the state of its rule sets after the change.
    pub(crate) rule_sets: Vec<RuleSetVersion>,
    /// For a bundle: the active rule sets that it does not have.
    pub(crate) others: Vec<String>,
}

/// The parsed active rule sets. A change of one need not parse the others again, and of the one itself only
/// what changed.
pub(crate) struct Parsed {
    /// The rule sets were parsed against this very value; against any other they are stale.
    pub(crate) schema: Arc<Schema>,
    pub(crate) rule_sets: Sets,
}

impl Parsed {
    /// A version of a rule set, parsed against this schema.
    pub(crate) fn get(&self, schema: &Arc<Schema>, key: &(Arc<str>, u32)) -> Option<&Arc<RuleSet>> {
        self.rule_sets.get(key).filter(|_| Arc::ptr_eq(schema, &self.schema))
    }

    /// The version of a rule set that was parsed last, if that was against this schema.
    fn earlier(&self, schema: &Arc<Schema>, name: &str) -> Option<&RuleSet> {
        let mut sets = self.rule_sets.iter().filter(|_| Arc::ptr_eq(schema, &self.schema));
        sets.find(|((known, _), _)| **known == *name).map(|(_, set)| &**set)
    }

    /// As [`Parsed::earlier`], of the rule set that a text seems to be.
    fn earlier_of(&self, schema: &Arc<Schema>, text: &str) -> Option<&RuleSet> {
        let name = text.lines().find_map(|line| line.strip_prefix("rule_set:"))?;
        self.earlier(schema, name.trim().trim_matches(['\'', '"']))
    }
}

pub(crate) fn plan(
    change: Define,
    (definitions, parsed): (&Definitions, &Parsed),
    now: Time,
) -> Result<ChangePlan, DefineError> {
    match change {
        Define::Schema { text, rename, if_text } => {
            if if_text.is_some_and(|expected| *expected != *definitions.schema.text) {
                return Err(DefineError::OtherSchema);
            }
            plan_schema(text, rename, definitions)
        }
        Define::Publish { name, text, activate, if_active } => {
            check_active(definitions.history(&name), if_active)?;
            plan_publish(name, text, activate, definitions, parsed)
        }
        Define::Noted { change, note } => {
            let mut plan = plan(*change, (definitions, parsed), now)?;
            plan.note(&note, now);
            Ok(plan)
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
                return Err(DefineError::NotFound(nowhere_to_go_back(&name, history)));
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
        Define::Bundle { schema, rule_sets, activate, rename, prune } => {
            let mut plan = plan_bundle(schema, rename, rule_sets, activate, (definitions, parsed))?;
            if prune {
                plan.prune(activate)?;
            }
            Ok(plan)
        }
    }
}

impl ChangePlan {
    fn of(record: Record, version: u32, active: bool) -> ChangePlan {
        ChangePlan { version, active, ..ChangePlan::bringing(vec![record], Sets::new()) }
    }

    fn bringing(records: Vec<Record>, parsed: Sets) -> ChangePlan {
        let (rule_sets, others) = (Vec::new(), Vec::new());
        ChangePlan { records, parsed, version: 0, active: true, is_new: false, rule_sets, others }
    }

    /// Notes behind each version that is published who published it.
    fn note(&mut self, note: &Note, now: Time) {
        let at = now.stored_seconds();
        let records = std::mem::take(&mut self.records);
        for record in records {
            let published = match &record {
                Record::Publish { name, version, .. } => Some((name.clone(), *version)),
                _ => None,
            };
            self.records.push(record);
            let noted = |(name, version)| Record::Note { name, version, note: Note { at, ..note.clone() } };
            self.records.extend(published.map(noted));
        }
    }

    /// Retires the active rule sets that the bundle does not have.
    fn prune(&mut self, activate: bool) -> Result<(), DefineError> {
        if !activate {
            let why = "`prune` retires rule sets at once, so it does not go with versions that wait";
            return Err(DefineError::Conflict(Problems::one(why)));
        }
        self.records.extend(self.others.iter().map(|name| Record::Retire { name: name.clone() }));
        Ok(())
    }
}

fn history_of<'d>(name: &str, definitions: &'d Definitions) -> Result<&'d History, DefineError> {
    definitions.history(name).ok_or_else(|| {
        let near = nearest(name, definitions.rule_sets().map(|(name, _)| &**name));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        DefineError::NotFound(format!("there is no rule set `{name}`{hint}"))
    })
}

fn check_active(history: Option<&History>, if_active: Option<u32>) -> Result<(), DefineError> {
    let active = history.and_then(History::active);
    match if_active {
        Some(version) if version != active.unwrap_or(0) => Err(DefineError::OtherActive(active)),
        _ => Ok(()),
    }
}

/// Why there is no way back. A version that was rolled back from is kept, so the way forward is named.
fn nowhere_to_go_back(name: &str, history: &History) -> String {
    let none = format!("rule set `{name}` has no earlier version to go back to");
    let newest = history.versions().map(|(version, _)| version).next_back();
    match newest.filter(|version| Some(*version) != history.active()) {
        Some(version) => format!("{none}; its latest version is {version}, which can be activated"),
        None => none,
    }
}

/// The schema grown to `text`. For the same text this is the very same value.
fn grown(file: &str, text: &str, rename: bool, current: &Arc<Schema>) -> Result<Arc<Schema>, DefineError> {
    if *text == *current.text {
        return Ok(current.clone());
    }
    check_length(file, text).map_err(DefineError::Invalid)?;
    let newer = read_schema(file, text).map_err(DefineError::Invalid)?;
    // A schema that nothing is declared in was never pushed.
    if newer.name != current.name && !rename && current.text != Schema::empty().text {
        let source = Source { name: file.into(), text: text.into() };
        return Err(DefineError::Conflict(other_schema(source, &newer.name, &current.name)));
    }
    Ok(Arc::new(current.grow(&newer).map_err(DefineError::Conflict)?))
}

fn other_schema(source: Source, newer: &str, current: &str) -> Problems {
    let what = format!("the schema in force is `{current}`, but this one is `{newer}`");
    let hint = "is it meant for another server? If the same schema has a new name, say so: `rename_schema=true` \
                in the query, or `usher push --rename-schema`";
    let mut problems = Problems::new();
    let (pointer, source) = ("/schema".into(), Some(Arc::new(source)));
    problems.push(Problem { pointer, source, ..Problem::new(what) }.hint(hint));
    problems
}

fn plan_schema(text: String, rename: bool, definitions: &Definitions) -> Result<ChangePlan, DefineError> {
    let schema = grown("schema", &text, rename, &definitions.schema)?;
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
    parsed: &Parsed,
) -> Result<ChangePlan, DefineError> {
    let schema = &definitions.schema;
    let set = check_length(&name, &text)
        .and_then(|()| RuleSet::parse_after(&name, &text, schema, parsed.earlier(schema, &name)));
    let set = set.map_err(DefineError::Invalid)?;
    if *set.name != *name {
        let problem =
            Problem::new(format!("the text says `rule_set: {}`, but it is published as `{name}`", set.name));
        let mut problems = Problems::new();
        problems.push(problem.hint("use the same name in both places"));
        return Err(DefineError::Invalid(problems));
    }
    let (state, record) = published(name, text, activate, definitions);
    let parsed = Sets::from([((state.name.as_str().into(), state.version), Arc::new(set))]);
    let RuleSetVersion { version, active, is_new, .. } = state;
    Ok(ChangePlan { version, active, is_new, ..ChangePlan::bringing(record.into_iter().collect(), parsed) })
}

/// The state of a rule set after its text is published, and the record that it takes. A text that is active
/// takes none. One that waits as the latest version is only activated. Otherwise a rollback would lead from a
/// text to itself.
fn published(
    name: String,
    text: String,
    activate: bool,
    definitions: &Definitions,
) -> (RuleSetVersion, Option<Record>) {
    let history = definitions.history(&name);
    let says_this = |version: &u32| {
        history.and_then(|history| history.text(*version)).is_some_and(|known| **known == *text)
    };
    if let Some(version) = history.and_then(History::active).filter(says_this) {
        return (RuleSetVersion { name, version, active: true, is_new: false }, None);
    }
    if let Some(version) = history.map(History::last).filter(says_this) {
        let record = activate.then(|| Record::Activate { name: name.clone(), version });
        return (RuleSetVersion { name, version, active: activate, is_new: false }, record);
    }
    let version = definitions.next_version(&name);
    let record = Record::Publish { name: name.clone(), version, text, activate };
    (RuleSetVersion { name, version, active: activate, is_new: true }, Some(record))
}

fn plan_bundle(
    schema: String,
    rename: bool,
    rule_sets: Vec<(String, String)>,
    activate: bool,
    (definitions, parsed): (&Definitions, &Parsed),
) -> Result<ChangePlan, DefineError> {
    let grown = grown("schema.yaml", &schema, rename, &definitions.schema)?;
    let earlier = |text: &str| parsed.earlier_of(&grown, text);
    let mut sets = parse_rule_sets(rule_sets, &grown, earlier).map_err(DefineError::Invalid)?;
    // Half of these may be journalled when a node dies. In this order the half fits together, as far as
    // possible.
    sets.sort_by_key(|(set, _)| (!set.carries_guardrails(), !set.defines_placements()));
    let mut plan = ChangePlan::bringing(Vec::new(), Sets::new());
    if !Arc::ptr_eq(&grown, &definitions.schema) {
        plan.records.push(Record::Schema { text: schema });
    }
    for (set, text) in sets {
        let (state, record) = published(set.name.to_string(), text, activate, definitions);
        plan.parsed.insert((state.name.as_str().into(), state.version), set);
        plan.records.extend(record);
        plan.rule_sets.push(state);
    }
    let active = definitions.active().map(|(name, ..)| name.to_string());
    plan.others = active.filter(|name| plan.rule_sets.iter().all(|state| state.name != *name)).collect();
    Ok(plan)
}
