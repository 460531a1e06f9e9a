#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, reason = "tests may fail loudly")]
//! What the black-box tests of the command line share: a small bundle, and the program run on it.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const SCHEMA: &str = "schema: small
features:
  age: {kind: int, min: 0, max: 120}
  risk: {kind: enum, values: [steady, balanced], ordered: true}
  aum: {kind: decimal, scale: 2, min: 0, max: 1000000000}
  consent: {kind: bool}
context:
  page: {kind: enum, values: [home, fx]}
offer_attributes:
  product: {kind: enum, values: [wealth, service]}
";
pub const GUARDRAILS: &str = "rule_set: a_rails
guardrails:
  consent: consent || offer.product == 'service'
";
pub const PLACEMENTS: &str = "rule_set: slots
placements:
  home_banner: {channels: [app], count: 1, fallback: brand}
offers:
  brand:
    attributes: {product: service}
    treatments: [{placement: home_banner, content: {title: Welcome}}]
";
pub const WEALTH: &str = "rule_set: a_wealth
offers:
  steady_r2:
    placements: [home_banner]
    attributes: {product: wealth, value: 120}
    when: risk == 'steady' && aum >= 500000
    reason: {en: Matches your profile, zh: 符合您的风险偏好}
    treatments: [{placement: home_banner, content: {title: Steady}}]
";
pub const GOLDEN: &str = "- name: steady sees steady
  now: 2026-11-21T10:00:00+08:00
  customer: {risk: steady, aum: 600000, consent: true}
  request: {channel: app, placements: [{id: home_banner}]}
  expect: {home_banner: {offers: [steady_r2]}}
- name: without consent the same customer sees the brand
  now: 2026-11-21T10:00:00+08:00
  customer: {risk: steady, aum: 600000}
  request: {channel: app, placements: [{id: home_banner}]}
  expect: {home_banner: {fallback: brand}}
- name: nobody sees the brand
  now: 2026-11-21T10:00:00+08:00
  customer: null
  request: {channel: app, placements: [{id: home_banner}]}
  expect: {home_banner: {fallback: brand}}
";
pub const POPULATION: &str = "population: small
seed: 1
segments:
  all: {weight: 1, features: {age: {between: [18, 80]}, consent: {chance: 0.5}}}
named:
  c-1001: {risk: steady, aum: 600000, consent: true}
";
pub const IMPORT: &str = "import: foreign
customer: 'x-{line}'
columns:
  years: {feature: age, missing: ['-1']}
  default: {feature: consent, values: {'yes': true, 'no': false}}
ignore: [y]
";

/// A temporary folder that holds the small bundle.
pub fn bundle() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("schema.yaml", SCHEMA),
        ("rule-sets/rails.yaml", GUARDRAILS),
        ("rule-sets/slots.yaml", PLACEMENTS),
        ("rule-sets/a_wealth.yaml", WEALTH),
        ("golden.yaml", GOLDEN),
        ("population.yaml", POPULATION),
        ("imports/foreign.yaml", IMPORT),
    ] {
        write(folder.path(), name, text);
    }
    folder
}

pub fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path
}

/// How a run of the program ended, and what it printed.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// The program without the caller's variables.
pub fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_usher"));
    command.args(args).env_clear();
    command
}

pub fn run(args: &[&str]) -> Run {
    run_command(program(args), b"")
}

pub fn run_command(mut command: Command, input: &[u8]) -> Run {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || {
        let _ = stdin.write_all(&input); // the program may end before it has read everything
    });
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Run {
    /// The run itself, after checking that it ended with this exit code.
    #[track_caller]
    pub fn ended(self, code: i32) -> Run {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// The JSON document on standard output that says what is wrong.
    #[track_caller]
    pub fn problems(&self) -> String {
        let json: serde_json::Value = serde_json::from_str(&self.out).unwrap();
        assert!(json["right"] == false && json["problems"][0]["detail"].is_string(), "{json}");
        json.to_string()
    }

    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Run {
        let all = format!("{}{}", self.out, self.err);
        for part in parts {
            assert!(all.contains(part), "{part:?} is not in {self:#?}");
        }
        self
    }
}

/// A server on a free port; killed when dropped.
pub struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    pub fn start(args: &[&str]) -> Server {
        Server::start_on("127.0.0.1:0", args)
    }

    pub fn start_on(address: &str, args: &[&str]) -> Server {
        let mut command = program(&[&["serve", "--listen", address], args].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("first line: {line:?}"))
            .to_owned();
        Server { child, url }
    }

    /// Starts a demo in a folder without models, and waits until it has told its stories.
    pub fn demo(folder: &Path) -> Server {
        let mut command = program(&["demo", "--customers", "100", "--listen", "127.0.0.1:0"]);
        command.current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let url = first.strip_prefix("listening on ").unwrap().to_owned();
        assert!(lines.any(|line| line.unwrap().contains("Serving until")));
        Server { child, url }
    }

    /// Sends a JSON document.
    pub fn post(&self, path: &str, json: &str) -> String {
        let address = self.url.trim_start_matches("http://");
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json"
        );
        write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{json}", json.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Runs a command against this server.
    pub fn run(&self, args: &[&str]) -> Run {
        run(&[args, &["--server", &self.url]].concat())
    }

    /// The body of the answer to `GET` of this path.
    pub fn get(&self, path: &str) -> String {
        let address = self.url.trim_start_matches("http://");
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// Sends SIGTERM and does not wait.
    pub fn ask_to_stop(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Sends SIGTERM, waits, and returns the exit code.
    pub fn terminate(mut self) -> i32 {
        self.ask_to_stop();
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("still running 20 s after SIGTERM");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that gives one request this answer. Its thread returns the request's head and body.
pub fn answer_once(status: &str, answer: &str) -> (String, std::thread::JoinHandle<(String, String)>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (status, answer) = (status.to_owned(), answer.to_owned());
    (url, std::thread::spawn(move || answer_next(&listener, &status, &answer)))
}

/// Gives the next request this answer, closes its connection, and returns the request's head and body.
pub fn answer_next(listener: &std::net::TcpListener, status: &str, answer: &str) -> (String, String) {
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
    let (mut stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).unwrap();
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    stream.write_all(answer.as_bytes()).unwrap();
    (head, String::from_utf8(body).unwrap())
}
