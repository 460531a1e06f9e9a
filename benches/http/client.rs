//! A closed loop: every connection has `depth` requests under way, and gets as many again when all are
//! answered.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::requests::Requests;
use crate::served::answer;

const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Enough for the answers of one pipeline.
const BUFFER_BYTES: usize = 64 * 1024;

pub(crate) struct Client {
    /// The connections, each with the number of its first request under way.
    streams: Vec<(TcpStream, usize)>,
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
            (stream, 0)
        };
        let streams = (0..connections).map(|_| open()).collect();
        Client { streams, depth, next: 0, buffer: vec![0; BUFFER_BYTES] }
    }

    /// Asks for `time`, then takes the answers still under way. `is_right` says of each answer whether it is
    /// right, given the number of its request. Returns how many there were, and how long it took.
    pub(crate) fn ask(
        &mut self,
        requests: &Requests,
        time: Duration,
        is_right: impl Fn(usize, &[u8]) -> bool,
    ) -> (usize, Duration) {
        let started = Instant::now();
        for index in 0..self.streams.len() {
            self.send(index, requests);
        }
        let mut count = 0;
        while started.elapsed() < time {
            for index in 0..self.streams.len() {
                count += self.receive(index, &is_right);
                self.send(index, requests);
            }
        }
        for index in 0..self.streams.len() {
            count += self.receive(index, &is_right);
        }
        (count, started.elapsed())
    }

    fn send(&mut self, index: usize, requests: &Requests) {
        let (stream, first) = &mut self.streams[index];
        stream.write_all(requests.batch(self.next, self.depth)).unwrap();
        *first = self.next;
        self.next += self.depth;
    }

    /// Reads the answers to one batch. Each must be right.
    fn receive(&mut self, index: usize, is_right: impl Fn(usize, &[u8]) -> bool) -> usize {
        let (stream, first) = &mut self.streams[index];
        let (mut filled, mut done, mut answers) = (0, 0, 0);
        while answers < self.depth {
            let read = stream.read(&mut self.buffer[filled..]).unwrap();
            assert!(read > 0, "the server closed the connection, or its answers are too long");
            filled += read;
            while let Some((length, body)) = answer::first(&self.buffer[done..filled]) {
                assert!(is_right(*first + answers, body), "{}", String::from_utf8_lossy(body));
                done += length;
                answers += 1;
            }
        }
        assert!(answers == self.depth && done == filled, "more bytes came than were asked for");
        answers
    }
}
