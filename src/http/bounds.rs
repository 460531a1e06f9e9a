//! The bounds of what clients may send and hold.

use std::time::Duration;

/// The most bytes in the head of a request. More is answered 431.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;
/// The most headers of a request. More is answered 431.
pub const MAX_HEADERS: usize = 64;
/// The most bytes in the target of a request. More is answered 414.
pub const MAX_URI_BYTES: usize = 8 * 1024;
/// The most bytes in a decision request. Larger bodies are answered 413, here and below.
pub const MAX_DECISION_BYTES: usize = 64 * 1024;
/// The most bytes in the features of one customer.
pub const MAX_CUSTOMER_BYTES: usize = 256 * 1024;
/// The most bytes of events in one request, compressed or not.
pub const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;
/// The most events in one request.
pub const MAX_EVENTS: usize = 10_000;
/// The most bytes in a rule set, a schema or a bundle, compressed or not.
pub const MAX_DEFINITION_BYTES: usize = 8 * 1024 * 1024;
/// The most bytes in one bulk load, compressed or not.
pub const MAX_BULK_BYTES: usize = 8 * 1024 * 1024;
/// The most rows in one bulk load.
pub const MAX_BULK_ROWS: usize = 200_000;
/// The most bytes in one row of a bulk load. A longer row is rejected.
pub const MAX_ROW_BYTES: usize = MAX_CUSTOMER_BYTES;
/// The most lines in one CSV row. Beyond them an open quote counts as never closed.
pub const MAX_ROW_LINES: usize = 100;
/// The most memory, in bytes, of all bodies being handled and of the rows read from them. A body beyond it
/// gets 503.
pub const MAX_BODY_BYTES_IN_FLIGHT: usize = 256 * 1024 * 1024;
/// The most large bodies at once, counted apart for bulk loads and for definitions. A body is large once more
/// than [`MAX_CUSTOMER_BYTES`] of it have arrived. One more is answered 503.
pub const MAX_LARGE_BODIES: usize = 16;
/// The most requests for a snapshot that may be unanswered at once. One more is answered 503.
pub const MAX_SNAPSHOT_REQUESTS: usize = 4;
/// The most batches of decisions at once. One more is answered 503.
pub const MAX_BATCHES: usize = 16;
/// The most audiences that are being counted or wait for their turn. One more is answered 503. The same
/// number bounds requests for statistics, which have turns of their own.
pub const MAX_AUDIENCES: usize = 8;
/// The longest time to count one audience. After that the answer is 503.
pub const MAX_AUDIENCE_TIME: Duration = Duration::from_secs(30);
/// The most open connections unless a setting says otherwise. What comes beyond gets a spare place.
pub const MAX_CONNECTIONS: usize = 10_000;
/// The most connections beyond those. Each answers one request: health and metrics as ever, anything else
/// 503. Without a free one the answer is 503 at once, and the connection is closed.
pub const MAX_SPARE_CONNECTIONS: usize = 64;
/// The most of these that one address may have.
pub const MAX_SPARE_PER_ADDRESS: usize = 8;
/// How long a connection in a spare place may take for the head of its request.
pub const SPARE_TIMEOUT: Duration = Duration::from_secs(1);
/// The least rate, in bytes a second, at which a client must take answers that wait for it. It may fall
/// behind by [`Settings::write_timeout`](super::Settings::write_timeout).
pub const LEAST_WRITE_RATE: u64 = 16 * 1024;
/// The size asked for the send buffer of a connection, in bytes. Linux takes twice as much. It bounds what
/// the system keeps for a client that reads slowly.
pub const SEND_BUFFER_BYTES: usize = 128 * 1024;
/// The most bytes of an `X-Request-Id`. A longer one is not taken.
pub const MAX_REQUEST_ID_BYTES: usize = 128;
