//! One customer: their id, their row of features and contacts, and the changes and events that alter it.

pub mod id;
pub mod numbers;
pub mod outcome;
pub mod contact;
pub mod earlier;
pub mod budget_place;
pub mod event;
pub mod row;
pub mod update;
