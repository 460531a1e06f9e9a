//! Audiences and reach, compared with evaluating the condition for each customer, also while a writer works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::*;
use crate::customer::id::CustomerId;
use crate::engine::Engine;
use crate::expression::{Facts, TagMemo};
use crate::input::problem::Problem;
use crate::rules::rule_set::RuleSet;
use crate::schema::context::Context;
use crate::schema::value::Value;
use crate::schema::vector::FeatureVector;
use crate::schema::{ChannelId, FeatureId, Kind, Moment};
use crate::state::store;
use crate::state::store::{BATCH_ROWS, CustomersWriter};

const SCHEMA: &str = "
schema: t
features:
  age: {kind: int, min: -5, max: 120}
  visits: {kind: int, min: 0, max: 1000000}
  big: {kind: int, min: -9223372036854775807, max: 9223372036854775807}
  aum: {kind: decimal, scale: 2, min: -10, max: 1000}
  score: {kind: float}
  exact: {kind: float, precision: double}
  tier: {kind: enum, values: [mass, gold, private], ordered: true}
  consent: {kind: bool}
  likes: {kind: set, values: [fx, fund, card]}
  many: {kind: set, values: [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, b0, b1, b2, b3, b4, b5, b6, b7, b8, b9]}
  seen: {kind: time}
  born: {kind: time}
  views: {kind: count, event: view, window: 7d}
  spent: {kind: sum, event: view, property: price, window: 7d, buckets: 3}
  least: {kind: min, event: view, property: price}
  place: {kind: last, event: view, property: level, window: 7d}
  viewed: {kind: last, event: view}
events:
  view:
    properties:
      price: {kind: decimal, scale: 1, min: 0, max: 9}
      level: {kind: enum, values: [low, mid, high], ordered: true}
context:
  page: {kind: string}
";

const NOW: Time = Time(1_790_000_000_000_000);

/// Conditions, and pieces from which larger ones are put together.
const CONDITIONS: [&str; 59] = [
    "views >= 3",
    "views == 0 || place == 'low'",
    "spent > 0.1 && age > 30 || least < 0.1",
    "place >= 'mid'",
    "place in ['low', 'high'] || has(customer.viewed)",
    "now - viewed < duration('48h')",
    "least == null || views > age",
    "true",
    "false",
    "age > 30",
    "age != 30",
    "age in [1, 2, 30, 31]",
    "age in [-5, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 30, 120]",
    "!(age in [1, 2, 30, 31])",
    "age + 1 > 30",
    "-age < 3",
    "age * age > 900",
    "visits + 9223372036854775807 > 5",
    "1000 - visits > 500",
    "visits - 20 > 500 && visits - 20 < 700",
    "visits % 7 == 3",
    "visits > age",
    "big > 9223372036854775806",
    "big < 0 || big == 0",
    "big + 1 > 0",
    "5 - big > 0",
    "aum >= 500.25 && aum < 700.5",
    "aum < 0.0",
    "aum * 2.0 > 1000.0",
    "score >= 0.7",
    "score != 0.7",
    "score < -0.0",
    "score < 0.0 || score > 0.0",
    "score > 1e300 || score / 0.0 > 1.0",
    "exact > 1e300 || exact < -1e300",
    "exact in [0.1, 1, 2.5]",
    "!(exact <= 0.1)",
    "has(customer.score)",
    "!has(customer.exact)",
    "!has(customer.likes) || !has(customer.seen)",
    "tier >= 'gold'",
    "tier in ['mass', 'private']",
    "!(tier == 'gold')",
    "string(tier).startsWith('g')",
    "consent",
    "!consent",
    "consent == null || age > 30",
    "'fx' in likes || 'card' in likes",
    "!('fx' in likes)",
    "'b9' in many && !('a0' in many)",
    "size(likes) >= 2",
    "size(many) > 3",
    "now - seen < duration('720h')",
    "seen < now && !(born + duration('9000h') >= now) || now - duration('1h') <= born",
    "visits + 1 < 0.25 * 1000.0 || big + 1 >= 7.5",
    "seen - now > duration('0s') || seen + duration('10h') < now",
    "seen - born > duration('1000h')",
    "tag.rich && !tag.loose",
    "likes.exists(l, l == 'fx') != consent",
];

