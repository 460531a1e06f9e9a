//! What answers say of offers and placements alike in every decision, written when the engine is compiled. An
//! answer copies these bytes and writes only what varies between them.
//!
//! ```text
//! {"offer":"a","treatment":"b","rank":1,"score":2.5,"propensity":1.0,"reason":"r","content":{},"token":"…"}
//!  `------- Treatment::head --------'  `----- Offer::numbers ------' `-- Reason::fragment -'
//! ```

use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::score::CERTAIN;

/// Entries of a map, or some of their keys and values, as JSON and as MessagePack.
#[derive(Debug, Clone)]
pub(crate) struct Fragment {
    /// Both forms in one piece of memory: each offer has some of these. The next engine takes them over.
    bytes: Arc<[u8]>,
    /// Where the JSON ends.
    json: u32,
}

/// A key that the contract defines, as it stands in a map after another entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    json: &'static [u8],
    msgpack: &'static [u8],
}

/// The [`Key`] of a name that needs no escapes.
macro_rules! key {
    ($name:literal) => {{
        const MSGPACK: [u8; $name.len() + 1] = $crate::engine::fragment::msgpack_key($name);
        $crate::engine::fragment::Key::new(concat!(",\"", $name, "\":").as_bytes(), &MSGPACK)
    }};
}
pub(crate) use key;

/// The key of a proposition's content, where no reason stands before it.
pub(crate) const CONTENT: Key = key!("content");

/// The most bytes of a key in MessagePack whose length stands in one byte with its type.
const MAX_SHORT: usize = 31;

/// A key in MessagePack: its length, then its text.
pub(crate) const fn msgpack_key<const N: usize>(name: &str) -> [u8; N] {
    let name = name.as_bytes();
    assert!(name.len() + 1 == N && name.len() <= MAX_SHORT);
    let mut key = [0xa0 | name.len() as u8; N];
    let mut at = 0;
    while at < name.len() {
        key[at + 1] = name[at];
        at += 1;
    }
    key
}

impl Key {
    pub(crate) const fn new(json: &'static [u8], msgpack: &'static [u8]) -> Key {
        Key { json, msgpack }
    }

    /// A comma, the key and a colon.
    #[inline]
    pub(crate) fn json(self) -> &'static [u8] {
        self.json
    }

    #[inline]
    pub(crate) fn msgpack(self) -> &'static [u8] {
        self.msgpack
    }
}

impl Fragment {
    #[inline]
    pub(crate) fn json(&self) -> &[u8] {
        &self.bytes[..self.json as usize]
    }

    #[inline]
    pub(crate) fn msgpack(&self) -> &[u8] {
        &self.bytes[self.json as usize..]
    }

    /// How a proposition begins, up to the key of its rank.
    pub(super) fn of_treatment(offer: &str, treatment: &str) -> Fragment {
        let mut entries = Entries::default();
        entries.first("offer", offer).next("treatment", treatment).key(key!("rank")).fragment()
    }

    /// The numbers of a proposition that is chosen for certain.
    pub(super) fn of_numbers(score: f64) -> Fragment {
        Entries::default().next("score", &score).next("propensity", &CERTAIN).fragment()
    }

    /// The reason of a proposition, and the key of the content behind it.
    pub(super) fn of_reason(reason: &str) -> Fragment {
        Entries::default().next("reason", reason).key(CONTENT).fragment()
    }

    /// How a placement begins, up to the key of whether it shows its fallback.
    pub(super) fn of_placement(name: &str) -> Fragment {
        Entries::default().first("id", name).key(key!("fallback")).fragment()
    }

    /// The rule sets of an answer with their versions, and the key behind them: whether it is degraded.
    pub(super) fn of_versions<N: AsRef<str>>(versions: &[(N, u32)]) -> Fragment {
        Entries::default().next("rule_sets", &Versions(versions)).key(key!("degraded")).fragment()
    }
}

/// Rule sets and their versions, as a map.
struct Versions<'v, N>(&'v [(N, u32)]);

impl<N: AsRef<str>> Serialize for Versions<'_, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, version)| (name.as_ref(), version)))
    }
}

/// A fragment that is being written.
#[derive(Default)]
struct Entries {
    json: Vec<u8>,
    msgpack: Vec<u8>,
}

impl Entries {
    /// The first entry of its map.
    fn first<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> &mut Entries {
        self.value(key);
        self.json.push(b':');
        self.value(value)
    }

    /// An entry that follows another.
    fn next<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> &mut Entries {
        self.json.push(b',');
        self.first(key, value)
    }

    fn key(&mut self, key: Key) -> &mut Entries {
        self.json.extend_from_slice(key.json);
        self.msgpack.extend_from_slice(key.msgpack);
        self
    }

    /// Texts, finite numbers and maps of them can be written in both formats, and memory takes them all.
    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> &mut Entries {
        let json = serde_json::to_writer(&mut self.json, value);
        let msgpack = rmp_serde::encode::write(&mut self.msgpack, value);
        debug_assert!(json.is_ok() && msgpack.is_ok());
        self
    }

    fn fragment(&mut self) -> Fragment {
        let bytes = [&self.json[..], &self.msgpack].concat().into();
        Fragment { bytes, json: self.json.len() as u32 } // names and reasons are bounded far below 4 GB
    }
}
