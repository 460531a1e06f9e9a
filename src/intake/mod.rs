//! What comes back: events read and checked, the features that are computed from them, and the signed tokens that tie an
//! outcome to its decision.

pub mod computed;
pub mod read;
pub mod token;
