//! A book of what clients sent and were told, by which to judge what a restart brings back. Every
//! acknowledged write must be there, or a later one that was sent. Nothing may be there that was never sent.
//!
//! Each writer has customers of its own and knows their exact state. Some customers are shared by all
//! writers; the sequences in the answers say who wrote last. A group is a bulk request of one record: it is
//! whole or not there at all. A bundle's two rule sets carry the same mark. What was sent and not answered
//! may be there or not.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use serde_json::json;

use super::{Connection, Process, Reply, SCHEMA, rule_sets};

const WRITERS: usize = 4;
const OWN: usize = 6;
const SHARED: usize = 4;
const GROUP: usize = 12;

/// The two features of a customer; `None` if the customer is not known.
type Seen = Option<(u64, u64)>;

/// What is known for certain, and what else may be true because it was sent and not answered.
#[derive(Debug, Default)]
struct Belief<T> {
    known: T,
    unsure: Option<T>,
}

impl<T: PartialEq + Debug> Belief<T> {
    #[track_caller]
    fn settle(&mut self, found: T, what: &str) {
        assert!(found == self.known || Some(&found) == self.unsure.as_ref(), "{what} is {found:?}: {self:?}");
        *self = Belief { known: found, unsure: None };
    }
}

impl<T> Belief<T> {
    /// Notes that `value` was sent, and how that ended.
    fn note(&mut self, value: T, outcome: Outcome) {
        match outcome {
            Outcome::Kept(_) => *self = Belief { known: value, unsure: None },
            Outcome::Absent | Outcome::DiskFull => {}
            Outcome::Refused | Outcome::Unanswered => self.unsure = Some(value),
        }
    }
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// Acknowledged, with this sequence.
    Kept(u64),
    /// There was nothing to delete.
    Absent,
    /// 507: nothing was changed.
    DiskFull,
    /// 503: it may still come back after a restart.
    Refused,
    /// The connection ended before the answer.
    Unanswered,
}

impl Outcome {
    fn of(asked: io::Result<Reply>) -> Outcome {
        let Ok(reply) = asked else { return Outcome::Unanswered };
        match reply.status {
            200 | 201 => Outcome::Kept(reply.json()["sequence"].as_u64().unwrap()),
            404 => Outcome::Absent,
            503 => Outcome::Refused,
            507 => Outcome::DiskFull,
            _ => panic!("{reply:?}"),
        }
    }
}

struct Writer {
    number: usize,
    rng: Rng,
    own: [Belief<Seen>; OWN],
    group: Belief<Option<u64>>,
}

/// A customer whom all writers share: what was sent since the start, by its number, with the sequence if
/// acknowledged.
#[derive(Debug, Default)]
struct Shared {
    before: Seen,
    sent: BTreeMap<u64, (Seen, Option<u64>)>,
}

struct Definer {
    rng: Rng,
    bundle: Belief<u64>,
    single: Belief<Option<u64>>,
    /// Version and mark of the last bundle that was published.
    published: Option<(u64, u64)>,
}

/// What all threads of a load share.
struct Common<'a> {
    address: SocketAddr,
    stop: AtomicBool,
    /// A write was refused because the journal failed.
    failed: AtomicBool,
    deaf: AtomicBool,
    next: &'a AtomicU64,
    highest: &'a AtomicU64,
    shared: &'a [Mutex<Shared>; SHARED],
}

/// The book, kept over all lives of a process.
pub struct History {
    writers: Vec<Writer>,
    definer: Definer,
    snapshots: Rng,
    shared: [Mutex<Shared>; SHARED],
    next: AtomicU64,
    highest: AtomicU64,
    /// How many other customers there are.
    pub others: usize,
}

