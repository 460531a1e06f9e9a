//! An input document as a tree: YAML with places, JSON and MessagePack without. Checked by walking it with a [`Cursor`],
//! which collects every problem with a pointer instead of stopping at the first.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::problem::{Place, Problem, Problems, Source};

/// Nesting beyond this is refused, in every format.
pub const MAX_DEPTH: usize = 64;
/// Values of one document beyond this are refused: a short text can hold very many. A rule set of 10,000 offers has about
/// 400,000.
pub const MAX_VALUES: usize = 1_000_000;

/// One value of a document and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Input<'a> {
    /// What it is.
    pub value: InputValue<'a>,
    /// Where it stands in the text; `None` for JSON and MessagePack.
    pub place: Option<Place>,
}

/// A value as it was written, not yet checked against anything.
#[derive(Debug, Clone, PartialEq)]
pub enum InputValue<'a> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A whole number that fits 64 signed bits.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Input<'a>>),
    /// A map, in the order written, duplicates included.
    Map(Vec<(Key<'a>, Input<'a>)>),
}

/// The key of a map entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Key<'a> {
    /// Its text.
    pub text: Cow<'a, str>,
    /// Where it stands.
    pub place: Option<Place>,
}

impl<'a> Input<'a> {
    /// Reads JSON.
    ///
    /// # Errors
    /// What is not JSON, with line and column: not UTF-8, lone surrogates, numbers out of range, nesting beyond
    /// [`MAX_DEPTH`], anything after the value.
    pub fn from_json(bytes: &'a [u8]) -> Result<Input<'a>, Problems> {
        let refuse = |e: serde_json::Error| {
            let text = e.to_string();
            let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(head, _)| head);
            let mut problem = Problem::new(format!("not valid JSON: {text}"));
            if e.line() > 0 {
                let line = bytes.split(|byte| *byte == b'\n').nth(e.line() - 1).unwrap_or_default();
                let before = String::from_utf8_lossy(&line[..e.column().saturating_sub(1).min(line.len())]);
                let column = before.chars().count() as u32 + 1;
                problem.place = Some(Place { line: e.line() as u32, column, ..Place::default() });
            }
            let mut problems = Problems::new();
            problems.push(problem);
            problems
        };
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let input =
            Seed { depth: 0, left: &Cell::new(MAX_VALUES) }.deserialize(&mut reader).map_err(refuse)?;
        reader.end().map_err(refuse)?;
        Ok(input)
    }

    /// Reads MessagePack, maps with names.
    ///
    /// # Errors
    /// What is not MessagePack: truncated, not UTF-8 in a string, nesting beyond [`MAX_DEPTH`], bytes left over.
    pub fn from_msgpack(bytes: &[u8]) -> Result<Input<'static>, Problems> {
        let mut rest = bytes;
        let mut reader = rmp_serde::Deserializer::new(&mut rest);
        reader.set_max_depth(2 * MAX_DEPTH); // Seed counts exactly; this only keeps the reader's own stack bounded
        let input =
            Seed { depth: 0, left: &Cell::new(MAX_VALUES) }.deserialize(&mut reader).map_err(|e| {
                let at = bytes.len() - reader.get_ref().len();
                Problems::one(format!("not valid MessagePack at byte {at}: {e}"))
            })?;
        if rest.is_empty() {
            Ok(input)
        } else {
            Err(Problems::one(format!("not valid MessagePack: {} bytes follow the value", rest.len())))
        }
    }

    /// Reads YAML (and JSON, which is YAML too), with the place of every value.
    ///
    /// # Errors
    /// What is not YAML, duplicate keys, aliases that multiply, nesting beyond [`MAX_DEPTH`].
    pub fn from_yaml(source: &Arc<Source>) -> Result<Input<'static>, Problems> {
        let options = serde_saphyr::options! {
            with_snippet: false,
            strict_booleans: true, // YAML 1.2: `y`, `no` and `on` are texts
            budget: serde_saphyr::budget! {
                max_depth: MAX_DEPTH,
                max_nodes: MAX_VALUES,
                max_events: 2 * MAX_VALUES,
            },
        };
        let read = serde_saphyr::from_str_with_options::<serde_saphyr::Spanned<Tree>>(&source.text, options);
        match read {
            Ok(tree) => Ok(tree.into_input()),
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
    // The place is shown apart from the message.
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

/// The YAML reader's view of a document; [`Input`] without the reader's types.
enum Tree {
    Scalar(InputValue<'static>),
    List(Vec<serde_saphyr::Spanned<Tree>>),
    Map(Vec<(serde_saphyr::Spanned<String>, serde_saphyr::Spanned<Tree>)>),
}

trait IntoInput {
    fn into_input(self) -> Input<'static>;
}

impl IntoInput for serde_saphyr::Spanned<Tree> {
    fn into_input(self) -> Input<'static> {
        let place = Some(place_of(&self.referenced));
        let value = match self.value {
            Tree::Scalar(value) => value,
            Tree::List(items) => InputValue::List(items.into_iter().map(IntoInput::into_input).collect()),
            Tree::Map(entries) => InputValue::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        let place = Some(place_of(&key.referenced));
                        (Key { text: key.value.into(), place }, value.into_input())
                    })
                    .collect(),
            ),
        };
        Input { value, place }
    }
}

