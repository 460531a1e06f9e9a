//! Previews: a decision at another time, with other features, events and contacts, or with a draft of a rule
//! set. They hold nothing, count nothing and change nothing.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::{Reply, Running, running};

const MSGPACK: &str = "content-type: application/msgpack\r\naccept: application/msgpack\r\n";
const YAML: &str = "content-type: application/yaml\r\n";

/// What the bank has besides: an offer for one day, one with a cap, one with a budget, one for who looks.
const OFFERS: &str = "\
rule_set: more
budgets: {gift: {max: 1, on: impression}}
offers:
  gift: {placements: [home], priority: 1, when: tier == 'private', budgets: [gift], treatments: [{placement: home, content: {n: 1}}]}
  sale: {placements: [home], priority: 2, schedule: {from: 2024-11-11, until: 2024-11-11}, treatments: [{placement: home, content: {n: 2}}]}
  card:
    placements: [home]
    priority: 3
    when: age >= 18
    suppress: {dismiss: 30d}
    treatments: [{placement: home, content: {n: 3}}]
";

fn bank() -> Running {
    let server = running();
    let reply = server.call("PUT", "/v1/rule-sets/more", YAML, OFFERS.as_bytes());
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(server.json("PUT", "/v1/customers/c-1", r#"{"age": 41}"#).status, 200);
    server
}

/// A preview of `home` for a customer, with these further fields.
fn preview(server: &Running, customer: &str, more: &Value) -> Reply {
    let mut body =
        json!({"customer": customer, "channel": "app", "placements": [{"id": "home", "count": 1}]});
    for (field, value) in more.as_object().unwrap() {
        body[field] = value.clone();
    }
    server.json("POST", "/v1/decisions/preview", &body.to_string())
}

fn offer(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let found = reply.json();
    assert!(
        found["as_of"].is_string() && found["placements"][0]["propositions"][0].get("token").is_none(),
        "{found}"
    );
    found["placements"][0]["propositions"][0]["offer"].as_str().unwrap().to_owned()
}

fn contact(outcome: &str, at: &str) -> Value {
    json!({"offer": "card", "placement": "home", "channel": "app", "outcome": outcome, "at": at})
}

#[test]
fn a_preview_shows_what_would_be_shown() {
    let server = bank();
    let dismissed =
        r#"{"type": "dismiss", "customer": "c-2", "offer": "card", "placement": "home", "channel": "app"}"#;
    assert_eq!(server.json("PUT", "/v1/customers/c-2", r#"{"age": 41}"#).status, 200);
    assert_eq!(server.json("POST", "/v1/events", dismissed).status, 200);
    let day = "2024-11-11T12:00:00Z";
    for (customer, more, expected) in [
        ("c-1", json!({}), "card"),
        ("nobody", json!({}), "brand"),
        ("c-1", json!({"as_of": day}), "sale"),
        ("c-1", json!({"as_of": "2024-11-11"}), "sale"),
        ("c-1", json!({"as_of": "2024-11-12T00:00:00Z"}), "card"),
        ("c-1", json!({"features": {"tier": "private"}}), "gift"),
        ("c-1", json!({"features": {"age": 17}}), "brand"),
        ("c-1", json!({"features": {"age": null}}), "brand"),
        ("nobody", json!({"features": {"age": 30}}), "card"),
        ("c-1", json!({"as_of": "2024-11-20T00:00:00Z", "contacts": [contact("dismiss", day)]}), "brand"),
        ("c-1", json!({"as_of": "2025-01-01T00:00:00Z", "contacts": [contact("dismiss", day)]}), "card"),
        ("c-2", json!({}), "brand"),
        ("c-2", json!({"contacts": []}), "card"),
        ("c-2", json!({"as_of": "2024-11-12T00:00:00Z"}), "card"), // before it was dismissed
    ] {
        assert_eq!(offer(&preview(&server, customer, &more)), expected, "{customer} {more}");
    }
    let told = preview(&server, "c-2", &json!({"explain": true, "variants": true, "locale": "zh"})).json();
    assert_eq!((&told["known"], &told["variants"]), (&json!(true), &json!({})));
    assert!(told["placements"][0]["explanations"].as_array().unwrap().len() > 3, "{told}");
}

#[test]
fn events_of_a_preview_are_counted_by_computed_features() {
    let server = running();
    let schema = format!(
        "{}  views: {{kind: count, event: page_view, window: 7d}}\ncontext:\n{}events: {{page_view: {{properties: {{}}}}}}\n",
        support::SCHEMA.split("context:\n").next().unwrap(),
        support::SCHEMA.split("context:\n").nth(1).unwrap()
    );
    assert_eq!(server.call("PUT", "/v1/schema", YAML, schema.as_bytes()).status, 200);
    let rules = "rule_set: more\noffers:\n  seen: {placements: [home], priority: 1, when: views >= 2, treatments: [{placement: home, content: {n: 1}}]}\n";
    assert_eq!(server.call("PUT", "/v1/rule-sets/more", YAML, rules.as_bytes()).status, 201);
    let view = |at: &str| json!({"type": "page_view", "at": at});
    for (as_of, expected) in [("2024-11-03T00:00:00Z", "seen"), ("2024-11-20T00:00:00Z", "brand")] {
        let more =
            json!({"as_of": as_of, "events": [view("2024-11-01T10:00:00Z"), view("2024-11-02T10:00:00Z")]});
        assert_eq!(offer(&preview(&server, "nobody", &more)), expected, "{as_of}");
    }
}

#[test]
fn a_preview_holds_counts_and_changes_nothing() {
    let server = bank();
    let before = server.node.sequence();
    for _ in 0..3 {
        assert_eq!(offer(&preview(&server, "c-1", &json!({"features": {"tier": "private"}}))), "gift");
    }
    assert_eq!(server.json("PUT", "/v1/customers/c-9", r#"{"tier": "private"}"#).status, 200);
    let shown = server.get("/v1/decisions?customer=c-9&channel=app&placement=home&count=1").json();
    assert_eq!(shown["placements"][0]["propositions"][0]["offer"], "gift", "the one place is still there");
    let metrics = server.get("/metrics");
    assert!(metrics.text().contains("usher_decisions_total 1\n"), "{}", metrics.text());
    assert_eq!(server.get("/v1/stats").json()["funnel"]["decisions"], 1);
    assert_eq!(server.get("/v1/customers/c-1").json()["features"], json!({"age": 41}));
    assert_eq!(server.node.sequence(), before + 1);
    // Now its place is held, and a preview sees that.
    assert_eq!(offer(&preview(&server, "c-1", &json!({"features": {"tier": "private"}}))), "card");
}

#[test]
fn a_draft_decides_and_changes_nothing() {
    let server = bank();
    let draft = |text: &str| json!({"rule_set": {"name": "more", "text": text}});
    let changed = OFFERS.replace("age >= 18", "age >= 50");
    assert_eq!(offer(&preview(&server, "c-1", &draft(&changed))), "brand");
    let fresh = "rule_set: trial\noffers:\n  novel: {placements: [home], priority: 1, treatments: [{placement: home, content: {n: 1}}]}\n";
    let fresh = json!({"rule_set": {"name": "trial", "text": fresh},
        "contacts": [{"offer": "novel", "placement": "home", "channel": "app", "outcome": "click", "at": "2024-11-01T00:00:00Z"}]});
    assert_eq!(offer(&preview(&server, "c-1", &fresh)), "novel");
    let wrong = preview(&server, "c-1", &draft(&OFFERS.replace("age >=", "aeg >=")));
    assert_eq!((wrong.status, wrong.text().contains("did you mean `age`?")), (422, true), "{}", wrong.text());
    assert_eq!(offer(&preview(&server, "c-1", &json!({}))), "card");
    let listed = server.get("/v1/rule-sets").json();
    assert!(!listed.to_string().contains("trial"), "{listed}");
}

#[test]
fn what_is_wrong_with_a_preview_is_said_with_its_place() {
    let server = bank();
    let day = "2024-11-11T12:00:00Z";
    for (more, part) in [
        (json!({"as_of": "soon"}), "/as_of"),
        (json!({"features": {"aeg": 1}}), "/features/aeg"),
        (json!({"features": {"age": 121}}), "/features/age"),
        (json!({"contacts": [contact("dismiss", day)], "as_of": "2024-11-01"}), "/contacts/0/at"),
        (json!({"contacts": [contact("dismis", day)]}), "/contacts/0/outcome"),
        (json!({"contacts": vec![contact("click", day); 257]}), "at most 256"),
        (
            json!({"contacts": [{"offer": "x", "placement": "home", "channel": "app", "outcome": "click", "at": day}]}),
            "offer `x`",
        ),
        (json!({"events": [{"type": "x", "at": day}]}), "/events/0/type"),
        (json!({"rule_set": {"name": "more"}}), "`text`"),
        (json!({"rule_set": "more"}), "/rule_set"),
        (json!({"deadline_us": 5}), "deadline_us"),
        (json!({"placements": [{"id": "hoem"}]}), "did you mean `home`?"),
        (json!({"featuers": {}}), "did you mean `features`?"),
    ] {
        let reply = preview(&server, "c-1", &more);
        assert!(
            reply.status == 400 && reply.text().contains(part),
            "{more}: {} {}",
            reply.status,
            reply.text()
        );
    }
    let partly = preview(&server, "c-1", &json!({"placements": [{"id": "hoem"}, {"id": "home"}]}));
    assert_eq!((partly.status, &partly.json()["placements"][0]["problem"]["status"]), (200, &json!(400)));
    let body = json!({"customer": "c-1", "channel": "app", "placements": [{"id": "home", "count": 1}], "as_of": day});
    let packed =
        server.call("POST", "/v1/decisions/preview", MSGPACK, &rmp_serde::to_vec_named(&body).unwrap());
    let packed: Value = rmp_serde::from_slice(&packed.body).unwrap();
    assert_eq!(
        (&packed["as_of"], &packed["placements"][0]["propositions"][0]["offer"]),
        (&json!(day), &json!("sale"))
    );
    assert_eq!(server.get("/v1/decisions/preview").status, 405);
}
