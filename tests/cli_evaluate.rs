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
        "-:3: column propensity: expected more than 0: what is never chosen is never logged, found 0",
        "-:4: column reward: expected a number, found `yes`",
        "-:5: column target: expected a probability, from 0 to 1, found 1.5",
        "-:6: column propensity: expected a probability above 0 and up to 1, found 1.2",
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
