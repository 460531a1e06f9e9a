//! `POST /v1/customers`: many customers at once, as CSV or with one JSON object per line. A bad row is
//! rejected, and the others are taken.

use ::csv::ByteRecord;

use crate::customer::id::CustomerId;
use crate::customer::update::{Change, Erasure, Update, read_fields};
use crate::http::bounds::{MAX_BULK_ROWS, MAX_ROW_BYTES, MAX_ROW_LINES};
use crate::http::call::Call;
use crate::http::wire::answer::Answer;
use crate::http::wire::body::ReceivedBody;
use crate::http::wire::csv;
use crate::http::wire::csv::Broken;
use crate::http::wire::encode::Encode;
use crate::http::wire::media;
use crate::http::wire::media::Media;
use crate::http::wire::reading::Body;
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::http::wire::room::Share;
use crate::http::wire::{answer, query};
use crate::input::cursor::Cursor;
use crate::input::document::{Input, InputValue};
use crate::input::invisible::without_mark;
use crate::input::problem::{Place, Problem, Problems, quoted};
use crate::schema::{FeatureId, Schema};

/// How many rows one record holds.
const CHUNK: usize = 1000;

/// What a row does to a customer who is known already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Sets the given features and keeps the others.
    Upsert,
    /// Sets the given features and clears the others.
    Replace,
    /// Erases the customer; a row gives nothing but their id.
    Erase,
}

/// What an empty cell of a CSV row does to the feature of a customer who is known already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Empty {
    /// Nothing: the row does not give the feature.
    Keep,
    /// Clears it.
    Clear,
}

/// What a request says of the load.
struct Parameters {
    mode: Mode,
    /// `None` if the request does not say.
    empty: Option<Empty>,
    dry_run: bool,
    max_errors: Option<u64>,
    /// Whether the answer names every rejected row.
    rejects: bool,
}

/// What was read from a body.
struct LoadedRows {
    updates: Vec<Update>,
    rejected: usize,
    /// The first errors, each with its line and column in the body.
    errors: Problems,
    /// The first error of each rejected row, if the request wants them.
    rejects: Option<Vec<Problem>>,
    /// Memory of the body and of these rows.
    share: Share,
}

/// Reads all rows, then writes those that are correct.
pub(crate) async fn post(call: &Call<'_>, body: Body<'_>) -> Result<Answer, Refusal> {
    let Parameters { mode, empty, dry_run, max_errors, rejects } = parameters(call)?;
    let media = media::of_body(call.head, &[Media::Csv, Media::Lines])?;
    if empty.is_some() && media == Media::Lines {
        let problem = query::problem("empty", "NDJSON has no cells");
        return Err(Refusal::problem(problem.hint("`null` clears a feature; one that is left out stays")));
    }
    let empty = empty.unwrap_or(Empty::Keep);
    let content = call.body(body).await?;
    let schema = call.node.live().engine.schema.clone();
    let ReceivedBody { bytes, share } = content;
    // Off the request thread, so that decisions on other connections go on.
    let rows = tokio::task::spawn_blocking(move || {
        let rows = LoadedRows::new(share, rejects);
        match media {
            Media::Csv => read_csv(&bytes, rows, &schema, mode, empty),
            _ => read_lines(&bytes, rows, &schema, mode),
        }
    });
    let rows = rows.await.map_err(|_| Refusal::new(ProblemKind::Internal, "reading the rows failed"))??;
    if max_errors.is_some_and(|max| rows.rejected as u64 > max) {
        return Err(Refusal::problems(ProblemKind::Unprocessable, rows.errors).applied(0));
    }
    let accepted = rows.updates.len();
    let node = call.node;
    let sequence = if dry_run { node.sequence() } else { write(call, rows.updates).await? };
    drop(rows.share); // the rows needed their memory until now
    Ok(answer::document(call.format, |out| {
        out.map();
        out.key("accepted");
        out.unsigned(accepted as u64);
        out.key("rejected");
        out.unsigned(rows.rejected as u64);
        out.key("errors");
        out.list();
        for problem in &rows.errors {
            write_error(out, problem);
        }
        out.end_list();
        if let Some(rejects) = &rows.rejects {
            out.key("rejects");
            out.list();
            for problem in rejects {
                write_error(out, problem);
            }
            out.end_list();
        }
        out.key("sequence");
        out.unsigned(sequence);
        out.end_map();
    }))
}

