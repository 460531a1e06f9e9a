//! What something is learned of.

use super::Pace;
use crate::customer::numbers::OfferNumber;
use crate::customer::outcome::Lesson;

/// What is learned of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LessonKey {
    /// The offer.
    pub offer: OfferNumber,
    /// The placement's number.
    pub placement: u16,
    /// The segment of customers.
    pub segment: u8,
}

impl From<Lesson> for Pace {
    fn from(Lesson { window_s, half_life_s, .. }: Lesson) -> Pace {
        Pace { window_s, half_life_s }
    }
}
