//! Functions of texts. Like CEL, they count places and lengths in characters, not in bytes.

use std::borrow::Cow;

use super::{NO_OVERLOAD, OUT_OF_RANGE, TOO_MUCH};
use crate::expression::Function;
use crate::expression::pattern::Pattern;
use crate::schema::value::Value;

/// Calls a function; `room` is the most bytes that it may put together.
pub(super) fn call<'a>(function: Function, args: &[Value<'a>], room: usize) -> Value<'a> {
    use Function as F;
    match (function, args) {
        (F::Join, args) => join(args, room),
        (F::Replace, args) => replace(args, room),
        (F::Split, args) => split(args, room),
        (function, [Value::Text(text)]) => of_one(function, text, room),
        (function, [Value::Text(text), Value::Text(part)]) => of_two(function, text, part, room),
        (F::IndexOf, [Value::Text(text), Value::Text(part), Value::Int(from)]) => {
            // A place beyond the end is wrong only if something is searched for.
            match usize::try_from(*from) {
                Ok(from) if from < text.chars().count() || part.is_empty() => index_of(text, part, from),
                _ => OUT_OF_RANGE,
            }
        }
        (F::LastIndexOf, [Value::Text(text), Value::Text(part), Value::Int(from)]) => {
            last_index(text, part, *from)
        }
        (F::CharAt, [Value::Text(text), Value::Int(at)]) => char_at(text, *at),
        (F::Substring, [Value::Text(text), Value::Int(from)]) => substring(text, *from, None),
        (F::Substring, [Value::Text(text), Value::Int(from), Value::Int(to)]) => {
            substring(text, *from, Some(*to))
        }
        _ => NO_OVERLOAD,
    }
}

fn of_one<'a>(function: Function, text: &Cow<'a, str>, room: usize) -> Value<'a> {
    match function {
        Function::LowerAscii => Value::Text(text.to_ascii_lowercase().into()),
        Function::UpperAscii => Value::Text(text.to_ascii_uppercase().into()),
        Function::Trim => Value::Text(part_of(text, |text| text.trim())),
        Function::Reverse => Value::Text(text.chars().rev().collect::<String>().into()),
        Function::Quote if text.len().saturating_mul(2) > room => TOO_MUCH,
        Function::Quote => Value::Text(quoted(text).into()),
        _ => NO_OVERLOAD,
    }
}

fn of_two<'a>(function: Function, text: &str, part: &str, room: usize) -> Value<'a> {
    Value::Bool(match function {
        Function::Contains => text.contains(part),
        Function::StartsWith => text.starts_with(part),
        Function::EndsWith => text.ends_with(part),
        Function::Matches => match Pattern::new(part) {
            Ok(pattern) if steps(&pattern, text).saturating_mul(16) > room => return TOO_MUCH,
            Ok(pattern) => pattern.is_match(text),
            Err(_) => return Value::Error("not a pattern, or one beyond its limits"),
        },
        Function::IndexOf => return index_of(text, part, 0),
        Function::LastIndexOf => {
            let found = text.rfind(part).map(|at| text[..at].chars().count());
            return Value::Int(found.map_or(-1, |at| at as i64));
        }
        _ => return NO_OVERLOAD,
    })
}

/// The most steps that searching a text for a pattern can take.
pub(super) fn steps(pattern: &Pattern, text: &str) -> usize {
    let each = usize::try_from(pattern.steps_of_16_bytes()).unwrap_or(usize::MAX);
    each.saturating_mul(text.len().div_ceil(16))
}

/// The first place, not before `from`, where `part` begins; -1 if there is none.
fn index_of<'a>(text: &str, part: &str, from: usize) -> Value<'a> {
    let start = byte_of(text, from).unwrap_or(text.len());
    let found = text[start..].find(part).map(|at| text[..start + at].chars().count());
    Value::Int(found.map_or(-1, |at| at as i64))
}

/// The last place, not after `from`, where `part` begins; -1 if there is none.
fn last_index<'a>(text: &str, part: &str, from: i64) -> Value<'a> {
    let length = text.chars().count();
    let Ok(from) = usize::try_from(from) else { return OUT_OF_RANGE };
    if from >= length && !part.is_empty() {
        return OUT_OF_RANGE;
    }
    let last = byte_of(text, from).unwrap_or(text.len());
    let end = (last + part.len()).min(text.len());
    let end = (0..=end).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let found = text[..end].rfind(part).map(|at| text[..at].chars().count());
    Value::Int(found.map_or(-1, |at| at as i64))
}

