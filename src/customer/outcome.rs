//! What became of a proposition, and what that is counted in and teaches.

use super::numbers::{ArmNumber, OfferNumber, PlaceNumber};

/// Arms of experiments that one outcome is counted under at most.
pub const MAX_ARMS_PER_OUTCOME: usize = 16;
/// Budgets that one outcome is counted in at most.
pub const MAX_BUDGETS_PER_OUTCOME: usize = 16;

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
    pub budgets: Vec<BudgetUse>,
    /// What is to be learned from it.
    pub lesson: Option<Lesson>,
}

/// A budget that an outcome uses up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetUse {
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

/// What became of a proposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutcomeKind {
    /// It was seen.
    Impression,
    /// It was followed.
    Click,
    /// It was sent away.
    Dismiss,
    /// It was taken.
    Convert,
}

impl OutcomeKind {
    /// How many kinds there are.
    pub const COUNT: usize = 4;

    /// All of them, by [`OutcomeKind::index`].
    pub const ALL: [OutcomeKind; OutcomeKind::COUNT] =
        [OutcomeKind::Impression, OutcomeKind::Click, OutcomeKind::Dismiss, OutcomeKind::Convert];

    /// Its place among [`OutcomeKind::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// Its name: that of the event.
    pub fn name(self) -> &'static str {
        match self {
            OutcomeKind::Impression => "impression",
            OutcomeKind::Click => "click",
            OutcomeKind::Dismiss => "dismiss",
            OutcomeKind::Convert => "convert",
        }
    }

    /// The outcome of this name.
    pub fn of_name(name: &str) -> Option<OutcomeKind> {
        OutcomeKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
