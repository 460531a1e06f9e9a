//! Reading MessagePack into a document.

use super::document::{Input, MAX_DEPTH};
use super::problem::Problems;
use super::reader::Plain;

impl Input<'_> {
    /// Reads MessagePack; maps have strings as keys.
    ///
    /// # Errors
    /// One problem, with the byte: truncated input, a string that is not UTF-8, more than [`MAX_DEPTH`]
    /// levels or [`MAX_VALUES`](super::document::MAX_VALUES) values, bytes left over.
    pub fn from_msgpack(bytes: &[u8]) -> Result<Input<'static>, Problems> {
        let mut rest = bytes;
        let mut reader = rmp_serde::Deserializer::new(&mut rest);
        // `Plain` counts exactly; this only bounds the stack of the reader itself.
        reader.set_max_depth(2 * MAX_DEPTH);
        let input = Plain::document(&mut reader).map_err(|e| {
            let at = bytes.len() - reader.get_ref().len();
            Problems::one(format!("not valid MessagePack at byte {at}: {e}"))
        })?;
        if rest.is_empty() {
            Ok(input)
        } else {
            Err(Problems::one(format!("not valid MessagePack: {} bytes follow the value", rest.len())))
        }
    }
}

/// Most lists and maps in each other that [`MsgpackEnd`] follows; [`Input::from_msgpack`] takes fewer.
const MAX_OPEN: usize = 2 * MAX_DEPTH - 1;

/// Finds the end of the first value of a stream that arrives in pieces. No byte is looked at twice, so that a
/// value in very small pieces costs no more than a whole one.
#[derive(Debug)]
pub struct MsgpackEnd {
    /// Where the next part of the value begins. What lies before it may not have arrived yet.
    at: usize,
    /// How many values are still to begin: of the stream, then of each list or map around the next part.
    owed: Vec<u64>,
}

impl Default for MsgpackEnd {
    fn default() -> MsgpackEnd {
        MsgpackEnd { at: 0, owed: vec![1] }
    }
}

/// The beginning of a value.
struct Part {
    /// How long it is with its number, text or bytes; of a list or map without what is in it.
    length: usize,
    /// How many values a list or map has; `None` if it is neither.
    values: Option<u64>,
}

impl MsgpackEnd {
    /// The length of the value, or `None` if its end has not arrived. `bytes` are all that have arrived so
    /// far, from the beginning of the value.
    ///
    /// # Errors
    /// One problem, with the byte: what is no MessagePack, or too many levels.
    pub fn find(&mut self, bytes: &[u8]) -> Result<Option<usize>, Problems> {
        loop {
            while self.owed.last() == Some(&0) {
                self.owed.pop();
            }
            let Some(left) = self.owed.last_mut() else {
                return Ok((self.at <= bytes.len()).then_some(self.at));
            };
            let rest = bytes.get(self.at..).unwrap_or_default();
            let wrong = |why| Problems::one(format!("not valid MessagePack at byte {}: {why}", self.at + 1));
            let Some(Part { length, values }) = Part::read(rest).map_err(wrong)? else { return Ok(None) };
            *left -= 1;
            if let Some(values) = values {
                if self.owed.len() > MAX_OPEN {
                    return Err(wrong("too many levels"));
                }
                self.owed.push(values);
            }
            self.at = self.at.saturating_add(length);
        }
    }
}

impl Part {
    /// The part at the start of these bytes; `None` if they end before it says how long it is.
    fn read(bytes: &[u8]) -> Result<Option<Part>, &'static str> {
        let Some((&marker, rest)) = bytes.split_first() else { return Ok(None) };
        let part = |length, values| Ok(Some(Part { length, values }));
        let plain = |data: u8| part(1 + usize::from(data), None);
        let open = |values: u8| part(1, Some(values.into()));
        let sized = |width: usize| rest.get(..width).map(number);
        // The type of an extension stands between its length and its data.
        let data = |width: usize, kind: usize| match sized(width) {
            Some(data) => part((1 + width + kind).saturating_add(data as usize), None),
            None => Ok(None),
        };
        let many = |width: usize, times: u64| match sized(width) {
            Some(count) => part(1 + width, Some(count * times)),
            None => Ok(None),
        };
        match marker {
            0x80..=0x8f => open(2 * (marker & 0x0f)),
            0x90..=0x9f => open(marker & 0x0f),
            0xa0..=0xbf => plain(marker & 0x1f),
            0xc1 => Err("no value begins with 0xc1"),
            0xc4..=0xc6 => data(1 << (marker - 0xc4), 0),
            0xc7..=0xc9 => data(1 << (marker - 0xc7), 1),
            0xca => plain(4),
            0xcb => plain(8),
            0xcc..=0xcf => plain(1 << (marker - 0xcc)),
            0xd0..=0xd3 => plain(1 << (marker - 0xd0)),
            0xd4..=0xd8 => plain(1 + (1 << (marker - 0xd4))),
            0xd9..=0xdb => data(1 << (marker - 0xd9), 0),
            0xdc | 0xdd => many(2 << (marker - 0xdc), 1),
            0xde | 0xdf => many(2 << (marker - 0xde), 2),
            0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => plain(0),
        }
    }
}

