//! Whether one offer may be shown, found in the straightforward way: each condition is evaluated as it was
//! written. Tests compare the index with this, and explained decisions take their reasons from it.

use super::Seen;
use crate::engine::{Guardrail, Offer, PlacementId, Treatment};
use crate::expression::Expression;
use crate::expression::experiment::InVariant;

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
