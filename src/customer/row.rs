//! The words of a customer: a header, the features, and behind them what happened.
//!
//! ```text
//! word 0        header, 16 bits each: words before the contacts, contacts, words of earlier contacts,
//!               words of places in budgets; with nothing behind the features all of it is 0, or the time
//!               since which nothing counts any more, in seconds since 1970 above 16 bits of 0
//! word 1 ...    features, where the schema says
//! then          contacts, in the order of their words and so of their times
//! then          earlier contacts (earlier.rs)
//! then          places in budgets of customers (budget_place.rs)
//! ```
//!
//! A whole row is under one sequence lock, so a decision sees features and contacts of the same moment.
//! Store, snapshot and digest see a row only as words. Zero words at the end may be missing, as they do in a
//! row with nothing behind the features; what stands there never ends in zero.

use super::budget_place::{self, BudgetPlace, MAX_BUDGET_PLACES};
use super::contact::{Contact, MAX_CONTACTS};
use super::earlier::{self, MAX_EARLIER_WORDS};
use super::outcome::OutcomeKind;
use crate::schema::{HEADER_WORDS, MAX_ROW_WORDS};
use smallvec::SmallVec;

/// A copy of a customer's words. Up to 64 words need no allocation, and a copy that is used again needs none
/// at all.
pub type Row = SmallVec<[u64; 64]>;

/// The most words of a row with all that stands behind its features.
pub const MAX_WORDS: usize =
    MAX_ROW_WORDS + MAX_CONTACTS + MAX_EARLIER_WORDS + MAX_BUDGET_PLACES * budget_place::WORDS;
// Each count has 16 bits in the header, and so has the length of a row in a snapshot.
const _: () = assert!(MAX_WORDS <= u16::MAX as usize);

/// What happened to a customer, as it stands behind the features of their row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Past<'r> {
    /// The contacts that are kept one by one, oldest first, as words for [`Contact::of_word`].
    pub contacts: &'r [u64],
    /// Contacts before those, as words for
    /// [`EarlierContacts::all`](super::earlier::EarlierContacts::all).
    pub earlier: &'r [u64],
    /// Places in budgets of customers, as words for [`BudgetPlace::all`].
    pub budget_places: &'r [u64],
}

impl<'r> Past<'r> {
    /// What stands behind the features of a row. If the words are not a row, it gives some of them, or none.
    #[inline]
    pub fn of(row: &'r [u64]) -> Past<'r> {
        let Sections { before, contacts, earlier, places } = Sections::of(row);
        let (contacts, rest) = row[before..].split_at(contacts);
        let (earlier, rest) = rest.split_at(earlier);
        Past { contacts, earlier, budget_places: &rest[..places] }
    }
}

/// How many words each part of a row has; together never more than the row.
#[derive(Clone, Copy)]
struct Sections {
    /// Header and features.
    before: usize,
    contacts: usize,
    earlier: usize,
    places: usize,
}

impl Sections {
    #[inline]
    fn of(row: &[u64]) -> Sections {
        let header = row.first().copied().unwrap_or_default();
        let count = |nth: u32| (header >> (16 * nth) & 0xffff) as usize;
        let before = count(0);
        if before < HEADER_WORDS || before > row.len() {
            return Sections { before: row.len(), contacts: 0, earlier: 0, places: 0 };
        }
        let mut left = row.len() - before;
        let mut section = |nth| {
            let words = count(nth).min(left);
            left -= words;
            words
        };
        Sections { before, contacts: section(1), earlier: section(2), places: section(3) }
    }

