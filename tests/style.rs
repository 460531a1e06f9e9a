//! Help pages and messages read as CONTRIBUTING.md asks: plain English, one thought a sentence, at most 30
//! words, no full stop at the end of a message. Messages are found in the source, as the arguments of what
//! makes problems, failures and refusals.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{Visit, visit_expr_call, visit_expr_method_call};

const USHER: &str = env!("CARGO_BIN_EXE_usher");
/// The most words of a sentence.
const MAX_WORDS: usize = 30;
/// The widest line of a help page; a terminal of 100 columns shows it whole.
const MAX_COLUMNS: usize = 100;
/// Words that say nothing, belittle, or have a plainer twin.
const NOT_HERE: [&str; 22] = [
    "please",
    "sorry",
    "oops",
    "simply",
    "obviously",
    "whoever",
    "utilize",
    "utilise",
    "e.g.",
    "i.e.",
    "etc.",
    "his",
    "her",
    "hers",
    "he",
    "she",
    "illegal",
    "erroneous",
    "aforementioned",
    "therein",
    "hereby",
    "whitelist",
];

/// What is wrong with the style of a text for people.
fn faults(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let plain = without_quotes(text);
    for sentence in plain.split(['.', ':', ';', '\n', '!', '?']).map(str::trim) {
        let words =
            sentence.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).count();
        if words > MAX_WORDS {
            found.push(format!("a sentence of {words} words: {sentence}"));
        }
    }
    let lower = plain.to_lowercase();
    for word in lower.split(|c: char| c.is_whitespace() || ",;:()\"'".contains(c)) {
        if NOT_HERE.contains(&word) {
            found.push(format!("the word `{word}`"));
        }
    }
    if plain.contains('!') {
        found.push("an exclamation mark".into());
    }
    if text.contains("  ") && !text.contains('\n') {
        found.push("two blanks in a row".into());
    }
    found
}

/// A text without what stands in backticks or quotes, which is shown as it is and counts as one word.
fn without_quotes(text: &str) -> String {
    let mut out = String::new();
    for (i, part) in text.split('`').enumerate() {
        out.push_str(if i % 2 == 0 { part } else { "x" });
    }
    let mut plain = String::new();
    let mut inside = false;
    for c in out.chars() {
        match c {
            '{' => {
                inside = true;
                plain.push('x');
            }
            '}' => inside = false,
            c if !inside => plain.push(c),
            _ => {}
        }
    }
    plain
}

#[test]
fn the_rules_of_style_are_kept_by_what_is_good_and_broken_by_what_is_not() {
    for (text, wrong) in [
        ("expected a number, found `x! please`", false),
        ("please write a number", true),
        ("there is no such offer!", true),
        ("write it in quotes:  \"x\"", true),
        (&"word ".repeat(31), true),
        (&"word ".repeat(30), false),
        (&format!("{} {{detail}}", "word ".repeat(29).trim()), false),
    ] {
        assert_eq!(!faults(text).is_empty(), wrong, "{text}");
    }
}

// ---- help pages

fn help(command: &[String]) -> String {
    let out = Command::new(USHER).args(command).arg("--help").env_clear().output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

/// The help page of each command, by its name.
fn helps() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(command) = open.pop() {
        let page = help(&command);
        let listed = page.lines().skip_while(|line| *line != "Commands:").skip(1);
        let listed = listed.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("    "));
        let names = listed.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
        open.extend(names.map(|name| [&command[..], &[name.to_owned()]].concat()));
        found.insert(command.join(" "), page);
    }
    found
}

