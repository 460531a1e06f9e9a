//! Values, and what stands behind them: fields, methods, indices.

use std::borrow::Cow;

use super::lexer::{Lexeme, LexemeKind};
use super::literal;
use super::parser::{Found, Parser};
use crate::expression::MAX_ITEMS;
use crate::expression::syntax::{Term, TermKind};

/// Words that cannot be names of values and functions. Fields and methods may have them.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

impl Parser<'_> {
    pub(super) fn member(&mut self) -> Option<Term> {
        let before = self.found();
        let mut member = self.primary()?;
        loop {
            member = match self.peek().kind {
                LexemeKind::Dot => self.field(member, before)?,
                LexemeKind::OpenList => {
                    let open = self.next();
                    let index = self.expression()?;
                    let close = self.take(LexemeKind::CloseList)?;
                    let pair = Box::new([member, index]);
                    self.term(TermKind::Index(pair), open.start, close.end)
                }
                _ => return Some(member),
            };
        }
    }

    /// A field or a method of the value before the dot. `before` is what was found before that value.
    fn field(&mut self, of: Term, before: Found) -> Option<Term> {
        let dot = self.next();
        let name = self.next();
        let field = match name.kind {
            LexemeKind::Name => self.written(name),
            LexemeKind::Quoted => self.written(name).trim_matches('`'),
            _ => return None,
        };
        if name.kind == LexemeKind::Name && self.is(LexemeKind::OpenParen) {
            return self.called(name, None, Some((of, before)));
        }
        // The place ends with a name that follows its dot at once.
        let plain = name.kind == LexemeKind::Name && self.is_blank(dot.end, name.start);
        let end = if plain { name.end } else { dot.end };
        Some(self.term(TermKind::Select(Box::new(of), field.to_owned()), dot.start, end))
    }

    fn primary(&mut self) -> Option<Term> {
        match self.peek().kind {
            LexemeKind::Name | LexemeKind::Dot => self.named(),
            LexemeKind::OpenParen => {
                self.next();
                let inner = self.expression()?;
                self.take(LexemeKind::CloseParen)?;
                Some(inner)
            }
            LexemeKind::OpenList => self.list(),
            LexemeKind::OpenMap => self.map(),
            _ => self.literal(),
        }
    }

    /// A value or a function by its name, or a message.
    fn named(&mut self) -> Option<Term> {
        let dot = self.take(LexemeKind::Dot);
        let name = self.take(LexemeKind::Name)?;
        if let Some(open) = self.opens_message() {
            return self.message(open);
        }
        let word = self.written(name);
        if RESERVED.contains(&word) {
            return None;
        }
        if self.is(LexemeKind::OpenParen) {
            return self.called(name, dot, None);
        }
        if dot.is_some() {
            self.root(name);
        }
        Some(self.term(TermKind::Name(word.to_owned()), name.start, name.end))
    }

    fn literal(&mut self) -> Option<Term> {
        let negative = self.take(LexemeKind::Minus).is_some();
        let lexeme = self.next();
        let written = self.written(lexeme);
        let kind = match lexeme.kind {
            LexemeKind::Int => TermKind::Int(literal::int(written, negative)?),
            LexemeKind::Double => TermKind::Double(literal::double(written, negative)?),
            _ if negative => return None,
            LexemeKind::UInt => TermKind::UInt(literal::uint(written)?),
            LexemeKind::Text => TermKind::Text(literal::text(written)?),
            LexemeKind::Bytes => TermKind::Bytes(literal::bytes(written)?),
            LexemeKind::True => TermKind::Bool(true),
            LexemeKind::False => TermKind::Bool(false),
            LexemeKind::Null => TermKind::Null,
            _ => return None,
        };
        Some(self.term(kind, lexeme.start, lexeme.end))
    }

    fn list(&mut self) -> Option<Term> {
        let (open, before) = (self.next(), self.found());
        let mut items = Vec::new();
        let close = self.separated(LexemeKind::CloseList, |parser| {
            items.push(parser.expression()?);
            Some(())
        })?;
        let kind = if items.len() > MAX_ITEMS {
            self.forget(before, None);
            let why = format!("a list has at most {MAX_ITEMS} items, this one has {}", items.len());
            self.refuse(open.start, close.end, why, None)
        } else {
            TermKind::List(items)
        };
        Some(self.term(kind, open.start, close.end))
    }

    fn map(&mut self) -> Option<Term> {
        let (open, before) = (self.next(), self.found());
        let mut terms = Vec::new();
        let close = self.separated(LexemeKind::CloseMap, |parser| {
            terms.push(parser.expression()?);
            parser.take(LexemeKind::Colon)?;
            terms.push(parser.expression()?);
            Some(())
        })?;
        let kind = if terms.len() > 2 * MAX_ITEMS {
            self.forget(before, None);
            let why = format!("a map has at most {MAX_ITEMS} entries, this one has {}", terms.len() / 2);
            self.refuse(open.start, close.end, why, None)
        } else {
            TermKind::Map(terms)
        };
        Some(self.term(kind, open.start, close.end))
    }

    /// Items with commas between them, and perhaps one behind them, up to the bracket that closes them.
    fn separated(
        &mut self,
        close: LexemeKind,
        mut item: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<Lexeme> {
        while !self.is(close) && !self.is(LexemeKind::Comma) {
            item(self)?;
            if self.second() == close || !self.is(LexemeKind::Comma) {
                break;
            }
            self.next();
            if self.is(LexemeKind::Comma) {
                return None;
            }
        }
        self.take(LexemeKind::Comma);
        self.take(close)
    }

    /// A message, which is refused, from its opening bracket on.
    fn message(&mut self, open: usize) -> Option<Term> {
        self.go_to(open);
        let (open, before) = (self.next(), self.found());
        self.separated(LexemeKind::CloseMap, |parser| {
            let name = parser.next();
            parser.take(LexemeKind::Colon)?;
            parser.expression()?;
            matches!(name.kind, LexemeKind::Name | LexemeKind::Quoted).then_some(())
        })?;
        self.forget(before, None);
        let why = "protobuf messages are not part of the language here";
        let kind = self.refuse(open.start, open.end, why, None);
        Some(self.term(kind, open.start, open.end))
    }

    /// The arguments of a function, and the bracket that closes them.
    fn arguments(&mut self) -> Option<(Vec<Term>, Lexeme)> {
        let mut arguments = Vec::new();
        if !self.is(LexemeKind::CloseParen) {
            arguments.push(self.expression()?);
            while self.take(LexemeKind::Comma).is_some() {
                arguments.push(self.expression()?);
            }
        }
        Some((arguments, self.take(LexemeKind::CloseParen)?))
    }

    /// A call of the function or method with this name, before its opening bracket. A function may have a dot
    /// before its name.
    fn called(&mut self, name: Lexeme, dot: Option<Lexeme>, of: Option<(Term, Found)>) -> Option<Term> {
        let open = self.next();
        let (arguments, close) = self.arguments()?;
        let word = self.written(name);
        let (word, start) = match dot {
            Some(dot) => (Cow::from(format!(".{word}")), dot.start),
            None => (Cow::from(word), name.start),
        };
        // The place begins with a name that is written in one piece.
        let whole = name.end - start == word.len() && self.is_blank(name.end, open.start);
        let start = if whole { start } else { open.start };
        let kind = self.call(&word, of, arguments, (start, close.end));
        Some(self.term(kind, start, close.end))
    }
}
