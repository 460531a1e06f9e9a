//! Conditions and numbers in CEL (Common Expression Language): text → [`Syntax`] → checked against the schema →
//! [`Expression`] → a [`Value`]. Everything is resolved when a rule set is compiled, so evaluating cannot fail: what has
//! no answer (a missing feature, an overflow) is a value, and `&&` and `||` go round it where the other side decides.
//!
//! The language is the one of <https://github.com/google/cel-spec>, over our kinds of values.

mod check;
mod evaluate;
pub(crate) mod faults;
pub(crate) mod keys;
pub(crate) mod normalise;
mod parse;
pub(crate) mod seen;
pub(crate) mod term;
#[cfg(test)]
mod tests;
pub(crate) mod words;

use std::sync::Arc;

use smallvec::SmallVec;

pub use check::{OfferScope, Scope, TagNames, Type, Variables};
pub use evaluate::{Facts, TagMemo};
pub use parse::{Origin, Syntax};
pub use seen::Read;

use crate::schema::{ContextId, FeatureId, Vocabulary};
use crate::value::Value;

/// Bytes of one expression's text at most.
pub const MAX_EXPRESSION_BYTES: usize = 8 * 1024;
/// Brackets of one expression inside each other at most.
pub const MAX_BRACKETS: usize = 32;
/// Operators inside each other at most, a chain such as `1 + 1 + 1` counted as it is evaluated; with tags, those they are
/// built on included. Evaluating follows them on the stack: a test holds this to half of a usual thread's.
pub const MAX_DEPTH: usize = 256;
/// What one evaluation may spend at most: one per step of a loop (`exists`, `map` …), one per value and per 16 bytes of text
/// that it puts together. Beyond it there is no answer.
pub const MAX_EFFORT: usize = 10_000;

/// A checked expression.
#[derive(Debug, Clone)]
pub struct Expression {
    /// Its text, for people.
    pub text: Arc<str>,
    /// Line in its file, from 1; 0 if unknown.
    pub line: u32,
    pub(crate) node: Node,
    /// The top-level parts of a conjunction, with their texts: what `explain` names when one of them fails.
    pub(crate) parts: Vec<Part>,
}

/// A named condition.
#[derive(Debug, Clone)]
pub struct Tag {
    /// Its name, without `tag.`.
    pub name: Box<str>,
    /// What it says.
    pub condition: Expression,
}

/// One operand of the outermost `&&`.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) text: Box<str>,
    pub(crate) node: Node,
}

/// What is left of an expression once names and types are resolved.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Constant(Value<'static>),
    Feature(FeatureId),
    /// An enum feature's place in its vocabulary, as an int.
    Code(FeatureId),
    Context(ContextId),
    Channel,
    Now,
    Tag(usize),
    Variable(usize),
    /// A variable of the enclosing loops, counted from the outermost.
    Local(usize),
    /// Whether there is a value; never without an answer itself.
    Has(Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<[Node]>),
    Or(Box<[Node]>),
    If(Box<[Node; 3]>),
    Compare(Comparison, Box<[Node; 2]>),
    Arithmetic(Operator, Box<[Node; 2]>),
    In(Box<[Node; 2]>),
    /// Whether a set has at least one of these bits.
    HasBit(Box<Node>, u64),
    /// A text's place in a vocabulary, as an int.
    Rank(Box<Node>, Arc<Vocabulary>),
    Index(Box<[Node; 2]>),
    List(Box<[Node]>),
    Call(Function, Box<[Node]>),
    Loop(Box<Loop>),
}

/// CEL's comprehension, to which all its macros expand.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Loop {
    pub(crate) range: Node,
    pub(crate) start: Node,
    /// Goes on while this is not false.
    pub(crate) condition: Node,
    pub(crate) step: Node,
    pub(crate) result: Node,
    /// The loop's item is this local, its result so far the next one.
    pub(crate) item: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    ToDouble,
    ToInt,
    ToText,
    ToTime,
    ToDuration,
    NotStrictlyFalse,
}

impl Comparison {
    /// The one that says the same with its sides exchanged.
    pub(crate) fn mirrored(self) -> Comparison {
        match self {
            Comparison::Equal | Comparison::NotEqual => self,
            Comparison::Less => Comparison::Greater,
            Comparison::LessOrEqual => Comparison::GreaterOrEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        }
    }
}

impl Expression {
    /// The constant it comes down to, whoever the customer is.
    pub fn constant(&self) -> Option<&Value<'static>> {
        if let Node::Constant(value) = &self.node { Some(value) } else { None }
    }

    /// An expression that is this constant.
    pub fn of_constant(value: Value<'static>) -> Expression {
        let text = value.to_string().into();
        Expression { text, line: 0, node: Node::Constant(value), parts: Vec::new() }
    }
}

impl Expression {
    /// How many nodes stand on each other, tags (each with its own depth) included.
    pub(crate) fn depth(&self, tags: &[usize]) -> usize {
        self.node.depth(tags)
    }
}

impl Node {
    fn depth(&self, tags: &[usize]) -> usize {
        if let Node::Tag(tag) = self {
            return 1 + tags.get(*tag).copied().unwrap_or(0);
        }
        1 + self.children().into_iter().map(|child| child.depth(tags)).max().unwrap_or(0)
    }

    /// Calls `visit` for this node and all below it, outermost first.
    pub(crate) fn walk<'n>(&'n self, visit: &mut dyn FnMut(&'n Node)) {
        visit(self);
        self.children().into_iter().for_each(|child| child.walk(visit));
    }

    /// The nodes directly below.
    fn children(&self) -> SmallVec<[&Node; 5]> {
        match self {
            Node::Constant(_)
            | Node::Feature(_)
            | Node::Code(_)
            | Node::Context(_)
            | Node::Channel
            | Node::Now
            | Node::Tag(_)
            | Node::Variable(_)
            | Node::Local(_) => SmallVec::new(),
            Node::Has(inner)
            | Node::Not(inner)
            | Node::Negate(inner)
            | Node::HasBit(inner, _)
            | Node::Rank(inner, _) => SmallVec::from_slice(&[&**inner]),
            Node::And(nodes) | Node::Or(nodes) | Node::List(nodes) | Node::Call(_, nodes) => {
                nodes.iter().collect()
            }
            Node::If(nodes) => nodes.iter().collect(),
            Node::Compare(_, nodes) | Node::Arithmetic(_, nodes) | Node::In(nodes) | Node::Index(nodes) => {
                nodes.iter().collect()
            }
            Node::Loop(l) => SmallVec::from_slice(&[&l.range, &l.start, &l.condition, &l.step, &l.result]),
        }
    }
}
