//! Characters that nobody sees, and characters that look like others. In an id or a name they make a twin of
//! what was meant.

/// The byte-order mark of UTF-8, which spreadsheets and other programs put at the start of a file.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A file's bytes behind its byte-order mark, if it has one.
pub(crate) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// The first character of a text that nobody sees, or that only some programs keep: control and format
/// characters, spaces other than the plain one, fillers and variation selectors.
pub fn invisible(text: &str) -> Option<char> {
    text.chars().find(|c| is_invisible(*c))
}

/// A character's number and name, such as `U+200B zero width space`.
pub fn named(c: char) -> String {
    let name = match c {
        ' ' => "space",
        '\t' => "tab",
        '\n' => "line feed",
        '\r' => "carriage return",
        '\u{a0}' => "no-break space",
        '\u{ad}' => "soft hyphen",
        '\u{34f}' => "combining grapheme joiner",
        '\u{180e}' => "Mongolian vowel separator",
        '\u{200b}' => "zero width space",
        '\u{200c}' => "zero width non-joiner",
        '\u{200d}' => "zero width joiner",
        '\u{200e}' => "left-to-right mark",
        '\u{200f}' => "right-to-left mark",
        '\u{2028}' => "line separator",
        '\u{2029}' => "paragraph separator",
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => "direction of writing",
        '\u{202f}' => "narrow no-break space",
        '\u{2060}' => "word joiner",
        '\u{3000}' => "ideographic space",
        '\u{feff}' => "byte-order mark",
        '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => "variation selector",
        '\u{2000}'..='\u{200a}' | '\u{1680}' | '\u{205f}' => "a space of special width",
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' => "Hangul filler",
        c if c.is_control() => "control character",
        _ => "invisible character",
    };
    format!("U+{:04X} {name}", c as u32)
}

/// Unicode's categories Cc, Cf, Zl, Zp and Zs without the plain space, and those of its code points to be
/// ignored by default that are in none of these.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c as u32,
            0xad | 0x34f | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x890..=0x891 | 0x8e2
            | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f | 0x202a..=0x202e
            | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb
            | 0x110bd | 0x110cd | 0x13430..=0x1343f | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a
            | 0xe0000..=0xe0fff)
}

/// The ASCII character that a look-alike of Chinese and other keyboards was meant to be.
pub fn meant(c: char) -> Option<char> {
    Some(match c {
        '\u{3000}' | '\u{a0}' => ' ',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0)?,
        '、' => ',',
        '。' => '.',
        '“' | '”' | '„' | '«' | '»' => '"',
        '‘' | '’' | '‚' | '′' | '´' => '\'',
        '【' | '「' => '[',
        '】' | '」' => ']',
        '–' | '—' | '−' | '‐' | '‑' => '-',
        '≥' => '>',
        '≤' => '<',
        '≠' => '!',
        '×' => '*',
        '÷' => '/',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_found_and_named() {
        for (text, name) in [
            ("a\u{200b}b", Some("U+200B zero width space")),
            ("\u{feff}c-1", Some("U+FEFF byte-order mark")),
            ("c-1\u{a0}", Some("U+00A0 no-break space")),
            ("c\u{ad}1", Some("U+00AD soft hyphen")),
            ("c\u{3000}1", Some("U+3000 ideographic space")),
            ("c\u{202e}1", Some("U+202E direction of writing")),
            ("c\t1", Some("U+0009 tab")),
            ("c\u{7f}", Some("U+007F control character")),
            ("c\u{85}", Some("U+0085 control character")),
            ("c\u{fe0f}", Some("U+FE0F variation selector")),
            ("c\u{2028}", Some("U+2028 line separator")),
            ("c\u{e0041}", Some("U+E0041 invisible character")),
            ("a b", None),
            ("客户-1", None),
            ("José", None),
            ("Jose\u{301}", None),
        ] {
            assert_eq!(invisible(text).map(named).as_deref(), name, "{text:?}");
        }
    }

    #[test]
    fn look_alikes_are_what_the_latin_key_gives() {
        for (c, expected) in [
            ('：', Some(':')),
            ('（', Some('(')),
            ('＞', Some('>')),
            ('“', Some('"')),
            ('－', Some('-')),
            ('，', Some(',')),
            ('a', None),
            ('稳', None),
        ] {
            assert_eq!(meant(c), expected);
        }
    }
}
