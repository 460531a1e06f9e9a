//! The program as a black box: started, loaded, and asked over raw connections that stay open.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::naive::{Asked, Proposition, Shown};

/// Requests sent before the first answer is read; few enough for both directions to fit the sockets' buffers.
pub(crate) const WINDOW: usize = 32;
/// A server that sends nothing for this long has hung.
const SILENCE: Duration = Duration::from_secs(30);

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// Kept open, so that the server can go on printing.
    _stdout: BufReader<ChildStdout>,
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
}

/// The program without the caller's variables, in a folder without their settings file.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_usher"));
    command.env_clear().current_dir(std::env::temp_dir()).stdin(Stdio::null());
    command
}

impl Server {
    /// Starts a server with this bundle on a free port.
    pub(crate) fn start(bundle: &Path) -> Server {
        let mut command = program();
        command.arg("serve").arg("--models").arg(bundle).args(["--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on http://").map(str::to_owned);
        let mut server = Server { child, _stdout: stdout, address: String::new() };
        server.address = address.unwrap_or_else(|| panic!("the first line of `usher serve` is {line:?}"));
        server
    }

    /// Runs `usher load` and returns what it printed.
    pub(crate) fn load(&self, file: &Path, mapping: &Path) -> Value {
        let mut command = program();
        command.arg("load").arg(file.canonicalize().unwrap()).arg("--mapping").arg(mapping);
        command.args(["--server", &format!("http://{}", self.address), "--json"]);
        let output = command.output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "usher load: {out}{err}");
        serde_json::from_str(&out).unwrap_or_else(|why| panic!("usher load: {why}: {out}{err}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection with many requests under way at once; answers come in the order of the requests.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    unsent: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: &str) -> Connection {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(SILENCE)).unwrap();
        stream.set_write_timeout(Some(SILENCE)).unwrap();
        Connection { stream: BufReader::new(stream), unsent: Vec::new() }
    }

    pub(crate) fn post_decision(&mut self, customer: &str, asked: &Asked<'_>) {
        let body = document(customer, asked).to_string();
        let head = "POST /v1/decisions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json";
        self.send(&format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    }

    pub(crate) fn get_decision(&mut self, customer: &str, asked: &Asked<'_>) {
        self.send(&format!(
            "GET /v1/decisions?{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            query(customer, asked)
        ));
    }

    fn send(&mut self, request: &str) {
        self.unsent.extend(request.as_bytes());
    }

    /// Reads the answers to the next `count` requests.
    pub(crate) fn answers(&mut self, count: usize) -> Vec<Value> {
        self.stream.get_mut().write_all(&self.unsent).unwrap();
        self.unsent.clear();
        (0..count).map(|_| self.answer()).collect()
    }

    fn answer(&mut self) -> Value {
        let status = self.line();
        let mut length = None;
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok();
            }
        }
        let length: usize = length.unwrap_or_else(|| panic!("an answer without its length: {status}"));
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        assert!(status.starts_with("HTTP/1.1 200"), "{status}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        assert!(line.ends_with("\r\n"), "the server closed the connection after {line:?}");
        line.truncate(line.len() - 2);
        line
    }
}

fn document(customer: &str, asked: &Asked<'_>) -> Value {
    let placements = asked.placements.iter().map(|(id, count)| match count {
        Some(count) => json!({"id": id, "count": count}),
        None => json!({"id": id}),
    });
    let mut document = json!({"customer": customer, "channel": asked.channel,
        "placements": placements.collect::<Vec<_>>()});
    if let Some(locale) = asked.locale {
        document["locale"] = locale.into();
    }
    if !asked.context.is_empty() {
        let fields = asked.context.iter().map(|(name, text)| ((*name).to_owned(), literal(text)));
        document["context"] = Value::Object(fields.collect::<Map<_, _>>());
    }
    document
}

/// A number or a truth value as itself, everything else as a text.
fn literal(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

/// Whether a query can ask for it: a query has only one count for all placements.
pub(crate) fn fits_a_query(asked: &Asked<'_>) -> bool {
    asked.placements.iter().all(|(_, count)| *count == asked.placements[0].1)
}

fn query(customer: &str, asked: &Asked<'_>) -> String {
    let mut query = format!("customer={customer}&channel={}", asked.channel);
    for (placement, _) in asked.placements {
        query.push_str(&format!("&placement={placement}"));
    }
    if let Some(count) = asked.placements[0].1 {
        query.push_str(&format!("&count={count}"));
    }
    if let Some(locale) = asked.locale {
        query.push_str(&format!("&locale={locale}"));
    }
    for (name, text) in asked.context {
        query.push_str(&format!("&context.{name}={text}"));
    }
    query
}

/// The server's answer in the types of the naive evaluation.
pub(crate) fn shown(answer: &Value) -> Vec<Shown<'_>> {
    assert_eq!(answer["degraded"], false, "{answer}");
    items(&answer["placements"]).map(shown_on).collect()
}

fn shown_on(placement: &Value) -> Shown<'_> {
    let propositions = (1_u64..).zip(items(&placement["propositions"])).map(|(rank, proposition)| {
        assert_eq!(proposition["rank"], rank, "ranks count from 1");
        Proposition {
            offer: text(&proposition["offer"]),
            treatment: text(&proposition["treatment"]),
            score: proposition["score"].as_f64().unwrap_or_else(|| panic!("no score: {proposition}")),
        }
    });
    Shown {
        placement: text(&placement["id"]),
        fallback: placement["fallback"].as_bool().unwrap_or_else(|| panic!("no `fallback`: {placement}")),
        propositions: propositions.collect(),
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().unwrap_or_else(|| panic!("expected a list, found {list}")).iter()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("expected a text, found {value}"))
}
