//! Records as bytes, for the journal, and what a snapshot holds besides customers.
//!
//! The only module that knows bincode, which has been without a maintainer since 2025 (RUSTSEC-2025-0141): what is used
//! of it are its varints and its checked reader, the layout is written out below, and changing to something else means
//! changing this file.
//!
//! ```text
//! record       1 byte tag, then by tag:
//!   1 customers  count, that many updates
//!   2 schema     text
//!   3 publish    name, version, text, 1 byte activate (0 or 1)
//!   4 activate   name, version
//!   5 retire     name
//!   6 rollback   name
//!   7 catalogue  additions
//! update       customer id, 1 byte tag: 1 replace, 2 merge, 3 erase, 4 event; for 1 and 2: count, that many
//!              (feature, code); for 4: received, how many seconds before that it happened, id, count and that many
//!              (feature, code), count of 0 or 1 with the outcome
//! outcome      1 byte kind, offer, place, count and that many arms, nonce, decided, value, count and that many budgets
//!              (key, day, most, 1 byte once), count of 0 or 1 with the lesson (1 byte segment, window, half-life)
//! additions    five times count and that many names (rule sets, groups, placements, channels, arms), count and that many
//!              places (placement, channel), count and that many offers (number, name, rule set, count of 0 or 1 with the
//!              group, count and that many treatments), count of 0 or 1 with 4 times how long contacts are kept
//! head         sequence, chain, erased, customers, taken at, seed, rule sets, blocks of the catalogue, blocks of the ledger
//! catalogue    additions, as in a record
//! ledger       1 byte tag, then by tag:
//!   1 ids        day, latest date, count and that many hashes of 8 bytes
//!   2 outcomes   as ids
//!   3 budgets     count and that many (key, day, used)
//!   4 tallies    count and that many (day, offer, place, arm plus one or 0, 4 times how many, value)
//!   5 lessons    count and that many (offer, placement, 1 byte segment, 19 words)
//!   6 totals     twice (forgotten hashes of the first chunk, forgotten until), tallies not counted
//! schema       text, count, that many (name, place)
//! place        1 byte tag: 0 none, 1 field, 2 cells; for 1: word, 1 byte shift, 1 byte bits; for 2: word, count of words
//! rule set     name, last version, count of 0 or 1 with the active version, count and that many earlier versions,
//!              count and that many (version, text)
//! id, name, text   length in bytes, UTF-8
//! count, length, version, feature, code, and all else   little-endian varints of 1, 3, 5 or 9 bytes
//! ```
//!
//! What is in a snapshot changes with the version of its format. A tag is never used again for something else. What is
//! read is checked as if it came from an enemy: every count and length against its bound before anything is allocated,
//! ids as [`CustomerId::new`] does, and nothing may be left over.

use std::collections::BTreeMap;
use std::sync::Arc;

use bincode::de::{BorrowDecode, BorrowDecoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError as Wrong, EncodeError as Failed};

use super::snapshot::SnapshotHead;
use crate::customer::contact::{MAX_OFFER_NUMBERS, MAX_PLACE_NUMBERS};
use crate::customer::event::{Event, MAX_FACTS};
use crate::customer::id::{CustomerId, MAX_ID_BYTES};
use crate::customer::numbers::{ArmNumber, OfferNumber, PlaceNumber};
use crate::customer::outcome::OutcomeKind;
use crate::customer::outcome::{BudgetUse, Lesson, MAX_ARMS_PER_OUTCOME, MAX_BUDGETS_PER_OUTCOME, Outcome};
use crate::customer::update::{Change, Update};
use crate::learning::lesson::LessonKey;
use crate::learning::{LEARNED_WORDS, Learned};
use crate::rules::catalogue::{Additions, MAX_NAME_NUMBERS, MAX_TREATMENT_NUMBERS, OfferEntry, PlaceEntry};
use crate::rules::rule_set::MAX_TREATMENT_NAME_BYTES;
use crate::schema::{Cells, Feature, FeatureId, Field, MAX_FEATURES, MAX_NAME_BYTES, RowPlace, Schema};
use crate::state::definitions::{History, MAX_EARLIER, MAX_HISTORY_BYTES, MAX_VERSIONS};
use crate::state::ledger::{
    BudgetUsed, CHUNK_HASHES, Chunk, MAX_PIECE_ROWS, Piece, Tally, TallyKey, TallyRow, Totals,
};
use crate::state::record::{MAX_FIELDS_PER_UPDATE, MAX_TEXT_BYTES, MAX_UPDATES_PER_RECORD, Record};

/// Bytes of one encoded record at most.
pub const MAX_RECORD_BYTES: usize = 16 << 20;

/// An update with the longest id and all features, each with the longest code.
const MAX_UPDATE_BYTES: usize =
    1 + MAX_ID_BYTES + 1 + 3 + MAX_FIELDS_PER_UPDATE * (3 + 9) + MAX_OUTCOME_BYTES;
/// What an event has beside as many facts as an update has features.
const MAX_OUTCOME_BYTES: usize =
    3 * 9 + 1 + 1 + 2 * 5 + 1 + MAX_ARMS_PER_OUTCOME * 3 + 3 * 9 + 1 + MAX_BUDGETS_PER_OUTCOME * 20 + 1 + 11;
const _: () = assert!(MAX_FACTS <= MAX_FIELDS_PER_UPDATE);
/// Names that are made of two: a treatment's of placement and locale, an arm's of experiment and variant.
const MAX_LONG_NAME_BYTES: usize = 2 * MAX_NAME_BYTES + 1;
const _: () = assert!(MAX_TREATMENT_NAME_BYTES <= MAX_LONG_NAME_BYTES);
/// Whatever keeps to the bounds of [`record`](crate::state::record) can be encoded.
const _: () = assert!(1 + 3 + MAX_UPDATES_PER_RECORD * MAX_UPDATE_BYTES <= MAX_RECORD_BYTES);
const _: () = assert!(1 + MAX_NAME_BYTES + 5 + 5 + MAX_TEXT_BYTES + 2 <= MAX_RECORD_BYTES);

