//! The tokens of an expression, read leniently: nothing here can fail. They show what is foreign in a text
//! that the parser refused, and whether two texts differ in more than their layout.

use crate::expression::scan::behind;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    Word,
    Number,
    /// A text or a quoted name, with its quotes.
    Text,
    /// An operator, a bracket, or a character that the language does not know.
    Sign,
}

/// A token with its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'t> {
    pub(super) kind: TokenKind,
    pub(super) text: &'t str,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Signs of more than one character, ours and those of other languages; longer ones first.
const SIGNS: [&str; 23] = [
    "===", "!==", "<>", "=>", "=<", "=~", "!~", "==", "!=", "<=", ">=", "&&", "||", ":=", "+=", "-=", "*=",
    "++", "**", "..", "/*", "*/", "${",
];

impl<'t> Token<'t> {
    /// Whether a value may end with it.
    pub(super) fn ends_value(&self) -> bool {
        match self.kind {
            TokenKind::Word => !matches!(self.text, "in"),
            TokenKind::Number | TokenKind::Text => true,
            TokenKind::Sign => matches!(self.text, ")" | "]" | "}"),
        }
    }

    /// Whether a value may begin with it.
    pub(super) fn starts_value(&self) -> bool {
        match self.kind {
            TokenKind::Word => !matches!(self.text, "in"),
            TokenKind::Number | TokenKind::Text => true,
            TokenKind::Sign => matches!(self.text, "(" | "[" | "!" | "-"),
        }
    }

    /// Whether it is a comparison.
    pub(super) fn compares(&self) -> bool {
        matches!(self.text, "==" | "!=" | "<" | "<=" | ">" | ">=" | "=" | "in")
    }

    /// Whether it stands right behind the other, without a blank.
    pub(super) fn follows(&self, other: &Token<'_>) -> bool {
        self.start == other.end
    }
}

/// All tokens of a text. Comments are left out.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let (kind, end) = match behind(text, at) {
            Ok(end) if end > at && c == '/' => {
                at = end;
                continue;
            }
            Ok(end) if end > at => (TokenKind::Text, end),
            _ => one(&text[at..], c, at),
        };
        found.push(Token { kind, text: &text[at..end], start: at, end });
        at = end;
    }
    found
}

/// The kind and the end of the token that is no text, with which `rest` begins.
fn one(rest: &str, first: char, at: usize) -> (TokenKind, usize) {
    let length = |fits: fn(char) -> bool| rest.find(|c| !fits(c)).unwrap_or(rest.len());
    if first.is_ascii_alphabetic() || first == '_' {
        return (TokenKind::Word, at + length(|c| c.is_ascii_alphanumeric() || c == '_'));
    }
    if first.is_ascii_digit() {
        let mut end = length(|c| c.is_ascii_digit());
        let fraction = rest[end..]
            .strip_prefix('.')
            .map_or(0, |digits| digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len()));
        if fraction > 0 {
            end += 1 + fraction;
        }
        return (TokenKind::Number, at + end);
    }
    let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
    (TokenKind::Sign, at + sign.map_or(first.len_utf8(), |sign| sign.len()))
}

/// Whether two expressions are written with the same tokens, however they are laid out and commented.
pub fn reads_the_same(one: &str, other: &str) -> bool {
    let (one, other) = (tokens(one), tokens(other));
    one.len() == other.len() && one.iter().zip(&other).all(|(one, other)| one.text == other.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_and_comments_change_nothing_and_texts_do() {
        for (one, other, same) in [
            ("age>3 && vip", "age > 3\n  && vip // adults", true),
            ("tier == 'a b'", "tier == 'a  b'", false),
            ("a && b", "b && a", false),
            ("x in['a']", "x in [ 'a' ]", true),
        ] {
            assert_eq!(reads_the_same(one, other), same, "{one}, {other}");
        }
    }
}
