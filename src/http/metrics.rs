//! Metrics as text, in both formats of Prometheus. Each thread has its own counters, so counting takes no
//! lock and touches no cache line of another core. A scrape adds them up.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeMetric, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::insight::learned;
use crate::node::Node;
use crate::node::startup::Startup;
use crate::rules::catalogue::{Returned, Taken};
use crate::storage::durability::Durability;

/// Upper bounds of the decision histogram's buckets, in microseconds.
const BOUNDS_US: [u64; 12] = [5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 100_000];
/// Status classes: 1xx to 5xx.
const CLASSES: usize = 5;

/// A number that only grows. One thread adds to it, and any thread may read it.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds without locking the bus, which takes longer than all else: nobody else adds.
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one thread. Aligned to 128 bytes, because processors fetch cache lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Counters {
    decisions: Counter,
    degraded: Counter,
    unknown: Counter,
    fallbacks: Counter,
    duration_ns: Counter,
    duration: [Counter; BOUNDS_US.len() + 1],
    /// Requests by route. The last entry counts paths that no route has.
    requests: Box<[Requests]>,
    /// Connections refused because too many were open.
    pub rejected_connections: Counter,
    /// Requests whose handler panicked; each was answered 500.
    pub panics: Counter,
    /// Requests refused because too much was waiting.
    pub overloads: Counter,
    /// Events that were accepted, including those over a budget.
    pub events_accepted: Counter,
    /// Events that had been accepted before.
    pub events_duplicate: Counter,
    /// Events that were rejected as wrong or too old.
    pub events_rejected: Counter,
}

/// The requests of one route by class of status. Aligned as [`Counters`] are.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Requests([Counter; CLASSES]);

impl Counters {
    /// Counters at zero, for this many routes.
    pub(super) fn new(routes: usize) -> Counters {
        Counters {
            decisions: Counter::default(),
            degraded: Counter::default(),
            unknown: Counter::default(),
            fallbacks: Counter::default(),
            duration_ns: Counter::default(),
            duration: Default::default(),
            requests: (0..=routes).map(|_| Requests::default()).collect(),
            rejected_connections: Counter::default(),
            panics: Counter::default(),
            overloads: Counter::default(),
            events_accepted: Counter::default(),
            events_duplicate: Counter::default(),
            events_rejected: Counter::default(),
        }
    }

    /// Counts a decision that was made and rendered.
    pub(crate) fn decided(&self, took: Duration, known: bool, degraded: bool, fallbacks: u64) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.decisions.add(1);
        self.duration_ns.add(ns);
        self.duration[BOUNDS_US.iter().position(|us| ns <= us * 1000).unwrap_or(BOUNDS_US.len())].add(1);
        for (count, n) in [
            (&self.degraded, u64::from(degraded)),
            (&self.unknown, u64::from(!known)),
            (&self.fallbacks, fallbacks),
        ] {
            if n > 0 {
                count.add(n);
            }
        }
    }

    /// Counts the events of one request.
    pub(crate) fn events(&self, accepted: usize, duplicates: usize, rejected: usize) {
        self.events_accepted.add(accepted as u64);
        self.events_duplicate.add(duplicates as u64);
        self.events_rejected.add(rejected as u64);
    }

    /// Counts an answered request by its route and class of status.
    pub(crate) fn count(&self, route: usize, status: u16) {
        let route = route.min(self.requests.len() - 1);
        self.requests[route].0[usize::from(status / 100).clamp(1, CLASSES) - 1].add(1);
    }
}

/// The counters of all threads, and the node once it has started.
pub(crate) struct Metrics {
    threads: Box<[Counters]>,
    /// The paths by which requests are counted, in the order of the table of routes.
    routes: Vec<&'static str>,
    startup: Arc<Startup>,
}

impl Metrics {
    /// Counters for this many threads (at least one) and for these paths.
    pub(crate) fn new(threads: usize, routes: Vec<&'static str>, startup: Arc<Startup>) -> Arc<Metrics> {
        let threads = (0..threads.max(1)).map(|_| Counters::new(routes.len())).collect();
        Arc::new(Metrics { threads, routes, startup })
    }

    /// The counters of one thread.
    pub(crate) fn thread(&self, index: usize) -> &Counters {
        &self.threads[index % self.threads.len()]
    }

