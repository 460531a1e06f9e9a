//! What people of other languages write in a condition, and what to write here.
//!
//! The parser's own messages name the token at which it gave up, and then every token after it. So once the
//! parser has refused a text, its tokens are looked at here. What is found takes the place of its messages.

use super::tokens::{Token, TokenKind};
use super::written::Written;
use crate::input::invisible::{invisible, meant, named};

/// A part of an expression that cannot stand there: its bytes, and what to write.
pub(super) struct Foreign {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) detail: String,
    pub(super) hint: Option<String>,
    /// The last token that it speaks of.
    last: usize,
}

/// More parts of one expression are not told of: the first few show what is wrong with the others.
const MAX_FOREIGN: usize = 10;

/// The first parts that are not of this language, in order; empty if nothing is recognised.
pub(super) fn foreign(text: &str) -> Vec<Foreign> {
    let reader = Written::new(text);
    let mut found: Vec<Foreign> = Vec::new();
    let mut at = 0;
    while at < reader.tokens.len() && found.len() < MAX_FOREIGN {
        // What stands behind a foreign operator is its value.
        let told = found.last().is_some_and(|foreign| foreign.last + 1 == at);
        match reader.at(at, told) {
            Some(foreign) => {
                at = foreign.last.max(at) + 1;
                found.push(foreign);
            }
            None => at += 1,
        }
    }
    found.extend(reader.brackets().take(MAX_FOREIGN));
    found.sort_by_key(|foreign| foreign.start);
    found.truncate(MAX_FOREIGN);
    found
}

const LIST: &str = "write values in a list:";
const QUOTES: &[char] = &['‘', '’', '‚', '“', '”', '„', '«', '»', '′', '´', '″', '『', '』'];

impl<'t> Written<'t> {
    /// What is foreign at token `i`. `told` says that the token before it was reported.
    fn at(&self, i: usize, told: bool) -> Option<Foreign> {
        let token = self.tokens.get(i)?;
        match token.kind {
            TokenKind::Word | TokenKind::Number | TokenKind::Text if told => None,
            TokenKind::Word if self.is_after_value(i) => self.operator_word(i, token),
            TokenKind::Word => self.leading_word(i, token),
            TokenKind::Sign => self.sign(i, token),
            TokenKind::Text if token.text.starts_with('`') && !self.is(i.checked_sub(1), ".") => {
                let inner = token.text.trim_matches('`');
                Some(self.unexpected(i, format!("write a text in plain quotes: '{inner}'")))
            }
            TokenKind::Number | TokenKind::Text => self.side_by_side(i),
        }
    }

    /// Token `i`, with what to write instead.
    fn unexpected(&self, i: usize, hint: impl Into<String>) -> Foreign {
        self.spanning(i, i, hint)
    }

    /// The tokens from one to another, of which the first is named, with what to write instead.
    fn spanning(&self, first: usize, last: usize, hint: impl Into<String>) -> Foreign {
        let (start, end) = (self.tokens[first].start, self.tokens[last].end);
        let detail = format!("`{}` was not expected here", &self.text[start..end]);
        Foreign { start, end, detail, hint: Some(hint.into()), last }
    }

    /// A word behind a value: an operator of another language, or nothing joins the two.
    fn operator_word(&self, i: usize, token: &Token<'t>) -> Option<Foreign> {
        let word = token.text.to_ascii_lowercase();
        let (left, right) = (self.before(i), self.after(i));
        let both = |sign: &str| format!("write `{left} {sign} {right}`");
        Some(match &*word {
            "in" => return None,
            "and" => self.unexpected(i, "write `&&` for and"),
            "or" => self.unexpected(i, "write `||` for or"),
            "not" if self.is(Some(i + 1), "in") => {
                self.spanning(i, i + 1, format!("write `!({left} in {})`", self.after(i + 1)))
            }
            "is" => self.is_what(i, left),
            "between" => self.between(i, left),
            "like" | "ilike" | "rlike" | "regexp" | "similar" | "matches" | "startswith" | "starts" => {
                let hint = format!("write `{left}.startsWith('a')`, or `{left}.matches('^a')`");
                Foreign { last: i + 1, ..self.unexpected(i, hint) }
            }
            "contains" | "includes" | "has" => {
                let hint =
                    format!("ask a set with `{right} in {left}`, a text with `{left}.contains({right})`");
                Foreign { last: i + 1, ..self.unexpected(i, hint) }
            }
            "exists" => self.unexpected(i, format!("write `{left} != null`")),
            "equals" | "eq" => self.unexpected(i, both("==")),
            "ne" | "neq" => self.unexpected(i, both("!=")),
            "xor" => self.unexpected(i, format!("write `({left}) != ({})`", self.clause(i))),
            "gt" => self.unexpected(i, both(">")),
            "ge" | "gte" => self.unexpected(i, both(">=")),
            "lt" => self.unexpected(i, both("<")),
            "le" | "lte" => self.unexpected(i, both("<=")),
            "mod" => self.unexpected(i, both("%")),
            "div" => self.unexpected(i, both("/")),
            "unless" => self.unexpected(i, format!("write `&& !({})`", self.clause(i))),
            "then" | "else" => self.unexpected(i, "write `condition ? value : other`"),
            "when" | "where" | "if" => {
                self.unexpected(i, "write one condition, whose parts are joined by `&&` or `||`")
            }
            _ => return self.side_by_side(i),
        })
    }

