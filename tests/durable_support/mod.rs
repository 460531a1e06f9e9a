#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, reason = "tests may fail loudly")]
#![allow(dead_code, reason = "each test file uses its own part")]
//! What the durability tests share: the real program over a data directory, asked over HTTP, killed and
//! started again; and file systems that can be filled, broken and cut off.

pub mod bank;
pub mod history;
pub mod rigs;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::cli_support::{Run, program, run, write};

/// What takes longer than this hangs: a debug build on a busy machine is slow, but not this slow.
const PATIENCE: Duration = Duration::from_secs(60);

pub const SCHEMA: &str = "schema: kept
features:
  version: {kind: int, min: 0, max: 1000000000}
  twin: {kind: int, min: 0, max: 1000000000}
  score: {kind: float, precision: double}
";

/// Two rule sets that carry the same mark, so that half a bundle would show.
pub fn rule_sets(mark: u64) -> [(&'static str, String); 2] {
    let slots = format!(
        "rule_set: slots
placements:
  home_banner: {{channels: [app], count: 1, fallback: brand}}
offers:
  brand:
    treatments: [{{placement: home_banner, content: {{title: mark-{mark}}}}}]
"
    );
    let marks = format!(
        "rule_set: marks
offers:
  marked:
    placements: [home_banner]
    when: version == {mark}
    treatments: [{{placement: home_banner, content: {{title: mark-{mark}}}}}]
"
    );
    [("slots", slots), ("marks", marks)]
}

/// A data directory that does not exist yet, and the bundle that it starts with.
pub struct Home {
    place: tempfile::TempDir,
    pub data: PathBuf,
}

impl Home {
    pub fn new() -> Home {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        Home::at(place, data)
    }

    /// A home whose data directory is in this folder, for instance on a file system of its own.
    pub fn on(folder: &Path) -> Home {
        Home::at(tempfile::tempdir().unwrap(), folder.join("data"))
    }

    fn at(place: tempfile::TempDir, data: PathBuf) -> Home {
        write(place.path(), "models/schema.yaml", SCHEMA);
        for (name, text) in rule_sets(0) {
            write(place.path(), &format!("models/rule-sets/{name}.yaml"), text);
        }
        Home { place, data }
    }

    /// The arguments of `usher serve` for this home.
    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let models = self.place.path().join("models");
        let (models, data) = (models.to_str().unwrap(), self.data.to_str().unwrap());
        let fixed = ["serve", "--listen", "127.0.0.1:0", "--models", models, "--data", data];
        fixed.iter().chain(more).map(|&text| text.to_owned()).collect()
    }

    pub fn start(&self, more: &[&str]) -> Process {
        self.start_under(&[], more)
    }

    /// Starts it under a wrapper that becomes the server, such as prlimit.
    pub fn start_under(&self, wrapper: &[&str], more: &[&str]) -> Process {
        let process = self.spawn(wrapper, more);
        process.wait_until_ready();
        process
    }

    /// Starts it and does not wait until it is ready.
    pub fn spawn(&self, wrapper: &[&str], more: &[&str]) -> Process {
        let arguments = self.arguments(more);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let command = match wrapper {
            [] => program(&arguments),
            [wrapper, options @ ..] => {
                let mut command = Command::new(wrapper);
                command.args(options).arg(env!("CARGO_BIN_EXE_usher")).args(arguments).env_clear();
                command
            }
        };
        Process::spawn(command)
    }

    /// Starts it and kills it after this time, whether it listens yet or not.
    pub fn kill_start_after(&self, time: Duration, more: &[&str]) {
        let arguments = self.arguments(more);
        let mut command = program(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(time);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// What a start prints that must be refused; `what` is for the failure's message.
    #[track_caller]
    pub fn refused(&self, what: &str) -> Run {
        let arguments = self.arguments(&[]);
        let mut command = program(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE / 4;
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                let _ = child.kill();
                panic!("{what}: it was not refused: {:?}", child.wait_with_output().unwrap());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let output = child.wait_with_output().unwrap();
        let run = Run {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        };
        run.ended(2)
    }

    /// What `usher verify` prints about a good directory.
    #[track_caller]
    pub fn verify(&self) -> Value {
        let found = run(&["verify", self.data.to_str().unwrap(), "--json"]).ended(0);
        serde_json::from_str(&found.out).unwrap_or_else(|e| panic!("{e}: {found:?}"))
    }
}

/// A running server; killed when dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    /// Its standard error, shown if a test fails.
    errors: File,
}

/// An answer of the server.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub text: String,
}

impl Reply {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The reply itself, after checking its status.
    #[track_caller]
    pub fn is(self, status: u16) -> Reply {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

impl Process {
    /// Runs this command, which serves, and reads from its first line where it listens.
    pub fn spawn(mut command: Command) -> Process {
        let errors = tempfile::tempfile().unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors.try_clone().unwrap());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").and_then(|text| text.parse().ok());
        let mut process = Process { child, address: SocketAddr::from(([0; 4], 0)), errors };
        process.address = address.unwrap_or_else(|| panic!("first line {line:?}: {}", process.said()));
        process
    }

    /// What it wrote on standard error.
    pub fn said(&self) -> String {
        let mut file = &self.errors;
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }

    /// Waits until the server is ready, and returns what `/readyz` says.
    #[track_caller]
    pub fn wait_until_ready(&self) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let asked = self.connect().and_then(|mut connection| connection.ask("GET", "/readyz", ""));
            match asked {
                Ok(reply) if reply.status == 200 => return reply.json(),
                Ok(reply) => assert_eq!(reply.status, 503, "{reply:?}"),
                Err(e) => assert!(self.is_running(), "{e}; it ended: {}", self.said()),
            }
            assert!(Instant::now() < deadline, "not ready: {}", self.said());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether it runs and is no zombie. /proc tells that without reaping it.
    pub fn is_running(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        stat.is_ok_and(|stat| !stat.rsplit(") ").next().unwrap_or("Z").starts_with('Z'))
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn connect(&self) -> io::Result<Connection> {
        Connection::open(self.address)
    }

    /// Asks on a new connection.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Reply {
        let asked = self.connect().and_then(|mut connection| connection.ask(method, path, body));
        asked.unwrap_or_else(|e| panic!("{method} {path}: {e}; {}", self.said()))
    }

    /// Sends SIGKILL. The process is gone for certain once this value is dropped.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Sends SIGKILL, waits for the end, and returns what it wrote on standard error.
    pub fn killed(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.said()
    }

    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Sends SIGTERM. It must end with exit code 0.
    #[track_caller]
    pub fn terminate(mut self) {
        self.signal(Signal::TERM);
        self.ends_well();
    }

    /// Waits for it to end by itself, which it must do with exit code 0.
    #[track_caller]
    pub fn ends_well(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(Instant::now() < deadline, "still running: {}", self.said()),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(status.code(), Some(0), "{}", self.said());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that stays open. An error means that the server hung up or died.
pub struct Connection {
    socket: BufReader<TcpStream>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Connection> {
        let socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        Ok(Connection { socket: BufReader::new(socket) })
    }

    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> io::Result<Reply> {
        let bulk = method == "POST" && path.starts_with("/v1/customers");
        let media = if bulk { "application/x-ndjson" } else { "application/json" };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {media}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.socket.get_mut().write_all(request.as_bytes())?;
        self.reply()
    }

    fn reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        let mut read_line = |socket: &mut BufReader<TcpStream>| {
            line.clear();
            match socket.read_line(&mut line)? {
                0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                _ => Ok(line.trim_end().to_ascii_lowercase()),
            }
        };
        let first = read_line(&mut self.socket)?;
        let status = first.split(' ').nth(1).and_then(|text| text.parse().ok());
        let status = status.ok_or(io::ErrorKind::InvalidData)?;
        let mut length = 0;
        loop {
            let header = read_line(&mut self.socket)?;
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length: ") {
                length = value.parse().map_err(|_| io::ErrorKind::InvalidData)?;
            }
        }
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body)?;
        let text = String::from_utf8(body).map_err(|_| io::ErrorKind::InvalidData)?;
        Ok(Reply { status, text })
    }
}
