//! What happened to a customer, as data. An event is checked against schema and engine when it is made, so
//! the fold needs neither.

use super::outcome::Outcome;
use crate::schema::FeatureId;

/// The most values that one event gives to computed features.
pub const MAX_FACTS: usize = crate::schema::MAX_FEATURES;
/// How many seconds ahead of our clock an event may be dated: a device's clock may be wrong. Such an event
/// counts as now.
pub const MAX_AHEAD_S: u32 = 300;
/// How many seconds late an event may come: longer than any window looks back.
pub const MAX_LATE_S: u32 = 400 * crate::schema::value::DAY_SECONDS;

/// One event, ready for the fold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// When it happened, in seconds since 1970; never after `received`.
    pub at: u32,
    /// When it was received, in seconds since 1970. This is the fold's clock.
    pub received: u32,
    /// A hash of the event's id; 0 if it has none. As long as an id is remembered, the same event again
    /// changes nothing.
    pub id: u64,
    /// What computed features take from it: the code of a property's value, or 1 for features that take no
    /// property.
    pub facts: Vec<(FeatureId, u64)>,
    /// What became of a proposition, if the event is an outcome.
    pub outcome: Option<Box<Outcome>>,
}

/// What the fold made of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The event was counted everywhere.
    Accepted,
    /// The event was counted, but not in every budget: in a budget of customers the customer had a place
    /// already.
    Again,
    /// The same event was counted before, so it changed nothing.
    Duplicate,
    /// The event was counted, but not in its budgets, because one of them is used up.
    UsedUp,
    /// Nothing was changed: it tells of a time before the customer was erased.
    Erased,
    /// Nothing was changed: the proposition is older than what is remembered of erasures, so its customer may
    /// have been erased since.
    ErasureForgotten,
    /// Nothing was changed: the proposition is older than what is remembered of outcomes, so it may have been
    /// counted before.
    Forgotten,
}
