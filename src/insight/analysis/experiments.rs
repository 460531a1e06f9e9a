//! Experiments and parameters on which nothing depends, and experiments that split customers alike.

use std::collections::HashMap;

use super::duplicates::used;
use super::{Analysis, Draft, WarningKind};
use crate::expression::experiment::{Experiment, HOLDOUT};
use crate::rules::rule_set::RuleSet;

impl Analysis<'_> {
    pub(super) fn experiments(&mut self) {
        let used = used(&self.sets, "param");
        for (set, rules) in self.sets.clone().into_iter().enumerate() {
            for rule in &rules.experiments {
                if !bears_on_something(&rule.experiment, rules) {
                    let detail = format!("nothing depends on experiment `{}`", rule.name.name);
                    let draft = Draft::new(WarningKind::UnusedExperiment, set, detail)
                        .hint("give an offer or a treatment a `variant`, or let it change a parameter");
                    self.warn_at(draft, &["experiments", &rule.name.name]);
                }
            }
            for rule in &rules.experiments {
                for variant in rule.experiment.variants.iter().filter(|variant| variant.slots.is_empty()) {
                    let detail = format!("variant `{}` has 0 %: nobody is in it", variant.name);
                    let draft = Draft::new(WarningKind::UnusedExperiment, set, detail);
                    self.warn_at(draft, &["experiments", &rule.name.name, "variants", &variant.name]);
                }
            }
            let mut unused: Vec<&str> = rules
                .parameters
                .0
                .keys()
                .map(|name| &**name)
                .filter(|name| !used.contains(&(set, name)))
                .collect();
            unused.sort_unstable();
            for name in unused {
                let detail = format!("nothing uses parameter `{name}`");
                self.warn_at(Draft::new(WarningKind::UnusedParameter, set, detail), &["parameters", name]);
            }
        }
        self.same_salts();
    }

    /// Warns about experiments that share a salt: they put the same customers together, which only
    /// exclusion groups intend.
    fn same_salts(&mut self) {
        let sets = self.sets.clone();
        let mut known: HashMap<&str, (usize, &str, Option<&str>)> = HashMap::new();
        for (set, rules) in sets.iter().enumerate() {
            if let Some(rule) = &rules.holdout {
                known.insert(&rule.holdout.salt, (set, HOLDOUT, None));
            }
        }
        for (set, rules) in sets.iter().enumerate() {
            for rule in &rules.experiments {
                let (name, group) = (&*rule.name.name, rule.exclusion.as_deref());
                let Some((by, other, others)) = known.get(&*rule.experiment.salt).copied() else {
                    known.insert(&rule.experiment.salt, (set, name, group));
                    continue;
                };
                if group.is_some() && group == others {
                    continue;
                }
                let what =
                    if other == HOLDOUT { "the holdout".to_owned() } else { format!("experiment `{other}`") };
                let detail = format!(
                    "experiment `{name}` and {what} share the salt `{}`: a customer's place in one tells their place in the other",
                    rule.experiment.salt
                );
                let draft = Draft::new(WarningKind::Duplicate, set, detail)
                    .by(by)
                    .hint("give it a salt of its own, or put both into one exclusion group");
                self.warn_at(draft, &["experiments", name]);
            }
        }
    }
}

/// Whether an offer, a treatment or a parameter asks for one of its variants.
fn bears_on_something(experiment: &Experiment, rules: &RuleSet) -> bool {
    let of_offers = rules.offers.iter().flat_map(|offer| {
        offer.variant.iter().chain(offer.treatments.iter().filter_map(|treatment| treatment.variant.as_ref()))
    });
    let parameters = rules.parameters.0.values().filter_map(|parameter| parameter.experiment.as_ref());
    of_offers.map(|variant| &variant.experiment).chain(parameters).any(|other| other.name == experiment.name)
}
