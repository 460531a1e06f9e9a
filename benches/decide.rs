//! A decision by distribution and number of offers, and reading a row. Every answer is checked against one
//! worked out without the engine before anything is timed.
#![allow(missing_docs, clippy::expect_used)]

mod synthetic;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use synthetic::customer::Customer;
use synthetic::{COUNT, Distribution, Ranked, Synthetic, number_of};
use usher::bundle::Bundle;
use usher::customer::contact::Contact;
use usher::customer::numbers::OfferNumber;
use usher::customer::outcome::OutcomeKind;
use usher::customer::row::Past;
use usher::decide::{Context, NoBudgets, NoLessons, Request, decide, eligible};
use usher::engine::{Engine, OfferId};
use usher::rules::rule_set::RuleSet;
use usher::schema::value::{Time, Value};
use usher::schema::vector::FeatureVector;
use usher::schema::{FeatureId, Schema};

// The server's allocator.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Customers asked for in turn: enough that no branch is learned by heart, few enough to stay in the cache.
const CUSTOMERS: usize = 1_000;

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    let customers = Customer::many(CUSTOMERS);
    for distribution in Distribution::ALL {
        for offers in [100, 1_000, 10_000] {
            for ranked in [Ranked::Statically, Ranked::ByScore] {
                let synthetic = Synthetic::new(distribution, offers, ranked);
                let rows: Vec<Vec<u64>> =
                    customers.iter().map(|customer| customer.row(&synthetic.schema)).collect();
                let asked = [(synthetic.placement(), COUNT)];
                let request = synthetic.request(&asked);
                let top = |row: &[u64]| decide(&synthetic.engine, FeatureVector::new(row), &request, Time(0));
                let all = |row: &[u64], found: &mut Vec<OfferId>| {
                    found.clear();
                    let vector = FeatureVector::new(row);
                    eligible(&synthetic.engine, asked[0].0, vector, &request, Time(0), found);
                };
                let (mut found, mut matches) = (Vec::new(), 0);
                for (customer, row) in customers.iter().zip(&rows) {
                    let fitting = synthetic.fitting(customer);
                    all(row, &mut found);
                    assert_eq!(synthetic.numbers(&found), fitting);
                    let shown = top(row).placements.remove(0).propositions;
                    let shown: Vec<usize> = shown.iter().map(|shown| number_of(&shown.offer.name)).collect();
                    assert_eq!(shown, synthetic.top(customer, &fitting));
                    matches += fitting.len();
                }
                assert!(matches > 0, "nobody fits anything: the bench would time nothing");
                let name = distribution.name();
                let mut rows = rows.iter().cycle();
                let mut next = || black_box(rows.next().expect("there are some").as_slice());
                if ranked == Ranked::Statically {
                    group.bench_function(format!("{name}/{offers} offers/all matches"), |bencher| {
                        bencher.iter(|| {
                            all(next(), &mut found);
                            black_box(found.len())
                        });
                    });
                }
                let by = if ranked == Ranked::Statically { "priority" } else { "score" };
                group.bench_function(format!("{name}/{offers} offers/top {COUNT} by {by}"), |bencher| {
                    bencher.iter(|| black_box(top(next())));
                });
            }
        }
    }
    group.finish();
}

/// The golden decisions of the example banks, with real conditions, guardrails, schedules and locales.
fn golden(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide/golden decision of");
    for name in ["retail-bank", "bank-marketing"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name);
        let checked =
            Bundle::read(&folder).expect("it is there").check().expect("every golden decision comes out");
        let cases: Vec<_> = checked.golden.cases.iter().collect();
        let placements: Vec<_> =
            cases.iter().map(|case| case.resolve(&checked.engine).expect("it is asked right")).collect();
        let histories: Vec<Vec<u64>> =
            cases.iter().map(|case| case.history(&checked.engine).expect("its names are known")).collect();
        let mut next = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                next = (next + 1) % cases.len();
                let request = cases[next].request(&placements[next], &histories[next], false);
                black_box(decide(
                    &checked.engine,
                    FeatureVector::new(&cases[next].row),
                    &request,
                    cases[next].now,
                ))
            });
        });
    }
    group.finish();
}

