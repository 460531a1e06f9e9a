//! Writes a decision as a document in one pass. Whatever is the same in every decision was written when the
//! engine was compiled, and is copied.

use bytes::Bytes;
use hyper::StatusCode;
use smallvec::SmallVec;

use super::decisions::request::{DecisionRequest, RefusedPlacement};
use crate::decide::{Decision, Explanation, Lack, Proposition, Score, Shown, Stop};
use crate::engine::Engine;
use crate::engine::fragment::{CONTENT, key};
use crate::expression::Read;
use crate::expression::arm::Arm;
use crate::http::wire::answer;
use crate::http::wire::answer::Answer;
use crate::http::wire::decision_id::DecisionId;
use crate::http::wire::encode;
use crate::http::wire::encode::Encode;
use crate::http::wire::joined::{AsJson, AsMessagePack, Form, Joined};
use crate::http::wire::media::Format;
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::input::problem::Problems;
use crate::intake::token::{Proposed, Signer, SigningKeys};
use crate::learning::LearnedCounts;
use crate::node::Node;
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
        Format::Json => decision(Joined::<AsJson>::new(out), rendered),
        Format::MessagePack => decision(Joined::<AsMessagePack>::new(out), rendered),
    })
}

fn decision<F: Form>(mut out: Joined<'_, F>, rendered: &Rendered<'_>) {
    let Rendered { decision, asked, engine, keys, .. } = rendered;
    let mut signer = keys.map(|keys| signer(rendered, keys));
    let sometimes = [decision.holdout, keys.is_none(), asked.variants, !asked.left_out.is_empty()];
    out.map(6 + sometimes.iter().filter(|is_there| **is_there).count());
    out.first_key(key!("decision_id"));
    out.plain(rendered.id.digits());
    out.key(key!("customer"));
    out.text(asked.customer);
    out.key(key!("known"));
    out.boolean(rendered.known);
    out.fragment(&engine.head);
    out.boolean(decision.degraded);
    if decision.holdout {
        out.key(key!("holdout"));
        out.boolean(true);
    }
    if keys.is_none() {
        out.key(key!("as_of"));
        out.text(&rendered.now.to_string());
    }
    if asked.variants {
        out.key(key!("variants"));
        out.value(|out| variants(out, rendered));
    }
    if !asked.left_out.is_empty() {
        out.key(key!("problem"));
        out.value(|out| problem(out, &asked.left_out));
    }
    out.key(key!("placements"));
    out.list(decision.placements.len() + asked.refused.len());
    let mut refused = asked.refused.iter().peekable();
    let mut place = 0;
    for shown in &decision.placements {
        while let Some(one) = refused.next_if(|one| one.place == place) {
            out.item(place);
            out.value(|out| refused_placement(out, one));
            place += 1;
        }
        out.item(place);
        placement(&mut out, shown, rendered, signer.as_mut());
        place += 1;
    }
    for one in refused {
        out.item(place);
        out.value(|out| refused_placement(out, one));
        place += 1;
    }
    out.end_list();
    out.end_map();
}

/// Writes which variant of each experiment the customer is in; null if in none.
fn variants(out: &mut dyn Encode, rendered: &Rendered<'_>) {
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
fn refused_placement(out: &mut dyn Encode, of: &RefusedPlacement) {
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

fn problem(out: &mut dyn Encode, problems: &Problems) {
    Refusal::problems(ProblemKind::Invalid, problems.clone()).write_whole(out);
}

fn placement<F: Form>(
    out: &mut Joined<'_, F>,
    shown: &Shown<'_>,
    rendered: &Rendered<'_>,
    mut signer: Option<&mut Signer>,
) {
    let Rendered { asked, engine, .. } = rendered;
    out.map(3 + usize::from(asked.explain));
    out.fragment(&shown.placement.head);
    out.boolean(shown.fallback);
    out.key(key!("propositions"));
    out.list(shown.propositions.len());
    for (nth, each) in shown.propositions.iter().enumerate() {
        out.item(nth);
        let token = signer.as_mut().map(|signer| sign(each, shown, rendered, signer));
        proposition(out, each, token);
    }
    out.end_list();
    if asked.explain {
        out.key(key!("explanations"));
        out.value(|out| {
            out.list();
            shown.explanations.iter().for_each(|each| explanation(out, each, engine));
            out.end_list();
        });
    }
    out.end_map();
}

/// Signs the tokens that outcomes of these propositions must bring back.
fn signer(rendered: &Rendered<'_>, keys: &SigningKeys) -> Signer {
    keys.signer(rendered.now.stored_seconds(), rendered.id.seed(), rendered.asked.customer)
}

/// The token of a proposition.
fn sign<'s>(
    of: &Proposition<'_>,
    shown: &Shown<'_>,
    rendered: &Rendered<'_>,
    signer: &'s mut Signer,
) -> &'s [u8] {
    let Rendered { engine, asked, node, .. } = rendered;
    let place = shown.placement.place(asked.channel).unwrap_or_default(); // each placement asked for is on the channel
    // One after the other: most offers have one rule set, and for so few `collect` counts them beforehand.
    let (mut rule_sets, mut arms) = (SmallVec::new(), SmallVec::new());
    engine.versions_for(of.offer).for_each(|version| rule_sets.push(version));
    of.arms.iter().for_each(|arm| arms.push(engine.arm(*arm).number.0));
    let content = Proposed {
        rule_sets,
        offer: of.offer.number.0,
        treatment: of.treatment.number,
        place: place.0,
        arms,
        segment: of.segment,
        rank: of.rank as u8, // at most MAX_COUNT
        propensity: of.propensity as f32,
    };
    node.hand_out(&content.arms);
    signer.sign(&content)
}

fn proposition<F: Form>(out: &mut Joined<'_, F>, of: &Proposition<'_>, token: Option<&[u8]>) {
    let Proposition { offer, treatment, rank, score, propensity, reason, .. } = of;
    out.map(6 + usize::from(reason.is_some()) + usize::from(token.is_some()));
    out.fragment(&treatment.head);
    out.unsigned(u64::from(*rank));
    match offer.numbers_of(*score, *propensity) {
        Some(numbers) => out.fragment(numbers),
        None => {
            out.key(key!("score"));
            out.number(*score);
            out.key(key!("propensity"));
            out.number(*propensity);
        }
    }
    match reason {
        Some(reason) => out.fragment(&reason.fragment),
        None => out.key(CONTENT),
    }
    out.content(treatment);
    if let Some(token) = token {
        out.key(key!("token"));
        out.plain(token);
    }
    out.end_map();
}

fn explanation(out: &mut dyn Encode, of: &Explanation<'_>, engine: &Engine) {
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

fn stop(out: &mut dyn Encode, of: &Stop<'_>, engine: &Engine) {
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
fn lacks(out: &mut dyn Encode, ways: &[Vec<Lack<'_>>], engine: &Engine) {
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

fn score(out: &mut dyn Encode, of: &Score) {
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
