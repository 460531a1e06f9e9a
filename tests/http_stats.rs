//! Decisions are counted exactly, whichever thread makes them and whatever is published meanwhile.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::{RULES, Running, block_on, running};
use usher::node::define::Define;

const CLIENTS: u64 = 8;
const EACH: u64 = 150;

/// Decides in turn for a customer who may be shown `steady` and for one who may not.
fn decide(client: &mut support::Client, round: u64) {
    let customer = if round.is_multiple_of(2) { "rich" } else { "poor" };
    let target = format!("/v1/decisions?customer={customer}&channel=app&placement=home&count=2");
    client.request("GET", &target, "", b"");
    let reply = client.reply();
    assert_eq!(reply.status, 200, "{}", reply.text());
}

fn with_customers() -> Running {
    let server = running();
    let rich = server.json("PUT", "/v1/customers/rich", r#"{"age": 40, "aum": 900000}"#);
    assert_eq!(rich.status, 200, "{}", rich.text());
    server
}

fn row(name: &str, decisions: u64, fallbacks: u64) -> Value {
    json!({"offer": name, "decisions": decisions, "fallbacks": fallbacks, "impressions": 0, "clicks": 0,
        "dismissals": 0, "conversions": 0, "value": 0.0, "shown": rate(0, decisions)})
}

fn rate(of: u64, all: u64) -> Value {
    let rate = usher::insight::stats::wilson(of, all).unwrap();
    json!({"rate": rate.rate, "low": rate.low, "high": rate.high})
}

#[test]
fn decisions_of_all_threads_are_counted_exactly_while_rule_sets_change() {
    let server = with_customers();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = server.client();
                (0..EACH).for_each(|round| decide(&mut client, round));
            });
        }
        for round in 0..20 {
            let text = format!(
                "{RULES}  new{round}:\n    placements: [chat]\n    treatments: [{{placement: chat, content: {{}}}}]\n"
            );
            let publish = Define::Publish { name: "wealth".into(), text, activate: true, if_active: None };
            block_on(server.node.define(publish)).unwrap();
        }
    });
    let found = server.get("/v1/stats").json();
    let all = CLIENTS * EACH;
    // The rich are shown both. `brand` may be shown to everybody, so it never counts as a fallback.
    let expected = [row("brand", all, 0), row("steady", all / 2, 0)];
    assert_eq!(found["rows"], json!(expected));
    let place = json!({"placement": "home", "channel": "app", "asked": all, "fallbacks": 0, "empty": 0,
        "degraded": 0});
    assert_eq!(found["places"], json!([place]));
    assert_eq!((&found["funnel"]["decisions"], &found["by"]), (&json!(all + all / 2), &json!(["offer"])));
    assert_eq!(found["uncounted"], json!({"combinations": 0, "outcomes": 0}));
    assert_eq!(found["sequence"], server.node.sequence());
    assert!(usher::schema::value::Time::parse(found["since"].as_str().unwrap()).is_some(), "{found}");
}

#[test]
fn fallbacks_and_empty_answers_are_counted_apart() {
    let server = running();
    let text = RULES.replace("  brand:\n    placements: [home]\n", "  brand:\n");
    let publish = Define::Publish { name: "wealth".into(), text, activate: true, if_active: None };
    block_on(server.node.define(publish)).unwrap();
    for target in [
        "/v1/decisions?customer=c-1&channel=app&placement=home",
        "/v1/decisions?customer=c-1&channel=chatbot&placement=chat",
        "/v1/decisions?customer=c-1&channel=chatbot&placement=chat",
        "/v1/decisions?customer=c-1&channel=chatbot&placement=chat&explain=true", // nobody is shown it
        "/v1/decisions?customer=c-1&channel=app&placement=hom",                   // refused: no decision
    ] {
        server.get(target);
    }
    let found = server.get("/v1/stats?by=placement,channel,offer").json();
    let mut expected = row("brand", 1, 1);
    (expected["placement"], expected["channel"]) = ("home".into(), "app".into());
    assert_eq!(found["rows"], json!([expected]));
    let place = |placement, channel, asked, fallbacks, empty| {
        json!({"placement": placement, "channel": channel, "asked": asked, "fallbacks": fallbacks,
            "empty": empty, "degraded": 0})
    };
    assert_eq!(found["places"], json!([place("chat", "chatbot", 2, 0, 2), place("home", "app", 1, 1, 0)]));
}

