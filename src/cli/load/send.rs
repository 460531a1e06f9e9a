//! Sends chunks, and waits for a server that is overloaded or away for a moment.

use std::collections::HashSet;
use std::time::Duration;

use hyper::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::chunk::LoadChunk;
use crate::cli::client::{Client, ServerAnswer};
use crate::cli::ending::Failure;

/// The most times that one chunk is sent.
const MAX_ATTEMPTS: u32 = 10;
/// The longest wait between two attempts.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// How long to wait for a server that is away, the first time. Each further wait is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The longest wait for a server that is away.
const MAX_AWAY: Duration = Duration::from_secs(5);

/// Sends a chunk to `path`. It is sent again while the server is overloaded; and if the connection breaks and
/// `known` says that the server was there before, as long as sending it twice does no harm.
pub(in crate::cli) async fn send(
    client: &mut Client,
    chunk: &LoadChunk,
    path: &str,
    known: bool,
) -> Result<ServerAnswer, Failure> {
    let headers = [(header::CONTENT_TYPE, chunk.media_type)];
    let mut away = FIRST_WAIT;
    for attempt in 1.. {
        let last = attempt >= MAX_ATTEMPTS;
        match client.send(Method::POST, path, &headers, chunk.body.clone()).await {
            Ok(answer) => match retry_after(&answer).filter(|_| !last) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Ok(answer),
            },
            Err(_) if known && chunk.repeatable && !last => {
                tokio::time::sleep(away).await;
                away = (away * 2).min(MAX_AWAY);
            }
            Err(failure) => return Err(failure),
        }
    }
    Err(Failure::new("the server was asked too often"))
}

/// How long an overloaded server asks to wait. A 503 without `Retry-After` will not pass soon.
fn retry_after(answer: &ServerAnswer) -> Option<Duration> {
    let header =
        answer.headers.get(header::RETRY_AFTER).filter(|_| answer.status == StatusCode::SERVICE_UNAVAILABLE);
    let seconds = header?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_WAIT))
}

/// The result of a chunk of customers. More errors than allowed is a result too: nothing was applied, and the
/// errors are listed.
pub(super) fn understood(answer: ServerAnswer, limited: bool, sent: u64) -> Result<Value, Failure> {
    if answer.status == StatusCode::UNPROCESSABLE_ENTITY && limited {
        let refused = answer.json()?;
        if let Some(errors) = refused["errors"].as_array().filter(|_| refused["applied"] == 0) {
            let rejected = refused["rejected"].as_u64().unwrap_or_else(|| distinct_lines(errors));
            return Ok(json!({"accepted": 0, "rejected": rejected.min(sent), "errors": errors}));
        }
    }
    answer.success()
}

/// The result of a chunk of events. That none of them was accepted is a result, too.
pub(super) fn understood_events(answer: ServerAnswer) -> Result<Value, Failure> {
    if answer.status == StatusCode::UNPROCESSABLE_ENTITY {
        let refused = answer.json()?;
        if refused["rejected"].is_array() {
            return Ok(refused);
        }
    }
    answer.success()
}

/// The number of rows with these errors, for a server that does not count them. A row may have several
/// errors.
fn distinct_lines(errors: &[Value]) -> u64 {
    let lines: HashSet<Option<u64>> = errors.iter().map(|error| error["line"].as_u64()).collect();
    lines.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_chunk_counts_rows_not_errors() {
        let rejected = |body: Value, sent| {
            let (status, headers) = (StatusCode::UNPROCESSABLE_ENTITY, hyper::HeaderMap::new());
            let answer = ServerAnswer { status, headers, body: body.to_string().into() };
            understood(answer, true, sent).map_err(|f| f.to_string()).unwrap()["rejected"].clone()
        };
        let errors = json!([{"line": 2, "column": 1}, {"line": 2, "column": 2}, {"line": 7}]);
        assert_eq!(rejected(json!({"applied": 0, "errors": errors}), 9), 2);
        assert_eq!(rejected(json!({"applied": 0, "errors": errors, "rejected": 5_000}), 5_000), 5_000);
        assert_eq!(rejected(json!({"applied": 0, "errors": errors, "rejected": 12}), 9), 9);
    }
}
