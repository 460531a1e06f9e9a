//! Refuses decisions before hyper sees them. A refusal through hyper costs nearly what an answer does, so
//! refusing there would leave no time to answer others.

use super::framing::Framing;
use crate::http::wire::request_id;

/// How requests for decisions begin.
const DECISIONS: [&[u8]; 2] = [b"GET /v1/decisions?", b"POST /v1/decisions "];

const BODY: &str = "{\"type\":\"urn:usher:problem:overloaded\",\"title\":\"Too much to do at the moment\",\"status\":503,\
\"detail\":\"decisions wait too long for their turn; ask again in a second\"}";

/// The refusal of the request in `bytes`; `None` if it must be answered. Only what is one whole request for a
/// decision is refused here, and nothing that wants more of an answer: pages of other origins do, and clients
/// that close their connection.
pub(super) fn refusal(bytes: &[u8]) -> Option<String> {
    if !DECISIONS.iter().any(|begin| bytes.starts_with(begin)) {
        return None;
    }
    let mut framing = Framing::default();
    framing.follow(bytes);
    if framing.heads() != 1 || !framing.is_between() || framing.fault().is_some() {
        return None;
    }
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    if !lines.next()?.ends_with(b" HTTP/1.1") {
        return None;
    }
    let mut ids = Vec::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("origin") || (is("connection") && !value.eq_ignore_ascii_case(b"keep-alive")) {
            return None;
        }
        if is(request_id::X_REQUEST_ID.as_str()) {
            ids.push(value);
        }
    }
    let id = request_id::among(&ids);
    let (id, length) = (id.to_str().ok()?, BODY.len());
    Some(format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: {length}\r\n\
         retry-after: 1\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\nx-request-id: {id}\r\n\r\n{BODY}"
    ))
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
            assert_eq!(refusal(request.as_bytes()).is_some(), expected, "{request:?}");
        }
    }

    #[test]
    fn the_refusal_is_a_whole_answer_with_the_id_of_the_request() {
        let text = refusal(format!("{GET}X-Request-Id: mine\r\n\r\n").as_bytes()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        assert!(head.ends_with("x-request-id: mine"), "{head}");
        let document: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(document["type"], "urn:usher:problem:overloaded");
    }
}
