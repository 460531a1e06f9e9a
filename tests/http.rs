//! The contract over a real socket: what good requests get.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Running, running, running_with, settings};
use usher::node::startup::Startup;

const DECISION: &str = r#"{"customer": "c-1", "channel": "app", "placements": [{"id": "home"}]}"#;
const MSGPACK: &str = "content-type: application/msgpack\r\naccept: application/msgpack\r\n";

fn rich(server: &Running) {
    let reply =
        server.json("PUT", "/v1/customers/c-1", r#"{"age": 41, "aum": 600000.5, "interests": ["funds"]}"#);
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[test]
fn a_decision_shows_what_fits_and_the_next_write_changes_it() {
    let server = running();
    let stranger = server.json("POST", "/v1/decisions", DECISION).json();
    assert_eq!(
        (&stranger["known"], &stranger["placements"][0]["propositions"][0]["offer"]),
        (&json!(false), &json!("brand"))
    );
    rich(&server);
    let reply = server.json("POST", "/v1/decisions", DECISION);
    let found = reply.json();
    assert_eq!(found["known"], true);
    assert_eq!(found["rule_sets"], json!({"wealth": 1}));
    let offers: Vec<_> =
        found["placements"][0]["propositions"].as_array().unwrap().iter().map(|p| &p["offer"]).collect();
    assert!(offers.contains(&&json!("steady")), "{found}");
    assert!(reply.text().contains("稳健 😀"), "{}", reply.text());
    let ids = [
        found["decision_id"].clone(),
        server.json("POST", "/v1/decisions", DECISION).json()["decision_id"].clone(),
    ];
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn get_post_and_messagepack_say_the_same() {
    let server = running();
    rich(&server);
    let without_id = |mut value: Value| {
        value.as_object_mut().unwrap().remove("decision_id");
        for proposition in value["placements"][0]["propositions"].as_array_mut().unwrap() {
            assert!(proposition.as_object_mut().unwrap().remove("token").is_some());
        }
        value
    };
    let full = json!({"customer": "c-1", "channel": "app", "placements": [{"id": "home", "count": 1}],
        "context": {"page": "a b", "amount": 2.5}, "locale": "zh-CN", "explain": true, "deadline_us": 1000000});
    let post = server.json("POST", "/v1/decisions", &full.to_string());
    assert_eq!(post.status, 200, "{}", post.text());
    let get = server.get(
        "/v1/decisions?customer=c-1&channel=app&placement=home&count=1&context.page=a%20b&context.amount=2.5\
         &locale=zh-CN&explain=true&deadline_us=1000000",
    );
    let packed = server.call("POST", "/v1/decisions", MSGPACK, &rmp_serde::to_vec_named(&full).unwrap());
    assert_eq!(packed.header("content-type"), Some("application/msgpack"));
    let unpacked: Value = rmp_serde::from_slice(&packed.body).unwrap();
    assert_eq!(without_id(post.json()), without_id(get.json()));
    assert_eq!(without_id(post.json()), without_id(unpacked));
    let explanations = &post.json()["placements"][0]["explanations"];
    assert!(explanations.as_array().unwrap().len() >= 2, "{explanations}");
}

/// What is wrong with a part of a request is said in its place, and the rest is answered. With `strict` it
/// fails the whole request, as does what the whole depends on.
#[test]
fn a_request_with_one_bad_part_gets_its_other_parts() {
    let server = running();
    let placements = |list: &str| format!(r#""placements": [{list}]"#);
    let home = r#"{"id": "home"}"#;
    let hint = |of: &Value| of["errors"][0]["hint"].as_str().unwrap_or_default().to_owned();
    for (parts, shown, pointers) in [
        (placements(&format!(r#"{{"id": "hoem"}}, {home}"#)), "!hoem home", vec!["/placements/0/id"]),
        (placements(&format!(r#"{home}, {{"id": "chat"}}"#)), "home !chat", vec!["/placements/1/id"]),
        (placements(&format!("{home}, {home}")), "home !home", vec!["/placements/1/id"]),
        (
            placements(&format!(
                r#"7, {home}, {{"id": "home", "count": 0}}, {{"count": 1}}, {{"id": "x", "y": 1}}"#
            )),
            "! home !home ! !x",
            vec!["/placements/0", "/placements/2/count", "/placements/3", "/placements/4/y"],
        ),
        (placements(home) + r#", "context": {"pgae": "x"}"#, "home", vec!["/context/pgae"]),
        (
            placements(home) + r#", "context": {"page": "x", "amount": "much"}"#,
            "home",
            vec!["/context/amount"],
        ),
        (placements(home) + r#", "locale": ["zh", "中", 5]"#, "home", vec!["/locale/1", "/locale/2"]),
        (placements(home) + r#", "locale": 5"#, "home", vec!["/locale"]),
        (placements(home) + r#", "locale": ["*", "", "en_US.UTF-8", "C", "x y"]"#, "home", vec!["/locale/4"]),
    ] {
        let body = format!(r#"{{"customer": "c-1", "channel": "app", {parts}}}"#);
        let reply = server.json("POST", "/v1/decisions", &body);
        assert_eq!(reply.status, 200, "{body}: {}", reply.text());
        let found = reply.json();
        let mut said = Vec::new();
        let (mut names, mut problems) = (Vec::new(), vec![&found["problem"]]);
        for place in found["placements"].as_array().unwrap() {
            let problem = &place["problem"];
            let filled = !place["propositions"].as_array().unwrap().is_empty();
            assert_eq!(filled, problem.is_null(), "{found}");
            names.push(format!("{}{}", if filled { "" } else { "!" }, place["id"].as_str().unwrap()));
            problems.push(problem);
        }
        for problem in problems.into_iter().filter(|problem| !problem.is_null()) {
            assert_eq!(
                (&problem["type"], &problem["status"]),
                (&json!("urn:usher:problem:invalid"), &json!(400))
            );
            said.extend(
                problem["errors"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|e| e["pointer"].as_str().unwrap().to_owned()),
            );
        }
        assert_eq!(
            (names.join(" "), &said),
            (shown.to_owned(), &pointers.iter().map(ToString::to_string).collect()),
            "{body}"
        );
        let strict = body.replacen('{', r#"{"strict": true, "#, 1);
        let reply = server.json("POST", "/v1/decisions", &strict);
        assert_eq!(
            (reply.status, reply.json()["errors"].as_array().unwrap().len()),
            (400, pointers.len()),
            "{body}"
        );
        let packed = rmp_serde::to_vec_named(&serde_json::from_str::<Value>(&body).unwrap()).unwrap();
        let reply = server.call("POST", "/v1/decisions", MSGPACK, &packed);
        let unpacked: Value = rmp_serde::from_slice(&reply.body).unwrap();
        assert_eq!(unpacked["problem"], found["problem"], "{body}");
    }
    let query =
        "/v1/decisions?customer=c&channel=app&placement=hoem&placement=home&context[pgae]=1&locale=123";
    let found = server.get(query).json();
    assert_eq!(found["placements"][0]["problem"]["errors"][0]["pointer"], "/placements/0/id");
    assert_eq!(
        (hint(&found["placements"][0]["problem"]), hint(&found["problem"])),
        ("did you mean `home`?".into(), "did you mean `page`?".into())
    );
    assert_eq!(found["placements"][1]["propositions"][0]["offer"], "brand");
    for (locale, detail, expected) in [
        ("5", "expected a text, found 5", "write it in quotes: \"5\""),
        ("true", "expected a text, found true", "write it in quotes: \"true\""),
        ("[5]", "expected a text, found 5", "write it in quotes: \"5\""),
        ("{}", "expected a text, found a map", ""),
    ] {
        let body =
            format!(r#"{{"customer": "c", "channel": "app", "placements": [{home}], "locale": {locale}}}"#);
        let problem = &server.json("POST", "/v1/decisions", &body).json()["problem"];
        assert_eq!((&problem["errors"][0]["detail"], hint(problem)), (&json!(detail), expected.to_owned()));
    }
    assert_eq!(server.get(&format!("{query}&strict=true")).json()["errors"].as_array().unwrap().len(), 3);
    assert_eq!(server.get(&query.replace("&placement=home", "")).status, 400, "no placement is left");
    let metrics = server.get("/metrics");
    assert!(metrics.text().contains("usher_placements_fallback_total 0\n"), "what is left out shows none");
}

#[test]
fn the_variants_of_a_customer_are_told_on_request() {
    let server = running();
    let put = |text: &str| {
        let yaml = "content-type: application/yaml\r\n";
        let reply = server.call("PUT", "/v1/rule-sets/trial", yaml, text.as_bytes());
        assert!(reply.status < 300, "{}", reply.text());
    };
    let rules = "rule_set: trial\nexperiments: {style: {salt: q4, variants: {plain: 50, photo: 50}}, \
rate: {salt: none, variants: {low: 0.01}}}\noffers:\n  here: {placements: [home], when: age > 3, treatments: [\
                 {placement: home, content: {n: 1}}, {placement: home, variant: style.photo, content: {n: 2}}]}\n";
    put(rules);
    let ask = |customer: &str, more: &str| {
        server.get(&format!("/v1/decisions?customer={customer}&channel=app&placement=home{more}")).json()
    };
    // The slot of c-1001 is 3227, that of c-1002 is 89: both are in the first half.
    assert_eq!(ask("c-1001", "&variants=true")["variants"], json!({"style": "plain", "rate": null}));
    assert!(ask("c-1001", "").get("variants").is_none());
    put(&format!("{rules}holdout: {{percent: 100, salt: x}}\n"));
    let held = ask("c-1001", "&variants=true");
    assert_eq!((&held["holdout"], &held["variants"]), (&json!(true), &json!({"style": null, "rate": null})));
}

/// `locale`, lists of it, and `Accept-Language`.
#[test]
fn languages_come_from_the_request_or_its_header() {
    let server = running();
    let rules = "rule_set: more\noffers:\n  here: {placements: [home], priority: 1, treatments: [\
                 {id: zh-TW, placement: home, locale: zh-TW, content: {n: 1}}, {id: zh, placement: home, locale: zh, content: {n: 1}}, \
                 {id: en, placement: home, locale: en, content: {n: 1}}, {id: none, placement: home, content: {n: 1}}]}\n";
    let yaml = "content-type: application/yaml\r\n";
    assert_eq!(server.call("PUT", "/v1/rule-sets/more", yaml, rules.as_bytes()).status, 201);
    for (query, accept, expected) in [
        ("", "", "none"),
        ("&locale=zh-Hant-TW", "", "zh-TW"),
        ("&locale=zh-Hans-CN", "", "zh"),
        ("&locale=fr,en", "", "en"),
        ("&locale=fr&locale=zh", "", "zh"),
        ("&locale=en_US.UTF-8", "", "en"),
        ("&locale=*", "", "none"),
        ("&locale=", "", "none"),
        ("", "zh-TW,zh;q=0.9,en-US;q=0.8,en;q=0.7", "zh-TW"),
        ("", "fr;q=0.9, en;q=0.5, zh;q=0.1", "en"),
        ("", "*", "none"),
        ("", "💥", "none"),
        ("&locale=fr", "en", "none"),
        ("&locale=en", "zh", "en"),
        ("&locale=*", "zh", "zh"),
    ] {
        let header = if accept.is_empty() { String::new() } else { format!("accept-language: {accept}\r\n") };
        let path = format!("/v1/decisions?customer=c&channel=app&placement=home{query}");
        let reply = server.call("GET", &path, &header, b"");
        assert_eq!(reply.status, 200, "{query} {accept}: {}", reply.text());
        assert_eq!(
            reply.json()["placements"][0]["propositions"][0]["treatment"],
            expected,
            "{query} {accept}"
        );
    }
    let body =
        r#"{"customer": "c", "channel": "app", "placements": [{"id": "home"}], "locale": ["fr", "zh-Hant"]}"#;
    let reply = server.json("POST", "/v1/decisions", body).json();
    assert_eq!(reply["placements"][0]["propositions"][0]["treatment"], "zh-TW");
}

/// A context field in a query, in the form of the contract and in those of clients that flatten objects, or
/// that were written for an earlier contract.
#[test]
fn a_query_names_context_fields_as_generated_clients_do() {
    let server = running();
    let rules = "rule_set: more\noffers:\n  here: {placements: [home], priority: 1, when: context.page == 'a b', \
                 treatments: [{placement: home, content: {n: 1}}]}\n";
    let yaml = "content-type: application/yaml\r\n";
    assert_eq!(server.call("PUT", "/v1/rule-sets/more", yaml, rules.as_bytes()).status, 201);
    for (query, offer) in [
        ("context[page]=a%20b", "here"),
        ("context%5Bpage%5D=a+b", "here"),
        ("context.page=a%20b", "here"),
        ("page=a%20b", "here"),
        ("context[page]=home", "brand"),
    ] {
        let found = server.get(&format!("/v1/decisions?customer=c&channel=app&placement=home&{query}"));
        let shown = &found.json()["placements"][0]["propositions"][0]["offer"];
        assert_eq!(shown, offer, "{query}: {}", found.text());
    }
    for query in ["context[page=a", "context=a", "contextpage=a", "pgae=a", "page=a&context.page=a"] {
        let found = server.get(&format!("/v1/decisions?customer=c&channel=app&placement=home&{query}"));
        assert_eq!(found.status, 400, "{query}: {}", found.text());
    }
}

#[test]
fn an_explanation_names_the_condition_and_the_values_seen() {
    let server = running();
    server.json("PUT", "/v1/customers/c-1", r#"{"age": 17}"#);
    let found = server.get("/v1/decisions?customer=c-1&channel=app&placement=home&explain=true").json();
    let all = found["placements"][0]["explanations"].as_array().unwrap().clone();
    let steady = all.iter().find(|e| e["offer"] == "steady").unwrap();
    assert_eq!(
        (&steady["eligible"], &steady["stopped_by"]["kind"]),
        (&json!(false), &json!("when")),
        "{steady}"
    );
    assert_eq!(steady["stopped_by"]["values"], json!({"age": 17}));
    let lacks = json!([[{"term": "age", "is": 17, "needs": "at least 18"}, {"term": "aum", "is": null, "needs": "at least 500000"}]]);
    assert_eq!(steady["stopped_by"]["lacks"], lacks, "{steady}");
}

#[test]
fn who_is_held_out_is_told_so() {
    let server = running();
    rich(&server);
    let outside = server.json("POST", "/v1/decisions", DECISION).json();
    assert!(outside.get("holdout").is_none(), "{outside}");
    let put = |text: &str| {
        let yaml = "content-type: application/yaml\r\n";
        let reply = server.call("PUT", "/v1/rule-sets/measure", yaml, text.as_bytes());
        assert!(reply.status < 300, "{}", reply.text());
    };
    put("rule_set: measure\nholdout: {percent: 100, salt: 2026}\n");
    let found = server.get("/v1/decisions?customer=c-1&channel=app&placement=home&explain=true").json();
    assert_eq!((&found["holdout"], &found["known"]), (&json!(true), &json!(true)), "{found}");
    let shown = &found["placements"][0];
    let offers: Vec<_> = shown["propositions"].as_array().unwrap().iter().map(|p| &p["offer"]).collect();
    assert_eq!((&shown["fallback"], offers), (&json!(true), vec![&json!("brand")]), "{found}");
    let stops = shown["explanations"].as_array().unwrap().iter().map(|e| &e["stopped_by"]["kind"]);
    assert!(stops.collect::<Vec<_>>().iter().all(|kind| **kind == "holdout"), "{found}");
}

#[test]
fn a_rule_set_is_checked_without_changing_anything() {
    let server = running();
    let check = |text: &str| {
        let reply = server.call(
            "POST",
            "/v1/rule-sets/wealth/check",
            "content-type: application/yaml\r\n",
            text.as_bytes(),
        );
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    };
    let before = server.get("/v1/rule-sets/wealth/versions").json();
    let same = check(support::RULES);
    let none = json!([]);
    assert_eq!((&same["errors"], &same["warnings"].as_array().map(Vec::len)), (&none, &Some(1)), "{same}");
    assert_eq!(same["warnings"][0]["kind"], "content", "the title has a control character on purpose");
    let reach = json!({"passing": 0, "depends_on_request": false, "open": true});
    let unchanged = |name: &str| json!({"name": name, "change": "unchanged", "reach": reach});
    assert_eq!(same["offers"], json!([unchanged("steady"), unchanged("brand")]), "nobody is known yet");
    let other = support::RULES
        .replace("aum >= 500000", "age < 18")
        .replace("  brand:\n    placements: [home]\n", "  brand:\n    placements: [home]\n    reason: new\n");
    let found = check(&(other.clone() + "  third: {treatments: [{placement: home, content: 1}]}\n"));
    assert!(found["errors"][0]["detail"].as_str().unwrap().contains("never shown on placement"), "{found}");
    let found =
        check(&(other + "  third: {placements: [chat], treatments: [{placement: chat, content: 1}]}\n"));
    let warning = &found["warnings"][0];
    assert_eq!(
        (&warning["kind"], &warning["line"], &warning["column"]),
        (&json!("never_true"), &json!(8), &json!(11))
    );
    assert_eq!(warning["pointer"], "/offers/steady/when");
    let changes: Vec<_> = found["offers"].as_array().unwrap().iter().map(|offer| &offer["change"]).collect();
    assert_eq!(changes, ["changed", "changed", "added"]);
    let broken = check("rule_set: wealth\ntags: {x: agee > 3}\n");
    assert_eq!((&broken["errors"][0]["line"], &broken["offers"]), (&json!(2), &none), "{broken}");
    assert!(broken["errors"][0]["hint"].as_str().unwrap().contains("age"), "{broken}");
    assert_eq!(server.get("/v1/rule-sets/wealth/versions").json(), before, "nothing was published");
}

#[test]
fn a_check_says_whom_each_offer_would_reach() {
    let server = running();
    for (id, aum) in [("a", 400_000), ("b", 500_000), ("c", 900_000)] {
        let customer = json!({"age": 40, "aum": aum}).to_string();
        assert_eq!(server.json("PUT", &format!("/v1/customers/{id}"), &customer).status, 200);
    }
    let yaml = "content-type: application/yaml\r\n";
    let found = server.call("POST", "/v1/rule-sets/wealth/check", yaml, support::RULES.as_bytes()).json();
    assert_eq!((&found["customers"], &found["sampled"]), (&json!(3), &json!(3)), "{found}");
    let passing: Vec<_> =
        found["offers"].as_array().unwrap().iter().map(|offer| &offer["reach"]["passing"]).collect();
    assert_eq!(passing, [2, 3], "{found}");
}

#[test]
fn a_check_says_how_guardrails_were_understood_and_whom_they_stop() {
    let server = running();
    for (id, age) in [("a", "17"), ("b", "18"), ("c", "null")] {
        let customer = format!(r#"{{"aum": 1, "age": {age}}}"#);
        assert_eq!(server.json("PUT", &format!("/v1/customers/{id}"), &customer).status, 200);
    }
    let law = "rule_set: law\nguardrails:\n  adult: offer.id == 'brand' || !(age < 18)\n  aged: offer.id == 'brand' || age < 99 || age == null\n";
    let yaml = "content-type: application/yaml\r\n";
    let found = server.call("POST", "/v1/rule-sets/law/check", yaml, law.as_bytes()).json();
    assert_eq!(
        found["guardrails"][0],
        json!({
            "name": "adult", "rule_set": "law", "line": 3, "condition": "offer.id == 'brand' || !(age < 18)",
            "forms": [{
                "words": "if `age` is at least 18",
                "passes_if": [[{"term": "age", "needs": "at least 18"}]],
                "missing": [{"fact": "age", "then": "stopped", "words": ""}],
                "depends_on_request": false,
                "offers": [{"name": "steady", "stopped": 2, "customers": 3}],
            }],
            "passing_offers": 1,
            "tags": [],
        }),
        "{found}"
    );
    let kinds: Vec<_> = found["warnings"].as_array().unwrap().iter().map(|found| &found["kind"]).collect();
    assert_eq!(kinds, ["guardrail_stops_nobody"], "{found}");
    assert!(found["warnings"][0]["detail"].as_str().unwrap().contains("all 3 customers"), "{found}");
}

#[test]
fn features_that_no_customer_has_are_told_when_there_are_customers() {
    let server = running();
    let check = || {
        let yaml = "content-type: application/yaml\r\n";
        let found = server.call("POST", "/v1/rule-sets/wealth/check", yaml, support::RULES.as_bytes()).json();
        let warnings = found["warnings"].as_array().unwrap();
        warnings.iter().filter(|warning| warning["kind"] == "feature").count()
    };
    assert_eq!(check(), 0);
    server.json("PUT", "/v1/customers/c-1", r#"{"age": 41}"#);
    assert_eq!(check(), 1, "nobody has `aum`");
    rich(&server);
    assert_eq!(check(), 0);
}

#[test]
fn publishing_tells_what_is_hardly_meant() {
    let server = running();
    let yaml = "content-type: application/yaml\r\n";
    let text = support::RULES.replace("aum >= 500000", "age < 18");
    for activate in ["false", "true"] {
        let target = format!("/v1/rule-sets/wealth?activate={activate}");
        let reply = server.call("PUT", &target, yaml, text.as_bytes());
        let status = if activate == "false" { 201 } else { 200 }; // then it is there
        assert_eq!((reply.status, &reply.json()["warnings"][0]["kind"]), (status, &json!("never_true")));
    }
    let bundle = json!({"schema": support::SCHEMA, "rule_sets": [{"file": "w.yaml", "text": text}]});
    let reply = server.json("PUT", "/v1/bundle", &bundle.to_string()).json();
    assert_eq!(reply["warnings"][0]["source"], "w.yaml", "{reply}");
}

#[test]
fn a_time_that_is_over_still_gets_an_answer() {
    let server = running();
    let reply = server.get("/v1/decisions?customer=c-1&channel=app&placement=home&deadline_us=1");
    assert_eq!((reply.status, &reply.json()["degraded"]), (200, &json!(true)), "{}", reply.text());
}

#[test]
fn customers_are_written_read_merged_and_erased() {
    let server = running();
    rich(&server);
    let patch = r#"{"age": null, "tier": "gold", "since": "2026-11-21T10:00:00Z"}"#;
    assert_eq!(server.json("PATCH", "/v1/customers/c-1", patch).status, 200);
    let found = server.get("/v1/customers/c-1").json();
    let features =
        json!({"aum": 600000.5, "interests": ["funds"], "tier": "gold", "since": "2026-11-21T10:00:00Z"});
    assert_eq!(found, json!({"customer": "c-1", "features": features, "tags": {}, "contacts": []}));
    server.json("PUT", "/v1/customers/c-1", r#"{"age": 3}"#);
    assert_eq!(server.get("/v1/customers/c-1").json()["features"], json!({"age": 3}));
    assert_eq!(server.call("DELETE", "/v1/customers/c-1", "", b"").status, 200);
    assert_eq!(server.call("DELETE", "/v1/customers/c-1", "", b"").status, 404);
    assert_eq!(server.get("/v1/customers/c-1").status, 404);
    assert_eq!(server.json("PUT", "/v1/customers/a%2F%E5%AE%A2", "{}").json()["customer"], "a/客");
}

#[test]
fn bulk_loads_take_the_good_rows_and_name_the_bad_ones() {
    let server = running();
    let csv = b"customer,age,interests\nc-1,41,funds|gold\nc-2,999,\n\"c-3\",,\nc-4,1\n";
    let csv_type = "content-type: text/csv\r\n";
    let reply = server.call("POST", "/v1/customers", csv_type, csv).json();
    assert_eq!((&reply["accepted"], &reply["rejected"]), (&json!(2), &json!(2)), "{reply}");
    assert_eq!((&reply["errors"][0]["line"], &reply["errors"][0]["column"]), (&json!(3), &json!(2)));
    assert_eq!(
        server.get("/v1/customers/c-1").json()["features"],
        json!({"age": 41, "interests": ["funds", "gold"]})
    );
    let lines = b"{\"customer\": \"c-1\", \"age\": 5}\n{\"customer\": \"c-5\", \"aeg\": 5}\n";
    let lines_type = "content-type: application/x-ndjson\r\n";
    let refused = server.call("POST", "/v1/customers?max_errors=0", lines_type, lines);
    assert_eq!((refused.status, &refused.json()["applied"]), (422, &json!(0)));
    assert_eq!(server.get("/v1/customers/c-1").json()["features"]["age"], 41);
    let dry = server.call("POST", "/v1/customers?dry_run=true", lines_type, lines).json();
    assert_eq!((&dry["accepted"], &dry["errors"][0]["line"]), (&json!(1), &json!(2)), "{dry}");
    assert!(dry["errors"][0]["hint"].as_str().unwrap().contains("age"), "{dry}");
    assert_eq!(server.get("/v1/customers/c-1").json()["features"]["age"], 41);
    assert_eq!(server.call("POST", "/v1/customers?mode=replace", lines_type, lines).status, 200);
    assert_eq!(server.get("/v1/customers/c-1").json()["features"], json!({"age": 5}));
    let header = server.call("POST", "/v1/customers", csv_type, b"customer,aeg\nc-1,1\n");
    assert_eq!(header.status, 400);
    assert!(header.text().contains("did you mean `age`?"), "{}", header.text());
    let whole = server.call("POST", "/v1/customers", csv_type, b"age,interests\n1,funds\n").json();
    let error = whole["errors"][0].as_object().unwrap();
    assert_eq!((&error["line"], error.get("column")), (&json!(1), None), "the whole line: {whole}");
}

#[test]
fn a_load_that_says_of_empty_cells_what_it_does_not_mean_is_refused() {
    let server = running();
    for (query, body, says) in [
        ("mode=erase&empty=keep", "text/csv", "`mode=erase` takes no features"),
        ("mode=erase&empty=clear", "text/csv", "`mode=erase` takes no features"),
        ("mode=erase&empty=both", "text/csv", "expected keep or clear, found \\\"both\\\""),
        ("mode=replace&empty=keep", "text/csv", "`mode=replace` clears what a row does not give"),
        ("empty=clear", "application/x-ndjson", "NDJSON has no cells"),
    ] {
        let path = format!("/v1/customers?{query}");
        let refused = server.call("POST", &path, &format!("content-type: {body}\r\n"), b"customer\nc-1\n");
        assert_eq!((refused.status, refused.text().contains(says)), (400, true), "{}", refused.text());
    }
}

#[test]
fn packed_bulk_loads_are_unpacked_and_bounded() {
    use std::io::Write;
    let server = running();
    let csv = b"customer,age\nc-1,41\n";
    let zip = |bytes: &[u8]| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    };
    let head = |packing: &str| format!("content-type: text/csv\r\ncontent-encoding: {packing}\r\n");
    assert_eq!(server.call("POST", "/v1/customers", &head("gzip"), &zip(csv)).json()["accepted"], 1);
    let packed = zstd::encode_all(&csv[..], 1).unwrap();
    assert_eq!(server.call("POST", "/v1/customers", &head("zstd"), &packed).json()["accepted"], 1);
    let bomb = zip(&vec![b'a'; 9 * 1024 * 1024]);
    assert_eq!(server.call("POST", "/v1/customers", &head("gzip"), &bomb).status, 413);
    assert_eq!(server.call("POST", "/v1/customers", &head("gzip"), b"not gzip").status, 400);
    assert_eq!(server.call("POST", "/v1/customers", &head("br"), b"x").status, 415);
}

#[test]
fn many_rows_are_written_in_chunks() {
    let server = running();
    let mut csv = String::from("customer,age\n");
    (0..2500).for_each(|i| csv.push_str(&format!("c-{i},{}\n", i % 100)));
    let reply = server.call("POST", "/v1/customers", "content-type: text/csv\r\n", csv.as_bytes());
    assert_eq!(reply.json()["accepted"], 2500, "{}", reply.text());
    assert_eq!(server.get("/v1/customers/c-2499").json()["features"]["age"], 99);
}

#[test]
fn rule_sets_are_published_guarded_activated_and_rolled_back() {
    let server = running();
    let path = "/v1/rule-sets/wealth";
    let first = server.get(path);
    assert_eq!(first.text(), support::RULES);
    let tag = |reply: &support::Reply| reply.header("etag").unwrap_or_default().to_owned();
    let newer = support::RULES.replace("500000", "400000");
    let put = |query: &str, headers: &str, body: &str| {
        server.call("PUT", &format!("{path}{query}"), headers, body.as_bytes())
    };
    // Version numbers were tags once.
    let stale = put("", "if-match: \"1\"\r\n", &newer);
    assert_eq!((stale.status, tag(&stale)), (412, tag(&first)), "{}", stale.text());
    let done = put("", &format!("if-match: {}\r\n", tag(&first)), &newer);
    assert_eq!((done.status, tag(&done)), (201, tag(&server.get(path))), "{}", done.text());
    assert_ne!(tag(&done), tag(&first));
    assert_eq!((&done.json()["version"], &done.json()["active"]), (&json!(2), &json!(true)));
    let waiting = put("?activate=false", "content-type: application/yaml\r\n", support::RULES);
    assert_eq!((waiting.status, &waiting.json()["active"]), (201, &json!(false)), "{}", waiting.text());
    assert_eq!(waiting.header("etag"), None, "it is not what a reader gets");
    let again = put("?activate=false", "", support::RULES);
    assert_eq!(
        (again.status, &again.json()["version"], &again.json()["new"]),
        (200, &json!(3), &json!(false))
    );
    assert_eq!(tag(&server.get(path)), tag(&done));
    let activated = server.call("POST", &format!("{path}/versions/3/activate"), "", b"");
    assert_eq!(activated.json()["version"], 3, "{}", activated.text());
    let back = server.call("POST", &format!("{path}/rollback"), "if-match: *\r\n", b"");
    assert_eq!((back.status, &back.json()["version"]), (200, &json!(2)), "{}", back.text());
    assert_eq!(server.get(&format!("{path}/versions/1")).text(), support::RULES);
    let versions = server.get(&format!("{path}/versions")).json();
    assert_eq!(versions["versions"].as_array().unwrap().len(), 3);
    assert_eq!(server.get("/v1/rule-sets").json()["rule_sets"][0]["active"], 2);
    let known = format!("if-none-match: \"x\", W/{}\r\n", tag(&done));
    assert_eq!(server.call("GET", path, &known, b"").status, 304);
    let document = server.call("GET", path, "accept: application/json\r\n", b"").json();
    assert_eq!(document, json!({"name": "wealth", "version": 2, "text": newer}));
    for headers in ["", &known] {
        assert_eq!(server.call("GET", path, headers, b"").header("vary"), Some("Accept"));
    }
    assert_eq!(server.call("POST", &format!("{path}/versions/77/activate"), "", b"").status, 404);
    assert_eq!(server.call("DELETE", path, "if-match: \"1\"\r\n", b"").status, 412);
    assert_eq!(server.call("DELETE", path, "", b"").status, 200);
    assert_eq!(server.get(path).status, 404);
    assert_eq!(put("", "if-none-match: *\r\n", &newer).status, 201);
}

#[test]
fn a_tag_is_of_the_content_and_its_form() {
    let (server, other) = (running(), running());
    let forms = ["", "accept: application/json\r\n", "accept: application/msgpack\r\n"];
    let newer = support::RULES.replace("500000", "400000");
    let grown = support::SCHEMA.replace("context:", "  vip: {kind: bool}\ncontext:");
    let changed = other.call("PUT", "/v1/schema", "", grown.as_bytes());
    assert_eq!(changed.status, 200, "{}", changed.text());
    for (path, text) in [("/v1/rule-sets/wealth", &newer), ("/v1/schema", &grown)] {
        let tags = forms.map(|form| server.call("GET", path, form, b"").header("etag").unwrap().to_owned());
        assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
        for (form, tag) in forms.iter().zip(&tags) {
            for (known, of) in tags.iter().zip(&tags) {
                let headers = format!("{form}if-none-match: {known}\r\n");
                let status = server.call("GET", path, &headers, b"").status;
                assert_eq!(status, if of == tag { 304 } else { 200 }, "{path} {form}");
            }
            let [fits, weak] = [format!("if-match: {tag}\r\n"), format!("if-match: W/{tag}\r\n")];
            assert_eq!(server.call("GET", path, &fits, b"").status, 200);
            assert_eq!(server.call("GET", path, &weak, b"").status, 412);
            assert_eq!(server.call("PUT", path, &weak, text.as_bytes()).status, 412);
        }
        // Another server with another text under the same number.
        if path == "/v1/rule-sets/wealth" {
            assert_eq!(other.call("PUT", path, "", text.as_bytes()).status, 201);
        }
        for tag in &tags {
            assert_eq!(other.call("GET", path, &format!("if-none-match: {tag}\r\n"), b"").status, 200);
            assert_eq!(other.call("PUT", path, &format!("if-match: {tag}\r\n"), text.as_bytes()).status, 412);
        }
        let list = format!("if-match: \"a,b\", {}\r\n", tags[2]);
        let done = server.call("PUT", path, &list, text.as_bytes());
        assert!([200, 201].contains(&done.status), "{}", done.text());
        assert_eq!(done.header("etag"), other.get(path).header("etag"), "the same text, the same tag");
    }
    assert_eq!(server.call("PUT", "/v1/schema", "if-none-match: *\r\n", grown.as_bytes()).status, 412);
    for headers in ["if-match: *\r\n", "if-none-match: *\r\n"] {
        let bundle = json!({"schema": grown, "rule_sets": []}).to_string();
        let headers = format!("content-type: application/json\r\n{headers}");
        assert_eq!(server.call("PUT", "/v1/bundle", &headers, bundle.as_bytes()).status, 400);
        let path = "/v1/rule-sets/wealth/check";
        assert_eq!(server.call("POST", path, &headers, newer.as_bytes()).status, 400);
    }
}

#[test]
fn another_schema_and_what_a_bundle_does_not_have_must_be_said() {
    let server = running();
    let other = support::SCHEMA.replace("schema: test", "schema: other");
    let refused = server.call("PUT", "/v1/schema", "", other.as_bytes());
    assert_eq!((refused.status, refused.json()["errors"].as_array().unwrap().len()), (409, 1));
    assert!(refused.text().contains("rename_schema=true"), "{}", refused.text());
    let bundle = |query: &str, schema: &str| {
        let body = json!({"schema": schema, "rule_sets": [{"file": "x.yaml", "text": "rule_set: x\n"}]});
        server.json("PUT", &format!("/v1/bundle{query}"), &body.to_string())
    };
    assert_eq!(bundle("", &other).status, 409);
    assert_eq!(server.call("PUT", "/v1/schema?rename_schema=true", "", other.as_bytes()).status, 200);
    assert_eq!(bundle("", support::SCHEMA).status, 409);
    let done = bundle("?rename_schema=true", support::SCHEMA).json();
    assert_eq!((&done["still_active"], &done["retired"]), (&json!(["wealth"]), &json!([])), "{done}");
    assert_eq!(done["rule_sets"], json!([{"name": "x", "version": 1, "active": true, "new": true}]));
    assert_eq!(bundle("?prune=true&activate=false", support::SCHEMA).status, 409);
    let done = bundle("?prune=true", support::SCHEMA).json();
    assert_eq!((&done["still_active"], &done["retired"]), (&json!([]), &json!(["wealth"])), "{done}");
    assert_eq!(server.get("/v1/rule-sets/wealth").status, 404);
}

#[test]
fn a_rule_set_comes_as_json_or_messagepack_too() {
    let server = running();
    let document = json!({"rule_set": "cards", "offers": {"gold": {"placements": ["home"], "when": "tier == 'gold'",
        "treatments": [{"id": "a", "placement": "home", "content": {"x": 1.5, "y": [true, null, "\"😀"]}}]}}});
    let path = "/v1/rule-sets/cards";
    let done = server.json("PUT", path, &document.to_string());
    assert_eq!(done.status, 201, "{}", done.text());
    let packed = server.call(
        "PUT",
        path,
        "content-type: application/x-msgpack\r\n",
        &rmp_serde::to_vec_named(&document).unwrap(),
    );
    assert!([200, 201].contains(&packed.status), "{}", packed.text());
    assert_eq!(packed.header("etag"), None, "it was not kept as it was sent");
    let text = server.get(path);
    assert_eq!(serde_json::from_slice::<Value>(&text.body).unwrap(), document);
}

#[test]
fn a_wrong_rule_set_reports_everything_and_changes_nothing() {
    let server = running();
    let wrong = support::RULES.replace("age >= 18", "agee >= 18").replace("count: 2", "count: 99");
    let reply = server.call("PUT", "/v1/rule-sets/wealth", "", wrong.as_bytes());
    assert_eq!(reply.status, 422, "{}", reply.text());
    let errors = reply.json()["errors"].as_array().unwrap().clone();
    assert!(errors.len() >= 2 && errors.iter().all(|e| e["line"].is_u64()), "{errors:?}");
    assert_eq!(server.get("/v1/rule-sets/wealth").text(), support::RULES);
}

#[test]
fn the_schema_grows_and_refuses_to_shrink() {
    let server = running();
    let first = server.get("/v1/schema");
    assert_eq!(first.text(), support::SCHEMA);
    let grown = support::SCHEMA.replace("context:", "  vip: {kind: bool}\ncontext:");
    let stale = server.call("PUT", "/v1/schema", "if-match: \"x\"\r\n", grown.as_bytes());
    assert_eq!(stale.status, 412);
    let tag = format!("if-match: {}\r\n", first.header("etag").unwrap());
    let done = server.call("PUT", "/v1/schema", &tag, grown.as_bytes());
    assert_eq!((done.status, &done.json()["features"]), (200, &json!(6)), "{}", done.text());
    assert_eq!(server.json("PATCH", "/v1/customers/c-1", r#"{"vip": true}"#).status, 200);
    let shrunk = server.call("PUT", "/v1/schema", "", support::SCHEMA.as_bytes());
    assert_eq!(shrunk.status, 409, "{}", shrunk.text());
    let document = server.call("GET", "/v1/schema", "accept: application/json\r\n", b"").json();
    assert_eq!(document["features"].as_array().unwrap().len(), 6);
}

#[test]
fn operations_see_what_goes_on() {
    let server = running();
    server.json("POST", "/v1/decisions", DECISION);
    assert_eq!(server.get("/livez").status, 200);
    assert_eq!(server.get("/readyz").json()["ready"], true);
    let metrics = server.get("/metrics");
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    for line in [
        "usher_decisions_total 1\n",
        "usher_decision_duration_seconds_count 1\n",
        "usher_http_requests_total{route=\"/v1/decisions\",status=\"2xx\"} 1\n",
        "usher_rule_set_version{rule_set=\"wealth\"} 1",
        "usher_customers 0",
        "usher_sequence 3",
        "usher_offers 2",
        "usher_panics_total 0\n",
        "# EOF\n",
    ] {
        assert!(metrics.text().contains(line), "{line} is not in {}", metrics.text());
    }
    for (accept, expected) in [
        (
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/open",
        ),
        ("text/plain;version=0.0.4;q=0.7, application/openmetrics-text; q=0.2", "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
        ("application/json", "application/openmetrics-text"),
        ("", "application/openmetrics-text"),
    ] {
        let metrics = server.call("GET", "/metrics", &format!("accept: {accept}\r\n"), b"");
        let given = metrics.header("content-type").unwrap();
        assert!(given.starts_with(expected), "{accept}: {given}");
        assert_eq!(metrics.text().ends_with("# EOF\n"), given.starts_with("application/open"), "{accept}");
    }
    assert!(server.get("/openapi.json").json()["paths"]["/v1/decisions"].is_object());
}

#[test]
fn head_answers_as_get_without_the_body() {
    let server = running();
    for path in ["/livez", "/v1/schema", "/v1/decisions?customer=c&channel=app&placement=home", "/nothing"] {
        let mut client = server.client();
        client.request("HEAD", path, "", b"");
        let head = client.reply_to("HEAD");
        client.request("GET", path, "", b"");
        let get = client.reply();
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_also_when_one_is_slow() {
    let server = running();
    let mut client = server.client();
    let mut bytes = Vec::new();
    for i in 0..500 {
        let body = format!("{{\"age\": {}}}", i % 100);
        bytes.extend_from_slice(match i % 5 {
            0 => format!(
                "PUT /v1/customers/p-{i} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ),
            _ => format!("GET /v1/decisions?customer=p-{i}&channel=app&placement=home HTTP/1.1\r\nhost: localhost\r\n\r\n"),
        }.as_bytes());
    }
    client.send(&bytes);
    for i in 0..500 {
        let reply = client.reply();
        assert_eq!((reply.status, &reply.json()["customer"]), (200, &json!(format!("p-{i}"))));
    }
}

#[test]
fn half_a_further_request_does_not_hold_back_answers() {
    let server = running();
    let mut client = server.client();
    client.send(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\nGET /livez HT");
    assert_eq!(client.reply().status, 200);
    client.send(b"TP/1.1\r\nhost: localhost\r\n\r\n");
    assert_eq!(client.reply().status, 200);
}

#[test]
fn a_client_that_has_said_all_still_gets_its_answer() {
    let server = running();
    let mut stream = std::net::TcpStream::connect(server.address).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

#[test]
fn stopping_finishes_what_is_in_flight() {
    let mut server = running_with(usher::http::Settings { notice: Duration::from_millis(300), ..settings() });
    let (mut idle, mut slow, mut asks) = (server.client(), server.client(), server.client());
    idle.request("GET", "/livez", "", b"");
    idle.reply();
    slow.send(b"PUT /v1/customers/c-1 HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"age\"");
    std::thread::sleep(Duration::from_millis(100));
    let stopping = server.server.take().unwrap();
    let begun = Instant::now();
    let stopped = std::thread::spawn(move || stopping.stop());
    std::thread::sleep(Duration::from_millis(100));
    asks.request("GET", "/readyz", "", b"");
    assert_eq!(asks.reply().status, 503);
    slow.send(b": 41}");
    assert_eq!(slow.reply().status, 200);
    stopped.join().unwrap();
    assert!(idle.closed());
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(std::net::TcpStream::connect(server.address).is_err());
}

#[test]
fn an_address_in_use_is_an_error_and_a_public_one_needs_a_word() {
    use usher::http::{ListenError, serve};
    let server = running();
    let node = || Startup::done(Arc::clone(&server.node));
    let again = serve(server.address, node(), settings()).err().unwrap();
    assert!(matches!(again, ListenError::InUse(_)), "{again}");
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = serve(other.local_addr().unwrap(), node(), settings()).err().unwrap();
    assert!(taken.to_string().contains("address in use"), "{taken}");
    let public = serve("0.0.0.0:0".parse().unwrap(), node(), settings()).err().unwrap();
    assert!(matches!(public, ListenError::Anonymous(_)), "{public}");
    let allowed = usher::http::Settings { allow_anonymous: true, ..settings() };
    serve("0.0.0.0:0".parse().unwrap(), node(), allowed).unwrap().stop();
    // The port is free again at once.
    let (address, again) = (server.address, node());
    let mut server = server;
    server.server.take().unwrap().stop();
    serve(address, again, settings()).unwrap().stop();
}

fn bundle_of(schema: &str, files: &[(&str, &str)]) -> Value {
    let rule_sets: Vec<_> = files.iter().map(|(file, text)| json!({"file": file, "text": text})).collect();
    json!({"schema": schema, "rule_sets": rule_sets})
}

#[test]
fn a_bundle_is_all_or_nothing() {
    let server = running();
    let cards = "rule_set: cards\noffers:\n  gold:\n    placements: [home]\n    treatments: [{placement: home, \
                 content: {title: gold}}]\n";
    let put =
        |query: &str, body: &Value| server.json("PUT", &format!("/v1/bundle{query}"), &body.to_string());
    let first = put("", &bundle_of(support::SCHEMA, &[("w.yaml", support::RULES), ("c.yaml", cards)]));
    let version = |name: &str, version: u32, active: bool, new: bool| json!({"name": name, "version": version, "active": active, "new": new});
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(
        first.json()["rule_sets"],
        json!([version("wealth", 1, true, false), version("cards", 1, true, true)])
    );
    // If several files use a placement and it gets another name, no order of pushing single files works.
    let renamed = |text: &str| text.replace("home", "start");
    let (wealth, cards) = (renamed(support::RULES), renamed(cards));
    let schema = support::SCHEMA.replace("context:", "  vip: {kind: bool}\ncontext:");
    let alone = server.call("PUT", "/v1/rule-sets/wealth", "", wealth.as_bytes());
    assert_eq!(alone.status, 422, "{}", alone.text());
    assert_eq!(
        alone.json()["errors"][0]["source"],
        "cards",
        "another text than the one sent, by its own name"
    );
    let wrong = cards.replace("rule_set: cards", "rule_set: cards\nofers: 1");
    let refused = put("", &bundle_of(&schema, &[("w.yaml", &wealth), ("c.yaml", &wrong)]));
    assert_eq!((refused.status, &refused.json()["errors"][0]["source"]), (422, &json!("c.yaml")));
    assert_eq!(server.get("/v1/schema").text(), support::SCHEMA, "nothing was changed");
    let body = bundle_of(&schema, &[("w.yaml", &wealth), ("c.yaml", &cards)]);
    let waiting = put("?activate=false", &body).json();
    assert_eq!(
        waiting["rule_sets"],
        json!([version("wealth", 2, false, true), version("cards", 2, false, true)])
    );
    assert_eq!(server.get("/v1/rule-sets/wealth").text(), support::RULES);
    let packed = rmp_serde::to_vec_named(&body).unwrap();
    let done = server.call("PUT", "/v1/bundle", MSGPACK, &packed);
    let unpacked: Value = rmp_serde::from_slice(&done.body).unwrap();
    assert_eq!(
        unpacked["rule_sets"],
        json!([version("wealth", 2, true, false), version("cards", 2, true, false)])
    );
    let shown = server.get("/v1/decisions?customer=c-1&channel=app&placement=start").json();
    assert_eq!(shown["rule_sets"], json!({"wealth": 2, "cards": 2}), "{shown}");
    let again = put("", &body).json();
    assert_eq!((&again["sequence"], &again["rule_sets"]), (&unpacked["sequence"], &unpacked["rule_sets"]));
}
