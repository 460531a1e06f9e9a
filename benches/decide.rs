//! A decision by distribution and number of offers, and reading a row. Every answer is checked against one worked out
//! without the engine before anything is timed.
#![allow(missing_docs, clippy::expect_used)]

mod synthetic;

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use synthetic::customer::Customer;
use synthetic::{COUNT, Distribution, Ranked, Synthetic, number_of};
use usher::bundle::Bundle;
use usher::decide::{decide, eligible};
use usher::engine::OfferId;
use usher::schema::FeatureId;
use usher::value::{Time, Value};
use usher::vector::FeatureVector;

// As the server has it: compiling is little else than allocating.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Customers gone through in turn, so that no branch is learnt by heart; few enough to stay in cache.
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

/// The golden decisions of the example banks: real conditions, guardrails, schedules and locales.
fn golden(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide/golden decision of");
    for name in ["retail-bank", "bank-marketing"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name);
        let checked =
            Bundle::read(&folder).expect("it is there").check().expect("every golden decision comes out");
        let cases: Vec<_> = checked.golden.cases.iter().collect();
        let placements: Vec<_> =
            cases.iter().map(|case| case.resolve(&checked.engine).expect("it is asked right")).collect();
        let mut next = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                next = (next + 1) % cases.len();
                let request = cases[next].request(&placements[next], false);
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

criterion_group!(benches, decisions, golden, row_read);
criterion_main!(benches);
