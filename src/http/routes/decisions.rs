//! `/v1/decisions`: reads the request against the engine in force, decides, and renders.

pub(super) mod document;
mod locale;
mod parameters;
mod plain;
pub(super) mod request;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::Method;
use hyper::header::ACCEPT_LANGUAGE;
use smallvec::SmallVec;

use self::document::of_document;
use self::parameters::of_query;
use self::plain::PlainRequest;
use self::request::DecisionRequest;
use super::render;
use super::render::Rendered;
use crate::customer::numbers::ArmNumber;
use crate::customer::row::{Past, Row};
use crate::decide::{Decision, Request, decide};
use crate::engine::Engine;
use crate::http::call::Call;
use crate::http::wire::answer::Answer;
use crate::http::wire::decision_id::DecisionId;
use crate::http::wire::head::visible;
use crate::http::wire::media;
use crate::http::wire::media::Media;
use crate::http::wire::query;
use crate::http::wire::reading::Body;
use crate::http::wire::refusal::Refusal;
use crate::input::cursor::Cursor;
use crate::input::problem::Problems;
use crate::node::live::Live;
use crate::rules::rule_set::Languages;
use crate::schema::value::Time;
use crate::schema::vector::FeatureVector;

/// `POST /v1/decisions`: the request is the body.
pub(crate) async fn post(call: &Call<'_>, body: Body<'_>) -> Result<Answer, Refusal> {
    let media = media::of_body(call.head, &[Media::Json, Media::MessagePack])?;
    no_parameters(call)?;
    let content = call.body(body).await?;
    let begun = Instant::now();
    let document = of_body(call, media, &content.bytes, begun)?;
    Ok(render::of_document(call.format, document))
}

/// The document that answers a request in a body.
///
/// # Errors
/// What is wrong with the request.
pub(super) fn of_body(call: &Call<'_>, media: Media, bytes: &[u8], begun: Instant) -> Result<Bytes, Refusal> {
    // Nearly all requests are plain. What is not may be wrong, and only a document can say where.
    let mut plain = PlainRequest::default();
    if plain.read(media, bytes).is_ok()
        && let Ok(answer) = decided(call, begun, |engine| plain.resolve(engine))
    {
        return Ok(answer);
    }
    let input = media.document(bytes)?;
    decided(call, begun, |engine| of_document(Cursor::root(&input, None), engine))
}

/// `GET /v1/decisions`: the request is the query.
pub(crate) fn get(call: &Call<'_>) -> Result<Answer, Refusal> {
    let begun = call.started;
    let mut problems = Problems::new();
    let parameters = query::parameters(call.head.target.query(), &mut problems);
    let document = decided(call, begun, |engine| of_query(&parameters, engine, problems.clone()))?;
    Ok(render::of_document(call.format, document))
}

pub(super) fn no_parameters(call: &Call<'_>) -> Result<(), Refusal> {
    if call.head.target.query().is_some() {
        query::known(call.head.target.query(), []).map(|_| ())
    } else {
        Ok(())
    }
}

/// Decides with the engine in force. A row that was written after the schema had grown may hold codes that an
/// earlier engine does not know. In that case the newer engine is used.
///
/// # Errors
/// Those of `asked`; nothing is decided then.
fn decided<'a, E>(
    call: &Call<'_>,
    begun: Instant,
    asked: impl Fn(&Engine) -> Result<DecisionRequest<'a>, E>,
) -> Result<Bytes, E> {
    loop {
        let live = call.node.live();
        let mut asked = asked(&live.engine)?;
        if asked.languages.is_empty() {
            asked.languages = accepted_languages(call);
        }
        let mut row = Row::new();
        let now = call.node.decision_time(asked.customer, call.node.now());
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
    mut asked: DecisionRequest<'_>,
    row: Option<&Row>,
    now: Time,
    begun: Instant,
) -> Bytes {
    let engine = &live.engine;
    let is_shown = is_shown(call, &asked);
    let context = asked.take_context();
    let known = row.is_some();
    let vector = row.map_or(FeatureVector::unknown(), |row| FeatureVector::new(row));
    let id = DecisionId::next();
    let until = asked.deadline.map(|deadline| call.started + deadline);
    let overdue = || until.is_some_and(|until| Instant::now() >= until);
    let request = Request {
        customer: asked.customer,
        channel: asked.channel,
        placements: &asked.placements,
        locale: Some(&asked.languages),
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
        counted(live, &asked, &decision);
    }
    let rendered = Rendered {
        decision: &decision,
        asked: &asked,
        known,
        engine,
        id,
        node: call.node,
        keys: Some(&call.worker.shared.tokens.keys),
        now,
    };
    let document = render::document(call.format, &rendered);
    if is_shown {
        let fallbacks = decision.placements.iter().filter(|shown| shown.fallback).count() as u64;
        call.worker.counters().decided(begun.elapsed(), known, decision.degraded, fallbacks);
    }
    document
}

/// Whether a customer is shown the decision. `HEAD` asks for the head of an answer, and an explanation is for
/// people who look into a decision. So these two hold no place of a budget, and nothing counts them.
fn is_shown(call: &Call<'_>, asked: &DecisionRequest<'_>) -> bool {
    call.head.method != Method::HEAD && !asked.explain
}

/// Counts what is shown. Also counts the customer in their arms, whether or not an arm's offer is shown: who
/// is counted must not depend on the arm. Whom an arm chose something for is counted apart.
fn counted(live: &Live, asked: &DecisionRequest<'_>, decision: &Decision<'_>) {
    let Live { engine, decided, .. } = live;
    let DecisionRequest { customer, channel, languages, .. } = asked;
    let (customer, channel, locale) = (*customer, *channel, Some(languages));
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

/// The languages of the header `Accept-Language`, which counts when a request names none itself.
pub(super) fn accepted_languages(call: &Call<'_>) -> Languages {
    let mut given = call.head.all(&ACCEPT_LANGUAGE).filter_map(visible);
    match (given.next(), given.next()) {
        (None, _) => Languages::default(),
        (Some(text), None) => locale::languages(text),
        (Some(first), Some(second)) => Languages::read_all([first, second].into_iter().chain(given)),
    }
}