    /// A word where a value begins.
    fn leading_word(&self, i: usize, token: &Token<'t>) -> Option<Foreign> {
        let word = token.text.to_ascii_lowercase();
        let next = self.tokens.get(i + 1)?;
        if !next.starts_value() {
            return None;
        }
        Some(match &*word {
            "not" => {
                let rest = self.clause(i);
                let single = rest == self.after(i);
                let meant = if single { format!("!{rest}") } else { format!("!({rest})") };
                self.unexpected(i, format!("write `!` for not: `{meant}`"))
            }
            "and" | "or" if next.text != "(" => {
                self.unexpected(i, "leave it out: there is nothing before it that it could join")
            }
            "if" => {
                let until = self.tokens.iter().rposition(|token| {
                    token.text.eq_ignore_ascii_case("then") || token.text.eq_ignore_ascii_case("else")
                });
                let hint = "write `condition ? value : other`";
                Foreign { last: until.unwrap_or(i), ..self.unexpected(i, hint) }
            }
            "where" | "when" | "select" if next.text != "(" => {
                self.unexpected(i, "write the condition alone, without this word")
            }
            _ => return None,
        })
    }

    /// `x is null`, `x is not true`, `x is 'a'`.
    fn is_what(&self, i: usize, left: &str) -> Foreign {
        let not = self.is(Some(i + 1), "not");
        let last = i + usize::from(not) + 1;
        let what = self.tokens.get(last).map_or("", |token| token.text);
        let sign = if not { "!=" } else { "==" };
        let hint = match (&*what.to_ascii_lowercase(), not) {
            ("null" | "none" | "nil" | "empty" | "missing" | "unknown", _) => {
                format!("write `{left} {sign} null`")
            }
            ("true", false) | ("false", true) => format!("write `{left}`"),
            ("true", true) | ("false", false) => format!("write `!{left}`"),
            _ => format!("write `{left} {sign} {}`", self.after(last.saturating_sub(1))),
        };
        let last = last.min(self.tokens.len() - 1);
        Foreign { last, ..self.spanning(i, i + usize::from(not && last > i), hint) }
    }

    /// `x between 18 and 65`.
    fn between(&self, i: usize, left: &str) -> Foreign {
        let and = (i + 1..self.tokens.len()).find(|at| self.is(Some(*at), "and") || self.is(Some(*at), "&&"));
        match and {
            Some(and) => {
                let (least, most) = (self.after(i), self.after(and));
                let hint = format!("write `{left} >= {least} && {left} <= {most}`");
                Foreign { last: and, ..self.unexpected(i, hint) }
            }
            None => self.unexpected(i, format!("write `{left} >= 18 && {left} <= 65`")),
        }
    }

