//! Events in bodies of 1,000 lines over HTTP, each acknowledged when it is durable and applied.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, LocalSet};

use super::http::{Client, Http};
use super::{median, runtime};

/// Lines of one body, and customers of one client: a body has an event for each of them.
const LINES: usize = 1_000;
/// How many clients send one body after the other.
const CLIENTS: [usize; 3] = [1, 4, 8];
/// What counts the events of a customer.
const COUNT: &str = "payments_90d";

/// Bodies that each client of one round had acknowledged.
type Acknowledged = Vec<(String, u64)>;

pub(crate) fn load(folder: &Path, rounds: usize, time: Duration) {
    let mut http = Http::start(&folder.join("events"));
    println!(
        "\nevents in bodies of {LINES} lines over HTTP, acknowledged events/s; medians of {rounds} rounds of {:.1} s",
        time.as_secs_f64()
    );
    for clients in CLIENTS {
        let mut per_second = Vec::new();
        for round in 0..=rounds {
            let started = Instant::now();
            let (acknowledged, took) = send(&http, clients, &format!("{clients}-{round}"), started + time);
            let bodies: u64 = acknowledged.iter().map(|(_, bodies)| bodies).sum();
            check(&http, &acknowledged);
            if round > 0 {
                per_second.push(bodies as f64 * LINES as f64 / took.as_secs_f64()); // the first only warms up
            } else {
                http = http.restarted();
                check(&http, &acknowledged);
            }
        }
        println!("  {clients} clients{:>12.0}", median(per_second.into_iter()));
    }
}

/// Sends bodies until `end`. Each client has customers of its own. Returns also how long it took.
fn send(http: &Http, clients: usize, round: &str, end: Instant) -> (Acknowledged, Duration) {
    runtime().block_on(LocalSet::new().run_until(async {
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for (number, client) in http.writers(clients).into_iter().enumerate() {
            tasks.spawn_local(send_until(client, format!("e-{round}-{number}"), end));
        }
        let mut acknowledged = Vec::new();
        while let Some(task) = tasks.join_next().await {
            acknowledged.push(task.unwrap());
        }
        (acknowledged, started.elapsed())
    }))
}

async fn send_until(mut client: Client, customers: String, end: Instant) -> (String, u64) {
    let event = |nth| {
        format!(
            "{{\"customer\": \"{customers}-{nth}\", \"type\": \"card_payment\", \
             \"properties\": {{\"amount\": {nth}.5, \"country\": \"CN\"}}}}\n"
        )
    };
    let body: String = (0..LINES).map(event).collect();
    let mut bodies = 0;
    while Instant::now() < end {
        let answer = client.document("POST", "/v1/events", "application/x-ndjson", &body).await;
        assert_eq!(answer["accepted"], LINES, "{answer}");
        bodies += 1;
    }
    (customers, bodies)
}

/// Every customer that is looked at must have had as many events as bodies were acknowledged.
fn check(http: &Http, acknowledged: &Acknowledged) {
    runtime().block_on(async {
        let mut client = http.writers(1).remove(0);
        for (customers, bodies) in acknowledged {
            for nth in [0, LINES / 2, LINES - 1] {
                let path = format!("/v1/customers/{customers}-{nth}");
                let answer = client.document("GET", &path, "application/json", "").await;
                assert_eq!(answer["features"][COUNT], *bodies, "{path}");
            }
        }
    });
}
