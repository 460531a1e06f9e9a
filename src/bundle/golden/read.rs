//! Reads the cases of a `golden.yaml`.

use std::sync::Arc;

use super::case::{Case, ExpectedPlacement, PastContact};
use crate::customer::contact::{FIRST_SECOND, LAST_SECOND, MAX_CONTACTS};
use crate::customer::id;
use crate::customer::outcome::OutcomeKind;
use crate::customer::row::Row;
use crate::customer::update::{Change, read_fields};
use crate::decide::MAX_PLACEMENTS;
use crate::input::cursor::Cursor;
use crate::input::problem::{Problems, Source, quoted};
use crate::intake::computed::Intake;
use crate::rules::rule_set::{Languages, MAX_COUNT};
use crate::schema::value::{Time, Value};
use crate::schema::{ChannelId, ContextId, Kind, Schema};

/// Reads one case. Its errors go to `problems`.
pub(crate) fn read_case(
    cursor: &Cursor<'_, '_>,
    source: &Arc<Source>,
    schema: &Schema,
    intake: &Intake,
    problems: &mut Problems,
) -> Option<Case> {
    let known = ["name", "now", "id", "customer", "events", "contacts", "request", "expect"];
    let object = cursor.object(&known, problems)?;
    let name = object.required("name", problems).and_then(|c| c.text(problems));
    let id = object.get("id").and_then(|c| read_id(c, problems));
    let now = object.required("now", problems).and_then(|c| read_time(c, schema, problems));
    let features = match object.given("customer") {
        Some(cursor) if cursor.is_null() => Some(None),
        Some(cursor) => Some(Some(read_fields(cursor, schema, None, problems))),
        None => {
            object.required("customer", problems);
            None
        }
    };
    let mut events = Vec::new();
    for item in object.get("events").and_then(|cursor| cursor.items(problems)).into_iter().flatten() {
        events.extend(read_event(&item, schema, now, problems));
    }
    let request = object.required("request", problems).and_then(|c| read_request(c, schema, problems));
    let expected = object.required("expect", problems).and_then(|c| read_expected(c, problems));
    let contacts =
        object.get("contacts").map(|c| read_contacts(c, schema, now, problems)).unwrap_or_default();
    let ((channel, placements, locale, context), expected) = (request?, expected?);
    let mut row = Row::new();
    if let Some(features) = features? {
        Change::Replace(features).apply(schema, &mut row);
    }
    for (event, at, properties) in events {
        row.resize(row.len().max(schema.row_words()), 0);
        for (feature, code) in intake.facts(event, at, &properties) {
            schema.take(feature, &mut row, at, code);
        }
    }
    let name = name?;
    Some(Case {
        name: name.into(),
        id: id.unwrap_or(name).into(),
        now: now?,
        row,
        contacts,
        channel,
        placements,
        locale,
        context,
        expected,
        source: Arc::clone(source),
        place: cursor.input.place,
    })
}

fn read_id<'n>(cursor: &Cursor<'_, 'n>, problems: &mut Problems) -> Option<&'n str> {
    let id = cursor.text(problems)?;
    id::check(id).map_err(|why| problems.push(cursor.problem(why))).ok()?;
    Some(id)
}

