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

// The core. What goes in: texts and bodies as trees that report every problem at once.
pub mod input;
pub mod problem;

// What is known of a customer: kinds of values, the schema, a packed row, the arena of rows.
pub mod customer;
pub mod row;
pub mod schema;
pub mod store;
pub mod value;
pub mod vector;

// What the data teams say: conditions, rule sets, all of them compiled together, and what they hardly meant.
pub mod analysis;
pub mod arm;
pub mod context;
pub mod engine;
pub mod experiment;
pub mod expression;
pub mod rule_set;

// What happened to customers: events as data, outcomes in 8 bytes, and the numbers that both refer to.
pub mod catalogue;
pub mod contact;
pub mod event;

// A request: parse → decide → render. And all customers at once: who is meant by a condition.
pub mod audience;
pub mod decide;
pub mod leases;

// Which offer is taken, and what another choice would have brought.
pub mod evaluation;
pub mod learning;

// What the bank's people ask: what was decided, what came of it.
pub mod decided;
pub mod stats;

// A write: check → journal → apply → acknowledge. Changes as data, and the fold.
pub mod definitions;
pub mod intake;
pub mod ledger;
pub mod record;
pub mod state;
pub mod token;
pub mod update;

// The shell. The one road for writes.
pub mod clock;
pub mod codec;
pub mod compiler;
pub mod node;
pub mod writer;

// What survives: files, the journal in them, snapshots, and how both are found again.
pub mod data_dir;
pub mod disk;
pub mod durability;
pub mod journal;
pub mod snapshot;
pub mod snapshotter;
pub mod startup;

// The wire.
pub mod http;
pub mod metrics;

// Files that people write, and the command line.
pub mod bundle;
pub mod cli;
pub mod config;
pub mod golden;
pub mod import;
pub mod population;
pub mod token_keys;
