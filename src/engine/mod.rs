//! The engine: all active rule sets compiled together. Names are resolved to numbers, and guardrails are
//! narrowed to what each offer leaves open. An engine is immutable; a decision uses exactly one.

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
    /// The schema that it was compiled against.
    pub schema: Arc<Schema>,
    /// Name and version of every rule set in it, in the order of their names.
    pub versions: Vec<(Arc<str>, u32)>,
    /// The numbers of its names; every name has one.
    pub catalogue: Arc<Catalogue>,
    /// The same versions with the numbers of their rule sets.
    numbered_versions: Vec<(u16, u32)>,
    placements: Vec<Placement>,
    placement_ids: HashMap<Box<str>, PlacementId>,
    offers: Vec<Offer>,
    /// Tags of each rule set, in the order of `versions`.
    pub(crate) tags: Vec<Vec<Tag>>,
    /// Two normal forms of each of those tags: where it is false, and where it is true.
    pub(crate) tag_forms: Vec<Vec<[Alternatives; 2]>>,
    /// What the guardrails of all rule sets come to, by [`GuardrailId`]. Offers that are alike share them.
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
    pub(crate) index: Index,
    pub(crate) caps: Caps,
}

/// A slot that can show something, such as `home_banner`.
#[derive(Debug)]
pub struct Placement {
    /// The name that requests use.
    pub name: Box<str>,
    /// The channels on which it exists.
    pub channels: Vec<ChannelId>,
    /// The placement's number in the catalogue.
    pub number: u16,
    /// Its numbers in the catalogue together with each of those channels.
    pub places: Vec<PlaceNumber>,
    /// How many propositions it shows unless the request says otherwise.
    pub count: usize,
    /// What it shows when no offer survives.
    pub fallback: Option<OfferId>,
    /// Offers that may be shown here, in the order in which they rank, as far as it is the same for all
    /// customers: by tier, then score, then name.
    pub offers: Vec<OfferId>,
    /// The priority tiers of those offers.
    pub(crate) tiers: Vec<Tier>,
    /// Which of the offers have a treatment here in every language.
    pub(crate) in_any_locale: Vec<bool>,
}

/// An experiment whose arms have numbers.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) experiment: Arc<Experiment>,
    /// The arm of its first variant; the others follow.
    pub(crate) first_arm: ArmId,
}

/// The offers of one placement that have the same priority.
#[derive(Debug)]
pub(crate) struct Tier {
    /// Where it ends in the placement's order.
    pub(crate) end: u32,
    /// Whether all its scores are constant, so that its offers stand in their final order. Otherwise they
    /// stand in order of name.
    pub(crate) constant: bool,
    /// Whether some of its propensities are learned. Then chance decides.
    pub(crate) learned: bool,
}

/// Offers that share a limit: one decision shows at most `max` of them.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: Box<str>,
    pub(crate) max: usize,
}

/// What is proposed, independent of how it looks.
#[derive(Debug)]
pub struct Offer {
    /// The offer's name, unique over all rule sets.
    pub name: Box<str>,
    /// The offer's number in the catalogue.
    pub number: OfferNumber,
    /// The rule set that it comes from.
    pub rule_set: Arc<str>,
    /// Line of the offer in the rule set's text, from 1.
    pub line: u32,
    /// Priority tier, 1 (first) to 9.
    pub priority: u8,
    /// What a yes is worth to the bank, at least 0.
    pub value: f64,
    /// Index into the engine's tags: those of its rule set.
    pub(crate) tags: usize,
    pub(crate) group: Option<usize>,
    pub(crate) when: Option<Expression>,
    /// The offer's `when` in normal form.
    pub(crate) when_form: Alternatives,
    /// The variant whose customers alone may see it.
    pub(crate) variant: Option<InVariant>,
    /// The condition of being in that variant, in normal form.
    pub(crate) variant_form: Alternatives,
    pub(crate) guardrails: Vec<GuardrailId>,
    pub(crate) schedule: Option<Schedule>,
    /// The offer's schedule in normal form.
    pub(crate) schedule_form: Alternatives,
    pub(crate) propensity: Expression,
    /// How its propensity is learned, if it is.
    pub(crate) learned: Option<Arc<LearnedRule>>,
    pub(crate) boost: Expression,
    /// Its score, if that is the same for every customer.
    pub(crate) constant_score: Option<Score>,
    pub(crate) reason: Localized<Box<str>>,
    /// Treatments of variants come first, so that they win over others for the same locale.
    pub(crate) treatments: Vec<Treatment>,
}

/// What a guardrail comes to for offers that are alike in the attributes it reads. One that holds for every
/// customer is left out.
#[derive(Debug)]
pub(crate) struct Guardrail {
    pub(crate) name: Box<str>,
    /// Index into the engine's tags: those of the guardrail's rule set.
    pub(crate) tags: usize,
    pub(crate) condition: Expression,
    /// The condition in normal form.
    pub(crate) form: Alternatives,
}

/// How an offer looks on a placement, in a language and a variant.
#[derive(Debug)]
pub struct Treatment {
    /// The treatment's name, unique within the offer.
    pub name: Box<str>,
    /// Its place among the offer's treatments in the catalogue.
    pub number: u16,
    /// The content as JSON text.
    pub json: Arc<[u8]>,
    /// The same content as MessagePack.
    pub msgpack: Arc<[u8]>,
    pub(crate) placement: PlacementId,
    pub(crate) locale: Option<Locale>,
    /// The variant whose customers alone see it.
    pub(crate) variant: Option<InVariant>,
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

    /// Number and version of every rule set in it; that of `offer` comes first.
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
}

impl Placement {
    /// Its number on a channel; `None` if it does not exist there.
    pub fn place(&self, channel: ChannelId) -> Option<PlaceNumber> {
        let nth = self.channels.iter().position(|here| *here == channel)?;
        self.places.get(nth).copied()
    }
}

impl Offer {
    /// How outcomes teach its propensity, for customers of this segment; `None` if it is not learned.
    pub fn lesson(&self, segment: u8) -> Option<Lesson> {
        let Pace { window_s, half_life_s } = self.learned.as_ref()?.pace;
        Some(Lesson { segment, window_s, half_life_s })
    }

    /// How the offer looks on a placement in a language: the treatment of that language, else of a wider
    /// one, else the one without a locale. Of two for the same language, it takes that of a variant which
    /// the customer `is_in`. Language comes before variant.
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

    /// Whether it has a treatment there for every language, whatever the customer's variants.
    fn is_in_any_locale(&self, placement: PlacementId) -> bool {
        let mut here = self.treatments.iter().filter(|treatment| treatment.placement == placement);
        here.any(|treatment| treatment.locale.is_none() && treatment.variant.is_none())
    }

    /// The group that it belongs to, if any.
    pub(crate) fn group<'e>(&self, engine: &'e Engine) -> Option<&'e Group> {
        self.group.map(|group| &engine.groups[group])
    }
}