    /// Writes the header. All counts are bounded far below 65,536.
    fn write(self, row: &mut Row) {
        let Sections { before, contacts, earlier, places } = self;
        let counts = [before, contacts, earlier, places].into_iter().rev();
        let nothing = contacts + earlier + places == 0;
        row[0] = if nothing { 0 } else { counts.fold(0, |header, count| header << 16 | count as u64) };
    }
}

/// The contacts in a row, as [`Past::contacts`].
#[inline]
pub fn contacts(row: &[u64]) -> &[u64] {
    Past::of(row).contacts
}

/// The header and features of a row, without what stands behind them.
pub fn features(row: &[u64]) -> &[u64] {
    &row[..Sections::of(row).before]
}

/// Since when nothing of a customer counts any more, in seconds since 1970, if their row is marked so.
pub fn idle_since(row: &[u64]) -> Option<u32> {
    let header = row.first().copied().unwrap_or_default();
    (header != 0 && header & 0xffff == 0).then_some((header >> 16) as u32)
}

/// Marks the row of a customer of whom nothing counts any more since then, and drops what stands behind its
/// features. [`open`] takes the mark away.
pub fn mark_idle(row: &mut Row, since: u32) {
    let before = Sections::of(row).before;
    row.truncate(before);
    if row.is_empty() {
        row.push(0);
    }
    row[0] = u64::from(since.max(1)) << 16;
}

/// Makes room in `row` for the features of a schema whose rows have `words` words, and moves what stands
/// behind them. From then on features can be written and contacts added.
pub fn open(row: &mut Row, words: usize) {
    let mut sections = Sections::of(row);
    let (before, length) = (sections.before, row.len());
    let missing = words.max(HEADER_WORDS).saturating_sub(before);
    if missing > 0 {
        row.resize(length + missing, 0);
        row.copy_within(before..length, before + missing);
        row[before..before + missing].fill(0);
    }
    sections.before += missing;
    sections.write(row);
}

/// Adds a contact to a row that was opened, at its place in time.
pub fn add(row: &mut Row, contact: Contact) {
    let mut sections = Sections::of(row);
    let contacts = &row[sections.before..sections.before + sections.contacts];
    let at = contacts.partition_point(|word| *word <= contact.word());
    row.insert(sections.before + at, contact.word());
    sections.contacts += 1;
    sections.write(row);
}

/// Dates contacts that are later than `latest` at `now`: a clock that was ahead dated them. Otherwise they
/// would count until time has caught up with them. Most rows have none, and are only looked at.
pub fn rewind(row: &mut Row, latest: u32, now: u32) {
    let sections = Sections::of(row);
    let Sections { before, contacts, earlier, .. } = sections;
    let end = before + contacts;
    if row[before..end].last().is_some_and(|word| Contact::of_word(*word).at() > latest) {
        let words = &mut row[before..end];
        for word in words.iter_mut().rev() {
            let Some(dated) = Contact::of_word(*word).rewound(latest, now) else { break };
            *word = dated.word();
        }
        words.sort_unstable();
    }
    if earlier > 0 && earlier::is_ahead(&row[end..end + earlier], latest) {
        let rewound = earlier::rewound(&row[end..end + earlier], latest, now);
        let mut sections = sections;
        sections.earlier = rewound.len();
        row.drain(end..end + earlier);
        row.insert_many(end, rewound);
        sections.write(row);
    }
}

/// Drops the contacts for which `stays` is false. If more than [`MAX_CONTACTS`] are left, it drops the
/// oldest impressions, and without impressions the oldest contacts. Of these, those for which `needed` is
/// true become earlier contacts; earlier contacts that are no longer needed go.
pub fn prune(row: &mut Row, stays: impl Fn(Contact) -> bool, needed: impl Fn(Contact) -> bool) {
    let mut sections = Sections::of(row);
    let Sections { before, contacts, .. } = sections;
    let mut left = before;
    for at in before..before + contacts {
        if stays(Contact::of_word(row[at])) {
            row[left] = row[at];
            left += 1;
        }
    }
    let mut dropped: SmallVec<[Contact; 4]> = SmallVec::new();
    while left - before > MAX_CONTACTS {
        let is_impression = |word: &u64| Contact::of_word(*word).kind() == OutcomeKind::Impression;
        let oldest = before + row[before..left].iter().position(is_impression).unwrap_or(0);
        dropped.push(Contact::of_word(row[oldest]));
        row.copy_within(oldest + 1..left, oldest);
        left -= 1;
    }
    let end = before + contacts;
    if left < end {
        row.drain(left..end);
    }
    sections.contacts = left - before;
    if !dropped.is_empty() || sections.earlier > 0 {
        let place = left..left + sections.earlier;
        let earlier = earlier::with(&row[place.clone()], &dropped, needed);
        sections.earlier = earlier.len();
        if row[place.clone()] != earlier[..] {
            row.drain(place);
            row.insert_many(left, earlier);
        }
    }
    sections.write(row);
}

/// Gives the customer of an opened row these places in budgets, and takes those away that are over. The
/// caller keeps to [`MAX_BUDGET_PLACES`].
pub fn take_places(
    row: &mut Row,
    places: impl Iterator<Item = BudgetPlace>,
    is_over: impl Fn(BudgetPlace) -> bool,
) {
    let mut sections = Sections::of(row);
    let first = sections.before + sections.contacts + sections.earlier;
    let kept: Vec<BudgetPlace> = BudgetPlace::all(&row[first..first + sections.places])
        .filter(|place| !is_over(*place))
        .chain(places)
        .collect();
    row.truncate(first);
    row.extend(kept.into_iter().flat_map(BudgetPlace::words));
    sections.places = row.len() - first;
    sections.write(row);
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
        prune(&mut row, |contact| contact.at() > FIRST_SECOND + 15, |_| true);
        assert_eq!((seconds(&row), row[0]), (vec![20, 30], 5 | 2 << 16));
        prune(&mut row, |_| false, |_| true);
        assert_eq!(row[..], [0, 0, 7, 0, 0], "without contacts the header is zero");
    }

