//! `usher load`: sends customers from a file to a running server, in chunks below the server's limit.

mod chunk;
pub(super) mod records;
pub(super) mod rows;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use hyper::{Method, StatusCode, header};
use serde_json::{Value, json};

use self::chunk::{CellCounts, LoadChunk};
use self::rows::{FileRows, Format};
use super::client::{Client, ServerAnswer, ServerArgs};
use super::ending::{Ending, Failure, block_on};
use super::terminal::{Progress, thousands};
use crate::bundle::import::Mapping;
use crate::bundle::read_file;
use crate::schema::Schema;

/// The most errors that are shown. Further ones are only counted.
const MAX_SHOWN: usize = 100;
/// The most times that one chunk is sent to an overloaded server.
const MAX_ATTEMPTS: u32 = 10;
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Load customers from a CSV or NDJSON file (plain, .gz or .zst) into a running server
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  printf 'customer,age,aum\\nc-1001,41,600000\\n' | usher load - --format csv
  usher load customers.csv.gz --dry-run
  usher load bank-full.csv --mapping models/bank-marketing/imports/bank-full.yaml")]
pub(super) struct Args {
    /// The file to load; - is standard input
    file: PathBuf,
    /// A column mapping (imports/NAME.yaml of a bundle) for a foreign CSV file
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
    /// Check every row, but change nothing
    #[arg(long)]
    dry_run: bool,
    /// Stop when more rows than this are rejected; the chunk that exceeds it is not applied [default: no
    /// limit]
    #[arg(long, value_name = "N")]
    max_errors: Option<u64>,
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

/// What has happened to the rows so far.
#[derive(Default)]
struct Total {
    accepted: u64,
    rejected: u64,
    /// Cells of features in rows that were sent, by what they did to the value that was known before.
    kept: u64,
    cleared: u64,
    errors: Vec<Rejection>,
    sequence: Option<u64>,
    /// Whether loading stopped early because of too many errors.
    stopped: bool,
}

/// Why a row was rejected, and where it is in the file.
pub(super) struct Rejection {
    pub(super) line: u64,
    pub(super) column: Option<String>,
    pub(super) detail: String,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let mut client = Client::patient(&args.server.url())?;
    let mut progress = Progress::start();
    let total = block_on(load(&mut client, args, &mut progress))?;
    if args.json {
        say!("{}", total.json(&progress));
    } else {
        say!("{}", total.text(args.dry_run, &progress));
    }
    Ok(if total.rejected > 0 || total.stopped { Ending::FoundWrong } else { Ending::Done })
}

async fn load(client: &mut Client, args: &Args, progress: &mut Progress) -> Result<Total, Failure> {
    let mapping = match &args.mapping {
        Some(path) => {
            let source = read_file(path)?;
            Some(Mapping::parse(&source.name, &source.text, &schema_of(client).await?)?)
        }
        None => None,
    };
    let mut rows = FileRows::open(&args.file, args.format, args.delimiter, mapping.as_ref())?;
    let mut total = Total::default();
    while !total.stopped {
        let Some(mut chunk) = rows.next_chunk()? else { break };
        for rejection in chunk.rejected.drain(..) {
            total.reject(rejection, args);
        }
        if chunk.rows > 0 && !total.is_over(args.max_errors) {
            let answer = send(client, &chunk, args, total.left(args.max_errors)).await?;
            total.add(&answer, &chunk, &rows, args);
        }
        total.stopped = total.is_over(args.max_errors);
        progress.update(total.accepted + total.rejected, "rows");
    }
    progress.clear();
    Ok(total)
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

/// Sends a chunk, and repeats it while the server is overloaded.
async fn send(
    client: &mut Client,
    chunk: &LoadChunk,
    args: &Args,
    max_errors: Option<u64>,
) -> Result<Value, Failure> {
    let mode = match args.mode {
        Mode::Upsert => "upsert",
        Mode::Replace => "replace",
    };
    let mut path = format!("/v1/customers?mode={mode}&dry_run={}", args.dry_run);
    if let Some(empty) = args.empty {
        path.push_str(match empty {
            Empty::Keep => "&empty=keep",
            Empty::Clear => "&empty=clear",
        });
    }
    if let Some(max_errors) = max_errors {
        path.push_str(&format!("&max_errors={max_errors}"));
    }
    let headers = [(header::CONTENT_TYPE, chunk.media_type)];
    let mut attempt = 1;
    loop {
        let answer = client.send(Method::POST, &path, &headers, chunk.body.clone()).await?;
        match retry_after(&answer).filter(|_| attempt < MAX_ATTEMPTS) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return understood(answer, max_errors.is_some(), chunk.rows as u64),
        }
        attempt += 1;
    }
}

/// The result of a chunk. More errors than allowed is a result too: nothing was applied, and the errors are
/// listed.
fn understood(answer: ServerAnswer, limited: bool, sent: u64) -> Result<Value, Failure> {
    if answer.status == StatusCode::UNPROCESSABLE_ENTITY && limited {
        let refused = answer.json()?;
        if let Some(errors) = refused["errors"].as_array().filter(|_| refused["applied"] == 0) {
            let rejected = refused["rejected"].as_u64().unwrap_or_else(|| distinct_lines(errors));
            return Ok(json!({"accepted": 0, "rejected": rejected.min(sent), "errors": errors}));
        }
    }
    answer.success()
}

/// The number of rows with these errors, for a server that does not count them. A row may have several
/// errors.
fn distinct_lines(errors: &[Value]) -> u64 {
    let lines: HashSet<Option<u64>> = errors.iter().map(|error| error["line"].as_u64()).collect();
    lines.len() as u64
}

/// How long an overloaded server asks to wait. A 503 without `Retry-After` will not pass soon.
fn retry_after(answer: &ServerAnswer) -> Option<Duration> {
    let header =
        answer.headers.get(header::RETRY_AFTER).filter(|_| answer.status == StatusCode::SERVICE_UNAVAILABLE);
    let seconds = header?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_WAIT))
}

