//! Data as programs write it: the files in `tests/cases/data` have the same four customers, and each is
//! loaded into a server by the program itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

mod cli_support;

use std::path::Path;

use cli_support::{Server, write};
use serde_json::{Value, json};

fn case(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/data").join(name).to_str().unwrap().to_owned()
}

fn server() -> Server {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "schema.yaml", std::fs::read(case("schema.yaml")).unwrap());
    Server::start(&["--models", folder.path().to_str().unwrap()])
}

fn features(server: &Server, customer: &str) -> Value {
    let answer: Value = serde_json::from_str(&server.get(&format!("/v1/customers/{customer}"))).unwrap();
    answer["features"].clone()
}

#[test]
fn what_each_program_writes_is_the_same_customers() {
    let server = server();
    let expected: Value = serde_json::from_slice(&std::fs::read(case("customers.json")).unwrap()).unwrap();
    for (file, mapping) in [
        ("pandas.csv", None),
        ("pandas-naive.csv", Some("pandas-naive.yaml")),
        ("pandas.ndjson", None),
        ("pandas-epoch.ndjson", Some("pandas-epoch.yaml")),
        ("pandas.json", Some("pandas-epoch.yaml")),
        ("postgresql.csv", None),
        ("postgresql.tsv", None),
        ("postgresql.ndjson", None),
        ("java.ndjson", None),
        ("excel.csv", Some("excel.yaml")),
        ("excel-german.csv", Some("excel-german.yaml")),
        ("oracle.csv", Some("oracle.yaml")),
    ] {
        let path = case(file);
        let mapping = mapping.map(case);
        let mapped = mapping.iter().flat_map(|mapping| ["--mapping", mapping]);
        let args: Vec<&str> = ["load", &path, "--mode", "replace"].into_iter().chain(mapped).collect();
        server.run(&args).ended(0).says(&["4 accepted, 0 rejected"]);
        for (customer, known) in expected.as_object().unwrap() {
            let mut known = known.clone();
            if file.starts_with("pandas") && file.ends_with("json") && customer == "d-1" {
                known["score"] = json!(0.3); // pandas writes no more than 15 digits of a double into JSON
            }
            assert_eq!(features(&server, customer), known, "{file}: {customer}");
        }
    }
}

#[test]
fn a_text_of_two_meanings_is_refused_with_what_would_tell() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    for (column, text, said) in [
        ("seen", "2026-11-01 10:00:00", "a mapping can say its `zone`"),
        (
            "seen",
            "01/11/2026",
            "which of the numbers is the day, and which the month? A mapping can say the `format`",
        ),
        (
            "seen",
            "1793498400",
            "a number may be a day, or count seconds or milliseconds; a mapping can say its `format`",
        ),
        ("age", "1,200", "a mapping can say whether the comma is `decimal` or parts `thousands`"),
        ("aum", "1.200,50", "a mapping can say whether the comma is `decimal` or parts `thousands`"),
        ("score", "NaN", "if it means that nothing is known, a mapping can list it under `missing`"),
        ("vip", "N/A", "if it means that nothing is known, a mapping can list it under `missing`"),
        ("interests", "funds,travel", "expected words with `|` between them, or `|` alone for none"),
        ("tier", "Gold", "did you mean `gold`?"),
        ("age", "12.5", "expected a whole number from 0 to 120, found \"12.5\""),
        ("vip", "wahr", "expected true or false, found \"wahr\""),
        ("age", "  ", "expected a whole number"),
    ] {
        let file = write(folder.path(), "c.csv", format!("customer,{column}\nx,\"{text}\"\n"));
        let run = server.run(&["load", file.to_str().unwrap()]).ended(1);
        run.says(&[said, &format!("c.csv:2: column {column}:"), "0 accepted, 1 rejected"]);
    }
}
