//! `/v1/decisions`: reads the request against the engine in force, decides, and renders.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::{Method, StatusCode};
use smallvec::SmallVec;

use super::render;
use super::render::Rendered;
use crate::http::call::Call;
use crate::http::wire::answer;
use crate::http::wire::answer::Answer;
use crate::http::wire::decision_id::DecisionId;
use crate::http::wire::media;
use crate::http::wire::media::{Format, Media};
use crate::http::wire::query;
use crate::http::wire::refusal::{ProblemKind, Refusal};
use std::sync::Arc;

use crate::customer::id;
use crate::customer::numbers::ArmNumber;
use crate::customer::row::{Past, Row};
use crate::decide::{Context, Decision, MAX_PLACEMENTS, Request, decide};
use crate::engine::{Engine, PlacementId};
use crate::input::cursor::Cursor;
use crate::input::document::{Input, InputValue};
use crate::input::problem::{Problem, Problems};
use crate::node::clock;
use crate::node::live::Live;
use crate::rules::rule_set::Locale;
use crate::rules::rule_set::MAX_COUNT;
use crate::schema::value::{Time, Value};
use crate::schema::vector::FeatureVector;
use crate::schema::{ChannelId, ContextId, Schema};

/// The longest deadline that a request may set, in microseconds.
const MAX_DEADLINE_US: u64 = 60_000_000;

const FIELDS: [&str; 7] =
    ["customer", "channel", "placements", "context", "locale", "explain", "deadline_us"];
const PARAMETERS: [&str; 7] =
    ["customer", "channel", "placement", "count", "locale", "explain", "deadline_us"];

/// Index of `placement` in [`PARAMETERS`]; this one may be given more than once.
const PLACEMENT: usize = 2;

/// Each placement, with the number of propositions wanted there.
type Placements = SmallVec<[(PlacementId, usize); 8]>;

/// A decision request without errors.
struct DecisionRequest<'a> {
    customer: &'a str,
    channel: ChannelId,
    placements: Placements,
    context: Vec<(ContextId, Value<'a>)>,
    locale: Option<Locale>,
    explain: bool,
    deadline: Option<Duration>,
}

/// `POST /v1/decisions`: the request is the body.
pub(crate) async fn post(call: &Call<'_>, body: Incoming) -> Result<Answer, Refusal> {
    let media = media::of_body(&call.parts.headers, &[Media::Json, Media::MessagePack])?;
    no_parameters(call)?;
    let content = call.body(body).await?;
    let begun = Instant::now();
    let input = match media {
        Media::MessagePack => Input::from_msgpack(&content.bytes)?,
        _ => Input::from_json(&content.bytes)?,
    };
    decided(call, begun, |engine| of_document(Cursor::root(&input, None), engine))
}

/// `GET /v1/decisions`: the request is the query.
pub(crate) fn get(call: &Call<'_>) -> Result<Answer, Refusal> {
    let begun = call.started;
    let mut problems = Problems::new();
    let parameters = query::parameters(call.parts.uri.query(), &mut problems);
    decided(call, begun, |engine| of_query(&parameters, engine, problems.clone()))
}

fn no_parameters(call: &Call<'_>) -> Result<(), Refusal> {
    if call.parts.uri.query().is_some() {
        query::known(call.parts.uri.query(), []).map(|_| ())
    } else {
        Ok(())
    }
}

/// Decides with the engine in force. A row that was written after the schema had grown may hold codes that an
/// earlier engine does not know. In that case the newer engine is used.
fn decided<'a>(
    call: &Call<'_>,
    begun: Instant,
    asked: impl Fn(&Engine) -> Result<DecisionRequest<'a>, Refusal>,
) -> Result<Answer, Refusal> {
    loop {
        let live = call.node.live();
        let asked = asked(&live.engine)?;
        let mut row = Row::new();
        let now = call.node.decision_time(asked.customer, clock::now());
        let known = call.node.customers().read(asked.customer, &mut row);
        // Ends as soon as the schema does not change between the two loads.
        if Arc::ptr_eq(&call.node.live().engine.schema, &live.engine.schema) {
            return Ok(answered(call, &live, asked, known.then_some(&row), now, begun));
        }
    }
}

