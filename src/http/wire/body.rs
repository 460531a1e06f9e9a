//! Reads a body within bounds: its size as sent and unpacked, its time, and the memory of all bodies
//! together.

use std::future::{Future, poll_fn};
use std::io::{self, Read};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue};

use super::head::{Head, visible};
use super::reading::{Body, Broken};
use super::refusal::{ProblemKind, Refusal};
use super::room::{BodyRoom, Share, Size};
use crate::http::bounds::MAX_HEAD_BYTES;
use crate::input::problem::quoted;

/// A body, and its share of the memory for all bodies.
pub(crate) struct ReceivedBody {
    pub(crate) bytes: Bytes,
    pub(crate) share: Share,
}

/// How many bytes are unpacked at a time.
const PIECE_BYTES: usize = 32 * 1024;

#[derive(Clone, Copy)]
enum Packing {
    None,
    Gzip,
    Zstd,
}

/// Reads a whole body.
///
/// # Errors
/// - 413 for a body over `size`, at once if the head gives the length;
/// - 408 after `timeout`;
/// - 415 for an unknown encoding;
/// - 400 for a body that ends early or cannot be decompressed;
/// - 503 without memory for it.
pub(crate) async fn read(
    head: &Head,
    mut body: Body<'_>,
    size: Size,
    room: &Arc<BodyRoom>,
    started: Instant,
    timeout: Duration,
) -> Result<ReceivedBody, Refusal> {
    let packing = packing(head)?;
    let said = body.length();
    if said.is_some_and(|said| said > size.limit() as u64) {
        return Err(too_large(size));
    }
    let mut share = Share::new(room, size);
    let is_small = said.is_some_and(|said| said <= MAX_HEAD_BYTES as u64);
    // A small body is there already. It needs no timer, and no room but what its connection has.
    let sent = match is_small.then(|| body.whole()).flatten() {
        Some(sent) => sent,
        None => in_time(pin!(collect(body, size, &mut share)), started, timeout).await?,
    };
    if let Packing::None = packing {
        return Ok(ReceivedBody { bytes: sent, share });
    }
    // Off the request thread, so that decisions on other connections go on.
    match tokio::task::spawn_blocking(move || unpack(&sent, packing, size, share)).await {
        Ok(content) => content,
        Err(_) => Err(Refusal::new(ProblemKind::Internal, "unpacking the body failed")),
    }
}

/// What is collected before the time is over.
async fn in_time(
    mut collected: Pin<&mut impl Future<Output = Result<Bytes, Refusal>>>,
    started: Instant,
    timeout: Duration,
) -> Result<Bytes, Refusal> {
    if let Poll::Ready(sent) = poll_fn(|cx| Poll::Ready(collected.as_mut().poll(cx))).await {
        return sent; // without a timer
    }
    tokio::time::timeout_at((started + timeout).into(), collected).await.unwrap_or_else(|_| {
        let detail = format!("the body was not complete after {} s", timeout.as_secs_f32());
        Err(Refusal::new(ProblemKind::Timeout, detail))
    })
}

fn too_large(size: Size) -> Refusal {
    let limit = size.limit();
    Refusal::new(ProblemKind::TooLarge, format!("the body may have at most {limit} bytes, compressed or not"))
}

fn packing(head: &Head) -> Result<Packing, Refusal> {
    let mut given = head.all(&CONTENT_ENCODING);
    let Some(value) = given.next() else { return Ok(Packing::None) };
    if given.next().is_some() {
        return Err(unknown_packing("more than one"));
    }
    match visible(value).unwrap_or("?").trim() {
        text if text.eq_ignore_ascii_case("identity") => Ok(Packing::None),
        // The second is the name of old, which means the same (RFC 9110, section 8.4.1.3).
        text if ["gzip", "x-gzip"].iter().any(|name| text.eq_ignore_ascii_case(name)) => Ok(Packing::Gzip),
        text if text.eq_ignore_ascii_case("zstd") => Ok(Packing::Zstd),
        text => Err(unknown_packing(text)),
    }
}

/// Refuses a packed body where only plain ones are read.
///
/// # Errors
/// 415.
pub(crate) fn not_packed(head: &Head) -> Result<(), Refusal> {
    if let Packing::None = packing(head)? {
        return Ok(());
    }
    let detail = "a batch is read as it comes: send it without Content-Encoding";
    Err(Refusal::new(ProblemKind::MediaType, detail))
}

fn unknown_packing(found: &str) -> Refusal {
    Refusal::new(
        ProblemKind::MediaType,
        format!("unknown Content-Encoding {}; known: gzip, zstd", quoted(found)),
    )
    .header(ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"))
}

/// Collects the body as sent.
async fn collect(mut body: Body<'_>, size: Size, share: &mut Share) -> Result<Bytes, Refusal> {
    let mut all = Vec::new();
    loop {
        let more = poll_fn(|cx| body.poll_into(cx, &mut all)).await.map_err(|why| unreadable(&why))?;
        if more == 0 {
            return Ok(all.into());
        }
        if all.len() > size.limit() {
            return Err(too_large(size));
        }
        share.grow(more)?;
        share.reached(all.len())?;
    }
}

/// The body is not framed as it should be, or ends too early.
pub(crate) fn unreadable(why: &Broken) -> Refusal {
    let why = match why {
        Broken::Ambiguous(found) => found.text().to_owned(),
        Broken::Ended => "it ended before its end".to_owned(),
        Broken::Io(e) => e.to_string(),
    };
    Refusal::new(ProblemKind::Invalid, format!("the body cannot be read: {why}"))
}

fn unpack(sent: &[u8], packing: Packing, size: Size, share: Share) -> Result<ReceivedBody, Refusal> {
    let wrong =
        |e: io::Error| Refusal::new(ProblemKind::Invalid, format!("the body cannot be decompressed: {e}"));
    match packing {
        Packing::None => Ok(ReceivedBody { bytes: Bytes::copy_from_slice(sent), share }),
        Packing::Gzip => gather(flate2::read::MultiGzDecoder::new(sent), size, share),
        Packing::Zstd => {
            let mut reader = zstd::stream::read::Decoder::with_buffer(sent).map_err(wrong)?;
            // The window that a frame may ask for is bounded like the body.
            reader.window_log_max(size.limit().next_power_of_two().ilog2().max(10)).map_err(wrong)?;
            gather(reader, size, share)
        }
    }
}

/// Reads to the end in pieces, so that the share grows before the memory does.
fn gather(mut reader: impl Read, size: Size, mut share: Share) -> Result<ReceivedBody, Refusal> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return Ok(ReceivedBody { bytes: bytes.into(), share }),
            Ok(n) if bytes.len() + n > size.limit() => return Err(too_large(size)),
            Ok(n) => {
                share.grow(n)?;
                share.reached(bytes.len() + n)?;
                bytes.extend_from_slice(&piece[..n]);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => {
                let detail = format!("the body cannot be decompressed: {e}");
                return Err(Refusal::new(ProblemKind::Invalid, detail));
            }
        }
    }
}
