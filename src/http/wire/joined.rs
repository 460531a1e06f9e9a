//! Writes a value whose maps and lists have lengths that are known, from parts that were written when the
//! engine was compiled. The same calls serve both formats.

use rmp::encode as rmp;

use super::encode::{Encode, Json, MessagePack, Out, length, written};
use super::media::Format;
use crate::engine::Treatment;
use crate::engine::fragment::{Fragment, Key};

/// A value that is being written. The caller says how many entries a map has and which item of a list comes,
/// so that nothing is looked up or mended afterwards.
pub(crate) struct Joined<'o> {
    out: &'o mut Out,
    format: Format,
}

impl<'o> Joined<'o> {
    pub(crate) fn new(out: &'o mut Out, format: Format) -> Joined<'o> {
        Joined { out, format }
    }

    #[inline]
    fn put(&mut self, json: &[u8], msgpack: &[u8]) {
        self.out.0.extend_from_slice(match self.format {
            Format::Json => json,
            Format::MessagePack => msgpack,
        });
    }

    /// Begins a map with so many entries.
    pub(crate) fn map(&mut self, entries: usize) {
        match self.format {
            Format::Json => self.out.0.extend_from_slice(b"{"),
            Format::MessagePack => written(rmp::write_map_len(self.out, length(entries))),
        }
    }

    pub(crate) fn end_map(&mut self) {
        self.put(b"}", b"");
    }

    /// Begins a list of so many items.
    pub(crate) fn list(&mut self, items: usize) {
        match self.format {
            Format::Json => self.out.0.extend_from_slice(b"["),
            Format::MessagePack => written(rmp::write_array_len(self.out, length(items))),
        }
    }

    /// What stands before an item of a list, counted from 0.
    pub(crate) fn item(&mut self, nth: usize) {
        if nth > 0 {
            self.put(b",", b"");
        }
    }

    pub(crate) fn end_list(&mut self) {
        self.put(b"]", b"");
    }

    /// The key of a map's first entry.
    pub(crate) fn first_key(&mut self, key: Key) {
        self.put(&key.json()[1..], key.msgpack()); // without the comma
    }

    /// The key of any other entry.
    pub(crate) fn key(&mut self, key: Key) {
        self.put(key.json(), key.msgpack());
    }

    pub(crate) fn fragment(&mut self, fragment: &Fragment) {
        self.put(fragment.json(), fragment.msgpack());
    }

    pub(crate) fn content(&mut self, of: &Treatment) {
        self.put(&of.json, &of.msgpack);
    }

    /// A text of ASCII that needs no escapes.
    pub(crate) fn plain(&mut self, text: &[u8]) {
        match self.format {
            Format::Json => {
                self.out.0.extend_from_slice(b"\"");
                self.out.0.extend_from_slice(text);
                self.out.0.extend_from_slice(b"\"");
            }
            Format::MessagePack => {
                written(rmp::write_str_len(self.out, length(text.len())));
                self.out.0.extend_from_slice(text);
            }
        }
    }

    pub(crate) fn text(&mut self, text: &str) {
        match self.format {
            Format::Json => Json::new(self.out).text(text),
            Format::MessagePack => MessagePack::new(self.out).text(text),
        }
    }

    pub(crate) fn unsigned(&mut self, number: u64) {
        match self.format {
            Format::Json => Json::new(self.out).unsigned(number),
            Format::MessagePack => MessagePack::new(self.out).unsigned(number),
        }
    }

    pub(crate) fn number(&mut self, number: f64) {
        match self.format {
            Format::Json => Json::new(self.out).number(number),
            Format::MessagePack => MessagePack::new(self.out).number(number),
        }
    }

    pub(crate) fn boolean(&mut self, boolean: bool) {
        match self.format {
            Format::Json => Json::new(self.out).boolean(boolean),
            Format::MessagePack => MessagePack::new(self.out).boolean(boolean),
        }
    }

    /// A value that is written call by call.
    pub(crate) fn value(&mut self, write: impl FnOnce(&mut dyn Encode)) {
        match self.format {
            Format::Json => write(&mut Json::new(self.out)),
            Format::MessagePack => write(&mut MessagePack::new(self.out)),
        }
    }
}