impl<'de> serde::Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Tree, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Tree;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_bool<E>(self, v: bool) -> Result<Tree, E> {
                Ok(Tree::Scalar(InputValue::Bool(v)))
            }
            fn visit_i64<E>(self, v: i64) -> Result<Tree, E> {
                Ok(Tree::Scalar(InputValue::Int(v)))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Tree, E> {
                Ok(Tree::Scalar(whole(v)))
            }
            fn visit_f64<E>(self, v: f64) -> Result<Tree, E> {
                Ok(Tree::Scalar(InputValue::Float(v)))
            }
            fn visit_str<E>(self, v: &str) -> Result<Tree, E> {
                Ok(Tree::Scalar(InputValue::Text(v.to_owned().into())))
            }
            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Scalar(InputValue::Null))
            }
            fn visit_none<E>(self) -> Result<Tree, E> {
                Ok(Tree::Scalar(InputValue::Null))
            }
            fn visit_some<D: Deserializer<'de>>(self, reader: D) -> Result<Tree, D::Error> {
                serde::Deserialize::deserialize(reader)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Tree::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
                let mut map = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    map.push(entry);
                }
                Ok(Tree::Map(map))
            }
        }
        reader.deserialize_any(Visit)
    }
}

fn whole(v: u64) -> InputValue<'static> {
    i64::try_from(v).map_or(InputValue::Float(v as f64), InputValue::Int)
}

/// Reads JSON and MessagePack, borrowing strings where the format allows.
#[derive(Clone, Copy)]
struct Seed<'l> {
    depth: usize,
    /// How many more values the document may have.
    left: &'l Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Input<'de>;
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Input<'de>, D::Error> {
        if self.depth > MAX_DEPTH {
            return Err(serde::de::Error::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        let Some(left) = self.left.get().checked_sub(1) else {
            return Err(serde::de::Error::custom(format_args!("a document has at most {MAX_VALUES} values")));
        };
        self.left.set(left);
        let value = reader.deserialize_any(self)?;
        Ok(Input { value, place: None })
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = InputValue<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, a boolean, a number, a string, a list or a map")
    }
    fn visit_bool<E>(self, v: bool) -> Result<InputValue<'de>, E> {
        Ok(InputValue::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<InputValue<'de>, E> {
        Ok(InputValue::Int(v))
    }
    fn visit_u64<E>(self, v: u64) -> Result<InputValue<'de>, E> {
        Ok(whole(v))
    }
    fn visit_f64<E>(self, v: f64) -> Result<InputValue<'de>, E> {
        Ok(InputValue::Float(v))
    }
    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<InputValue<'de>, E> {
        Ok(InputValue::Text(v.into()))
    }
    fn visit_str<E>(self, v: &str) -> Result<InputValue<'de>, E> {
        Ok(InputValue::Text(v.to_owned().into()))
    }
    fn visit_unit<E>(self) -> Result<InputValue<'de>, E> {
        Ok(InputValue::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<InputValue<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Seed { depth: self.depth + 1, ..self })? {
            list.push(item);
        }
        Ok(InputValue::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<InputValue<'de>, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key_seed(KeySeed)? {
            map.push((key, entries.next_value_seed(Seed { depth: self.depth + 1, ..self })?));
        }
        Ok(InputValue::Map(map))
    }
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key<'de>;
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Key<'de>, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Key<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string as key")
    }
    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Key<'de>, E> {
        Ok(Key { text: v.into(), place: None })
    }
    fn visit_str<E>(self, v: &str) -> Result<Key<'de>, E> {
        Ok(Key { text: v.to_owned().into(), place: None })
    }
}

