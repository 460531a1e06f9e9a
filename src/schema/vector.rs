//! A customer's feature vector: a row of words, read in place through the schema.

use super::value::{Time, Value};
use super::{FeatureId, Schema};

/// All features of one customer, packed. Where the row is shorter than the schema, features are missing and
/// counts are 0.
#[derive(Debug, Clone, Copy)]
pub struct FeatureVector<'a> {
    words: &'a [u64],
}

impl<'a> FeatureVector<'a> {
    /// The vector in these words of a row, header included.
    pub fn new(words: &'a [u64]) -> FeatureVector<'a> {
        FeatureVector { words }
    }

    /// The vector of a customer about whom nothing is known.
    pub fn unknown() -> FeatureVector<'static> {
        FeatureVector { words: &[] }
    }

    /// The words of the row, header included.
    pub fn words(self) -> &'a [u64] {
        self.words
    }

    /// The feature's value at this time. Computed features fade as time passes.
    #[inline]
    pub fn get<'s>(self, schema: &'s Schema, feature: FeatureId, now: Time) -> Value<'s> {
        schema.read(feature, self.words, now)
    }

    /// The code of that value; 0 if there is none.
    #[inline]
    pub fn code(self, schema: &Schema, feature: FeatureId, now: Time) -> u64 {
        schema.read_code(feature, self.words, now)
    }
}
