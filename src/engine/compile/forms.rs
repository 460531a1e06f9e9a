//! Normal forms of all conditions, and the index over them. The next engine mostly has the same conditions.
//! It takes their forms over from the one before, and the index too if all of them are the same; otherwise
//! the blocks of the index in which they are.
//!
//! An engine that takes forms over numbers its terms as the one before. So it must not keep terms and texts
//! that nothing looks at any more: if it would, all forms are computed anew.

use std::sync::Arc;

use crate::engine::{Drawn, Earlier, Engine, Index, Offer};
use crate::expression::alternatives::Alternatives;
use crate::expression::experiment::InVariant;
use crate::expression::normalise::Normaliser;
use crate::expression::term::Term;
use crate::expression::{Expression, Node, Tag};

/// An engine whose conditions see the same schema, tags, experiments and guardrails.
struct Known<'e> {
    engine: &'e Engine,
}

impl Engine {
    /// Computes the normal form of every condition, and the index. What is the same in the engine `before`
    /// is taken over.
    pub(super) fn find_forms(&mut self, before: Option<&Engine>) {
        if let Some(known) = before.and_then(|before| Known::new(self, before))
            && self.go_on(&known)
        {
            return;
        }
        self.normalise(None);
        self.build_index(None);
        self.idle_terms = self.idle();
    }

    /// As if all were computed anew; whether that would have left the same terms and texts.
    fn go_on(&mut self, known: &Known<'_>) -> bool {
        self.normalise(Some(known));
        if !self.forms_left.is_ample() || known.loses_texts(self) {
            return false;
        }
        if known.has_index_of(self) {
            self.index = Arc::clone(&known.engine.index);
        } else {
            self.build_index(Some(&known.earlier(self)));
        }
        self.idle_terms = self.idle();
        self.idle_terms <= known.engine.idle_terms
    }

    fn build_index(&mut self, earlier: Option<&Earlier<'_>>) {
        let Engine { schema, placements, offers, guardrails, terms, .. } = self;
        self.index = Arc::new(Index::build(schema, placements, offers, guardrails, terms, earlier));
    }

    fn normalise(&mut self, known: Option<&Known<'_>>) {
        let tags = self.tags.iter().map(Vec::as_slice).collect();
        let mut normaliser = Normaliser::new(&self.schema, tags);
        if let Some(Known { engine, .. }) = known {
            normaliser.go_on(engine.terms.clone(), engine.forms_left);
        }
        for guardrail in &mut self.guardrails {
            guardrail.form = normaliser.condition(&guardrail.condition, guardrail.tags);
        }
        for offer in &mut self.offers {
            if let Some(when) = &offer.when {
                let form = known.and_then(|known| known.form(offer, when));
                if let Some(form) = &form {
                    normaliser.take_over(form);
                }
                offer.when_form = form.unwrap_or_else(|| Arc::new(normaliser.condition(when, offer.tags)));
            }
            if let Some(InVariant { experiment, variant }) = &offer.variant {
                let node = Node::is_in_variant(experiment, *variant);
                offer.variant_form = Arc::new(normaliser.alternatives(&node, offer.tags, true));
            }
            if let Some(schedule) = &offer.schedule {
                offer.schedule_form = Arc::new(normaliser.schedule(schedule));
            }
        }
        let mut both = |tag: &Tag, set: usize| {
            [normaliser.negation(&tag.condition, set), normaliser.condition(&tag.condition, set)]
        };
        let tags = self.tags.iter().enumerate();
        self.tag_forms = tags.map(|(set, tags)| tags.iter().map(|tag| both(tag, set)).collect()).collect();
        self.forms_left = normaliser.left();
        self.terms = normaliser.terms;
    }

    /// How many terms nothing looks at.
    fn idle(&self) -> usize {
        let mut idle = vec![true; self.terms.all().len()];
        let offers = self.offers.iter();
        let of_offers =
            offers.flat_map(|offer| [&*offer.when_form, &offer.variant_form, &offer.schedule_form]);
        let of_guardrails = self.guardrails.iter().map(|guardrail| &guardrail.form);
        let of_tags = self.tag_forms.iter().flatten().flatten();
        for form in of_offers.chain(of_guardrails).chain(of_tags) {
            form.0.iter().flat_map(|all| &all.0).for_each(|atom| idle[atom.term.0 as usize] = false);
        }
        self.index.terms().for_each(|term| idle[term as usize] = false);
        idle.into_iter().filter(|idle| *idle).count()
    }
}

