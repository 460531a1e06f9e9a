//! A normal form made ready for a scan. What stored bits tell becomes [`Filter`]s. What does not depend on
//! the customer is decided here. The rest is evaluated for the customers who are left.

use super::evaluator::{Evaluator, Reads};
use super::filter::{Filter, Rows};
use crate::expression::alternatives::{Alternatives, Atom};
use crate::expression::keys::Keys;
use crate::expression::term::{Number, Scoped, Term, Terms};
use crate::expression::{Comparison, Node, Operator};
use crate::schema::{FeatureId, Kind, RowPlace};
use crate::state::store::Batch;

/// A term over one feature of at most this many bits is computed once for each code.
const MAX_TABLE_BITS: u32 = 8;

/// The cost of evaluating an atom, in filters.
const EVALUATION: usize = 100;

/// The customers that a condition selects.
#[derive(Debug)]
pub(super) struct Plan {
    /// The alternatives: one that holds is enough.
    ways: Vec<Way>,
    /// Whether an atom reads what only a request knows; such an atom counts as passed.
    pub(super) depends_on_request: bool,
}

/// One alternative: everything in it must hold.
#[derive(Debug, Default)]
struct Way {
    filters: Vec<Filter>,
    evaluated: Vec<Atom>,
}

/// What an atom is turned into.
enum Step {
    Always,
    Never,
    Request,
    Filter(Filter),
    Evaluate,
}

/// Makes plans that share the columns of one scan.
pub(super) struct Planner<'e, 's> {
    evaluator: &'e Evaluator<'s>,
    terms: &'e Terms,
    /// The words of a row that the plans look at, in the order of the columns.
    pub(super) words: Vec<usize>,
}

impl<'e, 's> Planner<'e, 's> {
    pub(super) fn new(evaluator: &'e Evaluator<'s>, terms: &'e Terms) -> Planner<'e, 's> {
        Planner { evaluator, terms, words: Vec::new() }
    }

    /// The plan for a condition, given its normal form over the terms.
    pub(super) fn plan(&mut self, form: &Alternatives) -> Plan {
        let mut plan = Plan { ways: Vec::new(), depends_on_request: false };
        for conjunction in &form.0 {
            let mut way = Way::default();
            let mut open = true;
            for atom in &conjunction.0 {
                match self.step(atom) {
                    Step::Always => {}
                    Step::Never => open = false,
                    Step::Request => plan.depends_on_request = true,
                    Step::Filter(filter) => way.filters.push(filter),
                    Step::Evaluate => way.evaluated.push(atom.clone()),
                }
            }
            if open {
                way.filters.sort_by(|a, b| a.share().total_cmp(&b.share()));
                plan.ways.push(way);
            }
        }
        plan
    }

    fn step(&mut self, atom: &Atom) -> Step {
        let keys = &atom.keys;
        match self.terms.get(atom.term) {
            Term::Feature(_, field, order) => {
                Step::Filter(Filter::feature(self.column(field.place().0.into()), *field, *order, keys))
            }
            Term::Bits(_, field, words) => {
                Step::Filter(Filter::bits(self.column(field.place().0.into()), *field, *words, keys))
            }
            term => self.computed(term, keys),
        }
    }

    fn computed(&mut self, term: &Term, keys: &Keys) -> Step {
        let reads = self.evaluator.reads(term);
        if reads.request {
            return Step::Request;
        }
        let codes = match reads.features[..] {
            [] => {
                return if keys.contains(self.evaluator.key(term, &[])) { Step::Always } else { Step::Never };
            }
            [only] => self.codes(term, keys, only).map(|codes| (only, codes)),
            _ => None,
        };
        if let Some((only, codes)) = codes
            && let Some(field) = self.evaluator.schema.feature(only).field
        {
            return Step::Filter(Filter::codes(self.column(field.place().0.into()), field, &codes));
        }
        self.columns_of(&reads);
        Step::Evaluate
    }

    /// The codes of the only feature that a term reads for which the term has one of these keys; `None` if
    /// they are not known.
    fn codes(&self, term: &Term, keys: &Keys, only: FeatureId) -> Option<Keys> {
        let field = self.evaluator.schema.feature(only).field?;
        if field.bits() <= MAX_TABLE_BITS {
            let codes = (0..1 << field.bits()).filter(|code| keys.contains(self.key(term, only, *code)));
            return Some(Keys::of(codes.map(|code| (code, code))));
        }
        let last = match &self.evaluator.schema.feature(only).kind {
            Kind::Time => u64::from(u32::MAX),
            Kind::Int { min, max } => (max.wrapping_sub(*min) as u64).checked_add(1)?,
            _ => return None,
        };
        is_monotonic(term, only).then_some(())?;
        // Such a term rises or falls with its feature throughout, if it has an answer at both ends.
        let (low, high) = (self.key(term, only, 1)?, self.key(term, only, last)?);
        let up = low <= high;
        let first = |reached: &dyn Fn(u64) -> bool| {
            first(1, last, |code| self.key(term, only, code).is_some_and(reached))
        };
        let ranges = keys.ranges().iter().filter_map(|(from, to)| {
            let (begin, end) = if up {
                (first(&|key| key >= *from)?, first(&|key| key > *to))
            } else {
                (first(&|key| key <= *to)?, first(&|key| key < *from))
            };
            Some((begin, end.map_or(last, |end| end - 1)))
        });
        Some(Keys::of(ranges)) // a missing feature has no answer, and no answer is no key of a computed term
    }

