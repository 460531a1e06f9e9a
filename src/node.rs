//! A running node: the engine in force, the customers, and the one road for writes.
use std::sync::Arc;

use crate::definitions::Definitions;
use crate::engine::Engine;
use crate::problem::Problems;
use crate::store::Customers;
use crate::update::Update;

/// What must agree with each other, swapped as one value: definitions and the engine compiled from them.
pub struct Live {
    /// Schema and rule sets.
    pub definitions: Definitions,
    /// Compiled from them.
    pub engine: Engine,
}

/// A running node; shared by all request threads.
pub struct Node {}

/// A change of definitions that is asked for.
#[derive(Debug)]
pub enum Define {
    /// The schema grows to this text.
    Schema {
        /// Whole text.
        text: String,
    },
    /// A new version of a rule set; with `if_active` only if that version is the active one (0: if none is).
    Publish {
        /// The rule set.
        name: String,
        /// Whole text, YAML or JSON.
        text: String,
        /// Whether it decides from now on.
        activate: bool,
        /// The version that must be active for this to happen.
        if_active: Option<u32>,
    },
    /// A version becomes the active one.
    Activate {
        /// The rule set.
        name: String,
        /// The version.
        version: u32,
        /// The version that must be active for this to happen.
        if_active: Option<u32>,
    },
    /// Back to the version that was active before.
    Rollback {
        /// The rule set.
        name: String,
        /// The version that must be active for this to happen.
        if_active: Option<u32>,
    },
    /// No version is active any more.
    Retire {
        /// The rule set.
        name: String,
        /// The version that must be active for this to happen.
        if_active: Option<u32>,
    },
    /// Everything of a bundle at once: schema and rule sets (name, text), compiled together.
    Bundle {
        /// Schema text.
        schema: String,
        /// File name and text of each rule set.
        rule_sets: Vec<(String, String)>,
    },
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Defined {
    /// The record's sequence.
    pub sequence: u64,
    /// The rule set's version that was published or activated; 0 for a schema or bundle or retirement.
    pub version: u32,
    /// Whether that version is the active one now.
    pub active: bool,
    /// How long parsing and compiling took.
    pub compiled_in_us: u64,
}

/// Why nothing was changed.
#[derive(Debug)]
pub enum DefineError {
    /// The text is wrong: every problem found.
    Invalid(Problems),
    /// It is right by itself but does not fit what is there.
    Conflict(Problems),
    /// Another version is active than the caller thought.
    OtherActive(Option<u32>),
    /// There is no such rule set, version, or earlier version.
    NotFound(String),
    /// Not possible now.
    Unavailable(Unavailable),
}

/// Why a write cannot be taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// Too many writes are waiting: try again shortly.
    Overloaded,
    /// The journal failed or the node is stopping.
    Stopped,
    /// There is no room for more customers.
    Full,
}

impl Node {
    /// Starts an empty node: its writer and compiler threads.
    pub fn start() -> std::io::Result<Arc<Node>> {
        todo!()
    }
    /// Engine and definitions in force. Keep for one request only.
    pub fn live(&self) -> arc_swap::Guard<Arc<Live>> {
        todo!()
    }
    /// The customers.
    pub fn customers(&self) -> &Customers {
        todo!()
    }
    /// Writes changes to customers, in order, as one record; done when applied. Returns the sequence.
    pub async fn write(&self, _updates: Vec<Update>) -> Result<u64, Unavailable> {
        todo!()
    }
    /// Changes definitions: checks, compiles, journals, swaps; done when decisions use it.
    pub async fn define(&self, _change: Define) -> Result<Defined, DefineError> {
        todo!()
    }
    /// The sequence of the last record applied.
    pub fn sequence(&self) -> u64 {
        todo!()
    }
    /// Finishes what waits, then stops the threads. Writes after this are refused.
    pub fn stop(&self) {
        todo!()
    }
}
