//! Pushes one version of a rule set after the other, beside the load.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::connection::{Connection, request};
use crate::scenario::{excerpt, number_after};
use crate::target::Target;

/// The name of the rule set that is pushed.
pub(crate) const RULE_SET: &str = "loadtest";
/// The beginning of the winning offer's name; the number of the push follows.
pub(crate) const OFFER: &str = "pushed_";
/// How long an answer may take. The server compiles at low priority, so on a machine with other work it takes
/// its time.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long a paused pusher waits before it looks again whether it may go on.
const PAUSE: Duration = Duration::from_millis(1);

/// A thread that pushes until it is stopped.
pub(crate) struct Pusher {
    orders: Arc<Orders>,
    acknowledged: Arc<AtomicU64>,
    thread: JoinHandle<Pushed>,
}

/// What the pusher's thread is told.
#[derive(Default)]
struct Orders {
    stop: AtomicBool,
    pause: AtomicBool,
    /// Held while a push is under way.
    pushing: Mutex<()>,
}

/// What was pushed in a run, and how it was answered.
#[derive(Debug, Default)]
pub(crate) struct Pushed {
    /// By version, the number in its offer's name.
    pub(crate) offers: HashMap<u64, u64>,
    /// Pushes, and the retirement at the end, whose answer was not what it must be.
    pub(crate) failed: u64,
    pub(crate) first_failure: Option<String>,
    /// The slowest push, from sending to the answer.
    pub(crate) slowest: Duration,
}

struct Push<'t> {
    target: &'t Target,
    connection: Connection,
    number: u64,
    /// The offers of every version besides the winning one.
    others: String,
    pushed: Pushed,
}

impl Pusher {
    /// Pushes a rule set of this many offers once, so that the first answer is already of a pushed version.
    /// Then it pushes one every `every`.
    pub(crate) fn start(target: &Target, offers: u64, every: Duration) -> io::Result<Pusher> {
        let target = target.clone();
        let mut push = Push {
            connection: Connection::open(&target)?,
            target: &target,
            number: 0,
            others: others(offers - 1),
            pushed: Pushed::default(),
        };
        let first = push.publish()?;
        let Push { connection, number, others, pushed, .. } = push;
        let acknowledged = Arc::new(AtomicU64::new(first));
        let orders = Arc::new(Orders::default());
        let (told, newest) = (Arc::clone(&orders), Arc::clone(&acknowledged));
        let thread = std::thread::Builder::new().name("push".into()).spawn(move || {
            let push = Push { target: &target, connection, number, others, pushed };
            push.run(every, &told, &newest)
        })?;
        Ok(Pusher { orders, acknowledged, thread })
    }

    /// Pauses until [`resume`](Pusher::resume). Returns when no push is under way.
    pub(crate) fn pause(&self) {
        self.orders.pause.store(true, Ordering::SeqCst);
        drop(self.orders.pushing.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn resume(&self) {
        self.orders.pause.store(false, Ordering::SeqCst);
    }

    /// The newest version that the server has acknowledged.
    pub(crate) fn acknowledged(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.acknowledged)
    }

    /// Stops pushing and retires the rule set.
    pub(crate) fn stop(self) -> Pushed {
        self.orders.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| Pushed { failed: 1, ..Pushed::default() })
    }
}

impl Push<'_> {
    fn run(mut self, every: Duration, orders: &Orders, acknowledged: &AtomicU64) -> Pushed {
        let mut next = Instant::now() + every;
        while !orders.stop.load(Ordering::Relaxed) {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            let pushing = orders.pushing.lock().unwrap_or_else(PoisonError::into_inner);
            if orders.pause.load(Ordering::SeqCst) {
                next = Instant::now() + PAUSE;
                continue;
            }
            next += every;
            match self.publish() {
                Ok(version) => acknowledged.store(version, Ordering::Release),
                Err(e) => self.failed(&e),
            }
            drop(pushing);
        }
        let line = format!("DELETE /v1/rule-sets/{RULE_SET}");
        if let Err(e) = self.send(&line, "", 200) {
            self.failed(&e);
        }
        self.pushed
    }

    /// Pushes the next version; returns the number that the server gives it.
    fn publish(&mut self) -> io::Result<u64> {
        self.number += 1;
        let started = Instant::now();
        let answer = self.send(&format!("PUT /v1/rule-sets/{RULE_SET}"), &self.rule_set(), 201)?;
        self.pushed.slowest = self.pushed.slowest.max(started.elapsed());
        let version = number_after(&answer, "\"version\":");
        let version =
            version.ok_or_else(|| io::Error::other(format!("no version in {}", excerpt(&answer))))?;
        self.pushed.offers.insert(version, self.number);
        Ok(version)
    }

    /// A rule set with an offer that everybody may have and that outbids all others. Its name and content say
    /// which push it is of.
    fn rule_set(&self) -> String {
        let (number, others) = (self.number, &self.others);
        format!(
            "rule_set: {RULE_SET}
description: Pushed by the load generator; retired when it ends
offers:
  {OFFER}{number}:
    placements: [home_banner]
    attributes: {{product: service, value: 1000000}}
    when: 'true'
    priority: 1
    propensity: 1.0
    treatments:
      - {{placement: home_banner, content: {{title: {OFFER}{number}}}}}
{others}"
        )
    }

    fn send(&mut self, line: &str, body: &str, expected: u16) -> io::Result<String> {
        let request = request(self.target, line, "application/yaml", body);
        let (status, answer) = self.connection.exchange(&request, TIMEOUT)?;
        if status == expected {
            return Ok(answer);
        }
        Err(io::Error::other(format!("{line} was answered {status}: {}", excerpt(&answer))))
    }

    fn failed(&mut self, error: &io::Error) {
        self.pushed.failed += 1;
        self.pushed.first_failure.get_or_insert_with(|| error.to_string());
        if let Ok(connection) = Connection::open(self.target) {
            self.connection = connection;
        }
    }
}

/// Offers for a few customers each, by features of the retail bank. None of them wins.
fn others(count: u64) -> String {
    let mut random = fastrand::Rng::with_seed(count);
    let mut text = String::new();
    for i in 0..count {
        let (age, income) = (random.u32(18..70), random.u32(20..200) * 100);
        let tier = random.choice(["mass", "silver", "gold", "platinum", "private"]).unwrap_or("mass");
        let (score, days) = (random.u32(300..800), random.u32(1..100) * 30);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "  other_{i}: {{placements: [home_banner], attributes: {{product: service, value: 1}}, priority: 9, when: \
             \"age >= {age} && age < {} && tier == '{tier}' && (monthly_income >= {income} || credit_score >= {score}) \
             && days_since_opening >= {days}\", treatments: [{{placement: home_banner, content: {{title: other}}}}]}}",
            age + 10
        );
    }
    text
}
