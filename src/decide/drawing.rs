//! Choices that are left to chance. Where propensities are learned, each offer of a tier is chosen with the
//! probability that it is the best, as far as is known ([`learning`](crate::learning)).

use std::ops::ControlFlow;

use super::choose::Taking;
use crate::learning::{Candidate, Thompson, uniform};

/// Memory for drawing; kept from decision to decision.
#[derive(Default)]
pub(super) struct Drawing {
    thompson: Thompson,
    candidates: Vec<Candidate>,
    /// For each candidate: its index in the pool.
    entries: Vec<usize>,
}

impl<'e: 'r, 'r> Taking<'_, 'e, 'r> {
    /// Takes offers of a tier by chance until there are enough. The draw is between the learned offers and,
    /// while it is not taken, the best of the others. Each is drawn with exactly the probability that is
    /// logged as its propensity, so an offer that may not be shown must not take part.
    pub(super) fn drawn(&mut self, pool: &mut Vec<(f64, u32)>, drawing: &mut Drawing) -> ControlFlow<()> {
        while self.shown.propositions.len() < self.count {
            pool.retain(|(_, place)| self.may_be_taken(*place));
            let floor = drawing.enter(self, pool);
            let rank = self.shown.propositions.len() as u32 + 1;
            let u = uniform(self.seen.request.seed, u32::from(self.shown.placement.number), rank);
            let Some((chosen, propensity)) = drawing.thompson.choose(&drawing.candidates, floor, u) else {
                pool.clear();
                return ControlFlow::Continue(());
            };
            let (_, place) = pool.remove(drawing.entries[chosen]);
            self.take(place, propensity)?;
        }
        ControlFlow::Break(())
    }
}

impl Drawing {
    /// Enters the offers of a pool that may be drawn. Returns the share of choices that is made evenly.
    fn enter(&mut self, taking: &Taking<'_, '_, '_>, pool: &[(f64, u32)]) -> f64 {
        self.candidates.clear();
        self.entries.clear();
        let placement = taking.shown.placement;
        let (mut floor, mut known) = (0.0_f64, None);
        for (entry, (_, place)) in pool.iter().enumerate() {
            let offer = taking.seen.engine.offer(placement.offers[*place as usize]);
            match (taking.seen.candidate(placement, offer), &offer.learned) {
                (candidate, Some(rule)) => {
                    floor = floor.max(rule.floor);
                    self.candidates.push(candidate);
                    self.entries.push(entry);
                }
                (candidate, None) if known.is_none_or(|(best, _)| candidate.mean() > best) => {
                    known = Some((candidate.mean(), entry)); // of equals the first, which is by name
                }
                _ => {}
            }
        }
        if let Some((score, entry)) = known {
            self.candidates.push(Candidate::Known(score));
            self.entries.push(entry);
        }
        floor
    }
}
