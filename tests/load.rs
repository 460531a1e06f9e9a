//! `usher load`: rejected rows that can be mended, loads that break and go on, files that are the whole
//! truth, and events.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

mod cli_support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cli_support::{Run, Server, program, run_command, write};
use serde_json::{Value, json};

const SCHEMA: &str = "schema: loads
features:
  age: {kind: int, min: 0, max: 120}
  paid: {kind: sum, event: payment, property: amount}
  payments: {kind: count, event: payment}
events:
  payment: {properties: {amount: {kind: decimal, scale: 2, min: 0, max: 10000}, kind: {kind: string}, at: {kind: time}}}
";

struct Rig {
    folder: tempfile::TempDir,
    server: Server,
}

impl Rig {
    fn new() -> Rig {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "bundle/schema.yaml", SCHEMA);
        let server = Server::start(&["--models", folder.path().join("bundle").to_str().unwrap()]);
        Rig { folder, server }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Loads a file of the folder. What stands for a file in `more` is a file of the folder, too: `@name`.
    fn load(&self, file: &str, more: &[&str]) -> Run {
        run_command(self.command(file, more), b"")
    }

    /// The command of such a load.
    fn command(&self, file: &str, more: &[&str]) -> Command {
        let file = self.path(file).display().to_string();
        let in_folder = |arg: &&str| match arg.strip_prefix('@') {
            Some(name) => self.path(name).display().to_string(),
            None => (*arg).to_owned(),
        };
        let more: Vec<String> = more.iter().map(in_folder).collect();
        let mut command = program(&["load", &file, "--server", &self.server.url]);
        command.args(more);
        command
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        write(self.folder.path(), name, text);
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path(name)).unwrap()).into_owned()
    }

    fn features(&self, customer: &str) -> Value {
        let answer: Value =
            serde_json::from_str(&self.server.get(&format!("/v1/customers/{customer}"))).unwrap();
        answer["features"].clone()
    }

    fn is_known(&self, customer: &str) -> bool {
        !self.features(customer).is_null()
    }
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn exists(path: &Path) -> bool {
    path.exists()
}

#[test]
fn rejected_rows_can_be_mended_and_loaded_again() {
    let rig = Rig::new();
    rig.write(
        "map.yaml",
        "import: m\ncustomer: 'r-{line}'\ncolumns: {age: {feature: age, thousands: \"'\"}}\nignore: [note]\n",
    );
    rig.write("c.csv", b"age;note\n1;a\n400;\"b;b\"\n3\n'4;d\n5;\"e\n6;f\xff\n7;g\n");
    let args = ["--mapping", "@map.yaml", "--rejects", "@bad.csv"];
    rig.load("c.csv", &args).ended(1).says(&["2 accepted, 5 rejected; the rejected rows are in", "bad.csv"]);
    let bad = rig.read("bad.csv");
    let lines: Vec<&str> = bad.lines().collect();
    assert_eq!(lines[0], "_row;_rejected;age;note");
    assert!(bad.contains("5;the quote opened on line 6 is never closed;5;\"e\n"), "{bad}");
    assert!(bad.contains("3;expected 2 cells, found 1;3\n"), "{bad}");
    assert!(
        bad.contains("2;\"`age`: expected a whole number from 0 to 120, found \"\"400\"\"\";400;\"b;b\"\n"),
        "{bad}"
    );
    assert!(
        bad.contains("4;\"expected a number written as the mapping says, found \"\"'4\"\"\";'4;d\n"),
        "{bad}"
    );
    assert!(bad.contains("6;cell 2 is not UTF-8"), "{bad}");
    // What was there before is not lost.
    rig.load("c.csv", &args).ended(2).says(&["bad.csv is there already", "mend its rows"]);
    rig.load("c.csv", &["--rejects", "@c.csv"]).ended(2).says(&["the file that is loaded"]);
    let mended = bad.replace("400", "40").replace(";3\n", ";3;\n").replace(";'4;", ";4;").replace("\"e", "e");
    let mended: Vec<u8> = mended.replace('\u{fffd}', "").into_bytes();
    rig.write("bad.csv", &mended);
    rig.load("bad.csv", &["--mapping", "@map.yaml", "--rejects", "@worse.csv"])
        .ended(0)
        .says(&["5 accepted, 0 rejected\n"]);
    for (row, age) in [(1, 1), (2, 40), (3, 3), (4, 4), (5, 5), (6, 6), (7, 7)] {
        assert_eq!(rig.features(&format!("r-{row}"))["age"], age, "the rows keep their numbers");
    }
    assert!(!exists(&rig.path("worse.csv")), "nothing was rejected");
    // A row that is rejected again has its new reason, also if somebody took the old one off.
    rig.write("bad.csv", "_row;_rejected;age;note\n2;old;500;b\n8;older;\n9;oldest;1;\"e\n10;it\n");
    rig.load("bad.csv", &["--mapping", "@map.yaml", "--rejects", "@worse.csv"]).ended(1);
    let worse = rig.read("worse.csv");
    let lines: Vec<&str> = worse.lines().collect();
    assert!(worse.contains("\n2;\"`age`: expected a whole number from 0 to 120, found"), "{worse}");
    assert!(worse.contains(";500;b\n") && !worse.contains("old;"), "{worse}");
    assert!(worse.contains("\n8;expected 4 cells, found 3;\"\"\n"), "{worse}");
    assert!(worse.contains("\n9;oldest;1;\"e\n"), "a row that is no record stays as it is: {worse}");
    assert!(worse.contains("\n10;expected 4 cells, found 2;10;it\n"), "{worse}");
    assert_eq!((lines[0], lines.len()), ("_row;_rejected;age;note", 5));
}

