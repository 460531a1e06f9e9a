//! `POST /v1/decisions/batch`: a stream of decision requests in, a stream of answers out, in the same
//! order. What is wrong with one request is answered in its place. However long the stream is, only one
//! piece of it is in memory: nothing more is read until the client has taken the answers so far.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

use super::decisions;
use crate::http::bounds::{MAX_BATCHES, MAX_DECISION_BYTES};
use crate::http::call::{Call, Worker};
use crate::http::metrics::Counters;
use crate::http::wire::answer::{Answer, Made};
use crate::http::wire::head::Head;
use crate::http::wire::media::{Format, Media};
use crate::http::wire::reading::Body;
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::http::wire::room::Size;
use crate::http::wire::{answer, body, media};
use crate::input::invisible::BYTE_ORDER_MARK;
use crate::input::msgpack::MsgpackEnd;
use crate::input::problem::Problems;
use crate::node::Node;

/// After this many bytes of answers, or this many requests, other connections of the thread have their turn.
const PIECE_BYTES: usize = 32 * 1024;
const PIECE_REQUESTS: usize = 64;

/// Answers a stream of requests.
pub(crate) fn post(call: &Call<'_>) -> Result<Answer, Refusal> {
    decisions::no_parameters(call)?;
    let head = call.head;
    let media = media::of_body(head, &[Media::Lines, Media::MessagePack])?;
    let format = media::lines(head)?;
    body::not_packed(head)?;
    let shared = &call.worker.shared;
    let Ok(place) = Arc::clone(&shared.batches).try_acquire_owned() else {
        let detail = format!("{MAX_BATCHES} batches are running already; try again in a second");
        return Err(Refusal::new(ProblemKind::Overloaded, detail).in_a_second());
    };
    let content_type = match format {
        Format::Json => media::LINES,
        Format::MessagePack => format.content_type(),
    };
    let batch = Batch {
        worker: call.worker.clone(),
        node: Arc::clone(call.node),
        head: head.clone(),
        format,
        requests: Requests::new(media),
        patience: shared.settings.body_timeout,
        late: None,
        pause: false,
        ended: false,
        _place: place,
    };
    Ok(answer::varying_by_language(answer::made(content_type, batch)))
}

/// The answers, decided one after the other as they are sent.
struct Batch {
    worker: Worker,
    node: Arc<Node>,
    /// The head of the request.
    head: Head,
    format: Format,
    requests: Requests,
    /// How long the next request may take to arrive.
    patience: Duration,
    late: Option<Pin<Box<Sleep>>>,
    /// Whether others have their turn before the next piece.
    pause: bool,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Made for Batch {
    fn poll_piece(&mut self, cx: &mut Context<'_>, body: &mut Body<'_>) -> Poll<Option<Bytes>> {
        if std::mem::take(&mut self.pause) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = ready!(self.poll_answers(cx, body));
        self.pause = true;
        Poll::Ready((!piece.is_empty()).then(|| piece.freeze()))
    }
}

impl Batch {
    /// The next answers. None are left when they are empty.
    fn poll_answers(&mut self, cx: &mut Context<'_>, body: &mut Body<'_>) -> Poll<BytesMut> {
        let mut piece = BytesMut::new();
        let mut count = 0;
        while !self.ended {
            match self.requests.next() {
                Next::Request(request) => self.answer(&request, &mut piece),
                Next::TooLong => self.refuse(&too_long(), &mut piece),
                Next::Unreadable(problems) => {
                    self.refuse(&Refusal::problems(ProblemKind::Invalid, problems), &mut piece);
                    self.ended = true; // nobody can tell where the next request begins
                }
                Next::End => self.ended = true,
                Next::More if piece.is_empty() => {
                    ready!(self.poll_more(cx, body, &mut piece));
                    continue;
                }
                // What is there is sent before more is awaited.
                Next::More => return Poll::Ready(piece),
            }
            (self.late, count) = (None, count + 1);
            if piece.len() >= PIECE_BYTES || count == PIECE_REQUESTS {
                break;
            }
        }
        Poll::Ready(piece)
    }

    /// Reads on. What keeps it from that is answered as the last of all.
    fn poll_more(&mut self, cx: &mut Context<'_>, body: &mut Body<'_>, piece: &mut BytesMut) -> Poll<()> {
        match body.poll_into(cx, &mut self.requests.rest) {
            Poll::Ready(Ok(0)) => self.requests.end(),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(why)) => self.give_up(&body::unreadable(&why), piece),
            Poll::Pending => {
                let patience = self.patience;
                let late = self.late.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
                ready!(late.as_mut().poll(cx));
                let detail = format!("no request was complete for {} s", patience.as_secs_f32());
                self.give_up(&Refusal::new(ProblemKind::Timeout, detail), piece);
            }
        }
        Poll::Ready(())
    }

    /// Refuses the request that did not come to its end, as the last of all.
    fn give_up(&mut self, refusal: &Refusal, piece: &mut BytesMut) {
        self.requests.number += 1;
        self.refuse(refusal, piece);
        self.ended = true;
    }

