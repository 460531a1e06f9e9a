//! Walking a document with a [`Cursor`]. The walk collects every problem, with a pointer to it, instead of
//! stopping at the first.

use std::collections::HashSet;
use std::sync::Arc;

use super::document::{Input, InputValue};
use super::problem::{Place, Problem, Problems, Source, quoted};

/// A value together with the way to it, so that a problem can say where it is. The links of the way live on
/// the stack of the walk, so nothing is allocated unless something is wrong.
#[derive(Clone, Copy)]
pub struct Cursor<'p, 'n> {
    /// The value that the cursor stands on.
    pub input: &'n Input<'n>,
    source: Option<&'n Arc<Source>>,
    up: Option<&'p Cursor<'p, 'n>>,
    part: Part<'n>,
    /// Where the key stands in the text, for problems about the entry itself; `None` without a key or a
    /// place.
    key_place: Option<Place>,
}

#[derive(Clone, Copy)]
enum Part<'n> {
    Root,
    Key(&'n str),
    Index(usize),
}

impl<'p, 'n> Cursor<'p, 'n> {
    /// Stands on the root of a document. With the source of a YAML text, problems show the line.
    pub fn root(input: &'n Input<'n>, source: Option<&'n Arc<Source>>) -> Cursor<'p, 'n> {
        Cursor { input, source, up: None, part: Part::Root, key_place: None }
    }

    /// A problem with this value: it gets the value's pointer and place.
    pub fn problem(&self, detail: impl Into<String>) -> Problem {
        self.placed(Problem::new(detail))
    }

    /// A problem with the key that leads here: it gets the key's place.
    pub fn key_problem(&self, detail: impl Into<String>) -> Problem {
        self.key_placed(Problem::new(detail))
    }

    /// Gives `problem`, which was found without knowing where, the place of this value.
    pub fn placed(&self, problem: Problem) -> Problem {
        let source = self.source.cloned();
        Problem { pointer: self.pointer(), place: self.input.place, source, ..problem }
    }

    /// Gives `problem` the place of the key that leads here.
    pub fn key_placed(&self, problem: Problem) -> Problem {
        Problem { place: self.key_place.or(self.input.place), ..self.placed(problem) }
    }

    /// The text that the document was read from, if the root was given it.
    pub fn source(&self) -> Option<&'n Arc<Source>> {
        self.source
    }

    /// The RFC 6901 pointer to this value, empty for the root.
    pub fn pointer(&self) -> String {
        let mut pointer = self.up.map_or_else(String::new, Cursor::pointer);
        match self.part {
            Part::Root => {}
            Part::Key(key) => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Part::Index(i) => pointer.push_str(&format!("/{i}")),
        }
        pointer
    }

    /// Whether the value is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self.input.value, InputValue::Null)
    }

    /// Whether the value is a list.
    pub fn is_list(&self) -> bool {
        matches!(self.input.value, InputValue::List(_))
    }

    fn wrong(&self, expected: &str) -> Problem {
        self.problem(format!("expected {expected}, found {}", self.found()))
    }

    /// The value in a few words, to follow "found": a number or a truth value as it was written.
    fn found(&self) -> String {
        self.written().map_or_else(|| self.input.value.describe(), str::to_owned)
    }

    /// How a number or a truth value was written, if it was read from a text: `1_000`, `0x10`.
    pub fn written(&self) -> Option<&'n str> {
        let (source, place) = (self.source?, self.input.place?);
        let scalar = matches!(
            self.input.value,
            InputValue::Null | InputValue::Bool(_) | InputValue::Int(_) | InputValue::Float(_)
        );
        let from = place.offset as usize;
        let written = source.text.get(from..from + place.length as usize)?.trim();
        (scalar && !written.is_empty()).then_some(written)
    }

    /// The text here. If the value is not a text: `None`, and a problem. A number or a truth value is no
    /// text, because what was written is not what it means: `2026_11` is the number 202611.
    pub fn text(&self, problems: &mut Problems) -> Option<&'n str> {
        match &self.input.value {
            InputValue::Text(text) => Some(text),
            _ => {
                problems.push(self.not_text("a text"));
                None
            }
        }
    }

    /// The problem that a value is not the text that was expected.
    pub fn not_text(&self, expected: &str) -> Problem {
        let problem = self.wrong(expected);
        match &self.input.value {
            InputValue::Bool(_) | InputValue::Int(_) | InputValue::Float(_) => {
                problem.hint(format!("write it in quotes: \"{}\"", self.found()))
            }
            InputValue::Map(_) | InputValue::List(_) if self.source.is_some() => {
                problem.hint("a text that begins with `{` or `[`, or has `: ` in it, must be in quotes")
            }
            _ => problem,
        }
    }

    /// The truth value here. If the value is not a truth value: `None`, and a problem.
    pub fn boolean(&self, problems: &mut Problems) -> Option<bool> {
        match self.input.value {
            InputValue::Bool(b) => Some(b),
            _ => {
                problems.push(self.wrong("true or false"));
                None
            }
        }
    }

    /// The whole number here, within `min..=max`. Otherwise `None`, and a problem.
    pub fn integer(&self, min: i64, max: i64, problems: &mut Problems) -> Option<i64> {
        match self.input.value {
            InputValue::Int(i) if (min..=max).contains(&i) => Some(i),
            _ => {
                problems.push(self.wrong(&format!("a whole number from {min} to {max}")));
                None
            }
        }
    }

    /// The finite number here, whole or not. Otherwise `None`, and a problem.
    pub fn number(&self, problems: &mut Problems) -> Option<f64> {
        match self.input.value {
            InputValue::Int(i) => Some(i as f64),
            InputValue::Float(x) if x.is_finite() => Some(x),
            _ => {
                problems.push(self.wrong("a number"));
                None
            }
        }
    }

    /// The items of the list here, in order. If the value is not a list: `None`, and a problem.
    pub fn items(
        &self,
        problems: &mut Problems,
    ) -> Option<impl ExactSizeIterator<Item = Cursor<'_, 'n>> + use<'_, 'p, 'n>> {
        match &self.input.value {
            InputValue::List(items) => Some(items.iter().enumerate().map(move |(i, input)| Cursor {
                input,
                source: self.source,
                up: Some(self),
                part: Part::Index(i),
                key_place: None,
            })),
            _ => {
                problems.push(self.wrong("a list"));
                None
            }
        }
    }

    /// The first entry of this name, if the value is a map that has one.
    pub fn entry(&self, name: &str) -> Option<Cursor<'_, 'n>> {
        let InputValue::Map(entries) = &self.input.value else { return None };
        let (key, input) = entries.iter().find(|(key, _)| *key.text == *name)?;
        let (part, key_place) = (Part::Key(&key.text), key.place);
        Some(Cursor { input, source: self.source, up: Some(self), part, key_place })
    }

    /// The entries of the map here, whatever their names; a name that comes twice is a problem, and its first
    /// entry counts. If the value is not a map: `None`, and a problem.
    pub fn entries(&self, problems: &mut Problems) -> Option<Vec<(&'n str, Cursor<'_, 'n>)>> {
        let InputValue::Map(entries) = &self.input.value else {
            problems.push(self.wrong("a map"));
            return None;
        };
        let mut seen = HashSet::new();
        let many = entries.len() > 16; // below that comparing all pairs is cheaper than hashing
        let mut found = Vec::with_capacity(entries.len());
        for (i, (key, input)) in entries.iter().enumerate() {
            let cursor = Cursor {
                input,
                source: self.source,
                up: Some(self),
                part: Part::Key(&key.text),
                key_place: key.place,
            };
            let twice = if many {
                !seen.insert(&key.text)
            } else {
                entries[..i].iter().any(|(earlier, _)| earlier.text == key.text)
            };
            if twice {
                problems.push(cursor.key_problem(format!("{} is given twice", quoted(&key.text))));
            } else {
                found.push((key.text.as_ref(), cursor));
            }
        }
        Some(found)
    }

    /// The map here as an object with the fields `known`. Every other field is a problem that names the
    /// nearest known field.
    pub fn object(&self, known: &[&'static str], problems: &mut Problems) -> Option<Object<'_, 'n>> {
        let entries = self.entries(problems)?;
        for (name, cursor) in &entries {
            if !known.contains(name) {
                let problem = cursor.key_problem(format!("unknown field {}", quoted(name)));
                if problems.is_full() {
                    problems.push(problem);
                    continue;
                }
                let problem = problem.nearest(name, known.iter().copied());
                problems.push(match problem.hint {
                    Some(_) => problem,
                    None => problem.hint(format!("known here: {}", known.join(", "))),
                });
            }
        }
        Some(Object { fields: entries, at: *self })
    }
}

