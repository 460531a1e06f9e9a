//! A customer's feature vector: a row of words, read in place through the schema.

use super::value::{Time, Value};
use super::{FeatureId, Schema};

/// All features of one customer, packed. A row shorter than the schema reads as missing beyond its end, and
/// what is counted there as 0.
#[derive(Debug, Clone, Copy)]
pub struct FeatureVector<'a> {
    words: &'a [u64],
}

impl<'a> FeatureVector<'a> {
    /// The vector in these words.
    pub fn new(words: &'a [u64]) -> FeatureVector<'a> {
        FeatureVector { words }
    }

    /// A customer of whom nothing is known.
    pub fn unknown() -> FeatureVector<'static> {
        FeatureVector { words: &[] }
    }

    /// The words.
    pub fn words(self) -> &'a [u64] {
        self.words
    }

    /// The feature's value at this time: what is computed from events fades.
    #[inline]
    pub fn get<'s>(self, schema: &'s Schema, feature: FeatureId, now: Time) -> Value<'s> {
        schema.read(feature, self.words, now)
    }

    /// The code of that value, as its kind encodes it; 0 if there is none.
    #[inline]
    pub fn code(self, schema: &Schema, feature: FeatureId, now: Time) -> u64 {
        schema.read_code(feature, self.words, now)
    }
}
