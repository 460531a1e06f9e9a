//! What an expression can see, and what one decision remembers about it.

use std::cell::Cell;

use crate::expression::arm::{SLOTS, slot};
use crate::expression::experiment::Experiment;
use crate::expression::{NO_VARIANT, Tag};
use crate::schema::context::Context;
use crate::schema::value::{Time, Value};
use crate::schema::vector::FeatureVector;
use crate::schema::{ChannelId, Schema};

/// All that an expression can see.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The schema of the features and the context.
    pub schema: &'a Schema,
    /// The features of the customer.
    pub vector: FeatureVector<'a>,
    /// The customer's id, which decides the arms of experiments. Without it, arms have no answer.
    pub customer: Option<&'a str>,
    /// The context fields of the request.
    pub context: &'a Context<'a>,
    /// The channel of the request.
    pub channel: ChannelId,
    /// The time of the decision.
    pub now: Time,
    /// The tags of the rule set, by number.
    pub tags: &'a [Tag],
    /// What is known already about the rule set's tags and experiments.
    pub memo: &'a TagMemo,
    /// The values of free variables, which only `usher eval` has.
    pub variables: &'a [Value<'a>],
}

impl<'a> Facts<'a> {
    /// Facts without a customer, at no particular time: only the context. The caller may replace the rest.
    pub(crate) fn of_context(schema: &'a Schema, context: &'a Context<'a>, memo: &'a TagMemo) -> Facts<'a> {
        Facts {
            schema,
            vector: FeatureVector::unknown(),
            customer: None,
            context,
            channel: ChannelId(0),
            now: Time(0),
            tags: &[],
            memo,
            variables: &[],
        }
    }
}

/// The tags that this decision has computed, so that each is computed once, however often it is used. Also
/// the customer's slots in the experiments of the same rule set, each hashed once.
#[derive(Debug, Default)]
pub struct TagMemo {
    pub(super) known: Vec<Cell<Answer>>,
    /// Slots by the experiment's place; [`SLOTS`] where none was asked for yet.
    slots: Vec<Cell<u16>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) enum Answer {
    #[default]
    Open,
    True,
    False,
    Missing,
    Error(&'static str),
}

impl TagMemo {
    /// A memo of this many tags that knows nothing yet.
    pub fn new(tags: usize) -> TagMemo {
        TagMemo { known: vec![Cell::new(Answer::Open); tags], slots: Vec::new() }
    }

    /// Forgets everything, and makes room for this many tags and experiments. It allocates only if there are
    /// more than before.
    pub(crate) fn clear(&mut self, tags: usize, experiments: usize) {
        self.known.clear();
        self.known.resize(tags, Cell::new(Answer::Open));
        self.slots.clear();
        self.slots.resize(experiments, Cell::new(SLOTS));
    }

    /// Forgets everything, for the next customer.
    pub(crate) fn forget(&self) {
        self.known.iter().for_each(|known| known.set(Answer::Open));
        self.slots.iter().for_each(|known| known.set(SLOTS));
    }
}

impl Facts<'_> {
    /// The place of the customer's variant of an experiment of this rule set; [`NO_VARIANT`] if they are in
    /// none. `None` if it is not known who the customer is.
    pub(crate) fn variant(&self, experiment: &Experiment) -> Option<i64> {
        let customer = self.customer?;
        let drawn = || slot(&experiment.salt, customer);
        let slot = match self.memo.slots.get(experiment.place) {
            Some(known) if known.get() == SLOTS => {
                known.set(drawn());
                known.get()
            }
            Some(known) => known.get(),
            None => drawn(),
        };
        Some(experiment.variant_at(slot).map_or(NO_VARIANT, |variant| variant as i64))
    }
}
