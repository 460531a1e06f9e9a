//! Loading many customers durably, in records of 1,000 as a bulk request makes them, against writing and
//! syncing the same bytes in a bare loop.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use usher::bundle::Bundle;
use usher::bundle::population::Population;
use usher::customer::update::Update;
use usher::node::Node;
use usher::schema::value::Time;

use super::floor::Floor;
use super::node::{digest, open, open_with_bundle};
use super::{median, runtime};

/// Customers of one record, as in a bulk request.
const CHUNK: usize = 1_000;
/// Customers made before they are written, so that making them is not measured.
const AT_ONCE: usize = 50 * CHUNK;
/// How many requests write side by side.
const STREAMS: [usize; 2] = [1, 4];

pub(crate) fn load(folder: &Path, rows: usize, rounds: usize) {
    let bundle = Bundle::embedded();
    let schema = bundle.parse_schema().unwrap();
    let source = bundle.population.as_ref().unwrap();
    let population = Population::parse(&source.name, &source.text, &schema).unwrap();
    println!(
        "\n{rows} customers of the retail bank, in records of {CHUNK}; medians of {rounds} rounds, interleaved"
    );
    for streams in STREAMS {
        let mut ratios = Vec::new();
        let (mut per_second, mut floor_per_second) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (took, bytes) = load_once(folder, &population, rows, streams);
            let floor = Floor::load(folder, rows / CHUNK, bytes / (rows / CHUNK));
            per_second.push(rows as f64 / took.as_secs_f64());
            floor_per_second.push(rows as f64 / floor.as_secs_f64());
            ratios.push(floor.as_secs_f64() / took.as_secs_f64());
        }
        println!(
            "  {streams} at a time: {:.0} rows/s, floor {:.0} rows/s, node / floor {:.2} ({:.2} to {:.2})",
            median(per_second.into_iter()),
            median(floor_per_second.into_iter()),
            median(ratios.iter().copied()),
            ratios.iter().copied().fold(f64::MAX, f64::min),
            ratios.iter().copied().fold(0.0, f64::max),
        );
    }
}

/// The time that writing took, and the bytes that it added to the journal.
fn load_once(folder: &Path, population: &Population, rows: usize, streams: usize) -> (Duration, usize) {
    let folder = folder.join("bulk");
    let node = open_with_bundle(&folder);
    let before = node.durability().journal_bytes;
    let mut customers = population.customers(rows, Time(jiff::Timestamp::now().as_microsecond()));
    let mut took = Duration::ZERO;
    loop {
        let rows: Vec<_> = customers.by_ref().take(AT_ONCE).collect();
        if rows.is_empty() {
            break;
        }
        took += write_all(&node, chunks(rows), streams);
    }
    let bytes = node.durability().journal_bytes - before;
    assert_eq!(node.customers().len(), rows);
    check_after_restart(&folder, node);
    std::fs::remove_dir_all(&folder).unwrap();
    (took, bytes as usize)
}

fn chunks(rows: Vec<Update>) -> Vec<Vec<Update>> {
    let mut rows = rows.into_iter();
    let chunk = || Some(rows.by_ref().take(CHUNK).collect()).filter(|chunk: &Vec<_>| !chunk.is_empty());
    std::iter::from_fn(chunk).collect()
}

fn write_all(node: &Arc<Node>, chunks: Vec<Vec<Update>>, streams: usize) -> Duration {
    let mut parts: Vec<Vec<_>> = (0..streams).map(|_| Vec::new()).collect();
    for (number, chunk) in chunks.into_iter().enumerate() {
        parts[number % streams].push(chunk);
    }
    let started = Instant::now();
    std::thread::scope(|scope| {
        for part in parts {
            scope.spawn(move || {
                runtime().block_on(async {
                    for chunk in part {
                        node.write(chunk).await.unwrap();
                    }
                });
            });
        }
    });
    started.elapsed()
}

fn check_after_restart(folder: &Path, node: Arc<Node>) {
    let before = digest(&node);
    drop(node);
    assert_eq!(digest(&open(folder)), before, "after a restart");
}