fn char_at<'a>(text: &str, at: i64) -> Value<'a> {
    let Ok(at) = usize::try_from(at) else { return OUT_OF_RANGE };
    match text.chars().nth(at) {
        Some(c) => Value::Text(c.to_string().into()),
        None if at == text.chars().count() => Value::Text("".into()),
        None => OUT_OF_RANGE,
    }
}

fn substring<'a>(text: &Cow<'a, str>, from: i64, to: Option<i64>) -> Value<'a> {
    let place = |at: i64| usize::try_from(at).ok().and_then(|at| byte_of(text, at));
    match (place(from), to.map_or(Some(text.len()), place)) {
        (Some(from), Some(to)) if from <= to => Value::Text(part_of(text, |text| &text[from..to])),
        _ => OUT_OF_RANGE,
    }
}

/// The byte of the character at `at`; the end of the text counts as one more character.
fn byte_of(text: &str, at: usize) -> Option<usize> {
    text.char_indices().map(|(byte, _)| byte).chain([text.len()]).nth(at)
}

/// A part of a text, borrowed if the text is borrowed.
fn part_of<'a>(text: &Cow<'a, str>, part: impl FnOnce(&str) -> &str) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(part(text)),
        Cow::Owned(text) => Cow::Owned(part(text).to_owned()),
    }
}

/// The limit that a caller of `replace` or `split` gives; no limit without one, or with a negative number.
fn limit(count: Option<&Value<'_>>) -> Option<usize> {
    match count {
        Some(Value::Int(count)) => Some(usize::try_from(*count).unwrap_or(usize::MAX)),
        None => Some(usize::MAX),
        Some(_) => None,
    }
}

fn replace<'a>(args: &[Value<'a>], room: usize) -> Value<'a> {
    let [Value::Text(text), Value::Text(old), Value::Text(new), rest @ ..] = args else { return NO_OVERLOAD };
    let Some(limit) = limit(rest.first()) else { return NO_OVERLOAD };
    let places = text.matches(&**old).count().min(limit);
    if places.saturating_mul(new.len()).saturating_add(text.len()) > room {
        return TOO_MUCH;
    }
    Value::Text(text.replacen(&**old, new, limit).into())
}

fn split<'a>(args: &[Value<'a>], room: usize) -> Value<'a> {
    let [Value::Text(text), Value::Text(mark), rest @ ..] = args else { return NO_OVERLOAD };
    let Some(limit) = limit(rest.first()) else { return NO_OVERLOAD };
    if text.len().saturating_mul(16) > room {
        return TOO_MUCH;
    }
    let owned = |part: &str| Value::Text(part.to_owned().into());
    let parts = if limit == 0 {
        Vec::new()
    } else if mark.is_empty() {
        let cut = byte_of(text, limit - 1).unwrap_or(text.len());
        let (single, last) = text.split_at(cut);
        let last = Some(last).filter(|last| !last.is_empty());
        single.split_inclusive(|_| true).chain(last).map(owned).collect()
    } else {
        text.splitn(limit, &**mark).map(owned).collect()
    };
    Value::List(parts.into())
}

fn join<'a>(args: &[Value<'a>], room: usize) -> Value<'a> {
    let (items, mark) = match args {
        [Value::List(items)] => (items, ""),
        [Value::List(items), Value::Text(mark)] => (items, &**mark),
        _ => return NO_OVERLOAD,
    };
    let mut text = String::new();
    for (i, item) in items.iter().enumerate() {
        let Value::Text(item) = item else { return NO_OVERLOAD };
        if text.len() + mark.len() + item.len() > room {
            return TOO_MUCH;
        }
        text.push_str(if i > 0 { mark } else { "" });
        text.push_str(item);
    }
    Value::Text(text.into())
}

/// The text in double quotes, with escapes.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        let escape = match c {
            '\u{7}' => 'a',
            '\u{8}' => 'b',
            '\u{c}' => 'f',
            '\n' => 'n',
            '\r' => 'r',
            '\t' => 't',
            '\u{b}' => 'v',
            '\\' | '"' => c,
            _ => {
                quoted.push(c);
                continue;
            }
        };
        quoted.push('\\');
        quoted.push(escape);
    }
    quoted.push('"');
    quoted
}
