//! Checks operators and loops: what they take, and the type of what they give.

use std::sync::Arc;

use super::{Check, Mode, unknown};
use crate::expression::syntax::{LoopTerm, Term, TermKind};
use crate::expression::types::common;
use crate::expression::{Comparison, Loop, LoopKind, Node, Operator, Type};
use crate::input::problem::Problem;
use crate::schema::value::Value;

impl Check<'_> {
    pub(super) fn map(&mut self, terms: &[Term]) -> (Node, Type) {
        let mut nodes = Vec::with_capacity(terms.len());
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for pair in terms.chunks(2) {
            let [key, value] = pair else { continue };
            let (key_node, key_type) = self.node(key);
            let fits =
                key_type.is_text() || matches!(key_type, Type::Any | Type::Bool | Type::Int | Type::UInt);
            if !fits {
                return self.refuse(
                    key,
                    format!(
                        "a map's key is a text, an int, a uint or a bool, this is {}",
                        key_type.describe()
                    ),
                );
            }
            let (value_node, value_type) = self.node(value);
            nodes.extend([key_node, value_node]);
            keys.push(key_type);
            values.push(value_type);
        }
        let kind = Type::map(common(keys.into_iter()), common(values.into_iter()));
        (self.fold(Node::Map(nodes.into())), kind)
    }

    pub(super) fn choice(&mut self, [condition, yes, no]: &[Term; 3]) -> (Node, Type) {
        let condition = self.truth(condition);
        let ((yes_node, yes_type), (no_node, no_type)) = (self.node(yes), self.node(no));
        let kind = match (&yes_type, &no_type) {
            (a, b) if a == b => yes_type.clone(),
            (Type::Any, other) | (other, Type::Any) => other.clone(),
            (a, b) if a.is_text() && b.is_text() => Type::Text,
            (Type::List(_), Type::List(_)) | (Type::Map(_), Type::Map(_)) => {
                common([yes_type.clone(), no_type.clone()].into_iter())
            }
            _ if self.mode == Mode::Dynamic => Type::Any,
            (a, b) => {
                let problem = self.problem(
                    no,
                    format!("one side of `? :` is {}, the other {}", a.describe(), b.describe()),
                );
                let both_numbers = a.is_number() && b.is_number();
                return self.wrong(if both_numbers {
                    problem.hint("write both as doubles: 1.0")
                } else {
                    problem
                });
            }
        };
        match condition {
            Node::Constant(Value::Bool(true)) => (yes_node, kind),
            Node::Constant(Value::Bool(false)) => (no_node, kind),
            condition => (self.fold(Node::If(Box::new([condition, yes_node, no_node]))), kind),
        }
    }

    pub(super) fn compare(
        &mut self,
        comparison: Comparison,
        [left, right]: &[Term; 2],
        term: &Term,
    ) -> (Node, Type) {
        let equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        let ((left_node, left_type), (right_node, right_type)) = (self.node(left), self.node(right));
        if equality && (left_type == Type::Null || right_type == Type::Null) {
            let node = if left_type == Type::Null { right_node } else { left_node };
            let has = self.fold(Node::Has(Box::new(node)));
            let node =
                if comparison == Comparison::Equal { self.fold(Node::Not(Box::new(has))) } else { has };
            return (node, Type::Bool);
        }
        let pair = match (&left_type, &right_type) {
            (Type::Word(words), _) if self.is_literal(right) => {
                self.with_word(words, left_node, right_node, right, equality)
            }
            (_, Type::Word(words)) if self.is_literal(left) => self
                .with_word(words, right_node, left_node, left, equality)
                .map(|[word, literal]| [literal, word]),
            (Type::Word(a), Type::Word(b)) => self.two_words(a, b, [left_node, right_node], term, equality),
            (a, b)
                if equality
                    && (a.may_equal(b) || self.mode == Mode::Dynamic)
                    && !matches!(a, Type::Set(_)) =>
            {
                Some([left_node, right_node])
            }
            (a, b) if a == b && has_order(a) => Some([left_node, right_node]),
            (Type::Any, _) | (_, Type::Any) => Some([left_node, right_node]),
            (a, b) if a.is_number() && b.is_number() => Some([left_node, right_node]),
            (a, b) => {
                let problem =
                    self.problem(term, format!("{} and {} cannot be compared", a.describe(), b.describe()));
                return self.wrong(match self.chained(comparison, left, right) {
                    Some(meant) => problem.hint(meant),
                    None if a.is_number() && is_number(right) || b.is_number() && is_number(left) => {
                        problem.hint("write the number without quotes")
                    }
                    None => with_hint(problem, a, b),
                });
            }
        };
        match pair.map(|pair| self.in_single_precision(pair)) {
            Some(pair) => (self.fold(Node::Compare(comparison, Box::new(pair))), Type::Bool),
            None => unknown(),
        }
    }

    /// What to write for `a < x < b`, which compares whether `a < x` with `b`.
    fn chained(&self, comparison: Comparison, left: &Term, right: &Term) -> Option<String> {
        let TermKind::Compare(_, sides) = &left.kind else { return None };
        let text = |term: &Term| self.syntax.text.get(term.start..term.end);
        let (first, middle, last) = (text(left)?, text(&sides[1])?, text(right)?);
        let sign = comparison.sign();
        Some(format!("write `{first} && {middle} {sign} {last}`"))
    }

    pub(super) fn arithmetic(
        &mut self,
        operator: Operator,
        [left, right]: &[Term; 2],
        term: &Term,
    ) -> (Node, Type) {
        use Operator::{Add, Divide, Modulo, Multiply, Subtract};
        let ((left_node, left_type), (right_node, right_type)) = (self.node(left), self.node(right));
        let kind = match (operator, &left_type, &right_type) {
            // With a time or a duration, the type of the result depends on the other side.
            (_, Type::Any, Type::Time | Type::Duration) | (_, Type::Time | Type::Duration, Type::Any) => {
                Type::Any
            }
            (_, Type::Any, other) | (_, other, Type::Any) => other.clone(),
            (_, Type::Int, Type::Int) => Type::Int,
            (_, Type::UInt, Type::UInt) => Type::UInt,
            (Add, Type::Bytes, Type::Bytes) => Type::Bytes,
            (Add | Subtract | Multiply | Divide, Type::Double, Type::Double) => Type::Double,
            (Add, a, b) if a.is_text() && b.is_text() => Type::Text,
            (Add, Type::List(_), Type::List(_)) => {
                common([left_type.clone(), right_type.clone()].into_iter())
            }
            (Add | Subtract, Type::Time, Type::Duration) | (Add, Type::Duration, Type::Time) => Type::Time,
            (Subtract, Type::Time, Type::Time) | (Add | Subtract, Type::Duration, Type::Duration) => {
                Type::Duration
            }
            (Modulo, Type::Double, Type::Double) => {
                return self.refuse(term, "`%` is for ints; convert with int(…)");
            }
            (_, a, b) => {
                let detail = format!("{} and {} cannot be combined here", a.describe(), b.describe());
                let problem = self.problem(term, detail);
                let both_numbers = a.is_number() && b.is_number();
                return self.wrong(if both_numbers {
                    problem
                        .hint("ints and doubles cannot be mixed: write 2.0 for 2, or convert with double(…)")
                } else {
                    problem
                });
            }
        };
        (self.fold(Node::Arithmetic(operator, Box::new([left_node, right_node]))), kind)
    }

    pub(super) fn index(&mut self, [list, index]: &[Term; 2], term: &Term) -> (Node, Type) {
        let ((list_node, list_type), (index_node, index_type)) = (self.node(list), self.node(index));
        let kind = match (&list_type, &index_type) {
            (Type::List(items), Type::Int | Type::Any) => (**items).clone(),
            (Type::List(items), kind) if kind.is_number() && self.mode == Mode::Dynamic => (**items).clone(),
            (Type::Map(both), key) if both.0.may_equal(key) => both.1.clone(),
            (Type::Any, _) => Type::Any,
            (Type::List(_), other) => {
                return self.refuse(index, format!("an index is an int, this is {}", other.describe()));
            }
            (Type::Map(both), other) => {
                let (keys, other) = (both.0.describe(), other.describe());
                return self.refuse(index, format!("each key of this map is {keys}, this is {other}"));
            }
            (other, _) => {
                let other = other.describe();
                return self.refuse(term, format!("only lists and maps have items, this is {other}"));
            }
        };
        (self.fold(Node::Index(Box::new([list_node, index_node]))), kind)
    }

    pub(super) fn comprehension(&mut self, l: &LoopTerm) -> (Node, Type) {
        let (range, range_type) = self.node(&l.range);
        let (key, value) = match &range_type {
            Type::List(items) => (Type::Int, (**items).clone()),
            Type::Set(words) => (Type::Int, Type::Word(Arc::clone(words))),
            Type::Map(both) => (both.0.clone(), both.1.clone()),
            Type::Any => (Type::Any, Type::Any),
            other => {
                let what = format!("only lists, sets and maps have items, this is {}", other.describe());
                return self.refuse(&l.range, what);
            }
        };
        let item = self.locals.len();
        let single = if matches!(range_type, Type::Map(_)) { key.clone() } else { value.clone() };
        match &l.names[..] {
            [first, second] => self.locals.extend([(first.clone(), key.clone()), (second.clone(), value)]),
            names => self.locals.extend(names.iter().map(|name| (name.clone(), single.clone()))),
        }
        let filter = l.filter.as_ref().map(|filter| self.truth(filter));
        let (body, kind) = match l.kind {
            LoopKind::Map | LoopKind::Entries => self.node(&l.body),
            _ => (self.truth(&l.body), Type::Bool),
        };
        self.locals.truncate(item);
        let kind = match l.kind {
            LoopKind::Map => Type::list(kind),
            LoopKind::Entries => Type::map(key, kind),
            LoopKind::Filter => Type::list(single),
            LoopKind::All | LoopKind::Exists | LoopKind::ExistsOne => Type::Bool,
        };
        let pair = l.names.len() == 2;
        (Node::Loop(Box::new(Loop { kind: l.kind, range, filter, body, item, pair })), kind)
    }
}

