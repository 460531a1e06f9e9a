//! Compares a decision with what a case expects, and says what stopped an offer that is missing.

use super::case::{Case, ExpectedPlacement};
use crate::decide::{Shown, Stop};
use crate::engine::Engine;
use crate::input::problem::{Place, Problem, Problems};

/// A placement that shows something else than its case expects.
#[derive(Debug)]
pub struct Mismatch {
    /// The name of the placement.
    pub placement: Box<str>,
    /// What it should show.
    pub expected: String,
    /// What it shows.
    pub found: String,
    /// Why each offer that is missing is not shown.
    pub reasons: Vec<String>,
    place: Option<Place>,
}

impl Case {
    /// The line of the file on which the case begins.
    pub fn line(&self) -> u32 {
        self.place.map_or(0, |place| place.line)
    }

    /// Decides the case and reports each placement that shows something else than expected.
    pub(crate) fn check(&self, engine: &Engine, problems: &mut Problems) {
        match self.mismatches(engine) {
            Ok(found) => found.iter().for_each(|mismatch| problems.push(self.mismatch_problem(mismatch))),
            Err(problem) => problems.push(problem),
        }
    }

    /// Each placement that shows something else than expected.
    ///
    /// # Errors
    /// As [`Case::decide`].
    pub fn mismatches(&self, engine: &Engine) -> Result<Vec<Mismatch>, Problem> {
        let decision = self.decide(engine, true)?;
        let mut found = Vec::new();
        for expected in &self.expected {
            let shown = decision.placements.iter().find(|shown| *shown.placement.name == *expected.placement);
            let (described, reasons) = match shown {
                Some(shown) if expected.is_met_by(shown) => continue,
                Some(shown) => {
                    let reasons = expected.offers.iter().filter_map(|offer| why_not(offer, shown));
                    (describe(shown, expected), reasons.collect())
                }
                None => ("no such placement in the request".to_owned(), Vec::new()),
            };
            found.push(Mismatch {
                placement: expected.placement.clone(),
                expected: expected.describe(),
                found: described,
                reasons,
                place: expected.place,
            });
        }
        Ok(found)
    }

    fn mismatch_problem(&self, mismatch: &Mismatch) -> Problem {
        let Mismatch { expected, found, reasons, place, .. } = mismatch;
        let problem = self.problem(*place, format!("{}: expected {expected}, got {found}", self.name));
        if reasons.is_empty() { problem } else { problem.hint(reasons.join("\n  = ")) }
    }
}

impl ExpectedPlacement {
    fn is_met_by(&self, shown: &Shown<'_>) -> bool {
        let offers = shown.propositions.iter().map(|p| &*p.offer.name).eq(self.offers.iter().map(|o| &**o));
        let treatments = self.treatments.as_ref();
        let treatments = treatments.is_none_or(|wanted| {
            shown.propositions.iter().map(|p| &*p.treatment.name).eq(wanted.iter().map(|t| &**t))
        });
        shown.fallback == self.fallback && offers && treatments
    }

    fn describe(&self) -> String {
        let treatments = self.treatments.as_ref().map(|t| t.iter().map(|t| &**t).collect::<Vec<_>>());
        describe_list(
            self.fallback,
            &self.offers.iter().map(|o| &**o).collect::<Vec<_>>(),
            treatments.as_deref(),
        )
    }
}

fn describe(shown: &Shown<'_>, expected: &ExpectedPlacement) -> String {
    let offers: Vec<&str> = shown.propositions.iter().map(|p| &*p.offer.name).collect();
    let treatments: Vec<&str> = shown.propositions.iter().map(|p| &*p.treatment.name).collect();
    describe_list(shown.fallback, &offers, expected.treatments.as_ref().map(|_| &treatments[..]))
}

fn describe_list(fallback: bool, offers: &[&str], treatments: Option<&[&str]>) -> String {
    let kind = if fallback { "the fallback " } else { "" };
    let offers = if offers.is_empty() { "nothing".to_owned() } else { offers.join(", ") };
    match treatments {
        Some(treatments) => format!("{kind}{offers} as {}", treatments.join(", ")),
        None => format!("{kind}{offers}"),
    }
}

/// Why an expected offer is not shown, in one line.
fn why_not(offer: &str, shown: &Shown<'_>) -> Option<String> {
    if shown.propositions.iter().any(|p| &*p.offer.name == offer) {
        return None;
    }
    match shown.explanations.iter().find(|e| &*e.offer.name == offer) {
        Some(explanation) => {
            explanation.stopped_by.as_ref().map(|stop| format!("{offer}: {}", describe_stop(stop)))
        }
        None => Some(format!("{offer} is not an offer of {}", shown.placement.name)),
    }
}

/// What stopped an offer, in one line: its kind, the condition with its line, and the values that the
/// condition saw.
fn describe_stop(stop: &Stop<'_>) -> String {
    let mut text = format!("stopped by {}", stop.kind.name());
    if !stop.name.is_empty() {
        text.push_str(&format!(" {}", stop.name));
    }
    if let Some(condition) = stop.condition {
        text.push_str(&format!(": {condition}"));
    }
    if let Some(count) = stop.count {
        text.push_str(&format!(": counted {count}, at most {}", stop.max.unwrap_or(0)));
    }
    if let Some(line) = stop.line {
        text.push_str(&format!(" (line {line})"));
    }
    let values: Vec<String> = stop.values.iter().map(|(read, value)| format!("{read} is {value}")).collect();
    if !values.is_empty() {
        text.push_str(&format!(" with {}", values.join(", ")));
    }
    text
}
