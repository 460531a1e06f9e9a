//! Column mappings: they turn the columns of a foreign file into features, or into parts of events. The file
//! is translated where it is read; a server knows only its own names.

pub(crate) mod cell;
mod column;
mod notation;
mod target;
mod transform;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use self::column::{Column, Defaults};
pub(crate) use self::notation::Signs;
use self::notation::Usual;
pub(crate) use self::target::PROPERTY;
use self::target::Rows;
use crate::input::cursor::Cursor;
use crate::input::document::Input;
use crate::input::problem::{Problem, Problems, Source, nearest, quoted};
use crate::schema::Schema;
use crate::schema::value::{Time, Value};

/// The column with the customer's id in Usher's own files.
pub const CUSTOMER_COLUMN: &str = "customer";

/// A mapping, checked against a schema but not yet bound to the columns of a file.
#[derive(Debug)]
pub struct Mapping {
    /// The mapping's name, as its file gives it.
    pub name: Box<str>,
    /// The type of the events that its rows are; `None` if they are customers.
    pub event: Option<Box<str>>,
    customer: Vec<Piece<Box<str>>>,
    /// Whether blanks around a text that goes into an id are taken off.
    trim: bool,
    columns: Vec<Column>,
    ignore: Vec<Box<str>>,
    source: Arc<Source>,
}

/// A mapping, bound to the columns of one file.
#[derive(Debug)]
pub struct Translation<'m> {
    customer: Vec<Piece<usize>>,
    trim: bool,
    columns: Vec<(usize, &'m Column)>,
    /// The names of all columns of the file.
    names: Vec<Box<str>>,
    ignore: &'m [Box<str>],
}

/// A part of the template for customer ids.
#[derive(Debug, Clone, PartialEq)]
enum Piece<C> {
    Text(Box<str>),
    /// The number of the data row, from 1.
    Line,
    Column(C),
}

impl Mapping {
    /// Reads the text of an `imports/NAME.yaml`.
    ///
    /// # Errors
    /// All errors in the text, each with line and column.
    pub fn parse(file: &str, text: &str, schema: &Schema) -> Result<Mapping, Problems> {
        let source = Arc::new(Source { name: file.into(), text: text.into() });
        let input = Input::from_yaml(&source)?;
        let mut problems = Problems::new();
        let mapping = read_mapping(Cursor::root(&input, Some(&source)), &source, schema, &mut problems);
        problems.sort();
        match mapping {
            Some(mapping) => problems.or(mapping),
            None => Err(problems),
        }
    }

    /// The columns that the mapping reads, for a file whose rows name their columns themselves.
    pub fn columns(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.columns.iter().map(|column| &*column.name).collect();
        let ids = self.customer.iter().filter_map(|piece| match piece {
            Piece::Column(name) => Some(&**name),
            Piece::Text(_) | Piece::Line => None,
        });
        ids.for_each(|name| {
            if !names.contains(&name) {
                names.push(name);
            }
        });
        names
    }

    /// Finds the mapping's columns in the header of a file.
    ///
    /// # Errors
    /// All columns of the mapping that the file lacks, and all columns of the file that are neither mapped
    /// nor ignored. So no column is dropped unseen.
    pub fn bind<'h>(&self, header: impl IntoIterator<Item = &'h str>) -> Result<Translation<'_>, Problems> {
        let header: Vec<&str> = header.into_iter().collect();
        let mut problems = Problems::new();
        let mut find = |name: &str| {
            let found = header.iter().position(|column| *column == name);
            if found.is_none() {
                let problem = self.problem(format!("the file has no column {}", quoted(name)));
                problems.push(problem.nearest(name, header.iter().copied()));
            }
            found
        };
        let columns: Vec<_> =
            self.columns.iter().filter_map(|column| Some((find(&column.name)?, column))).collect();
        let customer = self.customer.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(Piece::Text(text.clone())),
            Piece::Line => Some(Piece::Line),
            Piece::Column(name) => find(name).map(Piece::Column),
        });
        let customer = customer.collect();
        for (i, name) in header.iter().enumerate() {
            if header[..i].contains(name) {
                problems.push(self.problem(format!("the file has column {} twice", quoted(name))));
            }
        }
        for name in header.iter().filter(|name| !self.knows(name)) {
            let problem =
                self.problem(format!("column {} of the file is neither mapped nor ignored", quoted(name)));
            problems.push(problem.hint("add it to `columns` or to `ignore`"));
        }
        let names = header.iter().map(|name| Box::from(*name)).collect();
        problems.or(Translation { customer, trim: self.trim, columns, names, ignore: &self.ignore })
    }

    fn knows(&self, name: &str) -> bool {
        self.columns.iter().any(|column| *column.name == *name)
            || self.ignore.iter().any(|ignored| **ignored == *name)
            || self.customer.iter().any(|piece| matches!(piece, Piece::Column(column) if **column == *name))
    }

    fn problem(&self, detail: String) -> Problem {
        Problem { source: Some(Arc::clone(&self.source)), ..Problem::new(detail) }
    }
}

