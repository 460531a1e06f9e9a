//! What the code must not become: checks of the source itself.
#![allow(clippy::unwrap_used, clippy::panic)] // a file that cannot be read fails the test

#[path = "tidy/arrows.rs"]
mod arrows;
#[path = "tidy/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use arrows::Arrows;
use source::{Module, production, root, rust_files, shown};

/// The rooms in the order of the arrows: a file names only rooms before its own.
const ROOMS: [&str; 16] = [
    "input",
    "schema",
    "customer",
    "expression",
    "learning",
    "rules",
    "engine",
    "decide",
    "intake",
    "state",
    "insight",
    "storage",
    "node",
    "http",
    "bundle",
    "cli",
];
/// The last room of the core.
const LAST_OF_CORE: &str = "insight";

/// What has no place in the core: no runtime, no files, no sockets, no clock, no randomness, no JSON values.
const FORBIDDEN_IN_CORE: [&str; 9] = [
    "tokio",
    "std::fs",
    "std::net",
    "std::io",
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
    "fastrand",
    "serde_json::Value",
];

/// Crates that may have to be replaced, each with the one place that may name it.
const CONFINED: [(&str, &str); 3] =
    [("bincode::", "src/storage/codec"), ("cel::", "src/expression/parse"), ("dashmap::", "src/state/store")];

/// The most production lines a file has.
const MAX_LINES: usize = 500;
/// Files that have more, with what they have. A number may only shrink.
const LONG_FILES: [(&str, usize); 0] = [];

/// The most lines a function has.
const MAX_FUNCTION_LINES: usize = 60;
/// Functions that have more: plain matches and tables. A number may only shrink.
const LONG_FUNCTIONS: [(&str, usize); 0] = [];

/// The most characters a line of comment has, its indentation included.
const MAX_COMMENT: usize = 110;

fn rank(room: &str) -> Option<usize> {
    ROOMS.iter().position(|known| *known == room)
}

#[test]
fn every_entry_of_src_is_a_room_and_lib_rs_lists_them_in_their_order() {
    let mut entries: Vec<String> = fs::read_dir(root().join("src"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    entries.sort();
    let mut expected: Vec<&str> = ROOMS.iter().copied().chain(["lib.rs", "main.rs", "testing.rs"]).collect();
    expected.sort_unstable();
    assert_eq!(entries, expected, "a new room needs its place in the list of rooms");
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let declared: Vec<&str> =
        lib.lines().filter_map(|line| Some(line.strip_prefix("pub mod ")?.split_once(';')?.0)).collect();
    assert_eq!(declared, ROOMS);
}

#[test]
fn a_file_names_only_rooms_before_its_own() {
    let sources = production();
    assert!(sources.len() > 150, "the files were not found");
    let mut wrong = Vec::new();
    for (from, to) in Arrows::of(sources).0 {
        let Some(own) = from.first().and_then(|room| rank(room)) else { continue };
        for (module, name) in to {
            if module.first().and_then(|room| rank(room)).is_some_and(|rank| rank > own) {
                wrong.push(format!("{} names {name}", from.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that lead back up:\n{}", wrong.join("\n"));
}

#[test]
fn no_circle_joins_files_of_different_folders() {
    let sources = production();
    let modules: BTreeSet<&Module> = sources.iter().map(|source| &source.module).collect();
    // The head of a folder, `x.rs` beside `x/`, belongs to the folder.
    let folder = |module: &Module| {
        let is_head = modules.iter().any(|other| other.len() > module.len() && other.starts_with(module));
        if is_head { module.clone() } else { module[..module.len() - 1].to_vec() }
    };
    let arrows = Arrows::of(sources);
    let mut wrong = Vec::new();
    for circle in arrows.circles() {
        let folders: BTreeSet<Module> = circle.iter().map(|module| folder(module)).collect();
        if folders.len() > 1 {
            let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
            wrong.push(names.join(" "));
        }
    }
    assert!(wrong.is_empty(), "these name each other across folders:\n{}", wrong.join("\n"));
}

#[test]
fn the_core_knows_no_runtime_no_files_no_clock() {
    let last = rank(LAST_OF_CORE).unwrap();
    let sources = production();
    let core = sources
        .iter()
        .filter(|source| source.module.first().and_then(|room| rank(room)).is_some_and(|rank| rank <= last));
    let mut files = 0;
    for source in core {
        files += 1;
        for line in code(&source.text) {
            for word in FORBIDDEN_IN_CORE {
                assert!(!line.contains(word), "{}: {word} has no place in the core: {line}", source.path);
            }
        }
    }
    assert!(files > 80, "the core was not found");
}

#[test]
fn crates_that_may_go_are_known_to_one_place() {
    for source in production() {
        for (word, home) in CONFINED {
            let at_home = source.path.strip_prefix(home).is_some_and(|rest| rest.starts_with(['.', '/']));
            let strange = code(&source.text).find(|line| line.contains(word)).filter(|_| !at_home);
            assert!(strange.is_none(), "{}: {word} belongs in {home} alone: {strange:?}", source.path);
        }
    }
}

fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// Holds every size to the bound, but for the named exceptions, which hold their own.
fn check_sizes(found: &BTreeMap<String, usize>, bound: usize, exceptions: &[(&str, usize)]) {
    let exceptions: BTreeMap<&str, usize> = exceptions.iter().copied().collect();
    for (name, size) in found {
        let most = exceptions.get(name.as_str()).copied().unwrap_or(bound);
        assert!(*size <= most, "{name} has {size} lines; at most {most} are allowed: split it by its nouns");
    }
    for (name, most) in exceptions {
        let size = found.get(name).copied().unwrap_or_default();
        assert!(most > bound, "{name} is an exception without need");
        assert!(size == most, "{name} has {size} lines now: lower its exception from {most}, or remove it");
    }
}

#[test]
fn files_stay_short() {
    let sizes = production().iter().map(|source| (source.path.clone(), source.lines)).collect();
    check_sizes(&sizes, MAX_LINES, &LONG_FILES);
}

#[test]
fn functions_stay_short() {
    let mut sizes = BTreeMap::new();
    for source in production() {
        for (name, lines) in &source.functions {
            let longest = sizes.entry(format!("{}: {name}", source.path)).or_insert(0);
            *longest = (*lines).max(*longest);
        }
    }
    assert!(sizes.len() > 1_500, "the functions were not found");
    check_sizes(&sizes, MAX_FUNCTION_LINES, &LONG_FUNCTIONS);
}

#[test]
fn comments_fit_the_width_of_a_page() {
    let folders = ["src", "tests", "benches", "examples", "loadtest", "peers"];
    let mut wide = Vec::new();
    for path in folders.into_iter().filter(|folder| root().join(folder).exists()).flat_map(rust_files) {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim_start().starts_with("//") && line.chars().count() > MAX_COMMENT {
                wide.push(format!("{}:{number}", shown(&path)));
            }
        }
    }
    assert!(wide.is_empty(), "comments of more than {MAX_COMMENT} characters:\n{}", wide.join("\n"));
}