/// A number of at most four bytes, the highest first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use rmp_serde::decode::Error;
    use serde::Deserialize;
    use serde::de::IgnoredAny;

    use super::*;

    /// The same by the library, which reads the value from its start.
    fn by_the_library(bytes: &[u8]) -> Result<Option<usize>, ()> {
        let mut rest = bytes;
        let mut reader = rmp_serde::Deserializer::new(&mut rest);
        reader.set_max_depth(2 * MAX_DEPTH);
        match IgnoredAny::deserialize(&mut reader) {
            Ok(_) => Ok(Some(bytes.len() - rest.len())),
            Err(Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_)) => Ok(None),
            Err(_) => Err(()),
        }
    }

    /// The end of the first value of a stream that comes byte by byte, or the length at which it is wrong.
    #[track_caller]
    fn end(stream: &[u8]) -> Result<Option<usize>, usize> {
        let mut end = MsgpackEnd::default();
        for length in 0..=stream.len() {
            let found = end.find(&stream[..length]).map_err(|_| ());
            assert_eq!(found, MsgpackEnd::default().find(&stream[..length]).map_err(|_| ()), "{stream:x?}");
            assert_eq!(found, by_the_library(&stream[..length]), "{stream:x?} up to {length}");
            match found {
                Ok(None) => {}
                found => return found.map_err(|()| length),
            }
        }
        Ok(None)
    }

    #[test]
    fn the_first_value_of_a_stream_is_told_from_the_rest() {
        let whole = rmp_serde::to_vec_named(&serde_json::json!({"a": ["x", 1, 2.5, null, true]})).unwrap();
        let nested = |levels: usize| [[0x91].repeat(levels), vec![0xc0]].concat();
        let long = |head: &[u8], length: usize| [head, &vec![0x91; length]].concat();
        for (what, stream, expected) in [
            ("a value and what is none", [whole.as_slice(), b"\xc1"].concat(), Ok(Some(whole.len()))),
            ("a list in a list", b"\x92\x91\x01\x02\xc1".to_vec(), Ok(Some(4))),
            ("empty lists", b"\x93\x90\x80\xa0\xc1".to_vec(), Ok(Some(4))),
            ("nothing", Vec::new(), Ok(None)),
            ("no value", b"\xc1".to_vec(), Err(1)),
            ("no value in a list", b"\x92\x01\xc1".to_vec(), Err(3)),
            ("a text", long(b"\xa3", 3), Ok(Some(4))),
            ("a longer text", long(b"\xd9\xc8", 200), Ok(Some(202))),
            ("a long text", long(b"\xda\x01\x02", 300), Ok(Some(261))),
            ("a very long text", long(b"\xdb\x00\x00\x01\x02", 300), Ok(Some(263))),
            ("bytes", long(b"\xc4\x02", 9), Ok(Some(4))),
            ("more bytes", long(b"\xc5\x00\x02", 9), Ok(Some(5))),
            ("many bytes", long(b"\xc6\xff\xff\xff\xff", 99), Ok(None)),
            (
                "numbers",
                b"\x94\xcc\x01\xcd\x01\x02\xd3\0\0\0\0\0\0\0\x01\xcb\0\0\0\0\0\0\0\0".to_vec(),
                Ok(Some(24)),
            ),
            ("extensions", b"\x92\xd6\xff\0\0\0\0\xc7\x01\x05\x07".to_vec(), Ok(Some(11))),
            ("a long list", [b"\xdc\x00\x20".to_vec(), vec![7; 40]].concat(), Ok(Some(35))),
            ("a very long list", [b"\xdd\xff\xff\xff\xff".to_vec(), vec![7; 40]].concat(), Ok(None)),
            ("a long map", [b"\xde\x00\x10".to_vec(), vec![7; 40]].concat(), Ok(Some(35))),
            ("as many levels as are followed", nested(MAX_OPEN), Ok(Some(MAX_OPEN + 1))),
            ("a level more", nested(MAX_OPEN + 1), Err(MAX_OPEN + 1)),
            ("levels without end", [0x91].repeat(10_000), Err(MAX_OPEN + 1)),
        ] {
            assert_eq!(end(&stream), expected, "{what}");
        }
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..20_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let few = random.to_be_bytes().map(|byte| if byte < 0x60 { 0x90 + byte / 12 } else { byte });
            let _ = end(&[few, (random >> 3).to_be_bytes()].concat());
        }
    }

    #[test]
    fn what_was_looked_at_is_not_looked_at_again() {
        let value = [b"\xdd\x00\x00\xff\x00".to_vec(), vec![7; 0xff00]].concat();
        let mut end = MsgpackEnd::default();
        for length in 0..value.len() {
            assert_eq!(end.find(&value[..length]).unwrap(), None);
            assert_eq!(end.at, if length < 5 { 0 } else { length });
        }
        assert_eq!(end.find(&value).unwrap(), Some(value.len()));
    }

    #[test]
    fn messagepack_that_is_truncated_or_too_long_says_where() {
        let whole = rmp_serde::to_vec_named(&serde_json::json!({"a": ["x", 1, 2.5, null, true]})).unwrap();
        assert!(Input::from_msgpack(&whole).is_ok());
        for cut in 0..whole.len() {
            assert!(Input::from_msgpack(&whole[..cut]).is_err(), "cut at {cut}");
        }
        let longer = [whole.as_slice(), b"\x01"].concat();
        assert!(Input::from_msgpack(&longer).unwrap_err().to_string().contains("1 bytes follow"));
        let deep = [0x91].repeat(10_000);
        assert!(Input::from_msgpack(&deep).is_err());
        assert!(Input::from_msgpack(b"\x81\x01\x02").unwrap_err().to_string().contains("string as key"));
    }
}
