//! `usher init`: writes a small bundle to begin from, or one that fits a file of customers.

mod facts;
mod guess;
mod start;
mod texts;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use self::facts::Facts;
use self::guess::{Guess, Guessed, guess};
use super::check::tell;
use super::ending::{Ending, Failure, report};
use super::load::customers::{CustomerRows, Keeps};
use super::load::objects::fields;
use super::load::open::Format;
use super::load::rows::{Content, FileRows};
use super::terminal::thousands;
use crate::bundle::import::{Mapping, cell};
use crate::bundle::{Bundle, read_file};
use crate::input::invisible::invisible;
use crate::input::problem::quoted;
use crate::node::clock;
use crate::schema::{FeatureId, MAX_FEATURES, Schema};

/// Begin a bundle: a small one to change, or with --from one that fits a file of customers
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  usher init bank
  usher init bank --from customers.csv
  usher init bank --from accounts.csv.gz --customer ACCOUNT_NO")]
pub(super) struct Args {
    /// The folder to write; it must not be there, or be empty
    dir: PathBuf,
    /// Guess the schema and a column mapping from this file of customers (CSV, NDJSON or JSON)
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// With --from: the column with the customer's id [default: found by its name]
    #[arg(long, value_name = "COLUMN", requires = "from")]
    customer: Option<String>,
    /// With --from: the file's format [default: from its name]
    #[arg(long, requires = "from")]
    format: Option<Format>,
    /// With --from: the character between the cells of a CSV file [default: found in the header]
    #[arg(long, value_name = "CHARACTER", requires = "from")]
    delimiter: Option<char>,
}

/// What was found in a file.
struct Found {
    columns: Vec<Facts>,
    rows: u64,
    /// Rows that cannot be read, and the first of them.
    wrong: u64,
    first: Option<(u64, String)>,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let dir = &args.dir;
    if dir.exists() && std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_some()) {
        let failure = Failure::new(format!("{} is there already", dir.display()));
        return Err(failure.hint("name a folder that is not there, or an empty one"));
    }
    let name = name_of(dir);
    match &args.from {
        None => {
            let files = start::FILES.map(|(path, text)| (path.to_owned(), text.replace("NAME", &name)));
            write(dir, &files)?;
            let ending = check(dir)?;
            say!("{}", begun(dir, &files));
            Ok(ending)
        }
        Some(file) => from_file(args, file, &name),
    }
}

fn from_file(args: &Args, file: &Path, name: &str) -> Result<Ending, Failure> {
    let dir = &args.dir;
    let found = read(args, file)?;
    if let Some(customer) =
        args.customer.as_deref().filter(|name| found.columns.iter().all(|c| c.name != *name))
    {
        return Err(Failure::new(format!("the file has no column {}", quoted(customer))));
    }
    if found.rows == 0 {
        return Err(Failure::new(format!("{} has no rows to guess from", file.display())));
    }
    let guesses = guess(&found.columns, args.customer.as_deref());
    let stem = file.file_name().unwrap_or_default().to_string_lossy();
    let mapping = name_of(Path::new(stem.split('.').next().unwrap_or_default()));
    let source = if file == Path::new("-") { "standard input".into() } else { stem };
    let files =
        texts::bundle(name, &source, &mapping, (&guesses, found.columns.iter().any(|facts| facts.padded)));
    write(dir, &files)?;
    let ending = check(dir)?;
    say!("{}", told(dir, file, &mapping, &guesses, &found));
    if ending == Ending::Done && file != Path::new("-") {
        say!("{}", fitting(args, file, &mapping)?);
    }
    Ok(ending)
}

/// A name for a schema or mapping, from the name of a folder or file.
fn name_of(path: &Path) -> String {
    let text = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let name = if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name.to_owned()
    } else {
        format!("bank-{name}")
    };
    name.chars().take(40).collect::<String>().trim_end_matches('-').to_owned()
}

/// Reads the whole file.
fn read(args: &Args, file: &Path) -> Result<Found, Failure> {
    let mut rows = FileRows::open(file, args.format, args.delimiter, false)?;
    let header = rows.header().cloned().unwrap_or_default();
    let mut found =
        Found { columns: header.iter().map(Facts::new).collect(), rows: 0, wrong: 0, first: None };
    while let Some(row) = rows.read_next()? {
        found.rows += 1;
        let taken = match row.content {
            Content::Cells(cells) => {
                found.columns.iter_mut().zip(cells).for_each(|(facts, cell)| facts.take(cell));
                Ok(())
            }
            Content::Object(text) => found.take_object(text),
            Content::Wrong(why) => Err(why),
        };
        if let Err(why) = taken {
            found.wrong += 1;
            found.first.get_or_insert((row.line, why));
        }
    }
    for facts in &mut found.columns {
        facts.are_words &= facts.words.iter().all(|word| invisible(word).is_none());
    }
    Ok(found)
}

impl Found {
    fn take_object(&mut self, text: &[u8]) -> Result<(), String> {
        for (key, value) in fields(text)? {
            let place = self.columns.iter().position(|facts| facts.name == key.text);
            let place = place.unwrap_or(self.columns.len());
            if place == MAX_FEATURES {
                return Err(format!("more than {MAX_FEATURES} fields"));
            }
            if place == self.columns.len() {
                self.columns.push(Facts::new(&key.text));
            }
            self.columns[place].take(&cell::of_input(&value.value)?);
        }
        Ok(())
    }
}

/// Writes the files of a bundle. None of them is there.
fn write(dir: &Path, files: &[(String, String)]) -> Result<(), Failure> {
    for (path, text) in files {
        let path = dir.join(path);
        let folder = path.parent().unwrap_or(dir);
        let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, text));
        written.map_err(|e| Failure::new(format!("cannot write {}: {e}", path.display())))?;
    }
    Ok(())
}