fn answered(
    call: &Call<'_>,
    live: &Live,
    asked: DecisionRequest<'_>,
    row: Option<&Row>,
    now: Time,
    begun: Instant,
) -> Answer {
    let engine = &live.engine;
    let is_shown = is_shown(call, &asked);
    let mut context = Context::default();
    for (field, value) in asked.context {
        context.set(field, value);
    }
    let known = row.is_some();
    let vector = row.map_or(FeatureVector::unknown(), |row| FeatureVector::new(row));
    let id = DecisionId::next();
    let until = asked.deadline.map(|deadline| call.started + deadline);
    let overdue = || until.is_some_and(|until| Instant::now() >= until);
    let request = Request {
        customer: asked.customer,
        channel: asked.channel,
        placements: &asked.placements,
        locale: asked.locale.as_ref(),
        context,
        past: row.map_or(Past::default(), |row| Past::of(row)),
        budgets: &call.node.budgets(is_shown),
        lessons: &**call.node.figures(),
        seed: id.seed(),
        explain: asked.explain,
        overdue: if until.is_some() { Some(&overdue) } else { None },
    };
    let decision = decide(engine, vector, &request, now);
    if is_shown {
        counted(live, asked.customer, asked.channel, asked.locale.as_ref(), &decision);
    }
    let rendered = Rendered {
        decision: &decision,
        customer: asked.customer,
        known,
        engine,
        explain: asked.explain,
        id,
        channel: asked.channel,
        node: call.node,
        keys: &call.worker.shared.tokens.keys,
        now,
    };
    let bytes = answer::buffered(|out| match call.format {
        Format::Json => render::decision(&mut crate::http::wire::encode::Json::new(out), &rendered),
        Format::MessagePack => {
            render::decision(&mut crate::http::wire::encode::MessagePack::new(out), &rendered);
        }
    });
    if is_shown {
        let fallbacks = decision.placements.iter().filter(|shown| shown.fallback).count() as u64;
        call.worker.counters().decided(begun.elapsed(), known, decision.degraded, fallbacks);
    }
    answer::with(StatusCode::OK, call.format.content_type(), bytes)
}

/// Whether a customer is shown the decision. `HEAD` asks for the head of an answer, and an explanation is for
/// people who look into a decision. So these two hold no place of a budget, and nothing counts them.
fn is_shown(call: &Call<'_>, asked: &DecisionRequest<'_>) -> bool {
    call.parts.method != Method::HEAD && !asked.explain
}

/// Counts what is shown. Also counts the customer in their arms, whether or not an arm's offer is shown: who
/// is counted must not depend on the arm. Whom an arm chose something for is counted apart.
fn counted(
    live: &Live,
    customer: &str,
    channel: ChannelId,
    locale: Option<&Locale>,
    decision: &Decision<'_>,
) {
    let Live { engine, decided, .. } = live;
    decided.count(channel, decision, |proposition| {
        proposition.arms.iter().map(|id| engine.arm(*id).number).collect::<SmallVec<[ArmNumber; 4]>>()
    });
    if !engine.arms().is_empty() {
        decided.assigned(customer, engine.arms_for(customer, decision.holdout).map(|arm| arm.number));
        let shown = decision.placements.iter().flat_map(|shown| &shown.propositions);
        let chosen =
            shown.flat_map(|shown| engine.chosen_by(shown.offer, shown.treatment, locale, &shown.arms));
        decided.exposed(customer, chosen.map(|arm| arm.number));
    }
}

/// What was read of a decision request. Errors and missing fields are among the problems.
struct Draft<'a> {
    customer: Option<&'a str>,
    channel: Option<ChannelId>,
    placements: Placements,
    context: Vec<(ContextId, Value<'a>)>,
    locale: Option<Locale>,
    explain: bool,
    deadline: Option<Duration>,
}

impl<'a> Draft<'a> {
    fn finish(self, problems: Problems) -> Result<DecisionRequest<'a>, Refusal> {
        let Draft { customer, channel, placements, context, locale, explain, deadline } = self;
        match (customer, channel) {
            (Some(customer), Some(channel)) if problems.is_empty() => {
                Ok(DecisionRequest { customer, channel, placements, context, locale, explain, deadline })
            }
            _ => Err(Refusal::problems(ProblemKind::Invalid, problems)),
        }
    }
}

