//! Accepts connections, and serves each from its first byte to its last.

use std::convert::Infallible;
use std::future::Future;
use std::io::{self, Write};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::respond;
use super::stream::{Pulse, Stream};
use crate::http::bounds::{MAX_HEAD_BYTES, MAX_HEADERS};
use crate::http::call::Worker;

/// Room for reading bodies. Heads have a smaller bound of their own.
const BUFFER_BYTES: usize = 64 * 1024;
/// Wait after the system ran out of file descriptors; each further wait doubles, up to the second value.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: 126\r\n\
retry-after: 1\r\nconnection: close\r\n\r\n\
{\"type\":\"urn:usher:problem:unavailable\",\"title\":\"Not possible now\",\"status\":503,\"detail\":\"too many connections are open here\"}";

/// Accepts connections until the server stops.
pub(crate) async fn accept(listener: TcpListener, worker: &Worker) {
    let http = builder(worker);
    let mut back_off = BACK_OFF.0;
    while !worker.shared.stopping.load(Ordering::SeqCst) {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = worker.stop().notified() => continue,
        };
        match accepted {
            Ok((socket, _)) => {
                back_off = BACK_OFF.0;
                take(socket, &http, worker);
            }
            Err(e) if is_about_one_connection(&e) => {}
            Err(e) => {
                tracing::warn!("cannot accept connections for now: {e}");
                tokio::time::sleep(back_off).await;
                back_off = (back_off * 2).min(BACK_OFF.1);
            }
        }
    }
}

/// Whether the peer had gone before it was accepted, which is not a fault of the server.
fn is_about_one_connection(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(e.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn builder(worker: &Worker) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(worker.shared.settings.idle_timeout)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(BUFFER_BYTES)
        // A client that has closed its sending side still gets its answer.
        .half_close(true);
    http
}

fn take(socket: TcpStream, http: &http1::Builder, worker: &Worker) {
    let open = Open::count(worker);
    if worker.shared.connections.load(Ordering::Relaxed) > worker.shared.settings.max_connections {
        worker.counters().rejected_connections.add(1);
        return decline(socket);
    }
    let _ = socket.set_nodelay(true); // a failure only makes answers slower
    let pulse = Arc::new(Pulse::default());
    let io = TokioIo::new(Stream::new(socket, Arc::clone(&pulse), &worker.shared.settings));
    let shared = Arc::new(respond::Connection { worker: worker.clone(), pulse });
    let service = service_fn(move |request| respond::respond(Arc::clone(&shared), request));
    let connection = http.serve_connection(io, service);
    let worker = worker.clone();
    tokio::spawn(async move {
        drive(connection, &worker).await;
        drop(open);
    });
}

/// Tells the client that the server is full, then closes the connection in any case. It writes without the
/// runtime, which does not know yet that a new socket can be written.
fn decline(socket: TcpStream) {
    if let Ok(mut socket) = socket.into_std() {
        let _ = socket.write(FULL);
    }
}

/// Polls the connection to its end. Once the server stops, the request in flight is its last.
async fn drive<S>(connection: http1::Connection<TokioIo<Stream>, S>, worker: &Worker)
where
    S: HttpService<Incoming, Error = Infallible>,
    S::ResBody: 'static,
    <S::ResBody as Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connection = pin!(connection);
    let mut stop = pin!(worker.stop().notified());
    let (mut waiting, mut told) = (false, false);
    std::future::poll_fn(|cx| {
        // A task's waker never changes, so one poll is enough to be woken on stopping.
        if !waiting {
            waiting = true;
            let _ = stop.as_mut().poll(cx);
        }
        if !told && worker.shared.stopping.load(Ordering::SeqCst) {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        match connection.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Ready(Err(e)) => {
                tracing::debug!("connection ended: {e}");
                Poll::Ready(())
            }
        }
    })
    .await;
}

/// Counts a connection while it exists.
struct Open(Worker);

impl Open {
    fn count(worker: &Worker) -> Open {
        worker.open.fetch_add(1, Ordering::Relaxed);
        worker.shared.connections.fetch_add(1, Ordering::Relaxed);
        Open(worker.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.shared.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_answer_when_full_has_the_length_it_says() {
        let text = std::str::from_utf8(super::FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
    }
}
