//! The decisions of a log, read once from start to end.

use std::borrow::Cow;

use super::Args;
use crate::cli::ending::Failure;
use crate::cli::load::Rejection;
use crate::cli::load::objects::{Objects, fields};
use crate::cli::load::open::{CsvStart, Format, csv_start, format_of, open};
use crate::cli::load::records::{LeftOut, Log as Lines, Records, records};
use crate::input::document::InputValue;
use crate::input::problem::nearest;
use crate::insight::evaluation::{ExpectedReward, Logged, LoggedPart};

/// The most column names that are listed when one is missing.
const MAX_LISTED: usize = 20;

/// The most names of columns that are noted as not used.
pub(super) const MAX_UNUSED: usize = 100;

/// An open log and the columns to read from it.
pub(super) struct Log {
    columns: Columns,
    source: Source,
    /// Columns that are not used, in the order in which they came, up to [`MAX_UNUSED`].
    unused: Vec<String>,
}

/// The log's names for the columns that an estimate needs.
struct Columns {
    reward: String,
    propensity: String,
    target: Target,
    /// Columns of what a model expects of the choice, and of the other policy.
    model: (String, String),
    /// Whether the model's columns were named, so that they must be there.
    model_said: bool,
}

enum Target {
    Column(String),
    /// The other policy has this probability everywhere.
    Always(f64),
}

enum Source {
    Csv {
        reader: Box<csv::Reader<Records>>,
        lines: Lines,
        /// The number of columns in the file, and the index of each needed column.
        width: usize,
        places: Vec<(String, usize)>,
        left_out: Vec<Rejection>,
    },
    Objects(Objects),
}
/// A decision with its line, or why it is rejected.
type Read = Result<(u64, Logged), Rejection>;

impl Log {
    pub(super) fn open(args: &Args) -> Result<Log, Failure> {
        let columns = Columns::said(args);
        let mut unused = Vec::new();
        let (inner, mut reader) = open(&args.log)?;
        let source = match format_of(&args.log, &inner, args.format)? {
            format @ (Format::Ndjson | Format::Json) => {
                Source::Objects(Objects::new(reader, format == Format::Json)?)
            }
            Format::Csv => {
                let unreadable = |e: &dyn std::fmt::Display| {
                    Failure::new(format!("cannot read {}: {e}", args.log.display()))
                };
                let CsvStart { delimiter, header_line } =
                    csv_start(&mut *reader).map_err(|e| unreadable(&e))?;
                let (records, lines) = records(reader, delimiter, header_line);
                let mut builder = csv::ReaderBuilder::new();
                let mut reader = Box::new(builder.delimiter(delimiter).flexible(true).from_reader(records));
                let header = reader.headers().map_err(|e| unreadable(&e))?.clone();
                if let Some(wrong) = lines.take_left_out().first() {
                    return Err(unreadable(&wrong.detail).hint("a CSV file begins with a header line"));
                }
                if header.is_empty() {
                    return Err(unreadable(&"it is empty").hint("a CSV file begins with a header line"));
                }
                let names: Vec<&str> = header.iter().collect();
                let places = columns.places(&names)?;
                columns.note_unused(names.iter().copied(), &mut unused);
                Source::Csv { reader, lines, width: names.len(), places, left_out: Vec::new() }
            }
        };
        Ok(Log { columns, source, unused })
    }

    /// The next decision; `None` at the end of the log.
    pub(super) fn next_decision(&mut self) -> Result<Option<Read>, Failure> {
        let Log { columns, source, unused } = self;
        match source {
            Source::Csv { reader, lines, width, places, left_out } => {
                if let Some(rejection) = left_out.pop() {
                    return Ok(Some(Err(rejection)));
                }
                let read = next_record(reader, lines, *width)?;
                let rejected = |LeftOut { line, detail, .. }| Rejection { line, column: None, detail };
                left_out.extend(lines.take_left_out().into_iter().map(rejected).rev());
                // Rejected records came before the record that was read. Their order matters less than that
                // none is lost.
                match read {
                    Some((line, Ok(record))) => {
                        let cell = |name: &str| {
                            let place = places.iter().find(|(column, _)| column == name);
                            place.and_then(|(_, i)| record.get(*i)).map_or(Cell::None, Cell::Text)
                        };
                        Ok(Some(columns.decision(line, cell, |_| String::new())))
                    }
                    Some((line, Err(detail))) => Ok(Some(Err(Rejection { line, column: None, detail }))),
                    None => Ok(left_out.pop().map(Err)),
                }
            }
            Source::Objects(objects) => {
                let Some(line) = objects.read_next()? else { return Ok(None) };
                let rejected = |detail| Ok(Some(Err(Rejection { line, column: None, detail })));
                let object = match fields(&objects.text) {
                    Ok(object) => object,
                    Err(why) => return rejected(why),
                };
                columns.note_unused(object.iter().map(|(key, _)| &*key.text), unused);
                let cell = |name: &str| {
                    let found = object.iter().find(|(key, _)| key.text == name);
                    found.map_or(Cell::None, |(_, input)| Cell::of(&input.value))
                };
                let absent =
                    |name: &str| missing(name, &object.iter().map(|(key, _)| &*key.text).collect::<Vec<_>>());
                Ok(Some(columns.decision(line, cell, absent)))
            }
        }
    }

