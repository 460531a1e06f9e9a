//! Whether rule sets fit together, fallbacks past the deadline, and explanations. Each file of the folder
//! tests one more part of deciding.

mod again;
mod caps;
mod experiments;
mod learning;
mod random;
mod versions;

use std::cell::Cell;
use std::sync::Arc;

use super::*;
use crate::input::problem::Problems;
use crate::rules::rule_set::RuleSet;
use crate::schema::Schema;
use crate::schema::value::Value;

const SCHEMA: &str = "
schema: t
features:
  age: {kind: int, min: 0, max: 120}
  consent: {kind: bool}
offer_attributes:
  risk: {kind: enum, values: [R1, R2], ordered: true}
  own: {kind: int}
";

fn compile(texts: &[&str]) -> Result<Engine, Problems> {
    let schema = Arc::new(Schema::parse("schema.yaml", SCHEMA).unwrap());
    let sets: Result<Vec<_>, _> = texts
        .iter()
        .map(|text| RuleSet::parse("r.yaml", text, &schema).map(|set| (Arc::new(set), 1)))
        .collect();
    Engine::compile(&schema, &sets?)
}

/// The request of every test that says nothing else: these placements in the app, for a customer without
/// contacts.
fn asked<'a>(engine: &Engine, placements: &'a [(PlacementId, usize)]) -> Request<'a> {
    Request {
        customer: "c",
        channel: engine.schema.channel_id("app").unwrap(),
        placements,
        locale: None,
        context: Context::default(),
        past: Past::default(),
        budgets: &NoBudgets,
        lessons: &NoLessons,
        seed: 0,
        explain: false,
        overdue: None,
    }
}

fn details(texts: &[&str]) -> Vec<String> {
    let problems = compile(texts).err().unwrap_or_default();
    problems.iter().map(|p| format!("{}: {}", p.place.map_or(0, |place| place.line), p.detail)).collect()
}

#[test]
fn what_does_not_fit_together_is_refused_with_its_place() {
    let placements = "rule_set: p\nplacements:\n  slot: {channels: [app], fallback: brand}\n";
    let brand = "offers:\n  brand: {treatments: [{placement: slot, content: 1}]}\n";
    let with_brand = format!("{placements}{brand}");
    for (texts, expected) in [
        (vec![with_brand.as_str()], vec![]),
        (vec![placements], vec!["3: the fallback `brand` is not an offer of any active rule set"]),
        (
            vec![&with_brand, "rule_set: q\nplacements: {slot: {channels: [app]}}\n"],
            vec!["2: placement `slot` is also defined by rule set `p`"],
        ),
        (
            vec![
                &with_brand,
                "rule_set: q\noffers:\n  brand: {placements: [slot], treatments: [{placement: slot, content: 2}]}\n",
            ],
            vec!["3: offer `brand` is also in rule set `p`"],
        ),
        (
            vec![
                &with_brand,
                "rule_set: q\noffers:\n  a: {placements: [slto], treatments: [{placement: slto, content: 2}]}\n",
            ],
            vec![
                "3: no active rule set defines placement `slto`",
                "3: no active rule set defines placement `slto`",
            ],
        ),
        (
            vec![&with_brand, "rule_set: law\nguardrails:\n  consent: consent\n"],
            vec!["5: offer `brand` is the fallback of placement `slot`: guardrail `consent` could stop it"],
        ),
        (
            vec![&with_brand, "rule_set: law\nguardrails:\n  consent: consent || offer.id == 'brand'\n"],
            vec![],
        ),
        (
            vec![&format!(
                "{placements}offers:\n  brand: {{when: age > 3, treatments: [{{placement: slot, locale: zh, content: 1}}]}}\n"
            )],
            vec![
                "5: offer `brand` is the fallback of placement `slot`: it may have no `when` and no `schedule`",
                "5: offer `brand` is the fallback of placement `slot`: it has no treatment without a locale there",
            ],
        ),
        (
            vec![
                &with_brand,
                "rule_set: q\nplacements: {other: {channels: [app]}}\noffers:\n  a: {placements: [slot], treatments: [{placement: slot, content: 2}, {placement: other, content: 3}]}\n",
            ],
            vec!["4: offer `a` is never shown on placement `other`"],
        ),
    ] {
        assert_eq!(details(&texts), expected, "{texts:?}");
    }
}

