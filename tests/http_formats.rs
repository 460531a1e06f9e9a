//! Every document in JSON and in MessagePack: both must say the same. MessagePack alone carries lengths, so
//! only a reader of it notices a wrong one.
#![allow(clippy::unwrap_used)]

mod support;

use serde::Deserialize;
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
