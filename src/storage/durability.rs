//! How durable a node is, in facts: for `/readyz`, `/metrics` and `/v1/snapshots`.

use std::fmt;
use std::time::Duration;

/// When a write counts as kept. What may be lost is said where each is described; nothing that was written is lost when
/// only the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncPolicy {
    /// Acknowledged after the disk was synced: nothing acknowledged is lost, also when power is cut.
    #[default]
    Always,
    /// Synced this often: what was acknowledged within that time is lost when power is cut or the system crashes.
    Interval(Duration),
    /// Synced when the system likes, for a snapshot, and at the end: what was acknowledged since the last snapshot may be
    /// lost when power is cut.
    Never,
}

/// A node's durability now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Durability {
    /// None: memory only, everything is lost with the process.
    pub sync: Option<SyncPolicy>,
    /// Of the last record that is known to be durable.
    pub durable_sequence: u64,
    /// Files of the journal, and their bytes.
    pub journal_segments: u64,
    /// Bytes of them.
    pub journal_bytes: u64,
    /// Syncs of the journal since the start.
    pub syncs: u64,
    /// How long they took in all.
    pub sync_time: Duration,
    /// The longest.
    pub longest_sync: Duration,
    /// Why the journal takes no more writes, if so.
    pub journal_failure: Option<String>,
    /// The snapshots kept, newest first.
    pub snapshots: Vec<SnapshotInfo>,
    /// Snapshots that failed since the start.
    pub snapshot_failures: u64,
    /// Why the last one failed, if it did.
    pub snapshot_failure: Option<String>,
    /// Whether files still hold customers who were erased from memory.
    pub erasure_pending: bool,
    /// What the start found.
    pub recovery: Recovery,
}

/// A snapshot that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Of the last record it holds.
    pub sequence: u64,
    /// Customers in it.
    pub customers: u64,
    /// Bytes of its file.
    pub bytes: u64,
    /// The digest of the state in it, as [`state::digest`](crate::state::digest) counts it.
    pub digest: u64,
    /// When it was taken, in seconds since 1970.
    pub taken_at_s: u64,
}

/// What a start found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// The sequence of the snapshot it began with; 0 for none.
    pub snapshot_sequence: u64,
    /// Snapshots that were newer but damaged.
    pub damaged_snapshots: u64,
    /// Records replayed.
    pub replayed: u64,
    /// Bytes of a torn tail that were cut; none of them was acknowledged.
    pub cut_bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// Why no snapshot was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotError {
    /// The node lives in memory only.
    InMemory,
    /// The node is stopping, or its journal failed.
    Stopped,
    /// The disk is full; everything else is as it was.
    DiskFull(String),
    /// Something else, as text.
    Failed(String),
}

impl fmt::Display for SyncPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SyncPolicy::Always => f.write_str("always"),
            SyncPolicy::Interval(interval) => write!(f, "interval={}", interval.as_millis()),
            SyncPolicy::Never => f.write_str("never"),
        }
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::InMemory => f.write_str("the node lives in memory only: start it with --data DIR"),
            SnapshotError::Stopped => f.write_str("the node is stopping, or its journal failed"),
            SnapshotError::DiskFull(why) => write!(f, "the disk is full: {why}"),
            SnapshotError::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for SnapshotError {}

/// How far a start is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BytesRead {
    /// Bytes read.
    pub done: u64,
    /// Bytes there are to read; 0 while that is not known.
    pub total: u64,
}
