//! Offers that can never win: wherever they may be shown, others that rank before them fill the placement.
//!
//! A warning is given only where this is certain, as long as a request asks for no more than the
//! placement's own count. An offer in the way must meet all of these:
//! - It is eligible whenever this offer is, and always ranks before it.
//! - It has treatments for the same languages.
//! - It is not used up on another placement of the same decision.
//! - No cap or budget holds it back, and no group that this offer is not in.

use std::collections::HashMap;

use super::{Analysis, Draft, WarningKind};
use crate::engine::{Engine, Offer, OfferId, PlacementId};
use crate::expression::alternatives::Alternatives;
use crate::expression::term::TermId;
use crate::schema::value::Value;

/// The most others that one offer is compared with on one placement.
const MAX_COMPARED: usize = 256;

/// Offers of a placement that may be in the way of others, the best tier first. Some are for everyone; the
/// others are found by the rarest term that they read.
struct Rivals {
    for_all: Vec<OfferId>,
    by_term: HashMap<TermId, Vec<OfferId>>,
}

impl Analysis<'_> {
    pub(super) fn ranking(&mut self) {
        let engine = self.engine;
        let mut places: Vec<Vec<PlacementId>> = vec![Vec::new(); engine.offer_count()];
        for (i, placement) in engine.placements().iter().enumerate() {
            for offer in &placement.offers {
                places[offer.0 as usize].push(PlacementId(i as u32));
            }
        }
        let readers = readers(engine);
        let ids = (0..engine.placements().len() as u32).map(PlacementId);
        let rivals: Vec<Rivals> = ids.map(|id| self.rivals(id, &places, &readers)).collect();
        for (i, places) in places.iter().enumerate() {
            if self.told[i] || places.is_empty() {
                continue;
            }
            let id = OfferId(i as u32);
            let Some(form) = self.own_form(engine.offer(id)) else { continue };
            let before = |place: &PlacementId| self.before(id, &form, *place, &rivals[place.0 as usize]);
            let Some(before) = places.iter().map(before).collect::<Option<Vec<_>>>() else { continue };
            self.beaten(id, &before[0]);
            self.told[i] = true;
        }
    }

    /// Offers that can be in the way of others on this placement.
    fn rivals(&self, place: PlacementId, places: &[Vec<PlacementId>], readers: &[u32]) -> Rivals {
        let mut rivals = Rivals { for_all: Vec::new(), by_term: HashMap::new() };
        for id in &self.engine.placement(place).offers {
            let offer = self.engine.offer(*id);
            let elsewhere = places[id.0 as usize].iter().any(|other| self.go_together(place, *other));
            let capped = self.engine.caps.may_stop(*id, offer, place);
            if self.told[id.0 as usize] || score(offer).is_none() || elsewhere || capped {
                continue;
            }
            let [only] = &offer.when_form.0[..] else { continue };
            match only.0.iter().min_by_key(|atom| readers[atom.term.0 as usize]) {
                Some(atom) => rivals.by_term.entry(atom.term).or_default().push(*id),
                None => rivals.for_all.push(*id),
            }
        }
        rivals
    }

    /// Whether one decision may show both placements: an offer that is shown on one leaves room on the
    /// other.
    fn go_together(&self, one: PlacementId, other: PlacementId) -> bool {
        let channels = |id: PlacementId| &self.engine.placement(id).channels;
        one != other && channels(one).iter().any(|channel| channels(other).contains(channel))
    }

    /// The offers that keep this one from ever being shown on a placement; `None` if it can be shown.
    fn before(
        &self,
        id: OfferId,
        form: &Alternatives,
        place: PlacementId,
        rivals: &Rivals,
    ) -> Option<Vec<OfferId>> {
        let (engine, offer) = (self.engine, self.engine.offer(id));
        let placement = engine.placement(place);
        // What all alternatives imply, the first one implies.
        let terms = form.0.first()?.0.iter();
        let near = terms.filter_map(|atom| rivals.by_term.get(&atom.term)).flatten();
        let (mut ungrouped, mut grouped) = (Vec::new(), Vec::new());
        for rival in rivals.for_all.iter().chain(near).take(MAX_COMPARED) {
            let other = engine.offer(*rival);
            if *rival == id || !ranks_before(other, offer) || !self.fits_wherever(other, offer, form, place) {
                continue;
            }
            match other.group {
                None => ungrouped.push(*rival),
                Some(group) if Some(group) == offer.group => grouped.push(*rival),
                Some(_) => {}
            }
            let fills_group = offer.group.is_some_and(|group| grouped.len() >= engine.groups[group].max);
            if fills_group || ungrouped.len() + grouped.len() >= placement.count {
                ungrouped.extend(grouped);
                return Some(ungrouped);
            }
        }
        None
    }

    /// Whether one offer may be shown on a placement whenever another may.
    fn fits_wherever(&self, rival: &Offer, offer: &Offer, form: &Alternatives, place: PlacementId) -> bool {
        rival.when_form.is_implied_by(form)
            && rival.variant_form.is_implied_by(form)
            && rival.schedule_form.is_implied_by(form)
            && rival.speaks_as(offer, place)
            && rival.guardrails.iter().all(|id| {
                let guardrail = || &self.engine.guardrails[id.0 as usize].form;
                offer.guardrails.contains(id) || guardrail().is_implied_by(form)
            })
    }

    fn beaten(&mut self, id: OfferId, before: &[OfferId]) {
        let engine = self.engine;
        let offer = engine.offer(id);
        let names: Vec<String> = before
            .iter()
            .take(3)
            .map(|id| format!("`{}` (line {})", engine.offer(*id).name, engine.offer(*id).line))
            .collect();
        let names = names.join(", ");
        let so = if before.len() == 1 { "ranks before it and leaves" } else { "rank before it and leave" };
        let detail = format!(
            "offer `{}` never wins: customers who may see it may also see {names}, which {so} no room while a request asks for no \
             more than the placement's `count`",
            offer.name
        );
        let draft = Draft::of(WarningKind::NeverWins, offer, detail)
            .by(before.first().map_or(offer.tags, |id| engine.offer(*id).tags))
            .hint("give it a better priority, propensity or value, or another condition");
        self.warn_at(draft, &["offers", &offer.name]);
    }
}