#[test]
fn rejected_objects_carry_their_reason_and_can_be_loaded_again() {
    let rig = Rig::new();
    rig.write(
        "c.ndjson",
        "{\"customer\": \"a\", \"age\": 1}\n{\"customer\": \"b\", \"age\": \"x\"}\n{\"customer\": \"c\",\n",
    );
    rig.load("c.ndjson", &["--rejects", "@bad.ndjson"]).ended(1).says(&["1 accepted, 2 rejected"]);
    let bad = rig.read("bad.ndjson");
    assert!(bad.starts_with("{\"_rejected\": \"`age`: expected a whole number from 0 to 120, found \\\"x\\\"\", \"customer\": \"b\", \"age\": \"x\"}\n"), "{bad}");
    rig.write("bad.ndjson", bad.replace("\"x\"}", "\"2\"}").replace("\"c\",\n", "\"c\"}\n"));
    rig.load("bad.ndjson", &[]).ended(0).says(&["2 accepted, 0 rejected"]);
    assert_eq!(rig.features("b")["age"], 2);
}

#[test]
fn all_rejected_rows_are_kept_however_many_there_are() {
    let rig = Rig::new();
    let rows: String = (0..7_000).map(|i| format!("c-{i},{}\n", if i % 2 == 0 { 7 } else { 777 })).collect();
    rig.write("c.csv", format!("customer,age\n{rows}"));
    rig.load("c.csv", &["--rejects", "@bad.csv"]).ended(1).says(&["3,500 accepted, 3,500 rejected"]);
    let bad = rig.read("bad.csv");
    assert_eq!(bad.lines().count(), 3_501);
    assert!(
        bad.lines().skip(1).all(|line| line.ends_with(",777") && line.contains("found \"\"777\"\"")),
        "{bad}"
    );
    rig.write("bad.csv", bad.replace(",777\n", ",77\n"));
    rig.load("bad.csv", &[]).ended(0).says(&["3,500 accepted, 0 rejected"]);
}

