//! One connection, from its first byte to its last: reads a head, hands the request to its handler, and
//! sends the answer.
//!
//! It is our own in place of hyper's server, and that was measured: a decision takes a fifth fewer
//! instructions. hyper reads kindly what a proxy in front may read otherwise, so all bytes had to be read
//! twice. It has no word for deadlines, for the last answer before a stop, and for refusals that cost little;
//! these stood around it. What is hard to read, the lines of a head, hyper's own library reads here too.
//!
//! Answers to pipelined requests leave in one write: they wait while a further whole head has arrived, until
//! a handler has to wait, or until there are many bytes of them.

use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::Method;
use socket2::SockRef;
use tokio::net::TcpStream;

use super::admission::Seat;
use super::caller;
use super::caller::Pages;
use super::envelope::Envelope;
use super::idle::Idle;
use super::pace::Deadline;
use super::respond::{Access, Answered, Peer};
use super::writing::Writing;
use super::{respond, shed};
use crate::http::bounds::{MAX_BULK_BYTES, SPARE_TIMEOUT};
use crate::http::call::{ServerState, Worker};
use crate::http::routes;
use crate::http::wire::answer::{Answer, Content, Made};
use crate::http::wire::head::{Head, Unreadable};
use crate::http::wire::media::Format;
use crate::http::wire::reading::{Body, Reading};
use crate::http::wire::request_id::RequestId;

/// How long a request that nobody wants is read and dropped, so that the client sees the answer and not a
/// reset connection.
const LINGER: Duration = Duration::from_secs(1);
/// The most bytes of such a request that are read and dropped: the largest that a route takes, and as much
/// again for the clients of a batch, who send while they read.
const LINGER_BYTES: usize = 2 * MAX_BULK_BYTES;
/// On stopping: how long nothing may arrive on a connection before it is closed. A request that is on its way
/// when the server begins to stop is answered.
const QUIET: Duration = Duration::from_millis(500);
/// What a client is told that waits before it sends a body.
const GO_ON: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A connection while it is served.
pub(super) struct Connection {
    peer: Peer,
    reading: Reading,
    writing: Writing,
    idle: Idle,
    /// Runs while a part of a head has arrived.
    head: Deadline,
    quiet: Deadline,
    /// Whether decisions are refused since the last bytes were read.
    crowded: bool,
}

/// What comes next on a connection: a request, what cannot be read, or the end.
type Next = Option<Result<Head, Unreadable>>;

impl Connection {
    pub(super) fn new(socket: TcpStream, worker: Worker, seat: Seat) -> Connection {
        let settings = &worker.shared.settings;
        let idle = if seat == Seat::Spare { SPARE_TIMEOUT } else { settings.idle_timeout };
        let (receiving, sending) = socket.into_split();
        Connection {
            reading: Reading::new(receiving),
            writing: Writing::new(sending, settings.write_timeout),
            idle: Idle::new(idle),
            head: Deadline::default(),
            quiet: Deadline::default(),
            crowded: false,
            peer: Peer { worker, seat, allowed_host: OnceLock::new() },
        }
    }

    fn shared(&self) -> &ServerState {
        &self.peer.worker.shared
    }

    /// Answers all requests of the connection, and closes it.
    ///
    /// # Errors
    /// The connection is broken, or its client too slow.
    pub(super) async fn serve(mut self) -> io::Result<()> {
        loop {
            let goes_on = match poll_fn(|cx| self.poll_next(cx)).await? {
                Some(Ok(head)) if self.is_shed(&head) => self.shed(&head).await?,
                Some(Ok(head)) => self.answer(&head).await?,
                Some(Err(why)) => self.refuse_unread(why),
                None => false,
            };
            if !goes_on {
                return self.close().await;
            }
            if self.reading.has_bytes() {
                tokio::task::consume_budget().await; // others have their turn now and then
            }
        }
    }

