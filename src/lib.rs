//! Usher decides, per login and in microseconds, which banner and which next-best-offer a bank's customer sees.
//!
//! The modules in the order in which they tell the story. Arrows point one way: the core knows nothing of the shell.
//!
//! # Invariants
//! 1. The core does no I/O, reads no clock and draws no random number; evaluating and deciding cannot fail.
//! 2. An engine is immutable; a decision uses exactly one.
//! 3. State is a fold of one ordered sequence of records; one `apply` serves live writes and replay.
//! 4. A write is acknowledged after it was journalled and applied: the next decision sees it.
//! 5. A sync that failed is never tried again: nothing more is written until restart; decisions go on.
//! 6. No guard of the customer map leaves [`store`].
//! 7. Every queue, body, cache and loop has a bound with a name.
//! 8. Only [`http`] knows the wire's shapes, only [`codec`] what records and snapshots hold.
//! 9. A data directory that was initialised never starts empty, and no byte that a checksum does not cover is believed.

pub mod input;
pub mod schema;
pub mod customer;
pub mod expression;
pub mod learning;
pub mod rules;
pub mod engine;
pub mod decide;
pub mod intake;
pub mod state;
pub mod insight;
pub mod storage;
pub mod node;
pub mod http;
pub mod bundle;
pub mod cli;
