//! Changes of definitions as callers ask for them, and what comes back.

use std::sync::Arc;

use super::unavailable::Unavailable;
use crate::engine::Engine;
use crate::input::problem::{Problem, Problems};
use crate::insight::analysis::Warnings;
use crate::rules::rule_set::{RuleSet, Spot};
use crate::schema::Schema;
use crate::state::record::{MAX_TEXT_BYTES, Note};

/// A requested change of definitions.
#[derive(Debug)]
pub enum Define {
    /// Replaces the schema by this text, which may only add to it.
    Schema {
        /// The whole schema, as YAML.
        text: String,
        /// Whether it may have another name than the schema in force. Without this, a schema of another name
        /// is taken for another bank's.
        rename: bool,
        /// If given, the change is refused unless this is the text of the schema in force.
        if_text: Option<Arc<str>>,
    },
    /// Publishes a rule set. The text of the active or the latest version makes no new version.
    Publish {
        /// The name of the rule set.
        name: String,
        /// The whole rule set, as YAML or JSON.
        text: String,
        /// Whether the new version decides from now on.
        activate: bool,
        /// If given, the change is refused unless this version is active (0: unless none is).
        if_active: Option<u32>,
    },
    /// Makes a published version the active one.
    Activate {
        /// The name of the rule set.
        name: String,
        /// The number of the version to activate.
        version: u32,
        /// If given, the change is refused unless this version is active (0: unless none is).
        if_active: Option<u32>,
    },
    /// Makes the previously active version the active one again.
    Rollback {
        /// The name of the rule set.
        name: String,
        /// If given, the change is refused unless this version is active (0: unless none is).
        if_active: Option<u32>,
    },
    /// Leaves the rule set without an active version.
    Retire {
        /// The name of the rule set.
        name: String,
        /// If given, the change is refused unless this version is active (0: unless none is).
        if_active: Option<u32>,
    },
    /// Makes another change, and notes who made the versions that it publishes, and why.
    Noted {
        /// The change itself.
        change: Box<Define>,
        /// Who makes it and why. The time is that of the change.
        note: Note,
    },
    /// Applies a whole bundle at once: its schema and rule sets are compiled together. The schema always
    /// takes effect.
    Bundle {
        /// The whole schema, as YAML.
        schema: String,
        /// File name and text of each rule set.
        rule_sets: Vec<(String, String)>,
        /// Whether the rule sets decide from now on. If not, they are only compiled as if they did.
        activate: bool,
        /// As with [`Define::Schema`].
        rename: bool,
        /// Whether active rule sets that the bundle does not have are retired. Without `activate` it is
        /// refused.
        prune: bool,
    },
}

/// The result of a change that succeeded.
#[derive(Debug, Clone)]
pub struct Defined {
    /// The sequence of the change's record; of its last record, if there are several.
    pub sequence: u64,
    /// The version that was published or activated; 0 for a schema, a bundle or a retirement.
    pub version: u32,
    /// Whether that version is the active one now.
    pub active: bool,
    /// Whether this change made the version. If not, a version with the same text was there.
    pub is_new: bool,
    /// The time that parsing and compiling took, in microseconds.
    pub compiled_in_us: u64,
    /// For a bundle: all its rule sets, including those that did not change.
    pub rule_sets: Vec<RuleSetVersion>,
    /// For a bundle: the other active rule sets. They decide on, or were retired where that was asked for.
    pub others: Vec<String>,
    /// Findings in the rule sets of this change that are allowed but look like mistakes.
    pub warnings: Warnings,
}

/// The result of a trial: the rule set was compiled with the active ones, and nothing was changed.
#[derive(Debug)]
pub struct Tried {
    /// Errors in the rule set itself, and conflicts with the others.
    pub errors: Problems,
    /// Without errors: the resulting engine, and the rule sets it was compiled from.
    pub engine: Option<(Engine, Vec<Arc<RuleSet>>)>,
    /// Each offer's name, and how it differs from the active version.
    pub offers: Vec<(String, OfferChange)>,
    /// The time that parsing and compiling took, in microseconds.
    pub compiled_in_us: u64,
}

