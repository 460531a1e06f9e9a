//! Numbers that are given back, and how many are taken.

use std::collections::HashSet;

use super::{MAX_ARM_NUMBERS, MAX_NAME_NUMBERS, MAX_TREATMENT_NUMBERS};
use crate::customer::contact::MAX_OFFER_NUMBERS;
use crate::customer::numbers::{ArmNumber, OfferNumber, PlaceNumber};
use crate::learning::lesson::LessonKey;

/// The most numbers in one list of [`Returns`] of one [`Additions`](super::Additions).
pub const MAX_RETURNS: usize = 2 * MAX_NAME_NUMBERS + MAX_ARM_NUMBERS;

/// The bits of a treatment's place among those of its offer.
const TREATMENT_BITS: u32 = 12;
const _: () = assert!(MAX_TREATMENT_NUMBERS == 1 << TREATMENT_BITS);
const _: () = assert!(MAX_OFFER_NUMBERS <= 1 << (u32::BITS - TREATMENT_BITS));

/// The kinds of names whose numbers are given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Returned {
    /// Names of rule sets.
    RuleSet,
    /// Names of groups of offers.
    Group,
    /// Arms of experiments.
    Arm,
    /// Names of placements.
    Placement,
    /// Names of channels.
    Channel,
    /// Pairs of placement and channel.
    Place,
    /// Offers, with their treatments.
    Offer,
    /// Treatments of offers that stay, as [`TreatmentNumber`].
    Treatment,
}

impl Returned {
    /// All kinds; a kind's place here is its tag in files.
    pub const ALL: [Returned; 8] = [
        Returned::RuleSet,
        Returned::Group,
        Returned::Arm,
        Returned::Placement,
        Returned::Channel,
        Returned::Place,
        Returned::Offer,
        Returned::Treatment,
    ];

    /// Tells it from the other kinds in files.
    pub fn tag(self) -> u8 {
        self as u8
    }
}

/// A treatment among those of all offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreatmentNumber {
    /// Whose it is.
    pub offer: OfferNumber,
    /// Its place among the offer's treatments, below [`MAX_TREATMENT_NUMBERS`].
    pub treatment: u16,
}

impl TreatmentNumber {
    /// It as one number.
    pub fn packed(self) -> u32 {
        self.offer.0 << TREATMENT_BITS | u32::from(self.treatment)
    }

    /// The treatment that was packed into this number.
    pub fn unpacked(number: u32) -> TreatmentNumber {
        let treatment = (number & ((1 << TREATMENT_BITS) - 1)) as u16;
        TreatmentNumber { offer: OfferNumber(number >> TREATMENT_BITS), treatment }
    }
}

/// How many numbers of a kind are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// What has these numbers, as people call it.
    pub of: &'static str,
    /// How many are taken.
    pub taken: usize,
    /// How many there are.
    pub most: usize,
}

impl Taken {
    /// From this share on, in percent, numbers are scarce.
    pub const SCARCE_PERCENT: usize = 80;

    /// Whether so many are taken that people should hear of it.
    pub fn is_scarce(&self) -> bool {
        self.taken * 100 >= self.most * Taken::SCARCE_PERCENT
    }
}

/// What becomes of numbers whose names no active rule set has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Returns {
    /// Numbers that are free from now on. The history of a rule set goes with its number; figures and what
    /// was learned go with the numbers of arms, offers, placements and pairs.
    pub freed: Vec<(Returned, u32)>,
    /// Names that left the active rule sets, and when that was noticed, in seconds since 1970.
    pub left: Vec<(Returned, u32, u32)>,
    /// Names that had left and are active again.
    pub back: Vec<(Returned, u32)>,
}

impl Returns {
    /// These in order, in pieces of at most [`MAX_RETURNS`] numbers a list.
    pub fn pieces(&self) -> Vec<Returns> {
        let Returns { freed, left, back } = self;
        let count = [freed.len(), left.len(), back.len()].map(|count| count.div_ceil(MAX_RETURNS));
        let piece =
            |nth| Returns { freed: chunk(freed, nth), left: chunk(left, nth), back: chunk(back, nth) };
        (0..count.into_iter().max().unwrap_or_default()).map(piece).collect()
    }

    /// What figures count and no number names from now on.
    pub fn gone(&self) -> Gone {
        let mut gone = Gone::default();
        for (kind, number) in &self.freed {
            match kind {
                Returned::Arm => drop(gone.arms.insert(ArmNumber(*number as u16))),
                Returned::Offer => drop(gone.offers.insert(OfferNumber(*number))),
                Returned::Place => drop(gone.places.insert(PlaceNumber(*number as u16))),
                Returned::Placement => drop(gone.placements.insert(*number as u16)),
                Returned::RuleSet | Returned::Group | Returned::Channel | Returned::Treatment => {}
            }
        }
        gone
    }
}

fn chunk<T: Clone>(all: &[T], nth: usize) -> Vec<T> {
    all.chunks(MAX_RETURNS).nth(nth).unwrap_or_default().to_vec()
}

/// Numbers that are free from now on, of those that figures are counted by.
#[derive(Debug, Clone, Default)]
pub struct Gone {
    arms: HashSet<ArmNumber>,
    offers: HashSet<OfferNumber>,
    /// Pairs of placement and channel.
    pub places: HashSet<PlaceNumber>,
    placements: HashSet<u16>,
}

impl Gone {
    /// Whether no number is.
    pub fn is_empty(&self) -> bool {
        let Gone { arms, offers, places, placements } = self;
        arms.is_empty() && offers.is_empty() && places.is_empty() && placements.is_empty()
    }

    /// Whether what is counted by these numbers goes.
    pub fn counted(&self, offer: OfferNumber, place: PlaceNumber, arm: Option<ArmNumber>) -> bool {
        self.offers.contains(&offer)
            || self.places.contains(&place)
            || arm.is_some_and(|arm| self.arms.contains(&arm))
    }

    /// Whether what was learned under this key goes.
    pub fn learned(&self, key: &LessonKey) -> bool {
        self.offers.contains(&key.offer) || self.placements.contains(&key.placement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_by_its_tag_and_a_treatment_by_its_number() {
        for (place, kind) in Returned::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(kind.tag()), place);
        }
        for (offer, treatment) in [(0, 0), (MAX_OFFER_NUMBERS - 1, MAX_TREATMENT_NUMBERS - 1), (7, 4_000)] {
            let number = TreatmentNumber { offer: OfferNumber(offer as u32), treatment: treatment as u16 };
            assert_eq!(TreatmentNumber::unpacked(number.packed()), number);
        }
    }
}
