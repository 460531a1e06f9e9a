//! Every warning with its text, and that no warning is given where it would be wrong.

use std::sync::Arc;

use super::*;
use crate::expression::faults::{FaultKind, Finder};
use crate::schema::Schema;

const SCHEMA: &str = "
schema: t
features:
  age: {kind: int, min: 0, max: 120}
  aum: {kind: decimal, scale: 2, min: 0, max: 1000000}
  tier: {kind: enum, values: [mass, gold, private], ordered: true}
  consent: {kind: bool}
  likes: {kind: set, values: [fx, fund]}
  logins: {kind: count, event: login, window: 7d}
events: {login: {}}
context:
  page: {kind: string}
offer_attributes:
  risk: {kind: enum, values: [R1, R2], ordered: true}
";

const NOW: &str = "2026-11-20T10:00:00Z"; // a Friday

fn compiled(texts: &[&str]) -> (Engine, Vec<Arc<RuleSet>>) {
    let schema = Arc::new(Schema::parse("schema.yaml", SCHEMA).unwrap());
    // The second placement is there for tests that use it.
    let is_used = texts.iter().any(|text| text.contains("[other") || text.contains("placement: other"));
    let spare = if is_used { "" } else { ", other: {channels: [app]}" };
    let texts: Vec<String> = texts.iter().map(|text| text.replacen(spare, "", 1)).collect();
    let read = |text: &String| {
        Arc::new(RuleSet::parse("r.yaml", text, &schema).unwrap_or_else(|e| panic!("{e}\n{text}")))
    };
    let sets: Vec<Arc<RuleSet>> = texts.iter().map(read).collect();
    let versions: Vec<_> = sets.iter().map(|set| (Arc::clone(set), 1)).collect();
    (Engine::compile(&schema, &versions).unwrap_or_else(|e| panic!("{e}")), sets)
}

fn warnings(texts: &[&str]) -> Vec<String> {
    let (engine, sets) = compiled(texts);
    let found = analyse(&engine, &sets, &AnalysisScope::at(Time::parse(NOW).unwrap()));
    let line = |warning: &Warning| {
        let Problem { detail, place, .. } = &warning.problem;
        let place = place.map_or("-".into(), |place| format!("{}:{}", place.line, place.column));
        format!("{place} {}: {detail}", warning.kind.name())
    };
    found.iter().map(line).collect()
}

const SLOT: &str = "rule_set: r\nplacements: {slot: {channels: [app]}, other: {channels: [app]}}\noffers:\n";

/// An offer on `slot` with these fields, on one line.
fn offer(name: &str, fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { ", " };
    format!(
        "  {name}: {{placements: [slot], treatments: [{{placement: slot, content: 1}}]{comma}{fields}}}\n"
    )
}

/// The warnings about one offer with this condition, which begins at column 79.
fn of_condition(condition: &str) -> Vec<String> {
    warnings(&[&format!("{SLOT}{}", offer("a", &format!("when: \"{condition}\"")))])
}

#[test]
fn conditions_that_never_or_always_hold_are_named_with_the_reason() {
    for (condition, expected) in [
        (
            "age > 60 && age < 30",
            "4:79 never_true: `age > 60 && age < 30` is never true, so offer `a` is never shown: `age` would have to be at \
             least 61 and at most 29 at once",
        ),
        (
            "consent && (age > 60 && aum > 5.0 && age < 30 || tier == 'gold')",
            "4:91 never_true: `age > 60 && aum > 5.0 && age < 30` is never true: `age` would have to be at least 61 and at \
             most 29 at once",
        ),
        ("age > 130", "4:79 never_true: `age > 130` is never true, so offer `a` is never shown"),
        ("consent && age > 130", "4:90 never_true: `age > 130` is never true, so offer `a` is never shown"),
        (
            "consent && !(age > 30 || age <= 30)",
            "4:92 never_true: `age > 30 || age <= 30` is never false, so offer `a` is never shown: `age` would have to be at \
             most 30 and at least 31 at once",
        ),
        (
            "tier > 'private'",
            "4:79 never_true: `tier > 'private'` is never true, so offer `a` is never shown",
        ),
        ("false", "4:79 never_true: `false` is never true, so offer `a` is never shown"),
        (
            "context.page == 'a' && context.page == 'b'",
            "4:79 never_true: `context.page == 'a' && context.page == 'b'` is never true, so offer `a` is never shown: \
             `context.page` would have to be 'a' and 'b' at once",
        ),
        ("age >= 0", "4:79 always_true: `age >= 0` holds for every customer whose `age` is known"),
        (
            "consent && (age > 30 || age <= 30)",
            "4:91 always_true: `age > 30 || age <= 30` holds for every customer whose `age` is known",
        ),
        (
            "age == null || age < 150",
            "4:94 always_true: `age < 150` holds for every customer whose `age` is known",
        ),
        (
            "age == null || age < 50 || age > 40",
            "4:79 always_true: `age == null || age < 50 || age > 40` holds for every customer",
        ),
        (
            "age > 30 && consent && age > 20",
            "4:102 redundant: `age > 20` can be left out: the rest of the condition already requires it",
        ),
        (
            "consent || (consent && age > 20)",
            "4:91 redundant: `consent && age > 20` changes nothing: the other alternatives let the same customers pass",
        ),
    ] {
        assert_eq!(of_condition(condition), [expected], "{condition}");
    }
    for near in [
        "age > 60 && age < 62",
        "age > 60 || age < 30",
        "age != null && age > 30",
        "age == null || age > 30",
        "has(customer.age) && consent",
        "true",
        "age > 30 && aum > 20.0",
        "consent || (consent == null && age > 20)",
        "age >= 18 && age <= 119",
        "age > 30 && (age > 40 || consent)",
        "tier >= 'gold' && tier != 'private'",
        "context.page != 'a' && context.page != 'b'",
        "consent == null ? age > 30 : consent",
        "age != null || consent",
    ] {
        assert_eq!(of_condition(near), [""; 0], "{near}");
    }
}

