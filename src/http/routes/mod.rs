//! All paths and methods in one table. Each group of handlers has a file of its own.
//!
//! A new route needs a row here, its handler, and its section in `openapi.json`. A test compares the two. The
//! dispatcher, the `Allow` header, the bound of the body and the counters of `/metrics` all follow from the
//! row.

mod audiences;
mod batch;
mod bulk;
mod bundle;
mod check;
mod customers;
mod decisions;
mod events;
mod guardrails;
mod operations;
mod options;
mod preview;
mod render;
mod rule_sets;
mod schema;
mod snapshots;
mod stats;

use std::future::Future;
use std::pin::Pin;

use smallvec::SmallVec;

use self::Handler::{Always, Decide, Later, Now};

use super::call::{Call, MAX_VARIABLES, Worker};
use super::wire::answer::Answer;
use super::wire::head::Head;
use super::wire::reading::Body;
use super::wire::refusal::{ProblemKind, Refusal};
use super::wire::room::Size;
use crate::input::problem::{nearest, quoted};

/// Most parts of a path that are read. No route has more than six.
const MAX_SEGMENTS: usize = 8;

/// A path and its methods.
pub(crate) struct Route {
    /// The path as in the contract, with variable parts in braces.
    pub(crate) path: &'static str,
    /// Whether the client may choose JSON or MessagePack for answers. Other routes have one form, or choose
    /// among their own.
    pub(crate) formats: bool,
    /// The methods of the path. `HEAD` goes with `GET` and is not listed.
    pub(crate) methods: &'static [Method],
}

/// One method of a path.
pub(crate) struct Method {
    pub(crate) name: &'static str,
    /// What the body holds, which bounds its size.
    pub(crate) size: Size,
    pub(crate) handler: Handler,
}

/// How a method is answered.
pub(crate) enum Handler {
    /// Needs no node, so it answers while the node is still starting.
    Always(fn(&Worker, &Head) -> Result<Answer, Refusal>),
    /// Answers at once, on the thread that read the request.
    Now(for<'c> fn(&Call<'c>) -> Result<Answer, Refusal>),
    /// Waits for a body, the writer or another thread.
    Later(for<'c> fn(&'c Call<'c>, Body<'c>) -> Pending<'c>),
    /// `POST /v1/decisions`, which channels call at every login. Its future is not boxed.
    Decide,
}

type Pending<'c> = Pin<Box<dyn Future<Output = Result<Answer, Refusal>> + Send + 'c>>;

/// The route that matches a path.
pub(crate) struct RouteMatch<'p> {
    pub(crate) route: &'static Route,
    /// Its index in the table, by which requests are counted.
    pub(crate) index: usize,
    /// The variable parts as sent, still percent-encoded.
    pub(crate) variables: [&'p str; MAX_VARIABLES],
}

pub(crate) use self::decisions::post as decide;
pub(crate) use self::operations::{crowded, starting};
pub(crate) use self::options::options;

/// The place of the path of decisions in the table.
pub(crate) const DECISIONS: usize = 0;

