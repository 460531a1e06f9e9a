//! Streams of decision requests: `POST /v1/decisions/batch` and `usher decide --batch`.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;
mod durable_support;
mod support;
#[path = "../src/testing.rs"]
mod testing;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use durable_support::Home;
use serde_json::{Value, json};
use support::{running, running_with, settings};
use testing::rounds;
use usher::http::bounds::{MAX_BATCHES, MAX_DECISION_BYTES};

const LINES: &str = "application/x-ndjson";
const MSGPACK: &str = "application/msgpack";

fn request(customer: &str) -> Value {
    json!({"customer": customer, "channel": "app", "placements": [{"id": "home"}]})
}

fn line(customer: &str) -> String {
    request(customer).to_string() + "\n"
}

/// A batch under way.
struct Batch {
    socket: BufReader<TcpStream>,
}

impl Batch {
    fn begin(address: SocketAddr, media: &str, accept: &str) -> Batch {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let head = format!(
            "POST /v1/decisions/batch HTTP/1.1\r\nhost: localhost\r\ncontent-type: {media}\r\naccept: {accept}\r\n\
             transfer-encoding: chunked\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).unwrap();
        Batch { socket: BufReader::new(socket) }
    }

    fn send(&mut self, bytes: &[u8]) {
        send(self.socket.get_mut(), bytes);
    }

    fn end(&mut self) {
        self.socket.get_mut().write_all(b"0\r\n\r\n").unwrap();
    }

    /// The status and the media type of the answer.
    fn head(&mut self) -> (u16, String) {
        let (mut status, mut media) = (0, String::new());
        loop {
            let line = self.line();
            if line.is_empty() {
                return (status, media);
            }
            if status == 0 {
                status = line.split(' ').nth(1).unwrap().parse().unwrap();
            }
            if let Some(value) = line.strip_prefix("content-type: ") {
                media = value.to_owned();
            }
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.socket.read_line(&mut line).unwrap() > 0, "the connection ended");
        line.trim_end().to_owned()
    }

    /// The next piece of the answer; empty at its end.
    fn piece(&mut self) -> Vec<u8> {
        let length = usize::from_str_radix(&self.line(), 16).unwrap();
        let mut piece = vec![0; length + 2];
        self.socket.read_exact(&mut piece).unwrap();
        piece.truncate(length);
        piece
    }

    fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            match self.piece() {
                piece if piece.is_empty() => return all,
                piece => all.extend(piece),
            }
        }
    }
}

fn send(socket: &mut TcpStream, bytes: &[u8]) {
    socket.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).unwrap();
    socket.write_all(bytes).unwrap();
    socket.write_all(b"\r\n").unwrap();
}

/// What an answer is about: its customer, or the number, the status and a part of what was wrong.
fn about(answer: &Value) -> String {
    match answer["customer"].as_str() {
        Some(customer) => {
            let shown = answer["placements"][0]["propositions"].as_array().unwrap();
            let offers: Vec<_> = shown.iter().map(|each| each["offer"].as_str().unwrap()).collect();
            format!("{customer}: {}", offers.join(", "))
        }
        None => format!("{}: {} {}", answer["request"], answer["status"], answer["detail"].as_str().unwrap()),
    }
}

