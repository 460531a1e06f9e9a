//! Decides for everybody in a file, and writes the answers to another one, a line for each row.

use std::fs::{File, remove_file};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Args;
use crate::bundle::import::CUSTOMER_COLUMN;
use crate::cli::client::{Client, ServerAnswer};
use crate::cli::ending::{Ending, Failure, block_on};
use crate::cli::load::chunk::LoadChunk;
use crate::cli::load::objects::{customer_of, fields};
use crate::cli::load::rows::{Content, FileRows, Row, Shown};
use crate::cli::load::send::send;
use crate::cli::terminal::{Progress, thousands};
use crate::input::document::{Input, InputValue, Key};

const PATH: &str = "/v1/decisions/batch";
const LINES: &str = "application/x-ndjson";
/// The most requests that are sent at once, so that their answers fit into memory; and the most of them whose
/// answers are explained, which are long.
const PART: usize = 1_000;
const EXPLAINED_PART: usize = 20;
/// A part with this many bytes takes no more requests.
const PART_BYTES: usize = 1 << 20;
/// What the answer begins with that refuses a request.
const PROBLEM: &[u8] = b"{\"type\":\"urn:usher:problem:";

/// Decides for the rows of `file`.
pub(super) fn run(args: &Args, file: &Path, out: &Path) -> Result<Ending, Failure> {
    let rows = FileRows::open(file, args.format, None, false)?;
    let mut batch = Batch::new(args, rows)?;
    let mut answers = Answers::new(out)?;
    let mut client = args.server.patient_client()?;
    let mut progress = Progress::start();
    let decided = block_on(batch.all(&mut client, &mut answers, &mut progress));
    progress.clear();
    answers.end(decided.is_ok())?;
    let (all, wrong) = (batch.all, batch.wrong);
    decided.map_err(|failure| {
        let told = format!("{} answers are in {}", thousands(all), out.display());
        if all > 0 { failure.also(&told) } else { failure }
    })?;
    let (seconds, rate) = (progress.elapsed().as_secs_f64(), progress.rate(all));
    if args.json {
        say!("{}", json!({"requests": all, "wrong": wrong, "seconds": seconds}));
    } else {
        let noun = if all == 1 { "request" } else { "requests" };
        say!(
            "{} {noun} in {seconds:.1} s ({}/s): {} decided, {} wrong; the answers are in {}",
            thousands(all),
            thousands(rate as u64),
            thousands(all - wrong),
            thousands(wrong),
            out.display()
        );
    }
    Ok(if wrong == 0 { Ending::Done } else { Ending::FoundWrong })
}

/// The file with the answers. It is made with the first of them, so that a command that fails before leaves
/// nothing which keeps the next one from it.
struct Answers {
    path: PathBuf,
    file: Option<BufWriter<File>>,
}

impl Answers {
    /// # Errors
    /// The file is there already, or cannot be made: nothing is decided then.
    fn new(path: &Path) -> Result<Answers, Failure> {
        let answers = Answers { path: path.to_owned(), file: None };
        File::create_new(path).and_then(|_| remove_file(path)).map_err(|e| answers.failed(&e))?;
        Ok(answers)
    }

    fn file(&mut self) -> Result<&mut BufWriter<File>, Failure> {
        let file = match self.file.take() {
            Some(file) => file,
            None => BufWriter::new(File::create_new(&self.path).map_err(|e| self.failed(&e))?),
        };
        Ok(self.file.insert(file))
    }

    fn write(&mut self, line: &[u8]) -> Result<(), Failure> {
        let file = self.file()?;
        let written = file.write_all(line).and_then(|()| file.write_all(b"\n"));
        written.map_err(|e| self.failed(&e))
    }

    /// Writes what is still held. If all went well there is a file, also without an answer.
    fn end(&mut self, well: bool) -> Result<(), Failure> {
        if well {
            self.file()?;
        }
        self.file.as_mut().map_or(Ok(()), BufWriter::flush).map_err(|e| self.failed(&e))
    }

    fn failed(&self, e: &io::Error) -> Failure {
        Failure::new(format!("cannot write {}: {e}", self.path.display()))
    }
}

