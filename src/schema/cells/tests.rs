//! Computed features: windows, streaks and estimates, compared with a plain list of events.

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::schema::{FeatureId, Schema};

/// A schema with one feature `f`, which is computed from the event `e`, in this time zone.
fn schema(zone: &str, computed: &str) -> Schema {
    let text = format!(
        "schema: s\ntimezone: {zone}\nfeatures:\n  f: {{{computed}, event: e}}\nevents:\n  e:\n    properties:\n      \
         i: {{kind: int, min: -100, max: 100}}\n      big: {{kind: int}}\n      d: {{kind: decimal, scale: 2, min: -1000, max: 1000}}\n      \
         x: {{kind: float}}\n      xx: {{kind: float, precision: double}}\n      w: {{kind: enum, values: [a, b, c], ordered: true}}\n      \
         b: {{kind: bool}}\n      t: {{kind: time}}\n      s: {{kind: string}}\n      k: {{kind: set, values: [p, q]}}\n"
    );
    Schema::parse("schema.yaml", &text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn computed(schema: &Schema) -> &Computed {
    match &schema.features()[0].kind {
        Kind::Computed(computed) => computed,
        other => panic!("{other:?}"),
    }
}

/// The second since 1970 of a time, given as text or as a number.
fn second(text: &str) -> i64 {
    text.parse().unwrap_or_else(|_| Time::parse(text).unwrap().seconds())
}

/// Takes an event of this time, with the property that the feature asks for as the text of a CSV cell.
fn take(schema: &Schema, row: &mut [u64], at: i64, property: &str) {
    let computed = computed(schema);
    let kind = computed.property.as_ref().map(|(_, kind)| kind);
    let value = kind.map(|kind| kind.read_text(property, &TimeZone::UTC).unwrap());
    let at = at as u32;
    if let Some(code) = computed.code(at, value.as_ref(), schema.zone()) {
        schema.take(FeatureId(0), row, Moment::told(at), code);
    }
}

fn read(schema: &Schema, row: &[u64], now: i64) -> String {
    schema.read(FeatureId(0), row, Time::from_seconds(now)).to_string()
}

/// Events as `time property`, in order of arrival; then what is read at each of these times.
#[track_caller]
fn check(computed: &str, events: &[&str], expected: &[(&str, &str)]) {
    let schema = schema("UTC", computed);
    check_row(&schema, &mut vec![0; schema.row_words()], events, expected);
}

#[track_caller]
fn check_row(schema: &Schema, row: &mut [u64], events: &[&str], expected: &[(&str, &str)]) {
    for event in events {
        let (at, property) = event.split_once(' ').unwrap_or((event, ""));
        take(schema, row, second(at), property);
    }
    let found: Vec<_> = expected.iter().map(|(now, _)| (*now, read(schema, row, second(now)))).collect();
    let found: Vec<_> = found.iter().map(|(now, value)| (*now, value.as_str())).collect();
    assert_eq!(found, expected, "{} after {events:?}", schema.text.lines().nth(3).unwrap_or(""));
    assert_eq!(row[0], 0, "the header is not theirs");
}

// A window of 80 minutes in 8 buckets of 600 seconds.
const WINDOW: &str = "window: 80m";

#[test]
fn counts_keep_what_the_window_holds_and_a_bucket_at_most() {
    check("kind: count", &[], &[("0", "0"), ("100", "0")]);
    check("kind: count", &["5", "9", "2"], &[("9", "3"), ("4000000000", "3")]);
    let count = format!("kind: count, {WINDOW}");
    // An event at the very beginning of a bucket, and one at its end.
    check(&count, &["6000"], &[("6000", "1"), ("10800", "1"), ("11399", "1"), ("11400", "0")]);
    check(&count, &["6599"], &[("6599", "1"), ("11399", "1"), ("11400", "0"), ("11399", "1")]);
    // The ring goes round, and what lay there a round before is gone.
    check(&count, &["6000", "6600", "11400", "11401"], &[("11401", "3"), ("12000", "2"), ("17000", "0")]);
    // A late event goes to its bucket; one that is older than the ring is ignored.
    check(&count, &["11400", "6600", "6599"], &[("11400", "2"), ("11999", "2"), ("12000", "1")]);
    // A jump far ahead forgets everything.
    check(&count, &["6000", "6600", "4294967000"], &[("4294967000", "1"), ("4294967295", "1")]);
    check(&count, &["0", "0"], &[("0", "2"), ("4800", "2"), ("5400", "0")]);
    // Events that are dated ahead count at once.
    check(&count, &["9000"], &[("6000", "1"), ("14000", "1")]);
    check("kind: count, window: 1m, buckets: 64", &["60", "61"], &[("120", "2"), ("121", "1"), ("122", "0")]);
    check(
        "kind: count, window: 90m, buckets: 1",
        &["100", "5400"],
        &[("5500", "2"), ("10799", "2"), ("10800", "1")],
    );
}

#[test]
fn counts_stop_at_the_end_of_their_bits() {
    let schema = schema("UTC", &format!("kind: count, {WINDOW}"));
    let mut row = vec![0; schema.row_words()];
    (0..70_000).for_each(|_| take(&schema, &mut row, 6_000, ""));
    take(&schema, &mut row, 6_600, "");
    assert_eq!(read(&schema, &row, 6_600), "65536");
}

#[test]
fn sums_are_exact_where_the_property_is() {
    check("kind: sum, property: i", &["1 100", "2 -3"], &[("2", "97")]);
    check("kind: sum, property: d", &["1 0.10", "2 0.20"], &[("2", "0.3")]);
    check("kind: sum, property: xx", &["1 0.5", "2 -0.25"], &[("2", "0.25")]);
    check("kind: sum, property: x", &[], &[("2", "0")]);
    let most = i64::MAX.to_string();
    check("kind: sum, property: big", &[&format!("1 {most}"), "2 5"], &[("2", &most)]);
    check("kind: sum, property: xx", &["1 1e308", "2 1e308", "3 1e308"], &[("3", &f64::MAX.to_string())]);
    let sum = format!("kind: sum, property: i, {WINDOW}");
    check(&sum, &["6000 5", "6600 7", "6001 -1"], &[("6600", "11"), ("11400", "7"), ("12000", "0")]);
    let sum = format!("kind: sum, property: xx, {WINDOW}");
    check(&sum, &["6000 0.5", "6600 7"], &[("6600", "7.5"), ("11400", "7"), ("12000", "0")]);
}

#[test]
fn the_largest_and_smallest_are_missing_where_there_is_none() {
    for (kind, property, events, expected) in [
        ("max", "i", ["1 -7", "2 -9"], "-7"),
        ("min", "i", ["1 -7", "2 -9"], "-9"),
        ("max", "d", ["1 0.5", "2 -3"], "0.5"),
        ("max", "xx", ["1 -7.5", "2 -9.5"], "-7.5"),
        ("min", "xx", ["1 7.5", "2 9.5"], "7.5"),
        ("max", "x", ["1 -0.5", "2 0"], "0"),
    ] {
        check(&format!("kind: {kind}, property: {property}"), &events, &[("2", expected)]);
    }
    let max = format!("kind: max, property: i, {WINDOW}");
    check(&max, &[], &[("5", "missing")]);
    check(&max, &["6000 9", "6600 7", "6610 8"], &[("6600", "9"), ("11400", "8"), ("12000", "missing")]);
}

#[test]
fn distinct_values_are_counted() {
    check("kind: distinct, property: w", &["1 a", "2 c", "3 a"], &[("3", "2")]);
    check("kind: distinct, property: b", &["1 true", "2 false"], &[("3", "2")]);
    let distinct = format!("kind: distinct, property: w, {WINDOW}");
    check(&distinct, &["6000 a", "6600 a", "6600 b"], &[("6600", "2"), ("11400", "2"), ("12000", "0")]);
    check("kind: distinct, property: s", &["1 fx", "2 home", "3 fx"], &[("3", "2")]);
}

#[test]
fn many_distinct_values_are_estimated_within_the_stated_error() {
    for (count, most) in [(1_i32, 0.0), (20, 0.27), (64, 0.32), (128, 0.4)] {
        for from in [0, 1_000, 7_777] {
            let schema = schema("UTC", "kind: distinct, property: big");
            let mut row = vec![0; schema.row_words()];
            for value in (from..from + count).chain(from..from + count) {
                take(&schema, &mut row, 9, &value.to_string());
            }
            let found: f64 = read(&schema, &row, 9).parse().unwrap();
            let error = (found - f64::from(count)).abs() / f64::from(count);
            assert!(error <= most, "{found} of {count}"); // three standard errors
        }
    }
    for (ones, counted) in COUNTED.iter().enumerate().take(64) {
        assert_eq!(f64::from(*counted), (-64.0 * (1.0 - ones as f64 / 64.0).ln()).round());
    }
}

#[test]
fn distinct_days_are_those_of_the_time_zone() {
    let days = "kind: distinct, per: day, window: 3d";
    check(
        days,
        &["2026-03-01T00:00:00Z", "2026-03-01T23:59:59Z", "2026-03-03T12:00:00Z", "2026-03-02T12:00:00Z"],
        &[
            ("2026-03-03T12:00:00Z", "3"),
            ("2026-03-04T23:59:59Z", "3"),
            ("2026-03-05T00:00:00Z", "2"),
            ("2026-03-06T23:59:59Z", "1"),
            ("2026-03-07T00:00:00Z", "0"),
        ],
    );
    let schema = schema("Asia/Shanghai", days);
    let mut row = vec![0; schema.row_words()];
    let events = ["2026-03-01T15:59:59Z", "2026-03-01T16:00:00Z"];
    check_row(&schema, &mut row, &events, &[("2026-03-02T00:00:00Z", "2")]);
    assert_eq!(row.len(), 2, "a header and a word for so few days");
}

#[test]
fn days_are_kept_over_the_change_of_clocks() {
    // From half past midnight, with a short day between, 604,800 seconds reach back into nine days.
    let schema = schema("Europe/Berlin", "kind: distinct, per: day, window: 7d");
    let mut row = vec![0; schema.row_words()];
    let events: Vec<String> = (22..=30).map(|day| format!("2026-03-{day}T00:00:00+01:00")).collect();
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    check_row(&schema, &mut row, &events, &[("2026-03-29T22:30:00Z", "9")]);
}

#[test]
fn the_last_and_the_first_are_those_by_time_and_not_by_arrival() {
    let events = ["20 b", "10 a", "30 c", "25 a"];
    check("kind: last", &events, &[("99", "1970-01-01T00:00:30Z")]);
    check("kind: first", &events, &[("99", "1970-01-01T00:00:10Z")]);
    check("kind: last, property: w", &events, &[("99", "'c'")]);
    check("kind: first, property: w", &events, &[("99", "'a'")]);
    check("kind: last, property: w", &[], &[("99", "missing")]);
    check("kind: last, property: xx", &["20 2.5", "10 1.5"], &[("99", "2.5")]);
    check("kind: last, property: x", &["20 0.5"], &[("99", "0.5")]);
    check("kind: last, property: k", &["20 p|q"], &[("99", "['p', 'q']")]);
    check("kind: last, property: t", &["20 1970-01-02"], &[("99", "1970-01-02T00:00:00Z")]);
    // Of two events in one second, the one that came last, or first, counts.
    check("kind: last, property: w", &["20 b", "20 a"], &[("99", "'a'")]);
    check("kind: first, property: w", &["20 b", "20 a"], &[("99", "'b'")]);
    let last = format!("kind: last, property: w, {WINDOW}");
    check(&last, &["20 b"], &[("4820", "'b'"), ("4821", "missing")]);
    check("kind: last", &["4294967294"], &[("4294967294", "2106-02-07T06:28:14Z")]);
}

#[test]
fn recency_counts_whole_days() {
    let days = [("2026-03-01T12:00:00Z", "0"), ("2026-03-02T11:59:59Z", "0"), ("2026-03-02T12:00:00Z", "1")];
    check("kind: recency", &["2026-03-01T12:00:00Z", "2026-02-01T12:00:00Z"], &days);
    check("kind: recency", &["2026-03-01T12:00:00Z"], &[("2026-02-01", "0"), ("2027-03-01", "364")]);
    check("kind: recency", &[], &[("2026-02-01", "missing")]);
}

#[test]
fn a_streak_lives_on_till_tomorrow_and_late_events_close_its_gaps() {
    let day = |day: u32| format!("2026-03-{day:02}T10:00:00Z");
    let events = |days: &[u32]| days.iter().copied().map(day).collect::<Vec<_>>();
    let streak = |days: &[u32], expected: &[(&str, &str)]| {
        let events = events(days);
        check("kind: streak, per: day", &events.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    };
    streak(&[], &[("2026-03-05", "0")]);
    streak(
        &[5],
        &[("2026-03-04T23:59:59Z", "0"), ("2026-03-05", "1"), ("2026-03-06", "1"), ("2026-03-07", "0")],
    );
    streak(&[3, 4, 5, 5], &[("2026-03-05", "3"), ("2026-03-06T23:59:59Z", "3"), ("2026-03-07", "0")]);
    streak(&[3, 5], &[("2026-03-05", "1")]);
    streak(&[3, 5, 4], &[("2026-03-05", "3")]);
    streak(&[5, 3, 4], &[("2026-03-05", "3")]);
    streak(&[4, 5, 6], &[("2026-03-05", "2")]); // an event dated ahead does not count yet
}

#[test]
fn a_streak_is_longer_than_what_is_kept_of_it() {
    let schema = schema("UTC", "kind: streak, per: day");
    let mut row = vec![0; schema.row_words()];
    let day = |number: i64| number * 86_400;
    for number in (1_000..1_200).chain(1_201..1_300) {
        take(&schema, &mut row, day(number), "");
    }
    assert_eq!(read(&schema, &row, day(1_299)), "99");
    // The gap is 99 days back, further than is kept.
    take(&schema, &mut row, day(1_200), "");
    assert_eq!(read(&schema, &row, day(1_299)), "99");
    let mut row = vec![0; schema.row_words()];
    for number in (1_000..1_250).chain(1_251..1_300) {
        take(&schema, &mut row, day(number), "");
    }
    assert_eq!(read(&schema, &row, day(1_299)), "49");
    take(&schema, &mut row, day(1_250), "");
    assert_eq!(read(&schema, &row, day(1_299)), "300", "it joins what was counted before");
    take(&schema, &mut row, day(1_299 + 64), "");
    take(&schema, &mut row, day(1_299 + 200), "");
    assert_eq!(read(&schema, &row, day(1_299 + 200)), "1");
}

#[test]
fn weeks_begin_on_monday_in_the_time_zone() {
    let schema = schema("Asia/Shanghai", "kind: streak, per: week");
    let mut row = vec![0; schema.row_words()];
    // Sunday; half past midnight on the Monday after it, local time; Sunday of the next week.
    let events = ["2026-03-01T12:00:00+08:00", "2026-03-02T00:30:00+08:00", "2026-03-15T23:59:59+08:00"];
    let expected = [
        ("2026-03-15T15:59:59Z", "3"),
        ("2026-03-15T16:00:00Z", "3"),
        ("2026-03-22T15:59:59Z", "3"),
        ("2026-03-22T16:00:00Z", "0"),
    ];
    check_row(&schema, &mut row, &events, &expected);
}

#[test]
fn a_row_that_is_cut_short_reads_as_if_it_ended_in_zeroes() {
    for computed in [
        "kind: count",
        "kind: count, window: 7d",
        "kind: sum, property: i, window: 7d",
        "kind: max, property: i, window: 7d",
        "kind: distinct, property: s, window: 7d",
        "kind: last, property: xx",
        "kind: streak, per: day",
    ] {
        let schema = schema("UTC", computed);
        let mut row = vec![0; schema.row_words()];
        take(&schema, &mut row, 5_000_000, "1");
        let expected = read(&schema, &row, 5_000_000);
        let end = row.iter().rposition(|word| *word != 0).unwrap() + 1;
        assert_eq!(read(&schema, &row[..end], 5_000_000), expected, "{computed}");
        let before = (0..end).map(|end| read(&schema, &row[..end], 5_000_000));
        assert!(before.count() == end, "nothing panics");
        let when = Moment::told(5_000_000);
        schema.take(FeatureId(0), &mut row[..1], when, 1);
        schema.take(FeatureId(7), &mut row, when, 1);
    }
}

/// Events in order of arrival: seconds, and an int as property.
fn events() -> impl Strategy<Value = Vec<(i64, i64)>> {
    // A few buckets of several windows, jumps between them, and many late events.
    let at = (0..6_i64, 0..20_000_i64).prop_map(|(far, near)| 1_000_000 + far * far * 9_000 + near);
    prop::collection::vec((at, -5..=5_i64), 0..60)
}

/// The events that the window must hold, and those that it may hold.
fn within(events: &[(i64, i64)], now: i64, window: i64, width: i64) -> (Vec<i64>, Vec<i64>) {
    let held = |most: i64| events.iter().filter(move |(at, _)| now - at < most).map(|(_, value)| *value);
    (held(window + 1).collect(), held(window + width).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::testing::rounds(64, 256)))]
    /// A window that is read at or after the newest event holds every event that is no older than the window.
    /// It holds none that is older by a bucket. Events may come in any order, as long as none is older than
    /// the window when it comes.
    #[test]
    fn windows_hold_what_a_list_of_events_says(
        mut all in events(),
        minutes in 1..200_i64,
        buckets in 1..=64_i64,
        later in 0..30_000_i64,
    ) {
        let window = minutes * 60;
        let width = (window + buckets - 1) / buckets;
        let mut newest = 0;
        all.retain(|(at, _)| {
            newest = newest.max(*at);
            newest - at <= window
        });
        let now = newest + later;
        let (least, most) = within(&all, now, window, width);
        let run = |computed: &str| {
            let schema = schema("UTC", &format!("{computed}, window: {minutes}m, buckets: {buckets}"));
            let mut row = vec![0; schema.row_words()];
            all.iter().for_each(|(at, value)| take(&schema, &mut row, *at, &value.to_string()));
            schema.read(FeatureId(0), &row, Time::from_seconds(now)).number()
        };
        let count = run("kind: count").unwrap();
        prop_assert!(least.len() as f64 <= count && count <= most.len() as f64, "{count} of {least:?} to {most:?}");
        let max = run("kind: max, property: i");
        prop_assert!(max >= least.iter().max().map(|max| *max as f64));
        prop_assert!(max <= most.iter().max().map(|max| *max as f64));
        let min = run("kind: min, property: i").map(|min| -min);
        prop_assert!(min >= least.iter().min().map(|min| -*min as f64));
        prop_assert!(min <= most.iter().min().map(|min| -*min as f64));
        // Exactly the events of whole buckets.
        let bucket = |at: i64| at.div_euclid(width);
        let exact = all.iter().filter(|(at, _)| bucket(*at) >= bucket(now - window));
        let (exact_count, sum) = exact.fold((0, 0), |(count, sum), (_, value)| (count + 1, sum + value));
        prop_assert_eq!(count, f64::from(exact_count));
        prop_assert_eq!(run("kind: sum, property: i"), Some(sum as f64));
    }

    /// Without a window nothing depends on the order, and nothing is forgotten.
    #[test]
    fn for_ever_is_what_a_list_of_events_says(all in events()) {
        let now = 2_000_000;
        let run = |computed: &str| {
            let schema = schema("UTC", computed);
            let mut row = vec![0; schema.row_words()];
            all.iter().for_each(|(at, value)| take(&schema, &mut row, *at, &value.to_string()));
            read(&schema, &row, now)
        };
        let text = |value: Option<i64>| value.map_or("missing".to_owned(), |value| value.to_string());
        let values = || all.iter().map(|(_, value)| *value);
        prop_assert_eq!(run("kind: count"), all.len().to_string());
        prop_assert_eq!(run("kind: sum, property: i"), values().sum::<i64>().to_string());
        prop_assert_eq!(run("kind: max, property: i"), text(values().max()));
        prop_assert_eq!(run("kind: min, property: i"), text(values().min()));
        let last = all.iter().max_by_key(|(at, _)| *at);
        prop_assert_eq!(run("kind: last, property: i"), text(last.map(|(_, value)| *value)));
        let first = all.iter().min_by_key(|(at, _)| *at);
        prop_assert_eq!(run("kind: first, property: i"), text(first.map(|(_, value)| *value)));
        prop_assert_eq!(run("kind: recency"), text(last.map(|(at, _)| (now - at) / 86_400)));
    }

    /// A streak is what a list of days says, as long as no event comes more than 63 days late.
    #[test]
    fn streaks_are_what_a_list_of_days_says(
        days in prop::collection::vec((0..4_i64, 0..63_i64), 0..400),
        later in 0..3_i64,
    ) {
        let schema = schema("UTC", "kind: streak, per: day");
        let mut row = vec![0; schema.row_words()];
        let (mut newest, mut known) = (1_000, std::collections::BTreeSet::new());
        for (step, late) in days {
            newest += i64::from(step == 3) + i64::from(step >= 2);
            let day = if step == 0 { newest - late } else { newest };
            // The first event is the oldest one.
            let day = if known.is_empty() { newest } else { day };
            known.insert(day);
            newest = newest.max(day);
            take(&schema, &mut row, day * 86_400 + 5, "");
        }
        let today = known.last().copied().unwrap_or(0) + later;
        let last = if known.contains(&today) { today } else { today - 1 };
        let run = (0..).take_while(|back| known.contains(&(last - back))).count();
        prop_assert_eq!(read(&schema, &row, today * 86_400), run.to_string());
    }
}

#[test]
fn after_a_clock_was_ahead_what_happens_counts_at_once() {
    const T: u32 = 1_800_000_000;
    const DAY: u32 = 86_400;
    for (feature, at_once) in [
        ("kind: count, window: 7d", "3"),
        ("kind: count, window: 60d", "4"),
        ("kind: count", "4"),
        ("kind: sum, property: i, window: 7d", "3"),
        ("kind: max, property: i, window: 7d", "1"),
        ("kind: distinct, property: i, window: 7d", "1"),
        ("kind: distinct, per: day, window: 7d", "1"),
        ("kind: streak, per: day", "1"),
        ("kind: streak, per: week", "1"),
        ("kind: recency", "0"),
    ] {
        let schema = schema("Asia/Shanghai", feature);
        let mut row = vec![0; schema.row_words()];
        let kind = computed(&schema).property.as_ref().map(|(_, kind)| kind.clone());
        let value = kind.map(|kind| kind.read_text("1", &TimeZone::UTC).unwrap().into_owned());
        let take = |row: &mut [u64], at: u32| {
            let code = computed(&schema).code(at, value.as_ref(), schema.zone()).unwrap();
            schema.take(FeatureId(0), row, Moment { at, received: at }, code);
        };
        take(&mut row, T);
        take(&mut row, T + 8 * DAY);
        take(&mut row, T + 60);
        take(&mut row, T + 61);
        assert_eq!(read(&schema, &row, i64::from(T + 62)), at_once, "{feature}");
        let row_then = row.clone();
        take(&mut row, T + 62 - 30); // an order that requests of one moment come in
        assert_eq!(row[0] as u32, row_then[0] as u32, "{feature}: the newest stays");
    }
}
