//! Reads how a feature is computed from events, and checks it against the events' properties.

use super::Events;
use crate::input::cursor::{Cursor, Object};
use crate::input::origin::Origin;
use crate::input::problem::{Problems, quoted};
use crate::schema::span;
use crate::schema::value::DAY_SECONDS;
use crate::schema::{
    Computed, DEFAULT_BUCKETS, Declared, EventCondition, EventType, Function, Kind, MAX_BUCKETS, Period, When,
};

/// Reads what `object` declares under the name of a function.
pub(super) fn read(
    name: &str,
    object: &Object<'_, '_>,
    events: Events<'_>,
    conditions: &mut Vec<EventCondition>,
    problems: &mut Problems,
) -> Option<Computed> {
    let function = Function::ALL.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)?;
    let event = read_event(object, events, problems)?;
    let when = object.get("when").map(|cursor| read_when(cursor, problems));
    if let Some(Some(when)) = &when {
        conditions.push(EventCondition { event: event.clone(), when: when.clone() });
    }
    let per = read_per(function, object, problems)?;
    let property = read_property(function, object, event, per, problems)?;
    let window_seconds = match object.get("window") {
        Some(cursor) => Some(read_window(cursor, problems)?),
        None => None,
    };
    if function == Function::Distinct && per.is_some() && window_seconds.is_none() {
        let problem = object.cursor().problem("`window` is missing: over which time are days counted?");
        problems.push(problem.hint("for example `window: 30d`"));
        return None;
    }
    if let (Function::First, Some(cursor)) = (function, object.get("window")) {
        let problem = cursor.problem("`first` looks at all events, so it has no window");
        problems.push(problem.hint("leave it out, or use `last`"));
        return None;
    }
    let buckets = read_buckets(object, per, problems)?;
    let result = Box::new(result_of(function, property));
    let property = property.map(|property| (property.name.clone(), Box::new(property.kind.clone())));
    let when = match when {
        Some(when) => Some(when?),
        None => None,
    };
    Some(Computed {
        function,
        event: event.name.clone(),
        property,
        when,
        window_seconds,
        buckets,
        per,
        result,
    })
}

fn result_of(function: Function, property: Option<&Declared>) -> Kind {
    let natural = Kind::Int { min: 0, max: i64::MAX };
    match (function, property.map(|property| &property.kind)) {
        (Function::Count | Function::Distinct | Function::Streak | Function::Recency, _) => natural,
        (Function::Sum, Some(Kind::Int { .. })) => Kind::Int { min: -i64::MAX, max: i64::MAX },
        (Function::Sum, _) => Kind::Float { double: true },
        (_, Some(kind)) => kind.clone(),
        (_, None) => Kind::Time,
    }
}

fn read_event<'e>(
    object: &Object<'_, '_>,
    events: Events<'e>,
    problems: &mut Problems,
) -> Option<&'e EventType> {
    let cursor = object.required("event", problems)?;
    let name = cursor.text(problems)?;
    let found = events.right.iter().find(|event| &*event.name == name);
    if found.is_none() && events.wrong.iter().all(|wrong| &**wrong != name) {
        let problem = cursor.problem(format!("unknown event {}", quoted(name)));
        problems.push(problem.nearest(name, events.right.iter().map(|e| &*e.name)));
    }
    found
}

/// Reads a condition over the event's properties without compiling it: that is done where events are taken
/// in.
fn read_when(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Option<When> {
    let text = cursor.text(problems)?.into();
    Some(When { text, origin: Origin::of(cursor) })
}

/// Reads the property that is computed from; `Some(None)` if the function needs none.
fn read_property<'e>(
    function: Function,
    object: &Object<'_, '_>,
    event: &'e EventType,
    per: Option<Period>,
    problems: &mut Problems,
) -> Option<Option<&'e Declared>> {
    let of_numbers = matches!(function, Function::Sum | Function::Max | Function::Min);
    let cursor = match (object.get("property"), per) {
        (Some(cursor), Some(_)) => {
            problems.push(cursor.problem("`property` and `per` cannot be combined: count values or days"));
            return None;
        }
        (Some(cursor), None) => cursor,
        (None, None) if of_numbers || function == Function::Distinct => {
            object.required("property", problems)?
        }
        (None, _) => return Some(None),
    };
    let name = cursor.text(problems)?;
    let found = event.find_property(name).map_err(|problem| problems.push(cursor.placed(problem)));
    let property = &event.properties[found.ok()?];
    let number = matches!(property.kind, Kind::Int { .. } | Kind::Float { .. } | Kind::Decimal { .. });
    let kind = property.kind.name();
    if of_numbers && !number {
        let what = format!("`{}` needs a number, but `{name}` is of kind {kind}", function.name());
        problems.push(cursor.problem(what));
        return None;
    }
    if function != Function::Distinct && property.kind == Kind::Text {
        let what = format!("`{}` cannot keep free text, but `{name}` is of kind {kind}", function.name());
        problems.push(cursor.problem(what).hint("give the property the kind `enum`"));
        return None;
    }
    Some(Some(property))
}

/// Reads which periods are counted; `Some(None)` if none are.
fn read_per(function: Function, object: &Object<'_, '_>, problems: &mut Problems) -> Option<Option<Period>> {
    let per = match object.get("per") {
        Some(per) => per,
        None if function == Function::Streak => object.required("per", problems)?,
        None => return Some(None),
    };
    let (expected, period) = match (per.text(problems)?, function) {
        ("day", _) => return Some(Some(Period::Day)),
        ("week", Function::Streak) => return Some(Some(Period::Week)),
        (other, Function::Streak) => ("day or week", other),
        (other, _) => ("day", other),
    };
    problems.push(per.problem(format!("expected {expected}, found {}", quoted(period))));
    None
}

/// Reads into how many buckets a window is cut.
fn read_buckets(object: &Object<'_, '_>, per: Option<Period>, problems: &mut Problems) -> Option<u8> {
    let Some(cursor) = object.get("buckets") else { return Some(DEFAULT_BUCKETS) };
    if object.get("window").is_none() || per.is_some() {
        problems.push(cursor.problem("`buckets` is only for a `window` that is not counted by days"));
        return None;
    }
    cursor.integer(1, i64::from(MAX_BUCKETS), problems).map(|buckets| buckets as u8)
}

/// Reads a window of at most a leap year.
fn read_window(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Option<u32> {
    const MAX_WINDOW_S: u32 = 366 * DAY_SECONDS;
    let text = cursor.text(problems)?;
    // Stored schemas may have a `+7d`, and must go on to be read.
    let seconds =
        span::seconds(text.strip_prefix('+').unwrap_or(text)).filter(|seconds| *seconds <= MAX_WINDOW_S);
    if seconds.is_none() {
        let expected = "expected a window such as 90m, 12h or 7d";
        problems.push(cursor.problem(format!("{expected}, found {}", quoted(text))));
    }
    seconds
}
