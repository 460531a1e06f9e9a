//! What a customer costs in memory, by the system's count and by the store's own. Ids have 16 bytes, rows a
//! header and 96 bytes of features. Another run adds five contacts to each customer, one by one.
//!
//! `cargo bench --bench memory` measures 1 and 10 million customers. Each run is a process of its own, so
//! that it does not measure memory that another left behind. `-- 3000000 grown` measures that many, grown
//! from nothing; `-- 3000000 contacts` measures them with contacts. Where Redis is installed, a hash with the
//! same facts stands beside.
//!
//! The allocator is built without huge pages. With them the unused ends of its blocks become resident too: a
//! hash table takes 33/32 of a power of two, which mimalloc rounds up by a fifth. A customer then took 208 to
//! 215 bytes of a million, and 179 to 180 of ten million. A million is the most expensive size: the tables
//! have just doubled.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod redis;

use std::time::{Duration, Instant};

use usher::customer::contact::{Contact, FIRST_SECOND};
use usher::customer::id::CustomerId;
use usher::customer::numbers::{OfferNumber, PlaceNumber};
use usher::customer::outcome::OutcomeKind;
use usher::customer::row;
use usher::customer::row::Row;
use usher::state::store;
use usher::state::store::{Customers, CustomersWriter, KnownSlot};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WORDS: usize = 13;
const CONTACTS: usize = 5;

/// How many customers there are, and the most bytes that each may take.
const LIMITS: [(usize, f64); 2] = [(1_000_000, 200.0), (10_000_000, 185.0)];

/// The same with contacts: ten million customers in 2.2 GB.
const LIMITS_WITH_CONTACTS: [(usize, f64); 2] = [(1_000_000, 250.0), (10_000_000, 220.0)];

/// So many that what Redis takes for itself does not matter.
const REDIS_CUSTOMERS: usize = 1_000_000;

/// The share by which the store's own figure and the system's may differ, unless the store grew.
const TOLERANCE: f64 = 0.05;

/// The wait for the allocator: it gives freed memory back after its purge delay of 1 s, and only when it is
/// called.
const SETTLING: Duration = Duration::from_millis(2500);

/// How the store gets its customers.
#[derive(Clone, Copy, PartialEq)]
enum Fill {
    /// All at once, with their number known beforehand, as from a snapshot.
    Expected,
    /// One by one into an empty store, then some ordinary traffic.
    Grown,
    /// As [`Fill::Expected`], then each gets contacts, one at a time in turn.
    Contacts,
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let asked = |what: &str| arguments.iter().any(|argument| argument == what);
    let fill = match (asked("grown"), asked("contacts")) {
        (true, _) => Fill::Grown,
        (_, true) => Fill::Contacts,
        _ => Fill::Expected,
    };
    match arguments.iter().find_map(|argument| argument.parse().ok()) {
        Some(count) => measure(count, fill),
        None if arguments.iter().any(|argument| argument == "--bench") => measure_all(),
        None => measure(10_000, fill), // `cargo test` runs this too
    }
}

fn measure_all() {
    let program = std::env::current_exe().unwrap();
    for (count, _) in LIMITS {
        for fill in ["expected", "grown", "contacts"] {
            let mut command = std::process::Command::new(&program);
            command.args([&count.to_string(), fill]);
            assert!(command.status().unwrap().success(), "{count} {fill}");
        }
    }
    match redis::bytes_per_customer(REDIS_CUSTOMERS) {
        Some(bytes) => {
            println!("{REDIS_CUSTOMERS:>9} hashes in Redis with the same facts: {bytes:.1} bytes each");
        }
        None => println!("without Redis: there is no redis-server"),
    }
}

fn measure(count: usize, fill: Fill) {
    let before = resident();
    let started = Instant::now();
    let (mut writer, store) = store::with_room_for(if fill == Fill::Grown { 0 } else { count });
    writer.set_row_words(WORDS);
    let mut slowest = Duration::ZERO;
    for number in 0..count {
        let id = id(number);
        let put = Instant::now();
        writer.put(&id, &features(number)).unwrap();
        slowest = slowest.max(put.elapsed());
    }
    let took = started.elapsed();
    if fill == Fill::Grown && count > 10_000 {
        settle(&mut writer, count);
    }
    if fill == Fill::Contacts {
        contact_all(&mut writer, count);
    }
    let resident = resident().saturating_sub(before) as f64 / count as f64;
    let own = store.memory();
    check(&store, count, if fill == Fill::Contacts { CONTACTS } else { 0 });
    println!(
        "{count:>9} customers, {}: {resident:.1} bytes each resident, {:.1} by the store's own count; \
         filled in {:.1} s, slowest put {:.2} ms",
        match fill {
            Fill::Expected => "expected",
            Fill::Grown => "grown",
            Fill::Contacts => "with five contacts",
        },
        own.bytes_per_customer(),
        took.as_secs_f64(),
        slowest.as_secs_f64() * 1e3,
    );
    let limits = if fill == Fill::Contacts { LIMITS_WITH_CONTACTS } else { LIMITS };
    let limit = limits.iter().find(|(customers, _)| *customers == count);
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
        writer.put(&id(number), &features(number)).unwrap();
        std::hint::black_box(vec![1_u8; number % 10 * 100_000]);
        if Instant::now() > until {
            return;
        }
    }
}

/// The words of a row without contacts.
fn features(number: usize) -> [u64; WORDS] {
    let mut row = [number as u64 + 1; WORDS];
    row[0] = 0;
    row
}

/// Gives each customer one contact, then each the next: the order in which they really come.
fn contact_all(writer: &mut CustomersWriter, count: usize) {
    let mut row = Row::new();
    for round in 0..CONTACTS as u32 {
        for number in 0..count {
            let contact =
                Contact::new(OfferNumber(1), PlaceNumber(2), OutcomeKind::Click, FIRST_SECOND + round);
            let add = |row: &mut Row| {
                row::open(row, WORDS);
                row::add(row, contact);
                true
            };
            writer.change(&id(number), KnownSlot::default(), &mut row, add).unwrap();
        }
    }
}

fn check(store: &Customers, count: usize, contacts: usize) {
    assert_eq!(store.memory().customers, count);
    let mut row = Row::new();
    for number in (0..count).step_by(count / 1000) {
        assert!(store.read(id(number).as_str(), &mut row));
        assert_eq!(row::features(&row)[1..], features(number)[1..]);
        assert_eq!(row::contacts(&row).len(), contacts);
    }
}

fn id(number: usize) -> CustomerId {
    CustomerId::new(&format!("c-{number:014}")).unwrap()
}

/// Bytes that this process has in memory; 0 where the system does not count them as Linux does.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok()).unwrap_or(0) * 1024
}
