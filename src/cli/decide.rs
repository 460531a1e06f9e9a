//! `usher decide`: asks a running server what it shows a customer, and why.

mod batch;

use std::path::PathBuf;

use serde_json::{Value, json};

use super::client::ServerArgs;
use super::definition::Definition;
use super::ending::{Ending, Failure, block_on, report};
use super::load::open::Format;
use super::terminal::{bold, colours, dim};
use crate::bundle::read_file;

/// The channel that is asked for unless another is named.
const CHANNEL: &str = "app";

/// Ask a running server what a customer is shown
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  usher decide c-1001 home_banner
  usher decide c-1001 home_banner --locale zh-CN --explain
  usher decide --batch customers.csv home_banner --out answers.ndjson
  usher decide c-1001 home_banner --as-of 2026-12-24 --feature age=17 --draft rule-sets/wealth.yaml")]
pub(super) struct Args {
    /// The id of the customer to decide for; with --batch a placement
    #[arg(required_unless_present = "batch")]
    customer: Option<String>,
    /// One or more placements to fill
    #[arg(required_unless_present = "batch", value_name = "PLACEMENT")]
    placements: Vec<String>,
    /// Decide for everybody in this file: rows with a `customer`, or whole requests if no placement is named
    #[arg(long, value_name = "FILE", requires = "out", conflicts_with_all = ["as_of", "feature", "draft"])]
    batch: Option<PathBuf>,
    /// With --batch: write the answers to this file, a line for each row; it must not be there yet
    #[arg(long, value_name = "FILE", requires = "batch")]
    out: Option<PathBuf>,
    /// With --batch: the file's format [default: from its name]
    #[arg(long, requires = "batch")]
    format: Option<Format>,
    /// The channel that the placements are on [default: app]
    #[arg(long)]
    channel: Option<String>,
    /// How many propositions for each placement [default: the placement's own count]
    #[arg(long, value_name = "N")]
    count: Option<u32>,
    /// The languages of the treatments, such as zh-CN or zh-CN,en
    #[arg(long)]
    locale: Option<String>,
    /// A context field of this request; may be given several times
    #[arg(long, value_name = "FIELD=VALUE", value_parser = read_pair)]
    context: Vec<(String, String)>,
    /// Preview: what would be shown at this day or time
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// Preview: a feature that is supposed; may be given several times, and `null` clears it
    #[arg(long, value_name = "NAME=VALUE", value_parser = read_pair)]
    feature: Vec<(String, String)>,
    /// Preview: decide with this rule set as if it were published
    #[arg(long, value_name = "FILE")]
    draft: Option<PathBuf>,
    /// Tell for every offer why it is or is not shown, and the customer's variants
    #[arg(long)]
    explain: bool,
    /// Print the server's answer unchanged, or its errors, as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    if let (Some(file), Some(out)) = (&args.batch, &args.out) {
        return batch::run(args, file, out);
    }
    let draft =
        args.draft.as_deref().map(|path| read_file(path).map(Definition::of)).transpose()?.transpose();
    let draft = match draft {
        Ok(draft) => draft,
        Err(problems) => return Ok(report(&problems, args.json)),
    };
    let mut client = args.server.patient_client()?;
    let mut request = request(args, args.customer.as_deref(), &args.placements);
    let path =
        if suppose(args, draft.as_ref(), &mut request)? { "/v1/decisions/preview" } else { "/v1/decisions" };
    let answer = block_on(client.post_json(path, &request))?;
    if answer.status.is_client_error() {
        return Ok(report(&answer.problems(draft.as_slice()), args.json));
    }
    let json = answer.success()?;
    if args.json {
        say!("{json}");
    } else {
        say!("{}", text_of(&json, colours()));
    }
    Ok(Ending::Done)
}

/// The request as the arguments have it, with this customer.
fn request<'a>(
    args: &Args,
    customer: Option<&str>,
    placements: impl IntoIterator<Item = &'a String>,
) -> Value {
    let placements = placements.into_iter().map(|id| match args.count {
        Some(count) => json!({"id": id, "count": count}),
        None => json!({"id": id}),
    });
    let mut request =
        json!({"customer": customer, "channel": args.channel.as_deref().unwrap_or(CHANNEL), "strict": true});
    request["placements"] = placements.collect();
    if let Some(locale) = &args.locale {
        request["locale"] = locale.as_str().into();
    }
    if args.explain {
        request["explain"] = true.into();
        request["variants"] = true.into();
    }
    if !args.context.is_empty() {
        request["context"] = request_context(&args.context);
    }
    request
}

