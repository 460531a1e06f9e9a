//! A socket with what hyper lacks. Answers to pipelined requests leave in one write. A head that has begun
//! must end in time. A client that takes its answers too slowly is given up. What could be read in two ways
//! is found ([`Framing`]). When the server stops, the connection ends once nothing arrives any more.
//!
//! hyper's `pipeline_flush` will not do. It holds back all answers while its read buffer holds any part of a
//! further request, without a bound. A client that always sends one half of a request too many would never
//! get an answer, and could grow the buffer at will. Here answers are held back only while a further whole
//! head waits for hyper, until hyper reads again or waits for the handler, or until [`HELD_BYTES`] are held.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::admission::Seat;
use super::framing::{Fault, Framing};
use super::idle::Idle;
use super::pace::{Deadline, Pace};
use super::respond::Access;
use super::shed::Asked;
use super::{raw, respond, shed, unread};
use crate::http::bounds::{MAX_BULK_BYTES, SPARE_TIMEOUT};
use crate::http::call::{ServerState, Worker};
use crate::http::routes;
use crate::http::wire::refusal::Refusal;

/// The most bytes of answers that are held back.
const HELD_BYTES: usize = 32 * 1024;
/// How long a body that nobody wants is read and dropped, so that the client sees the answer and not a reset
/// connection.
const LINGER: Duration = Duration::from_secs(1);
/// The most bytes of such a body that are read and dropped: the largest that a route takes, and as much again
/// for the clients of a batch, who send while they read.
const LINGER_BYTES: usize = 2 * MAX_BULK_BYTES;
/// On stopping: how long nothing may arrive on a connection before it is closed. A request that is on its way
/// when the server begins to stop is answered.
const QUIET: Duration = Duration::from_millis(500);

/// What the stream and the handler of its requests share.
pub(crate) struct Pulse {
    socket: Mutex<TcpStream>,
    /// The number of request heads that have arrived.
    arrived: AtomicU32,
    /// Whether a part of a further head has arrived.
    partial: AtomicBool,
    /// The first fault of framing.
    pub(crate) fault: OnceLock<Fault>,
    /// The number of request heads handed to the handler so far.
    pub(crate) heads: AtomicU32,
    /// Whether a request is being handled.
    pub(crate) busy: AtomicBool,
    begun: Instant,
    /// When the last request was answered, in nanoseconds since the connection began.
    answered_ns: AtomicU64,
    /// Whether the last request was refused, so that more of it may still arrive: linger on closing.
    pub(crate) refused: AtomicBool,
}

impl Pulse {
    pub(crate) fn new(socket: TcpStream) -> Pulse {
        Pulse {
            socket: Mutex::new(socket),
            arrived: AtomicU32::new(0),
            partial: AtomicBool::new(false),
            fault: OnceLock::new(),
            heads: AtomicU32::new(0),
            busy: AtomicBool::new(false),
            begun: Instant::now(),
            answered_ns: AtomicU64::new(0),
            refused: AtomicBool::new(false),
        }
    }

    /// Notes that a request is answered now.
    pub(crate) fn answered(&self, now: Instant) {
        let ns = u64::try_from((now - self.begun).as_nanos()).unwrap_or(u64::MAX);
        self.answered_ns.store(ns, Ordering::Relaxed);
        self.busy.store(false, Ordering::Relaxed);
    }

    fn last_answer(&self) -> Instant {
        self.begun + Duration::from_nanos(self.answered_ns.load(Ordering::Relaxed))
    }

    fn socket(&self) -> MutexGuard<'_, TcpStream> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything has arrived after the request of this number. Asks the system, for the runtime may
    /// not know yet.
    pub(crate) fn has_more(&self, head: u32) -> bool {
        self.arrived.load(Ordering::Relaxed) > head
            || self.partial.load(Ordering::Relaxed)
            || is_readable(&self.socket())
    }
}

/// Whether bytes wait in the socket.
fn is_readable(socket: &TcpStream) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    SockRef::from(socket).peek(&mut byte).is_ok_and(|length| length > 0)
}

/// The socket of one connection.
pub(crate) struct Stream {
    pulse: Arc<Pulse>,
    worker: Worker,
    seat: Seat,
    framing: Framing,
    held: Vec<u8>,
    written: usize,
    /// Whether hyper has bytes of an answer that could not be written yet.
    unwritten: bool,
    /// Set while a head has begun: the number of heads before it.
    begun: Option<u32>,
    head: Deadline,
    idle: Idle,
    pace: Pace,
    quiet: Deadline,
    linger: Linger,
    refused: Option<Refused>,
}

/// A decision that is refused, once it is the refusal's turn.
struct Refused {
    turn: Pin<Box<Sleep>>,
    asked: Asked,
    begun: Instant,
}

