//! What can be known about an expression's text before it is parsed: where texts and comments lie, whether
//! quotes and brackets close, and how deep it nests. The parser's own tree is as deep as the text, so a text
//! that is too deep must not reach it. A text whose end is not where it seems to be could hide how deep the
//! rest is.

use super::{MAX_BRACKETS, MAX_DEPTH};

/// Why an expression is refused before it is parsed, and the bytes that are to blame.
#[derive(Debug, PartialEq)]
pub(super) struct Flaw {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) why: &'static str,
}

/// The bytes of an expression that are not inside a text, a comment or a quoted name, each with its place.
pub(super) fn outside_texts(text: &str) -> impl Iterator<Item = (usize, u8)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let byte = *text.as_bytes().get(at)?;
            let after = behind(text, at).unwrap_or(text.len());
            if after == at {
                at += 1;
                return Some((at - 1, byte));
            }
            at = after;
        }
    })
}

/// The byte at which the first comment begins.
pub(super) fn comment(text: &str) -> Option<usize> {
    let mut at = 0;
    while at < text.len() {
        if text.as_bytes()[at..].starts_with(b"//") {
            return Some(at);
        }
        at = behind(text, at).ok()?.max(at + 1);
    }
    None
}

/// Whether every text, comment and quoted name in it ends where it seems to.
pub(super) fn readable(text: &str) -> Result<(), Flaw> {
    let mut at = 0;
    while at < text.len() {
        at = behind(text, at)?.max(at + 1);
    }
    Ok(())
}

/// The byte where operators first nest too deep. It counts an upper bound. A chain such as `1+1+1` or
/// `a[0][0]` nests one level for each operator. What stands in brackets adds to the chain around it. `&&`,
/// `||` and `,` begin a new chain.
pub(super) fn too_deep(text: &str) -> Option<usize> {
    let mut open: Vec<(usize, usize)> = Vec::new(); // per bracket: chain before it, longest chain in it
    let (mut chain, mut longest) = (0_usize, 0_usize);
    for (at, byte) in outside_texts(text) {
        match byte {
            b'(' | b'[' | b'{' => {
                open.push((chain, longest));
                longest = chain;
            }
            b')' | b']' | b'}' => {
                let (_, before) = open.pop().unwrap_or((0, 0));
                chain = longest + usize::from(byte == b']');
                longest = longest.max(before);
            }
            b'&' | b'|' | b',' => chain = open.last().map_or(0, |(before, _)| *before),
            b'!' | b'-' | b'+' | b'*' | b'/' | b'%' | b'<' | b'>' | b'=' | b'?' | b':' | b'.' => chain += 1,
            b'i' if is_in(text, at) => chain += 1,
            _ => {}
        }
        longest = longest.max(chain);
        if open.len() > MAX_BRACKETS || chain > MAX_DEPTH {
            return Some(at);
        }
    }
    None
}

/// Whether the operator `in` stands at byte `at`.
fn is_in(text: &str, at: usize) -> bool {
    let word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let bytes = text.as_bytes();
    bytes.get(at + 1) == Some(&b'n') && !word(bytes.get(at + 2)) && !(at > 0 && word(bytes.get(at - 1)))
}

/// The end of the text, comment or quoted name that begins at `at`; `at` itself if none begins there.
pub(super) fn behind(text: &str, at: usize) -> Result<usize, Flaw> {
    let rest = &text.as_bytes()[at..];
    match rest[0] {
        b'/' if rest.get(1) == Some(&b'/') => {
            Ok(rest.iter().position(|byte| *byte == b'\n').map_or(text.len(), |end| at + end))
        }
        b'`' => {
            let named = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-/ ".contains(byte);
            let length = rest[1..].iter().take_while(|byte| named(byte)).count();
            match rest.get(length + 1) {
                Some(b'`') if length > 0 => Ok(at + length + 2),
                _ => Err(Flaw {
                    start: at,
                    end: at + 1,
                    why: "this quoted name has no closing quote; it may have letters, digits, `_.-/` and blanks",
                }),
            }
        }
        quote @ (b'\'' | b'"') => behind_text(text, at, quote),
        _ => Ok(at),
    }
}

