//! Paths for operations: alive, ready, metrics, the contract, and a page for people.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use hyper::StatusCode;

use crate::http::call::Worker;
use crate::http::metrics;
use crate::http::wire::answer;
use crate::http::wire::answer::Answer;
use crate::http::wire::encode::Encode;
use crate::http::wire::head::Head;
use crate::http::wire::media;
use crate::http::wire::media::Format;
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::storage::durability::BytesRead;
use crate::storage::durability::{Durability, Recovery, SyncPolicy};

/// The contract as an OpenAPI 3.1 document.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");

/// What `/readyz` reports of a node.
struct Ready {
    sequence: u64,
    customers: u64,
    journal_failed: bool,
    takes_new_customers: bool,
    /// By how many seconds the clock jumped, as long as that is not believed.
    clock_off_s: i64,
    durability: Durability,
    /// The time now, in seconds since 1970.
    now_s: u64,
}

/// `GET /`: says to people in front of a browser what this is, and where to go.
pub(crate) fn home() -> Answer {
    let page = include_str!("home.html").replace("{version}", env!("CARGO_PKG_VERSION"));
    answer::with(StatusCode::OK, "text/html; charset=utf-8", Bytes::from(page))
}

/// `GET /livez`: 200 while the process runs.
pub(crate) fn livez() -> Answer {
    answer::text("text/plain; charset=utf-8", "alive\n")
}

/// `GET /openapi.json`: the contract, as it was compiled in.
pub(crate) fn openapi() -> Answer {
    answer::text("application/json", OPENAPI)
}

/// `GET /readyz`: 503 while starting and while stopping. A node with a failed journal stays ready, because it
/// still decides, and reports that it takes no writes. So does one that refused the last write because the
/// disk was full or files were scarce.
pub(crate) fn readyz(worker: &Worker) -> Result<Answer, Refusal> {
    if worker.shared.unready.load(Ordering::Relaxed) {
        return Err(Refusal::new(ProblemKind::Unavailable, "not ready: the server is stopping"));
    }
    let Some(node) = worker.shared.startup.node() else {
        let progress = told(worker.shared.startup.progress());
        let detail = format!("not ready: the node is still starting, {progress}");
        return Err(Refusal::new(ProblemKind::Unavailable, detail));
    };
    let ready = Ready {
        sequence: node.sequence(),
        customers: node.customers().len() as u64,
        journal_failed: node.journal_failed(),
        takes_new_customers: node.room().takes_new(node.customers()),
        clock_off_s: node.clock().off_s(),
        durability: node.durability(),
        now_s: node.now().stored_seconds().into(),
    };
    Ok(answer::document(Format::Json, |out| ready.write(out)))
}

/// The answer of every path that needs the node, until the node has started.
pub(crate) fn starting() -> Refusal {
    let detail = "the node is still starting; try again in a second, or see its progress at /readyz";
    Refusal::new(ProblemKind::Unavailable, detail).in_a_second()
}

/// The answer to all but health and metrics on a connection over the limit.
pub(crate) fn crowded() -> Refusal {
    let detail = "too many connections are open here, or from your address; try again in a second";
    Refusal::new(ProblemKind::Unavailable, detail).in_a_second()
}

/// `GET /metrics`: all metrics, as OpenMetrics text or in the text format that came before.
pub(crate) fn metrics(worker: &Worker, head: &Head) -> Result<Answer, Refusal> {
    let open = worker.shared.connections.load(Ordering::Relaxed) as u64;
    let text = worker.shared.metrics.text(open);
    let text = text.map_err(|_| Refusal::new(ProblemKind::Internal, "the metrics could not be written"))?;
    let (content_type, text) = if media::prefers_open_metrics(head) {
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", text)
    } else {
        ("text/plain; version=0.0.4; charset=utf-8", metrics::older(&text))
    };
    Ok(answer::varying(answer::with(StatusCode::OK, content_type, Bytes::from(text))))
}

/// The progress of a start, in words. The two numbers are not stored at the same time, so `done` may exceed
/// `total`.
fn told(BytesRead { done, total }: BytesRead) -> String {
    if total == 0 {
        return "the amount to read is not known yet".into();
    }
    let done = done.min(total);
    let percent = u128::from(done) * 100 / u128::from(total);
    format!("{done} of {total} bytes were read ({percent} %)")
}

impl Ready {
    fn write(&self, out: &mut dyn Encode) {
        let Durability { sync, durable_sequence, snapshots, journal_failure, refusal, recovery, .. } =
            &self.durability;
        out.map();
        out.key("ready");
        out.boolean(true);
        out.key("takes_writes");
        out.boolean(!self.journal_failed && refusal.is_none());
        if self.journal_failed {
            out.key("journal_failure");
            out.text(journal_failure.as_deref().unwrap_or("a record could not be applied; the log says why"));
        } else if let Some(why) = refusal {
            out.key("write_refusal");
            out.text(why);
        }
        if !self.takes_new_customers {
            out.key("takes_new_customers");
            out.boolean(false);
        }
        if self.clock_off_s != 0 {
            out.key("clock_off_s");
            out.integer(self.clock_off_s);
        }
        out.key("sequence");
        out.unsigned(self.sequence);
        out.key("customers");
        out.unsigned(self.customers);
        out.key("sync");
        out.text(&sync_name(*sync));
        out.key("durable_sequence");
        out.unsigned(*durable_sequence);
        out.key("last_snapshot_age_s");
        match snapshots.first() {
            Some(newest) => out.unsigned(self.now_s.saturating_sub(newest.taken_at_s)),
            None => out.null(),
        }
        out.key("recovery");
        write_recovery(out, recovery);
        out.end_map();
    }
}

