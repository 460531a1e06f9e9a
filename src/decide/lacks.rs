//! What would have let a condition hold: for each of its alternatives, the atoms that do not hold, found on
//! normal forms. Each term is evaluated once, however many offers ask for it.

use super::Seen;
use crate::engine::Engine;
use crate::expression::Node;
use crate::expression::alternatives::{Alternatives, Atom};
use crate::expression::keys::Keys;
use crate::expression::seen::variant_of;
use crate::expression::term::{Scoped, Term, TermId};
use crate::schema::value::Value;

/// The most alternatives that are reported for one condition.
pub const MAX_WAYS: usize = 3;
/// The most levels of tags that are looked into; below them the tag itself is named.
const MAX_TAGS: usize = 4;
/// The most tags that are looked into for one condition, counting those inside others each time they are
/// met. Beyond them the tag itself is named.
const MAX_LOOKS: usize = 64;

/// An atom that does not hold: the term, its value, and what it would have to be.
#[derive(Debug, Clone)]
pub struct Lack<'e> {
    term: TermId,
    /// The term's value.
    pub value: Value<'e>,
    keys: &'e Keys,
    /// The tag whose condition contains it, if any.
    pub tag: Option<&'e str>,
}

impl Lack<'_> {
    /// The term as it would be written: `aum`, `now - last_login`.
    pub fn term(&self, engine: &Engine) -> String {
        engine.words().term(self.term)
    }

    /// What the term would have to be: `at least 500000`.
    pub fn needs(&self, engine: &Engine) -> String {
        engine.words().needs(self.term, self.keys)
    }
}

/// The terms of one explained placement, each evaluated when first asked for.
pub(super) struct SeenTerms<'s, 'e, 'r> {
    pub(super) seen: &'s Seen<'e, 'r>,
    /// Each term's place in `known`, counted from 1; 0 if it is not there yet.
    places: Vec<u32>,
    known: Vec<(Option<u64>, Value<'e>)>,
    /// How many of the [`MAX_LOOKS`] are left.
    looks: usize,
}

impl<'s, 'e: 'r, 'r> SeenTerms<'s, 'e, 'r> {
    pub(super) fn new(seen: &'s Seen<'e, 'r>) -> SeenTerms<'s, 'e, 'r> {
        SeenTerms { seen, places: vec![0; seen.engine.terms.all().len()], known: Vec::new(), looks: 0 }
    }

    /// What a condition lacks to hold, as alternatives; the one that lacks least comes first.
    pub(super) fn lacks(&mut self, form: &'e Alternatives) -> Vec<Vec<Lack<'e>>> {
        self.looks = MAX_LOOKS;
        self.ways(form, None, 0)
    }

    fn ways(&mut self, form: &'e Alternatives, tag: Option<&'e str>, depth: usize) -> Vec<Vec<Lack<'e>>> {
        let mut found = Vec::with_capacity(form.0.len());
        for conjunction in &form.0 {
            let mut ways = Vec::new();
            for atom in &conjunction.0 {
                let place = self.place(atom.term);
                if atom.keys.contains(self.known[place].0) {
                    continue;
                }
                let inner = self.inside(atom, depth);
                if ways.is_empty() {
                    ways.push(Vec::new());
                }
                if inner.is_empty() {
                    let value = self.known[place].1.clone();
                    let lack = Lack { term: atom.term, value, keys: &atom.keys, tag };
                    ways.iter_mut().for_each(|way| way.push(lack.clone()));
                } else {
                    ways = together(&ways, &inner);
                }
            }
            found.append(&mut ways);
        }
        found.sort_by_key(Vec::len);
        found.truncate(MAX_WAYS);
        found
    }

    /// What lacks inside a tag that does not have the wanted value; empty if the atom is not a tag.
    fn inside(&mut self, atom: &Atom, depth: usize) -> Vec<Vec<Lack<'e>>> {
        let engine = self.seen.engine;
        let Term::Truth(scoped) = engine.terms.get(atom.term) else { return Vec::new() };
        let Node::Tag(tag) = scoped.node else { return Vec::new() };
        if depth == MAX_TAGS || self.looks == 0 {
            return Vec::new();
        }
        self.looks -= 1;
        let wanted = usize::from(atom.keys.contains(Some(1)));
        let form = &engine.tag_forms[scoped.tags][tag][wanted];
        self.ways(form, Some(&engine.tags[scoped.tags][tag].name), depth + 1)
    }

    /// The place of a term's key and value in `known`.
    fn place(&mut self, id: TermId) -> usize {
        let place = self.places[id.0 as usize];
        if place > 0 {
            return place as usize - 1;
        }
        let seen = self.seen;
        let term = seen.engine.terms.get(id);
        let key = term.key(&|tags| seen.facts(tags), seen.vector.words());
        self.known.push((key, self.value(term, key)));
        self.places[id.0 as usize] = self.known.len() as u32;
        self.known.len() - 1
    }

    fn value(&self, term: &'e Term, key: Option<u64>) -> Value<'e> {
        let seen = self.seen;
        let schema = &seen.engine.schema;
        match (term, key) {
            (Term::Feature(id, ..) | Term::Bits(id, ..), _) => seen.vector.get(schema, *id, seen.now),
            (_, None) => Value::Missing,
            (Term::Text(_, texts), Some(key @ 1..)) => {
                texts.get(key).map_or(Value::Missing, |text| Value::Text(text.into()))
            }
            (Term::Text(scoped, _), _) => scoped.node.evaluate(&seen.facts(scoped.tags)).into_owned(),
            (Term::Truth(_), Some(key)) => Value::Bool(key == 1),
            (Term::Computed(Scoped { node: Node::Rank(word, _), tags }, _), _) => {
                word.evaluate(&seen.facts(*tags)).into_owned()
            }
            (Term::Computed(Scoped { node: Node::Variant(experiment), tags }, _), _) => {
                variant_of(experiment, &seen.facts(*tags))
            }
            (Term::Computed(Scoped { node: Node::Code(id), .. }, _), _) => {
                seen.vector.get(schema, *id, seen.now)
            }
            (_, Some(key)) => term.value(schema, key).unwrap_or(Value::Missing),
        }
    }
}

/// Combines each way of one list with each of the other, and keeps those that lack least.
fn together<'e>(some: &[Vec<Lack<'e>>], others: &[Vec<Lack<'e>>]) -> Vec<Vec<Lack<'e>>> {
    let mut ways: Vec<Vec<Lack<'e>>> = some
        .iter()
        .flat_map(|one| others.iter().map(move |other| one.iter().chain(other).cloned().collect()))
        .collect();
    ways.sort_by_key(Vec::len);
    ways.truncate(MAX_WAYS);
    ways
}
