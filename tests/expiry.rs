//! Customers of whom only events are known go when nothing of them counts any more, and nobody else; through
//! snapshots, kills and replays. The clock is faked by libfaketime; where that is not installed, the test
//! says so and passes.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;
mod durable_support;
mod faked_clock;

use std::time::{Duration, Instant};

use cli_support::{program, write};
use durable_support::{Process, Reply};
use faked_clock::FakedClock;
use serde_json::{Value, json};
use tempfile::TempDir;

const SCHEMA: &str = "schema: visited
features:
  age: {kind: int, min: 0, max: 120}
  views: {kind: count, event: view}
events:
  view: {}
";
const RULES: &str = "rule_set: r
placements: {home: {channels: [app], count: 1, fallback: brand}}
offers:
  gift: {placements: [home], caps: [{max: 1, on: impression, per: 7d}], treatments: [{placement: home, content: {}}]}
  brand: {treatments: [{placement: home, content: {}}]}
";
const PATIENCE: Duration = Duration::from_secs(60);

fn start(clock: &FakedClock, folder: &std::path::Path, offset: &str, more: &[&str]) -> Process {
    clock.set(offset);
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (models, data) = (path("models"), path("data"));
    let fixed = ["serve", "--listen", "127.0.0.1:0", "--models", &models, "--data", &data];
    let arguments: Vec<&str> = fixed.into_iter().chain(more.iter().copied()).collect();
    let mut command = program(&arguments);
    clock.fake(&mut command);
    let process = Process::spawn(command);
    process.wait_until_ready();
    process
}

fn event(process: &Process, event: &Value) -> Reply {
    process.ask("POST", "/v1/events", &event.to_string())
}

fn knows(process: &Process, who: &str) -> bool {
    process.ask("GET", &format!("/v1/customers/{who}"), "").status == 200
}

fn ready(process: &Process) -> Value {
    process.ask("GET", "/readyz", "").is(200).json()
}

/// Waits until the server has written a record more, which here nothing but expiry does.
fn wait_for_a_look(process: &Process) {
    let sequence = || ready(process)["sequence"].as_u64().unwrap();
    let (before, deadline) = (sequence(), Instant::now() + PATIENCE);
    while sequence() == before {
        assert!(Instant::now() < deadline, "nobody was found: {}", process.said());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether the customer goes with the first look, which comes after 3.75 s and takes 2 s.
fn is_gone_after_a_look(process: &Process, who: &str) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while knows(process, who) {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}

/// A folder with the bundle, as `models`.
fn bundle() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), "models/schema.yaml", SCHEMA);
    write(place.path(), "models/rule-sets/r.yaml", RULES);
    place
}

