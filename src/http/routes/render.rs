//! Writes a decision as a document in one pass. The contents of treatments were serialized when they were
//! compiled.

use hyper::StatusCode;
use hyper::body::Bytes;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::decisions::request::{DecisionRequest, RefusedPlacement};
use crate::decide::{Decision, Explanation, Lack, Proposition, Score, Shown, Stop};
use crate::engine::Engine;
use crate::expression::Read;
use crate::expression::arm::Arm;
use crate::http::wire::answer;
use crate::http::wire::answer::Answer;
use crate::http::wire::decision_id::DecisionId;
use crate::http::wire::encode;
use crate::http::wire::encode::{Encode, Json, MessagePack};
use crate::http::wire::media::Format;
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::input::problem::Problems;
use crate::intake::token::{MAX_TOKEN_BYTES, SigningKeys, Token};
use crate::learning::LearnedCounts;
use crate::node::Node;
use crate::rules::rule_set::MAX_COUNT;
use crate::schema::value::Time;

/// Everything that the answer is made of.
pub(crate) struct Rendered<'d> {
    pub(crate) decision: &'d Decision<'d>,
    pub(crate) asked: &'d DecisionRequest<'d>,
    pub(crate) known: bool,
    pub(crate) engine: &'d Engine,
    pub(crate) id: DecisionId,
    /// Learns which arms its tokens name.
    pub(crate) node: &'d Node,
    /// Signs the tokens of the propositions. A preview has neither, but says of what time it is.
    pub(crate) keys: Option<&'d SigningKeys>,
    /// The time of the decision.
    pub(crate) now: Time,
}

/// The whole answer to a decision request.
pub(crate) fn answer(format: Format, rendered: &Rendered<'_>) -> Answer {
    of_document(format, document(format, rendered))
}

/// The answer with this document.
pub(crate) fn of_document(format: Format, document: Bytes) -> Answer {
    answer::varying_by_language(answer::with(StatusCode::OK, format.content_type(), document))
}

/// The document that states a decision.
pub(crate) fn document(format: Format, rendered: &Rendered<'_>) -> Bytes {
    answer::buffered(|out| match format {
        Format::Json => decision(&mut Json::new(out), rendered),
        Format::MessagePack => decision(&mut MessagePack::new(out), rendered),
    })
}

fn decision(out: &mut impl Encode, rendered: &Rendered<'_>) {
    out.map();
    out.key("decision_id");
    out.text(rendered.id.as_str());
    out.key("customer");
    out.text(rendered.asked.customer);
    out.key("known");
    out.boolean(rendered.known);
    out.key("rule_sets");
    out.map();
    for (name, version) in &rendered.engine.versions {
        out.any_key(name);
        out.unsigned(u64::from(*version));
    }
    out.end_map();
    out.key("degraded");
    out.boolean(rendered.decision.degraded);
    if rendered.decision.holdout {
        out.key("holdout");
        out.boolean(true);
    }
    if rendered.keys.is_none() {
        out.key("as_of");
        out.text(&rendered.now.to_string());
    }
    if rendered.asked.variants {
        out.key("variants");
        variants(out, rendered);
    }
    if !rendered.asked.left_out.is_empty() {
        out.key("problem");
        problem(out, &rendered.asked.left_out);
    }
    out.key("placements");
    out.list();
    let mut token = String::with_capacity(MAX_TOKEN_BYTES);
    let mut refused = rendered.asked.refused.iter().peekable();
    let mut place = 0;
    for (nth, shown) in rendered.decision.placements.iter().enumerate() {
        while let Some(one) = refused.next_if(|one| one.place == place) {
            refused_placement(out, one);
            place += 1;
        }
        placement(out, shown, nth, rendered, &mut token);
        place += 1;
    }
    refused.for_each(|one| refused_placement(out, one));
    out.end_list();
    out.end_map();
}

/// Writes which variant of each experiment the customer is in; null if in none.
fn variants(out: &mut impl Encode, rendered: &Rendered<'_>) {
    let Rendered { engine, asked, decision, .. } = rendered;
    let own: SmallVec<[&Arm; 8]> = engine.arms_for(asked.customer, decision.holdout).collect();
    out.map();
    for experiment in engine.experiment_names() {
        out.any_key(experiment);
        match own.iter().find(|arm| *arm.experiment == *experiment) {
            Some(arm) => out.text(arm.variant()),
            None => out.null(),
        }
    }
    out.end_map();
}

/// Writes a placement that could not be decided for, in its place.
fn refused_placement(out: &mut impl Encode, of: &RefusedPlacement) {
    out.map();
    out.key("id");
    out.text(&of.id);
    out.key("fallback");
    out.boolean(false);
    out.key("propositions");
    out.list();
    out.end_list();
    out.key("problem");
    problem(out, &of.problems);
    out.end_map();
}

fn problem(out: &mut impl Encode, problems: &Problems) {
    Refusal::problems(ProblemKind::Invalid, problems.clone()).write_whole(out);
}

fn placement(
    out: &mut impl Encode,
    shown: &Shown<'_>,
    nth: usize,
    rendered: &Rendered<'_>,
    token: &mut String,
) {
    out.map();
    out.key("id");
    out.text(&shown.placement.name);
    out.key("fallback");
    out.boolean(shown.fallback);
    out.key("propositions");
    out.list();
    for each in &shown.propositions {
        token.clear();
        if let Some(keys) = rendered.keys {
            sign(each, shown, nth, rendered, keys, token);
        }
        proposition(out, each, token);
    }
    out.end_list();
    if rendered.asked.explain {
        out.key("explanations");
        out.list();
        for each in &shown.explanations {
            explanation(out, each, rendered.engine);
        }
        out.end_list();
    }
    out.end_map();
}