fn parameters(call: &Call<'_>) -> Result<Parameters, Refusal> {
    let [mode, empty, dry_run, max_errors, rejects] =
        query::known(call.head.target.query(), ["mode", "empty", "dry_run", "max_errors", "rejects"])?;
    let mut problems = Problems::new();
    let mode = match mode.as_deref() {
        None | Some("upsert") => Mode::Upsert,
        Some("replace") => Mode::Replace,
        Some("erase") => Mode::Erase,
        Some(other) => {
            let detail = format!("expected upsert, replace or erase, found {}", quoted(other));
            problems.push(query::problem("mode", detail));
            Mode::Upsert
        }
    };
    let empty = match empty.as_deref() {
        None => None,
        Some("keep" | "clear") if mode == Mode::Erase => {
            problems.push(query::problem("empty", "`mode=erase` takes no features"));
            None
        }
        Some("keep") if mode == Mode::Replace => {
            let problem = query::problem("empty", "`mode=replace` clears what a row does not give");
            problems.push(problem.hint("leave `empty=keep` out, or use `mode=upsert`"));
            None
        }
        Some("keep") => Some(Empty::Keep),
        Some("clear") => Some(Empty::Clear),
        Some(other) => {
            problems
                .push(query::problem("empty", format!("expected keep or clear, found {}", quoted(other))));
            None
        }
    };
    let dry_run = query::boolean("dry_run", dry_run.as_deref(), false, &mut problems);
    let max_errors = max_errors
        .and_then(|text| query::integer("max_errors", &text, 0, u64::from(u32::MAX), &mut problems));
    let rejects = query::boolean("rejects", rejects.as_deref(), false, &mut problems);
    Ok(problems.or(Parameters { mode, empty, dry_run, max_errors, rejects })?)
}

/// Writes chunk after chunk, each as one record. So a bulk load takes one place in the writer's queue.
async fn write(call: &Call<'_>, updates: Vec<Update>) -> Result<u64, Refusal> {
    let node = call.node;
    let mut sequence = node.sequence();
    let mut applied = 0;
    let mut rest = updates.into_iter();
    loop {
        let chunk: Vec<_> = rest.by_ref().take(CHUNK).collect();
        if chunk.is_empty() {
            return Ok(sequence);
        }
        let count = chunk.len();
        sequence = node.write(chunk).await.map_err(|why| Refusal::unavailable(why).applied(applied))?;
        applied += count;
    }
}

fn write_error(out: &mut dyn Encode, problem: &Problem) {
    let place = problem.place.unwrap_or_default();
    out.map();
    out.key("line");
    out.unsigned(u64::from(place.line));
    if place.column > 0 {
        out.key("column");
        out.unsigned(u64::from(place.column));
    }
    out.key("detail");
    out.text(&problem.detail);
    if let Some(hint) = &problem.hint {
        out.key("hint");
        out.text(hint);
    }
    out.end_map();
}

impl LoadedRows {
    fn new(share: Share, rejects: bool) -> LoadedRows {
        let rejects = rejects.then(Vec::new);
        LoadedRows { updates: Vec::new(), rejected: 0, errors: Problems::new(), rejects, share }
    }

