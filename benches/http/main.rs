//! What a decision costs over HTTP, as a multiple of what HTTP itself costs. Usher with the retail bank's
//! bundle and 100,000 customers stands against a hello-world hyper server. That one reads the same requests
//! and answers a constant as long as Usher's mean answer. Both have one thread. One client asks them in turn,
//! round by round, so that whatever else the machine does slows both. `cargo bench --bench http` measures;
//! `-- --quick` is a smoke test whose figures mean nothing.
//!
//! This is not a bench of criterion, which times one closure after the other on one thread. Here the figure
//! is the *server's* CPU time over many requests on 64 connections, as a ratio of two servers measured side
//! by side.
//!
//! What the numbers are not:
//! - Requests a second are those of a closed loop of 64 connections with one client thread, which shares the
//!   machine. They are context for the ratio, not the most that the server can do. Latency is not measured;
//!   loadtest/ does that.
//! - Over loopback the kernel does part of the receiver's work in the sender's time. Both servers have the
//!   same share.
//! - CPU time comes from /proc in steps of 10 ms, under one percent of a round.
//! - 65,536 requests for random customers are repeated in order.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::panic)]

mod client;
mod requests;
mod servers;

use std::time::Duration;

use client::Client;
use requests::Requests;
use servers::Child;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONNECTIONS: usize = 64;
const DEPTHS: [(usize, &str); 2] = [(1, "one request at a time"), (16, "16 requests in a pipeline")];

struct Effort {
    customers: usize,
    rounds: usize,
    round: Duration,
}

/// The figures of one server in one round.
#[derive(Clone, Copy)]
struct Figure {
    per_second: f64,
    cpu_us: f64,
    user_us: f64,
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if servers::run_as_child(&arguments) {
        return;
    }
    // Cargo passes `--bench` to measure; `cargo test --benches` only wants to see it run.
    let quick = arguments.iter().any(|a| a == "--quick") || !arguments.iter().any(|a| a == "--bench");
    let effort = if quick {
        Effort { customers: 5_000, rounds: 2, round: Duration::from_millis(200) }
    } else {
        Effort { customers: 100_000, rounds: 7, round: Duration::from_millis(1_500) }
    };
    let requests = Requests::new(effort.customers);
    let usher = Child::usher(effort.customers);
    let (bytes, fallbacks) = requests.check(usher.address);
    let constant = Child::constant(bytes);
    println!(
        "{} customers, answers of {bytes} bytes on average, {fallbacks:.0} % of them the fallback; medians of {} rounds of \
         {:.1} s, interleaved",
        effort.customers,
        effort.rounds,
        effort.round.as_secs_f64()
    );
    for (depth, title) in DEPTHS {
        compare(&usher, &constant, &requests, depth, title, &effort);
    }
}

fn compare(usher: &Child, constant: &Child, requests: &Requests, depth: usize, title: &str, effort: &Effort) {
    let servers = [constant, usher];
    let mut clients = servers.map(|server| Client::connect(server.address, CONNECTIONS, depth));
    let mut figures = [Vec::new(), Vec::new()];
    for round in 0..=effort.rounds {
        for ((server, client), figures) in servers.iter().zip(&mut clients).zip(&mut figures) {
            let figure = measure(server, client, requests, effort.round);
            if round > 0 {
                figures.push(figure); // the first round only warms up
            }
        }
    }
    println!("\n{CONNECTIONS} connections, {title}");
    println!("{:<12}{:>14}{:>26}{:>10}", "", "requests/s", "server CPU us/request", "user us");
    for (name, figures) in [("constant", &figures[0]), ("usher", &figures[1])] {
        let middle = |of: fn(&Figure) -> f64| median(figures.iter().map(of));
        let (per_second, cpu_us, user_us) =
            (middle(|f| f.per_second), middle(|f| f.cpu_us), middle(|f| f.user_us));
        println!("{name:<12}{per_second:>14.0}{cpu_us:>26.2}{user_us:>10.2}");
    }
    let ratios = |of: fn(&Figure) -> f64| {
        figures[1].iter().zip(&figures[0]).map(move |(usher, constant)| of(usher) / of(constant))
    };
    let (rate, cpu) = (median(ratios(|f| f.per_second)), median(ratios(|f| f.cpu_us)));
    let (low, high) =
        ratios(|f| f.cpu_us).fold((f64::MAX, 0.0), |(low, high), r| (f64::min(low, r), f64::max(high, r)));
    println!("{:<12}{rate:>14.2}{cpu:>26.2}          ({low:.2} to {high:.2} over the rounds)", "ratio");
}

fn measure(server: &Child, client: &mut Client, requests: &Requests, round: Duration) -> Figure {
    let before = server.cpu();
    let (count, took) = client.ask(requests, round);
    let after = server.cpu();
    let per_request = |seconds: f64| seconds * 1e6 / count as f64;
    Figure {
        per_second: count as f64 / took.as_secs_f64(),
        cpu_us: per_request(after.0 - before.0),
        user_us: per_request(after.1 - before.1),
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}
