//! Faults of conditions that compile: parts that never or always hold, and operands that change nothing. They
//! are found on normal forms. So every fault is certain, but a fault may be missed.

use super::alternatives::{Alternatives, Conjunction};
use super::keys::Keys;
use super::normalise::Normaliser;
use super::syntax::TermKind;
use super::term::TermId;
use super::{Expression, Node, Syntax};
use crate::schema::Schema;
use crate::schema::value::Value;

/// The most operands of one `&&` or `||` among which it looks for needless ones. Each is compared with all
/// others.
const MAX_OPERANDS: usize = 32;

/// The most work for all conditions of one analysis together, about 3 ns for each unit. Beyond it only faults
/// of a whole condition are found.
pub(crate) const MAX_WORK: u64 = 100_000_000;

/// The way from a condition to one of its parts: at each `&&`, `||` and `!`, which operand, and of how many.
pub(crate) type Way = Vec<(usize, usize)>;

/// A fault of a part of a condition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    pub(crate) way: Way,
    /// Whether the part matters where it is true. Inside a `!` it matters where it is false.
    pub(crate) wanted: bool,
    pub(crate) kind: FaultKind,
}

/// What is wrong with the part. "So" means: as the part is wanted, true or false.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FaultKind {
    /// It never comes out so. The terms that contradict each other, if they can be named.
    Never(Option<Conflict>),
    /// It comes out so for all customers for whom these terms are known.
    Known(Vec<TermId>),
    /// It always comes out so.
    Always,
    /// The other operands of `&&` ask for it already.
    Implied,
    /// The other operands of `||` allow it already.
    Covered,
}

/// A term that would need a key from each of two sets, which have none in common.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Conflict {
    pub(crate) term: TermId,
    pub(crate) one: Keys,
    pub(crate) other: Keys,
}

impl Conflict {
    /// The conflict between two conditions, if it is about the same term in all their alternatives.
    pub(crate) fn between(a: &Alternatives, b: &Alternatives) -> Option<Conflict> {
        let pairs = || a.0.iter().flat_map(|ours| b.0.iter().map(move |theirs| (ours, theirs)));
        let (first, second) = pairs().next()?;
        first.conflicts(second).map(|(atom, _)| atom.term).find_map(|term| {
            let mut conflict = Conflict { term, one: Keys::nothing(), other: Keys::nothing() };
            for (ours, theirs) in pairs() {
                let (one, other) = (&ours.atom(term)?.keys, &theirs.atom(term)?.keys);
                conflict.one = conflict.one.union(one);
                conflict.other = conflict.other.union(other);
            }
            conflict.one.is_disjoint(&conflict.other).then_some(conflict)
        })
    }
}

/// Finds the faults of conditions until the allowed work is used up.
pub(crate) struct Finder<'f, 's> {
    pub(crate) normaliser: &'f mut Normaliser<'s>,
    pub(crate) schema: &'f Schema,
    /// The rule set whose tags the condition reads.
    pub(crate) tags: usize,
    /// How much is left of [`MAX_WORK`].
    work: &'f mut u64,
    /// The work that it took to make the forms of the parts looked at.
    made: u64,
    faults: Vec<Fault>,
}

impl<'f, 's> Finder<'f, 's> {
    /// A finder for conditions of the rule set with these tags.
    pub(crate) fn new(
        normaliser: &'f mut Normaliser<'s>,
        schema: &'f Schema,
        tags: usize,
        work: &'f mut u64,
    ) -> Finder<'f, 's> {
        Finder { normaliser, schema, tags, work, made: 0, faults: Vec::new() }
    }

    /// The faults of a condition that matters only where it is true. `whole` is its normal form.
    pub(crate) fn of_condition(&mut self, condition: &Expression, whole: &Alternatives) -> Vec<Fault> {
        self.look(&condition.node, true, &mut Vec::new());
        if *self.work == 0 && self.faults.is_empty() {
            let always = self.always(whole).filter(|kind| *kind == FaultKind::Always);
            let kind = if whole.is_never() { Some(FaultKind::Never(None)) } else { always };
            kind.into_iter().for_each(|kind| self.note(&Way::new(), true, kind));
        }
        std::mem::take(&mut self.faults)
    }

