//! One request as its handler gets it, and what all threads of a server share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Instant;

use hyper::body::Incoming;
use hyper::http::request::Parts;
use tokio::sync::{Notify, Semaphore};

use super::metrics::{Counters, Metrics};
use super::queue::Queue;
use super::settings::Settings;
use super::wire::body;
use super::wire::body::Content;
use super::wire::media::Format;
use super::wire::refusal::Refusal;
use super::wire::room::{BodyRoom, Size};
use crate::intake::token::Tokens;
use crate::node::Node;
use crate::node::startup::Startup;

/// The most variable parts that a path has.
pub(crate) const MAX_VARIABLES: usize = 2;

/// What a handler gets. Borrowed for one request.
pub(crate) struct Call<'c> {
    pub(crate) worker: &'c Worker,
    pub(crate) node: &'c Arc<Node>,
    pub(crate) parts: &'c Parts,
    /// The variable parts of the path in its order, still percent-encoded; empty beyond the last.
    pub(crate) variables: [&'c str; MAX_VARIABLES],
    /// How large the body may be, as the table of routes says.
    pub(crate) size: Size,
    /// When the head was read.
    pub(crate) started: Instant,
    /// How the answer is to be written.
    pub(crate) format: Format,
}

/// One thread's view of its server.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) index: usize,
    /// The thread's open connections.
    pub(crate) open: Arc<AtomicUsize>,
}

/// What all threads of a server share.
pub(crate) struct Shared {
    pub(crate) startup: Arc<Startup>,
    pub(crate) settings: Settings,
    pub(crate) tokens: Tokens,
    pub(crate) metrics: Arc<Metrics>,
    /// Set first when the server stops: `/readyz` answers 503 from then on.
    pub(crate) unready: AtomicBool,
    /// Set after the notice: no new connections, and open ones close after the request in flight.
    pub(crate) stopping: AtomicBool,
    /// One for each thread; wakes its accepting task.
    pub(crate) stop: Vec<Notify>,
    pub(crate) connections: AtomicUsize,
    pub(crate) room: Arc<BodyRoom>,
    /// Places for [`MAX_SNAPSHOT_REQUESTS`](super::bounds::MAX_SNAPSHOT_REQUESTS).
    pub(crate) snapshots: Arc<Semaphore>,
    pub(crate) audiences: Queue,
    pub(crate) stats: Queue,
}

impl Call<'_> {
    /// Reads the whole body, up to the bound that the table of routes gives this one.
    ///
    /// # Errors
    /// Those of [`body::read`].
    pub(crate) async fn body(&self, body: Incoming) -> Result<Content, Refusal> {
        let Shared { room, settings, .. } = &*self.worker.shared;
        body::read(&self.parts.headers, body, self.size, room, self.started, settings.body_timeout).await
    }
}

impl Worker {
    /// Notified when the server stops.
    pub(crate) fn stop(&self) -> &Notify {
        &self.shared.stop[self.index]
    }

    pub(crate) fn counters(&self) -> &Counters {
        self.shared.metrics.thread(self.index)
    }
}
