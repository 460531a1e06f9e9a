//! `usher compact`: has a running server take a snapshot and remove older files.

use hyper::{Method, StatusCode};
use serde_json::Value;

use super::client::{NO_HEADERS, ServerArgs};
use super::ending::{Ending, Failure, block_on, report};
use super::terminal::thousands;

/// Have a running server take a snapshot now and remove older files, and with them all erased customers
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: usher compact

The snapshot holds everything that was acknowledged before. After it no file that the server uses holds a customer who was \
    erased before. Files that `usher repair` kept are not touched.")]
pub(super) struct Args {
    /// Print the server's answer, or its errors, as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let mut client = args.server.client()?;
    let answer = block_on(client.send(Method::POST, "/v1/snapshots", NO_HEADERS, ""))?;
    if answer.status == StatusCode::CONFLICT {
        return Ok(report(&answer.problems(&[]), args.json));
    }
    let json = answer.success()?;
    say!("{}", if args.json { json.to_string() } else { line(&json) });
    Ok(Ending::Done)
}

fn line(taken: &Value) -> String {
    let number = |field: &str| thousands(taken[field].as_u64().unwrap_or(0));
    let text = |field: &str| taken[field].as_str().unwrap_or("?");
    format!(
        "snapshot taken at {}: sequence {}, {} customers, {} bytes, digest {}",
        text("taken_at"),
        number("sequence"),
        number("customers"),
        number("bytes"),
        text("digest"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_gets_one_line() {
        let taken = serde_json::json!({"sequence": 1200, "customers": 100_000, "bytes": 19_000_000,
            "digest": "00000000000000ab", "taken_at": "2026-11-21T10:00:00Z"});
        let expected = "snapshot taken at 2026-11-21T10:00:00Z: sequence 1,200, 100,000 customers, 19,000,000 bytes, \
                        digest 00000000000000ab";
        assert_eq!(line(&taken), expected);
    }
}
