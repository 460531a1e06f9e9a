//! Refuses decisions that wait too long for their turn. A refusal must cost little, or refusing would leave
//! no time to answer others.

use std::sync::OnceLock;

use bytes::Bytes;
use hyper::header::{HeaderValue, ORIGIN, RETRY_AFTER};
use hyper::{Method, StatusCode};

use crate::http::routes;
use crate::http::wire::answer::{Answer, Content};
use crate::http::wire::head::Head;
use crate::http::wire::media;
use crate::http::wire::media::Format;
use crate::http::wire::refusal::{ProblemKind, Refusal};

/// Whether this is a request for a decision that may be refused unread. Nothing that wants more of an answer
/// may: pages of other origins do, clients that close their connection, and those that accept no form that
/// there is.
pub(super) fn may_refuse(head: &Head) -> bool {
    head.target.path() == routes::TABLE[routes::DECISIONS].path
        && (head.method == Method::POST || (head.method == Method::GET && head.target.query().is_some()))
        && head.keeps_alive
        && !head.is_old
        && !head.has(&ORIGIN)
        && media::format(head).is_ok()
}

/// What such a request is told. It is written once for each form.
pub(super) fn answer(head: &Head) -> Answer {
    static WRITTEN: OnceLock<[Bytes; 2]> = OnceLock::new();
    let format = media::format_or_json(head);
    let [json, msgpack] = WRITTEN.get_or_init(|| {
        let detail = "decisions wait too long for their turn; ask again in a second";
        let refusal = Refusal::new(ProblemKind::Overloaded, detail);
        [Format::Json, Format::MessagePack]
            .map(|format| Bytes::from(refusal.rendered(format, |_| ()).to_vec()))
    });
    let mut answer = Answer::empty(StatusCode::SERVICE_UNAVAILABLE);
    let written = if format == Format::Json { json } else { msgpack };
    answer.headers.push((RETRY_AFTER, HeaderValue::from_static("1")));
    (answer.content_type, answer.content) = (Some(format.problem_type()), Content::Whole(written.clone()));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_requests_for_a_decision_are_refused_unread() {
        let get = "GET /v1/decisions?customer=c HTTP/1.1\r\n";
        for (request, expected) in [
            (get.to_owned(), true),
            (format!("{get}Connection: Keep-Alive\r\n"), true),
            ("POST /v1/decisions HTTP/1.1\r\ncontent-length: 2\r\n".into(), true),
            (format!("{get}Accept: application/json, application/msgpack\r\n"), true),
            (format!("{get}accept: text/html\r\n"), false),
            (format!("{get}connection: close\r\n"), false),
            (format!("{get}origin: http://a.example\r\n"), false),
            (format!("{get}content-length: 1\r\ncontent-length: 1\r\n"), false),
            ("GET /v1/decisions?customer=c HTTP/1.0\r\nconnection: keep-alive\r\n".into(), false),
            ("GET /v1/decisions HTTP/1.1\r\n".into(), false),
            ("HEAD /v1/decisions?customer=c HTTP/1.1\r\n".into(), false),
            ("POST /v1/decisions/preview HTTP/1.1\r\ncontent-length: 2\r\n".into(), false),
            ("PUT /v1/customers/c HTTP/1.1\r\ncontent-length: 2\r\n".into(), false),
            ("GET /readyz HTTP/1.1\r\n".into(), false),
        ] {
            let head = Head::read(format!("{request}\r\n").as_bytes()).unwrap().unwrap().0;
            assert_eq!(may_refuse(&head), expected, "{request:?}");
        }
    }

    #[test]
    fn the_refusal_has_the_form_that_the_client_accepts() {
        for (lines, content_type) in [
            ("", "application/problem+json"),
            ("accept: application/x-msgpack\r\n", "application/msgpack"),
            ("accept: application/json;q=0.1, application/msgpack\r\n", "application/msgpack"),
        ] {
            let answer = answer(&Head::with(lines));
            assert_eq!((answer.content_type, answer.status.as_u16()), (Some(content_type), 503), "{lines}");
            assert!(answer.has(&RETRY_AFTER));
            let Content::Whole(content) = answer.content else { panic!("it is written") };
            assert!(String::from_utf8_lossy(&content).contains("urn:usher:problem:overloaded"));
        }
    }
}
