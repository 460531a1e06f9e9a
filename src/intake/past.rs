//! What is said to have happened to a customer before a decision that is made as a trial: contacts and
//! events, as golden decisions and previews write them.

use crate::customer::contact::{Contact, FIRST_SECOND, LAST_SECOND, MAX_CONTACTS};
use crate::customer::outcome::OutcomeKind;
use crate::customer::row::{self, Row};
use crate::input::cursor::Cursor;
use crate::input::problem::{Place, Problems, quoted};
use crate::intake::computed::Intake;
use crate::rules::catalogue::Catalogue;
use crate::schema::value::{Time, Value};
use crate::schema::{Moment, Schema};

/// What a customer was shown or did before a decision.
#[derive(Debug)]
pub struct PastContact {
    /// The name of the offer, as in its rule set.
    pub offer: Box<str>,
    /// The name of the placement that showed it.
    pub placement: Box<str>,
    /// The name of the channel that showed it.
    pub channel: Box<str>,
    /// What the customer did, or that they saw it.
    pub outcome: OutcomeKind,
    /// When that happened; not after the decision.
    pub at: Time,
    /// Where it is written.
    pub(crate) place: Option<Place>,
}

impl PastContact {
    /// The word that holds it among the contacts of a row.
    ///
    /// # Errors
    /// That no active rule set knows the offer, or the placement on that channel.
    pub(crate) fn numbered(&self, catalogue: &Catalogue) -> Result<u64, String> {
        let PastContact { offer, placement, channel, outcome, at, .. } = self;
        let number = catalogue.offer_number(offer);
        let number = number.ok_or_else(|| format!("no active rule set knows an offer `{offer}`"))?;
        let place = catalogue.place_number(placement, channel).ok_or_else(|| {
            format!("no active rule set knows a placement `{placement}` on channel `{channel}`")
        })?;
        Ok(Contact::new(number, place, *outcome, at.stored_seconds()).word())
    }
}

/// An event before a decision.
pub(crate) struct Happened {
    event: usize,
    /// Seconds since 1970.
    at: u32,
    properties: Vec<(usize, Value<'static>)>,
}

impl Happened {
    /// Lets computed features take from it what they need.
    pub(crate) fn apply(&self, schema: &Schema, intake: &Intake, row: &mut Row) {
        row::open(row, schema.row_words());
        for (feature, code) in intake.facts(self.event, self.at, &self.properties) {
            schema.take(feature, row, Moment::told(self.at), code);
        }
    }
}

/// Reads contacts before `now`, a list of at most [`MAX_CONTACTS`].
pub(crate) fn read_contacts(
    cursor: &Cursor<'_, '_>,
    schema: &Schema,
    now: Option<Time>,
    problems: &mut Problems,
) -> Vec<PastContact> {
    let mut contacts = Vec::new();
    let Some(items) = cursor.items(problems) else { return contacts };
    if items.len() > MAX_CONTACTS {
        let detail = format!("expected at most {MAX_CONTACTS} contacts, found {}", items.len());
        problems.push(cursor.problem(detail));
        return contacts;
    }
    for item in items {
        contacts.extend(read_contact(&item, schema, now, problems));
    }
    contacts
}

fn read_contact(
    cursor: &Cursor<'_, '_>,
    schema: &Schema,
    now: Option<Time>,
    problems: &mut Problems,
) -> Option<PastContact> {
    let object = cursor.object(&["offer", "placement", "channel", "outcome", "at"], problems)?;
    let mut name = |field: &str| object.required(field, problems).and_then(|c| c.text(problems));
    let (offer, placement, channel) = (name("offer"), name("placement"), name("channel"));
    let outcome = object.required("outcome", problems).and_then(|c| {
        let text = c.text(problems)?;
        let found = OutcomeKind::of_name(text);
        if found.is_none() {
            let names = OutcomeKind::ALL.map(OutcomeKind::name).join(", ");
            problems.push(c.problem(format!("expected one of {names}, found {}", quoted(text))));
        }
        found
    });
    let at = object.required("at", problems).and_then(|c| {
        let at = read_time(c, schema, problems)?;
        if now.is_some_and(|now| at > now) {
            problems.push(c.problem("it is after the decision: `at` is later than `now`"));
        }
        if !(i64::from(FIRST_SECOND)..i64::from(LAST_SECOND)).contains(&at.seconds()) {
            problems.push(c.problem("contacts are kept from 2024 to 2058"));
        }
        Some(at)
    });
    Some(PastContact {
        offer: offer?.into(),
        placement: placement?.into(),
        channel: channel?.into(),
        outcome: outcome?,
        at: at?,
        place: cursor.input.place,
    })
}

/// Reads a list of events before `now`.
pub(crate) fn read_happened(
    cursor: &Cursor<'_, '_>,
    schema: &Schema,
    now: Option<Time>,
    problems: &mut Problems,
) -> Vec<Happened> {
    let mut events = Vec::new();
    for item in cursor.items(problems).into_iter().flatten() {
        events.extend(read_event(&item, schema, now, problems));
    }
    events
}

fn read_event(
    cursor: &Cursor<'_, '_>,
    schema: &Schema,
    now: Option<Time>,
    problems: &mut Problems,
) -> Option<Happened> {
    let object = cursor.object(&["type", "at", "properties"], problems)?;
    let event = object.required("type", problems).and_then(|c| read_type(c, schema, problems));
    let at = object.required("at", problems).and_then(|c| read_moment(c, schema, now, problems));
    let event = event?;
    let mut properties = Vec::new();
    let given = object.get("properties").and_then(|cursor| cursor.entries(problems));
    for (name, cursor) in given.into_iter().flatten() {
        let declared = &schema.events()[event];
        let id = match declared.find_property(name) {
            Ok(id) => id,
            Err(problem) => {
                problems.push(cursor.key_placed(problem));
                continue;
            }
        };
        match declared.properties[id].kind.read(&cursor.input.value, schema.zone()) {
            Ok(value) => properties.push((id, value.into_owned())),
            Err(why) => problems.push(cursor.problem(format!("`{name}`: {why}"))),
        }
    }
    Some(Happened { event, at: at?, properties })
}

fn read_type(cursor: &Cursor<'_, '_>, schema: &Schema, problems: &mut Problems) -> Option<usize> {
    let found = schema.find_event(cursor.text(problems)?);
    found.map_err(|problem| problems.push(cursor.placed(problem))).ok()
}

/// The time of an event, which must not be after the decision.
fn read_moment(
    cursor: &Cursor<'_, '_>,
    schema: &Schema,
    now: Option<Time>,
    problems: &mut Problems,
) -> Option<u32> {
    let at = read_as("a time from 1970 to 2106", cursor, schema, problems)?;
    if now.is_some_and(|now| at > now) {
        problems.push(cursor.problem("this event is after `now`"));
    }
    let stored = u32::try_from(at.seconds());
    stored.map_err(|_| problems.push(cursor.problem("expected a time from 1970 to 2106"))).ok()
}

/// Reads a moment, or a day in the schema's time zone.
pub(crate) fn read_time(cursor: &Cursor<'_, '_>, schema: &Schema, problems: &mut Problems) -> Option<Time> {
    read_as("a time", cursor, schema, problems)
}

fn read_as(
    expected: &str,
    cursor: &Cursor<'_, '_>,
    schema: &Schema,
    problems: &mut Problems,
) -> Option<Time> {
    let text = cursor.text(problems)?;
    let read = Time::read(text, schema.zone());
    read.map_err(|why| {
        problems.push(cursor.problem(format!("expected {expected}, found {}: {why}", quoted(text))));
    })
    .ok()
}
