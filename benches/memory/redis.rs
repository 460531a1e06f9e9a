//! The same facts in Redis: one hash for each customer, with 16 features of six digits (96 bytes) and five
//! contacts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::CONTACTS;

const FEATURES: usize = 16;
const PIPELINE: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes of one of `count` customers, by Redis's own count; `None` where there is no Redis.
pub(crate) fn bytes_per_customer(count: usize) -> Option<f64> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    let _ended = Ended(process);
    let deadline = Instant::now() + PATIENCE;
    let socket = loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(socket) => break socket,
            Err(_) => assert!(Instant::now() < deadline, "redis-server does not listen"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut redis = BufReader::new(socket);
    let before = used(&mut redis);
    for first in (0..count).step_by(PIPELINE) {
        let customers = first..count.min(first + PIPELINE);
        let commands: Vec<u8> = customers.clone().flat_map(hset).collect();
        redis.get_mut().write_all(&commands).unwrap();
        for _ in customers {
            assert_eq!(line(&mut redis), format!(":{}\r\n", FEATURES + CONTACTS), "every field is new");
        }
    }
    Some((used(&mut redis) - before) as f64 / count as f64)
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn hset(number: usize) -> Vec<u8> {
    let mut words = vec!["HSET".to_owned(), format!("c-{number:014}")];
    for feature in 0..FEATURES {
        words.extend([format!("f{feature}"), format!("{:06}", (number + feature) % 1_000_000)]);
    }
    // Offer, place, outcome and second in one number, as in Usher: some 19 digits.
    for contact in 0..CONTACTS {
        words.extend([format!("k{contact}"), (4_611_686_018_427_387_904 + number + contact).to_string()]);
    }
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    words.iter().for_each(|word| bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes()));
    bytes
}

fn used(redis: &mut BufReader<TcpStream>) -> usize {
    redis.get_mut().write_all(b"*2\r\n$4\r\nINFO\r\n$6\r\nmemory\r\n").unwrap();
    let length: usize = line(redis).trim().trim_start_matches('$').parse().unwrap();
    let mut text = vec![0; length + 2];
    redis.read_exact(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    text.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim().parse().unwrap()
}

fn line(redis: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    redis.read_line(&mut line).unwrap();
    line
}
