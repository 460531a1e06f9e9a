//! What values a feature, context field, property or attribute may have: how they are read from input, and
//! how they are packed.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::single::widened;
use super::value::{Time, Value};
use super::{Computed, Vocabulary, told};
use crate::input::document::InputValue;
use crate::input::problem::quoted;

/// The most words of an enum's vocabulary: codes take 16 bits, and one is *missing*.
pub(super) const MAX_ENUM_VALUES: usize = 65_534;
/// The most words of a set's vocabulary: one of 64 bits tells an empty set from a missing one.
pub(crate) const MAX_SET_VALUES: usize = 63;

/// The largest magnitude of a scaled decimal. Up to here every whole number has a double of its own, and up
/// to 15 digits so has every decimal number.
pub(super) const MAX_DECIMAL: i64 = 1 << 53;

// The bit patterns of the NaN that stands for a missing float. Floats are stored XORed with it, so that it is
// code 0.
const MISSING_F32: u32 = 0x7fc0_0000;
const MISSING_F64: u64 = 0x7ff8_0000_0000_0000;

/// What values something may have, with their bounds.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `true` or `false`, in 2 bits.
    Bool,
    /// A whole number within bounds.
    Int {
        /// The smallest value that it may have.
        min: i64,
        /// The largest value that it may have.
        max: i64,
    },
    /// A finite number, in single precision unless `double`.
    Float {
        /// Whether it is kept in double precision.
        double: bool,
    },
    /// A number with a fixed count of decimals. It is kept exactly, as a whole number of its smallest units.
    Decimal {
        /// How many decimals it has, 0 to 9.
        scale: u8,
        /// The smallest value that it may have, in its smallest units.
        min: i64,
        /// The largest value that it may have, in its smallest units.
        max: i64,
    },
    /// One word of a closed vocabulary.
    Enum(Arc<Vocabulary>),
    /// Some words of a closed vocabulary.
    Set(Arc<Vocabulary>),
    /// A point in time, in whole seconds from 1970 to 2106.
    Time,
    /// Free text, which features cannot have.
    Text,
    /// Computed from events, and read as the kind of the result.
    Computed(Computed),
}

