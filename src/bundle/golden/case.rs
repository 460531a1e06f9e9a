//! A golden decision, and how it is decided.

use std::sync::Arc;

use crate::customer::row::{Past, Row};
use crate::decide::{Decision, NoBudgets, NoLessons, Request, decide};
use crate::engine::{Engine, PlacementId};
use crate::input::problem::{Place, Problem, Source};
use crate::intake::past::PastContact;
use crate::rules::rule_set::Languages;
use crate::schema::context::Context;
use crate::schema::value::{Time, Value};
use crate::schema::vector::FeatureVector;
use crate::schema::{ChannelId, ContextId};

/// One request, with the decision that must come out.
#[derive(Debug)]
pub struct Case {
    /// What the case shows, for people.
    pub name: Box<str>,
    /// The time of the decision.
    pub now: Time,
    /// The customer's id, which selects the arms of experiments. Without one it is the case's name.
    pub id: Box<str>,
    /// The customer's features, with the case's events applied. Empty for an unknown customer.
    pub row: Row,
    /// What the customer was shown and did before.
    pub contacts: Vec<PastContact>,
    /// The channel on which the request comes.
    pub channel: ChannelId,
    /// Placement names, each with the count if the request gives one.
    pub placements: Vec<(Box<str>, Option<usize>)>,
    /// The languages that the request asks for.
    pub locale: Option<Languages>,
    /// The context fields that the request gives.
    pub context: Vec<(ContextId, Value<'static>)>,
    /// What each placement must show.
    pub expected: Vec<ExpectedPlacement>,
    pub(crate) source: Arc<Source>,
    pub(crate) place: Option<Place>,
}

/// What one placement must show.
#[derive(Debug)]
pub struct ExpectedPlacement {
    /// The name of the placement that must show this.
    pub placement: Box<str>,
    /// Whether `offers` are its fallback, shown because no offer survived.
    pub fallback: bool,
    /// Names of the offers, best first.
    pub offers: Vec<Box<str>>,
    /// Names of their treatments, if the case gives them.
    pub treatments: Option<Vec<Box<str>>>,
    pub(crate) place: Option<Place>,
}

impl Case {
    /// The number and count of each requested placement.
    ///
    /// # Errors
    /// The first placement that the engine lacks, or lacks on this channel.
    pub fn resolve(&self, engine: &Engine) -> Result<Vec<(PlacementId, usize)>, Problem> {
        let resolve = |(name, count): &(Box<str>, Option<usize>)| {
            let id = engine.placement_on(name, Some(self.channel)).map_err(|problem| Problem {
                hint: problem.hint,
                ..self.problem(self.place, format!("{}: {}", self.name, problem.detail))
            })?;
            Ok((id, count.unwrap_or(engine.placements()[id.0 as usize].count)))
        };
        self.placements.iter().map(resolve).collect()
    }

    /// The contacts with the engine's numbers, oldest first.
    ///
    /// # Errors
    /// The first contact whose offer or placement the engine does not know.
    pub fn history(&self, engine: &Engine) -> Result<Vec<u64>, Problem> {
        let number = |past: &PastContact| {
            let contact = past.numbered(&engine.catalogue);
            contact.map_err(|why| self.problem(past.place, format!("{}: {why}", self.name)))
        };
        let mut contacts: Vec<u64> = self.contacts.iter().map(number).collect::<Result<_, Problem>>()?;
        contacts.sort_unstable();
        Ok(contacts)
    }

    /// The decision request. `placements` come from [`Case::resolve`], `contacts` from [`Case::history`].
    pub fn request<'a>(
        &'a self,
        placements: &'a [(PlacementId, usize)],
        contacts: &'a [u64],
        explain: bool,
    ) -> Request<'a> {
        let mut context = Context::default();
        for (field, value) in &self.context {
            context.set(*field, value.clone());
        }
        Request {
            customer: &self.id,
            channel: self.channel,
            placements,
            locale: self.locale.as_ref(),
            context,
            past: Past { contacts, ..Past::default() },
            budgets: &NoBudgets,
            lessons: &NoLessons,
            seed: 0,
            explain,
            overdue: None,
        }
    }

    /// Decides the case. Budgets count as unused, and nothing has been learned.
    ///
    /// # Errors
    /// As [`Case::resolve`] and [`Case::history`].
    pub fn decide<'e>(&self, engine: &'e Engine, explain: bool) -> Result<Decision<'e>, Problem> {
        let placements = self.resolve(engine)?;
        let contacts = self.history(engine)?;
        let request = self.request(&placements, &contacts, explain);
        Ok(decide(engine, FeatureVector::new(&self.row), &request, self.now))
    }

    /// A problem at this place of the file.
    pub(crate) fn problem(&self, place: Option<Place>, detail: String) -> Problem {
        Problem { place, source: Some(Arc::clone(&self.source)), ..Problem::new(detail) }
    }
}
