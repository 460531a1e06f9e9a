//! A node that may still be starting: what the server is given, so that it can say how far that is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::Node;
use crate::storage::durability::BytesRead;

/// Holds the node once it is there. Shared by whoever starts it and who waits for it.
#[derive(Default)]
pub struct Startup {
    node: OnceLock<Arc<Node>>,
    done: AtomicU64,
    total: AtomicU64,
}

impl Startup {
    /// Nothing there yet.
    pub fn new() -> Arc<Startup> {
        Arc::default()
    }

    /// A node that is there already.
    pub fn done(node: Arc<Node>) -> Arc<Startup> {
        let startup = Startup::new();
        startup.finish(node);
        startup
    }

    /// The node is there. Once: a second one is ignored.
    pub fn finish(&self, node: Arc<Node>) {
        let _ = self.node.set(node);
    }

    /// The node, once it is there.
    pub fn node(&self) -> Option<&Arc<Node>> {
        self.node.get()
    }

    /// Says how far it is.
    pub fn report(&self, progress: BytesRead) {
        self.total.store(progress.total, Ordering::Relaxed);
        self.done.store(progress.done, Ordering::Relaxed);
    }

    /// How far it is.
    pub fn progress(&self) -> BytesRead {
        BytesRead { done: self.done.load(Ordering::Relaxed), total: self.total.load(Ordering::Relaxed) }
    }
}
