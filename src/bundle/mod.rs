//! A bundle: the folder of files that a data team writes, read and checked as a whole. `models/README.md`
//! shows the folder, and `docs/reference/` describes each file.

mod files;
pub mod golden;
pub mod import;
pub mod population;

use std::path::Path;
use std::sync::Arc;

pub use self::files::read_file;

use self::files::{read_folder, read_optional};
use self::golden::Golden;
use self::import::Mapping;
use self::population::Population;
use crate::engine::Engine;
use crate::input::cursor::Cursor;
use crate::input::document::{Input, InputValue};
use crate::input::problem::{Problem, Problems, Source};
use crate::insight::analysis::{AnalysisScope, WarningKind, Warnings, accept_aside, analyse};
use crate::insight::audience::reach;
use crate::insight::guardrails::{GuardrailFacts, GuardrailReport, understood};
use crate::intake::computed::read_schema;
use crate::node::define::{Define, check_length, parse_rule_sets};
use crate::rules::rule_set::RuleSet;
use crate::schema::Schema;
use crate::schema::value::Time;

/// A file of `models/retail-bank`, as it was when this program was built.
macro_rules! embedded {
    ($file:literal) => {
        (concat!("retail-bank/", $file), include_str!(concat!("../../models/retail-bank/", $file)))
    };
}

/// The rule sets of `models/retail-bank`, by file name.
const EMBEDDED_RULE_SETS: [(&str, &str); 6] = [
    embedded!("rule-sets/cards.yaml"),
    embedded!("rule-sets/guardrails.yaml"),
    embedded!("rule-sets/loans.yaml"),
    embedded!("rule-sets/placements.yaml"),
    embedded!("rule-sets/service.yaml"),
    embedded!("rule-sets/wealth.yaml"),
];

/// The texts of a bundle before any check. Each is named by its path, so that terminals can link to a
/// problem's place.
#[derive(Debug, Default)]
pub struct Bundle {
    /// The text of `schema.yaml`, which every bundle has.
    pub schema: Source,
    /// The texts of `rule-sets/*.yaml`, in the order of their names.
    pub rule_sets: Vec<Source>,
    /// The text of `golden.yaml`, if there is one.
    pub golden: Option<Source>,
    /// The text of `population.yaml`, if there is one.
    pub population: Option<Source>,
    /// The texts of `imports/*.yaml`, in the order of their names.
    pub imports: Vec<Source>,
    /// The files and folders that lie in the bundle but are not read; that there are no rule sets.
    pub doubts: Problems,
}

/// A bundle without errors, parsed and compiled.
#[derive(Debug)]
pub struct CheckedBundle {
    /// The schema, as parsed from `schema.yaml`.
    pub schema: Arc<Schema>,
    /// All rule sets compiled together, each as its first version.
    pub engine: Engine,
    /// The parsed rule sets, in the order of their files.
    pub rule_sets: Vec<Arc<RuleSet>>,
    /// The golden decisions, all of which came out as expected.
    pub golden: Golden,
    /// How `usher demo` makes customers.
    pub population: Option<Population>,
    /// The column mappings in `imports/`.
    pub imports: Vec<Mapping>,
    /// What looks like a mistake in the folder, and in the files that are no rule sets.
    aside: Warnings,
}

impl Bundle {
    /// Reads the files of a bundle.
    ///
    /// # Errors
    /// A file or folder is missing or cannot be read.
    pub fn read(folder: &Path) -> Result<Bundle, Problems> {
        let schema_file = folder.join(files::SCHEMA);
        if folder.is_dir() && !schema_file.exists() {
            let mut problems = Problems::new();
            problems.push(files::no_schema(folder));
            return Err(problems);
        }
        let schema = read_file(&schema_file)?;
        let rule_sets = read_folder(&folder.join(files::RULE_SETS))?;
        let mut doubts = files::unread(folder)?;
        if rule_sets.is_empty() {
            doubts.push(Problem::new(format!("{} has no rule sets: nothing decides", folder.display())));
        }
        Ok(Bundle {
            schema,
            rule_sets,
            golden: read_optional(&folder.join(files::GOLDEN))?,
            population: read_optional(&folder.join(files::POPULATION))?,
            imports: read_folder(&folder.join(files::IMPORTS))?,
            doubts,
        })
    }

    /// The `retail-bank` bundle as it was when this program was built. It lets `usher demo` run anywhere.
    pub fn embedded() -> Bundle {
        let source = |(name, text): (&str, &str)| Source { name: name.into(), text: text.into() };
        Bundle {
            schema: source(embedded!("schema.yaml")),
            rule_sets: EMBEDDED_RULE_SETS.map(source).into(),
            golden: Some(source(embedded!("golden.yaml"))),
            population: Some(source(embedded!("population.yaml"))),
            ..Bundle::default()
        }
    }

