//! `usher explain`: why a customer is shown one offer on a placement or is not, in two sentences.

use serde_json::{Value, json};

use super::client::ServerArgs;
use super::decide::{explanations, read_pair, request_context, way_text};
use super::ending::{Ending, Failure, block_on, report};
use crate::input::problem::{Problems, nearest};

/// Say in two sentences why a customer is shown an offer on a placement, or is not
#[derive(Debug, clap::Args)]
#[command(after_help = "It decides as `usher decide --explain` does, and changes nothing.

Examples:
  usher explain c-1001 home_banner steady_r2
  usher explain c-1001 chat_offer steady_r2 --channel chatbot --locale zh-CN")]
pub(super) struct Args {
    /// The id of the customer
    customer: String,
    /// The placement that the offer would be on
    placement: String,
    /// The name of the offer
    offer: String,
    /// The channel that the placement is on
    #[arg(long, default_value = "app")]
    channel: String,
    /// The language of the treatments, such as zh-CN
    #[arg(long)]
    locale: Option<String>,
    /// A context field of this request; may be given several times
    #[arg(long, value_name = "FIELD=VALUE", value_parser = read_pair)]
    context: Vec<(String, String)>,
    /// Print the sentences and the server's explanation as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let mut request = json!({"customer": args.customer, "channel": args.channel, "explain": true, "strict": true,
        "placements": [{"id": args.placement}]});
    if let Some(locale) = &args.locale {
        request["locale"] = locale.as_str().into();
    }
    if !args.context.is_empty() {
        request["context"] = request_context(&args.context);
    }
    let mut client = args.server.client()?;
    let answer = block_on(client.post_json("/v1/decisions", &request))?;
    if answer.status.is_client_error() {
        return Ok(report(&answer.problems(&[]), args.json));
    }
    let answer = answer.success()?;
    let placement = &answer["placements"][0];
    let Some(explanation) = explanations(placement).find(|each| each["offer"] == *args.offer) else {
        return Ok(report(&unknown(args, placement), args.json));
    };
    let sentences = sentences(args, explanation, placement, answer["known"] == true);
    if args.json {
        say!(
            "{}",
            json!({"customer": args.customer, "placement": args.placement, "offer": args.offer,
                "shown": !explanation["rank"].is_null(), "sentences": sentences, "explanation": explanation})
        );
    } else {
        say!("{}", sentences.join(" "));
    }
    Ok(Ending::Done)
}

/// That the offer is not among those of the placement.
fn unknown(args: &Args, placement: &Value) -> Problems {
    let offers = || explanations(placement).filter_map(|each| each["offer"].as_str());
    let hint = match nearest(&args.offer, offers()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if offers().count() <= 12 => format!("; it has {}", offers().collect::<Vec<_>>().join(", ")),
        None => String::new(),
    };
    Problems::one(format!(
        "no active rule set has an offer `{}` on placement `{}`{hint}",
        args.offer, args.placement
    ))
}

/// What happened, and what would change it.
fn sentences(args: &Args, explanation: &Value, placement: &Value, known: bool) -> [String; 2] {
    let (offer, customer, slot) = (&args.offer, &args.customer, &args.placement);
    let who = if known { format!("`{customer}`") } else { format!("`{customer}`, who is not known,") };
    let stop = &explanation["stopped_by"];
    match explanation["rank"].as_u64() {
        Some(rank) => [
            format!("{} is shown `{offer}` on `{slot}`, at rank {rank}.", capital(&who)),
            "It passed its own condition and all guardrails, caps and budgets, and ranks high enough."
                .to_owned(),
        ],
        None if placement["fallback"] == true && stop.is_null() => [
            format!("{} is shown `{offer}` on `{slot}` as its fallback.", capital(&who)),
            "Nothing else passed.".to_owned(),
        ],
        None => [
            format!(
                "{} is not shown `{offer}` on `{slot}`, because {}.",
                capital(&who),
                because(stop, placement)
            ),
            remedy(stop),
        ],
    }
}