impl Kind {
    /// Its name in a schema.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Bool => "bool",
            Kind::Int { .. } => "int",
            Kind::Float { .. } => "float",
            Kind::Decimal { .. } => "decimal",
            Kind::Enum(_) => "enum",
            Kind::Set(_) => "set",
            Kind::Time => "time",
            Kind::Text => "string",
            Kind::Computed(computed) => computed.function.name(),
        }
    }

    /// The kind of its values: the result's for a computed feature, otherwise itself.
    pub fn result(&self) -> &Kind {
        if let Kind::Computed(computed) = self { &computed.result } else { self }
    }

    /// How many bits it takes in a row; `None` if it has none of its own.
    pub fn bits(&self) -> Option<u32> {
        let for_codes = |codes: u128| 128 - (codes - 1).leading_zeros();
        match self {
            Kind::Bool => Some(2),
            Kind::Int { min, max } | Kind::Decimal { min, max, .. } => {
                Some(for_codes((i128::from(*max) - i128::from(*min)) as u128 + 2))
            }
            Kind::Float { double } => Some(if *double { 64 } else { 32 }),
            // This leaves room to grow: up to 15, 255 or 65,534 words without moving anything.
            Kind::Enum(words) => Some(match words.words().len() {
                0..=15 => 4,
                16..=255 => 8,
                _ => 16,
            }),
            Kind::Set(words) => Some((words.words().len() as u32 + 1).next_power_of_two().max(8)),
            Kind::Time => Some(32),
            Kind::Text | Kind::Computed(_) => None,
        }
    }

    /// Reads a value of this kind from input; a day is its beginning in the zone. A text in place of a number
    /// or a set is read as a cell, and a number may be whole in any form.
    ///
    /// # Errors
    /// What was expected and what was found.
    pub fn read<'n>(&self, input: &'n InputValue<'_>, zone: &TimeZone) -> Result<Value<'n>, String>
    where
        Self: 'n,
    {
        let wrong = |expected: &str| Err(format!("expected {expected}, found {}", input.describe()));
        match (self, input) {
            (
                Kind::Bool | Kind::Int { .. } | Kind::Float { .. } | Kind::Decimal { .. } | Kind::Set(_),
                InputValue::Text(text),
            ) if !text.trim().is_empty() => self.read_text(text, zone),
            (Kind::Bool, _) => truth_of(input).map_or_else(|| wrong("true or false"), |b| Ok(Value::Bool(b))),
            (Kind::Int { min, max }, _) => match whole_of(input) {
                Some(i) if (*min..=*max).contains(&i) => Ok(Value::Int(i)),
                _ => wrong(&format!("a whole number from {min} to {max}")),
            },
            (Kind::Float { double }, InputValue::Int(_) | InputValue::Float(_)) => {
                let x = if let InputValue::Int(i) = input { *i as f64 } else { float_of(input) };
                let fits = if *double { x.is_finite() } else { (x as f32).is_finite() };
                if fits { Ok(Value::Double(x)) } else { wrong("a finite number of its precision") }
            }
            (Kind::Float { .. }, _) => wrong("a number"),
            (Kind::Decimal { scale, .. }, InputValue::Int(i)) => {
                let scaled = i.checked_mul(10_i64.pow(u32::from(*scale)));
                self.decimal(scaled.ok_or(()), &input.describe())
            }
            (Kind::Decimal { scale, .. }, InputValue::Float(x)) => {
                self.decimal(scaled_double(*x, *scale).ok_or(()), &input.describe())
            }
            (Kind::Decimal { .. }, _) => wrong(&self.expectation()),
            (Kind::Enum(words), InputValue::Text(text)) => words.find(text).map(Value::Text),
            (Kind::Enum(words), InputValue::Int(i)) if words.code(&i.to_string()).is_some() => {
                Ok(Value::Text(i.to_string().into()))
            }
            (Kind::Enum(_), _) => wrong("one of its values, as a text"),
            (Kind::Set(words), InputValue::List(items)) => {
                let texts = items.iter().map(|item| match &item.value {
                    InputValue::Text(text) => Ok(text.as_ref()),
                    other => Err(format!("expected texts in the list, found {}", other.describe())),
                });
                let texts = texts.collect::<Result<Vec<_>, _>>()?;
                set_of(words, texts.into_iter())
            }
            (Kind::Set(_), _) => wrong("a list of texts"),
            (Kind::Time, InputValue::Text(text)) => time_of(text, zone),
            (Kind::Time, InputValue::Int(_) | InputValue::Float(_)) => time_of(&input.describe(), zone),
            (Kind::Time, _) => wrong("a time such as 2026-11-21T10:00:00Z or a day such as 2026-11-21"),
            (Kind::Text, InputValue::Text(text)) => Ok(Value::Text(Cow::Borrowed(text))),
            (Kind::Text, _) => wrong("a text"),
            (Kind::Computed(_), _) => Err("is computed from events and cannot be set".into()),
        }
    }

    /// Reads a value of this kind from the text of a CSV cell; a set's words are separated by `|`, and a day
    /// is its beginning in the zone. Blanks around the value mean nothing.
    ///
    /// # Errors
    /// What was expected, what was found, and what would tell its meaning.
    pub fn read_text<'n>(&self, text: &'n str, zone: &TimeZone) -> Result<Value<'n>, String> {
        let wrong = |expected: &str| {
            Err(format!("expected {expected}, found {}{}", quoted(text), told::advice(text)))
        };
        match self {
            Kind::Bool => told::truth(text).map_or_else(|| wrong("true or false"), |b| Ok(Value::Bool(b))),
            Kind::Int { min, max } => match text.parse().ok().or_else(|| told::scaled(text.trim(), 0)) {
                Some(i) if (*min..=*max).contains(&i) => Ok(Value::Int(i)),
                _ => wrong(&format!("a whole number from {min} to {max}")),
            },
            Kind::Float { double } => match text.trim().parse::<f64>() {
                Ok(x) if x.is_finite() && (*double || (x as f32).is_finite()) => Ok(Value::Double(x)),
                _ => wrong("a number"),
            },
            Kind::Decimal { scale, .. } => {
                let scaled = told::scaled(text.trim(), *scale).ok_or(());
                self.decimal(scaled, &quoted(text)).map_err(|why| why + told::advice(text))
            }
            Kind::Enum(words) => words.find(text).map(Value::Text),
            Kind::Set(_) if !text.is_empty() && text.trim().is_empty() => wrong(SET_CELL),
            Kind::Set(words) => {
                let found = text.split('|').map(str::trim).filter(|word| !word.is_empty());
                set_of(words, found).or_else(|why| match told::items(text) {
                    Some(items) => set_of(words, items.into_iter()),
                    None if text.contains([',', ';', '[', '{']) => Err(format!("{why}; expected {SET_CELL}")),
                    None => Err(why),
                })
            }
            Kind::Time => time_of(text, zone),
            Kind::Text => Ok(Value::Text(Cow::Borrowed(text))),
            Kind::Computed(_) => Err("is computed from events and cannot be set".into()),
        }
    }

    /// Whether the text of a cell says that the value is not known, such as `NULL`: if no word is spelt so.
    pub fn clears(&self, text: &str) -> bool {
        let is_word = || matches!(self, Kind::Enum(words) if text != "null" && words.code(text).is_some());
        told::clears(text) && !is_word()
    }

    fn expectation(&self) -> String {
        match self {
            Kind::Decimal { scale, min, max } => format!(
                "a number with at most {scale} decimals from {} to {}",
                unscaled(*min, *scale),
                unscaled(*max, *scale)
            ),
            other => format!("a value of kind {}", other.name()),
        }
    }

    fn decimal<'n>(&self, scaled: Result<i64, ()>, found: &str) -> Result<Value<'n>, String> {
        match (self, scaled) {
            (Kind::Decimal { scale, .. }, Ok(scaled)) if !is_told_apart(scaled, *scale) => Err(format!(
                "expected a number of at most 15 digits, which conditions tell from its neighbours, found {found}"
            )),
            (Kind::Decimal { scale, min, max }, Ok(scaled)) if (*min..=*max).contains(&scaled) => {
                Ok(Value::Double(unscaled(scaled, *scale)))
            }
            _ => Err(format!("expected {}, found {found}", self.expectation())),
        }
    }

    /// The code of a value that was read with this kind, never 0. Any other value has code 0, which is
    /// missing.
    pub fn encode(&self, value: &Value<'_>) -> u64 {
        const MISSING: u64 = 0;
        match (self, value) {
            (Kind::Bool, Value::Bool(b)) => 1 + u64::from(*b),
            (Kind::Int { min, max }, Value::Int(i)) => offset_code(*i, *min, *max),
            (Kind::Decimal { scale, min, max }, Value::Double(x)) => {
                let nearest = || (x * 10_f64.powi(i32::from(*scale))).round() as i64;
                offset_code(scaled_double(*x, *scale).unwrap_or_else(nearest), *min, *max)
            }
            // Code 0 is the one NaN that is never stored.
            (Kind::Float { double: false }, Value::Double(x)) => {
                u64::from((*x as f32).to_bits() ^ MISSING_F32)
            }
            (Kind::Float { double: true }, Value::Double(x)) => x.to_bits() ^ MISSING_F64,
            (Kind::Enum(words), Value::Text(text)) => {
                words.code(text).map_or(MISSING, |code| u64::from(code) + 1)
            }
            (Kind::Set(_), Value::Set(bits, _)) => bits << 1 | 1,
            (Kind::Set(words), Value::List(items)) => {
                let bit = |item: &Value<'_>| match item {
                    Value::Text(word) => words.code(word).map_or(0, |code| 1_u64 << code),
                    _ => 0,
                };
                items.iter().map(bit).fold(0, |all, bit| all | bit) << 1 | 1
            }
            (Kind::Time, Value::Time(time)) => u32::try_from(time.seconds() + 1).map_or(MISSING, u64::from),
            _ => MISSING,
        }
    }

    /// The value of a code; missing for code 0.
    #[inline]
    pub fn decode(&self, code: u64) -> Value<'_> {
        if code == 0 {
            return Value::Missing;
        }
        match self {
            Kind::Bool => Value::Bool(code == 2),
            Kind::Int { min, .. } => Value::Int(min.wrapping_add((code - 1) as i64)),
            Kind::Decimal { scale, min, .. } => {
                Value::Double(unscaled(min.wrapping_add((code - 1) as i64), *scale))
            }
            Kind::Float { double: false } => Value::Double(widened(single_of_code(code))),
            Kind::Float { double: true } => Value::Double(double_of_code(code)),
            Kind::Enum(words) => {
                words.word(code as u32 - 1).map_or(Value::Missing, |word| Value::Text(Cow::Borrowed(word)))
            }
            Kind::Set(words) => Value::Set(code >> 1, words),
            Kind::Time => Value::Time(Time::from_seconds(code as i64 - 1)),
            Kind::Text | Kind::Computed(_) => Value::Missing,
        }
    }

    /// This kind, grown to `newer`, if rows and rules that know this one stay right. `room` is how many bits
    /// its codes are stored in; `None` if they are not stored.
    ///
    /// # Errors
    /// What would change.
    pub(super) fn grown(&self, newer: &Kind, room: Option<u32>) -> Result<Kind, String> {
        let fits = |kind: &Kind| match (room, kind.bits()) {
            (Some(room), Some(bits)) => bits <= room,
            _ => true,
        };
        match (self, newer) {
            (Kind::Int { min, max }, Kind::Int { min: m, max: x })
            | (Kind::Decimal { min, max, .. }, Kind::Decimal { min: m, max: x, .. })
                if self.scale() == newer.scale() =>
            {
                if m != min && room.is_some() {
                    Err("`min` cannot change: stored values count from it".into())
                } else if x < max || m > min {
                    Err("the range may only be widened".into())
                } else if !fits(newer) {
                    Err(TOO_WIDE.into())
                } else {
                    Ok(newer.clone())
                }
            }
            (Kind::Enum(old), Kind::Enum(new)) | (Kind::Set(old), Kind::Set(new)) => {
                if old.ordered != new.ordered && old.words() == new.words() {
                    let change = if new.ordered { "gain an order" } else { "lose their order" };
                    Err(format!(
                        "`ordered` cannot change: its values would {change}, and rule sets compare them"
                    ))
                } else if old.ordered != new.ordered {
                    Err("`ordered` cannot change, and values may only be added at the end".into())
                } else if !old.is_prefix_of(new) {
                    Err("values may only be added at the end".into())
                } else if !fits(newer) {
                    Err(TOO_WIDE.into())
                } else {
                    Ok(newer.clone())
                }
            }
            (Kind::Computed(old), Kind::Computed(new)) => old.grown(new).map(Kind::Computed),
            (old, new) if old == new => Ok(new.clone()),
            (old, new) if old.name() == new.name() => Err("its options cannot change".into()),
            (old, new) => Err(format!("cannot change from {} to {}", old.name(), new.name())),
        }
    }

    fn scale(&self) -> Option<u8> {
        if let Kind::Decimal { scale, .. } = self { Some(*scale) } else { None }
    }
}

