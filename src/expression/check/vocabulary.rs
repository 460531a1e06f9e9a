//! Checks words of enums and sets. The words are known, so they are compared by place and tested by bit, and
//! an unknown word is a mistake.

use std::sync::Arc;

use super::{Check, Mode, unknown};
use crate::expression::syntax::{Term, TermKind};
use crate::expression::{Node, Type};
use crate::input::problem::nearest;
use crate::schema::value::Value;
use crate::schema::{Kind, Vocabulary, in_single};

impl Check<'_> {
    pub(super) fn contained(&mut self, [item, list]: &[Term; 2], term: &Term) -> (Node, Type) {
        let (item_node, item_type) = self.node(item);
        if let (Type::Word(words), TermKind::List(literals)) = (&item_type, &list.kind)
            && literals.iter().all(|literal| self.is_literal(literal))
        {
            let words = Arc::clone(words);
            let codes = literals.iter().filter_map(|literal| match &literal.kind {
                TermKind::Text(text) => {
                    self.word(&words, text, literal).map(|code| Value::Int(i64::from(code)))
                }
                _ => None,
            });
            let codes = Node::Constant(Value::List(codes.collect()));
            return (self.fold(Node::In(Box::new([rank(item_node, &words), codes]))), Type::Bool);
        }
        let (list_node, list_type) = self.node(list);
        match (&list_type, &item_type) {
            (Type::Set(words), _) if self.is_literal(item) => {
                let words = Arc::clone(words);
                let TermKind::Text(text) = &item.kind else { return unknown() };
                let Some(code) = self.word(&words, text, item) else { return unknown() };
                // Only features keep their sets as bits.
                let node = match list_node {
                    Node::Feature(_) => Node::HasBit(Box::new(list_node), 1 << code),
                    _ => Node::In(Box::new([item_node, list_node])),
                };
                (self.fold(node), Type::Bool)
            }
            (Type::Set(_), kind) if !kind.is_text() && *kind != Type::Any => {
                self.refuse(item, format!("a set holds words, this is {}", kind.describe()))
            }
            (Type::List(items), kind) if !items.may_equal(kind) && self.mode != Mode::Dynamic => {
                let what = format!(
                    "a list of {}s never holds {}",
                    items.describe().trim_start_matches("an ").trim_start_matches("a "),
                    kind.describe()
                );
                self.refuse(term, what)
            }
            (Type::Map(both), kind) if !both.0.may_equal(kind) && self.mode != Mode::Dynamic => {
                let (keys, kind) = (both.0.describe(), kind.describe());
                self.refuse(term, format!("each key of this map is {keys}, this is {kind}"))
            }
            (Type::Set(_) | Type::List(_) | Type::Map(_) | Type::Any, _) => {
                let pair = self.in_single_precision([item_node, list_node]);
                (self.fold(Node::In(Box::new(pair))), Type::Bool)
            }
            (other, _) => {
                let detail = format!("`in` needs a list, a set or a map, this is {}", other.describe());
                let problem = self.with_list(self.problem(list, detail), item, list, other);
                self.wrong(problem)
            }
        }
    }

    pub(super) fn is_literal(&self, term: &Term) -> bool {
        matches!(term.kind, TermKind::Text(_))
    }

    /// An enum and a word that is written out. The word must be one of the enum's; they are compared by
    /// place, not as texts.
    pub(super) fn with_word(
        &mut self,
        words: &Arc<Vocabulary>,
        node: Node,
        literal: Node,
        term: &Term,
        equality: bool,
    ) -> Option<[Node; 2]> {
        let Node::Constant(Value::Text(text)) = &literal else { return Some([node, literal]) };
        let code = self.word(words, text, term)?;
        if !equality && !words.ordered {
            self.refuse_order(term);
            return None;
        }
        Some([rank(node, words), Node::Constant(Value::Int(i64::from(code)))])
    }

    /// The word's place. If there is no such word: `None`, and a problem that names the nearest one.
    fn word(&mut self, words: &Vocabulary, text: &str, term: &Term) -> Option<u32> {
        let code = words.code(text);
        if code.is_none() {
            let problem =
                self.problem(term, format!("'{text}' is not one of its {} values", words.words().len()));
            let problem = match nearest(text, words.words().iter().map(|w| &**w)) {
                Some(near) => problem.hint(format!("did you mean '{near}'?")),
                None if words.words().len() <= 12 => {
                    problem.hint(format!("values: {}", words.words().join(", ")))
                }
                None => problem,
            };
            self.wrong(problem);
        }
        code
    }

    fn refuse_order(&mut self, term: &Term) {
        let problem = self.problem(term, "this enum's values have no order");
        self.wrong(problem.hint("declare it with `ordered: true` in the schema"));
    }

    pub(super) fn two_words(
        &mut self,
        a: &Arc<Vocabulary>,
        b: &Arc<Vocabulary>,
        [left, right]: [Node; 2],
        term: &Term,
        equality: bool,
    ) -> Option<[Node; 2]> {
        if a.words() == b.words() {
            let ordered = a.ordered && b.ordered;
            if !equality && !ordered {
                self.refuse_order(term);
                return None;
            }
            return Some([rank(left, a), rank(right, b)]);
        }
        if !equality {
            self.refuse(term, "enums can only be put in order if they have the same values");
            return None;
        }
        if !a.words().iter().any(|word| b.code(word).is_some()) {
            self.refuse(term, "these enums have no value in common");
            return None;
        }
        Some([left, right])
    }

    /// A number that is written where it is compared with a feature of single precision is rounded as the
    /// feature is. So a customer whose score was given with ten digits passes `score >= …` with the same ten.
    pub(super) fn in_single_precision(&self, pair: [Node; 2]) -> [Node; 2] {
        let single = |node: &Node| match node {
            Node::Feature(id) => {
                *self.scope.schema.feature(*id).kind.result() == Kind::Float { double: false }
            }
            _ => false,
        };
        let [left, right] = pair;
        if single(&left) {
            [left, rounded(right)]
        } else if single(&right) {
            [rounded(left), right]
        } else {
            [left, right]
        }
    }
}

/// A number that is written out, or a choice or list of such numbers, in single precision.
fn rounded(node: Node) -> Node {
    match node {
        Node::Constant(value) => Node::Constant(rounded_value(value)),
        Node::If(nodes) => {
            let [condition, yes, no] = *nodes;
            Node::If(Box::new([condition, rounded(yes), rounded(no)]))
        }
        Node::List(nodes) => Node::List(nodes.into_iter().map(rounded).collect()),
        other => other,
    }
}

fn rounded_value(value: Value<'static>) -> Value<'static> {
    match value {
        Value::Double(x) => Value::Double(in_single(x)),
        Value::Int(i) => Value::Double(in_single(i as f64)),
        Value::UInt(u) => Value::Double(in_single(u as f64)),
        Value::List(items) => Value::List(items.iter().cloned().map(rounded_value).collect()),
        other => other,
    }
}

/// A word as its place in the vocabulary.
fn rank(node: Node, words: &Arc<Vocabulary>) -> Node {
    match node {
        Node::Feature(id) => Node::Code(id),
        Node::Constant(Value::Text(text)) => {
            Node::Constant(words.code(&text).map_or(Value::Missing, |code| Value::Int(i64::from(code))))
        }
        Node::Constant(other) => Node::Constant(other),
        other => Node::Rank(Box::new(other), Arc::clone(words)),
    }
}
