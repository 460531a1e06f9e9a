//! The server: sockets, bounds, routes, metrics, and the shapes on the wire. Nothing else in the crate serves
//! HTTP; the commands have a client in `cli/client.rs`.
//!
//! Each core has one thread with one runtime and one listener (`SO_REUSEPORT`). The thread that reads a
//! request also decides and renders it. A refused request gets RFC 9457 `application/problem+json` with all
//! problems that were found. A connection too many and a decision that waited too long get a fixed 503. Every
//! queue, body and number of connections has a named bound in [`bounds`].

pub mod bounds;
mod call;
mod hosts;
pub(crate) mod metrics;
mod origins;
mod queue;
mod routes;
mod serve;
mod settings;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;

pub use self::hosts::Hosts;
pub use self::origins::Origins;
pub use self::serve::listen::{ListenError, Server};
pub use self::settings::Settings;

use crate::node::startup::Startup;

/// Binds `address` (port 0 takes a free one) and serves the node of `startup` there until the server is
/// stopped.
///
/// Until the node has started, only `/`, `/livez`, `/readyz`, `/metrics` and `/openapi.json` are served.
/// Other paths get 503.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use usher::{http, node::Node, node::startup::Startup};
/// let startup = Startup::done(Node::start()?);
/// let server = http::serve("127.0.0.1:0".parse()?, startup, http::Settings::default())?;
/// let at = server.address(); // listening already
/// server.stop(); // first not ready, then no new connections, then the requests in flight end
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The address is in use, or belongs to another machine. It is not loopback while `settings.allow_anonymous`
/// is off. The system has no memory or threads left.
pub fn serve(address: SocketAddr, startup: Arc<Startup>, settings: Settings) -> Result<Server, ListenError> {
    serve::listen::serve(address, startup, settings)
}
