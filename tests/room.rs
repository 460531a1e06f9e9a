//! Bounds of customers and memory: what does not fit is refused in time, whoever is known is served, and the
//! server lives through the flood and through the start after it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;
mod durable_support;

use std::time::{Duration, Instant};

use cli_support::{program, run, write};
use durable_support::{Process, Reply};
use serde_json::{Value, json};

const SCHEMA: &str = "schema: flooded
features:
  age: {kind: int, min: 0, max: 120}
  views: {kind: count, event: view, window: 7d}
events:
  view: {}
";

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let place = tempfile::tempdir().unwrap();
        write(place.path(), "models/schema.yaml", SCHEMA);
        Place(place)
    }

    fn start(&self, more: &[&str]) -> Process {
        self.start_under(&[], more)
    }

    fn start_under(&self, wrapper: &[&str], more: &[&str]) -> Process {
        let path = |name: &str| self.0.path().join(name).to_str().unwrap().to_owned();
        let (models, data) = (path("models"), path("data"));
        let fixed =
            ["serve", "--listen", "127.0.0.1:0", "--models", &models, "--data", &data, "--sync", "never"];
        let arguments: Vec<&str> = fixed.into_iter().chain(more.iter().copied()).collect();
        let mut command = match wrapper {
            [] => program(&arguments),
            [wrapper, options @ ..] => {
                let mut command = std::process::Command::new(wrapper);
                command.args(options).arg(env!("CARGO_BIN_EXE_usher")).args(&arguments);
                command
            }
        };
        command.env_clear();
        let process = Process::spawn(command);
        process.wait_until_ready();
        process
    }
}

/// Sends a view of each of these customers.
fn views(process: &Process, who: impl Iterator<Item = String>) -> Reply {
    let events: Vec<_> = who.map(|who| json!({"type": "view", "customer": who})).collect();
    process.ask("POST", "/v1/events", &json!(events).to_string())
}

/// The status, and how many events were accepted and rejected.
fn accepted(reply: &Reply) -> (u16, u64, usize) {
    let json = reply.json();
    let rejected = json["rejected"].as_array().map_or(0, Vec::len);
    (reply.status, json["accepted"].as_u64().unwrap_or(0), rejected)
}

