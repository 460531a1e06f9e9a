//! The servers. Each is a process of its own, so that its CPU time can be told from the client's. Usher and
//! the constant server are this same program, started again with an argument; they end when their standard
//! input closes, as it does when the parent dies. All servers share one core, and the client has another.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::served;
use crate::served::constant;

const USHER: &str = "--serve-usher";
const CONSTANT: &str = "--serve-constant";
/// The unit of /proc/PID/stat: always a hundredth of a second, whatever the kernel's own clock.
const TICKS_PER_SECOND: f64 = 100.0;
/// How long nginx may take to start.
const START: Duration = Duration::from_secs(5);

pub(crate) struct Child {
    process: std::process::Child,
    pub(crate) address: SocketAddr,
    /// The folder that nginx writes to.
    _folder: Option<tempfile::TempDir>,
}

impl Child {
    pub(crate) fn usher(customers: usize) -> Child {
        Child::start(USHER, customers)
    }

    pub(crate) fn constant(bytes: usize) -> Child {
        Child::start(CONSTANT, bytes)
    }

    fn start(role: &str, number: usize) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([role, &number.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap_or_else(|_| panic!("{role} did not start"));
        Child { process, address, _folder: None }
    }

    /// nginx as one process that answers with a constant; `None` if it is not installed.
    pub(crate) fn nginx(bytes: usize) -> Option<Child> {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let (at, body) = (folder.path().display(), "x".repeat(bytes));
        let text = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {at}/body;\n\
             proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
             server {{ listen {address}; location / {{ default_type application/json; return 200 '{body}'; }} }} }}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::File::create(&file).unwrap().write_all(text.as_bytes()).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&file).arg("-e").arg(folder.path().join("error.log")).stderr(Stdio::null());
        let process = command.spawn().ok()?;
        let mut child = Child { process, address, _folder: Some(folder) };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < START, "nginx does not start");
            std::thread::sleep(Duration::from_millis(10));
            assert!(child.process.try_wait().unwrap().is_none(), "nginx ended at once");
        }
        pin(Some(child.process.id()), SERVERS);
        Some(child)
    }

    /// Seconds of CPU time used so far: all of it, and the part in user mode.
    pub(crate) fn cpu(&self) -> (f64, f64) {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        // The second field, the name, may hold anything, but the last parenthesis ends it.
        let fields: Vec<_> = stat[stat.rfind(')').unwrap()..].split(' ').collect();
        let seconds = |index: usize| fields[index].parse::<f64>().unwrap() / TICKS_PER_SECOND;
        let (user, system) = (seconds(12), seconds(13));
        (user + system, user)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        match self.process.stdin.take() {
            Some(pipe) => drop(pipe),
            None => drop(self.process.kill()), // nginx does not watch its input
        }
        let _ = self.process.wait(); // it was told to end; how it does is of no interest
    }
}

/// Serves if the arguments say that this process is one of the servers. Returns whether it was.
pub(crate) fn run_as_child(arguments: &[String]) -> bool {
    let [role, number] = arguments else { return false };
    if ![USHER, CONSTANT].contains(&&**role) {
        return false;
    }
    pin(None, SERVERS);
    let number = number.parse().unwrap();
    if role == USHER {
        let server = served::start(&served::rules(), number);
        announce(server.address());
    } else {
        announce(constant::start(number));
    }
    true
}

/// Prints the address for the parent, and stays until the parent closes the pipe.
fn announce(address: SocketAddr) {
    println!("{address}");
    let _ = std::io::stdin().read_to_end(&mut Vec::new()); // an error means that the parent is gone too
}

/// The core of all servers, and that of the client.
const SERVERS: usize = 1;
pub(crate) const CLIENT: usize = 0;

/// Keeps a process, or this thread and those it starts, on one core. Where that is not possible, they run
/// where they may.
pub(crate) fn pin(process: Option<u32>, core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    let process = process.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let _ = sched_setaffinity(process, &cores);
}
