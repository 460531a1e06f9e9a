//! Choosing: from the offers that may be shown, takes as many as asked for, best first, each once and
//! within its group's limit.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use super::drawing::Drawing;
use super::explain::{explain, explain_holdout};
use super::history::{ContactColumns, Reached};
use super::{Proposition, Request, Seen, Shown};
use crate::customer::budget_place::BudgetPlace;
use crate::customer::outcome::BudgetUse;
use crate::engine::{CERTAIN, Lookup, Offer, OfferId, PlacementId, Score, Tier, Treatment};
use crate::expression::Facts;

/// Room for as many propositions is made at once.
const USUAL_COUNT: usize = 4;

/// Chooses for one placement after another.
pub(super) struct Choosing<'d, 'e, 'r, F> {
    pub(super) seen: &'d Seen<'e, 'r>,
    pub(super) lookup: Lookup<'d, 'r, F>,
    /// Score and place of the offers that are ranked for this customer; kept to reuse its memory.
    pub(super) pool: &'d mut Vec<(f64, u32)>,
    pub(super) drawing: &'d mut Drawing,
    pub(super) taken: &'d mut Taken,
    pub(super) history: &'d mut ContactColumns,
    /// Whether the time was over before everything was looked at.
    pub(super) late: bool,
}

/// What this decision has shown so far.
#[derive(Default)]
pub(super) struct Taken {
    offers: Vec<OfferId>,
    /// Groups, and how many offers of each were shown.
    groups: Vec<(usize, usize)>,
}

/// An eligible offer with what it is ranked by.
pub(super) struct RankedOffer<'e> {
    pub(super) id: OfferId,
    pub(super) offer: &'e Offer,
    pub(super) treatment: &'e Treatment,
    pub(super) score: Score,
    /// Its place in the placement's order.
    pub(super) place: u32,
}

/// Why an eligible offer is passed over.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Passed {
    Repeated,
    Group,
    /// By a cap or suppression. If the decision is explained, with what it counted.
    Capped(Option<Reached>),
    Full,
    /// By a budget: its index in the engine.
    Budget(u32),
}

impl<'d, 'e: 'r, 'r, F: Fn(usize) -> Facts<'r>> Choosing<'d, 'e, 'r, F> {
    pub(super) fn placement(&mut self, id: PlacementId, count: usize) -> Shown<'e> {
        let placement = self.seen.engine.placement(id);
        let propositions = Vec::with_capacity(count.min(USUAL_COUNT));
        let mut shown = Shown { placement, fallback: false, propositions, explanations: Vec::new() };
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

