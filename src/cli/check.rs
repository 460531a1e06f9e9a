//! `usher check`: is a bundle, or one rule set, right?

use std::path::{Path, PathBuf};

use super::{Failure, Outcome, print_problems, problem_json};
use crate::bundle::{Bundle, Checked, read_file};
use crate::problem::{Problem, Problems};
use crate::rule_set::RuleSet;
use crate::schema::Schema;

/// Check a bundle (schema, rule sets, golden decisions, population, imports) or one rule set, without a server
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A bundle's folder, or a rule set's file
    #[arg(value_name = "DIR|FILE")]
    path: PathBuf,
    /// The schema that a single rule set is checked against [default: schema.yaml in the folder above it]
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Print the findings as one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let checked = if args.path.is_dir() {
        let bundle = Bundle::read(&args.path)?; // cannot be read: not the same as wrong
        bundle.check().map(|checked| summary(&bundle, &checked))
    } else {
        check_rule_set(args)?
    };
    match checked {
        Ok(summary) if args.json => println!("{}", json_of(&summary)),
        Ok(summary) => print!("{}", text_of(&args.path, &summary)),
        Err(problems) if args.json => {
            println!("{}", json_of_problems(&problems));
            return Ok(Outcome::FoundWrong);
        }
        Err(problems) => {
            print_problems(&problems);
            return Ok(Outcome::FoundWrong);
        }
    }
    Ok(Outcome::Done)
}

/// What there is, in the order it is told.
type Summary = Vec<(&'static str, usize)>;

fn summary(bundle: &Bundle, checked: &Checked) -> Summary {
    vec![
        ("features", checked.schema.features().len()),
        ("row_bytes", checked.schema.row_words() * 8),
        ("rule_sets", bundle.rule_sets.len()),
        ("placements", checked.engine.placements().len()),
        ("offers", checked.engine.offer_count()),
        ("golden_decisions", checked.golden.cases.len()),
        ("imports", checked.imports.len()),
    ]
}

/// One rule set by itself: whether it fits the others is only known when they are compiled together.
fn check_rule_set(args: &Args) -> Result<Result<Summary, Problems>, Failure> {
    let source = read_file(&args.path)?;
    let schema_path = args.schema.clone().or_else(|| schema_beside(&args.path)).ok_or_else(|| {
        let failure = Failure::new(format!("there is no schema to check {} against", args.path.display()));
        failure.hint("say --schema FILE, or check the whole bundle's folder")
    })?;
    let schema_source = read_file(&schema_path)?;
    let schema = match Schema::parse(&schema_source.name, &schema_source.text) {
        Ok(schema) => schema,
        Err(problems) => return Ok(Err(problems)),
    };
    let rule_set = RuleSet::parse(&source.name, &source.text, &schema);
    Ok(rule_set.map(|_| vec![("rule_sets", 1)]))
}

/// `../schema.yaml` of a file in `rule-sets/`.
pub(super) fn schema_beside(rule_set: &Path) -> Option<PathBuf> {
    let folder = rule_set.parent()?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let schema = folder.join("..").join("schema.yaml");
    schema.exists().then_some(schema)
}

fn text_of(path: &Path, summary: &Summary) -> String {
    let counts = summary.iter().filter(|(_, count)| *count > 0);
    let counts: Vec<String> = counts.map(|(name, count)| in_words(name, *count)).collect();
    format!("{}: right\n  {}\n", path.display(), counts.join(", "))
}

fn in_words(name: &str, count: usize) -> String {
    match (name, count) {
        ("row_bytes", _) => format!("{count} bytes a row"),
        ("golden_decisions", 1) => "1 golden decision came out".into(),
        ("golden_decisions", _) => format!("{count} golden decisions came out"),
        (_, 1) => format!("1 {}", name.trim_end_matches('s').replace('_', " ")),
        _ => format!("{count} {}", name.replace('_', " ")),
    }
}

fn json_of(summary: &Summary) -> serde_json::Value {
    let counts = summary.iter().map(|(name, count)| ((*name).to_owned(), (*count).into()));
    let mut json = serde_json::Value::Object(counts.collect());
    json["right"] = true.into();
    json
}

fn json_of_problems(problems: &Problems) -> serde_json::Value {
    let list: Vec<serde_json::Value> =
        problems.iter().map(|problem: &Problem| problem_json(problem)).collect();
    serde_json::json!({"right": false, "problems": list, "omitted": problems.omitted})
}
