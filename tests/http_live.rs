//! Caps, budgets and tokens over HTTP: the next decision on any channel sees what was acknowledged on
//! another.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};
use support::{Client, Running, block_on, settings};
use usher::http;
use usher::node::Node;
use usher::node::define::Define;
use usher::node::startup::Startup;

const CLIENTS: usize = 64;
const ROUNDS: usize = 12;
const CHANNELS: [&str; 4] = ["app", "chatbot", "web", "branch"];
/// The most impressions of `card` that one customer may have.
const CAP: usize = 5;
/// The most impressions of `gift` that all customers together may have.
const BUDGET: usize = 60;
/// The most customers who may take `bonus`.
const FIRST: usize = 20;

const SCHEMA: &str = "schema: live
features:
  consent: {kind: bool}
  logins_7d: {kind: count, event: login, window: 7d}
  fx_views: {kind: count, event: page_view, window: 7d, when: \"page == 'fx'\"}
events:
  login: {properties: {}}
  page_view: {properties: {page: {kind: string}, seconds: {kind: int, min: 0, max: 86400}}}
";

const RULES: &str = "rule_set: live
placements:
  slot: {channels: [app, chatbot, web, branch], count: 1, fallback: brand}
  wide: {channels: [app, chatbot, web, branch], count: 3}
  bonus_slot: {channels: [app, chatbot, web, branch], count: 1}
  fx: {channels: [app], count: 1}
budgets:
  gifts: {max: 60, on: impression}
  bonuses: {max: 20, on: convert, customers: true}
offers:
  card:
    placements: [slot]
    caps: [{max: 5, per: 7d}]
    suppress: {dismiss: 30d}
    treatments: [{placement: slot, content: {title: card}}]
  gift:
    placements: [wide]
    budgets: [gifts]
    treatments: [{placement: wide, content: {title: gift}}]
  bonus:
    placements: [bonus_slot]
    budgets: [bonuses]
    suppress: {convert: forever}
    treatments: [{placement: bonus_slot, content: {title: bonus}}]
  fx_exchange:
    placements: [fx]
    when: fx_views >= 3
    treatments: [{placement: fx, content: {title: fx}}]
  brand:
    treatments: [{placement: slot, content: {title: brand}}]
";

fn running() -> Running {
    let node = Node::start().unwrap();
    block_on(node.define(Define::Schema { text: SCHEMA.into(), rename: false, if_text: None }))
        .unwrap_or_else(|e| panic!("{e:?}"));
    let publish =
        Define::Publish { name: "live".into(), text: RULES.into(), activate: true, if_active: None };
    block_on(node.define(publish)).unwrap_or_else(|e| panic!("{e:?}"));
    let startup = Startup::done(Arc::clone(&node));
    let server = http::serve("127.0.0.1:0".parse().unwrap(), startup, settings()).unwrap();
    Running { node, address: server.address(), server: Some(server) }
}

/// A client that speaks JSON on one connection.
struct Talker(Client);

impl Talker {
    fn post(&mut self, path: &str, body: &Value) -> Value {
        let headers = "content-type: application/json\r\n";
        self.0.request("POST", path, headers, body.to_string().as_bytes());
        let reply = self.0.reply();
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    /// Offer and token of the first proposition of a placement.
    fn shown(&mut self, customer: &str, channel: &str, placement: &str) -> Option<(String, String)> {
        let request = json!({"customer": customer, "channel": channel, "placements": [{"id": placement}]});
        let answer = self.post("/v1/decisions", &request);
        let first = &answer["placements"][0]["propositions"][0];
        let text = |field: &str| first[field].as_str().map(str::to_owned);
        Some((text("offer")?, text("token")?))
    }

    /// The answer to an event that is rejected.
    fn rejected(&mut self, event: &Value) -> Value {
        self.0.request(
            "POST",
            "/v1/events",
            "content-type: application/json\r\n",
            event.to_string().as_bytes(),
        );
        let reply = self.0.reply();
        assert_eq!(reply.status, 422, "{event}: {}", reply.text());
        reply.json()
    }

    fn outcome(&mut self, customer: &str, kind: &str, token: &str) -> Value {
        self.post("/v1/events", &json!({"type": kind, "customer": customer, "token": token}))
    }
}

fn clients(running: &Running, work: impl Fn(usize, &mut Talker) + Sync) {
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let work = &work;
            scope.spawn(move || work(client, &mut Talker(running.client())));
        }
    });
}

