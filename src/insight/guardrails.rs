//! Guardrails as the engine understood them: what each asks of a customer, in words and in normal form, and
//! how many customers it stops on which offers. A guardrail that says something else than it was meant to is
//! seen here, before it lets the wrong customers pass.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::audience::{Evaluator, Reach};
use crate::engine::{Engine, GuardrailId};
use crate::expression::Node;
use crate::expression::alternatives::{Alternatives, Atom, Conjunction};
use crate::expression::term::{Scoped, Term};
use crate::rules::rule_set::{GuardrailRule, RuleSet};
use crate::schema::value::{Time, Value};
use crate::schema::vector::FeatureVector;
use crate::schema::{ContextId, FeatureId};

/// The most guardrails of one report; further ones are counted.
pub const MAX_REPORTED_GUARDRAILS: usize = 1_000;
/// The most forms that one guardrail is shown in; further ones are counted.
pub const MAX_REPORTED_FORMS: usize = 100;
/// The most names of offers in one report; further ones are counted where they belong.
pub const MAX_REPORTED_OFFERS: usize = 20_000;
/// The most bytes of the words for one form; beyond them they are cut.
const MAX_WORDS_BYTES: usize = 4_000;
/// The most tags that are put into words for one guardrail.
const MAX_REPORTED_TAGS: usize = 20;

/// All guardrails of an engine as they were understood.
#[derive(Debug, Default)]
pub struct GuardrailReport {
    /// The guardrails by rule set, in the order of its text.
    pub guardrails: Vec<UnderstoodGuardrail>,
    /// How many further guardrails there are.
    pub omitted: usize,
    /// How many customers were looked at; `None` if there were none to look at.
    pub customers: Option<u64>,
}

/// A guardrail with what it means for the offers.
#[derive(Debug)]
pub struct UnderstoodGuardrail {
    /// The rule set that carries it.
    pub rule_set: Arc<str>,
    /// Its name in that rule set.
    pub name: Box<str>,
    /// The name of the text it stands in.
    pub file: Box<str>,
    /// Its line in that text, from 1; 0 if it is not known.
    pub line: u32,
    /// The condition as it was written.
    pub text: Arc<str>,
    /// What is left of it for the offers that it may stop, one entry for offers that are alike.
    pub forms: Vec<GuardrailForm>,
    /// How many further forms there are.
    pub forms_omitted: usize,
    /// How many offers it lets pass for every customer, because of what the offers say about themselves.
    pub passing_offers: usize,
    /// The tags that the forms name, each with what it means.
    pub tags: Vec<(Box<str>, String)>,
    /// How many golden decisions show that it stops an offer; `None` where there are no golden decisions to
    /// look at.
    pub golden: Option<usize>,
}

/// A guardrail with the attributes of some offers put in, which leaves what it asks of the customer.
#[derive(Debug)]
pub struct GuardrailForm {
    /// When it lets a customer pass, as a sentence without its beginning: "`age` is at least 18".
    pub words: String,
    /// The same as alternatives, of which one must hold: each is a list of terms with what they have to be.
    pub passes_if: Vec<Vec<Need>>,
    /// Whether customers pass for whom something is missing that it reads.
    pub missing: Vec<Missing>,
    /// How many of the customers looked at it stops, whatever the offers' own conditions say.
    pub stopped: Option<u64>,
    /// Whether a part of it reads what only a request knows. That part counts as passed, so it may stop more
    /// customers than `stopped`, never fewer.
    pub depends_on_request: bool,
    /// The offers for which it has this form.
    pub offers: Vec<Box<str>>,
    /// How many further offers have this form.
    pub offers_omitted: usize,
}

/// A term of a guardrail, and what it has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The term as a condition writes it.
    pub term: String,
    /// What it has to be: `at least 18`.
    pub needs: String,
}

/// What a guardrail does with customers for whom something is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The feature or the field of the context, as a condition writes it.
    pub fact: String,
    /// What becomes of them.
    pub fate: MissingFate,
    /// When they pass all the same, if what else is known decides; else empty.
    pub words: String,
}

/// What becomes of a customer for whom something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingFate {
    /// They are stopped, whatever else is known.
    Stopped,
    /// They pass, whatever else is known.
    Passes,
    /// What else is known decides.
    Depends,
}

impl MissingFate {
    /// The fate's name in answers.
    pub fn name(self) -> &'static str {
        match self {
            MissingFate::Stopped => "stopped",
            MissingFate::Passes => "passes",
            MissingFate::Depends => "depends",
        }
    }
}

/// What is known about guardrails besides their texts.
#[derive(Clone, Copy, Default)]
pub struct GuardrailFacts<'f> {
    /// How many customers each lets pass.
    pub reach: Option<&'f Reach>,
    /// For each narrowed guardrail, the golden decisions that it alone stops an offer in.
    pub golden: Option<&'f GoldenStops>,
}

