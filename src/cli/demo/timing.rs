//! How fast, measured here and now, with what each number includes.

use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::json;

use super::super::Failure;
use super::super::client::Client;
use super::super::terminal::thousands;
use super::population::now;
use crate::context::Context;
use crate::decide::{Request, decide};
use crate::node::Node;
use crate::rule_set::Locale;
use crate::store::Row;
use crate::vector::FeatureVector;

const WARM_UP: usize = 200;
const LOGINS: usize = 2_000;
const DECISIONS: u32 = 20_000;

/// First requests pay for cold caches and fresh connections; they are not what the numbers are about.
pub(super) async fn warm_up(client: &mut Client) -> Result<(), Failure> {
    for _ in 0..WARM_UP {
        log_in(client, "c-1001").await?;
    }
    Ok(())
}

pub(super) async fn show(node: &Node, client: &mut Client, customers: u32) -> Result<(), Failure> {
    if let Some(each) = time_decisions(node) {
        println!(
            "  deciding alone: {:.2} µs (mean of {}, home banner of c-1001; row copied, offers ranked; no HTTP)",
            each.as_secs_f64() * 1e6,
            thousands(u64::from(DECISIONS)),
        );
    }
    let mut rng = Rng::with_seed(1);
    let mut times = Vec::with_capacity(LOGINS);
    for _ in 0..LOGINS {
        let customer = format!("c-{:06}", rng.u32(1..=customers));
        times.push(log_in(client, &customer).await?);
    }
    times.sort_unstable();
    println!(
        "  over HTTP: {} µs median, {} µs at the 99th percentile ({} logins of customers at random, one after the other;\n\
         \x20   client, loopback and JSON included)",
        times[LOGINS / 2].as_micros(),
        times[LOGINS * 99 / 100].as_micros(),
        thousands(LOGINS as u64),
    );
    Ok(())
}

async fn log_in(client: &mut Client, customer: &str) -> Result<Duration, Failure> {
    let request = json!({"customer": customer, "channel": "app", "placements": [{"id": "home_banner"}]});
    let started = Instant::now();
    client.post_json("/v1/decisions", &request).await?.success()?;
    Ok(started.elapsed())
}

/// The mean time of a decision, customer's row included.
fn time_decisions(node: &Node) -> Option<Duration> {
    let live = node.live();
    let engine = &live.engine;
    let placement = engine.placement_id("home_banner")?;
    let placements = [(placement, 1)];
    let channel = engine.schema.channel_id("app")?;
    let locale = Locale::new("zh-CN").ok()?;
    let mut row = Row::new();
    let started = Instant::now();
    for _ in 0..DECISIONS {
        node.customers().read("c-1001", &mut row);
        let context = Context::default();
        let request = Request {
            channel,
            placements: &placements,
            locale: Some(&locale),
            context,
            explain: false,
            overdue: None,
        };
        std::hint::black_box(decide(engine, FeatureVector::new(&row), &request, now()));
    }
    Some(started.elapsed() / DECISIONS)
}
