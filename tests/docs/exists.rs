//! Whether the commands and flags that a page shows exist.

use std::collections::HashMap;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::page::{Page, Role, commands};

/// What `usher COMMAND --help` says, by command; nothing where there is no such command.
static HELP: Mutex<Option<HashMap<String, Option<String>>>> = Mutex::new(None);

fn help(command: &str) -> Option<String> {
    let mut known = HELP.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    let ask = || {
        let args = command.split(' ').chain(["--help"]);
        let output = Command::new(env!("CARGO_BIN_EXE_usher")).args(args).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    known.entry(command.to_owned()).or_insert_with(ask).clone()
}

/// One message for each command or flag that does not exist.
pub fn unknown_commands(page: &Page) -> Vec<String> {
    let blocks = page.blocks.iter().filter(|block| [Role::Command, Role::NotTyped].contains(&block.role));
    let lines = blocks.flat_map(|block| {
        commands(&block.text).into_iter().map(|line| (block.line, line)).collect::<Vec<_>>()
    });
    lines.flat_map(|(at, line)| unknown_in(&line).map(|what| format!("{}:{at}: {what}", page.name))).collect()
}

/// What does not exist of the program's commands in one line.
fn unknown_in(line: &str) -> Option<String> {
    let line = line.replace("cargo run --release -- ", "usher ");
    line.split(['|', '&', ';', '(', '`']).find_map(|part| unknown_command(part.trim()))
}

fn unknown_command(part: &str) -> Option<String> {
    let mut words = part.split_whitespace().skip_while(|word| word.contains('=') || *word == "while");
    if words.next()? != "usher" {
        return None;
    }
    let words: Vec<&str> = words.collect();
    let name = words.first().filter(|word| !word.starts_with('-'))?;
    let command = if *name == "keys" { words.get(..2)?.join(" ") } else { (*name).to_owned() };
    let Some(help) = help(&command) else { return Some(format!("there is no `usher {command}`")) };
    let flags = words.iter().filter(|word| word.starts_with("--") && word.len() > 2);
    let mut names = flags.map(|flag| flag.split('=').next().unwrap_or(flag));
    let unknown = names.find(|flag| !help.split([' ', '\n', ',', '=']).any(|word| word == *flag))?;
    Some(format!("`usher {command}` has no {unknown}"))
}
