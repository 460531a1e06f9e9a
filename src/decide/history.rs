//! The customer's contacts and what this decision has shown before, as columns in which caps and
//! suppressions count.

use std::ops::Range;

use crate::customer::contact::{Contact, FIRST_SECOND};
use crate::customer::earlier::EarlierContacts;
use crate::customer::numbers::OfferNumber;
use crate::customer::outcome::OutcomeKind;
use crate::customer::row::Past;
use crate::engine::caps::{CapCheck, Caps, OwnerWord, PlaceWord, Since, Who, days_after};
use crate::engine::{Engine, Offer, OfferId, PlacementId};
use crate::rules::rule_set::MAX_CAP;
use crate::schema::ChannelId;
use crate::schema::value::Time;

/// The bits of a place that hold the outcome.
const OUTCOME_MASK: u32 = 3 << PlaceWord::OUTCOME_SHIFT;

/// Contacts as columns. Counting one cap is a loop over three of them, which the compiler turns into vector
/// instructions.
#[derive(Default)]
pub(super) struct ContactColumns {
    offers: Vec<u32>,
    owners: Vec<u32>,
    /// Placement and channel, with the outcome in the bits above.
    places: Vec<u32>,
    /// Times of the contacts, in seconds since [`FIRST_SECOND`].
    times: Vec<i32>,
    /// Contacts before those. Few customers have any, so they are not in the columns.
    earlier: Vec<EarlierCount>,
    /// One bit for each offer in it, by the last six bits of its number. Most offers were never shown to a
    /// customer.
    shown: u64,
    /// The decision's time, in the same unit.
    now: i32,
    /// Where an offer would be shown.
    here: u32,
    /// Grows with every decision, and whenever something is shown or the placement changes. Earlier counts
    /// are void then.
    epoch: u64,
    counted: Vec<CountedCheck>,
    today: Today,
}

/// Earlier contacts that count as one.
#[derive(Clone, Copy)]
struct EarlierCount {
    offer: u32,
    owner: u32,
    /// As in the columns.
    place: u32,
    /// The time of the latest.
    at: i32,
    count: u32,
    /// Whether offer, owner and place may be any: then it counts for all.
    of_any: bool,
}

/// What a check counts: whose contacts, and where and of which outcome, each under a mask, and since when.
#[derive(Clone, Copy)]
struct Wanted {
    of_offer: bool,
    owner_mask: u32,
    want: u32,
    place_mask: u32,
    place: u32,
    since: i32,
}

/// The result of a check when it was last counted.
#[derive(Clone, Copy, Default)]
struct CountedCheck {
    epoch: u64,
    want: u32,
    reached: bool,
}

/// When the calendar days of one engine began. Valid while the day lasts in all of their zones.
#[derive(Default)]
struct Today {
    engine: u64,
    from: i64,
    until: i64,
    begins: Vec<i32>,
}

/// What a cap or suppression counted when it stopped an offer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reached {
    /// An index among the engine's checks.
    pub(super) check: u32,
    pub(super) count: u32,
    /// When it would let the offer pass if nothing else happens; `None` if never.
    pub(super) ends: Option<Time>,
}

impl ContactColumns {
    /// Takes in the customer's contacts for a new decision.
    pub(super) fn begin(&mut self, engine: &Engine, past: &Past<'_>, now: Time) {
        self.offers.clear();
        self.owners.clear();
        self.places.clear();
        self.times.clear();
        self.earlier.clear();
        self.shown = 0;
        self.epoch += 1;
        let caps = &engine.caps;
        if caps.is_empty() {
            return;
        }
        self.now = (now.seconds() - i64::from(FIRST_SECOND)).clamp(0, i64::from(i32::MAX)) as i32;
        for contact in past.contacts.iter().map(|word| Contact::of_word(*word)) {
            let at = contact.at() - FIRST_SECOND;
            self.add(caps, contact.offer(), caps.place(contact.place()), contact.kind(), at as i32);
        }
        if !past.earlier.is_empty() {
            self.look_back(caps, past.earlier);
        }
        self.counted.resize(self.counted.len().max(caps.checks.len()), CountedCheck::default());
        if !caps.days.is_empty() {
            self.today.turn(caps, now);
        }
    }