impl History {
    pub fn new(seed: u64) -> History {
        let mut seeds = Rng::with_seed(seed);
        let mut rng = || seeds.fork();
        let writer =
            |(number, rng)| Writer { number, rng, own: Default::default(), group: Belief::default() };
        let rngs: Vec<_> = (0..WRITERS).map(|_| rng()).collect();
        let (bundle, single) = Default::default();
        History {
            writers: rngs.into_iter().enumerate().map(writer).collect(),
            definer: Definer { rng: rng(), bundle, single, published: None },
            snapshots: rng(),
            shared: Default::default(),
            next: AtomicU64::new(1),
            highest: AtomicU64::new(0),
            others: 0,
        }
    }

    /// Writes with all writers at once until their writes are refused, their connections end, or `end`
    /// returns. `end` may kill the process. Once `end` sets the flag it is given, answers no longer count.
    pub fn load<T>(&mut self, address: SocketAddr, end: impl FnOnce(&AtomicBool) -> T) -> T {
        let common = &Common {
            address,
            stop: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
            next: &self.next,
            highest: &self.highest,
            shared: &self.shared,
        };
        let (definer, snapshots) = (&mut self.definer, &mut self.snapshots);
        std::thread::scope(|scope| {
            for writer in &mut self.writers {
                scope.spawn(move || common.until_the_end(|connection| writer.step(common, connection)));
            }
            scope.spawn(move || common.until_the_end(|connection| definer.step(common, connection)));
            scope.spawn(move || common.take_snapshots(snapshots));
            let _stop = Stop(&common.stop);
            end(&common.deaf)
        })
    }

    /// The highest sequence that was acknowledged.
    pub fn highest(&self) -> u64 {
        self.highest.load(Ordering::Relaxed)
    }

    /// Asks a restarted process for everything, and compares.
    #[track_caller]
    pub fn check(&mut self, process: &Process) {
        let ready = process.wait_until_ready();
        let sequence = ready["sequence"].as_u64().unwrap();
        assert!(sequence >= self.highest(), "acknowledged up to {}: {ready}", self.highest());
        let mut connection = process.connect().unwrap();
        let mut customers = self.others;
        for writer in &mut self.writers {
            customers += writer.check(&mut connection);
        }
        for (number, shared) in self.shared.iter_mut().enumerate() {
            let found = seen(&mut connection, &shared_id(number));
            customers += usize::from(found.is_some());
            shared.get_mut().unwrap().settle(found);
        }
        assert_eq!(ready["customers"], customers, "others were invented");
        self.definer.check(&mut connection);
    }
}

/// Ends a load, also if the thread it waited for panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Common<'_> {
    /// Repeats `step` until a write is not acknowledged or it is time to end.
    fn until_the_end(&self, mut step: impl FnMut(&mut Connection) -> Outcome) {
        let Ok(mut connection) = Connection::open(self.address) else { return };
        while !self.stop.load(Ordering::Relaxed) {
            let failed = self.failed.load(Ordering::SeqCst);
            match step(&mut connection) {
                Outcome::Kept(sequence) => {
                    assert!(!failed, "{sequence} was acknowledged after a write was refused for good");
                    self.highest.fetch_max(sequence, Ordering::Relaxed);
                }
                Outcome::Absent => {}
                Outcome::Refused => return self.failed.store(true, Ordering::SeqCst),
                Outcome::DiskFull | Outcome::Unanswered => return,
            }
        }
    }

    /// Takes a snapshot now and then until it is time to end. A failed snapshot proves nothing about writes.
    fn take_snapshots(&self, rng: &mut Rng) {
        let Ok(mut connection) = Connection::open(self.address) else { return };
        while !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(rng.u64(..20)));
            if connection.ask("POST", "/v1/snapshots", "").is_err() {
                return;
            }
        }
    }

    /// How the write with this reply ended.
    fn outcome(&self, asked: io::Result<Reply>) -> Outcome {
        if self.deaf.load(Ordering::SeqCst) { Outcome::Unanswered } else { Outcome::of(asked) }
    }

    /// A number that nobody else gets.
    fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

