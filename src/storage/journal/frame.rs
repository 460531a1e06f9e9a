//! The bytes of one record in a segment.
//!
//! ```text
//! offset  bytes
//!      0  4   magic "USHR"
//!      4  1   version, 1
//!      5  1   flags: 1 if the next record belongs to the same submission
//!      6  2   zero
//!      8  8   sequence
//!     16  8   durable: the last sequence that was synced when this was written
//!     24  8   checksum of the record before; of the first one, what its segment's head says
//!     32  4   length of the payload, never 0
//!     36  4   checksum of the 36 bytes above, low half
//!     40  n   payload: the record as `codec` writes it
//!      …  0-7 zeros to a multiple of 8
//!      …  8   checksum of everything above
//! ```
//!
//! Numbers are little-endian. Checksums are XXH3 (64 bits) seeded with the directory's salt. So no bytes
//! from elsewhere, such as another directory's or a text that somebody sent, are ever taken for a record.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::storage::codec::MAX_RECORD_BYTES;
use crate::storage::disk::{u32_at, u64_at};

const MAGIC: [u8; 4] = *b"USHR";
pub(crate) const VERSION: u8 = 1;
const MORE: u8 = 1;
pub(crate) const HEAD_BYTES: usize = 40;
const CHECKSUM_BYTES: usize = 8;
/// Every record begins at a multiple of this many bytes.
pub(crate) const ALIGNMENT: usize = 8;
/// Bytes of a frame with the longest payload.
pub(crate) const MAX_FRAME_BYTES: usize = frame_bytes(MAX_RECORD_BYTES);

/// What a frame says besides its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHead {
    pub(crate) sequence: u64,
    pub(crate) durable: u64,
    pub(crate) previous: u64,
    /// Whether the next record belongs to the same submission.
    pub(crate) more: bool,
    /// How many bytes the payload has.
    pub(crate) length: usize,
}

/// What is wrong with bytes that should be a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadFrame {
    /// The bytes end before the frame does.
    Short,
    /// They are zeros, and nothing else.
    Zeros,
    /// The bytes do not begin as a record does.
    Magic,
    /// The head does not match its checksum, or breaks a bound.
    Head,
    /// A later release wrote it; this is its version.
    Version(u8),
    /// The payload does not match its checksum.
    Payload,
}

/// How many bytes a frame has whose payload has this many.
pub(crate) const fn frame_bytes(length: usize) -> usize {
    (HEAD_BYTES + length).next_multiple_of(ALIGNMENT) + CHECKSUM_BYTES
}

/// Appends the frame of `payload` to `bytes`, and returns its checksum. `head.length` must be the
/// length of the payload.
pub(crate) fn write(head: &RecordHead, payload: &[u8], salt: u64, bytes: &mut Vec<u8>) -> u64 {
    let start = bytes.len();
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[VERSION, if head.more { MORE } else { 0 }, 0, 0]);
    for number in [head.sequence, head.durable, head.previous] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    let checksum = xxh3_64_with_seed(&bytes[start..], salt) as u32;
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes.resize(start + frame_bytes(payload.len()) - CHECKSUM_BYTES, 0);
    let checksum = xxh3_64_with_seed(&bytes[start..], salt);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    checksum
}

/// The head at the start of `bytes`.
pub(crate) fn read_head(bytes: &[u8], salt: u64) -> Result<RecordHead, BadFrame> {
    let Some(head) = bytes.first_chunk::<HEAD_BYTES>() else {
        return Err(if bytes.iter().all(|byte| *byte == 0) { BadFrame::Zeros } else { BadFrame::Short });
    };
    if head[..4] != MAGIC {
        return Err(if bytes.iter().all(|byte| *byte == 0) { BadFrame::Zeros } else { BadFrame::Magic });
    }
    if u32_at(head, 36) != xxh3_64_with_seed(&head[..36], salt) as u32 {
        return Err(BadFrame::Head);
    }
    if head[4] != VERSION {
        return Err(BadFrame::Version(head[4]));
    }
    let length = u32_at(head, 32) as usize;
    if head[5] & !MORE != 0 || head[6..8] != [0, 0] || length == 0 || length > MAX_RECORD_BYTES {
        return Err(BadFrame::Head);
    }
    Ok(RecordHead {
        sequence: u64_at(head, 8),
        durable: u64_at(head, 16),
        previous: u64_at(head, 24),
        more: head[5] == MORE,
        length,
    })
}

