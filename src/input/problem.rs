//! What is wrong with an input: where it is, what was expected, what was found, and what to try.

use std::fmt;
use std::sync::Arc;

/// The most problems kept of one input; those beyond are only counted.
pub const MAX_PROBLEMS: usize = 100;

/// One thing that is wrong, with its place. `Display` writes `file:line:column: detail`, the source line, a
/// caret under the place, and the hint.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// What was expected and what was found: one sentence without a full stop.
    pub detail: String,
    /// What to try, as a sentence without a full stop.
    pub hint: Option<String>,
    /// RFC 6901 pointer to the wrong value inside its document; empty for the document itself.
    pub pointer: String,
    /// Where it is in the text, if the input was a text.
    pub place: Option<Place>,
    /// The text that the place is in.
    pub source: Option<Arc<Source>>,
}

/// A named text: a file, a request body.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The file's name, or what stands for it: `wealth` for a rule set that came over HTTP.
    pub name: String,
    /// The text, from its first byte to its last.
    pub text: String,
}

/// A stretch of a text. Lines and columns count from 1, columns in characters; offset and length are in
/// bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The line on which it begins, from 1.
    pub line: u32,
    /// The column at which it begins, in characters from 1.
    pub column: u32,
    /// The byte at which it begins, from 0.
    pub offset: u32,
    /// Its length in bytes; 0 if only its beginning is known.
    pub length: u32,
}

/// All problems of one input, bounded by [`MAX_PROBLEMS`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Problems {
    list: Vec<Problem>,
    /// How many more there were, at least: once enough are known, not everything is looked at.
    pub omitted: usize,
}

impl Problems {
    /// An empty list: nothing is wrong so far.
    pub fn new() -> Problems {
        Problems::default()
    }

    /// One problem without a place.
    pub fn one(detail: impl Into<String>) -> Problems {
        let mut problems = Problems::new();
        problems.push(Problem::new(detail));
        problems
    }

    /// Keeps `problem`; past [`MAX_PROBLEMS`] it is only counted.
    pub fn push(&mut self, problem: Problem) {
        if self.list.len() < MAX_PROBLEMS {
            self.list.push(problem);
        } else {
            self.omitted += 1;
        }
    }

    /// Takes over all problems of `other`, and its count.
    pub fn extend(&mut self, other: Problems) {
        self.omitted += other.omitted;
        for problem in other.list {
            self.push(problem);
        }
    }

    /// Whether further problems will only be counted. Then it is of no use to look for hints.
    pub fn is_full(&self) -> bool {
        self.list.len() >= MAX_PROBLEMS
    }

    /// Whether there is no problem at all.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many problems were found, including those that were not kept.
    pub fn count(&self) -> usize {
        self.list.len() + self.omitted
    }

    /// The problems kept, in the order found.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// Gives sources other names: `renamed` returns the source to show instead, if it has another name.
    pub fn rename_sources(&mut self, renamed: impl Fn(&Arc<Source>) -> Option<Arc<Source>>) {
        self.list.iter_mut().for_each(|problem| problem.rename_source(&renamed));
    }

    /// All problems in one sentence: the only one, or their number and the first.
    pub fn summary(&self) -> String {
        match (self.list.first(), self.count()) {
            (Some(only), 1) => only.detail.clone(),
            (Some(first), count) => format!("{count} problems, the first: {}", first.detail),
            (None, _) => String::from("something is wrong"),
        }
    }

    /// Returns `value` if nothing is wrong.
    pub fn or<T>(self, value: T) -> Result<T, Problems> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }

    /// Sorts by file and place, so that a reader can go through each file from top to bottom.
    pub fn sort(&mut self) {
        self.list.sort_by(|a, b| {
            let key = |p: &Problem| {
                (p.source.as_ref().map(|s| s.name.clone()), p.place.map(|p| (p.line, p.column)))
            };
            key(a).cmp(&key(b))
        });
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

impl Problem {
    /// A problem without a place, a hint or a source.
    pub fn new(detail: impl Into<String>) -> Problem {
        Problem { detail: detail.into(), hint: None, pointer: String::new(), place: None, source: None }
    }

    /// As [`Problems::rename_sources`], for one problem.
    pub fn rename_source(&mut self, renamed: impl Fn(&Arc<Source>) -> Option<Arc<Source>>) {
        if let Some(other) = self.source.as_ref().and_then(renamed) {
            self.source = Some(other);
        }
    }

    /// Adds the hint: what to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a hint with the nearest of `names`, if one is near enough to be what `found` was meant to be.
    #[must_use]
    pub fn nearest<'n>(self, found: &str, names: impl IntoIterator<Item = &'n str>) -> Problem {
        match nearest(found, names) {
            Some(name) => self.hint(format!("did you mean `{name}`?")),
            None => self,
        }
    }
}

