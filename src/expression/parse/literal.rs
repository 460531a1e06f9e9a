//! The values of numbers and texts as they are written.

/// A whole number: decimal digits, or hexadecimal ones behind `0x`. `None` if it does not fit.
pub(super) fn int(digits: &str, negative: bool) -> Option<i64> {
    let (digits, radix) = digits.strip_prefix("0x").map_or((digits, 10), |digits| (digits, 16));
    let size = i128::from(u64::from_str_radix(digits, radix).ok()?);
    i64::try_from(if negative { -size } else { size }).ok()
}

/// A number without a sign, with its `u` at the end.
pub(super) fn uint(digits: &str) -> Option<u64> {
    let digits = digits.strip_suffix(['u', 'U'])?;
    let (digits, radix) = digits.strip_prefix("0x").map_or((digits, 10), |digits| (digits, 16));
    u64::from_str_radix(digits, radix).ok()
}

/// The double that is nearest; `None` if it is beyond all doubles.
pub(super) fn double(digits: &str, negative: bool) -> Option<f64> {
    let size: f64 = digits.parse().ok().filter(|size: &f64| size.is_finite())?;
    Some(if negative { -size } else { size })
}

/// A text, with the letter before it, its quotes and its escapes.
pub(super) fn text(written: &str) -> Option<String> {
    let (raw, inner) = inside(written);
    if raw || !inner.contains('\\') {
        return Some(inner.into_owned());
    }
    String::from_utf8(unescaped(&inner, false)?).ok()
}

/// Bytes, written as a text behind a `b`.
pub(super) fn bytes(written: &str) -> Option<Vec<u8>> {
    let (raw, inner) = inside(&written[1..]);
    if raw || !inner.contains('\\') {
        return Some(inner.into_owned().into_bytes());
    }
    unescaped(&inner, true)
}

/// Whether a text is raw, and what stands between its quotes, with all ends of lines as line feeds.
fn inside(written: &str) -> (bool, std::borrow::Cow<'_, str>) {
    let quoted = written.trim_start_matches(['r', 'R']);
    let three = quoted.len() >= 6 && (quoted.starts_with("'''") || quoted.starts_with("\"\"\""));
    let quotes = if three { 3 } else { 1 };
    let inner = &quoted[quotes..quoted.len() - quotes];
    let inner = match inner.contains('\r') {
        true => inner.replace("\r\n", "\n").replace('\r', "\n").into(),
        false => inner.into(),
    };
    (quoted.len() < written.len(), inner)
}

/// A text with its escapes put in. `None` where one stands for no character, or not for a byte.
fn unescaped(inner: &str, to_bytes: bool) -> Option<Vec<u8>> {
    let mut found = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((plain, escape)) = rest.split_once('\\') {
        found.extend_from_slice(plain.as_bytes());
        let kind = *escape.as_bytes().first()?;
        let (digits, radix) = match kind {
            b'x' | b'X' => (1..3, 16),
            b'u' | b'U' if to_bytes => return None,
            b'u' => (1..5, 16),
            b'U' => (1..9, 16),
            b'0'..=b'3' => (0..3, 8),
            _ => {
                found.push(control(kind));
                rest = escape.get(1..)?;
                continue;
            }
        };
        let code = u32::from_str_radix(escape.get(digits.clone())?, radix).ok()?;
        match to_bytes {
            true => found.push(u8::try_from(code).ok()?),
            false => found.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = escape.get(digits.end..)?;
    }
    found.extend_from_slice(rest.as_bytes());
    Some(found)
}

/// The character that an escape of one letter stands for; all others stand for themselves.
fn control(letter: u8) -> u8 {
    match letter {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        other => other,
    }
}
