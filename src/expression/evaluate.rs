//! Evaluating a checked expression. It cannot fail and only computes: it reads no clock, and allocates only
//! if the expression builds a text, a list or a map.

mod collection;
mod convert;
mod facts;
mod loops;
mod number;
mod order;
mod text;
mod time;

use jiff::tz::TimeZone;
use smallvec::SmallVec;

use self::facts::Answer;
pub use self::facts::{Facts, TagMemo};
pub(super) use self::order::compare;
use self::order::fits;
pub(super) use self::time::zone;
use super::cost::weight;
use super::pattern::Pattern;
use super::{Comparison, Expression, Function, MAX_EFFORT, Node, Operator};
use crate::schema::value::Value;
use crate::schema::{FeatureId, Vocabulary};

impl Expression {
    /// The expression's value for these facts. A value without an answer is missing or an error.
    pub fn evaluate<'a>(&'a self, facts: &Facts<'a>) -> Value<'a> {
        self.node.evaluate(facts)
    }

    /// Whether it is true. No answer counts as not true.
    pub fn holds<'a>(&'a self, facts: &Facts<'a>) -> bool {
        matches!(self.evaluate(facts), Value::Bool(true))
    }
}

impl Node {
    pub(crate) fn evaluate<'a>(&'a self, facts: &Facts<'a>) -> Value<'a> {
        Run { facts, locals: Vec::new(), spent: 0 }.value(self)
    }
}

/// One evaluation: the variables of its loops, and how much of [`MAX_EFFORT`] it has spent.
struct Run<'r, 'a> {
    facts: &'r Facts<'a>,
    locals: Vec<Value<'a>>,
    spent: usize,
}

pub(super) const NO_OVERLOAD: Value<'static> = Value::Error("values of these types cannot be combined");
const OVERFLOW: Value<'static> = Value::Error("overflow");
const OUT_OF_RANGE: Value<'static> = Value::Error("index out of range");
const TOO_MUCH: Value<'static> = Value::Error("too much work for one condition");

