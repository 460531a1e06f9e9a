//! Usher decides, per login and in microseconds, which banner and which next-best-offer a bank's customer sees.
pub mod customer;
pub mod decide;
pub mod definitions;
pub mod engine;
pub mod http;
pub mod input;
pub mod metrics;
pub mod node;
pub mod problem;
pub mod record;
pub mod rule_set;
pub mod schema;
pub mod store;
pub mod update;
pub mod value;
pub mod vector;
