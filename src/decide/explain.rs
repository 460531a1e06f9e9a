//! Why each offer was or was not shown, and what would have let it pass. Nothing is put into words here:
//! one decision may explain thousands of offers, and the reader renders them.

use std::borrow::Cow;

use super::history::Reached;
use super::lacks::SeenTerms;
use super::obstacle::{Obstacle, obstacle};
use super::{Passed, RankedOffer, Score, Seen, Shown};
use crate::engine::{Offer, OfferId, PlacementId};
use crate::expression::Expression;
use crate::expression::alternatives::Alternatives;
use crate::expression::seen::{Read, seen as read_below, variant_of};
use crate::learning::LearnedCounts;
use crate::rules::rule_set::Schedule;
use crate::schema::value::{Time, Value};

pub use super::lacks::Lack;

/// Why an offer was or was not shown.
#[derive(Debug)]
pub struct Explanation<'e> {
    /// The offer that is explained.
    pub offer: &'e Offer,
    /// Whether it passed everything but the ranking.
    pub eligible: bool,
    /// Its rank among the propositions, if it is one of them.
    pub rank: Option<u32>,
    /// What stopped it. For an eligible offer, what kept it from being shown.
    pub stopped_by: Option<Stop<'e>>,
    /// The budgets of customers in which the customer has a place already: these never stop the offer.
    pub places: Vec<&'e str>,
    /// The parts of its score.
    pub score: Score,
    /// What outcomes taught about it, if its propensity is learned.
    pub learned: Option<LearnedCounts>,
}

/// What stopped an offer, with all that is known about it.
#[derive(Debug)]
pub struct Stop<'e> {
    /// The kind of obstacle, such as a guardrail.
    pub kind: StopKind,
    /// The name of the guardrail, group, variant, locale or budget, or the text of the schedule, cap or
    /// suppression. Empty where there is nothing to name.
    pub name: Cow<'e, str>,
    /// The text of the part of the condition that failed, if it was a condition.
    pub condition: Option<&'e str>,
    /// The line of the condition in its rule set.
    pub line: Option<u32>,
    /// What that part of the condition read, with the values found.
    pub values: Vec<(Read<'e>, Value<'e>)>,
    /// What would have to change for the whole condition to hold: at most [`MAX_WAYS`](super::MAX_WAYS)
    /// alternatives, the one that lacks least first. Empty where nothing could let it pass.
    pub lacks: Vec<Vec<Lack<'e>>>,
    /// The number of contacts that a cap or suppression counted.
    pub count: Option<u32>,
    /// The most contacts, or places of a budget, that there may be.
    pub max: Option<u32>,
    /// When a cap, suppression or budget would let the offer pass again, if nothing else happens.
    pub ends: Option<Time>,
    /// The schedule that is not open, and the time of the decision.
    closed: Option<(&'e Schedule, Time)>,
}

impl Stop<'_> {
    /// When the schedule that stopped the offer opens next. `None` if it never does, or if something else
    /// stopped it.
    pub fn opens(&self) -> Option<Time> {
        let (schedule, now) = self.closed?;
        schedule.next_open(now)
    }
}

/// The kinds of obstacles that stop an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopKind {
    /// The offer's own `when` does not hold.
    When,
    /// The customer is in another variant of an experiment, or in none.
    Variant,
    /// The customer is in the holdout.
    Holdout,
    /// A guardrail does not let it pass.
    Guardrail,
    /// Its schedule is not open now.
    Schedule,
    /// There is no treatment for the request's locale.
    Treatment,
    /// Its group has no room left in this decision.
    Group,
    /// A cap: there were as many contacts as it allows.
    Cap,
    /// A suppression: after something the customer did, the offer is hidden for a time.
    Suppression,
    /// A budget that is used up.
    Budget,
    /// It is shown in another placement of this decision.
    Repeated,
    /// Others rank higher and the placement is full.
    Rank,
    /// The request's time was over before it was looked at.
    Deadline,
}

impl StopKind {
    /// The kind's name in answers.
    pub fn name(self) -> &'static str {
        match self {
            StopKind::When => "when",
            StopKind::Variant => "variant",
            StopKind::Holdout => "holdout",
            StopKind::Guardrail => "guardrail",
            StopKind::Schedule => "schedule",
            StopKind::Treatment => "treatment",
            StopKind::Group => "group",
            StopKind::Cap => "cap",
            StopKind::Suppression => "suppression",
            StopKind::Budget => "budget",
            StopKind::Repeated => "repeated",
            StopKind::Rank => "rank",
            StopKind::Deadline => "deadline",
        }
    }
}

/// Explains every offer of the placement: candidates in their order, then those that were stopped, then
/// those that were not looked at.
pub(super) fn explain<'e: 'r, 'r>(
    seen: &Seen<'e, 'r>,
    shown: &Shown<'e>,
    id: PlacementId,
    candidates: &[RankedOffer<'e>],
    fates: &[Option<Passed>],
    looked_at: usize,
) -> Vec<Explanation<'e>> {
    let placement = shown.placement;
    let rank_of = |offer: &Offer| {
        let found = shown.propositions.iter().find(|shown| std::ptr::eq(shown.offer, offer));
        found.map(|shown| shown.rank)
    };
    let mut explanations = Vec::with_capacity(placement.offers.len());
    let mut terms = SeenTerms::new(seen);
    for (candidate, fate) in candidates.iter().zip(fates) {
        let stopped_by = fate.map(|fate| passed(seen, candidate.offer, fate));
        let RankedOffer { id, offer, score, .. } = *candidate;
        let rank = if fate.is_none() { rank_of(offer) } else { None };
        let eligible = !matches!(fate, Some(Passed::Capped(_) | Passed::Budget(_)));
        let (places, learned) = (seen.places(id), seen.learned(placement, offer));
        explanations.push(Explanation { offer, eligible, rank, stopped_by, places, score, learned });
    }
    // Shown offers first, then the eligible, then those that caps stopped; each keep their order.
    explanations.sort_by_key(|explanation| (explanation.rank.unwrap_or(u32::MAX), !explanation.eligible));
    for (i, offer_id) in placement.offers.iter().enumerate() {
        let offer = seen.engine.offer(*offer_id);
        let stopped_by = if i >= looked_at {
            named(StopKind::Deadline, "")
        } else if let Err(obstacle) = obstacle(seen, id, offer) {
            stopped(&mut terms, offer, &obstacle)
        } else {
            continue; // a candidate
        };
        let score = seen.score(placement, offer);
        explanations.push(Explanation {
            offer,
            eligible: false,
            rank: None,
            stopped_by: Some(stopped_by),
            places: seen.places(*offer_id),
            score,
            learned: seen.learned(placement, offer),
        });
    }
    explanations
}

