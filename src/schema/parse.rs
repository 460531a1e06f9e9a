//! Reads `schema.yaml` as a [`Schema`], and finds all its problems at once.

mod computed;

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::kind::{MAX_DECIMAL, MAX_ENUM_VALUES, MAX_SET_VALUES, scaled_double};
use super::{
    ContextId, Declared, EventCondition, EventType, Feature, Function, Kind, MAX_FEATURES, MAX_LINK_SCHEMES,
    MAX_NAME_BYTES, Schema, Vocabulary,
};
use crate::input::cursor::{Cursor, Object};
use crate::input::document::Input;
use crate::input::problem::{Problem, Problems, Source, quoted};

/// Names that conditions use themselves, and reserved words of CEL.
const RESERVED: [&str; 29] = [
    "as",
    "break",
    "const",
    "context",
    "continue",
    "customer",
    "else",
    "event",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "now",
    "null",
    "offer",
    "package",
    "return",
    "tag",
    "true",
    "type",
    "var",
    "void",
    "while",
    "yield",
];

impl Schema {
    /// Reads a schema from YAML (or JSON).
    ///
    /// # Errors
    /// Everything that is wrong with it, each problem with line and column.
    ///
    /// ```
    /// use usher::schema::Schema;
    /// let text = "schema: s\nfeatures: {age: {kind: int, min: 0, max: 120}}";
    /// let schema = Schema::parse("schema.yaml", text).unwrap();
    /// assert_eq!(schema.features().len(), 1);
    /// let problems = Schema::parse("schema.yaml", "schema: s\nfeatures: {age: {kind: itn}}").unwrap_err();
    /// assert!(problems.to_string().starts_with("schema.yaml:2:24: unknown kind \"itn\""));
    /// ```
    pub fn parse(file: &str, text: &str) -> Result<Schema, Problems> {
        Schema::read_with_conditions(file, text).0
    }

    /// Reads a schema as [`Schema::parse`] does, and gives the conditions on events that are written in it.
    /// Conditions of features that are otherwise wrong are among them, so that their mistakes can be reported
    /// together.
    pub fn read_with_conditions(file: &str, text: &str) -> (Result<Schema, Problems>, Vec<EventCondition>) {
        let source = Arc::new(Source { name: file.into(), text: text.into() });
        let input = match Input::from_yaml(&source) {
            Ok(input) => input,
            Err(problems) => return (Err(problems), Vec::new()),
        };
        let (mut conditions, mut problems) = (Vec::new(), Problems::new());
        let root = Cursor::root(&input, Some(&source));
        let schema = read_schema(root, text, &mut conditions, &mut problems);
        problems.sort();
        let schema = match schema {
            Some(schema) => problems.or(schema),
            None => Err(problems),
        };
        (schema, conditions)
    }
}

fn read_schema(
    root: Cursor<'_, '_>,
    text: &str,
    conditions: &mut Vec<EventCondition>,
    problems: &mut Problems,
) -> Option<Schema> {
    let known = [
        "schema",
        "description",
        "timezone",
        "channels",
        "features",
        "context",
        "events",
        "offer_attributes",
        "link_schemes",
    ];
    let object = root.object(&known, problems)?;
    let (events, wrong) = read_events(&object, problems);
    let mut schema = Schema::empty().with_events(events);
    schema.text = text.into();
    if let Some(name) = object.required("schema", problems).and_then(|c| name_of_thing(c, problems)) {
        schema.name = name.into();
    }
    if let Some(cursor) = object.get("channels")
        && let Some(words) = read_words(cursor, usize::from(u16::MAX), problems)
    {
        schema.channels = Vocabulary::new(words, false);
    }
    if let Some(cursor) = object.get("link_schemes") {
        schema.link_schemes = read_schemes(cursor, problems);
    }
    if let Some(zone) = object.get("timezone").and_then(|cursor| read_zone(cursor, problems)) {
        schema.zone = zone;
    }
    schema.context = read_declared(&object, "context", problems);
    schema.context_ids = schema
        .context
        .iter()
        .enumerate()
        .map(|(i, field)| (field.name.clone(), ContextId(i as u16)))
        .collect();
    schema.attributes = read_declared(&object, "offer_attributes", problems);
    for attribute in &schema.attributes {
        if ["value", "group", "id", "priority"].contains(&&*attribute.name) {
            problems.push(root.problem(format!(
                "every offer has the attribute `{}` already; choose another name",
                attribute.name
            )));
        }
    }
    let events = Events { right: &schema.events, wrong: &wrong };
    schema.features = read_features(&object, events, conditions, problems);
    if let Err(problem) = schema.lay_out() {
        problems.push(root.problem(problem.detail));
    }
    Some(schema)
}

