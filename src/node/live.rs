//! What decisions use, as one value that is swapped at once.

use std::sync::Arc;

use crate::engine::Engine;
use crate::insight::decided::Decided;
use crate::state::definitions::Definitions;

/// Definitions and the engine compiled from them. They must agree, so they are swapped as one value.
pub struct Live {
    /// Schema and rule sets, every version of them.
    pub definitions: Definitions,
    /// Compiled from `definitions`; its schema has the same content as theirs.
    pub engine: Engine,
    /// Counts the decisions of this engine. Earlier engines counted here too.
    pub decided: Arc<Decided>,
}

/// Counters for the decisions of this engine: those of the engine before, grown to fit.
pub(crate) fn counted(decided: &Arc<Decided>, engine: &Engine) -> Arc<Decided> {
    decided.grown(engine, |offer| engine.arms_on(offer).map(|arm| arm.number).collect::<Vec<_>>())
}