#[test]
fn tags_are_looked_at_for_both_of_their_answers() {
    let set = |tags: &str| {
        let slots = SLOT.replace("rule_set: r\n", "").replace("\noffers:\n", "");
        let other = offer("b", "when: '!tag.y'").replace("slot", "other");
        format!("rule_set: r\ntags:\n{tags}{slots}\noffers:\n{}{other}", offer("a", "when: '!tag.x'"))
    };
    for (tags, expected) in [
        (
            "  x: age > 30 && age > 20\n  y: consent\n",
            vec!["3:18 redundant: `age > 20` can be left out: the rest of the condition already requires it"],
        ),
        (
            "  x: age > 30 && (age > 20 || consent)\n  y: consent\n",
            vec![
                "3:19 redundant: `age > 20 || consent` can be left out: the rest of the condition already requires it",
            ],
        ),
        // Without it, `!tag.x` would have no answer for some customers for whom it is true now.
        ("  x: age > 30 && (age != null || consent)\n  y: consent\n", vec![]),
        ("  x: age > 30\n  y: age >= 31\n", vec!["4:3 duplicate: tag `y` says the same as `x` (line 3)"]),
        ("  x: age > 30\n  y: age >= 32\n", vec![]),
        ("  x: age > 30\n  y: age != null && age > 30\n", vec![]),
        ("  x: age > 30\n  y: consent\n  z: age > 7\n", vec!["5:3 unused_tag: nothing uses tag `z`"]),
        (
            "  x: tag.z\n  y: consent\n  z: age > 7\n",
            vec!["5:3 duplicate: tag `z` says the same as `x` (line 3)"],
        ),
    ] {
        assert_eq!(warnings(&[&set(tags)]), expected, "{tags}");
    }
}

#[test]
fn a_cap_that_another_one_always_comes_before_is_named() {
    let never = |cap: &str, first: &str| {
        format!(
            "cap: `{cap}` of offer `a` never comes into play: `{first}` (line 4) always stops the offer first"
        )
    };
    for (caps, expected) in [
        ("caps: [{max: 3, per: 7d}, {max: 2, per: 1d}]", None),
        (
            "caps: [{max: 3, per: 7d}, {max: 3, per: 1d}]",
            Some(("3 per 1d, scope offer", "3 per 7d, scope offer")),
        ),
        (
            "caps: [{max: 3, per: 7d}, {max: 3, per: 7d}]",
            Some(("3 per 7d, scope offer", "3 per 7d, scope offer")),
        ),
        ("caps: [{max: 3, per: 7d}, {max: 3, per: 1d, on: click}]", None),
        (
            "caps: [{max: 3, per: 7d}, {max: 3, per: 7d, scope: channel}]",
            Some(("3 per 7d, scope channel", "3 per 7d, scope offer")),
        ),
        ("caps: [{max: 3, per: 7d}, {max: 3, per: 1d, timezone: UTC}]", None),
        (
            "suppress: {click: forever}, caps: [{max: 1, per: 1d, on: click, timezone: UTC}]",
            Some(("1 per 1d, on click, UTC, scope offer", "click forever")),
        ),
    ] {
        let found = warnings(&[&format!("{SLOT}{}", offer("a", caps))]);
        let found: Vec<&str> =
            found.iter().filter_map(|warning| warning.split_once(' ').map(|(_, said)| said)).collect();
        let expected: Vec<String> = expected.iter().map(|(cap, first)| never(cap, first)).collect();
        assert_eq!(found, expected, "{caps}");
    }
}

#[test]
fn what_caps_or_budgets_may_stop_is_in_nobodys_way() {
    for (caps, rule_set, wins) in [
        ("", "", false),
        ("caps: [{max: 1, per: 7d}]", "", true),
        ("suppress: {dismiss: 7d}", "", true),
        ("budgets: [few]", "budgets: {few: {max: 1, on: click}}\n", true),
        ("", "caps: {policy: {max: 1, per: 7d, scope: all}}\n", true),
        ("", "guardrails: {all: age > 3}\ncaps: {policy: {max: 1, per: 7d, scope: all}}\n", false),
        ("", "guardrails: {all: age > 3}\ncaps: {policy: {max: 1, per: 7d, scope: offer}}\n", true),
    ] {
        let first = offer("a", &format!("priority: 1{}{caps}", if caps.is_empty() { "" } else { ", " }));
        let text = format!("{SLOT}{first}{}{rule_set}", offer("b", "when: consent"));
        let found = warnings(&[&text]);
        assert_eq!(!found.iter().any(|warning| warning.contains("never wins")), wins, "{text}: {found:?}");
    }
}

