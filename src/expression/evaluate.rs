//! Evaluating a checked expression. It cannot fail and does nothing but compute: no clock, no allocation unless the
//! expression builds a text or a list.

use std::cell::Cell;
use std::cmp::Ordering;
use std::sync::Arc;

use super::{Comparison, Expression, Function, Loop, MAX_EFFORT, Node, Operator, Part, Tag};
use crate::context::Context;
use crate::schema::{ChannelId, FeatureId, Schema};
use crate::value::{SECOND, Time, Value};
use crate::vector::FeatureVector;

/// All that an expression can see.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// What the features are.
    pub schema: &'a Schema,
    /// The customer.
    pub vector: FeatureVector<'a>,
    /// The request.
    pub context: &'a Context<'a>,
    /// The request's channel.
    pub channel: ChannelId,
    /// The time of the decision.
    pub now: Time,
    /// The rule set's tags.
    pub tags: &'a [Tag],
    /// What is known of them already.
    pub memo: &'a TagMemo,
    /// Free variables (of `usher eval`).
    pub variables: &'a [Value<'a>],
}

/// Tags that were computed in this decision, so that each is computed once however often it is used.
#[derive(Debug, Default)]
pub struct TagMemo {
    known: Vec<Cell<Answer>>,
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
        TagMemo { known: vec![Cell::new(Answer::Open); tags] }
    }

    /// Nothing known again: for the next customer.
    pub(crate) fn forget(&self) {
        self.known.iter().for_each(|known| known.set(Answer::Open));
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

impl Expression {
    /// Of a condition that does not hold: the number of its first part that does not, and the terms in it with the values
    /// seen, tags with what they are made of.
    pub(crate) fn failed_part<'a>(
        &'a self,
        facts: &Facts<'a>,
    ) -> Option<(usize, Vec<(String, Value<'static>)>)> {
        let fails = |part: &Part| !matches!(part.node.evaluate(facts), Value::Bool(true));
        let failed = self.parts.iter().position(fails)?;
        let mut values = Vec::new();
        terms(&self.parts[failed].node, facts, &mut values);
        Some((failed, values))
    }

    /// The text of a part of its outermost conjunction.
    pub(crate) fn part_text(&self, part: usize) -> &str {
        self.parts.get(part).map_or(&self.text, |part| &part.text)
    }
}

/// The terms below `node` with their values, each once.
fn terms<'a>(node: &'a Node, facts: &Facts<'a>, found: &mut Vec<(String, Value<'static>)>) {
    node.walk(&mut |node| {
        let schema = facts.schema;
        let (name, value) = match node {
            Node::Feature(id) | Node::Code(id) => {
                let feature = schema.feature(*id);
                let value = feature.kind.as_given(facts.vector.get(schema, *id));
                (feature.name.to_string(), value.into_owned())
            }
            Node::Context(id) => {
                let name = format!("context.{}", schema.context()[usize::from(id.0)].name);
                (name, facts.context.get(*id).clone().into_owned())
            }
            Node::Channel => ("context.channel".to_owned(), node.evaluate(facts).into_owned()),
            Node::Now => ("now".to_owned(), Value::Time(facts.now)),
            Node::Tag(tag) => {
                let Some(tag) = facts.tags.get(*tag) else { return };
                let value = node.evaluate(facts).into_owned();
                let name = format!("tag.{}", tag.name);
                if !found.iter().any(|(known, _)| *known == name) {
                    found.push((name, value));
                    terms(&tag.condition.node, facts, found);
                }
                return;
            }
            _ => return,
        };
        if !found.iter().any(|(known, _)| *known == name) {
            found.push((name, value));
        }
    });
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

const NO_OVERLOAD: Value<'static> = Value::Error("these kinds of values do not go together");
const OVERFLOW: Value<'static> = Value::Error("overflow");
const TOO_MUCH: Value<'static> = Value::Error("too much work for one condition");

/// What keeping a value costs: one per value and one per 16 bytes of text.
fn weight(value: &Value<'_>) -> usize {
    match value {
        Value::Text(text) => 1 + text.len() / 16,
        Value::List(items) => 1 + items.iter().map(weight).sum::<usize>(),
        _ => 1,
    }
}

impl<'a> Run<'_, 'a> {
    fn value(&mut self, node: &'a Node) -> Value<'a> {
        match node {
            Node::Constant(value) => value.borrowed(),
            Node::Feature(id) => self.facts.vector.get(self.facts.schema, *id),
            Node::Code(id) => self.code(*id),
            Node::Context(id) => self.facts.context.get(*id).borrowed(),
            Node::Channel => self.channel(),
            Node::Now => Value::Time(self.facts.now),
            Node::Tag(tag) => self.tag(*tag),
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
                Value::Duration(d) => d.checked_neg().map_or(OVERFLOW, Value::Duration),
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
                // A constant list is looked at in place: sharing it would have all threads count in one cache line.
                match list {
                    Node::Constant(list) => contained(&item, list),
                    list => contained(&item, &self.value(list)),
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
                let (list, index) = (self.value(list), self.value(index));
                element(&list, &index)
            }
            Node::List(nodes) => {
                let items: Vec<Value<'a>> = nodes.iter().map(|node| self.value(node)).collect();
                match items.iter().find(|item| !item.is_answer()) {
                    Some(none) => none.clone(),
                    None => self.built(Value::List(items.into())),
                }
            }
            Node::Call(function, nodes) => self.call(*function, nodes),
            Node::Loop(l) => self.comprehension(l),
        }
    }

    /// Whether so much more may be done. Loops and what they build are paid from one purse, so neither time nor memory can
    /// be had in excess by any expression.
    fn spend(&mut self, effort: usize) -> bool {
        self.spent = self.spent.saturating_add(effort);
        self.spent <= MAX_EFFORT
    }

    /// A text or list that was put together, if it may be kept.
    fn built(&mut self, value: Value<'a>) -> Value<'a> {
        match &value {
            Value::Text(_) | Value::List(_) if !self.spend(weight(&value)) => TOO_MUCH,
            _ => value,
        }
    }

    fn code(&self, id: FeatureId) -> Value<'a> {
        match self.facts.schema.feature(id).field.map_or(0, |field| field.read(self.facts.vector.words())) {
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

    /// `&&` (`decisive` false) and `||` (`decisive` true): one decisive operand decides, whatever has no answer.
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

    fn comprehension(&mut self, l: &'a Loop) -> Value<'a> {
        let items: Arc<[Value<'a>]> = match self.value(&l.range) {
            Value::List(items) => items,
            Value::Set(bits, words) => words.of_bits(bits).map(|word| Value::Text(word.into())).collect(),
            other => return strict(&other),
        };
        let start = self.value(&l.start);
        self.locals.truncate(l.item);
        self.locals.push(Value::Missing);
        self.locals.push(start);
        for item in items.iter() {
            if !self.spend(1) {
                self.locals.truncate(l.item);
                return TOO_MUCH;
            }
            self.locals[l.item] = item.clone();
            if self.value(&l.condition) == Value::Bool(false) {
                break;
            }
            let next = self.value(&l.step);
            self.locals.truncate(l.item + 2);
            self.locals[l.item + 1] = next;
        }
        let result = self.value(&l.result);
        self.locals.truncate(l.item);
        result
    }

    fn call(&mut self, function: Function, nodes: &'a [Node]) -> Value<'a> {
        let Some(first) = nodes.first().map(|node| self.value(node)) else { return NO_OVERLOAD };
        if function == Function::NotStrictlyFalse {
            return Value::Bool(first != Value::Bool(false));
        }
        if !first.is_answer() {
            return first;
        }
        match function {
            Function::Size => size(&first),
            Function::Contains | Function::StartsWith | Function::EndsWith => {
                let second = nodes.get(1).map_or(NO_OVERLOAD, |node| self.value(node));
                match (&first, &second) {
                    (Value::Text(text), Value::Text(part)) => Value::Bool(match function {
                        Function::Contains => text.contains(&**part),
                        Function::StartsWith => text.starts_with(&**part),
                        _ => text.ends_with(&**part),
                    }),
                    _ => strict(&second),
                }
            }
            Function::ToDouble => to_double(&first),
            Function::ToInt => to_int(&first),
            Function::ToText => to_text(first),
            Function::ToTime => to_time(&first),
            Function::ToDuration => to_duration(&first),
            Function::NotStrictlyFalse => NO_OVERLOAD,
        }
    }
}

/// What a strict operation on `value` comes to when `value` is not what it works on.
fn strict<'a>(value: &Value<'a>) -> Value<'a> {
    if value.is_answer() { NO_OVERLOAD } else { value.clone() }
}

pub(super) fn compare<'a>(comparison: Comparison, left: &Value<'a>, right: &Value<'a>) -> Value<'a> {
    if !left.is_answer() {
        return left.clone();
    }
    if !right.is_answer() {
        return right.clone();
    }
    let order = match comparison {
        Comparison::Equal => return Value::Bool(equal(left, right)),
        Comparison::NotEqual => return Value::Bool(!equal(left, right)),
        _ => match (left, right) {
            (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
            (Value::Int(a), Value::Double(b)) => int_and_double(*a, *b),
            (Value::Double(a), Value::Int(b)) => int_and_double(*b, *a).map(Ordering::reverse),
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Time(a), Value::Time(b)) => Some(a.cmp(b)),
            (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
            _ => return NO_OVERLOAD,
        },
    };
    // Nothing is less or greater than NaN.
    Value::Bool(order.is_some_and(|order| fits(comparison, order)))
}

fn fits(comparison: Comparison, order: Ordering) -> bool {
    match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

fn equal(left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::Int(a), Value::Double(b)) | (Value::Double(b), Value::Int(a)) => {
            int_and_double(*a, *b) == Some(Ordering::Equal)
        }
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| equal(a, b))
        }
        (Value::Set(a, words), Value::Set(b, others)) => words.of_bits(*a).eq(others.of_bits(*b)),
        _ => left == right,
    }
}

/// Compares exactly: an int beyond 2^53 has no double of its own, so neither side may be converted to the other's kind.
fn int_and_double(i: i64, x: f64) -> Option<Ordering> {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0; // 2^63
    if x.is_nan() {
        None
    } else if x >= BEYOND {
        Some(Ordering::Less)
    } else if x < -BEYOND {
        Some(Ordering::Greater)
    } else {
        let whole = i.cmp(&(x.trunc() as i64));
        Some(whole.then(0.0_f64.total_cmp(&(x.fract() + 0.0))))
    }
}

fn arithmetic<'a>(operator: Operator, left: Value<'a>, right: Value<'a>) -> Value<'a> {
    use Operator::{Add, Divide, Modulo, Multiply, Subtract};
    if !left.is_answer() {
        return left;
    }
    if !right.is_answer() {
        return right;
    }
    match (operator, left, right) {
        (operator, Value::Int(a), Value::Int(b)) => int_arithmetic(operator, a, b),
        (Add, Value::Double(a), Value::Double(b)) => Value::Double(a + b),
        (Subtract, Value::Double(a), Value::Double(b)) => Value::Double(a - b),
        (Multiply, Value::Double(a), Value::Double(b)) => Value::Double(a * b),
        (Divide, Value::Double(a), Value::Double(b)) => Value::Double(a / b),
        (Add, Value::Text(a), Value::Text(b)) => Value::Text(a + b),
        (Add, Value::List(a), Value::List(b)) => Value::List(a.iter().chain(b.iter()).cloned().collect()),
        (Add, Value::Time(Time(t)), Value::Duration(d)) | (Add, Value::Duration(d), Value::Time(Time(t))) => {
            t.checked_add(d).map_or(OVERFLOW, |t| Value::Time(Time(t)))
        }
        (Subtract, Value::Time(Time(t)), Value::Duration(d)) => {
            t.checked_sub(d).map_or(OVERFLOW, |t| Value::Time(Time(t)))
        }
        (Subtract, Value::Time(Time(a)), Value::Time(Time(b))) => {
            a.checked_sub(b).map_or(OVERFLOW, Value::Duration)
        }
        (Add, Value::Duration(a), Value::Duration(b)) => a.checked_add(b).map_or(OVERFLOW, Value::Duration),
        (Subtract, Value::Duration(a), Value::Duration(b)) => {
            a.checked_sub(b).map_or(OVERFLOW, Value::Duration)
        }
        (Modulo | Add | Subtract | Multiply | Divide, _, _) => NO_OVERLOAD,
    }
}

fn int_arithmetic(operator: Operator, a: i64, b: i64) -> Value<'static> {
    if b == 0 && matches!(operator, Operator::Divide | Operator::Modulo) {
        return Value::Error("division by zero");
    }
    let result = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide => a.checked_div(b),
        Operator::Modulo => a.checked_rem(b),
    };
    result.map_or(OVERFLOW, Value::Int)
}