/// Bytes of a schema or of a rule set with its history in a snapshot at most.
pub const MAX_STORED_DEFINITION_BYTES: usize = 40 << 20;
/// Up to three versions are kept whatever their length.
const MAX_VERSIONS_BYTES: usize =
    if 3 * MAX_TEXT_BYTES > MAX_HISTORY_BYTES { 3 * MAX_TEXT_BYTES } else { MAX_HISTORY_BYTES };
const _: () =
    assert!(MAX_VERSIONS_BYTES + (1 + MAX_VERSIONS + MAX_EARLIER) * 16 <= MAX_STORED_DEFINITION_BYTES);
const _: () = assert!(MAX_TEXT_BYTES + MAX_FEATURES * (MAX_NAME_BYTES + 16) < MAX_STORED_DEFINITION_BYTES);

/// Bytes of a piece of the ledger at most.
pub const MAX_PIECE_BYTES: usize = 2 << 20;
const _: () = assert!(CHUNK_HASHES * 9 + 32 <= MAX_PIECE_BYTES);
const _: () = assert!(MAX_PIECE_ROWS * (3 + 5 + 3 + 3 + 5 * 9) + 32 <= MAX_PIECE_BYTES);
const _: () = assert!(MAX_PIECE_ROWS * (5 + 3 + 1 + LEARNED_WORDS * 9) + 32 <= MAX_PIECE_BYTES);

// bincode's own budget counts what is read; the bounds on counts keep what is allocated within a small multiple of it.
type Config = bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<MAX_RECORD_BYTES>,
>;
const CONFIG: Config = bincode::config::standard().with_limit::<MAX_RECORD_BYTES>();

type SnapshotConfig = bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<MAX_STORED_DEFINITION_BYTES>,
>;
const SNAPSHOT_CONFIG: SnapshotConfig =
    bincode::config::standard().with_limit::<MAX_STORED_DEFINITION_BYTES>();

const CUSTOMERS: u8 = 1;
const SCHEMA: u8 = 2;
const PUBLISH: u8 = 3;
const ACTIVATE: u8 = 4;
const RETIRE: u8 = 5;
const ROLLBACK: u8 = 6;
const CATALOGUE: u8 = 7;

const IDS: u8 = 1;
const OUTCOMES: u8 = 2;
const BUDGETS: u8 = 3;
const TALLIES: u8 = 4;
const LESSONS: u8 = 5;
const TOTALS: u8 = 6;

const NOWHERE: u8 = 0;
const FIELD: u8 = 1;
const CELLS: u8 = 2;

const REPLACE: u8 = 1;
const MERGE: u8 = 2;
const ERASE: u8 = 3;
const EVENT: u8 = 4;

/// The record does not keep to the bounds of [`record`](crate::state::record): it could not be read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// Bytes that are not what they should be, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    what: &'static str,
    why: String,
}

/// Appends the bytes of `record` to `bytes`.
///
/// # Errors
/// [`TooLong`]; `bytes` is as it was then.
pub fn encode_into(record: &Record, bytes: &mut Vec<u8>) -> Result<(), TooLong> {
    let start = bytes.len();
    let written = bincode::encode_into_std_write(Stored(record), bytes, CONFIG);
    if written.is_ok_and(|written| written <= MAX_RECORD_BYTES) {
        return Ok(());
    }
    bytes.truncate(start);
    Err(TooLong)
}

/// The bytes of `record`.
///
/// # Errors
/// [`TooLong`].
pub fn encode(record: &Record) -> Result<Vec<u8>, TooLong> {
    let mut bytes = Vec::new();
    encode_into(record, &mut bytes)?;
    Ok(bytes)
}

/// The record in `bytes`, all of them.
///
/// # Errors
/// What is wrong with them. Neither panics nor allocates more than a few times [`MAX_RECORD_BYTES`], whatever they are.
pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
    decode_all("record", bytes, CONFIG)
}

/// The bytes of a snapshot's head.
///
/// # Errors
/// None that is known of.
pub fn encode_head(head: &SnapshotHead) -> Result<Vec<u8>, TooLong> {
    encode_for_snapshot(Stored(head))
}

/// The head in `bytes`, all of them.
///
/// # Errors
/// What is wrong with them.
pub fn decode_head(bytes: &[u8]) -> Result<SnapshotHead, DecodeError> {
    decode_all("head of a snapshot", bytes, SNAPSHOT_CONFIG)
}

/// The bytes of a schema, the places of its features included.
///
/// # Errors
/// [`TooLong`].
pub fn encode_schema(schema: &Schema) -> Result<Vec<u8>, TooLong> {
    encode_for_snapshot(Stored(schema))
}

/// The schema in `bytes`, all of them, as it had grown.
///
/// # Errors
/// What is wrong with them; a text that is no schema included.
pub fn decode_schema(bytes: &[u8]) -> Result<Schema, DecodeError> {
    decode_all("schema", bytes, SNAPSHOT_CONFIG)
}

/// The bytes of a rule set with its history.
///
/// # Errors
/// [`TooLong`].
pub fn encode_rule_set(name: &str, history: &History) -> Result<Vec<u8>, TooLong> {
    encode_for_snapshot(Stored(&(name, history)))
}

/// The name and history in `bytes`, all of them.
///
/// # Errors
/// What is wrong with them.
pub fn decode_rule_set(bytes: &[u8]) -> Result<(Arc<str>, History), DecodeError> {
    decode_all("rule set", bytes, SNAPSHOT_CONFIG)
}

/// The bytes of a piece of the catalogue.
///
/// # Errors
/// [`TooLong`].
pub fn encode_additions(additions: &Additions) -> Result<Vec<u8>, TooLong> {
    encode_for_snapshot(Stored(additions))
}

/// The piece of the catalogue in `bytes`, all of them.
///
/// # Errors
/// What is wrong with them.
pub fn decode_additions(bytes: &[u8]) -> Result<Additions, DecodeError> {
    decode_all("catalogue", bytes, SNAPSHOT_CONFIG)
}

/// The bytes of a piece of the ledger.
///
/// # Errors
/// [`TooLong`].
pub fn encode_piece(piece: &Piece) -> Result<Vec<u8>, TooLong> {
    encode_for_snapshot(Stored(piece))
}