/// Which golden decisions show that a guardrail stops an offer.
#[derive(Debug, Clone, Default)]
pub struct GoldenStops(BTreeMap<GuardrailId, BTreeSet<usize>>);

impl GoldenStops {
    /// Notes that a guardrail stops an offer in the case with this number.
    pub(crate) fn add(&mut self, guardrail: GuardrailId, case: usize) {
        self.0.entry(guardrail).or_default().insert(case);
    }
}

/// One guardrail of a rule set with its narrowed forms, and for how many offers it always holds.
pub(super) struct Narrowed<'e> {
    /// The number of its rule set in the engine.
    pub(super) set: usize,
    pub(super) rule: &'e GuardrailRule,
    /// Its narrowed conditions. Those that ask for the same are together, with the offers that they may stop.
    pub(super) forms: Vec<NarrowedForm<'e>>,
}

/// Narrowed conditions of one guardrail that ask for the same.
#[derive(Debug)]
pub(super) struct NarrowedForm<'e> {
    /// The first of them.
    pub(super) id: GuardrailId,
    others: Vec<GuardrailId>,
    /// The names of the offers that they may stop.
    pub(super) offers: Vec<&'e str>,
}

impl<'e> Narrowed<'e> {
    /// How many offers it may stop.
    pub(super) fn offers(&self) -> usize {
        self.forms.iter().map(|form| form.offers.len()).sum()
    }

    /// The golden decisions that show it.
    pub(super) fn golden(&self, stops: &GoldenStops) -> usize {
        let ids = self.forms.iter().flat_map(|form| form.others.iter().chain([&form.id]));
        ids.filter_map(|id| stops.0.get(id)).flatten().collect::<BTreeSet<_>>().len()
    }

    /// Adds a narrowed condition. It is compared with a bounded number of others.
    fn add(&mut self, engine: &'e Engine, id: GuardrailId, offers: Vec<&'e str>) {
        let form = |id: GuardrailId| &engine.guardrails[id.0 as usize].form;
        let known = self.forms.iter_mut().take(MAX_REPORTED_FORMS);
        match known.into_iter().find(|known| form(known.id) == form(id)) {
            Some(known) => {
                known.others.push(id);
                known.offers.extend(offers);
            }
            None => self.forms.push(NarrowedForm { id, others: Vec::new(), offers }),
        }
    }
}

/// The guardrails of all rule sets, which are given in the order in which the engine numbers them.
pub(super) fn narrowed<'e>(engine: &'e Engine, sets: &[&'e RuleSet]) -> Vec<Narrowed<'e>> {
    let mut offers: Vec<Vec<&str>> = vec![Vec::new(); engine.guardrails.len()];
    for offer in engine.offers() {
        for id in &offer.guardrails {
            offers[id.0 as usize].push(&offer.name);
        }
    }
    let mut found = Vec::new();
    let mut places = BTreeMap::new();
    for (set, rules) in sets.iter().enumerate() {
        for rule in &rules.guardrails {
            places.insert((set, &*rule.name.name), found.len());
            found.push(Narrowed { set, rule, forms: Vec::new() });
        }
    }
    for ((nth, guardrail), offers) in engine.guardrails.iter().enumerate().zip(offers) {
        if let Some(place) = places.get(&(guardrail.tags, &*guardrail.name)) {
            found[*place].add(engine, GuardrailId(nth as u32), offers);
        }
    }
    found
}

/// Puts every guardrail of an engine into words. `rule_sets` are those that it was compiled from.
pub fn understood(
    engine: &Engine,
    rule_sets: &[Arc<RuleSet>],
    facts: GuardrailFacts<'_>,
    now: Time,
) -> GuardrailReport {
    let mut sets: Vec<&RuleSet> = rule_sets.iter().map(|set| &**set).collect();
    sets.sort_by(|a, b| a.name.cmp(&b.name)); // as the engine numbers them
    let evaluator = Evaluator::new(&engine.schema, engine.tags.iter().map(Vec::as_slice), now);
    let mut reporter = Reporter { engine, facts, evaluator, names_left: MAX_REPORTED_OFFERS };
    let all = narrowed(engine, &sets);
    let shown = all.iter().take(MAX_REPORTED_GUARDRAILS);
    let guardrails = shown.map(|narrowed| reporter.guardrail(sets[narrowed.set], narrowed)).collect();
    let sampled = facts.reach.map(|reach| reach.sampled).filter(|sampled| *sampled > 0);
    GuardrailReport {
        guardrails,
        omitted: all.len().saturating_sub(MAX_REPORTED_GUARDRAILS),
        customers: sampled,
    }
}

struct Reporter<'e> {
    engine: &'e Engine,
    facts: GuardrailFacts<'e>,
    evaluator: Evaluator<'e>,
    /// What is left of [`MAX_REPORTED_OFFERS`].
    names_left: usize,
}

