//! Names and types: [`Syntax`] and what it may refer to become an [`Expression`]. All problems are found at once; constants
//! are folded, so that a guardrail over an offer's own attributes comes down to what it asks of the customer.

use std::collections::HashMap;
use std::sync::Arc;

use super::evaluate::{Facts, TagMemo};
use super::parse::{LoopTerm, Term, TermKind, outside_texts};
use super::{Comparison, Expression, Function, Loop, Node, Operator, Part, Syntax};
use crate::context::Context;
use crate::problem::{Problem, Problems, nearest};
use crate::schema::{ChannelId, Kind, Schema, Vocabulary};
use crate::value::{Time, Value};
use crate::vector::FeatureVector;

/// What kind of value an expression has.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// Known only when evaluated: items of mixed lists.
    Any,
    /// `null`.
    Null,
    /// A truth value.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Double,
    /// Free text.
    Text,
    /// A word of a vocabulary.
    Word(Arc<Vocabulary>),
    /// A point in time.
    Time,
    /// A stretch of time.
    Duration,
    /// Some words of a vocabulary.
    Set(Arc<Vocabulary>),
    /// A list.
    List(Box<Type>),
}

/// What an expression may refer to.
#[derive(Clone, Copy)]
pub struct Scope<'s> {
    /// Features and context.
    pub schema: &'s Schema,
    /// Tags by name.
    pub tags: &'s TagNames,
    /// The offer's attributes, if there is an offer: their kinds, and with `values` what they are for one offer.
    pub offer: Option<OfferScope<'s>>,
    /// Free variables (of `usher eval`).
    pub variables: Variables<'s>,
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