    fn row(&mut self, row: Result<Update, Problems>) -> Result<(), Refusal> {
        if self.updates.len() + self.rejected == MAX_BULK_ROWS {
            let detail = format!("a load has at most {MAX_BULK_ROWS} rows; split it into several");
            return Err(Refusal::new(ProblemKind::TooLarge, detail).applied(0));
        }
        match row {
            Ok(update) => {
                self.share.grow(memory_of(&update)).map_err(|refusal| refusal.applied(0))?;
                self.updates.push(update);
            }
            Err(problems) => {
                self.rejected += 1;
                if let (Some(rejects), Some(first)) = (&mut self.rejects, problems.iter().next()) {
                    let hint = first.hint.as_ref().map_or(0, String::len);
                    let bytes = size_of::<Problem>() + first.detail.len() + hint;
                    self.share.grow(bytes).map_err(|refusal| refusal.applied(0))?;
                    rejects.push(Problem { pointer: String::new(), ..first.clone() });
                }
                self.errors.extend(problems);
            }
        }
        Ok(())
    }
}

/// Memory of an update while it waits to be written, in bytes.
fn memory_of(update: &Update) -> usize {
    let fields = match &update.change {
        Change::Replace(fields) | Change::Merge(fields) => fields.capacity(),
        Change::Event(_) | Change::Erase(_) => 0, // an erasure has no fields, and no row is an event
    };
    size_of::<Update>() + update.customer.as_str().len() + fields * size_of::<(FeatureId, u64)>()
}

impl Mode {
    /// Takes the id of a row. Who is erased may have an id of an earlier release.
    fn id(self, text: &str) -> Result<CustomerId, String> {
        if self == Mode::Erase { CustomerId::known(text) } else { CustomerId::new(text) }
    }

    fn change(self, fields: Vec<(FeatureId, u64)>) -> Change {
        match self {
            Mode::Upsert => Change::Merge(fields),
            Mode::Replace => Change::Replace(fields),
            Mode::Erase => Change::Erase(Erasure::default()),
        }
    }
}

/// A problem at a line of the body. `column` is 0 if it concerns the whole line.
fn at(line: u32, column: usize, problem: Problem) -> Problem {
    Problem { place: Some(Place { line, column: column as u32, ..Place::default() }), ..problem }
}

fn read_lines(
    bytes: &[u8],
    mut rows: LoadedRows,
    schema: &Schema,
    mode: Mode,
) -> Result<LoadedRows, Refusal> {
    for (i, line) in without_mark(bytes).split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let number = i as u32 + 1;
        let mut problems = Problems::new();
        let enough = rows.errors.omitted > 0;
        let row = match line.len() {
            0..=MAX_ROW_BYTES => read_object(line, schema, mode, enough, &mut problems),
            _ => {
                problems.push(too_long());
                None
            }
        };
        rows.row(match row {
            Some(update) if problems.is_empty() => Ok(update),
            _ => Err(moved(&problems, number)),
        })?;
    }
    Ok(rows)
}

fn too_long() -> Problem {
    Problem::new(format!("a row has at most {MAX_ROW_BYTES} bytes"))
}

/// Moves problems from their place in one line to their place in the body.
fn moved(problems: &Problems, line: u32) -> Problems {
    let mut all = Problems::new();
    all.omitted = problems.omitted;
    for problem in problems {
        let column = problem.place.map_or(0, |place| place.column as usize);
        all.push(at(line, column, problem.clone()));
    }
    all
}

/// Reads one line. With `enough`, problems are only counted, since nobody reads further hints.
fn read_object(
    line: &[u8],
    schema: &Schema,
    mode: Mode,
    enough: bool,
    problems: &mut Problems,
) -> Option<Update> {
    let input = Input::from_json(line).map_err(|found| problems.extend(found)).ok()?;
    let root = Cursor::root(&input, None);
    if enough && let InputValue::Map(entries) = &input.value {
        let known = |name: &str| name == "customer" || schema.feature_id(name).is_some();
        if let Some((key, _)) = entries.iter().find(|(key, _)| !known(&key.text)) {
            problems.push(Problem::new(format!("unknown feature {}", quoted(&key.text))));
            return None;
        }
    }
    let fields = read_fields(&root, schema, Some("customer"), problems);
    let mut ignored = Problems::new(); // the errors of the entries have been reported
    let entries = root.entries(&mut ignored)?;
    let Some((_, cursor)) = entries.iter().find(|(name, _)| *name == "customer") else {
        problems.push(root.problem("`customer` is missing"));
        return None;
    };
    if let Some((name, at)) = entries.iter().find(|(name, _)| mode == Mode::Erase && *name != "customer") {
        problems.push(
            at.key_problem(format!("`mode=erase` takes nothing but `customer`, found {}", quoted(name))),
        );
    }
    let id = mode.id(cursor.text(problems)?).map_err(|why| problems.push(cursor.problem(why)));
    Some(Update { customer: id.ok()?, change: mode.change(fields) })
}

