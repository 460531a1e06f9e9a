//! The bounds of a schema and of the rows it packs.

/// The most features of one schema.
pub const MAX_FEATURES: usize = 2_000;
/// The most words (of 8 bytes) of one row, its header included.
pub const MAX_ROW_WORDS: usize = 1_000;
/// How many words at the beginning of every row describe what follows the features. The features begin after
/// them.
pub const HEADER_WORDS: usize = 1;
/// The most bytes of a name.
pub const MAX_NAME_BYTES: usize = 64;
/// The most schemes of links that one schema declares.
pub const MAX_LINK_SCHEMES: usize = 50;