#[test]
fn what_is_left_blank_is_not_taken_for_always() {
    let set = "rule_set: r\nplacements: {slot: {channels: [app]}}\noffers:\n  a: {placements: [slot], when: , treatments: [{placement: slot, content: 1}]}\n";
    assert_eq!(details(&[set]), ["4: `when` is empty"]);
}

#[test]
fn tags_in_a_circle_or_too_deep_are_refused() {
    assert_eq!(
        details(&["rule_set: r\ntags:\n  a: tag.b\n  b: tag.c && age > 3\n  c: '!tag.b'\n"]),
        ["3: tag `a` depends on itself: b → c → b"]
    );
    let chain: String =
        (0..40).map(|i| format!("  t{i}: '(tag.t{} ? 1 : 0){} > 0'\n", i + 1, " + 1".repeat(60))).collect();
    let deep = format!("rule_set: r\ntags:\n{chain}  t40: consent\n");
    assert_eq!(details(&[&deep]).len(), 1);
    assert!(
        details(&[&deep])[0].contains("more than 256 operators inside each other"),
        "{:?}",
        details(&[&deep])
    );
}

#[test]
fn guardrails_are_narrowed_once_for_offers_that_are_alike() {
    let mut set = String::from("rule_set: r\nplacements: {slot: {channels: [app]}}\noffers:\n");
    for i in 0..200 {
        let risk = ["R1", "R2"][i % 2];
        set.push_str(&format!(
            "  o{i}: {{placements: [slot], attributes: {{risk: {risk}, own: {i}}}, treatments: [{{placement: slot, content: 1}}]}}\n"
        ));
    }
    let law = "rule_set: law\nguardrails:\n  r: offer.risk == 'R1' || age > 30\n  all: consent\n";
    let engine = compile(&[&set, law]).unwrap();
    assert_eq!(engine.offers().iter().map(|offer| offer.guardrails.len()).sum::<usize>(), 100 + 200);
    assert_eq!(engine.guardrails.len(), 2);
}

#[test]
fn past_the_deadline_the_fallback_is_shown_and_every_offer_is_explained() {
    let mut set = String::from(
        "rule_set: r\nplacements: {slot: {channels: [app], fallback: brand}}\noffers:\n  brand: {treatments: [{placement: slot, content: 1}]}\n",
    );
    for i in 0..600 {
        set.push_str(&format!(
            "  o{i}: {{placements: [slot], treatments: [{{placement: slot, content: 1}}]}}\n"
        ));
    }
    let engine = compile(&[&set]).unwrap();
    for (looks, fallback, not_looked_at) in [(0, true, 600), (1, false, 88), (9, false, 0)] {
        let left = Cell::new(looks);
        let overdue = || left.replace(left.get() - 1) <= 0;
        let placements = &[(engine.placement_id("slot").unwrap(), 2)];
        let request = Request { explain: true, overdue: Some(&overdue), ..asked(&engine, placements) };
        let decision = decide(&engine, FeatureVector::unknown(), &request, Time(0));
        let shown = &decision.placements[0];
        let late = shown
            .explanations
            .iter()
            .filter(|e| e.stopped_by.as_ref().is_some_and(|s| s.kind == StopKind::Deadline));
        assert_eq!((shown.fallback, late.count(), shown.explanations.len()), (fallback, not_looked_at, 600));
        assert_eq!(decision.degraded, not_looked_at > 0);
    }
}