/// A row as a request, or what is wrong with it.
struct Asked {
    /// The number of the row in the file, from 1.
    number: u64,
    request: Result<Request, String>,
}

struct Request {
    text: String,
    /// Whether its answer is a long one.
    explained: bool,
}

/// The rows of a file as requests.
struct Batch {
    rows: FileRows,
    /// The place of the customer's id in a CSV file.
    column: Option<usize>,
    /// What every request asks, besides its customer. Without it the rows are whole requests.
    asked: Option<Value>,
    /// Whether all answers are explained.
    explained: bool,
    /// How many were answered, and how many of them were wrong.
    all: u64,
    wrong: u64,
}

impl Batch {
    fn new(args: &Args, rows: FileRows) -> Result<Batch, Failure> {
        let asked = args.customer.is_some().then(|| {
            let placements = args.customer.iter().chain(&args.placements);
            super::request(args, None, placements)
        });
        let says = args.channel.is_some() || args.count.is_some() || args.locale.is_some() || args.explain;
        if asked.is_none() && (says || !args.context.is_empty()) {
            let failure = Failure::new("the rows are whole requests, so what else is asked stands in them");
            return Err(failure.hint(
                "leave --channel, --count, --locale, --context and --explain out, or name a placement",
            ));
        }
        let column = match rows.header() {
            None => None,
            Some(_) if asked.is_none() => {
                let failure =
                    Failure::new("the rows of a CSV file are customers, so the placements are missing");
                return Err(failure
                    .hint("name them: usher decide --batch customers.csv home_banner --out answers.ndjson"));
            }
            Some(_) => match rows.customer_column() {
                Some(place) => Some(place),
                None => return Err(Failure::new(format!("the file has no column {CUSTOMER_COLUMN}"))),
            },
        };
        Ok(Batch { rows, column, asked, explained: args.explain, all: 0, wrong: 0 })
    }

    async fn all(
        &mut self,
        client: &mut Client,
        out: &mut Answers,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        loop {
            let (requests, broken) = self.next_part();
            if requests.is_empty() && broken.is_none() {
                return Ok(());
            }
            self.one(client, &requests, out).await?;
            progress.update(self.all, "requests");
            if let Some(failure) = broken {
                return Err(failure);
            }
        }
    }

    /// The requests of the next rows, or what is wrong with a row; and what keeps the file from being read
    /// on.
    fn next_part(&mut self) -> (Vec<Asked>, Option<Failure>) {
        let (mut requests, mut bytes, mut explained) = (Vec::new(), 0, 0);
        while requests.len() < PART && explained < EXPLAINED_PART && bytes < PART_BYTES {
            let Batch { rows, column, asked, .. } = self;
            match rows.read_next() {
                Ok(Some(row)) => {
                    let number = row.number;
                    let request = request(&row, *column, asked.as_ref());
                    if let Ok(request) = &request {
                        bytes += request.text.len();
                        explained += usize::from(self.explained || request.explained);
                    }
                    requests.push(Asked { number, request });
                }
                Ok(None) => break,
                Err(failure) => return (requests, Some(failure)),
            }
        }
        (requests, None)
    }

    /// Asks for one part, and writes its answers in the order of the rows.
    async fn one(
        &mut self,
        client: &mut Client,
        requests: &[Asked],
        out: &mut Answers,
    ) -> Result<(), Failure> {
        let mut chunk = LoadChunk::new(LINES, b"");
        chunk.repeatable = false; // decisions are counted
        for Asked { number, request } in requests {
            if let Ok(Request { text, .. }) = request {
                chunk.push(format!("{text}\n").as_bytes(), (*number, *number), Shown::default(), None);
            }
        }
        let answer = match chunk.rows.is_empty() {
            true => None,
            false => Some(send(client, &chunk, PATH, false).await?),
        };
        let lines = answer.as_ref().map(answers).transpose()?.unwrap_or_default();
        let (came, expected) = (lines.len(), chunk.rows.len());
        let mut lines = lines.into_iter();
        for Asked { number, request } in requests {
            let line = match request {
                Ok(_) => lines.next(),
                Err(why) => Some(wrong_row(why).into_bytes()),
            };
            let Some(line) = line else { break }; // what was decided before is written
            let line = if line.starts_with(PROBLEM) { self.problem(&line, *number) } else { line };
            out.write(&line)?;
            self.all += 1;
        }
        match came == expected {
            true => Ok(()),
            false => Err(Failure::new(format!("{came} answers came to {expected} requests"))),
        }
    }

