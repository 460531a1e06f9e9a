//! Conditions and numbers in CEL (Common Expression Language): text → [`Syntax`] → checked against the schema
//! → [`Expression`] → a [`Value`]. Everything is resolved when a rule set is compiled, so evaluating cannot
//! fail: what has no answer (a missing feature, an overflow) is a value, and `&&` and `||` go round it where
//! the other side decides. What it may cost at most is known before, too.
//!
//! The language is the one of <https://github.com/google/cel-spec>, over our kinds of values;
//! `tests/cel_conformance.rs` holds it to that.

pub mod arm;
mod check;
mod cost;
mod evaluate;
pub mod experiment;
pub(crate) mod faults;
pub(crate) mod keys;
pub(crate) mod normalise;
mod parameter;
mod parse;
mod pattern;
mod scan;
pub mod schedule;
pub(crate) mod seen;
pub(crate) mod term;
#[cfg(test)]
mod tests;
mod types;
pub(crate) mod words;

use std::sync::Arc;

use jiff::tz::TimeZone;
use smallvec::SmallVec;

pub use self::check::{OfferScope, Scope, TagNames};
pub use self::evaluate::{Facts, TagMemo};
pub use self::parameter::{Parameter, Parameters};
pub use self::parse::Syntax;
pub use self::seen::Read;
pub use self::types::Type;

use self::experiment::Experiment;
use self::pattern::Pattern;
use crate::schema::value::Value;
use crate::schema::{ContextId, FeatureId, Vocabulary};

/// Free variables with their values, by place.
pub type Variables<'s> = &'s [(String, Value<'static>)];

/// Bytes of one expression's text at most.
pub const MAX_EXPRESSION_BYTES: usize = 8 * 1024;
/// Brackets of one expression inside each other at most.
pub const MAX_BRACKETS: usize = 40;
/// Operators inside each other at most, a chain such as `1 + 1 + 1` counted as it is evaluated; with tags,
/// those they are built on included. Evaluating follows them on the stack: a test holds this to half of a
/// usual thread's.
pub const MAX_DEPTH: usize = 256;
/// Values and operators of one expression at most.
pub const MAX_NODES: usize = 2_500;
/// Items of one list and entries of one map that are written out at most.
pub const MAX_ITEMS: usize = 1_000;
/// Regular expressions of one expression at most.
pub const MAX_PATTERNS: usize = 16;
/// Bytes of a regular expression at most.
pub const MAX_PATTERN_BYTES: usize = 256;
/// Bytes that a compiled regular expression takes at most, and its cache of states once more.
pub const MAX_PATTERN_MEMORY: usize = 256 * 1024;
/// Steps that one evaluation can take at most, reckoned when it is checked: what is inside a loop counts as
/// often as the loop may go round, and putting together a text or a list counts by its size. An expression
/// that could take more is refused.
pub const MAX_COST: u64 = 20_000;
/// What one evaluation may spend at most: one per step of a loop (`exists`, `map` …), one per value and per
/// 16 bytes of text that it looks through or puts together. Beyond it there is no answer. The last line, for
/// what [`MAX_COST`] cannot know: how long the texts of a request are.
pub const MAX_EFFORT: usize = 20_000;
/// As how long a text counts whose length is not known when an expression is checked, in bytes.
pub const ASSUMED_TEXT_BYTES: usize = 1_024;

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
    /// The customer's variant of an experiment of the rule set, as an int by its place; [`NO_VARIANT`] for none of them.
    Variant(Arc<Experiment>),
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
    /// A map, keys and values by turns.
    Map(Box<[Node]>),
    /// A map's value by a key that is a text.
    Field(Box<Node>, Box<str>),
    /// Whether a map has this key.
    HasKey(Box<Node>, Box<str>),
    Call(Function, Box<[Node]>),
    /// Whether a text has a match of a pattern that was known when checking.
    Matches(Box<(Node, Pattern)>),
    /// A part of a time in a zone that was known when checking, or of a duration.
    TimePart(TimePart, Box<(Node, TimeZone)>),
    Loop(Box<Loop>),
}

/// What stands for a customer who is in no variant of an experiment.
pub(crate) const NO_VARIANT: i64 = -1;

/// One of CEL's macros over the items of a range.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Loop {
    pub(crate) kind: LoopKind,
    pub(crate) range: Node,
    /// Items for which this is false are passed over.
    pub(crate) filter: Option<Node>,
    pub(crate) body: Node,
    /// The item is this local.
    pub(crate) item: usize,
    /// Whether there are two locals: the index or key, and the value.
    pub(crate) pair: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoopKind {
    All,
    Exists,
    ExistsOne,
    Filter,
    /// `map`, `transformList`.
    Map,
    /// `transformMap`.
    Entries,
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
    TypeOf,
    // Conversions.
    ToBool,
    ToInt,
    ToUInt,
    ToDouble,
    ToText,
    ToBytes,
    ToTime,
    ToDuration,
    // Texts.
    Contains,
    StartsWith,
    EndsWith,
    Matches,
    LowerAscii,
    UpperAscii,
    Trim,
    Reverse,
    Quote,
    CharAt,
    IndexOf,
    LastIndexOf,
    Substring,
    Replace,
    Split,
    Join,
    // Numbers.
    Greatest,
    Least,
    Abs,
    Sign,
    Ceil,
    Floor,
    Round,
    Trunc,
    IsFinite,
    IsInf,
    IsNan,
    BitAnd,
    BitOr,
    BitXor,
    BitNot,
    BitShiftLeft,
    BitShiftRight,
    /// In a zone that is known only when evaluated.
    TimePart(TimePart),
}

/// What CEL's getters take out of a time or a duration; all but [`TimePart::Date`] count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimePart {
    FullYear,
    Month,
    /// Day of the month from 1.
    Date,
    DayOfMonth,
    /// From Sunday.
    DayOfWeek,
    DayOfYear,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
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
    /// Whether the customer is in this variant of an experiment.
    pub(crate) fn is_in_variant(experiment: &Arc<Experiment>, variant: usize) -> Node {
        let place = Node::Constant(Value::Int(variant as i64));
        Node::Compare(Comparison::Equal, Box::new([Node::Variant(Arc::clone(experiment)), place]))
    }

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
            | Node::Variant(_)
            | Node::Variable(_)
            | Node::Local(_) => SmallVec::new(),
            Node::Has(inner)
            | Node::Not(inner)
            | Node::Negate(inner)
            | Node::HasBit(inner, _)
            | Node::Rank(inner, _)
            | Node::Field(inner, _)
            | Node::HasKey(inner, _) => SmallVec::from_slice(&[&**inner]),
            Node::Matches(both) => SmallVec::from_slice(&[&both.0]),
            Node::TimePart(_, both) => SmallVec::from_slice(&[&both.0]),
            Node::And(nodes)
            | Node::Or(nodes)
            | Node::List(nodes)
            | Node::Map(nodes)
            | Node::Call(_, nodes) => nodes.iter().collect(),
            Node::If(nodes) => nodes.iter().collect(),
            Node::Compare(_, nodes) | Node::Arithmetic(_, nodes) | Node::In(nodes) | Node::Index(nodes) => {
                nodes.iter().collect()
            }
            Node::Loop(l) => {
                [Some(&l.range), l.filter.as_ref(), Some(&l.body)].into_iter().flatten().collect()
            }
        }
    }
}
