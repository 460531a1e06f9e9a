//! Answers one request: judges it, finds its route, and runs the handler.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper::Method;

use super::admission::Seat;
use super::caller;
use crate::http::bounds::{MAX_HEAD_BYTES, MAX_HEADERS, MAX_URI_BYTES};
use crate::http::call::{Call, Worker};
use crate::http::routes;
use crate::http::routes::{Handler, RouteMatch, TABLE};
use crate::http::wire::answer::Answer;
use crate::http::wire::framing::Ambiguity;
use crate::http::wire::head::{Head, Unreadable};
use crate::http::wire::media;
use crate::http::wire::media::Format;
use crate::http::wire::reading::Body;
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::http::wire::request_id::RequestId;
use crate::http::wire::room::Size;

/// Who asks: what the requests of a connection share.
pub(super) struct Peer {
    pub(super) worker: Worker,
    pub(super) seat: Seat,
    /// A `Host` that was allowed. Clients hardly ever send another on the same connection.
    pub(super) allowed_host: OnceLock<Box<str>>,
}

/// An answer, and what its head and the access log say besides.
pub(super) struct Answered {
    pub(super) answer: Answer,
    pub(super) id: RequestId,
    /// The number of the route.
    pub(super) route: usize,
    /// Whether the answer's form depends on `Accept`.
    pub(super) chosen: bool,
    pub(super) ended: Instant,
    pub(super) took: Duration,
}

/// Answers one request. A refusal and a panic are answers too.
pub(super) async fn respond(peer: &Peer, head: &Head, body: Body<'_>, started: Instant) -> Answered {
    let worker = &peer.worker;
    let id = RequestId::of(head);
    let found = routes::find(head.target.path());
    let route = found.as_ref().map_or(TABLE.len(), |found| found.index);
    let chosen = found.as_ref().is_ok_and(|found| found.route.formats);
    let outcome = match (admit(peer, head, found.as_ref().ok()), found) {
        (Err(refusal), _) => Err(refusal),
        (Ok(()), found) if head.method == Method::OPTIONS => {
            routes::options(head, found.map(|found| found.route), &worker.shared)
        }
        (Ok(()), Ok(found)) => handle(&found, worker, head, body, started, &id).await,
        (Ok(()), Err(refusal)) => Err(refusal),
    };
    let answer = outcome.unwrap_or_else(|refusal| {
        if refusal.is_overload() {
            worker.counters().overloads.add(1);
        }
        refusal.answer(media::format_or_json(head), &head.method)
    });
    let ended = Instant::now();
    Answered { answer, id, route, chosen, ended, took: ended - started }
}

/// What could be read in two ways is refused, and the connection ends.
fn ambiguous(found: Ambiguity) -> Refusal {
    let kind = match found {
        Ambiguity::Coding => ProblemKind::NotImplemented,
        _ => ProblemKind::Invalid,
    };
    Refusal::new(kind, format!("{}; the connection is closed", found.text()))
}

/// What a head that cannot be read is told; `None` for one of HTTP/2, whose client would not understand it.
pub(super) fn unreadable(why: Unreadable) -> Option<Refusal> {
    Some(match why {
        Unreadable::Http2 => return None,
        Unreadable::TargetTooLong => too_long(),
        Unreadable::TooLarge => Refusal::new(
            ProblemKind::HeadTooLarge,
            format!(
                "the head has more than {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} headers; the connection is closed"
            ),
        ),
        Unreadable::Wrong => Refusal::new(
            ProblemKind::Invalid,
            "the head cannot be read: expected `METHOD /path HTTP/1.1`, then lines of `name: value` and an empty line; \
             the connection is closed",
        ),
    })
}

fn too_long() -> Refusal {
    Refusal::new(ProblemKind::TargetTooLong, format!("the target has more than {MAX_URI_BYTES} bytes"))
}

/// Refuses a request before its route is asked.
fn admit(peer: &Peer, head: &Head, found: Option<&RouteMatch<'_>>) -> Result<(), Refusal> {
    let Peer { worker, seat, allowed_host } = peer;
    if let Err(fault) = head.framing {
        return Err(ambiguous(fault));
    }
    if head.target.length() > MAX_URI_BYTES {
        return Err(too_long());
    }
    caller::check(head, &worker.shared, found, allowed_host)?;
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
    /// `None` if nobody could read it.
    pub(super) method: Option<&'a Method>,
    /// The number of the route.
    pub(super) route: usize,
    pub(super) status: u16,
    /// Of the body; `None` if it is made while it is sent.
    pub(super) bytes: Option<u64>,
    pub(super) took: Duration,
    pub(super) id: &'a RequestId,
}

/// Writes a line, if anybody wants it.
pub(super) fn log_access<'a>(access: impl FnOnce() -> Access<'a>) {
    if !tracing::enabled!(target: ACCESS, tracing::Level::DEBUG) {
        return;
    }
    let Access { method, route, status, bytes, took, id } = access();
    tracing::debug!(
        target: ACCESS,
        method = method.map_or("other", method_name),
        route = TABLE.get(route).map_or("unknown", |route| route.path),
        status,
        bytes,
        took_us = took.as_micros() as u64,
        request_id = id.as_str(),
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
    head: &Head,
    body: Body<'_>,
    started: Instant,
    id: &RequestId,
) -> Result<Answer, Refusal> {
    let format = if found.route.formats { media::format(head)? } else { Format::Json };
    let outcome = caught(pin!(dispatch(found, worker, head, body, started, format))).await;
    outcome.unwrap_or_else(|| {
        worker.counters().panics.add(1);
        let request_id = id.as_str();
        tracing::error!(request_id, "the handler of {} panicked: answered 500", found.route.path);
        Err(Refusal::fault())
    })
}

async fn dispatch(
    found: &RouteMatch<'_>,
    worker: &Worker,
    head: &Head,
    body: Body<'_>,
    started: Instant,
    format: Format,
) -> Result<Answer, Refusal> {
    let node = worker.shared.startup.node();
    let method = match (found.route.method(&head.method), node) {
        // Without a node, a path that needs one says so, whatever the method.
        (Err(_), None) if !found.route.is_always_there() => return Err(routes::starting()),
        (method, _) => method?,
    };
    if method.size == Size::Nothing && method.name != "GET" {
        media::of_no_body(head)?;
    }
    let call = || {
        let (variables, size) = (found.variables, method.size);
        let node = node.ok_or_else(routes::starting)?;
        Ok::<_, Refusal>(Call { worker, node, head, variables, size, started, format })
    };
    match method.handler {
        Handler::Decide => routes::decide(&call()?, body).await,
        Handler::Now(answer) => answer(&call()?),
        Handler::Later(answer) => answer(&call()?, body).await,
        Handler::Always(answer) => answer(worker, head),
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
