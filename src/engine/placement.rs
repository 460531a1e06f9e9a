//! Where something can be shown.

use super::fragment::Fragment;
use super::offer::OfferId;
use crate::customer::numbers::PlaceNumber;
use crate::schema::ChannelId;

/// The number of a placement in one engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlacementId(pub u32);

/// A slot that can show something, such as `home_banner`.
#[derive(Debug)]
pub struct Placement {
    /// The name that requests use.
    pub name: Box<str>,
    /// How answers begin it.
    pub(crate) head: Fragment,
    /// The channels on which it exists.
    pub channels: Vec<ChannelId>,
    /// The placement's number in the catalogue.
    pub number: u16,
    /// Its numbers in the catalogue together with each of those channels.
    pub places: Vec<PlaceNumber>,
    /// How many propositions it shows unless the request says otherwise.
    pub count: usize,
    /// What it shows when no offer survives.
    pub fallback: Option<OfferId>,
    /// Offers that may be shown here, in the order in which they rank, as far as it is the same for all
    /// customers: by tier, then score, then name.
    pub offers: Vec<OfferId>,
    /// The priority tiers of those offers.
    pub(crate) tiers: Vec<Tier>,
    /// Which of the offers have a treatment here in every language.
    pub(crate) in_any_locale: Vec<bool>,
}

/// The offers of one placement that have the same priority.
#[derive(Debug)]
pub(crate) struct Tier {
    /// Where it ends in the placement's order.
    pub(crate) end: u32,
    /// Whether all its scores are constant, so that its offers stand in their final order. Otherwise they
    /// stand in order of name.
    pub(crate) constant: bool,
    /// Whether some of its propensities are learned. Then chance decides.
    pub(crate) learned: bool,
}

impl Placement {
    /// Its number on a channel; `None` if it does not exist there.
    pub fn place(&self, channel: ChannelId) -> Option<PlaceNumber> {
        let nth = self.channels.iter().position(|here| *here == channel)?;
        self.places.get(nth).copied()
    }
}