/// Checks what was written as `usher check --strict` does.
fn check(dir: &Path) -> Result<Ending, Failure> {
    match Bundle::read(dir)?.check() {
        Ok(checked) => {
            let warnings = checked.findings(clock::now()).warnings;
            tell(&warnings, false);
            Ok(if warnings.count() == 0 { Ending::Done } else { Ending::FoundWrong })
        }
        Err(problems) => Ok(report(&problems, false)),
    }
}

/// What was written without a file, and what to do next.
fn begun(dir: &Path, files: &[(String, String)]) -> String {
    let dir = dir.display();
    let files: Vec<String> = files.iter().map(|(path, _)| format!("  {dir}/{path}\n")).collect();
    format!(
        "{dir}: a small bundle, which `usher check --strict` finds right\n{}next:\n  \
         usher serve --models {dir} --data data &\n  \
         printf 'customer,balance,consent_marketing\\nc-1,12000,true\\n' | usher load - --format csv\n  \
         usher decide c-1 home_banner\n\
         then change the files, and publish them with `usher push {dir}`",
        files.concat()
    )
}

/// What was guessed, and what to look at.
fn told(dir: &Path, file: &Path, mapping: &str, guesses: &[Guess], found: &Found) -> String {
    let wide = guesses.iter().map(|guess| guess.column.chars().count()).max().unwrap_or(0).min(40);
    let mut text = format!("{}: from {} rows of {}\n", dir.display(), thousands(found.rows), file.display());
    for Guess { column, feature, kind, notation, doubt, .. } in guesses {
        let kind = match kind {
            Guessed::Customer => "the customer's id".to_owned(),
            Guessed::Ignored(why) => format!("ignored: {why}"),
            Guessed::Bool => format!("{feature}: true or false"),
            Guessed::Int { min, max } => format!("{feature}: whole number from {min} to {max}"),
            Guessed::Decimal { scale, .. } => format!("{feature}: number with {scale} decimals"),
            Guessed::Float { .. } => format!("{feature}: number"),
            Guessed::Enum(words) => format!("{feature}: one of {}", counted(words.len() as u64, "value")),
            Guessed::Set(words) => format!("{feature}: some of {}", counted(words.len() as u64, "word")),
            Guessed::Time => format!("{feature}: time"),
        };
        let notation = if notation.is_empty() { String::new() } else { format!(", {notation}") };
        let doubt = doubt.map(|doubt| format!(" ({doubt})")).unwrap_or_default();
        text.push_str(&format!("  {column:wide$}  {kind}{notation}{doubt}\n"));
    }
    if guesses.iter().all(|guess| guess.kind != Guessed::Customer) {
        text.push_str("no column is the customer's id: customers are called row-1, row-2 and so on; --customer says which is\n");
    }
    if let Some((line, why)) = &found.first {
        text.push_str(&format!(
            "{} cannot be read; the first is line {line}: {why}\n",
            counted(found.wrong, "row")
        ));
    }
    text.push_str(&format!(
        "next: look through {0}/schema.yaml, then\n  usher check --strict {0}\n  usher serve --models {0} --data data &\n  \
         usher load {1} --mapping {0}/imports/{mapping}.yaml\n",
        dir.display(),
        file.display()
    ));
    text
}

/// A number of things: `1 row`, `2 rows`.
fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(count), if count == 1 { "" } else { "s" })
}

/// Reads the file once more with what was written, and says how many rows fit.
fn fitting(args: &Args, file: &Path, mapping: &str) -> Result<String, Failure> {
    let schema = read_file(&args.dir.join("schema.yaml"))?;
    let schema = Schema::parse(&schema.name, &schema.text)?;
    let source = read_file(&args.dir.join(format!("imports/{mapping}.yaml")))?;
    let mapping = Mapping::parse(&source.name, &source.text, &schema)?;
    let rows = FileRows::open(file, args.format, args.delimiter, false)?;
    let mut rows = CustomerRows::new(rows, Some(&mapping), Keeps { shown: false, customer: false })?;
    let (mut fit, mut all) = (0, 0);
    let mut wrong: HashMap<String, u64> = HashMap::new();
    loop {
        let chunk = rows.next_chunk();
        if chunk.is_empty() {
            break;
        }
        all += (chunk.rows.len() + chunk.rejected.len()) as u64;
        chunk.rejected.iter().for_each(|row| *wrong.entry(row.rejection.detail.clone()).or_default() += 1);
        let mut reader = csv::Reader::from_reader(&chunk.body[..]);
        let names = reader.headers().cloned().unwrap_or_default();
        let features: Vec<_> = names.iter().map(|name| schema.feature_id(name)).collect();
        for cells in reader.records().flatten() {
            let read = |(id, cell): (&Option<FeatureId>, &str)| match id {
                Some(id) if !cell.is_empty() && !schema.feature(*id).kind.clears(cell) => {
                    schema.feature(*id).kind.read_text(cell, schema.zone()).map(|_| ())
                }
                _ => Ok(()),
            };
            match features.iter().zip(&cells).try_for_each(read) {
                Ok(()) => fit += 1,
                Err(why) => *wrong.entry(why).or_default() += 1,
            }
        }
        if let Some(failure) = chunk.broken {
            return Err(failure);
        }
    }
    let first = wrong.into_iter().max_by_key(|(_, count)| *count);
    let first = first.map(|(why, count)| format!("; {count} times: {why}")).unwrap_or_default();
    Ok(match all - fit {
        0 => format!("all {} rows of the file fit", thousands(all)),
        rest => format!("{} of {} rows of the file do not fit{first}", thousands(rest), thousands(all)),
    })
}
