mod random;

use std::cell::Cell;
use std::sync::Arc;

use super::*;
use crate::problem::Problems;
use crate::rule_set::RuleSet;
use crate::schema::Schema;

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
        (vec![placements], vec!["3: the fallback `brand` is no offer of an active rule set"]),
        (
            vec![&with_brand, "rule_set: q\nplacements: {slot: {channels: [app]}}\n"],
            vec!["2: placement `slot` is defined by rule set `p` too"],
        ),
        (
            vec![
                &with_brand,
                "rule_set: q\noffers:\n  brand: {placements: [slot], treatments: [{placement: slot, content: 2}]}\n",
            ],
            vec!["3: offer `brand` is in rule set `p` too"],
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
        ["3: tag `a` is defined by itself: b → c → b"]
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
        let request = Request {
            channel: engine.schema.channel_id("app").unwrap(),
            placements: &[(engine.placement_id("slot").unwrap(), 2)],
            locale: None,
            context: Context::default(),
            explain: true,
            overdue: Some(&overdue),
        };
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
