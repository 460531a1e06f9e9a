//! The contract over a real socket: what bad requests get. Never a panic, never a 5xx, and always what is
//! wrong where.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Reply, Running, running, running_with, settings};

/// Checks the form that every refusal must have, and returns its body.
fn refused(reply: &Reply, status: u16) -> Value {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    let problem = reply.json();
    assert_eq!(problem["status"], status);
    for field in ["type", "title", "detail"] {
        assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
    }
    problem
}

fn pointers(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect()
}

#[test]
fn every_problem_of_a_decision_request_is_named_with_its_place() {
    let server = running();
    let body = json!({"customer": "", "chanel": "app", "placements": [{"id": "hoem"}, {"id": "home", "count": 0}, 7],
        "context": {"pgae": "x", "amount": "much"}, "locale": "中", "explain": 1, "deadline_us": -1});
    let problem = refused(&server.json("POST", "/v1/decisions", &body.to_string()), 400);
    let found = pointers(&problem);
    for pointer in [
        "/customer",
        "/chanel",
        "/placements/0/id",
        "/placements/1/count",
        "/placements/2",
        "/context/pgae",
        "/context/amount",
        "/locale",
        "/explain",
        "/deadline_us",
        "",
    ] {
        assert!(found.contains(&pointer), "{pointer}: {problem}");
    }
    let hints: Vec<_> =
        problem["errors"].as_array().unwrap().iter().filter_map(|e| e["hint"].as_str()).collect();
    for near in ["`channel`", "`home`", "`page`"] {
        assert!(hints.iter().any(|hint| hint.contains(near)), "{near}: {problem}");
    }
}

