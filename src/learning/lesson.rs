//! The key under which outcomes teach: an offer on a placement, for a segment of customers.

use super::Pace;
use crate::customer::numbers::OfferNumber;
use crate::customer::outcome::Lesson;

/// Tells apart what is learned: each key has counts of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LessonKey {
    /// The offer's number in the catalogue.
    pub offer: OfferNumber,
    /// The placement's number in the catalogue.
    pub placement: u16,
    /// The segment of customers: one bit for each condition of `by`.
    pub segment: u8,
}

impl From<Lesson> for Pace {
    fn from(Lesson { window_s, half_life_s, .. }: Lesson) -> Pace {
        Pace { window_s, half_life_s }
    }
}
