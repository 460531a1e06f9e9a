//! `usher restore`: makes a data directory from a backup.

use std::path::PathBuf;

use super::backup;
use super::config;
use super::ending::{Ending, Failure};

/// Make a data directory from a backup; every byte of it is checked
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: usher restore backups/monday --data data

The data directory must be new or empty: move a damaged one aside first. A restore that was broken off goes on when the same \
    command is given again. Customers who were erased after the backup are in it again, so erase them again.")]
pub(super) struct Args {
    /// The directory that `usher backup` made
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The data directory to make [env: USHER_DATA] [default: `data` of usher.toml]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print the result as one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let data = config::data_directory(args.data.as_deref())?;
    let copied = backup::with_progress(&args.directory, &data)?;
    backup::tell(&copied, &data, args.json);
    Ok(Ending::Done)
}