/// The table. The paths that a bank's channels call come first.
#[rustfmt::skip] // one method a line, so that it reads as a table
pub(crate) static TABLE: [Route; 23] = [
    route("/v1/decisions", true, &[
        method("GET", Size::Nothing, Now(decisions::get)),
        method("POST", Size::Decision, Decide),
    ]),
    route("/v1/decisions/batch", false, &[
        method("POST", Size::Decision, Now(batch::post)),
    ]),
    route("/v1/decisions/preview", true, &[
        method("POST", Size::Definition, Later(|call, body| Box::pin(preview::post(call, body)))),
    ]),
    route("/v1/events", true, &[
        method("POST", Size::Events, Later(|call, body| Box::pin(events::post(call, body)))),
    ]),
    route("/v1/customers", true, &[
        method("GET", Size::Nothing, Now(customers::list)),
        method("POST", Size::Bulk, Later(|call, body| Box::pin(bulk::post(call, body)))),
    ]),
    route("/v1/customers/{id}", true, &[
        method("GET", Size::Nothing, Now(customers::get)),
        method("PUT", Size::Customer, Later(|call, body| Box::pin(customers::put(call, body)))),
        method("PATCH", Size::Customer, Later(|call, body| Box::pin(customers::patch(call, body)))),
        method("DELETE", Size::Nothing, Later(|call, _| Box::pin(customers::delete(call)))),
    ]),
    route("/v1/rule-sets", true, &[method("GET", Size::Nothing, Now(rule_sets::list))]),
    route("/v1/rule-sets/{name}", false, &[
        method("GET", Size::Nothing, Now(rule_sets::get)),
        method("PUT", Size::Definition, Later(|call, body| Box::pin(rule_sets::put(call, body)))),
        method("DELETE", Size::Nothing, Later(|call, _| Box::pin(rule_sets::retire(call)))),
    ]),
    route("/v1/rule-sets/{name}/versions", true, &[
        method("GET", Size::Nothing, Now(rule_sets::versions)),
    ]),
    route("/v1/rule-sets/{name}/versions/{version}", false, &[
        method("GET", Size::Nothing, Now(rule_sets::version)),
    ]),
    route("/v1/rule-sets/{name}/versions/{version}/activate", true, &[
        method("POST", Size::Nothing, Later(|call, _| Box::pin(rule_sets::activate(call)))),
    ]),
    route("/v1/rule-sets/{name}/rollback", true, &[
        method("POST", Size::Nothing, Later(|call, _| Box::pin(rule_sets::rollback(call)))),
    ]),
    route("/v1/rule-sets/{name}/check", true, &[
        method("POST", Size::Definition, Later(|call, body| Box::pin(check::post(call, body)))),
    ]),
    route("/v1/schema", false, &[
        method("GET", Size::Nothing, Now(schema::get)),
        method("PUT", Size::Definition, Later(|call, body| Box::pin(schema::put(call, body)))),
    ]),
    route("/v1/bundle", true, &[
        method("PUT", Size::Definition, Later(|call, body| Box::pin(bundle::put(call, body)))),
    ]),
    route("/v1/audiences/count", true, &[
        method("POST", Size::Decision, Later(|call, body| Box::pin(audiences::count(call, body)))),
    ]),
    route("/v1/stats", true, &[method("GET", Size::Nothing, Later(|call, _| Box::pin(stats::get(call))))]),
    route("/v1/snapshots", true, &[
        method("GET", Size::Nothing, Now(snapshots::list)),
        method("POST", Size::Nothing, Later(|call, _| Box::pin(snapshots::post(call)))),
    ]),
    route("/", false, &[method("GET", Size::Nothing, Always(|_, _| Ok(operations::home())))]),
    route("/livez", false, &[method("GET", Size::Nothing, Always(|_, _| Ok(operations::livez())))]),
    route("/readyz", false, &[method("GET", Size::Nothing, Always(|worker, _| operations::readyz(worker)))]),
    route("/metrics", false, &[method("GET", Size::Nothing, Always(operations::metrics))]),
    route("/openapi.json", false, &[method("GET", Size::Nothing, Always(|_, _| Ok(operations::openapi())))]),
];

const fn route(path: &'static str, formats: bool, methods: &'static [Method]) -> Route {
    Route { path, formats, methods }
}

const fn method(name: &'static str, size: Size, handler: Handler) -> Method {
    Method { name, size, handler }
}

/// Finds the route of a path.
///
/// # Errors
/// 404 with the nearest path.
pub(crate) fn find(path: &str) -> Result<RouteMatch<'_>, Refusal> {
    // The paths of channels have no variable parts, and are found without being cut.
    if let Some(index) = TABLE.iter().position(|route| route.path == path).filter(|_| !path.contains('{')) {
        return Ok(RouteMatch { route: &TABLE[index], index, variables: Default::default() });
    }
    let segments: SmallVec<[&str; MAX_SEGMENTS]> =
        path.strip_prefix('/').unwrap_or(path).split('/').take(MAX_SEGMENTS).collect();
    let found = TABLE
        .iter()
        .enumerate()
        .find_map(|(index, route)| Some(RouteMatch { route, index, variables: route.variables(&segments)? }));
    found.ok_or_else(|| unknown(path))
}

