//! Records of the journal as bytes.
//!
//! ```text
//! record       1 byte tag, then by tag:
//!   1 customers  count, that many updates
//!   2 schema     text
//!   3 publish    name, version, text, 1 byte activate (0 or 1)
//!   4 activate   name, version
//!   5 retire     name
//!   6 rollback   name
//!   7 catalogue  additions, see `definitions.rs`
//!   8 note       name, version, note
//!   9 idle       when, life in seconds, count and that many customer ids
//! note         when, in seconds since 1970, author, message
//! update       customer id, 1 byte tag: 1 replace, 2 merge, 3 erase, 4 event,
//!              5 erase with its time
//!                for 1 and 2: count, that many (feature, code)
//!                for 4: received, how many seconds before that it happened, id, count and that many
//!                (feature, code), count of 0 or 1 with the outcome
//!                for 5: when, salt of 16 bytes
//! outcome      1 byte kind, offer, place, count and that many arms, nonce, decided, value,
//!              count and that many budgets (key, day, most, 1 byte once),
//!              count of 0 or 1 with the lesson (1 byte segment, window, half-life)
//! ```

use bincode::de::{BorrowDecode, BorrowDecoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError as Wrong, EncodeError as Failed};

use super::MAX_RECORD_BYTES;
use super::bytes::{Decoded, Stored, count, read_all, read_text, write_all, write_text};
use crate::customer::contact::{MAX_OFFER_NUMBERS, MAX_PLACE_NUMBERS};
use crate::customer::event::{Event, MAX_FACTS};
use crate::customer::id::{CustomerId, MAX_ID_BYTES};
use crate::customer::numbers::{ArmNumber, OfferNumber, PlaceNumber};
use crate::customer::outcome::{
    BudgetUse, Lesson, MAX_ARMS_PER_OUTCOME, MAX_BUDGETS_PER_OUTCOME, Outcome, OutcomeKind,
};
use crate::customer::update::{Change, Erasure, Update};
use crate::rules::catalogue::MAX_ARM_NUMBERS;
use crate::schema::{FeatureId, MAX_FEATURES, MAX_NAME_BYTES};
use crate::state::record::{
    MAX_AUTHOR_BYTES, MAX_FIELDS_PER_UPDATE, MAX_MESSAGE_BYTES, MAX_TEXT_BYTES, MAX_UPDATES_PER_RECORD, Note,
    Record,
};

/// The most bytes of an update: the longest id, and all features with the longest codes, or as many
/// facts and an outcome.
const MAX_UPDATE_BYTES: usize =
    1 + MAX_ID_BYTES + 1 + 3 + MAX_FIELDS_PER_UPDATE * (3 + 9) + MAX_OUTCOME_BYTES;
/// The most bytes of an event without its facts.
const MAX_OUTCOME_BYTES: usize =
    3 * 9 + 1 + 1 + 2 * 5 + 1 + MAX_ARMS_PER_OUTCOME * 3 + 3 * 9 + 1 + MAX_BUDGETS_PER_OUTCOME * 20 + 1 + 11;
const _: () = assert!(MAX_FACTS <= MAX_FIELDS_PER_UPDATE);
// What keeps to the bounds of a record can be encoded.
const _: () = assert!(1 + 3 + MAX_UPDATES_PER_RECORD * MAX_UPDATE_BYTES <= MAX_RECORD_BYTES);
const _: () = assert!(1 + MAX_NAME_BYTES + 5 + 5 + MAX_TEXT_BYTES + 2 <= MAX_RECORD_BYTES);

pub(super) const CUSTOMERS: u8 = 1;
pub(super) const SCHEMA: u8 = 2;
pub(super) const PUBLISH: u8 = 3;
const ACTIVATE: u8 = 4;
pub(super) const RETIRE: u8 = 5;
const ROLLBACK: u8 = 6;
const CATALOGUE: u8 = 7;
const NOTE: u8 = 8;
const IDLE: u8 = 9;

const REPLACE: u8 = 1;
pub(super) const MERGE: u8 = 2;
pub(super) const ERASE: u8 = 3;
pub(super) const EVENT: u8 = 4;
const ERASE_AT: u8 = 5;