/// Reads the document of a `POST`.
fn of_document<'n>(root: Cursor<'_, 'n>, engine: &Engine) -> Result<DecisionRequest<'n>, Refusal> {
    let mut problems = Problems::new();
    let Some(object) = root.object(&FIELDS, &mut problems) else { return Err(problems.into()) };
    let customer = object.required("customer", &mut problems).and_then(|at| {
        let text = at.text(&mut problems)?;
        id::check(text).map_err(|why| problems.push(at.problem(why))).ok()?;
        Some(text)
    });
    let channel = object.required("channel", &mut problems).and_then(|at| {
        let text = at.text(&mut problems)?;
        let found = engine.schema.find_channel(text);
        found.map_err(|problem| problems.push(at.placed(problem))).ok()
    });
    let mut placements = Placements::new();
    if let Some(at) = object.required("placements", &mut problems) {
        read_placements(at, channel, engine, &mut placements, &mut problems);
    }
    let mut context = Vec::new();
    if let Some(at) = object.get("context") {
        read_context(at, engine, &mut context, &mut problems);
    }
    let locale = object.get("locale").and_then(|at| {
        let text = at.text(&mut problems)?;
        Locale::new(text).map_err(|why| problems.push(at.problem(why))).ok()
    });
    let explain = object.get("explain").and_then(|at| at.boolean(&mut problems)).unwrap_or(false);
    let deadline =
        object.get("deadline_us").and_then(|at| at.integer(1, MAX_DEADLINE_US as i64, &mut problems));
    let deadline = deadline.map(|us| Duration::from_micros(us as u64));
    Draft { customer, channel, placements, context, locale, explain, deadline }.finish(problems)
}

fn read_placements(
    at: &Cursor<'_, '_>,
    channel: Option<ChannelId>,
    engine: &Engine,
    found: &mut Placements,
    problems: &mut Problems,
) {
    let Some(items) = at.items(problems) else { return };
    if items.len() == 0 || items.len() > MAX_PLACEMENTS {
        problems
            .push(at.problem(format!("expected 1 to {MAX_PLACEMENTS} placements, found {}", items.len())));
        return;
    }
    for item in items {
        let Some(object) = item.object(&["id", "count"], problems) else { continue };
        let id = object.required("id", problems).and_then(|at| {
            let text = at.text(problems)?;
            let id = placement_of(text, channel, engine, found);
            id.map_err(|problem| problems.push(at.placed(problem))).ok()
        });
        let count = object.get("count").map(|at| at.integer(1, MAX_COUNT as i64, problems));
        if let Some(id) = id {
            found.push((
                id,
                count.flatten().map_or_else(|| default_count(engine, id), |count| count as usize),
            ));
        }
    }
}

fn default_count(engine: &Engine, id: PlacementId) -> usize {
    engine.placements()[id.0 as usize].count.min(MAX_COUNT)
}

fn read_context<'n>(
    at: &Cursor<'_, 'n>,
    engine: &Engine,
    context: &mut Vec<(ContextId, Value<'n>)>,
    problems: &mut Problems,
) {
    for (name, at) in at.entries(problems).unwrap_or_default() {
        if problems.omitted > 0 {
            break; // enough problems are listed, and each hint costs time
        }
        let found = engine.schema.find_context(name);
        let Some(id) = found.map_err(|problem| problems.push(at.key_placed(problem))).ok() else { continue };
        let input: &'n InputValue<'n> = &at.input.value;
        if matches!(input, InputValue::Null) {
            continue; // the same as an absent field
        }
        match engine.schema.context()[usize::from(id.0)].kind.read(input, engine.schema.zone()) {
            Ok(value) => context.push((id, value)),
            Err(why) => problems.push(at.problem(format!("`{name}`: {why}"))),
        }
    }
}

/// The parameters of a `GET`, sorted by name.
#[derive(Default)]
struct Sorted<'n> {
    /// In the order of [`PARAMETERS`].
    once: [Option<&'n str>; PARAMETERS.len()],
    placements: SmallVec<[&'n str; 8]>,
    context: SmallVec<[(&'n str, &'n str); 8]>,
}

fn sort<'n>(
    parameters: &'n [(Cow<'n, str>, Cow<'n, str>)],
    schema: &Schema,
    problems: &mut Problems,
) -> Sorted<'n> {
    let mut sorted = Sorted::default();
    let twice = |name: &str| query::problem(name, format!("`{name}` is given twice"));
    for (name, value) in parameters {
        let known = PARAMETERS.iter().position(|known| known == name);
        if let Some(field) =
            context_field(name).or_else(|| bare_field(name, schema).filter(|_| known.is_none()))
        {
            match sorted.context.iter().any(|(earlier, _)| *earlier == field) {
                true => problems.push(twice(name)),
                false => sorted.context.push((field, value)),
            }
            continue;
        }
        match known {
            None => problems.push(query::unknown(name, &PARAMETERS)),
            Some(PLACEMENT) => sorted.placements.push(value),
            Some(i) if sorted.once[i].is_some() => problems.push(twice(name)),
            Some(i) => sorted.once[i] = Some(value),
        }
    }
    sorted
}