    /// Goes on to the next placement of the decision.
    pub(super) fn arrive(&mut self, engine: &Engine, placement: PlacementId, channel: ChannelId) {
        if !engine.caps.is_empty() {
            self.here = engine.caps.here(placement, channel).0;
            self.epoch += 1;
        }
    }

    /// Counts an offer that this decision shows as an impression.
    pub(super) fn show(&mut self, engine: &Engine, offer: &Offer) {
        if !engine.caps.is_empty() {
            self.add(&engine.caps, offer.number, PlaceWord(self.here), OutcomeKind::Impression, self.now);
            self.epoch += 1;
        }
    }

    fn add(&mut self, caps: &Caps, offer: OfferNumber, place: PlaceWord, kind: OutcomeKind, at: i32) {
        let Some(OwnerWord(owner)) = caps.owner(offer) else { return };
        self.offers.push(offer.0);
        self.owners.push(owner);
        self.places.push(place.0 | (kind as u32) << PlaceWord::OUTCOME_SHIFT);
        self.times.push(at);
        self.shown |= 1 << (offer.0 % 64);
    }

    /// Takes in contacts before those that are kept one by one.
    #[cold]
    fn look_back(&mut self, caps: &Caps, earlier: &[u64]) {
        for EarlierContacts { latest, count, of_any } in EarlierContacts::all(earlier) {
            let owner = caps.owner(latest.offer());
            let (OwnerWord(owner), offer) = match owner {
                Some(owner) => (owner, latest.offer().0),
                None if of_any => (OwnerWord::default(), 0),
                None => continue,
            };
            let place = caps.place(latest.place()).0 | (latest.kind() as u32) << PlaceWord::OUTCOME_SHIFT;
            let at = (latest.at() - FIRST_SECOND) as i32;
            self.shown |= if of_any { u64::MAX } else { 1 << (offer % 64) };
            self.earlier.push(EarlierCount { offer, owner, place, at, count, of_any });
        }
    }

    /// The first check that has counted enough to stop an offer here.
    pub(super) fn reached(
        &mut self,
        caps: &Caps,
        id: OfferId,
        offer: &Offer,
        placement: PlacementId,
    ) -> Option<u32> {
        if self.offers.is_empty() && self.earlier.is_empty() {
            return None;
        }
        let owner = caps.owner(offer.number).unwrap_or_default();
        let of_offer = |range: Range<u32>, history: &mut ContactColumns| {
            range.into_iter().find(|nth| history.is_reached(caps, *nth, offer.number, owner))
        };
        caps.of(id, offer, placement).into_iter().find_map(|range| of_offer(range, self))
    }

    #[inline]
    fn is_reached(&mut self, caps: &Caps, nth: u32, offer: OfferNumber, owner: OwnerWord) -> bool {
        let check = &caps.checks[nth as usize];
        if check.who == Who::Offer {
            let was_shown = self.shown >> (offer.0 % 64) & 1 == 1;
            return was_shown && self.count(check, offer.0) >= check.enough;
        }
        let want = owner.0 & check.who.mask();
        let known = self.counted[nth as usize];
        if known.epoch == self.epoch && known.want == want {
            return known.reached;
        }
        // Without a group there is nothing to count.
        let reached = (want != 0 || check.who == Who::All) && self.count(check, want) >= check.enough;
        self.counted[nth as usize] = CountedCheck { epoch: self.epoch, want, reached };
        reached
    }

    /// The number of contacts that a check counts. Whatever is not known for certain counts.
    fn count(&self, check: &CapCheck, want: u32) -> u32 {
        let wanted = self.wanted(check, want);
        let Wanted { owner_mask: mask, want, place_mask, place, since, .. } = wanted;
        let whose = if wanted.of_offer { &self.offers } else { &self.owners };
        let contacts = whose.iter().zip(&self.places).zip(&self.times);
        let counts = contacts.map(|((whose, there), at)| {
            u32::from((whose & mask == want) & (there & place_mask == place) & (*at >= since))
        });
        let count: u32 = counts.sum();
        if self.earlier.is_empty() { count } else { count.saturating_add(self.count_earlier(wanted)) }
    }

    #[cold]
    fn count_earlier(&self, wanted: Wanted) -> u32 {
        let counted = self.earlier.iter().filter(|earlier| wanted.counts(earlier));
        counted.fold(0, |all, earlier| all.saturating_add(earlier.weight()))
    }

