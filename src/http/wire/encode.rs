//! Writes answers as JSON or MessagePack by the same calls, without a tree of values in between.

use std::io::{self, Write};

use bytes::BytesMut;
use rmp::encode as rmp;
use smallvec::SmallVec;

use crate::schema::value::Value;

/// The buffer that answers are written to. Writing to it cannot fail.
pub(crate) struct Out(pub(crate) BytesMut);

impl Write for Out {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A document that is being written. Each `map` and `list` must be ended; in a map a key comes before each
/// value.
pub(crate) trait Encode {
    fn map(&mut self);
    fn end_map(&mut self);
    fn list(&mut self);
    fn end_list(&mut self);
    /// A key that needs no escapes: every name in the contract.
    fn key(&mut self, name: &'static str);
    /// A key that may need escapes: a name that people chose.
    fn any_key(&mut self, name: &str);
    fn text(&mut self, text: &str);
    fn unsigned(&mut self, number: u64);
    fn integer(&mut self, number: i64);
    /// A number that is not finite becomes null in JSON, which cannot write it.
    fn number(&mut self, number: f64);
    fn boolean(&mut self, boolean: bool);
    fn null(&mut self);
}

/// Writes JSON without spaces or line ends.
pub(crate) struct Json<'o> {
    out: &'o mut Out,
    /// Whether the next value needs no comma before it.
    first: bool,
}

impl<'o> Json<'o> {
    pub(crate) fn new(out: &'o mut Out) -> Json<'o> {
        Json { out, first: true }
    }

    #[inline]
    fn comma(&mut self) {
        if !self.first {
            self.put(b",");
        }
        self.first = false;
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.out.0.extend_from_slice(bytes);
    }
}

/// Drops the result of a write to [`Out`], which cannot fail.
#[allow(clippy::needless_pass_by_value)] // the result ends here
pub(super) fn written<T, E>(result: Result<T, E>) {
    debug_assert!(result.is_ok());
}

impl Encode for Json<'_> {
    fn map(&mut self) {
        self.comma();
        self.put(b"{");
        self.first = true;
    }
    fn end_map(&mut self) {
        self.put(b"}");
        self.first = false;
    }
    fn list(&mut self) {
        self.comma();
        self.put(b"[");
        self.first = true;
    }
    fn end_list(&mut self) {
        self.put(b"]");
        self.first = false;
    }
    fn key(&mut self, name: &'static str) {
        self.comma();
        self.put(b"\"");
        self.put(name.as_bytes());
        self.put(b"\":");
        self.first = true;
    }
    fn any_key(&mut self, name: &str) {
        self.text(name);
        self.put(b":");
        self.first = true;
    }
    fn text(&mut self, text: &str) {
        self.comma();
        written(serde_json::to_writer(&mut *self.out, text)); // its escaping is correct and fast
    }
    fn unsigned(&mut self, number: u64) {
        self.comma();
        written(serde_json::to_writer(&mut *self.out, &number));
    }
    fn integer(&mut self, number: i64) {
        self.comma();
        written(serde_json::to_writer(&mut *self.out, &number));
    }
    fn number(&mut self, number: f64) {
        self.comma();
        written(serde_json::to_writer(&mut *self.out, &number));
    }
    fn boolean(&mut self, boolean: bool) {
        self.comma();
        self.put(if boolean { b"true" } else { b"false" });
    }
    fn null(&mut self) {
        self.comma();
        self.put(b"null");
    }
}

/// Writes MessagePack. Its maps and lists begin with their length, which the caller need not know: each
/// begins with the header of an empty one, and its end puts the right header there.
pub(crate) struct MessagePack<'o> {
    out: &'o mut Out,
    /// The map or list that is being written. It is no member of `outer`, so that counting is one addition.
    inner: Open,
    /// The maps and lists around it, outermost first.
    outer: SmallVec<[Open; 8]>,
}

/// A map or list that has begun.
#[derive(Default)]
struct Open {
    /// Where its header is in the output.
    at: usize,
    /// Values written into it so far; in a map the keys count too.
    values: usize,
}

