//! Whether a rule set brings anything new. Mostly it does not, and then no copy of the catalogue is made.

use super::Catalogue;
use crate::expression::experiment::Holdout;
use crate::rules::rule_set::{ExperimentRule, OfferRule, PlacementRule, RuleSet, TreatmentRule};
use crate::schema::{ChannelId, Schema};

impl Catalogue {
    /// Whether all names of a rule set have numbers, and its offers are as they were last published.
    pub(super) fn has_all(&self, schema: &Schema, set: &RuleSet) -> bool {
        let Some(rule_set) = self.rule_sets.number(&set.name) else { return false };
        let channel = |rule: &PlacementRule, channel: &ChannelId| {
            let word = schema.channels().word(u32::from(channel.0)).unwrap_or_default();
            self.place_number(&rule.name.name, word).is_some()
        };
        let placement = |rule: &PlacementRule| {
            let named = self.placements.number(&rule.name.name).is_some();
            named && rule.channels.iter().all(|id| channel(rule, id))
        };
        let arm = |arm: &str| self.arms.number(arm).is_some();
        let experiment = |rule: &ExperimentRule| {
            (0..rule.experiment.variants.len()).all(|variant| arm(&rule.experiment.arm(variant)))
        };
        let offer = |rule: &OfferRule| {
            let entry = self.offer_number(&rule.name.name).and_then(|number| self.offer(number));
            let group = rule.attributes.group.as_ref().map(|group| self.groups.number(&group.name));
            entry.is_some_and(|entry| {
                let known = |treatment: &TreatmentRule| entry.treatments.contains(&treatment.name);
                entry.rule_set == rule_set
                    && group.is_none_or(|group| group.is_some())
                    && entry.group == group.flatten()
                    && rule.treatments.iter().all(known)
            })
        };
        set.placements.iter().all(placement)
            && set.experiments.iter().all(experiment)
            && (set.holdout.is_none() || Holdout::arms().iter().all(|name| arm(name)))
            && set.offers.iter().all(offer)
    }
}