/// The context field that a parameter names: `context[page]`, as the contract says, or `context.page`.
fn context_field(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("context")?;
    rest.strip_prefix('.').or_else(|| rest.strip_prefix('[')?.strip_suffix(']'))
}

/// A context field by its bare name. Some generators of clients flatten every object in a query, whatever the
/// contract says of it.
fn bare_field<'n>(name: &'n str, schema: &Schema) -> Option<&'n str> {
    schema.find_context(name).ok().map(|_| name)
}

/// Reads the parameters of a `GET`. Problems point to the field that a `POST` would have.
fn of_query<'n>(
    parameters: &'n [(Cow<'n, str>, Cow<'n, str>)],
    engine: &Engine,
    mut problems: Problems,
) -> Result<DecisionRequest<'n>, Refusal> {
    let Sorted { once, placements: named, context: fields } = sort(parameters, &engine.schema, &mut problems);
    let [customer, channel, _, count, locale, explain, deadline] = once;
    let customer = required("customer", customer, &mut problems).and_then(|text| {
        id::check(text).map_err(|why| problems.push(query::problem("customer", why))).ok()?;
        Some(text)
    });
    let channel = required("channel", channel, &mut problems).and_then(|text| {
        let found = engine.schema.find_channel(text);
        found.map_err(|problem| problems.push(Problem { pointer: "/channel".into(), ..problem })).ok()
    });
    let count = count.and_then(|text| query::integer("count", text, 1, MAX_COUNT as u64, &mut problems));
    let placements = named_placements(&named, count, channel, engine, &mut problems);
    let context = named_context(&fields, engine, &mut problems);
    let locale = locale
        .and_then(|text| Locale::new(text).map_err(|why| problems.push(query::problem("locale", why))).ok());
    let explain = query::boolean("explain", explain, false, &mut problems);
    let deadline =
        deadline.and_then(|text| query::integer("deadline_us", text, 1, MAX_DEADLINE_US, &mut problems));
    let deadline = deadline.map(Duration::from_micros);
    Draft { customer, channel, placements, context, locale, explain, deadline }.finish(problems)
}

fn named_placements(
    names: &[&str],
    count: Option<u64>,
    channel: Option<ChannelId>,
    engine: &Engine,
    problems: &mut Problems,
) -> Placements {
    let mut placements = Placements::new();
    if names.is_empty() || names.len() > MAX_PLACEMENTS {
        let detail =
            format!("expected `placement` 1 to {MAX_PLACEMENTS} times, found it {} times", names.len());
        problems.push(query::problem("placement", detail));
        return placements;
    }
    for (i, name) in names.iter().enumerate() {
        match placement_of(name, channel, engine, &placements) {
            Ok(id) => {
                placements
                    .push((id, count.map_or_else(|| default_count(engine, id), |count| count as usize)));
            }
            Err(problem) => problems.push(Problem { pointer: format!("/placements/{i}/id"), ..problem }),
        }
    }
    placements
}

fn named_context<'n>(
    fields: &[(&'n str, &'n str)],
    engine: &Engine,
    problems: &mut Problems,
) -> Vec<(ContextId, Value<'n>)> {
    let mut context = Vec::new();
    for (name, text) in fields {
        let pointer = format!("/context/{name}");
        let id = match engine.schema.find_context(name) {
            Ok(id) => id,
            Err(problem) => {
                problems.push(Problem { pointer, ..problem });
                continue;
            }
        };
        match engine.schema.context()[usize::from(id.0)].kind.read_text(text, engine.schema.zone()) {
            Ok(value) => context.push((id, value)),
            Err(why) => problems.push(Problem { pointer, ..Problem::new(format!("`{name}`: {why}")) }),
        }
    }
    context
}

fn required<'n>(name: &str, value: Option<&'n str>, problems: &mut Problems) -> Option<&'n str> {
    if value.is_none() {
        problems.push(Problem::new(format!("`{name}` is missing")));
    }
    value
}

/// The placement of this name, if it is on the channel and not in `already`.
fn placement_of(
    name: &str,
    channel: Option<ChannelId>,
    engine: &Engine,
    already: &[(PlacementId, usize)],
) -> Result<PlacementId, Problem> {
    let id = engine.placement_on(name, channel)?;
    if already.iter().any(|(earlier, _)| *earlier == id) {
        return Err(Problem::new(format!("placement `{name}` is given twice")));
    }
    Ok(id)
}
