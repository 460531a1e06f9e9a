//! What became of a proposition, which tallies and budgets count it, and what can be learned from it.

use super::budget_place::BudgetPlace;
use super::numbers::{ArmNumber, OfferNumber, PlaceNumber};
use crate::schema::OUTCOMES;

/// The most arms of experiments that one outcome counts under.
pub const MAX_ARMS_PER_OUTCOME: usize = 16;
/// The most budgets that one outcome counts in.
pub const MAX_BUDGETS_PER_OUTCOME: usize = 16;

/// What became of one proposition, with all that the fold needs to count it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What the customer did with the offer.
    pub kind: OutcomeKind,
    /// The offer of the proposition.
    pub offer: OfferNumber,
    /// The placement and channel on which it was shown.
    pub place: PlaceNumber,
    /// The arms of experiments under which it was decided, at most [`MAX_ARMS_PER_OUTCOME`].
    pub arms: Vec<ArmNumber>,
    /// Tells the proposition from all others; 0 if it came without a token.
    pub nonce: u64,
    /// When the proposition was decided, in seconds since 1970.
    pub decided: u32,
    /// What the outcome was worth, in thousandths; 0 if the event does not say.
    pub value: i64,
    /// The budgets that it uses up, at most [`MAX_BUDGETS_PER_OUTCOME`].
    pub budgets: Vec<BudgetUse>,
    /// What can be learned from it; `None` for offers whose propensity is not learned.
    pub lesson: Option<Lesson>,
}

/// A budget that an outcome uses up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetUse {
    /// A hash of the rule set's name and the budget's name; never 0.
    pub key: u64,
    /// The day whose budget it is, in days since 1970 in the budget's zone; 0 for a budget that is not by the
    /// day.
    pub day: u32,
    /// How many outcomes the budget allows.
    pub max: u32,
    /// Whether it is a budget of customers: each takes one place in it, however many outcomes of whatever
    /// offers use it.
    pub once: bool,
}

impl BudgetUse {
    /// The place that a customer takes in it, if it is a budget of customers.
    #[inline]
    pub fn place(&self) -> Option<BudgetPlace> {
        self.once.then_some(BudgetPlace { key: self.key, day: self.day })
    }
}

/// How an outcome teaches a learned propensity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lesson {
    /// The segment that the customer was in when the proposition was decided.
    pub segment: u8,
    /// How long an impression waits for a click before it counts as a no, in seconds.
    pub window_s: u32,
    /// The time after which what was learned counts half, in seconds; 0 for never.
    pub half_life_s: u32,
}

/// The kinds of outcome. A new kind needs an event in [`OUTCOMES`]; `CONTRIBUTING.md` lists the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutcomeKind {
    /// The customer saw the offer.
    Impression,
    /// The customer opened the offer.
    Click,
    /// The customer closed or refused the offer.
    Dismiss,
    /// The customer took the offer up.
    Convert,
}

impl OutcomeKind {
    /// How many kinds there are.
    pub const COUNT: usize = OUTCOMES.len();

    /// All kinds, in the order of [`OutcomeKind::index`].
    pub const ALL: [OutcomeKind; OutcomeKind::COUNT] =
        [OutcomeKind::Impression, OutcomeKind::Click, OutcomeKind::Dismiss, OutcomeKind::Convert];

    /// Its place among [`OutcomeKind::ALL`] and [`OUTCOMES`], from 0.
    pub fn index(self) -> usize {
        self as usize
    }

    /// Its name, which is the name of its event.
    pub fn name(self) -> &'static str {
        OUTCOMES[self.index()].0
    }

    /// The kind whose event has this name.
    pub fn of_name(name: &str) -> Option<OutcomeKind> {
        OutcomeKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_the_event_of_its_name_in_every_schema() {
        for (index, kind) in OutcomeKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), index);
            assert_eq!(kind.name(), format!("{kind:?}").to_lowercase());
            assert_eq!(OutcomeKind::of_name(kind.name()), Some(kind));
        }
    }
}
