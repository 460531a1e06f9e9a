//! `usher push`: a bundle's schema and rule sets, or one of these files, to a running server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::{Method, header};

use super::client::{Answer, Client, ServerArgs, encoded};
use super::{Failure, Outcome, block_on, print_problems, problem_json};
use crate::bundle::{Bundle, read_file};
use crate::input::{Cursor, Input};
use crate::problem::{Problems, Source};

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

/// A file that is pushed, with what tells when.
struct Pushed {
    /// The rule set's name; `None` for the schema.
    rule_set: Option<String>,
    order: Order,
    source: Arc<Source>,
}

/// Guardrails first, so that no offer decides before they do; then placements, because others name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Schema,
    Guardrails,
    Placements,
    Other,
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
        match look_at(source) {
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
async fn push_all(client: &mut Client, files: &[Pushed], args: &Args) -> Result<Outcome, Failure> {
    for (done, file) in files.iter().enumerate() {
        let answer = push(client, file, !args.no_activate).await?;
        if !answer.status.is_success() {
            report(&answer.problems(Some(&file.source)), args.json);
            if files.len() > 1 {
                eprintln!(
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

async fn push(client: &mut Client, file: &Pushed, activate: bool) -> Result<Answer, Failure> {
    let path = match &file.rule_set {
        Some(name) => format!("/v1/rule-sets/{}?activate={activate}", encoded(name)),
        None => "/v1/schema".to_owned(),
    };
    let headers = [(header::CONTENT_TYPE, "application/yaml")];
    client.send(Method::PUT, &path, &headers, file.source.text.clone()).await
}

fn tell(file: &Pushed, answer: &Answer, json: bool) -> Result<(), Failure> {
    let answer = answer.json()?;
    if json {
        println!("{answer}");
        return Ok(());
    }
    let Some(name) = &file.rule_set else {
        println!("schema: in force");
        return Ok(());
    };
    let state = if answer["active"] == true { "active" } else { "published, not active" };
    println!("{name}: version {} {state}, compiled in {} µs", answer["version"], answer["compiled_in_us"]);
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        eprintln!(
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
        println!("{}", serde_json::json!({"problems": list, "omitted": problems.omitted}));
    } else {
        print_problems(problems);
    }
}

/// Only what is needed to send the file to the right place: the server checks the rest.
fn look_at(source: Source) -> Result<Pushed, Problems> {
    let source = Arc::new(source);
    let input = Input::from_yaml(&source)?;
    let mut problems = Problems::new();
    let root = Cursor::root(&input, Some(&source));
    let entries = root.entries(&mut problems).unwrap_or_default();
    let field = |name: &str| entries.iter().find(|(field, _)| *field == name).map(|(_, cursor)| cursor);
    problems.or(())?;
    if field("schema").is_some() {
        return Ok(Pushed { rule_set: None, order: Order::Schema, source });
    }
    let mut problems = Problems::new();
    let Some(name) = field("rule_set").and_then(|cursor| cursor.text(&mut problems)) else {
        problems.push(
            root.problem(format!("{} is neither a schema nor a rule set", base_name(&source.name)))
                .hint("a rule set begins with `rule_set: NAME`, a schema with `schema: NAME`"),
        );
        return Err(problems);
    };
    let order = match (field("guardrails"), field("placements")) {
        (Some(_), _) => Order::Guardrails,
        (None, Some(_)) => Order::Placements,
        (None, None) => Order::Other,
    };
    Ok(Pushed { rule_set: Some(name.to_owned()), order, source: Arc::clone(&source) })
}

fn base_name(path: &str) -> &str {
    Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_sent_where_its_first_words_say() {
        let look = |text: &str| look_at(Source { name: "f.yaml".into(), text: text.into() });
        for (text, name, order) in [
            ("schema: s\nfeatures: {}", None, Order::Schema),
            ("rule_set: g\nguardrails: {a: 'true'}\nplacements: {}", Some("g"), Order::Guardrails),
            ("rule_set: p\nplacements: {}", Some("p"), Order::Placements),
            ("{\"rule_set\": \"o\"}", Some("o"), Order::Other),
        ] {
            let file = look(text).unwrap();
            assert_eq!((file.rule_set.as_deref(), file.order), (name, order), "{text}");
        }
        assert!(look("offers: {}").err().unwrap().to_string().contains("neither a schema nor a rule set"));
        assert!(look("a: [").is_err() && look("- 1").is_err() && look("").is_err());
    }
}