fn write_recovery(out: &mut dyn Encode, recovery: &Recovery) {
    let Recovery { snapshot_sequence, damaged_snapshots, replayed, cut_bytes, took } = recovery;
    out.map();
    out.key("snapshot_sequence");
    out.unsigned(*snapshot_sequence);
    out.key("damaged_snapshots");
    out.unsigned(*damaged_snapshots);
    out.key("replayed");
    out.unsigned(*replayed);
    out.key("cut_bytes");
    out.unsigned(*cut_bytes);
    out.key("took_ms");
    out.unsigned(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    out.end_map();
}

/// The name as in `--sync`; `memory` for a node without a journal.
fn sync_name(sync: Option<SyncPolicy>) -> String {
    match sync {
        None => "memory".into(),
        Some(SyncPolicy::Always) => "always".into(),
        Some(SyncPolicy::Interval(every)) => format!("interval={}", every.as_millis()),
        Some(SyncPolicy::Never) => "never".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::http::wire::media::Format;
    use crate::storage::durability::SnapshotInfo;

    #[test]
    fn how_far_a_start_is_is_said_in_bytes_and_percent() {
        for (done, total, expected) in [
            (0, 0, "the amount to read is not known yet"),
            (0, 3, "0 of 3 bytes were read (0 %)"),
            (2, 3, "2 of 3 bytes were read (66 %)"),
            (4, 3, "3 of 3 bytes were read (100 %)"),
            (u64::MAX, u64::MAX, "18446744073709551615 of 18446744073709551615 bytes were read (100 %)"),
        ] {
            assert_eq!(told(BytesRead { done, total }), expected);
        }
    }

    fn written(takes_writes: bool, durability: Durability) -> Value {
        let (takes_new_customers, now_s, journal_failed) = (true, 1_000, !takes_writes);
        let ready = Ready {
            sequence: 9,
            customers: 3,
            journal_failed,
            takes_new_customers,
            clock_off_s: 0,
            durability,
            now_s,
        };
        serde_json::from_slice(&answer::render(Format::Json, |out| ready.write(out))).unwrap()
    }

    #[test]
    fn a_durable_node_says_how_durable_it_is_and_what_its_start_found() {
        let newest = SnapshotInfo { sequence: 7, customers: 2, bytes: 10, digest: 1, taken_at_s: 940 };
        let oldest = SnapshotInfo { taken_at_s: 1, ..newest.clone() };
        let recovery = Recovery {
            snapshot_sequence: 5,
            damaged_snapshots: 1,
            replayed: 2,
            cut_bytes: 17,
            took: Duration::from_micros(12_900),
        };
        let found = written(
            true,
            Durability {
                sync: Some(SyncPolicy::Interval(Duration::from_millis(20))),
                durable_sequence: 8,
                snapshots: vec![newest, oldest],
                recovery,
                ..Durability::default()
            },
        );
        let recovery = json!({"snapshot_sequence": 5, "damaged_snapshots": 1, "replayed": 2, "cut_bytes": 17,
            "took_ms": 12});
        assert_eq!(
            found,
            json!({"ready": true, "takes_writes": true, "sequence": 9, "customers": 3, "sync": "interval=20",
                "durable_sequence": 8, "last_snapshot_age_s": 60, "recovery": recovery})
        );
    }

    #[test]
    fn a_node_that_takes_no_writes_says_why() {
        for (failure, expected) in
            [(Some("no such device"), "no such device"), (None, "could not be applied")]
        {
            let journal_failure = failure.map(str::to_owned);
            let found = written(false, Durability { journal_failure, ..Durability::default() });
            assert_eq!((&found["ready"], &found["takes_writes"]), (&json!(true), &json!(false)));
            assert!(found["journal_failure"].as_str().unwrap().contains(expected), "{found}");
        }
        let refusal = Some("the disk is full".to_owned());
        let found = written(true, Durability { refusal, ..Durability::default() });
        assert_eq!(
            (&found["takes_writes"], &found["write_refusal"]),
            (&json!(false), &json!("the disk is full"))
        );
    }

    #[test]
    fn sync_is_called_as_its_setting_is() {
        for (sync, name) in [
            (None, "memory"),
            (Some(SyncPolicy::Always), "always"),
            (Some(SyncPolicy::Interval(Duration::from_secs(1))), "interval=1000"),
            (Some(SyncPolicy::Never), "never"),
        ] {
            assert_eq!(sync_name(sync), name);
        }
    }
}
