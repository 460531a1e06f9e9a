//! Which arms this process has put into a token. An arm that never was in one can be named by nobody.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::customer::numbers::ArmNumber;

/// One bit for each number that an arm may have.
pub(crate) struct HandedOut(Box<[AtomicU64]>);

impl HandedOut {
    pub(crate) fn new() -> HandedOut {
        HandedOut((0..=u16::MAX / 64).map(|_| AtomicU64::new(0)).collect())
    }

    /// Notes that a token names this arm.
    #[inline]
    pub(crate) fn mark(&self, ArmNumber(arm): ArmNumber) {
        let (word, bit) = (&self.0[usize::from(arm / 64)], 1 << (arm % 64));
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Release);
        }
    }

    /// Whether a token named this arm since it was last forgotten.
    pub(crate) fn contains(&self, ArmNumber(arm): ArmNumber) -> bool {
        self.0[usize::from(arm / 64)].load(Ordering::Acquire) >> (arm % 64) & 1 != 0
    }

    /// Forgets an arm whose number is given to another.
    pub(crate) fn forget(&self, ArmNumber(arm): ArmNumber) {
        self.0[usize::from(arm / 64)].fetch_and(!(1 << (arm % 64)), Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_marked_is_there_until_it_is_forgotten() {
        let handed = HandedOut::new();
        for arm in [0, 63, 64, 4_711, u16::MAX].map(ArmNumber) {
            assert!(!handed.contains(arm));
            handed.mark(arm);
            handed.mark(arm);
            assert!(handed.contains(arm) && !handed.contains(ArmNumber(arm.0 ^ 1)));
            handed.forget(arm);
            assert!(!handed.contains(arm));
        }
    }
}
