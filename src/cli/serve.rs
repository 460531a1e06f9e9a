//! `usher serve`: runs the server.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::config::{Config, Given, LogFormat};
use super::ending::{Ending, Failure, block_on, variable};
use super::terminal::with_bytes;
use crate::bundle::Bundle;
use crate::http;
use crate::http::{ListenError, Server};
use crate::input::problem::Problems;
use crate::intake::token::{SigningKeys, Tokens};
use crate::node::define::DefineError;
use crate::node::room::NodeBounds;
use crate::node::start_error::StartError;
use crate::node::startup::Startup;
use crate::node::{Node, NodeSettings};
use crate::schema::Schema;
use crate::storage::data_dir;
use crate::storage::data_dir::Claimed;
use crate::storage::durability::BytesRead;
use crate::storage::durability::Recovery;
use crate::storage::journal::settings::JournalSettings;
use crate::storage::refused::Refused;
use crate::storage::token_keys;
use crate::storage::token_keys::TokenKeys;

/// Start a server and run it until SIGTERM or Ctrl-C
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: usher serve --models models/retail-bank --data data

Settings may also be variables and lines of usher.toml (listen = \"127.0.0.1:8080\"). \
    A flag beats a variable, a variable beats the file.

Variables: USHER_LISTEN, USHER_MODELS, USHER_DATA, USHER_SYNC, USHER_SNAPSHOT_EVERY, USHER_SNAPSHOT_JOURNAL_MB, \
    USHER_SNAPSHOT_COMPRESS, USHER_MAX_CUSTOMERS, USHER_MAX_MEMORY, USHER_UNKNOWN_CUSTOMERS, USHER_UNKNOWN_CUSTOMERS_LIFE, USHER_TRUST_CLOCK, \
    USHER_TOKEN_KEYS, USHER_TOKEN_LIFE, USHER_THREADS, USHER_ALLOW_ANONYMOUS, USHER_ALLOW_HOSTS, USHER_CORS_ORIGINS, \
    USHER_MAX_CONNECTIONS, USHER_MAX_CONNECTIONS_PER_ADDRESS, USHER_STOP_NOTICE, USHER_LOG, USHER_LOG_FORMAT.")]
pub(super) struct Args {
    /// The bundle to start with; without it the server waits until a schema and rule sets are pushed
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Keep customers and rule sets in this directory, so that they survive restarts and crashes; without it
    /// they are in memory only. Once the directory has contents, --models is ignored
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// When a write is acknowledged. `always`: after the disk was synced, so that no acknowledged write is
    /// lost. `interval=MS`: earlier, so that a power cut may lose the last MS milliseconds. `never`: earlier,
    /// and the system syncs when it likes. [default: always]
    #[arg(long, value_name = "always|interval=MS|never")]
    sync: Option<String>,
    /// Take a snapshot this often if anything changed; erased customers then leave the disk [default: 3600]
    #[arg(long, value_name = "SECONDS")]
    snapshot_every: Option<String>,
    /// Take a snapshot when the journal has grown by this much [default: 1024]
    #[arg(long, value_name = "MIB")]
    snapshot_journal_mb: Option<String>,
    /// Compress snapshots (zstd): smaller, but slower
    #[arg(long)]
    snapshot_compress: bool,
    /// The most customers; further ones are refused [default: 268435456]
    #[arg(long, value_name = "N")]
    max_customers: Option<String>,
    /// The most memory of the server: `1500M`, `6G`, `75%` of what the machine, its control group or
    /// `ulimit -v` gives, or `off`. New customers are refused before that is reached, and room is kept
    /// for a snapshot [default: 75%]
    #[arg(long, value_name = "SIZE")]
    max_memory: Option<String>,
    /// What an event of a customer who is not known does: `create` makes the customer, `refuse` rejects
    /// the event [default: create]
    #[arg(long, value_name = "create|refuse")]
    unknown_customers: Option<String>,
    /// How long a customer stays of whom only events are known, once none of their contacts counts any more
    /// and nothing happens to them: from 1m to 3650d, or `never` [default: 30d]
    #[arg(long, value_name = "DURATION")]
    unknown_customers_life: Option<String>,
    /// Believe the clock at once although it is before the newest record of the data directory. Without this,
    /// time goes on from that record until the clock is set or has gone on evenly for ten minutes
    #[arg(long)]
    trust_clock: bool,
    /// The file of keys for proposition tokens, made by `usher keys new`. All nodes that receive each other's
    /// outcomes need the same keys. Without it a node has a key of its own, in the data directory or else in
    /// memory until it stops
    #[arg(long, value_name = "FILE")]
    token_keys: Option<PathBuf>,
    /// How long after a decision its tokens are accepted, from 1m to 90d [default: 30d]
    #[arg(long, value_name = "DURATION")]
    token_life: Option<String>,
    /// The address to listen on [default: 127.0.0.1:8080]; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// How many threads answer requests [default: the number of cores]
    #[arg(long, value_name = "N")]
    threads: Option<String>,
    /// Accept requests from other machines although there are no keys
    #[arg(long)]
    allow_anonymous: bool,
    /// Names under which this server may be asked, separated by commas: usher.bank.example, *.bank.example,
    /// or * for every name. Addresses and localhost need no permission
    #[arg(long, value_name = "NAMES")]
    allow_hosts: Option<String>,
    /// Origins of web pages that may send requests and read the answers, separated by commas:
    /// https://desk.bank.example. Other pages are refused [default: none]
    #[arg(long, value_name = "ORIGINS")]
    cors_origins: Option<String>,
    /// The most connections at once, as far as the limit of open files allows them [default: 10000]
    #[arg(long, value_name = "N")]
    max_connections: Option<String>,
    /// The most connections at once from one address [default: half of --max-connections]
    #[arg(long, value_name = "N")]
    max_connections_per_address: Option<String>,
    /// On SIGTERM, how long /readyz answers 503 before connections are refused, so that load balancers turn
    /// away [default: 0 on loopback, else 5]
    #[arg(long, value_name = "SECONDS")]
    stop_notice: Option<String>,
    /// The form of log lines on standard error [default: text]
    #[arg(long, value_name = "text|json")]
    log_format: Option<String>,
    /// The settings file [env: USHER_CONFIG] [default: usher.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let (variables, warnings) = Given::from_variables(std::env::vars_os().filter_map(|(name, value)| {
        Some((name.into_string().ok()?, value.into_string().ok()?)) // settings are UTF-8
    }));
    let file = args.config.clone().or_else(|| variable("USHER_CONFIG").map(PathBuf::from));
    let file = Config::read_file(file.as_deref())?;
    let config = Config::resolve(&[&args.settings(), &variables, &file])?;
    start_logging(&config.log, config.log_format)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let bundle = config.models.as_deref().map(Bundle::read).transpose()?;
    for problem in bundle.iter().flat_map(|bundle| &bundle.doubts) {
        tracing::warn!("{}", problem.to_string().trim_end().replace("\n  = ", "; "));
    }
    let claimed = config.data.as_deref();
    let claimed = claimed.map(|directory| data_dir::claim(directory).map_err(|e| refused(&e, directory)));
    let claimed = claimed.transpose()?;
    let mut token_keys = find_token_keys(&config, claimed.as_ref())?;
    let life = u32::try_from(config.token_life.as_secs()).unwrap_or(u32::MAX); // 90 days or less
    let settings = http::Settings {
        tokens: Some(Tokens { keys: Arc::clone(token_keys.keys()), life }),
        threads: config.threads.get(),
        allow_anonymous: config.allow_anonymous,
        max_connections: config.max_connections,
        max_connections_per_address: config.max_connections_per_address,
        hosts: config.allow_hosts.clone(),
        origins: config.cors_origins.clone(),
        notice: config.stop_notice,
        ..http::Settings::default()
    };
    let startup = Startup::new();
    if claimed.is_none() {
        tracing::warn!(
            "customers and pushed rule sets are in memory only and are lost when this server stops; --data DIR keeps \
             them"
        );
        startup.finish(begun(start_node(config.bounds)?, bundle.as_ref())?);
    }
    let server =
        http::serve(config.listen, Arc::clone(&startup), settings).map_err(|e| listen_failure(&e))?;
    // Before the address is announced, because a program that reads it may send a signal at once.
    let stop = StopSignals::watch()?;
    announce(&server);
    // Reading the directory may take a while. Meanwhile `/readyz` reports the progress.
    if let Some(claimed) = claimed {
        let node = open_node(claimed, &config, &startup)?;
        token_keys.keep().map_err(|e| refused(&e, directory_of(&config)))?; // before any decision signs with them
        startup.finish(begun(node, bundle.as_ref())?);
    }
    let Some(node) = startup.node() else { return Err(Failure::new("there is no node")) };
    let [signs, accepted] = key_ids(token_keys.keys());
    tracing::info!(signs, accepted, "keys of proposition tokens, by their ids");
    tell_what_decides(node);
    stop.wait();
    tracing::info!("stopping; requests in flight finish first");
    server.stop();
    node.stop();
    Ok(Ending::Done)
}

