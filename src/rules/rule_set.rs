//! A rule set: what one team has written in one file, checked against the schema. It is immutable. The
//! [engine](crate::engine) is compiled from all rule sets that are active.

mod caps;
mod learned;
mod cldr;
mod language_tag;
mod languages;
mod locale;
mod parse;

use std::sync::Arc;

pub(crate) use self::caps::{BudgetRule, CapRule, CapScope, DAILY_PLACES, OfferCaps, Window};
pub use self::caps::{
    MAX_BUDGET, MAX_BUDGETS, MAX_BUDGETS_PER_OFFER, MAX_CAP, MAX_CAPS_PER_OFFER, MAX_HOLD_S,
    MAX_PLACES_NEEDED,
};
pub use self::languages::Languages;
pub(crate) use self::learned::LearnedRule;
pub use self::learned::MAX_SEGMENT_CONDITIONS;
pub(crate) use self::locale::best;
pub use self::locale::{Locale, Localized};
pub use crate::expression::schedule::Schedule;

use crate::expression::experiment::{Experiment, Holdout, InVariant};
use crate::expression::{Expression, Parameters, Syntax, Tag, TagNames};
use crate::input::cursor::Cursor;
use crate::input::problem::{Place, Problem, Source};
use crate::schema::value::Value;
use crate::schema::{ChannelId, MAX_NAME_BYTES};

/// The most propositions that one placement may show.
pub const MAX_COUNT: usize = 30;
/// The most offers that one rule set may have.
pub const MAX_OFFERS: usize = 20_000;
/// The most treatments that one offer may have.
pub const MAX_TREATMENTS: usize = 500;
/// The most bytes in a treatment's name.
pub const MAX_TREATMENT_NAME_BYTES: usize = 2 * MAX_NAME_BYTES + 1;
/// The most bytes in one treatment's content, written as JSON.
pub const MAX_CONTENT_BYTES: usize = 64 * 1024;
/// The most tags, placements and groups (of each kind) in one rule set.
pub const MAX_DEFINITIONS: usize = 2_000;
/// The most guardrails in one rule set; each is checked for every offer.
pub const MAX_GUARDRAILS: usize = 100;
/// The most warnings that one rule set may accept.
pub const MAX_ACCEPTED: usize = 200;

/// One rule set, checked against the schema.
#[derive(Debug)]
pub struct RuleSet {
    /// The name that `rule_set` gives it.
    pub name: Arc<str>,
    /// What its team says it is for; may be empty.
    pub description: Box<str>,
    pub(crate) source: Arc<Source>,
    /// An upper bound of the values in its text.
    pub(crate) values: usize,
    pub(crate) tag_names: TagNames,
    pub(crate) tags: Vec<Tag>,
    pub(crate) experiments: Vec<ExperimentRule>,
    pub(crate) holdout: Option<HoldoutRule>,
    pub(crate) parameters: Parameters,
    pub(crate) placements: Vec<PlacementRule>,
    pub(crate) groups: Vec<GroupRule>,
    pub(crate) caps: Vec<CapRule>,
    pub(crate) budgets: Vec<BudgetRule>,
    pub(crate) offers: Vec<OfferRule>,
    pub(crate) guardrails: Vec<GuardrailRule>,
    /// The warnings that the team wants to hear no more.
    pub(crate) accepted: Vec<AcceptRule>,
}

/// A warning that is right as it is.
#[derive(Debug)]
pub(crate) struct AcceptRule {
    /// The kind of the warning.
    pub(crate) warning: Box<str>,
    /// Where in the text it is, or what it is inside of: `offers.gold.when`.
    pub(crate) at: Box<str>,
    pub(crate) spot: Spot,
}

/// A place in the rule set's text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spot {
    pub(crate) place: Option<Place>,
    pub(crate) pointer: String,
}

impl Spot {
    /// The place that a cursor points at.
    pub(crate) fn of(cursor: &Cursor<'_, '_>) -> Spot {
        Spot { place: cursor.input.place, pointer: cursor.pointer() }
    }
}

/// A name that refers to something, and where it stands in the text.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    pub(crate) name: Box<str>,
    pub(crate) spot: Spot,
}

#[derive(Debug)]
pub(crate) struct ExperimentRule {
    pub(crate) name: Reference,
    pub(crate) experiment: Arc<Experiment>,
    /// The exclusion group: a customer is in at most one of its experiments.
    pub(crate) exclusion: Option<Box<str>>,
}

#[derive(Debug)]
pub(crate) struct HoldoutRule {
    pub(crate) spot: Spot,
    pub(crate) holdout: Holdout,
}

#[derive(Debug)]
pub(crate) struct PlacementRule {
    pub(crate) name: Reference,
    pub(crate) channels: Vec<ChannelId>,
    pub(crate) count: usize,
    pub(crate) fallback: Option<Reference>,
    pub(crate) caps: Vec<CapRule>,
}

#[derive(Debug)]
pub(crate) struct GroupRule {
    pub(crate) name: Reference,
    pub(crate) max: usize,
    pub(crate) caps: Vec<CapRule>,
}

#[derive(Debug)]
pub(crate) struct GuardrailRule {
    pub(crate) name: Reference,
    pub(crate) syntax: Syntax,
    /// The offer attributes that the condition reads.
    pub(crate) reads: Vec<Box<str>>,
}