#[test]
fn a_file_that_ends_too_early_says_how_many_rows_were_applied() {
    let rig = Rig::new();
    let rows: String = (0..20_000).map(|i| format!("c-{i},{}\n", i * 7919 % 100)).collect();
    let whole = zipped(format!("customer,age\n{rows}").as_bytes());
    rig.write("c.csv.gz", &whole[..whole.len() / 2]);
    let run = rig.load("c.csv.gz", &[]).ended(2).says(&[
        "cannot read further",
        "rows were applied before it, up to line",
        "--resume FILE",
    ]);
    let told: String = run.err.split("; ").nth(1).unwrap().chars().filter(char::is_ascii_digit).collect();
    let applied: usize = run
        .err
        .split(" rows were applied")
        .next()
        .unwrap()
        .rsplit(' ')
        .next()
        .unwrap()
        .replace(',', "")
        .parse()
        .unwrap();
    assert!((5_000..20_000).contains(&applied) && !told.is_empty(), "{applied}: {}", run.err);
    assert!(
        rig.is_known(&format!("c-{}", applied - 1)) && !rig.is_known(&format!("c-{applied}")),
        "{applied}"
    );

    // With a note of how far it came, the load of the whole file goes on from there.
    let broken = rig.load("c.csv.gz", &["--resume", "@note", "--rejects", "@bad.csv"]).ended(2);
    broken.says(&["the same command goes on from there"]);
    assert!(exists(&rig.path("note")));
    rig.write("c.csv.gz", &whole);
    let rest = 20_000 - applied;
    let done =
        format!("{} accepted, 0 rejected; {} rows were done before", thousands(rest), thousands(applied));
    rig.load("c.csv.gz", &["--resume", "@note", "--rejects", "@bad.csv"]).ended(0).says(&[&done]);
    assert!(rig.is_known("c-19999") && !exists(&rig.path("note")), "the note goes when all is done");
}

fn thousands(number: usize) -> String {
    format!("{},{:03}", number / 1000, number % 1000)
}

#[test]
fn a_load_that_stops_at_too_many_errors_goes_on_with_the_rows_that_were_not_applied() {
    let rig = Rig::new();
    let file = |last: &str| {
        let rows: String = (0..5_000).map(|i| format!("c-{i},1\n")).collect();
        format!("customer,age\n{rows}good,2\n{last}")
    };
    let args = ["--max-errors", "1", "--rejects", "@bad.csv", "--resume", "@note"];
    for (bad, rejected) in [("x,300\ny,301\n", 2), ("x\ny\nz,1\n", 2)] {
        rig.write("c.csv", file(bad));
        let said = format!("{rejected} rejected; stopped: too many errors");
        rig.load("c.csv", &args).ended(1).says(&[&said]);
        assert!(!rig.is_known("good"), "the chunk was not applied");
    }
    rig.write("c.csv", file("x,3\ny,4\n"));
    rig.load("c.csv", &args).ended(0).says(&["3 accepted, 0 rejected; 5,000 rows were done before"]);
    assert!(rig.is_known("good") && rig.is_known("y") && !exists(&rig.path("note")));
}

/// Kills come just after a part was noted, a moment later, and still later: before, while and after the next
/// part is sent.
#[test]
fn a_load_that_is_killed_goes_on_and_counts_nothing_twice() {
    const ROWS: usize = 30_000;
    let rig = Rig::new();
    let now = jiff::Timestamp::now().to_string();
    let is_bad = |row: &usize| row % 100 == 7;
    let line = |row: usize| {
        let amount = if is_bad(&row) { "much" } else { "1" };
        format!("k-{},payment,{now},{amount}\n", row % 50)
    };
    rig.write("e.csv", format!("customer,type,at,amount\n{}", (0..ROWS).map(line).collect::<String>()));
    let args = ["--events", "--resume", "@note", "--rejects", "@bad.csv"];
    let mut killed = 0;
    for later in [0, 2, 6] {
        let noted = std::fs::read(rig.path("note")).ok();
        let mut load =
            rig.command("e.csv", &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::fs::read(rig.path("note")).ok() == noted && load.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "nothing was noted");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(later));
        load.kill().unwrap(); // SIGKILL
        killed += usize::from(load.wait().unwrap().code().is_none());
    }
    assert!(killed > 0);
    let rest = rig.load("e.csv", &args);
    assert!(rest.code <= 1 && !exists(&rig.path("note")), "{rest:#?}");
    if killed == 3 {
        rest.says(&["events were done before"]);
    }
    for customer in 0..50 {
        let payments = (0..ROWS).filter(|row| row % 50 == customer && !is_bad(row)).count();
        let found = rig.features(&format!("k-{customer}"));
        assert_eq!((&found["payments"], &found["paid"]), (&json!(payments), &json!(payments as f64)));
    }
    let bad = rig.read("bad.csv");
    let rows: Vec<usize> =
        bad.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
    let expected: Vec<usize> = (0..ROWS).filter(is_bad).map(|row| row + 1).collect();
    assert_eq!(rows, expected, "each rejected row is there once");
}

