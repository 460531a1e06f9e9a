//! What is said about guardrails: each condition with its words, and whom it stops.

use super::*;
use crate::customer::id::CustomerId;
use crate::insight::audience::reach;
use crate::schema::Schema;
use crate::state::store;

const SCHEMA: &str = "
schema: t
features:
  age: {kind: int, min: 0, max: 120}
  vip: {kind: bool}
  blocked: {kind: bool}
  class: {kind: enum, values: [R1, R2, R3], ordered: true}
  likes: {kind: set, values: [fx, fund]}
  asked: {kind: time}
  logins: {kind: count, event: login, window: 7d}
events: {login: {}}
context: {page: {kind: string}, waiting: {kind: int, min: 0, max: 99}}
offer_attributes:
  product: {kind: enum, values: [service, fund]}
  risk: {kind: enum, values: [R1, R2, R3], ordered: true}
";

const OFFERS: &str = "rule_set: offers
placements: {slot: {channels: [app], fallback: brand}}
offers:
  low: {placements: [slot], attributes: {product: fund, risk: R1}, treatments: [{placement: slot, content: {}}]}
  high: {placements: [slot], attributes: {product: fund, risk: R3}, treatments: [{placement: slot, content: {}}]}
  plain: {placements: [slot], attributes: {product: fund}, treatments: [{placement: slot, content: {}}]}
  brand: {attributes: {product: service}, treatments: [{placement: slot, content: {}}]}
";

const NOW: Time = Time(1_790_000_000_000_000);

/// An engine of the offers with one guardrail, in a rule set that has these tags too.
fn compiled(guardrail: &str, tags: &str) -> (Engine, Vec<Arc<RuleSet>>) {
    let schema = Arc::new(Schema::parse("s", SCHEMA).unwrap());
    let law = format!("rule_set: law\ntags: {{{tags}}}\nguardrails:\n  g: \"{guardrail}\"\n");
    let read =
        |text: &str| Arc::new(RuleSet::parse("law.yaml", text, &schema).unwrap_or_else(|e| panic!("{e}")));
    let sets = vec![read(OFFERS), read(&law)];
    let versions: Vec<_> = sets.iter().map(|set| (Arc::clone(set), 1)).collect();
    (Engine::compile(&schema, &versions).unwrap_or_else(|e| panic!("{e}")), sets)
}

/// The forms of a guardrail that never stops the fallback: words, what becomes of customers for whom
/// something is missing, and offers.
fn forms(guardrail: &str) -> Vec<String> {
    let guardrail = format!("offer.product == 'service' || ({guardrail})");
    let (engine, sets) = compiled(&guardrail, "strict: age > 60 || blocked");
    let report = understood(&engine, &sets, GuardrailFacts::default(), NOW);
    let line = |form: &GuardrailForm| {
        let missing = form.missing.iter().map(|missing| {
            let words = if missing.words.is_empty() { String::new() } else { format!(" {}", missing.words) };
            format!("; {} {}{words}", missing.fact, missing.fate.name())
        });
        format!("{}: {}{}", form.offers.join(" "), form.words, missing.collect::<String>())
    };
    report.guardrails[0].forms.iter().map(line).collect()
}

