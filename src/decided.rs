//! How often each offer was decided on, and each placement asked for, since the process began. Counting takes no lock: where a
//! counter is found is fixed with the engine, and an engine that takes another's place goes on with the same counters.

mod distinct;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::FixedState;

pub use distinct::{Distinct, comparable};

use crate::catalogue::{ArmNumber, OfferNumber, PlaceNumber};
use crate::decide::{Decision, Proposition};
use crate::engine::{Engine, Offer};
use crate::schema::ChannelId;
use crate::value::Time;

/// Combinations of offer, place and arm that are counted at most, 40 bytes each. Of an engine with more, arms are left out
/// first; when even offers find no room, those that are new are not counted.
pub const MAX_COUNTED: usize = 1_000_000;
/// Arms whose customers are counted at most, up to 112 KiB each.
pub const MAX_COUNTED_ARMS: usize = 1_024;

/// Counters in one piece of memory.
const CHUNK: usize = 256;

/// Where the counters of an engine's offers and placements are. Immutable; it [grows](Decided::grown) into another one over the
/// same counters, so that nothing that is counted meanwhile is lost. Offers of earlier engines stay in it.
#[derive(Debug)]
pub struct Decided {
    since: Time,
    index: HashMap<Key, u32, FixedState>,
    counts: Chunks<Count>,
    /// By [`PlaceNumber`].
    places: Chunks<PlaceCount>,
    arms: HashMap<ArmNumber, Arc<Distinct>, FixedState>,
    left_out: usize,
}

/// How often an offer was decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// The offer.
    pub offer: OfferNumber,
    /// Placement and channel.
    pub place: PlaceNumber,
    /// Of one arm; none: of all, under whatever arm or none.
    pub arm: Option<ArmNumber>,
    /// How often.
    pub decisions: u64,
    /// How often of these it was the fallback.
    pub fallbacks: u64,
}

/// How often a placement was asked for on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// How often.
    pub asked: u64,
    /// How often of these it showed its fallback.
    pub fallbacks: u64,
    /// How often it showed nothing.
    pub empty: u64,
    /// How often it was asked in a decision whose time was over.
    pub degraded: u64,
}

/// Offer, place, and the arm's number plus one or 0 for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key(u64);

#[derive(Debug, Default)]
struct Count {
    decisions: AtomicU64,
    fallbacks: AtomicU64,
}

/// Aligned, so that busy places do not take each other's cache lines.
#[derive(Debug, Default)]
#[repr(align(64))]
struct PlaceCount {
    asked: AtomicU64,
    fallbacks: AtomicU64,
    empty: AtomicU64,
    degraded: AtomicU64,
}

/// A list that grows without moving what is there; those who have a shorter one share it.
#[derive(Debug)]
struct Chunks<T>(Vec<Arc<[T]>>);

impl Key {
    fn new(offer: OfferNumber, place: PlaceNumber, arm: Option<ArmNumber>) -> Key {
        let arm = arm.map_or(0, |arm| u64::from(arm.0) + 1);
        Key(u64::from(offer.0) << 32 | u64::from(place.0) << 17 | arm)
    }

    fn offer(self) -> OfferNumber {
        OfferNumber((self.0 >> 32) as u32)
    }

    fn place(self) -> PlaceNumber {
        PlaceNumber((self.0 >> 17 & 0x7fff) as u16) // more than there are places
    }

    fn arm(self) -> Option<ArmNumber> {
        ((self.0 & 0x1_ffff) as u32).checked_sub(1).map(|arm| ArmNumber(arm as u16))
    }
}

impl<T: Default> Chunks<T> {
    fn get(&self, at: usize) -> Option<&T> {
        self.0.get(at / CHUNK)?.get(at % CHUNK)
    }

    /// As long at least, over the same memory as far as this one goes.
    fn grown(&self, len: usize) -> Chunks<T> {
        let more = len.div_ceil(CHUNK).saturating_sub(self.0.len());
        let more = (0..more).map(|_| (0..CHUNK).map(|_| T::default()).collect());
        Chunks(self.0.iter().cloned().chain(more).collect())
    }

    fn len(&self) -> usize {
        self.0.len() * CHUNK
    }

    fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flat_map(|chunk| chunk.iter())
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

fn get(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

impl Decided {
    /// Nothing to count yet, by a process that began then.
    pub fn new(since: Time) -> Arc<Decided> {
        Arc::new(Decided {
            since,
            index: HashMap::default(),
            counts: Chunks(Vec::new()),
            places: Chunks(Vec::new()),
            arms: HashMap::default(),
            left_out: 0,
        })
    }

    /// The same counters, and those that the engine needs beside. `arms_of` tells the arms that may bear on an offer.
    #[must_use]
    pub fn grown<A>(self: &Arc<Decided>, engine: &Engine, arms_of: impl Fn(&Offer) -> A) -> Arc<Decided>
    where
        A: IntoIterator<Item = ArmNumber>,
    {
        let needed = || keys(engine, &arms_of);
        let last_place = engine.placements().iter().flat_map(|placement| &placement.places).max();
        let places = last_place.map_or(0, |place| usize::from(place.0) + 1);
        let is_known = |key: Key| self.index.contains_key(&key);
        if self.left_out == 0 && places <= self.places.len() && needed().all(is_known) {
            return Arc::clone(self);
        }
        let (mut index, mut arms, mut left_out) = (self.index.clone(), self.arms.clone(), 0);
        for key in needed() {
            let next = index.len() as u32;
            if next < MAX_COUNTED as u32 {
                index.entry(key).or_insert(next);
            } else if !index.contains_key(&key) {
                left_out += 1;
            }
            if let Some(arm) = key.arm()
                && arms.len() < MAX_COUNTED_ARMS
            {
                arms.entry(arm).or_default();
            }
        }
        let (counts, places) = (self.counts.grown(index.len()), self.places.grown(places));
        Arc::new(Decided { since: self.since, index, counts, places, arms, left_out })
    }

    /// Counts a decision, which its engine or an earlier one has made. `arms_of` tells the arms that bear on a proposition.
    pub fn count<'e, A>(
        &self,
        channel: ChannelId,
        decision: &Decision<'e>,
        arms_of: impl Fn(&Proposition<'e>) -> A,
    ) where
        A: IntoIterator<Item = ArmNumber>,
    {
        for shown in &decision.placements {
            let Some(place) = shown.placement.place(channel) else { continue };
            if let Some(count) = self.places.get(usize::from(place.0)) {
                add(&count.asked);
                for (applies, count) in [
                    (shown.fallback, &count.fallbacks),
                    (shown.propositions.is_empty(), &count.empty),
                    (decision.degraded, &count.degraded),
                ] {
                    if applies {
                        add(count);
                    }
                }
            }
            for proposition in &shown.propositions {
                let offer = proposition.offer.number;
                self.add(Key::new(offer, place, None), shown.fallback);
                for arm in arms_of(proposition) {
                    self.add(Key::new(offer, place, Some(arm)), shown.fallback);
                }
            }
        }
    }

    fn add(&self, key: Key, fallback: bool) {
        let Some(count) = self.index.get(&key).and_then(|at| self.counts.get(*at as usize)) else { return };
        add(&count.decisions);
        if fallback {
            add(&count.fallbacks);
        }
    }

    /// Counts a customer among those of the arms that he is in.
    pub fn assigned(&self, customer: &str, arms: impl IntoIterator<Item = ArmNumber>) {
        for arm in arms {
            if let Some(distinct) = self.arms.get(&arm) {
                distinct.add(customer);
            }
        }
    }

    /// When counting began.
    pub fn since(&self) -> Time {
        self.since
    }

    /// Combinations of offer, place and arm of the engine in force for which there was no room.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Every combination that was decided on, in no order.
    pub fn chosen(&self) -> impl Iterator<Item = Chosen> {
        self.index.iter().filter_map(|(key, at)| {
            let count = self.counts.get(*at as usize)?;
            // Both may be counted between the two reads.
            let fallbacks = get(&count.fallbacks);
            let decisions = get(&count.decisions).max(fallbacks);
            let (offer, place, arm) = (key.offer(), key.place(), key.arm());
            (decisions > 0).then_some(Chosen { offer, place, arm, decisions, fallbacks })
        })
    }

    /// Every place that was asked for.
    pub fn asked(&self) -> impl Iterator<Item = (PlaceNumber, Asked)> {
        let counts = self.places.all().map(|count| {
            let (fallbacks, empty, degraded) =
                (get(&count.fallbacks), get(&count.empty), get(&count.degraded));
            let asked = get(&count.asked).max(fallbacks).max(empty).max(degraded);
            Asked { asked, fallbacks, empty, degraded }
        });
        counts
            .enumerate()
            .map(|(at, asked)| (PlaceNumber(at as u16), asked))
            .filter(|(_, asked)| asked.asked > 0)
    }

    /// The customers of an arm, if they are counted.
    pub fn customers(&self, arm: ArmNumber) -> Option<&Distinct> {
        self.arms.get(&arm).map(|distinct| &**distinct)
    }
}

/// What an engine's decisions may be counted under: first all offers, then all arms.
fn keys<A>(engine: &Engine, arms_of: &impl Fn(&Offer) -> A) -> impl Iterator<Item = Key>
where
    A: IntoIterator<Item = ArmNumber>,
{
    let pairs = || {
        engine.placements().iter().flat_map(move |placement| {
            let fallback = placement.fallback.filter(|fallback| !placement.offers.contains(fallback));
            let offers = placement.offers.iter().copied().chain(fallback).map(|id| engine.offer(id));
            offers.flat_map(move |offer| placement.places.iter().map(move |place| (offer, *place)))
        })
    };
    let all = pairs().map(|(offer, place)| Key::new(offer.number, place, None));
    let arms = pairs().flat_map(move |(offer, place)| {
        arms_of(offer).into_iter().map(move |arm| Key::new(offer.number, place, Some(arm)))
    });
    all.chain(arms)
}
