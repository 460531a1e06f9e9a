//! Names and types: [`Syntax`] and what it may refer to become an [`Expression`]. All problems are found at
//! once; constants are folded, so that a guardrail over an offer's own attributes comes down to what it asks
//! of the customer.

mod functions;
mod names;
mod words;

use std::collections::HashMap;
use std::sync::Arc;

use super::Variables;
use super::cost::Cost;
use super::evaluate::{Facts, NO_OVERLOAD, TagMemo};
use super::parse::{LoopTerm, Term, TermKind};
use super::scan::outside_texts;
use super::types::common;
use super::{
    Comparison, Expression, Loop, LoopKind, MAX_COST, Node, Operator, Parameters, Part, Syntax, Type,
};
use crate::input::problem::{Problem, Problems};
use crate::schema::Schema;
use crate::schema::context::Context;
use crate::schema::value::Value;

/// What an expression may refer to.
#[derive(Clone, Copy)]
pub struct Scope<'s> {
    /// Features and context.
    pub schema: &'s Schema,
    /// Tags by name.
    pub tags: &'s TagNames,
    /// The offer's attributes, if there is an offer: their kinds, and with `values` what they are for one
    /// offer.
    pub offer: Option<OfferScope<'s>>,
    /// Parameters by name.
    pub parameters: &'s Parameters,
    /// Free variables (of `usher eval`).
    pub variables: Variables<'s>,
    /// The name of the event that the condition is about, if it is about one: then the schema's context is what the event
    /// carries, and its bare names are all that there is.
    pub event: Option<&'s str>,
}

/// The names of a rule set's tags; a tag's number is its place.
#[derive(Debug, Clone, Default)]
pub struct TagNames {
    ids: HashMap<Box<str>, usize>,
}

impl TagNames {
    /// Tags of these names, numbered from 0.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> TagNames {
        TagNames { ids: names.into_iter().enumerate().map(|(i, name)| (name.into(), i)).collect() }
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        self.ids.keys().map(|name| &**name)
    }
}

/// What an expression sees of an offer: the value of an attribute, or `None` where only its kind is known.
#[derive(Clone, Copy)]
pub struct OfferScope<'s> {
    /// The value of an attribute; `None` leaves it open.
    pub value: &'s dyn Fn(&str) -> Option<Value<'static>>,
}

impl<'s> Scope<'s> {
    /// Features and context, no tags, no parameters, no offer.
    pub fn of(schema: &'s Schema) -> Scope<'s> {
        static NONE: std::sync::LazyLock<(TagNames, Parameters)> = std::sync::LazyLock::new(Default::default);
        Scope { schema, tags: &NONE.0, offer: None, parameters: &NONE.1, variables: &[], event: None }
    }

    /// Checks a condition.
    ///
    /// ```
    /// use usher::expression::{Origin, Scope, Syntax};
    /// use usher::schema::Schema;
    ///
    /// let schema = Schema::parse("s", "schema: s\nfeatures: {age: {kind: int}}").unwrap();
    /// let syntax = Syntax::parse("agee >= 18", Origin::default()).unwrap();
    /// let problems = Scope::of(&schema).condition(&syntax).unwrap_err();
    /// assert!(problems.to_string().contains("did you mean `age`?"));
    /// ```
    ///
    /// # Errors
    /// Every unknown name and every type that does not fit, each with its place; more work than
    /// [`MAX_COST`] steps.
    pub fn condition(&self, syntax: &Syntax) -> Result<Expression, Problems> {
        self.check(syntax, "a condition is true or false", |kind| matches!(kind, Type::Bool | Type::Any))
    }

    /// Checks an expression for a number.
    ///
    /// # Errors
    /// As [`Scope::condition`].
    pub fn number(&self, syntax: &Syntax) -> Result<Expression, Problems> {
        self.check(syntax, "a number was expected", |kind| {
            matches!(kind, Type::Int | Type::Double | Type::Any)
        })
    }

    /// Checks an expression of any type. What fails whenever it is evaluated is no problem here but what it
    /// comes to.
    ///
    /// # Errors
    /// As [`Scope::condition`].
    pub fn any(&self, syntax: &Syntax) -> Result<Expression, Problems> {
        self.run(syntax, Mode::Lenient, "", |_| true)
    }

    /// As [`Scope::any`], but names and types that do not fit are no problems either: they have no answer
    /// when they are evaluated, and `&&` and `||` go round them.
    ///
    /// # Errors
    /// What is beyond a limit.
    pub fn unchecked(&self, syntax: &Syntax) -> Result<Expression, Problems> {
        self.run(syntax, Mode::Dynamic, "", |_| true)
    }

    fn check(
        &self,
        syntax: &Syntax,
        expected: &str,
        fits: impl Fn(&Type) -> bool,
    ) -> Result<Expression, Problems> {
        self.run(syntax, Mode::Strict, expected, fits)
    }

    fn run(
        &self,
        syntax: &Syntax,
        mode: Mode,
        expected: &str,
        fits: impl Fn(&Type) -> bool,
    ) -> Result<Expression, Problems> {
        let mut check =
            Check { scope: *self, mode, syntax, problems: Problems::new(), locals: Vec::new(), patterns: 0 };
        let (node, kind, parts) = check.root(&syntax.root);
        if check.problems.is_empty() && !fits(&kind) {
            check.refuse(&syntax.root, format!("{expected}, this is {}", kind.describe()));
        }
        let never = |node: &Node| match node {
            Node::Constant(Value::Error(why)) => Some(*why),
            _ => None,
        };
        let error = parts.iter().find_map(|part| never(&part.node)).or_else(|| never(&node));
        if let Some(why) = error.filter(|_| mode == Mode::Strict) {
            check.refuse(&syntax.root, format!("this never has a value: {why}"));
        }
        check.limit_cost(&node);
        let line = syntax.origin.line();
        check.problems.or(Expression { text: Arc::clone(&syntax.text), line, node, parts })
    }
}

/// What counts as a problem when an expression is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Also what can never have a value: conditions and numbers of rule sets.
    Strict,
    Lenient,
    /// Types and names are left to the evaluation.
    Dynamic,
}

