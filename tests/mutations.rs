//! Whatever people do to a file, nothing of it is dropped without a word: what is read without an error and
//! without a warning says to Usher what it says to another reader of YAML, PyYAML.
//!
//! The texts are those of the reference and of the example bundles, spoilt as people spoil them. What PyYAML
//! cannot read, such as a tab before a comment, it is asked again without what means nothing.
//! `USHER_PYTHON` names a folder with PyYAML; without it, or without `python3`, that test is skipped.
//! `USHER_MUTATIONS` sets how many are tried, `USHER_SEED` with which seed to begin.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, unreachable_pub)]

#[path = "mutations/mutate.rs"]
mod mutate;
#[path = "../src/testing.rs"]
mod testing;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use fastrand::Rng;
use mutate::mutate;
use serde_json::Value;
use testing::rounds;
use usher::bundle::Bundle;
use usher::bundle::golden::Golden;
use usher::bundle::import::Mapping;
use usher::bundle::population::Population;
use usher::input::document::{Input, InputValue};
use usher::input::problem::{Problems, Source};
use usher::input::yaml::doubts;
use usher::intake::computed::read_schema;
use usher::rules::rule_set::RuleSet;
use usher::schema::Schema;

/// How many texts are put to the other reader at once.
const BATCH: usize = 500;
/// Of so many mutations one is of an example bundle, whose files are long.
const ONE_LONG_IN: usize = 20;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A right text, and what reads it.
struct Document {
    /// Its path in its bundle, which says what it is.
    path: String,
    text: String,
    schema: Arc<Schema>,
}

impl Document {
    /// Reads a text in this one's place, up to all errors in it.
    fn read(&self, text: &str) -> Result<(), Problems> {
        match self.path.as_str() {
            "schema.yaml" => read_schema("t", text).map(drop),
            "golden.yaml" => Golden::parse("t", text, &self.schema).map(drop),
            "population.yaml" => Population::parse("t", text, &self.schema).map(drop),
            path if path.starts_with("imports/") => Mapping::parse("t", text, &self.schema).map(drop),
            _ => RuleSet::parse("t", text, &self.schema).map(drop),
        }
    }
}

/// The bundles of a page of the reference: each block with its path.
fn blocks(page: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("docs/reference").join(page)).unwrap();
    let mut found = Vec::new();
    for part in text.split("Save this as `").skip(1) {
        let (path, rest) = part.split_once("`:\n\n```yaml\n").unwrap_or(("", ""));
        if let (Some((_, file)), Some((block, _))) = (path.split_once('/'), rest.split_once("```")) {
            found.push((file.to_owned(), block.to_owned()));
        }
    }
    found
}

fn files(bundle: &Path) -> Vec<(String, String)> {
    let folders = ["", "rule-sets", "imports"].map(|folder| bundle.join(folder));
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    let shown = |path: &PathBuf| path.strip_prefix(bundle).unwrap().to_str().unwrap().to_owned();
    files.iter().map(|path| (shown(path), fs::read_to_string(path).unwrap())).collect()
}

/// The documents of a bundle; none, if it has no schema.
fn documents(files: Vec<(String, String)>) -> Vec<Document> {
    let Some((_, schema)) = files.iter().find(|(path, _)| path == "schema.yaml") else { return Vec::new() };
    let schema = Arc::new(Schema::parse("schema.yaml", schema).unwrap());
    let made = files.into_iter().map(|(path, text)| Document { path, text, schema: Arc::clone(&schema) });
    let right: Vec<Document> = made.filter(|document| document.read(&document.text).is_ok()).collect();
    right
}

/// The other reader, which answers in batches.
struct Other {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Other {
    fn start() -> Option<Other> {
        let Some(packages) = std::env::var_os("USHER_PYTHON") else {
            println!("skipped: USHER_PYTHON does not name a folder with PyYAML");
            return None;
        };
        let mut python = Command::new("python3");
        python.arg(root().join("tests/mutations/reader.py")).env("PYTHONPATH", packages);
        python.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut child) = python.spawn() else {
            println!("skipped: there is no python3");
            return None;
        };
        let (asks, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Some(Other { child, asks, answers })
    }

