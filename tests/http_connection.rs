//! The contract over a real socket: one connection from its first byte to its last.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use support::{Running, running};

const BODY: &str = r#"{"customer": "c", "channel": "app", "placements": [{"id": "home"}]}"#;
const GET: &str =
    "GET /v1/decisions?customer=c&channel=app&placement=home HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// A request with a body of JSON, sent with its length.
fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}\
         content-length: {length}\r\n\r\n{body}"
    )
}

/// The same, sent in chunks of at most this many bytes.
fn chunked(path: &str, body: &str, most: usize) -> String {
    let chunks: String = body
        .as_bytes()
        .chunks(most)
        .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk)))
        .collect();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    )
}

/// All that the server sends after these pieces, until it ends the connection: the client does so first.
fn all_of(server: &Running, pieces: &[&[u8]]) -> String {
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.set_nodelay(true).unwrap();
    for piece in pieces {
        socket.write_all(piece).unwrap();
    }
    socket.shutdown(Shutdown::Write).unwrap();
    let mut answers = Vec::new();
    socket.read_to_end(&mut answers).unwrap();
    String::from_utf8(answers).unwrap()
}

/// The statuses of the answers in these bytes.
fn statuses(answers: &str) -> Vec<u16> {
    let begins = answers.match_indices("HTTP/1.1 ");
    begins.map(|(at, begin)| answers[at + begin.len()..][..3].parse().unwrap()).collect()
}

#[test]
fn requests_behind_each_other_are_answered_in_order_wherever_their_bytes_are_cut() {
    let server = running();
    let head = "HEAD /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let missing = "GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let write = "PUT /v1/customers/c HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                 content-length: 2\r\n\r\n{}";
    let all = [
        (GET.to_owned(), 200),
        (post("/v1/decisions", "", BODY), 200),
        (head.into(), 200),
        (chunked("/v1/decisions", BODY, 7), 200),
        (missing.into(), 404),
        (write.into(), 200),
        (post("/v1/decisions", "", "{}"), 400),
        (post("/nothing", "", BODY), 404), // a body that nobody reads
        (GET.into(), 200),
    ];
    let (text, expected): (String, Vec<u16>) = (
        all.iter().map(|(text, _)| text.as_str()).collect(),
        all.iter().map(|(_, status)| *status).collect(),
    );
    let bytes = text.as_bytes();
    assert_eq!(statuses(&all_of(&server, &[bytes])), expected, "at once");
    for cut in (1..bytes.len()).step_by(13) {
        let (begin, end) = bytes.split_at(cut);
        assert_eq!(statuses(&all_of(&server, &[begin, end])), expected, "cut at {cut}");
    }
    for size in [1, 2, 3, 100, 1000] {
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        assert_eq!(statuses(&all_of(&server, &pieces)), expected, "in pieces of {size}");
    }
    let many = text.repeat(200);
    assert_eq!(statuses(&all_of(&server, &[many.as_bytes()])), expected.repeat(200), "many of them");
}

#[test]
fn a_connection_ends_where_the_client_or_the_answer_says_so() {
    let server = running();
    let close = GET.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    let old = GET.replace("/1.1", "/1.0");
    let old_kept = old.replace("\r\n\r\n", "\r\nconnection: keep-alive\r\n\r\n");
    let unread =
        |path: &str, length: usize| post(path, "", "").replace("length: 0", &format!("length: {length}"));
    let cut = chunked("/nothing", BODY, 7).replace("0\r\n\r\n", "");
    for (request, version, connection, goes_on) in [
        (GET, "HTTP/1.1", None, true),
        (&close, "HTTP/1.1", Some("close"), false),
        (&old, "HTTP/1.0", Some("close"), false),
        (&old_kept, "HTTP/1.0", Some("keep-alive"), true),
        // Nobody reads the body, and the end of it has not arrived.
        (&unread("/nothing", GET.len()), "HTTP/1.1", None, true),
        (&unread("/nothing", 64 * 1024 + 1), "HTTP/1.1", Some("close"), false),
        (&cut, "HTTP/1.1", Some("close"), false),
    ] {
        let mut client = server.client();
        client.send(request.as_bytes());
        let reply = client.reply();
        assert!(reply.head.starts_with(version), "{request:?}: {}", reply.head);
        assert_eq!(reply.header("connection"), connection, "{request:?}");
        client.try_send(GET.repeat(2).as_bytes()); // the first may be a body
        assert_eq!(client.try_reply("GET").is_some(), goes_on, "{request:?}");
    }
}

#[test]
fn a_client_that_waits_is_told_to_go_on_once_its_body_is_wanted() {
    let server = running();
    let expects = |path: &str| post(path, "expect: 100-continue\r\n", BODY).replace(BODY, "");
    let mut client = server.client();
    client.send(expects("/v1/decisions").as_bytes());
    assert_eq!(client.reply().status, 100);
    client.send(BODY.as_bytes());
    assert_eq!(client.reply().status, 200);
    client.send(expects("/nothing").as_bytes());
    let reply = client.reply();
    assert_eq!((reply.status, reply.header("connection")), (404, Some("close")), "it is not wanted");
    // Who sends at once is not told.
    let mut client = server.client();
    client.send(post("/v1/decisions", "expect: 100-continue\r\n", BODY).as_bytes());
    assert_eq!(client.reply().status, 200);
    // A batch is read while it is answered.
    let mut client = server.client();
    let batch = expects("/v1/decisions/batch").replace("application/json", "application/x-ndjson");
    client.send(batch.as_bytes());
    assert_eq!([client.reply().status, client.reply().status], [100, 200]);
}

#[test]
fn an_old_client_gets_a_batch_up_to_the_end_of_the_connection() {
    let server = running();
    let lines = format!("{BODY}\n").repeat(3);
    let request = post("/v1/decisions/batch", "", &lines)
        .replace("application/json", "application/x-ndjson")
        .replace("/1.1", "/1.0");
    let answer = all_of(&server, &[request.as_bytes()]);
    let (head, content) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("connection: close") && !head.contains("transfer-encoding"), "{head}");
    assert_eq!(content.lines().filter(|line| line.starts_with("{\"")).count(), 3, "{content}");
}

#[test]
fn large_answers_leave_whole_and_in_order() {
    let server = running();
    let mut client = server.client();
    let document = "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
    client.send(format!("{GET}{document}{document}{GET}").as_bytes());
    let replies = [client.reply(), client.reply(), client.reply(), client.reply()];
    assert_eq!(replies.each_ref().map(|reply| reply.status), [200; 4]);
    assert!(replies[1].body.len() > 64 * 1024 && replies[1].body == replies[2].body);
    assert_eq!(replies[1].json()["openapi"].as_str().map(|version| &version[..2]), Some("3."));
}

#[test]
fn a_client_that_goes_in_the_middle_of_a_request_leaves_nothing_behind() {
    let server = running();
    let whole = post("/v1/decisions", "", BODY);
    for cut in (1..whole.len()).step_by(7) {
        let answer = all_of(&server, &[&whole.as_bytes()[..cut]]);
        let (_, body) = whole.split_at(whole.len() - BODY.len());
        let in_body = cut > whole.len() - body.len();
        assert!(
            answer.is_empty() || in_body && answer.contains("it ended before its end"),
            "{cut}: {answer}"
        );
    }
    let has = |line: &str| server.get("/metrics").text().contains(line);
    assert!(has("usher_panics_total 0\n"));
    let begun = Instant::now();
    while !has("usher_connections 1.0\n") {
        assert!(begun.elapsed() < Duration::from_secs(10), "connections that ended keep their places");
    }
}