#[test]
fn a_note_of_another_file_is_refused() {
    let rig = Rig::new();
    rig.write("c.csv", "customer,age\na,1\nb,2\n");
    rig.write("note", "{\"rows\": 2, \"hash\": 1}");
    rig.load("c.csv", &["--resume", "@note"]).ended(2).says(&["its first rows are not those", "remove it"]);
    rig.write("note", "{\"rows\": 3, \"hash\": 1}");
    rig.load("c.csv", &["--resume", "@note"]).ended(2).says(&["it has fewer rows"]);
    rig.write("note", "far");
    rig.load("c.csv", &["--resume", "@note"]).ended(2).says(&["does not say how far a load came"]);
}

#[test]
fn a_file_that_is_the_whole_truth_erases_who_is_not_in_it() {
    let rig = Rig::new();
    let all: String = (0..100).map(|i| format!("s-{i},1\n")).collect();
    rig.write("all.csv", format!("customer,age\n{all}"));
    rig.load("all.csv", &["--sync"])
        .ended(0)
        .says(&["100 accepted, 0 rejected; of 0 customers all are in the file"]);
    let fewer: String = (0..96).map(|i| format!("s-{i},2\n")).collect();
    rig.write("fewer.csv", format!("customer,age\n{fewer}new,3\n"));
    let said = ["4 of 100 customers (4.00 %) are not in the file and would be erased", "nothing was changed"];
    rig.load("fewer.csv", &["--sync", "--dry-run"]).ended(0).says(&said);
    assert!(rig.is_known("s-99"));
    let said =
        ["more than 3 %: nobody is erased; --max-absent 4 allows it", "4 are not in the file and stay"];
    rig.load("fewer.csv", &["--sync", "--max-absent", "3"]).ended(1).says(&said);
    assert!(rig.is_known("s-99") && rig.is_known("new"), "the rows are loaded all the same");
    for most in ["nan", "-1", "101", "inf", "much"] {
        let most = format!("--max-absent={most}");
        rig.load("none.csv", &["--sync", &most]).ended(2).says(&["expected a number from 0 to 100"]);
    }
    let json = rig.load("fewer.csv", &["--sync", "--json"]).ended(0);
    json.says(&["4 of 101 customers (3.96 %) are not in the file: they are erased now", "\"erased\":true"]);
    assert!(!rig.is_known("s-96") && !rig.is_known("s-99") && rig.is_known("s-95") && rig.is_known("new"));
    // A rejected row tells its customer, who stays. A row that tells nobody may be anybody.
    rig.write("bad.csv", format!("customer,age\n{fewer}new,300\n"));
    rig.load("bad.csv", &["--sync"])
        .ended(1)
        .says(&["96 accepted, 1 rejected; of 97 customers all are in the file"]);
    assert!(rig.is_known("new"));
    rig.write("bad.csv", format!("customer,age\n{fewer}\"new,3\n"));
    rig.load("bad.csv", &["--sync"]).ended(1).says(&["line 98 does not tell its customer: nobody is erased"]);
    assert!(rig.is_known("new"));
    rig.write("none.csv", "customer,age\n");
    rig.load("none.csv", &["--sync"])
        .ended(1)
        .says(&["97 of 97 customers (100.00 %) are not in the file, more than 5 %"]);
    let lines: String = (0..96).map(|i| format!("{{\"customer\": \"s-{i}\"}}\n")).collect();
    rig.write("lines.ndjson", lines);
    rig.load("lines.ndjson", &["--sync"]).ended(0).says(&["1 are not in the file and were erased"]);
    assert!(!rig.is_known("new"));
}

#[test]
fn nobody_is_erased_if_a_row_does_not_tell_its_customer() {
    let rig = Rig::new();
    let csv = |last: &str| {
        let rows: String = (0..39).map(|i| format!("k-{i},1\n")).collect();
        format!("customer,age\n{rows}{last}")
    };
    let json = |last: &str| {
        let rows: String = (0..39).map(|i| format!("{{\"customer\": \"k-{i}\"}}\n")).collect();
        rows + last
    };
    rig.write("all.csv", csv("k-39,1\n"));
    rig.load("all.csv", &[]).ended(0);
    for (file, text, line) in [
        ("cut.ndjson", json("{\"customer\":\"k-39\",\"age\":3"), 40),
        ("number.ndjson", json("{\"customer\": 1001}\n"), 40),
        ("none.ndjson", json("{\"age\": 3}\n"), 40),
        ("space.csv", csv("\"k-39 \",1\n"), 41),
        ("empty.csv", csv(",1\n"), 41),
    ] {
        rig.write(file, text);
        let said = format!("line {line} does not tell its customer: nobody is erased");
        rig.load(file, &["--sync"]).ended(1).says(&[&said, "39 accepted, 1 rejected"]);
        assert!(rig.is_known("k-39"), "{file}");
    }
    rig.write("new.csv", csv("k-40,1\n"));
    rig.load("new.csv", &["--sync"]).ended(0).says(&["1 are not in the file and were erased"]);
    assert!(!rig.is_known("k-39") && rig.is_known("k-40"));
}

