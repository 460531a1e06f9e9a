//! All active rule sets compiled together: names resolved to numbers, guardrails narrowed to what each offer leaves open.
//! Immutable; a decision uses exactly one engine.

pub(crate) mod caps;
mod compile;
mod index;
mod score;

use std::collections::HashMap;
use std::sync::Arc;

use crate::customer::numbers::{OfferNumber, PlaceNumber};
use crate::customer::outcome::Lesson;
use crate::expression::alternatives::Alternatives;
use crate::expression::arm::{Arm, ArmId, slot};
use crate::expression::experiment::{Experiment, Holdout, InVariant};
use crate::expression::term::Terms;
use crate::expression::words::Words;
use crate::expression::{Expression, Tag};
use crate::input::problem::{Problem, quoted};
use crate::learning::Pace;
use crate::rules::catalogue::Catalogue;
use crate::rules::rule_set::{LearnedRule, Locale, Localized, Schedule, best};
use crate::schema::{ChannelId, Schema};

use self::caps::Caps;
pub use self::index::IndexSize;
pub(crate) use self::index::{Index, Known, Lookup};
pub use self::score::Score;

/// The number of a placement in one engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlacementId(pub u32);

/// The number of an offer in one engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OfferId(pub u32);

/// The number of a narrowed guardrail in one engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct GuardrailId(pub(crate) u32);

/// All active rule sets compiled together.
#[derive(Debug)]
pub struct Engine {
    /// The schema it was compiled against.
    pub schema: Arc<Schema>,
    /// Name and version of every rule set in it, by name.
    pub versions: Vec<(Arc<str>, u32)>,
    /// The numbers of its names; all of them have one.
    pub catalogue: Arc<Catalogue>,
    /// `versions` by the number of the rule set.
    numbered_versions: Vec<(u16, u32)>,
    placements: Vec<Placement>,
    placement_ids: HashMap<Box<str>, PlacementId>,
    offers: Vec<Offer>,
    /// Tags of each rule set, in the order of `versions`.
    pub(crate) tags: Vec<Vec<Tag>>,
    /// The normal form of each of those tags where it is false, and where it is true.
    pub(crate) tag_forms: Vec<Vec<[Alternatives; 2]>>,
    /// What the guardrails of all rule sets come to, by [`GuardrailId`]; offers that are alike share them.
    pub(crate) guardrails: Vec<Guardrail>,
    /// Arms of all experiments and of the holdout, by [`ArmId`].
    arms: Vec<Arm>,
    /// Experiments of each rule set, in the order of `versions`.
    pub(crate) experiments: Vec<Vec<Drawn>>,
    /// The customers to whom only fallbacks are shown, and the number of their arm; the next is that of all others.
    pub(crate) holdout: Option<(Holdout, ArmId)>,
    /// Propositions of each group that one decision may show.
    pub(crate) groups: Vec<Group>,
    /// What the normal forms of all conditions look at.
    pub(crate) terms: Terms,
    pub(crate) index: Index,
    pub(crate) caps: Caps,
}

/// A slot that can show something.
#[derive(Debug)]
pub struct Placement {
    /// Its name.
    pub name: Box<str>,
    /// Where it exists.
    pub channels: Vec<ChannelId>,
    /// Its own number in the catalogue.
    pub number: u16,
    /// Its numbers in the catalogue, one for each of those channels.
    pub places: Vec<PlaceNumber>,
    /// How many propositions it shows unless the request says otherwise.
    pub count: usize,
    /// What it shows when nothing survives.
    pub fallback: Option<OfferId>,
    /// Offers that may be shown here in the order in which they rank, as far as it is the same for all customers: by tier,
    /// then score, then name.
    pub offers: Vec<OfferId>,
    /// The priority tiers in it.
    pub(crate) tiers: Vec<Tier>,
    /// Which of the offers have a treatment here in every language.
    pub(crate) in_any_locale: Vec<bool>,
}

/// An experiment whose arms have numbers.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) experiment: Arc<Experiment>,
    /// That of its first variant; the others follow.
    pub(crate) first_arm: ArmId,
}

