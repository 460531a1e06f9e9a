//! Numbers that stand for names in contacts, tokens and tallies. The catalogue gives them out, the same on every node.

/// The number of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct OfferNumber(pub u32);

/// The number of a placement together with a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PlaceNumber(pub u16);

/// The number of an experiment's variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ArmNumber(pub u16);