#[test]
fn events_are_loaded_once_however_often_the_file_is_loaded() {
    let rig = Rig::new();
    let day = |ago: i64| {
        (jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * ago)).strftime("%Y-%m-%d").to_string()
    };
    let (one, two) = (day(1), day(2));
    rig.write(
        "e.csv",
        format!("customer,type,at,amount,kind\ne-1,payment,{one},1.50,card\ne-1,payment,{one} 10:00:00+00,2,\ne-1,payment,{two},x,\ne-2,paymnt,{two},1,\ne-2,payment,{two},,NULL\n"),
    );
    let args = ["--events", "--rejects", "@bad.csv"];
    rig.load("e.csv", &args).ended(1).says(&[
        "5 events in",
        "3 accepted, 2 rejected",
        "e.csv:4:",
        "e.csv:5:",
        "bad.csv",
    ]);
    assert_eq!(rig.features("e-1"), json!({"paid": 3.5, "payments": 2}));
    assert_eq!(rig.features("e-2"), json!({"paid": 0.0, "payments": 1}));
    let bad = rig.read("bad.csv").replace(",x,", ",4,").replace("paymnt", "payment");
    rig.write("bad.csv", bad);
    rig.load("bad.csv", &["--events"]).ended(0).says(&["2 accepted, 0 rejected"]);
    rig.load("bad.csv", &["--events"]).ended(0).says(&["0 accepted, 2 taken before, 0 rejected"]);
    assert_eq!(rig.features("e-1"), json!({"paid": 7.5, "payments": 3}));

    rig.write(
        "e.ndjson",
        format!("{{\"customer\": \"e-3\", \"at\": \"{one}\", \"properties\": {{\"amount\": \"0.1\"}}}}\n"),
    );
    rig.load("e.ndjson", &["--events"]).ended(1).says(&["`type` is missing"]);
    for said in ["1 accepted, 0 rejected", "0 accepted, 1 taken before, 0 rejected"] {
        rig.load("e.ndjson", &["--events", "--type", "payment"]).ended(0).says(&[said]);
    }
    assert_eq!(rig.features("e-3"), json!({"paid": 0.1, "payments": 1}));
    rig.write("e.csv", "customer,amount\nx,1\n");
    rig.load("e.csv", &["--events"]).ended(2).says(&["no column `type`", "--type page_view"]);
    for header in ["page, page", "page,properties.page", "at, at", "properties.page,properties.page"] {
        rig.write("e.csv", format!("customer,{header}\nx,1,2\n"));
        rig.load("e.csv", &["--events", "--type", "payment"])
            .ended(2)
            .says(&["the file has column", "twice"]);
    }
    rig.write("e.csv", format!("customer,at,properties.at,amount\ne-4,{one},{two},2\n"));
    rig.load("e.csv", &["--events", "--type", "payment"]).ended(0).says(&["1 accepted, 0 rejected"]);
    rig.write("e.csv", "who,amount\nx,1\n");
    rig.load("e.csv", &["--events"]).ended(2).says(&["no column `customer`", "others are properties"]);
}

