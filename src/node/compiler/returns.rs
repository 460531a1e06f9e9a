//! Numbers that are given back: which names have left the active rule sets, and which of them nothing can
//! name any more.
//!
//! A token names an offer, a place and the arms that its customer is in. So their numbers stay as long as
//! such a token can live after they have left. An arm that no token ever named is free as soon as no request
//! decides with an engine that has it. The contacts of customers name offers and places as long as they are
//! kept: one walk through all rows tells which. Groups, treatments, placements and channels are named by the
//! catalogue alone. They wait as long as an arm, because their rule set may come back. A retired rule set is
//! named by its history, which goes when there are too many.

use std::cell::RefCell;
use std::collections::HashSet;

use super::MAX_RULE_SETS;
use super::named::Named;
use crate::customer::numbers::{ArmNumber, OfferNumber, PlaceNumber};
use crate::engine::{Engine, Offer};
use crate::input::problem::Problem;
use crate::insight::analysis::{Warning, WarningKind};
use crate::node::handed::HandedOut;
use crate::rules::catalogue::{Catalogue, Returned, Returns, Taken, TreatmentNumber};
use crate::state::definitions::{Definitions, History};
use crate::state::ledger::ERASED_KEPT_S;
use crate::state::store::Customers;

/// Of the numbers of a kind, this share must be taken before anybody looks who has left: one in so many.
const NOTICED_FROM: usize = 8;
/// How long what the rows of customers name is good enough to be used again, in seconds.
const WALK_AGAIN_S: u32 = 3_600;

/// What the compiler knows of the numbers that this process gave out.
#[derive(Default)]
pub(super) struct Fresh {
    /// Arms that got their numbers in this process.
    arms: HashSet<u16>,
    /// What the rows of customers named when somebody last looked.
    named: RefCell<Option<Named>>,
}

/// What uses numbers before a change.
pub(super) struct InUse<'u> {
    pub(super) catalogue: &'u Catalogue,
    pub(super) engine: &'u Engine,
    pub(super) handed: &'u HandedOut,
    pub(super) customers: &'u Customers,
    /// Whether no request decides with an earlier engine any more.
    pub(super) settled: bool,
    /// In seconds since 1970.
    pub(super) now: u32,
}

impl InUse<'_> {
    /// The numbers of a kind that the engine in force uses. Placements and channels are used as long as a
    /// pair of them has a number.
    fn active(&self, kind: Returned) -> HashSet<u32> {
        let InUse { catalogue, engine, .. } = self;
        let offers = || engine.offers().iter();
        let places =
            || catalogue.numbers(Returned::Place).into_iter().map(|number| PlaceNumber(number as u16));
        let pairs = || places().filter_map(|place| catalogue.place(place));
        match kind {
            Returned::RuleSet => {
                let names = engine.versions.iter().map(|(name, _)| catalogue.rule_sets.number(name));
                names.flatten().map(u32::from).collect()
            }
            Returned::Group => {
                let groups = offers().filter_map(|offer| catalogue.offer(offer.number)?.group);
                groups.map(u32::from).collect()
            }
            Returned::Arm => engine.arms().iter().map(|arm| arm.number.0.into()).collect(),
            Returned::Placement => {
                let named = engine.placements().iter().map(|placement| placement.number);
                named.chain(pairs().map(|pair| pair.placement)).map(u32::from).collect()
            }
            Returned::Channel => pairs().map(|pair| pair.channel.into()).collect(),
            Returned::Place => {
                let places = engine.placements().iter().flat_map(|placement| &placement.places);
                places.map(|place| place.0.into()).collect()
            }
            Returned::Offer => offers().map(|offer| offer.number.0).collect(),
            Returned::Treatment => offers().flat_map(treatments).collect(),
        }
    }
}

/// The numbers of the treatments that an offer has now.
fn treatments(offer: &Offer) -> impl Iterator<Item = u32> + '_ {
    let number = |treatment| TreatmentNumber { offer: offer.number, treatment }.packed();
    offer.treatment_numbers().map(number)
}

impl Fresh {
    /// Notes that arms got numbers: those that `newer` has and `older` has not.
    pub(super) fn note(&mut self, older: &Catalogue, newer: &Catalogue) {
        let new = newer.arms.iter().filter(|(number, name)| older.arms.name(*number) != Some(*name));
        self.arms.extend(new.map(|(number, _)| number));
    }

