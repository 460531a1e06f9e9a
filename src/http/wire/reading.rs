//! The bytes that a connection receives, as heads and bodies of requests.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

use super::buffers;
use super::buffers::BUFFER_BYTES;
use super::chunks::Chunks;
use super::framing::{Ambiguity, Framing};
use super::head::{Head, Unreadable};

/// The most bytes of a body that are passed over, when nobody wants it, so that its connection can go on.
const MAX_PASSED_BYTES: u64 = 64 * 1024;

/// The receiving side of a connection.
pub(crate) struct Reading {
    socket: OwnedReadHalf,
    /// What has arrived and was not taken yet is from `from` to `to`. Between requests there is no buffer.
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    /// What is left of the body of the last request.
    left: Left,
}

/// What is left of a body.
enum Left {
    /// So many bytes. It has come to its end if these are none.
    Bytes(u64),
    Chunks(Chunks),
    /// Nobody knows where it ends.
    Unknown,
}

/// Why a body cannot be read to its end.
#[derive(Debug)]
pub(crate) enum Broken {
    Ambiguous(Ambiguity),
    /// The client has closed the connection, or its side of it.
    Ended,
    Io(io::Error),
}

impl Reading {
    pub(crate) fn new(socket: OwnedReadHalf) -> Reading {
        Reading { socket, buffer: Vec::new(), from: 0, to: 0, left: Left::Bytes(0) }
    }

    /// Takes the next head, if all of it has arrived. What is left of the body before it is passed over.
    ///
    /// # Errors
    /// Those of [`Head::read`].
    pub(crate) fn take_head(&mut self) -> Result<Option<Head>, Unreadable> {
        if !self.pass_body() || !self.has_bytes() {
            return Ok(None);
        }
        match Head::read(self.arrived()) {
            Ok(Some((mut head, length))) => {
                self.from += length;
                if head.framing == Ok(Framing::Chunks)
                    && let Some(fault) = Chunks::fault(self.arrived())
                {
                    head.framing = Err(fault); // said at once, whoever wants the body
                    head.keeps_alive = false;
                }
                self.left = match head.framing {
                    Ok(Framing::Length(length)) => Left::Bytes(length),
                    Ok(Framing::Chunks) => Left::Chunks(Chunks::default()),
                    Err(_) => Left::Unknown,
                };
                self.settle();
                Ok(Some(head))
            }
            Ok(None) => Ok(None),
            Err(why) => {
                self.left = Left::Unknown;
                Err(why)
            }
        }
    }

    /// Whether bytes have arrived that were not taken yet.
    pub(crate) fn has_bytes(&self) -> bool {
        self.from < self.to
    }

    /// Whether all of the last request has arrived, and nothing behind it.
    pub(crate) fn has_one_whole_request(&self) -> bool {
        matches!(self.left, Left::Bytes(left) if left == (self.to - self.from) as u64)
    }

    fn arrived(&self) -> &[u8] {
        &self.buffer[self.from..self.to]
    }

