//! Evaluating a checked expression. It cannot fail and does nothing but compute: no clock, no allocation
//! unless the expression builds a text or a list.

mod collection;
mod convert;
mod number;
mod order;
mod text;
mod time;

use std::cell::Cell;

use smallvec::SmallVec;

pub(super) use self::order::compare;
use self::order::fits;
pub(super) use self::time::zone;
use super::arm::{SLOTS, slot};
use super::cost::weight;
use super::experiment::Experiment;
use super::{Comparison, Expression, Function, Loop, LoopKind, MAX_EFFORT, NO_VARIANT, Node, Operator, Tag};
use crate::schema::context::Context;
use crate::schema::value::{Time, Value};
use crate::schema::vector::FeatureVector;
use crate::schema::{ChannelId, FeatureId, Schema, Vocabulary};

/// All that an expression can see.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// What the features are.
    pub schema: &'a Schema,
    /// The customer.
    pub vector: FeatureVector<'a>,
    /// The customer's id, which tells the arms of experiments; without it they have no answer.
    pub customer: Option<&'a str>,
    /// The request.
    pub context: &'a Context<'a>,
    /// The request's channel.
    pub channel: ChannelId,
    /// The time of the decision.
    pub now: Time,
    /// The rule set's tags.
    pub tags: &'a [Tag],
    /// What is known of them already, and of the rule set's experiments.
    pub memo: &'a TagMemo,
    /// Free variables (of `usher eval`).
    pub variables: &'a [Value<'a>],
}

impl<'a> Facts<'a> {
    /// What can be seen without a customer and at no particular time: the context, and whatever is put in place of the rest.
    pub(crate) fn of_context(schema: &'a Schema, context: &'a Context<'a>, memo: &'a TagMemo) -> Facts<'a> {
        Facts {
            schema,
            vector: FeatureVector::unknown(),
            customer: None,
            context,
            channel: ChannelId(0),
            now: Time(0),
            tags: &[],
            memo,
            variables: &[],
        }
    }
}

/// Tags that were computed in this decision, so that each is computed once however often it is used; and the customer's slots
/// in the experiments of the same rule set, each hashed once.
#[derive(Debug, Default)]
pub struct TagMemo {
    known: Vec<Cell<Answer>>,
    /// By the experiment's place; [`SLOTS`] where it was not asked for yet.
    slots: Vec<Cell<u16>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Answer {
    #[default]
    Open,
    True,
    False,
    Missing,
    Error(&'static str),
}

impl TagMemo {
    /// Nothing known of `tags` tags.
    pub fn new(tags: usize) -> TagMemo {
        TagMemo { known: vec![Cell::new(Answer::Open); tags], slots: Vec::new() }
    }

    /// Forgets what is known, of `tags` tags and `experiments` experiments from now on. Allocates only if they have become
    /// more.
    pub(crate) fn clear(&mut self, tags: usize, experiments: usize) {
        self.known.clear();
        self.known.resize(tags, Cell::new(Answer::Open));
        self.slots.clear();
        self.slots.resize(experiments, Cell::new(SLOTS));
    }

    /// Nothing known again: for the next customer.
    pub(crate) fn forget(&self) {
        self.known.iter().for_each(|known| known.set(Answer::Open));
        self.slots.iter().for_each(|known| known.set(SLOTS));
    }
}

impl Facts<'_> {
    /// The place of the customer's variant of an experiment of this rule set, [`NO_VARIANT`] if it is none; `None` if nobody
    /// knows who the customer is.
    pub(crate) fn variant(&self, experiment: &Experiment) -> Option<i64> {
        let customer = self.customer?;
        let drawn = || slot(&experiment.salt, customer);
        let slot = match self.memo.slots.get(experiment.place) {
            Some(known) if known.get() == SLOTS => {
                known.set(drawn());
                known.get()
            }
            Some(known) => known.get(),
            None => drawn(),
        };
        Some(experiment.variant_at(slot).map_or(NO_VARIANT, |variant| variant as i64))
    }
}

impl Expression {
    /// Its value.
    pub fn evaluate<'a>(&'a self, facts: &Facts<'a>) -> Value<'a> {
        self.node.evaluate(facts)
    }

    /// Whether it is true; no answer counts as no.
    pub fn holds<'a>(&'a self, facts: &Facts<'a>) -> bool {
        matches!(self.evaluate(facts), Value::Bool(true))
    }
}

impl Node {
    pub(crate) fn evaluate<'a>(&'a self, facts: &Facts<'a>) -> Value<'a> {
        Run { facts, locals: Vec::new(), spent: 0 }.value(self)
    }
}

/// One evaluation: the loops' variables, and what it has spent of [`MAX_EFFORT`].
struct Run<'r, 'a> {
    facts: &'r Facts<'a>,
    locals: Vec<Value<'a>>,
    spent: usize,
}

