//! The digest of a state: a number that is the same for the same definitions, customers and ledger.
//!
//! It does not depend on the machine, or on how they are kept in memory.
//!
//! It shows that two states differ by accident. It is not a cryptographic hash, and proves nothing against
//! intent.
//!
//! # The value is part of a file format
//! The end of a snapshot holds the digest of the state in it, and a start compares it. So every value
//! here is fixed for as long as format 2 of [`snapshot`](crate::storage::snapshot) is read. What later
//! formats brought is counted only where there is something of it, so a state without it has the digest it
//! always had.
//!
//! What is hashed is spelled out below and depends on no name of a type or field. Some of it is spelled
//! as Rust once printed these types, and it is hashed with FNV-1a. A new version of the format may use
//! plain bytes and XXH3 instead.
//!
//! Every struct is taken apart without `..`, so a new field does not compile until its place in the digest is
//! decided.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::definitions::{Definitions, History};
use super::ledger::Content;
use super::record::Note;
use super::store;
use super::store::Customers;
use crate::rules::catalogue::{Additions, OfferEntry, PlaceEntry, Returned, Returns};
use crate::schema::RowPlace;

/// The digest of a state. It means something only while nothing is written.
pub fn of(definitions: &Definitions, customers: &Customers, ledger: &Content) -> u64 {
    let mut digest = Digest::default();
    customers.for_each(|id, row| digest.add(id.as_str(), row));
    digest.of_state(definitions, ledger)
}

/// The customers' share of a digest, counted customer by customer in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest {
    // A sum, because the store gives its customers in no order.
    sum: u64,
}

impl Digest {
    /// Counts a customer, whose row has no zero words at its end.
    pub fn add(&mut self, id: &str, row: &[u64]) {
        let id = xxh3_64_with_seed(id.as_bytes(), 0);
        self.sum = self.sum.wrapping_add(xxh3_64_with_seed(&store::bytes_of(row), id));
    }

    /// Counts the customers that `other` counted.
    pub fn merge(&mut self, other: Digest) {
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// The digest of these customers with these definitions and this ledger.
    pub fn of_state(self, definitions: &Definitions, ledger: &Content) -> u64 {
        // The intake is compiled from the schema's text.
        let Definitions { schema, intake: _, catalogue, rule_sets } = definitions;
        let mut hash = Fnv::new();
        hash.text(&schema.text);
        for feature in schema.features() {
            hash.text(&feature.name);
            hash.text(&place_text(feature.place()));
        }
        for (name, history) in rule_sets {
            hash.text(name);
            hash.text(&history_text(history));
            history.notes().for_each(|(version, note)| hash.note(version, note));
        }
        for additions in catalogue.whole() {
            hash.additions(&additions);
        }
        hash.number(ledger.digest());
        hash.number(self.sum);
        hash.finish()
    }
}

/// Where a feature lies in a row, as format 2 spells it. The rest of a feature follows from the
/// schema's text.
fn place_text(place: Option<RowPlace>) -> String {
    match place {
        None => "None".to_owned(),
        Some(RowPlace::Field(field)) => {
            let (word, shift, bits) = field.place();
            format!("Some(Field(Field {{ word: {word}, shift: {shift}, bits: {bits} }}))")
        }
        Some(RowPlace::Cells(cells)) => {
            let (word, words) = cells.place();
            format!("Some(Cells(Cells {{ word: {word}, words: {words} }}))")
        }
    }
}

/// The versions of a rule set, as format 2 spells them. Texts are escaped as the standard library's
/// `{:?}` escapes a `str`; that alone is not ours.
fn history_text(history: &History) -> String {
    let History { versions, active, earlier, last, notes: _ } = history;
    let versions: Vec<String> =
        versions.iter().map(|(version, text)| format!("{version}: {text:?}")).collect();
    let active = active.map_or("None".to_owned(), |version| format!("Some({version})"));
    let earlier: Vec<String> = earlier.iter().map(u32::to_string).collect();
    let (versions, earlier) = (versions.join(", "), earlier.join(", "));
    format!("History {{ versions: {{{versions}}}, active: {active}, earlier: [{earlier}], last: {last} }}")
}

/// FNV-1a (G. Fowler, L. C. Noll, P. Vo) over bytes, with the last step of MurmurHash3 (A. Appleby) so
/// that sums of hashes spread. It is kept for values that must not change. Everything else uses XXH3.
pub(crate) struct Fnv(u64);

impl Fnv {
    pub(crate) fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    /// A number as 8 little-endian bytes.
    fn number(&mut self, number: u64) {
        number.to_le_bytes().into_iter().for_each(|byte| self.byte(byte));
    }

    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }

    /// The length of a text in bytes, and the text.
    pub(crate) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        text.bytes().for_each(|byte| self.byte(byte));
    }

    fn note(&mut self, version: u32, Note { at, author, message }: &Note) {
        self.number(u64::from(version) << 32 | u64::from(*at));
        self.text(author);
        self.text(message);
    }

    fn additions(&mut self, additions: &Additions) {
        let Additions { returns, names, places, offers, keep_s } = additions;
        for names in names {
            self.number(names.len() as u64);
            names.iter().for_each(|name| self.text(name));
        }
        for PlaceEntry { placement, channel } in places {
            self.number(u64::from(*placement) << 16 | u64::from(*channel));
        }
        for (number, OfferEntry { name, rule_set, group, treatments }) in offers {
            self.number(number.0.into());
            self.text(name);
            self.number(u64::from(*rule_set) << 32 | group.map_or(0, |group| u64::from(group) + 1));
            treatments.iter().for_each(|name| self.text(name));
        }
        keep_s.iter().flatten().for_each(|keep_s| self.number(u64::from(*keep_s)));
        let Returns { freed, left, back } = returns;
        for (list, all) in (1_u64..).zip([freed, back]) {
            all.iter().for_each(|(kind, number)| self.returned(list, *kind, *number));
        }
        for (kind, number, at) in left {
            self.returned(3, *kind, *number);
            self.number(u64::from(*at));
        }
    }

    /// Numbers had 16 bits at first; what some have beyond comes behind.
    fn returned(&mut self, list: u64, kind: Returned, number: u32) {
        self.number(list << 32 | u64::from(kind.tag()) << 16 | u64::from(number & 0xffff));
        if number > 0xffff {
            self.number(u64::from(number >> 16));
        }
    }

    pub(crate) fn finish(&self) -> u64 {
        let mut x = self.0;
        x = (x ^ x >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        x = (x ^ x >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        x ^ x >> 33
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Cells, Field};

    /// The words of format 2 do not follow the names of our types.
    #[test]
    fn places_and_histories_are_spelled_as_they_always_were() {
        assert_eq!(place_text(None), "None");
        let field = Field::at((3, 5, 7)).map(RowPlace::Field);
        assert_eq!(place_text(field), "Some(Field(Field { word: 3, shift: 5, bits: 7 }))");
        let cells = Cells::at((4, 2)).map(RowPlace::Cells);
        assert_eq!(place_text(cells), "Some(Cells(Cells { word: 4, words: 2 }))");
        let none = "History { versions: {}, active: None, earlier: [], last: 0 }";
        assert_eq!(history_text(&History::default()), none);
        let versions = [(2, "a \"b\"\n".into()), (4, "客户".into())].into();
        let history = History::restore(versions, Some(4), vec![2, 4], 9, Default::default()).unwrap();
        let some = "History { versions: {2: \"a \\\"b\\\"\\n\", 4: \"客户\"}, active: Some(4), earlier: [2, 4], last: 9 }";
        assert_eq!(history_text(&history), some);
    }
}
