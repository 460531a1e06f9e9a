//! `usher event`: tells a running server what happened to a customer.

use serde_json::{Map, Value, json};

use super::client::ServerArgs;
use super::decide::read_pair;
use super::ending::{Ending, Failure, block_on};

/// Tell the server what happened to a customer
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  usher event page_view c-1001 page=fx_rates seconds=12
  usher event convert c-1001 --token TOKEN value=80
  usher event dismiss c-1001 --offer gold_card --placement home_banner --channel app")]
pub(super) struct Args {
    /// The event's type, as the schema declares it, or impression, click, dismiss or convert
    r#type: String,
    /// The customer to whom it happened
    customer: String,
    /// A property of the event, such as page=home
    #[arg(value_name = "NAME=VALUE", value_parser = read_pair)]
    properties: Vec<(String, String)>,
    /// When it happened: a day, or a time such as 2026-11-21T10:00:00+08:00 [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// An id that makes sending the event again harmless
    #[arg(long)]
    id: Option<String>,
    /// The proposition's token, of an outcome
    #[arg(long)]
    token: Option<String>,
    /// The offer, of an outcome without a token
    #[arg(long)]
    offer: Option<String>,
    /// The placement, of an outcome without a token
    #[arg(long)]
    placement: Option<String>,
    /// The channel, of an outcome without a token
    #[arg(long)]
    channel: Option<String>,
    /// Print the server's answer as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let mut client = args.server.patient_client()?;
    let answer = block_on(async { client.post_json("/v1/events", &args.event()).await })?;
    let body = answer.json()?;
    let rejected = body["rejected"].as_array().is_some_and(|rejected| !rejected.is_empty());
    if !answer.status.is_success() && !rejected {
        return Err(answer.problems(&[]).into());
    }
    if args.json {
        say!("{body}");
    } else if let Some(why) = body["rejected"].get(0) {
        complain!("error: {}", why["detail"].as_str().unwrap_or("rejected"));
        if let Some(hint) = why["hint"].as_str() {
            complain!("  = {hint}");
        }
    } else {
        let what = if body["duplicates"] == 1 { "taken before" } else { "accepted" };
        say!("{what}: {} of {}", args.r#type, args.customer);
        if body["over_budget"].is_array() {
            say!("it was not counted in a budget that is used up");
        }
    }
    Ok(if rejected { Ending::FoundWrong } else { Ending::Done })
}

impl Args {
    /// The event as the server takes it. Its properties are texts, which the server reads as their kinds.
    fn event(&self) -> Value {
        let mut event = Map::new();
        event.insert("type".into(), json!(self.r#type));
        event.insert("customer".into(), json!(self.customer));
        for (name, value) in [
            ("at", &self.at),
            ("id", &self.id),
            ("token", &self.token),
            ("offer", &self.offer),
            ("placement", &self.placement),
            ("channel", &self.channel),
        ] {
            if let Some(value) = value {
                event.insert(name.into(), json!(value));
            }
        }
        if !self.properties.is_empty() {
            let properties: Map<String, Value> =
                self.properties.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            event.insert("properties".into(), properties.into());
        }
        Value::Object(event)
    }
}
