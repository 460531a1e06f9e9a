//! A closed loop: every connection has `depth` requests under way, and gets as many again when all are
//! answered.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::requests::Requests;

const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Enough for the answers of one pipeline.
const BUFFER_BYTES: usize = 64 * 1024;

pub(crate) struct Client {
    streams: Vec<TcpStream>,
    depth: usize,
    next: usize,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr, connections: usize, depth: usize) -> Client {
        let open = || {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
            stream
        };
        let streams = (0..connections).map(|_| open()).collect();
        Client { streams, depth, next: 0, buffer: vec![0; BUFFER_BYTES] }
    }

    /// Asks for `time`, then takes the answers still under way. Returns how many there were, and how long it
    /// took.
    pub(crate) fn ask(&mut self, requests: &Requests, time: Duration) -> (usize, Duration) {
        let started = Instant::now();
        for index in 0..self.streams.len() {
            self.send(index, requests);
        }
        let mut count = 0;
        while started.elapsed() < time {
            for index in 0..self.streams.len() {
                count += self.receive(index);
                self.send(index, requests);
            }
        }
        for index in 0..self.streams.len() {
            count += self.receive(index);
        }
        (count, started.elapsed())
    }

    fn send(&mut self, index: usize, requests: &Requests) {
        self.streams[index].write_all(requests.batch(self.next, self.depth)).unwrap();
        self.next += self.depth;
    }

    /// Reads the answers to one batch. Each must be a success.
    fn receive(&mut self, index: usize) -> usize {
        let (mut filled, mut done, mut answers) = (0, 0, 0);
        while answers < self.depth {
            let read = self.streams[index].read(&mut self.buffer[filled..]).unwrap();
            assert!(read > 0, "the server closed the connection, or its answers are too long");
            filled += read;
            while let Some((length, _)) = answer(&self.buffer[done..filled]) {
                done += length;
                answers += 1;
            }
        }
        assert!(answers == self.depth && done == filled, "more bytes came than were asked for");
        answers
    }
}

/// Length and body of the first answer in `bytes`; `None` if it is not whole yet.
pub(crate) fn answer(bytes: &[u8]) -> Option<(usize, &[u8])> {
    const LENGTH: &[u8] = b"content-length: ";
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    assert!(bytes.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(bytes));
    let label =
        bytes[..head].windows(LENGTH.len()).position(|window| window == LENGTH).unwrap() + LENGTH.len();
    let digits = bytes[label..head].iter().take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    let end = head + length;
    (end <= bytes.len()).then(|| (end, &bytes[head..end]))
}