    /// What becomes of numbers that the engine in force does not use.
    pub(super) fn returns(&self, used: &InUse<'_>) -> Returns {
        let mut returns = Returns::default();
        for kind in Returned::ALL {
            self.look(kind, used, &mut returns);
        }
        returns
    }

    fn look(&self, kind: Returned, used: &InUse<'_>, returns: &mut Returns) {
        let catalogue = used.catalogue;
        let taken = taken(catalogue, kind);
        if taken.taken * NOTICED_FROM < taken.most {
            return;
        }
        let (numbers, active) = (catalogue.numbers(kind), used.active(kind));
        let newest = numbers.iter().filter_map(|number| catalogue.left_at(kind, *number)).max();
        // Of rule sets the order is what counts, even within a second.
        let is_set = kind == Returned::RuleSet;
        let noticed =
            if is_set { used.now.max(newest.unwrap_or_default().saturating_add(1)) } else { used.now };
        for number in numbers {
            match catalogue.left_at(kind, number) {
                Some(_) if active.contains(&number) => returns.back.push((kind, number)),
                _ if active.contains(&number) => {}
                at if self.is_free((kind, number), at, taken.is_scarce(), used) => {
                    returns.freed.push((kind, number));
                }
                None => returns.left.push((kind, number, noticed)),
                Some(_) => {}
            }
        }
    }

    /// Whether nothing can name this any more, which left the active rule sets at that time.
    fn is_free(
        &self,
        (kind, number): (Returned, u32),
        left: Option<u32>,
        scarce: bool,
        used: &InUse<'_>,
    ) -> bool {
        let name = number as u16; // of the kinds that have so many
        if kind == Returned::Arm && used.settled && self.arms.contains(&name) {
            let ever_named = used.handed.contains(ArmNumber(name));
            if !ever_named {
                return true;
            }
        }
        let waited = |until: u32| left.is_some_and(|at| at.saturating_add(ERASED_KEPT_S) < until);
        if kind == Returned::RuleSet || !scarce || !waited(used.now) {
            return false;
        }
        match kind {
            Returned::Offer | Returned::Place => self.named(used, |named| {
                // From then on no contact with it can have come.
                let is_named = match kind {
                    Returned::Offer => named.offer(OfferNumber(number)),
                    _ => named.place(PlaceNumber(name)),
                };
                waited(named.since) && !is_named
            }),
            _ => true,
        }
    }

    fn named<T>(&self, used: &InUse<'_>, look: impl FnOnce(&Named) -> T) -> T {
        let mut known = self.named.borrow_mut();
        let recent = known
            .take()
            .filter(|named| (named.since..=named.since.saturating_add(WALK_AGAIN_S)).contains(&used.now));
        look(known.insert(recent.unwrap_or_else(|| Named::by(used.customers, used.now))))
    }

    /// Forgets the arms whose numbers were given back.
    pub(super) fn forget(&mut self, freed: &[(Returned, u32)], handed: &HandedOut) {
        for number in
            freed.iter().filter(|(kind, _)| *kind == Returned::Arm).map(|(_, number)| *number as u16)
        {
            self.arms.remove(&number);
            handed.forget(ArmNumber(number));
        }
    }
}

/// The retired rule sets whose histories go, so that `more` new ones find room: those that left first. None
/// of `named` goes, nor one that was never active.
pub(super) fn too_many(definitions: &Definitions, named: &[&str], more: usize) -> Vec<(Returned, u32)> {
    let count = definitions.rule_sets().count() + more;
    let Some(excess) = count.checked_sub(MAX_RULE_SETS).filter(|excess| *excess > 0) else {
        return Vec::new();
    };
    let catalogue = &*definitions.catalogue;
    let retired = |(name, history): &(&std::sync::Arc<str>, &History)| {
        history.active().is_none() && history.previous().is_some() && !named.contains(&&***name)
    };
    let numbered = definitions.rule_sets().filter(retired).filter_map(|(name, _)| {
        let number = catalogue.rule_sets.number(name)?.into();
        Some((catalogue.left_at(Returned::RuleSet, number).unwrap_or(u32::MAX), number)) // MAX: just now
    });
    let mut retired: Vec<(u32, u32)> = numbered.collect();
    retired.sort_unstable();
    retired.into_iter().take(excess).map(|(_, number)| (Returned::RuleSet, number)).collect()
}

