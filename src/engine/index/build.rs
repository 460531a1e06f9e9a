//! Building the index: from the forms of offers to buckets of terms, then to blocks of conjunctions with
//! columns and checks.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::again::{Earlier, Known, Piece};
use super::readers::{Reader, Readers};
use super::wants::Wants;
use super::{AtomCheck, BLOCK, Block, Buckets, Column, Index, Placed, Placing, WORDS};
use crate::engine::{Guardrail, Offer, Placement};
use crate::expression::alternatives::{Atom, Conjunction};
use crate::expression::term::{Term, TermId, Terms};
use crate::schema::Schema;

/// Up to this many buckets, a column has a row number for each. With more, it has stretches of buckets.
const MAX_NUMBERED: usize = 1_024;
/// The most changes from bucket to bucket within one column. A term with more of them is checked atom by
/// atom.
const MAX_CHANGES: usize = 8_192;

// Costs, in ANDs of a row (about 3 ns). They are rough: they only weigh columns against checks.
/// Going to a conjunction that the columns left.
const SURVIVOR: f64 = 2.0;
/// One check, with a branch that is mispredicted now and then.
const CHECK: f64 = 1.5;
/// The number of checks of one conjunction that are paid for, until one fails or all are done.
const CHECKS: usize = 2;
/// Finding the bucket of a term that must be evaluated.
const EVALUATION: f64 = 15.0;

impl Index {
    /// Builds the index for all offers of all placements, which must be in rank order. What is the same is
    /// copied from an earlier index.
    pub(crate) fn build(
        schema: &Schema,
        placements: &[Placement],
        offers: &[Offer],
        guardrails: &[Guardrail],
        terms: &mut Terms,
        earlier: Option<&Earlier<'_>>,
    ) -> Index {
        let asked = Wants::of(placements, offers, guardrails, terms);
        let earlier = earlier.filter(|earlier| asked.is_whole && earlier.index.is_whole);
        let count = terms.all().len();
        let touched = match earlier {
            Some(earlier) => earlier.touched(&asked, placements, offers, count),
            None => vec![true; count],
        };
        let terms_with_cuts = terms.all().iter().zip(asked.cuts(&touched)).enumerate();
        let buckets = terms_with_cuts.map(|(nth, (term, cuts))| match earlier {
            Some(earlier) if !touched[nth] => earlier.index.buckets[nth].clone(),
            _ => Buckets::new(term, term.last(schema), cuts),
        });
        let buckets: Vec<Buckets> = buckets.collect();
        let moved = earlier.map(|earlier| earlier.moved(&buckets)).unwrap_or_default();
        let builder = Builder { terms, buckets: &buckets };
        let placements = placements.iter().map(|placement| {
            let all = conjunctions(placement, &asked);
            let known = earlier.and_then(|earlier| earlier.of_placement(placement, &all, &moved));
            builder.placed(&all, known.as_ref())
        });
        let mut placements: Vec<Placed> = placements.collect();
        let readers = Readers::new(terms, &buckets);
        placements.iter_mut().for_each(|placed| placed.sort_terms(&readers));
        Index { buckets, readers, placements, is_whole: asked.is_whole }
    }
}

/// The conjunctions of a placement's offers, each with the place of its offer.
fn conjunctions<'a>(placement: &Placement, asked: &'a Wants<'_>) -> Vec<(u32, &'a Conjunction)> {
    let offers = (0..).zip(&placement.offers);
    offers.flat_map(|(place, id)| asked.of_offer(*id).iter().map(move |asked| (place, asked))).collect()
}

/// Whether a column of these atoms would have too many rows.
fn is_wide(atoms: &[BlockAtom]) -> bool {
    atoms.iter().map(|atom| 2 * atom.stretches.len()).sum::<usize>() > MAX_CHANGES
}

/// An atom of one conjunction in a block.
struct BlockAtom {
    term: TermId,
    /// Which of the block's conjunctions.
    conjunction: usize,
    /// The stretches of buckets for which it holds.
    stretches: SmallVec<[(u32, u32); 2]>,
    /// The estimated share of customers for whom it holds.
    share: f64,
}

struct Builder<'b> {
    terms: &'b Terms,
    buckets: &'b [Buckets],
}

