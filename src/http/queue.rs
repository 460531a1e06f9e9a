//! Turns for work that keeps a core busy.

use std::sync::Arc;

use hyper::header::{HeaderValue, RETRY_AFTER};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::bounds::MAX_AUDIENCES;
use super::wire::refusal::{ProblemKind, Refusal};

/// Whose turn it is to do what takes a core for as long as it lasts, such as going through all customers: one at a time.
pub(crate) struct Queue {
    /// What is going on when there is no place left.
    busy: &'static str,
    places: Arc<Semaphore>,
    turn: Arc<Semaphore>,
}

impl Queue {
    pub(crate) fn new(busy: &'static str) -> Queue {
        Queue { busy, places: Arc::new(Semaphore::new(MAX_AUDIENCES)), turn: Arc::new(Semaphore::new(1)) }
    }

    /// Waits for the turn, if there is a place to wait; holds both until they are dropped.
    pub(crate) async fn turn(&self) -> Result<[OwnedSemaphorePermit; 2], Refusal> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| self.crowded())?;
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(|_| self.crowded())?;
        Ok([place, turn])
    }

    fn crowded(&self) -> Refusal {
        let detail = format!("{MAX_AUDIENCES} {} already, try again in a second", self.busy);
        Refusal::new(ProblemKind::Overloaded, detail).header(RETRY_AFTER, HeaderValue::from_static("1"))
    }
}