#[test]
fn experiments_and_parameters_that_nothing_depends_on_are_named() {
    let treated = |variant: &str| {
        format!(
            "offers:\n  a: {{placements: [slot], when: age > 3, treatments: [{{placement: slot, content: 1}}, {{placement: slot, variant: {variant}, content: 2}}]}}\n"
        )
    };
    let text = |experiments: &str, rest: &str| {
        format!("rule_set: r\nplacements: {{slot: {{channels: [app]}}}}\nexperiments:\n{experiments}{rest}")
    };
    let (x, y) = ("  x: {variants: {a: 50}}\n", "  y: {variants: {a: 50}}\n");
    let parameter = |condition: &str| {
        format!(
            "parameters: {{p: {{default: 3, x.a: 4}}}}\noffers:\n{}",
            offer("b", &format!("when: {condition}"))
        )
    };
    for (text, expected) in [
        (text(x, &treated("x.a")), vec![]),
        (
            text(&format!("{x}{y}"), &treated("x.a")),
            vec!["5:3 unused_experiment: nothing depends on experiment `y`"],
        ),
        (text(x, &parameter("age > param.p")), vec![]),
        (text(x, &parameter("age > 3")), vec!["5:14 unused_parameter: nothing uses parameter `p`"]),
        (
            text("  x: {variants: {a: 50}}\n  y: {variants: {a: 50}, salt: x}\n", &treated("x.a")),
            vec![
                "5:3 unused_experiment: nothing depends on experiment `y`",
                "5:3 duplicate: experiment `y` and experiment `x` share the salt `x`: a customer's place in one tells their place in the other",
            ],
        ),
        (
            text(
                "  x: {variants: {a: 50}, exclusion: g}\n",
                &format!("holdout: {{percent: 5, salt: g}}\n{}", treated("x.a")),
            ),
            vec![
                "4:3 duplicate: experiment `x` and the holdout share the salt `g`: a customer's place in one tells their place in the other",
            ],
        ),
    ] {
        assert_eq!(warnings(&[&text]), expected, "{text}");
    }
}

#[test]
fn offers_of_different_variants_are_no_twins_and_not_in_each_others_way() {
    let head = "rule_set: r\nplacements: {slot: {channels: [app]}, other: {channels: [app]}}\nexperiments: {x: {variants: {a: 50, b: 50}}}\noffers:\n";
    let offers = |one: &str, other: &str| {
        format!(
            "{head}{}{}",
            offer("a", &format!("when: age > 3{one}")),
            offer("b", &format!("when: age > 3{other}"))
        )
    };
    for (one, other, expected) in [
        ("", "", 1),
        (", variant: x.a", ", variant: x.a", 1),
        (", variant: x.a", ", variant: x.b", 0),
        (", variant: x.a", ", priority: 6", 0),
        (", variant: x.a", ", variant: x.a, priority: 6", 1),
        ("", ", variant: x.a, priority: 6", 1),
    ] {
        let found = warnings(&[&offers(one, other)]);
        let found: Vec<_> =
            found.into_iter().filter(|warning| !warning.contains("unused_experiment")).collect();
        assert_eq!(found.len(), expected, "{one} | {other}: {found:?}");
    }
}

#[test]
fn a_tag_is_used_however_its_name_is_written() {
    for (condition, used) in [
        ("tag.x", true),
        ("tag. x", true),
        ("tag .x", true),
        ("tag\\n  .\\n  x", true),
        ("tag // old\\n.// new\\nx", true),
        ("consent && !tag  .  x", true),
        ("tag.xy", false),
    ] {
        let slots = SLOT.replace("rule_set: r\n", "").replace("\noffers:\n", "");
        let offers = format!("offers:\n{}", offer("a", &format!("when: \"{condition}\"")));
        let other = offer("b", "when: tag.xy").replace("slot", "other");
        let found =
            warnings(&[&format!("rule_set: r\ntags: {{x: age > 3, xy: consent}}\n{slots}\n{offers}{other}")]);
        let told = found.iter().any(|warning| warning.ends_with("nothing uses tag `x`"));
        assert_eq!(told, !used, "{condition}: {found:?}");
    }
}

#[test]
fn long_conditions_are_looked_at_as_far_as_the_work_allows() {
    let pages = |n: usize, sign: &str, and: &str| {
        (0..n).map(|i| format!("context.page {sign} 'p{i}' {and} ")).collect::<String>()
    };
    for (n, kinds) in [(30, vec!["redundant"]), (31, vec![])] {
        for condition in [
            format!("{}age > 30 && age > 20", pages(n, "!=", "&&")),
            format!("{}age > 30 || age > 40", pages(n, "==", "||")),
        ] {
            let found = of_condition(&condition);
            assert_eq!(found.len(), kinds.len(), "{found:?}");
            assert!(found.iter().zip(&kinds).all(|(found, kind)| found.contains(kind)), "{found:?}");
        }
    }
    let never = format!("{}age > 30 && age < 20", pages(300, "!=", "&&"));
    assert!(of_condition(&never)[0].ends_with("`age` would have to be at least 31 and at most 19 at once"));
    for (condition, work, expected) in [
        ("age > 30 && age > 20", MAX_WORK, Some(FaultKind::Implied)),
        ("age > 30 && age > 20", 10, None),
        ("age > 30 && age < 20", 10, Some(FaultKind::Never(None))),
        ("age == null || age < 50 || age > 40", 10, Some(FaultKind::Always)),
        ("age > 30 && aum > 2.0", 0, None),
    ] {
        let (engine, _) = compiled(&[&format!("{SLOT}{}", offer("a", &format!("when: \"{condition}\"")))]);
        let tags = engine.tags.iter().map(Vec::as_slice).collect();
        let mut normaliser = Normaliser::over(&engine.schema, tags, engine.terms.clone());
        let (offer, mut work) = (&engine.offers()[0], work);
        let mut finder = Finder::new(&mut normaliser, &engine.schema, 0, &mut work);
        let faults = finder.of_condition(offer.when.as_ref().unwrap(), &offer.when_form);
        let kinds: Vec<FaultKind> = faults.into_iter().map(|fault| fault.kind).collect();
        assert_eq!(kinds, Vec::from_iter(expected), "{condition}");
    }
}

