//! Caps, suppressions and budgets of all rule sets, with names resolved to the catalogue's numbers: what a decision counts
//! contacts against.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::tz::TimeZone;
use smallvec::SmallVec;
use xxhash_rust::xxh3::Xxh3;

use super::{Engine, Offer, OfferId, PlacementId};
use crate::customer::numbers::{OfferNumber, PlaceNumber};
use crate::customer::outcome::BudgetUse;
use crate::customer::outcome::OutcomeKind;
use crate::input::problem::Problems;
use crate::rules::catalogue::Catalogue;
use crate::rules::rule_set::{CapRule, CapScope, RuleSet, Window};
use crate::schema::value::{SECOND, Time};
use crate::schema::{ChannelId, Schema};

/// Caps and suppressions of one engine at most.
const MAX_CHECKS: usize = 1_000_000;

const NUMBER_BITS: u32 = 15;
const NUMBER: u32 = (1 << NUMBER_BITS) - 1;
/// What stands for a placement or channel of a contact that has no number, and of a request; no number is as large.
const UNKNOWN_THERE: u32 = NUMBER;
const UNKNOWN_HERE: u32 = NUMBER - 1;
const _: () = assert!(crate::rules::catalogue::MAX_NAME_NUMBERS <= UNKNOWN_HERE as usize);

/// Distinguishes engines, so that a thread knows for which of them it has worked out when days begin.
static ENGINES: AtomicU64 = AtomicU64::new(1);

/// How often what may be shown.
#[derive(Debug, Default)]
pub(crate) struct Caps {
    /// Which engine's; no other has the same.
    pub(crate) id: u64,
    pub(crate) checks: Vec<Check>,
    /// What explanations say of them.
    notes: Vec<Note>,
    /// The checks of each offer alone, by [`OfferId`].
    offers: Vec<Range<u32>>,
    /// The checks of each group.
    groups: Vec<Range<u32>>,
    /// The checks of each rule set, in the order of the engine's versions.
    sets: Vec<Range<u32>>,
    /// The checks of every offer.
    everywhere: Range<u32>,
    /// The checks of whatever is shown on a placement, by [`PlacementId`].
    placements: Vec<Range<u32>>,
    /// When calendar days begin that are counted from.
    pub(crate) days: Vec<(u32, TimeZone)>,
    owners: Vec<Owner>,
    places: Vec<PlaceWord>,
    /// The catalogue's numbers by [`PlacementId`] and [`ChannelId`].
    placement_numbers: Vec<u32>,
    channel_numbers: Vec<u32>,
    budgets: Vec<Budget>,
    /// Indices of the budgets of each offer, by [`OfferId`]; those that hold places last.
    offer_budgets: Vec<SmallVec<[u32; 2]>>,
    /// Offers by the catalogue's number.
    offer_ids: Vec<Option<OfferId>>,
    keep_s: [u32; 4],
}

/// At most so many outcomes of some kind.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    /// Whose contacts count.
    pub(crate) who: Who,
    /// Where they must have been.
    pub(crate) at: At,
    pub(crate) on: OutcomeKind,
    pub(crate) since: Since,
    /// With so many there may be no more.
    pub(crate) enough: u32,
    note: u32,
}

/// Whose contacts count.
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

/// From when on contacts count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    Ever,
    /// So many seconds ago.
    Seconds(u32),
    /// The beginning of one of the engine's calendar days.
    Days(u32),
}

/// Group and rule set of an offer in one word, each one more than its number, 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Owner(pub(crate) u32);

/// Placement and channel in one word, so that either can be compared under a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlaceWord(pub(crate) u32);

/// What an explanation says of a cap or suppression.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) text: Box<str>,
    pub(crate) line: u32,
    pub(crate) max: u32,
}

/// A budget.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) name: Box<str>,
    pub(crate) line: u32,
    pub(crate) max: u32,
    pub(crate) on: OutcomeKind,
    pub(crate) customers: bool,
    /// How long a place is held for a decision; 0 if none is.
    pub(crate) hold_s: u32,
    key: u64,
    daily: Option<TimeZone>,
}

