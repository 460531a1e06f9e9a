//! The contract over a real socket: who may call, how a request must be framed, what every answer carries,
//! and what becomes of callers that are too many or too slow.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::{Duration, Instant};

use support::{Reply, Running, running, running_with, settings};
use usher::http::{Hosts, Origins, Settings};

const DECISION: &str = r#"{"customer": "c", "channel": "app", "placements": [{"id": "home"}]}"#;
const JSON: &str = "content-type: application/json\r\n";

/// The first answer to these bytes; status 0 if there is none.
fn first(server: &Running, bytes: &[u8]) -> Reply {
    let mut client = server.client();
    client.try_send(bytes);
    client.try_reply("GET").unwrap_or(Reply { status: 0, head: String::new(), body: Vec::new() })
}

/// The answer to a request with these headers, of which `host` must be one.
fn raw(server: &Running, method: &str, path: &str, headers: &str, body: &str) -> Reply {
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    first(server, format!("{method} {path} HTTP/1.1\r\n{headers}{length}\r\n{body}").as_bytes())
}

#[test]
fn a_page_of_another_origin_cannot_do_anything() {
    let server = running();
    let port = server.address.port();
    let own = format!("host: localhost:{port}\r\n");
    for (headers, expected) in [
        (String::new(), 200),
        (format!("origin: http://localhost:{port}\r\n"), 200),
        (format!("origin: HTTPS://LOCALHOST:{port}\r\n").replace("HTTPS", "https"), 200),
        ("sec-fetch-site: same-origin\r\n".into(), 200),
        ("sec-fetch-site: none\r\n".into(), 200),
        ("origin: http://evil.example\r\n".into(), 403),
        ("origin: null\r\n".into(), 403),
        ("origin: \r\n".into(), 403),
        ("origin: http://localhost:1\r\n".into(), 403),
        (format!("origin: http://localhost:{port}.evil.example\r\n"), 403),
        (format!("origin: http://localhost:{port}\r\norigin: http://evil.example\r\n"), 403),
        ("origin: http://evil.example\r\nsec-fetch-site: same-origin\r\n".into(), 403),
        ("sec-fetch-site: cross-site\r\n".into(), 403),
        ("sec-fetch-site: same-site\r\n".into(), 403),
        ("sec-fetch-site: cross-site\r\nsec-fetch-mode: navigate\r\n".into(), 403),
    ] {
        let ask = |method, path, more: &str, body| {
            raw(&server, method, path, &format!("{own}{headers}{more}"), body).status
        };
        assert_eq!(ask("POST", "/v1/decisions", JSON, DECISION), expected, "{headers}");
        assert_eq!(ask("PUT", "/v1/customers/page", JSON, "{}"), expected, "{headers}");
        assert_eq!(ask("GET", "/v1/customers/page", "", ""), expected, "{headers}");
        assert_eq!(
            ask("GET", "/v1/decisions?customer=c&channel=app&placement=home", "", ""),
            expected,
            "{headers}"
        );
        assert_eq!(ask("DELETE", "/v1/customers/page", "", ""), expected, "{headers}");
        let unknown = if expected == 200 { 404 } else { expected };
        assert_eq!(ask("GET", "/nothing", "", ""), unknown, "{headers}");
    }
    // A link to what has no customers in it may be followed, and the page does not see the answer.
    let link = format!("{own}sec-fetch-site: cross-site\r\nsec-fetch-mode: navigate\r\n");
    assert_eq!(raw(&server, "GET", "/openapi.json", &link, "").status, 200);
    assert_eq!(raw(&server, "POST", "/livez", &link, "").status, 403);
    let refused = raw(&server, "GET", "/metrics", &format!("{own}origin: http://evil.example\r\n"), "");
    assert_eq!(refused.json()["type"], "urn:usher:problem:foreign");
    assert!(refused.text().contains("http://evil.example") && refused.text().contains("--cors-origins"));
}