/// A map whose fields are looked up by name.
pub struct Object<'p, 'n> {
    fields: Vec<(&'n str, Cursor<'p, 'n>)>,
    at: Cursor<'p, 'n>,
}

impl<'p, 'n> Object<'p, 'n> {
    /// The field of this name, if it is there and not null.
    pub fn get(&self, name: &str) -> Option<&Cursor<'p, 'n>> {
        self.given(name).filter(|cursor| !cursor.is_null())
    }

    /// The field of this name, if it is there, even if it is null.
    pub fn given(&self, name: &str) -> Option<&Cursor<'p, 'n>> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, cursor)| cursor)
    }

    /// Notes a problem for every field without a value. A `when:` left blank must not mean "always".
    pub fn refuse_blanks(&self, problems: &mut Problems) {
        for (name, cursor) in self.fields.iter().filter(|(_, cursor)| cursor.is_null()) {
            let problem = cursor.key_problem(format!("`{name}` is empty"));
            problems.push(problem.hint("give it a value or leave it out"));
        }
    }

    /// The field of this name; if it is missing or null, `None` and a problem.
    pub fn required(&self, name: &str, problems: &mut Problems) -> Option<&Cursor<'p, 'n>> {
        let field = self.get(name);
        if field.is_none() {
            problems.push(self.at.problem(format!("`{name}` is missing")));
        }
        field
    }

    /// The map itself, for problems about the whole.
    pub fn cursor(&self) -> &Cursor<'p, 'n> {
        &self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_of_a_walk_come_with_pointers() {
        let input = Input::from_json(br#"{"nmae": 1, "list": [1, "x", 2.5], "name": 3, "name": 4}"#).unwrap();
        let mut problems = Problems::new();
        let root = Cursor::root(&input, None);
        let object = root.object(&["name", "list"], &mut problems).unwrap();
        for item in object.get("list").unwrap().items(&mut problems).unwrap() {
            item.integer(0, 1, &mut problems);
        }
        object.required("other", &mut problems);
        let found: Vec<_> = problems.iter().map(|p| (p.pointer.as_str(), p.hint.is_some())).collect();
        assert_eq!(
            found,
            [("/name", false), ("/nmae", true), ("/list/1", false), ("/list/2", false), ("", false)]
        );
    }
}
