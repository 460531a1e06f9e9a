//! Every change to a node's state, as one of few kinds of record: what the journal holds and the fold takes.

use crate::update::Update;

/// One change. Made only after it was checked, so that applying it cannot fail; self-contained, so that replaying the same
/// records gives the same state on any machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Changes to customers, in order.
    Customers(Vec<Update>),
    /// The schema grows to this text.
    Schema {
        /// The new schema's whole text.
        text: String,
    },
    /// A rule set gets a new version.
    Publish {
        /// The rule set.
        name: String,
        /// The version's number; one more than the last.
        version: u32,
        /// Its whole text.
        text: String,
        /// Whether it is the active version from now on.
        activate: bool,
    },
    /// A version that was published becomes the active one; a rollback is one of these.
    Activate {
        /// The rule set.
        name: String,
        /// The version.
        version: u32,
    },
    /// No version of the rule set is active any more.
    Retire {
        /// The rule set.
        name: String,
    },
}
