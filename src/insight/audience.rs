//! Audiences: how many of all customers a condition selects.
//!
//! The condition's normal form becomes a plan. The plan goes over the rows in batches, one column at a
//! time: shift, mask, compare. Only what stored bits cannot tell is evaluated, and only for customers who
//! passed everything else.
//!
//! Each customer is counted as they were at some moment of the scan, not all at the same moment. There is
//! no request, so a condition may not ask for what only a request knows.

mod evaluator;
mod filter;
mod plan;
mod reach;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::Arc;

pub(crate) use self::evaluator::Evaluator;
use self::evaluator::Reads;
use self::plan::{Plan, Planner, Scan};
pub use self::reach::{OfferReach, Reach, reach};

use crate::expression::normalise::Normaliser;
use crate::expression::term::Terms;
use crate::expression::{Expression, Scope, Syntax, Tag, TagNames};
use crate::input::origin::Origin;
use crate::input::problem::{Problems, Source};
use crate::schema::Schema;
use crate::schema::value::Time;
use crate::state::store::Customers;

/// The customers for whom a condition is true at one point in time.
pub struct Audience<'s> {
    evaluator: Evaluator<'s>,
    terms: Terms,
    words: Vec<usize>,
    plan: Plan,
}

/// How many customers a condition selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AudienceCount {
    /// Customers for whom the condition is true.
    pub matching: u64,
    /// All customers that there are.
    pub total: u64,
}

/// Reads a condition; `tag.NAME` means one of these tags.
///
/// # Errors
/// Everything that is wrong with it, in a source named `condition`. It is also wrong to ask for what only a
/// request knows.
pub fn read(text: &str, schema: &Schema, tags: &[Tag]) -> Result<Expression, Problems> {
    let source = Arc::new(Source { name: "condition".into(), text: text.into() });
    let syntax = Syntax::parse(text, Origin::whole(source))?;
    let names = TagNames::new(tags.iter().map(|tag| &*tag.name));
    let mut problems = refuse_requests(&syntax, tags);
    match (Scope { tags: &names, ..Scope::of(schema) }).condition(&syntax) {
        Ok(condition) => problems.or(condition),
        Err(found) => {
            problems.omitted += found.omitted;
            for problem in &found {
                // A name that may not be used at all need not be spelt right.
                if problems.iter().all(|known| known.place != problem.place) {
                    problems.push(problem.clone());
                }
            }
            problems.sort();
            Err(problems)
        }
    }
}

fn refuse_requests(syntax: &Syntax, tags: &[Tag]) -> Problems {
    let why = "an audience has no request, so it cannot ask for";
    let mut problems = syntax.refuse_fields("context", |field| Some(format!("{why} `context.{field}`")));
    problems.extend(syntax.refuse_fields("tag", |name| {
        let tag = tags.iter().find(|tag| *tag.name == *name)?;
        let request = Reads::of(&tag.condition.node, tags).request;
        request.then(|| format!("{why} tag `{name}`, which reads the context or a variant"))
    }));
    problems
}

impl<'s> Audience<'s> {
    /// The audience of a condition that was [read](read()) with this schema and these tags.
    pub fn new(schema: &'s Schema, tags: &'s [Tag], condition: &Expression, now: Time) -> Audience<'s> {
        let mut normaliser = Normaliser::new(schema, vec![tags]);
        let form = normaliser.condition(condition, 0);
        let terms = normaliser.terms;
        let evaluator = Evaluator::new(schema, std::iter::once(tags), now);
        let mut planner = Planner::new(&evaluator, &terms);
        let plan = planner.plan(&form);
        let words = planner.words;
        Audience { evaluator, terms, words, plan }
    }

    /// Counts the customers. `stop` is called every few hundred customers; if it says true, the result is
    /// `None`.
    pub fn count(&self, customers: &Customers, stop: impl Fn() -> bool) -> Option<AudienceCount> {
        let mut scan = Scan::new(&self.evaluator, &self.terms, &self.words);
        let mut count = Some(AudienceCount::default());
        customers.scan(&self.words, 1, |batch| {
            if stop() {
                count = None;
            }
            let Some(count) = &mut count else { return ControlFlow::Break(()) };
            count.total += counted(batch.customers());
            count.matching += counted(&self.plan.matching(batch, &mut scan));
            ControlFlow::Continue(())
        });
        count
    }
}

fn counted(rows: &filter::Rows) -> u64 {
    u64::from(rows.iter().map(|row| row & 1).sum::<u32>())
}
