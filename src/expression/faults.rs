//! What is wrong with a condition although it compiles: parts that never or always hold, operands that change nothing. Found
//! on normal forms, so what is said is certain; that nothing is said is not.

use super::keys::Keys;
use super::normalise::{Alternatives, Conjunction, Normaliser};
use super::parse::TermKind;
use super::term::TermId;
use super::{Expression, Node, Syntax};
use crate::schema::Schema;
use crate::schema::value::Value;

/// Operands of one `&&` or `||` among which those are looked for that could be left out: each is held against all others.
const MAX_OPERANDS: usize = 32;

/// Work that all conditions of one analysis may take together, about 3 ns each: beyond it only what is true of a condition
/// as a whole is said.
pub(crate) const MAX_WORK: u64 = 100_000_000;

/// The way from a condition to a part of it: at each `&&`, `||` and `!` which operand, of how many.
pub(crate) type Way = Vec<(usize, usize)>;

/// Something that is wrong with a part of a condition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    pub(crate) way: Way,
    /// Whether the part counts where it is true; below a `!` it counts where it is false.
    pub(crate) wanted: bool,
    pub(crate) kind: FaultKind,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FaultKind {
    /// It never comes out so; the terms that contradict themselves, if that can be named.
    Never(Option<Conflict>),
    /// It comes out so for everybody of whom these terms are known.
    Known(Vec<TermId>),
    /// It always comes out so.
    Always,
    /// The other operands of `&&` ask for it already.
    Implied,
    /// The other operands of `||` allow it already.
    Covered,
}

/// A term that would have to have one of these keys, and one of those.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Conflict {
    pub(crate) term: TermId,
    pub(crate) one: Keys,
    pub(crate) other: Keys,
}

impl Conflict {
    /// On what two conditions contradict each other, if it is one and the same term in all their alternatives.
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

/// Finds the faults of conditions.
pub(crate) struct Finder<'f, 's> {
    pub(crate) normaliser: &'f mut Normaliser<'s>,
    pub(crate) schema: &'f Schema,
    /// The rule set whose tags the condition reads.
    pub(crate) tags: usize,
    /// What is left of [`MAX_WORK`].
    work: &'f mut u64,
    /// What the forms of the parts that were looked at took to make.
    made: u64,
    faults: Vec<Fault>,
}

impl<'f, 's> Finder<'f, 's> {
    /// For conditions of the rule set with these tags.
    pub(crate) fn new(
        normaliser: &'f mut Normaliser<'s>,
        schema: &'f Schema,
        tags: usize,
        work: &'f mut u64,
    ) -> Finder<'f, 's> {
        Finder { normaliser, schema, tags, work, made: 0, faults: Vec::new() }
    }

    /// The faults of a condition with this normal form that matters only where it is true.
    pub(crate) fn of_condition(&mut self, condition: &Expression, whole: &Alternatives) -> Vec<Fault> {
        self.look(&condition.node, true, &mut Vec::new());
        if *self.work == 0 && self.faults.is_empty() {
            let always = self.always(whole).filter(|kind| *kind == FaultKind::Always);
            let kind = if whole.is_never() { Some(FaultKind::Never(None)) } else { always };
            kind.into_iter().for_each(|kind| self.note(&Way::new(), true, kind));
        }
        std::mem::take(&mut self.faults)
    }

    /// The faults of a condition that may matter where it is false, too: an operand can be left out only if neither changes.
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

    /// Notes what is wrong with a part and returns when it comes out as `wanted`; anything once no work is left.
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
                // The form is made anew, those of its parts included.
                if !self.spend(self.made - below) {
                    return Alternatives::always();
                }
                let form = self.normaliser.alternatives(node, self.tags, wanted);
                // What was said of an operand is not said of the whole again.
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

    /// Takes this from the work that is left; `false` if that is not enough.
    fn spend(&mut self, work: u64) -> bool {
        *self.work = self.work.saturating_sub(work);
        *self.work > 0
    }

    /// Whether there is room to hold each of these against all others.
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
        // Whether something is known may be asked of what is never known: that is said of the feature.
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

    /// Operands that must all come out as wanted.
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
            // To say that something must be known is good style, also where a comparison says it again.
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
                return; // with it left out, the others may matter
            }
        }
    }

    /// Operands of which one must come out as wanted.
    fn any(
        &mut self,
        nodes: &[Node],
        forms: &[Alternatives],
        whole: &Alternatives,
        wanted: bool,
        way: &mut Way,
    ) {
        // Who writes `age != null || …` knows that everybody of whom the age is known passes.
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

    /// That everybody passes, or everybody of whom enough is known.
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

/// Work that it takes to look at a form once.
fn weight(form: &Alternatives) -> u64 {
    let atoms = |conjunction: &Conjunction| {
        conjunction.0.iter().map(|atom| 1 + atom.keys.ranges().len() as u64).sum::<u64>()
    };
    form.0.iter().map(|conjunction| 1 + atoms(conjunction)).sum::<u64>().max(1)
}

/// Work that it takes at most to put forms together, one to those before it: what is put together has many alternatives if
/// they have.
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

/// Both, unless these would be too many alternatives to be worth it.
fn bounded(a: &Alternatives, b: &Alternatives) -> Option<Alternatives> {
    (a.0.len() * b.0.len() <= super::normalise::MAX_CONJUNCTIONS).then(|| a.and(b))
}

fn share_terms(a: &Alternatives, b: &Alternatives) -> bool {
    let reads = |form: &Alternatives, term: TermId| form.0.iter().any(|c| c.atom(term).is_some());
    a.0.iter().flat_map(|conjunction| &conjunction.0).any(|atom| reads(b, atom.term))
}

impl Syntax {
    /// The bytes of the part to which a way leads; of an earlier one where what was written differs from what is left after
    /// constants were folded.
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
