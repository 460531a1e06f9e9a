//! A head that hyper cannot read never reaches a handler: hyper refuses it by itself, without a body. Here
//! such an answer is replaced by one that has what every refusal has.

use super::framing::Ambiguity;
use super::respond;
use crate::http::bounds::{MAX_HEAD_BYTES, MAX_HEADERS};
use crate::http::wire::refusal::{ProblemKind, Refusal};

/// What to say in place of `bytes`, if they are a refusal of hyper's own. Answers of handlers all have an
/// id. `fault` is what is wrong with the framing of that request, as far as it is known.
pub(super) fn refusal(bytes: &[u8], fault: Option<Ambiguity>) -> Option<Refusal> {
    if !bytes.starts_with(b"HTTP/1.1 4") || !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let head = std::str::from_utf8(bytes).ok().filter(|head| !head.contains("x-request-id"))?;
    Some(match (fault, head.get(9..12)?) {
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
    })
}
