//! How a journal is written.

use super::{AHEAD_BYTES, SEGMENT_BYTES};
use crate::storage::durability::SyncPolicy;

/// When records count as kept, and how its files grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalSettings {
    /// When a write counts as kept.
    pub sync: SyncPolicy,
    /// Bytes of a segment after which the next begins.
    pub segment_bytes: u64,
    /// Bytes by which a segment grows ahead of its records.
    pub ahead_bytes: u64,
}

impl Default for JournalSettings {
    fn default() -> Self {
        JournalSettings { sync: SyncPolicy::Always, segment_bytes: SEGMENT_BYTES, ahead_bytes: AHEAD_BYTES }
    }
}
