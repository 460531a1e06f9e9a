//! Parameters: what conditions call `param.NAME`. Each is a constant of the rule set that an experiment may
//! change.

use std::collections::HashMap;
use std::sync::Arc;

use super::experiment::Experiment;
use super::{Node, Type};
use crate::schema::value::Value;

/// The parameters of a rule set, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parameters(pub(crate) HashMap<Box<str>, Parameter>);

/// One parameter. All its values are of one type.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its value for customers who are in no variant that changes it.
    pub(crate) default: Value<'static>,
    /// The experiment that changes it, if one does.
    pub(crate) experiment: Option<Arc<Experiment>>,
    /// Its values in the variants that change it, by the variants' places.
    pub(crate) variants: Vec<(usize, Value<'static>)>,
}

/// Parameters are equal if no condition can tell them apart.
impl PartialEq for Parameter {
    fn eq(&self, other: &Parameter) -> bool {
        let mut variants = self.variants.iter().zip(&other.variants);
        self.default.is_same(&other.default)
            && self.experiment == other.experiment
            && self.variants.len() == other.variants.len()
            && variants.all(|((one, value), (other, after))| one == other && value.is_same(after))
    }
}

impl Parameters {
    pub(super) fn get(&self, name: &str) -> Option<&Parameter> {
        self.0.get(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }
}

impl Parameter {
    /// Its value for a customer: a choice by the customer's variant.
    pub(super) fn node(&self) -> Node {
        let default = Node::Constant(self.default.clone());
        let Some(experiment) = &self.experiment else { return default };
        self.variants.iter().rev().fold(default, |rest, (variant, value)| {
            let value = Node::Constant(value.clone());
            Node::If(Box::new([Node::is_in_variant(experiment, *variant), value, rest]))
        })
    }

    pub(super) fn kind(&self) -> Type {
        Type::of_value(&self.default)
    }
}
