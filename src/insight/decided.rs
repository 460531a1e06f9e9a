//! How often each offer was decided on and each placement asked for since the process began.
//!
//! Counting takes no lock. The place of every counter is fixed with the engine, and the next engine goes on
//! with the same counters.

mod distinct;
mod split;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::FixedState;

pub use self::split::{Split, SplitArm};

use self::distinct::Mark;
use crate::customer::numbers::{ArmNumber, OfferNumber, PlaceNumber};
use crate::decide::{Decision, Proposition};
use crate::engine::{Engine, Offer};
use crate::expression::arm::{Arm, MAX_ARMS};
use crate::rules::catalogue::Gone;
use crate::schema::ChannelId;
use crate::schema::value::Time;

/// The most combinations of offer, place and arm that are counted, at 40 bytes each. If an engine has more,
/// arms are left out first. If even offers find no room, new ones are not counted.
pub const MAX_COUNTED: usize = 1_000_000;
/// The most arms whose customers are counted, at up to 336 KiB each, and as many experiments at up to 224 KiB
/// each. As many may be in force. Those that are not are kept while there is room, for they may come back.
pub const MAX_COUNTED_ARMS: usize = MAX_ARMS;

/// Counters in one piece of memory.
const CHUNK: usize = 256;

/// Finds the counters of an engine's offers and placements. It is immutable and [grows](Decided::grown)
/// into another one over the same counters, so no count is lost meanwhile. Offers of earlier engines stay
/// in it.
#[derive(Debug)]
pub struct Decided {
    since: Time,
    index: HashMap<ChoiceKey, u32, FixedState>,
    /// Counters of combinations that are gone, to be used again.
    spare: Vec<u32>,
    counts: Chunks<ChoiceCount>,
    /// One counter per place, by [`PlaceNumber`].
    places: Chunks<PlaceCount>,
    /// How customers are split, by experiment.
    splits: HashMap<Arc<str>, Arc<Split>, FixedState>,
    /// The splits of the engine's experiments, in its order.
    in_force: Vec<Arc<Split>>,
    /// Where the arms of these are: their split, and their place in it.
    arms: HashMap<ArmNumber, (usize, usize), FixedState>,
    left_out: usize,
}

/// How often an offer was decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// The offer that was decided on.
    pub offer: OfferNumber,
    /// The placement and channel it was decided for.
    pub place: PlaceNumber,
    /// The arm of the customers counted; `None` counts all customers, in any arm or none.
    pub arm: Option<ArmNumber>,
    /// The number of decisions for the offer.
    pub decisions: u64,
    /// How often the offer was the fallback; included in `decisions`.
    pub fallbacks: u64,
}

/// How often a placement was asked for on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlaceCounts {
    /// The number of times it was asked for.
    pub asked: u64,
    /// How often it showed its fallback.
    pub fallbacks: u64,
    /// How often it showed nothing.
    pub empty: u64,
    /// How often it was asked for in a decision whose time ran out.
    pub degraded: u64,
}

/// Offer, place and arm packed into one number. The arm is its number plus one, or 0 for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ChoiceKey(u64);

#[derive(Debug, Default)]
struct ChoiceCount {
    decisions: AtomicU64,
    fallbacks: AtomicU64,
}

/// Aligned, so that busy places do not share a cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct PlaceCount {
    asked: AtomicU64,
    fallbacks: AtomicU64,
    empty: AtomicU64,
    degraded: AtomicU64,
}

/// A list that grows without moving its items. A shorter list shares the items of the longer one.
#[derive(Debug)]
struct Chunks<T>(Vec<Arc<[T]>>);

