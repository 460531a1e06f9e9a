//! Answers one request: finds its route, runs the handler, and counts the result.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper::body::{Body, Incoming};
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::{Method, Request};

use super::admission::Seat;
use super::caller;
use super::envelope::Envelope;
use super::framing::Ambiguity;
use super::stream::Pulse;
use crate::http::bounds::MAX_URI_BYTES;
use crate::http::call::{Call, Worker};
use crate::http::routes;
use crate::http::routes::{Handler, RouteMatch, TABLE};
use crate::http::wire::answer::Answer;
use crate::http::wire::media;
use crate::http::wire::media::Format;
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::http::wire::request_id;
use crate::http::wire::request_id::X_REQUEST_ID;
use crate::http::wire::room::Size;

/// What the requests of a connection share.
pub(crate) struct Connection {
    pub(crate) worker: Worker,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) seat: Seat,
    /// A `Host` that was allowed. Clients hardly ever send another on the same connection.
    pub(crate) allowed_host: OnceLock<Box<str>>,
}

/// Answers one request. A refusal and a panic are answers too.
pub(crate) async fn respond(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let Connection { worker, pulse, .. } = &*connection;
    // One request of a connection comes after the other, so nobody else counts meanwhile.
    let head = pulse.heads.load(Ordering::Relaxed).wrapping_add(1);
    pulse.heads.store(head, Ordering::Relaxed);
    pulse.busy.store(true, Ordering::Relaxed);
    pulse.refused.store(false, Ordering::Relaxed);
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let has_body = !body.is_end_stream();
    let id = request_id::of(&parts.headers);
    let found = routes::find(parts.uri.path());
    let index = found.as_ref().map_or(TABLE.len(), |found| found.index);
    let chosen = found.as_ref().is_ok_and(|found| found.route.formats);
    let fault = pulse.fault.get().filter(|fault| fault.head == head).map(|fault| fault.found);
    let admitted = match fault {
        Some(fault) => Err(ambiguous(fault)),
        None => admit(&connection, &parts, found.as_ref().ok()),
    };
    let outcome = match (admitted, found) {
        (Err(refusal), _) => Err(refusal),
        (Ok(()), found) if parts.method == Method::OPTIONS => {
            routes::options(&parts, found.map(|found| found.route), &worker.shared)
        }
        (Ok(()), Ok(found)) => handle(&found, worker, &parts, body, started, &id).await,
        (Ok(()), Err(refusal)) => Err(refusal),
    };
    let mut answer = outcome.unwrap_or_else(|refusal| {
        if refusal.is_overload() {
            worker.counters().overloads.add(1);
        }
        if has_body {
            pulse.refused.store(true, Ordering::Relaxed);
        }
        refusal.answer(media::format_or_json(&parts.headers), &parts.method)
    });
    let ended = Instant::now();
    let (headers, took) = (&parts.headers, ended - started);
    let last = fault.is_some();
    let envelope = Envelope { connection: &connection, headers, head, id, chosen, last, took };
    envelope.put_around(&mut answer);
    worker.counters().count(index, answer.status().as_u16());
    log_access(|| Access {
        method: method_name(&parts.method),
        route: index,
        status: answer.status().as_u16(),
        bytes: answer.body().size_hint().exact(),
        took,
        id: answer.headers().get(X_REQUEST_ID),
    });
    // A request whose answer is still being made is being handled.
    answer.body_mut().hold(|| Busy(Arc::clone(pulse)));
    if !answer.body().is_streamed() {
        pulse.answered(ended);
    }
    Ok(answer)
}

/// Ends the handling of a request when it is dropped.
struct Busy(Arc<Pulse>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.answered(Instant::now());
    }
}

/// What could be read in two ways is refused, and the connection ends.
pub(super) fn ambiguous(found: Ambiguity) -> Refusal {
    let kind = match found {
        Ambiguity::Coding => ProblemKind::NotImplemented,
        _ => ProblemKind::Invalid,
    };
    Refusal::new(kind, format!("{}; the connection is closed", found.text()))
}

pub(super) fn too_long() -> Refusal {
    Refusal::new(ProblemKind::TargetTooLong, format!("the target has more than {MAX_URI_BYTES} bytes"))
}

