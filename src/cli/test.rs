//! `usher test`: makes the golden decisions of a bundle and shows what differs, without a server.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};

use super::ending::{Ending, Failure, problem_json, report};
use super::terminal::{bold, colours};
use crate::bundle::Bundle;
use crate::bundle::golden::case::Case;
use crate::bundle::golden::compare::Mismatch;
use crate::engine::Engine;
use crate::input::problem::Problem;

/// Make the golden decisions of a bundle, and show what differs; no server is needed
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 1 if a decision does not come out. `usher check` makes the same decisions and looks at everything \
else, too.

Examples:
  usher test models/retail-bank
  usher test models/retail-bank --only consent"
)]
pub(super) struct Args {
    /// The folder of a bundle
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// Only cases with this text in their name
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Name the cases that come out, too
    #[arg(long)]
    all: bool,
    /// Print the results as one JSON document
    #[arg(long)]
    json: bool,
}

/// A case with what came out of it.
type Outcome<'c> = (&'c Case, Result<Vec<Mismatch>, Problem>);

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let started = Instant::now();
    let bundle = Bundle::read(&args.path)?;
    let (golden, engine) = match bundle.golden_decisions() {
        Ok(Some(found)) => found,
        Ok(None) => {
            let failure = Failure::new(format!("{} has no golden.yaml", args.path.display()));
            return Err(failure.hint("docs/reference/golden.md describes the file"));
        }
        Err(problems) => return Ok(report(&problems, args.json)),
    };
    let outcomes = outcomes(&golden.cases, args.only.as_deref(), &engine);
    if outcomes.is_empty() {
        return Err(Failure::new(match &args.only {
            Some(only) if !golden.cases.is_empty() => format!("no case has {only:?} in its name"),
            _ => format!("golden.yaml of {} has no cases", args.path.display()),
        }));
    }
    let wrong = outcomes.iter().filter(|outcome| !came_out(outcome)).count();
    if args.json {
        let cases: Vec<Value> = outcomes.iter().map(outcome_json).collect();
        say!(
            "{}",
            json!({"right": wrong == 0, "came_out": outcomes.len() - wrong, "wrong": wrong, "cases": cases})
        );
    } else {
        let colours = colours();
        let shown = outcomes.iter().filter(|outcome| args.all || !came_out(outcome));
        shown.for_each(|outcome| say!("{}", text_of(outcome, colours)));
        let (right, took) = (outcomes.len() - wrong, started.elapsed().as_secs_f64());
        say!("{right} of {} golden decisions came out, in {took:.1} s", outcomes.len());
    }
    Ok(if wrong == 0 { Ending::Done } else { Ending::FoundWrong })
}

fn outcomes<'c>(cases: &'c [Case], only: Option<&str>, engine: &Engine) -> Vec<Outcome<'c>> {
    let chosen = cases.iter().filter(|case| only.is_none_or(|only| case.name.contains(only)));
    chosen.map(|case| (case, case.mismatches(engine))).collect()
}

fn came_out((_, found): &Outcome<'_>) -> bool {
    found.as_ref().is_ok_and(Vec::is_empty)
}

fn text_of(outcome: &Outcome<'_>, colours: bool) -> String {
    let (case, found) = outcome;
    let heading = format!("{} (line {})", case.name, case.line());
    let mismatches = match found {
        Ok(mismatches) if mismatches.is_empty() => return format!("ok     {heading}"),
        Ok(mismatches) => mismatches,
        Err(problem) => return format!("{}  {heading}\n{problem}", bold("WRONG", colours)),
    };
    let mut out = format!("{}  {heading}", bold("WRONG", colours));
    for Mismatch { placement, expected, found, reasons, .. } in mismatches {
        out.push_str(&format!("\n  {placement}\n    expected  {expected}\n    found     {found}"));
        reasons.iter().for_each(|reason| out.push_str(&format!("\n    because   {reason}")));
    }
    out.push('\n');
    out
}

fn outcome_json(outcome: &Outcome<'_>) -> Value {
    let (case, found) = outcome;
    let mut json = json!({"name": case.name, "line": case.line(), "came_out": came_out(outcome)});
    match found {
        Ok(mismatches) => {
            let each = |mismatch: &Mismatch| {
                json!({"placement": mismatch.placement, "expected": mismatch.expected, "found": mismatch.found,
                    "because": mismatch.reasons})
            };
            json["differences"] = mismatches.iter().map(each).collect();
        }
        Err(problem) => json["problem"] = problem_json(problem),
    }
    json
}
