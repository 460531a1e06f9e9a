//! Pieces of the ledger as bytes.
//!
//! ```text
//! piece        1 byte tag, then by tag:
//!   1 ids        day, latest date, count and that many hashes of 8 bytes
//!   2 outcomes   as ids
//!   3 budgets    count and that many (key, day, used)
//!   4 tallies    count and that many (day, offer, place, arm plus one or 0, 4 times how many, value)
//!   5 lessons    count and that many (offer, placement, 1 byte segment, 19 words)
//!  16 erased    salt of 16 bytes, forgotten until
//!  17 erased    count and that many (hash of 8 bytes, when)
//!   6 totals     twice (forgotten hashes of the first chunk, forgotten until), tallies not counted
//! ```

use std::sync::Arc;

use bincode::de::{BorrowDecode, BorrowDecoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError as Wrong, EncodeError as Failed};

use super::MAX_PIECE_BYTES;
use super::bytes::{Decoded, Stored, read_all, write_all};
use crate::customer::numbers::{OfferNumber, PlaceNumber};
use crate::customer::outcome::OutcomeKind;
use crate::learning::lesson::LessonKey;
use crate::learning::{LEARNED_WORDS, Learned};
use crate::state::ledger::{
    BudgetUsed, CHUNK_HASHES, HashChunk, MAX_PIECE_ROWS, Piece, Tally, TallyKey, TallyRow, Totals,
};

// The layout has 4 counts and 19 words: another outcome, or more to learn, needs a new version of the
// format.
const _: () = assert!(OutcomeKind::COUNT == 4 && LEARNED_WORDS == 19);
const _: () = assert!(CHUNK_HASHES * (9 + 5) + 32 <= MAX_PIECE_BYTES);
const _: () = assert!(MAX_PIECE_ROWS * (3 + 5 + 3 + 3 + 5 * 9) + 32 <= MAX_PIECE_BYTES);
const _: () = assert!(MAX_PIECE_ROWS * (5 + 3 + 1 + LEARNED_WORDS * 9) + 32 <= MAX_PIECE_BYTES);

pub(super) const IDS: u8 = 1;
const OUTCOMES: u8 = 2;
const BUDGETS: u8 = 3;
pub(super) const TALLIES: u8 = 4;
const LESSONS: u8 = 5;
const TOTALS: u8 = 6;
const ERASED_HEAD: u8 = 16;
const ERASED: u8 = 17;

impl Encode for Stored<'_, Piece> {
    fn encode<E: Encoder>(&self, out: &mut E) -> Result<(), Failed> {
        match self.0 {
            Piece::Ids(chunk) => {
                IDS.encode(out)?;
                Stored(chunk).encode(out)
            }
            Piece::Outcomes(chunk) => {
                OUTCOMES.encode(out)?;
                Stored(chunk).encode(out)
            }
            Piece::ErasedHead(salt, forgotten_until) => (ERASED_HEAD, *salt, *forgotten_until).encode(out),
            Piece::Erased(all) => {
                ERASED.encode(out)?;
                write_all(all, CHUNK_HASHES, out, |(hash, at), out| (hash.to_le_bytes(), *at).encode(out))
            }
            Piece::Budgets(all) => {
                BUDGETS.encode(out)?;
                write_all(all, MAX_PIECE_ROWS, out, |BudgetUsed { key, day, used }, out| {
                    (*key, *day, *used).encode(out)
                })
            }
            Piece::Tallies(all) => {
                TALLIES.encode(out)?;
                write_all(all, MAX_PIECE_ROWS, out, |(day, key, tally), out| {
                    (*day, key.offer.0, key.place.0, key.arm).encode(out)?;
                    tally.outcomes.iter().try_for_each(|count| count.encode(out))?;
                    tally.value.encode(out)
                })
            }
            Piece::Lessons(all) => {
                LESSONS.encode(out)?;
                write_all(all, MAX_PIECE_ROWS, out, |(key, learned), out| {
                    (key.offer.0, key.placement, key.segment).encode(out)?;
                    learned.words().iter().try_for_each(|word| word.encode(out))
                })
            }
            Piece::Totals(Totals { ids, outcomes, uncounted }) => {
                TOTALS.encode(out)?;
                (*ids, *outcomes, *uncounted).encode(out)
            }
        }
    }
}

impl Encode for Stored<'_, HashChunk> {
    fn encode<E: Encoder>(&self, out: &mut E) -> Result<(), Failed> {
        let HashChunk { day, newest, hashes } = self.0;
        (*day, *newest).encode(out)?;
        write_all(hashes, CHUNK_HASHES, out, |hash, out| hash.to_le_bytes().encode(out))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<Piece> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let piece = match u8::borrow_decode(input)? {
            IDS => Piece::Ids(Decoded::borrow_decode(input)?.0),
            OUTCOMES => Piece::Outcomes(Decoded::borrow_decode(input)?.0),
            ERASED_HEAD => {
                let (salt, forgotten_until) = BorrowDecode::borrow_decode(input)?;
                Piece::ErasedHead(salt, forgotten_until)
            }
            ERASED => Piece::Erased(read_all(input, CHUNK_HASHES)?),
            BUDGETS => Piece::Budgets(read_all(input, MAX_PIECE_ROWS)?),
            TALLIES => Piece::Tallies(read_all(input, MAX_PIECE_ROWS)?),
            LESSONS => Piece::Lessons(read_all(input, MAX_PIECE_ROWS)?),
            TOTALS => {
                let (ids, outcomes, uncounted) = BorrowDecode::borrow_decode(input)?;
                Piece::Totals(Totals { ids, outcomes, uncounted })
            }
            tag => return Err(Wrong::OtherString(format!("no piece of a ledger has the tag {tag}"))),
        };
        Ok(Decoded(piece))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<HashChunk> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (day, newest) = BorrowDecode::borrow_decode(input)?;
        Ok(Decoded(HashChunk { day, newest, hashes: Arc::new(read_all(input, CHUNK_HASHES)?) }))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<u64> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        <[u8; 8]>::borrow_decode(input).map(|bytes| Decoded(u64::from_le_bytes(bytes)))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<(u64, u32)> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (hash, at): ([u8; 8], u32) = BorrowDecode::borrow_decode(input)?;
        Ok(Decoded((u64::from_le_bytes(hash), at)))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<BudgetUsed> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (key, day, used) = BorrowDecode::borrow_decode(input)?;
        Ok(Decoded(BudgetUsed { key, day, used }))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<TallyRow> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (day, offer, place, arm) = BorrowDecode::borrow_decode(input)?;
        let (outcomes, value) = BorrowDecode::borrow_decode(input)?;
        let key = TallyKey { offer: OfferNumber(offer), place: PlaceNumber(place), arm };
        Ok(Decoded((day, key, Tally { outcomes, value })))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<(LessonKey, Learned)> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (offer, placement, segment) = BorrowDecode::borrow_decode(input)?;
        let words = <[u64; LEARNED_WORDS]>::borrow_decode(input)?;
        let learned = Learned::from_words(&words).ok_or(Wrong::Other("no lesson has such words"))?;
        Ok(Decoded((LessonKey { offer: OfferNumber(offer), placement, segment }, learned)))
    }
}
