//! The real program is asked to stop while clients keep it busy. What has arrived is answered, clients are
//! told that their connections end, and nobody is cut off.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;
mod durable_support;
#[path = "../src/testing.rs"]
mod testing;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use durable_support::{Home, Process};
use rustix::process::Signal;
use testing::rounds;

const DECISION: &str =
    "GET /v1/decisions?customer=c&placement=home_banner&channel=app HTTP/1.1\r\nhost: localhost\r\n\r\n";

fn write(body: &str) -> String {
    format!(
        "PUT /v1/customers/c HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A connection that counts what becomes of its requests.
struct Caller {
    socket: BufReader<TcpStream>,
    /// Whether an answer said that the connection ends.
    told: bool,
}

impl Caller {
    fn connect(address: SocketAddr) -> Option<Caller> {
        let socket = TcpStream::connect(address).ok()?;
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Some(Caller { socket: BufReader::new(socket), told: false })
    }

    fn send(&mut self, bytes: &str) -> bool {
        self.socket.get_mut().write_all(bytes.as_bytes()).is_ok()
    }

    /// The status of the next answer; `None` if the connection ends first.
    fn answer(&mut self) -> Option<u16> {
        let (mut length, mut status, mut line) = (0, None, String::new());
        loop {
            line.clear();
            if self.socket.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let text = line.trim_end().to_ascii_lowercase();
            if text.is_empty() {
                break;
            }
            if status.is_none() {
                status = text.split(' ').nth(1)?.parse().ok();
            }
            self.told |= text == "connection: close";
            if let Some(value) = text.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
        }
        self.socket.read_exact(&mut vec![0; length]).ok()?;
        status
    }
}

#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    unanswered: AtomicU64,
    /// Connections that ended although no answer had said so.
    cut: AtomicU64,
}

/// Sends `burst` requests at once, again and again, until nobody listens any more.
fn keep_busy(address: SocketAddr, requests: &str, burst: u64, counts: &Counts) {
    while let Some(mut caller) = Caller::connect(address) {
        while !caller.told {
            if !caller.send(requests) {
                counts.cut.fetch_add(1, Ordering::Relaxed);
                break; // it never got there
            }
            let answers = (0..burst).map_while(|_| caller.answer()).count() as u64;
            counts.answered.fetch_add(answers, Ordering::Relaxed);
            counts.unanswered.fetch_add(burst - answers, Ordering::Relaxed);
            if answers < burst {
                counts.cut.fetch_add(1, Ordering::Relaxed);
                break;
            }
        }
    }
}

fn stop(process: Process, after: Duration) {
    std::thread::sleep(after);
    process.terminate();
}

#[test]
fn what_has_arrived_is_answered_over_many_stops_under_load() {
    let (stops, least) = rounds((4, 400), (50, 100_000));
    let counts = Counts::default();
    let put = write(r#"{"version": 1, "twin": 1}"#);
    let kinds = [(DECISION.to_owned(), 1), (put.clone(), 1), (DECISION.repeat(20), 20), (put.repeat(5), 5)];
    let mut stopped = 0;
    while stopped < stops || counts.answered.load(Ordering::Relaxed) < least {
        let home = Home::new();
        let process =
            home.start(&["--sync", "never", "--stop-notice", if stopped % 2 == 0 { "0" } else { "1" }]);
        let (address, counts) = (process.address, &counts);
        std::thread::scope(|scope| {
            for (requests, burst) in kinds.iter().cycle().take(16) {
                scope.spawn(move || keep_busy(address, requests, *burst, counts));
            }
            stop(process, Duration::from_millis(300 + 7 * stopped));
        });
        stopped += 1;
    }
    let found =
        [&counts.answered, &counts.unanswered, &counts.cut].map(|count| count.load(Ordering::Relaxed));
    println!("{stopped} stops: {} answered, {} unanswered, {} connections cut", found[0], found[1], found[2]);
    assert_eq!((found[1], found[2]), (0, 0));
}

#[test]
fn from_the_notice_on_answers_say_that_the_connection_ends() {
    let home = Home::new();
    let mut process = home.start(&["--stop-notice", "2"]);
    let mut idle = Caller::connect(process.address).unwrap();
    let mut kept = Caller::connect(process.address).unwrap();
    for caller in [&mut idle, &mut kept] {
        assert!(caller.send(DECISION));
        assert_eq!((caller.answer(), caller.told), (Some(200), false));
    }
    process.signal(Signal::TERM);
    let begun = Instant::now();
    std::thread::sleep(Duration::from_millis(200));
    assert!(kept.send(DECISION));
    assert_eq!((kept.answer(), kept.told), (Some(200), true));
    assert_eq!(kept.answer(), None, "and then it ends");
    let mut new = Caller::connect(process.address).unwrap();
    assert!(
        new.send(&DECISION.replace("/v1/decisions?customer=c&placement=home_banner&channel=app", "/readyz"))
    );
    assert_eq!((new.answer(), new.told), (Some(503), true), "connections are taken until the notice is over");
    // Ten requests at once: all are answered, and the last is told.
    let mut many = Caller::connect(process.address).unwrap();
    assert!(many.send(&DECISION.repeat(10)));
    let answers: Vec<_> = (0..10).map(|_| (many.answer(), many.told)).collect();
    assert!(answers[..9].iter().all(|answer| *answer == (Some(200), false)), "{answers:?}");
    assert_eq!(answers[9], (Some(200), true));
    assert_eq!(idle.answer(), None, "an idle connection ends after the notice");
    assert!(begun.elapsed() >= Duration::from_secs(2));
    process.ends_well();
}

#[test]
fn requests_that_are_sent_while_the_server_begins_to_stop_are_answered() {
    for round in 0..rounds(3, 20) {
        let home = Home::new();
        let mut process = home.start(&[]);
        let mut kept: Vec<_> = (0..20).map(|_| Caller::connect(process.address).unwrap()).collect();
        for caller in &mut kept[..10] {
            assert!(caller.send(DECISION));
            assert_eq!(caller.answer(), Some(200));
        }
        std::thread::sleep(Duration::from_millis(50));
        if round % 2 == 0 {
            process.signal(Signal::TERM);
        }
        for caller in &mut kept {
            assert!(caller.send(DECISION));
        }
        if round % 2 == 1 {
            process.signal(Signal::TERM);
        }
        for caller in &mut kept {
            assert_eq!(caller.answer(), Some(200), "{}", process.said());
        }
        process.ends_well();
    }
}
