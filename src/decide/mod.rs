//! Deciding: a pure function of engine, feature vector, request and time.
//!
//! For each placement, the [index](crate::engine) finds the offers that may be shown. They rank by priority
//! tier, score and name. The decision takes as many as asked for, each at most once and within its group's
//! limit, caps and budgets. When no offer survives, it shows the fallback.

mod budgets;
mod choose;
mod drawing;
mod explain;
mod history;
mod lacks;
mod lessons;
mod obstacle;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::ops::ControlFlow;

use smallvec::SmallVec;

use crate::customer::row::Past;
use crate::engine::{
    Drawn, Engine, GuardrailId, Known, Offer, OfferId, Placement, PlacementId, Reason, Treatment,
};
use crate::expression::arm::ArmId;
use crate::expression::experiment::InVariant;
use crate::expression::{Facts, TagMemo};
use crate::rules::rule_set::Languages;
use crate::schema::ChannelId;
use crate::schema::value::Time;
use crate::schema::vector::FeatureVector;

use self::choose::{Choosing, Passed, RankedOffer, Taken};
use self::drawing::Drawing;
use self::history::ContactColumns;

pub use self::budgets::{Budgets, NoBudgets};
pub use self::explain::{Explanation, Lack, Stop, StopKind};
pub use self::lacks::MAX_WAYS;
pub use self::lessons::{Lessons, NoLessons};
pub(crate) use self::obstacle::stopped_by_one_guardrail;
pub use crate::engine::Score;
pub use crate::schema::context::Context;

/// The most placements that one request may ask for.
pub const MAX_PLACEMENTS: usize = 30;

/// What is asked, with all names resolved.
pub struct Request<'a> {
    /// The customer's id; it only determines the arms of experiments.
    pub customer: &'a str,
    /// The channel on which the answer is shown.
    pub channel: ChannelId,
    /// The placements, and how many propositions for each (at most
    /// [`MAX_COUNT`](crate::rules::rule_set::MAX_COUNT)).
    pub placements: &'a [(PlacementId, usize)],
    /// The languages of the treatments; `None` asks for the default treatment.
    pub locale: Option<&'a Languages>,
    /// Values that only the request knows.
    pub context: Context<'a>,
    /// What the customer was shown and did, which caps and suppressions count, and the places that they have
    /// in budgets.
    pub past: Past<'a>,
    /// What is left of the budgets that all customers share.
    pub budgets: &'a dyn Budgets,
    /// What outcomes have taught about offers.
    pub lessons: &'a dyn Lessons,
    /// The seed of choices that are left to chance. The same seed gives the same decision.
    pub seed: u64,
    /// Whether to say for every offer why it was or was not shown.
    pub explain: bool,
    /// Says whether the time is over. Then the answer has what is ready, and fallbacks for the rest. It is
    /// a function, because the core has no clock.
    pub overdue: Option<&'a dyn Fn() -> bool>,
}

/// The result of one call.
#[derive(Debug)]
pub struct Decision<'e> {
    /// One per placement asked for, in the same order.
    pub placements: Vec<Shown<'e>>,
    /// Whether the time was over before everything was decided.
    pub degraded: bool,
    /// Whether the customer is in the holdout and sees only fallbacks.
    pub holdout: bool,
}

/// What one placement shows, and why.
#[derive(Debug)]
pub struct Shown<'e> {
    /// The placement that was asked for.
    pub placement: &'e Placement,
    /// Whether it shows its fallback because no offer survived.
    pub fallback: bool,
    /// What it shows, the best first.
    pub propositions: Vec<Proposition<'e>>,
    /// With `explain`: every offer of the placement, first those shown, then the eligible, then the others.
    pub explanations: Vec<Explanation<'e>>,
}

/// An offer with the treatment in which it is shown.
#[derive(Debug, Clone)]
pub struct Proposition<'e> {
    /// The offer that is proposed.
    pub offer: &'e Offer,
    /// How the offer looks here.
    pub treatment: &'e Treatment,
    /// Its place on the placement, from 1.
    pub rank: u32,
    /// The score it was ranked by; 0 for a fallback.
    pub score: f64,
    /// The probability with which it was chosen for this rank, given the ranks before. 1 where nothing was
    /// left to chance.
    pub propensity: f64,
    /// The customer's segment for learning; 0 if nothing is learned.
    pub segment: u8,
    /// Why it is shown, in the request's language.
    pub reason: Option<&'e Reason>,
    /// The arms that bear on it: first the side of the holdout, if there is one, then the customer's arms
    /// in the experiments of the offer's rule set. A customer who is held out is in no other arm.
    pub arms: Arms,
}

/// Arms that bear on a proposition, each of a different experiment.
pub type Arms = SmallVec<[ArmId; 4]>;

/// Decides what each placement shows. For an unknown customer pass [`FeatureVector::unknown`].
///
/// It never fails: a condition without an answer counts against its offer, and a placement with a fallback
/// is never empty.
pub fn decide<'e>(
    engine: &'e Engine,
    vector: FeatureVector<'_>,
    request: &Request<'_>,
    now: Time,
) -> Decision<'e> {
    Scratch::with(engine, |room| {
        let Scratch { known, pool, drawing, taken, history, memos } = room;
        let held = if request.explain { vec![Cell::new(None); engine.guardrails.len()] } else { Vec::new() };
        let seen = Seen { held, ..Seen::new(engine, vector, request, now, memos) };
        let index = engine.index.lookup(&engine.terms, vector.words(), |tags| seen.facts(tags), known);
        history.begin(engine, &request.past, now);
        let mut choosing =
            Choosing { seen: &seen, lookup: index, pool, drawing, taken, history, late: false };
        let shown =
            request.placements.iter().map(|(placement, count)| choosing.placement(*placement, *count));
        let placements = shown.collect();
        Decision { placements, degraded: choosing.late, holdout: seen.held_out }
    })
}

