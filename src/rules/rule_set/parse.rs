//! From a rule set's text to a [`RuleSet`], or to all its problems at once. Each section has a file of its
//! own.

mod accept;
mod again;
mod attributes;
mod caps;
mod experiments;
mod expressions;
mod offers;
mod placements;
mod tags;
mod treatments;

use std::sync::Arc;

use self::again::again;
use super::{BudgetRule, ExperimentRule, GuardrailRule, MAX_GUARDRAILS, Reference, RuleSet, Spot};
use crate::expression::{OfferScope, Parameters, TagNames};
use crate::input::cursor::{Cursor, Object};
use crate::input::document::Input;
use crate::input::problem::{Problems, Source};
use crate::schema::{Schema, check_thing_key, name_of_thing};

impl RuleSet {
    /// Reads a rule set from YAML or JSON and checks it against the schema. Problems call the text `file`.
    ///
    /// # Errors
    /// Everything that is wrong with it, each problem with line and column.
    ///
    /// ```
    /// use usher::{rules::rule_set::RuleSet, schema::Schema};
    /// let schema = "schema: s\nfeatures: {age: {kind: int, min: 0, max: 120}}";
    /// let schema = Schema::parse("schema.yaml", schema).unwrap();
    /// let text = "rule_set: r\ntags:\n  young: agee < 30\n";
    /// let problems = RuleSet::parse("r.yaml", text, &schema).unwrap_err();
    /// assert_eq!(
    ///     problems.to_string(),
    ///     "r.yaml:3:10: there is no feature `agee`\n  3 |   young: agee < 30\n    |          ^^^^\n  \
    ///      = did you mean `age`?\n"
    /// );
    /// ```
    pub fn parse(file: &str, text: &str, schema: &Schema) -> Result<RuleSet, Problems> {
        RuleSet::parse_after(file, text, schema, None)
    }

    /// As [`RuleSet::parse`], with the help of an earlier version that was checked against the same schema:
    /// offers that did not change are not read again.
    ///
    /// # Errors
    /// As [`RuleSet::parse`].
    pub fn parse_after(
        file: &str,
        text: &str,
        schema: &Schema,
        earlier: Option<&RuleSet>,
    ) -> Result<RuleSet, Problems> {
        let source = Arc::new(Source { name: file.into(), text: text.into() });
        if let Some(set) = earlier.and_then(|earlier| again(&source, schema, earlier)) {
            return Ok(set);
        }
        let input = Input::from_yaml(&source)?;
        let mut reader = RuleSetReader::new(schema);
        let rule_set = reader.rule_set(&Cursor::root(&input, Some(&source)), &source);
        let mut problems = reader.problems;
        problems.sort();
        match rule_set {
            Some(rule_set) => problems.or(RuleSet { values: input.count(), ..rule_set }),
            None => Err(problems),
        }
    }
}

struct RuleSetReader<'s> {
    schema: &'s Schema,
    tag_names: TagNames,
    budgets: Vec<BudgetRule>,
    /// How deep each tag is nested, including the tags it uses.
    tag_depths: Vec<usize>,
    experiments: Vec<ExperimentRule>,
    parameters: Parameters,
    /// What is declared but wrong, such as `budget gift`. That it is missing is no second problem.
    wrong: Vec<String>,
    problems: Problems,
}

fn key_reference(name: &str, cursor: &Cursor<'_, '_>) -> Reference {
    let problem = cursor.key_problem("");
    Reference { name: name.into(), spot: Spot { place: problem.place, pointer: problem.pointer } }
}

impl<'s> RuleSetReader<'s> {
    fn new(schema: &'s Schema) -> RuleSetReader<'s> {
        RuleSetReader {
            schema,
            tag_names: TagNames::default(),
            budgets: Vec::new(),
            tag_depths: Vec::new(),
            experiments: Vec::new(),
            parameters: Parameters::default(),
            wrong: Vec::new(),
            problems: Problems::new(),
        }
    }
}

impl RuleSetReader<'_> {
    fn rule_set(&mut self, root: &Cursor<'_, '_>, source: &Arc<Source>) -> Option<RuleSet> {
        let known = [
            "rule_set",
            "description",
            "experiments",
            "holdout",
            "parameters",
            "tags",
            "placements",
            "groups",
            "caps",
            "budgets",
            "offers",
            "guardrails",
            "accept",
        ];
        let object = root.object(&known, &mut self.problems)?;
        object.refuse_blanks(&mut self.problems);
        let name = object.required("rule_set", &mut self.problems).copied();
        let name = name.and_then(|cursor| name_of_thing(&cursor, &mut self.problems)).unwrap_or_default();
        let description =
            object.get("description").and_then(|c| c.text(&mut self.problems)).unwrap_or_default();
        self.read_experiments(&object);
        self.parameters = self.read_parameters(&object);
        let tags = self.tags(&object);
        self.budgets = self.budgets(&object);
        Some(RuleSet {
            name: name.into(),
            description: description.into(),
            source: Arc::clone(source),
            values: 0,
            tags,
            holdout: self.holdout(&object),
            placements: self.placements(&object),
            groups: self.groups(&object),
            caps: self.caps(&object),
            offers: self.offers(&object),
            guardrails: self.guardrails(&object),
            accepted: self.accepted(&object),
            tag_names: std::mem::take(&mut self.tag_names),
            experiments: std::mem::take(&mut self.experiments),
            parameters: std::mem::take(&mut self.parameters),
            budgets: std::mem::take(&mut self.budgets),
        })
    }

    fn guardrails(&mut self, object: &Object<'_, '_>) -> Vec<GuardrailRule> {
        let mut guardrails = Vec::new();
        for (name, cursor) in self.section(object, "guardrails", MAX_GUARDRAILS) {
            check_thing_key(name, &cursor, &mut self.problems);
            let Some(syntax) = self.syntax(&cursor) else { continue };
            // Checked with the attributes left open. The engine narrows it to each offer later.
            let scope = self.scope(Some(OfferScope { value: &|_| None }));
            let checked = scope.condition(&syntax);
            if self.keep(checked, &cursor).is_some() {
                let reads = syntax.offer_fields();
                guardrails.push(GuardrailRule { name: key_reference(name, &cursor), syntax, reads });
            }
        }
        guardrails
    }

    /// The named entries of a section; none, and a problem, if there are more than `most`.
    fn section<'p, 'n>(
        &mut self,
        object: &'p Object<'p, 'n>,
        name: &str,
        most: usize,
    ) -> Vec<(&'n str, Cursor<'p, 'n>)> {
        let Some(cursor) = object.get(name) else { return Vec::new() };
        let entries = cursor.entries(&mut self.problems).unwrap_or_default();
        if entries.len() > most {
            let detail = format!("a rule set has at most {most} {name}; this one has {}", entries.len());
            self.problems.push(cursor.problem(detail));
            return Vec::new();
        }
        entries
    }
}
