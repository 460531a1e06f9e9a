//! The HTTP shell: sockets, limits, routes, and the wire shapes. Nothing else in the crate knows HTTP.
//!
//! One thread, one runtime and one listener per core (`SO_REUSEPORT`): a request is parsed, decided and rendered on the
//! thread that read it. What is wrong with a request is said as RFC 9457 `application/problem+json`, every problem at
//! once. The exceptions: a head that hyper itself cannot read is answered 400 or 431 without a body, and a connection
//! over the cap 503 as text. Every queue, body and connection count has a bound with a name, below.

pub mod bounds;
mod call;
pub(crate) mod metrics;
mod queue;
mod routes;
mod serve;
mod settings;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;

pub use self::serve::listen::{ListenError, Server};
pub use self::settings::Settings;

use crate::node::startup::Startup;

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
    serve::listen::serve(address, startup, settings)
}
