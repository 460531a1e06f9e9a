//! The requests: home banners for random customers, built beforehand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::client::answer;

/// The number of requests, a multiple of every depth of pipelines.
const POOL: usize = 65_536;
/// How many answers are checked before anything is measured.
const CHECKED: usize = 2_000;

pub(crate) struct Requests {
    bytes: Vec<u8>,
    /// Where each request begins, and where the last ends.
    starts: Vec<usize>,
    customers: Vec<String>,
}

impl Requests {
    pub(crate) fn new(customers: usize) -> Requests {
        let mut random = fastrand::Rng::with_seed(2026);
        let mut requests = Requests { bytes: Vec::new(), starts: vec![0], customers: Vec::new() };
        for _ in 0..POOL {
            let customer = format!("c-{:06}", random.usize(1..=customers));
            requests.bytes.extend(request(&customer));
            requests.starts.push(requests.bytes.len());
            requests.customers.push(customer);
        }
        requests
    }

    /// `count` requests in a row; `from` is a multiple of `count`.
    pub(crate) fn batch(&self, from: usize, count: usize) -> &[u8] {
        let from = from % POOL;
        &self.bytes[self.starts[from]..self.starts[from + count]]
    }

    /// Checks answers. Returns their mean length and the share of fallbacks in percent.
    pub(crate) fn check(&self, usher: SocketAddr) -> (usize, f64) {
        let mut stream = TcpStream::connect(usher).unwrap();
        let known = ask(&mut stream, &request("c-1001")).0;
        assert_eq!(known["placements"][0]["propositions"][0]["offer"], "steady_r2", "{known}");
        let (mut bytes, mut fallbacks) = (0, 0);
        for (index, customer) in self.customers.iter().enumerate().take(CHECKED) {
            let (answer, length) = ask(&mut stream, self.batch(index, 1));
            assert_eq!(answer["customer"], customer.as_str());
            assert_eq!(answer["known"], true, "{answer}");
            assert_eq!(answer["placements"][0]["propositions"].as_array().unwrap().len(), 1, "{answer}");
            bytes += length;
            fallbacks += usize::from(answer["placements"][0]["fallback"] == true);
        }
        (bytes / CHECKED, fallbacks as f64 * 100.0 / CHECKED as f64)
    }
}

fn request(customer: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"customer":"{customer}","channel":"app","placements":[{{"id":"home_banner"}}],"context":{{"page":"home"}},"locale":"zh-CN"}}"#
    );
    let length = body.len();
    format!(
        "POST /v1/decisions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn ask(stream: &mut TcpStream, request: &[u8]) -> (Value, usize) {
    stream.write_all(request).unwrap();
    let (mut buffer, mut filled) = (vec![0; 16 * 1024], 0);
    loop {
        let read = stream.read(&mut buffer[filled..]).unwrap();
        assert!(read > 0, "the server closed the connection");
        filled += read;
        if let Some((_, body)) = answer(&buffer[..filled]) {
            return (serde_json::from_slice(body).unwrap(), body.len());
        }
    }
}