/// Sends a stream in pieces of this length, and returns what its answers are about.
fn answers(media: &str, accept: &str, stream: &[u8], piece: usize) -> Vec<String> {
    let server = running();
    let put = server.json("PUT", "/v1/customers/rich", r#"{"age": 40, "aum": "600000.00"}"#);
    assert_eq!(put.status, 200, "{}", put.text());
    let mut batch = Batch::begin(server.address, media, accept);
    stream.chunks(piece).for_each(|piece| batch.send(piece));
    batch.end();
    assert_eq!(batch.head(), (200, accept.to_owned()));
    let answers = batch.rest();
    match accept {
        LINES => {
            let text = String::from_utf8(answers).unwrap();
            text.lines().map(|line| about(&serde_json::from_str(line).unwrap())).collect()
        }
        _ => {
            let mut all = Vec::new();
            let mut rest = answers.as_slice();
            while !rest.is_empty() {
                all.push(about(&rmp_serde::from_read(&mut rest).unwrap()));
            }
            all
        }
    }
}

#[test]
fn answers_come_in_the_order_of_the_requests_and_what_is_wrong_is_answered_in_its_place() {
    let long = "x".repeat(MAX_DECISION_BYTES);
    let stream = [
        "\u{feff}".to_owned(), // which some programs write at the start
        line("rich"),
        "{\"customer\": \"c\"\n".to_owned(),
        "\n".to_owned(),
        line("c-2"),
        format!("{{\"customer\": \"{long}\"}}\n"),
        json!({"customer": "c", "channel": "app", "placements": [{"id": "hom"}]}).to_string() + "\n",
        "7\n".to_owned(),
        line("rich").trim_end().to_owned(),
    ];
    let stream = stream.concat();
    let expected = [
        "rich: brand, steady",
        "2: 400 not valid JSON",
        "c-2: brand",
        "4: 413 a request may have at most 65536 bytes",
        "5: 400 unknown placement \"hom\"",
        "6: 400 expected a map, found 7",
        "rich: brand, steady",
    ];
    for (accept, piece) in [(LINES, 1_000), (LINES, 100_000), (MSGPACK, 10_000)] {
        let found = answers(LINES, accept, stream.as_bytes(), piece);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}, expected {expected}");
        }
    }
}

#[test]
fn messagepack_is_a_stream_of_values() {
    let one = |customer: &str| rmp_serde::to_vec_named(&request(customer)).unwrap();
    let stream = [one("rich"), rmp_serde::to_vec(&7).unwrap(), one("c"), vec![0xc1], one("rich")].concat();
    for (accept, piece) in [(MSGPACK, 1), (MSGPACK, 10_000), (LINES, 100)] {
        let found = answers(MSGPACK, accept, &stream, piece);
        assert_eq!(found.len(), 4, "nobody can tell where the next request begins: {found:?}");
        assert_eq!([&found[0], &found[2]], ["rich: brand, steady", "c: brand"]);
        assert!(found[1].starts_with("2: 400") && found[3].starts_with("4: 400"), "{found:?}");
    }
}

#[test]
fn each_request_is_answered_when_it_comes() {
    let server = running();
    let mut batch = Batch::begin(server.address, LINES, LINES);
    for n in 0..5 {
        batch.send(line(&format!("c-{n}")).as_bytes());
        if n == 0 {
            assert_eq!(batch.head().0, 200);
        }
        let answer: Value = serde_json::from_slice(&batch.piece()).unwrap();
        assert_eq!(answer["customer"], format!("c-{n}"));
    }
    batch.end();
    assert!(batch.piece().is_empty());
}

#[test]
fn a_stream_that_stops_is_given_up_with_a_last_answer() {
    let server = running_with(settings());
    let mut batch = Batch::begin(server.address, LINES, LINES);
    batch.send(line("c").as_bytes());
    batch.send(b"{\"customer\"");
    batch.head();
    let text = String::from_utf8(batch.rest()).unwrap();
    let answers: Vec<_> = text.lines().map(|line| about(&serde_json::from_str(line).unwrap())).collect();
    assert_eq!(answers, ["c: brand", "2: 408 no request was complete for 0.5 s"]);
}