    /// All metrics as OpenMetrics text. `connections` is the number of open connections.
    ///
    /// # Errors
    /// None is known: writing to a string does not fail.
    pub(crate) fn text(self: &Arc<Self>, connections: u64) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("usher");
        registry.register_collector(Box::new(Scrape { metrics: Arc::clone(self), connections }));
        let mut text = String::new();
        text::encode(&mut text, &registry)?;
        Ok(text)
    }

    fn sum(&self, of: impl Fn(&Counters) -> &Counter) -> u64 {
        self.threads.iter().map(|counters| of(counters).get()).sum()
    }
}

/// OpenMetrics text in the text format 0.0.4 of Prometheus. There, a counter is named as its samples are, and
/// nothing says that this is all.
///
/// Source: *Exposition formats*, prometheus.io.
pub(crate) fn older(text: &str) -> String {
    let counters: HashSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut older = String::with_capacity(text.len() + 8 * counters.len() * 2);
    for line in text.lines().filter(|line| *line != "# EOF") {
        let named =
            ["# HELP ", "# TYPE "].into_iter().find_map(|what| Some((what, line.strip_prefix(what)?)));
        let named = named.and_then(|(what, rest)| Some((what, rest.split_once(' ')?)));
        match named {
            Some((what, (name, rest))) if counters.contains(name) => {
                older.extend([what, name, "_total ", rest]);
            }
            _ => older.push_str(line),
        }
        older.push('\n');
    }
    older
}

struct Scrape {
    metrics: Arc<Metrics>,
    connections: u64,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let metrics = &self.metrics;
        for (name, help, count) in [
            ("decisions", "Decisions made", metrics.sum(|c| &c.decisions)),
            ("decisions_degraded", "Decisions that ran out of time", metrics.sum(|c| &c.degraded)),
            ("decisions_unknown_customer", "Decisions for unknown customers", metrics.sum(|c| &c.unknown)),
            ("placements_fallback", "Placements that showed their fallback", metrics.sum(|c| &c.fallbacks)),
            ("connections_rejected", "Connections over the limit", metrics.sum(|c| &c.rejected_connections)),
            ("panics", "Handlers that panicked; each cost its own request", metrics.sum(|c| &c.panics)),
            ("events_accepted", "Events accepted", metrics.sum(|c| &c.events_accepted)),
            (
                "events_duplicate",
                "Events that had been accepted before",
                metrics.sum(|c| &c.events_duplicate),
            ),
            ("events_rejected", "Events rejected", metrics.sum(|c| &c.events_rejected)),
            ("overloads", "Requests refused because too much was waiting", metrics.sum(|c| &c.overloads)),
        ] {
            encode_counter(&mut encoder, name, help, count)?;
        }
        encode_gauge(&mut encoder, "connections", "Connections open", self.connections as f64)?;
        self.encode_duration(&mut encoder)?;
        self.encode_requests(&mut encoder)?;
        let Some(node) = metrics.startup.node() else { return Ok(()) };
        encode_node(&mut encoder, node)?;
        encode_room(&mut encoder, node)?;
        let now_s = node.now().stored_seconds().into();
        encode_durability(&mut encoder, &node.durability(), node.journal_failed(), now_s)
    }
}