#[test]
fn an_offer_that_a_guardrail_always_stops_names_it() {
    let law = "rule_set: law\nguardrails:\n  adult: age >= 18\n  risk: offer.risk == null || offer.risk == 'R1' || tier >= 'gold'\n";
    let risky = offer("b", "attributes: {risk: R2}").replace("slot", "other");
    let set = |fields: &str| format!("{SLOT}{}{risky}", offer("a", fields));
    for (fields, expected) in [
        (
            "when: age < 18",
            vec![
                "4:78 guardrail: offer `a` is never shown: guardrail `adult` stops it, `age` would have to be at most 17 and at least 18 at once",
            ],
        ),
        ("when: age < 19", vec![]),
        ("when: \"age < 18 || consent\"", vec![]),
        (
            "attributes: {risk: R2}, when: \"tier == 'mass' && consent\"",
            vec![
                "4:103 guardrail: offer `a` is never shown: guardrail `risk` stops it, `tier` would have to be mass and at least gold at once",
            ],
        ),
        ("attributes: {risk: R1}, when: \"tier == 'mass' && consent\"", vec![]),
    ] {
        assert_eq!(warnings(&[&set(fields), law]), expected, "{fields}");
    }
    let set = |fields: &str| format!("{SLOT}{}", offer("a", fields));
    let torn = "rule_set: law\nguardrails: {a: age > 18, b: age < 10}\n";
    assert_eq!(
        warnings(&[&set(""), torn]),
        ["4:3 guardrail: offer `a` is never shown: guardrails `a` and `b` never hold together"]
    );
    let shut = "rule_set: law\nguardrails:\n  shut: age > 130\n";
    assert_eq!(warnings(&[&set(""), shut]), ["3:9 never_true: `age > 130` is never true"]);
}

#[test]
fn an_offer_that_never_wins_names_those_before_it() {
    let front = "4:3 never_wins"; // `a` stands first in the text
    for (fields, other, wins) in [
        ("", "priority: 3", false),
        ("priority: 3", "", true),
        ("when: age > 30", "priority: 3", false),
        ("when: age > 30", "priority: 3, when: age > 20", false),
        ("when: age > 30", "priority: 3, when: age > 40", true),
        ("when: \"age > 30 && consent\"", "priority: 3, when: \"age > 20 && consent\"", false),
        ("when: \"age > 30 || age < 10\"", "priority: 3, when: \"age > 20\"", true),
        ("propensity: 0.5", "propensity: 0.6", false),
        ("propensity: 0.6", "propensity: 0.5", true),
        ("propensity: \"aum / 2.0\"", "attributes: {value: 2}", false),
        ("propensity: \"aum / 2.0\"", "", true),
        // Too large for a number only with a propensity of 1.
        ("attributes: {value: 1.0e+308}, boost: 10.0, propensity: \"consent ? 0.01 : 0.02\"", "", true),
        ("attributes: {value: 1.0e+308}, boost: 10.0", "", false),
        ("attributes: {value: 0.5}", "boost: \"consent ? 2.0 : 1.0\"", true),
        ("", "priority: 3, schedule: {days: [mon]}", true),
        ("schedule: {days: [mon]}", "priority: 3, schedule: {days: [mon, tue]}", false),
        ("", "priority: 3, attributes: {group: g}", true),
        ("attributes: {group: g}", "priority: 3, attributes: {group: g}", false),
        ("attributes: {risk: R1}", "priority: 3, attributes: {risk: R2}", true),
    ] {
        let law = "rule_set: law\nguardrails: {risk: \"offer.risk != 'R2' || tier >= 'gold'\"}\n";
        let found = warnings(&[&format!("{SLOT}{}{}", offer("a", fields), offer("b", other)), law]);
        let beaten = found.iter().any(|warning| warning.starts_with(front));
        assert_eq!(!beaten, wins, "{fields} against {other}: {found:?}");
    }
    let two = SLOT.replace("slot: {", "slot: {count: 2, ");
    let third =
        |other: &str| warnings(&[&format!("{two}{}{}{other}", offer("a", ""), offer("b", "priority: 3"))]);
    assert_eq!(third(""), [""; 0], "there is a second place");
    assert_eq!(
        third(&offer("c", "priority: 4")),
        [
            "4:3 never_wins: offer `a` never wins: customers who may see it may also see `b` (line 5), `c` (line 6), which rank before it and leave no room while a request asks for no more than the placement's `count`"
        ]
    );
    // Shown on the other placement of the same request, it leaves room here.
    let wide = offer("b", "priority: 3")
        .replace("[slot]", "[slot, other]")
        .replace("1}]", "1}, {placement: other, content: 1}]");
    assert_eq!(warnings(&[&format!("{SLOT}{}{wide}", offer("a", ""))]), [""; 0]);
    // It has no treatment for the other's language.
    let zh = offer("b", "priority: 3").replace("content", "locale: zh, content");
    assert_eq!(warnings(&[&format!("{SLOT}{}{zh}", offer("a", ""))]), [""; 0]);
}