/// Whether values of this type can be less or greater than each other.
fn has_order(kind: &Type) -> bool {
    kind.is_number()
        || matches!(kind, Type::Bool | Type::Text | Type::Word(_) | Type::Bytes | Type::Time | Type::Duration)
}

/// Whether a term is a text that holds a number.
fn is_number(term: &Term) -> bool {
    matches!(&term.kind, TermKind::Text(text) if text.parse::<f64>().is_ok())
}

/// Adds how to write a comparison of these two types instead.
fn with_hint(problem: Problem, a: &Type, b: &Type) -> Problem {
    match (a, b) {
        (Type::Set(_), _) | (_, Type::Set(_)) => problem.hint("ask with `'word' in set`"),
        (Type::Time, Type::Text | Type::Int) | (Type::Text | Type::Int, Type::Time) => {
            problem.hint("write timestamp('2026-01-31T00:00:00Z')")
        }
        (Type::Duration, Type::Text | Type::Int) => problem.hint("write duration('720h')"),
        (Type::Int | Type::Double, Type::Text) | (Type::Text, Type::Int | Type::Double) => {
            problem.hint("a number is written without quotes; a missing one is `null`")
        }
        (Type::Bool, Type::Int | Type::Text) => problem.hint("write true or false, without quotes"),
        _ => problem,
    }
}
