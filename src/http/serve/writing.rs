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
                    if self.large.is_empty() {
                        self.large = Bytes::new(); // an empty rest would keep the memory of all of it
                    }
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
            self.sent = 0;
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Read;
    use std::sync::Arc;

    use tokio::net::TcpListener;

    use super::*;

    /// Content whose memory is known to be in use.
    struct Owned(#[expect(dead_code, reason = "it is counted")] Arc<()>, Vec<u8>);

    impl AsRef<[u8]> for Owned {
        fn as_ref(&self) -> &[u8] {
            &self.1
        }
    }

    #[test]
    fn content_that_was_sent_is_let_go_of_however_slowly_it_was_taken() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for length in [HELD_BYTES + 1, 32 << 20] {
            let in_use = Arc::new(());
            let content = Bytes::from_owner(Owned(Arc::clone(&in_use), vec![7; length]));
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let (_receiving, sending) = listener.accept().await.unwrap().0.into_split();
                let mut writing = Writing::new(sending, Duration::from_secs(60));
                writing.out().extend_from_slice(b"head");
                writing.put(content);
                let take = std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(50)); // so the larger one has to wait
                    let mut taken = vec![0; 4 + length];
                    client.read_exact(&mut taken).map(|()| taken)
                });
                poll_fn(|cx| writing.poll_flush(cx)).await.unwrap();
                assert_eq!((Arc::strong_count(&in_use), writing.held.capacity()), (1, 0), "{length}");
                let taken = take.join().unwrap().unwrap();
                assert!(taken.starts_with(b"head") && taken[4..].iter().all(|byte| *byte == 7));
            });
        }
    }
}
