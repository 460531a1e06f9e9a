//! `usher evaluate` as a data team uses it.
#![allow(clippy::unwrap_used)] // a helper that cannot go on fails its test

mod cli_support;

use cli_support::*;
use serde_json::Value;

/// Two of every three choices of a fair coin paid off. The other policy takes heads nine times in ten.
const CSV: &str =
    "reward,propensity,target\n1,0.5,0.9\n0,0.5,0.1\n1,0.5,0.9\n0,0.5,0.1\n1,0.5,0.9\n1,0.5,0.1\n";

fn evaluate(input: &str, args: &[&str]) -> Run {
    run_command(program(&[&["evaluate", "-", "--format", "csv"], args].concat()), input.as_bytes())
}

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.out).unwrap()
}

#[test]
fn estimates_are_shown_with_their_intervals() {
    evaluate(CSV, &[]).ended(0).says(&[
        "6 decisions",
        "as it was decided               0.666667      0.210819",
        "other policy, IPS               0.933333",
        "other policy, SNIPS             0.933333",
        "weights: mean 1.0000, largest 1.800 (line 2); effective sample size 3 (61.0 %)",
        "warning: the log is worth only 3.7 decisions",
        "warning: line 2 has 30.0 % of all weight",
    ]);
    let found = json(&evaluate(CSV, &["--json"]).ended(0));
    assert_eq!((&found["right"], &found["decisions"], &found["dr"]), (&true.into(), &6.into(), &Value::Null));
    assert!((found["ips"]["value"].as_f64().unwrap() - 5.6 / 6.0).abs() < 1e-12, "{found}");
    assert_eq!(found["warnings"].as_array().unwrap().len(), 2);
}

#[test]
fn a_model_makes_it_doubly_robust() {
    let csv = "reward,propensity,target,expected,expected_target\n1,0.5,0.9,1,0.9\n0,0.5,0.1,0,0.9\n";
    let found = json(&evaluate(csv, &["--json"]).ended(0));
    assert_eq!(found["dr"]["value"].as_f64(), Some(0.9), "the model is right, so nothing is left to weigh");
    let renamed = csv.replace("expected,expected_target", "q,q_target");
    let args = ["--expected", "q", "--expected-target", "q_target", "--json"];
    assert_eq!(json(&evaluate(&renamed, &args).ended(0))["dr"], found["dr"]);
    evaluate(&renamed, &["--expected", "q"]).ended(2).says(&[
        "no column `expected_target`",
        "a doubly robust estimate takes both `q` and `expected_target`",
    ]);
}

#[test]
fn files_of_every_kind_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let expected = json(&evaluate(CSV, &["--json"]).ended(0));
    let lines = CSV.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        let clicked = cells[0] == "1";
        format!("{{\"propensity\":{},\"target\":{},\"reward\":{clicked}}}\n", cells[1], cells[2])
    });
    let ndjson = "\n".to_owned() + &lines.collect::<String>(); // a blank line, so that lines are numbered alike
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, CSV.as_bytes()).unwrap();
    for (name, bytes) in [
        ("log.csv", CSV.into()),
        ("log.tsv", CSV.replace(',', "\t").into_bytes()),
        ("log.ndjson", ndjson.clone().into_bytes()),
        ("log.csv.gz", gz.finish().unwrap()),
        ("log.jsonl.zst", zstd::encode_all(ndjson.as_bytes(), 1).unwrap()),
    ] {
        let path = write(folder.path(), name, bytes);
        let found = json(&run(&["evaluate", path.to_str().unwrap(), "--json"]).ended(0));
        assert_eq!(found, expected, "{name}");
    }
    run(&["evaluate", write(folder.path(), "log", CSV).to_str().unwrap()]).ended(2).says(&["--format csv"]);
}

