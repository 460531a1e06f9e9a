//! Accepts connections, and serves each from its first byte to its last.

use std::convert::Infallible;
use std::future::Future;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpStream};

use super::admission::Place;
use super::stream::{Pulse, Stream};
use super::{raw, respond};
use crate::http::bounds::{MAX_HEAD_BYTES, MAX_HEADERS};
use crate::http::call::Worker;
use crate::http::routes;
use crate::http::wire::media::Format;
use crate::http::wire::request_id;

/// Room for reading bodies. Heads have a smaller bound of their own.
const BUFFER_BYTES: usize = 64 * 1024;
/// Wait after the system ran out of file descriptors; each further wait doubles, up to the second value.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// On stopping: how long connections that have begun may take to be made.
const HANDSHAKE: Duration = Duration::from_millis(100);
/// A program for the system that drops the first packet of each connection, which has SYN set: load the flags
/// of TCP, test SYN, return nothing of the packet or all of it.
const NO_NEW_ONES: [SockFilter; 4] = [
    SockFilter::new(0x30, 0, 0, 13),
    SockFilter::new(0x45, 0, 1, 0x02),
    SockFilter::new(0x06, 0, 0, 0),
    SockFilter::new(0x06, 0, 0, u32::MAX),
];

/// Accepts connections until the server stops.
pub(crate) async fn accept(listener: TcpListener, worker: &Worker) {
    let acceptor = Acceptor::new(worker);
    let mut back_off = BACK_OFF.0;
    while !worker.shared.stopping.load(Ordering::SeqCst) {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = worker.stop().notified() => continue,
        };
        match accepted {
            Ok((socket, from)) => {
                back_off = BACK_OFF.0;
                acceptor.take(socket, from);
            }
            Err(e) if is_about_one_connection(&e) => {}
            Err(e) => {
                tracing::warn!("cannot accept connections for now: {e}");
                tokio::select! {
                    () = tokio::time::sleep(back_off) => {}
                    () = worker.stop().notified() => continue,
                }
                back_off = (back_off * 2).min(BACK_OFF.1);
            }
        }
    }
    if let Err(e) = acceptor.take_the_rest(&listener).await {
        tracing::debug!("connections that were not accepted yet are lost: {e}");
    }
}

/// Whether the peer had gone before it was accepted, which is not a fault of the server.
fn is_about_one_connection(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(e.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Takes connections into service.
struct Acceptor<'w> {
    worker: &'w Worker,
    http: http1::Builder,
}

impl<'w> Acceptor<'w> {
    fn new(worker: &'w Worker) -> Acceptor<'w> {
        Acceptor { worker, http: builder() }
    }

    fn take(&self, socket: TcpStream, from: SocketAddr) {
        let worker = self.worker.clone();
        let Some(place) = worker.shared.admission.admit(from.ip()) else {
            worker.counters().rejected_connections.add(1);
            return decline(socket);
        };
        let seat = place.seat;
        let open = Open::count(&worker, place);
        let _ = socket.set_nodelay(true); // a failure only makes answers slower
        let pulse = Arc::new(Pulse::new(socket));
        let io = TokioIo::new(Stream::new(Arc::clone(&pulse), worker.clone(), seat));
        let shared = Arc::new(respond::Connection {
            worker: worker.clone(),
            pulse,
            seat,
            allowed_host: OnceLock::new(),
        });
        let service = service_fn(move |request| respond::respond(Arc::clone(&shared), request));
        let connection = self.http.serve_connection(io, service);
        tokio::spawn(async move {
            drive(connection, &worker).await;
            drop(open);
        });
    }

    /// Accepts what has connected already or begun to, for requests may have been sent on it. Nobody can
    /// begin any more: without the filter somebody would between the last accept and the end of the
    /// listener, and their request would be lost.
    async fn take_the_rest(&self, listener: &TcpListener) -> io::Result<()> {
        SockRef::from(listener).attach_filter(&NO_NEW_ONES)?;
        let mut all_made = pin!(tokio::time::sleep(HANDSHAKE));
        loop {
            let accepted = tokio::select! {
                biased;
                accepted = listener.accept() => accepted,
                () = &mut all_made => return Ok(()),
            };
            match accepted {
                Ok((socket, from)) => self.take(socket, from),
                Err(e) if is_about_one_connection(&e) => {}
                Err(e) => return Err(e),
            }
        }
    }
}

fn builder() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.header_read_timeout(None) // the stream has deadlines; hyper's would set a timer for each request
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(BUFFER_BYTES)
        // A client that has closed its sending side still gets its answer.
        .half_close(true);
    http
}

/// Tells the client that the server is full, then closes the connection in any case. It writes without the
/// runtime, which does not know yet that a new socket can be written.
fn decline(socket: TcpStream) {
    if let Ok(mut socket) = socket.into_std() {
        let id = request_id::among(&[]);
        let answer = raw::refusal(&routes::crowded(), Format::Json, id, Duration::ZERO, true);
        let _ = socket.write(&answer.bytes);
    }
}

/// Polls the connection to its end. When the server stops, it is polled once more, so that its stream
/// notices.
async fn drive<S>(connection: http1::Connection<TokioIo<Stream>, S>, worker: &Worker)
where
    S: HttpService<Incoming, Error = Infallible>,
    S::ResBody: 'static,
    <S::ResBody as Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connection = pin!(connection);
    let mut stop = pin!(worker.stop().notified());
    let mut waiting = false;
    std::future::poll_fn(|cx| {
        // A task's waker never changes, so one poll is enough to be woken on stopping.
        if !waiting {
            waiting = true;
            let _ = stop.as_mut().poll(cx);
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
struct Open {
    worker: Worker,
    _place: Place,
}

impl Open {
    fn count(worker: &Worker, place: Place) -> Open {
        worker.open.fetch_add(1, Ordering::Relaxed);
        worker.shared.connections.fetch_add(1, Ordering::Relaxed);
        Open { worker: worker.clone(), _place: place }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.worker.open.fetch_sub(1, Ordering::Relaxed);
        self.worker.shared.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
