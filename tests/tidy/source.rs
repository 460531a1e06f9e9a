//! The crate's files, parsed: which module each is, which lines are its production code, and which paths it
//! names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree, Visibility};

/// A module as the names from the crate's root: `["schema", "parse"]`.
pub(crate) type Module = Vec<String>;

/// One file of `src/`, without what is only compiled for tests.
pub(crate) struct Source {
    /// From the repository's root, with `/`.
    pub(crate) path: String,
    pub(crate) module: Module,
    /// Lines outside of items that are only compiled for tests.
    pub(crate) lines: usize,
    /// Each function with its lines, from its signature to its brace.
    pub(crate) functions: Vec<(String, usize)>,
    /// Every path it names, from the crate's root.
    pub(crate) named: BTreeSet<Module>,
    /// What it offers under another path: the name, from the root, and what it stands for.
    pub(crate) offered: BTreeMap<Module, Module>,
    /// The text of all production lines, comments included.
    pub(crate) text: String,
}

/// All Rust files below a folder of the repository.
pub(crate) fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![root().join(folder)];
    while let Some(folder) = left.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for entry in entries.map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                if !entry.ends_with("target") {
                    left.push(entry);
                }
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                found.push(entry);
            }
        }
    }
    found.sort();
    found
}

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The path from the repository's root.
pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/")
}

/// The production files of `src/`, read once. Files that only tests declare are left out.
pub(crate) fn production() -> &'static [Source] {
    static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(read);
    &SOURCES
}

fn read() -> Vec<Source> {
    let files = rust_files("src");
    let parsed: Vec<_> = files.iter().map(|path| (module_of(path), path, parse(path))).collect();
    let modules: BTreeSet<Module> = parsed.iter().map(|(module, ..)| module.clone()).collect();
    let for_tests: BTreeSet<Module> = parsed
        .iter()
        .flat_map(|(module, _, (_, file))| {
            let of_tests = file.items.iter().filter(|item| is_for_tests(attributes(item)));
            of_tests.filter_map(|item| match item {
                Item::Mod(declared) => Some(joined(module, &declared.ident.to_string())),
                _ => None,
            })
        })
        .collect();
    let is_production =
        |module: &Module| (1..=module.len()).all(|length| !for_tests.contains(&module[..length]));
    parsed
        .iter()
        .filter(|(module, ..)| is_production(module))
        .map(|(module, path, (text, file))| Source::new(shown(path), module.clone(), text, file, &modules))
        .collect()
}

fn parse(path: &Path) -> (String, syn::File) {
    let text = fs::read_to_string(path).unwrap();
    let file = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    (text, file)
}

fn module_of(path: &Path) -> Module {
    let inside = path.strip_prefix(root().join("src")).unwrap().with_extension("");
    let mut module: Module = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|name| name == "mod") || module == ["lib"] {
        module.pop();
    }
    module
}

fn joined(module: &[String], name: &str) -> Module {
    let mut joined = module.to_vec();
    joined.push(name.to_owned());
    joined
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let tokens = match &attribute.meta {
            syn::Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string(),
            _ => return false,
        };
        tokens.split(|c: char| !c.is_alphanumeric()).any(|word| word == "test")
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

impl Source {
    fn new(path: String, module: Module, text: &str, file: &syn::File, modules: &BTreeSet<Module>) -> Source {
        let mut reader = Reader {
            modules,
            module: &module,
            tests: Vec::new(),
            functions: Vec::new(),
            named: BTreeSet::new(),
            offered: BTreeMap::new(),
            bare: BTreeSet::new(),
        };
        reader.visit_file(file);
        let Reader { tests, functions, mut named, offered, bare, .. } = reader;
        // What a head both offers and uses itself, it names.
        let used = offered.iter().filter(|(here, _)| here.last().is_some_and(|name| bare.contains(name)));
        named.extend(used.map(|(_, target)| target.clone()));
        let is_production = |line: usize| tests.iter().all(|(first, last)| line < *first || line > *last);
        let lines: Vec<&str> =
            (1..).zip(text.lines()).filter(|(line, _)| is_production(*line)).map(|(_, text)| text).collect();
        let text = lines.join("\n");
        let lines = text.trim_end().lines().count();
        Source { path, module, lines, functions, named, offered, text }
    }
}

struct Reader<'s> {
    modules: &'s BTreeSet<Module>,
    module: &'s [String],
    /// First and last lines of items for tests.
    tests: Vec<(usize, usize)>,
    functions: Vec<(String, usize)>,
    named: BTreeSet<Module>,
    offered: BTreeMap<Module, Module>,
    /// First names of paths.
    bare: BTreeSet<String>,
}

impl Reader<'_> {
    /// The path from the crate's root, if it leads into the crate.
    fn absolute(&self, path: &[String]) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" | "super" => {
                let mut base = self.module.to_vec();
                let mut rest = path;
                while let Some((first, after)) = rest.split_first() {
                    match first.as_str() {
                        "self" => {}
                        "super" => drop(base.pop()),
                        _ => break,
                    }
                    rest = after;
                }
                base.extend_from_slice(rest);
                Some(base)
            }
            child if self.modules.contains(&joined(self.module, child)) => {
                let mut base = self.module.to_vec();
                base.extend_from_slice(path);
                Some(base)
            }
            _ => None,
        }
    }

    fn names(&mut self, path: &[String]) {
        self.named.extend(self.absolute(path));
    }

    fn uses(&mut self, tree: &UseTree, before: &mut Module, offered: bool) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.uses(&path.tree, before, offered);
                before.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.uses(tree, before, offered)),
            UseTree::Glob(_) => self.names(before),
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                self.used(&name, &name, before, offered);
            }
            UseTree::Rename(name) => {
                self.used(&name.ident.to_string(), &name.rename.to_string(), before, offered);
            }
        }
    }

    fn used(&mut self, name: &str, here: &str, before: &[String], offered: bool) {
        let path = if name == "self" { before.to_vec() } else { joined(before, name) };
        match (offered, self.absolute(&path)) {
            (true, Some(path)) => drop(self.offered.insert(joined(self.module, here), path)),
            _ => self.names(&path),
        }
    }

    /// Paths in what a macro is given, which is no syntax tree.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Module = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.names(&std::mem::take(&mut path));
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                other => {
                    self.names(&std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.names(&path);
    }

    fn function(&mut self, name: &syn::Ident, whole: proc_macro2::Span, signature: proc_macro2::Span) {
        self.functions.push((name.to_string(), whole.end().line + 1 - signature.start().line));
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_for_tests(attributes(item)) {
            self.tests.push((item.span().start().line, item.span().end().line));
        } else {
            visit::visit_item(self, item);
        }
    }

    /// `pub(in crate::room)` says who may see, not what is named.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let offered = !matches!(item.vis, Visibility::Inherited);
        self.uses(&item.tree, &mut Vec::new(), offered);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Module = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.bare.extend(segments.first().cloned());
        if segments.len() > 1 {
            self.names(&segments);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, given: &'ast syn::Macro) {
        self.tokens(given.tokens.clone());
        visit::visit_macro(self, given);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig.ident, item.span(), item.sig.span());
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if is_for_tests(&item.attrs) {
            self.tests.push((item.span().start().line, item.span().end().line));
            return;
        }
        self.function(&item.sig.ident, item.span(), item.sig.span());
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.function(&item.sig.ident, item.span(), item.sig.span());
        visit::visit_trait_item_fn(self, item);
    }
}
