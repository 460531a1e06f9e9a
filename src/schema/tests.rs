//! Schemas: how rows are packed, how values are read, how a schema grows, and what is refused.

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::value::{Time, Value};
use super::vector::FeatureVector;
use super::*;
use crate::input::document::{Input, InputValue};
use crate::intake::computed::read_schema;

fn parse(text: &str) -> Schema {
    Schema::parse("schema.yaml", text).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn a_row_of_64_mixed_features_takes_at_most_96_bytes_and_its_header() {
    let mut text = String::from("schema: wide\nfeatures:\n");
    let kinds = [
        (20, "{kind: bool}"),
        (16, "{kind: enum, values: [a, b, c, d, e, f, g, h]}"),
        (16, "{kind: int, min: 0, max: 255}"),
        (8, "{kind: float}"),
        (4, "{kind: time}"),
    ];
    for (i, (count, kind)) in kinds.iter().enumerate() {
        for j in 0..*count {
            text.push_str(&format!("  f{i}_{j}: {kind}\n"));
        }
    }
    let schema = parse(&text);
    assert_eq!(schema.features().len(), 64);
    let bytes = (schema.row_words() - HEADER_WORDS) * 8;
    assert!(bytes <= 96, "{bytes} bytes");
}

#[test]
fn all_problems_of_a_schema_come_at_once_with_line_and_column() {
    let text = "\
schema: s
features:
  age: {kind: itn}
  Name: {kind: bool}
  when_seen: {kind: time, min: 3}
  tier: {kind: enum}
  tags: {kind: set, values: [a, a]}
  note: {kind: string}
  now: {kind: bool}
  range: {kind: int, min: 3, max: 1}
  n: {kind: count, event: lgoin}
  m: {kind: sum, event: login, property: page}
  d: {kind: decimal, scale: 12}
events:
  login: {properties: {page: {kind: string}}}
contxt: {}
";
    let problems = Schema::parse("schema.yaml", text).unwrap_err();
    let lines: Vec<u32> = problems.iter().map(|p| p.place.unwrap().line).collect();
    assert_eq!(lines, [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16], "{problems}");
    for expected in [
        "schema.yaml:3:15: unknown kind \"itn\"",
        "= did you mean `int`?",
        "unknown field \"min\"",
        "`values` is missing",
        "\"a\" is listed twice",
        "`now` is a word of the condition language",
        "unknown event \"lgoin\"",
        "= did you mean `context`?",
    ] {
        assert!(problems.to_string().contains(expected), "{expected}\n{problems}");
    }
}

#[test]
fn values_out_of_kind_are_refused_with_what_was_expected() {
    let schema = parse(
        "schema: s\nfeatures: {i: {kind: int, min: -3, max: 9}, f: {kind: float}, d: {kind: decimal, scale: 2, min: 0, max: 100}, \
         e: {kind: enum, values: [red, green]}, s: {kind: set, values: [x, y]}, t: {kind: time}, b: {kind: bool}}",
    );
    let kind = |name: &str| &schema.feature(schema.feature_id(name).unwrap()).kind;
    for (name, json, expected) in [
        ("i", "10", "expected a whole number from -3 to 9, found 10"),
        ("i", "1.5", "expected a whole number from -3 to 9, found 1.5"),
        ("i", "\"1.5\"", "expected a whole number from -3 to 9, found \"1.5\""),
        ("i", "\"\"", "expected a whole number from -3 to 9, found the text \"\""),
        (
            "i",
            "\"1,5\"",
            "expected a whole number from -3 to 9, found \"1,5\"; a mapping can say whether the comma is `decimal` or parts `thousands`",
        ),
        ("i", "99999999999999999999", "expected a whole number from -3 to 9, found 1e20"),
        ("f", "1e39", "expected a finite number of its precision, found 1e39"),
        ("f", "true", "expected a number, found true"),
        ("d", "1.005", "expected a number with at most 2 decimals from 0 to 100, found 1.005"),
        ("d", "12.345", "expected a number with at most 2 decimals from 0 to 100, found 12.345"),
        ("d", "99.999999999", "expected a number with at most 2 decimals from 0 to 100, found 99.999999999"),
        ("i", "5.5", "expected a whole number from -3 to 9, found 5.5"),
        ("i", "true", "expected a whole number from -3 to 9, found true"),
        ("d", "100.01", "expected a number with at most 2 decimals from 0 to 100, found 100.01"),
        ("d", "-1", "expected a number with at most 2 decimals from 0 to 100, found -1"),
        ("e", "\"gren\"", "\"gren\" is not one of its 2 values; did you mean `green`?"),
        ("e", "\"blue\"", "\"blue\" is not one of its 2 values: red, green"),
        ("s", "[\"x\", 1]", "expected texts in the list, found 1"),
        ("s", "\"x|z\"", "\"z\" is not one of its 2 values: x, y"),
        ("s", "\"\"", "expected a list of texts, found the text \"\""),
        (
            "s",
            "\"x,y\"",
            "\"x,y\" is not one of its 2 values: x, y; expected words with `|` between them, or `|` alone for none",
        ),
        ("t", "\"1969-12-31\"", "expected a time from 1970 to 2106, found \"1969-12-31\""),
        (
            "t",
            "\"2026-11-21T24:00:00Z\"",
            "expected a time from 1970 to 2106, found \"2026-11-21T24:00:00Z\": there is no such time of day: hours go to 23, minutes and seconds to 59",
        ),
        (
            "t",
            "5",
            "expected a time from 1970 to 2106, found \"5\": a number may be a day, or count seconds or milliseconds; a mapping can say its `format`",
        ),
        ("t", "true", "expected a time such as 2026-11-21T10:00:00Z or a day such as 2026-11-21, found true"),
        ("b", "2", "expected true or false, found 2"),
        ("b", "\"maybe\"", "expected true or false, found \"maybe\""),
        (
            "b",
            "\"NaN\"",
            "expected true or false, found \"NaN\"; if it means that nothing is known, a mapping can list it under `missing`",
        ),
    ] {
        let input = Input::from_json(json.as_bytes()).unwrap();
        assert_eq!(kind(name).read(&input.value, &TimeZone::UTC).unwrap_err(), expected, "{name} {json}");
    }
    assert!(kind("f").read(&InputValue::Float(f64::NAN), &TimeZone::UTC).is_err());
    assert!(kind("d").read(&InputValue::Float(f64::INFINITY), &TimeZone::UTC).is_err());
}

#[test]
fn csv_cells_are_read_exactly() {
    let schema = parse(
        "schema: s\nfeatures: {d: {kind: decimal, scale: 2, min: -1000, max: 1000}, s: {kind: set, values: [x, y]}}",
    );
    let kind = |name: &str| &schema.feature(schema.feature_id(name).unwrap()).kind;
    for (text, expected) in [
        ("12.5", Some("12.5")),
        ("-0.01", Some("-0.01")),
        ("+7", Some("7")),
        ("1.10000", Some("1.1")),
        ("1.001", None),
        ("1000.01", None),
        (".5", Some("0.5")),
        ("1e2", Some("100")),
        (" 12 ", Some("12")),
        ("1,5", None),
        ("", None),
        ("NaN", None),
    ] {
        assert_eq!(
            kind("d").read_text(text, &TimeZone::UTC).ok().map(|v| v.to_string()).as_deref(),
            expected,
            "{text}"
        );
    }
    assert_eq!(kind("s").read_text("y|x", &TimeZone::UTC).unwrap().to_string(), "['y', 'x']");
    assert!(kind("s").read_text("z", &TimeZone::UTC).is_err());
}

#[test]
fn a_schema_grows_at_the_end_and_old_rows_stay_readable() {
    let old = parse("schema: s\nfeatures: {a: {kind: int, min: 0, max: 9}, e: {kind: enum, values: [x, y]}}");
    let newer = parse(
        "schema: s\nfeatures: {n: {kind: float, precision: double}, e: {kind: enum, values: [x, y, z]}, \
         a: {kind: int, min: 0, max: 14}, m: {kind: bool}}",
    );
    let grown = old.grow(&newer).unwrap();
    let names: Vec<&str> = grown.features().iter().map(|f| &*f.name).collect();
    assert_eq!(names, ["a", "e", "n", "m"]);
    let mut row = vec![0; old.row_words()];
    let set = |schema: &Schema, row: &mut [u64], name: &str, text: &str| {
        let feature = schema.feature(schema.feature_id(name).unwrap());
        let value = feature.kind.read_text(text, &TimeZone::UTC).unwrap();
        feature.field.unwrap().write(row, feature.kind.encode(&value));
    };
    set(&old, &mut row, "a", "7");
    set(&old, &mut row, "e", "y");
    let read = |name: &str| {
        FeatureVector::new(&row).get(&grown, grown.feature_id(name).unwrap(), Time(0)).to_string()
    };
    assert_eq!([read("a"), read("e"), read("n"), read("m")], ["7", "'y'", "missing", "missing"]);
}

#[test]
fn what_is_not_growth_is_refused_and_says_what() {
    let old = parse(
        "schema: s\nfeatures: {a: {kind: int, min: 0, max: 9}, e: {kind: enum, values: [x, y]}, b: {kind: bool}}\n\
         context: {page: {kind: string}}\nevents: {login: {}}\noffer_attributes: {risk: {kind: int}}",
    );
    let newer = parse(
        "schema: s\nfeatures: {a: {kind: int, min: 0, max: 900}, e: {kind: enum, values: [y, x]}}\n\
         context: {page: {kind: int}}",
    );
    let problems = old.grow(&newer).unwrap_err();
    let found: Vec<&str> = problems.iter().map(|p| p.detail.as_str()).collect();
    assert_eq!(
        found,
        [
            "feature `a`: its stored bits have no room for that; declare a new feature",
            "feature `e`: values may only be added at the end",
            "feature `b` would be removed",
            "context field `page`: cannot change from string to int",
            "offer attribute `risk` would be removed",
            "event `login` would be removed",
        ]
    );
}

#[test]
fn what_is_not_growth_is_pointed_at_in_the_new_text() {
    let old = "schema: s\nfeatures:\n  e: {kind: enum, values: [x, y]}\n  o: {kind: enum, values: [x, y], ordered: true}\n";
    for (new, expected) in [
        (
            "schema: s\nfeatures:\n  e: {kind: enum, values: [x, y], ordered: true}\n  o: {kind: enum, values: [x, y], ordered: true}\n",
            "schema:3:3: feature `e`: `ordered` cannot change: its values would gain an order",
        ),
        (
            "schema: s\nfeatures:\n  e: {kind: enum, values: [x, y]}\n  o: {kind: enum, values: [x, y]}\n",
            "schema:4:3: feature `o`: `ordered` cannot change: its values would lose their order",
        ),
        (
            "schema: s\nfeatures:\n  e: {kind: enum, values: [y]}\n  o: {kind: enum, values: [x, y], ordered: true}\n",
            "schema:3:3: feature `e`: values may only be added at the end",
        ),
        (
            "schema: s\nfeatures:\n  e: {kind: enum, values: [x, y]}\n",
            "schema:2:1: feature `o` would be removed",
        ),
        ("schema: s\n", "schema:1:1: feature `e` would be removed"),
    ] {
        let problems = parse(old).grow(&parse(new)).unwrap_err().to_string();
        assert!(problems.starts_with(expected), "{problems}");
    }
}

#[test]
fn of_many_changes_that_are_no_growth_a_hundred_are_named() {
    let text = |name: &str| {
        let features: String = (0..250).map(|i| format!("  {name}{i}: {{kind: bool}}\n")).collect();
        parse(&format!("schema: s\nfeatures:\n{features}"))
    };
    let problems = text("f").grow(&text("g")).unwrap_err();
    assert_eq!((problems.iter().count(), problems.count()), (100, 250));
    assert!(problems.iter().all(|problem| problem.place.is_some_and(|place| place.line == 2)));
}

#[test]
fn schemes_of_links_are_names_that_run_nothing() {
    for (schemes, wrong) in [
        ("[bank, bank-beta, com.bank]", None),
        ("[bank, bank]", None),
        ("[Bank]", Some("is not the scheme of a link")),
        ("['bank://']", Some("is not the scheme of a link")),
        ("[javascript]", Some("run or open what stands in the link itself")),
        ("[1]", Some("expected a text")),
        ("bank", Some("expected a list")),
    ] {
        let found = Schema::parse("schema.yaml", &format!("schema: s\nlink_schemes: {schemes}\n"));
        match wrong {
            None => {
                assert!(found.is_ok_and(|schema| schema.link_schemes()[0].starts_with("bank")), "{schemes}");
            }
            Some(why) => assert!(found.unwrap_err().to_string().contains(why), "{schemes}"),
        }
    }
}

/// A kind with a value of it, as text of a CSV cell.
fn kind_and_value() -> impl Strategy<Value = (String, Option<String>)> {
    let int = (-1_000_000_i64..1_000_000, 0_i64..5_000_000, 0.0..1.0_f64).prop_map(|(min, width, at)| {
        let value = min + (width as f64 * at) as i64;
        (format!("{{kind: int, min: {min}, max: {}}}", min + width), value.to_string())
    });
    let decimal = (0_u32..5, -100_000_i64..100_000).prop_map(|(scale, scaled)| {
        let value = kind::unscaled(scaled, scale as u8);
        (format!("{{kind: decimal, scale: {scale}, min: -100000, max: 100000}}"), value.to_string())
    });
    let words = (1_usize..400).prop_flat_map(|n| (Just(n), 0..n));
    let word = words.prop_map(|(n, at)| {
        let words: Vec<String> = (0..n).map(|i| format!("w{i}")).collect();
        (format!("{{kind: enum, values: [{}]}}", words.join(", ")), format!("w{at}"))
    });
    let sets =
        (1_usize..=63).prop_flat_map(|n| (Just(n), proptest::collection::btree_set(0..n, 0..=n.min(6))));
    let set = sets.prop_map(|(n, at)| {
        let words: Vec<String> = (0..n).map(|i| format!("w{i}")).collect();
        let value: Vec<String> = at.iter().map(|i| format!("w{i}")).collect();
        (format!("{{kind: set, values: [{}]}}", words.join(", ")), value.join("|"))
    });
    prop_oneof![
        any::<bool>().prop_map(|b| ("{kind: bool}".to_owned(), b.to_string())),
        int,
        any::<i64>()
            .prop_filter("the smallest is left out", |i| *i != i64::MIN)
            .prop_map(|i| ("{kind: int}".to_owned(), i.to_string())),
        any::<f32>()
            .prop_filter("finite", |x| x.is_finite())
            .prop_map(|x| ("{kind: float}".to_owned(), f64::from(x).to_string())),
        any::<f64>()
            .prop_filter("finite", |x| x.is_finite())
            .prop_map(|x| ("{kind: float, precision: double}".to_owned(), x.to_string())),
        decimal,
        word,
        set,
        (0_i64..4_294_967_295).prop_map(|s| ("{kind: time}".to_owned(), Time::from_seconds(s).to_string())),
    ]
    .prop_flat_map(|(kind, value)| (Just(kind), proptest::option::of(Just(value))))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::testing::rounds(64, 256)))]
    /// A row reads back what a plain list of values holds, whatever is written, in any order.
    #[test]
    fn a_row_holds_what_was_written(features in proptest::collection::vec(kind_and_value(), 1..40), order in any::<u64>()) {
        let mut text = String::from("schema: s\nfeatures:\n");
        for (i, (kind, _)) in features.iter().enumerate() {
            text.push_str(&format!("  f{i}: {kind}\n"));
        }
        let schema = parse(&text);
        let mut row = vec![0_u64; schema.row_words()];
        let mut places: Vec<usize> = (0..features.len()).collect();
        places.rotate_left(order as usize % features.len());
        for noise in [true, false] {
            for i in &places {
                let feature = &schema.features()[*i];
                let value = match (&features[*i].1, noise) {
                    (Some(text), _) => feature.kind.read_text(text, &TimeZone::UTC).unwrap(),
                    (None, true) => feature.kind.decode(1).into_owned(), // overwritten with missing in the second round
                    (None, false) => Value::Missing,
                };
                feature.field.unwrap().write(&mut row, feature.kind.encode(&value));
            }
        }
        for (i, (_, value)) in features.iter().enumerate() {
            let feature = &schema.features()[i];
            let found = FeatureVector::new(&row).get(&schema, FeatureId(i as u16), Time(0));
            let expected = match (value, &feature.kind) {
                // Single precision reads as the shortest decimal number with the same bits. Of two that are
                // equally near, either is right.
                (Some(text), Kind::Float { double: false }) => {
                    let single: f32 = text.parse().unwrap();
                    let Value::Double(read) = found else { panic!("{found:?}") };
                    let length = (format!("{read:e}").len(), format!("{single:e}").len());
                    prop_assert_eq!((read as f32, length.0), (single, length.1), "{}", text);
                    continue;
                }
                (Some(text), kind) => kind.read_text(text, &TimeZone::UTC).unwrap(),
                (None, _) => Value::Missing,
            };
            prop_assert_eq!(found.into_owned(), expected, "{} {:?}", feature.name, feature.kind);
        }
    }
}