struct World {
    schema: Schema,
    names: TagNames,
    tags: Vec<Tag>,
}

fn world() -> World {
    let schema = Schema::parse("s", SCHEMA).unwrap();
    let names = TagNames::new(["rich", "loose", "asks"]);
    let tag = |name: &str, text: &str| Tag { name: name.into(), condition: read(&schema, &names, text) };
    let tags = vec![
        tag("rich", "aum > 500.0 && tier > 'mass'"),
        tag("loose", "age < 20 || consent || score * 2.0 > 1.0"),
        tag("asks", "context.page == 'home'"),
    ];
    World { schema, names, tags }
}

fn read(schema: &Schema, tags: &TagNames, text: &str) -> Expression {
    let syntax = Syntax::parse(text, Origin::default()).unwrap();
    Scope { tags, ..Scope::of(schema) }.condition(&syntax).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// A row whose features are missing, extreme, near the constants of the conditions, or anything. Some rows
/// end early.
fn row(schema: &Schema, rng: &mut fastrand::Rng) -> Vec<u64> {
    let mut row = vec![0; schema.row_words()];
    let doubles = [0.0, -0.0, 0.1, 0.7, 1.0, 2.5, 1e301, -1e301, f64::MAX, f64::MIN, f64::MIN_POSITIVE, -0.7];
    let ints = [-5, 0, 1, 2, 19, 20, 29, 30, 31, 50, 120, 500, 520, 719, 720, i64::MIN + 1, i64::MAX];
    for (id, feature) in schema.features().iter().enumerate() {
        let double = *rng.choice(doubles.iter()).unwrap();
        let value = match &feature.kind {
            _ if rng.u8(0..4) == 0 => continue,
            Kind::Int { min, max } if rng.bool() => Value::Int(rng.choice(ints).unwrap().clamp(*min, *max)),
            Kind::Int { min, max } => Value::Int(rng.i64(*min..=*max)),
            Kind::Decimal { .. } => {
                Value::Double(rng.choice([-10.0, -0.01, 0.0, 500.0, 500.25, 500.26, 700.5, 1000.0]).unwrap())
            }
            Kind::Float { double: false } => {
                Value::Double(f64::from((double as f32).clamp(f32::MIN, f32::MAX)))
            }
            Kind::Float { .. } => Value::Double(double),
            Kind::Enum(words) => Value::Text(words.word(rng.u32(0..3)).unwrap().into()),
            Kind::Bool => Value::Bool(rng.bool()),
            Kind::Set(words) => Value::Set(rng.u64(0..1 << words.words().len()), words),
            Kind::Time if rng.u8(0..8) == 0 => {
                Value::Time(Time::from_seconds(*rng.choice([0, 4_294_967_294].iter()).unwrap()))
            }
            Kind::Time => Value::Time(Time::from_seconds(rng.i64(1_780_000_000..1_800_000_000))),
            Kind::Computed(_) => {
                for _ in 0..rng.u8(0..6) {
                    let at = 1_790_000_000 - rng.u32(0..900_000);
                    schema.take(FeatureId(id as u16), &mut row, Moment::told(at), rng.u64(1..=3));
                }
                continue;
            }
            Kind::Text => continue,
        };
        feature.field.unwrap().write(&mut row, feature.kind.encode(&value));
    }
    let length = if rng.u8(0..4) == 0 { rng.usize(0..row.len()) } else { row.len() };
    row.truncate(length);
    row
}

fn id(number: usize) -> CustomerId {
    CustomerId::new(&format!("c-{number}")).unwrap()
}

/// Customers with such rows, some of them erased again; and the rows of those who are left.
fn population(schema: &Schema, customers: usize, seed: u64) -> (CustomersWriter, Vec<Vec<u64>>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut writer, _) = store::customers();
    writer.set_row_words(3); // later words are in further bands
    let mut rows: Vec<_> = (0..customers).map(|_| row(schema, &mut rng)).collect();
    rows.iter().enumerate().for_each(|(number, row)| writer.put(&id(number), row).unwrap());
    for number in (0..customers).rev() {
        if rng.u8(0..5) == 0 {
            assert!(writer.erase(id(number).as_str()));
            rows.swap_remove(number);
        }
    }
    (writer, rows)
}

