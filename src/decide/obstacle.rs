//! Whether one offer may be shown, found in the straightforward way: each condition is evaluated as it was
//! written. Tests compare the index with this, and explained decisions take their reasons from it.

use std::cell::Cell;

use super::{Request, Scratch, Seen};
use crate::engine::{Engine, Guardrail, GuardrailId, Offer, PlacementId, Treatment};
use crate::expression::Expression;
use crate::expression::experiment::InVariant;
use crate::schema::value::Time;
use crate::schema::vector::FeatureVector;

/// The first thing that stops an offer.
pub(super) enum Obstacle<'e> {
    Schedule,
    Treatment,
    Guardrail(&'e Guardrail),
    When(&'e Expression),
    Variant(&'e InVariant),
}

/// The treatment in which the offer may be shown.
///
/// # Errors
/// The first thing that stops it.
pub(super) fn obstacle<'e: 'r, 'r>(
    seen: &Seen<'e, 'r>,
    placement: PlacementId,
    offer: &'e Offer,
) -> Result<&'e Treatment, Obstacle<'e>> {
    // Guardrails come first, so that an explanation names the law before the campaign.
    if let Some(id) = offer.guardrails.iter().find(|id| !seen.holds(**id)) {
        return Err(Obstacle::Guardrail(&seen.engine.guardrails[id.0 as usize]));
    }
    own_obstacle(seen, placement, offer)
}

/// The same without guardrails: the first thing besides them that stops the offer.
fn own_obstacle<'e: 'r, 'r>(
    seen: &Seen<'e, 'r>,
    placement: PlacementId,
    offer: &'e Offer,
) -> Result<&'e Treatment, Obstacle<'e>> {
    if let Some(when) = &offer.when
        && !when.holds(&seen.facts(offer.tags))
    {
        return Err(Obstacle::When(when));
    }
    if let Some(variant) = &offer.variant
        && !seen.is_in(offer.tags, variant)
    {
        return Err(Obstacle::Variant(variant));
    }
    if offer.schedule.as_ref().is_some_and(|schedule| !schedule.is_open(seen.now)) {
        return Err(Obstacle::Schedule);
    }
    seen.treatment(placement, offer).ok_or(Obstacle::Treatment)
}

/// The guardrails that are the only thing in the way of an offer on a placement: the offer would be eligible
/// for this customer and request without that one guardrail. A customer in the holdout is eligible for
/// nothing. Contacts, budgets and the ranking do not matter.
pub(crate) fn stopped_by_one_guardrail(
    engine: &Engine,
    placement: PlacementId,
    vector: FeatureVector<'_>,
    request: &Request<'_>,
    now: Time,
) -> Vec<GuardrailId> {
    Scratch::with(engine, |Scratch { memos, .. }| {
        let held = vec![Cell::new(None); engine.guardrails.len()];
        let seen = Seen { held, ..Seen::new(engine, vector, request, now, memos) };
        if seen.held_out {
            return Vec::new();
        }
        let offers = engine.placement(placement).offers.iter().map(|id| engine.offer(*id));
        let alone = offers.filter_map(|offer| {
            let mut failing = offer.guardrails.iter().filter(|id| !seen.holds(**id));
            let (only, None) = (failing.next()?, failing.next()) else { return None };
            own_obstacle(&seen, placement, offer).is_ok().then_some(*only)
        });
        alone.collect()
    })
}
