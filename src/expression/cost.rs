//! How much work an expression can be at most, known before it is evaluated: loops multiply what is in them
//! by how often they may go round.

use super::{ASSUMED_TEXT_BYTES, Function, Loop, LoopKind, Node, Variables};
use crate::schema::value::Value;
use crate::schema::{Kind, Schema, Vocabulary};

/// Reckons steps as [`super::MAX_COST`] counts them.
pub(super) struct Cost<'s> {
    pub(super) schema: &'s Schema,
    pub(super) variables: Variables<'s>,
    locals: Vec<Size>,
}

/// How big a value can be.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Size {
    /// All of it, as [`weight`] counts.
    weight: u64,
    /// Items of a list, keys of a map.
    count: u64,
    /// The weight of its biggest item.
    each: u64,
}

/// What keeping a value costs: one per value and one per 16 bytes of text.
pub(super) fn weight(value: &Value<'_>) -> usize {
    match value {
        Value::Text(text) => 1 + text.len().div_ceil(16),
        Value::Bytes(bytes) => 1 + bytes.len().div_ceil(16),
        Value::List(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Map(entries) => {
            1 + entries.iter().map(|(key, value)| weight(key) + weight(value)).sum::<usize>()
        }
        _ => 1,
    }
}

impl Size {
    const ONE: Size = Size { weight: 1, count: 0, each: 1 };

    fn text(bytes: u64) -> Size {
        Size { weight: 1 + bytes.div_ceil(16), count: 0, each: 1 }
    }

    /// A list or map of `count` items.
    fn items(count: u64, each: u64) -> Size {
        Size { weight: count.saturating_mul(each).saturating_add(1), count, each }
    }

    fn of_value(value: &Value<'_>) -> Size {
        let (count, each) = match value {
            Value::List(items) => (items.len(), items.iter().map(weight).max().unwrap_or(1)),
            Value::Map(entries) => {
                let both = |(key, value): &(Value<'_>, Value<'_>)| weight(key).max(weight(value));
                (entries.len(), entries.iter().map(both).max().unwrap_or(1))
            }
            Value::Set(_, words) => return Size::of_words(words),
            _ => (0, 1),
        };
        Size { weight: weight(value) as u64, count: count as u64, each: each as u64 }
    }

    fn of_kind(kind: &Kind) -> Size {
        match kind {
            Kind::Text => Size::text(ASSUMED_TEXT_BYTES as u64),
            Kind::Enum(_) => Size::text(crate::schema::MAX_NAME_BYTES as u64),
            Kind::Set(words) => Size::of_words(words),
            Kind::Computed(computed) => Size::of_kind(&computed.result),
            _ => Size::ONE,
        }
    }

    fn of_words(words: &Vocabulary) -> Size {
        Size::items(words.words().len() as u64, Size::text(crate::schema::MAX_NAME_BYTES as u64).weight)
    }

    /// An item; of what is in that, nothing is known but that it is no bigger.
    fn item(self) -> Size {
        let inside = self.each.saturating_sub(1);
        Size { weight: self.each, count: inside, each: inside.max(1) }
    }

    /// Bytes of a text.
    fn bytes(self) -> u64 {
        self.weight.saturating_sub(1).saturating_mul(16)
    }

    /// Two of them together, as `+` does; numbers stay numbers.
    fn and(self, other: Size) -> Size {
        Size {
            weight: self.weight.saturating_add(other.weight.saturating_sub(1)),
            count: self.count.saturating_add(other.count),
            each: self.each.max(other.each),
        }
    }

    /// One or the other.
    fn or(self, other: Size) -> Size {
        Size {
            weight: self.weight.max(other.weight),
            count: self.count.max(other.count),
            each: self.each.max(other.each),
        }
    }
}

impl<'s> Cost<'s> {
    pub(super) fn new(schema: &'s Schema, variables: Variables<'s>) -> Cost<'s> {
        Cost { schema, variables, locals: Vec::new() }
    }

    /// The steps that evaluating `node` takes at most.
    pub(super) fn of(&mut self, node: &Node) -> u64 {
        self.reckon(node).0
    }

    fn reckon(&mut self, node: &Node) -> (u64, Size) {
        match node {
            Node::Constant(value) => (1, Size::of_value(value)),
            Node::Feature(id) => (1, Size::of_kind(&self.schema.feature(*id).kind)),
            Node::Context(id) => (1, Size::of_kind(&self.schema.context()[usize::from(id.0)].kind)),
            Node::Channel => (1, Size::of_kind(&Kind::Text)),
            Node::Variable(i) => {
                (1, self.variables.get(*i).map_or(Size::ONE, |(_, value)| Size::of_value(value)))
            }
            Node::Local(i) => (1, self.locals.get(*i).copied().unwrap_or(Size::ONE)),
            Node::Code(_) | Node::Now | Node::Tag(_) | Node::Variant(_) => (1, Size::ONE),
            Node::Has(_)
            | Node::Not(_)
            | Node::Negate(_)
            | Node::HasBit(..)
            | Node::Rank(..)
            | Node::And(_)
            | Node::Or(_)
            | Node::TimePart(..) => (self.inside(node).0, Size::ONE),
            Node::Compare(..) => {
                let (cost, sizes) = self.inside(node);
                (cost.saturating_add(least(&sizes)), Size::ONE)
            }
            Node::In(_) | Node::HasKey(..) => {
                let (cost, sizes) = self.inside(node);
                (cost.saturating_add(sizes.last().map_or(0, |size| size.weight)), Size::ONE)
            }
            Node::If(_) => {
                let (cost, sizes) = self.inside(node);
                (
                    cost,
                    sizes.get(1).copied().unwrap_or_default().or(sizes.get(2).copied().unwrap_or_default()),
                )
            }
            Node::Index(_) | Node::Field(..) => {
                let (cost, sizes) = self.inside(node);
                let (weight, item) = sizes.first().map_or((0, Size::ONE), |size| (size.count, size.item()));
                (cost.saturating_add(weight), item)
            }
            Node::Arithmetic(..) => {
                let (cost, sizes) = self.inside(node);
                let sum = sizes.into_iter().reduce(Size::and).unwrap_or(Size::ONE);
                (cost.saturating_add(sum.weight), sum)
            }
            Node::List(_) => {
                let (cost, sizes) = self.inside(node);
                let list = together(&sizes, 1);
                (cost.saturating_add(list.weight), list)
            }
            Node::Map(_) => {
                let (cost, sizes) = self.inside(node);
                let map = together(&sizes, 2);
                // Each key is looked for among those before it.
                let looked = map.count.saturating_mul(map.count) / 8;
                (cost.saturating_add(map.weight).saturating_add(looked), map)
            }
            Node::Matches(both) => {
                let (cost, sizes) = self.inside(node);
                let steps = both.1.steps_of_16_bytes();
                (cost.saturating_add(steps.saturating_mul(total(&sizes))), Size::ONE)
            }
            Node::Call(function, _) => {
                let (cost, sizes) = self.inside(node);
                let (work, size) = call(*function, &sizes);
                (cost.saturating_add(work), size)
            }
            Node::Loop(l) => self.reckon_loop(l),
        }
    }

    /// What the nodes directly below take, and one for the node itself.
    fn inside(&mut self, node: &Node) -> (u64, Vec<Size>) {
        let below: Vec<(u64, Size)> = node.children().into_iter().map(|child| self.reckon(child)).collect();
        let cost = below.iter().fold(1_u64, |all, (cost, _)| all.saturating_add(*cost));
        (cost, below.into_iter().map(|(_, size)| size).collect())
    }

    fn reckon_loop(&mut self, l: &Loop) -> (u64, Size) {
        let (range_cost, range) = self.reckon(&l.range);
        self.locals.truncate(l.item);
        self.locals.extend(if l.pair { [range.item(); 2].to_vec() } else { vec![range.item()] });
        let filter = l.filter.as_ref().map_or(0, |filter| self.reckon(filter).0);
        let (body, size) = self.reckon(&l.body);
        self.locals.truncate(l.item);
        let result = match l.kind {
            LoopKind::All | LoopKind::Exists | LoopKind::ExistsOne => Size::ONE,
            LoopKind::Filter => range,
            LoopKind::Map => Size::items(range.count, size.weight),
            LoopKind::Entries => Size::items(range.count, size.weight.saturating_add(range.each)),
        };
        let round = body.saturating_add(filter).saturating_add(1);
        let cost = range_cost.saturating_add(round.saturating_mul(range.count));
        (cost.saturating_add(result.weight), result)
    }
}