impl Builder<'_> {
    fn placed(&self, all: &[(u32, &Conjunction)], known: Option<&Known<'_>>) -> Placed {
        let mut placed = Placed::default();
        let blocks = all.len().div_ceil(BLOCK).max(1) as f64;
        let mut local = HashMap::new();
        match known.and_then(|known| Some((known, known.pieces()?))) {
            None => all.chunks(BLOCK).for_each(|new| self.block(new, blocks, &mut local, &mut placed)),
            Some((known, pieces)) => pieces.into_iter().for_each(|piece| match piece {
                Piece::Kept(block, now) => placed.copy(known, block, &all[now], &mut local),
                Piece::New(now) => self.block(&all[now], blocks, &mut local, &mut placed),
            }),
        }
        placed.conjunctions.push(Placing { place: u32::MAX, checks: placed.checks.len() as u32 });
        placed
    }

    fn block(
        &self,
        conjunctions: &[(u32, &Conjunction)],
        blocks: f64,
        local: &mut HashMap<TermId, u32>,
        placed: &mut Placed,
    ) {
        let first = placed.conjunctions.len() as u32;
        let mut all = [0; WORDS];
        (0..conjunctions.len()).for_each(|bit| all[bit / 64] |= 1 << (bit % 64));
        let numbered = conjunctions.iter().enumerate();
        let mut atoms: Vec<(TermId, u32, &Atom)> = numbered
            .flat_map(|(at, (_, conjunction))| conjunction.0.iter().map(move |atom| (at as u32, atom)))
            .map(|(at, atom)| (atom.term, at, atom))
            .collect();
        atoms.sort_unstable_by_key(|(term, conjunction, _)| (*term, *conjunction)); // no pair comes twice
        let atoms: Vec<BlockAtom> =
            atoms.into_iter().map(|(_, at, atom)| self.atom(at as usize, atom)).collect();
        let mut by_term: Vec<&[BlockAtom]> = atoms.chunk_by(|a, b| a.term == b.term).collect();
        by_term.sort_by(|a, b| {
            let worth = || self.worth(b, blocks).total_cmp(&self.worth(a, blocks));
            is_wide(a).cmp(&is_wide(b)).then_with(worth)
        });
        let columns = self.columns(&by_term, conjunctions.len(), blocks);
        let start = placed.columns.len() as u32;
        for atoms in &by_term[..columns] {
            let next = local.len() as u32;
            let term = atoms.first().map_or(next, |atom| *local.entry(atom.term).or_insert(next));
            self.column(atoms, term, &all, placed);
        }
        let mut checks: Vec<Vec<&BlockAtom>> = vec![Vec::new(); conjunctions.len()];
        for atom in by_term[columns..].iter().copied().flatten() {
            checks[atom.conjunction].push(atom);
        }
        for (checks, (place, _)) in checks.into_iter().zip(conjunctions) {
            placed.conjunctions.push(Placing { place: *place, checks: placed.checks.len() as u32 });
            placed.checked(checks, |atom| self.worth(std::slice::from_ref(atom), blocks));
        }
        placed.blocks.push(Block { all, first, columns: start..placed.columns.len() as u32 });
    }

    fn atom(&self, conjunction: usize, atom: &Atom) -> BlockAtom {
        let buckets = &self.buckets[atom.term.0 as usize];
        let stretches = buckets.stretches(&atom.keys);
        let share = buckets.share(&stretches);
        BlockAtom { term: atom.term, conjunction, stretches, share }
    }

    /// How many conjunctions a term's atoms rule out, per unit of the term's cost.
    fn worth(&self, atoms: &[BlockAtom], blocks: f64) -> f64 {
        let ruled_out: f64 = atoms.iter().map(|atom| 1.0 - atom.share).sum();
        let term = atoms.first().map_or(0.0, |atom| self.cost(atom.term, blocks));
        ruled_out / term.max(1.0)
    }

    /// The cost of a column. All blocks share the cost of finding the term's bucket.
    fn cost(&self, term: TermId, blocks: f64) -> f64 {
        match self.terms.get(term) {
            Term::Feature(..) | Term::Bits(..) => 1.0,
            Term::Computed(..) | Term::Text(..) | Term::Truth(_) | Term::WeekMinute(_) => {
                1.0 + EVALUATION / blocks
            }
        }
    }

    /// How many of the terms, the most selective first, are worth a column. Beyond them, checking what is
    /// left costs less.
    fn columns(&self, by_term: &[&[BlockAtom]], conjunctions: usize, blocks: f64) -> usize {
        let mut left = vec![0; conjunctions]; // atoms to check
        by_term.iter().copied().flatten().for_each(|atom| left[atom.conjunction] += 1);
        let mut likely = vec![1.0; conjunctions]; // the chance that the columns so far leave it
        let visit = |likely: f64, left: usize| likely * (SURVIVOR + CHECK * left.min(CHECKS) as f64);
        let mut visits: f64 = left.iter().map(|left| visit(1.0, *left)).sum();
        let (mut spent, mut best, mut least) = (0.0, 0, visits);
        for (nth, atoms) in by_term.iter().enumerate() {
            if is_wide(atoms) {
                break; // they stand last
            }
            spent += atoms.first().map_or(0.0, |atom| self.cost(atom.term, blocks));
            for atom in *atoms {
                let (left, likely) = (&mut left[atom.conjunction], &mut likely[atom.conjunction]);
                visits -= visit(*likely, *left);
                (*left, *likely) = (*left - 1, *likely * atom.share);
                visits += visit(*likely, *left);
            }
            if spent + visits < least {
                (best, least) = (nth + 1, spent + visits);
            }
        }
        best
    }

    /// Adds a term's column of rows. A conjunction's bit changes where its stretches begin and end.
    fn column(&self, atoms: &[BlockAtom], local: u32, all: &[u64; WORDS], placed: &mut Placed) {
        let Some(term) = atoms.first().map(|atom| atom.term) else { return };
        if local as usize == placed.terms.len() {
            placed.terms.push(term.0);
        }
        let count = self.buckets[term.0 as usize].count();
        let mut row = *all;
        let mut changes: Vec<u64> = Vec::with_capacity(atoms.len() * 2); // bucket, then conjunction
        let change = |bucket: u32, atom: &BlockAtom| u64::from(bucket) << 32 | atom.conjunction as u64;
        for atom in atoms {
            row[atom.conjunction / 64] &= !(1 << (atom.conjunction % 64));
            for (first, last) in &atom.stretches {
                changes.extend([change(*first, atom), change(*last + 1, atom)]);
            }
        }
        changes.sort_unstable();
        let rows = placed.rows.len() as u32;
        let mut numbers: HashMap<[u64; WORDS], u16, FixedState> = HashMap::default();
        let mut number = |row: [u64; WORDS], placed: &mut Placed| {
            let next = numbers.len() as u16; // at most MAX_CHANGES and one
            *numbers.entry(row).or_insert_with(|| {
                placed.rows.push(row);
                next
            })
        };
        let mut stretches: Vec<(u32, u16)> = Vec::new();
        let bucket = |change: &u64| (change >> 32) as u32;
        if changes.first().is_none_or(|change| bucket(change) > 0) {
            stretches.push((0, number(row, placed)));
        }
        for same in changes.chunk_by(|a, b| bucket(a) == bucket(b)) {
            let first = bucket(&same[0]);
            if first as usize == count {
                break; // beyond the last
            }
            same.iter().for_each(|bit| row[*bit as u32 as usize / 64] ^= 1 << (bit % 64));
            stretches.push((first, number(row, placed)));
        }
        placed.add_column(local, rows, count, &stretches);
    }
}