#[test]
fn a_guardrail_is_said_as_it_was_understood_with_what_happens_where_something_is_missing() {
    for (guardrail, expected) in [
        ("age >= 18", &["low high plain: if `age` is at least 18; age stopped"][..]),
        (
            "!blocked && age >= 18",
            &["low high plain: if `blocked` is false and `age` is at least 18; blocked stopped; age stopped"],
        ),
        (
            "blocked == null || !blocked",
            &["low high plain: if `blocked` is false or missing; blocked passes"],
        ),
        (
            "vip || age >= 18",
            &[
                "low high plain: if `vip` is true, or `age` is at least 18; vip depends if `age` is at least 18; \
               age depends if `vip` is true",
            ],
        ),
        (
            "offer.risk == null || offer.risk <= class",
            &["low: if `class` is known; class stopped", "high: if `class` is R3; class stopped"],
        ),
        (
            "offer.risk <= class || vip",
            &[
                "low: if `class` is known, or `vip` is true; class depends if `vip` is true; vip depends if `class` is known",
                "high: if `class` is R3, or `vip` is true; class depends if `vip` is true; vip depends if `class` is R3",
                "plain: if `vip` is true; vip stopped",
            ],
        ),
        (
            "asked == null || now - asked < duration('24h')",
            &["low high plain: if `asked` is missing, or `now - asked` is below 1 days; asked passes"],
        ),
        ("offer.risk != 'R3'", &["high: for nobody"]),
        // A comparison with what the offer does not say has no answer.
        (
            "offer.risk <= class",
            &[
                "low: if `class` is known; class stopped",
                "high: if `class` is R3; class stopped",
                "plain: for nobody",
            ],
        ),
        (
            "context.waiting == null || context.waiting < 5",
            &[
                "low high plain: if `context.waiting` is missing, or `context.waiting` is at most 4; context.waiting passes",
            ],
        ),
        (
            "age + context.waiting < 50",
            &[
                "low high plain: if `age + context.waiting` is at most 49; age stopped; context.waiting stopped",
            ],
        ),
        ("logins < 5", &["low high plain: if `logins` is at most 4"]),
        (
            "!tag.strict",
            &["low high plain: if `age` is at most 60 and `blocked` is false; age stopped; blocked stopped"],
        ),
        (
            "context.channel != 'sms' || vip",
            &["low high plain: if `context.channel` is anything but sms, or `vip` is true; vip depends if \
             `context.channel` is anything but sms"],
        ),
        (
            "likes.exists(l, l == 'fx')",
            &["low high plain: if `likes.exists(x, x == 'fx')` is true; likes stopped"],
        ),
    ] {
        assert_eq!(forms(guardrail), expected, "{guardrail}");
    }
}

#[test]
fn a_tag_that_stays_a_tag_is_said_too() {
    let (engine, sets) = compiled(
        "offer.product == 'service' || tag.strict",
        "strict: age > 60 || tag.free, free: vip || blocked",
    );
    let report = understood(&engine, &sets, GuardrailFacts::default(), NOW);
    let guardrail = &report.guardrails[0];
    assert_eq!(guardrail.forms[0].words, "if `tag.strict` is true");
    let tags: Vec<String> = guardrail.tags.iter().map(|(name, words)| format!("{name} {words}")).collect();
    assert_eq!(
        tags,
        [
            "strict if `age` is at least 61, or `tag.free` is true",
            "free if `vip` is true, or `blocked` is true"
        ]
    );
}

#[test]
fn a_guardrail_says_whom_it_stops_on_which_offers() {
    let (engine, sets) =
        compiled("offer.product == 'service' || offer.risk == null || offer.risk <= class", "");
    let schema = &engine.schema;
    let (mut writer, customers) = store::customers();
    writer.set_row_words(schema.row_words());
    let field = schema.feature(schema.feature_id("class").unwrap()).field.unwrap();
    for (number, code) in [0, 0, 1, 2, 3, 3, 3].into_iter().enumerate() {
        let mut row = vec![0; schema.row_words()];
        field.write(&mut row, code);
        writer.put(&CustomerId::new(&format!("c-{number}")).unwrap(), &row).unwrap();
    }
    let reach = reach(&engine, &customers, NOW, u64::MAX, || false).unwrap();
    let facts = GuardrailFacts { reach: Some(&reach), golden: None };
    let report = understood(&engine, &sets, facts, NOW);
    assert_eq!(report.customers, Some(7));
    let guardrail = &report.guardrails[0];
    let found: Vec<_> = guardrail.forms.iter().map(|form| (form.offers.join(" "), form.stopped)).collect();
    assert_eq!(found, [("low".to_owned(), Some(2)), ("high".to_owned(), Some(4))]);
    assert_eq!((guardrail.passing_offers, guardrail.line), (2, 4));
}
