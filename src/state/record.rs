//! Every change to a node's state, as one of a few kinds of record. The journal keeps records, the fold
//! takes them.

use crate::customer::id::CustomerId;
use crate::customer::update::Update;
use crate::rules::catalogue::Additions;
use crate::schema::MAX_FEATURES;

/// The most updates one record may have; a longer write becomes several records.
pub const MAX_UPDATES_PER_RECORD: usize = 512;
/// The most features one update may have.
pub const MAX_FIELDS_PER_UPDATE: usize = MAX_FEATURES;
/// The most bytes that the text of a schema or rule set may have.
pub const MAX_TEXT_BYTES: usize = 8 << 20;

/// One change. It was checked when it was made, so applying it cannot fail. It needs nothing from
/// outside, so the same records make the same state on any machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Changes to customers, in order; at most [`MAX_UPDATES_PER_RECORD`].
    Customers(Vec<Update>),
    /// Customers of whom only events are known, and of whom nothing counts any more: see
    /// [`idle`](crate::state::idle).
    Idle {
        /// When they were found, in seconds since 1970.
        at: u32,
        /// How long customers stay whom nothing happens to, in seconds.
        life_s: u32,
        /// Who they are; at most [`MAX_UPDATES_PER_RECORD`].
        customers: Vec<CustomerId>,
    },
    /// Names get numbers. This comes before what uses them is published.
    Catalogue(Box<Additions>),
    /// The schema grows to this text.
    Schema {
        /// The new schema's whole text.
        text: String,
    },
    /// A rule set gets a new version.
    Publish {
        /// The name of the rule set.
        name: String,
        /// The version's number: one more than the last.
        version: u32,
        /// The whole text of the version.
        text: String,
        /// Whether this version is active from now on.
        activate: bool,
    },
    /// Who published a version, and why. It follows the record that published it.
    Note {
        /// The name of the rule set.
        name: String,
        /// The number of the version.
        version: u32,
        /// What was noted.
        note: Note,
    },
    /// A version that was published becomes the active one.
    Activate {
        /// The name of the rule set.
        name: String,
        /// The number of the version.
        version: u32,
    },
    /// The rule set goes back to the version that was active before.
    Rollback {
        /// The name of the rule set.
        name: String,
    },
    /// No version of the rule set is active any more.
    Retire {
        /// The name of the rule set.
        name: String,
    },
}

/// The most bytes of an author's name.
pub const MAX_AUTHOR_BYTES: usize = 128;
/// The most bytes of a message.
pub const MAX_MESSAGE_BYTES: usize = 1_000;

/// Who published a version, when and why, as they say. Nothing proves it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    /// When, in seconds since 1970.
    pub at: u32,
    /// Who, at most [`MAX_AUTHOR_BYTES`]; empty if they did not say.
    pub author: String,
    /// Why, at most [`MAX_MESSAGE_BYTES`]; empty if they did not say.
    pub message: String,
}