/// What stopped the offer, as the end of a sentence.
fn because(stop: &Value, placement: &Value) -> String {
    let name = stop["name"].as_str().unwrap_or_default();
    let condition = stop["condition"].as_str().unwrap_or_default();
    let counted = match (stop["count"].as_u64(), stop["max"].as_u64()) {
        (Some(count), Some(max)) => format!(" ({count} counted, at most {max})"),
        _ => String::new(),
    };
    let first = placement["propositions"][0]["offer"].as_str();
    match stop["kind"].as_str().unwrap_or_default() {
        "when" => format!("its condition `{condition}` does not hold: {}", values(stop)),
        "guardrail" => {
            format!("the guardrail `{name}` (`{condition}`) does not let it pass: {}", values(stop))
        }
        "variant" => format!("it is for the variant `{name}` only"),
        "holdout" => "the customer is in the holdout".to_owned(),
        "schedule" => format!("its schedule is not open ({name})"),
        "treatment" => format!("it has no treatment for the language `{name}`"),
        "group" => format!("its group `{name}` has its place taken by an offer that ranks higher"),
        "cap" => format!("the cap {name} is reached{counted}"),
        "suppression" => format!("it is suppressed after something they did: {name}{counted}"),
        "budget" => format!("no place is left in the budget `{name}`"),
        "repeated" => "it is already shown in another placement of this request".to_owned(),
        "rank" => match first {
            Some(first) => format!("others rank higher, `{first}` first"),
            None => "others rank higher".to_owned(),
        },
        "deadline" => "the request's time was over before it was looked at".to_owned(),
        other => format!("of {other} {name}"),
    }
}

/// The values that the failed part of a condition read.
fn values(stop: &Value) -> String {
    let known = |value: &Value| if value.is_null() { "missing".to_owned() } else { value.to_string() };
    let values = stop["values"].as_object().into_iter().flatten();
    let values: Vec<String> = values.map(|(term, value)| format!("`{term}` is {}", known(value))).collect();
    if values.is_empty() { "it never does".to_owned() } else { values.join(", ") }
}

/// What would let the offer pass.
fn remedy(stop: &Value) -> String {
    let ways: Vec<String> = stop["lacks"].as_array().into_iter().flatten().map(way_text).collect();
    if !ways.is_empty() {
        return format!("It would pass here with {}.", ways.join(", or with "));
    }
    if let Some(opens) = stop["opens"].as_str() {
        return format!("It opens at {opens}.");
    }
    if let Some(ends) = stop["ends"].as_str() {
        return format!("That ends at {ends}, if nothing else happens.");
    }
    match stop["kind"].as_str().unwrap_or_default() {
        "rank" => "It passed everything else; a higher priority, value or boost would move it up.",
        "group" | "repeated" => "It passed everything else.",
        "treatment" => "A treatment without a locale would serve every language.",
        "variant" | "holdout" => "The arm of a customer never changes while the experiment runs.",
        _ => "Nothing that the customer does would let it pass here.",
    }
    .to_owned()
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_a_sentence_and_what_would_change_it_another() {
        let placement = json!({"fallback": false, "propositions": [{"offer": "gold"}]});
        for (stop, why, then) in [
            (
                json!({"kind": "guardrail", "name": "suitability", "condition": "offer.risk <= risk_class",
                    "values": {"risk_class": null}, "lacks": [[{"term": "risk_class", "needs": "at least R3"}]]}),
                "the guardrail `suitability` (`offer.risk <= risk_class`) does not let it pass: `risk_class` is missing",
                "It would pass here with risk_class at least R3.",
            ),
            (
                json!({"kind": "when", "condition": "age > 60", "values": {"age": 41}, "lacks": [[{"term": "age", "needs": "at least 61"}],
                    [{"term": "vip", "needs": "true"}]]}),
                "its condition `age > 60` does not hold: `age` is 41",
                "It would pass here with age at least 61, or with vip true.",
            ),
            (
                json!({"kind": "rank"}),
                "others rank higher, `gold` first",
                "It passed everything else; a higher priority, value or boost would move it up.",
            ),
            (
                json!({"kind": "cap", "name": "3 per 7d", "count": 3, "max": 3, "ends": "2026-12-01T00:00:00Z"}),
                "the cap 3 per 7d is reached (3 counted, at most 3)",
                "That ends at 2026-12-01T00:00:00Z, if nothing else happens.",
            ),
            (
                json!({"kind": "schedule", "name": "from 2026-12-01", "opens": "2026-12-01T00:00:00Z"}),
                "its schedule is not open (from 2026-12-01)",
                "It opens at 2026-12-01T00:00:00Z.",
            ),
            (
                json!({"kind": "treatment", "name": "fr"}),
                "it has no treatment for the language `fr`",
                "A treatment without a locale would serve every language.",
            ),
        ] {
            assert_eq!((because(&stop, &placement).as_str(), remedy(&stop).as_str()), (why, then));
        }
    }
}
