//! A plain request in MessagePack.

use super::reader::Reader;
use crate::input::document::InputValue;

/// Reads MessagePack: what is left of it.
pub(super) struct Packed<'n>(pub(super) &'n [u8]);

impl<'n> Packed<'n> {
    #[inline]
    fn take(&mut self, count: usize) -> Option<&'n [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number of so many bytes.
    fn big_endian(&mut self, bytes: usize) -> Option<u64> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The bytes of a text.
    #[inline]
    fn text_bytes(&mut self) -> Option<&'n [u8]> {
        let length = match self.byte()? {
            short @ 0xa0..=0xbf => usize::from(short & 0x1f),
            long @ 0xd9..=0xdb => self.big_endian(1 << (long - 0xd9))? as usize,
            _ => return None,
        };
        self.take(length)
    }

    /// A whole number that begins with this byte.
    fn whole(&mut self, marker: u8) -> Option<i64> {
        match marker {
            0..=0x7f => Some(i64::from(marker)),
            0xcc..=0xcf => i64::try_from(self.big_endian(1 << (marker - 0xcc))?).ok(),
            0xd0 => self.array().map(i8::from_be_bytes).map(i64::from),
            0xd1 => self.array().map(i16::from_be_bytes).map(i64::from),
            0xd2 => self.array().map(i32::from_be_bytes).map(i64::from),
            0xd3 => self.array().map(i64::from_be_bytes),
            0xe0..=0xff => Some(i64::from(marker as i8)),
            _ => None,
        }
    }
}

impl<'n> Reader<'n> for Packed<'n> {
    /// How many entries or items are left.
    type Open = u64;

    fn map(&mut self) -> Option<u64> {
        match self.byte()? {
            short @ 0x80..=0x8f => Some(u64::from(short & 0xf)),
            long @ 0xde..=0xdf => self.big_endian(2 << (long - 0xde)),
            _ => None,
        }
    }

    fn list(&mut self) -> Option<u64> {
        match self.byte()? {
            short @ 0x90..=0x9f => Some(u64::from(short & 0xf)),
            long @ 0xdc..=0xdd => self.big_endian(2 << (long - 0xdc)),
            _ => None,
        }
    }

    fn goes_on(&mut self, left: &mut u64) -> Option<bool> {
        let goes_on = *left > 0;
        *left = left.saturating_sub(1);
        Some(goes_on)
    }

    fn key(&mut self) -> Option<&'n [u8]> {
        self.text_bytes()
    }

    fn text(&mut self) -> Option<&'n str> {
        std::str::from_utf8(self.text_bytes()?).ok()
    }

    fn boolean(&mut self) -> Option<bool> {
        match self.byte()? {
            0xc2 => Some(false),
            0xc3 => Some(true),
            _ => None,
        }
    }

    fn unsigned(&mut self) -> Option<u64> {
        let marker = self.byte()?;
        self.whole(marker).and_then(|whole| u64::try_from(whole).ok())
    }

    fn scalar(&mut self) -> Option<InputValue<'n>> {
        match *self.0.first()? {
            0xa0..=0xbf | 0xd9..=0xdb => self.text().map(|text| InputValue::Text(text.into())),
            0xc2 | 0xc3 => self.boolean().map(InputValue::Bool),
            marker => {
                self.byte()?;
                match marker {
                    0xca => self.array().map(|bytes| InputValue::Float(f32::from_be_bytes(bytes).into())),
                    0xcb => self.array().map(|bytes| InputValue::Float(f64::from_be_bytes(bytes))),
                    _ => self.whole(marker).map(InputValue::Int),
                }
            }
        }
    }

    fn is_over(&mut self) -> bool {
        self.0.is_empty()
    }
}
