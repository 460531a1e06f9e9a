//! What comes in, as text or bytes, and what is wrong with it: trees that know where each value stands, and problems
//! that name the place, what was expected and what was found. All problems of one input are reported at once.

pub mod cursor;
pub mod origin;
pub mod problem;
