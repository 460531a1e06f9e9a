//! A decision as a document, in one pass; contents were serialized when their rule set was compiled.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use super::encode::{self, Encode};
use crate::decide::{Decision, Explanation, Lack, Proposition, Score, Shown, Stop};
use crate::engine::Engine;
use crate::expression::Read;

/// What there is to say.
pub(super) struct Rendered<'d> {
    pub(super) decision: &'d Decision<'d>,
    pub(super) customer: &'d str,
    pub(super) known: bool,
    pub(super) engine: &'d Engine,
    pub(super) explain: bool,
}

/// Writes the whole answer.
pub(super) fn decision(out: &mut impl Encode, rendered: &Rendered<'_>) {
    out.map(6 + usize::from(rendered.decision.holdout));
    out.key("decision_id");
    let id = next_id();
    out.text(std::str::from_utf8(&id).unwrap_or_default());
    out.key("customer");
    out.text(rendered.customer);
    out.key("known");
    out.boolean(rendered.known);
    out.key("rule_sets");
    out.map(rendered.engine.versions.len());
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
    out.key("placements");
    out.list(rendered.decision.placements.len());
    for shown in &rendered.decision.placements {
        placement(out, shown, rendered);
    }
    out.end_list();
    out.end_map();
}

fn placement(out: &mut impl Encode, shown: &Shown<'_>, rendered: &Rendered<'_>) {
    out.map(3 + usize::from(rendered.explain));
    out.key("id");
    out.text(&shown.placement.name);
    out.key("fallback");
    out.boolean(shown.fallback);
    out.key("propositions");
    out.list(shown.propositions.len());
    for each in &shown.propositions {
        proposition(out, each);
    }
    out.end_list();
    if rendered.explain {
        out.key("explanations");
        out.list(shown.explanations.len());
        for each in &shown.explanations {
            explanation(out, each, rendered.engine);
        }
        out.end_list();
    }
    out.end_map();
}

fn proposition(out: &mut impl Encode, of: &Proposition<'_>) {
    out.map(6 + usize::from(of.reason.is_some()));
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
    out.end_map();
}

fn explanation(out: &mut impl Encode, of: &Explanation<'_>, engine: &Engine) {
    out.map(5 + usize::from(of.rank.is_some()) + usize::from(of.stopped_by.is_some()));
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
    out.key("score");
    score(out, &of.score);
    out.end_map();
}

fn stop(out: &mut impl Encode, of: &Stop<'_>, engine: &Engine) {
    let opens = of.opens();
    let lists = [of.condition.is_some(), of.line.is_some(), !of.values.is_empty(), !of.lacks.is_empty()];
    out.map(2 + usize::from(opens.is_some()) + lists.into_iter().filter(|given| *given).count());
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
        out.map(of.values.len());
        for (read, value) in &of.values {
            match read {
                Read::Feature(feature) => out.any_key(&feature.name),
                read => out.any_key(&read.to_string()),
            }
            encode::value(out, &read.given(value));
        }
        out.end_map();
    }
    if !of.lacks.is_empty() {
        out.key("lacks");
        lacks(out, &of.lacks, engine);
    }
    if let Some(opens) = opens {
        out.key("opens");
        out.text(&opens.to_string());
    }
    out.end_map();
}

/// Alternatives, each a list of terms with what they are and what they would have to be.
fn lacks(out: &mut impl Encode, ways: &[Vec<Lack<'_>>], engine: &Engine) {
    out.list(ways.len());
    for way in ways {
        out.list(way.len());
        for lack in way {
            out.map(3 + usize::from(lack.tag.is_some()));
            out.key("term");
            out.text(&lack.term(engine));
            out.key("is");
            encode::value(out, &lack.value(engine));
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
    out.map(4);
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

/// Hexadecimal digits of an id: 128 random bits of the thread, then its count.
const ID_DIGITS: usize = 48;

thread_local! {
    static PREFIX: [u8; 32] = prefix();
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The standard library's hash keys are the system's own random bits.
fn prefix() -> [u8; 32] {
    let mut digits = [0; 32];
    hex(RandomState::new().hash_one("usher"), &mut digits[..16]);
    hex(RandomState::new().hash_one(std::process::id()), &mut digits[16..]);
    digits
}

/// An id that no other decision has: no lock and nothing shared between threads.
fn next_id() -> [u8; ID_DIGITS] {
    let mut id = [0; ID_DIGITS];
    PREFIX.with(|prefix| id[..32].copy_from_slice(prefix));
    let count = COUNT.get();
    COUNT.set(count + 1);
    hex(count, &mut id[32..]);
    id
}

fn hex(number: u64, digits: &mut [u8]) {
    for (i, digit) in digits.iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (4 * i) & 15) as usize];
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_differ_within_and_between_threads() {
        let ids = || (0..100).map(|_| String::from_utf8(next_id().to_vec()).unwrap()).collect::<Vec<_>>();
        let mut all: HashSet<String> = ids().into_iter().collect();
        all.extend(std::thread::spawn(ids).join().unwrap());
        assert_eq!(all.len(), 200);
        assert!(all.iter().all(|id| id.len() == ID_DIGITS && id.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}