/// The piece of the ledger in `bytes`, all of them.
///
/// # Errors
/// What is wrong with them.
pub fn decode_piece(bytes: &[u8]) -> Result<Piece, DecodeError> {
    decode_all("ledger", bytes, SNAPSHOT_CONFIG)
}

fn decode_all<'b, T, C>(what: &'static str, bytes: &'b [u8], config: C) -> Result<T, DecodeError>
where
    Read<T>: BorrowDecode<'b, ()>,
    C: bincode::config::Config,
{
    let (Read(value), used): (Read<T>, usize) = bincode::borrow_decode_from_slice(bytes, config)
        .map_err(|wrong| DecodeError { what, why: wrong.to_string() })?;
    if used < bytes.len() {
        return Err(DecodeError { what, why: format!("{} bytes left over", bytes.len() - used) });
    }
    Ok(value)
}

fn encode_for_snapshot(value: impl Encode) -> Result<Vec<u8>, TooLong> {
    let mut bytes = Vec::new();
    match bincode::encode_into_std_write(value, &mut bytes, SNAPSHOT_CONFIG) {
        Ok(written) if written <= MAX_STORED_DEFINITION_BYTES => Ok(bytes),
        _ => Err(TooLong),
    }
}

/// What is written. Wrappers, so that bincode's traits show nowhere else.
struct Stored<'r, T>(&'r T);

/// What was read.
struct Read<T>(T);

impl Encode for Stored<'_, Record> {
    fn encode<E: Encoder>(&self, out: &mut E) -> Result<(), Failed> {
        match self.0 {
            Record::Customers(updates) => {
                CUSTOMERS.encode(out)?;
                count(updates.len(), MAX_UPDATES_PER_RECORD)?.encode(out)?;
                updates.iter().try_for_each(|update| Stored(update).encode(out))
            }
            Record::Catalogue(additions) => {
                CATALOGUE.encode(out)?;
                Stored(&**additions).encode(out)
            }
            Record::Schema { text } => {
                SCHEMA.encode(out)?;
                write_text(text, MAX_TEXT_BYTES, out)
            }
            Record::Publish { name, version, text, activate } => {
                PUBLISH.encode(out)?;
                write_text(name, MAX_NAME_BYTES, out)?;
                version.encode(out)?;
                write_text(text, MAX_TEXT_BYTES, out)?;
                activate.encode(out)
            }
            Record::Activate { name, version } => {
                ACTIVATE.encode(out)?;
                write_text(name, MAX_NAME_BYTES, out)?;
                version.encode(out)
            }
            Record::Rollback { name } => {
                ROLLBACK.encode(out)?;
                write_text(name, MAX_NAME_BYTES, out)
            }
            Record::Retire { name } => {
                RETIRE.encode(out)?;
                write_text(name, MAX_NAME_BYTES, out)
            }
        }
    }
}

impl Encode for Stored<'_, Update> {
    fn encode<E: Encoder>(&self, out: &mut E) -> Result<(), Failed> {
        write_text(self.0.customer.as_str(), MAX_ID_BYTES, out)?;
        let (tag, fields) = match &self.0.change {
            Change::Replace(fields) => (REPLACE, fields),
            Change::Merge(fields) => (MERGE, fields),
            Change::Event(event) => {
                EVENT.encode(out)?;
                return Stored(&**event).encode(out);
            }
            Change::Erase => return ERASE.encode(out),
        };
        tag.encode(out)?;
        write_all(fields, MAX_FIELDS_PER_UPDATE, out, |(feature, code), out| (feature.0, *code).encode(out))
    }
}

impl Encode for Stored<'_, Event> {
    fn encode<E: Encoder>(&self, out: &mut E) -> Result<(), Failed> {
        let Event { at, received, id, facts, outcome } = self.0;
        if at > received {
            return Err(Failed::Other("an event that is ahead of its own receipt"));
        }
        (*received, received.saturating_sub(*at), *id).encode(out)?;
        write_all(facts, MAX_FACTS, out, |(feature, code), out| (feature.0, *code).encode(out))?;
        write_all(outcome.as_slice(), 1, out, |outcome, out| Stored(&**outcome).encode(out))
    }
}

impl Encode for Stored<'_, Outcome> {
    fn encode<E: Encoder>(&self, out: &mut E) -> Result<(), Failed> {
        let Outcome { kind, offer, place, arms, nonce, decided, value, budgets, lesson } = self.0;
        (kind.index() as u8, offer.0, place.0).encode(out)?;
        write_all(arms, MAX_ARMS_PER_OUTCOME, out, |arm, out| arm.0.encode(out))?;
        (*nonce, *decided, *value).encode(out)?;
        write_all(budgets, MAX_BUDGETS_PER_OUTCOME, out, |budget, out| {
            (budget.key, budget.day, budget.max, budget.once).encode(out)
        })?;
        write_all(lesson.as_slice(), 1, out, |lesson, out| {
            (lesson.segment, lesson.window_s, lesson.half_life_s).encode(out)
        })
    }
}

impl Encode for Stored<'_, Additions> {
    fn encode<E: Encoder>(&self, out: &mut E) -> Result<(), Failed> {
        let Additions { names, places, offers, keep_s } = self.0;
        names.iter().try_for_each(|names| write_names(names, MAX_NAME_NUMBERS, out))?;
        write_all(places, MAX_PLACE_NUMBERS, out, |place, out| (place.placement, place.channel).encode(out))?;
        write_all(offers, MAX_OFFER_NUMBERS, out, |(number, entry), out| {
            number.0.encode(out)?;
            write_text(&entry.name, MAX_NAME_BYTES, out)?;
            (entry.rule_set, entry.group).encode(out)?;
            write_names(&entry.treatments, MAX_TREATMENT_NUMBERS, out)
        })?;
        keep_s.encode(out)
    }
}

impl Encode for Stored<'_, SnapshotHead> {
    fn encode<E: Encoder>(&self, out: &mut E) -> Result<(), Failed> {
        let SnapshotHead { sequence, chain, erased, customers, taken_at_s, seed, .. } = *self.0;
        (sequence, chain, erased, customers, taken_at_s, seed).encode(out)?;
        (self.0.rule_sets, self.0.catalogue_blocks, self.0.ledger_blocks).encode(out)
    }
}

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

