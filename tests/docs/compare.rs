//! Whether what was printed is what a page shows.

use serde_json::Value;

/// Stands for whatever differs from run to run.
const ANYTHING: &str = "…";

/// What is wrong with the output of a block, if anything; `info` is the language in which the page shows it.
pub fn difference(info: &str, shown: &str, printed: &str) -> Option<String> {
    let same = if info == "json" { same_values(shown, printed) } else { same_lines(shown, printed) };
    let why = same.err()?;
    let expected = shown.trim_end();
    Some(format!("{why}\n--- the page shows\n{expected}\n--- it printed\n{}", printed.trim_end()))
}

fn same_lines(shown: &str, printed: &str) -> Result<(), String> {
    let shown: Vec<&str> = shown.trim_end().lines().map(str::trim_end).collect();
    let printed: Vec<&str> = printed.trim_end().lines().map(str::trim_end).collect();
    let mut reached = 0;
    if lines_match(&shown, &printed, 0, &mut reached) {
        return Ok(());
    }
    let line = shown.get(reached).copied().unwrap_or("(the page shows nothing more)");
    Err(format!("line {} of what is shown does not fit: {line}", reached + 1))
}

/// `done` counts the lines of the page that fitted so far, `reached` remembers the most that ever did.
fn lines_match(shown: &[&str], printed: &[&str], done: usize, reached: &mut usize) -> bool {
    *reached = done.max(*reached);
    match shown {
        [] => printed.is_empty(),
        [first, rest @ ..] if first.trim() == ANYTHING => {
            (0..=printed.len()).any(|skipped| lines_match(rest, &printed[skipped..], done + 1, reached))
        }
        [first, rest @ ..] => match printed {
            [line, others @ ..] => line_matches(first, line) && lines_match(rest, others, done + 1, reached),
            [] => false,
        },
    }
}

fn line_matches(shown: &str, printed: &str) -> bool {
    let Some((start, rest)) = shown.split_once(ANYTHING) else { return shown == printed };
    let Some(printed) = printed.strip_prefix(start) else { return false };
    let mut ends = printed.char_indices().map(|(at, _)| at).chain([printed.len()]);
    ends.any(|at| line_matches(rest, &printed[at..]))
}

/// All JSON values of a text, one after the other.
fn values(whose: &str, text: &str) -> Result<Vec<Value>, String> {
    let values = serde_json::Deserializer::from_str(text).into_iter();
    values.collect::<Result<_, _>>().map_err(|e| format!("{whose} is not JSON: {e}"))
}

fn same_values(shown: &str, printed: &str) -> Result<(), String> {
    let (shown, printed) = (values("what the page shows", shown)?, values("what it printed", printed)?);
    if shown.len() != printed.len() {
        return Err(format!("{} JSON values are shown, {} were printed", shown.len(), printed.len()));
    }
    shown.iter().zip(&printed).try_for_each(|(shown, printed)| same_value("", shown, printed))
}

/// `pointer` leads to the two values.
fn same_value(pointer: &str, shown: &Value, printed: &Value) -> Result<(), String> {
    let differs = || Err(format!("{pointer:?} differs: shown {shown}, printed {printed}"));
    match (shown, printed) {
        (Value::String(shown), _) if shown == ANYTHING => Ok(()),
        (Value::String(shown), Value::String(printed)) => match shown.strip_suffix(ANYTHING) {
            Some(start) if printed.starts_with(start) => Ok(()),
            None if shown == printed => Ok(()),
            _ => differs(),
        },
        (Value::Array(shown), Value::Array(printed)) => same_items(pointer, shown, printed),
        (Value::Object(shown), Value::Object(printed)) => {
            let open = shown.contains_key(ANYTHING);
            if let Some(key) = printed.keys().find(|key| !open && !shown.contains_key(*key)) {
                return Err(format!("{pointer:?} has `{key}`, which is not shown"));
            }
            let expected = shown.iter().filter(|(key, _)| *key != ANYTHING);
            expected.into_iter().try_for_each(|(key, value)| {
                let found = printed.get(key).ok_or_else(|| format!("{pointer:?} has no `{key}`"))?;
                same_value(&format!("{pointer}/{key}"), value, found)
            })
        }
        _ if shown == printed => Ok(()),
        _ => differs(),
    }
}

fn same_items(pointer: &str, shown: &[Value], printed: &[Value]) -> Result<(), String> {
    let (shown, open) = match shown {
        [first @ .., Value::String(last)] if last == ANYTHING => (first, true),
        all => (all, false),
    };
    if printed.len() < shown.len() || (printed.len() > shown.len() && !open) {
        return Err(format!("{pointer:?}: {} items are shown, {} were printed", shown.len(), printed.len()));
    }
    let mut pairs = (0..).zip(shown.iter().zip(printed));
    pairs.try_for_each(|(at, (shown, printed))| same_value(&format!("{pointer}/{at}"), shown, printed))
}

#[test]
fn dots_stand_for_what_differs() {
    let fits = |info: &str, shown: &str, printed: &str| difference(info, shown, printed).is_none();
    assert!(fits("text", "a … c\n…\nlast", "a b c\n1\n2\nlast\n"));
    assert!(fits("text", "first\n…", "first\n"));
    assert!(!fits("text", "a … c", "a b d"));
    assert!(!fits("text", "one", "one\ntwo"));
    assert!(fits(
        "json",
        r#"{"id": "…", "token": "AWk…", "n": [1, "…"]}"#,
        r#"{"n":[1,2],"id":3,"token":"AWkz"}"#
    ));
    assert!(fits("json", r#"{"a": 1, "…": "…"} {"b": 2}"#, r#"{"a":1,"z":0} {"b":2}"#));
    assert!(!fits("json", r#"{"a": 1}"#, r#"{"a":1,"z":0}"#));
    assert!(!fits("json", r#"{"a": 1, "b": 2}"#, r#"{"a":1}"#));
    assert!(!fits("json", "[1]", "[1,2]"));
}
