//! `usher init`: what it writes is right, and fits the file that it was guessed from.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

mod cli_support;

use std::io::Write as _;
use std::path::Path;

use cli_support::{Server, run, write};
use serde_json::{Value, json};

fn case(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/data").join(name).to_str().unwrap().to_owned()
}

#[test]
fn a_small_bundle_is_right_and_decides() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("My Bank 2");
    let path = dir.to_str().unwrap();
    run(&["init", path]).ended(0).says(&["golden.yaml", "next:", "usher serve --models"]);
    run(&["check", "--strict", path]).ended(0).says(&["3 golden decisions came out"]);
    assert!(std::fs::read_to_string(dir.join("schema.yaml")).unwrap().contains("schema: my-bank-2\n"));
    run(&["init", path]).ended(2).says(&["is there already"]);
    let server = Server::start(&["--models", path]);
    let file = write(folder.path(), "c.csv", "customer,balance,consent_marketing\nc-1,12000,true\n");
    server.run(&["load", file.to_str().unwrap()]).ended(0);
    server.run(&["decide", "c-1", "home_banner"]).ended(0).says(&["fixed_deposit"]);
    server.run(&["event", "page_view", "c-2", "page=rates"]).ended(0).says(&["accepted: page_view of c-2"]);
    server.run(&["event", "page_view", "c-2", "page=rates", "--id", "x"]).ended(0);
    server.run(&["event", "page_view", "c-2", "page=rates", "--id", "x"]).ended(0).says(&["taken before"]);
    server.run(&["event", "page_vew", "c-2"]).ended(1).says(&["did you mean `page_view`?"]);
    server.run(&["event", "page_view", "c-2", "rates"]).ended(2).says(&["expected NAME=VALUE"]);
    let known: Value = serde_json::from_str(&server.get("/v1/customers/c-2")).unwrap();
    assert_eq!(known["features"], json!({"rate_views_7d": 2}));
}

/// The files of the same four customers, as five programs write them, each make a bundle that loads them.
#[test]
fn what_was_guessed_from_a_file_loads_it() {
    for file in [
        "pandas.csv",
        "pandas.ndjson",
        "pandas.json",
        "postgresql.csv",
        "postgresql.tsv",
        "postgresql.ndjson",
        "java.ndjson",
        "excel-german.csv",
        "oracle.csv",
        "pandas-naive.csv",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("bank");
        let path = dir.to_str().unwrap();
        run(&["init", path, "--from", &case(file)])
            .ended(0)
            .says(&["from 4 rows of", "all 4 rows of the file fit"]);
        run(&["check", "--strict", path]).ended(0);
        let mapping = std::fs::read_dir(dir.join("imports")).unwrap().next().unwrap().unwrap().path();
        let server = Server::start(&["--models", path]);
        let loaded = server.run(&["load", &case(file), "--mapping", mapping.to_str().unwrap()]).ended(0);
        loaded.says(&["4 accepted, 0 rejected"]);
        let known: Value = serde_json::from_str(&server.get("/v1/customers/d-1")).unwrap();
        assert_eq!(known["features"]["aum"], 600_000.5, "{file}: {known}");
        assert_eq!(known["features"]["tier"], "gold", "{file}: {known}");
    }
}

#[test]
fn what_no_row_tells_is_marked_and_what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(
        folder.path(),
        "c.csv",
        "id,seen,opened,active,type,name\na,2026-11-01 10:00:00,1/2/2026,1,x,q\nb,2026-11-01 11:00:00,2/1/2026,0,y,\nc\n",
    );
    let dir = folder.path().join("b");
    let (path, file) = (dir.to_str().unwrap(), file.to_str().unwrap());
    run(&["init", path, "--from", file]).ended(0).says(&[
        "id      the customer's id",
        "seen: time, zone: UTC (in which zone are its times? UTC is a guess)",
        "opened: time, format: '%d/%m/%Y' (day or month first? no row tells)",
        "active: true or false (true and false, written as 1 and 0? or a number?)",
        "type_value: one of 2 values",
        "1 row cannot be read; the first is line 4: expected 6 cells, found 1",
        "1 of 3 rows of the file do not fit",
    ]);
    let other = folder.path().join("o");
    let other = other.to_str().unwrap();
    run(&["init", other, "--from", file, "--customer", "nobody"]).ended(2).says(&["no column \"nobody\""]);
    let empty = write(folder.path(), "e.csv", "id,age\n");
    run(&["init", other, "--from", empty.to_str().unwrap()]).ended(2).says(&["no rows to guess from"]);
}

#[test]
fn an_example_is_found_in_columns_of_any_kind() {
    for (cells, expected) in [
        (["12.50", "13.75"], "when: \"x >= 12\""),
        (["1e-7", "0.5"], "when: \"x != null\""),
        (["0", "-3"], "when: \"x != null\""),
        (["a|b", "b"], "when: \"'a' in x\""),
        (["2026-11-01", "2020-02-29"], "when: \"x != null\""),
        (["it's", "it's"], "when: \"x != null\""),
        (["", ""], "when: \"context.channel == 'app'\""),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = write(folder.path(), "c.csv", format!("id,x\na,{}\nb,{}\n", cells[0], cells[1]));
        let dir = folder.path().join("b");
        let path = dir.to_str().unwrap();
        let made = run(&["init", path, "--from", file.to_str().unwrap()]).ended(0);
        made.says(&["all 2 rows of the file fit"]);
        run(&["check", "--strict", path]).ended(0).says(&["2 golden decisions came out"]);
        let rules = std::fs::read_to_string(dir.join("rule-sets/offers.yaml")).unwrap();
        assert!(rules.contains(expected), "{cells:?}: {rules}");
    }
}

#[test]
fn the_real_data_set_makes_a_bundle_that_fits_all_of_its_rows() {
    let Some(file) = std::env::var_os("USHER_BANK_CSV") else {
        let _ = writeln!(std::io::stderr(), "skipped: USHER_BANK_CSV does not name the file bank-full.csv");
        return;
    };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("bank");
    let path = dir.to_str().unwrap();
    run(&["init", path, "--from", file.to_str().unwrap()]).ended(0).says(&[
        "45,211 rows",
        "default: true or false",
        "job: one of 12 values",
        "all 45,211 rows of the file fit",
    ]);
    run(&["check", "--strict", path]).ended(0).says(&["17 features"]);
}
