//! A node that may still be starting. The server holds this, so that it can tell how far the start is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::Node;
use crate::storage::durability::BytesRead;

/// Holds the node once it has started. The starting thread and the server share it.
#[derive(Default)]
pub struct Startup {
    node: OnceLock<Arc<Node>>,
    done: AtomicU64,
    total: AtomicU64,
}

impl Startup {
    /// A start that has no node yet.
    pub fn new() -> Arc<Startup> {
        Arc::default()
    }

    /// A start that is complete: `node` is running.
    pub fn done(node: Arc<Node>) -> Arc<Startup> {
        let startup = Startup::new();
        startup.finish(node);
        startup
    }

    /// Hands over the running node. A second call is ignored.
    pub fn finish(&self, node: Arc<Node>) {
        let _ = self.node.set(node);
    }

    /// The node, once it is there.
    pub fn node(&self) -> Option<&Arc<Node>> {
        self.node.get()
    }

    /// Records how many bytes of the data directory have been read.
    pub fn report(&self, progress: BytesRead) {
        self.total.store(progress.total, Ordering::Relaxed);
        self.done.store(progress.done, Ordering::Relaxed);
    }

    /// Bytes of the data directory that have been read, and the total.
    pub fn progress(&self) -> BytesRead {
        BytesRead { done: self.done.load(Ordering::Relaxed), total: self.total.load(Ordering::Relaxed) }
    }
}
