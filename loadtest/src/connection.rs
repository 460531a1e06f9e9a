//! One keep-alive connection of HTTP/1.1: just enough for a server that sends `Content-Length`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::target::Target;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest answer that is read. Real ones have a few hundred bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
const READ_BYTES: usize = 8 * 1024;

/// An open connection that has one request under way, or none.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

/// One whole answer, in the connection's buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer<'b> {
    pub(crate) status: u16,
    pub(crate) body: &'b str,
}

/// Where an answer lies in the buffer, in bytes.
struct Frame {
    status: u16,
    body: usize,
    end: usize,
}

impl Connection {
    pub(crate) fn open(target: &Target) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&target.address, CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Connection { stream, buffer: vec![0; READ_BYTES], filled: 0 })
    }

    /// Sends a whole request. As only one is under way, the socket's buffer always has room. If it does not,
    /// the connection is broken.
    pub(crate) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.filled = 0;
        self.stream.write_all(request)
    }

    /// The answer, if all of it has arrived. Never waits.
    pub(crate) fn receive(&mut self) -> io::Result<Option<Answer<'_>>> {
        if self.filled == self.buffer.len() {
            if self.filled >= MAX_ANSWER_BYTES {
                return Err(broken("the answer is too long"));
            }
            self.buffer.resize(self.filled * 2, 0);
        }
        match self.stream.read(&mut self.buffer[self.filled..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => self.filled += count,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(None),
            Err(e) => return Err(e),
        }
        let Some(frame) = frame(&self.buffer[..self.filled])? else { return Ok(None) };
        if frame.end < self.filled {
            return Err(broken("more bytes came than one answer has"));
        }
        let body = std::str::from_utf8(&self.buffer[frame.body..frame.end]);
        let body = body.map_err(|_| broken("the answer is not UTF-8"))?;
        Ok(Some(Answer { status: frame.status, body }))
    }

    /// Sends a request of any size and waits for its answer: status and body.
    pub(crate) fn exchange(&mut self, request: &[u8], timeout: Duration) -> io::Result<(u16, String)> {
        let deadline = Instant::now() + timeout;
        self.stream.set_write_timeout(Some(timeout))?;
        self.stream.set_nonblocking(false)?;
        self.send(request)?;
        self.stream.set_nonblocking(true)?;
        loop {
            if let Some(answer) = self.receive()? {
                return Ok((answer.status, answer.body.to_owned()));
            }
            if Instant::now() > deadline {
                return Err(ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// A request with a body, as bytes to send.
pub(crate) fn request(target: &Target, line: &str, content_type: &str, body: &str) -> Vec<u8> {
    let (host, length) = (&target.authority, body.len());
    format!(
        "{line} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn frame(bytes: &[u8]) -> io::Result<Option<Frame>> {
    let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..head]).map_err(|_| broken("the answer's head is not UTF-8"))?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let status = status.ok_or_else(|| broken("the answer is not HTTP/1.1"))?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.ok_or_else(|| broken("the answer has no Content-Length"))?;
    let end = (head + 4).saturating_add(length);
    Ok((end <= bytes.len()).then_some(Frame { status, body: head + 4, end }))
}

fn broken(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_or_not_there_yet() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
        for end in 0..whole.len() {
            assert!(frame(&whole[..end]).unwrap().is_none(), "{end}");
        }
        let found = frame(whole).unwrap().unwrap();
        assert_eq!((found.status, &whole[found.body..found.end]), (200, &b"hello"[..]));
    }

    #[test]
    fn what_cannot_be_framed_is_an_error() {
        for bad in ["HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "?\r\n\r\n"] {
            assert!(frame(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
