//! The engine: all active rule sets compiled together. Names are resolved to numbers, and guardrails are
//! narrowed to what each offer leaves open. An engine is immutable; a decision uses exactly one.

pub(crate) mod fragment;
mod offer;
mod placement;
mod score;
pub(crate) mod caps;
mod index;
mod compile;

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::customer::numbers::OfferNumber;
use crate::customer::outcome::{BudgetUse, OutcomeKind};
use crate::expression::Tag;
use crate::expression::alternatives::Alternatives;
use crate::expression::arm::{Arm, ArmId, slot};
use crate::expression::experiment::{Holdout, InVariant};
use crate::expression::normalise::FormsLeft;
use crate::expression::term::Terms;
use crate::expression::words::Words;
use crate::input::problem::{Problem, quoted};
use crate::rules::catalogue::Catalogue;
use crate::rules::rule_set::Languages;
use crate::schema::value::Time;
use crate::schema::{ChannelId, Schema};
use smallvec::SmallVec;

use self::caps::Caps;
pub(crate) use self::caps::customer_budgets;
use self::fragment::Fragment;
pub use self::index::IndexSize;
pub(crate) use self::index::{Earlier, Index, Known, Lookup};
pub(crate) use self::offer::{Drawn, Group, Guardrail, GuardrailId};
pub use self::offer::{Offer, OfferId, Reason, Treatment};
pub(crate) use self::placement::Tier;
pub use self::placement::{Placement, PlacementId};
pub(crate) use self::score::CERTAIN;
pub use self::score::Score;

/// All active rule sets compiled together.
#[derive(Debug)]
pub struct Engine {
    /// The schema that it was compiled against.
    pub schema: Arc<Schema>,
    /// The name and version of every rule set in it, in the order of their names.
    pub versions: Vec<(Arc<str>, u32)>,
    /// The same as answers say it.
    pub(crate) head: Fragment,
    /// The numbers of its names; every name has one.
    pub catalogue: Arc<Catalogue>,
    /// The same versions with the numbers of their rule sets.
    numbered_versions: Vec<(u16, u32)>,
    placements: Vec<Placement>,
    placement_ids: HashMap<Box<str>, PlacementId, FixedState>,
    offers: Vec<Offer>,
    /// Tags of each rule set, in the order of `versions`.
    pub(crate) tags: Vec<Vec<Tag>>,
    /// Two normal forms of each of those tags: where it is false, and where it is true.
    pub(crate) tag_forms: Vec<Vec<[Alternatives; 2]>>,
    /// The guardrails of all rule sets, narrowed to their offers, by [`GuardrailId`]. Offers that are alike
    /// share them.
    pub(crate) guardrails: Vec<Guardrail>,
    /// Arms of all experiments and of the holdout, by [`ArmId`].
    arms: Vec<Arm>,
    /// Experiments of each rule set, in the order of `versions`.
    pub(crate) experiments: Vec<Vec<Drawn>>,
    /// The holdout, and the number of the arm of those who see only fallbacks. The next number is the arm
    /// of everyone else.
    pub(crate) holdout: Option<(Holdout, ArmId)>,
    /// Groups of offers, with how many of each one decision may show.
    pub(crate) groups: Vec<Group>,
    /// The terms that the normal forms of all conditions look at.
    pub(crate) terms: Terms,
    pub(crate) index: Arc<Index>,
    /// What its conditions left of the bounds on normal forms.
    forms_left: FormsLeft,
    /// How many of its terms nothing looks at: those of conditions that came to nothing.
    idle_terms: usize,
    pub(crate) caps: Caps,
}

impl Engine {
    /// The number of a placement, by its name.
    pub fn placement_id(&self, name: &str) -> Option<PlacementId> {
        self.placement_ids.get(name).copied()
    }

