//! Every change to a node's state, as one of few kinds of record: what the journal holds and the fold takes.

use crate::customer::update::Update;
use crate::rules::catalogue::Additions;
use crate::schema::MAX_FEATURES;

/// Updates of one record at most; a longer write becomes several records.
pub const MAX_UPDATES_PER_RECORD: usize = 512;
/// Features of one update at most.
pub const MAX_FIELDS_PER_UPDATE: usize = MAX_FEATURES;
/// Bytes of a schema's or rule set's text at most.
pub const MAX_TEXT_BYTES: usize = 8 << 20;

/// One change. Made only after it was checked, so that applying it cannot fail; self-contained, so that replaying the same
/// records gives the same state on any machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Changes to customers, in order; at most [`MAX_UPDATES_PER_RECORD`].
    Customers(Vec<Update>),
    /// Names get numbers, before what uses them is published.
    Catalogue(Box<Additions>),
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
    /// A version that was published becomes the active one.
    Activate {
        /// The rule set.
        name: String,
        /// The version.
        version: u32,
    },
    /// The rule set goes back to the version that was active before.
    Rollback {
        /// The rule set.
        name: String,
    },
    /// No version of the rule set is active any more.
    Retire {
        /// The rule set.
        name: String,
    },
}
