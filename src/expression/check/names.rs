//! Resolves names: a name may stand for a loop's variable, a feature, a context field, a tag, a parameter, an
//! offer's attribute or a type.

use std::sync::Arc;

use super::{Check, unknown};
use crate::expression::syntax::{Term, TermKind};
use crate::expression::{Node, Type};
use crate::input::problem::nearest;
use crate::schema::value::Value;
use crate::schema::{Kind, Schema};

/// Names that stand for a group of names and have no value of their own.
const NAMESPACES: [&str; 5] = ["customer", "context", "offer", "tag", "param"];

impl Check<'_> {
    pub(super) fn name(&mut self, term: &Term, name: &str) -> (Node, Type) {
        if let Some(i) = self.locals.iter().rposition(|(local, _)| local == name) {
            return (Node::Local(i), self.locals[i].1.clone());
        }
        if let Some(i) = self.scope.variables.iter().position(|(variable, _)| variable == name) {
            return (Node::Variable(i), Type::of_value(&self.scope.variables[i].1));
        }
        if let Some(event) = self.scope.event {
            return self.property(term, event, name);
        }
        if name == "now" {
            return (Node::Now, Type::Time);
        }
        if let Some(id) = self.scope.schema.feature_id(name) {
            return (Node::Feature(id), Type::of(&self.scope.schema.feature(id).kind));
        }
        if let Some(kind) = type_named(name) {
            return (Node::Constant(Value::Type(kind)), Type::Type);
        }
        let problem = self.problem(term, format!("there is no feature `{name}`"));
        let schema = self.scope.schema;
        let elsewhere = if schema.context_id(name).is_some() {
            Some(format!("did you mean `context.{name}`?"))
        } else if self.scope.tags.ids.contains_key(name) {
            Some(format!("did you mean `tag.{name}`?"))
        } else if self.scope.parameters.get(name).is_some() {
            Some(format!("did you mean `param.{name}`?"))
        } else if self.scope.offer.is_some() && offer_kind(schema, name).is_some() {
            Some(format!("did you mean `offer.{name}`?"))
        } else if let Some(meant) = truth_meant(name) {
            Some(format!("did you mean `{meant}`?"))
        } else if let Some(word) = word_of(schema, name) {
            Some(format!("texts are written in quotes: '{word}'"))
        } else if NAMESPACES.contains(&name) {
            Some(format!("`{name}` is followed by a name: `{name}.…`"))
        } else if name == "not" {
            Some("write `!` for not: `!(x in list)`, `!vip`".to_owned())
        } else {
            None
        };
        let names = schema.features().iter().map(|f| &*f.name);
        let variables = self.scope.variables.iter().map(|(name, _)| name.as_str());
        let found = match elsewhere {
            Some(hint) => problem.hint(hint),
            None => problem.nearest(name, names.chain(variables)),
        };
        self.wrong(match (&found.hint, nearest(name, words(schema))) {
            (None, Some(word)) => found.hint(format!("did you mean '{word}', a text in quotes?")),
            _ => found,
        })
    }

    pub(super) fn select(&mut self, term: &Term, operand: &Term, field: &str) -> (Node, Type) {
        if let Some(found) = self.qualified(operand, field) {
            return found;
        }
        match &operand.kind {
            TermKind::Name(root) if self.is_namespace(root) => self.member(term, root, field),
            _ => self.field(term, operand, field, Node::Field),
        }
    }

    /// `has(x.field)`: whether a feature, attribute or field is known, or whether a map has this key.
    pub(super) fn has(&mut self, term: &Term, operand: &Term, field: &str) -> (Node, Type) {
        match &operand.kind {
            TermKind::Name(root) if self.is_namespace(root) => {
                let (node, kind) = self.member(term, root, field);
                if kind == Type::Any {
                    (node, kind)
                } else {
                    (self.fold(Node::Has(Box::new(node))), Type::Bool)
                }
            }
            _ => {
                let (node, kind) = self.field(term, operand, field, Node::HasKey);
                (node, if kind == Type::Any { kind } else { Type::Bool })
            }
        }
    }

    /// Resolves a free variable with dots in its name, or the name of a type.
    fn qualified(&self, operand: &Term, field: &str) -> Option<(Node, Type)> {
        let name = format!("{}.{field}", dotted(operand)?);
        let root = name.split('.').next().unwrap_or_default();
        if self.locals.iter().any(|(local, _)| local == root) {
            return None;
        }
        if let Some(i) = self.scope.variables.iter().position(|(variable, _)| *variable == name) {
            return Some((Node::Variable(i), Type::of_value(&self.scope.variables[i].1)));
        }
        type_named(&name).map(|kind| (Node::Constant(Value::Type(kind)), Type::Type))
    }

    /// Resolves a property of an event, or a type.
    fn property(&mut self, term: &Term, event: &str, name: &str) -> (Node, Type) {
        let schema = self.scope.schema;
        if let Some(id) = schema.context_id(name) {
            return (Node::Context(id), Type::of(&schema.context()[usize::from(id.0)].kind));
        }
        if let Some(kind) = type_named(name) {
            return (Node::Constant(Value::Type(kind)), Type::Type);
        }
        let problem = self.problem(term, format!("event `{event}` has no property `{name}`"));
        let problem = problem.nearest(name, schema.context().iter().map(|property| &*property.name));
        self.wrong(match problem.hint {
            Some(_) => problem,
            None => problem.hint("this condition sees what the event carries, and nothing else"),
        })
    }

    /// Whether a name stands for a group of names and has no value of its own.
    fn is_namespace(&self, name: &str) -> bool {
        let groups: &[&str] = if self.scope.event.is_some() { &["event"] } else { &NAMESPACES };
        groups.contains(&name)
            && !self.locals.iter().any(|(local, _)| local == name)
            && !self.scope.variables.iter().any(|(variable, _)| variable == name)
    }

    /// The value of a map for a key, or whether it has the key; `make` says which.
    fn field(
        &mut self,
        term: &Term,
        operand: &Term,
        field: &str,
        make: impl Fn(Box<Node>, Box<str>) -> Node,
    ) -> (Node, Type) {
        let (node, kind) = self.node(operand);
        let kind = match kind {
            Type::Map(both) if both.0.may_equal(&Type::Text) => both.1,
            Type::Any if node == unknown().0 => return unknown(),
            Type::Any => Type::Any,
            Type::Map(_) => return self.refuse(term, "this map's keys are not texts; write map[key]"),
            _ => {
                let detail = "only customer, context, offer, tag, param and maps have fields";
                let problem = self.with_value_of(self.problem(term, detail), operand, field);
                return self.wrong(problem);
            }
        };
        (self.fold(make(Box::new(node), field.into())), kind)
    }

    /// Resolves a feature, context field, tag, parameter or offer attribute; where an event is meant, one of
    /// its properties.
    fn member(&mut self, term: &Term, root: &str, field: &str) -> (Node, Type) {
        if let Some(event) = self.scope.event {
            return self.property(term, event, field);
        }
        let schema = self.scope.schema;
        let names: Vec<&str> = match root {
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
            "param" => {
                if let Some(parameter) = self.scope.parameters.get(field) {
                    return (parameter.node(), parameter.kind());
                }
                self.scope.parameters.names().collect()
            }
            _ => {
                let Some(offer) = self.scope.offer else {
                    return self.refuse(
                        term,
                        "there is no offer here; `offer.…` is only for guardrails and for offers",
                    );
                };
                if let Some(kind) = offer_kind(schema, field) {
                    let value = (offer.value)(field).unwrap_or(Value::Missing);
                    self.attribute_lacks |= matches!(value, Value::Null);
                    return (Node::Constant(value), kind);
                }
                let attributes = schema.attributes().iter().map(|a| &*a.name);
                attributes.chain(["id", "priority", "value", "group"]).collect()
            }
        };
        self.no_member(term, root, field, &names)
    }

    /// Says that there is no such name in a group, with the nearest name, or with all names if they are few.
    fn no_member(&mut self, term: &Term, root: &str, field: &str, names: &[&str]) -> (Node, Type) {
        let problem = self.problem(term, format!("there is no `{root}.{field}`"));
        let problem = match nearest(field, names.iter().copied()) {
            Some(name) => problem.hint(format!("did you mean `{root}.{name}`?")),
            None if names.len() <= 12 && !names.is_empty() => {
                problem.hint(format!("known: {}", names.join(", ")))
            }
            None => problem,
        };
        self.wrong(problem)
    }
}

