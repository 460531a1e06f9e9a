//! What is said to be for ever is for ever, however much happens afterwards: suppressions and caps of all
//! scopes outlast the 256 contacts that are kept one by one.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;
mod durable_support;

use std::path::Path;

use durable_support::bank::Bank;
use serde_json::{Value, json};
use usher::schema::value::Time;

const BUNDLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/forever");
const DAY: i64 = 86_400;

impl Bank {
    fn open() -> Bank {
        Bank::of(BUNDLE)
    }

    /// The offers that a customer is shown on a placement.
    fn shown(&mut self, who: &str, channel: &str, placement: &str) -> Vec<String> {
        let answer = self.decide(who, channel, placement);
        let offers = answer["propositions"].as_array().unwrap().iter();
        offers.map(|shown| shown["offer"].as_str().unwrap().to_owned()).collect()
    }

    fn decide(&mut self, who: &str, channel: &str, placement: &str) -> Value {
        let body = json!({
            "customer": who, "channel": channel, "placements": [{"id": placement, "count": 9}], "explain": true
        });
        self.ask("POST", "/v1/decisions", &body.to_string())["placements"][0].clone()
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> Value {
        self.connection.ask(method, path, body).unwrap().is(200).json()
    }

    /// Sends `count` outcomes of an offer, which began this many seconds ago, a second apart.
    fn happens(&mut self, who: &str, what: (&str, &str, &str, &str), ago_s: i64, count: i64) {
        let (kind, offer, placement, channel) = what;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let first = now.as_secs() as i64 - ago_s;
        let event = |nth: i64| {
            json!({
                "type": kind, "customer": who, "offer": offer, "placement": placement, "channel": channel,
                "at": Time::from_seconds(first + nth).to_string()
            })
        };
        let events: Vec<Value> = (0..count).map(event).collect();
        let answer = self.ask("POST", "/v1/events", &json!(events).to_string());
        assert_eq!(answer["accepted"], json!(count));
    }

    /// More of everything than a customer has contacts.
    fn much_happens(&mut self, who: &str) {
        for kind in ["impression", "click", "convert"] {
            self.happens(who, (kind, "noise", "low", "app"), 3_000, 300);
        }
    }
}

/// What was to be for ever is so before and after much else, a restart, and the rule set's retirement and
/// return.
#[track_caller]
fn check_outlasts(past: &[(&str, &str, &str, &str)], (channel, placement): (&str, &str), shown: &[&str]) {
    let mut bank = Bank::open();
    for what in past {
        bank.happens("a", *what, 10 * DAY, 1);
    }
    assert_eq!(bank.shown("a", channel, placement), shown, "before");
    bank.much_happens("a");
    assert_eq!(bank.shown("a", channel, placement), shown, "after much else");
    bank = bank.restart();
    assert_eq!(bank.shown("a", channel, placement), shown, "after a restart");
    bank.ask("DELETE", "/v1/rule-sets/offers", "");
    bank.much_happens("a");
    let back = cli_support::run(&["push", BUNDLE, "--server", &bank.process.url()]);
    back.ended(0);
    assert_eq!(bank.shown("a", channel, placement), shown, "after the rule set was retired and returned");
}

const ALL_ON_TOP: [&str; 4] = ["card", "fund", "loan_a", "loan_b"];

#[test]
fn a_suppression_for_ever_and_one_of_400_days_outlast_contacts() {
    check_outlasts(&[("convert", "card", "top", "app")], ("web", "top"), &ALL_ON_TOP[1..]);
    check_outlasts(&[("dismiss", "fund", "top", "app")], ("web", "top"), &["card", "loan_a", "loan_b"]);
}

#[test]
fn caps_for_ever_of_every_scope_outlast_contacts() {
    let clicked = |offer| ("click", offer, "top", "app");
    check_outlasts(&[clicked("loan_a")], ("app", "top"), &ALL_ON_TOP);
    check_outlasts(&[clicked("loan_a"), clicked("loan_b")], ("app", "top"), &ALL_ON_TOP[..2]);
    let seen = |channel| ("impression", "twice", "low", channel);
    check_outlasts(&[seen("app")], ("web", "low"), &["noise", "twice"]);
    check_outlasts(&[seen("app"), seen("web")], ("web", "low"), &["noise"]);
    check_outlasts(&[("click", "twice", "low", "web")], ("web", "low"), &["noise"]);
    check_outlasts(&[("click", "twice", "low", "web")], ("app", "low"), &["noise", "twice"]);
    check_outlasts(&[("convert", "beside", "side", "web")], ("app", "side"), &[]);
    let dismissed = [("dismiss", "beside", "side", "app"), ("dismiss", "beside", "side", "web")];
    check_outlasts(&dismissed, ("app", "side"), &[]);
    check_outlasts(&dismissed[..1], ("app", "side"), &["beside"]);
    check_outlasts(&dismissed, ("app", "low"), &["noise", "twice"]);
}

#[test]
fn a_window_of_400_days_ends_after_400_days() {
    let mut bank = Bank::open();
    bank.happens("a", ("dismiss", "fund", "top", "app"), 399 * DAY, 1);
    bank.happens("b", ("dismiss", "fund", "top", "app"), 400 * DAY - 8, 1);
    for who in ["a", "b"] {
        bank.much_happens(who);
    }
    let mut is_shown = |who: &str| bank.shown(who, "app", "top").contains(&"fund".to_owned());
    assert!(!is_shown("a"));
    let shown = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(200));
        is_shown("b")
    });
    assert!(shown, "its 400 days are over");
}

