//! Reads the cases of a `golden.yaml`.

use std::sync::Arc;

use super::case::{Case, ExpectedPlacement};
use crate::customer::id;
use crate::customer::row::Row;
use crate::customer::update::{Change, read_fields};
use crate::decide::MAX_PLACEMENTS;
use crate::input::cursor::Cursor;
use crate::input::problem::{Problems, Source};
use crate::intake::computed::Intake;
use crate::intake::past::{read_contacts, read_happened, read_time};
use crate::rules::rule_set::{Languages, MAX_COUNT};
use crate::schema::value::Value;
use crate::schema::{ChannelId, ContextId, Schema};

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
    let events = object.get("events").map(|c| read_happened(c, schema, now, problems)).unwrap_or_default();
    let request = object.required("request", problems).and_then(|c| read_request(c, schema, problems));
    let expected = object.required("expect", problems).and_then(|c| read_expected(c, problems));
    let contacts =
        object.get("contacts").map(|c| read_contacts(c, schema, now, problems)).unwrap_or_default();
    let ((channel, placements, locale, context), expected) = (request?, expected?);
    let mut row = Row::new();
    if let Some(features) = features? {
        Change::Replace(features).apply(schema, &mut row);
    }
    for event in events {
        event.apply(schema, intake, &mut row);
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
