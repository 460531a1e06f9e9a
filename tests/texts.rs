//! Texts that are not what they seem are refused or warned about where they stand: `tests/cases/texts`. What
//! is right on its own stays right with a byte-order mark and with line ends of Windows.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use usher::engine::Engine;
use usher::insight::analysis::{AnalysisScope, analyse};
use usher::rules::rule_set::RuleSet;
use usher::schema::Schema;
use usher::schema::value::Time;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/texts")
}

fn schema() -> Arc<Schema> {
    let text = fs::read_to_string(folder().join("schema.yaml")).unwrap();
    Arc::new(Schema::parse("schema.yaml", &text).unwrap())
}

/// What becomes of a rule set: the word for it, and all that is said.
fn outcome(text: &str) -> (&'static str, String) {
    let schema = schema();
    let read = RuleSet::parse("t", text, &schema).map(Arc::new);
    let compiled = read.and_then(|set| {
        let sets = [(Arc::clone(&set), 1)];
        Ok((Engine::compile(&schema, &sets)?, set))
    });
    match compiled {
        Err(problems) => ("refused", problems.to_string()),
        Ok((engine, set)) => {
            let scope = AnalysisScope::at(Time::parse("2026-11-30").unwrap());
            let said: String =
                analyse(&engine, &[set], &scope).iter().map(|warning| warning.problem.to_string()).collect();
            (if said.is_empty() { "right" } else { "warned" }, said)
        }
    }
}

/// Whether a problem stands at this place and says these words.
fn says(said: &str, place: &str, words: &str) -> bool {
    said.lines().any(|line| line.starts_with(&format!("t:{place}: ")) && line.contains(words))
}

#[test]
fn each_case_is_what_its_first_line_says() {
    let (mut tried, mut failures) = (0, String::new());
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") || path.ends_with("schema.yaml") {
            continue;
        }
        tried += 1;
        let text = fs::read_to_string(&path).unwrap();
        let expected = text.lines().next().unwrap().strip_prefix("# ").unwrap();
        let (outcome, said) = outcome(&text);
        let met = match expected.split_once(' ') {
            None => outcome == expected,
            Some((word, rest)) => {
                let (place, words) = rest.split_once(' ').unwrap();
                outcome == word && says(&said, place, words)
            }
        };
        if !met {
            failures += &format!("{}: expected {expected}\nit is {outcome}\n{said}\n", path.display());
        }
    }
    assert!(failures.is_empty(), "{failures}");
    assert!(tried >= 30);
}

#[test]
fn line_ends_and_a_byte_order_mark_change_nothing() {
    let text = fs::read_to_string(folder().join("guardrail-not-in-a-block.yaml")).unwrap();
    for text in [text.replace('\n', "\r\n"), format!("\u{feff}{text}"), format!("---\n{text}...\n")] {
        assert_eq!(outcome(&text), ("right", String::new()), "{text}");
    }
}