struct Check<'s> {
    scope: Scope<'s>,
    mode: Mode,
    syntax: &'s Syntax,
    problems: Problems,
    /// Variables of the enclosing loops; each has its place by its depth.
    locals: Vec<(String, Type)>,
    /// Regular expressions so far.
    patterns: usize,
}

/// Where checking goes on after a problem: a value of any type.
fn unknown() -> (Node, Type) {
    (Node::Constant(Value::Missing), Type::Any)
}

impl Check<'_> {
    /// The whole expression, and the parts of its outermost conjunction.
    fn root(&mut self, root: &Term) -> (Node, Type, Vec<Part>) {
        let TermKind::And(operands) = &root.kind else {
            let (node, kind) = self.node(root);
            let part = Part { text: self.text(root), node: node.clone() };
            return (node, kind, vec![part]);
        };
        let mut parts = Vec::with_capacity(operands.len());
        for operand in operands {
            let node = self.truth(operand);
            parts.push(Part { text: self.text(operand), node });
        }
        let nodes = parts.iter().map(|part| part.node.clone()).collect();
        (self.chain(nodes, false), Type::Bool, parts)
    }

    /// The term's own text, with the brackets that belong to it.
    fn text(&self, term: &Term) -> Box<str> {
        let text = &self.syntax.text;
        let (mut start, mut end) = (term.start, term.end.min(text.len()));
        let bracket =
            |wanted: u8| outside_texts(text).filter(move |(_, byte)| *byte == wanted).map(|(at, _)| at);
        while unbalanced(&text[start..end]) > 0 {
            let Some(close) = bracket(b')').find(|at| *at >= end) else { break };
            end = close + 1;
        }
        while unbalanced(&text[start..end]) < 0 {
            let Some(open) = bracket(b'(').filter(|at| *at < start).last() else { break };
            start = open;
        }
        text[start..end].split_whitespace().collect::<Vec<_>>().join(" ").into()
    }

    fn refuse(&mut self, term: &Term, detail: impl Into<String>) -> (Node, Type) {
        let problem = self.problem(term, detail);
        self.wrong(problem)
    }

    /// A name or a type that does not fit.
    fn wrong(&mut self, problem: Problem) -> (Node, Type) {
        if self.mode == Mode::Dynamic {
            return (Node::Constant(NO_OVERLOAD), Type::Any);
        }
        self.problems.push(problem);
        unknown()
    }

    /// Refuses what could take too much work. Looked at as a whole: loops in loops multiply.
    fn limit_cost(&mut self, node: &Node) {
        let cost = Cost::new(self.scope.schema, self.scope.variables).of(node);
        if cost > MAX_COST {
            let detail = format!(
                "this may take {cost} steps each time it is evaluated, at most {MAX_COST} are allowed"
            );
            let problem = self.problem(&self.syntax.root, detail);
            self.problems
                .push(problem.hint(
                    "loops inside loops multiply; texts and lists that are put together count by size",
                ));
        }
    }

    fn problem(&self, term: &Term, detail: impl Into<String>) -> Problem {
        self.syntax.origin.problem(&self.syntax.text, term.start, term.end, detail)
    }

    fn node(&mut self, term: &Term) -> (Node, Type) {
        if self.problems.is_full() {
            return unknown(); // nobody reads more of them, and each costs time
        }
        match &term.kind {
            TermKind::Null => (Node::Constant(Value::Null), Type::Null),
            TermKind::Bool(b) => (Node::Constant(Value::Bool(*b)), Type::Bool),
            TermKind::Int(i) => (Node::Constant(Value::Int(*i)), Type::Int),
            TermKind::UInt(u) => (Node::Constant(Value::UInt(*u)), Type::UInt),
            TermKind::Double(x) => (Node::Constant(Value::Double(*x)), Type::Double),
            TermKind::Text(text) => (Node::Constant(Value::Text(text.clone().into())), Type::Text),
            TermKind::Bytes(bytes) => (Node::Constant(Value::Bytes(bytes.as_slice().into())), Type::Bytes),
            TermKind::Name(name) => self.name(term, name),
            TermKind::Select(operand, field) => self.select(term, operand, field),
            TermKind::Has(operand, field) => self.has(term, operand, field),
            TermKind::Not(operand) => {
                let node = self.truth(operand);
                (self.fold(Node::Not(Box::new(node))), Type::Bool)
            }
            TermKind::Negate(operand) => {
                let (node, kind) = self.node(operand);
                if !matches!(kind, Type::Int | Type::Double | Type::Any | Type::Duration) {
                    return self.refuse(operand, format!("`-` needs a number, this is {}", kind.describe()));
                }
                (self.fold(Node::Negate(Box::new(node))), kind)
            }
            TermKind::And(operands) => {
                let nodes = operands.iter().map(|operand| self.truth(operand)).collect();
                (self.chain(nodes, false), Type::Bool)
            }
            TermKind::Or(operands) => {
                let nodes = operands.iter().map(|operand| self.truth(operand)).collect();
                (self.chain(nodes, true), Type::Bool)
            }
            TermKind::If(terms) => self.choice(terms),
            TermKind::Compare(comparison, terms) => self.compare(*comparison, terms, term),
            TermKind::Arithmetic(operator, terms) => self.arithmetic(*operator, terms, term),
            TermKind::In(terms) => self.contained(terms, term),
            TermKind::Index(terms) => self.index(terms, term),
            TermKind::List(items) => {
                let checked: Vec<(Node, Type)> = items.iter().map(|item| self.node(item)).collect();
                let kind = Type::list(common(checked.iter().map(|(_, kind)| kind.clone())));
                (self.fold(Node::List(checked.into_iter().map(|(node, _)| node).collect())), kind)
            }
            TermKind::Map(terms) => self.map(terms),
            TermKind::Call(name, args, method) => self.call(name, args, *method, term),
            TermKind::Loop(l) => self.comprehension(l),
        }
    }

    /// A term that must be true or false.
    fn truth(&mut self, term: &Term) -> Node {
        let (node, kind) = self.node(term);
        match kind {
            Type::Bool => node,
            Type::Any
                if matches!(node, Node::Constant(Value::Bool(_) | Value::Missing | Value::Error(_))) =>
            {
                node
            }
            // Not known to be true or false until it is evaluated: kept as an operand, which is strict about
            // it.
            Type::Any => Node::And(Box::new([node])),
            other => {
                let problem =
                    self.problem(term, format!("true or false was expected, this is {}", other.describe()));
                self.wrong(match other {
                    Type::Int | Type::Double => problem.hint("compare it: `… > 0`"),
                    _ => problem,
                })
                .0
            }
        }
    }

    fn map(&mut self, terms: &[Term]) -> (Node, Type) {
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

    fn choice(&mut self, [condition, yes, no]: &[Term; 3]) -> (Node, Type) {
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

    fn compare(&mut self, comparison: Comparison, [left, right]: &[Term; 2], term: &Term) -> (Node, Type) {
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
                return self.wrong(match (a, b) {
                    (Type::Set(_), _) | (_, Type::Set(_)) => problem.hint("ask with `'word' in set`"),
                    (Type::Time, Type::Text) | (Type::Text, Type::Time) => {
                        problem.hint("write timestamp('2026-01-31T00:00:00Z')")
                    }
                    (Type::Duration, Type::Text | Type::Int) => problem.hint("write duration('720h')"),
                    (Type::Bool, Type::Int | Type::Text) => {
                        problem.hint("write true or false, without quotes")
                    }
                    _ => problem,
                });
            }
        };
        match pair.map(|pair| self.in_single_precision(pair)) {
            Some(pair) => (self.fold(Node::Compare(comparison, Box::new(pair))), Type::Bool),
            None => unknown(),
        }
    }

    fn arithmetic(&mut self, operator: Operator, [left, right]: &[Term; 2], term: &Term) -> (Node, Type) {
        use Operator::{Add, Divide, Modulo, Multiply, Subtract};
        let ((left_node, left_type), (right_node, right_type)) = (self.node(left), self.node(right));
        let kind = match (operator, &left_type, &right_type) {
            // With a time or a duration the other side decides what it gives.
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
                let detail = format!("{} and {} do not go together here", a.describe(), b.describe());
                let problem = self.problem(term, detail);
                let both_numbers = a.is_number() && b.is_number();
                return self.wrong(if both_numbers {
                    problem.hint("ints and doubles are not mixed: write 2.0 for 2, or convert with double(…)")
                } else {
                    problem
                });
            }
        };
        (self.fold(Node::Arithmetic(operator, Box::new([left_node, right_node]))), kind)
    }

    fn index(&mut self, [list, index]: &[Term; 2], term: &Term) -> (Node, Type) {
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
                return self.refuse(index, format!("this map's keys are each {keys}, this is {other}"));
            }
            (other, _) => {
                let other = other.describe();
                return self.refuse(term, format!("only lists and maps have items, this is {other}"));
            }
        };
        (self.fold(Node::Index(Box::new([list_node, index_node]))), kind)
    }

    fn comprehension(&mut self, l: &LoopTerm) -> (Node, Type) {
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

    /// `&&` (`decisive` false) and `||` (`decisive` true) with constants taken out.
    fn chain(&self, nodes: Vec<Node>, decisive: bool) -> Node {
        let neutral = Node::Constant(Value::Bool(!decisive));
        if nodes.contains(&Node::Constant(Value::Bool(decisive))) {
            return Node::Constant(Value::Bool(decisive));
        }
        let mut nodes: Vec<Node> = nodes.into_iter().filter(|node| *node != neutral).collect();
        match nodes.len() {
            0 => neutral,
            1 => nodes.remove(0),
            _ if decisive => Node::Or(nodes.into()),
            _ => Node::And(nodes.into()),
        }
    }

    /// A node over constants only becomes its value.
    fn fold(&self, node: Node) -> Node {
        if !is_constant(&node) || Cost::new(self.scope.schema, self.scope.variables).of(&node) > MAX_COST {
            return node;
        }
        let (context, memo) = (Context::default(), TagMemo::default());
        let facts = Facts::of_context(self.scope.schema, &context, &memo);
        let value = node.evaluate(&facts).into_owned();
        Node::Constant(value)
    }
}

/// Opening less closing brackets.
fn unbalanced(text: &str) -> i32 {
    outside_texts(text).map(|(_, b)| i32::from(b == b'(') - i32::from(b == b')')).sum()
}

/// Whether a node depends on nothing but constants.
fn is_constant(node: &Node) -> bool {
    let below = node.children();
    let leaf = below.is_empty() && !matches!(node, Node::List(_) | Node::Map(_));
    !leaf && below.iter().all(|below| matches!(below, Node::Constant(_)))
}

/// Whether values of this type are less or greater than each other.
fn has_order(kind: &Type) -> bool {
    kind.is_number()
        || matches!(kind, Type::Bool | Type::Text | Type::Word(_) | Type::Bytes | Type::Time | Type::Duration)
}