/// Offers of one placement that have the same priority.
#[derive(Debug)]
pub(crate) struct Tier {
    /// Where it ends in the placement's order.
    pub(crate) end: u32,
    /// Whether all its scores are constant, so that its offers stand in their final order. Else they are in order of name.
    pub(crate) constant: bool,
    /// Whether the propensity of some of them is learned: then the choice is left to chance.
    pub(crate) learned: bool,
}

/// Offers of which one decision shows only so many.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: Box<str>,
    pub(crate) max: usize,
}

/// What is proposed.
#[derive(Debug)]
pub struct Offer {
    /// Its name, unique over all rule sets.
    pub name: Box<str>,
    /// Its number in the catalogue.
    pub number: OfferNumber,
    /// The rule set it comes from.
    pub rule_set: Arc<str>,
    /// Line of the offer in the rule set's text.
    pub line: u32,
    /// Priority tier, 1 (first) to 9.
    pub priority: u8,
    /// What it is worth to the bank.
    pub value: f64,
    /// Index into the engine's tags: those of its rule set.
    pub(crate) tags: usize,
    pub(crate) group: Option<usize>,
    pub(crate) when: Option<Expression>,
    /// Its `when` in normal form.
    pub(crate) when_form: Alternatives,
    /// The variant whose customers alone may see it.
    pub(crate) variant: Option<InVariant>,
    /// That in normal form.
    pub(crate) variant_form: Alternatives,
    pub(crate) guardrails: Vec<GuardrailId>,
    pub(crate) schedule: Option<Schedule>,
    /// Its schedule in normal form.
    pub(crate) schedule_form: Alternatives,
    pub(crate) propensity: Expression,
    /// How its propensity is learned, if it is.
    pub(crate) learned: Option<Arc<LearnedRule>>,
    pub(crate) boost: Expression,
    /// Its score, if that is the same for every customer.
    pub(crate) constant_score: Option<Score>,
    pub(crate) reason: Localized<Box<str>>,
    /// Those of variants first: of two for the same locale, the variant's is chosen.
    pub(crate) treatments: Vec<Treatment>,
}

/// What a guardrail comes to for offers that are alike in the attributes it reads; one that holds for every customer is left
/// out.
#[derive(Debug)]
pub(crate) struct Guardrail {
    pub(crate) name: Box<str>,
    /// Index into the engine's tags: those of the guardrail's rule set.
    pub(crate) tags: usize,
    pub(crate) condition: Expression,
    /// The condition in normal form.
    pub(crate) form: Alternatives,
}

/// How an offer looks.
#[derive(Debug)]
pub struct Treatment {
    /// Its name, unique in the offer.
    pub name: Box<str>,
    /// Its place among the offer's treatments in the catalogue.
    pub number: u16,
    /// The content as JSON text.
    pub json: Arc<[u8]>,
    /// The content as MessagePack.
    pub msgpack: Arc<[u8]>,
    pub(crate) placement: PlacementId,
    pub(crate) locale: Option<Locale>,
    /// The variant whose customers alone see it.
    pub(crate) variant: Option<InVariant>,
}

impl Engine {
    /// The number of the placement of this name.
    pub fn placement_id(&self, name: &str) -> Option<PlacementId> {
        self.placement_ids.get(name).copied()
    }

