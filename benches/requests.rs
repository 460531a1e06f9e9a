//! Instructions of a whole request, from its bytes to those of the answer, counted by valgrind: a figure
//! that other work on the machine does not change, and that a test can hold.
//!
//! ```sh
//! cargo bench --no-default-features --bench requests               # compares with benches/requests.counts
//! cargo bench --no-default-features --bench requests -- --record   # writes benches/requests.counts anew
//! ```
//!
//! A real server with one thread, and the server that answers with a constant, run under valgrind beside
//! their client. Counted is all that a server's thread does in user mode between one request and the next:
//! runtime, reading, deciding, writing. One connection asks, one request at a time, so that the runs
//! are alike; then each request has a turn of the runtime of its own. The kernel's work is not counted.
//! Neither are cache misses, which cost most of the time where many customers are asked at random:
//! `benches/http` measures that.
//!
//! It ends with an error if a way to ask needs over 5 % more than is recorded. Another compiler makes other
//! instructions, so counts are only compared with those of the same one.
#![allow(missing_docs, clippy::expect_used, clippy::print_stdout, clippy::panic)]

mod served;
mod synthetic;

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use served::question::Question;
use served::{answer, constant};
use synthetic::customer::Customer;

/// Customers who are asked for, one after the other.
const CUSTOMERS: usize = 400;
/// Requests before any are counted, of each way to ask.
const WARM_UP: usize = 50;
/// The size of the constant answer, in bytes: about that of the others.
const CONSTANT_BYTES: usize = 1_200;
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// A count may grow by this part before it is an error.
const TOLERANCE: f64 = 0.05;
/// The argument of the process that runs under valgrind.
const CHILD: &str = "--ask";
/// The functions whose threads are counted.
const COUNTED: [&str; 2] = ["*http::serve::listen::run", "*served::constant::serve"];

