//! Warnings about what is valid but unlikely to be intended: conditions that never hold, offers that are
//! never shown, tags that nobody uses.
//!
//! Every warning is certain, because it is found on normal forms. The absence of warnings proves nothing.
//! Time and number are bounded: each offer is compared with a bounded number of others.

mod accepted;
mod caps;
mod conditions;
mod content;
mod duplicates;
mod experiments;
mod features;
mod guardrails;
mod names;
mod places;
mod ranking;
mod schedules;
mod stopping;
#[cfg(test)]
mod tests;
mod texts;
mod treatments;
mod variants;

use std::sync::Arc;

use crate::engine::{Engine, Offer};
use crate::expression::alternatives::Alternatives;
use crate::expression::faults::MAX_WORK;
use crate::expression::normalise::Normaliser;
use crate::expression::words::Words;
use crate::input::problem::{Problem, Source};
use crate::rules::rule_set::RuleSet;
use crate::schema::value::Time;

pub use self::accepted::accept_aside;
use self::places::Text;
use super::guardrails::GuardrailFacts;

/// The most warnings that one analysis keeps; further ones are only counted.
pub const MAX_WARNINGS: usize = 100;
/// For how many warnings that would not be kept the place is looked up, to see whether it is accepted.
const MAX_LOOKED_UP: usize = 1_000;

/// Something valid that is unlikely to be intended.
#[derive(Debug, Clone)]
pub struct Warning {
    /// The kind of the warning, such as `never_wins`.
    pub kind: WarningKind,
    /// Where it is, what it is, and what to try.
    pub problem: Problem,
    /// The rule set in whose text it is.
    pub rule_set: Arc<str>,
    /// The other rule set that is involved, if any: the one whose guardrail or offer is in the way.
    pub by: Option<Arc<str>>,
    /// The name of the offer it is about, if it is about one.
    pub offer: Option<Box<str>>,
}

/// The kinds of warnings that an analysis gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarningKind {
    /// A condition, or a part of it, never holds.
    NeverTrue,
    /// A condition, or a part of it, always holds.
    AlwaysTrue,
    /// A part of a condition changes nothing.
    Redundant,
    /// An offer's condition and a guardrail contradict each other.
    Guardrail,
    /// A guardrail stops no customer on any offer.
    StopsNobody,
    /// A guardrail stops every customer on each offer that it may stop at all.
    StopsEverybody,
    /// No golden decision shows that a guardrail stops an offer.
    Untested,
    /// Other offers always rank before this one.
    NeverWins,
    /// A schedule is over, or never meets the offer's condition.
    Schedule,
    /// An offer has no treatment for a language.
    Treatment,
    /// A feature that is read is missing for every customer.
    Feature,
    /// Two offers or tags ask for the same, or two experiments split customers alike.
    Duplicate,
    /// No condition uses a tag.
    UnusedTag,
    /// Nothing depends on an experiment.
    UnusedExperiment,
    /// No expression uses a parameter.
    UnusedParameter,
    /// A cap never comes into play, because another always acts first.
    Cap,
    /// Numbers that the node gives to names are nearly used up.
    Numbers,
    /// Only one side names a group, a placement or a budget, or a guardrail compares with an unknown name.
    OneSided,
    /// A locale that requests hardly name.
    Locale,
    /// Customers of a variant do not see its treatment.
    HiddenVariant,
    /// A text probably says something else than was meant.
    Text,
    /// Content or a reason holds a link or a character that is not allowed for all channels.
    Content,
    /// `accept` names a warning that there is not.
    Accept,
    /// A file or folder of a bundle is not read.
    File,
}

