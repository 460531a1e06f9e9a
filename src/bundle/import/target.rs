//! Where a column goes: to a feature of a customer, or to a field or property of an event.

use crate::input::cursor::Object;
use crate::input::problem::{Problems, quoted};
use crate::schema::{EventType, Kind, Schema};

/// The fields of an event that a column can be. Its type and its customer are said for the whole file.
const FIELDS: [&str; 6] = ["id", "token", "offer", "placement", "channel", "at"];
/// What stands before the name of a property, so that it is not taken for a field.
pub(crate) const PROPERTY: &str = "properties.";

/// What the rows of a file are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rows<'s> {
    Customers(&'s Schema),
    Events(&'s EventType),
}

/// Where a column goes.
pub(super) struct Target<'s> {
    /// What a file of Usher's own calls it.
    pub(super) name: Box<str>,
    /// What it may say.
    pub(super) kind: &'s Kind,
}

impl<'s> Rows<'s> {
    /// Whether they are customers, of whom something may be known already.
    pub(super) fn is_of_customers(self) -> bool {
        matches!(self, Rows::Customers(_))
    }

    /// The fields of a column that say where it goes.
    pub(super) fn fields(self) -> &'static [&'static str] {
        match self {
            Rows::Customers(_) => &["feature"],
            Rows::Events(_) => &["property", "field"],
        }
    }

    /// Reads where a column goes.
    pub(super) fn target(self, object: &Object<'_, '_>, problems: &mut Problems) -> Option<Target<'s>> {
        match self {
            Rows::Customers(schema) => feature(object, schema, problems),
            Rows::Events(event) => part(object, event, problems),
        }
    }
}

fn feature<'s>(object: &Object<'_, '_>, schema: &'s Schema, problems: &mut Problems) -> Option<Target<'s>> {
    let at = object.required("feature", problems)?;
    let name = at.text(problems)?;
    let id = schema.find_feature(name).map_err(|problem| problems.push(at.placed(problem))).ok()?;
    Some(Target { name: name.into(), kind: &schema.feature(id).kind })
}

fn part<'s>(object: &Object<'_, '_>, event: &'s EventType, problems: &mut Problems) -> Option<Target<'s>> {
    match (object.get("property"), object.get("field")) {
        (Some(at), None) => {
            let name = at.text(problems)?;
            let Some(property) = event.properties.iter().find(|property| *property.name == *name) else {
                let problem = at.problem(format!("event `{}` has no property {}", event.name, quoted(name)));
                problems.push(problem.nearest(name, event.properties.iter().map(|property| &*property.name)));
                return None;
            };
            Some(Target { name: format!("{PROPERTY}{name}").into(), kind: &property.kind })
        }
        (None, Some(at)) => {
            let name = at.text(problems)?;
            if !FIELDS.contains(&name) {
                let problem = at.problem(format!("{} is no field of an event", quoted(name)));
                problems.push(problem.hint(format!("fields are {}", FIELDS.join(", "))));
                return None;
            }
            Some(Target { name: name.into(), kind: if name == "at" { &Kind::Time } else { &Kind::Text } })
        }
        _ => {
            let problem = object.cursor().key_problem("expected either `property` or `field`");
            problems
                .push(problem.hint("a column of an event is one of its properties, or a field such as `at`"));
            None
        }
    }
}
