//! Who sends a request, as far as the request says it. A page in a browser can send requests to this server
//! without anybody's will. Browsers then say where the page is from, and such requests are refused.

use std::sync::OnceLock;

use hyper::Method;
use hyper::Version;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use hyper::http::request::Parts;

use crate::http::call::ServerState;
use crate::http::routes::RouteMatch;
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::input::problem::quoted;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Refuses a request that names another server, or comes from a page of another origin. `allowed` keeps a
/// `Host` that was allowed, which need not be judged again.
///
/// # Errors
/// - 400 without exactly one `Host` (RFC 9112, section 3.2; HTTP/1.0 may have none), or for a target with
///   another name than the `Host`;
/// - 421 for a `Host` that this server does not have;
/// - 403 for a page of an origin that is not on the list.
pub(crate) fn check(
    parts: &Parts,
    shared: &ServerState,
    found: Option<&RouteMatch<'_>>,
    allowed: &OnceLock<Box<str>>,
) -> Result<(), Refusal> {
    let host = host(parts)?;
    if let Some(host) = host {
        check_target(parts, host)?;
        if allowed.get().is_none_or(|allowed| **allowed != *host) {
            check_host(host, shared)?;
            let _ = allowed.set(host.into()); // the first is kept
        }
    }
    check_page(parts, host, shared, found)
}

fn host(parts: &Parts) -> Result<Option<&str>, Refusal> {
    let mut given = parts.headers.get_all(HOST).iter();
    match (given.next(), given.next()) {
        (Some(host), None) => {
            let host =
                host.to_str().map_err(|_| invalid("the Host header has characters that no name has"))?;
            Ok(Some(host))
        }
        (None, _) if parts.version == Version::HTTP_10 => Ok(None),
        _ => {
            let found = parts.headers.get_all(HOST).iter().count();
            Err(invalid(&format!("expected one Host header, found {found}")))
        }
    }
}

fn check_target(parts: &Parts, host: &str) -> Result<(), Refusal> {
    if let Some(target) = parts.uri.authority()
        && parts.method != Method::CONNECT
        && !target.as_str().eq_ignore_ascii_case(host)
    {
        let detail = format!(
            "the target names the server {}, but Host names {}",
            quoted(target.as_str()),
            quoted(host)
        );
        return Err(invalid(&detail));
    }
    Ok(())
}

fn check_host(host: &str, shared: &ServerState) -> Result<(), Refusal> {
    match shared.settings.hosts.allows(host, shared.address.ip()) {
        Some(true) => Ok(()),
        Some(false) => {
            let detail = format!(
                "this server does not have the name {}; start it with --allow-hosts to allow the name, or use its address",
                quoted(host)
            );
            Err(Refusal::new(ProblemKind::Misdirected, detail))
        }
        None => {
            Err(invalid(&format!("expected a name with or without a port in Host, found {}", quoted(host))))
        }
    }
}

fn check_page(
    parts: &Parts,
    host: Option<&str>,
    shared: &ServerState,
    found: Option<&RouteMatch<'_>>,
) -> Result<(), Refusal> {
    let mut origins = parts.headers.get_all(ORIGIN).iter();
    if let Some(origin) = origins.next() {
        let text = origin.to_str().unwrap_or("?");
        let own = text.split_once("://").is_some_and(|(scheme, name)| {
            matches!(scheme, "http" | "https") && host.is_some_and(|host| host.eq_ignore_ascii_case(name))
        });
        if origins.next().is_none() && (own || shared.settings.origins.has(text)) {
            return Ok(());
        }
        return Err(foreign(&format!("pages of {} may not speak to this server", quoted(text))));
    }
    match parts.headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes) {
        None | Some(b"none" | b"same-origin") => Ok(()),
        Some(_) if is_harmless_link(parts, found) => Ok(()),
        Some(_) => Err(foreign("pages of other origins may not speak to this server")),
    }
}

/// Whether somebody followed a link to what has no customers in it and changes nothing. The page with the
/// link cannot read the answer.
fn is_harmless_link(parts: &Parts, found: Option<&RouteMatch<'_>>) -> bool {
    parts.method == Method::GET
        && found.is_some_and(|found| found.route.is_always_there())
        && parts.headers.get(SEC_FETCH_MODE).is_some_and(|mode| mode == "navigate")
}

/// The origin of the page that sent the request, if it is on the list.
pub(crate) fn listed_origin<'h>(headers: &'h HeaderMap, shared: &ServerState) -> Option<&'h HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    shared.settings.origins.has(origin.to_str().ok()?).then_some(origin)
}

fn invalid(detail: &str) -> Refusal {
    Refusal::new(ProblemKind::Invalid, detail)
}

fn foreign(what: &str) -> Refusal {
    Refusal::new(ProblemKind::Foreign, format!("{what}; --cors-origins lists the origins that may"))
}