impl Owner {
    const GROUP: u32 = 0xffff_0000;
    const SET: u32 = 0x0000_ffff;
    /// An offer that is a fallback only: its contacts count for nobody.
    const UNCOUNTED: Owner = Owner(u32::MAX);

    fn new(rule_set: u16, group: Option<u16>) -> Owner {
        Owner(group.map_or(0, |group| (u32::from(group) + 1) << 16) | (u32::from(rule_set) + 1))
    }
}

impl Who {
    /// Which bits of an [`Owner`] are compared.
    pub(crate) fn mask(self) -> u32 {
        match self {
            Who::Group => Owner::GROUP,
            Who::RuleSet => Owner::SET,
            Who::Offer | Who::All => 0,
        }
    }
}

impl At {
    /// Which bits of a [`PlaceWord`] are compared.
    pub(crate) fn mask(self) -> u32 {
        match self {
            At::Anywhere => 0,
            At::Placement => NUMBER << NUMBER_BITS,
            At::Channel => NUMBER,
            At::Both => NUMBER << NUMBER_BITS | NUMBER,
        }
    }
}

impl PlaceWord {
    /// Bits above those of the place, for the outcome.
    pub(crate) const OUTCOME_SHIFT: u32 = 2 * NUMBER_BITS;

    fn new(placement: u32, channel: u32) -> PlaceWord {
        PlaceWord(placement << NUMBER_BITS | channel)
    }
}

impl Budget {
    /// It at this time.
    pub(crate) fn use_at(&self, at: Time) -> BudgetUse {
        let day = self.daily.as_ref().map_or(0, |zone| day_of(zone, at));
        BudgetUse { key: self.key, day, max: self.max, once: self.customers }
    }

    /// When it begins anew.
    pub(crate) fn ends(&self, now: Time) -> Option<Time> {
        self.daily.as_ref().and_then(|zone| days_after(zone, now, 1))
    }
}