/// The name most like `found`, if one is near enough to be meant. Longer names may differ more.
///
/// This takes a few microseconds, however many names there are. Only the first [`MAX_COMPARED_NAMES`] are
/// looked at. Of those, only names of about the same length that begin or end alike are compared letter by
/// letter.
pub fn nearest<'n>(found: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let found = found.to_lowercase();
    if found.is_empty() || found.len() > MAX_COMPARED_BYTES {
        return None;
    }
    let (first, last) = (found.chars().next(), found.chars().next_back());
    let alike = |name: &str| {
        let lower = |c: char| c.to_lowercase().next();
        let begins = name.chars().next().and_then(lower) == first;
        begins || name.chars().next_back().and_then(lower) == last
    };
    let near = names.into_iter().take(MAX_COMPARED_NAMES).filter(|name| {
        name.len().abs_diff(found.len()) <= most(name) && alike(name) // cheap tests before the costly one
    });
    let mut nearest: Option<(usize, &str)> = None;
    let mut as_near = 0;
    for name in near {
        let distance = strsim::damerau_levenshtein(&found, &name.to_lowercase());
        match nearest {
            Some((least, _)) if distance > least => {}
            Some((least, _)) if distance == least => as_near += 1,
            _ => (nearest, as_near) = (Some((distance, name)), 1),
        }
    }
    // Someone who wrote R6 means none of R1 to R5 more than the others.
    nearest.filter(|(distance, name)| *distance <= most(name) && as_near <= 2).map(|(_, name)| name)
}

/// The text in quotes, cut after 40 characters.
pub fn quoted(text: &str) -> String {
    const SHOWN: usize = 40;
    if text.chars().count() <= SHOWN {
        format!("{text:?}")
    } else {
        format!("{:?}…", text.chars().take(SHOWN).collect::<String>())
    }
}

/// The most names that are looked at for one hint.
const MAX_COMPARED_NAMES: usize = 2_000;
/// The longest name that is compared: the distance costs length times length.
const MAX_COMPARED_BYTES: usize = 64;

/// The most letters by which a mistyped name may differ.
fn most(name: &str) -> usize {
    1 + name.len() / 4
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, self.place) {
            (Some(source), Some(place)) => {
                writeln!(f, "{}:{}:{}: {}", source.name, place.line, place.column, self.detail)?;
                write_caret(f, source, place)?;
            }
            (Some(source), None) => writeln!(f, "{}: {}", source.name, self.detail)?,
            (None, _) if self.pointer.is_empty() => writeln!(f, "{}", self.detail)?,
            (None, _) => writeln!(f, "{}: {}", self.pointer, self.detail)?,
        }
        match &self.hint {
            Some(hint) => writeln!(f, "  = {hint}"),
            None => Ok(()),
        }
    }
}

/// The source line with a caret under the place. Of a long line only the part around the place is shown.
fn write_caret(f: &mut fmt::Formatter<'_>, source: &Source, place: Place) -> fmt::Result {
    const SHOWN: usize = 100; // characters of a line
    let Some(line) = source.text.lines().nth(place.line.saturating_sub(1) as usize) else { return Ok(()) };
    let chars: Vec<char> = line.chars().map(printable).collect();
    let column = (place.column.max(1) as usize - 1).min(chars.len());
    let start =
        if chars.len() <= SHOWN { 0 } else { column.saturating_sub(SHOWN / 2).min(chars.len() - SHOWN) };
    let shown: String = chars[start..].iter().take(SHOWN).collect();
    let offset = place.offset as usize;
    let marked = source.text.get(offset..offset + place.length as usize).unwrap_or("");
    let width = marked.lines().next().map_or(1, |l| l.trim_end().chars().map(cells).sum()).clamp(1, SHOWN);
    let pad: usize = chars[start..column].iter().copied().map(cells).sum();
    let number = place.line.to_string();
    writeln!(f, "  {number} | {shown}")?;
    writeln!(f, "  {:gutter$} | {:pad$}{}", "", "", "^".repeat(width), gutter = number.len())
}

/// A character as a terminal may print it. Others could turn the line round or give the terminal orders.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// How many columns a terminal gives a character: two for CJK and full-width forms, else one.
fn cells(c: char) -> usize {
    if matches!(c as u32, 0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0x1f300..=0x1faff | 0x20000..=0x3fffd)
    {
        2
    } else {
        1
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.list {
            write!(f, "{problem}")?;
        }
        if self.omitted > 0 {
            writeln!(f, "and at least {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_its_line_with_a_caret_under_wide_characters_too() {
        let text = "a: 1\n名字: riks == 1\n".to_string();
        let offset = text.find("riks").unwrap() as u32;
        let problem = Problem {
            place: Some(Place { line: 2, column: 5, offset, length: 4 }),
            source: Some(Arc::new(Source { name: "x.yaml".into(), text })),
            ..Problem::new("unknown feature `riks`").nearest("riks", ["age", "risk"])
        };
        assert_eq!(
            problem.to_string(),
            "x.yaml:2:5: unknown feature `riks`\n  2 | 名字: riks == 1\n    |       ^^^^\n  = did you mean `risk`?\n"
        );
    }

    #[test]
    fn nearest_is_silent_when_nothing_is_near() {
        assert_eq!(nearest("risk_tolerence", ["risk_tolerance", "age"]), Some("risk_tolerance"));
        assert_eq!(nearest("xyz", ["risk_tolerance", "age"]), None);
        assert_eq!(nearest("AUM", ["aum"]), Some("aum"));
        assert_eq!(nearest("R6", ["R1", "R2", "R3", "R4", "R5"]), None);
        assert_eq!(nearest("", ["a"]), None);
    }

    #[test]
    fn problems_beyond_the_bound_are_counted() {
        let mut problems = Problems::new();
        for i in 0..MAX_PROBLEMS + 7 {
            problems.push(Problem::new(format!("{i}")));
        }
        assert_eq!((problems.iter().count(), problems.omitted, problems.count()), (100, 7, 107));
        assert!(problems.to_string().ends_with("and at least 7 more\n"));
    }
}
