//! Checking names and types: a [`Syntax`] and what it may refer to become an [`Expression`]. All problems are
//! found at once. Constants are folded, so a guardrail over an offer's own attributes comes down to what it
//! asks of the customer.

mod functions;
mod meant;
mod names;
mod operators;
mod vocabulary;

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

pub(super) use self::functions::function_name;

use super::Variables;
use super::cost::Cost;
use super::evaluate::{Facts, NO_OVERLOAD, TagMemo};
use super::scan::outside_texts;
use super::syntax::{Term, TermKind};
use super::types::common;
use super::{Expression, MAX_COST, Node, Parameters, Part, Syntax, Type};
use crate::input::problem::{Problem, Problems};
use crate::schema::Schema;
use crate::schema::context::Context;
use crate::schema::value::Value;

/// What an expression may refer to, and what that means.
#[derive(Clone, Copy)]
pub struct Scope<'s> {
    /// Declares the features, the context and the attributes of offers.
    pub schema: &'s Schema,
    /// The tags of the rule set, by name.
    pub tags: &'s TagNames,
    /// The offer whose attributes it may use; `None` if there is no offer.
    pub offer: Option<OfferScope<'s>>,
    /// The parameters of the rule set, by name.
    pub parameters: &'s Parameters,
    /// Free variables, which only `usher eval` has.
    pub variables: Variables<'s>,
    /// The name of the event that a condition is about; `None` for all other conditions. With an event the
    /// schema's context is what the event carries, and the condition sees nothing else.
    pub event: Option<&'s str>,
}

/// The names of a rule set's tags. A tag's number is its place.
#[derive(Debug, Clone, Default)]
pub struct TagNames {
    ids: HashMap<Box<str>, usize>,
}

impl TagNames {
    /// Tags of these names, numbered from 0 in this order.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> TagNames {
        TagNames { ids: names.into_iter().enumerate().map(|(i, name)| (name.into(), i)).collect() }
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        self.ids.keys().map(|name| &**name)
    }
}

/// What an expression sees of an offer.
#[derive(Clone, Copy)]
pub struct OfferScope<'s> {
    /// The value of an attribute; `None` if only its kind is known.
    pub value: &'s dyn Fn(&str) -> Option<Value<'static>>,
}

impl<'s> Scope<'s> {
    /// A scope with features and context, but without tags, parameters and an offer.
    pub fn of(schema: &'s Schema) -> Scope<'s> {
        static NONE: std::sync::LazyLock<(TagNames, Parameters)> = std::sync::LazyLock::new(Default::default);
        Scope { schema, tags: &NONE.0, offer: None, parameters: &NONE.1, variables: &[], event: None }
    }

    /// Checks a condition.
    ///
    /// ```
    /// use usher::expression::{Scope, Syntax};
    /// use usher::input::origin::Origin;
    /// use usher::schema::Schema;
    ///
    /// let schema = Schema::parse("s", "schema: s\nfeatures: {age: {kind: int}}").unwrap();
    /// let syntax = Syntax::parse("agee >= 18", Origin::default()).unwrap();
    /// let problems = Scope::of(&schema).condition(&syntax).unwrap_err();
    /// assert!(problems.to_string().contains("did you mean `age`?"));
    /// ```
    ///
    /// # Errors
    /// Every unknown name and every type that does not fit, each with its place, and work beyond [`MAX_COST`]
    /// steps.
    pub fn condition(&self, syntax: &Syntax) -> Result<Expression, Problems> {
        self.check(syntax, "a condition must be true or false", |kind| matches!(kind, Type::Bool | Type::Any))
    }

    /// Checks an expression that must give a number.
    ///
    /// # Errors
    /// As [`Scope::condition`].
    pub fn number(&self, syntax: &Syntax) -> Result<Expression, Problems> {
        self.check(syntax, "a number was expected", |kind| {
            matches!(kind, Type::Int | Type::Double | Type::Any)
        })
    }

    /// Checks an expression of any type. An expression that fails each time it is evaluated is not a problem
    /// here: the failure is its value.
    ///
    /// # Errors
    /// As [`Scope::condition`].
    pub fn any(&self, syntax: &Syntax) -> Result<Expression, Problems> {
        self.run(syntax, Mode::Lenient, "", |_| true)
    }

    /// As [`Scope::any`], but names and types that do not fit are not problems either. They have no answer
    /// when they are evaluated, and `&&` and `||` ignore them if their other side decides.
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
        let mut check = Check {
            scope: *self,
            mode,
            syntax,
            problems: Problems::new(),
            locals: Vec::new(),
            patterns: 0,
            attribute_lacks: false,
            brackets: OnceCell::new(),
        };
        let (node, kind, parts) = check.root(&syntax.root);
        if check.problems.is_empty() && !fits(&kind) {
            let problem = check.problem(&syntax.root, format!("{expected}, this is {}", kind.describe()));
            let problem = match fits(&Type::Bool) {
                true => check.with_comparison(problem, &syntax.root, &kind),
                false => problem,
            };
            check.wrong(problem);
        }
        let never = |node: &Node| match node {
            Node::Constant(Value::Error(why)) => Some(*why),
            _ => None,
        };
        // `false && …` has a value whatever follows.
        let decided = matches!(node, Node::Constant(Value::Bool(_)));
        let part = parts.iter().find_map(|part| never(&part.node)).filter(|_| !decided);
        let error = part.or_else(|| never(&node));
        if let Some(why) = error.filter(|_| mode == Mode::Strict) {
            check.refuse(&syntax.root, format!("this never has a value: {why}"));
        }
        check.limit_cost(&node);
        let line = syntax.origin.line();
        let (node, parts) = (Arc::new(node), parts.into());
        check.problems.or(Expression { text: Arc::clone(&syntax.text), line, node, parts })
    }
}