    /// The number of a placement, by its name, if it exists on the channel. Without a channel, any will do.
    ///
    /// # Errors
    /// An unknown name, with the nearest known one; or a wrong channel, with the right ones.
    pub fn placement_on(&self, name: &str, channel: Option<ChannelId>) -> Result<PlacementId, Problem> {
        let Some(id) = self.placement_id(name) else {
            let names = self.placements.iter().map(|placement| &*placement.name);
            let problem = Problem::new(format!("unknown placement {}", quoted(name))).nearest(name, names);
            return Err(if self.placements.is_empty() {
                problem.hint("no active rule set defines placements")
            } else {
                problem
            });
        };
        let channels = &self.placement(id).channels;
        match channel {
            Some(channel) if !channels.contains(&channel) => {
                let word = |channel: ChannelId| {
                    self.schema.channels().word(u32::from(channel.0)).unwrap_or_default()
                };
                let names: Vec<&str> = channels.iter().map(|channel| word(*channel)).collect();
                let detail = format!("placement `{name}` is not on channel `{}`", word(channel));
                Err(Problem::new(detail).hint(format!("it is on {}", names.join(", "))))
            }
            _ => Ok(id),
        }
    }

    /// All placements of the engine, by [`PlacementId`].
    pub fn placements(&self) -> &[Placement] {
        &self.placements
    }

    /// The placement with this number.
    pub fn placement(&self, id: PlacementId) -> &Placement {
        &self.placements[id.0 as usize]
    }

    /// All offers of the engine, by [`OfferId`].
    pub fn offers(&self) -> &[Offer] {
        &self.offers
    }

    /// The offer with this number.
    pub fn offer(&self, id: OfferId) -> &Offer {
        &self.offers[id.0 as usize]
    }

    /// The arms that may bear on an offer: those of its rule set's experiments, and of the holdout.
    pub fn arms_on(&self, offer: &Offer) -> impl Iterator<Item = &Arm> {
        let drawn = self.experiments.get(offer.tags).into_iter().flatten();
        let variants = drawn.map(|Drawn { experiment, first_arm }| (*first_arm, experiment.variants.len()));
        let sides = self.holdout.iter().map(|(_, first)| (*first, Holdout::arms().len()));
        let arms = |(ArmId(first), count)| self.arms.iter().skip(usize::from(first)).take(count);
        sides.chain(variants).flat_map(arms)
    }

    /// The arms that a customer is in, whatever is shown: the side of the holdout and, unless they are held
    /// out, the variant of every experiment.
    pub fn arms_for(&self, customer: &str, held_out: bool) -> impl Iterator<Item = &Arm> {
        let side = self.holdout.as_ref().map(|(_, first)| ArmId(first.0 + u16::from(!held_out)));
        let drawn = self.experiments.iter().flatten().filter(move |_| !held_out);
        let mut last: Option<(&str, u16)> = None; // experiments of a group have one salt
        let variants = drawn.filter_map(move |Drawn { experiment, first_arm }| {
            let known = last.filter(|(salt, _)| **salt == *experiment.salt);
            let slot = known.map_or_else(|| slot(&experiment.salt, customer), |(_, slot)| slot);
            last = Some((&experiment.salt, slot));
            let variant = u16::try_from(experiment.variant_at(slot)?).ok()?;
            Some(ArmId(first_arm.0 + variant))
        });
        side.into_iter().chain(variants).map(|id| self.arm(id))
    }

    /// Every experiment and the holdout: the salt of its slots, and its arms.
    pub fn experiments(&self) -> impl Iterator<Item = (&str, &[Arm])> {
        let drawn = self.experiments.iter().flatten();
        let drawn = drawn.map(|Drawn { experiment, first_arm }| {
            (&*experiment.salt, usize::from(first_arm.0), experiment.variants.len())
        });
        let holdout = self.holdout.iter();
        let holdout =
            holdout.map(|(holdout, first)| (&*holdout.salt, usize::from(first.0), Holdout::arms().len()));
        let arms = |(salt, first, count)| (salt, self.arms.get(first..first + count).unwrap_or_default());
        drawn.chain(holdout).map(arms)
    }

    /// The names of all experiments, without the holdout.
    pub fn experiment_names(&self) -> impl Iterator<Item = &str> {
        self.experiments.iter().flatten().map(|drawn| &*drawn.experiment.name)
    }

