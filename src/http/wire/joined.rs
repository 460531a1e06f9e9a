//! Writes a value whose maps and lists have lengths that are known, from parts that were written when the
//! engine was compiled. The same calls serve both formats.

use std::marker::PhantomData;

use rmp::encode as rmp;

use super::encode::{Encode, Json, MAX_FIX, MessagePack, Out, length, written};
use crate::engine::Treatment;
use crate::engine::fragment::{Fragment, Key};

/// A format, known to the compiler: so keys, brackets and commas are written without a call.
pub(crate) trait Form {
    const IS_JSON: bool;
}

pub(crate) struct AsJson;
pub(crate) struct AsMessagePack;

impl Form for AsJson {
    const IS_JSON: bool = true;
}

impl Form for AsMessagePack {
    const IS_JSON: bool = false;
}

/// A value that is being written. The caller says how many entries a map has and which item of a list comes,
/// so that nothing is looked up or mended afterwards.
pub(crate) struct Joined<'o, F> {
    out: &'o mut Out,
    form: PhantomData<F>,
}

/// Markers of MessagePack: of the shortest map and list, of a text of up to 255 bytes, of both truths.
const FIX_MAP: u8 = 0x80;
const FIX_LIST: u8 = 0x90;
const STR_8: u8 = 0xd9;
const FALSE: u8 = 0xc2;
const TRUE: u8 = 0xc3;

impl<'o, F: Form> Joined<'o, F> {
    pub(crate) fn new(out: &'o mut Out) -> Joined<'o, F> {
        Joined { out, form: PhantomData }
    }

    #[inline(always)]
    fn put(&mut self, json: &[u8], msgpack: &[u8]) {
        self.out.0.extend_from_slice(if F::IS_JSON { json } else { msgpack });
    }

    /// Begins a map with so many entries.
    #[inline]
    pub(crate) fn map(&mut self, entries: usize) {
        if F::IS_JSON || entries <= MAX_FIX {
            self.put(b"{", &[FIX_MAP | entries as u8]);
        } else {
            written(rmp::write_map_len(self.out, length(entries)));
        }
    }

    #[inline]
    pub(crate) fn end_map(&mut self) {
        self.put(b"}", b"");
    }

    /// Begins a list of so many items.
    #[inline]
    pub(crate) fn list(&mut self, items: usize) {
        if F::IS_JSON || items <= MAX_FIX {
            self.put(b"[", &[FIX_LIST | items as u8]);
        } else {
            written(rmp::write_array_len(self.out, length(items)));
        }
    }

    /// What stands before an item of a list, counted from 0.
    #[inline]
    pub(crate) fn item(&mut self, nth: usize) {
        if nth > 0 {
            self.put(b",", b"");
        }
    }

    #[inline]
    pub(crate) fn end_list(&mut self) {
        self.put(b"]", b"");
    }

    /// The key of a map's first entry.
    #[inline(always)]
    pub(crate) fn first_key(&mut self, key: Key) {
        self.put(&key.json()[1..], key.msgpack()); // without the comma
    }

    /// The key of any other entry.
    #[inline(always)]
    pub(crate) fn key(&mut self, key: Key) {
        self.put(key.json(), key.msgpack());
    }

    #[inline]
    pub(crate) fn fragment(&mut self, fragment: &Fragment) {
        self.put(fragment.json(), fragment.msgpack());
    }

    #[inline]
    pub(crate) fn content(&mut self, of: &Treatment) {
        self.put(&of.json, &of.msgpack);
    }

    /// A text that needs no escapes.
    #[inline]
    pub(crate) fn plain(&mut self, text: &[u8]) {
        if F::IS_JSON {
            self.out.0.extend_from_slice(b"\"");
            self.out.0.extend_from_slice(text);
            self.out.0.extend_from_slice(b"\"");
            return;
        }
        match u8::try_from(text.len()) {
            Ok(length @ 32..) => self.out.0.extend_from_slice(&[STR_8, length]),
            _ => written(rmp::write_str_len(self.out, length(text.len()))),
        }
        self.out.0.extend_from_slice(text);
    }

    pub(crate) fn text(&mut self, text: &str) {
        if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
            self.plain(text.as_bytes());
        } else {
            self.value(|out| out.text(text));
        }
    }

    #[inline]
    pub(crate) fn unsigned(&mut self, number: u64) {
        if number < 10 {
            self.put(&[b'0' + number as u8], &[number as u8]);
        } else {
            self.value(|out| out.unsigned(number));
        }
    }

    pub(crate) fn number(&mut self, number: f64) {
        self.value(|out| out.number(number));
    }

    #[inline]
    pub(crate) fn boolean(&mut self, boolean: bool) {
        if boolean {
            self.put(b"true", &[TRUE]);
        } else {
            self.put(b"false", &[FALSE]);
        }
    }

    /// A value that is written call by call.
    pub(crate) fn value(&mut self, write: impl FnOnce(&mut dyn Encode)) {
        if F::IS_JSON {
            write(&mut Json::new(self.out));
        } else {
            write(&mut MessagePack::new(self.out));
        }
    }
}
