//! The names under which a server answers. A page can make a name of its own lead to this server (DNS
//! rebinding), and a browser then takes the server for the page's own. So a name that nobody has allowed is
//! refused.

use std::net::IpAddr;

/// The most names in the list.
const MAX_HOSTS: usize = 100;

/// Names that are allowed besides those that need no permission.
///
/// These need none: `localhost` and names below it, and addresses. A server on loopback takes only loopback
/// addresses. One that other machines can reach also takes names without a dot, such as those of containers:
/// nobody can register them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hosts(Vec<Name>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Any,
    /// In lower case.
    Exact(String),
    /// All names that end in this, which begins with a dot.
    Below(String),
}

impl Hosts {
    /// Reads names separated by commas: `usher.bank.example`, `*.bank.example` for all names below it, `*`
    /// for every name.
    ///
    /// # Errors
    /// What was expected and found.
    pub fn read(text: &str) -> Result<Hosts, String> {
        let names: Vec<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        if names.len() > MAX_HOSTS {
            return Err(format!("expected at most {MAX_HOSTS} names, found {}", names.len()));
        }
        names.into_iter().map(Name::read).collect::<Result<_, _>>().map(Hosts)
    }

    /// Whether a server that listens on `address` answers to this `Host`; `None` if it is none.
    pub(crate) fn allows(&self, host: &str, address: IpAddr) -> Option<bool> {
        let name = name_of(host)?;
        let name = name.strip_suffix('.').unwrap_or(name);
        Some(needs_no_permission(name, address) || self.0.iter().any(|allowed| allowed.is(name)))
    }
}

/// The name in a `Host`, without the port; `None` if it is no `Host`.
fn name_of(host: &str) -> Option<&str> {
    let end = match host.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(end);
    let has_port =
        port.strip_prefix(':').map_or(port.is_empty(), |port| port.bytes().all(|b| b.is_ascii_digit()));
    (!name.is_empty() && has_port && name.bytes().all(is_of_name)).then_some(name)
}

/// Whether a name or an address may have this character. Colons are in brackets: others begin a port.
pub(super) fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte)
}

fn needs_no_permission(name: &str, address: IpAddr) -> bool {
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return !address.is_loopback() || ip.to_canonical().is_loopback();
    }
    let local = ".localhost";
    name.eq_ignore_ascii_case(&local[1..])
        || ends_in(name, local)
        || (!address.is_loopback() && !name.contains('.'))
}

/// Whether `name` ends in `end`, in any case, with something before it.
fn ends_in(name: &str, end: &str) -> bool {
    let start = name.len().checked_sub(end.len()).filter(|start| *start > 0);
    start.and_then(|start| name.get(start..)).is_some_and(|found| found.eq_ignore_ascii_case(end))
}

impl Name {
    fn read(text: &str) -> Result<Name, String> {
        let name = |text: &str| {
            let name = text.strip_suffix('.').unwrap_or(text); // as in a `Host`
            let is_name = !name.is_empty()
                && name.bytes().all(is_of_name)
                && (name.starts_with('[') || !name.contains(':'));
            is_name.then(|| name.to_lowercase())
        };
        let read = match text.strip_prefix('*') {
            Some("") => Some(Name::Any),
            Some(end) => end.strip_prefix('.').and_then(name).map(|name| Name::Below(format!(".{name}"))),
            None => name(text).map(Name::Exact),
        };
        read.ok_or_else(|| {
            format!(
                "expected names without scheme and port such as usher.bank.example or *.bank.example, found {text:?}"
            )
        })
    }

    fn is(&self, name: &str) -> bool {
        match self {
            Name::Any => true,
            Name::Exact(allowed) => name.eq_ignore_ascii_case(allowed),
            Name::Below(end) => ends_in(name, end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_nobody_allowed_are_refused() {
        let (here, everywhere) = ("127.0.0.1", "0.0.0.0");
        for (list, address, host, expected) in [
            ("", here, "localhost", Some(true)),
            ("", here, "LocalHost:8080", Some(true)),
            ("", here, "localhost.:8080", Some(true)),
            ("", here, "usher.localhost", Some(true)),
            ("", here, "127.0.0.1:8080", Some(true)),
            ("", here, "127.9.9.9", Some(true)),
            ("", here, "[::1]:8080", Some(true)),
            ("", here, "[::ffff:127.0.0.1]", Some(true)),
            ("", here, "evil.example", Some(false)),
            ("", here, "evil", Some(false)),
            ("", here, "10.0.0.1", Some(false)),
            ("", here, "notlocalhost", Some(false)),
            ("", here, "localhost.evil.example", Some(false)),
            ("", here, "127.0.0.1.evil.example:8080", Some(false)),
            ("", here, "", None),
            ("", here, ":8080", None),
            ("", here, "a b", None),
            ("", here, "a,b", None),
            ("", here, "localhost/x", None),
            ("", here, "me@localhost", None),
            ("", here, "localhost:x", None),
            ("", "::1", "[::1]", Some(true)),
            ("", "127.0.0.2", "127.0.0.2:80", Some(true)),
            ("", "::ffff:127.0.0.1", "[::ffff:127.0.0.1]", Some(true)),
            ("", everywhere, "10.0.0.1:8080", Some(true)),
            ("", everywhere, "usher-1:8080", Some(true)),
            ("", everywhere, "evil.example", Some(false)),
            ("a.example, *.Bank.example", here, "A.example:80", Some(true)),
            ("a.example, *.Bank.example", here, "x.y.bank.EXAMPLE", Some(true)),
            ("a.example, *.Bank.example", here, "bank.example", Some(false)),
            ("a.example, *.Bank.example", here, "xbank.example", Some(false)),
            ("a.example., *.bank.example.", here, "a.example", Some(true)),
            ("a.example., *.bank.example.", here, "a.example.:80", Some(true)),
            ("a.example., *.bank.example.", here, "x.bank.example", Some(true)),
            ("a.example., *.bank.example.", here, "bank.example", Some(false)),
            ("*", here, "evil.example", Some(true)),
        ] {
            let found = Hosts::read(list).unwrap().allows(host, address.parse().unwrap());
            assert_eq!(found, expected, "{host:?} at {address}, allowed: {list:?}");
        }
    }

    #[test]
    fn a_list_that_cannot_be_meant_is_refused() {
        for list in [
            "http://a.example",
            "a.example:80",
            "a b",
            "*a",
            "*.",
            "*..",
            ".",
            "a/*",
            &"a,".repeat(MAX_HOSTS + 1),
        ] {
            assert!(Hosts::read(list).is_err(), "{list:?}");
        }
        assert!(Hosts::read("[::1], 10.0.0.1,,").is_ok());
    }
}