impl Writer {
    fn step(&mut self, common: &Common<'_>, connection: &mut Connection) -> Outcome {
        match self.rng.u8(..10) {
            0 => self.write_group(common, connection),
            1..=3 => self.write_shared(common, connection),
            _ => self.write_own(common, connection),
        }
    }

    fn write_own(&mut self, common: &Common<'_>, connection: &mut Connection) -> Outcome {
        let which = self.rng.usize(..OWN);
        let (path, next) = (path(&own_id(self.number, which)), common.next());
        let customer = &mut self.own[which];
        let (after, asked) = match (self.rng.u8(..6), customer.known) {
            (0, _) => (None, connection.ask("DELETE", &path, "")),
            (1..=3, Some((_, twin))) => {
                (Some((next, twin)), connection.ask("PATCH", &path, &format!("{{\"version\": {next}}}")))
            }
            _ => (Some((next, next)), connection.ask("PUT", &path, &both(next))),
        };
        let outcome = common.outcome(asked);
        assert!(outcome != Outcome::Absent || customer.known.is_none(), "{path} was not there: {customer:?}");
        customer.note(after, outcome);
        outcome
    }

    fn write_shared(&mut self, common: &Common<'_>, connection: &mut Connection) -> Outcome {
        let (which, next) = (self.rng.usize(..SHARED), common.next());
        let (path, delete) = (path(&shared_id(which)), self.rng.u8(..5) == 0);
        let after = if delete { None } else { Some((next, next)) };
        let book = || common.shared[which].lock().unwrap();
        book().sent.insert(next, (after, None));
        let asked = if delete {
            connection.ask("DELETE", &path, "")
        } else {
            connection.ask("PUT", &path, &both(next))
        };
        let outcome = common.outcome(asked);
        match outcome {
            Outcome::Kept(sequence) => drop(book().sent.insert(next, (after, Some(sequence)))),
            Outcome::Absent | Outcome::DiskFull => drop(book().sent.remove(&next)),
            Outcome::Refused | Outcome::Unanswered => {}
        }
        outcome
    }

    fn write_group(&mut self, common: &Common<'_>, connection: &mut Connection) -> Outcome {
        let next = common.next();
        let row = |member| {
            let id = group_id(self.number, member);
            format!("{{\"customer\": \"{id}\", \"version\": {next}, \"twin\": {next}}}\n")
        };
        let rows: String = (0..GROUP).map(row).collect();
        let outcome = common.outcome(connection.ask("POST", "/v1/customers?mode=replace", &rows));
        self.group.note(Some(next), outcome);
        outcome
    }

    /// How many customers of the group are there.
    #[track_caller]
    fn check(&mut self, connection: &mut Connection) -> usize {
        let mut customers = 0;
        for (which, customer) in self.own.iter_mut().enumerate() {
            let id = own_id(self.number, which);
            let found = seen(connection, &id);
            customers += usize::from(found.is_some());
            customer.settle(found, &id);
        }
        let members = (0..GROUP).map(|member| seen(connection, &group_id(self.number, member)));
        let members: Vec<_> = members.collect();
        let first = members[0];
        assert!(members.iter().all(|member| *member == first), "half a record: {members:?}");
        assert!(first.is_none_or(|(version, twin)| version == twin), "half an update: {members:?}");
        self.group.settle(first.map(|(version, _)| version), "a group");
        customers + if first.is_some() { GROUP } else { 0 }
    }
}

impl Shared {
    /// Checks that a shared customer holds what was acknowledged last, or a write that was not answered.
    #[track_caller]
    fn settle(&mut self, found: Seen) {
        let acknowledged =
            self.sent.values().filter_map(|(after, sequence)| Some((sequence.as_ref()?, after)));
        let last =
            acknowledged.max_by_key(|(sequence, _)| **sequence).map_or(self.before, |(_, after)| *after);
        let unsure = self.sent.values().any(|(after, sequence)| sequence.is_none() && *after == found);
        assert!(found == last || unsure, "a shared customer is {found:?}, not {last:?}: {self:?}");
        *self = Shared { before: found, ..Shared::default() };
    }
}