/// Refuses a request before its route is asked.
fn admit(connection: &Connection, parts: &Parts, found: Option<&RouteMatch<'_>>) -> Result<(), Refusal> {
    let Connection { worker, seat, allowed_host, .. } = connection;
    if parts.uri.path_and_query().map_or(0, |target| target.as_str().len()) > MAX_URI_BYTES {
        return Err(too_long());
    }
    caller::check(parts, &worker.shared, found, allowed_host)?;
    if *seat == Seat::Spare && !found.is_some_and(|found| found.route.is_always_there()) {
        worker.counters().rejected_connections.add(1);
        return Err(routes::crowded());
    }
    Ok(())
}

/// What the lines of the access log come from. They name the route and not the path, which may hold a
/// customer's id.
const ACCESS: &str = "usher::access";

pub(super) struct Access<'a> {
    pub(super) method: &'a str,
    /// The number of the route.
    pub(super) route: usize,
    pub(super) status: u16,
    /// Of the body; `None` if it is made while it is sent.
    pub(super) bytes: Option<u64>,
    pub(super) took: Duration,
    pub(super) id: Option<&'a HeaderValue>,
}

/// Writes a line, if anybody wants it.
pub(super) fn log_access<'a>(access: impl FnOnce() -> Access<'a>) {
    if !tracing::enabled!(target: ACCESS, tracing::Level::DEBUG) {
        return;
    }
    let Access { method, route, status, bytes, took, id } = access();
    tracing::debug!(
        target: ACCESS,
        method,
        route = TABLE.get(route).map_or("unknown", |route| route.path),
        status,
        bytes,
        took_us = took.as_micros() as u64,
        request_id = id.and_then(|id| id.to_str().ok()),
        "answered"
    );
}

/// The method, unless it is one that no route has: such a name may be anything.
fn method_name(method: &Method) -> &str {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    if known.contains(method) { method.as_str() } else { "other" }
}

/// Runs the route's handler. A panic costs only this request.
async fn handle(
    found: &RouteMatch<'_>,
    worker: &Worker,
    parts: &Parts,
    body: Incoming,
    started: Instant,
    id: &HeaderValue,
) -> Result<Answer, Refusal> {
    let format = if found.route.formats { media::format(&parts.headers)? } else { Format::Json };
    let outcome = caught(pin!(dispatch(found, worker, parts, body, started, format))).await;
    outcome.unwrap_or_else(|| {
        worker.counters().panics.add(1);
        let request_id = id.to_str().unwrap_or_default();
        tracing::error!(request_id, "the handler of {} panicked: answered 500", found.route.path);
        Err(Refusal::fault())
    })
}

async fn dispatch(
    found: &RouteMatch<'_>,
    worker: &Worker,
    parts: &Parts,
    body: Incoming,
    started: Instant,
    format: Format,
) -> Result<Answer, Refusal> {
    let node = worker.shared.startup.node();
    let method = match (found.route.method(&parts.method), node) {
        // Without a node, a path that needs one says so, whatever the method.
        (Err(_), None) if !found.route.is_always_there() => return Err(routes::starting()),
        (method, _) => method?,
    };
    if method.size == Size::Nothing && method.name != "GET" {
        media::of_no_body(&parts.headers)?;
    }
    let call = || {
        let (variables, size) = (found.variables, method.size);
        let node = node.ok_or_else(routes::starting)?;
        Ok::<_, Refusal>(Call { worker, node, parts, variables, size, started, format })
    };
    match method.handler {
        Handler::Decide => routes::decide(&call()?, body).await,
        Handler::Now(answer) => answer(&call()?),
        Handler::Later(answer) => answer(&call()?, body).await,
        Handler::Always(answer) => answer(worker, parts),
    }
}

/// The output of the future, or `None` if it panicked. It stays where it is: a large one takes time to move.
async fn caught<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_its_future_and_nothing_else() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(async {
            let broken = pin!(async {
                tokio::task::yield_now().await;
                if std::hint::black_box(true) {
                    panic!("on purpose");
                }
                1
            });
            (caught(broken).await, caught(pin!(async { 2 })).await)
        });
        assert_eq!(found, (None, Some(2)));
    }
}
