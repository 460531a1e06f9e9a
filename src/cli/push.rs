//! `usher push`: sends a bundle's schema and rule sets together, or one of these files, to a running server.

use std::path::{Path, PathBuf};

use hyper::{Method, header};
use serde_json::{Value, json};

use super::client::{Client, ServerAnswer, ServerArgs, encoded, if_match, warnings};
use super::definition::Definition;
use super::ending::{Ending, Failure, block_on, report, variable};
use crate::bundle::{Bundle, read_file};
use crate::input::problem::{Problem, Problems, Source};

/// Publish a bundle's schema and rule sets (all of them or none), or one of these files, on a running server
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A bundle's golden decisions are made first, on this machine. If one does not come out, nothing is pushed.

Examples:
  usher push models/retail-bank
  usher push models/retail-bank --prune
  usher push models/retail-bank --author 'An Nguyen' --message 'Raise the floor of the R2 product'
  usher push models/retail-bank/rule-sets/wealth.yaml --no-activate"
)]
pub(super) struct Args {
    /// The folder of a bundle, or the file of a rule set or a schema
    #[arg(value_name = "DIR|FILE")]
    path: PathBuf,
    /// Publish the rule sets, but do not let them decide yet
    #[arg(long, conflicts_with = "prune")]
    no_activate: bool,
    /// Retire the server's active rule sets that are not in the folder. Without this they decide on, and are
    /// named
    #[arg(long)]
    prune: bool,
    /// The schema may have another name than the server's. Without this it is taken for another bank's
    #[arg(long)]
    rename_schema: bool,
    /// Who publishes, kept with each new version of a rule set [env: USHER_AUTHOR]
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    /// Why, kept with each new version of a rule set
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    /// For one file: only if what is active has this tag, which `usher versions` shows
    #[arg(long, value_name = "TAG")]
    if_match: Option<String>,
    /// Print the server's answer, or its errors, as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let is_bundle = args.path.is_dir();
    if args.prune && !is_bundle {
        let why = "--prune retires what is not in a folder, and this is a file";
        return Err(Failure::new(format!("{}: {why}", args.path.display())));
    }
    if args.if_match.is_some() && is_bundle {
        let why = "--if-match is for one file, and this is a folder, whose files have many tags";
        return Err(Failure::new(format!("{}: {why}", args.path.display())));
    }
    let sources = if is_bundle {
        let bundle = Bundle::read(&args.path)?;
        tell_doubts(&bundle);
        if let Err(problems) = bundle.check_golden() {
            return Ok(args.refuse(&problems));
        }
        std::iter::once(bundle.schema).chain(bundle.rule_sets).collect()
    } else {
        vec![read_file(&args.path)?]
    };
    let files = match definitions(sources) {
        Ok(files) => files,
        Err(problems) => return Ok(report(&problems, args.json)),
    };
    if let [Definition { rule_set: None, .. }] = &files[..]
        && !is_bundle
        && let Some(flag) = args.note_flag()
    {
        let why = format!("versions of rule sets keep {flag}, and this is a schema");
        return Err(Failure::new(format!("{}: {why}", args.path.display())));
    }
    let mut client = args.server.patient_client()?;
    let answer = match &files[..] {
        [file] if !is_bundle => block_on(push_file(&mut client, file, args))?,
        _ => block_on(push_bundle(&mut client, &files, args))?,
    };
    if !answer.status.is_success() {
        return Ok(args.refuse(&answer.problems(&files)));
    }
    let answer = answer.json()?;
    if args.json {
        say!("{answer}");
    } else if is_bundle {
        tell_bundle(&files, &answer, &args.path);
    } else {
        files.iter().for_each(|file| tell_file(file, &answer));
    }
    Ok(Ending::Done)
}

impl Args {
    /// Who publishes and why, as further parameters of a query.
    fn note(&self) -> String {
        let author = self.author.clone().or_else(|| variable("USHER_AUTHOR"));
        let parameter = |name: &str, value: Option<&str>| {
            value.map_or_else(String::new, |value| format!("&{name}={}", encoded(value)))
        };
        parameter("author", author.as_deref()) + &parameter("message", self.message.as_deref())
    }