impl Total {
    fn reject(&mut self, rejection: Rejection, args: &Args) {
        self.rejected += 1;
        self.keep(rejection, args);
    }

    fn keep(&mut self, rejection: Rejection, args: &Args) {
        if self.errors.len() < MAX_SHOWN {
            if !args.json {
                let column =
                    rejection.column.as_ref().map_or_else(String::new, |column| format!(" column {column}:"));
                complain!("{}:{}:{column} {}", args.file.display(), rejection.line, rejection.detail);
            }
            self.errors.push(rejection);
        }
    }

    /// Adds the server's result of a chunk. Lines in the chunk become lines in the file.
    fn add(&mut self, answer: &Value, chunk: &LoadChunk, rows: &FileRows<'_>, args: &Args) {
        self.accepted += answer["accepted"].as_u64().unwrap_or(0);
        self.rejected += answer["rejected"].as_u64().unwrap_or(0);
        self.sequence = answer["sequence"].as_u64().or(self.sequence);
        let CellCounts { empty, null } = chunk.cells;
        let clears = matches!(args.mode, Mode::Replace) || args.empty == Some(Empty::Clear);
        let (kept, cleared) = if clears { (0, empty + null) } else { (empty, null) };
        (self.kept, self.cleared) = (self.kept + kept, self.cleared + cleared);
        for error in answer["errors"].as_array().into_iter().flatten() {
            let column = error["column"].as_u64().and_then(|number| rows.column(number)).map(str::to_owned);
            self.keep(
                Rejection {
                    line: chunk.file_line(error["line"].as_u64().unwrap_or(0)),
                    column,
                    detail: error["detail"].as_str().unwrap_or("rejected").to_owned(),
                },
                args,
            );
        }
    }

    fn is_over(&self, max_errors: Option<u64>) -> bool {
        max_errors.is_some_and(|max| self.rejected > max)
    }

    fn left(&self, max_errors: Option<u64>) -> Option<u64> {
        max_errors.map(|max| max.saturating_sub(self.rejected))
    }

    fn text(&self, dry_run: bool, progress: &Progress) -> String {
        let rows = self.accepted + self.rejected;
        let done = if dry_run { "right" } else { "accepted" };
        let more = self.rejected.saturating_sub(self.errors.len() as u64);
        let more = if more > 0 { format!(" ({} more not shown)", thousands(more)) } else { String::new() };
        let stopped = if self.stopped { "; stopped: too many errors" } else { "" };
        let noun = if rows == 1 { "row" } else { "rows" };
        format!(
            "{} {noun} in {:.1} s ({} rows/s): {} {done}, {} rejected{more}{stopped}{}{}",
            thousands(rows),
            progress.elapsed().as_secs_f64(),
            thousands(progress.rate(rows) as u64),
            thousands(self.accepted),
            thousands(self.rejected),
            self.cells(),
            if dry_run { "; nothing was changed" } else { "" },
        )
    }

    /// What cells without a value did; nothing if there were none.
    fn cells(&self) -> String {
        let part = |count: u64, one: &str, many: &str| match count {
            0 => String::new(),
            1 => format!("; 1 {one}"),
            _ => format!("; {} {many}", thousands(count)),
        };
        part(self.kept, "empty cell keeps what is known", "empty cells keep what is known")
            + &part(self.cleared, "cell clears its feature", "cells clear their features")
    }

    fn json(&self, progress: &Progress) -> Value {
        let errors = self.errors.iter();
        let errors: Vec<Value> =
            errors.map(|e| json!({"line": e.line, "column": e.column, "detail": e.detail})).collect();
        json!({"accepted": self.accepted, "rejected": self.rejected,
            "cells_kept": self.kept, "cells_cleared": self.cleared, "errors": errors, "sequence": self.sequence,
            "stopped": self.stopped, "seconds": progress.elapsed().as_secs_f64()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_chunk_counts_rows_not_errors() {
        let rejected = |body: Value, sent| {
            let (status, headers) = (StatusCode::UNPROCESSABLE_ENTITY, hyper::HeaderMap::new());
            let answer = ServerAnswer { status, headers, body: body.to_string().into() };
            understood(answer, true, sent).map_err(|f| f.to_string()).unwrap()["rejected"].clone()
        };
        let errors = json!([{"line": 2, "column": 1}, {"line": 2, "column": 2}, {"line": 7}]);
        assert_eq!(rejected(json!({"applied": 0, "errors": errors}), 9), 2);
        assert_eq!(rejected(json!({"applied": 0, "errors": errors, "rejected": 5_000}), 5_000), 5_000);
        assert_eq!(rejected(json!({"applied": 0, "errors": errors, "rejected": 12}), 9), 9);
    }
}
