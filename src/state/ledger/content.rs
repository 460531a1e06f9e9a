//! A ledger as data: what its digest is of, and what a snapshot keeps of it, in pieces of bounded size.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::budgets::{BudgetUsed, MAX_BUDGETS_COUNTED};
use super::erased::{ErasedIds, MAX_ERASED};
use super::lessons::MAX_LESSONS;
use super::remembered::{CHUNK_HASHES, HashChunk, RememberedIds};
use super::tallies::{Tallies, Tally, TallyKey, TallyRow};
use crate::customer::update::SALT_BYTES;
use crate::learning::Learned;
use crate::learning::lesson::LessonKey;
use crate::state::store::bytes_of;

/// The most rows (budgets, tallies or lessons) in one piece.
pub const MAX_PIECE_ROWS: usize = 8_192;
/// The most pieces that a ledger makes.
pub const MAX_PIECES: usize = 2 * super::remembered::MAX_CHUNKS
    + 2
    + super::tallies::MAX_TALLIES / MAX_PIECE_ROWS
    + MAX_LESSONS / MAX_PIECE_ROWS
    + MAX_BUDGETS_COUNTED / MAX_PIECE_ROWS
    + 1
    + MAX_ERASED / CHUNK_HASHES
    + 1;

/// All that a ledger holds. There is no customer in it: ids of events are hashes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Content {
    /// Which events were taken, by their ids.
    pub ids: RememberedIds,
    /// Which outcomes of propositions were taken.
    pub outcomes: RememberedIds,
    /// Who was erased.
    pub erased: ErasedIds,
    /// How much of budgets is used, in no order.
    pub budgets: Vec<BudgetUsed>,
    /// What became of offers, day by day.
    pub tallies: Tallies,
    /// What was learned, in no order.
    pub lessons: Vec<(LessonKey, Learned)>,
}

/// A part of a ledger's content, small enough for a block of a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// Some of the ids of events.
    Ids(HashChunk),
    /// Some of the outcomes of propositions.
    Outcomes(HashChunk),
    /// What is said once of who was erased: the salt of the hashes, and [`ErasedIds::forgotten_until`]. It
    /// comes before them.
    ErasedHead([u8; SALT_BYTES], u32),
    /// Some of those who were erased, at most [`CHUNK_HASHES`].
    Erased(Vec<(u64, u32)>),
    /// Some of the budgets, at most [`MAX_PIECE_ROWS`].
    Budgets(Vec<BudgetUsed>),
    /// Some of the tallies, at most [`MAX_PIECE_ROWS`].
    Tallies(Vec<TallyRow>),
    /// Some of what was learned, at most [`MAX_PIECE_ROWS`].
    Lessons(Vec<(LessonKey, Learned)>),
    /// What closes a ledger: always its last piece.
    Totals(Totals),
}

/// What the other pieces of a ledger do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Of the ids of events: [`RememberedIds::gone`] and [`RememberedIds::forgotten_until`].
    pub ids: (u32, u32),
    /// The same two of the outcomes of propositions.
    pub outcomes: (u32, u32),
    /// How many outcomes no tally has, as [`Tallies::uncounted`].
    pub uncounted: u64,
}

impl Content {
    /// The content in pieces, with the totals last; no piece if it is empty.
    pub fn pieces(&self) -> Vec<Piece> {
        if *self == Content::default() {
            return Vec::new();
        }
        let mut pieces = Vec::new();
        pieces.extend(self.ids.chunks.iter().cloned().map(Piece::Ids));
        pieces.extend(self.outcomes.chunks.iter().cloned().map(Piece::Outcomes));
        let ErasedIds { salt, forgotten_until, hashes } = &self.erased;
        if self.erased != ErasedIds::default() {
            pieces.push(Piece::ErasedHead(*salt, *forgotten_until));
        }
        let hashes: Vec<(u64, u32)> = hashes.iter().copied().collect();
        pieces.extend(hashes.chunks(CHUNK_HASHES).map(|part| Piece::Erased(part.to_vec())));
        pieces.extend(self.budgets.chunks(MAX_PIECE_ROWS).map(|part| Piece::Budgets(part.to_vec())));
        let tallies: Vec<TallyRow> = self.tallies.rows().collect();
        pieces.extend(tallies.chunks(MAX_PIECE_ROWS).map(|part| Piece::Tallies(part.to_vec())));
        pieces.extend(self.lessons.chunks(MAX_PIECE_ROWS).map(|part| Piece::Lessons(part.to_vec())));
        pieces.push(Piece::Totals(self.totals()));
        pieces
    }