/// Why a kind cannot grow although its values could.
pub(super) const TOO_WIDE: &str = "its stored bits have no room for that; declare a new feature";

/// The number that a code of single precision stands for; a NaN for codes that stand for none.
pub(crate) const fn single_of_code(code: u64) -> f32 {
    f32::from_bits(code as u32 ^ MISSING_F32)
}

/// The number that a code of double precision stands for; a NaN for codes that stand for none.
pub(crate) const fn double_of_code(code: u64) -> f64 {
    f64::from_bits(code ^ MISSING_F64)
}

/// How a cell has a set.
const SET_CELL: &str = "words with `|` between them, or `|` alone for none";

/// The truth value of an input, which may be the number 0 or 1.
fn truth_of(input: &InputValue<'_>) -> Option<bool> {
    match input {
        InputValue::Bool(b) => Some(*b),
        _ => match whole_of(input) {
            Some(1) => Some(true),
            Some(0) => Some(false),
            _ => None,
        },
    }
}

/// The whole number of an input such as 30 or 30.0. Beyond 2^53 several whole numbers are the same double, so
/// a double there may not be what was meant.
fn whole_of(input: &InputValue<'_>) -> Option<i64> {
    match input {
        InputValue::Int(i) => Some(*i),
        InputValue::Float(x) if x.fract() == 0.0 && x.abs() < MAX_DECIMAL as f64 => Some(*x as i64),
        _ => None,
    }
}

