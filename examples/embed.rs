//! Decides in process, without HTTP: `cargo run --example embed`.
//!
//! It reads a bundle, starts a node in memory, writes one customer, and asks what the app shows them.
#![allow(clippy::print_stdout)] // an example shows what it did

use std::error::Error;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use usher::bundle::Bundle;
use usher::customer::id::CustomerId;
use usher::customer::row::{Past, Row};
use usher::customer::update::{Change, Update};
use usher::decide::{Context, Request, decide};
use usher::node::Node;
use usher::schema::value::Time;
use usher::schema::vector::FeatureVector;

const CUSTOMER: &str = "c-1";
const FEATURES: [(&str, &str); 6] = [
    ("age", "41"),
    ("aum", "600000"),
    ("risk_tolerance", "steady"),
    ("risk_class", "R2"),
    ("days_since_opening", "2400"),
    ("consent_marketing", "true"),
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // A node holds the engine and the customers. This one keeps everything in memory.
    let node = Node::start()?;
    let bundle = Bundle::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/retail-bank"))?;
    node.define(bundle.define()).await.map_err(|e| format!("the bundle was refused: {e:?}"))?;

    // The schema checks each value and gives its code. The next decision sees the write.
    let schema = node.live().engine.schema.clone();
    let mut codes = Vec::new();
    for (name, text) in FEATURES {
        let id = schema.feature_id(name).ok_or("no such feature")?;
        let kind = &schema.feature(id).kind;
        codes.push((id, kind.encode(&kind.read_text(text, schema.zone())?)));
    }
    let update = Update { customer: CustomerId::new(CUSTOMER)?, change: Change::Merge(codes) };
    node.write(vec![update]).await.map_err(|why| format!("the write was refused: {why:?}"))?;

    // A decision reads the engine once, copies the customer's row, and is then a plain function of its
    // inputs.
    let live = node.live();
    let engine = &live.engine;
    let mut row = Row::new();
    node.customers().read(CUSTOMER, &mut row);
    let placement = engine.placement_id("home_banner").ok_or("no such placement")?;
    let request = Request {
        customer: CUSTOMER,
        channel: engine.schema.channel_id("app").ok_or("no such channel")?,
        placements: &[(placement, 1)],
        locale: None,
        context: Context::default(),
        past: Past::of(&row),
        budgets: &node.budgets(true),
        lessons: &**node.figures(),
        seed: 1,
        explain: false,
        overdue: None,
    };
    let now = Time(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?);
    let decision = decide(engine, FeatureVector::new(&row), &request, now);

    let shown = &decision.placements[0].propositions[0];
    let content = String::from_utf8_lossy(&shown.treatment.json);
    println!(
        "{}: {}\n  {content}",
        shown.offer.name,
        shown.reason.map_or("no reason given", |reason| &reason.text)
    );
    assert_eq!(&*shown.offer.name, "steady_r2");
    assert!(!decision.placements[0].fallback);
    drop(live);
    node.stop();
    Ok(())
}
