//! Numbers that are given back, and how many are taken.

use std::collections::HashSet;

use crate::customer::numbers::ArmNumber;

/// The kinds of names whose numbers are given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Returned {
    /// Names of rule sets.
    RuleSet,
    /// Names of groups of offers.
    Group,
    /// Arms of experiments.
    Arm,
}

impl Returned {
    /// All kinds; a kind's place here is its tag in files.
    pub const ALL: [Returned; 3] = [Returned::RuleSet, Returned::Group, Returned::Arm];

    /// Tells it from the other kinds in files.
    pub fn tag(self) -> u8 {
        match self {
            Returned::RuleSet => 0,
            Returned::Group => 1,
            Returned::Arm => 2,
        }
    }
}

/// How many numbers of a kind are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// What has these numbers, as people call it.
    pub of: &'static str,
    /// How many are taken.
    pub taken: usize,
    /// How many there are.
    pub most: usize,
}

impl Taken {
    /// From this share on, in percent, numbers are scarce.
    pub const SCARCE_PERCENT: usize = 80;

    /// Whether so many are taken that people should hear of it.
    pub fn is_scarce(&self) -> bool {
        self.taken * 100 >= self.most * Taken::SCARCE_PERCENT
    }
}

/// What becomes of numbers whose names no active rule set has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Returns {
    /// Numbers that are free from now on. The history of a rule set goes with its number, and the figures of
    /// an arm with its.
    pub freed: Vec<(Returned, u16)>,
    /// Names that left the active rule sets, and when that was noticed, in seconds since 1970.
    pub left: Vec<(Returned, u16, u32)>,
    /// Names that had left and are active again.
    pub back: Vec<(Returned, u16)>,
}

impl Returns {
    /// The arms whose numbers are free from now on.
    pub fn arms(&self) -> HashSet<ArmNumber> {
        let arms = self.freed.iter().filter(|(kind, _)| *kind == Returned::Arm);
        arms.map(|(_, number)| ArmNumber(*number)).collect()
    }
}
