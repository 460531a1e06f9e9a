//! Golden decisions: requests with the answers that must come out, kept with the rule sets that they test.

pub mod case;
pub mod compare;
mod read;

use std::sync::Arc;

use self::case::Case;
use self::read::read_case;
use crate::decide::stopped_by_one_guardrail;
use crate::engine::Engine;
use crate::input::cursor::Cursor;
use crate::input::document::Input;
use crate::input::problem::{Problem, Problems, Source};
use crate::insight::guardrails::GoldenStops;
use crate::intake::computed::Intake;
use crate::rules::rule_set::Locale;
use crate::schema::Schema;
use crate::schema::vector::FeatureVector;

/// The golden decisions of one `golden.yaml`.
#[derive(Debug, Default)]
pub struct Golden {
    /// The cases, in the order of the file.
    pub cases: Vec<Case>,
}

impl Golden {
    /// Reads the text of a `golden.yaml`.
    ///
    /// # Errors
    /// All errors in the text, each with line and column.
    pub fn parse(file: &str, text: &str, schema: &Arc<Schema>) -> Result<Golden, Problems> {
        let source = Arc::new(Source { name: file.into(), text: text.into() });
        let input = Input::from_yaml(&source)?;
        let intake = Intake::compile(schema)?;
        let mut problems = Problems::new();
        let root = Cursor::root(&input, Some(&source));
        let items = root.items(&mut problems);
        let mut cases: Vec<Case> = Vec::new();
        for item in items.into_iter().flatten() {
            let name = item.entry("name").and_then(|name| name.text(&mut Problems::new()));
            if let Some(earlier) = cases.iter().find(|case| Some(&*case.name) == name) {
                let line = earlier.place.map_or(0, |place| place.line);
                let problem = item.problem(format!("the case on line {line} has the same name"));
                problems.push(problem.hint("give each case a name that says what it shows"));
            }
            cases.extend(read_case(&item, &source, schema, &intake, &mut problems));
        }
        problems.or(Golden { cases })
    }

    /// Decides every case. Returns a problem for each placement that shows something else than expected.
    pub fn check(&self, engine: &Engine) -> Problems {
        let mut problems = Problems::new();
        for case in &self.cases {
            case.check(engine, &mut problems);
        }
        problems
    }

    /// A problem for each case whose request names a locale that customers' devices hardly name.
    pub fn odd_locales(&self) -> Vec<Problem> {
        let odd = |case: &Case| {
            let asked = case.locale.as_ref()?.to_string();
            let mut odd = asked
                .split(", ")
                .filter_map(|tag| Locale::new(tag).ok().filter(|tag| tag.oddity().is_some()));
            let locale = odd.next()?;
            let hint = locale.oddity()?;
            let detail =
                format!("{}: `{}` is not a language as requests name them", case.name, locale.as_str());
            Some(case.problem(case.place, detail).hint(hint))
        };
        self.cases.iter().filter_map(odd).collect()
    }

    /// Which guardrails stop an offer in which cases: the case expects something on a placement of the offer,
    /// and the offer would be eligible there without that one guardrail.
    pub fn stops(&self, engine: &Engine) -> GoldenStops {
        let mut stops = GoldenStops::default();
        for (nth, case) in self.cases.iter().enumerate() {
            let Ok(placements) = case.resolve(engine) else { continue }; // that is an error already
            let request = case.request(&placements, &[], false);
            let vector = FeatureVector::new(&case.row);
            for (id, _) in &placements {
                let placement = &engine.placement(*id).name;
                if case.expected.iter().any(|expected| expected.placement == *placement) {
                    let found = stopped_by_one_guardrail(engine, *id, vector, &request, case.now);
                    found.into_iter().for_each(|guardrail| stops.add(guardrail, nth));
                }
            }
        }
        stops
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::vector::FeatureVector;

    const SCHEMA: &str = "
schema: s
features:
  age: {kind: int, min: 0, max: 120}
  views: {kind: count, event: view, when: page == 'fx', window: 7d}
events:
  view: {properties: {page: {kind: string}, seconds: {kind: int, min: 0, max: 9}}}
";

    fn parse(customer: &str, events: &str) -> Result<Golden, Problems> {
        let schema = Arc::new(Schema::parse("schema.yaml", SCHEMA).unwrap());
        let text = format!(
            "- name: n\n  now: 2026-11-21T10:00:00Z\n  customer: {customer}\n  events: {events}\n  \
             request: {{channel: app, placements: [{{id: slot}}]}}\n  expect: {{slot: {{offers: [a]}}}}\n"
        );
        Golden::parse("golden.yaml", &text, &schema)
    }

    #[test]
    fn what_happened_is_in_the_row_of_a_case() {
        let schema = Schema::parse("schema.yaml", SCHEMA).unwrap();
        let events = "[{type: view, at: 2026-11-20, properties: {page: fx}}, {type: view, at: 2026-11-20, properties: {page: fund}}, \
                      {type: click, at: 2026-11-20}]";
        for (customer, age) in [("null", "missing"), ("{age: 7}", "7")] {
            let golden = parse(customer, events).unwrap();
            let case = &golden.cases[0];
            let vector = FeatureVector::new(&case.row);
            let read = |name| vector.get(&schema, schema.feature_id(name).unwrap(), case.now).to_string();
            assert_eq!([read("age"), read("views")], [age, "1"]);
        }
        assert!(parse("null", "[]").unwrap().cases[0].row.is_empty(), "nobody");
    }

    #[test]
    fn what_cannot_have_happened_is_pointed_at() {
        for (customer, events, expected) in [
            ("null", "[{type: vew, at: 2026-11-20}]", "golden.yaml:4:19: unknown event \"vew\""),
            ("null", "[{type: view, at: 2026-11-22}]", "4:29: this event is after `now`"),
            ("null", "[{type: view, at: 1969-12-31}]", "4:29: expected a time from 1970 to 2106"),
            ("null", "[{type: view, at: soon}]", "4:29: expected a time from 1970 to 2106"),
            ("null", "[{type: view}]", "`at` is missing"),
            ("null", "[{type: view, at: 2026-11-20, properties: {pge: fx}}]", "did you mean `page`?"),
            (
                "null",
                "[{type: view, at: 2026-11-20, properties: {seconds: 10}}]",
                "`seconds`: expected a whole number",
            ),
            ("{views: 3}", "[]", "`views` is computed from events and cannot be set"),
        ] {
            let problems = parse(customer, events).unwrap_err().to_string();
            assert!(problems.contains(expected), "{problems}");
        }
    }
}
