//! An expression as it was written, and where its values lie. Only a text that the parser refused is read
//! like this.

use super::tokens::{Token, TokenKind, tokens};

/// The text, its tokens, and how their brackets match.
pub(super) struct Written<'t> {
    pub(super) text: &'t str,
    pub(super) tokens: Vec<Token<'t>>,
    /// For each bracket the one that closes or opens it, of whatever shape the two are.
    partners: Vec<Option<usize>>,
    /// For each token the innermost bracket around it that is no `${`.
    around: Vec<Option<usize>>,
}

impl<'t> Written<'t> {
    pub(super) fn new(text: &'t str) -> Written<'t> {
        let tokens = tokens(text);
        let (mut partners, mut around) = (vec![None; tokens.len()], vec![None; tokens.len()]);
        let mut open: Vec<usize> = Vec::new();
        for (i, token) in tokens.iter().enumerate() {
            if matches!(token.text, ")" | "]" | "}")
                && let Some(opened) = open.pop()
            {
                (partners[opened], partners[i]) = (Some(i), Some(opened));
            }
            let innermost = open.last().copied();
            around[i] = innermost.and_then(|at| if tokens[at].text == "${" { around[at] } else { Some(at) });
            if matches!(token.text, "(" | "[" | "{" | "${") {
                open.push(i);
            }
        }
        Written { text, tokens, partners, around }
    }

    pub(super) fn is(&self, i: Option<usize>, text: &str) -> bool {
        i.and_then(|i| self.tokens.get(i)).is_some_and(|token| token.text.eq_ignore_ascii_case(text))
    }

    pub(super) fn is_after_value(&self, i: usize) -> bool {
        let before = i.checked_sub(1).and_then(|before| self.tokens.get(before));
        before.is_some_and(Token::ends_value)
    }

    /// The bracket that closes or opens the one at token `i`.
    pub(super) fn partner(&self, i: usize) -> Option<usize> {
        self.partners.get(i).copied().flatten()
    }

    /// The bracket around token `i` that may hold several values: a list, a map, the arguments of a function.
    pub(super) fn inside(&self, i: usize) -> Option<usize> {
        let around = self.around.get(i).copied().flatten()?;
        let name = around.checked_sub(1).and_then(|before| self.tokens.get(before));
        let call = name.is_some_and(|name| name.kind == TokenKind::Word && name.text != "in");
        (self.tokens[around].text != "(" || call).then_some(around)
    }

    /// The value that ends before token `i`, as it is written.
    pub(super) fn before(&self, i: usize) -> &'t str {
        let mut first = i.saturating_sub(1);
        loop {
            if matches!(self.tokens[first].text, ")" | "]") {
                first = self.partner(first).unwrap_or(first);
            }
            let before = first.checked_sub(1).map(|before| &self.tokens[before]);
            let called = matches!(self.tokens[first].text, "(" | "[");
            match before {
                Some(name) if called && name.kind == TokenKind::Word && name.text != "in" => first -= 1,
                Some(dot) if dot.text == "." && first >= 2 => first -= 2,
                _ => break,
            }
        }
        let end = if i == 0 { 0 } else { self.tokens[i - 1].end };
        self.text.get(self.tokens[first].start..end).unwrap_or("x")
    }

    /// The value that begins after token `i`, as it is written.
    pub(super) fn after(&self, i: usize) -> &'t str {
        let Some(first) = self.tokens.get(i + 1) else { return "…" };
        let mut last = i + 1;
        if matches!(first.text, "!" | "-") && last + 1 < self.tokens.len() {
            last += 1;
        }
        if matches!(self.tokens[last].text, "(" | "[") {
            last = self.partner(last).unwrap_or(last);
        }
        while let Some(next) = self.tokens.get(last + 1) {
            match next.text {
                "." if last + 2 < self.tokens.len() => last += 2,
                "(" | "[" if next.follows(&self.tokens[last]) => {
                    let Some(close) = self.partner(last + 1) else { break };
                    last = close;
                }
                _ => break,
            }
        }
        self.text.get(first.start..self.tokens[last].end).unwrap_or("…")
    }

    /// All that follows token `i` up to the next operator that joins conditions, or the end of its bracket.
    pub(super) fn clause(&self, i: usize) -> &'t str {
        let (mut at, mut last) = (i + 1, i);
        while let Some(token) = self.tokens.get(at) {
            let joins = matches!(token.text, "&&" | "||" | "," | "?" | ":" | ")" | "]" | "&" | "|");
            if joins || (at > i + 1 && ["and", "or"].iter().any(|word| token.text.eq_ignore_ascii_case(word)))
            {
                break;
            }
            last = if matches!(token.text, "(" | "[") { self.partner(at).unwrap_or(at) } else { at };
            at = last + 1;
        }
        let start = self.tokens.get(i + 1).map_or(0, |token| token.start);
        self.text.get(start..self.tokens[last].end).unwrap_or("…")
    }

    /// What the comparison before token `i` is about.
    pub(super) fn subject(&self, i: usize) -> &'t str {
        let compared = (0..i).rev().find(|at| self.tokens[*at].compares());
        compared.map_or("x", |at| self.before(at))
    }
}