    /// Waits for the next head. What is held is sent first, unless that head has arrived already.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Next>> {
        loop {
            match self.reading.take_head() {
                Ok(Some(head)) => {
                    self.head.clear();
                    return Poll::Ready(Ok(Some(Ok(head))));
                }
                Ok(None) => self.crowded = false,
                Err(why) => return Poll::Ready(Ok(Some(Err(why)))),
            }
            ready!(self.writing.poll_flush(cx))?;
            if let Some(now) = self.writing.rest() {
                self.idle.note(now);
            }
            let begins = !self.reading.has_bytes();
            match self.reading.poll_more(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(None)),
                Poll::Ready(Ok(_)) => {
                    self.quiet.clear();
                    self.crowded = begins && self.peer.worker.queue.note();
                }
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending if self.shared().stopping.load(Ordering::Relaxed) => {
                    return self.poll_quiet(cx);
                }
                Poll::Pending => return self.poll_late(cx),
            }
        }
    }

    /// Called when there is nothing to read. Fails if no head has come in time, or not all of one.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Next>> {
        let too_late = |why| Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
        if self.idle.poll(cx).is_ready() {
            return too_late("no request came for too long");
        }
        if !self.reading.has_bytes() {
            self.head.clear();
            return Poll::Pending;
        }
        ready!(self.head.poll(self.peer.worker.shared.settings.head_timeout, cx));
        too_late("the head took too long")
    }

    /// Called when there is nothing to read while the server stops. Ready, which ends the connection, when
    /// nothing has arrived between two requests for long enough.
    fn poll_quiet(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Next>> {
        if self.reading.has_bytes() {
            return self.poll_late(cx);
        }
        loop {
            ready!(self.quiet.poll(QUIET, cx));
            if !is_readable(self.reading.socket()) {
                return Poll::Ready(Ok(None));
            }
            self.quiet.clear(); // the runtime wakes us for these bytes
        }
    }

    /// Answers one request. Returns whether the connection goes on.
    async fn answer(&mut self, head: &Head) -> io::Result<bool> {
        let answered = self.answered(head).await?;
        self.send(head, answered).await
    }

    /// Lets the handler answer. What is held is sent while the handler waits.
    async fn answered(&mut self, head: &Head) -> io::Result<Answered> {
        let Connection { peer, reading, writing, .. } = self;
        let go_on = AtomicBool::new(false);
        let body = Body::new(reading, head.expects.then_some(&go_on));
        let mut responding = pin!(respond::respond(peer, head, body, Instant::now()));
        let answered = poll_fn(|cx| {
            if let Poll::Ready(answered) = responding.as_mut().poll(cx) {
                return Poll::Ready(Ok(answered));
            }
            if go_on.swap(false, Ordering::Relaxed) {
                writing.out().extend_from_slice(GO_ON);
            }
            match writing.poll_flush(cx) {
                Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
                _ => Poll::Pending,
            }
        });
        answered.await
    }

    /// Sends an answer, or holds it for those behind it. Returns whether the connection goes on.
    async fn send(&mut self, head: &Head, answered: Answered) -> io::Result<bool> {
        let is_made = matches!(answered.answer.content, Content::Made(_));
        // What is made may still need the body.
        let ends_soon = is_made || self.reading.pass_body() || (self.reading.ends_soon() && !head.expects);
        let last = !ends_soon || (is_made && head.is_old) || self.is_last(head, &answered.answer);
        if is_made && head.expects {
            self.writing.out().extend_from_slice(GO_ON);
        }
        self.write_head(Some(head), &answered, last);
        self.idle.note(answered.ended);
        match answered.answer.content {
            Content::Whole(content) if head.method != Method::HEAD => self.writing.put(content),
            Content::Whole(_) => {}
            Content::Made(mut content) => {
                poll_fn(|cx| self.poll_made(&mut *content, head.is_old, cx)).await?;
                self.idle.note(Instant::now());
            }
        }
        if !self.writing.has_room() {
            poll_fn(|cx| self.writing.poll_flush(cx)).await?;
        }
        Ok(!last && (!is_made || self.reading.is_between()))
    }

    /// Whether the connection ends with this answer. While the server stops, the last request that has
    /// arrived is told so. What has arrived after this request is answered first.
    fn is_last(&self, head: &Head, answer: &Answer) -> bool {
        !head.keeps_alive
            || answer.closes
            || self.peer.seat == Seat::Spare
            || (self.shared().unready.load(Ordering::Relaxed) && !self.has_more())
    }

    /// Whether anything has arrived after the last request. Asks the system, for the runtime may not know
    /// yet.
    fn has_more(&self) -> bool {
        self.reading.has_bytes() || is_readable(self.reading.socket())
    }

    /// Writes the head of an answer, counts it and logs it. Nobody could read the request without a head.
    fn write_head(&mut self, head: Option<&Head>, answered: &Answered, last: bool) {
        let Answered { answer, id, route, chosen, ended, took } = answered;
        let worker = &self.peer.worker;
        let pages = head.map_or(Pages::None, |head| caller::pages(head, &worker.shared));
        let is_old = head.is_some_and(|head| head.is_old);
        let envelope = Envelope { id, chosen: *chosen, pages, is_old, last, ended: *ended, took: *took };
        envelope.write(answer, self.writing.out());
        let (route, status) = (*route, answer.status.as_u16());
        worker.counters().count(route, status);
        respond::log_access(|| {
            let bytes = match &answer.content {
                Content::Whole(content) => Some(content.len() as u64),
                Content::Made(_) => None,
            };
            Access { method: head.map(|head| &head.method), route, status, bytes, took: *took, id }
        });
    }

    /// Sends content as it is made. No more of it is made before the client has taken what there is.
    fn poll_made(
        &mut self,
        content: &mut dyn Made,
        is_old: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.writing.poll_flush(cx))?;
            let mut body = Body::new(&mut self.reading, None);
            match ready!(content.poll_piece(cx, &mut body)) {
                Some(piece) if is_old => self.writing.put(piece),
                Some(piece) => {
                    self.writing.out().extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                    self.writing.out().extend_from_slice(&piece);
                    self.writing.out().extend_from_slice(b"\r\n");
                }
                None if is_old => return Poll::Ready(Ok(())),
                None => {
                    self.writing.out().extend_from_slice(b"0\r\n\r\n");
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Whether the request is refused because decisions wait too long. It must have come alone.
    fn is_shed(&self, head: &Head) -> bool {
        self.crowded
            && self.peer.seat == Seat::Ordinary
            && self.reading.has_one_whole_request()
            && !self.shared().unready.load(Ordering::Relaxed)
            && shed::may_refuse(head)
    }

    /// Refuses a decision once it is the refusal's turn.
    async fn shed(&mut self, head: &Head) -> io::Result<bool> {
        let begun = Instant::now();
        self.reading.pass_body();
        tokio::time::sleep(self.peer.worker.queue.turn(begun)).await;
        self.peer.worker.counters().overloads.add(1);
        let answered = Answered {
            answer: shed::answer(head),
            id: RequestId::of(head),
            route: routes::DECISIONS,
            chosen: true,
            ended: Instant::now(),
            took: begun.elapsed(),
        };
        self.send(head, answered).await
    }

    /// Refuses what cannot be read. Nothing of the connection is read after it.
    fn refuse_unread(&mut self, why: Unreadable) -> bool {
        if let Some(refusal) = respond::unreadable(why) {
            let answered = Answered {
                answer: refusal.answer(Format::Json, &Method::GET),
                id: RequestId::made(),
                route: routes::TABLE.len(),
                chosen: false,
                ended: Instant::now(),
                took: Duration::ZERO,
            };
            self.write_head(None, &answered, true);
            if let Content::Whole(content) = answered.answer.content {
                self.writing.put(content);
            }
        }
        false
    }

    /// Sends what is left, and ends the connection. A client that may still be sending is listened to for a
    /// while, unless its place is a spare one, for which others wait.
    async fn close(mut self) -> io::Result<()> {
        poll_fn(|cx| self.writing.poll_flush(cx)).await?;
        poll_fn(|cx| self.writing.poll_shutdown(cx)).await?;
        if !self.reading.is_between() && self.peer.seat == Seat::Ordinary {
            let wasted = self.waste();
            let _ = tokio::time::timeout(LINGER, wasted).await; // then that is all
        }
        Ok(())
    }

    async fn waste(&mut self) {
        let mut wasted = 0;
        while wasted < LINGER_BYTES {
            match poll_fn(|cx| self.reading.poll_waste(cx)).await {
                Ok(0) | Err(_) => return,
                Ok(count) => wasted += count,
            }
        }
    }
}

/// Whether bytes wait in the socket.
fn is_readable(socket: &TcpStream) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    SockRef::from(socket).peek(&mut byte).is_ok_and(|length| length > 0)
}
