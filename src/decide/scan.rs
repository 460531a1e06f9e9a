//! Which offers may be shown: the straightforward way, one offer after the other. It is the reference that a faster way is
//! tested against; what a faster way replaces is [`eligible`].

use super::Seen;
use crate::engine::{Guardrail, Offer, OfferId, PlacementId, Treatment};
use crate::expression::Expression;

/// How often, in offers, the time is looked at.
const OFFERS_PER_LOOK: usize = 256;

/// Puts the offers of a placement that may be shown into `found`, each with its treatment. Says how many were looked at: all,
/// unless the time was over before.
pub(super) fn eligible<'e: 'r, 'r>(
    seen: &Seen<'e, 'r>,
    id: PlacementId,
    found: &mut Vec<(OfferId, &'e Treatment)>,
) -> usize {
    let placement = seen.engine.placement(id);
    for (i, offer_id) in placement.offers.iter().enumerate() {
        if i % OFFERS_PER_LOOK == OFFERS_PER_LOOK - 1 && seen.is_overdue() {
            return i;
        }
        if let Ok(treatment) = obstacle(seen, id, seen.engine.offer(*offer_id)) {
            found.push((*offer_id, treatment));
        }
    }
    placement.offers.len()
}

/// The first thing that keeps an offer from being shown.
pub(super) enum Obstacle<'e> {
    Schedule,
    Treatment,
    Guardrail(&'e Guardrail),
    When(&'e Expression),
}

/// The treatment in which the offer may be shown.
///
/// # Errors
/// What keeps it from being shown.
pub(super) fn obstacle<'e: 'r, 'r>(
    seen: &Seen<'e, 'r>,
    placement: PlacementId,
    offer: &'e Offer,
) -> Result<&'e Treatment, Obstacle<'e>> {
    // Guardrails first, so that an explanation names the law before the campaign.
    if let Some(id) = offer.guardrails.iter().find(|id| !seen.holds(**id)) {
        return Err(Obstacle::Guardrail(&seen.engine.guardrails[id.0 as usize]));
    }
    if let Some(when) = &offer.when
        && !when.holds(&seen.facts(offer.tags))
    {
        return Err(Obstacle::When(when));
    }
    if offer.schedule.as_ref().is_some_and(|schedule| !schedule.is_open(seen.now)) {
        return Err(Obstacle::Schedule);
    }
    offer.treatment(placement, seen.request.locale).ok_or(Obstacle::Treatment)
}
