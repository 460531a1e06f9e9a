//! The server's settings, first as typed (command line, variables, `usher.toml`) and then as meant.

mod room;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ending::variable;
use crate::http::bounds::MAX_CONNECTIONS;
use crate::http::{Hosts, Origins};
use crate::input::problem::{Place, Problem, Problems, Source, nearest};
use crate::intake::token;
use crate::node::room::NodeBounds;
use crate::node::snapshotter::SnapshotSchedule;
use crate::schema::span;
use crate::storage::durability::SyncPolicy;

/// The address on which the server listens by default.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
/// The settings file that is read if it exists and no other is named.
pub const DEFAULT_FILE: &str = "usher.toml";
/// The most threads. A larger number is refused as a typing mistake.
pub const MAX_THREADS: usize = 1_024;
/// The most connections that a setting may allow. A larger number is refused as a typing mistake.
pub const MOST_CONNECTIONS: usize = 1_000_000;
/// Default notice when other machines can reach the server. A load balancer may ask for readiness every few
/// seconds.
pub const DEFAULT_STOP_NOTICE: Duration = Duration::from_secs(5);
/// The longest notice. A larger number is refused as a typing mistake.
pub const MAX_STOP_NOTICE_SECONDS: u64 = 600;

/// The longest interval between syncs. A larger number is refused as a typing mistake.
pub const MAX_SYNC_INTERVAL_MS: u64 = 60_000;
/// The longest time between snapshots: a week. It bounds how long files hold erased customers.
pub const MAX_SNAPSHOT_EVERY_SECONDS: u64 = 7 * 24 * 3600;
/// The most MiB that the journal may grow between snapshots, because a start reads all of it.
pub const MAX_SNAPSHOT_JOURNAL_MB: u64 = 1 << 20;

/// The shortest life of a token. Outcomes need time to come back.
pub const MIN_TOKEN_LIFE: Duration = Duration::from_secs(60);
/// The longest life of a token: 90 days. It bounds how long a key that leaked stays useful.
pub const MAX_TOKEN_LIFE: Duration = Duration::from_secs(token::MAX_LIFE as u64);

/// The settings as meant: complete, typed and within their bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The bundle that a fresh node starts with.
    pub models: Option<PathBuf>,
    /// The directory that keeps the state. `None`: everything is in memory only.
    pub data: Option<PathBuf>,
    /// When a write counts as durable.
    pub sync: SyncPolicy,
    /// When snapshots are taken without a request.
    pub snapshots: SnapshotSchedule,
    /// How many customers and how much memory there may be, and whether events make customers.
    pub bounds: NodeBounds,
    /// Whether a start believes a clock that is before the newest record.
    pub trust_clock: bool,
    /// The file of keys for proposition tokens that nodes share. `None`: the node has its own.
    pub token_keys: Option<PathBuf>,
    /// How long after a decision its tokens are accepted.
    pub token_life: Duration,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// How many threads answer requests.
    pub threads: NonZeroUsize,
    /// Whether other machines may send requests although there are no keys.
    pub allow_anonymous: bool,
    /// The names under which the server answers, besides those that need no permission.
    pub allow_hosts: Hosts,
    /// The origins of pages that may send requests.
    pub cors_origins: Origins,
    /// The most connections that may be open at once.
    pub max_connections: usize,
    /// The most of them that one address may have; half of them unless given.
    pub max_connections_per_address: Option<usize>,
    /// On stopping: time to report *not ready* before connections are refused.
    pub stop_notice: Duration,
    /// What is logged, as a filter of the `tracing` crate.
    pub log: String,
    /// The form of log lines.
    pub log_format: LogFormat,
}

/// The form of log lines on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// Text for people, coloured on a terminal.
    #[default]
    Text,
    /// One JSON object on each line, for machines.
    Json,
}

/// The settings typed in one place: the command line, the variables or the file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Given {
    values: Vec<(&'static str, Typed)>,
}

