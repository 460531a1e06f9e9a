//! `usher repair`: cuts a damaged journal, so that the directory can be used up to the damage.

use std::path::PathBuf;

use super::ending::{Ending, Failure};
use crate::storage::data_dir::repair::{Repaired, repair};

/// Cut a damaged data directory before a record, and lose it and everything after it; the cut part is kept in
/// files
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: usher repair data --cut-at 1042

`usher verify data` names the first record that cannot be trusted. All writes from there on are lost, acknowledged ones \
    too, so look for a copy of the directory first. The cut part stays in files that end in .cut-N. They may hold erased \
    customers, so remove them when you no longer need them.")]
pub(super) struct Args {
    /// The data directory to repair
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The first record to cut
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    cut_at: u64,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let Repaired { last, kept } = repair(&args.directory, args.cut_at)
        .map_err(|refused| Failure::of_directory(&refused, &args.directory))?;
    if last + 1 < args.cut_at {
        say!(
            "record {} is part of a submission that begins with record {}: all of it is cut",
            args.cut_at,
            last + 1
        );
    }
    say!("the journal now ends with record {last}");
    for file in kept {
        say!("the cut part is kept in {}", args.directory.join(file).display());
    }
    Ok(Ending::Done)
}