/// Adds what is supposed, and says whether anything is: then nothing is shown, held or counted.
fn suppose(args: &Args, draft: Option<&Definition>, request: &mut Value) -> Result<bool, Failure> {
    if let Some(at) = &args.as_of {
        request["as_of"] = at.as_str().into();
    }
    if !args.feature.is_empty() {
        let supposed = |(name, value): &(String, String)| {
            (name.clone(), if value == "null" { Value::Null } else { context_value(value) })
        };
        request["features"] = Value::Object(args.feature.iter().map(supposed).collect());
    }
    if let Some(draft) = draft {
        let Some(name) = &draft.rule_set else {
            return Err(Failure::new(format!(
                "{}: a draft is a rule set, and this is a schema",
                draft.source.name
            )));
        };
        request["rule_set"] = json!({"name": name, "text": draft.source.text});
    }
    Ok(args.as_of.is_some() || !args.feature.is_empty() || draft.is_some())
}

/// The fields of a request's context.
pub(super) fn request_context(fields: &[(String, String)]) -> Value {
    Value::Object(fields.iter().map(|(name, value)| (name.clone(), context_value(value))).collect())
}

pub(super) fn read_pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Reads numbers, booleans and lists as JSON. Everything else is a text.
fn context_value(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::String(_))) => value,
        _ => text.into(),
    }
}

/// The answer in a form for people.
pub(super) fn text_of(answer: &Value, colours: bool) -> String {
    let mut out = String::new();
    if answer["known"] == false {
        out.push_str(&dim("this customer is not known", colours));
        out.push('\n');
    }
    if answer["degraded"] == true {
        out.push_str("degraded: the deadline passed before everything was decided\n");
    }
    if answer["holdout"] == true {
        out.push_str(&dim("this customer is in the holdout", colours));
        out.push('\n');
    }
    for (experiment, variant) in answer["variants"].as_object().into_iter().flatten() {
        let variant = variant.as_str().map_or("no variant".into(), |variant| format!("variant {variant}"));
        out.push_str(&dim(&format!("experiment {experiment}: {variant}"), colours));
        out.push('\n');
    }
    for placement in answer["placements"].as_array().into_iter().flatten() {
        let fallback = if placement["fallback"] == true { " (fallback)" } else { "" };
        out.push_str(&format!("{}{fallback}\n", bold(text(&placement["id"]), colours)));
        for proposition in placement["propositions"].as_array().into_iter().flatten() {
            out.push_str(&proposition_text(proposition, colours));
        }
        for explanation in explanations(placement) {
            out.push_str(&explanation_text(explanation, colours));
        }
    }
    out
}

fn proposition_text(proposition: &Value, colours: bool) -> String {
    let mut out = format!("  {}. {}", proposition["rank"], bold(text(&proposition["offer"]), colours));
    out.push_str(&format!("  {}", dim(text(&proposition["treatment"]), colours)));
    if let Some(score) = proposition["score"].as_f64().filter(|score| *score != 0.0) {
        out.push_str(&dim(&format!("  score {}", short(score)), colours));
    }
    out.push('\n');
    if let Some(reason) = proposition["reason"].as_str() {
        out.push_str(&format!("     {reason}\n"));
    }
    out.push_str(&format!("     {}\n", dim(&proposition["content"].to_string(), colours)));
    out
}

/// The explanations of a placement: for every offer, why it was or was not shown.
pub(super) fn explanations(placement: &Value) -> impl Iterator<Item = &Value> {
    placement["explanations"].as_array().into_iter().flatten()
}

fn explanation_text(explanation: &Value, colours: bool) -> String {
    let shown = !explanation["rank"].is_null();
    let mark = if shown { "+" } else { "-" };
    let mut why = stop_text(&explanation["stopped_by"]).unwrap_or_else(|| "shown".into());
    for budget in explanation["places"].as_array().into_iter().flatten() {
        why.push_str(&format!("; they have a place in budget {}", text(budget)));
    }
    let learned = learned_text(&explanation["learned"]).unwrap_or_default();
    dim(&format!("  {mark} {}: {why}{learned}", text(&explanation["offer"])), colours) + "\n"
}

/// What outcomes taught about an offer that learns.
fn learned_text(learned: &Value) -> Option<String> {
    let (yes, no) = (learned["yes"].as_f64()?, learned["no"].as_f64()?);
    Some(format!("; learned from {} yes and {} no, {} pending", short(yes), short(no), learned["pending"]))
}

