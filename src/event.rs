//! What happened to a customer, as data: checked against schema and engine when it is made, so that the fold needs neither.

mod read;

pub use read::Reader;

use crate::catalogue::{ArmNumber, OfferNumber, PlaceNumber};
use crate::contact::OutcomeKind;
use crate::schema::FeatureId;

/// Values that one event gives to computed features at most.
pub const MAX_FACTS: usize = crate::schema::MAX_FEATURES;
/// Arms of experiments that one outcome is counted under at most.
pub const MAX_ARMS_PER_OUTCOME: usize = 16;
/// Budgets that one outcome is counted in at most.
pub const MAX_LIMITS_PER_OUTCOME: usize = 16;

/// How far ahead of our clock an event may be dated, in seconds: a device's clock may be wrong. It is taken as of now.
pub const MAX_AHEAD_S: u32 = 300;
/// How late an event may come, in seconds: longer than any window looks back.
pub const MAX_LATE_S: u32 = 400 * crate::value::DAY_SECONDS;

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

/// What became of a proposition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What.
    pub kind: OutcomeKind,
    /// Of which offer.
    pub offer: OfferNumber,
    /// On which placement and channel.
    pub place: PlaceNumber,
    /// Under which arms of experiments it was decided.
    pub arms: Vec<ArmNumber>,
    /// What tells its proposition from all others; 0 if it came without a token.
    pub nonce: u64,
    /// When it was decided, in seconds since 1970.
    pub decided: u32,
    /// What it was worth, in thousandths; 0 if nothing was said.
    pub value: i64,
    /// Budgets that it uses up.
    pub limits: Vec<Limit>,
    /// What is to be learned from it.
    pub lesson: Option<Lesson>,
}

/// A budget that an outcome uses up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Which: a hash of its rule set's name and its own; never 0.
    pub key: u64,
    /// Of which day (days since 1970, in the budget's zone); 0 for one that is not by the day.
    pub day: u32,
    /// How much of it there is.
    pub max: u32,
    /// Whether a customer uses it up once only, however often the same outcome of the same offer comes.
    pub once: bool,
}

/// How an outcome teaches a learned propensity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lesson {
    /// The segment that the customer was in when it was decided.
    pub segment: u8,
    /// An impression without a click for so long counts as a no, in seconds.
    pub window_s: u32,
    /// Time after which what was learned counts half, in seconds; 0 for never.
    pub half_life_s: u32,
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
