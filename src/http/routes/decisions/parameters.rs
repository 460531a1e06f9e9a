//! A decision request as the parameters of a query.

use std::borrow::Cow;
use std::time::Duration;

use smallvec::SmallVec;

use super::locale;
use super::request::{DecisionRequest, Draft, MAX_DEADLINE_US};
use crate::customer::id;
use crate::decide::MAX_PLACEMENTS;
use crate::engine::Engine;
use crate::http::wire::query;
use crate::http::wire::refusal::Refusal;
use crate::input::problem::{Problem, Problems};
use crate::rules::rule_set::{Languages, MAX_COUNT};
use crate::schema::Schema;

/// The parameters besides the fields of the context.
const PARAMETERS: [&str; 9] =
    ["placement", "locale", "customer", "channel", "count", "explain", "variants", "strict", "deadline_us"];

/// How many of [`PARAMETERS`], from the first on, may be given more than once.
const REPEATED: usize = 2;

/// The parameters of a query, sorted by name.
#[derive(Default)]
struct Sorted<'n> {
    /// The values of those that may be repeated, in the order of [`PARAMETERS`].
    repeated: [SmallVec<[&'n str; 4]>; REPEATED],
    /// The values of the others, in the same order.
    once: [Option<&'n str>; PARAMETERS.len() - REPEATED],
    context: SmallVec<[(&'n str, &'n str); 4]>,
}

fn sort<'n>(
    parameters: &'n [(Cow<'n, str>, Cow<'n, str>)],
    schema: &Schema,
    problems: &mut Problems,
) -> Sorted<'n> {
    let mut sorted = Sorted::default();
    let twice = |name: &str| query::problem(name, format!("`{name}` is given twice"));
    for (name, value) in parameters {
        match known(name) {
            Some(i) if i < REPEATED => sorted.repeated[i].push(value),
            Some(i) if sorted.once[i - REPEATED].is_some() => problems.push(twice(name)),
            Some(i) => sorted.once[i - REPEATED] = Some(value),
            None => match context_field(name).or_else(|| bare_field(name, schema)) {
                None => problems.push(query::unknown(name, &PARAMETERS)),
                Some(field) if sorted.context.iter().any(|(earlier, _)| *earlier == field) => {
                    problems.push(twice(name));
                }
                Some(field) => sorted.context.push((field, value)),
            },
        }
    }
    sorted
}

/// The place of a name among [`PARAMETERS`]. A `match` is a few comparisons; a search would be a call for
/// each name.
fn known(name: &str) -> Option<usize> {
    Some(match name {
        "placement" => 0,
        "locale" => 1,
        "customer" => 2,
        "channel" => 3,
        "count" => 4,
        "explain" => 5,
        "variants" => 6,
        "strict" => 7,
        "deadline_us" => 8,
        _ => return None,
    })
}

/// The context field that a parameter names: `context[page]`, as the contract says, or `context.page`.
fn context_field(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("context")?;
    rest.strip_prefix('.').or_else(|| rest.strip_prefix('[')?.strip_suffix(']'))
}

/// A context field by its bare name. Some generators of clients flatten every object in a query, whatever the
/// contract says of it.
fn bare_field<'n>(name: &'n str, schema: &Schema) -> Option<&'n str> {
    schema.context_id(name).map(|_| name)
}

/// Reads the parameters of a `GET`. Problems point to the field that a `POST` would have.
///
/// # Errors
/// 400 with everything that is wrong, unless the request can be answered in part.
pub(super) fn of_query<'n>(
    parameters: &'n [(Cow<'n, str>, Cow<'n, str>)],
    engine: &Engine,
    mut problems: Problems,
) -> Result<DecisionRequest<'n>, Refusal> {
    let Sorted { repeated: [placements, locales], once, context } =
        sort(parameters, &engine.schema, &mut problems);
    let [customer, channel, count, explain, variants, strict, deadline] = once;
    let customer = required("customer", customer, &mut problems).and_then(|text| {
        id::check(text).map_err(|why| problems.push(query::problem("customer", why))).ok()?;
        Some(text)
    });
    let mut draft = Draft { customer, ..Draft::default() };
    draft.channel = required("channel", channel, &mut problems).and_then(|text| {
        let found = engine.schema.find_channel(text);
        found.map_err(|problem| problems.push(Problem { pointer: "/channel".into(), ..problem })).ok()
    });
    let count = count.and_then(|text| query::integer("count", text, 1, MAX_COUNT as u64, &mut problems));
    draft.name_placements(&placements, count.map(|count| count as usize), engine, &mut problems);
    draft.name_context(&context, engine);
    draft.languages = match locales[..] {
        [text] => locale::languages(text),
        _ => Languages::read_all(locales.iter().copied()),
    };
    if draft.languages.is_empty() || locales.len() > 1 {
        let doubts = locales.iter().filter_map(|text| Languages::doubt(text));
        doubts.for_each(|why| draft.left_out.push(query::problem("locale", why)));
    }
    draft.explain = query::boolean("explain", explain, false, &mut problems);
    draft.variants = query::boolean("variants", variants, false, &mut problems);
    draft.strict = query::boolean("strict", strict, false, &mut problems);
    let deadline =
        deadline.and_then(|text| query::integer("deadline_us", text, 1, MAX_DEADLINE_US, &mut problems));
    draft.deadline = deadline.map(Duration::from_micros);
    draft.finish(problems)
}

impl<'n> Draft<'n> {
    fn name_placements(
        &mut self,
        names: &[&str],
        count: Option<usize>,
        engine: &Engine,
        problems: &mut Problems,
    ) {
        if names.is_empty() || names.len() > MAX_PLACEMENTS {
            let detail =
                format!("expected `placement` 1 to {MAX_PLACEMENTS} times, found it {} times", names.len());
            problems.push(query::problem("placement", detail));
            return;
        }
        for (place, name) in names.iter().enumerate() {
            if let Err(problem) = self.place(name, count, engine) {
                let mut wrong = Problems::new();
                wrong.push(Problem { pointer: format!("/placements/{place}/id"), ..problem });
                self.refuse(place, name, wrong);
            }
        }
    }

    fn name_context(&mut self, fields: &[(&'n str, &'n str)], engine: &Engine) {
        for (name, text) in fields {
            let pointer = format!("/context/{name}");
            let id = match engine.schema.find_context(name) {
                Ok(id) => id,
                Err(problem) => {
                    self.left_out.push(Problem { pointer, ..problem });
                    continue;
                }
            };
            match engine.schema.context()[usize::from(id.0)].kind.read_text(text, engine.schema.zone()) {
                Ok(value) => self.context.push((id, value)),
                Err(why) => {
                    self.left_out.push(Problem { pointer, ..Problem::new(format!("`{name}`: {why}")) });
                }
            }
        }
    }
}

fn required<'n>(name: &str, value: Option<&'n str>, problems: &mut Problems) -> Option<&'n str> {
    if value.is_none() {
        problems.push(Problem::new(format!("`{name}` is missing")));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_known_by_its_place() {
        for (place, name) in PARAMETERS.into_iter().enumerate() {
            assert_eq!(known(name), Some(place), "{name}");
        }
        for other in ["", "place", "placements", "Count", "context[page]"] {
            assert_eq!(known(other), None, "{other}");
        }
    }
}
