//! An explained decision over 1,000 offers: all that the core does, and the same over HTTP with the answer
//! rendered. The answer is checked against one worked out without the engine before anything is timed.
#![allow(missing_docs, clippy::expect_used, clippy::print_stdout)]

mod synthetic;

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;

use criterion::{Criterion, criterion_group, criterion_main};
use synthetic::customer::Customer;
use synthetic::{COUNT, Distribution, Ranked, Synthetic, number_of};
use usher::decide::{Decision, Request, decide};
use usher::http;
use usher::http::Settings;
use usher::node::Node;
use usher::node::define::Define;
use usher::node::startup::Startup;
use usher::schema::value::Time;
use usher::schema::vector::FeatureVector;

// The server's allocator.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const OFFERS: usize = 1_000;
/// Customers asked for in turn: enough that no branch is learned by heart, few enough to stay in the cache.
const CUSTOMERS: usize = 100;

/// Every offer must be explained, the right ones shown, and each of the others must say what it lacks.
fn check(synthetic: &Synthetic, customer: &Customer, decision: &Decision<'_>) {
    let shown = &decision.placements[0];
    assert_eq!(shown.explanations.len(), OFFERS);
    let ranked = shown.explanations.iter().filter(|e| e.rank.is_some());
    let numbers: Vec<usize> = ranked.map(|e| number_of(&e.offer.name)).collect();
    assert_eq!(numbers, synthetic.top(customer, &synthetic.fitting(customer)));
    for explanation in shown.explanations.iter().filter(|e| !e.eligible) {
        let stop = explanation.stopped_by.as_ref().expect("it is not eligible");
        assert!(
            stop.lacks.iter().all(|lack| !lack.is_empty())
                && !stop.lacks.is_empty()
                && !stop.values.is_empty()
        );
    }
}

fn core(criterion: &mut Criterion) {
    let synthetic = Synthetic::new(Distribution::Uniform, OFFERS, Ranked::Statically);
    let customers = Customer::many(CUSTOMERS);
    let rows: Vec<Vec<u64>> = customers.iter().map(|customer| customer.row(&synthetic.schema)).collect();
    let asked = [(synthetic.placement(), COUNT)];
    let request = Request { explain: true, ..synthetic.request(&asked) };
    let answer = |row: &[u64]| decide(&synthetic.engine, FeatureVector::new(row), &request, Time(0));
    customers.iter().zip(&rows).for_each(|(customer, row)| check(&synthetic, customer, &answer(row)));
    let mut next = 0;
    criterion.bench_function("explain/1000 offers, core", |bencher| {
        bencher.iter(|| {
            next = (next + 1) % CUSTOMERS;
            black_box(answer(black_box(&rows[next])))
        });
    });
}

fn rendered(criterion: &mut Criterion) {
    let synthetic = Synthetic::new(Distribution::Uniform, OFFERS, Ranked::Statically);
    let node = Node::start().expect("there are threads");
    let schema = synthetic.schema.text.to_string();
    let rule_sets = vec![("synthetic.yaml".to_owned(), synthetic.text.clone())];
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime
        .block_on(node.define(Define::Bundle {
            schema,
            rule_sets,
            activate: true,
            rename: false,
            prune: false,
        }))
        .expect("it is right");
    let address = "127.0.0.1:0".parse().expect("an address");
    let server = http::serve(address, Startup::done(node), Settings::default()).expect("a port is free");
    let mut stream = TcpStream::connect(server.address()).expect("it listens");
    let mut ask = || {
        let target = "/v1/decisions?customer=c&placement=slot&channel=app&explain=true";
        // In one write: the second of two would wait until the first is acknowledged.
        let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it is sent");
        read_answer(&mut stream)
    };
    let answer = ask();
    let document: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
    assert_eq!(document["placements"][0]["explanations"].as_array().map(Vec::len), Some(OFFERS));
    println!("an answer has {} bytes", answer.len());
    criterion.bench_function("explain/1000 offers, over HTTP", |bencher| bencher.iter(|| black_box(ask())));
    drop(server);
}

/// The body of one answer.
fn read_answer(stream: &mut TcpStream) -> Vec<u8> {
    let (mut bytes, mut part) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let read = stream.read(&mut part).expect("it answers");
        bytes.extend_from_slice(&part[..read]);
        let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
        let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let length: usize = length.and_then(|length| length.trim().parse().ok()).expect("it says its length");
        if bytes.len() == head + 4 + length {
            return bytes.split_off(head + 4);
        }
    }
}

criterion_group!(benches, core, rendered);
criterion_main!(benches);
