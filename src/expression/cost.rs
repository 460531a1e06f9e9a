//! The most work that an expression can take, known before it is evaluated. A loop multiplies the work of
//! what is inside it by how often it may run.

use super::{ASSUMED_TEXT_BYTES, Function, Loop, LoopKind, Node, Variables};
use crate::schema::value::Value;
use crate::schema::{Kind, Schema, Vocabulary};

/// Estimates steps as [`super::MAX_COST`] counts them.
pub(super) struct Cost<'s> {
    pub(super) schema: &'s Schema,
    pub(super) variables: Variables<'s>,
    locals: Vec<Size>,
}

/// How big a value may be.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Size {
    /// All of the value, counted as [`weight`] does.
    weight: u64,
    /// How many items a list has, or keys a map.
    count: u64,
    /// The weight of the biggest item.
    each: u64,
}

/// What it costs to keep a value: one for each value inside it, and one for each 16 bytes of text.
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

    /// The size of a list or map of `count` items.
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

    /// The size of an item. All that is known of what is inside the item: it is no bigger than the item.
    fn item(self) -> Size {
        let inside = self.each.saturating_sub(1);
        Size { weight: self.each, count: inside, each: inside.max(1) }
    }

    /// The most bytes that a text of this size can have.
    fn bytes(self) -> u64 {
        self.weight.saturating_sub(1).saturating_mul(16)
    }

    /// The size of two values together, as `+` puts them; numbers stay numbers.
    fn and(self, other: Size) -> Size {
        Size {
            weight: self.weight.saturating_add(other.weight.saturating_sub(1)),
            count: self.count.saturating_add(other.count),
            each: self.each.max(other.each),
        }
    }

    /// The size of a value that is one of two.
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

    /// The most steps that evaluating `node` takes.
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
            Node::Loop(l) => self.reckon_loop(l),
            node => {
                let (cost, sizes) = self.inside(node);
                let (work, size) = own(node, &sizes);
                (cost.saturating_add(work), size)
            }
        }
    }

    /// The steps of the nodes directly inside, and one for the node itself; and the sizes of their values.
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

/// The steps that a node takes itself with operands of these sizes, and the size of its result.
fn own(node: &Node, sizes: &[Size]) -> (u64, Size) {
    let of = |i: usize| sizes.get(i).copied().unwrap_or_default();
    match node {
        Node::Compare(..) => (least(sizes), Size::ONE),
        Node::In(_) | Node::HasKey(..) => (sizes.last().map_or(0, |size| size.weight), Size::ONE),
        Node::If(_) => (0, of(1).or(of(2))),
        Node::Index(_) | Node::Field(..) => {
            sizes.first().map_or((0, Size::ONE), |size| (size.count, size.item()))
        }
        Node::Arithmetic(..) => {
            let sum = sizes.iter().copied().reduce(Size::and).unwrap_or(Size::ONE);
            (sum.weight, sum)
        }
        Node::List(_) => {
            let list = together(sizes, 1);
            (list.weight, list)
        }
        Node::Map(_) => {
            let map = together(sizes, 2);
            // Each key is compared with the keys before it.
            let looked = map.count.saturating_mul(map.count) / 8;
            (map.weight.saturating_add(looked), map)
        }
        Node::Matches(both) => (both.1.steps_of_16_bytes().saturating_mul(total(sizes)), Size::ONE),
        Node::Call(function, _) => call(*function, sizes),
        _ => (0, Size::ONE),
    }
}

fn total(sizes: &[Size]) -> u64 {
    sizes.iter().fold(0, |all, size| all.saturating_add(size.weight))
}

/// Comparing two values stops at the end of the smaller one.
fn least(sizes: &[Size]) -> u64 {
    sizes.iter().map(|size| size.weight).min().unwrap_or(0)
}

/// The size of a list or map that holds values of these sizes. An item of a map is two values.
fn together(sizes: &[Size], values_per_item: u64) -> Size {
    Size {
        weight: total(sizes).saturating_add(1),
        count: sizes.len() as u64 / values_per_item,
        each: sizes.iter().map(|size| size.weight).max().unwrap_or(1),
    }
}

/// The steps that a function takes beyond reading its arguments, and the size of its result.
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
