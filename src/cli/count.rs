//! `usher count`: counts the customers of a running server for whom a condition holds.

use hyper::StatusCode;
use serde_json::json;

use super::client::ServerArgs;
use super::ending::{Ending, Failure, block_on, report};

/// Ask a running server for how many customers a condition holds
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  usher count 'age >= 60'
  usher count 'tag.affluent && consent_marketing' --rule-set wealth")]
pub(super) struct Args {
    /// The condition to count for, such as age >= 60
    condition: String,
    /// The rule set whose tags the condition may use as `tag.NAME`
    #[arg(long, value_name = "NAME")]
    rule_set: Option<String>,
    /// Print the server's answer, or its errors, as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let mut client = args.server.client()?;
    let mut request = json!({"when": args.condition});
    if let Some(rule_set) = &args.rule_set {
        request["rule_set"] = rule_set.as_str().into();
    }
    let answer = block_on(client.post_json("/v1/audiences/count", &request))?;
    if answer.status == StatusCode::UNPROCESSABLE_ENTITY {
        return Ok(report(&answer.problems_in("condition", &args.condition), args.json));
    }
    let json = answer.success()?;
    if args.json {
        say!("{json}");
    } else {
        say!("{}", text_of(json["matching"].as_u64(), json["total"].as_u64()));
    }
    Ok(Ending::Done)
}

fn text_of(matching: Option<u64>, total: Option<u64>) -> String {
    let (matching, total) = (matching.unwrap_or_default(), total.unwrap_or_default());
    let share = if total == 0 { 0.0 } else { 100.0 * matching as f64 / total as f64 };
    format!("{matching} of {total} customers ({share:.2} %)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_said_with_their_share() {
        assert_eq!(text_of(Some(12), Some(96)), "12 of 96 customers (12.50 %)");
        assert_eq!(text_of(Some(0), Some(0)), "0 of 0 customers (0.00 %)");
    }
}