/// All paths, in the order of the table.
pub(crate) fn paths() -> Vec<&'static str> {
    TABLE.iter().map(|route| route.path).collect()
}

impl Route {
    /// The variable parts of a path that is cut at its slashes; `None` if the path is another route's.
    fn variables<'p>(&self, segments: &[&'p str]) -> Option<[&'p str; MAX_VARIABLES]> {
        let (mut variables, mut count) = ([""; MAX_VARIABLES], 0);
        let mut given = segments.iter();
        for part in self.path.split('/').skip(1) {
            let found = given.next()?;
            if part.starts_with('{') {
                *variables.get_mut(count)? = found;
                count += 1;
            } else if part != *found {
                return None;
            }
        }
        given.next().is_none().then_some(variables)
    }

    /// Whether the path answers while the node is still starting.
    pub(crate) fn is_always_there(&self) -> bool {
        self.methods.iter().all(|method| matches!(method.handler, Always(_)))
    }

    /// The method of this name. `HEAD` is answered as `GET`.
    ///
    /// # Errors
    /// 405 with the methods of this path.
    pub(crate) fn method(&self, found: &hyper::Method) -> Result<&'static Method, Refusal> {
        let name = if *found == hyper::Method::HEAD { "GET" } else { found.as_str() };
        self.methods.iter().find(|method| method.name == name).ok_or_else(|| {
            let known: Vec<_> = self.methods.iter().map(|method| method.name).collect();
            Refusal::method(found, &known)
        })
    }
}

fn unknown(path: &str) -> Refusal {
    let detail = format!("there is no path {}", quoted(path));
    let near = nearest(path, TABLE.iter().map(|route| route.path).filter(|path| *path != "/"));
    match near {
        Some(path) => Refusal::new(ProblemKind::NotFound, format!("{detail}; did you mean {path}?")),
        None => Refusal::new(ProblemKind::NotFound, format!("{detail}; /openapi.json lists all paths")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_the_router_and_the_document_agree() {
        let document: serde_json::Value = serde_json::from_str(operations::OPENAPI).unwrap();
        let paths = document["paths"].as_object().unwrap();
        for (index, route) in TABLE.iter().enumerate() {
            let template = route.path;
            let path = template.replace("{id}", "c-1").replace("{name}", "wealth").replace("{version}", "7");
            let found = find(&path).unwrap();
            assert_eq!(found.index, index, "{template}");
            let variables: Vec<_> = found.variables.into_iter().filter(|part| !part.is_empty()).collect();
            assert_eq!(variables.len(), template.matches('{').count(), "{template}");
            let described = paths.get(template).unwrap_or_else(|| panic!("{template} is not described"));
            let mut described: Vec<_> =
                described.as_object().unwrap().keys().map(|key| key.to_uppercase()).collect();
            described.retain(|key| key != "PARAMETERS");
            described.sort();
            let mut methods: Vec<_> = route.methods.iter().map(|method| method.name.to_owned()).collect();
            methods.sort();
            assert_eq!(described, methods, "{template}");
        }
        assert_eq!(paths.len(), TABLE.len());
    }

    #[test]
    fn a_path_that_is_not_there_names_the_nearest() {
        for (path, near) in [
            ("/v1/decision", "/v1/decisions?"),
            ("/v1/snapshot", "/v1/snapshots?"),
            ("/v1/ruleset", "/v1/rule-sets?"),
            ("/v", "/openapi.json"),
        ] {
            let refusal = find(path).err().unwrap();
            assert!(refusal.detail().contains(near), "{}", refusal.detail());
        }
        assert!(find("/v1/decisions/").is_err());
        assert!(find("//v1/decisions").is_err());
        let found = find("/v1/customers/").unwrap();
        assert_eq!((found.route.path, found.variables[0]), ("/v1/customers/{id}", ""));
        assert!(find("/v1/rule-sets/a/versions/1/activate/x/y/z/w").is_err());
    }
}
