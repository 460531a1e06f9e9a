//! The bounds of what callers may send and hold, each with its name.

use std::time::Duration;

/// Bytes of a request's head at most; more is answered 431.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Headers of a request at most; more is answered 431.
pub const MAX_HEADERS: usize = 64;
/// Bytes of a request's target at most; more is answered 414.
pub const MAX_URI_BYTES: usize = 8 * 1024;
/// Bytes of a decision request at most; more is answered 413, here and below.
pub const MAX_DECISION_BYTES: usize = 64 * 1024;
/// Bytes of one customer's features at most.
pub const MAX_CUSTOMER_BYTES: usize = 256 * 1024;
/// Bytes of the events of one request at most, sent and unpacked.
pub const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;
/// Events of one request at most.
pub const MAX_EVENTS: usize = 10_000;
/// Bytes of a rule set or a schema at most, sent and unpacked.
pub const MAX_DEFINITION_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of one bulk load at most, sent and unpacked.
pub const MAX_BULK_BYTES: usize = 8 * 1024 * 1024;
/// Rows of one bulk load at most.
pub const MAX_BULK_ROWS: usize = 200_000;
/// Bytes of one row of a bulk load at most; a longer one is rejected.
pub const MAX_ROW_BYTES: usize = MAX_CUSTOMER_BYTES;
/// Lines of one CSV row at most: beyond them a quote is taken for lost.
pub const MAX_ROW_LINES: usize = 100;
/// Bytes that all bodies, and the rows read from them, take at once; one more body is answered 503.
pub const MAX_BODY_BYTES_IN_FLIGHT: usize = 256 * 1024 * 1024;
/// Bulk loads, and definitions, of which more than [`MAX_CUSTOMER_BYTES`] arrived, at once each; one more is answered
/// 503.
pub const MAX_LARGE_BODIES: usize = 16;
/// Snapshots asked for and not answered at once; one more is answered 503.
pub const MAX_SNAPSHOT_REQUESTS: usize = 4;
/// Audiences being counted or waiting for their turn at once, one after the other; one more is answered 503. As many
/// requests for statistics, which take turns among themselves.
pub const MAX_AUDIENCES: usize = 8;
/// How long counting one audience may take; beyond it the answer is 503.
pub const MAX_AUDIENCE_TIME: Duration = Duration::from_secs(30);
/// Connections open at once; one more is answered 503 and closed.
pub const MAX_CONNECTIONS: usize = 10_000;
