//! Usher decides, per login and in microseconds, which banner and which next-best-offer a bank's customer
//! sees.
//!
//! Sixteen rooms, in the order of the arrows: a file names only rooms above its own.
//!
//! A request goes one way: [`http`] parses it, [`decide`] decides it with the [`engine`] and the customer's
//! row in [`state`], and [`http`] renders the answer. A write goes one way, too: [`intake`] and [`node`]
//! check it, [`storage`] journals it, [`state`] applies it, and only then is it acknowledged.
//!
//! # Invariants
//! 1. The core, down to [`insight`], does no I/O, reads no clock and draws no random number. Evaluating a
//!    condition and deciding cannot fail.
//! 2. An engine never changes; a decision uses exactly one.
//! 3. State is a fold of one ordered sequence of records; one `apply` serves live writes and replay.
//! 4. A write is acknowledged after it was journalled and applied: the next decision sees it.
//! 5. A failed sync is never tried again. Nothing more is written until a restart; decisions go on.
//! 6. No guard of the customer map leaves [`state::store`].
//! 7. Every queue, body, cache and loop has a bound with a name.
//! 8. Only [`http`] defines the shapes on the wire, but for the parts that the [`engine`] writes beforehand.
//!    Only [`storage::codec`] defines the bytes of records, and of what snapshots hold besides customers.
//! 9. A data directory that was initialised never starts empty. Usher trusts no byte that no checksum covers.
//!
//! `tests/tidy.rs` enforces the order of the rooms, and what the core may not name.

// The core.
pub mod input; // documents and bodies, read as trees, and the problems found in them
pub mod schema; // what can be known: kinds of values, features, events, and how a row packs them
pub mod customer; // one customer: id, row, contacts, and the events and changes that alter them
pub mod expression; // conditions: parsed, checked, normalised, evaluated; schedules, experiments
pub mod learning; // how likely an offer is to be taken, learned from outcomes
pub mod rules; // rule sets as teams write them, and the permanent numbers of their names
pub mod engine; // all active rule sets compiled into one index
pub mod decide; // a decision: which offers survive, which is chosen, and why
pub mod intake; // what channels send back: events and tokens, read and checked
pub mod state; // the fold: customers, definitions and counts, changed by records alone
pub mod insight; // questions about many: warnings, audiences, statistics, other policies

// The shell.
pub mod storage; // files: the journal, snapshots, and the directory that holds them
pub mod node; // a running node: the engine in force, and the one path that every write takes
pub mod http; // the wire: routes, shapes, sockets, metrics
pub mod bundle; // the folder of files that a data team writes
pub mod cli; // the command line

#[cfg(test)]
mod testing;
