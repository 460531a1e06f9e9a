//! Offers and tags that ask for the same, and tags that nothing uses.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::FixedState;

use super::{Analysis, Draft, WarningKind};
use crate::engine::{Offer, OfferId};
use crate::expression::alternatives::Alternatives;
use crate::expression::experiment::InVariant;
use crate::rules::rule_set::RuleSet;

/// The most offers or tags with the same hash that one is compared with.
const MAX_COMPARED: usize = 8;

impl Analysis<'_> {
    pub(super) fn duplicates(&mut self) {
        let mut known: HashMap<u64, Vec<OfferId>> = HashMap::new();
        for i in 0..self.engine.offer_count() {
            let id = OfferId(i as u32);
            let offer = self.engine.offer(id);
            if self.told[i] || offer.when.is_none() || self.is_capped(id) {
                // Capped offers may take turns, and offers for everyone are meant to differ only in rank.
                continue;
            }
            let same = known.entry(self.hash_of(offer)).or_default();
            let first =
                same.iter().take(MAX_COMPARED).find(|other| self.is_twin(self.engine.offer(**other), offer));
            match first.copied() {
                Some(first) => self.twins(first, id),
                None => same.push(id),
            }
        }
    }

    fn is_capped(&self, id: OfferId) -> bool {
        let offer = self.engine.offer(id);
        offer.treatments.iter().any(|there| self.engine.caps.may_stop(id, offer, there.placement))
    }

    fn hash_of(&self, offer: &Offer) -> u64 {
        let mut hasher = FixedState::default().build_hasher();
        hash_form(&offer.when_form, &mut hasher);
        (offer.priority, offer.value.to_bits(), offer.group, &offer.guardrails).hash(&mut hasher);
        hasher.finish()
    }

    /// Whether two offers are eligible for the same customers, at the same time, with the same score, in
    /// the same places.
    fn is_twin(&self, a: &Offer, b: &Offer) -> bool {
        let places = |offer: &Offer| {
            let mut places: Vec<_> = offer
                .treatments
                .iter()
                .map(|t| (t.placement, t.locale.as_ref(), t.variant.as_ref()))
                .collect();
            let variant = |variant: &InVariant| (variant.experiment.place, variant.variant);
            places.sort_by_key(|(placement, locale, of)| {
                (*placement, locale.map(|locale| locale.as_str()), of.map(variant))
            });
            places
                .into_iter()
                .map(|(placement, locale, of)| (placement, locale.cloned(), of.cloned()))
                .collect::<Vec<_>>()
        };
        a.learned.is_none()
            && b.learned.is_none()
            && a.when_form == b.when_form
            && a.variant_form == b.variant_form
            && a.schedule_form == b.schedule_form
            && a.guardrails == b.guardrails
            && (a.priority, a.value, a.group) == (b.priority, b.value, b.group)
            && (&a.propensity.node, &a.boost.node) == (&b.propensity.node, &b.boost.node)
            && a.tags == b.tags
            && places(a) == places(b)
    }

    fn twins(&mut self, one: OfferId, other: OfferId) {
        let engine = self.engine;
        let (before, behind) =
            if engine.offer(one).name < engine.offer(other).name { (one, other) } else { (other, one) };
        self.told[behind.0 as usize] = true;
        let (before, behind) = (engine.offer(before), engine.offer(behind));
        let detail = format!(
            "offer `{}` asks for the same as `{}` (line {}), in the same tier, with the same score and on the same \
             placements: `{}` always comes first, because of its name",
            behind.name, before.name, before.line, before.name
        );
        let draft = Draft::of(WarningKind::Duplicate, behind, detail)
            .by(before.tags)
            .hint("give one of them another priority, propensity or condition, or merge them into one offer");
        self.warn_at(draft, &["offers", &behind.name]);
    }

    /// Finds tags that ask for the same, and tags that nothing uses.
    pub(super) fn tags(&mut self) {
        let used = used(&self.sets, "tag");
        for set in 0..self.sets.len() {
            let mut known: HashMap<u64, Vec<(usize, Alternatives, Alternatives)>> = HashMap::new();
            for (place, tag) in self.engine.tags[set].iter().enumerate() {
                if !used.contains(&(set, &*tag.name)) {
                    let detail = format!("nothing uses tag `{}`", tag.name);
                    self.warn_at(Draft::new(WarningKind::UnusedTag, set, detail), &["tags", &tag.name]);
                }
                let yes = self.normaliser.condition(&tag.condition, set);
                let no = self.normaliser.negation(&tag.condition, set);
                if yes.is_never() || yes.is_always() {
                    continue; // its condition has a warning already
                }
                let mut hasher = FixedState::default().build_hasher();
                hash_form(&yes, &mut hasher);
                let same = known.entry(hasher.finish()).or_default();
                let twin = same.iter().take(MAX_COMPARED).find(|(_, y, n)| *y == yes && *n == no);
                match twin.map(|(twin, ..)| *twin) {
                    Some(twin) => self.twin_tags(set, twin, place),
                    None => same.push((place, yes, no)),
                }
            }
        }
    }

    fn twin_tags(&mut self, set: usize, one: usize, other: usize) {
        let tags = &self.engine.tags[set];
        let (one, other) = (&tags[one], &tags[other]);
        let detail =
            format!("tag `{}` says the same as `{}` (line {})", other.name, one.name, one.condition.line);
        let draft =
            Draft::new(WarningKind::Duplicate, set, detail).hint(format!("use `tag.{}` for both", one.name));
        self.warn_at(draft, &["tags", &other.name]);
    }
}

/// The names behind `root.` anywhere in the texts of a rule set, whether they have an effect or not.
pub(super) fn used<'a>(sets: &[&'a RuleSet], root: &str) -> HashSet<(usize, &'a str)> {
    let mut used = HashSet::new();
    for (set, rules) in sets.iter().enumerate() {
        let offers = rules.offers.iter().flat_map(|offer| {
            offer.when.iter().chain([&offer.propensity, &offer.boost]).map(|expression| &*expression.text)
        });
        let tags = rules.tags.iter().map(|tag| &*tag.condition.text);
        let guardrails = rules.guardrails.iter().map(|guardrail| &*guardrail.syntax.text);
        for text in offers.chain(tags).chain(guardrails) {
            used.extend(text.match_indices(root).filter_map(|(at, prefix)| {
                let rest = after_blanks(&text[at + prefix.len()..]).strip_prefix('.')?;
                let rest = after_blanks(rest);
                let name = match rest.strip_prefix('`') {
                    Some(quoted) => quoted.split('`').next()?,
                    None => rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?,
                };
                Some((set, name))
            }));
        }
    }
    used
}

/// The text after the blanks and comments that may stand around a dot.
fn after_blanks(text: &str) -> &str {
    let mut text = text.trim_start();
    while let Some(comment) = text.strip_prefix("//") {
        text = comment.split_once('\n').map_or("", |(_, rest)| rest.trim_start());
    }
    text
}

fn hash_form(form: &Alternatives, hasher: &mut impl Hasher) {
    for conjunction in &form.0 {
        conjunction.0.len().hash(hasher);
        conjunction.0.iter().for_each(|atom| (atom.term, &atom.keys).hash(hasher));
    }
}
