//! One request: its route, its handler, and what is counted about it.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Instant;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, Version};

use super::listen::Worker;
use super::media::{self, Format};
use super::refusal::{Kind, Refusal};
use super::route::{self, Route};
use super::stream::Pulse;
use super::{
    MAX_URI_BYTES, audiences, bulk, bundle, check, customers, decisions, events, operations, rule_sets,
    schema, snapshots, stats,
};
use crate::node::Node;

/// What a handler gets. Borrowed for one request.
pub(super) struct Call<'c> {
    pub(super) worker: &'c Worker,
    pub(super) node: &'c Arc<Node>,
    pub(super) parts: &'c Parts,
    /// When the head was read.
    pub(super) started: Instant,
    /// How the answer is to be written.
    pub(super) format: Format,
}

/// What all requests of a connection share.
pub(super) struct Connection {
    pub(super) worker: Worker,
    pub(super) pulse: Arc<Pulse>,
}

pub(super) type Answer = Response<Full<Bytes>>;

/// Answers one request, whatever happens.
pub(super) async fn respond(
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
    let (index, outcome) = match route::find(parts.uri.path()) {
        _ if parts.uri.path_and_query().map_or(0, |target| target.as_str().len()) > MAX_URI_BYTES => {
            let detail = format!("the target has more than {MAX_URI_BYTES} bytes");
            (Route::COUNT, Err(Refusal::new(Kind::TargetTooLong, detail)))
        }
        Ok(route) => (route.index(), handle(route, worker, &parts, body, started).await),
        Err(refusal) => (Route::COUNT, Err(refusal)),
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

/// Runs the route's handler. A panic costs this request only.
async fn handle(
    route: Route<'_>,
    worker: &Worker,
    parts: &Parts,
    body: Incoming,
    started: Instant,
) -> Result<Answer, Refusal> {
    check_host(parts)?;
    let format = if route.speaks_formats() { media::format(&parts.headers)? } else { Format::Json };
    let outcome = match worker.shared.startup.node() {
        Some(node) => caught(dispatch(route, &Call { worker, node, parts, started, format }, body)).await,
        None => caught(async { while_starting(route, worker, parts) }).await,
    };
    outcome.unwrap_or_else(|| {
        worker.counters().panics.add(1);
        tracing::error!("the handler of {} panicked; its request was answered 500", parts.uri.path());
        Err(Refusal::new(Kind::Internal, "this is a fault of the server; it was counted and logged"))
    })
}

/// The future's output; none if it panicked.
async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    })
    .await
}

/// RFC 9112: a request of HTTP/1.1 names its host exactly once.
fn check_host(parts: &Parts) -> Result<(), Refusal> {
    let given = parts.headers.get_all(HOST).iter().count();
    if given == 1 || (given == 0 && parts.version == Version::HTTP_10) {
        return Ok(());
    }
    Err(Refusal::new(Kind::Invalid, format!("a request has one Host header, this one has {given}")))
}

/// The routes. Those that a bank's channels call come first.
///
/// ```text
/// GET POST               /v1/decisions
/// POST                   /v1/events
/// POST                   /v1/customers
/// GET PUT PATCH DELETE   /v1/customers/{id}
/// GET                    /v1/rule-sets
/// GET PUT DELETE         /v1/rule-sets/{name}
/// GET                    /v1/rule-sets/{name}/versions
/// GET                    /v1/rule-sets/{name}/versions/{version}
/// POST                   /v1/rule-sets/{name}/versions/{version}/activate
/// POST                   /v1/rule-sets/{name}/rollback
/// POST                   /v1/rule-sets/{name}/check
/// GET PUT                /v1/schema
/// PUT                    /v1/bundle
/// POST                   /v1/audiences/count
/// GET                    /v1/stats
/// GET POST               /v1/snapshots
/// GET                    /livez  /readyz  /metrics  /openapi.json
/// ```
/// `HEAD` works where `GET` does. [`Route::methods`] says the same for `Allow`, and a test holds it, this and
/// `openapi.json` together.
async fn dispatch(route: Route<'_>, call: &Call<'_>, body: Incoming) -> Result<Answer, Refusal> {
    let method = if call.parts.method == Method::HEAD { &Method::GET } else { &call.parts.method };
    match (route, method.as_str()) {
        (Route::Decisions, "POST") => decisions::post(call, body).await,
        (Route::Decisions, "GET") => decisions::get(call),
        (Route::Events, "POST") => Box::pin(events::post(call, body)).await,
        (Route::Customers, "POST") => Box::pin(bulk::post(call, body)).await,
        (Route::Customer(id), "GET") => customers::get(call, id),
        (Route::Customer(id), "PUT") => Box::pin(customers::put(call, id, body)).await,
        (Route::Customer(id), "PATCH") => Box::pin(customers::patch(call, id, body)).await,
        (Route::Customer(id), "DELETE") => Box::pin(customers::delete(call, id)).await,
        (Route::RuleSets, "GET") => rule_sets::list(call),
        (Route::RuleSet(name), "GET") => rule_sets::get(call, name),
        (Route::RuleSet(name), "PUT") => Box::pin(rule_sets::put(call, name, body)).await,
        (Route::RuleSet(name), "DELETE") => Box::pin(rule_sets::retire(call, name)).await,
        (Route::Versions(name), "GET") => rule_sets::versions(call, name),
        (Route::Version(name, version), "GET") => rule_sets::version(call, name, version),
        (Route::Activate(name, version), "POST") => Box::pin(rule_sets::activate(call, name, version)).await,
        (Route::Rollback(name), "POST") => Box::pin(rule_sets::rollback(call, name)).await,
        (Route::Check(name), "POST") => Box::pin(check::post(call, name, body)).await,
        (Route::Schema, "GET") => schema::get(call),
        (Route::Schema, "PUT") => Box::pin(schema::put(call, body)).await,
        (Route::Bundle, "PUT") => Box::pin(bundle::put(call, body)).await,
        (Route::AudienceCount, "POST") => Box::pin(audiences::count(call, body)).await,
        (Route::Stats, "GET") => Box::pin(stats::get(call)).await,
        (Route::Snapshots, "GET") => snapshots::list(call),
        (Route::Snapshots, "POST") => Box::pin(snapshots::post(call)).await,
        (Route::Livez, "GET") => Ok(operations::livez()),
        (Route::Readyz, "GET") => operations::readyz(call),
        (Route::Metrics, "GET") => operations::metrics(call.worker),
        (Route::OpenApi, "GET") => Ok(operations::openapi()),
        (route, _) => Err(Refusal::method(&call.parts.method, &route)),
    }
}

/// The routes as long as there is no node: those that need none answer.
fn while_starting(route: Route<'_>, worker: &Worker, parts: &Parts) -> Result<Answer, Refusal> {
    let asked = parts.method == Method::GET || parts.method == Method::HEAD;
    match route {
        Route::Livez if asked => Ok(operations::livez()),
        Route::Readyz if asked => Err(operations::not_ready(worker)),
        Route::Metrics if asked => operations::metrics(worker),
        Route::OpenApi if asked => Ok(operations::openapi()),
        Route::Livez | Route::Readyz | Route::Metrics | Route::OpenApi => {
            Err(Refusal::method(&parts.method, &route))
        }
        _ => Err(operations::starting()),
    }
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
