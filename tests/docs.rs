//! What the Markdown pages show is what happens: every command is typed, every answer compared, every link
//! followed.
//!
//! A page is a script. Its blocks are taken in order, in one bash session a page, in an empty folder:
//!
//! - `sh` is typed, with `usher` on the path. Each command must end with 0, unless the page shows what is
//!   printed.
//! - `sh no-run` is not typed, but each `usher COMMAND --flag` must exist: for what takes minutes or other
//!   services.
//! - `text` directly behind `sh` is what that block prints, on both outputs. `…` stands for anything in a
//!   line, a line that is only `…` for any lines.
//! - `json` directly behind `sh` is the values it prints. `"…"` equals any value, `"AWk…"` a text that begins
//!   so, the key `"…"` any other keys, and `"…"` at the end of a list any other items.
//! - Any other block behind a paragraph that ends with a path, as in "Save this as `shop/schema.yaml`:", is
//!   written to that file. If the path is in `models/`, the repository's file must hold these lines instead.
//! - All other blocks are left alone.
//!
//! The session has a copy of the folder `models`, and of `bank-full.csv` where it can be found (see
//! `tests/bank_marketing.rs`); elsewhere a section whose commands name that file is left out. Copies, never
//! links: a page may write to whatever it sees. Port 8080 is a free port instead. A line `usher serve … &` is
//! waited for until the server is ready; its log is no part of what the block prints. `kill %1` ends the
//! server that was started last. A page must end within [`session::TIME_LIMIT`], and what it started is ended
//! with it.
//!
//! One page alone: `DOCS_PAGE=docs/tutorial.md cargo test --test docs`.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, reason = "tests may fail loudly")]

#[path = "docs/compare.rs"]
mod compare;
#[path = "docs/exists.rs"]
mod exists;
#[path = "docs/links.rs"]
mod links;
#[path = "docs/page.rs"]
mod page;
#[path = "docs/session.rs"]
mod session;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, io, thread};

use page::Page;

/// Pages typed at the same time: they mostly wait for servers to start.
const SESSIONS: usize = 4;
/// Their commands are checked to exist, but not typed: they build, measure or release the program.
const ONLY_READ: [&str; 3] = ["ARCHITECTURE.md", "CONTRIBUTING.md", "benches/README.md"];
/// Typed wherever they exist, besides all of `docs/`.
const TYPED: [&str; 3] = ["README.md", "models/README.md", "docker/README.md"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Markdown files of a folder, in order of their names.
fn markdown_in(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            markdown_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// These pages and, if asked for, those in `docs/`; `DOCS_PAGE` picks one.
fn pages(named: &[&str], docs: bool) -> Vec<Page> {
    let mut paths: Vec<PathBuf> = named.iter().map(|name| root().join(name)).filter(|p| p.exists()).collect();
    if docs {
        markdown_in(&root().join("docs"), &mut paths);
    }
    let only = env::var("DOCS_PAGE").ok();
    let name = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    let picked = paths.iter().map(|path| (name(path), path));
    let picked = picked.filter(|(name, _)| only.as_ref().is_none_or(|only| only == name));
    picked.map(|(name, path)| Page::read(name, &fs::read_to_string(path).unwrap())).collect()
}

/// Says so past the test harness, which keeps what passes to itself.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

#[track_caller]
fn none_of(what: &str, failures: &[String]) {
    assert!(failures.is_empty(), "{} {what}:\n\n{}\n", failures.len(), failures.join("\n\n"));
}

#[test]
fn every_command_does_what_its_page_shows() {
    if let Some(missing) = ["bash", "curl"].into_iter().find(|program| !session::has_program(program)) {
        return tell(&format!("skipped: there is no {missing} to type the commands of the pages into"));
    }
    let pages = pages(&TYPED, true);
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..SESSIONS {
            scope.spawn(|| {
                while let Some(page) = pages.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = session::type_page(page);
                    failures.lock().unwrap().extend(found);
                }
            });
        }
    });
    none_of("blocks do not do what their pages show", &failures.into_inner().unwrap());
}

#[test]
fn every_command_that_is_shown_exists() {
    let named = [&TYPED[..], &ONLY_READ[..]].concat();
    let failures: Vec<String> = pages(&named, true).iter().flat_map(exists::unknown_commands).collect();
    none_of("commands or flags do not exist", &failures);
}

#[test]
fn every_link_leads_somewhere() {
    let named = [&TYPED[..], &ONLY_READ[..]].concat();
    let failures: Vec<String> = pages(&named, true).iter().flat_map(links::broken_links).collect();
    none_of("links lead nowhere", &failures);
}