impl InputValue<'_> {
    /// The value in a few words, for "found …".
    pub fn describe(&self) -> String {
        match self {
            InputValue::Null => "null".into(),
            InputValue::Bool(b) => b.to_string(),
            InputValue::Int(i) => i.to_string(),
            InputValue::Float(x) => format!("{x:?}"), // 5.0 is not the 5 that was expected
            InputValue::Text(t) => format!("the text {}", quoted(t)),
            InputValue::List(items) => format!("a list of {}", items.len()),
            InputValue::Map(_) => "a map".into(),
        }
    }
}

impl serde::Serialize for Input<'_> {
    fn serialize<S: serde::Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            InputValue::Null => writer.serialize_unit(),
            InputValue::Bool(b) => writer.serialize_bool(*b),
            InputValue::Int(i) => writer.serialize_i64(*i),
            InputValue::Float(x) => writer.serialize_f64(*x),
            InputValue::Text(text) => writer.serialize_str(text),
            InputValue::List(items) => writer.collect_seq(items),
            InputValue::Map(entries) => {
                writer.collect_map(entries.iter().map(|(key, value)| (&key.text, value)))
            }
        }
    }
}

/// `text` in quotes, cut where it is long.
pub fn quoted(text: &str) -> String {
    const SHOWN: usize = 40;
    if text.chars().count() <= SHOWN {
        format!("{text:?}")
    } else {
        format!("{:?}…", text.chars().take(SHOWN).collect::<String>())
    }
}

/// A value together with the way to it, so that a problem can say where it is. Links live on the stack of the walk:
/// nothing is allocated unless something is wrong.
#[derive(Clone, Copy)]
pub struct Cursor<'p, 'n> {
    /// The value here.
    pub input: &'n Input<'n>,
    source: Option<&'n Arc<Source>>,
    up: Option<&'p Cursor<'p, 'n>>,
    part: Part<'n>,
    /// Where the key stands, for problems about the entry itself.
    key_place: Option<Place>,
}

#[derive(Clone, Copy)]
enum Part<'n> {
    Root,
    Key(&'n str),
    Index(usize),
}

impl<'p, 'n> Cursor<'p, 'n> {
    /// At the document's root. Give the source of a YAML text, so that problems can show the line.
    pub fn root(input: &'n Input<'n>, source: Option<&'n Arc<Source>>) -> Cursor<'p, 'n> {
        Cursor { input, source, up: None, part: Part::Root, key_place: None }
    }

    /// A problem with this value.
    pub fn problem(&self, detail: impl Into<String>) -> Problem {
        self.placed(Problem::new(detail))
    }

    /// A problem with the key that leads here.
    pub fn key_problem(&self, detail: impl Into<String>) -> Problem {
        self.key_placed(Problem::new(detail))
    }

    /// A problem that was found without knowing where, as one with this value.
    pub fn placed(&self, problem: Problem) -> Problem {
        let source = self.source.cloned();
        Problem { pointer: self.pointer(), place: self.input.place, source, ..problem }
    }

    /// As [`Cursor::placed`], as one with the key that leads here.
    pub fn key_placed(&self, problem: Problem) -> Problem {
        Problem { place: self.key_place.or(self.input.place), ..self.placed(problem) }
    }

