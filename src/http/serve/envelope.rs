//! What every answer has around it: who may keep it, which request it is for, how long it took, and whether
//! the connection ends.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONNECTION, ETAG, HeaderName,
    HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS,
};

use super::admission::Seat;
use super::caller;
use super::respond::Connection;
use crate::http::wire::answer::Answer;
use crate::http::wire::request_id::X_REQUEST_ID;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// Headers of answers that pages of other origins may read.
const EXPOSED: &str = "ETag, Location, Retry-After, Server-Timing, X-Request-Id";

/// What the answer to one request needs around it.
pub(super) struct Envelope<'r> {
    pub(super) connection: &'r Connection,
    /// The headers of the request.
    pub(super) headers: &'r HeaderMap,
    /// The number of the request's head on this connection.
    pub(super) head: u32,
    pub(super) id: HeaderValue,
    /// Whether the answer's form depends on `Accept`.
    pub(super) chosen: bool,
    /// Whether the connection must end with this answer.
    pub(super) last: bool,
    pub(super) took: Duration,
}

impl Envelope<'_> {
    pub(super) fn put_around(self, answer: &mut Answer) {
        let is_last = self.is_last();
        let Envelope { connection, headers: asked, id, chosen, took, .. } = self;
        let shared = &connection.worker.shared;
        let headers = answer.headers_mut(); // a map's first allocation has room for six, as a decision has
        put(headers, id, took);
        if chosen && !headers.contains_key(VARY) {
            headers.insert(VARY, HeaderValue::from_static("Accept"));
        }
        if !shared.settings.origins.is_empty() {
            headers.insert(VARY, and_origin(headers.get(VARY)));
            if let Some(origin) = caller::listed_origin(asked, shared) {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
            }
        }
        if is_last {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// While the server stops, the last request that has arrived is told that the connection ends. What has
    /// arrived after this request is answered first.
    fn is_last(&self) -> bool {
        let Connection { worker, pulse, seat, .. } = self.connection;
        self.last
            || *seat == Seat::Spare
            || (worker.shared.unready.load(Ordering::Relaxed) && !pulse.has_more(self.head))
    }
}

/// Puts the headers that all answers have.
pub(super) fn put(headers: &mut HeaderMap, id: HeaderValue, took: Duration) {
    headers.insert(X_REQUEST_ID, id);
    headers.insert(SERVER_TIMING, timing(took));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(CACHE_CONTROL) {
        // What has a tag may be kept, but must be asked for anew.
        let keep = if headers.contains_key(ETAG) { "no-cache" } else { "no-store" };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    }
}

/// What the answer depends on besides the target, where pages of other origins may read it.
fn and_origin(own: Option<&HeaderValue>) -> HeaderValue {
    let both = own.and_then(|own| HeaderValue::try_from(format!("{}, Origin", own.to_str().ok()?)).ok());
    both.unwrap_or(HeaderValue::from_static("Origin"))
}

/// The time as `Server-Timing` has it, in milliseconds.
fn timing(took: Duration) -> HeaderValue {
    const LABEL: &[u8] = b"total;dur=";
    let mut left = took.as_micros() as u64;
    let mut text = [0; LABEL.len() + 21]; // at most 20 digits and the point
    let mut at = text.len();
    let mut put = |byte: u8| {
        at -= 1;
        text[at] = byte;
    };
    // From the last digit to the first: three behind the point, and at least one before it.
    let mut digits = 0;
    while digits < 4 || left > 0 {
        if digits == 3 {
            put(b'.');
        }
        put(b'0' + (left % 10) as u8);
        left /= 10;
        digits += 1;
    }
    LABEL.iter().rev().for_each(|byte| put(*byte));
    HeaderValue::from_bytes(&text[at..]).unwrap_or(HeaderValue::from_static("total"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timing_is_in_milliseconds() {
        for (us, expected) in [
            (0, "0.000"),
            (7, "0.007"),
            (42_123, "42.123"),
            (10_000_001, "10000.001"),
            (u64::MAX, "18446744073709551.615"),
        ] {
            assert_eq!(timing(Duration::from_micros(us)), format!("total;dur={expected}"));
        }
    }
}
