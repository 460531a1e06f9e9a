//! `usher completions`: what a shell needs to complete commands and flags.

use clap_complete::Shell;

use super::ending::{Ending, Failure};

/// Print what a shell needs to complete commands and flags
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  usher completions bash > /etc/bash_completion.d/usher
  usher completions zsh > ~/.zfunc/_usher
  usher completions fish > ~/.config/fish/completions/usher.fish")]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args, mut command: clap::Command) -> Result<Ending, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "usher", &mut script);
    say!("{}", String::from_utf8_lossy(&script));
    Ok(Ending::Done)
}
