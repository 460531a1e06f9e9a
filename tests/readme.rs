//! What README.md shows is what happens.
#![allow(clippy::unwrap_used)] // a helper that cannot go on fails its test

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use usher::node::Define;
use usher::rule_set::RuleSet;
use usher::schema::Schema;
use usher::startup::Startup;

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
