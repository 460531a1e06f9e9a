//! Days and times on every way in: a day is its first moment in the schema's zone, and what is no time is
//! refused by name.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;
mod support;

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use support::{Reply, Running, block_on, settings};
use usher::http;
use usher::node::Node;
use usher::node::define::Define;
use usher::node::startup::Startup;

const SCHEMA: &str = "schema: times
timezone: Asia/Shanghai
channels: [app]
features:
  since: {kind: time}
  last_seen: {kind: last, event: seen}
  last_due: {kind: last, event: seen, property: due}
events:
  seen: {properties: {due: {kind: time}}}
context:
  trip: {kind: time}
";

const RULES: &str = "rule_set: r
placements: {home: {channels: [app], fallback: brand}}
offers:
  brand: {treatments: [{placement: home, content: {title: x}}]}
  exactly:
    placements: [home]
    when: context.trip == timestamp('2026-10-31T16:00:00Z') && context.trip == timestamp('2026-11-01')
    treatments: [{placement: home, content: {title: y}}]
";

const JSON: &str = "Content-Type: application/json\r\n";
const MSGPACK: &str = "Content-Type: application/msgpack\r\nAccept: application/json\r\n";

fn server() -> Running {
    let node = Node::start().unwrap();
    block_on(node.define(Define::Schema { text: SCHEMA.into(), rename: false, if_text: None })).unwrap();
    let publish = Define::Publish { name: "r".into(), text: RULES.into(), activate: true, if_active: None };
    block_on(node.define(publish)).unwrap_or_else(|e| panic!("{e:?}"));
    let startup = Startup::done(Arc::clone(&node));
    let server = http::serve("127.0.0.1:0".parse().unwrap(), startup, settings()).unwrap();
    Running { node, address: server.address(), server: Some(server) }
}

/// Gives a time to the server on each of its ways in, each with its name and what it answered.
fn given(running: &Running, text: &str) -> Vec<(&'static str, Reply)> {
    let packed = rmp_serde::to_vec_named(&json!({"since": text})).unwrap();
    let query = text.replace('+', "%2B").replace(' ', "%20");
    let property = json!({"type": "seen", "customer": "c", "properties": {"due": text}}).to_string();
    let body =
        json!({"customer": "c", "channel": "app", "placements": [{"id": "home"}], "context": {"trip": text}});
    let query = format!("/v1/decisions?customer=c&channel=app&placement=home&context.trip={query}");
    let csv = format!("customer,since\nc,\"{text}\"\n");
    let ndjson = format!("{}\n", json!({"customer": "c", "since": text}));
    let customer = "/v1/customers/c";
    let bulk = "/v1/customers?max_errors=0";
    vec![
        ("JSON", running.call("PUT", customer, JSON, json!({"since": text}).to_string().as_bytes())),
        ("MessagePack", running.call("PUT", customer, MSGPACK, &packed)),
        ("CSV", running.call("POST", bulk, "Content-Type: text/csv\r\n", csv.as_bytes())),
        ("NDJSON", running.call("POST", bulk, "Content-Type: application/x-ndjson\r\n", ndjson.as_bytes())),
        ("property", running.call("POST", "/v1/events", JSON, property.as_bytes())),
        ("context", running.call("POST", "/v1/decisions", JSON, body.to_string().as_bytes())),
        ("query", running.call("GET", &query, "", b"")),
    ]
}

#[test]
fn a_day_is_its_first_moment_in_the_schemas_zone_on_every_way_in() {
    let running = server();
    for (way, reply) in given(&running, "2026-11-01") {
        assert_eq!(reply.status, 200, "{way}: {}", reply.text());
        let kept = running.call("GET", "/v1/customers/c", "", b"").json();
        match way {
            "property" => assert_eq!(kept["features"]["last_due"], "2026-10-31T16:00:00Z", "{way}"),
            "context" | "query" => {
                let shown = &reply.json()["placements"][0]["propositions"][0]["offer"];
                assert_eq!(shown, "exactly", "{way}: {}", reply.text());
            }
            _ => assert_eq!(kept["features"]["since"], "2026-10-31T16:00:00Z", "{way}"),
        }
    }
    // Events may neither be old nor come from the future.
    let zone = TimeZone::get("Asia/Shanghai").unwrap();
    let day = Timestamp::now().to_zoned(zone.clone()).date().yesterday().unwrap();
    let event = json!({"type": "seen", "customer": "d", "at": day.to_string()}).to_string();
    running.call("POST", "/v1/events", JSON, event.as_bytes());
    let kept = running.call("GET", "/v1/customers/d", "", b"").json();
    let expected = day.to_zoned(zone).unwrap().timestamp().to_string();
    assert_eq!(kept["features"]["last_seen"], expected, "{kept}");
}

