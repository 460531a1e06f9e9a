//! A socket with three things that hyper lacks. Answers to pipelined requests leave in one write. A head that
//! has begun must end in time. A client that does not read its answers is given up.
//!
//! hyper's `pipeline_flush` will not do. It holds back all answers while its read buffer holds any part of a
//! further request, without a bound. A client that always sends one half of a request too many would never
//! get an answer, and could grow the buffer at will. Here answers are held back only until hyper reads again
//! or waits for the handler, or until [`HELD_BYTES`] are held.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::http::settings::Settings;

/// The most bytes of answers that are held back.
const HELD_BYTES: usize = 32 * 1024;
/// How long a refused body is read and dropped, so that the client sees the answer and not a reset
/// connection.
const LINGER: Duration = Duration::from_secs(1);
/// The most bytes of a refused body that are read and dropped.
const LINGER_BYTES: usize = 1024 * 1024;

/// What the handler of requests tells the stream.
#[derive(Default)]
pub(crate) struct Pulse {
    /// The number of request heads read so far.
    pub(crate) heads: AtomicU32,
    /// Whether a request is being handled.
    pub(crate) busy: AtomicBool,
    /// Whether the last request was refused, so that its body may still arrive: linger on closing.
    pub(crate) refused: AtomicBool,
}

/// The socket of one connection.
pub(crate) struct Stream {
    socket: TcpStream,
    pulse: Arc<Pulse>,
    held: Vec<u8>,
    written: usize,
    head_timeout: Duration,
    write_timeout: Duration,
    /// Set while a head has begun: the number of heads before it.
    begun: Option<u32>,
    head: Deadline,
    write: Deadline,
    linger: Linger,
}

/// A timer that costs nothing until something must wait.
#[derive(Default)]
struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    /// Starts on the first call. Ready once `after` has passed since then.
    fn poll(&mut self, after: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + after)));
        sleep.as_mut().poll(cx)
    }
    fn clear(&mut self) {
        self.0 = None;
    }
}

#[derive(Default)]
struct Linger {
    shut: bool,
    bytes: usize,
    deadline: Deadline,
}

impl Stream {
    pub(crate) fn new(socket: TcpStream, pulse: Arc<Pulse>, settings: &Settings) -> Stream {
        Stream {
            socket,
            pulse,
            held: Vec::new(),
            written: 0,
            head_timeout: settings.head_timeout,
            write_timeout: settings.write_timeout,
            begun: None,
            head: Deadline::default(),
            write: Deadline::default(),
            linger: Linger::default(),
        }
    }

    /// Writes the held bytes. Fails if the client takes nothing for `write_timeout`.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.held.len() {
            match Pin::new(&mut self.socket).poll_write(cx, &self.held[self.written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => {
                    self.written += n;
                    self.write.clear();
                }
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => return self.poll_stalled(cx),
            }
        }
        self.held.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_stalled<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.write.poll(self.write_timeout, cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answers")))
    }

    /// Called when there is nothing to read. A head that has begun must be complete by its deadline.
    fn poll_head_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.begun != Some(self.pulse.heads.load(Ordering::Relaxed)) {
            self.begun = None;
            self.head.clear();
            return Poll::Pending;
        }
        ready!(self.head.poll(self.head_timeout, cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the head took too long")))
    }

    /// Reads and drops what the client still sends.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut waste = [0; 16 * 1024];
        while self.linger.bytes < LINGER_BYTES {
            let mut waste = ReadBuf::new(&mut waste);
            match Pin::new(&mut self.socket).poll_read(cx, &mut waste) {
                Poll::Ready(Ok(())) if !waste.filled().is_empty() => {
                    self.linger.bytes += waste.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.linger.deadline.poll(LINGER, cx),
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        ready!(stream.poll_held(cx))?;
        let before = buffer.filled().len();
        match Pin::new(&mut stream.socket).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                if buffer.filled().len() > before && !stream.pulse.busy.load(Ordering::Relaxed) {
                    let heads = stream.pulse.heads.load(Ordering::Relaxed);
                    if stream.begun != Some(heads) {
                        stream.begun = Some(heads);
                        stream.head.clear();
                    }
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Pending => stream.poll_head_deadline(cx),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        if stream.held.len() + length > HELD_BYTES {
            ready!(stream.poll_held(cx))?;
        }
        if length <= HELD_BYTES {
            for slice in slices {
                stream.held.extend_from_slice(slice);
            }
            return Poll::Ready(Ok(length));
        }
        // Too much to hold, and nothing is held now: write to the socket.
        match Pin::new(&mut stream.socket).poll_write_vectored(cx, slices) {
            Poll::Ready(result) => {
                stream.write.clear();
                Poll::Ready(result)
            }
            Poll::Pending => stream.poll_stalled(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper flushes after every answer. The bytes must leave only if hyper then waits for a handler. If it
    /// reads instead, [`poll_read`](AsyncRead::poll_read) writes them.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if stream.pulse.busy.load(Ordering::Relaxed) { stream.poll_held(cx) } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        ready!(stream.poll_held(cx))?;
        if !stream.linger.shut {
            ready!(Pin::new(&mut stream.socket).poll_shutdown(cx))?;
            stream.linger.shut = true;
        }
        if stream.pulse.refused.load(Ordering::Relaxed) {
            ready!(stream.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}