    fn sign(&self, i: usize, token: &Token<'t>) -> Option<Foreign> {
        let before = i.checked_sub(1).and_then(|before| self.tokens.get(before));
        if let Some(hint) = compared(token.text) {
            return Some(self.unexpected(i, hint));
        }
        Some(match token.text {
            "=" if before.is_some_and(|before| matches!(before.text, "!" | "<" | ">" | "=")) => {
                let sign = before.map_or("", |before| before.text);
                self.spanning(i - 1, i, format!("write `{sign}=`, without a blank inside"))
            }
            "=" | "!" | "<" | ">" if self.is(Some(i + 1), "=") => return None, // told of the next
            "=" => self.unexpected(i, "compare with `==`"),
            "!" if self.is(Some(i + 1), "in") && self.is_after_value(i) => {
                let hint = format!("write `!({} in {})`", self.before(i), self.after(i + 1));
                self.spanning(i, i + 1, hint)
            }
            ":=" | "+=" | "-=" | "*=" | "++" => {
                self.unexpected(i, "a condition sets nothing; compare with `==`")
            }
            "&" => self.unexpected(i, "write `&&` for and"),
            "|" => self.unexpected(i, "write `||` for or"),
            "~" | "=~" | "!~" => {
                self.unexpected(i, format!("write `{}.matches({})`", self.before(i), self.after(i)))
            }
            "**" | "^" => self.unexpected(i, "write a power as a product: `x * x`"),
            ".." => self.unexpected(i, "write `x >= 18 && x <= 65` for a range"),
            "#" | "/*" => Foreign {
                last: self.tokens.len(),
                ..self.unexpected(i, "write a comment above the condition, on a line that begins with `#`")
            },
            ";" => self.unexpected(i, "write one condition, whose parts are joined by `&&` or `||`"),
            "$" | "@" | "${" | "{" => return self.wrapped(i),
            "€" | "£" | "¥" | "₫" | "₹" => {
                self.unexpected(i, "write the number alone, without a currency")
            }
            "%" if !self.tokens.get(i + 1).is_some_and(Token::starts_value) => {
                self.unexpected(i, "write the number alone, as the feature has it: 18, or 0.18")
            }
            "," => return self.comma(i),
            "(" => return self.values_in_brackets(i),
            "&&" | "||" | "<" | ">" | "<=" | ">=" | "==" | "!=" => return self.without_left(i, token),
            sign if !sign.is_ascii() => return Some(self.letter(i, sign)),
            _ => return None,
        })
    }

    /// A name in the brackets or behind the sign of a template: `{age}`, `${age}`, `$age`, `$500`.
    fn wrapped(&self, i: usize) -> Option<Foreign> {
        let inner = self.tokens.get(i + 1)?;
        let closed = self.is(Some(i + 2), "}");
        let last = if closed { i + 2 } else { i };
        match inner.kind {
            TokenKind::Word if closed || self.tokens[i].text != "{" => {
                Some(self.spanning(i, last, format!("write the name alone: `{}`", inner.text)))
            }
            TokenKind::Number if self.tokens[i].text == "$" => {
                Some(self.unexpected(i, "write the number alone, without a currency"))
            }
            _ => None,
        }
    }

    /// A comma that separates neither arguments nor items.
    fn comma(&self, i: usize) -> Option<Foreign> {
        let (before, after) = (self.tokens.get(i.checked_sub(1)?)?, self.tokens.get(i + 1)?);
        if self.inside(i).is_some() {
            return None;
        }
        let digits = before.kind == TokenKind::Number && after.kind == TokenKind::Number;
        Some(if digits && after.follows(&self.tokens[i]) {
            let hint = "write numbers with a point and without separators: `18.5`, `1000`";
            Foreign { last: i + 1, ..self.unexpected(i, hint) }
        } else {
            self.unexpected(i, "join conditions with `&&` or `||`")
        })
    }

    /// `x in ('a', 'b')`.
    fn values_in_brackets(&self, i: usize) -> Option<Foreign> {
        if !self.is(i.checked_sub(1), "in") {
            return None;
        }
        let close = self.partner(i)?;
        let inside = &self.tokens[i + 1..close];
        if !inside.iter().any(|token| token.text == ",") {
            return None;
        }
        let values = self.text.get(self.tokens[i].end..self.tokens[close].start)?.trim();
        Some(Foreign { last: close, ..self.unexpected(i, format!("{LIST} `[{values}]`")) })
    }

    /// A comparison without its left side, or two operators side by side.
    fn without_left(&self, i: usize, token: &Token<'t>) -> Option<Foreign> {
        let before = i.checked_sub(1).and_then(|before| self.tokens.get(before));
        if self.is_after_value(i) || before.is_some_and(|before| before.text == "!") {
            return None;
        }
        let sign = token.text;
        match before.map(|before| before.text) {
            Some(join @ ("&&" | "||")) if token.compares() => {
                let left = self.subject(i - 1);
                let whole = format!("`{left} {sign} {}`", self.after(i));
                Some(self.unexpected(i, format!("each side of `{join}` is a whole condition: write {whole}")))
            }
            Some(twice) if twice == sign => Some(self.unexpected(i, "it stands here twice: leave one out")),
            None => Some(self.unexpected(i, "a name or a value is missing before it")),
            Some(_) => None,
        }
    }