impl<'a> Run<'_, 'a> {
    fn value(&mut self, node: &'a Node) -> Value<'a> {
        match node {
            Node::Constant(value) => value.borrowed(),
            Node::Feature(id) => self.facts.vector.get(self.facts.schema, *id, self.facts.now),
            Node::Code(id) => self.code(*id),
            Node::Context(id) => self.facts.context.get(*id).borrowed(),
            Node::Channel => self.channel(),
            Node::Now => Value::Time(self.facts.now),
            Node::Tag(tag) => self.tag(*tag),
            Node::Variant(experiment) => self.facts.variant(experiment).map_or(Value::Missing, Value::Int),
            Node::Variable(i) => self.facts.variables.get(*i).cloned().unwrap_or(Value::Missing),
            Node::Local(i) => self.locals.get(*i).cloned().unwrap_or(Value::Missing),
            Node::Has(inner) => has(self.value(inner)),
            Node::Not(inner) => not(&self.value(inner)),
            Node::Negate(inner) => negative(&self.value(inner)),
            Node::And(nodes) => self.chain(nodes, false),
            Node::Or(nodes) => self.chain(nodes, true),
            Node::If(nodes) => self.choice(nodes),
            Node::Compare(comparison, nodes) => self.comparison(*comparison, nodes),
            Node::Arithmetic(operator, nodes) => self.arithmetic(*operator, nodes),
            Node::In(nodes) => self.contained(nodes),
            Node::HasBit(set, mask) => has_bit(&self.value(set), *mask),
            Node::Rank(text, words) => rank(&self.value(text), words),
            Node::Index(nodes) => self.element(nodes),
            Node::Field(map, key) => self.field(map, key),
            Node::HasKey(map, key) => self.has_key(map, key),
            Node::List(nodes) => self.list(nodes),
            Node::Map(nodes) => self.map(nodes),
            Node::Call(function, nodes) => self.call(*function, nodes),
            Node::Matches(both) => self.matches(&both.0, &both.1),
            Node::TimePart(part, both) => time::part(*part, &self.value(&both.0), &both.1),
            Node::Loop(l) => self.comprehension(l),
        }
    }

    #[inline]
    fn choice(&mut self, [condition, yes, no]: &'a [Node; 3]) -> Value<'a> {
        match self.value(condition) {
            Value::Bool(true) => self.value(yes),
            Value::Bool(false) => self.value(no),
            other => strict(&other),
        }
    }

    #[inline]
    fn comparison(&mut self, comparison: Comparison, [left, right]: &'a [Node; 2]) -> Value<'a> {
        // Most parts of most conditions compare an enum with a word.
        if let (Node::Code(id), Node::Constant(Value::Int(constant))) = (left, right) {
            return self.compare_code(comparison, *id, *constant);
        }
        let (left, right) = (self.value(left), self.value(right));
        compare(comparison, &left, &right)
    }

    #[inline]
    fn arithmetic(&mut self, operator: Operator, [left, right]: &'a [Node; 2]) -> Value<'a> {
        let (left, right) = (self.value(left), self.value(right));
        // Most arithmetic is that of scores.
        if let (Value::Double(left), Value::Double(right)) = (&left, &right) {
            return number::doubles(operator, *left, *right);
        }
        let result = arithmetic(operator, left, right);
        self.built(result)
    }

    // Here and below, a constant list or map is read in place. A shared reference to it would make all
    // threads count in one cache line.
    #[inline]
    fn contained(&mut self, [item, list]: &'a [Node; 2]) -> Value<'a> {
        let item = self.value(item);
        match list {
            Node::Constant(list) => collection::contained(&item, list),
            list => collection::contained(&item, &self.value(list)),
        }
    }

    #[inline]
    fn element(&mut self, [list, index]: &'a [Node; 2]) -> Value<'a> {
        let index = self.value(index);
        match list {
            Node::Constant(list) => collection::element(list, &index),
            list => collection::element(&self.value(list), &index),
        }
    }

    #[inline]
    fn field(&mut self, map: &'a Node, key: &'a str) -> Value<'a> {
        let key = Value::Text(key.into());
        match map {
            Node::Constant(map) => collection::field(map, &key),
            map => collection::field(&self.value(map), &key),
        }
    }

    #[inline]
    fn has_key(&mut self, map: &'a Node, key: &'a str) -> Value<'a> {
        match self.value(map) {
            map @ Value::Map(_) => collection::contained(&Value::Text(key.into()), &map),
            other => strict(&other),
        }
    }

    #[inline]
    fn list(&mut self, nodes: &'a [Node]) -> Value<'a> {
        match self.all(nodes) {
            Ok(items) => self.built(Value::List(items.into_iter().collect())),
            Err(none) => none,
        }
    }

    #[inline]
    fn map(&mut self, nodes: &'a [Node]) -> Value<'a> {
        match self.all(nodes) {
            Ok(items) => {
                let map = collection::map(items);
                self.built(map)
            }
            Err(none) => none,
        }
    }

    #[inline]
    fn matches(&mut self, text: &'a Node, pattern: &Pattern) -> Value<'a> {
        match self.value(text) {
            Value::Text(text) if self.spend(text::steps(pattern, &text)) => {
                Value::Bool(pattern.is_match(&text))
            }
            Value::Text(_) => TOO_MUCH,
            other => strict(&other),
        }
    }

    /// The values of some nodes; or the first of them that is not an answer.
    fn all(&mut self, nodes: &'a [Node]) -> Result<SmallVec<[Value<'a>; 4]>, Value<'a>> {
        let mut values = SmallVec::with_capacity(nodes.len());
        for node in nodes {
            let value = self.value(node);
            if !value.is_answer() {
                return Err(value);
            }
            values.push(value);
        }
        Ok(values)
    }

    /// Whether this much more may be done. Loops, and what they build, are paid from one purse. So no
    /// expression can use too much time or memory.
    fn spend(&mut self, effort: usize) -> bool {
        self.spent = self.spent.saturating_add(effort);
        self.spent <= MAX_EFFORT
    }

    /// A text, list or map that was put together, if the purse still pays for keeping it.
    fn built(&mut self, value: Value<'a>) -> Value<'a> {
        match &value {
            Value::Text(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_)
                if !self.spend(weight(&value)) =>
            {
                TOO_MUCH
            }
            _ => value,
        }
    }

    fn code(&self, id: FeatureId) -> Value<'a> {
        match self.facts.vector.code(self.facts.schema, id, self.facts.now) {
            0 => Value::Missing,
            code => Value::Int(code as i64 - 1),
        }
    }

    fn compare_code(&self, comparison: Comparison, id: FeatureId, constant: i64) -> Value<'a> {
        match self.code(id) {
            Value::Int(code) => Value::Bool(fits(comparison, code.cmp(&constant))),
            missing => missing,
        }
    }

    fn channel(&self) -> Value<'a> {
        let channel = self.facts.schema.channels().word(u32::from(self.facts.channel.0));
        channel.map_or(Value::Missing, |name| Value::Text(name.into()))
    }

    fn tag(&mut self, tag: usize) -> Value<'a> {
        let facts = self.facts;
        let (Some(tag), Some(known)) = (facts.tags.get(tag), facts.memo.known.get(tag)) else {
            return Value::Missing;
        };
        if known.get() == Answer::Open {
            known.set(match tag.condition.evaluate(facts) {
                Value::Bool(true) => Answer::True,
                Value::Bool(false) => Answer::False,
                Value::Error(why) => Answer::Error(why),
                _ => Answer::Missing,
            });
        }
        match known.get() {
            Answer::True => Value::Bool(true),
            Answer::False => Value::Bool(false),
            Answer::Error(why) => Value::Error(why),
            Answer::Missing | Answer::Open => Value::Missing,
        }
    }

    /// The value of `&&` (`decisive` is false) or `||` (`decisive` is true). One decisive operand decides,
    /// even if others have no answer.
    fn chain(&mut self, nodes: &'a [Node], decisive: bool) -> Value<'a> {
        let mut open = None;
        for node in nodes {
            match self.value(node) {
                Value::Bool(b) if b == decisive => return Value::Bool(decisive),
                Value::Bool(_) => {}
                other => {
                    open.get_or_insert(strict(&other));
                }
            }
        }
        open.unwrap_or(Value::Bool(!decisive))
    }

    fn call(&mut self, function: Function, nodes: &'a [Node]) -> Value<'a> {
        let args = match self.all(nodes) {
            Ok(args) => args,
            Err(none) => return none,
        };
        // What the function reads is paid before, what it builds afterwards; no function builds more than
        // `room` bytes.
        let looked: usize = args.iter().map(|arg| weight(arg) - 1).sum();
        let prepared = if function == Function::Matches { COMPILING } else { 0 };
        if !self.spend(looked + prepared) {
            return TOO_MUCH;
        }
        let room = MAX_EFFORT.saturating_sub(self.spent).saturating_mul(16);
        let value = call(function, args, room, self.facts.schema.zone());
        self.built(value)
    }
}

/// What it costs to compile a pattern that is only known when it is evaluated.
const COMPILING: usize = 500;

fn call<'a>(
    function: Function,
    mut args: SmallVec<[Value<'a>; 4]>,
    room: usize,
    zone: &TimeZone,
) -> Value<'a> {
    use Function as F;
    match function {
        F::Size => collection::size(&args),
        F::TypeOf => args.first().map_or(NO_OVERLOAD, |value| Value::Type(convert::type_of(value))),
        F::ToText => args.pop().map_or(NO_OVERLOAD, convert::to_text),
        F::ToBool | F::ToInt | F::ToUInt | F::ToDouble | F::ToBytes | F::ToTime | F::ToDuration => {
            args.first().map_or(NO_OVERLOAD, |value| convert::to(function, value, zone))
        }
        F::Contains
        | F::StartsWith
        | F::EndsWith
        | F::Matches
        | F::LowerAscii
        | F::UpperAscii
        | F::Trim
        | F::Reverse
        | F::Quote
        | F::CharAt
        | F::IndexOf
        | F::LastIndexOf
        | F::Substring
        | F::Replace
        | F::Split
        | F::Join => text::call(function, &args, room),
        F::TimePart(part) => time::part_in(part, &args),
        _ => number::call(function, &args),
    }
}

/// Whether there is a value; an error stays an error.
#[inline]
fn has(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Missing | Value::Null => Value::Bool(false),
        error @ Value::Error(_) => error,
        _ => Value::Bool(true),
    }
}

#[inline]
fn not<'a>(value: &Value<'a>) -> Value<'a> {
    match value {
        Value::Bool(b) => Value::Bool(!b),
        other => strict(other),
    }
}

