//! The program against a second decider: plain and slow Python, written from the reference alone, without a
//! look at this code. Both decide the golden decisions of the example bundles, and random bundles, customers,
//! histories and requests: at any time by `usher check`, and now over HTTP.
//!
//! `USHER_PYTHON` names a folder with PyYAML and tzdata (`pip install --target`). Without it, or without
//! `python3`, the test is skipped. A disagreement is printed with its seed, and made as small as it gets:
//! `python3 tests/second_decider/main.py --help` says how to decide it again.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may fail loudly")]

#[path = "../src/testing.rs"]
mod testing;

use std::path::Path;
use std::process::Command;

use testing::rounds;

#[test]
fn a_second_decider_agrees() {
    let Some(packages) = std::env::var_os("USHER_PYTHON") else {
        println!("skipped: USHER_PYTHON does not name a folder with PyYAML and tzdata");
        return;
    };
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: there is no python3");
        return;
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("python3")
        .arg(here.join("tests/second_decider/main.py"))
        .args(["--usher", env!("CARGO_BIN_EXE_usher"), "--cases", &rounds(400, 20_000).to_string()])
        .arg("--models")
        .arg(here.join("models"))
        .env("PYTHONPATH", packages)
        .env("PYTHONTZPATH", "") // the time zones of the package, not those of the machine
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(output.status.success(), "{said}");
}
