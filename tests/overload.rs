//! More decisions are asked for than the server can answer. It refuses some, with a time to come again, and
//! answers the others. Health checks and writes go on.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use support::{running_with, settings};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use usher::http::Settings;

const HEALTH: &str = "GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n";
const WRITE: &str = "PUT /v1/customers/c HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
content-length: 10\r\n\r\n{\"age\": 4}";

/// A decision that costs the server much more than the client, for its page is long.
fn decision() -> String {
    let page = "%41".repeat(2_500);
    format!(
        "GET /v1/decisions?customer=c&channel=app&placement=home&context[page]={page} HTTP/1.1\r\n\
         host: localhost\r\nx-request-id: mine\r\n\r\n"
    )
}

/// How many requests were answered and refused.
#[derive(Default, Debug, PartialEq)]
struct Outcome {
    answered: usize,
    refused: usize,
}

/// Reads what has arrived, at least a byte.
async fn read(socket: &TcpStream, bytes: &mut Vec<u8>) {
    loop {
        socket.readable().await.unwrap();
        let mut piece = [0; 4096];
        match socket.try_read(&mut piece) {
            Ok(0) => panic!("the connection ended"),
            Ok(length) => return bytes.extend_from_slice(&piece[..length]),
            Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
        }
    }
}

/// Sends one request and reads the answer. Returns whether it is a success. Else it must be a refusal that
/// says when to come again, and for which request it is.
async fn ask(socket: &TcpStream, request: &str) -> bool {
    assert_eq!(socket.try_write(request.as_bytes()).unwrap(), request.len());
    let mut bytes = Vec::new();
    let end = loop {
        read(socket, &mut bytes).await;
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = std::str::from_utf8(&bytes[..end]).unwrap().to_owned();
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
    let length: usize = header("content-length: ").unwrap().parse().unwrap();
    while bytes.len() < end + length {
        read(socket, &mut bytes).await;
    }
    assert_eq!(bytes.len(), end + length, "one answer for one request");
    let good = head.starts_with("HTTP/1.1 2");
    if !good {
        let found = (&head[..12], header("retry-after: "), header("x-request-id: "));
        assert_eq!(found, ("HTTP/1.1 503", Some("1"), Some("mine")), "{head}");
    }
    good
}

/// Asks for one decision after the other until `end`.
async fn keep_asking(address: SocketAddr, end: Instant, decision: Rc<String>) -> Outcome {
    let socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let mut outcome = Outcome::default();
    while Instant::now() < end {
        match ask(&socket, &decision).await {
            true => outcome.answered += 1,
            false => outcome.refused += 1,
        }
    }
    outcome
}

/// Asks for decisions on this many connections, on each as fast as answers come, for that long. Now and then
/// `beside` is asked, which must succeed.
fn load(address: SocketAddr, connections: usize, length: Duration, beside: &'static str) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (end, decision) = (Instant::now() + length, Rc::new(decision()));
    LocalSet::new().block_on(&runtime, async {
        let tasks: Vec<_> = (0..connections)
            .map(|_| tokio::task::spawn_local(keep_asking(address, end, Rc::clone(&decision))))
            .collect();
        let other = TcpStream::connect(address).await.unwrap();
        while Instant::now() < end {
            assert!(ask(&other, beside).await, "{beside}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut all = Outcome::default();
        for task in tasks {
            let Outcome { answered, refused } = task.await.unwrap();
            all = Outcome { answered: all.answered + answered, refused: all.refused + refused };
        }
        all
    })
}

#[test]
fn an_overload_refuses_some_decisions_and_nothing_else() {
    let server = running_with(Settings { threads: 1, idle_timeout: Duration::from_secs(60), ..settings() });
    let few = load(server.address, 100, Duration::from_millis(1_000), HEALTH);
    assert_eq!(few.refused, 0, "a short queue");
    for beside in [HEALTH, WRITE] {
        // On a busy machine this server needs some time for the three waits that make an overload.
        let mut loads = (0..10).map(|_| load(server.address, 600, Duration::from_millis(2_000), beside));
        let many = loads.find(|many| many.refused > 100).expect("decisions are refused");
        assert!(many.answered > 100, "{many:?}");
    }
    let after = load(server.address, 1, Duration::from_millis(100), HEALTH);
    assert_eq!(after.refused, 0, "it is over");
}