    /// The faults of a condition that may matter where it is false, too. Then an operand is needless only if
    /// the condition is true and false for the same customers without it.
    pub(crate) fn of_tag(&mut self, condition: &Expression, whole: &Alternatives) -> Vec<Fault> {
        let mut faults = self.of_condition(condition, whole);
        self.look(&condition.node, false, &mut Vec::new());
        let negated = std::mem::take(&mut self.faults);
        let idle = |fault: &Fault| matches!(fault.kind, FaultKind::Implied | FaultKind::Covered);
        faults.retain(|fault| {
            !idle(fault) || negated.iter().any(|other| idle(other) && other.way == fault.way)
        });
        faults
    }

    /// Notes what is wrong with a part, and returns when it comes out as `wanted`. Once no work is left, the
    /// result is meaningless.
    fn look(&mut self, node: &Node, wanted: bool, way: &mut Way) -> Alternatives {
        match node {
            Node::Not(inner) if matches!(&**inner, Node::And(_) | Node::Or(_) | Node::Not(_)) => {
                way.push((0, 1));
                let form = self.look(inner, !wanted, way);
                way.pop();
                form
            }
            Node::And(nodes) | Node::Or(nodes) => {
                let (known, below) = (self.faults.len(), self.made);
                let mut forms = Vec::with_capacity(nodes.len());
                for (i, operand) in nodes.iter().enumerate() {
                    way.push((i, nodes.len()));
                    forms.push(self.look(operand, wanted, way));
                    way.pop();
                }
                let joining = joining(&forms);
                self.made = self.made.saturating_add(joining);
                // The form is made anew, with the forms of all parts.
                if !self.spend(self.made - below) {
                    return Alternatives::always();
                }
                let form = self.normaliser.alternatives(node, self.tags, wanted);
                // A fault of an operand is not repeated for the whole.
                if self.faults.len() == known {
                    if matches!(node, Node::And(_)) == wanted {
                        self.all(nodes, &forms, &form, wanted, way);
                    } else {
                        self.any(nodes, &forms, &form, wanted, way);
                    }
                }
                form
            }
            leaf => self.leaf(leaf, wanted, way),
        }
    }

    /// Takes this from the work that is left; `false` if nothing remains.
    fn spend(&mut self, work: u64) -> bool {
        *self.work = self.work.saturating_sub(work);
        *self.work > 0
    }

    /// Whether there is enough work left to compare each of these with all others.
    fn may_compare(&mut self, forms: &[Alternatives]) -> bool {
        forms.len() <= MAX_OPERANDS && self.spend(joining(forms).saturating_mul(forms.len() as u64))
    }

    fn leaf(&mut self, node: &Node, wanted: bool, way: &Way) -> Alternatives {
        if *self.work == 0 {
            return Alternatives::always();
        }
        let form = self.normaliser.alternatives(node, self.tags, wanted);
        self.made = self.made.saturating_add(weight(&form));
        self.spend(weight(&form));
        let compares = |node: &Node| matches!(node, Node::Compare(..) | Node::In(_));
        // A condition may ask whether something is known that is never known. That is a fault of the feature,
        // reported there.
        let told = compares(node) || matches!(node, Node::Not(inner) if compares(inner));
        if form.is_never() && (told || matches!(node, Node::Tag(_) | Node::Constant(_) | Node::If(_))) {
            self.note(way, wanted, FaultKind::Never(None));
        } else if let Some(kind) = self.always(&form).filter(|_| told && wanted) {
            self.note(way, wanted, kind);
        } else if *node == Node::Constant(Value::Bool(wanted)) {
            self.note(way, wanted, FaultKind::Always);
        }
        form
    }

    /// Looks at operands that must all come out as wanted.
    fn all(
        &mut self,
        nodes: &[Node],
        forms: &[Alternatives],
        whole: &Alternatives,
        wanted: bool,
        way: &mut Way,
    ) {
        if whole.is_never() {
            let pairs = (0..forms.len()).flat_map(|i| (i + 1..forms.len()).map(move |j| (i, j)));
            let conflict = pairs.into_iter().find_map(|(i, j)| Conflict::between(&forms[i], &forms[j]));
            self.note(way, wanted, FaultKind::Never(conflict));
            return;
        }
        if !self.may_compare(forms) {
            return;
        }
        for i in (0..forms.len()).rev() {
            // It is good style to say that something must be known, even if a comparison says it again.
            let mut others = (0..forms.len()).filter(|j| *j != i);
            if says_known(&nodes[i]) || !others.clone().any(|j| share_terms(&forms[i], &forms[j])) {
                continue;
            }
            if others.clone().any(|j| forms[i].is_implied_by(&forms[j])) || {
                let rest = others.try_fold(Alternatives::always(), |rest, j| bounded(&rest, &forms[j]));
                rest.is_some_and(|rest| forms[i].is_implied_by(&rest))
            } {
                way.push((i, forms.len()));
                self.note(way, wanted, FaultKind::Implied);
                way.pop();
                return; // without it, the others may matter
            }
        }
    }

