//! From a rule set's text to an engine that decides, by number of offers. The engine is checked to decide right before
//! anything is timed.
#![allow(missing_docs, clippy::expect_used)]

#[allow(dead_code)] // the other bench needs more of it
mod synthetic;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use synthetic::{Customer, Synthetic};
use usher::analysis::{Known, analyse};
use usher::decide::{Context, Request, decide};
use usher::engine::Engine;
use usher::rule_set::RuleSet;
use usher::value::Time;
use usher::vector::FeatureVector;

fn compile(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10);
    for offers in [10, 100, 1_000] {
        let synthetic = Synthetic::new(offers);
        let engine = || {
            let set = RuleSet::parse("synthetic.yaml", black_box(&synthetic.text), &synthetic.schema)
                .expect("it is right");
            Engine::compile(&synthetic.schema, &[(Arc::new(set), 1)]).expect("it compiles")
        };
        let (made, customer) = (engine(), Customer::random(&mut fastrand::Rng::with_seed(7)));
        assert_eq!(made.offer_count(), offers);
        let request = Request {
            channel: synthetic.schema.channel_id("app").expect("a usual channel"),
            placements: &[(made.placement_id("slot").expect("it is defined"), 3)],
            locale: None,
            context: Context::default(),
            explain: false,
            overdue: None,
        };
        let row = synthetic.row(&customer);
        let decision = decide(&made, FeatureVector::new(&row), &request, Time(0));
        let names: Vec<String> =
            decision.placements[0].propositions.iter().map(|p| p.offer.name.to_string()).collect();
        assert_eq!(names, synthetic.expected(&customer));
        group.bench_function(format!("{offers} offers, text to engine"), |bencher| bencher.iter(engine));
    }
    group.finish();
}

/// Looking for what is hardly meant: for 10,000 offers it must not keep whoever publishes waiting.
fn analysis(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("analyse");
    group.sample_size(10);
    for offers in [1_000, 10_000] {
        let synthetic = Synthetic::new(offers);
        let set = RuleSet::parse("synthetic.yaml", &synthetic.text, &synthetic.schema).expect("it is right");
        let sets = [Arc::new(set)];
        let analyse = || analyse(&synthetic.engine, black_box(&sets), &Known::at(Time(0)));
        // Ranges of 128 of 256 values contradict themselves only where both are over one feature.
        let count = analyse().count();
        assert!(count < offers / 10, "{count} warnings");
        group.bench_function(format!("{offers} offers"), |bencher| bencher.iter(analyse));
    }
    group.finish();
}

criterion_group!(benches, compile, analysis);
criterion_main!(benches);
