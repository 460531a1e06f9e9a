//! From rule sets to one [`Engine`]. Each rule set is known to be right on its own; here they must fit
//! together.

mod experiments;
mod forms;

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::caps::{Caps, Linked};
use super::fragment::Fragment;
use super::{
    CERTAIN, Engine, Group, Guardrail, GuardrailId, Index, Offer, OfferId, Placement, PlacementId, Reason,
    Score, Tier, Treatment,
};
use crate::customer::numbers::OfferNumber;
use crate::expression::alternatives::Alternatives;
use crate::expression::normalise::FormsLeft;
use crate::expression::term::Terms;
use crate::expression::{Expression, OfferScope, Scope};
use crate::input::problem::Problems;
use crate::rules::catalogue::{Additions, Catalogue};
use crate::rules::rule_set::{OfferRule, Reference, RuleSet, Spot, TreatmentRule};
use crate::schema::value::Value;
use crate::schema::{ChannelId, Schema};

impl Engine {
    /// An engine without any rule set.
    pub fn empty(schema: &Arc<Schema>) -> Engine {
        Engine {
            schema: Arc::clone(schema),
            versions: Vec::new(),
            head: Fragment::of_versions::<&str>(&[]),
            catalogue: Arc::new(Catalogue::new()),
            numbered_versions: Vec::new(),
            placements: Vec::new(),
            placement_ids: HashMap::default(),
            offers: Vec::new(),
            tags: Vec::new(),
            tag_forms: Vec::new(),
            guardrails: Vec::new(),
            arms: Vec::new(),
            experiments: Vec::new(),
            holdout: None,
            groups: Vec::new(),
            terms: Terms::default(),
            index: Arc::new(Index::default()),
            forms_left: FormsLeft::default(),
            idle_terms: 0,
            caps: Caps::default(),
        }
    }

    /// Compiles rule sets (each with its version) that were parsed against `schema`, with a catalogue of
    /// their own.
    ///
    /// # Errors
    /// As for [`compile_with`](Engine::compile_with).
    pub fn compile(schema: &Arc<Schema>, rule_sets: &[(Arc<RuleSet>, u32)]) -> Result<Engine, Problems> {
        Engine::compile_with(schema, rule_sets, &Arc::new(Catalogue::new())).map(|(engine, _)| engine)
    }

    /// Compiles rule sets (each with its version) that were parsed against `schema`. Names without a number
    /// in `catalogue` get one; these additions are returned, too.
    ///
    /// # Errors
    /// Everything that does not fit together: an offer or placement with the same name in two rule sets, an
    /// unknown placement, a fallback that could fail. Also too many names for the catalogue.
    pub fn compile_with(
        schema: &Arc<Schema>,
        rule_sets: &[(Arc<RuleSet>, u32)],
        catalogue: &Arc<Catalogue>,
    ) -> Result<(Engine, Vec<Additions>), Problems> {
        Engine::compile_after(schema, rule_sets, catalogue, None)
    }

    /// As [`compile_with`](Engine::compile_with). What is the same in the engine `before` is taken over
    /// from it.
    ///
    /// # Errors
    /// As for [`compile_with`](Engine::compile_with).
    pub fn compile_after(
        schema: &Arc<Schema>,
        rule_sets: &[(Arc<RuleSet>, u32)],
        catalogue: &Arc<Catalogue>,
        before: Option<&Engine>,
    ) -> Result<(Engine, Vec<Additions>), Problems> {
        // Never shorter than before: an earlier version that comes back finds the contacts it looks at.
        let mut keep_s = Caps::keep_s(rule_sets.iter().map(|(set, _)| &**set));
        keep_s.iter_mut().zip(catalogue.keep_s()).for_each(|(keep, before)| *keep = before.max(*keep));
        let additions = catalogue.missing(schema, rule_sets, keep_s)?;
        let catalogue =
            if additions.is_empty() { catalogue.clone() } else { Arc::new(catalogue.with(&additions)) };
        let mut sorted: Vec<&(Arc<RuleSet>, u32)> = rule_sets.iter().collect();
        sorted.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        let sets: Vec<&RuleSet> = sorted.iter().map(|(set, _)| &**set).collect();
        let mut engine = Engine::empty(schema);
        engine.versions = sorted.iter().map(|(set, version)| (Arc::clone(&set.name), *version)).collect();
        engine.head = Fragment::of_versions(&engine.versions);
        let number = |name: &str| catalogue.rule_sets.number(name).unwrap_or_default(); // all have one
        let numbered = engine.versions.iter().map(|(name, version)| (number(name), *version));
        engine.numbered_versions = numbered.collect();
        engine.catalogue = catalogue;
        engine.tags = sets.iter().map(|set| set.tags.clone()).collect();
        let (group_ids, always) = (HashMap::new(), Arc::new(Alternatives::always()));
        let mut linker = Linker {
            engine,
            before,
            always,
            problems: Problems::new(),
            sets,
            group_ids,
            narrowed: HashMap::new(),
        };
        linker.placements();
        linker.groups();
        linker.experiments();
        let offer_ids = linker.offers();
        linker.fallbacks(&offer_ids);
        linker.caps();
        let Linker { mut engine, problems, .. } = linker;
        if problems.is_empty() {
            engine.rank();
            engine.find_forms(before);
        }
        problems.or((engine, additions))
    }

