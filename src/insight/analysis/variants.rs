//! Variants of experiments that customers do not see: a treatment that another one hides, and variants that
//! differ in nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{Analysis, Draft, WarningKind};
use crate::engine::{Offer, PlacementId, Treatment};
use crate::expression::experiment::{Experiment, InVariant};
use crate::rules::rule_set::{ExperimentRule, Languages, Locale, RuleSet};

/// The most treatments that are compared in one analysis. Beyond them nothing more is looked for.
const MAX_COMPARED: usize = 2_000_000;

impl Analysis<'_> {
    pub(super) fn variants(&mut self) {
        let mut left = MAX_COMPARED;
        for offer in self.engine.offers() {
            if offer.treatments.iter().all(|treatment| treatment.variant.is_none()) {
                continue;
            }
            let here: BTreeSet<PlacementId> =
                offer.treatments.iter().map(|treatment| treatment.placement).collect();
            for id in here {
                self.hidden(offer, id, &mut left);
                self.never_first(offer, id);
            }
        }
        for (set, rules) in self.sets.clone().into_iter().enumerate() {
            for rule in &rules.experiments {
                self.alike(set, rules, rule);
            }
        }
    }

    /// Warns about variants with a treatment on a placement whose customers see what everyone sees, because a
    /// language comes before a variant.
    fn hidden(&mut self, offer: &Offer, id: PlacementId, left: &mut usize) {
        let here = || offer.treatments.iter().filter(|treatment| treatment.placement == id);
        let locales: BTreeMap<&str, &Locale> =
            here().filter_map(|treatment| treatment.locale.as_ref()).map(|l| (l.as_str(), l)).collect();
        let mut known: Vec<&InVariant> = Vec::new();
        for variant in here().filter_map(|treatment| treatment.variant.as_ref()) {
            let cost = offer.treatments.len() * (locales.len() + 1);
            if known.contains(&variant) || *left < cost {
                continue;
            }
            *left -= cost;
            known.push(variant);
            let shown = |locale: Option<&Locale>| {
                offer.treatment(id, locale.map(Languages::from).as_ref(), |other| other == variant)
            };
            let is_hidden = |locale| shown(locale).is_some_and(|treatment| treatment.variant.is_none());
            let mut hidden: Vec<&str> =
                locales.values().filter(|locale| is_hidden(Some(**locale))).map(|l| l.as_str()).collect();
            if is_hidden(None) {
                hidden.push("any other language");
            }
            if !hidden.is_empty() {
                self.tell_hidden(offer, id, variant, &hidden);
            }
        }
    }

    fn tell_hidden(&mut self, offer: &Offer, id: PlacementId, variant: &InVariant, hidden: &[&str]) {
        let placement = &self.engine.placement(id).name;
        let detail = format!(
            "variant `{}` has a treatment of offer `{}` on placement `{placement}`, but its customers see the same as everyone in {}: a language comes before a variant",
            variant.name(),
            offer.name,
            hidden.join(", ")
        );
        let locale = hidden.iter().find(|hidden| !hidden.contains(' '));
        let locale = locale.map_or(String::new(), |locale| format!("locale: {locale}, "));
        let hint = format!(
            "write the variant's treatment for each of them: {{placement: {placement}, {locale}variant: {}, content: …}}",
            variant.name()
        );
        let draft = Draft::of(WarningKind::HiddenVariant, offer, detail).hint(hint);
        self.warn_at(draft, &["offers", &offer.name, "treatments"]);
    }

    /// Warns about a treatment that is never shown, because treatments for every variant of another
    /// experiment come before it in the same language.
    fn never_first(&mut self, offer: &Offer, id: PlacementId) {
        let mut before: Vec<&Treatment> = Vec::new();
        for treatment in offer.treatments.iter().filter(|treatment| treatment.placement == id) {
            let Some(variant) = &treatment.variant else { continue };
            let rivals = || before.iter().filter(|other| other.locale == treatment.locale);
            let rivals = || rivals().filter_map(|other| other.variant.as_ref());
            let covers = |experiment: &Experiment| {
                let given = |place| {
                    rivals().any(|rival| rival.experiment.name == experiment.name && rival.variant == place)
                };
                experiment.is_for_all() && (0..experiment.variants.len()).all(given)
            };
            let other = rivals()
                .map(|rival| &rival.experiment)
                .find(|experiment| experiment.name != variant.experiment.name && covers(experiment));
            if let Some(other) = other {
                let detail = format!(
                    "treatment `{}` of offer `{}` is never shown: those for every variant of experiment `{}` stand before it",
                    treatment.name, offer.name, other.name
                );
                let draft = Draft::of(WarningKind::HiddenVariant, offer, detail);
                let draft = draft.hint("let one offer take part in one experiment on a placement");
                self.warn_at(draft, &["offers", &offer.name, "treatments"]);
            }
            before.push(treatment);
        }
    }

    /// Warns about variants that nothing depends on, if there are several: their customers cannot be told
    /// apart. One such variant is the one that others are compared with.
    fn alike(&mut self, set: usize, rules: &RuleSet, rule: &ExperimentRule) {
        let named = named_variants(rules, &rule.experiment);
        if named.is_empty() {
            return; // nothing depends on the experiment at all, which has a warning of its own
        }
        let variants = rule.experiment.variants.iter().enumerate();
        let rest: Vec<String> = variants
            .filter(|(place, variant)| !named.contains(place) && !variant.slots.is_empty())
            .map(|(_, variant)| format!("`{}`", variant.name))
            .collect();
        if rest.len() < 2 {
            return;
        }
        let name = &*rule.name.name;
        let detail = format!("nothing tells {} of experiment `{name}` from each other", rest.join(" and "));
        let draft = Draft::new(WarningKind::UnusedExperiment, set, detail)
            .hint("name them in a `variant` or a parameter, or leave all but one of them out");
        self.warn_at(draft, &["experiments", name]);
    }
}

/// The variants of an experiment that an offer, a treatment or a parameter names. A parameter's value for a
/// variant counts only if it differs from the default.
fn named_variants(rules: &RuleSet, experiment: &Experiment) -> BTreeSet<usize> {
    let of_offers = rules.offers.iter().flat_map(|offer| {
        offer.variant.iter().chain(offer.treatments.iter().filter_map(|treatment| treatment.variant.as_ref()))
    });
    let of_offers = of_offers.filter(|variant| variant.experiment.name == experiment.name);
    let parameters = rules.parameters.0.values();
    let parameters = parameters
        .filter(|parameter| parameter.experiment.as_ref().is_some_and(|other| other.name == experiment.name));
    let of_parameters = parameters.flat_map(|parameter| {
        parameter
            .variants
            .iter()
            .filter(|(_, value)| *value != parameter.default)
            .map(|(variant, _)| *variant)
    });
    of_offers.map(|variant| variant.variant).chain(of_parameters).collect()
}
