//! Every document in JSON and in MessagePack: both must say the same. MessagePack alone carries lengths, so
//! only a reader of it notices a wrong one.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::{RULES, Running, SCHEMA, running};

/// Requests for every kind of document, with the expected status. They build on each other.
const DOCUMENTS: [(&str, &str, &str, u16); 47] = [
    (
        "PUT",
        "/v1/customers/c-1",
        r#"{"age": 41, "aum": 600000.5, "tier": "gold", "interests": ["funds", "gold"]}"#,
        200,
    ),
    ("PATCH", "/v1/customers/c-1", r#"{"since": "2026-01-01T00:00:00Z", "tier": null}"#, 200),
    ("POST", "/v1/events", r#"[{"type": "clik", "customer": "c-1"}]"#, 422),
    ("GET", "/v1/customers/c-1", "", 200),
    ("POST", "/v1/customers", "customer,age\nc-2,17\nc-3,999\nc-4\n", 200),
    ("POST", "/v1/customers?max_errors=0", "customer,age\nc-2,x\n", 422),
    ("POST", "/v1/customers", "customer,aeg\n", 400),
    ("GET", "/v1/decisions?customer=c-1&channel=app&placement=home&explain=true", "", 200),
    (
        "POST",
        "/v1/decisions",
        r#"{"customer": "c-2", "channel": "app", "explain": true, "placements": [{"id": "home"}]}"#,
        200,
    ),
    (
        "POST",
        "/v1/decisions",
        r#"{"customer": "c-9", "channel": "chatbot", "placements": [{"id": "chat"}]}"#,
        200,
    ),
    (
        "POST",
        "/v1/decisions",
        r#"{"customer": "", "channel": "ap", "placement": [], "context": {"pag": 1}}"#,
        400,
    ),
    (
        "POST",
        "/v1/decisions",
        r#"{"customer": "c-2", "channel": "app", "placements": [{"id": "hoem"}, {"id": "home"}, 7], "context": {"pag": 1},
        "variants": true, "locale": ["zh", "中"]}"#,
        200,
    ),
    (
        "POST",
        "/v1/decisions/preview",
        r#"{"customer": "c-2", "channel": "app", "placements": [{"id": "home"}], "as_of": "2024-06-01",
        "features": {"age": 41}, "explain": true}"#,
        200,
    ),
    ("POST", "/v1/decisions/preview", r#"{"customer": "c-2", "as_of": "soon"}"#, 400),
    ("POST", "/v1/decisions", r#"{"customer": 1,"#, 400),
    ("GET", "/v1/decisions", "", 400),
    (
        "POST",
        "/v1/events",
        r#"[{"type": "impression", "customer": "c-1", "offer": "steady", "placement": "home", "channel": "app"},
        {"type": "clik", "customer": "c-1"}, {"type": "click", "customer": "c-1", "id": "e-1"}]"#,
        200,
    ),
    ("GET", "/v1/customers/c-1", "", 200),
    ("GET", "/v1/stats", "", 200),
    ("GET", "/v1/stats?by=offer,placement,channel,variant,day", "", 200),
    ("GET", "/v1/stats?by=", "", 200),
    ("GET", "/v1/stats?by=offfer&from=yesterday", "", 400),
    ("GET", "/v1/rule-sets", "", 200),
    ("GET", "/v1/rule-sets/wealth", "", 200),
    ("GET", "/v1/rule-sets/wealth/versions", "", 200),
    ("GET", "/v1/rule-sets/wealth/versions/1", "", 200),
    ("GET", "/v1/rule-sets/wealth/versions/9", "", 404),
    ("PUT", "/v1/rule-sets/more", MORE, 201),
    ("PUT", "/v1/rule-sets/more", "rule_set: more\noffers:\n  a: {placements: [hom], when: aeg > 1}\n", 422),
    ("POST", "/v1/rule-sets/more/check", MORE, 200),
    (
        "POST",
        "/v1/rule-sets/more/check",
        "rule_set: more\noffers:\n  a: {placements: [hom], when: aeg > 1}\n",
        200,
    ),
    ("PUT", "/v1/rule-sets/more?activate=false", MORE, 200),
    ("PUT", "/v1/rule-sets/more?activate=false", MORE_AGAIN, 201),
    ("POST", "/v1/rule-sets/more/versions/2/activate", "", 200),
    ("POST", "/v1/rule-sets/more/rollback", "", 200),
    ("GET", "/v1/decisions?customer=c-1&channel=app&placement=home&explain=true", "", 200),
    ("DELETE", "/v1/rule-sets/more", "", 200),
    ("GET", "/v1/schema", "", 200),
    ("PUT", "/v1/schema", SCHEMA, 200),
    ("PUT", "/v1/schema", "schema: test\nfeatures: {}\n", 409),
    (
        "PUT",
        "/v1/bundle",
        r#"{"schema": "schema: x", "rule_sets": [{"file": "a.yaml", "text": "offers: 1"}]}"#,
        409,
    ),
    ("PUT", "/v1/bundle", BUNDLE, 200),
    ("POST", "/v1/audiences/count", r#"{"when": "age >= 18"}"#, 200),
    ("GET", "/v1/snapshots", "", 200),
    ("POST", "/v1/snapshots", "", 409),
    ("DELETE", "/v1/customers/c-1", "", 200),
    ("DELETE", "/v1/nothing", "", 404),
];

/// Stands for the bundle of the schema and the rule set that the server began with.
const BUNDLE: &str = "{bundle}";

/// A rule set with a warning: one condition never holds.
const MORE: &str = "\
rule_set: more
tags: {grown: age >= 18}
offers:
  capped: {placements: [home], when: tag.grown && aum >= 1, caps: [{max: 1, per: 7d}], reason: {en: because}, treatments: [{placement: home, content: {n: [1, {}]}}]}
  never: {placements: [home], when: age > 50 && age < 40, treatments: [{placement: home, content: {}}]}
";

/// Its next version.
const MORE_AGAIN: &str = "\
rule_set: more
offers:
  capped: {placements: [home], when: aum >= 1, treatments: [{placement: home, content: {n: 2}}]}
";

/// The value without what differs from one server to the next.
fn comparable(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                let varies = ["decision_id", "token", "took_us", "compiled_in_us", "since", "at", "ends"];
                if varies.contains(&name.as_str()) && (value.is_string() || value.is_number()) {
                    *value = "…".into();
                }
                *value = comparable(value.take());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = comparable(item.take())),
        _ => {}
    }
    value
}

