//! A deleted customer is gone from every file after a compaction, even if compactions were killed before.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;
mod durable_support;
#[path = "../src/testing.rs"]
mod testing;

use std::path::Path;
use std::time::Duration;

use cli_support::run;
use durable_support::{Home, Process, SCHEMA};
use fastrand::Rng;
use usher::schema::Schema;
use usher::schema::value::Value;

const CANARIES: usize = 100;
const OTHERS: usize = 300;
/// A part of every canary's id, and of no other id.
const MARK: &str = "canary-4711-";

/// The score of a canary. All are so close together that their codes share most bytes.
fn score(number: usize) -> f64 {
    8_231_459.0 + number as f64 / 16_384.0
}

/// The bytes that the codes of all these scores share, as they stand in a file.
fn score_bytes() -> Vec<u8> {
    let schema = Schema::parse("schema.yaml", SCHEMA).unwrap();
    let kind = &schema.feature(schema.find_feature("score").unwrap()).kind;
    let code = |number| kind.encode(&Value::Double(score(number))).to_le_bytes()[3..].to_vec();
    assert!((0..2 * CANARIES).all(|number| code(number) == code(0)));
    code(0)
}

fn write(process: &Process, method: &str, id: &str, body: &str) {
    process.ask(method, &format!("/v1/customers/{id}"), body).is(200);
}

/// Puts canaries, snapshots, changes and deletes them. The other customers stay.
fn let_canaries_die(process: &Process) {
    let rows = |from: usize| {
        let canary =
            move |number| format!("{{\"customer\": \"{MARK}{number}\", \"score\": {}}}\n", score(number));
        (from..from + CANARIES / 2).map(canary).collect::<String>()
    };
    process.ask("POST", "/v1/customers", &rows(0)).is(200);
    process.ask("POST", "/v1/snapshots", "").is(201);
    for number in CANARIES / 2..CANARIES {
        write(process, "PUT", &format!("{MARK}{number}"), &format!("{{\"score\": {}}}", score(number)));
    }
    for number in 0..CANARIES {
        let again = score(number + CANARIES);
        write(process, "PATCH", &format!("{MARK}{number}"), &format!("{{\"score\": {again}}}"));
    }
    for number in 0..CANARIES {
        write(process, "DELETE", &format!("{MARK}{number}"), "");
    }
}

fn write_others(process: &Process) {
    let other =
        |number| format!("{{\"customer\": \"other-{number}\", \"version\": {number}, \"score\": 1.5}}\n");
    process.ask("POST", "/v1/customers", &(0..OTHERS).map(other).collect::<String>()).is(200);
}

/// Checks that the other customers are there, and nobody else.
#[track_caller]
fn check_others(process: &Process) {
    assert_eq!(process.wait_until_ready()["customers"], OTHERS);
    let mut connection = process.connect().unwrap();
    for number in 0..OTHERS {
        let reply = connection.ask("GET", &format!("/v1/customers/other-{number}"), "").unwrap().is(200);
        assert_eq!(reply.json()["features"]["version"], number);
    }
    let reply = connection.ask("GET", &format!("/v1/customers/{MARK}1"), "").unwrap();
    assert_eq!(reply.status, 404);
}

/// How often these bytes stand in the files of a folder and of the folders in it.
fn count(folder: &Path, bytes: &[u8]) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let count_in = |path: &Path| {
        let content = std::fs::read(path).unwrap();
        content.windows(bytes.len()).filter(|window| *window == bytes).count()
    };
    entries.map(|path| if path.is_dir() { count(&path, bytes) } else { count_in(&path) }).sum()
}

/// How often canaries are found in the files: by id, and by score.
fn canaries(home: &Home) -> (usize, usize) {
    (count(&home.data, MARK.as_bytes()), count(&home.data, &score_bytes()))
}

