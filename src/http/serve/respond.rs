//! Answers one request: finds its route, runs the handler, and counts the result.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Instant;

use hyper::body::{Body, Incoming};
use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::{Request, Version};

use super::stream::Pulse;
use crate::http::bounds::MAX_URI_BYTES;
use crate::http::call::{Call, Worker};
use crate::http::routes;
use crate::http::routes::{Handler, RouteMatch, TABLE};
use crate::http::wire::answer::Answer;
use crate::http::wire::media;
use crate::http::wire::media::Format;
use crate::http::wire::refusal::{ProblemKind, Refusal};

/// What the requests of a connection share.
pub(crate) struct Connection {
    pub(crate) worker: Worker,
    pub(crate) pulse: Arc<Pulse>,
}

/// Answers one request. A refusal and a panic are answers too.
pub(crate) async fn respond(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let Connection { worker, pulse } = &*connection;
    pulse.heads.fetch_add(1, Ordering::Relaxed);
    pulse.busy.store(true, Ordering::Relaxed);
    pulse.refused.store(false, Ordering::Relaxed);
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let has_body = !body.is_end_stream();
    let (index, outcome) = match routes::find(parts.uri.path()) {
        _ if parts.uri.path_and_query().map_or(0, |target| target.as_str().len()) > MAX_URI_BYTES => {
            let detail = format!("the target has more than {MAX_URI_BYTES} bytes");
            (TABLE.len(), Err(Refusal::new(ProblemKind::TargetTooLong, detail)))
        }
        Ok(found) => (found.index, handle(&found, worker, &parts, body, started).await),
        Err(refusal) => (TABLE.len(), Err(refusal)),
    };
    let answer = outcome.unwrap_or_else(|refusal| {
        if refusal.is_overload() {
            worker.counters().overloads.add(1);
        }
        if has_body {
            pulse.refused.store(true, Ordering::Relaxed);
        }
        refusal.answer(media::format_or_json(&parts.headers), &parts.method)
    });
    worker.counters().count(index, answer.status().as_u16());
    pulse.busy.store(false, Ordering::Relaxed);
    Ok(answer)
}

/// Runs the route's handler. A panic costs only this request.
async fn handle(
    found: &RouteMatch<'_>,
    worker: &Worker,
    parts: &Parts,
    body: Incoming,
    started: Instant,
) -> Result<Answer, Refusal> {
    check_host(parts)?;
    let format = if found.route.formats { media::format(&parts.headers)? } else { Format::Json };
    let outcome = caught(dispatch(found, worker, parts, body, started, format)).await;
    outcome.unwrap_or_else(|| {
        worker.counters().panics.add(1);
        tracing::error!("the handler of {} panicked; its request was answered 500", parts.uri.path());
        Err(Refusal::new(ProblemKind::Internal, "the server had a fault; it was counted and logged"))
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

/// The output of the future, or `None` if it panicked.
async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    })
    .await
}

/// Refuses a request without exactly one `Host` (RFC 9112, section 3.2); HTTP/1.0 may have none.
fn check_host(parts: &Parts) -> Result<(), Refusal> {
    let given = parts.headers.get_all(HOST).iter().count();
    if given == 1 || (given == 0 && parts.version == Version::HTTP_10) {
        return Ok(());
    }
    Err(Refusal::new(ProblemKind::Invalid, format!("expected one Host header, found {given}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_its_future_and_nothing_else() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(async {
            let broken = caught(async {
                tokio::task::yield_now().await;
                if std::hint::black_box(true) {
                    panic!("on purpose");
                }
                1
            });
            (broken.await, caught(async { 2 }).await)
        });
        assert_eq!(found, (None, Some(2)));
    }
}