impl WarningKind {
    /// All kinds.
    pub const ALL: [WarningKind; 24] = [
        WarningKind::NeverTrue,
        WarningKind::AlwaysTrue,
        WarningKind::Redundant,
        WarningKind::Guardrail,
        WarningKind::StopsNobody,
        WarningKind::StopsEverybody,
        WarningKind::Untested,
        WarningKind::NeverWins,
        WarningKind::Schedule,
        WarningKind::Treatment,
        WarningKind::Feature,
        WarningKind::Duplicate,
        WarningKind::UnusedTag,
        WarningKind::UnusedExperiment,
        WarningKind::UnusedParameter,
        WarningKind::Cap,
        WarningKind::Numbers,
        WarningKind::OneSided,
        WarningKind::Locale,
        WarningKind::HiddenVariant,
        WarningKind::Text,
        WarningKind::Content,
        WarningKind::Accept,
        WarningKind::File,
    ];

    /// The kind's name in answers.
    pub fn name(self) -> &'static str {
        match self {
            WarningKind::NeverTrue => "never_true",
            WarningKind::AlwaysTrue => "always_true",
            WarningKind::Redundant => "redundant",
            WarningKind::Guardrail => "guardrail",
            WarningKind::StopsNobody => "guardrail_stops_nobody",
            WarningKind::StopsEverybody => "guardrail_stops_everybody",
            WarningKind::Untested => "guardrail_untested",
            WarningKind::NeverWins => "never_wins",
            WarningKind::Schedule => "schedule",
            WarningKind::Treatment => "treatment",
            WarningKind::Feature => "feature",
            WarningKind::Duplicate => "duplicate",
            WarningKind::UnusedTag => "unused_tag",
            WarningKind::UnusedExperiment => "unused_experiment",
            WarningKind::UnusedParameter => "unused_parameter",
            WarningKind::Cap => "cap",
            WarningKind::Numbers => "numbers",
            WarningKind::OneSided => "one_sided",
            WarningKind::Locale => "locale",
            WarningKind::HiddenVariant => "hidden_variant",
            WarningKind::Text => "text",
            WarningKind::Content => "content",
            WarningKind::Accept => "accept",
            WarningKind::File => "file",
        }
    }
}

/// All warnings of one analysis, by rule set and place; at most [`MAX_WARNINGS`] are kept.
#[derive(Debug, Clone, Default)]
pub struct Warnings {
    list: Vec<Warning>,
    /// How many more were found but not kept.
    pub omitted: usize,
    /// How many were found and left out, because their rule set accepts them.
    pub accepted: usize,
}

impl Warnings {
    /// The warnings that were kept.
    pub fn iter(&self) -> std::slice::Iter<'_, Warning> {
        self.list.iter()
    }

    /// As [`Problems::rename_sources`](crate::input::problem::Problems::rename_sources).
    pub fn rename_sources(&mut self, renamed: impl Fn(&Arc<Source>) -> Option<Arc<Source>>) {
        self.list.iter_mut().for_each(|warning| warning.problem.rename_source(&renamed));
    }

    /// Adds warnings about a text or file that belongs to no rule set.
    pub fn add(&mut self, kind: WarningKind, problems: impl IntoIterator<Item = Problem>) {
        for problem in problems {
            if self.list.len() < MAX_WARNINGS {
                self.list.push(Warning { kind, problem, rule_set: "".into(), by: None, offer: None });
            } else {
                self.omitted += 1;
            }
        }
    }

    /// Adds the warnings of another list.
    pub fn extend(&mut self, other: &Warnings) {
        let room = MAX_WARNINGS.saturating_sub(self.list.len());
        self.list.extend(other.list.iter().take(room).cloned());
        self.omitted += other.omitted + other.list.len().saturating_sub(room);
        self.accepted += other.accepted;
    }

    /// Whether no warning was kept.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds a warning, or counts it if there are enough.
    pub fn push(&mut self, warning: Warning) {
        if self.list.len() < MAX_WARNINGS {
            self.list.push(warning);
        } else {
            self.omitted += 1;
        }
    }

    /// How many were found, including those not kept.
    pub fn count(&self) -> usize {
        self.list.len() + self.omitted
    }
}