    fn read(&mut self, texts: &[String]) -> Vec<Value> {
        writeln!(self.asks, "{}", texts.len()).unwrap();
        for text in texts {
            writeln!(self.asks, "{}", text.len()).unwrap();
            self.asks.write_all(text.as_bytes()).unwrap();
        }
        self.asks.flush().unwrap();
        let mut answer = || {
            let mut line = String::new();
            self.answers.read_line(&mut line).unwrap();
            serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
        };
        texts.iter().map(|_| answer()).collect()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Whether both readers read the same.
fn same(ours: &Input<'_>, theirs: &Value) -> bool {
    let text = || theirs[1].as_str().unwrap_or_default();
    let plain = theirs[2] == true;
    match (&ours.value, theirs[0].as_str()) {
        (InputValue::Text(ours), Some("s")) => ours == text(),
        (InputValue::Null, Some("s")) => plain && matches!(text(), "" | "~" | "null" | "Null" | "NULL"),
        (InputValue::Bool(b), Some("s")) => plain && text().to_lowercase() == b.to_string(),
        (InputValue::Int(i), Some("s")) => plain && number(text()) == Some(*i as f64),
        (InputValue::Float(x), Some("s")) => plain && number(text()) == Some(*x),
        (InputValue::List(items), Some("l")) => {
            let others = theirs[1].as_array().unwrap();
            items.len() == others.len() && items.iter().zip(others).all(|(ours, theirs)| same(ours, theirs))
        }
        (InputValue::Map(entries), Some("m")) => {
            let others = theirs[1].as_array().unwrap();
            let pair = |((key, value), theirs): (&(usher::input::document::Key<'_>, Input<'_>), &Value)| {
                theirs[0][0] == "s" && theirs[0][1] == *key.text && same(value, &theirs[1])
            };
            entries.len() == others.len() && entries.iter().zip(others).all(pair)
        }
        _ => false,
    }
}

/// The text without what means nothing but makes PyYAML stumble: tabs in lines that are blank or only a
/// comment, `...` before the document begins, byte-order marks behind the first comments.
fn eased(text: &str) -> String {
    let text = text.replace('\u{feff}', "");
    let text = text.strip_prefix("...").unwrap_or(&text);
    let idle = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    text.split_inclusive('\n').map(|line| if idle(line) { "\n" } else { line }).collect()
}

/// The number that digits stand for.
fn number(text: &str) -> Option<f64> {
    let text = text.replace('_', "");
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, text.strip_prefix('+').unwrap_or(&text)),
    };
    let based = [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)];
    let based = based.into_iter().find_map(|(prefix, base)| Some((digits.strip_prefix(prefix)?, base)));
    Some(
        sign * match based {
            Some((digits, base)) => i64::from_str_radix(digits, base).ok()? as f64,
            None => digits.parse().ok()?,
        },
    )
}

/// One try: a text, spoilt with this seed.
struct Try<'d> {
    document: &'d Document,
    seed: u64,
    how: String,
    text: String,
}

impl Try<'_> {
    /// What is wrong: the text is read without a word, and says something else to the other reader.
    fn fault(&self, theirs: &Value) -> Option<String> {
        let source = Arc::new(Source { name: "t".into(), text: self.text.clone() });
        let ours = Input::from_yaml(&source).ok()?; // refused
        let agree = theirs["odd"].as_array().is_some_and(Vec::is_empty) && same(&ours, &theirs["tree"]);
        if agree || !doubts(&source).is_empty() || self.document.read(&self.text).is_err() {
            return None;
        }
        let (before, after): (Vec<&str>, Vec<&str>) =
            (self.document.text.lines().collect(), self.text.lines().collect());
        let from = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
        let shown = after.iter().skip(from).take(3).map(|line| format!("  {line:?}\n")).collect::<String>();
        let said = theirs["error"].as_str().map_or_else(|| theirs["odd"].to_string(), str::to_owned);
        Some(format!("seed {}: {} in {}: {said}\n{shown}", self.seed, self.how, self.document.path))
    }
}

#[test]
fn a_spoilt_text_is_refused_or_warned_about_or_says_what_it_says() {
    let Some(mut other) = Other::start() else { return };
    let pages = ["rule-sets.md", "golden.md", "mapping.md", "schema.md", "conditions.md"];
    let short: Vec<Document> = pages.iter().flat_map(|page| documents(blocks(page))).collect();
    let models = ["models/retail-bank", "models/bank-marketing"];
    let long: Vec<Document> =
        models.iter().flat_map(|folder| documents(files(&root().join(folder)))).collect();
    assert!(short.len() >= 8 && long.len() >= 12, "{} and {} texts", short.len(), long.len());
    let setting = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let tries = setting("USHER_MUTATIONS").unwrap_or(rounds(500, 20_000) as usize);
    let first = setting("USHER_SEED").unwrap_or(0);
    let (mut faults, mut refused, mut read) = (Vec::new(), 0, 0);
    for batch in (0..tries).step_by(BATCH) {
        let make = |seed: usize| {
            let mut random = Rng::with_seed(seed as u64);
            let from = if random.usize(..ONE_LONG_IN) == 0 { &long } else { &short };
            let document = &from[random.usize(..from.len())];
            let (mut text, how) = mutate(&document.text, &mut random);
            let mut how = how.to_owned();
            if random.u8(..4) == 0 && !text.is_empty() {
                let (again, more) = mutate(&text, &mut random);
                (text, how) = (again, format!("{how}, {more}"));
            }
            Try { document, seed: seed as u64, how, text }
        };
        let made: Vec<Try<'_>> = (batch..tries.min(batch + BATCH)).map(|i| make(first + i)).collect();
        let texts: Vec<String> = made.iter().map(|made| made.text.clone()).collect();
        for (made, theirs) in made.iter().zip(other.read(&texts)) {
            if made.document.read(&made.text).is_err() {
                refused += 1;
            } else {
                read += 1;
            }
            // A text that PyYAML cannot read may still have one meaning.
            let again = made.fault(&theirs).is_some() && theirs["error"].is_string();
            let theirs = if again { other.read(&[eased(&made.text)]).remove(0) } else { theirs };
            faults.extend(made.fault(&theirs));
        }
        if faults.len() > 30 {
            break;
        }
    }
    println!("{refused} refused, {read} read");
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.concat());
}

