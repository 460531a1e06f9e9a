//! Days of the calendar in a time zone. A day begins at midnight; where clocks skip midnight, it begins at
//! the first moment after it. Where clocks are put back over midnight, the day before comes back for a
//! while: the moments of a day are then two stretches of time.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use smallvec::SmallVec;

use super::value::{SECOND, Time};

/// How far a local midnight may be from midnight in UTC, in hours. Offsets are below 26 hours, and a zone may
/// leave out a whole day.
const NEAR: i64 = 50;

/// The moments from which on the local date is `day` or later; and, in turn, earlier again. Without a change
/// of clocks at midnight it is one moment.
pub(crate) fn edges(zone: &TimeZone, day: Date) -> SmallVec<[Time; 3]> {
    let (mut found, mut reached) = (SmallVec::new(), false);
    let (midnight, near) = (day.at(0, 0, 0, 0), SignedDuration::from_hours(NEAR));
    let around = |at: Timestamp| Some((at.checked_sub(near).ok()?, at.checked_add(near).ok()?));
    let Some((start, end)) = TimeZone::UTC.to_timestamp(midnight).ok().and_then(around) else {
        return SmallVec::from_slice(&[at_the_ends(zone, day)]);
    };
    // The local date changes only at midnight and where clocks are changed.
    let local = zone.to_ambiguous_timestamp(midnight);
    let jumps = zone.following(start).map(|jump| jump.timestamp()).take_while(|jump| *jump < end);
    let mut moments: SmallVec<[Timestamp; 4]> = jumps.collect();
    moments.extend([local.earlier(), local.later()].into_iter().flatten());
    moments.sort_unstable();
    for moment in moments {
        if (zone.to_datetime(moment).date() >= day) != reached {
            reached = !reached;
            found.push(Time(moment.as_microsecond()));
        }
    }
    found
}

/// The first moment of a day. A day that the zone left out begins with the next.
pub(crate) fn begins(zone: &TimeZone, day: Date) -> Time {
    edges(zone, day).first().copied().unwrap_or_else(|| at_the_ends(zone, day))
}

/// The midnight of a day for which jiff's timestamps, which end two days before the year 9999 does, have no
/// room: zones change no clocks there.
fn at_the_ends(zone: &TimeZone, day: Date) -> Time {
    let known = if day.year() > 0 { Timestamp::MAX } else { Timestamp::MIN };
    let days = day.duration_since(jiff::civil::date(1970, 1, 1));
    Time((days.as_secs() - i64::from(zone.to_offset(known).seconds())).saturating_mul(SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_where_its_zone_lets_it() {
        for (zone, day, expected) in [
            ("UTC", "2026-11-01", &["2026-11-01T00:00:00Z"][..]),
            ("Asia/Shanghai", "2026-11-01", &["2026-10-31T16:00:00Z"]),
            // 00:00 to 01:00 is left out.
            ("America/Sao_Paulo", "2018-11-04", &["2018-11-04T03:00:00Z"]),
            // 23:30 to 00:30 is left out: the day begins at 00:30.
            ("America/Toronto", "1919-03-31", &["1919-03-31T04:30:00Z"]),
            // 30 December 2011 is left out.
            ("Pacific/Apia", "2011-12-30", &["2011-12-30T10:00:00Z"]),
            ("Pacific/Apia", "2011-12-31", &["2011-12-30T10:00:00Z"]),
            // At 00:01 clocks are put back to 23:01 of the day before.
            (
                "America/St_Johns",
                "2010-11-07",
                &["2010-11-07T02:30:00Z", "2010-11-07T02:31:00Z", "2010-11-07T03:30:00Z"],
            ),
        ] {
            let found = edges(&TimeZone::get(zone).unwrap(), day.parse().unwrap());
            let expected: Vec<Time> = expected.iter().map(|text| Time::parse(text).unwrap()).collect();
            assert_eq!(found[..], expected[..], "{zone} {day}");
        }
        assert_eq!(begins(&TimeZone::UTC, Date::MAX).to_string(), "9999-12-31T00:00:00Z");
    }
}
