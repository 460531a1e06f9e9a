//! `usher check`: checks a bundle, or one file of it, without a server.

mod guardrails;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::definition::Definition;
use super::ending::{Ending, Failure, problem_json, report};
use crate::bundle::{Bundle, CheckedBundle, Findings, read_file};
use crate::engine::Engine;
use crate::input::problem::{Problem, Problems, Source};
use crate::insight::analysis::{AnalysisScope, Warning, WarningKind, Warnings, analyse};
use crate::insight::guardrails::{GuardrailFacts, understood};
use crate::intake::computed::read_schema;
use crate::node::clock;
use crate::rules::rule_set::RuleSet;
use crate::schema::Schema;

/// Check a bundle (schema, rule sets, golden decisions, population, imports) or one of its files, without a
/// server
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  usher check models/retail-bank
  usher check --strict models/retail-bank
  usher check models/retail-bank/rule-sets/wealth.yaml")]
pub(super) struct Args {
    /// The folder of a bundle, or the file of a rule set or a schema
    #[arg(value_name = "DIR|FILE")]
    path: PathBuf,
    /// The schema to check a single rule set against [default: schema.yaml in the folder above it]
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Take warnings for errors: exit code 1 if there is one
    #[arg(long)]
    strict: bool,
    /// Print the findings as one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let checked = if args.path.is_dir() {
        let bundle = Bundle::read(&args.path)?; // an unreadable bundle is a failure, not a finding
        bundle.check().map(|checked| (summary(&bundle, &checked), checked.findings(clock::now())))
    } else {
        check_file(args)?
    };
    let (summary, findings) = match checked {
        Ok(found) => found,
        Err(problems) => return Ok(report(&problems, args.json)),
    };
    let refused = args.strict && findings.warnings.count() > 0;
    if args.json {
        say!("{}", json_of(&summary, &findings, !refused));
    } else {
        tell(&findings.warnings, args.strict);
        say!("{}", text_of(&args.path, &summary, !refused) + &guardrails::text_of(&findings.guardrails));
    }
    Ok(if refused { Ending::FoundWrong } else { Ending::Done })
}

/// Names and counts of what the bundle has, in the order of printing.
type Summary = Vec<(&'static str, usize)>;

fn summary(bundle: &Bundle, checked: &CheckedBundle) -> Summary {
    let mut summary = schema_summary(&checked.schema);
    summary.extend([
        ("rule_sets", bundle.rule_sets.len()),
        ("placements", checked.engine.placements().len()),
        ("offers", checked.engine.offer_count()),
        ("golden_decisions", checked.golden.cases.len()),
        ("imports", checked.imports.len()),
    ]);
    summary
}

/// Checks one file by itself. Whether a rule set fits the others shows only when they are compiled together.
fn check_file(args: &Args) -> Result<Result<(Summary, Findings), Problems>, Failure> {
    let file = match Definition::of(read_file(&args.path)?) {
        Ok(file) => file,
        Err(problems) => return Ok(Err(problems)),
    };
    if file.rule_set.is_none() {
        let mut warnings = Warnings::default();
        warnings.add(WarningKind::Text, file.source.doubts());
        return Ok(parse_schema(&file.source).map(|schema| {
            warnings.add(WarningKind::Text, schema.doubts());
            (schema_summary(&schema), Findings { warnings, ..Findings::default() })
        }));
    }
    let schema_path = args.schema.clone().or_else(|| schema_beside(&args.path)).ok_or_else(|| {
        let failure = Failure::new(format!("there is no schema to check {} against", args.path.display()));
        failure.hint("add --schema FILE, or check the whole bundle's folder")
    })?;
    let schema = match parse_schema(&read_file(&schema_path)?) {
        Ok(schema) => Arc::new(schema),
        Err(problems) => return Ok(Err(problems)),
    };
    let rule_set = RuleSet::parse(&file.source.name, &file.source.text, &schema);
    Ok(rule_set.map(|rule_set| (vec![("rule_sets", 1)], findings_alone(Arc::new(rule_set), &schema))))
}

/// What is to be said about a rule set that compiles by itself. One that needs others is analysed in its
/// bundle.
fn findings_alone(rule_set: Arc<RuleSet>, schema: &Arc<Schema>) -> Findings {
    let Ok(engine) = Engine::compile(schema, &[(Arc::clone(&rule_set), 1)]) else {
        return Findings::default();
    };
    let (rule_sets, now) = ([rule_set], clock::now());
    Findings {
        warnings: analyse(&engine, &rule_sets, &AnalysisScope { alone: true, ..AnalysisScope::at(now) }),
        guardrails: understood(&engine, &rule_sets, GuardrailFacts::default(), now),
    }
}

/// Prints warnings in the form of problems.
pub(super) fn tell(warnings: &Warnings, strict: bool) {
    for warning in warnings.iter() {
        let detail = format!("warning: {} [{}]", warning.problem.detail, warning.kind.name());
        complain!("{}", Problem { detail, ..warning.problem.clone() });
    }
    if warnings.count() > 1 {
        complain!("{} warnings", warnings.count());
    }
    match warnings.accepted {
        0 => {}
        1 => complain!("1 more is accepted, as the rule sets say"),
        more => complain!("{more} more are accepted, as the rule sets say"),
    }
    if strict && warnings.count() > 0 {
        complain!("with --strict, a warning counts as an error");
    }
}

fn parse_schema(source: &Source) -> Result<Arc<Schema>, Problems> {
    read_schema(&source.name, &source.text)
}

fn schema_summary(schema: &Schema) -> Summary {
    vec![("features", schema.features().len()), ("row_bytes", schema.row_words() * 8)]
}

/// For a file in `rule-sets/`, the `schema.yaml` in the folder above, if it exists.
fn schema_beside(rule_set: &Path) -> Option<PathBuf> {
    let folder = rule_set.parent()?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let schema = folder.join("..").join("schema.yaml");
    schema.exists().then_some(schema)
}

fn text_of(path: &Path, summary: &Summary, right: bool) -> String {
    let counts = summary.iter().filter(|(_, count)| *count > 0);
    let counts: Vec<String> = counts.map(|(name, count)| in_words(name, *count)).collect();
    let verdict = if right { "right" } else { "not right" };
    format!("{}: {verdict}\n  {}\n", path.display(), counts.join(", "))
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

fn json_of(
    summary: &Summary,
    Findings { warnings, guardrails }: &Findings,
    right: bool,
) -> serde_json::Value {
    let counts = summary.iter().map(|(name, count)| ((*name).to_owned(), (*count).into()));
    let mut json = serde_json::Value::Object(counts.collect());
    json["right"] = right.into();
    let warning_json = |warning: &Warning| {
        let mut json = problem_json(&warning.problem);
        json["kind"] = warning.kind.name().into();
        json
    };
    json["warnings"] = warnings.iter().map(warning_json).collect();
    json["warnings_omitted"] = warnings.omitted.into();
    json["warnings_accepted"] = warnings.accepted.into();
    json["guardrails"] = guardrails::json_of(guardrails);
    json["guardrails_omitted"] = guardrails.omitted.into();
    json
}
