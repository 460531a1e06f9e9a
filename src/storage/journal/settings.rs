//! Settings of a journal.

use super::{AHEAD_BYTES, SEGMENT_BYTES};
use crate::storage::durability::SyncPolicy;

/// When records count as kept, and how the files of a journal grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalSettings {
    /// When a write counts as kept.
    pub sync: SyncPolicy,
    /// How many bytes a segment has before the next one begins.
    pub segment_bytes: u64,
    /// By how many bytes a segment grows ahead of its records.
    pub ahead_bytes: u64,
}

impl Default for JournalSettings {
    fn default() -> Self {
        JournalSettings { sync: SyncPolicy::Always, segment_bytes: SEGMENT_BYTES, ahead_bytes: AHEAD_BYTES }
    }
}