impl<'m> Translation<'m> {
    /// The header of the translated file.
    pub fn header(&self) -> impl Iterator<Item = &'m str> {
        std::iter::once(CUSTOMER_COLUMN).chain(self.columns.iter().map(|(_, column)| &*column.target))
    }

    /// The foreign name of a column of the translated file, counted from 0. `None` for the customer's id.
    pub fn foreign_name(&self, column: usize) -> Option<&'m str> {
        self.columns.get(column.checked_sub(1)?).map(|(_, column)| &*column.name)
    }

    /// Translates one row. `line` is the number of the data row, from 1, and `now` the time of the load. A
    /// cell that the row lacks counts as empty.
    ///
    /// # Errors
    /// Each column whose text means nothing, with the reason.
    pub fn row<'a>(
        &'a self,
        cells: &'a [&'a str],
        line: u64,
        now: Time,
    ) -> Result<Vec<Cow<'a, str>>, Vec<(&'m str, String)>> {
        let cell = |index: usize| cell_of(cells, index);
        let map = OnceCell::new(); // only if a transform asks for it, and for all of them together
        let text = |text| Value::Text(Cow::Borrowed(text));
        let entries = || self.names.iter().enumerate().map(|(i, name)| (text(&**name), text(cell(i))));
        let whole = || map.get_or_init(|| Value::Map(entries().collect())).clone();
        let mut row = Vec::with_capacity(1 + self.columns.len());
        row.push(Cow::Owned(self.customer(cells, line)));
        let mut wrong = Vec::new();
        for (index, column) in &self.columns {
            match column.translate(cell(*index), &whole, now) {
                Ok(cell) => row.push(cell),
                Err(why) => wrong.push((&*column.name, why)),
            }
        }
        if wrong.is_empty() { Ok(row) } else { Err(wrong) }
    }

    /// The names of all columns of the file.
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Whether a column is left out on purpose.
    pub fn ignores(&self, name: &str) -> bool {
        self.ignore.iter().any(|ignored| **ignored == *name)
    }

    /// The id of a row's customer.
    pub fn customer(&self, cells: &[&str], line: u64) -> String {
        let cell = |index: usize| cell_of(cells, index);
        let mut customer = String::new();
        for piece in &self.customer {
            match piece {
                Piece::Text(text) => customer.push_str(text),
                Piece::Line => customer.push_str(&line.to_string()),
                Piece::Column(index) if self.trim => customer.push_str(cell(*index).trim()),
                Piece::Column(index) => customer.push_str(cell(*index)),
            }
        }
        customer
    }
}

fn cell_of<'a>(cells: &[&'a str], index: usize) -> &'a str {
    cells.get(index).copied().unwrap_or_default()
}