    /// The columns that are not used, each with the column that may have been meant.
    pub(super) fn unused(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let (logged, target) = &self.columns.model;
        let meant = move |name: &str| nearest(name, [logged.as_str(), target.as_str()]);
        self.unused.iter().map(move |name| (name.as_str(), meant(name)))
    }

    /// What is wrong with a line that has no model's columns, if others have them.
    pub(super) fn without_model(&self, line: u64) -> Rejection {
        let (logged, target) = &self.columns.model;
        let detail = format!(
            "it has no `{logged}` and `{target}`, but other lines have: a doubly robust estimate takes both in every line"
        );
        Rejection { line, column: None, detail }
    }
}

/// The contents of a cell.
enum Cell<'a> {
    /// There is no such column.
    None,
    Number(f64),
    Text(&'a str),
    /// Something that is no number, in words.
    Other(String),
}

impl<'a> Cell<'a> {
    fn of(value: &'a InputValue<'_>) -> Cell<'a> {
        match value {
            InputValue::Bool(yes) => Cell::Number(f64::from(u8::from(*yes))),
            InputValue::Int(number) => Cell::Number(*number as f64),
            InputValue::Float(number) => Cell::Number(*number),
            InputValue::Text(text) => Cell::Text(text),
            other => Cell::Other(other.describe()),
        }
    }

    /// The number; `absent` says what is wrong if there is no such column.
    fn number(&self, absent: impl FnOnce() -> String) -> Result<f64, String> {
        match self {
            Cell::None => Err(absent()),
            Cell::Number(number) => Ok(*number),
            Cell::Other(found) => Err(format!("expected a number, found {found}")),
            Cell::Text(text) => match text.trim() {
                "" => Err("expected a number, found an empty cell".into()),
                "true" | "True" => Ok(1.0),
                "false" | "False" => Ok(0.0),
                text => text.parse().map_err(|_| format!("expected a number, found {}", shown(text))),
            },
        }
    }
}

impl Columns {
    fn said(args: &Args) -> Columns {
        let target = match args.target_uniform {
            Some(n) => Target::Always(1.0 / f64::from(n)),
            None => Target::Column(args.target.clone()),
        };
        let or = |said: &Option<String>, usual: &str| said.clone().unwrap_or_else(|| usual.to_owned());
        Columns {
            reward: args.reward.clone(),
            propensity: args.propensity.clone(),
            target,
            model: (or(&args.expected, "expected"), or(&args.expected_target, "expected_target")),
            model_said: args.expected.is_some() || args.expected_target.is_some(),
        }
    }