    /// Puts the offers of each placement into the order in which they rank for every customer: by tier,
    /// then by score where a tier's scores are constant, then by name.
    fn rank(&mut self) {
        let offers = &self.offers;
        let offer = |id: &OfferId| &offers[id.0 as usize];
        for (nth, placement) in self.placements.iter_mut().enumerate() {
            placement.offers.sort_by_key(|id| (offer(id).priority, &offer(id).name));
            let mut end = 0;
            for tier in placement.offers.chunk_by_mut(|a, b| offer(a).priority == offer(b).priority) {
                let learned = tier.iter().any(|id| offer(id).learned.is_some());
                let constant = tier.iter().all(|id| offer(id).constant_score.is_some());
                if constant {
                    let score = |id: &OfferId| offer(id).constant_score.map_or(0.0, |score| score.score);
                    tier.sort_by(|a, b| score(b).total_cmp(&score(a))); // stable: equals stay in order of name
                }
                end += tier.len() as u32;
                placement.tiers.push(Tier { end, constant, learned });
            }
            let here = PlacementId(nth as u32);
            let anywhere = placement.offers.iter().map(|id| offer(id).is_in_any_locale(here));
            placement.in_any_locale = anywhere.collect();
        }
    }
}

struct Linker<'r> {
    engine: Engine,
    /// What is the same in it is taken over.
    before: Option<&'r Engine>,
    /// What an offer asks for that says nothing of it: all share it.
    always: Arc<Alternatives>,
    problems: Problems,
    sets: Vec<&'r RuleSet>,
    group_ids: HashMap<Box<str>, usize>,
    narrowed: HashMap<Narrowing, Option<GuardrailId>>,
}

/// A guardrail (rule set, place in it) with an offer's values of the attributes it reads.
type Narrowing = (usize, usize, Vec<String>);

/// The offers of all rule sets by name.
type OfferIds<'r> = HashMap<&'r str, (OfferId, &'r RuleSet, &'r OfferRule), FixedState>;

/// The most different narrowed guardrails that one engine may have.
const MAX_NARROWED: usize = 100_000;

impl<'r> Linker<'r> {
    fn placements(&mut self) {
        let mut owners: HashMap<&str, &str> = HashMap::new();
        for &set in &self.sets {
            for rule in &set.placements {
                if let Some(owner) = owners.insert(&rule.name.name, &set.name) {
                    let detail =
                        format!("placement `{}` is also defined by rule set `{owner}`", rule.name.name);
                    self.problems.push(set.problem(&rule.name.spot, detail));
                    continue;
                }
                let id = PlacementId(self.engine.placements.len() as u32);
                self.engine.placement_ids.insert(rule.name.name.clone(), id);
                let Engine { schema, catalogue, .. } = &self.engine;
                let place = |channel: &ChannelId| {
                    let word = schema.channels().word(u32::from(channel.0)).unwrap_or_default();
                    catalogue.place_number(&rule.name.name, word)
                };
                let places = rule.channels.iter().filter_map(place).collect(); // all have numbers
                self.engine.placements.push(Placement {
                    name: rule.name.name.clone(),
                    head: Fragment::of_placement(&rule.name.name),
                    channels: rule.channels.clone(),
                    number: catalogue.placements.number(&rule.name.name).unwrap_or_default(),
                    places,
                    count: rule.count,
                    fallback: None,
                    offers: Vec::new(),
                    tiers: Vec::new(),
                    in_any_locale: Vec::new(),
                });
            }
        }
    }