/// The event types that are declared.
#[derive(Clone, Copy)]
struct Events<'e> {
    right: &'e [EventType],
    /// The names of those that have mistakes. What is computed from them is not looked at: it would seem to
    /// have mistakes of its own.
    wrong: &'e [Box<str>],
}

fn read_features(
    object: &Object<'_, '_>,
    events: Events<'_>,
    conditions: &mut Vec<EventCondition>,
    problems: &mut Problems,
) -> Vec<Feature> {
    let Some(cursor) = object.get("features") else { return Vec::new() };
    let entries = cursor.entries(problems).unwrap_or_default();
    if entries.len() > MAX_FEATURES {
        problems.push(cursor.problem(format!(
            "a schema has at most {MAX_FEATURES} features, this one has {}",
            entries.len()
        )));
        return Vec::new();
    }
    let mut features = Vec::new();
    for (name, cursor) in entries {
        check_identifier(name, &cursor, problems);
        if let Some((kind, description)) = read_kind(&cursor, Some((events, &mut *conditions)), problems) {
            if kind == Kind::Text {
                let problem =
                    cursor.problem("a feature cannot be free text; use `enum` or `set` with a vocabulary");
                problems.push(problem.hint("free text is allowed in `context`"));
            }
            features.push(Feature { name: name.into(), description, kind, field: None, cells: None });
        }
    }
    features
}

fn read_declared(object: &Object<'_, '_>, field: &str, problems: &mut Problems) -> Vec<Declared> {
    let Some(cursor) = object.get(field) else { return Vec::new() };
    let mut declared = Vec::new();
    for (name, cursor) in cursor.entries(problems).unwrap_or_default() {
        check_identifier(name, &cursor, problems);
        if let Some((kind, description)) = read_kind(&cursor, None, problems) {
            declared.push(Declared { name: name.into(), description, kind });
        }
    }
    if declared.len() > MAX_FEATURES {
        problems.push(
            cursor.problem(format!("expected at most {MAX_FEATURES} declarations, found {}", declared.len())),
        );
    }
    declared
}

