//! What a running server logs: a line for each change of rules and schema and each erasure, an access log on
//! request, and never a customer's id.
#![allow(clippy::unwrap_used)]

mod cli_support;
mod durable_support;

use std::io::{Read, Write};
use std::net::TcpStream;

use cli_support::*;
use durable_support::Process;
use serde_json::Value;

/// The log lines of a server with this filter, to which `asks` speaks at its address.
fn logged(filter: &str, asks: impl Fn(&str)) -> Vec<Value> {
    let bundle = bundle();
    let data = tempfile::tempdir().unwrap();
    let mut command = program(&["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--models"]);
    command.arg(bundle.path()).arg("--data").arg(data.path().join("data")).env("USHER_LOG", filter);
    let server = Process::spawn(command);
    server.wait_until_ready();
    asks(&server.url());
    let text = server.killed();
    assert!(!text.contains("c-secret"), "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Sends a request without a body, and waits for the whole answer.
fn send(url: &str, method: &str, path: &str) {
    send_with(url, method, path, "\r\n");
}

/// Sends a request with this end of its head, and a body.
fn send_with(url: &str, method: &str, path: &str, rest: &str) {
    let address = url.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).unwrap();
    write!(socket, "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{rest}").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
}

/// The fields of the lines with this message.
fn lines<'l>(log: &'l [Value], message: &str) -> Vec<&'l Value> {
    let fields = log.iter().map(|line| &line["fields"]);
    fields.filter(|fields| fields["message"] == message).collect()
}

#[test]
fn every_change_has_a_line_without_customer_data() {
    let bundle = bundle();
    let wealth = write(bundle.path(), "w.yaml", WEALTH.replace("500000", "700000"));
    let log = logged("info", |url| {
        let ask = |arguments: &[&str]| run(&[arguments, &["--server", url]].concat()).ended(0);
        ask(&["push", wealth.to_str().unwrap()]);
        ask(&["rollback", "a_wealth"]);
        let customers = write(bundle.path(), "c.csv", "customer,aum\nc-secret,1\n");
        ask(&["load", customers.to_str().unwrap()]);
        ask(&["decide", "c-secret", "home_banner"]);
        send(url, "DELETE", "/v1/customers/c-secret");
        send(url, "POST", "/v1/rule-sets/a_wealth/versions/2/activate");
        send(url, "DELETE", "/v1/rule-sets/a_wealth");
    });
    let schema = lines(&log, "the schema was changed");
    assert!(schema.len() == 1 && schema[0]["features"].is_u64(), "{log:?}");
    let published = lines(&log, "a rule set was published");
    let last = published.last().unwrap();
    assert_eq!(
        (&last["rule_set"], &last["version"], &last["active"]),
        (&"a_wealth".into(), &2.into(), &true.into())
    );
    for (message, field, value) in [
        ("a rule set was rolled back", "version", Value::from(1)),
        ("a version of a rule set was activated", "version", 2.into()),
        ("a rule set was retired", "rule_set", "a_wealth".into()),
        ("customers were erased", "customers", 1.into()),
    ] {
        let found = lines(&log, message);
        assert!(
            found.len() == 1 && found[0][field] == value && found[0]["sequence"].is_u64(),
            "{message}: {log:?}"
        );
    }
    assert_eq!(lines(&log, "keys of proposition tokens, by their ids").len(), 1, "{log:?}");
    assert!(lines(&log, "answered").is_empty(), "the access log is off");
}

#[test]
fn the_access_log_names_routes_and_no_customers() {
    let log = logged("warn,usher::access=debug", |url| {
        send(url, "GET", "/v1/customers/c-secret");
        send(url, "GET", "/v1/decisions?customer=c-secret&channel=app&placement=home_banner");
        send(url, "GET", "/v1/c-secret");
        send(url, "SECRET", "/v1/customers/c-secret");
        send(url, "GET c-secret", "/v1");
        let lines = "content-type: application/x-ndjson\r\ncontent-length: 2\r\n\r\n{}";
        send_with(url, "POST", "/v1/decisions/batch", lines);
    });
    let seen: Vec<String> = lines(&log, "answered")
        .iter()
        .map(|line| {
            // Nobody knows the length of an answer that is made while it is sent.
            let is_streamed = line["route"] == "/v1/decisions/batch";
            assert!(line["bytes"].is_u64() != is_streamed && line["took_us"].is_u64(), "{line}");
            format!(
                "{} {} {}",
                line["method"].as_str().unwrap(),
                line["route"].as_str().unwrap(),
                line["status"]
            )
        })
        .collect();
    for expected in [
        "GET /v1/customers/{id} 404",
        "GET /v1/decisions 200",
        "GET unknown 404",
        "other /v1/customers/{id} 405",
        "other unknown 400",
        "POST /v1/decisions/batch 200",
    ] {
        assert!(seen.contains(&expected.to_owned()), "{expected}: {seen:?}");
    }
    assert!(lines(&log, "a rule set was published").is_empty());
}