impl<'e> Known<'e> {
    /// Knows an engine, if conditions mean the same there as in `next`, which has no forms yet. Its terms
    /// have the places of experiments, so these must stand in the same order.
    fn new(next: &Engine, engine: &'e Engine) -> Option<Known<'e>> {
        let names =
            |engine: &Engine| engine.versions.iter().map(|(name, _)| Arc::clone(name)).collect::<Vec<_>>();
        let same_tags = |(one, other): (&Vec<Tag>, &Vec<Tag>)| {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| one.condition.is_same(&other.condition))
        };
        let same_guardrails = || {
            let both = next.guardrails.iter().zip(&engine.guardrails);
            next.guardrails.len() == engine.guardrails.len()
                && both
                    .into_iter()
                    .all(|(one, other)| one.tags == other.tags && one.condition.is_same(&other.condition))
        };
        let experiments = |engine: &Engine| -> Vec<Vec<_>> {
            let of_set = |set: &Vec<Drawn>| set.iter().map(|drawn| Arc::clone(&drawn.experiment)).collect();
            engine.experiments.iter().map(of_set).collect()
        };
        let knows = Arc::ptr_eq(&next.schema, &engine.schema)
            && engine.forms_left.is_ample()
            && names(next) == names(engine)
            && experiments(next) == experiments(engine)
            && next.tags.iter().zip(&engine.tags).all(same_tags)
            && same_guardrails();
        knows.then_some(Known { engine })
    }

    /// The form of an offer's condition, if it is the very same.
    fn form(&self, offer: &Offer, when: &Expression) -> Option<Arc<Alternatives>> {
        let known = self.engine.offer(self.engine.offer_id(offer.number)?);
        let same = |known: &Expression| Arc::ptr_eq(&known.node, &when.node);
        (known.tags == offer.tags && known.when.as_ref().is_some_and(same))
            .then(|| Arc::clone(&known.when_form))
    }

    /// Whether a condition that `next` has not compares a text, which may be compared by it alone.
    fn loses_texts(&self, next: &Engine) -> bool {
        let is_text = |form: &Alternatives| {
            let mut atoms = form.0.iter().flat_map(|all| &all.0);
            atoms.any(|atom| matches!(self.engine.terms.get(atom.term), Term::Text(..)))
        };
        self.engine.offers.iter().any(|offer| {
            let form = next.offer_id(offer.number).map(|id| &next.offer(id).when_form);
            !form.is_some_and(|form| is_same(form, &offer.when_form)) && is_text(&offer.when_form)
        })
    }

    /// What the index of `next` may take over.
    fn earlier(&self, next: &Engine) -> Earlier<'e> {
        let Engine { index, placements, offers, .. } = self.engine;
        let before = |offer: &Offer| {
            let id = self.engine.offer_id(offer.number)?;
            asks_the_same(offer, self.engine.offer(id)).then_some(id)
        };
        Earlier { index, placements, offers, same: next.offers.iter().map(before).collect() }
    }

    /// Whether the offers of all placements ask for the same, in the same order.
    fn has_index_of(&self, next: &Engine) -> bool {
        let engine = self.engine;
        let mut placements = next.placements.iter().zip(&engine.placements);
        next.terms.all().len() == engine.terms.all().len()
            && next.placements.len() == engine.placements.len()
            && placements.all(|(one, other)| {
                let mut offers = one.offers.iter().zip(&other.offers);
                one.offers.len() == other.offers.len()
                    && offers.all(|(one, other)| asks_the_same(next.offer(*one), engine.offer(*other)))
            })
    }
}

fn asks_the_same(one: &Offer, other: &Offer) -> bool {
    is_same(&one.when_form, &other.when_form)
        && is_same(&one.variant_form, &other.variant_form)
        && is_same(&one.schedule_form, &other.schedule_form)
        && one.guardrails == other.guardrails
}

/// Whether two normal forms are the same. Those that were taken over are one.
fn is_same(one: &Arc<Alternatives>, other: &Arc<Alternatives>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}