    fn answer(&mut self, request: &[u8], piece: &mut BytesMut) {
        let now = Instant::now();
        let call = Call {
            worker: &self.worker,
            node: &self.node,
            head: &self.head,
            variables: Default::default(),
            size: Size::Decision,
            started: now,
            format: self.format,
        };
        let (media, number) = (self.requests.media, self.requests.number);
        match caught(self.worker.counters(), number, || decisions::of_body(&call, media, request, now)) {
            Ok(answer) => self.put(&answer, piece),
            Err(refusal) => self.refuse(&refusal, piece),
        }
    }

    /// Writes a refusal with the number of its request.
    fn refuse(&self, refusal: &Refusal, piece: &mut BytesMut) {
        let number = self.requests.number;
        let document = refusal.rendered(self.format, |out| {
            out.key("request");
            out.unsigned(number);
        });
        self.put(&document, piece);
    }

    fn put(&self, answer: &[u8], piece: &mut BytesMut) {
        piece.reserve(answer.len() + 1);
        piece.extend_from_slice(answer);
        if self.format == Format::Json {
            piece.extend_from_slice(b"\n");
        }
    }
}

/// What a decision comes to. A panic costs only its own request.
fn caught(
    counters: &Counters,
    number: u64,
    decide: impl FnOnce() -> Result<Bytes, Refusal>,
) -> Result<Bytes, Refusal> {
    catch_unwind(AssertUnwindSafe(decide)).unwrap_or_else(|_| {
        counters.panics.add(1);
        tracing::error!(number, "the decision of a request in a batch panicked: answered 500");
        Err(Refusal::fault())
    })
}

fn too_long() -> Refusal {
    Refusal::new(ProblemKind::TooLarge, format!("a request may have at most {MAX_DECISION_BYTES} bytes"))
}

/// The requests of a stream, as far as it has arrived.
struct Requests {
    media: Media,
    /// What has arrived and was not taken yet: one request and one piece of the body at most.
    rest: BytesMut,
    /// Whether the start of a stream of lines, and a mark there, is past.
    begun: bool,
    /// How many bytes of `rest` are known to hold no end of a line.
    searched: usize,
    /// Where the value of MessagePack ends that `rest` begins with.
    end: MsgpackEnd,
    /// Whether the line that `rest` begins in is too long. It was answered.
    skipping: bool,
    ended: bool,
    /// The number of the request that was taken last, from 1.
    number: u64,
}

/// What comes next in a stream.
#[derive(Debug, PartialEq)]
enum Next {
    Request(BytesMut),
    /// A request with too many bytes, which are passed over.
    TooLong,
    /// The rest cannot be told apart.
    Unreadable(Problems),
    /// More must arrive first.
    More,
    End,
}

impl Requests {
    fn new(media: Media) -> Requests {
        Requests {
            media,
            rest: BytesMut::new(),
            begun: false,
            searched: 0,
            end: MsgpackEnd::default(),
            skipping: false,
            ended: false,
            number: 0,
        }
    }

    /// Notes that nothing more arrives.
    fn end(&mut self) {
        self.ended = true;
    }

    fn next(&mut self) -> Next {
        let next = if self.media == Media::Lines { self.next_line() } else { self.next_value() };
        self.number += u64::from(!matches!(next, Next::More | Next::End));
        next
    }

    /// Passes over a mark at the start of the stream. `false` if more must arrive to tell whether there is
    /// one.
    fn begin(&mut self) -> bool {
        if !self.begun
            && self.rest.len() < BYTE_ORDER_MARK.len()
            && BYTE_ORDER_MARK.starts_with(&self.rest)
            && !self.ended
        {
            return false;
        }
        if !std::mem::replace(&mut self.begun, true) && self.rest.starts_with(BYTE_ORDER_MARK) {
            self.rest.advance(BYTE_ORDER_MARK.len());
        }
        true
    }

    /// The next line that is not blank.
    fn next_line(&mut self) -> Next {
        if !self.begin() {
            return Next::More;
        }
        loop {
            let end = self.rest[self.searched..].iter().position(|byte| *byte == b'\n');
            let Some(end) = end.map(|end| end + self.searched) else {
                self.searched = self.rest.len();
                if self.rest.len() > MAX_DECISION_BYTES {
                    (self.searched, self.rest) = (0, BytesMut::new());
                    if !std::mem::replace(&mut self.skipping, true) {
                        return Next::TooLong;
                    }
                }
                if !self.ended {
                    return Next::More;
                }
                let last = std::mem::take(&mut self.rest);
                self.searched = 0;
                let blank = self.skipping || last.trim_ascii().is_empty();
                return if blank { Next::End } else { Next::Request(last) };
            };
            let mut line = self.rest.split_to(end + 1);
            self.searched = 0;
            line.truncate(end);
            if std::mem::take(&mut self.skipping) || line.trim_ascii().is_empty() {
                continue;
            }
            return if line.len() > MAX_DECISION_BYTES { Next::TooLong } else { Next::Request(line) };
        }
    }