#[test]
fn a_name_that_nobody_allowed_is_not_answered_to() {
    let hosts = Hosts::read("usher.bank.example, *.inner.example").unwrap();
    let server = running_with(Settings { hosts, ..settings() });
    for (host, expected) in [
        ("localhost", 200),
        ("localhost:9", 200),
        ("127.0.0.1:9", 200),
        ("[::1]:9", 200),
        ("usher.bank.example", 200),
        ("a.inner.example:8080", 200),
        ("evil.example", 421),
        ("evil.example:8080", 421),
        ("127.0.0.1.evil.example", 421),
        ("inner.example", 421),
        ("", 400),
        ("a b", 400),
        ("localhost, evil.example", 400),
        ("me@localhost", 400),
        ("localhost/x", 400),
        ("l\u{f6}calhost", 400),
    ] {
        for path in ["/livez", "/v1/rule-sets", "/nothing"] {
            let expected = if expected == 200 && path == "/nothing" { 404 } else { expected };
            let reply = raw(&server, "GET", path, &format!("host: {host}\r\n"), "");
            assert_eq!(reply.status, expected, "{host:?} {path}: {}", reply.text());
        }
    }
    let write = raw(&server, "PUT", "/v1/customers/c", &format!("host: evil.example\r\n{JSON}"), "{}");
    assert_eq!((write.status, &write.json()["type"]), (421, &"urn:usher:problem:misdirected".into()));
    for (request, expected) in [
        ("GET /livez HTTP/1.1\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n", 400),
        ("GET /livez HTTP/1.0\r\n\r\n", 200),
        ("GET /livez HTTP/1.0\r\nhost: evil.example\r\n\r\n", 421),
        ("GET http://localhost:9/livez HTTP/1.1\r\nhost: localhost:9\r\n\r\n", 200),
        ("GET http://LOCALHOST/livez HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
        ("GET http://other.example/livez HTTP/1.1\r\nhost: localhost\r\n\r\n", 400),
        ("GET http://localhost:9/livez HTTP/1.1\r\nhost: localhost\r\n\r\n", 400),
        ("GET http://evil.example/livez HTTP/1.1\r\nhost: evil.example\r\n\r\n", 421),
        ("CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example:443\r\n\r\n", 421),
    ] {
        assert_eq!(first(&server, request.as_bytes()).status, expected, "{request}");
    }
}

#[test]
fn every_write_says_what_its_body_is() {
    let server = running();
    let host = "host: localhost\r\n";
    let writes = [
        ("POST", "/v1/decisions"),
        ("POST", "/v1/events"),
        ("POST", "/v1/customers"),
        ("PUT", "/v1/customers/c"),
        ("PATCH", "/v1/customers/c"),
        ("PUT", "/v1/rule-sets/wealth"),
        ("POST", "/v1/rule-sets/wealth/check"),
        ("PUT", "/v1/schema"),
        ("PUT", "/v1/bundle"),
        ("POST", "/v1/audiences/count"),
    ];
    let types = [
        "",
        "content-type: text/plain\r\n",
        "content-type: text/plain;charset=UTF-8\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-type: multipart/form-data; boundary=x\r\n",
        "content-type:\r\n",
        "content-type: application/json\r\ncontent-type: text/plain\r\n",
    ];
    for (method, path) in writes {
        for content_type in types {
            let reply = raw(&server, method, path, &format!("{host}{content_type}"), "{}");
            assert_eq!(reply.status, 415, "{method} {path} {content_type}: {}", reply.text());
            assert!(reply.header("accept").is_some(), "{}", reply.head);
        }
    }
    for (method, path) in [
        ("POST", "/v1/rule-sets/wealth/rollback"),
        ("POST", "/v1/rule-sets/wealth/versions/1/activate"),
        ("POST", "/v1/snapshots"),
        ("DELETE", "/v1/customers/c"),
        ("DELETE", "/v1/rule-sets/wealth"),
    ] {
        for content_type in &types[1..5] {
            let reply = raw(&server, method, path, &format!("{host}{content_type}"), "");
            assert_eq!(reply.status, 415, "{method} {path} {content_type}: {}", reply.text());
        }
    }
    assert_eq!(server.get("/v1/rule-sets/wealth").status, 200, "nothing was obeyed");
    let packed = "content-encoding: deflate\r\ncontent-type: application/json\r\n";
    let reply = server.call("PUT", "/v1/customers/c", packed, b"{}");
    assert_eq!((reply.status, reply.header("accept-encoding")), (415, Some("gzip, zstd")));
}

#[test]
fn the_old_name_of_gzip_and_ranges_in_any_case_are_understood() {
    let server = running();
    let mut packed = Vec::new();
    let mut encoder = flate2::write::GzEncoder::new(&mut packed, flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, b"{\"age\": 41}").unwrap();
    encoder.finish().unwrap();
    for coding in ["gzip", "x-gzip", "X-GZIP"] {
        let headers = format!("{JSON}content-encoding: {coding}\r\n");
        assert_eq!(server.call("PUT", "/v1/customers/c", &headers, &packed).status, 200, "{coding}");
    }
    for (accept, expected) in [("Application/*", 200), ("APPLICATION/json", 200), ("Text/html", 406)] {
        let headers = format!("{JSON}accept: {accept}\r\n");
        let reply = server.call("POST", "/v1/decisions", &headers, DECISION.as_bytes());
        assert_eq!(reply.status, expected, "{accept}: {}", reply.text());
    }
}

/// A request with this after its first two lines is refused, and nothing behind it is answered.
fn refused(server: &Running, rest: &str, status: u16) {
    let start = format!("POST /v1/decisions HTTP/1.1\r\nhost: localhost\r\n{JSON}");
    let mut client = server.client();
    client.try_send(format!("{start}{rest}").as_bytes());
    client.try_send(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert_eq!(client.try_reply("GET").map(|reply| reply.status), Some(status), "{rest:?}");
    let next = client.try_reply("GET").map(|reply| reply.status);
    assert_eq!(next, None, "after such a request the connection ends: {rest:?}");
    // The same behind a good request on the connection.
    let mut client = server.client();
    client.try_send(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n");
    client.try_send(format!("{start}{rest}").as_bytes());
    let both: Vec<_> = (0..3).map_while(|_| client.try_reply("GET")).map(|reply| reply.status).collect();
    assert_eq!(both, [200, status], "{rest:?}");
}

#[test]
fn framing_that_could_be_read_in_two_ways_is_refused() {
    let server = running();
    for rest in [
        "content-length: 2\r\ncontent-length: 2\r\n\r\n{}",
        "content-length: 2\r\ncontent-length: 3\r\n\r\n{} ",
        "content-length: 2, 2\r\n\r\n{}",
        "content-length: +2\r\n\r\n{}",
        "content-length: 0x2\r\n\r\n{}",
        "content-length: -2\r\n\r\n{}",
        "content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 12\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "transfer-encoding: identity\r\n\r\n",
        "transfer-encoding: chunked, gzip\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "transfer-encoding: chunked, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "transfer-encoding : chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "transfer-encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "Transfer_Encoding: chunked\r\ncontent-length: 2\r\n\r\n{}",
        "Transfer_Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "Content_Length: 2\r\n\r\n",
        "x: a\ncontent-length: 2\r\n\r\n{}",
        "content-length: 2\r\n\n{}",
        "content-length: 2\n\n{}",
        "x: a\r\n folded\r\n\r\n",
        "x: a\rb\r\n\r\n",
        "x: a\0b\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n2;\0\r\n{}\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n2;x=\"\n\"\r\n{}\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n2;x\ry\r\n{}\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\ncontent-length: 9\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx: y\n\r\n",
        "transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx: \0\r\n\r\n",
    ] {
        refused(&server, rest, 400);
    }
    for rest in [
        "transfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "transfer-encoding: foo,chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ] {
        refused(&server, rest, 501);
    }
    for request in [
        "POST /v1/decisions HTTP/1.0\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /livez HTTP/1.1\nhost: localhost\n\n",
        "GET /livez HTTP/1.1\r\nhost: localhost\n\n",
        "GET /livez HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0;\0\r\n\r\n",
        "GET /livez HTTP/1.1\r\nhost : localhost\r\n\r\n",
        "GET /li vez HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "GET  /livez HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "\x16\x03\x01\x02\r\n\r\n",
    ] {
        assert_eq!(first(&server, request.as_bytes()).status, 400, "{request:?}");
    }
}

#[test]
fn framing_that_can_be_read_in_one_way_is_read() {
    let server = running();
    let body = DECISION;
    let chunked = format!("{:x};a=\"b\";c\r\n{body}\r\n0\r\nx-sum: 7\r\n\r\n", body.len());
    let two = format!("1\r\n{{\r\n{:x} ;x\r\n{}\r\n0;end\r\n\r\n", body.len() - 1, &body[1..]);
    let split: Vec<&str> = vec![&chunked, &two];
    let mut client = server.client();
    let start = format!("POST /v1/decisions HTTP/1.1\r\nhost: localhost\r\n{JSON}");
    for body in split {
        client.send(format!("\r\n{start}Transfer-Encoding: Chunked\r\n\r\n{body}").as_bytes());
        assert_eq!(client.reply().status, 200, "{body}");
    }
    // Byte by byte, several requests in a row.
    let all = format!(
        "{start}transfer-encoding: chunked\r\n\r\n{chunked}{start}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    for byte in all.as_bytes() {
        client.send(&[*byte]);
    }
    assert_eq!([client.reply().status, client.reply().status], [200, 200]);
}

#[test]
fn every_answer_says_who_may_keep_it_and_whose_it_is() {
    let server = running();
    let asked = "x-request-id: desk-7/42\r\n";
    let unheard = "text/html";
    for (method, path, headers, status, cache) in [
        ("GET", "/v1/decisions?customer=c&channel=app&placement=home", "", 200, "no-store"),
        ("HEAD", "/v1/decisions?customer=c&channel=app&placement=home", "", 200, "no-store"),
        ("GET", "/v1/customers/nobody", "", 404, "no-store"),
        ("GET", "/v1/rule-sets", "", 200, "no-store"),
        ("GET", "/v1/rule-sets/wealth", "", 200, "no-cache"),
        ("GET", "/v1/schema", "", 200, "no-cache"),
        ("GET", "/readyz", "", 200, "no-store"),
        ("GET", "/metrics", "", 200, "no-store"),
        ("GET", "/nothing", "", 404, "no-store"),
        ("GET", "/v1/rule-sets", unheard, 406, "no-store"),
        ("OPTIONS", "/v1/schema", "", 204, "no-store"),
    ] {
        let accept = if headers.is_empty() { String::new() } else { format!("accept: {headers}\r\n") };
        let reply = server.call(method, path, &format!("{asked}{accept}"), b"");
        assert_eq!(reply.status, status, "{method} {path}");
        for (name, value) in
            [("cache-control", cache), ("x-content-type-options", "nosniff"), ("x-request-id", "desk-7/42")]
        {
            assert_eq!(reply.header(name), Some(value), "{method} {path}");
        }
        let timing = reply.header("server-timing").and_then(|text| text.strip_prefix("total;dur="));
        assert!(timing.is_some_and(|ms| ms.parse::<f64>().is_ok_and(|ms| ms < 10_000.0)), "{}", reply.head);
        let varies = (path.starts_with("/v1/") || path == "/metrics") && method != "OPTIONS";
        let speaks = path.starts_with("/v1/decisions") && status == 200;
        let varies = varies.then_some(if speaks { "Accept, Accept-Language" } else { "Accept" });
        assert_eq!(reply.header("vary"), varies, "{method} {path}");
        assert_eq!(reply.header("access-control-allow-origin"), None);
    }
    let tag = server.get("/v1/schema").header("etag").unwrap().to_owned();
    let same = server.call("GET", "/v1/schema", &format!("if-none-match: {tag}\r\n"), b"");
    assert_eq!(
        (same.status, same.header("cache-control"), same.header("vary")),
        (304, Some("no-cache"), Some("Accept"))
    );
    let made =
        |headers: &str| server.call("GET", "/livez", headers, b"").header("x-request-id").unwrap().to_owned();
    let (one, other) = (made(""), made("x-request-id: not an id\r\n"));
    assert!(one != other && other.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one} {other}");
}

#[test]
fn head_and_options_tell_and_change_nothing() {
    let server = running();
    for path in ["/livez", "/readyz", "/metrics", "/openapi.json", "/v1/rule-sets", "/v1/schema", "/v1/stats"]
    {
        let (head, get) = (server.call("HEAD", path, "", b""), server.get(path));
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        if path != "/metrics" {
            assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
        }
    }
    for (path, allow) in [
        ("/v1/decisions", "GET, POST, HEAD, OPTIONS"),
        ("/v1/customers/c-1", "GET, PUT, PATCH, DELETE, HEAD, OPTIONS"),
        ("/v1/rule-sets/x/rollback", "POST, OPTIONS"),
        ("/livez", "GET, HEAD, OPTIONS"),
        ("*", "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS"),
    ] {
        let reply = server.call("OPTIONS", path, "", b"");
        assert_eq!((reply.status, reply.header("allow"), reply.body.len()), (204, Some(allow), 0), "{path}");
    }
    assert_eq!(server.call("OPTIONS", "/nothing", "", b"").status, 404);
    assert_eq!(server.call("HEAD", "/v1/audiences/count", "", b"").status, 405);
}

#[test]
fn pages_of_listed_origins_may_ask_and_read() {
    let origins = Origins::read("https://desk.bank.example").unwrap();
    let server = running_with(Settings { origins, ..settings() });
    let desk = "origin: https://desk.bank.example\r\nsec-fetch-site: cross-site\r\n";
    let asks = format!(
        "{desk}access-control-request-method: POST\r\naccess-control-request-headers: content-type\r\n"
    );
    let reply = server.call("OPTIONS", "/v1/decisions", &asks, b"");
    assert_eq!(reply.status, 204);
    for (name, part) in [
        ("access-control-allow-origin", "https://desk.bank.example"),
        ("access-control-allow-methods", "POST"),
        ("access-control-allow-headers", "Content-Type"),
        ("access-control-max-age", "600"),
        ("vary", "Origin"),
    ] {
        assert!(reply.header(name).is_some_and(|value| value.contains(part)), "{name}: {}", reply.head);
    }
    let reply = server.call("POST", "/v1/decisions", &format!("{desk}{JSON}"), DECISION.as_bytes());
    assert_eq!(
        (reply.status, reply.header("access-control-allow-origin")),
        (200, Some("https://desk.bank.example"))
    );
    assert_eq!(reply.header("vary"), Some("Accept, Accept-Language, Origin"));
    assert!(
        reply.header("access-control-expose-headers").is_some_and(|names| names.contains("X-Request-Id"))
    );
    let wrong = server.call("POST", "/v1/decisions", &format!("{desk}{JSON}"), b"{");
    assert_eq!((wrong.status, wrong.header("access-control-allow-origin").is_some()), (400, true));
    let other = asks.replace("desk", "evil");
    let reply = server.call("OPTIONS", "/v1/decisions", &other, b"");
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (403, None));
    assert_eq!(server.get("/livez").header("vary"), Some("Origin"), "no cache may mix the two");
}

/// Connections that have had an answer, and stay open.
fn held(server: &Running, from: &str, count: usize) -> Vec<support::Client> {
    let mut held: Vec<_> = (0..count).map(|_| server.client_from(from)).collect();
    for client in &mut held {
        client.request("GET", "/v1/rule-sets", "", b"");
        assert_eq!(client.reply().status, 200);
    }
    held
}

#[test]
fn a_full_server_can_still_be_asked_how_it_is() {
    let most = Settings { max_connections: 4, max_connections_per_address: Some(4), ..settings() };
    let server = running_with(most);
    let all = held(&server, "127.0.0.1", 4);
    for from in ["127.0.0.1", "127.0.0.2"] {
        for (path, status) in [("/livez", 200), ("/readyz", 200), ("/metrics", 200), ("/v1/rule-sets", 503)] {
            let mut over = server.client_from(from);
            over.request("GET", path, "", b"");
            let reply = over.reply();
            assert_eq!((reply.status, reply.header("connection")), (status, Some("close")), "{from} {path}");
            assert_eq!(reply.header("retry-after").is_some(), status == 503);
            assert!(over.closed());
        }
    }
    // What can be read in two ways was not refused for its place.
    let mut unclear = server.client_from("127.0.0.1");
    unclear.send(
        b"GET /v1/rule-sets HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\ncontent-length: 0\r\n\r\n",
    );
    assert_eq!(unclear.try_reply("GET").map(|reply| reply.status), Some(400));
    // Spare places have a bound for each address, and nobody keeps one for long.
    let begun = Instant::now();
    let mut silent: Vec<_> = (0..8).map(|_| server.client_from("127.0.0.1")).collect();
    std::thread::sleep(Duration::from_millis(50));
    let mut beyond = server.client_from("127.0.0.1");
    assert_eq!(beyond.try_reply("GET").map(|reply| reply.status), Some(503));
    let mut other = server.client_from("127.0.0.3");
    other.request("GET", "/livez", "", b"");
    assert_eq!(other.reply().status, 200);
    assert!(silent.iter_mut().all(support::Client::closed));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(all);
    let asks_alone = || server.get("/metrics").text().contains("usher_connections 1.0\n");
    while !asks_alone() {
        assert!(begun.elapsed() < Duration::from_secs(15), "connections that ended keep their places");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(server.get("/v1/rule-sets").status, 200);
    assert!(server.get("/metrics").text().contains("usher_connections_rejected_total 3"));
}

#[test]
fn one_address_does_not_take_the_places_of_others() {
    let server = running_with(Settings { max_connections: 6, ..settings() });
    let _half = held(&server, "127.0.0.1", 3);
    let mut over = server.client_from("127.0.0.1");
    over.request("GET", "/v1/rule-sets", "", b"");
    assert_eq!(over.reply().status, 503, "half of all unless the settings say otherwise");
    let _others = held(&server, "127.0.0.2", 3);
    let mut third = server.client_from("127.0.0.3");
    third.request("GET", "/v1/rule-sets", "", b"");
    assert_eq!(third.reply().status, 503);
}

#[test]
fn a_client_that_takes_its_answers_too_slowly_is_given_up() {
    let server = running();
    let (mut slow, begun) = (server.client(), Instant::now());
    // More than the buffers of the system hold, so that answers wait for this client.
    slow.send(&b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(200));
    let mut taken = 0;
    while let Some(bytes) = slow.take(3_000) {
        taken += bytes;
        assert!(begun.elapsed() < Duration::from_secs(30), "it is still served after {taken} bytes");
        std::thread::sleep(Duration::from_millis(100));
    }
    // Whoever reads on gets everything, whatever the buffers are.
    let mut quick = server.client();
    for _ in 0..200 {
        quick.send(b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n");
    }
    assert!((0..200).all(|_| quick.reply().status == 200));
}
