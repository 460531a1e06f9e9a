//! The bytes that a connection sends. A client that takes them too slowly is given up.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::io::AsyncWrite;
use tokio::net::tcp::OwnedWriteHalf;

use super::pace::Pace;
use crate::http::wire::buffers;

/// The most bytes of answers that wait for those behind them, to leave in one write.
const HELD_BYTES: usize = 32 * 1024;

/// The sending side of a connection.
pub(super) struct Writing {
    socket: OwnedWriteHalf,
    /// What was not sent yet begins at `sent`. Without anything to send there is no buffer.
    held: Vec<u8>,
    sent: usize,
    /// Large content behind what is held, which is not copied.
    large: Bytes,
    pace: Pace,
    /// For how long a client may take nothing.
    patience: Duration,
}

impl Writing {
    pub(super) fn new(socket: OwnedWriteHalf, patience: Duration) -> Writing {
        let (held, large) = (Vec::new(), Bytes::new());
        Writing { socket, held, sent: 0, large, pace: Pace::default(), patience }
    }

    /// Where to write what is to be sent next.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        if self.held.capacity() == 0 {
            self.held = buffers::to_write();
        }
        &mut self.held
    }

    /// Takes content behind what is held.
    pub(super) fn put(&mut self, content: Bytes) {
        if content.len() > HELD_BYTES {
            self.large = content;
        } else {
            self.out().extend_from_slice(&content);
        }
    }

    /// Whether more can wait to be sent.
    pub(super) fn has_room(&self) -> bool {
        self.held.len() < HELD_BYTES && self.large.is_empty()
    }

    /// Sends everything.
    ///
    /// # Errors
    /// The connection is broken, or the client takes its answers too slowly.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.held.len() || !self.large.is_empty() {
            let held = &self.held[self.sent..];
            let socket = Pin::new(&mut self.socket);
            let written = if self.large.is_empty() {
                socket.poll_write(cx, held)
            } else {
                socket.poll_write_vectored(cx, &[io::IoSlice::new(held), io::IoSlice::new(&self.large)])
            };
            match written {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    let of_held = count.min(held.len());
                    self.sent += of_held;
                    self.large.advance(count - of_held);
                    self.pace.took(count);
                }
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => {
                    self.give_room();
                    return self.poll_stalled(cx);
                }
            }
        }
        if self.held.capacity() > 0 {
            (self.large, self.sent) = (Bytes::new(), 0);
            buffers::was_written(std::mem::take(&mut self.held));
        }
        Poll::Ready(Ok(()))
    }

    /// Keeps only what must still be sent, while the client takes nothing.
    fn give_room(&mut self) {
        let rest = &self.held[self.sent..];
        if self.held.capacity() > 2 * rest.len() {
            let rest = rest.to_vec();
            buffers::was_written(std::mem::replace(&mut self.held, rest));
            self.sent = 0;
        }
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.pace.poll_too_slow(self.patience, cx));
        // The connection is reset, so that the system keeps nothing for the client either.
        let _ = SockRef::from(self.socket.as_ref()).set_linger(Some(Duration::ZERO));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes its answers too slowly")))
    }

    /// Notes that all is sent. Returns since when, if something had to wait.
    pub(super) fn rest(&mut self) -> Option<Instant> {
        self.pace.rest().map(tokio::time::Instant::into_std)
    }

    /// Tells the client that nothing more will come.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