#[test]
fn wrong_lines_are_named_and_nothing_is_estimated() {
    let csv =
        "reward,propensity,target\n1,0.5,0.9\n1,0,0.9\nyes,0.5,1\n1,0.5,1.5\n1,1.2,0.5\n1,0.5\n,0.5,1\n";
    evaluate(csv, &[]).ended(1).says(&[
        "-:3: column propensity: expected more than 0: what is never chosen is never logged, found 0.0",
        "-:4: column reward: expected a number, found `yes`",
        "-:5: column target: expected a probability: 0, or from 1e-50 to 1, found 1.5",
        "-:6: column propensity: expected a probability from 1e-50 to 1, found 1.2",
        "-:7: expected 3 cells, found 2",
        "-:8: column reward: expected a number, found an empty cell",
        "6 of 7 decisions are wrong; nothing was estimated",
    ]);
    let found = json(&evaluate(csv, &["--json"]).ended(1));
    assert_eq!((&found["right"], &found["rejected"], &found["rows"]), (&false.into(), &6.into(), &7.into()));
    assert_eq!(
        (&found["errors"][0]["line"], &found["errors"][0]["column"]),
        (&3.into(), &"propensity".into())
    );
    let ndjson = "{\"reward\":1,\"propensity\":0.5,\"targt\":1}\n[1]\n{\"reward\":null,\"propensity\":1,\"target\":1}\n";
    let args = ["evaluate", "-", "--format", "ndjson"];
    run_command(program(&args), ndjson.as_bytes()).ended(1).says(&[
        "-:1: column target: there is no column `target`; did you mean `targt`?",
        "-:2: expected a JSON object",
        "-:3: column reward: expected a number, found null",
    ]);
    let open = format!("reward,propensity,target\n1,0.5,\"1\n{}", "1,0.5,0.5\n".repeat(120));
    evaluate(&open, &[]).ended(1).says(&["-:2: the quote opened on line 2 is never closed", "1 of 121"]);
}

/// Evaluates NDJSON of these lines.
fn evaluate_lines(lines: &[&str], args: &[&str]) -> Run {
    let all = [&["evaluate", "-", "--format", "ndjson"], args].concat();
    run_command(program(&all), format!("{}\n", lines.join("\n")).as_bytes())
}

#[test]
fn a_number_that_would_make_an_estimate_none_is_named() {
    for (line, said) in [
        ("1,1e-310,0.5", "column propensity: expected a probability from 1e-50 to 1, found 1e-310"),
        ("1e308,0.5,0.5", "column reward: expected a number from -1e50 to 1e50, found 1e308"),
        ("1,0.5,1e-60", "column target: expected a probability: 0, or from 1e-50 to 1, found 1e-60"),
        ("inf,0.5,0.5", "column reward: expected a number from -1e50 to 1e50, found inf"),
        ("NaN,0.5,0.5", "column reward: expected a number from -1e50 to 1e50, found NaN"),
        ("1e999,0.5,0.5", "column reward: expected a number from -1e50 to 1e50, found inf"),
    ] {
        let csv = format!("reward,propensity,target\n1,0.5,0.5\n{line}\n");
        evaluate(&csv, &[]).ended(1).says(&[&format!("-:3: {said}"), "nothing was estimated"]);
    }
    let csv = "reward,propensity,target\n1e50,1e-50,1\n-1e50,1,1e-50\n0,1e-50,1e-50\n";
    let found = json(&evaluate(csv, &["--json"]).ended(0));
    for estimate in ["logged", "ips", "snips"] {
        assert!(found[estimate]["value"].is_f64() && found[estimate]["standard_error"].is_f64(), "{found}");
    }
}

