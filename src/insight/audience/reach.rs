//! How many customers each offer of an engine can reach: what a rule set would do if it went live.

use std::ops::ControlFlow;

use super::evaluator::Evaluator;
use super::filter::Rows;
use super::plan::{Plan, Planner, Scan};
use crate::engine::{Engine, Offer};
use crate::schema::value::Time;
use crate::state::store::{BATCH_ROWS, Customers};

/// How many customers each offer of an engine reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The number of all customers.
    pub customers: u64,
    /// How many of them were looked at, spread evenly; all, if the limit allowed.
    pub sampled: u64,
    /// One entry per offer, by [`OfferId`](crate::engine::OfferId).
    pub offers: Vec<OfferReach>,
    /// One entry per narrowed guardrail, by [`GuardrailId`](crate::engine::GuardrailId).
    pub(crate) guardrails: Vec<GuardrailReach>,
}

/// How many customers a narrowed guardrail lets pass, whatever the offers' own conditions say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GuardrailReach {
    /// Customers among those looked at for whom it holds.
    pub(crate) passing: u64,
    /// Whether a part of it reads what only a request knows. That part counts as passed, so the guardrail
    /// may let fewer customers pass, never more.
    pub(crate) depends_on_request: bool,
}

/// How many customers an offer reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferReach {
    /// Customers among those looked at who pass its condition and all its guardrails. Its schedule and its
    /// `variant` do not matter here.
    pub passing: u64,
    /// Whether some of these conditions read the context, the channel or a parameter that an experiment
    /// changes. Such a condition counts as passed, so the offer may reach fewer customers than `passing`,
    /// never more.
    pub depends_on_request: bool,
    /// Whether the offer's schedule was open.
    pub open: bool,
}

impl GuardrailReach {
    fn of((plan, passing): (&Plan, u64)) -> GuardrailReach {
        GuardrailReach { passing, depends_on_request: plan.depends_on_request }
    }
}

/// The customers of a batch, one bit each.
type Bits = [u64; BATCH_ROWS / 64];

/// How many customers each offer reaches at this time, in one pass over the customers. It makes about
/// `limit` tests at most; a test compares one customer with one atom and takes a nanosecond or less. If
/// that is not enough for all customers, it looks at an even sample.
///
/// The result is `None` if `stop` said true before the end.
pub fn reach(
    engine: &Engine,
    customers: &Customers,
    now: Time,
    limit: u64,
    stop: impl Fn() -> bool,
) -> Option<Reach> {
    let tags = engine.tags.iter().map(Vec::as_slice);
    let evaluator = Evaluator::new(&engine.schema, tags, now);
    let mut planner = Planner::new(&evaluator, &engine.terms);
    let guardrails: Vec<Plan> =
        engine.guardrails.iter().map(|guardrail| planner.plan(&guardrail.form)).collect();
    let whens = engine.offers().iter().map(|offer| (!stop()).then(|| planner.plan(&offer.when_form)));
    let whens: Vec<Plan> = whens.collect::<Option<_>>()?;
    let words = planner.words;

    let cost: usize = guardrails.iter().chain(&whens).map(|plan| plan.cost() + 1).sum();
    let nth = (cost as u64).saturating_mul(customers.slots() as u64).div_ceil(limit.max(1));
    let mut scan = Scan::new(&evaluator, &engine.terms, &words);
    let mut passing = vec![0_u64; whens.len()];
    let mut passed: Vec<Bits> = vec![Bits::default(); guardrails.len()];
    let mut held = vec![0_u64; guardrails.len()];
    let (mut sampled, mut stopped) = (0, false);
    customers.scan(&words, usize::try_from(nth).unwrap_or(usize::MAX), |batch| {
        sampled += ones(&bits(batch.customers()));
        for ((passed, held), plan) in passed.iter_mut().zip(&mut held).zip(&guardrails) {
            *passed = bits(&plan.matching(batch, &mut scan));
            *held += ones(passed);
        }
        for ((passing, when), offer) in passing.iter_mut().zip(&whens).zip(engine.offers()) {
            stopped = stopped || stop();
            if stopped {
                return ControlFlow::Break(());
            }
            let mut left = bits(&when.matching(batch, &mut scan));
            for guardrail in &offer.guardrails {
                left.iter_mut().zip(passed[guardrail.0 as usize]).for_each(|(left, passed)| *left &= passed);
            }
            *passing += ones(&left);
        }
        ControlFlow::Continue(())
    });

    if stopped {
        return None;
    }
    let offers = engine.offers().iter().zip(&whens).zip(passing).map(|((offer, when), passing)| OfferReach {
        passing,
        depends_on_request: depends(offer, when, &guardrails),
        open: offer.schedule.as_ref().is_none_or(|schedule| schedule.is_open(now)),
    });
    let offers = offers.collect();
    let guardrails = guardrails.iter().zip(held).map(GuardrailReach::of).collect();
    Some(Reach { customers: customers.len() as u64, sampled, offers, guardrails })
}

fn depends(offer: &Offer, when: &Plan, guardrails: &[Plan]) -> bool {
    let mut plans = offer.guardrails.iter().map(|guardrail| &guardrails[guardrail.0 as usize]);
    when.depends_on_request || plans.any(|plan| plan.depends_on_request)
}

fn bits(rows: &Rows) -> Bits {
    let mut bits = Bits::default();
    for (bits, rows) in bits.iter_mut().zip(rows.chunks_exact(64)) {
        *bits = rows.iter().enumerate().fold(0, |all, (at, row)| all | u64::from(row & 1) << at);
    }
    bits
}

fn ones(bits: &Bits) -> u64 {
    bits.iter().map(|bits| u64::from(bits.count_ones())).sum()
}