/// The text of a setting, and where it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Typed {
    text: String,
    origin: String,
}

/// The names of all settings in the file. Their variables are `USHER_` and the name in capitals.
const NAMES: [&str; 23] = [
    "models",
    "data",
    "sync",
    "snapshot_every",
    "snapshot_journal_mb",
    "snapshot_compress",
    "max_customers",
    "max_memory",
    "unknown_customers",
    "unknown_customers_life",
    "trust_clock",
    "token_keys",
    "token_life",
    "listen",
    "threads",
    "allow_anonymous",
    "allow_hosts",
    "cors_origins",
    "max_connections",
    "max_connections_per_address",
    "stop_notice",
    "log",
    "log_format",
];
/// Variables that begin with `USHER_` but are not settings: other commands read them.
const OTHER_VARIABLES: [&str; 3] = ["USHER_SERVER", "USHER_CONFIG", "USHER_AUTHOR"];

impl Given {
    /// Adds a setting from the command line. `name` must be in `NAMES`.
    pub fn flag(&mut self, name: &'static str, value: Option<impl ToString>) {
        if let Some(value) = value {
            let origin = format!("--{}", name.replace('_', "-"));
            self.values.push((name, Typed { text: value.to_string(), origin }));
        }
    }

    /// Reads the settings in the process's variables. Warns of each other variable that begins with `USHER_`.
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> (Given, Vec<String>) {
        let mut settings = Given::default();
        let mut warnings = Vec::new();
        for (variable, text) in variables {
            if !is_ours(&variable) {
                continue;
            }
            match NAMES.into_iter().find(|known| variable == variable_of(known)) {
                Some(name) if !text.is_empty() => {
                    settings.values.push((name, Typed { text, origin: variable.clone() }));
                }
                Some(_) => {}
                None if OTHER_VARIABLES.contains(&variable.as_str()) => {}
                None => warnings.push(unknown_variable(&variable)),
            }
        }
        (settings, warnings)
    }

    /// Reads the settings in a file.
    ///
    /// # Errors
    /// The text is not TOML, or it has unknown settings or values of a wrong type. All are reported.
    pub fn from_file(file: &str, text: &str) -> Result<Given, Problems> {
        let source = Arc::new(Source { name: file.into(), text: text.into() });
        let problem = |detail: String, span: Option<std::ops::Range<usize>>| Problem {
            place: span.map(|span| place_of(text, span)),
            source: Some(Arc::clone(&source)),
            ..Problem::new(detail)
        };
        let mut problems = Problems::new();
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(e) => {
                problems.push(problem(format!("not valid TOML: {}", e.message()), e.span()));
                return Err(problems);
            }
        };
        let mut settings = Given::default();
        for (key, value) in table.get_ref() {
            let found: &str = key.get_ref();
            let Some(name) = NAMES.into_iter().find(|name| *name == found) else {
                let unknown =
                    problem(format!("unknown setting `{found}`"), Some(key.span())).nearest(found, NAMES);
                problems.push(if unknown.hint.is_some() {
                    unknown
                } else {
                    unknown.hint(format!("known: {}", NAMES.join(", ")))
                });
                continue;
            };
            let line = place_of(text, key.span()).line;
            match text_of(value) {
                Some(text) => {
                    settings.values.push((name, Typed { text, origin: format!("{file}:{line}: {name}") }));
                }
                None => {
                    let detail = format!("expected a text, a whole number, or true or false for `{name}`");
                    problems.push(problem(detail, Some(value.span())));
                }
            }
        }
        problems.or(settings)
    }

    fn get(&self, name: &str) -> Option<&Typed> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, typed)| typed)
    }
}

