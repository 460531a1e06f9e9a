//! `usher man`: writes the manual pages, one for the program and one for each command.

use std::path::{Path, PathBuf};

use clap_mangen::Man;

use super::ending::{Ending, Failure};

/// Write the manual pages into a folder: usher.1, and one for each command
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  usher man ~/.local/share/man/man1")]
pub(super) struct Args {
    /// The folder; it is made if it does not exist
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn run(args: &Args, command: clap::Command) -> Result<Ending, Failure> {
    let folder = &args.folder;
    std::fs::create_dir_all(folder).map_err(|e| cannot_write(folder, &e))?;
    let mut command = command.disable_help_subcommand(true);
    command.build(); // gives each command the name that its page has
    let count = write(&command, "usher", folder)?;
    say!("{count} pages in {}", folder.display());
    Ok(Ending::Done)
}

/// Writes the page of a command, and those of the commands below it. Returns how many.
fn write(command: &clap::Command, name: &str, folder: &Path) -> Result<usize, Failure> {
    let path = folder.join(format!("{name}.1"));
    let mut page = Vec::new();
    let man = Man::new(command.clone()).title(name.to_uppercase()).section("1");
    man.render(&mut page).map_err(|e| cannot_write(&path, &e))?;
    std::fs::write(&path, page).map_err(|e| cannot_write(&path, &e))?;
    let below = command.get_subcommands().filter(|below| below.get_name() != "help");
    let counts = below.map(|below| write(below, &format!("{name}-{}", below.get_name()), folder));
    Ok(1 + counts.sum::<Result<usize, Failure>>()?)
}

fn cannot_write(path: &Path, why: &std::io::Error) -> Failure {
    Failure::new(format!("cannot write {}: {why}", path.display()))
}
