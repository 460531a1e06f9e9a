//! What an engine must do to take part.

use crate::atree::Atree;
use crate::cel_interpreter::CelInterpreter;
use crate::index::Index;
use crate::synthetic::Synthetic;
use crate::synthetic::customer::Customer;
use crate::walk::Walk;
use crate::zen::Zen;

/// An engine with a rule set and customers.
pub(crate) trait Peer {
    fn name(&self) -> &'static str;

    /// What it can be asked.
    fn questions(&self) -> &'static [Question];

    /// Works out the answer for the customer with this number, and keeps it.
    fn ask(&mut self, question: Question, customer: usize);

    /// The numbers of the offers that the last such question found.
    fn last(&self, question: Question) -> Vec<usize>;
}

/// The questions whose answers are timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// All offers that fit, with the customer already in the engine's own form.
    All,
    /// The same, including the work of bringing the customer into that form.
    AllFromPlain,
    /// The first three by rank.
    Top,
}

pub(crate) const NAMES: [&str; 5] = ["usher", "tree-walk", "a-tree", "zen-expression", "cel"];

/// The engine of this name, ready to be asked.
pub(crate) fn new<'s>(name: &str, synthetic: &'s Synthetic, customers: &'s [Customer]) -> Box<dyn Peer + 's> {
    match name {
        "usher" => Box::new(Index::new(synthetic, customers)),
        "tree-walk" => Box::new(Walk::new(synthetic, customers)),
        "a-tree" => Box::new(Atree::new(synthetic, customers)),
        "zen-expression" => Box::new(Zen::new(synthetic, customers)),
        _ => Box::new(CelInterpreter::new(synthetic, customers)),
    }
}