    /// Looks at operands of which one must come out as wanted.
    fn any(
        &mut self,
        nodes: &[Node],
        forms: &[Alternatives],
        whole: &Alternatives,
        wanted: bool,
        way: &mut Way,
    ) {
        // Someone who writes `age != null || …` means everyone whose age is known to pass.
        let meant = whole.0.len() > 1 || nodes.iter().any(says_known);
        match self.always(whole) {
            Some(kind) if wanted && (kind == FaultKind::Always || !meant) => {
                return self.note(way, wanted, kind);
            }
            _ => {}
        }
        if !self.may_compare(forms) {
            return;
        }
        for i in (0..forms.len()).rev() {
            let others = Alternatives(
                (0..forms.len()).filter(|j| *j != i).flat_map(|j| forms[j].0.iter().cloned()).collect(),
            );
            if others.is_implied_by(&forms[i]) {
                way.push((i, forms.len()));
                self.note(way, wanted, FaultKind::Covered);
                way.pop();
                return;
            }
        }
    }

    /// Whether everyone passes, or everyone for whom enough is known.
    fn always(&self, form: &Alternatives) -> Option<FaultKind> {
        let everything = |conjunction: &&Conjunction| {
            conjunction.0.iter().all(|atom| {
                let last = self.normaliser.terms.get(atom.term).last(self.schema);
                atom.keys.others(last).is_empty()
            })
        };
        let found = form.0.iter().find(everything)?;
        let unknown = found.0.iter().filter(|atom| !atom.keys.has_none());
        let terms: Vec<TermId> = unknown.map(|atom| atom.term).collect();
        Some(if terms.is_empty() { FaultKind::Always } else { FaultKind::Known(terms) })
    }

    fn note(&mut self, way: &Way, wanted: bool, kind: FaultKind) {
        self.faults.push(Fault { way: way.clone(), wanted, kind });
    }
}

/// The work that it takes to look at a form once.
fn weight(form: &Alternatives) -> u64 {
    let atoms = |conjunction: &Conjunction| {
        conjunction.0.iter().map(|atom| 1 + atom.keys.ranges().len() as u64).sum::<u64>()
    };
    form.0.iter().map(|conjunction| 1 + atoms(conjunction)).sum::<u64>().max(1)
}

/// The most work that it takes to put forms together one by one. The result has many alternatives if they
/// have.
fn joining(forms: &[Alternatives]) -> u64 {
    let ways = forms.iter().fold(1, |ways, form| match form.0.len() {
        0 => ways,
        more => (ways * more).min(super::normalise::MAX_CONJUNCTIONS),
    });
    let weights = forms.iter().map(weight).sum::<u64>();
    weights.saturating_mul(forms.len() as u64).saturating_mul(ways as u64)
}

/// Whether a part only asks whether something is known, or missing.
fn says_known(node: &Node) -> bool {
    matches!(node, Node::Has(_)) || matches!(node, Node::Not(inner) if matches!(&**inner, Node::Has(_)))
}

/// Both together, unless that takes too many alternatives to be worth it.
fn bounded(a: &Alternatives, b: &Alternatives) -> Option<Alternatives> {
    (a.0.len() * b.0.len() <= super::normalise::MAX_CONJUNCTIONS).then(|| a.and(b))
}

fn share_terms(a: &Alternatives, b: &Alternatives) -> bool {
    let reads = |form: &Alternatives, term: TermId| form.0.iter().any(|c| c.atom(term).is_some());
    a.0.iter().flat_map(|conjunction| &conjunction.0).any(|atom| reads(b, atom.term))
}

impl Syntax {
    /// The bytes of the part at the end of a way. Where constants were folded, the way may end early, at a
    /// part around it.
    pub(crate) fn part(&self, way: &Way) -> (usize, usize) {
        let mut term = &self.root;
        for (step, of) in way {
            term = match &term.kind {
                TermKind::And(operands) | TermKind::Or(operands) if operands.len() == *of => &operands[*step],
                TermKind::Not(inner) if *of == 1 => inner,
                _ => break,
            };
        }
        let (start, mut end) = (term.start, term.end.min(self.text.len()));
        while let Some(part) = self.text.get(start..end)
            && part.matches('(').count() > part.matches(')').count()
            && let Some(close) = self.text[end..].find(')')
        {
            end += close + 1;
        }
        (start, end)
    }
}