/// How many atoms read each term.
fn readers(engine: &Engine) -> Vec<u32> {
    let mut readers = vec![0; engine.terms.all().len()];
    let conjunctions = engine.offers().iter().flat_map(|offer| &offer.when_form.0);
    conjunctions.flat_map(|conjunction| &conjunction.0).for_each(|atom| readers[atom.term.0 as usize] += 1);
    readers
}

/// The score, if it is the same for every customer, computed as in a decision.
fn score(offer: &Offer) -> Option<f64> {
    let propensity = offer.propensity.constant().and_then(Value::number)?.clamp(0.0, 1.0);
    let boost = offer.boost.constant().and_then(Value::number)?.max(0.0);
    Some(finite(propensity * offer.value * boost))
}

/// The largest score that any customer may give it; `None` if that is not known.
fn largest_score(offer: &Offer) -> Option<f64> {
    if let Some(score) = score(offer) {
        return Some(score);
    }
    if offer.learned.is_some() {
        return None; // it may be tried whatever its score
    }
    let boost = offer.boost.constant().and_then(Value::number)?.max(0.0);
    // With a propensity of 1; without an answer the propensity is 0.
    let largest = (offer.value * boost).max(0.0);
    // A product that is too large counts as 0, and a smaller propensity may give one that is not too large.
    largest.is_finite().then_some(largest)
}

fn finite(score: f64) -> f64 {
    if score.is_finite() { score } else { 0.0 }
}

/// Whether one offer comes before another in every ranking that has both.
fn ranks_before(rival: &Offer, offer: &Offer) -> bool {
    if rival.priority != offer.priority {
        return rival.priority < offer.priority;
    }
    match (score(rival), largest_score(offer)) {
        (Some(least), Some(largest)) => {
            least > largest || (least == largest && score(offer).is_some() && rival.name < offer.name)
        }
        _ => false,
    }
}
