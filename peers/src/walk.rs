//! The straightforward evaluator: Usher's own conditions as trees, evaluated one after the other.

use usher::decide::Context;
use usher::expression::{Expression, Facts, Scope, Syntax, TagMemo};
use usher::input::origin::Origin;
use usher::schema::value::Time;
use usher::schema::vector::FeatureVector;

use crate::peer::{Peer, Question};
use crate::synthetic::customer::Customer;
use crate::synthetic::{COUNT, Synthetic};

/// Checked conditions, best offer first.
pub(crate) struct Walk<'s> {
    synthetic: &'s Synthetic,
    conditions: Vec<(usize, Expression)>,
    rows: Vec<Vec<u64>>,
    found: Vec<usize>,
}

impl Walk<'_> {
    pub(crate) fn new<'s>(synthetic: &'s Synthetic, customers: &[Customer]) -> Walk<'s> {
        let scope = Scope::of(&synthetic.schema);
        let condition = |i: usize| {
            let text = synthetic.offers[i].condition.cel();
            let syntax = Syntax::parse(&text, Origin::default()).expect("it parses");
            (i, scope.condition(&syntax).expect("it is right"))
        };
        let conditions = synthetic.ranking().into_iter().map(condition).collect();
        let rows = customers.iter().map(|customer| customer.row(&synthetic.schema)).collect();
        Walk { synthetic, conditions, rows, found: Vec::new() }
    }
}

impl Peer for Walk<'_> {
    fn name(&self) -> &'static str {
        "tree-walk"
    }

    fn questions(&self) -> &'static [Question] {
        &[Question::All, Question::Top]
    }

    fn ask(&mut self, question: Question, customer: usize) {
        let (context, memo) = (Context::default(), TagMemo::new(0));
        let facts = Facts {
            schema: &self.synthetic.schema,
            vector: FeatureVector::new(&self.rows[customer]),
            customer: None,
            context: &context,
            channel: self.synthetic.channel(),
            now: Time(0),
            tags: &[],
            memo: &memo,
            variables: &[],
        };
        let most = if question == Question::Top { COUNT } else { usize::MAX };
        let holding = self.conditions.iter().filter(|(_, condition)| condition.holds(&facts));
        self.found.clear();
        self.found.extend(holding.take(most).map(|(i, _)| *i));
    }

    fn last(&self, _: Question) -> Vec<usize> {
        self.found.clone()
    }
}
