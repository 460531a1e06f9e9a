//! Measures the speed here and now, and says what each number includes.

use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::json;

use super::population::now;
use crate::cli::client::Client;
use crate::cli::ending::Failure;
use crate::cli::terminal::thousands;
use crate::customer::row::Row;
use crate::decide::{NoBudgets, NoLessons, Request, decide};
use crate::node::Node;
use crate::rules::rule_set::Languages;
use crate::schema::context::Context;
use crate::schema::vector::FeatureVector;

const WARM_UP: usize = 200;
const LOGINS: usize = 2_000;
const BATCHES: usize = 200;
const DECISIONS_OF_BATCH: u32 = 100;

/// Sends some requests first. They pay for cold caches and a new connection, which the numbers are not about.
pub(super) async fn warm_up(client: &mut Client) -> Result<(), Failure> {
    for _ in 0..WARM_UP {
        log_in(client, "c-1001").await?;
    }
    Ok(())
}

pub(super) async fn show(node: &Node, client: &mut Client, customers: u32) -> Result<(), Failure> {
    if let Some(each) = time_decisions(node) {
        say!(
            "  deciding alone: {:.2} µs (median of {BATCHES} means of {DECISIONS_OF_BATCH}, home banner of c-1001; row \
             copied, offers ranked; no HTTP)",
            each.as_secs_f64() * 1e6,
        );
    }
    let mut rng = Rng::with_seed(1);
    let mut times = Vec::with_capacity(LOGINS);
    for _ in 0..LOGINS {
        let customer = format!("c-{:06}", rng.u32(1..=customers));
        times.push(log_in(client, &customer).await?);
    }
    times.sort_unstable();
    say!(
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

/// The time of a decision, with the copy of the customer's row. It is the median of batches, because a mean
/// would include other work on this machine.
fn time_decisions(node: &Node) -> Option<Duration> {
    let live = node.live();
    let engine = &live.engine;
    let placements = [(engine.placement_id("home_banner")?, 1)];
    let channel = engine.schema.channel_id("app")?;
    let locale = Languages::read("zh-CN");
    let mut row = Row::new();
    let mut decide_once = || {
        node.customers().read("c-1001", &mut row);
        let context = Context::default();
        let request = Request {
            customer: "c-1001",
            channel,
            placements: &placements,
            locale: Some(&locale),
            context,
            past: crate::customer::row::Past::default(),
            budgets: &NoBudgets,
            lessons: &NoLessons,
            seed: 0,
            explain: false,
            overdue: None,
        };
        std::hint::black_box(decide(engine, FeatureVector::new(&row), &request, now()));
    };
    let mut means = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let started = Instant::now();
        (0..DECISIONS_OF_BATCH).for_each(|_| decide_once());
        means.push(started.elapsed() / DECISIONS_OF_BATCH);
    }
    means.sort_unstable();
    Some(means[BATCHES / 2])
}