    #[test]
    fn what_stands_behind_the_features_stays_apart_whatever_grows() {
        let mut row = Row::new();
        let place = |key| BudgetPlace { key, day: 3 };
        let seen = |second| contact(OutcomeKind::Impression, second);
        open(&mut row, 2);
        take_places(&mut row, [place(7), place(8)].into_iter(), |_| false);
        for second in 0..MAX_CONTACTS as u32 + 3 {
            add(&mut row, seen(second));
            prune(&mut row, |_| true, |contact| contact.at() != FIRST_SECOND + 1);
        }
        open(&mut row, 4);
        row[3] = 9;
        take_places(&mut row, [place(9)].into_iter(), |place| place.key == 7);
        let past = Past::of(&row);
        assert_eq!((past.contacts.len(), past.contacts[0]), (MAX_CONTACTS, seen(3).word()));
        assert_eq!(past.earlier, [seen(0).word(), seen(2).word()]);
        assert_eq!(past.budget_places, [3, 8, 3, 9]);
        assert_eq!(features(&row), [4 | 256 << 16 | 2 << 32 | 4 << 48, 0, 0, 9]);
        prune(&mut row, |_| true, |contact| contact.at() > FIRST_SECOND);
        assert_eq!((Past::of(&row).earlier, row.len()), (&[seen(2).word()][..], 4 + 256 + 1 + 4));
        prune(&mut row, |_| false, |_| false);
        take_places(&mut row, std::iter::empty(), |_| true);
        assert_eq!(row[..], [0, 0, 0, 9], "with nothing behind the features the header is zero");
    }

