//! `usher evaluate`: estimates from a data team's log what another policy would have earned.

mod log;

use std::path::PathBuf;

use serde_json::{Value, json};

use self::log::Log;
use super::ending::{Ending, Failure};
use super::load::Rejection;
use super::load::open::Format;
use super::terminal::{Progress, thousands};
use crate::insight::evaluation::{Estimate, Estimates, Evaluation, Logged};

/// The most errors that are shown. Further ones are only counted.
const MAX_SHOWN: usize = 100;
/// The smallest effective number of decisions without a warning. A mean of fewer is not normally distributed
/// yet.
const FEW: f64 = 100.0;
/// The largest share of all weight that one line may have without a warning.
const LARGE_SHARE: f64 = 0.05;
/// The largest distance of the mean weight from 1 without a warning, in standard errors.
const FAR: f64 = 4.0;

/// Estimate from a log of decisions (CSV, NDJSON or JSON, plain, .gz or .zst) what another policy would
/// have earned
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each line of the log is one decision. It has what the choice earned (reward), the probability with
which it was chosen (propensity), and the probability with which the other policy would have chosen
it (target). With a model of the reward it also has the reward that the model expects of the choice
(expected) and of the other policy (expected_target: over all choices, weighted by its probabilities).

With weight = target / propensity:
  IPS    inverse propensity score: the mean of weight × reward
  SNIPS  self-normalised: the same over the mean weight
  DR     doubly robust: the mean of expected_target + weight × (reward - expected)
Standard errors assume independent decisions (SNIPS: to the first order). Intervals are ±1.96 of
them.

Examples:
  printf 'reward,propensity,target\\n1,0.5,0.9\\n0,0.5,0.1\\n' | usher evaluate - --format csv
  usher evaluate log.ndjson.zst --reward clicked --propensity p --json
  usher evaluate all.csv --reward click --propensity propensity_score --target-uniform 80")]
pub(super) struct Args {
    /// The log to read; - is standard input
    log: PathBuf,
    /// Column with what the choice earned; true and false count as 1 and 0
    #[arg(long, value_name = "COLUMN", default_value = "reward")]
    reward: String,
    /// Column with the probability of the choice
    #[arg(long, value_name = "COLUMN", default_value = "propensity")]
    propensity: String,
    /// Column with the probability that the other policy makes this choice
    #[arg(long, value_name = "COLUMN", default_value = "target")]
    target: String,
    /// The other policy chooses evenly among N; then no target column is needed
    #[arg(long, value_name = "N", conflicts_with = "target", value_parser = clap::value_parser!(u32).range(1..))]
    target_uniform: Option<u32>,
    /// Column with the reward that a model expects of the choice [default: expected, if there is such a
    /// column]
    #[arg(long, value_name = "COLUMN")]
    expected: Option<String>,
    /// Column with the reward it expects of the other policy [default: expected_target, if there is such a
    /// column]
    #[arg(long, value_name = "COLUMN")]
    expected_target: Option<String>,
    /// The file's format [default: from its name]
    #[arg(long)]
    format: Option<Format>,
    /// Print the result as one JSON document
    #[arg(long)]
    json: bool,
}

/// What was read from the log.
#[derive(Default)]
struct Total {
    evaluation: Evaluation,
    rows: u64,
    rejected: u64,
    errors: Vec<Rejection>,
    /// Right lines with and without the columns of a model, and the first of those without.
    with_model: u64,
    without_model: u64,
    first_without: Vec<u64>,
    /// Columns that nothing was read from, and what may have been meant.
    unused: Vec<(String, Option<String>)>,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let total = read(args)?;
    if total.rejected > 0 {
        return Ok(total.reject(args));
    }
    let Some(estimates) = total.evaluation.estimates() else {
        return Ok(nothing_said(total.rows, args.json));
    };
    let mut warnings = warnings_of(&estimates);
    let meant = total.unused.iter().filter_map(|(name, meant)| Some((name, meant.as_ref()?)));
    warnings
        .extend(meant.map(|(name, meant)| format!("column `{name}` is not used; did you mean `{meant}`?")));
    let unused: Vec<&str> = total.unused.iter().map(|(name, _)| name.as_str()).collect();
    if args.json {
        say!("{}", json_of(&estimates, &unused, &warnings));
    } else {
        let unused =
            if unused.is_empty() { String::new() } else { format!("not used: {}\n", unused.join(", ")) };
        say!("{}{unused}", text_of(&estimates));
        warnings.iter().for_each(|warning| complain!("warning: {warning}"));
    }
    Ok(Ending::Done)
}

fn read(args: &Args) -> Result<Total, Failure> {
    let mut log = Log::open(args)?;
    let mut progress = Progress::start();
    let mut total = Total::default();
    while let Some(read) = log.next_decision()? {
        total.rows += 1;
        match read {
            Ok((line, logged)) => total.take(&logged, line),
            Err(rejection) => {
                total.rejected += 1;
                if total.errors.len() < MAX_SHOWN {
                    total.errors.push(rejection);
                }
            }
        }
        progress.update(total.rows, "decisions");
    }
    progress.clear();
    total.finish(&log);
    Ok(total)
}