    /// Waits for more bytes, and says how many have come: none if the client has closed its side.
    pub(crate) fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.make_room();
        let mut room = ReadBuf::new(&mut self.buffer[self.to..]);
        match Pin::new(&mut self.socket).poll_read(cx, &mut room) {
            Poll::Ready(read) => {
                let count = room.filled().len();
                self.to += count;
                Poll::Ready(read.map(|()| count))
            }
            Poll::Pending => {
                self.give_room();
                Poll::Pending
            }
        }
    }

    /// Sees to it that there is a whole buffer, with room behind what is in it.
    fn make_room(&mut self) {
        if self.buffer.len() < BUFFER_BYTES {
            let mut buffer = buffers::to_read();
            let arrived = self.arrived();
            let length = arrived.len();
            buffer[..length].copy_from_slice(arrived);
            (self.buffer, self.from, self.to) = (buffer, 0, length);
        } else if !self.has_bytes() {
            (self.from, self.to) = (0, 0);
        } else if self.to == self.buffer.len() {
            self.buffer.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
    }

    /// Gives the buffer back once all in it was taken, for a handler may wait for long.
    fn settle(&mut self) {
        if !self.has_bytes() {
            self.give_room();
        }
    }

    /// Keeps only what has arrived, while the connection waits.
    fn give_room(&mut self) {
        let rest = self.arrived().to_vec(); // nearly always nothing
        (self.from, self.to) = (0, rest.len());
        buffers::was_read(std::mem::replace(&mut self.buffer, rest));
    }

    /// Whether the body of the last request was taken to its end.
    pub(crate) fn is_between(&self) -> bool {
        matches!(self.left, Left::Bytes(0))
    }

    /// Passes over what has arrived of the body. Returns whether that is all of it.
    pub(crate) fn pass_body(&mut self) -> bool {
        while !self.is_between() && self.has_bytes() {
            if self.take_content(|_| ()).is_err() {
                break;
            }
        }
        self.is_between()
    }

    /// Whether so little of the body is left that it may be passed over once it arrives.
    pub(crate) fn ends_soon(&self) -> bool {
        matches!(self.left, Left::Bytes(left) if left <= MAX_PASSED_BYTES)
    }

    /// Takes content that has arrived, at most up to the end of a chunk. Returns how much it is.
    fn take_content(&mut self, mut take: impl FnMut(&[u8])) -> Result<usize, Broken> {
        let arrived = &self.buffer[self.from..self.to];
        let (passed, content) = match &mut self.left {
            Left::Bytes(left) => {
                let content = (*left).min(arrived.len() as u64);
                *left -= content;
                (0, content as usize)
            }
            Left::Chunks(chunks) => match chunks.step(arrived) {
                Ok(step) => (step.passed, step.content),
                Err(fault) => {
                    self.left = Left::Unknown;
                    return Err(Broken::Ambiguous(fault));
                }
            },
            Left::Unknown => return Err(Broken::Ended),
        };
        take(&arrived[passed..passed + content]);
        self.from += passed + content;
        self.settle();
        if matches!(&self.left, Left::Chunks(chunks) if chunks.is_over()) {
            self.left = Left::Bytes(0);
        }
        Ok(content)
    }

    /// Reads and drops what still arrives, however it is framed. Returns how much it was.
    pub(crate) fn poll_waste(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.from = self.to;
        self.poll_more(cx)
    }

    /// The socket, to ask the system about.
    pub(crate) fn socket(&self) -> &tokio::net::TcpStream {
        self.socket.as_ref()
    }
}

/// The body of one request, read as it arrives.
pub(crate) struct Body<'c> {
    reading: &'c mut Reading,
    /// Set when the client is to be told to go on.
    go_on: Option<&'c AtomicBool>,
}

impl<'c> Body<'c> {
    /// The body of the request whose head was taken last. If the client waits with it to be told to go on,
    /// `go_on` is set once somebody wants the body.
    pub(crate) fn new(reading: &'c mut Reading, go_on: Option<&'c AtomicBool>) -> Body<'c> {
        Body { reading, go_on }
    }

    /// Whether nothing is left of it.
    pub(crate) fn is_over(&self) -> bool {
        self.reading.is_between()
    }

    /// How many bytes are left, if the head said so.
    pub(crate) fn length(&self) -> Option<u64> {
        match self.reading.left {
            Left::Bytes(left) => Some(left),
            _ => None,
        }
    }

    /// All of it, if the head said how much it is, and all of that has arrived.
    pub(crate) fn whole(&mut self) -> Option<Bytes> {
        let Left::Bytes(left) = self.reading.left else { return None };
        let content = self.reading.arrived().get(..left as usize).map(Bytes::copy_from_slice)?;
        self.reading.from += content.len();
        self.reading.left = Left::Bytes(0);
        self.reading.settle();
        Some(content)
    }

    /// Appends what comes next. Returns how many bytes that are: none at the end.
    ///
    /// # Errors
    /// Why there will be no more of it.
    pub(crate) fn poll_into(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut impl BufMut,
    ) -> Poll<Result<usize, Broken>> {
        while !self.is_over() {
            if matches!(self.reading.left, Left::Unknown) {
                return Poll::Ready(Err(Broken::Ended));
            }
            if self.reading.has_bytes() {
                match self.reading.take_content(|content| to.put_slice(content)) {
                    Ok(0) => continue,
                    taken => return Poll::Ready(taken),
                }
            }
            match self.reading.poll_more(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.broken(Broken::Ended))),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(e)) => return Poll::Ready(Err(self.broken(Broken::Io(e)))),
                Poll::Pending => {
                    if let Some(go_on) = self.go_on.take() {
                        go_on.store(true, Ordering::Relaxed);
                    }
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(0))
    }

    fn broken(&mut self, why: Broken) -> Broken {
        self.reading.left = Left::Unknown;
        why
    }
}
