//! A head that hyper cannot read never reaches a handler: hyper refuses it by itself, without a body. Here
//! such an answer gets what every refusal has.

use super::framing::Ambiguity;
use super::respond;
use crate::http::bounds::{MAX_HEAD_BYTES, MAX_HEADERS};
use crate::http::wire::answer;
use crate::http::wire::encode::Json;
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::http::wire::request_id;

/// What to send in place of `bytes`, if they are a refusal of hyper's own. Answers of handlers all have an
/// id. `fault` is what is wrong with the framing of that request, as far as it is known.
pub(super) fn refusal(bytes: &[u8], fault: Option<Ambiguity>) -> Option<String> {
    if !bytes.starts_with(b"HTTP/1.1 4") || !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let head = std::str::from_utf8(bytes).ok().filter(|head| !head.contains("x-request-id"))?;
    let refusal = match (fault, head.get(9..12)?) {
        (Some(fault), _) => respond::ambiguous(fault),
        (None, "414") => respond::too_long(),
        (None, "431") => Refusal::new(
            ProblemKind::HeadTooLarge,
            format!(
                "the head has more than {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} headers; the connection is closed"
            ),
        ),
        (None, _) => Refusal::new(
            ProblemKind::Invalid,
            "the head cannot be read: expected `METHOD /path HTTP/1.1`, then lines of `name: value` and an empty line; \
             the connection is closed",
        ),
    };
    let status = refusal.status();
    let (code, reason) = (status.as_str(), status.canonical_reason().unwrap_or_default());
    let body = answer::buffered(|out| refusal.write_whole(&mut Json::new(out)));
    let (body, id) = (std::str::from_utf8(&body).ok()?, request_id::among(&[]));
    let (length, id) = (body.len(), id.to_str().ok()?);
    Some(format!(
        "HTTP/1.1 {code} {reason}\r\ncontent-type: application/problem+json\r\ncontent-length: {length}\r\n\
         cache-control: no-store\r\nx-content-type-options: nosniff\r\nx-request-id: {id}\r\nconnection: close\r\n\r\n{body}"
    ))
}
