//! A server on a free port, and a client that sends exactly the bytes that it is given.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use usher::http;
use usher::http::{Server, Settings};
use usher::node::Node;
use usher::node::define::Define;
use usher::node::startup::Startup;

pub const SCHEMA: &str = "\
schema: test
channels: [app, chatbot]
features:
  age: {kind: int, min: 0, max: 120}
  aum: {kind: decimal, scale: 2, min: 0, max: 1000000000}
  tier: {kind: enum, values: [mass, gold, private], ordered: true}
  interests: {kind: set, values: [funds, gold]}
  since: {kind: time}
context:
  page: {kind: string}
  amount: {kind: float}
";

pub const RULES: &str = "\
rule_set: wealth
placements:
  home: {channels: [app], count: 2, fallback: brand}
  chat: {channels: [chatbot], count: 1}
offers:
  steady:
    placements: [home, chat]
    when: age >= 18 && aum >= 500000
    treatments:
      - {id: card, placement: home, content: {title: \"Q\\\"\\u0001 稳健 😀\"}}
      - {id: talk, placement: chat, content: {text: steady}}
  brand:
    placements: [home]
    treatments:
      - {id: plain, placement: home, content: {title: brand}}
";

pub struct Running {
    pub node: Arc<Node>,
    pub server: Option<Server>,
    pub address: SocketAddr,
}

/// Settings with short times, so that tests of them are short.
pub fn settings() -> Settings {
    Settings {
        threads: 2,
        head_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(1500),
        body_timeout: Duration::from_millis(500),
        write_timeout: Duration::from_millis(500),
        drain_timeout: Duration::from_secs(2),
        ..Settings::default()
    }
}

/// A server with the schema and rule set above.
pub fn running() -> Running {
    running_with(settings())
}

pub fn running_with(settings: Settings) -> Running {
    let node = node();
    let startup = Startup::done(Arc::clone(&node));
    let server = http::serve("127.0.0.1:0".parse().unwrap(), startup, settings).unwrap();
    Running { node, address: server.address(), server: Some(server) }
}

/// A server whose node is not open yet, and the handle that takes the node.
pub fn starting() -> (Running, Arc<Startup>) {
    let startup = Startup::new();
    let server = http::serve("127.0.0.1:0".parse().unwrap(), Arc::clone(&startup), settings()).unwrap();
    (Running { node: node(), address: server.address(), server: Some(server) }, startup)
}

fn node() -> Arc<Node> {
    let node = Node::start().unwrap();
    block_on(node.define(Define::Schema { text: SCHEMA.into(), rename: false, if_text: None })).unwrap();
    let text = RULES.to_owned();
    block_on(node.define(Define::Publish { name: "wealth".into(), text, activate: true, if_active: None }))
        .unwrap_or_else(|e| panic!("{e:?}"));
    node
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}

/// One connection of a client.
pub struct Client {
    socket: TcpStream,
    pending: Vec<u8>,
}

impl Running {
    pub fn client(&self) -> Client {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket.set_nodelay(true).unwrap();
        Client { socket, pending: Vec::new() }
    }

    /// A client with an address of its own on loopback.
    pub fn client_from(&self, address: &str) -> Client {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let from: SocketAddr = format!("{address}:0").parse().unwrap();
        socket.bind(&from.into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
        let socket: TcpStream = socket.into();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Client { socket, pending: Vec::new() }
    }

    /// One request on a new connection. A body whose type is not among the headers is YAML.
    pub fn call(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
        let mut client = self.client();
        let typed = body.is_empty() || headers.to_ascii_lowercase().contains("content-type:");
        let yaml = if typed { "" } else { "content-type: application/yaml\r\n" };
        client.request(method, path, &format!("{headers}{yaml}"), body);
        client.reply_to(method)
    }

    pub fn json(&self, method: &str, path: &str, body: &str) -> Reply {
        self.call(method, path, "content-type: application/json\r\n", body.as_bytes())
    }

    pub fn get(&self, path: &str) -> Reply {
        self.call("GET", path, "", b"")
    }
}

impl Client {
    pub fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// As [`send`](Client::send), but the server may have hung up already: then false.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    pub fn request(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) {
        let length =
            if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let mut bytes =
            format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}{length}\r\n").into_bytes();
        bytes.extend_from_slice(body);
        self.send(&bytes);
    }

    pub fn reply(&mut self) -> Reply {
        self.reply_to("GET")
    }

    pub fn reply_to(&mut self, method: &str) -> Reply {
        self.try_reply(method).expect("the connection was closed without an answer")
    }

    /// The next answer, or `None` if the connection ends first.
    pub fn try_reply(&mut self, method: &str) -> Option<Reply> {
        let end = loop {
            if let Some(end) = self.pending.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            self.more()?;
        };
        let head = String::from_utf8(self.pending.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut reply = Reply { status, head, body: Vec::new() };
        let length: usize = reply.header("content-length").map_or(0, |text| text.parse().unwrap());
        let length = if method == "HEAD" { 0 } else { length };
        while self.pending.len() < length {
            self.more()?;
        }
        reply.body = self.pending.drain(..length).collect();
        Some(reply)
    }

    /// Reads up to `most` bytes and drops them. `None` once the connection has ended.
    pub fn take(&mut self, most: usize) -> Option<usize> {
        self.read(&mut vec![0; most])
    }

    fn more(&mut self) -> Option<()> {
        let mut bytes = [0; 16 * 1024];
        let length = self.read(&mut bytes)?;
        self.pending.extend_from_slice(&bytes[..length]);
        Some(())
    }

    fn read(&mut self, bytes: &mut [u8]) -> Option<usize> {
        match self.socket.read(bytes) {
            Ok(0) => None,
            Ok(length) => Some(length),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(e) => panic!("waited too long: {e}"),
        }
    }

    /// Whether the server closes the connection without sending another byte.
    pub fn closed(&mut self) -> bool {
        self.pending.is_empty() && self.more().is_none()
    }
}