#[test]
fn every_document_says_the_same_in_both_formats() {
    let (plain, packed) = (running(), running());
    let bundle = json!({"schema": SCHEMA, "rule_sets": [{"file": "wealth.yaml", "text": RULES}]}).to_string();
    for (method, path, body, status) in DOCUMENTS {
        let body = if body == BUNDLE { &bundle } else { body };
        let kind = match body.as_bytes().first() {
            None => "",
            Some(b'{' | b'[') => "content-type: application/json\r\n",
            Some(_) if path.starts_with("/v1/customers") => "content-type: text/csv\r\n",
            Some(_) => "content-type: application/yaml\r\n",
        };
        let ask = |server: &Running, form: &str| {
            server.call(method, path, &format!("{kind}accept: application/{form}\r\n"), body.as_bytes())
        };
        let (json, packed) = (ask(&plain, "json"), ask(&packed, "msgpack"));
        assert_eq!((json.status, packed.status), (status, status), "{method} {path}: {}", json.text());
        assert_eq!(packed.header("content-type"), Some("application/msgpack"), "{method} {path}");
        let mut rest = packed.body.as_slice();
        let value = Value::deserialize(&mut rmp_serde::Deserializer::new(&mut rest)).unwrap();
        assert!(rest.is_empty(), "{method} {path}: {} bytes too many", rest.len());
        assert_eq!(comparable(value), comparable(json.json()), "{method} {path}");
    }
}

