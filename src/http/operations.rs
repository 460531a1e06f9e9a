//! What operations ask: ready, metrics, the contract.

use std::sync::atomic::Ordering;

use hyper::StatusCode;
use hyper::body::Bytes;

use super::answer;
use super::refusal::{Kind, Refusal};
use super::service::{Answer, Call};

/// The contract as OpenAPI 3.1.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

/// `GET /readyz`: 503 while stopping. A node whose journal failed stays ready, because it goes on deciding; it says that
/// it takes no writes.
pub(super) fn readyz(call: &Call<'_>) -> Result<Answer, Refusal> {
    if call.worker.shared.unready.load(Ordering::Relaxed) {
        return Err(Refusal::new(Kind::Unavailable, "not ready: the server is stopping"));
    }
    let node = &call.worker.shared.node;
    Ok(answer::document(call.format, |out| {
        out.map(4);
        out.key("ready");
        out.boolean(true);
        out.key("takes_writes");
        out.boolean(!node.journal_failed());
        out.key("sequence");
        out.unsigned(node.sequence());
        out.key("customers");
        out.unsigned(node.customers().len() as u64);
        out.end_map();
    }))
}

/// `GET /metrics`.
pub(super) fn metrics(call: &Call<'_>) -> Result<Answer, Refusal> {
    let open = call.worker.shared.connections.load(Ordering::Relaxed) as u64;
    let text = call.worker.shared.metrics.text(open);
    let text = text.map_err(|_| Refusal::new(Kind::Internal, "the metrics could not be written"))?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(answer::with(StatusCode::OK, content_type, Bytes::from(text)))
}