#[test]
fn schedules_that_are_over_or_never_open_are_told() {
    for (fields, expected) in [
        ("schedule: {until: 2026-11-19}", Some("the schedule of offer `a` ended at 2026-11-20T00:00:00Z")),
        ("schedule: {until: 2026-11-20}", None),
        (
            "schedule: {from: '2027-03-21T12:00:00Z', days: [sun], hours: '02:15-02:45', timezone: Europe/Berlin}",
            None,
        ),
        (
            "schedule: {from: 2026-12-01, until: 2026-12-02, days: [mon]}",
            Some(
                "the schedule of offer `a` is never open: none of its days and hours lies between 2026-12-01T00:00:00Z and 2026-12-03T00:00:00Z",
            ),
        ),
        ("schedule: {from: 2026-12-01, until: 2026-12-07, days: [mon]}", None),
        (
            "when: \"now < timestamp('2026-11-01T00:00:00Z')\"",
            Some("offer `a` is never shown again: the time that its condition asks for has passed"),
        ),
        ("when: \"now < timestamp('2026-12-01T00:00:00Z')\"", None),
        (
            "schedule: {from: 2026-12-02}, when: \"now < timestamp('2026-12-01T00:00:00Z')\"",
            Some(
                "offer `a` is never shown: its condition and its schedule never meet: `now` would have to be before \
                  2026-12-01T00:00:00Z and from 2026-12-02T00:00:00Z on at once",
            ),
        ),
    ] {
        let found = warnings(&[&format!("{SLOT}{}", offer("a", fields))]);
        let details: Vec<&str> = found.iter().map(|line| line.split_once(": ").unwrap().1).collect();
        assert_eq!(details, expected.into_iter().collect::<Vec<_>>(), "{fields}");
    }
}

#[test]
fn a_language_that_others_have_is_missed_unless_there_is_a_default() {
    let with = |name: &str, locales: &[&str]| {
        let one = |locale: &&str| {
            if locale.is_empty() {
                "{placement: slot, content: 1}".into()
            } else {
                format!("{{placement: slot, locale: {locale}, content: 1}}")
            }
        };
        let all: Vec<String> = locales.iter().map(one).collect();
        format!(
            "  {name}: {{placements: [slot], when: age > {}, treatments: [{}]}}\n",
            name.len(),
            all.join(", ")
        )
    };
    for (mine, warned) in
        [(&["zh"][..], true), (&["zh", "en"], false), (&["zh", ""], false), (&["zh", "en-gb"], true)]
    {
        let found = warnings(&[&format!("{SLOT}{}{}", with("a", mine), with("bb", &["zh-CN", "en"]))]);
        let first = "4:42 treatment: offer `a` has no treatment on placement `slot` for en (as 1 other offer has): customers of that language never see it there";
        let about_a: Vec<&String> = found.iter().filter(|warning| warning.contains("offer `a`")).collect();
        assert_eq!(about_a, Vec::from_iter(warned.then_some(first)), "{mine:?}: {found:?}");
    }
}

#[test]
fn features_that_are_never_known_are_told_once() {
    // Features computed from events are known once there are events.
    let set = format!(
        "{SLOT}{}{}",
        offer("a", "when: \"age > 3 && logins > 3\""),
        offer("b", "when: \"logins > 5 && age < 60\"")
    );
    assert_eq!(warnings(&[&set]), [""; 0]);
    let found = |texts: &[&str], age: u64| -> Vec<String> {
        let (engine, sets) = compiled(texts);
        let mut row = vec![0; engine.schema.row_words()];
        let field = engine.schema.feature(engine.schema.feature_id("age").unwrap()).field.unwrap();
        field.write(&mut row, age);
        let known = AnalysisScope { filled: Some(&row), ..AnalysisScope::at(Time::parse(NOW).unwrap()) };
        let found = analyse(&engine, &sets, &known);
        let told = found.iter().filter(|warning| warning.kind == WarningKind::Feature);
        told.map(|warning| warning.problem.detail.clone()).collect()
    };
    let told =
        "`age` is missing for every customer, so it always reads as missing (read 2 times in this rule set)";
    assert_eq!(found(&[&set], 0), [told]);
    assert_eq!(found(&[&set], 7), [""; 0]);
    // A guardrail that differs for each kind of offer is counted once.
    let law = "rule_set: law\nguardrails:\n  calm: offer.risk != 'R2' || age > 3\n  quiet: offer.value > 5.0 || age > 3\n";
    let offers: String = (0..4)
        .map(|i| {
            offer(
                &format!("o{i}"),
                &format!("when: context.page == 'p{i}', attributes: {{risk: R2, value: {i}}}"),
            )
        })
        .collect();
    assert_eq!(found(&[&format!("{SLOT}{offers}"), law], 0), [told]);
}

#[test]
fn twins_are_told_apart_by_their_names_alone() {
    let twins = |fields: &str, other: &str| {
        let two = SLOT.replace("slot: {", "slot: {count: 2, ");
        warnings(&[&format!("{two}{}{}", offer("b", fields), offer("a", other))])
    };
    assert_eq!(
        twins("when: age > 30", "when: age >= 31"),
        [
            "4:3 duplicate: offer `b` asks for the same as `a` (line 5), in the same tier, with the same score and on the same \
             placements: `a` always comes first, because of its name"
        ]
    );
    for (fields, other) in [
        ("when: age > 30", "when: age > 31"),
        ("when: age > 30", "when: age > 30, priority: 4"),
        ("when: age > 30", "when: age > 30, propensity: 0.5"),
        ("when: age > 30", "when: age > 30, schedule: {days: [mon]}"),
        ("when: age > 30", "when: age > 30, attributes: {group: g}"),
        ("", ""),
    ] {
        let mut found = twins(fields, other);
        found.retain(|found| !found.contains("defines the group `g`"));
        assert_eq!(found, [""; 0], "{fields} and {other}");
    }
}

