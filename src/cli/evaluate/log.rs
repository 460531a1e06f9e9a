//! The decisions of a log, read once from start to end.

use std::borrow::Cow;

use super::Args;
use crate::cli::ending::Failure;
use crate::cli::load::Rejection;
use crate::cli::load::objects::fields;
use crate::cli::load::rows::{Content, FileRows, Row};
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
    rows: FileRows,
    /// The place of each needed column of a CSV file.
    places: Vec<(String, usize)>,
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

/// A decision with its line, or why it is rejected.
type Read = Result<(u64, Logged), Rejection>;

impl Log {
    pub(super) fn open(args: &Args) -> Result<Log, Failure> {
        let columns = Columns::said(args);
        let rows = FileRows::open(&args.log, args.format, None, false)?;
        let (mut places, mut unused) = (Vec::new(), Vec::new());
        if let Some(header) = rows.header() {
            let names: Vec<&str> = header.iter().collect();
            places = columns.places(&names)?;
            columns.note_unused(names.iter().copied(), &mut unused);
        }
        Ok(Log { columns, rows, places, unused })
    }

    /// The next decision; `None` at the end of the log.
    pub(super) fn next_decision(&mut self) -> Result<Option<Read>, Failure> {
        let Log { columns, rows, places, unused } = self;
        let Some(Row { line, content, .. }) = rows.read_next()? else { return Ok(None) };
        let rejected = |detail| Err(Rejection { line, column: None, detail });
        Ok(Some(match content {
            Content::Wrong(why) => rejected(why),
            Content::Cells(cells) => {
                let cell = |name: &str| {
                    let place = places.iter().find(|(column, _)| column == name);
                    place.and_then(|(_, i)| cells.get(*i)).map_or(Cell::None, Cell::Text)
                };
                columns.decision(line, cell, |_| String::new())
            }
            Content::Object(text) => match fields(text) {
                Err(why) => rejected(why),
                Ok(object) => {
                    columns.note_unused(object.iter().map(|(key, _)| &*key.text), unused);
                    let cell = |name: &str| {
                        let found = object.iter().find(|(key, _)| key.text == name);
                        found.map_or(Cell::None, |(_, input)| Cell::of(&input.value))
                    };
                    let names = || object.iter().map(|(key, _)| &*key.text).collect::<Vec<_>>();
                    columns.decision(line, cell, |name| missing(name, &names()))
                }
            },
        }))
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
