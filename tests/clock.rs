//! One time is believed: what a clock that jumps, or that is wrong at a start, does to decisions, budgets,
//! events and ages. The clock is faked by libfaketime; where that is not installed, the tests say so and
//! pass.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;
mod durable_support;
mod faked_clock;

use cli_support::{program, write};
use durable_support::Process;
use faked_clock::FakedClock;
use serde_json::{Value, json};
use usher::schema::value::Time;

const SCHEMA: &str = "schema: timed
features:
  views: {kind: count, event: view, window: 7d}
events:
  view: {}
";
const DAY: i64 = 86_400;

/// A directory, and a clock that its servers go by.
struct Place {
    folder: tempfile::TempDir,
    clock: FakedClock,
}

impl Place {
    /// `None` where no clock can be faked.
    fn new() -> Option<Place> {
        let place = Place { folder: tempfile::tempdir().unwrap(), clock: FakedClock::new()? };
        let turn = now() + 2 * DAY;
        let turn = Time::from_seconds(turn - turn % DAY);
        let offer = |when: &str| {
            format!(
                "{{placements: [home], when: \"{when}\", budgets: [daily], treatments: [{{placement: home, content: {{}}}}]}}"
            )
        };
        let rules = format!(
            "rule_set: r\nplacements: {{home: {{channels: [app], count: 1, fallback: brand}}}}\nbudgets: {{daily: {{max: 2, \
             on: impression, per: 1d}}}}\noffers:\n  early: {}\n  late: {}\n  brand: {{treatments: [{{placement: home, \
             content: {{}}}}]}}\n",
            offer(&format!("now < timestamp('{turn}')")),
            offer(&format!("now >= timestamp('{turn}')"))
        );
        write(place.folder.path(), "models/schema.yaml", SCHEMA);
        write(place.folder.path(), "models/rule-sets/r.yaml", &rules);
        Some(place)
    }

    fn start(&self, offset: &str, more: &[&str]) -> Process {
        self.clock.set(offset);
        let path = |name: &str| self.folder.path().join(name).to_str().unwrap().to_owned();
        let (models, data) = (path("models"), path("data"));
        let fixed = ["serve", "--listen", "127.0.0.1:0", "--models", &models, "--data", &data];
        let arguments: Vec<&str> = fixed.into_iter().chain(more.iter().copied()).collect();
        let mut command = program(&arguments);
        self.clock.fake(&mut command);
        let process = Process::spawn(command);
        process.wait_until_ready();
        process
    }
}

/// The real time, in seconds since 1970.
fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().cast_signed()
}

/// The offer that this customer is shown. What is explained holds no place of a budget.
fn shown(process: &Process, who: &str) -> String {
    let body = json!({"customer": who, "channel": "app", "placements": [{"id": "home"}], "explain": true})
        .to_string();
    let reply = process.ask("POST", "/v1/decisions", &body).is(200).json();
    reply["placements"][0]["propositions"][0]["offer"]
        .as_str()
        .unwrap_or_else(|| panic!("{reply}"))
        .to_owned()
}

/// Reports an impression of this offer; false if it was over budget.
fn impression(process: &Process, who: &str, offer: &str) -> bool {
    let event =
        json!({"type": "impression", "customer": who, "offer": offer, "placement": "home", "channel": "app"});
    let reply = process.ask("POST", "/v1/events", &event.to_string()).is(200).json();
    assert_eq!(reply["accepted"], 1, "{reply}");
    reply["over_budget"].is_null()
}

/// Reports a view, and returns how many the customer has now.
fn views(process: &Process, who: &str) -> Value {
    let event = json!({"type": "view", "customer": who}).to_string();
    process.ask("POST", "/v1/events", &event).is(200);
    process.ask("GET", &format!("/v1/customers/{who}"), "").is(200).json()["features"]["views"].clone()
}

/// By how many days the clock is ahead of what is believed, as health says.
fn off_days(process: &Process) -> i64 {
    let off = process.ask("GET", "/readyz", "").is(200).json()["clock_off_s"].as_i64().unwrap_or(0);
    (off as f64 / DAY as f64).round() as i64
}

#[test]
fn a_jump_of_a_running_server_is_believed_by_nothing() {
    let Some(place) = Place::new() else { return };
    let process = place.start("+0", &[]);
    assert_eq!((shown(&process, "ada"), off_days(&process)), ("early".into(), 0));
    assert_eq!(views(&process, "ada"), 1);
    for (offset, days, jumps) in [("+8d", 8, 1), ("-400d", -400, 2)] {
        place.clock.set(offset);
        assert_eq!(shown(&process, "ada"), "early", "the first decision after it is not misled");
        assert_eq!(off_days(&process), days);
        let metrics = process.ask("GET", "/metrics", "").text;
        assert!(metrics.contains(&format!("usher_clock_jumps_total {jumps}\n")), "{metrics}");
    }
    assert!(impression(&process, "ada", "early") && impression(&process, "bob", "early"));
    assert!(!impression(&process, "eve", "early"));
    assert_eq!(shown(&process, "joe"), "brand", "the budget of this day is used up");
    assert_eq!(views(&process, "ada"), 2);
    place.clock.set("+0");
    assert_eq!((off_days(&process), shown(&process, "joe")), (0, "brand".into()));
    assert_eq!(views(&process, "ada"), 3);
}

#[test]
fn what_a_start_dated_ahead_counts_and_comes_back() {
    let Some(place) = Place::new() else { return };
    let process = place.start("+8d", &[]);
    assert_eq!(off_days(&process), 0, "nothing tells that the clock is wrong");
    assert!(impression(&process, "ada", "late") && impression(&process, "bob", "late"));
    assert_eq!((shown(&process, "joe"), views(&process, "ada")), ("brand".into(), json!(1)));
    process.terminate();

    let process = place.start("+0", &[]);
    assert_eq!(off_days(&process), -8);
    assert!(process.said().contains("--trust-clock"), "{}", process.said());
    assert_eq!((shown(&process, "joe"), views(&process, "ada")), ("brand".into(), json!(2)));
    process.terminate();

    let process = place.start("+0", &["--trust-clock"]);
    assert_eq!((off_days(&process), shown(&process, "joe")), (0, "early".into()));
    assert!(impression(&process, "joe", "early") && impression(&process, "ada", "early"));
    assert!(!impression(&process, "eve", "early"));
    assert_eq!((shown(&process, "sue"), views(&process, "ada")), ("brand".into(), json!(3)));
    process.terminate();

    // A day later the records are in order again.
    let process = place.start("+1d", &[]);
    assert_eq!((off_days(&process), shown(&process, "joe")), (0, "early".into()));
}

#[test]
fn a_start_with_a_clock_behind_dates_nothing_back() {
    let Some(place) = Place::new() else { return };
    let process = place.start("+0", &[]);
    assert!(impression(&process, "ada", "early") && impression(&process, "bob", "early"));
    assert_eq!(views(&process, "ada"), 1);
    process.terminate();
    let process = place.start("-9000d", &[]);
    assert_eq!((shown(&process, "joe"), views(&process, "ada")), ("brand".into(), json!(2)));
    assert!(!impression(&process, "joe", "early"), "the budget is used up on this day");
    assert_eq!(off_days(&process), -9000);
    place.clock.set("+0");
    assert_eq!((off_days(&process), shown(&process, "joe")), (0, "brand".into()));
    assert_eq!(views(&process, "ada"), 3);
}
