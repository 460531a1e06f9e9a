//! The normal form of a condition: alternatives, of which each is a conjunction of atoms.

use super::keys::Keys;
use super::term::TermId;

/// A condition that holds if one of its alternatives does. Without alternatives it never holds. With one that
/// asks for nothing it always does.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Alternatives(pub(crate) Vec<Conjunction>);

/// Atoms that must all hold, in the order of their terms. Each term is there at most once.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Conjunction(pub(crate) Vec<Atom>);

/// Asks that a term has one of these keys.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Atom {
    pub(crate) term: TermId,
    pub(crate) keys: Keys,
}

impl Alternatives {
    /// The condition that is never true.
    pub(crate) fn never() -> Alternatives {
        Alternatives(Vec::new())
    }

    /// The condition that is always true.
    pub(crate) fn always() -> Alternatives {
        Alternatives(vec![Conjunction::default()])
    }

    /// Whether it is never true, so that no customer can pass.
    pub(crate) fn is_never(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is always true, so that every customer passes.
    pub(crate) fn is_always(&self) -> bool {
        self.0.iter().any(|conjunction| conjunction.0.is_empty())
    }

    pub(super) fn of(term: TermId, keys: Keys) -> Alternatives {
        if keys.is_empty() {
            return Alternatives::never();
        }
        Alternatives(vec![Conjunction(vec![Atom { term, keys }])])
    }

    /// The condition that both hold.
    pub(crate) fn and(&self, other: &Alternatives) -> Alternatives {
        let mut both = Alternatives::never();
        for a in &self.0 {
            for b in &other.0 {
                if let Some(conjunction) = a.and(b) {
                    both.add(conjunction);
                }
            }
        }
        both
    }

    /// Adds one more alternative. If it differs from another one in a single term, the two are joined.
    pub(super) fn add(&mut self, conjunction: Conjunction) {
        let mut new = conjunction;
        let mut at = 0;
        while at < self.0.len() {
            match self.0[at].joined(&new) {
                Some(joined) => {
                    self.0.remove(at);
                    new = joined;
                    at = 0; // now that it is wider, it may join with others
                }
                None => at += 1,
            }
        }
        self.0.push(new);
    }

    /// Whether it holds wherever `other` does. Alternatives are compared one by one, so `false` may be wrong.
    pub(crate) fn is_implied_by(&self, other: &Alternatives) -> bool {
        other.0.iter().all(|theirs| self.0.iter().any(|ours| ours.is_implied_by(theirs)))
    }

    /// Whether it can never hold together with `other`.
    pub(crate) fn excludes(&self, other: &Alternatives) -> bool {
        self.0.iter().all(|ours| other.0.iter().all(|theirs| ours.conflicts(theirs).next().is_some()))
    }

    /// How many ranges of keys all its atoms have.
    pub(crate) fn ranges(&self) -> usize {
        self.0.iter().map(Conjunction::ranges).sum()
    }
}

#[cfg(test)]
impl Alternatives {
    /// Whether it holds for terms with these keys.
    pub(crate) fn holds(&self, key: &mut impl FnMut(TermId) -> Option<u64>) -> bool {
        self.0.iter().any(|conjunction| conjunction.0.iter().all(|atom| atom.keys.contains(key(atom.term))))
    }
}

impl Conjunction {
    /// The pairs of atoms for one term that have no key in common.
    pub(crate) fn conflicts<'c>(
        &'c self,
        other: &'c Conjunction,
    ) -> impl Iterator<Item = (&'c Atom, &'c Atom)> {
        self.0.iter().filter_map(|atom| {
            let theirs = other.atom(atom.term)?;
            atom.keys.is_disjoint(&theirs.keys).then_some((atom, theirs))
        })
    }

    /// The atom that asks for this term.
    pub(crate) fn atom(&self, term: TermId) -> Option<&Atom> {
        let at = self.0.binary_search_by_key(&term, |atom| atom.term).ok()?;
        Some(&self.0[at])
    }

    /// How many ranges of keys its atoms have; an atom without a range counts as one.
    pub(crate) fn ranges(&self) -> usize {
        self.0.iter().map(|atom| atom.keys.ranges().len().max(1)).sum()
    }

    /// The conjunction of both; `None` if they cannot hold together.
    pub(crate) fn and(&self, other: &Conjunction) -> Option<Conjunction> {
        let mut atoms = Vec::with_capacity(self.0.len() + other.0.len());
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        loop {
            let atom = match (a.peek(), b.peek()) {
                (Some(left), Some(right)) if left.term == right.term => {
                    let keys = left.keys.intersection(&right.keys);
                    if keys.is_empty() {
                        return None;
                    }
                    b.next();
                    a.next().map(|atom| Atom { term: atom.term, keys })
                }
                (Some(left), Some(right)) if left.term < right.term => a.next().cloned(),
                (Some(_), None) => a.next().cloned(),
                (_, Some(_)) => b.next().cloned(),
                (None, None) => return Some(Conjunction(atoms)),
            };
            atoms.extend(atom);
        }
    }

    /// One conjunction that says the same as either of the two, if there is one.
    fn joined(&self, other: &Conjunction) -> Option<Conjunction> {
        if self.is_implied_by(other) {
            return Some(self.clone());
        }
        if other.is_implied_by(self) {
            return Some(other.clone());
        }
        if self.0.len() != other.0.len() || self.0.iter().zip(&other.0).any(|(a, b)| a.term != b.term) {
            return None;
        }
        let mut differing = (0..self.0.len()).filter(|i| self.0[*i].keys != other.0[*i].keys);
        let (at, None) = (differing.next()?, differing.next()) else { return None };
        let mut joined = self.clone();
        joined.0[at].keys = self.0[at].keys.union(&other.0[at].keys);
        Some(joined)
    }

    /// Whether it holds wherever `other` does.
    pub(crate) fn is_implied_by(&self, other: &Conjunction) -> bool {
        self.0.iter().all(|atom| {
            let theirs = other.0.binary_search_by_key(&atom.term, |other| other.term);
            theirs.is_ok_and(|at| other.0[at].keys.intersection(&atom.keys) == other.0[at].keys)
        })
    }
}
