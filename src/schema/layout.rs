//! Where features lie in a row of 64-bit words, after the row's header. A field never crosses a word, so
//! reading one is a shift and a mask; cells are whole words. Code 0 is *missing* for every kind. So a new row
//! of zeroes reads as missing, and so does a row that is too short for a feature.

use jiff::tz::TimeZone;

use super::value::{Time, Value};
use super::{Cells, Feature, FeatureId, HEADER_WORDS, Kind, MAX_ROW_WORDS, Schema};
use crate::input::problem::Problem;

/// Where a feature lies in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowPlace {
    /// Some bits of a word: a stored feature.
    Field(Field),
    /// Whole words: a feature computed from events.
    Cells(Cells),
}

/// Some neighbouring bits of one word of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    word: u16,
    shift: u8,
    bits: u8,
}

impl Field {
    /// The code stored here; 0, which is missing, if the row is too short.
    #[inline]
    pub fn read(self, row: &[u64]) -> u64 {
        match row.get(usize::from(self.word)) {
            Some(word) => (word >> self.shift) & self.mask(),
            None => 0,
        }
    }

    /// Stores `code`. The row must have the schema's length, and the code must fit the bits.
    #[inline]
    pub fn write(self, row: &mut [u64], code: u64) {
        debug_assert!(code <= self.mask(), "code {code} needs more than {} bits", self.bits);
        let word = &mut row[usize::from(self.word)];
        *word = (*word & !(self.mask() << self.shift)) | ((code & self.mask()) << self.shift);
    }

    /// How many bits it has, 1 to 64.
    pub fn bits(self) -> u32 {
        u32::from(self.bits)
    }

    /// Its word, its lowest bit and how many bits it has, for [`Field::at`].
    pub fn place(self) -> (u16, u8, u8) {
        (self.word, self.shift, self.bits)
    }

    /// The field at this place; `None` if no row has such bits, or if they cross a word.
    pub fn at((word, shift, bits): (u16, u8, u8)) -> Option<Field> {
        let within = usize::from(word) < MAX_ROW_WORDS && u32::from(shift) + u32::from(bits) <= 64;
        (within && bits > 0).then_some(Field { word, shift, bits })
    }

    fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }
}

impl Feature {
    /// Where it lies; `None` before its schema is laid out.
    pub fn place(&self) -> Option<RowPlace> {
        self.field.map(RowPlace::Field).or(self.cells.map(RowPlace::Cells))
    }

    /// Its value in this row at this time.
    #[inline]
    pub(super) fn read(&self, row: &[u64], now: Time, zone: &TimeZone) -> Value<'_> {
        match self.field {
            Some(field) => self.kind.decode(field.read(row)),
            None => self.read_cells(row, now, zone),
        }
    }

    #[inline(never)]
    fn read_cells(&self, row: &[u64], now: Time, zone: &TimeZone) -> Value<'_> {
        match (&self.kind, self.cells) {
            (Kind::Computed(computed), Some(cells)) => computed.read(cells, row, now, zone),
            _ => Value::Missing,
        }
    }

    /// The code of its value; 0 if it has no value, or a value without a code.
    pub(super) fn read_code(&self, row: &[u64], now: Time) -> u64 {
        match (&self.kind, self.field, self.cells) {
            (_, Some(field), _) => field.read(row),
            (Kind::Computed(computed), _, Some(cells)) => computed.read_code(cells, row, now),
            _ => 0,
        }
    }

    /// How much room it needs in a row: bits, or whole words. Kinds that are not stored need none.
    fn needs(&self) -> Needs {
        match (&self.kind, self.kind.bits()) {
            (Kind::Computed(computed), _) => Needs::Words(computed.words()),
            (_, Some(bits)) => Needs::Bits(bits),
            _ => Needs::Nothing,
        }
    }
}

/// How much room a feature needs in a row.
enum Needs {
    Bits(u32),
    Words(usize),
    Nothing,
}

impl Schema {
    /// Gives every feature without a place one, in the order of declaration: a field gets the first that
    /// fits, cells get words at the end. Places that are given stay, and later features never move earlier
    /// ones. That is why a schema can grow over existing rows.
    pub(super) fn lay_out(&mut self) -> Result<(), Problem> {
        let mut used: Vec<u32> = vec![64; HEADER_WORDS]; // bits taken in each word, from the lowest
        for place in self.features.iter().filter_map(Feature::place) {
            let (words, bits) = match place {
                RowPlace::Field(field) => {
                    let word = usize::from(field.word);
                    (word..word + 1, u32::from(field.shift) + field.bits())
                }
                RowPlace::Cells(cells) => (cells.range(), 64),
            };
            used.resize(used.len().max(words.end), 0);
            words.for_each(|word| used[word] = used[word].max(bits));
        }
        for feature in self.features.iter_mut().filter(|feature| feature.place().is_none()) {
            let (word, words) = match feature.needs() {
                Needs::Bits(bits) => (used.iter().position(|taken| taken + bits <= 64), 1),
                Needs::Words(words) => (None, words),
                Needs::Nothing => continue,
            };
            let word = word.unwrap_or(used.len());
            if word + words > MAX_ROW_WORDS {
                return Err(Problem::new(format!(
                    "`{}` does not fit: a row has at most {MAX_ROW_WORDS} words of 8 bytes",
                    feature.name
                )));
            }
            used.resize(used.len().max(word + words), 0);
            match feature.needs() {
                Needs::Bits(bits) => {
                    feature.field =
                        Some(Field { word: word as u16, shift: used[word] as u8, bits: bits as u8 });
                    used[word] += bits;
                }
                _ => {
                    feature.cells = Cells::at((word as u16, words as u16));
                    used[word..].fill(64);
                }
            }
        }
        self.row_words = used.len();
        self.number();
        Ok(())
    }

    /// Keeps the places that the features have already, and checks them. [`lay_out`](Schema::lay_out) would
    /// choose others.
    pub(super) fn laid_out(&mut self) -> Result<(), Problem> {
        let mut used: Vec<u64> = vec![u64::MAX; HEADER_WORDS];
        for feature in &self.features {
            let (words, mask) = match (feature.needs(), feature.place()) {
                (Needs::Nothing, None) => continue,
                (Needs::Bits(bits), Some(RowPlace::Field(field))) if field.bits() >= bits => {
                    let word = usize::from(field.word);
                    (word..word + 1, field.mask() << field.shift)
                }
                (Needs::Words(words), Some(RowPlace::Cells(cells))) if cells.range().len() == words => {
                    (cells.range(), u64::MAX)
                }
                (needs, place) => return Err(feature.misplaced(&needs, place)),
            };
            used.resize(used.len().max(words.end), 0);
            if words.clone().any(|word| used[word] & mask != 0) {
                let why = "its bits belong to another feature or to the row's header";
                return Err(Problem::new(format!("feature `{}`: {why}", feature.name)));
            }
            words.for_each(|word| used[word] |= mask);
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

impl Feature {
    fn misplaced(&self, needs: &Needs, place: Option<RowPlace>) -> Problem {
        let why = match (needs, place) {
            (_, None) => "it has no place in a row",
            (Needs::Bits(_), Some(RowPlace::Field(_))) => "it has too few bits for its values",
            (Needs::Words(_), Some(RowPlace::Cells(_))) => {
                "it does not have the number of words that it needs"
            }
            (Needs::Words(_), _) => "it is computed from events and needs whole words",
            _ => "its place does not fit its kind",
        };
        Problem::new(format!("feature `{}`: {why}", self.name))
    }
}
