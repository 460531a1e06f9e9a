//! Turns for work that keeps a core busy.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::bounds::MAX_AUDIENCES;
use super::wire::refusal::{ProblemKind, Refusal};

/// Lets one job at a time do work that occupies a core, such as a scan of all customers.
pub(crate) struct Queue {
    /// What the jobs do, for the refusal when no place is left.
    busy: &'static str,
    places: Arc<Semaphore>,
    turn: Arc<Semaphore>,
}

impl Queue {
    pub(crate) fn new(busy: &'static str) -> Queue {
        Queue { busy, places: Arc::new(Semaphore::new(MAX_AUDIENCES)), turn: Arc::new(Semaphore::new(1)) }
    }

    /// Waits for the turn if a place to wait is left. The caller holds both until it drops them.
    pub(crate) async fn turn(&self) -> Result<[OwnedSemaphorePermit; 2], Refusal> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| self.crowded())?;
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(|_| self.crowded())?;
        Ok([place, turn])
    }

    fn crowded(&self) -> Refusal {
        let detail = format!("{MAX_AUDIENCES} {} already; try again in a second", self.busy);
        Refusal::new(ProblemKind::Overloaded, detail).in_a_second()
    }
}