#[test]
fn what_is_no_time_is_refused_by_name_on_every_way_in() {
    const FORM: &str = "not a day such as";
    let running = server();
    for (text, why) in [
        ("2026-11-01T10:00:00+25:00", "an offset from UTC is at most 18:00"),
        ("2026-11-01T10:00:00-18:01", "an offset from UTC is at most 18:00"),
        ("2016-12-31T23:59:60Z", "there is no such time of day"),
        ("2026-11-01T24:00:00Z", "there is no such time of day"),
        ("2026-02-30", "there is no such day"),
        ("2025-02-29T10:00:00Z", "there is no such day"),
        ("0000-01-01", "times are from the year 0001 to 9999"),
        ("2106-03-01", "expected a time from 1970 to 2106"),
        ("1969-12-31", "expected a time from 1970 to 2106"),
        ("10000-01-01T00:00:00Z", FORM),
        ("2026-11-01T10:00:00", "a time needs its offset"),
        ("2026-11-01T10Z", FORM),
        ("10:00:00Z", FORM),
        ("soon", FORM),
    ] {
        for (way, reply) in given(&running, text) {
            assert!(reply.text().contains(why), "{way}: {text}: {} {}", reply.status, reply.text());
        }
        let known = running.call("GET", "/v1/customers/c", "", b"");
        assert_eq!(known.status, 404, "something was kept of {text}: {}", known.text());
        if !why.starts_with("expected a time from 1970") {
            let event = json!({"type": "seen", "customer": "c", "at": text}).to_string();
            let reply = running.call("POST", "/v1/events", JSON, event.as_bytes());
            assert!(reply.text().contains(why), "at: {text}: {}", reply.text());
            rules_refuse(text, why);
        }
    }
}

/// Checks that a time is refused wherever a rule may have one.
fn rules_refuse(text: &str, why: &str) {
    let golden = |now: &str, fields: &str| {
        format!(
            "- {{name: n, now: {now}, customer: null, {fields}request: {{channel: app, placements: [{{id: home}}]}}, expect: {{}}}}\n"
        )
    };
    let event = golden("2026-12-01", &format!("events: [{{type: seen, at: '{text}'}}], "));
    let contact = format!("offer: exactly, placement: home, channel: app, outcome: click, at: '{text}'");
    let contact = golden("2026-12-01", &format!("contacts: [{{{contact}}}], "));
    let golden = golden(&format!("'{text}'"), "");
    let schedule = RULES.replace(
        "    placements: [home]\n",
        &format!("    placements: [home]\n    schedule: {{until: '{text}'}}\n"),
    );
    let condition = RULES.replace("timestamp('2026-11-01')", &format!("timestamp('{text}')"));
    for (way, rules, golden) in [
        ("golden", RULES, &*golden),
        ("event", RULES, &event),
        ("contact", RULES, &contact),
        ("schedule", &schedule, ""),
        ("condition", &condition, ""),
    ] {
        let folder = tempfile::tempdir().unwrap();
        cli_support::write(folder.path(), "schema.yaml", SCHEMA);
        cli_support::write(folder.path(), "rule-sets/r.yaml", rules);
        if !golden.is_empty() {
            cli_support::write(folder.path(), "golden.yaml", golden);
        }
        let run = cli_support::run(&["check", folder.path().to_str().unwrap()]).ended(1);
        assert!(format!("{}{}", run.out, run.err).contains(why), "{way}: {text}: {}{}", run.out, run.err);
    }
}

#[test]
fn what_programs_write_is_taken_in_data_and_not_in_rules() {
    let running = server();
    for text in [
        "2026-11-01t00:00:00+08:00",
        "2026-11-01 00:00:00+08:00",
        "2026-11-01 00:00:00.000000+08",
        "2026-11-01T00:00+0800",
        "2026-11-01T00:00+08:00[Asia/Shanghai]",
        "2026/11/1",
        " 2026-11-01 ",
    ] {
        for (way, reply) in given(&running, text) {
            assert_eq!(reply.status, 200, "{way}: {text}: {}", reply.text());
            let kept = running.call("GET", "/v1/customers/c", "", b"").json();
            match way {
                "property" => assert_eq!(kept["features"]["last_due"], "2026-10-31T16:00:00Z", "{way}"),
                "context" | "query" => {
                    let shown = &reply.json()["placements"][0]["propositions"][0]["offer"];
                    assert_eq!(shown, "exactly", "{way}: {text}: {}", reply.text());
                }
                _ => assert_eq!(kept["features"]["since"], "2026-10-31T16:00:00Z", "{way}"),
            }
        }
        rules_refuse(text, "not a day such as");
    }
    rules_refuse("20261101", "not a day such as"); // data too: it may be a number
}

#[test]
fn how_far_an_event_is_ahead_is_told_in_days_and_hours() {
    let running = server();
    for (ahead, told) in
        [(3 * 86_400 + 4 * 3_600 + 59, "3 days 4 h"), (3_600 * 25 + 1, "1 day 1 h"), (600, "10 min")]
    {
        let at = Timestamp::now() + jiff::SignedDuration::from_secs(ahead);
        let event = json!({"type": "seen", "customer": "c", "at": at.to_string()}).to_string();
        let reply = running.call("POST", "/v1/events", JSON, event.as_bytes());
        let expected = format!("is {told} ahead of the server, more than the 5 min allowed");
        // The clock may be a second further on.
        let less = expected.replace("10 min ahead", "9 min 59 s ahead");
        assert!(reply.text().contains(&expected) || reply.text().contains(&less), "{}", reply.text());
    }
}
