//! Reading MessagePack into a document.

use rmp_serde::decode::Error;
use serde::Deserialize;
use serde::de::IgnoredAny;

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

impl Input<'_> {
    /// The bytes of the first value of a stream, or `None` if its end has not arrived.
    ///
    /// # Errors
    /// One problem, with the byte: what is no MessagePack, or more than [`MAX_DEPTH`] levels.
    pub fn msgpack_length(bytes: &[u8]) -> Result<Option<usize>, Problems> {
        let mut rest = bytes;
        let mut reader = rmp_serde::Deserializer::new(&mut rest);
        reader.set_max_depth(2 * MAX_DEPTH);
        match IgnoredAny::deserialize(&mut reader) {
            Ok(_) => Ok(Some(bytes.len() - rest.len())),
            // Reading from bytes fails only at their end.
            Err(Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_)) => Ok(None),
            Err(e) => {
                let at = bytes.len() - reader.get_ref().len();
                Err(Problems::one(format!("not valid MessagePack at byte {at}: {e}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_of_a_stream_is_told_from_the_rest() {
        let whole = rmp_serde::to_vec_named(&serde_json::json!({"a": ["x", 1, 2.5, null, true]})).unwrap();
        let stream = [whole.as_slice(), b"\xc1"].concat();
        for end in 0..=stream.len() {
            let expected = (end >= whole.len()).then_some(whole.len());
            assert_eq!(Input::msgpack_length(&stream[..end]).unwrap(), expected, "cut at {end}");
        }
        assert!(Input::msgpack_length(b"\xc1").is_err());
        assert!(Input::msgpack_length(&[0x91].repeat(10_000)).is_err());
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