impl Caps {
    /// How long contacts are kept for these rule sets, by outcome.
    pub(super) fn keep_s<'r>(sets: impl IntoIterator<Item = &'r RuleSet>) -> [u32; 4] {
        let mut keep_s = [0; 4];
        let mut keep = |on: OutcomeKind, seconds: u32| {
            let longest: &mut u32 = &mut keep_s[on.index()];
            *longest = (*longest).max(seconds);
        };
        for set in sets {
            let of_groups = set.groups.iter().flat_map(|group| &group.caps);
            let of_placements = set.placements.iter().flat_map(|placement| &placement.caps);
            let of_offers = set.offers.iter().flat_map(|offer| offer.caps.rules());
            for cap in set.caps.iter().chain(of_groups).chain(of_placements).chain(of_offers) {
                keep(cap.on, cap.window.keep_s());
            }
            for budget in set.budgets.iter().filter(|budget| budget.customers) {
                keep(budget.on, u32::MAX); // who was counted once is never counted again
            }
        }
        keep_s
    }

    /// Those of an engine that is linked, compiled from `sets`, which come in the order of its versions. `groups` says which
    /// of the engine's groups has a name.
    pub(super) fn new(
        engine: &Engine,
        sets: &[&RuleSet],
        groups: impl Fn(&str) -> Option<usize>,
        problems: &mut Problems,
    ) -> Caps {
        let catalogue = &engine.catalogue;
        let mut caps = Caps {
            id: ENGINES.fetch_add(1, Ordering::Relaxed),
            owners: owners(engine),
            places: places(catalogue),
            groups: vec![0..0; engine.groups.len()],
            placements: vec![0..0; engine.placements.len()],
            keep_s: Caps::keep_s(sets.iter().copied()),
            ..Caps::default()
        };
        caps.number(engine);
        let rules = sets.iter().flat_map(|set| &set.offers);
        for rule in rules {
            let own = caps.add(rule.caps.rules(), Level::Offer);
            caps.offers.push(own);
        }
        for set in sets {
            for rule in &set.groups {
                if let Some(group) = groups(&rule.name.name) {
                    caps.groups[group] = caps.add(&rule.caps, Level::Group);
                }
            }
            for rule in &set.placements {
                if let Some(placement) = engine.placement_id(&rule.name.name) {
                    caps.placements[placement.0 as usize] = caps.add(&rule.caps, Level::Placement);
                }
            }
            let own = if set.carries_guardrails() { &[][..] } else { &set.caps };
            let own = caps.add(own, Level::RuleSet);
            caps.sets.push(own);
        }
        let everywhere = sets.iter().filter(|set| set.carries_guardrails()).flat_map(|set| &set.caps);
        caps.everywhere = caps.add(everywhere, Level::Everywhere);
        caps.add_budgets(sets);
        if caps.checks.len() > MAX_CHECKS {
            let count = caps.checks.len();
            problems.push(crate::input::problem::Problem::new(format!(
                "with these there would be {count} caps and suppressions, more than the {MAX_CHECKS} there may be"
            )));
        }
        caps
    }

    fn number(&mut self, engine: &Engine) {
        let Engine { schema, catalogue, .. } = engine;
        let placement = |name: &str| catalogue.placements.number(name).map_or(UNKNOWN_HERE, u32::from);
        self.placement_numbers = engine.placements.iter().map(|p| placement(&p.name)).collect();
        self.channel_numbers = channel_numbers(schema, catalogue);
        self.offer_ids = vec![None; catalogue.offers().len()];
        for (id, offer) in engine.offers.iter().enumerate() {
            if let Some(known) = self.offer_ids.get_mut(offer.number.0 as usize) {
                *known = Some(OfferId(id as u32));
            }
        }
    }

    fn add<'r>(&mut self, rules: impl IntoIterator<Item = &'r CapRule>, level: Level) -> Range<u32> {
        let first = self.checks.len() as u32;
        for rule in rules {
            let (who, at) = level.counted(rule.scope);
            let line = rule.spot.place.map_or(0, |place| place.line);
            let since = self.since(&rule.window);
            let note = self.notes.len() as u32;
            self.notes.push(Note { text: rule.text.clone(), line, max: rule.max });
            self.checks.push(Check { who, at, on: rule.on, since, enough: rule.max.max(1), note });
        }
        first..self.checks.len() as u32
    }

    fn since(&mut self, window: &Window) -> Since {
        let (days, zone) = match window {
            Window::Forever => return Since::Ever,
            Window::Sliding(seconds) => return Since::Seconds(*seconds),
            Window::Days(days, zone) => (days, zone),
        };
        let known = self.days.iter().position(|known| known.0 == *days && known.1 == *zone);
        let nth = known.unwrap_or_else(|| {
            self.days.push((*days, zone.clone()));
            self.days.len() - 1
        });
        Since::Days(nth as u32)
    }

    fn add_budgets(&mut self, sets: &[&RuleSet]) {
        for set in sets {
            let first = self.budgets.len();
            for rule in &set.budgets {
                self.budgets.push(Budget {
                    name: rule.name.name.clone(),
                    line: rule.name.spot.place.map_or(0, |place| place.line),
                    max: rule.max,
                    on: rule.on,
                    customers: rule.customers,
                    hold_s: rule.hold_s,
                    key: key_of(&set.name, &rule.name.name),
                    daily: rule.daily.clone(),
                });
            }
            for offer in &set.offers {
                let of_name = |name: &str| set.budgets.iter().position(|rule| *rule.name.name == *name);
                let named = offer.caps.budgets.iter().filter_map(|reference| of_name(&reference.name));
                let mut found: SmallVec<[u32; 2]> = named.map(|nth| (first + nth) as u32).collect();
                // What is only looked at goes first: nothing is held for an offer that is not shown after all.
                found.sort_by_key(|budget| self.budgets[*budget as usize].hold_s > 0);
                self.offer_budgets.push(found);
            }
        }
    }

    /// Whether there is nothing to count.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.checks.is_empty()
    }

    /// The checks that an offer must pass on a placement: its own, its group's, its rule set's, everybody's, the placement's.
    pub(crate) fn of(&self, id: OfferId, offer: &Offer, placement: PlacementId) -> [Range<u32>; 5] {
        let group = offer.group.map_or(0..0, |group| self.groups[group].clone());
        [
            self.offers[id.0 as usize].clone(),
            group,
            self.sets[offer.tags].clone(),
            self.everywhere.clone(),
            self.placements[placement.0 as usize].clone(),
        ]
    }

    /// Whether caps or budgets may keep an offer from being shown on a placement where they let others pass.
    pub(crate) fn may_stop(&self, id: OfferId, offer: &Offer, placement: PlacementId) -> bool {
        let [own @ .., everywhere, there] = self.of(id, offer, placement);
        let apart = |nth: u32| self.checks[nth as usize].who != Who::All;
        own.iter().any(|range| !range.is_empty())
            || everywhere.chain(there).any(apart)
            || !self.offer_budgets[id.0 as usize].is_empty()
    }

    /// What an explanation says of a check.
    pub(crate) fn note(&self, check: u32) -> &Note {
        &self.notes[self.checks[check as usize].note as usize]
    }

    /// Group and rule set of an offer as it was published last; `None` if its contacts do not count.
    #[inline]
    pub(crate) fn owner(&self, offer: OfferNumber) -> Option<Owner> {
        let owner = self.owners.get(offer.0 as usize).copied().unwrap_or_default();
        (owner != Owner::UNCOUNTED).then_some(owner)
    }

    /// Placement and channel of a place.
    #[inline]
    pub(crate) fn place(&self, place: PlaceNumber) -> PlaceWord {
        self.places.get(usize::from(place.0)).copied().unwrap_or(PlaceWord::new(UNKNOWN_THERE, UNKNOWN_THERE))
    }

    /// A placement on a channel.
    pub(crate) fn here(&self, placement: PlacementId, channel: ChannelId) -> PlaceWord {
        let channel = self.channel_numbers.get(usize::from(channel.0)).copied().unwrap_or(UNKNOWN_HERE);
        PlaceWord::new(self.placement_numbers[placement.0 as usize], channel)
    }

    /// The budgets of an offer.
    pub(crate) fn budgets(&self, id: OfferId) -> impl Iterator<Item = (u32, &Budget)> {
        let budgets = self.offer_budgets.get(id.0 as usize).into_iter().flatten();
        budgets.map(|nth| (*nth, &self.budgets[*nth as usize]))
    }

    /// A budget by its place among all.
    pub(crate) fn budget(&self, nth: u32) -> &Budget {
        &self.budgets[nth as usize]
    }
}

