//! What keeping a write costs: acknowledged writes a second over a data directory with `--sync always`. They
//! stand against the least work that can keep them (append the same bytes, sync) and against Redis with
//! `appendfsync always`. All take turns in one run, so that whatever else the machine does slows all; the
//! ratios count. `cargo bench --bench journal` measures; `-- --quick` is a smoke test whose figures mean
//! nothing.
//!
//! - *floor*: one thread appends to a file and syncs, batch by batch. Its batches are as large as the node's
//!   were in the same round. *floor, full*: each batch has as many writes as there are writers; more cannot
//!   wait at the same time.
//! - *node*: `Node::write` in this process; *http*: PATCH requests to `usher serve`; *redis*: HSET of the
//!   same feature. Writers are tasks of one thread. Each waits for its answer before it writes again.
//!
//! After each round everything that was acknowledged is read back; after the last round also after a restart.
//! Writers change one feature of one of 10,000 customers. The disk is that of the temporary directory
//! (`TMPDIR`).
//!
//! What the numbers are not: Redis is written to over loopback, so compare it with http, not with node.
//! Clients share the machine with the servers. A virtual disk may promise more than it keeps.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::panic)]

mod bulk;
mod events;
mod floor;
mod http;
mod node;
mod redis;
mod socket;

use std::path::Path;
use std::time::{Duration, Instant};

use floor::Floor;
use http::Http;
use node::InProcess;
use redis::Redis;
use tokio::task::{JoinSet, LocalSet};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many customers there are beforehand. Each writer has its own share of them.
pub(crate) const CUSTOMERS: usize = 10_000;
/// The feature that writers change.
pub(crate) const FEATURE: &str = "wealth_views_7d";
/// The largest value of the feature.
const LARGEST: u64 = 60_000;

struct Effort {
    writers: &'static [usize],
    rounds: usize,
    round: Duration,
    rows: usize,
}

/// The figures of one contender in one round.
#[derive(Clone, Copy)]
struct Figure {
    per_second: f64,
    /// How many writes shared a sync, on average.
    batch: f64,
}

/// A client that writes one customer after the other and waits for each answer.
pub(crate) trait Writer: 'static {
    async fn write(&mut self, customer: usize, value: u64);
    async fn read(&mut self, customer: usize) -> u64;
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    // Cargo passes `--bench` to measure; `cargo test --benches` only wants to see it run.
    let quick = arguments.iter().any(|a| a == "--quick") || !arguments.iter().any(|a| a == "--bench");
    let effort = if quick {
        Effort { writers: &[1, 16], rounds: 1, round: Duration::from_millis(100), rows: 5_000 }
    } else {
        Effort { writers: &[1, 16, 64, 256], rounds: 5, round: Duration::from_millis(1_000), rows: 1_000_000 }
    };
    let folder = tempfile::tempdir().unwrap();
    small_writes(folder.path(), &effort);
    events::load(folder.path(), effort.rounds, effort.round);
    bulk::load(folder.path(), effort.rows, if quick { 1 } else { 5 });
}

fn small_writes(folder: &Path, effort: &Effort) {
    let node = InProcess::start(&folder.join("node"));
    let http = Http::start(&folder.join("http"));
    let redis = Redis::start(&folder.join("redis"));
    println!(
        "acknowledged writes/s (writes per sync); medians of {} rounds of {:.1} s, interleaved",
        effort.rounds,
        effort.round.as_secs_f64()
    );
    for &writers in effort.writers {
        let mut figures: [Vec<Figure>; 5] = Default::default();
        for round in 0..=effort.rounds {
            let of_node = measure(|| node.writers(writers), effort.round, || node.syncs());
            let bytes = node.bytes_per_write();
            let floor = Floor::run(folder, of_node.batch.round() as usize, bytes, effort.round);
            let full = Floor::run(folder, writers, bytes, effort.round);
            let of_http = measure(|| http.writers(writers), effort.round, || http.syncs());
            let of_redis = redis.as_ref().map(|redis| measure(|| redis.writers(writers), effort.round, || 0));
            let all = [Some(floor), Some(full), Some(of_node), Some(of_http), of_redis];
            for (figures, figure) in figures.iter_mut().zip(all) {
                figures.extend(figure.filter(|_| round > 0)); // the first round only warms up
            }
        }
        print_table(writers, &figures);
    }
    node.check_after_restart();
    http.check_after_restart();
    if let Some(redis) = redis {
        redis.check_size();
    }
}