    #[test]
    fn a_mark_stands_until_something_happens_and_moves_nothing() {
        let mut row = Row::new();
        mark_idle(&mut row, 1_800_000_000);
        assert_eq!((idle_since(&row), row.len(), Past::of(&row)), (Some(1_800_000_000), 1, Past::default()));
        open(&mut row, 3);
        assert_eq!((idle_since(&row), &row[..]), (None, &[0, 0, 0][..]));
        row[2] = 7;
        add(&mut row, contact(OutcomeKind::Click, 5));
        assert_eq!(idle_since(&row), None);
        mark_idle(&mut row, 0);
        assert_eq!((idle_since(&row), &row[1..], features(&row)[2]), (Some(1), &[0, 7][..], 7));
        open(&mut row, 4);
        assert_eq!((idle_since(&row), &row[..]), (None, &[0, 0, 7, 0][..]));
    }

    #[test]
    fn contacts_that_are_ahead_come_back_to_now() {
        let mut row = Row::new();
        open(&mut row, 2);
        for second in [10, 5_000, 20, 9_000] {
            add(&mut row, contact(OutcomeKind::Click, second));
        }
        take_places(&mut row, [BudgetPlace { key: 7, day: 3 }].into_iter(), |_| false);
        let before = row.clone();
        rewind(&mut row, FIRST_SECOND + 9_000, FIRST_SECOND + 8_700);
        assert_eq!(row, before);
        rewind(&mut row, FIRST_SECOND + 400, FIRST_SECOND + 100);
        assert_eq!((seconds(&row), Past::of(&row).budget_places), (vec![10, 20, 100, 100], &[3, 7][..]));

        let mut row = Row::new();
        open(&mut row, 2);
        for second in 0..MAX_CONTACTS as u32 + 2 {
            add(&mut row, contact(OutcomeKind::Impression, 9_000 + second));
            prune(&mut row, |_| true, |_| true);
        }
        rewind(&mut row, FIRST_SECOND + 400, FIRST_SECOND + 100);
        let earlier: Vec<_> = earlier::EarlierContacts::all(Past::of(&row).earlier).collect();
        assert_eq!(
            earlier.iter().map(|one| (one.latest.at() - FIRST_SECOND, one.count)).collect::<Vec<_>>(),
            [(100, 2)]
        );
        assert!(seconds(&row).iter().all(|second| *second == 100) && seconds(&row).len() == MAX_CONTACTS);
    }

    #[test]
    fn of_too_many_contacts_the_oldest_impressions_go_first() {
        let mut row = Row::new();
        open(&mut row, 1);
        add(&mut row, contact(OutcomeKind::Dismiss, 0));
        for second in 1..=MAX_CONTACTS as u32 {
            add(&mut row, contact(OutcomeKind::Impression, second));
            prune(&mut row, |_| true, |_| false);
        }
        let of_contacts = |row: &Row| (contacts(row).len(), seconds(row)[0], seconds(row)[1]);
        assert_eq!(of_contacts(&row), (MAX_CONTACTS, 0, 2), "the dismissal stays");
        for second in 1000..1000 + MAX_CONTACTS as u32 {
            add(&mut row, contact(OutcomeKind::Click, second));
            prune(&mut row, |_| true, |_| false);
        }
        assert_eq!(of_contacts(&row), (MAX_CONTACTS, 1000, 1001), "no impressions are left to go first");
    }

    proptest! {
        #[test]
        fn any_words_are_read(words in prop::collection::vec(prop_oneof![0..20_u64, any::<u64>()], 0..12), before in 0..12_u64, count in 0..12_u64, more in prop_oneof![0..8_u64, 0..1_u64 << 32]) {
            for header in [words.first().copied(), Some(before | count << 16 | more << 32)] {
                let mut row = Row::from_slice(&words);
                if let (Some(first), Some(header)) = (row.first_mut(), header) {
                    *first = header;
                }
                let Past { contacts: one, earlier: two, budget_places: three } = Past::of(&row);
                prop_assert!(features(&row).len() + one.len() + two.len() + three.len() <= row.len());
                open(&mut row, 4);
                add(&mut row, contact(OutcomeKind::Click, 1));
                prune(&mut row, |_| true, |_| false);
                prop_assert!(!contacts(&row).is_empty());
            }
        }
    }
}
