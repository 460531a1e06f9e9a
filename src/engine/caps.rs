//! Caps, suppressions and budgets of all rule sets, with names resolved to the catalogue's numbers. A
//! decision counts a customer's contacts against them.

mod budget;
mod check;
mod packed;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::FixedState;
use jiff::tz::TimeZone;
use smallvec::SmallVec;

use self::budget::key_of;
pub(crate) use self::budget::{Budget, days_after};
use self::check::CheckLevel;
pub(crate) use self::check::{CapCheck, Note, Since, Who};
pub(crate) use self::packed::{OwnerWord, PlaceWord};
use self::packed::{UNKNOWN_HERE, UNKNOWN_THERE};
use super::offer::{Offer, OfferId};
use super::placement::{Placement, PlacementId};
use crate::customer::budget_place::BudgetPlace;
use crate::customer::numbers::{OfferNumber, PlaceNumber};
use crate::customer::outcome::OutcomeKind;
use crate::input::problem::Problems;
use crate::rules::catalogue::Catalogue;
use crate::rules::rule_set::{BudgetRule, CapRule, DAILY_PLACES, MAX_PLACES_NEEDED, RuleSet, Window};
use crate::schema::{ChannelId, Schema};
use std::collections::HashMap;

/// The most caps and suppressions that one engine may have.
const MAX_CHECKS: usize = 1_000_000;

/// The number of the next engine. By it a thread knows for which engine it has worked out when days begin.
static ENGINES: AtomicU64 = AtomicU64::new(1);

/// All caps, suppressions and budgets of one engine, found by what they apply to.
#[derive(Debug, Default)]
pub(crate) struct Caps {
    /// A number that no other engine of this process has.
    pub(crate) id: u64,
    pub(crate) checks: Vec<CapCheck>,
    /// What explanations say about the checks.
    notes: Vec<Note>,
    /// The checks of each offer alone, by [`OfferId`].
    offers: Vec<Range<u32>>,
    /// The checks of each group, in the order of the engine's groups.
    groups: Vec<Range<u32>>,
    /// The checks of each rule set, in the order of the engine's versions.
    sets: Vec<Range<u32>>,
    /// The checks that every offer must pass.
    everywhere: Range<u32>,
    /// The checks of everything shown on a placement, by [`PlacementId`].
    placements: Vec<Range<u32>>,
    /// The calendar days that checks count from: how many days, today included, and in which zone.
    pub(crate) days: Vec<(u32, TimeZone)>,
    owners: Vec<OwnerWord>,
    places: Vec<PlaceWord>,
    /// The catalogue's numbers by [`PlacementId`] and [`ChannelId`].
    placement_numbers: Vec<u32>,
    channel_numbers: Vec<u32>,
    budgets: Vec<Budget>,
    /// Indices of each offer's budgets, by [`OfferId`]; those that hold places come last.
    offer_budgets: Vec<SmallVec<[u32; 2]>>,
    /// Offers by the catalogue's number; `None` if no active rule set has it.
    pub(super) offer_ids: Vec<Option<OfferId>>,
    pub(super) keep_s: [u32; OutcomeKind::COUNT],
}

/// What caps refer to, numbered before they are compiled.
pub(super) struct Linked<'e> {
    pub(super) schema: &'e Schema,
    pub(super) catalogue: &'e Catalogue,
    pub(super) placements: &'e [Placement],
    pub(super) placement_ids: &'e HashMap<Box<str>, PlacementId, FixedState>,
    pub(super) offers: &'e [Offer],
    pub(super) groups: &'e HashMap<Box<str>, usize>,
}