impl Config {
    /// Merges the places. The first that has a setting counts: flags, then variables, then the file.
    ///
    /// # Errors
    /// All values that are not allowed, each with the place where it was typed.
    pub fn resolve(places: &[&Given]) -> Result<Config, Problems> {
        let get = |name: &str| places.iter().find_map(|settings| settings.get(name));
        let mut problems = Problems::new();
        let listen = read(get("listen"), &mut problems, read_listen).unwrap_or(DEFAULT_ADDRESS);
        let config = Config {
            models: get("models").map(|typed| PathBuf::from(&typed.text)),
            data: get("data").map(|typed| PathBuf::from(&typed.text)),
            sync: read(get("sync"), &mut problems, read_sync).unwrap_or_default(),
            snapshots: read_schedule(get, &mut problems),
            bounds: room::read_bounds(get, &mut problems),
            trust_clock: read(get("trust_clock"), &mut problems, read_bool).unwrap_or(false),
            token_keys: get("token_keys").map(|typed| PathBuf::from(&typed.text)),
            token_life: read(get("token_life"), &mut problems, read_token_life)
                .unwrap_or(Duration::from_secs(token::DEFAULT_LIFE.into())),
            listen,
            threads: read(get("threads"), &mut problems, read_threads).unwrap_or_else(all_cores),
            allow_anonymous: read(get("allow_anonymous"), &mut problems, read_bool).unwrap_or(false),
            allow_hosts: read(get("allow_hosts"), &mut problems, Hosts::read).unwrap_or_default(),
            cors_origins: read(get("cors_origins"), &mut problems, Origins::read).unwrap_or_default(),
            max_connections: read(get("max_connections"), &mut problems, read_connections)
                .unwrap_or(MAX_CONNECTIONS),
            max_connections_per_address: read(
                get("max_connections_per_address"),
                &mut problems,
                read_connections,
            ),
            stop_notice: read(get("stop_notice"), &mut problems, read_stop_notice)
                .unwrap_or_else(|| default_stop_notice(listen)),
            log: get("log").map_or_else(|| "info".to_owned(), |typed| typed.text.clone()),
            log_format: read(get("log_format"), &mut problems, read_log_format).unwrap_or_default(),
        };
        if !config.listen.ip().is_loopback() && !config.allow_anonymous {
            let problem = Problem::new(format!(
                "{} can be reached from other machines, and there are no keys: anybody could read and change customers",
                config.listen
            ));
            problems
                .push(problem.hint("listen on 127.0.0.1, or add --allow-anonymous if the network is closed"));
        }
        problems.or(config)
    }

    /// Reads the settings file: `named`, or else [`DEFAULT_FILE`] if it exists.
    ///
    /// # Errors
    /// A named file cannot be read, or the file has errors.
    pub fn read_file(named: Option<&Path>) -> Result<Given, Problems> {
        let path = named.unwrap_or(Path::new(DEFAULT_FILE));
        if named.is_none() && !path.exists() {
            return Ok(Given::default());
        }
        let source = crate::bundle::read_file(path)?;
        Given::from_file(&source.name, &source.text)
    }
}

/// The data directory that a command works on: `flag`, the variable, or the one of the settings file.
///
/// # Errors
/// The settings file is wrong, or nothing names a directory.
pub fn data_directory(flag: Option<&Path>) -> Result<PathBuf, Problems> {
    let file = Config::read_file(None)?;
    let named = flag.map(Path::to_owned);
    let named = named.or_else(|| variable(&variable_of("data")).map(PathBuf::from));
    let named = named.or_else(|| file.get("data").map(|typed| PathBuf::from(&typed.text)));
    named.ok_or_else(|| {
        let mut problems = Problems::new();
        let problem = Problem::new("which data directory?");
        problems.push(problem.hint("name it with --data DIR, USHER_DATA, or `data` in usher.toml"));
        problems
    })
}

/// Whether a variable begins with `USHER_`, in any case.
fn is_ours(variable: &str) -> bool {
    variable.get(..6).is_some_and(|prefix| prefix.eq_ignore_ascii_case("USHER_"))
}

/// The variable of a setting.
fn variable_of(name: &str) -> String {
    format!("USHER_{}", name.to_uppercase())
}

