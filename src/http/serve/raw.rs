//! A refusal as bytes, for requests that hyper does not see or cannot read.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};

use super::envelope;
use crate::http::wire::media::Format;
use crate::http::wire::refusal::Refusal;

/// An answer as it is sent.
pub(super) struct RawAnswer {
    pub(super) bytes: Vec<u8>,
    /// How many of these bytes are its body.
    pub(super) body_length: usize,
}

/// The whole answer that states `refusal`, with the headers that all answers have. It says so if it is the
/// last one of its connection.
pub(super) fn refusal(
    refusal: &Refusal,
    format: Format,
    id: HeaderValue,
    took: Duration,
    last: bool,
) -> RawAnswer {
    let body = refusal.rendered(format, |_| ());
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.problem_type()));
    headers.insert(CONTENT_LENGTH, body.len().into());
    headers.extend(refusal.headers().iter().cloned());
    envelope::put(&mut headers, id, took);
    if last {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let status = refusal.status();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    for (name, value) in &headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&body);
    RawAnswer { bytes, body_length: body.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes;

    #[test]
    fn a_refusal_is_a_whole_answer() {
        for (last, connection) in [(false, ""), (true, "connection: close\r\n")] {
            let id = HeaderValue::from_static("mine");
            let answer = refusal(&routes::crowded(), Format::Json, id, Duration::from_micros(1_500), last);
            let text = String::from_utf8(answer.bytes).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert_eq!(body.len(), answer.body_length);
            let document: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(document["status"], 503);
            let expected = format!(
                "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
                 content-length: {}\r\nretry-after: 1\r\nx-request-id: mine\r\nserver-timing: total;dur=1.500\r\n\
                 x-content-type-options: nosniff\r\ncache-control: no-store\r\n{connection}",
                body.len()
            );
            assert_eq!(format!("{head}\r\n"), expected);
        }
    }
}