    fn key(&self, term: &Term, only: FeatureId, code: u64) -> Option<u64> {
        let schema = self.evaluator.schema;
        let mut row = vec![0; schema.row_words()];
        schema.feature(only).field?.write(&mut row, code);
        self.evaluator.key(term, &row)
    }

    fn columns_of(&mut self, reads: &Reads) {
        for id in &reads.features {
            let words = match self.evaluator.schema.feature(*id).place() {
                Some(RowPlace::Field(field)) => field.place().0.into()..usize::from(field.place().0) + 1,
                Some(RowPlace::Cells(cells)) => cells.range(),
                None => continue,
            };
            for word in words {
                self.column(word);
            }
        }
    }

    /// The column that holds a word.
    fn column(&mut self, word: usize) -> usize {
        self.words.iter().position(|known| *known == word).unwrap_or_else(|| {
            self.words.push(word);
            self.words.len() - 1
        })
    }
}

/// Whether a term is this feature plus or minus a constant, or compares such a sum with a constant. Constant
/// is what does not depend on the customer.
fn is_monotonic(term: &Term, feature: FeatureId) -> bool {
    match term {
        Term::Computed(Scoped { node, .. }, Number::Int | Number::Time | Number::Duration) => {
            is_shift(node, feature)
        }
        Term::Truth(Scoped { node: Node::Compare(comparison, sides), .. }) => {
            let moves = |side: &Node| *side == Node::Feature(feature) || is_shift(side, feature);
            !matches!(comparison, Comparison::Equal | Comparison::NotEqual) && one_side(sides, moves)
        }
        _ => false,
    }
}

fn is_shift(node: &Node, feature: FeatureId) -> bool {
    match node {
        Node::Arithmetic(Operator::Add | Operator::Subtract, sides) => {
            one_side(sides, |side| *side == Node::Feature(feature))
        }
        _ => false,
    }
}

/// Whether `is` holds for one side while the other does not depend on the customer.
fn one_side(sides: &[Node; 2], is: impl Fn(&Node) -> bool) -> bool {
    let fixed = |side: &Node| {
        let mut reads = false;
        side.walk(&mut |node| reads |= matches!(node, Node::Feature(_) | Node::Code(_) | Node::Tag(_)));
        !reads
    };
    is(&sides[0]) && fixed(&sides[1]) || is(&sides[1]) && fixed(&sides[0])
}

/// The first code for which `is` holds, if it holds from there on.
fn first(from: u64, last: u64, is: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut low, mut high) = (from, last);
    while low < high {
        let middle = low + (high - low) / 2;
        if is(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    is(low).then_some(low)
}

impl Plan {
    /// The time for one row, measured in filters.
    pub(super) fn cost(&self) -> usize {
        self.ways.iter().map(|way| way.filters.len() + way.evaluated.len() * EVALUATION).sum()
    }

    /// The customers of the batch whom the plan selects.
    pub(super) fn matching(&self, batch: &Batch, scan: &mut Scan<'_, '_>) -> Rows {
        if let [way] = &self.ways[..] {
            let mut rows = *batch.customers();
            way.narrow(batch, &mut rows, scan);
            return rows;
        }
        let mut found = [0; _];
        for way in &self.ways {
            let mut rows = *batch.customers();
            rows.iter_mut().zip(&found).for_each(|(row, found)| *row &= !found);
            way.narrow(batch, &mut rows, scan);
            found.iter_mut().zip(&rows).for_each(|(found, row)| *found |= row);
        }
        found
    }
}

/// Memory for evaluating the rows of a scan, used again from row to row.
pub(super) struct Scan<'e, 's> {
    evaluator: &'e Evaluator<'s>,
    terms: &'e Terms,
    words: &'e [usize],
    row: Vec<u64>,
}

impl<'e, 's> Scan<'e, 's> {
    pub(super) fn new(evaluator: &'e Evaluator<'s>, terms: &'e Terms, words: &'e [usize]) -> Scan<'e, 's> {
        let length = words.iter().max().map_or(0, |last| last + 1);
        Scan { evaluator, terms, words, row: vec![0; length] }
    }

    /// Whether a customer of the batch passes all these atoms.
    fn passes(&mut self, batch: &Batch, at: usize, atoms: &[Atom]) -> bool {
        for (column, word) in self.words.iter().enumerate() {
            self.row[*word] = batch.column(column)[at];
        }
        atoms.iter().all(|atom| atom.keys.contains(self.evaluator.key(self.terms.get(atom.term), &self.row)))
    }
}

impl Way {
    fn narrow(&self, batch: &Batch, rows: &mut Rows, scan: &mut Scan<'_, '_>) {
        for filter in &self.filters {
            filter.narrow(batch, rows);
            if rows.iter().fold(0, |all, row| all | row) == 0 {
                return;
            }
        }
        if !self.evaluated.is_empty() {
            for (at, row) in rows.iter_mut().enumerate().filter(|(_, row)| **row != 0) {
                if !scan.passes(batch, at, &self.evaluated) {
                    *row = 0;
                }
            }
        }
    }
}