#[inline]
fn negative<'a>(value: &Value<'a>) -> Value<'a> {
    match value {
        Value::Int(i) => i.checked_neg().map_or(OVERFLOW, Value::Int),
        Value::Double(x) => Value::Double(-x),
        Value::Duration(d) => Value::Duration(-d),
        other => strict(other),
    }
}

#[inline]
fn has_bit<'a>(set: &Value<'a>, mask: u64) -> Value<'a> {
    match set {
        Value::Set(bits, _) => Value::Bool(bits & mask != 0),
        other => strict(other),
    }
}

#[inline]
fn rank<'a>(text: &Value<'a>, words: &Vocabulary) -> Value<'a> {
    match text {
        Value::Text(text) => words.code(text).map_or(Value::Missing, |code| Value::Int(i64::from(code))),
        other => strict(other),
    }
}

/// The result of a strict operation on a value that it does not work on.
fn strict<'a>(value: &Value<'a>) -> Value<'a> {
    if value.is_answer() { NO_OVERLOAD } else { value.clone() }
}

fn arithmetic<'a>(operator: Operator, left: Value<'a>, right: Value<'a>) -> Value<'a> {
    if !left.is_answer() {
        return left;
    }
    if !right.is_answer() {
        return right;
    }
    match (operator, left, right) {
        (Operator::Add, Value::Text(a), Value::Text(b)) => Value::Text(a + b),
        (Operator::Add, Value::Bytes(a), Value::Bytes(b)) => Value::Bytes([&*a, &*b].concat().into()),
        (Operator::Add, Value::List(a), Value::List(b)) => {
            Value::List(a.iter().chain(b.iter()).cloned().collect())
        }
        (operator, left @ (Value::Time(_) | Value::Duration(_)), right) => {
            time::arithmetic(operator, &left, &right)
        }
        (operator, left, right) => number::arithmetic(operator, &left, &right),
    }
}
