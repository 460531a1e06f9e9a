//! Experiments: which customers get which variant, and how to tell that something went wrong with the split.

use std::ops::Range;
use std::sync::Arc;

pub use crate::insight::sample_ratio::{MISMATCH, SampleRatio, sample_ratio};

use super::arm::{SLOTS, slot};

/// Experiments of one rule set at most.
pub const MAX_EXPERIMENTS: usize = 15;
/// Variants of one experiment at most.
pub const MAX_VARIANTS: usize = 16;
/// Parameters of one rule set at most.
pub const MAX_PARAMETERS: usize = 200;
/// The experiment that the arms of the holdout belong to; no other may be called so.
pub const HOLDOUT: &str = "holdout";

/// Who gets which variant.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// Its name, unique over all active rule sets.
    pub name: Box<str>,
    /// What customers are told apart by; the name of the exclusion group where there is one.
    pub salt: Box<str>,
    /// In the order written. Slots that none of them has are in no variant.
    pub variants: Vec<Variant>,
    /// Its place in its rule set.
    pub(crate) place: usize,
}

/// One way to do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Its name, unique in the experiment.
    pub name: Box<str>,
    /// The slots of the customers in it.
    pub slots: Range<u16>,
}

/// Customers to whom nothing but fallbacks is shown, so that the worth of everything else can be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holdout {
    /// What customers are told apart by.
    pub salt: Box<str>,
    /// Those with a slot below this one are in it.
    pub share: u16,
}

/// The same to customers, wherever it stands in its rule set.
impl PartialEq for Experiment {
    fn eq(&self, other: &Experiment) -> bool {
        (&self.name, &self.salt, &self.variants) == (&other.name, &other.salt, &other.variants)
    }
}

impl Experiment {
    /// The place of the variant of this name.
    pub fn variant(&self, name: &str) -> Option<usize> {
        self.variants.iter().position(|variant| *variant.name == *name)
    }

    /// The place of the variant that customers of a slot are in; `None` if they are in none.
    pub fn variant_at(&self, slot: u16) -> Option<usize> {
        self.variants.iter().position(|variant| variant.slots.contains(&slot))
    }

    /// The name of the arm that a variant is, by the variant's place.
    pub(crate) fn arm(&self, variant: usize) -> String {
        let variant = self.variants.get(variant).map_or("", |variant| &variant.name);
        format!("{}.{variant}", self.name)
    }

    /// The slots of all its variants, which follow each other.
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
    /// The names of its arms: of those who are in it, and of all others.
    pub fn arms() -> [String; 2] {
        ["in", "out"].map(|side| format!("{HOLDOUT}.{side}"))
    }

    /// Whether a customer is in it.
    pub fn contains(&self, customer: &str) -> bool {
        slot(&self.salt, customer) < self.share
    }
}

/// A variant of an experiment of the same rule set: who alone is meant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InVariant {
    pub(crate) experiment: Arc<Experiment>,
    /// Its place in the experiment.
    pub(crate) variant: usize,
}

impl InVariant {
    /// The variant's own name.
    pub(crate) fn variant_name(&self) -> &str {
        self.experiment.variants.get(self.variant).map_or("", |variant| &variant.name)
    }

    /// `EXPERIMENT.VARIANT`.
    pub(crate) fn name(&self) -> String {
        self.experiment.arm(self.variant)
    }
}
