//! The syntax of an expression: a tree with places, whose names and types are not resolved yet.

use std::sync::Arc;

use super::{Comparison, LoopKind, Operator};
use crate::input::origin::Origin;
use crate::input::problem::Problems;

/// An expression that was parsed but not checked.
#[derive(Debug, Clone)]
pub struct Syntax {
    /// The text it was parsed from.
    pub text: Arc<str>,
    /// Where that text stands in its document.
    pub origin: Origin,
    pub(crate) root: Term,
}

/// A node, with the bytes of the expression that it covers.
#[derive(Debug, Clone)]
pub(crate) struct Term {
    pub(crate) kind: TermKind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum TermKind {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    Name(String),
    Select(Box<Term>, String),
    Has(Box<Term>, String),
    Not(Box<Term>),
    Negate(Box<Term>),
    /// The operands of a chain of `&&`, in one list.
    And(Vec<Term>),
    Or(Vec<Term>),
    If(Box<[Term; 3]>),
    Compare(Comparison, Box<[Term; 2]>),
    Arithmetic(Operator, Box<[Term; 2]>),
    In(Box<[Term; 2]>),
    Index(Box<[Term; 2]>),
    List(Vec<Term>),
    /// A map: its keys and values take turns.
    Map(Vec<Term>),
    /// A function, or a method with its target as first argument. The flag says whether it is a method.
    Call(String, Vec<Term>, bool),
    Loop(Box<LoopTerm>),
}

/// A CEL macro, and what it does with each item of a range.
#[derive(Debug, Clone)]
pub(crate) struct LoopTerm {
    pub(crate) kind: LoopKind,
    pub(crate) range: Term,
    /// The names of the item; or of the index or key, and of the value.
    pub(crate) names: Vec<String>,
    /// Which items count, in macros that have a place for it.
    pub(crate) filter: Option<Term>,
    pub(crate) body: Term,
}

impl Syntax {
    /// The names `x` of every `offer.x` in it, each once.
    pub(crate) fn offer_fields(&self) -> Vec<Box<str>> {
        let mut fields: Vec<Box<str>> = Vec::new();
        let mut open = vec![&self.root];
        while let Some(term) = open.pop() {
            if let TermKind::Select(root, field) | TermKind::Has(root, field) = &term.kind
                && matches!(&root.kind, TermKind::Name(name) if name == "offer")
                && !fields.iter().any(|known| **known == **field)
            {
                fields.push(field.as_str().into());
            }
            open.extend(term.kind.operands());
        }
        fields
    }

    /// The texts that it compares with `root.field`, by `==`, `!=` or `in`.
    pub(crate) fn texts_compared_with(&self, root: &str, field: &str) -> Vec<&str> {
        let is_field = |term: &Term| match &term.kind {
            TermKind::Select(of, name) => {
                name == field && matches!(&of.kind, TermKind::Name(name) if name == root)
            }
            _ => false,
        };
        let mut texts = Vec::new();
        let mut open = vec![&self.root];
        while let Some(term) = open.pop() {
            if let TermKind::Compare(Comparison::Equal | Comparison::NotEqual, sides) | TermKind::In(sides) =
                &term.kind
                && sides.iter().any(is_field)
            {
                let items = sides.iter().flat_map(|side| match &side.kind {
                    TermKind::List(items) => &items[..],
                    _ => std::slice::from_ref(side),
                });
                texts.extend(items.filter_map(|item| match &item.kind {
                    TermKind::Text(text) => Some(text.as_str()),
                    _ => None,
                }));
            }
            open.extend(term.kind.operands());
        }
        texts
    }

    /// A problem for every field of `root` (such as `context` or `tag`) about which `why` says something.
    pub(crate) fn refuse_fields(&self, root: &str, why: impl Fn(&str) -> Option<String>) -> Problems {
        let mut problems = Problems::new();
        let mut open = vec![&self.root];
        while let Some(term) = open.pop() {
            if let TermKind::Select(of, field) | TermKind::Has(of, field) = &term.kind
                && matches!(&of.kind, TermKind::Name(name) if name == root)
                && let Some(why) = why(field)
            {
                problems.push(self.origin.problem(&self.text, term.start, term.end, why));
            }
            open.extend(term.kind.operands());
        }
        problems
    }
}

impl TermKind {
    /// The terms directly inside this one.
    fn operands(&self) -> Vec<&Term> {
        match self {
            TermKind::Select(inner, _)
            | TermKind::Has(inner, _)
            | TermKind::Not(inner)
            | TermKind::Negate(inner) => {
                vec![inner]
            }
            TermKind::And(terms)
            | TermKind::Or(terms)
            | TermKind::List(terms)
            | TermKind::Map(terms)
            | TermKind::Call(_, terms, _) => terms.iter().collect(),
            TermKind::If(three) => three.iter().collect(),
            TermKind::Compare(_, two)
            | TermKind::Arithmetic(_, two)
            | TermKind::In(two)
            | TermKind::Index(two) => two.iter().collect(),
            TermKind::Loop(l) => {
                [Some(&l.range), l.filter.as_ref(), Some(&l.body)].into_iter().flatten().collect()
            }
            TermKind::Null
            | TermKind::Bool(_)
            | TermKind::Int(_)
            | TermKind::UInt(_)
            | TermKind::Double(_)
            | TermKind::Text(_)
            | TermKind::Bytes(_)
            | TermKind::Name(_) => Vec::new(),
        }
    }

    /// The bytes that the operands cover. An operator's own place is only its sign.
    pub(super) fn extent(&self) -> (usize, usize) {
        let of = |terms: &[Term]| {
            let start = terms.iter().map(|term| term.start).min().unwrap_or(usize::MAX);
            (start, terms.iter().map(|term| term.end).max().unwrap_or(0))
        };
        match self {
            TermKind::And(terms)
            | TermKind::Or(terms)
            | TermKind::List(terms)
            | TermKind::Map(terms)
            | TermKind::Call(_, terms, _) => of(terms),
            TermKind::If(three) => of(&**three),
            TermKind::Compare(_, two)
            | TermKind::Arithmetic(_, two)
            | TermKind::In(two)
            | TermKind::Index(two) => of(&**two),
            TermKind::Select(inner, _)
            | TermKind::Has(inner, _)
            | TermKind::Not(inner)
            | TermKind::Negate(inner) => (inner.start, inner.end),
            other => other
                .operands()
                .into_iter()
                .fold((usize::MAX, 0), |(start, end), term| (start.min(term.start), end.max(term.end))),
        }
    }
}
