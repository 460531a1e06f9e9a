//! `usher verify`: checks every byte of a data directory.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::ending::{Ending, Failure};
use super::terminal::{thousands, with_bytes};
use crate::storage::data_dir::verify::{JournalReport, Report, StateReport, verify};
use crate::storage::durability::SnapshotInfo;
use crate::storage::refused::Refused;

/// Check every byte of a data directory: journal, snapshots, keys and small files. Describe what it holds;
/// nothing is changed
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: usher verify data

The server must not be running; for a running one, use GET /v1/snapshots. Two directories have the same digest if they hold \
    the same customers with their contacts, the same schema, rule sets, budgets and counts. Exit code 1 if anything is damaged.")]
pub(super) struct Args {
    /// The data directory to check
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Print the report as one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let report = with_bytes("read", |told| verify(&args.directory, told));
    let report = report.map_err(|refused| Failure::of_directory(&refused, &args.directory))?;
    if args.json {
        say!("{}", document(&report, &args.directory));
    } else {
        tell(&report, &args.directory);
    }
    Ok(if report.problems.is_empty() { Ending::Done } else { Ending::FoundWrong })
}

fn tell(report: &Report, directory: &Path) {
    for SnapshotInfo { sequence, customers, bytes, digest, .. } in &report.snapshots {
        let (customers, bytes) = (thousands(*customers), thousands(*bytes));
        say!("snapshot  at record {sequence}: {customers} customers, {bytes} bytes, digest {digest:016x}");
    }
    report.journal.iter().for_each(tell_journal);
    if let Some(keys) = report.token_keys {
        say!("keys      {keys} that sign and check tokens");
    }
    if let Some(StateReport { sequence, customers, digest, features, rule_sets }) = &report.state {
        say!("state     after record {sequence}: {} customers, {features} features", thousands(*customers));
        for (name, versions, active) in rule_sets {
            let active = active
                .map_or_else(|| "none active".to_owned(), |active| format!("version {active} is active"));
            say!("rule set  {name}: {versions} versions, {active}");
        }
        say!("digest    {digest:016x}");
    }
    for problem in &report.problems {
        complain!("error: {problem}");
        if let Some(hint) = problem.hint(directory) {
            complain!("  = {hint}");
        }
    }
}

fn tell_journal(JournalReport { first, last, segments, bytes, torn, marked }: &JournalReport) {
    let bytes = thousands(*bytes);
    if last < first {
        say!("journal   no records after {last}: {segments} segments, {bytes} bytes");
    } else {
        say!("journal   records {first} to {last}, all whole: {segments} segments, {bytes} bytes");
    }
    if marked < last {
        say!(
            "          nothing is lost: the file `mark` was last written at record {marked}, as a kill leaves it, and a \
             start takes all up to {last}"
        );
    }
    if *torn > 0 {
        say!(
            "          {torn} bytes at the end are torn; their writes were never acknowledged, and a start cuts them"
        );
    }
}

fn document(report: &Report, directory: &Path) -> Value {
    let mut document = json!({
        "whole": report.problems.is_empty(),
        "snapshots": report.snapshots.iter().map(snapshot).collect::<Vec<_>>(),
        "problems": report.problems.iter().map(|found| problem(found, directory)).collect::<Vec<_>>(),
    });
    if let Some(journal) = &report.journal {
        document["journal"] = json!({
            "first": journal.first,
            "last": journal.last,
            "segments": journal.segments,
            "bytes": journal.bytes,
            "torn": journal.torn,
            "marked": journal.marked,
        });
    }
    if let Some(keys) = report.token_keys {
        document["token_keys"] = keys.into();
    }
    if let Some(state) = &report.state {
        document["sequence"] = state.sequence.into();
        document["customers"] = state.customers.into();
        document["features"] = state.features.into();
        document["digest"] = format!("{:016x}", state.digest).into();
        let rule_set = |(name, versions, active): &(String, u64, Option<u32>)| json!({"name": name, "versions": versions, "active": active});
        document["rule_sets"] = state.rule_sets.iter().map(rule_set).collect();
    }
    document
}

fn snapshot(info: &SnapshotInfo) -> Value {
    json!({
        "sequence": info.sequence,
        "customers": info.customers,
        "bytes": info.bytes,
        "digest": format!("{:016x}", info.digest),
    })
}

fn problem(problem: &Refused, directory: &Path) -> Value {
    json!({
        "detail": problem.to_string(),
        "file": problem.file,
        "offset": problem.offset,
        "sequence": problem.sequence,
        "hint": problem.hint(directory),
    })
}