impl ChoiceKey {
    fn new(offer: OfferNumber, place: PlaceNumber, arm: Option<ArmNumber>) -> ChoiceKey {
        let arm = arm.map_or(0, |arm| u64::from(arm.0) + 1);
        ChoiceKey(u64::from(offer.0) << 32 | u64::from(place.0) << 17 | arm)
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

impl ChoiceCount {
    fn reset(&self) {
        self.decisions.store(0, Ordering::Relaxed);
        self.fallbacks.store(0, Ordering::Relaxed);
    }
}

impl PlaceCount {
    fn reset(&self) {
        let PlaceCount { asked, fallbacks, empty, degraded } = self;
        [asked, fallbacks, empty, degraded].into_iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }
}

impl<T: Default> Chunks<T> {
    fn get(&self, at: usize) -> Option<&T> {
        self.0.get(at / CHUNK)?.get(at % CHUNK)
    }

    /// A list of at least this length that shares all items of this one.
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
    /// Counters at 0, for a process that began at `since`.
    pub fn new(since: Time) -> Arc<Decided> {
        Arc::new(Decided {
            since,
            index: HashMap::default(),
            spare: Vec::new(),
            counts: Chunks(Vec::new()),
            places: Chunks(Vec::new()),
            splits: HashMap::default(),
            in_force: Vec::new(),
            arms: HashMap::default(),
            left_out: 0,
        })
    }

    /// The same counters, and the others that the engine needs. `arms_of` gives the arms that may bear on
    /// an offer.
    #[must_use]
    pub fn grown<A>(self: &Arc<Decided>, engine: &Engine, arms_of: impl Fn(&Offer) -> A) -> Arc<Decided>
    where
        A: IntoIterator<Item = ArmNumber>,
    {
        let needed = || keys(engine, &arms_of);
        let last_place = engine.placements().iter().flat_map(|placement| &placement.places).max();
        let places = last_place.map_or(0, |place| usize::from(place.0) + 1);
        let is_known = |key: ChoiceKey| self.index.contains_key(&key);
        let in_force = self.splits_of(engine);
        let is_as_before = self.in_force.len() == in_force.len()
            && self.in_force.iter().zip(&in_force).all(|(before, now)| Arc::ptr_eq(before, &now.1));
        if self.left_out == 0 && places <= self.places.len() && needed().all(is_known) && is_as_before {
            return Arc::clone(self);
        }
        let (mut index, mut left_out) = (self.index.clone(), 0);
        let mut spare = self.spare.clone();
        for key in needed() {
            let next = (index.len() + spare.len()) as u32;
            if let Entry::Vacant(vacant) = index.entry(key) {
                match spare.pop() {
                    Some(at) => {
                        self.counts.get(at as usize).into_iter().for_each(ChoiceCount::reset);
                        vacant.insert(at);
                    }
                    None if next < MAX_COUNTED as u32 => {
                        vacant.insert(next);
                    }
                    None => left_out += 1,
                }
            }
        }
        let (counts, places) = (self.counts.grown(index.len() + spare.len()), self.places.grown(places));
        let splits = self.kept(&in_force);
        let in_force: Vec<Arc<Split>> = in_force.into_iter().map(|(_, split)| split).collect();
        let arms = in_force.iter().enumerate().flat_map(|(nth, split)| {
            split.arms().iter().enumerate().map(move |(place, arm)| (arm.number, (nth, place)))
        });
        let arms = arms.collect();
        Arc::new(Decided {
            since: self.since,
            index,
            spare,
            counts,
            places,
            splits,
            in_force,
            arms,
            left_out,
        })
    }

    /// The same counters without those of numbers that are given back. No engine that has them may decide
    /// any more. Splits stay: they know their arms by name.
    #[must_use]
    pub fn without(self: &Arc<Decided>, gone: &Gone) -> Arc<Decided> {
        if gone.is_empty() {
            return Arc::clone(self);
        }
        let is_gone = |key: &ChoiceKey| gone.counted(key.offer(), key.place(), key.arm());
        let (away, index): (Vec<_>, Vec<_>) = self.index.iter().partition(|(key, _)| is_gone(key));
        let places = gone.places.iter().filter_map(|place| self.places.get(usize::from(place.0)));
        places.for_each(PlaceCount::reset);
        Arc::new(Decided {
            since: self.since,
            index: index.into_iter().map(|(key, at)| (*key, *at)).collect(),
            spare: self.spare.iter().chain(away.into_iter().map(|(_, at)| at)).copied().collect(),
            counts: self.counts.grown(0),
            places: self.places.grown(0),
            splits: self.splits.clone(),
            in_force: self.in_force.clone(),
            arms: self.arms.clone(),
            left_out: self.left_out,
        })
    }

    /// The splits of an engine's experiments: those of before that go on, and new ones.
    fn splits_of(&self, engine: &Engine) -> Vec<(Arc<str>, Arc<Split>)> {
        let split = |(salt, arms): (&str, &[Arm])| {
            let name = Arc::clone(&arms.first()?.experiment);
            let before = self.splits.get(&name);
            let split =
                before.map_or_else(|| Arc::new(Split::begin(salt, arms)), |before| before.next(salt, arms));
            Some((name, split))
        };
        engine.experiments().filter_map(split).collect()
    }

    /// These splits, and those that are not in force any more while there is room for all.
    fn kept(&self, in_force: &[(Arc<str>, Arc<Split>)]) -> HashMap<Arc<str>, Arc<Split>, FixedState> {
        let mut kept = self.splits.clone();
        kept.extend(in_force.iter().cloned());
        let arms: usize = kept.values().map(|split| split.arms().len()).sum();
        if arms > MAX_COUNTED_ARMS { in_force.iter().cloned().collect() } else { kept }
    }

    /// Counts a decision made by its engine or an earlier one. `arms_of` gives the arms that bear on a
    /// proposition.
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
                self.add(ChoiceKey::new(offer, place, None), shown.fallback);
                for arm in arms_of(proposition) {
                    self.add(ChoiceKey::new(offer, place, Some(arm)), shown.fallback);
                }
            }
        }
    }

    fn add(&self, key: ChoiceKey, fallback: bool) {
        let Some(count) = self.index.get(&key).and_then(|at| self.counts.get(*at as usize)) else { return };
        add(&count.decisions);
        if fallback {
            add(&count.fallbacks);
        }
    }

    /// Counts a customer in each of the arms that they are in. The experiments in force have all seen them.
    pub fn assigned(&self, customer: &str, arms: impl IntoIterator<Item = ArmNumber>) {
        let customer = Mark::of(customer);
        self.in_force.iter().for_each(|split| split.see(customer));
        self.each_of(arms, |split, place| split.assign(place, customer));
    }

    /// Counts a customer in each of the arms that chose something of what they are given.
    pub fn exposed(&self, customer: &str, arms: impl IntoIterator<Item = ArmNumber>) {
        let customer = Mark::of(customer);
        self.each_of(arms, |split, place| split.expose(place, customer));
    }

    fn each_of(&self, arms: impl IntoIterator<Item = ArmNumber>, count: impl Fn(&Split, usize)) {
        for (nth, place) in arms.into_iter().filter_map(|arm| self.arms.get(&arm)) {
            if let Some(split) = self.in_force.get(*nth) {
                count(split, *place);
            }
        }
    }

    /// The time at which counting began.
    pub fn since(&self) -> Time {
        self.since
    }

    /// Combinations of offer, place and arm of the current engine for which there was no room.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Every combination that was decided on, in no particular order.
    pub fn chosen(&self) -> impl Iterator<Item = Chosen> {
        self.index.iter().filter_map(|(key, at)| {
            let count = self.counts.get(*at as usize)?;
            // Another thread may count between the two reads.
            let fallbacks = get(&count.fallbacks);
            let decisions = get(&count.decisions).max(fallbacks);
            let (offer, place, arm) = (key.offer(), key.place(), key.arm());
            (decisions > 0).then_some(Chosen { offer, place, arm, decisions, fallbacks })
        })
    }

    /// Every place that was asked for.
    pub fn asked(&self) -> impl Iterator<Item = (PlaceNumber, PlaceCounts)> {
        let counts = self.places.all().map(|count| {
            let (fallbacks, empty, degraded) =
                (get(&count.fallbacks), get(&count.empty), get(&count.degraded));
            let asked = get(&count.asked).max(fallbacks).max(empty).max(degraded);
            PlaceCounts { asked, fallbacks, empty, degraded }
        });
        counts
            .enumerate()
            .map(|(at, asked)| (PlaceNumber(at as u16), asked))
            .filter(|(_, asked)| asked.asked > 0)
    }

    /// How customers are split over the arms of each experiment in force, in the engine's order.
    pub fn splits(&self) -> &[Arc<Split>] {
        &self.in_force
    }
}