#[test]
fn questions_narrow_and_group() {
    let server = with_customers();
    let mut client = server.client();
    (0..4).for_each(|round| decide(&mut client, round));
    let rows = |target: &str| server.get(target).json()["rows"].clone();
    assert_eq!(rows("/v1/stats?offer=steady"), json!([row("steady", 2, 0)]));
    assert_eq!(rows("/v1/stats?channel=chatbot"), json!([]));
    let mut all = row("", 6, 0);
    all.as_object_mut().unwrap().remove("offer");
    assert_eq!(rows("/v1/stats?by="), json!([all]));
    assert_eq!(rows("/v1/stats?by=variant"), json!([]), "nobody is in one");
    let by_day = server.get("/v1/stats?by=day,offer&to=2026-11-01").json();
    assert_eq!((&by_day["rows"], &by_day["funnel"]["decisions"]), (&json!([]), &Value::Null));
    assert_eq!(by_day["by"], json!(["day", "offer"]));
    let packed = server.call("GET", "/v1/stats", "accept: application/msgpack\r\n", b"");
    assert_eq!(packed.header("content-type"), Some("application/msgpack"));
    assert_eq!(rmp_serde::from_slice::<Value>(&packed.body).unwrap(), server.get("/v1/stats").json());
}

#[test]
fn a_question_that_is_wrong_is_told_all_of_it() {
    let server = running();
    for (query, pointer, detail, hint) in [
        ("by=ofer", "/by", r#"unknown dimension "ofer""#, "did you mean `offer`?"),
        ("by=offer,weekday", "/by", r#"unknown dimension "weekday""#, "known here: offer, placement"),
        ("by=offer,offer", "/by", "`offer` is given twice", ""),
        ("offer=staedy", "/offer", r#"unknown offer "staedy""#, "did you mean `steady`?"),
        ("placement=hom", "/placement", r#"unknown placement "hom""#, "did you mean `home`?"),
        ("channel=ap", "/channel", r#"unknown channel "ap""#, "did you mean `app`?"),
        (
            "variant=e.a",
            "/variant",
            r#"unknown variant "e.a""#,
            "no published rule set has ever had a variant",
        ),
        ("from=yesterday", "/from", "expected a day such as 2026-11-01", ""),
        ("to=2026-02-30", "/to", "expected a day", ""),
        ("to=1969-12-31", "/to", "before 1970", ""),
        ("from=2026-11-02&to=2026-11-01", "/from", "after", ""),
        ("offr=x", "/offr", "unknown parameter", "did you mean `offer`?"),
    ] {
        let reply = server.get(&format!("/v1/stats?{query}"));
        assert_eq!(reply.status, 400, "{query}");
        let error = &reply.json()["errors"][0];
        assert_eq!(error["pointer"], pointer, "{query}");
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        assert!(text("detail").contains(detail) && text("hint").contains(hint), "{query}: {error}");
    }
    let all = server.get("/v1/stats?by=x&offer=y&from=z").json();
    assert_eq!(all["errors"].as_array().unwrap().len(), 3);
    assert_eq!(server.call("POST", "/v1/stats", "", b"").header("allow"), Some("GET, HEAD, OPTIONS"));
}

#[test]
fn the_contract_describes_what_is_answered() {
    let server = with_customers();
    decide(&mut server.client(), 0);
    let found = server.get("/v1/stats?by=offer,placement,channel").json();
    let contract = server.get("/openapi.json").json();
    let schemas = &contract["components"]["schemas"];
    let agrees = |schema: &Value, value: &Value, what: &str| {
        for key in value.as_object().unwrap().keys() {
            assert!(schema["properties"][key].is_object(), "{what}: {key} is not described");
        }
        for key in schema["required"].as_array().unwrap() {
            assert!(value.get(key.as_str().unwrap()).is_some(), "{what}: {key} is missing");
        }
    };
    let example =
        &contract["paths"]["/v1/stats"]["get"]["responses"]["200"]["content"]["application/json"]["example"];
    for answer in [&found, example] {
        agrees(&schemas["Stats"], answer, "Stats");
        agrees(&schemas["StatsRow"], &answer["rows"][0], "StatsRow");
        agrees(&schemas["StatsFigures"], &answer["funnel"], "StatsFigures");
        agrees(&schemas["Rate"], &answer["funnel"]["shown"], "Rate");
        agrees(&schemas["Stats"]["properties"]["places"]["items"], &answer["places"][0], "places");
    }
    agrees(
        &schemas["Stats"]["properties"]["experiments"]["items"],
        &example["experiments"][0],
        "experiments",
    );
}

const EXPERIMENT: &str = "rule_set: wealth
experiments:
  style: {variants: {plain: 50, photo: 30}, salt: s}
holdout: {percent: 10, salt: h}
placements:
  home: {channels: [app], count: 1, fallback: brand}
  chat: {channels: [chatbot], count: 1}
offers:
  card:
    placements: [home, chat]
    variant: style.photo
    treatments: [{placement: home, content: {}}, {placement: chat, content: {}}]
  brand:
    treatments: [{placement: home, content: {}}]
";

/// Offer and token of the first proposition, if there is one.
fn token(client: &mut support::Client, customer: &str, target: &str) -> Option<(String, String)> {
    client.request("GET", &format!("/v1/decisions?customer={customer}&{target}"), "", b"");
    let answer = client.reply().json();
    let shown = &answer["placements"][0]["propositions"][0];
    let text = |key: &str| shown[key].as_str().map(str::to_owned);
    Some((text("offer")?, text("token")?))
}

#[test]
fn outcomes_and_the_split_of_experiments_are_told() {
    const CUSTOMERS: usize = 2_000;
    let server = running();
    let publish =
        Define::Publish { name: "wealth".into(), text: EXPERIMENT.into(), activate: true, if_active: None };
    block_on(server.node.define(publish)).unwrap_or_else(|e| panic!("{e:?}"));
    let mut client = server.client();
    let mut cards = 0_u64;
    for customer in 0..CUSTOMERS {
        let customer = format!("c-{customer}");
        // A customer outside `photo` is shown nothing in the chat, but still counts in their arm.
        let Some((offer, token)) = token(&mut client, &customer, "channel=chatbot&placement=chat") else {
            continue;
        };
        assert_eq!(offer, "card");
        cards += 1;
        if cards <= 40 {
            for kind in ["impression", "click"].iter().take(if cards <= 10 { 2 } else { 1 }) {
                let event = json!({"type": kind, "customer": customer, "token": token}).to_string();
                let headers = "content-type: application/json\r\n";
                client.request("POST", "/v1/events", headers, event.as_bytes());
                assert_eq!(client.reply().json()["accepted"], 1);
            }
        }
    }
    let found = server.get("/v1/stats").json();
    let mut expected = row("card", cards, 0);
    (expected["impressions"], expected["clicks"]) = (40.into(), 10.into());
    (expected["shown"], expected["click_through"]) = (rate(40, cards), rate(10, 40));
    (expected["conversion"], expected["click_conversion"]) = (rate(0, 40), rate(0, 10));
    assert_eq!(found["rows"], json!([expected]));
    let by_variant = server.get("/v1/stats?by=variant").json();
    let counts = |row: &Value| json!([row["variant"], row["decisions"], row["impressions"], row["clicks"]]);
    let rows: Vec<Value> = by_variant["rows"].as_array().unwrap().iter().map(counts).collect();
    assert_eq!(rows, [json!(["holdout.out", cards, 40, 10]), json!(["style.photo", cards, 40, 10])]);
    let by_day = server.get("/v1/stats?by=day&offer=card").json();
    assert_eq!((&by_day["rows"][0]["impressions"], by_day["rows"][0].get("decisions")), (&json!(40), None));

    let experiments = found["experiments"].as_array().unwrap();
    let exposed = |experiment: &Value| -> Value {
        experiment["variants"].as_array().unwrap().iter().map(|variant| variant["exposed"].clone()).collect()
    };
    // An offer is for `photo`. What the others see instead is no choice of `plain`, nor of the holdout.
    let exposed: Vec<Value> = experiments.iter().map(exposed).collect();
    assert_eq!(exposed[0][0], Value::Null);
    let photo = exposed[0][1].as_f64().unwrap();
    assert!((photo - cards as f64).abs() < 0.02 * cards as f64, "{photo} {cards}");
    assert_eq!(exposed[1], json!([null, null]));
    let mut names = Vec::new();
    for experiment in experiments {
        assert_eq!((&experiment["mismatch"], &experiment["stretches"]), (&json!(false), &json!(1)));
        assert!(experiment["p_value"].as_f64().unwrap() > 0.001, "{experiment}");
        for variant in experiment["variants"].as_array().unwrap() {
            let name =
                format!("{}.{}", experiment["name"].as_str().unwrap(), variant["variant"].as_str().unwrap());
            let (share, customers) =
                (variant["share"].as_f64().unwrap(), variant["customers"].as_f64().unwrap());
            let held_in = if name.starts_with("style") { 0.9 } else { 1.0 };
            let expected = share * held_in * CUSTOMERS as f64;
            assert!((customers - expected).abs() < 5.0 * expected.sqrt(), "{name}: {customers} {expected}");
            names.push(name);
        }
    }
    names.sort();
    assert_eq!(names, ["holdout.in", "holdout.out", "style.photo", "style.plain"]);
}

/// The banner has a photo for one half of the customers, and a text in Chinese for all.
const HIDDEN: &str = "rule_set: wealth
experiments:
  banner: {variants: {plain: 50, photo: SHARE}, salt: s}
placements:
  home: {channels: [app], count: 1}
  chat: {channels: [chatbot], count: 1}
offers:
  card:
    placements: [home]
    treatments:
      - {id: text, placement: home, content: {title: text}}
      - {id: photo, placement: home, variant: banner.photo, content: {title: photo}}
      - {id: zh, placement: home, locale: zh, content: {title: zh}}
  other:
    placements: [chat]
    treatments: [{placement: chat, content: {}}]
";

#[test]
fn whom_a_variant_chose_something_for_is_told_from_who_is_in_it() {
    let server = running();
    let publish = |share: &str| {
        let text = HIDDEN.replace("SHARE", share);
        let publish = Define::Publish { name: "wealth".into(), text, activate: true, if_active: None };
        block_on(server.node.define(publish)).unwrap_or_else(|e| panic!("{e:?}"));
    };
    publish("50");
    let mut client = server.client();
    let mut visit = |customers: std::ops::Range<u32>, target: &str| {
        for customer in customers {
            client.request("GET", &format!("/v1/decisions?customer=c-{customer}&{target}"), "", b"");
            assert_eq!(client.reply().status, 200);
        }
    };
    let split = || {
        let found = server.get("/v1/stats").json()["experiments"][0].clone();
        let count = |at: usize, key: &str| found["variants"][at][key].as_u64().unwrap();
        let [customers, exposed] = ["customers", "exposed"].map(|key| [count(0, key), count(1, key)]);
        (customers, exposed, found)
    };
    // The treatment in their language comes before that of the variant, and the chat knows no variant.
    visit(0..200, "channel=app&placement=home&locale=zh");
    visit(0..200, "channel=chatbot&placement=chat");
    let (customers, exposed, _) = split();
    assert_eq!((customers.iter().sum::<u64>(), exposed), (200, [0, 0]));
    // Both halves are shown something that the experiment chose: one the photo, the other the text instead.
    visit(0..100, "channel=app&placement=home");
    let (after, exposed, found) = split();
    assert_eq!((after, exposed.iter().sum::<u64>(), &found["mismatch"]), (customers, 100, &json!(false)));
    assert!(exposed[0] > 30 && exposed[1] > 30, "{exposed:?}");
    // Looking does not count.
    visit(200..300, "channel=app&placement=home&explain=true");
    assert_eq!(split().0, customers);
}

#[test]
fn an_experiment_that_grows_is_tested_by_the_shares_of_each_stretch() {
    let server = running();
    let mut client = server.client();
    let mut visited = 0;
    for (share, customers, stretches) in [("5", 0..1_500, 1), ("20", 500..2_500, 2), ("50", 0..4_000, 3)] {
        let text = HIDDEN.replace("SHARE", share);
        let publish = Define::Publish { name: "wealth".into(), text, activate: true, if_active: None };
        block_on(server.node.define(publish)).unwrap_or_else(|e| panic!("{e:?}"));
        for customer in customers {
            let target = format!("/v1/decisions?customer=c-{customer}&channel=app&placement=home");
            client.request("GET", &target, "", b"");
            assert_eq!(client.reply().status, 200);
            visited = visited.max(customer + 1);
        }
        let found = server.get("/v1/stats").json()["experiments"][0].clone();
        assert_eq!((&found["mismatch"], &found["stretches"]), (&json!(false), &json!(stretches)), "{found}");
        assert!(found["p_value"].as_f64().unwrap() > 0.01, "{found}");
    }
    let found = server.get("/v1/stats").json()["experiments"][0].clone();
    let customers = |at: usize| found["variants"][at]["customers"].as_f64().unwrap();
    assert!((customers(0) + customers(1) - f64::from(visited)).abs() < 0.02 * f64::from(visited), "{found}");
}