impl Encode for Stored<'_, Chunk> {
    fn encode<E: Encoder>(&self, out: &mut E) -> Result<(), Failed> {
        let Chunk { day, newest, hashes } = self.0;
        (*day, *newest).encode(out)?;
        write_all(hashes, CHUNK_HASHES, out, |hash, out| hash.to_le_bytes().encode(out))
    }
}

impl Encode for Stored<'_, Schema> {
    fn encode<E: Encoder>(&self, out: &mut E) -> Result<(), Failed> {
        write_text(&self.0.text, MAX_TEXT_BYTES, out)?;
        count(self.0.features().len(), MAX_FEATURES)?.encode(out)?;
        self.0.features().iter().try_for_each(|feature: &Feature| {
            write_text(&feature.name, MAX_NAME_BYTES, out)?;
            Stored(&feature.place()).encode(out)
        })
    }
}

impl Encode for Stored<'_, Option<RowPlace>> {
    fn encode<E: Encoder>(&self, out: &mut E) -> Result<(), Failed> {
        match self.0 {
            None => NOWHERE.encode(out),
            Some(RowPlace::Field(field)) => (FIELD, field.place()).encode(out),
            Some(RowPlace::Cells(cells)) => (CELLS, cells.place()).encode(out),
        }
    }
}

impl Encode for Stored<'_, (&str, &History)> {
    fn encode<E: Encoder>(&self, out: &mut E) -> Result<(), Failed> {
        let (name, history) = self.0;
        write_text(name, MAX_NAME_BYTES, out)?;
        (history.last(), history.active()).encode(out)?;
        count(history.earlier().len(), MAX_EARLIER)?.encode(out)?;
        history.earlier().iter().try_for_each(|version| version.encode(out))?;
        count(history.versions().count(), MAX_VERSIONS)?.encode(out)?;
        history.versions().try_for_each(|(version, text)| {
            version.encode(out)?;
            write_text(text, MAX_TEXT_BYTES, out)
        })
    }
}

fn count(length: usize, most: usize) -> Result<u32, Failed> {
    u32::try_from(length).ok().filter(|_| length <= most).ok_or(Failed::Other("too many"))
}

fn write_names<E: Encoder>(names: &[Box<str>], most: usize, out: &mut E) -> Result<(), Failed> {
    write_all(names, most, out, |name, out| write_text(name, MAX_LONG_NAME_BYTES, out))
}

/// A count, at most `most`, and that many values.
fn write_all<T, E: Encoder>(
    values: &[T],
    most: usize,
    out: &mut E,
    write: impl Fn(&T, &mut E) -> Result<(), Failed>,
) -> Result<(), Failed> {
    count(values.len(), most)?.encode(out)?;
    values.iter().try_for_each(|value| write(value, out))
}

fn write_text<E: Encoder>(text: &str, most: usize, out: &mut E) -> Result<(), Failed> {
    count(text.len(), most)?;
    text.encode(out)
}

