//! Decisions over real customers, compared with a brute-force evaluation that shares no code with the engine.
//! All 45,211 lines of the Bank Marketing data set take part: first with the engine inside this process, then
//! through the program itself, which loads the file unchanged.
//!
//! `USHER_BANK_CSV` names the file `bank-full.csv`. Without it the tests say that they are skipped, and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

#[path = "bank_marketing/compare.rs"]
mod compare;
#[path = "bank_marketing/customers.rs"]
mod customers;
#[path = "bank_marketing/engine.rs"]
mod engine;
#[path = "bank_marketing/naive.rs"]
mod naive;
#[path = "bank_marketing/offers.rs"]
mod offers;
#[path = "bank_marketing/requests.rs"]
mod requests;
#[path = "bank_marketing/server.rs"]
mod server;
#[path = "../src/testing.rs"]
mod testing;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io, thread};

use usher::engine::Engine;
use usher::schema::value::Time;

use compare::{Tally, compare};
use customers::Customer;
use engine::Prepared;
use naive::Asked;
use offers::OFFERS;
use requests::{REQUESTS, TIMES};
use server::{Connection, Server};
use testing::rounds;

const CUSTOMERS: usize = 45_211;
const THREADS: usize = 2;
/// One in this many requests is decided a second time, with some of the customer's features forgotten.
const HOLES_STEP: usize = 4;

fn bundle() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/bank-marketing")
}

