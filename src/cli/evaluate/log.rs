//! The decisions of a log, read once from start to end.

use std::borrow::Cow;
use std::io::BufRead;

use serde_json::{Map, Value};

use super::Args;
use crate::cli::ending::Failure;
use crate::cli::load::Rejection;
use crate::cli::load::records::{Log as Lines, Records, records};
use crate::cli::load::rows::{Format, MAX_LINE_BYTES, delimiter_of, format_of, open, wrong_record};
use crate::input::problem::nearest;
use crate::insight::evaluation::{ExpectedReward, Logged, LoggedPart};

/// The most column names that are listed when one is missing.
const MAX_LISTED: usize = 20;

/// An open log and the columns to read from it.
pub(super) struct Log {
    columns: Columns,
    source: Source,
}

/// The log's names for the columns that an estimate needs.
struct Columns {
    reward: String,
    propensity: String,
    target: Target,
    /// Columns of the choice and of the other policy. `None` once it is known that there is no model.
    model: Option<(String, String)>,
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
    Ndjson {
        reader: Box<dyn BufRead>,
        line: u64,
        first: bool,
    },
}
/// A decision with its line, or why it is rejected.
type Read = Result<(u64, Logged), Rejection>;

impl Log {
    pub(super) fn open(args: &Args) -> Result<Log, Failure> {
        let mut columns = Columns::said(args);
        let (inner, mut reader) = open(&args.log)?;
        let source = match format_of(&args.log, &inner, args.format)? {
            Format::Ndjson => Source::Ndjson { reader, line: 0, first: true },
            Format::Csv => {
                let unreadable = |e: &dyn std::fmt::Display| {
                    Failure::new(format!("cannot read {}: {e}", args.log.display()))
                };
                let delimiter = delimiter_of(reader.fill_buf().map_err(|e| unreadable(&e))?);
                let (records, lines) = records(reader, delimiter);
                let mut builder = csv::ReaderBuilder::new();
                let mut reader = Box::new(builder.delimiter(delimiter).flexible(true).from_reader(records));
                let header = reader.headers().map_err(|e| unreadable(&e))?.clone();
                if let Some(wrong) = lines.take_rejected().first() {
                    return Err(unreadable(&wrong.detail).hint("a CSV file begins with a header line"));
                }
                if header.is_empty() {
                    return Err(unreadable(&"it is empty").hint("a CSV file begins with a header line"));
                }
                let names: Vec<&str> = header.iter().collect();
                columns.look(&names)?;
                let places = columns.places(&names)?;
                Source::Csv { reader, lines, width: names.len(), places, left_out: Vec::new() }
            }
        };
        Ok(Log { columns, source })
    }

    /// The next decision; `None` at the end of the log.
    pub(super) fn next_decision(&mut self) -> Result<Option<Read>, Failure> {
        let columns = &mut self.columns;
        match &mut self.source {
            Source::Csv { reader, lines, width, places, left_out } => {
                if let Some(rejection) = left_out.pop() {
                    return Ok(Some(Err(rejection)));
                }
                let read = next_record(reader, lines, *width)?;
                left_out.extend(lines.take_rejected().into_iter().rev());
                // Rejected records came before the record that was read. Their order matters less than that
                // none is lost.
                match read {
                    Some((line, Ok(record))) => {
                        let cell = |name: &str| {
                            let place = places.iter().find(|(column, _)| column == name);
                            Ok(place.and_then(|(_, i)| record.get(*i)).map_or(Cell::Missing, Cell::Text))
                        };
                        Ok(Some(columns.decision(line, cell)))
                    }
                    Some((line, Err(detail))) => Ok(Some(Err(Rejection { line, column: None, detail }))),
                    None => Ok(left_out.pop().map(Err)),
                }
            }
            Source::Ndjson { reader, line, first } => {
                let Some(text) = next_line(reader, line)? else { return Ok(None) };
                let object: Map<String, Value> = match serde_json::from_slice(&text) {
                    Ok(object) => object,
                    Err(e) => {
                        let detail = format!("expected a JSON object: {e}");
                        return Ok(Some(Err(Rejection { line: *line, column: None, detail })));
                    }
                };
                if std::mem::take(first) {
                    columns.look(&object.keys().map(String::as_str).collect::<Vec<_>>())?;
                }
                let cell = |name: &str| match object.get(name) {
                    Some(Value::Number(number)) => Ok(Cell::Number(number.as_f64().unwrap_or(f64::NAN))),
                    Some(Value::Bool(yes)) => Ok(Cell::Number(f64::from(u8::from(*yes)))),
                    Some(Value::String(text)) => Ok(Cell::Text(text)),
                    Some(other) => Err(format!("expected a number, found {other}")),
                    None => Err(missing(name, &object.keys().map(String::as_str).collect::<Vec<_>>())),
                };
                Ok(Some(columns.decision(*line, cell)))
            }
        }
    }
}

