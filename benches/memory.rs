//! What a customer costs in memory, by the system's count and by the store's own: ids of 16 bytes, rows of 96 bytes.
//!
//! `cargo bench --bench memory` measures 1 and 10 million customers, each in a process of its own, so that none is
//! measured in memory that another left behind; `-- 3000000 grown` measures that many, grown from nothing.
//!
//! The allocator is built without huge pages: with them its unused ends of blocks become resident too (a hash table takes
//! 33/32 of a power of two, which mimalloc rounds up by a fifth), and a customer took 208 to 215 bytes of a million, 179 to
//! 180 of ten. One million is the dearest size: the tables have just doubled.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::time::{Duration, Instant};

use usher::customer::CustomerId;
use usher::store::{self, Customers, CustomersWriter, Row};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WORDS: usize = 12;

/// How many customers, and the bytes that each may take.
const LIMITS: [(usize, f64); 2] = [(1_000_000, 200.0), (10_000_000, 185.0)];

/// The store's own figure and the system's may differ by this share, unless it grew.
const TOLERANCE: f64 = 0.05;

/// The allocator gives back what was freed after its purge delay of 1 s, and only when it is called.
const SETTLING: Duration = Duration::from_millis(2500);

/// How the store comes to its customers.
#[derive(Clone, Copy, PartialEq)]
enum Fill {
    /// As from a snapshot, whose number of customers is known.
    Expected,
    /// One by one from nothing, then some ordinary traffic.
    Grown,
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let fill =
        if arguments.iter().any(|argument| argument == "grown") { Fill::Grown } else { Fill::Expected };
    match arguments.iter().find_map(|argument| argument.parse().ok()) {
        Some(count) => measure(count, fill),
        None if arguments.iter().any(|argument| argument == "--bench") => measure_all(),
        None => measure(10_000, fill), // `cargo test` runs this too
    }
}

fn measure_all() {
    let program = std::env::current_exe().unwrap();
    for (count, _) in LIMITS {
        for fill in ["expected", "grown"] {
            let mut command = std::process::Command::new(&program);
            command.args([&count.to_string(), fill]);
            assert!(command.status().unwrap().success(), "{count} {fill}");
        }
    }
}

fn measure(count: usize, fill: Fill) {
    let before = resident();
    let started = Instant::now();
    let (mut writer, store) = store::with_room_for(if fill == Fill::Expected { count } else { 0 });
    let mut slowest = Duration::ZERO;
    for number in 0..count {
        let id = id(number);
        let put = Instant::now();
        writer.put(&id, &[number as u64 + 1; WORDS]).unwrap();
        slowest = slowest.max(put.elapsed());
    }
    let took = started.elapsed();
    if fill == Fill::Grown && count > 10_000 {
        settle(&mut writer, count);
    }
    let resident = resident().saturating_sub(before) as f64 / count as f64;
    let own = store.memory();
    check(&store, count);
    println!(
        "{count:>9} customers, {}: {resident:.1} bytes each resident, {:.1} by the store's own count; \
         filled in {:.1} s, slowest put {:.2} ms",
        if fill == Fill::Expected { "expected" } else { "grown" },
        own.bytes_per_customer(),
        took.as_secs_f64(),
        slowest.as_secs_f64() * 1e3,
    );
    let limit = LIMITS.iter().find(|(customers, _)| *customers == count);
    if let Some((_, limit)) = limit {
        assert!(own.bytes_per_customer() <= *limit, "more than {limit} bytes by the store's own count");
        assert!(resident <= *limit, "more than {limit} bytes resident");
        let off = (own.bytes_per_customer() - resident).abs() / resident;
        assert!(
            fill == Fill::Grown || resident == 0.0 || off <= TOLERANCE,
            "the store's own count is off by {off:.3}"
        );
    }
}

/// Overwrites rows, and takes and frees memory as requests do.
fn settle(writer: &mut CustomersWriter, count: usize) {
    let until = Instant::now() + SETTLING;
    for number in (0..count).cycle() {
        writer.put(&id(number), &[number as u64 + 1; WORDS]).unwrap();
        std::hint::black_box(vec![1_u8; number % 10 * 100_000]);
        if Instant::now() > until {
            return;
        }
    }
}

fn check(store: &Customers, count: usize) {
    assert_eq!(store.memory().customers, count);
    let mut row = Row::new();
    for number in (0..count).step_by(count / 1000) {
        assert!(store.read(id(number).as_str(), &mut row));
        assert_eq!(row[..], [number as u64 + 1; WORDS]);
    }
}

fn id(number: usize) -> CustomerId {
    CustomerId::new(&format!("c-{number:014}")).unwrap()
}

/// Bytes this process has in memory; 0 where the system does not say so in Linux's way.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok()).unwrap_or(0) * 1024
}
