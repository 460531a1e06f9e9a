//! Accepts connections.

use std::future::Future;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper::Method;
use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpStream};

use super::admission::Place;
use super::caller::Pages;
use super::connection::Connection;
use super::envelope::Envelope;
use crate::http::call::Worker;
use crate::http::routes;
use crate::http::wire::answer::Content;
use crate::http::wire::media::Format;
use crate::http::wire::request_id::RequestId;

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
    let mut back_off = BACK_OFF.0;
    while !worker.shared.stopping.load(Ordering::SeqCst) {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = worker.stop().notified() => continue,
        };
        match accepted {
            Ok((socket, from)) => {
                back_off = BACK_OFF.0;
                take(socket, from, worker);
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
    if let Err(e) = take_the_rest(&listener, worker).await {
        tracing::debug!("connections that were not accepted yet are lost: {e}");
    }
}

/// Whether the peer had gone before it was accepted, which is not a fault of the server.
fn is_about_one_connection(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(e.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Takes a connection into service.
fn take(socket: TcpStream, from: SocketAddr, worker: &Worker) {
    let worker = worker.clone();
    let Some(place) = worker.shared.admission.admit(from.ip()) else {
        worker.counters().rejected_connections.add(1);
        return decline(socket);
    };
    let seat = place.seat;
    let open = Open::count(&worker, place);
    let _ = socket.set_nodelay(true); // a failure only makes answers slower
    let connection = Connection::new(socket, worker.clone(), seat);
    tokio::spawn(async move {
        drive(connection, &worker).await;
        drop(open);
    });
}

/// Accepts what has connected already or begun to, for requests may have been sent on it. Nobody can
/// begin any more: without the filter somebody would between the last accept and the end of the
/// listener, and their request would be lost.
async fn take_the_rest(listener: &TcpListener, worker: &Worker) -> io::Result<()> {
    SockRef::from(listener).attach_filter(&NO_NEW_ONES)?;
    let mut all_made = pin!(tokio::time::sleep(HANDSHAKE));
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = &mut all_made => return Ok(()),
        };
        match accepted {
            Ok((socket, from)) => take(socket, from, worker),
            Err(e) if is_about_one_connection(&e) => {}
            Err(e) => return Err(e),
        }
    }
}

/// Tells the client that the server is full, then closes the connection in any case. It writes without the
/// runtime, which does not know yet that a new socket can be written.
fn decline(socket: TcpStream) {
    let Ok(mut socket) = socket.into_std() else { return };
    let answer = routes::crowded().answer(Format::Json, &Method::GET);
    let id = RequestId::made();
    let (ended, took) = (Instant::now(), Duration::ZERO);
    let mut bytes = Vec::new();
    let envelope =
        Envelope { id: &id, chosen: false, pages: Pages::None, is_old: false, last: true, ended, took };
    envelope.write(&answer, &mut bytes);
    if let Content::Whole(content) = answer.content {
        bytes.extend_from_slice(&content);
    }
    let _ = socket.write(&bytes);
}

/// Serves the connection to its end. When the server stops, it is polled once more, so that it notices.
async fn drive(connection: Connection, worker: &Worker) {
    let mut serving = pin!(connection.serve());
    let mut stop = pin!(worker.stop().notified());
    let mut waiting = false;
    std::future::poll_fn(|cx| {
        // A task's waker never changes, so one poll is enough to be woken on stopping.
        if !waiting {
            waiting = true;
            let _ = stop.as_mut().poll(cx);
        }
        match serving.as_mut().poll(cx) {
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
