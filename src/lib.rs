//! Usher decides, per login and in microseconds, which banner and which next-best-offer a bank's customer sees.
pub mod customer;
pub mod input;
pub mod problem;
pub mod store;