impl<'b, C> BorrowDecode<'b, C> for Read<Record> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let record = match u8::borrow_decode(input)? {
            CUSTOMERS => Record::Customers(read_all(input, MAX_UPDATES_PER_RECORD)?),
            CATALOGUE => Record::Catalogue(Box::new(Read::borrow_decode(input)?.0)),
            SCHEMA => Record::Schema { text: read_text(input, MAX_TEXT_BYTES)? },
            PUBLISH => Record::Publish {
                name: read_text(input, MAX_NAME_BYTES)?,
                version: u32::borrow_decode(input)?,
                text: read_text(input, MAX_TEXT_BYTES)?,
                activate: bool::borrow_decode(input)?,
            },
            ACTIVATE => Record::Activate {
                name: read_text(input, MAX_NAME_BYTES)?,
                version: u32::borrow_decode(input)?,
            },
            ROLLBACK => Record::Rollback { name: read_text(input, MAX_NAME_BYTES)? },
            RETIRE => Record::Retire { name: read_text(input, MAX_NAME_BYTES)? },
            tag => return Err(Wrong::OtherString(format!("no record has the tag {tag}"))),
        };
        Ok(Read(record))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<Update> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let customer = CustomerId::new(<&str>::borrow_decode(input)?).map_err(Wrong::OtherString)?;
        let change = match u8::borrow_decode(input)? {
            REPLACE => Change::Replace(read_all(input, MAX_FIELDS_PER_UPDATE)?),
            MERGE => Change::Merge(read_all(input, MAX_FIELDS_PER_UPDATE)?),
            ERASE => Change::Erase,
            EVENT => Change::Event(Box::new(Read::borrow_decode(input)?.0)),
            tag => return Err(Wrong::OtherString(format!("no change has the tag {tag}"))),
        };
        Ok(Read(Update { customer, change }))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<Event> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (received, before, id) = <(u32, u32, u64)>::borrow_decode(input)?;
        let at = received.checked_sub(before).ok_or(Wrong::Other("an event of before 1970"))?;
        let facts = read_all(input, MAX_FACTS)?;
        let outcome: Vec<Outcome> = read_all(input, 1)?;
        Ok(Read(Event { at, received, id, facts, outcome: outcome.into_iter().next().map(Box::new) }))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<Outcome> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (kind, offer, place) = <(u8, u32, u16)>::borrow_decode(input)?;
        let Some(kind) = OutcomeKind::ALL.get(usize::from(kind)).copied() else {
            return Err(Wrong::OtherString(format!("no outcome has the number {kind}")));
        };
        if offer as usize >= MAX_OFFER_NUMBERS || usize::from(place) >= MAX_PLACE_NUMBERS {
            return Err(Wrong::OtherString(format!("no catalogue has offer {offer} or place {place}")));
        }
        let arms = read_all(input, MAX_ARMS_PER_OUTCOME)?;
        let (nonce, decided, value) = <(u64, u32, i64)>::borrow_decode(input)?;
        let budgets = read_all(input, MAX_BUDGETS_PER_OUTCOME)?;
        let lesson: Vec<Lesson> = read_all(input, 1)?;
        let (offer, place) = (OfferNumber(offer), PlaceNumber(place));
        let lesson = lesson.into_iter().next();
        Ok(Read(Outcome { kind, offer, place, arms, nonce, decided, value, budgets, lesson }))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<ArmNumber> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let arm = u16::borrow_decode(input)?;
        if usize::from(arm) >= MAX_NAME_NUMBERS {
            return Err(Wrong::OtherString(format!("no catalogue has an arm {arm}")));
        }
        Ok(Read(ArmNumber(arm)))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<BudgetUse> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (key, day, max, once) = BorrowDecode::borrow_decode(input)?;
        Ok(Read(BudgetUse { key, day, max, once }))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<Lesson> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (segment, window_s, half_life_s) = BorrowDecode::borrow_decode(input)?;
        Ok(Read(Lesson { segment, window_s, half_life_s }))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<Additions> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let mut names: [Vec<Box<str>>; 5] = Default::default();
        for names in &mut names {
            *names = read_all(input, MAX_NAME_NUMBERS)?;
        }
        let places = read_all(input, MAX_PLACE_NUMBERS)?;
        let offers = read_all(input, MAX_OFFER_NUMBERS)?;
        Ok(Read(Additions { names, places, offers, keep_s: Option::borrow_decode(input)? }))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<Box<str>> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        borrow_text(input, MAX_LONG_NAME_BYTES).map(|text| Read(text.into()))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<PlaceEntry> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (placement, channel) = BorrowDecode::borrow_decode(input)?;
        Ok(Read(PlaceEntry { placement, channel }))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<(OfferNumber, OfferEntry)> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let number = u32::borrow_decode(input)?;
        let name = borrow_text(input, MAX_NAME_BYTES)?.into();
        let (rule_set, group) = BorrowDecode::borrow_decode(input)?;
        let treatments = read_all(input, MAX_TREATMENT_NUMBERS)?;
        Ok(Read((OfferNumber(number), OfferEntry { name, rule_set, group, treatments })))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<(FeatureId, u64)> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (feature, code) = <(u16, u64)>::borrow_decode(input)?;
        if usize::from(feature) >= MAX_FEATURES {
            return Err(Wrong::OtherString(format!("no schema has a feature {feature}")));
        }
        Ok(Read((FeatureId(feature), code)))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<SnapshotHead> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (sequence, chain, erased, customers, taken_at_s, seed) = BorrowDecode::borrow_decode(input)?;
        let (rule_sets, catalogue_blocks, ledger_blocks) = BorrowDecode::borrow_decode(input)?;
        Ok(Read(SnapshotHead {
            sequence,
            chain,
            erased,
            customers,
            taken_at_s,
            seed,
            rule_sets,
            catalogue_blocks,
            ledger_blocks,
        }))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<Piece> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let piece = match u8::borrow_decode(input)? {
            IDS => Piece::Ids(Read::borrow_decode(input)?.0),
            OUTCOMES => Piece::Outcomes(Read::borrow_decode(input)?.0),
            BUDGETS => Piece::Budgets(read_all(input, MAX_PIECE_ROWS)?),
            TALLIES => Piece::Tallies(read_all(input, MAX_PIECE_ROWS)?),
            LESSONS => Piece::Lessons(read_all(input, MAX_PIECE_ROWS)?),
            TOTALS => {
                let (ids, outcomes, uncounted) = BorrowDecode::borrow_decode(input)?;
                Piece::Totals(Totals { ids, outcomes, uncounted })
            }
            tag => return Err(Wrong::OtherString(format!("no piece of a ledger has the tag {tag}"))),
        };
        Ok(Read(piece))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<Chunk> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (day, newest) = BorrowDecode::borrow_decode(input)?;
        Ok(Read(Chunk { day, newest, hashes: Arc::new(read_all(input, CHUNK_HASHES)?) }))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<u64> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        <[u8; 8]>::borrow_decode(input).map(|bytes| Read(u64::from_le_bytes(bytes)))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<BudgetUsed> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (key, day, used) = BorrowDecode::borrow_decode(input)?;
        Ok(Read(BudgetUsed { key, day, used }))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<TallyRow> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (day, offer, place, arm) = BorrowDecode::borrow_decode(input)?;
        let (outcomes, value) = BorrowDecode::borrow_decode(input)?;
        let key = TallyKey { offer: OfferNumber(offer), place: PlaceNumber(place), arm };
        Ok(Read((day, key, Tally { outcomes, value })))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<(LessonKey, Learned)> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (offer, placement, segment) = BorrowDecode::borrow_decode(input)?;
        let words = <[u64; LEARNED_WORDS]>::borrow_decode(input)?;
        let learned = Learned::from_words(&words).ok_or(Wrong::Other("nothing was ever learned so"))?;
        Ok(Read((LessonKey { offer: OfferNumber(offer), placement, segment }, learned)))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<Schema> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let text = borrow_text(input, MAX_TEXT_BYTES)?;
        let order = read_all(input, MAX_FEATURES)?;
        let schema = Schema::restore(text, &order);
        schema.map(Read).map_err(|problems| Wrong::OtherString(problems.to_string()))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<(&'b str, Option<RowPlace>)> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let name = borrow_text(input, MAX_NAME_BYTES)?;
        let place = match u8::borrow_decode(input)? {
            NOWHERE => return Ok(Read((name, None))),
            FIELD => Field::at(BorrowDecode::borrow_decode(input)?).map(RowPlace::Field),
            CELLS => Cells::at(BorrowDecode::borrow_decode(input)?).map(RowPlace::Cells),
            tag => return Err(Wrong::OtherString(format!("no place has the tag {tag}"))),
        };
        Ok(Read((name, Some(place.ok_or(Wrong::Other("no row has such a field"))?))))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<(Arc<str>, History)> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let name = borrow_text(input, MAX_NAME_BYTES)?;
        let (last, active) = BorrowDecode::borrow_decode(input)?;
        let earlier = read_all(input, MAX_EARLIER)?;
        let versions: Vec<(u32, Arc<str>)> = read_all(input, MAX_VERSIONS)?;
        let count = versions.len();
        let versions = BTreeMap::from_iter(versions);
        if versions.len() < count {
            return Err(Wrong::Other("a version is there twice"));
        }
        let history = History::restore(versions, active, earlier, last).map_err(Wrong::OtherString)?;
        Ok(Read((name.into(), history)))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<(u32, Arc<str>)> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        Ok(Read((u32::borrow_decode(input)?, borrow_text(input, MAX_TEXT_BYTES)?.into())))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Read<u32> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        u32::borrow_decode(input).map(Read)
    }
}

