//! Where features lie in a row of 64-bit words. A field never crosses a word, so reading one is a shift and a mask.
//! Code 0 is *missing* for every kind: a fresh row of zeroes, or a row too short for a feature, reads as missing.

use super::{Feature, FeatureId, HEADER_WORDS, MAX_ROW_WORDS, Schema};
use crate::problem::Problem;

/// A stretch of bits in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    word: u16,
    shift: u8,
    bits: u8,
}

impl Field {
    /// The code stored here; 0, missing, where the row is too short.
    #[inline]
    pub fn read(self, row: &[u64]) -> u64 {
        match row.get(usize::from(self.word)) {
            Some(word) => (word >> self.shift) & self.mask(),
            None => 0,
        }
    }

    /// Stores `code`. The row must have the schema's length.
    #[inline]
    pub fn write(self, row: &mut [u64], code: u64) {
        debug_assert!(code <= self.mask(), "code {code} needs more than {} bits", self.bits);
        let word = &mut row[usize::from(self.word)];
        *word = (*word & !(self.mask() << self.shift)) | ((code & self.mask()) << self.shift);
    }

    /// How many bits it has.
    pub fn bits(self) -> u32 {
        u32::from(self.bits)
    }

    /// Where it is: word, shift and bits, as [`Field::at`] takes them.
    pub fn place(self) -> (u16, u8, u8) {
        (self.word, self.shift, self.bits)
    }

    /// The field at this place; `None` if no row has such bits or they cross a word.
    pub fn at((word, shift, bits): (u16, u8, u8)) -> Option<Field> {
        let within = usize::from(word) < MAX_ROW_WORDS && u32::from(shift) + u32::from(bits) <= 64;
        (within && bits > 0).then_some(Field { word, shift, bits })
    }

    fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }
}

impl Schema {
    /// Gives a field to every stored feature that has none, first fit in order of declaration. Fields already given
    /// stay, and those of later features never move earlier ones: that is what lets a schema grow over existing rows.
    pub(super) fn lay_out(&mut self) -> Result<(), Problem> {
        let mut used: Vec<u32> = vec![64; HEADER_WORDS]; // bits taken in each word, from the lowest
        for feature in &self.features {
            if let Some(field) = feature.field {
                let word = usize::from(field.word);
                used.resize(used.len().max(word + 1), 0);
                used[word] = used[word].max(u32::from(field.shift) + field.bits());
            }
        }
        for feature in &mut self.features {
            let Some(bits) = feature.kind.bits().filter(|_| feature.field.is_none()) else { continue };
            let word = used.iter().position(|taken| taken + bits <= 64).unwrap_or_else(|| {
                used.push(0);
                used.len() - 1
            });
            if word >= MAX_ROW_WORDS {
                return Err(Problem::new(format!(
                    "a row has at most {MAX_ROW_WORDS} words of 8 bytes, `{}` does not fit any more",
                    feature.name
                )));
            }
            feature.field = Some(Field { word: word as u16, shift: used[word] as u8, bits: bits as u8 });
            used[word] += bits;
        }
        self.row_words = used.len();
        self.number();
        Ok(())
    }

    /// Takes over the fields that the features have, in place of those that [`lay_out`](Schema::lay_out) would give.
    pub(super) fn laid_out(&mut self) -> Result<(), Problem> {
        let mut used: Vec<u64> = vec![u64::MAX; HEADER_WORDS];
        for feature in &self.features {
            let why = match (feature.kind.bits(), feature.field) {
                (None, None) => continue,
                (Some(bits), Some(field)) if field.bits() >= bits => {
                    let word = usize::from(field.word);
                    used.resize(used.len().max(word + 1), 0);
                    let mask = field.mask() << field.shift;
                    if used[word] & mask == 0 {
                        used[word] |= mask;
                        continue;
                    }
                    "its bits are those of another feature"
                }
                (Some(_), Some(_)) => "its bits are too few for its values",
                (Some(_), None) => "it has no place in a row",
                (None, Some(_)) => "it is computed and has no place in a row",
            };
            return Err(Problem::new(format!("feature `{}`: {why}", feature.name)));
        }
        self.row_words = used.len();
        self.number();
        Ok(())
    }

    fn number(&mut self) {
        let names = self
            .features
            .iter()
            .enumerate()
            .map(|(i, f): (usize, &Feature)| (f.name.clone(), FeatureId(i as u16)));
        self.feature_ids = names.collect();
    }
}