/// What the cells of a column hold.
#[derive(Clone, Copy)]
enum Column {
    Customer,
    Feature(FeatureId),
}

fn read_csv(
    bytes: &[u8],
    mut rows: LoadedRows,
    schema: &Schema,
    mode: Mode,
    empty: Empty,
) -> Result<LoadedRows, Refusal> {
    let mut reader = csv::CsvRows::new(bytes);
    let columns = match reader.next() {
        Some((_, Ok(header))) => read_header(header, schema, mode)?,
        Some((line, Err(broken))) => return Err(refused_row(line, &broken).into()),
        None => {
            return Err(Refusal::problem(Problem::new("expected a header row with a `customer` column")));
        }
    };
    while let Some((line, row)) = reader.next() {
        rows.row(match row {
            Ok(cells) => read_record(cells, &columns, line, schema, (mode, empty)),
            Err(broken) => Err(refused_row(line, &broken)),
        })?;
    }
    Ok(rows)
}

fn refused_row(line: u32, broken: &Broken) -> Problems {
    let mut problems = Problems::new();
    problems.push(match broken {
        Broken::Quote(opened) => {
            let problem = Problem::new(format!("the quote opened on line {opened} is never closed"));
            let hint = format!(
                "reading continued at line {}; a row has at most {MAX_ROW_LINES} lines and {MAX_ROW_BYTES} bytes",
                opened + 1
            );
            at(line, 0, problem.hint(hint))
        }
        Broken::Long => at(line, 0, too_long()),
    });
    problems
}

/// Reads the header row. A wrong column refuses the whole body, with all wrong columns named.
fn read_header(header: &ByteRecord, schema: &Schema, mode: Mode) -> Result<Vec<Column>, Refusal> {
    let mut problems = Problems::new();
    let mut columns = Vec::with_capacity(header.len());
    let mut seen = std::collections::HashSet::new();
    for (i, cell) in header.iter().enumerate() {
        let mut wrong = |problem| problems.push(at(1, i + 1, problem));
        let Ok(name) = std::str::from_utf8(cell).map(str::trim) else {
            wrong(Problem::new("the column's name is not UTF-8"));
            continue;
        };
        if name.is_empty() {
            let problem = Problem::new("the column has no name");
            wrong(problem.hint("a column of row numbers? pandas leaves it out with `index=False`"));
        } else if !seen.insert(name) {
            wrong(Problem::new(format!("column {} appears twice", quoted(name))));
        } else if name == "customer" {
            columns.push(Column::Customer);
        } else if mode == Mode::Erase {
            wrong(Problem::new(format!("`mode=erase` takes nothing but `customer`, found {}", quoted(name))));
        } else {
            match schema.find_feature(name) {
                Ok(id) if schema.feature(id).field.is_some() => columns.push(Column::Feature(id)),
                Ok(_) => wrong(Problem::new(format!("`{name}` is computed from events and cannot be set"))),
                Err(problem) => wrong(problem),
            }
        }
    }
    if !seen.contains("customer") {
        problems.push(at(1, 0, Problem::new("there is no `customer` column")));
    }
    Ok(problems.or(columns)?)
}

