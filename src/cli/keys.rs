//! `usher keys`: makes and rotates the file of keys that nodes share to check each other's proposition
//! tokens.

use std::path::PathBuf;

use super::ending::{Ending, Failure};
use crate::storage::token_keys;
use crate::storage::token_keys::Rotated;

/// Make or rotate the keys that sign proposition tokens, for nodes that share them
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: usher keys new token.keys, then copy it to each node: usher serve --token-keys token.keys"
)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a file with one new key; an existing file is not touched
    #[command(after_help = "Example: usher keys new token.keys")]
    New(File),
    /// Add a new key that signs from then on; the former key is still accepted, older ones are dropped
    #[command(after_help = "Example: usher keys rotate token.keys

Copy the file to all nodes, then restart them one after the other. A node that has not been restarted refuses tokens that \
    the others sign with the new key. To avoid that, swap the two lines of the file before the first round of restarts: all \
    nodes then know the new key, and none signs with it. Swap them back, and restart all nodes once more.

Rotate again only when the tokens of the former key have expired (--token-life). If a key leaked, rotate twice at once.")]
    Rotate(File),
}

#[derive(Debug, clap::Args)]
struct File {
    /// The file that holds the keys
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    match &args.action {
        Action::New(File { file }) => {
            token_keys::create(file)?;
            say!(
                "made {}, which only its owner may read; start every node with a copy of it: usher serve --token-keys {}",
                file.display(),
                file.display()
            );
        }
        Action::Rotate(File { file }) => say!("{}", told(&token_keys::rotate(file)?)),
    }
    Ok(Ending::Done)
}

/// Tells what changed and what to do next.
fn told(Rotated { new, former, dropped }: &Rotated) -> String {
    let dropped = match dropped {
        Some(id) => format!(" Key {id} is dropped: its tokens will be refused."),
        None => String::new(),
    };
    format!(
        "key {new} is new and signs once nodes are restarted; tokens of key {former} are still accepted.{dropped}\nCopy the \
         file to all nodes and restart them one after the other. A node that is not restarted refuses tokens of key {new}."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_says_which_tokens_are_refused_and_what_to_do() {
        let text = told(&Rotated { new: 3, former: 2, dropped: Some(1) });
        for part in ["key 3 is new", "key 2 are still accepted", "Key 1 is dropped", "one after the other"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!told(&Rotated { new: 2, former: 1, dropped: None }).contains("dropped"));
    }
}