    /// Whether something is shown because a customer is in the variant of this experiment: an offer that is
    /// for it, or a treatment of an offer that has one for a variant of the experiment.
    pub fn is_shown(&self, experiment: &str, variant: &str) -> bool {
        let is_of = |of: &InVariant| *of.experiment.name == *experiment;
        let is_this = |of: &InVariant| is_of(of) && of.variant_name() == variant;
        let treatments =
            |offer: &Offer| offer.treatments.iter().any(|t| t.variant.as_ref().is_some_and(is_of));
        self.offers.iter().any(|offer| offer.variant.as_ref().is_some_and(is_this) || treatments(offer))
    }

    /// Those of a customer's `arms` that chose how they are shown an offer. In another variant of the
    /// experiment, or in none, they would be shown another treatment of it, or not the offer at all.
    pub fn chosen_by<'a>(
        &'a self,
        offer: &'a Offer,
        treatment: &'a Treatment,
        locale: Option<&'a Languages>,
        arms: &'a [ArmId],
    ) -> impl Iterator<Item = &'a Arm> {
        let experiments = self.experiments.get(offer.tags).filter(|_| offer.variants().next().is_some());
        let drawn = move || experiments.into_iter().flatten();
        let variant_in = |Drawn { experiment, first_arm }: &Drawn| {
            let variants = first_arm.0..first_arm.0 + experiment.variants.len() as u16;
            arms.iter().find(|arm| variants.contains(&arm.0)).map(|arm| usize::from(arm.0 - first_arm.0))
        };
        let is_in = move |of: &InVariant| {
            let own = drawn().find(|drawn| drawn.experiment.name == of.experiment.name);
            own.and_then(variant_in) == Some(of.variant)
        };
        drawn().filter_map(move |drawn| {
            let variant = variant_in(drawn)?;
            let decides = offer.depends_on(&drawn.experiment, variant, treatment, locale, is_in);
            decides.then(|| self.arm(ArmId(drawn.first_arm.0 + variant as u16)))
        })
    }

    /// Arms of all experiments and of the holdout, by [`ArmId`].
    pub fn arms(&self) -> &[Arm] {
        &self.arms
    }

    /// The arm with this number.
    pub fn arm(&self, id: ArmId) -> &Arm {
        &self.arms[usize::from(id.0)]
    }

    /// The size of its index.
    pub fn index_size(&self) -> IndexSize {
        self.index.size()
    }

    /// The number and version of every rule set in it; that of `offer` comes first.
    pub fn versions_for(&self, offer: &Offer) -> impl Iterator<Item = (u16, u32)> {
        let own = self.numbered_versions.get(offer.tags).copied();
        let others = self.numbered_versions.iter().copied();
        own.into_iter().chain(others.filter(move |version| Some(*version) != own))
    }

    /// What puts its terms into words.
    pub(crate) fn words(&self) -> Words<'_> {
        Words { schema: &self.schema, terms: &self.terms, tags: &self.tags }
    }

    /// The number of offers in all rule sets.
    pub fn offer_count(&self) -> usize {
        self.offers.len()
    }

    /// The group that an offer belongs to, if any.
    pub(crate) fn group_of(&self, offer: &Offer) -> Option<&Group> {
        offer.group.map(|group| &self.groups[group])
    }

    /// How long a contact must be kept so that every cap, suppression and budget in force can be counted:
    /// seconds by [outcome](OutcomeKind::index). `u32::MAX` means for ever.
    pub fn keep_s(&self) -> [u32; OutcomeKind::COUNT] {
        self.caps.keep_s
    }

    /// The budgets that an outcome of an offer uses up, which happened `at` and is heard of `now`. For an
    /// impression with a token, give the time of the decision: then it counts on the day for which its place
    /// was held.
    pub fn budget_uses(
        &self,
        offer: OfferNumber,
        kind: OutcomeKind,
        at: Time,
        now: Time,
    ) -> SmallVec<[BudgetUse; 2]> {
        let Some(id) = self.offer_id(offer) else { return SmallVec::new() };
        let budgets = self.caps.budgets(id).filter(|(_, budget)| budget.on == kind);
        budgets.map(|(_, budget)| budget.late_use(at, now)).collect()
    }

    /// The offer with this number in the catalogue; `None` if no active rule set has it any more.
    pub fn offer_id(&self, number: OfferNumber) -> Option<OfferId> {
        self.caps.offer_ids.get(number.0 as usize).copied().flatten()
    }
}