/// The data set, if `USHER_BANK_CSV` names it.
fn file() -> Option<PathBuf> {
    let Some(named) = env::var_os("USHER_BANK_CSV") else {
        // Not `eprintln!`: the test harness shows that only for tests that fail.
        let _ = writeln!(io::stderr(), "skipped: USHER_BANK_CSV does not name the file bank-full.csv");
        return None;
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(named);
    assert!(path.is_file(), "USHER_BANK_CSV: there is no file {}", path.display());
    Some(path)
}

/// Gives `work` customers with the numbers of their rows (the first is 1), in one part for each thread. By
/// default it is a sample of the customers; 17 has no divisor in common with the steps by which requests are
/// chosen.
fn in_parts<'t>(
    customers: &[Customer<'t>],
    work: impl Fn(&[(usize, Customer<'t>)]) -> Result<Tally, String> + Sync,
) -> Tally {
    let rows = (1..).zip(customers.iter().copied()).step_by(rounds(17, 1));
    let rows: Vec<(usize, Customer<'t>)> = rows.collect();
    let mut tally = Tally::default();
    thread::scope(|scope| {
        let parts = rows.chunks(rows.len().div_ceil(THREADS));
        let threads: Vec<_> = parts.map(|part| scope.spawn(|| work(part))).collect();
        for thread in threads {
            tally.add(thread.join().unwrap().unwrap_or_else(|difference| panic!("{difference}")));
        }
    });
    tally
}

/// The features to forget of a row's customer, one bit each: a quarter of them, in no pattern.
fn holes(row: usize) -> u32 {
    let mixed = (row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32 & (mixed >> 17) as u32
}

/// Decides for all customers what is asked of them. Some decisions are repeated with features forgotten,
/// which shows what a missing feature does.
fn decide_all(engine: &Engine, part: &[(usize, Customer<'_>)]) -> Result<Tally, String> {
    let requests: Vec<(&Asked<'_>, Prepared<'_>)> =
        REQUESTS.iter().map(|asked| (asked, Prepared::new(engine, asked))).collect();
    let times = TIMES.map(|time| Time::parse(time).unwrap());
    let request_step = rounds(4, 1); // a customer gets one in this many requests
    let mut tally = Tally::default();
    let (mut row, mut row_with_holes) = (Vec::new(), Vec::new());
    for (number, customer) in part {
        let forgotten = customer.with_holes(holes(*number));
        engine::pack(customer, &engine.schema, &mut row);
        engine::pack(&forgotten, &engine.schema, &mut row_with_holes);
        let mine = |(i, _): &(usize, _)| (number + i) % request_step == 0;
        for (i, (asked, prepared)) in requests.iter().enumerate().filter(mine) {
            let now = times[(number + i) % times.len()];
            compare(&mut tally, (*number, customer), asked, &prepared.decide(&row, now))?;
            if (number + i) % HOLES_STEP == 0 {
                let found = prepared.decide(&row_with_holes, now);
                compare(&mut tally, (*number, &forgotten), asked, &found)?;
            }
        }
    }
    Ok(tally)
}

#[test]
fn the_engine_decides_as_the_naive_evaluation() {
    let Some(file) = file() else { return };
    let csv = fs::read_to_string(file).unwrap();
    let customers = customers::read(&csv);
    assert_eq!(customers.len(), CUSTOMERS);
    let engine = engine::compile(&bundle());
    assert_eq!(engine.offer_count(), OFFERS.len() + 1, "the naive evaluation knows all offers");
    let tally = in_parts(&customers, |part| decide_all(&engine, part));
    tally.check("engine");
}

/// Asks for every customer over one connection: once by a document and once by a query.
fn ask_all(server: &Server, part: &[(usize, Customer<'_>)]) -> Result<Tally, String> {
    let as_query: Vec<&Asked<'_>> = REQUESTS.iter().filter(|asked| server::fits_a_query(asked)).collect();
    let mut connection = Connection::open(&server.address);
    let mut tally = Tally::default();
    for window in part.chunks(server::WINDOW / 2) {
        let mut sent = Vec::new();
        for (row, customer) in window {
            let id = format!("uci-{row}");
            let (document, query) = (&REQUESTS[row % REQUESTS.len()], as_query[row % as_query.len()]);
            connection.post_decision(&id, document);
            connection.get_decision(&id, query);
            sent.extend([document, query].map(|asked| (id.clone(), *row, customer, asked)));
        }
        for ((id, row, customer, asked), answer) in sent.iter().zip(connection.answers(sent.len())) {
            assert_eq!(
                (&answer["customer"], &answer["known"]),
                (&id.as_str().into(), &true.into()),
                "{answer}"
            );
            compare(&mut tally, (*row, customer), asked, &server::shown(&answer))?;
        }
    }
    Ok(tally)
}

#[test]
fn the_server_loads_the_file_and_decides_the_same() {
    let Some(file) = file() else { return };
    let csv = fs::read_to_string(&file).unwrap();
    let customers = customers::read(&csv);
    let server = Server::start(&bundle());
    let loaded = server.load(&file, &bundle().join("imports/bank-full.yaml"));
    assert_eq!((&loaded["accepted"], &loaded["rejected"]), (&CUSTOMERS.into(), &0.into()), "{loaded}");
    let tally = in_parts(&customers, |part| ask_all(&server, part));
    assert_eq!(tally.decisions, 2 * CUSTOMERS.div_ceil(rounds(17, 1)));
    tally.check("server");
    strangers_are_decided_for_too(&server);
}

fn strangers_are_decided_for_too(server: &Server) {
    let mut connection = Connection::open(&server.address);
    let mut tally = Tally::default();
    for asked in &REQUESTS {
        connection.post_decision("uci-0", asked);
        let answer = connection.answers(1).remove(0);
        assert_eq!(answer["known"], false, "{answer}");
        compare(&mut tally, (0, &Customer::default()), asked, &server::shown(&answer))
            .unwrap_or_else(|difference| panic!("{difference}"));
    }
}

/// The code that the engine is compared with must not use the engine.
#[test]
fn the_naive_evaluation_uses_nothing_of_the_engine() {
    let sources = [
        include_str!("bank_marketing/customers.rs"),
        include_str!("bank_marketing/naive.rs"),
        include_str!("bank_marketing/offers.rs"),
    ];
    assert!(sources.iter().all(|source| !source.contains("usher::")));
}
