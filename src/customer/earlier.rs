//! Contacts that a row has no more room for, although a window may still reach them.
//!
//! A customer has [`MAX_CONTACTS`](super::contact::MAX_CONTACTS) contacts one by one. What goes beyond, and
//! may still count for a cap or suppression, is kept here. As long as there is room that is every contact
//! by itself. Then contacts of the same offer, place and outcome are summed up, the oldest first: how many
//! they are, and when the latest was. So a suppression and a cap that counts for ever stay exact. A cap
//! that counts several in a sliding time may count summed contacts longer than its window, never shorter.
//!
//! If even that is too much, the oldest are kept by outcome alone. They count for every offer: an offer that
//! might have been stopped is stopped.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::contact::Contact;

/// The most words of earlier contacts in one row. That is room for all contacts of 512 combinations of
/// offer, place and outcome, however many contacts they are.
pub const MAX_EARLIER_WORDS: usize = 1_024;

/// In a word that counts contacts: they are of any offer and place.
const OF_ANY: u64 = 1 << u32::BITS;

/// Contacts of one offer, place and outcome, all of them at [`latest`](EarlierContacts::latest) or before.
///
/// One contact has one word, as among the other contacts. Several have a second word with their number,
/// which no contact can be: its upper 30 bits are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlierContacts {
    /// The latest of them.
    pub latest: Contact,
    /// How many they are, at least 1.
    pub count: u32,
    /// Whether it is no longer known which offers and places they are of; only outcome and time are right
    /// then.
    pub of_any: bool,
}

impl EarlierContacts {
    /// The earlier contacts in these words of a row, in the order of their latest. If the words are none, it
    /// gives some of them, or none.
    pub fn all(words: &[u64]) -> impl Iterator<Item = EarlierContacts> + '_ {
        let mut words = words.iter().copied().peekable();
        std::iter::from_fn(move || {
            let latest = Contact::of_word(words.find(|word| Contact::is_word(*word))?);
            let sum = words.next_if(|word| !Contact::is_word(*word)).unwrap_or(1);
            Some(EarlierContacts { latest, count: (sum as u32).max(1), of_any: sum & OF_ANY != 0 })
        })
    }

    fn one(latest: Contact) -> EarlierContacts {
        EarlierContacts { latest, count: 1, of_any: false }
    }

    /// The words that hold them in a row.
    pub(crate) fn words(self) -> impl Iterator<Item = u64> {
        let sum = u64::from(self.count) | if self.of_any { OF_ANY } else { 0 };
        [self.latest.word(), sum].into_iter().take(self.length())
    }

    fn length(self) -> usize {
        if self.count == 1 && !self.of_any { 1 } else { 2 }
    }

    /// Takes in what was at the same time or before.
    fn add(&mut self, before: EarlierContacts) {
        self.count = self.count.saturating_add(before.count);
    }
}

/// The words of a row's earlier contacts after those in `dropped` came to them, and after those went for
/// which `needed` is false.
pub(super) fn with(words: &[u64], dropped: &[Contact], needed: impl Fn(Contact) -> bool) -> Vec<u64> {
    let known = EarlierContacts::all(words).filter(|earlier| needed(earlier.latest));
    let mut all: Vec<EarlierContacts> = known.collect();
    for contact in dropped.iter().copied().filter(|contact| needed(*contact)) {
        insert(&mut all, EarlierContacts::one(contact));
    }
    while all.iter().map(|earlier| earlier.length()).sum::<usize>() > MAX_EARLIER_WORDS {
        sum_up(&mut all);
    }
    all.into_iter().flat_map(EarlierContacts::words).collect()
}

/// Whether the latest of these earlier contacts is later than `latest`.
pub(super) fn is_ahead(words: &[u64], latest: u32) -> bool {
    EarlierContacts::all(words).last().is_some_and(|earlier| earlier.latest.at() > latest)
}

/// The words of a row's earlier contacts with those that are later than `latest` dated `now`.
pub(super) fn rewound(words: &[u64], latest: u32, now: u32) -> Vec<u64> {
    let mut all = Vec::new();
    for earlier in EarlierContacts::all(words) {
        let dated = earlier.latest.rewound(latest, now).unwrap_or(earlier.latest);
        insert(&mut all, EarlierContacts { latest: dated, ..earlier });
    }
    all.into_iter().flat_map(EarlierContacts::words).collect()
}

/// Puts contacts in at their place in time. Those of the same second are summed up: that loses nothing.
fn insert(all: &mut Vec<EarlierContacts>, new: EarlierContacts) {
    let order = |other: &EarlierContacts| (other.latest, other.of_any).cmp(&(new.latest, new.of_any));
    match all.binary_search_by(order) {
        Ok(at) => all[at].add(new),
        Err(at) => all.insert(at, new),
    }
}