    /// Notes the columns that nothing is read from.
    fn note_unused<'n>(&self, names: impl Iterator<Item = &'n str>, unused: &mut Vec<String>) {
        let (logged, target) = &self.model;
        let used = |name: &str| {
            name == self.reward
                || name == self.propensity
                || matches!(&self.target, Target::Column(column) if name == column)
                || name == logged
                || name == target
        };
        for name in names.filter(|name| !used(name)) {
            if unused.len() < MAX_UNUSED && !unused.iter().any(|known| known == name) {
                unused.push(name.to_owned());
            }
        }
    }

    /// The index of each needed column of a CSV file. Each must appear exactly once. Those of a model are
    /// needed if one of them is there or was named.
    fn places(&self, names: &[&str]) -> Result<Vec<(String, usize)>, Failure> {
        let mut needed = vec![(&self.reward, "--reward"), (&self.propensity, "--propensity")];
        if let Target::Column(name) = &self.target {
            needed.push((name, "--target"));
        }
        let (logged, target) = &self.model;
        let has = |name: &String| names.contains(&name.as_str());
        if self.model_said || has(logged) || has(target) {
            let (there, gone) = if has(logged) { (logged, target) } else { (target, logged) };
            if !has(gone) {
                let failure = Failure::new(missing(gone, names));
                return Err(
                    failure.hint(format!("a doubly robust estimate takes both `{there}` and `{gone}`"))
                );
            }
            needed.extend([(logged, "--expected"), (target, "--expected-target")]);
        }
        let place = |(name, flag): (&String, &str)| {
            let mut found = (0..names.len()).filter(|i| names[*i] == name);
            match (found.next(), found.next()) {
                (Some(place), None) => Ok((name.clone(), place)),
                (None, _) => {
                    let hint = format!("name the log's column with {flag} COLUMN");
                    Err(Failure::new(missing(name, names)).hint(hint))
                }
                _ => Err(Failure::new(format!("the log has more than one column `{name}`"))),
            }
        };
        needed.into_iter().map(place).collect()
    }

    /// The decision of a line. A line has both columns of a model or none, unless they were named: then it
    /// has both. So what becomes of a line does not depend on the lines before it.
    fn decision<'a>(
        &self,
        line: u64,
        cell: impl Fn(&str) -> Cell<'a>,
        absent: impl Fn(&str) -> String,
    ) -> Read {
        let number = |name: &String| {
            let read = cell(name).number(|| absent(name));
            read.map_err(|detail| Rejection { line, column: Some(name.clone()), detail })
        };
        let target = match &self.target {
            Target::Column(name) => number(name)?,
            Target::Always(probability) => *probability,
        };
        let (expected, expected_target) = &self.model;
        let has = |name: &String| !matches!(cell(name), Cell::None);
        let model = match self.model_said || has(expected) || has(expected_target) {
            true => Some(ExpectedReward { logged: number(expected)?, target: number(expected_target)? }),
            false => None,
        };
        let logged =
            Logged { reward: number(&self.reward)?, propensity: number(&self.propensity)?, target, model };
        let wrong = |(part, detail): (LoggedPart, &str)| {
            let (name, value) = self.part(part, &logged);
            Rejection { line, column: Some(name), detail: format!("{detail}, found {value:?}") }
        };
        logged.check().map_err(wrong).map(|()| (line, logged))
    }

    /// The column of a part, and its value.
    fn part(&self, part: LoggedPart, logged: &Logged) -> (String, f64) {
        let expected = logged.model.unwrap_or(ExpectedReward { logged: 0.0, target: 0.0 });
        let model = self.model.clone();
        match part {
            LoggedPart::Reward => (self.reward.clone(), logged.reward),
            LoggedPart::Propensity => (self.propensity.clone(), logged.propensity),
            LoggedPart::Target => match &self.target {
                Target::Column(name) => (name.clone(), logged.target),
                Target::Always(_) => ("target".into(), logged.target),
            },
            LoggedPart::Expected => (model.0, expected.logged),
            LoggedPart::ExpectedTarget => (model.1, expected.target),
        }
    }
}

/// The line of a record, and the record or why it is rejected.
type Numbered = (u64, Result<csv::StringRecord, String>);

/// The next record; `None` at the end of the log.
fn next_record(
    reader: &mut csv::Reader<Records>,
    lines: &Lines,
    width: usize,
) -> Result<Option<Numbered>, Failure> {
    let mut record = csv::StringRecord::new();
    let (position, wrong) = match reader.read_record(&mut record) {
        Ok(false) => return Ok(None),
        Ok(true) if record.len() == width => (record.position().cloned(), None),
        Ok(true) => {
            let detail = format!("expected {} cells, found {}", width, record.len());
            (record.position().cloned(), Some(detail))
        }
        Err(e) => match e.kind() {
            csv::ErrorKind::Utf8 { pos, err } => {
                (pos.clone(), Some(format!("cell {} is not UTF-8", err.field() + 1)))
            }
            _ => return Err(Failure::new(format!("cannot read further: {e}"))),
        },
    };
    let line = lines.line_of(position.map_or(0, |position| position.byte()));
    Ok(Some((line, wrong.map_or(Ok(record), Err))))
}

fn missing(name: &str, names: &[&str]) -> String {
    match nearest(name, names.iter().copied()) {
        Some(meant) => format!("there is no column `{name}`; did you mean `{meant}`?"),
        None => {
            let more = if names.len() > MAX_LISTED { ", …" } else { "" };
            let listed: Vec<Cow<'_, str>> = names.iter().take(MAX_LISTED).map(|name| shown(name)).collect();
            format!("there is no column `{name}`; the columns are {}{more}", listed.join(", "))
        }
    }
}

/// A text from a file, shortened to be shown.
fn shown(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("`{}…`", &text[..end]).into(),
        None => format!("`{text}`").into(),
    }
}
