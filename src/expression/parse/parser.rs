//! The parser: one pass over the lexemes, from the operator that binds last to the one that binds first. The
//! grammar is that of <https://github.com/google/cel-spec>, without messages and optional values.
//!
//! A text that is not of the language has no tree, and [`refused`](super::refused) says why. What is of the
//! language but not part of conditions is a [`Refusal`] with its place.

use super::lexer::{Lexeme, LexemeKind, lex};
use crate::expression::syntax::{Term, TermKind};
use crate::expression::{Comparison, MAX_BRACKETS, Operator};

/// The tree of an expression, and what in it is refused. Places are bytes of the text.
pub(super) struct Tree {
    pub(super) root: Term,
    /// Values and operators, also those that share a node, as `a && b && c` does.
    pub(super) nodes: usize,
    pub(super) refusals: Vec<Refusal>,
}

/// A part of an expression that is not part of conditions.
#[derive(Debug, PartialEq)]
pub(super) struct Refusal {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) detail: String,
    pub(super) hint: Option<&'static str>,
}

/// The most expressions inside each other. Brackets hold one, and so does what follows `:` of a choice.
const MAX_INSIDE: usize = MAX_BRACKETS * 4 + 1;

/// The tree of a text that nests no deeper than [`scan`](crate::expression::scan) allows; `None` if the text
/// is not of the language.
pub(super) fn tree(text: &str) -> Option<Tree> {
    let lexemes = lex(text)?;
    let mut parser =
        Parser { text, lexemes, at: 0, inside: 0, nodes: 0, refusals: Vec::new(), rooted: Vec::new() };
    let root = parser.expression()?;
    parser.take(LexemeKind::End)?;
    Some(Tree { root, nodes: parser.nodes, refusals: parser.refusals })
}

pub(super) struct Parser<'t> {
    text: &'t str,
    lexemes: Vec<Lexeme>,
    /// The number of the next lexeme. The last one is the end, and it is never passed.
    at: usize,
    /// How many expressions are inside each other here.
    inside: usize,
    nodes: usize,
    refusals: Vec<Refusal>,
    /// Where names begin that are written with a dot before them.
    rooted: Vec<usize>,
}

/// How much a parser had found at some lexeme.
#[derive(Clone, Copy)]
pub(super) struct Found {
    nodes: usize,
    refusals: usize,
}

impl<'t> Parser<'t> {
    pub(super) fn peek(&self) -> Lexeme {
        self.lexemes[self.at]
    }

    pub(super) fn is(&self, kind: LexemeKind) -> bool {
        self.peek().kind == kind
    }

    /// The kind of the lexeme after the next.
    pub(super) fn second(&self) -> LexemeKind {
        self.lexemes.get(self.at + 1).map_or(LexemeKind::End, |lexeme| lexeme.kind)
    }

    pub(super) fn next(&mut self) -> Lexeme {
        let lexeme = self.peek();
        self.at = (self.at + 1).min(self.lexemes.len() - 1);
        lexeme
    }

    /// The next lexeme, if it is of this kind.
    pub(super) fn take(&mut self, kind: LexemeKind) -> Option<Lexeme> {
        self.is(kind).then(|| self.next())
    }

    /// Goes on at the lexeme with this number.
    pub(super) fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    /// The bracket that opens the fields of a message, if the name before it is that of a message:
    /// its number among the lexemes.
    pub(super) fn opens_message(&self) -> Option<usize> {
        let mut at = self.at;
        loop {
            let kinds = [at, at + 1].map(|at| self.lexemes.get(at).map(|lexeme| lexeme.kind));
            match kinds {
                [Some(LexemeKind::OpenMap), _] => return Some(at),
                [Some(LexemeKind::Dot), Some(LexemeKind::Name)] => at += 2,
                _ => return None,
            }
        }
    }

    pub(super) fn written(&self, lexeme: Lexeme) -> &'t str {
        &self.text[lexeme.start..lexeme.end]
    }

    /// Whether nothing but blanks stands between these bytes.
    pub(super) fn is_blank(&self, from: usize, to: usize) -> bool {
        self.text[from..to].trim().is_empty()
    }

    pub(super) fn found(&self) -> Found {
        Found { nodes: self.nodes, refusals: self.refusals.len() }
    }

    /// Forgets what was found since, because what holds it is refused as a whole; but not what `kept` says of
    /// itself.
    pub(super) fn forget(&mut self, since: Found, kept: Option<&Term>) {
        self.nodes = since.nodes;
        let later = self.refusals.split_off(since.refusals);
        let within = |refusal: &Refusal| {
            kept.is_some_and(|kept| kept.start <= refusal.start && refusal.end <= kept.end)
        };
        self.refusals.extend(later.into_iter().filter(within));
    }

    /// Takes back the count of names that bind something and are no values.
    pub(super) fn uncount(&mut self, names: usize) {
        self.nodes -= names;
    }

    /// Notes that a name is written with a dot before it.
    pub(super) fn root(&mut self, name: Lexeme) {
        self.rooted.push(name.start);
    }

    /// Whether a name was written with a dot before it.
    pub(super) fn is_rooted(&self, term: &Term) -> bool {
        self.rooted.contains(&term.start)
    }

    pub(super) fn refuse(
        &mut self,
        start: usize,
        end: usize,
        detail: impl Into<String>,
        hint: Option<&'static str>,
    ) -> TermKind {
        self.refusals.push(Refusal { start, end, detail: detail.into(), hint });
        TermKind::Null
    }

    /// A term that covers these bytes and its operands.
    pub(super) fn term(&mut self, kind: TermKind, start: usize, end: usize) -> Term {
        self.nodes += 1;
        let (first, last) = kind.extent();
        Term { start: start.min(first), end: end.max(last), kind }
    }
}

