//! A plain request in JSON.

use super::reader::Reader;
use crate::input::document::InputValue;

/// Reads JSON.
pub(super) struct Json<'n> {
    text: &'n str,
    at: usize,
}

/// A map or list that is being read.
pub(super) struct Inside {
    closing: u8,
    is_first: bool,
}

/// Whether a byte ends a text or needs an escape.
static IS_SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    special[b'"' as usize] = true;
    special[b'\\' as usize] = true;
    let mut control = 0;
    while control < 0x20 {
        special[control] = true;
        control += 1;
    }
    special
};

impl<'n> Json<'n> {
    /// `None` if the bytes are no text.
    pub(super) fn new(bytes: &'n [u8]) -> Option<Json<'n>> {
        std::str::from_utf8(bytes).ok().map(|text| Json { text, at: 0 })
    }

    /// The next byte that is not white space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Option<()> {
        let is_there = self.peek()? == byte;
        self.at += 1;
        is_there.then_some(())
    }

    fn open(&mut self, opening: u8, closing: u8) -> Option<Inside> {
        self.expect(opening)?;
        Some(Inside { closing, is_first: true })
    }

    /// Where a text without escapes begins and ends.
    #[inline]
    fn text_between(&mut self) -> Option<(usize, usize)> {
        self.expect(b'"')?;
        let bytes = self.text.as_bytes();
        let (from, mut end) = (self.at, self.at);
        while !IS_SPECIAL[usize::from(*bytes.get(end)?)] {
            end += 1;
        }
        self.at = end + 1;
        (bytes[end] == b'"').then_some((from, end))
    }

    /// A number, as it stands there.
    fn number(&mut self) -> Option<&'n str> {
        self.peek()?;
        let rest = &self.text[self.at..];
        let is_of_number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
        let number = &rest[..rest.find(|c| !is_of_number(c)).unwrap_or(rest.len())];
        self.at += number.len();
        Some(number)
    }
}

/// Whether a number is whole, and written as JSON wants it. A zero with a sign is a fraction.
fn is_whole(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    let is_sound = !digits.starts_with('0') || number == "0";
    is_sound && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

impl<'n> Reader<'n> for Json<'n> {
    type Open = Inside;

    fn map(&mut self) -> Option<Inside> {
        self.open(b'{', b'}')
    }

    fn list(&mut self) -> Option<Inside> {
        self.open(b'[', b']')
    }

    fn goes_on(&mut self, inside: &mut Inside) -> Option<bool> {
        let byte = self.peek()?;
        if byte == inside.closing {
            self.at += 1;
            return Some(false);
        }
        if !std::mem::take(&mut inside.is_first) {
            self.at += 1;
            return (byte == b',').then_some(true);
        }
        Some(true)
    }

    fn key(&mut self) -> Option<&'n [u8]> {
        let (from, end) = self.text_between()?;
        self.expect(b':')?;
        Some(&self.text.as_bytes()[from..end])
    }

    fn text(&mut self) -> Option<&'n str> {
        let (from, end) = self.text_between()?;
        Some(&self.text[from..end])
    }

    fn boolean(&mut self) -> Option<bool> {
        self.peek()?;
        let rest = &self.text[self.at..];
        let (word, truth) = if rest.starts_with("true") { ("true", true) } else { ("false", false) };
        self.at += word.len();
        rest.starts_with(word).then_some(truth)
    }

    fn unsigned(&mut self) -> Option<u64> {
        let first = self.peek()?;
        let digits = self.text.as_bytes()[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = &self.text[self.at..self.at + digits];
        self.at += digits;
        number.parse().ok().filter(|_| first != b'0' || digits == 1)
    }

    fn scalar(&mut self) -> Option<InputValue<'n>> {
        match self.peek()? {
            b'"' => self.text().map(|text| InputValue::Text(text.into())),
            b't' | b'f' => self.boolean().map(InputValue::Bool),
            _ => {
                let number = self.number()?;
                let whole = number.parse().ok().filter(|_| is_whole(number)).map(InputValue::Int);
                whole.or_else(|| serde_json::from_str(number).ok().map(InputValue::Float))
            }
        }
    }

    fn is_over(&mut self) -> bool {
        self.peek().is_none()
    }
}
