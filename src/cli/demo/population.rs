//! The synthetic customers. They are written in the same way as all others.

use std::sync::Arc;

use crate::bundle::Bundle;
use crate::bundle::population::Population;
use crate::cli::ending::Failure;
use crate::cli::terminal::{Progress, thousands};
use crate::customer::update::Update;
use crate::node::Node;
use crate::node::unavailable::Unavailable;
use crate::schema::Schema;
use crate::schema::value::Time;

/// How many customers one write holds.
const CHUNK: usize = 1_000;

pub(super) fn read(bundle: &Bundle, schema: &Arc<Schema>) -> Result<Population, Failure> {
    let source = bundle.population.as_ref().ok_or_else(|| {
        Failure::new("the bundle has no population.yaml").hint("docs/reference/mapping.md describes the file")
    })?;
    Ok(Population::parse(&source.name, &source.text, schema)?)
}

/// Makes and writes the named customers and `count` others, and prints how fast.
pub(super) async fn load(node: &Node, population: &Population, count: usize) -> Result<(), Failure> {
    let mut progress = Progress::start();
    let mut written = 0;
    let mut customers = population.customers(count, now()).chain(population.named().iter().cloned());
    loop {
        let chunk: Vec<Update> = customers.by_ref().take(CHUNK).collect();
        if chunk.is_empty() {
            break;
        }
        written += chunk.len() as u64;
        node.write(chunk).await.map_err(refused)?;
        progress.update(written, "customers");
    }
    progress.clear();
    let memory = node.customers().memory();
    say!(
        "  {} synthetic customers: {:.2} s, {} a second, including the time to make them; {:.0} bytes of memory each, with \
         id and index",
        thousands(written),
        progress.elapsed().as_secs_f64(),
        thousands(progress.rate(written) as u64),
        memory.bytes_per_customer(),
    );
    Ok(())
}

fn refused(why: Unavailable) -> Failure {
    match why {
        Unavailable::Full => {
            Failure::new("there is no room for so many customers").hint("try fewer --customers")
        }
        other => Failure::new(format!("the customers were refused: {other:?}")),
    }
}

/// The time by the system's clock.
pub(super) fn now() -> Time {
    Time(jiff::Timestamp::now().as_microsecond())
}
