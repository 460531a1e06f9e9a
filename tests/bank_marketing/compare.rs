//! Compares what was expected with what was found, and checks that enough was compared to mean something.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::customers::Customer;
use super::naive::{self, Asked, Proposition, Shown};
use super::offers::{COURTESY, OFFERS};

/// Two scores are the same if they differ by no more than this share.
const TOLERANCE: f64 = 1e-12;

/// What was compared so far.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) decisions: usize,
    fallbacks: usize,
    /// Offers that came first on a placement.
    winners: BTreeSet<String>,
    /// Offers with the treatments they were shown in.
    shown: BTreeSet<(String, String)>,
}

impl Tally {
    fn count(&mut self, decision: &[Shown<'_>]) {
        self.decisions += 1;
        for Shown { fallback, propositions, .. } in decision {
            self.fallbacks += usize::from(*fallback);
            if !self.winners.contains(propositions[0].offer) {
                self.winners.insert(propositions[0].offer.to_owned());
            }
            for proposition in propositions {
                self.shown.insert((proposition.offer.to_owned(), proposition.treatment.to_owned()));
            }
        }
    }

    pub(crate) fn add(&mut self, other: Tally) {
        self.decisions += other.decisions;
        self.fallbacks += other.fallbacks;
        self.winners.extend(other.winners);
        self.shown.extend(other.shown);
    }

    /// Prints what was compared, and fails if it was too little.
    pub(crate) fn check(&self, what: &str) {
        let Tally { decisions, fallbacks, winners, shown } = self;
        let _ =
            writeln!(io::stderr(), "{what}: {decisions} decisions, {fallbacks} fallbacks, all as expected");
        let offers = OFFERS.iter().chain([&COURTESY]);
        let losers: Vec<&str> =
            offers.clone().map(|offer| offer.name).filter(|o| !winners.contains(*o)).collect();
        assert!(losers.is_empty(), "{what}: these offers never come first: {losers:?}");
        let treatments =
            offers.flat_map(|offer| offer.treatments.iter().map(move |(_, _, name)| (offer.name, *name)));
        let unseen: Vec<_> =
            treatments.filter(|(o, t)| !shown.contains(&(o.to_string(), t.to_string()))).collect();
        assert!(unseen.is_empty(), "{what}: these treatments are never shown: {unseen:?}");
        assert!(*fallbacks > 0 && fallbacks < decisions, "{what}: {fallbacks} fallbacks");
    }
}

/// Counts what was expected. The error says where something else was found.
pub(crate) fn compare(
    tally: &mut Tally,
    (row, customer): (usize, &Customer<'_>),
    asked: &Asked<'_>,
    found: &[Shown<'_>],
) -> Result<(), String> {
    let expected = naive::decide(customer, asked);
    tally.count(&expected);
    if same(&expected, found) {
        return Ok(());
    }
    let lines = |list: &[Shown<'_>]| list.iter().map(|shown| format!("  {shown:?}\n")).collect::<String>();
    let (expected, found) = (lines(&expected), lines(found));
    Err(format!("row {row}: {customer:?}\n{asked:?}\nexpected\n{expected}found\n{found}"))
}

fn same(expected: &[Shown<'_>], found: &[Shown<'_>]) -> bool {
    pairwise(expected, found, |a, b| {
        let placement = a.placement == b.placement && a.fallback == b.fallback;
        placement && pairwise(&a.propositions, &b.propositions, same_proposition)
    })
}

fn same_proposition(a: &Proposition<'_>, b: &Proposition<'_>) -> bool {
    let near = (a.score - b.score).abs() <= TOLERANCE * a.score.abs().max(b.score.abs());
    a.offer == b.offer && a.treatment == b.treatment && near
}

fn pairwise<T>(a: &[T], b: &[T], same: impl Fn(&T, &T) -> bool) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}