fn print_table(writers: usize, figures: &[Vec<Figure>; 5]) {
    let [floor, full, node, http, redis] = figures;
    println!("\n{writers} writers");
    for (name, figures) in
        [("floor", floor), ("floor, full", full), ("node", node), ("http", http), ("redis", redis)]
    {
        if figures.is_empty() {
            continue;
        }
        let batch = median(figures.iter().map(|f| f.batch));
        let batch = if batch > 0.0 { format!("{batch:.1}") } else { "?".to_owned() };
        println!("  {name:<12}{:>12.0}  ({batch})", median(figures.iter().map(|f| f.per_second)));
    }
    for (name, one, other) in [
        ("node / floor", node, floor),
        ("node / floor, full", node, full),
        ("node / redis", node, redis),
        ("http / redis", http, redis),
    ] {
        if !other.is_empty() {
            let ratios = || one.iter().zip(other).map(|(one, other)| one.per_second / other.per_second);
            let (low, high) = (ratios().fold(f64::MAX, f64::min), ratios().fold(0.0, f64::max));
            println!("  {name:<20}{:>6.2}  ({low:.2} to {high:.2})", median(ratios()));
        }
    }
}

/// Lets all writers write for `time`, then reads back what each wrote last.
fn measure<W: Writer>(writers: impl Fn() -> Vec<W>, time: Duration, syncs: impl Fn() -> u64) -> Figure {
    runtime().block_on(LocalSet::new().run_until(async {
        let writers = writers(); // here, because sockets belong to the runtime that makes them
        let count = writers.len();
        let (before, started) = (syncs(), Instant::now());
        let mut tasks = JoinSet::new();
        for (number, writer) in writers.into_iter().enumerate() {
            tasks.spawn_local(write_until(writer, number, count, started + time));
        }
        let mut done = Vec::new();
        while let Some(task) = tasks.join_next().await {
            done.push(task.unwrap());
        }
        let (took, syncs) = (started.elapsed(), syncs() - before);
        let mut writes = 0;
        for (mut writer, last, written) in done {
            writes += written;
            for (customer, value) in last {
                assert_eq!(writer.read(customer).await, value, "customer {customer}");
            }
        }
        let batch = if syncs == 0 { 0.0 } else { writes as f64 / syncs as f64 };
        Figure { per_second: writes as f64 / took.as_secs_f64(), batch }
    }))
}

/// Returns the writer, the last value of each customer that it wrote, and the number of its writes.
async fn write_until<W: Writer>(
    mut writer: W,
    number: usize,
    writers: usize,
    end: Instant,
) -> (W, Vec<(usize, u64)>, u64) {
    let share = CUSTOMERS / writers;
    let mut last = vec![0; share];
    let mut written = 0;
    let mut rng = fastrand::Rng::with_seed(number as u64);
    while Instant::now() < end {
        let (mine, value) = (rng.usize(..share), rng.u64(1..=LARGEST));
        writer.write(mine * writers + number, value).await;
        last[mine] = value;
        written += 1;
    }
    let written_to = last.into_iter().enumerate().filter(|(_, value)| *value > 0);
    (writer, written_to.map(|(mine, value)| (mine * writers + number, value)).collect(), written)
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

pub(crate) fn id(customer: usize) -> String {
    format!("c-{customer:06}")
}