#[test]
fn bad_decision_documents_are_400() {
    let server = running();
    let with = |change: &str| {
        format!(r#"{{"customer": "c", "channel": "app", "placements": [{{"id": "home"}}]{change}}}"#)
    };
    let bodies = [
        "".to_owned(),
        "{".into(),
        "[]".into(),
        "null".into(),
        "7".into(),
        "\"x\"".into(),
        "{} {}".into(),
        with(r#", "context": {"amount": NaN}"#),
        with(r#", "context": {"amount": 1e999}"#),
        with(r#", "context": {"page": "\ud800"}"#),
        with(r#", "context": {"page": "x", "page": "y"}"#),
        with(r#", "context": []"#),
        with(r#", "customer": "d""#),
        with(r#", "explain": "true""#),
        with(r#", "deadline_us": 1.5"#),
        with(r#", "unknown": null"#),
        with("").replace("\"c\"", &format!("\"{}\"", "x".repeat(65))),
        with("").replace("\"c\"", "\"a\\u0000b\""),
        with("").replace("\"c\"", "7"),
        with("").replace("\"app\"", "\"apps\""),
        with("").replace("\"app\"", "\"chatbot\""),
        with("").replace("[{\"id\": \"home\"}]", "[]"),
        with("").replace("[{\"id\": \"home\"}]", "[{\"id\": \"hom\"}, {\"id\": \"chat\"}]"),
        with("").replace("[{\"id\": \"home\"}]", &format!("[{}]", vec!["{\"id\": \"home\"}"; 31].join(","))),
        with("").replace("{\"id\": \"home\"}", "{\"id\": \"home\", \"count\": 31}"),
        with("").replace("{\"id\": \"home\"}", "{\"id\": \"home\", \"cuont\": 1}"),
        "[".repeat(10_000),
        format!("{{\"context\":{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_001)),
    ];
    for body in &bodies {
        let problem = refused(&server.json("POST", "/v1/decisions", body), 400);
        assert!(problem["errors"].as_array().is_some_and(|errors| !errors.is_empty()), "{body}: {problem}");
    }
    let other = server.json("POST", "/v1/decisions", &bodies[19]);
    assert!(other.text().contains("`app`"), "{}", other.text());
    let elsewhere = server.json("POST", "/v1/decisions", &bodies[20]);
    assert!(elsewhere.text().contains("it is on app"), "{}", elsewhere.text());
    let not_text = server.call(
        "POST",
        "/v1/decisions",
        "content-type: application/json\r\n",
        b"{\"customer\": \"\xff\"}",
    );
    refused(&not_text, 400);
}

#[test]
fn messagepack_cut_anywhere_is_400() {
    let server = running();
    let body = json!({"customer": "c", "channel": "app", "placements": [{"id": "home", "count": 2}],
        "context": {"page": "home", "amount": 2.5}, "explain": true});
    let whole = rmp_serde::to_vec_named(&body).unwrap();
    let mut client = server.client();
    for cut in 1..=whole.len() {
        client.request("POST", "/v1/decisions", "content-type: application/msgpack\r\n", &whole[..cut]);
        let reply = client.reply();
        assert_eq!(
            reply.status,
            if cut == whole.len() { 200 } else { 400 },
            "cut at {cut}: {}",
            reply.text()
        );
    }
    let nan = [b"\x84\xa8customer\xa1c\xa7channel\xa3app\xaaplacements\x91\x81\xa2id\xa4home\xa7context\x81\xa6amount\xcb".as_slice(),
        &f64::NAN.to_be_bytes()].concat();
    let reply = server.call("POST", "/v1/decisions", "content-type: application/msgpack\r\n", &nan);
    assert_eq!((reply.status, pointers(&reply.json()["problem"])), (200, vec!["/context/amount"]));
    let reply = server.call(
        "POST",
        "/v1/decisions",
        "content-type: application/msgpack\r\naccept: application/msgpack\r\n",
        b"\xc1",
    );
    let problem: Value = rmp_serde::from_slice(&reply.body).unwrap();
    assert_eq!((reply.status, &problem["status"]), (400, &json!(400)));
}

#[test]
fn bad_queries_are_400() {
    let server = running();
    let good = "customer=c&channel=app&placement=home";
    for query in [
        "",
        "customer=c",
        "customer=&channel=app&placement=home",
        &format!("{good}&placement=home&strict=true"),
        &format!("{good}&count=0"),
        &format!("{good}&count=x"),
        &format!("{good}&count=+1"),
        &format!("{good}&count=1&count=2"),
        &format!("{good}&explain=yes"),
        &format!("{good}&deadline_us=99999999999999999999"),
        &format!("{good}&context.amount=inf&strict=true"),
        &format!("{good}&context.amount=NaN&strict=true"),
        &format!("{good}&context.pgae=x&strict=true"),
        &format!("{good}&context.page=x&context.page=y"),
        &format!("{good}&x=%zz"),
        &format!("{good}&nmae=1"),
        &format!("{good}&locale=123&strict=true"),
        &format!("{good}&strict=yes"),
        "customer=%ff&channel=app&placement=home",
        "customer=c&channel=app&placement=chat",
        &"a=1&".repeat(300),
    ] {
        let problem = refused(&server.get(&format!("/v1/decisions?{query}")), 400);
        assert!(problem["errors"].as_array().is_some_and(|errors| !errors.is_empty()), "{query}: {problem}");
    }
    refused(&server.json("POST", "/v1/decisions?explain=true", "{}"), 400);
}

#[test]
fn bad_customers_are_400_and_change_nothing() {
    let server = running();
    for (body, pointer) in [
        (r#"{"aeg": 1}"#, "/aeg"),
        (r#"{"age": "1,5"}"#, "/age"),
        (r#"{"age": 121}"#, "/age"),
        (r#"{"age": 1.5}"#, "/age"),
        (r#"{"aum": 0.001}"#, "/aum"),
        (r#"{"tier": "glod"}"#, "/tier"),
        (r#"{"interests": "fundz"}"#, "/interests"),
        (r#"{"interests": ["x"]}"#, "/interests"),
        (r#"{"since": "soon"}"#, "/since"),
        (r#"{"age": 1, "age": 2}"#, "/age"),
        ("[]", ""),
    ] {
        for method in ["PUT", "PATCH"] {
            let problem = refused(&server.json(method, "/v1/customers/c-1", body), 400);
            assert_eq!(pointers(&problem), [pointer], "{body}: {problem}");
        }
    }
    assert_eq!(server.get("/v1/customers/c-1").status, 404);
    for id in ["", "%zz", "%", "%ff", "a%00b", &"x".repeat(65)] {
        for method in ["GET", "PUT", "PATCH", "DELETE"] {
            let reply = server.json(method, &format!("/v1/customers/{id}"), "{}");
            refused(&reply, 400);
        }
    }
    assert_eq!(server.json("PUT", &format!("/v1/customers/{}", "x".repeat(64)), "{}").status, 200);
    refused(&server.json("PUT", "/v1/customers/c-1?x=1", "{}"), 400);
}

#[test]
fn bad_paths_methods_and_forms_have_their_own_answers() {
    let server = running();
    let problem = refused(&server.get("/v1/decision"), 404);
    assert!(problem["detail"].as_str().unwrap().contains("/v1/decisions"), "{problem}");
    for path in [
        "/v1/happenings",
        "/v1/decisions/batches",
        "/v1/rule-sets/x/chek",
        "/v1/../livez",
        "//livez",
        "/v1/keys",
    ] {
        refused(&server.get(path), 404);
    }
    for (method, path, allow) in [
        ("DELETE", "/v1/decisions", "GET, POST, HEAD, OPTIONS"),
        ("PUT", "/v1/customers", "GET, POST, HEAD, OPTIONS"),
        ("POST", "/livez", "GET, HEAD, OPTIONS"),
        ("TRACE", "/metrics", "GET, HEAD, OPTIONS"),
        ("BREW", "/v1/rule-sets/x/rollback", "POST, OPTIONS"),
        ("HEAD", "/v1/audiences/count", "POST, OPTIONS"),
    ] {
        let mut client = server.client();
        client.request(method, path, "", b"");
        let reply = client.reply_to(method);
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allow)), "{method} {path}");
    }
    let form =
        server.call("POST", "/v1/decisions", "content-type: application/x-www-form-urlencoded\r\n", b"a=1");
    refused(&form, 415);
    refused(&server.call("GET", "/v1/rule-sets", "accept: text/html\r\n", b""), 406);
    refused(&server.call("GET", "/v1/rule-sets/wealth", "accept: image/png\r\n", b""), 406);
    refused(&server.get("/v1/rule-sets/walth"), 404);
    refused(&server.get("/v1/rule-sets/wealth/versions/0"), 400);
    refused(&server.get("/v1/rule-sets/wealth/versions/x"), 400);
    refused(&server.get("/v1/rule-sets/wealth/versions/99"), 404);
    refused(&server.call("PUT", "/v1/rule-sets/wealth", "if-match: 1\r\n", b"x"), 400);
    refused(&server.call("PUT", "/v1/rule-sets/wealth", "", b"\xff"), 400);
    refused(&server.call("PUT", "/v1/rule-sets/wealth?activate=perhaps", "", b"x"), 400);
    refused(&server.call("POST", "/v1/rule-sets/nothing/rollback", "", b""), 404);
    for path in ["/v1/rule-sets/wealth", "/v1/schema"] {
        refused(&server.call("PUT", path, "content-type: application/yaml\r\n", b""), 422);
    }
    for body in [" ", "{", "rule_set: [", "rule_set: other\n", &"[".repeat(10_000)] {
        let reply = server.call("PUT", "/v1/rule-sets/wealth", "", body.as_bytes());
        refused(&reply, 422);
    }
    for body in [" ", "features: 7", "{"] {
        refused(&server.call("PUT", "/v1/schema", "", body.as_bytes()), 422);
    }
}

#[test]
fn bodies_too_large_are_refused_unread() {
    let server = running();
    for (method, path, kind, limit) in [
        ("POST", "/v1/decisions", "application/json", 64 * 1024),
        ("PUT", "/v1/customers/c-1", "application/json", 256 * 1024),
        ("PUT", "/v1/rule-sets/x", "application/yaml", 8 * 1024 * 1024),
        ("PUT", "/v1/schema", "application/yaml", 8 * 1024 * 1024),
        ("POST", "/v1/customers", "text/csv", 8 * 1024 * 1024),
    ] {
        // The length alone is enough to refuse it: not one byte of the body is sent.
        let head = |length: usize| {
            format!(
                "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
            )
        };
        let mut client = server.client();
        client.send(head(limit + 1).as_bytes());
        let reply = client.reply();
        refused(&reply, 413);
        assert_eq!(reply.header("connection"), Some("close"));
        // Without a length the server counts. The client gets its answer although it was still sending.
        let mut client = server.client();
        client.send(format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n").as_bytes());
        let chunk = [format!("{:x}\r\n", 64 * 1024).as_bytes(), &[b' '; 64 * 1024], b"\r\n"].concat();
        for _ in 0..limit / chunk.len() + 4 {
            if !client.try_send(&chunk) {
                break;
            }
        }
        refused(&client.reply(), 413);
    }
    // A body of exactly the bound is read.
    let body = format!("{{}}{}", " ".repeat(64 * 1024 - 2));
    refused(&server.json("POST", "/v1/decisions", &body), 400);
    refused(&server.json("POST", "/v1/decisions", &format!("{body} ")), 413);
    let mut client = server.client();
    client.send(
        b"POST /v1/decisions HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-type: application/json\r\n\
          content-length: 10000000\r\n\r\n",
    );
    refused(&client.reply(), 413);
}

#[test]
fn a_head_that_cannot_be_read_gets_a_refusal_with_a_body() {
    let server = running();
    for (head, status, part) in [
        ("GARBAGE\r\n\r\n", 400, "expected `METHOD /path HTTP/1.1`"),
        ("GET /livez HTTP/9.9\r\nhost: localhost\r\n\r\n", 400, "HTTP/1.1"),
        ("GET /livez HTTP/1.1\r\nhost : localhost\r\n\r\n", 400, "`name: value`"),
        ("GET /li\u{1}vez HTTP/1.1\r\nhost: localhost\r\n\r\n", 400, "cannot be read"),
        (
            "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip\r\n\r\n",
            400,
            "the last Transfer-Encoding",
        ),
        ("POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n", 400, "cannot be read"),
    ] {
        let mut client = server.client();
        client.send(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n");
        assert_eq!(client.reply().status, 200);
        client.try_send(head.as_bytes());
        let reply = client.try_reply("GET").unwrap_or_else(|| panic!("{head:?}"));
        let problem = refused(&reply, status);
        assert!(problem["detail"].as_str().unwrap().contains(part), "{head:?}: {problem}");
        assert_eq!(reply.header("connection"), Some("close"), "{head:?}");
        assert!(reply.header("x-request-id").is_some(), "{head:?}");
    }
}

#[test]
fn heads_too_large_are_refused() {
    let server = running();
    let status = |head: String| {
        let mut client = server.client();
        client.try_send(head.as_bytes());
        client.try_reply("GET").map(|reply| match reply.status {
            200 => 200,
            status => refused(&reply, status)["status"].as_u64().unwrap(),
        })
    };
    let headers = |count: usize| (0..count).map(|i| format!("x-{i}: 1\r\n")).collect::<String>();
    assert_eq!(status(format!("GET /livez HTTP/1.1\r\nhost: localhost\r\n{}\r\n", headers(63))), Some(200));
    assert_eq!(status(format!("GET /livez HTTP/1.1\r\nhost: localhost\r\n{}\r\n", headers(64))), Some(431));
    assert_eq!(
        status(format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(15_000))),
        Some(200)
    );
    assert_eq!(
        status(format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(16_400))),
        Some(431)
    );
    assert_eq!(
        status(format!("GET /livez?{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "x".repeat(8192 - 7))),
        Some(200)
    );
    assert_eq!(
        status(format!("GET /livez?{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "x".repeat(8192 - 6))),
        Some(414)
    );
    let metrics = server.get("/metrics");
    let unread = "usher_http_requests_total{route=\"unknown\",status=\"4xx\"} 2\n";
    assert!(metrics.text().contains(unread), "{}", metrics.text());
}

/// Sends both parts, a pause between them, and only then reads. Nothing of the answer may be lost.
fn answered_to_its_end(server: &Running, (first, pause, rest): (&[u8], Duration, &[u8])) -> String {
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.write_all(first).unwrap();
    std::thread::sleep(pause);
    let sent = socket.write_all(rest);
    let mut answer = Vec::new();
    let read = socket.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(sent.is_ok() && read.is_ok(), "{sent:?} {read:?} {answer}");
    answer
}

#[test]
fn who_sends_much_more_after_it_was_refused_still_reads_the_answer_to_its_end() {
    let server = running();
    let head = |path: &str, framing: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/msgpack\r\n{framing}\r\n\r\n"
        )
    };
    let batch = |chunk: &[u8]| {
        let head = head("/v1/decisions/batch", "transfer-encoding: chunked");
        [format!("{head}{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()
    };
    let more = [b"800000\r\n".as_slice(), &vec![0; 8 << 20], b"\r\n0\r\n\r\n"].concat();
    let wrong_at_once = [batch(b"\x81"), b"z\r\n".to_vec()].concat();
    let wrong_chunk = [b"z\r\n", &more[..]].concat();
    let long_text = [b"\xdb\xff\xff\xff\xff".as_slice(), &[b'x'; 65_536]].concat();
    let long_head = format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    let large = head("/v1/decisions", "content-length: 8388608");
    let (none, late) = (Duration::ZERO, settings().body_timeout + Duration::from_millis(100));
    let soon = Duration::from_millis(100);
    for (what, first, pause, rest, status, part) in [
        ("a batch that is no MessagePack", batch(b"\xc1"), none, &more[..], 200, "not valid MessagePack"),
        ("the same, answered already", batch(b"\xc1"), soon, &more, 200, "not valid MessagePack"),
        ("a batch with too long a value", batch(&long_text), soon, &more, 200, "more than 65536 bytes"),
        ("a batch that stopped for a while", batch(b"\x81"), late, &more, 200, "\"status\":408"),
        ("a batch with a wrong chunk", batch(b"\x81"), soon, &wrong_chunk, 200, "in hexadecimal"),
        ("the same, at once", wrong_at_once, soon, &more, 400, "in hexadecimal"),
        ("a head that is too long", long_head.into_bytes(), none, b"", 431, "head-too-large"),
        ("what is no HTTP", b"GARBAGE\r\n\r\n".to_vec(), soon, &more, 400, "cannot be read"),
        ("a body that is too large", large.into_bytes(), soon, &more[8..8 + (8 << 20)], 413, "too-large"),
    ] {
        let answer = answered_to_its_end(&server, (&first, pause, rest));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {answer}");
        assert!(answer.contains(part), "{what}: {answer}");
        assert_eq!(answer.ends_with("\r\n0\r\n\r\n"), status == 200, "{what}: {answer}");
    }
}

#[test]
fn http2_is_hung_up_on() {
    let mut client = running().client();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(client.closed());
}

fn ends_in(client: &mut support::Client, least: Duration, most: Duration) {
    let begun = Instant::now();
    while client.try_reply("GET").is_some() {}
    let took = begun.elapsed();
    assert!(took >= least && took < most, "{took:?}");
}

#[test]
fn slow_heads_idle_connections_and_silent_ones_are_closed_in_time() {
    let server = running();
    let (head, idle) = (settings().head_timeout, settings().idle_timeout);
    let mut slow = server.client();
    let begun = Instant::now();
    // One byte at a time does not help: the whole head has one deadline.
    for byte in b"GET /livez HTTP/1.1\r\nhost: localhost\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" {
        std::thread::sleep(Duration::from_millis(20));
        if !slow.try_send(&[*byte]) {
            break;
        }
    }
    assert!(slow.try_reply("GET").is_none());
    assert!(begun.elapsed() < head * 5, "{:?}", begun.elapsed());
    ends_in(&mut server.client(), idle / 2, idle * 2);
    let mut kept = server.client();
    kept.request("GET", "/livez", "", b"");
    kept.reply();
    std::thread::sleep(head * 2); // an idle connection is no slow head
    kept.request("GET", "/livez", "", b"");
    assert_eq!(kept.reply().status, 200);
    kept.send(b"GET /li");
    ends_in(&mut kept, head / 2, idle);
}

#[test]
fn slow_bodies_are_408() {
    let server = running();
    for framing in ["content-length: 100", "transfer-encoding: chunked"] {
        let mut client = server.client();
        let head = "POST /v1/decisions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
        client.send(format!("{head}\r\n{framing}\r\n\r\n").as_bytes());
        let begun = Instant::now();
        let reply = client.reply();
        refused(&reply, 408);
        assert_eq!(reply.header("connection"), Some("close"));
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_client_that_does_not_read_is_given_up() {
    let server = running();
    let mut client = server.client();
    let request = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1000);
    let begun = Instant::now();
    // When the server cannot write, it stops reading, and then it hangs up.
    while client.try_send(&request) {
        assert!(
            begun.elapsed() < Duration::from_secs(8),
            "the server still listens to a client that does not"
        );
    }
    assert_eq!(server.get("/livez").status, 200);
}

#[test]
fn bad_bulk_loads_are_refused_or_counted() {
    let server = running();
    let csv = |query: &str, body: &[u8]| {
        server.call("POST", &format!("/v1/customers{query}"), "content-type: text/csv\r\n", body)
    };
    for query in [
        "?mode=x",
        "?dry_run=1",
        "?max_errors=-1",
        "?max_errors=x",
        "?mod=upsert",
        "?mode=upsert&mode=upsert",
    ] {
        refused(&csv(query, b"customer\nc\n"), 400);
    }
    for body in
        [&b""[..], b"\n\n", b"age\n1\n", b"customer,customer\n", b"customer,\xff\n", b"customer,aeg\n"]
    {
        refused(&csv("", body), 400);
    }
    refused(&server.json("POST", "/v1/customers", "[]"), 415);
    let counted = csv("", b"customer,age\n,1\nc,\xff\nc,1,2\nc\n\"c,1\n").json();
    assert_eq!((&counted["accepted"], &counted["rejected"]), (&json!(0), &json!(5)), "{counted}");
    let lines = b"{\"customer\": \"c\", \"customer\": \"d\"}\n[]\n7\n\xff\n{\"customer\": 7}\n{\"age\": 1}\n"
        .to_vec();
    let counted =
        server.call("POST", "/v1/customers", "content-type: application/x-ndjson\r\n", &lines).json();
    assert_eq!((&counted["accepted"], &counted["rejected"]), (&json!(0), &json!(6)), "{counted}");
    let many = [b"customer,age\n".to_vec(), b"c,x\n".repeat(1000)].concat();
    let counted = csv("", &many).json();
    assert_eq!((&counted["rejected"], counted["errors"].as_array().unwrap().len()), (&json!(1000), 100));
}

#[test]
fn nothing_of_this_was_a_fault_of_the_server() {
    let server: Running = running();
    let mut client = server.client();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..3000 {
        let mut body = br#"{"customer": "c-1", "channel": "app", "placements": [{"id": "home", "count": 1}], "context": {"page": "x"}}"#.to_vec();
        for _ in 0..3 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = random as usize % body.len();
            body[at] = (random >> 32) as u8;
        }
        let kind = if random & 1 == 0 { "json" } else { "msgpack" };
        client.request("POST", "/v1/decisions", &format!("content-type: application/{kind}\r\n"), &body);
        let reply = client.reply();
        assert!(
            reply.status == 200 || reply.status == 400,
            "{}: {}",
            reply.status,
            String::from_utf8_lossy(&body)
        );
    }
    let metrics = server.get("/metrics");
    assert!(metrics.text().contains("usher_panics_total 0"));
    assert!(!metrics.text().contains("status=\"5xx\""));
}

#[test]
fn clients_that_only_say_that_they_will_send_much_block_nobody() {
    let slow = usher::http::Settings { body_timeout: Duration::from_secs(10), ..settings() };
    let server = running_with(slow);
    let mut held = Vec::new();
    for _ in 0..2 * usher::http::bounds::MAX_LARGE_BODIES {
        for to in ["POST /v1/customers HTTP/1.1\r\ncontent-type: text/csv", "PUT /v1/rule-sets/x HTTP/1.1"] {
            let mut client = server.client();
            client.send(format!("{to}\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n").as_bytes());
            held.push(client);
        }
    }
    let large = [b"customer,age\n".to_vec(), b"c-1,41\n".repeat(60_000)].concat();
    let load = || server.call("POST", "/v1/customers?dry_run=true", "content-type: text/csv\r\n", &large);
    assert_eq!(load().status, 200);
    // Clients that did send much take places, but never the places of rule sets.
    for _ in 0..usher::http::bounds::MAX_LARGE_BODIES {
        let mut client = server.client();
        let length = 2 * large.len();
        client.send(format!("POST /v1/customers HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/csv\r\ncontent-length: {length}\r\n\r\n").as_bytes());
        client.send(&large);
        held.push(client);
    }
    std::thread::sleep(Duration::from_millis(200));
    let reply = load();
    refused(&reply, 503);
    assert_eq!(reply.header("retry-after"), Some("1"));
    let rules = format!("{}{}", support::RULES, "#\n".repeat(200_000));
    let pushed = server.call("PUT", "/v1/rule-sets/wealth", "", rules.as_bytes());
    assert_eq!(pushed.status, 201, "{}", pushed.text());
    drop(held);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(load().status, 200);
}

#[test]
fn a_small_body_does_not_become_a_large_load() {
    use std::io::Write;
    let server = running();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(b"customer\n").unwrap();
    packed.write_all(&b"a\n".repeat(4_000_000)).unwrap();
    let head = "content-type: text/csv\r\ncontent-encoding: gzip\r\n";
    let problem = refused(&server.call("POST", "/v1/customers", head, &packed.finish().unwrap()), 413);
    assert!(problem["detail"].as_str().unwrap().contains("split it"), "{problem}");
}

#[test]
fn bad_bundles_are_refused() {
    let server = running();
    for (body, pointers_expected) in [
        ("[]", vec![""]),
        (
            r#"{"schema": 1, "rule_sets": [{"file": "a"}, 7], "x": 1}"#,
            vec!["/x", "/schema", "/rule_sets/0", "/rule_sets/1"],
        ),
        (r#"{"schema": "schema: s", "rule_sets": {}}"#, vec!["/rule_sets"]),
    ] {
        let problem = refused(&server.json("PUT", "/v1/bundle", body), 400);
        assert_eq!(pointers(&problem), pointers_expected, "{problem}");
    }
    let many = format!(r#"{{"schema": "x", "rule_sets": [{}]}}"#, vec!["0"; 1001].join(","));
    refused(&server.json("PUT", "/v1/bundle", &many), 400);
    refused(&server.json("PUT", "/v1/bundle?activate=x", "{}"), 400);
    refused(&server.json("PUT", "/v1/bundle", r#"{"schema": "x", "rule_sets": []}"#), 422);
}

#[test]
fn problems_of_one_body_are_said_up_to_a_bound() {
    let server = running();
    let keys: Vec<_> = (0..10_000).map(|i| format!("\"k{i}\": 1")).collect();
    let problem = refused(&server.json("PUT", "/v1/customers/c-1", &format!("{{{}}}", keys.join(","))), 400);
    assert_eq!((pointers(&problem).len(), &problem["errors_omitted"]), (100, &json!(1)));
}
