//! Usher itself, with its index.

use usher::decide::{Decision, Request, decide, eligible};
use usher::engine::{Engine, OfferId, PlacementId};
use usher::schema::value::Time;
use usher::schema::vector::FeatureVector;

use crate::peer::{Peer, Question};
use crate::synthetic::customer::Customer;
use crate::synthetic::{COUNT, Synthetic, number_of};

/// Usher's engine, over rows as its store keeps them.
pub(crate) struct Index<'s> {
    synthetic: &'s Synthetic,
    asked: [(PlacementId, usize); 1],
    rows: Vec<Vec<u64>>,
    found: Vec<OfferId>,
    decision: Option<Decision<'s>>,
}

impl Index<'_> {
    pub(crate) fn new<'s>(synthetic: &'s Synthetic, customers: &[Customer]) -> Index<'s> {
        let rows = customers.iter().map(|customer| customer.row(&synthetic.schema)).collect();
        let asked = [(synthetic.placement(), COUNT)];
        Index { synthetic, asked, rows, found: Vec::new(), decision: None }
    }
}

impl Peer for Index<'_> {
    fn name(&self) -> &'static str {
        "usher"
    }

    fn questions(&self) -> &'static [Question] {
        &[Question::All, Question::Top]
    }

    fn ask(&mut self, question: Question, customer: usize) {
        let engine: &Engine = &self.synthetic.engine;
        let vector = FeatureVector::new(&self.rows[customer]);
        let request: Request<'_> = self.synthetic.request(&self.asked);
        if question == Question::Top {
            self.decision = Some(decide(engine, vector, &request, Time(0)));
        } else {
            self.found.clear();
            eligible(engine, self.asked[0].0, vector, &request, Time(0), &mut self.found);
        }
    }

    fn last(&self, question: Question) -> Vec<usize> {
        if question == Question::Top {
            let shown = self.decision.iter().flat_map(|decision| &decision.placements[0].propositions);
            return shown.map(|shown| number_of(&shown.offer.name)).collect();
        }
        self.synthetic.numbers(&self.found)
    }
}
