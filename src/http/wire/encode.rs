//! Writing answers as JSON or MessagePack by the same calls, without a value tree in between.

use std::io::{self, Write};

use bytes::BytesMut;
use rmp::encode as rmp;

use crate::engine::Treatment;
use crate::schema::value::Value;

/// Where answers are written. Writing to it cannot fail.
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

/// A document that is being written. Lengths are said first, as MessagePack wants them.
pub(crate) trait Encode {
    fn map(&mut self, entries: usize);
    fn end_map(&mut self);
    fn list(&mut self, items: usize);
    fn end_list(&mut self);
    /// A key that needs no escapes: every name in the contract.
    fn key(&mut self, name: &'static str);
    /// A key from outside.
    fn any_key(&mut self, name: &str);
    fn text(&mut self, text: &str);
    fn unsigned(&mut self, number: u64);
    fn integer(&mut self, number: i64);
    /// JSON has no way to write a number that is not finite; it becomes null there.
    fn number(&mut self, number: f64);
    fn boolean(&mut self, boolean: bool);
    fn null(&mut self);
    fn content(&mut self, treatment: &Treatment);
}

/// Writes JSON.
pub(crate) struct Json<'o> {
    out: &'o mut Out,
    /// The next value needs no comma before it.
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

/// What `Out` takes cannot fail, so there is nothing to report.
#[allow(clippy::needless_pass_by_value)] // a sink
fn written<T, E>(result: Result<T, E>) {
    debug_assert!(result.is_ok());
}

impl Encode for Json<'_> {
    fn map(&mut self, _: usize) {
        self.comma();
        self.put(b"{");
        self.first = true;
    }
    fn end_map(&mut self) {
        self.put(b"}");
        self.first = false;
    }
    fn list(&mut self, _: usize) {
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
        written(serde_json::to_writer(&mut *self.out, text)); // its escaping is right and fast
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
    fn content(&mut self, treatment: &Treatment) {
        self.comma();
        self.put(&treatment.json);
    }
}

/// Writes MessagePack.
pub(crate) struct MessagePack<'o> {
    out: &'o mut Out,
}

impl<'o> MessagePack<'o> {
    pub(crate) fn new(out: &'o mut Out) -> MessagePack<'o> {
        MessagePack { out }
    }
}

/// MessagePack counts with 32 bits; bodies are bounded far below that.
fn length(items: usize) -> u32 {
    debug_assert!(u32::try_from(items).is_ok());
    items as u32
}

impl Encode for MessagePack<'_> {
    fn map(&mut self, entries: usize) {
        written(rmp::write_map_len(self.out, length(entries)));
    }
    fn end_map(&mut self) {}
    fn list(&mut self, items: usize) {
        written(rmp::write_array_len(self.out, length(items)));
    }
    fn end_list(&mut self) {}
    fn key(&mut self, name: &'static str) {
        written(rmp::write_str(self.out, name));
    }
    fn any_key(&mut self, name: &str) {
        written(rmp::write_str(self.out, name));
    }
    fn text(&mut self, text: &str) {
        written(rmp::write_str(self.out, text));
    }
    fn unsigned(&mut self, number: u64) {
        written(rmp::write_uint(self.out, number));
    }
    fn integer(&mut self, number: i64) {
        written(rmp::write_sint(self.out, number));
    }
    fn number(&mut self, number: f64) {
        written(rmp::write_f64(self.out, number));
    }
    fn boolean(&mut self, boolean: bool) {
        written(rmp::write_bool(self.out, boolean));
    }
    fn null(&mut self) {
        written(rmp::write_nil(self.out));
    }
    fn content(&mut self, treatment: &Treatment) {
        self.out.0.extend_from_slice(&treatment.msgpack);
    }
}

/// A value: what is missing is null, times are RFC 3339, durations seconds, sets lists of words. What no feature, attribute or
/// context field can be is written as in the language.
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
            out.list(words.of_bits(*bits).count());
            words.of_bits(*bits).for_each(|word| out.text(word));
            out.end_list();
        }
        Value::List(items) => {
            out.list(items.len());
            items.iter().for_each(|item| value(out, item));
            out.end_list();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(out: &mut dyn Encode) {
        out.map(5);
        out.key("text");
        out.text("q\" b\\ n\n nul\0 esc\u{1b} 稳健 😀 </script> \u{2028} \u{7f}");
        out.any_key("a \"key\"");
        out.list(3);
        [1.0, -1e-300, 1.7e308].iter().for_each(|x| out.number(*x));
        out.end_list();
        out.key("empty");
        out.map(0);
        out.end_map();
        out.key("nested");
        out.list(2);
        out.list(0);
        out.end_list();
        out.null();
        out.end_list();
        out.key("numbers");
        out.list(3);
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

    #[test]
    fn a_number_that_is_not_finite_is_still_json() {
        for number in [f64::NAN, f64::INFINITY] {
            let mut json = Out(BytesMut::new());
            Json::new(&mut json).number(number);
            assert_eq!(&json.0[..], b"null");
        }
    }
}