/// The id of the key that signs, and those of all that are accepted. Rotated keys have other ids.
fn key_ids(keys: &SigningKeys) -> [String; 2] {
    let ids: Vec<String> = keys.ids().map(|id| id.to_string()).collect();
    [ids.first().cloned().unwrap_or_default(), ids.join(" ")]
}

/// The token keys: those of the settings, or else the node's own.
fn find_token_keys(config: &Config, claimed: Option<&Claimed>) -> Result<TokenKeys, Failure> {
    match (&config.token_keys, claimed) {
        (Some(file), _) => {
            if let Some(warning) = token_keys::warning(file) {
                tracing::warn!("{warning}");
            }
            Ok(TokenKeys::named(file)?)
        }
        (None, Some(directory)) => directory.token_keys().map_err(|e| refused(&e, directory_of(config))),
        (None, None) => TokenKeys::random()
            .map_err(|e| Failure::new(format!("the system gives no random numbers for a key: {e}"))),
    }
}

fn refused(refused: &Refused, directory: &Path) -> Failure {
    Failure::of_directory(refused, directory)
}

fn directory_of(config: &Config) -> &Path {
    config.data.as_deref().unwrap_or(Path::new("."))
}

/// Opens the node of a data directory with everything in it.
fn open_node(claimed: Claimed, config: &Config, startup: &Startup) -> Result<Arc<Node>, Failure> {
    let settings = JournalSettings { sync: config.sync, ..JournalSettings::default() };
    let opened = with_bytes("read", |told| {
        claimed.open(settings, &|now: BytesRead| {
            startup.report(now);
            told(now);
        })
    });
    let opened = opened.map_err(|e| refused(&e, directory_of(config)))?;
    let Recovery { snapshot_sequence, replayed, cut_bytes, took, .. } = *opened.recovery();
    let settings =
        NodeSettings { snapshots: config.snapshots, bounds: config.bounds, trust_clock: config.trust_clock };
    let node = Node::open(opened, settings).map_err(|error| match error {
        StartError::Threads(e) => no_thread(&e),
        StartError::RuleSets(problems) => {
            let what = format!("the data directory is undamaged, but its node cannot start: {problems}");
            Failure::new(what).hint("start it with the release that wrote it")
        }
    })?;
    let customers = node.customers().len();
    let took_ms = took.as_millis() as u64;
    tracing::info!(
        customers,
        sequence = node.sequence(),
        snapshot_sequence,
        replayed,
        cut_bytes,
        took_ms,
        "state restored"
    );
    Ok(node)
}

