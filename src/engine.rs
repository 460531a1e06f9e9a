//! All active rule sets compiled together.
use std::sync::Arc;

use crate::problem::Problems;
use crate::rule_set::RuleSet;
use crate::schema::{ChannelId, Schema};

/// The number of a placement in one engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlacementId(pub u32);

/// All active rule sets compiled together; immutable.
#[derive(Debug)]
pub struct Engine {
    /// The schema it was compiled against.
    pub schema: Arc<Schema>,
    /// Name and version of every rule set in it, by name.
    pub versions: Vec<(Arc<str>, u32)>,
}

/// A slot that can show something.
#[derive(Debug)]
pub struct Placement {
    /// Its name.
    pub name: Box<str>,
    /// Where it exists.
    pub channels: Vec<ChannelId>,
    /// How many propositions it shows unless the request says otherwise.
    pub count: usize,
}

/// What is proposed.
#[derive(Debug)]
pub struct Offer {
    /// Its name, unique over all rule sets.
    pub name: Box<str>,
    /// The rule set it comes from.
    pub rule_set: Arc<str>,
    /// Line of the offer in the rule set's text.
    pub line: u32,
    /// Priority tier, 1 (first) to 9.
    pub priority: u8,
}

/// How an offer looks.
#[derive(Debug)]
pub struct Treatment {
    /// Its name, unique in the offer.
    pub name: Box<str>,
    /// The content as JSON text.
    pub json: Box<[u8]>,
    /// The content as MessagePack.
    pub msgpack: Box<[u8]>,
}

impl Engine {
    /// Compiles rule sets (each with its version) that were parsed against `schema`.
    ///
    /// # Errors
    /// Everything that does not fit together: an offer or placement of the same name in two rule sets, an unknown
    /// placement, a fallback that could fail.
    pub fn compile(_schema: &Arc<Schema>, _rule_sets: &[(Arc<RuleSet>, u32)]) -> Result<Engine, Problems> {
        todo!()
    }
    /// An engine without rule sets.
    pub fn empty(_schema: &Arc<Schema>) -> Engine {
        todo!()
    }
    /// The number of the placement of this name.
    pub fn placement_id(&self, _name: &str) -> Option<PlacementId> {
        todo!()
    }
    /// Placements by [`PlacementId`].
    pub fn placements(&self) -> &[Placement] {
        todo!()
    }
    /// How many offers it has.
    pub fn offer_count(&self) -> usize {
        todo!()
    }
}