/// Whether a command reads a variable of this very name.
fn is_known(variable: &str) -> bool {
    OTHER_VARIABLES.contains(&variable) || NAMES.iter().any(|name| variable == variable_of(name))
}

/// The variable that one of this name was most likely meant to be.
fn nearest_variable(variable: &str) -> Option<String> {
    let names = NAMES.into_iter().chain(["server", "config"]);
    nearest(&variable[6..].to_lowercase(), names).map(variable_of)
}

/// Warns of each variable that is most likely meant to be one that Usher knows, but is not. For commands that
/// read one variable only: they say nothing of others.
pub fn misspelt(variables: impl IntoIterator<Item = String>) -> Vec<String> {
    let near =
        |variable: &String| is_ours(variable) && !is_known(variable) && nearest_variable(variable).is_some();
    variables.into_iter().filter(near).map(|variable| unknown_variable(&variable)).collect()
}

const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// Reads an address as a person types it: `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, or `:8080` for
/// loopback.
///
/// # Errors
/// The text is not an address with a port; the message says what was expected.
pub fn read_listen(text: &str) -> Result<SocketAddr, String> {
    let meant = match text.strip_prefix("localhost:").or(text.strip_prefix(':')) {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    meant
        .parse()
        .map_err(|_| format!("expected an address with a port such as {DEFAULT_LISTEN}, found {text:?}"))
}

fn read<T>(
    typed: Option<&Typed>,
    problems: &mut Problems,
    read: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    let typed = typed?;
    read(&typed.text).map_err(|why| problems.push(Problem::new(format!("{}: {why}", typed.origin)))).ok()
}

fn read_schedule<'t>(
    get: impl Fn(&'static str) -> Option<&'t Typed>,
    problems: &mut Problems,
) -> SnapshotSchedule {
    let default = SnapshotSchedule::default();
    let every = read(get("snapshot_every"), problems, read_snapshot_every);
    let journal_bytes = read(get("snapshot_journal_mb"), problems, read_journal_mb);
    SnapshotSchedule {
        every: every.unwrap_or(default.every),
        journal_bytes: journal_bytes.unwrap_or(default.journal_bytes),
        compress: read(get("snapshot_compress"), problems, read_bool).unwrap_or(default.compress),
    }
}

fn read_sync(text: &str) -> Result<SyncPolicy, String> {
    let interval = |ms: &str| ms.parse().ok().filter(|ms| (1..=MAX_SYNC_INTERVAL_MS).contains(ms));
    match text.split_once('=') {
        None if text == "always" => Ok(SyncPolicy::Always),
        None if text == "never" => Ok(SyncPolicy::Never),
        Some(("interval", ms)) if interval(ms).is_some() => {
            Ok(SyncPolicy::Interval(Duration::from_millis(interval(ms).unwrap_or_default())))
        }
        _ => Err(format!(
            "expected always, interval=MS with MS from 1 to {MAX_SYNC_INTERVAL_MS}, or never, found {text:?}"
        )),
    }
}

fn read_snapshot_every(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (1..=MAX_SNAPSHOT_EVERY_SECONDS).contains(seconds));
    let seconds = seconds.map(Duration::from_secs);
    seconds.ok_or_else(|| {
        format!("expected whole seconds from 1 to {MAX_SNAPSHOT_EVERY_SECONDS}, found {text:?}")
    })
}

fn read_journal_mb(text: &str) -> Result<u64, String> {
    let mb = text.parse().ok().filter(|mb| (1..=MAX_SNAPSHOT_JOURNAL_MB).contains(mb));
    mb.map(|mb: u64| mb << 20).ok_or_else(|| {
        format!("expected a number of MiB from 1 to {MAX_SNAPSHOT_JOURNAL_MB}, found {text:?}")
    })
}

