//! How customers are split over the arms of an experiment, and whether that is by its shares.
//!
//! # Stretches
//! An experiment whose shares change begins a new stretch, which is tested against its own shares. In the
//! test each customer counts once: in the stretch in which they were first decided for, in whichever arm or
//! in none. When an experiment first sees a customer does not depend on their slot. So within a stretch these
//! customers fall into the arms by its shares, and the stretches are independent of each other.
//!
//! Customers who were seen in an earlier stretch are known by their bits, which others share. Those others
//! are left out too. That makes the counts smaller, but no arm more than another: bits and slots are hashes
//! that have nothing to do with each other.
//!
//! Another salt deals the customers anew. So everything begins anew with it, as it does with each process.

use std::sync::Arc;

use super::distinct::{Distinct, Mark, comparable};
use crate::customer::numbers::ArmNumber;
use crate::expression::arm::Arm;
use crate::insight::sample_ratio::{RatioSum, deviation};

/// The customers of an experiment, while its salt and shares stay as they are.
#[derive(Debug)]
pub struct Split {
    salt: Box<str>,
    /// Everybody who was decided for since the salt was chosen, in an arm or not.
    seen: Arc<Distinct>,
    /// Those of them who had been seen before this stretch; `None` in the first one.
    earlier: Option<Distinct>,
    arms: Vec<SplitArm>,
    /// What the stretches before this one say.
    before: RatioSum,
}

/// The customers of one arm.
#[derive(Debug)]
pub struct SplitArm {
    name: Box<str>,
    /// The arm's number in the catalogue.
    pub number: ArmNumber,
    share: u16,
    /// Those who were decided for since the salt was chosen. Whose arm changed with the shares is in both.
    assigned: Arc<Distinct>,
    /// Those of them who were given a proposition that the arm chose.
    exposed: Arc<Distinct>,
    /// Those who were first seen in this stretch.
    new: Distinct,
}

impl Split {
    /// The first stretch of an experiment with this salt and these arms.
    pub(super) fn begin(salt: &str, arms: &[Arm]) -> Split {
        let arms = arms.iter().map(|arm| SplitArm::of(arm, None)).collect();
        Split { salt: salt.into(), seen: Arc::default(), earlier: None, arms, before: RatioSum::default() }
    }

    /// The split of the same experiment with this salt and these arms: itself, a new stretch, or a new
    /// beginning.
    pub(super) fn next(self: &Arc<Split>, salt: &str, arms: &[Arm]) -> Arc<Split> {
        if *self.salt != *salt {
            return Arc::new(Split::begin(salt, arms));
        }
        let is_as = |(kept, arm): (&SplitArm, &Arm)| {
            (&*kept.name, kept.number, kept.share) == (&*arm.name, arm.number, arm.share)
        };
        if self.arms.len() == arms.len() && self.arms.iter().zip(arms).all(is_as) {
            return Arc::clone(self);
        }
        let known = |arm: &Arm| self.arms.iter().find(|kept| *kept.name == *arm.name);
        Arc::new(Split {
            salt: salt.into(),
            seen: Arc::clone(&self.seen),
            earlier: Some(self.seen.copy()),
            arms: arms.iter().map(|arm| SplitArm::of(arm, known(arm))).collect(),
            before: self.ratio(),
        })
    }

    /// Notes a decision for a customer who is in none of the arms, as far as is known.
    pub(super) fn see(&self, customer: Mark) {
        self.seen.add(customer);
    }

    /// Counts a customer in their arm. Decisions that were begun before a change of shares are counted in the
    /// stretch before, and nowhere else.
    pub(super) fn assign(&self, arm: usize, customer: Mark) {
        let Some(arm) = self.arms.get(arm) else { return };
        arm.assigned.add(customer);
        arm.new.add_unless(customer, self.earlier.as_ref());
    }

    /// Counts a customer who is given what their arm chose.
    pub(super) fn expose(&self, arm: usize, customer: Mark) {
        if let Some(arm) = self.arms.get(arm) {
            arm.exposed.add(customer);
        }
    }

    /// The arms, in the order written.
    pub fn arms(&self) -> &[SplitArm] {
        &self.arms
    }

    /// How well customers fit the shares: in this stretch and all before it.
    pub fn ratio(&self) -> RatioSum {
        let counted: Vec<&Distinct> = self.arms.iter().map(|arm| &arm.new).collect();
        let shares: Vec<f64> = self.arms.iter().map(|arm| f64::from(arm.share)).collect();
        self.before.and(deviation(&comparable(&counted, self.earlier.as_ref()), &shares))
    }
}

impl SplitArm {
    fn of(arm: &Arm, known: Option<&SplitArm>) -> SplitArm {
        SplitArm {
            name: arm.name.clone(),
            number: arm.number,
            share: arm.share,
            assigned: known.map(|known| Arc::clone(&known.assigned)).unwrap_or_default(),
            exposed: known.map(|known| Arc::clone(&known.exposed)).unwrap_or_default(),
            new: Distinct::default(),
        }
    }

    /// About how many different customers in it were decided for.
    pub fn customers(&self) -> u64 {
        self.assigned.estimate()
    }