/// Schemas, each of which grows the one before: more features, in another order, with more values.
fn growth() -> impl Strategy<Value = Vec<String>> {
    let feature = (0..12_usize, 0..7_usize);
    let step = (prop::collection::vec(feature, 1..12), any::<prop::sample::Index>());
    prop::collection::vec(step, 1..6).prop_map(|steps| {
        let mut declared: Vec<(usize, usize)> = Vec::new(); // number and kind
        steps
            .iter()
            .enumerate()
            .map(|(step, (added, turn))| {
                for (number, kind) in added {
                    if !declared.iter().any(|(known, _)| known == number) {
                        declared.push((*number, *kind));
                    }
                }
                let turn = turn.index(declared.len());
                declared.rotate_left(turn);
                let mut text = format!("schema: s{step}\nevents: {{login: {{}}}}\nfeatures:\n");
                for (number, kind) in &declared {
                    let words = (0..=step).map(|word| format!("w{word}")).collect::<Vec<_>>().join(", ");
                    let kind = match kind {
                        0 => "{kind: bool}".to_owned(),
                        1 => format!("{{kind: int, min: 0, max: {}, description: at {step}}}", 900 + step),
                        2 => format!("{{kind: enum, values: [{words}]}}"),
                        3 => format!("{{kind: set, values: [{words}]}}"),
                        4 => "{kind: float, precision: double}".to_owned(),
                        5 => "{kind: count, event: login, window: 7d}".to_owned(),
                        _ => "{kind: streak, event: login, per: day}".to_owned(),
                    };
                    text.push_str(&format!("  f{number}: {kind}\n"));
                }
                text
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::testing::rounds(64, 256)))]
    #[test]
    fn a_schema_restored_is_the_one_that_had_grown(texts in growth()) {
        let mut grown = Schema::empty();
        for text in &texts {
            grown = grown.grow(&parse(text)).unwrap();
            let order: Vec<_> = grown.features().iter().map(|feature| (&*feature.name, feature.place())).collect();
            prop_assert_eq!(&Schema::restore(&grown.text, &order).unwrap(), &grown);
        }
    }
}

#[test]
fn an_empty_schema_is_restored() {
    let empty = Schema::empty();
    assert_eq!(Schema::restore(&empty.text, &[]).unwrap(), empty);
    assert_eq!(parse(&empty.text), empty);
}

#[test]
fn places_that_cannot_be_are_refused() {
    let text = "schema: s\nfeatures: {a: {kind: bool}, b: {kind: int, min: 0, max: 200}, \
                c: {kind: count, event: e, window: 7d}}\nevents: {e: {}}";
    let at = |word, shift, bits| Field::at((word, shift, bits)).map(RowPlace::Field);
    let cells = |word, words| Cells::at((word, words)).map(RowPlace::Cells);
    let (a, b, c) = (at(1, 0, 2), at(1, 2, 8), cells(2, 3));
    let check = |order: &[(&str, Option<RowPlace>)], why: Option<&str>| {
        let found = Schema::restore(text, order).map(|schema| schema.row_words());
        match (found, why) {
            (Ok(words), None) => assert_eq!(words, 5),
            (Err(problems), Some(why)) => assert!(problems.to_string().contains(why), "{why}: {problems}"),
            (found, why) => panic!("{found:?}, {why:?}"),
        }
    };
    check(&[("b", b), ("c", c), ("a", a)], None);
    check(&[("b", b), ("a", a)], Some("feature `c` has no number"));
    check(&[("b", b), ("c", c), ("a", a), ("d", None)], Some("feature \"d\" is not declared exactly once"));
    check(&[("b", b), ("c", c), ("a", a), ("a", a)], Some("feature \"a\" is not declared exactly once"));
    check(&[("b", b), ("c", c), ("a", at(1, 9, 2))], Some("`a`: its bits belong to another"));
    check(&[("b", b), ("c", c), ("a", at(4, 0, 2))], Some("`a`: its bits belong to another"));
    check(&[("b", b), ("c", c), ("a", at(0, 0, 2))], Some("or to the row's header"));
    check(&[("b", b), ("c", cells(1, 3)), ("a", a)], Some("`c`: its bits belong to another"));
    check(
        &[("b", b), ("c", cells(2, 2)), ("a", a)],
        Some("`c`: it does not have the number of words that it needs"),
    );
    check(&[("b", at(1, 2, 7)), ("c", c), ("a", a)], Some("`b`: it has too few bits"));
    check(&[("b", None), ("c", c), ("a", a)], Some("`b`: it has no place"));
    check(&[("b", b), ("c", None), ("a", a)], Some("`c`: it has no place"));
    check(
        &[("b", b), ("c", at(2, 0, 8)), ("a", a)],
        Some("`c`: it is computed from events and needs whole words"),
    );
    check(&[("b", cells(5, 1)), ("c", c), ("a", a)], Some("`b`: its place does not fit its kind"));
    for place in [(MAX_ROW_WORDS as u16, 0, 1), (0, 64, 1), (0, 60, 5), (0, 0, 65), (0, 3, 0)] {
        assert_eq!(Field::at(place), None, "{place:?}");
    }
    for place in [(MAX_ROW_WORDS as u16, 1), (1, 0), (u16::MAX, u16::MAX)] {
        assert_eq!(Cells::at(place), None, "{place:?}");
    }
}

#[test]
fn what_is_wrong_with_a_computed_feature_is_pointed_at() {
    let check = |declared: &str, expected: &str| {
        let text = format!(
            "schema: s\nfeatures:\n  f: {declared}\nevents:\n  view:\n    properties:\n      page: {{kind: string}}\n      \
             seconds: {{kind: int, min: 0, max: 86400}}\n      level: {{kind: enum, values: [low, high], ordered: true}}\n"
        );
        let found = read_schema("schema.yaml", &text).map(drop).map_err(|problems| problems.to_string());
        match found {
            Ok(()) => assert_eq!(expected, "", "{declared}"),
            Err(problems) => {
                assert!(!expected.is_empty() && problems.contains(expected), "{declared}: {problems}");
            }
        }
    };
    check("{kind: count, event: view, window: 7d, buckets: 7, when: \"page == 'fx' && seconds >= 5\"}", "");
    check("{kind: count, event: view, when: level >= 'high' && has(event.page)}", "");
    check("{kind: sum, event: convert, property: value, when: channel == 'app', window: 30d}", "");
    check("{kind: distinct, event: view, property: page}", "");
    check("{kind: distinct, event: view, per: day, window: 30d}", "");
    check("{kind: last, event: view, window: 30d}", "");
    check("{kind: recency, event: view}", "");
    check(
        "{kind: count, event: view, when: pag == 'fx'}",
        "schema.yaml:3:39: event `view` has no property `pag`\n  3 |   f: {kind: count, event: view, when: pag == 'fx'}\n    \
         |                                       ^^^\n  = did you mean `page`?",
    );
    check("{kind: count, event: view, when: now > 3}", "3:39: event `view` has no property `now`");
    check("{kind: count, event: view, when: tag.vip}", "event `view` has no property `tag`");
    check(
        "{kind: count, event: view, when: seconds}",
        "3:39: a condition must be true or false, this is an int",
    );
    check("{kind: count, event: view, when: seconds > 'x'}", "3:");
    check("{kind: count, event: view, when: level == 'hihg'}", "did you mean 'high'?");
    check("{kind: count, event: view, when: (page}", "3:");
    check("{kind: count, event: view, when: }", "`when` is empty");
    check("{kind: count, event: view, property: page}", "unknown field \"property\"");
    check(
        "{kind: count, event: view, window: 7d, buckets: 65}",
        "expected a whole number from 1 to 64, found 65",
    );
    check("{kind: count, event: view, window: +7d}", ""); // as stored schemas may have it
    check("{kind: count, event: view, buckets: 7}", "`buckets` is only for a `window`");
    check("{kind: distinct, event: view, per: day, window: 7d, buckets: 7}", "`buckets` is only for");
    check("{kind: distinct, event: view, per: day}", "`window` is missing");
    check("{kind: distinct, event: view, per: week, window: 7d}", "expected day, found \"week\"");
    check("{kind: distinct, event: view, per: day, property: page, window: 7d}", "cannot be combined");
    check("{kind: distinct, event: view}", "`property` is missing");
    check("{kind: streak, event: view, per: year}", "expected day or week, found \"year\"");
    check("{kind: streak, event: view}", "`per` is missing");
    check("{kind: max, event: view, property: page}", "`max` needs a number, but `page` is of kind string");
    check("{kind: last, event: view, property: page}", "`last` cannot keep free text");
    check("{kind: count, event: clik}", "did you mean `click`?");
}

#[test]
fn outcomes_are_events_of_every_schema() {
    let schema = parse("schema: s\nevents: {login: {}, search: {}}");
    for schema in [&Schema::empty(), &schema] {
        let names: Vec<&str> = schema.events().iter().rev().take(4).map(|event| &*event.name).collect();
        assert_eq!(names, ["convert", "dismiss", "click", "impression"]);
        let click = &schema.events()[schema.event_id("click").unwrap()];
        assert_eq!(click.property_id("value"), Some(3));
    }
    assert_eq!((schema.event_id("search"), schema.event_id("logout")), (Some(1), None));
    assert_eq!(schema.find_event("serch").unwrap_err().hint.as_deref(), Some("did you mean `search`?"));
    let problems = Schema::parse("s", "schema: s\nevents: {click: {}}").unwrap_err().to_string();
    assert!(problems.contains("s:2:10: every schema has the event `click` already"), "{problems}");
}

#[test]
fn how_a_feature_is_computed_cannot_change() {
    let schema = |zone: &str, computed: &str, page: &str| {
        parse(&format!(
            "schema: s\ntimezone: {zone}\nfeatures: {{f: {{{computed}, event: view}}}}\n\
             events: {{view: {{properties: {{page: {page}, n: {{kind: int}}}}}}}}"
        ))
    };
    let three = "{kind: enum, values: [a, b, c]}";
    let four = "{kind: enum, values: [a, b, c, d]}";
    let many = format!(
        "{{kind: enum, values: [a, b, c, {}]}}",
        (0..70).map(|i| format!("v{i}")).collect::<Vec<_>>().join(", ")
    );
    let check = |[old, new]: [&Schema; 2], expected: &str| {
        let found = old.grow(new).map(drop).map_err(|problems| problems.to_string());
        match found {
            Ok(()) => assert_eq!(expected, ""),
            Err(problems) => assert!(!expected.is_empty() && problems.contains(expected), "{problems}"),
        }
    };
    let changed = "feature `f`: how it is computed cannot change";
    let count = schema("UTC", "kind: count, window: 7d", three);
    check([&count, &schema("UTC", "kind: count, window: 7d, description: of a week", four)], "");
    for other in [
        "kind: count",
        "kind: count, window: 8d",
        "kind: count, window: 7d, buckets: 7",
        "kind: count, window: 7d, when: n > 3",
        "kind: streak, per: day",
    ] {
        check([&count, &schema("UTC", other, three)], changed);
    }
    check(
        [
            &schema("UTC", "kind: count, when: n > 3", three),
            &schema("UTC", "kind: count, when: n > 4", three),
        ],
        changed,
    );
    check(
        [&count, &schema("Asia/Shanghai", "kind: count, window: 7d", three)],
        "`timezone` cannot change from UTC to Asia/Shanghai",
    );
    let none = parse("schema: s\nevents: {view: {properties: {n: {kind: int}}}}");
    check([&none, &schema("Asia/Shanghai", "kind: count", three)], "");
    let distinct = |page: &str| schema("UTC", "kind: distinct, property: page", page);
    check([&distinct(three), &distinct(four)], "");
    check([&distinct(three), &distinct(&many)], "no room");
    let last = |page: &str| schema("UTC", "kind: last, property: page", page);
    check([&last(three), &last(&many)], "");
    check(
        [&last("{kind: int, min: 0, max: 9}"), &last("{kind: int, min: -1, max: 9}")],
        "`min` cannot change",
    );
    check([&last("{kind: int, min: 0, max: 9}"), &last("{kind: int, min: 0, max: 9000000000}")], "no room");
}
