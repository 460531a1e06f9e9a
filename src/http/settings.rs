//! The settings of a server.

use std::time::Duration;

use super::bounds::MAX_CONNECTIONS;
use super::hosts::Hosts;
use super::origins::Origins;
use crate::intake::token::Tokens;

/// The settings of a server. `Settings::default()` suits a server on loopback.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The number of threads, each with its own listener. The default is the number of cores.
    pub threads: usize,
    /// Whether to serve an address other than loopback, although requests need no key.
    pub allow_anonymous: bool,
    /// Signs and checks proposition tokens. `None`: a random key that is lost when the server stops.
    pub tokens: Option<Tokens>,
    /// The most connections that may be open at once. If the system's limit of open files allows fewer, there
    /// are fewer.
    pub max_connections: usize,
    /// The most of them that one address may have. `None`: half of `max_connections`, so that no client keeps
    /// all others out.
    pub max_connections_per_address: Option<usize>,
    /// The names under which the server answers.
    pub hosts: Hosts,
    /// The origins of pages that may send requests.
    pub origins: Origins,
    /// The time from the first byte of a request's head to its last.
    pub head_timeout: Duration,
    /// The time from one answer (or the start of the connection) to the end of the next head. The
    /// default is longer than the 60 seconds of usual load balancers, so that they close idle connections
    /// before this server does.
    pub idle_timeout: Duration,
    /// The time from a request's head to the end of its body. After that the answer is 408.
    pub body_timeout: Duration,
    /// The time for which answers may wait for a client that takes nothing. What it takes pays for more, at
    /// [`LEAST_WRITE_RATE`](super::bounds::LEAST_WRITE_RATE).
    pub write_timeout: Duration,
    /// On stopping: time to report *not ready* before connections are refused.
    pub notice: Duration,
    /// On stopping: time that requests in flight may take.
    pub drain_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            allow_anonymous: false,
            tokens: None,
            max_connections: MAX_CONNECTIONS,
            max_connections_per_address: None,
            hosts: Hosts::default(),
            origins: Origins::default(),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            notice: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
        }
    }
}
