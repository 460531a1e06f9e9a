//! Documents that come in as text or bytes, and the problems found in them. A document is a tree whose values
//! know where they stand. A problem names the place, what was expected and what was found. All problems of
//! one input are reported at once.

pub mod problem;
pub mod invisible;
pub mod document;
mod reader;
mod json;
pub mod msgpack;
pub mod yaml;
pub mod cursor;
pub mod origin;