impl Encode for Stored<'_, Record> {
    fn encode<E: Encoder>(&self, out: &mut E) -> Result<(), Failed> {
        match self.0 {
            Record::Customers(updates) => {
                CUSTOMERS.encode(out)?;
                count(updates.len(), MAX_UPDATES_PER_RECORD)?.encode(out)?;
                updates.iter().try_for_each(|update| Stored(update).encode(out))
            }
            Record::Idle { at, life_s, customers } => {
                (IDLE, *at, *life_s).encode(out)?;
                write_all(customers, MAX_UPDATES_PER_RECORD, out, |customer, out| {
                    write_text(customer.as_str(), MAX_ID_BYTES, out)
                })
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
            Record::Note { name, version, note } => {
                NOTE.encode(out)?;
                write_text(name, MAX_NAME_BYTES, out)?;
                version.encode(out)?;
                Stored(note).encode(out)
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

impl Encode for Stored<'_, Note> {
    fn encode<E: Encoder>(&self, out: &mut E) -> Result<(), Failed> {
        let Note { at, author, message } = self.0;
        at.encode(out)?;
        write_text(author, MAX_AUTHOR_BYTES, out)?;
        write_text(message, MAX_MESSAGE_BYTES, out)
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
            Change::Erase(erasure) if *erasure == Erasure::default() => return ERASE.encode(out),
            Change::Erase(Erasure { at, salt }) => return (ERASE_AT, *at, *salt).encode(out),
        };
        tag.encode(out)?;
        write_all(fields, MAX_FIELDS_PER_UPDATE, out, |(feature, code), out| (feature.0, *code).encode(out))
    }
}

impl Encode for Stored<'_, Event> {
    fn encode<E: Encoder>(&self, out: &mut E) -> Result<(), Failed> {
        let Event { at, received, id, facts, outcome } = self.0;
        if at > received {
            return Err(Failed::Other("the event is later than its own receipt"));
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

impl<'b, C> BorrowDecode<'b, C> for Decoded<Record> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let record = match u8::borrow_decode(input)? {
            CUSTOMERS => Record::Customers(read_all(input, MAX_UPDATES_PER_RECORD)?),
            IDLE => {
                let (at, life_s) = BorrowDecode::borrow_decode(input)?;
                Record::Idle { at, life_s, customers: read_all(input, MAX_UPDATES_PER_RECORD)? }
            }
            CATALOGUE => Record::Catalogue(Box::new(Decoded::borrow_decode(input)?.0)),
            SCHEMA => Record::Schema { text: read_text(input, MAX_TEXT_BYTES)? },
            PUBLISH => Record::Publish {
                name: read_text(input, MAX_NAME_BYTES)?,
                version: u32::borrow_decode(input)?,
                text: read_text(input, MAX_TEXT_BYTES)?,
                activate: bool::borrow_decode(input)?,
            },
            NOTE => Record::Note {
                name: read_text(input, MAX_NAME_BYTES)?,
                version: u32::borrow_decode(input)?,
                note: Decoded::borrow_decode(input)?.0,
            },
            ACTIVATE => Record::Activate {
                name: read_text(input, MAX_NAME_BYTES)?,
                version: u32::borrow_decode(input)?,
            },
            ROLLBACK => Record::Rollback { name: read_text(input, MAX_NAME_BYTES)? },
            RETIRE => Record::Retire { name: read_text(input, MAX_NAME_BYTES)? },
            tag => return Err(Wrong::OtherString(format!("no record has the tag {tag}"))),
        };
        Ok(Decoded(record))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<CustomerId> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        CustomerId::known(<&str>::borrow_decode(input)?).map(Decoded).map_err(Wrong::OtherString)
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<Note> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let at = u32::borrow_decode(input)?;
        let author = read_text(input, MAX_AUTHOR_BYTES)?;
        Ok(Decoded(Note { at, author, message: read_text(input, MAX_MESSAGE_BYTES)? }))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<Update> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let customer: CustomerId = Decoded::borrow_decode(input)?.0;
        let change = match u8::borrow_decode(input)? {
            REPLACE => Change::Replace(read_all(input, MAX_FIELDS_PER_UPDATE)?),
            MERGE => Change::Merge(read_all(input, MAX_FIELDS_PER_UPDATE)?),
            ERASE => Change::Erase(Erasure::default()),
            ERASE_AT => {
                let (at, salt) = BorrowDecode::borrow_decode(input)?;
                Change::Erase(Erasure { at, salt })
            }
            EVENT => Change::Event(Box::new(Decoded::borrow_decode(input)?.0)),
            tag => return Err(Wrong::OtherString(format!("no change has the tag {tag}"))),
        };
        Ok(Decoded(Update { customer, change }))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<Event> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (received, before, id) = <(u32, u32, u64)>::borrow_decode(input)?;
        let at = received.checked_sub(before).ok_or(Wrong::Other("the event happened before 1970"))?;
        let facts = read_all(input, MAX_FACTS)?;
        let outcome: Vec<Outcome> = read_all(input, 1)?;
        Ok(Decoded(Event { at, received, id, facts, outcome: outcome.into_iter().next().map(Box::new) }))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<Outcome> {
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
        Ok(Decoded(Outcome { kind, offer, place, arms, nonce, decided, value, budgets, lesson }))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<ArmNumber> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let arm = u16::borrow_decode(input)?;
        if usize::from(arm) >= MAX_ARM_NUMBERS {
            return Err(Wrong::OtherString(format!("no catalogue has an arm {arm}")));
        }
        Ok(Decoded(ArmNumber(arm)))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<BudgetUse> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (key, day, max, once) = BorrowDecode::borrow_decode(input)?;
        Ok(Decoded(BudgetUse { key, day, max, once }))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<Lesson> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (segment, window_s, half_life_s) = BorrowDecode::borrow_decode(input)?;
        Ok(Decoded(Lesson { segment, window_s, half_life_s }))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<(FeatureId, u64)> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (feature, code) = <(u16, u64)>::borrow_decode(input)?;
        if usize::from(feature) >= MAX_FEATURES {
            return Err(Wrong::OtherString(format!("no schema has a feature {feature}")));
        }
        Ok(Decoded((FeatureId(feature), code)))
    }
}