    /// Gathers the groups. All rule sets share them; only one may set a group's limit.
    fn groups(&mut self) {
        let mut owners: HashMap<&str, &str> = HashMap::new();
        for &set in &self.sets.clone() {
            for rule in &set.groups {
                if let Some(owner) = owners.insert(&rule.name.name, &set.name) {
                    let detail = format!("group `{}` is also defined by rule set `{owner}`", rule.name.name);
                    self.problems.push(set.problem(&rule.name.spot, detail));
                } else {
                    let id = self.group_id(&rule.name.name);
                    self.engine.groups[id].max = rule.max;
                }
            }
        }
    }

    /// Compiles caps and budgets, once all names have numbers.
    fn caps(&mut self) {
        if self.problems.is_empty() {
            let linked = Linked {
                schema: &self.engine.schema,
                catalogue: &self.engine.catalogue,
                placements: &self.engine.placements,
                placement_ids: &self.engine.placement_ids,
                offers: &self.engine.offers,
                groups: &self.group_ids,
            };
            self.engine.caps = Caps::new(&linked, &self.sets, &mut self.problems);
        }
    }

    fn group_id(&mut self, name: &str) -> usize {
        if let Some(id) = self.group_ids.get(name) {
            return *id;
        }
        self.group_ids.insert(name.into(), self.engine.groups.len());
        self.engine.groups.push(Group { name: name.into(), max: 1 });
        self.engine.groups.len() - 1
    }

    fn placement(&mut self, set: &RuleSet, reference: &Reference) -> Option<PlacementId> {
        let found = self.engine.placement_id(&reference.name);
        if found.is_none() {
            let problem = set.problem(
                &reference.spot,
                format!("no active rule set defines placement `{}`", reference.name),
            );
            let names = self.engine.placements.iter().map(|placement| &*placement.name);
            let full = self.problems.is_full();
            self.problems.push(if full { problem } else { problem.nearest(&reference.name, names) });
        }
        found
    }