#[test]
fn places_of_batches_are_given_back_when_the_client_goes() {
    let server = running();
    for _ in 0..2 {
        let mut all: Vec<_> = (0..MAX_BATCHES)
            .map(|_| {
                let mut batch = Batch::begin(server.address, LINES, LINES);
                batch.send(line("c").as_bytes());
                assert_eq!(batch.head().0, 200);
                batch
            })
            .collect();
        let mut more = Batch::begin(server.address, LINES, LINES);
        assert_eq!(more.head(), (503, "application/problem+json".to_owned()));
        all.clear();
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn what_is_no_stream_of_requests_is_refused() {
    let server = running();
    for (head, status) in [
        ("content-type: application/json\r\ncontent-length: 2\r\n\r\n{}", 415),
        ("content-type: application/x-ndjson\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}", 415),
        ("content-type: application/x-ndjson\r\naccept: text/html\r\ncontent-length: 2\r\n\r\n{}", 406),
    ] {
        let mut client = server.client();
        client.send(format!("POST /v1/decisions/batch HTTP/1.1\r\nhost: localhost\r\n{head}").as_bytes());
        assert_eq!(client.reply().status, status, "{head}");
    }
}

/// The resident memory of a process, in bytes.
fn resident(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1_024
}

#[test]
fn a_stream_of_any_length_takes_bounded_memory() {
    let count = rounds(20_000, 1_000_000) as usize;
    let home = Home::new();
    let process = home.start(&[]);
    let mut batch = Batch::begin(process.address, LINES, LINES);
    let line =
        json!({"customer": "c", "channel": "app", "placements": [{"id": "home_banner"}]}).to_string() + "\n";
    let mut socket = batch.socket.get_ref().try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let part = line.repeat(100);
        (0..count / 100).for_each(|_| send(&mut socket, part.as_bytes()));
        socket.write_all(b"0\r\n\r\n").unwrap();
    });
    assert_eq!(batch.head().0, 200);
    let (mut answers, mut bytes, mut first) = (0, 0, 0);
    loop {
        let piece = batch.piece();
        if piece.is_empty() {
            break;
        }
        answers += piece.iter().filter(|byte| **byte == b'\n').count();
        bytes += piece.len() as u64;
        if first == 0 && answers > 1_000 {
            first = resident(process.id());
        }
    }
    sender.join().unwrap();
    let grown = resident(process.id()).saturating_sub(first);
    println!("{answers} answers, {bytes} bytes, memory grew by {grown} bytes");
    assert_eq!(answers, count);
    assert!(grown < 8 << 20, "memory grew by {grown} bytes");
}

#[test]
fn usher_decide_writes_an_answer_for_each_row_of_a_file() {
    let home = Home::new();
    let process = home.start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let run =
        |arguments: &[&str]| cli_support::run(&[&["decide", "--server", &process.url()], arguments].concat());
    fs::write(path("list.csv"), "customer,note\nc-1,x\n,y\nc-3,z\n").unwrap();
    let (list, out) = (path("list.csv"), path("out.ndjson"));
    let (list, out) = (list.to_str().unwrap(), out.to_str().unwrap());
    let done = run(&["--batch", list, "home_banner", "--out", out]);
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(done.out.contains("3 requests in") && done.out.contains("2 decided, 1 wrong"), "{}", done.out);
    let text = fs::read_to_string(out).unwrap();
    let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!([&answers[0]["customer"], &answers[2]["customer"]], ["c-1", "c-3"]);
    assert_eq!((&answers[1]["status"], &answers[1]["request"]), (&json!(400), &json!(2)));

    let again = run(&["--batch", list, "home_banner", "--out", out]);
    assert_eq!(again.code, 2, "an old file is not touched");
    assert_eq!(fs::read_to_string(out).unwrap(), text);

    let whole = json!({"customer": "c-9", "channel": "app", "placements": [{"id": "home_banner"}]});
    fs::write(path("whole.ndjson"), format!("{whole}\nno\n")).unwrap();
    let (whole, other) = (path("whole.ndjson"), path("other.ndjson"));
    let arguments = ["--batch", whole.to_str().unwrap(), "--out", other.to_str().unwrap(), "--json"];
    let done = run(&arguments);
    let summary: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((&summary["requests"], &summary["wrong"]), (&json!(2), &json!(1)));
    assert!(fs::read_to_string(&other).unwrap().starts_with("{\"decision_id\""));

    for (arguments, part) in [
        (&["--batch", list, "--out", "x"][..], "the placements are missing"),
        (&["--batch", whole.to_str().unwrap(), "--out", "x", "--locale", "en"], "stands in them"),
        (&["--batch", list, "home_banner"], "--out"),
        (&["c-1", "home_banner", "--out", "x"], "--batch"),
    ] {
        let refused = run(arguments);
        assert!(refused.code == 2 && refused.err.contains(part), "{arguments:?}: {}", refused.err);
    }
}

