//! The room that all bodies share: memory, and places for large ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refusal::{ProblemKind, Refusal};
use crate::http::bounds::{
    MAX_BODY_BYTES_IN_FLIGHT, MAX_BULK_BYTES, MAX_CUSTOMER_BYTES, MAX_DECISION_BYTES, MAX_DEFINITION_BYTES,
    MAX_EVENT_BYTES, MAX_LARGE_BODIES,
};

/// Memory is taken in steps of this many bytes, so that threads rarely touch the shared counter.
const STEP_BYTES: usize = 64 * 1024;

/// The purpose of a body, which bounds its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// The method has no body, and none is read.
    Nothing,
    Decision,
    Customer,
    Bulk,
    Events,
    Definition,
}

impl Size {
    /// The most bytes of the body, compressed or not.
    pub(crate) fn limit(self) -> usize {
        match self {
            Size::Nothing => 0,
            Size::Decision => MAX_DECISION_BYTES,
            Size::Customer => MAX_CUSTOMER_BYTES,
            Size::Bulk => MAX_BULK_BYTES,
            Size::Events => MAX_EVENT_BYTES,
            Size::Definition => MAX_DEFINITION_BYTES,
        }
    }
}

/// The room for all bodies of a server.
pub(crate) struct BodyRoom {
    free: AtomicUsize,
    /// Counted apart, so that bulk loads never keep a rule set from being pushed.
    bulk: Arc<Semaphore>,
    definitions: Arc<Semaphore>,
}

impl BodyRoom {
    pub(crate) fn new() -> Arc<BodyRoom> {
        let places = || Arc::new(Semaphore::new(MAX_LARGE_BODIES));
        Arc::new(BodyRoom {
            free: AtomicUsize::new(MAX_BODY_BYTES_IN_FLIGHT),
            bulk: places(),
            definitions: places(),
        })
    }

    fn take(&self, bytes: usize) -> bool {
        let less = |free: usize| free.checked_sub(bytes);
        self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

/// One body's share of the room, given back on drop.
pub(crate) struct Share {
    room: Arc<BodyRoom>,
    size: Size,
    used: usize,
    taken: usize,
    place: Option<OwnedSemaphorePermit>,
}

impl Share {
    pub(crate) fn new(room: &Arc<BodyRoom>, size: Size) -> Share {
        Share { room: Arc::clone(room), size, used: 0, taken: 0, place: None }
    }

    /// Takes memory for `bytes` more, of the body or of what is made from it.
    ///
    /// # Errors
    /// 503 without memory.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.used += bytes;
        if self.used > self.taken {
            // A body below one step takes exactly what it needs.
            let step = if self.taken == 0 && self.used < STEP_BYTES { 1 } else { STEP_BYTES };
            let more = (self.used - self.taken).next_multiple_of(step);
            if !self.room.take(more) {
                return Err(crowded("too many bodies are being read"));
            }
            self.taken += more;
        }
        Ok(())
    }

    /// Takes a place among the large bodies once `length` bytes have arrived. Not earlier: a client that only
    /// announces a large body holds nothing.
    ///
    /// # Errors
    /// 503 without a free place.
    pub(crate) fn reached(&mut self, length: usize) -> Result<(), Refusal> {
        let places = match self.size {
            Size::Bulk | Size::Events => &self.room.bulk,
            Size::Definition => &self.room.definitions,
            Size::Nothing | Size::Decision | Size::Customer => return Ok(()),
        };
        if length > MAX_CUSTOMER_BYTES && self.place.is_none() {
            let place = Arc::clone(places).try_acquire_owned();
            self.place = Some(place.map_err(|_| crowded("too many large bodies are being read"))?);
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.free.fetch_add(self.taken, Ordering::Relaxed);
    }
}

fn crowded(why: &str) -> Refusal {
    Refusal::new(ProblemKind::Overloaded, format!("{why}; try again in a second")).in_a_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_over_all_bodies_and_given_back() {
        let room = BodyRoom::new();
        let mut shares = Vec::new();
        loop {
            let mut share = Share::new(&room, Size::Customer);
            if share.grow(MAX_CUSTOMER_BYTES).is_err() {
                break;
            }
            shares.push(share);
        }
        assert_eq!(shares.len(), MAX_BODY_BYTES_IN_FLIGHT / MAX_CUSTOMER_BYTES);
        shares.pop();
        let mut share = Share::new(&room, Size::Decision);
        for _ in 0..MAX_DECISION_BYTES {
            share.grow(1).unwrap();
        }
        drop((shares, share));
        assert_eq!(room.free.load(Ordering::Relaxed), MAX_BODY_BYTES_IN_FLIGHT);
    }

    #[test]
    fn only_what_is_large_takes_a_place_and_loads_leave_those_for_definitions() {
        let room = BodyRoom::new();
        let mut loads: Vec<_> = (0..=MAX_LARGE_BODIES).map(|_| Share::new(&room, Size::Bulk)).collect();
        assert!(loads.iter_mut().all(|load| load.reached(MAX_CUSTOMER_BYTES).is_ok()));
        let placed = loads.iter_mut().filter_map(|load| load.reached(MAX_CUSTOMER_BYTES + 1).ok()).count();
        assert_eq!(placed, MAX_LARGE_BODIES);
        assert!(Share::new(&room, Size::Definition).reached(MAX_DEFINITION_BYTES).is_ok());
        drop(loads);
        assert!(Share::new(&room, Size::Bulk).reached(MAX_BULK_BYTES).is_ok());
    }
}
