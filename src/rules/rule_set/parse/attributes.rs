//! `attributes` and `priority` of an offer.

use super::RuleSetReader;
use crate::input::cursor::Object;
use crate::input::problem::quoted;
use crate::rules::rule_set::{Attributes, Reference, Spot};
use crate::schema::name_of_thing;

/// Priority tier of an offer that does not name one.
const DEFAULT_PRIORITY: u8 = 5;
const MAX_PRIORITY: i64 = 9;

impl RuleSetReader<'_> {
    pub(super) fn attributes(&mut self, name: &str, fields: &Object<'_, '_>) -> Attributes {
        let priority = fields.get("priority").and_then(|c| c.integer(1, MAX_PRIORITY, &mut self.problems));
        let priority = priority.map_or(DEFAULT_PRIORITY, |p| p as u8);
        let mut attributes =
            Attributes { id: name.into(), priority, value: 1.0, group: None, own: Vec::new() };
        let Some(cursor) = fields.get("attributes") else { return attributes };
        for (name, cursor) in cursor.entries(&mut self.problems).unwrap_or_default() {
            if cursor.is_null() {
                let problem = cursor.key_problem(format!("attribute `{name}` is empty"));
                self.problems.push(problem.hint("give it a value or leave it out"));
                continue;
            }
            match (name, self.schema.attribute(name)) {
                ("value", _) => match cursor.number(&mut self.problems) {
                    Some(value) if value >= 0.0 => attributes.value = value,
                    Some(value) => {
                        self.problems
                            .push(cursor.problem(format!("expected a value of at least 0, found {value}")));
                    }
                    None => {}
                },
                ("group", _) => {
                    let group = name_of_thing(&cursor, &mut self.problems);
                    attributes.group =
                        group.map(|name| Reference { name: name.into(), spot: Spot::of(&cursor) });
                }
                (_, Some(declared)) => match declared.kind.read(&cursor.input.value, self.schema.zone()) {
                    Ok(value) => attributes.own.push((name.into(), value.into_owned())),
                    Err(why) => self.problems.push(cursor.problem(format!("attribute `{name}`: {why}"))),
                },
                (_, None) => {
                    let problem = cursor.key_problem(format!("unknown attribute {}", quoted(name)));
                    let names = self.schema.attributes().iter().map(|a| &*a.name).chain(["value", "group"]);
                    let problem = problem.nearest(name, names);
                    self.problems.push(match problem.hint {
                        Some(_) => problem,
                        None => problem.hint("declare it in the schema under `offer_attributes`"),
                    });
                }
            }
        }
        attributes
    }
}