/// A warning for each kind of numbers that is scarce after a change of `rule_set`.
pub(super) fn scarce(definitions: &Definitions, rule_set: &str) -> Vec<Warning> {
    let warning = |kind: Returned| {
        let Taken { of, taken, most } = match kind {
            // Those that never left have no number to give back, but a history that takes room.
            Returned::RuleSet => Taken {
                of: "rule sets, retired ones included",
                taken: definitions.rule_sets().count(),
                most: MAX_RULE_SETS,
            },
            kind => taken(&definitions.catalogue, kind),
        };
        let problem = Problem::new(format!("{taken} of {most} numbers for {of} are taken"));
        let hint = match kind {
            Returned::RuleSet => "when there is no room, the rule set that was retired first is forgotten",
            Returned::Offer | Returned::Place => {
                "use names again; a name that no active rule set has is given back after 90 days, when no \
                 contact of a customer names it"
            }
            _ => "use names again; a name that no active rule set has is given back after 90 days",
        };
        let scarce = Taken { of, taken, most }.is_scarce();
        scarce.then(|| Warning {
            kind: WarningKind::Numbers,
            problem: problem.hint(hint),
            rule_set: rule_set.into(),
            by: None,
            offer: None,
        })
    };
    Returned::ALL.into_iter().filter_map(warning).collect()
}