/// What an analysis knows besides the rule sets, and what it is about.
#[derive(Clone, Copy)]
pub struct AnalysisScope<'k> {
    /// When the analysis is made: what is over then is over for good.
    pub now: Time,
    /// The words of all customers' rows combined by *or*, if there are customers. A feature that is missing
    /// here is missing for everyone.
    pub filled: Option<&'k [u64]>,
    /// How many customers each guardrail stops, and in which golden decisions.
    pub guardrails: GuardrailFacts<'k>,
    /// Whether the rule sets are only some of those that will be active together. Then nothing is said about
    /// what the others may bring.
    pub alone: bool,
    /// Keeps only warnings that involve one of these rule sets; `None` keeps all.
    pub about: Option<&'k [&'k str]>,
}

impl AnalysisScope<'static> {
    /// An analysis of everything, which knows only the time.
    pub fn at(now: Time) -> AnalysisScope<'static> {
        AnalysisScope { now, filled: None, guardrails: GuardrailFacts::default(), alone: false, about: None }
    }
}

/// Finds what is valid but unlikely to be intended in an engine and the rule sets it was compiled from.
pub fn analyse(engine: &Engine, rule_sets: &[Arc<RuleSet>], known: &AnalysisScope<'_>) -> Warnings {
    let mut sets: Vec<&RuleSet> = rule_sets.iter().map(|set| &**set).collect();
    sets.sort_by(|a, b| a.name.cmp(&b.name)); // as the engine numbers them
    let names = |(set, (name, _)): (&&RuleSet, &(Arc<str>, u32))| set.name == *name;
    if sets.len() != engine.versions.len() || !sets.iter().zip(&engine.versions).all(names) {
        return Warnings::default(); // not what it was compiled from
    }
    let tags = engine.tags.iter().map(Vec::as_slice).collect();
    let mut analysis = Analysis {
        engine,
        known: *known,
        normaliser: Normaliser::over(&engine.schema, tags, engine.terms.clone()),
        texts: sets.iter().map(|set| Text::new(set)).collect(),
        told: vec![false; engine.offer_count()],
        told_guardrails: Vec::new(),
        work: MAX_WORK,
        used: sets.iter().map(|set| vec![false; set.accepted.len()]).collect(),
        to_look_up: MAX_LOOKED_UP,
        sets,
        warnings: Warnings::default(),
    };
    analysis.conditions();
    analysis.schedules();
    analysis.guardrails();
    analysis.stopping();
    analysis.duplicates();
    analysis.ranking();
    analysis.treatments();
    analysis.variants();
    analysis.one_sided();
    analysis.features();
    analysis.tags();
    analysis.experiments();
    analysis.caps();
    analysis.texts();
    analysis.content();
    analysis.stale();
    let mut warnings = analysis.warnings;
    let place = |warning: &Warning| warning.problem.place.map(|place| (place.line, place.column));
    warnings.list.sort_by_cached_key(|warning| (warning.rule_set.clone(), place(warning)));
    warnings
}

struct Analysis<'a> {
    engine: &'a Engine,
    known: AnalysisScope<'a>,
    normaliser: Normaliser<'a>,
    /// By name, as the engine numbers them.
    sets: Vec<&'a RuleSet>,
    /// Their texts, to find places in.
    texts: Vec<Text<'a>>,
    /// Offers that already have the gravest warning, mostly that they are never shown.
    told: Vec<bool>,
    /// Guardrails that already have the warning that they never or always hold: rule set and name.
    told_guardrails: Vec<(usize, &'a str)>,
    /// The work that looking for faults in conditions may still take.
    work: u64,
    /// For each rule set, which of its entries of `accept` had a warning.
    used: Vec<Vec<bool>>,
    /// How many more warnings that would not be kept may have their place looked up.
    to_look_up: usize,
    warnings: Warnings,
}

/// A warning without its place. Most analyses find none, and finding a place reads the text again.
struct Draft<'d> {
    kind: WarningKind,
    /// The number of the rule set in whose text it is.
    set: usize,
    by: Option<usize>,
    offer: Option<&'d Offer>,
    detail: String,
    hint: Option<String>,
}

