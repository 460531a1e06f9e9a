//! Expressions nearly as they were written, with brackets wherever operators meet.

use super::{MAX_TERM_BYTES, Words, duration};
use crate::expression::check::function_name;
use crate::expression::{Loop, LoopKind, Node, Operator};
use crate::schema::value::Value;
use crate::schema::{Kind, Vocabulary};

impl Words<'_> {
    /// Writes an expression. The names of a loop's variables are not kept, so they get names of their own.
    pub(super) fn write(&self, node: &Node, tags: usize, out: &mut String) {
        if out.len() > MAX_TERM_BYTES {
            return; // the text is cut there
        }
        let between = |nodes: &[Node], sign: &str, out: &mut String| {
            for (i, node) in nodes.iter().enumerate() {
                out.push_str(if i > 0 { sign } else { "" });
                self.operand(node, tags, out);
            }
        };
        match node {
            Node::Not(inner) | Node::Negate(inner) => {
                out.push(if matches!(node, Node::Not(_)) { '!' } else { '-' });
                self.operand(inner, tags, out);
            }
            Node::And(nodes) => between(nodes, " && ", out),
            Node::Or(nodes) => between(nodes, " || ", out),
            Node::Compare(comparison, nodes) => {
                self.write_compared(nodes, &format!(" {} ", comparison.sign()), tags, out);
            }
            Node::Arithmetic(operator, nodes) => between(&nodes[..], operation(*operator), out),
            Node::In(nodes) => self.write_compared(nodes, " in ", tags, out),
            Node::If(nodes) => {
                between(&nodes[..2], " ? ", out);
                out.push_str(" : ");
                self.operand(&nodes[2], tags, out);
            }
            Node::Rank(inner, _) => self.write(inner, tags, out),
            Node::HasBit(set, mask) => self.write_bits(set, *mask, tags, out),
            Node::Loop(l) => self.write_loop(l, tags, out),
            _ => self.write_closed(node, tags, out),
        }
    }

    /// Writes a comparison. Where one side is the place of a word, so is the other; it is written as the
    /// word.
    fn write_compared(&self, sides: &[Node; 2], sign: &str, tags: usize, out: &mut String) {
        let words = sides.iter().find_map(|side| self.vocabulary(side));
        let word = |value: &Value<'_>| match (words, value) {
            (Some(words), Value::Int(place)) => {
                u32::try_from(*place).ok().and_then(|place| words.word(place)).map(|word| format!("'{word}'"))
            }
            _ => None,
        };
        for (nth, side) in sides.iter().enumerate() {
            out.push_str(if nth > 0 { sign } else { "" });
            match side {
                Node::Constant(Value::List(items)) => {
                    let items = items.iter().map(|item| word(item).unwrap_or_else(|| item.to_string()));
                    out.push_str(&format!("[{}]", items.collect::<Vec<_>>().join(", ")));
                }
                Node::Constant(value) if word(value).is_some() => {
                    out.push_str(&word(value).unwrap_or_default());
                }
                side => self.operand(side, tags, out),
            }
        }
    }

    /// The words of which a node gives the place.
    fn vocabulary<'n>(&'n self, node: &'n Node) -> Option<&'n Vocabulary> {
        match node {
            Node::Rank(_, words) => Some(words),
            Node::Code(id) => match self.schema.feature(*id).kind.result() {
                Kind::Enum(words) => Some(words),
                _ => None,
            },
            _ => None,
        }
    }

    /// Writes an expression that needs no brackets around it.
    fn write_closed(&self, node: &Node, tags: usize, out: &mut String) {
        match node {
            Node::Has(inner) => self.write_call("has", std::slice::from_ref(&**inner), tags, out),
            Node::HasKey(inner, key) => {
                out.push_str("has(");
                self.operand(inner, tags, out);
                out.push_str(&format!(".{key})"));
            }
            Node::Field(inner, key) => {
                self.operand(inner, tags, out);
                out.push_str(&format!(".{key}"));
            }
            Node::Index(both) => {
                self.operand(&both[0], tags, out);
                self.write_items(["[", "]"], &both[1..], tags, out);
            }
            Node::List(items) => self.write_items(["[", "]"], items, tags, out),
            Node::Map(entries) => {
                for (nth, entry) in entries.chunks(2).enumerate() {
                    out.push_str(if nth == 0 { "{" } else { ", " });
                    self.write(&entry[0], tags, out);
                    out.push_str(": ");
                    entry.iter().skip(1).for_each(|value| self.write(value, tags, out));
                }
                out.push_str(if entries.is_empty() { "{}" } else { "}" });
            }
            Node::Call(function, arguments) => match (function_name(*function), &arguments[..]) {
                ((name, true), [target, arguments @ ..]) => {
                    self.operand(target, tags, out);
                    out.push('.');
                    self.write_call(name, arguments, tags, out);
                }
                ((name, _), arguments) => self.write_call(name, arguments, tags, out),
            },
            Node::Matches(both) => {
                self.operand(&both.0, tags, out);
                out.push_str(&format!(".matches('{}')", both.1.text()));
            }
            Node::TimePart(part, both) => {
                self.operand(&both.0, tags, out);
                let (name, _) = function_name(crate::expression::Function::TimePart(*part));
                let zone = both.1.iana_name().map_or(String::new(), |zone| format!("'{zone}'"));
                out.push_str(&format!(".{name}({zone})"));
            }
            _ => self.write_leaf(node, tags, out),
        }
    }

    fn write_leaf(&self, node: &Node, tags: usize, out: &mut String) {
        match node {
            Node::Constant(Value::Duration(d)) => out.push_str(&duration(*d)),
            Node::Constant(value) => out.push_str(&value.to_string()),
            Node::Feature(id) | Node::Code(id) => out.push_str(&self.schema.feature(*id).name),
            Node::Context(id) => {
                out.push_str(&format!("context.{}", self.schema.context()[usize::from(id.0)].name));
            }
            Node::Channel => out.push_str("context.channel"),
            Node::Now => out.push_str("now"),
            Node::Variant(experiment) => out.push_str(&format!("experiment.{}", experiment.name)),
            Node::Tag(tag) => {
                let tag = self.tags.get(tags).and_then(|tags| tags.get(*tag));
                out.push_str(&format!("tag.{}", tag.map_or("?", |tag| &tag.name)));
            }
            Node::Local(place) => out.push_str(&local(*place)),
            _ => out.push('…'), // free variables, which no rule set has
        }
    }

    /// Whether a set has one of these words.
    fn write_bits(&self, set: &Node, mask: u64, tags: usize, out: &mut String) {
        let words = match set {
            Node::Feature(id) => match &self.schema.feature(*id).kind {
                Kind::Set(words) => words.of_bits(mask).map(|word| format!("'{word}'")).collect(),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        match &words[..] {
            [only] => out.push_str(only),
            several => out.push_str(&format!("one of [{}]", several.join(", "))),
        }
        out.push_str(" in ");
        self.operand(set, tags, out);
    }

    /// Writes a macro, such as `likes.exists(x, x == 'fx')`.
    fn write_loop(&self, l: &Loop, tags: usize, out: &mut String) {
        self.operand(&l.range, tags, out);
        let name = match (l.kind, l.pair) {
            (LoopKind::All, _) => "all",
            (LoopKind::Exists, _) => "exists",
            (LoopKind::ExistsOne, false) => "exists_one",
            (LoopKind::ExistsOne, true) => "existsOne",
            (LoopKind::Filter, _) => "filter",
            (LoopKind::Map, false) => "map",
            (LoopKind::Map, true) => "transformList",
            (LoopKind::Entries, _) => "transformMap",
        };
        out.push_str(&format!(".{name}({}, ", local(l.item)));
        if l.pair {
            out.push_str(&format!("{}, ", local(l.item + 1)));
        }
        if let Some(filter) = &l.filter {
            self.write(filter, tags, out);
            out.push_str(", ");
        }
        self.write(&l.body, tags, out);
        out.push(')');
    }

    fn write_call(&self, name: &str, arguments: &[Node], tags: usize, out: &mut String) {
        out.push_str(name);
        self.write_items(["(", ")"], arguments, tags, out);
    }

    fn write_items(&self, [open, close]: [&str; 2], items: &[Node], tags: usize, out: &mut String) {
        out.push_str(open);
        for (nth, item) in items.iter().enumerate() {
            out.push_str(if nth > 0 { ", " } else { "" });
            self.write(item, tags, out);
        }
        out.push_str(close);
    }

    fn operand(&self, node: &Node, tags: usize, out: &mut String) {
        let brackets = matches!(
            node,
            Node::And(_)
                | Node::Or(_)
                | Node::If(_)
                | Node::Compare(..)
                | Node::Arithmetic(..)
                | Node::In(_)
                | Node::HasBit(..)
        );
        out.push_str(if brackets { "(" } else { "" });
        self.write(node, tags, out);
        out.push_str(if brackets { ")" } else { "" });
    }
}

/// A name for the variable of a loop with this number: `x` for the outermost.
fn local(place: usize) -> String {
    match place {
        0 => "x".into(),
        1 => "y".into(),
        2 => "z".into(),
        more => format!("x{more}"),
    }
}

fn operation(operator: Operator) -> &'static str {
    match operator {
        Operator::Add => " + ",
        Operator::Subtract => " - ",
        Operator::Multiply => " * ",
        Operator::Divide => " / ",
        Operator::Modulo => " % ",
    }
}
