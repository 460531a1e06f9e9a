//! Counting audiences over HTTP: right questions, wrong ones, and decisions that do not wait meanwhile.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Reply, Running, block_on, running};
use usher::http::bounds::MAX_AUDIENCES;
use usher::node::define::Define;

const COUNT: &str = "/v1/audiences/count";

/// 3,000 customers: every third has no tier, half are 40 or older.
fn populated() -> Running {
    let server = running();
    let mut csv = String::from("customer,age,aum,tier\n");
    for number in 0..3_000 {
        let tier = ["", "gold", "private"][number % 3];
        csv.push_str(&format!(
            "c-{number},{},{},{tier}\n",
            if number % 2 == 0 { 39 } else { 40 },
            number * 10
        ));
    }
    let loaded = server.call("POST", "/v1/customers", "content-type: text/csv\r\n", csv.as_bytes());
    assert_eq!(loaded.status, 200, "{loaded:?}");
    server
}

fn count(server: &Running, body: &Value) -> Reply {
    server.json("POST", COUNT, &body.to_string())
}

#[test]
fn customers_are_counted_by_a_condition_and_the_tags_of_a_rule_set() {
    let server = populated();
    let tags =
        "rule_set: tags\ntags: {old: age >= 40, rich: tag.old && aum >= 20000, here: context.page == 'x'}\n";
    let define = Define::Publish { name: "tags".into(), text: tags.into(), activate: true, if_active: None };
    block_on(server.node.define(define)).unwrap();
    for (body, matching) in [
        (json!({"when": "true"}), 3_000),
        (json!({"when": "age >= 40"}), 1_500),
        (json!({"when": "tier == 'gold' && age >= 40"}), 500),
        (json!({"when": "!has(customer.tier) || tier != 'gold'"}), 2_000),
        (json!({"when": "aum * 2.0 > 40000.0"}), 999),
        (json!({"when": "tag.rich", "rule_set": "tags"}), 500),
    ] {
        let reply = count(&server, &body);
        assert_eq!(reply.status, 200, "{body}: {}", reply.text());
        let found = reply.json();
        assert_eq!((&found["matching"], &found["total"]), (&matching.into(), &3_000.into()), "{body}");
        assert!(found["took_us"].is_u64() && found.as_object().unwrap().len() == 3, "{found}");
    }
    server.call("DELETE", "/v1/customers/c-1", "", b"");
    assert_eq!(count(&server, &json!({"when": "age >= 40"})).json()["matching"], 1_499);
    let packed = [&[0x81, 0xa4][..], b"when", &[0xa9], b"age >= 40"].concat();
    let headers = "content-type: application/msgpack\r\naccept: application/msgpack\r\n";
    let reply = server.call("POST", COUNT, headers, &packed);
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/msgpack")));
    assert!(reply.body.starts_with(&[&[0x83, 0xa8][..], b"matching", &[0xcd, 0x05, 0xdb]].concat()));
    let about = count(&server, &json!({"when": "tag.here", "rule_set": "tags"}));
    assert_eq!(about.status, 422, "{}", about.text());
}

#[test]
fn a_wrong_condition_is_told_all_its_problems_with_their_places() {
    let server = running();
    let reply = count(&server, &json!({"when": "agee > 3 &&\n tier == 'golf' && context.page == 'x'"}));
    assert_eq!(reply.status, 422, "{}", reply.text());
    let found = reply.json();
    let errors = found["errors"].as_array().unwrap();
    let place = |error: &Value| (error["line"].as_u64(), error["column"].as_u64());
    let places: Vec<_> = errors.iter().map(place).collect();
    assert_eq!(places.len(), 3, "{found:#}");
    assert_eq!(places[0], (Some(1), Some(1)));
    assert!(places[1..].iter().all(|(line, _)| *line == Some(2)), "{found:#}");
    assert!(errors.iter().all(|error| error["pointer"] == "/when" && error["source"] == "condition"));
    assert_eq!(errors[0]["hint"], "did you mean `age`?");
    for (body, status, part) in [
        (r#"{"when": "age >"}"#, 422, "/when"),
        (r#"{"when": "age + 1"}"#, 422, "true or false"),
        (r#"{"when": "tag.x"}"#, 422, "tag"),
        (r#"{"when": "offer.value > 1.0"}"#, 422, "offer"),
        (r#"{"when": "context.channel == 'app'"}"#, 422, "no request"),
        (r#"{"when": "true", "rule_set": "welth"}"#, 422, "did you mean `wealth`?"),
        (r#"{"when": "true", "limit": 3}"#, 400, "limit"),
        (r#"{"rule_set": "wealth"}"#, 400, "when"),
        (r#"{"when": 3}"#, 400, "/when"),
        ("true", 400, "expected a map"),
        ("{", 400, "JSON"),
    ] {
        let reply = server.json("POST", COUNT, body);
        assert_eq!(reply.status, status, "{body}: {}", reply.text());
        assert!(reply.text().contains(part), "{body}: {}", reply.text());
    }
    assert_eq!(server.get(COUNT).status, 405);
    assert_eq!(server.json("POST", "/v1/audiences/count?x=1", r#"{"when": "true"}"#).status, 400);
    let deep = format!("{{\"when\": \"{}true\"}}", "(".repeat(7_000));
    assert_eq!(server.json("POST", COUNT, &deep).status, 422);
}

/// The most expensive condition that is allowed.
fn dear() -> Value {
    let list = (0..30).map(|i| i.to_string()).collect::<Vec<_>>().join(", ");
    json!({"when": format!("[{list}].all(a, [{list}].exists(b, double(a + b) > aum * double(age)) || aum >= 0.0)")})
}

#[test]
fn too_many_counts_are_shed_and_decisions_go_on() {
    let server = populated();
    let body = dear().to_string();
    let ask = || {
        let mut client = server.client();
        client.request("POST", COUNT, "content-type: application/json\r\n", body.as_bytes());
        client
    };
    let waiting: Vec<_> = (0..=MAX_AUDIENCES).map(|_| ask()).collect();
    std::thread::sleep(Duration::from_millis(300));
    let shed = count(&server, &json!({"when": "age > 3"}));
    assert_eq!((shed.status, shed.header("retry-after")), (503, Some("1")), "{}", shed.text());
    assert!(shed.text().contains("audience counts"), "{}", shed.text());
    let decided = server.get("/v1/decisions?customer=c-5&channel=app&placement=home");
    assert_eq!(decided.status, 200);
    drop(waiting);
}