/// A count, at most `most`, and that many values.
fn read_all<'b, C, D, T>(input: &mut D, most: usize) -> Result<Vec<T>, Wrong>
where
    D: BorrowDecoder<'b, Context = C>,
    Read<T>: BorrowDecode<'b, C>,
{
    let count = u32::borrow_decode(input)? as usize;
    if count > most {
        return Err(Wrong::OtherString(format!("{count} values where there are at most {most}")));
    }
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        all.push(Read::borrow_decode(input)?.0);
    }
    Ok(all)
}

fn read_text<'b, C, D: BorrowDecoder<'b, Context = C>>(input: &mut D, most: usize) -> Result<String, Wrong> {
    borrow_text(input, most).map(str::to_owned)
}

/// Borrowed, so that nothing is allocated before the bound is checked.
fn borrow_text<'b, C, D: BorrowDecoder<'b, Context = C>>(
    input: &mut D,
    most: usize,
) -> Result<&'b str, Wrong> {
    let text = <&str>::borrow_decode(input)?;
    if text.len() > most {
        let why = format!("a text of {} bytes where there are at most {most}", text.len());
        return Err(Wrong::OtherString(why));
    }
    Ok(text)
}

impl std::fmt::Display for TooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the record is too long: at most {MAX_RECORD_BYTES} bytes and {MAX_UPDATES_PER_RECORD} updates"
        )
    }
}

impl std::error::Error for TooLong {}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not a {}: {}", self.what, self.why)
    }
}