/// Everything that decisions of an engine may be counted under: first all offers, then all arms.
fn keys<A>(engine: &Engine, arms_of: &impl Fn(&Offer) -> A) -> impl Iterator<Item = ChoiceKey>
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
    let all = pairs().map(|(offer, place)| ChoiceKey::new(offer.number, place, None));
    let arms = pairs().flat_map(move |(offer, place)| {
        arms_of(offer).into_iter().map(move |arm| ChoiceKey::new(offer.number, place, Some(arm)))
    });
    all.chain(arms)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::RwLock;

    use super::*;
    use crate::decide::{Context, Request, decide};
    use crate::rules::catalogue::{Returned, Returns};
    use crate::rules::rule_set::RuleSet;
    use crate::schema::Schema;
    use crate::schema::vector::FeatureVector;

    const SCHEMA: &str = "schema: s\nchannels: [app, web]\nfeatures:\n  age: {kind: int, min: 0, max: 120}\n";

    /// An engine whose `home` shows up to two of these offers, and `brand` when there are none.
    fn engine(before: Option<&Engine>, offers: &[&str]) -> Engine {
        let schema = before.map_or_else(
            || Arc::new(Schema::parse("schema.yaml", SCHEMA).unwrap()),
            |before| before.schema.clone(),
        );
        let treatments = "treatments: [{placement: home, content: {}}]";
        let rules: String =
            offers.iter().map(|name| format!("  {name}: {{placements: [home], {treatments}}}\n")).collect();
        let text = format!(
            "rule_set: r\nplacements: {{home: {{channels: [app, web], count: 2, fallback: brand}}}}\noffers:\n{rules}  \
             brand: {{{treatments}}}\n"
        );
        let set = Arc::new(RuleSet::parse("r", &text, &schema).unwrap_or_else(|e| panic!("{e}")));
        let catalogue = before.map_or_else(Arc::default, |before| before.catalogue.clone());
        Engine::compile_with(&schema, &[(set, 1)], &catalogue).unwrap().0
    }

    fn none(_: &Offer) -> [ArmNumber; 0] {
        []
    }

    /// Decides once on this channel and counts the decision under these arms.
    fn decided(engine: &Engine, decided: &Decided, channel: &str, arms: &[u16]) {
        let channel = engine.schema.channel_id(channel).unwrap();
        let request = Request {
            customer: "c-1",
            past: crate::customer::row::Past::default(),
            budgets: &crate::decide::NoBudgets,
            lessons: &crate::decide::NoLessons,
            seed: 0,
            channel,
            placements: &[(engine.placement_id("home").unwrap(), 2)],
            locale: None,
            context: Context::default(),
            explain: false,
            overdue: None,
        };
        let decision = decide(engine, FeatureVector::unknown(), &request, Time(0));
        decided.count(channel, &decision, |_| arms.iter().map(|arm| ArmNumber(*arm)).collect::<Vec<_>>());
    }

    /// Decisions and fallbacks by offer, place and arm.
    fn chosen(engine: &Engine, decided: &Decided) -> BTreeMap<String, (u64, u64)> {
        let name = |chosen: Chosen| {
            let offer = &engine.catalogue.offer(chosen.offer).unwrap().name;
            let arm = chosen.arm.map_or(String::new(), |arm| format!(" {}", arm.0));
            (format!("{offer} {}{arm}", chosen.place.0), (chosen.decisions, chosen.fallbacks))
        };
        decided.chosen().map(name).collect()
    }

    #[test]
    fn what_is_shown_is_counted_by_offer_place_and_arm() {
        let engine = engine(None, &["card", "loan"]);
        let arms = |_: &Offer| [ArmNumber(3), ArmNumber(u16::MAX)];
        let counts = Decided::new(Time(5)).grown(&engine, arms);
        decided(&engine, &counts, "app", &[]);
        decided(&engine, &counts, "app", &[3]);
        decided(&engine, &counts, "web", &[3, u16::MAX, 9]);
        let expected = ["card 0", "loan 0", "card 1", "loan 1", "card 0 3", "loan 0 3"].map(|name| (name, 1));
        let more = ["card 1 3", "loan 1 3", "card 1 65535", "loan 1 65535"].map(|name| (name, 1));
        let mut expected: BTreeMap<String, (u64, u64)> =
            expected.into_iter().chain(more).map(|(name, count)| (name.to_owned(), (count, 0))).collect();
        expected.insert("card 0".into(), (2, 0));
        expected.insert("loan 0".into(), (2, 0));
        assert_eq!(chosen(&engine, &counts), expected, "an arm that the engine does not have is not counted");
        let asked: Vec<_> = counts.asked().map(|(place, asked)| (place.0, asked.asked)).collect();
        assert_eq!((asked, counts.since(), counts.left_out()), (vec![(0, 2), (1, 1)], Time(5), 0));
    }

    #[test]
    fn fallbacks_and_empty_answers_are_told_apart() {
        let engine = engine(None, &[]);
        let counts = Decided::new(Time(0)).grown(&engine, none);
        decided(&engine, &counts, "web", &[]);
        assert_eq!(chosen(&engine, &counts), BTreeMap::from([("brand 1".to_owned(), (1, 1))]));
        let place = PlaceCounts { asked: 1, fallbacks: 1, empty: 0, degraded: 0 };
        assert_eq!(counts.asked().collect::<Vec<_>>(), [(PlaceNumber(1), place)]);
        let channel = engine.schema.channel_id("web").unwrap();
        let shown = |placement| crate::decide::Shown {
            placement,
            fallback: false,
            propositions: Vec::new(),
            explanations: Vec::new(),
        };
        let placements = vec![shown(&engine.placements()[0])];
        counts.count(channel, &Decision { placements, degraded: true, holdout: false }, |_| None);
        let place = PlaceCounts { asked: 2, fallbacks: 1, empty: 1, degraded: 1 };
        assert_eq!(counts.asked().collect::<Vec<_>>(), [(PlaceNumber(1), place)]);
    }

    #[test]
    fn an_engine_with_nothing_new_needs_nothing_new() {
        let first = engine(None, &["card", "loan"]);
        let counts = Decided::new(Time(0)).grown(&first, none);
        let fewer = engine(Some(&first), &["card"]);
        assert!(Arc::ptr_eq(&counts, &counts.grown(&fewer, none)));
        assert!(!Arc::ptr_eq(&counts, &counts.grown(&fewer, |_| Some(ArmNumber(0)))), "an arm is new");
        let empty = Engine::empty(&first.schema);
        let none_yet = Decided::new(Time(0));
        assert!(Arc::ptr_eq(&none_yet, &none_yet.grown(&empty, none)));
    }

    #[test]
    fn no_count_is_lost_while_engines_take_each_others_place() {
        const THREADS: u64 = 4;
        const DECISIONS: u64 = 2_000;
        let first = engine(None, &["card"]);
        let counts = Decided::new(Time(0)).grown(&first, none);
        let live = RwLock::new(Arc::new((first, counts)));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..DECISIONS {
                        let now = live.read().unwrap().clone();
                        decided(&now.0, &now.1, "app", &[]);
                    }
                });
            }
            for round in 0..crate::testing::rounds(15, 40) {
                let now = live.read().unwrap().clone();
                let names: Vec<String> = (0..=round * 7).map(|at| format!("x{at}")).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).chain(["card"]).collect();
                let next = engine(Some(&now.0), &names);
                let counts = now.1.grown(&next, none);
                *live.write().unwrap() = Arc::new((next, counts));
            }
        });
        let now = live.read().unwrap().clone();
        let asked: u64 = now.1.asked().map(|(_, asked)| asked.asked).sum();
        let shown = chosen(&now.0, &now.1);
        assert_eq!((asked, shown["card 0"].0), (THREADS * DECISIONS, THREADS * DECISIONS));
        let second: u64 = shown.iter().filter(|(name, _)| *name != "card 0").map(|(_, count)| count.0).sum();
        assert!(second <= THREADS * DECISIONS && shown.keys().all(|name| name.ends_with(" 0")), "{shown:?}");
    }

    #[test]
    fn beyond_the_bound_arms_are_left_out_and_offers_are_still_counted() {
        // 41 offers on 2 places with 16,383 arms are more than 1,000,000.
        let names: Vec<String> = (0..40).map(|at| format!("o{at}")).collect();
        let engine = engine(None, &names.iter().map(String::as_str).collect::<Vec<_>>());
        let arms = |_: &Offer| (0..16_383).map(ArmNumber);
        let counts = Decided::new(Time(0)).grown(&engine, arms);
        assert_eq!(counts.index.len(), MAX_COUNTED);
        assert_eq!(counts.left_out(), 41 * 2 * 16_384 - MAX_COUNTED);
        decided(&engine, &counts, "web", &[0]);
        assert!(chosen(&engine, &counts).contains_key("o0 1"));
        let shrunk = counts.grown(&engine, none);
        assert_eq!(shrunk.left_out(), 0, "all that is needed now has a counter");
    }

    /// An engine with the experiment `e` of these arms.
    fn experimenting(before: Option<&Engine>, arms: &str) -> Engine {
        let schema = before.map_or_else(
            || Arc::new(Schema::parse("schema.yaml", SCHEMA).unwrap()),
            |before| before.schema.clone(),
        );
        let text = format!("rule_set: r\nexperiments: {{e: {arms}}}\n");
        let set = Arc::new(RuleSet::parse("r", &text, &schema).unwrap_or_else(|e| panic!("{e}")));
        let catalogue = before.map_or_else(Arc::default, |before| before.catalogue.clone());
        Engine::compile_with(&schema, &[(set, 1)], &catalogue).unwrap().0
    }

    #[test]
    fn an_arm_that_gets_the_number_of_another_begins_at_nothing() {
        let engine = engine(None, &["card"]);
        let arms = |_: &Offer| [ArmNumber(3), ArmNumber(4)];
        let counts = Decided::new(Time(0)).grown(&engine, arms);
        decided(&engine, &counts, "app", &[3, 4]);
        let freed = Returns { freed: vec![(Returned::Arm, 3)], ..Returns::default() };
        let without = counts.without(&freed.gone());
        let expected = ["card 0", "card 0 4"].map(|name| (name.to_owned(), (1, 0))).into();
        assert_eq!(chosen(&engine, &without), expected);
        let again = without.grown(&engine, arms);
        assert_eq!(chosen(&engine, &again), expected, "its counters are used again, from nothing");
        assert_eq!(again.counts.len(), counts.counts.len());
    }

    #[test]
    fn what_gets_the_number_of_another_offer_or_place_begins_at_nothing() {
        let engine = engine(None, &["card", "loan"]);
        let without = |freed: &[(Returned, u32)]| {
            let counts = Decided::new(Time(0)).grown(&engine, none);
            decided(&engine, &counts, "app", &[]);
            decided(&engine, &counts, "web", &[]);
            let less = counts.without(&Returns { freed: freed.to_vec(), ..Returns::default() }.gone());
            (less.chosen().count(), less.asked().map(|(place, _)| place.0).collect::<Vec<_>>())
        };
        assert_eq!(without(&[]), (4, vec![0, 1]), "two offers in two places");
        assert_eq!(without(&[(Returned::Offer, 0)]), (2, vec![0, 1]));
        assert_eq!(without(&[(Returned::Place, 1)]), (2, vec![0]));
        assert_eq!(without(&[(Returned::Offer, 1), (Returned::Channel, 0)]), (2, vec![0, 1]));
    }

    #[test]
    fn customers_of_arms_are_counted_once_each_as_long_as_the_salt_is_the_same() {
        let first = experimenting(None, "{variants: {a: 50, b: 20}, salt: x}");
        let counts = Decided::new(Time(0)).grown(&first, none);
        let visit = |engine: &Engine, counts: &Decided| {
            for customer in (0..300).map(|i| format!("c-{}", i % 100)) {
                counts.assigned(&customer, engine.arms_for(&customer, false).map(|arm| arm.number));
            }
            counts.exposed("c-1", engine.arms().iter().take(1).map(|arm| arm.number));
            counts.exposed("c-1", [ArmNumber(999)]);
        };
        visit(&first, &counts);
        let customers = |counts: &Decided| -> Vec<(u64, u64)> {
            let arms = counts.splits()[0].arms();
            arms.iter().map(|arm| (arm.customers(), arm.exposed())).collect()
        };
        let before = customers(&counts);
        assert_eq!((before[0].1, before[1].1), (1, 0));
        assert!((40..61).contains(&before[0].0) && (8..33).contains(&before[1].0), "{before:?}");
        let grown = experimenting(Some(&first), "{variants: {a: 50, b: 50}, salt: x}");
        let counts = counts.grown(&grown, none);
        visit(&grown, &counts);
        let after = customers(&counts);
        assert_eq!((after[0], after[0].0 + after[1].0), (before[0], 100), "all are in an arm now");
        assert_eq!(counts.splits()[0].ratio().stretches(), 1, "and nobody is new");
        let gone = experimenting(Some(&grown), "{variants: {c: 100}, salt: y}");
        assert_eq!(customers(&counts.grown(&gone, none)), [(0, 0)]);
    }
}