/// Reads a whole number with one unit: `30d`, `12h`, `90m`, `3600s`.
fn read_token_life(text: &str) -> Result<Duration, String> {
    let seconds = match text.strip_suffix('s') {
        Some(number) => number.parse().ok(),
        None => span::seconds(text),
    };
    let life = seconds.map(|seconds| Duration::from_secs(seconds.into()));
    let life = life.filter(|life| (MIN_TOKEN_LIFE..=MAX_TOKEN_LIFE).contains(life));
    life.ok_or_else(|| format!("expected from 1m to 90d, such as 30d, 12h, 90m or 3600s, found {text:?}"))
}

fn read_threads(text: &str) -> Result<NonZeroUsize, String> {
    let threads = text.parse().ok().filter(|n: &NonZeroUsize| n.get() <= MAX_THREADS);
    threads.ok_or_else(|| format!("expected a number from 1 to {MAX_THREADS}, found {text:?}"))
}

fn read_connections(text: &str) -> Result<usize, String> {
    let connections = text.parse().ok().filter(|count| (1..=MOST_CONNECTIONS).contains(count));
    connections.ok_or_else(|| format!("expected a number from 1 to {MOST_CONNECTIONS}, found {text:?}"))
}

fn read_bool(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("expected true or false, found {text:?}")),
    }
}

fn read_stop_notice(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds <= MAX_STOP_NOTICE_SECONDS);
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| format!("expected whole seconds from 0 to {MAX_STOP_NOTICE_SECONDS}, found {text:?}"))
}

fn default_stop_notice(listen: SocketAddr) -> Duration {
    if listen.ip().is_loopback() { Duration::ZERO } else { DEFAULT_STOP_NOTICE }
}

fn read_log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("expected text or json, found {text:?}")),
    }
}

fn all_cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

fn text_of(value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Boolean(b) => Some(b.to_string()),
        _ => None,
    }
}