impl Reporter<'_> {
    fn guardrail(&mut self, set: &RuleSet, narrowed: &Narrowed<'_>) -> UnderstoodGuardrail {
        let rule = narrowed.rule;
        let shown = narrowed.forms.iter().take(MAX_REPORTED_FORMS);
        UnderstoodGuardrail {
            rule_set: Arc::clone(&set.name),
            name: rule.name.name.clone(),
            file: set.source.name.as_str().into(),
            line: rule.name.spot.place.map_or(0, |place| place.line),
            text: Arc::clone(&rule.syntax.text),
            forms: shown.map(|form| self.form(form.id, &form.offers)).collect(),
            forms_omitted: narrowed.forms.len().saturating_sub(MAX_REPORTED_FORMS),
            passing_offers: self.engine.offer_count() - narrowed.offers(),
            tags: self.tags(narrowed),
            golden: self.facts.golden.map(|stops| narrowed.golden(stops)),
        }
    }

    fn form(&mut self, id: GuardrailId, offers: &[&str]) -> GuardrailForm {
        let form = &self.engine.guardrails[id.0 as usize].form;
        let known = self.facts.reach.filter(|reach| reach.sampled > 0);
        let reach = known.and_then(|reach| Some((reach.sampled, reach.guardrails.get(id.0 as usize)?)));
        let named = offers.len().min(self.names_left);
        self.names_left -= named;
        GuardrailForm {
            words: self.words(form),
            passes_if: form.0.iter().map(|way| self.needs(way)).collect(),
            missing: self.missing(form),
            stopped: reach.map(|(sampled, guardrail)| sampled - guardrail.passing.min(sampled)),
            depends_on_request: self.depends_on_request(form),
            offers: offers[..named].iter().map(|name| (*name).into()).collect(),
            offers_omitted: offers.len() - named,
        }
    }

    fn needs(&self, way: &Conjunction) -> Vec<Need> {
        way.0.iter().map(|atom| self.need(atom)).collect()
    }

    fn need(&self, atom: &Atom) -> Need {
        let words = self.engine.words();
        if let Term::Truth(Scoped { node: Node::Has(inner), .. }) = self.engine.terms.get(atom.term)
            && let Node::Context(id) = **inner
        {
            let known = if atom.keys.contains(Some(1)) { "known" } else { "missing" };
            return Need { term: self.name(Fact::Context(id)), needs: known.into() };
        }
        Need { term: words.term(atom.term), needs: words.needs(atom.term, &atom.keys) }
    }

    fn words(&self, form: &Alternatives) -> String {
        if form.is_never() {
            return "for nobody".into();
        }
        let atom = |Need { term, needs }: Need| format!("`{term}` is {needs}");
        let way = |way| self.needs(way).into_iter().map(atom).collect::<Vec<_>>().join(" and ");
        let mut text = form.0.iter().map(way).collect::<Vec<_>>().join(", or ");
        if text.is_empty() {
            return "for everybody".into();
        }
        if text.len() > MAX_WORDS_BYTES {
            let end = (0..MAX_WORDS_BYTES).rev().find(|at| text.is_char_boundary(*at));
            text.truncate(end.unwrap_or(0));
            text.push('…');
        }
        format!("if {text}")
    }

    /// What becomes of customers for whom a feature or a field of the context is missing, in the order in
    /// which the form names them.
    fn missing(&self, form: &Alternatives) -> Vec<Missing> {
        let mut facts: Vec<Fact> = Vec::new();
        for atom in form.0.iter().flat_map(|way| &way.0) {
            let reads = self.evaluator.reads(self.engine.terms.get(atom.term));
            let read = reads.features.iter().map(|id| Fact::Feature(*id));
            for fact in read.chain(reads.context.iter().map(|id| Fact::Context(*id))) {
                if self.may_be_missing(fact) && !facts.contains(&fact) {
                    facts.push(fact);
                }
            }
        }
        facts.iter().map(|fact| self.without(form, *fact)).collect()
    }

    /// Whether there is ever nothing to read. Counts and the like have a value for every customer.
    fn may_be_missing(&self, fact: Fact) -> bool {
        match fact {
            Fact::Context(_) => true,
            Fact::Feature(id) => {
                let unknown = FeatureVector::unknown();
                !unknown.get(&self.engine.schema, id, self.evaluator.now).is_answer()
            }
        }
    }

    fn name(&self, fact: Fact) -> String {
        let schema = &self.engine.schema;
        match fact {
            Fact::Feature(id) => schema.feature(id).name.to_string(),
            Fact::Context(id) => format!("context.{}", schema.context()[usize::from(id.0)].name),
        }
    }

    /// What becomes of customers for whom a fact is missing.
    fn without(&self, form: &Alternatives, fact: Fact) -> Missing {
        let mut open = Alternatives::never();
        for way in &form.0 {
            // What depends on nothing else is decided now.
            let (known, rest): (Vec<&Atom>, Vec<&Atom>) =
                way.0.iter().partition(|atom| self.is_decided_without(fact, atom));
            let term = |atom: &Atom| self.engine.terms.get(atom.term);
            if known.iter().all(|atom| atom.keys.contains(self.evaluator.key(term(atom), &[]))) {
                open.0.push(Conjunction(rest.into_iter().cloned().collect()));
            }
        }
        let fate = match () {
            () if open.is_never() => MissingFate::Stopped,
            () if open.is_always() => MissingFate::Passes,
            () => MissingFate::Depends,
        };
        let words = if fate == MissingFate::Depends { self.words(&open) } else { String::new() };
        Missing { fact: self.name(fact), fate, words }
    }

    /// Whether an atom's key is known once this fact is missing, whatever else is known.
    fn is_decided_without(&self, fact: Fact, atom: &Atom) -> bool {
        let term = self.engine.terms.get(atom.term);
        let reads = self.evaluator.reads(term);
        let (reads_it, alone) = match fact {
            Fact::Feature(id) => (reads.features.contains(&id), reads.features.len() == 1 && !reads.request),
            Fact::Context(id) => {
                (reads.context.contains(&id), reads.features.is_empty() && reads.context.len() == 1)
            }
        };
        reads_it && (alone && !reads_channel_or_variant(term) || needs_all(term))
    }

    fn depends_on_request(&self, form: &Alternatives) -> bool {
        let mut atoms = form.0.iter().flat_map(|way| &way.0);
        atoms.any(|atom| self.evaluator.reads(self.engine.terms.get(atom.term)).request)
    }

    /// The tags that a guardrail's forms name, and those that these are built on, each in words.
    fn tags(&self, narrowed: &Narrowed<'_>) -> Vec<(Box<str>, String)> {
        let forms = narrowed.forms.iter().take(MAX_REPORTED_FORMS);
        let mut open: Vec<&Alternatives> =
            forms.map(|form| &self.engine.guardrails[form.id.0 as usize].form).collect();
        open.reverse();
        let mut known = BTreeSet::new();
        let mut tags = Vec::new();
        while let Some(form) = open.pop() {
            for atom in form.0.iter().flat_map(|way| &way.0) {
                let Term::Truth(Scoped { node, tags: set }) = self.engine.terms.get(atom.term) else {
                    continue;
                };
                node.walk(&mut |node| {
                    let Node::Tag(tag) = node else { return };
                    if tags.len() < MAX_REPORTED_TAGS && known.insert((*set, *tag)) {
                        let [_, yes] = &self.engine.tag_forms[*set][*tag];
                        tags.push((self.engine.tags[*set][*tag].name.clone(), self.words(yes)));
                        open.push(yes);
                    }
                });
            }
        }
        tags
    }
}

