//! Conditions and numbers in CEL (Common Expression Language). A text is parsed into a [`Syntax`], and
//! checked against the schema to become an [`Expression`], which gives a [`Value`].
//!
//! All names and types are resolved when a rule set is compiled, so evaluating cannot fail. A missing feature
//! or an overflow is a value without an answer, and `&&` and `||` ignore it if their other side decides. The
//! work that an expression may take is known before, too.
//!
//! The language is that of <https://github.com/google/cel-spec>, over our kinds of values.
//! `tests/cel_conformance.rs` checks that.

// From text to a checked expression.
mod scan;
mod syntax;
mod parse;
mod types;
mod check;
mod pattern;
mod cost;
// What rule sets add. The index takes schedules and variants as conditions too.
pub mod arm;
pub mod experiment;
mod parameter;
pub mod schedule;
// From an expression to a value.
mod evaluate;
pub(crate) mod seen;
// Normal forms.
pub(crate) mod keys;
pub(crate) mod term;
pub(crate) mod alternatives;
pub(crate) mod normalise;
pub(crate) mod words;
pub(crate) mod faults;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::tz::TimeZone;
use smallvec::SmallVec;

pub use self::check::{OfferScope, Scope, TagNames};
pub use self::evaluate::{Facts, TagMemo};
pub use self::parameter::{Parameter, Parameters};
pub use self::parse::reads_the_same;
pub use self::seen::Read;
pub use self::syntax::Syntax;
pub use self::types::Type;

use self::experiment::Experiment;
use self::pattern::Pattern;
use crate::schema::value::Value;
use crate::schema::{ContextId, FeatureId, Vocabulary};

/// Free variables with their values; a variable's number is its place.
pub type Variables<'s> = &'s [(String, Value<'static>)];

/// The most bytes of an expression's text.
pub const MAX_EXPRESSION_BYTES: usize = 8 * 1024;
/// The most brackets inside each other in one expression.
pub const MAX_BRACKETS: usize = 40;
/// The most operators inside each other in one expression. A chain such as `1 + 1 + 1` counts as it is
/// evaluated, and tags count with the operators that they are built on. Evaluating follows operators on the
/// stack; a test holds this to half of a usual thread's stack.
pub const MAX_DEPTH: usize = 256;
/// The most values and operators of one expression.
pub const MAX_NODES: usize = 2_500;
/// The most items of a list, or entries of a map, that are written out.
pub const MAX_ITEMS: usize = 1_000;
/// The most regular expressions in one expression.
pub const MAX_PATTERNS: usize = 16;
/// The most bytes of a regular expression.
pub const MAX_PATTERN_BYTES: usize = 256;
/// The most bytes that a compiled regular expression may take, and its cache of states again.
pub const MAX_PATTERN_MEMORY: usize = 256 * 1024;
/// The most steps that one evaluation may take, as estimated when the expression is checked. What is inside a
/// loop counts as often as the loop may run. Putting together a text or a list counts by its size. An
/// expression that could take more is refused.
pub const MAX_COST: u64 = 20_000;
/// The most that one evaluation may spend: one for each step of a loop (`exists`, `map` …), one for each
/// value, and one for each 16 bytes of text that it reads or builds. Beyond that there is no answer. This is
/// the last defence against what [`MAX_COST`] cannot know: how long the texts of a request are.
pub const MAX_EFFORT: usize = 20_000;
/// The length in bytes that is assumed for a text whose length is not known when an expression is checked.
pub const ASSUMED_TEXT_BYTES: usize = 1_024;

/// A checked expression, ready to be evaluated.
#[derive(Debug, Clone)]
pub struct Expression {
    /// The text it was parsed from.
    pub text: Arc<str>,
    /// The line in its file, from 1; 0 if it is not known.
    pub line: u32,
    /// Shared: an engine and the next version of a rule set have the same.
    pub(crate) node: Arc<Node>,
    /// The operands of the outermost `&&`, with their texts. `explain` names the one that fails.
    pub(crate) parts: Arc<[Part]>,
}

/// A condition with a name.
#[derive(Debug, Clone)]
pub struct Tag {
    /// Its name, without `tag.` before it.
    pub name: Box<str>,
    /// When the tag is true.
    pub condition: Expression,
}

/// One operand of the outermost `&&`.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) text: Box<str>,
    pub(crate) node: Node,
}

/// A node of an expression whose names and types are resolved.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Constant(Value<'static>),
    Feature(FeatureId),
    /// The place of an enum feature's value in its vocabulary, as an int.
    Code(FeatureId),
    Context(ContextId),
    Channel,
    Now,
    Tag(usize),
    /// The place of the customer's variant of an experiment of the rule set, as an int; [`NO_VARIANT`] for a
    /// customer who is in none.
    Variant(Arc<Experiment>),
    Variable(usize),
    /// A variable of the loops around it, counted from the outermost.
    Local(usize),
    /// Whether there is a value. Only an error has no answer here.
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
    /// A map: its keys and values take turns.
    Map(Box<[Node]>),
    /// The value of a map for a key that is a text.
    Field(Box<Node>, Box<str>),
    /// Whether a map has this text as a key.
    HasKey(Box<Node>, Box<str>),
    Call(Function, Box<[Node]>),
    /// Whether a text has a match of a pattern that is known when the expression is checked.
    Matches(Box<(Node, Pattern)>),
    /// A part of a duration, or of a time in a zone that is known when the expression is checked.
    TimePart(TimePart, Box<(Node, TimeZone)>),
    Loop(Box<Loop>),
}

