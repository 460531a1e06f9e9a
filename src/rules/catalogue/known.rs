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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::catalogue::{Additions, Returned, Returns};
    use crate::testing::rounds;

    /// Some of these, in random order.
    fn some(
        rng: &mut fastrand::Rng,
        of: &[&str],
        write: impl Fn(&mut fastrand::Rng, &str) -> String,
    ) -> String {
        let chosen = rng.usize(0..=of.len());
        let names = rng.choose_multiple(of.iter(), chosen);
        names.into_iter().map(|name| write(rng, name)).collect::<Vec<_>>().join(", ")
    }

    /// A rule set over a few names, so that two of them often have the same.
    fn random(rng: &mut fastrand::Rng) -> (String, String) {
        let name = ["r", "s"][rng.usize(0..2)];
        let placements = some(rng, &["p", "q"], |rng, name| {
            format!("{name}: {{channels: [{}]}}", ["app", "web", "app, web"][rng.usize(0..3)])
        });
        let experiments = some(rng, &["x", "y"], |rng, name| {
            format!("{name}: {{variants: {{{}}}}}", ["a: 1", "b: 1", "a: 1, b: 1"][rng.usize(0..3)])
        });
        let holdout = ["", "holdout: {percent: 1, salt: s}\n"][usize::from(rng.u8(0..4) == 0)];
        let offers = some(rng, &["o", "k", "m"], |rng, name| {
            let group = ["", "attributes: {group: g}, ", "attributes: {group: h}, "][rng.usize(0..3)];
            let ids = [&["t"][..], &["u"], &["u", "t"]][rng.usize(0..3)];
            let treatments =
                ids.iter().map(|id| format!("{{placement: p, id: {id}, locale: {id}{id}, content: 1}}"));
            let treatments: Vec<String> = treatments.collect();
            format!("{name}: {{placements: [p], {group}treatments: [{}]}}", treatments.join(", "))
        });
        let text = format!(
            "rule_set: {name}\nplacements: {{{placements}}}\nexperiments: {{{experiments}}}\n{holdout}offers: {{{offers}}}\n"
        );
        (name.to_owned(), text)
    }

    #[test]
    fn a_rule_set_is_known_if_taking_it_in_changes_nothing() {
        let (schema, mut rng) = (Schema::empty(), fastrand::Rng::with_seed(31));
        let (mut catalogue, mut known) = (Catalogue::new(), [0; 2]);
        for round in 0..rounds(2_000, 50_000) {
            if round % 40 == 0 {
                catalogue = Catalogue::new();
            }
            let (name, text) = random(&mut rng);
            let set = RuleSet::parse(&name, &text, &schema).unwrap();
            let mut next = catalogue.clone();
            next.take_in(&schema, &set);
            let has_all = catalogue.has_all(&schema, &set);
            assert_eq!(has_all, next == catalogue, "round {round}: {text}");
            known[usize::from(has_all)] += 1;
            if rng.bool() {
                catalogue = next;
            }
            let kind = Returned::ALL[rng.usize(0..Returned::ALL.len())];
            if let Some(number) = rng.choice(catalogue.numbers(kind))
                && rng.u8(0..4) == 0
            {
                let returns = Returns { freed: vec![(kind, number)], ..Returns::default() };
                catalogue.extend(&Additions { returns, ..Additions::default() });
            }
        }
        assert!(known.into_iter().all(|times| times > 100), "{known:?}");
    }
}