/// How an offer changes when a version replaces the active one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferChange {
    /// Only the new version has it.
    Added,
    /// Both versions have it, with different text.
    Changed,
    /// Both versions say the same of it; the tags it uses may have changed.
    Unchanged,
    /// Only the active version has it.
    Removed,
}

impl OfferChange {
    /// The name in answers, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            OfferChange::Added => "added",
            OfferChange::Changed => "changed",
            OfferChange::Unchanged => "unchanged",
            OfferChange::Removed => "removed",
        }
    }
}

/// The state of one of a bundle's rule sets after the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSetVersion {
    /// The name of the rule set.
    pub name: String,
    /// The version whose text is the bundle's.
    pub version: u32,
    /// Whether this version is the active one.
    pub active: bool,
    /// Whether the bundle made this version.
    pub is_new: bool,
}

impl Define {
    /// Whether texts of rule sets come with it.
    pub(crate) fn brings_rules(&self) -> bool {
        match self {
            Define::Publish { .. } | Define::Bundle { .. } => true,
            Define::Noted { change, .. } => change.brings_rules(),
            _ => false,
        }
    }
}

/// Why a change of definitions was refused; nothing was changed.
#[derive(Debug)]
pub enum DefineError {
    /// The text has errors: all that were found.
    Invalid(Problems),
    /// The text is correct by itself but conflicts with what is defined already.
    Conflict(Problems),
    /// Another version is active than expected: this one, or none.
    OtherActive(Option<u32>),
    /// Another schema is in force than expected.
    OtherSchema,
    /// The rule set, the version, or an earlier version does not exist.
    NotFound(String),
    /// The compiler panicked; this is the panic's text.
    Internal(String),
    /// No change can be taken now; a later try may succeed.
    Unavailable(Unavailable),
}

/// The most rule sets of a node, retired ones included.
pub(crate) const MAX_RULE_SETS: usize = 1_000;

/// Refuses a text that is too long for a record.
///
/// # Errors
/// The one problem that it is longer.
pub(crate) fn check_length(file: &str, text: &str) -> Result<(), Problems> {
    if text.len() <= MAX_TEXT_BYTES {
        return Ok(());
    }
    Err(Problems::one(format!("`{file}` has {} bytes; at most {MAX_TEXT_BYTES} are allowed", text.len())))
}

/// Parses the rule sets of a bundle (file name and text of each) and pairs each with its text. `usher check`
/// reads them with this function too, so that it refuses what a node refuses. `earlier` gives a version of a
/// text's rule set that was parsed against the same schema, if there is one.
///
/// # Errors
/// The errors of all texts, names that two of them have, and more rule sets than there may be.
pub(crate) fn parse_rule_sets<'e>(
    files: Vec<(String, String)>,
    schema: &Schema,
    earlier: impl Fn(&str) -> Option<&'e RuleSet>,
) -> Result<Vec<(Arc<RuleSet>, String)>, Problems> {
    let mut problems = Problems::new();
    let mut sets: Vec<(Arc<RuleSet>, String)> = Vec::new();
    if files.len() > MAX_RULE_SETS {
        problems.push(Problem::new(format!(
            "a node has at most {MAX_RULE_SETS} rule sets, the bundle has {}",
            files.len()
        )));
        return Err(problems);
    }
    for (file, text) in files {
        match check_length(&file, &text)
            .and_then(|()| RuleSet::parse_after(&file, &text, schema, earlier(&text)))
        {
            Ok(set) => match sets.iter().find(|(other, _)| other.name == set.name) {
                Some((other, _)) => {
                    let what = format!("{} has the rule set `{}` already", other.source.name, set.name);
                    let problem = set.problem(&Spot::default(), what);
                    problems.push(problem.hint("give each file a `rule_set` of its own"));
                }
                None => sets.push((Arc::new(set), text)),
            },
            Err(found) => problems.extend(found),
        }
    }
    problems.or(sets)
}
