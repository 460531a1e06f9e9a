//! Rule sets are swapped again and again under decisions at full speed. Every answer is of one version as a
//! whole, none fails, and the memory of old versions is freed.
#![allow(clippy::unwrap_used, clippy::panic)] // a helper that cannot go on fails its test

mod support;
#[path = "../src/testing.rs"]
mod testing;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use arc_swap::ArcSwap;
use support::{Client, Running, running_with};
use testing::rounds;
use usher::decide::{Context, Request, decide, eligible};
use usher::engine::Engine;
use usher::http::Settings;
use usher::rules::rule_set::RuleSet;
use usher::schema::Schema;
use usher::schema::value::{Time, Value};
use usher::schema::vector::FeatureVector;

const OFFERS: usize = 200;
const COUNT: usize = 3;
const DECIDERS: usize = 2;
const CONNECTIONS: usize = 4;

/// Stops the threads of a test when it ends or fails, so that it never waits for them forever.
struct Stop<'s>(&'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Offer `i` is for those aged `i` or more. In odd versions later offers are worth more, in even ones earlier
/// offers.
fn rule_set(schema: &Schema, odd: bool) -> RuleSet {
    let mut text =
        format!("rule_set: many\nplacements: {{slot: {{channels: [app], count: {COUNT}}}}}\noffers:\n");
    for i in 0..OFFERS {
        let value = if odd { i } else { OFFERS - i };
        writeln!(
            text,
            "  o{i}: {{placements: [slot], attributes: {{value: {value}}}, when: age >= {i}, \
             treatments: [{{placement: slot, content: {{odd: {odd}, n: {i}}}}}]}}"
        )
        .unwrap();
    }
    RuleSet::parse("many.yaml", &text, schema).unwrap_or_else(|problems| panic!("{problems}"))
}

