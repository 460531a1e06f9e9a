//! What README.md shows is what happens.
#![allow(clippy::unwrap_used)] // a helper that cannot go on fails its test

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use usher::node::Define;
use usher::node::startup::Startup;
use usher::rules::rule_set::RuleSet;
use usher::schema::Schema;

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The fenced blocks of this language.
fn blocks(language: &str) -> Vec<String> {
    let readme = file("README.md");
    let opening = format!("\n```{language}\n");
    readme.split(&opening).skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_request_has_the_answer_that_is_shown() {
    let mut rule_sets: Vec<(String, String)> =
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/retail-bank/rule-sets"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&path).unwrap())
            })
            .collect();
    rule_sets.sort();
    let node = usher::node::Node::start().unwrap();
    let schema = file("models/retail-bank/schema.yaml");
    let bundle = Define::Bundle { schema, rule_sets, activate: true };
    support::block_on(node.define(bundle)).unwrap();
    let startup = Startup::done(node.clone());
    let serving = usher::http::serve("127.0.0.1:0".parse().unwrap(), startup, support::settings()).unwrap();
    let server = support::Running { address: serving.address(), server: Some(serving), node };
    let customer = r#"{"age": 41, "risk_tolerance": "steady", "risk_class": "R2", "aum": 600000, "consent_marketing": true}"#;
    assert_eq!(server.json("PUT", "/v1/customers/c-1001", customer).status, 200);
    let request = blocks("sh").into_iter().find(|block| block.starts_with("curl")).unwrap();
    let path = request.split("8080").nth(1).unwrap().trim_end_matches('\'').to_owned();
    let without_id = |mut answer: serde_json::Value| {
        answer.as_object_mut().unwrap().remove("decision_id").unwrap();
        let proposition = answer["placements"][0]["propositions"][0].as_object_mut().unwrap();
        proposition.remove("token").unwrap();
        answer
    };
    let shown: serde_json::Value = serde_json::from_str(&blocks("json")[0]).unwrap();
    assert_eq!(without_id(server.get(&path).json()), without_id(shown));
}

#[test]
fn the_mistake_gets_the_message_that_is_shown() {
    let schema = Schema::parse("schema.yaml", &file("models/retail-bank/schema.yaml")).unwrap();
    let condition = blocks("yaml")[0].clone();
    let right = file("models/retail-bank/rule-sets/wealth.yaml");
    assert!(right.contains(&condition), "{condition} is not in wealth.yaml");
    let wrong = right.replacen(&condition, &condition.replace("tolerance", "tolerence"), 1);
    let problems = RuleSet::parse("wealth.yaml", &wrong, &schema).unwrap_err();
    assert_eq!(problems.to_string().trim_end(), blocks("text")[0]);
}

/// The block under *Kill it, and ask again*, line by line as somebody types it, each once the server is ready.
#[test]
fn what_was_acknowledged_is_there_after_the_kill_that_is_shown() {
    let there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !there("bash") || !there("curl") {
        eprintln!("skipped: there is no bash or no curl to type the commands of README.md into");
        return;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let shown = blocks("sh").into_iter().find(|block| block.contains("kill -9")).unwrap();
    let wait = "for i in $(seq 300); do usher health >/dev/null 2>&1 && break; sleep 0.1; done";
    let typed: Vec<String> = shown
        .replace("\\\n", "")
        .replace("8080", &port.to_string())
        .replace("models/retail-bank", concat!(env!("CARGO_MANIFEST_DIR"), "/models/retail-bank"))
        .lines()
        .map(|line| line.split(" #").next().unwrap().trim_end())
        .map(|line| if line.ends_with('&') { format!("{line}\n{wait}") } else { line.to_owned() })
        .collect();
    let script = format!("set -m\n{}\nkill -9 %%\n", typed.join("\n"));
    let folder = tempfile::tempdir().unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_usher")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let address = format!("127.0.0.1:{port}");
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("USHER_LISTEN", &address)
        .env("USHER_SERVER", format!("http://{address}"))
        .output()
        .unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("steady_r2"), "{script}\n{said}\n{complained}");
}

#[test]
fn every_command_that_is_shown_exists() {
    let shown = blocks("sh").join("\n");
    let words = shown.lines().flat_map(|line| line.split(['|', '&'])).filter_map(|command| {
        let rest = command.trim().strip_prefix("usher ")?;
        rest.split_whitespace().next().map(str::to_owned)
    });
    let commands: BTreeSet<String> = words.collect();
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        let help =
            Command::new(env!("CARGO_BIN_EXE_usher")).args([command.as_str(), "--help"]).output().unwrap();
        assert!(help.status.success(), "usher {command} --help");
    }
}
