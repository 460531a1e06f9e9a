//! Records as bytes, for the journal, and what a snapshot holds besides customers.
//!
//! Only this folder knows bincode, which has had no maintainer since 2025 (RUSTSEC-2025-0141). It uses
//! bincode's varints and its checked reader. The layout is written out in the heads of the parts, so another
//! crate can take bincode's place.
//!
//! A tag is never used again for something else. What a snapshot holds changes only with the version of
//! its format.
//!
//! What is read is checked as if an enemy had sent it. Every count and length is held against its bound
//! before anything is allocated, ids are checked as
//! [`CustomerId::known`](crate::customer::id::CustomerId::known) does, and nothing may be left over.

mod bytes;
mod definitions;
mod head;
mod ledger;
mod record;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use self::bytes::{
    RECORD_CONFIG, SNAPSHOT_CONFIG, Stored, decode_all, encode_for_journal, encode_for_snapshot,
};
pub use self::head::SnapshotHead;
use crate::rules::catalogue::Additions;
use crate::schema::Schema;
use crate::state::definitions::History;
use crate::state::ledger::Piece;
use crate::state::record::{MAX_UPDATES_PER_RECORD, Record};

/// The most bytes one encoded record may have.
pub const MAX_RECORD_BYTES: usize = 16 << 20;

/// The most bytes that a schema, or a rule set with its history, may have in a snapshot.
pub const MAX_STORED_DEFINITION_BYTES: usize = 40 << 20;

/// The most bytes one piece of the ledger may have.
pub const MAX_PIECE_BYTES: usize = 2 << 20;

/// A record, or a part of a snapshot, exceeds its bounds: it could not be read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// Bytes that are not what they should be, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    what: &'static str,
    why: String,
}

/// Appends the bytes of `record` to `bytes`.
///
/// # Errors
/// [`TooLong`] when the record exceeds the bounds of [`record`](crate::state::record); `bytes` is as it
/// was then.
pub fn encode_into(record: &Record, bytes: &mut Vec<u8>) -> Result<(), TooLong> {
    encode_for_journal(Stored(record), bytes)
}

/// The bytes of `record`, as the journal keeps them.
///
/// # Errors
/// As [`encode_into`].
pub fn encode(record: &Record) -> Result<Vec<u8>, TooLong> {
    let mut bytes = Vec::new();
    encode_into(record, &mut bytes)?;
    Ok(bytes)
}

/// The record in `bytes`, with nothing left over.
///
/// # Errors
/// [`DecodeError`]. Whatever the bytes are, it neither panics nor allocates more than a few times
/// [`MAX_RECORD_BYTES`].
pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
    decode_all("record", bytes, RECORD_CONFIG)
}

/// The bytes of a snapshot's head.
///
/// # Errors
/// None is known.
pub fn encode_head(head: &SnapshotHead) -> Result<Vec<u8>, TooLong> {
    encode_for_snapshot(Stored(head))
}

/// The head in `bytes`, with nothing left over.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_head(bytes: &[u8]) -> Result<SnapshotHead, DecodeError> {
    decode_all("head of a snapshot", bytes, SNAPSHOT_CONFIG)
}

/// The bytes of a schema, with the places of its features in a row.
///
/// # Errors
/// [`TooLong`].
pub fn encode_schema(schema: &Schema) -> Result<Vec<u8>, TooLong> {
    encode_for_snapshot(Stored(schema))
}

/// The schema in `bytes`, as it had grown, with nothing left over.
///
/// # Errors
/// [`DecodeError`], also when the text is not a schema.
pub fn decode_schema(bytes: &[u8]) -> Result<Schema, DecodeError> {
    decode_all("schema", bytes, SNAPSHOT_CONFIG)
}

/// The bytes of a rule set with its history.
///
/// # Errors
/// [`TooLong`].
pub fn encode_rule_set(name: &str, history: &History) -> Result<Vec<u8>, TooLong> {
    encode_for_snapshot(Stored(&(name, history)))
}

/// The name and history in `bytes`, with nothing left over.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_rule_set(bytes: &[u8]) -> Result<(Arc<str>, History), DecodeError> {
    decode_all("rule set", bytes, SNAPSHOT_CONFIG)
}

/// The bytes of a piece of the catalogue.
///
/// # Errors
/// [`TooLong`].
pub fn encode_additions(additions: &Additions) -> Result<Vec<u8>, TooLong> {
    encode_for_snapshot(Stored(additions))
}

/// The piece of the catalogue in `bytes`, with nothing left over.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_additions(bytes: &[u8]) -> Result<Additions, DecodeError> {
    decode_all("catalogue", bytes, SNAPSHOT_CONFIG)
}

/// The bytes of a piece of the ledger.
///
/// # Errors
/// [`TooLong`].
pub fn encode_piece(piece: &Piece) -> Result<Vec<u8>, TooLong> {
    encode_for_snapshot(Stored(piece))
}

/// The piece of the ledger in `bytes`, with nothing left over.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_piece(bytes: &[u8]) -> Result<Piece, DecodeError> {
    decode_all("ledger", bytes, SNAPSHOT_CONFIG)
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the record is too long: at most {MAX_RECORD_BYTES} bytes and {MAX_UPDATES_PER_RECORD} updates"
        )
    }
}

impl std::error::Error for TooLong {}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a {}: {}", self.what, self.why)
    }
}

impl std::error::Error for DecodeError {}
