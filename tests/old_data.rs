//! Data directories that an earlier version wrote open, verify and answer as they did then. They lie in
//! `tests/data/old-directory`; its README says what is in them and how they were made.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;
mod durable_support;

use std::fs;
use std::path::{Path, PathBuf};

use cli_support::{program, run};
use durable_support::{Connection, Process};
use serde_json::{Map, Value, json};

/// The customers who took a gift. Whoever they are was not kept then; it is found when the directory is
/// opened.
const WITH_GIFT: [&str; 2] = ["c-2", "c-3"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/old-directory")
}

/// What the earlier version answered. Only two digests are others: the customers who took a gift have their
/// places in the state, and the journal of the killed server's directory erases a customer, which is
/// remembered now.
fn answers() -> Value {
    let mut answers: Value =
        serde_json::from_slice(&fs::read(folder().join("answers.json")).unwrap()).unwrap();
    answers["killed"]["digest"] = json!("4535d59d2c80195d");
    answers["stopped"]["digest"] = json!("83f137fbef542545");
    for name in ["killed", "stopped"] {
        answers[name]["token_keys"] = json!(1); // they were not looked at then
    }
    answers
}

/// A copy of an old directory, to be used up.
struct Copy(tempfile::TempDir);

impl Copy {
    fn of(name: &str) -> Copy {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(folder().join(name)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        Copy(copy)
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    fn start(&self) -> Process {
        let process = Process::spawn(program(&["serve", "--listen", "127.0.0.1:0", "--data", self.path()]));
        process.wait_until_ready();
        process
    }

    /// What `usher verify` finds in it, which must be whole.
    #[track_caller]
    fn verify(&self) -> Value {
        serde_json::from_str(&run(&["verify", self.path(), "--json"]).ended(0).out).unwrap()
    }

    /// Takes its newest snapshot away, so that a start goes back to the one before and replays what follows.
    fn lose_newest_snapshot(&self) {
        let names = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path());
        let snapshots = names.filter(|name| name.extension().is_some_and(|suffix| suffix == "snapshot"));
        fs::remove_file(snapshots.max().unwrap()).unwrap();
    }
}

#[track_caller]
fn get(connection: &mut Connection, path: &str) -> Value {
    connection.ask("GET", path, "").unwrap().is(200).json()
}

/// A customer's id as it stands in a path.
fn encoded(who: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    who.bytes().map(byte).collect()
}

fn customer(connection: &mut Connection, who: &str) -> Value {
    let mut answer = get(connection, &format!("/v1/customers/{}", encoded(who)));
    answer["features"].as_object_mut().unwrap().remove("views_7d"); // fades with the days
    let place = json!([{"rule_set": "cards", "budget": "gifts"}]);
    let places = answer.as_object_mut().unwrap().remove("places");
    assert_eq!(places, WITH_GIFT.contains(&who).then_some(place), "{who}");
    answer
}

/// A decision without what chance and tokens bring.
fn shown(connection: &mut Connection, who: &str, placement: &str) -> Value {
    let who = encoded(who);
    let path = format!("/v1/decisions?customer={who}&channel=app&placement={placement}");
    let answer = get(connection, &path);
    let placement = &answer["placements"][0];
    let steady = |proposition: &Value| {
        let fields =
            ["offer", "treatment", "rank", "content"].map(|it| (it.to_owned(), proposition[it].clone()));
        Value::Object(Map::from_iter(fields))
    };
    let propositions: Vec<Value> = placement["propositions"].as_array().unwrap().iter().map(steady).collect();
    json!({
        "rule_sets": answer["rule_sets"], "known": answer["known"], "fallback": placement["fallback"],
        "propositions": propositions,
    })
}

/// Customers, contacts, versions and decisions are what they were.
#[track_caller]
fn check_answers(process: &Process, expected: &Value) {
    let mut connection = process.connect().unwrap();
    for (who, then) in expected["customers"].as_object().unwrap() {
        assert_eq!(customer(&mut connection, who), *then);
    }
    for (who, placements) in expected["decisions"].as_object().unwrap() {
        for (placement, then) in placements.as_object().unwrap() {
            assert_eq!(shown(&mut connection, who, placement), *then, "{who} on {placement}");
        }
    }
    for (name, then) in expected["versions"].as_object().unwrap() {
        assert_eq!(get(&mut connection, &format!("/v1/rule-sets/{name}/versions")), *then);
    }
    assert_eq!(get(&mut connection, "/v1/rule-sets"), expected["rule_sets"]);
    for who in expected["erased"].as_array().unwrap() {
        let path = format!("/v1/customers/{}", who.as_str().unwrap());
        assert_eq!(connection.ask("GET", &path, "").unwrap().status, 404);
    }
}

#[test]
fn an_old_directory_is_found_whole_with_the_digests_it_had() {
    for name in ["killed", "stopped"] {
        assert_eq!(Copy::of(name).verify(), answers()[name], "{name}");
    }
}

#[test]
fn an_old_directory_starts_answers_as_it_did_and_goes_on() {
    let expected = answers();
    for name in ["killed", "stopped"] {
        let copy = Copy::of(name);
        let process = copy.start();
        check_answers(&process, &expected);
        process.ask("PATCH", "/v1/customers/c-7", r#"{"age": 35}"#).is(200);
        process.terminate();
        assert_ne!(copy.verify()["digest"], expected[name]["digest"]);
        let process = copy.start();
        process.ask("PATCH", "/v1/customers/c-7", r#"{"age": 34}"#).is(200);
        check_answers(&process, &expected);
        process.terminate();
        assert_eq!(copy.verify()["digest"], expected[name]["digest"], "{name}: the same state again");
    }
}

#[test]
fn the_older_snapshot_and_the_journal_come_to_the_same() {
    let expected = answers();
    for name in ["killed", "stopped"] {
        let copy = Copy::of(name);
        copy.lose_newest_snapshot();
        assert_eq!(copy.verify()["digest"], expected[name]["digest"], "{name}");
        check_answers(&copy.start(), &expected);
    }
}