/// Gives a fresh node the bundle. A node with state ignores it: everything pushed since then is newer.
fn begun(node: Arc<Node>, bundle: Option<&Bundle>) -> Result<Arc<Node>, Failure> {
    match bundle {
        Some(bundle) if node.sequence() == 0 => define(&node, bundle)?,
        Some(bundle) => {
            same_schema(&node, bundle)?;
            tracing::info!(
                "the data directory has a schema and rule sets already, so --models is ignored; `usher push` changes them"
            );
        }
        None => {}
    }
    Ok(node)
}

/// Refuses a bundle whose schema has another name than that of the data directory: one of the two is not the
/// one that was meant.
fn same_schema(node: &Node, bundle: &Bundle) -> Result<(), Failure> {
    let kept = node.live().definitions.schema.clone();
    let Ok(given) = bundle.parse_schema() else { return Ok(()) }; // it is ignored
    if given.name == kept.name || kept.text == Schema::empty().text {
        return Ok(());
    }
    let what = format!(
        "the data directory has the schema `{}`, but that of --models is `{}`",
        kept.name, given.name
    );
    let hint = format!(
        "name the right directory or bundle. If the schema has a new name: start without --models, then \
         `usher push {} --rename-schema`",
        bundle.folder().display()
    );
    Err(Failure::new(what).hint(hint))
}