/// Puts the oldest that can be summed up with later ones of the same offer, place and outcome to the next of
/// them. If all differ, the oldest are from now on of any offer and place.
fn sum_up(all: &mut Vec<EarlierContacts>) {
    let mut later: HashMap<u64, usize, FixedState> = HashMap::default();
    let mut oldest = None;
    for (at, earlier) in all.iter().enumerate().rev().filter(|(_, earlier)| !earlier.of_any) {
        if let Some(next) = later.insert(earlier.latest.what(), at) {
            oldest = Some((at, next));
        }
    }
    if let Some((at, next)) = oldest {
        let before = all[at];
        all[next].add(before);
        all.remove(at);
        return;
    }
    let Some(at) = all.iter().position(|earlier| !earlier.of_any) else {
        all.truncate(MAX_EARLIER_WORDS / 2); // never, as there are few outcomes
        return;
    };
    let EarlierContacts { latest, count, .. } = all.remove(at);
    let mut unknown = EarlierContacts { latest: latest.of_any(), count, of_any: true };
    let alike = |other: &EarlierContacts| other.of_any && other.latest.kind() == latest.kind();
    if let Some(at) = all.iter().position(alike) {
        let other = all.remove(at);
        unknown = EarlierContacts { latest: unknown.latest.max(other.latest), ..unknown };
        unknown.add(other);
    }
    insert(all, unknown);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::contact::FIRST_SECOND;
    use super::super::numbers::{OfferNumber, PlaceNumber};
    use super::super::outcome::OutcomeKind;
    use super::*;

    fn contact(offer: u32, kind: usize, second: u32) -> Contact {
        Contact::new(OfferNumber(offer), PlaceNumber(2), OutcomeKind::ALL[kind], FIRST_SECOND + second)
    }

    fn told(words: &[u64]) -> Vec<(u32, usize, u32, u32, bool)> {
        let one = |earlier: EarlierContacts| {
            let EarlierContacts { latest, count, of_any } = earlier;
            (latest.offer().0, latest.kind().index(), latest.at() - FIRST_SECOND, count, of_any)
        };
        EarlierContacts::all(words).map(one).collect()
    }

    #[test]
    fn contacts_stay_by_themselves_while_there_is_room_and_go_when_nobody_needs_them() {
        let dropped = [contact(1, 0, 30), contact(2, 3, 10), contact(1, 0, 20), contact(1, 0, 30)];
        let words = with(&[], &dropped, |_| true);
        assert_eq!(told(&words), [(2, 3, 10, 1, false), (1, 0, 20, 1, false), (1, 0, 30, 2, false)]);
        assert_eq!(words.len(), 4, "a word each, and one for the two of a second");
        let words = with(&words, &[contact(3, 0, 5), contact(4, 0, 40)], |it| it.at() > FIRST_SECOND + 15);
        assert_eq!(told(&words), [(1, 0, 20, 1, false), (1, 0, 30, 2, false), (4, 0, 40, 1, false)]);
    }

    #[test]
    fn beyond_the_bound_the_oldest_are_summed_up_and_none_is_lost() {
        let mut words = with(&[], &[contact(9, 3, 0), contact(9, 3, 1)], |_| true);
        for second in 2..3_000 {
            words = with(&words, &[contact(second % 7, 0, second)], |_| true);
            assert!(words.len() <= MAX_EARLIER_WORDS);
        }
        let told = told(&words);
        assert_eq!(told[0], (9, 3, 1, 2, false), "the oldest were summed up first");
        for offer in 0..7 {
            let of_offer = told.iter().filter(|it| it.0 == offer && it.1 == 0);
            let count: u32 = of_offer.clone().map(|it| it.3).sum();
            assert_eq!(count as usize, (2..3_000).filter(|second| second % 7 == offer).count());
            assert!(of_offer.clone().skip(1).all(|it| it.3 == 1), "the newest are told one by one");
            assert!(of_offer.count() > 100);
        }
    }

    #[test]
    fn where_even_sums_are_too_many_the_oldest_count_for_every_offer() {
        let mut words = Vec::new();
        for round in 0..2 {
            for offer in 0..600 {
                let again = contact(offer, 1 + (offer % 2) as usize, round * 600 + offer);
                words = with(&words, &[again], |_| true);
                assert!(words.len() <= MAX_EARLIER_WORDS);
            }
        }
        let told = told(&words);
        let unknown: Vec<_> = told.iter().filter(|it| it.4).collect();
        assert_eq!(unknown.len(), 2, "one for each outcome: {unknown:?}");
        assert_eq!(told.iter().map(|it| it.3).sum::<u32>(), 1_200, "every contact is counted somewhere");
        let oldest = told.iter().find(|it| !it.4).unwrap();
        assert!(unknown.iter().all(|it| it.2 <= oldest.2), "what is unknown is older");
    }

    proptest! {
        #[test]
        fn any_words_are_read_and_what_is_written_is_read_again(
            words in prop::collection::vec(prop_oneof![0..20_u64, (0..1_u64 << 34), any::<u64>()], 0..40),
            dropped in prop::collection::vec((0..3_u32, 0..4_usize, 0..9_u32), 0..9),
        ) {
            let dropped: Vec<Contact> = dropped.iter().map(|it| contact(it.0, it.1, it.2)).collect();
            let read: u64 = EarlierContacts::all(&words).map(|earlier| u64::from(earlier.count)).sum();
            let mut sorted: Vec<EarlierContacts> = EarlierContacts::all(&words).collect();
            sorted.sort_by_key(|earlier| (earlier.latest, earlier.of_any));
            let words: Vec<u64> = sorted.into_iter().flat_map(EarlierContacts::words).collect();
            let written = with(&words, &dropped, |_| true);
            let again: u64 = EarlierContacts::all(&written).map(|earlier| u64::from(earlier.count)).sum();
            prop_assert!(again <= read + dropped.len() as u64);
            prop_assert_eq!(with(&written, &[], |_| true), written.clone());
            prop_assert!(written.last() != Some(&0));
        }
    }
}
