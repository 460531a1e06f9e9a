//! Reading YAML into a document, with the place of every value.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::Deserializer;
use serde_saphyr::Spanned;

use super::document::{Input, InputValue, Key, MAX_DEPTH, MAX_VALUES};
use super::problem::{Place, Problem, Problems, Source};
use super::reader::{Format, Values};

impl<'a> Input<'a> {
    /// Reads YAML 1.2 (and JSON, which is YAML too), with the place of every value.
    ///
    /// # Errors
    /// One problem, with its place: text that is not YAML, duplicate keys, aliases that multiply, more than
    /// [`MAX_DEPTH`] levels or [`MAX_VALUES`] values.
    pub fn from_yaml(source: &'a Arc<Source>) -> Result<Input<'a>, Problems> {
        let options = serde_saphyr::options! {
            with_snippet: false,
            strict_booleans: true, // YAML 1.2: `y`, `no` and `on` are texts
            budget: serde_saphyr::budget! {
                max_depth: MAX_DEPTH,
                max_nodes: MAX_VALUES,
                max_events: 2 * MAX_VALUES,
            },
        };
        let read = serde_saphyr::from_str_with_options::<Spanned<Tree<'_>>>(&source.text, options);
        match read {
            Ok(tree) => Ok(placed(tree)),
            Err(e) => {
                let mut problem = Problem::new(format!("not valid YAML: {}", yaml_message(&e)));
                if problem.detail.contains("mapping values are not allowed") {
                    problem = problem.hint("put a text that has `: ` in it in quotes: 'vip ? 1.5 : 1.0'");
                }
                problem.place = e.location().map(|at| place_of(&at));
                problem.source = Some(Arc::clone(source));
                let mut problems = Problems::new();
                problems.push(problem);
                Err(problems)
            }
        }
    }
}

fn yaml_message(error: &serde_saphyr::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    // The problem has the place already.
    let text = match text.split_once(": ") {
        Some((head, rest)) if head.starts_with("line ") => rest,
        _ => text,
    };
    let text = text.split(" at line ").next().unwrap_or(text);
    text.replace(", set DuplicateKeyPolicy in Options if acceptable", "")
}

fn place_of(at: &serde_saphyr::Location) -> Place {
    let span = at.span();
    Place {
        line: at.line() as u32,
        column: at.column() as u32,
        offset: span.byte_offset().unwrap_or(0) as u32,
        length: span.byte_len().unwrap_or(0) as u32,
    }
}

/// A value as the YAML reader gives it, inside a [`Spanned`] that knows its place.
struct Tree<'a>(InputValue<'a>);

impl<'de> Deserialize<'de> for Tree<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Tree<'de>, D::Error> {
        reader.deserialize_any(Values(Yaml)).map(Tree)
    }
}

fn placed(tree: Spanned<Tree<'_>>) -> Input<'_> {
    Input { value: tree.value.0, place: Some(place_of(&tree.referenced)) }
}

/// YAML: places are known, and the reader's own budget bounds the document.
#[derive(Clone, Copy)]
struct Yaml;

impl<'de> Format<'de> for Yaml {
    fn value<D: Deserializer<'de>>(self, reader: D) -> Result<Input<'de>, D::Error> {
        Spanned::deserialize(reader).map(placed)
    }

    fn key<D: Deserializer<'de>>(self, reader: D) -> Result<Key<'de>, D::Error> {
        let key = Spanned::<String>::deserialize(reader)?;
        Ok(Key { text: key.value.into(), place: Some(place_of(&key.referenced)) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::cursor::Cursor;
    use super::*;

    #[test]
    fn yaml_carries_places_and_reads_json_too() {
        let source =
            Arc::new(Source { name: "t".into(), text: "a: 1\nb:\n  - 'x'\n  - [true, 2.5]\n".into() });
        let input = Input::from_yaml(&source).unwrap();
        let mut problems = Problems::new();
        let root = Cursor::root(&input, Some(&source));
        let object = root.object(&["a"], &mut problems).unwrap();
        assert_eq!(object.get("a").unwrap().integer(0, 9, &mut problems), Some(1));
        let problem = problems.iter().next().unwrap();
        assert_eq!((problem.pointer.as_str(), problem.place.unwrap().line), ("/b", 2));
        let json = Arc::new(Source { name: "t".into(), text: "{\"a\": \"\\ud83d\\ude00\"}".into() });
        let InputValue::Map(entries) = Input::from_yaml(&json).unwrap().value else { panic!() };
        assert_eq!(entries[0].1.value, InputValue::Text("😀".into()));
    }
}
