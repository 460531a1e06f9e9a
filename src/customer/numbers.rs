//! Numbers that stand for names in contacts, tokens and tallies. The catalogue gives them out, the same on
//! every node.

/// The catalogue's number of an offer; it has 19 bits in a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct OfferNumber(pub u32);

/// The catalogue's number of a placement together with a channel; it has 13 bits in a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PlaceNumber(pub u16);

/// The catalogue's number of a variant of an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ArmNumber(pub u16);
