//! What can be shown: an offer with everything its rule set says of it, resolved.

use std::sync::Arc;

use super::fragment::Fragment;
use super::placement::PlacementId;
use super::score::{CERTAIN, Score};
use crate::customer::numbers::OfferNumber;
use crate::customer::outcome::Lesson;
use crate::expression::Expression;
use crate::expression::alternatives::Alternatives;
use crate::expression::arm::ArmId;
use crate::expression::experiment::{Experiment, InVariant};
use crate::learning::Pace;
use crate::rules::rule_set::{Languages, LearnedRule, Locale, Localized, Schedule, best};

/// The number of an offer in one engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OfferId(pub u32);

/// The number of a narrowed guardrail in one engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct GuardrailId(pub(crate) u32);

/// What is proposed, independent of how it looks.
#[derive(Debug)]
pub struct Offer {
    /// The offer's name, unique over all rule sets.
    pub name: Box<str>,
    /// The offer's number in the catalogue.
    pub number: OfferNumber,
    /// The rule set that it comes from.
    pub rule_set: Arc<str>,
    /// The line of the offer in the rule set's text, from 1.
    pub line: u32,
    /// Priority tier, 1 (first) to 9.
    pub priority: u8,
    /// What a yes is worth to the bank, at least 0.
    pub value: f64,
    /// An index into the engine's tags: those of its rule set.
    pub(crate) tags: usize,
    pub(crate) group: Option<usize>,
    pub(crate) when: Option<Expression>,
    /// The offer's `when` in normal form. The next engine may have the same.
    pub(crate) when_form: Arc<Alternatives>,
    /// The variant whose customers alone may see it.
    pub(crate) variant: Option<InVariant>,
    /// The condition of being in that variant, in normal form.
    pub(crate) variant_form: Arc<Alternatives>,
    pub(crate) guardrails: Vec<GuardrailId>,
    pub(crate) schedule: Option<Schedule>,
    /// The offer's schedule in normal form.
    pub(crate) schedule_form: Arc<Alternatives>,
    pub(crate) propensity: Expression,
    /// How its propensity is learned, if it is.
    pub(crate) learned: Option<Arc<LearnedRule>>,
    pub(crate) boost: Expression,
    /// Its score, if that is the same for every customer.
    pub(crate) constant_score: Option<Score>,
    /// Score and propensity as answers say them, if its score is constant.
    pub(crate) numbers: Option<Fragment>,
    pub(crate) reason: Localized<Reason>,
    /// Treatments of variants come first, so that they win over others for the same locale.
    pub(crate) treatments: Vec<Treatment>,
}

/// A guardrail, narrowed to offers that are alike in the attributes it reads. One that holds for every
/// customer is left out.
#[derive(Debug)]
pub(crate) struct Guardrail {
    pub(crate) name: Box<str>,
    /// An index into the engine's tags: those of the guardrail's rule set.
    pub(crate) tags: usize,
    pub(crate) condition: Expression,
    /// The condition in normal form.
    pub(crate) form: Alternatives,
}

/// Why an offer is shown, in one language.
#[derive(Debug)]
pub struct Reason {
    /// What people read.
    pub text: Box<str>,
    /// The reason as answers say it.
    pub(crate) fragment: Fragment,
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
    /// How answers begin a proposition of it.
    pub(crate) head: Fragment,
    pub(crate) placement: PlacementId,
    pub(crate) locale: Option<Locale>,
    /// The variant whose customers alone see it.
    pub(crate) variant: Option<InVariant>,
}

/// Offers that share a limit: one decision shows at most `max` of them.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: Box<str>,
    pub(crate) max: usize,
}

/// An experiment whose arms have numbers.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) experiment: Arc<Experiment>,
    /// The arm of its first variant; the others follow.
    pub(crate) first_arm: ArmId,
}

impl Reason {
    pub(crate) fn new(text: &str) -> Reason {
        Reason { text: text.into(), fragment: Fragment::of_reason(text) }
    }
}

impl Offer {
    /// How outcomes teach its propensity, for customers of this segment; `None` if it is not learned.
    pub fn lesson(&self, segment: u8) -> Option<Lesson> {
        let Pace { window_s, half_life_s } = self.learned.as_ref()?.pace;
        Some(Lesson { segment, window_s, half_life_s })
    }

    /// How the offer looks on a placement to who asks for these languages: the treatment that serves them
    /// best, else the one without a locale. Of two for the same language, it takes that of a variant which
    /// the customer `is_in`. Language comes before variant.
    pub(crate) fn treatment(
        &self,
        placement: PlacementId,
        locale: Option<&Languages>,
        is_in: impl Fn(&InVariant) -> bool,
    ) -> Option<&Treatment> {
        let here = self.treatments.iter().filter(|treatment| treatment.placement == placement);
        let seen = |treatment: &&Treatment| treatment.variant.as_ref().is_none_or(&is_in);
        best(locale, here, |treatment| treatment.locale.as_ref(), seen)
    }

    /// What answers say of this score and propensity, if it is what they always say of the offer.
    pub(crate) fn numbers_of(&self, score: f64, propensity: f64) -> Option<&Fragment> {
        let is_usual = |constant: &Score| constant.score.to_bits() == score.to_bits();
        let is_certain = propensity.to_bits() == CERTAIN.to_bits();
        self.numbers.as_ref().filter(|_| is_certain && self.constant_score.as_ref().is_some_and(is_usual))
    }

    /// The numbers of its treatments, as [`Treatment::number`].
    pub fn treatment_numbers(&self) -> impl Iterator<Item = u16> + '_ {
        self.treatments.iter().map(|treatment| treatment.number)
    }

    /// The variants that it or its treatments are for.
    pub(crate) fn variants(&self) -> impl Iterator<Item = &InVariant> {
        let treatments = self.treatments.iter().filter_map(|treatment| treatment.variant.as_ref());
        self.variant.iter().chain(treatments)
    }

    /// Whether a customer in this variant of an experiment is shown the treatment because they are in it.
    /// `is_in` says in which variants of other experiments they are.
    pub(super) fn depends_on(
        &self,
        experiment: &Experiment,
        variant: usize,
        treatment: &Treatment,
        locale: Option<&Languages>,
        is_in: impl Fn(&InVariant) -> bool,
    ) -> bool {
        let is_of = |of: &InVariant| of.experiment.name == experiment.name;
        if self.variant.as_ref().is_some_and(is_of) {
            return true;
        }
        // The last number stands for customers in none of its variants.
        let mut others = (0..=experiment.variants.len()).filter(|other| *other != variant);
        others.any(|other| {
            let is_in = |of: &InVariant| if is_of(of) { of.variant == other } else { is_in(of) };
            let instead = self.treatment(treatment.placement, locale, is_in);
            instead.is_none_or(|instead| !std::ptr::eq(instead, treatment))
        })
    }

    /// Whether it has a treatment there for every language, whatever the customer's variants.
    pub(super) fn is_in_any_locale(&self, placement: PlacementId) -> bool {
        let mut here = self.treatments.iter().filter(|treatment| treatment.placement == placement);
        here.any(|treatment| treatment.locale.is_none() && treatment.variant.is_none())
    }
}