/// Operators.
impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Option<Term> {
        self.inside += 1;
        if self.inside > MAX_INSIDE {
            return None;
        }
        let mut found = self.any()?;
        if let Some(sign) = self.take(LexemeKind::Question) {
            let yes = self.any()?;
            self.take(LexemeKind::Colon)?;
            let three = Box::new([found, yes, self.expression()?]);
            found = self.term(TermKind::If(three), sign.start, sign.end);
        }
        self.inside -= 1;
        Some(found)
    }

    fn any(&mut self) -> Option<Term> {
        let first = self.all()?;
        self.chain(first, LexemeKind::Or)
    }

    fn all(&mut self) -> Option<Term> {
        let first = self.relation()?;
        self.chain(first, LexemeKind::And)
    }

    /// A chain of `&&` or `||`. It takes over the operands of operands with the same operator, so one node
    /// has all of them in order.
    fn chain(&mut self, first: Term, sign: LexemeKind) -> Option<Term> {
        if !self.is(sign) {
            return Some(first);
        }
        let mut operands = Vec::new();
        let join = |operands: &mut Vec<Term>, operand: Term| match operand.kind {
            TermKind::And(inner) if sign == LexemeKind::And => operands.extend(inner),
            TermKind::Or(inner) if sign == LexemeKind::Or => operands.extend(inner),
            _ => operands.push(operand),
        };
        join(&mut operands, first);
        while self.take(sign).is_some() {
            let next = if sign == LexemeKind::And { self.relation()? } else { self.all()? };
            join(&mut operands, next);
            self.nodes += 1;
        }
        let kind = if sign == LexemeKind::And { TermKind::And(operands) } else { TermKind::Or(operands) };
        let (start, end) = kind.extent();
        Some(Term { kind, start, end })
    }

    fn relation(&mut self) -> Option<Term> {
        let mut left = self.arithmetic(false)?;
        loop {
            let comparison = match self.peek().kind {
                LexemeKind::Equal => Some(Comparison::Equal),
                LexemeKind::NotEqual => Some(Comparison::NotEqual),
                LexemeKind::Less => Some(Comparison::Less),
                LexemeKind::LessOrEqual => Some(Comparison::LessOrEqual),
                LexemeKind::Greater => Some(Comparison::Greater),
                LexemeKind::GreaterOrEqual => Some(Comparison::GreaterOrEqual),
                LexemeKind::In => None,
                _ => return Some(left),
            };
            let sign = self.next();
            let pair = Box::new([left, self.arithmetic(false)?]);
            let kind = match comparison {
                Some(comparison) => TermKind::Compare(comparison, pair),
                None => TermKind::In(pair),
            };
            left = self.term(kind, sign.start, sign.end);
        }
    }

    /// Operands with `+` and `-` between them, taken from the left. Each is one with `*`, `/` and `%` between
    /// its own, if it is not `tight` already.
    fn arithmetic(&mut self, tight: bool) -> Option<Term> {
        let operand = |parser: &mut Self| if tight { parser.unary() } else { parser.arithmetic(true) };
        let mut left = operand(self)?;
        loop {
            let operator = match (self.peek().kind, tight) {
                (LexemeKind::Plus, false) => Operator::Add,
                (LexemeKind::Minus, false) => Operator::Subtract,
                (LexemeKind::Times, true) => Operator::Multiply,
                (LexemeKind::Divide, true) => Operator::Divide,
                (LexemeKind::Modulo, true) => Operator::Modulo,
                _ => return Some(left),
            };
            let sign = self.next();
            let pair = Box::new([left, operand(self)?]);
            left = self.term(TermKind::Arithmetic(operator, pair), sign.start, sign.end);
        }
    }

    /// Signs before a value: two of them are none. The minus of a number belongs to the number.
    fn unary(&mut self) -> Option<Term> {
        let first = self.peek();
        let is_number = matches!(self.second(), LexemeKind::Int | LexemeKind::Double);
        match first.kind {
            LexemeKind::Minus if is_number => return self.member(),
            LexemeKind::Minus | LexemeKind::Not => {}
            _ => return self.member(),
        }
        let mut count = 0;
        while self.take(first.kind).is_some() {
            count += 1;
        }
        let operand = self.member()?;
        if count % 2 == 0 {
            return Some(operand);
        }
        let operand = Box::new(operand);
        let kind =
            if first.kind == LexemeKind::Not { TermKind::Not(operand) } else { TermKind::Negate(operand) };
        Some(self.term(kind, first.start, first.end))
    }
}
