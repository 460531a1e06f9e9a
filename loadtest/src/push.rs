//! Pushing one version of a rule set after the other, beside the load.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::connection::{Connection, request};
use crate::scenario::{excerpt, number_after};
use crate::target::Target;

/// The rule set that is pushed.
pub(crate) const RULE_SET: &str = "loadtest";
/// Its one offer's name, followed by the push's number.
pub(crate) const OFFER: &str = "pushed_";
const TIMEOUT: Duration = Duration::from_secs(10);

/// A thread that pushes until it is stopped.
pub(crate) struct Pusher {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    thread: JoinHandle<Pushed>,
}

/// What was pushed.
#[derive(Debug, Default)]
pub(crate) struct Pushed {
    /// By version, the number in its offer's name.
    pub(crate) offers: HashMap<u64, u64>,
    /// Pushes, and the retirement in the end, that were not answered as they must be.
    pub(crate) failed: u64,
    pub(crate) first_failure: Option<String>,
    /// The slowest, from sending to the answer.
    pub(crate) slowest: Duration,
}

struct Push<'t> {
    target: &'t Target,
    connection: Connection,
    number: u64,
    pushed: Pushed,
}

impl Pusher {
    /// Pushes once, so that the first answer is of a pushed version already, then every `every`.
    pub(crate) fn start(target: &Target, every: Duration) -> io::Result<Pusher> {
        let target = target.clone();
        let mut push = Push {
            connection: Connection::open(&target)?,
            target: &target,
            number: 0,
            pushed: Pushed::default(),
        };
        let first = push.publish()?;
        let Push { connection, number, pushed, .. } = push;
        let acknowledged = Arc::new(AtomicU64::new(first));
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, newest) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        let thread = std::thread::Builder::new().name("push".into()).spawn(move || {
            let push = Push { target: &target, connection, number, pushed };
            push.run(every, &stopped, &newest)
        })?;
        Ok(Pusher { stop, acknowledged, thread })
    }

    /// The newest version that the server has acknowledged.
    pub(crate) fn acknowledged(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.acknowledged)
    }

    /// Stops pushing and retires the rule set.
    pub(crate) fn stop(self) -> Pushed {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| Pushed { failed: 1, ..Pushed::default() })
    }
}

impl Push<'_> {
    fn run(mut self, every: Duration, stop: &AtomicBool, acknowledged: &AtomicU64) -> Pushed {
        let mut next = Instant::now() + every;
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            next += every;
            match self.publish() {
                Ok(version) => acknowledged.store(version, Ordering::Release),
                Err(e) => self.failed(&e),
            }
        }
        let line = format!("DELETE /v1/rule-sets/{RULE_SET}");
        if let Err(e) = self.send(&line, "", 200) {
            self.failed(&e);
        }
        self.pushed
    }

    /// Pushes the next version; returns what the server calls it.
    fn publish(&mut self) -> io::Result<u64> {
        self.number += 1;
        let started = Instant::now();
        let answer = self.send(&format!("PUT /v1/rule-sets/{RULE_SET}"), &rule_set(self.number), 201)?;
        self.pushed.slowest = self.pushed.slowest.max(started.elapsed());
        let version = number_after(&answer, "\"version\":");
        let version =
            version.ok_or_else(|| io::Error::other(format!("no version in {}", excerpt(&answer))))?;
        self.pushed.offers.insert(version, self.number);
        Ok(version)
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

/// An offer that everybody may have and that outbids all others; its name and content say which push it is of.
fn rule_set(number: u64) -> String {
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
"
    )
}
