//! Choices that are left to chance: where the propensity of offers is learned, each of a tier is chosen with the probability that
//! it is the best, as far as is known ([`learning`](crate::learning)).

use std::ops::ControlFlow;

use super::choose::Taking;
use crate::learning::{Candidate, Thompson, uniform};

/// What drawing needs room for; kept from decision to decision.
#[derive(Default)]
pub(super) struct Drawing {
    thompson: Thompson,
    candidates: Vec<Candidate>,
    /// Of each candidate: where in the pool it is.
    entries: Vec<usize>,
}

impl<'e: 'r, 'r> Taking<'_, 'e, 'r> {
    /// Takes offers of a tier by chance, unless there are enough: those that are learned, and of the others the one with the best
    /// score as long as it is not taken. Each is drawn with just the probability that is told as its propensity, so what may not
    /// be shown must not be drawn for.
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
    /// Enters what may be drawn of a pool; the part of choices that is made evenly.
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
