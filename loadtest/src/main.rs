//! Open-loop load on a running Usher. Requests start when the schedule says so, whether or not earlier ones
//! are answered, and latency counts from that intended start. If a server stalls for 100 ms, every request
//! that should have started meanwhile pays for it, not only the one under way (no coordinated omission).
//!
//! Every answer is checked. One wrong answer makes the run a failure, whatever its latency.
//!
//! What the numbers are not:
//! - Not the most that a server can do. Choose a rate, and see the latency at that rate. A `--rate` far above
//!   what the server can carry shows a queue that grows, not a property of the server.
//! - Not free of the generator. It spins on one core, so give it a core of its own. If it shares the server's
//!   cores, latency contains the scheduler's time slices. `waited to be sent` tells how far it was behind its
//!   schedule, because it had no core or no idle connection.
//! - Not a network. Over loopback there is no wire, no TLS and no loss.
//! - Not real arrivals. Constant ones are kinder than the bursts of real logins at the same mean rate.
//! - Not every customer. 65,536 drawn requests are built beforehand and repeated in order, and the caches of
//!   the server's CPU see no more customers than that.

mod comparison;
mod connection;
mod load;
mod overload;
mod push;
mod report;
mod scenario;
mod target;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use comparison::{Comparison, Ratios};
use load::{Measured, Plan};
use overload::Overload;
use push::Pusher;
use report::Report;
use scenario::Scenario;
use target::Target;

/// Open-loop load generator for Usher: constant arrivals, latency from the intended start, every answer
/// checked
#[derive(Debug, Parser)]
#[command(name = "loadtest", max_term_width = 110, after_help = EXAMPLES)]
struct Args {
    /// The server under load; loopback only unless --allow-remote
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// What to ask, and what the answers must be
    #[arg(long, value_enum, default_value_t = Kind::LoginStorm)]
    scenario: Kind,
    /// Requests started per second
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
    /// How many seconds to measure
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How many seconds to send requests before measuring; their answers are checked too
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=60))]
    warm_up: u64,
    /// Keep-alive connections; each has at most one request under way
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    connections: u64,
    /// Ask for customers c-000001 up to this one, drawn evenly
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    customers: u64,
    /// Draws other customers, in another order
    #[arg(long, value_name = "N", default_value_t = 2026)]
    seed: u64,
    /// In rule-push: milliseconds between two pushes
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    push_every_ms: u64,
    /// In rule-push: offers of the rule set that is pushed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=19_000))]
    push_offers: u64,
    /// In rule-push: repeat --seconds without pushes and --seconds with them, this many times; shows the
    /// ratio
    #[arg(long, value_name = "ROUNDS", value_parser = clap::value_parser!(u64).range(1..=100))]
    compare: Option<u64>,
    /// Fail if the 99th percentile, from the intended start, is above this
    #[arg(long, value_name = "US")]
    p99_us: Option<u64>,
    /// Print one line of JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Allow another machine as the target; make sure that it is yours and that nobody else needs it now
    #[arg(long)]
    allow_remote: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Home banners for random customers
    LoginStorm,
    /// The same while new versions of a rule set are pushed; every answer must be of one version, none may
    /// fail
    RulePush,
    /// The most that the server answers, then 70 % of it, then four times as much: how many are still
    /// answered, and how quickly. --rate is not used
    Overload,
}

const EXAMPLES: &str = "\
Examples:
  usher demo &                                               a server with 100,000 customers
  loadtest --rate 20000 --seconds 10                         home banners at 20,000 logins a second
  loadtest --scenario rule-push --rate 5000 --p99-us 2000    with a new rule set every 100 ms
  loadtest --scenario rule-push --rate 5000 --push-offers 10000 --push-every-ms 1 --compare 5 --seconds 6
                                                             what swapping 10,000 offers all the time does to latency
  loadtest --scenario overload --connections 1000            what becomes of four times as much as the server can do

The scenarios ask for `home_banner` on channel `app`, as in models/retail-bank. rule-push publishes versions of a rule
set `loadtest`, whose offer wins over all others, and retires it in the end.

Exit codes: 0 done, 1 a wrong or missing answer or a threshold passed, 2 could not run.";

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok((text, passed)) => {
            print!("{text}");
            if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}

/// The report, and whether nothing was wrong and no threshold was passed.
fn run(args: &Args) -> Result<(String, bool), String> {
    let target = Target::parse(&args.server, args.allow_remote)?;
    let plan = Plan {
        rate: args.rate,
        warm_up: args.warm_up * args.rate,
        requests: (args.warm_up + args.seconds) * args.rate,
        connections: args.connections as usize,
        drops: false,
    };
    let mut scenario = Scenario::login_storm(&target, args.customers, args.seed);
    let report = |measured, seconds, pushed| Report {
        rate: args.rate,
        seconds,
        p99_limit: args.p99_us,
        measured,
        pushed,
    };
    if args.scenario == Kind::LoginStorm {
        let report = report(load::run(&target, &plan, &mut scenario)?, args.seconds, None);
        return Ok((report.text(args.json), report.passed()));
    }
    if args.scenario == Kind::Overload {
        scenario.allow_refusals();
        let overload = Overload::run(&target, &mut scenario, args.connections as usize, args.seconds)?;
        return Ok((overload.text(args.json), overload.passed()));
    }
    let every = Duration::from_millis(args.push_every_ms);
    let pusher = Pusher::start(&target, args.push_offers, every).map_err(|e| format!("cannot push: {e}"))?;
    scenario.expect_versions(pusher.acknowledged());
    let rounds = args.compare.unwrap_or(1);
    let measured = (|| {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            if args.compare.is_some() {
                pusher.pause();
                without.push(load::run(&target, &plan, &mut scenario)?);
                pusher.resume();
            }
            with.push(load::run(&target, &plan, &mut scenario)?);
        }
        Ok::<_, String>((without, with))
    })();
    let pushed = pusher.stop(); // before a failure is returned, so that the rule set is retired in any case
    let (without, with) = measured?;
    let mut all_with = Measured::sum(&with)?;
    all_with.wrong += scenario.settle(&pushed, &mut all_with.examples);
    let with_pushes = report(all_with, rounds * args.seconds, Some(pushed));
    if args.compare.is_none() {
        return Ok((with_pushes.text(args.json), with_pushes.passed()));
    }
    let ratios = Ratios::of(&without, &with);
    let without_pushes = report(Measured::sum(&without)?, rounds * args.seconds, None);
    let comparison = Comparison { without: without_pushes, with: with_pushes, ratios };
    Ok((comparison.text(args.json), comparison.passed()))
}
