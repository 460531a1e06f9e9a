//! Schema, catalogue and rule sets as bytes.
//!
//! ```text
//! schema       text, count, that many (name, place)
//! place        1 byte tag: 0 none, 1 field, 2 cells
//!                for 1: word, 1 byte shift, 1 byte bits
//!                for 2: word, count of words
//! additions    five times count and that many names (rule sets, groups, placements, channels, arms),
//!              count and that many places (placement, channel),
//!              count and that many offers (number, name, rule set, count of 0 or 1 with the group, count and
//!                that many treatments),
//!              1 byte of bits: 1 for 4 times how long contacts are kept, 2 for returns
//! returns      count and that many (kind, number), freed,
//!              count and that many (kind, number, when), left,
//!              count and that many (kind, number), back; 1 byte kind: 0 rule set, 1 group, 2 arm,
//!              3 placement, 4 channel, 5 place, 6 offer, 7 treatment (its offer's number times 4,096 and its
//!              own)
//! catalogue    additions
//! rule set     name, last version, count of 0 or 1 with the active version, count and that many earlier
//!              versions, count and that many (version, text); if there are notes, count and that many
//!              (version, note)
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use bincode::de::read::Reader;
use bincode::de::{BorrowDecode, BorrowDecoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError as Wrong, EncodeError as Failed};

use super::MAX_STORED_DEFINITION_BYTES;
use super::bytes::{Decoded, Stored, borrow_text, count, read_all, write_all, write_text};
use crate::customer::contact::{MAX_OFFER_NUMBERS, MAX_PLACE_NUMBERS};
use crate::customer::numbers::OfferNumber;
use crate::rules::catalogue::{
    Additions, MAX_ARM_NUMBERS, MAX_NAME_NUMBERS, MAX_RETURNS, MAX_TREATMENT_NUMBERS, OfferEntry, PlaceEntry,
    Returned, Returns,
};
use crate::rules::rule_set::MAX_TREATMENT_NAME_BYTES;
use crate::schema::{Cells, Feature, Field, MAX_FEATURES, MAX_NAME_BYTES, RowPlace, Schema};
use crate::state::definitions::{History, MAX_EARLIER, MAX_HISTORY_BYTES, MAX_VERSIONS};
use crate::state::record::{MAX_AUTHOR_BYTES, MAX_MESSAGE_BYTES, MAX_TEXT_BYTES, Note};

/// The most bytes of a name made of two: a treatment's of placement and locale, an arm's of experiment
/// and variant.
const MAX_LONG_NAME_BYTES: usize = 2 * MAX_NAME_BYTES + 1;
const _: () = assert!(MAX_TREATMENT_NAME_BYTES <= MAX_LONG_NAME_BYTES);
/// The most bytes of the texts of one rule set: three versions are kept whatever their length.
const MAX_VERSIONS_BYTES: usize =
    if 3 * MAX_TEXT_BYTES > MAX_HISTORY_BYTES { 3 * MAX_TEXT_BYTES } else { MAX_HISTORY_BYTES };
const _: () = assert!(
    MAX_VERSIONS_BYTES + MAX_NOTES_BYTES + (1 + MAX_VERSIONS + MAX_EARLIER) * 16
        <= MAX_STORED_DEFINITION_BYTES
);
/// The most bytes of the notes of one rule set.
const MAX_NOTES_BYTES: usize = MAX_VERSIONS * (MAX_AUTHOR_BYTES + MAX_MESSAGE_BYTES + 16);
const _: () = assert!(MAX_TEXT_BYTES + MAX_FEATURES * (MAX_NAME_BYTES + 16) < MAX_STORED_DEFINITION_BYTES);

/// The most names of each list.
const MOST_NAMES: [usize; 5] =
    [MAX_NAME_NUMBERS, MAX_NAME_NUMBERS, MAX_NAME_NUMBERS, MAX_NAME_NUMBERS, MAX_ARM_NUMBERS];
const _: () = assert!(MAX_RETURNS * 3 * (1 + 5 + 5) + 64 <= MAX_STORED_DEFINITION_BYTES);

const NOWHERE: u8 = 0;
const FIELD: u8 = 1;
const CELLS: u8 = 2;

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

impl Encode for Stored<'_, Additions> {
    fn encode<E: Encoder>(&self, out: &mut E) -> Result<(), Failed> {
        let Additions { returns, names, places, offers, keep_s } = self.0;
        names.iter().zip(MOST_NAMES).try_for_each(|(names, most)| write_names(names, most, out))?;
        write_all(places, MAX_PLACE_NUMBERS, out, |place, out| (place.placement, place.channel).encode(out))?;
        write_all(offers, MAX_OFFER_NUMBERS, out, |(number, entry), out| {
            number.0.encode(out)?;
            write_text(&entry.name, MAX_NAME_BYTES, out)?;
            (entry.rule_set, entry.group).encode(out)?;
            write_names(&entry.treatments, MAX_TREATMENT_NUMBERS, out)
        })?;
        let has_returns = *returns != Returns::default();
        (u8::from(keep_s.is_some()) | u8::from(has_returns) << 1).encode(out)?;
        keep_s.iter().try_for_each(|keep_s| keep_s.encode(out))?;
        if has_returns { Stored(returns).encode(out) } else { Ok(()) }
    }
}

