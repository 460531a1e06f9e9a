//! The schedule, and the loop that keeps to it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::connection::Connection;
use crate::scenario::{Scenario, Sent, Verdict};
use crate::target::Target;

/// How long answers are awaited after the last intended start.
const GRACE: Duration = Duration::from_secs(5);
/// The most examples of wrong answers that are kept.
pub(crate) const MAX_EXAMPLES: usize = 5;
/// The longest latency that is told apart. Latencies are kept in nanoseconds, with three digits.
const MAX_LATENCY: Duration = Duration::from_secs(60);

/// When requests start: the n-th at n / `rate` seconds.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Requests a second.
    pub(crate) rate: u64,
    /// How many of the first requests are not measured.
    pub(crate) warm_up: u64,
    /// All requests, those of the warm-up included.
    pub(crate) requests: u64,
    pub(crate) connections: usize,
    /// Whether a request that finds no idle connection is dropped. Else it waits for one.
    pub(crate) drops: bool,
}

/// What a run measured.
pub(crate) struct Measured {
    /// From the intended start to the last byte of the answer.
    pub(crate) latency: Histogram<u64>,
    /// From sending to the last byte: what a generator with coordinated omission would have reported.
    pub(crate) service: Histogram<u64>,
    /// From the intended start to sending.
    pub(crate) waiting: Histogram<u64>,
    /// Answers in time, right or wrong, including those of the warm-up.
    pub(crate) answered: u64,
    /// Answers that are not what they must be.
    pub(crate) wrong: u64,
    /// Answers that say that the server has too much to do, where the scenario expects such.
    pub(crate) refused: u64,
    /// Requests that were dropped because no connection was idle.
    pub(crate) dropped: u64,
    /// Requests that got no answer because their connection broke.
    pub(crate) broken: u64,
    /// Requests that were not sent or not answered when time was up.
    pub(crate) unanswered: u64,
    /// Measured answers for customers whom the server does not know: right, but hardly what was to be
    /// measured.
    pub(crate) unknown: u64,
    /// The first wrong answers, at most [`MAX_EXAMPLES`].
    pub(crate) examples: Vec<String>,
    /// From the first measured request's intended start to the last answer.
    pub(crate) took: Duration,
}

/// A request that was sent and not answered yet.
struct Flight {
    connection: Connection,
    number: u64,
    intended: Instant,
    sent_at: Instant,
    sent: Sent,
}

struct Generator<'r> {
    target: &'r Target,
    plan: &'r Plan,
    scenario: &'r mut Scenario,
    started: Instant,
    next: u64,
    idle: VecDeque<Connection>,
    flights: Vec<Flight>,
    measured: Measured,
}

/// Runs the whole schedule, spinning on this thread.
pub(crate) fn run(target: &Target, plan: &Plan, scenario: &mut Scenario) -> Result<Measured, String> {
    let open = (0..plan.connections).map(|_| Connection::open(target));
    let idle =
        open.collect::<Result<_, _>>().map_err(|e| format!("cannot connect to {}: {e}", target.authority))?;
    let mut generator = Generator {
        target,
        plan,
        scenario,
        started: Instant::now(),
        next: 0,
        idle,
        flights: Vec::with_capacity(plan.connections),
        measured: Measured::new()?,
    };
    generator.run();
    Ok(generator.measured)
}

impl Plan {
    fn intended(&self, number: u64) -> Duration {
        Duration::from_nanos((u128::from(number) * 1_000_000_000 / u128::from(self.rate)) as u64)
    }
}

