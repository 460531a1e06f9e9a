//! Reading and writing rows of 96 bytes: a customer that was just read, a random one of a million, an
//! overwrite.
//!
//! Ids are made beforehand, so the cold figures contain two cache misses for the id itself and its place in
//! the list. They do not contain the other costs of a real request.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use usher::customer::id::CustomerId;
use usher::customer::row::Row;
use usher::state::store::{Customers, CustomersWriter, customers};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CUSTOMERS: usize = 1_000_000;
const WORDS: u64 = 12;

fn id(number: usize) -> CustomerId {
    CustomerId::new(&format!("c-{number:014}")).unwrap()
}

fn row(number: usize) -> Row {
    (1..=WORDS).map(|word| number as u64 * WORDS + word).collect()
}

fn filled() -> (CustomersWriter, Vec<(CustomerId, usize)>) {
    let (mut writer, _) = customers();
    let mut ids: Vec<_> = (0..CUSTOMERS).map(|number| (id(number), number)).collect();
    for (id, number) in &ids {
        writer.put(id, &row(*number)).unwrap();
    }
    fastrand::Rng::with_seed(2026).shuffle(&mut ids);
    (writer, ids)
}

fn check(store: &Customers, ids: &[(CustomerId, usize)]) {
    assert_eq!(store.len(), CUSTOMERS);
    let mut copy = Row::new();
    for (id, number) in ids {
        assert!(store.read(id.as_str(), &mut copy));
        assert_eq!(copy, row(*number));
    }
    assert!(!store.read("nobody", &mut copy));
}

fn store(criterion: &mut Criterion) {
    let (mut writer, ids) = filled();
    let store = writer.shared().clone();
    check(&store, &ids);
    let mut copy = Row::new();
    criterion.bench_function("store/read hot", |bencher| {
        bencher.iter(|| store.read(black_box(ids[0].0.as_str()), black_box(&mut copy)));
    });
    let mut next = ids.iter().cycle();
    criterion.bench_function("store/read cold, random of 1,000,000", |bencher| {
        bencher.iter(|| next.next().is_some_and(|(id, _)| store.read(id.as_str(), black_box(&mut copy))));
    });
    let words = row(ids[0].1);
    criterion.bench_function("store/put hot", |bencher| {
        bencher.iter(|| writer.put(black_box(&ids[0].0), black_box(&words)));
    });
    let mut next = ids.iter().cycle();
    criterion.bench_function("store/put cold, random of 1,000,000", |bencher| {
        bencher.iter(|| next.next().map(|(id, number)| writer.put(id, black_box(&[*number as u64; 12]))));
    });
}

criterion_group!(benches, store);
criterion_main!(benches);