fn read_mapping(
    root: Cursor<'_, '_>,
    source: &Arc<Source>,
    schema: &Schema,
    problems: &mut Problems,
) -> Option<Mapping> {
    let of_events = root.entry("event").is_some();
    let own = ["import", "description", "event", "customer", "columns", "ignore", "trim"];
    let known = own.into_iter().chain((!of_events).then_some("empty")); // an event has nothing to clear
    let known: Vec<&'static str> = known.chain(Usual::FIELDS).collect();
    let object = root.object(&known, problems)?;
    let name = object.required("import", problems).and_then(|c| c.text(problems));
    let customer = object.required("customer", problems).and_then(|c| read_template(c, problems));
    let ignore = object.get("ignore").map(|c| read_texts(c, problems)).unwrap_or_default();
    let defaults = Defaults::read(&object, problems);
    let rows = match object.get("event") {
        Some(at) => {
            let found = schema.find_event(at.text(problems)?);
            let event = found.map_err(|problem| problems.push(at.placed(problem))).ok()?;
            Rows::Events(&schema.events()[event])
        }
        None => Rows::Customers(schema),
    };
    let mut columns: Vec<Column> = Vec::new();
    if let Some(cursor) = object.required("columns", problems) {
        for (name, cursor) in cursor.entries(problems).unwrap_or_default() {
            let Some(column) = Column::read(name, &cursor, (&defaults, rows, schema.zone()), problems) else {
                continue;
            };
            if columns.iter().any(|earlier| earlier.target == column.target) {
                let what = if of_events { "field" } else { "feature" };
                problems.push(cursor.problem(format!("{what} `{}` is given twice", column.target)));
            }
            if ignore.iter().any(|ignored| **ignored == *name) {
                problems
                    .push(cursor.key_problem(format!("column {} is both mapped and ignored", quoted(name))));
            }
            columns.push(column);
        }
    }
    let trim = defaults.trim;
    Some(Mapping {
        name: name?.into(),
        event: match rows {
            Rows::Events(event) => Some(event.name.clone()),
            Rows::Customers(_) => None,
        },
        customer: customer?,
        trim,
        columns,
        ignore,
        source: Arc::clone(source),
    })
}

fn read_texts(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Vec<Box<str>> {
    let mut texts = Vec::new();
    for item in cursor.items(problems).into_iter().flatten() {
        texts.extend(item.text(problems).map(Box::from));
    }
    texts
}

/// Reads a template such as `uci-{line}` or `{branch}-{number}`.
fn read_template(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Option<Vec<Piece<Box<str>>>> {
    let mut rest = cursor.text(problems)?;
    let mut pieces = Vec::new();
    while let Some((text, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            problems.push(cursor.problem("a `{` without its `}`"));
            return None;
        };
        if !text.is_empty() {
            pieces.push(Piece::Text(text.into()));
        }
        pieces.push(if name == "line" { Piece::Line } else { Piece::Column(name.into()) });
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.into()));
    }
    if pieces.iter().all(|piece| matches!(piece, Piece::Text(_))) {
        let problem = cursor.problem("every row would be the same customer");
        problems
            .push(problem.hint("use {line}, the number of the data row, or {COLUMN}, that column's text"));
    }
    Some(pieces)
}

