//! Reading YAML into a document, with the place of every value.
//!
//! The parser gives events, and this file accounts for each of them. What means something only to YAML and
//! nothing to Usher (a tag, an anchor, an alias, a merge key, a directive, a second document) is refused,
//! because whatever reads over it drops what somebody wrote.

mod doubt;
mod fault;
mod rest;
mod scalar;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, StructureStyle};

use self::rest::{place_at, place_of};
use self::scalar::Meaning;
use super::document::{Input, InputValue, Key, MAX_DEPTH, MAX_VALUES};
use super::problem::{Place, Problem, Problems, Source, quoted};

pub use self::doubt::doubts;
pub use self::rest::{Gap, Rest};

impl<'a> Input<'a> {
    /// Reads YAML 1.2 (and JSON, which is YAML too), with the place of every value.
    ///
    /// # Errors
    /// What is not YAML, with its place. All tags, anchors, aliases and merge keys, all keys that are given
    /// twice, numbers with a leading zero. An empty text, a second document, more than [`MAX_DEPTH`] levels
    /// or [`MAX_VALUES`] values.
    pub fn from_yaml(source: &'a Arc<Source>) -> Result<Input<'a>, Problems> {
        Input::read(source, None)
    }

    /// As [`Input::from_yaml`], of what is left of the source's text. Places are those in the whole text.
    ///
    /// # Errors
    /// As [`Input::from_yaml`]. Their places and words may be other than for the whole text.
    pub fn from_rest(source: &'a Arc<Source>, rest: &'a Rest) -> Result<Input<'a>, Problems> {
        Input::read(source, Some(rest))
    }

    fn read(source: &'a Arc<Source>, rest: Option<&'a Rest>) -> Result<Input<'a>, Problems> {
        let mut reader = Reader {
            source,
            rest,
            open: Vec::new(),
            root: None,
            brackets: 0,
            values: rest.map_or(0, |rest| rest.values),
            documents: 0,
            problems: Problems::new(),
        };
        if source.text.starts_with("\u{feff}\u{feff}") {
            let place = Place { line: 1, column: 2, ..Place::default() };
            let problem = reader.problem(place, "a second byte-order mark");
            reader.note(problem.hint("take it out"));
        }
        for next in events(rest.map_or(&source.text, |rest| &rest.text)) {
            let went_on = match next {
                Ok((event, span)) => reader.event(event, span),
                Err(error) => {
                    reader.note(fault::told(&error, source));
                    false
                }
            };
            if !went_on {
                break;
            }
        }
        let Reader { root, mut problems, .. } = reader;
        let nothing = root.as_ref().is_none_or(|root| matches!(root.value, InputValue::Null));
        if nothing && problems.is_empty() {
            problems.push(Problem {
                place: Some(Place { line: 1, column: 1, ..Place::default() }),
                source: Some(Arc::clone(source)),
                ..Problem::new("the file is empty")
            });
        }
        match root {
            Some(root) => problems.or(root),
            None => Err(problems),
        }
    }
}

/// The events of a text. Names without an anchor and the names of anchors are among them, so that each can be
/// refused in its place.
fn events(text: &str) -> Parser<'_, StrInput<'_>> {
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        // `Reader` counts exactly; these only bound the parser itself.
        flow_nesting_limit: 2 * MAX_DEPTH,
        block_nesting_limit: 2 * MAX_DEPTH,
    };
    Parser::new_from_str_with_options(text, options)
}

/// Builds the tree of a document from its events.
struct Reader<'a> {
    source: &'a Arc<Source>,
    /// What is read of the source, if that is not all of it.
    rest: Option<&'a Rest>,
    /// The lists and maps that the next value is in, the innermost last.
    open: Vec<Open<'a>>,
    root: Option<Input<'a>>,
    /// How many of the open lists and maps are in brackets, where tabs are blanks.
    brackets: usize,
    values: usize,
    documents: usize,
    problems: Problems,
}

/// A list or map whose end is still to come.
struct Open<'a> {
    place: Place,
    in_brackets: bool,
    items: Items<'a>,
}

enum Items<'a> {
    List(Vec<Input<'a>>),
    /// `key` is the key whose value comes next.
    Map {
        entries: Vec<(Key<'a>, Input<'a>)>,
        key: Option<Key<'a>>,
    },
}

