//! `usher keys`: the file of keys that nodes share to check each other's proposition tokens.

use std::path::PathBuf;

use super::ending::{Ending, Failure};
use crate::storage::token_keys;
use crate::storage::token_keys::Rotated;

/// Make or renew the keys that proposition tokens are signed with, for nodes that share them
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: usher keys new token.keys, then on each node a copy of it: usher serve --token-keys token.keys"
)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a file with one new key; one that is there already is not touched
    New(File),
    /// Put a new key first, which signs from then on; the one that signed is accepted still, anything older is dropped
    #[command(after_help = "Example: usher keys rotate token.keys

Copy the file to all nodes, then restart them one after the other. Until a node was restarted it refuses tokens that the \
    others sign with the new key. Where that must not happen, swap the two lines before the first round of restarts: all \
    nodes learn the new key and none signs with it. Then swap them back, and restart once more.

Rotate again only when tokens that the former key signed have expired (--token-life), or at once and twice if a key got out.")]
    Rotate(File),
}

#[derive(Debug, clap::Args)]
struct File {
    /// The file
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

/// What changed, and what is to be done.
fn told(Rotated { new, former, dropped }: &Rotated) -> String {
    let dropped = match dropped {
        Some(id) => format!(" Key {id} is dropped: from then on its tokens are refused."),
        None => String::new(),
    };
    format!(
        "key {new} is new and signs once nodes are restarted; tokens of key {former} are accepted still.{dropped}\nCopy the \
         file to all nodes and restart them one after the other; those that were not restarted refuse tokens of key {new}."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_says_which_tokens_are_refused_and_what_to_do() {
        let text = told(&Rotated { new: 3, former: 2, dropped: Some(1) });
        for part in ["key 3 is new", "key 2 are accepted", "Key 1 is dropped", "one after the other"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!told(&Rotated { new: 2, former: 1, dropped: None }).contains("dropped"));
    }
}