#[test]
fn who_is_known_by_events_alone_goes_when_nothing_of_them_counts() {
    let Some(clock) = FakedClock::new() else { return };
    let place = bundle();
    let folder = place.path();
    let life = ["--unknown-customers-life", "1m", "--trust-clock"];

    let process = start(&clock, folder, "+0", &["--unknown-customers-life", "never"]);
    process.ask("PATCH", "/v1/customers/told", r#"{"age": 40}"#).is(200);
    for who in ["told", "seen", "shown"] {
        event(&process, &json!({"type": "view", "customer": who})).is(200);
    }
    let shown = json!({"type": "impression", "customer": "shown", "offer": "gift", "placement": "home", "channel": "app"});
    event(&process, &shown).is(200);
    let body = json!({"customer": "seen", "channel": "app", "placements": [{"id": "home"}]}).to_string();
    let decision = process.ask("POST", "/v1/decisions", &body).is(200).json();
    let token = decision["placements"][0]["propositions"][0]["token"].as_str().unwrap().to_owned();
    process.terminate();

    let process = start(&clock, folder, "+1d", &life);
    wait_for_a_look(&process);
    assert!(["told", "seen", "shown"].iter().all(|who| knows(&process, who)), "found, and not yet forgotten");
    process.kill();
    drop(process);

    let process = start(&clock, folder, "+2d", &life);
    wait_for_a_look(&process);
    assert_eq!(["told", "seen", "shown"].map(|who| knows(&process, who)), [true, false, true]);
    let metrics = process.ask("GET", "/metrics", "").text;
    assert!(metrics.contains("usher_customers_expired_total 1\n"), "{metrics}");
    // What was said to them is valid, and counts once.
    let click = json!({"type": "click", "customer": "seen", "token": token});
    assert_eq!(event(&process, &click).is(200).json()["accepted"], 1);
    assert_eq!(event(&process, &click).is(200).json()["duplicates"], 1);
    assert!(knows(&process, "seen"));
    // Unless they asked to be forgotten.
    assert_eq!(process.ask("DELETE", "/v1/customers/seen", "").status, 200);
    let convert = json!({"type": "convert", "customer": "seen", "token": token});
    assert!(event(&process, &convert).is(422).text.contains("erased"));
    process.kill();
    drop(process);

    // Their contacts count for 30 days.
    for offset in ["+29d", "+40d", "+41d"] {
        let process = start(&clock, folder, offset, &life);
        event(&process, &json!({"type": "view", "customer": "told"})).is(200);
        let metrics = process.ask("GET", "/metrics", "").text;
        assert!(metrics.contains("usher_customers_expired_total 0\n"), "none since the start: {metrics}");
        let goes = is_gone_after_a_look(&process, "shown");
        assert_eq!((goes, knows(&process, "told")), (offset == "+41d", true), "{offset}");
        process.terminate();
    }
}

#[test]
fn where_events_make_nobody_nobody_goes() {
    let Some(clock) = FakedClock::new() else { return };
    let place = bundle();
    let folder = place.path();
    let process = start(&clock, folder, "+0", &[]);
    event(&process, &json!({"type": "view", "customer": "seen"})).is(200);
    process.terminate();
    let more = ["--unknown-customers-life", "1m", "--unknown-customers", "refuse", "--trust-clock"];
    for offset in ["+1d", "+3d"] {
        let process = start(&clock, folder, offset, &more);
        std::thread::sleep(Duration::from_secs(5)); // the first look would come after 3.75 s
        assert!(knows(&process, "seen"), "{offset}");
        process.terminate();
    }
}

/// Whether the customer would be shown the offer that is capped.
fn is_shown_the_gift(process: &Process, who: &str) -> bool {
    let body = json!({"customer": who, "channel": "app", "placements": [{"id": "home"}], "explain": true});
    let reply = process.ask("POST", "/v1/decisions", &body.to_string()).is(200).json();
    reply["placements"][0]["propositions"][0]["offer"] == "gift"
}

#[test]
fn a_start_with_a_clock_that_is_ahead_forgets_nobody_and_nothing_of_them() {
    let Some(clock) = FakedClock::new() else { return };
    let place = bundle();
    let folder = place.path();
    let life = ["--unknown-customers-life", "1m"];

    let process = start(&clock, folder, "+0", &life);
    event(&process, &json!({"type": "view", "customer": "seen"})).is(200);
    let shown = json!({"type": "impression", "customer": "shown", "offer": "gift", "placement": "home", "channel": "app"});
    event(&process, &shown).is(200);
    process.terminate();
    let process = start(&clock, folder, "+1d", &[&life[..], &["--trust-clock"]].concat());
    wait_for_a_look(&process);
    assert!(knows(&process, "seen"), "found, and not yet forgotten");
    process.kill();
    drop(process);

    let process = start(&clock, folder, "+40d", &life);
    std::thread::sleep(Duration::from_secs(8)); // a look would come after 3.75 s and take 2 s
    clock.set("+1d");
    assert!(ready(&process)["clock_off_s"].is_null(), "soon after a start it may be set back");
    assert_eq!(["seen", "shown", "new"].map(|who| knows(&process, who)), [true, true, false]);
    assert_eq!(["seen", "shown", "new"].map(|who| is_shown_the_gift(&process, who)), [true, false, true]);
}
