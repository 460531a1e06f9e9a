//! `usher diff`: what two versions of a rule set say differently, by meaning.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::client::{Client, ServerArgs, encoded};
use super::ending::{Ending, Failure, block_on, report};
use super::terminal::{bold, colours};
use crate::bundle::read_file;
use crate::input::document::Input;
use crate::input::problem::{Problems, Source};
use crate::insight::difference::{Difference, DifferenceKind, FieldDifference, differences};

/// Show what two versions of a rule set say differently, by meaning: offers added, gone and changed
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A and B are the number of a version, one of the words active, previous and latest, or a file. Order, layout \
and comments mean nothing. Exit code 1 if the two differ.

Examples:
  usher diff wealth                                  the active version against the one before
  usher diff wealth 3 4
  usher diff wealth active rule-sets/wealth.yaml     what a push of this file would change"
)]
pub(super) struct Args {
    /// The name of the rule set
    name: String,
    /// The first version or file
    #[arg(value_name = "A", default_value = "previous")]
    before: String,
    /// The second version or file
    #[arg(value_name = "B", default_value = "active")]
    after: String,
    /// Print the differences as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// The longest line on which both sides of a field stand.
const MAX_LINE: usize = 100;

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let sources = match block_on(read(args))? {
        Ok(sources) => sources,
        Err(problems) => return Ok(report(&problems, args.json)),
    };
    let trees: Result<Vec<Input<'_>>, Problems> = sources.iter().map(Input::from_yaml).collect();
    let trees = match trees {
        Ok(trees) => trees,
        Err(problems) => return Ok(report(&problems, args.json)),
    };
    let (found, omitted) = differences(&trees[0], &trees[1]);
    if args.json {
        let names = sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>();
        let all: Vec<Value> = found.iter().map(difference_json).collect();
        say!("{}", json!({"before": names[0], "after": names[1], "differences": all, "omitted": omitted}));
    } else {
        tell(args, &sources, &found, omitted);
    }
    Ok(if found.is_empty() { Ending::Done } else { Ending::FoundWrong })
}

/// Both texts, or why one of them cannot be had.
async fn read(args: &Args) -> Result<Result<[Arc<Source>; 2], Problems>, Failure> {
    let mut client = args.server.client()?;
    let mut found = Vec::with_capacity(2);
    for side in [&args.before, &args.after] {
        match source(&mut client, &args.name, side).await? {
            Ok(source) => found.push(Arc::new(source)),
            Err(problems) => return Ok(Err(problems)),
        }
    }
    let [before, after] = <[Arc<Source>; 2]>::try_from(found).unwrap_or_default();
    Ok(Ok([before, after]))
}

async fn source(client: &mut Client, name: &str, side: &str) -> Result<Result<Source, Problems>, Failure> {
    let is_version =
        side.bytes().all(|b| b.is_ascii_digit()) || ["active", "previous", "latest"].contains(&side);
    if !is_version || Path::new(side).is_file() {
        return Ok(read_file(Path::new(side)));
    }
    let path = format!("/v1/rule-sets/{}/versions", encoded(name));
    let answer = client.get(&path).await?;
    if answer.status.is_client_error() {
        return Ok(Err(answer.problems(&[])));
    }
    let versions = answer.success()?;
    let latest = versions["versions"].as_array().and_then(|all| all.last()).map(|last| &last["version"]);
    let number = match side {
        "active" | "previous" => versions[side].as_u64(),
        "latest" => latest.and_then(Value::as_u64),
        number => number.parse().ok(),
    };
    let Some(number) = number else {
        let detail =
            format!("rule set `{name}` has no {side} version; `usher versions {name}` lists what it has");
        return Ok(Err(Problems::one(detail)));
    };
    let answer = client.get(&format!("{path}/{number}")).await?;
    if !answer.status.is_success() {
        return Ok(Err(answer.problems(&[])));
    }
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    Ok(Ok(Source { name: format!("{name} version {number}"), text }))
}

fn tell(args: &Args, sources: &[Arc<Source>], found: &[Difference], omitted: usize) {
    let (before, after) = (&sources[0].name, &sources[1].name);
    if found.is_empty() {
        say!("{before} and {after} say the same about {}", args.name);
        return;
    }
    let colours = colours();
    say!("- {before}\n+ {after}");
    for difference in found {
        say!("\n{}", bold(&heading(difference), colours));
        difference.fields.iter().for_each(|field| say!("{}", field_text(field, difference.kind)));
    }
    if omitted > 0 {
        say!("\nand {omitted} more");
    }
}

/// `+ offer gold`, `~ tag young`, `~ description`.
fn heading(difference: &Difference) -> String {
    let sign = match difference.kind {
        DifferenceKind::Added => "+",
        DifferenceKind::Gone => "-",
        DifferenceKind::Changed => "~",
    };
    match &difference.name {
        Some(name) => format!("{sign} {} {name}", difference.section.trim_end_matches('s')),
        None => format!("{sign} {}", difference.section),
    }
}

/// A field: both sides on one line, or below each other if they are long.
fn field_text(field: &FieldDifference, kind: DifferenceKind) -> String {
    let name = if field.field.is_empty() { String::new() } else { format!("{}: ", field.field) };
    let (before, after) = (field.before.as_deref(), field.after.as_deref());
    match (before, after, kind) {
        (None, Some(only), DifferenceKind::Added) | (Some(only), None, DifferenceKind::Gone) => {
            format!("    {name}{only}")
        }
        (Some(before), Some(after), _) => {
            let line = format!("    {name}{before}  →  {after}");
            if line.chars().count() <= MAX_LINE {
                line
            } else {
                let name = if name.is_empty() { name } else { format!("    {}\n", name.trim_end()) };
                format!("{name}      - {before}\n      + {after}")
            }
        }
        (None, Some(after), _) => format!("    {name}nothing  →  {after}"),
        (Some(before), None, _) => format!("    {name}{before}  →  nothing"),
        (None, None, _) => format!("    {name}"),
    }
}

fn difference_json(difference: &Difference) -> Value {
    let field =
        |field: &FieldDifference| json!({"field": field.field, "before": field.before, "after": field.after});
    json!({
        "section": difference.section,
        "name": difference.name,
        "kind": difference.kind.name(),
        "fields": difference.fields.iter().map(field).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_shows_both_sides() {
        let text = |before: Option<&str>, after: Option<&str>, kind| {
            let (before, after) = (before.map(str::to_owned), after.map(str::to_owned));
            field_text(&FieldDifference { field: "when".into(), before, after }, kind)
        };
        let long = "x".repeat(MAX_LINE);
        for (before, after, kind, expected) in [
            (Some("a"), Some("b"), DifferenceKind::Changed, "    when: a  →  b".to_owned()),
            (None, Some("b"), DifferenceKind::Changed, "    when: nothing  →  b".to_owned()),
            (Some("a"), None, DifferenceKind::Changed, "    when: a  →  nothing".to_owned()),
            (None, Some("b"), DifferenceKind::Added, "    when: b".to_owned()),
            (Some("a"), None, DifferenceKind::Gone, "    when: a".to_owned()),
            (
                Some("a"),
                Some(&*long),
                DifferenceKind::Changed,
                format!("    when:\n      - a\n      + {long}"),
            ),
        ] {
            assert_eq!(text(before, after, kind), expected);
        }
    }
}
