//! Refuses decisions before hyper sees them. A refusal through hyper costs nearly what an answer does, so
//! refusing there would leave no time to answer others.

use hyper::HeaderMap;
use hyper::header::{ACCEPT, CONNECTION, HeaderName, HeaderValue, ORIGIN};

use super::framing::Framing;
use crate::http::wire::media;
use crate::http::wire::media::Format;
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::http::wire::request_id;
use crate::http::wire::request_id::X_REQUEST_ID;

/// How requests for decisions begin.
const DECISIONS: [(&str, &[u8]); 2] = [("GET", b"GET /v1/decisions?"), ("POST", b"POST /v1/decisions ")];

/// What such a request is told.
pub(super) fn refusal() -> Refusal {
    let detail = "decisions wait too long for their turn; ask again in a second";
    Refusal::new(ProblemKind::Overloaded, detail).in_a_second()
}

/// What is known of a request that hyper does not answer.
pub(super) struct Asked {
    pub(super) method: &'static str,
    pub(super) id: HeaderValue,
    /// The form that the client wants.
    pub(super) format: Format,
}

impl Asked {
    /// What is known if the head cannot be read.
    pub(super) fn unread() -> Asked {
        Asked { method: "other", id: request_id::among(&[]), format: Format::Json }
    }

    /// The request for a decision in `bytes`; `None` if it must be answered. Only what is one whole request
    /// is refused here, and nothing that wants more of an answer: pages of other origins do, clients that
    /// close their connection, and those that accept no form that there is.
    pub(super) fn read(bytes: &[u8]) -> Option<Asked> {
        let method = DECISIONS.into_iter().find(|(_, begin)| bytes.starts_with(begin))?.0;
        let mut framing = Framing::default();
        framing.follow(bytes);
        if framing.heads() != 1 || !framing.is_between() || framing.fault().is_some() {
            return None;
        }
        let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        if !lines.next()?.ends_with(b" HTTP/1.1") {
            return None;
        }
        let (mut ids, mut accepted) = (Vec::new(), HeaderMap::new());
        for line in lines.take_while(|line| !line.is_empty()) {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            let is = |known: HeaderName| name.eq_ignore_ascii_case(known.as_str().as_bytes());
            if is(ORIGIN) || (is(CONNECTION) && !value.eq_ignore_ascii_case(b"keep-alive")) {
                return None;
            }
            if is(ACCEPT) {
                accepted.append(ACCEPT, HeaderValue::from_bytes(value).ok()?);
            }
            if is(X_REQUEST_ID) {
                ids.push(value);
            }
        }
        let format = media::format(&accepted).ok()?;
        Some(Asked { method, id: request_id::among(&ids), format })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &str = "GET /v1/decisions?customer=c HTTP/1.1\r\nhost: x\r\n";

    #[test]
    fn only_a_whole_request_for_a_decision_is_refused() {
        for (request, expected) in [
            (format!("{GET}\r\n"), true),
            (format!("{GET}Connection: Keep-Alive\r\n\r\n"), true),
            ("POST /v1/decisions HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}".to_owned(), true),
            (format!("{GET}Accept: application/json, application/msgpack\r\n\r\n"), true),
            (format!("{GET}accept: text/html\r\n\r\n"), false),
            (GET.to_owned(), false),
            (format!("{GET}\r\n{GET}\r\n"), false),
            (format!("{GET}\r\nG"), false),
            (format!("{GET}connection: close\r\n\r\n"), false),
            (format!("{GET}origin: http://a.example\r\n\r\n"), false),
            (format!("{GET}no colon\r\n\r\n"), false),
            (format!("{GET}content-length: 1\r\ncontent-length: 1\r\n\r\n1"), false),
            ("GET /v1/decisions?customer=c HTTP/1.0\r\n\r\n".to_owned(), false),
            ("POST /v1/decisions HTTP/1.1\r\ncontent-length: 3\r\n\r\n{}".to_owned(), false),
            ("POST /v1/decisions/preview HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}".to_owned(), false),
            ("PUT /v1/customers/c HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}".to_owned(), false),
            ("GET /readyz HTTP/1.1\r\n\r\n".to_owned(), false),
        ] {
            assert_eq!(Asked::read(request.as_bytes()).is_some(), expected, "{request:?}");
        }
    }

    #[test]
    fn what_a_refused_request_says_is_read() {
        for (headers, id, format) in [
            ("X-Request-Id: mine\r\n", Some("mine"), Format::Json),
            ("x-request-id: a b\r\nAccept: */*\r\n", None, Format::Json),
            ("Accept:  application/x-msgpack \r\n", None, Format::MessagePack),
            ("accept: application/json;q=0.1\r\naccept: application/msgpack\r\n", None, Format::MessagePack),
        ] {
            let asked = Asked::read(format!("{GET}{headers}\r\n").as_bytes()).unwrap();
            assert_eq!((asked.method, asked.format), ("GET", format), "{headers}");
            match id {
                Some(id) => assert_eq!(asked.id, id, "{headers}"),
                None => assert_eq!(asked.id.len(), 20, "{headers}"),
            }
        }
    }
}
