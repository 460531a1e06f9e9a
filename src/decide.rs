//! Deciding: a pure function of engine, feature vector, request and time. For each placement: which offers may be shown
//! ([`scan`]), in what order (priority tier, score, name), and as many as asked for, each at most once and within its
//! group's limit; the fallback when nothing survives.

mod explain;
mod lacks;
mod scan;
#[cfg(test)]
mod tests;

use std::cell::Cell;

use crate::engine::{Engine, GuardrailId, Offer, OfferId, Placement, PlacementId, Treatment};
use crate::expression::{Facts, TagMemo};
use crate::rule_set::Locale;
use crate::schema::ChannelId;
use crate::value::Time;
use crate::vector::FeatureVector;

pub use crate::context::Context;
pub use explain::{Explanation, Lack, Stop, StopKind};
pub use lacks::MAX_WAYS;

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
    /// The language of the treatments; the default treatment if none.
    pub locale: Option<&'a Locale>,
    /// What only the request knows.
    pub context: Context<'a>,
    /// Whether to say for every offer why it was or was not shown.
    pub explain: bool,
    /// Tells that the time is over: then what is ready is returned, and fallbacks for the rest. A function, because the
    /// core has no clock.
    pub overdue: Option<&'a dyn Fn() -> bool>,
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
    /// With `explain`: every offer of the placement, those shown first, then the eligible, then the others.
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

/// Decides. For an unknown customer give [`FeatureVector::unknown`].
///
/// Never fails: what has no answer counts against an offer, and a placement with a fallback is never empty.
pub fn decide<'e>(
    engine: &'e Engine,
    vector: FeatureVector<'_>,
    request: &Request<'_>,
    now: Time,
) -> Decision<'e> {
    let memos: Vec<TagMemo> = engine.tags.iter().map(|tags| TagMemo::new(tags.len())).collect();
    let mut deciding = Deciding {
        seen: Seen {
            engine,
            vector,
            request,
            now,
            memos: &memos,
            held: vec![Cell::new(None); engine.guardrails.len()],
        },
        taken: Vec::new(),
        in_group: Vec::new(),
        degraded: false,
    };
    let shown = request.placements.iter().map(|(placement, count)| deciding.placement(*placement, *count));
    let placements = shown.collect();
    Decision { placements, degraded: deciding.degraded }
}

/// Puts every offer of a placement that may be shown to the customer into `found`, whatever else is shown: what a ranking
/// chooses from. Locale and channel are the request's; its placements are not looked at.
pub fn eligible(
    engine: &Engine,
    placement: PlacementId,
    vector: FeatureVector<'_>,
    request: &Request<'_>,
    now: Time,
    found: &mut Vec<OfferId>,
) {
    let memos: Vec<TagMemo> = engine.tags.iter().map(|tags| TagMemo::new(tags.len())).collect();
    let held = vec![Cell::new(None); engine.guardrails.len()];
    let seen = Seen { engine, vector, request, now, memos: &memos, held };
    let mut shown = Vec::new();
    scan::eligible(&seen, placement, &mut shown);
    found.extend(shown.into_iter().map(|(id, _)| id));
}

/// Everything a decision looks at.
struct Seen<'e, 'r> {
    engine: &'e Engine,
    vector: FeatureVector<'r>,
    request: &'r Request<'r>,
    now: Time,
    memos: &'r [TagMemo],
    /// Whether each guardrail holds for this customer, once that was found out: many offers share it.
    held: Vec<Cell<Option<bool>>>,
}

impl<'e: 'r, 'r> Seen<'e, 'r> {
    /// What the expressions of the rule set with these tags see.
    fn facts(&self, tags: usize) -> Facts<'r> {
        Facts {
            schema: &self.engine.schema,
            vector: self.vector,
            context: &self.request.context,
            channel: self.request.channel,
            now: self.now,
            tags: &self.engine.tags[tags],
            memo: &self.memos[tags],
            variables: &[],
        }
    }

    fn holds(&self, id: GuardrailId) -> bool {
        let held = &self.held[id.0 as usize];
        held.get().unwrap_or_else(|| {
            let guardrail = &self.engine.guardrails[id.0 as usize];
            let holds = guardrail.condition.holds(&self.facts(guardrail.tags));
            held.set(Some(holds));
            holds
        })
    }

    fn is_overdue(&self) -> bool {
        self.request.overdue.is_some_and(|overdue| overdue())
    }

    fn score(&self, offer: &'e Offer) -> Score {
        let facts = self.facts(offer.tags);
        // No answer: an unknown chance counts as none, an unknown boost changes nothing.
        let propensity = offer.propensity.evaluate(&facts).number().unwrap_or(0.0).clamp(0.0, 1.0);
        let boost = offer.boost.evaluate(&facts).number().unwrap_or(1.0).max(0.0);
        let score = propensity * offer.value * boost;
        let finite = |x: f64| if x.is_finite() { x } else { 0.0 };
        Score {
            propensity: finite(propensity),
            value: offer.value,
            boost: finite(boost),
            score: finite(score),
        }
    }
}