/// What counts as a problem when an expression is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Also what can never have a value. For conditions and numbers of rule sets.
    Strict,
    Lenient,
    /// Names and types are left to the evaluation.
    Dynamic,
}

struct Check<'s> {
    scope: Scope<'s>,
    mode: Mode,
    syntax: &'s Syntax,
    problems: Problems,
    /// The variables of the loops around the term; a variable's number is its place.
    locals: Vec<(String, Type)>,
    /// How many regular expressions were found so far.
    patterns: usize,
    /// Whether it reads an attribute that the offer does not give.
    attribute_lacks: bool,
    /// The round brackets of the text with their places, once a term is told that lacks some.
    brackets: OnceCell<Vec<(usize, u8)>>,
}

/// Stands in for a term with a problem: a value of any type.
fn unknown() -> (Node, Type) {
    (Node::Constant(Value::Missing), Type::Any)
}

impl Check<'_> {
    /// Checks the whole expression, and gives the operands of its outermost conjunction.
    fn root(&mut self, root: &Term) -> (Node, Type, Vec<Part>) {
        let TermKind::And(operands) = &root.kind else {
            let (node, kind) = self.node(root);
            let part = Part { text: self.text(root), node: node.clone() };
            return (node, kind, vec![part]);
        };
        let nodes = self.truths(operands);
        let parts = operands.iter().zip(nodes);
        let parts: Vec<Part> = parts.map(|(operand, node)| Part { text: self.text(operand), node }).collect();
        let nodes = parts.iter().map(|part| part.node.clone()).collect();
        (self.chain(nodes, false), Type::Bool, parts)
    }

    /// A term as it was written, on one line, with the brackets that belong to it.
    pub(super) fn text(&self, term: &Term) -> Box<str> {
        let text = &self.syntax.text;
        let (start, end) = (term.start, term.end.min(text.len()));
        let (opening, closing) = lacking(&text[start..end]);
        if (opening, closing) == (0, 0) {
            return on_one_line(&text[start..end]);
        }
        // Found once for all terms: each operand of a long `&&` may lack one.
        let found = || outside_texts(text).filter(|(_, byte)| matches!(byte, b'(' | b')')).collect();
        let brackets: &Vec<(usize, u8)> = self.brackets.get_or_init(found);
        let (before, behind) = brackets.split_at(brackets.partition_point(|(at, _)| *at < start));
        let opens = before.iter().rev().filter(|(_, byte)| *byte == b'(').take(opening).last();
        let closes = behind.iter().filter(|(at, byte)| *at >= end && *byte == b')').take(closing).last();
        let (start, end) = (opens.map_or(start, |(at, _)| *at), closes.map_or(end, |(at, _)| at + 1));
        on_one_line(&text[start..end])
    }

    fn refuse(&mut self, term: &Term, detail: impl Into<String>) -> (Node, Type) {
        let problem = self.problem(term, detail);
        self.wrong(problem)
    }

    /// Notes a name or a type that does not fit.
    fn wrong(&mut self, problem: Problem) -> (Node, Type) {
        if self.mode == Mode::Dynamic {
            return (Node::Constant(NO_OVERLOAD), Type::Any);
        }
        self.problems.push(problem);
        unknown()
    }

    /// Refuses an expression that could take too much work. It looks at the whole, because loops inside loops
    /// multiply.
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
            return unknown(); // more problems do not help, and each costs time
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
            TermKind::Not(operand) if matches!(operand.kind, TermKind::Text(_)) => {
                let problem = self.problem(operand, "`!` needs true or false, this is a text");
                self.wrong(problem.hint("for what a set lacks, write `!('word' in set)`"))
            }
            TermKind::Not(operand) => self.negation(operand),
            TermKind::Negate(operand) => {
                let (node, kind) = self.node(operand);
                if !matches!(kind, Type::Int | Type::Double | Type::Any | Type::Duration) {
                    return self.refuse(operand, format!("`-` needs a number, this is {}", kind.describe()));
                }
                (self.fold(Node::Negate(Box::new(node))), kind)
            }
            TermKind::And(operands) => {
                let nodes = self.truths(operands);
                (self.chain(nodes, false), Type::Bool)
            }
            TermKind::Or(operands) => {
                let nodes = self.truths(operands);
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

    /// `!` binds first: `!tier == 'gold'` negates the tier.
    fn negation(&mut self, operand: &Term) -> (Node, Type) {
        let (node, kind) = self.node(operand);
        match truth_of(node, kind) {
            Ok(node) => (self.fold(Node::Not(Box::new(node))), Type::Bool),
            Err(other) => {
                let detail = format!("`!` needs true or false, this is {}", other.describe());
                let problem = self.problem(operand, detail);
                let text = self.text(operand);
                let hint = match other {
                    Type::Set(_) => format!("for what a set lacks, write `!('word' in {text})`"),
                    _ => format!("`!` binds first; negate a whole comparison: `!({text} == …)`"),
                };
                self.wrong(problem.hint(hint))
            }
        }
    }

    /// Checks the operands of `&&` or `||`.
    fn truths(&mut self, operands: &[Term]) -> Vec<Node> {
        let befores = std::iter::once(None).chain(operands.iter().map(Some));
        operands.iter().zip(befores).map(|(operand, before)| self.truth_after(operand, before)).collect()
    }

    /// Checks a term that must be true or false.
    fn truth(&mut self, term: &Term) -> Node {
        self.truth_after(term, None)
    }

    /// Checks a term that must be true or false. `before` is the operand before it.
    fn truth_after(&mut self, term: &Term, before: Option<&Term>) -> Node {
        let (node, kind) = self.node(term);
        match truth_of(node, kind) {
            Ok(node) => node,
            Err(other) => {
                let detail = format!("true or false was expected, this is {}", other.describe());
                let problem = self.with_comparison(self.problem(term, detail), term, &other);
                let problem = match before {
                    Some(before) => self.with_comparison_before(problem, term, before),
                    None => problem,
                };
                self.wrong(problem).0
            }
        }
    }

    /// Joins operands of `&&` (`decisive` is false) or `||` (`decisive` is true), without the constants among
    /// them.
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

    /// Replaces a node over constants by its value.
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

/// A value as an operand of `&&`, `||` or `!`, or its type if it is neither true nor false.
fn truth_of(node: Node, kind: Type) -> Result<Node, Type> {
    match kind {
        Type::Bool => Ok(node),
        Type::Any if matches!(node, Node::Constant(Value::Bool(_) | Value::Missing | Value::Error(_))) => {
            Ok(node)
        }
        // Only evaluating tells whether this is true or false. As an operand of `&&` it must be.
        Type::Any => Ok(Node::And(Box::new([node]))),
        other => Err(other),
    }
}

/// How many opening brackets a text lacks before it, and how many closing ones behind it.
fn lacking(text: &str) -> (usize, usize) {
    outside_texts(text).fold((0, 0), |(opening, closing), (_, byte)| match byte {
        b'(' => (opening, closing + 1),
        b')' if closing == 0 => (opening + 1, 0),
        b')' => (opening, closing - 1),
        _ => (opening, closing),
    })
}

/// A text with one blank for all blanks and line breaks in a row, but those inside quotes as they are.
fn on_one_line(text: &str) -> Box<str> {
    let (mut line, mut from) = (String::with_capacity(text.len()), 0);
    for (at, _) in outside_texts(text).filter(|(_, byte)| byte.is_ascii_whitespace()) {
        line.push_str(&text[from..at]);
        if from < at {
            line.push(' ');
        }
        from = at + 1;
    }
    line.push_str(&text[from..]);
    line.trim().into()
}

/// Whether a node depends only on constants.
fn is_constant(node: &Node) -> bool {
    let below = node.children();
    let leaf = below.is_empty() && !matches!(node, Node::List(_) | Node::Map(_));
    !leaf && below.iter().all(|below| matches!(below, Node::Constant(_)))
}
