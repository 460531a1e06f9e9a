//! `usher load`: sends customers or events from a file to a running server, in chunks below the server's
//! limit.

pub(super) mod chunk;
pub(super) mod customers;
mod events;
pub(super) mod objects;
pub(super) mod open;
mod records;
mod rejects;
mod resume;
pub(super) mod rows;
pub(super) mod send;
mod sync;
mod total;
mod translated;

use std::path::{Path, PathBuf};

use hyper::{Method, header};
use serde_json::Value;

use self::chunk::{LoadChunk, SentRow};
use self::customers::{CustomerRows, Keeps};
use self::events::EventRows;
use self::open::Format;
use self::rejects::Rejects;
use self::resume::{Reached, Resume};
use self::rows::FileRows;
use self::send::{send, understood, understood_events};
use self::sync::Sync;
use self::total::Total;
use super::client::{Client, ServerArgs};
use super::ending::{Ending, Failure, block_on};
use super::terminal::{Progress, thousands};
use crate::bundle::import::Mapping;
use crate::bundle::read_file;
use crate::schema::Schema;

/// Load customers or events from a CSV, NDJSON or JSON file (plain, .gz or .zst) into a running server
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  printf 'customer,age,aum\\nc-1001,41,600000\\n' | usher load - --format csv
  usher load customers.csv.gz --dry-run
  usher load customers.csv --rejects bad.csv        keep the rejected rows: mend them, and load bad.csv
  usher load bank-full.csv --mapping models/bank-marketing/imports/bank-full.yaml
  usher load --events payments.csv --type card_payment")]
pub(super) struct Args {
    /// The file to load; - is standard input
    file: PathBuf,
    /// A column mapping (imports/NAME.yaml of a bundle) for a foreign file
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// The file's format [default: from its name]
    #[arg(long)]
    format: Option<Format>,
    /// The character between the cells of a CSV file [default: found in the header]
    #[arg(long, value_name = "CHARACTER")]
    delimiter: Option<char>,
    /// Whether to keep (upsert) or clear (replace) features that the file does not name
    #[arg(long, default_value = "upsert")]
    mode: Mode,
    /// Whether an empty cell of a CSV file keeps or clears its feature [default: keep in an upsert; a mapping
    /// says it itself]
    #[arg(long, conflicts_with = "mapping")]
    empty: Option<Empty>,
    /// The rows are events: columns or fields type, customer, at, id, token, offer, placement, channel; other
    /// columns are properties
    #[arg(long, conflicts_with_all = ["empty", "mode", "dry_run", "sync", "max_errors"])]
    events: bool,
    /// With --events: the type of events that do not say theirs
    #[arg(long, value_name = "NAME", requires = "events", conflicts_with = "mapping")]
    r#type: Option<String>,
    /// Erase the customers who are not in the file, after all of it was loaded
    #[arg(long)]
    sync: bool,
    /// With --sync: erase nobody if more than this share of the customers would go
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, value_parser = percent, requires = "sync")]
    max_absent: f64,
    /// Check every row, but change nothing
    #[arg(long)]
    dry_run: bool,
    /// Stop when more rows than this are rejected; the chunk that exceeds it is not applied [default: no
    /// limit]
    #[arg(long, value_name = "N")]
    max_errors: Option<u64>,
    /// Write the rejected rows to this file, with the reasons. Mended, it can be loaded in the same way
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Note in this file how far the load came, and go on from there if it is there already. It is removed at
    /// the end
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dry_run", "sync"])]
    resume: Option<PathBuf>,
    /// Print the result as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Mode {
    Upsert,
    Replace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Empty {
    Keep,
    Clear,
}

/// Why a row was rejected, and where it is in the file.
pub(super) struct Rejection {
    pub(super) line: u64,
    pub(super) column: Option<String>,
    pub(super) detail: String,
}

/// A share from 0 to 100. Nothing is more than what is no number.
fn percent(text: &str) -> Result<f64, String> {
    let found = text.parse().ok().filter(|share| (0.0..=100.0).contains(share));
    found.ok_or_else(|| "expected a number from 0 to 100".to_owned())
}

