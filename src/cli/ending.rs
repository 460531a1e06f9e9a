//! How a command ends: done, something found wrong, or a failure that kept it from running.

use std::fmt;
use std::path::Path;

use crate::input::problem::{Problem, Problems};
use crate::storage::refused::Refused;

/// The result of a command that could run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The command succeeded: exit code 0.
    Done,
    /// Something is wrong, and the command has said what: exit code 1.
    FoundWrong,
}

/// Why a command could not run: exit code 2.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(super) message: String,
    /// What the person may try.
    hint: Option<String>,
}

/// A variable of the process. An empty one counts as not set.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Runs the work of a command on this thread.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| Failure::new(format!("cannot start: {e}")))?.block_on(work)
}

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), hint: None }
    }

    /// The failure with a further sentence behind it.
    pub(super) fn also(self, more: &str) -> Failure {
        let message = self.message.trim_end();
        let between = if message.contains('\n') { "\n" } else { "; " };
        Failure { message: format!("{message}{between}{more}"), ..self }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Failure {
        Failure { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Problems end with a line feed of their own, which is removed.
        writeln!(f, "error: {}", self.message.trim_end())?;
        match &self.hint {
            Some(hint) => writeln!(f, "  = {hint}"),
            None => Ok(()),
        }
    }
}

impl Failure {
    /// Why a data directory cannot be used.
    pub(super) fn of_directory(refused: &Refused, directory: &Path) -> Failure {
        Failure { message: refused.to_string(), hint: refused.hint(directory) }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Failure {
        let mut said: String = problems.iter().map(|problem| in_words(problem).to_string()).collect();
        if problems.omitted > 0 {
            said.push_str(&format!("and at least {} more\n", problems.omitted));
        }
        Failure::new(said)
    }
}

/// A problem as JSON, with the server's field names, and the file in `file`.
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

/// A problem with the request that a command made, in the words of those who typed the command: the argument
/// in place of a pointer into a body that they never saw.
pub(crate) fn in_words(problem: &Problem) -> Problem {
    if problem.source.is_some() {
        return problem.clone();
    }
    let first = problem.pointer.split('/').nth(1).unwrap_or_default();
    let argument = match first {
        "" => String::new(),
        "customer" | "placements" | "condition" => {
            format!("{}: ", first.trim_end_matches('s').to_uppercase())
        }
        other => format!("--{}: ", other.replace('_', "-")),
    };
    Problem { detail: format!("{argument}{}", problem.detail), pointer: String::new(), ..problem.clone() }
}

/// Reports problems: for programs as one JSON document on standard output, for people on standard error, with
/// a count if there are several. A problem that is not about a file begins with `error:`, as failures do.
pub(crate) fn report(problems: &Problems, json: bool) -> Ending {
    if json {
        let list: Vec<serde_json::Value> = problems.iter().map(problem_json).collect();
        say!("{}", serde_json::json!({"right": false, "problems": list, "omitted": problems.omitted}));
    } else {
        for problem in problems {
            let prefix = if problem.source.is_none() { "error: " } else { "" };
            complain!("{prefix}{}", in_words(problem));
        }
        if problems.omitted > 0 {
            complain!("and at least {} more", problems.omitted);
        }
        if problems.count() > 1 {
            complain!("{} problems", problems.count());
        }
    }
    Ending::FoundWrong
}