/// What people write for true and false elsewhere.
fn truth_meant(name: &str) -> Option<&'static str> {
    match name.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" => Some("true"),
        "no" | "false" | "off" => Some("false"),
        "none" | "null" | "nil" | "undefined" | "nan" | "na" | "empty" => Some("null"),
        _ => None,
    }
}

/// The word of the schema that is written like a name, in any case.
fn word_of<'s>(schema: &'s Schema, name: &str) -> Option<&'s str> {
    let exact = words(schema).find(|word| *word == name);
    exact.or_else(|| words(schema).find(|word| word.eq_ignore_ascii_case(name)))
}

/// The words of all enums, sets and channels of a schema.
fn words(schema: &Schema) -> impl Iterator<Item = &str> {
    let kinds = schema.features().iter().map(|feature| &feature.kind);
    let kinds = kinds.chain(schema.context().iter().map(|field| &field.kind));
    let kinds = kinds.chain(schema.attributes().iter().map(|attribute| &attribute.kind));
    let vocabularies = kinds.filter_map(|kind| match kind {
        Kind::Enum(words) | Kind::Set(words) => Some(&**words),
        _ => None,
    });
    let vocabularies = vocabularies.chain([schema.channels()]);
    vocabularies.flat_map(|vocabulary| vocabulary.words()).map(|word| &**word)
}

/// A name with its dots, as it was written.
fn dotted(term: &Term) -> Option<String> {
    match &term.kind {
        TermKind::Name(name) => Some(name.clone()),
        TermKind::Select(operand, field) => Some(format!("{}.{field}", dotted(operand)?)),
        _ => None,
    }
}

/// The type of this name, if there is one.
fn type_named(name: &str) -> Option<&'static str> {
    const TYPES: [&str; 12] = [
        "bool",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "list",
        "map",
        "type",
        "null_type",
        "google.protobuf.Timestamp",
        "google.protobuf.Duration",
    ];
    TYPES.into_iter().find(|known| *known == name)
}

/// The type of an offer's attribute, including the attributes that every offer has.
fn offer_kind(schema: &Schema, name: &str) -> Option<Type> {
    match name {
        "id" | "group" => Some(Type::Text),
        "priority" => Some(Type::Int),
        "value" => Some(Type::Double),
        _ => schema.attribute(name).map(|attribute| Type::of(&attribute.kind)),
    }
}