fn read_record(
    record: &ByteRecord,
    columns: &[Column],
    line: u32,
    schema: &Schema,
    (mode, empty): (Mode, Empty),
) -> Result<Update, Problems> {
    let mut problems = Problems::new();
    if record.len() != columns.len() {
        let detail = format!("expected {} cells, found {}", columns.len(), record.len());
        problems.push(at(line, 0, Problem::new(detail)));
        return Err(problems);
    }
    let mut customer = None;
    let gives = |cell: &&[u8]| empty == Empty::Clear || !cell.is_empty();
    let given = record.iter().filter(gives).count();
    let mut fields = Vec::with_capacity(given.saturating_sub(1)); // one cell is the customer
    for (i, (cell, column)) in record.iter().zip(columns).enumerate() {
        let found =
            std::str::from_utf8(cell).map_err(|_| "the cell is not UTF-8".into()).and_then(
                |text| match column {
                    Column::Customer => mode.id(text).map(|id| customer = Some(id)),
                    Column::Feature(id) => {
                        read_cell(*id, text, schema, empty).map(|code| fields.extend(code))
                    }
                },
            );
        if let Err(why) = found {
            problems.push(at(line, i + 1, Problem::new(why)));
        }
    }
    match customer {
        Some(customer) if problems.is_empty() => Ok(Update { customer, change: mode.change(fields) }),
        _ => Err(problems),
    }
}

