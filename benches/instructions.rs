//! Instructions of one decision, counted by valgrind: a figure that other work on the machine does not
//! change. `cargo bench --no-default-features --bench instructions` takes a minute or two; valgrind wants the
//! system's allocator.
//!
//! Neither criterion nor a difference of two runs is needed: callgrind counts inside one function only, so
//! building the engine is never counted. It does not see cache misses and mispredicted branches.
#![allow(missing_docs, clippy::expect_used, clippy::print_stdout)]

mod synthetic;

use std::hint::black_box;
use std::process::Command;

use synthetic::customer::Customer;
use synthetic::{COUNT, Distribution, Ranked, Synthetic};
use usher::customer::numbers::ArmNumber;
use usher::decide::{Request, decide, eligible};
use usher::insight::decided::Decided;
use usher::schema::value::Time;
use usher::schema::vector::FeatureVector;

/// How many decisions are counted, each for another customer.
const DECISIONS: usize = 200;
/// The argument of the process that runs under valgrind.
const CHILD: &str = "--count";

const DISTRIBUTIONS: [Distribution; 2] = [Distribution::Uniform, Distribution::Segmented];
const OFFERS: [usize; 2] = [1_000, 10_000];
const WHAT: [&str; 4] = ["top 3 by priority", "top 3, counted", "top 3 by score", "all matches"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, distribution, offers, what] = &arguments[..]
        && flag == CHILD
    {
        let distribution = DISTRIBUTIONS.into_iter().find(|d| d.name() == distribution).expect("one of them");
        count(distribution, offers.parse().expect("a number"), what);
        return;
    }
    println!("{:<24}{:>10}{:>20}{:>26}", "", "offers", "", "instructions a decision");
    for distribution in DISTRIBUTIONS {
        for offers in OFFERS {
            for what in WHAT {
                let figure = counted(distribution, offers, what) / DECISIONS as u64;
                println!("{:<24}{offers:>10}{what:>20}{figure:>26}", distribution.name());
            }
        }
    }
}

/// Instructions of all decisions of one process under valgrind.
fn counted(distribution: Distribution, offers: usize, what: &str) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg("--toggle-collect=*instructions::decisions*")
        .arg(std::env::current_exe().expect("it has a path"))
        .args([CHILD, distribution.name(), &offers.to_string(), what])
        .output()
        .expect("valgrind is installed");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let line = log.lines().find_map(|line| line.split_once("Collected :")).expect("callgrind says it");
    line.1.trim().parse().expect("a number")
}

fn count(distribution: Distribution, offers: usize, what: &str) {
    let ranked = if what == WHAT[2] { Ranked::ByScore } else { Ranked::Statically };
    let synthetic = Synthetic::new(distribution, offers, ranked);
    let customers = Customer::many(DECISIONS);
    let rows: Vec<Vec<u64>> = customers.iter().map(|customer| customer.row(&synthetic.schema)).collect();
    let asked = [(synthetic.placement(), COUNT)];
    let decided = Decided::new(Time(0)).grown(&synthetic.engine, |_| None::<ArmNumber>);
    let decided = (what == WHAT[1]).then_some(&*decided);
    let all = what == WHAT[3];
    let found = decisions(&synthetic, &rows, &synthetic.request(&asked), all, decided);
    let most = if all { usize::MAX } else { COUNT };
    let fitting = customers.iter().map(|customer| synthetic.fitting(customer).len().min(most));
    assert_eq!(found, fitting.sum::<usize>());
}

/// The function whose instructions are counted. Returns how many offers were found.
#[inline(never)]
fn decisions(
    synthetic: &Synthetic,
    rows: &[Vec<u64>],
    request: &Request<'_>,
    all: bool,
    decided: Option<&Decided>,
) -> usize {
    let (mut found, mut count) = (Vec::new(), 0);
    for row in rows {
        let vector = FeatureVector::new(black_box(row));
        if all {
            found.clear();
            eligible(&synthetic.engine, request.placements[0].0, vector, request, Time(0), &mut found);
            count += black_box(&found).len();
        } else {
            let decision = decide(&synthetic.engine, vector, request, Time(0));
            if let Some(decided) = decided {
                decided.count(request.channel, &decision, |_| None::<ArmNumber>);
            }
            count += black_box(decision).placements[0].propositions.len();
        }
    }
    count
}