    /// The folder that it was read from, as that was named.
    pub fn folder(&self) -> &Path {
        let folder = Path::new(&self.schema.name).parent().unwrap_or(Path::new(""));
        if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
    }

    /// The change that puts all of it in force at a node.
    pub fn define(&self) -> Define {
        let rule_sets = self.rule_sets.iter().map(|source| (source.name.clone(), source.text.clone()));
        let (schema, rule_sets) = (self.schema.text.clone(), rule_sets.collect());
        Define::Bundle { schema, rule_sets, activate: true, rename: false, prune: false }
    }

    /// Parses the schema.
    ///
    /// # Errors
    /// All errors in the schema.
    pub fn parse_schema(&self) -> Result<Arc<Schema>, Problems> {
        check_length(&self.schema.name, &self.schema.text)?;
        read_schema(&self.schema.name, &self.schema.text)
    }

    /// Checks each rule set against the schema, then compiles all together, each as its first version.
    ///
    /// # Errors
    /// All errors in the rule sets. Without any, all conflicts between them.
    fn compile(&self, schema: &Arc<Schema>) -> Result<(Engine, Vec<Arc<RuleSet>>), Problems> {
        let files = self.rule_sets.iter().map(|source| (source.name.clone(), source.text.clone())).collect();
        let rule_sets = parse_rule_sets(files, schema, |_| None)?.into_iter().map(|(rule_set, _)| rule_set);
        let rule_sets: Vec<Arc<RuleSet>> = rule_sets.collect();
        let versions: Vec<_> = rule_sets.iter().map(|rule_set| (Arc::clone(rule_set), 1)).collect();
        Ok((Engine::compile(schema, &versions)?, rule_sets))
    }

    /// Makes the golden decisions, if there are any, by the bundle's own rule sets.
    ///
    /// # Errors
    /// Every placement that shows something else than expected. If the bundle does not compile, the errors
    /// that keep it from deciding.
    pub fn check_golden(&self) -> Result<(), Problems> {
        let Some((golden, engine)) = self.golden_decisions()? else { return Ok(()) };
        golden.check(&engine).or(())
    }

    /// The golden decisions, if there are any, and the bundle's rule sets compiled to make them.
    ///
    /// # Errors
    /// What keeps the bundle or the golden decisions from being read.
    pub fn golden_decisions(&self) -> Result<Option<(Golden, Engine)>, Problems> {
        let Some(golden) = &self.golden else { return Ok(None) };
        let schema = self.parse_schema()?;
        let (engine, _) = self.compile(&schema)?;
        Ok(Some((Golden::parse(&golden.name, &golden.text, &schema)?, engine)))
    }

    /// Checks everything: the bundle compiles, the golden decisions come out, population and mappings fit the
    /// schema.
    ///
    /// # Errors
    /// All errors in the schema. Without any, all errors in the other files.
    pub fn check(&self) -> Result<CheckedBundle, Problems> {
        let schema = self.parse_schema()?;
        let mut problems = Problems::new();
        let engine = keep(self.compile(&schema), &mut problems);
        let golden = self.golden.as_ref().map(|s| Golden::parse(&s.name, &s.text, &schema));
        let golden = golden.and_then(|golden| keep(golden, &mut problems)).unwrap_or_default();
        let population = self.population.as_ref().map(|s| Population::parse(&s.name, &s.text, &schema));
        let population = population.and_then(|population| keep(population, &mut problems));
        let imports = self.imports.iter().map(|s| Mapping::parse(&s.name, &s.text, &schema));
        let imports = imports.filter_map(|mapping| keep(mapping, &mut problems)).collect();
        if let Some((engine, _)) = &engine {
            problems.extend(golden.check(engine));
        }
        match engine {
            Some((engine, rule_sets)) => {
                let mut aside = self.aside(&schema);
                aside.add(WarningKind::OneSided, idle_channels(&self.schema, &schema, &engine));
                aside.add(WarningKind::Locale, golden.odd_locales());
                problems.or(CheckedBundle { schema, engine, rule_sets, golden, population, imports, aside })
            }
            None => Err(problems),
        }
    }

    /// What looks like a mistake in the folder, and in the texts that are no rule sets.
    fn aside(&self, schema: &Schema) -> Warnings {
        let mut warnings = Warnings::default();
        warnings.add(WarningKind::File, self.doubts.iter().cloned());
        let others = [&self.schema].into_iter().chain(&self.golden).chain(&self.population);
        for source in others.chain(&self.imports) {
            warnings.add(WarningKind::Text, source.doubts());
        }
        warnings.add(WarningKind::Text, schema.doubts());
        warnings
    }
}