#[test]
fn what_is_known_of_a_customer_has_it_and_an_erasure_takes_it() {
    let mut bank = Bank::open();
    bank.happens("a", ("convert", "card", "top", "app"), 10 * DAY, 1);
    bank.happens("a", ("click", "loan_a", "top", "app"), 10 * DAY, 2);
    bank.much_happens("a");
    let customer = bank.ask("GET", "/v1/customers/a", "");
    let earlier = customer["earlier_contacts"].as_array().unwrap();
    let of = |offer: &str| earlier.iter().filter(|it| it["offer"] == offer).collect::<Vec<_>>();
    assert_eq!(of("card")[0]["outcome"], "convert");
    let clicks: u64 = of("loan_a").iter().map(|it| it["count"].as_u64().unwrap()).sum();
    assert_eq!((clicks, customer["contacts"].as_array().unwrap().len()), (2, 256));
    let answer = bank.decide("a", "app", "top");
    let stopped = |offer: &str| {
        let told = answer["explanations"].as_array().unwrap().iter().find(|it| it["offer"] == offer);
        let by = &told.unwrap()["stopped_by"];
        (by["kind"].as_str().unwrap().to_owned(), by["count"].as_u64(), by["ends"].clone())
    };
    assert_eq!(stopped("card"), ("suppression".into(), Some(1), Value::Null));
    assert_eq!(stopped("loan_b"), ("cap".into(), Some(2), Value::Null));
    bank.ask("DELETE", "/v1/customers/a", "");
    assert_eq!(bank.shown("a", "app", "top"), ALL_ON_TOP);
    assert_eq!(bank.connection.ask("GET", "/v1/customers/a", "").unwrap().status, 404);
}

#[test]
fn a_window_that_comes_later_finds_what_is_still_known() {
    let mut bank = Bank::open();
    bank.happens("a", ("dismiss", "noise", "low", "app"), 10 * DAY, 1);
    let file = bank.data.path().with_extension("yaml");
    let text = std::fs::read_to_string(Path::new(BUNDLE).join("rule-sets/policy.yaml")).unwrap();
    let more = text.replace("noise: {", "noise: {suppress: {dismiss: forever}, ");
    std::fs::write(&file, more).unwrap();
    cli_support::run(&["push", file.to_str().unwrap(), "--server", &bank.process.url()]).ended(0);
    assert_eq!(bank.shown("a", "app", "low"), ["twice"], "the contact was kept");
    bank.much_happens("a");
    bank = bank.restart();
    assert_eq!(bank.shown("a", "app", "low"), ["twice"], "and is for ever from now on");
}