/// An eligible offer with what it is ranked by.
struct Candidate<'e> {
    id: OfferId,
    offer: &'e Offer,
    treatment: &'e Treatment,
    score: Score,
}

/// Why a candidate is passed over.
#[derive(Clone, Copy, PartialEq)]
enum Passed {
    Repeated,
    Group,
    Full,
}

struct Deciding<'e, 'r> {
    seen: Seen<'e, 'r>,
    /// Offers shown already in this decision.
    taken: Vec<OfferId>,
    /// Groups of which some are shown already, and how many.
    in_group: Vec<(usize, usize)>,
    degraded: bool,
}

impl<'e: 'r, 'r> Deciding<'e, 'r> {
    fn placement(&mut self, id: PlacementId, count: usize) -> Shown<'e> {
        let placement = self.seen.engine.placement(id);
        let mut shown =
            Shown { placement, fallback: false, propositions: Vec::new(), explanations: Vec::new() };
        let mut eligible = Vec::new();
        let looked_at =
            if self.seen.is_overdue() { 0 } else { scan::eligible(&self.seen, id, &mut eligible) };
        self.degraded |= looked_at < placement.offers.len();
        let candidates = self.candidates(eligible);
        let fates = self.take(&candidates, count, &mut shown);
        if self.seen.request.explain {
            shown.explanations = explain::explain(&self.seen, id, &candidates, &fates, looked_at);
        }
        if shown.propositions.is_empty() {
            self.fall_back(id, &mut shown);
        }
        shown
    }

    /// Eligible offers with their scores, best first.
    fn candidates(&self, eligible: Vec<(OfferId, &'e Treatment)>) -> Vec<Candidate<'e>> {
        let scored = eligible.into_iter().map(|(id, treatment)| {
            let offer = self.seen.engine.offer(id);
            Candidate { id, offer, treatment, score: self.seen.score(offer) }
        });
        let mut candidates: Vec<Candidate<'e>> = scored.collect();
        candidates.sort_by(|a, b| {
            let tier = a.offer.priority.cmp(&b.offer.priority);
            let score = || b.score.score.total_cmp(&a.score.score);
            tier.then_with(score).then_with(|| a.offer.name.cmp(&b.offer.name))
        });
        candidates
    }

    /// Takes the best that may still be shown. Says for each candidate why it was passed over; without `explain` only for
    /// those before the placement was full.
    fn take(
        &mut self,
        candidates: &[Candidate<'e>],
        count: usize,
        shown: &mut Shown<'e>,
    ) -> Vec<Option<Passed>> {
        let mut fates = Vec::new();
        for candidate in candidates {
            if shown.propositions.len() >= count && !self.seen.request.explain {
                break;
            }
            let fate = self.fate(candidate, shown.propositions.len(), count);
            if fate.is_none() {
                self.taken.push(candidate.id);
                self.count_in_group(candidate.offer);
                let Candidate { offer, treatment, score, .. } = *candidate;
                let rank = shown.propositions.len() as u32 + 1;
                shown.propositions.push(self.proposition(offer, treatment, rank, score.score));
            }
            fates.push(fate);
        }
        fates
    }

    fn count_in_group(&mut self, offer: &Offer) {
        let Some(group) = offer.group else { return };
        match self.in_group.iter_mut().find(|(known, _)| *known == group) {
            Some((_, shown)) => *shown += 1,
            None => self.in_group.push((group, 1)),
        }
    }

    fn fate(&self, candidate: &Candidate<'e>, shown: usize, count: usize) -> Option<Passed> {
        let shown_of =
            |group: usize| self.in_group.iter().find(|(known, _)| *known == group).map_or(0, |(_, n)| *n);
        let full = |group: usize| shown_of(group) >= self.seen.engine.groups[group].max;
        if self.taken.contains(&candidate.id) {
            Some(Passed::Repeated)
        } else if candidate.offer.group.is_some_and(full) {
            Some(Passed::Group)
        } else if shown >= count {
            Some(Passed::Full)
        } else {
            None
        }
    }

    /// The fallback may be shown on several placements of one decision: none of them may stay empty.
    fn fall_back(&self, id: PlacementId, shown: &mut Shown<'e>) {
        let Some(fallback) = shown.placement.fallback else { return };
        let offer = self.seen.engine.offer(fallback);
        let Some(treatment) = offer.treatment(id, self.seen.request.locale) else { return };
        shown.fallback = true;
        shown.propositions.push(self.proposition(offer, treatment, 1, 0.0));
    }

    fn proposition(
        &self,
        offer: &'e Offer,
        treatment: &'e Treatment,
        rank: u32,
        score: f64,
    ) -> Proposition<'e> {
        let reason = offer.reason.for_locale(self.seen.request.locale).map(|reason| &**reason);
        // Nothing is left to chance yet.
        Proposition { offer, treatment, rank, score, propensity: 1.0, reason }
    }
}