impl Encode for Stored<'_, Returns> {
    fn encode<E: Encoder>(&self, out: &mut E) -> Result<(), Failed> {
        let Returns { freed, left, back } = self.0;
        write_all(freed, MAX_RETURNS, out, |(kind, number), out| (kind.tag(), *number).encode(out))?;
        write_all(left, MAX_RETURNS, out, |(kind, number, at), out| (kind.tag(), *number, *at).encode(out))?;
        write_all(back, MAX_RETURNS, out, |(kind, number), out| (kind.tag(), *number).encode(out))
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
        })?;
        if history.notes().len() == 0 {
            return Ok(()); // as it was before there were notes
        }
        count(history.notes().len(), MAX_VERSIONS)?.encode(out)?;
        history.notes().try_for_each(|(version, note)| {
            version.encode(out)?;
            Stored(note).encode(out)
        })
    }
}

fn write_names<E: Encoder>(names: &[Box<str>], most: usize, out: &mut E) -> Result<(), Failed> {
    write_all(names, most, out, |name, out| write_text(name, MAX_LONG_NAME_BYTES, out))
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<Schema> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let text = borrow_text(input, MAX_TEXT_BYTES)?;
        let order = read_all(input, MAX_FEATURES)?;
        let schema = Schema::restore(text, &order);
        schema.map(Decoded).map_err(|problems| Wrong::OtherString(problems.to_string()))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<(&'b str, Option<RowPlace>)> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let name = borrow_text(input, MAX_NAME_BYTES)?;
        let place = match u8::borrow_decode(input)? {
            NOWHERE => return Ok(Decoded((name, None))),
            FIELD => Field::at(BorrowDecode::borrow_decode(input)?).map(RowPlace::Field),
            CELLS => Cells::at(BorrowDecode::borrow_decode(input)?).map(RowPlace::Cells),
            tag => return Err(Wrong::OtherString(format!("no place has the tag {tag}"))),
        };
        Ok(Decoded((name, Some(place.ok_or(Wrong::Other("no row has such a field"))?))))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<Additions> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let mut names: [Vec<Box<str>>; 5] = Default::default();
        for (names, most) in names.iter_mut().zip(MOST_NAMES) {
            *names = read_all(input, most)?;
        }
        let places = read_all(input, MAX_PLACE_NUMBERS)?;
        let offers = read_all(input, MAX_OFFER_NUMBERS)?;
        let parts = u8::borrow_decode(input)?;
        if parts > 3 {
            return Err(Wrong::OtherString(format!("no additions have the parts {parts}")));
        }
        let keep_s = if parts & 1 == 0 { None } else { Some(BorrowDecode::borrow_decode(input)?) };
        let returns = if parts & 2 == 0 { Returns::default() } else { Decoded::borrow_decode(input)?.0 };
        Ok(Decoded(Additions { returns, names, places, offers, keep_s }))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<Returns> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let freed = read_all(input, MAX_RETURNS)?;
        let left = read_all(input, MAX_RETURNS)?;
        Ok(Decoded(Returns { freed, left, back: read_all(input, MAX_RETURNS)? }))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<(Returned, u32)> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (tag, number) = <(u8, u32)>::borrow_decode(input)?;
        let kind = Returned::ALL.get(usize::from(tag)).copied();
        let kind = kind.ok_or_else(|| Wrong::OtherString(format!("no kind of name has the tag {tag}")))?;
        Ok(Decoded((kind, number)))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<(Returned, u32, u32)> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let Decoded((kind, number)) = BorrowDecode::borrow_decode(input)?;
        Ok(Decoded((kind, number, u32::borrow_decode(input)?)))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<Box<str>> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        borrow_text(input, MAX_LONG_NAME_BYTES).map(|text| Decoded(text.into()))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<PlaceEntry> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let (placement, channel) = BorrowDecode::borrow_decode(input)?;
        Ok(Decoded(PlaceEntry { placement, channel }))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<(OfferNumber, OfferEntry)> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let number = u32::borrow_decode(input)?;
        let name = borrow_text(input, MAX_NAME_BYTES)?.into();
        let (rule_set, group) = BorrowDecode::borrow_decode(input)?;
        let treatments = read_all(input, MAX_TREATMENT_NUMBERS)?;
        Ok(Decoded((OfferNumber(number), OfferEntry { name, rule_set, group, treatments })))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<(Arc<str>, History)> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        let name = borrow_text(input, MAX_NAME_BYTES)?;
        let (last, active) = BorrowDecode::borrow_decode(input)?;
        let earlier = read_all(input, MAX_EARLIER)?;
        let versions: Vec<(u32, Arc<str>)> = read_all(input, MAX_VERSIONS)?;
        let count = versions.len();
        let versions = BTreeMap::from_iter(versions);
        if versions.len() < count {
            return Err(Wrong::Other("a version occurs twice"));
        }
        let has_notes = input.borrow_reader().peek_read(1).is_some();
        let notes: Vec<(u32, Note)> = if has_notes { read_all(input, MAX_VERSIONS)? } else { Vec::new() };
        let notes = BTreeMap::from_iter(notes);
        let history = History::restore(versions, active, earlier, last, notes);
        let history = history.map_err(Wrong::OtherString)?;
        Ok(Decoded((name.into(), history)))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<(u32, Arc<str>)> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        Ok(Decoded((u32::borrow_decode(input)?, borrow_text(input, MAX_TEXT_BYTES)?.into())))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<(u32, Note)> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        Ok(Decoded((u32::borrow_decode(input)?, Decoded::borrow_decode(input)?.0)))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<u32> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        u32::borrow_decode(input).map(Decoded)
    }
}