fn holds(world: &World, condition: &Expression, row: &[u64]) -> bool {
    let (memo, context) = (TagMemo::new(world.tags.len()), Context::default());
    let facts = Facts {
        schema: &world.schema,
        vector: FeatureVector::new(row),
        customer: None,
        context: &context,
        channel: ChannelId(u16::MAX),
        now: NOW,
        tags: &world.tags,
        memo: &memo,
        variables: &[],
    };
    condition.holds(&facts)
}

fn check(world: &World, text: &str, writer: &CustomersWriter, rows: &[Vec<u64>]) -> u64 {
    let condition = read(&world.schema, &world.names, text);
    let audience = Audience::new(&world.schema, &world.tags, &condition, NOW);
    let matching = rows.iter().filter(|row| holds(world, &condition, row)).count() as u64;
    let expected = AudienceCount { matching, total: rows.len() as u64 };
    assert_eq!(audience.count(writer.shared(), || false), Some(expected), "{text}: {:?}", audience.plan);
    matching
}

#[test]
fn every_condition_is_counted_as_it_is_evaluated() {
    let world = world();
    let (writer, rows) = population(&world.schema, 3_000, 4);
    for text in CONDITIONS {
        let matching = check(&world, text, &writer, &rows);
        assert!(matching > 0 || ["false", "big > 9223372036854775806"].contains(&text), "{text}: nobody");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_put_together_is_counted_as_it_is_evaluated(
        pieces in prop::collection::vec((0..CONDITIONS.len(), 0..3_u8, any::<bool>()), 1..7),
        seed in any::<u64>(),
    ) {
        let world = world();
        let (writer, rows) = population(&world.schema, 2 * BATCH_ROWS + 77, seed);
        let mut text = String::new();
        for (place, (piece, operator, negated)) in pieces.into_iter().enumerate() {
            let piece = if negated { format!("!({})", CONDITIONS[piece]) } else { format!("({})", CONDITIONS[piece]) };
            text = match (place, operator) {
                (0, _) => piece,
                (_, 0) => format!("{text} && {piece}"),
                (_, 1) => format!("{text} || {piece}"),
                _ => format!("({text}) && {piece}"),
            };
        }
        check(&world, &text, &writer, &rows);
    }
}

#[test]
fn what_stored_bits_can_tell_is_not_evaluated() {
    let World { schema, names, tags } = &world();
    for (text, cost) in [
        ("age > 30 && consent && tier == 'gold'", 3),
        ("now - seen < duration('720h')", 1),
        ("seen + duration('10h') < now && visits + 1 > 7", 2),
        ("now > timestamp('2020-01-01T00:00:00Z') && score > 0.5", 1),
        ("now < timestamp('2020-01-01T00:00:00Z') && score > 0.5", 0),
        ("size(likes) >= 2 && age * age > 900", 2),
        ("'fx' in likes || 'b9' in many", 2),
        ("tag.rich", 2),
        ("seen < now + duration('720h') && visits - 3 >= age * 0", 101),
        ("seen - born > duration('1000h')", 100),
        ("aum * 2.0 > 1000.0 && consent", 101),
    ] {
        let condition = read(schema, names, text);
        let audience = Audience::new(schema, tags, &condition, NOW);
        assert_eq!(audience.plan.cost(), cost, "{text}: {:?}", audience.plan);
    }
}

#[test]
fn what_only_a_request_knows_is_refused_where_it_stands() {
    let World { schema, tags, .. } = &world();
    for (text, expected) in [
        ("age > 3 && tag.rich", &[][..]),
        ("age > 3 && context.page == 'home'", &[(1, 12, "`context.page`")]),
        (
            "context.channel == 'app'\n || has(context.pag) || agee > 1",
            &[(1, 1, "`context.channel`"), (2, 5, "`context.pag`"), (2, 25, "no feature")],
        ),
        ("tag.rich || tag.asks", &[(1, 13, "tag `asks`")]),
    ] {
        let problems = super::read(text, schema, tags).map_or_else(|problems| problems, |_| Problems::new());
        let place = |problem: &Problem| problem.place.map_or((0, 0), |place| (place.line, place.column));
        let places: Vec<_> = expected.iter().map(|(line, column, _)| (*line, *column)).collect();
        assert_eq!(problems.iter().map(place).collect::<Vec<_>>(), places, "{problems}");
        for (problem, (_, _, part)) in problems.iter().zip(expected) {
            assert!(problem.detail.contains(part), "{}", problem.detail);
        }
    }
}

#[test]
fn a_count_that_nobody_waits_for_any_more_ends() {
    let world = world();
    let (writer, _) = population(&world.schema, 2_000, 1);
    let asked = std::cell::Cell::new(0);
    let condition = read(&world.schema, &world.names, "consent");
    let stop = || asked.replace(asked.get() + 1) == 2;
    assert_eq!(Audience::new(&world.schema, &world.tags, &condition, NOW).count(writer.shared(), stop), None);
    assert_eq!(asked.get(), 3);
}

/// A writer at full speed changes rows between states of which all match or none does. Mixing words of two
/// states would change that.
#[test]
fn no_row_is_counted_in_a_state_it_never_had() {
    const CUSTOMERS: usize = 700;
    let World { schema, names, tags } = &world();
    let feature = |name: &str| schema.feature(schema.feature_id(name).unwrap());
    let state = |big: i64, exact: f64| {
        let mut row = vec![0; schema.row_words()];
        for (name, value) in [("big", Value::Int(big)), ("exact", Value::Double(exact))] {
            feature(name).field.unwrap().write(&mut row, feature(name).kind.encode(&value));
        }
        row
    };
    let states = [state(1, 1.0), state(2, 2.0)];
    let never = read(schema, names, "big == 1 && exact == 2.0 || big == 2 && exact == 1.0");
    let always = read(schema, names, "big == 1 && exact == 1.0 || big == 2 && exact == 2.0");
    let [never, always] = [&never, &always].map(|condition| Audience::new(schema, tags, condition, NOW));
    let (mut writer, customers) = store::customers();
    writer.set_row_words(1);
    (0..CUSTOMERS).for_each(|number| writer.put(&id(number), &states[0]).unwrap());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || {
            let ids: Vec<_> = (0..CUSTOMERS).map(id).collect();
            for (turn, id) in ids.iter().cycle().enumerate() {
                writer.put(id, &states[turn / 300 % 2]).unwrap();
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        for _ in 0..1_000 {
            let total = CUSTOMERS as u64;
            assert_eq!(never.count(&customers, || false), Some(AudienceCount { matching: 0, total }));
            assert_eq!(always.count(&customers, || false), Some(AudienceCount { matching: total, total }));
        }
        stop.store(true, Ordering::Relaxed);
    });
}

const RULES: &str = "
rule_set: r
placements: {slot: {channels: [app], count: 1}}
experiments: {style: {variants: {plain: 50, photo: 50}}}
parameters: {least: {default: 40, style.photo: 30}}
tags: {rich: aum > 500.0, grown: age >= param.least}
guardrails:
  adult: age >= 18
  consented: offer.priority > 5 || consent
offers:
  everyone: {placements: [slot], priority: 9, treatments: [{placement: slot, content: {a: 1}}]}
  rich: {placements: [slot], when: tag.rich && tier > 'mass', treatments: [{placement: slot, content: {a: 1}}]}
  asked:
    placements: [slot]
    when: context.page == 'home' && score >= 0.7
    treatments: [{placement: slot, content: {a: 1}}]
  evaluated:
    placements: [slot]
    when: visits > age
    schedule: {until: 2020-01-01}
    treatments: [{placement: slot, content: {a: 1}}]
  varied: {placements: [slot], variant: style.photo, when: tag.rich, treatments: [{placement: slot, content: {a: 1}}]}
  changed: {placements: [slot], when: tag.rich && age >= param.least, treatments: [{placement: slot, content: {a: 1}}]}
";

fn engine(schema: &Arc<Schema>) -> Engine {
    let set = RuleSet::parse("r.yaml", RULES, schema).unwrap_or_else(|e| panic!("{e}"));
    Engine::compile(schema, &[(Arc::new(set), 1)]).unwrap()
}

#[test]
fn reach_is_what_conditions_and_guardrails_leave() {
    let world = world();
    let (writer, rows) = population(&world.schema, 3_000, 9);
    let engine = engine(&Arc::new(world.schema.clone()));
    let found = reach(&engine, writer.shared(), NOW, u64::MAX, || false).unwrap();
    assert_eq!((found.customers, found.sampled), (rows.len() as u64, rows.len() as u64));
    for (name, text, depends_on_request, open) in [
        ("everyone", "age >= 18", false, true),
        ("rich", "age >= 18 && consent && tag.rich && tier > 'mass'", false, true),
        ("asked", "age >= 18 && consent && score >= 0.7", true, true),
        ("evaluated", "age >= 18 && consent && visits > age", false, false),
        // Columns hold no ids: this counts everyone who would pass in some variant.
        ("varied", "age >= 18 && consent && aum > 500.0", false, true),
        ("changed", "age >= 30 && consent && aum > 500.0", true, true),
    ] {
        let condition = read(&world.schema, &world.names, text);
        let passing = rows.iter().filter(|row| holds(&world, &condition, row)).count() as u64;
        let place = engine.offers().iter().position(|offer| &*offer.name == name).unwrap();
        assert_eq!(found.offers[place], OfferReach { passing, depends_on_request, open }, "{name}");
        assert!(passing > 0);
    }
}

#[test]
fn a_tag_that_depends_on_a_variant_has_no_audience() {
    let engine = engine(&Arc::new(world().schema));
    let problems = super::read("tag.rich && tag.grown", &engine.schema, &engine.tags[0]).unwrap_err();
    let found: Vec<_> = problems.iter().map(|problem| &*problem.detail).collect();
    let why =
        "an audience has no request, so it cannot ask for tag `grown`, which reads the context or a variant";
    assert_eq!(found, [why]);
}

#[test]
fn reach_of_too_many_is_that_of_an_even_sample() {
    let world = world();
    let (writer, rows) = population(&world.schema, 40 * BATCH_ROWS, 9);
    let engine = engine(&Arc::new(world.schema.clone()));
    let all = reach(&engine, writer.shared(), NOW, u64::MAX, || false).unwrap();
    let some = reach(&engine, writer.shared(), NOW, 400_000, || false).unwrap();
    assert!(
        some.sampled < all.sampled && some.sampled > 0 && some.customers == rows.len() as u64,
        "{some:?}"
    );
    let sampled = some.sampled;
    for (all, some) in all.offers.iter().zip(&some.offers) {
        let estimate = some.passing as f64 / sampled as f64 * rows.len() as f64;
        assert!((estimate - all.passing as f64).abs() < rows.len() as f64 * 0.05, "{estimate} {all:?}");
    }
    assert_eq!(reach(&engine, writer.shared(), NOW, u64::MAX, || true), None, "nobody waits for it");
    assert!(reach(&engine, writer.shared(), NOW, 0, || false).unwrap().sampled > 0, "one batch at least");
    assert_eq!(reach(&Engine::empty(&engine.schema), writer.shared(), NOW, 1, || false).unwrap().offers, []);
}
