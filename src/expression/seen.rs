//! What a condition saw: the part that failed, and what was read there, with the values. One decision
//! explains thousands of conditions, so names are borrowed and nothing is put into words yet.

use std::fmt;

use super::experiment::Experiment;
use super::{Expression, Facts, Node, Tag};
use crate::schema::value::Value;
use crate::schema::{Feature, Schema};

/// Something that a condition read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Read<'e> {
    /// A feature of the customer.
    Feature(&'e Feature),
    /// A context field, by its name.
    Context(&'e str),
    /// The channel of the request, which is `context.channel`.
    Channel,
    /// The time of the decision.
    Now,
    /// A tag, by its name.
    Tag(&'e str),
    /// The customer's variant of an experiment, by its name.
    Variant(&'e str),
}

impl fmt::Display for Read<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Read::Feature(feature) => f.write_str(&feature.name),
            Read::Context(name) => write!(f, "context.{name}"),
            Read::Channel => f.write_str("context.channel"),
            Read::Now => f.write_str("now"),
            Read::Tag(name) => write!(f, "tag.{name}"),
            Read::Variant(name) => write!(f, "experiment.{name}"),
        }
    }
}

impl Expression {
    /// The text and node of the first operand of the outermost `&&` that does not hold. If none can be named,
    /// the whole expression.
    pub(crate) fn failed_part<'e: 'a, 'a>(&'e self, facts: &Facts<'a>) -> (&'e str, &'e Node) {
        let fails = |node: &'e Node| !matches!(node.evaluate(facts), Value::Bool(true));
        match self.parts.iter().find(|part| fails(&part.node)) {
            Some(part) => (&part.text, &part.node),
            None => (&self.text, &self.node),
        }
    }
}

/// The name of the customer's variant; missing if they are in none.
pub(crate) fn variant_of<'e>(experiment: &'e Experiment, facts: &Facts<'_>) -> Value<'e> {
    let place = facts.variant(experiment).and_then(|place| usize::try_from(place).ok());
    let variant = place.and_then(|place| experiment.variants.get(place));
    variant.map_or(Value::Missing, |variant| Value::Text((&*variant.name).into()))
}

/// Adds to `found` what is read in `node`, each thing once with its value. A tag is followed by what its
/// condition reads.
pub(crate) fn seen<'e: 'a, 'a>(
    schema: &'e Schema,
    tags: &'e [Tag],
    node: &'e Node,
    facts: &Facts<'a>,
    found: &mut Vec<(Read<'e>, Value<'e>)>,
) {
    node.walk(&mut |node| {
        let read = match node {
            Node::Feature(id) | Node::Code(id) => Read::Feature(schema.feature(*id)),
            Node::Context(id) => Read::Context(&schema.context()[usize::from(id.0)].name),
            Node::Channel => Read::Channel,
            Node::Now => Read::Now,
            Node::Tag(tag) => Read::Tag(&tags[*tag].name),
            Node::Variant(experiment) => Read::Variant(&experiment.name),
            _ => return,
        };
        if found.iter().any(|(known, _)| *known == read) {
            return;
        }
        let value = match node {
            Node::Feature(id) | Node::Code(id) => facts.vector.get(schema, *id, facts.now),
            Node::Context(id) => facts.context.get(*id).clone().into_owned(),
            Node::Variant(experiment) => variant_of(experiment, facts),
            _ => node.evaluate(facts).into_owned(),
        };
        found.push((read, value));
        if let Node::Tag(tag) = node {
            seen(schema, tags, &tags[*tag].condition.node, facts, found);
        }
    });
}
