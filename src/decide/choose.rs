//! Choosing: of the offers that may be shown, as many as are asked for, best first, each once and within its group's limit.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use super::explain::{explain, explain_holdout};
use super::history::{History, Reached, has};
use super::{Proposition, Seen, Shown};
use crate::engine::{Lookup, Offer, OfferId, PlacementId, Score, Tier, Treatment};
use crate::expression::Facts;

/// Chooses for one placement after the other.
pub(super) struct Choosing<'d, 'e, 'r, F> {
    pub(super) seen: &'d Seen<'e, 'r>,
    pub(super) lookup: Lookup<'d, 'r, F>,
    /// Score and place of offers that are ranked for this customer; kept for its memory.
    pub(super) pool: &'d mut Vec<(f64, u32)>,
    pub(super) taken: &'d mut Taken,
    pub(super) history: &'d mut History,
    /// Whether the time was over before everything was looked at.
    pub(super) late: bool,
}

/// What was shown already in this decision.
#[derive(Default)]
pub(super) struct Taken {
    offers: Vec<OfferId>,
    /// Groups, and how many offers of each.
    groups: Vec<(usize, usize)>,
}

/// An eligible offer with what it is ranked by.
pub(super) struct Candidate<'e> {
    pub(super) id: OfferId,
    pub(super) offer: &'e Offer,
    pub(super) treatment: &'e Treatment,
    pub(super) score: Score,
}

/// Why a candidate is passed over.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Passed {
    Repeated,
    Group,
    /// A cap or suppression; what it counted, if the decision is explained.
    Capped(Option<Reached>),
    Full,
    /// One of the engine's budgets.
    Budget(u32),
}

impl<'d, 'e: 'r, 'r, F: Fn(usize) -> Facts<'r>> Choosing<'d, 'e, 'r, F> {
    pub(super) fn placement(&mut self, id: PlacementId, count: usize) -> Shown<'e> {
        let placement = self.seen.engine.placement(id);
        let mut shown =
            Shown { placement, fallback: false, propositions: Vec::new(), explanations: Vec::new() };
        self.history.arrive(self.seen.engine, id, self.seen.request.channel);
        if self.seen.held_out {
            shown.explanations = explain_holdout(self.seen, id);
        } else if self.seen.request.explain {
            self.explained(id, count, &mut shown);
        } else {
            self.best(id, count, &mut shown);
        }
        if shown.propositions.is_empty() {
            self.seen.fall_back(id, &mut shown);
            shown.propositions.iter().for_each(|shown| self.history.show(self.seen.engine, shown.offer));
        }
        shown
    }

    /// Takes the best. Offers come in rank order, so that those of a tier with constant scores are taken as they come and
    /// the walk ends when there are enough; those of another tier are gathered and the best of them are taken at its end.
    fn best(&mut self, id: PlacementId, count: usize, shown: &mut Shown<'e>) {
        let Self { seen, lookup, pool, taken, history, late } = self;
        let (seen, placement) = (*seen, shown.placement);
        let mut taking = Taking { seen, id, count, taken, history, shown };
        let mut tiers = placement.tiers.iter();
        let mut tier = tiers.next();
        pool.clear();
        let looked_at = lookup.walk(
            id,
            || seen.is_overdue(),
            |place| {
                while tier.is_some_and(|tier: &Tier| place >= tier.end) {
                    taking.best_of(pool)?;
                    tier = tiers.next();
                }
                if tier.is_some_and(|tier| tier.constant) {
                    return taking.take(place);
                }
                let offer = seen.engine.offer(placement.offers[place as usize]);
                pool.push((seen.score(offer).score, place));
                ControlFlow::Continue(())
            },
        );
        *late |= looked_at.is_some();
        let _ = taking.best_of(pool); // enough or not, it was the last tier
    }

    /// Takes the best of all candidates and says of every offer what became of it.
    fn explained(&mut self, id: PlacementId, count: usize, shown: &mut Shown<'e>) {
        let (seen, placement) = (self.seen, shown.placement);
        let mut candidates: Vec<Candidate<'e>> = Vec::new();
        let looked_at = self.lookup.walk(
            id,
            || seen.is_overdue(),
            |place| {
                let id_of_offer = placement.offers[place as usize];
                let offer = seen.engine.offer(id_of_offer);
                if let Some(treatment) = seen.treatment(id, offer) {
                    candidates.push(Candidate {
                        id: id_of_offer,
                        offer,
                        treatment,
                        score: seen.score(offer),
                    });
                }
                ControlFlow::Continue(())
            },
        );
        self.late |= looked_at.is_some();
        candidates.sort_by(|a, b| {
            let tier = a.offer.priority.cmp(&b.offer.priority);
            let score = || b.score.score.total_cmp(&a.score.score);
            tier.then_with(score).then_with(|| a.offer.name.cmp(&b.offer.name))
        });
        let (taken, history) = (&mut *self.taken, &mut *self.history);
        let mut taking = Taking { seen, id, count, taken, history, shown };
        let fates: Vec<Option<Passed>> =
            candidates.iter().map(|c| taking.settle(c.id, c.offer, c.treatment, || c.score.score)).collect();
        shown.explanations =
            explain(seen, id, &candidates, &fates, looked_at.unwrap_or(placement.offers.len()));
    }
}