impl<'a> Reader<'a> {
    /// Takes the next event. Returns whether it is of use to go on.
    fn event(&mut self, event: Event<'a>, span: Span) -> bool {
        let place = self.place_of(span);
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => true,
            Event::DocumentStart(..) => self.document(place),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.refuse(place, "alias");
                self.value(Input { value: InputValue::Null, place: Some(place) })
            }
            Event::Anchor(..) => {
                self.refuse(place, "anchor");
                true
            }
            Event::Scalar(text, style, _, tag) => {
                self.tagged(tag.is_some(), span);
                self.scalar(text, style, place)
            }
            Event::SequenceStart(style, _, tag) => {
                self.tagged(tag.is_some(), span);
                let in_brackets = style == StructureStyle::Flow;
                self.begin(Open { place, in_brackets, items: Items::List(Vec::new()) })
            }
            Event::MappingStart(style, _, tag) => {
                self.tagged(tag.is_some(), span);
                let in_brackets = style == StructureStyle::Flow;
                self.begin(Open { place, in_brackets, items: Items::Map { entries: Vec::new(), key: None } })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            _ => {
                let problem = self.problem(place, "this part of YAML is not read here");
                self.note(problem);
                true
            }
        }
    }

    fn place_of(&self, span: Span) -> Place {
        self.rest.map_or_else(|| place_of(span), |rest| rest.place_of(span))
    }

    fn document(&mut self, place: Place) -> bool {
        self.documents += 1;
        if self.documents > 1 {
            let problem = self.problem(place, "a second document begins here; a file holds one");
            self.note(
                problem.hint("YAML begins a new document after a line `---`: make it a file of its own"),
            );
        }
        self.documents == 1
    }

    fn tagged(&mut self, tagged: bool, span: Span) {
        if tagged {
            let at = |marker| self.rest.map_or_else(|| place_at(marker), |rest| rest.place_at(marker));
            let place = span.tag_span().map(|span| self.place_of(span)).or_else(|| span.tag_start().map(at));
            self.refuse(place.unwrap_or_else(|| self.place_of(span)), "tag");
        }
    }

    /// Refuses what YAML takes for itself at the beginning of a value.
    fn refuse(&mut self, place: Place, what: &str) {
        let written = quoted(self.written(place));
        let article = if what == "tag" { "a" } else { "an" };
        let detail = format!("YAML takes {written} for {article} {what}, which is not part of the text");
        let problem = self.problem(place, detail);
        self.note(problem.hint(match what {
            "tag" => "put the whole text in quotes, as in '!vip && age >= 18'",
            _ => "write the value out, or put a text that begins with `&` or `*` in quotes",
        }));
    }

    fn scalar(&mut self, text: Cow<'a, str>, style: ScalarStyle, place: Place) -> bool {
        let plain = style == ScalarStyle::Plain;
        let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        if !block {
            self.tabs(place, plain);
        }
        let quotes = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
        if !quotes && let Some(c) = text.chars().find(|c| matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}')) {
            let detail =
                format!("U+{:04X} is a line break for some programs and a character for others", c as u32);
            let problem = self.problem(place, detail);
            self.note(problem.hint("take it out, or write it in double quotes as \\u2028"));
        }
        if let Some(Open { items: Items::Map { key: key @ None, .. }, .. }) = self.open.last_mut() {
            *key = Some(Key { text, place: Some(place) });
            return self.key(plain, place);
        }
        let value = match plain.then(|| scalar::meaning(&text)) {
            None | Some(Meaning::Text) => InputValue::Text(text),
            Some(Meaning::Null) => {
                self.blank();
                InputValue::Null
            }
            Some(Meaning::Bool(b)) => InputValue::Bool(b),
            Some(Meaning::Int(i)) => InputValue::Int(i),
            Some(Meaning::Float(x)) => InputValue::Float(x),
            Some(Meaning::Nothing(why)) => {
                let problem = self.problem(place, format!("{} {why}", quoted(&text)));
                self.note(problem.hint("if a text is meant, write it in quotes"));
                InputValue::Null
            }
        };
        self.value(Input { value, place: Some(place) })
    }

    /// Refuses a tab in the indentation of a value that begins at a place, or of the lines on which it goes
    /// on.
    fn tabs(&mut self, place: Place, goes_on: bool) {
        if self.brackets > 0 {
            return;
        }
        let before = self.source.text.get(..place.offset as usize).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        let blanks = &line[line.trim_end_matches([' ', '\t']).len()..];
        let begins = line.trim_matches([' ', '\t', '-', '\u{feff}']).is_empty();
        let more = if goes_on { self.written(place) } else { "" };
        let mut indents = more.split('\n').skip(1).filter(|line| !line.trim().is_empty());
        let tab = |line: &str| line[..line.len() - line.trim_start_matches([' ', '\t']).len()].contains('\t');
        if (begins && blanks.contains('\t')) || indents.any(tab) {
            let problem = self.problem(place, "not valid YAML: a tab, where YAML takes only spaces");
            self.note(problem.hint("indent with spaces"));
        }
    }

    /// Checks the key that was just read.
    fn key(&mut self, plain: bool, place: Place) -> bool {
        let Some(Open { items: Items::Map { key: Some(key), .. }, .. }) = self.open.last() else {
            return true;
        };
        if plain && key.text == "<<" {
            let problem = self.problem(place, "`<<` is a merge key of YAML, which is not read here");
            self.note(problem.hint("write the fields out"));
        } else if plain && place.length == 0 {
            let problem = self.problem(place, "there is no name before this `:`");
            self.note(problem.hint("write the name, or put the text in quotes"));
        }
        true
    }

    /// Checks that a value that is not there has its colon. `{max:3}` is a key `max:3` without a value.
    fn blank(&mut self) {
        let Some(Open { items: Items::Map { key: Some(key), .. }, .. }) = self.open.last() else {
            return;
        };
        let Some(place) = key.place else { return };
        let rest = self.source.text.get((place.offset + place.length) as usize..).unwrap_or_default();
        if rest.trim_start().starts_with(':') {
            return;
        }
        let problem = self.problem(place, format!("{} has no value", quoted(&key.text)));
        self.note(
            problem.hint("write `name: value`, with a space after the colon, or a list in `[` and `]`"),
        );
    }

    fn begin(&mut self, open: Open<'a>) -> bool {
        if let Some(Open { items: Items::Map { key: None, .. }, .. }) = self.open.last() {
            let problem = self.problem(open.place, "expected a name, found a list or a map in its place");
            self.note(problem.hint("a text that begins with `{` or `[` must be in quotes"));
            return false;
        }
        if self.open.len() >= MAX_DEPTH {
            let problem = self.problem(open.place, format!("nested deeper than {MAX_DEPTH} levels"));
            self.note(problem);
            return false;
        }
        self.tabs(open.place, false);
        self.brackets += usize::from(open.in_brackets);
        self.open.push(open);
        true
    }

    fn end(&mut self) -> bool {
        let Some(Open { place, in_brackets, items }) = self.open.pop() else { return false };
        self.brackets -= usize::from(in_brackets);
        let value = match items {
            Items::List(items) => InputValue::List(items),
            Items::Map { entries, .. } => {
                self.check_twice(&entries);
                InputValue::Map(entries)
            }
        };
        self.value(Input { value, place: Some(place) })
    }

    fn check_twice(&mut self, entries: &[(Key<'a>, Input<'a>)]) {
        let mut seen = HashSet::new();
        let many = entries.len() > 16; // below that comparing all pairs is cheaper than hashing
        for (i, (key, _)) in entries.iter().enumerate() {
            let twice = if many {
                !seen.insert(&key.text)
            } else {
                entries[..i].iter().any(|(earlier, _)| earlier.text == key.text)
            };
            if twice {
                let problem = self.problem(
                    key.place.unwrap_or_default(),
                    format!("{} is given twice in the same map", quoted(&key.text)),
                );
                self.note(
                    problem.hint("leave one of them out; a name that only shifted belongs further in or out"),
                );
            }
        }
    }

    /// Puts a finished value where it belongs.
    fn value(&mut self, value: Input<'a>) -> bool {
        self.values += 1;
        if self.values > MAX_VALUES {
            let place = value.place.unwrap_or_default();
            let problem = self.problem(place, format!("a document has at most {MAX_VALUES} values"));
            self.note(problem);
            return false;
        }
        match self.open.last_mut().map(|open| &mut open.items) {
            None => self.root = Some(value),
            Some(Items::List(items)) => items.push(value),
            Some(Items::Map { entries, key, .. }) => match key.take() {
                Some(key) => entries.push((key, value)),
                // An alias in the place of a key, which is refused already.
                None => *key = Some(Key { text: Cow::Borrowed(""), place: value.place }),
            },
        }
        true
    }

    fn written(&self, place: Place) -> &'a str {
        let from = place.offset as usize;
        self.source.text.get(from..from + place.length as usize).unwrap_or_default()
    }

    fn problem(&self, place: Place, detail: impl Into<String>) -> Problem {
        let source = Some(Arc::clone(self.source));
        Problem { place: Some(place), source, ..Problem::new(detail) }
    }

    /// Keeps a problem, the first on its line only: what follows there is mostly its consequence.
    fn note(&mut self, problem: Problem) {
        let line = |problem: &Problem| problem.place.map(|place| place.line);
        if !self.problems.iter().any(|earlier| line(earlier) == line(&problem)) {
            self.problems.push(problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cursor::Cursor;
    use super::*;

    fn named(text: &str) -> Arc<Source> {
        Arc::new(Source { name: "t".into(), text: text.into() })
    }

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        match Input::from_yaml(&named(text)) {
            Ok(input) => panic!("{text:?} was read as {:?}", input.value),
            Err(problems) => assert!(problems.to_string().contains(expected), "{text:?}: {problems}"),
        }
    }

    #[test]
    fn yaml_carries_places_and_reads_json_too() {
        let source = named("a: 1\nb:\n  - 'x'\n  - [true, 2.5]\n");
        let input = Input::from_yaml(&source).unwrap();
        let mut problems = Problems::new();
        let root = Cursor::root(&input, Some(&source));
        let object = root.object(&["a"], &mut problems).unwrap();
        assert_eq!(object.get("a").unwrap().integer(0, 9, &mut problems), Some(1));
        let problem = problems.iter().next().unwrap();
        assert_eq!((problem.pointer.as_str(), problem.place.unwrap().line), ("/b", 2));
        let json = named("{\"a\": \"\\ud83d\\ude00\"}");
        let InputValue::Map(entries) = Input::from_yaml(&json).unwrap().value else { panic!() };
        assert_eq!(entries[0].1.value, InputValue::Text("😀".into()));
    }

    #[test]
    fn what_yaml_keeps_for_itself_is_refused_where_it_stands() {
        for (text, expected) in [
            ("g: !blocked && age >= 18 || staff", "t:1:4: YAML takes \"!blocked\" for a tag"),
            ("g: !(x) && y", "t:1:4: YAML takes \"!(x)\" for a tag"),
            ("- !(x) && y\n- !x\n", "t:2:3: YAML takes \"!x\" for a tag"),
            ("g: !!str 5", "for a tag"),
            ("g: !<tag:x> 5", "for a tag"),
            ("g: !e!x 5", "t:1:4: not valid YAML: YAML takes a `!` at the beginning for a tag"),
            ("g: ! x", "for a tag"),
            ("g: !x |\n  y\n", "t:1:4: YAML takes \"!x\" for a tag"),
            ("g: !x\n", "for a tag"),
            ("g: !x {a: 1}", "for a tag"),
            ("{a: !x b, c: [!y 1]}", "t:1:5: YAML takes \"!x\" for a tag"),
            ("!x g: 1", "t:1:1: YAML takes \"!x\" for a tag"),
            ("? !x\n: 1", "t:1:3: YAML takes \"!x\" for a tag"),
            ("a: &b c\nd: *b", "t:2:4: YAML takes \"*b\" for an alias"),
            ("a: && b", "t:1:4: YAML takes \"&&\" for an anchor"),
            ("a: & b", "YAML takes a `&` or `*` at the beginning for an anchor or an alias"),
            ("a: *b", "t:1:4: YAML takes \"*b\" for an alias"),
            ("*a : 1", "for an alias"),
            ("a: [&x 1, *x]", "for an anchor"),
            ("<<: {a: 1}", "`<<` is a merge key"),
            ("a: 1\n---\nb: 2", "t:2:1: a second document begins here"),
            ("a: 1\n---\n", "a second document begins here"),
            ("a: 1\n...\nb: 2", "a second document begins here"),
            ("%YAML 1.2\n---\na: 1", "t:1:1: not valid YAML: a line that begins with `%`"),
            ("", "t:1:1: the file is empty"),
            ("# nothing\n", "the file is empty"),
            ("---\n", "the file is empty"),
            ("~", "the file is empty"),
        ] {
            refused(text, expected);
        }
        for text in
            ["g: '!x && y'", "g: |\n  !x && y\n", "'<<': 1", "---\na: 1\n...\n", "g: a && !b", "g: '*'"]
        {
            assert!(Input::from_yaml(&named(text)).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn keys_are_texts_that_come_once_and_have_values() {
        for (text, expected) in [
            ("a: 1\nb: 2\na: 3", "t:3:1: \"a\" is given twice in the same map"),
            ("a: {'b': 1, b: 2}", "\"b\" is given twice"),
            ("{a:1}", "t:1:2: \"a:1\" has no value"),
            ("a: {b, c: 1}", "\"b\" has no value"),
            ("a: {? b}", "\"b\" has no value"),
            ("a: {{ name }}", "expected a name, found a list or a map"),
            ("? [a]\n: 1", "expected a name, found a list or a map"),
            (": x", "there is no name before this `:`"),
        ] {
            refused(text, expected);
        }
        let many: String = (0..40).map(|i| format!("k{}: 1\n", i % 39)).collect();
        refused(&many, "t:40:1: \"k0\" is given twice");
        let source = named("1: a\ntrue: b\n07: c\n~: d\n");
        let InputValue::Map(entries) = Input::from_yaml(&source).unwrap().value else { panic!() };
        assert_eq!(entries.iter().map(|(key, _)| &*key.text).collect::<Vec<_>>(), ["1", "true", "07", "~"]);
    }

    #[test]
    fn what_is_not_yaml_is_told_in_plain_words() {
        for (text, expected) in [
            ("a: @x", "t:1:4: not valid YAML: a text may not begin with `@`"),
            ("a: `x`", "a text may not begin with a backtick"),
            ("a: %x", "a text may not begin with `%`"),
            ("a: 'x' == y", "t:1:8: not valid YAML: text follows a closing quote"),
            ("a: 'x", "a quote is never closed"),
            ("a: [1, 2", "is never closed"),
            ("a: {x: 1} == 1", "this line does not fit those above it"),
            ("a: x ? 1 : 2", "put a text that has `: ` in it in quotes"),
            ("a:\n\tb: 1", "t:2:2: not valid YAML: a tab, where YAML takes only spaces"),
            ("a:\n \tb: 1", "t:2:3: not valid YAML: a tab"),
            ("a:\n  -\t{b: 1}", "t:2:5: not valid YAML: a tab"),
            ("a: b\n \tc", "t:1:4: not valid YAML: a tab"),
            ("\ta: 1", "t:1:2: not valid YAML: a tab"),
            ("\u{feff}\u{feff}a: 1", "a second byte-order mark"),
            ("a:\n  b: 1\n c: 2", "t:3:2: not valid YAML: this line does not fit"),
            ("a： 1\nb: 2", "`：` (U+FF1A) is not `:`"),
            ("a: 007", "\"007\" has a leading zero"),
            ("a: .nan", "is not a number that can be used"),
            ("a: x\u{2028}y", "U+2028 is a line break for some programs"),
            ("a: 1\n\u{feff}b: 2", "a byte-order mark (U+FEFF)"),
            ("a: |x", "`|` and `>` at the beginning"),
            ("a: ,x", "expected a value"),
        ] {
            refused(text, expected);
        }
        let deep = "[".repeat(MAX_DEPTH + 1) + &"]".repeat(MAX_DEPTH + 1);
        refused(&deep, "nested deeper than 64 levels");
        for text in
            ["\u{feff}a: 1\r\nb: 'x'\r\n", "{\n\t\"a\": [\n\t\t1\n\t]\n}", "a:\t1", "a: |\n  x\n  \ty\n"]
        {
            assert!(Input::from_yaml(&named(text)).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn a_text_that_may_say_less_than_it_was_meant_to_is_doubted() {
        for (text, expected) in [
            ("a: x #y", Some("t:1:6: \"#y\" is a comment")),
            ("a: x # && y", Some("t:1:6: \"# && y\" is a comment")),
            ("a: {b: x #y\n}", Some("t:1:10: \"#y\" is a comment")),
            ("a: x\n  b #1\n", Some("t:2:5: \"#1\" is a comment")),
            ("- a\n  - b", Some("t:2:3: this line goes on with the text above it")),
            ("a: x # y", None),
            ("a: x #", None),
            ("a: 'x' #y", None),
            ("a: x\n#b: y\n", None),
            ("a:\n- x\n- y\n", None),
        ] {
            let source = named(text);
            let found = doubts(&source).first().map(ToString::to_string);
            match (found, expected) {
                (None, None) => {}
                (Some(found), Some(expected)) => assert!(found.contains(expected), "{text:?}: {found}"),
                (found, expected) => panic!("{text:?}: {found:?} instead of {expected:?}"),
            }
        }
    }
}