    /// Takes in a piece of a snapshot.
    ///
    /// # Errors
    /// A sentence: the piece breaks a bound, or does not fit those before it.
    pub fn take_in(&mut self, piece: Piece) -> Result<(), String> {
        match piece {
            Piece::Ids(chunk) => self.ids.restore(chunk)?,
            Piece::Outcomes(chunk) => self.outcomes.restore(chunk)?,
            Piece::ErasedHead(salt, forgotten_until) => {
                (self.erased.salt, self.erased.forgotten_until) = (salt, forgotten_until);
            }
            Piece::Erased(hashes) => self.erased.restore(&hashes)?,
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
        Totals {
            ids: self.ids.totals(),
            outcomes: self.outcomes.totals(),
            uncounted: self.tallies.uncounted(),
        }
    }

    /// A number that is the same for the same content, in whatever order it is kept. Snapshots hold it,
    /// see [`digest`](crate::state::digest): it must not change. Reads all of the content, some 10 ms
    /// where all bounds are reached.
    pub fn digest(&self) -> u64 {
        let Content { ids, outcomes, erased, budgets, tallies, lessons } = self;
        let Totals { ids: of_ids, outcomes: of_outcomes, uncounted } = self.totals();
        let mut sum = hash(0, &[pair(of_ids), pair(of_outcomes), uncounted]);
        for (kind, kept) in [(1 << 32, ids), (2 << 32, outcomes)] {
            for (at, HashChunk { day, newest, hashes }) in (0..).zip(&kept.chunks) {
                let inner = hash(kind | at, hashes);
                sum = sum.wrapping_add(hash(kind | at, &[inner, pair((*day, *newest))]));
            }
        }
        let ErasedIds { salt, forgotten_until, hashes } = erased;
        if *erased != ErasedIds::default() {
            let salt = u128::from_le_bytes(*salt);
            let head = [salt as u64, (salt >> 64) as u64, (*forgotten_until).into()];
            sum = sum.wrapping_add(hash(16 << 32, &head));
        }
        for (who, at) in hashes.iter() {
            sum = sum.wrapping_add(hash(17 << 32, &[*who, (*at).into()]));
        }
        for BudgetUsed { key, day, used } in budgets {
            sum = sum.wrapping_add(hash(3 << 32, &[*key, pair((*day, *used))]));
        }
        for (day, TallyKey { offer, place, arm }, Tally { outcomes, value }) in tallies.rows() {
            let [impressions, clicks, dismissals, conversions] = outcomes;
            let key = [offer.0.into(), place.0.into(), arm.into(), day.into()];
            let counts = [impressions, clicks, dismissals, conversions, value.cast_unsigned()];
            sum = sum.wrapping_add(hash(hash(4 << 32, &key), &counts));
        }
        for (LessonKey { offer, placement, segment }, learned) in lessons {
            let key = [offer.0.into(), (*placement).into(), (*segment).into()];
            sum = sum.wrapping_add(hash(hash(5 << 32, &key), &learned.words()));
        }
        sum
    }
}

/// Two numbers in one word, the first in its low half.
fn pair((low, high): (u32, u32)) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn hash(seed: u64, words: &[u64]) -> u64 {
    xxh3_64_with_seed(&bytes_of(words), seed)
}
