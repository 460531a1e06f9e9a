//! How a command ends: what it found, or why it could not run.

use std::fmt;

use crate::input::problem::{Problem, Problems};
use crate::storage::refused::Refused;

/// What a command that ended without failure found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Exit code 0.
    Done,
    /// Exit code 1; the command has said what.
    FoundWrong,
}

/// Why a command could not run: exit code 2.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(super) message: String,
    /// What to try.
    hint: Option<String>,
}

/// A variable of the process; one that is empty counts as not set.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A runtime for a command that talks to a server: one thread is enough.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| Failure::new(format!("cannot start: {e}")))?.block_on(work)
}

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Failure {
        Failure { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Problems end with a line feed of their own.
        writeln!(f, "error: {}", self.message.trim_end())?;
        match &self.hint {
            Some(hint) => writeln!(f, "  = {hint}"),
            None => Ok(()),
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        Failure { message: refused.to_string(), hint: refused.hint() }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Failure {
        Failure::new(problems.to_string())
    }
}

/// A problem as JSON, as the server writes it, with its file.
pub(crate) fn problem_json(problem: &Problem) -> serde_json::Value {
    let mut json = serde_json::json!({"detail": problem.detail, "pointer": problem.pointer});
    if let Some(source) = &problem.source {
        json["file"] = source.name.as_str().into();
    }
    if let Some(place) = problem.place {
        json["line"] = place.line.into();
        json["column"] = place.column.into();
    }
    if let Some(hint) = &problem.hint {
        json["hint"] = hint.as_str().into();
    }
    json
}

/// Tells what was found wrong: one JSON document on standard output for programs, else on standard error with a count
/// when there are several.
pub(crate) fn report(problems: &Problems, json: bool) -> Ending {
    if json {
        let list: Vec<serde_json::Value> = problems.iter().map(problem_json).collect();
        say!("{}", serde_json::json!({"right": false, "problems": list, "omitted": problems.omitted}));
    } else {
        complain!("{problems}");
        if problems.count() > 1 {
            complain!("{} problems", problems.count());
        }
    }
    Ending::FoundWrong
}
