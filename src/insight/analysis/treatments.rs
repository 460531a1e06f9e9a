//! Offers without a treatment for a language in which others of the same placement have one.

use std::collections::BTreeMap;

use super::{Analysis, Draft, WarningKind};
use crate::engine::{Offer, PlacementId};
use crate::rules::rule_set::{Languages, Locale};

/// The most languages that are looked at on one placement.
const MAX_LOCALES: usize = 64;

impl Analysis<'_> {
    pub(super) fn treatments(&mut self) {
        let engine = self.engine;
        for (i, placement) in engine.placements().iter().enumerate() {
            let id = PlacementId(i as u32);
            let mut spoken: BTreeMap<&str, (&Locale, usize)> = BTreeMap::new();
            for offer in placement.offers.iter().map(|offer| engine.offer(*offer)) {
                for locale in locales(offer, id) {
                    if spoken.len() < MAX_LOCALES || spoken.contains_key(locale.as_str()) {
                        spoken.entry(locale.as_str()).or_insert((locale, 0)).1 += 1;
                    }
                }
            }
            for offer in &placement.offers {
                if !self.told[offer.0 as usize] {
                    self.silent(engine.offer(*offer), id, &spoken);
                }
            }
        }
    }

    fn silent(&mut self, offer: &Offer, id: PlacementId, spoken: &BTreeMap<&str, (&Locale, usize)>) {
        let treatment = |locale: Option<&Locale>| {
            offer.treatment(id, locale.map(Languages::from).as_ref(), |_| true) // in one variant at least
        };
        if treatment(None).is_some() {
            return;
        }
        let missing = spoken.values().filter(|(locale, _)| treatment(Some(locale)).is_none());
        let others = |count: usize| {
            if count == 1 { "1 other offer has".into() } else { format!("{count} other offers have") }
        };
        let named =
            |(locale, count): &(&Locale, usize)| format!("{} (as {})", locale.as_str(), others(*count));
        let missing: Vec<String> = missing.map(named).collect();
        if missing.is_empty() {
            return;
        }
        let placement = &self.engine.placement(id).name;
        let detail = format!(
            "offer `{}` has no treatment on placement `{placement}` for {}: customers of that language never see it there",
            offer.name,
            missing.join(", ")
        );
        let draft = Draft::of(WarningKind::Treatment, offer, detail).hint(format!(
            "add one without a locale, which serves all others: {{placement: {placement}, content: …}}"
        ));
        self.warn_at(draft, &["offers", &offer.name, "treatments"]);
    }
}

fn locales(offer: &Offer, id: PlacementId) -> impl Iterator<Item = &Locale> {
    let here = offer.treatments.iter().filter(move |treatment| treatment.placement == id);
    here.filter_map(|treatment| treatment.locale.as_ref())
}

impl Offer {
    /// Whether it has a treatment on a placement in every language in which another offer has one there,
    /// whatever the customer's variants.
    pub(super) fn speaks_as(&self, other: &Offer, id: PlacementId) -> bool {
        let own = |locale: Option<&Locale>| {
            self.treatment(id, locale.map(Languages::from).as_ref(), |_| false).is_some()
        };
        let any_language = other.treatment(id, None, |_| true).is_some();
        own(None) || (!any_language && locales(other, id).all(|locale| own(Some(locale))))
    }
}
