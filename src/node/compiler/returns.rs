//! Numbers that are given back: which names have left the active rule sets, and which of them nothing can
//! name any more.
//!
//! A token names the arms that its customer is in. So an arm keeps its number as long as such a token can
//! live after the arm has left. An arm that no token ever named is free as soon as no request decides with
//! an engine that has it. A group is named by the catalogue alone. It waits as long as an arm, because its
//! rule set may come back. A retired rule set is named by its history, which goes when there are too many.

use std::collections::HashSet;

use super::MAX_RULE_SETS;
use crate::customer::numbers::ArmNumber;
use crate::engine::Engine;
use crate::input::problem::Problem;
use crate::insight::analysis::{Warning, WarningKind};
use crate::node::handed::HandedOut;
use crate::rules::catalogue::{Catalogue, MAX_ARM_NUMBERS, MAX_NAME_NUMBERS, Returned, Returns, Taken};
use crate::state::definitions::{Definitions, History};
use crate::state::ledger::ERASED_KEPT_S;

/// Of the numbers of a kind, this share must be taken before anybody looks who has left: one in so many.
const NOTICED_FROM: usize = 8;

/// What the compiler knows of the numbers that this process gave out.
#[derive(Default)]
pub(super) struct Fresh {
    /// Arms that got their numbers in this process.
    arms: HashSet<u16>,
}

impl Fresh {
    /// Notes that arms got numbers: those that `newer` has and `older` has not.
    pub(super) fn note(&mut self, older: &Catalogue, newer: &Catalogue) {
        let new = newer.arms.iter().filter(|(number, name)| older.arms.name(*number) != Some(*name));
        self.arms.extend(new.map(|(number, _)| number));
    }

    /// What becomes of numbers that the engine in force does not use. `settled` says that no request decides
    /// with an earlier engine any more.
    pub(super) fn returns(
        &self,
        definitions: &Definitions,
        engine: &Engine,
        handed: &HandedOut,
        settled: bool,
        now: u32,
    ) -> Returns {
        let catalogue = &*definitions.catalogue;
        let mut returns = Returns::default();
        let mut look = |kind: Returned, active: &HashSet<u16>, unnamed: &dyn Fn(u16) -> bool| {
            let (taken, most) = (catalogue.names_of(kind).len(), most(kind));
            if taken * NOTICED_FROM < most {
                return;
            }
            let times =
                catalogue.names_of(kind).iter().filter_map(|(number, _)| catalogue.left_at(kind, number));
            let newest = times.max().unwrap_or_default();
            // Of rule sets the order is what counts, even within a second.
            let now = if kind == Returned::RuleSet { now.max(newest.saturating_add(1)) } else { now };
            let scarce = Taken { of: "", taken, most }.is_scarce();
            for (number, _) in catalogue.names_of(kind).iter() {
                let left = catalogue.left_at(kind, number);
                match left {
                    Some(_) if active.contains(&number) => returns.back.push((kind, number)),
                    _ if active.contains(&number) => {}
                    _ if unnamed(number) => returns.freed.push((kind, number)),
                    Some(at)
                        if scarce && at.saturating_add(ERASED_KEPT_S) < now && kind != Returned::RuleSet =>
                    {
                        returns.freed.push((kind, number));
                    }
                    Some(_) => {}
                    None => returns.left.push((kind, number, now)),
                }
            }
        };
        let arms: HashSet<u16> = engine.arms().iter().map(|arm| arm.number.0).collect();
        let unnamed = |arm| settled && self.arms.contains(&arm) && !handed.contains(ArmNumber(arm));
        look(Returned::Arm, &arms, &unnamed);
        let groups =
            engine.offers().iter().filter_map(|offer| catalogue.offer(offer.number)?.group).collect();
        look(Returned::Group, &groups, &|_| false);
        let sets = engine.versions.iter().filter_map(|(name, _)| catalogue.rule_sets.number(name)).collect();
        look(Returned::RuleSet, &sets, &|_| false);
        returns
    }

    /// Forgets the arms whose numbers were given back.
    pub(super) fn forget(&mut self, freed: &[(Returned, u16)], handed: &HandedOut) {
        for (kind, number) in freed {
            if *kind == Returned::Arm {
                self.arms.remove(number);
                handed.forget(ArmNumber(*number));
            }
        }
    }
}

