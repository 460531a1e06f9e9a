//! Usher's rule evaluation beside that of other engines, in one run: the same generated rule sets and the
//! same customers. Every answer of every engine is first compared with one worked out without any engine.
//! README.md says what each figure contains.
#![allow(missing_docs)]

mod atree;
mod cel_interpreter;
mod facts;
mod index;
mod peer;
#[path = "../../benches/synthetic/mod.rs"]
mod synthetic;
mod table;
mod walk;
mod zen;

use std::hint::black_box;
use std::time::{Duration, Instant};

use peer::{Peer, Question};
use synthetic::customer::Customer;
use synthetic::{Distribution, Ranked, Synthetic};
use table::Table;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const OFFERS: [usize; 3] = [100, 1_000, 10_000];
/// Customers asked for in turn, so that no branch is learned by heart.
const CUSTOMERS: usize = 200;
/// The fewest customers that a round asks for, however slow the engine.
const LEAST_CUSTOMERS: usize = 8;

struct Effort {
    rounds: usize,
    /// How long one engine works on one question in a round.
    turn: Duration,
}

fn main() {
    let (flags, filters): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    if flags.iter().any(|flag| flag != "--quick") {
        eprintln!("usage: peers [--quick] [WORD…]   words choose rule sets and engines: uniform 1000 a-tree");
        std::process::exit(2);
    }
    let effort = if flags.is_empty() {
        Effort { rounds: 9, turn: Duration::from_millis(50) }
    } else {
        Effort { rounds: 3, turn: Duration::from_millis(5) }
    };
    for distribution in Distribution::ALL {
        for offers in OFFERS {
            let of = |words: &[&str]| !filters.iter().any(|f| words.contains(&&**f));
            let sizes = OFFERS.map(|offers| offers.to_string());
            let sizes: Vec<&str> = sizes.iter().map(|size| &**size).collect();
            let chosen = |word: &str, of_all: bool| of_all || filters.iter().any(|f| f == word);
            if chosen(distribution.name(), of(&Distribution::ALL.map(Distribution::name)))
                && chosen(&offers.to_string(), of(&sizes))
            {
                let engines: Vec<&str> =
                    peer::NAMES.into_iter().filter(|name| chosen(name, of(&peer::NAMES))).collect();
                println!("{}", compare(distribution, offers, &engines, &effort));
            }
        }
    }
}

fn compare(distribution: Distribution, offers: usize, engines: &[&'static str], effort: &Effort) -> Table {
    let what = format!("{}, {offers} offers", distribution.name());
    eprintln!("{what}: building");
    let synthetic = Synthetic::new(distribution, offers, Ranked::Statically);
    let customers = Customer::many(CUSTOMERS);
    let answers: Vec<Answers> = customers.iter().map(|customer| Answers::of(&synthetic, customer)).collect();
    let mut peers = Vec::new();
    for name in engines {
        eprintln!("{what}: {name}: building, checking");
        let mut peer = peer::new(name, &synthetic, &customers);
        check(&mut *peer, &answers);
        peers.push(peer);
    }
    let mut turns: Vec<Turn> = peers
        .iter()
        .enumerate()
        .flat_map(|(peer, of)| of.questions().iter().map(move |question| Turn::new(peer, *question)))
        .collect();
    for round in 1..=effort.rounds {
        eprintln!("{what}: round {round} of {}", effort.rounds);
        for turn in &mut turns {
            turn.run(&mut *peers[turn.peer], effort.turn);
        }
    }
    let matches: usize = answers.iter().map(|answers| answers.all.len()).sum();
    let mut table = Table::new(format!("{what}; {:.1} match a customer", matches as f64 / CUSTOMERS as f64));
    for turn in turns {
        table.put(peers[turn.peer].name(), turn.question, median(turn.nanoseconds));
    }
    table
}

/// The right answers for a customer.
struct Answers {
    all: Vec<usize>,
    top: Vec<usize>,
}

impl Answers {
    fn of(synthetic: &Synthetic, customer: &Customer) -> Answers {
        let all = synthetic.fitting(customer);
        let top = synthetic.top(customer, &all);
        Answers { all, top }
    }
}

fn check(peer: &mut dyn Peer, answers: &[Answers]) {
    for question in peer.questions() {
        for (customer, answers) in answers.iter().enumerate() {
            peer.ask(*question, customer);
            let mut found = peer.last(*question);
            let expected = if *question == Question::Top { &answers.top } else { &answers.all };
            if *question != Question::Top {
                found.sort_unstable();
            }
            assert_eq!(found, *expected, "{} on customer {customer}: {question:?}", peer.name());
        }
    }
}

/// One engine and one question, over all rounds.
struct Turn {
    peer: usize,
    question: Question,
    next: usize,
    /// Nanoseconds of one answer, for each round.
    nanoseconds: Vec<f64>,
}

impl Turn {
    fn new(peer: usize, question: Question) -> Turn {
        Turn { peer, question, next: 0, nanoseconds: Vec::new() }
    }

    fn run(&mut self, peer: &mut dyn Peer, at_least: Duration) {
        let (started, mut asked) = (Instant::now(), 0);
        // The clock is read once for several customers: reading it takes as long as the fastest answers.
        while started.elapsed() < at_least || asked == 0 {
            for _ in 0..LEAST_CUSTOMERS {
                peer.ask(self.question, black_box(self.next));
                self.next = (self.next + 1) % CUSTOMERS;
            }
            asked += LEAST_CUSTOMERS;
        }
        self.nanoseconds.push(started.elapsed().as_nanos() as f64 / asked as f64);
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