impl Engine {
    /// How long a contact must be kept so that every cap, suppression and budget in force can be counted, in seconds, by its
    /// [outcome](OutcomeKind::index). `u32::MAX` is for ever.
    pub fn keep_s(&self) -> [u32; 4] {
        self.caps.keep_s
    }

    /// The budgets that an outcome of an offer uses up at a time. Give the time of the decision for an impression that comes
    /// with a token, so that it is counted on the day on which its place was held.
    pub fn budget_uses(&self, offer: OfferNumber, kind: OutcomeKind, at: Time) -> SmallVec<[BudgetUse; 2]> {
        let Some(id) = self.offer_id(offer) else { return SmallVec::new() };
        let budgets = self.caps.budgets(id).filter(|(_, budget)| budget.on == kind);
        budgets.map(|(_, budget)| budget.use_at(at)).collect()
    }

    /// The offer that has this number in the catalogue; `None` if no active rule set has it any more.
    pub fn offer_id(&self, number: OfferNumber) -> Option<OfferId> {
        self.caps.offer_ids.get(number.0 as usize).copied().flatten()
    }
}

/// Where a cap stands.
#[derive(Clone, Copy)]
enum Level {
    Offer,
    Group,
    Placement,
    RuleSet,
    /// At the top of a rule set that carries guardrails.
    Everywhere,
}

