//! What happened to a customer, as data: checked against schema and engine when it is made, so that the fold needs neither.

use super::outcome::Outcome;
use crate::schema::FeatureId;

/// Values that one event gives to computed features at most.
pub const MAX_FACTS: usize = crate::schema::MAX_FEATURES;
/// How far ahead of our clock an event may be dated, in seconds: a device's clock may be wrong. It is taken as of now.
pub const MAX_AHEAD_S: u32 = 300;
/// How late an event may come, in seconds: longer than any window looks back.
pub const MAX_LATE_S: u32 = 400 * crate::schema::value::DAY_SECONDS;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// When it happened, in seconds since 1970; at most `received`.
    pub at: u32,
    /// When it was received, in seconds since 1970: the fold's clock.
    pub received: u32,
    /// A hash of its id; 0 if it has none. The same one again changes nothing, as long as it is remembered.
    pub id: u64,
    /// What computed features take from it: a property's value as its kind packs it, 1 where there is none to take.
    pub facts: Vec<(FeatureId, u64)>,
    /// What became of a proposition, if it tells that.
    pub outcome: Option<Box<Outcome>>,
}

/// What the fold made of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was taken.
    Accepted,
    /// It was taken; but a budget of customers had counted the customer before, so it used up nothing.
    Again,
    /// It was taken before and changed nothing.
    Duplicate,
    /// It was taken, but not counted in its budgets, because one of them is used up.
    UsedUp,
    /// Its proposition is older than what is remembered of outcomes, so it may have been counted: nothing was changed.
    Forgotten,
}