/// Taking offers for one placement.
struct Taking<'t, 'e, 'r> {
    seen: &'t Seen<'e, 'r>,
    id: PlacementId,
    count: usize,
    taken: &'t mut Taken,
    history: &'t mut History,
    shown: &'t mut Shown<'e>,
}

impl<'e: 'r, 'r> Taking<'_, 'e, 'r> {
    /// Takes the best offers of a tier, unless there are enough before all of them were asked.
    fn best_of(&mut self, pool: &mut Vec<(f64, u32)>) -> ControlFlow<()> {
        // Equal scores keep the placement's order, which is by name.
        let order = |a: &(f64, u32), b: &(f64, u32)| -> Ordering { b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)) };
        if self.shown.propositions.len() >= self.count {
            return ControlFlow::Break(());
        }
        let mut rest = &mut pool[..];
        while !rest.is_empty() {
            // As many as are wanted are sorted out; more only if some of them may not be shown.
            let wanted = self.count.clamp(1, rest.len());
            if wanted < rest.len() {
                rest.select_nth_unstable_by(wanted, order);
            }
            let (best, others) = rest.split_at_mut(wanted);
            best.sort_unstable_by(order);
            for (_, place) in best {
                self.take(*place)?;
            }
            rest = others;
        }
        pool.clear();
        ControlFlow::Continue(())
    }

    /// Shows the offer at this place unless something is against it. Breaks when there are enough.
    fn take(&mut self, place: u32) -> ControlFlow<()> {
        let id = self.shown.placement.offers[place as usize];
        let offer = self.seen.engine.offer(id);
        if let Some(treatment) = self.seen.treatment(self.id, offer) {
            self.settle(id, offer, treatment, || self.seen.score(offer).score);
        }
        if self.shown.propositions.len() >= self.count {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Shows an offer, or says why not.
    fn settle(
        &mut self,
        id: OfferId,
        offer: &'e Offer,
        treatment: &'e Treatment,
        score: impl FnOnce() -> f64,
    ) -> Option<Passed> {
        let fate = self.fate(id, offer);
        if fate.is_none() {
            self.taken.add(id, offer);
            self.history.show(self.seen.engine, offer);
            let rank = self.shown.propositions.len() as u32 + 1;
            self.shown.propositions.push(self.seen.proposition(offer, treatment, rank, score()));
        }
        fate
    }

    fn fate(&mut self, id: OfferId, offer: &Offer) -> Option<Passed> {
        let full = |group: usize| self.taken.of_group(group) >= self.seen.engine.groups[group].max;
        if self.taken.offers.contains(&id) {
            Some(Passed::Repeated)
        } else if offer.group.is_some_and(full) {
            Some(Passed::Group)
        } else if let Some(check) = self.history.reached(&self.seen.engine.caps, id, offer, self.id) {
            let details = || self.history.details(&self.seen.engine.caps, check, offer.number);
            Some(Passed::Capped(self.seen.request.explain.then(details)))
        } else if self.shown.propositions.len() >= self.count {
            Some(Passed::Full)
        } else {
            self.seen.used_up(id, offer).map(Passed::Budget)
        }
    }
}

impl Taken {
    /// Forgets the last decision.
    pub(super) fn clear(&mut self) {
        self.offers.clear();
        self.groups.clear();
    }

    fn add(&mut self, id: OfferId, offer: &Offer) {
        self.offers.push(id);
        let Some(group) = offer.group else { return };
        match self.groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, shown)) => *shown += 1,
            None => self.groups.push((group, 1)),
        }
    }

    fn of_group(&self, group: usize) -> usize {
        self.groups.iter().find(|(known, _)| *known == group).map_or(0, |(_, shown)| *shown)
    }
}

impl<'e: 'r, 'r> Seen<'e, 'r> {
    /// The budget that has no place left for an offer, if there is one. Asked last: a place that was held is held for nothing
    /// if the offer is not shown.
    fn used_up(&self, id: OfferId, offer: &Offer) -> Option<u32> {
        let mut budgets = self.engine.caps.budgets(id);
        let found = budgets.find(|(_, budget)| {
            // Who was counted once has a place already.
            let counted = budget.customers && has(self, offer.number, budget.on);
            !counted && !self.request.budgets.take(&budget.limit(self.now), budget.hold_s, self.now)
        });
        found.map(|(nth, _)| nth)
    }

    /// The fallback may be shown on several placements of one decision: none of them may stay empty.
    fn fall_back(&self, id: PlacementId, shown: &mut Shown<'e>) {
        let Some(fallback) = shown.placement.fallback else { return };
        let offer = self.engine.offer(fallback);
        let Some(treatment) = self.treatment(id, offer) else { return };
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
        let reason = offer.reason.for_locale(self.request.locale).map(|reason| &**reason);
        // Nothing is left to chance yet.
        Proposition { offer, treatment, rank, score, propensity: 1.0, reason, arms: self.arms(offer.tags) }
    }
}
