//! One cap or suppression, compiled: which contacts count, where, since when, and how many are enough.

use super::packed::{OwnerWord, PlaceWord};
use crate::customer::outcome::OutcomeKind;
use crate::rules::rule_set::CapScope;

/// A cap or suppression: a bound on the outcomes of one kind.
#[derive(Debug, Clone)]
pub(crate) struct CapCheck {
    /// The offers whose contacts count.
    pub(crate) who: Who,
    /// Where those contacts must have been.
    pub(crate) at: At,
    pub(crate) on: OutcomeKind,
    pub(crate) since: Since,
    /// With this many counted, the offer is stopped.
    pub(crate) enough: u32,
    pub(super) note: u32,
}

/// The offers whose contacts count, seen from the one to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Offer,
    Group,
    RuleSet,
    All,
}

/// Where contacts must have been, compared with where the offer would be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    Anywhere,
    Placement,
    Channel,
    Both,
}

/// The time from which on contacts count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    Ever,
    /// This many seconds before the decision.
    Seconds(u32),
    /// The beginning of a calendar day: an index into the engine's days.
    Days(u32),
}

/// What an explanation says about a cap or suppression.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) text: Box<str>,
    pub(crate) line: u32,
    pub(crate) max: u32,
}

impl Who {
    /// The bits of an [`OwnerWord`] that are compared.
    pub(crate) fn mask(self) -> u32 {
        match self {
            Who::Group => OwnerWord::GROUP,
            Who::RuleSet => OwnerWord::SET,
            Who::Offer | Who::All => 0,
        }
    }
}

impl At {
    /// The bits of a [`PlaceWord`] that are compared.
    pub(crate) fn mask(self) -> u32 {
        match self {
            At::Anywhere => 0,
            At::Placement => PlaceWord::PLACEMENT,
            At::Channel => PlaceWord::CHANNEL,
            At::Both => PlaceWord::PLACEMENT | PlaceWord::CHANNEL,
        }
    }
}

/// The part of a rule set that a cap is written in.
#[derive(Clone, Copy)]
pub(super) enum CheckLevel {
    Offer,
    Group,
    Placement,
    RuleSet,
    /// At the top of a rule set that carries guardrails.
    Everywhere,
}

impl CheckLevel {
    /// Whose contacts count, and where they must have been.
    pub(super) fn counted(self, scope: CapScope) -> (Who, At) {
        let own = match self {
            CheckLevel::Offer => Who::Offer,
            CheckLevel::Group => Who::Group,
            CheckLevel::RuleSet => Who::RuleSet,
            CheckLevel::Placement | CheckLevel::Everywhere => Who::All,
        };
        match (scope, self) {
            (CapScope::Offer, _) => (Who::Offer, At::Anywhere),
            (CapScope::Group, _) => (Who::Group, At::Anywhere),
            (CapScope::RuleSet, _) => (Who::RuleSet, At::Anywhere),
            (CapScope::All, _) => (Who::All, At::Anywhere),
            (CapScope::Placement, _) => (own, At::Placement),
            (CapScope::Channel, CheckLevel::Placement) => (own, At::Both),
            (CapScope::Channel, _) => (own, At::Channel),
        }
    }
}
