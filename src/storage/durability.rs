//! How durable a node is, as facts for `/readyz`, `/metrics` and `/v1/snapshots`.

use std::fmt;
use std::time::Duration;

/// When a write counts as kept. Each policy says what may be lost when power is cut. When only the
/// process dies, nothing that was written is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncPolicy {
    /// Acknowledged after the disk was synced. Nothing acknowledged is lost, also when power is cut.
    #[default]
    Always,
    /// Synced this often. What was acknowledged within that time is lost when power is cut or the
    /// system crashes.
    Interval(Duration),
    /// Synced when the system chooses, for a snapshot, and at the end. What was acknowledged since the last
    /// snapshot may be lost when power is cut.
    Never,
}

/// How durable a node is now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Durability {
    /// When a write counts as kept. `None` in memory only: everything is lost with the process.
    pub sync: Option<SyncPolicy>,
    /// The sequence of the last record that is known to be durable.
    pub durable_sequence: u64,
    /// How many files the journal has.
    pub journal_segments: u64,
    /// How many bytes these files have.
    pub journal_bytes: u64,
    /// How often the journal was synced since the start.
    pub syncs: u64,
    /// How long all these syncs took together.
    pub sync_time: Duration,
    /// How long the longest of them took.
    pub longest_sync: Duration,
    /// Why the journal takes no more writes, if it failed.
    pub journal_failure: Option<String>,
    /// Why the last write was refused, if the disk was full or files were scarce, and none has succeeded
    /// since.
    pub refusal: Option<String>,
    /// The snapshots kept, newest first.
    pub snapshots: Vec<SnapshotInfo>,
    /// How many snapshots failed since the start.
    pub snapshot_failures: u64,
    /// Why the last snapshot failed, if it did.
    pub snapshot_failure: Option<String>,
    /// Whether files still hold customers who were erased from memory.
    pub erasure_pending: bool,
    /// What the start found and did.
    pub recovery: Recovery,
}

/// A snapshot that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The sequence of the last record in it.
    pub sequence: u64,
    /// How many customers are in it.
    pub customers: u64,
    /// How many bytes its file has.
    pub bytes: u64,
    /// The digest of the state in it, see [`state::digest`](crate::state::digest).
    pub digest: u64,
    /// When it was taken, in seconds since 1970.
    pub taken_at_s: u64,
}

/// What a start found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// The sequence of the snapshot that the start began with; 0 for none.
    pub snapshot_sequence: u64,
    /// How many newer snapshots were damaged.
    pub damaged_snapshots: u64,
    /// How many records were replayed.
    pub replayed: u64,
    /// How many bytes of a torn end were cut. None of them was acknowledged.
    pub cut_bytes: u64,
    /// How long the start took.
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
    /// The system gave no file or no memory for it; everything else is as it was.
    NoFile(String),
    /// Anything else, as a sentence.
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
            SnapshotError::NoFile(why) | SnapshotError::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for SnapshotError {}

/// How far a start is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BytesRead {
    /// How many bytes were read.
    pub done: u64,
    /// How many bytes there are to read; 0 while that is not known.
    pub total: u64,
}
