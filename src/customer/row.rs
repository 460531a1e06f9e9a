//! The words of a customer: a header, the features, then the contacts.
//!
//! ```text
//! word 0        header: 16 bits words before the contacts, 16 bits contacts, the rest 0;
//!               without contacts all of it is 0
//! word 1 ...    features, where the schema says
//! then          contacts, in the order of their words and so of their times
//! ```
//!
//! A whole row is under one sequence lock, so a decision sees features and contacts of the same moment.
//! Store, snapshot and digest see a row only as words. Zero words at the end may be missing, as they do in a
//! row without contacts; a contact is never zero.

use super::contact::{Contact, MAX_CONTACTS};
use super::outcome::OutcomeKind;
use crate::schema::{HEADER_WORDS, MAX_ROW_WORDS};
use smallvec::SmallVec;

/// A copy of a customer's words. Up to 64 words need no allocation, and a copy that is used again needs none
/// at all.
pub type Row = SmallVec<[u64; 64]>;

/// The most words of a row with its contacts.
pub const MAX_WORDS: usize = MAX_ROW_WORDS + MAX_CONTACTS;

/// The contacts in a row, oldest first, as words for [`Contact::of_word`]. If the words are not a row, it
/// gives some of them, or none.
#[inline]
pub fn contacts(row: &[u64]) -> &[u64] {
    let (before, count) = header(row);
    match row.get(before..) {
        Some(rest) if before >= HEADER_WORDS => &rest[..count.min(rest.len())],
        _ => &[],
    }
}

/// The header and features of a row, without its contacts.
pub fn features(row: &[u64]) -> &[u64] {
    &row[..row.len() - contacts(row).len()]
}

/// Where the contacts begin, and how many there are.
#[inline]
fn header(row: &[u64]) -> (usize, usize) {
    let header = row.first().copied().unwrap_or_default();
    ((header & 0xffff) as usize, (header >> 16 & 0xffff) as usize)
}

fn set_header(row: &mut Row, before: usize, count: usize) {
    // Both are bounded far below 65,536.
    row[0] = if count == 0 { 0 } else { before as u64 | (count as u64) << 16 };
}

/// Makes room in `row` for the features of a schema whose rows have `words` words, and moves the contacts
/// after it. From then on features can be written and contacts added.
pub fn open(row: &mut Row, words: usize) {
    let count = contacts(row).len();
    let before = row.len() - count;
    let missing = words.max(HEADER_WORDS).saturating_sub(before);
    if missing > 0 {
        row.resize(row.len() + missing, 0);
        row.copy_within(before..before + count, before + missing);
        row[before..before + missing].fill(0);
    }
    let before = before + missing;
    set_header(row, before, count);
}

/// Adds a contact to a row that was opened, at its place in time.
pub fn add(row: &mut Row, contact: Contact) {
    let count = contacts(row).len();
    let before = row.len() - count;
    let at = row[before..].partition_point(|word| *word <= contact.word());
    row.insert(before + at, contact.word());
    set_header(row, before, count + 1);
}

/// Drops the contacts for which `stays` is false. If more than [`MAX_CONTACTS`] are left, it drops the oldest
/// impressions, and without impressions the oldest contacts.
pub fn prune(row: &mut Row, stays: impl Fn(Contact) -> bool) {
    let count = contacts(row).len();
    let before = row.len() - count;
    let mut left = before;
    for at in before..row.len() {
        if stays(Contact::of_word(row[at])) {
            row[left] = row[at];
            left += 1;
        }
    }
    row.truncate(left);
    while row.len() - before > MAX_CONTACTS {
        let is_impression = |word: &u64| Contact::of_word(*word).kind() == OutcomeKind::Impression;
        let oldest = row[before..].iter().position(is_impression).unwrap_or(0);
        row.remove(before + oldest);
    }
    let count = row.len() - before;
    set_header(row, before, count);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::contact::FIRST_SECOND;
    use super::super::numbers::{OfferNumber, PlaceNumber};
    use super::*;

    fn contact(kind: OutcomeKind, second: u32) -> Contact {
        Contact::new(OfferNumber(1), PlaceNumber(2), kind, FIRST_SECOND + second)
    }

    fn seconds(row: &[u64]) -> Vec<u32> {
        contacts(row).iter().map(|word| Contact::of_word(*word).at() - FIRST_SECOND).collect()
    }

    #[test]
    fn contacts_are_in_order_of_time_behind_the_features_and_move_when_these_grow() {
        let mut row = Row::new();
        open(&mut row, 3);
        assert_eq!(row[..], [0, 0, 0]);
        row[2] = 7;
        for second in [30, 10, 20] {
            add(&mut row, contact(OutcomeKind::Click, second));
        }
        assert_eq!((seconds(&row), features(&row)), (vec![10, 20, 30], &[3 | 3 << 16, 0, 7][..]));
        open(&mut row, 5);
        assert_eq!((seconds(&row), features(&row)), (vec![10, 20, 30], &[5 | 3 << 16, 0, 7, 0, 0][..]));
        prune(&mut row, |contact| contact.at() > FIRST_SECOND + 15);
        assert_eq!((seconds(&row), row[0]), (vec![20, 30], 5 | 2 << 16));
        prune(&mut row, |_| false);
        assert_eq!(row[..], [0, 0, 7, 0, 0], "without contacts the header is zero");
    }

    #[test]
    fn of_too_many_contacts_the_oldest_impressions_go_first() {
        let mut row = Row::new();
        open(&mut row, 1);
        add(&mut row, contact(OutcomeKind::Dismiss, 0));
        for second in 1..=MAX_CONTACTS as u32 {
            add(&mut row, contact(OutcomeKind::Impression, second));
            prune(&mut row, |_| true);
        }
        let of_contacts = |row: &Row| (contacts(row).len(), seconds(row)[0], seconds(row)[1]);
        assert_eq!(of_contacts(&row), (MAX_CONTACTS, 0, 2), "the dismissal stays");
        for second in 1000..1000 + MAX_CONTACTS as u32 {
            add(&mut row, contact(OutcomeKind::Click, second));
            prune(&mut row, |_| true);
        }
        assert_eq!(of_contacts(&row), (MAX_CONTACTS, 1000, 1001), "no impressions are left to go first");
    }

    proptest! {
        #[test]
        fn any_words_are_read(words in prop::collection::vec(prop_oneof![0..20_u64, any::<u64>()], 0..12), before in 0..12_u64, count in 0..12_u64) {
            for header in [words.first().copied(), Some(before | count << 16)] {
                let mut row = Row::from_slice(&words);
                if let (Some(first), Some(header)) = (row.first_mut(), header) {
                    *first = header;
                }
                prop_assert_eq!(features(&row).len() + contacts(&row).len() <= row.len(), true);
                open(&mut row, 4);
                add(&mut row, contact(OutcomeKind::Click, 1));
                prune(&mut row, |_| true);
                prop_assert!(!contacts(&row).is_empty());
            }
        }
    }
}