/// Reads the schemes of links that the bank's channels open: `bank` for `bank://home`.
fn read_schemes(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Vec<Box<str>> {
    /// Schemes that run code or open what stands in the link itself.
    const REFUSED: [&str; 5] = ["javascript", "vbscript", "data", "file", "blob"];
    let mut schemes: Vec<Box<str>> = Vec::new();
    for item in cursor.items(problems).into_iter().flatten() {
        let Some(text) = item.text(problems) else { continue };
        let good = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.len() <= MAX_NAME_BYTES
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
        if !good {
            let problem = item.problem(format!("{} is not the scheme of a link", quoted(text)));
            problems.push(
                problem.hint("write what stands before the colon, in lower case: `bank` for bank://home"),
            );
        } else if REFUSED.contains(&text) {
            let detail = format!("links `{text}:` run or open what stands in the link itself");
            problems.push(item.problem(detail).hint("link to a page: https://…"));
        } else if schemes.len() == MAX_LINK_SCHEMES {
            problems.push(item.problem(format!("a schema has at most {MAX_LINK_SCHEMES} schemes of links")));
            break;
        } else if !schemes.iter().any(|known| **known == *text) {
            schemes.push(text.into());
        }
    }
    schemes
}

/// Reads the declared event types, and adds those that every schema has. Those with mistakes come by name.
fn read_events(object: &Object<'_, '_>, problems: &mut Problems) -> (Vec<EventType>, Vec<Box<str>>) {
    let outcomes = EventType::outcomes();
    let (mut events, mut wrong) = (Vec::new(), Vec::new());
    let entries = object.get("events").and_then(|cursor| cursor.entries(problems));
    for (name, cursor) in entries.unwrap_or_default() {
        check_identifier(name, &cursor, problems);
        if outcomes.iter().any(|outcome| &*outcome.name == name) {
            let problem = cursor.key_problem(format!(
                "every schema has the event `{name}` already: it tells what became of an offer"
            ));
            problems
                .push(problem.hint("leave it out; its properties are offer, placement, channel and value"));
            continue;
        }
        let before = problems.count();
        let Some(object) = cursor.object(&["properties", "description"], problems) else {
            wrong.push(name.into());
            continue;
        };
        let description = description_of(&object, problems);
        let properties = read_declared(&object, "properties", problems);
        if problems.count() > before {
            wrong.push(name.into());
            continue;
        }
        events.push(EventType { name: name.into(), description, properties });
    }
    events.extend(outcomes);
    (events, wrong)
}

/// Reads a time zone by its IANA name.
pub(crate) fn read_zone(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Option<TimeZone> {
    let name = cursor.text(problems)?;
    let zone = TimeZone::get(name).ok();
    if zone.is_none() {
        let problem = cursor.problem(format!("unknown time zone {}", quoted(name)));
        problems.push(problem.hint("expected an IANA name such as Asia/Shanghai, Europe/Berlin or UTC"));
    }
    zone
}

fn description_of(object: &Object<'_, '_>, problems: &mut Problems) -> Box<str> {
    object.get("description").and_then(|c| c.text(problems)).unwrap_or_default().into()
}

/// Reads the kind and description that `cursor` declares. Computed kinds are allowed only if `events` are
/// given.
fn read_kind(
    cursor: &Cursor<'_, '_>,
    events: Option<(Events<'_>, &mut Vec<EventCondition>)>,
    problems: &mut Problems,
) -> Option<(Kind, Box<str>)> {
    // The kind decides which other fields there may be.
    let Some(entries) = cursor.entries(&mut Problems::new()) else {
        cursor.object(&["kind"], problems);
        return None;
    };
    let Some(kind_cursor) = entries.iter().find(|(name, _)| *name == "kind").map(|(_, cursor)| cursor) else {
        problems.push(cursor.problem("`kind` is missing"));
        return None;
    };
    let name = kind_cursor.text(problems)?;
    let Some(fields) = fields_of(name) else {
        problems.push(unknown_kind(name, kind_cursor));
        return None;
    };
    let object = cursor.object(fields, problems)?;
    object.refuse_blanks(problems);
    let description = description_of(&object, problems);
    let kind = match name {
        "bool" => Kind::Bool,
        "time" => Kind::Time,
        "string" => Kind::Text,
        "int" => read_int(&object, problems)?,
        "float" => read_float(&object, problems)?,
        "decimal" => read_decimal(&object, problems)?,
        "enum" => {
            let words = read_words(object.required("values", problems)?, MAX_ENUM_VALUES, problems)?;
            let ordered = object.get("ordered").and_then(|c| c.boolean(problems)).unwrap_or(false);
            Kind::Enum(Arc::new(Vocabulary::new(words, ordered)))
        }
        "set" => {
            let words = read_words(object.required("values", problems)?, MAX_SET_VALUES, problems)?;
            Kind::Set(Arc::new(Vocabulary::new(words, false)))
        }
        function => match events {
            Some((events, conditions)) => {
                Kind::Computed(computed::read(function, &object, events, conditions, problems)?)
            }
            None => {
                problems.push(kind_cursor.problem(format!("`{function}` is for features only")));
                return None;
            }
        },
    };
    Some((kind, description))
}

/// The fields that a declaration of this kind may have; `None` if there is no such kind.
fn fields_of(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "bool" | "time" | "string" => &["kind", "description"],
        "int" => &["kind", "description", "min", "max"],
        "float" => &["kind", "description", "precision"],
        "decimal" => &["kind", "description", "scale", "min", "max"],
        "enum" => &["kind", "description", "values", "ordered"],
        "set" => &["kind", "description", "values"],
        "count" => &["kind", "description", "event", "when", "window", "buckets"],
        "sum" | "max" | "min" => &["kind", "description", "event", "when", "property", "window", "buckets"],
        "distinct" => &["kind", "description", "event", "when", "property", "per", "window", "buckets"],
        "last" => &["kind", "description", "event", "when", "property", "window"],
        "first" => &["kind", "description", "event", "when", "property"],
        "streak" => &["kind", "description", "event", "when", "per"],
        "recency" => &["kind", "description", "event", "when"],
        _ => return None,
    })
}

/// Says that there is no such kind, with the nearest kind, or with all of them.
fn unknown_kind(name: &str, cursor: &Cursor<'_, '_>) -> Problem {
    let kinds = ["bool", "int", "float", "decimal", "enum", "set", "time", "string"];
    let all = kinds.into_iter().chain(Function::ALL.iter().map(|(name, _)| *name));
    let problem = cursor.problem(format!("unknown kind {}", quoted(name))).nearest(name, all.clone());
    match problem.hint {
        Some(_) => problem,
        None => problem.hint(format!("kinds: {}", all.collect::<Vec<_>>().join(", "))),
    }
}

fn read_int(object: &Object<'_, '_>, problems: &mut Problems) -> Option<Kind> {
    // One code is *missing*, so even the widest range leaves out the smallest number of 64 bits.
    let widest = -i64::MAX;
    let bound = |name: &str, default: i64, problems: &mut Problems| match object.get(name) {
        Some(cursor) => cursor.integer(widest, i64::MAX, problems),
        None => Some(default),
    };
    let min = bound("min", widest, problems)?;
    let max = bound("max", i64::MAX, problems)?;
    check_range(object, min <= max, problems)?;
    Some(Kind::Int { min, max })
}

fn check_range(object: &Object<'_, '_>, good: bool, problems: &mut Problems) -> Option<()> {
    if good {
        return Some(());
    }
    problems.push(object.cursor().problem("`min` is greater than `max`"));
    None
}

fn read_float(object: &Object<'_, '_>, problems: &mut Problems) -> Option<Kind> {
    let Some(cursor) = object.get("precision") else { return Some(Kind::Float { double: false }) };
    match cursor.text(problems)? {
        "single" => Some(Kind::Float { double: false }),
        "double" => Some(Kind::Float { double: true }),
        other => {
            problems.push(cursor.problem(format!("expected single or double, found {}", quoted(other))));
            None
        }
    }
}

fn read_decimal(object: &Object<'_, '_>, problems: &mut Problems) -> Option<Kind> {
    let scale = object.required("scale", problems)?.integer(0, 9, problems)? as u8;
    let bound = |name: &str, default: i64, problems: &mut Problems| {
        let Some(cursor) = object.get(name) else { return Some(default) };
        let scaled = scaled_double(cursor.number(problems)?, scale);
        if scaled.is_none() {
            let largest = MAX_DECIMAL as f64 / 10_f64.powi(i32::from(scale));
            problems.push(
                cursor.problem(format!("expected at most {scale} decimals and a magnitude up to {largest}")),
            );
        }
        scaled
    };
    let min = bound("min", -MAX_DECIMAL, problems)?;
    let max = bound("max", MAX_DECIMAL, problems)?;
    check_range(object, min <= max, problems)?;
    Some(Kind::Decimal { scale, min, max })
}

fn read_words(cursor: &Cursor<'_, '_>, most: usize, problems: &mut Problems) -> Option<Vec<Box<str>>> {
    let mut words: Vec<Box<str>> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for item in cursor.items(problems)? {
        let Some(word) = item.text(problems) else { continue };
        if word.is_empty() || word.len() > MAX_NAME_BYTES || word.chars().any(|c| c.is_control() || c == '|')
        {
            let rule = format!("a value has 1 to {MAX_NAME_BYTES} bytes without control characters and `|`");
            problems.push(item.problem(format!("{rule}, found {}", quoted(word))));
        }
        if seen.insert(word) {
            words.push(word.into());
        } else {
            problems.push(item.problem(format!("{} is listed twice", quoted(word))));
        }
    }
    if words.is_empty() || words.len() > most {
        problems.push(cursor.problem(format!("expected 1 to {most} values, found {}", words.len())));
        return None;
    }
    Some(words)
}

/// Refuses a name of a feature, context field, event or attribute that a condition could not use.
fn check_identifier(name: &str, cursor: &Cursor<'_, '_>, problems: &mut Problems) {
    if !is_name(name, false) {
        problems.push(cursor.key_problem(format!("{} is not a name: {NAME_RULE}", quoted(name))));
    } else if RESERVED.contains(&name) {
        problems.push(
            cursor.key_problem(format!("`{name}` is a word of the condition language; choose another name")),
        );
    }
}

const NAME_RULE: &str = "lower case letters, digits and `_`, beginning with a letter, at most 64 bytes";

/// Whether `name` may be a name. `dash` allows `-`, for things that conditions do not name.
pub(crate) fn is_name(name: &str, dash: bool) -> bool {
    name.len() <= MAX_NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || (dash && b == b'-'))
}

/// Whether a feature may have this name.
pub fn is_feature_name(name: &str) -> bool {
    is_name(name, false) && !RESERVED.contains(&name)
}

/// Reads the name of a rule set, offer, placement or group.
pub(crate) fn name_of_thing<'n>(cursor: &Cursor<'_, 'n>, problems: &mut Problems) -> Option<&'n str> {
    let name = cursor.text(problems)?;
    check_thing_name(name, problems, |detail| cursor.problem(detail)).then_some(name)
}

/// Checks such a name where it is a map's key.
pub(crate) fn check_thing_key(name: &str, cursor: &Cursor<'_, '_>, problems: &mut Problems) -> bool {
    check_thing_name(name, problems, |detail| cursor.key_problem(detail))
}

fn check_thing_name(name: &str, problems: &mut Problems, problem: impl Fn(String) -> Problem) -> bool {
    let good = is_name(name, true);
    if !good {
        problems.push(problem(format!("{} is not a name: {NAME_RULE}; `-` is allowed too", quoted(name))));
    }
    good
}