#[test]
fn a_model_is_in_every_line_or_in_none_whatever_their_order() {
    let with = r#"{"reward": 1, "propensity": 0.5, "target": 0.5, "expected": 1, "expected_target": 1}"#;
    let without = r#"{"reward": 0, "propensity": 0.5, "target": 0.5}"#;
    let half = r#"{"reward": 0, "propensity": 0.5, "target": 0.5, "expected": 1}"#;
    let lacks = "it has no `expected` and `expected_target`, but other lines have";
    for (lines, ending, said) in [
        (&[with, with][..], 0, "other policy, DR"),
        (&[without, without], 0, "2 decisions"),
        (&[with, without], 1, &*format!("-:2: {lacks}")),
        (&[without, with], 1, &format!("-:1: {lacks}")),
        (&[without, with, without], 1, "2 of 3 decisions are wrong"),
        (&[half, with], 1, "-:1: column expected_target: there is no column `expected_target`"),
        (&[with, half], 1, "-:2: column expected_target: there is no column `expected_target`"),
        (&[without, half], 1, "-:2: column expected_target: there is no column `expected_target`"),
    ] {
        evaluate_lines(lines, &[]).ended(ending).says(&[said]);
    }
    evaluate_lines(&[without, without], &["--expected", "expected"])
        .ended(1)
        .says(&["-:1: column expected:"]);
}

#[test]
fn no_column_of_a_log_is_dropped_without_a_word() {
    let marked = "\u{feff}{\"reward\": 1, \"propensity\": 0.5, \"target\": 0.5}";
    let extra = r#"{"reward": 0, "propensity": 0.5, "target": 0.5, "expectd": 1, "position": "top"}"#;
    let found = json(&evaluate_lines(&[marked, extra], &["--json"]).ended(0));
    assert_eq!(found["unused_columns"], serde_json::json!(["expectd", "position"]));
    let near = "column `expectd` is not used; did you mean `expected`?";
    assert!(found["warnings"].as_array().unwrap().contains(&near.into()), "{found}");
    evaluate_lines(&[marked, extra], &[]).ended(0).says(&["not used: expectd, position", near]);
    let twice = r#"{"reward": 0, "propensity": 0.5, "target": 0.5, "reward": 1}"#;
    evaluate_lines(&[marked, twice], &[]).ended(1).says(&["-:2: \"reward\" is given twice"]);
    let csv = "\u{feff}reward,propensity,target,user,user\n1,0.5,0.5,a,b\n0,0.5,0.5,a,b\n";
    evaluate(csv, &[]).ended(0).says(&["not used: user\n"]);
    evaluate(&csv.replace("user,user", "expected,expected"), &[]).ended(2).says(&["expected_target"]);
    let model = csv.replace("user,user", "expected,expected,expected_target").replace("a,b", "1,1,1");
    evaluate(&model, &[]).ended(2).says(&["more than one column `expected`"]);
}

#[test]
fn a_log_that_is_not_one_is_refused() {
    evaluate("click,propensity_score\n1,0.5\n", &["--reward", "clik"])
        .ended(2)
        .says(&["no column `clik`; did you mean `click`?", "--reward COLUMN"]);
    evaluate("a,b\n1,0.5\n", &[]).ended(2).says(&["there is no column `reward`; the columns are `a`, `b`"]);
    evaluate("reward,reward,propensity,target\n", &[]).ended(2).says(&["more than one column `reward`"]);
    evaluate("", &[]).ended(2).says(&["it is empty", "begins with a header line"]);
    evaluate("reward,propensity,target\n", &[]).ended(1).says(&["two decisions or more"]);
    evaluate("reward,propensity,target\n1,1,0\n1,1,0\n", &[]).ended(1).says(&["target is 0 everywhere"]);
    evaluate(CSV, &["--target-uniform", "2", "--target", "x"]).ended(2).says(&["cannot be used with"]);
    run(&["evaluate", "/nowhere.csv"]).ended(2).says(&["cannot read /nowhere.csv"]);
}

#[test]
fn propensities_that_are_not_those_of_the_log_are_noticed() {
    let csv = "reward,propensity\n".to_owned() + &"1,0.5\n0,0.4\n".repeat(200);
    evaluate(&csv, &["--target-uniform", "2"]).ended(0).says(&["warning: the mean weight is 1.125"]);
}

#[test]
fn help_has_an_example() {
    run(&["evaluate", "--help"]).ended(0).says(&["Examples:", "--target-uniform 80", "doubly robust"]);
}