/// Why offer `o` is not shown: the kind, the failing part, the alternatives that lack something, when it
/// opens.
fn explained(rules: &str, age: Option<i64>, consent: Option<bool>) -> String {
    let head = "rule_set: r\nplacements: {slot: {channels: [app]}}\n";
    let engine = compile(&[&format!(
        "{head}{rules}, placements: [slot], treatments: [{{placement: slot, content: 1}}]}}\n"
    )])
    .unwrap();
    let mut row = vec![0; engine.schema.row_words()];
    let mut set = |name: &str, value: Option<Value<'_>>| {
        let feature = engine.schema.feature(engine.schema.feature_id(name).unwrap());
        value.iter().for_each(|value| feature.field.unwrap().write(&mut row, feature.kind.encode(value)));
    };
    set("age", age.map(Value::Int));
    set("consent", consent.map(Value::Bool));
    let placements = &[(engine.placement_id("slot").unwrap(), 1)];
    let request = Request { explain: true, ..asked(&engine, placements) };
    let now = Time::parse("2026-11-20T10:00:00Z").unwrap();
    let decision = decide(&engine, FeatureVector::new(&row), &request, now);
    let Some(stop) = &decision.placements[0].explanations[0].stopped_by else { return "shown".into() };
    let lack = |lack: &Lack<'_>| {
        let tag = lack.tag.map_or(String::new(), |tag| format!(" (tag {tag})"));
        format!("{} is {}, needs {}{tag}", lack.term(&engine), lack.value, lack.needs(&engine))
    };
    let ways: Vec<String> =
        stop.lacks.iter().map(|way| way.iter().map(lack).collect::<Vec<_>>().join(" & ")).collect();
    let opens = stop.opens().map_or(String::new(), |opens| format!(" opens {opens}"));
    format!("{} {}: {}{opens}", stop.kind.name(), stop.condition.unwrap_or(&stop.name), ways.join(" | "))
}

#[test]
fn an_explanation_says_what_would_have_let_it_pass() {
    let tags = "tags: {old: age > 60, any: age > 60 || consent, deep: tag.any && age > 3}\n";
    let when = |condition: &str| format!("{tags}offers:\n  o: {{when: \"{condition}\"");
    for (condition, age, consent, expected) in [
        ("age > 30", Some(31), None, "shown"),
        ("age > 30", Some(30), None, "when age > 30: age is 30, needs at least 31"),
        (
            "consent && age > 30",
            Some(7),
            None,
            "when consent: consent is missing, needs true & age is 7, needs at least 31",
        ),
        (
            "age > 30 || consent",
            None,
            Some(false),
            "when age > 30 || consent: age is missing, needs at least 31 | consent is false, needs true",
        ),
        (
            "age > 30 && consent || age == 9",
            Some(7),
            None,
            "when age > 30 && consent || age == 9: age is 7, needs 9 | age is 7, needs at least 31 & consent is missing, needs true",
        ),
        ("tag.old", Some(7), None, "when tag.old: age is 7, needs at least 61"),
        (
            "tag.any",
            Some(7),
            Some(false),
            "when tag.any: age is 7, needs at least 61 (tag any) | consent is false, needs true (tag any)",
        ),
        ("!tag.any", Some(7), Some(true), "when !tag.any: consent is true, needs false"),
        (
            "tag.deep && age > 5",
            Some(2),
            None,
            "when tag.deep: age is 2, needs at least 6 & age is 2, needs at least 61 (tag any) | age is 2, needs at least 6 & consent is \
             missing, needs true (tag any)",
        ),
        ("age > 5 && age < 3", Some(2), None, "when age > 5: "),
        ("age * age > 50", Some(2), None, "when age * age > 50: age * age is 4, needs at least 51"),
        (
            "now < timestamp('2026-01-01T00:00:00Z')",
            None,
            None,
            "when now < timestamp('2026-01-01T00:00:00Z'): now is 2026-11-20T10:00:00Z, needs before 2026-01-01T00:00:00Z",
        ),
        (
            "context.channel == 'sms'",
            None,
            None,
            "when context.channel == 'sms': context.channel is 'app', needs sms",
        ),
    ] {
        let found = explained(&when(condition), age, consent);
        assert_eq!(found, expected, "{condition}");
    }
    let law = "guardrails: {adult: age >= 18}\noffers:\n  o: {priority: 3";
    assert_eq!(explained(law, None, None), "guardrail age >= 18: age is missing, needs at least 18");
    let closed = "offers:\n  o: {schedule: {hours: '18:00-20:00'}";
    assert_eq!(explained(closed, None, None), "schedule hours 18:00-20:00:  opens 2026-11-20T18:00:00Z");
    assert_eq!(
        explained("offers:\n  o: {schedule: {until: 2026-01-01}", None, None),
        "schedule until 2026-01-01: "
    );
}