/// The frame at the start of `bytes`: its head, its payload, and its checksum.
pub(crate) fn read(bytes: &[u8], salt: u64) -> Result<(RecordHead, &[u8], u64), BadFrame> {
    let head = read_head(bytes, salt)?;
    let frame = bytes.get(..frame_bytes(head.length)).ok_or(BadFrame::Short)?;
    let (content, checksum) = frame.split_at(frame.len() - CHECKSUM_BYTES);
    let checksum = u64_at(checksum, 0);
    if checksum != xxh3_64_with_seed(content, salt) {
        return Err(BadFrame::Payload);
    }
    Ok((head, &content[HEAD_BYTES..][..head.length], checksum))
}

impl std::fmt::Display for BadFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BadFrame::Short => f.write_str("the file ends within a record"),
            BadFrame::Zeros => f.write_str("there are only zeros where a record is expected"),
            BadFrame::Magic => f.write_str("no record begins here"),
            BadFrame::Head => f.write_str("the head of the record does not match its checksum"),
            BadFrame::Version(version) => {
                write!(
                    f,
                    "the record was written by a later release (version {version}, this release knows {VERSION})"
                )
            }
            BadFrame::Payload => f.write_str("the content of the record does not match its checksum"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: u64 = 7;

    fn head(length: usize) -> RecordHead {
        RecordHead { sequence: 42, durable: 40, previous: 9, more: true, length }
    }

    #[test]
    fn what_was_written_is_read_at_every_length() {
        for length in 1..40 {
            let payload: Vec<u8> = (0..length as u8).collect();
            let mut bytes = vec![];
            let checksum = write(&head(length), &payload, SALT, &mut bytes);
            assert_eq!(bytes.len(), frame_bytes(length));
            assert_eq!(bytes.len() % ALIGNMENT, 0);
            assert_eq!(read(&bytes, SALT), Ok((head(length), &payload[..], checksum)));
            assert!(read(&bytes, SALT + 1).is_err(), "another directory's");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let mut bytes = vec![];
        write(&head(13), b"thirteen byte", SALT, &mut bytes);
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut], SALT).is_err());
        }
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bytes, SALT).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn zeros_are_no_record_and_an_empty_payload_is_none_either() {
        assert_eq!(read(&[0; 100], SALT), Err(BadFrame::Zeros));
        assert_eq!(read(&[], SALT), Err(BadFrame::Zeros));
        let mut bytes = vec![];
        write(&head(0), b"", SALT, &mut bytes);
        assert_eq!(read(&bytes, SALT), Err(BadFrame::Head));
    }

    #[test]
    fn the_layout_stays_as_written_down() {
        let mut bytes = vec![];
        let checksum = write(&head(3), b"abc", SALT, &mut bytes);
        let mut expected = b"USHR\x01\x01\0\0".to_vec();
        for number in [42_u64, 40, 9] {
            expected.extend(number.to_le_bytes());
        }
        expected.extend([3, 0, 0, 0]);
        expected.extend(&(xxh3_64_with_seed(&expected, SALT) as u32).to_le_bytes());
        expected.extend(b"abc\0\0\0\0\0");
        assert_eq!(checksum, xxh3_64_with_seed(&expected, SALT));
        expected.extend(checksum.to_le_bytes());
        assert_eq!(bytes, expected);
    }
}
