//! What the bank's teams write: rule sets, and the numbers that their names have in outcomes.

pub mod catalogue;
pub mod rule_set;