    fn offers(&mut self) -> OfferIds<'r> {
        let sets = self.sets.clone();
        let count = sets.iter().map(|set| set.offers.len()).sum();
        let mut ids = OfferIds::with_capacity_and_hasher(count, FixedState::default());
        self.engine.offers.reserve_exact(count);
        for (tags, &set) in sets.iter().enumerate() {
            for rule in &set.offers {
                let id = OfferId(self.engine.offers.len() as u32);
                if let Some((_, owner, _)) = ids.insert(&rule.name.name, (id, set, rule)) {
                    let detail = format!("offer `{}` is also in rule set `{}`", rule.name.name, owner.name);
                    self.problems.push(set.problem(&rule.name.spot, detail));
                }
                for reference in &rule.placements {
                    if let Some(placement) = self.placement(set, reference) {
                        self.engine.placements[placement.0 as usize].offers.push(id);
                    }
                }
                let offer = self.offer(set, tags, rule);
                self.engine.offers.push(offer);
            }
        }
        ids
    }

    fn offer(&mut self, set: &'r RuleSet, tags: usize, rule: &'r OfferRule) -> Offer {
        let number = self.engine.catalogue.offer_number(&rule.name.name).unwrap_or_default(); // all have one
        let before = self.before.and_then(|before| Some(before.offer(before.offer_id(number)?)));
        let before = before.filter(|before| before.name == rule.name.name);
        let numbers = |score| {
            let known = before.and_then(|before| before.numbers_of(score, CERTAIN));
            known.cloned().unwrap_or_else(|| Fragment::of_numbers(score))
        };
        let attributes = &rule.attributes;
        let constant_score = match rule.learned {
            Some(_) => None,
            None => Score::constant(&rule.propensity, attributes.value, &rule.boost),
        };
        Offer {
            name: rule.name.name.clone(),
            number,
            rule_set: Arc::clone(&set.name),
            line: rule.name.spot.place.map_or(0, |place| place.line),
            priority: attributes.priority,
            value: attributes.value,
            tags,
            group: attributes.group.as_ref().map(|group| self.group_id(&group.name)),
            when: rule.when.clone(),
            when_form: Arc::clone(&self.always),
            variant: rule.variant.clone(),
            variant_form: Arc::clone(&self.always),
            guardrails: self.guardrails(rule),
            schedule: rule.schedule.clone(),
            schedule_form: Arc::clone(&self.always),
            propensity: rule.propensity.clone(),
            learned: rule.learned.clone(),
            boost: rule.boost.clone(),
            constant_score,
            numbers: constant_score.map(|score| numbers(score.score)),
            reason: rule.reason.map(|text| Reason::new(text)),
            treatments: self.treatments(set, rule, (number, before)),
        }
    }

    fn treatments(
        &mut self,
        set: &RuleSet,
        rule: &OfferRule,
        (number, before): (OfferNumber, Option<&Offer>),
    ) -> Vec<Treatment> {
        let catalogue = Arc::clone(&self.engine.catalogue);
        let named = catalogue.offer(number).map_or(&[][..], |entry| &entry.treatments);
        let head = |name: &str| {
            let known = before.and_then(|before| before.treatments.iter().find(|known| *known.name == *name));
            known.map_or_else(|| Fragment::of_treatment(&rule.name.name, name), |known| known.head.clone())
        };
        let mut treatments = Vec::with_capacity(rule.treatments.len());
        for treatment in &rule.treatments {
            let Some(placement) = self.placement(set, &treatment.placement) else { continue };
            treatments.push(Treatment {
                name: treatment.name.clone(),
                number: named.iter().position(|name| *name == treatment.name).unwrap_or(0) as u16,
                json: Arc::clone(&treatment.json),
                msgpack: Arc::clone(&treatment.msgpack),
                head: head(&treatment.name),
                placement,
                locale: treatment.locale.clone(),
                variant: treatment.variant.clone(),
            });
        }
        treatments.sort_by_key(|treatment| treatment.variant.is_none()); // stable
        treatments
    }

    /// Every guardrail of every rule set, narrowed to this offer.
    fn guardrails(&mut self, rule: &OfferRule) -> Vec<GuardrailId> {
        let mut guardrails = Vec::new();
        for (tags, &set) in self.sets.clone().iter().enumerate() {
            for place in 0..set.guardrails.len() {
                guardrails.extend(self.narrowed(set, tags, place, rule));
            }
        }
        guardrails
    }

    /// A guardrail with an offer's attributes put in; `None` if it then holds for every customer. Offers
    /// that are alike in what the guardrail reads share it: there are few risk classes and many offers.
    fn narrowed(
        &mut self,
        set: &RuleSet,
        tags: usize,
        place: usize,
        rule: &OfferRule,
    ) -> Option<GuardrailId> {
        let guardrail = &set.guardrails[place];
        let values = guardrail.reads.iter().map(|name| rule.attributes.value(name).to_string()).collect();
        let key = (tags, place, values);
        if let Some(known) = self.narrowed.get(&key) {
            return *known;
        }
        if self.narrowed.len() == MAX_NARROWED {
            let detail =
                format!("narrowed to each offer, the guardrails come to more than {MAX_NARROWED} conditions");
            let problem = set.problem(&guardrail.name.spot, detail);
            self.problems.push(problem.hint("let it read only attributes with few different values"));
            return None;
        }
        let value = |name: &str| Some(rule.attributes.value(name));
        let offer = Some(OfferScope { value: &value });
        let (tags_of_set, parameters) = (&set.tag_names, &set.parameters);
        let scope = Scope { tags: tags_of_set, offer, parameters, ..Scope::of(&self.engine.schema) };
        let narrowed = match scope.condition(&guardrail.syntax) {
            Ok(condition) if is_always_true(&condition) => None,
            Ok(condition) => {
                let id = GuardrailId(self.engine.guardrails.len() as u32);
                let (name, form) = (guardrail.name.name.clone(), Alternatives::always());
                self.engine.guardrails.push(Guardrail { name, tags, condition, form });
                Some(id)
            }
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        };
        self.narrowed.insert(key, narrowed);
        narrowed
    }

    /// Checks fallbacks. A fallback is what is left when all else fails, so nothing about it may depend on
    /// customer or time.
    fn fallbacks(&mut self, offers: &OfferIds<'_>) {
        let mut used: Vec<(PlacementId, OfferId)> = Vec::new();
        for &set in &self.sets.clone() {
            for rule in &set.placements {
                let Some(reference) = &rule.fallback else { continue };
                let Some((id, owner, offer)) = offers.get(&*reference.name) else {
                    let detail =
                        format!("the fallback `{}` is not an offer of any active rule set", reference.name);
                    let problem = set.problem(&reference.spot, detail);
                    let full = self.problems.is_full();
                    let names = offers.keys().copied();
                    self.problems.push(if full { problem } else { problem.nearest(&reference.name, names) });
                    continue;
                };
                let Some(placement) = self.engine.placement_id(&rule.name.name) else { continue };
                self.fallback(placement, *id, owner, offer);
                self.engine.placements[placement.0 as usize].fallback = Some(*id);
                used.push((placement, *id));
            }
        }
        self.unused_treatments(offers, &used);
    }

    fn fallback(&mut self, placement: PlacementId, id: OfferId, set: &RuleSet, rule: &OfferRule) {
        let placement_name = &self.engine.placement(placement).name;
        let offer = self.engine.offer(id);
        let mut refuse = |spot: &Spot, why: String, hint: &str| {
            let detail =
                format!("offer `{}` is the fallback of placement `{placement_name}`: {why}", offer.name);
            self.problems.push(set.problem(spot, detail).hint(hint));
        };
        let spot = &rule.name.spot;
        if offer.when.is_some() || offer.schedule.is_some() || offer.variant.is_some() {
            let what = if offer.variant.is_some() {
                "`when`, `schedule` or `variant`"
            } else {
                "`when` and no `schedule`"
            };
            refuse(spot, format!("it may have no {what}"), "a fallback must serve everyone at any time");
        }
        if let Some(guardrail) = offer.guardrails.first() {
            let guardrail = &self.engine.guardrails[guardrail.0 as usize];
            let why = format!("guardrail `{}` could stop it", guardrail.name);
            refuse(spot, why, "give it attributes with which every guardrail holds for every customer");
        }
        if !offer.is_in_any_locale(placement) {
            let of_variant = offer.treatment(placement, None, |_| true).is_some();
            let (why, hint) = match of_variant {
                true => {
                    ("it has no treatment without a variant there", "a fallback must serve every variant")
                }
                false => {
                    ("it has no treatment without a locale there", "a fallback must serve every language")
                }
            };
            refuse(spot, why.into(), hint);
        }
    }

    /// Refuses a treatment for a placement where its offer is never shown: one of the two names must be
    /// wrong.
    fn unused_treatments(&mut self, ids: &OfferIds<'_>, fallbacks: &[(PlacementId, OfferId)]) {
        let offers = self.sets.iter().flat_map(|set| set.offers.iter().map(move |rule| (set, rule)));
        for (id, (set, rule)) in (0..).map(OfferId).zip(offers) {
            let listed = |treatment: &&TreatmentRule| {
                rule.placements.iter().any(|placement| placement.name == treatment.placement.name)
            };
            for treatment in rule.treatments.iter().filter(|treatment| !listed(treatment)) {
                let Some(placement) = self.engine.placement_id(&treatment.placement.name) else { continue };
                // Of two offers with one name, which is a problem of its own, the last one counts.
                let counts = ids.get(&*rule.name.name).is_some_and(|(last, ..)| *last == id);
                if counts && !fallbacks.contains(&(placement, id)) {
                    let name = &treatment.placement.name;
                    let detail = format!("offer `{}` is never shown on placement `{name}`", rule.name.name);
                    let problem = set.problem(&treatment.placement.spot, detail);
                    self.problems.push(problem.hint(format!("add `{name}` to the offer's placements")));
                }
            }
        }
        self.problems.sort();
    }
}

fn is_always_true(condition: &Expression) -> bool {
    condition.constant() == Some(&Value::Bool(true))
}