fn metric(process: &Process, name: &str) -> f64 {
    let text = process.ask("GET", "/metrics", "").text;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("usher_{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

fn ready(process: &Process) -> Value {
    process.ask("GET", "/readyz", "").json()
}

fn named(numbers: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    numbers.map(|number| format!("c-{number}"))
}

#[test]
fn customers_beyond_the_most_are_refused_and_the_others_are_served() {
    let place = Place::new();
    let process = place.start(&["--max-customers", "10"]);
    assert_eq!(accepted(&views(&process, named(0..8))), (200, 8, 0));
    let mixed = views(&process, named(6..14));
    assert_eq!(accepted(&mixed), (200, 4, 4), "two are known, and two have room");
    assert!(mixed.text.contains("--max-customers"), "{mixed:?}");
    assert_eq!(accepted(&views(&process, named(20..22))).0, 422);
    assert_eq!(accepted(&views(&process, ["c-1", "c-1", "c-9"].into_iter().map(str::to_owned))), (200, 3, 0));
    assert_eq!(process.ask("PATCH", "/v1/customers/c-1", r#"{"age": 5}"#).status, 200);
    let new = process.ask("PUT", "/v1/customers/new", r#"{"age": 5}"#);
    assert_eq!((new.status, &new.json()["type"]), (507, &json!("urn:usher:problem:no-room")));
    assert_eq!(
        (ready(&process)["takes_new_customers"].clone(), metric(&process, "customers")),
        (json!(false), 10.0)
    );
    assert_eq!(metric(&process, "takes_new_customers"), 0.0);
    process.ask("DELETE", "/v1/customers/c-1", "").is(200);
    assert_eq!(process.ask("PUT", "/v1/customers/new", r#"{"age": 5}"#).status, 200, "there is room again");
    process.kill();
    drop(process);
    let process = place.start(&["--max-customers", "5"]);
    assert_eq!(metric(&process, "customers"), 10.0, "a start keeps all that were taken");
    assert_eq!(accepted(&views(&process, named(2..4))), (200, 2, 0));
    assert_eq!(accepted(&views(&process, named(20..22))).0, 422);
}

#[test]
fn events_make_no_customers_where_they_may_not() {
    let place = Place::new();
    let settings = place.start(&["--unknown-customers", "refuse"]);
    settings.ask("PUT", "/v1/customers/c-1", r#"{"age": 5}"#).is(200);
    let answer = views(&settings, named(0..3));
    assert_eq!(accepted(&answer), (200, 1, 2));
    assert!(answer.text.contains("unknown_customers: refuse"), "{answer:?}");
    let one = settings.ask("POST", "/v1/events", r#"{"type": "view", "customer": "c-7"}"#);
    assert_eq!(one.status, 422);
    let rows = "{\"customer\": \"c-8\", \"age\": 1}\n";
    settings.ask("POST", "/v1/customers", rows).is(200);
    assert_eq!(metric(&settings, "customers"), 2.0);
    settings.terminate();
    let process = place.start(&[]);
    assert_eq!(accepted(&views(&process, named(0..3))), (200, 3, 0), "they are made by default");
}

#[test]
fn a_flood_of_made_up_customers_stops_below_the_most_memory_and_so_does_the_next_start() {
    const MOST: f64 = (160 << 20) as f64;
    let place = Place::new();
    let arguments = ["--max-memory", "160M"];
    let process = place.start(&arguments);
    process.ask("PUT", "/v1/customers/known", r#"{"age": 5}"#).is(200);
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut sent = 0;
    while accepted(&views(&process, named(sent..sent + 5_000))).1 > 0 {
        sent += 5_000;
        assert!(
            Instant::now() < deadline,
            "{sent} customers, and {} bytes",
            metric(&process, "resident_bytes")
        );
    }
    let resident = metric(&process, "resident_bytes");
    assert!(resident > MOST / 4.0 && resident < MOST, "{resident}");
    assert_eq!(process.ask("PATCH", "/v1/customers/known", r#"{"age": 6}"#).status, 200);
    assert_eq!(accepted(&views(&process, ["known".to_owned()].into_iter())), (200, 1, 0));
    process.ask("POST", "/v1/snapshots", "").is(201);
    assert!(metric(&process, "resident_bytes") < MOST);
    let customers = metric(&process, "customers");
    process.kill();
    drop(process);
    let process = place.start(&arguments);
    assert_eq!(metric(&process, "customers"), customers);
    views(&process, named(sent..sent + 5_000));
    process.ask("POST", "/v1/snapshots", "").is(201);
    assert!(metric(&process, "resident_bytes") < MOST, "{}", metric(&process, "resident_bytes"));
}

#[test]
fn where_addresses_are_bounded_customers_are_refused_and_writes_go_on() {
    if std::process::Command::new("prlimit").arg("--version").output().is_err() {
        durable_support::rigs::say("skipped: there is no prlimit");
        return;
    }
    let place = Place::new();
    let limit = format!("--as={}", 800_u64 << 20);
    let process = place.start_under(&["prlimit", &limit], &["--threads", "2"]);
    let mut sent = 0;
    while sent < 1_500_000 && accepted(&views(&process, named(sent..sent + 10_000))).1 > 0 {
        sent += 10_000;
    }
    assert!(process.is_running(), "{}", process.said());
    // How much is left at first depends on the allocator and on the number of cores.
    let known = metric(&process, "customers") > 0.0;
    let expected = if known { 200 } else { 507 };
    assert_eq!(process.ask("PUT", "/v1/customers/c-1", r#"{"age": 6}"#).status, expected);
    assert_eq!(ready(&process)["takes_writes"], json!(true));
    // Addresses that a thread gave back a moment ago may still be taken. The refusal says when to come again.
    let snapshot = (0..5).map(|attempt| {
        std::thread::sleep(Duration::from_secs(u64::from(attempt > 0)));
        process.ask("POST", "/v1/snapshots", "")
    });
    snapshot.into_iter().find(|reply| reply.status != 503).unwrap().is(201);
}

#[test]
fn a_bound_that_cannot_be_meant_is_refused_with_what_may_be() {
    for (flag, value, says) in [
        ("--max-customers", "0", "expected a number from 1 to 268435456"),
        ("--max-customers", "many", "expected a number"),
        ("--max-memory", "12", "expected 128M or more, such as 1500M, 6G or 75%, or off"),
        ("--max-memory", "1M", "expected 128M or more"),
        ("--max-memory", "101%", "expected 128M"),
        ("--max-memory", "99999999999999999999G", "expected 128M"),
        ("--unknown-customers", "maybe", "expected create or refuse"),
    ] {
        run(&["serve", flag, value]).ended(2).says(&[flag, says]);
    }
}

/// The addresses of a process, in KiB.
fn addresses(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Sends so many impressions of this customer. Returns the status.
fn impressions(process: &Process, who: &str, count: usize) -> u16 {
    let event = json!({"type": "impression", "customer": who, "offer": "gift", "placement": "home", "channel": "app"});
    process.ask("POST", "/v1/events", &json!(vec![event; count]).to_string()).status
}

#[test]
fn rows_that_grow_beyond_a_hard_limit_are_refused_before_they_are_written() {
    let place = Place::new();
    let rules = "rule_set: r
placements: {home: {channels: [app], count: 1, fallback: brand}}
offers:
  gift: {placements: [home], treatments: [{placement: home, content: {}}]}
  brand: {treatments: [{placement: home, content: {}}]}
";
    write(place.0.path(), "models/rule-sets/r.yaml", rules);
    let process = place.start(&[]);
    fill_two_chunks(&process);
    // Rows of two chunks come to need 400 MiB of addresses each, most of which nothing ever touches.
    let limit = more_addresses(&place, process, 300);
    let process = place.start_under(&["sh", "-c", &limit], &[]);
    let grown = |process: &Process| {
        let sent =
            ["c-0", "c-69999"].map(|who| [1, 10, 200, 200].map(|count| impressions(process, who, count)));
        sent.concat()
    };
    let statuses = grown(&process);
    assert!(statuses.iter().all(|status| matches!(status, 200 | 507)), "{statuses:?}");
    assert!(statuses.contains(&507), "{statuses:?}, {} KiB", addresses(&process));
    assert_eq!(ready(&process)["takes_writes"], true, "{}", process.said());
    assert_eq!(accepted(&views(&process, named(5..6))), (200, 1, 0));
    process.kill();
    drop(process);
    // What was taken fits the next start, too.
    let process = place.start_under(&["sh", "-c", &limit], &[]);
    assert!(grown(&process).contains(&507));
    assert_eq!(ready(&process)["takes_writes"], true, "{}", process.said());
}

/// Makes `c-0` to `c-69999` known, whose rows lie in two chunks.
fn fill_two_chunks(process: &Process) {
    for first in (0..70_000).step_by(10_000) {
        assert_eq!(accepted(&views(process, named(first..first + 10_000))), (200, 10_000, 0));
    }
}

/// What starts a program that may have so many MiB of addresses more than one that has just started has.
fn more_addresses(place: &Place, process: Process, mib: u64) -> String {
    process.terminate(); // its allocator may have taken addresses that it needs no more
    let process = place.start(&[]);
    let limit = addresses(&process) + (mib << 10);
    process.terminate();
    format!("ulimit -v {limit}; exec \"$0\" \"$@\"")
}

#[test]
fn rows_that_a_schema_makes_longer_are_refused_before_they_are_written() {
    let place = Place::new();
    let process = place.start(&[]);
    fill_two_chunks(&process);
    let limit = more_addresses(&place, process, 100);
    let process = place.start_under(&["sh", "-c", &limit], &[]);
    process.ask("PUT", "/v1/customers/c-9", r#"{"age": 5}"#).is(200);
    let doubles: String =
        (0..950).map(|number| format!("  d{number}: {{kind: float, precision: double}}\n")).collect();
    let grown = SCHEMA.replace("events:\n", &format!("{doubles}events:\n"));
    process.ask("PUT", "/v1/schema", &grown).is(200);
    // Rows of two chunks come to need 475 MiB of addresses each.
    let set = |who: &str, body: &str| process.ask("PATCH", &format!("/v1/customers/{who}"), body).status;
    assert_eq!(["c-0", "c-69999"].map(|who| set(who, r#"{"d949": 1.5}"#)), [507, 507], "{}", process.said());
    assert_eq!(ready(&process)["takes_writes"], true, "{}", process.said());
    // What needs no more words is taken.
    assert_eq!([set("c-0", r#"{"age": 7}"#), set("c-9", r#"{"d949": null}"#)], [200, 200]);
    assert_eq!(accepted(&views(&process, named(5..6))), (200, 1, 0));
    assert_eq!(process.ask("DELETE", "/v1/customers/c-0", "").status, 200);
    assert_eq!(set("c-0", r#"{"d949": 1.5}"#), 507, "a slot that is free has no more room");
    assert_eq!(ready(&process)["takes_writes"], true, "{}", process.said());
}
