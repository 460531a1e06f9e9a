//! What a decision costs over HTTP, as a multiple of what HTTP itself costs. Usher with 1,000 offers and
//! 200,000 customers stands against a hyper server and nginx (if it is installed), which answer the same
//! requests with a constant as long as Usher's mean answer. Each has one thread. One client asks them in
//! turn, round by round, so that whatever else the machine does slows all. `cargo bench --bench http`
//! measures; `-- --quick` is a smoke test whose figures mean nothing.
//!
//! This is not a bench of criterion, which times one closure after the other on one thread. Here the figure
//! is the *server's* CPU time over many requests on 64 connections, as a ratio of servers measured side by
//! side. Every answer is looked at: that it is for the right customer, with the right offers in their order.
//! Of each way to ask, 2,000 answers are checked as a whole first, with their tokens.
//!
//! What the numbers are not:
//! - Requests a second are those of a closed loop of 64 connections with one client thread. They are context
//!   for the ratio, not the most that the server can do. Latency is not measured; loadtest/ does that.
//! - Over loopback the kernel does part of the receiver's work in the sender's time. All servers have the
//!   same share.
//! - CPU time comes from /proc in steps of 10 ms, under one percent of a round.
//! - 65,536 requests for random customers are repeated in order.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::panic)]

mod client;
mod requests;
#[path = "../served/mod.rs"]
mod served;
mod servers;
#[path = "../synthetic/mod.rs"]
mod synthetic;

use std::time::Duration;

use client::Client;
use requests::{Asked, Requests};
use served::question::Question;
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

/// A server, and whether it decides.
struct Contender {
    name: &'static str,
    server: Child,
    decides: bool,
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if servers::run_as_child(&arguments) {
        return;
    }
    servers::pin(None, servers::CLIENT);
    // Cargo passes `--bench` to measure; `cargo test --benches` only wants to see it run.
    let quick = arguments.iter().any(|a| a == "--quick") || !arguments.iter().any(|a| a == "--bench");
    let effort = if quick {
        Effort { customers: 5_000, rounds: 2, round: Duration::from_millis(200) }
    } else {
        Effort { customers: 200_000, rounds: 5, round: Duration::from_millis(1_500) }
    };
    let usher = Child::usher(effort.customers);
    let asked = Asked::of(effort.customers);
    let pools = Question::ALL.map(|question| Requests::new(question, &asked));
    let lengths = pools.each_ref().map(|requests| asked.check(requests, usher.address));
    let bytes = lengths[0]; // JSON; MessagePack is a little shorter
    println!(
        "{} customers, answers of {bytes} bytes on average; medians of {} rounds of {:.1} s, interleaved",
        effort.customers,
        effort.rounds,
        effort.round.as_secs_f64()
    );
    let constant = Child::constant(bytes);
    let mut contenders = vec![Contender { name: "constant", server: constant, decides: false }];
    match Child::nginx(bytes) {
        Some(server) => contenders.push(Contender { name: "nginx", server, decides: false }),
        None => println!("nginx is not installed, so it is left out"),
    }
    contenders.push(Contender { name: "usher", server: usher, decides: true });
    for (depth, title) in DEPTHS {
        for requests in &pools {
            println!("\n{}, {CONNECTIONS} connections, {title}", requests.question.name());
            compare(&contenders, requests, &asked, depth, &effort);
        }
    }
}

fn compare(contenders: &[Contender], requests: &Requests, asked: &Asked, depth: usize, effort: &Effort) {
    let connect = |one: &Contender| (Client::connect(one.server.address, CONNECTIONS, depth), Vec::new());
    let mut all: Vec<(Client, Vec<Figure>)> = contenders.iter().map(connect).collect();
    for round in 0..=effort.rounds {
        for (contender, (client, figures)) in contenders.iter().zip(&mut all) {
            let figure = measure(contender, client, requests, asked, effort.round);
            if round > 0 {
                figures.push(figure); // the first round only warms up
            }
        }
    }
    println!(
        "{:<10}{:>13}{:>17}{:>16}{:>12}  over the rounds",
        "", "requests/s", "user us/request", "system us", "CPU ratio"
    );
    let floor = all[0].1.clone();
    for (contender, (_, figures)) in contenders.iter().zip(&all) {
        let middle = |of: fn(&Figure) -> f64| median(figures.iter().map(of));
        let ratios = || figures.iter().zip(&floor).map(|(figure, floor)| figure.cpu_us / floor.cpu_us);
        let (low, high) = ratios().fold((f64::MAX, 0.0_f64), |(low, high), r| (low.min(r), high.max(r)));
        println!(
            "{:<10}{:>13.0}{:>17.2}{:>16.2}{:>12.2}  {low:.2} to {high:.2}",
            contender.name,
            middle(|f| f.per_second),
            middle(|f| f.user_us),
            middle(|f| f.cpu_us - f.user_us),
            median(ratios()),
        );
    }
}

fn measure(
    contender: &Contender,
    client: &mut Client,
    requests: &Requests,
    asked: &Asked,
    round: Duration,
) -> Figure {
    let Contender { server, decides, .. } = contender;
    let before = server.cpu();
    let is_constant = |body: &[u8]| body.iter().all(|byte| *byte == b'x');
    let is_right = |request: usize, body: &[u8]| {
        if *decides { asked.is_right(request, body) } else { is_constant(body) }
    };
    let (count, took) = client.ask(requests, round, is_right);
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