impl Args {
    fn settings(&self) -> Given {
        let mut settings = Given::default();
        settings.flag("models", self.models.as_ref().map(|path| path.display()));
        settings.flag("data", self.data.as_ref().map(|path| path.display()));
        settings.flag("sync", self.sync.as_ref());
        settings.flag("snapshot_every", self.snapshot_every.as_ref());
        settings.flag("snapshot_journal_mb", self.snapshot_journal_mb.as_ref());
        settings.flag("snapshot_compress", self.snapshot_compress.then_some(true));
        settings.flag("max_customers", self.max_customers.as_ref());
        settings.flag("max_memory", self.max_memory.as_ref());
        settings.flag("unknown_customers", self.unknown_customers.as_ref());
        settings.flag("unknown_customers_life", self.unknown_customers_life.as_ref());
        settings.flag("trust_clock", self.trust_clock.then_some(true));
        settings.flag("token_keys", self.token_keys.as_ref().map(|path| path.display()));
        settings.flag("token_life", self.token_life.as_ref());
        settings.flag("listen", self.listen.as_ref());
        settings.flag("threads", self.threads.as_ref());
        settings.flag("allow_anonymous", self.allow_anonymous.then_some(true));
        settings.flag("allow_hosts", self.allow_hosts.as_ref());
        settings.flag("cors_origins", self.cors_origins.as_ref());
        settings.flag("max_connections", self.max_connections.as_ref());
        settings.flag("max_connections_per_address", self.max_connections_per_address.as_ref());
        settings.flag("stop_notice", self.stop_notice.as_ref());
        settings.flag("log_format", self.log_format.as_ref());
        settings
    }
}

/// Prints the address. This is always the first line on standard output, for programs that start a server on
/// port 0.
pub(super) fn announce(server: &Server) {
    say!("listening on http://{}", server.address());
}

pub(super) fn start_node(bounds: NodeBounds) -> Result<Arc<Node>, Failure> {
    Node::start_within(bounds).map_err(|e| no_thread(&e))
}

/// Publishes a bundle on a fresh node.
pub(super) fn define(node: &Node, bundle: &Bundle) -> Result<(), Failure> {
    block_on(async { node.define(bundle.define()).await.map_err(|error| define_failure(error, bundle)) })?;
    Ok(())
}

fn define_failure(error: DefineError, bundle: &Bundle) -> Failure {
    let problems = match error {
        DefineError::Invalid(problems) | DefineError::Conflict(problems) => problems,
        other => Problems::one(format!("the bundle was refused: {other:?}")),
    };
    let folder = bundle.folder().display();
    Failure::from(problems).hint(format!("`usher check {folder}` finds this without starting a server"))
}

/// The way out where the system gives no more threads.
pub(super) const MORE_THREADS: &str =
    "raise `ulimit -u`, or the `pids` limit of the service or container; `--threads 1` needs fewest";

fn no_thread(e: &io::Error) -> Failure {
    Failure::new(format!("the system gives no more threads: {e}")).hint(MORE_THREADS)
}

pub(super) fn listen_failure(error: &ListenError) -> Failure {
    let failure = Failure::new(error.to_string());
    match error {
        ListenError::Descriptors(_) => failure.hint("or ask for fewer --threads"),
        ListenError::Threads(_) => failure.hint(MORE_THREADS),
        ListenError::InUse(_) => failure.hint("choose another port, or --listen 127.0.0.1:0 for a free one"),
        _ => failure,
    }
}

fn tell_what_decides(node: &Node) {
    let live = node.live();
    let rule_sets = live.engine.versions.len();
    if rule_sets == 0 {
        tracing::warn!("no rule sets yet: push some with `usher push models/retail-bank`");
    } else {
        tracing::info!(rule_sets, offers = live.engine.offer_count(), "ready");
    }
}

/// The signals that ask the process to stop. They are watched from the moment this is made.
pub(super) struct StopSignals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    pub(super) fn watch() -> Result<StopSignals, Failure> {
        let refused = |e: io::Error| Failure::new(format!("cannot watch for signals: {e}"));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(refused)?;
        let entered = runtime.enter();
        let terminate = signal(SignalKind::terminate()).map_err(refused)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(refused)?;
        // So a write to a file at its size limit is an error to handle, and not the end of the process.
        drop(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map_err(refused)?);
        drop(entered);
        Ok(StopSignals { runtime, terminate, interrupt })
    }

    /// Waits for a signal. One that arrived since the watch began counts.
    pub(super) fn wait(mut self) {
        self.runtime.block_on(async {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
        });
    }
}

fn start_logging(filter: &str, format: LogFormat) -> Result<(), Failure> {
    let filter: EnvFilter = filter.parse().map_err(|e| {
        Failure::new(format!("cannot read the log filter {filter:?}: {e}"))
            .hint("examples: info, or usher=debug,tokio=warn")
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