fn read_contacts(
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

/// An event: its type's index, its time in seconds since 1970, and its properties.
type Happened = (usize, u32, Vec<(usize, Value<'static>)>);

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
    Some((event, at?, properties))
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
    let at = match Kind::Time.read(&cursor.input.value, schema.zone()) {
        Ok(Value::Time(at)) => at,
        Ok(_) => return None,
        Err(why) => {
            problems.push(cursor.problem(why));
            return None;
        }
    };
    if now.is_some_and(|now| at > now) {
        problems.push(cursor.problem("this event is after `now`"));
    }
    u32::try_from(at.seconds()).ok()
}

fn read_time(cursor: &Cursor<'_, '_>, schema: &Schema, problems: &mut Problems) -> Option<Time> {
    let text = cursor.text(problems)?;
    let read = Time::read(text, schema.zone());
    read.map_err(|why| {
        problems.push(cursor.problem(format!("expected a time, found {}: {why}", quoted(text))));
    })
    .ok()
}

type ReadRequest =
    (ChannelId, Vec<(Box<str>, Option<usize>)>, Option<Languages>, Vec<(ContextId, Value<'static>)>);

fn read_request(cursor: &Cursor<'_, '_>, schema: &Schema, problems: &mut Problems) -> Option<ReadRequest> {
    let object = cursor.object(&["channel", "placements", "locale", "context"], problems)?;
    let channel = object.required("channel", problems).and_then(|c| read_channel(c, schema, problems));
    let placements = object.required("placements", problems).and_then(|c| read_placements(c, problems));
    let locale = object.get("locale").map(|c| Languages::of_document(c, problems));
    let context = match object.get("context") {
        Some(cursor) => read_context(cursor, schema, problems)?,
        None => Vec::new(),
    };
    Some((channel?, placements?, locale, context))
}

fn read_channel(cursor: &Cursor<'_, '_>, schema: &Schema, problems: &mut Problems) -> Option<ChannelId> {
    let found = schema.find_channel(cursor.text(problems)?);
    found.map_err(|problem| problems.push(cursor.placed(problem))).ok()
}

fn read_placements(
    cursor: &Cursor<'_, '_>,
    problems: &mut Problems,
) -> Option<Vec<(Box<str>, Option<usize>)>> {
    let mut placements = Vec::new();
    for item in cursor.items(problems)? {
        let Some(object) = item.object(&["id", "count"], problems) else { continue };
        let Some(id) = object.required("id", problems).and_then(|c| c.text(problems)) else { continue };
        let count = object.get("count").and_then(|c| c.integer(1, MAX_COUNT as i64, problems));
        placements.push((id.into(), count.map(|count| count as usize)));
    }
    if placements.is_empty() || placements.len() > MAX_PLACEMENTS {
        problems.push(
            cursor.problem(format!("expected 1 to {MAX_PLACEMENTS} placements, found {}", placements.len())),
        );
    }
    Some(placements)
}

fn read_context(
    cursor: &Cursor<'_, '_>,
    schema: &Schema,
    problems: &mut Problems,
) -> Option<Vec<(ContextId, Value<'static>)>> {
    let mut context = Vec::new();
    for (name, cursor) in cursor.entries(problems)? {
        let found = schema.find_context(name);
        let Some(id) = found.map_err(|problem| problems.push(cursor.key_placed(problem))).ok() else {
            continue;
        };
        match schema.context()[usize::from(id.0)].kind.read(&cursor.input.value, schema.zone()) {
            Ok(value) => context.push((id, value.into_owned())),
            Err(why) => problems.push(cursor.problem(format!("`{name}`: {why}"))),
        }
    }
    Some(context)
}

fn read_expected(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Option<Vec<ExpectedPlacement>> {
    let mut expected = Vec::new();
    let entries = cursor.entries(problems)?;
    if entries.is_empty() {
        problems.push(
            cursor.problem("the case expects nothing, so it shows nothing").hint("name each placement"),
        );
    }
    for (placement, cursor) in entries {
        let Some(object) = cursor.object(&["offers", "treatments", "fallback"], problems) else { continue };
        let fallback = object.get("fallback").and_then(|c| c.text(problems));
        let offers = match (fallback, object.get("offers")) {
            (Some(fallback), None) => vec![fallback.into()],
            (None, Some(offers)) => read_names(offers, problems),
            _ => {
                problems.push(cursor.problem("expected either `offers` or `fallback`"));
                continue;
            }
        };
        let treatments = object.get("treatments").map(|c| read_names(c, problems));
        let place = cursor.input.place;
        expected.push(ExpectedPlacement {
            placement: placement.into(),
            fallback: fallback.is_some(),
            offers,
            treatments,
            place,
        });
    }
    Some(expected)
}

fn read_names(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Vec<Box<str>> {
    let mut names = Vec::new();
    for item in cursor.items(problems).into_iter().flatten() {
        names.extend(item.text(problems).map(Box::from));
    }
    names
}
