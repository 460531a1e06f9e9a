//! A request as its handler sees it, and what the threads of a server share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Instant;

use tokio::sync::{Notify, Semaphore};

use super::metrics::{Counters, Metrics};
use super::queue::Queue;
use super::serve::admission::Admission;
use super::serve::queue_time::QueueTime;
use super::settings::Settings;
use super::wire::body;
use super::wire::body::ReceivedBody;
use super::wire::head::Head;
use super::wire::media::Format;
use super::wire::reading::Body;
use super::wire::refusal::Refusal;
use super::wire::room::{BodyRoom, Size};
use crate::intake::token::Tokens;
use crate::node::Node;
use crate::node::startup::Startup;

/// The most variable parts that a path has.
pub(crate) const MAX_VARIABLES: usize = 2;

/// What a handler gets, borrowed for one request.
pub(crate) struct Call<'c> {
    pub(crate) worker: &'c Worker,
    pub(crate) node: &'c Arc<Node>,
    pub(crate) head: &'c Head,
    /// The variable parts of the path in order, still percent-encoded. Unused places are empty.
    pub(crate) variables: [&'c str; MAX_VARIABLES],
    /// Bound of the body, from the table of routes.
    pub(crate) size: Size,
    /// The moment at which the head had been read.
    pub(crate) started: Instant,
    /// The form in which to write the answer.
    pub(crate) format: Format,
}

/// One thread's view of its server.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<ServerState>,
    pub(crate) index: usize,
    /// Connections that this thread has open.
    pub(crate) open: Arc<AtomicUsize>,
    /// How long requests wait for this thread.
    pub(crate) queue: Arc<QueueTime>,
}

/// What the threads of a server share.
pub(crate) struct ServerState {
    pub(crate) startup: Arc<Startup>,
    pub(crate) settings: Settings,
    pub(crate) tokens: Tokens,
    pub(crate) metrics: Arc<Metrics>,
    /// Set first when the server stops. From then on `/readyz` answers 503, and answers say that the
    /// connection ends.
    pub(crate) unready: AtomicBool,
    /// Set after the notice: no new connections are accepted, and open ones close when all that arrived is
    /// answered.
    pub(crate) stopping: AtomicBool,
    /// One for each thread; wakes its accepting task.
    pub(crate) stop: Vec<Notify>,
    pub(crate) connections: AtomicUsize,
    /// The address on which the server listens.
    pub(crate) address: SocketAddr,
    pub(crate) admission: Arc<Admission>,
    pub(crate) room: Arc<BodyRoom>,
    /// One permit for each of the [`MAX_SNAPSHOT_REQUESTS`](super::bounds::MAX_SNAPSHOT_REQUESTS) that may be
    /// open.
    pub(crate) snapshots: Arc<Semaphore>,
    /// One permit for each of the [`MAX_BATCHES`](super::bounds::MAX_BATCHES) that may run.
    pub(crate) batches: Arc<Semaphore>,
    pub(crate) audiences: Queue,
    pub(crate) stats: Queue,
}

impl Call<'_> {
    /// Reads the whole body, up to the bound in `size`.
    ///
    /// # Errors
    /// Those of [`body::read`].
    pub(crate) async fn body(&self, body: Body<'_>) -> Result<ReceivedBody, Refusal> {
        let ServerState { room, settings, .. } = &*self.worker.shared;
        body::read(self.head, body, self.size, room, self.started, settings.body_timeout).await
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