impl Definer {
    fn step(&mut self, common: &Common<'_>, connection: &mut Connection) -> Outcome {
        let mark = common.next();
        match (self.rng.u8(..4), self.published) {
            (0, Some((version, mark))) => {
                let path = format!("/v1/rule-sets/single/versions/{version}/activate");
                let outcome = common.outcome(connection.ask("POST", &path, ""));
                self.single.note(Some(mark), outcome);
                outcome
            }
            (1, _) => self.publish(mark, common, connection),
            _ => {
                let outcome = common.outcome(connection.ask("PUT", "/v1/bundle", &bundle(mark)));
                self.bundle.note(mark, outcome);
                outcome
            }
        }
    }

    fn publish(&mut self, mark: u64, common: &Common<'_>, connection: &mut Connection) -> Outcome {
        let text = format!(
            "{{\"rule_set\": \"single\", \"offers\": {{\"single\": {{\"placements\": [\"home_banner\"],
            \"when\": \"twin == {mark}\", \"treatments\": [{{\"placement\": \"home_banner\",
            \"content\": {{\"title\": \"mark-{mark}\"}}}}]}}}}}}"
        );
        let asked = connection.ask("PUT", "/v1/rule-sets/single", &text);
        let version = asked
            .as_ref()
            .ok()
            .filter(|reply| reply.status == 201)
            .map(|reply| reply.json()["version"].as_u64().unwrap());
        self.published = version.map(|version| (version, mark)).or(self.published);
        let outcome = common.outcome(asked);
        self.single.note(Some(mark), outcome);
        outcome
    }

    /// Checks which bundle is active, and that it decides.
    #[track_caller]
    fn check(&mut self, connection: &mut Connection) {
        let mut mark = |name: &str| {
            let reply = connection.ask("GET", &format!("/v1/rule-sets/{name}"), "").unwrap();
            (reply.status == 200).then(|| mark_in(&reply.text))
        };
        let (slots, marks, single) = (mark("slots").unwrap(), mark("marks").unwrap(), mark("single"));
        assert_eq!(slots, marks, "half a bundle");
        self.bundle.settle(slots, "the bundle's mark");
        self.single.settle(single, "the rule set's mark");
        let path = "/v1/decisions?customer=nobody&placement=home_banner&channel=app";
        let decision = connection.ask("GET", path, "").unwrap().is(200);
        assert_eq!(mark_in(&decision.text), slots, "{decision:?}");
    }
}

/// The number after the first `mark-`.
fn mark_in(text: &str) -> u64 {
    let (_, rest) = text.split_once("mark-").unwrap_or_else(|| panic!("no mark in {text}"));
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().unwrap()
}

pub fn bundle(mark: u64) -> String {
    let rule_sets = rule_sets(mark).map(|(name, text)| json!({"file": format!("{name}.yaml"), "text": text}));
    json!({"schema": SCHEMA, "rule_sets": rule_sets}).to_string()
}

fn seen(connection: &mut Connection, id: &str) -> Seen {
    let reply = connection.ask("GET", &path(id), "").unwrap();
    if reply.status == 404 {
        return None;
    }
    let features = &reply.is(200).json()["features"];
    Some((features["version"].as_u64().unwrap(), features["twin"].as_u64().unwrap()))
}

fn both(number: u64) -> String {
    format!("{{\"version\": {number}, \"twin\": {number}}}")
}

fn path(id: &str) -> String {
    format!("/v1/customers/{id}")
}

fn own_id(writer: usize, which: usize) -> String {
    format!("own-{writer}-{which}")
}

fn shared_id(which: usize) -> String {
    format!("shared-{which}")
}

fn group_id(writer: usize, member: usize) -> String {
    format!("group-{writer}-{member}")
}
