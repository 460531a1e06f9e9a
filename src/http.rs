//! The HTTP shell: sockets, limits, routes, and the wire shapes. Nothing else in the crate knows HTTP.
//!
//! One thread, one runtime and one listener per core (`SO_REUSEPORT`): a request is parsed, decided and rendered on the
//! thread that read it. What is wrong with a request is said as RFC 9457 `application/problem+json`, every problem at
//! once. The exceptions: a head that hyper itself cannot read is answered 400 or 431 without a body, and a connection
//! over the cap 503 as text. Every queue, body and connection count has a bound with a name, below.

mod answer;
mod audiences;
mod body;
mod bulk;
mod bundle;
mod check;
mod connection;
mod csv;
mod customers;
mod decision_id;
mod decisions;
mod encode;
mod events;
mod listen;
mod media;
mod operations;
mod query;
mod refusal;
mod render;
mod room;
mod route;
mod rule_sets;
mod schema;
mod service;
mod snapshots;
mod stats;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use listen::{ListenError, Server};

use crate::startup::Startup;
use crate::token::Tokens;

/// Bytes of a request's head at most; more is answered 431.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Headers of a request at most; more is answered 431.
pub const MAX_HEADERS: usize = 64;
/// Bytes of a request's target at most; more is answered 414.
pub const MAX_URI_BYTES: usize = 8 * 1024;
/// Bytes of a decision request at most; more is answered 413, here and below.
pub const MAX_DECISION_BYTES: usize = 64 * 1024;
/// Bytes of one customer's features at most.
pub const MAX_CUSTOMER_BYTES: usize = 256 * 1024;
/// Bytes of the events of one request at most, sent and unpacked.
pub const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;
/// Events of one request at most.
pub const MAX_EVENTS: usize = 10_000;
/// Bytes of a rule set or a schema at most, sent and unpacked.
pub const MAX_DEFINITION_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of one bulk load at most, sent and unpacked.
pub const MAX_BULK_BYTES: usize = 8 * 1024 * 1024;
/// Rows of one bulk load at most.
pub const MAX_BULK_ROWS: usize = 200_000;
/// Bytes of one row of a bulk load at most; a longer one is rejected.
pub const MAX_ROW_BYTES: usize = MAX_CUSTOMER_BYTES;
/// Lines of one CSV row at most: beyond them a quote is taken for lost.
pub const MAX_ROW_LINES: usize = 100;
/// Bytes that all bodies, and the rows read from them, take at once; one more body is answered 503.
pub const MAX_BODY_BYTES_IN_FLIGHT: usize = 256 * 1024 * 1024;
/// Bulk loads, and definitions, of which more than [`MAX_CUSTOMER_BYTES`] arrived, at once each; one more is answered
/// 503.
pub const MAX_LARGE_BODIES: usize = 16;
/// Snapshots asked for and not answered at once; one more is answered 503.
pub const MAX_SNAPSHOT_REQUESTS: usize = 4;
/// Audiences being counted or waiting for their turn at once, one after the other; one more is answered 503. As many
/// requests for statistics, which take turns among themselves.
pub const MAX_AUDIENCES: usize = 8;
/// How long counting one audience may take; beyond it the answer is 503.
pub const MAX_AUDIENCE_TIME: Duration = Duration::from_secs(30);
/// Connections open at once; one more is answered 503 and closed.
pub const MAX_CONNECTIONS: usize = 10_000;

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

/// Binds `address` (port 0 takes a free one) and serves the node of `startup` on it until the server is stopped. While
/// the node is not there yet, `/livez`, `/readyz`, `/metrics` and `/openapi.json` are answered, everything else is 503.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use usher::{http, node::Node, startup::Startup};
/// let startup = Startup::done(Node::start()?);
/// let server = http::serve("127.0.0.1:0".parse()?, startup, http::Settings::default())?;
/// let at = server.address(); // listening already
/// server.stop(); // readiness first, then no new connections, then those in flight
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// An address that is in use, is not this machine's, or is not loopback while `settings.allow_anonymous` is off; no
/// memory or threads.
pub fn serve(address: SocketAddr, startup: Arc<Startup>, settings: Settings) -> Result<Server, ListenError> {
    listen::serve(address, startup, settings)
}

/// How many routes there are.
pub(crate) const ROUTES: usize = route::Route::COUNT;

/// The path of a route as the contract writes it.
pub(crate) fn route_name(index: usize) -> Option<&'static str> {
    route::TABLE.get(index).map(|(path, _)| *path)
}