    /// A problem with the number of its row in the file.
    fn problem(&mut self, line: &[u8], number: u64) -> Vec<u8> {
        self.wrong += 1;
        let Ok(mut problem) = serde_json::from_slice::<Value>(line) else { return line.to_vec() };
        problem["request"] = number.into();
        problem.to_string().into_bytes()
    }
}

/// The lines of an answer.
fn answers(answer: &ServerAnswer) -> Result<Vec<Vec<u8>>, Failure> {
    if !answer.status.is_success() {
        return Err(answer.problems(&[]).into());
    }
    let lines = answer.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines.map(<[u8]>::to_vec).collect())
}

/// The problem of a row that is no request, as the server would have it.
fn wrong_row(why: &str) -> String {
    let rest = json!({"title": "The row is not a request", "status": 400, "detail": why}).to_string();
    format!("{{\"type\":\"urn:usher:problem:invalid\",{}", &rest[1..])
}

/// The request of a row.
fn request(row: &Row<'_>, column: Option<usize>, asked: Option<&Value>) -> Result<Request, String> {
    let customer = match (&row.content, asked) {
        (Content::Wrong(why), _) => return Err(why.clone()),
        (Content::Object(text), None) => {
            let fields = fields(text)?; // what the server would not take
            let explains = |(key, input): &(Key<'_>, Input<'_>)| {
                key.text == "explain" && matches!(input.value, InputValue::Bool(true))
            };
            let explained = fields.iter().any(explains);
            let text = std::str::from_utf8(text).map_err(|e| e.to_string())?;
            // Within a text JSON has neither.
            return Ok(Request { text: text.replace(['\n', '\r'], " "), explained });
        }
        (Content::Object(text), Some(_)) => customer_of(text)?,
        (Content::Cells(cells), _) => {
            column.and_then(|place| cells.get(place)).unwrap_or_default().to_owned()
        }
    };
    let mut request = asked.cloned().unwrap_or_default();
    request["customer"] = customer.into();
    Ok(Request { text: request.to_string(), explained: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of these lines go to the server at once.
    #[track_caller]
    fn parts(lines: &[&str], explained: bool) -> Vec<usize> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows.ndjson");
        std::fs::write(&file, lines.join("\n")).unwrap();
        let rows = FileRows::open(&file, None, None, false).map_err(|f| f.to_string()).unwrap();
        let asked = explained.then(|| json!({"explain": true}));
        let mut batch = Batch { rows, column: None, asked, explained, all: 0, wrong: 0 };
        let mut parts = Vec::new();
        loop {
            match batch.next_part() {
                (requests, None) if requests.is_empty() => return parts,
                (requests, None) => parts.push(requests.len()),
                (_, Some(failure)) => panic!("{failure}"),
            }
        }
    }

    #[test]
    fn answers_to_one_part_fit_into_memory() {
        let (plain, explained) = (r#"{"customer": "c"}"#, r#"{"customer": "c", "explain": true}"#);
        let (not, wrong) = (r#"{"customer": "c", "explain": false}"#, "no");
        for (lines, all, expected) in [
            ([plain].repeat(2_001), false, vec![1_000, 1_000, 1]),
            ([explained].repeat(41), false, vec![20, 20, 1]),
            ([plain].repeat(41), true, vec![20, 20, 1]),
            ([plain, explained].repeat(21), false, vec![40, 2]),
            ([not, wrong].repeat(501), false, vec![1_000, 2]),
        ] {
            assert_eq!(parts(&lines, all), expected, "{:?}, {all}", &lines[..2]);
        }
    }
}