impl Scrape {
    fn encode_duration(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let metrics = &self.metrics;
        let bounds = BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
        let buckets: Vec<_> =
            bounds.enumerate().map(|(i, bound)| (bound, metrics.sum(|c| &c.duration[i]))).collect();
        // Summed from the buckets, so that a scrape between two additions is consistent.
        let count = buckets.iter().map(|(_, count)| count).sum();
        let help = "From a complete request to its rendered decision";
        let mut metric =
            encoder.encode_descriptor("decision_duration_seconds", help, None, MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(
            metrics.sum(|c| &c.duration_ns) as f64 / 1e9,
            count,
            &buckets,
            None,
        )
    }

    fn encode_requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family =
            encoder.encode_descriptor("http_requests", "Requests answered", None, MetricType::Counter)?;
        let paths = self.metrics.routes.iter().copied().chain(["unknown"]);
        for (route, path) in paths.enumerate() {
            for class in 0..CLASSES {
                let count = self.metrics.sum(|c| &c.requests[route].0[class]);
                if count > 0 {
                    let labels = [("route", path.to_owned()), ("status", format!("{}xx", class + 1))];
                    ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

fn encode_node(encoder: &mut DescriptorEncoder<'_>, node: &Node) -> fmt::Result {
    let memory = node.customers().memory();
    let live = node.live();
    let index = live.engine.index_size();
    let lessons = node.figures().lessons();
    let learned = learned::totals(&live.engine, lessons, node.now().stored_seconds());
    for (name, help, value) in [
        ("customers", "Customers known", memory.customers as f64),
        ("store_bytes", "Bytes the customers take in memory", memory.bytes as f64),
        ("customer_bytes", "Bytes per customer", memory.bytes_per_customer()),
        (
            "erasures_remembered",
            "Erased customers whose old tokens are still known to be void",
            node.figures().erasures() as f64,
        ),
        ("sequence", "Sequence of the last record applied", node.sequence() as f64),
        ("offers", "Offers of the engine in force", live.engine.offer_count() as f64),
        ("index_bytes", "Bytes of the index of the engine in force", index.bytes as f64),
        ("index_conjunctions", "Conjunctions in the index of the engine in force", index.conjunctions as f64),
        ("index_terms", "Different terms in its conditions", index.terms as f64),
        (
            "learned_rows",
            "Offers by placement and segment that something was learned of",
            learned.rows as f64,
        ),
        (
            "learned_pending",
            "Impressions of these that may be clicked yet, so that they count",
            learned.pending as f64,
        ),
    ] {
        encode_gauge(encoder, name, help, value)?;
    }
    let taken = Returned::ALL.map(|kind| live.definitions.catalogue.taken(kind));
    for (name, help, number) in [
        ("numbers_taken", "Numbers that names have", (|of| of.taken) as fn(&Taken) -> usize),
        ("numbers_available", "Numbers that there are for names", |of| of.most),
    ] {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for of in &taken {
            let labels = [("of", of.of.replace(' ', "_"))];
            ConstGauge::new(number(of) as f64).encode(family.encode_family(&labels)?)?;
        }
    }
    let help = "Active version of each rule set";
    let mut family = encoder.encode_descriptor("rule_set_version", help, None, MetricType::Gauge)?;
    for (name, version) in &live.engine.versions {
        let labels = [("rule_set", name.to_string())];
        ConstGauge::new(f64::from(*version)).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn encode_room(encoder: &mut DescriptorEncoder<'_>, node: &Node) -> fmt::Result {
    let (room, takes_new) = (node.room(), node.room().takes_new(node.customers()));
    for (name, help, value) in [
        ("customers_max", "Most customers that may be known", room.bounds.customers as f64),
        ("resident_bytes", "Bytes of memory that the process has", room.resident() as f64),
        (
            "memory_max_bytes",
            "Most bytes of memory; 0 for no bound",
            room.bounds.memory.unwrap_or_default() as f64,
        ),
        (
            "memory_mark_bytes",
            "Bytes of memory from which on new customers are refused; 0 for no bound",
            room.mark().unwrap_or_default() as f64,
        ),
        (
            "clock_off_seconds",
            "By how much the clock jumped, while that is not believed",
            node.clock().off_s() as f64,
        ),
        ("takes_new_customers", "0 if there is no room for new customers", f64::from(takes_new)),
    ] {
        encode_gauge(encoder, name, help, value)?;
    }
    encode_counter(
        encoder,
        "customers_expired",
        "Customers of whom only events were known, gone",
        node.expired(),
    )?;
    encode_counter(encoder, "clock_jumps", "Jumps of the clock", node.clock().jumps())
}

/// A node without a journal reports 0 everywhere. Without a snapshot its age is left out, since any number
/// would be wrong.
fn encode_durability(
    encoder: &mut DescriptorEncoder<'_>,
    of: &Durability,
    journal_failed: bool,
    now_s: u64,
) -> fmt::Result {
    let newest = of.snapshots.first();
    for (name, help, value) in [
        ("journal_segments", "Files of the journal", of.journal_segments as f64),
        ("journal_bytes", "Bytes of the journal", of.journal_bytes as f64),
        ("durable_sequence", "Sequence of the last record known to be durable", of.durable_sequence as f64),
        ("journal_sync_longest_seconds", "The longest sync of the journal", of.longest_sync.as_secs_f64()),
        ("journal_failed", "1 if the journal failed: writes are refused", f64::from(journal_failed)),
        (
            "snapshot_sequence",
            "Last record in the newest snapshot",
            newest.map_or(0.0, |s| s.sequence as f64),
        ),
        ("snapshot_bytes", "Bytes of the newest snapshot", newest.map_or(0.0, |s| s.bytes as f64)),
        ("erasure_pending", "1 if files still hold erased customers", f64::from(of.erasure_pending)),
        ("replayed_records", "Records that the start replayed", of.recovery.replayed as f64),
        ("torn_bytes_cut", "Bytes of a torn tail that the start cut", of.recovery.cut_bytes as f64),
    ] {
        encode_gauge(encoder, name, help, value)?;
    }
    if let Some(newest) = newest {
        let age = now_s.saturating_sub(newest.taken_at_s) as f64;
        encode_gauge(encoder, "snapshot_age_seconds", "Since the newest snapshot was taken", age)?;
    }
    encode_counter(encoder, "journal_syncs", "Syncs of the journal", of.syncs)?;
    let seconds = of.sync_time.as_secs_f64();
    encode_counter(encoder, "journal_sync_seconds", "Time that syncs of the journal took", seconds)?;
    encode_counter(encoder, "snapshot_failures", "Snapshots that failed", of.snapshot_failures)
}

fn encode_gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn encode_counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl EncodeCounterValue,
) -> fmt::Result {
    ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_names_counters_as_their_samples_are() {
        let text = "# HELP a_b Told # twice\n# TYPE a_b counter\na_b_total{of=\"x y\"} 1\n\
                    # HELP g Level\n# TYPE g gauge\ng 2\n# EOF\n";
        let expected = "# HELP a_b_total Told # twice\n# TYPE a_b_total counter\na_b_total{of=\"x y\"} 1\n\
                        # HELP g Level\n# TYPE g gauge\ng 2\n";
        assert_eq!(older(text), expected);
    }
    use crate::storage::durability::{Recovery, SnapshotInfo};

    #[test]
    fn durations_fall_into_their_buckets() {
        let counters = Counters::new(3);
        for (us, bucket) in [(0, 0), (5, 0), (6, 1), (100_000, 11), (1_000_000, 12)] {
            let before = counters.duration[bucket].get();
            counters.decided(Duration::from_micros(us), true, false, 0);
            assert_eq!(counters.duration[bucket].get(), before + 1, "{us}");
        }
        assert_eq!((counters.decisions.get(), counters.unknown.get()), (5, 0));
    }

    #[test]
    fn statuses_fall_into_their_classes() {
        let counters = Counters::new(3);
        counters.count(0, 200);
        counters.count(usize::MAX, 404);
        assert_eq!(counters.requests[0].0[1].get(), 1);
        assert_eq!(counters.requests[3].0[3].get(), 1);
    }

    #[test]
    fn the_last_bucket_holds_every_duration() {
        let metrics = Metrics::new(1, vec!["/v1/decisions"], Startup::new());
        for us in [7, 7_000_000] {
            metrics.thread(0).decided(Duration::from_micros(us), true, false, 0);
        }
        let text = metrics.text(0).unwrap();
        for line in ["{le=\"0.00001\"} 1\n", "{le=\"0.1\"} 1\n", "{le=\"+Inf\"} 2\n"] {
            let line = format!("usher_decision_duration_seconds_bucket{line}");
            assert!(text.contains(&line), "{line} is not in {text}");
        }
    }

    struct Shown(Durability);

    impl fmt::Debug for Shown {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.fmt(f)
        }
    }

    impl Collector for Shown {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            encode_durability(&mut encoder, &self.0, true, 1_000)
        }
    }

    fn text_of(durability: Durability) -> String {
        let mut registry = Registry::with_prefix("usher");
        registry.register_collector(Box::new(Shown(durability)));
        let mut text = String::new();
        text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn how_durable_a_node_is_is_told_in_numbers() {
        let newest = SnapshotInfo { sequence: 7, customers: 2, bytes: 10, digest: 1, taken_at_s: 940 };
        let recovery = Recovery { replayed: 2, cut_bytes: 17, ..Recovery::default() };
        let text = text_of(Durability {
            durable_sequence: 8,
            journal_segments: 3,
            journal_bytes: 4096,
            syncs: 5,
            sync_time: Duration::from_millis(1500),
            longest_sync: Duration::from_millis(500),
            snapshots: vec![newest],
            snapshot_failures: 6,
            erasure_pending: true,
            recovery,
            ..Durability::default()
        });
        for line in [
            "usher_journal_segments 3.0\n",
            "usher_journal_bytes 4096.0\n",
            "usher_durable_sequence 8.0\n",
            "usher_journal_syncs_total 5\n",
            "usher_journal_sync_seconds_total 1.5\n",
            "usher_journal_sync_longest_seconds 0.5\n",
            "usher_journal_failed 1.0\n",
            "usher_snapshot_sequence 7.0\n",
            "usher_snapshot_bytes 10.0\n",
            "usher_snapshot_age_seconds 60.0\n",
            "usher_snapshot_failures_total 6\n",
            "usher_erasure_pending 1.0\n",
            "usher_replayed_records 2.0\n",
            "usher_torn_bytes_cut 17.0\n",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        let none = text_of(Durability::default());
        assert!(none.contains("usher_snapshot_sequence 0.0\n") && !none.contains("age"), "{none}");
    }
}