#[derive(Default)]
struct Linger {
    shut: bool,
    bytes: usize,
    deadline: Deadline,
}

impl Stream {
    /// A stream whose next head must have come to its end soon enough after the last answer.
    pub(crate) fn new(pulse: Arc<Pulse>, worker: Worker, seat: Seat) -> Stream {
        let settings = &worker.shared.settings;
        let idle = if seat == Seat::Spare { SPARE_TIMEOUT } else { settings.idle_timeout };
        Stream {
            pulse,
            worker,
            seat,
            framing: Framing::default(),
            held: Vec::new(),
            written: 0,
            unwritten: false,
            begun: None,
            head: Deadline::default(),
            idle: Idle::new(idle),
            pace: Pace::default(),
            quiet: Deadline::default(),
            linger: Linger::default(),
            refused: None,
        }
    }

    fn shared(&self) -> &ServerState {
        &self.worker.shared
    }

    /// Writes the held bytes. Fails if the client takes them too slowly.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.held.len() {
            let written = {
                let mut socket = self.pulse.socket();
                Pin::new(&mut *socket).poll_write(cx, &self.held[self.written..])
            };
            match written {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => {
                    self.written += n;
                    self.pace.took(n);
                }
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => return self.poll_stalled(cx),
            }
        }
        self.held.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Holds these bytes, or writes them when they are too many to hold.
    fn write(&mut self, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        if self.held.len() + length > HELD_BYTES {
            ready!(self.poll_held(cx))?;
        }
        if length <= HELD_BYTES {
            for slice in slices {
                self.held.extend_from_slice(slice);
            }
            return Poll::Ready(Ok(length));
        }
        // Too much to hold, and nothing is held now: write to the socket.
        let written = Pin::new(&mut *self.pulse.socket()).poll_write_vectored(cx, slices);
        match written {
            Poll::Ready(Ok(n)) => {
                self.pace.took(n);
                Poll::Ready(Ok(n))
            }
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Pending => self.poll_stalled(cx),
        }
    }

    fn poll_stalled<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.pace.poll_too_slow(self.shared().settings.write_timeout, cx));
        // The connection is reset, so that the system keeps nothing for the client either.
        let _ = SockRef::from(&*self.pulse.socket()).set_linger(Some(Duration::ZERO));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes its answers too slowly")))
    }

    /// Follows the bytes that were just read. Takes back those behind a fault in a body.
    fn follow(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        let length = self.framing.follow(&buffer.filled()[before..]);
        buffer.set_filled(before + length);
        self.pulse.arrived.store(self.framing.heads(), Ordering::Relaxed);
        self.pulse.partial.store(self.framing.is_in_head(), Ordering::Relaxed);
        if let Some(fault) = self.framing.fault() {
            let _ = self.pulse.fault.set(fault); // only the first counts
        }
        if !self.pulse.busy.load(Ordering::Relaxed) {
            let heads = self.pulse.heads.load(Ordering::Relaxed);
            if self.begun != Some(heads) {
                self.begun = Some(heads);
                self.head.clear();
            }
        }
    }

    /// Refuses the request that was just read, if decisions are refused now and it is one that comes alone.
    /// It is taken back, so that hyper sees nothing of it. On a spare connection hyper's answer ends it.
    fn shed(&mut self, buffer: &mut ReadBuf<'_>, before: usize) -> bool {
        let alone = !self.unwritten
            && self.framing.is_between()
            && self.framing.heads() == self.pulse.heads.load(Ordering::Relaxed)
            && !self.pulse.busy.load(Ordering::Relaxed);
        if !alone || self.seat == Seat::Spare || self.shared().unready.load(Ordering::Relaxed) {
            return false;
        }
        let Some(asked) = Asked::read(&buffer.filled()[before..]) else { return false };
        buffer.set_filled(before);
        let begun = Instant::now();
        let turn = Box::pin(tokio::time::sleep(self.worker.queue.turn(begun)));
        self.refused = Some(Refused { turn, asked, begun });
        true
    }

    /// Ready when no decision waits to be refused.
    fn poll_refused(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(Refused { turn, .. }) = &mut self.refused {
            ready!(turn.as_mut().poll(cx));
        }
        if let Some(Refused { asked, begun, .. }) = self.refused.take() {
            let now = Instant::now();
            self.worker.counters().overloads.add(1);
            self.refuse(&shed::refusal(), &asked, routes::DECISIONS, now - begun, false);
            self.idle.note(now);
        }
        Poll::Ready(())
    }

    /// Refuses what hyper has not seen, or could not read.
    fn refuse(&mut self, refusal: &Refusal, asked: &Asked, route: usize, took: Duration, last: bool) {
        let Asked { method, id, format } = asked;
        let status = refusal.status().as_u16();
        self.worker.counters().count(route, status);
        let answer = raw::refusal(refusal, *format, id.clone(), took, last);
        let bytes = Some(answer.body_length as u64);
        respond::log_access(|| Access { method, route, status, bytes, took, id: Some(id) });
        self.held.extend_from_slice(&answer.bytes);
    }

    /// Fails if a fault was found in a body. A fault in a head is said by the answer.
    fn check_body(&self) -> io::Result<()> {
        match self.framing.fault() {
            Some(Fault { in_body: true, found, .. }) => {
                Err(io::Error::new(io::ErrorKind::InvalidData, found.text()))
            }
            _ => Ok(()),
        }
    }

    /// Called when there is nothing to read. A head must come in time, and when it has begun be complete by
    /// its deadline.
    fn poll_head_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.pulse.busy.load(Ordering::Relaxed) {
            return Poll::Pending; // the handler has a deadline for the body
        }
        let too_late = |why| Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
        self.idle.note(self.pulse.last_answer());
        if self.idle.poll(cx).is_ready() {
            return too_late("no request came for too long");
        }
        if self.begun != Some(self.pulse.heads.load(Ordering::Relaxed)) {
            self.begun = None;
            self.head.clear();
            return Poll::Pending;
        }
        ready!(self.head.poll(self.shared().settings.head_timeout, cx));
        too_late("the head took too long")
    }

    /// Called when there is nothing to read while the server stops. Ready, which ends the connection, when
    /// nothing has arrived between two requests for long enough.
    fn poll_quiet(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.framing.is_between() {
            return self.poll_head_deadline(cx);
        }
        loop {
            ready!(self.quiet.poll(QUIET, cx));
            if !is_readable(&self.pulse.socket()) {
                return Poll::Ready(Ok(()));
            }
            self.quiet.clear(); // the runtime wakes us for these bytes
        }
    }

    /// Reads and drops what the client still sends.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut waste = [0; 16 * 1024];
        while self.linger.bytes < LINGER_BYTES {
            let mut waste = ReadBuf::new(&mut waste);
            let read = Pin::new(&mut *self.pulse.socket()).poll_read(cx, &mut waste);
            match read {
                Poll::Ready(Ok(())) if !waste.filled().is_empty() => {
                    self.linger.bytes += waste.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.linger.deadline.poll(LINGER, cx),
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        loop {
            ready!(stream.poll_refused(cx));
            ready!(stream.poll_held(cx))?;
            if let Some(now) = stream.pace.rest() {
                stream.idle.note(now.into_std());
            }
            stream.check_body()?; // what stood before its fault has been handed on
            let before = buffer.filled().len();
            let read = Pin::new(&mut *stream.pulse.socket()).poll_read(cx, buffer);
            return match read {
                Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                    stream.quiet.clear();
                    let begins = stream.framing.is_between();
                    if begins && stream.worker.queue.note() && stream.shed(buffer, before) {
                        continue;
                    }
                    stream.follow(buffer, before);
                    Poll::Ready(if buffer.filled().len() == before { stream.check_body() } else { Ok(()) })
                }
                Poll::Ready(ended) => Poll::Ready(ended),
                Poll::Pending if stream.shared().stopping.load(Ordering::Relaxed) => stream.poll_quiet(cx),
                Poll::Pending => stream.poll_head_deadline(cx),
            };
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let this_head = stream.pulse.heads.load(Ordering::Relaxed).wrapping_add(1);
        let fault = stream.framing.fault().filter(|fault| fault.head == this_head);
        if let [slice] = slices
            && let Some(refusal) = unread::refusal(slice, fault.map(|fault| fault.found))
        {
            stream.refuse(&refusal, &Asked::unread(), routes::TABLE.len(), Duration::ZERO, true);
            stream.pulse.refused.store(true, Ordering::Relaxed);
            return Poll::Ready(Ok(slice.len()));
        }
        let written = stream.write(cx, slices);
        stream.unwritten = written.is_pending();
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper flushes after every answer. The bytes may stay while it has a further request to hand over: then
    /// it flushes again.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let goes_on = stream.framing.heads() > stream.pulse.heads.load(Ordering::Relaxed);
        if goes_on && !stream.pulse.busy.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        stream.poll_held(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        ready!(stream.poll_refused(cx));
        ready!(stream.poll_held(cx))?;
        if !stream.linger.shut {
            let shut = Pin::new(&mut *stream.pulse.socket()).poll_shutdown(cx);
            ready!(shut)?;
            stream.linger.shut = true;
        }
        // An answer may come to its end before its request does, as that of a batch that cannot be read.
        if stream.pulse.refused.load(Ordering::Relaxed) || stream.framing.is_within() {
            ready!(stream.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}