pub(super) const NO_OVERLOAD: Value<'static> = Value::Error("these kinds of values do not go together");
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
            Node::Has(inner) => match self.value(inner) {
                Value::Missing | Value::Null => Value::Bool(false),
                error @ Value::Error(_) => error,
                _ => Value::Bool(true),
            },
            Node::Not(inner) => match self.value(inner) {
                Value::Bool(b) => Value::Bool(!b),
                other => strict(&other),
            },
            Node::Negate(inner) => match self.value(inner) {
                Value::Int(i) => i.checked_neg().map_or(OVERFLOW, Value::Int),
                Value::Double(x) => Value::Double(-x),
                Value::Duration(d) => Value::Duration(-d),
                other => strict(&other),
            },
            Node::And(nodes) => self.chain(nodes, false),
            Node::Or(nodes) => self.chain(nodes, true),
            Node::If(nodes) => {
                let [condition, yes, no] = &**nodes;
                match self.value(condition) {
                    Value::Bool(true) => self.value(yes),
                    Value::Bool(false) => self.value(no),
                    other => strict(&other),
                }
            }
            Node::Compare(comparison, nodes) => {
                let [left, right] = &**nodes;
                // Most atoms of most conditions: an enum's word against another.
                if let (Node::Code(id), Node::Constant(Value::Int(constant))) = (left, right) {
                    return self.compare_code(*comparison, *id, *constant);
                }
                let (left, right) = (self.value(left), self.value(right));
                compare(*comparison, &left, &right)
            }
            Node::Arithmetic(operator, nodes) => {
                let [left, right] = &**nodes;
                let (left, right) = (self.value(left), self.value(right));
                let sum = arithmetic(*operator, left, right);
                self.built(sum)
            }
            Node::In(nodes) => {
                let [item, list] = &**nodes;
                let item = self.value(item);
                // A constant list is looked at in place: sharing it would have all threads count in one cache
                // line.
                match list {
                    Node::Constant(list) => collection::contained(&item, list),
                    list => collection::contained(&item, &self.value(list)),
                }
            }
            Node::HasBit(set, mask) => match self.value(set) {
                Value::Set(bits, _) => Value::Bool(bits & mask != 0),
                other => strict(&other),
            },
            Node::Rank(text, words) => match self.value(text) {
                Value::Text(text) => {
                    words.code(&text).map_or(Value::Missing, |code| Value::Int(i64::from(code)))
                }
                other => strict(&other),
            },
            Node::Index(nodes) => {
                let [list, index] = &**nodes;
                let index = self.value(index);
                match list {
                    Node::Constant(list) => collection::element(list, &index),
                    list => collection::element(&self.value(list), &index),
                }
            }
            Node::Field(map, key) => {
                let key = Value::Text(key.as_ref().into());
                match &**map {
                    Node::Constant(map) => collection::field(map, &key),
                    map => collection::field(&self.value(map), &key),
                }
            }
            Node::HasKey(map, key) => match self.value(map) {
                map @ Value::Map(_) => collection::contained(&Value::Text(key.as_ref().into()), &map),
                other => strict(&other),
            },
            Node::List(nodes) => match self.all(nodes) {
                Ok(items) => self.built(Value::List(items.into_iter().collect())),
                Err(none) => none,
            },
            Node::Map(nodes) => match self.all(nodes) {
                Ok(items) => {
                    let map = collection::map(items);
                    self.built(map)
                }
                Err(none) => none,
            },
            Node::Call(function, nodes) => self.call(*function, nodes),
            Node::Matches(both) => match self.value(&both.0) {
                Value::Text(text) if self.spend(text::steps(&both.1, &text)) => {
                    Value::Bool(both.1.is_match(&text))
                }
                Value::Text(_) => TOO_MUCH,
                other => strict(&other),
            },
            Node::TimePart(part, both) => time::part(*part, &self.value(&both.0), &both.1),
            Node::Loop(l) => {
                self.locals.truncate(l.item);
                let result = match &l.range {
                    Node::Constant(range) => self.comprehension(l, range),
                    range => {
                        let range = self.value(range);
                        self.comprehension(l, &range)
                    }
                };
                self.locals.truncate(l.item);
                result
            }
        }
    }

    /// The values of nodes, or the first that is no answer.
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

    /// Whether so much more may be done. Loops and what they build are paid from one purse, so neither time
    /// nor memory can be had in excess by any expression.
    fn spend(&mut self, effort: usize) -> bool {
        self.spent = self.spent.saturating_add(effort);
        self.spent <= MAX_EFFORT
    }

    /// A text or list that was put together, if it may be kept.
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

    /// `&&` (`decisive` false) and `||` (`decisive` true): one decisive operand decides, whatever has no
    /// answer.
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

    fn comprehension(&mut self, l: &'a Loop, range: &Value<'a>) -> Value<'a> {
        match range {
            Value::List(items) => {
                let indexed = items.iter().enumerate();
                self.rounds(l, false, indexed.map(|(i, item)| (Value::Int(i as i64), item.clone())))
            }
            Value::Set(bits, words) => self.rounds(l, false, of_bits(*bits, words)),
            Value::Map(entries) => self.rounds(l, true, entries.iter().cloned()),
            other => strict(other),
        }
    }

    /// Goes over a range's indexes and items, or keys and values; a loop with one name has the items, or the
    /// keys.
    fn rounds(
        &mut self,
        l: &'a Loop,
        keyed: bool,
        range: impl Iterator<Item = (Value<'a>, Value<'a>)>,
    ) -> Value<'a> {
        let mut gathered = Gathered::default();
        for (key, value) in range {
            if !self.spend(1) {
                return TOO_MUCH;
            }
            self.locals.truncate(l.item);
            match (l.pair, keyed) {
                (true, _) => self.locals.extend([key.clone(), value]),
                (false, true) => self.locals.push(key.clone()),
                (false, false) => self.locals.push(value),
            }
            match l.filter.as_ref().map(|filter| self.value(filter)) {
                None | Some(Value::Bool(true)) => {}
                Some(Value::Bool(false)) => continue,
                Some(other) => return strict(&other),
            }
            let body = self.value(&l.body);
            if let Some(result) = self.gather(l, key, body, &mut gathered) {
                return result;
            }
        }
        match l.kind {
            LoopKind::All | LoopKind::Exists => gathered.open.unwrap_or(Value::Bool(l.kind == LoopKind::All)),
            LoopKind::ExistsOne => Value::Bool(gathered.hits == 1),
            LoopKind::Map | LoopKind::Filter => Value::List(gathered.items.into()),
            LoopKind::Entries => Value::Map(gathered.entries.into()),
        }
    }

    /// Takes up what one round gave; the loop's result if that decides it.
    fn gather(
        &mut self,
        l: &Loop,
        key: Value<'a>,
        body: Value<'a>,
        gathered: &mut Gathered<'a>,
    ) -> Option<Value<'a>> {
        match (l.kind, body) {
            (LoopKind::All | LoopKind::Exists, Value::Bool(b)) => {
                let decisive = l.kind == LoopKind::Exists;
                return (b == decisive).then_some(Value::Bool(decisive));
            }
            (LoopKind::All | LoopKind::Exists, other) => {
                gathered.open.get_or_insert(strict(&other));
            }
            (LoopKind::ExistsOne, Value::Bool(b)) => gathered.hits += usize::from(b),
            (LoopKind::Filter, Value::Bool(b)) => {
                if b {
                    let item = self.locals.get(l.item).cloned().unwrap_or(Value::Missing);
                    return self.keep(item, &mut gathered.items);
                }
            }
            (LoopKind::ExistsOne | LoopKind::Filter, other) => return Some(strict(&other)),
            (LoopKind::Map | LoopKind::Entries, none) if !none.is_answer() => return Some(none),
            (LoopKind::Map, value) => return self.keep(value, &mut gathered.items),
            (LoopKind::Entries, value) => {
                if !self.spend(weight(&key) + weight(&value)) {
                    return Some(TOO_MUCH);
                }
                gathered.entries.push((key, value));
            }
        }
        None
    }

    fn keep(&mut self, item: Value<'a>, items: &mut Vec<Value<'a>>) -> Option<Value<'a>> {
        if !self.spend(weight(&item)) {
            return Some(TOO_MUCH);
        }
        items.push(item);
        None
    }

    fn call(&mut self, function: Function, nodes: &'a [Node]) -> Value<'a> {
        let args = match self.all(nodes) {
            Ok(args) => args,
            Err(none) => return none,
        };
        // What is looked through is paid before, what is put together after; no function puts together more
        // than `room` bytes.
        let looked: usize = args.iter().map(|arg| weight(arg) - 1).sum();
        let prepared = if function == Function::Matches { COMPILING } else { 0 };
        if !self.spend(looked + prepared) {
            return TOO_MUCH;
        }
        let room = MAX_EFFORT.saturating_sub(self.spent).saturating_mul(16);
        let value = call(function, args, room);
        self.built(value)
    }
}

