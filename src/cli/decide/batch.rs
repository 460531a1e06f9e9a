//! Decides for everybody in a file, and writes the answers to another one, a line for each row.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

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

const PATH: &str = "/v1/decisions/batch";
const LINES: &str = "application/x-ndjson";
/// The most requests that are sent at once, so that their answers fit into memory; and of explained ones,
/// which are long.
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
    let unwritable = |e: std::io::Error| Failure::new(format!("cannot write {}: {e}", out.display()));
    let mut answers = BufWriter::new(File::create_new(out).map_err(unwritable)?);
    let mut client = args.server.patient_client()?;
    let mut progress = Progress::start();
    let decided = block_on(batch.all(&mut client, &mut answers, &mut progress));
    progress.clear();
    answers.flush().map_err(unwritable)?;
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

/// A row as a request, or what is wrong with it.
struct Asked {
    /// The number of the row in the file, from 1.
    number: u64,
    request: Result<String, String>,
}

/// The rows of a file as requests.
struct Batch {
    rows: FileRows,
    /// The place of the customer's id in a CSV file.
    column: Option<usize>,
    /// What every request asks, besides its customer. Without it the rows are whole requests.
    asked: Option<Value>,
    part: usize,
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
        let part = if args.explain { EXPLAINED_PART } else { PART };
        Ok(Batch { rows, column, asked, part, all: 0, wrong: 0 })
    }

    async fn all(
        &mut self,
        client: &mut Client,
        out: &mut impl Write,
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
        let (mut requests, mut bytes) = (Vec::new(), 0);
        while requests.len() < self.part && bytes < PART_BYTES {
            let Batch { rows, column, asked, .. } = self;
            match rows.read_next() {
                Ok(Some(row)) => {
                    let number = row.number;
                    let request = request(&row, *column, asked.as_ref());
                    bytes += request.as_ref().map_or(0, String::len);
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
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        let mut chunk = LoadChunk::new(LINES, b"");
        chunk.repeatable = false; // decisions are counted
        for Asked { number, request } in requests {
            if let Ok(text) = request {
                chunk.push(format!("{text}\n").as_bytes(), (*number, *number), Shown::default(), None);
            }
        }
        let answer = match chunk.rows.is_empty() {
            true => None,
            false => Some(send(client, &chunk, PATH, false).await?),
        };
        let mut lines = answers(answer, chunk.rows.len())?.into_iter();
        let unwritable = |e: std::io::Error| Failure::new(format!("cannot write an answer: {e}"));
        for Asked { number, request } in requests {
            let line = match request {
                Ok(_) => lines.next().unwrap_or_default(),
                Err(why) => wrong_row(why).into_bytes(),
            };
            let line = if line.starts_with(PROBLEM) { self.problem(&line, *number) } else { line };
            out.write_all(&line).and_then(|()| out.write_all(b"\n")).map_err(unwritable)?;
            self.all += 1;
        }
        Ok(())
    }

    /// A problem with the number of its row in the file.
    fn problem(&mut self, line: &[u8], number: u64) -> Vec<u8> {
        self.wrong += 1;
        let Ok(mut problem) = serde_json::from_slice::<Value>(line) else { return line.to_vec() };
        problem["request"] = number.into();
        problem.to_string().into_bytes()
    }
}

/// The answers to this many requests.
fn answers(answer: Option<ServerAnswer>, expected: usize) -> Result<Vec<Vec<u8>>, Failure> {
    let Some(answer) = answer else { return Ok(Vec::new()) };
    if !answer.status.is_success() {
        return Err(answer.problems(&[]).into());
    }
    let lines: Vec<_> = answer.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    if lines.len() != expected {
        return Err(Failure::new(format!("{} answers came to {expected} requests", lines.len())));
    }
    Ok(lines.into_iter().map(<[u8]>::to_vec).collect())
}

/// The problem of a row that is no request, as the server would have it.
fn wrong_row(why: &str) -> String {
    let rest = json!({"title": "The row is not a request", "status": 400, "detail": why}).to_string();
    format!("{{\"type\":\"urn:usher:problem:invalid\",{}", &rest[1..])
}

/// The request of a row.
fn request(row: &Row<'_>, column: Option<usize>, asked: Option<&Value>) -> Result<String, String> {
    let customer = match (&row.content, asked) {
        (Content::Wrong(why), _) => return Err(why.clone()),
        (Content::Object(text), None) => {
            fields(text)?; // what the server would not take
            let text = std::str::from_utf8(text).map_err(|e| e.to_string())?;
            return Ok(text.replace(['\n', '\r'], " ")); // within a text JSON has neither
        }
        (Content::Object(text), Some(_)) => customer_of(text)?,
        (Content::Cells(cells), _) => {
            column.and_then(|place| cells.get(place)).unwrap_or_default().to_owned()
        }
    };
    let mut request = asked.cloned().unwrap_or_default();
    request["customer"] = customer.into();
    Ok(request.to_string())
}