impl<'d> Draft<'d> {
    fn new(kind: WarningKind, set: usize, detail: impl Into<String>) -> Draft<'d> {
        Draft { kind, set, by: None, offer: None, detail: detail.into(), hint: None }
    }

    fn of(kind: WarningKind, offer: &'d Offer, detail: impl Into<String>) -> Draft<'d> {
        Draft { offer: Some(offer), ..Draft::new(kind, offer.tags, detail) }
    }

    fn hint(self, hint: impl Into<String>) -> Draft<'d> {
        Draft { hint: Some(hint.into()), ..self }
    }

    fn by(self, set: usize) -> Draft<'d> {
        Draft { by: Some(set).filter(|set| *set != self.set), ..self }
    }
}

impl<'a> Analysis<'a> {
    fn words(&self) -> Words<'_> {
        Words { schema: &self.engine.schema, terms: &self.normaliser.terms, tags: &self.engine.tags }
    }

    /// Whether this analysis is about a rule set.
    fn is_about(&self, set: usize) -> bool {
        self.known.about.is_none_or(|about| about.contains(&&*self.sets[set].name))
    }

    /// Whether there is room for one more warning.
    fn has_room(&self) -> bool {
        self.warnings.list.len() < MAX_WARNINGS
    }

    /// Whether the place of a warning about a rule set is worth looking up: it may be kept, or accepted. Any
    /// other that this analysis is about is counted here.
    fn is_wanted(&mut self, kind: WarningKind, set: usize, by: Option<usize>) -> bool {
        if !self.is_about(set) && !by.is_some_and(|by| self.is_about(by)) {
            return false;
        }
        if self.has_room() {
            return true;
        }
        let wanted = self.accepts(kind, set) && self.to_look_up > 0;
        self.to_look_up -= usize::from(wanted);
        self.warnings.omitted += usize::from(!wanted);
        wanted
    }

    /// Keeps a warning about what stands at `path` in its rule set, or about a part of it, unless the rule
    /// set accepts it.
    fn warn(&mut self, draft: Draft<'_>, path: &[&str], part: impl FnOnce(&Text<'_>) -> Option<Problem>) {
        if self.is_wanted(draft.kind, draft.set, draft.by) {
            self.warn_wanted(draft, path, part);
        }
    }

    /// As [`warn`](Analysis::warn), of a warning that is known to be wanted.
    fn warn_wanted(
        &mut self,
        draft: Draft<'_>,
        path: &[&str],
        part: impl FnOnce(&Text<'_>) -> Option<Problem>,
    ) {
        let text = &self.texts[draft.set];
        let found = part(text).unwrap_or_else(|| text.key(path));
        if self.accept(draft.kind, draft.set, &found.pointer) {
            return;
        }
        if !self.has_room() {
            self.warnings.omitted += 1;
            return;
        }
        let name = |set: usize| Arc::clone(&self.sets[set].name);
        self.warnings.list.push(Warning {
            kind: draft.kind,
            problem: Problem { detail: draft.detail, hint: draft.hint, ..found },
            rule_set: name(draft.set),
            by: draft.by.map(name),
            offer: draft.offer.map(|offer| offer.name.clone()),
        });
    }

    /// Keeps a warning about a whole entry.
    fn warn_at(&mut self, draft: Draft<'_>, path: &[&str]) {
        self.warn(draft, path, |_| None);
    }

    /// When an offer's own condition, variant and schedule let it be shown; `None` if there are too many
    /// alternatives.
    fn own_form(&self, offer: &Offer) -> Option<Alternatives> {
        const MAX_WAYS: usize = 64;
        let ways = offer.when_form.0.len() * offer.schedule_form.0.len();
        (ways <= MAX_WAYS).then(|| offer.when_form.and(&offer.schedule_form).and(&offer.variant_form))
    }
}
