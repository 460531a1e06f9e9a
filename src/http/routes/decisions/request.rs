//! What a decision request asks for, with all names resolved, and those of its parts that are wrong.

use std::time::Duration;

use smallvec::SmallVec;

use crate::decide::Context;
use crate::engine::{Engine, PlacementId};
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::input::problem::{Problem, Problems};
use crate::rules::rule_set::{Languages, MAX_COUNT};
use crate::schema::value::Value;
use crate::schema::{ChannelId, ContextId};

/// The longest deadline that a request may set, in microseconds.
pub(super) const MAX_DEADLINE_US: u64 = 60_000_000;

/// Each placement, with the number of propositions wanted there.
pub(crate) type Placements = SmallVec<[(PlacementId, usize); 8]>;

/// A decision request that can be answered, at least in part.
#[derive(Debug)]
pub(crate) struct DecisionRequest<'a> {
    pub(crate) customer: &'a str,
    pub(crate) channel: ChannelId,
    /// At least one.
    pub(crate) placements: Placements,
    /// The others that were asked for, in their order.
    pub(crate) refused: Vec<RefusedPlacement>,
    pub(crate) context: Vec<(ContextId, Value<'a>)>,
    /// What was wrong in context and locale. The decision does without these parts.
    pub(crate) left_out: Problems,
    pub(crate) languages: Languages,
    pub(crate) explain: bool,
    /// Whether the answer names the customer's variants.
    pub(crate) variants: bool,
    pub(crate) deadline: Option<Duration>,
}

impl<'a> DecisionRequest<'a> {
    /// Takes the context, as deciding reads it.
    pub(crate) fn take_context(&mut self) -> Context<'a> {
        let mut context = Context::default();
        for (field, value) in std::mem::take(&mut self.context) {
            context.set(field, value);
        }
        context
    }
}

/// A placement that cannot be decided for.
#[derive(Debug)]
pub(crate) struct RefusedPlacement {
    /// Its place among all placements of the request, from 0.
    pub(crate) place: usize,
    /// Its name, as far as the request gives one.
    pub(crate) id: Box<str>,
    pub(crate) problems: Problems,
}

/// What was read of a decision request. Missing fields are among the problems.
#[derive(Default)]
pub(super) struct Draft<'a> {
    pub(super) customer: Option<&'a str>,
    pub(super) channel: Option<ChannelId>,
    pub(super) placements: Placements,
    pub(super) refused: Vec<RefusedPlacement>,
    pub(super) context: Vec<(ContextId, Value<'a>)>,
    pub(super) left_out: Problems,
    pub(super) languages: Languages,
    pub(super) explain: bool,
    pub(super) variants: bool,
    /// Whether a part that is wrong fails the whole request.
    pub(super) strict: bool,
    pub(super) deadline: Option<Duration>,
}

impl<'a> Draft<'a> {
    /// The request, unless something is wrong that all of it depends on.
    ///
    /// # Errors
    /// 400 with everything that is wrong.
    pub(super) fn finish(self, mut problems: Problems) -> Result<DecisionRequest<'a>, Refusal> {
        let nothing_to_do = self.placements.is_empty() || (self.strict && self.has_wrong_parts());
        match (self.customer, self.channel) {
            (Some(customer), Some(channel)) if problems.is_empty() && !nothing_to_do => {
                let Draft { placements, refused, context, left_out, languages, .. } = self;
                let Draft { explain, variants, deadline, .. } = self;
                Ok(DecisionRequest {
                    customer,
                    channel,
                    placements,
                    refused,
                    context,
                    left_out,
                    languages,
                    explain,
                    variants,
                    deadline,
                })
            }
            _ => {
                for refused in self.refused {
                    problems.extend(refused.problems);
                }
                problems.extend(self.left_out);
                Err(Refusal::problems(ProblemKind::Invalid, problems))
            }
        }
    }

    fn has_wrong_parts(&self) -> bool {
        !self.refused.is_empty() || !self.left_out.is_empty()
    }

    /// Takes the placement of this name with this count, or its own count.
    ///
    /// # Errors
    /// An unknown name, a placement that is not on the channel, or one that is there already.
    pub(super) fn place(&mut self, name: &str, count: Option<usize>, engine: &Engine) -> Result<(), Problem> {
        let id = engine.placement_on(name, self.channel)?;
        if self.placements.iter().any(|(earlier, _)| *earlier == id) {
            return Err(Problem::new(format!("placement `{name}` is given twice")));
        }
        let count = count.unwrap_or_else(|| engine.placement(id).count.min(MAX_COUNT));
        self.placements.push((id, count));
        Ok(())
    }

    /// Notes a placement that cannot be decided for, unless nothing is wrong with it.
    pub(super) fn refuse(&mut self, place: usize, id: &str, problems: Problems) {
        if !problems.is_empty() {
            self.refused.push(RefusedPlacement { place, id: id.into(), problems });
        }
    }
}
