//! From a rule set's text to an engine that decides, and compiling alone, by number of offers. The engine's
//! decisions are checked before anything is timed.
#![allow(missing_docs, clippy::expect_used)]

mod synthetic;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use synthetic::customer::Customer;
use synthetic::{COUNT, Distribution, Ranked, Synthetic};
use usher::decide::eligible;
use usher::engine::Engine;
use usher::insight::analysis::{AnalysisScope, analyse};
use usher::rules::rule_set::RuleSet;
use usher::schema::value::Time;
use usher::schema::vector::FeatureVector;

// The server's allocator: compiling is mostly allocation.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn compile(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10);
    for distribution in Distribution::ALL {
        for offers in [1_000, 10_000] {
            let synthetic = Synthetic::new(distribution, offers, Ranked::Statically);
            check(&synthetic);
            let name = distribution.name();
            let parse = || {
                RuleSet::parse("synthetic.yaml", black_box(&synthetic.text), &synthetic.schema)
                    .expect("it is right")
            };
            let engine =
                |set: Arc<RuleSet>| Engine::compile(&synthetic.schema, &[(set, 1)]).expect("it compiles");
            group.bench_function(format!("{name}/{offers} offers/text to engine"), |bencher| {
                bencher.iter(|| engine(Arc::new(parse())));
            });
            group.bench_function(format!("{name}/{offers} offers/engine alone"), |bencher| {
                bencher.iter(|| engine(Arc::clone(&synthetic.rule_set)));
            });
        }
    }
    group.finish();
}

fn check(synthetic: &Synthetic) {
    let asked = [(synthetic.placement(), COUNT)];
    let request = synthetic.request(&asked);
    for customer in Customer::many(10) {
        let (row, mut found) = (customer.row(&synthetic.schema), Vec::new());
        eligible(&synthetic.engine, asked[0].0, FeatureVector::new(&row), &request, Time(0), &mut found);
        assert_eq!(synthetic.numbers(&found), synthetic.fitting(&customer));
    }
}

/// The analysis behind the warnings: with 10,000 offers it must not keep a publisher waiting.
fn analysis(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("analyse");
    group.sample_size(10);
    for offers in [1_000, 10_000] {
        let synthetic = Synthetic::new(Distribution::Uniform, offers, Ranked::Statically);
        let set = RuleSet::parse("synthetic.yaml", &synthetic.text, &synthetic.schema).expect("it is right");
        let sets = [Arc::new(set)];
        let analyse = || analyse(&synthetic.engine, black_box(&sets), &AnalysisScope::at(Time(0)));
        let count = analyse().count();
        assert!(count < offers / 2, "{count} warnings");
        group.bench_function(format!("{offers} offers"), |bencher| bencher.iter(analyse));
    }
    group.finish();
}

criterion_group!(benches, compile, analysis);
criterion_main!(benches);
