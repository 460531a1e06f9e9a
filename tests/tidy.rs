//! What the code must not become: checks of the source itself.
#![allow(clippy::unwrap_used)] // a file that cannot be read fails the test

use std::fs;
use std::path::{Path, PathBuf};

/// The core's files and folders: no runtime, no files, no sockets, no clock, no randomness, no JSON values.
const CORE: [&str; 44] = [
    "analysis",
    "analysis.rs",
    "arm.rs",
    "audience",
    "audience.rs",
    "catalogue.rs",
    "contact.rs",
    "context.rs",
    "customer.rs",
    "decide",
    "decide.rs",
    "decided",
    "decided.rs",
    "definitions.rs",
    "engine",
    "engine.rs",
    "evaluation.rs",
    "event.rs",
    "experiment",
    "experiment.rs",
    "expression",
    "expression.rs",
    "input.rs",
    "intake.rs",
    "learning",
    "learning.rs",
    "leases.rs",
    "ledger",
    "ledger.rs",
    "problem.rs",
    "record.rs",
    "row.rs",
    "rule_set",
    "rule_set.rs",
    "schema",
    "schema.rs",
    "state.rs",
    "stats.rs",
    "store",
    "store.rs",
    "token.rs",
    "update.rs",
    "value.rs",
    "vector.rs",
];

const FORBIDDEN_IN_CORE: [&str; 10] = [
    "tokio",
    "std::fs",
    "std::net",
    "std::io",
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
    "fastrand",
    "serde_json::Value",
    "crate::http",
];

fn sources(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            sources(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        found.push(path.to_owned());
    }
}

/// The part of a source before its tests.
fn production(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("").to_owned()
}

fn src(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name)
}

#[test]
fn the_core_knows_no_runtime_no_files_no_clock() {
    let mut files = Vec::new();
    for name in CORE {
        assert!(src(name).exists(), "{name} is listed but gone");
        sources(&src(name), &mut files);
    }
    let is_test = |file: &Path| file.ends_with("tests.rs") || file.iter().any(|part| part == "tests");
    for file in files.iter().filter(|file| !is_test(file)) {
        let text = production(file);
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            for word in FORBIDDEN_IN_CORE {
                assert!(!line.contains(word), "{}: {word} has no place in the core: {line}", file.display());
            }
        }
    }
}

#[test]
fn crates_that_may_go_are_known_to_one_module() {
    let mut files = Vec::new();
    sources(&src(""), &mut files);
    for (word, home) in
        [("bincode::", "codec.rs"), ("cel::", "expression/parse.rs"), ("dashmap::", "store.rs")]
    {
        for file in files.iter().filter(|file| !file.ends_with(home)) {
            let text = production(file);
            let strange =
                text.lines().find(|line| !line.trim_start().starts_with("//") && line.contains(word));
            assert!(strange.is_none(), "{}: {word} belongs in src/{home} alone: {strange:?}", file.display());
        }
    }
}