/// What a version shows at this age, as JSON.
fn expected(odd: bool, age: usize) -> Vec<String> {
    let content = |i: usize| format!(r#"{{"odd":{odd},"n":{i}}}"#);
    let fitting = 0..=age.min(OFFERS - 1);
    if odd {
        fitting.rev().take(COUNT).map(content).collect()
    } else {
        fitting.take(COUNT).map(content).collect()
    }
}

/// Decides for all ages in turn until told to stop. Returns the number of decisions.
fn decide_all_the_time(schema: &Schema, engine: &ArcSwap<Engine>, stop: &AtomicBool) -> usize {
    let age = schema.feature(schema.feature_id("age").unwrap());
    let mut row = vec![0; schema.row_words()];
    let (mut newest, mut count, mut found) = (0, 0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let years = count % (OFFERS + 10);
        age.field.unwrap().write(&mut row, age.kind.encode(&Value::Int(years as i64)));
        let engine = engine.load();
        let version = engine.versions[0].1;
        assert!(version >= newest, "version {version} after {newest}");
        newest = version;
        let slot = engine.placement_id("slot").unwrap();
        let request = Request {
            customer: "c",
            channel: schema.channel_id("app").unwrap(),
            placements: &[(slot, COUNT)],
            locale: None,
            context: Context::default(),
            past: usher::customer::row::Past::default(),
            budgets: &usher::decide::NoBudgets,
            lessons: &usher::decide::NoLessons,
            seed: 0,
            explain: false,
            overdue: None,
        };
        let vector = FeatureVector::new(&row);
        let decision = decide(&engine, vector, &request, Time(0));
        let shown = decision.placements[0].propositions.iter().map(|shown| &*shown.treatment.json);
        let shown: Vec<&str> = shown.map(|json| std::str::from_utf8(json).unwrap()).collect();
        assert_eq!(shown, expected(version % 2 == 1, years), "version {version}, age {years}");
        found.clear();
        eligible(&engine, slot, vector, &request, Time(0), &mut found);
        assert_eq!(found.len(), OFFERS.min(years + 1), "version {version}, age {years}");
        count += 1;
    }
    count
}

#[test]
fn a_decision_uses_one_engine_and_old_engines_are_freed() {
    let text = "schema: ages\nfeatures: {age: {kind: int, min: 0, max: 1000}}\n";
    let schema = Arc::new(Schema::parse("schema.yaml", text).unwrap());
    let sets = [false, true].map(|odd| Arc::new(rule_set(&schema, odd)));
    let compiled = |version: u64| {
        let set = Arc::clone(&sets[version as usize % 2]);
        Arc::new(Engine::compile(&schema, &[(set, version as u32)]).unwrap())
    };
    let live = ArcSwap::new(compiled(1));
    let (stop, swaps) = (AtomicBool::new(false), rounds(100, 1_000));
    let mut engines = vec![Arc::downgrade(&live.load())];
    thread::scope(|scope| {
        let stopping = Stop(&stop);
        let deciders: Vec<_> =
            (0..DECIDERS).map(|_| scope.spawn(|| decide_all_the_time(&schema, &live, &stop))).collect();
        for version in 2..=swaps + 1 {
            let engine = compiled(version);
            engines.push(Arc::downgrade(&engine));
            live.store(engine);
            if deciders.iter().any(|decider| decider.is_finished()) {
                break; // its panic says what was wrong
            }
        }
        drop(stopping);
        for decider in deciders {
            assert!(decider.join().unwrap() > 0);
        }
    });
    let alive = |engines: &[std::sync::Weak<Engine>]| engines.iter().filter(|e| e.strong_count() > 0).count();
    assert_eq!((engines.len() as u64, alive(&engines)), (swaps + 1, 1), "only the last one is in use");
    drop(live);
    assert_eq!(alive(&engines), 0);
}

/// Three offers for everybody, whose content says which version they are of.
fn pushed(version: u64) -> String {
    let offer = |name: &str| {
        format!(
            "  {name}: {{placements: [slot], treatments: [{{placement: slot, content: {{version: {version}}}}}]}}\n"
        )
    };
    let offers = ["first", "second", "third"].map(offer).concat();
    format!("rule_set: swapped\nplacements: {{slot: {{channels: [app], count: {COUNT}}}}}\noffers:\n{offers}")
}

fn push(client: &mut Client, version: u64) {
    let headers = "content-type: application/yaml\r\n";
    client.request("PUT", "/v1/rule-sets/swapped", headers, pushed(version).as_bytes());
    let reply = client.reply_to("PUT");
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!((&reply.json()["version"], &reply.json()["active"]), (&version.into(), &true.into()));
}

/// Asks on one connection until told to stop. Returns how many answers it saw, and of how many versions.
fn ask_all_the_time(server: &Running, acknowledged: &AtomicU64, stop: &AtomicBool) -> (usize, usize) {
    let (mut client, mut newest) = (server.client(), 0);
    let (mut answers, mut versions) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let at_least = acknowledged.load(Ordering::Acquire).max(newest);
        client.request("GET", "/v1/decisions?customer=c-1&channel=app&placement=slot", "", b"");
        let reply = client.reply();
        assert_eq!(reply.status, 200, "{}", reply.text());
        let found = reply.json();
        let version = found["rule_sets"]["swapped"].as_u64().unwrap();
        assert!(version >= at_least, "version {version}, though {at_least} was seen or acknowledged before");
        let shown = found["placements"][0]["propositions"].as_array().unwrap();
        let of_version = shown.iter().filter(|shown| shown["content"]["version"] == version).count();
        assert_eq!((shown.len(), of_version), (COUNT, COUNT), "{found}");
        versions += usize::from(version != newest);
        newest = version;
        answers += 1;
    }
    (answers, versions)
}

#[test]
fn no_answer_over_http_mixes_versions_or_fails() {
    let server = running_with(Settings { threads: 2, ..Settings::default() });
    let mut client = server.client();
    push(&mut client, 1);
    let (acknowledged, stop) = (AtomicU64::new(1), AtomicBool::new(false));
    let swaps = rounds(100, 1_000);
    thread::scope(|scope| {
        let stopping = Stop(&stop);
        let askers: Vec<_> = (0..CONNECTIONS)
            .map(|_| scope.spawn(|| ask_all_the_time(&server, &acknowledged, &stop)))
            .collect();
        for version in 2..=swaps + 1 {
            push(&mut client, version);
            acknowledged.store(version, Ordering::Release);
            if askers.iter().any(|asker| asker.is_finished()) {
                break; // its panic says what was wrong
            }
        }
        drop(stopping);
        for asker in askers {
            let (answers, versions) = asker.join().unwrap();
            assert!(answers > 1 && versions > 1, "{answers} answers of {versions} versions");
        }
    });
    assert_eq!(acknowledged.load(Ordering::Relaxed), swaps + 1);
}