impl Total {
    fn take(&mut self, logged: &Logged, line: u64) {
        self.evaluation.add(logged, line);
        if logged.model.is_some() {
            self.with_model += 1;
        } else {
            self.without_model += 1;
            if self.first_without.len() < MAX_SHOWN {
                self.first_without.push(line);
            }
        }
    }

    /// Rejects the lines without a model if others have one, whichever came first. To leave the model out
    /// would drop an estimate that somebody wants.
    fn finish(&mut self, log: &Log) {
        if self.with_model > 0 && self.without_model > 0 {
            self.rejected += self.without_model;
            self.errors.extend(self.first_without.iter().map(|line| log.without_model(*line)));
            self.errors.sort_by_key(|error| error.line);
            self.errors.truncate(MAX_SHOWN);
        }
        self.unused = log.unused().map(|(name, meant)| (name.to_owned(), meant.map(str::to_owned))).collect();
    }

    /// Prints the errors and no estimate: one from the correct lines alone would be of another log.
    fn reject(&self, args: &Args) -> Ending {
        if args.json {
            let errors = self.errors.iter();
            let errors: Vec<Value> =
                errors.map(|e| json!({"line": e.line, "column": e.column, "detail": e.detail})).collect();
            say!(
                "{}",
                json!({"right": false, "rows": self.rows, "rejected": self.rejected, "errors": errors})
            );
            return Ending::FoundWrong;
        }
        for error in &self.errors {
            let column =
                error.column.as_ref().map_or_else(String::new, |column| format!(" column {column}:"));
            complain!("{}:{}:{column} {}", args.log.display(), error.line, error.detail);
        }
        let (wrong, rows) = (thousands(self.rejected), thousands(self.rows));
        complain!("{wrong} of {rows} decisions are wrong; nothing was estimated");
        Ending::FoundWrong
    }
}

fn nothing_said(rows: u64, json: bool) -> Ending {
    let why = match rows {
        0 | 1 => "an estimate needs two decisions or more",
        _ => "the other policy would have made none of the choices in the log (target is 0 everywhere)",
    };
    if json {
        let errors = [json!({"line": null, "column": null, "detail": why})];
        say!("{}", json!({"right": false, "rows": rows, "rejected": 0, "errors": errors}));
    } else {
        complain!("{} decisions: {why}", thousands(rows));
    }
    Ending::FoundWrong
}

fn warnings_of(estimates: &Estimates) -> Vec<String> {
    let Estimates { weight, effective, largest, largest_at, count, .. } = estimates;
    let mut warnings = Vec::new();
    if (weight.value - 1.0).abs() > FAR * weight.error.max(1e-9) {
        warnings.push(format!(
            "the mean weight is {:.3} ± {:.3} but should be 1: are these the propensities of the actual choices, and does \
             the other policy choose only what could have been chosen?",
            weight.value, weight.error
        ));
    }
    if *effective < FEW {
        warnings.push(format!(
            "the log is worth only {effective:.1} decisions of the other policy; with so few, the intervals are too narrow"
        ));
    }
    let share = largest / (weight.value * *count as f64);
    if share > LARGE_SHARE {
        warnings.push(format!(
            "line {largest_at} has {:.1} % of all weight (its weight is {largest:.1}); the estimates depend on it",
            100.0 * share
        ));
    }
    warnings
}

fn text_of(estimates: &Estimates) -> String {
    let row = |name: &str, Estimate { value, error }: Estimate| {
        let (low, high) = Estimate { value, error }.interval();
        format!("{name:<28}{value:>12.6}{error:>14.6}   {low:.6} to {high:.6}\n")
    };
    let mut text = format!(
        "{} decisions; the reward of one:\n{:<28}{:>12}{:>14}   95 % interval\n",
        thousands(estimates.count),
        "",
        "mean",
        "std. error"
    );
    text += &row("as it was decided", estimates.logged);
    text += &row("other policy, IPS", estimates.ips);
    text += &row("other policy, SNIPS", estimates.snips);
    if let Some(dr) = estimates.dr {
        text += &row("other policy, DR", dr);
    }
    let share = 100.0 * estimates.effective / estimates.count as f64;
    text + &format!(
        "weights: mean {:.4}, largest {:.3} (line {}); effective sample size {} ({share:.1} %)\n",
        estimates.weight.value,
        estimates.largest,
        estimates.largest_at,
        thousands(estimates.effective as u64),
    )
}

fn json_of(estimates: &Estimates, unused: &[&str], warnings: &[String]) -> Value {
    let one = |estimate: Estimate| {
        let (low, high) = estimate.interval();
        json!({"value": estimate.value, "standard_error": estimate.error, "interval": [low, high]})
    };
    json!({
        "right": true,
        "decisions": estimates.count,
        "logged": one(estimates.logged),
        "ips": one(estimates.ips),
        "snips": one(estimates.snips),
        "dr": estimates.dr.map(one),
        "weights": {"mean": estimates.weight.value, "largest": estimates.largest, "largest_line": estimates.largest_at,
            "effective_sample_size": estimates.effective},
        "unused_columns": unused,
        "warnings": warnings,
    })
}
