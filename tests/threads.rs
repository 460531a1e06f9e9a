//! The real program where the system gives few threads (`ulimit -u`): a start says so and ends, or the server
//! answers everybody. A limit of threads needs root and another user; where they are missing, the test says
//! so and passes.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;
mod durable_support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use durable_support::Connection;

const PATIENCE: Duration = Duration::from_secs(60);
/// With more threads than this, a server with two listeners has all it asks for.
const ENOUGH: u32 = 16;

/// What became of a start.
#[derive(Debug, PartialEq)]
enum Start {
    Serves,
    Refused(String),
}

/// Starts a server that may have this many threads, and asks it on many connections.
fn start(threads: u32, data: bool) -> Option<Start> {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let mut errors = tempfile::tempfile().unwrap();
    let user = format!("{}", 61_000 + threads); // so that nothing else counts
    let limit = format!("--nproc={threads}:{threads}");
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "prlimit", &limit]);
    command.args([env!("CARGO_BIN_EXE_usher"), "serve", "--listen", "127.0.0.1:0", "--threads", "2"]);
    if data {
        command.arg("--data").arg(place.path().join("data"));
    }
    command.env_clear().current_dir(place.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors.try_clone().unwrap());
    let mut child = command.spawn().ok()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let serves = line.trim().strip_prefix("listening on http://").is_some_and(|address| {
        let address = address.parse().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let is_ready = || {
            let asked =
                Connection::open(address).and_then(|mut connection| connection.ask("GET", "/readyz", ""));
            asked.is_ok_and(|reply| reply.status == 200)
        };
        while child.try_wait().unwrap().is_none() && !is_ready() {
            assert!(Instant::now() < deadline, "neither ready nor ended with {threads} threads");
            std::thread::sleep(Duration::from_millis(5));
        }
        child.try_wait().unwrap().is_none() && {
            let connections: Vec<_> = (0..24).map(|_| Connection::open(address).unwrap()).collect();
            for mut connection in connections {
                assert_eq!(connection.ask("GET", "/livez", "").unwrap().status, 200);
            }
            true
        }
    });
    let code = ended(&mut child, serves);
    let mut said = String::new();
    errors.rewind().unwrap();
    errors.read_to_string(&mut said).unwrap();
    assert!(!said.contains("panicked"), "{said}");
    assert!(serves || code == Some(2), "{code:?} {said}");
    Some(if serves { Start::Serves } else { Start::Refused(said) })
}

fn ended(child: &mut Child, kill: bool) -> Option<i32> {
    if kill {
        child.kill().unwrap();
    }
    child.wait().unwrap().code()
}

#[test]
fn with_few_threads_a_start_says_so_or_the_server_answers_everybody() {
    let skip = |why: &str| {
        let _ = writeln!(std::io::stderr(), "skipped: {why}");
    };
    if !rustix::process::geteuid().is_root() {
        return skip("a limit of threads for one server needs root");
    }
    match start(1, false) {
        None => return skip("setpriv is missing"),
        Some(Start::Serves) => return skip("this system does not limit threads"),
        Some(Start::Refused(said)) if !said.contains("thread") => return skip(&said),
        Some(Start::Refused(_)) => {}
    }
    for data in [false, true] {
        for threads in 1..=ENOUGH {
            match start(threads, data).unwrap() {
                Start::Serves => assert!(threads > 4),
                Start::Refused(said) => {
                    assert!(threads < ENOUGH, "{said}");
                    assert!(
                        said.contains("no more threads") || said.contains("no thread"),
                        "{threads}: {said}"
                    );
                    assert!(said.contains("ulimit -u"), "{threads}: {said}");
                }
            }
        }
    }
}
