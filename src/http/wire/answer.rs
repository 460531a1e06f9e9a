//! Answers, each rendered in one piece into a buffer that its thread keeps.

use std::cell::RefCell;

use bytes::BytesMut;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, VARY};
use hyper::{Response, StatusCode};

use super::encode::{Encode, Json, MessagePack, Out};
use super::media::Format;

/// A complete answer, as a handler returns it.
pub(crate) type Answer = Response<Full<Bytes>>;

/// A buffer larger than this is freed after its answer.
const KEPT_BYTES: usize = 1024 * 1024;
/// First size of a thread's buffer: room for a few dozen usual answers.
const FIRST_BYTES: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// The bytes that `write` writes, in this thread's buffer. The answer shares them without a copy, and the
/// buffer is used again once the answer is sent.
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

/// A document in this format. Calls go through a table of methods, so decisions do without it.
pub(crate) fn render(format: Format, write: impl FnOnce(&mut dyn Encode)) -> Bytes {
    buffered(|out| match format {
        Format::Json => write(&mut Json::new(out)),
        Format::MessagePack => write(&mut MessagePack::new(out)),
    })
}

/// An answer with any status and content type.
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

/// 200 with a text that never changes.
pub(crate) fn text(content_type: &'static str, text: &'static str) -> Answer {
    with(StatusCode::OK, content_type, Bytes::from_static(text.as_bytes()))
}

/// Declares that the form depends on `Accept`, so that no cache serves one form for the other.
pub(crate) fn varying(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    answer
}

/// Declares that the form depends on `Accept`, and the texts on `Accept-Language`.
pub(crate) fn varying_by_language(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(VARY, HeaderValue::from_static("Accept, Accept-Language"));
    answer
}
