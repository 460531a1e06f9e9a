//! Budgets of customers are sets of customers: who has a place, who has none, and what becomes of both over
//! other offers, held places, restarts, erasures and other rule sets.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;
mod durable_support;

use std::path::Path;

use durable_support::bank::Bank;
use serde_json::{Value, json};

const BUNDLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/customers-budget");

impl Bank {
    fn open() -> Bank {
        Bank::of(BUNDLE)
    }

    fn decide(&mut self, who: &str, placement: &str, explain: bool) -> Value {
        let body = json!({
            "customer": who, "channel": "app", "placements": [{"id": placement, "count": 1}], "explain": explain
        });
        let answer = self.connection.ask("POST", "/v1/decisions", &body.to_string()).unwrap();
        answer.is(200).json()["placements"][0].clone()
    }

    /// The offer that a customer is shown on a placement, and its token; empty if nothing is shown.
    fn shown(&mut self, who: &str, placement: &str) -> (String, String) {
        let shown = self.decide(who, placement, false)["propositions"][0].clone();
        let text = |field: &str| shown[field].as_str().unwrap_or_default().to_owned();
        (text("offer"), text("token"))
    }

    fn offer(&mut self, who: &str, placement: &str) -> String {
        self.shown(who, placement).0
    }

    /// Sends the outcome of an offer. Says whether it is beyond a budget.
    fn outcome(&mut self, who: &str, kind: &str, offer: &str, placement: &str) -> bool {
        let event =
            json!({"type": kind, "customer": who, "offer": offer, "placement": placement, "channel": "app"});
        self.event(&event)
    }

    fn event(&mut self, event: &Value) -> bool {
        let answer = self.connection.ask("POST", "/v1/events", &event.to_string()).unwrap().is(200).json();
        assert_eq!(answer["accepted"], 1, "{answer}");
        answer["over_budget"] == json!([0])
    }