impl Caps {
    /// How long contacts must be kept for these rule sets, in seconds, by outcome.
    pub(super) fn keep_s<'r>(sets: impl IntoIterator<Item = &'r RuleSet>) -> [u32; OutcomeKind::COUNT] {
        let mut keep_s = [0; OutcomeKind::COUNT];
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
        }
        keep_s
    }

    /// Compiles the caps of `sets`, which come in the order of the engine's versions.
    pub(super) fn new(linked: &Linked<'_>, sets: &[&RuleSet], problems: &mut Problems) -> Caps {
        let mut caps = Caps {
            id: ENGINES.fetch_add(1, Ordering::Relaxed),
            owners: owners(linked),
            places: places(linked.catalogue),
            groups: vec![0..0; linked.groups.len()],
            placements: vec![0..0; linked.placements.len()],
            keep_s: Caps::keep_s(sets.iter().copied()),
            ..Caps::default()
        };
        caps.number(linked);
        let rules = sets.iter().flat_map(|set| &set.offers);
        for rule in rules {
            let own = caps.add(rule.caps.rules(), CheckLevel::Offer);
            caps.offers.push(own);
        }
        for set in sets {
            for rule in &set.groups {
                if let Some(&group) = linked.groups.get(&*rule.name.name) {
                    caps.groups[group] = caps.add(&rule.caps, CheckLevel::Group);
                }
            }
            for rule in &set.placements {
                if let Some(placement) = linked.placement_ids.get(&*rule.name.name) {
                    caps.placements[placement.0 as usize] = caps.add(&rule.caps, CheckLevel::Placement);
                }
            }
            let own = if set.carries_guardrails() { &[][..] } else { &set.caps };
            let own = caps.add(own, CheckLevel::RuleSet);
            caps.sets.push(own);
        }
        let everywhere = sets.iter().filter(|set| set.carries_guardrails()).flat_map(|set| &set.caps);
        caps.everywhere = caps.add(everywhere, CheckLevel::Everywhere);
        caps.add_budgets(sets);
        check_places(sets, problems);
        if caps.checks.len() > MAX_CHECKS {
            let count = caps.checks.len();
            problems.push(crate::input::problem::Problem::new(format!(
                "these rule sets have {count} caps and suppressions together, more than the {MAX_CHECKS} that are allowed"
            )));
        }
        caps
    }

    fn number(&mut self, linked: &Linked<'_>) {
        let Linked { schema, catalogue, .. } = linked;
        let placement = |name: &str| catalogue.placements.number(name).map_or(UNKNOWN_HERE, u32::from);
        self.placement_numbers = linked.placements.iter().map(|p| placement(&p.name)).collect();
        self.channel_numbers = channel_numbers(schema, catalogue);
        self.offer_ids = vec![None; catalogue.offers().len()];
        for (id, offer) in linked.offers.iter().enumerate() {
            if let Some(known) = self.offer_ids.get_mut(offer.number.0 as usize) {
                *known = Some(OfferId(id as u32));
            }
        }
    }

    fn add<'r>(&mut self, rules: impl IntoIterator<Item = &'r CapRule>, level: CheckLevel) -> Range<u32> {
        let first = self.checks.len() as u32;
        for rule in rules {
            let (who, at) = level.counted(rule.scope);
            let line = rule.spot.place.map_or(0, |place| place.line);
            let since = self.since(&rule.window);
            let note = self.notes.len() as u32;
            self.notes.push(Note { text: rule.text.clone(), line, max: rule.max });
            self.checks.push(CapCheck { who, at, on: rule.on, since, enough: rule.max.max(1), note });
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
                    rule_set: set.name.as_ref().into(),
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
                // Budgets that hold nothing go first, so that no place is held for an offer that another
                // budget then stops.
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

    /// The checks that an offer must pass on a placement: its own, its group's, its rule set's,
    /// everybody's, the placement's.
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

    /// Whether caps or budgets may stop this offer on a placement while they let others pass.
    pub(crate) fn may_stop(&self, id: OfferId, offer: &Offer, placement: PlacementId) -> bool {
        let [own @ .., everywhere, there] = self.of(id, offer, placement);
        let apart = |nth: u32| self.checks[nth as usize].who != Who::All;
        own.iter().any(|range| !range.is_empty())
            || everywhere.chain(there).any(apart)
            || !self.offer_budgets[id.0 as usize].is_empty()
    }

    /// What an explanation says about a check.
    pub(crate) fn note(&self, check: u32) -> &Note {
        &self.notes[self.checks[check as usize].note as usize]
    }

    /// Group and rule set of an offer as it was last published; `None` if its contacts do not count.
    #[inline]
    pub(crate) fn owner(&self, offer: OfferNumber) -> Option<OwnerWord> {
        let owner = self.owners.get(offer.0 as usize).copied().unwrap_or_default();
        (owner != OwnerWord::UNCOUNTED).then_some(owner)
    }

    /// The placement and channel of a place.
    #[inline]
    pub(crate) fn place(&self, place: PlaceNumber) -> PlaceWord {
        self.places.get(usize::from(place.0)).copied().unwrap_or(PlaceWord::new(UNKNOWN_THERE, UNKNOWN_THERE))
    }

    /// A placement on a channel, as contacts hold it.
    pub(crate) fn here(&self, placement: PlacementId, channel: ChannelId) -> PlaceWord {
        let channel = self.channel_numbers.get(usize::from(channel.0)).copied().unwrap_or(UNKNOWN_HERE);
        PlaceWord::new(self.placement_numbers[placement.0 as usize], channel)
    }

    /// Whether no budget bounds an offer.
    #[inline]
    pub(crate) fn is_without_budgets(&self, id: OfferId) -> bool {
        self.offer_budgets.get(id.0 as usize).is_none_or(|budgets| budgets.is_empty())
    }

    /// An offer's budgets, each with its index.
    pub(crate) fn budgets(&self, id: OfferId) -> impl Iterator<Item = (u32, &Budget)> {
        let budgets = self.offer_budgets.get(id.0 as usize).into_iter().flatten();
        budgets.map(|nth| (*nth, &self.budgets[*nth as usize]))
    }

    /// The budget that a place is in; `None` if no active rule set has it.
    pub(crate) fn budget_of(&self, place: BudgetPlace) -> Option<&Budget> {
        self.budgets.iter().find(|budget| budget.key == place.key)
    }

    /// The budget with this index.
    pub(crate) fn budget(&self, nth: u32) -> &Budget {
        &self.budgets[nth as usize]
    }
}

/// The budgets of customers that the offers of a rule set use: for each offer its name, the outcome that uses
/// a place, and the place. Of budgets that begin anew every day there are none.
pub(crate) fn customer_budgets(set: &RuleSet) -> Vec<(&str, OutcomeKind, BudgetPlace)> {
    let lasting = |budget: &&BudgetRule| budget.customers && budget.daily.is_none();
    let mut found = Vec::new();
    for offer in &set.offers {
        for budget in set.budgets.iter().filter(lasting) {
            if offer.caps.budgets.iter().any(|reference| *reference.name == *budget.name.name) {
                let place = BudgetPlace { key: key_of(&set.name, &budget.name.name), day: 0 };
                found.push((&*offer.name.name, budget.on, place));
            }
        }
    }
    found
}

/// Refuses the first budget of customers for which a customer might have no room for a place.
fn check_places(sets: &[&RuleSet], problems: &mut Problems) {
    let all = sets.iter().flat_map(|set| set.budgets.iter().map(move |budget| (set, budget)));
    let mut needed = 0;
    for (set, budget) in all.filter(|(_, budget)| budget.customers) {
        needed += if budget.daily.is_some() { DAILY_PLACES } else { 1 };
        if needed > MAX_PLACES_NEEDED {
            let detail = format!(
                "budget `{}` is one more budget of customers than there may be: with those of all active rule \
                 sets before it a customer may need {needed} places, more than the {MAX_PLACES_NEEDED} allowed",
                budget.name.name
            );
            let hint = format!("a budget needs one place, one that is `per: 1d` needs {DAILY_PLACES}");
            problems.push(set.problem(&budget.name.spot, detail).hint(hint));
            return;
        }
    }
}

/// Owners by offer number. An offer that is only a fallback is left out: it is shown when nothing else may
/// be, so it must not keep everything else from being shown.
fn owners(linked: &Linked<'_>) -> Vec<OwnerWord> {
    let entries = linked.catalogue.offers().iter();
    let mut owners: Vec<OwnerWord> =
        entries.map(|entry| OwnerWord::new(entry.rule_set, entry.group)).collect();
    let mut ranked = vec![false; linked.offers.len()];
    for id in linked.placements.iter().flat_map(|placement| &placement.offers) {
        ranked[id.0 as usize] = true;
    }
    for (offer, _) in linked.offers.iter().zip(ranked).filter(|(_, ranked)| !ranked) {
        if let Some(owner) = owners.get_mut(offer.number.0 as usize) {
            *owner = OwnerWord::UNCOUNTED;
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
