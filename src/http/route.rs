//! Paths, and what may be done with them.

use smallvec::SmallVec;

use super::refusal::{Kind, Refusal};
use crate::input::quoted;
use crate::problem::nearest;

/// Parts of a path at most; no route has more than six.
const MAX_SEGMENTS: usize = 8;

/// A path that is known; its variable parts as they were sent, still percent-encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'p> {
    Decisions,
    Customers,
    Customer(&'p str),
    RuleSets,
    RuleSet(&'p str),
    Versions(&'p str),
    Version(&'p str, &'p str),
    Activate(&'p str, &'p str),
    Rollback(&'p str),
    Check(&'p str),
    Events,
    Schema,
    Bundle,
    AudienceCount,
    Stats,
    Snapshots,
    Livez,
    Readyz,
    Metrics,
    OpenApi,
}

/// Every path as the contract writes it with its methods, by [`Route::index`].
pub(crate) const TABLE: [(&str, &[&str]); Route::COUNT] = [
    ("/v1/decisions", &["GET", "POST"]),
    ("/v1/customers", &["POST"]),
    ("/v1/customers/{id}", &["GET", "PUT", "PATCH", "DELETE"]),
    ("/v1/rule-sets", &["GET"]),
    ("/v1/rule-sets/{name}", &["GET", "PUT", "DELETE"]),
    ("/v1/rule-sets/{name}/versions", &["GET"]),
    ("/v1/rule-sets/{name}/versions/{version}", &["GET"]),
    ("/v1/rule-sets/{name}/versions/{version}/activate", &["POST"]),
    ("/v1/rule-sets/{name}/rollback", &["POST"]),
    ("/v1/rule-sets/{name}/check", &["POST"]),
    ("/v1/schema", &["GET", "PUT"]),
    ("/v1/bundle", &["PUT"]),
    ("/v1/audiences/count", &["POST"]),
    ("/v1/snapshots", &["GET", "POST"]),
    ("/livez", &["GET"]),
    ("/readyz", &["GET"]),
    ("/metrics", &["GET"]),
    ("/openapi.json", &["GET"]),
    ("/v1/events", &["POST"]),
    ("/v1/stats", &["GET"]),
];

impl Route<'_> {
    /// How many there are.
    pub(crate) const COUNT: usize = 20;

    /// Its place in [`TABLE`].
    pub(super) fn index(&self) -> usize {
        match self {
            Route::Decisions => 0,
            Route::Customers => 1,
            Route::Customer(_) => 2,
            Route::RuleSets => 3,
            Route::RuleSet(_) => 4,
            Route::Versions(_) => 5,
            Route::Version(..) => 6,
            Route::Activate(..) => 7,
            Route::Rollback(_) => 8,
            Route::Check(_) => 9,
            Route::Schema => 10,
            Route::Bundle => 11,
            Route::AudienceCount => 12,
            Route::Snapshots => 13,
            Route::Livez => 14,
            Route::Readyz => 15,
            Route::Metrics => 16,
            Route::OpenApi => 17,
            Route::Events => 18,
            Route::Stats => 19,
        }
    }

    /// What may be done with it; `HEAD` is not listed, it goes with `GET`.
    pub(super) fn methods(&self) -> &'static [&'static str] {
        TABLE[self.index()].1
    }

    /// Whether its answers come as JSON or MessagePack, as the client likes. The others have one form, or choose
    /// among their own.
    pub(super) fn speaks_formats(&self) -> bool {
        !matches!(
            self,
            Route::RuleSet(_)
                | Route::Version(..)
                | Route::Schema
                | Route::Livez
                | Route::Readyz
                | Route::Metrics
                | Route::OpenApi
        )
    }
}

/// The route of a path.
///
/// # Errors
/// 404 with the nearest path there is.
pub(super) fn find(path: &str) -> Result<Route<'_>, Refusal> {
    let segments: SmallVec<[&str; MAX_SEGMENTS]> =
        path.strip_prefix('/').unwrap_or(path).split('/').take(MAX_SEGMENTS).collect();
    Ok(match segments[..] {
        ["v1", "decisions"] => Route::Decisions,
        ["v1", "customers"] => Route::Customers,
        ["v1", "customers", id] => Route::Customer(id),
        ["v1", "rule-sets"] => Route::RuleSets,
        ["v1", "rule-sets", name] => Route::RuleSet(name),
        ["v1", "rule-sets", name, "versions"] => Route::Versions(name),
        ["v1", "rule-sets", name, "versions", version] => Route::Version(name, version),
        ["v1", "rule-sets", name, "versions", version, "activate"] => Route::Activate(name, version),
        ["v1", "rule-sets", name, "rollback"] => Route::Rollback(name),
        ["v1", "rule-sets", name, "check"] => Route::Check(name),
        ["v1", "events"] => Route::Events,
        ["v1", "schema"] => Route::Schema,
        ["v1", "bundle"] => Route::Bundle,
        ["v1", "audiences", "count"] => Route::AudienceCount,
        ["v1", "stats"] => Route::Stats,
        ["v1", "snapshots"] => Route::Snapshots,
        ["livez"] => Route::Livez,
        ["readyz"] => Route::Readyz,
        ["metrics"] => Route::Metrics,
        ["openapi.json"] => Route::OpenApi,
        _ => return Err(unknown(path)),
    })
}

fn unknown(path: &str) -> Refusal {
    let detail = format!("there is nothing at {}", quoted(path));
    let near = nearest(path, TABLE.iter().map(|(path, _)| *path));
    match near {
        Some(path) => Refusal::new(Kind::NotFound, format!("{detail}; did you mean {path}?")),
        None => Refusal::new(Kind::NotFound, format!("{detail}; /openapi.json lists what there is")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_the_router_and_the_document_agree() {
        let document: serde_json::Value = serde_json::from_str(super::super::operations::OPENAPI).unwrap();
        let paths = document["paths"].as_object().unwrap();
        for (index, (template, methods)) in TABLE.iter().enumerate() {
            let path = template.replace("{id}", "c-1").replace("{name}", "wealth").replace("{version}", "7");
            assert_eq!(find(&path).unwrap().index(), index, "{template}");
            let described = paths.get(*template).unwrap_or_else(|| panic!("{template} is not described"));
            let mut described: Vec<_> =
                described.as_object().unwrap().keys().map(|k| k.to_uppercase()).collect();
            described.retain(|key| key != "PARAMETERS");
            described.sort();
            let mut methods: Vec<_> = methods.iter().map(|m| m.to_string()).collect();
            methods.sort();
            assert_eq!(described, methods, "{template}");
        }
        assert_eq!(paths.len(), Route::COUNT);
    }

    #[test]
    fn a_path_that_is_not_there_names_the_nearest() {
        for (path, near) in [
            ("/v1/decision", "/v1/decisions?"),
            ("/v1/snapshot", "/v1/snapshots?"),
            ("/v1/ruleset", "/v1/rule-sets?"),
            ("/", "/openapi.json"),
        ] {
            let refusal = find(path).unwrap_err();
            assert!(refusal.detail().contains(near), "{}", refusal.detail());
        }
        assert!(find("/v1/decisions/").is_err());
        assert!(find("//v1/decisions").is_err());
        assert_eq!(find("/v1/customers/").unwrap(), Route::Customer(""));
        assert!(find("/v1/rule-sets/a/versions/1/activate/x/y/z/w").is_err());
    }
}
