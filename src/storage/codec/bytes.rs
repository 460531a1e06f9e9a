//! Texts, counts and lists as bytes, and where bincode is set up.
//!
//! ```text
//! id, name, text   length in bytes, UTF-8
//! other numbers    little-endian varints of 1, 3, 5 or 9 bytes, unless a length is given
//! ```

use bincode::de::{BorrowDecode, BorrowDecoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError as Wrong, EncodeError as Failed};

use super::{DecodeError, MAX_RECORD_BYTES, MAX_STORED_DEFINITION_BYTES, TooLong};

// bincode's own limit counts the bytes that are read. The bounds on counts keep what is allocated
// within a small multiple.
pub(super) type RecordConfig = bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<MAX_RECORD_BYTES>,
>;
pub(super) const RECORD_CONFIG: RecordConfig = bincode::config::standard().with_limit::<MAX_RECORD_BYTES>();

pub(super) type SnapshotConfig = bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<MAX_STORED_DEFINITION_BYTES>,
>;
pub(super) const SNAPSHOT_CONFIG: SnapshotConfig =
    bincode::config::standard().with_limit::<MAX_STORED_DEFINITION_BYTES>();

/// A value to be written. A wrapper, so that bincode's traits show nowhere else.
pub(super) struct Stored<'r, T>(pub(super) &'r T);

/// A value that was read.
pub(super) struct Decoded<T>(pub(super) T);

/// Appends the bytes of a record's content to `bytes`, which is as it was when there are too many.
pub(super) fn encode_for_journal(value: impl Encode, bytes: &mut Vec<u8>) -> Result<(), TooLong> {
    let start = bytes.len();
    let written = bincode::encode_into_std_write(value, bytes, RECORD_CONFIG);
    if written.is_ok_and(|written| written <= MAX_RECORD_BYTES) {
        return Ok(());
    }
    bytes.truncate(start);
    Err(TooLong)
}

/// The bytes of something that a snapshot holds.
pub(super) fn encode_for_snapshot(value: impl Encode) -> Result<Vec<u8>, TooLong> {
    let mut bytes = Vec::new();
    match bincode::encode_into_std_write(value, &mut bytes, SNAPSHOT_CONFIG) {
        Ok(written) if written <= MAX_STORED_DEFINITION_BYTES => Ok(bytes),
        _ => Err(TooLong),
    }
}

/// The value in `bytes`, with nothing left over; `what` names it in messages.
pub(super) fn decode_all<'b, T, C>(what: &'static str, bytes: &'b [u8], config: C) -> Result<T, DecodeError>
where
    Decoded<T>: BorrowDecode<'b, ()>,
    C: bincode::config::Config,
{
    let (Decoded(value), used): (Decoded<T>, usize) = bincode::borrow_decode_from_slice(bytes, config)
        .map_err(|wrong| DecodeError { what, why: wrong.to_string() })?;
    if used < bytes.len() {
        return Err(DecodeError { what, why: format!("{} bytes left over", bytes.len() - used) });
    }
    Ok(value)
}

/// A length as it is written, if it is at most `most`.
pub(super) fn count(length: usize, most: usize) -> Result<u32, Failed> {
    u32::try_from(length).ok().filter(|_| length <= most).ok_or(Failed::Other("too many"))
}

/// Writes how many values there are, at most `most`, and each of them.
pub(super) fn write_all<T, E: Encoder>(
    values: &[T],
    most: usize,
    out: &mut E,
    write: impl Fn(&T, &mut E) -> Result<(), Failed>,
) -> Result<(), Failed> {
    count(values.len(), most)?.encode(out)?;
    values.iter().try_for_each(|value| write(value, out))
}

/// Writes a text of at most `most` bytes.
pub(super) fn write_text<E: Encoder>(text: &str, most: usize, out: &mut E) -> Result<(), Failed> {
    count(text.len(), most)?;
    text.encode(out)
}

/// Reads how many values there are, at most `most`, and each of them.
pub(super) fn read_all<'b, C, D, T>(input: &mut D, most: usize) -> Result<Vec<T>, Wrong>
where
    D: BorrowDecoder<'b, Context = C>,
    Decoded<T>: BorrowDecode<'b, C>,
{
    let count = u32::borrow_decode(input)? as usize;
    if count > most {
        return Err(Wrong::OtherString(format!("{count} values, expected at most {most}")));
    }
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        all.push(Decoded::borrow_decode(input)?.0);
    }
    Ok(all)
}

/// Reads a text of at most `most` bytes.
pub(super) fn read_text<'b, C, D: BorrowDecoder<'b, Context = C>>(
    input: &mut D,
    most: usize,
) -> Result<String, Wrong> {
    borrow_text(input, most).map(str::to_owned)
}

/// As [`read_text`]; borrowed, so that nothing is allocated before the bound is checked.
pub(super) fn borrow_text<'b, C, D: BorrowDecoder<'b, Context = C>>(
    input: &mut D,
    most: usize,
) -> Result<&'b str, Wrong> {
    let text = <&str>::borrow_decode(input)?;
    if text.len() > most {
        let why = format!("a text of {} bytes, expected at most {most}", text.len());
        return Err(Wrong::OtherString(why));
    }
    Ok(text)
}
