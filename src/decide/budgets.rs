//! What a decision asks of the budgets that all customers share.

use crate::customer::outcome::BudgetUse;
use crate::schema::value::Time;

/// Knows what is used up of budgets.
pub trait Budgets {
    /// Whether there is a place left. If it is held for a time (`hold_s` is not 0), nobody else is given it until that is over
    /// or the outcome was counted.
    fn take(&self, budget: &BudgetUse, hold_s: u32, now: Time) -> bool;
}

/// Of every budget there is enough: for decisions that nobody sees.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoBudgets;

impl Budgets for NoBudgets {
    fn take(&self, _: &BudgetUse, _: u32, _: Time) -> bool {
        true
    }
}
