//! What the bank's teams write: rule sets, and the catalogue of numbers that stand for their names in
//! outcomes.

pub mod catalogue;
pub mod rule_set;