/// The warnings about a rule set `law` with these guardrails, over the offers `a`, which has a risk, and `b`.
fn of_guardrails(guardrails: &str) -> Vec<String> {
    let risky = offer("a", "attributes: {risk: R2}, when: age > 3");
    let other = offer("b", "when: consent").replace("slot", "other");
    warnings(&[&format!("{SLOT}{risky}{other}"), &format!("rule_set: law\nguardrails: {guardrails}\n")])
}

#[test]
fn a_guardrail_that_stops_nobody_or_everybody_is_told() {
    for (guardrails, expected) in [
        ("{g: age >= 18}", None),
        (
            "{g: true}",
            Some(
                "2:14 guardrail_stops_nobody: guardrail `g` stops nobody: every offer passes it, whoever the customer is",
            ),
        ),
        (
            "{g: offer.risk != 'R1'}",
            Some(
                "2:14 guardrail_stops_nobody: guardrail `g` stops nobody: every offer passes it, whoever the customer is",
            ),
        ),
        (
            "{g: \"offer.priority != 9 || age > 3\"}",
            Some(
                "2:14 guardrail_stops_nobody: guardrail `g` stops nobody: every offer passes it, whoever the customer is",
            ),
        ),
        (
            "{g: offer.priority > 5}",
            Some(
                "2:14 guardrail_stops_everybody: guardrail `g` stops everybody, whoever the customer is, on each of the 2 offers that it may stop",
            ),
        ),
        // The condition itself has a warning already.
        ("{g: age < 0}", Some("2:17 never_true: `age < 0` is never true")),
        (
            "{g: \"age < 9 || age > 3 || age == null\"}",
            Some("2:18 always_true: `age < 9 || age > 3 || age == null` holds for every customer"),
        ),
        (
            "{}",
            Some(
                "2:1 guardrail_stops_nobody: there is no guardrail under `guardrails`, so nothing is stopped",
            ),
        ),
    ] {
        let found = of_guardrails(guardrails);
        let found: Vec<&String> = found.iter().filter(|found| !found.contains(" is never shown: ")).collect();
        assert_eq!(found, Vec::from_iter(expected), "{guardrails}");
    }
    let alone = warnings(&["rule_set: law\nguardrails: {g: true}\n"]);
    assert_eq!(alone, [""; 0], "without offers there is nothing that it could stop");
}

#[test]
fn guardrails_of_one_name_in_two_rule_sets_are_told() {
    let law = |name: &str| format!("rule_set: {name}\nguardrails: {{adult: age >= 18}}\n");
    let found = warnings(&[&format!("{SLOT}{}", offer("a", "when: age > 3")), &law("law"), &law("more")]);
    assert_eq!(found, ["2:14 duplicate: guardrail `adult` is also in rule set `law`; both hold"]);
}

#[test]
fn names_that_only_one_side_names_are_told_with_the_nearest_name() {
    let caps = "rule_set: g\ngroups: {upsell: {max: 1, caps: [{max: 1, per: 7d}]}}\n";
    let set = |group: &str| {
        format!("{SLOT}{}", offer("a", &format!("when: age > 3, attributes: {{group: {group}}}")))
            .replace(", other: {channels: [app]}", "")
    };
    assert_eq!(warnings(&[&set("upsell"), caps]), [""; 0]);
    assert_eq!(
        warnings(&[&set("upsel"), caps]),
        [
            "2:10 one_sided: no offer is in the group `upsell`",
            "4:87 one_sided: no rule set defines the group `upsel` of offer `a`: one decision shows one of its offers, and no \
             cap of a group binds them"
        ]
    );
    let (engine, sets) = compiled(&[&set("upsel"), caps]);
    let found = analyse(&engine, &sets, &AnalysisScope::at(Time::parse(NOW).unwrap()));
    let hints: Vec<_> = found.iter().map(|warning| warning.problem.hint.as_deref().unwrap()).collect();
    assert_eq!(hints, ["did you mean `upsel`?", "did you mean `upsell`?"]);
    let alone = AnalysisScope { alone: true, ..AnalysisScope::at(Time(0)) };
    assert!(analyse(&engine, &sets, &alone).is_empty(), "others may define it");

    let idle = "rule_set: r\nplacements: {slot: {channels: [app]}}\nbudgets: {gift: {max: 2, on: click}}\n";
    assert_eq!(
        warnings(&[idle]),
        [
            "2:14 one_sided: no offer lists placement `slot`, so it is always empty",
            "3:11 one_sided: no offer uses budget `gift`"
        ]
    );
}

#[test]
fn names_that_guardrails_compare_with_exist() {
    for (guardrail, expected) in [
        ("offer.id != 'a' || age > 30", None),
        ("offer.id != 'aa' || age > 30", Some("offer.id` with 'aa', and there is no such offer")),
        ("!(offer.id in ['b', 'c']) || age > 30", Some("offer.id` with 'c', and there is no such offer")),
        (
            "offer.group == null || offer.group != 'g' || age > 30",
            Some("offer.group` with 'g', and there is no such group"),
        ),
    ] {
        let found = of_guardrails(&format!("{{g: \"{guardrail}\"}}"));
        let found: Vec<&String> = found.iter().filter(|found| found.contains("one_sided")).collect();
        assert_eq!(found.len(), usize::from(expected.is_some()), "{guardrail}: {found:?}");
        assert!(found.iter().all(|found| found.contains(expected.unwrap())), "{found:?}");
    }
}

