//! Schedules, calendar caps, days of computed features and written days against Python's `zoneinfo`: nights
//! at both ends of a schedule, hours that clocks skip or repeat, days that begin at one o'clock or are left
//! out.
//!
//! `zones/bundles.py` writes bundles whose golden decisions it computes itself; `usher check` decides them.
//! `USHER_PYTHON` names a folder with the package tzdata (`pip install --target`). Without it, or without
//! `python3`, the test is skipped.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests may fail loudly")]

mod cli_support;
#[path = "../src/testing.rs"]
mod scale;

use std::path::Path;
use std::process::Command;

/// How many schedules and how many moments a bundle of `bundles.py` has; each meets each.
const PAIRS_OF_A_BUNDLE: usize = 20 * 25;

#[test]
fn days_and_nights_are_those_of_zoneinfo() {
    let Ok(packages) = std::env::var("USHER_PYTHON") else {
        println!("skipped: USHER_PYTHON names no folder with tzdata");
        return;
    };
    let (folder, count) = (tempfile::tempdir().unwrap(), scale::rounds(4, 100));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/zones/bundles.py");
    let mut python = Command::new("python3");
    // Without a path of its own, `zoneinfo` takes the package and not the system's files.
    python.env("PYTHONPATH", packages).env("PYTHONTZPATH", "");
    python.arg(script).arg(folder.path()).arg("2026").arg(count.to_string());
    let Ok(output) = python.output() else {
        println!("skipped: there is no python3");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut wrong = Vec::new();
    for number in 0..count {
        let bundle = folder.path().join(format!("b{number:04}"));
        let run = cli_support::run(&["check", bundle.to_str().unwrap()]);
        if run.code != 0 {
            let schema = std::fs::read_to_string(bundle.join("schema.yaml")).unwrap();
            let rules = std::fs::read_to_string(bundle.join("rule-sets/r.yaml")).unwrap();
            wrong.push(format!("bundle {number}: {}{}\n{schema}\n{rules}", run.out, run.err));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} bundles disagree; the first: {}", wrong.len(), wrong[0]);
    println!("{count} bundles agree, {} pairs of schedule and moment", count * PAIRS_OF_A_BUNDLE);
}