/// What is counted, in this order.
const WHAT: [(Server, Question); 5] = [
    (Server::Constant, Question::Get),
    (Server::Constant, Question::Json),
    (Server::Usher, Question::Get),
    (Server::Usher, Question::Json),
    (Server::Usher, Question::MessagePack),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    Constant,
    Usher,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has(CHILD) || !has("--bench") {
        ask_all(); // without `--bench` only the answers are checked
        return ExitCode::SUCCESS;
    }
    if cfg!(feature = "mimalloc") {
        println!("not counted: valgrind wants the system's allocator; add --no-default-features");
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("not counted: valgrind is not installed");
        return ExitCode::SUCCESS;
    }
    let counts = Counts { compiler: compiler(), of: counted() };
    if has("--record") {
        std::fs::write(recorded_in(), counts.text()).expect("the file can be written");
    }
    let recorded = std::fs::read_to_string(recorded_in()).map(|text| Counts::read(&text)).unwrap_or_default();
    if counts.compare(&recorded) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Where counts are recorded.
fn recorded_in() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/requests.counts")
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output().expect("cargo needs rustc too");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Instructions a request, with the compiler that made them.
#[derive(Default)]
struct Counts {
    compiler: String,
    of: Vec<(String, u64)>,
}

impl Counts {
    fn text(&self) -> String {
        let mut text =
            String::from("# Instructions a request. The head of requests.rs says how to write this file.\n");
        writeln!(text, "{}", self.compiler).expect("a string takes it");
        for (name, count) in &self.of {
            writeln!(text, "{count:>8}  {name}").expect("a string takes it");
        }
        text
    }

    fn read(text: &str) -> Counts {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let compiler = lines.next().unwrap_or_default().to_owned();
        let of = lines.filter_map(|line| {
            let (count, name) = line.trim().split_once("  ")?;
            Some((name.to_owned(), count.parse().ok()?))
        });
        Counts { compiler, of: of.collect() }
    }

    /// Prints these counts beside those that are recorded. False if one has grown too much.
    fn compare(&self, recorded: &Counts) -> bool {
        let same = self.compiler == recorded.compiler;
        println!("{:<28}{:>16}{:>16}{:>10}", "", "instructions", "recorded", "change");
        let mut grown = false;
        for (name, count) in &self.of {
            print!("{name:<28}{count:>16}");
            match recorded.of.iter().find(|(known, _)| known == name).filter(|_| same) {
                Some((_, before)) => {
                    let change = *count as f64 / *before as f64 - 1.0;
                    grown |= change > TOLERANCE;
                    println!("{before:>16}{:>9.1}%", change * 100.0);
                }
                None => println!("{:>16}", "-"),
            }
        }
        if !same {
            println!(
                "not compared: {} made the recorded counts, and {} these",
                recorded.compiler, self.compiler
            );
        }
        if grown {
            println!(
                "error: a request needs over {:.0} % more instructions than is recorded.",
                TOLERANCE * 100.0
            );
            println!("Find out why. If it is worth it, record the counts anew: add `-- --record`");
        }
        !grown
    }
}

/// Runs this program under valgrind, and returns the instructions of one request for each of [`WHAT`].
fn counted() -> Vec<(String, u64)> {
    // Kept if somebody wants to look into it with callgrind_annotate.
    let folder = std::env::var_os("USHER_CALLGRIND_DIR").map(PathBuf::from);
    let own = tempfile::tempdir().expect("a folder can be made");
    let file = folder.as_deref().unwrap_or(own.path()).join("counts");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--dump-before=*requests::next_part"])
        .args(COUNTED.map(|function| format!("--toggle-collect={function}")))
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(std::env::current_exe().expect("it has a path"))
        .arg(CHILD)
        .output()
        .expect("valgrind is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // The first part is the start and the warm-up; what comes behind the last is the end.
    let parts = WHAT.iter().enumerate().map(|(at, (server, question))| {
        let text =
            std::fs::read_to_string(file.with_extension((at + 2).to_string())).expect("it was written");
        let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).expect("each part has it");
        let total: u64 = total.trim().parse().expect("it is a number");
        assert!(total > 0, "nothing was counted; are {COUNTED:?} functions of their own?");
        (format!("{server:?}, {}", question.name()), total / CUSTOMERS as u64)
    });
    parts.collect()
}

/// Asks both servers all that is counted, one part after the other, and checks the answers.
fn ask_all() {
    let rules = served::rules();
    let customers = Customer::many(CUSTOMERS);
    let usher = served::start(&rules, CUSTOMERS);
    let clients = [(Server::Constant, constant::start(CONSTANT_BYTES)), (Server::Usher, usher.address())];
    let mut clients = clients.map(|(server, address)| (server, Client::connect(address)));
    let mut ask = |server: Server, question: Question, count: usize| {
        let (_, client) = clients.iter_mut().find(|(known, _)| *known == server).expect("both are there");
        for (customer, of) in customers.iter().enumerate().take(count) {
            let body = client.ask(&question.bytes(customer));
            if server == Server::Usher {
                answer::check(&rules, of, usher.tokens(), question, customer, body);
            }
        }
    };
    for (server, question) in WHAT {
        ask(server, question, WARM_UP);
    }
    for (server, question) in WHAT {
        next_part();
        ask(server, question, CUSTOMERS);
    }
    next_part();
}

/// Callgrind writes what it has counted whenever this is called.
#[inline(never)]
fn next_part() {
    std::hint::black_box(());
}

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_nodelay(true).expect("it is a socket");
        stream.set_read_timeout(Some(READ_TIMEOUT)).expect("it is a socket");
        Client { stream, buffer: vec![0; 16 * 1024] }
    }

    /// Sends a request, and returns the body of the answer.
    fn ask(&mut self, request: &[u8]) -> &[u8] {
        self.stream.write_all(request).expect("the server reads");
        let mut filled = 0;
        while answer::first(&self.buffer[..filled]).is_none() {
            let read = self.stream.read(&mut self.buffer[filled..]).expect("the server answers");
            assert!(read > 0, "the server closed the connection");
            filled += read;
        }
        answer::first(&self.buffer[..filled]).map(|(_, body)| body).unwrap_or_default()
    }
}
