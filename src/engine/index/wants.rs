//! What offers ask for altogether: their conditions, variants, schedules and guardrails in one normal form.

use std::borrow::Cow;

use super::MAX_ATOMS;
use crate::engine::{Guardrail, Offer, OfferId, Placement};
use crate::expression::alternatives::{Alternatives, Atom, Conjunction};
use crate::expression::keys::Keys;
use crate::expression::normalise::MAX_SHARED_RANGES;
use crate::expression::term::{Scoped, Term, TermId, Terms};

/// Everything that each offer asks for.
pub(super) struct Wants<'e> {
    /// By [`OfferId`]. Offers that no placement shows are left out: they ask for nothing that can be.
    asked: Vec<Cow<'e, Alternatives>>,
    /// What each guardrail adds, by [`GuardrailId`](crate::engine::GuardrailId).
    added: Vec<Cow<'e, Alternatives>>,
    /// Whether all of it stands here. Otherwise some conditions are evaluated as a whole.
    pub(super) is_whole: bool,
}

impl<'e> Wants<'e> {
    pub(super) fn of(
        placements: &[Placement],
        offers: &'e [Offer],
        guardrails: &'e [Guardrail],
        terms: &mut Terms,
    ) -> Wants<'e> {
        let evaluated = |terms: &mut Terms, guardrail: &Guardrail| {
            truth(terms, Scoped::new(&guardrail.condition.node, guardrail.tags))
        };
        // Guardrails with alternatives would multiply every offer's conjunctions, and a large one would be
        // copied to all of them. Such guardrails are evaluated once for all offers instead.
        let added: Vec<Cow<'_, Alternatives>> = guardrails
            .iter()
            .map(|guardrail| {
                let small = guardrail.form.0.len() <= 1 && guardrail.form.ranges() <= MAX_SHARED_RANGES;
                if small { Cow::Borrowed(&guardrail.form) } else { Cow::Owned(evaluated(terms, guardrail)) }
            })
            .collect();
        let mut left = MAX_ATOMS;
        let mut is_whole = true;
        let asked = offers.iter().zip(shown(placements, offers.len())).map(|(offer, shown)| {
            if shown == 0 {
                return Cow::Owned(Alternatives::never());
            }
            let guardrail_ids = || offer.guardrails.iter().map(|id| id.0 as usize);
            let own = both(Cow::Borrowed(&*offer.schedule_form), &offer.variant_form);
            let must = guardrail_ids().fold(own.clone(), |all, id| both(all, &added[id]));
            let whole = match must.is_always() {
                true => Cow::Borrowed(&*offer.when_form),
                false => Cow::Owned(must.and(&offer.when_form)),
            };
            if let Some(rest) = left.checked_sub(shown * whole.ranges()) {
                left = rest;
                return whole;
            }
            is_whole = false;
            let all =
                guardrail_ids().fold(own, |all, id| Cow::Owned(all.and(&evaluated(terms, &guardrails[id]))));
            match &offer.when {
                Some(when) => Cow::Owned(all.and(&truth(terms, Scoped::new(&when.node, offer.tags)))),
                None => all,
            }
        });
        Wants { asked: asked.collect(), added, is_whole }
    }

    /// What an offer asks for: one of these conjunctions.
    pub(super) fn of_offer(&self, id: OfferId) -> &[Conjunction] {
        &self.asked[id.0 as usize].0
    }

    /// The terms of all that an offer may ask for, which may be one of an engine with the same guardrails.
    pub(super) fn terms_of<'o>(&'o self, offer: &'o Offer) -> impl Iterator<Item = TermId> + 'o {
        let own = [&*offer.when_form, &offer.variant_form, &offer.schedule_form];
        let added = offer.guardrails.iter().map(|id| &*self.added[id.0 as usize]);
        let conjunctions = own.into_iter().chain(added).flat_map(|asked| &asked.0);
        conjunctions.flat_map(|conjunction| &conjunction.0).map(|atom| atom.term)
    }

    /// Where the keys of each of these terms are cut into buckets.
    pub(super) fn cuts(&self, of: &[bool]) -> Vec<Vec<u64>> {
        let mut cuts: Vec<Vec<u64>> = vec![Vec::new(); of.len()];
        for atom in self.asked.iter().flat_map(|asked| &asked.0).flat_map(|conjunction| &conjunction.0) {
            if !of[atom.term.0 as usize] {
                continue;
            }
            let cuts = &mut cuts[atom.term.0 as usize];
            for (first, last) in atom.keys.ranges() {
                cuts.push(*first);
                cuts.extend(last.checked_add(1));
            }
        }
        cuts
    }
}

/// How many placements show each offer, by [`OfferId`].
pub(super) fn shown(placements: &[Placement], offers: usize) -> Vec<usize> {
    let mut shown = vec![0; offers];
    for id in placements.iter().flat_map(|placement| &placement.offers) {
        shown[id.0 as usize] += 1;
    }
    shown
}

/// The condition that both hold. Most offers ask for nothing but their own condition, which is not copied.
fn both<'a>(one: Cow<'a, Alternatives>, other: &'a Alternatives) -> Cow<'a, Alternatives> {
    if one.is_always() {
        Cow::Borrowed(other)
    } else if other.is_always() {
        one
    } else {
        Cow::Owned(one.and(other))
    }
}

fn truth(terms: &mut Terms, scoped: Scoped) -> Alternatives {
    let term = terms.intern(Term::Truth(scoped));
    Alternatives(vec![Conjunction(vec![Atom { term, keys: Keys::one(1) }])])
}