    /// Takes the best offers, which come in rank order. Those of a tier with constant scores are taken as
    /// they come, and the walk ends when there are enough. Those of any other tier are gathered, and the
    /// best are taken at its end.
    fn best(&mut self, id: PlacementId, count: usize, shown: &mut Shown<'e>) {
        let Self { seen, lookup, pool, drawing, taken, history, late } = self;
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
                    taking.rest_of(tier, pool, drawing)?;
                    tier = tiers.next();
                }
                if tier.is_some_and(|tier| tier.constant) {
                    return taking.take(place, CERTAIN);
                }
                let offer = seen.engine.offer(placement.offers[place as usize]);
                let score = if tier.is_some_and(|tier| tier.learned) {
                    0.0
                } else {
                    seen.score(placement, offer).score
                };
                pool.push((score, place));
                ControlFlow::Continue(())
            },
        );
        *late |= looked_at.is_some();
        let _ = taking.rest_of(tier, pool, drawing); // enough or not, it was the last tier
    }

    /// Takes the best of all candidates and records what became of every offer.
    fn explained(&mut self, id: PlacementId, count: usize, shown: &mut Shown<'e>) {
        let (seen, placement) = (self.seen, shown.placement);
        let mut candidates: Vec<RankedOffer<'e>> = Vec::new();
        let looked_at = self.lookup.walk(
            id,
            || seen.is_overdue(),
            |place| {
                let id_of_offer = placement.offers[place as usize];
                let offer = seen.engine.offer(id_of_offer);
                if let Some(treatment) = seen.treatment(id, offer) {
                    candidates.push(RankedOffer {
                        id: id_of_offer,
                        offer,
                        treatment,
                        score: seen.score(placement, offer),
                        place,
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
        let mut fates: Vec<Option<Passed>> = Vec::with_capacity(candidates.len());
        for tier in candidates.chunk_by(|a, b| a.offer.priority == b.offer.priority) {
            if tier.iter().any(|candidate| candidate.offer.learned.is_some()) {
                taking.draw_of(tier, self.pool, self.drawing, &mut fates);
            } else {
                let settle = |c: &RankedOffer<'e>| {
                    taking.settle(c.id, c.offer, c.treatment, CERTAIN, || c.score.score)
                };
                fates.extend(tier.iter().map(settle));
            }
        }
        shown.explanations =
            explain(seen, shown, id, &candidates, &fates, looked_at.unwrap_or(placement.offers.len()));
    }
}

/// What taking offers for one placement needs.
pub(super) struct Taking<'t, 'e, 'r> {
    pub(super) seen: &'t Seen<'e, 'r>,
    id: PlacementId,
    pub(super) count: usize,
    taken: &'t mut Taken,
    history: &'t mut ContactColumns,
    pub(super) shown: &'t mut Shown<'e>,
}

impl<'e: 'r, 'r> Taking<'_, 'e, 'r> {
    /// Takes the offers that were gathered of a tier.
    fn rest_of(
        &mut self,
        tier: Option<&Tier>,
        pool: &mut Vec<(f64, u32)>,
        drawing: &mut Drawing,
    ) -> ControlFlow<()> {
        match tier {
            Some(tier) if tier.learned && !pool.is_empty() => self.drawn(pool, drawing),
            _ => self.best_of(pool),
        }
    }

    /// Takes candidates of a tier by chance, and records what became of each.
    fn draw_of(
        &mut self,
        tier: &[RankedOffer<'e>],
        pool: &mut Vec<(f64, u32)>,
        drawing: &mut Drawing,
        fates: &mut Vec<Option<Passed>>,
    ) {
        pool.clear();
        pool.extend(tier.iter().map(|candidate| (0.0, candidate.place)));
        pool.sort_unstable_by_key(|(_, place)| *place);
        let before = self.shown.propositions.len();
        let _ = self.drawn(pool, drawing);
        pool.clear();
        for RankedOffer { id, offer, .. } in tier {
            let shown =
                self.shown.propositions[before..].iter().any(|shown| std::ptr::eq(shown.offer, *offer));
            fates.push(if shown { None } else { Some(self.fate(*id, offer).unwrap_or(Passed::Full)) });
        }
    }

    /// Takes the best offers of a tier. Breaks if there are enough before all of them were asked.
    fn best_of(&mut self, pool: &mut Vec<(f64, u32)>) -> ControlFlow<()> {
        // Equal scores keep the placement's order, which is by name.
        let order = |a: &(f64, u32), b: &(f64, u32)| -> Ordering { b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)) };
        if self.shown.propositions.len() >= self.count {
            return ControlFlow::Break(());
        }
        let mut rest = &mut pool[..];
        while !rest.is_empty() {
            // Sorts out as many as are wanted; more only if some of them may not be shown.
            let wanted = self.count.clamp(1, rest.len());
            if wanted < rest.len() {
                rest.select_nth_unstable_by(wanted, order);
            }
            let (best, others) = rest.split_at_mut(wanted);
            best.sort_unstable_by(order);
            for (_, place) in best {
                self.take(*place, CERTAIN)?;
            }
            rest = others;
        }
        pool.clear();
        ControlFlow::Continue(())
    }

    /// Whether nothing speaks against the offer at this place, as far as is known without taking it.
    pub(super) fn may_be_taken(&mut self, place: u32) -> bool {
        let id = self.shown.placement.offers[place as usize];
        let offer = self.seen.engine.offer(id);
        self.seen.treatment(self.id, offer).is_some()
            && self.against(id, offer).is_none()
            && self.seen.used_up(id, false).is_none()
    }

    /// Shows the offer at this place, chosen with this probability, unless something speaks against it.
    /// Breaks when there are enough.
    pub(super) fn take(&mut self, place: u32, propensity: f64) -> ControlFlow<()> {
        let placement = self.shown.placement;
        let id = placement.offers[place as usize];
        let offer = self.seen.engine.offer(id);
        if let Some(treatment) = self.seen.treatment(self.id, offer) {
            self.settle(id, offer, treatment, propensity, || self.seen.score(placement, offer).score);
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
        propensity: f64,
        score: impl FnOnce() -> f64,
    ) -> Option<Passed> {
        let fate = self.fate(id, offer);
        if fate.is_none() {
            self.taken.add(id, offer);
            self.history.show(self.seen.engine, offer);
            let rank = self.shown.propositions.len() as u32 + 1;
            let proposition = self.seen.proposition(offer, treatment, rank, score());
            self.shown.propositions.push(Proposition { propensity, ..proposition });
        }
        fate
    }

    fn fate(&mut self, id: OfferId, offer: &Offer) -> Option<Passed> {
        self.against(id, offer).or_else(|| {
            if self.shown.propositions.len() >= self.count {
                Some(Passed::Full)
            } else {
                self.seen.used_up(id, true).map(Passed::Budget)
            }
        })
    }

    /// What speaks against showing the offer, however much room there is.
    fn against(&mut self, id: OfferId, offer: &Offer) -> Option<Passed> {
        let full = |group: usize| self.taken.of_group(group) >= self.seen.engine.groups[group].max;
        if self.taken.offers.contains(&id) {
            Some(Passed::Repeated)
        } else if offer.group.is_some_and(full) {
            Some(Passed::Group)
        } else {
            let check = self.history.reached(&self.seen.engine.caps, id, offer, self.id)?;
            let details = || self.history.details(&self.seen.engine.caps, check, offer.number);
            Some(Passed::Capped(self.seen.request.explain.then(details)))
        }
    }
}

impl Taken {
    /// Forgets what the last decision showed.
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
    /// The budget that has no place left for an offer, if there is one. With `hold`, and once every budget
    /// seems to have a place, a place is held in each. Explaining holds nothing.
    fn used_up(&self, id: OfferId, hold: bool) -> Option<u32> {
        if self.engine.caps.is_without_budgets(id) {
            return None;
        }
        let Request { customer, budgets, .. } = self.request;
        let without = |hold: bool| {
            self.engine.caps.budgets(id).find(|(_, budget)| {
                let hold_s = if hold { budget.hold_s } else { 0 };
                let wanted = budget.use_at(self.now);
                let may_have_one = !wanted.once || BudgetPlace::may_join(self.request.past.budget_places);
                let gets_one = || may_have_one && budgets.take(customer, &wanted, hold_s, self.now);
                !self.has_place(&wanted) && !gets_one()
            })
        };
        let found =
            without(false).or_else(|| if hold && !self.request.explain { without(true) } else { None });
        found.map(|(nth, _)| nth)
    }

    /// Whether the customer has a place in this budget already, so that they need no other.
    pub(super) fn has_place(&self, budget: &BudgetUse) -> bool {
        budget.place().is_some_and(|place| place.is_in(self.request.past.budget_places))
    }

    /// The budgets of customers of an offer in which the customer has a place.
    pub(super) fn places(&self, id: OfferId) -> Vec<&'e str> {
        let budgets = self.engine.caps.budgets(id);
        budgets.filter(|(_, of)| self.has_place(&of.use_at(self.now))).map(|(_, of)| &*of.name).collect()
    }

    /// Shows the fallback. Several placements of one decision may show the same one, since none may stay
    /// empty.
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
        let reason = offer.reason.for_languages(self.request.locale);
        let (arms, segment) = (self.arms(offer.tags), self.segment(offer));
        Proposition { offer, treatment, rank, score, propensity: CERTAIN, segment, reason, arms }
    }
}