/// As [`Catalogue::taken`]; of rule sets there may be fewer than numbers.
fn taken(catalogue: &Catalogue, kind: Returned) -> Taken {
    let taken = catalogue.taken(kind);
    if kind == Returned::RuleSet { Taken { most: MAX_RULE_SETS, ..taken } } else { taken }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::customer::contact::{Contact, MAX_PLACE_NUMBERS};
    use crate::customer::id::CustomerId;
    use crate::customer::outcome::OutcomeKind;
    use crate::customer::row::{self, Row};
    use crate::node::Node;
    use crate::node::define::{Define, DefineError, Defined};
    use crate::rules::catalogue::{
        Additions, MAX_ARM_NUMBERS, MAX_NAME_NUMBERS, MAX_TREATMENT_NUMBERS, OfferEntry, PlaceEntry,
    };
    use crate::schema::Schema;
    use crate::state;
    use crate::state::ledger;
    use crate::state::record::Record;
    use crate::state::store::{self, CustomersWriter};
    use crate::state::testing::replayed;
    use crate::storage::journal::testing::Kept;
    use crate::testing::rounds;

    const T: u32 = 1_800_000_000;

    struct World {
        node: Arc<Node>,
        journal: Kept,
        runtime: tokio::runtime::Runtime,
    }

    impl World {
        fn new() -> World {
            let journal = Kept::default();
            let node = Node::start_with(Box::new(journal.clone())).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            World { node, journal, runtime }
        }

        fn define(&self, change: Define) -> Result<Defined, DefineError> {
            self.runtime.block_on(self.node.define(change))
        }

        #[track_caller]
        fn publish(&self, name: &str, more: &str, activate: bool) -> Defined {
            let text = format!("rule_set: {name}\n{more}");
            let publish = Define::Publish { name: name.into(), text, activate, if_active: None };
            self.define(publish).unwrap_or_else(|e| panic!("{name}: {e:?}"))
        }

        /// The journal replayed and the catalogue taken apart come to the same.
        fn check(&self) {
            let live = self.node.live();
            let digest = |definitions: &Definitions| {
                state::digest::of(definitions, self.node.customers(), &ledger::Content::default())
            };
            assert_eq!(digest(replayed(&self.journal.records()).definitions()), digest(&live.definitions));
            let catalogue = &*live.definitions.catalogue;
            assert_eq!(Catalogue::new().with(&catalogue.whole()), *catalogue);
        }
    }

    /// Experiments of 16 variants each, named after the push.
    fn experiments(push: usize, count: usize) -> String {
        let variants: Vec<String> = (0..16).map(|variant| format!("v{variant}: 1")).collect();
        let one = |nth| format!("  e{push}_{nth}: {{variants: {{{}}}}}\n", variants.join(", "));
        format!("experiments:\n{}", (0..count).map(one).collect::<String>())
    }

    #[test]
    fn new_variants_are_never_refused_and_no_token_comes_to_name_another() {
        let world = World::new();
        let (pushes, count) = rounds((60, 15), (2_000, 4));
        let mut tokens: Vec<(u16, String)> = Vec::new();
        let mut most = 0;
        for push in 0..pushes {
            world.publish("r", &experiments(push, count), true);
            let live = world.node.live();
            let arms = &live.definitions.catalogue.arms;
            for (number, name) in &tokens {
                assert_eq!(arms.name(*number), Some(&**name), "at push {push}");
            }
            if push % 3 == 0 {
                let said: Vec<u16> = live.engine.arms().iter().take(5).map(|arm| arm.number.0).collect();
                world.node.hand_out(&said);
                tokens.extend(said.iter().map(|arm| (*arm, arms.name(*arm).unwrap().to_owned())));
            }
            most = most.max(arms.len());
        }
        assert!(pushes * count * 16 > MAX_ARM_NUMBERS / NOTICED_FROM, "or the test says nothing");
        assert!(most <= MAX_ARM_NUMBERS / NOTICED_FROM + 3 * count * 16 + tokens.len(), "{most}");
        world.check();
    }

    #[test]
    fn rule_sets_come_and_go_and_the_first_to_go_is_forgotten_first() {
        let world = World::new();
        world.publish("home", "placements: {home: {channels: [app], count: 1}}\n", true);
        world.publish("waits", "tags: {t: 'true'}\n", false);
        let names = rounds(MAX_RULE_SETS + 100, 5 * MAX_RULE_SETS);
        for nth in 0..names {
            let offer = "{placements: [home], treatments: [{placement: home, content: 1}]}";
            let defined = world.publish(&format!("r{nth}"), &format!("offers: {{o{nth}: {offer}}}\n"), true);
            let warned = defined.warnings.iter().any(|warning| warning.kind == WarningKind::Numbers);
            assert_eq!(warned, nth + 3 >= MAX_RULE_SETS * 8 / 10, "{nth}");
            world.define(Define::Retire { name: format!("r{nth}"), if_active: None }).unwrap();
        }
        let live = world.node.live();
        assert_eq!(live.definitions.rule_sets().count(), MAX_RULE_SETS);
        assert!(live.definitions.history("waits").is_some() && live.definitions.history("home").is_some());
        let rollback =
            |nth: usize| world.define(Define::Rollback { name: format!("r{nth}"), if_active: None });
        assert!(matches!(rollback(0), Err(DefineError::NotFound(_))));
        assert!(rollback(names - 1).is_ok() && rollback(names - MAX_RULE_SETS + 3).is_ok());
        world.check();
    }

    /// Definitions whose names no active rule set has, and customers.
    struct Unused {
        definitions: Definitions,
        customers: CustomersWriter,
        fresh: Fresh,
    }

    impl Unused {
        fn new(additions: Additions) -> Unused {
            let mut definitions = Definitions::new();
            definitions.apply(&Record::Catalogue(Box::new(additions))).unwrap();
            Unused { definitions, customers: store::customers().0, fresh: Fresh::default() }
        }

        /// Gives back what can be at this time. Returns how many numbers were given back, and how many
        /// were noticed.
        fn pass(&mut self, now: u32) -> (usize, usize) {
            let engine = Engine::empty(&Arc::new(Schema::empty()));
            let returns = self.fresh.returns(&InUse {
                catalogue: &self.definitions.catalogue,
                engine: &engine,
                handed: &HandedOut::new(),
                customers: self.customers.shared(),
                settled: true,
                now,
            });
            assert_eq!(returns.back, []);
            let told = (returns.freed.len(), returns.left.len());
            for returns in returns.pieces() {
                let additions = Additions { returns, ..Additions::default() };
                self.definitions.apply(&Record::Catalogue(Box::new(additions))).unwrap();
            }
            let catalogue = &*self.definitions.catalogue;
            assert_eq!(Catalogue::new().with(&catalogue.whole()), *catalogue);
            told
        }

        fn taken(&self, kind: Returned) -> usize {
            self.definitions.catalogue.taken(kind).taken
        }
    }

    fn names(count: usize, what: &str) -> Vec<Box<str>> {
        (0..count).map(|nth| format!("{what}.{nth}").into()).collect()
    }

    #[test]
    fn what_left_goes_when_no_token_can_name_it_and_numbers_are_scarce() {
        let (arms, groups) = (MAX_ARM_NUMBERS * 9 / 10, MAX_NAME_NUMBERS / 2);
        let names = [Vec::new(), names(groups, "g"), Vec::new(), Vec::new(), names(arms, "e")];
        let mut unused = Unused::new(Additions { names, ..Additions::default() });
        assert_eq!(unused.pass(T), (0, arms + groups));
        assert_eq!(unused.pass(T + ERASED_KEPT_S), (0, 0));
        assert_eq!(unused.taken(Returned::Arm), arms);
        assert_eq!(unused.pass(T + ERASED_KEPT_S + 1), (arms, 0), "groups are not scarce");
        assert_eq!(unused.taken(Returned::Arm), 0);
    }

    #[test]
    fn a_place_keeps_its_number_as_long_as_a_contact_of_a_customer_names_it() {
        let pairs = MAX_PLACE_NUMBERS * 9 / 10;
        let place = |nth| PlaceEntry { placement: nth as u16 / 2, channel: nth as u16 % 2 };
        let names = [Vec::new(), Vec::new(), names(pairs.div_ceil(2), "p"), names(2, "c"), Vec::new()];
        let places = (0..pairs).map(place).collect();
        let mut unused = Unused::new(Additions { names, places, ..Additions::default() });
        let ada = CustomerId::known("ada").unwrap();
        let mut row = Row::new();
        row::open(&mut row, 1);
        let at = |second: u32| crate::customer::contact::FIRST_SECOND + second;
        for second in 0..300 {
            // More than are kept one by one, so that place 5 is named by an earlier contact alone.
            let place = PlaceNumber(if second == 0 { 5 } else { 3 });
            row::add(&mut row, Contact::new(OfferNumber(2), place, OutcomeKind::Click, at(second)));
        }
        row::prune(&mut row, |_| true, |_| true);
        unused.customers.put(&ada, &row).unwrap();
        assert_eq!(unused.pass(T), (0, pairs));
        let later = T + ERASED_KEPT_S + 1;
        assert_eq!(unused.pass(later), (pairs - 2, 0));
        assert_eq!(unused.definitions.catalogue.numbers(Returned::Place), [3, 5]);
        let unpaired = pairs.div_ceil(2) - 2;
        assert_eq!(unused.pass(later), (0, unpaired), "no pair names these placements any more");
        assert_eq!(unused.taken(Returned::Placement), pairs.div_ceil(2));
    }

    #[test]
    fn treatments_that_left_make_room_for_others_of_the_same_offer() {
        let offer = |treatments, name: &str| OfferEntry {
            name: name.into(),
            treatments: names(treatments, "t"),
            ..OfferEntry::default()
        };
        let many = MAX_TREATMENT_NUMBERS * 9 / 10;
        let offers = vec![(OfferNumber(0), offer(3, "few")), (OfferNumber(1), offer(many, "many"))];
        let mut unused = Unused::new(Additions { offers, ..Additions::default() });
        assert_eq!(unused.pass(T), (0, many + 3));
        assert_eq!(unused.pass(T + ERASED_KEPT_S + 1), (many + 3, 0));
        assert_eq!((unused.taken(Returned::Treatment), unused.taken(Returned::Offer)), (0, 2));
    }

    #[test]
    fn what_customers_name_is_looked_up_again_after_a_while() {
        let mut unused = Unused::new(Additions::default());
        let ada = CustomerId::known("ada").unwrap();
        let mut row = Row::new();
        row::open(&mut row, 1);
        let at = crate::customer::contact::FIRST_SECOND;
        row::add(&mut row, Contact::new(OfferNumber(70), PlaceNumber(9), OutcomeKind::Click, at));
        unused.customers.put(&ada, &row).unwrap();
        let is_named = |unused: &Unused, now: u32| {
            let engine = Engine::empty(&Arc::new(Schema::empty()));
            let used = InUse {
                catalogue: &unused.definitions.catalogue,
                engine: &engine,
                handed: &HandedOut::new(),
                customers: unused.customers.shared(),
                settled: true,
                now,
            };
            let look = |named: &Named| (named.offer(OfferNumber(70)), named.place(PlaceNumber(9)));
            let nothing = |named: &Named| named.offer(OfferNumber(71)) || named.place(PlaceNumber(0));
            assert!(!unused.fresh.named(&used, nothing));
            unused.fresh.named(&used, look)
        };
        assert_eq!(is_named(&unused, T), (true, true));
        unused.customers.erase("ada");
        assert_eq!(is_named(&unused, T + WALK_AGAIN_S), (true, true));
        assert_eq!(is_named(&unused, T + WALK_AGAIN_S + 1), (false, false));
        assert_eq!(is_named(&unused, T), (false, false), "nor does a clock that goes back use what is older");
    }
}