    /// The next value of MessagePack.
    fn next_value(&mut self) -> Next {
        if self.rest.is_empty() {
            return if self.ended { Next::End } else { Next::More };
        }
        match self.end.find(&self.rest) {
            Ok(Some(length)) if length <= MAX_DECISION_BYTES => {
                self.end = MsgpackEnd::default();
                Next::Request(self.rest.split_to(length))
            }
            Ok(whole) if whole.is_some() || self.rest.len() > MAX_DECISION_BYTES => {
                let detail =
                    format!("a request has more than {MAX_DECISION_BYTES} bytes; what follows is not read");
                Next::Unreadable(Problems::one(detail))
            }
            Ok(_) if self.ended => {
                Next::Unreadable(Problems::one("the last request is not complete".to_owned()))
            }
            Ok(_) => Next::More,
            Err(problems) => Next::Unreadable(problems),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a stream, whole and cut into pieces of every length.
    #[track_caller]
    fn requests(media: Media, stream: &[u8]) -> Vec<String> {
        let read = |piece: usize| {
            let mut requests = Requests::new(media);
            let (mut all, mut pieces) = (Vec::new(), stream.chunks(piece));
            loop {
                match requests.next() {
                    Next::Request(bytes) => all.push(String::from_utf8_lossy(&bytes).into_owned()),
                    Next::TooLong => all.push(format!("too long: {}", requests.number)),
                    Next::Unreadable(problems) => {
                        all.push(problems.to_string());
                        return all;
                    }
                    Next::More => match pieces.next() {
                        Some(piece) => requests.rest.extend_from_slice(piece),
                        None => requests.end(),
                    },
                    Next::End => return all,
                }
            }
        };
        let whole = read(stream.len().max(1));
        for piece in [1, 2, 3, 7, 1_000, 40_000] {
            assert_eq!(read(piece), whole, "in pieces of {piece}");
        }
        whole
    }

    #[test]
    fn lines_are_requests_unless_they_are_blank_or_too_long() {
        for (stream, expected) in
            [("", &[][..]), ("\n \r\n", &[]), ("a", &["a"]), ("a\n", &["a"]), ("a\r\n\nb\n", &["a\r", "b"])]
        {
            assert_eq!(requests(Media::Lines, stream.as_bytes()), expected, "{stream:?}");
        }
        for (stream, expected) in [
            ("\u{feff}a\nb", &["a", "b"][..]),
            ("\u{feff}\n\u{feff}a\n", &["\u{feff}a"]),
            ("\u{feff}", &[]),
            ("\u{feff}\u{feff}", &["\u{feff}"]),
        ] {
            assert_eq!(requests(Media::Lines, stream.as_bytes()), expected, "{stream:?}");
        }
        assert_eq!(requests(Media::Lines, b"\xef\xbb"), ["\u{fffd}"], "a part of a mark is none");
        let (fits, long) = ("x".repeat(MAX_DECISION_BYTES), "x".repeat(MAX_DECISION_BYTES + 1));
        assert_eq!(requests(Media::Lines, format!("{fits}\nb").as_bytes()), [fits.as_str(), "b"]);
        assert_eq!(requests(Media::Lines, format!("\u{feff}{fits}\nb").as_bytes()), [fits.as_str(), "b"]);
        for stream in [format!("a\n{long}\nb"), format!("a\n{long}{long}{long}\nb\n")] {
            assert_eq!(requests(Media::Lines, stream.as_bytes()), ["a", "too long: 2", "b"]);
        }
        assert_eq!(requests(Media::Lines, long.as_bytes()), ["too long: 1"]);
    }

    #[test]
    fn values_of_messagepack_are_told_apart() {
        let one = rmp_serde::to_vec(&("a", [1, 2])).unwrap();
        assert_eq!(requests(Media::MessagePack, &one.repeat(3)).len(), 3);
        assert!(requests(Media::MessagePack, b"").is_empty());
        let cut = [one.as_slice(), &one[..2]].concat();
        assert_eq!(requests(Media::MessagePack, &cut)[1..], ["the last request is not complete\n"]);
        let wrong = [one.as_slice(), b"\xc1"].concat();
        assert!(requests(Media::MessagePack, &wrong)[1].contains("not valid MessagePack"));
        let long = rmp_serde::to_vec(&"x".repeat(MAX_DECISION_BYTES)).unwrap();
        let found = requests(Media::MessagePack, &long);
        assert!(found.len() == 1 && found[0].contains("more than 65536 bytes"), "{found:?}");
    }

    #[test]
    fn a_panic_costs_its_own_request() {
        let counters = Counters::new(0);
        let found = caught(&counters, 1, || {
            if std::hint::black_box(true) {
                panic!("on purpose");
            }
            Ok(Bytes::new())
        });
        let text = String::from_utf8_lossy(&found.unwrap_err().rendered(Format::Json, |_| {})).into_owned();
        assert!(text.contains("\"status\":500") && text.contains("counted and logged"), "{text}");
        assert_eq!(counters.panics.get(), 1);
        assert_eq!(caught(&counters, 2, || Ok(Bytes::from_static(b"x"))).unwrap(), "x");
        assert_eq!(counters.panics.get(), 1);
    }
}
