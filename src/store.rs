//! The customers in memory: a map from id to a slot in an arena of rows.
/// Placeholder.
pub struct Customers;
