//! The reference in `docs/reference` says what the program says: every command, flag, metric, route, field,
//! problem type and variable is on its page, and no other. What the examples of the pages show is tested in
//! `tests/docs.rs`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

const USHER: &str = env!("CARGO_BIN_EXE_usher");
const BUNDLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/retail-bank");

type Names = BTreeSet<String>;

/// A page of the reference.
fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference").join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The cells of each row of the page's tables; a bar within a cell is written `\|`.
fn rows(page: &str) -> Vec<Vec<String>> {
    let is_row = |line: &&str| line.starts_with('|') && !line.starts_with("|---");
    let cells = |line: &str| {
        let line = line.replace("\\|", "\u{1}");
        let cells = line.trim().trim_matches('|').split('|');
        cells.map(|cell| cell.trim().replace('\u{1}', "|")).collect()
    };
    page.lines().filter(is_row).map(cells).collect()
}

/// What stands in backticks.
fn quoted(text: &str) -> Names {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What stands in backticks in the first cells of a page's tables.
fn first_cells(page: &str) -> Names {
    rows(page).iter().flat_map(|row| quoted(&row[0])).collect()
}

/// Words of these characters that begin with `prefix`, wherever they stand.
fn words(text: &str, prefix: &str, more: impl Fn(char) -> bool) -> Names {
    let tokens = text.split(|c: char| !(c.is_ascii_alphanumeric() || more(c)));
    tokens
        .filter(|token| token.starts_with(prefix) && token.len() > prefix.len())
        .map(str::to_owned)
        .collect()
}

#[track_caller]
fn the_same(what: &str, on_page: &Names, of_program: &Names) {
    let missing: Vec<_> = of_program.difference(on_page).collect();
    let gone: Vec<_> = on_page.difference(of_program).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "{what}: not on the page {missing:?}, only there {gone:?}"
    );
}

// ---- commands and variables

/// The help of each command, by its name; of those with commands of their own, of these.
fn helps() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(command) = open.pop() {
        let out = Command::new(USHER).args(&command).arg("--help").output().unwrap();
        let help = String::from_utf8(out.stdout).unwrap();
        let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        let listed = listed.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("    "));
        let names = listed.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
        let below: Vec<Vec<String>> = names.map(|name| [&command[..], &[name.to_owned()]].concat()).collect();
        if below.is_empty() {
            found.insert(command.join(" "), help);
        }
        open.extend(below);
    }
    found
}

/// The flags that a command's help lists; every command has `--help`.
fn flags_of(help: &str) -> Names {
    let options = help.lines().skip_while(|line| *line != "Options:").skip(1);
    let flags = options.take_while(|line| !line.is_empty()).map(str::trim_start);
    let long = |line: &'_ str| line.find("--").map_or(0, |at| if at <= 4 { at } else { 0 });
    let flags = flags.filter_map(|line| line[long(line)..].split([' ', ',', '[']).next());
    flags.filter(|flag| flag.starts_with("--") && *flag != "--help").map(str::to_owned).collect()
}

/// The arguments in the first line of a command's usage, such as `<DIR|FILE>`.
fn arguments_of(help: &str) -> Vec<String> {
    let arguments = help.lines().skip_while(|line| *line != "Arguments:").skip(1);
    let arguments = arguments.take_while(|line| !line.is_empty()).map(str::trim_start);
    let name = |line: &str| Some(line.strip_prefix('<')?.split_once('>')?.0.to_owned());
    arguments.filter_map(name).collect()
}

/// The sections of a page by their titles, of headings with so many `#`.
fn sections(page: &str, marks: &str) -> BTreeMap<String, String> {
    let start = format!("\n{marks} ");
    page.split(&start)
        .skip(1)
        .map(|part| part.split_once('\n').unwrap())
        .map(|(t, s)| (t.into(), s.into()))
        .collect()
}

#[test]
fn every_command_and_flag_is_on_its_page() {
    let sections = sections(&page("commands.md"), "##");
    let helps = helps();
    assert!(helps.len() > 10, "{:?}", helps.keys());
    let named = helps.keys().map(|name| format!("usher {name}")).collect();
    the_same("commands", &sections.keys().cloned().collect(), &named);
    for (name, help) in &helps {
        let section = &sections[&format!("usher {name}")];
        let flags = first_cells(section).into_iter().filter(|cell| cell.starts_with("--")).collect();
        the_same(&format!("flags of usher {name}"), &flags, &flags_of(help));
        for argument in arguments_of(help) {
            assert!(section.contains(&argument), "usher {name} takes {argument}");
        }
    }
}

