//! A decision by number of offers, and reading a row. Every answer is checked against one worked out without the engine
//! before anything is timed.
#![allow(missing_docs, clippy::expect_used)]

#[allow(dead_code)] // the other bench needs more of it
mod synthetic;

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use synthetic::{Customer, Synthetic};
use usher::bundle::Bundle;
use usher::decide::{Context, Request, decide};
use usher::schema::FeatureId;
use usher::value::{Time, Value};
use usher::vector::FeatureVector;

/// Customers gone through in turn, so that no branch is learnt by heart; few enough to stay in cache.
const CUSTOMERS: usize = 1_000;

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide/top 3 of");
    for offers in [10, 100, 1_000] {
        let synthetic = Synthetic::new(offers);
        let mut rng = fastrand::Rng::with_seed(7);
        let customers: Vec<Customer> = (0..CUSTOMERS).map(|_| Customer::random(&mut rng)).collect();
        let rows: Vec<Vec<u64>> = customers.iter().map(|customer| synthetic.row(customer)).collect();
        let request = Request {
            channel: synthetic.schema.channel_id("app").expect("a usual channel"),
            placements: &[(synthetic.engine.placement_id("slot").expect("it is defined"), 3)],
            locale: None,
            context: Context::default(),
            explain: false,
            overdue: None,
        };
        let answer = |row: &[u64]| decide(&synthetic.engine, FeatureVector::new(row), &request, Time(0));
        let mut found = 0;
        for (customer, row) in customers.iter().zip(&rows) {
            let decision = answer(row);
            let names: Vec<String> =
                decision.placements[0].propositions.iter().map(|p| p.offer.name.to_string()).collect();
            assert_eq!(names, synthetic.expected(customer));
            found += names.len();
        }
        assert!(found > 0, "nobody is shown anything: the bench would time nothing");
        let mut next = 0;
        group.bench_function(format!("{offers} offers"), |bencher| {
            bencher.iter(|| {
                next = (next + 1) % CUSTOMERS;
                black_box(answer(black_box(&rows[next])))
            });
        });
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
    let synthetic = Synthetic::new(1);
    let row = synthetic.row(&Customer::random(&mut fastrand::Rng::with_seed(7)));
    let vector = FeatureVector::new(&row);
    let all = (0..synthetic.schema.features().len() as u16).map(FeatureId);
    let present = all.clone().filter(|id| vector.get(&synthetic.schema, *id) != Value::Missing).count();
    assert_eq!(present, 52, "all but the 12 floats are set");
    criterion.bench_function("row/read 64 features", |bencher| {
        bencher.iter(|| {
            let vector = FeatureVector::new(black_box(&row));
            all.clone().filter(|id| vector.get(&synthetic.schema, *id) != Value::Missing).count()
        });
    });
}

criterion_group!(benches, decisions, golden, row_read);
criterion_main!(benches);