impl Level {
    /// Whose contacts count, and where they must have been.
    fn counted(self, scope: CapScope) -> (Who, At) {
        let own = match self {
            Level::Offer => Who::Offer,
            Level::Group => Who::Group,
            Level::RuleSet => Who::RuleSet,
            Level::Placement | Level::Everywhere => Who::All,
        };
        match (scope, self) {
            (CapScope::Offer, _) => (Who::Offer, At::Anywhere),
            (CapScope::Group, _) => (Who::Group, At::Anywhere),
            (CapScope::RuleSet, _) => (Who::RuleSet, At::Anywhere),
            (CapScope::All, _) => (Who::All, At::Anywhere),
            (CapScope::Placement, _) => (own, At::Placement),
            (CapScope::Channel, Level::Placement) => (own, At::Both),
            (CapScope::Channel, _) => (own, At::Channel),
        }
    }
}

/// By offer number. An offer that is a fallback only is left out: what is shown because nothing else may be shown must not keep
/// everything else from being shown.
fn owners(engine: &Engine) -> Vec<Owner> {
    let entries = engine.catalogue.offers().iter();
    let mut owners: Vec<Owner> = entries.map(|entry| Owner::new(entry.rule_set, entry.group)).collect();
    let mut ranked = vec![false; engine.offers.len()];
    for id in engine.placements.iter().flat_map(|placement| &placement.offers) {
        ranked[id.0 as usize] = true;
    }
    for (offer, _) in engine.offers.iter().zip(ranked).filter(|(_, ranked)| !ranked) {
        if let Some(owner) = owners.get_mut(offer.number.0 as usize) {
            *owner = Owner::UNCOUNTED;
        }
    }
    owners
}

fn places(catalogue: &Catalogue) -> Vec<PlaceWord> {
    let places = catalogue.places().iter();
    places.map(|place| PlaceWord::new(u32::from(place.placement), u32::from(place.channel))).collect()
}

fn channel_numbers(schema: &Schema, catalogue: &Catalogue) -> Vec<u32> {
    let number = |id: u32| schema.channels().word(id).and_then(|name| catalogue.channels.number(name));
    (0..schema.channels().words().len() as u32).map(|id| number(id).map_or(UNKNOWN_HERE, u32::from)).collect()
}

/// What tells a budget from all others, whatever versions say of it; never 0.
fn key_of(rule_set: &str, budget: &str) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(rule_set.as_bytes());
    hash.update(&[0]); // no name has one
    hash.update(budget.as_bytes());
    hash.digest().max(1)
}

/// The day in a zone, counted from 1970-01-01.
fn day_of(zone: &TimeZone, at: Time) -> u32 {
    let Some(date) = date_of(zone, at) else { return 0 };
    let days = jiff::civil::date(1970, 1, 1).until(date).map_or(0, |span| span.get_days());
    u32::try_from(days).unwrap_or(0)
}

fn date_of(zone: &TimeZone, at: Time) -> Option<jiff::civil::Date> {
    let instant = jiff::Timestamp::from_microsecond(at.0).ok()?;
    Some(zone.to_datetime(instant).date())
}

/// When the day begins in a zone that comes so many days after the one of a time (before it, if negative).
pub(crate) fn days_after(zone: &TimeZone, at: Time, days: i32) -> Option<Time> {
    let day = date_of(zone, at)?.checked_add(jiff::Span::new().try_days(days).ok()?).ok()?;
    let midnight = day.to_zoned(zone.clone()).ok()?;
    Some(Time(midnight.timestamp().as_second() * SECOND))
}
