//! The files of a bundle: which of them are read, and which lie there unread.

use std::path::{Path, PathBuf};

use crate::input::problem::{Problem, Problems, Source, nearest};

/// The files at the top of a bundle that are read. Every bundle has the first.
pub(super) const FILES: [&str; 3] = [SCHEMA, GOLDEN, POPULATION];
pub(super) const SCHEMA: &str = "schema.yaml";
pub(super) const GOLDEN: &str = "golden.yaml";
pub(super) const POPULATION: &str = "population.yaml";
/// The folders of a bundle whose `.yaml` and `.yml` files are read.
const FOLDERS: [&str; 2] = [RULE_SETS, IMPORTS];
pub(super) const RULE_SETS: &str = "rule-sets";
pub(super) const IMPORTS: &str = "imports";
/// Files for people, which may lie anywhere: any of these names, with any ending.
const FOR_PEOPLE: [&str; 4] = ["readme", "license", "changelog", "owners"];
/// The most files that are named one by one as unread.
const MAX_UNREAD: usize = 50;

/// Reads a text file.
///
/// # Errors
/// The file cannot be read; the problem says why.
pub fn read_file(path: &Path) -> Result<Source, Problems> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Source { name: path.display().to_string(), text }),
        Err(e) => Err(Problems::one(format!("cannot read {}: {e}", path.display()))),
    }
}

pub(super) fn read_optional(path: &Path) -> Result<Option<Source>, Problems> {
    if path.exists() { read_file(path).map(Some) } else { Ok(None) }
}

/// Reads the `.yaml` and `.yml` files of a folder in the order of their names. A missing folder counts as
/// empty.
pub(super) fn read_folder(folder: &Path) -> Result<Vec<Source>, Problems> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = entries(folder)?;
    let read = entries.iter().filter(|path| is_read(path) && !is_hidden(&name_of(path)));
    read.map(|path| read_file(path)).collect()
}

/// A problem for each file and folder of a bundle that nobody reads. Hidden ones and those for people are
/// left out.
///
/// # Errors
/// A folder cannot be read.
pub(super) fn unread(bundle: &Path) -> Result<Problems, Problems> {
    let mut problems = Problems::new();
    for path in entries(bundle)? {
        let name = name_of(&path);
        if FOLDERS.contains(&&*name) && path.is_dir() {
            inside(&path, &mut problems)?;
        } else if !(FILES.contains(&&*name) || is_hidden(&name) || is_for_people(&name)) {
            problems.push(lost(&path, &name));
        }
        if problems.count() > MAX_UNREAD {
            break;
        }
    }
    Ok(problems)
}

/// Adds what is not read of a folder whose files are read.
fn inside(folder: &Path, problems: &mut Problems) -> Result<(), Problems> {
    for path in entries(folder)? {
        let name = name_of(&path);
        if is_hidden(&name) || is_for_people(&name) || (is_read(&path) && !path.is_dir()) {
            continue;
        }
        if path.is_dir() {
            let problem = Problem::new(format!("{} is not read, nor is anything in it", path.display()));
            problems.push(problem.hint(format!("move its files to {}", folder.display())));
        } else {
            let problem = Problem::new(format!("{} is not read", path.display()));
            let renamed = Path::new(&name).with_extension("yaml");
            problems.push(
                problem.hint(format!("the files read here end in `.yaml`: call it {}", renamed.display())),
            );
        }
    }
    Ok(())
}

/// A file or folder at the top of a bundle that is not read, with the name that would be.
fn lost(path: &Path, name: &str) -> Problem {
    let folder = path.is_dir();
    let what = if folder { "is not read, nor is anything in it" } else { "is not read" };
    let problem = Problem::new(format!("{} {what}", path.display()));
    let stem = |name: &str| name.split('.').next().unwrap_or_default().to_lowercase();
    let known: &[&str] = if folder { &FOLDERS } else { &FILES };
    let same = known.iter().find(|known| {
        let (known, found) = (stem(known), stem(name));
        known == found || format!("{known}s") == found || known == format!("{found}s")
    });
    match same.copied().or_else(|| nearest(name, known.iter().copied())) {
        Some(known) => problem.hint(format!("did you mean `{known}`?")),
        None if is_yaml(name) => problem.hint("rule sets lie in `rule-sets/`, column mappings in `imports/`"),
        None => problem.hint(format!(
            "a bundle has {}, {RULE_SETS}/ and {IMPORTS}/; keep other files elsewhere",
            FILES.join(", ")
        )),
    }
}

