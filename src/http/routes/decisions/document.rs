//! A decision request as a document.

use std::time::Duration;

use super::request::{DecisionRequest, Draft, MAX_DEADLINE_US};
use crate::customer::id;
use crate::decide::MAX_PLACEMENTS;
use crate::engine::Engine;
use crate::http::wire::refusal::Refusal;
use crate::input::cursor::{Cursor, Object};
use crate::input::document::InputValue;
use crate::input::problem::Problems;
use crate::rules::rule_set::{Languages, MAX_COUNT};

/// The fields of a decision request.
pub(crate) const FIELDS: [&str; 9] = [
    "customer",
    "channel",
    "placements",
    "context",
    "locale",
    "explain",
    "variants",
    "strict",
    "deadline_us",
];

/// Reads the document of `POST /v1/decisions`.
///
/// # Errors
/// As those of [`read`].
pub(super) fn of_document<'n>(root: Cursor<'_, 'n>, engine: &Engine) -> Result<DecisionRequest<'n>, Refusal> {
    let mut problems = Problems::new();
    match root.object(&FIELDS, &mut problems) {
        Some(object) => read(&object, engine, problems),
        None => Err(problems.into()),
    }
}

/// Reads the fields of a decision request. `problems` are those that were found before.
///
/// # Errors
/// 400 with everything that is wrong, unless the request can be answered in part.
pub(crate) fn read<'n>(
    object: &Object<'_, 'n>,
    engine: &Engine,
    mut problems: Problems,
) -> Result<DecisionRequest<'n>, Refusal> {
    let customer = object.required("customer", &mut problems).and_then(|at| {
        let text = at.text(&mut problems)?;
        id::check(text).map_err(|why| problems.push(at.problem(why))).ok()?;
        Some(text)
    });
    let mut draft = Draft { customer, ..Draft::default() };
    draft.channel = object.required("channel", &mut problems).and_then(|at| {
        let text = at.text(&mut problems)?;
        let found = engine.schema.find_channel(text);
        found.map_err(|problem| problems.push(at.placed(problem))).ok()
    });
    if let Some(at) = object.required("placements", &mut problems) {
        draft.read_placements(at, engine, &mut problems);
    }
    if let Some(at) = object.get("context") {
        draft.read_context(at, engine, &mut problems);
    }
    if let Some(at) = object.get("locale") {
        draft.languages = Languages::of_document(at, &mut draft.left_out);
    }
    let mut flag = |name| object.get(name).and_then(|at| at.boolean(&mut problems)).unwrap_or(false);
    (draft.explain, draft.variants, draft.strict) = (flag("explain"), flag("variants"), flag("strict"));
    let deadline =
        object.get("deadline_us").and_then(|at| at.integer(1, MAX_DEADLINE_US as i64, &mut problems));
    draft.deadline = deadline.map(|us| Duration::from_micros(us as u64));
    draft.finish(problems)
}

impl<'n> Draft<'n> {
    fn read_placements(&mut self, at: &Cursor<'_, 'n>, engine: &Engine, problems: &mut Problems) {
        let Some(items) = at.items(problems) else { return };
        if items.len() == 0 || items.len() > MAX_PLACEMENTS {
            problems.push(
                at.problem(format!("expected 1 to {MAX_PLACEMENTS} placements, found {}", items.len())),
            );
            return;
        }
        for (place, item) in items.enumerate() {
            let mut wrong = Problems::new();
            let mut name = "";
            if let Some(object) = item.object(&["id", "count"], &mut wrong) {
                let count = object.get("count").and_then(|at| at.integer(1, MAX_COUNT as i64, &mut wrong));
                let id = object.required("id", &mut wrong).and_then(|at| Some((at, at.text(&mut wrong)?)));
                if let Some((at, text)) = id {
                    name = text;
                    let taken = wrong.is_empty().then(|| self.place(text, count.map(|n| n as usize), engine));
                    if let Some(Err(problem)) = taken {
                        wrong.push(at.placed(problem));
                    }
                }
            }
            self.refuse(place, name, wrong);
        }
    }

    fn read_context(&mut self, at: &Cursor<'_, 'n>, engine: &Engine, problems: &mut Problems) {
        let entries = at.entries(problems).unwrap_or_default();
        let problems = &mut self.left_out;
        for (name, at) in entries {
            if problems.omitted > 0 {
                break; // enough problems are listed, and each hint costs time
            }
            let found = engine.schema.find_context(name);
            let Some(id) = found.map_err(|problem| problems.push(at.key_placed(problem))).ok() else {
                continue;
            };
            let input: &'n InputValue<'n> = &at.input.value;
            if matches!(input, InputValue::Null) {
                continue; // the same as an absent field
            }
            match engine.schema.context()[usize::from(id.0)].kind.read(input, engine.schema.zone()) {
                Ok(value) => self.context.push((id, value)),
                Err(why) => problems.push(at.problem(format!("`{name}`: {why}"))),
            }
        }
    }
}
