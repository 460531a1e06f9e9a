//! Reading a body: bounded in size, sent and unpacked, and in time.

use std::io::Read;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue, RETRY_AFTER};
use tokio::sync::OwnedSemaphorePermit;

use super::MAX_CUSTOMER_BYTES;
use super::refusal::{Kind, Refusal};
use super::service::Call;
use crate::input::quoted;

/// A body, and the place it takes among the large ones.
pub(super) struct Content {
    pub(super) bytes: Bytes,
    _permit: Option<OwnedSemaphorePermit>,
}

#[derive(Clone, Copy)]
enum Packing {
    None,
    Gzip,
    Zstd,
}

/// Reads a whole body of at most `limit` bytes, sent and unpacked.
///
/// # Errors
/// 413 (before anything is read, if the head says the length), 408, 415 for an unknown encoding, 400 for a body that
/// ends early or does not unpack, 503 when too many large bodies are being read.
pub(super) async fn read(call: &Call<'_>, body: Incoming, limit: usize) -> Result<Content, Refusal> {
    let packing = packing(call)?;
    let said = body.size_hint().exact();
    if said.is_some_and(|said| said > limit as u64) {
        return Err(too_large(limit));
    }
    let large = limit > MAX_CUSTOMER_BYTES && said.is_none_or(|said| said > MAX_CUSTOMER_BYTES as u64);
    let permit = if large || (limit > MAX_CUSTOMER_BYTES && !matches!(packing, Packing::None)) {
        Some(permit(call)?)
    } else {
        None
    };
    let deadline = call.started + call.worker.shared.settings.body_timeout;
    let sent = match tokio::time::timeout_at(deadline.into(), collect(body, limit)).await {
        Ok(sent) => sent?,
        Err(_) => {
            let seconds = call.worker.shared.settings.body_timeout.as_secs_f32();
            return Err(Refusal::new(Kind::Timeout, format!("the body was not complete after {seconds} s")));
        }
    };
    let bytes = match packing {
        Packing::None => sent,
        // Off the request thread: decisions of other connections go on meanwhile.
        _ => match tokio::task::spawn_blocking(move || unpack(&sent, packing, limit)).await {
            Ok(bytes) => bytes?,
            Err(_) => return Err(Refusal::new(Kind::Internal, "unpacking the body failed")),
        },
    };
    Ok(Content { bytes, _permit: permit })
}

fn too_large(limit: usize) -> Refusal {
    Refusal::new(Kind::TooLarge, format!("a body has at most {limit} bytes here, sent and unpacked"))
}

fn permit(call: &Call<'_>) -> Result<OwnedSemaphorePermit, Refusal> {
    call.worker.shared.large_bodies.clone().try_acquire_owned().map_err(|_| {
        Refusal::new(Kind::Overloaded, "too many large bodies are being read, try again in a second")
            .header(RETRY_AFTER, HeaderValue::from_static("1"))
    })
}

fn packing(call: &Call<'_>) -> Result<Packing, Refusal> {
    let mut given = call.parts.headers.get_all(CONTENT_ENCODING).iter();
    let Some(value) = given.next() else { return Ok(Packing::None) };
    if given.next().is_some() {
        return Err(unknown_packing("more than one"));
    }
    match value.to_str().unwrap_or("?").trim() {
        text if text.eq_ignore_ascii_case("identity") => Ok(Packing::None),
        text if text.eq_ignore_ascii_case("gzip") => Ok(Packing::Gzip),
        text if text.eq_ignore_ascii_case("zstd") => Ok(Packing::Zstd),
        text => Err(unknown_packing(text)),
    }
}

fn unknown_packing(found: &str) -> Refusal {
    Refusal::new(
        Kind::MediaType,
        format!("Content-Encoding {} is not known here; known: gzip, zstd", quoted(found)),
    )
    .header(ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"))
}

/// Most bodies come in one piece and are not copied.
async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, Refusal> {
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|e| Refusal::new(Kind::Invalid, format!("the body cannot be read: {e}")))?;
        let Ok(data) = frame.into_data() else { continue }; // trailers
        if first.len().max(all.len()) + data.len() > limit {
            return Err(too_large(limit));
        }
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.reserve(body.size_hint().lower().min(limit as u64) as usize + first.len() + data.len());
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.into() })
}

fn unpack(sent: &[u8], packing: Packing, limit: usize) -> Result<Bytes, Refusal> {
    let wrong = |e: std::io::Error| Refusal::new(Kind::Invalid, format!("the body does not unpack: {e}"));
    let mut bytes = Vec::new();
    let bound = limit as u64 + 1;
    match packing {
        Packing::None => return Ok(Bytes::copy_from_slice(sent)),
        Packing::Gzip => flate2::read::MultiGzDecoder::new(sent).take(bound).read_to_end(&mut bytes),
        Packing::Zstd => {
            let mut reader = zstd::stream::read::Decoder::with_buffer(sent).map_err(wrong)?;
            // What a frame may ask for to look back: as much as the body may have.
            reader.window_log_max(limit.next_power_of_two().ilog2().max(10)).map_err(wrong)?;
            reader.take(bound).read_to_end(&mut bytes)
        }
    }
    .map_err(wrong)?;
    if bytes.len() > limit { Err(too_large(limit)) } else { Ok(bytes.into()) }
}
