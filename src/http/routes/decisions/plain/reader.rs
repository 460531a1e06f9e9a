//! What reading a plain request asks of a format.

use crate::input::document::InputValue;

/// Reads one value after the other. `None` stands for whatever is not plain; nothing is read after it.
pub(super) trait Reader<'n> {
    /// A map or list that is being read.
    type Open;

    fn map(&mut self) -> Option<Self::Open>;
    fn list(&mut self) -> Option<Self::Open>;
    /// Whether another entry or item follows; otherwise that map or list is over.
    fn goes_on(&mut self, inside: &mut Self::Open) -> Option<bool>;
    /// The key of an entry, in the bytes of its text.
    fn key(&mut self) -> Option<&'n [u8]>;
    fn text(&mut self) -> Option<&'n str>;
    fn boolean(&mut self) -> Option<bool>;
    fn unsigned(&mut self) -> Option<u64>;
    /// A value without others inside it.
    fn scalar(&mut self) -> Option<InputValue<'n>>;
    /// Whether nothing follows.
    fn is_over(&mut self) -> bool;
}
