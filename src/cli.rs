//! The command line: one command per file, and what they share: how they fail, and the client of a running server.
//!
//! Exit codes: 0 done, 1 something was found wrong, 2 could not run.

/// Prints to standard output; one line feed ends it, whether the text has one or not.
macro_rules! say {
    ($($arg:tt)*) => { $crate::cli::terminal::print(&mut std::io::stdout().lock(), &format!($($arg)*)) };
}

/// Prints to standard error, as [`say`] does.
macro_rules! complain {
    ($($arg:tt)*) => { $crate::cli::terminal::print(&mut std::io::stderr().lock(), &format!($($arg)*)) };
}

mod check;
mod client;
mod compact;
mod count;
mod decide;
mod definition;
mod demo;
mod eval;
mod evaluate;
mod health;
mod keys;
mod load;
mod push;
mod repair;
mod rollback;
mod serve;
mod stats;
mod terminal;
mod verify;

use std::fmt;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::data_dir::Refused;
use crate::problem::{Problem, Problems};

/// Decides, per login and in microseconds, which banner and which next-best-offer a bank's customer sees.
#[derive(Debug, Parser)]
#[command(name = "usher", version, after_help = EXAMPLES, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  usher demo                                         see it work: example bank, 100,000 customers
  usher check models/retail-bank                     is everything in this bundle right?
  usher serve --models models/retail-bank --data data   start a server with it that keeps its state in `data`
  usher load customers.csv                           give it customers: a column `customer`, others by feature
  usher decide c-1001 home_banner --locale zh-CN     ask it
  usher count 'age >= 60 && consent_marketing'       how many customers does that mean?
  usher stats --by offer,channel                     what was decided, and what came of it?
  usher push models/retail-bank/rule-sets/wealth.yaml   change a rule set while it runs
  usher rollback wealth                              and back to the version before
  usher evaluate log.csv                             what would another policy have brought?
  usher verify data                                  is everything in this data directory whole?
  usher keys new token.keys                          a key for several nodes: each is started with --token-keys

Exit codes: 0 done, 1 something was found wrong, 2 could not run.";

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Check(check::Args),
    Serve(serve::Args),
    Push(push::Args),
    Rollback(rollback::Args),
    Load(load::Args),
    Decide(decide::Args),
    Count(count::Args),
    Stats(stats::Args),
    Eval(eval::Args),
    Evaluate(evaluate::Args),
    Health(health::Args),
    Compact(compact::Args),
    Verify(verify::Args),
    Repair(repair::Args),
    Keys(keys::Args),
}

/// What a command that ended without failure found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Exit code 0.
    Done,
    /// Exit code 1; the command has said what.
    FoundWrong,
}

/// Why a command could not run: exit code 2.
#[derive(Debug)]
struct Failure {
    message: String,
    /// What to try.
    hint: Option<String>,
}

/// Stack of a command's thread: parsing a deeply nested condition takes more than a process begins with.
const STACK_BYTES: usize = 16 << 20;

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse(); // prints help or a usage error by itself, and ends with 0 or 2
    let thread = std::thread::Builder::new().name("usher".into()).stack_size(STACK_BYTES);
    let code = thread.spawn(move || execute(arguments.command)).map(std::thread::JoinHandle::join);
    match code {
        Ok(Ok(code)) => code,
        Ok(Err(_)) => ExitCode::from(2), // the panic has been printed
        Err(e) => {
            complain!("cannot start: {e}");
            ExitCode::from(2)
        }
    }
}

fn execute(command: Command) -> ExitCode {
    let outcome = match command {
        Command::Demo(args) => demo::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Push(args) => push::run(&args),
        Command::Rollback(args) => rollback::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Decide(args) => decide::run(&args),
        Command::Count(args) => count::run(&args),
        Command::Stats(args) => stats::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Compact(args) => compact::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Repair(args) => repair::run(&args),
        Command::Keys(args) => keys::run(&args),
    };
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::FoundWrong) => ExitCode::FAILURE,
        Err(failure) => {
            complain!("{failure}");
            ExitCode::from(2)
        }
    }
}

/// A variable of the process; one that is empty counts as not set.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A runtime for a command that talks to a server: one thread is enough.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| Failure::new(format!("cannot start: {e}")))?.block_on(work)
}

impl Failure {
    fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Failure {
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
fn problem_json(problem: &Problem) -> serde_json::Value {
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
fn report(problems: &Problems, json: bool) -> Outcome {
    if json {
        let list: Vec<serde_json::Value> = problems.iter().map(problem_json).collect();
        say!("{}", serde_json::json!({"right": false, "problems": list, "omitted": problems.omitted}));
    } else {
        complain!("{problems}");
        if problems.count() > 1 {
            complain!("{} problems", problems.count());
        }
    }
    Outcome::FoundWrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
