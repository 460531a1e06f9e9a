//! One budget, compiled; and the calendar days on which budgets and caps begin anew.

use jiff::tz::TimeZone;
use xxhash_rust::xxh3::Xxh3;

use crate::customer::outcome::{BudgetUse, OutcomeKind};
use crate::rules::rule_set::DAILY_PLACES;
use crate::schema::begins;
use crate::schema::value::Time;

/// A bound on outcomes of all customers together.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) rule_set: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) line: u32,
    pub(crate) max: u32,
    pub(crate) on: OutcomeKind,
    pub(crate) customers: bool,
    /// Seconds that a place is held for a decision; 0 if none is held.
    pub(crate) hold_s: u32,
    pub(super) key: u64,
    pub(super) daily: Option<TimeZone>,
}

/// For how many days after its own a day's budget takes outcomes that come late. The fold keeps that day
/// and one more, because a day begins later in one zone than in another.
const LATE_DAYS: u32 = DAILY_PLACES as u32 - 2;

impl Budget {
    /// The use of this budget by one outcome at a time.
    pub(crate) fn use_at(&self, at: Time) -> BudgetUse {
        let day = self.daily.as_ref().map_or(0, |zone| day_of(zone, at));
        BudgetUse { key: self.key, day, max: self.max, once: self.customers }
    }

    /// The use of this budget by an outcome that happened `at` and is heard of `now`. A day that is over for
    /// [longer](LATE_DAYS) has nothing left for anybody.
    pub(crate) fn late_use(&self, at: Time, now: Time) -> BudgetUse {
        let on_its_day = self.use_at(at);
        let today = self.use_at(now).day;
        if on_its_day.day.saturating_add(LATE_DAYS) < today {
            return BudgetUse { max: 0, once: false, ..on_its_day };
        }
        on_its_day
    }

    /// When the budget begins anew; `None` if it never does.
    pub(crate) fn ends(&self, now: Time) -> Option<Time> {
        self.daily.as_ref().and_then(|zone| days_after(zone, now, 1))
    }
}

/// The key under which the state counts a budget, the same in all versions of its rule set; never 0.
pub(super) fn key_of(rule_set: &str, budget: &str) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(rule_set.as_bytes());
    hash.update(&[0]); // no name has a zero byte
    hash.update(budget.as_bytes());
    hash.digest().max(1)
}

/// The day in a zone, counted in days from 1970-01-01.
fn day_of(zone: &TimeZone, at: Time) -> u32 {
    let Some(date) = date_of(zone, at) else { return 0 };
    let days = jiff::civil::date(1970, 1, 1).until(date).map_or(0, |span| span.get_days());
    u32::try_from(days).unwrap_or(0)
}

fn date_of(zone: &TimeZone, at: Time) -> Option<jiff::civil::Date> {
    let instant = jiff::Timestamp::from_microsecond(at.0).ok()?;
    Some(zone.to_datetime(instant).date())
}

/// The beginning, in a zone, of the day that comes `days` after the one of `at`; before it, if negative.
pub(crate) fn days_after(zone: &TimeZone, at: Time, days: i32) -> Option<Time> {
    let day = date_of(zone, at)?.checked_add(jiff::Span::new().try_days(days).ok()?).ok()?;
    Some(begins(zone, day))
}