/// What a guardrail may read and not find.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fact {
    Feature(FeatureId),
    Context(ContextId),
}

/// Whether a term looks at the channel or a variant. One that looks at a tag counts as if it did.
fn reads_channel_or_variant(term: &Term) -> bool {
    let Some(node) = term.node() else { return false };
    let mut found = false;
    node.walk(&mut |node| found |= matches!(node, Node::Channel | Node::Variant(_) | Node::Tag(_)));
    found
}

/// Whether a term has no answer as soon as one of the facts that it reads is missing: it only calculates and
/// compares.
fn needs_all(term: &Term) -> bool {
    let Some(node) = term.node() else { return false };
    let mut all = true;
    node.walk(&mut |node| {
        all &= match node {
            Node::Constant(value) => *value != Value::Null,
            Node::Feature(_)
            | Node::Code(_)
            | Node::Context(_)
            | Node::Channel
            | Node::Now
            | Node::Not(_)
            | Node::Negate(_)
            | Node::Compare(..)
            | Node::Arithmetic(..)
            | Node::Rank(..) => true,
            _ => false,
        };
    });
    all
}

impl Term {
    /// The expression that a term evaluates, if it is not just a stored feature.
    fn node(&self) -> Option<&Node> {
        match self {
            Term::Computed(scoped, _) | Term::Text(scoped, _) | Term::Truth(scoped) => Some(&scoped.node),
            Term::Feature(..) | Term::Bits(..) | Term::WeekMinute(_) => None,
        }
    }
}
