//! How to serve.

use std::time::Duration;

use super::bounds::MAX_CONNECTIONS;
use crate::intake::token::Tokens;

/// How to serve. `Settings::default()` is right for a server on loopback.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Threads, each with its own listener; the cores by default.
    pub threads: usize,
    /// Whether an address other than loopback may be served although nobody has to show a key.
    pub allow_anonymous: bool,
    /// By which proposition tokens are signed and checked; none: a key of this server alone, gone when it stops.
    pub tokens: Option<Tokens>,
    /// Connections open at once.
    pub max_connections: usize,
    /// From the first byte of a request's head to its last.
    pub head_timeout: Duration,
    /// From one answer (or the connection's beginning) to the end of the next head. hyper's `header_read_timeout` runs
    /// from when it begins to wait for a head, so it is the idle time too; it is longer than the 60 seconds after which
    /// usual load balancers give up idle connections, so that they and not we close first.
    pub idle_timeout: Duration,
    /// From a request's head to the end of its body; over it the answer is 408.
    pub body_timeout: Duration,
    /// How long a client may take no byte of an answer.
    pub write_timeout: Duration,
    /// On stopping, how long to say *not ready* before connections are refused.
    pub notice: Duration,
    /// On stopping, how long requests in flight may take.
    pub drain_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            allow_anonymous: false,
            tokens: None,
            max_connections: MAX_CONNECTIONS,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            notice: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
        }
    }
}
