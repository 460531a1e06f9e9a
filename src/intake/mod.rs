//! What comes back from channels: events are read and checked, and computed features take from them what
//! they need. Signed tokens tie an outcome to its decision.

pub mod computed;
pub mod past;
pub mod read;
pub mod token;
