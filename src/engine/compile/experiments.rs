//! Experiments and holdouts of all rule sets: their arms get numbers, and overlaps between them are found.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::Linker;
use crate::customer::numbers::ArmNumber;
use crate::engine::Drawn;
use crate::expression::arm::{Arm, ArmId, MAX_ARMS, SLOTS};
use crate::expression::experiment::{HOLDOUT, Holdout};
use crate::rules::rule_set::{ExperimentRule, HoldoutRule, Reference, RuleSet, shown_share};

impl<'r> Linker<'r> {
    pub(super) fn experiments(&mut self) {
        let sets = self.sets.clone();
        let mut owners: HashMap<&str, &str> = HashMap::new();
        let mut exclusive: HashMap<&str, Vec<(&RuleSet, &ExperimentRule)>> = HashMap::new();
        for &set in &sets {
            let mut drawn = Vec::with_capacity(set.experiments.len());
            for rule in &set.experiments {
                if let Some(owner) = owners.insert(&rule.name.name, &set.name) {
                    let detail = format!("experiment `{}` is also in rule set `{owner}`", rule.name.name);
                    self.problems.push(set.problem(&rule.name.spot, detail));
                }
                if let Some(group) = &rule.exclusion {
                    let others = exclusive.entry(group).or_default();
                    self.overlap(set, rule, others);
                    others.push((set, rule));
                }
                let experiment = &rule.experiment;
                let share = |range: &Range<u16>| range.end - range.start;
                let arms = experiment.variants.iter().enumerate();
                let arms = arms.map(|(place, variant)| (experiment.arm(place), share(&variant.slots)));
                let first_arm = self.arms(set, &rule.name, arms);
                drawn.push(Drawn { experiment: Arc::clone(experiment), first_arm });
            }
            self.engine.experiments.push(drawn);
        }
        self.holdout(&sets);
    }

    fn holdout(&mut self, sets: &[&'r RuleSet]) {
        let mut owner: Option<&RuleSet> = None;
        for &set in sets {
            let Some(HoldoutRule { spot, holdout }) = &set.holdout else { continue };
            if let Some(owner) = owner {
                let detail =
                    format!("rule set `{}` has a holdout already, and there can be only one", owner.name);
                self.problems.push(set.problem(spot, detail));
                continue;
            }
            owner = Some(set);
            let arms = Holdout::arms().into_iter().zip([holdout.share, SLOTS - holdout.share]);
            let name = Reference { name: HOLDOUT.into(), spot: spot.clone() };
            let first_arm = self.arms(set, &name, arms);
            self.engine.holdout = Some((holdout.clone(), first_arm));
        }
    }

    /// Numbers the arms of an experiment, given by name and share. Returns the number of the first.
    fn arms(&mut self, set: &RuleSet, of: &Reference, arms: impl Iterator<Item = (String, u16)>) -> ArmId {
        let first = self.engine.arms.len();
        let experiment = Arc::from(&*of.name);
        let catalogue = &self.engine.catalogue;
        self.engine.arms.extend(arms.map(|(name, share)| {
            let number = ArmNumber(catalogue.arms.number(&name).unwrap_or_default()); // all have one
            Arm { name: name.into(), experiment: Arc::clone(&experiment), share, number }
        }));
        if first <= MAX_ARMS && self.engine.arms.len() > MAX_ARMS {
            let detail = format!("with this one, the active rule sets have more than {MAX_ARMS} variants");
            self.problems.push(set.problem(&of.spot, detail).hint("remove experiments that are over"));
        }
        ArmId(first as u16)
    }

    /// Refuses experiments of one exclusion group that have a slot in common.
    fn overlap(&mut self, set: &RuleSet, rule: &ExperimentRule, others: &[(&RuleSet, &ExperimentRule)]) {
        let ours = rule.experiment.slots();
        let meets = |other: &ExperimentRule| {
            let theirs = other.experiment.slots();
            ours.start.max(theirs.start) < ours.end.min(theirs.end)
        };
        let Some((owner, other)) = others.iter().find(|(_, other)| meets(other)) else { return };
        let range = |rule: &ExperimentRule| {
            let slots = rule.experiment.slots();
            format!("{} % to {} %", shown_share(slots.start), shown_share(slots.end))
        };
        let detail = format!(
            "experiment `{}` has {} of exclusion group `{}`, and `{}` (rule set `{}`) has {}",
            rule.name.name,
            range(rule),
            rule.exclusion.as_deref().unwrap_or_default(),
            other.name.name,
            owner.name,
            range(other)
        );
        let end = others.iter().map(|(_, other)| other.experiment.slots().end).max().unwrap_or(0);
        let free = SLOTS - end >= ours.end - ours.start;
        let hint = if free {
            format!("begin after it: `from: {}`", shown_share(end))
        } else {
            "make one of them smaller, or give it an exclusion group of its own".to_owned()
        };
        self.problems.push(set.problem(&rule.name.spot, detail).hint(hint));
    }
}
