//! `usher serve`: the server.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{Failure, Outcome, block_on, variable};
use crate::bundle::Bundle;
use crate::config::{Config, LogFormat, Settings};
use crate::http::{self, ListenError, Server};
use crate::node::{DefineError, Node};
use crate::problem::Problems;
use crate::startup::Startup;

/// Start a server
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: usher serve --models models/retail-bank

Settings may also be variables (USHER_LISTEN, USHER_MODELS, USHER_THREADS, \
    USHER_ALLOW_ANONYMOUS, USHER_STOP_NOTICE, USHER_LOG, USHER_LOG_FORMAT) and lines of usher.toml (listen = \"127.0.0.1:8080\"). \
    A flag beats a variable, a variable beats the file.")]
pub(super) struct Args {
    /// The bundle to start with; without one the server waits for a schema and rule sets to be pushed
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:8080]; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// How many threads answer requests [default: as many as cores]
    #[arg(long, value_name = "N")]
    threads: Option<String>,
    /// Let other machines in although there are no keys
    #[arg(long)]
    allow_anonymous: bool,
    /// On SIGTERM, how long to answer 503 on /readyz before connections are refused, so that load balancers look
    /// elsewhere [default: 0 on loopback, else 5]
    #[arg(long, value_name = "SECONDS")]
    stop_notice: Option<String>,
    /// How log lines look on standard error [default: text]
    #[arg(long, value_name = "text|json")]
    log_format: Option<String>,
    /// The settings file [env: USHER_CONFIG] [default: usher.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let (variables, warnings) = Settings::from_variables(std::env::vars_os().filter_map(|(name, value)| {
        Some((name.into_string().ok()?, value.into_string().ok()?)) // not UTF-8: not one of ours
    }));
    let file = args.config.clone().or_else(|| variable("USHER_CONFIG").map(PathBuf::from));
    let file = Config::read_file(file.as_deref())?;
    let config = Config::resolve(&[&args.settings(), &variables, &file])?;
    start_logging(&config.log, config.log_format)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    tracing::warn!(
        "customers and pushed rule sets live in memory only: they are gone when this server stops"
    );
    let node = start_node()?;
    if let Some(folder) = &config.models {
        let bundle = Bundle::read(folder)?;
        define(&node, &bundle)?;
    }
    let settings = http::Settings {
        threads: config.threads.get(),
        allow_anonymous: config.allow_anonymous,
        notice: config.stop_notice,
        ..http::Settings::default()
    };
    let server = http::serve(config.listen, Startup::done(Arc::clone(&node)), settings)
        .map_err(|e| listen_failure(&e))?;
    // Before anybody is told that we are here: whoever knows may ask us to stop.
    let stop = StopSignals::watch()?;
    announce(&server);
    tell_what_decides(&node);
    stop.wait();
    tracing::info!("stopping: requests in flight are finished first");
    server.stop();
    node.stop();
    Ok(Outcome::Done)
}

impl Args {
    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.flag("models", self.models.as_ref().map(|path| path.display()));
        settings.flag("listen", self.listen.as_ref());
        settings.flag("threads", self.threads.as_ref());
        settings.flag("allow_anonymous", self.allow_anonymous.then_some(true));
        settings.flag("stop_notice", self.stop_notice.as_ref());
        settings.flag("log_format", self.log_format.as_ref());
        settings
    }
}

/// The first line on standard output, always: programs that start a server with port 0 read it.
pub(super) fn announce(server: &Server) {
    say!("listening on http://{}", server.address());
}

pub(super) fn start_node() -> Result<Arc<Node>, Failure> {
    Node::start().map_err(|e| Failure::new(format!("cannot start: {e}")))
}

/// Tells a fresh node everything of a bundle.
pub(super) fn define(node: &Node, bundle: &Bundle) -> Result<(), Failure> {
    block_on(async { node.define(bundle.define()).await.map_err(define_failure) })?;
    Ok(())
}

fn define_failure(error: DefineError) -> Failure {
    let problems = match error {
        DefineError::Invalid(problems) | DefineError::Conflict(problems) => problems,
        other => Problems::one(format!("the bundle was not taken: {other:?}")),
    };
    Failure::from(problems).hint("`usher check DIR` finds this without starting a server")
}

pub(super) fn listen_failure(error: &ListenError) -> Failure {
    let failure = Failure::new(error.to_string());
    match error {
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

/// The signals that ask the process to stop, from when they are watched.
pub(super) struct StopSignals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    pub(super) fn watch() -> Result<StopSignals, Failure> {
        let refused = |e: std::io::Error| Failure::new(format!("cannot watch for signals: {e}"));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(refused)?;
        let entered = runtime.enter();
        let terminate = signal(SignalKind::terminate()).map_err(refused)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(refused)?;
        drop(entered);
        Ok(StopSignals { runtime, terminate, interrupt })
    }

    /// Waits for one; one that came since they are watched counts.
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
            .hint("such as info, or usher=debug,hyper=warn")
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
