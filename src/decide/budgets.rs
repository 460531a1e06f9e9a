//! What a decision asks about the budgets that all customers share.

use crate::customer::outcome::BudgetUse;
use crate::schema::value::Time;

/// Knows how much of each budget is used up.
pub trait Budgets {
    /// Whether there is a place left for this customer, who has none yet. With a `hold_s` other than 0 the
    /// place is held for that many seconds: nobody else gets it until the time is over or the outcome was
    /// counted.
    fn take(&self, customer: &str, budget: &BudgetUse, hold_s: u32, now: Time) -> bool;
}

/// Every budget has places left: for decisions that nobody sees.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoBudgets;

impl Budgets for NoBudgets {
    fn take(&self, _: &str, _: &BudgetUse, _: u32, _: Time) -> bool {
        true
    }
}