/// What stopped an offer, in one line. `None` if nothing did.
pub(super) fn stop_text(stop: &Value) -> Option<String> {
    let mut out = match stop["kind"].as_str()? {
        "rank" => "others rank higher".to_owned(),
        "holdout" => "the customer is in the holdout".to_owned(),
        "repeated" => "already shown in another placement".to_owned(),
        "budget" => "no place left in budget".to_owned(),
        kind => kind.to_owned(),
    };
    if let Some(name) = stop["name"].as_str().filter(|name| !name.is_empty()) {
        out.push_str(&format!(" {name}"));
    }
    if let (Some(count), Some(max)) = (stop["count"].as_u64(), stop["max"].as_u64()) {
        out.push_str(&format!(": counted {count}, at most {max}"));
    } else if let Some(max) = stop["max"].as_u64() {
        out.push_str(&format!(", which has {max}"));
    }
    if let Some(condition) = stop["condition"].as_str() {
        out.push_str(&format!(": {condition}"));
    }
    if let Some(line) = stop["line"].as_u64() {
        out.push_str(&format!(" (line {line})"));
    }
    if let Some(values) = stop["values"].as_object().filter(|values| !values.is_empty()) {
        let known = |value: &Value| if value.is_null() { "missing".to_owned() } else { value.to_string() };
        let values: Vec<String> =
            values.iter().map(|(term, value)| format!("{term} is {}", known(value))).collect();
        out.push_str(&format!(", {}", values.join(", ")));
    }
    let ways: Vec<String> = stop["lacks"].as_array().into_iter().flatten().map(way_text).collect();
    if !ways.is_empty() {
        out.push_str(&format!("; needs {}", ways.join(", or ")));
    }
    if let Some(opens) = stop["opens"].as_str() {
        out.push_str(&format!(", opens at {opens}"));
    }
    if let Some(ends) = stop["ends"].as_str() {
        out.push_str(&format!(", ends at {ends}"));
    }
    Some(out)
}

/// What is missing for one way to pass.
pub(super) fn way_text(way: &Value) -> String {
    let lacks = way.as_array().into_iter().flatten();
    let lacks: Vec<String> =
        lacks.map(|lack| format!("{} {}", text(&lack["term"]), text(&lack["needs"]))).collect();
    lacks.join(" and ")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn short(score: f64) -> String {
    let text = format!("{score:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_read_well() {
        let answer = json!({"known": false, "degraded": false, "variants": {"rate": null, "style": "photo"}, "placements": [{"id": "home_banner", "fallback": true,
            "propositions": [{"offer": "brand", "treatment": "home_banner.zh", "rank": 1, "score": 42.50, "reason": "您好",
                "content": {"title": "x"}}],
            "explanations": [{"offer": "fund", "eligible": false, "rank": null, "stopped_by": {"kind": "guardrail",
                "name": "suitability", "condition": "offer.risk <= risk_class", "line": 7, "values": {"age": null, "risk_class": "R2"},
                "lacks": [[{"term": "risk_class", "is": "R2", "needs": "at least R3"}], [{"term": "age", "is": null, "needs": "at least 18"},
                {"term": "aum", "is": 3, "needs": "above 7"}]]}, "learned": {"yes": 1.5, "no": 30.0, "pending": 4}}]}]});
        let expected = "this customer is not known\nexperiment rate: no variant\nexperiment style: variant photo\nhome_banner (fallback)\n  1. brand  home_banner.zh  score 42.5\n     您好\n     \
            {\"title\":\"x\"}\n  - fund: guardrail suitability: offer.risk <= risk_class (line 7), age is missing, \
            risk_class is \"R2\"; needs risk_class at least R3, or age at least 18 and aum above 7; learned from 1.5 yes and \
            30 no, 4 pending\n";
        assert_eq!(text_of(&answer, false), expected);
    }

    #[test]
    fn what_caps_and_budgets_stopped_says_what_was_counted_and_when_it_ends() {
        for (stop, expected) in [
            (
                json!({"kind": "cap", "name": "3 per 7d, scope offer", "line": 7, "count": 4, "max": 3, "ends": "2026-11-27T10:00:00Z"}),
                "cap 3 per 7d, scope offer: counted 4, at most 3 (line 7), ends at 2026-11-27T10:00:00Z",
            ),
            (
                json!({"kind": "suppression", "name": "convert forever", "line": 8, "count": 1, "max": 0}),
                "suppression convert forever: counted 1, at most 0 (line 8)",
            ),
            (
                json!({"kind": "budget", "name": "gift", "line": 9, "max": 200}),
                "no place left in budget gift, which has 200 (line 9)",
            ),
        ] {
            assert_eq!(stop_text(&stop).unwrap(), expected);
        }
    }

    #[test]
    fn context_values_are_texts_unless_they_look_otherwise() {
        for (text, value) in [
            ("home", json!("home")),
            ("5", json!(5)),
            ("true", json!(true)),
            ("null", json!("null")),
            ("\"5\"", json!("5")),
        ] {
            assert_eq!(context_value(text), value);
        }
    }
}
