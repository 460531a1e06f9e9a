//! Answers, each rendered in one piece into a buffer that its thread keeps.

use std::cell::RefCell;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};

use super::encode::{Encode, Json, MessagePack, Out};
use super::media::Format;
use super::reading::Body;

/// An answer, as a handler returns it.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// `None` without content.
    pub(crate) content_type: Option<&'static str>,
    /// The headers of the request on which the answer depends.
    pub(crate) vary: Option<&'static str>,
    /// Further headers, but those that every answer has.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether the connection must end with it.
    pub(crate) closes: bool,
    pub(crate) content: Content,
}

/// The content of an answer: nearly always complete.
pub(crate) enum Content {
    Whole(Bytes),
    Made(Box<dyn Made>),
}

/// Content that is made while it is sent.
pub(crate) trait Made: Send {
    /// The next piece, which is not empty, or `None` at the end. It may read on in the request's body.
    fn poll_piece(&mut self, cx: &mut Context<'_>, body: &mut Body<'_>) -> Poll<Option<Bytes>>;
}

impl Answer {
    fn new(status: StatusCode, content_type: Option<&'static str>, content: Content) -> Answer {
        Answer { status, content_type, vary: None, headers: Vec::new(), closes: false, content }
    }

    /// An answer without content.
    pub(crate) fn empty(status: StatusCode) -> Answer {
        Answer::new(status, None, Content::Whole(Bytes::new()))
    }

    pub(crate) fn has(&self, name: &HeaderName) -> bool {
        self.headers.iter().any(|(known, _)| known == name)
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
    Answer::new(status, Some(content_type), Content::Whole(body))
}

/// 200 with content that is made while it is sent.
pub(crate) fn made(content_type: &'static str, content: impl Made + 'static) -> Answer {
    Answer::new(StatusCode::OK, Some(content_type), Content::Made(Box::new(content)))
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
    answer.vary = Some("Accept");
    answer
}

/// Declares that the form depends on `Accept`, and the texts on `Accept-Language`.
pub(crate) fn varying_by_language(mut answer: Answer) -> Answer {
    answer.vary = Some("Accept, Accept-Language");
    answer
}