#[test]
fn locales_that_requests_hardly_name_are_told() {
    for (locale, hint) in [
        ("en", None),
        ("zh-Hans-CN", None),
        ("es-419", None),
        ("yue", None),
        ("english", Some("did you mean `en`?")),
        ("cn", Some("did you mean `zh`?")),
        ("default", Some("leave the locale out: then it serves all languages")),
        ("en-UK", Some("the region of the United Kingdom is `GB`")),
        ("zh-CN-Hans", Some("the script comes before the region, as in `zh-Hans-CN`")),
        ("eng", Some("did you mean `en`?")),
        ("swedisch", Some("did you mean `sv`?")),
        ("sr-Cyrk", Some("there is no script `cyrk`; did you mean `Cyrl`?")),
        (
            "zh-Hant-TX",
            Some("there is no region `tx`: regions are such as `CN`, `GB` and `419`, scripts such as `Hans`"),
        ),
        ("de-1996", Some("behind the language comes a script such as `Hans`, or a region such as `CN`")),
        ("xx", Some("write the language as two or three letters, as in `en` or `zh-CN`")),
    ] {
        assert_eq!(
            crate::rules::rule_set::Locale::new(locale).unwrap().oddity().as_deref(),
            hint,
            "{locale}"
        );
    }
    for (locale, tag) in [
        ("Portuguese", "pt"),
        ("norwegian", "nb"),
        ("hungarain", "hu"),
        ("en_US.UTF-8", "en-US"),
        ("English (US)", "en"),
        ("zh-Hant-TW@x", "zh-Hant-TW"),
    ] {
        let why = crate::rules::rule_set::Locale::new(locale).unwrap_err();
        assert!(why.ends_with(&format!("; did you mean `{tag}`?")), "{why}");
    }
    let odd = offer("a", "when: age > 3, reason: {english: Yes}")
        .replace("{placement: slot,", "{placement: slot, locale: german,");
    let found = warnings(&[&format!("{SLOT}{odd}{}", offer("b", "when: consent").replace("slot", "other"))]);
    let kinds = found.iter().filter(|found| found.contains(" locale: ")).count();
    assert_eq!(kinds, 2, "{found:?}");
}

/// The warnings about variants for an offer with these treatments, given as locale, variant and content.
fn of_treatments(experiments: &str, treatments: &[&str]) -> Vec<String> {
    let treatments: Vec<String> =
        treatments.iter().map(|fields| format!("{{placement: slot, {fields}}}")).collect();
    let text = format!(
        "rule_set: r\nexperiments: {{{experiments}}}\nplacements: {{slot: {{channels: [app]}}}}\noffers:\n  a: {{placements: [slot], when: age > 3, treatments: [{}]}}\n",
        treatments.join(", ")
    );
    warnings(&[&text])
}

#[test]
fn a_treatment_that_hides_a_variant_is_told_with_the_languages() {
    let style = "style: {variants: {plain: 50, photo: 50}}";
    let hidden = |languages: &str| {
        format!(
            "5:42 hidden_variant: variant `style.photo` has a treatment of offer `a` on placement `slot`, but its customers see \
             the same as everyone in {languages}: a language comes before a variant"
        )
    };
    for (treatments, languages) in [
        (&["content: 1", "variant: style.photo, content: 2"][..], None),
        (&["locale: en, content: 1", "content: 1", "variant: style.photo, content: 2"], Some("en")),
        (
            &[
                "locale: en, content: 1",
                "locale: zh, content: 1",
                "content: 1",
                "variant: style.photo, content: 2",
            ],
            Some("en, zh"),
        ),
        (&["content: 1", "locale: en, variant: style.photo, content: 2"], Some("any other language")),
        (
            &[
                "locale: en, content: 1",
                "content: 1",
                "locale: en, variant: style.photo, content: 2",
                "variant: style.photo, content: 2",
            ],
            None,
        ),
        // A treatment for zh serves zh-tw too, unless there is one for zh-tw.
        (
            &[
                "locale: zh, content: 1",
                "content: 1",
                "locale: zh, variant: style.photo, content: 2",
                "variant: style.photo, content: 2",
            ],
            None,
        ),
        (
            &[
                "locale: zh-tw, content: 1",
                "content: 1",
                "locale: zh, variant: style.photo, content: 2",
                "variant: style.photo, content: 2",
            ],
            Some("zh-tw"),
        ),
        (&["variant: style.plain, content: 1", "variant: style.photo, content: 2"], None),
    ] {
        let expected: Vec<String> = languages.into_iter().map(hidden).collect();
        assert_eq!(of_treatments(style, treatments), expected, "{treatments:?}");
    }
}