fn total(sizes: &[Size]) -> u64 {
    sizes.iter().fold(0, |all, size| all.saturating_add(size.weight))
}

/// Comparing stops at the end of the smaller one.
fn least(sizes: &[Size]) -> u64 {
    sizes.iter().map(|size| size.weight).min().unwrap_or(0)
}

/// A list or a map of values of these sizes; a map's item has two of them.
fn together(sizes: &[Size], values_per_item: u64) -> Size {
    Size {
        weight: total(sizes).saturating_add(1),
        count: sizes.len() as u64 / values_per_item,
        each: sizes.iter().map(|size| size.weight).max().unwrap_or(1),
    }
}

/// What a function does beyond reading its arguments, and how big the result is.
fn call(function: Function, sizes: &[Size]) -> (u64, Size) {
    let of = |i: usize| sizes.get(i).copied().unwrap_or_default();
    let (first, all) = (of(0), total(sizes));
    match function {
        Function::ToText | Function::ToBytes => (first.weight, Size::text(32).or(first)),
        Function::LowerAscii
        | Function::UpperAscii
        | Function::Trim
        | Function::Reverse
        | Function::CharAt
        | Function::Substring => (first.weight, first),
        Function::Quote => (first.weight, Size::text(first.bytes().saturating_mul(2))),
        Function::Replace => {
            let text = Size::text(first.bytes().saturating_add(first.bytes().saturating_mul(of(2).bytes())));
            (all.saturating_add(text.weight), text)
        }
        Function::Split => {
            let list = Size {
                weight: first.bytes().saturating_add(first.weight),
                count: first.bytes(),
                each: first.weight,
            };
            (list.weight, list)
        }
        Function::Join => {
            let text = Size::text(first.bytes().saturating_add(first.count.saturating_mul(of(1).bytes())));
            (text.weight, text)
        }
        Function::Contains | Function::IndexOf | Function::LastIndexOf => (all, Size::ONE),
        Function::Matches => (all.saturating_mul(of(1).weight), Size::ONE),
        Function::Greatest | Function::Least => (first.count, Size::ONE),
        _ => (1, Size::ONE),
    }
}