impl Placed {
    /// Puts the terms that have columns in the order in which their readers are used.
    fn sort_terms(&mut self, readers: &Readers) {
        let mut sorted: Vec<(u32, u32)> = (0_u32..).zip(self.terms.iter().copied()).collect();
        sorted.sort_by_key(|(_, term)| match readers.of(*term) {
            Reader::Small(_) => 0,
            Reader::Wide(_) => 1,
            Reader::Other => 2,
        });
        let mut place = vec![0; sorted.len()]; // by the place before
        for (now, (before, _)) in (0..).zip(&sorted) {
            place[*before as usize] = now;
        }
        self.columns.iter_mut().for_each(|column| column.term = place[column.term as usize]);
        self.terms = sorted.iter().map(|(_, term)| *term).collect();
        for term in &self.terms {
            match readers.of(*term) {
                Reader::Small(small) => self.small.push(small),
                Reader::Wide(wide) => self.wide.push(wide),
                Reader::Other => break,
            }
        }
    }

    pub(super) fn add_column(&mut self, term: u32, rows: u32, count: usize, stretches: &[(u32, u16)]) {
        let numbered = count <= MAX_NUMBERED.max(2 * stretches.len());
        let column = Column {
            term,
            rows,
            row_numbers: self.row_numbers.len() as u32,
            stretches: self.stretches.len() as u32,
            stretch_count: if numbered { 0 } else { stretches.len() as u32 },
        };
        self.columns.push(column);
        if !numbered {
            self.stretches.extend(stretches.iter().map(|(first, _)| first));
            self.row_numbers.extend(stretches.iter().map(|(_, number)| number));
            return;
        }
        let ends = stretches.iter().skip(1).map(|(first, _)| *first).chain([count as u32]);
        for ((first, number), end) in stretches.iter().zip(ends) {
            self.row_numbers.extend((*first..end).map(|_| *number));
        }
    }

    /// Adds the checks of the next conjunction, those first that rule out most for their cost.
    fn checked(&mut self, mut atoms: Vec<&BlockAtom>, worth: impl Fn(&BlockAtom) -> f64) {
        atoms.sort_by(|a, b| worth(b).total_cmp(&worth(a)));
        for BlockAtom { term, stretches, .. } in atoms {
            let (first, last) = match stretches[..] {
                [(first, last)] => (first, last),
                _ => (u32::MAX - stretches.len() as u32, self.spans.len() as u32),
            };
            if stretches.len() != 1 {
                self.spans.extend_from_slice(stretches);
            }
            self.checks.push(AtomCheck { term: term.0, first, last });
        }
    }
}
