//! `a-tree`: all expressions in one tree that shares their common parts.

use a_tree::{ATree, AttributeDefinition, Event};

use crate::facts::{Fact, Kind, facts, features, words};
use crate::peer::{Peer, Question};
use crate::synthetic::condition::{Ask, Language, quoted};
use crate::synthetic::customer::Customer;
use crate::synthetic::{FLOAT_STEPS, Synthetic, float_of};

const LANGUAGE: Language = Language { and: " and ", or: " or ", ask };
/// Decimals of a step of 1/1,024, written out.
const DECIMALS: u32 = FLOAT_STEPS.trailing_zeros();

/// The tree, with events made beforehand.
pub(crate) struct Atree<'s> {
    tree: ATree<usize>,
    customers: &'s [Customer],
    events: Vec<Event>,
    names: Vec<String>,
    words: Vec<String>,
    found: Vec<usize>,
}

impl Atree<'_> {
    pub(crate) fn new<'s>(synthetic: &Synthetic, customers: &'s [Customer]) -> Atree<'s> {
        let features = features();
        let definitions: Vec<AttributeDefinition> = features
            .iter()
            .map(|(name, kind)| match kind {
                Kind::Flag => AttributeDefinition::boolean(name),
                Kind::Word => AttributeDefinition::string(name),
                Kind::Int => AttributeDefinition::integer(name),
                Kind::Float => AttributeDefinition::float(name),
            })
            .collect();
        let mut tree = ATree::new(&definitions).expect("each is defined once");
        for (i, offer) in synthetic.offers.iter().enumerate() {
            let text = offer.condition.text(&LANGUAGE);
            tree.insert(&i, &text).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        }
        let names = features.into_iter().map(|(name, _)| name).collect();
        let mut atree =
            Atree { tree, customers, events: Vec::new(), names, words: words(), found: Vec::new() };
        atree.events = customers.iter().map(|customer| atree.event(customer)).collect();
        atree
    }

    fn event(&self, customer: &Customer) -> Event {
        let mut event = self.tree.make_event();
        for (feature, fact) in facts(customer) {
            let name = &self.names[feature];
            let set = match fact {
                Fact::Flag(flag) => event.with_boolean(name, flag),
                Fact::Word(word) => event.with_string(name, &self.words[word]),
                Fact::Int(int) => event.with_integer(name, int),
                Fact::Float(steps) => {
                    let one = 5_i64.pow(DECIMALS); // 1/1,024 is 5^10 of 10^10
                    event.with_float(name, i64::from(steps) * one, DECIMALS)
                }
            };
            set.expect("it is of its kind");
        }
        event.build().expect("it is whole")
    }
}

impl Peer for Atree<'_> {
    fn name(&self) -> &'static str {
        "a-tree"
    }

    fn questions(&self) -> &'static [Question] {
        &[Question::All, Question::AllFromPlain]
    }

    fn ask(&mut self, question: Question, customer: usize) {
        let made;
        let event = if question == Question::AllFromPlain {
            made = self.event(&self.customers[customer]);
            &made
        } else {
            &self.events[customer]
        };
        let report = self.tree.search(event).expect("the event is of this tree");
        self.found.clear();
        self.found.extend(report.matches().iter().copied());
    }

    fn last(&self, _: Question) -> Vec<usize> {
        self.found.clone()
    }
}

fn ask(ask: &Ask, _: bool) -> String {
    match *ask {
        Ask::Flag { flag, is: true } => format!("b{flag}"),
        Ask::Flag { flag, is: false } => format!("(not b{flag})"),
        Ask::Word { word_of, word } => format!("e{word_of} = 'w{word}'"),
        Ask::Words { word_of, ref words } => format!("e{word_of} in [{}]", quoted(words)),
        Ask::Between { int, low, high } => format!("(i{int} >= {low} and i{int} <= {high})"),
        Ask::AtLeast { int, low } => format!("i{int} >= {low}"),
        Ask::Below { int, high } => format!("i{int} < {high}"),
        Ask::FloatAbove { float, low } => format!("f{float} > {:?}", float_of(low)),
        Ask::FloatAtMost { float, high } => format!("f{float} <= {:?}", float_of(high)),
    }
}