impl std::error::Error for DecodeError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn updates() -> impl Strategy<Value = Update> {
        let id = "[^\\p{Cc}]{1,16}".prop_map(|text| CustomerId::new(&text).unwrap());
        let code = prop_oneof![0..300_u64, any::<u64>()];
        let fields = || {
            let feature = (0..MAX_FEATURES as u16).prop_map(FeatureId);
            prop::collection::vec((feature, code.clone()), 0..20)
        };
        let change = prop_oneof![
            fields().prop_map(Change::Replace),
            fields().prop_map(Change::Merge),
            Just(Change::Erase),
            events().prop_map(|event| Change::Event(Box::new(event))),
        ];
        (id, change).prop_map(|(customer, change)| Update { customer, change })
    }

    fn events() -> impl Strategy<Value = Event> {
        let budget = (any::<u64>(), any::<u32>(), any::<u32>(), any::<bool>())
            .prop_map(|(key, day, max, once)| BudgetUse { key, day, max, once });
        let lesson = (any::<u8>(), any::<u32>(), any::<u32>())
            .prop_map(|(segment, window_s, half_life_s)| Lesson { segment, window_s, half_life_s });
        let arms =
            prop::collection::vec((0..MAX_NAME_NUMBERS as u16).prop_map(ArmNumber), 0..=MAX_ARMS_PER_OUTCOME);
        let budgets = prop::collection::vec(budget, 0..=MAX_BUDGETS_PER_OUTCOME);
        let of_what = (0..4_usize, 0..MAX_OFFER_NUMBERS as u32, 0..MAX_PLACE_NUMBERS as u16, arms);
        let of_proposition = (any::<u64>(), any::<u32>(), any::<i64>(), budgets, prop::option::of(lesson));
        let outcome =
            (of_what, of_proposition).prop_map(|(what, (nonce, decided, value, budgets, lesson))| {
                let (kind, offer, place, arms) = what;
                let (kind, offer, place) = (OutcomeKind::ALL[kind], OfferNumber(offer), PlaceNumber(place));
                Outcome { kind, offer, place, arms, nonce, decided, value, budgets, lesson }
            });
        let fact = ((0..MAX_FEATURES as u16).prop_map(FeatureId), any::<u64>());
        let facts = prop::collection::vec(fact, 0..5);
        (any::<u32>(), any::<u32>(), any::<u64>(), facts, prop::option::of(outcome)).prop_map(
            |(received, before, id, facts, outcome)| {
                let at = received - before % received.max(1);
                Event { at, received, id, facts, outcome: outcome.map(Box::new) }
            },
        )
    }

    fn additions() -> impl Strategy<Value = Additions> {
        let name = || "[a-z]{1,9}".prop_map(Box::<str>::from);
        let names = || prop::collection::vec(name(), 0..3);
        let place =
            (any::<u16>(), any::<u16>()).prop_map(|(placement, channel)| PlaceEntry { placement, channel });
        let entry = (name(), any::<u16>(), any::<Option<u16>>(), names())
            .prop_map(|(name, rule_set, group, treatments)| OfferEntry { name, rule_set, group, treatments });
        let offers = prop::collection::vec((any::<u32>().prop_map(OfferNumber), entry), 0..3);
        let names = [names(), names(), names(), names(), names()];
        (names, prop::collection::vec(place, 0..3), offers, any::<Option<[u32; 4]>>())
            .prop_map(|(names, places, offers, keep_s)| Additions { names, places, offers, keep_s })
    }

    fn pieces() -> impl Strategy<Value = Piece> {
        let chunk = || {
            (any::<u32>(), any::<u32>(), prop::collection::vec(any::<u64>(), 0..5))
                .prop_map(|(day, newest, hashes)| Chunk { day, newest, hashes: Arc::new(hashes) })
        };
        let used = (any::<u64>(), any::<u32>(), any::<u32>()).prop_map(|(key, day, used)| BudgetUsed {
            key,
            day,
            used,
        });
        let key = (any::<u32>(), any::<u16>(), any::<u16>()).prop_map(|(offer, place, arm)| TallyKey {
            offer: OfferNumber(offer),
            place: PlaceNumber(place),
            arm,
        });
        let tally = any::<([u64; 4], i64)>().prop_map(|(outcomes, value)| Tally { outcomes, value });
        let lesson = (any::<u32>(), any::<u16>(), any::<u8>())
            .prop_map(|(offer, placement, segment)| LessonKey {
                offer: OfferNumber(offer),
                placement,
                segment,
            })
            .prop_map(|key| (key, Learned::default()));
        let totals = any::<((u32, u32), (u32, u32), u64)>().prop_map(|(ids, outcomes, uncounted)| Totals {
            ids,
            outcomes,
            uncounted,
        });
        prop_oneof![
            chunk().prop_map(Piece::Ids),
            chunk().prop_map(Piece::Outcomes),
            prop::collection::vec(used, 0..4).prop_map(Piece::Budgets),
            prop::collection::vec((any::<u16>(), key, tally), 0..4).prop_map(Piece::Tallies),
            prop::collection::vec(lesson, 0..4).prop_map(Piece::Lessons),
            totals.prop_map(Piece::Totals),
        ]
    }

    fn records() -> impl Strategy<Value = Record> {
        let name = "[a-z][a-z0-9_-]{0,20}";
        prop_oneof![
            prop::collection::vec(updates(), 0..20).prop_map(Record::Customers),
            ".{0,99}".prop_map(|text| Record::Schema { text }),
            (name, any::<u32>(), ".{0,99}", any::<bool>()).prop_map(|(name, version, text, activate)| {
                Record::Publish { name, version, text, activate }
            }),
            (name, any::<u32>()).prop_map(|(name, version)| Record::Activate { name, version }),
            name.prop_map(|name| Record::Rollback { name }),
            name.prop_map(|name| Record::Retire { name }),
            additions().prop_map(|additions| Record::Catalogue(Box::new(additions))),
        ]
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(record in records()) {
            prop_assert_eq!(decode(&encode(&record).unwrap()).unwrap(), record);
        }

        #[test]
        fn pieces_of_catalogue_and_ledger_are_decoded_and_others_never_panic(
            additions in additions(),
            piece in pieces(),
            cut in any::<prop::sample::Index>(),
            bit in 0..8_u8,
        ) {
            prop_assert_eq!(decode_additions(&encode_additions(&additions).unwrap()).unwrap(), additions);
            let mut bytes = encode_piece(&piece).unwrap();
            prop_assert_eq!(decode_piece(&bytes).unwrap(), piece);
            let cut = cut.index(bytes.len());
            prop_assert!(decode_piece(&bytes[..cut]).is_err());
            bytes[cut] ^= 1 << bit;
            let _ = decode_piece(&bytes);
        }

        #[test]
        fn a_truncated_record_is_refused(record in records(), cut in any::<prop::sample::Index>()) {
            let bytes = encode(&record).unwrap();
            prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn altered_bytes_never_panic_and_what_they_make_keeps_the_bounds(
            record in records(),
            flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 1..6),
        ) {
            let mut bytes = encode(&record).unwrap();
            for (at, bit) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            if let Ok(other) = decode(&bytes) {
                prop_assert_eq!(decode(&encode(&other).unwrap()).unwrap(), other);
            }
        }

        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }

    #[track_caller]
    fn check_refused(bytes: &[u8], why: &str) {
        let error = decode(bytes).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn counts_and_lengths_are_checked_before_anything_is_allocated() {
        check_refused(&[], "");
        check_refused(&[9], "no record has the tag 9");
        check_refused(&[CUSTOMERS, 0, 7], "1 bytes left over");
        check_refused(&[CUSTOMERS, 252, 255, 255, 255, 255], "at most 512");
        check_refused(&[CUSTOMERS, 1, 1, b'c', MERGE, 252, 255, 255, 255, 255], "at most 2000");
        check_refused(&[CUSTOMERS, 1, 1, b'c', MERGE, 1, 251, 0xd0, 0x07, 1], "no schema has a feature 2000");
        check_refused(&[CUSTOMERS, 1, 1, b'\n', ERASE], "control");
        check_refused(&[CUSTOMERS, 1, 0, ERASE], "empty");
        check_refused(&[SCHEMA, 253, 255, 255, 255, 255, 255, 255, 255, 127], "");
        check_refused(&[RETIRE, 2, 0xff, 0xff], "");
        check_refused(&[PUBLISH, 1, b'a', 1, 1, b't', 2], "");
        let long = [&[RETIRE, 65][..], &[b'a'; 65]].concat();
        check_refused(&long, "at most 64");
        let event = [&[CUSTOMERS, 1, 1, b'c', EVENT, 5][..], &[6, 0, 0, 0]].concat();
        check_refused(&event, "before 1970");
        let outcome = |bytes: &[u8]| [&[CUSTOMERS, 1, 1, b'c', EVENT, 5, 0, 0, 0, 1][..], bytes].concat();
        check_refused(&outcome(&[4, 0, 0]), "no outcome has the number 4");
        check_refused(&outcome(&[0, 252, 0, 0, 8, 0, 0]), "no catalogue has offer 524288");
        check_refused(&outcome(&[0, 0, 251, 0, 0x20]), "place 8192");
        check_refused(&outcome(&[0, 0, 0, 17]), "at most 16");
        check_refused(&outcome(&[0, 0, 0, 1, 251, 0, 0x40]), "no catalogue has an arm 16384");
        check_refused(&outcome(&[0, 0, 0, 0, 0, 0, 0, 17]), "at most 16");
        let piece = |bytes: &[u8]| decode_piece(bytes).unwrap_err().to_string();
        assert!(piece(&[9]).contains("no piece of a ledger has the tag 9"));
        assert!(piece(&[IDS, 0, 0, 252, 1, 0, 1, 0]).contains("at most 65536"));
        assert!(piece(&[TALLIES, 252, 255, 255, 255, 255]).contains("at most 8192"));
    }

    #[test]
    fn the_layout_stays_as_written_down() {
        let customer = CustomerId::new("c").unwrap();
        let change = Change::Merge(vec![(FeatureId(3), 300)]);
        let record = Record::Customers(vec![Update { customer, change }]);
        assert_eq!(encode(&record).unwrap(), [CUSTOMERS, 1, 1, b'c', MERGE, 1, 3, 251, 0x2c, 0x01]);
        let record = Record::Publish { name: "a".into(), version: 7, text: "t".into(), activate: true };
        assert_eq!(encode(&record).unwrap(), [PUBLISH, 1, b'a', 7, 1, b't', 1]);
    }

    #[test]
    fn the_largest_record_can_be_read_back_and_a_larger_one_is_not_made() {
        let fields = (0..MAX_FIELDS_PER_UPDATE).map(|at| (FeatureId(at as u16), u64::MAX)).collect();
        let customer = CustomerId::new(&"x".repeat(MAX_ID_BYTES)).unwrap();
        let update = Update { customer, change: Change::Replace(fields) };
        let mut updates = vec![update; MAX_UPDATES_PER_RECORD];
        let record = Record::Customers(updates.clone());
        assert!(decode(&encode(&record).unwrap()).unwrap() == record);
        updates.push(updates[0].clone());
        let mut bytes = vec![1, 2];
        assert_eq!(encode_into(&Record::Customers(updates), &mut bytes), Err(TooLong));
        assert_eq!(bytes, [1, 2]);
        assert_eq!(encode(&Record::Schema { text: "x".repeat(MAX_TEXT_BYTES + 1) }), Err(TooLong));
    }
    fn head() -> SnapshotHead {
        SnapshotHead {
            sequence: 1,
            chain: 2,
            erased: 3,
            customers: 300,
            taken_at_s: 5,
            seed: 6,
            rule_sets: 7,
            catalogue_blocks: 8,
            ledger_blocks: 9,
        }
    }

    fn grown() -> Schema {
        let parse = |text| Schema::parse("schema", text).unwrap();
        let old = parse("schema: s\nfeatures: {b: {kind: bool}}");
        let count = "c: {kind: count, event: e}";
        let text = format!(
            "schema: s\nfeatures: {{a: {{kind: time}}, {count}, b: {{kind: bool}}}}\nevents: {{e: {{}}}}"
        );
        old.grow(&parse(&text)).unwrap()
    }

    fn history() -> History {
        let versions = [(2, "x".into()), (4, "".into())].into();
        History::restore(versions, Some(4), vec![2, 4, 2], 9).unwrap()
    }

    #[test]
    fn what_a_snapshot_holds_is_decoded_and_its_layout_stays() {
        let bytes = encode_head(&head()).unwrap();
        assert_eq!(bytes, [1, 2, 3, 251, 0x2c, 0x01, 5, 6, 7, 8, 9]);
        assert_eq!(decode_head(&bytes).unwrap(), head());
        let bytes = encode_schema(&grown()).unwrap();
        let text = grown().text.len() as u8;
        assert_eq!(bytes[0], text);
        let places = [3, 1, b'b', 1, 1, 0, 2, 1, b'a', 1, 1, 2, 32, 1, b'c', 2, 2, 1];
        assert_eq!(bytes[1 + usize::from(text)..], places);
        assert_eq!(decode_schema(&bytes).unwrap(), grown());
        let bytes = encode_rule_set("w", &history()).unwrap();
        assert_eq!(bytes, [1, b'w', 9, 1, 4, 3, 2, 4, 2, 2, 2, 1, b'x', 4, 0]);
        let (name, decoded) = decode_rule_set(&bytes).unwrap();
        assert_eq!((&*name, format!("{decoded:?}")), ("w", format!("{:?}", history())));
    }

    #[test]
    fn what_no_snapshot_holds_is_refused() {
        let why = |bytes: &[u8]| decode_rule_set(bytes).unwrap_err().to_string();
        assert!(why(&[1, b'w', 9, 1, 3, 0, 1, 2, 0]).starts_with("not a rule set: "));
        assert!(why(&[1, b'w', 9, 1, 3, 0, 1, 2, 0]).contains("version 3 is missing"));
        assert!(why(&[1, b'w', 1, 0, 0, 1, 2, 0]).contains("after the last"));
        assert!(why(&[1, b'w', 9, 0, 0, 2, 2, 0, 2, 0]).contains("twice"));
        assert!(why(&[1, b'w', 9, 0, 0, 252, 255, 255, 255, 255]).contains("at most 100"));
        assert!(why(&[1, b'w', 9, 0, 101]).contains("at most 100"));
        assert!(decode_head(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]).unwrap_err().to_string().contains("left over"));
        let no_schema = decode_schema(&[1, b'x', 0]).unwrap_err().to_string();
        assert!(no_schema.contains("not a schema"), "{no_schema}");
        let mut bytes = encode_schema(&grown()).unwrap();
        let last = bytes.len() - 8; // word of `a`
        bytes[last..last + 1].copy_from_slice(&[250]);
        assert!(decode_schema(&bytes).is_ok(), "a row may be that long");
        bytes.splice(last..last + 1, [251, 0xe8, 0x03]);
        assert!(decode_schema(&bytes).unwrap_err().to_string().contains("no row has such a field"));
        let mut bytes = encode_schema(&grown()).unwrap();
        let last = bytes.len() - 3; // tag of the place of `c`
        bytes[last] = 3;
        assert!(decode_schema(&bytes).unwrap_err().to_string().contains("no place has the tag 3"));
        bytes.splice(last.., [2, 251, 0xe7, 0x03, 2]);
        assert!(decode_schema(&bytes).unwrap_err().to_string().contains("no row has such a field"));
    }

    proptest! {
        #[test]
        fn bytes_for_a_snapshot_never_panic(
            flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 0..4),
            noise in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let whole = [encode_head(&head()), encode_schema(&grown()), encode_rule_set("w", &history()), Ok(noise)];
            for mut bytes in whole.map(Result::unwrap).into_iter().filter(|bytes| !bytes.is_empty()) {
                for (at, bit) in &flips {
                    let at = at.index(bytes.len());
                    bytes[at] ^= 1 << bit;
                }
                let _ = (decode_head(&bytes), decode_schema(&bytes), decode_rule_set(&bytes));
            }
        }
    }
}