/// How many customers of its population a bundle is checked with, besides those with a name.
pub const CHECKED_CUSTOMERS: usize = 10_000;
/// The most work to find whom guardrails stop, in comparisons of one customer with one atom. If all customers
/// would need more, an even sample is used.
const MAX_TESTS: u64 = 200_000_000;

/// What is to be said about a bundle without errors.
#[derive(Debug, Default)]
pub struct Findings {
    /// What is allowed but looks like a mistake.
    pub warnings: Warnings,
    /// The guardrails as they were understood, with whom of the population they stop.
    pub guardrails: GuardrailReport,
}

impl CheckedBundle {
    /// What is to be said about it at this time.
    pub fn findings(&self, now: Time) -> Findings {
        let customers = self.population.as_ref().map(|population| population.store(CHECKED_CUSTOMERS, now));
        let reach = customers.and_then(|customers| reach(&self.engine, &customers, now, MAX_TESTS, || false));
        let golden = self.golden.stops(&self.engine);
        let guardrails = GuardrailFacts { reach: reach.as_ref(), golden: Some(&golden) };
        let scope = AnalysisScope { guardrails, ..AnalysisScope::at(now) };
        let mut warnings = analyse(&self.engine, &self.rule_sets, &scope);
        let mut aside = self.aside.clone();
        accept_aside(&mut aside, &self.rule_sets); // before the others leave no room
        warnings.extend(&aside);
        Findings { warnings, guardrails: understood(&self.engine, &self.rule_sets, guardrails, now) }
    }
}

/// A problem for each channel that the schema declares and on which no placement is.
fn idle_channels(source: &Source, schema: &Schema, engine: &Engine) -> Vec<Problem> {
    if engine.placements().is_empty() {
        return Vec::new(); // that nothing decides is told already
    }
    let source = Arc::new(Source { name: source.name.clone(), text: source.text.clone() });
    let Ok(input) = Input::from_yaml(&source) else { return Vec::new() };
    let root = Cursor::root(&input, Some(&source));
    let Some(declared) = root.entry("channels") else { return Vec::new() };
    let is_used = |word: &str| {
        let code = schema.channels().code(word);
        let mut placements = engine.placements().iter();
        placements.any(|placement| placement.channels.iter().any(|id| Some(u32::from(id.0)) == code))
    };
    let mut found = Vec::new();
    for item in declared.items(&mut Problems::new()).into_iter().flatten() {
        let InputValue::Text(word) = &item.input.value else { continue };
        if !is_used(word) {
            let problem = item.problem(format!("no placement is on the channel `{word}`"));
            found.push(problem.hint("let a placement list it, or take it out of `channels`"));
        }
    }
    found
}

/// Returns the value, or adds its problems to the others.
fn keep<T>(result: Result<T, Problems>, problems: &mut Problems) -> Option<T> {
    result.map_err(|found| problems.extend(found)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_bundle_is_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/retail-bank");
        let read = Bundle::read(&folder).unwrap();
        let embedded = Bundle::embedded();
        let names = |bundle: &Bundle| -> Vec<String> {
            let all = bundle
                .rule_sets
                .iter()
                .chain(&bundle.imports)
                .chain(&bundle.golden)
                .chain(&bundle.population);
            all.map(|s| s.name.rsplit('/').next().unwrap_or_default().to_owned()).collect()
        };
        assert_eq!(names(&embedded), names(&read), "add the file to the table `EMBEDDED_RULE_SETS`");
    }

    #[test]
    fn a_folder_that_is_no_bundle_is_no_bundle() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Bundle::read(folder.path()).unwrap_err().to_string().contains("has no schema.yaml"));
        let problems = Bundle::read(Path::new("/nowhere")).unwrap_err().to_string();
        assert!(problems.contains("cannot read /nowhere/schema.yaml"), "{problems}");
    }

    #[test]
    fn two_files_with_one_rule_set_are_refused() {
        let file = |name: &str| Source { name: name.into(), text: "rule_set: cards\n".into() };
        let schema = Source { name: "schema.yaml".into(), text: "schema: s\n".into() };
        let bundle = Bundle { schema, rule_sets: vec![file("a.yaml"), file("b.yaml")], ..Bundle::default() };
        let problems = bundle.check().unwrap_err().to_string();
        assert!(problems.contains("b.yaml: a.yaml has the rule set `cards` already"), "{problems}");
    }
}
