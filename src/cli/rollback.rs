//! `usher rollback`: makes the previously active version of a rule set active again.

use hyper::{Method, StatusCode};

use super::client::{ServerArgs, encoded, if_match};
use super::ending::{Ending, Failure, block_on, report};

/// Go back to the version of a rule set that was active before
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: usher rollback wealth")]
pub(super) struct Args {
    /// The name of the rule set
    name: String,
    /// Only if the active version has this tag, which `usher versions` shows
    #[arg(long, value_name = "TAG")]
    if_match: Option<String>,
    /// Print the server's answer, or its errors, as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let mut client = args.server.client()?;
    let path = format!("/v1/rule-sets/{}/rollback", encoded(&args.name));
    let answer = block_on(client.send(Method::POST, &path, &if_match(args.if_match.as_deref()), ""))?;
    if matches!(
        answer.status,
        StatusCode::NOT_FOUND
            | StatusCode::CONFLICT
            | StatusCode::PRECONDITION_FAILED
            | StatusCode::UNPROCESSABLE_ENTITY
    ) {
        return Ok(report(&answer.problems(&[]), args.json));
    }
    let json = answer.success()?;
    if args.json {
        say!("{json}");
    } else {
        say!("{}: version {} is active again", args.name, json["version"]);
    }
    Ok(Ending::Done)
}
