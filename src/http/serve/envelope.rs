//! The head of an answer: what the handler said of it, and what every answer has. That is who may keep it,
//! which request it is for, how long it took, and whether the connection ends.

use std::cell::RefCell;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, ETAG};

use super::caller::Pages;
use crate::http::wire::answer::{Answer, Content};
use crate::http::wire::request_id::RequestId;

/// Headers of answers that pages of other origins may read.
const EXPOSED: &str = "ETag, Location, Retry-After, Server-Timing, X-Request-Id";

/// The last second that a date of HTTP can have, at the end of the year 9999.
const MOST_DATE: Duration = Duration::from_secs(253_402_300_799);

/// What the head of an answer says besides what its handler said.
pub(super) struct Envelope<'r> {
    pub(super) id: &'r RequestId,
    /// Whether the answer's form depends on `Accept`.
    pub(super) chosen: bool,
    /// For pages of other origins.
    pub(super) pages: Pages<'r>,
    /// Whether the client speaks HTTP/1.0.
    pub(super) is_old: bool,
    /// Whether the connection ends with this answer.
    pub(super) last: bool,
    pub(super) ended: Instant,
    pub(super) took: Duration,
}

impl Envelope<'_> {
    /// Writes the head of an answer, and the empty line behind it. Content that is made is sent in chunks,
    /// or to the end of the connection to those who do not know chunks.
    pub(super) fn write(&self, answer: &Answer, out: &mut Vec<u8>) {
        status(answer.status, self.is_old, out);
        if let Some(content_type) = answer.content_type {
            line(out, b"content-type: ", content_type.as_bytes());
        }
        match &answer.content {
            Content::Whole(_) if has_no_length(answer.status) => {}
            Content::Whole(bytes) => length(bytes.len(), out),
            Content::Made(_) if self.is_old => {}
            Content::Made(_) => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
        for (name, value) in &answer.headers {
            out.extend_from_slice(name.as_str().as_bytes());
            line(out, b": ", value.as_bytes());
        }
        line(out, b"x-request-id: ", self.id.as_str().as_bytes());
        timing(self.took, out);
        out.extend_from_slice(if answer.has(&CACHE_CONTROL) {
            b"x-content-type-options: nosniff\r\n"
        } else if answer.has(&ETAG) {
            // What has a tag may be kept, but must be asked for anew.
            b"x-content-type-options: nosniff\r\ncache-control: no-cache\r\n".as_slice()
        } else {
            b"x-content-type-options: nosniff\r\ncache-control: no-store\r\n"
        });
        self.pages(answer, out);
        date(self.ended, out);
        if self.last {
            out.extend_from_slice(b"connection: close\r\n");
        } else if self.is_old {
            out.extend_from_slice(b"connection: keep-alive\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// What the answer depends on, and who may read it.
    fn pages(&self, answer: &Answer, out: &mut Vec<u8>) {
        let vary = answer.vary.or(self.chosen.then_some("Accept"));
        match (vary, self.pages) {
            (None, Pages::None) => {}
            (Some(vary), Pages::None) => line(out, b"vary: ", vary.as_bytes()),
            (None, _) => out.extend_from_slice(b"vary: Origin\r\n"),
            (Some(vary), _) => {
                out.extend_from_slice(b"vary: ");
                line(out, vary.as_bytes(), b", Origin");
            }
        }
        if let Pages::From(origin) = self.pages {
            line(out, b"access-control-allow-origin: ", origin);
            line(out, b"access-control-expose-headers: ", EXPOSED.as_bytes());
        }
    }
}

/// Writes a name or its beginning, the rest of the line, and its end.
fn line(out: &mut Vec<u8>, begin: &[u8], rest: &[u8]) {
    out.reserve(begin.len() + rest.len() + 2);
    out.extend_from_slice(begin);
    out.extend_from_slice(rest);
    out.extend_from_slice(b"\r\n");
}

fn status(status: StatusCode, is_old: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if is_old { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    if status == StatusCode::OK {
        out.extend_from_slice(b"200 OK\r\n");
        return;
    }
    out.extend_from_slice(status.as_str().as_bytes());
    line(out, b" ", status.canonical_reason().unwrap_or_default().as_bytes());
}

/// Whether answers with this status have no content, and so say no length (RFC 9110, section 8.6).
fn has_no_length(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn length(bytes: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"content-length: ");
    digits(bytes as u64, 1, out);
    out.extend_from_slice(b"\r\n");
}

/// The time as `Server-Timing` has it, in milliseconds.
fn timing(took: Duration, out: &mut Vec<u8>) {
    let us = took.as_micros() as u64;
    out.extend_from_slice(b"server-timing: total;dur=");
    digits(us / 1000, 1, out);
    out.push(b'.');
    digits(us % 1000, 3, out);
    out.extend_from_slice(b"\r\n");
}

/// Writes a number with at least this many digits.
fn digits(number: u64, least: usize, out: &mut Vec<u8>) {
    let (mut left, mut text, mut at) = (number, [b'0'; 20], 20);
    while left > 0 || 20 - at < least {
        at -= 1;
        text[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    out.extend_from_slice(&text[at..]);
}

/// The line with the date, as it is written once a second.
struct DateLine {
    line: Vec<u8>,
    until: Option<Instant>,
}

thread_local! {
    static DATE: RefCell<DateLine> = const { RefCell::new(DateLine { line: Vec::new(), until: None }) };
}

fn date(now: Instant, out: &mut Vec<u8>) {
    DATE.with_borrow_mut(|date| {
        if date.until.is_none_or(|until| now >= until) {
            let clock = SystemTime::now().clamp(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + MOST_DATE);
            date.line.clear();
            let _ = write!(date.line, "date: {}\r\n", httpdate::HttpDate::from(clock)); // a vector takes all
            let past = clock.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
            date.until = Some(now + Duration::from_secs(1) - Duration::from_nanos(past.into()));
        }
        out.extend_from_slice(&date.line);
    });
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::header::HeaderValue;

    use super::*;
    use crate::http::wire::answer;
    use crate::http::wire::head::Head;

    /// The head of an answer without its date.
    fn head(answer: &Answer, change: impl FnOnce(&mut Envelope<'_>)) -> String {
        let id = RequestId::of(&Head::with("x-request-id: mine\r\n"));
        let mut envelope = Envelope {
            id: &id,
            chosen: false,
            pages: Pages::None,
            is_old: false,
            last: false,
            ended: Instant::now(),
            took: Duration::from_micros(1_500),
        };
        change(&mut envelope);
        let mut out = Vec::new();
        envelope.write(answer, &mut out);
        let text = String::from_utf8(out).unwrap();
        let (text, rest) = text.split_once("date: ").unwrap();
        let (date, rest) = rest.split_once("\r\n").unwrap();
        assert!(httpdate::parse_http_date(date).is_ok(), "{date}");
        format!("{text}{rest}")
    }

    #[test]
    fn a_head_says_what_the_handler_and_what_the_connection_say() {
        let document = || answer::with(StatusCode::OK, "application/json", Bytes::from_static(b"{}"));
        let common =
            "x-request-id: mine\r\nserver-timing: total;dur=1.500\r\nx-content-type-options: nosniff\r\n";
        let begin = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n";
        let no_store = "cache-control: no-store\r\n";
        assert_eq!(head(&document(), |_| ()), format!("{begin}{common}{no_store}\r\n"));
        assert_eq!(
            head(&document(), |envelope| (envelope.last, envelope.chosen) = (true, true)),
            format!("{begin}{common}{no_store}vary: Accept\r\nconnection: close\r\n\r\n")
        );
        assert_eq!(
            head(&document(), |envelope| envelope.is_old = true),
            format!("{begin}{common}{no_store}connection: keep-alive\r\n\r\n").replace("/1.1", "/1.0")
        );
        let mut tagged = answer::varying(document());
        tagged.headers.push((ETAG, HeaderValue::from_static("\"7\"")));
        assert_eq!(
            head(&tagged, |envelope| envelope.pages = Pages::Others),
            format!("{begin}etag: \"7\"\r\n{common}cache-control: no-cache\r\nvary: Accept, Origin\r\n\r\n")
        );
        assert_eq!(
            head(&document(), |envelope| envelope.pages = Pages::From(b"http://a")),
            format!(
                "{begin}{common}{no_store}vary: Origin\r\naccess-control-allow-origin: http://a\r\n\
                 access-control-expose-headers: {EXPOSED}\r\n\r\n"
            )
        );
        for (status, first, length) in [
            (StatusCode::NO_CONTENT, "204 No Content", ""),
            (StatusCode::NOT_MODIFIED, "304 Not Modified", ""),
            (StatusCode::NOT_FOUND, "404 Not Found", "content-length: 0\r\n"),
        ] {
            let expected = format!("HTTP/1.1 {first}\r\n{length}{common}{no_store}\r\n");
            assert_eq!(head(&Answer::empty(status), |_| ()), expected);
        }
    }

    #[test]
    fn timing_is_in_milliseconds() {
        for (us, expected) in [
            (0, "0.000"),
            (7, "0.007"),
            (42_123, "42.123"),
            (10_000_001, "10000.001"),
            (u64::MAX, "18446744073709551.615"),
        ] {
            let mut out = Vec::new();
            timing(Duration::from_micros(us), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("server-timing: total;dur={expected}\r\n"));
        }
    }
}