/// The headers of an empty map and an empty list. Up to [`MAX_FIX`] entries only their low four bits change.
const EMPTY_MAP: u8 = 0x80;
const EMPTY_LIST: u8 = 0x90;
pub(super) const MAX_FIX: usize = 15;

impl<'o> MessagePack<'o> {
    pub(crate) fn new(out: &'o mut Out) -> MessagePack<'o> {
        MessagePack { out, inner: Open::default(), outer: SmallVec::new() }
    }

    /// Counts a key or value in the map or list that it is in.
    #[inline]
    fn counted(&mut self) -> &mut Out {
        self.inner.values += 1;
        self.out
    }

    #[inline]
    fn begin(&mut self, empty: u8) {
        let at = self.out.0.len();
        self.counted().0.extend_from_slice(&[empty]);
        self.outer.push(std::mem::replace(&mut self.inner, Open { at, values: 0 }));
    }

    /// Ends the map or list that is being written.
    #[inline]
    fn end(&mut self) -> Open {
        debug_assert!(!self.outer.is_empty(), "no map or list has begun");
        std::mem::replace(&mut self.inner, self.outer.pop().unwrap_or_default())
    }

    /// Puts the header in its place. From 16 entries on it is longer, and what follows moves; that is rare.
    fn put_header(&mut self, at: usize, empty: u8, entries: usize) {
        if entries <= MAX_FIX {
            self.out.0[at] = empty | entries as u8;
            return;
        }
        let mut header = Out(BytesMut::new());
        if empty == EMPTY_MAP {
            written(rmp::write_map_len(&mut header, length(entries)));
        } else {
            written(rmp::write_array_len(&mut header, length(entries)));
        }
        let (header, end) = (header.0, self.out.0.len());
        self.out.0.resize(end + header.len() - 1, 0);
        self.out.0.copy_within(at + 1..end, at + header.len());
        self.out.0[at..at + header.len()].copy_from_slice(&header);
    }
}

/// MessagePack counts with 32 bits; bodies are bounded far below that.
pub(super) fn length(items: usize) -> u32 {
    debug_assert!(u32::try_from(items).is_ok());
    items as u32
}

impl Encode for MessagePack<'_> {
    fn map(&mut self) {
        self.begin(EMPTY_MAP);
    }
    fn end_map(&mut self) {
        let Open { at, values } = self.end();
        debug_assert!(values % 2 == 0, "a key without a value");
        self.put_header(at, EMPTY_MAP, values / 2);
    }
    fn list(&mut self) {
        self.begin(EMPTY_LIST);
    }
    fn end_list(&mut self) {
        let Open { at, values } = self.end();
        self.put_header(at, EMPTY_LIST, values);
    }
    fn key(&mut self, name: &'static str) {
        written(rmp::write_str(self.counted(), name));
    }
    fn any_key(&mut self, name: &str) {
        written(rmp::write_str(self.counted(), name));
    }
    fn text(&mut self, text: &str) {
        written(rmp::write_str(self.counted(), text));
    }
    fn unsigned(&mut self, number: u64) {
        written(rmp::write_uint(self.counted(), number));
    }
    fn integer(&mut self, number: i64) {
        written(rmp::write_sint(self.counted(), number));
    }
    fn number(&mut self, number: f64) {
        written(rmp::write_f64(self.counted(), number));
    }
    fn boolean(&mut self, boolean: bool) {
        written(rmp::write_bool(self.counted(), boolean));
    }
    fn null(&mut self) {
        written(rmp::write_nil(self.counted()));
    }
}

