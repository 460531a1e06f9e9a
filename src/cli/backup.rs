//! `usher backup`: copies a data directory, also one that a server is writing to.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::config;
use super::ending::{Ending, Failure};
use super::terminal::{thousands, with_bytes};
use crate::storage::data_dir::backup::{Copied, copy};

/// Copy a data directory, also while a server is running on it; every byte of the copy is checked
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: usher backup --data data backups/monday

The copy is a data directory itself: the newest snapshot and all durable records after it. It holds what was acknowledged when \
    the command began, and the keys of tokens, so it is as secret as the original. A copy that was broken off goes on when the \
    same command is given again. `usher restore backups/monday --data NEW` puts it back. With `--sync never` run \
    `usher compact` before.")]
pub(super) struct Args {
    /// Where to put the copy: a new or empty directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The data directory to copy [env: USHER_DATA] [default: `data` of usher.toml]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print the result as one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let data = config::data_directory(args.data.as_deref())?;
    let copied = with_progress(&data, &args.directory)?;
    tell(&copied, &args.directory, args.json);
    Ok(Ending::Done)
}

/// Copies, and shows how far it is.
pub(super) fn with_progress(from: &Path, to: &Path) -> Result<Copied, Failure> {
    let copied = with_bytes("copied", |told| copy(from, to, told));
    copied.map_err(|refused| Failure::of_directory(&refused, from))
}

/// Says what a directory holds now.
pub(super) fn tell(copied: &Copied, directory: &Path, json: bool) {
    let Copied { sequence, snapshot, bytes, kept, damaged_snapshots } = *copied;
    let directory = directory.display().to_string();
    if damaged_snapshots > 0 {
        complain!("warning: the newest snapshot is damaged, and an older one was taken: see `usher verify`");
    }
    if json {
        say!(
            "{}",
            json!({
                "directory": directory, "sequence": sequence, "snapshot": snapshot, "bytes": bytes, "kept": kept,
                "damaged_snapshots": damaged_snapshots,
            })
        );
        return;
    }
    let base =
        if snapshot == 0 { "all records".to_owned() } else { format!("the snapshot of record {snapshot}") };
    say!(
        "{directory} holds everything up to record {sequence}, from {base}: {} bytes, all checked",
        thousands(bytes)
    );
    if kept > 0 {
        say!("{} of them had been copied before", thousands(kept));
    }
}
