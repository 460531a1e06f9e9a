//! Experiments: which customers get which variant, and who is held out.

use std::ops::Range;
use std::sync::Arc;

use super::arm::{SLOTS, slot};

/// The most experiments of one rule set.
pub const MAX_EXPERIMENTS: usize = 15;
/// The most variants of one experiment.
pub const MAX_VARIANTS: usize = 16;
/// The most parameters of one rule set.
pub const MAX_PARAMETERS: usize = 200;
/// The experiment that the arms of the holdout belong to. No other experiment may have this name.
pub const HOLDOUT: &str = "holdout";

/// An experiment of a rule set: its variants, and the salt that decides who gets which.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// Its name, unique over all active rule sets.
    pub name: Box<str>,
    /// The salt of its customers' slots: its own, or the name of the exclusion group that it is in.
    pub salt: Box<str>,
    /// Its variants in the order written. A customer whose slot belongs to none of them is in no variant.
    pub variants: Vec<Variant>,
    /// Its place among the experiments of its rule set, from 0.
    pub(crate) place: usize,
}

/// One variant of an experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Its name, unique in the experiment.
    pub name: Box<str>,
    /// The slots whose customers are in it.
    pub slots: Range<u16>,
}

/// Customers who see only fallbacks, so that the worth of everything else can be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holdout {
    /// The salt of its customers' slots.
    pub salt: Box<str>,
    /// Customers with a slot below this one are held out.
    pub share: u16,
}

/// Two experiments are equal if they are the same to customers, wherever they stand in their rule set.
impl PartialEq for Experiment {
    fn eq(&self, other: &Experiment) -> bool {
        (&self.name, &self.salt, &self.variants) == (&other.name, &other.salt, &other.variants)
    }
}

impl Experiment {
    /// The place of the variant of this name, from 0.
    pub fn variant(&self, name: &str) -> Option<usize> {
        self.variants.iter().position(|variant| *variant.name == *name)
    }

    /// The place of the variant that has this slot; `None` if no variant has it.
    pub fn variant_at(&self, slot: u16) -> Option<usize> {
        self.variants.iter().position(|variant| variant.slots.contains(&slot))
    }

    /// The name of the arm for a variant, which is given by its place.
    pub(crate) fn arm(&self, variant: usize) -> String {
        let variant = self.variants.get(variant).map_or("", |variant| &variant.name);
        format!("{}.{variant}", self.name)
    }

    /// The slots of all its variants together; they follow each other without a gap.
    pub fn slots(&self) -> Range<u16> {
        let ends = (self.variants.first(), self.variants.last());
        if let (Some(first), Some(last)) = ends { first.slots.start..last.slots.end } else { 0..0 }
    }

    /// Whether every customer is in one of its variants.
    pub fn is_for_all(&self) -> bool {
        self.slots() == (0..SLOTS)
    }
}

impl Holdout {
    /// The names of its two arms: the customers held out, and all others.
    pub fn arms() -> [String; 2] {
        ["in", "out"].map(|side| format!("{HOLDOUT}.{side}"))
    }

    /// Whether a customer is held out.
    pub fn contains(&self, customer: &str) -> bool {
        slot(&self.salt, customer) < self.share
    }
}

/// A variant of an experiment of the same rule set. What refers to it is for customers in that variant alone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InVariant {
    pub(crate) experiment: Arc<Experiment>,
    /// The variant's place in the experiment, from 0.
    pub(crate) variant: usize,
}

impl InVariant {
    /// The variant's own name, without the experiment's.
    pub(crate) fn variant_name(&self) -> &str {
        self.experiment.variants.get(self.variant).map_or("", |variant| &variant.name)
    }

    /// The name of its arm: `EXPERIMENT.VARIANT`.
    pub(crate) fn name(&self) -> String {
        self.experiment.arm(self.variant)
    }
}
