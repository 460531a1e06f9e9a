//! Who sends a request, as far as the request says it. A page in a browser can send requests to this server
//! without anybody's will. Browsers then say where the page is from, and such requests are refused.

use std::sync::OnceLock;

use hyper::Method;
use hyper::header::{HOST, HeaderName, ORIGIN};

use crate::http::call::ServerState;
use crate::http::routes::RouteMatch;
use crate::http::wire::head::{Head, visible};
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
    head: &Head,
    shared: &ServerState,
    found: Option<&RouteMatch<'_>>,
    allowed: &OnceLock<Box<str>>,
) -> Result<(), Refusal> {
    let host = host(head)?;
    if let Some(host) = host {
        check_target(head, host)?;
        if allowed.get().is_none_or(|allowed| allowed.as_bytes() != host) {
            let host =
                visible(host).ok_or_else(|| invalid("the Host header has characters that no name has"))?;
            check_host(host, shared)?;
            let _ = allowed.set(host.into()); // the first is kept
        }
    }
    check_page(head, host, shared, found)
}

fn host(head: &Head) -> Result<Option<&[u8]>, Refusal> {
    let mut given = head.all(&HOST);
    match (given.next(), given.next()) {
        (Some(host), None) => Ok(Some(host)),
        (None, _) if head.is_old => Ok(None),
        _ => {
            let found = head.all(&HOST).count();
            Err(invalid(&format!("expected one Host header, found {found}")))
        }
    }
}

fn check_target(head: &Head, host: &[u8]) -> Result<(), Refusal> {
    if let Some(target) = head.target.authority()
        && head.method != Method::CONNECT
        && !target.as_bytes().eq_ignore_ascii_case(host)
    {
        let host = String::from_utf8_lossy(host);
        let detail =
            format!("the target names the server {}, but Host names {}", quoted(target), quoted(&host));
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
    head: &Head,
    host: Option<&[u8]>,
    shared: &ServerState,
    found: Option<&RouteMatch<'_>>,
) -> Result<(), Refusal> {
    let mut origins = head.all(&ORIGIN);
    if let Some(origin) = origins.next() {
        let text = visible(origin).unwrap_or("?");
        let own = text.split_once("://").is_some_and(|(scheme, name)| {
            matches!(scheme, "http" | "https")
                && host.is_some_and(|host| host.eq_ignore_ascii_case(name.as_bytes()))
        });
        if origins.next().is_none() && (own || shared.settings.origins.has(text)) {
            return Ok(());
        }
        return Err(foreign(&format!("pages of {} may not speak to this server", quoted(text))));
    }
    match head.first(&SEC_FETCH_SITE) {
        None | Some(b"none" | b"same-origin") => Ok(()),
        Some(_) if is_harmless_link(head, found) => Ok(()),
        Some(_) => Err(foreign("pages of other origins may not speak to this server")),
    }
}

/// Whether somebody followed a link to what has no customers in it and changes nothing. The page with the
/// link cannot read the answer.
fn is_harmless_link(head: &Head, found: Option<&RouteMatch<'_>>) -> bool {
    head.method == Method::GET
        && found.is_some_and(|found| found.route.is_always_there())
        && head.first(&SEC_FETCH_MODE).is_some_and(|mode| mode == b"navigate")
}

/// The origin of the page that sent the request, if it is on the list.
pub(crate) fn listed_origin<'h>(head: &'h Head, shared: &ServerState) -> Option<&'h [u8]> {
    let origin = head.first(&ORIGIN)?;
    shared.settings.origins.has(visible(origin)?).then_some(origin)
}

/// Whether pages of other origins may read the answer to a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pages<'h> {
    /// No page may.
    None,
    /// Some may, and this request is of none of them.
    Others,
    /// This request is of one of them, of this origin.
    From(&'h [u8]),
}

/// What pages may read the answer to this request.
pub(super) fn pages<'h>(head: &'h Head, shared: &ServerState) -> Pages<'h> {
    if shared.settings.origins.is_empty() {
        return Pages::None;
    }
    listed_origin(head, shared).map_or(Pages::Others, Pages::From)
}

fn invalid(detail: &str) -> Refusal {
    Refusal::new(ProblemKind::Invalid, detail)
}

fn foreign(what: &str) -> Refusal {
    Refusal::new(ProblemKind::Foreign, format!("{what}; --cors-origins lists the origins that may"))
}