/// The end of the text with its opening quote at `at`.
fn behind_text(text: &str, at: usize, quote: u8) -> Result<usize, Flaw> {
    let bytes = text.as_bytes();
    let raw = match word_before(text, at) {
        "" | "in" | "b" | "B" => false,
        "r" | "R" | "br" | "bR" | "Br" | "BR" => true,
        _ => return Err(Flaw { start: at, end: at + 1, why: "an operator was expected before this text" }),
    };
    let three = bytes[at..].starts_with(&[quote; 3]);
    let closing: &[u8] = if three { &[quote; 3] } else { &[quote] };
    let mut inside = at + closing.len();
    while inside < bytes.len() {
        if bytes[inside..].starts_with(closing) {
            return Ok(inside + closing.len());
        }
        inside += match bytes[inside] {
            b'\n' | b'\r' if !three => break,
            b'\\' if !raw => escape(&bytes[inside..]).ok_or(Flaw {
                start: inside,
                end: (inside + 2).min(bytes.len()),
                why: "there is no such escape; a backslash itself is written `\\\\`",
            })?,
            _ => 1,
        };
    }
    let end = bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |line| at + line);
    Err(Flaw { start: at, end, why: "this text has no closing quote" })
}

/// The letters and digits directly before `at`.
fn word_before(text: &str, at: usize) -> &str {
    let before = &text[..at];
    let start = before.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    &before[start.map_or(0, |at| at + before[at..].chars().next().map_or(0, char::len_utf8))..]
}

/// The length of the escape at the beginning of `rest`; `None` if there is no such escape.
fn escape(rest: &[u8]) -> Option<usize> {
    let digits = |from: usize, count: usize, fits: fn(&u8) -> bool| {
        let digits = rest.get(from..from + count)?;
        digits.iter().all(fits).then_some(from + count)
    };
    match rest.get(1)? {
        b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'"' | b'\'' | b'\\' | b'?' | b'`' => Some(2),
        b'x' | b'X' => digits(2, 2, u8::is_ascii_hexdigit),
        b'u' => digits(2, 4, u8::is_ascii_hexdigit),
        b'U' => digits(2, 8, u8::is_ascii_hexdigit),
        b'0'..=b'3' => digits(2, 2, |byte| (b'0'..=b'7').contains(byte)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_end_where_the_lexer_ends_them() {
        for (text, outside) in [
            ("a + 'b(' + c", "a +  + c"),
            (r"r'\' + b", "r + b"),
            (r"'\'' + b", " + b"),
            ("\"\"\"a\" ' \"\"\" + b", " + b"),
            ("a // don't ( \n + b", "a \n + b"),
            ("x in'abc'", "x in"),
            ("m.`a-b` + 1", "m. + 1"),
        ] {
            let found: Vec<u8> = outside_texts(text).map(|(_, byte)| byte).collect();
            assert_eq!(String::from_utf8(found).unwrap(), outside, "{text}");
        }
    }

    #[test]
    fn a_text_that_could_hide_something_is_refused() {
        let hidden = "+1".repeat(2_000);
        for text in [
            format!("1r'\\'{hidden}"),
            format!("'\\q' + '{hidden}'"),
            format!("'\n{hidden}"),
            format!("`a'`{hidden}"),
            format!("'\\u12' + '{hidden}'"),
        ] {
            assert!(readable(&text).is_err(), "{}", &text[..12]);
        }
        let comment = format!("1 //'\n{hidden}");
        assert!(readable(&comment).is_ok() && too_deep(&comment).is_some());
        assert!(too_deep(&format!("a{}", "[0]".repeat(300))).is_some());
        assert!(too_deep(&format!("a{}", " in a".repeat(300))).is_some());
    }
}
