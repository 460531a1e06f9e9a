//! `usher push`: a bundle's schema and rule sets, or one of these files, to a running server.

use std::path::PathBuf;

use hyper::{Method, header};

use super::client::{Answer, Client, ServerArgs, encoded};
use super::definition::Definition;
use super::{Failure, Outcome, block_on, print_problems, problem_json};
use crate::bundle::{Bundle, read_file};
use crate::problem::Problems;

/// Publish a bundle's schema and rule sets, or one of these files, on a running server
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A bundle's folder, a rule set's file or a schema's file
    #[arg(value_name = "DIR|FILE")]
    path: PathBuf,
    /// Publish the rule sets without letting them decide yet
    #[arg(long)]
    no_activate: bool,
    /// Print one JSON document per file
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let sources = if args.path.is_dir() {
        let bundle = Bundle::read(&args.path)?;
        std::iter::once(bundle.schema).chain(bundle.rule_sets).collect()
    } else {
        vec![read_file(&args.path)?]
    };
    let mut files = Vec::new();
    let mut problems = Problems::new();
    for source in sources {
        match Definition::of(source) {
            Ok(file) => files.push(file),
            Err(found) => problems.extend(found),
        }
    }
    if !problems.is_empty() {
        report(&problems, args.json);
        return Ok(Outcome::FoundWrong);
    }
    files.sort_by_key(|file| file.order); // stable: by file name within the same order
    let mut client = Client::new(&args.server.server)?;
    block_on(push_all(&mut client, &files, args))
}

/// Pushes in order until something is wrong: what follows may build on it.
async fn push_all(client: &mut Client, files: &[Definition], args: &Args) -> Result<Outcome, Failure> {
    for (done, file) in files.iter().enumerate() {
        let answer = push(client, file, !args.no_activate).await?;
        if !answer.status.is_success() {
            report(&answer.problems(Some(&file.source)), args.json);
            if files.len() > 1 {
                complain!(
                    "{} of {} files pushed; {} was refused, nothing of it is in force",
                    done,
                    files.len(),
                    file.source.name
                );
            }
            return Ok(Outcome::FoundWrong);
        }
        tell(file, &answer, args.json)?;
    }
    Ok(Outcome::Done)
}

async fn push(client: &mut Client, file: &Definition, activate: bool) -> Result<Answer, Failure> {
    let path = match &file.rule_set {
        Some(name) => format!("/v1/rule-sets/{}?activate={activate}", encoded(name)),
        None => "/v1/schema".to_owned(),
    };
    let headers = [(header::CONTENT_TYPE, "application/yaml")];
    client.send(Method::PUT, &path, &headers, file.source.text.clone()).await
}

fn tell(file: &Definition, answer: &Answer, json: bool) -> Result<(), Failure> {
    let answer = answer.json()?;
    if json {
        say!("{answer}");
        return Ok(());
    }
    let Some(name) = &file.rule_set else {
        say!("schema: in force");
        return Ok(());
    };
    let state = if answer["active"] == true { "active" } else { "published, not active" };
    say!("{name}: version {} {state}, compiled in {} µs", answer["version"], answer["compiled_in_us"]);
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        complain!(
            "{}: warning: {}",
            file.source.name,
            warning.as_str().map_or_else(|| warning.to_string(), str::to_owned)
        );
    }
    Ok(())
}

fn report(problems: &Problems, json: bool) {
    if json {
        let list: Vec<serde_json::Value> = problems.iter().map(problem_json).collect();
        say!("{}", serde_json::json!({"problems": list, "omitted": problems.omitted}));
    } else {
        print_problems(problems);
    }
}
