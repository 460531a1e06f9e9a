//! CEL's public conformance suite against the real `usher eval`.
//!
//! `USHER_CEL_SPEC` names the unpacked npm package `@bufbuild/cel-spec` (`npm pack
//! @bufbuild/cel-spec@0.6.1`). Without it the test is skipped. `cel_conformance/skips.txt` lists what does
//! not pass, each with its reason. A skip that is no longer needed fails the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

const SECTIONS: [&str; 18] = [
    "basic",
    "bindings_ext",
    "comparisons",
    "conversions",
    "fields",
    "fp_math",
    "integer_math",
    "lists",
    "logic",
    "macros",
    "macros2",
    "math_ext",
    "namespace",
    "parse",
    "plumbing",
    "string",
    "string_ext",
    "timestamps",
];

/// A case of the suite, as `cases.mjs` writes it.
#[derive(serde::Deserialize)]
struct Case {
    section: String,
    name: String,
    /// Evaluated without type checking, which CEL allows.
    unchecked: bool,
    /// The expression must have no value.
    fails: bool,
    /// The expression as it stands in the suite.
    written: String,
    expression: String,
    variables: Value,
    /// Another expression, which is true if the first has exactly the value that the suite expects.
    exactly: Option<String>,
    /// The expected value is of a kind that the language here does not have.
    #[serde(default)]
    foreign: bool,
}

/// A line of the list of skips: `name GLOB # reason` or `text PART # reason`.
struct Skip {
    line: String,
    by_name: bool,
    pattern: String,
}

#[derive(Default, Clone, Copy)]
struct Tally {
    passed: usize,
    skipped: usize,
}

#[test]
fn the_language_is_cel() {
    let Some(package) = std::env::var_os("USHER_CEL_SPEC").map(PathBuf::from) else {
        println!("skipped: USHER_CEL_SPEC does not name the package @bufbuild/cel-spec");
        return;
    };
    let cases = cases(&package);
    assert!(cases.len() > 1_500, "the suite has more cases than {}", cases.len());
    let skips = skips();
    let passes = run(&cases);
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut used = vec![false; skips.len()];
    let mut wrong = Vec::new();
    for (case, answer) in cases.iter().zip(&passes) {
        let skip = skips.iter().position(|skip| skip.covers(case));
        let tally = tallies.entry(&case.section).or_default();
        match (answer, skip) {
            (Ok(()), Some(skip)) if skips[skip].by_name => {
                wrong.push(format!("{} passes, but is skipped: {}", case.name, skips[skip].line));
            }
            // A case that must fail proves nothing here: it also fails for the reason for which it is
            // skipped.
            (Ok(()), Some(_)) if case.fails => tally.skipped += 1,
            (Ok(()), _) => tally.passed += 1,
            (Err(_), Some(skip)) => {
                used[skip] = true;
                tally.skipped += 1;
            }
            (Err(answer), None) => wrong.push(format!("{}: {:?}\n    {answer}", case.name, case.written)),
        }
    }
    let stale = skips.iter().zip(&used).filter(|(_, used)| !**used);
    wrong.extend(stale.map(|(skip, _)| format!("nothing fails that this skips: {}", skip.line)));
    print_table(&tallies);
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn print_table(tallies: &BTreeMap<&str, Tally>) {
    println!("| section | pass | skip |\n|---|---:|---:|");
    let mut all = Tally::default();
    for (section, tally) in tallies {
        println!("| {section} | {} | {} |", tally.passed, tally.skipped);
        all.passed += tally.passed;
        all.skipped += tally.skipped;
    }
    println!("| all | {} | {} |", all.passed, all.skipped);
}

fn own(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cel_conformance").join(name)
}

fn cases(package: &Path) -> Vec<Case> {
    let node =
        Command::new("node").arg(own("cases.mjs")).arg(package).args(SECTIONS).output().expect("node runs");
    assert!(node.status.success(), "{}", String::from_utf8_lossy(&node.stderr));
    let text = String::from_utf8(node.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn skips() -> Vec<Skip> {
    let text = std::fs::read_to_string(own("skips.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| Skip::read(line).unwrap_or_else(|| panic!("not a skip with a reason: {line}"))).collect()
}

impl Skip {
    fn read(line: &str) -> Option<Skip> {
        let (what, reason) = line.split_once(" # ")?;
        let (kind, pattern) = what.split_once(' ')?;
        let by_name = match kind {
            "name" => true,
            "text" => false,
            _ => return None,
        };
        let complete = !reason.trim().is_empty();
        complete.then(|| Skip { line: line.to_owned(), by_name, pattern: pattern.trim().to_owned() })
    }

    fn covers(&self, case: &Case) -> bool {
        if !self.by_name {
            return case.written.contains(&self.pattern);
        }
        match self.pattern.strip_suffix('*') {
            Some(beginning) => case.name.starts_with(beginning),
            None => case.name == self.pattern,
        }
    }
}

/// Runs all cases: each as it is and, where a value is expected, also asked whether it is exactly that value.
fn run(cases: &[Case]) -> Vec<Result<(), String>> {
    let mut results = vec![Ok(()); cases.len()];
    for unchecked in [false, true] {
        let chosen: Vec<usize> = (0..cases.len()).filter(|i| cases[*i].unchecked == unchecked).collect();
        let ask =
            |expression: &str, case: &Case| json!({"expression": expression, "variables": case.variables});
        let mut lines = Vec::new();
        for i in &chosen {
            let case = &cases[*i];
            lines.push(ask(&case.expression, case));
            lines.push(ask(case.exactly.as_deref().unwrap_or("true"), case));
        }
        let answers = evaluate(&lines, unchecked);
        assert_eq!(answers.len(), lines.len());
        for (i, answers) in chosen.iter().zip(answers.chunks(2)) {
            results[*i] = judge(&cases[*i], &answers[0], &answers[1]);
        }
    }
    results
}

fn judge(case: &Case, answer: &Value, exactly: &Value) -> Result<(), String> {
    let failed = answer.get("error").is_some();
    if case.foreign {
        return Err("its value is a message".into());
    }
    if case.fails {
        return if failed { Ok(()) } else { Err(format!("must fail, is {answer}")) };
    }
    if failed || exactly["value"] != json!(true) {
        return Err(format!("is {answer}, asked exactly: {exactly}"));
    }
    Ok(())
}

fn evaluate(lines: &[Value], unchecked: bool) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_usher"));
    command.arg("eval").args(unchecked.then_some("--unchecked"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
