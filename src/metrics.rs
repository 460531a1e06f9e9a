//! What the server counts, as OpenMetrics. Every thread has counters of its own, so that counting takes no lock and no
//! cache line of another core; they are added up when somebody asks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::http::ROUTES;
use crate::node::Node;

/// Upper bounds of the decision histogram's buckets, in microseconds.
const BOUNDS_US: [u64; 12] = [5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 100_000];
/// Status classes: 1xx to 5xx.
const CLASSES: usize = 5;

/// A number that only goes up.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one thread counts. Aligned, so that no two threads share a cache line (or the pair that is fetched at once).
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    decisions: Count,
    degraded: Count,
    unknown: Count,
    fallbacks: Count,
    duration_ns: Count,
    duration: [Count; BOUNDS_US.len() + 1],
    /// By route, then status class; the last route stands for paths that are not there.
    requests: [[Count; CLASSES]; ROUTES + 1],
    /// Connections refused because too many were open.
    pub rejected_connections: Count,
    /// Handlers that panicked.
    pub panics: Count,
    /// Requests refused because too much was waiting.
    pub overloads: Count,
}

impl Counters {
    /// A decision was made and rendered.
    pub fn decided(&self, took: Duration, known: bool, degraded: bool, fallbacks: u64) {
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

    /// A request was answered.
    pub fn count(&self, route: usize, status: u16) {
        self.requests[route.min(ROUTES)][usize::from(status / 100).clamp(1, CLASSES) - 1].add(1);
    }
}

/// All threads' counters, and the node they are about.
pub struct Metrics {
    threads: Box<[Counters]>,
    node: Arc<Node>,
}

impl Metrics {
    /// Counters for so many threads.
    pub fn new(threads: usize, node: Arc<Node>) -> Arc<Metrics> {
        Arc::new(Metrics { threads: (0..threads.max(1)).map(|_| Counters::default()).collect(), node })
    }

    /// The counters of a thread.
    pub fn thread(&self, index: usize) -> &Counters {
        &self.threads[index % self.threads.len()]
    }

    /// Everything as OpenMetrics text; `connections` are open now.
    ///
    /// # Errors
    /// None that is known: writing into a string does not fail.
    pub fn text(self: &Arc<Self>, connections: u64) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("usher");
        registry.register_collector(Box::new(Scrape { metrics: Arc::clone(self), connections }));
        let mut text = String::new();
        text::encode(&mut text, &registry)?;
        Ok(text)
    }

    fn sum(&self, of: impl Fn(&Counters) -> &Count) -> u64 {
        self.threads.iter().map(|counters| of(counters).get()).sum()
    }
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
            ("decisions_unknown_customer", "Decisions for customers not known", metrics.sum(|c| &c.unknown)),
            ("placements_fallback", "Placements that showed their fallback", metrics.sum(|c| &c.fallbacks)),
            ("connections_rejected", "Connections over the cap", metrics.sum(|c| &c.rejected_connections)),
            ("panics", "Handlers that panicked; each cost its own request", metrics.sum(|c| &c.panics)),
            ("overloads", "Requests refused because too much was waiting", metrics.sum(|c| &c.overloads)),
        ] {
            let counter = ConstCounter::new(count);
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        self.encode_duration(&mut encoder)?;
        self.encode_requests(&mut encoder)?;
        self.encode_node(&mut encoder)
    }
}

impl Scrape {
    fn encode_duration(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let metrics = &self.metrics;
        let bounds = BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::MAX]);
        let buckets: Vec<_> =
            bounds.enumerate().map(|(i, bound)| (bound, metrics.sum(|c| &c.duration[i]))).collect();
        // The buckets' own sum, so that a scrape between two additions still adds up.
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
        for route in 0..=ROUTES {
            for class in 0..CLASSES {
                let count = self.metrics.sum(|c| &c.requests[route][class]);
                if count > 0 {
                    let name = crate::http::route_name(route).unwrap_or("unknown");
                    let labels = [("route", name.to_owned()), ("status", format!("{}xx", class + 1))];
                    ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }

    fn encode_node(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let node = &self.metrics.node;
        let memory = node.customers().memory();
        for (name, help, value) in [
            ("connections", "Connections open", self.connections as f64),
            ("customers", "Customers known", memory.customers as f64),
            ("store_bytes", "Bytes the customers take in memory", memory.bytes as f64),
            ("customer_bytes", "Bytes per customer", memory.bytes_per_customer()),
            ("sequence", "Sequence of the last record applied", node.sequence() as f64),
            ("offers", "Offers of the engine in force", node.live().engine.offer_count() as f64),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        let help = "Active version of each rule set";
        let mut family = encoder.encode_descriptor("rule_set_version", help, None, MetricType::Gauge)?;
        for (name, version) in &node.live().engine.versions {
            let labels = [("rule_set", name.to_string())];
            ConstGauge::new(f64::from(*version)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_their_buckets() {
        let counters = Counters::default();
        for (us, bucket) in [(0, 0), (5, 0), (6, 1), (100_000, 11), (1_000_000, 12)] {
            let before = counters.duration[bucket].get();
            counters.decided(Duration::from_micros(us), true, false, 0);
            assert_eq!(counters.duration[bucket].get(), before + 1, "{us}");
        }
        assert_eq!((counters.decisions.get(), counters.unknown.get()), (5, 0));
    }

    #[test]
    fn statuses_fall_into_their_classes() {
        let counters = Counters::default();
        counters.count(0, 200);
        counters.count(usize::MAX, 404);
        assert_eq!(counters.requests[0][1].get(), 1);
        assert_eq!(counters.requests[ROUTES][3].get(), 1);
    }
}
