//! Answers, each rendered in one piece into a buffer that its thread keeps.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use http_body_util::Full;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue, VARY};
use hyper::{Response, StatusCode};

use super::encode::{Encode, Json, MessagePack, Out};
use super::media::Format;

/// An answer, as a handler returns it.
pub(crate) type Answer = Response<Content>;

/// The content of an answer: nearly always complete.
pub(crate) enum Content {
    Whole(Full<Bytes>),
    Streamed(Streamed),
}

/// Content that is made while it is sent.
pub(crate) struct Streamed {
    body: Pin<Box<dyn Body<Data = Bytes, Error = Infallible> + Send>>,
    /// Dropped with the last of it, or when the client goes.
    held: Option<Box<dyn Send>>,
}

impl Default for Content {
    fn default() -> Content {
        Content::Whole(Full::default())
    }
}

impl Content {
    /// Keeps this until the content is sent, if it is still to be made.
    pub(crate) fn hold<H: Send + 'static>(&mut self, held: impl FnOnce() -> H) {
        if let Content::Streamed(streamed) = self {
            streamed.held = Some(Box::new(held()));
        }
    }

    pub(crate) fn is_streamed(&self) -> bool {
        matches!(self, Content::Streamed(_))
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Content::Whole(body) => Pin::new(body).poll_frame(cx),
            Content::Streamed(streamed) => streamed.body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Content::Whole(body) => body.is_end_stream(),
            Content::Streamed(streamed) => streamed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Content::Whole(body) => body.size_hint(),
            Content::Streamed(streamed) => streamed.body.size_hint(),
        }
    }
}

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
    made(status, content_type, Content::Whole(Full::new(body)))
}

/// An answer whose content is made while it is sent.
pub(crate) fn streamed(
    status: StatusCode,
    content_type: &'static str,
    body: impl Body<Data = Bytes, Error = Infallible> + Send + 'static,
) -> Answer {
    made(status, content_type, Content::Streamed(Streamed { body: Box::pin(body), held: None }))
}

fn made(status: StatusCode, content_type: &'static str, content: Content) -> Answer {
    let mut answer = Response::new(content);
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
