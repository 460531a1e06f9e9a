//! Why each offer was or was not shown.

use super::scan::{Obstacle, obstacle};
use super::{Candidate, Passed, Score, Seen};
use crate::engine::{Offer, PlacementId};
use crate::expression::Expression;
use crate::value::Value;

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

/// What stopped an offer.
#[derive(Debug)]
pub struct Stop<'e> {
    /// What kind of thing.
    pub kind: StopKind,
    /// The guardrail's, group's or locale's name, or the schedule; empty where there is nothing to name.
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
    /// The request's time was over before it was looked at.
    Deadline,
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
            StopKind::Deadline => "deadline",
        }
    }
}

/// Every offer of the placement: candidates in their order, then those that were stopped, then those of the placement's
/// offers that were not looked at any more.
pub(super) fn explain<'e: 'r, 'r>(
    seen: &Seen<'e, 'r>,
    id: PlacementId,
    candidates: &[Candidate<'e>],
    fates: &[Option<Passed>],
    looked_at: usize,
) -> Vec<Explanation<'e>> {
    let placement = seen.engine.placement(id);
    let mut explanations = Vec::with_capacity(placement.offers.len());
    let mut rank = 0;
    for (candidate, fate) in candidates.iter().zip(fates) {
        let stopped_by = fate.map(|fate| passed(seen, candidate.offer, fate));
        rank += u32::from(fate.is_none());
        let rank = fate.is_none().then_some(rank);
        let Candidate { offer, score, .. } = *candidate;
        explanations.push(Explanation { offer, eligible: true, rank, stopped_by, score });
    }
    // Shown first, then the eligible; both keep their order.
    explanations.sort_by_key(|explanation| explanation.rank.is_none());
    for (i, offer_id) in placement.offers.iter().enumerate() {
        let offer = seen.engine.offer(*offer_id);
        let stopped_by = if i >= looked_at {
            named(StopKind::Deadline, "")
        } else if let Err(obstacle) = obstacle(seen, id, offer) {
            stopped(seen, offer, &obstacle)
        } else {
            continue; // a candidate
        };
        let score = seen.score(offer);
        explanations.push(Explanation {
            offer,
            eligible: false,
            rank: None,
            stopped_by: Some(stopped_by),
            score,
        });
    }
    explanations
}

fn named(kind: StopKind, name: impl Into<String>) -> Stop<'static> {
    Stop { kind, name: name.into(), condition: None, line: None, values: Vec::new() }
}

fn passed(seen: &Seen<'_, '_>, offer: &Offer, fate: Passed) -> Stop<'static> {
    match fate {
        Passed::Repeated => named(StopKind::Repeated, ""),
        Passed::Full => named(StopKind::Rank, ""),
        Passed::Group => named(StopKind::Group, offer.group(seen.engine).map_or("", |group| &group.name)),
    }
}

fn stopped<'e: 'r, 'r>(seen: &Seen<'e, 'r>, offer: &'e Offer, obstacle: &Obstacle<'e>) -> Stop<'e> {
    match obstacle {
        Obstacle::Schedule => {
            named(StopKind::Schedule, offer.schedule.as_ref().map_or("", |schedule| schedule.text()))
        }
        Obstacle::Treatment => {
            let locale = seen.request.locale.map_or("no locale", |locale| locale.as_str());
            named(StopKind::Treatment, locale)
        }
        Obstacle::Guardrail(guardrail) => {
            let name = guardrail.name.to_string();
            condition(seen, guardrail.tags, StopKind::Guardrail, name, &guardrail.condition)
        }
        Obstacle::When(when) => condition(seen, offer.tags, StopKind::When, String::new(), when),
    }
}

/// The part of the condition that failed, with what it saw.
fn condition<'e: 'r, 'r>(
    seen: &Seen<'e, 'r>,
    tags: usize,
    kind: StopKind,
    name: String,
    condition: &'e Expression,
) -> Stop<'e> {
    let facts = seen.facts(tags);
    let (text, values) = match condition.failed_part(&facts) {
        Some((part, values)) => (condition.part_text(part), values),
        None => (&*condition.text, Vec::new()),
    };
    Stop { kind, name, condition: Some(text), line: Some(condition.line), values }
}