#[derive(Debug, Clone)]
pub(crate) struct OfferRule {
    pub(crate) name: Reference,
    pub(crate) placements: Vec<Reference>,
    pub(crate) attributes: Attributes,
    pub(crate) when: Option<Expression>,
    /// The variant whose customers alone may see the offer.
    pub(crate) variant: Option<InVariant>,
    pub(crate) schedule: Option<Schedule>,
    pub(crate) propensity: Expression,
    /// How the propensity is learned, if it is. The expression above means nothing then.
    pub(crate) learned: Option<Arc<LearnedRule>>,
    pub(crate) boost: Expression,
    pub(crate) reason: Localized<Box<str>>,
    pub(crate) treatments: Vec<TreatmentRule>,
    pub(crate) caps: OfferCaps,
}

/// What an offer says about itself.
#[derive(Debug, Clone)]
pub(crate) struct Attributes {
    pub(crate) id: Box<str>,
    pub(crate) priority: u8,
    pub(crate) value: f64,
    pub(crate) group: Option<Reference>,
    pub(crate) own: Vec<(Box<str>, Value<'static>)>,
}

#[derive(Debug, Clone)]
pub(crate) struct TreatmentRule {
    pub(crate) name: Box<str>,
    pub(crate) placement: Reference,
    pub(crate) locale: Option<Locale>,
    pub(crate) variant: Option<InVariant>,
    pub(crate) json: Arc<[u8]>,
    pub(crate) msgpack: Arc<[u8]>,
}

impl RuleSet {
    /// Whether it defines placements. Such rule sets must be pushed before those that use them.
    pub fn defines_placements(&self) -> bool {
        !self.placements.is_empty()
    }

    /// Whether it carries guardrails. Such rule sets must be pushed before all others.
    pub fn carries_guardrails(&self) -> bool {
        !self.guardrails.is_empty()
    }

    /// The number of its offers.
    pub fn offer_count(&self) -> usize {
        self.offers.len()
    }

    /// A problem with what stands at `spot`.
    pub(crate) fn problem(&self, spot: &Spot, detail: impl Into<String>) -> Problem {
        Problem {
            place: spot.place,
            pointer: spot.pointer.clone(),
            source: Some(Arc::clone(&self.source)),
            ..Problem::new(detail)
        }
    }
}

impl OfferRule {
    /// Whether another version says the same about this offer, wherever it stands in the text. The tags it
    /// uses may differ; its parameters and variants may not.
    pub(crate) fn says_the_same(&self, other: &OfferRule) -> bool {
        let when = match (&self.when, &other.when) {
            (Some(mine), Some(theirs)) => mine.says_the_same(theirs),
            (mine, theirs) => mine.is_none() && theirs.is_none(),
        };
        let schedule = |rule: &OfferRule| rule.schedule.as_ref().map(|schedule| schedule.text().to_owned());
        let names = |references: &[Reference]| references.iter().map(|r| r.name.clone()).collect::<Vec<_>>();
        let learned = match (&self.learned, &other.learned) {
            (Some(mine), Some(theirs)) => mine.says_the_same(theirs),
            (mine, theirs) => mine.is_none() && theirs.is_none(),
        };
        when && learned
            && self.propensity.says_the_same(&other.propensity)
            && self.boost.says_the_same(&other.boost)
            && self.variant == other.variant
            && schedule(self) == schedule(other)
            && names(&self.placements) == names(&other.placements)
            && self.attributes.say_the_same(&other.attributes)
            && self.reason == other.reason
            && self.treatments.len() == other.treatments.len()
            && self.treatments.iter().zip(&other.treatments).all(|(one, other)| one.says_the_same(other))
            && self.caps.says_the_same(&other.caps)
    }
}

impl Expression {
    /// Whether another has the same text, and means the same by the parameters in it.
    fn says_the_same(&self, other: &Expression) -> bool {
        self.text == other.text && (!self.text.contains("param") || self.is_same(other))
    }
}

impl TreatmentRule {
    fn says_the_same(&self, other: &TreatmentRule) -> bool {
        self.name == other.name
            && self.placement.name == other.placement.name
            && (&self.locale, &self.variant, &self.json) == (&other.locale, &other.variant, &other.json)
    }
}

/// A number of slots as a percentage.
pub(crate) fn shown_share(slots: u16) -> String {
    (f64::from(slots) / 100.0).to_string()
}

impl Attributes {
    fn say_the_same(&self, other: &Attributes) -> bool {
        let group = |attributes: &Attributes| attributes.group.as_ref().map(|group| group.name.clone());
        self.priority == other.priority
            && self.value == other.value
            && group(self) == group(other)
            && self.own == other.own
    }

    /// Whether the offer does not give this attribute.
    pub(crate) fn is_null(&self, name: &str) -> bool {
        self.value(name) == Value::Null
    }

    /// The value of an attribute; `Null` if the offer does not give it.
    pub(crate) fn value(&self, name: &str) -> Value<'static> {
        match name {
            "id" => Value::Text(self.id.to_string().into()),
            "priority" => Value::Int(i64::from(self.priority)),
            "value" => Value::Double(self.value),
            "group" => {
                self.group.as_ref().map_or(Value::Null, |group| Value::Text(group.name.to_string().into()))
            }
            _ => self
                .own
                .iter()
                .find(|(own, _)| &**own == name)
                .map_or(Value::Null, |(_, value)| value.clone()),
        }
    }
}