    /// About how many different customers were given a proposition that it chose.
    pub fn exposed(&self) -> u64 {
        self.exposed.estimate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::arm::slot;

    /// An experiment whose arms have these shares, in slots, from slot 0 on.
    fn arms(shares: &[u16]) -> Vec<Arm> {
        let arm = |(number, share): (usize, &u16)| Arm {
            name: format!("e.{number}").into(),
            experiment: "e".into(),
            share: *share,
            number: ArmNumber(number as u16),
        };
        shares.iter().enumerate().map(arm).collect()
    }

    /// Stretches of an experiment, each with the customers who came, some of whom come again.
    struct Ramp<'r> {
        salt: &'r str,
        stretches: &'r [(&'r [u16], std::ops::Range<u32>)],
        /// Whether what is lost loses this customer, given the stretch and their arm.
        loses: fn(usize, usize, u32) -> bool,
    }

    impl Ramp<'_> {
        fn run(&self) -> RatioSum {
            let mut split: Option<Arc<Split>> = None;
            for (nth, (shares, customers)) in self.stretches.iter().enumerate() {
                let arms = arms(shares);
                let now = match &split {
                    None => Arc::new(Split::begin(self.salt, &arms)),
                    Some(before) => before.next(self.salt, &arms),
                };
                for customer in customers.clone() {
                    let id = format!("c-{customer}");
                    let mut slot = slot(self.salt, &id);
                    let arm = shares.iter().position(|share| {
                        let is_in = slot < *share;
                        slot = slot.saturating_sub(*share);
                        is_in
                    });
                    if arm.is_some_and(|arm| (self.loses)(nth, arm, customer)) {
                        continue;
                    }
                    now.see(Mark::of(&id));
                    if let Some(arm) = arm {
                        now.assign(arm, Mark::of(&id));
                    }
                }
                split = Some(now);
            }
            split.unwrap().ratio()
        }
    }

    const NOBODY: fn(usize, usize, u32) -> bool = |_, _, _| false;
    const GROWS: [(&[u16], std::ops::Range<u32>); 3] =
        [(&[5_000, 500], 0..3_000), (&[5_000, 2_000], 1_000..5_000), (&[5_000, 5_000], 0..8_000)];

    #[test]
    fn a_ramp_is_no_mismatch_and_what_is_lost_in_one_of_its_stretches_is() {
        let found = Ramp { salt: "q4", stretches: &GROWS, loses: NOBODY }.run();
        assert_eq!(found.stretches(), 3);
        let ratio = found.ratio().unwrap();
        assert!(ratio.p_value > 0.01, "{ratio:?}");
        // Every fourth customer of the new arm is lost while it is large.
        let loses = |nth, arm, customer: u32| (nth, arm) == (2, 1) && customer.is_multiple_of(4);
        let ratio = Ramp { salt: "q4", stretches: &GROWS, loses }.run().ratio().unwrap();
        assert!(ratio.is_mismatch(), "{ratio:?}");
    }

    #[test]
    fn under_ramps_chance_is_called_a_mismatch_as_seldom_as_said() {
        let ramps: [&[(&[u16], std::ops::Range<u32>)]; 3] = [
            &GROWS,
            // The same customers again and again: all but the first stretch have nobody new.
            &[(&[5_000, 5_000], 0..2_000), (&[6_000, 4_000], 0..2_000), (&[5_000, 5_000], 0..2_000)],
            // An arm more, and everybody moves.
            &[(&[9_000, 1_000], 0..2_000), (&[2_000, 3_000, 5_000], 500..4_000)],
        ];
        let (salts, most) = crate::testing::rounds(([60, 60, 60], [5, 12]), ([700, 700, 700], [18, 55]));
        for (ramp, salts) in ramps.iter().zip(salts) {
            let p_values = (0..salts).filter_map(|salt| {
                let salt = format!("s{salt}");
                Some(Ramp { salt: &salt, stretches: ramp, loses: NOBODY }.run().ratio()?.p_value)
            });
            let p_values: Vec<f64> = p_values.collect();
            assert_eq!(p_values.len(), salts);
            let below = |limit: f64| p_values.iter().filter(|p| **p < limit).count();
            assert!([below(0.01), below(0.05)] <= most, "{} and {} of {salts}", below(0.01), below(0.05));
        }
    }

    #[test]
    fn the_same_shares_go_on_and_another_salt_begins_anew() {
        let half = arms(&[5_000, 5_000]);
        let first = Arc::new(Split::begin("a", &half));
        for customer in 0..100 {
            first.see(Mark::of(&format!("c-{customer}")));
            first.assign(customer % 2, Mark::of(&format!("c-{customer}")));
        }
        first.expose(0, Mark::of("c-0"));
        assert!(Arc::ptr_eq(&first, &first.next("a", &half)));
        let counts = |split: &Split| -> Vec<(u64, u64)> {
            split.arms().iter().map(|arm| (arm.customers(), arm.exposed())).collect()
        };
        let grown = first.next("a", &arms(&[5_000, 4_000, 1_000]));
        assert_eq!(counts(&grown), [(50, 1), (50, 0), (0, 0)]);
        assert_eq!((grown.ratio().stretches(), first.ratio().stretches()), (1, 1));
        // Customers of before are not counted again in the test, but in their arm.
        for customer in 0..100 {
            grown.assign(2, Mark::of(&format!("c-{customer}")));
        }
        assert_eq!((counts(&grown)[2], grown.ratio().stretches()), ((100, 0), 1));
        let anew = grown.next("b", &half);
        assert_eq!((counts(&anew), anew.ratio()), (vec![(0, 0), (0, 0)], RatioSum::default()));
    }
}