#[test]
fn objects_of_events_say_each_field_once_and_null_says_nothing() {
    let rig = Rig::new();
    let now = jiff::Timestamp::now().to_string();
    let load = |fields: &str, ended: i32, said: &[&str]| {
        rig.write("e.ndjson", format!("{{\"customer\": \"n-1\", {fields}}}\n"));
        rig.load("e.ndjson", &["--events", "--type", "payment"]).ended(ended).says(said);
    };
    load(
        "\"properties\": {\"amount\": 1, \"amount\": 5}",
        1,
        &["0 accepted, 1 rejected", "\"amount\" is given twice"],
    );
    load("\"customer\": \"n-2\"", 1, &["0 accepted, 1 rejected", "\"customer\" is given twice"]);
    let payment =
        format!("\"at\": \"{now}\", \"type\": null, \"id\": null, \"properties\": {{\"amount\": 2}}");
    load(&payment, 0, &["1 accepted, 0 rejected"]);
    load(&payment, 0, &["0 accepted, 1 taken before, 0 rejected"]);
    // An event without a time is another one each day, so it gets no id.
    for _ in 0..2 {
        load("\"at\": null, \"properties\": {\"amount\": 3}", 0, &["1 accepted, 0 rejected"]);
    }
    assert_eq!(rig.features("n-1"), json!({"paid": 8.0, "payments": 3}));
}

#[test]
fn events_of_a_foreign_file_are_translated() {
    const MAPPING: &str = "import: payments
event: payment
customer: 'k-{KONTO}'
zone: Europe/Berlin
trim: true
columns:
  BETRAG: {property: amount, decimal: ',', thousands: '.'}
  ZEIT:   {field: at, format: '%d.%m.%Y %H:%M:%S'}
  ART:    {property: kind, values: {K: card}, missing: ['-']}
ignore: [LADEN]
";
    let rig = Rig::new();
    rig.write("m.yaml", MAPPING);
    rig.write("customers.yaml", "import: c\ncustomer: '{KONTO}'\ncolumns: {}\n");
    let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
    let hour_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(1);
    let at = hour_ago.to_zoned(zone).strftime("%d.%m.%Y %H:%M:%S").to_string();
    let good = format!("KONTO;ZEIT;BETRAG;ART;LADEN\n 7;{at};1.234,50;K;x\n7;{at};2,00;-;y\n");
    rig.write("e.csv", format!("{good}8;yesterday;2,00;K;z\n8;{at};99.999,00;K;z\n"));
    let args = ["--events", "--mapping", "@m.yaml"];
    let loaded = rig.load("e.csv", &[&args[..], &["--rejects", "@bad.csv"]].concat()).ended(1);
    loaded.says(&[
        "2 accepted, 2 rejected",
        "4: column ZEIT: expected a time, found \"yesterday\"",
        "`amount`",
    ]);
    assert_eq!(rig.features("k-7"), json!({"paid": 1236.5, "payments": 2}));
    assert!(!rig.is_known("k-8"));
    rig.load("e.csv", &args).ended(1).says(&["0 accepted, 2 taken before, 2 rejected"]);
    let mended = rig.read("bad.csv").replace("yesterday", &at).replace("99.999,00", "9.999,00");
    rig.write("bad.csv", mended);
    rig.load("bad.csv", &args).ended(0).says(&["2 accepted, 0 rejected"]);
    assert_eq!(rig.features("k-8"), json!({"paid": 10_001.0, "payments": 2}));
    rig.write(
        "e.ndjson",
        format!("{{\"KONTO\": 9, \"ZEIT\": \"{at}\", \"BETRAG\": \"3,5\", \"LADEN\": null}}\n"),
    );
    rig.load("e.ndjson", &args).ended(0).says(&["1 accepted, 0 rejected"]);
    assert_eq!(rig.features("k-9"), json!({"paid": 3.5, "payments": 1}));
    for (args, said) in [
        (&["--mapping", "@m.yaml"][..], "its rows are events"),
        (&["--events", "--mapping", "@customers.yaml"], "its rows are customers"),
        (&["--events", "--mapping", "@m.yaml", "--type", "payment"], "cannot be used with"),
    ] {
        rig.load("e.csv", args).ended(2).says(&[said]);
    }
}

#[test]
fn files_of_excel_are_read_as_they_are() {
    let rig = Rig::new();
    rig.write("sep.csv", "sep=;\r\ncustomer;age\r\nx-1;41\r\nx-2;400\r\n");
    rig.load("sep.csv", &[]).ended(1).says(&["1 accepted, 1 rejected", "sep.csv:4: column age"]);
    let text = "\u{feff}customer\tage\r\nx-3\t42\r\n客户\t43\r\n";
    rig.write("unicode.tsv", text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
    rig.load("unicode.tsv", &[]).ended(0).says(&["2 accepted, 0 rejected"]);
    assert_eq!(rig.features("%E5%AE%A2%E6%88%B7")["age"], 43);
}
