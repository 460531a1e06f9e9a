//! The server under load.

use std::net::{SocketAddr, ToSocketAddrs};

/// The address that requests go to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// Host and port as in the URL, for the `Host` header.
    pub(crate) authority: String,
}

impl Target {
    /// Reads `http://HOST:PORT`. A host beyond loopback is an error unless `allow_remote` says that it is
    /// meant.
    pub(crate) fn parse(url: &str, allow_remote: bool) -> Result<Target, String> {
        let shape = || format!("expected a URL such as http://127.0.0.1:8080, found {url:?}");
        let authority = url.strip_prefix("http://").ok_or_else(shape)?.trim_end_matches('/');
        if authority.is_empty() || authority.contains(['/', '?', '#', '@']) {
            return Err(shape());
        }
        let with_port = match authority.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => authority.to_owned(),
            _ => format!("{authority}:80"),
        };
        let addresses = with_port.to_socket_addrs().map_err(|e| format!("cannot find {authority}: {e}"))?;
        let addresses: Vec<_> = addresses.collect();
        let allowed = |address: &&SocketAddr| allow_remote || address.ip().is_loopback();
        match addresses.iter().find(allowed) {
            Some(address) => Ok(Target { address: *address, authority: authority.to_owned() }),
            None => Err(format!(
                "{authority} is not this machine; add --allow-remote if it is yours and may be put under load"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn only_loopback_unless_said() {
        for good in ["http://127.0.0.1:8080", "http://127.9.9.9:1/", "http://[::1]:8080"] {
            assert!(Target::parse(good, false).is_ok(), "{good}");
        }
        for remote in ["http://192.0.2.1:8080", "http://0.0.0.0:8080", "http://192.0.2.1"] {
            let why = Target::parse(remote, false).err().unwrap_or_default();
            assert!(why.contains("--allow-remote"), "{remote}: {why}");
            assert!(Target::parse(remote, true).is_ok(), "{remote}");
        }
    }

    #[test]
    fn what_is_no_url_says_what_was_expected() {
        for bad in
            ["127.0.0.1:8080", "https://127.0.0.1", "http://", "http://127.0.0.1:8080/v1", "http://a@b"]
        {
            let why = Target::parse(bad, false).err().unwrap_or_default();
            assert!(why.contains("http://127.0.0.1:8080"), "{bad}: {why}");
        }
    }
}
