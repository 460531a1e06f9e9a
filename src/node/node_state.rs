//! What the threads of a node share.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};

use super::clock::ClockWatch;
use super::erasures::RecentErasures;
use super::handed::HandedOut;
use super::live::{Live, counted};
use super::room::{NodeBounds, Room};
use crate::engine::Engine;
use crate::insight::decided::Decided;
use crate::insight::stats;
use crate::insight::stats::Tallied;
use crate::rules::catalogue::Gone;
use crate::state::State;
use crate::state::ledger::Figures;
use crate::state::store::Customers;

/// The most memory, in bytes, that all waiting submissions of request threads may hold together. A larger one
/// is taken when nothing else waits.
pub(crate) const MAX_WAITING_BYTES: usize = 64 << 20;

/// What request threads, the compiler, the snapshotter and the writer share.
pub(crate) struct NodeState {
    pub(crate) live: ArcSwap<Live>,
    pub(crate) customers: Arc<Customers>,
    pub(crate) figures: Arc<Figures>,
    /// Outcomes of all offers up to the start of this process.
    pub(crate) tallied_before: ArcSwap<Vec<Tallied>>,
    /// The arms that this process has put into tokens.
    pub(crate) handed: HandedOut,
    /// The sequence of the last applied record.
    pub(crate) sequence: AtomicU64,
    /// The sequence of the last applied record that erased a customer; 0 if there is none.
    pub(crate) erased: AtomicU64,
    /// How many customers have expired since the start.
    pub(crate) expired: AtomicU64,
    /// The erasures of this moment.
    pub(crate) erasures: RecentErasures,
    pub(crate) room: Room,
    pub(crate) clock: ClockWatch,
    /// The journal failed, or a record could not be applied: no more writes until restart.
    pub(crate) failed: AtomicBool,
    /// The first reason for which `failed` was set.
    pub(crate) failure: OnceLock<String>,
    /// Why the last write was refused, if the disk was full or files were scarce. The next one that succeeds
    /// clears it.
    pub(crate) refusal: ArcSwapOption<String>,
    waiting_bytes: AtomicUsize,
}

impl NodeState {
    /// The shared side of `state`, made before the writer takes the state itself.
    pub(crate) fn new(state: &State, engine: Engine, bounds: NodeBounds, clock: ClockWatch) -> NodeState {
        let decided = counted(&Decided::new(clock.now()), &engine);
        let definitions = state.definitions().clone();
        let tallied_before = stats::without_days(state.figures().tallies().rows().map(Tallied::from));
        NodeState {
            live: ArcSwap::from_pointee(Live { definitions, engine, decided }),
            customers: state.customers().clone(),
            figures: state.figures().clone(),
            tallied_before: ArcSwap::from_pointee(tallied_before),
            handed: HandedOut::new(),
            sequence: AtomicU64::new(state.sequence()),
            erased: AtomicU64::new(state.erased()),
            expired: AtomicU64::new(0),
            erasures: RecentErasures::new(),
            room: Room::new(bounds),
            clock,
            failed: AtomicBool::new(false),
            failure: OnceLock::new(),
            refusal: ArcSwapOption::empty(),
            waiting_bytes: AtomicUsize::new(0),
        }
    }

    /// Forgets what had become of arms whose numbers are given back.
    pub(crate) fn forget(&self, gone: &Gone) {
        if !gone.is_empty() {
            let before = self.tallied_before.load_full();
            let stays = |tallied: &&Tallied| !gone.counted(tallied.offer, tallied.place, tallied.arm);
            self.tallied_before.store(Arc::new(before.iter().filter(stays).copied().collect()));
        }
    }

    /// Why no more writes are taken; `None` while they are.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Counts `bytes` as waiting if they fit under [`MAX_WAITING_BYTES`].
    pub(crate) fn admit(&self, bytes: usize) -> bool {
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before == 0 || before + bytes <= MAX_WAITING_BYTES;
        if !fits {
            self.release(bytes);
        }
        fits
    }

    pub(crate) fn release(&self, bytes: usize) {
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_bytes_are_bounded_but_one_large_submission_gets_through() {
        let state = State::new();
        let shared = NodeState::new(
            &state,
            Engine::empty(&state.definitions().schema),
            NodeBounds::default(),
            ClockWatch::new(),
        );
        assert!(shared.admit(MAX_WAITING_BYTES - 10));
        assert!(shared.admit(10));
        assert!(!shared.admit(1));
        shared.release(10);
        assert!(shared.admit(10));
        shared.release(MAX_WAITING_BYTES);
        assert!(shared.admit(2 * MAX_WAITING_BYTES), "alone it may be larger");
        assert!(!shared.admit(1));
        shared.release(2 * MAX_WAITING_BYTES);
        assert_eq!(shared.waiting_bytes.load(Ordering::Relaxed), 0);
    }
}
