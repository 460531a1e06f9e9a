//! What a decision asks about what outcomes have taught.

use std::sync::Arc;

use super::Seen;
use crate::engine::{Offer, Placement, Score};
use crate::expression::Facts;
use crate::learning::lesson::LessonKey;
use crate::learning::{Candidate, Learned, LearnedCounts, Posterior};
use crate::rules::rule_set::LearnedRule;
use crate::schema::value::Value;

/// Knows what was learned about offers.
pub trait Lessons {
    /// What was learned under this key, if anything was.
    fn learned(&self, key: LessonKey) -> Option<Arc<Learned>>;
}

/// Nothing was learned: for decisions that nobody sees.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLessons;

impl Lessons for NoLessons {
    fn learned(&self, _: LessonKey) -> Option<Arc<Learned>> {
        None
    }
}

impl<'e: 'r, 'r> Seen<'e, 'r> {
    /// The customer's segment: one bit for each condition by which learning tells customers apart.
    pub(super) fn segment(&self, offer: &'e Offer) -> u8 {
        let Some(rule) = &offer.learned else { return 0 };
        let facts = self.facts(offer.tags);
        let bits = rule.by.iter().enumerate();
        bits.map(|(bit, condition)| u8::from(condition.holds(&facts)) << bit).fold(0, |all, bit| all | bit)
    }

    /// What outcomes taught about the offer on this placement, in the customer's segment; `None` if it does
    /// not learn.
    pub(super) fn learned(&self, placement: &Placement, offer: &'e Offer) -> Option<LearnedCounts> {
        offer.learned.as_ref().map(|rule| self.counts(placement, offer, rule))
    }

    fn counts(&self, placement: &Placement, offer: &'e Offer, rule: &LearnedRule) -> LearnedCounts {
        let segment = self.segment(offer);
        let key = LessonKey { offer: offer.number, placement: placement.number, segment };
        let learned = self.request.lessons.learned(key);
        learned.map_or_else(LearnedCounts::default, |learned| {
            learned.counts(self.now.stored_seconds(), rule.pace)
        })
    }

    /// The belief about the offer's chance on this placement.
    fn posterior(&self, placement: &Placement, offer: &'e Offer, rule: &LearnedRule) -> Posterior {
        self.counts(placement, offer, rule).after(rule.prior)
    }

    /// The parts of the offer's score on this placement; a learned propensity is the mean of its belief.
    pub(super) fn score(&self, placement: &Placement, offer: &'e Offer) -> Score {
        offer.constant_score.unwrap_or_else(|| {
            let facts = self.facts(offer.tags);
            let propensity = match &offer.learned {
                Some(rule) => Value::Double(self.posterior(placement, offer, rule).mean()),
                None => offer.propensity.evaluate(&facts),
            };
            scored(offer, &propensity, &facts)
        })
    }

    /// What is known about the offer's score, to draw by.
    pub(super) fn candidate(&self, placement: &Placement, offer: &'e Offer) -> Candidate {
        let Some(rule) = &offer.learned else {
            return Candidate::Known(self.score(placement, offer).score);
        };
        let posterior = self.posterior(placement, offer, rule);
        let score = scored(offer, &Value::Double(posterior.mean()), &self.facts(offer.tags));
        Candidate::Learned { posterior, weight: score.value * score.boost }
    }
}

#[inline]
fn scored<'a>(offer: &'a Offer, propensity: &Value<'_>, facts: &Facts<'a>) -> Score {
    Score::new(propensity, offer.value, &offer.boost.evaluate(facts))
}