fn contained<'a>(item: &Value<'a>, list: &Value<'a>) -> Value<'a> {
    if !item.is_answer() {
        return item.clone();
    }
    match list {
        Value::List(items) => Value::Bool(items.iter().any(|other| equal(item, other))),
        Value::Set(bits, words) => match item {
            Value::Text(word) => Value::Bool(words.code(word).is_some_and(|code| bits >> code & 1 == 1)),
            _ => Value::Bool(false),
        },
        other => strict(other),
    }
}

fn element<'a>(list: &Value<'a>, index: &Value<'a>) -> Value<'a> {
    match (list, index) {
        (Value::List(items), Value::Int(i)) => {
            let item = usize::try_from(*i).ok().and_then(|i| items.get(i));
            item.cloned().unwrap_or(Value::Error("index out of range"))
        }
        (list, index) if list.is_answer() => strict(index),
        (list, _) => list.clone(),
    }
}

fn size(value: &Value<'_>) -> Value<'static> {
    match value {
        Value::Text(text) => Value::Int(text.chars().count() as i64),
        Value::List(items) => Value::Int(items.len() as i64),
        Value::Set(bits, _) => Value::Int(i64::from(bits.count_ones())),
        _ => NO_OVERLOAD,
    }
}

fn to_double(value: &Value<'_>) -> Value<'static> {
    match value {
        Value::Double(x) => Value::Double(*x),
        Value::Int(i) => Value::Double(*i as f64),
        Value::Text(text) => text.parse().map_or(Value::Error("not a number"), Value::Double),
        _ => NO_OVERLOAD,
    }
}

fn to_int(value: &Value<'_>) -> Value<'static> {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0; // 2^63
    match value {
        Value::Int(i) => Value::Int(*i),
        Value::Double(x) if *x > -BEYOND && *x < BEYOND => Value::Int(*x as i64),
        Value::Double(_) => OVERFLOW,
        Value::Text(text) => text.parse().map_or(Value::Error("not a whole number"), Value::Int),
        Value::Time(time) => Value::Int(time.seconds()),
        _ => NO_OVERLOAD,
    }
}

fn to_time(value: &Value<'_>) -> Value<'static> {
    match value {
        Value::Time(time) => Value::Time(*time),
        Value::Int(seconds) => Value::Time(Time::from_seconds(*seconds)),
        Value::Text(text) => Time::parse(text).map_or(Value::Error("not a timestamp"), Value::Time),
        _ => NO_OVERLOAD,
    }
}

fn to_duration(value: &Value<'_>) -> Value<'static> {
    match value {
        Value::Duration(d) => Value::Duration(*d),
        Value::Text(text) => duration(text).map_or(Value::Error("not a duration"), Value::Duration),
        _ => NO_OVERLOAD,
    }
}

fn to_text(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Text(text) => Value::Text(text),
        Value::Int(i) => Value::Text(i.to_string().into()),
        Value::Double(x) => Value::Text(x.to_string().into()),
        Value::Bool(b) => Value::Text(b.to_string().into()),
        Value::Time(time) => Value::Text(time.to_string().into()),
        Value::Duration(d) => Value::Text(format!("{}s", d as f64 / SECOND as f64).into()),
        _ => NO_OVERLOAD,
    }
}

/// `1h30m`, `-1.5s`, `250ms` in microseconds: numbers with units h, m, s, ms, us, ns, after the CEL specification.
fn duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let (unit, micros) = [("ms", 1e3), ("us", 1.0), ("ns", 1e-3), ("h", 3.6e9), ("m", 6e7), ("s", 1e6)]
            .into_iter()
            .find(|(unit, _)| rest[digits..].starts_with(unit))?;
        total += number * micros;
        rest = &rest[digits + unit.len()..];
    }
    (total < 9.0e18).then_some((sign * total) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ints_and_doubles_compare_exactly() {
        for (i, x, expected) in [
            (1, 1.0, Some(Ordering::Equal)),
            (1, 1.5, Some(Ordering::Less)),
            (-1, -1.5, Some(Ordering::Greater)),
            (0, -0.0, Some(Ordering::Equal)),
            (i64::MAX, 9_223_372_036_854_775_807.0, Some(Ordering::Less)),
            (9_007_199_254_740_993, 9_007_199_254_740_992.0, Some(Ordering::Greater)),
            (i64::MIN, f64::NEG_INFINITY, Some(Ordering::Greater)),
            (0, f64::NAN, None),
        ] {
            assert_eq!(int_and_double(i, x), expected, "{i} {x}");
        }
    }

    #[test]
    fn durations_are_read_as_cel_writes_them() {
        for (text, expected) in [
            ("1h30m", Some(5_400 * SECOND)),
            ("-1.5s", Some(-1_500_000)),
            ("250ms", Some(250_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("7d", None),
            ("", None),
            ("-", None),
            ("h", None),
            ("1", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }
}
