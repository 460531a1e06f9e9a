//! The places that a customer has in budgets of customers. They stand in the customer's row, so nobody
//! has to look for the customer among all others, and they go with the customer when they are erased.

/// The most places of one customer that are kept. At the bound a customer gets no further place.
pub const MAX_BUDGET_PLACES: usize = 1_024;

/// How many words a place has in a row: its day and its key.
pub(super) const WORDS: usize = 2;

/// A place in one budget. On how many outcomes it was used does not matter: it was counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetPlace {
    /// Which budget it is, as [`BudgetUse::key`](super::outcome::BudgetUse::key); never 0.
    pub key: u64,
    /// The day it is of, as [`BudgetUse::day`](super::outcome::BudgetUse::day).
    pub day: u32,
}

impl BudgetPlace {
    /// The places that these words of a row hold, in the order in which they were taken. A day beyond
    /// 32 bits, which is never written, makes a place that no budget has.
    pub fn all(words: &[u64]) -> impl Iterator<Item = BudgetPlace> + '_ {
        let pairs = words.as_chunks::<WORDS>().0.iter();
        pairs.map(|[day, key]| BudgetPlace { key: *key, day: u32::try_from(*day).unwrap_or(u32::MAX) })
    }

    /// Whether this place is among those that `words` hold.
    #[inline]
    pub fn is_in(self, words: &[u64]) -> bool {
        words.as_chunks::<WORDS>().0.contains(&self.words())
    }

    /// Whether there is room for one more place beside those that `words` hold.
    #[inline]
    pub fn may_join(words: &[u64]) -> bool {
        words.len() / WORDS < MAX_BUDGET_PLACES
    }

    /// The words that hold it in a row. The key comes last, so that a row never ends in zero.
    pub(super) fn words(self) -> [u64; WORDS] {
        [self.day.into(), self.key]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_by_key_and_day_and_half_a_place_is_none() {
        let (one, other) = (BudgetPlace { key: 7, day: 0 }, BudgetPlace { key: 0, day: 7 });
        let words = [one.words(), BudgetPlace { key: u64::MAX, day: u32::MAX }.words()].concat();
        assert!(one.is_in(&words) && !other.is_in(&words) && !BudgetPlace { day: 7, ..one }.is_in(&words));
        assert!(!one.is_in(&words[1..]) && !one.is_in(&[]) && !one.is_in(&words[..1]));
        assert_eq!(BudgetPlace::all(&words[..3]).collect::<Vec<_>>(), [one]);
        assert_eq!(BudgetPlace::all(&words).count(), 2);
    }
}