/// Signs the token that an outcome of the proposition must bring back.
fn sign(
    of: &Proposition<'_>,
    shown: &Shown<'_>,
    nth: usize,
    rendered: &Rendered<'_>,
    keys: &SigningKeys,
    token: &mut String,
) {
    let Rendered { engine, id, now, .. } = rendered;
    let place = shown.placement.place(rendered.asked.channel).unwrap_or_default(); // each placement asked for is on the channel
    let salt = (nth * MAX_COUNT) as u64 + u64::from(of.rank);
    let content = Token {
        decided: now.stored_seconds(),
        nonce: xxh3_64_with_seed(id.as_str().as_bytes(), salt).max(1),
        rule_sets: engine.versions_for(of.offer).collect(),
        offer: of.offer.number.0,
        treatment: of.treatment.number,
        place: place.0,
        arms: of.arms.iter().map(|arm| engine.arm(*arm).number.0).collect(),
        segment: of.segment,
        rank: of.rank as u8, // at most MAX_COUNT
        propensity: of.propensity as f32,
    };
    rendered.node.hand_out(&content.arms);
    keys.sign(&content, rendered.asked.customer, token);
}

fn proposition(out: &mut impl Encode, of: &Proposition<'_>, token: &str) {
    out.map();
    out.key("offer");
    out.text(&of.offer.name);
    out.key("treatment");
    out.text(&of.treatment.name);
    out.key("rank");
    out.unsigned(u64::from(of.rank));
    out.key("score");
    out.number(of.score);
    out.key("propensity");
    out.number(of.propensity);
    if let Some(reason) = of.reason {
        out.key("reason");
        out.text(reason);
    }
    out.key("content");
    out.content(of.treatment);
    if !token.is_empty() {
        out.key("token");
        out.text(token);
    }
    out.end_map();
}

fn explanation(out: &mut impl Encode, of: &Explanation<'_>, engine: &Engine) {
    out.map();
    out.key("offer");
    out.text(&of.offer.name);
    out.key("rule_set");
    out.text(&of.offer.rule_set);
    out.key("line");
    out.unsigned(u64::from(of.offer.line));
    out.key("eligible");
    out.boolean(of.eligible);
    if let Some(rank) = of.rank {
        out.key("rank");
        out.unsigned(u64::from(rank));
    }
    if let Some(by) = &of.stopped_by {
        out.key("stopped_by");
        stop(out, by, engine);
    }
    if !of.places.is_empty() {
        out.key("places");
        out.list();
        of.places.iter().for_each(|budget| out.text(budget));
        out.end_list();
    }
    out.key("score");
    score(out, &of.score);
    if let Some(LearnedCounts { yes, no, pending }) = of.learned {
        out.key("learned");
        out.map();
        out.key("yes");
        out.number(yes);
        out.key("no");
        out.number(no);
        out.key("pending");
        out.unsigned(pending);
        out.end_map();
    }
    out.end_map();
}

fn stop(out: &mut impl Encode, of: &Stop<'_>, engine: &Engine) {
    out.map();
    out.key("kind");
    out.text(of.kind.name());
    out.key("name");
    out.text(&of.name);
    if let Some(condition) = of.condition {
        out.key("condition");
        out.text(condition);
    }
    if let Some(line) = of.line {
        out.key("line");
        out.unsigned(u64::from(line));
    }
    if !of.values.is_empty() {
        out.key("values");
        out.map();
        for (read, value) in &of.values {
            match read {
                Read::Feature(feature) => out.any_key(&feature.name),
                read => out.any_key(&read.to_string()),
            }
            encode::value(out, value);
        }
        out.end_map();
    }
    if !of.lacks.is_empty() {
        out.key("lacks");
        lacks(out, &of.lacks, engine);
    }
    if let Some(opens) = of.opens() {
        out.key("opens");
        out.text(&opens.to_string());
    }
    for (key, number) in [("count", of.count), ("max", of.max)] {
        if let Some(number) = number {
            out.key(key);
            out.unsigned(u64::from(number));
        }
    }
    if let Some(ends) = of.ends {
        out.key("ends");
        out.text(&ends.to_string());
    }
    out.end_map();
}

/// Writes the alternatives, each a list of terms with their values and what these would have to be.
fn lacks(out: &mut impl Encode, ways: &[Vec<Lack<'_>>], engine: &Engine) {
    out.list();
    for way in ways {
        out.list();
        for lack in way {
            out.map();
            out.key("term");
            out.text(&lack.term(engine));
            out.key("is");
            encode::value(out, &lack.value);
            out.key("needs");
            out.text(&lack.needs(engine));
            if let Some(tag) = lack.tag {
                out.key("tag");
                out.text(tag);
            }
            out.end_map();
        }
        out.end_list();
    }
    out.end_list();
}

fn score(out: &mut impl Encode, of: &Score) {
    out.map();
    out.key("propensity");
    out.number(of.propensity);
    out.key("value");
    out.number(of.value);
    out.key("boost");
    out.number(of.boost);
    out.key("score");
    out.number(of.score);
    out.end_map();
}
