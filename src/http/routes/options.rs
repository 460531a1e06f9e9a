//! `OPTIONS`: which methods a path has, and for pages of other origins what they may send.

use hyper::StatusCode;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, HeaderValue,
};

use super::{Route, TABLE};
use crate::http::call::ServerState;
use crate::http::serve::caller;
use crate::http::wire::answer::Answer;
use crate::http::wire::head::Head;
use crate::http::wire::refusal::{Refusal, allowed};

/// Headers that a page of another origin may send.
const HEADERS: &str =
    "Accept, Accept-Language, Content-Encoding, Content-Type, If-Match, If-None-Match, X-Request-Id";
/// How long a browser may remember what a page may send, in seconds.
const REMEMBER_S: &str = "600";

/// 204 with the methods of the path; of all paths together for the target `*`.
///
/// # Errors
/// 404 for a path that is not there.
pub(crate) fn options(
    head: &Head,
    route: Result<&'static Route, Refusal>,
    shared: &ServerState,
) -> Result<Answer, Refusal> {
    let routes = if head.target.path() == "*" { &TABLE[..] } else { std::slice::from_ref(route?) };
    let mut methods: Vec<&str> = Vec::new();
    for method in routes.iter().flat_map(|route| route.methods) {
        if !methods.contains(&method.name) {
            methods.push(method.name);
        }
    }
    let mut answer = Answer::empty(StatusCode::NO_CONTENT);
    let Ok(allow) = HeaderValue::try_from(allowed(&methods)) else { return Ok(answer) };
    let is_asked = head.has(&ACCESS_CONTROL_REQUEST_METHOD);
    if is_asked && caller::listed_origin(head, shared).is_some() {
        answer.headers.extend([
            (ACCESS_CONTROL_ALLOW_METHODS, allow.clone()),
            (ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS)),
            (ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBER_S)),
        ]);
    }
    answer.headers.push((ALLOW, allow));
    Ok(answer)
}
