//! The pages that may speak to a server: those it serves itself, and those of the origins on a list (CORS).

use super::hosts::is_of_name;

/// The most origins in the list.
const MAX_ORIGINS: usize = 100;

/// Origins of pages that may send requests and read the answers, as browsers write them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins(Vec<String>);

impl Origins {
    /// Reads origins separated by commas: `https://desk.bank.example`, `http://localhost:3000`.
    ///
    /// # Errors
    /// What was expected and found.
    pub fn read(text: &str) -> Result<Origins, String> {
        let origins: Vec<&str> = text.split(',').map(str::trim).filter(|origin| !origin.is_empty()).collect();
        if origins.len() > MAX_ORIGINS {
            return Err(format!("expected at most {MAX_ORIGINS} origins, found {}", origins.len()));
        }
        match origins.iter().find(|origin| !is_origin(origin)) {
            None => Ok(Origins(origins.into_iter().map(as_browsers_write).collect())),
            Some(&"*") => Err("`*` would let every page read and change customers; name the origins".into()),
            Some(found) => Err(format!(
                "expected origins without a path such as https://desk.bank.example or http://localhost:3000, found {found:?}"
            )),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn has(&self, origin: &str) -> bool {
        self.0.iter().any(|known| known.eq_ignore_ascii_case(origin))
    }
}

fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|host| !host.is_empty() && host.bytes().all(is_of_name))
}

/// The origin in lower case, and without a port that goes without saying.
fn as_browsers_write(origin: &str) -> String {
    let usual = if origin.starts_with("https:") { ":443" } else { ":80" };
    origin.strip_suffix(usual).unwrap_or(origin).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        let list = "https://Desk.bank.example, http://localhost:3000, https://a.example:443, http://b.example:80, \
                    https://c.example:80,";
        let origins = Origins::read(list).unwrap();
        for (origin, expected) in [
            ("https://desk.bank.example", true),
            ("HTTPS://DESK.bank.example", true),
            ("http://desk.bank.example", false),
            ("http://localhost:3000", true),
            ("http://localhost", false),
            ("https://a.example", true),
            ("http://a.example", false),
            ("http://b.example", true),
            ("https://c.example:80", true),
            ("https://c.example", false),
            ("null", false),
        ] {
            assert_eq!(origins.has(origin), expected, "{origin}");
        }
        assert!(Origins::read("").unwrap().is_empty());
        for list in ["*", "null", "desk.bank.example", "https://a/", "https://", "ftp://a", "https://a b"] {
            assert!(Origins::read(list).is_err(), "{list:?}");
        }
    }
}
