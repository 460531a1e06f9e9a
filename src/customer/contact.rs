//! Contacts: what a customer was shown and what came of it. One outcome takes 8 bytes, and a bounded history
//! of them stands in the customer's row, after the features. Caps and suppressions count contacts.

use super::numbers::{OfferNumber, PlaceNumber};
use super::outcome::OutcomeKind;

/// The most contacts kept for one customer. Beyond it the oldest impression is dropped, or the oldest contact
/// if there is no impression.
pub const MAX_CONTACTS: usize = 256;

/// 2024-01-01T00:00:00Z in seconds since 1970, the earliest date of a contact. The latest is in 2058.
pub const FIRST_SECOND: u32 = 1_704_067_200;
/// The first second that is too late for a contact, in seconds since 1970.
pub const LAST_SECOND: u32 = FIRST_SECOND + ((1 << TIME_BITS) - 1);

const TIME_BITS: u32 = 30;
const OUTCOME_BITS: u32 = 2;
const PLACE_BITS: u32 = 13;
const OFFER_BITS: u32 = 19;
const _: () = assert!(TIME_BITS + OUTCOME_BITS + PLACE_BITS + OFFER_BITS == 64);
const _: () = assert!(OutcomeKind::COUNT <= 1 << OUTCOME_BITS);

/// How many offers contacts can tell apart.
pub const MAX_OFFER_NUMBERS: usize = 1 << OFFER_BITS;
/// How many places (a placement with a channel) contacts can tell apart.
pub const MAX_PLACE_NUMBERS: usize = 1 << PLACE_BITS;

/// One outcome, packed into a word.
///
/// ```text
/// bits 63..34  seconds since 2024-01-01 plus one, so that no contact is zero
/// bits 33..32  outcome
/// bits 31..19  place
/// bits 18..0   offer
/// ```
/// The time has the highest bits, so that contacts sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Contact(u64);

impl Contact {
    /// A contact at this second since 1970. A time outside [`FIRST_SECOND`] to [`LAST_SECOND`] is moved to
    /// the nearer end.
    pub fn new(offer: OfferNumber, place: PlaceNumber, kind: OutcomeKind, at: u32) -> Contact {
        // The last second is left out, because one is added.
        let seconds = u64::from(at.clamp(FIRST_SECOND, LAST_SECOND - 1) - FIRST_SECOND) + 1;
        let offer = u64::from(offer.0) & ((1 << OFFER_BITS) - 1);
        let place = u64::from(place.0) & ((1 << PLACE_BITS) - 1);
        Contact(
            seconds << (64 - TIME_BITS)
                | (kind as u64) << (PLACE_BITS + OFFER_BITS)
                | place << OFFER_BITS
                | offer,
        )
    }

    /// The contact that this word of a row holds.
    pub fn of_word(word: u64) -> Contact {
        Contact(word)
    }

    /// The word that holds it in a row.
    pub fn word(self) -> u64 {
        self.0
    }

    /// Whether a word is a contact. Other words, with no second in them, may stand between contacts.
    pub(super) fn is_word(word: u64) -> bool {
        word >> (64 - TIME_BITS) != 0
    }

    /// Offer, place and outcome in one number.
    pub(super) fn what(self) -> u64 {
        self.0 & ((1 << (64 - TIME_BITS)) - 1)
    }

    /// A contact with the same outcome and second, and with neither an offer nor a place that mean anything.
    pub(super) fn of_any(self) -> Contact {
        Contact::new(OfferNumber(0), PlaceNumber(0), self.kind(), self.at())
    }

    /// The same contact dated `now`, if it is later than `latest`.
    pub(super) fn rewound(self, latest: u32, now: u32) -> Option<Contact> {
        (self.at() > latest).then(|| Contact::new(self.offer(), self.place(), self.kind(), now))
    }

    /// The number of the offer.
    #[inline]
    pub fn offer(self) -> OfferNumber {
        OfferNumber((self.0 & ((1 << OFFER_BITS) - 1)) as u32)
    }

    /// The number of the placement and channel.
    #[inline]
    pub fn place(self) -> PlaceNumber {
        PlaceNumber((self.0 >> OFFER_BITS & ((1 << PLACE_BITS) - 1)) as u16)
    }

    /// What the customer did with the offer.
    #[inline]
    pub fn kind(self) -> OutcomeKind {
        let index = self.0 >> (PLACE_BITS + OFFER_BITS) & ((1 << OUTCOME_BITS) - 1);
        // A word that was read from a disk must not panic here. While there are as many kinds as the bits can
        // tell apart, this costs no branch.
        OutcomeKind::ALL.get(index as usize).copied().unwrap_or(OutcomeKind::Impression)
    }

    /// When it happened, in seconds since 1970.
    #[inline]
    pub fn at(self) -> u32 {
        ((self.0 >> (64 - TIME_BITS)) as u32).saturating_sub(1) + FIRST_SECOND
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_contact_says_what_it_was_made_of(
            offer in 0..MAX_OFFER_NUMBERS as u32,
            place in 0..MAX_PLACE_NUMBERS as u16,
            kind in 0..OutcomeKind::COUNT,
            at in FIRST_SECOND..LAST_SECOND,
            later in FIRST_SECOND..LAST_SECOND,
        ) {
            let kind = OutcomeKind::ALL[kind];
            let contact = Contact::new(OfferNumber(offer), PlaceNumber(place), kind, at);
            prop_assert_eq!(
                (contact.offer().0, contact.place().0, contact.kind(), contact.at()),
                (offer, place, kind, at)
            );
            prop_assert_eq!(Contact::of_word(contact.word()), contact);
            let other = Contact::new(OfferNumber(0), PlaceNumber(0), kind, later);
            prop_assert_eq!((contact < other, other < contact).0 && at > later, false);
        }
    }

    #[test]
    fn times_beyond_the_ends_are_dated_at_the_ends_and_no_contact_is_zero() {
        for (at, dated) in [(0, FIRST_SECOND), (FIRST_SECOND, FIRST_SECOND), (u32::MAX, LAST_SECOND - 1)] {
            let contact = Contact::new(OfferNumber(0), PlaceNumber(0), OutcomeKind::Impression, at);
            assert_eq!(contact.at(), dated);
            assert_ne!(contact.word(), 0);
        }
    }
}