    /// The placement of this name, if it is on the channel; any channel will do if none is given.
    ///
    /// # Errors
    /// What is wrong with the name, with the nearest one, or on which channels the placement is.
    pub fn placement_on(&self, name: &str, channel: Option<ChannelId>) -> Result<PlacementId, Problem> {
        let Some(id) = self.placement_id(name) else {
            let names = self.placements.iter().map(|placement| &*placement.name);
            let problem = Problem::new(format!("unknown placement {}", quoted(name))).nearest(name, names);
            return Err(if self.placements.is_empty() {
                problem.hint("no rule set is active that defines placements")
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

    /// Placements by [`PlacementId`].
    pub fn placements(&self) -> &[Placement] {
        &self.placements
    }

    /// The placement of this number.
    pub fn placement(&self, id: PlacementId) -> &Placement {
        &self.placements[id.0 as usize]
    }

    /// Offers by [`OfferId`].
    pub fn offers(&self) -> &[Offer] {
        &self.offers
    }

    /// The offer of this number.
    pub fn offer(&self, id: OfferId) -> &Offer {
        &self.offers[id.0 as usize]
    }

    /// The arms that may bear on an offer: those of the experiments of its rule set, and of the holdout.
    pub fn arms_on(&self, offer: &Offer) -> impl Iterator<Item = &Arm> {
        let drawn = self.experiments.get(offer.tags).into_iter().flatten();
        let variants = drawn.map(|Drawn { experiment, first_arm }| (*first_arm, experiment.variants.len()));
        let sides = self.holdout.iter().map(|(_, first)| (*first, Holdout::arms().len()));
        let arms = |(ArmId(first), count)| self.arms.iter().skip(usize::from(first)).take(count);
        sides.chain(variants).flat_map(arms)
    }

    /// The arms that a customer is in, of all experiments, whatever is shown: the side of the holdout, and unless the customer
    /// is held out the variants.
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

    /// Arms of all experiments and of the holdout, by [`ArmId`].
    pub fn arms(&self) -> &[Arm] {
        &self.arms
    }

    /// The arm of this number.
    pub fn arm(&self, id: ArmId) -> &Arm {
        &self.arms[usize::from(id.0)]
    }

    /// How large its index is.
    pub fn index_size(&self) -> IndexSize {
        self.index.size()
    }

    /// Number and version of every rule set in it, that of `offer` first.
    pub fn versions_for(&self, offer: &Offer) -> impl Iterator<Item = (u16, u32)> {
        let own = self.numbered_versions.get(offer.tags).copied();
        let others = self.numbered_versions.iter().copied();
        own.into_iter().chain(others.filter(move |version| Some(*version) != own))
    }

    /// What puts its terms into words.
    pub(crate) fn words(&self) -> Words<'_> {
        Words { schema: &self.schema, terms: &self.terms, tags: &self.tags }
    }

    /// How many offers it has.
    pub fn offer_count(&self) -> usize {
        self.offers.len()
    }
}

impl Placement {
    /// Its number on a channel; none if it is not there.
    pub fn place(&self, channel: ChannelId) -> Option<PlaceNumber> {
        let nth = self.channels.iter().position(|here| *here == channel)?;
        self.places.get(nth).copied()
    }
}

impl Offer {
    /// How outcomes teach its propensity, for customers of this segment; none if it is not learned.
    pub fn lesson(&self, segment: u8) -> Option<Lesson> {
        let Pace { window_s, half_life_s } = self.learned.as_ref()?.pace;
        Some(Lesson { segment, window_s, half_life_s })
    }

    /// How it looks on a placement in a language: its own treatment, a wider one's, the one without a locale; of two for the
    /// same language that of a variant which the customer `is_in`. A language that somebody reads comes before a variant.
    pub(crate) fn treatment(
        &self,
        placement: PlacementId,
        locale: Option<&Locale>,
        is_in: impl Fn(&InVariant) -> bool,
    ) -> Option<&Treatment> {
        let seen = |treatment: &&Treatment| treatment.variant.as_ref().is_none_or(&is_in);
        let here =
            || self.treatments.iter().filter(|treatment| treatment.placement == placement).filter(seen);
        best(locale, here, |treatment| treatment.locale.as_ref())
    }

    /// Whether it has a treatment for every language there, whatever the customer's variants.
    fn is_in_any_locale(&self, placement: PlacementId) -> bool {
        let mut here = self.treatments.iter().filter(|treatment| treatment.placement == placement);
        here.any(|treatment| treatment.locale.is_none() && treatment.variant.is_none())
    }

    /// Its group, if it has one.
    pub(crate) fn group<'e>(&self, engine: &'e Engine) -> Option<&'e Group> {
        self.group.map(|group| &engine.groups[group])
    }
}