#[test]
fn variants_that_nobody_sees_or_that_are_alike_are_told() {
    let two = "one: {variants: {a: 50, b: 50}}, two: {variants: {a: 50, b: 50}}";
    let found = of_treatments(
        two,
        &[
            "content: 0",
            "variant: one.a, content: 1",
            "variant: one.b, id: x, content: 2",
            "variant: two.b, content: 3",
        ],
    );
    assert_eq!(
        found,
        [
            "5:42 hidden_variant: treatment `slot.b` of offer `a` is never shown: those for every variant of experiment `one` stand before it"
        ]
    );
    let three = "style: {variants: {plain: 40, photo: 30, video: 30}}";
    let alike =
        "2:15 unused_experiment: nothing tells `plain` and `video` of experiment `style` from each other";
    assert_eq!(of_treatments(three, &["content: 0", "variant: style.photo, content: 1"]), [alike]);
    let both = ["content: 0", "variant: style.photo, content: 1", "variant: style.video, content: 1"];
    assert_eq!(of_treatments(three, &both), [""; 0]);
    let none_yet = "style: {variants: {plain: 50, photo: 50, video: 0}}";
    let found = of_treatments(none_yet, &["content: 0", "variant: style.photo, content: 1"]);
    assert_eq!(found, ["2:56 unused_experiment: variant `video` has 0 %: nobody is in it"]);
}

#[test]
fn warnings_are_bounded_and_kept_to_the_rule_sets_asked_for() {
    let offers: String =
        (0..MAX_WARNINGS + 5).map(|i| offer(&format!("o{i}"), &format!("when: age > {}", 200 + i))).collect();
    let (engine, sets) = compiled(&[&format!("{SLOT}{offers}"), "rule_set: s\ntags: {x: age > 3}\n"]);
    let known = AnalysisScope::at(Time(0));
    let found = analyse(&engine, &sets, &known);
    assert_eq!((found.iter().count(), found.count()), (MAX_WARNINGS, MAX_WARNINGS + 6));
    let found = analyse(&engine, &sets, &AnalysisScope { about: Some(&["s"]), ..known });
    assert_eq!(found.count(), 1);
    assert!(analyse(&engine, &sets[1..], &known).is_empty(), "not what it was compiled from");
}

#[test]
fn what_content_and_reasons_send_is_looked_at() {
    let text = "rule_set: r\nplacements: {slot: {channels: [app]}}\noffers:\n  a:\n    placements: [slot]\n    reason: \"a\\0b\"\n    \
                treatments: [{placement: slot, content: {list: [{link: 'javascript:x'}], deep: 'foo://x'}}]\n";
    assert_eq!(
        warnings(&[text]),
        [
            "6:13 content: the text has U+0000 control character: channels may cut the text there or show something else",
            "7:60 content: a link `javascript:` runs or opens what stands in the link itself",
            "7:84 content: the schema does not know links `foo:`",
        ]
    );
}

#[test]
fn an_offer_that_asks_for_its_own_name_is_told() {
    let of = |when: &str| of_condition(when);
    assert_eq!(of("offer.id == 'a' && age > 3").len(), 1);
    assert!(of("offer.group == null && age > 3")[0].contains("`offer.group` is null for everybody"));
    assert_eq!(of("offer.risk == null && age > 3"), [""; 0]);
    assert_eq!(of("context.page == 'offer.id'"), [""; 0]);
}

#[test]
fn accepted_warnings_are_counted_and_stale_marks_are_told() {
    let with = |accept: &str| {
        let text = format!(
            "{SLOT}{}accept:\n  - {{{accept}, because: off until May}}\n",
            offer("a", "when: age > 130")
        );
        let (engine, sets) = compiled(&[&text]);
        let found = analyse(&engine, &sets, &AnalysisScope::at(Time::parse(NOW).unwrap()));
        let kinds: Vec<&str> = found.iter().map(|warning| warning.kind.name()).collect();
        (kinds.join(" "), found.accepted)
    };
    for (accept, kinds, accepted) in [
        ("warning: never_true, at: offers.a.when", "", 1),
        ("warning: never_true, at: offers.a", "", 1),
        ("warning: never_true, at: /offers/a", "", 1),
        ("warning: never_true, at: offers", "", 1),
        ("warning: never_true, at: offers.ab", "never_true accept", 0),
        ("warning: always_true, at: offers.a", "never_true accept", 0),
        ("warning: nevr_true, at: offers.a", "never_true accept", 0),
        ("warning: accept, at: accept", "never_true accept", 0),
        // Only a bundle knows its golden decisions.
        ("warning: guardrail_untested, at: guardrails", "never_true", 0),
    ] {
        assert_eq!(with(accept), (kinds.into(), accepted), "{accept}");
    }
}

#[test]
fn accepted_warnings_take_no_room_from_others() {
    let many: String =
        (0..MAX_WARNINGS + 20).map(|i| offer(&format!("o{i:03}"), "when: age > 130")).collect();
    let last = offer("p", "when: age < 0");
    for (accept, kept, accepted, omitted) in [
        ("", MAX_WARNINGS, 0, 21),
        ("{warning: never_true, at: offers, because: x}", 0, MAX_WARNINGS + 21, 0),
        ("{warning: never_true, at: offers.o000, because: x}", MAX_WARNINGS, 1, 20),
        ("{warning: never_true, at: offers.p, because: x}", MAX_WARNINGS, 1, 20),
        // The mark that is stale is found all the same, and is one of those for which there is no room.
        ("{warning: never_true, at: offers.q, because: x}", MAX_WARNINGS, 0, 22),
    ] {
        let text = format!("{SLOT}{many}{last}accept: [{accept}]\n");
        let (engine, sets) = compiled(&[&text]);
        let found = analyse(&engine, &sets, &AnalysisScope::at(Time::parse(NOW).unwrap()));
        let counts = (found.iter().count(), found.accepted, found.omitted);
        assert_eq!(counts, (kept, accepted, omitted), "{accept}");
    }
}