#[test]
fn help_pages_read_well() {
    let mut wrong = Vec::new();
    let pages = helps();
    assert!(pages.len() > 20, "{:?}", pages.keys());
    for (name, page) in &pages {
        let mut fault = |what: String| wrong.push(format!("usher {name}: {what}"));
        // Commands are shown as they are typed; the rest is prose.
        let is_typed = |line: &&str| {
            line.starts_with("  usher") || line.starts_with("  echo") || line.starts_with("Usage")
        };
        let prose: Vec<&str> = page.lines().filter(|line| !is_typed(line)).collect();
        let prose = prose.join("\n");
        for paragraph in prose.split("\n\n") {
            let joined = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
            let lines = paragraph.lines().filter(|line| line.starts_with("  "));
            if lines.count() == 0 {
                faults(&joined).into_iter().for_each(&mut fault);
            }
        }
        for paragraph in prose.split("\n\n").filter(|paragraph| !paragraph.contains("\n  ")) {
            let lines: Vec<&str> = paragraph.lines().collect();
            // Text that was broken by hand is broken once more, and leaves words alone on their lines.
            let short = lines.iter().rev().skip(1).find(|line| line.chars().count() < MAX_COLUMNS / 2);
            if let Some(short) = short.filter(|short| !short.ends_with(':')) {
                fault(format!("a line that ends in the middle of its paragraph: {short}"));
            }
        }
        for line in page.lines().filter(|line| line.chars().count() > MAX_COLUMNS) {
            fault(format!("a line of {} columns: {line}", line.chars().count()));
        }
        let first = page.lines().next().unwrap_or_default();
        if first.ends_with('.') && !first.contains(". ") && !name.is_empty() {
            fault(format!("a full stop after the summary: {first}"));
        }
        if !first.starts_with(char::is_uppercase) {
            fault(format!("a summary that does not begin as a sentence: {first}"));
        }
        let shows = page.contains("Example") || name == "keys" || name == "repair";
        if !shows {
            fault("no example".into());
        }
    }
    assert!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), wrong.join("\n"));
}

// ---- messages

/// Names of functions and methods whose texts people read.
const SAID_BY: [&str; 12] = [
    "problem",
    "key_problem",
    "refuse",
    "hint",
    "one",
    "problems",
    "wrong",
    "unexpected",
    "spanning",
    "warn",
    "nobody",
    "failure",
];
/// Types whose `new` takes such a text.
const MADE_OF: [&str; 4] = ["Problem", "Failure", "Refusal", "Draft"];

/// The messages in one file, each with its line.
#[derive(Default)]
struct Messages {
    found: Vec<(usize, String)>,
}

impl Messages {
    fn take(&mut self, argument: &syn::Expr) {
        match argument {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => {
                self.found.push((text.span().start().line, text.value()));
            }
            syn::Expr::Macro(call) if call.mac.path.is_ident("format") => {
                if let Some((line, text)) = first_text(call.mac.tokens.clone()) {
                    self.found.push((line, text));
                }
            }
            syn::Expr::Reference(inner) => self.take(&inner.expr),
            syn::Expr::MethodCall(call) if call.method == "into" || call.method == "to_owned" => {
                self.take(&call.receiver);
            }
            _ => {}
        }
    }
}

fn first_text(tokens: TokenStream) -> Option<(usize, String)> {
    match tokens.into_iter().next()? {
        TokenTree::Literal(literal) => {
            let line = literal.span().start().line;
            let text = syn::parse_str::<syn::LitStr>(&literal.to_string()).ok()?;
            Some((line, text.value()))
        }
        _ => None,
    }
}

impl<'ast> Visit<'ast> for Messages {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.ident != "tests" {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let syn::Expr::Path(path) = &*call.func {
            let names: Vec<String> =
                path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            let said = match &names[..] {
                [.., made, new] if new == "new" => MADE_OF.contains(&made.as_str()),
                [.., last] => SAID_BY.contains(&last.as_str()),
                [] => false,
            };
            if said {
                call.args.iter().for_each(|argument| self.take(argument));
            }
        }
        visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if SAID_BY.contains(&call.method.to_string().as_str()) {
            call.args.iter().for_each(|argument| self.take(argument));
        }
        visit_expr_method_call(self, call);
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

#[test]
fn messages_read_well() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    let (mut wrong, mut count) = (Vec::new(), 0);
    for path in paths.iter().filter(|path| !path.components().any(|part| part.as_os_str() == "tests")) {
        let file = syn::parse_file(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut messages = Messages::default();
        messages.visit_file(&file);
        for (line, text) in &messages.found {
            count += 1;
            let mut fault = |what: String| {
                wrong.push(format!(
                    "{}:{line}: {what}\n    {text}",
                    path.strip_prefix(&root).unwrap().display()
                ));
            };
            faults(text).into_iter().for_each(&mut fault);
            if text.ends_with('.') && !text.ends_with("..") {
                fault("a full stop at its end".into());
            }
            let begins = text.split_whitespace().next().unwrap_or_default();
            let capital = begins.starts_with(|c: char| c.is_ascii_uppercase());
            let is_name =
                begins.chars().skip(1).any(|c| !c.is_ascii_lowercase()) || ["Usher"].contains(&begins);
            if capital && !is_name {
                fault("it begins with a capital letter".into());
            }
        }
    }
    assert!(count > 500, "only {count} messages were found");
    assert!(wrong.is_empty(), "{} faults in {count} messages:\n{}", wrong.len(), wrong.join("\n"));
}
