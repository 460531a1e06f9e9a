//! `usher versions`: the rule sets of a running server, or the versions of one.

use hyper::header;
use serde_json::{Value, json};

use super::client::{ServerArgs, encoded};
use super::ending::{Ending, Failure, block_on, report};
use super::terminal::thousands;

/// List the rule sets of a running server, or the versions of one rule set
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  usher versions
  usher versions wealth")]
pub(super) struct Args {
    /// The name of a rule set; without it, all rule sets are listed
    name: Option<String>,
    /// Print the list as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    block_on(list(args))
}

async fn list(args: &Args) -> Result<Ending, Failure> {
    let mut client = args.server.client()?;
    let Some(name) = &args.name else {
        let all = client.get("/v1/rule-sets").await?.success()?;
        if args.json {
            say!("{all}");
        } else {
            all["rule_sets"].as_array().into_iter().flatten().for_each(|one| say!("{}", line(one)));
        }
        return Ok(Ending::Done);
    };
    let path = format!("/v1/rule-sets/{}", encoded(name));
    let answer = client.get(&format!("{path}/versions")).await?;
    if answer.status.is_client_error() {
        return Ok(report(&answer.problems(&[]), args.json));
    }
    let mut versions = answer.success()?;
    let active = client.get(&path).await?;
    let tag = active.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok());
    versions["tag"] = tag.map_or(Value::Null, |tag| json!(tag));
    if args.json {
        say!("{versions}");
    } else {
        let all = versions["versions"].as_array().into_iter().flatten();
        all.rev().for_each(|version| say!("{}", version_line(version)));
        if let Some(tag) = tag {
            say!("tag of the active version, for --if-match: {}", tag.trim_matches('"'));
        }
    }
    Ok(Ending::Done)
}

fn line(rule_set: &Value) -> String {
    let name = rule_set["name"].as_str().unwrap_or("?");
    let active = match rule_set["active"].as_u64() {
        Some(version) => format!("version {version} is active"),
        None => "no version is active".to_owned(),
    };
    let count = rule_set["versions"].as_u64().unwrap_or(0);
    format!("{name}: {active}, {count} {} kept", if count == 1 { "version" } else { "versions" })
}

/// One version: its number, its size, and who published it, when and why, as far as that is known.
fn version_line(version: &Value) -> String {
    let active = if version["active"] == true { "active, " } else { "" };
    let bytes = thousands(version["bytes"].as_u64().unwrap_or(0));
    let mut out = format!("version {}: {active}{bytes} bytes", version["version"]);
    if let Some(at) = version["published"].as_str() {
        out.push_str(&format!(", published {at}"));
    }
    if let Some(author) = version["author"].as_str() {
        out.push_str(&format!(" by {author}"));
    }
    if let Some(message) = version["message"].as_str() {
        out.push_str(&format!(": {message}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_says_what_is_known_of_it() {
        for (version, expected) in [
            (json!({"version": 1, "active": false, "bytes": 1234}), "version 1: 1,234 bytes"),
            (
                json!({"version": 2, "active": true, "bytes": 5, "published": "2026-11-30T10:00:00Z", "author": "An", "message": "raise the floor"}),
                "version 2: active, 5 bytes, published 2026-11-30T10:00:00Z by An: raise the floor",
            ),
        ] {
            assert_eq!(version_line(&version), expected);
        }
        assert_eq!(
            line(&json!({"name": "a", "active": null, "versions": 1})),
            "a: no version is active, 1 version kept"
        );
    }
}