    /// Two values without an operator between them.
    fn side_by_side(&self, i: usize) -> Option<Foreign> {
        let before = self.tokens.get(i.checked_sub(1)?)?;
        let token = &self.tokens[i];
        if !before.ends_value() || before.text == "not" || before.text.eq_ignore_ascii_case("if") {
            return None;
        }
        if before.kind == TokenKind::Number {
            if let Some(hint) = number_behind(before.text, token) {
                return Some(self.unexpected(i, hint));
            }
            if token.kind == TokenKind::Word && token.follows(before) && matches!(token.text, "u" | "U") {
                return None;
            }
        }
        if token.kind == TokenKind::Text && token.follows(before) {
            return None; // the prefix of a raw text or of bytes
        }
        Some(
            self.unexpected(
                i,
                "an operator is missing before it: `&&` or `||` joins conditions, `==` compares",
            ),
        )
    }

    /// A character that no keyboard of programmers has.
    fn letter(&self, i: usize, sign: &str) -> Foreign {
        if sign.starts_with(QUOTES) {
            let close = (i + 1..self.tokens.len()).find(|at| self.tokens[*at].text.starts_with(QUOTES));
            if let Some(close) = close {
                let inner = self.text.get(self.tokens[i].end..self.tokens[close].start).unwrap_or_default();
                return self.spanning(
                    i,
                    close,
                    format!("write the text in plain quotes: '{}'", inner.trim()),
                );
            }
        }
        let c = sign.chars().next().unwrap_or_default();
        match (meant(c), invisible(sign)) {
            (Some(meant), _) => self.unexpected(i, format!("that is U+{:04X}; write `{meant}`", c as u32)),
            (None, Some(c)) => self.unexpected(i, format!("take out the {}", named(c))),
            (None, None) => self.unexpected(i, "a text is written in quotes: 'a'"),
        }
    }
}

impl Written<'_> {
    /// Brackets without a partner of their shape.
    fn brackets(&self) -> impl Iterator<Item = Foreign> {
        self.tokens.iter().enumerate().filter_map(|(i, token)| {
            let partner = self.partner(i).map(|at| self.tokens[at].text);
            let (what, hint) = match (token.text, partner) {
                ("(" | "[" | "{" | "${", None) => ("is never closed", "write the closing bracket"),
                (")", Some("(")) | ("]", Some("[")) | ("}", Some("{" | "${")) => return None,
                (")" | "]" | "}", _) => {
                    ("closes a bracket that was not opened", "take it out, or write the opening bracket")
                }
                _ => return None,
            };
            let Token { start, end, .. } = *token;
            let detail = format!("`{}` {what}", token.text);
            Some(Foreign { start, end, detail, hint: Some(hint.to_owned()), last: i })
        })
    }
}

/// What to write for a comparison of another language.
fn compared(sign: &str) -> Option<&'static str> {
    Some(match sign {
        "===" => "compare with `==`",
        "!==" => "compare with `!=`",
        "<>" => "write `!=` for unequal",
        "=>" | "≥" => "write `>=`",
        "=<" | "≤" => "write `<=`",
        "≠" => "write `!=`",
        _ => return None,
    })
}

/// What to write for a number with something behind it: a unit, or more digits.
fn number_behind(number: &str, token: &Token<'_>) -> Option<String> {
    if token.kind == TokenKind::Number {
        return Some("write numbers without separators".into());
    }
    let unit = token.text.to_ascii_lowercase();
    if token.kind != TokenKind::Word || ["and", "or"].contains(&&*unit) {
        return None;
    }
    let hours = |each: f64| {
        let hours = number.parse::<f64>().ok()? * each;
        (hours.fract() == 0.0).then(|| format!("write `duration('{hours}h')` for {number} {}", token.text))
    };
    match &*unit {
        unit if unit.starts_with('_') => Some("write numbers without separators".into()),
        "d" => hours(24.0).map(|hint| hint.trim_end_matches(" d").to_owned() + " days"),
        "day" | "days" => hours(24.0),
        "h" | "hour" | "hours" => hours(1.0),
        "week" | "weeks" => hours(168.0),
        "k" | "m" | "mio" | "mn" | "bn" => Some("write the number in full: 10000".into()),
        "year" | "years" | "month" | "months" | "y" | "minute" | "minutes" | "min" | "s" | "eur" | "usd"
        | "vnd" | "cny" | "percent" => {
            Some("write the number alone, without a unit; a time that passed is `duration('720h')`".into())
        }
        _ => None,
    }
}
