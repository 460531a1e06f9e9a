//! Events folded by one thread, without journal and sync: a million customers, and events in records of 512,
//! each with an id.
//!
//! `cargo bench --bench events` measures two kinds of events. Outcomes of propositions each add a contact,
//! use a budget, and count in a total and in one arm. Events without an outcome, such as page views, are
//! remembered and create or touch a row. Customers are drawn at random, so that hardly anything is in a
//! cache. Records are made beforehand, and what was folded is checked afterwards.
//!
//! The figures are the best and the median round, because neighbours come and go. Time is what this thread
//! had of a core where the system counts that, and the clock's otherwise. Not measured: reading requests,
//! encoding, disks.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::time::{Duration, Instant};

use usher::customer::event::Event;
use usher::customer::id::CustomerId;
use usher::customer::numbers::{ArmNumber, OfferNumber, PlaceNumber};
use usher::customer::outcome::OutcomeKind;
use usher::customer::outcome::{BudgetUse, Outcome};
use usher::customer::row;
use usher::customer::update::{Change, Update};
use usher::schema::FeatureId;
use usher::state::State;
use usher::state::record::{MAX_UPDATES_PER_RECORD, Record};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BEGIN: u32 = 1_790_000_000;
const WORDS: u16 = 12;
/// Events a second and core: the aim that the project set itself.
const TARGET_PER_S: f64 = 1e6;

fn main() {
    let bench = std::env::args().any(|argument| argument == "--bench");
    let (customers, events, rounds) = if bench { (1_000_000, 500_000, 7) } else { (2_000, 4_000, 1) };
    let mut state = filled(customers);
    let mut random = fastrand::Rng::with_seed(2026);
    let mut next = 0;
    for (what, with_outcome) in [("outcomes", true), ("page views", false)] {
        let mut rates: Vec<f64> = (0..rounds)
            .map(|_| {
                let records = records(events, customers, with_outcome, &mut next, &mut random);
                fold(&mut state, &records, events)
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        let (best, median) = (rates[rates.len() - 1], rates[rates.len() / 2]);
        println!(
            "{what}: {:.2} million a second and core, median of {rounds} rounds of {events}; best {:.2}, target {:.2}",
            median / 1e6,
            best / 1e6,
            TARGET_PER_S / 1e6,
        );
    }
    check(&state, events * rounds);
}

/// A state with this many customers, each with all features set.
fn filled(customers: usize) -> State {
    let mut state = State::new();
    let features: String =
        (0..WORDS).map(|at| format!("  f{at}: {{kind: float, precision: double}}\n")).collect();
    let text = format!("schema: s\nfeatures:\n{features}");
    state.apply(1, &Record::Schema { text }).unwrap();
    let fields: Vec<_> = (0..WORDS).map(|at| (FeatureId(at), 7)).collect();
    for numbers in (0..customers).collect::<Vec<_>>().chunks(MAX_UPDATES_PER_RECORD) {
        let update = |number: &usize| Update { customer: id(*number), change: Change::Merge(fields.clone()) };
        let updates = numbers.iter().map(update).collect();
        state.apply(state.sequence() + 1, &Record::Customers(updates)).unwrap();
    }
    state
}

fn records(
    events: usize,
    customers: usize,
    with_outcome: bool,
    next: &mut u64,
    random: &mut fastrand::Rng,
) -> Vec<Record> {
    let mut updates = (0..events).map(|_| {
        *next += 1;
        let at = BEGIN + (*next / 10_000) as u32;
        let outcome = with_outcome.then(|| Box::new(outcome(*next, at, random)));
        let event = Event { at, received: at, id: mixed(*next), facts: vec![], outcome };
        Update { customer: id(random.usize(..customers)), change: Change::Event(Box::new(event)) }
    });
    let part = || Record::Customers(updates.by_ref().take(MAX_UPDATES_PER_RECORD).collect());
    std::iter::repeat_with(part).take(events.div_ceil(MAX_UPDATES_PER_RECORD)).collect()
}

fn outcome(number: u64, at: u32, random: &mut fastrand::Rng) -> Outcome {
    let kinds =
        [OutcomeKind::Impression, OutcomeKind::Impression, OutcomeKind::Impression, OutcomeKind::Click];
    Outcome {
        kind: kinds[random.usize(..kinds.len())],
        offer: OfferNumber(random.u32(..200)),
        place: PlaceNumber(random.u16(..8)),
        arms: vec![ArmNumber(random.u16(..2))],
        nonce: mixed(!number),
        decided: at - 3,
        value: 1_000,
        budgets: vec![BudgetUse { key: 1 + random.u64(..50), day: 0, max: u32::MAX, once: false }],
        lesson: None,
    }
}

/// Folds the records and returns the events a second.
fn fold(state: &mut State, records: &[Record], events: usize) -> f64 {
    let (begin, on_core) = (Instant::now(), time_on_core());
    for record in records {
        let fates = state.apply(state.sequence() + 1, record).unwrap();
        assert!(fates.refused.is_empty());
    }
    let took = match (on_core, time_on_core()) {
        (Some(before), Some(after)) => after - before,
        _ => begin.elapsed(),
    };
    events as f64 / took.as_secs_f64()
}

/// The time this thread has had a core so far, as Linux counts it.
fn time_on_core() -> Option<Duration> {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(counted.split_whitespace().next()?.parse().ok()?))
}

/// Every outcome must be a contact, must have used a budget and must count in its arm. The same event again
/// must change nothing.
fn check(state: &State, outcomes: usize) {
    let mut contacts = 0;
    state.customers().for_each(|_, row| contacts += row::contacts(row).len());
    assert_eq!(contacts, outcomes);
    let used: u64 = (1..=50).map(|key| u64::from(state.figures().used(key, 0))).sum();
    assert_eq!(used, outcomes as u64);
    let tallies = state.figures().tallies();
    let counted: u64 = tallies.rows().map(|(_, _, tally)| tally.outcomes.iter().sum::<u64>()).sum();
    assert_eq!((counted, tallies.uncounted()), (2 * outcomes as u64, 0));
}

fn id(number: usize) -> CustomerId {
    CustomerId::new(&format!("c-{number:014}")).unwrap()
}

fn mixed(number: u64) -> u64 {
    let mixed = (number ^ number >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}