/// What compiling a pattern that is only known now costs.
const COMPILING: usize = 500;

/// What a loop has so far.
#[derive(Default)]
struct Gathered<'a> {
    /// The first round of `all` and `exists` that had no answer.
    open: Option<Value<'a>>,
    hits: usize,
    items: Vec<Value<'a>>,
    entries: Vec<(Value<'a>, Value<'a>)>,
}

fn of_bits<'a>(bits: u64, words: &'a Vocabulary) -> impl Iterator<Item = (Value<'a>, Value<'a>)> {
    words.of_bits(bits).enumerate().map(|(i, word)| (Value::Int(i as i64), Value::Text(word.into())))
}

fn call<'a>(function: Function, mut args: SmallVec<[Value<'a>; 4]>, room: usize) -> Value<'a> {
    use Function as F;
    match function {
        F::Size => collection::size(&args),
        F::TypeOf => args.first().map_or(NO_OVERLOAD, |value| Value::Type(convert::type_of(value))),
        F::ToText => args.pop().map_or(NO_OVERLOAD, convert::to_text),
        F::ToBool | F::ToInt | F::ToUInt | F::ToDouble | F::ToBytes | F::ToTime | F::ToDuration => {
            args.first().map_or(NO_OVERLOAD, |value| convert::to(function, value))
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

/// What a strict operation on `value` comes to when `value` is not what it works on.
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
