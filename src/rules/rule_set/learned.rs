//! `propensity: {learned: thompson}`: a chance that outcomes teach.

use crate::customer::event::MAX_LATE_S;
use crate::expression::Expression;
use crate::input::cursor::{Cursor, Object};
use crate::input::document::InputValue;
use crate::input::problem::{Problems, quoted};
use crate::learning::{Pace, Posterior};
use crate::schema::span::seconds;

/// The most conditions in `by`, which tell customers apart.
pub const MAX_SEGMENT_CONDITIONS: usize = 3;
/// The largest sum of a prior's yeses and noes. With more, outcomes would never teach anything.
const MAX_PRIOR: f64 = 1e6;
const FIELDS: [&str; 6] = ["learned", "prior", "window", "half_life", "floor", "by"];

/// How an offer's propensity is learned.
#[derive(Debug, Clone)]
pub(crate) struct LearnedRule {
    /// The belief before anything was seen.
    pub(crate) prior: Posterior,
    pub(crate) pace: Pace,
    /// The share of choices that is made evenly, whatever was learned; 0 to 1.
    pub(crate) floor: f64,
    /// Each combination of these conditions learns on its own.
    pub(crate) by: Vec<Expression>,
}

impl Default for LearnedRule {
    fn default() -> LearnedRule {
        LearnedRule {
            prior: Posterior { yes: 1.0, no: 9.0 },
            pace: Pace { window_s: 3_600, half_life_s: 30 * 86_400 },
            floor: 0.05,
            by: Vec::new(),
        }
    }
}

impl LearnedRule {
    /// Reads everything but `by`, whose conditions the caller checks.
    pub(super) fn read(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Option<LearnedRule> {
        let object = cursor.object(&FIELDS, problems)?;
        let mut rule = LearnedRule::default();
        let method = object.required("learned", problems)?;
        let text = method.text(problems)?;
        if text != "thompson" {
            problems.push(method.problem(format!("expected thompson, found {}", quoted(text))));
        }
        if let Some(prior) = object.get("prior").and_then(|cursor| cursor.object(&["yes", "no"], problems)) {
            rule.prior.yes = part_of_prior(&prior, "yes", problems).unwrap_or(rule.prior.yes);
            rule.prior.no = part_of_prior(&prior, "no", problems).unwrap_or(rule.prior.no);
        }
        if let Some(window) = object.get("window").and_then(|cursor| read_time(cursor, problems)) {
            rule.pace.window_s = window;
        }
        if let Some(cursor) = object.get("half_life") {
            let never = matches!(&cursor.input.value, InputValue::Text(text) if text == "never");
            let read = if never { Some(0) } else { read_time(cursor, problems) };
            rule.pace.half_life_s = read.unwrap_or(0);
        }
        if let Some(cursor) = object.get("floor") {
            match cursor.number(problems) {
                Some(floor) if (0.0..=1.0).contains(&floor) => rule.floor = floor,
                Some(floor) => {
                    problems.push(cursor.problem(format!("expected a number from 0 to 1, found {floor}")));
                }
                None => {}
            }
        }
        Some(rule)
    }
}

fn part_of_prior(prior: &Object<'_, '_>, name: &str, problems: &mut Problems) -> Option<f64> {
    let cursor = prior.required(name, problems)?;
    let number = cursor.number(problems)?;
    if number > 0.0 && number <= MAX_PRIOR {
        return Some(number);
    }
    problems.push(cursor.problem(format!("expected a number above 0 and up to {MAX_PRIOR}, found {number}")));
    None
}

fn read_time(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Option<u32> {
    let text = cursor.text(problems)?;
    let found = seconds(text).filter(|seconds| *seconds <= MAX_LATE_S);
    if found.is_none() {
        let most = MAX_LATE_S / 86_400;
        let detail = format!("expected a time such as 30m, 12h or 7d, up to {most}d, found {}", quoted(text));
        problems.push(cursor.problem(detail));
    }
    found
}

impl LearnedRule {
    /// Whether another rule learns the same.
    pub(super) fn says_the_same(&self, other: &LearnedRule) -> bool {
        let mut by = self.by.iter().zip(&other.by);
        (self.prior, self.pace, self.floor) == (other.prior, other.pace, other.floor)
            && self.by.len() == other.by.len()
            && by.all(|(mine, theirs)| mine.says_the_same(theirs))
    }
}