#[test]
fn every_setting_and_variable_is_on_its_page() {
    let settings = page("settings.md");
    let helps = helps();
    let column = |n: usize| -> Names {
        let cells = rows(&settings).into_iter().filter(|row| row.len() == 5).map(|row| row[n].clone());
        cells.flat_map(|cell| quoted(&cell)).map(|cell| cell.split(' ').next().unwrap().to_owned()).collect()
    };
    the_same("flags of usher serve", &column(0), &flags_of(&helps["serve"]));
    let is_variable = |c| c == '_';
    let told = helps.values().flat_map(|help| words(help, "USHER_", is_variable)).collect();
    the_same("variables", &words(&settings, "USHER_", is_variable), &told);
    // In the file a setting is called as its variable is; the file itself is no setting of the file.
    let variables = column(1).into_iter().filter(|variable| variable != "USHER_CONFIG");
    let names = variables.map(|variable| variable["USHER_".len()..].to_lowercase()).collect();
    the_same("settings of the file", &column(2), &names);
}

// ---- what a running server says

struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(arguments: &[&str]) -> Server {
        let mut process = Command::new(USHER)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit('/').next().unwrap().to_owned();
        let server = Server { process, address };
        while server.get("/readyz").0 != 200 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        server
    }

    /// Status and body.
    fn send(&self, head: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let host = if head.contains("Host:") { String::new() } else { format!("Host: {}\r\n", self.address) };
        let length = if head.contains("Transfer-Encoding:") {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        let request = format!("{head}\r\n{host}Connection: close\r\n{length}\r\n{body}");
        let _ = stream.write_all(request.as_bytes()); // a refusal may come before everything was sent
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn get(&self, target: &str) -> (u16, String) {
        self.send(&format!("GET {target} HTTP/1.1"), "")
    }

    fn contract(&self) -> Value {
        serde_json::from_str(&self.get("/openapi.json").1).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn every_metric_is_on_its_page() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&["--models", BUNDLE, "--data", data.path().to_str().unwrap()]);
    assert_eq!(server.send("POST /v1/snapshots HTTP/1.1", "").0, 201); // else there is no age of one
    let (_, text) = server.get("/metrics");
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let told: Names = types
        .map(|(name, kind)| match kind {
            "counter" => format!("{name}_total {kind}"),
            _ => format!("{name} {kind}"),
        })
        .collect();
    assert!(told.len() > 30, "{told:?}");
    let metrics =
        rows(&page("metrics.md")).into_iter().filter(|row| row.len() == 4 && row[0].starts_with("`usher_"));
    let listed = metrics.map(|row| format!("{} {}", row[0].trim_matches('`'), row[1])).collect();
    the_same("metrics", &listed, &told);
}

#[test]
fn every_route_is_on_its_page() {
    let contract = Server::start(&[]).contract();
    let paths = contract["paths"].as_object().unwrap().iter();
    let told: Names = paths
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys().filter(|key| *key != "parameters");
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    assert!(told.len() > 20, "{told:?}");
    the_same("routes", &sections(&page("http.md"), "###").into_keys().collect(), &told);
}

/// Names of fields, and the words of enumerations, anywhere below.
fn names_below(schema: &Value, found: &mut Names) {
    match schema {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                found.extend(properties.keys().cloned());
                properties.values().for_each(|property| names_below(property, found));
            }
            ("enum", Value::Array(words)) => {
                found.extend(words.iter().filter_map(Value::as_str).map(str::to_owned));
            }
            _ => names_below(value, found),
        }),
        Value::Array(items) => items.iter().for_each(|item| names_below(item, found)),
        _ => {}
    }
}

