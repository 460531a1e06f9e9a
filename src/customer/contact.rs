//! What a customer was shown and what came of it: one outcome in 8 bytes, a bounded history beside the features in the
//! customer's row. Caps and suppressions are counted from it.

use super::numbers::{OfferNumber, PlaceNumber};
use super::outcome::OutcomeKind;

/// Contacts kept of one customer at most; then the oldest impression goes, and if there is none the oldest contact.
pub const MAX_CONTACTS: usize = 256;

/// 2024-01-01T00:00:00Z in seconds since 1970. Contacts are dated from here, to 2058.
pub const FIRST_SECOND: u32 = 1_704_067_200;
/// One beyond the last second that a contact can be dated, since 1970.
pub const LAST_SECOND: u32 = FIRST_SECOND + ((1 << TIME_BITS) - 1);

const TIME_BITS: u32 = 30;
const OUTCOME_BITS: u32 = 2;
const PLACE_BITS: u32 = 13;
const OFFER_BITS: u32 = 19;
const _: () = assert!(TIME_BITS + OUTCOME_BITS + PLACE_BITS + OFFER_BITS == 64);

/// Offers that can be told apart.
pub const MAX_OFFER_NUMBERS: usize = 1 << OFFER_BITS;
/// Places (placement and channel) that can be told apart.
pub const MAX_PLACE_NUMBERS: usize = 1 << PLACE_BITS;

/// One outcome, packed.
///
/// ```text
/// bits 63..34  seconds since 2024-01-01 plus one, so that no contact is zero
/// bits 33..32  outcome
/// bits 31..19  place
/// bits 18..0   offer
/// ```
/// The time is in front, so that contacts sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Contact(u64);

impl Contact {
    /// A contact at this second since 1970; what is before [`FIRST_SECOND`] or after [`LAST_SECOND`] is dated there.
    pub fn new(offer: OfferNumber, place: PlaceNumber, kind: OutcomeKind, at: u32) -> Contact {
        // One second less than can be dated, because of the one that is added.
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

    /// The contact in this word of a row.
    pub fn of_word(word: u64) -> Contact {
        Contact(word)
    }

    /// The word that it is.
    pub fn word(self) -> u64 {
        self.0
    }

    /// Of which offer.
    #[inline]
    pub fn offer(self) -> OfferNumber {
        OfferNumber((self.0 & ((1 << OFFER_BITS) - 1)) as u32)
    }

    /// Where.
    #[inline]
    pub fn place(self) -> PlaceNumber {
        PlaceNumber((self.0 >> OFFER_BITS & ((1 << PLACE_BITS) - 1)) as u16)
    }

    /// What became of it.
    #[inline]
    pub fn kind(self) -> OutcomeKind {
        OutcomeKind::ALL[(self.0 >> (PLACE_BITS + OFFER_BITS) & 3) as usize]
    }

    /// When, in seconds since 1970.
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
            kind in 0..4_usize,
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