/// Runs `usher decide --batch` on a file with this content, which is standard input if it is called `-`, and
/// returns whose answers it wrote. What it cannot read, it says.
#[track_caller]
fn decided(url: &str, (file, format, content): (&str, &str, &[u8])) -> Result<Vec<Value>, String> {
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = vec!["decide", "--server", url, "--batch", file, "home_banner", "--out", "out"];
    if !format.is_empty() {
        arguments.extend(["--format", format]);
    }
    let mut command = cli_support::program(&arguments);
    command.current_dir(folder.path());
    if file != "-" {
        fs::write(folder.path().join(file), content).unwrap();
    }
    let done = cli_support::run_command(command, if file == "-" { content } else { b"" });
    match fs::read_to_string(folder.path().join("out")) {
        Ok(text) => {
            let answers = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            Ok(answers.map(|answer| answer["customer"].clone()).collect())
        }
        Err(_) => Err(format!("{}: {}", done.code, done.err)),
    }
}

#[test]
fn files_are_read_as_usher_load_reads_them() {
    let home = Home::new();
    let process = home.start(&[]);
    let url = process.url();
    let lines = b"{\"customer\": \"c-1\"}\n{\"customer\": \"c-2\"}\n";
    for (file, format, content) in [
        ("list.csv", "", &b"age,customer\n1,c-1\n2,c-2\n"[..]),
        ("list.csv", "", b"\xef\xbb\xbf customer ,age\nc-1,1\nc-2,2\n"),
        ("list.csv", "", b"customer;age\nc-1;1\nc-2;2\n"),
        ("-", "csv", b"customer\nc-1\nc-2\n"),
        ("-", "ndjson", lines),
        ("list.txt", "ndjson", lines),
        ("list.txt", "json", b"[{\"customer\": \"c-1\"},\n {\"customer\": \"c-2\"}]"),
    ] {
        assert_eq!(decided(&url, (file, format, content)), Ok(vec!["c-1".into(), "c-2".into()]), "{file}");
    }
    for (file, content, part) in [
        (
            "list.txt",
            &lines[..],
            "2: error: cannot tell the format of list.txt from its name\n  = add --format csv",
        ),
        ("list.csv", b"id\nc-1\n", "2: error: the file has no column customer"),
    ] {
        let found = decided(&url, (file, "", content)).unwrap_err();
        assert!(found.starts_with(part), "{found}");
    }
    assert_eq!(decided(&url, ("list.csv", "", b"customer\n")), Ok(vec![]), "nobody is asked for");
}

#[test]
fn a_command_that_fails_leaves_what_was_decided_and_no_empty_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("list.csv"), "customer\nc-1\nc-2\n\"\"\n").unwrap();
    let run = |url: &str, out: &str| {
        let file = path("list.csv");
        cli_support::run(&["decide", "--server", url, "--batch", &file, "home_banner", "--out", &path(out)])
    };
    for _ in 0..2 {
        let failed = run("http://127.0.0.1:1", "out.ndjson");
        assert!(failed.code == 2 && failed.err.contains("no server at"), "{}", failed.err);
        assert!(!fs::exists(path("out.ndjson")).unwrap());
    }
    let nowhere = run("http://127.0.0.1:1", "nowhere/out.ndjson");
    assert!(nowhere.err.contains("cannot write"), "before anything is asked: {}", nowhere.err);
    let lines = ["{\"customer\":\"c-1\"}\n", "{\"customer\":\"c-2\"}\n", "{\"customer\":\"\"}\n", "{}\n"];
    for (came, written) in [(1, 1), (2, 2), (4, 3)] {
        let (url, server) = cli_support::answer_once("200 OK", &lines[..came].concat());
        let out = format!("out-{came}.ndjson");
        let failed = run(&url, &out);
        server.join().unwrap();
        let told = format!("{came} answers came to 3 requests; {written} answers are in ");
        assert!(failed.code == 2 && failed.err.contains(&told), "{}", failed.err);
        assert_eq!(fs::read_to_string(path(&out)).unwrap(), lines[..written].concat());
    }
}