/// The contents of a cell.
enum Cell<'a> {
    Missing,
    Number(f64),
    Text(&'a str),
}

impl Cell<'_> {
    fn number(&self) -> Result<f64, String> {
        match self {
            Cell::Missing => Err("expected a number, found nothing".into()),
            Cell::Number(number) => Ok(*number),
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
            model: Some((or(&args.expected, "expected"), or(&args.expected_target, "expected_target"))),
            model_said: args.expected.is_some() || args.expected_target.is_some(),
        }
    }

    /// Finds out whether there is a model. One of its columns without the other is an error.
    fn look(&mut self, names: &[&str]) -> Result<(), Failure> {
        let Some((logged, target)) = &self.model else { return Ok(()) };
        match (names.contains(&logged.as_str()), names.contains(&target.as_str())) {
            (true, true) => Ok(()),
            (false, false) if !self.model_said => {
                self.model = None;
                Ok(())
            }
            (has_logged, _) => {
                let (there, gone) = if has_logged { (logged, target) } else { (target, logged) };
                let failure = Failure::new(missing(gone, names));
                Err(failure.hint(format!("a doubly robust estimate takes both `{there}` and `{gone}`")))
            }
        }
    }

    /// The index of each needed column. Each must appear exactly once.
    fn places(&self, names: &[&str]) -> Result<Vec<(String, usize)>, Failure> {
        let mut needed = vec![(&self.reward, "--reward"), (&self.propensity, "--propensity")];
        if let Target::Column(name) = &self.target {
            needed.push((name, "--target"));
        }
        let model = self.model.iter().flat_map(|(a, b)| [(a, "--expected"), (b, "--expected-target")]);
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
        needed.into_iter().chain(model).map(place).collect()
    }

    fn decision<'a>(&self, line: u64, cell: impl Fn(&str) -> Result<Cell<'a>, String>) -> Read {
        let number = |name: &String| {
            let read = cell(name).and_then(|cell| cell.number());
            read.map_err(|detail| Rejection { line, column: Some(name.clone()), detail })
        };
        let target = match &self.target {
            Target::Column(name) => number(name)?,
            Target::Always(probability) => *probability,
        };
        let model = match &self.model {
            Some((logged, target)) => {
                Some(ExpectedReward { logged: number(logged)?, target: number(target)? })
            }
            None => None,
        };
        let logged =
            Logged { reward: number(&self.reward)?, propensity: number(&self.propensity)?, target, model };
        let wrong = |(part, detail): (LoggedPart, &str)| {
            let (name, value) = self.part(part, &logged);
            Rejection { line, column: Some(name), detail: format!("{detail}, found {value}") }
        };
        logged.check().map_err(wrong).map(|()| (line, logged))
    }

    /// The column of a part, and its value.
    fn part(&self, part: LoggedPart, logged: &Logged) -> (String, f64) {
        let expected = logged.model.unwrap_or(ExpectedReward { logged: 0.0, target: 0.0 });
        let model = self.model.clone().unwrap_or_default();
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
        Err(e) => wrong_record(&e)?,
    };
    let line = lines.line_of(position.map_or(0, |position| position.byte()));
    Ok(Some((line, wrong.map_or(Ok(record), Err))))
}

/// The next line that is not blank.
fn next_line(reader: &mut Box<dyn BufRead>, line: &mut u64) -> Result<Option<Vec<u8>>, Failure> {
    let mut text = Vec::new();
    loop {
        text.clear();
        let read = std::io::Read::take(&mut *reader, MAX_LINE_BYTES).read_until(b'\n', &mut text);
        if read.map_err(|e| Failure::new(format!("cannot read further after line {line}: {e}")))? == 0 {
            return Ok(None);
        }
        *line += 1;
        if text.len() as u64 == MAX_LINE_BYTES && !text.ends_with(b"\n") {
            let what = format!("line {line} is longer than {MAX_LINE_BYTES} bytes: is this NDJSON?");
            return Err(Failure::new(what));
        }
        if !text.trim_ascii().is_empty() {
            return Ok(Some(text));
        }
    }
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