    /// Sends the outcome of what a token proposes.
    fn answers(&mut self, who: &str, kind: &str, token: &str) -> bool {
        self.event(&json!({"type": kind, "customer": who, "token": token}))
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> Value {
        self.connection.ask(method, path, body).unwrap().is(200).json()
    }

    /// Publishes the rule set with another `max` of the vouchers.
    fn set_max(&mut self, max: u32) {
        let text = std::fs::read_to_string(Path::new(BUNDLE).join("rule-sets/gifts.yaml")).unwrap();
        let text = text.replace("vouchers: {max: 1,", &format!("vouchers: {{max: {max},"));
        let put = cli_support::run(&["push", &self.file(&text), "--server", &self.process.url()]);
        put.ended(0);
    }

    fn file(&self, text: &str) -> String {
        let path = self.data.path().with_extension("yaml");
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn an_hour_ago() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    usher::schema::value::Time::from_seconds(now.as_secs() as i64 - 3_600).to_string()
}

#[test]
fn who_was_beyond_the_budget_has_no_place_and_who_is_in_stays_in() {
    for again in [std::convert::identity, Bank::restart, Bank::kill] {
        let mut bank = Bank::open();
        assert_eq!(bank.offer("b", "top"), "voucher_a");
        assert!(!bank.outcome("a", "convert", "voucher_a", "top"));
        assert!(bank.outcome("b", "convert", "voucher_a", "top"), "nothing is left for another");
        bank = again(bank);
        assert_eq!(bank.offer("b", "top"), "", "b converted, and has no place all the same");
        assert!(bank.outcome("b", "convert", "voucher_a", "top"), "every time");
        assert_eq!((bank.offer("a", "top"), bank.offer("c", "top")), ("voucher_a".into(), String::new()));
        assert!(!bank.outcome("a", "convert", "voucher_a", "top"), "a takes no second place");
        assert_eq!(bank.offer("a", "low"), "voucher_b", "the other offer has the same budget");
        assert!(!bank.outcome("a", "convert", "voucher_b", "low"));
        assert!(bank.outcome("b", "convert", "voucher_b", "low"));
    }
}

#[test]
fn an_explanation_says_who_has_a_place_and_where_none_is_left() {
    let mut bank = Bank::open();
    bank.outcome("a", "convert", "voucher_a", "top");
    let told = |answer: &Value| answer["explanations"][0].clone();
    let of_a = told(&bank.decide("a", "top", true));
    assert_eq!((&of_a["places"], &of_a["stopped_by"]), (&json!(["vouchers"]), &Value::Null));
    let of_b = told(&bank.decide("b", "top", true));
    assert_eq!(
        (
            &of_b["places"],
            &of_b["stopped_by"]["kind"],
            &of_b["stopped_by"]["name"],
            &of_b["stopped_by"]["max"]
        ),
        (&Value::Null, &json!("budget"), &json!("vouchers"), &json!(1))
    );
    let customer = bank.ask("GET", "/v1/customers/a", "");
    assert_eq!(customer["places"], json!([{"rule_set": "gifts", "budget": "vouchers"}]));
    let url = bank.process.url();
    let line = |who: &str| {
        let run =
            cli_support::run(&["decide", who, "top", "--channel", "app", "--explain", "--server", &url]);
        run.ended(0).out
    };
    assert!(line("a").contains("voucher_a: shown; they have a place in budget vouchers"), "{}", line("a"));
    assert!(line("b").contains("no place left in budget vouchers, which has 1"), "{}", line("b"));
}

#[test]
fn a_place_is_held_by_customer_and_not_by_decision() {
    let mut bank = Bank::open();
    let (first, token) = bank.shown("a", "deal");
    assert_eq!((first.as_str(), bank.offer("a", "deal").as_str()), ("early_bird", "early_bird"));
    assert_eq!(bank.offer("b", "deal"), "of_the_day", "a holds the one place");
    assert!(!bank.answers("a", "impression", &token));
    assert_eq!(bank.offer("a", "deal"), "early_bird");
    assert_eq!(bank.offer("b", "deal"), "of_the_day", "a has the one place");
    assert!(bank.outcome("b", "impression", "early_bird", "deal"));
    assert_eq!(bank.offer("b", "deal"), "of_the_day");
}

#[test]
fn a_daily_budget_of_customers_counts_each_once_a_day() {
    let mut bank = Bank::open();
    bank.outcome("z", "impression", "early_bird", "deal"); // the other offer is used up
    assert!(!bank.outcome("a", "click", "of_the_day", "deal"));
    assert!(!bank.outcome("a", "click", "of_the_day", "deal"));
    assert!(bank.outcome("b", "click", "of_the_day", "deal"));
    assert_eq!((bank.offer("a", "deal"), bank.offer("b", "deal")), ("of_the_day".into(), String::new()));
    let place = &bank.ask("GET", "/v1/customers/a", "")["places"][0];
    assert_eq!((&place["budget"], place["day"].as_str().map(str::len)), (&json!("daily"), Some(10)));
}

#[test]
fn an_erased_customer_is_forgotten_and_their_place_stays_used() {
    let mut bank = Bank::open();
    bank.outcome("a", "convert", "voucher_a", "top");
    bank.ask("DELETE", "/v1/customers/a", "");
    assert_eq!(bank.offer("a", "top"), "", "a is somebody new");
    bank = bank.restart();
    assert_eq!((bank.offer("a", "top"), bank.offer("b", "top")), (String::new(), String::new()));
    assert!(bank.outcome("a", "convert", "voucher_a", "top"));
}

#[test]
fn a_raised_budget_lets_more_in_and_a_lowered_one_sends_nobody_away() {
    let mut bank = Bank::open();
    bank.outcome("a", "convert", "voucher_a", "top");
    assert!(bank.outcome("b", "convert", "voucher_a", "top"));
    bank.set_max(2);
    assert_eq!(bank.offer("b", "top"), "voucher_a");
    assert!(!bank.outcome("b", "convert", "voucher_a", "top"), "now b has a place");
    assert!(bank.outcome("c", "convert", "voucher_a", "top"));
    bank.set_max(1);
    for who in ["a", "b"] {
        assert_eq!(bank.offer(who, "top"), "voucher_a", "{who} is in");
        assert!(!bank.outcome(who, "convert", "voucher_a", "top"));
    }
    assert_eq!(bank.offer("c", "top"), "");
}

#[test]
fn a_place_outlasts_all_contacts_and_a_rule_set_that_was_retired() {
    let mut bank = Bank::open();
    for who in ["a", "b"] {
        let convert = json!({
            "type": "convert", "customer": who, "offer": "voucher_a", "placement": "top", "channel": "app",
            "at": an_hour_ago()
        });
        assert_eq!(bank.event(&convert), who == "b");
        let click = json!({
            "type": "click", "customer": who, "offer": "of_the_day", "placement": "deal", "channel": "app"
        });
        let clicks = vec![click; 300];
        bank.connection.ask("POST", "/v1/events", &json!(clicks).to_string()).unwrap().is(200);
    }
    let contacts = &bank.ask("GET", "/v1/customers/a", "")["contacts"];
    assert!(contacts.as_array().unwrap().iter().all(|contact| contact["outcome"] == "click"));
    bank.ask("DELETE", "/v1/rule-sets/gifts", "");
    bank = bank.restart();
    bank.set_max(1);
    assert_eq!((bank.offer("a", "top"), bank.offer("b", "top")), ("voucher_a".into(), String::new()));
    assert!(
        !bank.outcome("a", "convert", "voucher_a", "top") && bank.outcome("b", "convert", "voucher_a", "top")
    );
}