    /// The flag that says who publishes, or why.
    fn note_flag(&self) -> Option<&'static str> {
        match (&self.author, &self.message) {
            (Some(_), Some(_)) => Some("--author and --message"),
            (Some(_), None) => Some("--author"),
            (None, Some(_)) => Some("--message"),
            (None, None) => None,
        }
    }

    /// Reports why nothing was pushed.
    fn refuse(&self, problems: &Problems) -> Ending {
        let ending = report(problems, self.json);
        if self.path.is_dir() && !self.json {
            complain!("nothing in {} was published", self.path.display());
        }
        ending
    }
}

/// Prints what looks like a mistake in the folder and the schema. The server tells of the rule sets.
fn tell_doubts(bundle: &Bundle) {
    let words = bundle.parse_schema().map(|schema| schema.doubts()).unwrap_or_default(); // errors come with the answer
    for problem in bundle.doubts.iter().cloned().chain(bundle.schema.doubts()).chain(words) {
        complain!("{}", Problem { detail: format!("warning: {}", problem.detail), ..problem });
    }
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
    args: &Args,
) -> Result<ServerAnswer, Failure> {
    let schema = files.first().map_or("", |file| &file.source.text);
    let rule_sets = files.iter().skip(1);
    let rule_sets: Vec<Value> =
        rule_sets.map(|file| json!({"file": file.file_name(), "text": file.source.text})).collect();
    let body = json!({"schema": schema, "rule_sets": rule_sets}).to_string();
    let headers = [(header::CONTENT_TYPE, "application/json")];
    let mut path = format!("/v1/bundle?activate={}", !args.no_activate);
    for (name, is_said) in [("prune", args.prune), ("rename_schema", args.rename_schema)] {
        if is_said {
            path.push_str(&format!("&{name}=true"));
        }
    }
    path.push_str(&args.note());
    client.send(Method::PUT, &path, &headers, body).await
}

async fn push_file(client: &mut Client, file: &Definition, args: &Args) -> Result<ServerAnswer, Failure> {
    let path = match &file.rule_set {
        Some(name) => {
            format!("/v1/rule-sets/{}?activate={}{}", encoded(name), !args.no_activate, args.note())
        }
        None if args.rename_schema => "/v1/schema?rename_schema=true".to_owned(),
        None => "/v1/schema".to_owned(),
    };
    let mut headers = if_match(args.if_match.as_deref());
    headers.push((header::CONTENT_TYPE, "application/yaml".to_owned()));
    client.send(Method::PUT, &path, &headers, file.source.text.clone()).await
}

fn tell_bundle(files: &[Definition], answer: &Value, folder: &Path) {
    let names = |key: &str| answer[key].as_array().into_iter().flatten().filter_map(Value::as_str);
    say!("schema: in force");
    for rule_set in answer["rule_sets"].as_array().into_iter().flatten() {
        say!("{}", rule_set_text(rule_set["name"].as_str().unwrap_or("?"), rule_set));
    }
    names("retired").for_each(|name| say!("{name}: retired"));
    say!("compiled in {} µs", answer["compiled_in_us"]);
    tell_warnings(files, answer);
    let others: Vec<&str> = names("still_active").collect();
    if !others.is_empty() {
        complain!(
            "warning: not in {}, but still active on the server: {}",
            folder.display(),
            others.join(", ")
        );
        complain!("  = `usher push {} --prune` retires what the folder does not have", folder.display());
    }
}

fn tell_file(file: &Definition, answer: &Value) {
    let Some(name) = &file.rule_set else {
        say!("schema: in force");
        return;
    };
    say!("{}, compiled in {} µs", rule_set_text(name, answer), answer["compiled_in_us"]);
    tell_warnings(std::slice::from_ref(file), answer);
}

/// Prints warnings in the form of problems.
fn tell_warnings(files: &[Definition], answer: &Value) {
    for (kind, warning) in warnings(answer, files) {
        let detail = format!("warning: {} [{kind}]", warning.detail);
        complain!("{}", Problem { detail, ..warning });
    }
}

fn rule_set_text(name: &str, answer: &Value) -> String {
    let state = match (answer["active"] == true, answer["new"] == false) {
        (true, false) => "active",
        (true, true) => "active (the server had this text)",
        (false, false) => "published, not active",
        (false, true) => "not active (the server had this text)",
    };
    format!("{name}: version {} {state}", answer["version"])
}