/// The number for a customer who is in no variant of an experiment.
pub(crate) const NO_VARIANT: i64 = -1;

/// A CEL macro that goes over the items of a range.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Loop {
    pub(crate) kind: LoopKind,
    pub(crate) range: Node,
    /// Items for which this is false are skipped.
    pub(crate) filter: Option<Node>,
    pub(crate) body: Node,
    /// The number of the local that holds the item.
    pub(crate) item: usize,
    /// Whether there are two locals: first the index or key, then the value.
    pub(crate) pair: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoopKind {
    All,
    Exists,
    ExistsOne,
    Filter,
    /// The macros `map` and `transformList`.
    Map,
    /// The macro `transformMap`, which gives a map.
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
    /// The time zone is known only when this is evaluated.
    TimePart(TimePart),
}

/// What CEL's getters take from a time or a duration. All but [`TimePart::Date`] count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimePart {
    FullYear,
    Month,
    /// The day of the month, from 1.
    Date,
    DayOfMonth,
    /// The day of the week, from Sunday.
    DayOfWeek,
    DayOfYear,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

impl Comparison {
    /// The sign by which it is written.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Comparison::Equal => "==",
            Comparison::NotEqual => "!=",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        }
    }

    /// The comparison that says the same with its sides exchanged.
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
    /// The constant that it comes down to, if it is the same for every customer.
    pub fn constant(&self) -> Option<&Value<'static>> {
        if let Node::Constant(value) = &*self.node { Some(value) } else { None }
    }

    /// An expression that is this constant.
    pub fn of_constant(value: Value<'static>) -> Expression {
        let text = value.to_string().into();
        Expression { text, line: 0, node: Arc::new(Node::Constant(value)), parts: Arc::new([]) }
    }
}

impl Expression {
    /// Whether another means the same, wherever it stands and however it is laid out.
    pub(crate) fn is_same(&self, other: &Expression) -> bool {
        Arc::ptr_eq(&self.node, &other.node) || self.node.is_same(&other.node)
    }

    /// How many nodes are inside each other. `tags` has the depths of the tags, which are added where they
    /// are used.
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

    /// Whether another node gives the same for everyone. Equal nodes may differ in the sign of a zero.
    pub(crate) fn is_same(&self, other: &Node) -> bool {
        let mut constants = self.constants().into_iter().zip(other.constants());
        self == other && constants.all(|(one, other)| one.is_same(other))
    }

    fn constants(&self) -> Vec<&Value<'static>> {
        let mut constants = Vec::new();
        self.walk(&mut |node| {
            if let Node::Constant(value) = node {
                constants.push(value);
            }
        });
        constants
    }

    fn depth(&self, tags: &[usize]) -> usize {
        if let Node::Tag(tag) = self {
            return 1 + tags.get(*tag).copied().unwrap_or(0);
        }
        1 + self.children().into_iter().map(|child| child.depth(tags)).max().unwrap_or(0)
    }

    /// Calls `visit` for this node, then for all nodes inside it.
    pub(crate) fn walk<'n>(&'n self, visit: &mut dyn FnMut(&'n Node)) {
        visit(self);
        self.children().into_iter().for_each(|child| child.walk(visit));
    }

    /// The nodes directly inside this one.
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