    /// The text this comes from.
    pub fn source(&self) -> Option<&'n Arc<Source>> {
        self.source
    }

    /// RFC 6901 pointer to this value.
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

    fn wrong(&self, expected: &str) -> Problem {
        self.problem(format!("expected {expected}, found {}", self.input.value.describe()))
    }

    /// The text here, or a problem.
    pub fn text(&self, problems: &mut Problems) -> Option<&'n str> {
        match &self.input.value {
            InputValue::Text(text) => Some(text),
            _ => {
                problems.push(self.wrong("a text"));
                None
            }
        }
    }

    /// The truth value here, or a problem.
    pub fn boolean(&self, problems: &mut Problems) -> Option<bool> {
        match self.input.value {
            InputValue::Bool(b) => Some(b),
            _ => {
                problems.push(self.wrong("true or false"));
                None
            }
        }
    }

    /// The whole number here, within `min..=max`, or a problem.
    pub fn integer(&self, min: i64, max: i64, problems: &mut Problems) -> Option<i64> {
        match self.input.value {
            InputValue::Int(i) if (min..=max).contains(&i) => Some(i),
            _ => {
                problems.push(self.wrong(&format!("a whole number from {min} to {max}")));
                None
            }
        }
    }

    /// The finite number here, or a problem.
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

    /// The items of the list here, or a problem.
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

    /// The entry of this name, if this is a map that has one.
    pub fn entry(&self, name: &str) -> Option<Cursor<'_, 'n>> {
        let InputValue::Map(entries) = &self.input.value else { return None };
        let (key, input) = entries.iter().find(|(key, _)| *key.text == *name)?;
        let (part, key_place) = (Part::Key(&key.text), key.place);
        Some(Cursor { input, source: self.source, up: Some(self), part, key_place })
    }

    /// The entries of the map here, whatever their names; a problem for each name that comes twice.
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

    /// The map here as an object with the fields `known`; a problem for every other field, with the nearest name.
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

/// A map whose fields are known by name.
pub struct Object<'p, 'n> {
    fields: Vec<(&'n str, Cursor<'p, 'n>)>,
    at: Cursor<'p, 'n>,
}

impl<'p, 'n> Object<'p, 'n> {
    /// The field, if it is given and not null.
    pub fn get(&self, name: &str) -> Option<&Cursor<'p, 'n>> {
        self.given(name).filter(|cursor| !cursor.is_null())
    }

    /// The field, if it is given, null included.
    pub fn given(&self, name: &str) -> Option<&Cursor<'p, 'n>> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, cursor)| cursor)
    }

    /// A problem for every field that is given without a value: `when:` left blank means nothing, least of all "always".
    pub fn refuse_blanks(&self, problems: &mut Problems) {
        for (name, cursor) in self.fields.iter().filter(|(_, cursor)| cursor.is_null()) {
            let problem = cursor.key_problem(format!("`{name}` is empty"));
            problems.push(problem.hint("give it a value or leave it out"));
        }
    }

    /// The field, or a problem that it is missing.
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

    fn json_problem(bytes: &[u8]) -> String {
        Input::from_json(bytes).unwrap_err().to_string()
    }

    #[test]
    fn json_that_is_not_json_says_where() {
        for (bytes, expected) in [
            (&b"{\"a\": 1e999}"[..], "number out of range"),
            (b"{\"a\": NaN}", "expected value"),
            (b"{\"a\": \"\\ud800\"}", "hex escape"),
            (b"{\"a\": \"\xff\"}", "unicode"),
            (b"[1, 2", "EOF"),
            (b"1 2", "trailing"),
            (b"", "EOF"),
        ] {
            let text = json_problem(bytes);
            assert!(text.contains(expected), "{text}");
        }
        let deep = [b"[".repeat(10_000), b"]".repeat(10_000)].concat();
        assert!(json_problem(&deep).contains("nested deeper than 64"));
        let many = [b"[".to_vec(), b"1,".repeat(MAX_VALUES), b"1]".to_vec()].concat();
        assert!(json_problem(&many).contains("at most 1000000 values"));
        let place = Input::from_json(b"{\n \"a\": tru }").unwrap_err().iter().next().unwrap().place.unwrap();
        assert_eq!(place.line, 2);
        let place =
            Input::from_json("{\"稳健\": x}".as_bytes()).unwrap_err().iter().next().unwrap().place.unwrap();
        assert_eq!(place.column, 8);
    }

    #[test]
    fn messagepack_that_is_truncated_or_too_long_says_where() {
        let whole = rmp_serde::to_vec_named(&serde_json::json!({"a": ["x", 1, 2.5, null, true]})).unwrap();
        assert!(Input::from_msgpack(&whole).is_ok());
        for cut in 0..whole.len() {
            assert!(Input::from_msgpack(&whole[..cut]).is_err(), "cut at {cut}");
        }
        let longer = [whole.as_slice(), b"\x01"].concat();
        assert!(Input::from_msgpack(&longer).unwrap_err().to_string().contains("1 bytes follow"));
        let deep = [0x91].repeat(10_000);
        assert!(Input::from_msgpack(&deep).is_err());
        assert!(Input::from_msgpack(b"\x81\x01\x02").unwrap_err().to_string().contains("string as key"));
    }

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