/// The retired rule sets whose histories go, so that `more` new ones find room: those that left first. None
/// of `named` goes, nor one that was never active.
pub(super) fn too_many(definitions: &Definitions, named: &[&str], more: usize) -> Vec<(Returned, u16)> {
    let count = definitions.rule_sets().count() + more;
    let Some(excess) = count.checked_sub(MAX_RULE_SETS).filter(|excess| *excess > 0) else {
        return Vec::new();
    };
    let catalogue = &*definitions.catalogue;
    let retired = |(name, history): &(&std::sync::Arc<str>, &History)| {
        history.active().is_none() && history.previous().is_some() && !named.contains(&&***name)
    };
    let numbered = definitions.rule_sets().filter(retired).filter_map(|(name, _)| {
        let number = catalogue.rule_sets.number(name)?;
        Some((catalogue.left_at(Returned::RuleSet, number).unwrap_or(u32::MAX), number)) // MAX: just now
    });
    let mut retired: Vec<(u32, u16)> = numbered.collect();
    retired.sort_unstable();
    retired.into_iter().take(excess).map(|(_, number)| (Returned::RuleSet, number)).collect()
}

/// A warning for each kind of numbers that is scarce after a change of `rule_set`.
pub(super) fn scarce(definitions: &Definitions, rule_set: &str) -> Vec<Warning> {
    let kept = definitions.rule_sets().count();
    let kept = Taken { of: "rule sets, retired ones included", taken: kept, most: MAX_RULE_SETS };
    let all = definitions.catalogue.taken().into_iter().skip(1).chain([kept]);
    let warning = |Taken { of, taken, most }: Taken| {
        let problem = Problem::new(format!("{taken} of {most} numbers for {of} are taken"));
        let given_back = ["groups", "variants of experiments"].contains(&of);
        let hint = match of {
            _ if of == kept.of => "when there is no room, the rule set that was retired first is forgotten",
            _ if given_back => {
                "use names again; a name that no active rule set has is given back after 90 days"
            }
            _ => "use names again: these numbers are never given back",
        };
        Warning {
            kind: WarningKind::Numbers,
            problem: problem.hint(hint),
            rule_set: rule_set.into(),
            by: None,
            offer: None,
        }
    };
    all.filter(Taken::is_scarce).map(warning).collect()
}

fn most(kind: Returned) -> usize {
    match kind {
        Returned::RuleSet => MAX_RULE_SETS,
        Returned::Group => MAX_NAME_NUMBERS,
        Returned::Arm => MAX_ARM_NUMBERS,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::node::Node;
    use crate::node::define::{Define, DefineError, Defined};
    use crate::rules::catalogue::Additions;
    use crate::schema::Schema;
    use crate::state;
    use crate::state::ledger;
    use crate::state::record::Record;
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

    #[test]
    fn what_left_goes_when_no_token_can_name_it_and_numbers_are_scarce() {
        let mut definitions = Definitions::new();
        let names = |count: usize, what: &str| (0..count).map(|nth| format!("{what}.{nth}").into()).collect();
        let (arms, groups) = (MAX_ARM_NUMBERS * 9 / 10, MAX_NAME_NUMBERS / 2);
        let names = [Vec::new(), names(groups, "g"), Vec::new(), Vec::new(), names(arms, "e")];
        definitions.apply(&Record::Catalogue(Box::new(Additions { names, ..Additions::default() }))).unwrap();
        let engine = Engine::empty(&Arc::new(Schema::empty()));
        let (fresh, handed) = (Fresh::default(), HandedOut::new());
        let mut pass = |now: u32| {
            let returns = fresh.returns(&definitions, &engine, &handed, true, now);
            let told = (returns.freed.len(), returns.left.len(), returns.back.len());
            let additions = Additions { returns, ..Additions::default() };
            definitions.apply(&Record::Catalogue(Box::new(additions))).unwrap();
            (told, definitions.catalogue.arms.len())
        };
        assert_eq!(pass(T), ((0, arms + groups, 0), arms));
        assert_eq!(pass(T + ERASED_KEPT_S), ((0, 0, 0), arms));
        assert_eq!(pass(T + ERASED_KEPT_S + 1), ((arms, 0, 0), 0), "groups are not scarce");
        let catalogue = &*definitions.catalogue;
        assert_eq!(Catalogue::new().with(&catalogue.whole()), *catalogue);
    }
}