#[test]
fn sixty_four_clients_never_see_a_cap_exceeded_after_the_acknowledged_impressions() {
    let running = running();
    let acknowledged = AtomicUsize::new(0);
    let seen = AtomicUsize::new(0);
    clients(&running, |client, talker| {
        for round in 0..ROUNDS {
            let channel = CHANNELS[(client + round) % CHANNELS.len()];
            let before = acknowledged.load(Ordering::SeqCst);
            let (offer, token) = talker.shown("c-1", channel, "slot").unwrap();
            assert!(offer == "brand" || before < CAP, "shown after {before} impressions");
            if offer == "card" {
                seen.fetch_add(1, Ordering::SeqCst);
                let answer = talker.outcome("c-1", "impression", &token);
                assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(1), &json!([])));
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    assert!(seen.load(Ordering::SeqCst) >= CAP, "or the test says nothing");
    let mut talker = Talker(running.client());
    for channel in CHANNELS {
        assert_eq!(talker.shown("c-1", channel, "slot").unwrap().0, "brand");
        assert_eq!(talker.shown("c-2", channel, "slot").unwrap().0, "card", "another customer's own cap");
    }
}

#[test]
fn who_only_looks_holds_no_place_and_is_not_counted() {
    let running = running();
    let target = |slot: &str| format!("/v1/decisions?customer=c-1&channel=app&placement={slot}");
    let explained = |slot: &str| format!("{}&explain=true", target(slot));
    let counted = || {
        let stats = running.get("/v1/stats").json();
        let metrics = running.get("/metrics");
        let decisions: f64 = metrics
            .text()
            .lines()
            .filter(|line| line.starts_with("usher_decisions_total"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        (stats["places"].as_array().unwrap().len(), stats["funnel"]["decisions"].clone(), decisions)
    };
    let before = counted();
    // Far more often than there are places in the budget.
    for _ in 0..2 * BUDGET {
        for (method, target) in
            [("HEAD", target("wide")), ("HEAD", explained("wide")), ("GET", explained("wide"))]
        {
            let reply = running.call(method, &target, "", b"");
            assert_eq!(reply.status, 200, "{method} {target}");
            assert!(reply.header("content-length").unwrap().parse::<usize>().unwrap() > 100);
        }
    }
    assert_eq!(counted(), before);
    let mut talker = Talker(running.client());
    let offers: Vec<_> =
        (0..BUDGET).map(|i| talker.shown(&format!("c-{i}"), "app", "wide").unwrap().0).collect();
    assert!(offers.iter().all(|offer| offer == "gift"), "every place is there still: {offers:?}");
}

#[test]
fn sixty_four_clients_never_get_more_of_a_budget_than_there_is() {
    let running = running();
    let (shown, counted) = (AtomicUsize::new(0), AtomicUsize::new(0));
    clients(&running, |client, talker| {
        for round in 0..ROUNDS {
            let customer = format!("c-{}", (client * ROUNDS + round) % 100);
            let channel = CHANNELS[(client + round) % CHANNELS.len()];
            let Some((_, token)) = talker.shown(&customer, channel, "wide") else { continue };
            shown.fetch_add(1, Ordering::SeqCst);
            // Some clients never report the impression: their place stays held.
            if client % 3 > 0 {
                let answer = talker.outcome(&customer, "impression", &token);
                counted.fetch_add(answer["accepted"].as_u64().unwrap() as usize, Ordering::SeqCst);
            }
        }
    });
    let (shown, counted) = (shown.load(Ordering::SeqCst), counted.load(Ordering::SeqCst));
    assert_eq!(shown, BUDGET, "all of it and not one more ({counted} were counted)");
    assert!(counted <= shown);
}

#[test]
fn a_quota_of_customers_is_never_exceeded_however_many_ask_at_once() {
    let running = running();
    let taken = AtomicUsize::new(0);
    clients(&running, |client, talker| {
        let customer = format!("c-{client}");
        let Some((_, token)) = talker.shown(&customer, CHANNELS[client % 4], "bonus_slot") else { return };
        let answer = talker.outcome(&customer, "convert", &token);
        let again = talker.outcome(&customer, "convert", &token);
        assert_eq!(again["accepted"], 0, "one token counts once: {again}");
        assert_eq!(answer["accepted"], 1, "what happened is known in any case: {answer}");
        taken.fetch_add(usize::from(answer["over_budget"].is_null()), Ordering::SeqCst);
    });
    assert_eq!(taken.load(Ordering::SeqCst), FIRST);
    let mut talker = Talker(running.client());
    assert_eq!(talker.shown("c-new", "app", "bonus_slot"), None, "used up");
}

#[test]
fn a_dismissal_in_the_app_silences_the_chatbot_on_the_next_call() {
    let running = running();
    let mut talker = Talker(running.client());
    let (offer, token) = talker.shown("c-9", "app", "slot").unwrap();
    assert_eq!(offer, "card");
    assert_eq!(talker.outcome("c-9", "dismiss", &token)["accepted"], 1);
    for channel in CHANNELS {
        assert_eq!(talker.shown("c-9", channel, "slot").unwrap().0, "brand");
    }
    let contacts = running.get("/v1/customers/c-9").json()["contacts"].clone();
    assert_eq!(
        (&contacts[0]["offer"], &contacts[0]["outcome"]),
        (&json!("card"), &json!("dismiss")),
        "{contacts}"
    );
}

#[test]
fn what_was_said_to_an_erased_customer_is_void_and_what_comes_later_makes_them_anew() {
    let running = running();
    let mut talker = Talker(running.client());
    let login = || json!({"id": "l-1", "type": "login", "customer": "c-7"});
    // Several times within one second, which is as exactly as tokens say when they were decided.
    for round in 0..12 {
        let login_now = json!({"type": "login", "customer": "c-7"});
        let (_, old) = talker.shown("c-7", "app", "slot").unwrap();
        assert_eq!(talker.outcome("c-7", "click", &old)["accepted"], 1);
        assert_eq!(talker.post("/v1/events", &login_now)["accepted"], 1);
        assert_eq!(running.call("DELETE", "/v1/customers/c-7", "", b"").status, 200);
        for void in [
            json!({"type": "impression", "customer": "c-7", "token": old}),
            json!({"type": "click", "customer": "c-7", "token": old}),
            json!({"type": "login", "customer": "c-7", "at": "2026-01-01T00:00:00Z"}),
            json!({"type": "click", "customer": "c-7", "offer": "card", "placement": "slot", "channel": "app",
                "at": "2026-01-01T00:00:00Z"}),
        ] {
            let answer = talker.rejected(&void);
            let detail = answer["rejected"][0]["detail"].as_str().unwrap();
            assert!(detail.contains("the customer was erased after this"), "{round}: {answer}");
        }
        assert_eq!(running.get("/v1/customers/c-7").status, 404, "nothing made them anew");
        let (_, new) = talker.shown("c-7", "app", "slot").unwrap();
        assert_eq!(talker.outcome("c-7", "impression", &new)["accepted"], 1, "{round}: a new token");
        let contacts = running.get("/v1/customers/c-7").json()["contacts"].as_array().unwrap().len();
        assert_eq!(contacts, 1, "of the new customer alone");
        let again = talker.post("/v1/events", &login());
        assert_eq!(
            (&again["accepted"], &again["duplicates"]),
            (&json!(u32::from(round == 0)), &json!(u32::from(round > 0)))
        );
    }
    let (_, other) = talker.shown("c-8", "app", "slot").unwrap();
    assert_eq!(talker.outcome("c-8", "impression", &other)["accepted"], 1, "nobody else");
}

#[test]
fn three_page_views_change_the_next_decision_and_each_event_counts_once() {
    let running = running();
    let mut talker = Talker(running.client());
    let view = |id: &str, page: &str| json!({"id": id, "type": "page_view", "customer": "c-3", "properties": {"page": page}});
    assert_eq!(talker.shown("c-3", "app", "fx"), None);
    let sent = json!([view("a", "fx"), view("b", "home"), view("a", "fx"), view("c", "fx"), view("b", "fx")]);
    let answer = talker.post("/v1/events", &sent);
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&json!(3), &json!(2)), "{answer}");
    assert_eq!(talker.shown("c-3", "app", "fx"), None, "two of them were of the page");
    talker.post("/v1/events", &view("d", "fx"));
    assert_eq!(talker.shown("c-3", "app", "fx").unwrap().0, "fx_exchange");
    let customer = running.get("/v1/customers/c-3").json();
    assert_eq!(customer["features"]["fx_views"], 3, "an event made the customer known: {customer}");
}

/// A body and its media type, with the numbers of events that are accepted, duplicates and rejected.
#[test]
fn events_come_one_by_one_in_lists_in_lines_and_packed_and_each_is_judged_by_itself() {
    let running = running();
    let good = |id: &str| format!(r#"{{"id":"{id}","type":"login","customer":"c-5"}}"#);
    let unknown = r#"{"type":"logn","customer":"c-5"}"#;
    let wrong = r#"{"type":"page_view","customer":"c-5","properties":{"seconds":"x","pages":1}}"#;
    let packed =
        rmp_serde::to_vec_named(&json!([{"type": "login", "customer": "c-5"}, {"type": "login"}])).unwrap();
    for (media, body, expected) in [
        ("application/json", good("1").into_bytes(), (1, 0, 0)),
        ("application/json", format!("[{},{},{}]", good("1"), good("2"), unknown).into_bytes(), (1, 1, 1)),
        (
            "application/x-ndjson",
            format!("{}\n\n{}\nnot json\n{wrong}\n", good("3"), good("3")).into_bytes(),
            (1, 1, 2),
        ),
        ("application/msgpack", packed, (1, 0, 1)),
        ("application/json", b"[]".to_vec(), (0, 0, 0)),
    ] {
        let reply = running.call("POST", "/v1/events", &format!("content-type: {media}\r\n"), &body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let answer = reply.json();
        let rejected = answer["rejected"].as_array().unwrap().len() as u64;
        let found = (answer["accepted"].as_u64().unwrap(), answer["duplicates"].as_u64().unwrap(), rejected);
        assert_eq!(found, expected, "{answer}");
    }
    for (event, said) in [
        (json!({"type": "logn", "customer": "c"}), "did you mean"),
        (json!({"type": "login", "customer": ""}), "customer id"),
        (json!({"type": "login", "customer": "c", "at": "2099-01-01T00:00:00Z"}), "ahead"),
        (json!({"type": "login", "customer": "c", "at": "2001-01-01T00:00:00Z"}), "days ago"),
        (json!({"type": "login", "customer": "c", "offer": "card"}), "belongs to outcomes"),
        (json!({"type": "click", "customer": "c"}), "`offer` is missing"),
        (json!({"type": "click", "customer": "c", "token": "AAAA"}), "token"),
    ] {
        let answer = Talker(running.client()).rejected(&event);
        let rejected = &answer["rejected"][0];
        let text = format!("{} {}", rejected["detail"], rejected["hint"]);
        assert!(answer["accepted"] == 0 && text.contains(said), "{event}: {answer}");
    }
}

/// An outcome without a token, by what it names, and what is said of it.
#[test]
fn an_outcome_without_a_token_is_of_something_that_can_be_shown_there() {
    let running = running();
    let retired = RULES.replace(
        "  brand:",
        "  gone: {placements: [wide], treatments: [{placement: wide, content: 1}]}\n  brand:",
    );
    for text in [retired.as_str(), RULES] {
        let publish =
            Define::Publish { name: "live".into(), text: text.into(), activate: true, if_active: None };
        block_on(running.node.define(publish)).unwrap_or_else(|e| panic!("{e:?}"));
    }
    let mut talker = Talker(running.client());
    let event = |offer: &str, placement: &str, channel: &str| json!({"type": "click", "customer": "c", "offer": offer, "placement": placement, "channel": channel});
    for (offer, placement, channel, said) in [
        ("crd", "slot", "app", "unknown offer"),
        ("gone", "wide", "app", "no active rule set has offer \"gone\" any more"),
        ("card", "wide", "app", "offer `card` is never shown on placement `wide`"),
        ("brand", "fx", "app", "it is shown on slot"),
        ("card", "slt", "app", "unknown placement"),
        ("card", "slot", "fax", "channel"),
        ("fx_exchange", "fx", "web", "placement `fx` is not on channel `web`"),
    ] {
        let answer = talker.rejected(&event(offer, placement, channel));
        let rejected = &answer["rejected"][0];
        let text = format!("{} {}", rejected["detail"], rejected["hint"]).replace("\\\"", "\"");
        assert!(text.contains(said), "{offer} {placement} {channel}: {answer}");
    }
    for (field, said) in [("offer", "crd"), ("placement", "wide"), ("channel", "web")] {
        let mut event = event("card", "slot", "app");
        event["properties"] = json!({field: said});
        let answer = talker.rejected(&event);
        assert_eq!(answer["rejected"][0]["pointer"], format!("/properties/{field}"), "{answer}");
        let known = event[field].clone();
        event["properties"] = json!({field: known});
        assert_eq!(talker.post("/v1/events", &event)["accepted"], 1, "said twice, and the same");
    }
    let customer = running.get("/v1/customers/c").json();
    assert_eq!(
        customer["contacts"].as_array().unwrap().len(),
        3,
        "what was rejected left nothing: {customer}"
    );
}

/// Events sent together, with the status and how many are accepted, duplicates and rejected.
#[test]
fn a_request_of_which_nothing_was_taken_is_refused_and_tells_as_much() {
    let running = running();
    let (good, wrong) =
        (json!({"type": "login", "customer": "c", "id": "1"}), json!({"type": "logn", "customer": "c"}));
    for (body, status, expected) in [
        (json!([]), 200, (0, 0, 0)),
        (json!([wrong]), 422, (0, 0, 1)),
        (wrong.clone(), 422, (0, 0, 1)),
        (json!([wrong, wrong, wrong]), 422, (0, 0, 3)),
        (json!([wrong, good]), 200, (1, 0, 1)),
        (json!([wrong, good]), 200, (0, 1, 1)),
        (good.clone(), 200, (0, 1, 0)),
    ] {
        let sent = body.to_string();
        let reply = running.call("POST", "/v1/events", "content-type: application/json\r\n", sent.as_bytes());
        let answer = reply.json();
        let rejected = answer["rejected"].as_array().unwrap().len();
        let found = (answer["accepted"].as_u64().unwrap(), answer["duplicates"].as_u64().unwrap(), rejected);
        assert_eq!((reply.status, found), (status, expected), "{body}: {answer}");
        assert!(answer["sequence"].is_u64(), "{answer}");
        assert_eq!(answer["type"] == "urn:usher:problem:unprocessable", status == 422, "{answer}");
        assert_eq!(answer["status"].as_u64().unwrap_or(200), u64::from(status), "{answer}");
        assert_eq!(
            answer["detail"].as_str().is_some_and(|text| text.contains("logn")),
            status == 422,
            "{answer}"
        );
    }
}