/// A rule set of 20 offers in one group, with these texts in each offer, in the group, and beside the groups.
fn rule_set(caps: &str, few: &str, top: &str) -> String {
    let mut text = format!(
        "rule_set: r\nplacements: {{slot: {{channels: [app, web]}}}}\ngroups: {{few: {{max: 30{few}}}}}\n{top}guardrails: {{all: 'true'}}\noffers:\n"
    );
    for i in 0..20 {
        text.push_str(&format!("  o{i:02}: {{placements: [slot], attributes: {{group: few}}, treatments: [{{placement: slot, content: 1}}]{caps}}}\n"));
    }
    text
}

/// Twenty contacts of a customer: impressions, but the first of them dismissals.
fn contacts(engine: &Engine, now: Time, dismissed: u32) -> Vec<u64> {
    let contact = |i: u32| {
        // Two impressions of each of the ten best offers, days apart; a dismissal is an hour old.
        let (offer, ago) = (i % 10, 90_000 + i / 10 * 300_000 + i * 60);
        let (kind, ago) =
            if i < dismissed { (OutcomeKind::Dismiss, 3_600) } else { (OutcomeKind::Impression, ago) };
        let place = engine.catalogue.place_number("slot", "app").expect("it has one");
        Contact::new(OfferNumber(offer), place, kind, now.seconds() as u32 - ago).word()
    };
    let mut contacts: Vec<u64> = (0..20).map(contact).collect();
    contacts.sort_unstable();
    contacts
}

/// What caps cost: every offer has ten caps, and the customer has twenty contacts, of the best offers too.
fn caps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide/caps");
    let schema = Arc::new(
        Schema::parse("schema.yaml", "schema: s\nfeatures: {age: {kind: int}}\n").expect("it is right"),
    );
    let capped = rule_set(
        ", caps: [{max: 3, per: 7d}, {max: 2, per: 2d, scope: channel}, {max: 2, per: 2d, timezone: Asia/Shanghai}, {max: 3, per: 30d, on: click}], \
         suppress: {dismiss: 30d, click: 12h, convert: forever}",
        ", caps: [{max: 25, per: 7d}]",
        "caps: {policy: {max: 30, per: 7d, scope: all}, daily: {max: 15, per: 1d, timezone: Asia/Shanghai, scope: channel}}\n",
    );
    let engine = |text: &str| {
        let set = RuleSet::parse("r.yaml", text, &schema).expect("it is right");
        Engine::compile(&schema, &[(Arc::new(set), 1)]).expect("it fits together")
    };
    let (plain, capped) = (engine(&rule_set("", "", "")), engine(&capped));
    let now = Time::parse("2026-11-20T10:00:00Z").expect("a time");
    let (none, passed, stopped) = (Vec::new(), contacts(&capped, now, 0), contacts(&capped, now, 3));
    for (name, engine, contacts, first) in [
        ("none, no contacts", &plain, &none, "o00"),
        ("none, 20 contacts", &plain, &passed, "o00"),
        ("10 caps, no contacts", &capped, &none, "o00"),
        ("10 caps, 20 contacts", &capped, &passed, "o00"),
        ("10 caps, 20 contacts, three offers stopped", &capped, &stopped, "o03"),
    ] {
        let request = Request {
            customer: "c",
            channel: engine.schema.channel_id("app").expect("a usual channel"),
            placements: &[(engine.placement_id("slot").expect("it is defined"), 1)],
            locale: None,
            context: Context::default(),
            past: Past { contacts, ..Past::default() },
            budgets: &NoBudgets,
            lessons: &NoLessons,
            seed: 0,
            explain: false,
            overdue: None,
        };
        let once = || decide(engine, FeatureVector::unknown(), black_box(&request), now);
        let decision = once();
        let shown: Vec<&str> = decision.placements[0].propositions.iter().map(|p| &*p.offer.name).collect();
        assert_eq!(shown, [first]);
        group.bench_function(name, |bencher| bencher.iter(|| black_box(once())));
    }
    group.finish();
}

fn row_read(criterion: &mut Criterion) {
    let synthetic = Synthetic::new(Distribution::Uniform, 1, Ranked::Statically);
    let row = Customer::complete().row(&synthetic.schema);
    let all = (0..synthetic.schema.features().len() as u16).map(FeatureId);
    let present = |row: &[u64]| {
        let vector = FeatureVector::new(row);
        all.clone().filter(|id| vector.get(&synthetic.schema, *id, Time(0)) != Value::Missing).count()
    };
    assert_eq!(present(&row), 64);
    criterion.bench_function("row/read 64 features", |bencher| bencher.iter(|| present(black_box(&row))));
}

criterion_group!(benches, decisions, golden, caps, row_read);
criterion_main!(benches);