    #[inline]
    fn wanted(&self, check: &CapCheck, want: u32) -> Wanted {
        let of_offer = check.who == Who::Offer;
        let mask = check.at.mask();
        let outcome = (check.on as u32) << PlaceWord::OUTCOME_SHIFT;
        Wanted {
            of_offer,
            owner_mask: if of_offer { u32::MAX } else { check.who.mask() },
            want,
            place_mask: mask | OUTCOME_MASK,
            place: self.here & mask | outcome,
            since: self.since(check),
        }
    }

    /// The first second that counts.
    fn since(&self, check: &CapCheck) -> i32 {
        match check.since {
            Since::Ever => i32::MIN,
            Since::Seconds(seconds) => self.now.saturating_sub(seconds as i32).saturating_add(1),
            Since::Days(nth) => self.today.begins[nth as usize],
        }
    }

    /// What a check that stopped an offer has counted, and when it ends.
    pub(super) fn details(&self, caps: &Caps, check: u32, offer: OfferNumber) -> Reached {
        let rule = &caps.checks[check as usize];
        let owner = caps.owner(offer).unwrap_or_default();
        let want = if rule.who == Who::Offer { offer.0 } else { owner.0 & rule.who.mask() };
        let wanted = self.wanted(rule, want);
        let whose = if wanted.of_offer { &self.offers } else { &self.owners };
        let contacts = whose.iter().zip(&self.places).zip(&self.times);
        let counted = contacts.filter(|((whose, there), at)| {
            *whose & wanted.owner_mask == wanted.want
                && *there & wanted.place_mask == wanted.place
                && **at >= wanted.since
        });
        let mut times: Vec<(i32, u32)> = counted.map(|(_, at)| (*at, 1)).collect();
        let earlier = self.earlier.iter().filter(|earlier| wanted.counts(earlier));
        times.extend(earlier.map(|earlier| (earlier.at, earlier.weight())));
        times.sort_unstable();
        let count = times.iter().fold(0_u32, |all, (_, count)| all.saturating_add(*count));
        // The last contact that must leave the window before one more may come.
        let mut to_leave = (u64::from(count) + 1).saturating_sub(u64::from(rule.enough));
        let last = times.iter().find(|(_, count)| {
            to_leave = to_leave.saturating_sub(u64::from(*count));
            to_leave == 0
        });
        let at = last.map(|(at, _)| Time::from_seconds(i64::from(*at) + i64::from(FIRST_SECOND)));
        let ends = at.and_then(|at| match rule.since {
            Since::Ever => None,
            Since::Seconds(seconds) => Some(Time::from_seconds(at.seconds() + i64::from(seconds))),
            Since::Days(nth) => {
                let (days, zone) = &caps.days[nth as usize];
                days_after(zone, at, *days as i32)
            }
        });
        Reached { check, count, ends }
    }
}

impl Wanted {
    fn counts(&self, earlier: &EarlierCount) -> bool {
        let whose = if self.of_offer { earlier.offer } else { earlier.owner };
        let is_whose = earlier.of_any || whose & self.owner_mask == self.want;
        let place_mask = if earlier.of_any { OUTCOME_MASK } else { self.place_mask };
        is_whose && earlier.place & place_mask == self.place & place_mask && earlier.at >= self.since
    }
}

impl EarlierCount {
    /// How many contacts it counts as. If they are of any offer, every cap is reached.
    fn weight(&self) -> u32 {
        if self.of_any { self.count.max(MAX_CAP) } else { self.count }
    }
}

impl Today {
    fn turn(&mut self, caps: &Caps, now: Time) {
        let seconds = now.seconds();
        if self.engine == caps.id && (self.from..self.until).contains(&seconds) {
            return;
        }
        (self.engine, self.from, self.until) = (caps.id, i64::MIN, i64::MAX);
        self.begins.clear();
        for (days, zone) in &caps.days {
            let begin = |after: i32| days_after(zone, now, after).map(Time::seconds);
            self.from = self.from.max(begin(0).unwrap_or(i64::MIN));
            self.until = self.until.min(begin(1).unwrap_or(i64::MAX));
            let first = begin(1 - *days as i32).unwrap_or(i64::MIN);
            let first = first.saturating_sub(i64::from(FIRST_SECOND));
            self.begins.push(first.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32);
        }
    }
}