/// What the rows of the file are.
enum Kind<'m> {
    Customers(CustomerRows<'m>),
    Events(EventRows<'m>),
}

/// A load while it runs.
struct Load<'l> {
    args: &'l Args,
    client: &'l mut Client,
    kind: Kind<'l>,
    rejects: Option<Rejects>,
    resume: Option<Resume>,
    sync: Option<Sync>,
    total: Total,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let mut client = args.server.patient_client()?;
    let mut progress = Progress::start();
    let noun = if args.events { "event" } else { "row" };
    let (total, rejects) = block_on(load(&mut client, args, &mut progress))?;
    if args.json {
        say!("{}", total.json(&progress));
    } else {
        say!("{}{rejects}", total.text(noun, args.dry_run, &progress));
    }
    let stays = total.absent.is_some_and(|absent| absent.absent > 0 && !absent.erased && !args.dry_run);
    Ok(if total.rejected > 0 || total.stopped || stays { Ending::FoundWrong } else { Ending::Done })
}

/// Loads the file. Besides what happened, says where the rejected rows are.
async fn load(client: &mut Client, args: &Args, progress: &mut Progress) -> Result<(Total, String), Failure> {
    let mapping = match &args.mapping {
        Some(path) => Some(read_mapping(path, args.events, &schema_of(client).await?)?),
        None => None,
    };
    let mut rows = FileRows::open(&args.file, args.format, args.delimiter, args.resume.is_some())?;
    let resume = args.resume.as_deref().map(Resume::read).transpose()?;
    if let Some(resume) = &resume {
        resume.pass(&mut rows)?;
    }
    let reached = resume.as_ref().map(|resume| resume.reached.clone());
    if args.rejects.as_ref().is_some_and(|path| *path == args.file) {
        return Err(Failure::new("the rejected rows cannot be written to the file that is loaded"));
    }
    let rejects = args.rejects.as_deref();
    let resumed = reached.as_ref().filter(|reached| reached.rows > 0).map(|reached| reached.reject_bytes);
    let rejects = rejects.map(|path| Rejects::new(path, &rows, resumed)).transpose()?;
    let keeps = rejects.is_some();
    let kind = match (&mapping, args.events) {
        (Some(mapping), true) => Kind::Events(EventRows::foreign(rows, mapping, keeps)?),
        (None, true) => Kind::Events(EventRows::new(rows, args.r#type.clone(), keeps)?),
        (mapping, false) => {
            let keeps = Keeps { shown: keeps, customer: args.sync };
            Kind::Customers(CustomerRows::new(rows, mapping.as_ref(), keeps)?)
        }
    };
    let sync = if args.sync { Some(Sync::start(client).await?) } else { None };
    let total = reached.as_ref().map(Total::after).unwrap_or_default();
    let mut load = Load { args, client, kind, rejects, resume, sync, total };
    load.all(progress).await?;
    progress.clear();
    if let Some(sync) = load.sync.filter(|_| !load.total.stopped) {
        load.total.absent = Some(sync.finish(load.client, args.max_absent, args.dry_run).await?);
    }
    if let Some(resume) = load.resume.filter(|_| !load.total.stopped) {
        resume.done()?;
    }
    Ok((load.total, load.rejects.map(|rejects| rejects.summary()).unwrap_or_default()))
}

/// Reads a mapping, which must be of what the rows are.
fn read_mapping(path: &Path, events: bool, schema: &Schema) -> Result<Mapping, Failure> {
    let source = read_file(path)?;
    let mapping = Mapping::parse(&source.name, &source.text, schema)?;
    let refuse = |what: &str, hint: &str| {
        Err(Failure::new(format!("{}: its rows are {what}", path.display())).hint(hint.to_owned()))
    };
    match (&mapping.event, events) {
        (None, true) => {
            refuse("customers", "a mapping of events says `event: TYPE`; without --events it loads customers")
        }
        (Some(_), false) => refuse("events", "load them with --events"),
        _ => Ok(mapping),
    }
}

/// The schema in force. A mapping is checked against the same schema as the rows.
async fn schema_of(client: &mut Client) -> Result<Schema, Failure> {
    let answer = client.send(Method::GET, "/v1/schema", &[(header::ACCEPT, "application/yaml")], "").await?;
    if !answer.status.is_success() {
        return Err(answer.problems(&[]).into());
    }
    let text = String::from_utf8_lossy(&answer.body);
    Ok(Schema::parse("the server's schema", &text)?)
}

impl Load<'_> {
    /// Sends chunk after chunk.
    async fn all(&mut self, progress: &mut Progress) -> Result<(), Failure> {
        let mut line = 0;
        while !self.total.stopped {
            let mut chunk = match &mut self.kind {
                Kind::Customers(rows) => rows.next_chunk(),
                Kind::Events(rows) => rows.next_chunk(),
            };
            if chunk.is_empty() {
                break;
            }
            let broken = chunk.broken.take();
            let last = chunk.rows.last().map_or(line, |row| row.line);
            self.one(chunk).await.map_err(|failure| self.told(failure, line))?;
            line = last;
            if let Some(failure) = broken {
                return Err(self.told(failure, line));
            }
            self.total.stopped = self.total.is_over(self.args.max_errors);
            progress.update(self.total.rows(), if self.args.events { "events" } else { "rows" });
        }
        Ok(())
    }

    /// A failure, with how much was done before it.
    fn told(&self, failure: Failure, line: u64) -> Failure {
        if self.total.rows() == 0 && line == 0 {
            return failure;
        }
        let done = if self.args.dry_run { "checked" } else { "applied" };
        let until = if line > 0 { format!(", up to line {line}") } else { String::new() };
        let noun = if self.args.events { "events" } else { "rows" };
        let (count, rejected) = (thousands(self.total.accepted), thousands(self.total.rejected));
        let failure =
            failure.also(&format!("{count} {noun} were {done} before it{until}, and {rejected} rejected"));
        match &self.args.resume {
            Some(_) => failure.hint("the same command goes on from there"),
            None if self.total.accepted > 0 && !self.args.dry_run => failure.hint(match self.args.events {
                // Events without a time have no id by which they are known again.
                true => "with --resume FILE a load goes on where another broke",
                false => "loading the file again is harmless; with --resume FILE a load goes on where another broke",
            }),
            None => failure,
        }
    }

    /// Rejects and sends what is in a chunk, and notes that it is done.
    async fn one(&mut self, mut chunk: LoadChunk) -> Result<(), Failure> {
        for row in std::mem::take(&mut chunk.rejected) {
            self.total.rejected += 1;
            if let Some(sync) = &mut self.sync {
                sync.took(row.customer.as_deref(), row.rejection.line);
            }
            if let Some(rejects) = &mut self.rejects {
                rejects.write(row.number, &row.rejection.detail, &row.shown)?;
            }
            self.total.keep(row.rejection, &self.args.file, !self.args.json);
        }
        if !chunk.rows.is_empty() && !self.total.is_over(self.args.max_errors) {
            match self.kind {
                Kind::Customers(_) => self.send_customers(&chunk).await?,
                Kind::Events(_) => self.send_events(&chunk).await?,
            }
        }
        if self.total.is_over(self.args.max_errors) {
            return Ok(()); // nothing of this chunk was applied: it comes again
        }
        let Some(resume) = &mut self.resume else { return Ok(()) };
        let Total { accepted, duplicates, rejected, passed, .. } = self.total;
        let hash = match &self.kind {
            Kind::Customers(rows) => rows.rows.hash(),
            Kind::Events(rows) => rows.rows.hash(),
        };
        let reject_bytes = self.rejects.as_ref().map_or(0, |rejects| rejects.bytes);
        let rows = passed + accepted + duplicates + rejected;
        resume.note(Reached { rows, hash, reject_bytes })
    }

    async fn send_customers(&mut self, chunk: &LoadChunk) -> Result<(), Failure> {
        let Kind::Customers(rows) = &self.kind else { return Ok(()) };
        let left = self.total.left(self.args.max_errors);
        let path = self.args.path(left, self.rejects.is_some());
        let answer = send(self.client, chunk, &path, self.total.accepted > 0).await?;
        let answer = understood(answer, left.is_some(), chunk.rows.len() as u64)?;
        self.total.accepted += answer["accepted"].as_u64().unwrap_or(0);
        self.total.rejected += answer["rejected"].as_u64().unwrap_or(0);
        self.total.sequence = answer["sequence"].as_u64().or(self.total.sequence);
        let clears = matches!(self.args.mode, Mode::Replace) || self.args.empty == Some(Empty::Clear);
        self.total.count(chunk.cells, clears);
        for error in answer["errors"].as_array().into_iter().flatten() {
            let column = error["column"].as_u64().and_then(|number| rows.column(number)).map(str::to_owned);
            let line = row_of(chunk, error).map_or(0, |row| row.line);
            let detail = detail_of(error);
            self.total.keep(Rejection { line, column, detail }, &self.args.file, !self.args.json);
        }
        for reject in answer["rejects"].as_array().into_iter().flatten() {
            if let (Some(row), Some(rejects)) = (row_of(chunk, reject), &mut self.rejects) {
                rejects.write(row.number, &detail_of(reject), &row.shown)?;
            }
        }
        if let Some(sync) = &mut self.sync {
            chunk.rows.iter().for_each(|row| sync.took(row.customer.as_deref(), row.line));
        }
        Ok(())
    }

    async fn send_events(&mut self, chunk: &LoadChunk) -> Result<(), Failure> {
        let answer = send(self.client, chunk, "/v1/events", self.total.accepted > 0).await?;
        let answer = understood_events(answer)?;
        let listed = answer["rejected"].as_array().map(Vec::as_slice).unwrap_or_default();
        self.total.accepted += answer["accepted"].as_u64().unwrap_or(0);
        self.total.duplicates += answer["duplicates"].as_u64().unwrap_or(0);
        self.total.rejected += listed.len() as u64 + answer["omitted"].as_u64().unwrap_or(0);
        self.total.sequence = answer["sequence"].as_u64().or(self.total.sequence);
        for reject in listed {
            let index = reject["index"].as_u64().and_then(|index| usize::try_from(index).ok());
            let Some(row) = index.and_then(|index| chunk.rows.get(index)) else { continue };
            let detail = detail_of(reject);
            if let Some(rejects) = &mut self.rejects {
                rejects.write(row.number, &detail, &row.shown)?;
            }
            let rejection = Rejection { line: row.line, column: None, detail };
            self.total.keep(rejection, &self.args.file, !self.args.json);
        }
        Ok(())
    }
}

impl Args {
    /// The path that chunks of customers are sent to.
    fn path(&self, max_errors: Option<u64>, rejects: bool) -> String {
        let mode = match self.mode {
            Mode::Upsert => "upsert",
            Mode::Replace => "replace",
        };
        let mut path = format!("/v1/customers?mode={mode}&dry_run={}", self.dry_run);
        if let Some(empty) = self.empty {
            path.push_str(match empty {
                Empty::Keep => "&empty=keep",
                Empty::Clear => "&empty=clear",
            });
        }
        if let Some(max_errors) = max_errors {
            path.push_str(&format!("&max_errors={max_errors}"));
        }
        if rejects {
            path.push_str("&rejects=true");
        }
        path
    }
}

/// The row of a chunk that the server's error is about.
fn row_of<'c>(chunk: &'c LoadChunk, error: &Value) -> Option<&'c SentRow> {
    chunk.rows.get(chunk.row_of(error["line"].as_u64()?)?)
}

/// What is wrong, with what to try.
fn detail_of(error: &Value) -> String {
    let detail = error["detail"].as_str().unwrap_or("rejected");
    error["hint"].as_str().map_or_else(|| detail.to_owned(), |hint| format!("{detail}; {hint}"))
}