/// Writes a value: missing as null, times as RFC 3339, durations in seconds, sets as lists of words. Values
/// that no feature, attribute or context field can have are written as in the language of conditions.
pub(crate) fn value(out: &mut (impl Encode + ?Sized), of: &Value<'_>) {
    match of {
        Value::Missing | Value::Null => out.null(),
        Value::Error(_) => out.text(&of.to_string()),
        Value::Bool(b) => out.boolean(*b),
        Value::Int(i) => out.integer(*i),
        Value::UInt(_) | Value::Bytes(_) | Value::Map(_) | Value::Type(_) => out.text(&of.to_string()),
        Value::Double(x) => out.number(*x),
        Value::Text(text) => out.text(text),
        Value::Time(time) => out.text(&time.to_string()),
        Value::Duration(d) => out.number(*d as f64 / crate::schema::value::SECOND as f64),
        Value::Set(bits, words) => {
            out.list();
            words.of_bits(*bits).for_each(|word| out.text(word));
            out.end_list();
        }
        Value::List(items) => {
            out.list();
            items.iter().for_each(|item| value(out, item));
            out.end_list();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(out: &mut dyn Encode) {
        out.map();
        out.key("text");
        out.text("q\" b\\ n\n nul\0 esc\u{1b} 稳健 😀 </script> \u{2028} \u{7f}");
        out.any_key("a \"key\"");
        out.list();
        [1.0, -1e-300, 1.7e308].iter().for_each(|x| out.number(*x));
        out.end_list();
        out.key("empty");
        out.map();
        out.end_map();
        out.key("nested");
        out.list();
        out.list();
        out.end_list();
        out.null();
        out.end_list();
        out.key("numbers");
        out.list();
        out.unsigned(u64::MAX);
        out.integer(i64::MIN);
        out.boolean(true);
        out.end_list();
        out.end_map();
    }

    #[test]
    fn both_formats_say_the_same_and_are_valid() {
        let mut json = Out(BytesMut::new());
        document(&mut Json::new(&mut json));
        let json: serde_json::Value = serde_json::from_slice(&json.0).unwrap();
        let mut packed = Out(BytesMut::new());
        document(&mut MessagePack::new(&mut packed));
        let packed: serde_json::Value = rmp_serde::from_slice(&packed.0).unwrap();
        assert_eq!(json, packed);
        assert_eq!(json["text"], "q\" b\\ n\n nul\0 esc\u{1b} 稳健 😀 </script> \u{2028} \u{7f}");
        assert_eq!(json["a \"key\""][2].as_f64(), Some(1.7e308));
    }

    /// Around the bounds between the three kinds of headers, nested, so that an inner header moves before an
    /// outer one.
    #[test]
    fn lengths_are_counted_and_headers_are_as_short_as_can_be() {
        for count in [0, 1, 15, 16, 17, 65_535, 65_536] {
            let mut packed = Out(BytesMut::new());
            let mut out = MessagePack::new(&mut packed);
            out.list();
            out.text("before");
            out.map();
            for key in 0..count {
                out.any_key(&key.to_string());
                out.list();
                (0..key % 20).for_each(|item| out.unsigned(item));
                out.end_list();
            }
            out.end_map();
            out.text("after");
            out.end_list();
            let read: serde_json::Value = rmp_serde::from_slice(&packed.0).unwrap();
            let entries: serde_json::Map<_, _> =
                (0..count).map(|key| (key.to_string(), (0..key % 20).collect::<Vec<_>>().into())).collect();
            let expected = serde_json::json!(["before", entries, "after"]);
            assert_eq!(read, expected, "{count}");
            assert_eq!(packed.0.len(), rmp_serde::to_vec(&expected).unwrap().len(), "{count}");
        }
    }

    #[test]
    #[should_panic(expected = "a key without a value")]
    #[cfg(debug_assertions)]
    fn a_key_without_a_value_is_noticed() {
        let mut packed = Out(BytesMut::new());
        let mut out = MessagePack::new(&mut packed);
        out.map();
        out.key("alone");
        out.end_map();
    }

    #[test]
    fn a_number_that_is_not_finite_is_still_json() {
        for number in [f64::NAN, f64::INFINITY] {
            let mut json = Out(BytesMut::new());
            Json::new(&mut json).number(number);
            assert_eq!(&json.0[..], b"null");
        }
    }
}
