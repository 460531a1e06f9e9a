//! A ledger as data: what a snapshot keeps of it, in pieces of bounded size, and what its digest is of.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::budgets::{BudgetUsed, MAX_BUDGETS_COUNTED};
use super::lessons::MAX_LESSONS;
use super::remembered::{Chunk, RememberedIds};
use super::tallies::{Tallies, TallyRow};
use crate::learning::Learned;
use crate::learning::lesson::LessonKey;
use crate::state::store::bytes_of;

/// Rows of tallies, or lessons, in one piece at most.
pub const MAX_PIECE_ROWS: usize = 8_192;
/// Pieces at most.
pub const MAX_PIECES: usize = 2 * super::remembered::MAX_CHUNKS
    + 2
    + super::tallies::MAX_TALLIES / MAX_PIECE_ROWS
    + MAX_LESSONS / MAX_PIECE_ROWS
    + MAX_BUDGETS_COUNTED / MAX_PIECE_ROWS;

/// All of a ledger. There is no customer in it: ids of events are hashes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Content {
    /// Ids of events.
    pub ids: RememberedIds,
    /// Outcomes of propositions.
    pub outcomes: RememberedIds,
    /// Budgets, in no order.
    pub budgets: Vec<BudgetUsed>,
    /// Counts.
    pub tallies: Tallies,
    /// What was learned, in no order.
    pub lessons: Vec<(LessonKey, Learned)>,
}

/// A piece of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// Of the ids of events.
    Ids(Chunk),
    /// Of the outcomes of propositions.
    Outcomes(Chunk),
    /// Budgets.
    Budgets(Vec<BudgetUsed>),
    /// Counts.
    Tallies(Vec<TallyRow>),
    /// What was learned.
    Lessons(Vec<(LessonKey, Learned)>),
    /// The last one.
    Totals(Totals),
}

/// What is left to say when all pieces are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// [`RememberedIds::gone`] and [`RememberedIds::forgotten_until`] of the ids of events.
    pub ids: (u32, u32),
    /// And of the outcomes of propositions.
    pub outcomes: (u32, u32),
    /// [`Tallies::uncounted`].
    pub uncounted: u64,
}

impl Content {
    /// It in pieces; none if there is nothing in it.
    pub fn pieces(&self) -> Vec<Piece> {
        if *self == Content::default() {
            return Vec::new();
        }
        let mut pieces = Vec::new();
        pieces.extend(self.ids.chunks.iter().cloned().map(Piece::Ids));
        pieces.extend(self.outcomes.chunks.iter().cloned().map(Piece::Outcomes));
        pieces.extend(self.budgets.chunks(MAX_PIECE_ROWS).map(|part| Piece::Budgets(part.to_vec())));
        let tallies: Vec<TallyRow> = self.tallies.rows().collect();
        pieces.extend(tallies.chunks(MAX_PIECE_ROWS).map(|part| Piece::Tallies(part.to_vec())));
        pieces.extend(self.lessons.chunks(MAX_PIECE_ROWS).map(|part| Piece::Lessons(part.to_vec())));
        pieces.push(Piece::Totals(self.totals()));
        pieces
    }

    /// Takes a piece in.
    ///
    /// # Errors
    /// A sentence: it does not go with what is there.
    pub fn take_in(&mut self, piece: Piece) -> Result<(), String> {
        match piece {
            Piece::Ids(chunk) => self.ids.restore(chunk)?,
            Piece::Outcomes(chunk) => self.outcomes.restore(chunk)?,
            Piece::Budgets(budgets) => self.budgets.extend(budgets),
            Piece::Tallies(rows) => self.tallies.restore(rows)?,
            Piece::Lessons(lessons) => self.lessons.extend(lessons),
            Piece::Totals(Totals { ids, outcomes, uncounted }) => {
                self.ids.restored(ids.0, ids.1)?;
                self.outcomes.restored(outcomes.0, outcomes.1)?;
                self.tallies.set_uncounted(uncounted);
            }
        }
        if self.budgets.len() > MAX_BUDGETS_COUNTED || self.lessons.len() > MAX_LESSONS {
            return Err(format!("{} budgets and {} lessons", self.budgets.len(), self.lessons.len()));
        }
        Ok(())
    }

    fn totals(&self) -> Totals {
        let of = |kept: &RememberedIds| (kept.gone, kept.forgotten_until);
        Totals { ids: of(&self.ids), outcomes: of(&self.outcomes), uncounted: self.tallies.uncounted() }
    }

    /// A number that is the same for the same content, whatever the order in which it is kept. Reads all of it: some 10 ms
    /// where all bounds are reached.
    pub fn digest(&self) -> u64 {
        let Totals { ids, outcomes, uncounted } = self.totals();
        let pair = |(low, high): (u32, u32)| u64::from(low) | u64::from(high) << 32;
        let mut sum = hash(0, &[pair(ids), pair(outcomes), uncounted]);
        for (kind, kept) in [(1 << 32, &self.ids), (2 << 32, &self.outcomes)] {
            for (at, chunk) in (0..).zip(&kept.chunks) {
                let inner = hash(kind | at, &chunk.hashes);
                sum = sum.wrapping_add(hash(kind | at, &[inner, pair((chunk.day, chunk.newest))]));
            }
        }
        for BudgetUsed { key, day, used } in &self.budgets {
            sum = sum.wrapping_add(hash(3 << 32, &[*key, pair((*day, *used))]));
        }
        for (day, key, tally) in self.tallies.rows() {
            let [impressions, clicks, dismissals, conversions] = tally.outcomes;
            let key = [key.offer.0.into(), key.place.0.into(), key.arm.into(), day.into()];
            let counts = [impressions, clicks, dismissals, conversions, tally.value.cast_unsigned()];
            sum = sum.wrapping_add(hash(hash(4 << 32, &key), &counts));
        }
        for (key, learned) in &self.lessons {
            let key = [key.offer.0.into(), key.placement.into(), key.segment.into()];
            sum = sum.wrapping_add(hash(hash(5 << 32, &key), &learned.words()));
        }
        sum
    }
}

fn hash(seed: u64, words: &[u64]) -> u64 {
    xxh3_64_with_seed(&bytes_of(words), seed)
}