fn place_of(text: &str, span: std::ops::Range<usize>) -> Place {
    let before = text.get(..span.start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Place {
        line: before.matches('\n').count() as u32 + 1,
        column: before[line_start..].chars().count() as u32 + 1,
        offset: span.start as u32,
        length: span.len() as u32,
    }
}

fn unknown_variable(variable: &str) -> String {
    match nearest_variable(variable) {
        Some(near) => format!("{variable} is not a setting; did you mean {near}?"),
        None => format!("{variable} is not a setting"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(values: &[(&'static str, &str)]) -> Given {
        let mut settings = Given::default();
        for (name, value) in values {
            settings.flag(name, Some(value));
        }
        settings
    }

    fn variables(values: &[(&str, &str)]) -> (Given, Vec<String>) {
        Given::from_variables(values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn flag_beats_variable_beats_file_beats_default() {
        let file =
            Given::from_file("usher.toml", "listen = '127.0.0.1:1'\nthreads = 3\nlog = 'debug'").unwrap();
        let (variable, _) =
            variables(&[("USHER_LISTEN", "127.0.0.1:2"), ("USHER_THREADS", "2"), ("HOME", "/x")]);
        let config = Config::resolve(&[&flags(&[("listen", "127.0.0.1:4")]), &variable, &file]).unwrap();
        assert_eq!((config.listen.port(), config.threads.get(), config.log.as_str()), (4, 2, "debug"));
        assert_eq!((config.models, config.log_format), (None, LogFormat::Text));
        assert_eq!(Config::resolve(&[]).unwrap().listen.to_string(), DEFAULT_LISTEN);
    }

    #[test]
    fn unknown_settings_name_the_nearest() {
        let text = Given::from_file("usher.toml", "listn = 'x'\n\n[keys]\na = 1\n").unwrap_err().to_string();
        assert!(text.contains("usher.toml:1:1: unknown setting `listn`"), "{text}");
        assert!(
            text.contains("did you mean `listen`?")
                && text.contains("usher.toml:3:2: unknown setting `keys`"),
            "{text}"
        );
        let text = Given::from_file("usher.toml", "listen = \n").unwrap_err().to_string();
        assert!(text.starts_with("usher.toml:1:"), "{text}");
        let (_, warnings) = variables(&[("USHER_LISTN", "x"), ("USHER_SERVER", "x")]);
        assert_eq!(warnings, ["USHER_LISTN is not a setting; did you mean USHER_LISTEN?"]);
        let (given, warnings) = variables(&[("usher_data", "x"), ("USHER_Threads", "x"), ("UsHeR_X", "x")]);
        assert_eq!((given, warnings.len()), (Given::default(), 3));
        let names =
            ["USHER_SERVR", "usher_server", "USHER_SERVER", "USHER_TESTS", "USHER", "USHÉR_X", "HOME"];
        let near = |name: &str| format!("{name} is not a setting; did you mean USHER_SERVER?");
        assert_eq!(misspelt(names.map(str::to_owned)), [near("USHER_SERVR"), near("usher_server")]);
    }

    #[test]
    fn everything_that_cannot_be_meant_says_where_it_was_typed() {
        let file = Given::from_file("usher.toml", "\nthreads = 0").unwrap();
        let (variable, _) = variables(&[("USHER_ALLOW_ANONYMOUS", "yes")]);
        let text =
            Config::resolve(&[&flags(&[("listen", "8080")]), &variable, &file]).unwrap_err().to_string();
        for expected in [
            "--listen: expected an address",
            "USHER_ALLOW_ANONYMOUS: expected true",
            "usher.toml:2: threads: ",
        ] {
            assert!(text.contains(expected), "{expected}:\n{text}");
        }
    }

    #[test]
    fn notice_is_given_where_others_may_watch() {
        let notice =
            |values: &[(&'static str, &str)]| Config::resolve(&[&flags(values)]).unwrap().stop_notice;
        let open = [("listen", "0.0.0.0:1"), ("allow_anonymous", "true")];
        assert_eq!(notice(&[]), Duration::ZERO);
        assert_eq!(notice(&open), DEFAULT_STOP_NOTICE);
        assert_eq!(notice(&[open[0], open[1], ("stop_notice", "0")]), Duration::ZERO);
        assert_eq!(notice(&[("stop_notice", "20")]), Duration::from_secs(20));
        for wrong in ["-1", "1.5", "5s", "601"] {
            let text = Config::resolve(&[&flags(&[("stop_notice", wrong)])]).unwrap_err().to_string();
            assert!(text.contains("--stop-notice: expected whole seconds"), "{text}");
        }
    }

    #[test]
    fn a_token_lives_from_a_minute_to_ninety_days() {
        let life = |text| Config::resolve(&[&flags(&[("token_life", text)])]).map(|config| config.token_life);
        assert_eq!(Config::resolve(&[]).unwrap().token_life, Duration::from_secs(2_592_000));
        for (text, seconds) in
            [("1m", 60), ("60s", 60), ("12h", 43_200), ("90d", 7_776_000), ("2160h", 7_776_000)]
        {
            assert_eq!(life(text).unwrap(), Duration::from_secs(seconds));
        }
        for wrong in
            ["", "30", "d", "59s", "0d", "91d", "-1d", "1.5d", "1w", "1d12h", "30天", "99999999999999999999d"]
        {
            let text = life(wrong).unwrap_err().to_string();
            assert!(text.contains("--token-life: expected from 1m to 90d"), "{text}");
        }
    }

    #[test]
    fn without_keys_only_loopback_unless_said() {
        let text = Config::resolve(&[&flags(&[("listen", "0.0.0.0:8080")])]).unwrap_err().to_string();
        assert!(text.contains("--allow-anonymous"), "{text}");
        assert!(
            Config::resolve(&[&flags(&[("listen", "0.0.0.0:8080"), ("allow_anonymous", "true")])]).is_ok()
        );
        for good in ["[::1]:0", "localhost:8080", ":9"] {
            assert!(Config::resolve(&[&flags(&[("listen", good)])]).is_ok(), "{good}");
        }
    }
}