/// Free variables with their values, by place.
pub type Variables<'s> = &'s [(String, Value<'static>)];

/// What an expression sees of an offer: the value of an attribute, or `None` where only its kind is known.
#[derive(Clone, Copy)]
pub struct OfferScope<'s> {
    /// The value of an attribute; `None` leaves it open.
    pub value: &'s dyn Fn(&str) -> Option<Value<'static>>,
}

impl<'s> Scope<'s> {
    /// Features and context, no tags, no offer.
    pub fn of(schema: &'s Schema) -> Scope<'s> {
        static NONE: std::sync::LazyLock<TagNames> = std::sync::LazyLock::new(TagNames::default);
        Scope { schema, tags: &NONE, offer: None, variables: &[] }
    }

    /// Checks a condition.
    ///
    /// # Errors
    /// Every unknown name and every type that does not fit, each with its place.
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

    /// Checks an expression of any type.
    ///
    /// # Errors
    /// As [`Scope::condition`].
    pub fn any(&self, syntax: &Syntax) -> Result<Expression, Problems> {
        self.check(syntax, "", |_| true)
    }

    fn check(
        &self,
        syntax: &Syntax,
        expected: &str,
        fits: impl Fn(&Type) -> bool,
    ) -> Result<Expression, Problems> {
        let mut check = Check { scope: *self, syntax, problems: Problems::new(), locals: Vec::new() };
        let (node, kind, parts) = check.root(&syntax.root);
        if check.problems.is_empty() && !fits(&kind) {
            check.refuse(&syntax.root, format!("{expected}, this is {}", kind.describe()));
        }
        let never = |node: &Node| match node {
            Node::Constant(Value::Error(why)) => Some(*why),
            _ => None,
        };
        let error = parts.iter().find_map(|part| never(&part.node)).or_else(|| never(&node));
        if let Some(why) = error.filter(|_| !expected.is_empty()) {
            check.refuse(&syntax.root, format!("this never has a value: {why}"));
        }
        let line = syntax.origin.line();
        check.problems.or(Expression { text: Arc::clone(&syntax.text), line, node, parts })
    }
}

impl Type {
    /// The type that values of a kind have.
    pub fn of(kind: &Kind) -> Type {
        match kind {
            Kind::Bool => Type::Bool,
            Kind::Int { .. } => Type::Int,
            Kind::Float { .. } | Kind::Decimal { .. } => Type::Double,
            Kind::Enum(words) => Type::Word(Arc::clone(words)),
            Kind::Set(words) => Type::Set(Arc::clone(words)),
            Kind::Time => Type::Time,
            Kind::Text => Type::Text,
            Kind::Computed(computed) => Type::of(&computed.result),
        }
    }

    fn of_value(value: &Value<'_>) -> Type {
        match value {
            Value::Missing | Value::Error(_) => Type::Any,
            Value::Null => Type::Null,
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Double(_) => Type::Double,
            Value::Text(_) => Type::Text,
            Value::Time(_) => Type::Time,
            Value::Duration(_) => Type::Duration,
            Value::Set(_, words) => Type::Set(Arc::new((*words).clone())),
            Value::List(items) => Type::List(Box::new(common(items.iter().map(Type::of_value)))),
        }
    }

    fn describe(&self) -> String {
        match self {
            Type::Any => "a value".into(),
            Type::Null => "null".into(),
            Type::Bool => "true or false".into(),
            Type::Int => "an int".into(),
            Type::Double => "a double".into(),
            Type::Text => "a text".into(),
            Type::Word(_) => "an enum".into(),
            Type::Time => "a timestamp".into(),
            Type::Duration => "a duration".into(),
            Type::Set(_) => "a set".into(),
            Type::List(_) => "a list".into(),
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Type::Int | Type::Double)
    }

    fn is_text(&self) -> bool {
        matches!(self, Type::Text | Type::Word(_))
    }
}

/// The type of all items, if they have one.
fn common(types: impl Iterator<Item = Type>) -> Type {
    let mut all: Option<Type> = None;
    for kind in types {
        match &all {
            None => all = Some(kind),
            Some(first) if *first == kind => {}
            Some(first) if first.is_text() && kind.is_text() => all = Some(Type::Text),
            Some(_) => return Type::Any,
        }
    }
    all.unwrap_or(Type::Any)
}

struct Check<'s> {
    scope: Scope<'s>,
    syntax: &'s Syntax,
    problems: Problems,
    /// Variables of the enclosing loops; each has its place by its depth.
    locals: Vec<(String, Type)>,
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
        self.problems.push(problem);
        unknown()
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
            TermKind::Double(x) => (Node::Constant(Value::Double(*x)), Type::Double),
            TermKind::Text(text) => (Node::Constant(Value::Text(text.clone().into())), Type::Text),
            TermKind::Name(name) => self.name(term, name),
            TermKind::Select(operand, field) => self.select(term, operand, field),
            TermKind::Has(operand, field) => {
                let (node, kind) = self.select(term, operand, field);
                if kind == Type::Any { unknown() } else { (self.fold(Node::Has(Box::new(node))), Type::Bool) }
            }
            TermKind::Not(operand) => {
                let node = self.truth(operand);
                (self.fold(Node::Not(Box::new(node))), Type::Bool)
            }
            TermKind::Negate(operand) => {
                let (node, kind) = self.node(operand);
                if !kind.is_number() && !matches!(kind, Type::Any | Type::Duration) {
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
                let kind = Type::List(Box::new(common(checked.iter().map(|(_, kind)| kind.clone()))));
                (self.fold(Node::List(checked.into_iter().map(|(node, _)| node).collect())), kind)
            }
            TermKind::Call(name, args, method) => self.call(name, args, *method, term),
            TermKind::Loop(l) => self.comprehension(l),
        }
    }

    /// A term that must be true or false.
    fn truth(&mut self, term: &Term) -> Node {
        let (node, kind) = self.node(term);
        match kind {
            Type::Bool => node,
            // Not known to be true or false until it is evaluated: kept as an operand, which is strict about it.
            Type::Any if node != unknown().0 => Node::And(Box::new([node])),
            Type::Any => node,
            other => {
                let problem =
                    self.problem(term, format!("true or false was expected, this is {}", other.describe()));
                self.problems.push(match other {
                    Type::Int | Type::Double => problem.hint("compare it: `… > 0`"),
                    _ => problem,
                });
                unknown().0
            }
        }
    }

    fn name(&mut self, term: &Term, name: &str) -> (Node, Type) {
        if let Some(i) = self.locals.iter().rposition(|(local, _)| local == name) {
            return (Node::Local(i), self.locals[i].1.clone());
        }
        if let Some(i) = self.scope.variables.iter().position(|(variable, _)| variable == name) {
            return (Node::Variable(i), Type::of_value(&self.scope.variables[i].1));
        }
        if name == "now" {
            return (Node::Now, Type::Time);
        }
        if let Some(id) = self.scope.schema.feature_id(name) {
            return (Node::Feature(id), Type::of(&self.scope.schema.feature(id).kind));
        }
        let problem = self.problem(term, format!("there is no feature `{name}`"));
        let schema = self.scope.schema;
        let elsewhere = if schema.context_id(name).is_some() {
            Some(format!("did you mean `context.{name}`?"))
        } else if self.scope.tags.ids.contains_key(name) {
            Some(format!("did you mean `tag.{name}`?"))
        } else if self.scope.offer.is_some() && offer_kind(schema, name).is_some() {
            Some(format!("did you mean `offer.{name}`?"))
        } else if ["context", "tag", "offer", "customer"].contains(&name) {
            Some(format!("`{name}` is followed by a name: `{name}.…`"))
        } else {
            None
        };
        let names = schema.features().iter().map(|f| &*f.name);
        let variables = self.scope.variables.iter().map(|(name, _)| name.as_str());
        self.problems.push(match elsewhere {
            Some(hint) => problem.hint(hint),
            None => problem.nearest(name, names.chain(variables)),
        });
        unknown()
    }

    fn select(&mut self, term: &Term, operand: &Term, field: &str) -> (Node, Type) {
        let TermKind::Name(root) = &operand.kind else {
            self.node(operand);
            return self.refuse(term, "only customer, context, offer and tag have fields");
        };
        let schema = self.scope.schema;
        let names: Vec<&str> = match root.as_str() {
            "customer" => {
                if let Some(id) = schema.feature_id(field) {
                    return (Node::Feature(id), Type::of(&schema.feature(id).kind));
                }
                schema.features().iter().map(|f| &*f.name).collect()
            }
            "context" => {
                if field == "channel" {
                    return (Node::Channel, Type::Word(Arc::new(schema.channels().clone())));
                }
                if let Some(id) = schema.context_id(field) {
                    return (Node::Context(id), Type::of(&schema.context()[usize::from(id.0)].kind));
                }
                schema.context().iter().map(|f| &*f.name).chain(["channel"]).collect()
            }
            "tag" => {
                if let Some(tag) = self.scope.tags.ids.get(field) {
                    return (Node::Tag(*tag), Type::Bool);
                }
                self.scope.tags.iter().collect()
            }
            "offer" => {
                let Some(offer) = self.scope.offer else {
                    return self.refuse(
                        term,
                        "there is no offer here; `offer.…` is for guardrails and for offers themselves",
                    );
                };
                if let Some(kind) = offer_kind(schema, field) {
                    let value = (offer.value)(field).unwrap_or(Value::Missing);
                    return (Node::Constant(value), kind);
                }
                let attributes = schema.attributes().iter().map(|a| &*a.name);
                attributes.chain(["id", "priority", "value", "group"]).collect()
            }
            _ => {
                self.node(operand);
                return self.refuse(term, "only customer, context, offer and tag have fields");
            }
        };
        let problem = self.problem(term, format!("there is no `{root}.{field}`"));
        let problem = match nearest(field, names.iter().copied()) {
            Some(name) => problem.hint(format!("did you mean `{root}.{name}`?")),
            None if names.len() <= 12 && !names.is_empty() => {
                problem.hint(format!("known: {}", names.join(", ")))
            }
            None => problem,
        };
        self.problems.push(problem);
        unknown()
    }

    fn choice(&mut self, [condition, yes, no]: &[Term; 3]) -> (Node, Type) {
        let condition = self.truth(condition);
        let ((yes_node, yes_type), (no_node, no_type)) = (self.node(yes), self.node(no));
        let kind = match (&yes_type, &no_type) {
            (a, b) if a == b => yes_type.clone(),
            (Type::Any, other) | (other, Type::Any) => other.clone(),
            (a, b) if a.is_text() && b.is_text() => Type::Text,
            (a, b) => {
                let problem = self.problem(
                    no,
                    format!("one side of `? :` is {}, the other {}", a.describe(), b.describe()),
                );
                let both_numbers = a.is_number() && b.is_number();
                self.problems.push(if both_numbers {
                    problem.hint("write both as doubles: 1.0")
                } else {
                    problem
                });
                return unknown();
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
            (a, b) if a == b && !matches!(a, Type::Set(_) | Type::List(_) | Type::Null) => {
                Some([left_node, right_node])
            }
            (Type::List(_), Type::List(_)) if equality => Some([left_node, right_node]),
            (Type::Any, _) | (_, Type::Any) => Some([left_node, right_node]),
            (a, b) if a.is_number() && b.is_number() => Some([left_node, right_node]),
            (a, b) if equality && a.is_text() && b.is_text() => Some([left_node, right_node]),
            (a, b) => {
                let problem =
                    self.problem(term, format!("{} and {} cannot be compared", a.describe(), b.describe()));
                self.problems.push(match (a, b) {
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
                None
            }
        };
        match pair.map(|pair| self.in_single_precision(pair)) {
            Some(pair) => (self.fold(Node::Compare(comparison, Box::new(pair))), Type::Bool),
            None => unknown(),
        }
    }

    /// A number that is compared with a feature of single precision is rounded as the feature is, so that a customer whose
    /// score was given as 0.7 passes `score >= 0.7`.
    fn in_single_precision(&self, pair: [Node; 2]) -> [Node; 2] {
        let single = |node: &Node| match node {
            Node::Feature(id) => self.scope.schema.feature(*id).kind == Kind::Float { double: false },
            _ => false,
        };
        let round = |node: Node| match node {
            Node::Constant(Value::Double(x)) if (x as f32).is_finite() => {
                Node::Constant(Value::Double(f64::from(x as f32)))
            }
            other => other,
        };
        let [left, right] = pair;
        if single(&left) {
            [left, round(right)]
        } else if single(&right) {
            [round(left), right]
        } else {
            [left, right]
        }
    }

    fn is_literal(&self, term: &Term) -> bool {
        matches!(term.kind, TermKind::Text(_))
    }

    /// An enum against a word written out: the word must be one of its own. Compared by place, not as text.
    fn with_word(
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

    /// The word's place, or a problem that names the nearest one.
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
            self.problems.push(problem);
        }
        code
    }

    fn refuse_order(&mut self, term: &Term) {
        let problem = self.problem(term, "this enum's values have no order");
        self.problems.push(problem.hint("declare it with `ordered: true` in the schema"));
    }

    fn two_words(
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
            self.refuse(term, "enums are put in order only when their values are the same");
            return None;
        }
        if !a.words().iter().any(|word| b.code(word).is_some()) {
            self.refuse(term, "these enums have no value in common");
            return None;
        }
        Some([left, right])
    }

    fn arithmetic(&mut self, operator: Operator, [left, right]: &[Term; 2], term: &Term) -> (Node, Type) {
        use Operator::{Add, Divide, Modulo, Multiply, Subtract};
        let ((left_node, left_type), (right_node, right_type)) = (self.node(left), self.node(right));
        let kind = match (operator, &left_type, &right_type) {
            (_, Type::Any, other) | (_, other, Type::Any) => other.clone(),
            (_, Type::Int, Type::Int) => Type::Int,
            (Add | Subtract | Multiply | Divide, Type::Double, Type::Double) => Type::Double,
            (Add, a, b) if a.is_text() && b.is_text() => Type::Text,
            (Add, Type::List(a), Type::List(b)) => {
                Type::List(Box::new(common([(**a).clone(), (**b).clone()].into_iter())))
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
                self.problems.push(if both_numbers {
                    problem.hint("ints and doubles are not mixed: write 2.0 for 2, or convert with double(…)")
                } else {
                    problem
                });
                return unknown();
            }
        };
        (self.fold(Node::Arithmetic(operator, Box::new([left_node, right_node]))), kind)
    }

    fn contained(&mut self, [item, list]: &[Term; 2], term: &Term) -> (Node, Type) {
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
                self.refuse(item, format!("a set has words, this is {}", kind.describe()))
            }
            (Type::List(items), kind)
                if **items != Type::Any
                    && *kind != Type::Any
                    && **items != *kind
                    && !(items.is_number() && kind.is_number())
                    && !(items.is_text() && kind.is_text()) =>
            {
                let what = format!(
                    "a list of {}s never has {}",
                    items.describe().trim_start_matches("an ").trim_start_matches("a "),
                    kind.describe()
                );
                self.refuse(term, what)
            }
            (Type::Set(_) | Type::List(_) | Type::Any, _) => {
                (self.fold(Node::In(Box::new([item_node, list_node]))), Type::Bool)
            }
            (other, _) => {
                self.refuse(list, format!("`in` needs a list or a set, this is {}", other.describe()))
            }
        }
    }

    fn index(&mut self, [list, index]: &[Term; 2], term: &Term) -> (Node, Type) {
        let ((list_node, list_type), (index_node, index_type)) = (self.node(list), self.node(index));
        match (&list_type, &index_type) {
            (Type::List(items), Type::Int | Type::Any) => {
                let kind = (**items).clone();
                (self.fold(Node::Index(Box::new([list_node, index_node]))), kind)
            }
            (Type::Any, _) => (Node::Index(Box::new([list_node, index_node])), Type::Any),
            (Type::List(_), other) => {
                self.refuse(index, format!("an index is an int, this is {}", other.describe()))
            }
            (other, _) => {
                self.refuse(term, format!("only a list has items by index, this is {}", other.describe()))
            }
        }
    }

    fn call(&mut self, name: &str, args: &[Term], method: bool, term: &Term) -> (Node, Type) {
        // Name, function, whether it is written as a method, how many arguments with the target, what it gives.
        const KNOWN: [(&str, Function, bool, usize, Type); 11] = [
            ("size", Function::Size, false, 1, Type::Int),
            ("size", Function::Size, true, 1, Type::Int),
            ("contains", Function::Contains, true, 2, Type::Bool),
            ("startsWith", Function::StartsWith, true, 2, Type::Bool),
            ("endsWith", Function::EndsWith, true, 2, Type::Bool),
            ("double", Function::ToDouble, false, 1, Type::Double),
            ("int", Function::ToInt, false, 1, Type::Int),
            ("string", Function::ToText, false, 1, Type::Text),
            ("timestamp", Function::ToTime, false, 1, Type::Time),
            ("duration", Function::ToDuration, false, 1, Type::Duration),
            ("not_strictly_false", Function::NotStrictlyFalse, false, 1, Type::Bool),
        ];
        let checked: Vec<(Node, Type)> = args.iter().map(|arg| self.node(arg)).collect();
        let Some((_, function, _, arity, result)) =
            KNOWN.iter().find(|known| known.0 == name && known.2 == method)
        else {
            let problem = self.problem(term, format!("there is no function `{name}`"));
            let other_form = KNOWN.iter().find(|known| known.0 == name);
            self.problems.push(match other_form {
                Some((_, _, true, ..)) => problem.hint(format!("write text.{name}(…)")),
                Some(_) => problem.hint(format!("write {name}(…)")),
                None => problem.nearest(name, KNOWN.iter().map(|known| known.0)),
            });
            return unknown();
        };
        if checked.len() != *arity {
            let takes = arity - usize::from(method);
            return self.refuse(
                term,
                format!("`{name}` takes {takes} argument{}", if takes == 1 { "" } else { "s" }),
            );
        }
        for ((_, kind), arg) in checked.iter().zip(args) {
            let fits = match function {
                Function::Size => matches!(kind, Type::Text | Type::Word(_) | Type::List(_) | Type::Set(_)),
                Function::Contains | Function::StartsWith | Function::EndsWith => kind.is_text(),
                Function::ToDouble => kind.is_number() || kind.is_text(),
                Function::ToInt => kind.is_number() || kind.is_text() || *kind == Type::Time,
                Function::ToText => !matches!(kind, Type::List(_) | Type::Set(_) | Type::Null),
                Function::ToTime => kind.is_text() || matches!(kind, Type::Int | Type::Time),
                Function::ToDuration => kind.is_text() || *kind == Type::Duration,
                Function::NotStrictlyFalse => true,
            };
            if !fits && *kind != Type::Any {
                return self.refuse(arg, format!("`{name}` does not take {}", kind.describe()));
            }
        }
        let nodes = checked.into_iter().map(|(node, _)| node).collect();
        let node = self.fold(Node::Call(*function, nodes));
        if let Node::Constant(Value::Error(why)) = &node {
            return self.refuse(term, format!("this has no value: {why}"));
        }
        (node, result.clone())
    }

    fn comprehension(&mut self, l: &LoopTerm) -> (Node, Type) {
        let (range, range_type) = self.node(&l.range);
        let item_type = match &range_type {
            Type::List(items) => (**items).clone(),
            Type::Set(words) => Type::Word(Arc::clone(words)),
            Type::Any => Type::Any,
            other => {
                return self.refuse(
                    &l.range,
                    format!("only lists and sets have items, this is {}", other.describe()),
                );
            }
        };
        let (start, start_type) = self.node(&l.start);
        let item = self.locals.len();
        // What is gathered may change its type on the way (an empty list has none), so only its form is kept.
        let so_far =
            if matches!(start_type, Type::List(_)) { Type::List(Box::new(Type::Any)) } else { start_type };
        self.locals.push((l.item.clone(), item_type));
        self.locals.push((l.so_far.clone(), so_far));
        let condition = self.truth(&l.condition);
        let (step, _) = self.node(&l.step);
        let (result, result_type) = self.node(&l.result);
        self.locals.truncate(item);
        (Node::Loop(Box::new(Loop { range, start, condition, step, result, item })), result_type)
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
        let mut constant = true;
        let mut outermost = true;
        node.walk(&mut |below| {
            constant &= std::mem::take(&mut outermost) || matches!(below, Node::Constant(_));
        });
        if !constant
            || matches!(node, Node::Constant(_) | Node::Feature(_) | Node::Code(_) | Node::Context(_))
        {
            return node;
        }
        let (context, memo) = (Context::default(), TagMemo::default());
        let facts = Facts {
            schema: self.scope.schema,
            vector: FeatureVector::unknown(),
            context: &context,
            channel: ChannelId(0),
            now: Time(0),
            tags: &[],
            memo: &memo,
            variables: &[],
        };
        let value = node.evaluate(&facts).into_owned();
        Node::Constant(value)
    }
}

/// A word as its place in the order.
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

/// The type of an offer's attribute, those that every offer has included.
fn offer_kind(schema: &Schema, name: &str) -> Option<Type> {
    match name {
        "id" | "group" => Some(Type::Text),
        "priority" => Some(Type::Int),
        "value" => Some(Type::Double),
        _ => schema.attribute(name).map(|attribute| Type::of(&attribute.kind)),
    }
}

/// Opening less closing brackets.
fn unbalanced(text: &str) -> i32 {
    outside_texts(text).map(|(_, b)| i32::from(b == b'(') - i32::from(b == b')')).sum()
}