fn float_of(input: &InputValue<'_>) -> f64 {
    if let InputValue::Float(x) = input { *x } else { f64::NAN }
}

fn offset_code(value: i64, min: i64, max: i64) -> u64 {
    if (min..=max).contains(&value) { (value.wrapping_sub(min) as u64).wrapping_add(1) } else { 0 }
}

/// The scaled integer of a double, if the double is the one nearest to a number with that many decimals.
pub(super) fn scaled_double(x: f64, scale: u8) -> Option<i64> {
    let scaled = (x * 10_f64.powi(i32::from(scale))).round();
    if scaled.abs() > MAX_DECIMAL as f64 {
        return None;
    }
    // Beyond 15 digits the product may be one off.
    let near = scaled as i64;
    [near, near - 1, near + 1].into_iter().find(|scaled| unscaled(*scaled, scale) == x)
}

/// Whether the number's double is not that of the numbers next to it. All numbers of up to 15 digits are.
fn is_told_apart(scaled: i64, scale: u8) -> bool {
    const ALL_ARE: i64 = 1_000_000_000_000_000;
    let x = unscaled(scaled, scale);
    scaled.abs() <= ALL_ARE
        || unscaled(scaled.saturating_sub(1), scale) != x && unscaled(scaled.saturating_add(1), scale) != x
}

/// The number that a scaled integer means.
pub(super) fn unscaled(scaled: i64, scale: u8) -> f64 {
    // To divide rounds once; to multiply by a negative power would round twice.
    scaled as f64 / 10_f64.powi(i32::from(scale))
}

fn set_of<'v, 'n>(
    words: &'v Vocabulary,
    texts: impl Iterator<Item = &'n str>,
) -> Result<Value<'static>, String> {
    let mut found: Vec<Value<'static>> = Vec::new();
    for text in texts {
        let word = Value::Text(words.find(text)?.into_owned().into());
        if !found.contains(&word) {
            found.push(word); // a set has each word once
        }
    }
    Ok(Value::List(found.into()))
}

fn time_of(text: &str, zone: &TimeZone) -> Result<Value<'static>, String> {
    let expected = "expected a time from 1970 to 2106, found";
    match Time::told(text, zone) {
        Ok(time) if (0..i64::from(u32::MAX)).contains(&time.seconds()) => {
            Ok(Value::Time(Time::from_seconds(time.seconds())))
        }
        Ok(_) => Err(format!("{expected} {}", quoted(text))),
        Err(why) => Err(format!("{expected} {}: {why}", quoted(text))),
    }
}
