//! What became of offers, counted: by offer, place, arm and day.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::customer::numbers::{ArmNumber, OfferNumber, PlaceNumber};
use crate::customer::outcome::OutcomeKind;
use crate::rules::catalogue::Gone;

/// The most tallies, over all days.
pub const MAX_TALLIES: usize = 262_144;
/// How many days before the newest are counted day by day. Older ones are counted together as day
/// [`EARLIER`].
pub const TALLY_DAYS: u16 = 90;
/// The day under which everything earlier is counted.
pub const EARLIER: u16 = 0;

/// What is counted together within a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TallyKey {
    /// Which offer it is of.
    pub offer: OfferNumber,
    /// On which placement and channel.
    pub place: PlaceNumber,
    /// The number of the arm plus one; 0 for the total over all arms and none.
    pub arm: u16,
}

impl TallyKey {
    /// The key of the total, or of one arm.
    pub fn new(offer: OfferNumber, place: PlaceNumber, arm: Option<ArmNumber>) -> TallyKey {
        TallyKey { offer, place, arm: arm.map_or(0, |arm| arm.0.saturating_add(1)) }
    }

    /// The arm this is of; `None` for the total.
    pub fn arm(self) -> Option<ArmNumber> {
        self.arm.checked_sub(1).map(ArmNumber)
    }
}

/// How often each outcome happened, and what it was worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// How often each happened, by [`OutcomeKind::index`].
    pub outcomes: [u64; OutcomeKind::COUNT],
    /// What these outcomes were worth, in thousandths.
    pub value: i64,
}

/// A tally with its day since 1970, or [`EARLIER`].
pub type TallyRow = (u16, TallyKey, Tally);

type Day = HashMap<TallyKey, Tally, FixedState>;

/// The tallies of all days. A clone is cheap: days are shared until they change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tallies {
    days: BTreeMap<u16, Arc<Day>>,
    len: usize,
    /// Outcomes that had no room for a tally.
    uncounted: u64,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        for (outcomes, more) in self.outcomes.iter_mut().zip(other.outcomes) {
            *outcomes = outcomes.saturating_add(more);
        }
        self.value = self.value.saturating_add(other.value);
    }
}

impl Tallies {
    /// Every tally with its day since 1970 in UTC, or [`EARLIER`], day by day.
    pub fn rows(&self) -> impl Iterator<Item = TallyRow> {
        self.days.iter().flat_map(|(day, rows)| rows.iter().map(|(key, tally)| (*day, *key, *tally)))
    }

    /// How many tallies there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no tally.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many outcomes were not counted, because there was no room for another tally.
    pub fn uncounted(&self) -> u64 {
        self.uncounted
    }

    /// Brings days after `today` and the next back to today: a clock that was ahead made them. Otherwise
    /// what happens now would soon count as long past.
    pub(super) fn rewind(&mut self, today: u16) {
        while let Some(day) = self.days.keys().next_back().copied()
            && day > today.saturating_add(1)
        {
            self.merge(day, today);
        }
    }

    /// Counts an outcome of this day in each of these tallies.
    pub(super) fn count(
        &mut self,
        day: u16,
        mut keys: impl Iterator<Item = TallyKey>,
        kind: OutcomeKind,
        value: i64,
    ) {
        let newest = self.days.keys().next_back().copied().unwrap_or_default();
        if day > newest {
            self.merge_before(day.saturating_sub(TALLY_DAYS));
        }
        let day = if day.saturating_add(TALLY_DAYS) < newest { EARLIER } else { day };
        let mut tally = Tally { value, ..Tally::default() };
        tally.outcomes[kind.index()] = 1;
        loop {
            // Nearly always all of them are there, so the day is looked up once.
            let missing = match self.days.get_mut(&day).map(Arc::make_mut) {
                Some(rows) => keys.find(|key| rows.get_mut(key).map(|row| row.add(&tally)).is_none()),
                None => keys.next(),
            };
            let Some(key) = missing else { return };
            if !self.add(day, key, &tally) {
                self.uncounted = self.uncounted.saturating_add(1);
            }
        }
    }

    /// Forgets the tallies of numbers that are free from now on. The totals over arms stay.
    pub(super) fn forget(&mut self, gone: &Gone) {
        let gone = |key: &TallyKey| gone.counted(key.offer, key.place, key.arm());
        for rows in self.days.values_mut().filter(|rows| rows.keys().any(gone)) {
            Arc::make_mut(rows).retain(|key, _| !gone(key));
        }
        self.days.retain(|_, rows| !rows.is_empty());
        self.len = self.days.values().map(|rows| rows.len()).sum();
    }

    /// Takes over the tallies that a snapshot kept.
    ///
    /// # Errors
    /// A sentence: there are too many, or one occurs twice.
    pub(super) fn restore(&mut self, rows: Vec<TallyRow>) -> Result<(), String> {
        for (day, key, tally) in rows {
            if self.len >= MAX_TALLIES {
                return Err(format!("more than {MAX_TALLIES} tallies"));
            }
            if Arc::make_mut(self.days.entry(day).or_default()).insert(key, tally).is_some() {
                let TallyKey { offer, place, arm } = key;
                let key = format!("offer {}, place {}, arm {arm}, day {day}", offer.0, place.0);
                return Err(format!("the tally of {key} occurs twice"));
            }
            self.len += 1;
        }
        Ok(())
    }

    pub(super) fn set_uncounted(&mut self, uncounted: u64) {
        self.uncounted = uncounted;
    }