#[test]
fn every_parameter_and_field_of_the_contract_is_on_a_page() {
    let contract = Server::start(&[]).contract();
    let mut told = Names::new();
    names_below(&contract, &mut told);
    let mut parameters = Vec::new();
    let operations =
        contract["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
    operations.for_each(|operation| {
        parameters.extend(operation["parameters"].as_array().cloned().unwrap_or_default());
    });
    told.extend(parameters.iter().filter_map(|parameter| parameter["name"].as_str()).map(str::to_owned));
    assert!(told.len() > 100, "{told:?}");
    let pages = ["http.md", "errors.md", "rule-sets.md"].map(page).concat();
    let on_pages = words(&pages, "", |c| c == '_' || c == '-');
    let missing: Vec<_> = told.difference(&on_pages).collect();
    assert!(missing.is_empty(), "on no page: {missing:?}");
}

/// The types and statuses in the table of problem types.
fn problem_types() -> BTreeMap<String, u16> {
    let rows = rows(&page("errors.md")).into_iter().filter(|row| row.len() == 4);
    rows.filter_map(|row| Some((row[0].trim_matches('`').to_owned(), row[1].parse().ok()?))).collect()
}

/// Those that take a broken disk, a fault, too much work or ten seconds of waiting to be seen.
const NOT_ASKED_FOR: [&str; 5] = ["disk-full", "internal", "no-room", "overloaded", "timeout"];

#[test]
fn every_problem_type_is_on_its_page_with_its_status() {
    let server = Server::start(&["--stop-notice", "60"]);
    let large =
        format!("POST /v1/decisions HTTP/1.1\r\nContent-Type: application/json|{}", " ".repeat(70_000));
    let long = format!("GET /livez?{} HTTP/1.1|", "x".repeat(9_000));
    let many = format!("GET /livez HTTP/1.1\r\n{}X: 1|", "X: 1\r\n".repeat(64));
    let requests = [
        "GET /v1/decisions HTTP/1.1|",
        "GET /v1/nothing HTTP/1.1|",
        "POST /livez HTTP/1.1|",
        "GET /v1/rule-sets HTTP/1.1\r\nAccept: text/html|",
        "POST /v1/snapshots HTTP/1.1|",
        "PUT /v1/rule-sets/cards HTTP/1.1\r\nContent-Type: text/yaml\r\nIf-Match: \"1\"|rule_set: cards",
        "POST /v1/decisions HTTP/1.1\r\nContent-Type: text/html|x",
        "PUT /v1/rule-sets/cards HTTP/1.1\r\nContent-Type: text/yaml|rule_sets: cards",
        "GET /v1/rule-sets HTTP/1.1\r\nOrigin: http://evil.example|",
        "GET /v1/rule-sets HTTP/1.1\r\nHost: evil.example|",
        "POST /v1/decisions HTTP/1.1\r\nTransfer-Encoding: gzip, chunked|0\r\n\r\n",
        large.as_str(),
        long.as_str(),
        many.as_str(),
    ];
    let mut answers: Vec<_> = requests
        .map(|request| request.split_once('|').unwrap())
        .map(|(head, body)| server.send(head, body))
        .into();
    // While it stops it says that it is not ready.
    Command::new("kill").args(["-TERM", &server.process.id().to_string()]).status().unwrap();
    answers.extend((0..500).map(|_| server.get("/readyz")).find(|(status, _)| *status != 200));
    let told = answers.iter().map(|(status, body)| {
        let problem: Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["status"], *status, "{body}");
        let name = problem["type"].as_str().unwrap().strip_prefix("urn:usher:problem:").unwrap();
        (name.to_owned(), *status)
    });
    let told: BTreeMap<String, u16> = told.collect();
    let mut listed = problem_types();
    for name in NOT_ASKED_FOR {
        assert!(listed.remove(name).is_some(), "{name} is not on the page");
    }
    assert_eq!(listed, told);
}

// ---- the language

#[test]
fn every_example_of_a_function_is_true() {
    let conditions = page("conditions.md");
    let examples: Vec<String> = rows(&conditions)
        .into_iter()
        .filter(|row| {
            row.len() == 3 && quoted(&row[2]).len() == 1 && row[2].starts_with('`') && row[2].ends_with('`')
        })
        .map(|row| row[2].trim_matches('`').to_owned())
        .collect();
    assert!(examples.len() > 50, "{}", examples.len());
    let mut process =
        Command::new(USHER).arg("eval").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = examples.iter().map(|text| format!("{}\n", serde_json::json!({ "expression": text })));
    process.stdin.take().unwrap().write_all(lines.collect::<String>().as_bytes()).unwrap();
    let out = String::from_utf8(process.wait_with_output().unwrap().stdout).unwrap();
    let wrong: Vec<_> =
        examples.iter().zip(out.lines()).filter(|(_, answer)| *answer != "{\"value\":true}").collect();
    assert!(wrong.is_empty() && out.lines().count() == examples.len(), "{wrong:#?}");
}