/// The entries of a folder in the order of their names.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Problems> {
    let unreadable = |e: std::io::Error| Problems::one(format!("cannot read {}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        paths.push(entry.map_err(unreadable)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// The problem that a bundle has no schema, with the file that may have been meant to be it.
pub(super) fn no_schema(bundle: &Path) -> Problem {
    let problem = Problem::new(format!("{} has no {SCHEMA}", bundle.display()));
    let names: Vec<String> = entries(bundle).unwrap_or_default().iter().map(|path| name_of(path)).collect();
    let near = names.iter().find(|name| name.to_lowercase().starts_with("schema."));
    problem.hint(match near {
        Some(name) => format!("there is a {name}: call it {SCHEMA}"),
        None => format!("a bundle is a folder with {SCHEMA} and {RULE_SETS}/*.yaml"),
    })
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether a file's ending says that it is read.
fn is_read(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn is_yaml(name: &str) -> bool {
    let name = name.to_lowercase();
    name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json")
}

fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

fn is_for_people(name: &str) -> bool {
    let name = name.to_lowercase();
    name.ends_with(".md") || FOR_PEOPLE.contains(&name.split('.').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    #[test]
    fn what_is_not_read_is_named_with_the_name_that_would_be() {
        for (file, hint) in [
            ("rule-sets/team/guard.yaml", Some("move its files to")),
            ("rule-sets/guard.YAML", Some("call it guard.yaml")),
            ("rule-sets/guard.txt", Some("call it guard.yaml")),
            ("rule-sets/guard", Some("call it guard.yaml")),
            ("rule-sets/guard.yaml~", Some("call it guard.yaml")),
            ("rule_sets/guard.yaml", Some("did you mean `rule-sets`?")),
            ("Rule-Sets/guard.yaml", Some("did you mean `rule-sets`?")),
            ("rulesets/guard.yaml", Some("did you mean `rule-sets`?")),
            ("import/bank.yaml", Some("did you mean `imports`?")),
            ("golden.yml", Some("did you mean `golden.yaml`?")),
            ("goldens.yaml", Some("did you mean `golden.yaml`?")),
            ("Golden.yaml", Some("did you mean `golden.yaml`?")),
            ("golden.json", Some("did you mean `golden.yaml`?")),
            ("populations.yaml", Some("did you mean `population.yaml`?")),
            ("schema.yml", Some("did you mean `schema.yaml`?")),
            ("guardrails.yaml", Some("rule sets lie in `rule-sets/`")),
            ("customers.csv", Some("keep other files elsewhere")),
            ("rule-sets/cards.yaml", None),
            ("rule-sets/cards.yml", None),
            ("imports/bank.yaml", None),
            ("golden.yaml", None),
            ("README.md", None),
            ("rule-sets/README.txt", None),
            ("LICENSE", None),
            (".gitignore", None),
            ("rule-sets/.cards.yaml.swp", None),
        ] {
            let folder = folder(&["schema.yaml", file]);
            let found: Vec<_> = unread(folder.path()).unwrap().iter().map(ToString::to_string).collect();
            match hint {
                Some(hint) => assert!(found.len() == 1 && found[0].contains(hint), "{file}: {found:?}"),
                None => assert!(found.is_empty(), "{file}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_folder_that_is_no_bundle_says_what_is_missing() {
        let told = |files: &[&str]| no_schema(folder(files).path()).to_string();
        assert!(told(&[]).contains("has no schema.yaml") && told(&[]).contains("rule-sets/*.yaml"));
        assert!(told(&["Schema.yaml"]).contains("there is a Schema.yaml: call it schema.yaml"));
    }
}