/// Fills `found` with every offer of a placement that this customer may be shown, whatever else is shown:
/// what a ranking chooses from. Locale and channel are the request's; its placements, contacts and budgets
/// do not matter.
pub fn eligible(
    engine: &Engine,
    placement: PlacementId,
    vector: FeatureVector<'_>,
    request: &Request<'_>,
    now: Time,
    found: &mut Vec<OfferId>,
) {
    Scratch::with(engine, |Scratch { known, memos, .. }| {
        let seen = Seen::new(engine, vector, request, now, memos);
        if seen.held_out {
            return;
        }
        let mut index = engine.index.lookup(&engine.terms, vector.words(), |tags| seen.facts(tags), known);
        let Placement { offers, in_any_locale, .. } = engine.placement(placement);
        index.walk(
            placement,
            || false,
            |place| {
                let id = offers[place as usize];
                let treated = || seen.treatment(placement, engine.offer(id)).is_some();
                if in_any_locale[place as usize] || treated() {
                    found.push(id);
                }
                ControlFlow::Continue(())
            },
        );
    });
}

/// Memory that a decision needs beyond its answer. Every thread keeps its own, so that deciding does not
/// allocate.
#[derive(Default)]
struct Scratch {
    known: Known,
    pool: Vec<(f64, u32)>,
    drawing: Drawing,
    taken: Taken,
    history: ContactColumns,
    memos: Vec<TagMemo>,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Scratch {
    fn with<A>(engine: &Engine, decide: impl FnOnce(&mut Scratch) -> A) -> A {
        let mut room = SCRATCH.take().unwrap_or_default();
        room.memos.resize_with(room.memos.len().max(engine.tags.len()).max(1), TagMemo::default);
        for (memo, (tags, experiments)) in
            room.memos.iter_mut().zip(engine.tags.iter().zip(&engine.experiments))
        {
            memo.clear(tags.len(), experiments.len());
        }
        room.taken.clear();
        let answer = decide(&mut room);
        SCRATCH.set(Some(room));
        answer
    }
}

/// Everything that a decision looks at.
struct Seen<'e, 'r> {
    engine: &'e Engine,
    vector: FeatureVector<'r>,
    request: &'r Request<'r>,
    now: Time,
    memos: &'r [TagMemo],
    /// In an explained decision: whether each guardrail holds, once that is known; many offers share it.
    held: Vec<Cell<Option<bool>>>,
    /// Whether the customer is in the holdout.
    held_out: bool,
}

impl<'e: 'r, 'r> Seen<'e, 'r> {
    fn new(
        engine: &'e Engine,
        vector: FeatureVector<'r>,
        request: &'r Request<'r>,
        now: Time,
        memos: &'r [TagMemo],
    ) -> Seen<'e, 'r> {
        let held_out = engine.holdout.as_ref().is_some_and(|(holdout, _)| holdout.contains(request.customer));
        Seen { engine, vector, request, now, memos, held: Vec::new(), held_out }
    }

    /// What the expressions of the rule set with these tags see.
    fn facts(&self, tags: usize) -> Facts<'r> {
        Facts {
            schema: &self.engine.schema,
            vector: self.vector,
            customer: Some(self.request.customer),
            context: &self.request.context,
            channel: self.request.channel,
            now: self.now,
            tags: self.engine.tags.get(tags).map_or(&[], Vec::as_slice),
            memo: &self.memos[tags.min(self.memos.len() - 1)],
            variables: &[],
        }
    }

    /// How an offer looks to the customer on a placement.
    fn treatment(&self, placement: PlacementId, offer: &'e Offer) -> Option<&'e Treatment> {
        let is_in = |variant: &InVariant| !self.held_out && self.is_in(offer.tags, variant);
        offer.treatment(placement, self.request.locale, is_in)
    }

    /// Whether the customer is in a variant of an experiment of the rule set with these tags.
    fn is_in(&self, tags: usize, variant: &InVariant) -> bool {
        self.facts(tags).variant(&variant.experiment) == Some(variant.variant as i64)
    }

    /// The arms that bear on an offer of the rule set with these tags.
    fn arms(&self, tags: usize) -> Arms {
        let mut arms = Arms::new();
        if let Some((_, first)) = &self.engine.holdout {
            arms.push(ArmId(first.0 + u16::from(!self.held_out)));
        }
        let drawn = self.engine.experiments.get(tags).filter(|_| !self.held_out);
        for Drawn { experiment, first_arm } in drawn.into_iter().flatten() {
            let variant =
                self.facts(tags).variant(experiment).and_then(|variant| u16::try_from(variant).ok());
            arms.extend(variant.map(|variant| ArmId(first_arm.0 + variant)));
        }
        arms
    }

    fn holds(&self, id: GuardrailId) -> bool {
        let held = &self.held[id.0 as usize];
        held.get().unwrap_or_else(|| {
            let guardrail = &self.engine.guardrails[id.0 as usize];
            let holds = guardrail.condition.holds(&self.facts(guardrail.tags));
            held.set(Some(holds));
            holds
        })
    }

    fn is_overdue(&self) -> bool {
        self.request.overdue.is_some_and(|overdue| overdue())
    }
}
