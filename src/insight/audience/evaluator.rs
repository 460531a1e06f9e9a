//! The terms of one customer without a request: what a request would bring reads as missing.

use crate::expression::term::{Scoped, Term};
use crate::expression::{Facts, Node, Tag, TagMemo};
use crate::schema::context::Context;
use crate::schema::value::Time;
use crate::schema::vector::FeatureVector;
use crate::schema::{ChannelId, ContextId, FeatureId, Schema};

/// A channel that no schema has.
const NO_CHANNEL: ChannelId = ChannelId(u16::MAX);

/// Evaluates terms at one point in time.
pub(crate) struct Evaluator<'s> {
    pub(super) schema: &'s Schema,
    pub(crate) now: Time,
    /// The tags of each rule set, and which of them are known for the current row.
    tags: Vec<(&'s [Tag], TagMemo)>,
    context: Context<'static>,
}

/// What a term looks at.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// The features that it reads, each once.
    pub(crate) features: Vec<FeatureId>,
    /// The fields of the context that it reads, each once.
    pub(crate) context: Vec<ContextId>,
    /// Whether it looks at what only a request knows: its context, channel or customer id.
    pub(crate) request: bool,
}

impl<'s> Evaluator<'s> {
    pub(crate) fn new(schema: &'s Schema, tags: impl Iterator<Item = &'s [Tag]>, now: Time) -> Evaluator<'s> {
        let tags = tags.map(|tags| (tags, TagMemo::new(tags.len()))).collect();
        Evaluator { schema, now, tags, context: Context::default() }
    }

    /// The key of a term for the customer of this row.
    pub(crate) fn key(&self, term: &Term, row: &[u64]) -> Option<u64> {
        let facts = |tags: usize| {
            let (tags, memo) = &self.tags[tags];
            memo.forget();
            Facts {
                schema: self.schema,
                vector: FeatureVector::new(row),
                customer: None,
                context: &self.context,
                channel: NO_CHANNEL,
                now: self.now,
                tags,
                memo,
                variables: &[],
            }
        };
        term.key(&facts, row)
    }

    /// What a term looks at, also through tags.
    pub(crate) fn reads(&self, term: &Term) -> Reads {
        let mut reads = Reads::default();
        match term {
            Term::Feature(id, ..) | Term::Bits(id, ..) => reads.features.push(*id),
            Term::Computed(Scoped { node, tags }, _)
            | Term::Text(Scoped { node, tags }, _)
            | Term::Truth(Scoped { node, tags }) => {
                let mut known = Vec::new();
                reads.add(node, self.tags.get(*tags).map_or(&[], |(tags, _)| tags), &mut known);
            }
            Term::WeekMinute(_) => {}
        }
        reads
    }
}

impl Reads {
    /// Adds what a node looks at; `known` are the tags already visited.
    fn add(&mut self, node: &Node, tags: &[Tag], known: &mut Vec<usize>) {
        node.walk(&mut |node| match node {
            Node::Feature(id) | Node::Code(id) if !self.features.contains(id) => self.features.push(*id),
            // Columns hold no ids, and the id determines the variant.
            Node::Channel | Node::Variant(_) => self.request = true,
            Node::Context(id) => {
                self.request = true;
                if !self.context.contains(id) {
                    self.context.push(*id);
                }
            }
            Node::Tag(tag) if !known.contains(tag) => {
                known.push(*tag);
                if let Some(tag) = tags.get(*tag) {
                    self.add(&tag.condition.node, tags, known);
                }
            }
            _ => {}
        });
    }

    /// What a single node looks at.
    pub(super) fn of(node: &Node, tags: &[Tag]) -> Reads {
        let mut reads = Reads::default();
        reads.add(node, tags, &mut Vec::new());
        reads
    }
}
