//! `usher push`: sends a bundle's schema and rule sets together, or one of these files, to a running server.

use std::path::PathBuf;

use hyper::{Method, header};
use serde_json::{Value, json};

use super::client::{Client, ServerAnswer, ServerArgs, encoded};
use super::definition::Definition;
use super::ending::{Ending, Failure, block_on, report};
use crate::bundle::{Bundle, read_file};
use crate::input::problem::{Problems, Source};

/// Publish a bundle's schema and rule sets (all of them or none), or one of these files, on a running server
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  usher push models/retail-bank
  usher push models/retail-bank/rule-sets/wealth.yaml --no-activate")]
pub(super) struct Args {
    /// The folder of a bundle, or the file of a rule set or a schema
    #[arg(value_name = "DIR|FILE")]
    path: PathBuf,
    /// Publish the rule sets, but do not let them decide yet
    #[arg(long)]
    no_activate: bool,
    /// Print the server's answer, or its errors, as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let is_bundle = args.path.is_dir();
    let sources = if is_bundle {
        let bundle = Bundle::read(&args.path)?;
        std::iter::once(bundle.schema).chain(bundle.rule_sets).collect()
    } else {
        vec![read_file(&args.path)?]
    };
    let files = match definitions(sources) {
        Ok(files) => files,
        Err(problems) => return Ok(report(&problems, args.json)),
    };
    let mut client = Client::patient(&args.server.url())?;
    let answer = match &files[..] {
        [file] if !is_bundle => block_on(push_file(&mut client, file, !args.no_activate))?,
        _ => block_on(push_bundle(&mut client, &files, !args.no_activate))?,
    };
    if !answer.status.is_success() {
        let outcome = report(&answer.problems(&files), args.json);
        if is_bundle && !args.json {
            complain!("nothing in {} was published", args.path.display());
        }
        return Ok(outcome);
    }
    let answer = answer.json()?;
    if args.json {
        say!("{answer}");
    } else if is_bundle {
        tell_bundle(&answer);
    } else {
        files.iter().for_each(|file| tell_file(file, &answer));
    }
    Ok(Ending::Done)
}

fn definitions(sources: Vec<Source>) -> Result<Vec<Definition>, Problems> {
    let mut problems = Problems::new();
    let files = sources.into_iter().map(Definition::of);
    let files = files.filter_map(|file| file.map_err(|found| problems.extend(found)).ok()).collect();
    problems.or(files)
}

/// Sends all files in one request, because they depend on each other. A server that took only some of them
/// would hold a combination that nobody wrote.
async fn push_bundle(
    client: &mut Client,
    files: &[Definition],
    activate: bool,
) -> Result<ServerAnswer, Failure> {
    let schema = files.first().map_or("", |file| &file.source.text);
    let rule_sets = files.iter().skip(1);
    let rule_sets: Vec<Value> =
        rule_sets.map(|file| json!({"file": file.file_name(), "text": file.source.text})).collect();
    let body = json!({"schema": schema, "rule_sets": rule_sets}).to_string();
    let headers = [(header::CONTENT_TYPE, "application/json")];
    client.send(Method::PUT, &format!("/v1/bundle?activate={activate}"), &headers, body).await
}

async fn push_file(client: &mut Client, file: &Definition, activate: bool) -> Result<ServerAnswer, Failure> {
    let path = match &file.rule_set {
        Some(name) => format!("/v1/rule-sets/{}?activate={activate}", encoded(name)),
        None => "/v1/schema".to_owned(),
    };
    let headers = [(header::CONTENT_TYPE, "application/yaml")];
    client.send(Method::PUT, &path, &headers, file.source.text.clone()).await
}

fn tell_bundle(answer: &Value) {
    say!("schema: in force");
    for rule_set in answer["rule_sets"].as_array().into_iter().flatten() {
        say!("{}", rule_set_text(rule_set["name"].as_str().unwrap_or("?"), rule_set));
    }
    say!("compiled in {} µs", answer["compiled_in_us"]);
    tell_warnings(answer);
}

fn tell_file(file: &Definition, answer: &Value) {
    let Some(name) = &file.rule_set else {
        say!("schema: in force");
        return;
    };
    say!("{}, compiled in {} µs", rule_set_text(name, answer), answer["compiled_in_us"]);
    tell_warnings(answer);
}

/// Prints warnings in the form of problems. The server does not send the lines that they are about.
fn tell_warnings(answer: &Value) {
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        let text = |field: &str| warning[field].as_str().unwrap_or_default().to_owned();
        let place = match (warning["line"].as_u64(), warning["column"].as_u64()) {
            (Some(line), Some(column)) => format!(":{line}:{column}"),
            _ => String::new(),
        };
        complain!("{}{place}: warning: {}", text("source"), text("detail"));
        if let Some(hint) = warning["hint"].as_str() {
            complain!("  = {hint}");
        }
    }
}

fn rule_set_text(name: &str, answer: &Value) -> String {
    let state = if answer["active"] == true { "active" } else { "published, not active" };
    format!("{name}: version {} {state}", answer["version"])
}
