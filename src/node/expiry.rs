//! Expiry: the thread that looks for customers of whom only events are known, and of whom nothing counts any
//! more. It names them to the writer; [`IdleRule`] says what becomes of them.
//!
//! It goes through all customers in steps, a part of the map each, and never has more than one record with
//! the writer. So writes and decisions hardly notice it.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::node_state::NodeState;
use super::room::{NodeBounds, UnknownCustomers};
use super::unavailable::Unavailable;
use super::writer::Submissions;
use crate::customer::id::CustomerId;
use crate::customer::row::Row;
use crate::state::idle::{IdleRule, Idleness};
use crate::state::record::{MAX_UPDATES_PER_RECORD, Record};
use crate::state::store;

/// How soon after the start all customers are looked at for the first time, and how soon it is looked at the
/// clock again if that may be wrong.
const FIRST_AFTER: Duration = Duration::from_secs(5);
/// How often they are, at least and at most, and how often within the life of one who is left alone.
const LEAST_EVERY: Duration = Duration::from_secs(1);
const MOST_EVERY: Duration = Duration::from_secs(3600);
const LOOKS_PER_LIFE: u32 = 16;
/// How long it rests after each part of the map.
const REST: Duration = Duration::from_millis(2);

/// What the thread works with.
pub(crate) struct Expiry {
    shared: Arc<NodeState>,
    submissions: Submissions,
    /// How long customers stay whom nothing happens to.
    life: Duration,
}

/// The running thread.
pub(crate) struct Running {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Expiry {
    /// Starts the thread, if customers expire.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub(crate) fn start(shared: &Arc<NodeState>, submissions: &Submissions) -> io::Result<Option<Running>> {
        let NodeBounds { unknown, unknown_life, .. } = shared.room.bounds;
        // Where events make no customers, whoever went could not come back.
        let Some(life) = unknown_life.filter(|_| unknown == UnknownCustomers::Create) else {
            return Ok(None);
        };
        let expiry = Expiry { shared: shared.clone(), submissions: submissions.clone(), life };
        let (stop, stopped) = sync_channel(1);
        let thread = std::thread::Builder::new().name("expiry".into());
        Ok(Some(Running { stop, thread: thread.spawn(move || expiry.run(&stopped))? }))
    }

    fn run(&self, stopped: &Receiver<()>) {
        let every = (self.life / LOOKS_PER_LIFE).clamp(LEAST_EVERY, MOST_EVERY);
        let soon = FIRST_AFTER.min(every);
        let mut wait = soon;
        while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            // While the clock is in doubt nobody is forgotten or marked: neither can be taken back.
            if !self.shared.clock.is_proved() {
                wait = soon;
                continue;
            }
            let before = self.shared.expired.load(Ordering::Relaxed);
            if self.look(stopped).is_break() {
                return;
            }
            let customers = self.shared.expired.load(Ordering::Relaxed) - before;
            if customers > 0 {
                tracing::info!(customers, "customers of whom only events were known have expired");
            }
            wait = every;
        }
    }

    /// Looks at all customers once. It breaks off if it is to stop.
    fn look(&self, stopped: &Receiver<()>) -> ControlFlow<()> {
        for part in 0..store::PARTS {
            if stopped.recv_timeout(REST) != Err(RecvTimeoutError::Timeout) {
                return ControlFlow::Break(());
            }
            let at = self.shared.clock.now().stored_seconds();
            let life_s = u32::try_from(self.life.as_secs()).unwrap_or(u32::MAX);
            let mut found = self.idle(part, at, life_s).into_iter().peekable();
            while found.peek().is_some() {
                let customers = found.by_ref().take(MAX_UPDATES_PER_RECORD).collect();
                match self.write(Record::Idle { at, life_s, customers }) {
                    Ok(()) => {}
                    Err(Unavailable::Stopped) => return ControlFlow::Break(()),
                    // Whoever is left is found the next time.
                    Err(why) => tracing::debug!(?why, "customers who are idle could not be written"),
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// The customers of a part of whom a record has something to say.
    fn idle(&self, part: usize, at: u32, life_s: u32) -> Vec<CustomerId> {
        let live = self.shared.live.load();
        let rule = IdleRule::new(&live.definitions, at, life_s);
        let (customers, mut row) = (&self.shared.customers, Row::new());
        let mut ids = customers.ids(part);
        ids.retain(|id| customers.read(id.as_str(), &mut row) && rule.judge(&mut row) != Idleness::Stays);
        ids
    }

    fn write(&self, record: Record) -> Result<(), Unavailable> {
        let reply = self.submissions.offer(vec![record])?;
        reply.blocking_recv().unwrap_or(Err(Unavailable::Stopped)).map(drop)
    }
}

impl Running {
    /// Lets it end, and waits until it has.
    pub(crate) fn stop(self) {
        drop(self.stop);
        let _ = self.thread.join(); // a thread that panicked has ended
    }
}
