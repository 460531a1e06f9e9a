//! The lexemes of the language, as its grammar has them: the longest that fits is taken. They are strict,
//! where [tokens](super::tokens) are lenient: those say why a text was refused.

use crate::expression::scan::behind;

/// What a lexeme is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LexemeKind {
    Int,
    UInt,
    Double,
    Text,
    Bytes,
    True,
    False,
    Null,
    Name,
    /// A name in backquotes.
    Quoted,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    And,
    Or,
    Not,
    Plus,
    Minus,
    Times,
    Divide,
    Modulo,
    Question,
    Colon,
    Comma,
    Dot,
    OpenParen,
    CloseParen,
    OpenList,
    CloseList,
    OpenMap,
    CloseMap,
    /// Behind the last one.
    End,
}

/// A lexeme with its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lexeme {
    pub(super) kind: LexemeKind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// All lexemes of a text, and the end; `None` if it has something that is none.
pub(super) fn lex(text: &str) -> Option<Vec<Lexeme>> {
    let bytes = text.as_bytes();
    let mut lexemes = Vec::with_capacity(text.len() / 3 + 1);
    let mut start = 0;
    while let Some(first) = bytes.get(start) {
        let (kind, end) = match first {
            b' ' | b'\t' | b'\r' | b'\n' | 0x0c => {
                start += 1;
                continue;
            }
            b'/' if bytes.get(start + 1) == Some(&b'/') => {
                start = behind(text, start).ok()?;
                continue;
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => word(text, start)?,
            b'0'..=b'9' => number(bytes, start),
            b'.' if bytes.get(start + 1).is_some_and(u8::is_ascii_digit) => number(bytes, start),
            b'\'' | b'"' => (LexemeKind::Text, behind(text, start).ok()?),
            b'`' => (LexemeKind::Quoted, behind(text, start).ok()?),
            _ => sign(bytes, start)?,
        };
        lexemes.push(Lexeme { kind, start, end });
        start = end;
    }
    lexemes.push(Lexeme { kind: LexemeKind::End, start, end: start });
    Some(lexemes)
}

/// A name, a word of the language, or a text with letters before its quote.
fn word(text: &str, start: usize) -> Option<(LexemeKind, usize)> {
    let end = start + run(&text.as_bytes()[start..], |byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    if matches!(text.as_bytes().get(end), Some(b'\'' | b'"')) {
        match &text[start..end] {
            "r" | "R" => return Some((LexemeKind::Text, behind(text, end).ok()?)),
            "b" | "B" | "br" | "bR" | "Br" | "BR" => {
                return Some((LexemeKind::Bytes, behind(text, end).ok()?));
            }
            _ => {}
        }
    }
    let kind = match &text[start..end] {
        "in" => LexemeKind::In,
        "true" => LexemeKind::True,
        "false" => LexemeKind::False,
        "null" => LexemeKind::Null,
        _ => LexemeKind::Name,
    };
    Some((kind, end))
}

/// The longest number that begins here, without a sign.
fn number(bytes: &[u8], start: usize) -> (LexemeKind, usize) {
    let digits = |at: usize| run(bytes.get(at..).unwrap_or_default(), u8::is_ascii_digit);
    let is = |at: usize, either: [u8; 2]| bytes.get(at).is_some_and(|byte| either.contains(byte));
    let hex = match bytes[start..] {
        [b'0', b'x', ..] => run(&bytes[start + 2..], u8::is_ascii_hexdigit),
        _ => 0,
    };
    if hex > 0 {
        let end = start + 2 + hex;
        return if is(end, *b"uU") { (LexemeKind::UInt, end + 1) } else { (LexemeKind::Int, end) };
    }
    let whole = start + digits(start);
    let mut end = whole;
    if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if is(end, *b"eE") {
        let exponent = end + 1 + usize::from(is(end + 1, *b"+-"));
        if digits(exponent) > 0 {
            end = exponent + digits(exponent);
        }
    }
    match end > whole {
        true => (LexemeKind::Double, end),
        false if is(end, *b"uU") => (LexemeKind::UInt, end + 1),
        false => (LexemeKind::Int, end),
    }
}

/// An operator or a bracket.
fn sign(bytes: &[u8], start: usize) -> Option<(LexemeKind, usize)> {
    let (kind, length) = match (bytes[start], bytes.get(start + 1)) {
        (b'=', Some(b'=')) => (LexemeKind::Equal, 2),
        (b'!', Some(b'=')) => (LexemeKind::NotEqual, 2),
        (b'<', Some(b'=')) => (LexemeKind::LessOrEqual, 2),
        (b'>', Some(b'=')) => (LexemeKind::GreaterOrEqual, 2),
        (b'&', Some(b'&')) => (LexemeKind::And, 2),
        (b'|', Some(b'|')) => (LexemeKind::Or, 2),
        (b'<', _) => (LexemeKind::Less, 1),
        (b'>', _) => (LexemeKind::Greater, 1),
        (b'!', _) => (LexemeKind::Not, 1),
        (b'+', _) => (LexemeKind::Plus, 1),
        (b'-', _) => (LexemeKind::Minus, 1),
        (b'*', _) => (LexemeKind::Times, 1),
        (b'/', _) => (LexemeKind::Divide, 1),
        (b'%', _) => (LexemeKind::Modulo, 1),
        (b'?', _) => (LexemeKind::Question, 1),
        (b':', _) => (LexemeKind::Colon, 1),
        (b',', _) => (LexemeKind::Comma, 1),
        (b'.', _) => (LexemeKind::Dot, 1),
        (b'(', _) => (LexemeKind::OpenParen, 1),
        (b')', _) => (LexemeKind::CloseParen, 1),
        (b'[', _) => (LexemeKind::OpenList, 1),
        (b']', _) => (LexemeKind::CloseList, 1),
        (b'{', _) => (LexemeKind::OpenMap, 1),
        (b'}', _) => (LexemeKind::CloseMap, 1),
        _ => return None,
    };
    Some((kind, start + length))
}

/// How many bytes fit, from the first on.
fn run(bytes: &[u8], fits: impl Fn(&u8) -> bool) -> usize {
    bytes.iter().position(|byte| !fits(byte)).unwrap_or(bytes.len())
}
