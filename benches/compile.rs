//! From a rule set's text to an engine that decides, and compiling alone, by number of offers; and the same
//! when one offer changed and the version before is in force. The engine's decisions are checked before
//! anything is timed.
#![allow(missing_docs, clippy::expect_used)]

mod synthetic;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
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

/// The CPU time of this thread, which does all the work. Neighbours on a shared machine do not count.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    }

    fn end(&self, start: Duration) -> Duration {
        self.start() - start
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        static TIME: WallTime = WallTime;
        TIME.formatter()
    }
}

fn compile(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10);
    for distribution in Distribution::ALL {
        for offers in [1_000, 10_000] {
            let synthetic = Synthetic::new(distribution, offers, Ranked::Statically);
            check(&synthetic, &synthetic.engine);
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

/// What may change in one offer.
const CHANGES: [(&str, &str, &str); 2] = [
    ("another content", "content: {n: 500}", "content: {n: 1500000}"),
    (
        "another condition",
        "    treatments: [{placement: slot, content: {n: 500}}]",
        "    schedule: {from: 2020-01-01}\n    treatments: [{placement: slot, content: {n: 500}}]",
    ),
];

fn again(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("compile again");
    group.sample_size(20);
    for offers in [1_000, 10_000] {
        let synthetic = Synthetic::new(Distribution::Uniform, offers, Ranked::Statically);
        let (schema, before) = (&synthetic.schema, &synthetic.engine);
        for (what, from, to) in CHANGES {
            assert_eq!(synthetic.text.matches(from).count(), 1, "{what}");
            let text = synthetic.text.replace(from, to);
            let compile = || {
                let earlier = Some(&*synthetic.rule_set);
                let set = RuleSet::parse_after("synthetic.yaml", black_box(&text), schema, earlier);
                let sets = [(Arc::new(set.expect("it is right")), 2)];
                let compiled = Engine::compile_after(schema, &sets, &before.catalogue, Some(before));
                (compiled.expect("it compiles").0, sets) // a node keeps the rule sets too
            };
            check(&synthetic, &compile().0);
            let name = format!("{offers} offers/{what}/text to engine");
            group.bench_function(name, |bencher| bencher.iter_with_large_drop(compile));
        }
    }
    group.finish();
}

fn check(synthetic: &Synthetic, engine: &Engine) {
    let asked = [(synthetic.placement(), COUNT)];
    let (request, now) = (synthetic.request(&asked), Time::from_seconds(1_800_000_000));
    for customer in Customer::many(10) {
        let (row, mut found) = (customer.row(&synthetic.schema), Vec::new());
        eligible(engine, asked[0].0, FeatureVector::new(&row), &request, now, &mut found);
        assert_eq!(synthetic.numbers(&found), synthetic.fitting(&customer));
    }
}

/// The analysis behind the warnings: with 10,000 offers it must not keep a publisher waiting.
fn analysis(criterion: &mut Criterion<CpuTime>) {
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

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = compile, again, analysis
}
criterion_main!(benches);
