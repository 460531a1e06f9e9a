//! Decides by brute force: it looks through all offers again for each place of each placement. Nothing in
//! this file uses Usher.

use super::customers::Customer;
use super::offers::{COURTESY, OFFERS, Offer, allowed};

/// The fields of the request's context that conditions look at.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Context<'t> {
    pub(crate) topic: Option<&'t str>,
    pub(crate) amount: Option<f64>,
    pub(crate) market_rate: Option<f64>,
    pub(crate) waiting: Option<i64>,
}

/// A request. A placement without a count gets the count of [`COUNTS`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'t> {
    pub(crate) channel: &'t str,
    pub(crate) placements: &'t [(&'t str, Option<usize>)],
    pub(crate) locale: Option<&'t str>,
    /// Fields of the context, as a query would carry them.
    pub(crate) context: &'t [(&'t str, &'t str)],
}

/// What one placement shows.
#[derive(Debug, Clone)]
pub(crate) struct Shown<'t> {
    pub(crate) placement: &'t str,
    pub(crate) fallback: bool,
    pub(crate) propositions: Vec<Proposition<'t>>,
}

/// One proposition; its rank is its place in the list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proposition<'t> {
    pub(crate) offer: &'t str,
    pub(crate) treatment: &'t str,
    pub(crate) score: f64,
}

impl<'t> Context<'t> {
    pub(crate) fn new(fields: &[(&str, &'t str)]) -> Context<'t> {
        let field = |wanted: &str| fields.iter().find(|(name, _)| *name == wanted).map(|(_, text)| *text);
        let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("not a number: {text}"));
        Context {
            topic: field("topic"),
            amount: field("amount").map(number),
            market_rate: field("market_rate").map(number),
            waiting: field("waiting").map(|text| number(text) as i64),
        }
    }
}

/// How many propositions a placement shows if the request names no count.
const COUNTS: [(&str, usize); 4] = [("call_script", 2), ("web_banner", 1), ("web_list", 4), ("counter", 2)];

/// The most offers of a group that one decision shows.
const GROUPS: [(&str, usize); 5] = [("term", 2), ("saving", 1), ("refinancing", 1), ("card", 1), ("help", 2)];

fn of_table(table: &[(&str, usize)], name: &str) -> usize {
    table.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name}")).1
}

/// Propensity × value × boost, multiplied in this order so that rounding is the same.
fn score(offer: &Offer, c: &Customer<'_>, context: &Context<'_>) -> f64 {
    let propensity = (offer.propensity)(c).unwrap_or(0.0);
    assert!((0.0..=1.0).contains(&propensity), "the propensity of {} is {propensity}: {c:?}", offer.name);
    propensity * offer.value * (offer.boost)(c, context).unwrap_or(1.0)
}

/// The offer's treatment on a placement: first in the locale, then in its language, then without a locale.
fn treatment(offer: &Offer, placement: &str, locale: Option<&str>) -> Option<&'static str> {
    let language = locale.and_then(|locale| locale.split('-').next());
    [locale, language, None].iter().find_map(|wanted| {
        let found = offer.treatments.iter().find(|(on, locale, _)| *on == placement && locale == wanted);
        found.map(|(_, _, name)| *name)
    })
}

/// Whether the first of two offers with their scores ranks before the second: by tier, then score, then name.
fn is_before((a, a_score): (&Offer, f64), (b, b_score): (&Offer, f64)) -> bool {
    if a.priority != b.priority {
        a.priority < b.priority
    } else if a_score != b_score {
        a_score > b_score
    } else {
        a.name < b.name
    }
}

/// What each placement shows the customer, in the order in which the placements are asked for.
pub(crate) fn decide<'t>(c: &Customer<'_>, asked: &Asked<'t>) -> Vec<Shown<'t>> {
    let context = Context::new(asked.context);
    let mut taken: Vec<&'static Offer> = Vec::new();
    let mut shown = Vec::new();
    for (placement, count) in asked.placements {
        let count = count.unwrap_or_else(|| of_table(&COUNTS, placement));
        let mut propositions = Vec::new();
        while propositions.len() < count {
            let Some((offer, proposition)) = best(c, asked.locale, &context, placement, &taken) else {
                break;
            };
            taken.push(offer);
            propositions.push(proposition);
        }
        let fallback = propositions.is_empty();
        if fallback {
            let treatment = treatment(&COURTESY, placement, asked.locale).unwrap_or("none");
            propositions.push(Proposition { offer: COURTESY.name, treatment, score: 0.0 });
        }
        shown.push(Shown { placement, fallback, propositions });
    }
    shown
}

/// The best offer that may still be shown on a placement, with its score.
fn best(
    c: &Customer<'_>,
    locale: Option<&str>,
    context: &Context<'_>,
    placement: &str,
    taken: &[&'static Offer],
) -> Option<(&'static Offer, Proposition<'static>)> {
    let mut best: Option<(&'static Offer, Proposition<'static>)> = None;
    for offer in &OFFERS {
        let Some(treatment) = treatment(offer, placement, locale) else { continue };
        let is_taken = taken.iter().any(|other| other.name == offer.name);
        let in_group = |group: &&str| taken.iter().filter(|other| other.group == Some(group)).count();
        let is_full = offer.group.is_some_and(|group| in_group(&group) >= of_table(&GROUPS, group));
        if is_taken || is_full || (offer.when)(c, context) != Some(true) || !allowed(offer, c, context) {
            continue;
        }
        let score = score(offer, c, context);
        if best.is_none_or(|(other, proposition)| is_before((offer, score), (other, proposition.score))) {
            best = Some((offer, Proposition { offer: offer.name, treatment, score }));
        }
    }
    best
}