    /// Makes a tally that is not there; false if there is no room for it.
    fn add(&mut self, day: u16, key: TallyKey, tally: &Tally) -> bool {
        while self.len >= MAX_TALLIES {
            let newest = self.days.keys().next_back().map_or(day, |newest| day.max(*newest));
            match self.days.keys().copied().find(|other| *other != EARLIER) {
                Some(oldest) if oldest < newest => self.merge(oldest, EARLIER),
                _ => return false,
            }
        }
        // Merging a day may have made this tally, if it is of earlier days.
        let rows = Arc::make_mut(self.days.entry(day).or_default());
        let before = rows.len();
        rows.entry(key).or_default().add(tally);
        self.len += rows.len() - before;
        true
    }

    fn merge_before(&mut self, first: u16) {
        while let Some(day) = self.days.keys().copied().find(|day| *day != EARLIER)
            && day < first
        {
            self.merge(day, EARLIER);
        }
    }

    /// Moves what was counted on a day to another.
    fn merge(&mut self, day: u16, to: u16) {
        let Some(rows) = self.days.remove(&day) else { return };
        let joined = Arc::make_mut(self.days.entry(to).or_default());
        let before = joined.len() + rows.len();
        for (key, tally) in &*rows {
            joined.entry(*key).or_default().add(tally);
        }
        self.len -= before - joined.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(offer: u32) -> TallyKey {
        TallyKey::new(OfferNumber(offer), PlaceNumber(1), None)
    }

    fn count(tallies: &mut Tallies, day: u16, offer: u32) {
        tallies.count(day, [key(offer)].into_iter(), OutcomeKind::Impression, 5);
    }

    fn impressions(tallies: &Tallies) -> Vec<(u16, u32, u64)> {
        let row = |(day, key, tally): TallyRow| (day, key.offer.0, tally.outcomes[0]);
        let mut rows: Vec<_> = tallies.rows().map(row).collect();
        rows.sort_unstable();
        rows
    }

    #[test]
    fn days_are_counted_apart_until_they_are_long_past() {
        let mut tallies = Tallies::default();
        for (day, offer) in [(100, 1), (100, 1), (101, 1), (190, 1), (99, 2)] {
            count(&mut tallies, day, offer);
        }
        assert_eq!(impressions(&tallies), [(0, 2, 1), (100, 1, 2), (101, 1, 1), (190, 1, 1)]);
        count(&mut tallies, 191, 1);
        assert_eq!(impressions(&tallies)[..2], [(0, 1, 2), (0, 2, 1)]);
        assert_eq!((tallies.len(), tallies.rows().map(|(_, _, tally)| tally.value).sum()), (5, 30));
        let mut restored = Tallies::default();
        restored.restore(tallies.rows().collect()).unwrap();
        assert_eq!(restored, tallies);
        assert!(restored.restore(tallies.rows().collect()).unwrap_err().contains("twice"));
    }

    #[test]
    fn days_of_a_clock_that_was_ahead_come_back_to_today() {
        let mut tallies = Tallies::default();
        for (day, offer) in [(100, 1), (500, 1), (501, 2), (101, 2)] {
            count(&mut tallies, day, offer);
        }
        assert_eq!(impressions(&tallies), [(0, 1, 1), (0, 2, 1), (500, 1, 1), (501, 2, 1)]);
        tallies.rewind(499);
        assert_eq!(impressions(&tallies), [(0, 1, 1), (0, 2, 1), (499, 2, 1), (500, 1, 1)]);
        tallies.rewind(102);
        count(&mut tallies, 102, 1);
        assert_eq!(impressions(&tallies), [(0, 1, 1), (0, 2, 1), (102, 1, 2), (102, 2, 1)]);
        assert_eq!(tallies.len(), 4);
    }

    #[test]
    fn a_tally_is_of_all_or_of_one_arm_and_never_overflows() {
        let of = |arm| TallyKey::new(OfferNumber(1), PlaceNumber(2), arm).arm();
        assert_eq!(
            (of(None), of(Some(ArmNumber(0))), of(Some(ArmNumber(9)))),
            (None, Some(ArmNumber(0)), Some(ArmNumber(9)))
        );
        let mut tally = Tally { outcomes: [u64::MAX, 1, 2, 3], value: i64::MAX };
        tally.add(&tally.clone());
        assert_eq!(tally, Tally { outcomes: [u64::MAX, 2, 4, 6], value: i64::MAX });
    }

    #[test]
    fn of_too_many_rows_the_oldest_days_are_put_together_and_then_no_more_are_counted() {
        let mut tallies = Tallies::default();
        let half = MAX_TALLIES as u32 / 2;
        (0..half).for_each(|offer| count(&mut tallies, 100, offer));
        (0..half).for_each(|offer| count(&mut tallies, 101, offer));
        count(&mut tallies, 102, 0);
        assert_eq!(tallies.len(), half as usize + 1, "two days have become one");
        assert_eq!(impressions(&tallies)[..2], [(0, 0, 2), (0, 1, 2)]);
        (half..3 * half).for_each(|offer| count(&mut tallies, 102, offer));
        let counted: u64 = impressions(&tallies).iter().map(|(_, _, count)| count).sum();
        assert_eq!((tallies.len(), counted + tallies.uncounted()), (MAX_TALLIES, 4 * u64::from(half) + 1));
        assert_eq!(tallies.uncounted(), u64::from(half) + 1);
        count(&mut tallies, 102, 0);
        assert_eq!(tallies.uncounted(), u64::from(half) + 1, "rows that there are go on");
    }
}
