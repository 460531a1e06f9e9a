//! What operators ask and see: a server whose node is not open yet, snapshots, readiness, metrics.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Reply, Running, running, starting};
use usher::storage::durability::BytesRead;

const DECISION: &str = r#"{"customer": "c-1", "channel": "app", "placements": [{"id": "home"}]}"#;

/// Every path and method that the contract describes.
fn contract(server: &Running) -> Vec<(String, String)> {
    let document = server.get("/openapi.json").json();
    let mut all = Vec::new();
    for (path, described) in document["paths"].as_object().unwrap() {
        let path = path.replace("{id}", "c-1").replace("{name}", "wealth").replace("{version}", "1");
        let methods = described.as_object().unwrap().keys().filter(|key| *key != "parameters");
        all.extend(methods.map(|method| (method.to_uppercase(), path.clone())));
    }
    all
}

fn is_problem(reply: &Reply, status: u16, detail: &str) {
    assert_eq!((reply.status, reply.json()["status"].as_u64()), (status, Some(status.into())), "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    assert!(reply.json()["detail"].as_str().unwrap().contains(detail), "{detail:?}: {}", reply.text());
}

#[test]
fn until_the_node_is_there_every_route_says_so() {
    let (server, _startup) = starting();
    let routes = contract(&server);
    assert!(routes.len() > 20, "{routes:?}");
    for (method, path) in &routes {
        let body: &[u8] = if method == "GET" { b"" } else { b"{}" };
        let reply = server.call(method, path, "content-type: application/json\r\n", body);
        match path.as_str() {
            "/" | "/livez" | "/metrics" | "/openapi.json" => assert_eq!(reply.status, 200, "{path}"),
            "/readyz" => is_problem(&reply, 503, "starting"),
            _ => {
                is_problem(&reply, 503, "still starting");
                assert_eq!(reply.json()["type"], "urn:usher:problem:unavailable", "{method} {path}");
                assert_eq!(reply.header("retry-after"), Some("1"), "{method} {path}");
            }
        }
    }
    for (method, path, status) in [
        ("GET", "/v1/decision", 404),
        ("POST", "/livez", 405),
        ("DELETE", "/readyz", 405),
        ("HEAD", "/livez", 200),
        ("HEAD", "/readyz", 503),
    ] {
        let mut client = server.client();
        client.request(method, path, "", b"");
        assert_eq!(client.reply_to(method).status, status, "{method} {path}");
    }
    assert_eq!(server.call("GET", "/livez", "host: twice\r\n", b"").status, 400);
}

#[test]
fn the_first_page_says_what_this_is_and_where_to_go() {
    let server = running();
    assert_eq!(server.json("PUT", "/v1/customers/c-1", r#"{"age": 41}"#).status, 200);
    let page = server.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.text().contains(concat!("Usher ", env!("CARGO_PKG_VERSION"))), "{}", page.text());
    let links: Vec<&str> =
        page.text().split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(links.contains(&"/openapi.json") && links.len() == 6, "{links:?}");
    for link in links {
        let answer = server.get(link);
        assert_eq!(answer.status, 200, "{link}: {}", answer.text());
    }
    assert_eq!(server.call("POST", "/", "", b"").header("allow"), Some("GET, HEAD, OPTIONS"));
}

#[test]
fn readiness_says_how_far_the_start_is() {
    let (server, startup) = starting();
    is_problem(&server.get("/readyz"), 503, "not known yet");
    startup.report(BytesRead { done: 123, total: 1000 });
    is_problem(&server.get("/readyz"), 503, "123 of 1000 bytes were read (12 %)");
    startup.finish(Arc::clone(&server.node));
    assert_eq!(server.get("/readyz").json()["ready"], true);
}

#[test]
fn a_connection_from_before_the_node_was_there_goes_on() {
    let (server, startup) = starting();
    let mut client = server.client();
    let json = "content-type: application/json\r\n";
    client.request("POST", "/v1/decisions", json, DECISION.as_bytes());
    is_problem(&client.reply(), 503, "starting");
    client.request("GET", "/metrics", "", b"");
    let early = client.reply();
    for (part, there) in [
        ("usher_connections 1", true),
        ("usher_overloads_total 0\n", true),
        ("usher_http_requests_total{route=\"/v1/decisions\",status=\"5xx\"} 1\n", true),
        ("usher_customers", false),
        ("usher_journal_failed", false),
    ] {
        assert_eq!(early.text().contains(part), there, "{part}: {}", early.text());
    }
    startup.finish(Arc::clone(&server.node));
    client.request("POST", "/v1/decisions", json, DECISION.as_bytes());
    let reply = client.reply();
    assert_eq!((reply.status, &reply.json()["rule_sets"]), (200, &json!({"wealth": 1})), "{}", reply.text());
    client.request("PUT", "/v1/customers/c-1", json, b"{\"age\": 41}");
    assert_eq!(client.reply().status, 200);
}

#[test]
fn a_body_that_still_comes_while_the_node_starts_is_refused_and_not_read_as_requests() {
    let (server, _startup) = starting();
    let mut client = server.client();
    client.send(b"POST /v1/customers HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/csv\r\ncontent-length: 5000000\r\n\r\n");
    is_problem(&client.reply(), 503, "starting");
    client.try_send(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert!(client.closed());
    assert_eq!(server.get("/livez").status, 200);
}

#[test]
fn a_server_stops_while_its_node_is_still_starting() {
    let (mut server, _startup) = starting();
    let mut client = server.client();
    client.request("GET", "/livez", "", b"");
    assert_eq!(client.reply().status, 200);
    server.server.take().unwrap().stop();
    assert!(client.closed());
}

#[test]
fn a_ready_server_says_how_durable_it_is() {
    let server = running();
    let found = server.get("/readyz").json();
    let recovery =
        json!({"snapshot_sequence": 0, "damaged_snapshots": 0, "replayed": 0, "cut_bytes": 0, "took_ms": 0});
    assert_eq!(
        found,
        json!({"ready": true, "takes_writes": true, "sequence": 3, "customers": 0, "sync": "memory",
            "durable_sequence": 0, "last_snapshot_age_s": null, "recovery": recovery})
    );
}

#[test]
fn without_a_data_directory_there_are_no_snapshots() {
    let server = running();
    let refused = server.call("POST", "/v1/snapshots", "", b"");
    is_problem(&refused, 409, "--data DIR");
    let kept = json!({"snapshots": [], "erasure_pending": false, "failures": 0, "last_failure": null});
    assert_eq!(server.get("/v1/snapshots").json(), kept);
    let packed = server.call("GET", "/v1/snapshots", "accept: application/msgpack\r\n", b"");
    assert_eq!(rmp_serde::from_slice::<Value>(&packed.body).unwrap(), kept);
    assert_eq!(server.call("POST", "/v1/snapshots?now=true", "", b"").status, 400);
    assert_eq!(
        server.call("DELETE", "/v1/snapshots", "", b"").header("allow"),
        Some("GET, POST, HEAD, OPTIONS")
    );
}

#[test]
fn clients_that_ask_for_a_snapshot_and_leave_do_no_harm() {
    let server = running();
    for _ in 0..50 {
        let mut socket = std::net::TcpStream::connect(server.address).unwrap();
        socket.write_all(b"POST /v1/snapshots HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    }
    // Too many at once are refused. Soon all places are free again.
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline && server.call("POST", "/v1/snapshots", "", b"").status == 503 {}
    is_problem(&server.call("POST", "/v1/snapshots", "", b""), 409, "--data DIR");
    assert!(server.get("/metrics").text().contains("usher_panics_total 0\n"));
}

#[test]
fn metrics_tell_how_durable_the_node_is() {
    let server = running();
    let text = server.get("/metrics").text().to_owned();
    for (name, kind) in [
        ("journal_segments", "gauge"),
        ("journal_bytes", "gauge"),
        ("durable_sequence", "gauge"),
        ("journal_syncs", "counter"),
        ("journal_sync_seconds", "counter"),
        ("journal_sync_longest_seconds", "gauge"),
        ("journal_failed", "gauge"),
        ("snapshot_sequence", "gauge"),
        ("snapshot_bytes", "gauge"),
        ("snapshot_failures", "counter"),
        ("erasure_pending", "gauge"),
        ("replayed_records", "gauge"),
        ("torn_bytes_cut", "gauge"),
    ] {
        let total = if kind == "counter" { "_total" } else { "" };
        for part in [format!("# TYPE usher_{name} {kind}\n"), format!("\nusher_{name}{total} 0")] {
            assert!(text.contains(&part), "{part:?} is not in {text}");
        }
    }
    assert!(!text.contains("usher_snapshot_age_seconds"), "there is no snapshot: {text}");
}

/// The parsers of the Prometheus project for both formats, from PyPI's `prometheus_client`. `USHER_PYTHON`
/// names a folder that has it (`pip install --target`); without it, or without `python3`, this is skipped.
#[test]
fn the_official_parser_reads_the_metrics() {
    let Some(packages) = std::env::var_os("USHER_PYTHON") else {
        println!("skipped: USHER_PYTHON does not name a folder with prometheus_client");
        return;
    };
    let python = |code: &str, input: &str| {
        let mut python = Command::new("python3");
        python.args(["-c", code]).env("PYTHONPATH", &packages).env("PYTHONDONTWRITEBYTECODE", "1");
        let child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.ok()?;
        child.stdin.take()?.write_all(input.as_bytes()).ok()?;
        child.wait_with_output().ok()
    };
    if python("import prometheus_client", "").is_none_or(|output| !output.status.success()) {
        println!("skipped: there is no python3 with prometheus_client");
        return;
    }
    let server = running();
    assert_eq!(server.json("POST", "/v1/decisions", DECISION).status, 200);
    assert_eq!(server.get("/v1/nothing").status, 404);
    let (early, _startup) = starting();
    let names = |parser: &str, text: &str| {
        let read = format!(
            "import sys\n\
             from prometheus_client.{parser} import text_string_to_metric_families as read\n\
             families = list(read(sys.stdin.read()))\n\
             assert all(family.documentation for family in families), families\n\
             print(*sorted(sample.name for family in families for sample in family.samples), sep='\\n')"
        );
        let output = python(&read, text).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    for server in [&server, &early] {
        server.get("/metrics"); // which has a line of its own from then on
        let open = names("openmetrics.parser", server.get("/metrics").text());
        let older = server.call("GET", "/metrics", "accept: */*\r\n", b"");
        assert!(open.len() > 20);
        assert_eq!(names("parser", older.text()), open);
    }
}
