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
//!              count of 0 or 1 with 4 times how long contacts are kept
//! catalogue    additions
//! rule set     name, last version, count of 0 or 1 with the active version, count and that many earlier
//!              versions, count and that many (version, text)
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use bincode::de::{BorrowDecode, BorrowDecoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError as Wrong, EncodeError as Failed};

use super::MAX_STORED_DEFINITION_BYTES;
use super::bytes::{Decoded, Stored, borrow_text, count, read_all, write_all, write_text};
use crate::customer::contact::{MAX_OFFER_NUMBERS, MAX_PLACE_NUMBERS};
use crate::customer::numbers::OfferNumber;
use crate::rules::catalogue::{Additions, MAX_NAME_NUMBERS, MAX_TREATMENT_NUMBERS, OfferEntry, PlaceEntry};
use crate::rules::rule_set::MAX_TREATMENT_NAME_BYTES;
use crate::schema::{Cells, Feature, Field, MAX_FEATURES, MAX_NAME_BYTES, RowPlace, Schema};
use crate::state::definitions::{History, MAX_EARLIER, MAX_HISTORY_BYTES, MAX_VERSIONS};
use crate::state::record::MAX_TEXT_BYTES;

/// The most bytes of a name made of two: a treatment's of placement and locale, an arm's of experiment
/// and variant.
const MAX_LONG_NAME_BYTES: usize = 2 * MAX_NAME_BYTES + 1;
const _: () = assert!(MAX_TREATMENT_NAME_BYTES <= MAX_LONG_NAME_BYTES);
/// The most bytes of the texts of one rule set: three versions are kept whatever their length.
const MAX_VERSIONS_BYTES: usize =
    if 3 * MAX_TEXT_BYTES > MAX_HISTORY_BYTES { 3 * MAX_TEXT_BYTES } else { MAX_HISTORY_BYTES };
const _: () =
    assert!(MAX_VERSIONS_BYTES + (1 + MAX_VERSIONS + MAX_EARLIER) * 16 <= MAX_STORED_DEFINITION_BYTES);
const _: () = assert!(MAX_TEXT_BYTES + MAX_FEATURES * (MAX_NAME_BYTES + 16) < MAX_STORED_DEFINITION_BYTES);

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
        for names in &mut names {
            *names = read_all(input, MAX_NAME_NUMBERS)?;
        }
        let places = read_all(input, MAX_PLACE_NUMBERS)?;
        let offers = read_all(input, MAX_OFFER_NUMBERS)?;
        Ok(Decoded(Additions { names, places, offers, keep_s: Option::borrow_decode(input)? }))
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
        let history = History::restore(versions, active, earlier, last).map_err(Wrong::OtherString)?;
        Ok(Decoded((name.into(), history)))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<(u32, Arc<str>)> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        Ok(Decoded((u32::borrow_decode(input)?, borrow_text(input, MAX_TEXT_BYTES)?.into())))
    }
}

impl<'b, C> BorrowDecode<'b, C> for Decoded<u32> {
    fn borrow_decode<D: BorrowDecoder<'b, Context = C>>(input: &mut D) -> Result<Self, Wrong> {
        u32::borrow_decode(input).map(Decoded)
    }
}
