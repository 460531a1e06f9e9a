//! `usher repair`: going on after damage, without what comes after it.

use std::path::PathBuf;

use super::ending::{Ending, Failure};
use crate::storage::data_dir::repair::{Repaired, repair};

/// Give up a record of a damaged data directory and everything after it; what is cut is kept beside
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: usher repair data --cut-at 1042

`usher verify data` says which record is the first that cannot be trusted. Writes that were acknowledged are lost from \
    there on: look for a copy of the directory first. What is cut stays in files that end in .cut-N; whoever was erased may \
    still be in them, so remove them when they are not needed any more.")]
pub(super) struct Args {
    /// The data directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The first record to give up
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    cut_at: u64,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let Repaired { last, kept } = repair(&args.directory, args.cut_at)?;
    if last + 1 < args.cut_at {
        say!(
            "record {} is part of a submission that begins with record {}: all of it is given up",
            args.cut_at,
            last + 1
        );
    }
    say!("the journal ends with record {last} now");
    for file in kept {
        say!("kept what was cut: {}", args.directory.join(file).display());
    }
    Ok(Ending::Done)
}
