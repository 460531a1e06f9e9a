//! `usher demo`: shows the main job in one command. It checks every answer against its story.

mod population;
mod reset;
mod story;
mod timing;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::client::Client;
use super::config::{DEFAULT_LISTEN, read_listen};
use super::ending::{Ending, Failure, block_on};
use super::serve;
use super::terminal::{bold, colours};
use crate::bundle::Bundle;
use crate::http;
use crate::http::{ListenError, Server};
use crate::node::Node;
use crate::node::room::NodeBounds;
use crate::node::startup::Startup;

/// The bundle that the stories are about.
const BUNDLE: &str = "retail-bank";

/// See it work: the example bank's bundle, synthetic customers, a server, and requests with their answers
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  usher demo
  usher demo --once --customers 1000
  usher demo --reset")]
pub(super) struct Args {
    /// How many customers to make
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
    customers: u32,
    /// End when everything was shown, instead of serving on; exit code 1 if an answer differs from the story
    #[arg(long)]
    once: bool,
    /// The address to listen on [default: 127.0.0.1:8080, or a free port if that is taken]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Put a demo that is running at --listen back to how it began: its named customers are made anew
    #[arg(long, conflicts_with_all = ["once", "customers"])]
    reset: bool,
    /// The bundle [default: models/retail-bank if it exists, else the one built in]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let (bundle, name) = bundle(args)?;
    if args.reset {
        return reset_running(args, &bundle);
    }
    let schema = bundle.parse_schema()?;
    let population = population::read(&bundle, &schema)?;
    let node = serve::start_node(NodeBounds::default())?;
    let started = Instant::now();
    serve::define(&node, &bundle)?;
    let defined = started.elapsed();
    let (server, taken) = listen(args, &node)?;
    serve::announce(&server);
    let colours = colours();
    if let Some(taken) = taken {
        say!("({taken} is taken, so this is a free port)");
    }
    say!("\n{}", bold("What was loaded", colours));
    {
        let live = node.live();
        say!(
            "  {name}: {} features in {} bytes a customer, {} rule sets, {} placements, {} offers: checked and \
             compiled in {:.1} ms",
            schema.features().len(),
            schema.row_words() * 8,
            live.engine.versions.len(),
            live.engine.placements().len(),
            live.engine.offer_count(),
            defined.as_secs_f64() * 1e3,
        );
    }
    block_on(population::load(&node, &population, args.customers as usize))?;
    let is_told = *schema.name == *BUNDLE;
    let address = server.address();
    let right =
        if is_told { block_on(tell(&node, address, args.customers, colours, &bundle))? } else { true };
    if !is_told {
        say!("\nThe stories are about the {BUNDLE} bundle; with this one the demo only serves.");
    }
    say!("\n{}", bold("Try it", colours));
    say!("{}", story::to_try(address, &node));
    if !args.once {
        say!("\nServing until Ctrl-C. Everything is in memory only.");
        serve::StopSignals::watch()?.wait();
    }
    server.stop();
    node.stop();
    Ok(if right { Ending::Done } else { Ending::FoundWrong })
}

/// Resets a demo that another process runs.
fn reset_running(args: &Args, bundle: &Bundle) -> Result<Ending, Failure> {
    let address = args.listen.as_deref().unwrap_or(DEFAULT_LISTEN);
    let address = read_listen(address).map_err(Failure::new)?;
    let mut client = Client::new(&format!("http://{address}"))?;
    let count = block_on(reset::reset(&mut client, bundle))?;
    say!("{count} customers of the stories are as they were in the beginning");
    Ok(Ending::Done)
}

async fn tell(
    node: &Arc<Node>,
    address: SocketAddr,
    customers: u32,
    colours: bool,
    bundle: &Bundle,
) -> Result<bool, Failure> {
    let mut client = Client::new(&format!("http://{address}"))?;
    timing::warm_up(&mut client).await?;
    let right = story::tell(&mut client, colours).await?;
    say!("\n{}", bold("How fast", colours));
    if cfg!(debug_assertions) {
        say!("  This is a debug build, many times slower than one by `cargo build --release`.");
    }
    timing::show(node, &mut client, customers).await?;
    // Whoever tries something now finds the customers as the pages describe them.
    reset::reset(&mut client, bundle).await?;
    if !right {
        say!("\nAn answer differs from the story; see WRONG above.");
    }
    Ok(right)
}

/// The bundle, and its name for people.
fn bundle(args: &Args) -> Result<(Bundle, String), Failure> {
    let folder = Path::new("models").join(BUNDLE);
    match &args.models {
        Some(folder) => Ok((Bundle::read(folder)?, folder.display().to_string())),
        None if folder.join("schema.yaml").exists() => {
            Ok((Bundle::read(&folder)?, folder.display().to_string()))
        }
        None => Ok((Bundle::embedded(), format!("{BUNDLE} (built in)"))),
    }
}

/// Serves on the given address, or else on the default port. If that port is taken, serves on a free one and
/// returns the address that was taken.
fn listen(args: &Args, node: &Arc<Node>) -> Result<(Server, Option<SocketAddr>), Failure> {
    let serve_on = |address| http::serve(address, Startup::done(Arc::clone(node)), http::Settings::default());
    let address = read_listen(args.listen.as_deref().unwrap_or(DEFAULT_LISTEN)).map_err(Failure::new)?;
    match serve_on(address) {
        Ok(server) => Ok((server, None)),
        Err(ListenError::InUse(_)) if args.listen.is_none() => {
            let server = serve_on(SocketAddr::new(address.ip(), 0)).map_err(|e| serve::listen_failure(&e))?;
            Ok((server, Some(address)))
        }
        Err(error) => Err(serve::listen_failure(&error)),
    }
}