/// Checks that a header belongs to one of Usher's own files.
///
/// # Errors
/// The header has no column `customer`. The text says what to try.
pub fn check_native<'h>(header: impl IntoIterator<Item = &'h str> + Clone) -> Result<(), String> {
    if header.clone().into_iter().any(|column| column.trim() == CUSTOMER_COLUMN) {
        return Ok(());
    }
    Err(match nearest(CUSTOMER_COLUMN, header) {
        Some(near) => format!("the file has no column `{CUSTOMER_COLUMN}`; is it `{near}`?"),
        None => format!(
            "the file has no column `{CUSTOMER_COLUMN}`; a foreign file needs --mapping imports/NAME.yaml"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "
schema: s
features:
  age: {kind: int, min: 0, max: 120}
  in_default: {kind: bool}
  job: {kind: enum, values: [management, services]}
  tags: {kind: set, values: [a, b]}
";
    const MAPPING: &str = "
import: bank-full
customer: 'uci-{line}-{branch}'
columns:
  age:     {feature: age, missing: ['-1']}
  default: {feature: in_default, values: {'yes': true, 'no': false}}
  job:     {feature: job, missing: [unknown]}
  flags:   {feature: tags, values: {both: [a, b], none: []}, empty: clear}
ignore: [y]
";

    fn mapping(text: &str) -> Result<Mapping, Problems> {
        Mapping::parse("bank.yaml", text, &Schema::parse("s", SCHEMA).unwrap())
    }

    #[test]
    fn rows_are_translated() {
        let mapping = mapping(MAPPING).unwrap();
        let bound = mapping.bind(["y", "branch", "flags", "age", "default", "job"]).unwrap();
        assert_eq!(bound.header().collect::<Vec<_>>(), ["customer", "age", "in_default", "job", "tags"]);
        let row = |cells: &[&str]| bound.row(cells, 7, Time(0)).unwrap().join(",");
        assert_eq!(row(&["no", "b1", "both", "58", "yes", "management"]), "uci-7-b1,58,true,management,a|b");
        assert_eq!(row(&["no", "b1", "", "-1", "no", "unknown"]), "uci-7-b1,null,false,null,null");
        assert_eq!(row(&["no", "b1", "both", "", "", ""]), "uci-7-b1,,,,a|b", "empty cells keep");
        assert_eq!(row(&["no", "b1", "none", "", "", ""]), "uci-7-b1,,,,|", "a set without words");
        assert_eq!(row(&["no", "b1"]), "uci-7-b1,,,,null", "a short row");
        assert_eq!((bound.foreign_name(0), bound.foreign_name(2)), (None, Some("default")));
    }

    #[test]
    fn an_empty_cell_means_what_the_mapping_says() {
        let cells = |all: &str, own: &str| {
            let text =
                format!("import: x\ncustomer: '{{id}}'\n{all}\ncolumns:\n  a: {{feature: age{own}}}\n");
            let mapping = mapping(&text).map_err(|problems| problems.to_string())?;
            let bound = mapping.bind(["id", "a"]).map_err(|problems| problems.to_string())?;
            let row = ["c", ""];
            let text = bound.row(&row, 1, Time(0)).unwrap().last().unwrap().clone().into_owned();
            Ok::<String, String>(text)
        };
        for (all, own, cell) in [
            ("", "", ""),
            ("empty: keep", "", ""),
            ("empty: clear", "", "null"),
            ("empty: clear", ", empty: keep", ""),
            ("", ", empty: clear", "null"),
            ("", ", missing: ['']", "null"),
            ("empty: keep", ", missing: ['']", "null"),
            ("empty: clear", ", values: {'': 7}", "7"),
        ] {
            assert_eq!(cells(all, own).as_deref(), Ok(cell), "{all} {own}");
        }
        for (all, own, said) in [
            ("empty: clears", "", "expected `keep` or `clear`, found \"clears\""),
            ("", ", empty: keep, missing: ['']", "already says what an empty cell means"),
            ("", ", empty: clear, values: {'': 7}", "already says what an empty cell means"),
            ("", ", values: {'-': 7}, missing: ['-']", "\"-\" is both a value and missing"),
        ] {
            let problems = cells(all, own).unwrap_err();
            assert!(problems.contains(said), "{all} {own}: {problems}");
        }
    }

    #[test]
    fn columns_that_do_not_match_are_all_reported() {
        let mapping = mapping(MAPPING).unwrap();
        let text = mapping.bind(["ages", "default", "job", "flags", "balance", "y"]).unwrap_err().to_string();
        for expected in [
            "no column \"age\"",
            "did you mean `ages`?",
            "no column \"branch\"",
            "\"ages\" of the file is neither",
            "\"balance\" of the file is neither",
        ] {
            assert!(text.contains(expected), "{expected}:\n{text}");
        }
    }

    #[test]
    fn a_mapping_is_checked_against_the_schema() {
        let text = "
import: x
customer: 'uci'
columns:
  a: {feature: agee}
  b: {feature: job, values: {m: manager}}
  c: {feature: age, vales: {}}
  d: {feature: age}
ignore: [d]
";
        let text = mapping(text).unwrap_err().to_string();
        for expected in [
            "bank.yaml:3:11: every row would be the same customer",
            "bank.yaml:5:16: unknown feature \"agee\"",
            "\"manager\" is not one of",
            "did you mean `values`?",
            "`age` is given twice",
            "both mapped and ignored",
        ] {
            assert!(text.contains(expected), "{expected}:\n{text}");
        }
    }

    /// What a mapping of payments with these columns makes of a row `c-1`, `1,5`, `1.11.2026`.
    fn payment(head: &str, columns: &str) -> Result<(String, String), String> {
        let schema = "schema: s\nfeatures: {age: {kind: int}}\nevents:\n  payment: {properties: \
                      {amount: {kind: decimal, scale: 2, min: 0, max: 100}, at: {kind: string}}}";
        let schema = Schema::parse("s", schema).unwrap();
        let text = format!("import: x\ncustomer: '{{id}}'\n{head}\ncolumns: {{{columns}}}\n");
        let mapping = Mapping::parse("m", &text, &schema).map_err(|problems| problems.to_string())?;
        assert_eq!(mapping.event.as_deref(), Some("payment"));
        let bound = mapping.bind(["id", "a", "b"]).map_err(|problems| problems.to_string())?;
        let row = bound.row(&["c-1", "1,5", "1.11.2026"], 1, Time(0)).map_err(|wrong| wrong[0].1.clone())?;
        Ok((bound.header().collect::<Vec<_>>().join(" "), row.join(" ")))
    }

    #[test]
    fn a_mapping_of_events_leads_to_properties_and_fields() {
        let amount = "a: {property: amount, decimal: ','}";
        for (head, columns, expected) in [
            (
                "event: payment",
                format!("{amount}, b: {{field: at, format: '%d.%m.%Y', zone: UTC}}"),
                Ok(("customer properties.amount at", "c-1 1.5 2026-11-01T00:00:00Z")),
            ),
            (
                "event: payment\nzone: Asia/Shanghai",
                format!("{amount}, b: {{field: at, format: '%d.%m.%Y'}}"),
                Ok(("customer properties.amount at", "c-1 1.5 2026-10-31T16:00:00Z")),
            ),
            (
                "event: payment",
                "a: {field: id}, b: {property: at, missing: [1.11.2026]}".to_owned(),
                Ok(("customer id properties.at", "c-1 1,5 null")),
            ),
            ("event: paymnt", amount.to_owned(), Err("did you mean `payment`?")),
            ("event: payment", "a: {property: amont}".to_owned(), Err("did you mean `amount`?")),
            ("event: payment", "a: {field: when}".to_owned(), Err("fields are id, token, offer, placement,")),
            ("event: payment", "a: {feature: age}".to_owned(), Err("unknown field \"feature\"")),
            ("event: payment", "a: {missing: [x]}".to_owned(), Err("expected either `property` or `field`")),
            (
                "event: payment",
                "a: {property: at, field: at}".to_owned(),
                Err("expected either `property` or `field`"),
            ),
            (
                "event: payment",
                format!("{amount}, b: {{property: amount}}"),
                Err("field `properties.amount` is given twice"),
            ),
            ("event: payment\nempty: clear", amount.to_owned(), Err("unknown field \"empty\"")),
            (
                "event: payment",
                "a: {property: amount, empty: keep}".to_owned(),
                Err("unknown field \"empty\""),
            ),
            (
                "event: payment",
                "a: {field: channel, decimal: ','}".to_owned(),
                Err("`decimal` says nothing of a value of kind string"),
            ),
            ("", "a: {property: amount}".to_owned(), Err("unknown field \"property\"")),
        ] {
            match (payment(head, &columns), expected) {
                (Ok((header, row)), Ok(expected)) => assert_eq!((&*header, &*row), expected),
                (Err(found), Err(said)) => assert!(found.contains(said), "{head} {columns}: {found}"),
                (found, _) => panic!("{head} {columns}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_foreign_file_without_mapping_says_what_to_try() {
        assert!(check_native(["customer", "age"]).is_ok());
        assert!(check_native(["age", " customer"]).is_ok());
        assert!(check_native(["Customer", "age"]).unwrap_err().contains("is it `Customer`?"));
        assert!(check_native(["id", "age"]).unwrap_err().contains("--mapping"));
    }
}