#[track_caller]
fn some_are_there(home: &Home) {
    let (ids, scores) = canaries(home);
    assert!(ids >= CANARIES && scores >= CANARIES, "the search finds nothing: {ids} ids, {scores} scores");
}

#[test]
fn after_a_compaction_no_file_holds_anything_of_who_was_deleted() {
    for by_command in [true, false] {
        let home = Home::new();
        let process = home.start(&[]);
        write_others(&process);
        let_canaries_die(&process);
        some_are_there(&home);
        if by_command {
            run(&["compact", "--server", &process.url()]).ended(0);
        } else {
            process.ask("POST", "/v1/snapshots", "").is(201);
        }
        assert_eq!(canaries(&home), (0, 0));
        check_others(&process);
        process.terminate();
        assert_eq!(canaries(&home), (0, 0));
        check_others(&home.start(&[]));
        home.verify();
    }
}

#[test]
fn a_restart_between_deletion_and_compaction_forgets_nothing_of_what_is_to_be_forgotten() {
    let home = Home::new();
    let process = home.start(&[]);
    write_others(&process);
    let_canaries_die(&process);
    process.kill();
    drop(process);
    some_are_there(&home);
    let process = home.start(&[]);
    process.ask("POST", "/v1/snapshots", "").is(201);
    assert_eq!(canaries(&home), (0, 0));
    check_others(&process);
}

#[test]
fn compactions_that_are_killed_leave_nothing_that_the_next_does_not_remove() {
    let (home, mut rng) = (Home::new(), Rng::new());
    let process = home.start(&[]);
    write_others(&process);
    drop(process);
    for _ in 0..testing::rounds(4, 20) {
        let process = home.start(&[]);
        let_canaries_die(&process);
        some_are_there(&home);
        let mut connection = process.connect().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| connection.ask("POST", "/v1/snapshots", "")); // it may die meanwhile
            std::thread::sleep(Duration::from_micros(rng.u64(..20_000)));
            process.kill();
        });
        drop(process);
        let process = home.start(&[]);
        process.ask("POST", "/v1/snapshots", "").is(201);
        assert_eq!(canaries(&home), (0, 0));
        check_others(&process);
        process.kill();
    }
}

/// The token of what a customer is shown.
fn token(process: &Process, who: &str) -> String {
    let path = format!("/v1/decisions?customer={who}&placement=home_banner&channel=app");
    let answer = process.ask("GET", &path, "").is(200).json();
    answer["placements"][0]["propositions"][0]["token"].as_str().unwrap().to_owned()
}

#[test]
fn an_erasure_is_remembered_through_kills_snapshots_and_restarts() {
    let home = Home::new();
    let mut process = home.start(&[]);
    write_others(&process);
    write(&process, "PUT", &format!("{MARK}1"), "{}");
    let old = token(&process, &format!("{MARK}1"));
    write(&process, "DELETE", &format!("{MARK}1"), "");
    let event = format!("{{\"type\": \"click\", \"customer\": \"{MARK}1\", \"token\": \"{old}\"}}");
    for step in ["kill", "snapshot", "kill", "stop", "snapshot", "stop"] {
        process = match step {
            "snapshot" => {
                process.ask("POST", "/v1/snapshots", "").is(201);
                process
            }
            "kill" => {
                process.kill();
                drop(process);
                home.start(&[])
            }
            _ => {
                process.terminate();
                home.start(&[])
            }
        };
        let reply = process.ask("POST", "/v1/events", &event).is(422);
        assert!(reply.text.contains("the customer was erased after this"), "{step}: {reply:?}");
        check_others(&process);
    }
    process.ask("POST", "/v1/snapshots", "").is(201);
    assert_eq!(canaries(&home).0, 0, "it is remembered without the id");
    let new = token(&process, &format!("{MARK}1"));
    process.ask("POST", "/v1/events", &event.replace(&old, &new)).is(200);
    assert_eq!(process.wait_until_ready()["customers"], OTHERS + 1);
}