/// Explains every offer of the placement for a customer who is held out.
pub(super) fn explain_holdout<'e: 'r, 'r>(seen: &Seen<'e, 'r>, id: PlacementId) -> Vec<Explanation<'e>> {
    let placement = seen.engine.placement(id);
    let offers = placement.offers.iter().filter(|_| seen.request.explain);
    let held_out = |id: OfferId| {
        let (offer, stopped_by) = (seen.engine.offer(id), Some(named(StopKind::Holdout, "")));
        let (places, score) = (seen.places(id), seen.score(placement, offer));
        let learned = seen.learned(placement, offer);
        Explanation { offer, eligible: false, rank: None, stopped_by, places, score, learned }
    };
    offers.map(|id| held_out(*id)).collect()
}

fn named<'e>(kind: StopKind, name: impl Into<Cow<'e, str>>) -> Stop<'e> {
    let (values, lacks) = (Vec::new(), Vec::new());
    let (count, max, ends) = (None, None, None);
    Stop {
        kind,
        name: name.into(),
        condition: None,
        line: None,
        values,
        lacks,
        count,
        max,
        ends,
        closed: None,
    }
}

fn passed<'e>(seen: &Seen<'e, '_>, offer: &'e Offer, fate: Passed) -> Stop<'e> {
    match fate {
        Passed::Repeated => named(StopKind::Repeated, ""),
        Passed::Full => named(StopKind::Rank, ""),
        Passed::Group => named(StopKind::Group, seen.engine.group_of(offer).map_or("", |group| &*group.name)),
        Passed::Capped(reached) => capped(seen, reached),
        Passed::Budget(nth) => {
            let budget = seen.engine.caps.budget(nth);
            let (line, max, ends) = (Some(budget.line), Some(budget.max), budget.ends(seen.now));
            Stop { line, max, ends, ..named(StopKind::Budget, &*budget.name) }
        }
    }
}

fn capped<'e>(seen: &Seen<'e, '_>, reached: Option<Reached>) -> Stop<'e> {
    let Some(Reached { check, count, ends }) = reached else { return named(StopKind::Cap, "") };
    let note = seen.engine.caps.note(check);
    let kind = if note.max == 0 { StopKind::Suppression } else { StopKind::Cap };
    Stop { line: Some(note.line), count: Some(count), max: Some(note.max), ends, ..named(kind, &*note.text) }
}

fn stopped<'e: 'r, 'r>(
    terms: &mut SeenTerms<'_, 'e, 'r>,
    offer: &'e Offer,
    obstacle: &Obstacle<'e>,
) -> Stop<'e> {
    match obstacle {
        Obstacle::Schedule => {
            let text = offer.schedule.as_ref().map_or("", |schedule| schedule.text());
            let closed = offer.schedule.as_ref().map(|schedule| (schedule, terms.seen.now));
            Stop { closed, ..named(StopKind::Schedule, text) }
        }
        Obstacle::Treatment => {
            let locale = terms.seen.request.locale.map(|languages| languages.to_string());
            let locale = locale.filter(|locale| !locale.is_empty());
            named(StopKind::Treatment, locale.map_or(Cow::Borrowed("no locale"), Cow::Owned))
        }
        Obstacle::Guardrail(guardrail) => {
            let stop = named(StopKind::Guardrail, &*guardrail.name);
            condition(terms, stop, guardrail.tags, &guardrail.condition, &guardrail.form)
        }
        Obstacle::Variant(variant) => {
            let facts = terms.seen.facts(offer.tags);
            let values =
                vec![(Read::Variant(&variant.experiment.name), variant_of(&variant.experiment, &facts))];
            let lacks = terms.lacks(&offer.variant_form);
            Stop { values, lacks, ..named(StopKind::Variant, variant.name()) }
        }
        Obstacle::When(when) => {
            condition(terms, named(StopKind::When, ""), offer.tags, when, &offer.when_form)
        }
    }
}

/// The part of the condition that failed, what it read, and what would have let the whole condition hold.
fn condition<'e: 'r, 'r>(
    terms: &mut SeenTerms<'_, 'e, 'r>,
    stop: Stop<'e>,
    tags: usize,
    condition: &'e Expression,
    form: &'e Alternatives,
) -> Stop<'e> {
    let facts = terms.seen.facts(tags);
    let (text, node) = condition.failed_part(&facts);
    let mut values = Vec::new();
    let engine = terms.seen.engine;
    read_below(&engine.schema, &engine.tags[tags], node, &facts, &mut values);
    let lacks = terms.lacks(form);
    Stop { condition: Some(text), line: Some(condition.line), values, lacks, ..stop }
}