/// The answer to a decision, with its keys in the order of the contract. What serde writes of it is what
/// Usher must write, byte by byte.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    decision_id: String,
    customer: String,
    known: bool,
    rule_sets: BTreeMap<String, u32>,
    degraded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    holdout: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variants: Option<BTreeMap<String, Option<String>>>,
    placements: Vec<Placement>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Placement {
    id: String,
    fallback: bool,
    propositions: Vec<Proposition>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Proposition {
    offer: String,
    treatment: String,
    rank: u32,
    score: f64,
    propensity: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    content: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// Offers of every kind: scores that are constant, that depend on the customer and that are learned; reasons
/// in some languages, in one and none; texts that need escapes and longer headers in MessagePack.
fn all_kinds() -> String {
    let mut text = String::from(
        "rule_set: kinds\nplacements:\n  wide: {channels: [app], count: 30, fallback: last}\n  none: {channels: [app], count: 3}\n\
         experiments:\n  first: {variants: {a: 40, b: 40}}\n  second: {variants: {c: 100}}\n\
         holdout: {percent: 20, salt: s}\noffers:\n",
    );
    let long = |bytes: usize| "x".repeat(bytes);
    for n in 0..40_u32 {
        let score = match n % 4 {
            0 => format!("attributes: {{value: {}}}", f64::from(n) * 0.1),
            1 => format!("attributes: {{value: {n}}}, propensity: aum / 1000000.0"),
            2 => "attributes: {value: 3}, boost: \"tier == 'gold' ? 1.5 : 0.3\"".to_owned(),
            _ => "priority: 6, attributes: {value: 1}, propensity: {learned: thompson}".to_owned(),
        };
        let reason = match n % 3 {
            0 => String::new(),
            1 => format!(", reason: \"say \\\"{n}\\\" \\\\ \\u0001 稳健 {}\"", long(n as usize * 3)),
            _ => format!(", reason: {{zh: 理由, en: 'why {n}'}}"),
        };
        let content = long(10_usize.pow(n % 4));
        let name = format!("offer_{n}{}", long(n as usize));
        text += &format!(
            "  {name}: {{placements: [wide], {score}{reason}, treatments: [{{placement: wide, content: {{a: {content}, b: [1, \
             2.5, null]}}}}, {{placement: wide, locale: zh, content: 稳健}}]}}\n"
        );
    }
    text + "  last: {reason: {en: last}, treatments: [{placement: wide, content: {a: 1}}]}\n"
}

#[test]
fn decisions_have_the_bytes_that_serde_writes() {
    let server = running();
    let put = server.call(
        "PUT",
        "/v1/rule-sets/kinds",
        "content-type: application/yaml\r\n",
        all_kinds().as_bytes(),
    );
    assert_eq!(put.status, 201, "{}", put.text());
    server.json("PUT", "/v1/customers/c-1", r#"{"age": 41, "aum": 600000, "tier": "gold"}"#);
    let mut seen =
        BTreeMap::from([("holdout", 0), ("fallback", 0), ("propositions", 0), ("reason", 0), ("score", 0)]);
    let mut count = |name: &str, many: usize| *seen.get_mut(name).unwrap() += many;
    for round in 0..120 {
        let customer = if round % 2 == 0 { "c-1".to_owned() } else { format!("\"c\\{round}\" 稳") };
        let locale = ["", "zh", "en", "de"][round % 4];
        let shown = [1, 15, 16, 30][round / 4 % 4];
        let ids = [vec!["wide"], vec!["wide", "home", "none"], vec!["none"], vec!["home", "wide"]];
        let placements: Vec<Value> =
            ids[round / 16 % 4].iter().map(|id| json!({"id": id, "count": shown})).collect();
        let body = json!({"customer": customer, "channel": "app", "placements": placements, "locale": locale,
            "variants": round % 5 == 0})
        .to_string();
        for path in ["/v1/decisions", "/v1/decisions/preview"] {
            let ask = |form: &str| {
                let headers = format!("content-type: application/json\r\naccept: application/{form}\r\n");
                let reply = server.call("POST", path, &headers, body.as_bytes());
                assert_eq!(reply.status, 200, "{body}: {}", reply.text());
                reply.body
            };
            let (json, packed) = (ask("json"), ask("msgpack"));
            let plain: Answer = serde_json::from_slice(&json).unwrap();
            assert_eq!(serde_json::to_string(&plain).unwrap(), String::from_utf8(json).unwrap(), "{body}");
            let read: Answer = rmp_serde::from_slice(&packed).unwrap();
            assert!(rmp_serde::to_vec_named(&read).unwrap() == packed, "{body}: {read:?}");
            let propositions = || plain.placements.iter().flat_map(|placement| &placement.propositions);
            assert!(propositions().all(|one| one.token.is_some() == plain.as_of.is_none()));
            count("holdout", usize::from(plain.holdout.is_some()));
            count("fallback", plain.placements.iter().filter(|placement| placement.fallback).count());
            count("propositions", propositions().count());
            count("reason", propositions().filter(|one| one.reason.is_some()).count());
            count("score", propositions().filter(|one| one.score != 0.0).count());
        }
    }
    assert!(seen.values().all(|count| *count > 0), "{seen:?}");
}
