//! Deciding: a pure function of engine, feature vector, request and time.
use smallvec::SmallVec;

use crate::engine::{Engine, Offer, Placement, PlacementId, Treatment};
use crate::schema::{ChannelId, ContextId};
use crate::value::{Time, Value};
use crate::vector::FeatureVector;

/// Propositions of one placement at most.
pub const MAX_COUNT: usize = 30;
/// Placements of one request at most.
pub const MAX_PLACEMENTS: usize = 30;

/// What is asked; names are resolved already.
pub struct Request<'a> {
    /// On which channel.
    pub channel: ChannelId,
    /// Which placements, and how many propositions for each (at most [`MAX_COUNT`]).
    pub placements: &'a [(PlacementId, usize)],
    /// The language of the treatments, such as `zh-CN`; the default treatment if none.
    pub locale: Option<&'a str>,
    /// What only the request knows.
    pub context: Context<'a>,
    /// Whether to say for every offer why it was or was not shown.
    pub explain: bool,
    /// Tells that the time is over: then what is ready is returned, and fallbacks for the rest. A function, because the
    /// core has no clock.
    pub overdue: Option<&'a dyn Fn() -> bool>,
}

/// The context's values by [`ContextId`]; a field that was not given is missing.
#[derive(Debug, Clone, Default)]
pub struct Context<'a> {
    values: SmallVec<[(ContextId, Value<'a>); 8]>,
}

impl<'a> Context<'a> {
    /// Gives a field its value.
    pub fn set(&mut self, field: ContextId, value: Value<'a>) {
        self.values.push((field, value));
    }
    /// The field's value.
    pub fn get(&self, field: ContextId) -> &Value<'a> {
        self.values.iter().find(|(id, _)| *id == field).map_or(&Value::Missing, |(_, value)| value)
    }
}

/// The answer.
#[derive(Debug)]
pub struct Decision<'e> {
    /// One per placement asked, in the order asked.
    pub placements: Vec<Shown<'e>>,
    /// Whether the time was over before everything was decided.
    pub degraded: bool,
}

/// What one placement shows.
#[derive(Debug)]
pub struct Shown<'e> {
    /// The placement.
    pub placement: &'e Placement,
    /// Whether it shows its fallback because nothing survived.
    pub fallback: bool,
    /// Best first.
    pub propositions: Vec<Proposition<'e>>,
    /// With `explain`: every offer of the placement, in order of rank for eligible ones, then the others.
    pub explanations: Vec<Explanation<'e>>,
}

/// An offer with the treatment it is shown in.
#[derive(Debug, Clone)]
pub struct Proposition<'e> {
    /// What.
    pub offer: &'e Offer,
    /// How it looks.
    pub treatment: &'e Treatment,
    /// From 1.
    pub rank: u32,
    /// What it was ranked by; 0 for a fallback.
    pub score: f64,
    /// With what probability this choice was made: 1 as long as nothing is left to chance.
    pub propensity: f64,
    /// Why, in the request's language.
    pub reason: Option<&'e str>,
}

/// Why an offer was or was not shown.
#[derive(Debug)]
pub struct Explanation<'e> {
    /// Which.
    pub offer: &'e Offer,
    /// Whether it passed everything but the ranking.
    pub eligible: bool,
    /// Its place among the propositions, if it is one of them.
    pub rank: Option<u32>,
    /// What stopped it; for an eligible offer that is not shown, what kept it from being shown.
    pub stopped_by: Option<Stop<'e>>,
    /// The parts of its score.
    pub score: Score,
}

/// The parts of a score; `score = propensity × value × boost`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Estimated chance of a yes, 0 to 1.
    pub propensity: f64,
    /// What the offer is worth to the bank.
    pub value: f64,
    /// The rule set's factor.
    pub boost: f64,
    /// The product.
    pub score: f64,
}

/// What stopped an offer.
#[derive(Debug)]
pub struct Stop<'e> {
    /// What kind of thing.
    pub kind: StopKind,
    /// For a guardrail its name; for a schedule, a group, a treatment what there is to say.
    pub name: String,
    /// The condition's text (the part of it that failed), if it was a condition.
    pub condition: Option<&'e str>,
    /// The line of the condition in its rule set.
    pub line: Option<u32>,
    /// The terms of the condition with the values seen.
    pub values: Vec<(String, Value<'static>)>,
}

/// What kind of thing stopped an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopKind {
    /// Its own `when`.
    When,
    /// A guardrail.
    Guardrail,
    /// Its schedule.
    Schedule,
    /// There is no treatment for the request's locale.
    Treatment,
    /// Its group is full.
    Group,
    /// It is shown in another placement of this decision.
    Repeated,
    /// Others rank higher and the placement is full.
    Rank,
}

impl StopKind {
    /// Its name in answers.
    pub fn name(self) -> &'static str {
        match self {
            StopKind::When => "when",
            StopKind::Guardrail => "guardrail",
            StopKind::Schedule => "schedule",
            StopKind::Treatment => "treatment",
            StopKind::Group => "group",
            StopKind::Repeated => "repeated",
            StopKind::Rank => "rank",
        }
    }
}

/// Decides.
pub fn decide<'e>(
    _engine: &'e Engine,
    _vector: FeatureVector<'_>,
    _request: &Request<'_>,
    _now: Time,
) -> Decision<'e> {
    todo!()
}