/// The feature code of a cell; `None` for an empty cell that keeps the feature. `null` has code 0, which
/// clears it.
fn read_cell(
    id: FeatureId,
    text: &str,
    schema: &Schema,
    empty: Empty,
) -> Result<Option<(FeatureId, u64)>, String> {
    let feature = schema.feature(id);
    match text {
        "" if empty == Empty::Keep => Ok(None),
        "" => Ok(Some((id, 0))),
        _ if feature.kind.clears(text) => Ok(Some((id, 0))),
        _ => match feature.kind.read_text(text, schema.zone()) {
            Ok(value) => Ok(Some((id, feature.kind.encode(&value)))),
            Err(why) => Err(format!("`{}`: {why}", feature.name)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::wire::room::BodyRoom;
    use crate::http::wire::room::Size;

    fn schema() -> Schema {
        let text = "schema: t\nfeatures:\n  age: {kind: int, min: 0, max: 120}\n  vip: {kind: bool}\n  \
                    interests: {kind: set, values: [funds, gold]}\n";
        Schema::parse("t", text).unwrap()
    }

    fn no_rows() -> LoadedRows {
        LoadedRows::new(Share::new(&BodyRoom::new(), Size::Bulk), false)
    }

    fn csv(text: &str) -> Result<LoadedRows, Refusal> {
        read_csv(text.as_bytes(), no_rows(), &schema(), Mode::Upsert, Empty::Keep)
    }

    fn errors(rows: &LoadedRows) -> Vec<(u32, u32)> {
        rows.errors.iter().map(|p| p.place.map_or((0, 0), |p| (p.line, p.column))).collect()
    }

    #[test]
    fn a_bad_row_is_named_by_line_and_cell_and_the_others_are_taken() {
        for end in ["\n", "\r\n"] {
            let text = [
                "customer, age ,vip, interests",
                "c-1,41,true,funds|gold",
                "c-2,999,x,",
                "",
                "\"c\"\"3\",,,",
                "c-4,1,true",
            ];
            let rows = csv(&text.join(end)).unwrap();
            assert_eq!((rows.updates.len(), rows.rejected), (2, 2));
            assert_eq!(errors(&rows), [(3, 2), (3, 3), (6, 0)]);
            assert_eq!(rows.updates[1].customer.as_str(), "c\"3");
        }
    }

    #[test]
    fn lines_within_quotes_count() {
        let rows = csv("customer,age\n\"a\nb\",1\nc-2,x\n\n\nc-3,y").unwrap();
        // An id has no control characters, so the first row is wrong too.
        assert_eq!(errors(&rows), [(2, 1), (4, 2), (7, 2)]);
    }

    #[test]
    fn a_wrong_header_refuses_the_whole_body() {
        for (text, expected) in [
            ("", "header row"),
            ("customer,aeg\n", "unknown feature \"aeg\""),
            ("customer,age,age\n", "twice"),
            ("customer,age, age \n", "twice"),
            ("age\n", "no `customer` column"),
            (",customer,age\n", "the column has no name"),
        ] {
            let refusal = csv(text).err().unwrap();
            assert!(refusal.detail().contains(expected), "{}", refusal.detail());
        }
    }

    #[test]
    fn an_empty_cell_leaves_and_null_clears() {
        let rows = csv("age,customer,vip\n,c-1,null\n").unwrap();
        let schema = schema();
        let vip = schema.feature_id("vip").unwrap();
        assert_eq!(rows.updates[0].change, Change::Merge(vec![(vip, 0)]));
        let text = b"age,customer,vip\n,c-1,true\n";
        let rows = read_csv(text, no_rows(), &schema, Mode::Upsert, Empty::Clear).unwrap();
        let age = schema.feature_id("age").unwrap();
        assert_eq!(rows.updates[0].change, Change::Merge(vec![(age, 0), (vip, 2)]));
    }

    #[test]
    fn a_cell_of_blanks_is_neither_empty_nor_a_set_without_words() {
        let rows = csv("customer,age,vip,interests\nc-1,  ,,\nc-2,, ,\nc-3,,, \nc-4,,,|\n").unwrap();
        assert_eq!((rows.updates.len(), errors(&rows)), (1, vec![(2, 2), (3, 3), (4, 4)]));
        let interests = schema().feature_id("interests").unwrap();
        assert_eq!(rows.updates[0].change, Change::Merge(vec![(interests, 1)]));
    }

    #[test]
    fn when_enough_was_said_wrong_lines_cost_little() {
        let keys: Vec<_> = (0..100).map(|i| format!("\"ag{i}\": 1")).collect();
        let text = format!("{{{}}}\n", keys.join(",")).repeat(2000) + "{\"customer\": \"c\", \"age\": 1}\n";
        let rows = read_lines(text.as_bytes(), no_rows(), &schema(), Mode::Upsert).unwrap();
        // All of the first line, its missing customer too, and then one of each.
        assert_eq!((rows.updates.len(), rows.rejected, rows.errors.count()), (1, 2000, 101 + 1999));
    }

    #[test]
    fn lines_of_json_report_their_own_line() {
        let text = "{\"customer\": \"c-1\", \"age\": 41}\n\n{\"age\": 41}\r\n{\"customer\": \"c-2\", \"aeg\": 1, \"vip\": 3}\n{bad";
        let rows = read_lines(text.as_bytes(), no_rows(), &schema(), Mode::Replace).unwrap();
        assert_eq!((rows.updates.len(), rows.rejected), (1, 3));
        let lines: Vec<_> = errors(&rows).iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [3, 4, 4, 5]);
    }

    #[test]
    fn rows_are_bounded_and_take_no_more_than_they_say() {
        let rows = csv(&format!("customer,age,vip,interests\n{}", "a,,,\n".repeat(MAX_BULK_ROWS))).unwrap();
        assert_eq!(rows.updates.len(), MAX_BULK_ROWS);
        assert_eq!(memory_of(&rows.updates[0]), size_of::<Update>() + 1, "nothing for empty cells");
        for row in ["a", "\u{7f}"] {
            let refusal = csv(&format!("customer\n{}", format!("{row}\n").repeat(MAX_BULK_ROWS + 1)));
            assert!(refusal.err().unwrap().detail().contains("split it"), "{row:?}");
        }
    }

    #[test]
    fn a_lost_quote_is_named_and_the_rows_after_it_are_taken() {
        let rows = csv(&format!("customer,age\nc-1,\"4\n{}", "c-2,1\n".repeat(200))).unwrap();
        assert_eq!((rows.updates.len(), rows.rejected, errors(&rows)), (200, 1, vec![(2, 0)]));
        let problem = rows.errors.iter().next().unwrap();
        assert_eq!(problem.detail, "the quote opened on line 2 is never closed");
        let long = format!("{{\"customer\": \"c\"{}}}\n{{\"customer\": \"d\"}}", " ".repeat(MAX_ROW_BYTES));
        let rows = read_lines(long.as_bytes(), no_rows(), &schema(), Mode::Upsert).unwrap();
        assert_eq!((rows.updates.len(), errors(&rows)), (1, vec![(1, 0)]));
    }
}
