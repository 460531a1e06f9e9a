//! Events from the rows of a file. A column or field is what `POST /v1/events` calls so; other columns of a
//! CSV file are properties.

use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Rejection;
use super::chunk::{LoadChunk, RejectedRow};
use super::objects::{fields, twice_within};
use super::rejects::without_reason;
use super::rows::{Content, FileRows, Row, Shown};
use super::translated::{bound, first_of, with_cells};
use crate::bundle::import::{Mapping, PROPERTY, Translation};
use crate::cli::ending::Failure;
use crate::input::problem::quoted;
use crate::node::clock;
use crate::schema::told::clears;
use crate::schema::value::Time;

/// The fields of an event that are no properties.
const FIELDS: [&str; 8] = ["id", "type", "customer", "token", "offer", "placement", "channel", "at"];
/// The most events in one chunk. The server names as many that it rejects.
const MAX_EVENTS: usize = 1_000;
/// A chunk with this many bytes takes no more events: half of what the server takes.
const FULL_BYTES: usize = 2 << 20;

/// Makes chunks of events.
pub(super) struct EventRows<'m> {
    pub(super) rows: FileRows,
    /// The type of events that say none.
    usual: Option<String>,
    translation: Option<Translation<'m>>,
    /// The columns of a CSV file, or of what a mapping makes of a file.
    names: Vec<Box<str>>,
    /// When the load began.
    now: Time,
    keeps: bool,
}

impl<'m> EventRows<'m> {
    /// Events of a foreign file.
    pub(super) fn foreign(
        rows: FileRows,
        mapping: &'m Mapping,
        keeps: bool,
    ) -> Result<EventRows<'m>, Failure> {
        let translation = bound(mapping, &rows)?;
        let names = translation.header().map(Box::from).collect();
        let usual = mapping.event.as_deref().map(str::to_owned);
        Ok(EventRows { rows, usual, translation: Some(translation), names, now: clock::now(), keeps })
    }

    /// Events of a file of Usher's own.
    pub(super) fn new(rows: FileRows, usual: Option<String>, keeps: bool) -> Result<EventRows<'m>, Failure> {
        if let Some(header) = rows.header() {
            let has = |name: &str| header.iter().any(|column| column.trim() == name);
            if !has("customer") {
                let failure = Failure::new("the file has no column `customer`");
                return Err(
                    failure.hint(format!("columns of events: {}; others are properties", FIELDS.join(", ")))
                );
            }
            if !has("type") && usual.is_none() {
                let failure = Failure::new("the file has no column `type`");
                return Err(failure.hint("say with --type what the events are: --type page_view"));
            }
        }
        let header = rows.header().into_iter().flatten();
        let names: Vec<Box<str>> = header.map(|name| name.trim().into()).collect();
        let places: Vec<_> = names.iter().map(|name| place(name)).collect();
        let twice = names.iter().enumerate().find(|(i, _)| places[..*i].contains(&places[*i]));
        if let Some((_, name)) = twice {
            return Err(Failure::new(format!("the file has column {} twice", quoted(name))));
        }
        Ok(EventRows { rows, usual, translation: None, names, now: clock::now(), keeps })
    }

    /// The next events.
    pub(super) fn next_chunk(&mut self) -> LoadChunk {
        let chunk = LoadChunk::new("application/x-ndjson", b"");
        chunk.fill((MAX_EVENTS, FULL_BYTES), |chunk| self.add_row(chunk))
    }

    /// Adds the next event; `false` at the end of the file.
    fn add_row(&mut self, chunk: &mut LoadChunk) -> Result<bool, Failure> {
        let Some(Row { line, number, content }) = self.rows.read_next()? else { return Ok(false) };
        let names = || self.names.iter().map(|name| &**name);
        let made = match (content, &self.translation) {
            (content, Some(translation)) => with_cells(content, translation, |cells| {
                let cells = translation.row(cells, number, self.now).map_err(first_of)?;
                Ok(event_of(names().zip(cells.iter().map(|cell| &**cell))))
            }),
            (Content::Wrong(why), None) => Err((None, why)),
            (Content::Cells(cells), None) => Ok(event_of(names().zip(cells))),
            (Content::Object(text), None) => object_of(&without_reason(text)).map_err(|why| (None, why)),
        };
        let shown = if self.keeps { self.rows.shown() } else { Shown::default() };
        match made {
            Ok(mut event) => {
                if let Some(usual) = self.usual.as_deref().filter(|_| !event.contains_key("type")) {
                    event.insert("type".into(), usual.into());
                }
                chunk.repeatable &= identify(&mut event, number);
                chunk.push(format!("{}\n", Value::Object(event)).as_bytes(), (line, number), shown, None);
            }
            Err((column, detail)) => {
                let rejection = Rejection { line, column, detail };
                chunk.rejected.push(RejectedRow { rejection, number, shown, customer: None });
            }
        }
        Ok(true)
    }
}

