//! Answers: rendered into a buffer that each thread keeps, in one piece.

use std::cell::RefCell;

use bytes::BytesMut;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, ETAG, HeaderValue, VARY};
use hyper::{Response, StatusCode};

use super::encode::{Encode, Json, MessagePack, Out};
use super::media::Format;

/// What a handler answers with.
pub(crate) type Answer = Response<Full<Bytes>>;

/// A buffer beyond this is given back after an answer that needed it.
const KEPT_BYTES: usize = 1024 * 1024;
/// What a thread's buffer starts with: a few dozen usual answers.
const FIRST_BYTES: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// What `write` writes, in this thread's buffer. The bytes are shared with the answer, not copied; when the answer is
/// sent, the buffer is used again.
pub(crate) fn buffered(write: impl FnOnce(&mut Out)) -> Bytes {
    let mut out = Out(BUFFER.take());
    if out.0.capacity() == 0 {
        out.0.reserve(FIRST_BYTES);
    }
    write(&mut out);
    let bytes = out.0.split().freeze();
    if bytes.len() <= KEPT_BYTES {
        BUFFER.replace(out.0);
    }
    bytes
}

/// A document in this format. For answers that are not on the way of every decision: calls go through a table.
pub(crate) fn render(format: Format, write: impl FnOnce(&mut dyn Encode)) -> Bytes {
    buffered(|out| match format {
        Format::Json => write(&mut Json::new(out)),
        Format::MessagePack => write(&mut MessagePack::new(out)),
    })
}

/// An answer of any kind.
pub(crate) fn with(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// 200 with a document in this format.
pub(crate) fn document(format: Format, write: impl FnOnce(&mut dyn Encode)) -> Answer {
    with(StatusCode::OK, format.content_type(), render(format, write))
}

/// 200 with a text.
pub(crate) fn text(content_type: &'static str, text: &'static str) -> Answer {
    with(StatusCode::OK, content_type, Bytes::from_static(text.as_bytes()))
}

/// Adds the entity tag, quotes included.
pub(crate) fn tagged(mut answer: Answer, tag: &str) -> Answer {
    if let Ok(value) = HeaderValue::from_str(tag) {
        answer.headers_mut().insert(ETAG, value);
    }
    answer
}

/// Says that the form depends on what was asked for, so that no cache gives one form for another.
pub(crate) fn varying(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    answer
}
