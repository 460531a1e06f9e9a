//! The owner of an offer and the place where it was shown, each packed into a word that is compared under a
//! mask.

use crate::customer::outcome::OutcomeKind;
use crate::rules::catalogue::MAX_NAME_NUMBERS;

const NUMBER_BITS: u32 = 15;
const NUMBER: u32 = (1 << NUMBER_BITS) - 1;
/// Stand-ins for a placement or channel without a number: one for contacts, one for requests, so that they
/// never match. No number is as large.
pub(super) const UNKNOWN_THERE: u32 = NUMBER;
pub(super) const UNKNOWN_HERE: u32 = NUMBER - 1;
const _: () = assert!(MAX_NAME_NUMBERS <= UNKNOWN_HERE as usize);

/// Group and rule set of an offer in one word. Each is its number plus one; 0 for none, as for
/// [`NO_RULE_SET`](crate::rules::catalogue::NO_RULE_SET).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct OwnerWord(pub(crate) u32);

/// Placement and channel in one word, so that each can be compared under a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlaceWord(pub(crate) u32);

impl OwnerWord {
    pub(super) const GROUP: u32 = 0xffff_0000;
    pub(super) const SET: u32 = 0x0000_ffff;
    /// The owner of an offer that is only a fallback: its contacts count nowhere.
    pub(super) const UNCOUNTED: OwnerWord = OwnerWord(u32::MAX);

    pub(super) fn new(rule_set: u16, group: Option<u16>) -> OwnerWord {
        OwnerWord(group.map_or(0, |group| (u32::from(group) + 1) << 16) | u32::from(rule_set.wrapping_add(1)))
    }
}

impl PlaceWord {
    pub(super) const PLACEMENT: u32 = NUMBER << NUMBER_BITS;
    pub(super) const CHANNEL: u32 = NUMBER;
    /// The bits above those of the place hold the outcome.
    pub(crate) const OUTCOME_SHIFT: u32 = 2 * NUMBER_BITS;

    pub(super) fn new(placement: u32, channel: u32) -> PlaceWord {
        PlaceWord(placement << NUMBER_BITS | channel)
    }
}

// With more outcomes than these bits can tell apart, one would silently count as another.
const _: () = assert!(OutcomeKind::COUNT <= 1 << (u32::BITS - PlaceWord::OUTCOME_SHIFT));