impl Generator<'_> {
    fn run(&mut self) {
        let deadline = self.started + self.plan.intended(self.plan.requests) + GRACE;
        while self.next < self.plan.requests || !self.flights.is_empty() {
            let busy = self.send_due() + self.take_answers();
            let nobody_left = self.idle.is_empty() && self.flights.is_empty();
            if nobody_left || Instant::now() > deadline {
                break;
            }
            if busy == 0 {
                std::thread::yield_now(); // free when nobody else wants this core
            }
        }
        self.measured.unanswered = self.plan.requests - self.next + self.flights.len() as u64;
        self.measured.took = self.started.elapsed().saturating_sub(self.plan.intended(self.plan.warm_up));
    }

    /// Sends what is due while connections are idle. A request that finds none waits, and its latency grows,
    /// unless the plan drops it.
    fn send_due(&mut self) -> usize {
        let mut count = 0;
        while self.next < self.plan.requests {
            let (now, intended) = (Instant::now(), self.started + self.plan.intended(self.next));
            if intended > now {
                break;
            }
            let Some(mut connection) = self.idle.pop_front() else {
                if !self.plan.drops {
                    break;
                }
                self.measured.dropped += 1;
                self.next += 1;
                continue;
            };
            let (number, (request, sent)) = (self.next, self.scenario.request(self.next));
            self.next += 1;
            count += 1;
            match connection.send(request) {
                Ok(()) => self.flights.push(Flight { connection, number, intended, sent_at: now, sent }),
                Err(e) => self.broke(&e),
            }
        }
        count
    }

    fn take_answers(&mut self) -> usize {
        let (mut at, mut count) = (0, 0);
        while at < self.flights.len() {
            let flight = &mut self.flights[at];
            let verdict = match flight.connection.receive() {
                Ok(None) => {
                    at += 1;
                    continue;
                }
                Ok(Some(answer)) => Ok(self.scenario.check(&flight.sent, &answer)),
                Err(e) => Err(e),
            };
            count += 1;
            let flight = self.flights.swap_remove(at);
            match verdict {
                Ok(verdict) => {
                    self.measured.answer(&flight, verdict, self.plan);
                    self.idle.push_back(flight.connection);
                }
                Err(e) => self.broke(&e),
            }
        }
        count
    }

    /// Counts the request and replaces its connection. If that fails too, there is one connection less.
    fn broke(&mut self, error: &std::io::Error) {
        self.measured.broken += 1;
        self.measured.example(|| format!("a connection broke: {error}"));
        self.idle.extend(Connection::open(self.target));
    }
}

impl Measured {
    pub(crate) fn new() -> Result<Measured, String> {
        let histogram = || {
            Histogram::new_with_bounds(1, MAX_LATENCY.as_nanos() as u64, 3)
                .map_err(|e| format!("no histogram: {e}"))
        };
        Ok(Measured {
            latency: histogram()?,
            service: histogram()?,
            waiting: histogram()?,
            answered: 0,
            wrong: 0,
            refused: 0,
            dropped: 0,
            broken: 0,
            unanswered: 0,
            unknown: 0,
            examples: Vec::new(),
            took: Duration::ZERO,
        })
    }

    /// The sum of several rounds.
    pub(crate) fn sum(rounds: &[Measured]) -> Result<Measured, String> {
        let mut sum = Measured::new()?;
        rounds.iter().try_for_each(|round| sum.add(round))?;
        Ok(sum)
    }

    fn add(&mut self, other: &Measured) -> Result<(), String> {
        for (all, of_round) in [
            (&mut self.latency, &other.latency),
            (&mut self.service, &other.service),
            (&mut self.waiting, &other.waiting),
        ] {
            all.add(of_round).map_err(|e| format!("no sum of histograms: {e}"))?;
        }
        self.answered += other.answered;
        self.wrong += other.wrong;
        self.refused += other.refused;
        self.dropped += other.dropped;
        self.broken += other.broken;
        self.unanswered += other.unanswered;
        self.unknown += other.unknown;
        for example in &other.examples {
            self.example(|| example.clone());
        }
        self.took += other.took;
        Ok(())
    }

    fn answer(&mut self, flight: &Flight, verdict: Verdict, plan: &Plan) {
        let now = Instant::now();
        self.answered += 1;
        match verdict {
            Verdict::Right => {}
            Verdict::UnknownCustomer => self.unknown += u64::from(flight.number >= plan.warm_up),
            Verdict::Refused => {
                self.refused += u64::from(flight.number >= plan.warm_up);
                return;
            }
            Verdict::Wrong(why) => {
                self.wrong += 1;
                self.example(|| why);
            }
        }
        if flight.number < plan.warm_up {
            return;
        }
        let nanoseconds = |duration: Duration| duration.as_nanos() as u64;
        self.latency.saturating_record(nanoseconds(now - flight.intended));
        self.service.saturating_record(nanoseconds(now - flight.sent_at));
        self.waiting.saturating_record(nanoseconds(flight.sent_at - flight.intended));
    }

    pub(crate) fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(text());
        }
    }
}