/// Every field of a rule set, with a letter too many, is refused: no name is read over.
#[test]
fn a_misspelt_field_is_refused() {
    let bundle = documents(blocks("rule-sets.md"));
    let document = bundle.iter().find(|document| document.path.starts_with("rule-sets/")).unwrap();
    let fields = [
        "rule_set",
        "description",
        "experiments",
        "variants",
        "salt",
        "exclusion",
        "holdout",
        "percent",
        "parameters",
        "default",
        "tags",
        "placements",
        "channels",
        "count",
        "fallback",
        "caps",
        "max",
        "per",
        "timezone",
        "groups",
        "budgets",
        "customers",
        "hold",
        "offers",
        "attributes",
        "product",
        "risk",
        "value",
        "group",
        "when",
        "schedule",
        "until",
        "hours",
        "days",
        "priority",
        "propensity",
        "boost",
        "reason",
        "suppress",
        "dismiss",
        "treatments",
        "placement",
        "locale",
        "content",
        "variant",
        "learned",
        "prior",
        "half_life",
        "floor",
        "by",
        "guardrails",
        "window",
    ];
    for field in fields {
        let text = &document.text;
        let stands = |at: &usize| {
            let line = text[..*at].rsplit('\n').next().unwrap_or_default();
            let remark = line.contains('#');
            let before = line.chars().next_back().is_none_or(|c| " {,".contains(c));
            !remark && before && text[at + field.len()..].starts_with(':')
        };
        let found: Vec<usize> = text.match_indices(field).map(|(at, _)| at).filter(stands).collect();
        assert!(!found.is_empty(), "the reference has no example of `{field}`");
        for at in found {
            for wrong in [format!("{field}x"), field.to_uppercase()] {
                let spoilt = format!("{}{wrong}{}", &text[..at], &text[at + field.len()..]);
                assert!(document.read(&spoilt).is_err(), "`{wrong}` was read over:\n{spoilt}");
            }
        }
    }
}

/// A file or folder that is renamed as people rename it is read as before, or named.
#[test]
fn a_renamed_file_is_read_or_named() {
    let bundle = root().join("models/bank-marketing");
    let files = files(&bundle);
    for seed in 0..rounds(60_u64, 600) {
        let mut random = Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        let (unlucky, _) = &files[random.usize(..files.len())];
        let renamed = rename(unlucky, &mut random);
        for (path, text) in &files {
            let to = folder.path().join(if path == unlucky { &renamed } else { path });
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(to, text).unwrap();
        }
        let read = Bundle::read(folder.path());
        let (stem, same) =
            (|path: &str| path.rsplit_once('/').map(|(_, name)| name.to_owned()), unlucky == &renamed);
        let told = read.as_ref().is_err() || read.as_ref().is_ok_and(|bundle| !bundle.doubts.is_empty());
        let as_before = same
            || (renamed.starts_with("rule-sets/") || renamed.starts_with("imports/"))
                && stem(&renamed).is_some_and(|name| name.ends_with(".yaml") || name.ends_with(".yml"))
                && renamed.matches('/').count() == 1;
        assert!(told || as_before, "{unlucky} as {renamed} is dropped without a word");
    }
}

fn rename(path: &str, random: &mut Rng) -> String {
    let (folder, name) = path.rsplit_once('/').map_or((None, path), |(folder, name)| (Some(folder), name));
    let (stem, _) = name.split_once('.').unwrap();
    let name = match random.u8(..8) {
        0 => format!("{stem}.yml"),
        1 => format!("{stem}.YAML"),
        2 => format!("{stem}s.yaml"),
        3 => name[..1].to_uppercase() + &name[1..],
        4 => format!("{stem}.yaml.bak"),
        5 => format!("{stem}.json"),
        6 => format!("{stem}.txt"),
        _ => name.to_owned(),
    };
    match (folder, random.u8(..6)) {
        (None, 0) => format!("bundle/{name}"),
        (None, _) => name,
        (Some(folder), 0) => format!("{}/{name}", folder.replace('-', "_")),
        (Some(folder), 1) => format!("{folder}/team/{name}"),
        (Some(folder), 2) => format!("{}/{name}", folder.trim_end_matches('s')),
        (Some(folder), 3) => format!("{}/{name}", folder.to_uppercase()),
        (Some(_), 4) => name,
        (Some(folder), _) => format!("{folder}/{name}"),
    }
}