/// Where a column goes: whether it is a field of the event or a property, and under which name.
fn place(column: &str) -> (bool, &str) {
    match FIELDS.contains(&column) {
        true => (true, column),
        false => (false, column.strip_prefix(PROPERTY).unwrap_or(column)),
    }
}

/// The event of an object. A field that is `null` says nothing.
fn object_of(text: &[u8]) -> Result<Map<String, Value>, String> {
    let mut event = Map::new();
    for (key, input) in fields(text)? {
        if let Some(name) = twice_within(&input.value) {
            return Err(format!("{} is given twice", quoted(name)));
        }
        let value = serde_json::to_value(&input).map_err(|e| format!("not valid JSON: {e}"))?;
        if !value.is_null() {
            event.insert(key.text.into_owned(), value);
        }
    }
    Ok(event)
}

/// The event of a row. An empty cell says nothing.
fn event_of<'n, 'c>(cells: impl Iterator<Item = (&'n str, &'c str)>) -> Map<String, Value> {
    let (mut event, mut properties) = (Map::new(), Map::new());
    for (name, text) in cells.filter(|(_, text)| !text.is_empty() && !clears(text)) {
        let (is_field, name) = place(name);
        let map = if is_field { &mut event } else { &mut properties };
        map.insert(name.to_owned(), text.into());
    }
    if !properties.is_empty() {
        event.insert("properties".into(), properties.into());
    }
    event
}

/// Gives an event without an id one that another load of the same row gives it, too, so that loading a file
/// twice counts nothing twice. Only an event that says when it was can be told from another: `false` if it
/// has no id and gets none.
fn identify(event: &mut Map<String, Value>, number: u64) -> bool {
    if event.contains_key("id") {
        return true;
    }
    if !event.contains_key("at") {
        return false;
    }
    let hash = xxh3_64_with_seed(Value::Object(event.clone()).to_string().as_bytes(), number);
    event.insert("id".into(), format!("row-{hash:016x}").into());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(cells: &[(&str, &str)]) -> String {
        Value::Object(event_of(cells.iter().copied())).to_string()
    }

    #[test]
    fn columns_are_fields_or_properties_and_empty_cells_say_nothing() {
        let cells = [
            ("type", "paid"),
            ("customer", "c"),
            ("amount", "1.50"),
            ("shop", ""),
            ("properties.type", "card"),
        ];
        assert_eq!(
            event(&cells),
            r#"{"customer":"c","properties":{"amount":"1.50","type":"card"},"type":"paid"}"#
        );
        assert_eq!(event(&[("customer", "c"), ("shop", "NULL")]), r#"{"customer":"c"}"#);
    }

    #[test]
    fn an_object_says_each_field_once_and_null_says_nothing() {
        for (text, expected) in [
            (r#"{"type": "a", "at": null, "id": null}"#, Ok(r#"{"type":"a"}"#)),
            (
                r#"{"properties": {"n": 1.50, "big": 9007199254740993, "none": null}}"#,
                Ok(r#"{"properties":{"big":9007199254740993,"n":1.5,"none":null}}"#),
            ),
            (r#"{"at": "x", "at": "y"}"#, Err("\"at\" is given twice")),
            (r#"{"properties": {"n": 1, "n": 2}}"#, Err("\"n\" is given twice")),
            (r#"{"properties": {"list": [{"m": 1, "m": 1}]}}"#, Err("\"m\" is given twice")),
            ("[]", Err("expected a JSON object, found a list of 0")),
        ] {
            let found = object_of(text.as_bytes()).map(|event| Value::Object(event).to_string());
            assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
        assert!(object_of(b"{\"a\": ").unwrap_err().starts_with("not valid JSON: "));
    }

    #[test]
    fn an_event_with_a_time_gets_the_same_id_each_time_it_is_loaded() {
        let id = |text: &str, number| {
            let mut event: Map<String, Value> = serde_json::from_str(text).unwrap();
            let safe = identify(&mut event, number);
            (safe, event.get("id").and_then(Value::as_str).unwrap_or_default().to_owned())
        };
        let text = r#"{"type": "a", "customer": "c", "at": "2026-11-01T10:00:00Z"}"#;
        let (safe, first) = id(text, 1);
        assert!(safe && first.starts_with("row-") && id(text, 1).1 == first);
        assert_ne!(id(text, 2).1, first, "the same twice in a file is two events");
        assert_eq!(id(r#"{"type": "a", "id": "x"}"#, 1), (true, "x".into()));
        assert_eq!(
            id(r#"{"type": "a", "customer": "c"}"#, 1),
            (false, String::new()),
            "every day's first row is its own"
        );
    }
}
