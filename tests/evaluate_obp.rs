//! `usher evaluate` against obp on the Open Bandit sample: logs of two policies of a fashion shop, with
//! propensities.
//!
//! `USHER_OBP` names the unpacked wheel (`pip download --no-deps obp==0.4.1`). Without it the tests are
//! skipped. The expected figures are those of obp's own estimators, as `evaluate_obp.py` prints them. If
//! `python3` has numpy, they are computed again.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests may fail loudly")]

mod cli_support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use cli_support::*;
use serde_json::Value;

const ITEMS: usize = 80;
const POSITIONS: usize = 3;

/// Policy to evaluate, policy of the log, IPS, SNIPS, DR: printed by obp 0.4.1 with numpy 2.4.6.
const FIGURES: [(&str, &str, [f64; 3]); 3] = [
    ("bts", "random", [0.005035366932711512, 0.0052530721964214695, 0.004970088827025795]),
    ("uniform", "random", [0.0038, 0.0038, 0.0037180498398672254]),
    ("uniform", "bts", [0.0023596395168460037, 0.002333713893161806, 0.004197486263809148]),
];

/// A line of a log. Numbers start at 0.
struct Round {
    item: usize,
    position: usize,
    click: f64,
    propensity: f64,
}

type Table = [[f64; POSITIONS]; ITEMS];

fn path_of(wheel: &Path, policy: &str) -> PathBuf {
    wheel.join("obp/dataset/obd").join(policy).join("all/all.csv")
}

fn log_of(wheel: &Path, policy: &str) -> Vec<Round> {
    let path = path_of(wheel, policy);
    let mut reader = csv::Reader::from_path(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let rows: Vec<HashMap<String, String>> = reader.deserialize().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 10_000, "{}", path.display());
    let round = |row: &HashMap<String, String>| Round {
        item: row["item_id"].parse().unwrap(),
        position: row["position"].parse::<usize>().unwrap() - 1,
        click: row["click"].parse().unwrap(),
        propensity: row["propensity_score"].parse().unwrap(),
    };
    rows.iter().map(round).collect()
}

/// Sums by item and position.
fn table(log: &[Round], value: impl Fn(&Round) -> f64) -> Table {
    let mut table = [[0.0; POSITIONS]; ITEMS];
    for round in log {
        table[round.item][round.position] += value(round);
    }
    table
}

/// The policy `uniform`, or `bts` as the share of each item on each position.
fn policy(name: &str, bts: &[Round]) -> Table {
    if name == "uniform" {
        return [[1.0 / ITEMS as f64; POSITIONS]; ITEMS];
    }
    let mut shown = table(bts, |_| 1.0);
    for position in 0..POSITIONS {
        let sum: f64 = shown.iter().map(|row| row[position]).sum();
        shown.iter_mut().for_each(|row| row[position] /= sum);
    }
    shown
}

/// The log in the form that `usher evaluate` takes. The reward model is the share of clicks by item and
/// position.
fn csv_of(log: &[Round], target: &Table) -> String {
    let (clicks, shown) = (table(log, |round| round.click), table(log, |_| 1.0));
    let expected = |item: usize, position: usize| clicks[item][position] / shown[item][position].max(1.0);
    let all = |position: usize| -> f64 {
        (0..ITEMS).map(|item| target[item][position] * expected(item, position)).sum()
    };
    let mut text = "reward,propensity,target,expected,expected_target\n".to_owned();
    for Round { item, position, click, propensity } in log {
        let (target, expected) = (target[*item][*position], expected(*item, *position));
        text += &format!("{click},{propensity},{target},{expected},{}\n", all(*position));
    }
    text
}

fn evaluated(args: &[&str]) -> Value {
    serde_json::from_str(&run(&[&["evaluate"], args, &["--json"]].concat()).ended(0).out).unwrap()
}

#[track_caller]
fn near(found: &Value, expected: f64, what: &str) {
    let found = found["value"].as_f64().unwrap_or_else(|| panic!("{what}: {found}"));
    assert!((found / expected - 1.0).abs() < 1e-9, "{what}: {found}, obp says {expected}");
}

/// The figures that obp computes now, if Python and numpy are there.
fn live(wheel: &Path) -> Option<Value> {
    let numpy = Command::new("python3").args(["-c", "import numpy"]).output().ok()?;
    if !numpy.status.success() {
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evaluate_obp.py");
    let output = Command::new("python3").arg(script).arg(wheel).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn estimates_are_those_of_obp() {
    let Some(wheel) = std::env::var_os("USHER_OBP").map(PathBuf::from) else {
        println!("skipped: USHER_OBP does not name the unpacked wheel of obp");
        return;
    };
    let (random, bts) = (log_of(&wheel, "random"), log_of(&wheel, "bts"));
    let live = live(&wheel);
    println!("obp's own estimators run beside: {}", live.is_some());
    let folder = tempfile::tempdir().unwrap();
    for (target, logged, figures) in FIGURES {
        let log = if logged == "random" { &random } else { &bts };
        let file = write(folder.path(), "log.csv", csv_of(log, &policy(target, &bts)));
        let found = evaluated(&[file.to_str().unwrap()]);
        for (name, expected) in ["ips", "snips", "dr"].into_iter().zip(figures) {
            let what = format!("{name} of {target} on {logged}");
            near(&found[name], expected, &what);
            if let Some(live) = &live {
                near(&found[name], live[format!("{target} on {logged}")][name].as_f64().unwrap(), &what);
            }
            println!("{what}: {} ± {}", found[name]["value"], found[name]["standard_error"]);
        }
    }
}

#[test]
fn a_published_log_is_read_as_it_is() {
    let Some(wheel) = std::env::var_os("USHER_OBP").map(PathBuf::from) else {
        println!("skipped: USHER_OBP does not name the unpacked wheel of obp");
        return;
    };
    let columns = ["--reward", "click", "--propensity", "propensity_score", "--target-uniform", "80"];
    for (target, logged, [ips, snips, _]) in FIGURES.iter().filter(|(target, ..)| *target == "uniform") {
        let path = path_of(&wheel, logged);
        let found = evaluated(&[&[path.to_str().unwrap()], &columns[..]].concat());
        near(&found["ips"], *ips, &format!("ips of {target} on {logged}"));
        near(&found["snips"], *snips, &format!("snips of {target} on {logged}"));
        assert!(found["dr"].is_null());
    }
}
